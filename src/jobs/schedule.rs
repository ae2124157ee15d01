//! Schedules of jobs.
//!
//! A *turn* is a time at which a kind of job is scheduled. Turns are multiples of a period since the Unix epoch, so
//! every instance calculates the same turns. The table `job_schedules` contains the last enqueued turn of each kind.
//! One statement advances it and enqueues the job, so exactly one instance enqueues each turn. If several turns pass
//! while no worker is running, only the last one is enqueued.

use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::runner::Runner;
use crate::domain::Timestamp;
use crate::id::new_id;
use crate::store;
use crate::store::jobs::NewJob;

/// How often the schedules are evaluated.
const TICK: Duration = Duration::from_secs(1);
/// The queue is checked once in this many ticks.
const TICKS_PER_CHECK: u32 = 5;
/// If a job has been due for this many seconds, the health check reports that there are too few workers.
const BEHIND_AFTER_SECONDS: f64 = 60.0;

/// Turns at equal intervals, counted from the Unix epoch, which was a Thursday at 00:00 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    period: Duration,
    offset: Duration,
}

impl Schedule {
    /// Turns at each multiple of `period`, which must be at least a second.
    pub const fn every(period: Duration) -> Self {
        Self { period, offset: Duration::ZERO }
    }

    /// Turns on each Monday at 00:00 UTC.
    pub const fn every_monday() -> Self {
        Self { period: Duration::from_hours(7 * 24), offset: Duration::from_hours(4 * 24) }
    }

    /// The same turns, delayed by `offset`.
    #[must_use]
    pub const fn shifted_by(self, offset: Duration) -> Self {
        Self { offset: self.offset.saturating_add(offset), ..self }
    }

    /// The latest turn at or before `now`.
    pub fn turn_at(&self, now: Timestamp) -> Timestamp {
        let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        let (period, offset) = (micros(self.period).max(1), micros(self.offset));
        let since = now.as_micros().saturating_sub(offset);
        Timestamp::from_micros(now.as_micros() - since.rem_euclid(period))
    }
}

/// The latest turn of each kind that this process knows to be enqueued.
pub(super) type Fired = Vec<(&'static str, Timestamp)>;

impl Runner {
    /// Enqueues jobs at their turns and checks the queue, until `stopped`.
    pub(super) async fn keep_schedule(&self, mut stopped: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut fired = Fired::new();
        let mut ticked = 0;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = stopped.wait_for(|it| *it) => return,
            }
            // A clock that jumped ahead would skip turns permanently, because the stored turn never decreases.
            if let Some(now) = self.parts.clock.steady_now()
                && let Err(error) = self.fire_due(&mut fired, now).await
            {
                tracing::warn!(%error, "scheduled jobs could not be enqueued; retrying");
            }
            if ticked % TICKS_PER_CHECK == 0
                && let Err(error) = self.check_queue().await
            {
                tracing::warn!(%error, "the queue of jobs could not be checked");
            }
            ticked = ticked.wrapping_add(1);
        }
    }

    /// Enqueues a job for the latest turn of each kind at `now`, unless `fired` or the database shows that it was
    /// enqueued.
    pub(super) async fn fire_due(
        &self,
        fired: &mut Fired,
        now: Timestamp,
    ) -> Result<(), store::Error> {
        for kind in &self.kinds {
            let Some(turn) = kind.schedule.map(|schedule| schedule.turn_at(now)) else { continue };
            if fired.iter().any(|&(name, last)| name == kind.name && last >= turn) {
                continue;
            }
            let job = NewJob {
                id: new_id(now),
                kind: kind.name,
                unique_key: &key_of(turn),
                arguments: &json!({}),
                run_after: now,
                max_attempts: kind.max_attempts,
                created_at: now,
            };
            if self.parts.store.fire_schedule(turn, &job).await? {
                tracing::debug!(kind = kind.name, turn = job.unique_key, "enqueued");
            }
            fired.retain(|&(name, _)| name != kind.name);
            fired.push((kind.name, turn));
        }
        Ok(())
    }

    /// Marks jobs as dead whose worker crashed in the last attempt, and updates the queue's metrics.
    async fn check_queue(&self) -> Result<(), store::Error> {
        let now = self.parts.clock.now();
        for kind in self.parts.store.bury_lapsed(now).await? {
            tracing::error!(kind, "a job is a dead letter: its worker crashed in the last attempt");
        }
        let stats = self.parts.store.job_stats(now).await?;
        let age = stats.oldest_due.map_or(0.0, |due| now.seconds_since(due).max(0.0));
        self.metrics.oldest_due_job.set(age);
        self.metrics.dead_jobs.set(stats.dead);
        self.behind.store(age > BEHIND_AFTER_SECONDS, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }
}

/// The unique key of a turn's job.
fn key_of(turn: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(turn.as_micros())
        .map_or_else(|_| turn.as_micros().to_string(), |turn| turn.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let time: jiff::Timestamp = text.parse().expect("a time");
        Timestamp::from_micros(time.as_microsecond())
    }

    #[test]
    fn turns_depend_only_on_the_period() {
        let schedule = Schedule::every(Duration::from_mins(10));
        for now in ["2026-01-05T00:10:00Z", "2026-01-05T00:13:07.5Z", "2026-01-05T00:19:59.999Z"] {
            assert_eq!(schedule.turn_at(at(now)), at("2026-01-05T00:10:00Z"), "{now}");
        }
        assert_eq!(schedule.turn_at(at("2026-01-05T00:20:00Z")), at("2026-01-05T00:20:00Z"));
        assert_eq!(key_of(at("2026-01-05T00:10:00Z")), "2026-01-05T00:10:00Z");
    }

    #[test]
    fn weeks_begin_on_monday() {
        let schedule = Schedule::every_monday();
        assert_eq!(schedule.turn_at(at("2026-01-11T23:59:59Z")), at("2026-01-05T00:00:00Z"));
        assert_eq!(schedule.turn_at(at("2026-01-12T00:00:00Z")), at("2026-01-12T00:00:00Z"));
        let later = schedule.shifted_by(Duration::from_secs(10));
        assert_eq!(later.turn_at(at("2026-01-12T00:00:09Z")), at("2026-01-05T00:00:10Z"));
    }
}
