//! The operations of operators on players and jobs. Each change writes an entry to the audit log.

use std::sync::Arc;

use serde_json::json;
use uuid::Uuid;

use crate::accounts::Accounts;
use crate::cache::Players;
use crate::clock::Clock;
use crate::game::{self, Answer, Export, Game, Request};
use crate::store::jobs::{JobRecord, JobStatus};
use crate::store::names::FoldedNames;
use crate::store::operators::FoundPlayer;
use crate::store::pulse::{Reason, Revocation};
use crate::store::{self, Store};

/// How many display names one statement folds.
const CHUNK: i64 = 1_000;
/// The maximum number of such statements in one search.
const MAX_CHUNKS: u32 = 10;

/// The operations of operators.
pub struct Operators {
    store: Store,
    players: Players,
    clock: Arc<dyn Clock>,
    accounts: Arc<Accounts>,
    game: Arc<Game>,
}

impl Operators {
    pub fn new(
        store: Store,
        players: Players,
        clock: Arc<dyn Clock>,
        accounts: Arc<Accounts>,
        game: Arc<Game>,
    ) -> Self {
        Self { store, players, clock, accounts, game }
    }

    /// Up to `limit` players with ids below `before` that match `text`, newest first, and whether there are more.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn search(
        &self,
        text: &str,
        before: Option<Uuid>,
        limit: usize,
    ) -> Result<(Vec<FoundPlayer>, bool), store::Error> {
        // A search by id and the list of all players need no names.
        let is_by_name = !text.is_empty() && Uuid::parse_str(text).is_err();
        if is_by_name && let Err(error) = self.fold_names().await {
            // For example because the database accepts no writes. Names that are already folded are found in any case.
            tracing::debug!(%error, "display names could not be folded");
        }
        let with_next = i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1;
        let mut players = self.store.search_players(text, before, with_next).await?;
        let more = players.len() > limit;
        players.truncate(limit);
        Ok((players, more))
    }

    /// Folds display names that are new since the last search, so that this search finds them. If there are more than
    /// one search may fold, the job that folds names processes the rest.
    async fn fold_names(&self) -> Result<(), store::Error> {
        let mut after = Uuid::nil();
        for _ in 0..MAX_CHUNKS {
            let found = self.store.find_unfolded_names(after, CHUNK).await?;
            let Some(last) = found.last().map(|it| it.id) else { return Ok(()) };
            let is_last = found.len() < CHUNK as usize;
            self.store.note_folded_names(&FoldedNames::of(found)).await?;
            if is_last {
                return Ok(());
            }
            after = last;
        }
        Ok(())
    }

    /// All data about a player.
    ///
    /// # Errors
    /// Returns [`game::Error::NoSuchPlayer`].
    pub async fn inspect(&self, player: Uuid) -> Result<Export, game::Error> {
        self.game.export(player).await
    }

    /// Bans a player or lifts the ban. A repeat changes nothing.
    ///
    /// # Errors
    /// Returns [`game::Error::NoSuchPlayer`].
    pub async fn set_banned(
        &self,
        player: Uuid,
        banned: bool,
        reason: Option<&str>,
    ) -> Result<(), game::Error> {
        let detail = json!({ "reason": reason });
        let guard = self.players.invalidate(player);
        let changed =
            self.store.set_banned(player, banned, self.clock.substitute(), &detail).await?;
        guard.confirm();
        if let Some(number) = changed {
            let reason = if banned { Reason::PlayerBanned } else { Reason::PlayerUnbanned };
            let revocation = Revocation { subject: player, reason, number };
            self.accounts.revocations().note_made(revocation, self.clock.now());
            return Ok(());
        }
        self.game.look_up(player).await.map(drop)
    }

    /// Gives a player energy, once per idempotency key, with an entry in its ledger and in the audit log.
    ///
    /// # Errors
    /// As [`Game::perform`].
    pub async fn grant(&self, request: Request) -> Result<Answer, game::Error> {
        self.game.perform(request).await
    }

    /// Up to `limit` jobs with ids below `before`, newest first, of one status or of all, and whether there are more.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn list_jobs(
        &self,
        of: Option<JobStatus>,
        before: Option<Uuid>,
        limit: usize,
    ) -> Result<(Vec<JobRecord>, bool), store::Error> {
        let with_next = i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1;
        let mut jobs = self.store.list_jobs(of, before, with_next).await?;
        let more = jobs.len() > limit;
        jobs.truncate(limit);
        Ok((jobs, more))
    }

    /// Makes a dead or queued job due at once, and lets it use all its attempts again. Returns whether its status
    /// allowed this, or `None` if there is no such job.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn retry_job(&self, job: Uuid) -> Result<Option<bool>, store::Error> {
        self.store.retry_job(job, self.clock.now()).await
    }

    /// Removes a job. If it is running, its result is discarded. Returns whether the job existed.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn discard_job(&self, job: Uuid) -> Result<bool, store::Error> {
        self.store.discard_job(job, self.clock.now()).await
    }
}
