//! Background jobs: apalis workers and a queue in Postgres.
//!
//! A job's effect and its completion are committed in one transaction, and only while the job's lease is valid.
//! Therefore a worker may crash or stall at any point: another worker takes the job over, and no effect is lost,
//! repeated, or written after the lease has expired.
//!
//! - *Leases.* A worker claims due jobs with `for no key update skip locked`. A lease lasts 15 seconds by the clock of
//!   the database; the worker renews it three times in that period. Workers look for expired leases every second.
//! - *Steps.* A job consists of one or more transactions. Each ends with [`Work::finish`] or [`Work::advance`]. They
//!   commit only if the job's row still has the worker's lease, and otherwise roll back. A handler must call one of the
//!   functions that return [`Finished`]. A job that is taken over continues after its last committed step.
//! - *Attempts.* After an error or a panic the job is retried after 4 s, 8 s and so on, up to 15 minutes. After its
//!   last attempt (by default the eighth) it is a dead letter. Operators list, retry and discard jobs.
//! - *Shutdown.* A process that shuts down claims no more jobs. It finishes jobs of one step, and requeues jobs of
//!   several steps after their current step.
//!
//! Three features of apalis are not used. Acknowledging a job in a layer around the handler would need a second
//! transaction. The cron of apalis runs in every instance and loses ticks that it misses, so `schedule` calculates the
//! scheduled times instead. An error of the backend would end the worker, so our backend never returns one.
//!
//! To add a kind of job, add a line to [`kinds`] and a handler: `async fn(Work) -> Result<Finished, Error>`.

mod kind;
mod names;
mod notifications;
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
use crate::notifications::SEND_KIND;
use crate::store;
use crate::store::jobs::{ClaimedJob, NewJob};
use crate::supervisor::Supervisor;
use crate::telemetry::metrics::Metrics;
use queue::Queue;
use runner::Runner;

/// The pause before a worker that ended unexpectedly is restarted.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// How long a shutdown waits for running jobs.
const DRAIN_LIMIT: Duration = Duration::from_secs(25);

/// All kinds of jobs.
pub fn kinds() -> Vec<Kind> {
    let minutes = |count| Schedule::every(Duration::from_mins(count));
    let hours = |count| Schedule::every(Duration::from_hours(count));
    vec![
        Kind::new("sweep", sweep::sweep).on(minutes(10)),
        Kind::new("purge_sessions", purge::sessions).on(minutes(10)),
        Kind::new("purge_revocations", purge::revocations).on(minutes(10)),
        Kind::new("empty_idempotency_slots", purge::idempotency_slots).on(minutes(1)),
        Kind::new("empty_event_slots", purge::event_slots).on(minutes(1)),
        Kind::new("purge_signals", purge::signals).on(minutes(1)),
        Kind::new(SEND_KIND, notifications::send),
        Kind::new("expire_notifications", notifications::expire)
            .on(Schedule::every(Duration::from_secs(30))),
        Kind::new("purge_notifications", notifications::purge).on(hours(1)),
        Kind::new("purge_guests", purge::guests).on(hours(24)),
        Kind::new("freeze_seasons", seasons::freeze).on(minutes(1)),
        Kind::new("fold_names", names::fold).on(hours(1)),
        Kind::new("trim_jobs", purge::finished_jobs).on(hours(1)),
    ]
}

/// The job worker of this process.
pub struct Jobs {
    runner: Arc<Runner>,
    stop: watch::Sender<bool>,
    working: Mutex<Option<JoinHandle<()>>>,
}

impl Jobs {
    /// Creates the worker for these kinds without starting it.
    ///
    /// # Errors
    /// Those of [`store::Store::new`].
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

    /// The name of this process as a worker. It is unique among all processes and restarts.
    pub fn worker(&self) -> &str {
        &self.runner.worker
    }

    /// Starts running jobs until [`Jobs::drain`]. `supervisor` is notified if the worker ends before.
    pub fn start(self: &Arc<Self>, supervisor: &Supervisor) {
        let (jobs, guard) = (Arc::clone(self), supervisor.guard("the work on jobs"));
        let mut stopped = self.stop.subscribe();
        let working = tokio::spawn(async move {
            let drain_timeout = async {
                // Also ends when the sender is dropped.
                drop(stopped.wait_for(|it| *it).await);
                sleep(DRAIN_LIMIT).await;
            };
            tokio::select! {
                () = jobs.work() => {}
                () = drain_timeout => {
                    tracing::warn!("running jobs are aborted; other workers take them over when their leases expire");
                }
            }
            guard.finish();
        });
        *self.working.lock().unwrap_or_else(PoisonError::into_inner) = Some(working);
    }

    /// Stops claiming jobs and returns when the running ones have ended: a job of one step at its end, a job of several
    /// steps at the end of the current step. A job that takes longer than `DRAIN_LIMIT` is aborted, and another
    /// worker takes it over.
    pub async fn drain(&self) {
        self.stop.send_replace(true);
        let working = self.working.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(working) = working
            && let Err(error) = working.await
        {
            tracing::error!(%error, "the worker had already ended");
        }
    }

    /// Closes the connections that only jobs use. Jobs that are still running fail.
    pub fn close(&self) {
        self.runner.store.close();
        self.runner.sweep_store.close();
    }

    async fn work(&self) {
        let mut stopped = self.stop.subscribe();
        tokio::join!(self.runner.keep_schedule(stopped.clone()), async {
            while !*stopped.borrow() {
                if let Err(error) = self.run_worker().await {
                    tracing::error!(%error, "the worker ended and is restarted");
                    tokio::select! {
                        () = sleep(RESTART_PAUSE) => {}
                        _ = stopped.wait_for(|it| *it) => {}
                    }
                }
            }
        });
    }

    /// Enqueues a job that is due now. Returns false if a job of the same kind and key exists.
    ///
    /// # Errors
    /// Returns [`store::Error::Statement`] for an unknown kind, otherwise the error of the statement.
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

    /// Enqueues scheduled jobs that are due, runs all due jobs one after the other, and returns the number of attempts.
    /// With a manual clock, as in tests, a failed job is retried only after the clock was advanced.
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
            // Also ends when the sender is dropped.
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
