//! Tracks whether Redis answers this instance in time, late, or not at all. Times are nanoseconds on the instance's
//! monotonic clock.

use std::sync::atomic::{AtomicU64, Ordering};

/// How long a request may be without an answer before Redis counts as unavailable; until then it counts as late.
pub const UNAVAILABLE_AFTER_NANOS: u64 = 1_000_000_000;

/// How long no requests are sent after an answer was late. Otherwise every call would wait for its time-out until Redis
/// counts as unavailable.
const PAUSE_NANOS: u64 = 100_000_000;

/// The value of `unavailable_at` while Redis answers.
const NEVER: u64 = u64::MAX;

/// Whether and how fast Redis answers this instance.
#[derive(Debug)]
pub struct Contact {
    /// Until when no requests are sent.
    pause_until: AtomicU64,
    /// When Redis counts as unavailable unless it answers before. Initially 0, because Redis counts as unavailable
    /// until its first answer.
    unavailable_at: AtomicU64,
}

impl Default for Contact {
    fn default() -> Self {
        Self { pause_until: AtomicU64::new(0), unavailable_at: AtomicU64::new(0) }
    }
}

impl Contact {
    /// Notes that the answer to a request that was sent at `sent` is late, or that Redis was unreachable at that time.
    pub fn unanswered(&self, sent: u64) {
        let unavailable_at = sent.saturating_add(UNAVAILABLE_AFTER_NANOS);
        self.unavailable_at
            .compare_exchange(NEVER, unavailable_at, Ordering::Relaxed, Ordering::Relaxed)
            // On failure, an earlier request is still unanswered and decides.
            .ok();
    }

    /// Sends no requests for a short time from `now` on.
    pub fn pause(&self, now: u64) {
        self.pause_until.store(now + PAUSE_NANOS, Ordering::Relaxed);
    }

    /// Notes that Redis has answered.
    pub fn answered(&self) {
        // This runs for every answer, so the shared cache line is written only if the value changes.
        if self.unavailable_at.load(Ordering::Relaxed) != NEVER {
            self.unavailable_at.store(NEVER, Ordering::Relaxed);
        }
    }

    /// The state of Redis at `now`. `is_up` says whether requests can be sent at all.
    pub fn link(&self, now: u64, is_up: bool) -> Link {
        let unavailable_at = self.unavailable_at.load(Ordering::Relaxed);
        Link {
            is_up,
            is_paused: now < self.pause_until.load(Ordering::Relaxed),
            unavailable_at: (unavailable_at != NEVER).then_some(unavailable_at),
        }
    }
}

/// The state of Redis at a point in time.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Whether requests can be sent.
    pub is_up: bool,
    /// Whether no requests should be sent at present, because an answer was late.
    pub is_paused: bool,
    /// When Redis counts as unavailable; `None` while it answers.
    pub unavailable_at: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_requests_are_sent_for_a_short_time_after_a_late_answer() {
        let contact = Contact::default();
        assert!(!contact.link(0, true).is_paused);
        contact.pause(5);
        assert!(contact.link(5, true).is_paused && contact.link(4 + PAUSE_NANOS, true).is_paused);
        assert!(!contact.link(5 + PAUSE_NANOS, true).is_paused);
    }

    #[test]
    fn redis_is_unavailable_a_second_after_the_first_unanswered_request() {
        let contact = Contact::default();
        assert_eq!(contact.link(0, true).unavailable_at, Some(0), "it has never answered");
        contact.answered();
        assert_eq!(contact.link(0, true).unavailable_at, None);
        contact.unanswered(7);
        contact.unanswered(9);
        assert_eq!(contact.link(9, true).unavailable_at, Some(7 + UNAVAILABLE_AFTER_NANOS));
        contact.answered();
        contact.unanswered(11);
        assert_eq!(contact.link(11, true).unavailable_at, Some(11 + UNAVAILABLE_AFTER_NANOS));
    }
}
