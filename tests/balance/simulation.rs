//! A greedy player who plays for a number of days. Time is a number here, and nothing waits.

use idlewatt::domain::{Action, Command, Player, Rules, Timeline, Timestamp};

use super::choice::{self, Choice};
use super::habits::{self, MINUTE};
use super::history::{Event, History, Sample};

/// When the player begins. Any time would do.
const BEGINNING: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
/// While awake, it looks at the game at least so often.
const LOOK_EVERY: f64 = 10.0 * MINUTE;
/// Clicks are sent together so often, in whole seconds.
const CLICK_EVERY: f64 = 4.0;
/// How often its numbers are recorded while it sleeps.
const NOTE_EVERY: f64 = 30.0 * MINUTE;
/// Added to the time at which a purchase is affordable, so that rounding never makes it too early.
const HAIR: f64 = 1e-3;

/// When a player starts over.
#[derive(Clone, Copy)]
pub enum Patience {
    /// If that at least doubles production.
    Patient,
    /// For the first core, and then whenever the cores at least double.
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
    let player = Player::new("Greedy".into(), &timeline.rules, BEGINNING);
    let history = History::default();
    let mut game = Game { timeline, patience, player, time: 0.0, run_began: 0.0, history };
    while game.time < end {
        if habits::is_awake(game.time) { game.play_on(end) } else { game.sleep(end) }
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
    /// Does everything that is possible now, then moves the clock to the next relevant time.
    fn play_on(&mut self, end: f64) {
        self.look();
        if self.wants_to_begin_anew() {
            self.apply(Command::Prestige);
            self.run_began = self.time;
            self.note();
        }
        let next = self.buy_all();
        match habits::clicks_per_second(self.time, self.run_began) {
            0 => self.time = self.next_moment(next.as_ref()).min(end),
            clicks => {
                self.time += CLICK_EVERY;
                let clicks = clicks * CLICK_EVERY as u64;
                self.apply(Command::Act(Action::Click { clicks }));
            }
        }
    }

    fn sleep(&mut self, end: f64) {
        self.look();
        let gets_up = habits::next_turn(self.time).min(end);
        while self.time < gets_up {
            self.time = (self.time + NOTE_EVERY).min(gets_up);
            self.note();
        }
    }

    fn look(&mut self) {
        self.apply(Command::Arrive);
        self.note();
    }

    fn now(&self) -> Timestamp {
        BEGINNING.plus_seconds(self.time)
    }

    fn note(&mut self) {
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

    /// Buys the best purchase as long as it is affordable; returns the one to wait for.
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

    fn wants_to_begin_anew(&self) -> bool {
        let rules = &self.timeline.rules;
        let after = (self.player.lifetime_energy / rules.energy_per_core).sqrt().floor();
        self.patience.accepts(self.player.cores, after, rules)
            && habits::has_time_for_a_run(self.time)
    }

    /// When the next purchase is affordable, or else the next burst, bedtime or look at the game.
    fn next_moment(&self, next: Option<&Choice>) -> f64 {
        let rate = self.player.production(self.timeline, self.now()).energy_per_second;
        let missing = next.map_or(f64::INFINITY, |choice| choice.cost - self.player.energy);
        (self.time + missing / rate + HAIR)
            .min(habits::next_burst(self.time))
            .min(habits::next_turn(self.time))
            .min(self.time + LOOK_EVERY)
    }
}
