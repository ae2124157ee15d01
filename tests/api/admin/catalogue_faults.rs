//! Invalid catalogues.

use serde_json::{Value, json};

use crate::support::{Reply, TestApp};

async fn put(app: &TestApp, catalog: &Value) -> Reply {
    app.client.admin("PUT", "/catalog", Some(catalog.clone())).await
}

/// A catalogue of one generator and one upgrade.
fn small() -> Value {
    json!({
        "generators": [{
            "id": "mill", "name": "Mill", "description": "Grinds.",
            "texts": { "ko": { "name": "방앗간", "description": "곡식을 빻습니다." } },
            "base_cost": 10, "cost_growth": 1.1, "base_energy_per_second": 1,
        }],
        "upgrades": [{
            "id": "oil", "name": "Oil", "description": "Smooth.", "cost": 5,
            "effect": { "type": "generator_multiplier", "generator": "mill", "multiplier": 2 },
            "requires": { "type": "generator_owned", "generator": "mill", "count": 1 },
        }],
    })
}

fn changed(pointer: &str, value: Value) -> Value {
    let mut catalog = small();
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let parent = catalog.pointer_mut(parent).expect("there");
    match parent {
        Value::Object(members) => drop(members.insert(name.to_owned(), value)),
        _ => panic!("{pointer} leads to no object"),
    }
    catalog
}

/// The place of the fault as answers name it: `/generators/0/id` is `generators[0].id`.
fn path_of(pointer: &str) -> String {
    pointer.trim_start_matches('/').split('/').fold(String::new(), |path, part| {
        match (part.parse::<usize>(), path.is_empty()) {
            (Ok(index), _) => format!("{path}[{index}]"),
            (Err(_), true) => part.to_owned(),
            (Err(_), false) => format!("{path}.{part}"),
        }
    })
}

#[tokio::test]
async fn an_invalid_value_is_named_by_its_path() {
    let app = TestApp::new().await;
    let long = |length: usize| json!("x".repeat(length));
    for (pointer, values) in [
        ("/generators/0/id", vec![json!(""), json!("Mill"), json!("a b"), json!("a\0"), long(200)]),
        ("/generators/0/name", vec![json!(""), json!("a\nb"), json!("a\0b"), long(81)]),
        ("/generators/0/description", vec![json!(""), long(501)]),
        ("/generators/0/texts/ko/name", vec![json!(""), json!("a\nb"), long(81)]),
        ("/generators/0/texts/ko/description", vec![json!(""), json!("a\u{200b}b"), long(501)]),
        ("/generators/0/base_cost", vec![json!(0), json!(-1), json!(1e301)]),
        ("/generators/0/cost_growth", vec![json!(1), json!(0.9), json!(101), json!(-2)]),
        ("/generators/0/base_energy_per_second", vec![json!(0), json!(-1), json!(1e301)]),
        ("/upgrades/0/id", vec![json!(""), json!("Oil"), json!("a-b")]),
        ("/upgrades/0/cost", vec![json!(0), json!(-5), json!(1e301)]),
        ("/upgrades/0/effect/generator", vec![json!("no_such"), json!("Mill"), json!("")]),
        ("/upgrades/0/effect/multiplier", vec![json!(0), json!(0.5), json!(-2), json!(1e301)]),
        ("/upgrades/0/requires/generator", vec![json!("no_such"), json!("")]),
        ("/upgrades/0/requires/count", vec![json!(0), json!(1_000_001)]),
    ] {
        for value in values {
            let reply = put(&app, &changed(pointer, value.clone())).await;
            let reply = reply.expect_problem(422, "validation_failed");
            assert_eq!(reply.json["errors"][0]["field"], path_of(pointer), "{value}");
        }
    }
    let reply = app.client.admin("GET", "/catalog", None).await.expect(200);
    assert_eq!(reply.json["version"], 1);
    // Nobody owns anything of the default catalogue, so the valid one replaces it.
    put(&app, &small()).await.expect(200);
}

#[tokio::test]
async fn a_catalogue_of_another_shape_is_malformed() {
    let app = TestApp::new().await;
    for (pointer, value) in [
        ("/generators", json!(null)),
        ("/generators", json!({})),
        ("/generators", json!([["a", "A", "a.", 1, 2, 3, true]])),
        ("/generators/0/base_cost", json!("10")),
        ("/generators/0/base_cost", json!(null)),
        ("/generators/0/available", json!("no")),
        ("/generators/0/bogus", json!(1)),
        ("/generators/0/texts", json!(null)),
        ("/generators/0/texts", json!([])),
        ("/generators/0/texts/ko", json!(null)),
        ("/generators/0/texts/ko", json!(["방앗간", "곡식을 빻습니다."])),
        ("/generators/0/texts/fr", json!({ "name": "Moulin", "description": "Moud." })),
        ("/upgrades/0/effect", json!({ "type": "magic" })),
        ("/upgrades/0/effect", json!({ "type": "click_flat", "share": 1 })),
        ("/upgrades/0/effect", json!({ "type": "click_flat", "energy": 1, "bogus": 1 })),
        ("/upgrades/0/requires", json!({ "type": "luck" })),
        ("/upgrades/0/requires", json!({ "type": "lifetime_energy", "energy": "1" })),
        ("/upgrades/0/requires/count", json!(1.5)),
        ("/upgrades/0/requires/count", json!(-1)),
        ("/bogus", json!(1)),
    ] {
        let reply = put(&app, &changed(pointer, value.clone())).await;
        let reply = reply.expect_problem(400, "invalid_request");
        let field = reply.json["errors"][0]["field"].as_str().expect("a field").to_owned();
        let expected = path_of(pointer);
        let near = expected.starts_with(&field) || field.starts_with(&expected);
        assert!(near, "{field} is named, and {expected} is at fault: {value}");
    }
    for missing in ["generators", "upgrades"] {
        let mut catalog = small();
        catalog.as_object_mut().expect("an object").remove(missing);
        let reply = put(&app, &catalog).await.expect_problem(400, "invalid_request");
        assert_eq!(reply.json["errors"][0]["field"], missing);
    }
    let reply = app.client.admin("GET", "/catalog", None).await.expect(200);
    assert_eq!(reply.json["version"], 1);
}

#[tokio::test]
async fn all_errors_are_reported_at_once() {
    let app = TestApp::new().await;
    let mut catalog = small();
    catalog["generators"][0]["base_cost"] = json!(0);
    catalog["upgrades"][0]["cost"] = json!(0);
    catalog["upgrades"][0]["effect"]["generator"] = json!("no_such");
    let reply = put(&app, &catalog).await.expect_problem(422, "validation_failed");
    let errors = reply.json["errors"].as_array().expect("a list");
    let fields: Vec<_> =
        errors.iter().map(|error| error["field"].as_str().expect("text")).collect();
    assert_eq!(
        fields,
        ["generators[0].base_cost", "upgrades[0].cost", "upgrades[0].effect.generator"]
    );
}

#[tokio::test]
async fn items_are_unique_and_limited_in_number() {
    let app = TestApp::new().await;
    let small = small();
    let repeated = |list: &str, times: usize| {
        let mut catalog = small.clone();
        let one = catalog[list][0].clone();
        let many = (0..times).map(|n| {
            let mut one = one.clone();
            one["id"] = json!(format!("{}_{n}", one["id"].as_str().expect("text")));
            one
        });
        let many: Vec<Value> = std::iter::once(one.clone()).chain(many).collect();
        catalog[list] = json!(many);
        catalog
    };
    let mut none = small.clone();
    none["generators"] = json!([]);
    none["upgrades"] = json!([]);
    for (catalog, field) in [(none, "generators"), (repeated("generators", 200), "generators")] {
        let reply = put(&app, &catalog).await.expect_problem(422, "validation_failed");
        assert_eq!(reply.json["errors"][0]["field"], field);
    }
    for list in ["generators", "upgrades"] {
        let mut twice = small.clone();
        twice[list] = json!([small[list][0], small[list][0]]);
        let reply = put(&app, &twice).await.expect_problem(422, "validation_failed");
        assert_eq!(reply.json["errors"][0]["field"], format!("{list}[1].id"));
    }
}

#[tokio::test]
async fn the_rules_cannot_be_changed() {
    let app = TestApp::new().await;
    let mut catalog = app.client.admin("GET", "/catalog", None).await.expect(200).json;
    catalog["rules"]["energy_per_click"] = json!(1_000);
    let reply = put(&app, &catalog).await.expect_problem(422, "validation_failed");
    assert_eq!(reply.json["errors"][0]["field"], "rules");
}
