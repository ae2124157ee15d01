//! Rows that a constraint of the database rejects. A lane (a thread that executes players' commands) commits them in a
//! batch with other rows: only the rejected row must fail, and the lane must find it with few commits.

use futures_util::future::join_all;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::outage::assert_unavailable;
use crate::support::books::{eventually, revision};
use crate::support::gate::{Gate, Holding};
use crate::support::{Player, Reply, TestApp};

/// Rejects the second change of a player with the name `poison`.
const REJECT_ROW: &str = "alter table players add constraint poison \
    check (display_name <> 'poison' or version < 2) not valid";

/// Ends the connection of the third update and of later ones. Triggers fire in the order of their names, so this one
/// fires after that of the gate, which counts the updates.
const END_THIRD_CONNECTION: &str = "
    create function quit() returns trigger language plpgsql as $$
    begin
        if (select last_value from gate_entries) > 2 then
            perform pg_terminate_backend(pg_backend_pid());
        end if;
        return null;
    end $$;
    create trigger quit before update on players for each statement execute function quit();";

/// How many times a connection is ended, because the time between the error and the close varies.
const ROUNDS: usize = 50;

/// Some players. Postgres rejects every write of the first one's row.
struct RejectedRow {
    app: TestApp,
    gate: Gate,
    players: Vec<Player>,
}

impl RejectedRow {
    async fn new(number: usize) -> Self {
        let app = TestApp::new().await;
        let players = join_all((0..number).map(|_| app.client.guest())).await;
        let rename = async |player: &Player, name: &str| {
            let body = Some(json!({ "display_name": name }));
            app.client.call("PATCH", "/me", &player.token, body).await.expect(200);
        };
        rename(&players[0], "poison").await;
        join_all(players[1..].iter().map(|player| rename(player, "Eve"))).await;
        let gate = Gate::new(&app.world, Holding::Nothing).await;
        gate.session.batch_execute(REJECT_ROW).await.expect("a constraint");
        Self { app, gate, players }
    }

    /// Makes all players click so that the lane writes them in one batch. Returns the answers and the number of commits
    /// that the lane attempted.
    async fn click(&self) -> (Vec<Reply>, i64) {
        let blocking = self.app.client.guest().await;
        self.gate.close().await;
        // The lane is blocked in this click's commit until all other clicks are queued.
        let first = click(&blocking);
        self.gate.until_entered(1).await;
        let clicks: Vec<_> = self.players.iter().map(click).collect();
        let queued = &self.app.server.metrics.queued_commands;
        let number = i64::try_from(clicks.len()).expect("a count");
        eventually("the other clicks are queued", async || (queued.get() == number).then_some(()))
            .await;
        self.gate.open().await;
        first.await.expect("answered").expect(200);
        let replies = join_all(clicks).await.into_iter().map(|reply| reply.expect("answered"));
        (replies.collect(), self.gate.entries().await - 1)
    }
}

fn click(player: &Player) -> JoinHandle<Reply> {
    let player = player.clone();
    tokio::spawn(async move { player.click(5).await })
}

#[tokio::test]
async fn only_the_rejected_row_fails_and_is_found_by_halving_the_batch() {
    let rejected = RejectedRow::new(64).await;
    let RejectedRow { gate, players, .. } = &rejected;
    let database = &gate.session;
    let before = revision(database, &players[0]).await;
    let (replies, commits) = rejected.click().await;
    // One commit for the whole batch, and two for each time that it is halved.
    assert!(commits <= 2 * 6 + 1, "{commits} commits");
    let (failed, written) = replies.split_first().expect("replies");
    assert_eq!((failed.status, failed.code()), (500, "internal"), "{}", failed.text);
    assert!(!failed.text.contains("constraint"), "{}", failed.text);
    for reply in written {
        assert_eq!((reply.status, &reply.json["accepted"]), (200, &json!(5)), "{}", reply.text);
        assert_eq!(reply.json["state"]["version"], 2);
    }
    assert_eq!(revision(database, &players[0]).await, before);
    assert_eq!(players[0].get("/me").await.expect(200).json["energy"], 0.0);
    database.batch_execute("alter table players drop constraint poison").await.expect("dropped");
    assert_eq!(players[0].click(5).await.expect(200).json["state"]["energy"], 5.0);
}

#[tokio::test]
async fn the_search_for_a_rejected_row_stops_when_the_connection_ends() {
    let rejected = RejectedRow::new(32).await;
    rejected.gate.session.batch_execute(END_THIRD_CONNECTION).await.expect("a trigger");
    // The first update is that of the blocking click. The second is rejected because of one row. The connection of the
    // third is ended.
    let (replies, commits) = rejected.click().await;
    assert_eq!(commits, 2);
    replies.into_iter().for_each(assert_unavailable);
    rejected.gate.session.batch_execute("drop trigger quit on players").await.expect("dropped");
    for player in &rejected.players[1..] {
        let clicked = player.click(5).await.expect(200);
        assert_eq!(clicked.json["state"]["version"], 2, "a refused click was executed");
    }
}

/// Ends the connection over which a player with the name `last` is written.
const END_CONNECTION: &str = "
    create function end_connection() returns trigger language plpgsql as $$
    begin
        if new.display_name = 'last' and new.version > 1 then
            perform pg_terminate_backend(pg_backend_pid());
        end if;
        return new;
    end $$;
    create trigger end_connection before update on players for each row execute function end_connection();";

/// The error arrives before the connection is closed, so the connection may look usable for a moment.
#[tokio::test]
async fn a_connection_that_postgres_ends_is_not_reused() {
    let app = TestApp::new().await;
    let (last, other) = (app.client.guest().await, app.client.guest().await);
    let name = Some(json!({ "display_name": "last" }));
    app.client.call("PATCH", "/me", &last.token, name).await.expect(200);
    app.world.connect().await.batch_execute(END_CONNECTION).await.expect("a trigger");
    for _ in 0..ROUNDS {
        assert_unavailable(last.click(1).await);
        other.click(1).await.expect(200);
    }
    app.stop().await;
}
