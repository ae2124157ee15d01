//! Who may know whom: the layers of ARCHITECTURE.md, read from the sources.

#![allow(clippy::expect_used, reason = "a test may give up")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module with those that it may use beside itself.
const MAY_USE: [(&str, &[&str]); 27] = [
    ("domain", &[]),
    ("config", &[]),
    ("health", &[]),
    ("data_dir", &[]),
    ("generations", &[]),
    ("supervisor", &[]),
    ("clock", &["domain"]),
    ("identity", &[]),
    ("id", &["domain"]),
    ("telemetry", &["config"]),
    ("store", &["domain", "id", "identity"]),
    ("redis_client", &["config", "identity", "telemetry"]),
    ("peers", &["clock", "domain", "id", "identity", "redis_client"]),
    (
        "cache",
        &[
            "clock",
            "domain",
            "generations",
            "health",
            "identity",
            "peers",
            "redis_client",
            "store",
            "telemetry",
        ],
    ),
    ("limit", &["clock", "identity", "redis_client", "telemetry"]),
    ("catalogue", &["clock", "domain", "store"]),
    (
        "accounts",
        &["cache", "catalogue", "clock", "config", "domain", "generations", "id", "store"],
    ),
    (
        "rankings",
        &["catalogue", "clock", "domain", "id", "identity", "redis_client", "store", "telemetry"],
    ),
    ("lanes", &["store", "supervisor", "telemetry"]),
    (
        "game",
        &[
            "cache",
            "catalogue",
            "clock",
            "domain",
            "generations",
            "identity",
            "lanes",
            "rankings",
            "store",
            "supervisor",
            "telemetry",
        ],
    ),
    ("operators", &["accounts", "cache", "clock", "domain", "game", "store"]),
    (
        "jobs",
        &[
            "accounts",
            "cache",
            "catalogue",
            "clock",
            "config",
            "domain",
            "health",
            "id",
            "rankings",
            "store",
            "supervisor",
            "telemetry",
        ],
    ),
    ("api", &["accounts", "domain", "game", "identity", "limit", "rankings", "store"]),
    (
        "http",
        &[
            "accounts",
            "api",
            "cache",
            "catalogue",
            "config",
            "domain",
            "game",
            "generations",
            "health",
            "id",
            "identity",
            "limit",
            "operators",
            "rankings",
            "redis_client",
            "store",
            "telemetry",
        ],
    ),
    ("seed", &["domain", "store"]),
    ("cli", &["config"]),
    (
        "app",
        &[
            "accounts",
            "cache",
            "catalogue",
            "cli",
            "clock",
            "config",
            "data_dir",
            "domain",
            "game",
            "health",
            "http",
            "identity",
            "lanes",
            "limit",
            "jobs",
            "operators",
            "peers",
            "rankings",
            "redis_client",
            "seed",
            "store",
            "supervisor",
            "telemetry",
        ],
    ),
];

/// Crates that only these modules name.
const KEPT_TO: [(&str, &[&str]); 9] = [
    ("apalis", &["jobs"]),
    ("actix_web", &["http", "app"]),
    ("tokio_postgres", &["store", "app", "config"]),
    ("deadpool_postgres", &["store"]),
    ("redis::", &["redis_client", "cache", "limit", "peers", "rankings"]),
    ("std::env::var", &["config"]),
    ("prometheus", &["telemetry"]),
    ("governor::", &["limit"]),
    ("jsonwebtoken", &["accounts"]),
];

fn sources() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let inside = path.strip_prefix(&root).expect("below src");
                let first = inside.components().next().expect("a name").as_os_str();
                let module = first.to_string_lossy().trim_end_matches(".rs").to_owned();
                let text = fs::read_to_string(&path).expect("text");
                files.push((module, path, text));
            }
        }
    }
    files
}

/// The modules that a text names after `crate::`, one by one or in braces.
fn named(text: &str) -> BTreeSet<String> {
    let word = |text: &str| {
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        text[..end].to_owned()
    };
    let mut names = BTreeSet::new();
    for (position, _) in text.match_indices("crate::") {
        let rest = &text[position + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => drop(names.insert(word(rest))),
            Some(list) => {
                let mut depth = 1;
                let mut item = String::new();
                for c in list.chars() {
                    depth += i32::from(c == '{') - i32::from(c == '}');
                    if depth == 0 || (depth == 1 && c == ',') {
                        names.insert(word(item.trim()));
                        item.clear();
                    } else {
                        item.push(c);
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
        }
    }
    names.remove("");
    names
}

#[test]
fn modules_know_only_those_below_them() {
    let mut faults = Vec::new();
    for (module, path, text) in sources() {
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == module) else {
            assert!(
                ["main", "lib"].contains(&module.as_str()),
                "{module} has no place in the layers"
            );
            continue;
        };
        for used in named(&text) {
            if used != module && !allowed.contains(&used.as_str()) {
                faults.push(format!("{} uses {used}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn crates_stay_where_they_belong() {
    let mut faults = Vec::new();
    for (module, path, text) in sources() {
        for (name, allowed) in KEPT_TO {
            if text.contains(name) && !allowed.contains(&module.as_str()) {
                faults.push(format!("{} names {name}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_rules_know_std_and_serde_only() {
    for (module, path, text) in sources() {
        if module != "domain" || path.to_string_lossy().contains("test") {
            continue;
        }
        for name in ["tokio", "tracing", "uuid", "rand", "async ", "Instant", "println"] {
            assert!(!text.contains(name), "{} names {name}", path.display());
        }
    }
}

#[test]
fn every_statement_says_which_function_it_is_of() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rust: String = sources().into_iter().map(|(_, _, text)| text).collect();
    for folder in fs::read_dir(root.join("sql/queries")).expect("a folder") {
        for file in fs::read_dir(folder.expect("an entry").path()).expect("a folder") {
            let path = file.expect("an entry").path();
            let text = fs::read_to_string(&path).expect("text");
            let shown = path.strip_prefix(root).expect("below the root").display().to_string();
            assert!(text.starts_with("-- store::"), "{shown} does not say whose it is");
            assert!(rust.contains(&shown), "{shown} is not used");
        }
    }
}
