//! The named limits and what they allow.

use std::time::Duration;

const SECOND_NANOS: u64 = 1_000_000_000;

/// A named limit. Each counts for itself: what one refuses says nothing about another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Policy {
    /// What a player does, whatever its address.
    Player,
    /// What is done from an address without a token that holds.
    Address,
    /// Signing in, registering and becoming a guest, by address.
    Auth,
    /// Signing in as one username, from wherever: a guess at one account is slow from many addresses too.
    Login,
}

impl Policy {
    /// Every policy.
    pub const ALL: [Self; 4] = [Self::Player, Self::Address, Self::Auth, Self::Login];

    /// Its name in headers, metrics and keys.
    pub fn name(self) -> &'static str {
        match self {
            Self::Player => "player",
            Self::Address => "address",
            Self::Auth => "auth",
            Self::Login => "login",
        }
    }

    /// Whether instances take tokens in lots. Signing in is rare and dear, so that its tokens are fetched one by one and
    /// none lies about.
    pub(super) fn is_leased(self) -> bool {
        matches!(self, Self::Player | Self::Address)
    }

    /// Its place among [`Policy::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

/// A token bucket: so many tokens deep, and a token more each interval. Amounts are reckoned in nanoseconds of refill, so
/// that all sums are whole: a token is worth an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Tokens that the bucket holds; at least 1.
    pub burst: u32,
    /// Nanoseconds in which it gains a token; at least 1.
    pub interval: u64,
}

impl Quota {
    /// `burst` tokens deep and filled at `rate` a second: nothing where either is 0, which is no limit.
    pub fn per_second(rate: u32, burst: u32) -> Option<Self> {
        Self::of(rate, SECOND_NANOS, burst)
    }

    /// `rate` a minute, all of which may come at once.
    pub fn per_minute(rate: u32) -> Option<Self> {
        Self::of(rate, 60 * SECOND_NANOS, rate)
    }

    fn of(rate: u32, period: u64, burst: u32) -> Option<Self> {
        // Rounded up: never more than was asked for.
        let interval = period.div_ceil(u64::from(rate).max(1));
        (rate > 0 && burst > 0).then_some(Self { burst, interval })
    }

    /// What `tokens` are worth.
    pub fn worth(self, tokens: u32) -> u64 {
        u64::from(tokens) * self.interval
    }

    /// What the full bucket is worth: the nanoseconds in which it fills.
    pub fn full(self) -> u64 {
        self.worth(self.burst)
    }

    /// Whole tokens in a level.
    pub fn tokens(self, level: u64) -> u32 {
        u32::try_from(level / self.interval).unwrap_or(u32::MAX).min(self.burst)
    }

    /// What a call costs: a call dearer than the bucket is deep could never be made.
    pub fn cost(self, cost: u32) -> u32 {
        cost.clamp(1, self.burst)
    }
}

/// The quota of each policy; nothing where it is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quotas(pub [Option<Quota>; Policy::ALL.len()]);

impl Quotas {
    /// The policy's quota.
    pub fn of(&self, policy: Policy) -> Option<Quota> {
        self.0[policy.index()]
    }

    /// The same with one of them replaced.
    #[must_use]
    pub fn with(mut self, policy: Policy, quota: Option<Quota>) -> Self {
        self.0[policy.index()] = quota;
        self
    }
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub policy: Policy,
    /// Tokens that are left.
    pub remaining: u32,
    /// Where it was refused: after this long, and not before, the same call is allowed, if no other comes first.
    pub retry_after: Option<Duration>,
}

impl Verdict {
    pub(super) fn allowed(policy: Policy, remaining: u32) -> Self {
        Self { policy, remaining, retry_after: None }
    }

    /// Refused where `level` was found and `cost` tokens were asked for.
    pub(super) fn refused(policy: Policy, quota: Quota, level: u64, wait: u64) -> Self {
        let retry_after = Some(Duration::from_nanos(wait.max(1)));
        Self { policy, remaining: quota.tokens(level), retry_after }
    }

    /// Whether the call may go on.
    pub fn is_allowed(&self) -> bool {
        self.retry_after.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_that_does_not_divide_the_second_is_rounded_down() {
        let quota = Quota::per_second(3, 20).expect("a limit");
        assert_eq!(quota.interval, 333_333_334);
        assert_eq!(
            Quota::per_minute(30).map(|it| (it.burst, it.interval)),
            Some((30, 2_000_000_000))
        );
    }

    #[test]
    fn zero_is_no_limit() {
        assert_eq!((Quota::per_second(0, 20), Quota::per_minute(0)), (None, None));
    }

    #[test]
    fn a_call_never_costs_more_than_the_bucket_holds() {
        let quota = Quota::per_second(10, 3).expect("a limit");
        assert_eq!((quota.cost(0), quota.cost(2), quota.cost(9)), (1, 2, 3));
    }
}
