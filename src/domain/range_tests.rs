//! Tests with invalid amounts, such as NaN, and with amounts at the ends of the range, in all inputs of the rules.

use std::sync::Arc;

use proptest::num::f64::ANY;
use proptest::prelude::*;

use super::production::{finite, sum};
use super::testing::{at, slug, timeline};
use super::{
    Action, Catalogue, CatalogueItems, Command, CostCurve, Effect, Generator, Inventory, Player,
    Production, Quantity, Rules, Season, Texts, Timeline, Upgrade,
};

/// Any double. Values that often cause errors are more frequent.
fn any_amount() -> impl Strategy<Value = f64> {
    let special_values = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        f64::from_bits(1),
        0.0,
        -0.0,
        1.0,
        -1.0,
    ];
    prop_oneof![prop::sample::select(special_values.to_vec()), ANY, 0.0..1e12f64]
}

fn is_amount(amount: f64) -> bool {
    (0.0..=f64::MAX).contains(&amount)
}

/// A player with these amounts.
fn player_of(amounts: [f64; 7]) -> Player {
    let [energy, lifetime_energy, cores, unseen_energy, ledger_balance, season_base, tokens] =
        amounts;
    let mut player = Player::new("Ada".into(), &Rules::default(), at(0.0));
    player.inventory = Inventory::new(vec![(slug("crank"), 3)], vec![slug("dynamo")]);
    player.clicks.tokens = tokens;
    Player { energy, lifetime_energy, cores, unseen_energy, ledger_balance, season_base, ..player }
}

fn command() -> impl Strategy<Value = Command> {
    let quantity = prop_oneof![(1..1_000u64).prop_map(Quantity::Exactly), Just(Quantity::Max)];
    let buy = quantity.prop_map(|quantity| Action::BuyGenerator { id: slug("crank"), quantity });
    prop_oneof![
        (1..=1_000u64).prop_map(|clicks| Command::Act(Action::Click { clicks })),
        buy.prop_map(Command::Act),
        Just(Command::Act(Action::BuyUpgrade { id: slug("gloves") })),
        Just(Command::Prestige),
        Just(Command::Arrive),
        any_amount().prop_map(|energy| Command::Grant { energy, reason: "a gift".into() }),
    ]
}

fn generator(base_cost: f64, cost_growth: f64, base_energy_per_second: f64) -> Generator {
    Generator {
        id: slug("crank"),
        name: "Crank".into(),
        description: "Crank".into(),
        texts: Texts::default(),
        base_cost,
        cost_growth,
        base_energy_per_second,
        available: true,
    }
}

/// A catalogue that was not validated.
fn unchecked(rate: f64, effects: [Effect; 5]) -> Catalogue {
    let upgrade = |(index, effect)| Upgrade {
        id: slug(&format!("upgrade_{index}")),
        name: "Upgrade".into(),
        description: "Upgrade".into(),
        texts: Texts::default(),
        cost: 1.0,
        effect,
        requires: None,
        available: true,
    };
    let items = CatalogueItems {
        generators: vec![generator(1.0, 1.15, rate)],
        upgrades: effects.into_iter().enumerate().map(upgrade).collect(),
    };
    Catalogue::new(1, at(-1e9), items, CatalogueItems::default())
}

proptest! {
    #[test]
    fn finite_clamps_to_the_range_and_does_not_change_values_in_it(number in any_amount()) {
        let amount = finite(number);
        prop_assert!(is_amount(amount), "{number} becomes {amount}");
        if is_amount(number) {
            prop_assert_eq!(amount, number);
        } else if number == f64::INFINITY {
            prop_assert_eq!(amount, f64::MAX);
        } else {
            prop_assert_eq!(amount, 0.0);
        }
    }

    #[test]
    fn a_sum_is_at_least_the_balance_and_ignores_nan(
        balance in any_amount(),
        added in any_amount(),
    ) {
        let total = sum(balance, added);
        prop_assert!(is_amount(total) && total >= finite(balance));
        if added.is_nan() {
            prop_assert_eq!(total, finite(balance));
        }
    }

    #[test]
    fn production_is_in_range_for_any_input(
        owned: u64,
        cores in any_amount(),
        rate in any_amount(),
        effects in prop::array::uniform5(any_amount()),
        rules in prop::array::uniform3(any_amount()),
    ) {
        let [own, global, flat, share, seconds] = effects;
        let catalogue = unchecked(rate, [
            Effect::GeneratorMultiplier { generator: slug("crank"), multiplier: own },
            Effect::GlobalMultiplier { multiplier: global },
            Effect::ClickFlat { energy: flat },
            Effect::ClickShare { share },
            Effect::OfflineCap { seconds },
        ]);
        let upgrades = (0..5).map(|index| slug(&format!("upgrade_{index}"))).collect();
        let inventory = Inventory::new(vec![(slug("crank"), owned)], upgrades);
        let [base_energy_per_click, offline_cap_seconds, bonus_per_core] = rules;
        let rules = Rules {
            base_energy_per_click,
            offline_cap_seconds,
            bonus_per_core,
            ..Rules::default()
        };
        let production = Production::of(&inventory, cores, &catalogue, &rules);
        prop_assert!(is_amount(production.energy_per_second), "{production:?}");
        prop_assert!(is_amount(production.energy_per_click), "{production:?}");
        prop_assert!(is_amount(production.offline_cap_seconds), "{production:?}");
        if rate.is_nan() {
            prop_assert_eq!(production.energy_per_second, 0.0);
        }
    }

    #[test]
    fn costs_are_in_range_and_the_search_for_max_ends_for_any_costs(
        base in any_amount(),
        growth in any_amount(),
        owned: u64,
        quantity: u64,
        energy in any_amount(),
    ) {
        let costs = CostCurve { base, growth };
        prop_assert!(costs.cost(owned, quantity).is_none_or(is_amount));
        let affordable = costs.affordable(owned, energy);
        if affordable > 0 {
            prop_assert!(costs.cost(owned, affordable).is_some_and(|cost| cost <= energy));
        }
    }

    #[test]
    fn a_player_with_invalid_amounts_behaves_like_one_with_clamped_amounts(
        amounts in prop::array::uniform7(any_amount()),
        commands in prop::collection::vec((command(), 0.0..200_000.0f64), 1..6),
    ) {
        let timeline = timeline();
        let (mut player, mut clamped) = (player_of(amounts), player_of(amounts.map(finite)));
        let (mut seconds, mut ledger, mut clamped_ledger) = (0.0, Vec::new(), Vec::new());
        for (command, pause) in commands {
            seconds += pause;
            let outcome = player.apply(&command, &timeline, at(seconds), &mut ledger);
            let given = match &command {
                Command::Grant { energy, reason } => {
                    Command::Grant { energy: finite(*energy), reason: reason.clone() }
                }
                other => other.clone(),
            };
            let expected = clamped.apply(&given, &timeline, at(seconds), &mut clamped_ledger);
            prop_assert_eq!(outcome, expected);
            for amount in [player.energy, player.lifetime_energy, player.unseen_energy] {
                prop_assert!(is_amount(amount), "{player:?}");
            }
            prop_assert!(is_amount(player.clicks.tokens) || player.clicks.filled_at == at(0.0));
            prop_assert_eq!((player.energy, player.lifetime_energy), (clamped.energy, clamped.lifetime_energy));
        }
        for line in &ledger {
            prop_assert!(is_amount(line.balance_after) && line.earned.is_finite() && line.delta.is_finite());
        }
        prop_assert_eq!(ledger, clamped_ledger);
        let later = at(seconds + 1_000.0);
        let view = player.view(&timeline, later);
        prop_assert!(is_amount(view.energy) && is_amount(view.lifetime_energy));
        prop_assert!(is_amount(view.production.energy_per_second));
        prop_assert!(is_amount(player.season_score(&timeline, later)));
        // The lifetime energy at the season's start is unknown, so the score is 0.
        let unknown = !is_amount(amounts[5]) && Season::at(later) == Season::at(at(0.0));
        let expected = if unknown { 0.0 } else { clamped.season_score(&timeline, later) };
        prop_assert_eq!(player.season_score(&timeline, later), expected);
    }
}

#[test]
fn a_catalogue_with_invalid_amounts_sells_nothing_and_produces_nothing() {
    let mut catalogue = CatalogueItems {
        generators: vec![generator(f64::NAN, f64::NAN, f64::NAN)],
        upgrades: Vec::new(),
    };
    assert_eq!(catalogue.faults().len(), 3);
    for cost in [f64::NAN, f64::NEG_INFINITY, -1.0] {
        catalogue.upgrades = vec![Upgrade {
            id: slug("gloves"),
            name: "Gloves".into(),
            description: "Gloves".into(),
            texts: Texts::default(),
            cost,
            effect: Effect::ClickFlat { energy: f64::NAN },
            requires: None,
            available: true,
        }];
        assert_eq!(catalogue.faults().len(), 5, "{cost}");
        let version = Catalogue::new(1, at(-1e9), catalogue.clone(), CatalogueItems::default());
        let timeline = Timeline::new(Arc::default(), vec![Arc::new(version)]).expect("one");
        let mut player = player_of([100.0, 100.0, 0.0, 0.0, 100.0, 0.0, 40.0]);
        for command in [
            Command::Act(Action::BuyUpgrade { id: slug("gloves") }),
            Command::Act(Action::BuyGenerator { id: slug("crank"), quantity: Quantity::Max }),
        ] {
            assert!(player.apply(&command, &timeline, at(1_000.0), &mut Vec::new()).is_err());
        }
        assert_eq!(player.energy, 100.0, "neither a cost nor a rate adds energy");
    }
}
