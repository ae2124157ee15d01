//! Leaderboards and seasons, with the boards in the memory of the server and in Redis.

mod boards;
mod boards_in_redis;
mod lost_redis_keys;
mod ranks_match_sql;
mod requested_rebuilds;
mod seasons;

use idlewatt::domain::Command;
use idlewatt::game::Request;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::books::eventually;
use crate::support::{Player, Reply, TestApp, World};

/// Makes two tests of each function that takes a world: with the boards in memory, and with the boards in Redis.
macro_rules! test_in_process_and_on_redis {
    ($($test:ident),+ $(,)?) => {
        mod in_process {
            $(#[tokio::test] async fn $test() { super::$test(crate::support::World::new().await).await; })+
        }
        mod on_redis {
            $(#[tokio::test] async fn $test() {
                super::$test(crate::support::World::new().await.with_redis()).await;
            })+
        }
    };
}
use test_in_process_and_on_redis;

/// Inserts players into the database, so that no instance has seen them. For each: its lifetime energy, its number of
/// hand cranks (each produces 0.15 per second), and how many seconds ago it was seen. Returns the ids in order.
async fn add_players(world: &World, players: &[(f64, i64, f64)]) -> Vec<Uuid> {
    let database = world.connect().await;
    let now = idlewatt::clock::Clock::now(&*world.clock).as_micros() as f64 / 1e6;
    let ids: Vec<String> =
        (0..players.len()).map(|index| format!("018f0000-0000-7000-8000-{index:012x}")).collect();
    let sql = "
        insert into players (
            player_id, energy, lifetime_energy, settled_at, last_seen_at, accrues_until, click_tokens,
            clicks_filled_at, energy_per_second, catalogue_version, inventory, display_name, created_at,
            season, season_base
        )
        select id::uuid, 0, energy, seen, seen, seen + interval '8 hours', 40, seen, 0.15::float8 * cranks, 1,
            jsonb_build_object('generators', jsonb_build_object('hand_crank', cranks), 'upgrades', '[]'::jsonb),
            'Player ' || number, seen, season_of(seen), energy / 2
        from unnest($1::text[], $2::float8[], $3::bigint[], $4::float8[]) with ordinality
                as player (id, energy, cranks, ago, number),
            lateral (select to_timestamp($5::float8 - ago) as seen) as at";
    let energies: Vec<f64> = players.iter().map(|player| player.0).collect();
    let cranks: Vec<i64> = players.iter().map(|player| player.1).collect();
    let ago: Vec<f64> = players.iter().map(|player| player.2).collect();
    database.execute(sql, &[&ids, &energies, &cranks, &ago, &now]).await.expect("inserted");
    ids.iter().map(|id| id.parse().expect("an id")).collect()
}

/// Executes a command of a player without an HTTP call.
async fn perform(app: &TestApp, player: Uuid, command: Command) {
    app.server.game.perform(Request::new(player, command)).await.expect("performed");
}

/// Rebuilds the boards, and before that waits for any rebuild in progress.
pub async fn rebuild(app: &TestApp) {
    eventually("the boards are built", async || {
        let up = app.server.redis.as_ref().is_none_or(idlewatt::redis_client::Redis::is_up);
        if !up {
            return None;
        }
        app.server.rankings.rebuild().await.expect("rebuilt").map(drop)
    })
    .await;
}

/// Reads a page of a board without a token.
async fn page(app: &TestApp, query: &str) -> Reply {
    app.client.call("GET", &format!("/rankings?{query}"), "", None).await
}

/// The ids on the first page of a board.
fn ids(page: &Value) -> Vec<String> {
    let entries = page["entries"].as_array().expect("entries");
    entries.iter().map(|it| it["player_id"].as_str().expect("an id").to_owned()).collect()
}

/// Publishes changes until the first page satisfies `wanted`, and returns the page.
async fn publish_until(
    app: &TestApp,
    query: &str,
    what: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Value {
    eventually(what, async || {
        app.server.rankings.publish().await.expect("published");
        let reply = page(app, query).await;
        (reply.status == 200 && wanted(&reply.json)).then_some(reply.json)
    })
    .await
}

/// Buys generators with energy that an operator grants.
async fn buy_generators(player: &Player, generator: &str, quantity: u64) {
    player.grant(1e12).await;
    player.buy(generator, json!(quantity)).await.expect(200);
}
