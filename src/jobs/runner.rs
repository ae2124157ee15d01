//! One attempt at a job: its handler, its lease, and what is noted after a failure.

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

/// Renewals within the length of a lease. Two of them may fail before the lease expires.
const RENEWALS: u32 = 3;
/// The pause in seconds after the first failed attempt. It is doubled after each further one.
const FIRST_BACK_OFF: f64 = 4.0;
const LONGEST_BACK_OFF: f64 = 900.0;
/// How many characters of an error are stored.
const MAX_ERROR_CHARS: usize = 2_000;

/// What all attempts of a process share.
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
    /// Whether jobs that are due must wait.
    pub behind: AtomicBool,
}

/// How an attempt ended.
enum End {
    Finished,
    Failed(String),
    /// Another worker has the job, so there is nothing to note.
    LeaseLost,
}

/// A task that is aborted when its handle is dropped.
struct Handling(JoinHandle<Result<Finished, Error>>);

impl Drop for Handling {
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

    /// Makes an attempt at a job and stores the result.
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
        // A separate task, so that a panic is a failure like any other.
        let mut handling = Handling(tokio::spawn((kind.handler)(work)));
        let end = tokio::select! {
            result = &mut handling.0 => ended(result),
            () = self.keep_lease(lease) => End::LeaseLost,
        };
        drop(handling);
        let duration = started.elapsed();
        self.metrics.job(kind.name, !matches!(end, End::Finished), duration);
        let duration_ms = duration.as_millis();
        match end {
            End::Finished => tracing::debug!(kind = name, job = %lease.job, duration_ms, "ran"),
            End::LeaseLost => {
                tracing::warn!(kind = name, job = %lease.job, duration_ms, "the lease was lost");
            }
            End::Failed(error) => self.note_failure(lease, &name, attempt, &error).await,
        }
    }

    /// Renews a lease. Returns when it is lost or may be lost.
    async fn keep_lease(&self, lease: Lease) {
        let length = self.config.lease;
        let pause = length / RENEWALS;
        let mut ticks = interval_at(tokio::time::Instant::now() + pause, pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut held_since = Instant::now();
        loop {
            ticks.tick().await;
            let asked = Instant::now();
            match self.parts.store.renew_lease(lease, length).await {
                Ok(true) => held_since = asked,
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(%error, job = %lease.job, "a lease could not be renewed");
                    if held_since.elapsed() >= length {
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
            // The job was finished although the answer was lost, or it was discarded or taken over.
            Ok(None) => tracing::warn!(kind, job = %lease.job, error, "the lease was lost"),
            // When the lease expires another worker takes the job over.
            Err(cause) => tracing::warn!(kind, %cause, error, "a failure could not be stored"),
        }
    }
}

fn ended(result: Result<Result<Finished, Error>, JoinError>) -> End {
    match result {
        Ok(Ok(Finished { .. })) => End::Finished,
        Ok(Err(Error::LeaseLost)) => End::LeaseLost,
        Ok(Err(error)) => End::Failed(error.to_string()),
        Err(panic) => End::Failed(panic.to_string()),
    }
}

/// Seconds to wait after failed attempt number `attempt`: twice as long after each attempt, and randomly up to a
/// quarter longer, so that jobs that failed together are not retried together.
fn back_off(attempt: i32, chance: f64) -> f64 {
    let doublings = attempt.clamp(1, 30) - 1;
    let pause = (FIRST_BACK_OFF * f64::powi(2.0, doublings)).min(LONGEST_BACK_OFF);
    pause * (1.0 + chance / 4.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Config, Source};
    use crate::jobs::queue::POLL;

    /// The longest time until another worker takes over the job of one that crashed.
    const TAKE_OVER_LIMIT: Duration = Duration::from_secs(30);

    #[test]
    fn pauses_double_and_end() {
        let pauses: Vec<f64> = (1..=10).map(|attempt| back_off(attempt, 0.0)).collect();
        assert_eq!(pauses, [4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 900.0, 900.0]);
        assert_eq!(back_off(1, 1.0), 5.0);
        assert_eq!(back_off(i32::MAX, 0.0), LONGEST_BACK_OFF);
    }

    #[test]
    fn by_default_and_at_most_a_dead_workers_job_is_taken_over_within_half_a_minute() {
        let lease = |source: Source| Config::load(&source).map(|config| config.jobs.lease);
        let default = lease(Source::new()).expect("a configuration");
        assert!(default + POLL < TAKE_OVER_LIMIT, "{default:?}");
        let longest = Source::from([("JOB_LEASE_SECONDS".into(), "25".into())]);
        assert!(lease(longest).expect("a configuration") + POLL < TAKE_OVER_LIMIT);
        let longer = Source::from([("JOB_LEASE_SECONDS".into(), "26".into())]);
        assert!(lease(longer).is_err());
    }
}
