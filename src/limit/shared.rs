//! Checks calls against buckets in Redis. Each bucket is one key, from which this instance leases tokens.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::asking::{Asking, InFlight, Pending};
use super::contact::{Contact, UNAVAILABLE_AFTER_NANOS};
use super::debtors::{self, Debtors};
use super::key::Key;
use super::lease::{Decision, Lease};
use super::local::Local;
use super::policy::{Policy, Quota, Quotas, Verdict};
use super::question::{Answer, Question, take};
use super::registry::{self, Registration};
use super::share::{Peers, Share, Shares};
use super::table::{Forgettable, Table};
use crate::identity::IdentityTracker;
use crate::redis_client::{REQUEST_LIMIT, Redis};

/// The largest number of buckets of one policy, which use about 25 MB. A removed bucket costs one more round trip.
/// Buckets with debts are removed last.
const MOST: usize = 131_072;

/// How often a call that waits for Redis checks whether a request can be sent.
const RETRY: Duration = Duration::from_millis(25);

/// The shortest wait of such a call, so that other tasks can run.
const MIN_WAIT: Duration = Duration::from_millis(1);

/// A lease is at most this fraction of the depth.
const LEASE_PART: u32 = 4;

/// A bucket and its request in progress, if there is one. Each bucket has at most one request at a time; other calls
/// wait for its answer.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    pub(super) lease: Lease,
    pub(super) asking: Option<Arc<Pending>>,
}

impl Forgettable for Bucket {
    fn forgettable_at(&self) -> u64 {
        self.lease.forgettable_at()
    }
}

/// What a call does next.
enum Step {
    Decided(Decision),
    /// Wait for the answer until it counts as late.
    Wait(Arc<Pending>),
    Ask(Question, Asking),
    /// Wait for Redis at most this long, because it is late and no credit is left. The second value is the request in
    /// progress, if there is one.
    WaitLonger(Duration, Option<Arc<Pending>>),
}

/// What a decision is based on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The answer to a request for this call.
    Redis,
    /// Leased tokens and the last answer.
    Lease,
    /// Credit, because Redis was late.
    Credit,
}

/// The result of a check.
#[derive(Clone, Copy, Debug)]
pub enum Checked {
    Decided(Verdict, Basis),
    /// Redis is unavailable, so the bucket of this process decides. It must be lowered so that it needs at least
    /// `missing` nanoseconds to be full.
    Unavailable {
        missing: u64,
    },
}

/// All buckets that are shared with other instances.
pub struct Shared(Arc<Inner>);

pub(super) struct Inner {
    pub(super) redis: Redis,
    pub(super) identity: Arc<IdentityTracker>,
    leases: bool,
    tables: [Table<Key, Bucket>; Policy::ALL.len()],
    pub(super) contact: Contact,
    pub(super) shares: Shares,
    pub(super) registration: Registration,
    pub(super) debtors: Debtors,
    pub(super) quotas: Quotas,
    started: Instant,
}

impl Inner {
    /// The current time of all buckets: nanoseconds since the limiter was created.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// A key of the limiter in Redis. It does not contain the epoch of the database, because a failover must not refill
    /// the buckets.
    pub(super) fn key(&self, name: impl Display) -> String {
        let database = self.identity.current().unwrap_or_default().database;
        self.redis.lasting_key(database, format_args!("limit:{name}"))
    }

    pub(super) fn table(&self, policy: Policy) -> &Table<Key, Bucket> {
        &self.tables[policy.index()]
    }

    /// The largest number of tokens that a request may lease.
    pub(super) fn lease_size(&self, policy: Policy, quota: Quota) -> u32 {
        if self.leases && policy.is_leased() { quota.burst / LEASE_PART } else { 0 }
    }

    /// Asks Redis. `None` if there is no answer in time. A late answer is still applied to the bucket.
    pub(super) async fn ask(&self, question: Question, asking: Asking) -> Option<Answer> {
        let (quota, sent) = (asking.quota(), asking.sent());
        let name = self.key(asking.name());
        let answer = self.redis.with(|connection| {
            InFlight::new(asking, Box::pin(take(connection, name, quota, question)))
        });
        let answer = answer.await.inspect_err(|error| {
            tracing::debug!(%error, "Redis gave no answer in time; the limit is applied without it");
            self.contact.unanswered(sent);
            self.contact.pause(self.now());
        });
        answer.ok()
    }
}

/// A call that needs tokens of a bucket.
#[derive(Clone, Copy)]
struct Call<'a> {
    policy: Policy,
    quota: Quota,
    key: Key,
    cost: u32,
    /// The buckets of this process, which are used while Redis is unavailable.
    local: &'a Local,
}

impl Call<'_> {
    /// The result of a decision.
    fn checked(&self, decision: Decision) -> Checked {
        let Self { policy, quota, .. } = *self;
        let allowed = |level| Verdict::allowed(policy, quota.tokens(level));
        match decision {
            Decision::Spent { level } => Checked::Decided(allowed(level), Basis::Lease),
            Decision::Credited { level } => Checked::Decided(allowed(level), Basis::Credit),
            Decision::Refused { level, wait } => {
                Checked::Decided(Verdict::refused(policy, quota, level, wait), Basis::Lease)
            }
            Decision::Exhausted { wait } => {
                Checked::Decided(Verdict::refused(policy, quota, 0, wait), Basis::Credit)
            }
            Decision::Unavailable { missing } => Checked::Unavailable { missing },
            // Unreachable: these decisions do not end a check.
            Decision::Ask | Decision::Wait => Checked::Unavailable { missing: 0 },
        }
    }

    /// The result of an answer from Redis.
    fn answered(&self, question: Question, answer: Answer) -> Checked {
        let Self { policy, quota, .. } = *self;
        let level = answer.left(quota, question.reserve);
        let verdict = if answer.taken {
            Verdict::allowed(policy, quota.tokens(level))
        } else {
            Verdict::refused(policy, quota, level, answer.wait)
        };
        Checked::Decided(verdict, Basis::Redis)
    }
}

impl Shared {
    /// A value without buckets. If `leases` is false, every allowed call asks Redis. Must be called within a Tokio
    /// runtime, because it spawns tasks that count the instances and pay debts.
    pub fn new(redis: Redis, identity: Arc<IdentityTracker>, quotas: Quotas, leases: bool) -> Self {
        let peers = Peers::new(quotas);
        let inner = Arc::new(Inner {
            leases,
            tables: Policy::ALL.map(|_| Table::new(MOST)),
            contact: Contact::default(),
            shares: Shares::new(&peers),
            registration: Registration::default(),
            debtors: Debtors::default(),
            quotas,
            started: Instant::now(),
            redis: redis.clone(),
            identity,
        });
        tokio::spawn(registry::keep(Arc::downgrade(&inner), redis, peers));
        let changed = Arc::clone(&inner.debtors.changed);
        tokio::spawn(debtors::keep(Arc::downgrade(&inner), changed));
        Self(inner)
    }

    /// Whether requests can be sent to Redis.
    pub fn is_up(&self) -> bool {
        self.0.redis.is_up() && self.0.identity.is_known()
    }

    /// This instance's current share of a policy's buckets.
    pub fn share(&self, policy: Policy) -> Share {
        self.0.shares.of(policy)
    }

    /// Takes `cost` tokens from a bucket; if it has fewer, takes none and refuses.
    pub async fn check(
        &self,
        policy: Policy,
        quota: Quota,
        key: Key,
        cost: u32,
        local: &Local,
    ) -> Checked {
        let call = Call { policy, quota, key, cost, local };
        let began = Instant::now();
        loop {
            let waited = began.elapsed();
            match self.step(call, waited >= REQUEST_LIMIT) {
                Step::Decided(decision) => return call.checked(decision),
                Step::Ask(question, asking) => {
                    // Boxed, so that the future of calls that do not ask Redis stays small.
                    if let Some(checked) = Box::pin(self.ask(call, question, asking)).await {
                        return checked;
                    }
                }
                Step::Wait(pending) => pending.answered_or_late().await,
                Step::WaitLonger(wait, _)
                    if waited >= Duration::from_nanos(UNAVAILABLE_AFTER_NANOS) =>
                {
                    let wait = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
                    return call.checked(Decision::Exhausted { wait });
                }
                Step::WaitLonger(wait, Some(pending)) => {
                    drop(timeout(wait, pending.answer()).await);
                }
                Step::WaitLonger(wait, None) => sleep(wait.min(RETRY)).await,
            }
        }
    }

    /// Asks Redis. If the answer is late and there is no credit, waits longer. `None` if there is no answer.
    async fn ask(&self, call: Call<'_>, question: Question, asking: Asking) -> Option<Checked> {
        let pending = asking.pending();
        if let Some(answer) = self.0.ask(question, asking).await {
            return Some(call.answered(question, answer));
        }
        let wait = match self.decide_asker(call, question.cost) {
            Decision::Exhausted { wait } => Duration::from_nanos(wait),
            decided => return Some(call.checked(decided)),
        };
        if let Ok(Some(answer)) = timeout(wait, pending.answer()).await {
            return Some(call.answered(question, answer));
        }
        sleep(RETRY).await;
        None
    }

    /// Like [`Shared::check`], but returns `None` and changes nothing unless leased tokens and the last answer are
    /// sufficient.
    pub fn check_without_redis(
        &self,
        policy: Policy,
        quota: Quota,
        key: Key,
        cost: u32,
    ) -> Option<Verdict> {
        let (share, now) = (self.share(policy), self.0.now());
        let cost = quota.cost(cost).min(share.most_per_call(quota));
        let decide =
            |bucket: &mut Bucket| bucket.lease.decide_without_redis(quota, share, now, cost);
        match self.0.table(policy).with_known(&key, decide)?? {
            Decision::Spent { level } => Some(Verdict::allowed(policy, quota.tokens(level))),
            Decision::Refused { level, wait } => Some(Verdict::refused(policy, quota, level, wait)),
            _ => None,
        }
    }

    /// What a call does next. `is_late`: it has waited so long that it no longer waits for the answer.
    fn step(&self, call: Call, is_late: bool) -> Step {
        let Call { policy, quota, key, .. } = call;
        let (share, now) = (self.share(policy), self.0.now());
        let cost = quota.cost(call.cost).min(share.most_per_call(quota));
        let is_up = self.is_up();
        if !is_up {
            self.0.contact.unanswered(now);
        }
        let link = self.0.contact.link(now, is_up);
        let step = self.0.table(policy).with(key, Bucket::default, |bucket| {
            let lease = &mut bucket.lease;
            let decision = match lease.decide(quota, share, link, now, cost) {
                Decision::Wait if is_late => lease.decide_late(quota, share, link, now, cost),
                decision => decision,
            };
            match (decision, &bucket.asking) {
                (Decision::Wait, Some(pending)) => return Step::Wait(Arc::clone(pending)),
                (Decision::Ask | Decision::Wait, _) => {}
                (Decision::Exhausted { wait }, pending) => {
                    let wait = Duration::from_nanos(wait).max(MIN_WAIT);
                    return Step::WaitLonger(wait, pending.clone());
                }
                (decided, _) => return Step::Decided(decided),
            }
            let missing = if lease.is_local() { call.local.missing(key) } else { 0 };
            let question =
                lease.question(quota, share, now, cost, self.0.lease_size(policy, quota), missing);
            Step::Ask(question, Asking::new(&self.0, bucket, policy, quota, key, question, now))
        });
        if let Step::Decided(Decision::Credited { .. }) = step {
            self.0.debtors.add(policy, key);
        }
        step
    }

    /// Decides on the call that sent the request, without the answer, which is late or will not arrive.
    fn decide_asker(&self, call: Call, cost: u32) -> Decision {
        let Call { policy, quota, key, .. } = call;
        let now = self.0.now();
        let (share, link) = (self.share(policy), self.0.contact.link(now, self.is_up()));
        let decide = |bucket: &mut Bucket| bucket.lease.decide_asker(quota, share, link, now, cost);
        let decision = self.0.table(policy).with(key, Bucket::default, decide);
        if let Decision::Credited { .. } = decision {
            self.0.debtors.add(policy, key);
        }
        decision
    }

    /// Removes buckets that have no leased tokens and no debts and were not used recently.
    pub fn forget(&self) {
        let now = self.0.now();
        self.0.tables.iter().for_each(|table| table.forget(now));
    }

    /// Tells the other instances that this one stops.
    pub async fn leave(&self) {
        registry::leave(&self.0).await;
    }
}
