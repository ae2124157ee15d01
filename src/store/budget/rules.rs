//! Decides which pool may take, open or close a connection while Postgres refuses further ones. The decision uses
//! numbers only and does no I/O.

/// The purpose of a pool's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Requests, the poller and all other short statements.
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

    /// How many connections of this purpose may be open if all pools together can have `limit`.
    fn most(self, limit: usize) -> usize {
        match self {
            Self::Requests => usize::MAX,
            // A lane uses one connection at a time.
            Self::Lane => 1,
            // From a limit of three on, at least two connections remain for the lane and for requests.
            Self::Background => (limit / 4).max(1),
        }
    }

    /// How many connections of this purpose stay open while other pools need connections.
    pub(super) fn kept(self, limit: usize) -> usize {
        // A single connection is not reserved, because all pools need it in turn.
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
    /// Idle connections that may be closed so that another pool can open one.
    fn spare(&self, limit: usize) -> usize {
        self.idle.min(self.open.saturating_sub(self.purpose.kept(limit)))
    }

    /// Whether a connection is in use that may be closed afterwards so that another pool can open one.
    fn may_become_spare(&self, limit: usize) -> bool {
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
    /// The purposes of callers that arrived earlier and still wait, at most one caller of each purpose.
    pub before: &'a [Purpose],
    /// Whether a connection may be opened instead of a closed one, because Postgres has had time to notice the closing.
    pub may_replace: bool,
    /// Whether the process may try to open more than `limit` connections.
    pub may_exceed_limit: bool,
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
    /// Wait until a connection is returned or some time has passed.
    Wait,
    /// Fail, because there is no connection for which the caller could wait.
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

    /// The number of connections that must remain free because the lane has none yet.
    fn held_back(&self) -> usize {
        let lane = self.pools.iter().find(|pool| pool.purpose == Purpose::Lane);
        lane.map_or(0, |lane| lane.purpose.kept(self.limit).saturating_sub(self.of(lane.purpose)))
    }

    /// The other pool with the most idle connections that may be closed, among those for which `allowed` is true.
    fn victim(&self, allowed: impl Fn(&Count) -> bool) -> Option<usize> {
        let others = self.pools.iter().enumerate().filter(|&(pool, _)| pool != self.own);
        let spare = others.filter(|(_, count)| allowed(count) && count.spare(self.limit) > 0);
        spare.max_by_key(|(_, count)| count.spare(self.limit)).map(|(pool, _)| pool)
    }

    /// What the caller does next.
    pub(super) fn step(&self) -> Step {
        let Some(own) = self.pools.get(self.own) else { return Step::Refuse };
        let must_wait_for_earlier =
            self.before.iter().any(|&other| other != own.purpose && self.may_open(other));
        if own.idle > 0 && (!must_wait_for_earlier || own.spare(self.limit) == 0) {
            return Step::Take;
        }
        if must_wait_for_earlier || own.open >= own.most {
            return Step::Wait;
        }
        if !self.may_open(own.purpose) {
            let same = self.victim(|other| other.purpose == own.purpose);
            return same.map_or(Step::Wait, Step::Evict);
        }
        let held_back = if own.purpose == Purpose::Lane { 0 } else { self.held_back() };
        if self.total() + held_back < self.limit {
            return if self.may_replace { Step::Open } else { Step::Wait };
        }
        if let Some(victim) = self.victim(|_| true) {
            return Step::Evict(victim);
        }
        if self.may_exceed_limit {
            return Step::Open;
        }
        let worth_waiting = self.opening.iter().any(|&opening| opening > 0)
            || self.pools.iter().any(|pool| pool.may_become_spare(self.limit));
        if worth_waiting { Step::Wait } else { Step::Refuse }
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
        View {
            pools,
            own,
            opening: [0; 3],
            limit,
            before: &[],
            may_replace: true,
            may_exceed_limit: false,
        }
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
        // An idle connection of the jobs is closed for the sweep, because both together may have one connection only.
        assert_eq!(view(&pools, SWEEP, 4).step(), Step::Evict(JOBS));
        let busy = super::tests::pools([(1, 0), (1, 1), (1, 0), (0, 0)]);
        assert_eq!(view(&busy, SWEEP, 4).step(), Step::Wait);
        assert_eq!(view(&busy, SWEEP, 16).step(), Step::Open);
    }

    #[test]
    fn the_caller_that_arrived_first_goes_first() {
        let pools = pools([(2, 1), (1, 1), (0, 0), (0, 0)]);
        let older = [Purpose::Background];
        assert_eq!(View { before: &older, ..view(&pools, REQUESTS, 3) }.step(), Step::Wait);
        // The lane takes its reserved connection at once, because no other caller may get it.
        assert_eq!(View { before: &older, ..view(&pools, LANE, 3) }.step(), Step::Take);
        // Requests do not wait for jobs that have their largest number of connections already.
        let pools = super::tests::pools([(1, 1), (1, 1), (1, 0), (0, 0)]);
        assert_eq!(View { before: &older, ..view(&pools, REQUESTS, 3) }.step(), Step::Take);
    }

    #[test]
    fn connections_beyond_the_limit_are_tried_only_after_the_pause() {
        let pools = pools([(2, 0), (1, 1), (0, 0), (0, 0)]);
        assert_eq!(view(&pools, REQUESTS, 3).step(), Step::Wait);
        assert_eq!(View { may_exceed_limit: true, ..view(&pools, REQUESTS, 3) }.step(), Step::Open);
        let closed = super::tests::pools([(1, 0), (1, 1), (0, 0), (0, 0)]);
        assert_eq!(View { may_replace: false, ..view(&closed, REQUESTS, 3) }.step(), Step::Wait);
    }

    #[test]
    fn a_caller_is_refused_if_no_connection_can_become_available() {
        let nothing = pools([(0, 0); 4]);
        assert_eq!(view(&nothing, REQUESTS, 0).step(), Step::Refuse);
        let kept = pools([(0, 0), (1, 0), (1, 0), (0, 0)]);
        assert_eq!(view(&kept, REQUESTS, 2).step(), Step::Wait);
        let kept = pools([(0, 0), (2, 1), (0, 0), (0, 0)]);
        assert_eq!(view(&kept, REQUESTS, 2).step(), Step::Evict(LANE));
    }

    #[test]
    fn all_pools_share_a_single_connection() {
        let pools = pools([(1, 1), (0, 0), (0, 0), (0, 0)]);
        assert_eq!(view(&pools, LANE, 1).step(), Step::Evict(REQUESTS));
        let pools = super::tests::pools([(0, 0), (1, 1), (0, 0), (0, 0)]);
        assert_eq!(view(&pools, REQUESTS, 1).step(), Step::Evict(LANE));
        let pools = super::tests::pools([(0, 0), (1, 0), (0, 0), (0, 0)]);
        assert_eq!(view(&pools, JOBS, 1).step(), Step::Wait);
    }
}
