//! Tests of the rate limits.

mod http_calls;
mod instance_shares;
mod late_redis_answers;
mod local_limiter;
mod many_instances;
mod models;
mod redis_bucket;
mod sign_in_limits;
mod simulated_late_answers;
mod simulation;

use crate::support::TestApp;

/// The default limits of the server. Other tests run with higher limits, so that they never reach one.
const DEFAULT_LIMITS: [(&str, &str); 4] = [
    ("RATE_LIMIT_PER_SECOND", "10"),
    ("RATE_LIMIT_BURST", "20"),
    ("RATE_LIMIT_AUTH_PER_MINUTE", "30"),
    ("RATE_LIMIT_LOGIN_PER_USERNAME_PER_MINUTE", "20"),
];

/// An instance's count of decisions, from its metrics.
fn decision_count(app: &TestApp, policy: &str, store: &str, outcome: &str) -> u64 {
    let text = String::from_utf8(app.server.metrics.render().expect("text")).expect("UTF-8");
    let name = format!(
        "rate_limit_decisions_total{{outcome=\"{outcome}\",policy=\"{policy}\",store=\"{store}\"}} "
    );
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    line.expect("the count").parse().expect("a number")
}
