//! Which pool may have which connection while Postgres refuses further ones. The decision uses numbers only and does no
//! I/O.

/// The purpose of a pool's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Requests, the poller and everything else that is short.
    Requests,
    /// The commits of a lane. Without them no player can change anything.
    Lane,
    /// Jobs and the sweep. A transaction of a job may hold a connection for minutes.
    Background,
}

impl Purpose {
    pub(super) const COUNT: usize = 3;

    pub(super) fn index(self) -> usize {
        self as usize
    }

    /// How many connections of this purpose may be open if the process can have `limit` in all.
    fn most(self, limit: usize) -> usize {
        match self {
            Self::Requests => usize::MAX,
            // A lane uses one connection at a time.
            Self::Lane => 1,
            // At least two connections are left to the lane and to requests, however long jobs take.
            Self::Background => (limit / 4).max(1),
        }
    }

    /// How many connections of this purpose stay open while other pools need connections.
    pub(super) fn kept(self, limit: usize) -> usize {
        // A single connection cannot be reserved; all pools take turns.
        usize::from(self == Self::Lane && limit > 1)
    }
}

/// The connections of one pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count {
    pub purpose: Purpose,
    /// Open connections.
    pub open: usize,
    /// Open connections that are not in use.
    pub idle: usize,
    /// How many connections the pool may open.
    pub most: usize,
}

impl Count {
    /// Idle connections that may be closed in favour of another pool.
    fn spare(&self, limit: usize) -> usize {
        self.idle.min(self.open.saturating_sub(self.purpose.kept(limit)))
    }

    /// Whether one of the connections is in use and may be closed in favour of another pool afterwards.
    fn may_come_back(&self, limit: usize) -> bool {
        self.open - self.idle.min(self.open) > 0 && self.open > self.purpose.kept(limit)
    }
}

/// The situation of a caller that needs a connection.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub pools: &'a [Count],
    /// The index of the caller's pool.
    pub own: usize,
    /// Connections that are being opened, by [`Purpose::index`].
    pub opening: [usize; Purpose::COUNT],
    /// How many connections the process can have, as far as is known.
    pub limit: usize,
    /// The purposes of callers that have waited for longer, at most one caller of each purpose.
    pub before: &'a [Purpose],
    /// Whether Postgres has had time to notice that a connection was closed.
    pub settled: bool,
    /// Whether it is time to try to open more than `limit` connections.
    pub may_try: bool,
}

/// What the caller does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Take an idle connection of its own pool.
    Take,
    /// Open a connection.
    Open,
    /// Close an idle connection of this pool, and open one instead.
    Evict(usize),
    /// Wait until a connection is returned.
    Wait,
    /// Fail, because no connection will be returned.
    Refuse,
}

impl View<'_> {
    fn of(&self, purpose: Purpose) -> usize {
        let pools = self.pools.iter().filter(|pool| pool.purpose == purpose);
        pools.map(|pool| pool.open).sum::<usize>() + self.opening[purpose.index()]
    }

    fn total(&self) -> usize {
        self.pools.iter().map(|pool| pool.open).sum::<usize>() + self.opening.iter().sum::<usize>()
    }

    fn may_open(&self, purpose: Purpose) -> bool {
        self.of(purpose) < purpose.most(self.limit)
    }

    /// Connections that are reserved for the lane if it has none.
    fn held_back(&self) -> usize {
        let lane = self.pools.iter().find(|pool| pool.purpose == Purpose::Lane);
        lane.map_or(0, |lane| lane.purpose.kept(self.limit).saturating_sub(self.of(lane.purpose)))
    }

    /// The pool that needs its connections least, among those for which `allowed` is true.
    fn victim(&self, allowed: impl Fn(&Count) -> bool) -> Option<usize> {
        let others = self.pools.iter().enumerate().filter(|&(pool, _)| pool != self.own);
        let spare = others.filter(|(_, count)| allowed(count) && count.spare(self.limit) > 0);
        spare.max_by_key(|(_, count)| count.spare(self.limit)).map(|(pool, _)| pool)
    }

    /// What the caller does next.
    pub(super) fn step(&self) -> Step {
        let Some(own) = self.pools.get(self.own) else { return Step::Refuse };
        let is_behind =
            self.before.iter().any(|&other| other != own.purpose && self.may_open(other));
        if own.idle > 0 && (!is_behind || own.spare(self.limit) == 0) {
            return Step::Take;
        }
        if is_behind || own.open >= own.most {
            return Step::Wait;
        }
        if !self.may_open(own.purpose) {
            let same = self.victim(|other| other.purpose == own.purpose);
            return same.map_or(Step::Wait, Step::Evict);
        }
        let held_back = if own.purpose == Purpose::Lane { 0 } else { self.held_back() };
        if self.total() + held_back < self.limit {
            return if self.settled { Step::Open } else { Step::Wait };
        }
        if let Some(victim) = self.victim(|_| true) {
            return Step::Evict(victim);
        }
        if self.may_try {
            return Step::Open;
        }
        let hopeful = self.opening.iter().any(|&opening| opening > 0)
            || self.pools.iter().any(|pool| pool.may_come_back(self.limit));
        if hopeful { Step::Wait } else { Step::Refuse }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUESTS: usize = 0;
    const LANE: usize = 1;
    const JOBS: usize = 2;
    const SWEEP: usize = 3;

    /// Pools with the given numbers of open and idle connections: requests, lane, jobs and sweep.
    fn pools(counts: [(usize, usize); 4]) -> [Count; 4] {
        let purposes = [Purpose::Requests, Purpose::Lane, Purpose::Background, Purpose::Background];
        let most = [16, 2, 8, 1];
        std::array::from_fn(|pool| {
            let (open, idle) = counts[pool];
            Count { purpose: purposes[pool], open, idle, most: most[pool] }
        })
    }

    fn view(pools: &[Count], own: usize, limit: usize) -> View<'_> {
        View { pools, own, opening: [0; 3], limit, before: &[], settled: true, may_try: false }
    }

    #[test]
    fn an_idle_connection_of_the_own_pool_is_taken() {
        let pools = pools([(2, 1), (1, 1), (0, 0), (0, 0)]);
        assert_eq!(view(&pools, REQUESTS, 3).step(), Step::Take);
        assert_eq!(view(&pools, LANE, 3).step(), Step::Take);
    }

    #[test]
    fn an_idle_connection_of_another_pool_is_closed_unless_it_is_the_lanes_only_one() {
        let full = pools([(2, 2), (1, 1), (0, 0), (0, 0)]);
        assert_eq!(view(&full, JOBS, 3).step(), Step::Evict(REQUESTS));
        let busy = pools([(2, 0), (1, 1), (0, 0), (0, 0)]);
        assert_eq!(view(&busy, JOBS, 3).step(), Step::Wait);
        // A lane may have opened a second connection before Postgres refused further ones.
        let spare = pools([(2, 0), (2, 2), (0, 0), (0, 0)]);
        assert_eq!(view(&spare, JOBS, 4).step(), Step::Evict(LANE));
    }

    #[test]
    fn a_connection_is_held_back_for_a_lane_that_has_none() {
        let pools = pools([(2, 0), (0, 0), (0, 0), (0, 0)]);
        assert_eq!(view(&pools, REQUESTS, 3).step(), Step::Wait);
        assert_eq!(view(&pools, LANE, 3).step(), Step::Open);
    }

    #[test]
    fn jobs_and_the_sweep_leave_connections_to_all_others() {
        let pools = pools([(1, 0), (1, 1), (1, 1), (0, 0)]);
        // The sweep takes the place of an idle job connection and does not open a further one.
        assert_eq!(view(&pools, SWEEP, 4).step(), Step::Evict(JOBS));
        let busy = super::tests::pools([(1, 0), (1, 1), (1, 0), (0, 0)]);
        assert_eq!(view(&busy, SWEEP, 4).step(), Step::Wait);
        assert_eq!(view(&busy, SWEEP, 16).step(), Step::Open);
    }

    #[test]
    fn whoever_has_waited_for_longer_goes_first() {
        let pools = pools([(2, 1), (1, 1), (0, 0), (0, 0)]);
        let older = [Purpose::Background];
        assert_eq!(View { before: &older, ..view(&pools, REQUESTS, 3) }.step(), Step::Wait);
        // No caller waits for the connection that is reserved for the lane.
        assert_eq!(View { before: &older, ..view(&pools, LANE, 3) }.step(), Step::Take);
        // No caller waits for jobs that have as many connections as they may.
        let pools = super::tests::pools([(1, 1), (1, 1), (1, 0), (0, 0)]);
        assert_eq!(View { before: &older, ..view(&pools, REQUESTS, 3) }.step(), Step::Take);
    }

    #[test]
    fn postgres_is_asked_again_only_when_it_is_time() {
        let pools = pools([(2, 0), (1, 1), (0, 0), (0, 0)]);
        assert_eq!(view(&pools, REQUESTS, 3).step(), Step::Wait);
        assert_eq!(View { may_try: true, ..view(&pools, REQUESTS, 3) }.step(), Step::Open);
        let closed = super::tests::pools([(1, 0), (1, 1), (0, 0), (0, 0)]);
        assert_eq!(View { settled: false, ..view(&closed, REQUESTS, 3) }.step(), Step::Wait);
    }

    #[test]
    fn where_nothing_can_come_back_a_caller_is_refused() {
        let nothing = pools([(0, 0); 4]);
        assert_eq!(view(&nothing, REQUESTS, 0).step(), Step::Refuse);
        let kept = pools([(0, 0), (1, 0), (1, 0), (0, 0)]);
        assert_eq!(view(&kept, REQUESTS, 2).step(), Step::Wait);
        let kept = pools([(0, 0), (2, 1), (0, 0), (0, 0)]);
        assert_eq!(view(&kept, REQUESTS, 2).step(), Step::Evict(LANE));
    }

    #[test]
    fn a_single_connection_goes_round() {
        let pools = pools([(1, 1), (0, 0), (0, 0), (0, 0)]);
        assert_eq!(view(&pools, LANE, 1).step(), Step::Evict(REQUESTS));
        let pools = super::tests::pools([(0, 0), (1, 1), (0, 0), (0, 0)]);
        assert_eq!(view(&pools, REQUESTS, 1).step(), Step::Evict(LANE));
        let pools = super::tests::pools([(0, 0), (1, 0), (0, 0), (0, 0)]);
        assert_eq!(view(&pools, JOBS, 1).step(), Step::Wait);
    }
}
