//! Generating plausible players, up to millions, for experiments with much data.

mod names;
mod player;
mod progress;

use std::sync::Arc;
use std::time::Duration;

use crate::domain::{Timeline, Timestamp};
use crate::store::seed::SeedPlayer;
use crate::store::{self, Store};
use progress::Progress;

/// Players in one write.
const WRITTEN_AT_ONCE: u64 = 20_000;
/// Time-out of one write.
const WRITE_LIMIT: Duration = Duration::from_mins(2);

/// Adds `count` players who started in the last three months and were last present some time since then.
///
/// # Errors
/// Returns the error of the statement. Players that were written before stay.
pub async fn seed(
    store: &Store,
    timeline: Arc<Timeline>,
    now: Timestamp,
    count: u64,
) -> Result<(), store::Error> {
    let mut progress = Progress::new(count);
    let mut left = count;
    let mut next = make(&timeline, now, left).await?;
    while !next.is_empty() {
        left -= next.len() as u64;
        // While these players are written the next ones are generated.
        let (written, made) =
            tokio::join!(store.copy_players(&next, WRITE_LIMIT), make(&timeline, now, left));
        written?;
        progress.add(next.len() as u64);
        next = made?;
    }
    store.analyze_players(WRITE_LIMIT).await?;
    progress.finish();
    Ok(())
}

/// Generates the next players on other threads than those that talk to the database.
async fn make(
    timeline: &Arc<Timeline>,
    now: Timestamp,
    left: u64,
) -> Result<Vec<SeedPlayer>, store::Error> {
    let timeline = Arc::clone(timeline);
    let players = move || {
        let count = left.min(WRITTEN_AT_ONCE);
        (0..count).map(|_| player::plausible(&timeline, now)).collect()
    };
    let made = tokio::task::spawn_blocking(players).await;
    made.map_err(|error| store::Error::Unavailable(format!("a thread: {error}")))
}
