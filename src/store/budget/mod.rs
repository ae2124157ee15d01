//! How the pools of a process share the connections that Postgres allows.
//!
//! A pool opens connections as it needs them, until Postgres refuses one with `too_many_connections` because
//! `max_connections` or the limit of the role or the database is reached. The process then takes the number of its open
//! connections as its limit. From then on a pool that needs a connection closes an idle connection of another pool and
//! opens its own instead. Callers queue instead of failing at once. The process rarely tries to open more connections,
//! because Postgres starts a process for each attempt, even if it refuses it. Half a minute after the last refusal the
//! pools open connections without a limit again.
//!
//! The rules are in [`rules`]. A lane keeps its connection, and jobs leave at least two connections to the other
//! purposes, so three connections are enough for everything to work.

mod connection;
mod rules;
mod turns;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use deadpool_postgres::{Object, Pool, PoolError};
use tokio::sync::Notify;
use tokio::time::timeout_at;
use tokio_postgres::error::SqlState;

use super::endpoint::ConnectionHealth;
use super::error::Error;
pub(super) use connection::Connection;
pub(super) use rules::Purpose;
use rules::{Count, Step, View};
use turns::{Queue, Waiting};

/// How long after the last refusal the pools open connections without a limit again.
const UNLIMITED_AFTER: Duration = Duration::from_secs(30);
/// How long the process does not try to exceed its limit after Postgres refused a connection. The pause doubles with
/// each refusal.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(1);
/// The pause between closing a connection and opening another one instead. Postgres counts a closed connection until it
/// has noticed that it was closed.
const CLOSE_DELAY: Duration = Duration::from_millis(10);
/// A refusal this soon after a connection was closed is explained by the closed connection, which Postgres still
/// counts. It does not change the limit.
const MAX_CLOSE_DELAY: Duration = Duration::from_millis(500);
/// How often a waiting caller checks again without a notification, because some conditions depend on time only.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// A connection that was not used for this long is closed.
const UNUSED: Duration = Duration::from_mins(2);
/// As [`UNUSED`], while Postgres refuses connections. It is shorter, because other instances may need the connection.
const UNUSED_WHILE_REFUSED: Duration = Duration::from_secs(5);

/// A pool of the process.
pub(super) struct Member {
    pub(super) pool: Pool,
    pub(super) purpose: Purpose,
    /// How long a caller waits for a connection.
    pub(super) timeout: Duration,
    /// Notified of connections that ended without this process closing them.
    pub(super) health: ConnectionHealth,
}

/// The connections of all pools of a process.
pub(super) struct Budget {
    /// Whether the number of connections is limited, because Postgres refused a connection recently.
    limited: AtomicBool,
    state: Mutex<State>,
    /// Notified when a connection is returned or closed while the number of connections is limited.
    changed: Notify,
    /// One lock for each purpose. The caller that holds it is at the head of the purpose's queue.
    heads: [tokio::sync::Mutex<()>; Purpose::COUNT],
}

struct State {
    members: Vec<Weak<Member>>,
    /// How many connections the process can have, as far as is known.
    limit: usize,
    refused_at: Instant,
    /// The current pause between attempts to exceed `limit`.
    pause: Duration,
    /// When the process may try to exceed `limit`.
    next_try: Instant,
    /// When a connection was last closed so that another pool can open one.
    evicted_at: Option<Instant>,
    /// When a connection may be opened instead of the one that was closed at `evicted_at`.
    open_after: Instant,
    queue: Queue,
}

impl Default for Budget {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            limited: AtomicBool::new(false),
            state: Mutex::new(State {
                members: Vec::new(),
                limit: 0,
                refused_at: now,
                pause: Duration::ZERO,
                next_try: now,
                evicted_at: None,
                open_after: now,
                queue: Queue::default(),
            }),
            changed: Notify::new(),
            heads: Default::default(),
        }
    }
}

impl Budget {
    /// Adds a pool. It is removed when the returned value is dropped.
    pub(super) fn join(&self, member: Member) -> Arc<Member> {
        let member = Arc::new(member);
        let mut state = self.state();
        state.members.retain(|other| other.strong_count() > 0);
        state.members.push(Arc::downgrade(&member));
        member
    }

    /// A connection of the member's pool.
    ///
    /// # Errors
    /// Returns [`Error::Unavailable`] if no connection is available in time.
    pub(super) async fn connection(
        self: &Arc<Self>,
        member: &Arc<Member>,
    ) -> Result<Connection, Error> {
        let object = self.object(member).await?;
        Ok(Connection::new(object, Arc::clone(self)))
    }

    /// Whether the pool belongs to a lane that has no connection and should open one before it needs one.
    pub(super) fn lane_wants_connection(&self, member: &Member) -> bool {
        // If there is only one connection for all pools, the lane does not keep it.
        let keeps = !self.is_limited() || Purpose::Lane.kept(self.state().limit) > 0;
        keeps && member.pool.status().size == 0
    }

    /// Removes connections that have ended, and closes those that were not used for [`UNUSED`], except the connection
    /// that a lane keeps.
    pub(super) fn close_surplus(&self) {
        let unused = if self.is_limited() { UNUSED_WHILE_REFUSED } else { UNUSED };
        self.close_unused(unused, |purpose| usize::from(purpose == Purpose::Lane));
    }

    /// Closes all idle connections, because their settings are outdated or they lead to a former primary. As new
    /// connections may lead to another server, rows that were read before are read again.
    pub(super) fn renew(&self) {
        self.close_unused(Duration::ZERO, |_| 0);
        self.members().iter().for_each(|member| member.health.note_lost());
    }

    fn close_unused(&self, unused: Duration, kept: impl Fn(Purpose) -> usize) {
        for member in self.members() {
            let mut open = member.pool.status().size;
            let kept = kept(member.purpose);
            let closed = member.pool.retain(|client, metrics| {
                if client.is_closed() {
                    member.health.note_lost();
                }
                let close = client.is_closed() || (open > kept && metrics.last_used() >= unused);
                open -= usize::from(close);
                !close
            });
            if !closed.removed.is_empty() {
                drop(closed);
                self.returned();
            }
        }
    }

    async fn object(&self, member: &Arc<Member>) -> Result<Object, Error> {
        if !self.is_limited() {
            match member.pool.get().await {
                Err(error) if is_refusal(&error) => self.refused(),
                result => return Ok(result?),
            }
        }
        self.queued_object(member).await
    }

    async fn queued_object(&self, member: &Arc<Member>) -> Result<Object, Error> {
        let deadline = tokio::time::Instant::now() + member.timeout;
        let head = timeout_at(deadline, self.heads[member.purpose.index()].lock()).await;
        let _head = head.map_err(|_| none_in_time())?;
        let waiting = Waiting::begin(self, member.purpose);
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let step = self.next_step(member, waiting.ticket);
            if let Step::Take | Step::Open = step {
                match member.pool.get().await {
                    Ok(object) => {
                        self.obtained(&object);
                        return Ok(object);
                    }
                    Err(error) if is_refusal(&error) => self.refused(),
                    Err(error) => return Err(error.into()),
                }
                waiting.end_opening();
                continue;
            }
            if step == Step::Refuse {
                return Err(Error::Unavailable("no connection can become available".into()));
            }
            let now = tokio::time::Instant::now();
            if now >= deadline {
                return Err(none_in_time());
            }
            // After a notification and after the interval the caller checks again.
            timeout_at(deadline.min(now + CHECK_INTERVAL), changed).await.unwrap_or_default();
        }
    }

    /// Decides what the caller with this ticket does next. For [`Step::Evict`] it closes the connection itself and
    /// returns [`Step::Wait`].
    fn next_step(&self, member: &Arc<Member>, ticket: u64) -> Step {
        let members = self.members();
        let mut state = self.state();
        let now = Instant::now();
        if now.duration_since(state.refused_at) >= UNLIMITED_AFTER {
            self.limited.store(false, Ordering::Relaxed);
        }
        if !self.is_limited() {
            return Step::Open;
        }
        let pools: Vec<Count> = members.iter().map(|member| count(member)).collect();
        let before = state.queue.before(ticket);
        state.limit = state.limit.max(pools.iter().map(|pool| pool.open).sum());
        let view = View {
            pools: &pools,
            own: members.iter().position(|other| Arc::ptr_eq(other, member)).unwrap_or(usize::MAX),
            opening: state.queue.opening(),
            limit: state.limit,
            before: &before,
            may_replace: now >= state.open_after,
            may_exceed_limit: now >= state.next_try,
        };
        let step = view.step();
        if let Step::Evict(victim) = step {
            if let Some(victim) = members.get(victim) {
                close_one(&victim.pool);
            }
            state.evicted_at = Some(now);
            state.open_after = now + CLOSE_DELAY;
            return Step::Wait;
        }
        state.queue.set_opening(ticket, step == Step::Open);
        step
    }

    /// Notes that Postgres refused a connection.
    fn refused(&self) {
        let open = self.members().iter().map(|member| member.pool.status().size).sum();
        let mut state = self.state();
        let now = Instant::now();
        state.refused_at = now;
        if !self.limited.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                open,
                "Postgres refuses further connections; the pools share the open ones"
            );
        }
        if state.evicted_at.is_some_and(|at| now.duration_since(at) < MAX_CLOSE_DELAY) {
            state.open_after = now + CLOSE_DELAY;
            return;
        }
        state.limit = open;
        if now >= state.next_try {
            state.pause = (state.pause * 2).clamp(FIRST_PAUSE, LAST_PAUSE);
            state.next_try = now + state.pause;
        }
    }

    /// Notes that a caller got a connection. If it is a new one, the limit may be higher than known, so the next
    /// attempt to exceed it may follow at once.
    fn obtained(&self, object: &Object) {
        if Object::metrics(object).recycle_count == 0 {
            let mut state = self.state();
            (state.pause, state.next_try, state.evicted_at) =
                (Duration::ZERO, Instant::now(), None);
        }
    }

    fn is_limited(&self) -> bool {
        self.limited.load(Ordering::Relaxed)
    }

    /// Notes that a connection was returned or closed.
    fn returned(&self) {
        if self.is_limited() {
            self.changed.notify_waiters();
        }
    }

    fn members(&self) -> Vec<Arc<Member>> {
        self.state().members.iter().filter_map(Weak::upgrade).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count(member: &Member) -> Count {
    let status = member.pool.status();
    Count {
        purpose: member.purpose,
        open: status.size,
        idle: status.available,
        most: status.max_size,
    }
}

/// Closes the idle connection that was not used for the longest time.
fn close_one(pool: &Pool) {
    let mut closed = false;
    drop(pool.retain(|_, _| std::mem::replace(&mut closed, true)));
}

fn is_refusal(error: &PoolError) -> bool {
    let PoolError::Backend(error) = error else { return false };
    error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS)
}

fn none_in_time() -> Error {
    Error::Unavailable("no connection became available in time".into())
}
