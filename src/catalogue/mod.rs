//! The catalogue in force, and changing it.
//!
//! Every instance reads the number of the latest version twice a second. A change comes into force three seconds after
//! it was made. An instance that could not confirm its version for two seconds refuses mutations. So no instance
//! applies an old catalogue after a new one is in force.

mod replace;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

pub use replace::ReplaceError;

use crate::clock::Clock;
use crate::domain::{Catalogue, CatalogueItems, Rules, Timeline, Timestamp};
use crate::store::catalogues::{NewCatalogue, VERSION_TAKEN};
use crate::store::{self, Store};

/// Seconds from a change until it comes into force.
const NOTICE_SECONDS: f64 = 3.0;

/// How long a confirmation is valid.
const CONFIRMED_FOR: Duration = Duration::from_secs(2);

/// Seconds that storing a change may take. The sum with [`CONFIRMED_FOR`] is less than [`NOTICE_SECONDS`]. So an
/// instance whose confirmation is still valid when the change comes into force has read the change.
const STORING_SECONDS: f64 = 0.5;

/// The catalogue of a new database.
const SEED: &str = include_str!("../../sql/catalogue.json");

/// No catalogue is known, the known one may not be the latest, or the database's time is not known reliably.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the catalogue or the time is not confirmed")]
pub struct Unconfirmed;

/// The versions of the catalogue that this instance knows.
pub struct Catalogues {
    store: Store,
    clock: Arc<dyn Clock>,
    rules: Arc<Rules>,
    known: RwLock<Known>,
    /// Notified when this instance has stored a version.
    replaced: Notify,
}

#[derive(Default)]
struct Known {
    versions: Vec<Arc<Catalogue>>,
    timeline: Option<Arc<Timeline>>,
    /// When the query was sent that last confirmed the latest version.
    confirmed_at: Option<Instant>,
}

impl Catalogues {
    /// Starts without any known version.
    pub fn new(store: Store, clock: Arc<dyn Clock>, rules: Rules) -> Self {
        Self {
            store,
            clock,
            rules: Arc::new(rules),
            known: RwLock::default(),
            replaced: Notify::new(),
        }
    }

    /// Returns when this instance has replaced the catalogue.
    pub async fn replaced(&self) {
        self.replaced.notified().await;
    }

    /// The known timeline, for reading.
    ///
    /// # Errors
    /// Returns [`Unconfirmed`] before the first version is loaded.
    pub fn timeline(&self) -> Result<Arc<Timeline>, Unconfirmed> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.timeline.clone().ok_or(Unconfirmed)
    }

    /// The timeline and the time, for changing a player. The timeline contains every version that is in force.
    ///
    /// # Errors
    /// Returns [`Unconfirmed`] if this instance cannot be sure of that, or of the time.
    pub fn confirmed_timeline(&self) -> Result<(Arc<Timeline>, Timestamp), Unconfirmed> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let is_of_this_epoch = |at: Instant| self.store.identity().knows(at);
        let recent = known
            .confirmed_at
            .is_some_and(|at| at.elapsed() < CONFIRMED_FOR && is_of_this_epoch(at));
        let timeline = known.timeline.clone().filter(|_| recent);
        timeline.zip(self.clock.steady_now()).ok_or(Unconfirmed)
    }

    /// Notes that `newest` was the latest version at `sent`, and loads the versions that are not known yet.
    ///
    /// # Errors
    /// Returns the error of the query; nothing is confirmed then.
    pub async fn confirm(&self, newest: u64, sent: Instant) -> Result<(), store::Error> {
        let known_version = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            known.versions.last().map_or(0, |catalogue| catalogue.version)
        };
        let loaded =
            if newest > known_version { self.load_above(known_version).await? } else { Vec::new() };
        self.learn(loaded, Some(sent));
        Ok(())
    }

    /// Replaces the known versions by those of a database of another epoch.
    ///
    /// # Errors
    /// Returns the error of the query; the known versions are kept but not confirmed.
    pub async fn restart(&self) -> Result<(), store::Error> {
        let sent = Instant::now();
        let loaded = self.load_above(0).await?;
        let mut restarted = Known::default();
        restarted.learn(loaded, &self.rules, Some(sent));
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = restarted;
        Ok(())
    }

    /// Stores the default catalogue, which is part of the program, if the database has none.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn seed(&self) -> Result<(), store::Error> {
        if !self.load_above(0).await?.is_empty() {
            return Ok(());
        }
        let items = Self::seed_items()?;
        let now = self.clock.now();
        let first = NewCatalogue {
            version: 1,
            effective_at: now,
            items: &items,
            removed: &CatalogueItems::default(),
            created_at: now,
        };
        match self.store.insert_catalogue(&first, None).await {
            // Another instance has stored it in between.
            Err(error) if error.is_constraint(VERSION_TAKEN) => Ok(()),
            result => result.map(drop),
        }
    }

    /// The catalogue of a new database.
    ///
    /// # Errors
    /// Returns an error if the embedded file is not valid.
    pub fn seed_items() -> Result<CatalogueItems, store::Error> {
        serde_json::from_str(SEED)
            .map_err(|error| store::Error::Corrupt(format!("sql/catalogue.json: {error}")))
    }

    /// The versions above `version`, oldest first.
    ///
    /// # Errors
    /// Returns the error of the statement.
    async fn load_above(&self, version: u64) -> Result<Vec<Catalogue>, store::Error> {
        self.store.catalogues_newer_than(version, &Self::seed_items()?).await
    }

    /// Adds versions and notes a confirmation.
    fn learn(&self, loaded: Vec<Catalogue>, confirmed_at: Option<Instant>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.learn(loaded, &self.rules, confirmed_at);
    }
}

impl Known {
    fn learn(&mut self, loaded: Vec<Catalogue>, rules: &Arc<Rules>, confirmed_at: Option<Instant>) {
        let known_version = self.versions.last().map_or(0, |catalogue| catalogue.version);
        let new =
            loaded.into_iter().filter(|catalogue| catalogue.version > known_version).map(Arc::new);
        let before = self.versions.len();
        self.versions.extend(new);
        if self.versions.len() > before {
            self.timeline = Timeline::new(Arc::clone(rules), self.versions.clone()).map(Arc::new);
        }
        if confirmed_at > self.confirmed_at {
            self.confirmed_at = confirmed_at;
        }
    }
}
