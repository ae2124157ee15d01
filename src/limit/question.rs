//! The arguments and the result of the script that takes tokens from a bucket in Redis.

use std::sync::LazyLock;

use redis::{RedisResult, Script};

use super::policy::Quota;
use crate::redis_client::Connection;

/// The script that takes tokens. It uses one key and the clock of Redis, and needs one round trip.
pub const BUCKET_SCRIPT: &str = include_str!("bucket.lua");

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(BUCKET_SCRIPT));

/// How long Redis counts a leased token as leased.
pub const LEASE_MICROS: u64 = 5_000_000;

/// The arguments of `bucket.lua`, which describes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The cost of the call in tokens.
    pub cost: u32,
    /// The debt that the request pays, in tokens.
    pub debt: u32,
    pub lease_wanted: u32,
    pub stamp: u64,
    pub unspent: u32,
    pub expected_level: u64,
    /// Tokens that must be left in the bucket.
    pub reserve: u32,
}

impl Question {
    /// Tokens that must be available.
    pub fn need(&self) -> u32 {
        self.cost + self.debt
    }
}

/// The result of `bucket.lua`, which describes it.
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

/// Runs the script. The future may outlive the call that created it, so it owns its arguments.
pub(super) async fn take(
    mut connection: Connection,
    name: String,
    quota: Quota,
    question: Question,
) -> RedisResult<Answer> {
    let Question { lease_wanted, stamp, unspent, expected_level, reserve, .. } = question;
    let mut call = SCRIPT.key(name);
    call.arg(quota.interval).arg(quota.burst).arg(question.need()).arg(lease_wanted).arg(stamp);
    call.arg(unspent).arg(expected_level).arg(LEASE_MICROS).arg(reserve);
    let (taken, level, others, lease, version, wait) = call.invoke_async(&mut connection).await?;
    Ok(Answer { taken, level, others, lease, version, wait })
}
