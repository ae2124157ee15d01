//! The queue in Postgres as an apalis `Backend`.
//!
//! It claims a job only when the worker can run it immediately, so that no part of the lease is lost by waiting. It
//! never returns an error: apalis would end the worker, although an unavailable database becomes available again.

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

/// The pause between two claims while the queue is empty.
pub(super) const POLL: Duration = Duration::from_secs(1);

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The backend of the worker.
pub(super) struct Queue {
    runner: Arc<Runner>,
    state: State,
}

enum State {
    Idle,
    /// A job is being claimed.
    Claiming(Boxed<Option<ClaimedJob>>),
    /// The queue was empty.
    Waiting(Pin<Box<Sleep>>),
    /// A job was claimed while the worker was stopping and is being requeued.
    Requeuing(Boxed<()>),
}

impl Queue {
    pub(super) fn new(runner: Arc<Runner>) -> Self {
        Self { runner, state: State::Idle }
    }

    fn claim(&self) -> Boxed<Option<ClaimedJob>> {
        let runner = Arc::clone(&self.runner);
        Box::pin(async move {
            runner.claim().await.unwrap_or_else(|error| {
                tracing::warn!(%error, "the queue of jobs does not respond");
                None
            })
        })
    }

    fn requeue(&self, job: ClaimedJob) -> Boxed<()> {
        let runner = Arc::clone(&self.runner);
        Box::pin(async move {
            // If this fails, another worker takes the job over when the lease expires.
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
                State::Idle => self.state = State::Claiming(self.claim()),
                State::Claiming(claiming) => match ready!(claiming.as_mut().poll(context)) {
                    Some(job) => {
                        self.state = State::Idle;
                        return Poll::Ready(Some(Ok(Task::new(job))));
                    }
                    None => self.state = State::Waiting(Box::pin(sleep(POLL))),
                },
                State::Waiting(waiting) => {
                    ready!(waiting.as_mut().poll(context));
                    self.state = State::Idle;
                }
                State::Requeuing(_) => return Poll::Ready(None),
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
                State::Idle | State::Waiting(_) => return Poll::Ready(Ok(())),
                State::Claiming(claiming) => match ready!(claiming.as_mut().poll(context)) {
                    Some(job) => self.state = State::Requeuing(self.requeue(job)),
                    None => self.state = State::Idle,
                },
                State::Requeuing(requeuing) => {
                    ready!(requeuing.as_mut().poll(context));
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
