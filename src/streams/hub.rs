//! The streams that somebody in this process waits for, and their recent events.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::store::streams::{Event, Range};

/// How many events of a stream are kept for those who wait for it.
const RECENT: usize = 256;
/// If more events are missing, they are not read here: those who wait read them from the database.
const MOST_READ: i64 = 256;

/// Someone who waits for events.
pub trait Listener: Send + Sync {
    /// There are new events in a stream, or everything that was read from it is void. Must not block.
    fn notify(&self, stream: &Arc<str>);
}

/// Waits for any of the streams that it follows.
impl Listener for Notify {
    fn notify(&self, _: &Arc<str>) {
        self.notify_one();
    }
}

/// The followed streams.
#[derive(Default)]
pub(super) struct Hub {
    streams: Mutex<HashMap<Arc<str>, Followed>>,
    /// Rises when everything is forgotten, so that what was read before is dropped.
    era: AtomicU64,
}

/// What is to be read for those who wait.
#[derive(Debug)]
pub(super) struct Wanted {
    era: u64,
    pub(super) ranges: Vec<Range>,
    /// Streams whose head is to be read: it is not known, or so far ahead that those who wait read the events themselves.
    pub(super) unknown: Vec<String>,
}

impl Wanted {
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty() && self.unknown.is_empty()
    }
}

/// A stream that is followed.
#[derive(Default)]
struct Followed {
    /// The head when it was last read; 0 before it is known.
    head: i64,
    /// The latest events, without a gap, the last of which is that of `head`.
    recent: VecDeque<Arc<Event>>,
    /// Those who wait, by number.
    waiting: HashMap<u64, Arc<dyn Listener>>,
}

impl Followed {
    /// Adds the next event. A gap empties the list.
    fn push(&mut self, event: &Arc<Event>) {
        if event.sequence <= self.head {
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

    fn wake(&self, stream: &Arc<str>) {
        for waiting in self.waiting.values() {
            waiting.notify(stream);
        }
    }
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Followed>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows streams on behalf of the waiter with this number, who is notified whenever one of them has new events.
    /// Returns the present era.
    pub(super) fn follow(
        &self,
        waiter: u64,
        streams: &[Arc<str>],
        listener: &Arc<dyn Listener>,
    ) -> u64 {
        let mut followed = self.lock();
        for stream in streams {
            let waiting = &mut followed.entry(Arc::clone(stream)).or_default().waiting;
            waiting.insert(waiter, Arc::clone(listener));
        }
        self.era.load(Ordering::Acquire)
    }

    /// The present era. Read it before heads that are given to [`Hub::seed`].
    pub(super) fn era(&self) -> u64 {
        self.era.load(Ordering::Acquire)
    }

    /// Sets heads that are not known yet to those that a waiter has read in this era.
    pub(super) fn seed(&self, era: u64, streams: &[Arc<str>], heads: &[i64]) {
        let mut followed = self.lock();
        if self.era.load(Ordering::Acquire) != era {
            return;
        }
        for (stream, &head) in streams.iter().zip(heads) {
            if let Some(entry) = followed.get_mut(stream).filter(|entry| entry.head == 0) {
                entry.head = head;
            }
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

    /// What is to be read because signals named these heads. Signals may be late, or of another history of the database,
    /// so heads are only taken from what was read.
    pub(super) fn wanted(&self, heads: impl IntoIterator<Item = (String, i64)>) -> Wanted {
        let era = self.era.load(Ordering::Acquire);
        let followed = self.lock();
        let mut wanted = Wanted { era, ranges: Vec::new(), unknown: Vec::new() };
        for (stream, head) in heads {
            let Some(entry) = followed.get(stream.as_str()) else { continue };
            if entry.head == 0 || head - entry.head > MOST_READ {
                wanted.unknown.push(stream);
            } else if head > entry.head {
                wanted.ranges.push(Range { stream, above: entry.head, through: head });
            }
        }
        wanted
    }

    /// Adds what was read, and wakes those who wait for it: events, and heads of streams of which no events were read.
    pub(super) fn add(&self, wanted: &Wanted, events: Vec<Event>, heads: Vec<i64>) {
        let mut followed = self.lock();
        // Read before the database was restored or replaced.
        if self.era.load(Ordering::Acquire) != wanted.era {
            return;
        }
        for event in events.into_iter().map(Arc::new) {
            if let Some(entry) = followed.get_mut(event.stream.as_str()) {
                entry.push(&event);
            }
        }
        for range in &wanted.ranges {
            let name: Arc<str> = range.stream.as_str().into();
            let Some(entry) = followed.get_mut(&name) else { continue };
            if let Some(last) = entry.recent.back().filter(|last| last.sequence > entry.head) {
                entry.head = last.sequence;
                entry.wake(&name);
            }
        }
        for (stream, head) in wanted.unknown.iter().zip(heads) {
            let name: Arc<str> = stream.as_str().into();
            let Some(entry) = followed.get_mut(&name) else { continue };
            if head > entry.head {
                entry.head = head;
                entry.recent.clear();
                entry.wake(&name);
            }
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

    /// Notifies all who wait.
    pub(super) fn notify_all(&self) {
        for (name, entry) in self.lock().iter() {
            entry.wake(name);
        }
    }

    /// Forgets all heads and events, and wakes all who wait: the database was restored or replaced.
    pub(super) fn forget_all(&self) {
        let mut followed = self.lock();
        self.era.fetch_add(1, Ordering::AcqRel);
        for (name, entry) in followed.iter_mut() {
            entry.head = 0;
            entry.recent.clear();
            entry.wake(name);
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

    fn wanted(hub: &Hub, head: i64) -> Wanted {
        hub.wanted([(NAME.to_owned(), head)])
    }

    /// A signal names a head, and these events are read for it.
    fn read(hub: &Hub, head: i64, found: impl IntoIterator<Item = i64>) {
        hub.add(&wanted(hub, head), found.into_iter().map(event).collect(), vec![]);
    }

    /// A signal names a head that is read.
    fn read_head(hub: &Hub, head: i64) {
        let wanted = wanted(hub, head);
        assert_eq!(wanted.unknown, [NAME]);
        hub.add(&wanted, vec![], vec![head]);
    }

    fn sequences(hub: &Hub, above: i64, through: i64) -> Option<Vec<i64>> {
        let events = hub.recent(&range(above, through))?;
        Some(events.iter().map(|event| event.sequence).collect())
    }

    fn listener(notify: &Arc<Notify>) -> Arc<dyn Listener> {
        Arc::<Notify>::clone(notify)
    }

    fn followed() -> (Hub, Arc<Notify>) {
        let (hub, notify) = (Hub::default(), Arc::new(Notify::new()));
        hub.follow(1, &[NAME.into()], &listener(&notify));
        (hub, notify)
    }

    #[tokio::test]
    async fn those_who_wait_are_woken_by_new_events_and_find_them() {
        let (hub, notify) = followed();
        read_head(&hub, 7);
        notify.notified().await;
        assert_eq!(wanted(&hub, 9).ranges, [range(7, 9)]);
        read(&hub, 9, [8, 9]);
        notify.notified().await;
        assert_eq!(sequences(&hub, 7, 9), Some(vec![8, 9]));
        assert_eq!(sequences(&hub, 8, 9), Some(vec![9]));
        assert_eq!(sequences(&hub, 9, 9), Some(vec![]));
        // Older ones, and later ones, are in the database.
        assert_eq!((sequences(&hub, 6, 9), sequences(&hub, 8, 10)), (None, None));
        assert!(wanted(&hub, 9).is_empty(), "a signal that comes twice");
    }

    #[test]
    fn recent_events_have_no_gap() {
        let (hub, _) = followed();
        read_head(&hub, 1);
        read(&hub, 3, [2, 3]);
        // The rows of 4 and 5 are gone.
        read(&hub, 6, [6]);
        assert_eq!((sequences(&hub, 2, 6), sequences(&hub, 5, 6)), (None, Some(vec![6])));
        // Events that come late, as from a slow query, change nothing.
        let late = wanted(&hub, 8);
        read(&hub, 9, [7, 8, 9]);
        hub.add(&late, [7, 8].map(event).into(), vec![]);
        assert_eq!((hub.head(NAME), sequences(&hub, 5, 9)), (9, Some(vec![6, 7, 8, 9])));
    }

    #[test]
    fn a_head_that_a_signal_names_counts_only_when_it_was_read() {
        let (hub, _) = followed();
        read_head(&hub, 5);
        // Nothing was found: the signal is of another history.
        read(&hub, 100, []);
        assert_eq!(hub.head(NAME), 5);
        let before = [wanted(&hub, 7), wanted(&hub, 5 + 2 * MOST_READ)];
        hub.forget_all();
        assert_eq!((hub.head(NAME), sequences(&hub, 5, 5)), (0, None));
        for wanted in before {
            hub.add(&wanted, [6, 7].map(event).into(), vec![7]);
            assert_eq!(hub.head(NAME), 0, "read before everything was forgotten");
        }
        read_head(&hub, 3);
        assert_eq!(hub.head(NAME), 3);
    }

    #[test]
    fn a_head_that_a_waiter_has_read_makes_the_next_events_known_to_all() {
        let (hub, notify) = followed();
        let era = hub.follow(2, &[NAME.into()], &listener(&notify));
        hub.seed(era, &[NAME.into()], &[4]);
        assert_eq!(wanted(&hub, 5).ranges, [range(4, 5)]);
        hub.seed(era, &[NAME.into()], &[9]);
        assert_eq!(hub.head(NAME), 4, "a known head is not replaced");
        hub.forget_all();
        hub.seed(era, &[NAME.into()], &[4]);
        assert_eq!(hub.head(NAME), 0, "read before everything was forgotten");
    }

    #[test]
    fn only_the_latest_events_are_kept() {
        let (hub, _) = followed();
        read_head(&hub, 1);
        let most = MOST_READ;
        read(&hub, most + 1, 2..=most + 1);
        read(&hub, most + 2, [most + 2]);
        assert_eq!(sequences(&hub, 1, most + 2), None);
        assert_eq!(sequences(&hub, 2, most + 2).map(|it| it.len()), Some(RECENT));
        read_head(&hub, 3 * most);
        assert_eq!(hub.head(NAME), 3 * most);
    }

    #[test]
    fn nothing_is_kept_of_streams_that_nobody_follows() {
        let (hub, notify) = followed();
        hub.follow(2, &[NAME.into(), "announcements".into()], &listener(&notify));
        hub.leave(1, &[NAME.into()]);
        assert_eq!(hub.len(), 2);
        hub.leave(2, &[NAME.into(), "announcements".into()]);
        assert!(hub.len() == 0);
        assert!(wanted(&hub, 5).is_empty());
        hub.add(
            &Wanted { era: 0, ranges: vec![range(4, 5)], unknown: vec![] },
            vec![event(5)],
            vec![],
        );
        assert_eq!(hub.len(), 0);
    }
}
