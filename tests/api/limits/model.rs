//! Models of buckets: the plain token bucket, and `bucket.lua` in Rust.

use idlewatt::limit::question::{Answer, LEASE_MICROS, Question};
use idlewatt::limit::share::{Peers, Presence, SETTLING_NANOS, Share};
use idlewatt::limit::{Policy, Quota, Quotas};

use proptest::prelude::*;

/// The plain token bucket.
#[derive(Clone, Debug)]
pub struct Plain {
    quota: Quota,
    level: u64,
    at: u64,
}

impl Plain {
    pub fn new(quota: Quota, now: u64) -> Self {
        Self { quota, level: quota.full(), at: now }
    }

    /// The tokens in it.
    pub fn level(&self, now: u64) -> u64 {
        self.quota.full().min(self.level + (now - self.at))
    }

    /// Takes all of `cost` tokens or none.
    pub fn take(&mut self, now: u64, cost: u32) -> bool {
        (self.level, self.at) = (self.level(now), now);
        let worth = self.quota.worth(cost);
        let there = self.level >= worth;
        self.level -= if there { worth } else { 0 };
        there
    }
}

/// The bucket in Redis. Times are microseconds, as in Redis.
#[derive(Clone, Debug, Default)]
pub struct Bucket {
    version: u64,
    amount: u64,
    /// Id and tokens, oldest first.
    leases: Vec<(u64, u32)>,
    /// When Redis drops it, in milliseconds after the last change.
    pub lives: u64,
}

impl Bucket {
    /// Does what the script does.
    pub fn ask(&mut self, quota: Quota, now: u64, question: Question) -> Answer {
        let full = quota.full();
        let found = self.version;
        let mut at = if found == 0 { now } else { found };
        let now = now.max(at);
        let before = if found == 0 { full } else { self.amount };
        let since = now - at;
        let mut amount = before;
        let mut leased: u64 = self.leases.iter().map(|it| quota.worth(it.1)).sum();
        let mut own = 0;
        let mut kept = Vec::new();
        for &(id, tokens) in &self.leases {
            if id == question.stamp {
                own = quota.worth(tokens);
            }
            if id + LEASE_MICROS <= now {
                let till = at.max(id + LEASE_MICROS);
                amount = (full - leased).min(amount + (till - at) * 1000);
                at = till;
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
            let most = question.expected_level.min(before + own + since * 1000).min(full - leased);
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
            wait = patience(&kept, quota, (now, amount, leased), need + reserve);
        }
        if taken || returned {
            self.version = now.max(found + 1);
            if lease > 0 {
                kept.push((self.version, lease));
            }
            self.lives = ((full - amount) / 1_000_000) + 1;
            self.lives += kept.last().map_or(0, |it| (it.0 + LEASE_MICROS - now) / 1000);
            (self.amount, self.leases) = (amount, kept);
        }
        Answer { taken, level: amount, others, lease, version: self.version, wait }
    }
}

/// Nanoseconds until there are `need` tokens, if nobody calls and all leases lapse.
fn patience(kept: &[(u64, u32)], quota: Quota, from: (u64, u64, u64), need: u64) -> u64 {
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

/// What an instance may do with buckets that it has shared with so many for a long time. If it is alone, it is since
/// `now`.
pub fn share(quota: Quota, instances: usize, now: u64) -> Share {
    let instances = u32::try_from(instances).expect("few");
    let mut peers = Peers::new(Quotas::default().with(Policy::Player, Some(quota)));
    for number in 0..3 {
        let presence = Presence { instances, youngest_age: SETTLING_NANOS, known: number > 0 };
        peers.update(now + number * (SETTLING_NANOS + quota.full()), presence);
    }
    peers.share(Policy::Player)
}

/// In no interval was more spent than the depth and the refill. `spent` contains times, in nanoseconds, and tokens.
pub fn check_every_window(quota: Quota, spent: &mut [(u64, u32)]) -> Result<(), TestCaseError> {
    // The tokens of a request are spent at the time of Redis, which may be after that of a later call to another
    // instance.
    spent.sort_unstable();
    for (from, &(began, _)) in spent.iter().enumerate() {
        let mut sum = 0;
        for &(at, tokens) in &spent[from..] {
            sum += quota.worth(tokens);
            let most = quota.full() + (at - began);
            // The version is ahead of the clock by a microsecond if changes have the same one.
            let slack = 1000 * (spent.len() as u64);
            prop_assert!(sum <= most + slack, "{} > {}", sum, most);
        }
    }
    Ok(())
}
