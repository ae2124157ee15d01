//! Work off the request path: apalis' workers over a queue in Postgres.
//!
//! A job's effect commits in one transaction with the note that it is done, and only while its lease holds. So a worker
//! may die or stall at any point: somebody else takes the job over, and nothing is lost, done twice or done late.
//!
//! A new kind is one line in [`kinds`] and a handler: `async fn(Work) -> Result<Finished, Error>`.

mod kind;
mod names;
mod purge;
mod queue;
mod runner;
mod schedule;
mod seasons;
mod sweep;
mod work;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apalis::prelude::{WorkerBuilder, WorkerBuilderExt, WorkerError};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

pub use kind::Kind;
pub use schedule::Schedule;
pub use work::{Error, Finished, Parts, Work};

use crate::config::JobsConfig;
use crate::health::Health;
use crate::id::new_id;
use crate::store;
use crate::store::jobs::{ClaimedJob, NewJob};
use crate::supervisor::Supervisor;
use crate::telemetry::metrics::Metrics;
use queue::Queue;
use runner::Runner;

/// How long a worker that ended by itself, which it should not, is left alone.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// How long jobs may take to end when the process does.
const DRAIN_LIMIT: Duration = Duration::from_secs(25);

/// Every kind of job that the server knows.
pub fn kinds() -> Vec<Kind> {
    let minutes = |count| Schedule::every(Duration::from_mins(count));
    let hours = |count| Schedule::every(Duration::from_hours(count));
    vec![
        Kind::new("sweep", sweep::sweep).on(minutes(10)),
        Kind::new("purge_sessions", purge::sessions).on(minutes(10)),
        Kind::new("purge_revocations", purge::revocations).on(minutes(10)),
        Kind::new("empty_idempotency_slots", purge::idempotency_slots).on(minutes(1)),
        Kind::new("purge_guests", purge::guests).on(hours(24)),
        Kind::new("freeze_seasons", seasons::freeze).on(minutes(1)),
        Kind::new("fold_names", names::fold).on(hours(1)),
        Kind::new("trim_jobs", purge::finished_jobs).on(hours(1)),
    ]
}

/// The jobs of this process.
pub struct Jobs {
    runner: Arc<Runner>,
    stop: watch::Sender<bool>,
    working: Mutex<Option<JoinHandle<()>>>,
}

impl Jobs {
    /// Jobs of those kinds. Nothing runs yet.
    ///
    /// # Errors
    /// As [`store::Store::new`].
    pub fn new(
        parts: Parts,
        kinds: Vec<Kind>,
        config: JobsConfig,
        health: Arc<Health>,
        metrics: Metrics,
    ) -> Result<Self, store::Error> {
        let stop = watch::Sender::new(false);
        let store = parts.store.for_jobs()?;
        let sweep_store = parts.store.for_sweep()?;
        let worker = format!("{}-{:08x}", std::process::id(), rand::random::<u32>());
        let runner = Arc::new(Runner {
            parts: Arc::new(parts),
            store,
            sweep_store,
            kinds,
            config,
            worker,
            health,
            metrics,
            stop: stop.subscribe(),
            behind: AtomicBool::new(false),
        });
        Ok(Self { runner, stop, working: Mutex::default() })
    }

    /// This process' name among the workers; no other process, and no later start, has it.
    pub fn worker(&self) -> &str {
        &self.runner.worker
    }

    /// Begins to work on jobs, until they are drained. `supervisor` notices should it end before.
    pub fn start(self: &Arc<Self>, supervisor: &Supervisor) {
        let (jobs, guard) = (Arc::clone(self), supervisor.guard("the work on jobs"));
        let mut stopped = self.stop.subscribe();
        let working = tokio::spawn(async move {
            let patience = async {
                // It ends with the sender too.
                drop(stopped.wait_for(|it| *it).await);
                sleep(DRAIN_LIMIT).await;
            };
            tokio::select! {
                () = jobs.work() => {}
                () = patience => {
                    tracing::warn!("jobs are cut off, and taken over when their leases lapse");
                }
            }
            guard.finish();
        });
        *self.working.lock().unwrap_or_else(PoisonError::into_inner) = Some(working);
    }

    /// Takes no further jobs and returns when those that run have ended: one of a single step at its end, one of several at
    /// the end of its step. What takes too long is left to whoever takes it over.
    pub async fn drain(&self) {
        self.stop.send_replace(true);
        let working = self.working.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(working) = working
            && let Err(error) = working.await
        {
            tracing::error!(%error, "the work on jobs had ended before");
        }
    }

    /// Closes the jobs' own connections; whoever still works fails from then on.
    pub fn close(&self) {
        self.runner.store.close();
        self.runner.sweep_store.close();
    }

    async fn work(&self) {
        let mut stopped = self.stop.subscribe();
        tokio::join!(self.runner.keep_schedule(stopped.clone()), async {
            while !*stopped.borrow() {
                if let Err(error) = self.run_worker().await {
                    tracing::error!(%error, "the worker ended and is started again");
                    tokio::select! {
                        () = sleep(RESTART_PAUSE) => {}
                        _ = stopped.wait_for(|it| *it) => {}
                    }
                }
            }
        });
    }

    /// Enqueues a job for now. Returns false where its kind has one of that key.
    ///
    /// # Errors
    /// [`store::Error::Statement`] for a kind that is not known; else as every statement's.
    pub async fn enqueue(
        &self,
        kind: &str,
        unique_key: &str,
        arguments: &Value,
    ) -> Result<bool, store::Error> {
        let runner = &self.runner;
        let known = runner.kind(kind);
        let known =
            known.ok_or_else(|| store::Error::Statement(format!("no kind of job is {kind}")))?;
        let now = runner.parts.clock.now();
        let job = NewJob {
            id: new_id(now),
            kind,
            unique_key,
            arguments,
            run_after: now,
            max_attempts: known.max_attempts,
            created_at: now,
        };
        runner.parts.store.enqueue_job(&job).await
    }

    /// Enqueues what the schedules have due, then runs here and now, one after the other, every job that is due; returns
    /// how many attempts that were. Where the time stands still, as in tests, a job that fails waits for it to move.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn run_due(&self) -> Result<usize, store::Error> {
        self.runner.fire_due(&mut Vec::new(), self.runner.parts.clock.now()).await?;
        let mut runs = 0;
        while let Some(job) = self.runner.claim().await? {
            Arc::clone(&self.runner).run(job).await;
            runs += 1;
        }
        Ok(runs)
    }

    async fn run_worker(&self) -> Result<(), WorkerError> {
        let runner = Arc::clone(&self.runner);
        let mut stopped = self.stop.subscribe();
        let stop = async move {
            // It ends with the sender too.
            stopped.wait_for(|it| *it).await.map(drop).or(Ok::<_, WorkerError>(()))
        };
        WorkerBuilder::new(runner.worker.as_str())
            .backend(Queue::new(Arc::clone(&runner)))
            .concurrency(runner.config.concurrency)
            .build(move |job: ClaimedJob| Arc::clone(&runner).run(job))
            .run_until(stop)
            .await
    }
}
