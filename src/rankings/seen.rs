//! The players that this instance saw lately, each with the newest row that it knows.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use crate::domain::Timestamp;
use crate::store::players::PlayerRecord;

/// For how long, in seconds, a player who was seen is published again and again.
const SEEN_SECONDS: f64 = 60.0;

/// Parts with a lock each, as every request comes by.
const PARTS: usize = 32;

/// Players by id, in parts.
#[derive(Debug, Default)]
pub struct Seen([Mutex<HashMap<Uuid, Sighting>>; PARTS]);

#[derive(Debug)]
struct Sighting {
    record: Arc<PlayerRecord>,
    at: Timestamp,
    /// Whether it has been collected since it was last seen.
    collected: bool,
    /// Whether the row is news of this instance that has not been collected.
    is_news: bool,
}

/// What was collected.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) records: Vec<Arc<PlayerRecord>>,
    /// Those of them whose row this instance has changed or first seen since the last call.
    pub(super) news: Vec<Uuid>,
    /// When each of them was seen last.
    pub(super) sightings: Vec<(Uuid, Timestamp)>,
}

impl Seen {
    /// Notes that a player was there, or was changed, at `now`. An older row does not take the place of a newer one.
    pub fn note(&self, record: &Arc<PlayerRecord>, now: Timestamp) {
        self.take(record, now, true);
    }

    /// Notes what another instance has told of a player.
    pub(super) fn hear(&self, record: &Arc<PlayerRecord>) {
        self.take(record, record.player.last_seen_at, false);
    }

    fn take(&self, record: &Arc<PlayerRecord>, at: Timestamp, own: bool) {
        let [.., last] = *record.id.as_bytes();
        let part = &self.0[usize::from(last) % PARTS];
        let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
        match part.entry(record.id) {
            Entry::Vacant(vacant) => {
                let record = Arc::clone(record);
                vacant.insert(Sighting { record, at, collected: false, is_news: own });
            }
            Entry::Occupied(mut occupied) => {
                let sighting = occupied.get_mut();
                if record.revision > sighting.record.revision {
                    sighting.record = Arc::clone(record);
                    sighting.is_news = own;
                }
                sighting.at = sighting.at.max(at);
                sighting.collected = false;
            }
        }
    }

    /// Forgets all players.
    pub(super) fn clear(&self) {
        for part in &self.0 {
            part.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// The rows of all who were seen in the last minute, or since the last call; they are forgotten with it unless they are
    /// `kept`.
    pub(super) fn collect(&self, now: Timestamp, kept: bool) -> Collected {
        let mut collected = Collected::default();
        for part in &self.0 {
            let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
            part.retain(|player, sighting| {
                let lately = now.seconds_since(sighting.at) < SEEN_SECONDS;
                let wanted = lately || !sighting.collected;
                if wanted {
                    sighting.collected = true;
                    collected.sightings.push((*player, sighting.at));
                    collected.records.push(Arc::clone(&sighting.record));
                }
                if mem::take(&mut sighting.is_news) {
                    collected.news.push(*player);
                }
                wanted && kept
            });
        }
        collected
    }
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
    fn who_was_seen_is_collected_for_a_minute_and_at_least_once() {
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
    fn who_is_collected_and_not_kept_is_seen_anew_with_a_lower_revision() {
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
        seen.clear();
        assert_eq!(revisions(true), [0; 0]);
    }

    #[test]
    fn a_row_is_news_once_and_what_was_heard_is_none() {
        let seen = Seen::default();
        let news = || seen.collect(at(0.0), true).news.len();
        seen.note(&record(1), at(0.0));
        assert_eq!((news(), news()), (1, 0));
        seen.note(&record(1), at(1.0));
        assert_eq!(news(), 0);
        seen.hear(&record(2));
        assert_eq!(news(), 0);
        seen.note(&record(2), at(2.0));
        assert_eq!(news(), 0);
        seen.note(&record(3), at(2.0));
        assert_eq!(news(), 1);
    }
}
