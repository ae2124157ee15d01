//! Decides which revocations each poll reads, so that none is missed, even if it is committed late.
//!
//! A revocation gets its number when it is written, and becomes visible when it is committed. That may be much later if
//! the disk or a standby is slow, and higher numbers may be read before. So each poll reads the revocations above the
//! highest number that was read, and those whose numbers were missing below it. The number of a transaction that was
//! rolled back stays missing. It is forgotten when every access token that it could concern has expired.

use std::collections::BTreeMap;

use crate::domain::Timestamp;
use crate::store::pulse::{Pulse, Unread};

/// Revocations of the last seconds are always read again, because the previous release stores in them the time
/// of the instance that made them.
const OVERLAP_SECONDS: f64 = 30.0;
/// The largest number of missing revocations that are tracked. If more are missing, every poll reads all revocations
/// that may concern a valid token, until the missing ones cannot concern one any more.
const MOST_MISSING: usize = 1000;
/// At the first poll, this many numbers below the first one that was read count as missing, because their transactions
/// may not have ended yet.
const LOOKED_BACK: i64 = 64;

/// Which revocations have not been read.
#[derive(Debug)]
pub(super) struct Feed {
    /// Seconds for which a revocation may concern a valid token.
    relevant_seconds: f64,
    /// The highest number at the last poll; `None` before the first poll and after an outage.
    last: Option<i64>,
    /// Lower numbers that could not be read, and since when they are missing.
    missing: BTreeMap<i64, Timestamp>,
    /// Until when every poll reads all revocations that may concern a valid token.
    unsure_until: Option<Timestamp>,
}

impl Feed {
    /// A feed of which nothing was read. A revocation may concern a valid token for `relevant_seconds` seconds.
    pub(super) fn new(relevant_seconds: f64) -> Self {
        Self { relevant_seconds, last: None, missing: BTreeMap::new(), unsure_until: None }
    }

    /// After an outage: makes the next poll read all revocations that may concern a valid token. Missing numbers stay
    /// missing.
    pub(super) fn read_again(&mut self) {
        self.last = None;
    }

    /// Forgets everything, because the database was replaced or restored and its numbers may start again.
    pub(super) fn restart(&mut self) {
        *self = Self::new(self.relevant_seconds);
    }

    /// What to read at `now`.
    pub(super) fn unread(&self, now: Timestamp) -> Unread {
        let unsure = self.last.is_none() || self.unsure_until.is_some_and(|until| now < until);
        let seconds = if unsure { self.relevant_seconds } else { OVERLAP_SECONDS };
        Unread {
            since: now.plus_seconds(-seconds),
            above: self.last.unwrap_or(i64::MAX),
            missing: self.missing.keys().copied().collect(),
        }
    }

    /// Notes what was read at `now`.
    pub(super) fn note(&mut self, pulse: &Pulse, now: Timestamp) {
        let read = &pulse.revocation_numbers;
        let top = pulse.last_revocation.max(self.last.unwrap_or(0));
        let first = match self.last {
            Some(last) => last + 1,
            None => (read.first().map_or(top + 1, |&first| first) - LOOKED_BACK).max(1),
        };
        for number in read {
            self.missing.remove(number);
        }
        self.missing.retain(|_, since| now.seconds_since(*since).abs() < self.relevant_seconds);
        let expected = usize::try_from(top - first + 1).unwrap_or(0);
        let fresh = read.len() - read.partition_point(|&number| number < first);
        if self.missing.len() + expected.saturating_sub(fresh) > MOST_MISSING {
            self.missing.clear();
            self.unsure_until = Some(now.plus_seconds(self.relevant_seconds));
        } else {
            let missing = (first..=top).filter(|number| read.binary_search(number).is_err());
            self.missing.extend(missing.map(|number| (number, now)));
        }
        self.last = Some(top);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: f64 = 930.0;

    fn at(seconds: f64) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000).plus_seconds(seconds)
    }

    /// A poll that read these numbers, where `last` was the highest visible one.
    fn pulse(read: &[i64], last: i64) -> Pulse {
        Pulse {
            now: at(0.0),
            catalogue_version: None,
            silenced: false,
            revocations: Vec::new(),
            revocation_numbers: read.to_vec(),
            last_revocation: last,
        }
    }

    /// A feed of which everything up to 100 was read at the start.
    fn read_to_100() -> Feed {
        let mut feed = Feed::new(LONGEST);
        let all: Vec<i64> = (1..=100).collect();
        feed.note(&pulse(&all, 100), at(0.0));
        feed
    }

    #[test]
    fn the_first_poll_and_one_after_an_outage_read_everything_relevant() {
        let mut feed = Feed::new(LONGEST);
        assert_eq!(feed.unread(at(0.0)).since, at(-LONGEST));
        feed.note(&pulse(&[], 0), at(0.0));
        assert_eq!(feed.unread(at(1.0)).since, at(1.0 - OVERLAP_SECONDS));
        feed.read_again();
        assert_eq!(feed.unread(at(2.0)).since, at(2.0 - LONGEST));
        // An outage does not clear the missing numbers; a restart of the numbering does.
        let mut feed = read_to_100();
        feed.note(&pulse(&[102], 102), at(1.0));
        feed.read_again();
        assert_eq!(feed.unread(at(2.0)).missing, [101]);
        feed.restart();
        assert_eq!(feed.unread(at(2.0)).missing, Vec::<i64>::new());
    }

    #[test]
    fn a_missing_number_is_requested_until_it_is_read() {
        let mut feed = read_to_100();
        let Unread { above, missing, .. } = feed.unread(at(1.0));
        assert_eq!((above, missing), (100, vec![]));
        feed.note(&pulse(&[101, 104], 104), at(1.0));
        let Unread { above, missing, .. } = feed.unread(at(500.0));
        assert_eq!((above, missing), (104, vec![102, 103]));
        // The highest number is read first, and then one that was committed late.
        feed.note(&pulse(&[105], 105), at(500.0));
        feed.note(&pulse(&[102], 105), at(501.0));
        assert_eq!(feed.unread(at(502.0)).missing, [103]);
    }

    #[test]
    fn a_number_that_was_rolled_back_is_forgotten_when_all_tokens_have_expired() {
        let mut feed = read_to_100();
        feed.note(&pulse(&[102], 102), at(1.0));
        feed.note(&pulse(&[], 102), at(LONGEST));
        assert_eq!(feed.unread(at(LONGEST)).missing, [101]);
        feed.note(&pulse(&[], 102), at(LONGEST + 1.0));
        assert_eq!(feed.unread(at(LONGEST + 1.0)).missing, Vec::<i64>::new());
    }

    #[test]
    fn numbers_that_may_be_uncommitted_at_the_start_are_requested() {
        let mut feed = Feed::new(LONGEST);
        feed.note(&pulse(&[500, 502], 502), at(0.0));
        let missing = feed.unread(at(1.0)).missing;
        assert_eq!(missing, (436..500).chain([501]).collect::<Vec<_>>());
        // The last revocation was long ago.
        let mut feed = Feed::new(LONGEST);
        feed.note(&pulse(&[], 502), at(0.0));
        assert_eq!(feed.unread(at(1.0)).missing, (439..=502).collect::<Vec<_>>());
    }

    #[test]
    fn if_too_many_are_missing_everything_is_read_until_their_tokens_have_expired() {
        let mut feed = read_to_100();
        feed.note(&pulse(&[5_000], 5_000), at(1.0));
        let Unread { since, missing, above } = feed.unread(at(2.0));
        assert_eq!((since, missing, above), (at(2.0 - LONGEST), vec![], 5_000));
        feed.note(&pulse(&[5_001], 5_001), at(LONGEST + 1.0));
        assert_eq!(feed.unread(at(LONGEST + 1.0)).since, at(LONGEST + 1.0 - OVERLAP_SECONDS));
        // Numbers that were read are not missing, however many they are.
        let mut feed = read_to_100();
        let many: Vec<i64> = (101..=5_000).collect();
        feed.note(&pulse(&many, 5_000), at(1.0));
        assert_eq!(feed.unread(at(2.0)).since, at(2.0 - OVERLAP_SECONDS));
    }
}
