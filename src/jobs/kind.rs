//! Kinds of jobs.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::schedule::Schedule;
use super::work::{Error, Finished, Work};

/// The default number of attempts. The pauses between them add up to about ten minutes.
const MAX_ATTEMPTS: i32 = 8;

type HandlerFuture = Pin<Box<dyn Future<Output = Result<Finished, Error>> + Send>>;

/// A kind of job: its name, its schedule, and its handler.
#[derive(Clone)]
pub struct Kind {
    pub(super) name: &'static str,
    pub(super) schedule: Option<Schedule>,
    pub(super) max_attempts: i32,
    pub(super) handler: Arc<dyn Fn(Work) -> HandlerFuture + Send + Sync>,
}

impl Kind {
    /// A kind without a schedule. The handler obtains its result from [`Work::finish`].
    pub fn new<F, Fut>(name: &'static str, handler: F) -> Self
    where
        F: Fn(Work) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Finished, Error>> + Send + 'static,
    {
        Self {
            name,
            schedule: None,
            max_attempts: MAX_ATTEMPTS,
            handler: Arc::new(move |work| Box::pin(handler(work))),
        }
    }

    /// Adds a schedule, which enqueues a job at each turn.
    #[must_use]
    pub fn on(self, schedule: Schedule) -> Self {
        Self { schedule: Some(schedule), ..self }
    }

    /// Sets the number of attempts.
    #[must_use]
    pub fn with_max_attempts(self, max_attempts: i32) -> Self {
        Self { max_attempts, ..self }
    }

    /// The name in the database and in the metrics.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kind").field("name", &self.name).field("schedule", &self.schedule).finish()
    }
}
