//! Tests of load shedding with a lane that is simulated step by step.

use std::collections::VecDeque;

use super::*;

const STEP: Duration = Duration::from_millis(1);

/// A simulated lane and its clients.
struct Simulation {
    now: Instant,
    /// The fractions of arrived and completed mutations that earlier steps left over.
    due: f64,
    done: f64,
    refused: usize,
    waits: Vec<Duration>,
}

impl Simulation {
    fn new(now: Instant) -> Self {
        Self { now, due: 0.0, done: 0.0, refused: 0, waits: Vec::new() }
    }

    /// Simulates `seconds` with the given arrivals per second and capacity per second.
    fn run(
        &mut self,
        shedding: &Shedding,
        queue: &mut VecDeque<Admission>,
        seconds: f64,
        (offered, capacity): (f64, f64),
    ) {
        let end = self.now + Duration::from_secs_f64(seconds);
        while self.now < end {
            self.now += STEP;
            self.due += offered * STEP.as_secs_f64();
            while self.due >= 1.0 {
                self.due -= 1.0;
                match shedding.admit(self.now) {
                    Some(admitted) => queue.push_back(admitted),
                    None => self.refused += 1,
                }
            }
            // Unused capacity does not carry over to later steps.
            self.done = (self.done + capacity * STEP.as_secs_f64()).min(queue.len() as f64 + 1.0);
            while self.done >= 1.0 {
                self.done -= 1.0;
                let Some(admitted) = queue.pop_front() else { break };
                self.waits.push(self.now.duration_since(admitted.at));
                shedding.complete(admitted, self.now);
            }
        }
    }

    fn quantile(&self, quantile: f64) -> Duration {
        let mut waits = self.waits.clone();
        waits.sort_unstable();
        waits[(waits.len().saturating_sub(1) as f64 * quantile) as usize]
    }
}

fn shedding() -> (Shedding, Instant) {
    let now = Instant::now();
    (Shedding::new(Metrics::new().expect("metrics"), now), now)
}

#[test]
fn load_below_the_capacity_is_admitted() {
    for capacity in [300.0, 3_000.0, 60_000.0] {
        let (shedding, now) = shedding();
        let (mut simulation, mut queue) = (Simulation::new(now), VecDeque::new());
        simulation.run(&shedding, &mut queue, 10.0, (capacity * 0.95, capacity));
        assert_eq!(simulation.refused, 0, "{capacity} a second");
    }
}

#[test]
fn at_twice_the_capacity_excess_mutations_are_refused_and_the_others_are_fast() {
    for capacity in [4_000.0, 13_000.0, 40_000.0, 100_000.0] {
        let (shedding, now) = shedding();
        let (mut simulation, mut queue) = (Simulation::new(now), VecDeque::new());
        // The limit adapts within the first second. While it rises, admitted mutations may wait twice as long.
        simulation.run(&shedding, &mut queue, 1.0, (2.0 * capacity, capacity));
        let learning = INITIAL_LIMIT as f64 / capacity + 2.0 * TARGET.as_secs_f64();
        assert!(
            simulation.quantile(1.0) < Duration::from_secs_f64(learning),
            "{capacity} a second"
        );
        (simulation.waits, simulation.refused) = (Vec::new(), 0);
        simulation.run(&shedding, &mut queue, 20.0, (2.0 * capacity, capacity));
        let served = simulation.waits.len() as f64;
        assert!(served > 0.98 * 20.0 * capacity, "{served} of {capacity} a second");
        assert!(
            simulation.refused as f64 > 0.9 * 20.0 * capacity,
            "{} refused",
            simulation.refused
        );
        let (half, most) = (simulation.quantile(0.5), simulation.quantile(0.99));
        assert!(most < Duration::from_millis(200), "{capacity} a second: {half:?}, {most:?}");
        assert!(shedding.metrics.requests_shed.get() >= simulation.refused as u64);
    }
}

#[test]
fn the_limit_follows_a_lane_that_slows_down_and_recovers() {
    let (shedding, now) = shedding();
    let (mut simulation, mut queue) = (Simulation::new(now), VecDeque::new());
    simulation.run(&shedding, &mut queue, 5.0, (40_000.0, 20_000.0));
    simulation.run(&shedding, &mut queue, 3.0, (40_000.0, 5_000.0));
    simulation.waits.clear();
    simulation.run(&shedding, &mut queue, 5.0, (40_000.0, 5_000.0));
    assert!(
        simulation.quantile(0.99) < Duration::from_millis(250),
        "{:?}",
        simulation.quantile(0.99)
    );
    simulation.run(&shedding, &mut queue, 3.0, (40_000.0, 20_000.0));
    simulation.waits.clear();
    simulation.run(&shedding, &mut queue, 5.0, (40_000.0, 20_000.0));
    let served = simulation.waits.len();
    assert!(served > 98_000, "{served} in five seconds");
}

#[test]
fn a_pause_of_the_lane_refuses_nothing_at_low_load() {
    let (shedding, now) = shedding();
    let (mut simulation, mut queue) = (Simulation::new(now), VecDeque::new());
    for _ in 0..5 {
        // The lane pauses, for example because of a checkpoint or a locked row.
        simulation.run(&shedding, &mut queue, 0.5, (1000.0, 0.0));
        simulation.run(&shedding, &mut queue, 2.0, (1000.0, 20_000.0));
    }
    assert_eq!(simulation.refused, 0);
}

#[test]
fn a_distant_database_does_not_cause_refusals() {
    let (shedding, mut now) = shedding();
    let mut queue: VecDeque<Admission> = VecDeque::new();
    let slow = Duration::from_millis(300);
    for _ in 0..10_000 {
        now += STEP;
        queue.push_back(shedding.admit(now).expect("300 are in flight"));
        while queue.front().is_some_and(|it| now.duration_since(it.at) >= slow) {
            shedding.complete(queue.pop_front().expect("one"), now);
        }
    }
}

#[test]
fn a_burst_up_to_the_limit_is_admitted_and_cancelled_requests_free_capacity() {
    let (shedding, now) = shedding();
    let burst: Vec<_> = (0..INITIAL_LIMIT).map(|_| shedding.admit(now).expect("it fits")).collect();
    assert!(shedding.admit(now).is_none());
    assert_eq!(shedding.metrics.requests_shed.get(), 1);
    for admission in burst {
        shedding.release(admission);
    }
    assert!(shedding.admit(now).is_some());
}
