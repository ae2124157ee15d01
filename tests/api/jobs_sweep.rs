//! The sweep, a job that settles absent players in bulk: it adds their production since the last write to their rows.
//! It must follow the rules, skip rows that are being written, and not delay requests.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::join_all;
use idlewatt::clock::Clock;
use idlewatt::domain::{Inventory, Player as Rules, Season, Slug, Timeline, Timestamp};
use idlewatt::store::players::PlayerRecord;
use serde_json::{Value, json};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::support::books::{
    Dice, assert_close, count, eventually, number, revision, start_for_days,
};
use crate::support::{TestApp, World};

const PLAYERS: usize = 4_000;
const HOUR: f64 = 3600.0;

/// A number from the whole range of doubles.
fn amount(dice: &mut Dice) -> f64 {
    match dice.below(8) {
        0 => 0.0,
        1 => f64::MAX,
        2 => 10f64.powi(290 + dice.below(18) as i32),
        3 => f64::from_bits(dice.below(1000)),
        _ => 10f64.powi(dice.below(300) as i32 - 20) * (1.0 + dice.below(1_000_000) as f64 / 1e6),
    }
}

fn seconds(dice: &mut Dice, most: u64) -> f64 {
    match dice.below(6) {
        0 => 0.0,
        1 => dice.below(1_000_000) as f64 / 1e6,
        _ => dice.below(most * 1_000_000) as f64 / 1e6,
    }
}

/// A player with random values.
fn random_player(dice: &mut Dice, timeline: &Timeline, now: Timestamp) -> Rules {
    let catalogue = timeline.newest();
    let mut inventory = Inventory::default();
    for generator in &catalogue.items().generators {
        let owned = match dice.below(6) {
            0 => 1 + dice.below(5),
            1 => dice.below(1_000_000_000_000),
            2 => dice.below(u64::MAX / 2),
            _ => 0,
        };
        if owned > 0 {
            inventory.add_generators(&generator.id, owned);
        }
    }
    for upgrade in &catalogue.items().upgrades {
        if dice.below(4) == 0 {
            inventory.add_upgrade(upgrade.id.clone());
        }
    }
    let mut player = Rules::new("Somebody".into(), &timeline.rules, now);
    player.inventory = inventory;
    player.energy = amount(dice);
    player.lifetime_energy = player.energy.max(amount(dice));
    player.unseen_energy = amount(dice);
    player.cores = [0.0, 7.0, 1e150][dice.below(3) as usize];
    player.last_seen_at = now.plus_seconds(-seconds(dice, 14 * 86_400));
    let settled = player.last_seen_at.plus_seconds(seconds(dice, 86_400));
    player.settled_at = settled.min(now);
    player.season = Season::at(player.settled_at);
    player.season_base = player.lifetime_energy * [0.0, 0.5, 1.0][dice.below(3) as usize];
    player
}

/// Inserts players with the columns that the server's own writes set.
async fn insert(database: &tokio_postgres::Client, timeline: &Timeline, players: &[(Uuid, Rules)]) {
    let sql = "insert into players (
            player_id, energy, lifetime_energy, unseen_energy, settled_at, last_seen_at, accrues_until,
            energy_per_second, catalogue_version, cores, inventory, click_tokens, clicks_filled_at, display_name,
            created_at, season, season_base
        ) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, $6, 'Somebody', $6, season_of($5), $12)";
    let sql = database.prepare(sql).await.expect("prepared");
    for (id, player) in players {
        let production = player.production(timeline, player.settled_at);
        let inventory: Value = json!({
            "generators": player.inventory.generators()
                .map(|(id, owned)| (id.to_string(), json!(owned)))
                .collect::<serde_json::Map<_, _>>(),
            "upgrades": player.inventory.upgrades().map(Slug::to_string).collect::<Vec<_>>(),
        });
        let version = timeline.at(player.settled_at).version.cast_signed();
        let parameters: [&(dyn ToSql + Sync); 12] = [
            id,
            &player.energy,
            &player.lifetime_energy,
            &player.unseen_energy,
            &player.settled_at,
            &player.last_seen_at,
            &player.accrues_until(&production),
            &production.energy_per_second,
            &version,
            &player.cores,
            &inventory,
            &player.season_base,
        ];
        database.execute(&sql, &parameters).await.expect("inserted");
    }
}

async fn load(app: &TestApp, ids: &[Uuid]) -> HashMap<Uuid, PlayerRecord> {
    let records = app.server.store.load_players(ids).await.expect("loaded");
    records.into_iter().map(|record| (record.id, record)).collect()
}

#[track_caller]
fn assert_same(sql: f64, rules: f64, what: &str) {
    let scale = sql.abs().max(rules.abs());
    assert!((sql - rules).abs() <= 1e-12 * scale, "{what}: {sql} is not {rules}");
}

/// Activates a catalogue in which every generator produces three times as much.
async fn triple_all_rates(app: &TestApp) {
    let mut catalogue = app.client.admin("GET", "/catalog", None).await.expect(200).json;
    for generator in catalogue["generators"].as_array_mut().expect("a list") {
        let rate = number(&generator["base_energy_per_second"]);
        generator["base_energy_per_second"] = json!(rate * 3.0);
    }
    let version = count(&catalogue["version"]) + 1;
    app.client.admin("PUT", "/catalog", Some(catalogue)).await.expect(200);
    eventually("the instance knows the catalogue", async || {
        let timeline = app.server.catalogues.timeline().ok()?;
        (timeline.newest().version == version).then_some(())
    })
    .await;
}

/// Claims every season, so that no instance freezes one and the stored final scores stay in their table.
async fn prevent_freezing(database: &tokio_postgres::Client) {
    let sql = "insert into seasons (season, starts_at, ends_at, claimed_until)
        select number, to_timestamp(0), to_timestamp(0), 'infinity' from generate_series(2910, 2940) as number
        on conflict (season) do update set claimed_until = excluded.claimed_until";
    database.execute(sql, &[]).await.expect("claimed");
}

/// The stored final scores of each player, the oldest season first.
async fn final_scores(database: &tokio_postgres::Client) -> HashMap<Uuid, Vec<(Season, f64)>> {
    let sql = "select player_id, season, score from season_scores order by season";
    let mut scores: HashMap<Uuid, Vec<(Season, f64)>> = HashMap::new();
    for row in database.query(sql, &[]).await.expect("scores") {
        let season = Season::from_number(row.get(1));
        scores.entry(row.get(0)).or_default().push((season, row.get(2)));
    }
    scores
}

#[tokio::test]
async fn a_sweep_settles_players_as_the_rules_do() {
    let app = TestApp::new().await;
    let database = app.world.connect().await;
    prevent_freezing(&database).await;
    app.advance(7.0 * 24.0 * HOUR);
    triple_all_rates(&app).await;
    // The middle of a season: some rows were last settled in this season, others in an earlier one.
    app.advance(9.5 * 24.0 * HOUR);
    let now = app.world.clock.now();
    let timeline = app.server.catalogues.timeline().expect("known");
    let mut dice = Dice::new(7);
    let players: Vec<_> = (0..PLAYERS)
        .map(|_| (Uuid::from_u128(rand::random()), random_player(&mut dice, &timeline, now)))
        .collect();
    insert(&database, &timeline, &players).await;
    app.run_jobs().await;
    let ids: Vec<Uuid> = players.iter().map(|(id, _)| *id).collect();
    let written = load(&app, &ids).await;
    let finals = final_scores(&database).await;
    let (mut settled, mut split, mut capped, mut left) = (0, 0, 0, 0);
    for (id, before) in &players {
        let record = &written[id];
        let after = &record.player;
        let mut expected = before.clone();
        if before.last_seen_at < now.plus_seconds(-600.0) {
            expected.settle(&timeline, now);
        }
        let what = format!("{before:?}");
        assert_same(after.energy, expected.energy, &what);
        assert_same(after.lifetime_energy, expected.lifetime_energy, &what);
        assert_same(after.unseen_energy, expected.unseen_energy, &what);
        assert_eq!((after.last_seen_at, after.version), (before.last_seen_at, 0), "{what}");
        assert!(after.settled_at <= now, "{what}");
        assert_eq!(record.catalogue_version, timeline.at(after.settled_at).version, "{what}");
        // A player whom the sweep has settled has the same energy later as one whom it has not.
        for hours in [1.0, 30.0] {
            let later = now.plus_seconds(hours * HOUR);
            assert_same(
                after.view(&timeline, later).energy,
                expected.view(&timeline, later).energy,
                &what,
            );
        }
        // The score of each season, whether the sweep has stored it or it follows from the row.
        let mut made: Vec<_> = finals.get(id).cloned().unwrap_or_default();
        left += usize::from(!made.is_empty());
        made.extend(after.finished_seasons(&timeline, Season::at(now)));
        let expected_made: Vec<_> = before.finished_seasons(&timeline, Season::at(now)).collect();
        assert_eq!(made.len(), expected_made.len(), "{what}");
        let lifetime = expected.lifetime_energy_at(&timeline, now);
        let here = [(Season::at(now), after.season_score(&timeline, now))];
        let there = [(Season::at(now), before.season_score(&timeline, now))];
        for (made, expected_made) in
            made.iter().chain(&here).zip(expected_made.iter().chain(&there))
        {
            assert_eq!(made.0, expected_made.0, "{what}");
            let error = (made.1 - expected_made.1).abs();
            assert!(error <= 1e-12 * lifetime, "{what}: {made:?}, {expected_made:?}");
        }
        settled += usize::from(record.revision > 1);
        let old = timeline.at(before.settled_at).version < timeline.at(now).version;
        split += usize::from(record.revision > 1 && old);
        capped += usize::from(record.revision > 1 && after.settled_at < now);
    }
    for (what, count) in
        [("settled", settled), ("split", split), ("capped", capped), ("past a season", left)]
    {
        assert!(count > PLAYERS / 20, "only {count} players are {what}");
    }
    // A row whose production has ended is not written again.
    app.advance(24.0 * HOUR);
    app.run_jobs().await;
    let first = load(&app, &ids).await;
    app.advance(HOUR);
    app.run_jobs().await;
    for (id, record) in load(&app, &ids).await {
        assert_eq!(record.revision, first[&id].revision, "{record:?}");
    }
}

#[tokio::test]
async fn repeated_sweeps_do_not_extend_the_cap_of_an_absence() {
    let world = World::new().await;
    let app = start_for_days(&world).await;
    let player = app.client.guest().await;
    player.click(30).await.expect(200);
    let bought = player.buy("hand_crank", json!(2)).await.expect(200).json["state"].clone();
    for _ in 0..7 * 24 / 4 {
        world.advance(4.0 * HOUR);
        app.run_jobs().await;
    }
    let player = player.refreshed().await;
    let state = player.state().await;
    let made = number(&bought["energy_per_second"]) * 8.0 * HOUR;
    assert_close(number(&state["energy"]), number(&bought["energy"]) + made);
    assert_eq!(state["version"], bought["version"]);
    let back = player.click(1).await.expect(200).json;
    assert_close(number(&back["state"]["energy"]), number(&bought["energy"]) + made + 1.0);
}

#[tokio::test]
async fn a_player_who_only_polls_accrues_beyond_the_cap() {
    let world = World::new().await;
    let app = start_for_days(&world).await;
    let database = world.connect().await;
    let player = app.client.guest().await;
    player.click(30).await.expect(200);
    let bought = player.buy("hand_crank", json!(2)).await.expect(200).json["state"].clone();
    let seen = "select extract(epoch from last_seen_at)::float8 from players where player_id = $1::text::uuid";
    for _ in 0..15 {
        world.advance(HOUR);
        app.run_jobs().await;
        let now = world.clock.now().as_micros() as f64 / 1e6;
        eventually("the player's presence is written", async || {
            player.state().await;
            let row = database.query_one(seen, &[&player.id]).await.expect("the row");
            (row.get::<_, f64>(0) >= now).then_some(())
        })
        .await;
    }
    let made = number(&bought["energy_per_second"]) * 15.0 * HOUR;
    assert_close(number(&player.state().await["energy"]), number(&bought["energy"]) + made);
}

#[tokio::test]
async fn a_sweep_skips_locked_rows() {
    let app = TestApp::new().await;
    let mut players = Vec::new();
    for _ in 0..3 {
        let player = app.client.guest().await;
        player.click(30).await.expect(200);
        player.buy("hand_crank", json!(1)).await.expect(200);
        players.push(player);
    }
    let mut database = app.world.connect().await;
    let observer = app.world.connect().await;
    app.advance(HOUR);
    let revisions =
        async || join_all(players.iter().map(|player| revision(&observer, player))).await;
    let before = revisions().await;
    let writing = database.transaction().await.expect("begun");
    let hold = "select from players where player_id = $1::text::uuid for update";
    writing.execute(hold, &[&players[1].id]).await.expect("held");
    app.run_jobs().await;
    let (first, second, third) = (before[0] + 1, before[1], before[2] + 1);
    assert_eq!(revisions().await, [first, second, third]);
    writing.rollback().await.expect("released");
    app.advance(600.0);
    app.run_jobs().await;
    assert_eq!(revisions().await, [first + 1, second + 1, third + 1]);
}

/// Writing the rows is slow here. The sweep must end its statements early, because they lock the rows.
#[tokio::test]
async fn a_sweep_does_not_delay_clicks() {
    const ROWS: usize = 300;
    let app = Arc::new(start_for_days(&World::new().await).await);
    let database = app.world.connect().await;
    let timeline = app.server.catalogues.timeline().expect("known");
    let clicking = app.client.guest().await;
    clicking.click(30).await.expect(200);
    clicking.buy("hand_crank", json!(1)).await.expect(200);
    let now = app.world.clock.now();
    let mut crank = Rules::new("Somebody".into(), &timeline.rules, now);
    let first = &timeline.newest().items().generators[0].id;
    crank.inventory.add_generators(first, 1);
    let players: Vec<_> =
        (0..ROWS).map(|_| (Uuid::from_u128(rand::random()), crank.clone())).collect();
    insert(&database, &timeline, &players).await;
    database
        .batch_execute(
            "create function be_slow() returns trigger language plpgsql as $$
             begin
                 if new.last_seen_at = old.last_seen_at and new.settled_at > old.settled_at then
                     perform pg_sleep(0.004);
                 end if;
                 return new;
             end $$;
             create trigger be_slow before update on players for each row execute function be_slow();
             -- If the sweep held all rows until its end, other writers would wait for more than a second.
             set lock_timeout = '300ms';",
        )
        .await
        .expect("made slow");
    app.advance(HOUR);
    let sweeping = tokio::spawn({
        let app = Arc::clone(&app);
        async move { app.run_jobs().await }
    });
    let mut dice = Dice::new(1);
    let mut writes = 0;
    while !sweeping.is_finished() {
        let (id, _) = dice.pick(&players);
        let write = "update players set display_name = 'Somebody else' where player_id = $1";
        database.execute(write, &[id]).await.expect("the row is not locked for long");
        clicking.click(1).await.expect(200);
        writes += 1;
    }
    sweeping.await.expect("swept");
    assert!(writes > 10, "only {writes} writes during the sweep");
    let ids: Vec<Uuid> = players.iter().map(|(id, _)| *id).collect();
    // A row that is being written is skipped until the next sweep.
    let skipped = async || {
        let records = load(&app, &ids).await;
        records.values().filter(|record| record.player.energy == 0.0).count()
    };
    assert!(skipped().await < ROWS / 10);
    app.advance(HOUR);
    app.run_jobs().await;
    assert_eq!(skipped().await, 0);
}

#[tokio::test]
async fn the_ledger_stays_correct_during_concurrent_sweeps_and_play() {
    let world = World::new().await;
    let apps = [start_for_days(&world).await, start_for_days(&world).await];
    let mut players = Vec::new();
    for index in 0..12 {
        let player = apps[index % 2].client.guest().await;
        player.grant(1e6).await;
        player.buy("hand_crank", json!(5)).await.expect(200);
        players.push(player);
    }
    let mut versions: Vec<u64> = vec![2; players.len()];
    for round in 0..12 {
        world.advance(700.0);
        let playing = players.iter().enumerate().map(|(index, player)| {
            let player = player.at(&apps[(index + round) % 2]);
            async move {
                if (index + round) % 3 == 0 {
                    return 0;
                }
                player.click(1).await.expect(200);
                player.buy("hand_crank", json!(1)).await.expect(200);
                2
            }
        });
        let (added, ..) = tokio::join!(join_all(playing), apps[0].run_jobs(), apps[1].run_jobs());
        versions.iter_mut().zip(added).for_each(|(version, added)| *version += added);
    }
    for (player, version) in players.iter().zip(versions) {
        player.at(&apps[0]).state_of_version(version).await;
        player.assert_books_balance().await;
    }
}
