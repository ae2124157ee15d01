//! The catalogue that is in force, and changing it.
//!
//! Every instance reads the newest version's number twice a second. A change is in force three seconds after it is
//! made; an instance that could not confirm its catalogue for two refuses mutations. So none applies an old catalogue
//! after a new one began.

mod replace;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

pub use replace::ReplaceError;

use crate::clock::Clock;
use crate::domain::{Catalogue, CatalogueItems, Rules, Timeline, Timestamp};
use crate::store::catalogues::{NewCatalogue, VERSION_TAKEN};
use crate::store::{self, Store};

/// How far ahead a change comes into force, in seconds.
const NOTICE_SECONDS: f64 = 3.0;

/// For how long a confirmation holds.
const CONFIRMED_FOR: Duration = Duration::from_secs(2);

/// How long storing a change may take, in seconds: with [`CONFIRMED_FOR`] less than the notice, so that whoever is still
/// confirmed when it comes into force has heard of it.
const STORING_SECONDS: f64 = 0.5;

/// The catalogue that a new database begins with.
const SEED: &str = include_str!("../../sql/catalogue.json");

/// No catalogue is known, or it may not be the newest.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the catalogue or the time is not confirmed")]
pub struct Unconfirmed;

/// The versions of the catalogue as this instance knows them.
pub struct Catalogues {
    store: Store,
    clock: Arc<dyn Clock>,
    rules: Arc<Rules>,
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    versions: Vec<Arc<Catalogue>>,
    timeline: Option<Arc<Timeline>>,
    /// When the question was sent whose answer last confirmed the newest version.
    confirmed_at: Option<Instant>,
}

impl Catalogues {
    /// Knows nothing yet.
    pub fn new(store: Store, clock: Arc<dyn Clock>, rules: Rules) -> Self {
        Self { store, clock, rules: Arc::new(rules), known: RwLock::default() }
    }

    /// The timeline as far as it is known: right for reading.
    ///
    /// # Errors
    /// [`Unconfirmed`] before the first version is loaded.
    pub fn timeline(&self) -> Result<Arc<Timeline>, Unconfirmed> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.timeline.clone().ok_or(Unconfirmed)
    }

    /// The timeline, certain to hold every version in force, and the time now, which can be trusted: right for changing a
    /// player.
    ///
    /// # Errors
    /// [`Unconfirmed`] where that is not certain.
    pub fn confirmed_timeline(&self) -> Result<(Arc<Timeline>, Timestamp), Unconfirmed> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let of_this_epoch = |at: Instant| self.store.identity().knows(at);
        let recent =
            known.confirmed_at.is_some_and(|at| at.elapsed() < CONFIRMED_FOR && of_this_epoch(at));
        let timeline = known.timeline.clone().filter(|_| recent);
        timeline.zip(self.clock.steady_now()).ok_or(Unconfirmed)
    }

    /// Takes in that at `sent` the newest version was `newest`, loading what is new.
    ///
    /// # Errors
    /// As every statement's; nothing is confirmed then.
    pub async fn confirm(&self, newest: u64, sent: Instant) -> Result<(), store::Error> {
        let held = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            known.versions.last().map_or(0, |catalogue| catalogue.version)
        };
        let loaded =
            if newest > held { self.store.catalogues_newer_than(held).await? } else { Vec::new() };
        self.learn(loaded, Some(sent));
        Ok(())
    }

    /// Takes the versions of a database of another epoch for those that were known.
    ///
    /// # Errors
    /// As every statement's; what was known stays, unconfirmed.
    pub async fn restart(&self) -> Result<(), store::Error> {
        let sent = Instant::now();
        let loaded = self.store.catalogues_newer_than(0).await?;
        let mut restarted = Known::default();
        restarted.learn(loaded, &self.rules, Some(sent));
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = restarted;
        Ok(())
    }

    /// Stores the catalogue that comes with the server, where the database has none.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn seed(&self) -> Result<(), store::Error> {
        if !self.store.catalogues_newer_than(0).await?.is_empty() {
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
            // Another instance was first.
            Err(error) if error.is_constraint(VERSION_TAKEN) => Ok(()),
            result => result.map(drop),
        }
    }

    /// The catalogue that a new database begins with.
    ///
    /// # Errors
    /// Where the file in the build is not one.
    pub fn seed_items() -> Result<CatalogueItems, store::Error> {
        serde_json::from_str(SEED)
            .map_err(|error| store::Error::Corrupt(format!("sql/catalogue.json: {error}")))
    }

    /// Adds versions and notes a confirmation.
    fn learn(&self, loaded: Vec<Catalogue>, confirmed_at: Option<Instant>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.learn(loaded, &self.rules, confirmed_at);
    }
}

impl Known {
    fn learn(&mut self, loaded: Vec<Catalogue>, rules: &Arc<Rules>, confirmed_at: Option<Instant>) {
        let held = self.versions.last().map_or(0, |catalogue| catalogue.version);
        let new = loaded.into_iter().filter(|catalogue| catalogue.version > held).map(Arc::new);
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
