//! Rows that a constraint rejects: they fail alone, and are found with few commits.

use futures_util::future::join_all;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::outage::assert_unavailable;
use crate::support::books::{eventually, revision};
use crate::support::gate::{Gate, Holding};
use crate::support::{Player, Reply, TestApp};

/// Rejects the second change of a player of that name.
const POISON: &str = "alter table players add constraint poison \
    check (display_name <> 'poison' or version < 2) not valid";

/// Ends the connection of the third update and of later ones. Triggers fire in the order of their names, so it fires
/// after the gate's, which counts.
const QUIT: &str = "
    create function quit() returns trigger language plpgsql as $$
    begin
        if (select last_value from gate_entries) > 2 then
            perform pg_terminate_backend(pg_backend_pid());
        end if;
        return null;
    end $$;
    create trigger quit before update on players for each statement execute function quit();";

/// How often a connection is ended: the time between the error and the close differs.
const ROUNDS: usize = 50;

/// Players, of whom the first cannot be written again.
struct Poisoned {
    app: TestApp,
    gate: Gate,
    players: Vec<Player>,
}

impl Poisoned {
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
        gate.session.batch_execute(POISON).await.expect("a constraint");
        Self { app, gate, players }
    }

    /// Makes all players click so that the lane tries to write them together. Returns the answers and the number of
    /// commits that it attempted.
    async fn click(&self) -> (Vec<Reply>, i64) {
        let bystander = self.app.client.guest().await;
        self.gate.close().await;
        // The lane is busy until all are queued.
        let first = click(&bystander);
        self.gate.until_entered(1).await;
        let clicks: Vec<_> = self.players.iter().map(click).collect();
        let queued = &self.app.server.metrics.queued_commands;
        let number = i64::try_from(clicks.len()).expect("a count");
        eventually("the others queue up", async || (queued.get() == number).then_some(())).await;
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
async fn a_row_that_cannot_be_written_fails_alone_and_is_found_by_halves() {
    let poisoned = Poisoned::new(64).await;
    let Poisoned { gate, players, .. } = &poisoned;
    let database = &gate.session;
    let before = revision(database, &players[0]).await;
    let (replies, commits) = poisoned.click().await;
    // Two for each halving, and one for the whole batch.
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
    database.batch_execute("alter table players drop constraint poison").await.expect("cured");
    assert_eq!(players[0].click(5).await.expect(200).json["state"]["energy"], 5.0);
}

#[tokio::test]
async fn a_database_that_goes_away_while_a_bad_row_is_looked_for_is_asked_once_more_at_most() {
    let poisoned = Poisoned::new(32).await;
    poisoned.gate.session.batch_execute(QUIT).await.expect("a trigger");
    // The bystander's update is the first; the second one is rejected because of the bad row, and the connection of the
    // third is ended.
    let (replies, commits) = poisoned.click().await;
    assert_eq!(commits, 2);
    replies.into_iter().for_each(assert_unavailable);
    poisoned.gate.session.batch_execute("drop trigger quit on players").await.expect("mended");
    for player in &poisoned.players[1..] {
        let clicked = player.click(5).await.expect(200);
        assert_eq!(clicked.json["state"]["version"], 2, "what was refused was not done");
    }
}

/// Ends the connection over which a player of that name is written.
const END: &str = "
    create function end_connection() returns trigger language plpgsql as $$
    begin
        if new.display_name = 'last' and new.version > 1 then
            perform pg_terminate_backend(pg_backend_pid());
        end if;
        return new;
    end $$;
    create trigger end_connection before update on players for each row execute function end_connection();";

/// The error that ends a connection arrives before the connection is closed.
#[tokio::test]
async fn a_connection_that_postgres_ends_is_not_used_again() {
    let app = TestApp::new().await;
    let (last, other) = (app.client.guest().await, app.client.guest().await);
    let name = Some(json!({ "display_name": "last" }));
    app.client.call("PATCH", "/me", &last.token, name).await.expect(200);
    app.world.connect().await.batch_execute(END).await.expect("a trigger");
    for _ in 0..ROUNDS {
        assert_unavailable(last.click(1).await);
        other.click(1).await.expect(200);
    }
    app.stop().await;
}
