//! The rate limits of one process without Redis: the algorithm of `governor` on a table of bounded size.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{self as governor_clock, Clock as _};
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;
use governor::{NotUntil, RateLimiter};

use super::key::Key;
use super::policy::{Policy, Quota, Verdict};
use super::table::{Forgettable, Table};
use crate::clock::Clock;

/// The largest number of buckets of one policy, which use about 4 MB. Those that are full earliest are removed first.
const MOST: usize = 65_536;

/// Adapts the server's clock to `governor`.
struct SteadyClock(Arc<dyn Clock>);

impl governor_clock::Clock for SteadyClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.steady()
    }
}

/// A bucket as `governor` stores it: the time at which it will be full.
struct FullAt(Nanos);

impl Forgettable for FullAt {
    fn forgettable_at(&self) -> u64 {
        self.0.as_u64()
    }
}

struct Buckets(Arc<Table<Key, FullAt>>);

impl StateStore for Buckets {
    type Key = Key;

    fn measure_and_replace<T, F, E>(&self, key: &Key, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        // If the key is unknown, the bucket is full and does not refuse, so a refusal never creates an entry.
        let known = self.0.with_known(key, |bucket| {
            let (answer, full_at) = decide(Some(bucket.0))?;
            bucket.0 = full_at;
            Ok(answer)
        });
        if let Some(answer) = known {
            return answer;
        }
        self.0.with(
            *key,
            || FullAt(Nanos::new(0)),
            |bucket| {
                // Another thread may have created the entry since the look-up above.
                let held = Some(bucket.0).filter(|full_at| full_at.as_u64() > 0);
                let (answer, full_at) = decide(held)?;
                bucket.0 = full_at;
                Ok(answer)
            },
        )
    }
}

impl ShrinkableKeyedStateStore<Key> for Buckets {
    fn retain_recent(&self, drop_below: Nanos) {
        self.0.forget(drop_below.as_u64());
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn is_empty(&self) -> bool {
        self.0.len() == 0
    }
}

/// The buckets of one policy.
pub struct Local {
    policy: Policy,
    quota: Quota,
    buckets: Arc<Table<Key, FullAt>>,
    clock: Arc<dyn Clock>,
    /// Times in the table count from this time.
    started: Duration,
    limiter: RateLimiter<Key, Buckets, SteadyClock, StateInformationMiddleware>,
}

impl Local {
    /// A limiter whose buckets are full.
    pub fn new(policy: Policy, quota: Quota, clock: Arc<dyn Clock>) -> Self {
        let burst = NonZeroU32::new(quota.burst).unwrap_or(NonZeroU32::MIN);
        let limits = governor::Quota::with_period(Duration::from_nanos(quota.interval))
            .unwrap_or_else(|| governor::Quota::per_second(burst))
            .allow_burst(burst);
        let buckets = Arc::new(Table::new(MOST));
        let started = clock.steady();
        let steady = SteadyClock(Arc::clone(&clock));
        let limiter = RateLimiter::new(limits, Buckets(Arc::clone(&buckets)), steady);
        Self { policy, quota, buckets, clock, started, limiter }
    }

    /// Nanoseconds since `started`.
    fn now(&self) -> u64 {
        let elapsed = self.clock.steady().saturating_sub(self.started);
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Lowers a bucket so that it needs at least `missing` nanoseconds to be full.
    pub fn drain(&self, key: Key, missing: u64) {
        if missing == 0 {
            return;
        }
        let full_at = self.now() + missing.min(self.quota.full());
        self.buckets.with(
            key,
            || FullAt(Nanos::new(0)),
            |bucket| bucket.0 = Nanos::new(bucket.0.as_u64().max(full_at)),
        );
    }

    /// How many tokens a bucket needs to be full, rounded up.
    pub fn missing(&self, key: Key) -> u32 {
        let full_at = self.buckets.with_known(&key, |bucket| bucket.0.as_u64());
        let missing = full_at.unwrap_or(0).saturating_sub(self.now());
        u32::try_from(missing.div_ceil(self.quota.interval)).unwrap_or(u32::MAX)
    }

    /// Takes `cost` tokens, or none.
    pub fn check(&self, key: Key, cost: u32) -> Verdict {
        let cost = NonZeroU32::new(self.quota.cost(cost)).unwrap_or(NonZeroU32::MIN);
        match self.limiter.check_key_n(&key, cost) {
            Ok(Ok(state)) => Verdict::allowed(self.policy, state.remaining_burst_capacity()),
            Ok(Err(not_until)) => self.refused(&not_until, cost),
            // Unreachable: `Quota::cost` limits the cost to the bucket's depth.
            Err(_) => Verdict::refused(self.policy, self.quota, 0, self.quota.full()),
        }
    }

    fn refused(&self, not_until: &NotUntil<Duration>, cost: NonZeroU32) -> Verdict {
        let wait = not_until.wait_time_from(self.limiter.clock().now());
        let wait = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        let level = self.quota.worth(cost.get()).saturating_sub(wait);
        Verdict::refused(self.policy, self.quota, level, wait)
    }

    /// Removes buckets that are full.
    pub fn forget(&self) {
        self.limiter.retain_recent();
    }

    /// The number of buckets.
    pub fn remembered(&self) -> usize {
        self.limiter.len()
    }
}
