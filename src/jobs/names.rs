//! Case folding of display names, so that searches ignore case.

use uuid::Uuid;

use super::work::{Cursor, Error, Finished, Work};
use crate::store::names::FoldedNames;

/// The maximum number of names that one step folds.
const NAMES: u32 = 1_000;

/// Stores the case-folded form of display names that have none yet, including names that were stored by older releases.
pub(super) async fn fold(work: Work) -> Result<Finished, Error> {
    let mut after = work.progress::<Cursor>()?.map_or(Uuid::nil(), |it| it.after);
    loop {
        let found = work.store().find_unfolded_names(after, NAMES.into()).await?;
        let last = found.last().filter(|_| found.len() == NAMES as usize).map(|it| it.id);
        let mut step = work.begin().await?;
        step.note_folded_names(&FoldedNames::of(found)).await?;
        let Some(last) = last else {
            step.purge_folded_names().await?;
            return work.finish(step).await;
        };
        work.advance(step, &Cursor { after: last }).await?;
        after = last;
        if work.is_stopping() {
            return work.hand_back().await;
        }
    }
}
