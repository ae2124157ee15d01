//! The response headers `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers).

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::limit::{Limiter, Policy, Quota, Verdict};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// For each policy, `RateLimit` values for up to this many remaining tokens are rendered at start. Other values are
/// rendered for each response.
const MAX_RENDERED: u32 = 1024;

/// The rate limiter, and its headers rendered in advance.
#[derive(Debug)]
pub struct Limits {
    pub limiter: Arc<Limiter>,
    texts: [Option<Texts>; Policy::ALL.len()],
}

/// The rendered headers of a policy.
#[derive(Debug)]
struct Texts {
    quota: Quota,
    policy: HeaderValue,
    /// Values of `RateLimit`, indexed by the remaining tokens.
    left: Vec<HeaderValue>,
}

impl Limits {
    /// Renders the headers of every policy.
    pub fn new(limiter: Arc<Limiter>) -> Self {
        let texts = Policy::ALL.map(|policy| {
            let quota = limiter.quota(policy)?;
            let left = (0..=quota.burst.min(MAX_RENDERED))
                .map(|left| text(&remaining_text(policy, quota, left)));
            Some(Texts { quota, policy: text(&policy_text(policy, quota)), left: left.collect() })
        });
        Self { limiter, texts }
    }

    /// Writes the results of rate limit checks into response headers.
    pub fn write(&self, headers: &mut HeaderMap, verdicts: &[Verdict]) {
        if let [verdict] = verdicts
            && verdict.is_allowed()
            && let Some(texts) = &self.texts[verdict.policy.index()]
            && let Some(left) = texts.left.get(verdict.remaining as usize)
        {
            headers.append(POLICY, texts.policy.clone());
            headers.append(LIMIT, left.clone());
            return;
        }
        let (mut policies, mut limits) = (String::new(), String::new());
        for verdict in verdicts {
            let Some(texts) = &self.texts[verdict.policy.index()] else { continue };
            let separator = if policies.is_empty() { "" } else { ", " };
            let limit = verdict.retry_after.map_or_else(
                || remaining_text(verdict.policy, texts.quota, verdict.remaining),
                |wait| limit_text(verdict.policy, verdict.remaining, whole_seconds(wait)),
            );
            // Writing to a `String` cannot fail.
            let _ = write!(policies, "{separator}{}", policy_text(verdict.policy, texts.quota));
            let _ = write!(limits, "{separator}{limit}");
        }
        headers.insert(POLICY, text(&policies));
        headers.insert(LIMIT, text(&limits));
    }
}

fn text(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn policy_text(policy: Policy, quota: Quota) -> String {
    let window = whole_seconds(Duration::from_nanos(quota.full()));
    format!("\"{}\";q={};w={window}", policy.name(), quota.burst)
}

/// The item for `left` remaining tokens. Its `t` is the time until the bucket is full again without further requests.
fn remaining_text(policy: Policy, quota: Quota, left: u32) -> String {
    let missing = Duration::from_nanos(quota.worth(quota.burst.saturating_sub(left)));
    limit_text(policy, left, whole_seconds(missing))
}

fn limit_text(policy: Policy, left: u32, seconds: u64) -> String {
    format!("\"{}\";r={left};t={seconds}", policy.name())
}

/// The duration in seconds, rounded up.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_structured_fields() {
        let quota = Quota::per_second(10, 20).expect("a limit");
        assert_eq!(policy_text(Policy::Player, quota), "\"player\";q=20;w=2");
        assert_eq!(remaining_text(Policy::Player, quota, 19), "\"player\";r=19;t=1");
        assert_eq!(remaining_text(Policy::Player, quota, 20), "\"player\";r=20;t=0");
        let quota = Quota::per_minute(30).expect("a limit");
        assert_eq!(policy_text(Policy::Auth, quota), "\"auth\";q=30;w=60");
        assert_eq!(remaining_text(Policy::Auth, quota, 0), "\"auth\";r=0;t=60");
    }
}
