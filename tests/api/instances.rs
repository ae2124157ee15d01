//! Several instances on one database.

use futures_util::future::join_all;
use serde_json::json;

use crate::support::books::{Dice, count, number, start_for_days};
use crate::support::{Player, Reply, TestApp, World};

async fn three(world: &World) -> [TestApp; 3] {
    let (a, b, c) =
        tokio::join!(start_for_days(world), start_for_days(world), start_for_days(world));
    [a, b, c]
}

/// The sums of a player's answered requests.
#[derive(Default, Debug)]
struct Tally {
    applied: u64,
    accepted: f64,
    spent: f64,
    purchases: usize,
    cranks: u64,
}

impl Tally {
    fn add(&mut self, reply: &Reply) {
        assert!([200, 409].contains(&reply.status), "{} {}", reply.status, reply.text);
        if reply.status == 409 {
            assert_eq!(reply.code(), "insufficient_energy");
            return;
        }
        self.applied += 1;
        self.accepted += reply.json["accepted"].as_f64().unwrap_or(0.0);
        self.spent += reply.json["spent"].as_f64().unwrap_or(0.0);
        self.purchases += usize::from(reply.json["spent"].is_number());
        self.cranks += reply.json["purchased"].as_u64().unwrap_or(0);
    }
}

#[tokio::test]
async fn every_answered_mutation_is_applied_once_through_any_instance() {
    let world = World::new().await;
    let apps = three(&world).await;
    let mut dice = Dice::new(77);
    let mut players = Vec::new();
    for _ in 0..20 {
        let player = apps[dice.below(3) as usize].client.guest().await;
        player.grant(150.0).await;
        players.push(player);
    }
    let mut tallies: Vec<Tally> = players.iter().map(|_| Tally::default()).collect();
    for _ in 0..5 {
        let requests: Vec<_> = (0..160)
            .map(|_| {
                let player = dice.below(20) as usize;
                let there = players[player].at(&apps[dice.below(3) as usize]);
                let (clicks, quantity) = (1 + dice.below(5), json!(*dice.pick(&[1, 1, 2])));
                let buys = dice.below(3) == 0;
                async move {
                    let reply = if buys {
                        there.buy("hand_crank", quantity).await
                    } else {
                        there.click(clicks).await
                    };
                    (player, reply)
                }
            })
            .collect();
        for (player, reply) in join_all(requests).await {
            tallies[player].add(&reply);
        }
    }
    assert!(tallies.iter().map(|it| it.applied).sum::<u64>() > 300, "hardly anything was applied");
    for (player, tally) in players.iter().zip(&tallies) {
        let state = player.state_of_version(1 + tally.applied).await;
        assert_eq!(count(&state["version"]), 1 + tally.applied);
        let energy = 150.0 + tally.accepted - tally.spent;
        assert!((number(&state["energy"]) - energy).abs() < 1e-6, "{state} {tally:?}");
        assert_eq!(number(&state["lifetime_energy"]), tally.accepted);
        assert_eq!(state["generators"][0]["owned"].as_u64().unwrap_or(0), tally.cranks);
        assert_eq!(player.assert_books_balance().await.len(), 1 + tally.purchases);
        for app in &apps {
            let there = player.at(app).state_of_version(1 + tally.applied).await;
            assert_eq!(there, state, "all instances agree");
        }
    }
}

#[tokio::test]
async fn concurrent_purchases_buy_only_what_is_affordable() {
    let world = World::new().await;
    let apps = three(&world).await;
    let player = apps[0].client.guest().await;
    player.grant(150_000.0).await;
    let copies = (0..30).map(|copy| {
        let player: Player = player.at(&apps[copy % 3]);
        async move { player.buy("hydro_dam", json!(1)).await }
    });
    let replies = join_all(copies).await;
    let won = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(won, 1);
    for reply in replies.into_iter().filter(|reply| reply.status != 200) {
        reply.expect_problem(409, "insufficient_energy");
    }
    let state = player.state_of_version(2).await;
    assert_eq!((&state["energy"], &state["version"]), (&json!(0.0), &json!(2)));
    assert_eq!(state["generators"][0]["owned"], 1);
    assert_eq!(player.assert_books_balance().await.len(), 2);
}

#[tokio::test]
async fn one_of_several_mutations_that_expect_the_same_version_is_applied() {
    let world = World::new().await;
    let apps = three(&world).await;
    let player = apps[0].client.guest().await;
    player.grant(1e6).await;
    let copies = (0..30).map(|copy| {
        let player: Player = player.at(&apps[copy % 3]);
        let body = json!({ "quantity": 1, "expected_version": 1 });
        async move { player.post("/me/generators/hand_crank/purchase", body).await }
    });
    let replies = join_all(copies).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 1);
    for reply in replies.into_iter().filter(|reply| reply.status != 200) {
        assert_eq!(reply.expect_problem(409, "version_mismatch").json["version"], 2);
    }
}

#[tokio::test]
async fn instances_that_start_together_on_a_new_database_become_ready() {
    let world = World::empty().await;
    let apps = join_all((0..5).map(|_| world.start())).await;
    let database = world.connect().await;
    let files = std::fs::read_dir("sql/migrations").expect("a folder").count();
    for (table, expected) in [("schema_migrations", files), ("catalogues", 1)] {
        let sql = format!("select count(*) from {table}");
        let rows: i64 = database.query_one(&sql, &[]).await.expect("a count").get(0);
        assert_eq!(usize::try_from(rows), Ok(expected), "{table}");
    }
    let player = apps[0].client.guest().await;
    for (version, app) in (1..).zip(&apps) {
        let clicked = player.at(app).click(1).await.expect(200);
        assert_eq!(clicked.json["state"]["version"], version);
    }
}

#[tokio::test]
async fn a_schema_of_a_later_version_is_usable_by_running_and_starting_instances() {
    let world = World::new().await;
    let running = world.start().await;
    let player = running.client.guest().await;
    player.click(1).await.expect(200);
    // As a newer release may do: it adds a column, and jobs of a kind that this release does not know.
    let next = "
        alter table players add column of_the_next_version integer not null default 0;
        insert into schema_migrations (number, name, checksum) values (9999, 'next', '\\x00');
        insert into jobs (job_id, kind, unique_key, max_attempts, run_after, created_at)
        values (gen_random_uuid(), 'of_the_next_version', '1', 8, '2000-01-01', '2000-01-01')";
    let database = world.connect().await;
    database.batch_execute(next).await.expect("a newer schema");
    let rolled_back = world.start().await;
    for (version, app) in (2..).zip([&running, &rolled_back, &running]) {
        let clicked = player.at(app).click(1).await.expect(200);
        assert_eq!(clicked.json["state"]["version"], version);
        app.run_jobs().await;
    }
    let left = "select status, attempt from jobs where kind = 'of_the_next_version'";
    let left = database.query_one(left, &[]).await.expect("it is there");
    assert_eq!((left.get::<_, &str>("status"), left.get::<_, i32>("attempt")), ("queued", 0));
}
