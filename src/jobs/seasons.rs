//! Closing seasons.

use super::work::{Error, Finished, Work};

/// Makes the final standings of seasons that have ended. Each season is claimed and written separately, so after a
/// crash the finished seasons stay, and a late attempt finds nothing to do.
pub(super) async fn freeze(work: Work) -> Result<Finished, Error> {
    let frozen = work.parts.rankings.freeze_due_seasons().await;
    frozen.map_err(|error| Error::Other(error.to_string()))?;
    let step = work.begin().await?;
    work.finish(step).await
}
