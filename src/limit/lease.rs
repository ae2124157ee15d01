//! What an instance knows of one bucket in Redis, and the tokens that it has taken from it to spend by itself. Times are
//! nanoseconds on a clock of the instance's own that never jumps; amounts are nanoseconds of refill.

use super::policy::Quota;
use super::table::Fading;

/// How long Redis counts a leased token as one that may be spent.
pub const LEASE_MICROS: u64 = 5_000_000;
/// How long it is spent: less, so that no difference between clocks lets a token be spent that counts no longer.
pub const LEASE_NANOS: u64 = 4_500_000_000;

/// An instance's side of a bucket. Without an answer so far it knows nothing.
#[derive(Clone, Debug, Default)]
pub struct Lease {
    /// Tokens taken and not spent.
    held: u32,
    /// Tokens spent since the last answer, those among them that were taken with it.
    spent: u32,
    /// Until when held tokens may be spent.
    lapses: u64,
    /// What is in Redis, as far as can be told from here.
    level: u64,
    /// What is leased to others.
    others: u64,
    /// Up to when `level` was reckoned.
    at: u64,
    /// When Redis was asked last.
    asked: u64,
    /// By how much `at` may be late: how long the last answer took.
    slack: u64,
    /// The bucket's version at the last answer, by which it is told whether anybody else has come since. 0: no answer.
    stamp: u64,
    answered: bool,
    /// Whether it was a refusal.
    refused: bool,
    /// Tokens that were let through without Redis, as its answer came too late. They are paid for with the next question.
    debt: u32,
    /// What lacked in the bucket of this process at `asked`, while Redis was away. It refilled since, as long as nobody
    /// asks again; what still lacks then is paid for too.
    away: u32,
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
}

/// A question to Redis: the arguments of `bucket.lua`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// What the call costs.
    pub cost: u32,
    /// Debt that is paid with it.
    pub debt: u32,
    pub lot: u32,
    pub stamp: u64,
    pub unspent: u32,
    pub reckoned: u64,
}

impl Question {
    /// Tokens that must be there.
    pub fn need(&self) -> u32 {
        self.cost + self.debt
    }
}

/// Its answer: the result of `bucket.lua`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub taken: bool,
    pub level: u64,
    pub others: u64,
    pub lease: u32,
    pub version: u64,
    pub wait: u64,
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

    /// Decides on a call of `cost` tokens.
    pub fn decide(&mut self, quota: Quota, now: u64, cost: u32) -> Decision {
        // What others hold has lapsed some time after the last answer, and with it what was reckoned of it.
        if !self.answered || now >= self.asked + LEASE_NANOS {
            return Decision::Ask;
        }
        self.advance(quota, now);
        if now < self.lapses && self.held >= cost {
            self.held -= cost;
            self.spent += cost;
            return Decision::Spent { level: self.whole(quota) };
        }
        let (level, worth) = (self.whole(quota), quota.worth(cost + self.payable(quota, cost)));
        // Only what Redis has refused is refused here: until then others may have taken more than is known, and the
        // client would be told to come back too early. Redis may have begun to count a little before the answer came;
        // and when those give up their tokens who hold too many of them is not known here.
        let known = self.refused && worth + self.others <= quota.full();
        if known && level + self.slack < worth {
            return Decision::Refused { level, wait: worth - level };
        }
        Decision::Ask
    }

    /// As much of the debt as can be paid with a call: more than the bucket holds could never be.
    fn payable(&self, quota: Quota, cost: u32) -> u32 {
        self.debt.min(quota.burst - cost)
    }

    /// Makes a question of a call that cannot be decided here. All that is held goes back with it, so that nothing is
    /// spent twice should the answer not come. As many further tokens are asked for, `most` at most, as will be spent
    /// before they lapse if things go on as they did.
    pub fn question(&mut self, quota: Quota, now: u64, cost: u32, most: u32) -> Question {
        self.advance(quota, now);
        let refilled = quota.tokens(now.saturating_sub(self.asked));
        // No more than an empty bucket: it is not held against a player for ever that Redis was slow.
        self.debt = (self.debt + self.away.saturating_sub(refilled)).min(quota.burst);
        self.away = 0;
        let elapsed = now.saturating_sub(self.asked).max(1);
        let pace = u128::from(self.spent) * u128::from(LEASE_NANOS) / u128::from(elapsed);
        let question = Question {
            cost,
            debt: self.payable(quota, cost),
            lot: u32::try_from(pace).unwrap_or(u32::MAX).min(most),
            stamp: self.stamp,
            unspent: self.held,
            reckoned: self.whole(quota),
        };
        self.held = 0;
        self.stamp = 0;
        self.asked = now;
        question
    }

    /// Forgets all but the debt: the question's answer did not come, and whether it reached Redis is not known.
    pub fn give_up(&mut self) {
        let Self { asked, debt, away, .. } = *self;
        *self = Self { asked, debt, away, ..Self::default() };
    }

    /// Tokens that were let through without Redis and are not paid for yet.
    pub fn debt(&self) -> u32 {
        self.debt
    }

    /// Notes that a call was let through as the answer of Redis came too late.
    pub fn owe(&mut self, cost: u32) {
        self.debt = self.debt.saturating_add(cost);
    }

    /// Notes that a call was let through while Redis is away, and that so many tokens lack in the bucket of this process.
    pub fn lack(&mut self, now: u64, tokens: u32) {
        *self = Self { asked: now, debt: self.debt, away: tokens, ..Self::default() };
    }

    /// Takes in an answer.
    pub fn learn(&mut self, question: Question, answer: Answer, sent: u64, received: u64) {
        let (spent, paid) = if answer.taken { (question.cost, question.debt) } else { (0, 0) };
        *self = Self {
            held: answer.lease,
            spent,
            lapses: sent + LEASE_NANOS,
            level: answer.level,
            others: answer.others,
            at: received,
            asked: sent,
            slack: received.saturating_sub(sent),
            stamp: answer.version,
            answered: true,
            refused: !answer.taken,
            debt: self.debt - paid.min(self.debt),
            away: self.away,
        };
    }
}

impl Fading for Lease {
    /// When nothing is held and the pace at which tokens are spent says nothing any more. By then a bucket that is not
    /// full is looked up in Redis as cheaply as it is known here.
    fn fades_at(&self) -> u64 {
        self.asked + LEASE_NANOS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn debt_after(lack: u32, nanos: u64) -> (u32, u32) {
        let quota = Quota::per_second(10, 20).expect("a limit");
        let mut lease = Lease::default();
        lease.lack(1_000, lack);
        assert_eq!(lease.decide(quota, 1_000 + nanos, 1), Decision::Ask);
        let question = lease.question(quota, 1_000 + nanos, 1, 5);
        (question.debt, question.need())
    }

    #[test]
    fn what_lacked_while_redis_was_away_is_paid_for_as_far_as_it_did_not_flow_in() {
        assert_eq!(debt_after(8, 0), (8, 9));
        assert_eq!(debt_after(8, 250_000_000), (6, 7));
        assert_eq!(debt_after(8, 5_000_000_000), (0, 1));
        // More than the bucket holds could never be paid.
        assert_eq!(debt_after(20, 0), (19, 20));
    }

    #[test]
    fn a_debt_is_kept_until_it_is_paid() {
        let quota = Quota::per_second(10, 20).expect("a limit");
        let mut lease = Lease::default();
        lease.owe(2);
        let question = lease.question(quota, 0, 1, 0);
        lease.give_up();
        assert_eq!((question.need(), lease.debt()), (3, 2));
        let answer =
            Answer { taken: true, level: quota.full(), others: 0, lease: 0, version: 1, wait: 0 };
        let question = lease.question(quota, 1, 1, 0);
        lease.learn(question, answer, 1, 2);
        assert_eq!(lease.debt(), 0);
    }
}
