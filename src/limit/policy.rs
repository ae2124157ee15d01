//! The named limits and what they allow.

use std::time::Duration;

const SECOND_NANOS: u64 = 1_000_000_000;

/// A named limit. Limits are independent of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Policy {
    /// Calls of a player, from any address.
    Player,
    /// Calls from an address without a valid token.
    Address,
    /// Signing in, registering and creating guests, by address.
    Auth,
    /// Signing in with one username from any address, so that guessing a password is slow even from many addresses.
    Login,
    /// Opening sockets, by address.
    Live,
}

impl Policy {
    /// Every policy.
    pub const ALL: [Self; 5] = [Self::Player, Self::Address, Self::Auth, Self::Login, Self::Live];

    /// The name in headers, metrics and keys.
    pub fn name(self) -> &'static str {
        match self {
            Self::Player => "player",
            Self::Address => "address",
            Self::Auth => "auth",
            Self::Login => "login",
            Self::Live => "live",
        }
    }

    /// Whether instances lease tokens. Tokens for sign-ins are taken one by one, because sign-ins are rare.
    pub(super) fn is_leased(self) -> bool {
        matches!(self, Self::Player | Self::Address)
    }

    /// The index in [`Policy::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

/// The parameters of a token bucket: its depth in tokens and the interval in which it gains one token. Amounts are in
/// nanoseconds of refill, so that they are integers: one token is worth one interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The depth in tokens; at least 1.
    pub burst: u32,
    /// Nanoseconds in which the bucket gains a token; at least 1.
    pub interval: u64,
}

impl Quota {
    /// A depth of `burst` tokens and a rate of `rate` tokens per second; `None` if either is 0, which means no limit.
    pub fn per_second(rate: u32, burst: u32) -> Option<Self> {
        Self::of(rate, SECOND_NANOS, burst)
    }

    /// `rate` tokens per minute, all of which may be used at once.
    pub fn per_minute(rate: u32) -> Option<Self> {
        Self::of(rate, 60 * SECOND_NANOS, rate)
    }

    fn of(rate: u32, period: u64, burst: u32) -> Option<Self> {
        // Rounded up, so that the rate is never higher than configured.
        let interval = period.div_ceil(u64::from(rate).max(1));
        (rate > 0 && burst > 0).then_some(Self { burst, interval })
    }

    /// The amount of `tokens` tokens.
    pub fn worth(self, tokens: u32) -> u64 {
        u64::from(tokens) * self.interval
    }

    /// The amount of a full bucket: the nanoseconds in which an empty one fills.
    pub fn full(self) -> u64 {
        self.worth(self.burst)
    }

    /// Whole tokens in an amount.
    pub fn tokens(self, level: u64) -> u32 {
        u32::try_from(level / self.interval).unwrap_or(u32::MAX).min(self.burst)
    }

    /// The cost of a call, limited to the depth, because a more expensive call could never be allowed.
    pub fn cost(self, cost: u32) -> u32 {
        cost.clamp(1, self.burst)
    }
}

/// The quota of each policy; `None` if it is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quotas(pub [Option<Quota>; Policy::ALL.len()]);

impl Quotas {
    /// The policy's quota.
    pub fn of(&self, policy: Policy) -> Option<Quota> {
        self.0[policy.index()]
    }

    /// The same quotas with one of them replaced.
    #[must_use]
    pub fn with(mut self, policy: Policy, quota: Option<Quota>) -> Self {
        self.0[policy.index()] = quota;
        self
    }
}

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub policy: Policy,
    /// Tokens that are left.
    pub remaining: u32,
    /// For a refused call: the time after which the same call is allowed, if no other call comes first.
    pub retry_after: Option<Duration>,
}

impl Verdict {
    pub(super) fn allowed(policy: Policy, remaining: u32) -> Self {
        Self { policy, remaining, retry_after: None }
    }

    /// A refusal with a bucket at `level`.
    pub(super) fn refused(policy: Policy, quota: Quota, level: u64, wait: u64) -> Self {
        let retry_after = Some(Duration::from_nanos(wait.max(1)));
        Self { policy, remaining: quota.tokens(level), retry_after }
    }

    /// Whether the call is allowed.
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
    fn zero_means_no_limit() {
        assert_eq!((Quota::per_second(0, 20), Quota::per_minute(0)), (None, None));
    }

    #[test]
    fn a_call_never_costs_more_than_the_bucket_holds() {
        let quota = Quota::per_second(10, 3).expect("a limit");
        assert_eq!((quota.cost(0), quota.cost(2), quota.cost(9)), (1, 2, 3));
    }
}
