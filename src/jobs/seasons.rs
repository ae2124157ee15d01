//! Closing seasons.

use super::work::{Error, Finished, Work};

/// Makes the final standings of seasons that have ended. They are claimed and written season by season, so an attempt that
/// dies leaves what is done, and one that comes late finds nothing to do.
pub(super) async fn freeze(work: Work) -> Result<Finished, Error> {
    let frozen = work.parts.rankings.freeze_due_seasons().await;
    frozen.map_err(|error| Error::Other(error.to_string()))?;
    let step = work.begin().await?;
    work.finish(step).await
}
