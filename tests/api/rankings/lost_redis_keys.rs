//! Boards in Redis of which a key was evicted, deleted or overwritten by another program: the server must detect it and
//! rebuild them.

use idlewatt::domain::Command;
use idlewatt::rankings::{Board, Error, Unavailable};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{add_players, buy_generators, ids, page, perform, publish_until, rebuild};
use crate::support::books::eventually;
use crate::support::redis::connect;
use crate::support::{Player, Reply, TestApp, World};

const PARTS: [&str; 5] = ["meta", "players", "lifetime_energy", "energy_per_second", "season"];
const BOARDS: [&str; 3] = ["lifetime_energy", "energy_per_second", "season"];

/// The keys of a world's boards.
struct Keys {
    connection: MultiplexedConnection,
    /// The common prefix of their names.
    stem: String,
}

impl Keys {
    /// Waits until the boards have been built, and returns their keys.
    async fn of(world: &World) -> Self {
        let (url, prefix) = world.redis.clone().expect("a Redis");
        let connection = connect(&url).await;
        let meta = eventually("the boards are built", async || {
            let pattern = format!("{prefix}*{{rankings}}:meta");
            let keys: Vec<String> = connection.clone().keys(pattern).await.expect("keys");
            keys.into_iter().next()
        });
        let stem = meta.await.trim_end_matches("meta").to_owned();
        Self { connection, stem }
    }

    fn key(&self, part: &str) -> String {
        format!("{}{part}", self.stem)
    }

    async fn delete(&self, parts: &[&str]) {
        let keys: Vec<String> = parts.iter().map(|part| self.key(part)).collect();
        let () = self.connection.clone().del(keys).await.expect("deleted");
    }

    async fn overwrite(&self, part: &str) {
        let () = self.connection.clone().set(self.key(part), "x").await.expect("set");
    }

    /// Whether every key has the correct type and four players.
    async fn are_complete(&self) -> bool {
        let mut connection = self.connection.clone();
        for part in PARTS {
            let key = self.key(part);
            let is: String =
                redis::cmd("TYPE").arg(&key).query_async(&mut connection).await.expect("a type");
            let players: usize = match is.as_str() {
                "hash" if part == "meta" => 4,
                "hash" => connection.hlen(key).await.expect("counted"),
                "zset" => connection.zcard(key).await.expect("counted"),
                _ => return false,
            };
            if players != 4 {
                return false;
            }
        }
        true
    }
}

/// Starts a server with three players who were inserted into the database, and a fourth who is below them on every
/// board.
async fn four_players(world: &World) -> (TestApp, Vec<String>, Player) {
    let app = world.start().await;
    let rows = [(30.0, 3, 0.0), (20.0, 2, 0.0), (10.0, 1, 0.0)];
    let hidden = add_players(world, &rows).await;
    let ada = app.client.register("ada").await;
    rebuild(&app).await;
    let mut players: Vec<_> = hidden.iter().map(ToString::to_string).collect();
    players.push(ada.id.clone());
    for board in BOARDS {
        let query = format!("board={board}");
        publish_until(&app, &query, "all", |list| is_correct(list, &players)).await;
    }
    (app, players, ada)
}

/// Whether a list has all players, in the correct order and with names.
fn is_correct(list: &Value, players: &[String]) -> bool {
    let entries = list["entries"].as_array().expect("entries");
    ids(list) == players
        && list["total_players"].as_u64() == Some(players.len() as u64)
        && entries.iter().all(|it| it["display_name"].as_str().is_some_and(|name| !name.is_empty()))
}

/// Asserts that the answer about the player's own rank is 503, or is correct: the last of four.
fn assert_last_of_four(own: &Reply, players: &[String]) {
    match own.status {
        503 => {}
        200 => {
            assert_eq!((&own.json["rank"], &own.json["percentile"]), (&json!(4), &json!(0.0)));
            assert_eq!(ids(&own.json), players);
            assert_ne!(own.json["entries"][0]["display_name"], "");
        }
        status => panic!("{status}"),
    }
}

/// Asserts for every board that reading it fails because the board is incomplete, or returns the correct result.
async fn assert_correct_or_incomplete(app: &TestApp, players: &[String], what: &str) {
    let last: Uuid = players[3].parse().expect("an id");
    for board in Board::ALL {
        match app.server.rankings.page(board, 0, 50).await {
            Err(Error::Unavailable(Unavailable::Incomplete | Unavailable::Redis(_))) => {}
            page => {
                let page = page.expect("a page");
                let shown: Vec<_> = page.entries.iter().map(|it| it.player.to_string()).collect();
                assert_eq!((&shown[..], page.total_players), (players, 4), "{what}: {board:?}");
                assert!(page.entries.iter().all(|it| !it.name.is_empty()), "{what}: {board:?}");
            }
        }
        match app.server.rankings.surroundings(board, last, 5).await {
            Err(Error::Unavailable(Unavailable::Incomplete | Unavailable::Redis(_))) => {}
            own => assert_eq!(own.expect("a place").rank, 4, "{what}: {board:?}"),
        }
    }
}

/// The number of players on a complete board. Repeats the request if Redis is late.
async fn total_players(app: &TestApp, board: Board) -> u64 {
    eventually("a page", async || match app.server.rankings.page(board, 0, 1).await {
        Err(Error::Unavailable(Unavailable::Redis(_))) => None,
        page => Some(page.expect("the boards are complete").total_players),
    })
    .await
}

#[tokio::test]
async fn a_lost_key_is_detected_and_rebuilt() {
    let world = World::new().await.with_redis();
    let (app, players, ada) = four_players(&world).await;
    let keys = Keys::of(&world).await;
    for part in PARTS {
        keys.delete(&[part]).await;
        // A publication makes the cached pages outdated.
        app.server.rankings.publish().await.expect("published");
        for board in BOARDS {
            let list = page(&app, &format!("board={board}")).await.expect(200).json;
            assert!(is_correct(&list, &players), "without {part}: {list}");
            let own = ada.get(&format!("/rankings/me?board={board}")).await;
            assert_last_of_four(&own, &players);
        }
        // The test requests no rebuild: reading or publishing must start it.
        eventually("the boards are complete", async || {
            let list = page(&app, "").await.expect(200).json;
            assert!(is_correct(&list, &players), "without {part}: {list}");
            (list["stale"] == false && keys.are_complete().await).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn boards_with_lost_keys_are_never_served_with_fewer_players() {
    let world = World::new().await.with_redis();
    let (app, players, _) = four_players(&world).await;
    let keys = Keys::of(&world).await;
    for lost in 1..1 << PARTS.len() {
        let parts = PARTS.iter().enumerate().filter(|(index, _)| lost >> index & 1 == 1);
        let parts: Vec<&str> = parts.map(|(_, part)| *part).collect();
        for publishes in [false, true] {
            let what = format!("without {parts:?}, published: {publishes}");
            keys.delete(&parts).await;
            if publishes {
                // The publication of a changed player must not recreate a lost key with only that player.
                app.advance(1.0);
                perform(
                    &app,
                    players[0].parse().expect("an id"),
                    Command::Grant { energy: 1.0, reason: "a prize".into() },
                )
                .await;
                app.server.rankings.publish().await.expect("published");
            }
            assert_correct_or_incomplete(&app, &players, &what).await;
            eventually(&what, async || {
                app.server.rankings.rebuild_if_due().await.expect("rebuilt");
                keys.are_complete().await.then_some(())
            })
            .await;
            assert_eq!(total_players(&app, Board::Season).await, 4, "{what}");
        }
    }
}

#[tokio::test]
async fn members_removed_or_added_by_other_programs_are_detected() {
    let world = World::new().await.with_redis();
    let (app, players, _) = four_players(&world).await;
    let keys = Keys::of(&world).await;
    let first: Uuid = players[0].parse().expect("an id");
    for part in &PARTS[1..] {
        let key = keys.key(part);
        if *part == "players" {
            let () = keys.connection.clone().hdel(key, first.as_bytes()).await.expect("removed");
        } else {
            let () = keys.connection.clone().zrem(&key, first.as_bytes()).await.expect("removed");
        }
        assert_correct_or_incomplete(&app, &players, part).await;
        eventually("the boards are complete", async || {
            app.server.rankings.rebuild_if_due().await.expect("rebuilt");
            keys.are_complete().await.then_some(())
        })
        .await;
    }
    let key = keys.key("lifetime_energy");
    let () = keys.connection.clone().zadd(key, Uuid::nil().as_bytes(), 0).await.expect("added");
    assert_correct_or_incomplete(&app, &players, "with an unknown member").await;
}

#[tokio::test]
async fn empty_boards_count_as_complete() {
    let world = World::new().await.with_redis();
    let app = world.start().await;
    rebuild(&app).await;
    let is_empty = |list: &Value| ids(list).is_empty() && list["total_players"] == 0;
    publish_until(&app, "", "empty boards", |list| list["stale"] == false && is_empty(list)).await;
    let ada = app.client.register("ada").await;
    publish_until(&app, "", "the first", |list| ids(list) == [ada.id.clone()]).await;
    let rebuilds = app.metric("rankings_rebuilds_total");
    // A ban removes the player from all boards, and Redis deletes a key together with its last member.
    for verb in ["ban", "unban", "ban"] {
        let path = format!("/players/{}/{verb}", ada.id);
        app.client.admin("POST", &path, Some(json!({}))).await.expect(204);
        eventually(verb, async || {
            app.server.rankings.publish().await.expect("published");
            let mut totals = Vec::new();
            for board in Board::ALL {
                totals.push(total_players(&app, board).await);
            }
            (totals == [u64::from(verb == "unban"); 3]).then_some(())
        })
        .await;
        assert_eq!(app.server.rankings.rebuild_if_due().await.expect("asked"), None);
    }
    assert_eq!(app.metric("rankings_rebuilds_total"), rebuilds);
}

#[tokio::test]
async fn the_board_of_a_new_season_counts_as_complete() {
    let world = World::new().await.with_redis();
    let (app, players, ada) = four_players(&world).await;
    world.advance(7.0 * 86_400.0);
    let ada = ada.refreshed().await;
    ada.click(3).await.expect(200);
    app.server.rankings.publish().await.expect("published");
    // The other players are not on the board of the season before the next rebuild.
    for board in Board::ALL {
        let total = total_players(&app, board).await;
        assert!(total == 4 || (board == Board::Season && total >= 1), "{board:?}: {total}");
    }
    publish_until(&app, "board=season", "the rebuild", |list| ids(list).len() == players.len())
        .await;
}

#[tokio::test]
async fn a_rebuild_that_lost_a_key_does_not_replace_the_boards() {
    let world = World::new().await.with_redis();
    let (app, players, ada) = four_players(&world).await;
    buy_generators(&ada, "hand_crank", 1).await;
    ada.click(40).await.expect(200);
    let keys = Keys::of(&world).await;
    publish_until(&app, "", "her clicks", |list| ids(list)[0] == ada.id).await;
    let mut expected = players.clone();
    expected.rotate_right(1);
    for part in PARTS {
        let mut database = world.connect().await;
        let lock = database.transaction().await.expect("begun");
        lock.batch_execute("lock table players in access exclusive mode").await.expect("locked");
        let deleting = async {
            let meta = keys.key("build:meta");
            let begun = async || {
                let begun: bool = keys.connection.clone().exists(&meta).await.expect("asked");
                begun.then_some(())
            };
            eventually("a build has begun", begun).await;
            // Her score has changed, so it is also published to the boards that are being built.
            world.advance(1.0);
            app.server.rankings.publish().await.expect("published");
            let key = keys.key(&format!("build:{part}"));
            let lost: bool = keys.connection.clone().del(key).await.expect("deleted");
            assert!(lost, "the build has no {part}");
            lock.rollback().await.expect("unlocked");
        };
        let rebuild = async {
            eventually("this instance builds", async || {
                app.server
                    .rankings
                    .rebuild()
                    .await
                    .map_or_else(|error| Some(Err(error)), |rebuilt| rebuilt.map(Ok))
            })
            .await
        };
        let (rebuilt, ()) = tokio::join!(rebuild, deleting);
        let interrupted = matches!(rebuilt, Err(Error::Unavailable(Unavailable::Interrupted)));
        assert!(interrupted, "without {part}: {rebuilt:?}");
        publish_until(&app, "", "the boards without change", |list| is_correct(list, &expected))
            .await;
        // The next rebuild does not wait for the failed one.
        super::rebuild(&app).await;
        assert!(keys.are_complete().await, "without {part}");
    }
}

#[tokio::test]
async fn a_key_with_another_type_is_replaced() {
    let world = World::new().await.with_redis();
    let (app, players, _) = four_players(&world).await;
    let keys = Keys::of(&world).await;
    let redis = app.server.redis.as_ref().expect("a Redis");
    for part in PARTS {
        keys.overwrite(part).await;
        keys.overwrite(&format!("build:{part}")).await;
        eventually("the boards are complete", async || {
            app.server.rankings.publish().await.expect("published");
            assert!(
                redis.is_up(),
                "{part} of another type makes the server treat Redis as unavailable"
            );
            let list = page(&app, "").await.expect(200).json;
            assert!(is_correct(&list, &players), "{part} of another type: {list}");
            (list["stale"] == false && keys.are_complete().await).then_some(())
        })
        .await;
        for part in PARTS {
            keys.delete(&[&format!("build:{part}")]).await;
        }
    }
}
