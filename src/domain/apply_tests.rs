use proptest::prelude::*;

use super::*;
use crate::domain::testing::{at, slug, timeline, two_catalogues};

fn player_with(energy: f64) -> Player {
    let mut player = Player::new("Ada".into(), &Rules::default(), at(0.0));
    player.energy = energy;
    player.lifetime_energy = energy;
    player.ledger_balance = energy;
    player
}

fn buy(id: &str, quantity: Quantity) -> Command {
    Command::Act(Action::BuyGenerator { id: slug(id), quantity })
}

fn upgrade(id: &str) -> Command {
    Command::Act(Action::BuyUpgrade { id: slug(id) })
}

fn click(clicks: u64) -> Command {
    Command::Act(Action::Click { clicks })
}

fn apply(player: &mut Player, command: &Command, seconds: f64) -> Result<Outcome, Refusal> {
    player.apply(command, &timeline(), at(seconds), &mut Vec::new())
}

#[test]
fn clicks_past_the_allowed_rate_are_not_credited_and_still_count_as_a_mutation() {
    let mut player = player_with(0.0);
    assert_eq!(apply(&mut player, &click(1000), 0.0), Ok(Outcome::Clicked { accepted: 40 }));
    assert_eq!(apply(&mut player, &click(5), 0.0), Ok(Outcome::Clicked { accepted: 0 }));
    assert_eq!((player.energy, player.lifetime_energy, player.version), (40.0, 40.0, 2));
}

#[test]
fn a_purchase_is_all_or_nothing() {
    let mut player = player_with(21.0);
    let refused = apply(&mut player, &buy("crank", Quantity::Exactly(2)), 0.0);
    assert!(matches!(refused, Err(Refusal::InsufficientEnergy { required, available })
        if (required - 21.5).abs() < 1e-9 && available == 21.0));
    assert_eq!((player.energy, player.version), (21.0, 0));
    let bought = apply(&mut player, &buy("crank", Quantity::Exactly(1)), 0.0);
    assert_eq!(bought, Ok(Outcome::BoughtGenerators { purchased: 1, spent: 10.0 }));
    assert_eq!(
        (player.energy, player.version, player.inventory.owned(&slug("crank"))),
        (11.0, 1, 1)
    );
}

#[test]
fn max_buys_what_is_affordable_and_refuses_to_buy_none() {
    let mut player = player_with(22.0);
    let bought = apply(&mut player, &buy("crank", Quantity::Max), 0.0);
    assert!(matches!(bought, Ok(Outcome::BoughtGenerators { purchased: 2, .. })));
    let refused = apply(&mut player, &buy("crank", Quantity::Max), 0.0);
    assert!(matches!(refused, Err(Refusal::InsufficientEnergy { .. })));
}

#[test]
fn unknown_and_retired_items_cannot_be_bought() {
    let mut player = player_with(1e6);
    assert_eq!(
        apply(&mut player, &buy("nothing", Quantity::Max), 0.0),
        Err(Refusal::UnknownGenerator)
    );
    assert_eq!(apply(&mut player, &buy("relic", Quantity::Max), 0.0), Err(Refusal::Retired));
    assert_eq!(apply(&mut player, &upgrade("nothing"), 0.0), Err(Refusal::UnknownUpgrade));
}

#[test]
fn an_upgrade_needs_its_requirement_and_is_bought_once() {
    let mut player = player_with(500.0);
    let needs = Refusal::NeedsGenerators { generator: slug("crank"), count: 5 };
    assert_eq!(apply(&mut player, &upgrade("better_crank"), 0.0), Err(needs));
    let needs = Refusal::NeedsLifetimeEnergy { energy: 1000.0 };
    assert_eq!(apply(&mut player, &upgrade("battery"), 0.0), Err(needs));
    assert_eq!(
        apply(&mut player, &upgrade("gloves"), 0.0),
        Ok(Outcome::BoughtUpgrade { spent: 20.0 })
    );
    assert_eq!(apply(&mut player, &upgrade("gloves"), 0.0), Err(Refusal::AlreadyOwned));
    assert_eq!(apply(&mut player, &click(1), 0.0), Ok(Outcome::Clicked { accepted: 1 }));
    assert_eq!(player.energy, 480.0 + 5.0);
}

#[test]
fn prestige_keeps_lifetime_energy_and_resets_energy_and_inventory() {
    let mut player = player_with(4.1e9);
    let mut ledger = Vec::new();
    player.inventory.add_generators(&slug("crank"), 7);
    player.inventory.add_upgrade(slug("gloves"));
    let outcome = player.apply(&Command::Prestige, &timeline(), at(0.0), &mut ledger);
    assert_eq!(outcome, Ok(Outcome::Prestiged { gained_cores: 2.0 }));
    assert_eq!((player.energy, player.cores, player.lifetime_energy), (0.0, 2.0, 4.1e9));
    assert_eq!(player.inventory, Inventory::default());
    assert_eq!((ledger[0].delta, ledger[0].balance_after), (-4.1e9, 0.0));
    let again = apply(&mut player, &Command::Prestige, 0.0);
    assert_eq!(again, Err(Refusal::NothingToGain { lifetime_energy: 9e9 }));
}

#[test]
fn prestige_at_the_end_of_the_range_gives_a_finite_number_of_cores() {
    let mut player = player_with(f64::MAX);
    assert!(apply(&mut player, &Command::Prestige, 0.0).is_ok());
    assert!(player.cores.is_finite() && player.cores > 1e149);
    let refused = apply(&mut player, &Command::Prestige, 0.0);
    assert!(
        matches!(refused, Err(Refusal::NothingToGain { lifetime_energy }) if lifetime_energy.is_finite())
    );
}

#[test]
fn each_action_of_a_command_is_refused_separately() {
    let mut player = player_with(15.0);
    let crank = || Action::BuyGenerator { id: slug("crank"), quantity: Quantity::Exactly(1) };
    let command =
        Command::ActInOrder(vec![crank(), crank(), Action::Click { clicks: 10 }, crank()]);
    let Ok(Outcome::Acted { results }) = apply(&mut player, &command, 0.0) else {
        panic!("a command with several actions is never refused as a whole")
    };
    let applied =
        results.iter().map(|it| matches!(it, ActionResult::Applied(_))).collect::<Vec<_>>();
    assert_eq!(applied, [true, false, true, true]);
    assert_eq!(player.version, 3);
}

#[test]
fn a_grant_has_a_ledger_entry_and_is_neither_presence_nor_lifetime_energy() {
    let mut player = player_with(5.0);
    let mut ledger = Vec::new();
    let grant = Command::Grant { energy: 100.0, reason: "sorry".into() };
    player.apply(&grant, &timeline(), at(500.0), &mut ledger).expect("a grant is never refused");
    assert_eq!((player.energy, player.lifetime_energy, player.version), (105.0, 5.0, 1));
    assert_eq!((player.last_seen_at, player.settled_at), (at(0.0), at(500.0)));
    assert_eq!((ledger[0].delta, ledger[0].reference.as_str()), (100.0, "sorry"));
}

#[test]
fn an_absence_is_reported_until_the_next_mutation() {
    let mut player = player_with(5.0);
    apply(&mut player, &click(1), 100.0).expect("applied");
    assert!(player.away.is_some(), "the mutation that ends the absence reports it");
    apply(&mut player, &buy("star", Quantity::Max), 101.0).expect_err("not affordable");
    assert!(player.away.is_some(), "a refused command is not a mutation");
    apply(&mut player, &click(1), 102.0).expect("applied");
    assert!(player.away.is_none());
}

fn any_command() -> impl Strategy<Value = Command> {
    let id = prop::sample::select(vec!["crank", "mill", "star", "relic", "nothing"]);
    let upgrade_id =
        prop::sample::select(vec!["better_crank", "grid", "gloves", "dynamo", "battery"]);
    let quantity = prop_oneof![(1u64..50).prop_map(Quantity::Exactly), Just(Quantity::Max)];
    prop_oneof![
        (1u64..1000).prop_map(click),
        (id, quantity).prop_map(|(id, quantity)| buy(id, quantity)),
        upgrade_id.prop_map(upgrade),
        Just(Command::Prestige),
        Just(Command::Arrive),
        (0.0..1e12f64).prop_map(|energy| Command::Grant { energy, reason: "gift".into() }),
    ]
}

proptest! {
    #[test]
    fn the_ledger_adds_up_to_the_balance_after_any_commands(
        start in prop::sample::select(vec![0.0, 1e3, 1e9, 1e12, 1e300, f64::MAX]),
        commands in prop::collection::vec((any_command(), 0.0..20_000.0f64), 1..60),
    ) {
        let timeline = two_catalogues(50_000.0);
        let mut player = player_with(start);
        let mut ledger = Vec::new();
        let (mut now, mut applied) = (0.0, 0);
        for (command, pause) in &commands {
            now += pause;
            let before = player.clone();
            let entries = ledger.len();
            match player.apply(command, &timeline, at(now), &mut ledger) {
                Ok(_) if *command == Command::Arrive => {}
                Ok(_) => applied += 1,
                Err(_) => {
                    // A refused command only stores the player's presence.
                    let mut expected = before;
                    expected.arrive(&timeline, at(now));
                    prop_assert_eq!(&player, &expected);
                    prop_assert_eq!(ledger.len(), entries);
                }
            }
            for amount in [player.energy, player.lifetime_energy, player.cores, player.unseen_energy] {
                prop_assert!(amount.is_finite() && amount >= 0.0);
            }
        }
        prop_assert_eq!(player.version, applied);
        let mut balance = start;
        for entry in &ledger {
            let expected = balance + entry.earned + entry.delta;
            let scale = balance.max(entry.earned.abs()).max(entry.delta.abs());
            prop_assert!(entry.earned >= 0.0);
            prop_assert!((entry.balance_after - expected).abs() <= 1e-9 * scale);
            balance = entry.balance_after;
        }
        prop_assert_eq!(balance, player.ledger_balance);
    }
}
