//! Models of buckets: a plain token bucket, and the bucket script of Redis (`bucket.lua`) in Rust.

use idlewatt::limit::question::{Answer, LEASE_MICROS, Question};
use idlewatt::limit::share::{Peers, Presence, SETTLING_NANOS, Share};
use idlewatt::limit::{Policy, Quota, Quotas};

use proptest::prelude::*;

/// A plain token bucket. Amounts and times are nanoseconds.
#[derive(Clone, Debug)]
pub struct PlainBucket {
    quota: Quota,
    level: u64,
    at: u64,
}

impl PlainBucket {
    pub fn new(quota: Quota, now: u64) -> Self {
        Self { quota, level: quota.full(), at: now }
    }

    /// The amount in the bucket.
    pub fn level(&self, now: u64) -> u64 {
        self.quota.full().min(self.level + (now - self.at))
    }

    /// Takes all of `cost` tokens or none.
    pub fn take(&mut self, now: u64, cost: u32) -> bool {
        (self.level, self.at) = (self.level(now), now);
        let worth = self.quota.worth(cost);
        let enough = self.level >= worth;
        self.level -= if enough { worth } else { 0 };
        enough
    }
}

/// The bucket in Redis. Times are microseconds, as in Redis.
#[derive(Clone, Debug, Default)]
pub struct Bucket {
    version: u64,
    amount: u64,
    /// The id and the tokens of each lease, oldest first.
    leases: Vec<(u64, u32)>,
    /// Milliseconds from the last change until Redis deletes the bucket.
    pub lifetime_millis: u64,
}

impl Bucket {
    /// Answers as the script does.
    pub fn ask(&mut self, quota: Quota, now: u64, question: Question) -> Answer {
        let full = quota.full();
        let found = self.version;
        let mut at = if found == 0 { now } else { found };
        let now = now.max(at);
        let before = if found == 0 { full } else { self.amount };
        let since = now - at;
        let mut amount = before;
        let mut leased: u64 = self.leases.iter().map(|it| quota.worth(it.1)).sum();
        let mut own_lease = 0;
        let mut kept = Vec::new();
        for &(id, tokens) in &self.leases {
            if id == question.stamp {
                own_lease = quota.worth(tokens);
            }
            if id + LEASE_MICROS <= now {
                let until = at.max(id + LEASE_MICROS);
                amount = (full - leased).min(amount + (until - at) * 1000);
                at = until;
                leased -= quota.worth(tokens);
            } else {
                kept.push((id, tokens));
            }
        }
        amount = (full - leased).min(amount + (now - at) * 1000);
        let mut returned = false;
        if let Some(place) = kept.iter().position(|it| it.0 == question.stamp) {
            let (_, tokens) = kept.remove(place);
            leased -= quota.worth(tokens);
            amount = (full - leased).min(amount + quota.worth(question.unspent.min(tokens)));
            returned = true;
        }
        if found > 0 && found == question.stamp {
            let most =
                question.expected_level.min(before + own_lease + since * 1000).min(full - leased);
            amount = amount.max(most);
        }
        let others = leased;
        let (need, reserve) = (quota.worth(question.need()), quota.worth(question.reserve));
        let taken = amount >= need + reserve;
        let (mut lease, mut wait) = (0, 0);
        if taken {
            amount -= need;
            let half = (amount - reserve) / quota.interval / 2;
            let room = u64::from(quota.burst / 2).saturating_sub(leased / quota.interval);
            lease = u64::from(question.lease_wanted).min(half).min(room) as u32;
            amount -= quota.worth(lease);
        } else {
            wait = wait_nanos(&kept, quota, (now, amount, leased), need + reserve);
        }
        if taken || returned {
            self.version = now.max(found + 1);
            if lease > 0 {
                kept.push((self.version, lease));
            }
            self.lifetime_millis = ((full - amount) / 1_000_000) + 1;
            self.lifetime_millis += kept.last().map_or(0, |it| (it.0 + LEASE_MICROS - now) / 1000);
            (self.amount, self.leases) = (amount, kept);
        }
        Answer { taken, level: amount, others, lease, version: self.version, wait }
    }
}

/// Nanoseconds until the bucket has `need`, if no call takes tokens and all leases lapse.
fn wait_nanos(kept: &[(u64, u32)], quota: Quota, from: (u64, u64, u64), need: u64) -> u64 {
    let (now, mut level, mut leased) = from;
    let mut later = now;
    for &(id, tokens) in kept {
        if quota.full() - leased >= need {
            break;
        }
        let lapse = id + LEASE_MICROS;
        level = (quota.full() - leased).min(level + (lapse - later) * 1000);
        later = lapse;
        leased -= quota.worth(tokens);
    }
    (later - now) * 1000 + need - level
}

/// What an instance may do with buckets that `instances` instances have shared for a long time. A single instance has
/// been alone since `now`.
pub fn share(quota: Quota, instances: usize, now: u64) -> Share {
    let instances = u32::try_from(instances).expect("few");
    let mut peers = Peers::new(Quotas::default().with(Policy::Player, Some(quota)));
    for number in 0..3 {
        let presence = Presence { instances, youngest_age: SETTLING_NANOS, known: number > 0 };
        peers.update(now + number * (SETTLING_NANOS + quota.full()), presence);
    }
    peers.share(Policy::Player)
}

/// Checks that in no interval more was spent than the bucket's depth and what was refilled. `spent` has the times, in
/// nanoseconds, and the tokens.
pub fn check_every_interval(quota: Quota, spent: &mut [(u64, u32)]) -> Result<(), TestCaseError> {
    // A request's tokens count as spent when Redis takes them. That may be after a later call to another instance, so
    // the times are not in order.
    spent.sort_unstable();
    for (from, &(start, _)) in spent.iter().enumerate() {
        let mut total = 0;
        for &(at, tokens) in &spent[from..] {
            total += quota.worth(tokens);
            let most = quota.full() + (at - start);
            // For each change in the same microsecond, the version is another microsecond ahead of the clock.
            let slack = 1000 * (spent.len() as u64);
            prop_assert!(total <= most + slack, "{} > {}", total, most);
        }
    }
    Ok(())
}
