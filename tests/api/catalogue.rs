//! Reading the catalogue.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::books::number;
use crate::support::{TestApp, World};

fn items<'a>(catalog: &'a Value, list: &str) -> &'a Vec<Value> {
    catalog[list].as_array().expect("a list")
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[tokio::test]
async fn the_catalogue_lists_items_and_rules() {
    let app = TestApp::new().await;
    let reply = app.client.call("GET", "/catalog", "", None).await.expect(200);
    assert_eq!(reply.header("content-type"), "application/json");
    assert!(reply.header("cache-control").contains("public"));
    let catalog = reply.json;
    assert_eq!(
        keys(&catalog),
        ["effective_at", "generators", "rules", "upgrades", "version"].into()
    );
    assert!(catalog["version"].is_u64());
    let effective_at = catalog["effective_at"].as_str().expect("a time");
    effective_at.parse::<jiff::Timestamp>().expect("RFC 3339");
    for generator in items(&catalog, "generators") {
        let expected = [
            "id",
            "name",
            "description",
            "texts",
            "base_cost",
            "cost_growth",
            "base_energy_per_second",
            "available",
        ];
        assert_eq!(keys(generator), expected.into());
        assert!(number(&generator["base_cost"]) > 0.0 && number(&generator["cost_growth"]) > 1.0);
        assert!(number(&generator["base_energy_per_second"]) > 0.0);
        assert_eq!(generator["available"], true);
    }
    for upgrade in items(&catalog, "upgrades") {
        let expected =
            ["id", "name", "description", "texts", "cost", "effect", "requires", "available"];
        assert_eq!(keys(upgrade), expected.into());
        assert!(number(&upgrade["cost"]) > 0.0, "{upgrade}");
    }
    assert_eq!(items(&catalog, "generators").len(), 10);
    assert!((35..=45).contains(&items(&catalog, "upgrades").len()));
    assert_eq!(catalog["rules"]["offline_cap_seconds"], 28_800.0);
    assert_eq!(
        (&catalog["rules"]["clicks_per_second"], &catalog["rules"]["click_burst"]),
        (&20.0.into(), &40.0.into())
    );
}

#[tokio::test]
async fn upgrades_refer_only_to_generators_that_exist() {
    let app = TestApp::new().await;
    let catalog = app.client.call("GET", "/catalog", "", None).await.expect(200).json;
    let all = items(&catalog, "generators").iter().chain(items(&catalog, "upgrades"));
    let ids: Vec<_> = all.map(|item| item["id"].as_str().expect("an id")).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "no id is given twice");
    let generators: BTreeSet<_> =
        items(&catalog, "generators").iter().map(|item| item["id"].clone().to_string()).collect();
    let known = |of: &Value| generators.contains(&of["generator"].to_string());
    for upgrade in items(&catalog, "upgrades") {
        let (effect, requires) = (&upgrade["effect"], &upgrade["requires"]);
        let effective = match effect["type"].as_str().expect("a type") {
            "generator_multiplier" => known(effect) && number(&effect["multiplier"]) > 1.0,
            "global_multiplier" => number(&effect["multiplier"]) > 1.0,
            "click_flat" => number(&effect["energy"]) > 0.0,
            "click_share" => number(&effect["share"]) > 0.0,
            "offline_cap" => number(&effect["seconds"]) > 0.0,
            _ => false,
        };
        assert!(effective, "{upgrade}");
        let reachable = match requires["type"].as_str() {
            Some("generator_owned") => known(requires) && number(&requires["count"]) >= 1.0,
            Some("lifetime_energy") => number(&requires["energy"]) > 0.0,
            Some(_) => false,
            None => requires.is_null(),
        };
        assert!(reachable, "{upgrade}");
    }
}

#[tokio::test]
async fn two_instances_give_the_catalogue_the_same_strong_tag() {
    let world = World::new().await;
    let apps = [world.start().await, world.start().await];
    let mut replies = Vec::new();
    for app in &apps {
        replies.push(app.client.call("GET", "/catalog", "", None).await.expect(200));
    }
    let tag = replies[0].header("etag").to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2, "{tag}");
    assert_eq!(replies[1].header("etag"), tag);
    assert_eq!(replies[0].text, replies[1].text);
    for app in &apps {
        let ask =
            |tag: &str| app.client.request("GET", "/api/v1/catalog").header("If-None-Match", tag);
        let unchanged = app.client.send(ask(&tag)).await.expect(304);
        assert_eq!((unchanged.header("etag"), unchanged.text.as_str()), (tag.as_str(), ""));
        app.client.send(ask("\"another\"")).await.expect(200);
    }
}
