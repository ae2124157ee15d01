//! Seasons: when they end, and their final standings.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use idlewatt::domain::Season;
use idlewatt::rankings::Error;
use serde_json::{Value, json};

use super::{add_players, buy_generators, ids, publish_until, test_in_process_and_on_redis};
use crate::support::books::{assert_close, eventually, number, start_for_days};
use crate::support::{Player, Reply, TestApp, World};

const WEEK: f64 = 7.0 * 86_400.0;
const HOUR: f64 = 3600.0;
/// Seconds after a season's end at which its final standings are made.
const GRACE: f64 = 30.0;

async fn standings(app: &TestApp, season: &str, query: &str) -> Reply {
    app.client.call("GET", &format!("/seasons/{season}/rankings?{query}"), "", None).await
}

async fn seasons(app: &TestApp) -> Vec<Value> {
    let reply = app.client.call("GET", "/seasons", "", None).await.expect(200);
    reply.json["entries"].as_array().expect("entries").clone()
}

async fn freeze(app: &TestApp) -> Vec<Season> {
    eventually("the catalogue is confirmed", async || {
        match app.server.rankings.freeze_due_seasons().await {
            Err(Error::NotReady(_)) => None,
            result => Some(result.expect("frozen")),
        }
    })
    .await
}

/// Waits until any instance has made the final standings, and returns them.
async fn final_standings(app: &TestApp, season: &str) -> Value {
    eventually("the standings are final", async || {
        freeze(app).await;
        let reply = standings(app, season, "limit=100").await;
        (reply.status == 200 && reply.json["final"] == true).then_some(reply.json)
    })
    .await
}

fn scores(standings: &Value) -> Vec<f64> {
    standings["entries"]
        .as_array()
        .expect("entries")
        .iter()
        .map(|it| number(&it["score"]))
        .collect()
}

/// Starts an instance that has registered the current season, as the job does.
async fn start(world: &World) -> TestApp {
    let app = start_for_days(world).await;
    freeze(&app).await;
    app
}

async fn player_with_turbines(app: &TestApp, name: &str, turbines: u64) -> Player {
    let player = app.client.register(name).await;
    buy_generators(&player, "wind_turbine", turbines).await;
    player
}

async fn final_standings_count_until_the_season_end_and_never_change(world: World) {
    let app = start(&world).await;
    world.advance(WEEK - HOUR);
    // Each turbine produces 12 per second. What it produces after the end counts for the next season.
    let (ada, eve) =
        (player_with_turbines(&app, "ada", 1).await, player_with_turbines(&app, "eve", 2).await);
    world.advance(0.5 * HOUR);
    let running = publish_until(&app, "board=season", "both", |list| ids(list).len() == 2).await;
    assert_eq!(ids(&running), [eve.id.clone(), ada.id.clone()]);
    let listed = seasons(&app).await;
    assert_eq!((&listed[0]["id"], &listed[0]["state"]), (&json!("2026-w02"), &json!("running")));
    assert_eq!(listed[0]["starts_at"], "2026-01-05T00:00:00.000Z");
    assert_eq!(listed[0]["ends_at"], "2026-01-12T00:00:00.000Z");
    let running_standings = standings(&app, "2026-w02", "").await.expect(200).json;
    assert_eq!(
        (&running_standings["final"], &running_standings["board"]),
        (&json!(false), &json!("season"))
    );
    // A season is frozen neither before its end nor in the grace period, in which late commits may arrive.
    assert_eq!(freeze(&app).await, []);
    world.advance(0.5 * HOUR + GRACE - 1.0);
    assert_eq!(freeze(&app).await, []);
    standings(&app, "2026-w02", "").await.expect_problem(503, "unavailable");
    assert_eq!(
        seasons(&app).await.iter().map(|it| &it["state"]).collect::<Vec<_>>(),
        ["running", "closing"]
    );
    // Ada plays after the end, Eve makes no calls before the standings are final.
    ada.click(10).await.expect(200);
    world.advance(HOUR);
    let last = final_standings(&app, "2026-w02").await;
    assert_eq!(ids(&last), [eve.id.clone(), ada.id.clone()]);
    let expected = [24.0 * HOUR, 12.0 * HOUR];
    scores(&last).iter().zip(expected).for_each(|(score, expected)| assert_close(*score, expected));
    assert_eq!(
        (&last["as_of"], &last["total_players"]),
        (&json!("2026-01-12T00:00:00.000Z"), &json!(2))
    );
    assert_eq!((&last["season"], &last["stale"]), (&json!("2026-w02"), &json!(false)));
    // Later play does not change the final standings.
    eve.click(40).await.expect(200);
    assert_eq!(freeze(&app).await, []);
    assert_eq!(final_standings(&app, "2026-w02").await, last);
    let own = eventually("the new season's score", async || {
        app.server.rankings.publish().await.expect("published");
        let own = ada.get("/rankings/me?board=season").await.expect(200).json;
        (number(&own["score"]) > 1000.0).then_some(own)
    });
    assert_close(number(&own.await["score"]), 12.0 * (HOUR + GRACE - 1.0) + 10.0);
    let export = ada.get("/me/export").await.expect(200).json;
    let reached = &export["seasons"][0];
    assert_eq!((&reached["season"], &reached["rank"]), (&json!("2026-w02"), &json!(2)));
    assert_close(number(&reached["score"]), 12.0 * HOUR);
    let listed = seasons(&app).await;
    assert_eq!((&listed[1]["state"], &listed[1]["ranked_players"]), (&json!("final"), &json!(2)));
    assert_eq!(listed[0]["id"], "2026-w03");
}

async fn final_standings_follow_the_rules_for_active_and_absent_players(world: World) {
    let app = start(&world).await;
    world.advance(WEEK - 2.0 * HOUR);
    // Some players produce until the end, some stop earlier, and many have equal scores.
    let rows: Vec<_> =
        (0..400_i64).map(|index| (0.0, index % 5, (index % 7) as f64 * 8000.0)).collect();
    let players = add_players(&world, &rows).await;
    let until = |ago: f64| (2.0 * HOUR + ago).min(8.0 * HOUR);
    let mut expected: Vec<_> = players
        .iter()
        .zip(&rows)
        .map(|(player, (_, cranks, ago))| (0.15 * *cranks as f64 * until(*ago), *player))
        .collect();
    expected.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
    world.advance(2.0 * HOUR + 1.0);
    // Half of the players act after the season's end and before it is frozen, so their rows are settled beyond its end.
    let click = |player| {
        super::perform(
            &app,
            player,
            idlewatt::domain::Command::Act(idlewatt::domain::Action::Click { clicks: 1 }),
        )
    };
    join_all(players.iter().step_by(2).map(|player| click(*player))).await;
    world.advance(GRACE);
    final_standings(&app, "2026-w02").await;
    let mut entries = Vec::new();
    for offset in (0..400).step_by(90) {
        let query = format!("limit=90&offset={offset}");
        let list = standings(&app, "2026-w02", &query).await.expect(200).json;
        entries.extend(list["entries"].as_array().expect("entries").clone());
    }
    assert_eq!(entries.len(), 400);
    for (rank, (entry, (score, player))) in (1..).zip(entries.iter().zip(&expected)) {
        assert_eq!((&entry["rank"], &entry["player_id"]), (&json!(rank), &json!(player)));
        assert_close(number(&entry["score"]), *score);
    }
}

test_in_process_and_on_redis!(
    final_standings_count_until_the_season_end_and_never_change,
    final_standings_follow_the_rules_for_active_and_absent_players,
);

#[tokio::test]
async fn seasons_that_ended_while_no_server_ran_get_final_standings() {
    let world = World::new().await;
    let app = start(&world).await;
    world.advance(WEEK - HOUR);
    let ada = player_with_turbines(&app, "ada", 1).await;
    eventually("the season is registered", async || {
        freeze(&app).await;
        (!seasons(&app).await.is_empty()).then_some(())
    })
    .await;
    app.stop().await;
    // Three seasons end. Production continues only for eight hours, because the player is absent.
    world.advance(3.0 * WEEK);
    let app = start(&world).await;
    let mut made = Vec::new();
    for season in ["2026-w02", "2026-w03", "2026-w04"] {
        let standings = final_standings(&app, season).await;
        assert_eq!(ids(&standings), std::slice::from_ref(&ada.id));
        made.push(scores(&standings)[0]);
    }
    let expected = [12.0 * HOUR, 12.0 * 7.0 * HOUR, 0.0];
    made.iter().zip(expected).for_each(|(score, expected)| assert_close(*score, expected));
    let states: Vec<_> =
        seasons(&app).await.into_iter().map(|season| season["state"].clone()).collect();
    assert_eq!(states, ["running", "final", "final", "final"]);
}

#[tokio::test]
async fn many_instances_freeze_a_season_once() {
    let world = World::new().await;
    let apps = join_all((0..4).map(|_| start(&world))).await;
    let rows: Vec<_> = (0..300_i64).map(|index| (0.0, index % 4, 0.0)).collect();
    add_players(&world, &rows).await;
    world.advance(WEEK + GRACE);
    let frozen = join_all(apps.iter().map(freeze)).await;
    // The jobs of the instances may have frozen it before.
    assert!(frozen.concat().len() <= 1, "{frozen:?}");
    let expected = final_standings(&apps[0], "2026-w02").await;
    assert_eq!(expected["total_players"], 300);
    for app in &apps {
        assert_eq!(final_standings(app, "2026-w02").await, expected);
    }
    let database = world.connect().await;
    let left =
        "select (select count(*) from season_scores), (select count(*) from season_standings)";
    let row = database.query_one(left, &[]).await.expect("counts");
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (0, 300));
}

#[tokio::test]
async fn a_freeze_interrupted_by_a_crash_is_completed_later() {
    let world = World::new().await;
    let app = start(&world).await;
    let players = add_players(&world, &[(0.0, 1, 0.0), (0.0, 2, 0.0), (0.0, 3, 0.0)]).await;
    world.advance(WEEK - 100.0);
    freeze(&app).await;
    // Another instance claimed the season, wrote one of the scores, and crashed.
    let database = world.connect().await;
    let claim = "update seasons set claimed_until = to_timestamp(1768176000 + 200)";
    database.execute(claim, &[]).await.expect("claimed");
    let write =
        "insert into season_scores select player_id, season_of(settled_at), 4320 from players
                 order by player_id limit 1";
    database.execute(write, &[]).await.expect("written");
    world.advance(100.0 + GRACE);
    assert_eq!(freeze(&app).await, []);
    standings(&app, "2026-w02", "").await.expect_problem(503, "unavailable");
    world.advance(200.0);
    let standings = final_standings(&app, "2026-w02").await;
    let ids_of: Vec<_> = players.iter().rev().map(ToString::to_string).collect();
    assert_eq!(ids(&standings), ids_of);
    scores(&standings)
        .iter()
        .zip([12_960.0, 8640.0, 4320.0])
        .for_each(|(a, b)| assert_close(*a, b));
}

#[tokio::test]
async fn banned_and_deleted_players_are_not_in_final_standings() {
    let world = World::new().await;
    let app = start(&world).await;
    let names = ["ada", "eve", "joe", "kim"];
    let mut players = Vec::new();
    for (name, clicks) in names.into_iter().zip([40, 30, 20, 10]) {
        let player = app.client.register(name).await;
        player.click(clicks).await.expect(200);
        players.push(player);
    }
    let ban = |player: &Player| format!("/players/{}/ban", player.id);
    app.client.admin("POST", &ban(&players[1]), Some(json!({}))).await.expect(204);
    world.advance(WEEK + GRACE);
    let made = final_standings(&app, "2026-w02").await;
    assert_eq!(ids(&made), [0, 2, 3].map(|index: usize| players[index].id.clone()));
    let joe = app.client.login("joe").await;
    app.client.call("DELETE", "/me", &joe.token, None).await.expect(204);
    app.client.admin("POST", &ban(&players[3]), Some(json!({}))).await.expect(204);
    let left = eventually("banned and deleted players are left out", async || {
        let list = standings(&app, "2026-w02", "").await.expect(200).json;
        (ids(&list).len() == 1).then_some(list)
    });
    let left = left.await;
    assert_eq!((&left["entries"][0]["rank"], &left["total_players"]), (&json!(1), &json!(3)));
    let remaining = "select count(*) from season_standings where player_id = $1::text::uuid";
    let remaining: i64 =
        world.connect().await.query_one(remaining, &[&joe.id]).await.expect("a count").get(0);
    assert_eq!(remaining, 0);
}

#[tokio::test]
async fn seasons_are_listed_in_pages_and_unknown_seasons_are_not_found() {
    let world = World::new().await;
    let app = start(&world).await;
    freeze(&app).await;
    for _ in 0..4 {
        world.advance(WEEK);
        freeze(&app).await;
    }
    let (mut listed, mut path) = (Vec::new(), "/seasons?limit=2".to_owned());
    loop {
        let part = app.client.call("GET", &path, "", None).await.expect(200).json;
        listed
            .extend(part["entries"].as_array().expect("entries").iter().map(|it| it["id"].clone()));
        let Some(cursor) = part["next_cursor"].as_str() else { break };
        path = format!("/seasons?limit=2&cursor={cursor}");
    }
    assert_eq!(listed, ["2026-w06", "2026-w05", "2026-w04", "2026-w03", "2026-w02"]);
    let keys: BTreeSet<String> =
        seasons(&app).await[0].as_object().expect("an object").keys().cloned().collect();
    let expected = ["ends_at", "id", "ranked_players", "starts_at", "state"];
    assert_eq!(keys, expected.map(str::to_owned).into());
    for id in [
        "2026-w01",
        "2026-w07",
        "2026-w99",
        "2026",
        "x",
        "2026-W02",
        "01900000-0000-7000-8000-000000000000",
    ] {
        standings(&app, id, "").await.expect_problem(404, "not_found");
    }
    let reply = app.client.call("GET", "/seasons?cursor=AAAA", "", None).await;
    reply.expect_problem(400, "invalid_request");
}

#[tokio::test]
async fn sql_and_rust_calculate_the_same_season_number() {
    let database = World::new().await.connect().await;
    for micros in
        [0, -1, 345_600_000_000, 345_599_999_999, 1_768_176_000_000_000, 1_768_175_999_999_999]
    {
        let sql = "select season_of(to_timestamp(0) + $1 * interval '1 microsecond')";
        let number: i64 =
            database.query_one(sql, &[&(micros as f64)]).await.expect("a number").get(0);
        let at = idlewatt::domain::Timestamp::from_micros(micros);
        assert_eq!(Season::at(at).number(), number, "{micros}");
    }
}

#[tokio::test]
async fn a_job_makes_the_final_standings() {
    let app = start(&World::new().await).await;
    player_with_turbines(&app, "ada", 1).await;
    app.run_jobs().await;
    app.advance(WEEK + GRACE + 60.0);
    eventually("the standings are final", async || {
        app.run_jobs().await;
        let reply = standings(&app, "2026-w02", "").await;
        (reply.status == 200 && reply.json["final"] == true).then_some(())
    })
    .await;
}
