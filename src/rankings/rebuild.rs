//! Rebuilds the boards from Postgres, which updates the players that no instance saw recently.

use std::sync::atomic::Ordering;
use std::time::Instant;

use uuid::Uuid;

use super::board::{Publication, Standing, Status, Unavailable};
use super::redis::{Build, Shared};
use super::{Error, Rankings, log_damage};
use crate::domain::{Season, Timestamp};

/// The number of rows that one query reads.
const READ_BATCH: usize = 1000;

/// The age in seconds at which the boards are rebuilt. Scores must be at most ten minutes old, so this leaves a minute
/// for the rebuild.
const REBUILD_AFTER: f64 = 540.0;

/// Deletions of this many last seconds are applied to new boards, so that an instance that was suspended cannot publish
/// a deleted player again.
const DELETIONS_SECONDS: f64 = 3600.0;

/// The result of a rebuild.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// The number of rows that were read.
    pub players: u64,
}

/// A rebuild in progress.
struct Rebuild<'a> {
    /// The era to which the rows belong.
    era: u64,
    target: Target<'a>,
}

/// The boards that a rebuild writes.
enum Target<'a> {
    /// The boards in memory, with the number of the rebuild.
    Local(u64),
    Shared(&'a Shared, Build),
}

impl Rankings {
    /// Whether boards with this status must be rebuilt.
    pub(super) fn is_due(&self, status: Status, now: Timestamp) -> bool {
        let outdated = Timestamp::from_micros(self.outdated_before.load(Ordering::Relaxed));
        status.rebuilt.is_none_or(|(at, season)| {
            season != Season::at(now)
                || at < outdated
                || now.seconds_since(at).abs() >= REBUILD_AFTER
        })
    }

    /// Marks boards that were built before `now` as incomplete, so that they are rebuilt.
    pub(super) fn rebuild_since(&self, now: Timestamp) {
        self.outdated_before.store(now.as_micros(), Ordering::Relaxed);
    }

    /// Waits until a rebuild may be necessary.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Demands a rebuild from the task that waits in [`Rankings::wanted`], even if none is due. The demand remains
    /// until a rebuild that started after it has succeeded; a rebuild that is already in progress on any instance does
    /// not satisfy it. Returns false if this instance is rebuilding now, so that the demanded rebuild starts after that
    /// one.
    pub fn demand_rebuild(&self) -> bool {
        self.demanded.fetch_add(1, Ordering::Release);
        self.wanted.notify_one();
        self.rebuilding.try_lock().is_ok()
    }

    fn is_demanded(&self) -> bool {
        self.demanded.load(Ordering::Acquire) > self.satisfied.load(Ordering::Relaxed)
    }

    /// Rebuilds the boards if they are incomplete, too old or of another season, or if a rebuild is demanded.
    ///
    /// # Errors
    /// Those of [`Rankings::rebuild`].
    pub async fn rebuild_if_due(&self) -> Result<Option<Rebuilt>, Error> {
        let now = self.clock.now();
        let status = match self.shared_up() {
            Some(shared) => shared.status().await?,
            None => self.local.status(),
        };
        if !self.is_demanded() && !self.is_due(status, now) {
            return Ok(None);
        }
        let rebuilt = self.rebuild().await;
        match &rebuilt {
            Ok(Some(_)) if status.is_damaged => log_damage(),
            // Another rebuild is in progress. It may have read rows before the demand, so try again.
            Ok(None) if self.is_demanded() => self.wanted.notify_one(),
            Err(Error::Unavailable(Unavailable::Interrupted)) => self.wanted.notify_one(),
            _ => {}
        }
        rebuilt
    }

    /// Builds new boards from Postgres and then replaces the old ones atomically. Publications during the rebuild are
    /// written to the old and the new boards. Any number of instances may call this: one rebuilds, and the others
    /// return
    /// `None`.
    ///
    /// # Errors
    /// Returns an error if a store is unavailable or a part of the new boards was lost. The old boards are then
    /// unchanged.
    pub async fn rebuild(&self) -> Result<Option<Rebuilt>, Error> {
        let Ok(_guard) = self.rebuilding.try_lock() else { return Ok(None) };
        let demanded = self.demanded.load(Ordering::Acquire);
        if self.is_demanded() {
            // Wait for a running publication: if it started before the demand, it may still write outdated standings.
            drop(self.published.lock().await);
        }
        let era = self.local.era();
        let target = if let Some(shared) = self.shared_up() {
            let Some(build) = shared.begin().await? else { return Ok(None) };
            Target::Shared(shared, build)
        } else {
            Target::Local(self.local.begin())
        };
        let rebuild = Rebuild { era, target };
        let (began, started) = (self.clock.now(), Instant::now());
        let built = self.build(&rebuild, began).await;
        if let (Err(_), Target::Shared(shared, build)) = (&built, &rebuild.target) {
            // Remove the build, so that other instances need not wait until it expires. If this fails, they wait.
            shared.abandon(build).await.ok();
        }
        let players = built?;
        self.satisfied.fetch_max(demanded, Ordering::Relaxed);
        self.generation.fetch_add(1, Ordering::Relaxed);
        let seconds = started.elapsed().as_secs_f64();
        self.metrics.rebuilds.inc();
        self.metrics.rebuild_seconds.set(seconds);
        self.metrics.rebuild_players.set(i64::try_from(players).unwrap_or(i64::MAX));
        tracing::info!(players, seconds, "the rankings were rebuilt");
        Ok(Some(Rebuilt { players }))
    }

    /// Fills the new boards and replaces the old ones.
    async fn build(&self, rebuild: &Rebuild<'_>, began: Timestamp) -> Result<u64, Error> {
        let season = Season::at(began);
        let players = self.fill(rebuild, began).await?;
        self.check_era(rebuild)?;
        match &rebuild.target {
            Target::Local(number) => self.local.finish(*number, season, began)?,
            Target::Shared(shared, build) => shared.finish(build, season, began).await?,
        }
        Ok(players)
    }

    /// Fails if a new era has started: then the rebuild may have read rows before the database was reverted to an
    /// earlier state.
    fn check_era(&self, rebuild: &Rebuild<'_>) -> Result<(), Unavailable> {
        if self.local.era() == rebuild.era { Ok(()) } else { Err(Unavailable::Interrupted) }
    }

    /// Reads all players and writes their standings.
    async fn fill(&self, rebuild: &Rebuild<'_>, began: Timestamp) -> Result<u64, Error> {
        let deleted = self.store.deleted_since(began.plus_seconds(-DELETIONS_SECONDS)).await?;
        let deleted: Vec<Standing> =
            deleted.into_iter().map(|player| Standing::deleted(player, began)).collect();
        self.put(rebuild, &deleted).await?;
        let mut count = 0;
        let mut rows = self.store.players_after(Uuid::nil(), READ_BATCH).await?;
        while let Some(last) = rows.last().map(|record| record.id) {
            count += rows.len() as u64;
            let (timeline, now) = (self.catalogues.timeline()?, self.clock.now());
            let standings: Vec<Standing> =
                rows.iter().map(|record| Standing::of(record, &timeline, now)).collect();
            // Read the next rows while these standings are written.
            let (written, next) = tokio::join!(
                self.put(rebuild, &standings),
                self.store.players_after(last, READ_BATCH)
            );
            written?;
            rows = next?;
        }
        Ok(count)
    }

    async fn put(&self, rebuild: &Rebuild<'_>, standings: &[Standing]) -> Result<(), Unavailable> {
        self.check_era(rebuild)?;
        let now = self.clock.now();
        let publication = Publication { season: Season::at(now), as_of: now, standings };
        match &rebuild.target {
            Target::Local(_) => {
                self.local.publish(&publication, rebuild.era)?;
                // Writing to memory never waits, so let other tasks of this thread run.
                tokio::task::yield_now().await;
                Ok(())
            }
            Target::Shared(shared, build) => shared.fill(build, &publication).await,
        }
    }
}
