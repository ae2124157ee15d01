//! Entity tags, 304, and who may cache what.

use std::collections::HashMap;

use serde_json::json;

use crate::support::{ADMIN_TOKEN, Player, Reply, TestApp, World};

async fn asked(player: &Player, path: &str, if_none_match: &[&str]) -> Reply {
    let mut request = player.client.request("GET", path).bearer_auth(&player.token);
    for value in if_none_match {
        request = request.header("If-None-Match", *value);
    }
    player.client.send(request).await
}

async fn state_tag(player: &Player) -> String {
    let tag = asked(player, "/api/v1/me", &[]).await.expect(200).header("etag").to_owned();
    assert!(tag.starts_with("W/\"") && tag.ends_with('"') && tag.len() > 4, "{tag}");
    tag
}

#[tokio::test]
async fn a_client_with_the_current_tag_gets_304() {
    let app = TestApp::new().await;
    let ada = app.client.register("ada").await;
    for path in ["/api/v1/me", "/api/v1/catalog"] {
        let full = asked(&ada, path, &[]).await.expect(200);
        let tag = full.header("etag").to_owned();
        let opaque = tag.trim_start_matches("W/");
        let weak = format!("W/{opaque}");
        let inside = |tag: &str| format!("\"other\", {tag} ,W/\"more\"");
        for values in [
            &[tag.as_str()][..],
            &[opaque],
            &[&weak],
            &["*"],
            &[&inside(&tag)],
            &[&inside(opaque)],
            &[&format!("\"other\",{tag}")],
            &["\"other\"", &tag],
        ] {
            let reply = asked(&ada, path, values).await.expect(304);
            assert_eq!((reply.header("etag"), reply.text.as_str()), (tag.as_str(), ""));
            assert_eq!(reply.header("cache-control"), full.header("cache-control"));
        }
        let cut = &opaque[..opaque.len() - 2];
        let longer = format!("{}0\"", &opaque[..opaque.len() - 1]);
        for values in [
            &["\"other\""][..],
            &["\"other\", W/\"more\""],
            &["\"\""],
            &[&format!("{cut}\"")],
            &[&longer],
            &[opaque.trim_matches('"')],
            &["\"*\""],
        ] {
            let reply = asked(&ada, path, values).await.expect(200);
            assert_eq!(reply.header("etag"), tag, "{values:?}");
            assert!(reply.json.is_object());
        }
    }
}

#[tokio::test]
async fn a_states_tag_changes_with_what_a_client_cannot_compute() {
    let app = World::new().await.start_with(&[("OFFLINE_CAP_SECONDS", "480")]).await;
    let ada = app.client.register("ada").await;
    ada.click(30).await.expect(200);
    ada.buy("hand_crank", json!(1)).await.expect(200);
    let mut tag = state_tag(&ada).await;
    app.advance(5.0);
    assert_eq!(state_tag(&ada).await, tag, "energy that only accrues is extrapolated");
    let changed = async |tag: &mut String, what: &str| {
        let now = state_tag(&ada).await;
        assert_ne!(*tag, now, "{what}");
        assert_eq!(asked(&ada, "/api/v1/me", &[tag]).await.expect(200).header("etag"), now);
        *tag = now;
    };
    ada.click(1).await.expect(200);
    changed(&mut tag, "a mutation").await;
    let rename = ada.client.call("PATCH", "/me", &ada.token, Some(json!({ "display_name": "A" })));
    rename.await.expect(200);
    changed(&mut tag, "another name").await;
    app.advance(100.0);
    changed(&mut tag, "being back from an absence").await;
    assert!(ada.state().await["away"].is_object());
    app.advance(31.0);
    changed(&mut tag, "the end of being told of it").await;
    assert!(ada.state().await["away"].is_null());
    let until = ada.state().await["accrues_until"].clone();
    for _ in 0..2 {
        app.advance(55.0);
        ada.state().await;
    }
    assert_ne!(ada.state().await["accrues_until"], until);
    changed(&mut tag, "an eighth of the cap").await;
}

#[tokio::test]
async fn a_states_tag_changes_with_the_catalogue() {
    let app = TestApp::new().await;
    let ada = app.client.register("ada").await;
    let tag = state_tag(&ada).await;
    let catalog = app.client.admin("GET", "/catalog", None).await.expect(200).json;
    app.client.admin("PUT", "/catalog", Some(catalog)).await.expect(200);
    assert_eq!(state_tag(&ada).await, tag, "it is not in force yet");
    app.advance(3.0);
    assert_ne!(state_tag(&ada).await, tag);
}

/// A browser in which several players sign in one after the other distinguishes cached answers by the tag only.
#[tokio::test]
async fn the_states_of_two_equal_players_have_different_tags() {
    let app = TestApp::new().await;
    let (ada, eve) = (app.client.guest().await, app.client.guest().await);
    let (of_ada, of_eve) = (state_tag(&ada).await, state_tag(&eve).await);
    assert_ne!(of_ada, of_eve);
    let reply = asked(&eve, "/api/v1/me", &[&of_ada]).await.expect(200);
    assert_eq!(reply.json["player_id"], eve.id);
    assert!(reply.header("cache-control").contains("private"), "no shared cache keeps it");
    assert_eq!(state_tag(&eve).await, of_eve, "and of one player it stays");
}

#[tokio::test]
async fn private_answers_vary_by_token() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    for path in ["/me", "/me/ledger", "/me/export", "/auth/sessions", "/rankings/me"] {
        let reply = asked(&ada, &format!("/api/v1{path}"), &[]).await.expect(200);
        assert_eq!(reply.header("vary"), "Authorization", "{path}");
    }
    let tag = state_tag(&ada).await;
    let unchanged = asked(&ada, "/api/v1/me", &[&tag]).await.expect(304);
    assert_eq!(unchanged.header("vary"), "Authorization");
}

#[tokio::test]
async fn the_catalogues_tag_is_strong_and_the_same_on_every_instance() {
    let world = World::new().await;
    let (here, there) = (world.start().await, world.start().await);
    let ada = here.client.register("ada").await;
    let one = asked(&ada, "/api/v1/catalog", &[]).await.expect(200);
    let other = asked(&ada.at(&there), "/api/v1/catalog", &[]).await.expect(200);
    assert!(one.header("etag").starts_with('"'), "{}", one.header("etag"));
    assert_eq!(one.header("etag"), other.header("etag"));
    assert_eq!(one.text, other.text);
}

#[tokio::test]
async fn public_answers_may_be_cached_and_private_ones_not() {
    let app = TestApp::new().await;
    let ada = app.client.register("ada").await;
    let reply = app.client.call("GET", "/catalog", "", None).await.expect(200);
    assert!(reply.header("cache-control").starts_with("public"), "{:?}", reply.headers);
    for path in ["/me", "/me/ledger", "/me/export", "/auth/sessions", "/rankings/me"] {
        let reply = ada.get(path).await.expect(200);
        let kept = reply.header("cache-control");
        assert!(kept.contains("private") || kept.contains("no-store"), "{path}: {kept:?}");
        assert!(!kept.contains("public"), "{path}: {kept:?}");
    }
}

#[tokio::test]
async fn answers_with_tokens_must_not_be_stored() {
    let app = TestApp::new().await;
    app.client.register("ada").await;
    let login = app.client.try_login("ada", crate::support::PASSWORD).await.expect(200);
    let guest = app.client.call("POST", "/auth/guest", "", Some(json!({}))).await.expect(201);
    let refresh_token = login.json["tokens"]["refresh_token"].as_str().expect("a token");
    let refreshed = app.client.refresh(refresh_token).await.expect(200);
    for reply in [&login, &guest, &refreshed] {
        assert_eq!(reply.header("cache-control"), "no-store");
    }
}

/// Puts a catalogue with that price in force, and returns the catalogue in force afterwards.
async fn with_price(app: &TestApp, price: f64) -> Reply {
    let mut catalog = app.client.admin("GET", "/catalog", None).await.expect(200).json;
    catalog["generators"][0]["base_cost"] = json!(price);
    app.client.admin("PUT", "/catalog", Some(catalog)).await.expect(200);
    app.advance(3.0);
    app.client.call("GET", "/catalog", "", None).await.expect(200)
}

/// A restored database may reuse version numbers, and two servers count independently.
#[tokio::test]
async fn different_catalogues_of_one_number_and_time_have_different_tags() {
    let apps = [TestApp::new().await, TestApp::new().await, TestApp::new().await];
    let mut replies = Vec::new();
    for (app, price) in apps.iter().zip([20.0, 30.0, 20.0]) {
        replies.push(with_price(app, price).await);
    }
    for reply in &replies {
        assert_eq!(reply.json["version"], 2);
        assert_eq!(reply.json["effective_at"], replies[0].json["effective_at"]);
    }
    assert_ne!(replies[0].header("etag"), replies[1].header("etag"));
    assert_eq!(replies[0].header("etag"), replies[2].header("etag"), "they are the same");
    let request = apps[1].client.request("GET", "/api/v1/catalog");
    let request = request.header("If-None-Match", replies[0].header("etag"));
    let reply = apps[1].client.send(request).await.expect(200);
    assert_eq!(reply.json["generators"][0]["base_cost"], 30.0);
}

#[tokio::test]
async fn strong_tags_and_bodies_correspond() {
    let mut bodies: HashMap<(String, String), String> = HashMap::new();
    let mut changes = 0;
    for price in [20.0, 30.0] {
        let app = TestApp::new().await;
        let ada = app.client.register("ada").await;
        let seasons = app.client.call("GET", "/seasons", "", None).await.expect(200).json;
        let season = seasons["entries"][0]["id"].as_str().expect("an id").to_owned();
        let paths = [
            "/catalog".to_owned(),
            "/admin/catalog".to_owned(),
            "/rankings".to_owned(),
            "/rankings?board=season&limit=1".to_owned(),
            format!("/seasons/{season}/rankings"),
        ];
        for step in 0..4 {
            match step {
                1 => drop(ada.click(price as u64).await.expect(200)),
                2 => {
                    let catalog = app.client.admin("GET", "/catalog", None).await.expect(200);
                    let mut catalog = catalog.json;
                    catalog["generators"][0]["base_cost"] = json!(price);
                    app.client.admin("PUT", "/catalog", Some(catalog)).await.expect(200);
                }
                3 => app.advance(3.0),
                _ => {}
            }
            for path in &paths {
                let token = if path.starts_with("/admin") { ADMIN_TOKEN } else { "" };
                let reply = app.client.call("GET", path, token, None).await.expect(200);
                let tag = reply.header("etag").to_owned();
                assert!(tag.starts_with('"') && tag.len() > 2, "{path}: {tag}");
                changes += usize::from(!bodies.values().any(|body| *body == reply.text));
                let of_tag =
                    bodies.entry((path.clone(), tag)).or_insert_with(|| reply.text.clone());
                assert_eq!(*of_tag, reply.text, "{path}: one tag, two bodies");
            }
        }
    }
    assert!(changes > 8, "only {changes} bodies were seen");
    let tags = bodies.len();
    let mut one_each: Vec<_> = bodies.into_iter().map(|((path, _), body)| (path, body)).collect();
    one_each.sort_unstable();
    one_each.dedup();
    assert_eq!(one_each.len(), tags, "a body has two tags");
}

/// If a public answer varied by token, shared caches would keep one copy of it for each player.
#[tokio::test]
async fn public_answers_do_not_vary_by_token() {
    let world = World::new().await;
    let origin = "https://play.example.org";
    let apps = [world.start().await, world.start_with(&[("CORS_ALLOWED_ORIGINS", origin)]).await];
    let ada = apps[0].client.register("ada").await;
    let seasons = apps[0].client.call("GET", "/seasons", "", None).await.expect(200).json;
    let season = seasons["entries"][0]["id"].as_str().expect("an id");
    // Each path, and whether it answers 304.
    let public = [
        ("/healthz".to_owned(), false),
        ("/readyz".to_owned(), false),
        ("/openapi.json".to_owned(), true),
        ("/asyncapi.json".to_owned(), true),
        ("/docs/".to_owned(), false),
        ("/api/v1/catalog".to_owned(), true),
        ("/api/v1/rankings".to_owned(), true),
        ("/api/v1/rankings?board=season".to_owned(), true),
        ("/api/v1/seasons".to_owned(), false),
        (format!("/api/v1/seasons/{season}/rankings"), true),
        (format!("/api/v1/players/{}", ada.id), false),
    ];
    for (path, is_tagged) in &public {
        for (app, token, if_none_match) in apps.iter().flat_map(|app| {
            [("", ""), (&ada.token, ""), ("", "*"), (&ada.token, "*")]
                .map(|(token, if_none_match)| (app, token, if_none_match))
        }) {
            let mut request = app.client.request("GET", path).header("Origin", origin);
            if !token.is_empty() {
                request = request.bearer_auth(token);
            }
            if !if_none_match.is_empty() {
                request = request.header("If-None-Match", if_none_match);
            }
            let expected = if *is_tagged && !if_none_match.is_empty() { 304 } else { 200 };
            let reply = app.client.send(request).await.expect(expected);
            let varies: Vec<String> = reply
                .headers
                .get_all("vary")
                .iter()
                .flat_map(|value| value.to_str().expect("text").split(','))
                .map(|name| name.trim().to_ascii_lowercase())
                .collect();
            for name in ["authorization", "cookie", "*"] {
                assert!(!varies.iter().any(|it| it == name), "{path} {expected}: {varies:?}");
            }
            let kept = reply.header("cache-control");
            assert_eq!(kept.starts_with("public"), !kept.contains("no-store"), "{path}: {kept}");
            assert!(!kept.contains("private"), "{path}: {kept}");
        }
    }
}
