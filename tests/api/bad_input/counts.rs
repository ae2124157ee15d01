//! Invalid quantities, clicks and versions.

use serde_json::json;

use super::{Row, Sender, malformed, not_found, refused, unacceptable};

const BUY: &str = "/me/generators/hand_crank/purchase";
const UPGRADE: &str = "/me/upgrades/work_gloves/purchase";

/// Numbers that are valid JSON but not counts.
const NO_COUNTS: [&str; 10] = [
    "0",
    "-1",
    "-0",
    "1.5",
    "1e-3",
    "1e400",
    "9223372036854775808",
    "18446744073709551616",
    "-9223372036854775809",
    "1e15",
];

/// JSON that is not a number.
const NO_NUMBERS: [&str; 6] = ["null", "true", "[]", "[1]", "{}", "{\"max\":1}"];

/// Looks like a number but is not JSON.
const NO_JSON: [&str; 8] = ["01", "+1", ".5", "1.", "0x10", "NaN", "Infinity", "1_000"];

pub fn rows(sender: &Sender<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    let quantity = |text: &str| sender.post(BUY, format!("{{\"quantity\":{text}}}"));
    let clicks = |text: &str| sender.post("/me/clicks", format!("{{\"clicks\":{text}}}"));
    for text in NO_COUNTS {
        rows.push(unacceptable(format!("quantity {text}"), quantity(text)).at("quantity"));
        rows.push(unacceptable(format!("clicks {text}"), clicks(text)).at("clicks"));
    }
    for text in ["1000001", "\"MAX\"", "\"max \"", "\"\"", "\"1\"", "\"all\""] {
        rows.push(unacceptable(format!("quantity {text}"), quantity(text)).at("quantity"));
    }
    rows.push(unacceptable("clicks 1001", clicks("1001")).at("clicks"));
    for text in NO_NUMBERS {
        rows.push(malformed(format!("quantity {text}"), quantity(text)).at("quantity"));
        rows.push(malformed(format!("clicks {text}"), clicks(text)).at("clicks"));
    }
    rows.push(malformed("clicks \"5\"", clicks("\"5\"")).at("clicks"));
    rows.push(malformed("clicks \"max\"", clicks("\"max\"")).at("clicks"));
    for text in NO_JSON {
        rows.push(malformed(format!("quantity {text}"), quantity(text)));
        rows.push(malformed(format!("clicks {text}"), clicks(text)));
    }
    rows.extend(versions(sender));
    rows.extend(actions(sender));
    rows
}

fn versions(sender: &Sender<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    for version in ["-1", "1.5", "\"2\"", "true", "[2]", "18446744073709551616"] {
        let name = |path: &str| format!("expected_version {version} at {path}");
        let body = format!("{{\"quantity\":1,\"expected_version\":{version}}}");
        rows.push(malformed(name(BUY), sender.post(BUY, body)).at("expected_version"));
        for path in [UPGRADE, "/me/prestige"] {
            let body = format!("{{\"expected_version\":{version}}}");
            rows.push(malformed(name(path), sender.post(path, body)).at("expected_version"));
        }
    }
    for version in [0, 1, 3, u64::MAX] {
        let body = json!({ "quantity": 1, "expected_version": version }).to_string();
        let name = format!("expected_version {version}, which it is not");
        rows.push(refused(409, "version_mismatch", name, sender.post(BUY, body)));
    }
    rows
}

fn actions(sender: &Sender<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    let act = |actions: &str| {
        // The first action is valid: it must not be applied either.
        let good = r#"{"type":"click","clicks":1}"#;
        sender.post("/me/actions", format!("{{\"actions\":[{good},{actions}]}}"))
    };
    for (action, field) in [
        (r#"{"type":"steal"}"#, "actions[1].type"),
        (r#"{"type":1}"#, "actions[1].type"),
        (r#"{"type":"click"}"#, "actions[1].clicks"),
        (r#"{"type":"click","clicks":null}"#, "actions[1].clicks"),
        (r#"{"type":"click","clicks":"5"}"#, "actions[1].clicks"),
        (r#"{"type":"click","clicks":1,"id":"hand_crank"}"#, "actions[1].id"),
        (r#"{"type":"click","clicks":1,"quantity":1}"#, "actions[1].quantity"),
        (r#"{"type":"buy_generator","quantity":1}"#, "actions[1].id"),
        (r#"{"type":"buy_generator","id":"hand_crank"}"#, "actions[1].quantity"),
        (r#"{"type":"buy_generator","id":7,"quantity":1}"#, "actions[1].id"),
        (r#"{"type":"buy_upgrade"}"#, "actions[1].id"),
        (r#"{"type":"buy_upgrade","id":"work_gloves","clicks":1}"#, "actions[1].clicks"),
        (r#"{"type":"click","clicks":1,"bogus":1}"#, "actions[1].bogus"),
        (r#"{"clicks":1}"#, "actions[1].type"),
    ] {
        rows.push(malformed(format!("action {action}"), act(action)).at(field));
    }
    for (action, field) in [
        (r#"{"type":"click","clicks":0}"#, "actions[1].clicks"),
        (r#"{"type":"click","clicks":1001}"#, "actions[1].clicks"),
        (r#"{"type":"buy_generator","id":"hand_crank","quantity":1.5}"#, "actions[1].quantity"),
        (r#"{"type":"buy_generator","id":"hand_crank","quantity":"MAX"}"#, "actions[1].quantity"),
    ] {
        rows.push(unacceptable(format!("action {action}"), act(action)).at(field));
    }
    for action in ["null", "7", "[]", "\"click\"", "[\"click\",1]", "[\"click\",1,null,null]"] {
        rows.push(malformed(format!("action {action}"), act(action)));
    }
    let list = |actions: &str| sender.post("/me/actions", format!("{{\"actions\":{actions}}}"));
    let click = r#"{"type":"click","clicks":1}"#;
    let too_many = format!("[{}]", [click; 33].join(","));
    rows.push(unacceptable("no actions", list("[]")).at("actions"));
    rows.push(unacceptable("33 actions", list(&too_many)).at("actions"));
    rows.push(malformed("actions null", list("null")).at("actions"));
    rows.push(malformed("actions as an object", list("{}")).at("actions"));
    for path in ["/me/generators/no_such_thing/purchase", "/me/generators/HAND_CRANK/purchase"] {
        let body = r#"{"quantity":1}"#;
        rows.push(not_found(path, sender.post(path, body)));
    }
    rows
}
