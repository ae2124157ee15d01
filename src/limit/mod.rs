//! Rate limits: token buckets by player, address and username. The buckets are in Redis, so limits hold for any number
//! of instances, even if Redis answers late. Without Redis each instance has its own buckets. A check never returns an
//! error, and limits are applied in every state. docs/limits.md describes the limits and their precision.
//!
//! # With Redis
//!
//! Each bucket is one key, which one script (`bucket.lua`) changes by the clock of Redis. It contains a version, the
//! amount, and the leases of the instances, and guarantees *amount + leased tokens <= depth*. So all instances together
//! spend at most depth + rate * time.
//!
//! - *Leases* ([`lease`]). A request to Redis takes tokens for the call and also leases the tokens that the player will
//!   probably spend in the next seconds, at most a quarter of the depth. The next request returns all tokens that the
//!   instance still holds. A lease expires after 5 s in Redis and after 4.5 s in the instance, so small differences
//!   between clocks do not matter.
//! - *Refusals.* After Redis has refused, the instance refuses calls without asking Redis until there can be a token.
//! - *Credit.* A call that has waited for 15 ms is admitted on credit. The next request pays this debt. The debt of an
//!   instance never exceeds its share of a reserve, which the script leaves in the bucket ([`share`]). A call without
//!   credit waits. The answer is received even if the call has ended. If an answer is lost, all tokens that the request
//!   may have taken count as taken.
//!
//! # Without Redis
//!
//! `governor` implements the buckets of a process, on a table of bounded size that drops full buckets first. So
//! requests from many addresses neither fill the memory nor reset the bucket of a client that is limited. These buckets
//! are used when Redis has not answered for a second ([`contact`]), until its next answer.
//!
//! `tests/api/limits` compares the script, the leases and `governor` with models, and simulates instances that share a
//! bucket while answers are late or lost at random.

mod asking;
pub mod contact;
mod debtors;
mod key;
pub mod lease;
mod local;
mod policy;
pub mod question;
mod registry;
pub mod share;
mod shared;
mod table;

use std::fmt;
use std::sync::Arc;

pub use key::Key;
pub use local::Local;
pub use policy::{Policy, Quota, Quotas, Verdict};
pub use question::BUCKET_SCRIPT;

use crate::clock::Clock;
use crate::identity::IdentityTracker;
use crate::redis_client::Redis;
use crate::telemetry::metrics::{Counter, Metrics};
use share::Share;
use shared::{Basis, Checked, Shared};

/// What decided on a call: the label `store` of the metrics.
#[derive(Clone, Copy, Debug)]
enum Store {
    Redis,
    Lease,
    Late,
    Local,
}

impl Store {
    const NAMES: [&str; 4] = ["redis", "lease", "late", "local"];
}

const OUTCOMES: [&str; 2] = ["allowed", "refused"];

/// Decides whether calls are allowed.
pub struct Limiter {
    quotas: Quotas,
    shared: Option<Shared>,
    local: [Option<Local>; Policy::ALL.len()],
    /// Indexed by policy, store and outcome.
    decisions: [[[Counter; 2]; 4]; Policy::ALL.len()],
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").field("quotas", &self.quotas).finish_non_exhaustive()
    }
}

impl Limiter {
    /// A limiter. Without `redis`, or while Redis is unavailable, it uses buckets of this process, whose time is
    /// `clock`. Keys in Redis contain the identity of the database, so databases do not share buckets.
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
        let shared = redis.map(|(redis, identity)| Shared::new(redis, identity, quotas, leases));
        Self { quotas, shared, local, decisions }
    }

    /// The quota of a policy; `None` if it is not limited.
    pub fn quota(&self, policy: Policy) -> Option<Quota> {
        self.quotas.of(policy)
    }

    /// This instance's current share of a policy's buckets; `None` without Redis.
    pub fn share(&self, policy: Policy) -> Option<Share> {
        self.shared.as_ref().map(|shared| shared.share(policy))
    }

    /// Like [`Limiter::check`], but returns `None` and changes nothing if Redis must be asked.
    pub fn check_without_redis(
        &self,
        policy: Policy,
        key: Key,
        cost: u32,
    ) -> Option<Option<Verdict>> {
        let Some(quota) = self.quota(policy) else { return Some(None) };
        let local = self.local[policy.index()].as_ref()?;
        let Some(shared) = &self.shared else {
            return Some(Some(self.counted(local.check(key, cost), Store::Local)));
        };
        if !shared.is_up() {
            return None;
        }
        let verdict = shared.check_without_redis(policy, quota, key, cost)?;
        Some(Some(self.counted(verdict, Store::Lease)))
    }

    /// Takes `cost` tokens from a bucket; if it has fewer, takes none and refuses. `None` if the policy is not limited.
    pub async fn check(&self, policy: Policy, key: Key, cost: u32) -> Option<Verdict> {
        let quota = self.quota(policy)?;
        let local = self.local[policy.index()].as_ref()?;
        let Some(shared) = &self.shared else {
            return Some(self.counted(local.check(key, cost), Store::Local));
        };
        let (verdict, store) = match shared.check(policy, quota, key, cost, local).await {
            Checked::Decided(verdict, Basis::Redis) => (verdict, Store::Redis),
            Checked::Decided(verdict, Basis::Lease) => (verdict, Store::Lease),
            Checked::Decided(verdict, Basis::Credit) => (verdict, Store::Late),
            Checked::Unavailable { missing } => {
                local.drain(key, missing);
                (local.check(key, cost), Store::Local)
            }
        };
        Some(self.counted(verdict, store))
    }

    fn counted(&self, verdict: Verdict, store: Store) -> Verdict {
        let outcome = usize::from(!verdict.is_allowed());
        self.decisions[verdict.policy.index()][store as usize][outcome].inc();
        verdict
    }

    /// Removes buckets that are equal to new ones. Should be called regularly to free memory, which is bounded anyway.
    pub fn forget(&self) {
        self.local.iter().flatten().for_each(Local::forget);
        if let Some(shared) = &self.shared {
            shared.forget();
        }
    }

    /// Tells the other instances that this one stops and no longer uses any bucket.
    pub async fn leave(&self) {
        if let Some(shared) = &self.shared {
            shared.leave().await;
        }
    }
}
