//! Checks the sources against the layers of ARCHITECTURE.md: which modules and which crates each module may use.

#![allow(clippy::expect_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each module with the modules that it may use, from bottom to top: a module uses only modules above it in this list.
const LAYERS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("config", &[]),
    ("health", &[]),
    ("data_dir", &[]),
    ("generations", &[]),
    ("identity", &[]),
    ("supervisor", &[]),
    ("id", &["domain"]),
    ("clock", &["domain"]),
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
    ("signals", &["peers", "store", "telemetry"]),
    ("streams", &["clock", "domain", "identity", "signals", "store", "telemetry"]),
    ("notifications", &["clock", "domain", "id", "signals", "store", "streams", "telemetry"]),
    ("limit", &["clock", "identity", "redis_client", "telemetry"]),
    ("lanes", &["store", "supervisor", "telemetry"]),
    ("catalogue", &["clock", "domain", "store"]),
    (
        "accounts",
        &["cache", "catalogue", "clock", "config", "domain", "generations", "id", "store"],
    ),
    (
        "rankings",
        &["catalogue", "clock", "domain", "id", "identity", "redis_client", "store", "telemetry"],
    ),
    (
        "game",
        &[
            "cache",
            "catalogue",
            "clock",
            "domain",
            "identity",
            "lanes",
            "rankings",
            "store",
            "supervisor",
            "telemetry",
        ],
    ),
    ("operators", &["accounts", "cache", "clock", "game", "store"]),
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
            "notifications",
            "rankings",
            "store",
            "supervisor",
            "telemetry",
        ],
    ),
    (
        "api",
        &[
            "accounts",
            "cache",
            "domain",
            "game",
            "identity",
            "limit",
            "notifications",
            "rankings",
            "store",
            "streams",
        ],
    ),
    (
        "live",
        &[
            "accounts",
            "api",
            "domain",
            "game",
            "id",
            "identity",
            "limit",
            "notifications",
            "store",
            "streams",
            "telemetry",
        ],
    ),
    (
        "http",
        &[
            "accounts",
            "api",
            "catalogue",
            "config",
            "domain",
            "game",
            "generations",
            "health",
            "id",
            "limit",
            "live",
            "notifications",
            "operators",
            "rankings",
            "redis_client",
            "store",
            "streams",
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
            "jobs",
            "lanes",
            "limit",
            "live",
            "notifications",
            "operators",
            "peers",
            "rankings",
            "redis_client",
            "seed",
            "signals",
            "store",
            "streams",
            "supervisor",
            "telemetry",
        ],
    ),
];

/// The files and folders of `http`, from bottom to top as [`LAYERS`].
const HTTP_LAYERS: &[&str] = &[
    "problem_response",
    "responses",
    "limit_headers",
    "shedding",
    "route_counters",
    "token_cache",
    "pages",
    "context",
    "session_cookie",
    "thread_state",
    "extract",
    "middleware",
    "handlers",
    "openapi",
    "web",
    "routes",
    "upgrade",
];

/// Names that `http` re-exports for its own files, by the file that defines them.
const HTTP_NAMES: &[(&str, &[&str])] = &[
    ("context", &["Api", "Options"]),
    ("responses", &["JSON", "NO_STORE", "VARY_BY_CALLER", "json", "json_with", "private_json"]),
];

/// Names, mostly of crates, that only the listed modules may contain.
const RESTRICTED_NAMES: &[(&str, &[&str])] = &[
    ("actix_http::", &["http", "live", "telemetry"]),
    ("actix_web", &["http", "app"]),
    ("apalis", &["jobs"]),
    ("deadpool_postgres", &["store"]),
    ("governor::", &["limit"]),
    ("jsonwebtoken", &["accounts"]),
    ("prometheus", &["telemetry"]),
    ("redis::", &["redis_client", "cache", "limit", "peers", "rankings"]),
    ("std::env::var", &["config"]),
    ("tokio_postgres", &["store", "app", "config"]),
];

/// Names that the rules of the game must not contain: I/O, clocks, randomness, logs, locks, type erasure, and output
/// formats.
const IMPURE: &[&str] = &[
    "async ",
    "Atomic",
    "Condvar",
    "dyn Any",
    "Instant",
    "LazyLock",
    "Mutex",
    "OnceLock",
    "println",
    "rand",
    "RwLock",
    "serde_json",
    "SystemTime",
    "tokio",
    "tracing",
    "uuid",
];

/// A source file.
struct Source {
    /// The path below `src`.
    path: PathBuf,
    text: String,
}

impl Source {
    /// The top-level module.
    fn module(&self) -> &str {
        self.part(0)
    }

    /// A component of the path, without the extension `.rs`.
    fn part(&self, index: usize) -> &str {
        let part = self.path.components().nth(index).expect("a part").as_os_str();
        part.to_str().expect("text").trim_end_matches(".rs")
    }

    /// Whether the file contains only tests or test helpers.
    fn is_test(&self) -> bool {
        let name = self.path.file_stem().and_then(|name| name.to_str()).expect("a name");
        name.ends_with("_tests") || ["tests", "testing"].contains(&name)
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("text");
                let path = path.strip_prefix(&root).expect("below src").to_owned();
                sources.push(Source { path, text });
            }
        }
    }
    sources
}

/// The names that follow `prefix` in a text: a single one, or several in braces.
fn named<'a>(text: &'a str, prefix: &str) -> BTreeSet<&'a str> {
    fn word(text: &str) -> &str {
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        &text[..end]
    }
    let mut names = BTreeSet::new();
    for (position, _) in text.match_indices(prefix) {
        let rest = &text[position + prefix.len()..];
        let Some(list) = rest.strip_prefix('{') else {
            names.insert(word(rest));
            continue;
        };
        let (mut depth, mut item) = (1, 0);
        for (index, c) in list.char_indices() {
            depth += i32::from(c == '{') - i32::from(c == '}');
            if depth == 0 || (depth == 1 && c == ',') {
                names.insert(word(list[item..index].trim_start()));
                item = index + 1;
            }
            if depth == 0 {
                break;
            }
        }
    }
    names.remove("");
    names
}

#[test]
fn modules_use_only_what_their_layer_allows() {
    let layers: BTreeMap<_, _> = LAYERS.iter().copied().collect();
    let mut faults = Vec::new();
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources() {
        let module = source.module();
        let Some(allowed) = layers.get(module) else {
            assert!(["main", "lib"].contains(&module), "{module} has no layer");
            continue;
        };
        for name in named(&source.text, "crate::") {
            used.entry(module.to_owned()).or_default().insert(name.to_owned());
            if name != module && !allowed.contains(&name) {
                faults.push(format!("{} uses {name}", source.path.display()));
            }
        }
    }
    for (module, allowed) in LAYERS {
        let used = used.get(*module).cloned().unwrap_or_default();
        let unused = allowed.iter().filter(|name| !used.contains(**name));
        faults.extend(unused.map(|name| format!("{module} may use {name} but does not")));
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn layers_have_no_cycles() {
    for (position, (module, allowed)) in LAYERS.iter().enumerate() {
        let below: Vec<_> = LAYERS[..position].iter().map(|(name, _)| *name).collect();
        for name in *allowed {
            assert!(below.contains(name), "{module} uses {name}, which is not below it");
        }
    }
}

#[test]
fn files_of_http_have_no_cycles() {
    let mut faults = Vec::new();
    for source in sources().into_iter().filter(|it| it.module() == "http" && !it.is_test()) {
        let own = source.part(1);
        if own == "mod" {
            continue;
        }
        let layer = |name: &str| HTTP_LAYERS.iter().position(|it| *it == name);
        let own_layer = layer(own).unwrap_or_else(|| panic!("{own} has no layer"));
        for name in named(&source.text, "crate::http::") {
            let defined = HTTP_NAMES.iter().find(|(_, names)| names.contains(&name));
            let name = defined.map_or(name, |(file, _)| *file);
            let used = layer(name).unwrap_or_else(|| panic!("{name} has no layer"));
            if used > own_layer {
                faults.push(format!("{} uses {name}", source.path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn crates_are_used_only_in_their_modules() {
    let mut faults = Vec::new();
    for source in sources() {
        for (name, allowed) in RESTRICTED_NAMES {
            if source.text.contains(name) && !allowed.contains(&source.module()) {
                faults.push(format!("{} contains {name}", source.path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_rules_of_the_game_have_no_side_effects() {
    let rules: Vec<_> =
        sources().into_iter().filter(|it| it.module() == "domain" && !it.is_test()).collect();
    assert!(rules.len() > 10, "only {} files were found", rules.len());
    for source in rules {
        // The tests at the end of a file may use these names.
        let rules = source.text.split("#[cfg(test)]").next().expect("a part");
        for name in IMPURE {
            assert!(!rules.contains(name), "{} contains {name}", source.path.display());
        }
    }
}

#[test]
fn every_statement_names_its_function_and_is_used() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rust: String = sources().into_iter().map(|source| source.text).collect();
    for folder in fs::read_dir(root.join("sql/queries")).expect("a folder") {
        for file in fs::read_dir(folder.expect("an entry").path()).expect("a folder") {
            let path = file.expect("an entry").path();
            let text = fs::read_to_string(&path).expect("text");
            let shown = path.strip_prefix(root).expect("below the root").display().to_string();
            assert!(text.starts_with("-- store::"), "{shown} does not name its function");
            assert!(rust.contains(&shown), "{shown} is not used");
        }
    }
}
