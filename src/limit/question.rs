//! The request to Redis about a bucket, and its answer.

use std::sync::LazyLock;

use redis::{RedisResult, Script};

use super::policy::Quota;
use crate::redis_client::Connection;

/// The script that takes tokens: one key, one round trip, on Redis' clock.
pub const BUCKET_SCRIPT: &str = include_str!("bucket.lua");

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(BUCKET_SCRIPT));

/// How long Redis counts a leased token as one that may be spent.
pub const LEASE_MICROS: u64 = 5_000_000;

/// The arguments of `bucket.lua`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The cost of the call.
    pub cost: u32,
    /// The debt that is paid.
    pub debt: u32,
    pub lot: u32,
    pub stamp: u64,
    pub unspent: u32,
    pub reckoned: u64,
    /// Tokens that must be left in the bucket.
    pub reserve: u32,
}

impl Question {
    /// Tokens that must be available.
    pub fn need(&self) -> u32 {
        self.cost + self.debt
    }
}

/// The result of `bucket.lua`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub taken: bool,
    pub level: u64,
    pub others: u64,
    pub lease: u32,
    pub version: u64,
    pub wait: u64,
}

impl Answer {
    /// The part of the bucket that is available to calls at this instance.
    pub fn left(&self, quota: Quota, reserve: u32) -> u64 {
        (self.level + quota.worth(self.lease)).saturating_sub(quota.worth(reserve))
    }
}

/// Runs the script. It outlives the call that asks, so it owns what it needs.
pub(super) async fn take(
    mut connection: Connection,
    name: String,
    quota: Quota,
    question: Question,
) -> RedisResult<Answer> {
    let Question { lot, stamp, unspent, reckoned, reserve, .. } = question;
    let mut call = SCRIPT.key(name);
    call.arg(quota.interval).arg(quota.burst).arg(question.need()).arg(lot).arg(stamp);
    call.arg(unspent).arg(reckoned).arg(LEASE_MICROS).arg(reserve);
    let (taken, level, others, lease, version, wait) = call.invoke_async(&mut connection).await?;
    Ok(Answer { taken, level, others, lease, version, wait })
}
