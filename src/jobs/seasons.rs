//! The job that creates the final standings of seasons.

use super::work::{Error, Finished, Work};

/// Creates the final standings of seasons that have ended. Each season is claimed and written separately, so seasons
/// that were finished before a crash stay finished, and a repeated attempt finds nothing to do.
pub(super) async fn freeze(work: Work) -> Result<Finished, Error> {
    let frozen = work.parts.rankings.freeze_due_seasons().await;
    frozen.map_err(|error| Error::Other(error.to_string()))?;
    let step = work.begin().await?;
    work.finish(step).await
}
