//! Metrics in Prometheus' text format.

use std::time::Duration;

#[cfg(target_os = "linux")]
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

use super::client_errors;
use super::live::LiveMetrics;
use super::striped::CounterVec;
pub use super::striped::{Counter, Gauge as Level};

/// All metrics of one server.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    /// Requests by method, route template and status.
    requests: CounterVec,
    /// Duration of requests in seconds, by route template.
    durations: HistogramVec,
    /// Requests in flight.
    pub in_flight: Level,
    /// Mutations that were refused because too many were in flight.
    pub requests_shed: Counter,
    /// How many mutations may be in flight now.
    pub mutations_limit: IntGauge,
    /// Commands that were committed.
    pub committed_commands: IntCounter,
    /// Batches that were committed.
    pub committed_batches: IntCounter,
    /// Players that a batch did not write, because another instance had written the row or the request was a repeat.
    pub revision_conflicts: IntCounter,
    /// Commands that wait in the queues of lanes.
    pub queued_commands: Level,
    /// Statements of lanes that timed out while they waited for a lock.
    pub lock_waits: IntCounter,
    /// Commands that wait because other transactions have locked their players' rows.
    pub held_commands: IntGauge,
    /// Players written by one commit.
    pub batch_players: Histogram,
    /// Duration of commits in seconds.
    pub commit_durations: Histogram,
    /// Energy from production and clicks, counted when it is stored.
    pub energy_earned: prometheus::Counter,
    /// Purchases, of generators and upgrades.
    pub purchases: IntCounter,
    /// Whether the process should receive requests: 1 or 0.
    pub ready: IntGauge,
    /// Connections to Postgres by state.
    connections: IntGaugeVec,
    /// Whether Postgres responds: 1 or 0.
    pub database_up: IntGauge,
    /// Whether Postgres accepts writes: 1 or 0.
    pub database_writable: IntGauge,
    /// How far the database's clock is behind the latest time that it reported, in seconds.
    pub database_clock_behind: Gauge,
    /// Calls that a rate limit allowed or refused.
    limit_decisions: CounterVec,
    /// Whether Redis is used: 1 or 0.
    pub redis_up: IntGauge,
    /// Calls to Redis that failed or timed out.
    pub redis_failures: IntCounter,
    /// How often the circuit breaker to Redis opened.
    pub redis_breaker_opened: IntCounter,
    /// The cache of players.
    pub players_cache: CacheMetrics,
    /// Attempts at jobs, by kind.
    job_runs: IntCounterVec,
    /// Attempts at jobs that failed, by kind.
    job_failures: IntCounterVec,
    /// Duration of attempts in seconds, by kind.
    job_durations: HistogramVec,
    /// How long the oldest due job has waited, in seconds.
    pub oldest_due_job: Gauge,
    /// Jobs whose last attempt failed.
    pub dead_jobs: IntGauge,
    pub rankings: RankingsMetrics,
    pub streams: StreamsMetrics,
    pub live: LiveMetrics,
}

/// The metrics of one route, with counters that are looked up once.
#[derive(Debug)]
pub struct RouteMetrics {
    requests: CounterVec,
    durations: Histogram,
    route: String,
    counters: Vec<(&'static str, u16, Counter)>,
}

impl RouteMetrics {
    /// Counts an answered request.
    pub fn count(&mut self, method: &'static str, status: u16, duration: Duration) {
        self.durations.observe(duration.as_secs_f64());
        let known = self.counters.iter().find(|counter| (counter.0, counter.1) == (method, status));
        if let Some((.., counter)) = known {
            return counter.inc();
        }
        let labels = [method, &self.route, &status.to_string()];
        let counter = self.requests.with_label_values(&labels);
        counter.inc();
        self.counters.push((method, status, counter));
    }
}

/// The metrics of one cache.
#[derive(Clone, Debug)]
pub struct CacheMetrics {
    /// Reads answered from memory.
    pub memory_hits: Counter,
    /// Loads answered by Redis.
    pub redis_hits: Counter,
    /// Loads from Postgres.
    pub loads: Counter,
    /// Reads answered with a row past its freshness because Postgres was unavailable.
    pub stale: Counter,
}

impl CacheMetrics {
    fn new(registry: &Registry, entry: &str) -> Result<Self, prometheus::Error> {
        let opts = Opts::new("cache_reads_total", "Reads by source");
        let reads = CounterVec::new(opts, &["entry", "source"])?;
        registry.register(Box::new(reads.clone()))?;
        let of = |source| reads.with_label_values(&[entry, source]);
        Ok(Self {
            memory_hits: of("memory"),
            redis_hits: of("redis"),
            loads: of("postgres"),
            stale: of("stale"),
        })
    }
}

/// In seconds: from a millisecond to ten minutes.
const JOB_BUCKETS: [f64; 12] =
    [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 120.0, 600.0];

/// The metrics of the rankings.
#[derive(Clone, Debug)]
pub struct RankingsMetrics {
    /// Standings that were published, except by rebuilds.
    pub published: IntCounter,
    /// Rebuilds that this instance finished.
    pub rebuilds: IntCounter,
    /// The duration of the last rebuild in seconds.
    pub rebuild_seconds: Gauge,
    /// The number of players in the last rebuild.
    pub rebuild_players: IntGauge,
    /// Players seen in the last minute.
    pub seen_in_a_minute: IntGauge,
    /// Players seen in the last five minutes.
    pub seen_in_five_minutes: IntGauge,
}

impl RankingsMetrics {
    fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let opts = Opts::new("players_seen", "Players seen recently");
        let seen = IntGaugeVec::new(opts, &["window"])?;
        registry.register(Box::new(seen.clone()))?;
        let metrics = Self {
            seen_in_a_minute: seen.with_label_values(&["60s"]),
            seen_in_five_minutes: seen.with_label_values(&["300s"]),
            published: IntCounter::new("rankings_published_total", "Standings published")?,
            rebuilds: IntCounter::new("rankings_rebuilds_total", "Rebuilds of the boards")?,
            rebuild_seconds: Gauge::new("rankings_rebuild_seconds", "Time of the last rebuild")?,
            rebuild_players: IntGauge::new(
                "rankings_rebuild_players",
                "Players in the last rebuild",
            )?,
        };
        registry.register(Box::new(metrics.published.clone()))?;
        registry.register(Box::new(metrics.rebuilds.clone()))?;
        registry.register(Box::new(metrics.rebuild_seconds.clone()))?;
        registry.register(Box::new(metrics.rebuild_players.clone()))?;
        Ok(metrics)
    }
}

/// The metrics of the streams.
#[derive(Clone, Debug)]
pub struct StreamsMetrics {
    /// Events that this instance appended, by type.
    appended: IntCounterVec,
    /// Events of followed streams that this instance read for those who wait.
    pub followed_events: IntCounter,
    /// Seconds from an event until it can be given to those who wait for it here.
    pub delivery_seconds: Histogram,
    /// Polls that wait.
    pub waiting_polls: Level,
    /// Seconds from a signal until this instance read it from the database.
    pub signal_seconds: Histogram,
    /// Seconds for which the oldest entry of the outbox waited when it was taken.
    pub outbox_seconds: Histogram,
    /// Attempts to empty the outbox that failed.
    pub outbox_failures: IntCounter,
}

impl StreamsMetrics {
    fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let seconds = |name, help| histogram(name, help, &DURATION_BUCKETS);
        let metrics = Self {
            appended: IntCounterVec::new(
                Opts::new("stream_events_total", "Events appended to streams"),
                &["type"],
            )?,
            followed_events: IntCounter::new(
                "stream_followed_events_total",
                "Events read for those who wait for them",
            )?,
            delivery_seconds: seconds(
                "stream_delivery_seconds",
                "Time from an event until it can be given to those who wait for it",
            )?,
            waiting_polls: Level::new("stream_polls_waiting", "Polls that wait for events")?,
            signal_seconds: seconds(
                "signal_read_seconds",
                "Time from a signal until it was read from the database",
            )?,
            outbox_failures: IntCounter::new(
                "outbox_failures_total",
                "Attempts to empty the outbox that failed",
            )?,
            outbox_seconds: seconds(
                "outbox_wait_seconds",
                "Time that entries of the outbox waited for their place in a stream",
            )?,
        };
        registry.register(Box::new(metrics.appended.clone()))?;
        registry.register(Box::new(metrics.followed_events.clone()))?;
        registry.register(Box::new(metrics.delivery_seconds.clone()))?;
        registry.register(Box::new(metrics.waiting_polls.clone()))?;
        registry.register(Box::new(metrics.signal_seconds.clone()))?;
        registry.register(Box::new(metrics.outbox_seconds.clone()))?;
        registry.register(Box::new(metrics.outbox_failures.clone()))?;
        Ok(metrics)
    }

    /// Makes the counts of these types of events appear as 0, so that queries find them.
    pub fn declare(&self, kinds: &[&str]) {
        for kind in kinds {
            self.appended.with_label_values(&[*kind]).inc_by(0);
        }
    }

    /// Counts an event that was appended.
    pub fn appended(&self, kind: &str) {
        self.appended.with_label_values(&[kind]).inc();
    }
}

/// In seconds: from half a millisecond to ten seconds.
pub(super) const DURATION_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// In players, up to the largest batch of a lane.
const BATCH_BUCKETS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// A histogram without labels.
pub(super) fn histogram(
    name: &str,
    help: &str,
    buckets: &[f64],
) -> Result<Histogram, prometheus::Error> {
    Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))
}

impl Metrics {
    /// Makes and registers all metrics.
    ///
    /// # Errors
    /// Returns an error if two metrics have the same name.
    #[expect(clippy::too_many_lines, reason = "a list of all metrics")]
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let metrics = Self {
            players_cache: CacheMetrics::new(&registry, "player")?,
            rankings: RankingsMetrics::new(&registry)?,
            streams: StreamsMetrics::new(&registry)?,
            live: LiveMetrics::new(&registry)?,
            registry,
            requests: CounterVec::new(
                Opts::new("http_requests_total", "Requests answered"),
                &["method", "route", "status"],
            )?,
            durations: HistogramVec::new(
                HistogramOpts::new("http_request_duration_seconds", "Time to answer a request")
                    .buckets(DURATION_BUCKETS.to_vec()),
                &["route"],
            )?,
            in_flight: Level::new("http_requests_in_flight", "Requests being answered")?,
            requests_shed: Counter::new(
                "http_requests_shed_total",
                "Mutations refused because too many were in flight",
            )?,
            mutations_limit: IntGauge::new(
                "http_mutations_limit",
                "Mutations that may be in flight before others are refused",
            )?,
            committed_commands: IntCounter::new("lane_commands_total", "Commands committed")?,
            committed_batches: IntCounter::new("lane_batches_total", "Batches committed")?,
            revision_conflicts: IntCounter::new(
                "lane_conflicts_total",
                "Players not written by a batch because their row had a newer revision or the request was a repeat",
            )?,
            queued_commands: Level::new("lane_queued_commands", "Commands waiting in lanes")?,
            lock_waits: IntCounter::new(
                "lane_lock_waits_total",
                "Statements of lanes that gave up on a lock that another transaction holds",
            )?,
            held_commands: IntGauge::new(
                "lane_held_commands",
                "Commands waiting for rows that other transactions have locked",
            )?,
            batch_players: histogram(
                "lane_batch_players",
                "Players written by one commit",
                &BATCH_BUCKETS,
            )?,
            commit_durations: histogram(
                "lane_commit_duration_seconds",
                "Time to commit a batch",
                &DURATION_BUCKETS,
            )?,
            energy_earned: prometheus::Counter::new(
                "game_energy_earned_total",
                "Energy that players earned, counted when it is stored",
            )?,
            purchases: IntCounter::new("game_purchases_total", "Generators and upgrades bought")?,
            ready: IntGauge::new("server_ready", "Whether requests should be sent")?,
            connections: IntGaugeVec::new(
                Opts::new("database_connections", "Connections to Postgres, and callers waiting"),
                &["state"],
            )?,
            database_up: IntGauge::new("database_up", "Whether Postgres answers")?,
            database_writable: IntGauge::new(
                "database_writable",
                "Whether Postgres accepts writes",
            )?,
            database_clock_behind: Gauge::new(
                "database_clock_behind_seconds",
                "How far the database's clock is behind the latest time that it reported",
            )?,
            limit_decisions: CounterVec::new(
                Opts::new(
                    "rate_limit_decisions_total",
                    "Calls that a limit allowed or refused: by asking Redis, from leased tokens, or locally because Redis was late or unavailable",
                ),
                &["policy", "store", "outcome"],
            )?,
            redis_up: IntGauge::new("redis_up", "Whether Redis is used")?,
            redis_failures: IntCounter::new("redis_failures_total", "Calls to Redis that failed")?,
            redis_breaker_opened: IntCounter::new(
                "redis_breaker_opened_total",
                "How often the circuit breaker to Redis opened",
            )?,
            job_runs: IntCounterVec::new(
                Opts::new("job_runs_total", "Attempts at jobs"),
                &["kind"],
            )?,
            job_failures: IntCounterVec::new(
                Opts::new("job_failures_total", "Attempts at jobs that failed"),
                &["kind"],
            )?,
            job_durations: HistogramVec::new(
                HistogramOpts::new("job_duration_seconds", "Time of an attempt at a job")
                    .buckets(JOB_BUCKETS.to_vec()),
                &["kind"],
            )?,
            oldest_due_job: Gauge::new(
                "job_oldest_due_seconds",
                "How long the oldest job that is due has waited",
            )?,
            dead_jobs: IntGauge::new("job_dead_letters", "Jobs whose last attempt has failed")?,
        };
        metrics.register()?;
        Ok(metrics)
    }

    fn register(&self) -> Result<(), prometheus::Error> {
        let build = IntGaugeVec::new(Opts::new("build_info", "The running build"), &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let registry = &self.registry;
        registry.register(Box::new(build))?;
        registry.register(Box::new(self.requests.clone()))?;
        registry.register(Box::new(self.durations.clone()))?;
        registry.register(Box::new(self.in_flight.clone()))?;
        registry.register(Box::new(self.requests_shed.clone()))?;
        registry.register(Box::new(self.mutations_limit.clone()))?;
        registry.register(Box::new(self.committed_commands.clone()))?;
        registry.register(Box::new(self.committed_batches.clone()))?;
        registry.register(Box::new(self.revision_conflicts.clone()))?;
        registry.register(Box::new(self.queued_commands.clone()))?;
        registry.register(Box::new(self.lock_waits.clone()))?;
        registry.register(Box::new(self.held_commands.clone()))?;
        registry.register(Box::new(self.batch_players.clone()))?;
        registry.register(Box::new(self.commit_durations.clone()))?;
        registry.register(Box::new(self.energy_earned.clone()))?;
        registry.register(Box::new(self.purchases.clone()))?;
        registry.register(Box::new(self.ready.clone()))?;
        #[cfg(target_os = "linux")]
        registry.register(Box::new(ProcessCollector::for_self()))?;
        client_errors::register(registry)?;
        registry.register(Box::new(self.connections.clone()))?;
        registry.register(Box::new(self.database_up.clone()))?;
        registry.register(Box::new(self.database_writable.clone()))?;
        registry.register(Box::new(self.database_clock_behind.clone()))?;
        registry.register(Box::new(self.limit_decisions.clone()))?;
        registry.register(Box::new(self.redis_up.clone()))?;
        registry.register(Box::new(self.redis_failures.clone()))?;
        registry.register(Box::new(self.redis_breaker_opened.clone()))?;
        registry.register(Box::new(self.job_runs.clone()))?;
        registry.register(Box::new(self.job_failures.clone()))?;
        registry.register(Box::new(self.job_durations.clone()))?;
        registry.register(Box::new(self.oldest_due_job.clone()))?;
        registry.register(Box::new(self.dead_jobs.clone()))?;
        Ok(())
    }

    /// The metrics of one route. `route` is a template, never a path, so that there are few labels.
    pub fn route(&self, route: String) -> RouteMetrics {
        RouteMetrics {
            requests: self.requests.clone(),
            durations: self.durations.with_label_values(&[&route]),
            route,
            counters: Vec::new(),
        }
    }

    /// The counter of a limit's decisions.
    pub fn limit_decisions(&self, policy: &str, store: &str, outcome: &str) -> Counter {
        self.limit_decisions.with_label_values(&[policy, store, outcome])
    }

    /// Counts a finished attempt at a job.
    pub fn job(&self, kind: &str, failed: bool, duration: Duration) {
        self.job_runs.with_label_values(&[kind]).inc();
        self.job_durations.with_label_values(&[kind]).observe(duration.as_secs_f64());
        // Both series exist from the first attempt on, so that the first failure already has a rate.
        self.job_failures.with_label_values(&[kind]).inc_by(u64::from(failed));
    }

    /// Sets the state of the connection pool.
    pub fn pool(&self, open: usize, idle: usize, waiting: usize) {
        for (state, count) in
            [("busy", open.saturating_sub(idle)), ("idle", idle), ("waiting", waiting)]
        {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.connections.with_label_values(&[state]).set(count);
        }
    }

    /// All metrics as text.
    ///
    /// # Errors
    /// Returns an error if the encoder fails.
    pub fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}
