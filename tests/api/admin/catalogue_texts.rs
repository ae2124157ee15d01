//! Names and descriptions of items in other languages.

use serde_json::{Value, json};

use crate::support::books::eventually;
use crate::support::{TestApp, World};

async fn read(app: &TestApp) -> Value {
    app.client.call("GET", "/catalog", "", None).await.expect(200).json
}

async fn latest(app: &TestApp) -> Value {
    app.client.admin("GET", "/catalog", None).await.expect(200).json
}

async fn put(app: &TestApp, catalog: &Value) -> Value {
    app.client.admin("PUT", "/catalog", Some(catalog.clone())).await.expect(200).json
}

#[tokio::test]
async fn every_item_of_the_default_catalogue_has_korean_texts() {
    let app = TestApp::new().await;
    let catalog = read(&app).await;
    for list in ["generators", "upgrades"] {
        for item in catalog[list].as_array().expect("a list") {
            for member in ["name", "description"] {
                let text = item["texts"]["ko"][member].as_str().unwrap_or_default();
                let is_hangul = |c: char| ('가'..='힣').contains(&c);
                assert!(text.chars().any(is_hangul), "{member} of {}: {text:?}", item["id"]);
            }
        }
    }
}

#[tokio::test]
async fn texts_are_stored_with_a_version_and_may_be_absent() {
    let world = World::new().await;
    let app = world.start().await;
    let mut catalog = latest(&app).await;
    catalog["generators"][0]["texts"] =
        json!({ "ko": { "name": "\u{1100}\u{1161} 크랭크", "description": "돌립니다." } });
    catalog["generators"][1].as_object_mut().expect("an object").remove("texts");
    catalog["upgrades"][0]["texts"] = json!({});
    put(&app, &catalog).await;
    world.advance(3.0);
    for app in [app, world.start().await] {
        let catalog = read(&app).await;
        // Texts are composed, as everywhere.
        assert_eq!(catalog["generators"][0]["texts"]["ko"]["name"], "가 크랭크");
        assert_eq!(catalog["generators"][1].get("texts"), None);
        assert_eq!(catalog["upgrades"][0].get("texts"), None);
        assert_ne!(catalog["upgrades"][1].get("texts"), None);
    }
}

/// The previous release refuses members of items that it does not know.
#[tokio::test]
async fn stored_items_have_no_member_that_the_previous_release_does_not_know() {
    let world = World::new().await;
    let app = world.start().await;
    let mut catalog = latest(&app).await;
    let removed = catalog["upgrades"].as_array_mut().and_then(Vec::pop).expect("an upgrade");
    assert_ne!(removed.get("texts"), None);
    put(&app, &catalog).await;
    let sql = "select count(*) from catalogues where items::text like '%texts%' or removed::text like '%texts%'";
    let stored: i64 = world.connect().await.query_one(sql, &[]).await.expect("counted").get(0);
    assert_eq!(stored, 0);
}

#[tokio::test]
async fn a_catalogue_of_the_previous_release_gets_the_texts_of_items_that_did_not_change() {
    let world = World::new().await;
    let app = world.start().await;
    let mut catalog = latest(&app).await;
    catalog["generators"][0]["name"] = json!("Crank of our own");
    put(&app, &catalog).await;
    let sql = "update catalogues set texts = null";
    world.connect().await.execute(sql, &[]).await.expect("updated");
    world.advance(3.0);
    let catalog = read(&world.start().await).await;
    assert_eq!(catalog["generators"][0].get("texts"), None, "its Korean name would be another");
    assert_eq!(catalog["generators"][1]["texts"]["ko"]["name"], "자전거 발전기");
    assert_eq!(catalog["upgrades"][0]["texts"]["ko"]["name"], "기름칠한 베어링");
}

#[tokio::test]
async fn texts_that_an_operator_removed_stay_removed() {
    let world = World::new().await;
    let app = world.start().await;
    let mut catalog = latest(&app).await;
    for list in ["generators", "upgrades"] {
        for item in catalog[list].as_array_mut().expect("a list") {
            item.as_object_mut().expect("an object").remove("texts");
        }
    }
    put(&app, &catalog).await;
    world.advance(3.0);
    let catalog = read(&world.start().await).await;
    assert_eq!(catalog["generators"][0].get("texts"), None);
}

/// As on a standby that another server has taken the place of: the epoch is new, and nothing can be written.
#[tokio::test]
async fn a_catalogue_of_the_previous_release_is_read_again_in_a_new_epoch_without_a_write() {
    let world = World::new().await;
    let app = world.start().await;
    let database = world.connect().await;
    let name = world.database.get_dbname().expect("a name");
    let sql = format!(
        "alter database \"{name}\" set default_transaction_read_only = on;
         select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid();
         update catalogues set texts = null;
         update deployment set epoch = gen_random_uuid()"
    );
    database.batch_execute(&sql).await.expect("changed");
    let before = app.server.store.identity().epoch();
    eventually("the new epoch is known", async || {
        (app.server.store.identity().epoch() != before).then_some(())
    })
    .await;
    // A timeline is confirmed only after everything was read again.
    let catalog = eventually("the catalogue is read again", async || {
        app.server.catalogues.confirmed_timeline().ok()?;
        Some(read(&app).await)
    })
    .await;
    assert_eq!(catalog["generators"][0]["texts"]["ko"]["name"], "손 크랭크");
}
