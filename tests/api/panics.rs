//! A panic in a request fails only this request. A panic in a lane (a thread that executes players' commands) or in
//! another part that the server needs is reported at once. In these tests the clock panics on one thread.

use std::iter::from_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use idlewatt::clock::{Clock, ManualClock};
use idlewatt::domain::Timestamp;
use idlewatt::supervisor::Fault;

use crate::outage::assert_unavailable;
use crate::support::books::eventually;
use crate::support::{TestApp, World};

const ORIGIN: &str = "https://play.example.org";

/// A clock that panics when the thread with a given name reads the time.
struct PanickingClock {
    clock: Arc<ManualClock>,
    thread: Mutex<Option<String>>,
}

impl PanickingClock {
    fn panic_on(&self, name: Option<&str>) {
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = name.map(str::to_owned);
    }
}

impl Clock for PanickingClock {
    fn now(&self) -> Timestamp {
        let name = self.thread.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let here = thread::current();
        assert!(name.is_none_or(|name| here.name() != Some(&name)), "a panic of the test");
        self.clock.now()
    }

    fn at(&self, instant: Instant) -> Timestamp {
        self.clock.at(instant)
    }

    fn steady(&self) -> Duration {
        self.clock.steady()
    }

    fn observe(&self, database: Timestamp, sent: Instant, received: Instant) {
        self.clock.observe(database, sent, received);
    }

    fn is_the_databases(&self) -> bool {
        self.clock.is_the_databases()
    }

    fn steady_now(&self) -> Option<Timestamp> {
        self.clock.steady_now().map(|_| self.now())
    }
}

async fn start() -> (TestApp, Arc<PanickingClock>) {
    let world = World::new().await;
    let clock =
        Arc::new(PanickingClock { clock: Arc::clone(&world.clock), thread: Mutex::new(None) });
    let options = [("CORS_ALLOWED_ORIGINS", ORIGIN)];
    (world.start_with_clock(&options, Arc::clone(&clock) as Arc<dyn Clock>).await, clock)
}

/// How many mutations the server would admit at the same time.
fn admission_capacity(app: &TestApp) -> usize {
    let shedding = &app.server.shedding;
    let admissions: Vec<_> = from_fn(|| shedding.admit(Instant::now())).collect();
    admissions.into_iter().map(|admission| shedding.release(admission)).count()
}

#[tokio::test]
async fn a_panicking_request_is_answered_and_releases_its_resources() {
    let (app, clock) = start().await;
    let player = app.client.guest().await;
    let before = admission_capacity(&app);
    clock.panic_on(Some("actix-server worker 0"));
    let panicked = "http_requests_total{method=\"DELETE\",route=\"unknown\",status=\"500\"}";
    for times in 1..=3 {
        let reply = app.client.call("DELETE", "/me", &player.token, None).await;
        let reply = reply.expect_problem(500, "internal");
        assert_eq!(reply.header("cache-control"), "no-store");
        assert!(!reply.text.contains("a panic of the test"), "{}", reply.text);
        assert_eq!(app.metric(panicked), f64::from(times));
    }
    let request = player.client.request("DELETE", "/api/v1/me").bearer_auth(&player.token);
    let reply = app.client.send(request.header("Origin", ORIGIN)).await.expect(500);
    assert_eq!(reply.header("access-control-allow-origin"), ORIGIN, "a page can read it");
    assert_eq!(app.server.metrics.in_flight.get(), 0);
    assert_eq!(admission_capacity(&app), before);
    clock.panic_on(None);
    assert_eq!(player.click(1).await.expect(200).json["state"]["version"], 1);
}

#[tokio::test]
async fn a_panicking_lane_is_reported_and_no_request_waits_for_it() {
    let (app, clock) = start().await;
    let player = app.client.guest().await;
    player.click(1).await.expect(200);
    clock.panic_on(Some("lane"));
    // The request that causes the panic fails, and so do later ones.
    for _ in 0..3 {
        assert_unavailable(player.click(1).await);
    }
    assert_eq!(app.server.supervisor.fault().await, Fault { part: "a lane", panicked: true });
    app.server.game.drain().await;
    assert_eq!(player.state().await["version"], 1, "a refused click was executed");
}

#[tokio::test]
async fn the_end_of_a_server_task_is_reported() {
    let (app, clock) = start().await;
    let upkeep = app.server.start_loops();
    let here = thread::current().name().expect("a test has a name").to_owned();
    clock.panic_on(Some(&here));
    let fault = app.server.supervisor.fault().await;
    let candidates = ["the poller", "the maintenance of the rankings"];
    assert!(fault.panicked && candidates.contains(&fault.part), "{fault}");
    clock.panic_on(None);
    drop(upkeep);
    eventually("requests are answered", async || {
        (app.client.call("GET", "/catalog", "", None).await.status == 200).then_some(())
    })
    .await;
}
