//! A request to Redis in progress. The call that sent it may stop waiting, because the answer is late or the client
//! closed its connection. The answer is still received, so that it is known how many tokens were taken.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::FutureExt;
use redis::RedisResult;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::contact::UNAVAILABLE_AFTER_NANOS;
use super::key::Key;
use super::lease::Lease;
use super::policy::{Policy, Quota};
use super::question::{Answer, Question};
use super::shared::{Bucket, Inner};

/// The state of a request, on which calls wait.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Notified when a field below changes.
    changed: Notify,
    is_late: AtomicBool,
    /// Set when the request has ended: to the answer, or to `None` if there will be no answer.
    end: OnceLock<Option<Answer>>,
}

impl Pending {
    /// Waits until the request has ended or the answer is late.
    pub(super) async fn answered_or_late(&self) {
        self.until(|| self.end.get().is_some() || self.is_late.load(Ordering::Acquire)).await;
    }

    /// Waits for the answer, even if it is late; `None` if there will be no answer.
    pub(super) async fn answer(&self) -> Option<Answer> {
        self.until(|| self.end.get().is_some()).await;
        self.end.get().copied().flatten()
    }

    async fn until(&self, is_reached: impl Fn() -> bool) {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if is_reached() {
                return;
            }
            changed.await;
        }
    }
}

/// Delivers the answer of a request to its bucket. If it is dropped before, it reports that there will be no answer.
pub(super) struct Asking {
    inner: Arc<Inner>,
    policy: Policy,
    quota: Quota,
    key: Key,
    question: Question,
    sent: u64,
    pending: Arc<Pending>,
    /// Whether the request has ended.
    has_ended: bool,
}

impl Asking {
    /// Starts a request for a bucket that has no other request in progress.
    pub(super) fn new(
        inner: &Arc<Inner>,
        bucket: &mut Bucket,
        policy: Policy,
        quota: Quota,
        key: Key,
        question: Question,
        sent: u64,
    ) -> Self {
        let pending = Arc::new(Pending::default());
        bucket.asking = Some(Arc::clone(&pending));
        let inner = Arc::clone(inner);
        Self { inner, policy, quota, key, question, sent, pending, has_ended: false }
    }

    /// The state on which calls wait.
    pub(super) fn pending(&self) -> Arc<Pending> {
        Arc::clone(&self.pending)
    }

    /// The key of the bucket in Redis.
    pub(super) fn name(&self) -> String {
        format!("{}:{}", self.policy.name(), self.key)
    }

    pub(super) fn quota(&self) -> Quota {
        self.quota
    }

    /// When the request was sent.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Delivers the answer to the bucket.
    fn learn(mut self, answer: Answer) {
        let (quota, question, sent) = (self.quota, self.question, self.sent);
        let received = self.inner.now();
        // While the circuit breaker is open, a late answer does not mean that Redis is available again.
        if self.inner.redis.is_up() {
            self.inner.contact.answered();
        }
        self.end(Some(answer), |lease| lease.learn(quota, question, answer, sent, received));
    }

    /// Notes that the answer is late, so that calls no longer wait for it.
    fn overdue(&self) {
        self.inner.table(self.policy).with_known(&self.key, |bucket| {
            if bucket.asking.as_ref().is_some_and(|asking| Arc::ptr_eq(asking, &self.pending)) {
                bucket.lease.overdue();
            }
        });
        self.pending.is_late.store(true, Ordering::Release);
        self.pending.changed.notify_waiters();
    }

    fn end(&mut self, answer: Option<Answer>, update: impl FnOnce(&mut Lease)) {
        self.has_ended = true;
        self.inner.table(self.policy).with_known(&self.key, |bucket| {
            if bucket.asking.take_if(|asking| Arc::ptr_eq(asking, &self.pending)).is_some() {
                update(&mut bucket.lease);
            }
        });
        // Cannot fail, because only this function sets it, and only once.
        self.pending.end.set(answer).ok();
        self.pending.changed.notify_waiters();
    }

    /// How much longer to wait for the answer.
    fn remaining(&self) -> Duration {
        let elapsed = self.inner.now().saturating_sub(self.sent);
        Duration::from_nanos(UNAVAILABLE_AFTER_NANOS.saturating_sub(elapsed))
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let quota = self.quota;
        if !self.has_ended {
            self.end(None, |lease| lease.give_up(quota));
        }
    }
}

type Answering = Pin<Box<dyn Future<Output = RedisResult<Answer>> + Send>>;

/// The request to Redis. If it is dropped before its end, it continues in the background until Redis counts as
/// unavailable.
pub(super) struct InFlight(Option<(Asking, Answering)>);

impl InFlight {
    pub(super) fn new(asking: Asking, answering: Answering) -> Self {
        Self(Some((asking, answering)))
    }
}

impl Future for InFlight {
    type Output = RedisResult<Answer>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some((_, answering)) = &mut self.0 else { return Poll::Pending };
        let answer = ready!(answering.poll_unpin(context));
        if let Some((asking, _)) = self.0.take()
            && let Ok(answer) = &answer
        {
            asking.learn(*answer);
        }
        Poll::Ready(answer)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let Some((asking, answering)) = self.0.take() else { return };
        let Ok(runtime) = Handle::try_current() else { return };
        asking.overdue();
        runtime.spawn(async move {
            if let Ok(Ok(answer)) = timeout(asking.remaining(), answering).await {
                asking.learn(answer);
            }
        });
    }
}
