//! Calculates from the number of instances how many tokens of each bucket an instance may spend on credit while Redis
//! is late, and how many tokens all instances therefore leave in the bucket while Redis answers in time. Times are
//! nanoseconds on the instance's monotonic clock.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::policy::{Policy, Quota, Quotas};

/// After this time every instance knows of a change in the number of instances: each registers several times within it,
/// and an instance that gets no answer for half of it treats Redis as unavailable.
pub const SETTLING_NANOS: u64 = 2_000_000_000;

/// How long an instance counts as present after its last registration.
pub const PRESENCE_NANOS: u64 = 5_000_000_000;

/// How long an instance that cannot register may use its part: one second less than the others count it as present and
/// reserve that part.
const PRESENCE_KNOWN_NANOS: u64 = PRESENCE_NANOS - 1_000_000_000;

/// How many tokens of a bucket an instance may spend on credit, and how many it must leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Tokens that calls must leave in the bucket if Redis decides on them in time: the sum of the parts of all
    /// instances.
    pub reserve: u32,
    /// Tokens that this instance may spend on credit while Redis is late.
    pub part: u32,
    /// Since when this is the only instance; `None` if there are others. A single instance reserves nothing, and may
    /// spend on credit only tokens that are certainly in the bucket.
    pub alone_since: Option<u64>,
    /// The number of instances, including this one; at least 1.
    pub instances: u32,
}

impl Share {
    /// The largest cost of a call that is admitted, so that a debt can still be paid together with it.
    pub fn most_per_call(&self, quota: Quota) -> u32 {
        quota.burst - self.reserve.max(self.part).min(quota.burst / 2)
    }

    /// The largest number of tokens that one request may take.
    pub fn most_per_question(&self, quota: Quota) -> u32 {
        quota.burst - self.reserve.min(quota.burst / 2)
    }
}

/// The reserve for a number of instances, and the part of each. A part should allow one call per second on credit. At
/// most half of the depth is reserved, so with very many instances the part is 0.
fn divide(quota: Quota, instances: u32) -> (u32, u32) {
    let half = quota.burst / 2;
    if instances <= 1 {
        return (0, (quota.burst / 4).max(1).min(half));
    }
    let part = (quota.burst / 20).max(1).min(half / instances);
    (part * instances, part)
}

/// The largest number of tokens that up to `instances` instances may spend on credit together, even if they do not know
/// of all others.
fn guard(quota: Quota, instances: u32) -> u32 {
    let (_, alone) = divide(quota, 1);
    // More instances than tokens have no larger reserve.
    let counts = 2..=instances.min(quota.burst);
    counts.map(|count| divide(quota, count).0).max().unwrap_or(0).max(alone)
}

/// What Redis reported about the registered instances.
#[derive(Clone, Copy, Debug)]
pub struct Presence {
    /// The number of instances, including this one.
    pub instances: u32,
    /// The time since the newest instance registered first.
    pub youngest_age: u64,
    /// Whether this instance was registered before.
    pub known: bool,
}

/// The share of one policy's buckets. After a change in the number of instances it is adjusted in steps.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    quota: Quota,
    reserve: u32,
    part: u32,
    /// Since when all instances leave the same reserve.
    agreed_at: Option<u64>,
}

/// Adjusts the shares to the number of instances. Invariant, even if instances do not know of each other: the tokens
/// that an instance leaves in a bucket are at least the sum of the parts of the others.
#[derive(Debug)]
pub struct Peers {
    instances: u32,
    alone_since: Option<u64>,
    /// Whether Redis has not reported anything yet.
    is_new: bool,
    /// Whether Redis has lost the registration of this instance, and perhaps those of others.
    was_forgotten: bool,
    /// When Redis last reported.
    heard_at: u64,
    /// When the number of instances last changed.
    changed_at: u64,
    buckets: [Option<Bucket>; Policy::ALL.len()],
}

impl Peers {
    /// A value before the first report: the largest reserve and no part.
    pub fn new(quotas: Quotas) -> Self {
        let buckets = quotas.0.map(|quota| {
            let quota = quota?;
            // The largest reserve for any number of instances.
            Some(Bucket { quota, reserve: quota.burst / 2, part: 0, agreed_at: None })
        });
        Self {
            instances: 1,
            alone_since: None,
            is_new: true,
            was_forgotten: false,
            heard_at: 0,
            changed_at: 0,
            buckets,
        }
    }

    /// Applies what Redis reported at `now`.
    pub fn update(&mut self, now: u64, presence: Presence) {
        let Presence { instances, youngest_age, known } = presence;
        let settled = youngest_age >= SETTLING_NANOS;
        self.was_forgotten = (self.was_forgotten && !settled) || (!known && !self.is_new);
        let settled = settled && !self.was_forgotten;
        let alone = instances <= 1 && !self.was_forgotten;
        if instances != self.instances || !known {
            self.changed_at = now;
        }
        let agreed = settled && now - self.changed_at >= SETTLING_NANOS;
        // While this was the only instance, it left no reserve in the buckets.
        let without_reserve = self.alone_since.is_some() && !alone;
        for bucket in self.buckets.iter_mut().flatten() {
            if alone {
                bucket.set_alone();
            } else {
                bucket.adjust(now, instances, settled, agreed);
            }
            if !alone && (without_reserve || !known) {
                bucket.part = 0;
            }
        }
        self.alone_since = alone.then(|| self.alone_since.unwrap_or(now.max(1)));
        (self.instances, self.is_new, self.heard_at) = (instances, false, now);
    }

    /// Notes at `now` that Redis did not answer. After some time the others no longer count this instance.
    pub fn miss(&mut self, now: u64) {
        if now.saturating_sub(self.heard_at) < PRESENCE_KNOWN_NANOS {
            return;
        }
        self.alone_since = None;
        for bucket in self.buckets.iter_mut().flatten() {
            bucket.part = 0;
        }
    }

    /// The share of a policy's buckets.
    pub fn share(&self, policy: Policy) -> Share {
        let (reserve, part) =
            self.buckets[policy.index()].map_or((0, 0), |bucket| (bucket.reserve, bucket.part));
        Share { reserve, part, alone_since: self.alone_since, instances: self.instances }
    }
}

impl Bucket {
    /// Sets the share of a single instance, which needs no reserve.
    fn set_alone(&mut self) {
        (self.reserve, self.part) = divide(self.quota, 1);
        self.agreed_at = None;
    }

    /// Adjusts the share to a number of instances of 2 or more. `settled`: all instances know of each other. `agreed`:
    /// they leave the same reserve.
    fn adjust(&mut self, now: u64, instances: u32, settled: bool, agreed: bool) {
        let (reserve, part) = divide(self.quota, instances);
        self.part = self.part.min(part);
        // Some instances may know of fewer instances and have larger parts, so the reserve covers their parts as well.
        self.reserve = if settled { reserve } else { reserve.max(guard(self.quota, instances)) };
        if !agreed {
            self.agreed_at = None;
            return;
        }
        let agreed_at = *self.agreed_at.get_or_insert(now);
        // After this time even a bucket that was empty at `agreed_at` contains the reserve.
        if now - agreed_at >= self.quota.worth(reserve) {
            self.part = part;
        }
    }
}

/// The current shares. Atomic, because every request reads them.
#[derive(Debug)]
pub struct Shares {
    /// By policy: the reserve in the upper 32 bits and the part in the lower ones.
    tokens: [AtomicU64; Policy::ALL.len()],
    /// 0 if there are other instances.
    alone_since: AtomicU64,
    instances: AtomicU32,
}

impl Shares {
    pub fn new(peers: &Peers) -> Self {
        let tokens = Policy::ALL.map(|_| AtomicU64::new(0));
        let shares = Self { tokens, alone_since: AtomicU64::new(0), instances: AtomicU32::new(1) };
        shares.publish(peers);
        shares
    }

    /// Publishes the shares of `peers`. A reader may see some of the values earlier than others. This is safe, because
    /// a part without a reserve is used only if `alone_since` is set as well.
    pub fn publish(&self, peers: &Peers) {
        for policy in Policy::ALL {
            let Share { reserve, part, .. } = peers.share(policy);
            let tokens = u64::from(reserve) << 32 | u64::from(part);
            self.tokens[policy.index()].store(tokens, Ordering::Relaxed);
        }
        self.alone_since.store(peers.alone_since.unwrap_or(0), Ordering::Relaxed);
        self.instances.store(peers.instances.max(1), Ordering::Relaxed);
    }

    /// The share of a policy's buckets.
    pub fn of(&self, policy: Policy) -> Share {
        let tokens = self.tokens[policy.index()].load(Ordering::Relaxed);
        let alone_since = self.alone_since.load(Ordering::Relaxed);
        Share {
            reserve: (tokens >> 32) as u32,
            part: (tokens & u64::from(u32::MAX)) as u32,
            alone_since: (alone_since > 0).then_some(alone_since),
            instances: self.instances.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(rate: u32, burst: u32) -> Quota {
        Quota::per_second(rate, burst).expect("a limit")
    }

    #[test]
    fn the_reserve_is_divided_among_the_instances() {
        let quota_of = |burst| quota(10, burst);
        assert_eq!(divide(quota_of(20), 1), (0, 5));
        assert_eq!(divide(quota_of(20), 2), (2, 1));
        assert_eq!(divide(quota_of(20), 3), (3, 1));
        assert_eq!(divide(quota_of(20), 10), (10, 1));
        assert_eq!(divide(quota_of(20), 11), (0, 0));
        assert_eq!(divide(quota_of(200), 3), (30, 10));
        assert_eq!(divide(quota_of(200), 20), (100, 5));
        assert_eq!(divide(quota_of(1), 1), (0, 0));
        assert_eq!(divide(quota_of(1), 2), (0, 0));
    }

    fn peers() -> Peers {
        Peers::new(Quotas::default().with(Policy::Player, Some(quota(10, 20))))
    }

    fn tokens(peers: &Peers) -> (u32, u32) {
        let Share { reserve, part, .. } = peers.share(Policy::Player);
        (reserve, part)
    }

    const SECOND: u64 = 1_000_000_000;

    fn heard(peers: &mut Peers, seconds: u64, instances: u32, youngest: u64, known: bool) {
        let youngest_age = youngest * SECOND;
        peers.update(seconds * SECOND, Presence { instances, youngest_age, known });
    }

    #[test]
    fn the_first_instance_is_alone_at_once() {
        let mut peers = peers();
        assert_eq!(tokens(&peers), (10, 0), "the largest reserve");
        heard(&mut peers, 1, 1, 0, false);
        assert_eq!(tokens(&peers), (0, 5));
        assert_eq!(peers.share(Policy::Player).alone_since, Some(SECOND));
        heard(&mut peers, 2, 1, 1, true);
        assert_eq!(peers.share(Policy::Player).alone_since, Some(SECOND));
    }

    #[test]
    fn a_new_instance_has_no_part_until_the_others_know_it_and_the_reserve_is_filled() {
        let mut peers = peers();
        heard(&mut peers, 1, 3, 0, false);
        assert_eq!(tokens(&peers), (5, 0), "another instance may not know of the others yet");
        heard(&mut peers, 3, 3, 2, true);
        assert_eq!(tokens(&peers), (3, 0));
        heard(&mut peers, 4, 3, 3, true);
        assert_eq!(tokens(&peers), (3, 1));
    }

    #[test]
    fn an_instance_that_was_alone_has_no_part_until_the_reserve_is_filled() {
        let mut peers = peers();
        heard(&mut peers, 1, 1, 0, false);
        heard(&mut peers, 2, 2, 0, true);
        assert_eq!((tokens(&peers), peers.share(Policy::Player).alone_since), ((5, 0), None));
        heard(&mut peers, 4, 2, 2, true);
        heard(&mut peers, 5, 2, 3, true);
        assert_eq!(tokens(&peers), (2, 1));
    }

    #[test]
    fn after_a_lost_registration_an_instance_has_no_part_until_the_others_register() {
        let mut peers = peers();
        heard(&mut peers, 1, 1, 0, false);
        // Redis does not know the instance any more, so it may have lost all registrations.
        heard(&mut peers, 10, 1, 0, false);
        assert_eq!((tokens(&peers), peers.share(Policy::Player).alone_since), ((5, 0), None));
        heard(&mut peers, 11, 1, 1, true);
        assert_eq!(peers.share(Policy::Player).alone_since, None);
        heard(&mut peers, 12, 1, 2, true);
        assert_eq!(tokens(&peers), (0, 5));
    }

    #[test]
    fn an_instance_that_cannot_register_loses_its_part_before_the_others_drop_it() {
        let mut peers = peers();
        for second in [1, 4, 7] {
            heard(&mut peers, second, 2, 3, second > 1);
        }
        assert_eq!(tokens(&peers), (2, 1));
        peers.miss(10 * SECOND);
        assert_eq!(tokens(&peers), (2, 1));
        peers.miss(11 * SECOND);
        assert_eq!(tokens(&peers), (2, 0));
    }

    #[test]
    fn shares_are_published_with_alone_since() {
        let mut peers = peers();
        let shares = Shares::new(&peers);
        assert_eq!(shares.of(Policy::Player), peers.share(Policy::Player));
        heard(&mut peers, 1, 1, 0, false);
        shares.publish(&peers);
        assert_eq!(shares.of(Policy::Player), peers.share(Policy::Player));
        assert_eq!(
            shares.of(Policy::Login),
            Share { alone_since: Some(SECOND), instances: 1, ..Share::default() }
        );
    }
}
