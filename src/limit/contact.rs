//! Whether Redis answers an instance: in time, late, or not at all. Times are nanoseconds on the instance's monotonic
//! clock.

use std::sync::atomic::{AtomicU64, Ordering};

/// How late an answer may be before Redis counts as unavailable instead of late.
pub const AWAY_NANOS: u64 = 1_000_000_000;

/// How long Redis is not asked after an answer was late. Otherwise every call would wait for its time-out while a slow
/// Redis is not yet given up.
const PAUSE_NANOS: u64 = 100_000_000;

/// The stored time while no answer is outstanding.
const NEVER: u64 = u64::MAX;

/// What an instance knows about Redis.
#[derive(Debug)]
pub struct Contact {
    /// Until when Redis is not asked.
    pause_until: AtomicU64,
    /// When Redis counts as unavailable unless it answers before. Before its first answer Redis is unavailable.
    away_at: AtomicU64,
}

impl Default for Contact {
    fn default() -> Self {
        Self { pause_until: AtomicU64::new(0), away_at: AtomicU64::new(0) }
    }
}

impl Contact {
    /// Notes that the answer to a request of `sent` was late, or that Redis was unreachable then.
    pub fn unanswered(&self, sent: u64) {
        let away_at = sent.saturating_add(AWAY_NANOS);
        self.away_at
            .compare_exchange(NEVER, away_at, Ordering::Relaxed, Ordering::Relaxed)
            // Unavailable since an earlier request.
            .ok();
    }

    /// Does not ask Redis for a moment from `now` on.
    pub fn pause(&self, now: u64) {
        self.pause_until.store(now + PAUSE_NANOS, Ordering::Relaxed);
    }

    /// Notes that Redis has answered.
    pub fn answered(&self) {
        // Every answer passes here, so the cache line is written only if the value changes.
        if self.away_at.load(Ordering::Relaxed) != NEVER {
            self.away_at.store(NEVER, Ordering::Relaxed);
        }
    }

    /// The state of Redis at `now`. `is_up` tells whether it can be asked at all.
    pub fn link(&self, now: u64, is_up: bool) -> Link {
        let away_at = self.away_at.load(Ordering::Relaxed);
        Link {
            is_up,
            is_paused: now < self.pause_until.load(Ordering::Relaxed),
            away_at: (away_at != NEVER).then_some(away_at),
        }
    }
}

/// The state of Redis at a point in time.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Whether Redis can be asked.
    pub is_up: bool,
    /// Whether it should not be asked for now.
    pub is_paused: bool,
    /// When it counts as unavailable, if an answer is outstanding.
    pub away_at: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redis_that_is_late_is_left_alone_for_a_moment() {
        let contact = Contact::default();
        assert!(!contact.link(0, true).is_paused);
        contact.pause(5);
        assert!(contact.link(5, true).is_paused && contact.link(4 + PAUSE_NANOS, true).is_paused);
        assert!(!contact.link(5 + PAUSE_NANOS, true).is_paused);
    }

    #[test]
    fn redis_is_away_a_second_after_the_first_question_without_an_answer() {
        let contact = Contact::default();
        assert_eq!(contact.link(0, true).away_at, Some(0), "it has never answered");
        contact.answered();
        assert_eq!(contact.link(0, true).away_at, None);
        contact.unanswered(7);
        contact.unanswered(9);
        assert_eq!(contact.link(9, true).away_at, Some(7 + AWAY_NANOS));
        contact.answered();
        contact.unanswered(11);
        assert_eq!(contact.link(11, true).away_at, Some(11 + AWAY_NANOS));
    }
}
