//! Rows that another transaction has locked: their players wait, and no others.

use std::cell::Cell;
use std::sync::Arc;

use futures_util::future::{join, join_all};
use futures_util::{StreamExt, stream};
use idlewatt::domain::{Action, Command};
use idlewatt::game::{Answer, Error, Request};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::outage::{assert_unavailable, insist};
use crate::support::books::{eventually, is_replay};
use crate::support::{Player, TestApp};

/// Clicks of one player that are in flight at the same time while its row is locked.
const HANDS: usize = 2;

/// A connection in a transaction that has locked the rows of these players.
async fn hold(app: &TestApp, players: &[Player]) -> Client {
    let blocker = app.world.connect().await;
    blocker.batch_execute("begin").await.expect("begun");
    let ids: Vec<&str> = players.iter().map(|player| player.id.as_str()).collect();
    let sql = "select from players where player_id = any($1::text[]::uuid[]) for no key update";
    assert_eq!(blocker.query(sql, &[&ids]).await.expect("rows").len(), players.len());
    blocker
}

/// Ends its transaction.
async fn release(blocker: &Client) {
    blocker.batch_execute("commit").await.expect("released");
}

/// New players whose rows are in memory.
async fn players(app: &TestApp, number: usize) -> Vec<Player> {
    let players = join_all((0..number).map(|_| app.client.guest())).await;
    join_all(players.iter().map(async |player| player.click(1).await.expect(200))).await;
    players
}

/// Batches that timed out waiting for a lock.
fn lock_waits(app: &TestApp) -> u64 {
    let metrics = &app.server.metrics;
    let given_up = metrics.commit_durations.get_sample_count() - metrics.committed_batches.get();
    assert_eq!(metrics.lock_waits.get(), given_up);
    given_up
}

/// The players `held` click without a pause until so many of their clicks were refused, and the players `free`
/// meanwhile. Returns how many clicks of the latter were answered.
async fn click_until_refused(held: &[Player], free: &[Player], refusals: usize) -> usize {
    let done = Cell::new(false);
    let clicks = held.iter().cycle().take(refusals).map(|player| player.click(1));
    let refused = stream::iter(clicks).buffer_unordered(HANDS * held.len());
    let refused = async {
        refused.for_each(async |reply| assert_unavailable(reply)).await;
        done.set(true);
    };
    let others = free.iter().map(async |player| {
        let mut clicks = 0;
        while !done.get() {
            player.click(1).await.expect(200);
            clicks += 1;
        }
        clicks
    });
    let ((), clicks) = join(refused, join_all(others)).await;
    clicks.into_iter().sum()
}

#[tokio::test]
async fn a_locked_row_costs_other_players_one_wait() {
    let app = TestApp::new().await;
    let players = players(&app, 5).await;
    let (held, free) = players.split_at(1);
    let block = hold(&app, held).await;
    let before = lock_waits(&app);
    let clicks = click_until_refused(held, free, 12).await;
    let waits = lock_waits(&app) - before;
    assert!(waits <= 2, "{waits} batches waited for the row, beside {clicks} clicks");
    let body = json!({ "clicks": 1 });
    assert_unavailable(held[0].post_keyed("/me/clicks", "k", body.clone()).await);
    release(&block).await;
    let clicked = insist(&held[0], "/me/clicks", "k", &body).await.expect(200);
    assert!(!is_replay(&clicked), "what was refused was not done");
    assert_eq!(held[0].state().await["version"], 2, "what was refused was not done");
}

#[tokio::test]
async fn each_of_several_locked_rows_costs_at_most_one_wait() {
    let app = TestApp::new().await;
    let players = players(&app, 8).await;
    let (held, free) = players.split_at(4);
    let block = hold(&app, held).await;
    let before = lock_waits(&app);
    let clicks = click_until_refused(held, free, HANDS * 4 * 7).await;
    let waits = lock_waits(&app) - before;
    assert!(waits <= 4, "{waits} batches waited for the rows, beside {clicks} clicks");
    release(&block).await;
    for player in held {
        insist(player, "/me/clicks", "k", &json!({ "clicks": 1 })).await.expect(200);
        assert_eq!(player.state().await["version"], 2, "what was refused was not done");
    }
}

/// Sends so many clicks of a player, one after the other, without waiting for their answers.
fn ask_to_click(app: &TestApp, player: &Player, clicks: usize) -> Vec<JoinHandle<Outcome>> {
    let player = player.id.parse().expect("an id");
    let request = || Request::new(player, Command::Act(Action::Click { clicks: 1 }));
    let asked = (0..clicks).map(|_| {
        let game = Arc::clone(&app.server.game);
        let request = request();
        // The tasks of one thread begin in the order in which they are spawned.
        tokio::spawn(async move { game.perform(request).await })
    });
    asked.collect()
}

type Outcome = Result<Answer, Error>;

/// The player's versions after each of some requests; `None` if one waited for too long.
async fn versions(asked: Vec<JoinHandle<Outcome>>) -> Option<Vec<u64>> {
    let outcomes = join_all(asked).await.into_iter().map(|outcome| outcome.expect("answered"));
    let version = |outcome: Outcome| match outcome {
        Ok(answer) => Some(answer.record.player.version),
        Err(Error::Unavailable(_)) => None,
        Err(error) => panic!("{error}"),
    };
    outcomes.map(version).collect()
}

async fn until_apart(app: &TestApp, commands: i64) {
    let apart = &app.server.metrics.held_commands;
    eventually("the commands wait", async || (apart.get() == commands).then_some(())).await;
}

#[tokio::test]
async fn commands_that_wait_for_a_locked_row_are_applied_in_order() {
    let app = TestApp::new().await;
    let players = players(&app, 2).await;
    let [held, free] = players.as_slice() else { panic!("two players") };
    // If the machine is too busy to release a row within half a second, try again.
    let version = eventually("all of it is done in time", async || {
        let before = held.state().await["version"].as_u64().expect("a version");
        let block = hold(&app, std::slice::from_ref(held)).await;
        let waits = lock_waits(&app);
        let mut asked = ask_to_click(&app, held, 5);
        until_apart(&app, 5).await;
        asked.extend(ask_to_click(&app, held, 5));
        until_apart(&app, 10).await;
        free.click(1).await.expect(200);
        assert_eq!(lock_waits(&app), waits + 1);
        release(&block).await;
        let versions = versions(asked).await?;
        assert_eq!(versions, (before + 1..=before + 10).collect::<Vec<_>>());
        Some(before + 10)
    })
    .await;
    until_apart(&app, 0).await;
    let waits = lock_waits(&app);
    assert_eq!(held.click(1).await.expect(200).json["state"]["version"], version + 1);
    assert_eq!(lock_waits(&app), waits);
    // The lane finds it locked again, not the task that watches locked rows.
    let block = hold(&app, std::slice::from_ref(held)).await;
    assert_unavailable(held.click(1).await);
    assert_eq!(lock_waits(&app), waits + 1);
    release(&block).await;
}

#[tokio::test]
async fn the_number_of_commands_that_wait_for_locked_rows_is_limited() {
    let app = TestApp::new().await;
    let players = players(&app, 1).await;
    let (done, late) = eventually("all of it is done in time", async || {
        let block = hold(&app, &players).await;
        let mut asked = ask_to_click(&app, &players[0], 300);
        let late = asked.split_off(256);
        until_apart(&app, 256).await;
        // The row is released only after these are answered.
        let late = join_all(late).await;
        release(&block).await;
        Some((versions(asked).await?.len(), late))
    })
    .await;
    assert_eq!((done, late.len()), (256, 44));
    for refused in late {
        let refused = refused.expect("answered");
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn a_briefly_locked_row_causes_no_refusal() {
    let app = TestApp::new().await;
    let players = players(&app, 1).await;
    let id = &players[0].id;
    let versions = eventually("all of it is done in time", async || {
        let block = hold(&app, &players).await;
        let sql = "update players set revision = revision + 1 where player_id = $1::text::uuid";
        block.execute(sql, &[id]).await.expect("written");
        let asked = ask_to_click(&app, &players[0], 3);
        until_apart(&app, 3).await;
        release(&block).await;
        versions(asked).await
    })
    .await;
    assert!(versions.is_sorted() && versions.len() == 3, "{versions:?}");
}

#[tokio::test]
async fn while_a_table_is_locked_all_wait_and_nothing_is_applied_partly() {
    let app = TestApp::new().await;
    let players = players(&app, 4).await;
    for table in ["players", "ledger"] {
        let block = app.world.connect().await;
        let sql = format!("begin; lock table {table} in access exclusive mode");
        block.batch_execute(&sql).await.expect("locked");
        let rename = |player: &Player| {
            let player = player.clone();
            let body = json!({ "display_name": "Eve" });
            async move { player.keyed("PATCH", "/me", "k", Some(body)).await }
        };
        join_all(players.iter().map(rename)).await.into_iter().for_each(assert_unavailable);
        release(&block).await;
        for player in &players {
            assert_ne!(player.state().await["display_name"], "Eve");
            player.click(1).await.expect(200);
        }
    }
}

#[tokio::test]
async fn a_lane_that_stops_refuses_commands_that_wait_for_a_locked_row() {
    let app = TestApp::new().await;
    let players = players(&app, 1).await;
    let block = hold(&app, &players).await;
    let asked = ask_to_click(&app, &players[0], 3);
    until_apart(&app, 3).await;
    app.server.game.drain().await;
    for asked in asked {
        let refused = asked.await.expect("answered");
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    }
    release(&block).await;
}
