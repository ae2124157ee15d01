//! Tests of load shedding with a lane that is simulated step by step.

use std::collections::VecDeque;

use super::*;

const STEP: Duration = Duration::from_millis(1);

/// A lane with a given capacity in mutations per second, and its clients.
struct World {
    now: Instant,
    /// The fractions of a mutation that are left from earlier steps.
    due: f64,
    done: f64,
    refused: usize,
    waits: Vec<Duration>,
}

impl World {
    fn new(now: Instant) -> Self {
        Self { now, due: 0.0, done: 0.0, refused: 0, waits: Vec::new() }
    }

    /// Simulates `seconds` with the given arrivals per second and capacity per second.
    fn go_on(
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
            // Unused capacity cannot be saved.
            self.done = (self.done + capacity * STEP.as_secs_f64()).min(queue.len() as f64 + 1.0);
            while self.done >= 1.0 {
                self.done -= 1.0;
                let Some(admitted) = queue.pop_front() else { break };
                self.waits.push(self.now.duration_since(admitted.at));
                shedding.carried_out(admitted, self.now);
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
fn what_can_be_served_is_let_in() {
    for capacity in [300.0, 3_000.0, 60_000.0] {
        let (shedding, now) = shedding();
        let (mut world, mut queue) = (World::new(now), VecDeque::new());
        world.go_on(&shedding, &mut queue, 10.0, (capacity * 0.95, capacity));
        assert_eq!(world.refused, 0, "{capacity} a second");
    }
}

#[test]
fn of_twice_what_can_be_served_the_surplus_is_turned_away_and_nobody_else_waits_long() {
    for capacity in [4_000.0, 13_000.0, 40_000.0, 100_000.0] {
        let (shedding, now) = shedding();
        let (mut world, mut queue) = (World::new(now), VecDeque::new());
        // The limit is learned in the first second. While it rises, admitted mutations may wait twice as long.
        world.go_on(&shedding, &mut queue, 1.0, (2.0 * capacity, capacity));
        let learning = USUAL as f64 / capacity + 2.0 * TARGET.as_secs_f64();
        assert!(world.quantile(1.0) < Duration::from_secs_f64(learning), "{capacity} a second");
        (world.waits, world.refused) = (Vec::new(), 0);
        world.go_on(&shedding, &mut queue, 20.0, (2.0 * capacity, capacity));
        let served = world.waits.len() as f64;
        assert!(served > 0.98 * 20.0 * capacity, "{served} of {capacity} a second");
        assert!(world.refused as f64 > 0.9 * 20.0 * capacity, "{} refused", world.refused);
        let (half, most) = (world.quantile(0.5), world.quantile(0.99));
        assert!(most < Duration::from_millis(200), "{capacity} a second: {half:?}, {most:?}");
        assert!(shedding.metrics.requests_shed.get() >= world.refused as u64);
    }
}

#[test]
fn a_lane_that_slows_down_is_sent_less_and_more_again_when_it_is_well() {
    let (shedding, now) = shedding();
    let (mut world, mut queue) = (World::new(now), VecDeque::new());
    world.go_on(&shedding, &mut queue, 5.0, (40_000.0, 20_000.0));
    world.go_on(&shedding, &mut queue, 3.0, (40_000.0, 5_000.0));
    world.waits.clear();
    world.go_on(&shedding, &mut queue, 5.0, (40_000.0, 5_000.0));
    assert!(world.quantile(0.99) < Duration::from_millis(250), "{:?}", world.quantile(0.99));
    world.go_on(&shedding, &mut queue, 3.0, (40_000.0, 20_000.0));
    world.waits.clear();
    world.go_on(&shedding, &mut queue, 5.0, (40_000.0, 20_000.0));
    let served = world.waits.len();
    assert!(served > 98_000, "{served} in five seconds");
}

#[test]
fn a_pause_turns_nobody_away_where_little_is_asked() {
    let (shedding, now) = shedding();
    let (mut world, mut queue) = (World::new(now), VecDeque::new());
    for _ in 0..5 {
        // A checkpoint, or a locked row.
        world.go_on(&shedding, &mut queue, 0.5, (1000.0, 0.0));
        world.go_on(&shedding, &mut queue, 2.0, (1000.0, 20_000.0));
    }
    assert_eq!(world.refused, 0);
}

#[test]
fn a_distant_database_is_not_taken_for_a_busy_one() {
    let (shedding, mut now) = shedding();
    let mut queue: VecDeque<Admission> = VecDeque::new();
    let slow = Duration::from_millis(300);
    for _ in 0..10_000 {
        now += STEP;
        queue.push_back(shedding.admit(now).expect("300 are in flight"));
        while queue.front().is_some_and(|it| now.duration_since(it.at) >= slow) {
            shedding.carried_out(queue.pop_front().expect("one"), now);
        }
    }
}

#[test]
fn a_burst_fits_and_who_hangs_up_makes_room() {
    let (shedding, now) = shedding();
    let burst: Vec<_> = (0..USUAL).map(|_| shedding.admit(now).expect("it fits")).collect();
    assert!(shedding.admit(now).is_none());
    assert_eq!(shedding.metrics.requests_shed.get(), 1);
    for admission in burst {
        shedding.leave(admission);
    }
    assert!(shedding.admit(now).is_some());
}
