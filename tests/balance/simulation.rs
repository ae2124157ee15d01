//! Simulates a greedy player for a number of days. Time is a variable, so the simulation does not wait.

use idlewatt::domain::{Action, Command, Player, Rules, Timeline, Timestamp};

use super::choice::{self, Choice};
use super::habits::{self, MINUTE};
use super::history::{Event, History, Sample};

/// When the player begins. The value has no influence on the result.
const START: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
/// While awake, the player looks at the game at least this often, in seconds.
const LOOK_INTERVAL: f64 = 10.0 * MINUTE;
/// Seconds between two requests with clicks; a whole number.
const CLICK_INTERVAL: f64 = 4.0;
/// Seconds between two samples while the player sleeps.
const SAMPLE_INTERVAL: f64 = 30.0 * MINUTE;
/// Seconds that are added to the time at which a purchase is affordable, so that rounding never makes it too early.
const ROUNDING_MARGIN: f64 = 1e-3;

/// When a player prestiges.
#[derive(Clone, Copy)]
pub enum Patience {
    /// If a prestige at least doubles the production bonus.
    Patient,
    /// As soon as there is a first core, and then whenever a prestige at least doubles the cores.
    Eager,
    Never,
}

impl Patience {
    fn accepts(self, cores: f64, after: f64, rules: &Rules) -> bool {
        let bonus = |cores: f64| 1.0 + rules.bonus_per_core * cores;
        match self {
            Self::Patient => bonus(after) >= 2.0 * bonus(cores),
            Self::Eager => after >= (2.0 * cores).max(1.0),
            Self::Never => false,
        }
    }
}

/// Plays from the beginning until `end`, in seconds.
pub fn play(timeline: &Timeline, patience: Patience, end: f64) -> History {
    let player = Player::new("Greedy".into(), &timeline.rules, START);
    let history = History::default();
    let mut game = Game { timeline, patience, player, time: 0.0, run_began: 0.0, history };
    while game.time < end {
        if habits::is_awake(game.time) { game.play_step(end) } else { game.sleep(end) }
    }
    game.look();
    game.history
}

struct Game<'a> {
    timeline: &'a Timeline,
    patience: Patience,
    player: Player,
    time: f64,
    run_began: f64,
    history: History,
}

impl Game<'_> {
    /// Does everything that is possible now, then advances the time to the next event.
    fn play_step(&mut self, end: f64) {
        self.look();
        if self.wants_prestige() {
            self.apply(Command::Prestige);
            self.run_began = self.time;
            self.sample();
        }
        let next = self.buy_all();
        match habits::clicks_per_second(self.time, self.run_began) {
            0 => self.time = self.next_event(next.as_ref()).min(end),
            clicks => {
                self.time += CLICK_INTERVAL;
                let clicks = clicks * CLICK_INTERVAL as u64;
                self.apply(Command::Act(Action::Click { clicks }));
            }
        }
    }

    fn sleep(&mut self, end: f64) {
        self.look();
        let wakes_at = habits::next_bedtime_or_waking(self.time).min(end);
        while self.time < wakes_at {
            self.time = (self.time + SAMPLE_INTERVAL).min(wakes_at);
            self.sample();
        }
    }

    fn look(&mut self) {
        self.apply(Command::Arrive);
        self.sample();
    }

    fn now(&self) -> Timestamp {
        START.plus_seconds(self.time)
    }

    fn sample(&mut self) {
        let view = self.player.view(self.timeline, self.now());
        let energy_per_second = view.production.energy_per_second;
        let lifetime_energy = view.lifetime_energy;
        self.history.samples.push(Sample { time: self.time, lifetime_energy, energy_per_second });
    }

    /// Applies a command that the rules cannot refuse, and records its ledger entries.
    fn apply(&mut self, command: Command) {
        let mut ledger = Vec::new();
        if let Err(refusal) = self.player.apply(&command, self.timeline, self.now(), &mut ledger) {
            panic!("{command:?} was refused after {} s: {refusal:?}", self.time);
        }
        let Some(before) = self.history.samples.last() else { return };
        let events = ledger.into_iter().map(|entry| Event {
            kind: entry.kind,
            reference: entry.reference,
            cores: self.player.cores,
            before: before.clone(),
        });
        self.history.events.extend(events);
    }

    /// Buys the best item repeatedly while it is affordable. Returns the item to wait for.
    fn buy_all(&mut self) -> Option<Choice> {
        let clicks = habits::clicks_per_second(self.time, self.run_began);
        loop {
            let choice = choice::best(&self.player, self.timeline, self.now(), clicks)?;
            if choice.cost > self.player.energy {
                return Some(choice);
            }
            self.apply(Command::Act(choice.action));
        }
    }

    fn wants_prestige(&self) -> bool {
        let rules = &self.timeline.rules;
        let after = (self.player.lifetime_energy / rules.energy_per_core).sqrt().floor();
        self.patience.accepts(self.player.cores, after, rules)
            && habits::has_time_for_a_run(self.time)
    }

    /// The time of the next event: the next purchase is affordable, a burst of clicks begins, the player goes to bed,
    /// or it looks at the game.
    fn next_event(&self, next: Option<&Choice>) -> f64 {
        let rate = self.player.production(self.timeline, self.now()).energy_per_second;
        let missing = next.map_or(f64::INFINITY, |choice| choice.cost - self.player.energy);
        (self.time + missing / rate + ROUNDING_MARGIN)
            .min(habits::next_burst(self.time))
            .min(habits::next_bedtime_or_waking(self.time))
            .min(self.time + LOOK_INTERVAL)
    }
}
