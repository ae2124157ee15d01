//! Finding players.

use serde_json::json;

use crate::support::{PASSWORD, Player, Reply, TestApp};

/// Players with these names, created a second apart.
async fn players(app: &TestApp, names: &[(&str, &str)]) -> Vec<Player> {
    let mut players = Vec::new();
    for (username, display_name) in names {
        let body = json!({
            "username": username, "password": PASSWORD, "display_name": display_name
        });
        let reply = app.client.call("POST", "/auth/register", "", Some(body)).await.expect(201);
        players.push(Player::of(&app.client, &reply));
        app.advance(1.0);
    }
    players
}

async fn search(app: &TestApp, query: &str) -> Reply {
    app.client.admin("GET", &format!("/players{query}"), None).await
}

fn usernames(page: &Reply) -> Vec<&str> {
    let entries = page.json["entries"].as_array().expect("a list");
    entries.iter().map(|entry| entry["username"].as_str().unwrap_or("a guest")).collect()
}

#[tokio::test]
async fn players_are_found_by_id_beginning_of_username_or_part_of_display_name() {
    let app = TestApp::new().await;
    let names =
        [("ada", "Countess L."), ("adam", "First"), ("bea", "Lady Ada"), ("c_d", "50% off")];
    let all = players(&app, &names).await;
    app.client.guest().await;
    for (query, expected) in [
        ("", &["a guest", "c_d", "bea", "adam", "ada"][..]),
        ("?query=", &["a guest", "c_d", "bea", "adam", "ada"]),
        ("?query=ada", &["bea", "adam", "ada"]),
        ("?query=ADA", &["bea", "adam", "ada"]),
        ("?query=adam", &["adam"]),
        ("?query=countess+l", &["ada"]),
        ("?query=dam", &[]),
        ("?query=guest", &["a guest"]),
        ("?query=%25", &["c_d"]),
        ("?query=_", &[]),
        ("?query=c_", &["c_d"]),
        ("?query='", &[]),
        ("?query=%5C", &[]),
        (&format!("?query={}", all[1].id), &["adam"]),
        (&format!("?query={}", all[1].session()), &[]),
    ] {
        let found = search(&app, query).await.expect(200);
        assert_eq!(usernames(&found), expected, "{query}");
        assert_eq!(found.json["next_cursor"], json!(null));
    }
}

#[tokio::test]
async fn names_are_found_in_any_case_whatever_the_language() {
    let app = TestApp::new().await;
    let names = [
        ("zhenya", "ЖЕНЯ"),
        ("elodie", "E\u{301}LODIE"),
        ("infinite_i", "INFINITE"),
        ("street", "Hauptstraße"),
    ];
    let all = players(&app, &names).await;
    let found = async |query: &str| {
        let bytes: Vec<String> = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let page = search(&app, &format!("?query={}", bytes.concat())).await.expect(200);
        usernames(&page).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    for (query, expected) in [
        ("женя", "zhenya"),
        ("Женя", "zhenya"),
        ("ен", "zhenya"),
        ("élodie", "elodie"),
        ("e\u{301}lo", "elodie"),
        ("INFINITE_", "infinite_i"),
        ("infinite", "infinite_i"),
        ("STRASSE", "street"),
    ] {
        assert_eq!(found(query).await, [expected], "{query}");
    }
    let renamed = json!({ "display_name": "ИВАН" });
    let zhenya = &all[0];
    app.client.call("PATCH", "/me", &zhenya.token, Some(renamed)).await.expect(200);
    assert_eq!(found("женя").await, [""; 0], "the name that it had");
    assert_eq!(found("иван").await, ["zhenya"]);
}

#[tokio::test]
async fn a_job_folds_names_that_were_stored_without_a_folded_form() {
    let app = TestApp::new().await;
    players(&app, &[("zhenya", "ЖЕНЯ"), ("ada", "Ada"), ("gone", "ВЕРА")]).await;
    let database = app.world.connect().await;
    let folded = async || {
        let sql = "select folded from folded_names order by folded";
        let rows = database.query(sql, &[]).await.expect("rows");
        rows.iter().map(|row| row.get(0)).collect::<Vec<String>>()
    };
    app.advance(3_600.0);
    app.run_jobs().await;
    assert_eq!(folded().await, ["вера", "женя"]);
    let gone = app.client.login("gone").await;
    app.client.call("DELETE", "/me", &gone.token, None).await.expect(204);
    assert_eq!(folded().await, ["женя"]);
    // The previous release deletes players without knowing this table.
    let stray = "insert into folded_names values (gen_random_uuid(), 'ВЕРА', 'вера')";
    database.batch_execute(stray).await.expect("inserted");
    app.advance(3_600.0);
    app.run_jobs().await;
    assert_eq!(folded().await, ["женя"]);
}

#[tokio::test]
async fn a_found_player_has_the_fields_that_operators_need() {
    let app = TestApp::new().await;
    let ada = &players(&app, &[("ada", "Ada")]).await[0];
    let found = search(&app, "?query=ada").await.expect(200);
    let expected = json!({
        "player_id": ada.id, "display_name": "Ada", "username": "ada", "banned_at": null,
        "created_at": "2026-01-05T00:00:00.000Z", "last_seen_at": "2026-01-05T00:00:00.000Z",
    });
    assert_eq!(found.json["entries"], json!([expected]));
}

#[tokio::test]
async fn the_pages_of_a_long_list_miss_nobody() {
    let app = TestApp::new().await;
    let names: Vec<String> = (0..7).map(|n| format!("player_{n}")).collect();
    let named: Vec<_> = names.iter().map(|name| (name.as_str(), "Somebody")).collect();
    players(&app, &named).await;
    let mut cursor = String::new();
    let mut seen = Vec::new();
    for (length, more) in [(3, true), (3, true), (1, false)] {
        let page = search(&app, &format!("?query=player&limit=3{cursor}")).await.expect(200);
        seen.extend(usernames(&page).into_iter().map(str::to_owned));
        assert_eq!(usernames(&page).len(), length);
        assert_eq!(page.json["next_cursor"].is_string(), more, "{}", page.text);
        // Players who are created meanwhile are newer than all that are still to be listed.
        app.client.register(&format!("player_late_{}", seen.len())).await;
        app.advance(1.0);
        cursor = format!("&cursor={}", page.json["next_cursor"].as_str().unwrap_or_default());
    }
    assert_eq!(seen, names.iter().rev().cloned().collect::<Vec<_>>());
}

#[tokio::test]
async fn the_last_page_has_no_cursor() {
    let app = TestApp::new().await;
    players(&app, &[("ada", "A"), ("bea", "B")]).await;
    let page = search(&app, "?limit=2").await.expect(200);
    assert_eq!((usernames(&page).len(), &page.json["next_cursor"]), (2, &json!(null)));
}

#[tokio::test]
async fn a_cursor_is_valid_for_its_list_and_query_only() {
    let app = TestApp::new().await;
    let all = players(&app, &[("ada", "A"), ("adam", "B"), ("bea", "C")]).await;
    let page = search(&app, "?query=ada&limit=1").await.expect(200);
    let cursor = page.json["next_cursor"].as_str().expect("a cursor");
    assert_eq!(usernames(&search(&app, &format!("?query=ada&cursor={cursor}")).await), ["ada"]);
    for _ in 0..3 {
        all[0].grant(10.0).await;
    }
    let ledger = all[0].get("/me/ledger?limit=1").await.expect(200);
    let foreign = ledger.json["next_cursor"].as_str().expect("a cursor");
    let changed = if cursor.starts_with('A') { 'B' } else { 'A' };
    let changed = format!("{changed}{}", &cursor[1..]);
    for query in [
        format!("?query=bea&cursor={cursor}"),
        format!("?query=ADA&cursor={cursor}"),
        format!("?cursor={cursor}"),
        format!("?query=ada&cursor={foreign}"),
        format!("?query=ada&cursor={changed}"),
        format!("?query=ada&cursor={}", &cursor[4..]),
        "?query=ada&cursor=".to_owned(),
        format!("?query=ada&cursor={}", all[1].id),
    ] {
        let reply = search(&app, &query).await.expect_problem(400, "invalid_request");
        assert_eq!(reply.json["errors"][0]["field"], "cursor", "{query}");
    }
    let reply = all[0].get(&format!("/me/ledger?cursor={cursor}")).await;
    reply.expect_problem(400, "invalid_request");
}

#[tokio::test]
async fn an_invalid_search_is_refused_and_names_the_field() {
    let app = TestApp::new().await;
    for (query, field) in [
        ("?limit=0", "limit"),
        ("?limit=101", "limit"),
        ("?limit=-1", "limit"),
        ("?limit=ten", "limit"),
        ("?bogus=1", "bogus"),
        ("?query=%00", "query"),
        ("?query=a%00b", "query"),
        ("?cursor=x", "cursor"),
    ] {
        let reply = search(&app, query).await.expect_problem(400, "invalid_request");
        assert_eq!(reply.json["errors"][0]["field"], field, "{query}");
    }
    assert!(usernames(&search(&app, &format!("?query={}", "x".repeat(8_000))).await).is_empty());
}
