//! Decisions while Redis is late or unavailable.

use super::{Decision, LEASE_NANOS, Lease, Phase};
use crate::limit::contact::{Link, UNAVAILABLE_AFTER_NANOS};
use crate::limit::policy::Quota;
use crate::limit::share::Share;

impl Lease {
    /// Decides on a call of `cost` tokens without an answer from Redis, which is late or unavailable.
    pub fn decide_late(
        &mut self,
        quota: Quota,
        share: Share,
        link: Link,
        now: u64,
        cost: u32,
    ) -> Decision {
        if let Some(since) = self.unavailable_since(link, now) {
            return Decision::Unavailable {
                missing: self.switch_to_local(quota, share, since, now),
            };
        }
        if self.unanswered == 0 {
            self.unanswered = if self.phase == Phase::Idle { now } else { self.asked }.max(1);
        }
        let credit = self.credit(quota, share, now);
        if credit >= cost {
            self.debt += cost;
            return Decision::Credited { level: quota.worth(credit - cost) };
        }
        let until = if self.phase == Phase::Idle { link.unavailable_at } else { None };
        let until = until.unwrap_or(self.asked + UNAVAILABLE_AFTER_NANOS);
        Decision::Exhausted { wait: until.saturating_sub(now) }
    }

    /// Like [`Lease::decide_late`], for the call that sent the request: the tokens that the request takes are for this
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
            Decision::Credited { .. } => self.asker_credit = cost,
            Decision::Exhausted { .. } => self.pending = pending,
            _ => {}
        }
        decision
    }

    /// Tokens that may still be spent on credit.
    pub(super) fn credit(&mut self, quota: Quota, share: Share, now: u64) -> u32 {
        let room = share.part.saturating_sub(self.debt);
        let Some(since) = share.alone_since else {
            return if share.reserve >= share.part { room } else { 0 };
        };
        if self.heard < since {
            // Other instances may have emptied the bucket before this instance was alone.
            self.level = quota.full().min(now.saturating_sub(since));
            (self.others, self.at, self.heard, self.refused) = (0, now, now, false);
        }
        self.advance(quota, now);
        let certain =
            self.level.saturating_sub(quota.worth(self.pending.saturating_add(self.debt)));
        room.min(quota.tokens(certain))
    }

    /// Since when Redis counts as unavailable for this bucket; `None` if it is available. In a cluster only the node of
    /// this bucket may be unavailable.
    pub(super) fn unavailable_since(&self, link: Link, now: u64) -> Option<u64> {
        if self.local {
            return Some(now);
        }
        let own = (self.unanswered > 0).then_some(self.unanswered + UNAVAILABLE_AFTER_NANOS);
        link.unavailable_at.into_iter().chain(own).min().filter(|&since| now >= since)
    }

    /// Switches to the bucket of this process, and returns how many nanoseconds it needs to be full. Its initial level
    /// is the last known level in Redis (a full bucket if none is known), divided by the number of instances, plus the
    /// refill since Redis has been unavailable, minus the debt.
    fn switch_to_local(&mut self, quota: Quota, share: Share, since: u64, now: u64) -> u64 {
        if self.local {
            return 0;
        }
        let known = match self.heard {
            0 => quota.full(),
            _ => quota.full().min(self.total(quota) + since.saturating_sub(self.at)),
        };
        let level = known / u64::from(share.instances.max(1)) + now.saturating_sub(since);
        let level = quota.full().min(level).saturating_sub(quota.worth(self.debt));
        let Self { asked, unanswered, phase, .. } = *self;
        let forgettable_at = now + quota.full().max(LEASE_NANOS);
        *self = Self { asked, unanswered, phase, local: true, forgettable_at, ..Self::default() };
        quota.full() - level
    }

    /// Whether the bucket of this process is used. The tokens that it needs to be full are charged to the bucket in
    /// Redis by the next request.
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

    const UP: Link = Link { is_up: true, is_paused: false, unavailable_at: None };

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
    fn credit_is_limited_to_the_part() {
        let (mut lease, _) = late(SHARE, 1);
        let decision = lease.decide_asker(quota(), SHARE, UP, 16 * MILLI, 1);
        assert_eq!(decision, Decision::Credited { level: 0 });
        let decision = lease.decide(quota(), SHARE, UP, 17 * MILLI, 1);
        assert_eq!(
            decision,
            Decision::Exhausted { wait: UNAVAILABLE_AFTER_NANOS - 17 * MILLI + 1 }
        );
    }

    #[test]
    fn a_late_answer_pays_for_the_call_that_was_admitted_on_credit() {
        let (mut lease, question) = late(SHARE, 1);
        lease.decide_asker(quota(), SHARE, UP, 16 * MILLI, 1);
        assert_eq!(lease.debt(), 1);
        lease.learn(quota(), question, taken(quota().worth(19)), 1, 200 * MILLI);
        assert_eq!(lease.debt(), 0);
    }

    #[test]
    fn a_late_answer_does_not_pay_for_other_calls() {
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
        // Neither a lost answer nor a refusal pays the debt.
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
    fn a_single_instance_spends_on_credit_what_is_certainly_in_the_bucket() {
        let share = Share { reserve: 0, part: 5, alone_since: Some(1), instances: 1 };
        // Three tokens were refilled since the instance has been alone; earlier instances may have emptied the bucket.
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
        // After that, only the refill can be spent.
        let decision = decide(&mut lease, 410);
        assert!(matches!(decision, Decision::Credited { .. }), "{decision:?}");
    }

    #[test]
    fn a_local_bucket_begins_with_this_instances_share_of_the_known_level() {
        let quota = quota();
        let away = Link { is_up: false, is_paused: false, unavailable_at: Some(500 * MILLI) };
        // Nothing was known.
        let mut lease = Lease::default();
        let decision = lease.decide(quota, SHARE, away, 500 * MILLI, 1);
        assert_eq!(decision, Decision::Unavailable { missing: quota.full() - quota.full() / 3 });
        assert_eq!(
            lease.decide(quota, SHARE, away, 600 * MILLI, 1),
            Decision::Unavailable { missing: 0 }
        );
        // It has been refilled since Redis became unavailable.
        let mut lease = Lease::default();
        let decision = lease.decide(quota, SHARE, away, 800 * MILLI, 1);
        let level = quota.full() / 3 + 300 * MILLI;
        assert_eq!(decision, Decision::Unavailable { missing: quota.full() - level });
        // It had two tokens at the last answer, and a call was admitted on credit since.
        let mut lease = Lease::default();
        let question = lease.question(quota, SHARE, 100 * MILLI, 1, 0, 0);
        let answer = taken(quota.worth(2));
        lease.learn(quota, question, answer, 100 * MILLI, 200 * MILLI);
        let down = Link { unavailable_at: Some(500 * MILLI), ..away };
        let decision = lease.decide(quota, SHARE, down, 300 * MILLI, 1);
        assert_eq!(decision, Decision::Credited { level: 0 });
        let decision = lease.decide(quota, SHARE, away, 500 * MILLI, 1);
        let level = (quota.worth(2) + 300 * MILLI) / 3 - quota.worth(1);
        assert_eq!(decision, Decision::Unavailable { missing: quota.full() - level });
        assert_eq!(lease.debt(), 0, "the debt is subtracted from the local bucket");
    }

    #[test]
    fn tokens_spent_from_the_local_bucket_are_charged_to_the_one_in_redis() {
        let quota = quota();
        let away = Link { is_up: false, is_paused: false, unavailable_at: Some(0) };
        let mut lease = Lease::default();
        lease.decide(quota, SHARE, away, 1, 1);
        assert!(lease.is_local());
        assert_eq!(lease.decide(quota, SHARE, UP, 2, 1), Decision::Ask);
        assert_eq!(lease.question(quota, SHARE, 2, 1, 5, 6).need(), 7);
        assert!(!lease.is_local());
        // A request pays only as much of a debt as can be in the bucket.
        let mut lease = Lease::default();
        assert_eq!(lease.question(quota, SHARE, 2, 1, 5, 20).need(), 17);
        assert_eq!(lease.debt(), 20);
    }

    #[test]
    fn the_local_bucket_is_used_after_a_second_without_an_answer() {
        let (mut lease, _) = late(SHARE, 1);
        lease.give_up(quota());
        let paused = Link { is_paused: true, ..UP };
        let decision = lease.decide(quota(), SHARE, paused, UNAVAILABLE_AFTER_NANOS, 1);
        assert_eq!(decision, Decision::Credited { level: 0 });
        let decision = lease.decide(quota(), SHARE, paused, UNAVAILABLE_AFTER_NANOS + 1, 1);
        assert!(matches!(decision, Decision::Unavailable { .. }), "{decision:?}");
    }
}
