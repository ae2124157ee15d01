//! Buckets whose truth is in Redis, one key each, with the tokens that this instance has taken from them in lots.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::asking::{Asking, InFlight, Pending};
use super::contact::{AWAY_NANOS, Contact};
use super::debtors::{self, Debtors};
use super::key::Key;
use super::lease::{Decision, Lease};
use super::local::Local;
use super::policy::{Policy, Quota, Quotas, Verdict};
use super::question::{Answer, Question, take};
use super::registry::{self, Registration};
use super::share::{Peers, Share, Shares};
use super::table::{Fading, Table};
use crate::identity::IdentityTracker;
use crate::redis_client::{REQUEST_LIMIT, Redis};

/// Buckets of one policy that are remembered at once: some 25 MB. Who is dropped costs a round trip, no more, unless so
/// many owe something that one of those has to go.
const MOST: usize = 131_072;

/// Between two looks at whether Redis can be asked again, of a call that cannot do without.
const RETRY: Duration = Duration::from_millis(25);

/// How long such a call waits at least, so that others get on meanwhile.
const LEAST_WAIT: Duration = Duration::from_millis(1);

/// A lot is at most this part of the depth.
const LOT_PART: u32 = 4;

/// A bucket and whether it is being asked for: one question at a time, the other calls wait for what it brings.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    pub(super) lease: Lease,
    pub(super) asking: Option<Arc<Pending>>,
}

impl Fading for Bucket {
    fn fades_at(&self) -> u64 {
        self.lease.fades_at()
    }
}

/// What a call must do next.
enum Step {
    Decided(Decision),
    /// For the answer, unless that is late.
    Wait(Arc<Pending>),
    Ask(Question, Asking),
    /// For Redis, so long at most, as it is late and no more is let through on credit. There may be a question under way.
    Endure(Duration, Option<Arc<Pending>>),
}

/// How a verdict was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Redis was asked.
    Asked,
    /// It was decided from what is held and known here.
    Held,
    /// Redis was late.
    Late,
}

/// What came of a check.
#[derive(Clone, Copy, Debug)]
pub enum Checked {
    Decided(Verdict, Found),
    /// Redis is away: the bucket of this process decides, in which `missing` nanoseconds of refill are missing at least.
    Away {
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
    /// Nanoseconds on the clock of all that is known of buckets.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The key of something of the limiter's in Redis. It belongs to the database and not to its epoch: a fail-over would
    /// refill every bucket.
    pub(super) fn key(&self, name: impl Display) -> String {
        let database = self.identity.current().unwrap_or_default().database;
        self.redis.lasting_key(database, format_args!("limit:{name}"))
    }

    pub(super) fn table(&self, policy: Policy) -> &Table<Key, Bucket> {
        &self.tables[policy.index()]
    }

    /// Tokens that a question may ask for beyond what it needs.
    pub(super) fn lot(&self, policy: Policy, quota: Quota) -> u32 {
        if self.leases && policy.is_leased() { quota.burst / LOT_PART } else { 0 }
    }

    /// Asks Redis. Without an answer in time there is none; the bucket learns it if it still comes.
    pub(super) async fn ask(&self, question: Question, asking: Asking) -> Option<Answer> {
        let (quota, sent) = (asking.quota(), asking.sent());
        let name = self.key(asking.name());
        let answer = self.redis.with(|connection| {
            InFlight::new(asking, Box::pin(take(connection, name, quota, question)))
        });
        let answer = answer.await.inspect_err(|error| {
            tracing::debug!(%error, "a limit is applied without Redis");
            self.contact.unanswered(sent);
            self.contact.pause(self.now());
        });
        answer.ok()
    }
}

/// A bucket that is asked for tokens.
#[derive(Clone, Copy)]
struct Call<'a> {
    policy: Policy,
    quota: Quota,
    key: Key,
    cost: u32,
    /// The buckets of this process, for while Redis is away.
    local: &'a Local,
}

impl Call<'_> {
    /// What a decision says to the client; nothing where it is for this process' bucket to say.
    fn checked(&self, decision: Decision) -> Checked {
        let Self { policy, quota, .. } = *self;
        let allowed = |level| Verdict::allowed(policy, quota.tokens(level));
        match decision {
            Decision::Spent { level } => Checked::Decided(allowed(level), Found::Held),
            Decision::Credited { level } => Checked::Decided(allowed(level), Found::Late),
            Decision::Refused { level, wait } => {
                Checked::Decided(Verdict::refused(policy, quota, level, wait), Found::Held)
            }
            Decision::Exhausted { wait } => {
                Checked::Decided(Verdict::refused(policy, quota, 0, wait), Found::Late)
            }
            Decision::Away { missing } => Checked::Away { missing },
            // Not reached, as such a call goes on.
            Decision::Ask | Decision::Wait => Checked::Away { missing: 0 },
        }
    }

    /// What Redis says to the client.
    fn answered(&self, question: Question, answer: Answer) -> Checked {
        let Self { policy, quota, .. } = *self;
        let level = answer.left(quota, question.reserve);
        let verdict = if answer.taken {
            Verdict::allowed(policy, quota.tokens(level))
        } else {
            Verdict::refused(policy, quota, level, answer.wait)
        };
        Checked::Decided(verdict, Found::Asked)
    }
}

impl Shared {
    /// Knows of no bucket yet. Without `leases` every call that is allowed asks Redis. Call it within a runtime, which
    /// will follow what other instances there are.
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

    /// Whether Redis is there to be asked.
    pub fn is_up(&self) -> bool {
        self.0.redis.is_up() && self.0.identity.is_known()
    }

    /// What this instance may do with a policy's buckets at present.
    pub fn share(&self, policy: Policy) -> Share {
        self.0.shares.of(policy)
    }

    /// Takes `cost` tokens, or none.
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
                    // Apart, so that the calls that ask nobody do not carry its state about.
                    if let Some(checked) = Box::pin(self.ask(call, question, asking)).await {
                        return checked;
                    }
                }
                Step::Wait(pending) => pending.answered_or_late().await,
                Step::Endure(wait, _) if waited >= Duration::from_nanos(AWAY_NANOS) => {
                    let wait = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
                    return call.checked(Decision::Exhausted { wait });
                }
                Step::Endure(wait, Some(pending)) => drop(timeout(wait, pending.answer()).await),
                Step::Endure(wait, None) => sleep(wait.min(RETRY)).await,
            }
        }
    }

    /// Asks Redis, and endures its lateness where the call cannot do without. Nothing, where that was in vain.
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

    /// As [`Shared::check`], where what is held and known here decides; else nothing is done.
    pub fn check_at_hand(
        &self,
        policy: Policy,
        quota: Quota,
        key: Key,
        cost: u32,
    ) -> Option<Verdict> {
        let (share, now) = (self.share(policy), self.0.now());
        let cost = quota.cost(cost).min(share.most_per_call(quota));
        let decide = |bucket: &mut Bucket| bucket.lease.decide_at_hand(quota, share, now, cost);
        match self.0.table(policy).with_known(&key, decide)?? {
            Decision::Spent { level } => Some(Verdict::allowed(policy, quota.tokens(level))),
            Decision::Refused { level, wait } => Some(Verdict::refused(policy, quota, level, wait)),
            _ => None,
        }
    }

    /// What a call does next; `is_late`, where it has waited long enough.
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
                    let wait = Duration::from_nanos(wait).max(LEAST_WAIT);
                    return Step::Endure(wait, pending.clone());
                }
                (decided, _) => return Step::Decided(decided),
            }
            let missing = if lease.is_local() { call.local.missing(key) } else { 0 };
            let question =
                lease.question(quota, share, now, cost, self.0.lot(policy, quota), missing);
            Step::Ask(question, Asking::new(&self.0, bucket, policy, quota, key, question, now))
        });
        if let Step::Decided(Decision::Credited { .. }) = step {
            self.0.debtors.add(policy, key);
        }
        step
    }

    /// Decides on the call that asked, as the answer is late or will not come.
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

    /// Forgets buckets of which nothing is held or owed and that have not been asked for lately.
    pub fn forget(&self) {
        let now = self.0.now();
        self.0.tables.iter().for_each(|table| table.forget(now));
    }

    /// Tells the other instances that this one ends.
    pub async fn leave(&self) {
        registry::leave(&self.0).await;
    }
}
