//! What an instance knows of one bucket in Redis, the tokens that it has taken from it to spend by itself, and what it has
//! let through on credit. Times are nanoseconds on a clock of the instance's own that never jumps; amounts are nanoseconds
//! of refill.
//!
//! A question to Redis is answered in time, late or never; which tokens it took is known from its answer alone. What is let
//! through without an answer is a debt, which the next question pays. The debt of an instance never exceeds its part of
//! the reserve ([`Share`]), which no question of any instance touches, so there is always something to pay it with: all
//! instances together let through what one bucket does, whatever becomes of answers.

mod late;

use super::contact::Link;
use super::policy::Quota;
use super::question::{Answer, Question};
use super::share::Share;
use super::table::Fading;

/// How long a leased token is spent: less, so that no difference between clocks lets a token be spent that counts no longer in Redis.
pub const LEASE_NANOS: u64 = 4_500_000_000;

/// Where a bucket's question is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// None has been asked that is without an answer.
    #[default]
    Idle,
    /// Calls wait for the answer.
    Asking,
    /// Calls no longer wait for the answer, but it may still come.
    Late,
}

/// An instance's side of a bucket. Without an answer so far it knows nothing.
#[derive(Clone, Debug, Default)]
pub struct Lease {
    /// Tokens taken and not spent.
    held: u32,
    /// Tokens spent since the last answer, those among them that were taken with it.
    spent: u32,
    /// Until when held tokens may be spent.
    lapses: u64,
    /// What is in Redis, as far as can be told from here: before the question that is without an answer, and before debts.
    level: u64,
    /// What is leased to others.
    others: u64,
    /// Up to when `level` was reckoned.
    at: u64,
    /// When Redis was asked last.
    asked: u64,
    /// When Redis was asked what it answered last, or when `level` was last known without an answer; 0: never.
    heard: u64,
    /// Since when this bucket has been in want of an answer of Redis; 0: it is not.
    unanswered: u64,
    /// By how much `at` may be late: how long the last answer took.
    slack: u64,
    /// The bucket's version at the last answer, by which it is told whether anybody else has come since. 0: no answer.
    stamp: u64,
    answered: bool,
    /// Whether it was a refusal.
    refused: bool,
    phase: Phase,
    /// Tokens that a question without an answer may have taken, the debt that it pays aside.
    pending: u32,
    /// Tokens of the call that asked, where it was let through on credit as the answer was late.
    advanced: u32,
    /// Tokens that were let through on credit.
    debt: u32,
    /// Whether this process keeps the bucket by itself, as Redis is away.
    local: bool,
    fades_at: u64,
}

/// What became of a call, as far as it can be decided here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A held token was spent; so much is left.
    Spent { level: u64 },
    /// Redis has refused and cannot have enough yet. `wait` nanoseconds from now it has.
    Refused { level: u64, wait: u64 },
    /// Redis must be asked.
    Ask,
    /// It has been asked, and its answer will decide.
    Wait,
    /// Redis is late, and the call is let through on credit. So much may still be.
    Credited { level: u64 },
    /// Redis is late, and no more is let through on credit. `wait` nanoseconds from now Redis has answered or is away.
    Exhausted { wait: u64 },
    /// Redis is away: the bucket of this process decides, in which so much is missing at least.
    Away { missing: u64 },
}

impl Lease {
    /// Carries the level on. What is held counts against the depth, lapsed or not: Redis gets it back.
    fn advance(&mut self, quota: Quota, now: u64) {
        let room = quota.full().saturating_sub(self.others + quota.worth(self.held));
        self.level = room.min(self.level + now.saturating_sub(self.at)).max(self.level.min(room));
        self.at = self.at.max(now);
    }

    fn whole(&self, quota: Quota) -> u64 {
        self.level + quota.worth(self.held)
    }

    /// Decides on a call of `cost` tokens from what is held and what Redis answered last, if that suffices.
    pub fn decide_at_hand(
        &mut self,
        quota: Quota,
        share: Share,
        now: u64,
        cost: u32,
    ) -> Option<Decision> {
        // What others hold has lapsed some time after the last answer, and with it what was reckoned of it.
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
        // Only what Redis has refused is refused here: until then others may have taken more than is known, and the
        // client would be told to come back too early. Redis may have begun to count a little before the answer came;
        // and when those give up their tokens who hold too many of them is not known here.
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
        // A pause spares calls that can do without the answer the wait for it.
        let spared = link.is_paused && (away || self.credit(quota, share, now) >= cost);
        if link.is_up && !spared {
            return Decision::Ask;
        }
        self.decide_late(quota, share, link, now, cost)
    }

    /// As much of the debt as can be paid with a call: more than the bucket holds could never be.
    fn payable(&self, quota: Quota, share: Share, cost: u32) -> u32 {
        self.debt.min(share.most_per_question(quota).saturating_sub(cost))
    }

    /// Makes a question of a call that cannot be decided here. All that is held goes back with it, so that nothing is
    /// spent twice should the answer not come. As many further tokens are asked for, `most` at most, as will be spent
    /// before they lapse if things go on as they did. `missing` tokens were let through while this process kept the
    /// bucket, and have not flowed in since.
    pub fn question(
        &mut self,
        quota: Quota,
        share: Share,
        now: u64,
        cost: u32,
        most: u32,
        missing: u32,
    ) -> Question {
        // So that what is certain to be there is known from here on.
        self.credit(quota, share, now);
        self.advance(quota, now);
        // No more than an empty bucket: it is not held against a player for ever that Redis was away.
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
        // If the answer never comes, the lot lies leased, and there is so much less room in the bucket.
        self.others += quota.worth(question.lot);
        self.pending = cost + question.lot;
        self.fades_at = now + quota.full().max(LEASE_NANOS);
        (self.held, self.stamp, self.advanced) = (0, 0, 0);
        (self.local, self.asked) = (false, now);
        self.phase = Phase::Asking;
        question
    }

    /// A question that pays the debt and does nothing else, where there is a debt and no question under way.
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

    /// Forgets all but the debt and what is certain to be there: the question's answer will not come, and whether it
    /// reached Redis is not known.
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

    /// Tokens that were let through on credit and are not paid for yet.
    pub fn debt(&self) -> u32 {
        self.debt
    }

    /// Takes in an answer, in time or late.
    pub fn learn(
        &mut self,
        quota: Quota,
        question: Question,
        answer: Answer,
        sent: u64,
        received: u64,
    ) {
        let spent = if answer.taken { question.cost } else { 0 };
        // If the call that asked was let through on credit, the token that was taken for it pays for that. If it was not,
        // the token is lost: to let another call through for it later would be a token more than the bucket had then.
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
    /// When nothing is held, the pace at which tokens are spent says nothing any more, and the bucket is full unless others
    /// use it. Never while there is a debt to be paid or an answer to come.
    fn fades_at(&self) -> u64 {
        if self.debt > 0 || self.phase != Phase::Idle { u64::MAX } else { self.fades_at }
    }
}
