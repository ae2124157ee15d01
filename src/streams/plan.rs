//! What a poll reads of each stream.

use std::sync::Arc;

use super::name::StreamName;
use crate::store::streams::{Event, Range};

/// The largest number of streams of a poll.
pub const MOST_STREAMS: usize = 50;
/// The largest number of events in an answer. They are shared evenly among the streams.
pub const MOST_EVENTS: i64 = 300;
/// A position that is further behind is not continued.
pub const MOST_BEHIND: i64 = 1_000;

/// A stream and the sequence of the last event that the client has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    pub(super) name: StreamName,
    pub(super) after: i64,
}

/// What to read of each stream, in the order of the positions.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan(Vec<Part>);

#[derive(Debug, PartialEq, Eq)]
struct Part {
    after: i64,
    /// The number of missing events, and how many of them this answer has.
    missing: i64,
    share: i64,
    resync: bool,
}

impl Plan {
    /// The plan for positions in streams with these heads. `is_same_history` is false if the positions are of another
    /// epoch.
    pub(super) fn new(positions: &[Position], heads: &[i64], is_same_history: bool) -> Self {
        let parts = positions.iter().zip(heads).map(|(position, &head)| {
            let behind = head.saturating_sub(position.after);
            let resync = !is_same_history || !(0..=MOST_BEHIND).contains(&behind);
            let missing = if resync { 0 } else { behind };
            Part { after: position.after, missing, share: 0, resync }
        });
        let mut plan = Self(parts.collect());
        plan.share();
        plan
    }

    /// Shares the events of an answer: each stream gets an equal part, and what a stream does not need is shared by the
    /// others.
    fn share(&mut self) {
        let mut parts: Vec<&mut Part> = self.0.iter_mut().collect();
        parts.sort_by_key(|part| part.missing);
        let mut sharing = i64::try_from(parts.len()).unwrap_or(i64::MAX);
        let mut left = MOST_EVENTS;
        for part in parts {
            part.share = part.missing.min(left / sharing);
            left -= part.share;
            sharing -= 1;
        }
    }

    /// What to read.
    pub(super) fn ranges(&self, names: &[Arc<str>]) -> Vec<Range> {
        let parts = self.0.iter().zip(names).filter(|(part, _)| part.share > 0);
        parts
            .map(|(part, name)| Range {
                stream: name.as_ref().to_owned(),
                above: part.after,
                through: part.after + part.share,
            })
            .collect()
    }

    /// Checks what was read: a stream of which an event is missing, because it has expired, is not continued.
    pub(super) fn check(&mut self, names: &[Arc<str>], events: &[Arc<Event>]) {
        let continued = self.0.iter_mut().zip(names).filter(|(part, _)| !part.resync);
        for (part, name) in continued {
            let own = events.iter().filter(|event| event.stream == **name);
            let expected = part.after + 1..=part.after + part.share;
            if !own.map(|event| event.sequence).eq(expected) {
                part.resync = true;
            }
        }
    }

    /// Whether the stream of a position is not continued.
    pub(super) fn is_resync(&self, index: usize) -> bool {
        self.0.get(index).is_some_and(|part| part.resync)
    }

    /// Whether there are events that this answer does not have.
    pub(super) fn has_more(&self) -> bool {
        self.0.iter().any(|part| !part.resync && part.missing > part.share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::testing::at;

    fn plan(positions: &[(i64, i64)]) -> Plan {
        let name = StreamName::Announcements;
        let [after, heads] = [0, 1].map(|part| {
            let values =
                positions.iter().map(|&(after, head)| if part == 0 { after } else { head });
            values.collect::<Vec<i64>>()
        });
        let positions: Vec<_> = after.into_iter().map(|after| Position { name, after }).collect();
        Plan::new(&positions, &heads, true)
    }

    fn shares(positions: &[(i64, i64)]) -> Vec<i64> {
        plan(positions).0.iter().map(|part| part.share).collect()
    }

    #[test]
    fn events_are_shared_evenly_among_streams() {
        assert_eq!(shares(&[(17, 20)]), [3]);
        assert_eq!(shares(&[(0, 900)]), [300]);
        assert_eq!(shares(&[(0, 900), (0, 900), (0, 900)]), [100, 100, 100]);
        // What one does not need, the others get.
        assert_eq!(shares(&[(0, 900), (5, 5), (0, 20), (0, 900)]), [140, 0, 20, 140]);
        assert_eq!(shares(&[(0, 7); 50]), [6; 50]);
        assert!(plan(&[(0, 900)]).has_more() && !plan(&[(600, 900)]).has_more());
        let uneven = shares(&[(0, 500); 7]);
        assert_eq!(uneven.iter().sum::<i64>(), MOST_EVENTS);
        assert!(uneven.iter().all(|share| [42, 43].contains(share)), "{uneven:?}");
    }

    #[test]
    fn positions_that_are_too_old_or_of_another_history_are_not_continued() {
        let resync = |positions| {
            let plan = plan(positions);
            assert!(plan.ranges(&["announcements".into()]).is_empty() || !plan.0[0].resync);
            plan.is_resync(0)
        };
        assert!(!resync(&[(0, 0)]) && !resync(&[(0, MOST_BEHIND)]));
        assert!(resync(&[(0, MOST_BEHIND + 1)]) && resync(&[(8, 7)]) && resync(&[(i64::MAX, 7)]));
        let position = Position { name: StreamName::Announcements, after: 7 };
        assert!(Plan::new(&[position], &[7], false).is_resync(0));
    }

    #[test]
    fn a_stream_with_an_expired_event_is_not_continued() {
        let names: [Arc<str>; 1] = ["announcements".into()];
        let event = |sequence| {
            Arc::new(Event {
                stream: "announcements".to_owned(),
                sequence,
                at: at(0.0),
                kind: "test".to_owned(),
                request: None,
                data: String::new(),
            })
        };
        for (found, resync) in
            [(&[4, 5][..], false), (&[5], true), (&[4], true), (&[], true), (&[4, 5, 6], true)]
        {
            let mut plan = plan(&[(3, 5)]);
            let events: Vec<_> = found.iter().copied().map(event).collect();
            plan.check(&names, &events);
            assert_eq!(plan.is_resync(0), resync, "{found:?}");
        }
    }
}
