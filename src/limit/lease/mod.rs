//! An instance's state of one bucket in Redis: what it knows of the bucket, the tokens that it has leased, and its
//! debt. Times are nanoseconds on the instance's monotonic clock; amounts are nanoseconds of refill.
//!
//! A request to Redis is answered in time, late or never, and only its answer says which tokens it took. Calls that are
//! admitted without an answer are a debt, which the next request pays. The debt of an instance never exceeds its part
//! of the reserve ([`Share`]). No request takes tokens of the reserve for calls, so debts can always be paid. So all
//! instances together admit at most what one bucket allows, even if answers are late or lost.

mod late;

use super::contact::Link;
use super::policy::Quota;
use super::question::{Answer, Question};
use super::share::Share;
use super::table::Forgettable;

/// How long a leased token may be spent. Shorter than the time for which Redis counts it as leased, so that small
/// differences between clocks do not matter.
pub const LEASE_NANOS: u64 = 4_500_000_000;

/// The state of the last request for the bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// No request is in progress.
    #[default]
    Idle,
    /// Calls wait for the answer.
    Asking,
    /// Calls no longer wait for the answer, but it may still arrive.
    Late,
}

/// An instance's state of a bucket.
#[derive(Clone, Debug, Default)]
pub struct Lease {
    /// Leased tokens that are not spent.
    held: u32,
    /// Tokens that were spent since the last answer, including those that were taken with it.
    spent: u32,
    /// Until when leased tokens may be spent.
    expires_at: u64,
    /// The known level in Redis, without the effects of a request in progress and of debts.
    level: u64,
    /// The amount that is leased to other instances.
    others: u64,
    /// The time for which `level` was calculated.
    at: u64,
    /// When the last request was sent.
    asked: u64,
    /// When the request that was answered last was sent, or when `level` was last set without an answer; 0: never.
    heard: u64,
    /// Since when an answer from Redis is missing; 0 if none is missing.
    unanswered: u64,
    /// How much `at` may be later than the time for which Redis calculated the level: the round trip of the last
    /// answer.
    slack: u64,
    /// The bucket's version in the last answer, by which Redis detects whether another instance used the bucket since;
    /// 0 without an answer.
    stamp: u64,
    /// Whether `level` and the leases come from an answer.
    answered: bool,
    /// Whether the last answer was a refusal.
    refused: bool,
    phase: Phase,
    /// Tokens that an unanswered request may have taken, without those for the debt.
    pending: u32,
    /// The cost of the call that sent the request, if it was admitted on credit because the answer was late.
    asker_credit: u32,
    /// Tokens that were spent on credit.
    debt: u32,
    /// Whether the bucket of this process is used, because Redis is unavailable.
    local: bool,
    forgettable_at: u64,
}

/// The decision on a call, or what is needed to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The call is allowed with leased tokens. `level` is left.
    Spent { level: u64 },
    /// The call is refused, because Redis has refused before and the bucket cannot contain enough tokens until `wait`
    /// nanoseconds have passed.
    Refused { level: u64, wait: u64 },
    /// Redis must be asked.
    Ask,
    /// A request is in progress, and its answer will decide.
    Wait,
    /// Redis is late, and the call is allowed on credit. `level` of credit is left.
    Credited { level: u64 },
    /// Redis is late, and there is no credit left. Within `wait` nanoseconds Redis answers or counts as unavailable.
    Exhausted { wait: u64 },
    /// Redis is unavailable, so the bucket of this process decides. It must be lowered so that it needs at least
    /// `missing` nanoseconds to be full.
    Unavailable { missing: u64 },
}

impl Lease {
    /// Adds the refill up to `now`. Leased tokens count against the depth even if the lease has expired, because the
    /// next request returns them to Redis.
    fn advance(&mut self, quota: Quota, now: u64) {
        let room = quota.full().saturating_sub(self.others + quota.worth(self.held));
        self.level = room.min(self.level + now.saturating_sub(self.at)).max(self.level.min(room));
        self.at = self.at.max(now);
    }

    /// The level with the leased tokens.
    fn total(&self, quota: Quota) -> u64 {
        self.level + quota.worth(self.held)
    }

    /// Decides on a call of `cost` tokens from leased tokens and the last answer; `None` if they are not sufficient.
    pub fn decide_without_redis(
        &mut self,
        quota: Quota,
        share: Share,
        now: u64,
        cost: u32,
    ) -> Option<Decision> {
        // After this time the leases of other instances have expired, so the level is no longer known.
        if self.phase != Phase::Idle || !self.answered || now >= self.asked + LEASE_NANOS {
            return None;
        }
        self.advance(quota, now);
        let reserve = quota.worth(share.reserve);
        if now < self.expires_at && self.held >= cost {
            self.held -= cost;
            self.spent += cost;
            return Some(Decision::Spent { level: self.total(quota).saturating_sub(reserve) });
        }
        let level = self.total(quota);
        let worth = reserve + quota.worth(cost + self.payable(quota, share, cost));
        // Refuses only if Redis has refused. Otherwise other instances may have taken tokens since the last answer, and
        // `wait` would be too short. Also asks Redis within `slack`, because Redis calculated the level somewhat before
        // its answer arrived, and if the wait depends on when others return leased tokens, which only Redis knows.
        let known = self.refused && worth + self.others <= quota.full();
        (known && level + self.slack < worth).then(|| {
            let left = level.saturating_sub(reserve);
            Decision::Refused { level: left, wait: worth - level }
        })
    }

    /// Decides on a call of `cost` tokens.
    pub fn decide(
        &mut self,
        quota: Quota,
        share: Share,
        link: Link,
        now: u64,
        cost: u32,
    ) -> Decision {
        match self.phase {
            Phase::Asking => return Decision::Wait,
            Phase::Late => return self.decide_late(quota, share, link, now, cost),
            Phase::Idle => {}
        }
        let away = self.unavailable_since(link, now).is_some();
        if (!away || link.is_up)
            && let Some(decision) = self.decide_without_redis(quota, share, now, cost)
        {
            return decision;
        }
        // During a pause Redis is not asked for calls that can be decided without it.
        let skips_redis = link.is_paused && (away || self.credit(quota, share, now) >= cost);
        if link.is_up && !skips_redis {
            return Decision::Ask;
        }
        self.decide_late(quota, share, link, now, cost)
    }

    /// The part of the debt that can be paid together with a call. A request for more tokens than the bucket may
    /// contain would never succeed.
    fn payable(&self, quota: Quota, share: Share, cost: u32) -> u32 {
        self.debt.min(share.most_per_question(quota).saturating_sub(cost))
    }

    /// The request for a call that cannot be decided without Redis. It returns all leased tokens, so that no token is
    /// spent twice if the answer never arrives. It asks for a lease of as many tokens, at most `most`, as will be spent
    /// before they expire at the current rate of spending. `missing` tokens were spent from the bucket of this process
    /// and have not been refilled since; they are added to the debt.
    pub fn question(
        &mut self,
        quota: Quota,
        share: Share,
        now: u64,
        cost: u32,
        most: u32,
        missing: u32,
    ) -> Question {
        // Called because it updates `level`.
        self.credit(quota, share, now);
        self.advance(quota, now);
        // At most a full bucket, so that an outage of Redis does not block a player for long.
        self.debt = self.debt.saturating_add(missing).min(quota.burst);
        let elapsed = now.saturating_sub(self.asked).max(1);
        let pace = u128::from(self.spent) * u128::from(LEASE_NANOS) / u128::from(elapsed);
        let question = Question {
            cost,
            debt: self.payable(quota, share, cost),
            lease_wanted: u32::try_from(pace).unwrap_or(u32::MAX).min(most),
            stamp: self.stamp,
            unspent: self.held,
            expected_level: self.total(quota),
            reserve: share.reserve,
        };
        self.level = question.expected_level;
        // If the answer never arrives, these tokens stay leased in Redis until they expire.
        self.others += quota.worth(question.lease_wanted);
        self.pending = cost + question.lease_wanted;
        self.forgettable_at = now + quota.full().max(LEASE_NANOS);
        (self.held, self.stamp, self.asker_credit) = (0, 0, 0);
        (self.local, self.asked) = (false, now);
        self.phase = Phase::Asking;
        question
    }

    /// A request that only pays the debt; `None` if there is no debt or a request is in progress.
    pub fn payment(&mut self, quota: Quota, share: Share, now: u64, most: u32) -> Option<Question> {
        let due = self.debt > 0 && !self.local && self.phase == Phase::Idle;
        due.then(|| self.question(quota, share, now, 0, most, 0))
    }

    /// Notes that the answer is late, so that calls no longer wait for it.
    pub fn overdue(&mut self) {
        if self.phase == Phase::Asking {
            self.phase = Phase::Late;
        }
    }

    /// Notes that the answer will not arrive. It is not known whether Redis ran the request, so only the debt and the
    /// level that is certain in either case are kept.
    pub fn give_up(&mut self, quota: Quota) {
        let Self { at, asked, heard, others, debt, local, forgettable_at, .. } = *self;
        let level = self.level.saturating_sub(quota.worth(self.pending));
        let unanswered = if self.unanswered > 0 { self.unanswered } else { asked.max(1) };
        *self = Self {
            level,
            others,
            at,
            asked,
            heard,
            unanswered,
            debt,
            local,
            forgettable_at,
            ..Self::default()
        };
    }

    /// Tokens that were spent on credit and are not paid yet.
    pub fn debt(&self) -> u32 {
        self.debt
    }

    /// Applies an answer, whether it is in time or late.
    pub fn learn(
        &mut self,
        quota: Quota,
        question: Question,
        answer: Answer,
        sent: u64,
        received: u64,
    ) {
        let spent = if answer.taken { question.cost } else { 0 };
        // If the call that sent the request was admitted on credit, the tokens that were taken for it pay that credit.
        // Otherwise these tokens are lost: another call must not use them later, because then more calls would be
        // admitted than the bucket allowed at that time.
        let paid = if answer.taken { question.debt + self.asker_credit } else { 0 };
        let full_at = received + quota.full().saturating_sub(answer.level);
        *self = Self {
            held: answer.lease,
            spent,
            expires_at: sent + LEASE_NANOS,
            level: answer.level,
            others: answer.others,
            at: received,
            asked: sent,
            heard: sent,
            unanswered: 0,
            slack: received.saturating_sub(sent),
            stamp: answer.version,
            answered: true,
            refused: !answer.taken,
            phase: Phase::Idle,
            pending: 0,
            asker_credit: 0,
            debt: self.debt - paid.min(self.debt),
            local: self.local,
            forgettable_at: full_at.max(sent + LEASE_NANOS),
        };
    }
}

impl Forgettable for Lease {
    /// When no leased tokens are valid, the rate of spending is outdated, and the bucket is full unless others use it.
    /// Never while there is a debt or a request in progress.
    fn forgettable_at(&self) -> u64 {
        if self.debt > 0 || self.phase != Phase::Idle { u64::MAX } else { self.forgettable_at }
    }
}
