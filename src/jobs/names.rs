//! Folding display names, so that searches ignore case.

use uuid::Uuid;

use super::work::{After, Error, Finished, Work};
use crate::store::names::FoldedNames;

/// Names that one step folds.
const NAMES: u32 = 1_000;

/// Folds the display names that have no folded form yet, including those that were stored before names were folded.
pub(super) async fn fold(work: Work) -> Result<Finished, Error> {
    let mut after = work.progress::<After>()?.map_or(Uuid::nil(), |it| it.after);
    loop {
        let found = work.store().find_unfolded_names(after, NAMES.into()).await?;
        let last = found.last().filter(|_| found.len() == NAMES as usize).map(|it| it.id);
        let mut step = work.begin().await?;
        step.note_folded_names(&FoldedNames::of(found)).await?;
        let Some(last) = last else {
            step.purge_folded_names().await?;
            return work.finish(step).await;
        };
        work.advance(step, &After { after: last }).await?;
        after = last;
        if work.is_stopping() {
            return work.hand_back().await;
        }
    }
}
