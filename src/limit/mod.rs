//! Rate limits: token buckets by player, address and username. Their truth is in Redis, so that they hold however many
//! instances there are; without Redis each instance keeps full buckets of its own. A check never fails and never lets
//! everybody through.

mod key;
pub mod lease;
mod local;
mod policy;
mod shared;
mod table;

use std::fmt;
use std::sync::Arc;

pub use key::Key;
pub use local::Local;
pub use policy::{Policy, Quota, Quotas, Verdict};
pub use shared::BUCKET_SCRIPT;

use crate::clock::Clock;
use crate::identity::IdentityTracker;
use crate::redis_client::Redis;
use crate::telemetry::metrics::{Counter, Metrics};
use shared::{Found, Shared};

/// Where a verdict came from, in the metrics.
#[derive(Clone, Copy, Debug)]
enum Store {
    Redis,
    Lease,
    Local,
}

impl Store {
    const NAMES: [&str; 3] = ["redis", "lease", "local"];
}

const OUTCOMES: [&str; 2] = ["allowed", "refused"];

/// Decides on calls.
pub struct Limiter {
    quotas: Quotas,
    shared: Option<Shared>,
    local: [Option<Local>; Policy::ALL.len()],
    /// By policy, store and outcome.
    decisions: [[[Counter; 2]; 3]; Policy::ALL.len()],
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").field("quotas", &self.quotas).finish_non_exhaustive()
    }
}

impl Limiter {
    /// Full buckets for everybody, as far as this instance knows. In Redis they are those of the database that is identified.
    /// `clock` is for the buckets of its own.
    pub fn new(
        quotas: Quotas,
        redis: Option<(Redis, Arc<IdentityTracker>)>,
        leases: bool,
        clock: &Arc<dyn Clock>,
        metrics: &Metrics,
    ) -> Self {
        let decisions = Policy::ALL.map(|policy| {
            Store::NAMES.map(|store| {
                OUTCOMES.map(|outcome| metrics.limit_decisions(policy.name(), store, outcome))
            })
        });
        let local = Policy::ALL.map(|policy| {
            quotas.of(policy).map(|quota| Local::new(policy, quota, Arc::clone(clock)))
        });
        let shared = redis.map(|(redis, identity)| Shared::new(redis, identity, leases));
        Self { quotas, shared, local, decisions }
    }

    /// What the policy allows; nothing where it is not limited.
    pub fn quota(&self, policy: Policy) -> Option<Quota> {
        self.quotas.of(policy)
    }

    /// As [`Limiter::check`], where that can be told without asking Redis; else nothing is done.
    pub fn check_at_hand(&self, policy: Policy, key: Key, cost: u32) -> Option<Option<Verdict>> {
        let Some(quota) = self.quota(policy) else { return Some(None) };
        let local = self.local[policy.index()].as_ref()?;
        let Some(shared) = &self.shared else {
            return Some(Some(self.counted(local.check(key, cost), Store::Local)));
        };
        if !shared.is_up() {
            return None;
        }
        let verdict = shared.check_at_hand(policy, quota, key, cost)?;
        Some(Some(self.counted(verdict, Store::Lease)))
    }

    /// Takes `cost` tokens of a bucket, or none. Nothing is answered where the policy is not limited.
    pub async fn check(&self, policy: Policy, key: Key, cost: u32) -> Option<Verdict> {
        let quota = self.quota(policy)?;
        let local = self.local[policy.index()].as_ref()?;
        let Some(shared) = &self.shared else {
            return Some(self.counted(local.check(key, cost), Store::Local));
        };
        if !shared.is_up() {
            let verdict = self.counted(local.check(key, cost), Store::Local);
            if verdict.is_allowed() {
                shared.lack(policy, key, quota.burst - verdict.remaining);
            }
            return Some(verdict);
        }
        match shared.check(policy, quota, key, cost).await {
            Some((verdict, Found::Asked)) => Some(self.counted(verdict, Store::Redis)),
            Some((verdict, Found::Held)) => Some(self.counted(verdict, Store::Lease)),
            None => {
                let verdict = self.counted(local.check(key, cost), Store::Local);
                if verdict.is_allowed() {
                    shared.owe(policy, quota, key, cost);
                }
                Some(verdict)
            }
        }
    }

    fn counted(&self, verdict: Verdict, store: Store) -> Verdict {
        let outcome = usize::from(!verdict.is_allowed());
        self.decisions[verdict.policy.index()][store as usize][outcome].inc();
        verdict
    }

    /// Forgets buckets that are as good as new. Whoever calls it does so now and then; the memory is limited without.
    pub fn forget(&self) {
        self.local.iter().flatten().for_each(Local::forget);
        if let Some(shared) = &self.shared {
            shared.forget();
        }
    }
}
