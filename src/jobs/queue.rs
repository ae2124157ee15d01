//! The queue as an apalis `Backend` over Postgres.
//!
//! It claims a job only when the worker can run it at once, so that no lease runs while a job waits. It never fails:
//! apalis ends a worker when its backend fails, but an unavailable database comes back.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use apalis::prelude::{Backend, Task, WorkerContext};
use apalis_core::backend::BackendConfig;
use apalis_core::backend::finalize::Ephemeral;
use apalis_core::layers::Identity;
use tokio::time::{Sleep, sleep};

use super::runner::Runner;
use crate::store::jobs::ClaimedJob;

/// The pause after the queue was found empty.
pub(super) const POLL: Duration = Duration::from_secs(1);

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The queue.
pub(super) struct Queue {
    runner: Arc<Runner>,
    state: State,
}

enum State {
    Idle,
    /// A job is being claimed.
    Asking(Boxed<Option<ClaimedJob>>),
    /// The queue was empty.
    Resting(Pin<Box<Sleep>>),
    /// A job was claimed while the worker was stopping and is being requeued.
    HandingBack(Boxed<()>),
}

impl Queue {
    pub(super) fn new(runner: Arc<Runner>) -> Self {
        Self { runner, state: State::Idle }
    }

    fn ask(&self) -> Boxed<Option<ClaimedJob>> {
        let runner = Arc::clone(&self.runner);
        Box::pin(async move {
            runner.claim().await.unwrap_or_else(|error| {
                tracing::warn!(%error, "the queue of jobs does not respond");
                None
            })
        })
    }

    fn hand_back(&self, job: ClaimedJob) -> Boxed<()> {
        let runner = Arc::clone(&self.runner);
        Box::pin(async move {
            // If this fails, the lease expires.
            if let Err(error) = runner.parts.store.hand_back_job(job.lease).await {
                tracing::warn!(%error, "a job could not be requeued");
            }
        })
    }
}

impl Backend for Queue {
    type Task = Task<ClaimedJob>;
    type Error = Infallible;

    fn poll_ready(
        &mut self,
        _: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, Infallible>>> {
        loop {
            match &mut self.state {
                State::Idle => self.state = State::Asking(self.ask()),
                State::Asking(asking) => match ready!(asking.as_mut().poll(context)) {
                    Some(job) => {
                        self.state = State::Idle;
                        return Poll::Ready(Some(Ok(Task::new(job))));
                    }
                    None => self.state = State::Resting(Box::pin(sleep(POLL))),
                },
                State::Resting(resting) => {
                    ready!(resting.as_mut().poll(context));
                    self.state = State::Idle;
                }
                State::HandingBack(_) => return Poll::Ready(None),
            }
        }
    }

    fn poll_close(
        &mut self,
        context: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), Infallible>> {
        loop {
            match &mut self.state {
                State::Idle | State::Resting(_) => return Poll::Ready(Ok(())),
                State::Asking(asking) => match ready!(asking.as_mut().poll(context)) {
                    Some(job) => self.state = State::HandingBack(self.hand_back(job)),
                    None => self.state = State::Idle,
                },
                State::HandingBack(handing_back) => {
                    ready!(handing_back.as_mut().poll(context));
                    self.state = State::Idle;
                }
            }
        }
    }
}

impl BackendConfig for Queue {
    type Args = ClaimedJob;
    type Id = uuid::Uuid;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = Identity;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Identity {
        Identity::new()
    }
}
