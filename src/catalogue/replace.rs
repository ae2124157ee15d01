//! Replacing the catalogue.

use std::sync::Arc;

use super::{Catalogues, NOTICE_SECONDS, STORING_SECONDS};
use crate::domain::{Catalogue, CatalogueFault, CatalogueItems, Slug, Timestamp};
use crate::store;
use crate::store::catalogues::{NewCatalogue, VERSION_TAKEN};

/// Why a catalogue is refused.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    /// The catalogue is inconsistent, or removes an item that a player owns.
    #[error("the catalogue is invalid")]
    Faulty(Vec<CatalogueFault>),
    /// The request is based on a version that is no longer the latest; the value is the latest version.
    #[error("the latest catalogue is version {0}")]
    Outdated(u64),
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Catalogues {
    /// Validates `items` and stores them as the next version, which comes into force in three seconds. `is_expected`
    /// checks the version that is replaced.
    ///
    /// # Errors
    /// Returns a [`ReplaceError`]; nothing is stored then.
    pub async fn replace(
        &self,
        items: CatalogueItems,
        is_expected: impl Fn(&Catalogue) -> bool,
    ) -> Result<Arc<Catalogue>, ReplaceError> {
        let mut faults = items.faults();
        self.learn(self.load_above(self.newest_version()).await?, None);
        let newest = self.timeline().map(|timeline| Arc::clone(timeline.newest()));
        let newest = newest.map_err(|it| store::Error::Unavailable(it.to_string()))?;
        if !is_expected(&newest) {
            return Err(ReplaceError::Outdated(newest.version));
        }
        faults.extend(self.owned_but_missing(&newest, &items).await?);
        if !faults.is_empty() {
            return Err(ReplaceError::Faulty(faults));
        }
        let removed = newest.removed_by(&items);
        let version = newest.version + 1;
        let now = self.clock.now();
        let effective_at = now.plus_seconds(NOTICE_SECONDS).max(newest.effective_at);
        let next = NewCatalogue {
            version,
            effective_at,
            items: &items,
            removed: &removed,
            created_at: now,
        };
        match self.store.insert_catalogue(&next, self.store_deadline(now)).await {
            Ok(true) => self.replaced.notify_one(),
            Ok(false) => {
                return Err(store::Error::Unavailable("storing took too long".into()).into());
            }
            Err(error) if error.is_constraint(VERSION_TAKEN) => {
                return Err(ReplaceError::Outdated(version));
            }
            Err(error) => return Err(error.into()),
        }
        self.learn(vec![Catalogue::new(version, effective_at, items, removed)], None);
        let timeline = self.timeline().map_err(|it| store::Error::Unavailable(it.to_string()))?;
        Ok(Arc::clone(timeline.newest()))
    }

    /// The latest database time at which a change that was made at `now` may be stored. `None` if the clock is not the
    /// database's (in tests).
    fn store_deadline(&self, now: Timestamp) -> Option<Timestamp> {
        self.clock.is_the_databases().then(|| now.plus_seconds(STORING_SECONDS))
    }

    fn newest_version(&self) -> u64 {
        self.timeline().map_or(0, |timeline| timeline.newest().version)
    }

    /// The faults for items that `items` would remove although a player owns them. A concurrent purchase of such an
    /// item is harmless, because the definitions of removed items are kept for their owners.
    async fn owned_but_missing(
        &self,
        newest: &Catalogue,
        items: &CatalogueItems,
    ) -> Result<Vec<CatalogueFault>, store::Error> {
        let removed = newest.removed_by(items);
        let generators: Vec<Slug> = removed.generators.into_iter().map(|it| it.id).collect();
        let upgrades: Vec<Slug> = removed.upgrades.into_iter().map(|it| it.id).collect();
        if generators.is_empty() && upgrades.is_empty() {
            return Ok(Vec::new());
        }
        let owned = self.store.owned_items(&generators, &upgrades).await?;
        let fault = |list: &str, id: String| CatalogueFault {
            field: list.to_owned(),
            message: format!("{id} is owned by players: retire it with \"available\": false"),
        };
        let generators = owned.generators.into_iter().map(|id| fault("generators", id));
        let upgrades = owned.upgrades.into_iter().map(|id| fault("upgrades", id));
        Ok(generators.chain(upgrades).collect())
    }
}
