//! Pays the debts of buckets as soon as Redis answers, so that they have credit when Redis is late again.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::asking::Asking;
use super::key::Key;
use super::policy::Policy;
use super::shared::Inner;

/// The interval of attempts to pay, and the delay before the first attempt: the late request may still be answered and
/// pay the debt itself.
const INTERVAL: Duration = Duration::from_millis(100);

/// The largest number of buckets in the list. The debts of other buckets are paid with their next calls.
const MOST: usize = 4096;

/// Payments in progress at the same time.
const AT_ONCE: usize = 32;

/// Buckets with debts.
#[derive(Debug, Default)]
pub(super) struct Debtors {
    buckets: Mutex<Vec<(Policy, Key)>>,
    /// Notified when a debt is added and when this value is dropped.
    pub(super) changed: Arc<Notify>,
}

impl Drop for Debtors {
    fn drop(&mut self) {
        self.changed.notify_one();
    }
}

impl Debtors {
    /// Adds a bucket in which a call was admitted on credit.
    pub(super) fn add(&self, policy: Policy, key: Key) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() < MOST {
            buckets.push((policy, key));
        }
        drop(buckets);
        self.changed.notify_one();
    }

    fn take(&self) -> Vec<(Policy, Key)> {
        mem::take(&mut *self.buckets.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Pays debts as long as the limiter is in use.
pub(super) async fn keep(shared: Weak<Inner>, changed: Arc<Notify>) {
    loop {
        changed.notified().await;
        sleep(INTERVAL).await;
        let Some(shared) = shared.upgrade() else { return };
        let buckets = shared.debtors.take();
        stream::iter(buckets)
            .for_each_concurrent(AT_ONCE, |(policy, key)| {
                let shared = &shared;
                async move {
                    if shared.pay(policy, key).await == Paid::Later {
                        shared.debtors.add(policy, key);
                    }
                }
            })
            .await;
    }
}

/// The result of an attempt to pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Paid {
    /// No further attempt is needed.
    Done,
    /// Redis did not answer, or no request can be sent now.
    Later,
}

impl Inner {
    /// Pays the debt of a bucket.
    async fn pay(self: &Arc<Self>, policy: Policy, key: Key) -> Paid {
        let Some(quota) = self.quotas.of(policy) else { return Paid::Done };
        let (share, now, is_up) = (self.shares.of(policy), self.now(), self.redis.is_up());
        let asked = self.table(policy).with_known(&key, |bucket| {
            if bucket.lease.debt() == 0 || bucket.lease.is_local() {
                return Err(Paid::Done);
            }
            if !is_up {
                return Err(Paid::Later);
            }
            let lease_wanted = self.lease_size(policy, quota);
            let question =
                bucket.lease.payment(quota, share, now, lease_wanted).ok_or(Paid::Later)?;
            Ok((question, Asking::new(self, bucket, policy, quota, key, question, now)))
        });
        match asked {
            None => Paid::Done,
            Some(Err(paid)) => paid,
            Some(Ok((question, asking))) => match self.ask(question, asking).await {
                // If Redis refused, because the bucket has too few tokens, the player's next call pays.
                Some(_) => Paid::Done,
                None => Paid::Later,
            },
        }
    }
}
