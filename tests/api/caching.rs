//! Entity tags, 304 and what may be kept by whom.

use serde_json::json;

use crate::support::{Player, Reply, TestApp, World};

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
async fn what_has_the_tag_already_is_not_sent_again() {
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
async fn a_states_tag_changes_with_what_a_client_cannot_work_out() {
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

/// A browser that several players sign in with, one after the other, tells what it keeps apart by the tag alone.
#[tokio::test]
async fn two_players_in_the_same_position_do_not_mistake_each_others_state() {
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
async fn answers_that_depend_on_who_asks_say_so() {
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
async fn what_is_everybodys_may_be_kept_and_what_is_a_players_not() {
    let app = TestApp::new().await;
    let ada = app.client.register("ada").await;
    let reply = app.client.call("GET", "/catalog", "", None).await.expect(200);
    assert!(reply.header("cache-control").starts_with("public"), "{:?}", reply.headers);
    for path in ["/me", "/me/ledger", "/me/export", "/auth/sessions"] {
        let reply = ada.get(path).await.expect(200);
        let kept = reply.header("cache-control");
        assert!(kept.contains("private") || kept.contains("no-store"), "{path}: {kept:?}");
        assert!(!kept.contains("public"), "{path}: {kept:?}");
    }
}

#[tokio::test]
async fn tokens_are_kept_by_no_cache() {
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
