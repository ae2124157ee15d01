//! The players that this instance saw recently. The publication of the boards and the metrics of active players use it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::domain::Timestamp;
use crate::store::players::PlayerRecord;

/// A player's score is published repeatedly for this many seconds after the player's last request.
const PUBLISHED_SECONDS: f64 = 60.0;
/// The periods, in seconds, for which active players are counted. An entry is kept for the longer one.
const ACTIVE_SECONDS: [f64; 2] = [60.0, 300.0];

/// The number of shards. Each has its own lock, because many requests write at the same time.
const SHARDS: usize = 32;

/// The recently seen players by id, in shards.
#[derive(Debug, Default)]
pub struct Seen([Mutex<HashMap<Uuid, Sighting>>; SHARDS]);

#[derive(Debug)]
struct Sighting {
    /// When the player was last seen.
    at: Timestamp,
    /// The newest row; `None` if it need not be published any more.
    record: Option<Arc<PlayerRecord>>,
    /// Whether the row was collected after the player was last seen.
    collected: bool,
    /// Whether this instance changed the row or was the first to see it, and the row was not collected since.
    is_news: bool,
}

/// The result of [`Seen::collect`].
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) records: Vec<Arc<PlayerRecord>>,
    /// The players whose row this instance changed, or was the first to see, since the last call.
    pub(super) news: Vec<Uuid>,
    /// The number of players that were active within each period of [`ACTIVE_SECONDS`].
    pub(super) active: [i64; 2],
}

impl Seen {
    /// Records that a player made a request or was changed at `now`. An older row does not replace a newer one.
    pub fn note(&self, record: &Arc<PlayerRecord>, now: Timestamp) {
        self.insert(record, now, true);
    }

    /// Records a player that another instance reported as changed.
    pub(super) fn note_reported(&self, record: &Arc<PlayerRecord>) {
        self.insert(record, record.player.last_seen_at, false);
    }

    fn insert(&self, record: &Arc<PlayerRecord>, at: Timestamp, own: bool) {
        let [.., last] = *record.id.as_bytes();
        let mut part = lock(&self.0[usize::from(last) % SHARDS]);
        let sighting = match part.entry(record.id) {
            Entry::Occupied(occupied) => occupied.into_mut(),
            Entry::Vacant(vacant) => {
                vacant.insert(Sighting { at, record: None, collected: false, is_news: false })
            }
        };
        if sighting.record.as_ref().is_none_or(|held| record.revision > held.revision) {
            sighting.record = Some(Arc::clone(record));
            sighting.is_news = own;
        }
        sighting.at = sighting.at.max(at);
        sighting.collected = false;
    }

    /// Forgets all rows, but keeps when the players were seen.
    pub(super) fn forget_rows(&self) {
        for part in &self.0 {
            lock(part).values_mut().for_each(|sighting| sighting.record = None);
        }
    }

    /// The rows of all players who were seen in the last minute or since the last call. If `keep` is true, the rows of
    /// the last minute are kept for the next call; otherwise all rows are forgotten.
    pub(super) fn collect(&self, now: Timestamp, keep: bool) -> Collected {
        let mut collected = Collected::default();
        let [_, longest] = ACTIVE_SECONDS;
        for part in &self.0 {
            lock(part).retain(|player, sighting| {
                let age = now.seconds_since(sighting.at);
                for (count, seconds) in collected.active.iter_mut().zip(ACTIVE_SECONDS) {
                    *count += i64::from(age < seconds);
                }
                if let Some(record) = &sighting.record {
                    let wanted = age < PUBLISHED_SECONDS || !sighting.collected;
                    if wanted {
                        sighting.collected = true;
                        collected.records.push(Arc::clone(record));
                    }
                    if mem::take(&mut sighting.is_news) {
                        collected.news.push(*player);
                    }
                    if !wanted || !keep {
                        sighting.record = None;
                    }
                }
                sighting.record.is_some() || age < longest
            });
        }
        collected
    }
}

fn lock(part: &Mutex<HashMap<Uuid, Sighting>>) -> MutexGuard<'_, HashMap<Uuid, Sighting>> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::testing::at;
    use crate::store::players::testing::guest;

    fn record(revision: i64) -> Arc<PlayerRecord> {
        Arc::new(PlayerRecord { revision, ..guest() })
    }

    #[test]
    fn a_row_is_collected_for_a_minute_and_at_least_once() {
        let seen = Seen::default();
        seen.note(&record(2), at(0.0));
        seen.note(&record(1), at(1.0));
        let collected = |seconds| -> i64 {
            seen.collect(at(seconds), true).records.iter().map(|it| it.revision).sum()
        };
        assert_eq!([2.0, 60.0, 61.0, 62.0].map(collected), [2, 2, 0, 0]);
        seen.note(&record(3), at(62.0));
        assert_eq!([1000.0, 1000.0].map(collected), [3, 0]);
    }

    #[test]
    fn a_row_that_is_not_kept_may_be_replaced_by_a_lower_revision() {
        let seen = Seen::default();
        let revisions = |kept| -> Vec<i64> {
            seen.collect(at(0.0), kept).records.iter().map(|it| it.revision).collect()
        };
        seen.note(&record(9), at(0.0));
        assert_eq!(
            [revisions(true), revisions(false), revisions(true)],
            [vec![9], vec![9], vec![]]
        );
        seen.note(&record(3), at(0.0));
        assert_eq!(revisions(true), [3]);
        seen.forget_rows();
        assert_eq!(revisions(true), [0; 0]);
    }

    #[test]
    fn a_row_is_news_once_and_not_if_another_instance_reported_it() {
        let seen = Seen::default();
        let news = || seen.collect(at(0.0), true).news.len();
        seen.note(&record(1), at(0.0));
        assert_eq!((news(), news()), (1, 0));
        seen.note(&record(1), at(1.0));
        assert_eq!(news(), 0);
        seen.note_reported(&record(2));
        assert_eq!(news(), 0);
        seen.note(&record(2), at(2.0));
        assert_eq!(news(), 0);
        seen.note(&record(3), at(2.0));
        assert_eq!(news(), 1);
    }

    #[test]
    fn active_players_are_counted_by_the_time_they_were_last_seen() {
        let seen = Seen::default();
        let player = |id| Arc::new(PlayerRecord { id: Uuid::from_u128(id), ..guest() });
        let active = |seconds| seen.collect(at(seconds), false).active;
        seen.note(&player(1), at(0.0));
        seen.note(&player(2), at(0.0));
        assert_eq!(active(0.0), [2, 2]);
        seen.note(&player(1), at(250.0));
        seen.forget_rows();
        assert_eq!(active(250.0), [1, 2]);
        assert_eq!(active(300.0), [1, 1]);
        assert_eq!(active(550.0), [0, 0]);
        assert!(seen.0.iter().all(|part| lock(part).is_empty()));
    }
}
