//! How much of each bucket an instance may spend while Redis is late, and what it therefore leaves in the bucket while
//! Redis answers in time. This depends on the number of instances. Times are nanoseconds on the instance's monotonic
//! clock.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::policy::{Policy, Quota, Quotas};

/// After this long every instance knows which instances have come or gone: each registers several times within it, and
/// an instance without an answer for half of it treats Redis as unavailable.
pub const SETTLING_NANOS: u64 = 2_000_000_000;

/// How long an instance that does not register counts as present.
pub const PRESENCE_NANOS: u64 = 5_000_000_000;

/// How long the others' part of a bucket is kept for an instance that cannot register: a second less than they count it
/// as present.
const PRESENCE_KNOWN_NANOS: u64 = PRESENCE_NANOS - 1_000_000_000;

/// What an instance may do with a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Tokens that must be left in the bucket by calls that Redis decides in time: the parts of all instances.
    pub reserve: u32,
    /// Tokens that this instance may let through on credit while Redis is late.
    pub part: u32,
    /// Since when no other instance uses the buckets. Nothing is reserved then, and `part` is further limited by what
    /// is certain to be in the bucket.
    pub alone_since: Option<u64>,
    /// The number of instances, including this one; at least 1.
    pub instances: u32,
}

impl Share {
    /// The highest cost of a call that can still be paid together with a debt.
    pub fn most_per_call(&self, quota: Quota) -> u32 {
        quota.burst - self.reserve.max(self.part).min(quota.burst / 2)
    }

    /// The highest number of tokens that one request may take.
    pub fn most_per_question(&self, quota: Quota) -> u32 {
        quota.burst - self.reserve.min(quota.burst / 2)
    }
}

/// The reserve for a number of instances, and the part of each. An instance should be able to let one call per second
/// through, and at most half of the depth is reserved: with very many instances the part is 0.
fn divide(quota: Quota, instances: u32) -> (u32, u32) {
    let half = quota.burst / 2;
    if instances <= 1 {
        return (0, (quota.burst / 4).max(1).min(half));
    }
    let part = (quota.burst / 20).max(1).min(half / instances);
    (part * instances, part)
}

/// The most that up to `instances` instances may let through on credit together, however many each of them knows.
fn guard(quota: Quota, instances: u32) -> u32 {
    let (_, alone) = divide(quota, 1);
    // A larger number of instances has no more.
    let counts = 2..=instances.min(quota.burst);
    counts.map(|count| divide(quota, count).0).max().unwrap_or(0).max(alone)
}

/// What Redis reported about the instances.
#[derive(Clone, Copy, Debug)]
pub struct Presence {
    /// The number of instances, including this one.
    pub instances: u32,
    /// The age of the youngest instance.
    pub youngest_age: u64,
    /// Whether this instance was registered before.
    pub known: bool,
}

/// One policy's share while it changes to what the number of instances requires.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    quota: Quota,
    reserve: u32,
    part: u32,
    /// Since when every instance leaves the required reserve.
    agreed_at: Option<u64>,
}

/// Follows the instances. At any time, and whichever instances each of them knows, what an instance leaves in a bucket
/// is at least the sum of the others' parts.
#[derive(Debug)]
pub struct Peers {
    instances: u32,
    alone_since: Option<u64>,
    /// Whether Redis has reported nothing yet.
    is_new: bool,
    /// Redis has forgotten this instance, and perhaps others.
    was_forgotten: bool,
    heard_at: u64,
    /// When the last instance came or went.
    changed_at: u64,
    buckets: [Option<Bucket>; Policy::ALL.len()],
}

impl Peers {
    /// A value without other instances and without a share.
    pub fn new(quotas: Quotas) -> Self {
        let buckets = quotas.0.map(|quota| {
            let quota = quota?;
            // More is never reserved.
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
        // An instance that was alone has left nothing in the buckets, neither for others nor for itself.
        let without_reserve = self.alone_since.is_some() && !alone;
        for bucket in self.buckets.iter_mut().flatten() {
            if alone {
                bucket.keep_alone();
            } else {
                bucket.follow(now, instances, settled, agreed);
            }
            if !alone && (without_reserve || !known) {
                bucket.part = 0;
            }
        }
        self.alone_since = alone.then(|| self.alone_since.unwrap_or(now.max(1)));
        (self.instances, self.is_new, self.heard_at) = (instances, false, now);
    }

    /// Notes at `now` that Redis did not answer. The others soon stop counting this instance.
    pub fn miss(&mut self, now: u64) {
        if now.saturating_sub(self.heard_at) < PRESENCE_KNOWN_NANOS {
            return;
        }
        self.alone_since = None;
        for bucket in self.buckets.iter_mut().flatten() {
            bucket.part = 0;
        }
    }

    /// What to do with a policy's buckets.
    pub fn share(&self, policy: Policy) -> Share {
        let (reserve, part) =
            self.buckets[policy.index()].map_or((0, 0), |bucket| (bucket.reserve, bucket.part));
        Share { reserve, part, alone_since: self.alone_since, instances: self.instances }
    }
}

impl Bucket {
    /// Reserves nothing. What is certain to be in a bucket starts at nothing and grows.
    fn keep_alone(&mut self) {
        (self.reserve, self.part) = divide(self.quota, 1);
        self.agreed_at = None;
    }

    fn follow(&mut self, now: u64, instances: u32, settled: bool, agreed: bool) {
        let (reserve, part) = divide(self.quota, instances);
        self.part = self.part.min(part);
        // If not all instances know each other, the reserve is as much as those that know of fewer may spend.
        self.reserve = if settled { reserve } else { reserve.max(guard(self.quota, instances)) };
        if !agreed {
            self.agreed_at = None;
            return;
        }
        let agreed_at = *self.agreed_at.get_or_insert(now);
        // By then the reserve has been refilled in a bucket that was empty when all instances agreed on it.
        if now - agreed_at >= self.quota.worth(reserve) {
            self.part = part;
        }
    }
}

/// The present shares, which every request reads.
#[derive(Debug)]
pub struct Shares {
    /// Reserve and part, by policy.
    tokens: [AtomicU64; Policy::ALL.len()],
    /// 0: not alone.
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

    /// Publishes the shares of `peers`. A reader may see some of the values before the others: a part without a reserve
    /// is used only if `alone_since` is set too.
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
    fn whoever_finds_nobody_there_is_alone_at_once() {
        let mut peers = peers();
        assert_eq!(tokens(&peers), (10, 0), "as much as is ever reserved");
        heard(&mut peers, 1, 1, 0, false);
        assert_eq!(tokens(&peers), (0, 5));
        assert_eq!(peers.share(Policy::Player).alone_since, Some(SECOND));
        heard(&mut peers, 2, 1, 1, true);
        assert_eq!(peers.share(Policy::Player).alone_since, Some(SECOND));
    }

    #[test]
    fn a_newcomer_has_no_part_until_the_others_know_it_and_the_reserve_has_flowed_in() {
        let mut peers = peers();
        heard(&mut peers, 1, 3, 0, false);
        assert_eq!(tokens(&peers), (5, 0), "one of them may believe to be alone");
        heard(&mut peers, 3, 3, 2, true);
        assert_eq!(tokens(&peers), (3, 0));
        heard(&mut peers, 4, 3, 3, true);
        assert_eq!(tokens(&peers), (3, 1));
    }

    #[test]
    fn whoever_was_alone_has_no_part_until_there_is_a_reserve() {
        let mut peers = peers();
        heard(&mut peers, 1, 1, 0, false);
        heard(&mut peers, 2, 2, 0, true);
        assert_eq!((tokens(&peers), peers.share(Policy::Player).alone_since), ((5, 0), None));
        heard(&mut peers, 4, 2, 2, true);
        heard(&mut peers, 5, 2, 3, true);
        assert_eq!(tokens(&peers), (2, 1));
    }

    #[test]
    fn whom_redis_has_forgotten_has_no_part_and_is_not_alone_until_the_others_are_heard() {
        let mut peers = peers();
        heard(&mut peers, 1, 1, 0, false);
        // Redis may have lost everything.
        heard(&mut peers, 10, 1, 0, false);
        assert_eq!((tokens(&peers), peers.share(Policy::Player).alone_since), ((5, 0), None));
        heard(&mut peers, 11, 1, 1, true);
        assert_eq!(peers.share(Policy::Player).alone_since, None);
        heard(&mut peers, 12, 1, 2, true);
        assert_eq!(tokens(&peers), (0, 5));
    }

    #[test]
    fn whoever_cannot_tell_the_others_that_it_is_there_gives_its_part_up_before_they_do() {
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
    fn a_part_without_a_reserve_is_only_seen_by_whoever_is_alone() {
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
