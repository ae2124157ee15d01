//! Commands of players whose rows other transactions have locked.
//!
//! The lane learns that a row is locked when its statement gives up on it (`lock_timeout`). From then on the commands of
//! that player wait here, in their order, and the lane writes the other players without waiting for it again. A second
//! connection asks every few milliseconds, without waiting for any lock, which rows are still locked. The commands of the
//! others return to the lane, ahead of anything that is still queued. A command that has waited for too long is refused.

use std::collections::{HashMap, HashSet};
use std::future::pending;
use std::mem;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::sleep_until;
use uuid::Uuid;

use super::Error;
use super::batch::Envelope;
use crate::store::Store;
use crate::telemetry::metrics::Metrics;

/// How long a command waits for a lock before it is refused.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);
/// The pause between two questions while commands wait.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// The pause between two questions while none waits. Players stay known as held meanwhile, so that their next command
/// does not make the lane wait again.
const LOOK_IDLE_EVERY: Duration = Duration::from_secs(1);
/// Commands that may wait; further ones are refused at once. Each occupies one of the mutations in flight that
/// `http::shedding` admits, which are never fewer than twice this number.
const MOST_WAITING: usize = 256;
/// Players that are remembered as held while none of their commands waits.
const MOST_KNOWN: usize = 8192;

/// The held players of a lane.
pub(super) struct Held {
    store: Store,
    /// Players whose rows were locked when Postgres was last asked.
    known: HashSet<Uuid>,
    /// Those of them who have commands waiting, with these in their order.
    waiting: HashMap<Uuid, Vec<Envelope>>,
    /// How many commands wait in all.
    commands: usize,
    /// The question that is being asked.
    look: Option<Look>,
    looked_at: Instant,
    metrics: Metrics,
}

/// Asks Postgres which of some players are still held.
struct Look {
    asked: Vec<Uuid>,
    /// Those who are; none where Postgres did not answer.
    held: JoinHandle<Option<HashSet<Uuid>>>,
}

impl Held {
    pub(super) fn new(store: Store, metrics: Metrics) -> Self {
        Self {
            store,
            known: HashSet::new(),
            waiting: HashMap::new(),
            commands: 0,
            look: None,
            looked_at: Instant::now(),
            metrics,
        }
    }

    /// Whether any command waits.
    pub(super) fn has_waiting(&self) -> bool {
        self.commands > 0
    }

    /// Takes in commands of players whose rows were found to be locked.
    pub(super) fn set_apart(&mut self, envelopes: Vec<Envelope>) {
        if envelopes.is_empty() {
            return;
        }
        if self.known.len() >= MOST_KNOWN {
            self.known.retain(|player| self.waiting.contains_key(player));
        }
        let before = self.known.len();
        self.known.extend(envelopes.iter().map(Envelope::player));
        let players = self.known.len() - before;
        tracing::info!(players, "rows are locked by other transactions; their players wait");
        for envelope in envelopes {
            self.wait(envelope);
        }
    }

    /// Takes the commands of held players out of `batch`.
    pub(super) fn divert(&mut self, batch: &mut Vec<Envelope>) {
        if self.known.is_empty() {
            return;
        }
        let is_held = |envelope: &mut Envelope| self.known.contains(&envelope.player());
        let held: Vec<_> = batch.extract_if(.., is_held).collect();
        for envelope in held {
            self.wait(envelope);
        }
    }

    fn wait(&mut self, mut envelope: Envelope) {
        if self.commands >= MOST_WAITING {
            return envelope.answer(Err(refusal()));
        }
        envelope.wait_until(Instant::now() + PATIENCE);
        self.waiting.entry(envelope.player()).or_default().push(envelope);
        self.commands += 1;
        self.metrics.held_commands.inc();
    }

    /// Waits for news of the held players and returns the commands of those who are free, which may be none. Waits for
    /// ever while no player is held. Safe to cancel.
    pub(super) async fn freed(&mut self) -> Vec<Envelope> {
        if self.known.is_empty() {
            return pending().await;
        }
        let overdue_at = self.waiting.values().flatten().filter_map(Envelope::waits_until).min();
        let overdue = async {
            match overdue_at {
                Some(at) => sleep_until(at.into()).await,
                None => pending().await,
            }
        };
        let freed = tokio::select! {
            (asked, held) = self.look() => self.free(&asked, held),
            () = overdue => Vec::new(),
        };
        self.refuse_overdue();
        freed
    }

    /// Asks which players are still held, once the pause is over. Returns who was asked about, and the answer.
    async fn look(&mut self) -> (Vec<Uuid>, Option<HashSet<Uuid>>) {
        if self.look.is_none() {
            let pause = if self.has_waiting() { LOOK_EVERY } else { LOOK_IDLE_EVERY };
            sleep_until((self.looked_at + pause).into()).await;
        }
        let look = self.look.get_or_insert_with(|| {
            let waiting: Vec<_> = self.waiting.keys().copied().collect();
            let known = || self.known.iter().copied().collect();
            Look::begin(&self.store, if waiting.is_empty() { known() } else { waiting })
        });
        let held = (&mut look.held).await.ok().flatten();
        let asked = mem::take(&mut look.asked);
        self.look = None;
        self.looked_at = Instant::now();
        (asked, held)
    }

    /// Removes the players who are not held any more and returns their commands.
    fn free(&mut self, asked: &[Uuid], held: Option<HashSet<Uuid>>) -> Vec<Envelope> {
        let Some(held) = held else {
            // No connection, perhaps. The lane finds out itself whether these are still held.
            self.known.retain(|player| self.waiting.contains_key(player));
            return Vec::new();
        };
        let mut freed = Vec::new();
        for player in asked.iter().filter(|player| !held.contains(player)) {
            self.known.remove(player);
            freed.extend(self.waiting.remove(player).into_iter().flatten());
        }
        self.forget_commands(freed.len());
        freed
    }

    fn refuse_overdue(&mut self) {
        let now = Instant::now();
        let mut refused = 0;
        self.waiting.retain(|_, envelopes| {
            for mut envelope in envelopes.extract_if(.., |it| it.is_overdue(now)) {
                envelope.answer(Err(refusal()));
                refused += 1;
            }
            !envelopes.is_empty()
        });
        self.forget_commands(refused);
    }

    fn forget_commands(&mut self, number: usize) {
        self.commands -= number;
        self.metrics.held_commands.sub(i64::try_from(number).unwrap_or_default());
    }
}

impl Look {
    fn begin(store: &Store, asked: Vec<Uuid>) -> Self {
        let (store, players) = (store.clone(), asked.clone());
        let held = tokio::spawn(async move {
            let held = store.held_players(&players).await;
            held.inspect_err(|error| tracing::debug!(%error, "cannot ask for held players"))
                .map(HashSet::from_iter)
                .ok()
        });
        Self { asked, held }
    }
}

/// What a command is told that has waited in vain. Nothing was applied.
fn refusal() -> Error {
    Error::Unavailable("another transaction holds the player's row".into())
}
