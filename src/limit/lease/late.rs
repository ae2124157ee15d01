//! Decisions of an instance while Redis is late or unavailable.

use super::{Decision, LEASE_NANOS, Lease, Phase};
use crate::limit::contact::{AWAY_NANOS, Link};
use crate::limit::policy::Quota;
use crate::limit::share::Share;

impl Lease {
    /// Decides on a call of `cost` tokens whose answer from Redis is late.
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
            self.unanswered = if self.phase == Phase::Idle { now } else { self.asked }.max(1);
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

    /// As [`Lease::decide_late`], for the call that sent the request: tokens that the request takes belong to this
    /// call.
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
            // Other instances may have emptied the bucket before.
            self.level = quota.full().min(now.saturating_sub(since));
            (self.others, self.at, self.heard, self.refused) = (0, now, now, false);
        }
        self.advance(quota, now);
        let certain =
            self.level.saturating_sub(quota.worth(self.pending.saturating_add(self.debt)));
        room.min(quota.tokens(certain))
    }

    /// Since when Redis counts as unavailable for this bucket: in a cluster a single server may be.
    pub(super) fn away_since(&self, link: Link, now: u64) -> Option<u64> {
        if self.local {
            return Some(now);
        }
        let own = (self.unanswered > 0).then_some(self.unanswered + AWAY_NANOS);
        link.away_at.into_iter().chain(own).min().filter(|&since| now >= since)
    }

    /// Begins to keep the bucket in this process, and returns the missing nanoseconds of refill. It begins with the
    /// tokens that this instance knew to be in Redis (a full bucket if it knew nothing), divided by the number of
    /// instances, and has been filling since Redis is unavailable.
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

    /// Whether this process keeps the bucket. What is missing in it is charged with the next request.
    pub fn is_local(&self) -> bool {
        self.local
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::question::{Answer, Question};

    const MILLI: u64 = 1_000_000;

    fn quota() -> Quota {
        Quota::per_second(10, 20).expect("a limit")
    }

    /// One instance of three.
    const SHARE: Share = Share { reserve: 3, part: 1, alone_since: None, instances: 3 };

    const UP: Link = Link { is_up: true, is_paused: false, away_at: None };

    fn taken(level: u64) -> Answer {
        Answer { taken: true, level, others: 0, lease: 0, version: 1, wait: 0 }
    }

    /// A bucket that sent a request for one call at `now`, whose answer is late.
    fn late(share: Share, now: u64) -> (Lease, Question) {
        let mut lease = Lease::default();
        assert_eq!(lease.decide(quota(), share, UP, now, 1), Decision::Ask);
        let question = lease.question(quota(), share, now, 1, 5, 0);
        assert_eq!(lease.decide(quota(), share, UP, now, 1), Decision::Wait);
        lease.overdue();
        (lease, question)
    }

    #[test]
    fn as_much_as_its_part_is_let_through_on_credit() {
        let (mut lease, _) = late(SHARE, 1);
        let decision = lease.decide_asker(quota(), SHARE, UP, 16 * MILLI, 1);
        assert_eq!(decision, Decision::Credited { level: 0 });
        let decision = lease.decide(quota(), SHARE, UP, 17 * MILLI, 1);
        assert_eq!(decision, Decision::Exhausted { wait: AWAY_NANOS - 17 * MILLI + 1 });
    }

    #[test]
    fn a_late_answer_pays_for_the_call_that_did_without_it() {
        let (mut lease, question) = late(SHARE, 1);
        lease.decide_asker(quota(), SHARE, UP, 16 * MILLI, 1);
        assert_eq!(lease.debt(), 1);
        lease.learn(quota(), question, taken(quota().worth(19)), 1, 200 * MILLI);
        assert_eq!(lease.debt(), 0);
    }

    #[test]
    fn a_late_answer_to_a_call_that_was_not_let_through_pays_for_no_other() {
        let (mut lease, question) = late(SHARE, 1);
        let decision = lease.decide(quota(), SHARE, UP, 16 * MILLI, 1);
        assert_eq!(decision, Decision::Credited { level: 0 });
        lease.learn(quota(), question, taken(quota().worth(19)), 1, 200 * MILLI);
        assert_eq!(lease.debt(), 1);
    }

    #[test]
    fn a_debt_is_kept_until_it_is_paid() {
        let (mut lease, _) = late(SHARE, 1);
        lease.decide_asker(quota(), SHARE, UP, 16 * MILLI, 1);
        lease.give_up(quota());
        // Neither a lost answer nor a refusal pays.
        let question = lease.payment(quota(), SHARE, 20 * MILLI, 0).expect("a debt");
        assert_eq!((question.cost, question.need()), (0, 1));
        lease.give_up(quota());
        let question = lease.question(quota(), SHARE, 30 * MILLI, 1, 0, 0);
        assert_eq!(question.need(), 2);
        let refused = Answer { taken: false, ..taken(quota().worth(4)) };
        lease.learn(quota(), question, refused, 30 * MILLI, 31 * MILLI);
        assert_eq!(lease.debt(), 1);
        let question = lease.question(quota(), SHARE, 140 * MILLI, 1, 0, 0);
        lease.learn(quota(), question, taken(quota().worth(3)), 140 * MILLI, 141 * MILLI);
        assert_eq!(lease.debt(), 0);
        assert_eq!(lease.payment(quota(), SHARE, 150 * MILLI, 0), None);
    }

    #[test]
    fn whoever_is_alone_lets_through_what_is_in_the_bucket_for_certain() {
        let share = Share { reserve: 0, part: 5, alone_since: Some(1), instances: 1 };
        // Three tokens were refilled since the instance is alone; earlier instances may have left none.
        let (mut lease, _) = late(share, 310 * MILLI);
        let decide =
            |lease: &mut Lease, millis: u64| lease.decide(quota(), share, UP, millis * MILLI, 1);
        let decision = lease.decide_asker(quota(), share, UP, 326 * MILLI, 1);
        assert!(matches!(decision, Decision::Credited { .. }), "{decision:?}");
        for _ in 0..2 {
            let decision = decide(&mut lease, 330);
            assert!(matches!(decision, Decision::Credited { .. }), "{decision:?}");
        }
        let decision = decide(&mut lease, 330);
        assert!(matches!(decision, Decision::Exhausted { .. }), "{decision:?}");
        // From then on the refill.
        let decision = decide(&mut lease, 410);
        assert!(matches!(decision, Decision::Credited { .. }), "{decision:?}");
    }

    #[test]
    fn a_bucket_that_is_kept_here_begins_with_an_instances_share_of_what_was_known() {
        let quota = quota();
        let away = Link { is_up: false, is_paused: false, away_at: Some(500 * MILLI) };
        // Nothing was known.
        let mut lease = Lease::default();
        let decision = lease.decide(quota, SHARE, away, 500 * MILLI, 1);
        assert_eq!(decision, Decision::Away { missing: quota.full() - quota.full() / 3 });
        assert_eq!(lease.decide(quota, SHARE, away, 600 * MILLI, 1), Decision::Away { missing: 0 });
        // It has been filling since Redis is unavailable.
        let mut lease = Lease::default();
        let decision = lease.decide(quota, SHARE, away, 800 * MILLI, 1);
        let level = quota.full() / 3 + 300 * MILLI;
        assert_eq!(decision, Decision::Away { missing: quota.full() - level });
        // It was empty at Redis' last answer, and calls were let through since.
        let mut lease = Lease::default();
        let question = lease.question(quota, SHARE, 100 * MILLI, 1, 0, 0);
        let answer = taken(quota.worth(2));
        lease.learn(quota, question, answer, 100 * MILLI, 200 * MILLI);
        let down = Link { away_at: Some(500 * MILLI), ..away };
        let decision = lease.decide(quota, SHARE, down, 300 * MILLI, 1);
        assert_eq!(decision, Decision::Credited { level: 0 });
        let decision = lease.decide(quota, SHARE, away, 500 * MILLI, 1);
        let level = (quota.worth(2) + 300 * MILLI) / 3 - quota.worth(1);
        assert_eq!(decision, Decision::Away { missing: quota.full() - level });
        assert_eq!(lease.debt(), 0, "it is missing in the bucket that is kept here");
    }

    #[test]
    fn what_is_missing_in_the_bucket_that_was_kept_here_is_charged_to_the_one_in_redis() {
        let quota = quota();
        let away = Link { is_up: false, is_paused: false, away_at: Some(0) };
        let mut lease = Lease::default();
        lease.decide(quota, SHARE, away, 1, 1);
        assert!(lease.is_local());
        assert_eq!(lease.decide(quota, SHARE, UP, 2, 1), Decision::Ask);
        assert_eq!(lease.question(quota, SHARE, 2, 1, 5, 6).need(), 7);
        assert!(!lease.is_local());
        // A larger debt than a request can pay could never be paid at once.
        let mut lease = Lease::default();
        assert_eq!(lease.question(quota, SHARE, 2, 1, 5, 20).need(), 17);
        assert_eq!(lease.debt(), 20);
    }

    #[test]
    fn a_bucket_whose_question_is_without_an_answer_for_a_second_is_kept_here() {
        let (mut lease, _) = late(SHARE, 1);
        lease.give_up(quota());
        let paused = Link { is_paused: true, ..UP };
        let decision = lease.decide(quota(), SHARE, paused, AWAY_NANOS, 1);
        assert_eq!(decision, Decision::Credited { level: 0 });
        let decision = lease.decide(quota(), SHARE, paused, AWAY_NANOS + 1, 1);
        assert!(matches!(decision, Decision::Away { .. }), "{decision:?}");
    }
}
