//! Simulates a greedy player with the default catalogue, and checks the pace of the game against limits.
//!
//! `docs/balance.md` has the goals and the model. `cargo test --test balance -- --nocapture` prints the timeline. With
//! `UPDATE_DOCS=1` in the environment the tables and the plot in `docs/` are written.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a test may panic and print")]

mod balance {
    pub mod choice;
    pub mod habits;
    pub mod history;
    pub mod labels;
    pub mod plot;
    pub mod simulation;
    pub mod tables;
    pub mod text;
}

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use balance::habits::{DAY, HOUR};
use balance::history::History;
use balance::simulation::{Patience, play};
use balance::tables::{self, Names};
use balance::{plot, text};
use idlewatt::domain::{Catalogue, CatalogueItems, Rules, Timeline, Timestamp};

const DURATION: f64 = 7.0 * DAY;
const FIRST_GENERATOR_WITHIN: f64 = 30.0;
const FIRST_PRESTIGE_WITHIN: f64 = 3.0 * DAY;
/// The longest time awake without a purchase in the first days, in which a player decides whether to continue.
const LONGEST_WAIT: f64 = 3.0 * HOUR;
const EARLY_DAYS: f64 = 3.0 * DAY;

static PATIENT: LazyLock<History> = LazyLock::new(|| week_of(Patience::Patient));
static EAGER: LazyLock<History> = LazyLock::new(|| week_of(Patience::Eager));
static STEADY: LazyLock<History> = LazyLock::new(|| week_of(Patience::Never));

fn items() -> CatalogueItems {
    serde_json::from_str(include_str!("../sql/catalogue.json")).expect("a catalogue")
}

fn week_of(patience: Patience) -> History {
    let beginning = Timestamp::from_micros(0);
    let catalogue = Catalogue::new(1, beginning, items(), CatalogueItems::default());
    let timeline = Timeline::new(Arc::default(), vec![Arc::new(catalogue)]);
    play(&timeline.expect("a catalogue"), patience, DURATION)
}

#[test]
fn the_default_catalogue_is_valid() {
    let items = items();
    assert_eq!(items.faults(), []);
    assert_eq!(items.generators.len(), 10);
    assert!((38..=44).contains(&items.upgrades.len()), "{} upgrades", items.upgrades.len());
    let costs = items.generators.iter().map(|it| it.base_cost);
    let rates = items.generators.iter().map(|it| it.base_energy_per_second);
    assert!(costs.is_sorted() && rates.is_sorted(), "generators come in rising order");
}

#[test]
fn a_greedy_player_always_finds_something_to_buy() {
    print!("{}", tables::timeline(&PATIENT, &Names::of(&items())));
    let generators = PATIENT.first_generators();
    let prestiges = PATIENT.prestiges();
    let available = PATIENT.reached(Rules::default().energy_per_core).expect("a core");
    let wait = PATIENT.longest_wait(EARLY_DAYS);
    println!("first prestige available after {}", text::duration(available.time));
    println!("longest wait in the first days {}", text::duration(wait));

    assert!(generators[0].before.time <= FIRST_GENERATOR_WITHIN);
    assert_eq!(generators.len(), items().generators.len(), "generators reached");
    assert_eq!(PATIENT.first_upgrades().len(), items().upgrades.len(), "upgrades bought");
    assert!(available.time <= FIRST_PRESTIGE_WITHIN);
    assert!(prestiges[0].before.time <= FIRST_PRESTIGE_WITHIN);
    assert!(wait <= LONGEST_WAIT, "nothing to buy for {}", text::duration(wait));
}

#[test]
fn new_generators_are_spread_over_the_week() {
    let generators = PATIENT.first_generators();
    let by = |time: f64| generators.iter().filter(|event| event.before.time <= time).count();
    assert!((3..=6).contains(&by(HOUR)), "{} generators in the first hour", by(HOUR));
    assert!((7..=8).contains(&by(DAY)), "{} generators on the first day", by(DAY));
    assert!(by(3.0 * DAY) < generators.len(), "the last generator comes after day 3");
    assert!((3..=12).contains(&PATIENT.prestiges().len()), "a prestige every day or so");
}

#[test]
fn players_with_other_prestige_habits_reach_all_generators() {
    for (name, history) in [("eager", &EAGER), ("steady", &STEADY)] {
        let reached = history.first_generators().len();
        assert_eq!(reached, items().generators.len(), "generators reached by the {name} player");
    }
    assert!(EAGER.prestiges()[0].before.time <= FIRST_PRESTIGE_WITHIN);
    let lifetime = |history: &History| history.samples.last().map(|it| it.lifetime_energy);
    assert!(lifetime(&PATIENT) > lifetime(&EAGER), "waiting for a larger bonus pays");
    assert!(lifetime(&EAGER) > lifetime(&STEADY), "any prestige pays more than none");
}

#[test]
fn the_docs_are_up_to_date() {
    let items = items();
    let names = Names::of(&items);
    let players = [("patient", &*PATIENT), ("eager", &*EAGER), ("never", &*STEADY)];
    let page = read("balance.md");
    let page = with_block(&page, "players", &tables::players(&players));
    let milestones = tables::milestones(&PATIENT, &names, &Rules::default());
    let page = with_block(&page, "milestones", &milestones);
    let page = with_block(&page, "upgrades", &tables::upgrades(&PATIENT, &names, &items));
    check_or_update("balance.md", &page);
    check_or_update("balance.svg", &plot::svg(&PATIENT, &names));
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

/// A file in `docs`; a missing one counts as empty.
fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_default()
}

/// Replaces the text between the two comments that delimit the block `name`.
fn with_block(page: &str, name: &str, block: &str) -> String {
    let (begin, end) = (format!("<!-- {name}: generated -->\n"), format!("<!-- {name}: end -->"));
    let parts = page.split_once(&begin).and_then(|(head, rest)| {
        let (_, tail) = rest.split_once(&end)?;
        Some((head, tail))
    });
    let (head, tail) = parts.unwrap_or_else(|| panic!("docs/balance.md lacks {begin} and {end}"));
    format!("{head}{begin}{block}{end}{tail}")
}

fn check_or_update(name: &str, text: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some_and(|value| value == "1") {
        fs::write(path(name), text).expect("docs can be written");
    }
    assert!(
        read(name) == text,
        "docs/{name} is out of date; run `UPDATE_DOCS=1 cargo test --test balance`"
    );
}
