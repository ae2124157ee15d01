//! How long rows may be served: 30 s while all announcements of changes are known to arrive, otherwise one second.
//!
//! All announcements are known to arrive while this instance receives its own heartbeat and that of every known peer,
//! and no instance notes in the database that it cannot announce (table `silences`). Rows that were read before this
//! state began are fresh for one second only, because an announcement may have been lost.

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
/// After this long without a heartbeat of an instance, its announcements may have been lost.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(1);
/// After this long without a heartbeat a peer counts as ended. Rows that were read before its last change are not fresh
/// any more by then.
const PEER_EXPIRES: Duration = Duration::from_secs(6);
/// How long rows are fresh for one second only after an instance was found that cannot announce. Such an instance is
/// found again twice a second as long as it runs.
const INCOMPLETE_FOR: Duration = Duration::from_secs(3);
/// How long an instance may continue to write before it notices that the identity of the database has changed: its
/// poller may have to wait for a connection and for an answer.
const CHANNEL_CHANGE_LASTS: Duration = Duration::from_secs(10);

/// The state of the channel, and the freshness that follows from it.
pub struct Freshness {
    started: Instant,
    /// `since` and `until` are microseconds after `started`. Until `until`, rows that were read at `since` or later are
    /// fresh for [`FRESH_WHILE_CONNECTED`]. They are atomics because every request reads them.
    since: AtomicU64,
    until: AtomicU64,
    channel: Mutex<Channel>,
    identity: Arc<IdentityTracker>,
}

#[derive(Debug, Default)]
struct Channel {
    /// Whether no other process writes to the database, so that there are no announcements.
    only_writer: bool,
    /// When this instance last received its own heartbeat.
    own: Option<Instant>,
    /// Since when its own heartbeat has arrived without a gap.
    own_since: Option<Instant>,
    /// When the last heartbeat of each peer arrived.
    peers: HashMap<Uuid, Instant>,
    /// Until when announcements may be incomplete, because an instance cannot announce its changes.
    incomplete_until: Option<Instant>,
    /// When a heartbeat of the older release last arrived.
    older_release: Option<Instant>,
}

impl Freshness {
    /// The freshness before any heartbeat. `only_writer` means that no other process writes to the database.
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

    /// Whether a row that was known to be current at `current_at` may be served at `now`.
    pub fn is_fresh(&self, current_at: Instant, now: Instant) -> bool {
        if !self.identity.is_still_valid(current_at) {
            return false;
        }
        let age = now.saturating_duration_since(current_at);
        if age < ALWAYS_FRESH {
            return true;
        }
        // The loads are in the reverse order of the stores, so that a new `until` is never combined with an old
        // `since`.
        let until = self.until.load(Ordering::Acquire);
        let since = self.since.load(Ordering::Acquire);
        age < FRESH_WHILE_CONNECTED && self.micros(now) < until && self.micros(current_at) >= since
    }

    /// Whether all announcements of other instances are known to arrive.
    pub fn is_connected(&self, now: Instant) -> bool {
        self.micros(now) < self.until.load(Ordering::Acquire)
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

    /// Notes that an instance cannot announce its changes, or that it uses a message format unknown to this release.
    pub fn peer_cannot_announce(&self, now: Instant) {
        self.note_incomplete(now, INCOMPLETE_FOR);
    }

    fn note_incomplete(&self, now: Instant, span: Duration) {
        self.change(now, |channel| {
            channel.incomplete_until = channel.incomplete_until.max(Some(now + span));
        });
    }

    /// Notes that the identity of the database, and with it the channel, has changed. No heartbeat has arrived on the
    /// new channel yet, and instances that have not noticed the change still announce on the old one.
    pub(super) fn channel_changed(&self, now: Instant) {
        self.change(now, |channel| {
            (channel.own, channel.own_since) = (None, None);
            channel.peers.clear();
        });
        self.note_incomplete(now, CHANNEL_CHANGE_LASTS);
    }

    /// Notes that the heartbeat of an instance of the older release arrived. Such an instance does not receive messages
    /// of this release, and announces nothing while it knows no peers.
    pub(super) fn older_release_heartbeat(&self, now: Instant) {
        self.change(now, |channel| channel.older_release = Some(now));
        self.note_incomplete(now, INCOMPLETE_FOR);
    }

    /// Whether there is an instance that cannot receive the announcements of this one.
    pub(super) fn has_older_peers(&self, now: Instant) -> bool {
        let channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        channel.older_release.is_some_and(|at| now.saturating_duration_since(at) < PEER_EXPIRES)
    }

    /// Notes that the connection to the channel was lost, so that announcements may have been lost.
    pub(super) fn disconnected(&self, now: Instant) {
        self.change(now, |channel| (channel.own, channel.own_since) = (None, None));
    }

    /// Whether this instance does not receive its own heartbeat. Then other instances may not receive its messages
    /// either.
    pub fn is_disconnected(&self, now: Instant) -> bool {
        let channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        !channel.only_writer
            && now.saturating_duration_since(channel.own.unwrap_or(self.started))
                >= HEARTBEAT_TIMEOUT
    }

    /// Whether no other process writes to the database.
    pub(super) fn is_only_writer(&self) -> bool {
        self.channel.lock().unwrap_or_else(PoisonError::into_inner).only_writer
    }

    /// Whether there may be another instance that needs to receive the changes of this one.
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
        // Computed before the change: if the gap since the last heartbeat was too long, the heartbeat that arrives now
        // does not hide it.
        let was_connected = self.is_connected(now);
        let peers: Vec<Uuid> = channel.peers.keys().copied().collect();
        change(&mut channel);
        if channel.only_writer {
            return;
        }
        let until = channel.until(now);
        let joined = channel.peers.keys().any(|peer| !peers.contains(peer));
        if until.is_none() || !was_connected || joined {
            self.since.store(self.micros(now), Ordering::Release);
        }
        self.until.store(until.map_or(0, |until| self.micros(until)), Ordering::Release);
    }
}

impl Channel {
    /// Until when announcements are known to arrive if no further heartbeat arrives; `None` if some may already be
    /// lost.
    fn until(&self, now: Instant) -> Option<Instant> {
        let is_incomplete = self.incomplete_until.is_some_and(|until| now < until);
        // Peers publish only after they have received the first heartbeat of this instance, which takes a moment.
        let is_known_to_peers = self
            .own_since
            .is_some_and(|at| now.saturating_duration_since(at) >= HEARTBEAT_TIMEOUT / 4);
        let last = self.peers.values().copied().chain(self.own).min()?;
        let until = last + HEARTBEAT_TIMEOUT;
        (self.own.is_some() && is_known_to_peers && !is_incomplete && now < until).then_some(until)
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
    fn before_the_first_heartbeat_rows_are_fresh_for_one_second() {
        let start = Instant::now();
        let freshness = Freshness::new(false, start, Arc::default());
        assert!(freshness.is_fresh(start, after(start, 999)));
        assert!(!freshness.is_fresh(start, after(start, 1000)));
    }

    #[test]
    fn rows_are_fresh_for_30_seconds_while_heartbeats_arrive() {
        let start = Instant::now();
        let freshness = connected(start, 40_000);
        assert!(freshness.is_fresh(after(start, 11_000), after(start, 40_400)));
        assert!(!freshness.is_fresh(after(start, 10_000), after(start, 40_400)));
        assert!(
            !freshness.is_fresh(after(start, 20_000), after(start, 41_000)),
            "no heartbeat for a second"
        );
    }

    #[test]
    fn rows_read_before_a_gap_in_heartbeats_are_not_fresh_after_it() {
        let start = Instant::now();
        let freshness = connected(start, 5_000);
        for beat in [8_000, 8_500, 9_000] {
            freshness.own_heartbeat(after(start, beat));
        }
        assert!(!freshness.is_fresh(after(start, 7_000), after(start, 9_100)));
        assert!(freshness.is_fresh(after(start, 8_600), after(start, 9_900)));
    }

    #[test]
    fn a_missing_heartbeat_of_a_peer_shortens_freshness_until_the_peer_expires() {
        let (start, peer) = (Instant::now(), Uuid::from_u128(1));
        let freshness = connected(start, 2_000);
        freshness.peer_heartbeat(peer, after(start, 2_000));
        for beat in (2_500..20_000).step_by(500) {
            freshness.own_heartbeat(after(start, beat));
            freshness.expire_peers(after(start, beat));
            let is_fresh = freshness.is_fresh(after(start, beat - 1_200), after(start, beat + 100));
            match beat {
                3_000..7_500 => assert!(!is_fresh, "its heartbeat is missing at {beat}"),
                9_500.. => assert!(is_fresh, "it has expired at {beat}"),
                _ => {}
            }
        }
    }

    #[test]
    fn a_peer_that_announced_its_shutdown_does_not_shorten_freshness() {
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
    fn a_peer_that_cannot_announce_shortens_freshness_for_3_seconds() {
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
    fn rows_read_before_a_lost_database_connection_are_not_fresh() {
        let start = Instant::now();
        let freshness = connected(start, 2_000);
        assert!(freshness.is_fresh(after(start, 1_900), after(start, 2_100)));
        freshness.identity().connection_lost(after(start, 2_000));
        assert!(!freshness.is_fresh(after(start, 1_900), after(start, 2_100)));
        assert!(freshness.is_fresh(after(start, 2_050), after(start, 2_100)));
    }

    #[test]
    fn a_change_of_the_channel_shortens_freshness_for_10_seconds() {
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
    fn the_only_writer_needs_no_heartbeats() {
        let start = Instant::now();
        let freshness = Freshness::new(true, start, Arc::default());
        assert!(freshness.is_fresh(start, after(start, 29_000)));
        assert!(!freshness.is_fresh(start, after(start, 30_000)));
        assert!(!freshness.is_disconnected(after(start, 5_000)) && !freshness.has_peers(start));
    }

    #[test]
    fn an_instance_that_does_not_receive_its_own_heartbeat_still_publishes() {
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
