//! The streams that somebody in this process waits for, and their recent events.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::store::streams::{Event, Range};

/// How many events of a stream are kept for those who wait for it.
const RECENT: usize = 256;
/// If more events are missing, they are not read here: those who wait read them from the database.
const MOST_READ: i64 = 256;

/// The followed streams.
#[derive(Default)]
pub(super) struct Hub {
    streams: Mutex<HashMap<Arc<str>, Followed>>,
}

/// A stream that is followed.
#[derive(Default)]
struct Followed {
    /// The highest known head; 0 before it is known.
    head: i64,
    /// The latest events, without a gap, the last of which is that of `head`.
    recent: VecDeque<Arc<Event>>,
    /// Those who wait, by number.
    waiting: HashMap<u64, Arc<Notify>>,
}

impl Followed {
    /// Adds the next event. A gap empties the list.
    fn push(&mut self, event: &Arc<Event>) {
        if event.sequence <= self.head && !self.recent.is_empty() {
            return;
        }
        if self.recent.back().is_some_and(|last| last.sequence + 1 != event.sequence) {
            self.recent.clear();
        }
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(Arc::clone(event));
    }

    fn wake(&self) {
        for waiting in self.waiting.values() {
            waiting.notify_one();
        }
    }
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Followed>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows streams on behalf of the waiter with this number, who is notified whenever one of them has new events.
    pub(super) fn follow(&self, waiter: u64, streams: &[Arc<str>], notify: &Arc<Notify>) {
        let mut followed = self.lock();
        for stream in streams {
            let waiting = &mut followed.entry(Arc::clone(stream)).or_default().waiting;
            waiting.insert(waiter, Arc::clone(notify));
        }
    }

    /// Ends what [`Hub::follow`] began.
    pub(super) fn leave(&self, waiter: u64, streams: &[Arc<str>]) {
        let mut followed = self.lock();
        for stream in streams {
            let Some(entry) = followed.get_mut(stream) else { continue };
            entry.waiting.remove(&waiter);
            if entry.waiting.is_empty() {
                followed.remove(stream);
            }
        }
    }

    /// The names of all followed streams.
    pub(super) fn names(&self) -> Vec<Arc<str>> {
        self.lock().keys().cloned().collect()
    }

    /// The number of followed streams.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Notes heads. Returns the events that are to be read for it. A stream whose head was not known, or that is far
    /// behind, is not read: those who wait for it are woken and read themselves.
    pub(super) fn note_heads(&self, heads: impl IntoIterator<Item = (String, i64)>) -> Vec<Range> {
        let mut followed = self.lock();
        let mut ranges = Vec::new();
        for (stream, head) in heads {
            let Some(entry) = followed.get_mut(stream.as_str()) else { continue };
            if head <= entry.head {
                continue;
            }
            if entry.head == 0 || head - entry.head > MOST_READ {
                entry.head = head;
                entry.recent.clear();
                entry.wake();
            } else {
                ranges.push(Range { stream, above: entry.head, through: head });
            }
        }
        ranges
    }

    /// Adds events that were read for `ranges`, and wakes those who wait for them.
    pub(super) fn add(&self, ranges: &[Range], events: Vec<Event>) {
        let mut followed = self.lock();
        for event in events.into_iter().map(Arc::new) {
            if let Some(entry) = followed.get_mut(event.stream.as_str()) {
                entry.push(&event);
            }
        }
        for range in ranges {
            let Some(entry) = followed.get_mut(range.stream.as_str()) else { continue };
            entry.head = entry.head.max(range.through);
            if entry.recent.back().is_none_or(|last| last.sequence != entry.head) {
                entry.recent.clear();
            }
            entry.wake();
        }
    }

    /// The head of a followed stream; 0 if it is not known.
    pub(super) fn head(&self, stream: &str) -> i64 {
        self.lock().get(stream).map_or(0, |entry| entry.head)
    }

    /// The events of a range, if all of them are among the recent ones.
    pub(super) fn recent(&self, range: &Range) -> Option<Vec<Arc<Event>>> {
        let followed = self.lock();
        let recent = &followed.get(range.stream.as_str())?.recent;
        let first = recent.front()?.sequence;
        let start = usize::try_from(range.above + 1 - first).ok()?;
        let count = usize::try_from(range.through - range.above).ok()?;
        (start + count <= recent.len())
            .then(|| recent.range(start..start + count).cloned().collect())
    }

    /// Forgets all heads and events, and wakes all who wait: the database was restored or replaced.
    pub(super) fn forget_all(&self) {
        for entry in self.lock().values_mut() {
            entry.head = 0;
            entry.recent.clear();
            entry.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::testing::at;

    const NAME: &str = "player:1";

    fn event(sequence: i64) -> Event {
        Event {
            stream: NAME.to_owned(),
            sequence,
            at: at(0.0),
            kind: "test".to_owned(),
            request: None,
            data: sequence.to_string(),
        }
    }

    fn range(above: i64, through: i64) -> Range {
        Range { stream: NAME.to_owned(), above, through }
    }

    fn note(hub: &Hub, head: i64) -> Vec<Range> {
        hub.note_heads([(NAME.to_owned(), head)])
    }

    fn sequences(hub: &Hub, above: i64, through: i64) -> Option<Vec<i64>> {
        let events = hub.recent(&range(above, through))?;
        Some(events.iter().map(|event| event.sequence).collect())
    }

    fn followed() -> (Hub, Arc<Notify>) {
        let (hub, notify) = (Hub::default(), Arc::new(Notify::new()));
        hub.follow(1, &[NAME.into()], &notify);
        (hub, notify)
    }

    #[tokio::test]
    async fn those_who_wait_are_woken_by_new_events_and_find_them() {
        let (hub, notify) = followed();
        // The first known head is not read.
        assert_eq!(note(&hub, 7), []);
        notify.notified().await;
        assert_eq!(note(&hub, 9), [range(7, 9)]);
        hub.add(&[range(7, 9)], vec![event(8), event(9)]);
        notify.notified().await;
        assert_eq!(sequences(&hub, 7, 9), Some(vec![8, 9]));
        assert_eq!(sequences(&hub, 8, 9), Some(vec![9]));
        assert_eq!(sequences(&hub, 9, 9), Some(vec![]));
        // Older ones, and later ones, are in the database.
        assert_eq!((sequences(&hub, 6, 9), sequences(&hub, 8, 10)), (None, None));
        assert_eq!(note(&hub, 9), [], "a signal that comes twice");
    }

    #[test]
    fn recent_events_have_no_gap() {
        let (hub, _) = followed();
        note(&hub, 1);
        hub.add(&[range(1, 3)], vec![event(2), event(3)]);
        // The rows of 4 and 5 are gone.
        hub.add(&[range(3, 6)], vec![event(6)]);
        assert_eq!((sequences(&hub, 2, 6), sequences(&hub, 5, 6)), (None, Some(vec![6])));
        // Nothing was found.
        hub.add(&[range(6, 8)], vec![]);
        assert_eq!((hub.head(NAME), sequences(&hub, 5, 6)), (8, None));
        // Events that come late, as from a slow query, change nothing.
        hub.add(&[range(8, 9)], vec![event(9)]);
        hub.add(&[range(5, 6)], vec![event(6)]);
        assert_eq!((hub.head(NAME), sequences(&hub, 8, 9)), (9, Some(vec![9])));
    }

    #[test]
    fn only_the_latest_events_are_kept() {
        let (hub, _) = followed();
        note(&hub, 1);
        let most = MOST_READ;
        hub.add(&[range(1, most + 1)], (2..=most + 1).map(event).collect());
        hub.add(&[range(most + 1, most + 2)], vec![event(most + 2)]);
        assert_eq!(sequences(&hub, 1, most + 2), None);
        assert_eq!(sequences(&hub, 2, most + 2).map(|it| it.len()), Some(RECENT));
        assert_eq!(note(&hub, 3 * most), [], "too many to be read for all");
        assert_eq!(hub.head(NAME), 3 * most);
    }

    #[test]
    fn nothing_is_kept_of_streams_that_nobody_follows() {
        let (hub, notify) = followed();
        hub.follow(2, &[NAME.into(), "announcements".into()], &notify);
        hub.leave(1, &[NAME.into()]);
        assert_eq!(hub.len(), 2);
        hub.leave(2, &[NAME.into(), "announcements".into()]);
        assert!(hub.len() == 0);
        assert_eq!(note(&hub, 5), []);
        hub.add(&[range(4, 5)], vec![event(5)]);
        assert!(hub.len() == 0);
    }
}
