//! Buckets whose truth is in Redis, one key each, with the tokens that this instance has taken from them in lots.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use redis::{RedisResult, Script};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use super::key::Key;
use super::lease::{Answer, Decision, LEASE_MICROS, Lease, Question};
use super::policy::{Policy, Quota, Verdict};
use super::table::{Fading, Table};
use crate::identity::IdentityTracker;
use crate::redis_client::{Connection, REQUEST_LIMIT, Redis};

/// The script that takes tokens: one key, one round trip, on Redis' own clock.
pub const BUCKET_SCRIPT: &str = include_str!("bucket.lua");

/// Buckets of one policy that are remembered at once: some 20 MB. Who is dropped costs a round trip, no more.
const MOST: usize = 131_072;

/// A lot is at most this part of the depth.
const LOT_PART: u32 = 4;

/// For how long Redis is not asked after an answer that did not come in time, in nanoseconds. Every call would else wait
/// as long as a call may for a Redis that is slow and not yet given up.
const PAUSE_NANOS: u64 = 100_000_000;

/// Until when Redis is left alone, on the clock of [`Shared::now`].
#[derive(Debug, Default)]
struct Pause(AtomicU64);

impl Pause {
    /// An answer did not come in time.
    fn begin(&self, now: u64) {
        self.0.store(now + PAUSE_NANOS, Ordering::Relaxed);
    }

    fn lasts(&self, now: u64) -> bool {
        now < self.0.load(Ordering::Relaxed)
    }
}

/// A bucket and whether it is being asked for: one question at a time, the other calls wait for what it brings.
#[derive(Debug, Default)]
struct Bucket {
    lease: Lease,
    asking: Option<Arc<Notify>>,
}

impl Bucket {
    /// A verdict from what is held and known here; none where Redis has to be asked.
    fn decide(&mut self, policy: Policy, quota: Quota, now: u64, cost: u32) -> Option<Verdict> {
        match self.lease.decide(quota, now, cost) {
            Decision::Spent { level } => Some(Verdict::allowed(policy, quota.tokens(level))),
            Decision::Refused { level, wait } => Some(Verdict::refused(policy, quota, level, wait)),
            Decision::Ask => None,
        }
    }
}

impl Fading for Bucket {
    fn fades_at(&self) -> u64 {
        if self.asking.is_some() { u64::MAX } else { self.lease.fades_at() }
    }
}

/// What a call must do next.
enum Step<'a> {
    Decided(Verdict),
    Wait(OwnedNotified),
    Ask(Question, Asking<'a>),
    /// Redis is left alone for now.
    Alone,
}

/// How a verdict was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Redis was asked.
    Asked,
    /// It was decided from what is held and known here.
    Held,
}

/// All buckets that are shared with other instances.
pub struct Shared {
    redis: Redis,
    identity: Arc<IdentityTracker>,
    script: Script,
    leases: bool,
    tables: [Table<Key, Bucket>; Policy::ALL.len()],
    pause: Pause,
    started: Instant,
}

impl Shared {
    /// Knows of no bucket yet. Without `leases` every call that is allowed asks Redis.
    pub fn new(redis: Redis, identity: Arc<IdentityTracker>, leases: bool) -> Self {
        let script = Script::new(BUCKET_SCRIPT);
        let tables = Policy::ALL.map(|_| Table::new(MOST));
        Self {
            redis,
            identity,
            script,
            leases,
            tables,
            pause: Pause::default(),
            started: Instant::now(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Whether Redis is there to be asked.
    pub fn is_up(&self) -> bool {
        self.redis.is_up()
    }

    /// Takes `cost` tokens, or none. Without an answer of Redis in time there is no verdict.
    pub async fn check(
        &self,
        policy: Policy,
        quota: Quota,
        key: Key,
        cost: u32,
    ) -> Option<(Verdict, Found)> {
        let mut waited: Option<Instant> = None;
        loop {
            match self.step(policy, quota, key, cost) {
                Step::Decided(verdict) => return Some((verdict, Found::Held)),
                Step::Alone => return None,
                Step::Ask(question, asking) => {
                    // Apart, so that the calls that ask nobody do not carry its state about.
                    return Box::pin(self.ask(policy, quota, key, question, asking)).await;
                }
                Step::Wait(answered) => {
                    let since = waited.get_or_insert_with(Instant::now);
                    if since.elapsed() >= REQUEST_LIMIT {
                        return None;
                    }
                    answered.await;
                }
            }
        }
    }

    /// As [`Shared::check`], where what is held and known here decides; else nothing is done.
    pub fn check_at_hand(
        &self,
        policy: Policy,
        quota: Quota,
        key: Key,
        cost: u32,
    ) -> Option<Verdict> {
        let (cost, now) = (quota.cost(cost), self.now());
        let decide = |bucket: &mut Bucket| match bucket.asking {
            Some(_) => None,
            None => bucket.decide(policy, quota, now, cost),
        };
        self.tables[policy.index()].with_known(&key, decide)?
    }

    fn step(&self, policy: Policy, quota: Quota, key: Key, cost: u32) -> Step<'_> {
        let cost = quota.cost(cost);
        let now = self.now();
        let table = &self.tables[policy.index()];
        table.with(key, Bucket::default, |bucket| {
            if let Some(asking) = &bucket.asking {
                return Step::Wait(Arc::clone(asking).notified_owned());
            }
            if let Some(verdict) = bucket.decide(policy, quota, now, cost) {
                return Step::Decided(verdict);
            }
            if self.pause.lasts(now) {
                return Step::Alone;
            }
            let leased = self.leases && policy.is_leased();
            let most = if leased { quota.burst / LOT_PART } else { 0 };
            let question = bucket.lease.question(quota, now, cost, most);
            let answered = Arc::new(Notify::new());
            bucket.asking = Some(Arc::clone(&answered));
            Step::Ask(question, Asking { table, key, answered: Some(answered) })
        })
    }

    async fn ask(
        &self,
        policy: Policy,
        quota: Quota,
        key: Key,
        question: Question,
        asking: Asking<'_>,
    ) -> Option<(Verdict, Found)> {
        // Not the epoch's: a fail-over would refill every bucket.
        let database = self.identity.current()?.database;
        let name = self.redis.lasting_key(database, format_args!("limit:{}:{key}", policy.name()));
        let sent = self.now();
        let answer =
            self.redis.with(|connection| self.call(connection, &name, quota, question)).await;
        let answer = answer
            .inspect_err(|error| {
                self.pause.begin(self.now());
                tracing::debug!(%error, "a limit is kept without Redis");
            })
            .ok()?;
        let received = self.now();
        asking.learn(|lease| lease.learn(question, answer, sent, received));
        let verdict = if answer.taken {
            let level = answer.level + quota.worth(answer.lease);
            Verdict::allowed(policy, quota.tokens(level))
        } else {
            Verdict::refused(policy, quota, answer.level, answer.wait)
        };
        Some((verdict, Found::Asked))
    }

    async fn call(
        &self,
        mut connection: Connection,
        name: &str,
        quota: Quota,
        question: Question,
    ) -> RedisResult<Answer> {
        let Question { lot, stamp, unspent, reckoned, .. } = question;
        let mut call = self.script.key(name);
        call.arg(quota.interval).arg(quota.burst).arg(question.need()).arg(lot).arg(stamp);
        call.arg(unspent).arg(reckoned).arg(LEASE_MICROS);
        let (taken, level, others, lease, version, wait) =
            call.invoke_async(&mut connection).await?;
        Ok(Answer { taken, level, others, lease, version, wait })
    }

    /// Notes that a call was let through without Redis, though Redis is there: it is paid for when Redis answers again.
    pub fn owe(&self, policy: Policy, quota: Quota, key: Key, cost: u32) {
        let table = &self.tables[policy.index()];
        table.with(key, Bucket::default, |bucket| bucket.lease.owe(quota.cost(cost)));
    }

    /// Notes that a call was let through while Redis is away, and how many tokens lack in this process' own bucket, so
    /// that the one in Redis does not begin where it was left.
    pub fn lack(&self, policy: Policy, key: Key, tokens: u32) {
        let now = self.now();
        let table = &self.tables[policy.index()];
        table.with(key, Bucket::default, |bucket| bucket.lease.lack(now, tokens));
    }

    /// Forgets buckets of which nothing is held and that have not been asked for lately.
    pub fn forget(&self) {
        for table in &self.tables {
            table.forget(self.now());
        }
    }
}

/// A question under way. It may be given up on, be it because the client hung up: whether Redis did what was asked is not
/// known then, and tokens that nobody knows of lapse.
struct Asking<'a> {
    table: &'a Table<Key, Bucket>,
    key: Key,
    answered: Option<Arc<Notify>>,
}

impl Asking<'_> {
    fn learn(mut self, learn: impl FnOnce(&mut Lease)) {
        let Some(answered) = self.answered.take() else { return };
        self.table.with_known(&self.key, |bucket| {
            if bucket.asking.take_if(|asking| Arc::ptr_eq(asking, &answered)).is_some() {
                learn(&mut bucket.lease);
            }
        });
        answered.notify_waiters();
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let Some(answered) = self.answered.take() else { return };
        self.table.with_known(&self.key, |bucket| {
            if bucket.asking.take_if(|asking| Arc::ptr_eq(asking, &answered)).is_some() {
                bucket.lease.give_up();
            }
        });
        answered.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redis_that_is_late_is_left_alone_for_a_moment() {
        let pause = Pause::default();
        assert!(!pause.lasts(0));
        pause.begin(5);
        assert!(pause.lasts(5) && pause.lasts(4 + PAUSE_NANOS));
        assert!(!pause.lasts(5 + PAUSE_NANOS));
    }
}
