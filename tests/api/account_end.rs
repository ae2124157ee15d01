//! The end of an account, what is stored about a player, and what others see of it.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::books::{eventually, start_for_days};
use crate::support::gate::{Gate, Holding};
use crate::support::{Player, TestApp, World};

async fn delete(player: &Player) -> crate::support::Reply {
    player.client.call("DELETE", "/me", &player.token, None).await
}

/// The tables that contain `text`, except the news between instances about whom to rank again, which contain ids for
/// half a minute of play, even of deleted players.
async fn tables_with(database: &tokio_postgres::Client, text: &str) -> Vec<String> {
    let sql = "select tablename::text from pg_tables where schemaname = 'public' \
        and tablename !~ '^(idempotency_records_|ranking_news$)' order by 1";
    let tables = database.query(sql, &[]).await.expect("the tables");
    let mut found = Vec::new();
    for table in tables.iter().map(|row| row.get::<_, String>(0)) {
        let sql = format!("select exists (select from {table} as t where strpos(t::text, $1) > 0)");
        if database.query_one(&sql, &[&text]).await.expect("an answer").get(0) {
            found.push(table);
        }
    }
    found
}

/// How many statements wait for a row's lock.
async fn waiting(database: &tokio_postgres::Client) -> i64 {
    let sql = "select count(*) from pg_stat_activity where datname = current_database() \
        and wait_event_type = 'Lock'";
    database.query_one(sql, &[]).await.expect("an answer").get(0)
}

async fn until_waiting(database: &tokio_postgres::Client, number: i64) {
    eventually("a statement waits", async || (waiting(database).await >= number).then_some(()))
        .await;
}

#[tokio::test]
async fn a_deleted_account_is_deleted_on_every_instance() {
    let world = World::new().await;
    let (app, other) = (world.start().await, world.start().await);
    let player = app.client.register("ada").await;
    let body = json!({ "username": "ada", "password": "correct horse" });
    let second = app.client.call("POST", "/auth/login", "", Some(body.clone())).await.expect(200);
    let second = Player::of(&app.client, &second);
    player.post_keyed("/me/clicks", "k", json!({ "clicks": 20 })).await.expect(200);
    player.buy("hand_crank", json!(1)).await.expect(200);
    player.at(&other).state().await;
    delete(&player).await.expect(204);
    for token in [&player, &second] {
        for path in ["/me", "/me/ledger", "/me/export", "/auth/sessions"] {
            token.get(path).await.expect_problem(401, "unauthenticated");
            eventually("the other instance refuses", async || {
                (token.at(&other).get(path).await.status == 401).then_some(())
            })
            .await;
        }
        token.click(1).await.expect_problem(401, "unauthenticated");
        token.at(&other).click(1).await.expect_problem(401, "unauthenticated");
        let body = json!({ "refresh_token": token.refresh_token });
        let refreshed = other.client.call("POST", "/auth/refresh", "", Some(body)).await;
        refreshed.expect_problem(401, "unauthenticated");
    }
    delete(&player).await.expect_problem(401, "unauthenticated");
    let login = app.client.call("POST", "/auth/login", "", Some(body)).await;
    login.expect_problem(401, "invalid_credentials");
    for app in [&app, &other] {
        let path = format!("/players/{}", player.id);
        let profile = eventually("the profile is gone", async || {
            let reply = app.client.call("GET", &path, "", None).await;
            (reply.status != 200).then_some(reply)
        })
        .await;
        profile.expect_problem(404, "not_found");
        let inspected = eventually("operators find it no more", async || {
            let reply = app.client.admin("GET", &path, None).await;
            (reply.status != 200).then_some(reply)
        })
        .await;
        inspected.expect_problem(404, "not_found");
    }
    assert_ne!(app.client.register("ada").await.id, player.id, "the name is free again");
}

#[tokio::test]
async fn only_the_tombstone_of_a_deleted_player_remains() {
    let world = World::new().await;
    let app = world.start().await;
    let database = world.connect().await;
    let player = app.client.register("erased_player").await;
    let name = json!({ "display_name": "Erased Name" });
    player.keyed("PATCH", "/me", "rename", Some(name)).await.expect(200);
    player.post_keyed("/me/clicks", "click", json!({ "clicks": 20 })).await.expect(200);
    player.buy("hand_crank", json!(1)).await.expect(200);
    let held = tables_with(&database, &player.id).await;
    let expected =
        ["accounts", "idempotency_records", "ledger", "players", "sessions", "usernames"];
    assert_eq!(held, expected, "the test would miss what it does not fill");
    delete(&player).await.expect(204);
    // The revocation informs the other instances; it expires with the tokens.
    assert_eq!(tables_with(&database, &player.id).await, ["deleted_players", "revocations"]);
    assert!(tables_with(&database, "erased_player").await.is_empty());
    assert!(tables_with(&database, "Erased Name").await.is_empty());
    app.advance(86_400.0);
    app.server.clean_up();
    app.run_jobs().await;
    assert_eq!(tables_with(&database, &player.id).await, ["deleted_players"]);
}

#[tokio::test]
async fn commands_in_flight_do_not_restore_a_deleted_player() {
    let world = World::new().await;
    let apps = [world.start().await, world.start().await];
    let database = world.connect().await;
    for _ in 0..5 {
        let player = apps[0].client.guest().await;
        player.grant(1e6).await;
        let commands = (0..40).map(|index| {
            let player = player.at(&apps[index % 2]);
            async move {
                if index == 20 {
                    return delete(&player).await.expect(204).status;
                }
                let key = index.to_string();
                let path = "/me/generators/hand_crank/purchase";
                player.post_keyed(path, &key, json!({ "quantity": 1 })).await.status
            }
        });
        let statuses = join_all(commands).await;
        assert!(statuses.iter().all(|it| [200, 204, 401].contains(it)), "{statuses:?}");
        let left = tables_with(&database, &player.id).await;
        assert_eq!(left, ["audit_log", "deleted_players", "revocations"]);
    }
}

#[tokio::test]
async fn ledger_entries_made_while_a_deletion_waits_are_deleted_too() {
    let world = World::new().await;
    let (app, other) = (world.start().await, world.start().await);
    let database = world.connect().await;
    let player = app.client.guest().await;
    player.click(20).await.expect(200);
    let gate = Gate::new(&world, Holding::Row).await;
    gate.close().await;
    let path = "/me/generators/hand_crank/purchase";
    let purchase = {
        let player = player.clone();
        tokio::spawn(async move { player.post_keyed(path, "k", json!({ "quantity": 1 })).await })
    };
    gate.until_entered(1).await;
    let deletion = {
        let player = player.at(&other);
        tokio::spawn(async move { delete(&player).await })
    };
    until_waiting(&database, 1).await;
    gate.open().await;
    purchase.await.expect("answered").expect(200);
    deletion.await.expect("answered").expect(204);
    let left = tables_with(&database, &player.id).await;
    assert_eq!(left, ["deleted_players", "revocations"]);
}

#[tokio::test]
async fn a_sign_in_during_a_deletion_leaves_no_session() {
    let world = World::new().await;
    let app = world.start().await;
    let (database, blocker) = (world.connect().await, world.connect().await);
    let player = app.client.register("ada").await;
    // Blocks the statement that creates a session.
    let sql = "create function hold() returns trigger language plpgsql as $$ begin \
        perform pg_advisory_xact_lock(42); return new; end $$; \
        create trigger hold before insert on sessions for each row execute function hold(); \
        select pg_advisory_lock(42)";
    blocker.batch_execute(sql).await.expect("held");
    let client = app.client.clone();
    let login = tokio::spawn(async move {
        let body = json!({ "username": "ada", "password": "correct horse" });
        client.call("POST", "/auth/login", "", Some(body)).await
    });
    until_waiting(&database, 1).await;
    let deletion = tokio::spawn({
        let player = player.clone();
        async move { delete(&player).await }
    });
    eventually("the deletion is done or waits for the session", async || {
        (deletion.is_finished() || waiting(&database).await >= 2).then_some(())
    })
    .await;
    blocker.batch_execute("select pg_advisory_unlock(42)").await.expect("let go");
    deletion.await.expect("answered").expect(204);
    let login = login.await.expect("answered");
    assert!([200, 401].contains(&login.status), "{}", login.text);
    let left = tables_with(&database, &player.id).await;
    assert_eq!(left, ["deleted_players", "revocations"]);
}

#[tokio::test]
async fn the_export_contains_everything_a_player_did() {
    let app = start_for_days(&World::new().await).await;
    let player = app.client.register("ada").await;
    let body = json!({ "username": "ada", "password": "correct horse" });
    app.client.call("POST", "/auth/login", "", Some(body)).await.expect(200);
    player.grant(1000.0).await;
    let bought = player
        .post_keyed("/me/generators/hand_crank/purchase", "k", json!({ "quantity": 3 }))
        .await
        .expect(200);
    player.buy("hand_crank", json!(2)).await.expect(200);
    player.buy_upgrade("work_gloves").await.expect(200);
    let export = player.get("/me/export").await.expect(200);
    assert_eq!(export.json["state"], player.state().await);
    let mut ledger = player.ledger().await;
    ledger.reverse();
    assert_eq!((export.json["ledger"].as_array(), ledger.len()), (Some(&ledger), 4));
    let sessions = player.get("/auth/sessions").await.expect(200).json["entries"].clone();
    assert_eq!(sessions.as_array().map(Vec::len), Some(2));
    assert_eq!(export.json["sessions"], sessions);
    let requests = export.json["remembered_requests"].as_array().expect("a list");
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0]["outcome"]["spent"], bought.json["spent"]);
    let audit = export.json["audit"].as_array().expect("a list");
    assert_eq!((audit.len(), audit[0]["detail"]["energy"].as_f64()), (1, Some(1000.0)));
    for name in ["created_at", "exported_at"] {
        let time = export.json[name].as_str().expect("a time");
        time.parse::<jiff::Timestamp>().expect("RFC 3339");
    }
    for secret in ["argon2", "password", &player.token, &player.refresh_token] {
        assert!(!export.text.contains(secret), "{secret} is no business of an export");
    }
}

#[tokio::test]
async fn a_ledger_of_any_length_is_exported_completely() {
    let world = World::new().await;
    let app = world.start().await;
    let player = app.client.guest().await;
    let sql = "insert into ledger select $1::text::uuid, version, now(), 'grant', 'x', 0, 1, version \
        from generate_series(1, 2500) as version";
    world.connect().await.execute(sql, &[&player.id]).await.expect("written");
    let export = player.get("/me/export").await.expect(200).json;
    let entries = export["ledger"].as_array().expect("a list").iter();
    let ids: Vec<_> = entries.map(|entry| entry["id"].as_u64().expect("an id")).collect();
    assert_eq!(ids, (1..=2500).rev().collect::<Vec<u64>>());
}

#[tokio::test]
async fn the_public_profile_contains_public_fields_only() {
    let app = TestApp::new().await;
    let player = app.client.register("ada").await;
    player.click(7).await.expect(200);
    let ask = async |id: &str| app.client.call("GET", &format!("/players/{id}"), "", None).await;
    let profile = ask(&player.id).await.expect(200).json;
    let created_at = profile["created_at"].clone();
    let expected = json!({
        "player_id": player.id, "display_name": "ada", "lifetime_energy": 7.0, "cores": 0,
        "created_at": created_at
    });
    assert_eq!(profile, expected);
    assert_ne!(created_at, Value::Null);
    for id in ["nobody", "00000000-0000-7000-8000-000000000000", &player.id.replace('-', "")] {
        ask(id).await.expect_problem(404, "not_found");
    }
}
