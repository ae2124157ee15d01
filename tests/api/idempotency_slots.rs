//! The slots of idempotency records are emptied when everything in them has expired, and not before.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use idlewatt::clock::{Clock, DatabaseClock};
use idlewatt::config::JobsConfig;
use idlewatt::domain::Timestamp;
use idlewatt::jobs::{Jobs, Parts, kinds};
use idlewatt::store::Store;
use idlewatt::store::idempotency::RINGS as TABLES;
use idlewatt::store::jobs::{Lease, NewJob};
use serde_json::Value;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::support::{TestApp, World};

const KIND: &str = "empty_idempotency_slots";

/// The clock of a worker that was paused: it returns an earlier time than the database's.
struct Paused {
    clock: DatabaseClock,
    seconds: f64,
}

impl Clock for Paused {
    fn now(&self) -> Timestamp {
        self.clock.now().plus_seconds(-self.seconds)
    }

    fn at(&self, instant: Instant) -> Timestamp {
        self.clock.at(instant).plus_seconds(-self.seconds)
    }

    fn steady(&self) -> Duration {
        self.clock.steady()
    }

    fn observe(&self, _: Timestamp, _: Instant, _: Instant) {}

    fn steady_now(&self) -> Option<Timestamp> {
        Some(self.now())
    }
}

/// The rings: first slot, number of slots, and the seconds of each turn; and how long a record is valid.
const RINGS: [(i16, i64, i64, f64); 2] = [(10, 3, 600, 600.0), (0, 5, 28_800, 86_400.0)];

/// Inserts a record of each age, in seconds, into the slot for a record that was made at `now - age`.
async fn leave_records(database: &Client, now: Timestamp, ages: &[f64]) {
    for (first, slots, seconds, _) in RINGS {
        let sql = format!(
            "insert into idempotency_records
            select {first} + (floor(extract(epoch from made) / {seconds})::bigint % {slots}),
                gen_random_uuid(), '\\x07', '\\x00', made, '{{}}'
            from unnest($2::float8[]) as age
            cross join lateral (select to_timestamp($1::float8 / 1e6) - age * interval '1 second') as it (made)"
        );
        let micros = now.as_micros() as f64;
        database.execute(&sql, &[&micros, &ages]).await.expect("inserted");
    }
}

/// The ages, in whole seconds, of the remaining records of each ring.
async fn ages_left(database: &Client, now: Timestamp) -> [BTreeSet<i64>; 2] {
    let sql = "select slot, round(extract(epoch from to_timestamp($1::float8 / 1e6) - created_at))::bigint
        from idempotency_records";
    let mut ages = [BTreeSet::new(), BTreeSet::new()];
    for row in database.query(sql, &[&(now.as_micros() as f64)]).await.expect("rows") {
        ages[usize::from(row.get::<_, i16>(0) < 10)].insert(row.get(1));
    }
    ages
}

/// The database's time.
async fn database_time(database: &Client) -> Timestamp {
    let sql = "select (extract(epoch from clock_timestamp()) * 1e6)::bigint";
    Timestamp::from_micros(database.query_one(sql, &[]).await.expect("the time").get(0))
}

/// A job that was claimed for the time `lease`.
async fn taken(store: &Store, now: Timestamp, lease: Duration) -> Lease {
    let (id, key) = (Uuid::from_u128(rand::random()), now.as_micros().to_string());
    let job = NewJob {
        id,
        kind: KIND,
        unique_key: &key,
        arguments: &Value::Null,
        run_after: now,
        max_attempts: 8,
        created_at: now,
    };
    assert!(store.enqueue_job(&job).await.expect("enqueued"));
    let claimed = store.claim_job(&[KIND], "a test", lease, now).await.expect("asked");
    claimed.expect("a job").lease
}

/// The jobs of a worker with that clock beside `app`.
fn worker(app: &TestApp, clock: Paused) -> Jobs {
    let parts = Parts {
        store: app.server.store.clone(),
        players: app.server.players.clone(),
        clock: Arc::new(clock),
        catalogues: Arc::clone(&app.server.catalogues),
        accounts: Arc::clone(&app.server.accounts),
        rankings: Arc::clone(&app.server.rankings),
        notifications: Arc::clone(&app.server.notifications),
    };
    let config = JobsConfig { lease: Duration::from_secs(15), concurrency: 1 };
    let kinds = kinds().into_iter().filter(|kind| kind.name() == KIND).collect();
    let (health, metrics) = (Arc::clone(&app.server.health), app.server.metrics.clone());
    Jobs::new(parts, kinds, config, health, metrics).expect("made")
}

/// An age, in seconds, at which a record of the long ring is almost always in the slot whose turn comes next.
const LAPSED: f64 = 4.0 * 28_800.0 - 60.0;

/// The slot that it was going to empty when it was paused is in use now.
#[tokio::test]
async fn a_paused_worker_empties_no_slot_in_use() {
    let world = World::new().await;
    let app = world.start().await;
    let database = world.connect().await;
    for (paused, ages) in
        [(28_800.0, [0.0, 600.0, 80_000.0, LAPSED]), (600.0, [0.0, 300.0, 590.0, LAPSED])]
    {
        database.batch_execute("truncate idempotency_records").await.expect("emptied");
        let now = database_time(&database).await;
        leave_records(&database, now, &ages).await;
        let before = ages_left(&database, now).await;
        let jobs = worker(&app, Paused { clock: DatabaseClock::new(), seconds: paused });
        assert_eq!(jobs.run_due().await.expect("run"), 1);
        let after = ages_left(&database, now).await;
        for (ring, (before, after)) in before.iter().zip(&after).enumerate() {
            let counts = |&&age: &&i64| (age as f64) < RINGS[ring].3;
            let lost: Vec<_> = before.difference(after).filter(counts).collect();
            assert!(
                lost.is_empty(),
                "a pause of {paused} s: records of these ages are lost: {lost:?}"
            );
        }
        jobs.close();
    }
}

#[tokio::test]
async fn a_worker_whose_lease_has_expired_empties_no_slot() {
    let world = World::new().await;
    let app = world.start().await;
    let database = world.connect().await;
    let (store, now) = (&app.server.store, app.server.clock.now());
    // Older than a turn: they are in the slots that come next.
    let ages = [900.0, 100_000.0];
    leave_records(&database, now, &ages).await;
    let before = ages_left(&database, now).await;
    let lapsed = taken(store, now, Duration::ZERO).await;
    assert_eq!(store.empty_idle_slots(lapsed, &TABLES, Some(now)).await.expect("asked"), None);
    assert_eq!(ages_left(&database, now).await, before);
    let held = taken(store, now.plus_seconds(1.0), Duration::from_mins(1)).await;
    assert_eq!(store.empty_idle_slots(held, &TABLES, Some(now)).await.expect("asked"), Some(2));
}

/// Over three turns of each ring.
#[tokio::test]
async fn slots_are_emptied_when_all_their_records_have_expired() {
    let world = World::new().await;
    let app = world.start().await;
    let database = world.connect().await;
    let (store, start) = (&app.server.store, app.server.clock.now());
    for (ring, (_, slots, seconds, memory)) in RINGS.into_iter().enumerate() {
        let mut emptied = 0;
        for step in 0..40 {
            let now = start.plus_seconds(f64::from(step) * seconds as f64 * 0.083);
            let oldest = (slots * seconds) as f64;
            let ages: Vec<f64> = (0..60).map(|age| oldest * f64::from(age) / 60.0).collect();
            database.batch_execute("truncate idempotency_records").await.expect("emptied");
            leave_records(&database, now, &ages).await;
            let before = ages_left(&database, now).await;
            let lease = taken(store, now.plus_seconds(ring as f64), Duration::from_mins(1)).await;
            assert!(
                store.empty_idle_slots(lease, &TABLES, Some(now)).await.expect("asked").is_some()
            );
            let after = ages_left(&database, now).await;
            let lost: Vec<i64> = before[ring].difference(&after[ring]).copied().collect();
            assert!(lost.iter().all(|&age| age as f64 >= memory), "step {step}: {lost:?}");
            emptied += usize::from(!lost.is_empty());
        }
        assert!(emptied > 30, "of ring {ring} only {emptied} of 40 times");
    }
}
