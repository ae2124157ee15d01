//! How the pools of a process share the connections that Postgres allows.
//!
//! A pool opens connections as it needs them, until Postgres refuses one with `too_many_connections` because
//! `max_connections` or the limit of the role or the database is reached. The process then knows its limit
//! approximately. From then on a pool that needs a connection closes an idle one of another pool and opens its own
//! instead. Callers wait for their turn instead of failing at once. Postgres is rarely asked for more, because each
//! refusal starts a process there. Half a minute after the last refusal the pools open connections freely again.
//!
//! The rules are in [`rules`]. A lane keeps its connection, and jobs leave at least two to all others, so three
//! connections are enough for everything to work.

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

/// How long after the last refusal the pools open connections freely again.
const CALM: Duration = Duration::from_secs(30);
/// How long no further connection is opened after Postgres refused one. Doubled with each refusal.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(1);
/// How long Postgres may take to notice that a connection was closed. Until then it counts the connection.
const SETTLE: Duration = Duration::from_millis(10);
const SETTLE_LIMIT: Duration = Duration::from_millis(500);
/// A waiting caller checks again at least this often, because some conditions depend on time only.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// A connection that was not used for this long is closed. While Postgres refuses connections it is closed sooner, because other
/// instances may need it.
const UNUSED: Duration = Duration::from_mins(2);
const UNUSED_WHILE_REFUSED: Duration = Duration::from_secs(5);

/// A pool of the process.
pub(super) struct Member {
    pub(super) pool: Pool,
    pub(super) purpose: Purpose,
    /// How long a caller waits for a connection.
    pub(super) patience: Duration,
    /// Notified of connections that were closed by the other side.
    pub(super) health: ConnectionHealth,
}

/// The connections of all pools of a process.
pub(super) struct Budget {
    /// Whether Postgres refused a connection recently.
    short: AtomicBool,
    state: Mutex<State>,
    /// Notified when a connection is returned or closed, while Postgres refuses further ones.
    changed: Notify,
    /// Held by the one caller of each purpose that looks for a connection. Other callers of the purpose queue behind
    /// it.
    turns: [tokio::sync::Mutex<()>; Purpose::COUNT],
}

struct State {
    members: Vec<Weak<Member>>,
    /// How many connections the process can have, as far as is known.
    limit: usize,
    refused_at: Instant,
    pause: Duration,
    /// When Postgres may be asked for more than `limit`.
    next_try: Instant,
    /// When a connection was last closed in favour of another pool.
    evicted_at: Option<Instant>,
    /// When a new connection may take the place of one that was closed.
    settled_at: Instant,
    queue: Queue,
}

impl Default for Budget {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            short: AtomicBool::new(false),
            state: Mutex::new(State {
                members: Vec::new(),
                limit: 0,
                refused_at: now,
                pause: Duration::ZERO,
                next_try: now,
                evicted_at: None,
                settled_at: now,
                queue: Queue::default(),
            }),
            changed: Notify::new(),
            turns: Default::default(),
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
    /// Returns [`Error::Unavailable`] if there is none in time.
    pub(super) async fn connection(
        self: &Arc<Self>,
        member: &Arc<Member>,
    ) -> Result<Connection, Error> {
        let object = self.object(member).await?;
        Ok(Connection::new(object, Arc::clone(self)))
    }

    /// Whether the pool belongs to a lane that has no connection and should open one before it needs one.
    pub(super) fn lane_wants_connection(&self, member: &Member) -> bool {
        // If all pools take turns with one connection, the lane does not keep it.
        let keeps = !self.is_short() || Purpose::Lane.kept(self.state().limit) > 0;
        keeps && member.pool.status().size == 0
    }

    /// Closes connections that have ended, and those that were not used for a while, except the one that a lane keeps.
    pub(super) fn tidy(&self) {
        let unused = if self.is_short() { UNUSED_WHILE_REFUSED } else { UNUSED };
        self.close_unused(unused, |purpose| usize::from(purpose == Purpose::Lane));
    }

    /// Closes all idle connections, because the settings with which they began are out of date. New connections may
    /// lead to another server.
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
        if !self.is_short() {
            match member.pool.get().await {
                Err(error) if is_refusal(&error) => self.refused(),
                result => return Ok(result?),
            }
        }
        self.object_in_turn(member).await
    }

    async fn object_in_turn(&self, member: &Arc<Member>) -> Result<Object, Error> {
        let deadline = tokio::time::Instant::now() + member.patience;
        let turn = timeout_at(deadline, self.turns[member.purpose.index()].lock()).await;
        let _turn = turn.map_err(|_| none_came_free())?;
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
                return Err(Error::Unavailable("it takes no further connection just now".into()));
            }
            let now = tokio::time::Instant::now();
            if now >= deadline {
                return Err(none_came_free());
            }
            // Both outcomes are a reason to check again.
            timeout_at(deadline.min(now + LOOK_AGAIN), changed).await.unwrap_or_default();
        }
    }

    /// Decides what the caller with this ticket does next, and closes the connection that must be closed for it.
    fn next_step(&self, member: &Arc<Member>, ticket: u64) -> Step {
        let members = self.members();
        let mut state = self.state();
        let now = Instant::now();
        if now.duration_since(state.refused_at) >= CALM {
            self.short.store(false, Ordering::Relaxed);
        }
        if !self.is_short() {
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
            settled: now >= state.settled_at,
            may_try: now >= state.next_try,
        };
        let step = view.step();
        if let Step::Evict(victim) = step {
            if let Some(victim) = members.get(victim) {
                close_one(&victim.pool);
            }
            state.evicted_at = Some(now);
            state.settled_at = now + SETTLE;
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
        if !self.short.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                open,
                "Postgres refuses further connections; the pools share the open ones"
            );
        }
        if state.evicted_at.is_some_and(|at| now.duration_since(at) < SETTLE_LIMIT) {
            state.settled_at = now + SETTLE;
            return;
        }
        state.limit = open;
        if now >= state.next_try {
            state.pause = (state.pause * 2).clamp(FIRST_PAUSE, LAST_PAUSE);
            state.next_try = now + state.pause;
        }
    }

    /// Notes that a caller has a connection. A new connection means that the limit may be higher.
    fn obtained(&self, object: &Object) {
        if Object::metrics(object).recycle_count == 0 {
            let mut state = self.state();
            (state.pause, state.next_try, state.evicted_at) =
                (Duration::ZERO, Instant::now(), None);
        }
    }

    fn is_short(&self) -> bool {
        self.short.load(Ordering::Relaxed)
    }

    /// Notes that a connection was returned or closed.
    fn returned(&self) {
        if self.is_short() {
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

fn none_came_free() -> Error {
    Error::Unavailable("no connection came free in time".into())
}
