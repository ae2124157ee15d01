//! Rate limits: token buckets by player, address and username. The buckets are in Redis, so limits hold for any number
//! of instances and however late Redis answers. Without Redis each instance has buckets of its own. A check never
//! fails, and there is no state in which everything is allowed. docs/limits.md has the limits and their precision.
//!
//! # With Redis
//!
//! Each bucket is one key, which one script (`bucket.lua`) changes by the clock of Redis. It contains a version, the
//! amount, and the leases of the instances, and guarantees *amount + leased tokens <= depth*. So all instances together
//! spend at most depth + rate * time.
//!
//! - *Leases* ([`lease`]). A request to Redis that has to be sent anyway also leases the tokens that the player will
//!   probably spend in the next seconds, at most a quarter of the depth. All that the instance still holds is returned
//!   with the next request. A lease lapses in Redis after 5 s and is spent for 4.5 s, so no clocks need to agree.
//! - *Refusals.* After Redis has refused, the instance refuses by itself until there can be a token again.
//! - *Credit.* A call that has waited for 15 ms is admitted on credit. That is a debt, which the next request pays. The
//!   debt of an instance never exceeds its share of a reserve, which the script leaves in the bucket ([`share`]). A
//!   call without credit waits. The answer is received even if the call has ended; a lost answer counts as having cost
//!   everything that it may have cost.
//!
//! # Without Redis
//!
//! `governor` calculates the buckets, over a bounded table that first drops full buckets, so that a scan of many
//! addresses neither fills the memory nor releases a client that is limited. This begins when Redis has not answered
//! for a second ([`contact`]) and ends with its next answer.
//!
//! `tests/api/limits` compares the script, the leases and governor with models, and lets instances share a bucket whose
//! answers are late or lost at random.

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
use shared::{Checked, Found, Shared};

/// What decided, for the metrics.
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

/// Decides on calls.
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
    /// A limiter whose buckets are full as far as this instance knows. In Redis the buckets belong to the database.
    /// `clock` is used for this process' own buckets.
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

    /// What this instance may do with a policy's buckets now; `None` without Redis.
    pub fn share(&self, policy: Policy) -> Option<Share> {
        self.shared.as_ref().map(|shared| shared.share(policy))
    }

    /// As [`Limiter::check`], if this can be decided without asking Redis; otherwise `None`, and nothing is done.
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

    /// Takes `cost` tokens of a bucket, or none. `None` if the policy is not limited.
    pub async fn check(&self, policy: Policy, key: Key, cost: u32) -> Option<Verdict> {
        let quota = self.quota(policy)?;
        let local = self.local[policy.index()].as_ref()?;
        let Some(shared) = &self.shared else {
            return Some(self.counted(local.check(key, cost), Store::Local));
        };
        let (verdict, store) = match shared.check(policy, quota, key, cost, local).await {
            Checked::Decided(verdict, Found::Asked) => (verdict, Store::Redis),
            Checked::Decided(verdict, Found::Held) => (verdict, Store::Lease),
            Checked::Decided(verdict, Found::Late) => (verdict, Store::Late),
            Checked::Away { missing } => {
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

    /// Forgets buckets that are equal to new ones. Call it from time to time; memory is bounded in any case.
    pub fn forget(&self) {
        self.local.iter().flatten().for_each(Local::forget);
        if let Some(shared) = &self.shared {
            shared.forget();
        }
    }

    /// Tells the other instances that this one ends and uses no bucket any more.
    pub async fn leave(&self) {
        if let Some(shared) = &self.shared {
            shared.leave().await;
        }
    }
}
