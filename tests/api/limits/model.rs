//! What the buckets are compared with: the plain token bucket, and `bucket.lua` in Rust.

use idlewatt::limit::Quota;
use idlewatt::limit::lease::{Answer, LEASE_MICROS, Question};

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

    /// What is in it.
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

/// The bucket in Redis. Times are microseconds, as Redis tells them.
#[derive(Clone, Debug, Default)]
pub struct Bucket {
    version: u64,
    amount: u64,
    /// Id and tokens, oldest first.
    leases: Vec<(u64, u32)>,
    /// When Redis forgets it, in milliseconds from the last change on.
    pub lives: u64,
}

impl Bucket {
    /// What the script does.
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
            let most = question.reckoned.min(before + own + since * 1000).min(full - leased);
            amount = amount.max(most);
        }
        let others = leased;
        let need = quota.worth(question.need());
        let taken = amount >= need;
        let (mut lease, mut wait) = (0, 0);
        if taken {
            amount -= need;
            let half = amount / quota.interval / 2;
            let room = u64::from(quota.burst / 2).saturating_sub(leased / quota.interval);
            lease = u64::from(question.lot).min(half).min(room) as u32;
            amount -= quota.worth(lease);
        } else {
            wait = patience(&kept, quota, (now, amount, leased), need);
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

/// Nanoseconds until `need` is there, if nobody comes and all leases lapse.
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
