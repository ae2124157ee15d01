//! What an instance decides while Redis is late or away.

use super::{Decision, LEASE_NANOS, Lease, Phase};
use crate::limit::contact::{AWAY_NANOS, Link};
use crate::limit::policy::Quota;
use crate::limit::share::Share;

impl Lease {
    /// Decides on a call of `cost` tokens for which Redis has no answer in time.
    pub fn decide_late(
        &mut self,
        quota: Quota,
        share: Share,
        link: Link,
        now: u64,
        cost: u32,
    ) -> Decision {
        if let Some(since) = self.away_since(link, now) {
            return Decision::Away { missing: self.hand_over(quota, share, since, now) };
        }
        if self.unanswered == 0 {
            self.unanswered = now.max(1);
        }
        let credit = self.credit(quota, share, now);
        if credit >= cost {
            self.debt += cost;
            return Decision::Credited { level: quota.worth(credit - cost) };
        }
        let until = if self.phase == Phase::Idle { link.away_at } else { None };
        let until = until.unwrap_or(self.asked + AWAY_NANOS);
        Decision::Exhausted { wait: until.saturating_sub(now) }
    }

    /// As [`Lease::decide_late`], for the call that has asked: if the question took a token, it is that call's.
    pub fn decide_asker(
        &mut self,
        quota: Quota,
        share: Share,
        link: Link,
        now: u64,
        cost: u32,
    ) -> Decision {
        let pending = self.pending;
        self.pending = pending.saturating_sub(cost);
        let decision = self.decide_late(quota, share, link, now, cost);
        match decision {
            Decision::Credited { .. } => self.advanced = cost,
            Decision::Exhausted { .. } => self.pending = pending,
            _ => {}
        }
        decision
    }

    /// Tokens that may still be let through on credit.
    pub(super) fn credit(&mut self, quota: Quota, share: Share, now: u64) -> u32 {
        let room = share.part.saturating_sub(self.debt);
        let Some(since) = share.alone_since else {
            return if share.reserve >= share.part { room } else { 0 };
        };
        if self.heard < since {
            // Others may have emptied the bucket before.
            self.level = quota.full().min(now.saturating_sub(since));
            (self.others, self.at, self.heard, self.refused) = (0, now, now, false);
        }
        self.advance(quota, now);
        let certain =
            self.level.saturating_sub(quota.worth(self.pending.saturating_add(self.debt)));
        room.min(quota.tokens(certain))
    }

    /// Since when Redis counts as away, for this bucket at least: in a cluster one server may be.
    pub(super) fn away_since(&self, link: Link, now: u64) -> Option<u64> {
        if self.local {
            return Some(now);
        }
        let own = (self.unanswered > 0).then_some(self.unanswered + AWAY_NANOS);
        link.away_at.into_iter().chain(own).min().filter(|&since| now >= since)
    }

    /// Begins to keep the bucket in this process, and tells what is missing in it. It begins with what this instance knew
    /// to be in Redis, a full bucket where it knew nothing, divided by the number of instances, and has been filling at
    /// the rate since Redis is away.
    fn hand_over(&mut self, quota: Quota, share: Share, since: u64, now: u64) -> u64 {
        if self.local {
            return 0;
        }
        let known = match self.heard {
            0 => quota.full(),
            _ => quota.full().min(self.whole(quota) + since.saturating_sub(self.at)),
        };
        let level = known / u64::from(share.instances.max(1)) + now.saturating_sub(since);
        let level = quota.full().min(level).saturating_sub(quota.worth(self.debt));
        let Self { asked, unanswered, phase, .. } = *self;
        let fades_at = now + quota.full().max(LEASE_NANOS);
        *self = Self { asked, unanswered, phase, local: true, fades_at, ..Self::default() };
        quota.full() - level
    }

    /// Whether this process keeps the bucket by itself. What is missing there is charged with the next question.
    pub fn is_local(&self) -> bool {
        self.local
    }
}
