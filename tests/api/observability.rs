//! `/metrics` has everything that the dashboard and the alerts query.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::books::eventually;

/// Metrics that the server does not export, with their labels.
const NOT_FROM_SERVER: [(&str, &[&str]); 1] = [
    // Prometheus creates this metric itself.
    ("up", &[]),
];

/// Labels that Prometheus adds to every metric.
const PROMETHEUS_LABELS: [&str; 2] = ["instance", "job"];

/// Words of the query language that are not metrics.
const KEYWORDS: [&str; 11] = [
    "by",
    "without",
    "on",
    "ignoring",
    "and",
    "or",
    "unless",
    "bool",
    "offset",
    "group_left",
    "group_right",
];

type Labels = BTreeSet<String>;

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect(path)
}

/// Parses the metrics in a text in Prometheus' format, with their labels. A histogram's series count as one metric.
fn exported_metrics(text: &str) -> BTreeMap<String, Labels> {
    let mut metrics: BTreeMap<String, Labels> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = labels.trim_end_matches('}').split(',').filter_map(|it| it.split_once('='));
        let entry = metrics.entry(family(name).to_owned()).or_default();
        entry.extend(labels.map(|(label, _)| label.to_owned()));
    }
    metrics
}

fn family(name: &str) -> &str {
    ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

/// Parses a query: its metrics, each with the labels in its braces, and the labels that it groups by.
fn parse_query(query: &str) -> (Vec<(String, Labels)>, Labels) {
    let (mut metrics, mut grouping) = (Vec::new(), Labels::new());
    let mut rest = query;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '[') {
        let (before, word) = (&rest[..start], &rest[start..]);
        if word.starts_with('[') {
            rest = &word[word.find(']').expect("a range's end")..];
            continue;
        }
        let end = word.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(word.len());
        let (name, after) = word.split_at(end);
        let is_number = before.ends_with(|c: char| c.is_ascii_digit() || c == '.');
        let behind = after.trim_start();
        if name == "by" {
            let list = behind.strip_prefix('(').and_then(|it| it.split_once(')')).expect("a list");
            grouping.extend(list.0.split(',').map(|label| label.trim().to_owned()));
            rest = list.1;
        } else if let Some(braces) = behind.strip_prefix('{') {
            let (braces, after) = braces.split_once('}').expect("a closing brace");
            let labels = braces.split(',').filter_map(|it| it.split_once(['=', '!']));
            let labels = labels.map(|(label, _)| label.trim().to_owned()).collect();
            metrics.push((name.to_owned(), labels));
            rest = after;
        } else {
            let is_function = behind.starts_with('(') || behind.starts_with("by (");
            if !is_function && !KEYWORDS.contains(&name) && !is_number {
                metrics.push((name.to_owned(), Labels::new()));
            }
            rest = after;
        }
    }
    (metrics, grouping)
}

/// Every query of the dashboard and the alerts, with the title of its panel or the name of its alert.
fn queries() -> Vec<(String, String)> {
    let mut queries = Vec::new();
    let board: Value =
        serde_json::from_str(&file("deploy/grafana/dashboards/idlewatt.json")).expect("JSON");
    for panel in board["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().expect("a query").to_owned();
            queries.push((panel["title"].to_string(), query));
        }
    }
    let mut alert = String::new();
    let rules = file("deploy/prometheus/rules.yml");
    let mut lines = rules.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some((_, name)) = line.split_once("- alert: ") {
            name.clone_into(&mut alert);
        } else if let Some(query) = line.trim().strip_prefix("expr: ") {
            let mut query = query.to_owned();
            if query == "|" {
                query.clear();
                while let Some(more) = lines.next_if(|line| line.starts_with("          ")) {
                    query += more;
                }
            }
            queries.push((alert.clone(), query));
        }
    }
    queries
}

#[tokio::test]
async fn every_query_of_the_dashboard_and_the_alerts_uses_existing_metrics() {
    let app = TestApp::new().await;
    let player = app.client.guest().await;
    player.click(20).await.expect(200);
    player.buy("hand_crank", json!(1)).await.expect(200);
    app.advance(3600.0);
    assert!(app.run_jobs().await > 0, "jobs are due");
    let text = eventually("the metrics of the database pool are set", async || {
        let text = app.server.metrics.render().expect("rendered");
        let text = String::from_utf8(text).expect("text");
        text.contains("database_connections{").then_some(text)
    })
    .await;
    let mut metrics = exported_metrics(&text);
    for (name, labels) in NOT_FROM_SERVER {
        let labels = labels.iter().map(|&label| label.to_owned());
        metrics.entry(name.to_owned()).or_default().extend(labels);
    }
    let queries = queries();
    assert!(queries.len() > 40, "{} queries", queries.len());
    for (place, query) in queries {
        let (named, grouping) = parse_query(&query);
        assert!(!named.is_empty(), "{place}: {query}");
        let mut known: Labels = PROMETHEUS_LABELS.iter().map(|&label| label.to_owned()).collect();
        for (name, labels) in &named {
            let exported = metrics.get(family(name));
            let exported =
                exported.unwrap_or_else(|| panic!("{place}: no metric is called {name}"));
            known.extend(exported.iter().cloned());
            let unknown: Vec<_> = labels.difference(&known).collect();
            assert!(unknown.is_empty(), "{place}: {name} has no labels {unknown:?}");
        }
        let unknown: Vec<_> = grouping.difference(&known).collect();
        assert!(unknown.is_empty(), "{place}: no metric has the labels {unknown:?}: {query}");
    }
}

#[test]
fn queries_are_parsed() {
    let (metrics, grouping) = parse_query(
        "histogram_quantile(0.99, sum by (le, route) (rate(a_bucket{route!~\"x\",status=\"5..\"}[5m]))) \
        / sum(b) > 1e3 and c",
    );
    let names: Vec<_> = metrics.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a_bucket", "b", "c"]);
    assert_eq!(Vec::from_iter(&metrics[0].1), ["route", "status"]);
    assert_eq!(Vec::from_iter(&grouping), ["le", "route"]);
}

#[tokio::test]
async fn the_metrics_count_purchases_energy_and_commits() {
    let app = TestApp::new().await;
    let player = app.client.guest().await;
    let metrics = &app.server.metrics;
    player.click(20).await.expect(200);
    player.buy("hand_crank", json!(1)).await.expect(200);
    player.buy("hand_crank", json!(100_000)).await.expect(409);
    assert_eq!(metrics.purchases.get(), 1);
    assert!((metrics.energy_earned.get() - 20.0).abs() < 1e-9);
    assert_eq!(metrics.batch_players.get_sample_count(), metrics.committed_batches.get());
    assert!(metrics.commit_durations.get_sample_count() >= 2);
    eventually("the readiness metric is set", async || (metrics.ready.get() == 1).then_some(()))
        .await;
    let text = String::from_utf8(metrics.render().expect("rendered")).expect("text");
    for name in ["process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"] {
        let value = text.lines().find_map(|line| line.strip_prefix(name)).expect(name);
        let value: f64 = value.trim().parse().expect("a number");
        // Processor time is counted in whole seconds, so it may still be 0.
        assert!(value > 0.0 || name == "process_cpu_seconds_total", "{name} {value}");
    }
}
