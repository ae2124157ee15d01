//! Reads and stores versions of the catalogue.

use tokio_postgres::types::{Json, ToSql};

use super::commit::signed;
use super::error::Error;
use super::pool::Store;
use crate::domain::{Catalogue, CatalogueItems, CatalogueTexts, Slug, Timestamp};

/// The constraint that is violated by the second of two concurrent changes.
pub const VERSION_TAKEN: &str = "catalogues_pkey";

/// A version to store.
#[derive(Clone, Copy, Debug)]
pub struct NewCatalogue<'a> {
    pub version: u64,
    pub effective_at: Timestamp,
    pub items: &'a CatalogueItems,
    /// The last definitions of items that earlier versions contained and this one does not.
    pub removed: &'a CatalogueItems,
    pub created_at: Timestamp,
}

/// The ids of generators and upgrades.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ItemNames {
    pub generators: Vec<String>,
    pub upgrades: Vec<String>,
}

impl Store {
    /// The versions above `version`, oldest first.
    /// In a version of the previous release, which stores no texts in other languages, the items that are as in
    /// `defaults` get the texts from there.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn catalogues_newer_than(
        &self,
        version: u64,
        defaults: &CatalogueItems,
    ) -> Result<Vec<Catalogue>, Error> {
        let sql = include_str!("../../sql/queries/catalogues/newer_than.sql");
        let rows = self.query(sql, &[&signed(version)]).await?;
        rows.iter()
            .map(|row| {
                let Json(mut items): Json<CatalogueItems> = row.try_get("items")?;
                let texts: Option<Json<CatalogueTexts>> = row.try_get("texts")?;
                let texts = texts.map(|Json(texts)| texts);
                items.put_texts(texts.unwrap_or_else(|| items.texts_like(defaults)));
                let Json(removed): Json<CatalogueItems> = row.try_get("removed")?;
                let version: i64 = row.try_get("version")?;
                let effective_at = row.try_get("effective_at")?;
                Ok(Catalogue::new(version.unsigned_abs(), effective_at, items, removed))
            })
            .collect()
    }

    /// Stores a version and an entry of the audit log, unless the database's time is later than `no_later_than`.
    /// Returns whether it was stored.
    ///
    /// # Errors
    /// Returns [`Error::Constraint`] with [`VERSION_TAKEN`] if a concurrent change has stored this version already,
    /// otherwise the error of the statement.
    pub async fn insert_catalogue(
        &self,
        version: &NewCatalogue<'_>,
        no_later_than: Option<Timestamp>,
    ) -> Result<bool, Error> {
        let sql = include_str!("../../sql/queries/catalogues/insert.sql");
        // The previous release reads `items` and `removed` and refuses texts in them.
        let (mut items, mut removed) = (version.items.clone(), version.removed.clone());
        let texts = Json(items.take_texts());
        removed.take_texts();
        let (number, items, removed) = (signed(version.version), Json(items), Json(removed));
        let parameters: [&(dyn ToSql + Sync); 7] = [
            &number,
            &version.effective_at,
            &items,
            &removed,
            &version.created_at,
            &no_later_than,
            &texts,
        ];
        Ok(!self.query(sql, &parameters).await?.is_empty())
    }

    /// Those of the given items that at least one player owns.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn owned_items(
        &self,
        generators: &[Slug],
        upgrades: &[Slug],
    ) -> Result<ItemNames, Error> {
        let text = |ids: &[Slug]| ids.iter().map(Slug::to_string).collect::<Vec<_>>();
        let sql = include_str!("../../sql/queries/catalogues/owned_items.sql");
        let rows = self.query(sql, &[&text(generators), &text(upgrades)]).await?;
        let mut owned = ItemNames::default();
        for row in rows {
            match row.try_get("kind")? {
                "generator" => owned.generators.push(row.try_get("id")?),
                _ => owned.upgrades.push(row.try_get("id")?),
            }
        }
        Ok(owned)
    }
}
