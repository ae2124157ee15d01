//! Rate limits.

mod bucket;
mod calls;
mod credit;
mod instances;
mod late;
mod local;
mod model;
mod peers;
mod signing_in;
mod simulation;

use crate::support::TestApp;

/// The default limits; other tests have higher ones.
const LIMITED: [(&str, &str); 4] = [
    ("RATE_LIMIT_PER_SECOND", "10"),
    ("RATE_LIMIT_BURST", "20"),
    ("RATE_LIMIT_AUTH_PER_MINUTE", "30"),
    ("RATE_LIMIT_LOGIN_PER_USERNAME_PER_MINUTE", "20"),
];

/// How many decisions of that kind an instance has counted.
fn counted(app: &TestApp, policy: &str, store: &str, outcome: &str) -> u64 {
    let text = String::from_utf8(app.server.metrics.render().expect("text")).expect("UTF-8");
    let name = format!(
        "rate_limit_decisions_total{{outcome=\"{outcome}\",policy=\"{policy}\",store=\"{store}\"}} "
    );
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    line.expect("the count").parse().expect("a number")
}
