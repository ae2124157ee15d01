//! Plausible players by the million, for trying things out at size.

mod names;
mod player;
mod progress;

use std::sync::Arc;
use std::time::Duration;

use crate::domain::{Timeline, Timestamp};
use crate::store::seed::SeedPlayer;
use crate::store::{self, Store};
use progress::Progress;

/// Players written at once.
const WRITTEN_AT_ONCE: u64 = 20_000;
/// How long writing them may take.
const WRITE_LIMIT: Duration = Duration::from_mins(2);

/// Adds `count` players who began in the last three months and were last there at some time since, up to `now`.
///
/// # Errors
/// As every statement's. What was written before stays.
pub async fn seed(
    store: &Store,
    timeline: Arc<Timeline>,
    now: Timestamp,
    count: u64,
) -> Result<(), store::Error> {
    let mut progress = Progress::new("players", count);
    let mut left = count;
    let mut next = make(&timeline, now, left).await?;
    while !next.is_empty() {
        left -= next.len() as u64;
        // While these are written the next ones are made.
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

/// Makes the next players off the threads that talk to the database.
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
