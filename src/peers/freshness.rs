//! How long what was read may be served: long while announcements of changes are known to arrive, and else a second.
//!
//! They are known to arrive while this instance hears its own heartbeat over the channel, every instance that was heard
//! before is still heard, and none says in the database that it cannot announce. What was read before that began is
//! not trusted for long, as an announcement of a change may have been missed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::identity::IdentityTracker;

/// How long what was read is served while announcements arrive.
const HEARING: Duration = Duration::from_secs(30);
/// How long it is served while they may not.
pub(super) const DEAF: Duration = Duration::from_secs(1);
/// After this long without a heartbeat, announcements may be missing.
const SILENCE: Duration = Duration::from_secs(1);
/// After this long without a heartbeat an instance has ended, and what it did last is old.
const ENDED: Duration = Duration::from_secs(6);
/// For how long an instance's word in the database counts that it cannot announce; it is repeated twice a second.
const WARNED: Duration = Duration::from_secs(3);
/// How long an instance may take to notice that the identity of the database has changed, while it goes on writing: its pulse
/// may have to wait for a connection and for an answer.
const MOVED: Duration = Duration::from_secs(10);

/// What is known of the channel.
pub struct Trust {
    started: Instant,
    /// Microseconds from `started` on, read by every request: trust holds from the one to the other.
    since: AtomicU64,
    until: AtomicU64,
    heard: Mutex<Heard>,
    identity: Arc<IdentityTracker>,
}

#[derive(Debug, Default)]
struct Heard {
    /// Nobody else writes, so nothing needs to be heard.
    alone: bool,
    own: Option<Instant>,
    /// Since when this instance hears itself without a gap.
    own_since: Option<Instant>,
    others: HashMap<Uuid, Instant>,
    /// Until when an instance is known that cannot announce.
    warned_until: Option<Instant>,
    /// When an instance of the release before was heard last. It does not hear this one.
    older_release: Option<Instant>,
}

impl Trust {
    /// Trust in a channel that has not been heard yet; `alone` says that nobody else writes.
    pub(super) fn new(alone: bool, now: Instant, identity: Arc<IdentityTracker>) -> Self {
        let trust = Self {
            identity,
            started: now,
            since: AtomicU64::new(0),
            until: AtomicU64::new(0),
            heard: Mutex::new(Heard { alone, ..Heard::default() }),
        };
        if alone {
            trust.until.store(u64::MAX, Ordering::Relaxed);
        }
        trust
    }

    /// What is known about the identity of the database.
    pub(super) fn identity(&self) -> &IdentityTracker {
        &self.identity
    }

    /// Whether what was right at `right_at` may be served at `now`.
    pub(super) fn holds(&self, right_at: Instant, now: Instant) -> bool {
        if !self.identity.trusts(right_at) {
            return false;
        }
        let age = now.saturating_duration_since(right_at);
        if age < DEAF {
            return true;
        }
        // In the order opposite to that in which they are written: a new `until` never comes with an old `since`.
        let until = self.until.load(Ordering::Acquire);
        let since = self.since.load(Ordering::Acquire);
        age < HEARING && self.micros(now) < until && self.micros(right_at) >= since
    }

    fn micros(&self, at: Instant) -> u64 {
        let span = at.saturating_duration_since(self.started);
        u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
    }

    /// This instance's own heartbeat came back.
    pub(super) fn hear_self(&self, now: Instant) {
        self.change(now, |heard| {
            if heard.own.is_none_or(|at| now.saturating_duration_since(at) >= SILENCE) {
                heard.own_since = Some(now);
            }
            heard.own = Some(now);
        });
    }

    /// Another instance was heard. Returns whether it is new.
    pub(super) fn hear(&self, other: Uuid, now: Instant) -> bool {
        let mut new = false;
        self.change(now, |heard| new = heard.others.insert(other, now).is_none());
        new
    }

    /// Another instance has ended in order.
    pub(super) fn forget(&self, other: Uuid, now: Instant) {
        self.change(now, |heard| {
            heard.others.remove(&other);
        });
    }

    /// An instance cannot announce what it changes, or speaks in a form that is not understood.
    pub fn warn(&self, now: Instant) {
        self.distrust(now, WARNED);
    }

    fn distrust(&self, now: Instant, span: Duration) {
        self.change(now, |heard| heard.warned_until = heard.warned_until.max(Some(now + span)));
    }

    /// The database has another identity, and so has the channel: nobody has been heard there yet, and whoever has not
    /// noticed announces elsewhere.
    pub(super) fn move_channel(&self, now: Instant) {
        self.change(now, |heard| {
            (heard.own, heard.own_since) = (None, None);
            heard.others.clear();
        });
        self.distrust(now, MOVED);
    }

    /// An instance of the release before was heard. It does not hear this one, and so it does not announce what it changes
    /// where it believes to be alone.
    pub(super) fn hear_older_release(&self, now: Instant) {
        self.change(now, |heard| heard.older_release = Some(now));
        self.distrust(now, WARNED);
    }

    /// Whether an instance is there that does not understand what this one announces.
    pub(super) fn has_older_company(&self, now: Instant) -> bool {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.older_release.is_some_and(|at| now.saturating_duration_since(at) < ENDED)
    }

    /// The channel broke: announcements may have been missed.
    pub(super) fn lose(&self, now: Instant) {
        self.change(now, |heard| (heard.own, heard.own_since) = (None, None));
    }

    /// Whether this instance does not hear itself, and so may not be heard either.
    pub fn is_deaf(&self, now: Instant) -> bool {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        !heard.alone && now.saturating_duration_since(heard.own.unwrap_or(self.started)) >= SILENCE
    }

    /// Whether nobody else writes the database.
    pub(super) fn is_alone(&self) -> bool {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).alone
    }

    /// Whether somebody else may want to hear what this instance changes.
    pub(super) fn has_company(&self, now: Instant) -> bool {
        let deaf = self.is_deaf(now);
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        !heard.alone && (deaf || !heard.others.is_empty())
    }

    /// Lets time pass: instances that have ended are forgotten.
    pub(super) fn pass(&self, now: Instant) {
        self.change(now, |heard| {
            heard.others.retain(|_, at| now.saturating_duration_since(*at) < ENDED);
        });
    }

    fn change(&self, now: Instant, change: impl FnOnce(&mut Heard)) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        // What was silent too long until now was missed, though it is heard again in this very moment.
        let held = self.micros(now) < self.until.load(Ordering::Relaxed);
        let others: Vec<Uuid> = heard.others.keys().copied().collect();
        change(&mut heard);
        if heard.alone {
            return;
        }
        let until = heard.until(now);
        let joined = heard.others.keys().any(|other| !others.contains(other));
        if until.is_none() || !held || joined {
            self.since.store(self.micros(now), Ordering::Release);
        }
        self.until.store(until.map_or(0, |until| self.micros(until)), Ordering::Release);
    }
}

impl Heard {
    /// Until when announcements are known to arrive, if nothing more is heard; none where they are not.
    fn until(&self, now: Instant) -> Option<Instant> {
        let warned = self.warned_until.is_some_and(|until| now < until);
        // Others learn of this instance by its first heartbeat, and announce to it from then on.
        let settled =
            self.own_since.is_some_and(|at| now.saturating_duration_since(at) >= SILENCE / 4);
        let last = self.others.values().copied().chain(self.own).min()?;
        let until = last + SILENCE;
        (self.own.is_some() && settled && !warned && now < until).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A moment `millis` after the start.
    fn after(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    /// Trust of an instance that has heard itself every half second up to `millis`.
    fn hearing(start: Instant, millis: u64) -> Trust {
        let trust = Trust::new(false, start, Arc::default());
        for beat in (0..=millis).step_by(500) {
            trust.hear_self(after(start, beat));
        }
        trust
    }

    #[test]
    fn a_second_is_always_trusted_and_no_more_before_anything_is_heard() {
        let start = Instant::now();
        let trust = Trust::new(false, start, Arc::default());
        assert!(trust.holds(start, after(start, 999)));
        assert!(!trust.holds(start, after(start, 1000)));
    }

    #[test]
    fn half_a_minute_is_trusted_while_the_heart_beats() {
        let start = Instant::now();
        let trust = hearing(start, 40_000);
        assert!(trust.holds(after(start, 11_000), after(start, 40_400)));
        assert!(!trust.holds(after(start, 10_000), after(start, 40_400)));
        assert!(!trust.holds(after(start, 20_000), after(start, 41_000)), "a second of silence");
    }

    #[test]
    fn what_was_read_before_a_silence_is_not_trusted_after_it() {
        let start = Instant::now();
        let trust = hearing(start, 5_000);
        for beat in [8_000, 8_500, 9_000] {
            trust.hear_self(after(start, beat));
        }
        assert!(!trust.holds(after(start, 7_000), after(start, 9_100)));
        assert!(trust.holds(after(start, 8_600), after(start, 9_900)));
    }

    #[test]
    fn an_instance_that_falls_silent_is_missed_until_it_is_heard_again_or_has_ended() {
        let (start, other) = (Instant::now(), Uuid::from_u128(1));
        let trust = hearing(start, 2_000);
        trust.hear(other, after(start, 2_000));
        for beat in (2_500..20_000).step_by(500) {
            trust.hear_self(after(start, beat));
            trust.pass(after(start, beat));
            let holds = trust.holds(after(start, beat - 1_200), after(start, beat + 100));
            match beat {
                3_000..7_500 => assert!(!holds, "it is silent at {beat}"),
                9_500.. => assert!(holds, "it has ended at {beat}"),
                _ => {}
            }
        }
    }

    #[test]
    fn an_instance_that_ends_in_order_is_not_missed() {
        let (start, other) = (Instant::now(), Uuid::from_u128(1));
        let trust = hearing(start, 2_000);
        trust.hear(other, after(start, 2_000));
        trust.hear_self(after(start, 2_500));
        trust.forget(other, after(start, 2_600));
        for beat in [3_000, 3_500, 4_000] {
            trust.hear_self(after(start, beat));
        }
        assert!(trust.holds(after(start, 2_700), after(start, 4_100)));
    }

    #[test]
    fn a_warning_counts_for_a_while() {
        let start = Instant::now();
        let trust = hearing(start, 2_000);
        trust.warn(after(start, 2_100));
        for beat in (2_500..=8_000).step_by(500) {
            trust.hear_self(after(start, beat));
        }
        assert!(!trust.holds(after(start, 4_000), after(start, 8_100)));
        assert!(trust.holds(after(start, 6_000), after(start, 8_100)));
    }

    #[test]
    fn nothing_is_trusted_that_was_read_before_a_connection_was_lost() {
        let start = Instant::now();
        let trust = hearing(start, 2_000);
        assert!(trust.holds(after(start, 1_900), after(start, 2_100)));
        trust.identity().connection_lost(after(start, 2_000));
        assert!(!trust.holds(after(start, 1_900), after(start, 2_100)));
        assert!(trust.holds(after(start, 2_050), after(start, 2_100)));
    }

    #[test]
    fn a_new_channel_is_trusted_once_every_instance_must_have_come_to_it() {
        let start = Instant::now();
        let trust = hearing(start, 2_000);
        trust.move_channel(after(start, 2_100));
        for beat in (2_500..=14_000).step_by(500) {
            trust.hear_self(after(start, beat));
            let holds = trust.holds(after(start, beat - 1_200), after(start, beat + 100));
            match beat {
                ..12_000 => assert!(!holds, "at {beat}"),
                14_000.. => assert!(holds, "at {beat}"),
                _ => {}
            }
        }
    }

    #[test]
    fn whoever_is_alone_needs_to_hear_nothing() {
        let start = Instant::now();
        let trust = Trust::new(true, start, Arc::default());
        assert!(trust.holds(start, after(start, 29_000)));
        assert!(!trust.holds(start, after(start, 30_000)));
        assert!(!trust.is_deaf(after(start, 5_000)) && !trust.has_company(start));
    }

    #[test]
    fn whoever_does_not_hear_itself_speaks_all_the_same() {
        let start = Instant::now();
        let trust = hearing(start, 1_000);
        assert!(!trust.has_company(after(start, 1_100)));
        trust.hear(Uuid::from_u128(1), after(start, 1_200));
        assert!(trust.has_company(after(start, 1_300)));
        let deaf = hearing(start, 1_000);
        assert!(deaf.is_deaf(after(start, 2_000)) && deaf.has_company(after(start, 2_000)));
    }
}
