//! Whether Redis answers an instance: in time, late, or not at all. Times are nanoseconds on a clock of the instance's
//! own.

use std::sync::atomic::{AtomicU64, Ordering};

/// How long Redis may owe an answer before it counts as away rather than late.
pub const AWAY_NANOS: u64 = 1_000_000_000;

/// For how long Redis is not asked after an answer that did not come in time. Every call would else wait as long as a call
/// may for a Redis that is slow and not yet given up.
const PAUSE_NANOS: u64 = 100_000_000;

/// The stored time while Redis owes no answer.
const NEVER: u64 = u64::MAX;

/// What an instance knows of Redis.
#[derive(Debug)]
pub struct Contact {
    /// Until when Redis is not asked.
    pause_until: AtomicU64,
    /// From when on Redis counts as away, unless it answers before. At first Redis has never answered and is away.
    away_at: AtomicU64,
}

impl Default for Contact {
    fn default() -> Self {
        Self { pause_until: AtomicU64::new(0), away_at: AtomicU64::new(0) }
    }
}

impl Contact {
    /// An answer to a question of `sent` did not come in time, or Redis was found unreachable then.
    pub fn unanswered(&self, sent: u64) {
        let away_at = sent.saturating_add(AWAY_NANOS);
        self.away_at
            .compare_exchange(NEVER, away_at, Ordering::Relaxed, Ordering::Relaxed)
            // Away since an earlier question.
            .ok();
    }

    /// Redis is left alone for a moment, from `now` on.
    pub fn pause(&self, now: u64) {
        self.pause_until.store(now + PAUSE_NANOS, Ordering::Relaxed);
    }

    /// Redis has answered.
    pub fn answered(&self) {
        // Every answer comes this way, and threads should not take the line from each other for nothing.
        if self.away_at.load(Ordering::Relaxed) != NEVER {
            self.away_at.store(NEVER, Ordering::Relaxed);
        }
    }

    /// How Redis is at `now`, where `is_up` tells whether it can be asked at all.
    pub fn link(&self, now: u64, is_up: bool) -> Link {
        let away_at = self.away_at.load(Ordering::Relaxed);
        Link {
            is_up,
            is_paused: now < self.pause_until.load(Ordering::Relaxed),
            away_at: (away_at != NEVER).then_some(away_at),
        }
    }
}

/// How Redis is at one time.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Whether Redis can be asked.
    pub is_up: bool,
    /// Whether it rather should not be.
    pub is_paused: bool,
    /// From when on it counts as away, where it owes an answer.
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
