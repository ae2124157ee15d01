//! How long rows may be served: 30 s while all announcements of changes are known to arrive, otherwise one second.
//!
//! They are known to arrive while this instance receives its own heartbeat over the channel, every known peer's
//! heartbeat arrives too, and no instance notes in the database that it cannot announce. Rows that were read before
//! that state began are fresh for one second only, because an announcement may have been lost.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::identity::IdentityTracker;

/// How long rows are fresh while announcements arrive.
const FRESH_WHILE_CONNECTED: Duration = Duration::from_secs(30);
/// How long rows are fresh in any case.
pub const ALWAYS_FRESH: Duration = Duration::from_secs(1);
/// After this long without a heartbeat, announcements may be missing.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(1);
/// After this long without a heartbeat a peer has ended, and its last change is old.
const PEER_EXPIRES: Duration = Duration::from_secs(6);
/// How long an instance's note in the database counts that it cannot announce. The note is repeated twice a second.
const WARNING_LASTS: Duration = Duration::from_secs(3);
/// How long an instance may take to notice that the identity of the database has changed, while it still writes: its
/// poller may have to wait for a connection and for an answer.
const MIGRATION_LASTS: Duration = Duration::from_secs(10);

/// The state of the channel, and what follows from it.
pub struct Freshness {
    started: Instant,
    /// Microseconds since `started`, read by every request. Rows that were read from `since` on are fresh for
    /// [`FRESH_WHILE_CONNECTED`] until `until`.
    since: AtomicU64,
    until: AtomicU64,
    channel: Mutex<Channel>,
    identity: Arc<IdentityTracker>,
}

#[derive(Debug, Default)]
struct Channel {
    /// Whether no other process writes the database, so that there are no announcements.
    only_writer: bool,
    own: Option<Instant>,
    /// Since when the own heartbeat has arrived without a gap.
    own_since: Option<Instant>,
    peers: HashMap<Uuid, Instant>,
    /// Until when an instance is known that cannot announce its changes.
    suspect_until: Option<Instant>,
    /// When a heartbeat of the older release last arrived. Such an instance does not receive messages of this release.
    older_release: Option<Instant>,
}

impl Freshness {
    /// The freshness before any heartbeat. `only_writer` states that no other process writes the database.
    pub fn new(only_writer: bool, now: Instant, identity: Arc<IdentityTracker>) -> Self {
        let freshness = Self {
            identity,
            started: now,
            since: AtomicU64::new(0),
            until: AtomicU64::new(0),
            channel: Mutex::new(Channel { only_writer, ..Channel::default() }),
        };
        if only_writer {
            freshness.until.store(u64::MAX, Ordering::Relaxed);
        }
        freshness
    }

    /// What is known about the identity of the database.
    pub fn identity(&self) -> &IdentityTracker {
        &self.identity
    }

    /// Whether a row that was right at `right_at` may be served at `now`.
    pub fn is_fresh(&self, right_at: Instant, now: Instant) -> bool {
        if !self.identity.is_still_valid(right_at) {
            return false;
        }
        let age = now.saturating_duration_since(right_at);
        if age < ALWAYS_FRESH {
            return true;
        }
        // In the reverse order of the stores, so that a new `until` is never combined with an old `since`.
        let until = self.until.load(Ordering::Acquire);
        let since = self.since.load(Ordering::Acquire);
        age < FRESH_WHILE_CONNECTED && self.micros(now) < until && self.micros(right_at) >= since
    }

    fn micros(&self, at: Instant) -> u64 {
        let span = at.saturating_duration_since(self.started);
        u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
    }

    /// Notes that this instance's own heartbeat arrived.
    pub fn own_heartbeat(&self, now: Instant) {
        self.change(now, |channel| {
            if channel.own.is_none_or(|at| now.saturating_duration_since(at) >= HEARTBEAT_TIMEOUT) {
                channel.own_since = Some(now);
            }
            channel.own = Some(now);
        });
    }

    /// Notes that the heartbeat of another instance arrived.
    pub(super) fn peer_heartbeat(&self, peer: Uuid, now: Instant) {
        self.change(now, |channel| {
            channel.peers.insert(peer, now);
        });
    }

    /// Notes that another instance shuts down.
    pub(super) fn peer_left(&self, peer: Uuid, now: Instant) {
        self.change(now, |channel| {
            channel.peers.remove(&peer);
        });
    }

    /// Notes that an instance cannot announce its changes, or that it uses a format of messages that this release does
    /// not know.
    pub fn peer_cannot_announce(&self, now: Instant) {
        self.suspect(now, WARNING_LASTS);
    }

    fn suspect(&self, now: Instant, span: Duration) {
        self.change(now, |channel| {
            channel.suspect_until = channel.suspect_until.max(Some(now + span));
        });
    }

    /// The database has another identity, and therefore another channel is used. No heartbeat has arrived there yet,
    /// and instances that have not noticed the change announce on the old one.
    pub(super) fn channel_changed(&self, now: Instant) {
        self.change(now, |channel| {
            (channel.own, channel.own_since) = (None, None);
            channel.peers.clear();
        });
        self.suspect(now, MIGRATION_LASTS);
    }

    /// Notes that the heartbeat of an instance of the older release arrived. It does not receive messages of this
    /// release, and announces nothing while it believes that it has no peers.
    pub(super) fn older_release_heartbeat(&self, now: Instant) {
        self.change(now, |channel| channel.older_release = Some(now));
        self.suspect(now, WARNING_LASTS);
    }

    /// Whether there is an instance that does not understand the announcements of this one.
    pub(super) fn has_older_peers(&self, now: Instant) -> bool {
        let channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        channel.older_release.is_some_and(|at| now.saturating_duration_since(at) < PEER_EXPIRES)
    }

    /// Notes that the connection to the channel was lost, so announcements may have been lost.
    pub(super) fn disconnected(&self, now: Instant) {
        self.change(now, |channel| (channel.own, channel.own_since) = (None, None));
    }

    /// Whether this instance does not receive its own heartbeat, so that other instances may not receive it either.
    pub fn is_disconnected(&self, now: Instant) -> bool {
        let channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        !channel.only_writer
            && now.saturating_duration_since(channel.own.unwrap_or(self.started))
                >= HEARTBEAT_TIMEOUT
    }

    /// Whether no other process writes the database.
    pub(super) fn is_only_writer(&self) -> bool {
        self.channel.lock().unwrap_or_else(PoisonError::into_inner).only_writer
    }

    /// Whether another instance may have to know what this one changes.
    pub(super) fn has_peers(&self, now: Instant) -> bool {
        let disconnected = self.is_disconnected(now);
        let channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        !channel.only_writer && (disconnected || !channel.peers.is_empty())
    }

    /// Removes peers that have ended.
    pub(super) fn expire_peers(&self, now: Instant) {
        self.change(now, |channel| {
            channel.peers.retain(|_, at| now.saturating_duration_since(*at) < PEER_EXPIRES);
        });
    }

    fn change(&self, now: Instant, change: impl FnOnce(&mut Channel)) {
        let mut channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        // A gap that was too long counts although a heartbeat arrives just now.
        let held = self.micros(now) < self.until.load(Ordering::Relaxed);
        let peers: Vec<Uuid> = channel.peers.keys().copied().collect();
        change(&mut channel);
        if channel.only_writer {
            return;
        }
        let until = channel.until(now);
        let joined = channel.peers.keys().any(|peer| !peers.contains(peer));
        if until.is_none() || !held || joined {
            self.since.store(self.micros(now), Ordering::Release);
        }
        self.until.store(until.map_or(0, |until| self.micros(until)), Ordering::Release);
    }
}

impl Channel {
    /// Until when announcements arrive if no further heartbeat does; `None` if they may be missing already.
    fn until(&self, now: Instant) -> Option<Instant> {
        let warned = self.suspect_until.is_some_and(|until| now < until);
        // Peers learn of this instance by its first heartbeat, and announce to it from then on.
        let settled = self
            .own_since
            .is_some_and(|at| now.saturating_duration_since(at) >= HEARTBEAT_TIMEOUT / 4);
        let last = self.peers.values().copied().chain(self.own).min()?;
        let until = last + HEARTBEAT_TIMEOUT;
        (self.own.is_some() && settled && !warned && now < until).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The instant `millis` after the start.
    fn after(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    /// The freshness of an instance that received its own heartbeat every half second up to `millis`.
    fn connected(start: Instant, millis: u64) -> Freshness {
        let freshness = Freshness::new(false, start, Arc::default());
        for beat in (0..=millis).step_by(500) {
            freshness.own_heartbeat(after(start, beat));
        }
        freshness
    }

    #[test]
    fn before_any_heartbeat_rows_are_served_for_one_second() {
        let start = Instant::now();
        let freshness = Freshness::new(false, start, Arc::default());
        assert!(freshness.is_fresh(start, after(start, 999)));
        assert!(!freshness.is_fresh(start, after(start, 1000)));
    }

    #[test]
    fn rows_are_served_for_half_a_minute_while_heartbeats_arrive() {
        let start = Instant::now();
        let freshness = connected(start, 40_000);
        assert!(freshness.is_fresh(after(start, 11_000), after(start, 40_400)));
        assert!(!freshness.is_fresh(after(start, 10_000), after(start, 40_400)));
        assert!(
            !freshness.is_fresh(after(start, 20_000), after(start, 41_000)),
            "a second of silence"
        );
    }

    #[test]
    fn rows_read_before_a_silence_are_not_served_after_it() {
        let start = Instant::now();
        let freshness = connected(start, 5_000);
        for beat in [8_000, 8_500, 9_000] {
            freshness.own_heartbeat(after(start, beat));
        }
        assert!(!freshness.is_fresh(after(start, 7_000), after(start, 9_100)));
        assert!(freshness.is_fresh(after(start, 8_600), after(start, 9_900)));
    }

    #[test]
    fn a_silent_instance_counts_until_it_is_heard_or_ends() {
        let (start, peer) = (Instant::now(), Uuid::from_u128(1));
        let freshness = connected(start, 2_000);
        freshness.peer_heartbeat(peer, after(start, 2_000));
        for beat in (2_500..20_000).step_by(500) {
            freshness.own_heartbeat(after(start, beat));
            freshness.expire_peers(after(start, beat));
            let is_fresh = freshness.is_fresh(after(start, beat - 1_200), after(start, beat + 100));
            match beat {
                3_000..7_500 => assert!(!is_fresh, "it is silent at {beat}"),
                9_500.. => assert!(is_fresh, "it has ended at {beat}"),
                _ => {}
            }
        }
    }

    #[test]
    fn an_instance_that_shuts_down_normally_does_not_count() {
        let (start, peer) = (Instant::now(), Uuid::from_u128(1));
        let freshness = connected(start, 2_000);
        freshness.peer_heartbeat(peer, after(start, 2_000));
        freshness.own_heartbeat(after(start, 2_500));
        freshness.peer_left(peer, after(start, 2_600));
        for beat in [3_000, 3_500, 4_000] {
            freshness.own_heartbeat(after(start, beat));
        }
        assert!(freshness.is_fresh(after(start, 2_700), after(start, 4_100)));
    }

    #[test]
    fn a_warning_is_valid_for_a_limited_time() {
        let start = Instant::now();
        let freshness = connected(start, 2_000);
        freshness.peer_cannot_announce(after(start, 2_100));
        for beat in (2_500..=8_000).step_by(500) {
            freshness.own_heartbeat(after(start, beat));
        }
        assert!(!freshness.is_fresh(after(start, 4_000), after(start, 8_100)));
        assert!(freshness.is_fresh(after(start, 6_000), after(start, 8_100)));
    }

    #[test]
    fn rows_read_before_a_lost_connection_are_not_served() {
        let start = Instant::now();
        let freshness = connected(start, 2_000);
        assert!(freshness.is_fresh(after(start, 1_900), after(start, 2_100)));
        freshness.identity().connection_lost(after(start, 2_000));
        assert!(!freshness.is_fresh(after(start, 1_900), after(start, 2_100)));
        assert!(freshness.is_fresh(after(start, 2_050), after(start, 2_100)));
    }

    #[test]
    fn a_new_channel_counts_once_every_instance_must_have_subscribed() {
        let start = Instant::now();
        let freshness = connected(start, 2_000);
        freshness.channel_changed(after(start, 2_100));
        for beat in (2_500..=14_000).step_by(500) {
            freshness.own_heartbeat(after(start, beat));
            let is_fresh = freshness.is_fresh(after(start, beat - 1_200), after(start, beat + 100));
            match beat {
                ..12_000 => assert!(!is_fresh, "at {beat}"),
                14_000.. => assert!(is_fresh, "at {beat}"),
                _ => {}
            }
        }
    }

    #[test]
    fn a_single_instance_needs_no_messages() {
        let start = Instant::now();
        let freshness = Freshness::new(true, start, Arc::default());
        assert!(freshness.is_fresh(start, after(start, 29_000)));
        assert!(!freshness.is_fresh(start, after(start, 30_000)));
        assert!(!freshness.is_disconnected(after(start, 5_000)) && !freshness.has_peers(start));
    }

    #[test]
    fn an_instance_without_its_own_heartbeat_announces_nevertheless() {
        let start = Instant::now();
        let freshness = connected(start, 1_000);
        assert!(!freshness.has_peers(after(start, 1_100)));
        freshness.peer_heartbeat(Uuid::from_u128(1), after(start, 1_200));
        assert!(freshness.has_peers(after(start, 1_300)));
        let disconnected = connected(start, 1_000);
        assert!(
            disconnected.is_disconnected(after(start, 2_000))
                && disconnected.has_peers(after(start, 2_000))
        );
    }
}
