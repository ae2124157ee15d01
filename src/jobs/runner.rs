//! Runs one attempt of a job: calls its handler, renews its lease, and stores a failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{MissedTickBehavior, interval_at};

use super::kind::Kind;
use super::work::{Error, Finished, Parts, Work};
use crate::config::JobsConfig;
use crate::health::Health;
use crate::store::jobs::{ClaimedJob, JobStatus, Lease};
use crate::store::{self, Store};
use crate::telemetry::metrics::Metrics;

/// The number of renewals within the length of a lease. The lease survives two failed renewals in succession.
const RENEWALS: u32 = 3;
/// The pause in seconds after the first failed attempt. Each further failure doubles it, up to [`MAX_BACK_OFF`].
const FIRST_BACK_OFF: f64 = 4.0;
const MAX_BACK_OFF: f64 = 900.0;
/// The maximum number of stored characters of an error.
const MAX_ERROR_CHARS: usize = 2_000;

/// The state that all attempts of a process share.
pub(super) struct Runner {
    pub parts: Arc<Parts>,
    pub store: Store,
    pub sweep_store: Store,
    pub kinds: Vec<Kind>,
    pub config: JobsConfig,
    pub worker: String,
    pub health: Arc<Health>,
    pub metrics: Metrics,
    pub stop: watch::Receiver<bool>,
    /// Whether due jobs are delayed because there are too few workers.
    pub behind: AtomicBool,
}

/// The outcome of an attempt.
enum Outcome {
    Finished,
    Failed(String),
    /// Another worker may have the job, so nothing is stored.
    LeaseLost,
}

/// A task that is aborted when its handle is dropped.
struct AbortOnDrop(JoinHandle<Result<Finished, Error>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Runner {
    pub(super) fn kind(&self, name: &str) -> Option<&Kind> {
        self.kinds.iter().find(|kind| kind.name == name)
    }

    /// Claims the next due job.
    pub(super) async fn claim(&self) -> Result<Option<ClaimedJob>, store::Error> {
        let kinds: Vec<&str> = self.kinds.iter().map(|kind| kind.name).collect();
        let started = Instant::now();
        let now = self.parts.clock.now();
        let claimed =
            self.parts.store.claim_job(&kinds, &self.worker, self.config.lease, now).await;
        match &claimed {
            Ok(_) => {
                let behind = self.behind.load(Ordering::Relaxed);
                self.health.jobs_answered(started.elapsed(), behind);
            }
            Err(_) => self.health.jobs_failed(),
        }
        claimed
    }

    /// Runs one attempt of a job and stores a failure.
    pub(super) async fn run(self: Arc<Self>, job: ClaimedJob) {
        let started = Instant::now();
        let (lease, name, attempt) = (job.lease, job.kind.clone(), job.attempt);
        let Some(kind) = self.kind(&name) else { return };
        let work = Work {
            parts: Arc::clone(&self.parts),
            arguments: job.arguments,
            progress: job.progress,
            lease,
            store: self.store.clone(),
            sweep_store: self.sweep_store.clone(),
            stop: self.stop.clone(),
        };
        // Run the handler in its own task, so that a panic becomes an ordinary failure.
        let mut task = AbortOnDrop(tokio::spawn((kind.handler)(work)));
        let outcome = tokio::select! {
            result = &mut task.0 => outcome_of(result),
            () = self.keep_lease(lease) => Outcome::LeaseLost,
        };
        drop(task);
        let duration = started.elapsed();
        self.metrics.job(kind.name, !matches!(outcome, Outcome::Finished), duration);
        let duration_ms = duration.as_millis();
        match outcome {
            Outcome::Finished => tracing::debug!(kind = name, job = %lease.job, duration_ms, "ran"),
            Outcome::LeaseLost => {
                tracing::warn!(kind = name, job = %lease.job, duration_ms, "the lease was lost");
            }
            Outcome::Failed(error) => self.note_failure(lease, &name, attempt, &error).await,
        }
    }

    /// Renews a lease repeatedly. Returns when the lease is lost or may have expired.
    async fn keep_lease(&self, lease: Lease) {
        let length = self.config.lease;
        let pause = length / RENEWALS;
        let mut ticks = interval_at(tokio::time::Instant::now() + pause, pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut valid_since = Instant::now();
        loop {
            ticks.tick().await;
            let sent_at = Instant::now();
            match self.parts.store.renew_lease(lease, length).await {
                Ok(true) => valid_since = sent_at,
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(%error, job = %lease.job, "a lease could not be renewed");
                    if valid_since.elapsed() >= length {
                        return;
                    }
                }
            }
        }
    }

    async fn note_failure(&self, lease: Lease, kind: &str, attempt: i32, error: &str) {
        let now = self.parts.clock.now();
        let retry_at = now.plus_seconds(back_off(attempt, rand::random::<f64>()));
        let error: String = error.chars().take(MAX_ERROR_CHARS).collect();
        match self.parts.store.fail_job(lease, retry_at, now, &error).await {
            Ok(Some(JobStatus::Dead)) => {
                tracing::error!(kind, job = %lease.job, error, "a job is a dead letter");
            }
            Ok(Some(_)) => tracing::warn!(kind, job = %lease.job, attempt, error, "a job failed"),
            // The job was discarded or taken over, or it was finished and only the commit's response was lost.
            Ok(None) => tracing::warn!(kind, job = %lease.job, error, "the lease was lost"),
            // When the lease expires, another worker takes the job over.
            Err(cause) => tracing::warn!(kind, %cause, error, "a failure could not be stored"),
        }
    }
}

fn outcome_of(result: Result<Result<Finished, Error>, JoinError>) -> Outcome {
    match result {
        Ok(Ok(Finished { .. })) => Outcome::Finished,
        Ok(Err(Error::LeaseLost)) => Outcome::LeaseLost,
        Ok(Err(error)) => Outcome::Failed(error.to_string()),
        Err(panic) => Outcome::Failed(panic.to_string()),
    }
}

/// Seconds to wait after failed attempt number `attempt`. The pause doubles with each attempt. `chance` (0 to 1) adds
/// up to a quarter, so that jobs that failed together are not retried together.
fn back_off(attempt: i32, chance: f64) -> f64 {
    let doublings = attempt.clamp(1, 30) - 1;
    let pause = (FIRST_BACK_OFF * f64::powi(2.0, doublings)).min(MAX_BACK_OFF);
    pause * (1.0 + chance / 4.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Config, Source};
    use crate::jobs::queue::POLL;

    /// The maximum time until another worker takes over the job of a worker that crashed.
    const TAKE_OVER_LIMIT: Duration = Duration::from_secs(30);

    #[test]
    fn pauses_double_up_to_the_maximum() {
        let pauses: Vec<f64> = (1..=10).map(|attempt| back_off(attempt, 0.0)).collect();
        assert_eq!(pauses, [4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 900.0, 900.0]);
        assert_eq!(back_off(1, 1.0), 5.0);
        assert_eq!(back_off(i32::MAX, 0.0), MAX_BACK_OFF);
    }

    #[test]
    fn every_valid_lease_lets_a_job_be_taken_over_within_half_a_minute() {
        let lease = |source: Source| Config::load(&source).map(|config| config.jobs.lease);
        let default = lease(Source::new()).expect("a configuration");
        assert!(default + POLL < TAKE_OVER_LIMIT, "{default:?}");
        let longest = Source::from([("JOB_LEASE_SECONDS".into(), "25".into())]);
        assert!(lease(longest).expect("a configuration") + POLL < TAKE_OVER_LIMIT);
        let longer = Source::from([("JOB_LEASE_SECONDS".into(), "26".into())]);
        assert!(lease(longer).is_err());
    }
}
