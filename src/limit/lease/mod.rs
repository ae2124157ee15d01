//! What an instance knows of one bucket in Redis, the tokens that it has leased from it, and what it has let through on
//! credit. Times are nanoseconds on the instance's monotonic clock; amounts are nanoseconds of refill.
//!
//! A request to Redis is answered in time, late or never; only its answer tells which tokens it took. What is let
//! through without an answer is a debt, which the next request pays. The debt of an instance never exceeds its part of
//! the reserve ([`Share`]), which no request of any instance takes, so there is always something to pay it with: all
//! instances together let through what one bucket would, whatever happens to answers.

mod late;

use super::contact::Link;
use super::policy::Quota;
use super::question::{Answer, Question};
use super::share::Share;
use super::table::Fading;

/// How long a leased token may be spent: less than Redis counts it as leased, so that no difference between clocks
/// matters.
pub const LEASE_NANOS: u64 = 4_500_000_000;

/// The state of the bucket's request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// No answer is outstanding.
    #[default]
    Idle,
    /// Calls wait for the answer.
    Asking,
    /// Calls no longer wait for the answer, but it may still arrive.
    Late,
}

/// An instance's side of a bucket. It knows nothing before the first answer.
#[derive(Clone, Debug, Default)]
pub struct Lease {
    /// Tokens that are leased and not spent.
    held: u32,
    /// Tokens that were spent since the last answer, including those that were taken with it.
    spent: u32,
    /// Until when leased tokens may be spent.
    lapses: u64,
    /// The level in Redis as far as it is known here, without the effect of the outstanding request and of debts.
    level: u64,
    /// What is leased to other instances.
    others: u64,
    /// The time for which `level` was calculated.
    at: u64,
    /// When the last request was sent.
    asked: u64,
    /// When the request of the last answer was sent, or when `level` was last known without an answer; 0: never.
    heard: u64,
    /// Since when this bucket needs an answer from Redis; 0: it does not.
    unanswered: u64,
    /// By how much `at` may be late: the round trip of the last answer.
    slack: u64,
    /// The bucket's version at the last answer, from which Redis tells whether another instance used it since. 0: no
    /// answer.
    stamp: u64,
    answered: bool,
    /// Whether the last answer was a refusal.
    refused: bool,
    phase: Phase,
    /// Tokens that an unanswered request may have taken, apart from the debt that it pays.
    pending: u32,
    /// Tokens of the call that sent the request, if it was let through on credit because the answer was late.
    advanced: u32,
    /// Tokens that were let through on credit.
    debt: u32,
    /// Whether this process keeps the bucket because Redis is unavailable.
    local: bool,
    fades_at: u64,
}

/// The decision on a call, as far as it can be made here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A leased token was spent; `level` is left.
    Spent { level: u64 },
    /// Redis has refused and cannot have enough yet. It has after `wait` nanoseconds.
    Refused { level: u64, wait: u64 },
    /// Redis must be asked.
    Ask,
    /// A request is in progress, and its answer will decide.
    Wait,
    /// Redis is late, and the call is let through on credit; `level` of credit is left.
    Credited { level: u64 },
    /// Redis is late and there is no credit left. After `wait` nanoseconds Redis has answered or is unavailable.
    Exhausted { wait: u64 },
    /// Redis is unavailable: the bucket of this process decides. At least `missing` nanoseconds of refill are missing
    /// in it.
    Away { missing: u64 },
}

impl Lease {
    /// Adds the refill up to `now`. Leased tokens count against the depth even if the lease has expired, because Redis
    /// gets them back.
    fn advance(&mut self, quota: Quota, now: u64) {
        let room = quota.full().saturating_sub(self.others + quota.worth(self.held));
        self.level = room.min(self.level + now.saturating_sub(self.at)).max(self.level.min(room));
        self.at = self.at.max(now);
    }

    fn whole(&self, quota: Quota) -> u64 {
        self.level + quota.worth(self.held)
    }

    /// Decides on a call of `cost` tokens from the leased tokens and Redis' last answer, if they suffice.
    pub fn decide_at_hand(
        &mut self,
        quota: Quota,
        share: Share,
        now: u64,
        cost: u32,
    ) -> Option<Decision> {
        // Some time after the last answer the leases of others have expired, so what was calculated from them is no
        // longer valid.
        if self.phase != Phase::Idle || !self.answered || now >= self.asked + LEASE_NANOS {
            return None;
        }
        self.advance(quota, now);
        let reserve = quota.worth(share.reserve);
        if now < self.lapses && self.held >= cost {
            self.held -= cost;
            self.spent += cost;
            return Some(Decision::Spent { level: self.whole(quota).saturating_sub(reserve) });
        }
        let level = self.whole(quota);
        let worth = reserve + quota.worth(cost + self.payable(quota, share, cost));
        // Only what Redis has refused is refused here: otherwise others may have taken more than is known, and the
        // client would be told to retry too early. Redis may have begun to count a little before the answer arrived,
        // and it is not known here when instances with too many tokens return them.
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
        let away = self.away_since(link, now).is_some();
        if (!away || link.is_up)
            && let Some(decision) = self.decide_at_hand(quota, share, now, cost)
        {
            return decision;
        }
        // A pause spares calls that can do without the answer from waiting for it.
        let spared = link.is_paused && (away || self.credit(quota, share, now) >= cost);
        if link.is_up && !spared {
            return Decision::Ask;
        }
        self.decide_late(quota, share, link, now, cost)
    }

    /// The part of the debt that can be paid together with a call. More than the bucket's depth could never be paid at
    /// once.
    fn payable(&self, quota: Quota, share: Share, cost: u32) -> u32 {
        self.debt.min(share.most_per_question(quota).saturating_sub(cost))
    }

    /// Makes a request for a call that cannot be decided here. It returns all leased tokens, so that nothing is spent
    /// twice if the answer never arrives. It asks for as many further tokens, at most `most`, as will be spent before
    /// they expire at the present pace. `missing` tokens were let through while this process kept the bucket and have
    /// not been refilled since.
    pub fn question(
        &mut self,
        quota: Quota,
        share: Share,
        now: u64,
        cost: u32,
        most: u32,
        missing: u32,
    ) -> Question {
        // Updates what is certain to be in the bucket.
        self.credit(quota, share, now);
        self.advance(quota, now);
        // No more than an empty bucket: a player is not penalised indefinitely for an outage of Redis.
        self.debt = self.debt.saturating_add(missing).min(quota.burst);
        let elapsed = now.saturating_sub(self.asked).max(1);
        let pace = u128::from(self.spent) * u128::from(LEASE_NANOS) / u128::from(elapsed);
        let question = Question {
            cost,
            debt: self.payable(quota, share, cost),
            lot: u32::try_from(pace).unwrap_or(u32::MAX).min(most),
            stamp: self.stamp,
            unspent: self.held,
            reckoned: self.whole(quota),
            reserve: share.reserve,
        };
        self.level = question.reckoned;
        // If the answer never arrives, the lot stays leased and takes that much room in the bucket.
        self.others += quota.worth(question.lot);
        self.pending = cost + question.lot;
        self.fades_at = now + quota.full().max(LEASE_NANOS);
        (self.held, self.stamp, self.advanced) = (0, 0, 0);
        (self.local, self.asked) = (false, now);
        self.phase = Phase::Asking;
        question
    }

    /// A request that only pays the debt; `None` if there is no debt or a request is in progress.
    pub fn payment(&mut self, quota: Quota, share: Share, now: u64, most: u32) -> Option<Question> {
        let due = self.debt > 0 && !self.local && self.phase == Phase::Idle;
        due.then(|| self.question(quota, share, now, 0, most, 0))
    }

    /// Notes that calls no longer wait for the answer.
    pub fn overdue(&mut self) {
        if self.phase == Phase::Asking {
            self.phase = Phase::Late;
        }
    }

    /// Forgets everything except the debt and what is certain to be in the bucket: the answer will not arrive, and it
    /// is not known whether the request reached Redis.
    pub fn give_up(&mut self, quota: Quota) {
        let Self { at, asked, heard, others, debt, local, fades_at, .. } = *self;
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
            fades_at,
            ..Self::default()
        };
    }

    /// Tokens that were let through on credit and are not paid for.
    pub fn debt(&self) -> u32 {
        self.debt
    }

    /// Applies an answer, in time or late.
    pub fn learn(
        &mut self,
        quota: Quota,
        question: Question,
        answer: Answer,
        sent: u64,
        received: u64,
    ) {
        let spent = if answer.taken { question.cost } else { 0 };
        // If the call that sent the request was let through on credit, the token that was taken for it pays for that.
        // If it was not, the token is lost: letting another call through for it later would be one token more than the
        // bucket had then.
        let paid = if answer.taken { question.debt + self.advanced } else { 0 };
        let full_at = received + quota.full().saturating_sub(answer.level);
        *self = Self {
            held: answer.lease,
            spent,
            lapses: sent + LEASE_NANOS,
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
            advanced: 0,
            debt: self.debt - paid.min(self.debt),
            local: self.local,
            fades_at: full_at.max(sent + LEASE_NANOS),
        };
    }
}

impl Fading for Lease {
    /// If nothing is leased, the pace of spending is no longer meaningful, and the bucket is full unless others use it.
    /// Never while there is a debt to pay or an answer outstanding.
    fn fades_at(&self) -> u64 {
        if self.debt > 0 || self.phase != Phase::Idle { u64::MAX } else { self.fades_at }
    }
}
