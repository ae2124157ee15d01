//! Generating plausible players, up to millions, for experiments with large databases.

mod names;
mod player;
mod progress;

use std::sync::Arc;
use std::time::Duration;

use crate::domain::{Timeline, Timestamp};
use crate::store::seed::SeedPlayer;
use crate::store::{self, Store};
use progress::Progress;

/// How many players one statement writes.
const BATCH: u64 = 20_000;
/// Timeout of one statement.
const WRITE_TIMEOUT: Duration = Duration::from_mins(2);

/// Adds `count` players who started within the last three months and were last seen at some time since then.
///
/// # Errors
/// Returns the error of the statement. Players that were written before it are kept.
pub async fn seed(
    store: &Store,
    timeline: Arc<Timeline>,
    now: Timestamp,
    count: u64,
) -> Result<(), store::Error> {
    let mut progress = Progress::new(count);
    let mut remaining = count;
    let mut next = generate(&timeline, now, remaining).await?;
    while !next.is_empty() {
        remaining -= next.len() as u64;
        // The next players are generated while these are written.
        let (written, generated) = tokio::join!(
            store.copy_players(&next, WRITE_TIMEOUT),
            generate(&timeline, now, remaining)
        );
        written?;
        progress.add(next.len() as u64);
        next = generated?;
    }
    store.analyze_players(WRITE_TIMEOUT).await?;
    progress.finish();
    Ok(())
}

/// Generates the next players on the blocking pool, so that the database connection is not delayed.
async fn generate(
    timeline: &Arc<Timeline>,
    now: Timestamp,
    remaining: u64,
) -> Result<Vec<SeedPlayer>, store::Error> {
    let timeline = Arc::clone(timeline);
    let players = move || {
        let count = remaining.min(BATCH);
        (0..count).map(|_| player::plausible(&timeline, now)).collect()
    };
    let generated = tokio::task::spawn_blocking(players).await;
    generated.map_err(|error| store::Error::Unavailable(format!("a thread: {error}")))
}
