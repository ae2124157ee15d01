//! Which catalogue holds when.

use std::sync::Arc;

use super::catalogue::Catalogue;
use super::rules::Rules;
use super::time::Timestamp;

/// The rules together with the versions of the catalogue, each in force from its `effective_at` to the next one's.
#[derive(Clone, Debug)]
pub struct Timeline {
    pub rules: Rules,
    /// Never empty, in the order of `effective_at`.
    catalogues: Vec<Arc<Catalogue>>,
}

impl Timeline {
    /// Makes a timeline of `catalogues` in any order; `None` where there is none.
    pub fn new(rules: Rules, mut catalogues: Vec<Arc<Catalogue>>) -> Option<Self> {
        catalogues.sort_by_key(|catalogue| (catalogue.effective_at, catalogue.version));
        (!catalogues.is_empty()).then_some(Self { rules, catalogues })
    }

    /// The catalogue in force at `now`. Before the first one began, the first one holds.
    pub fn at(&self, now: Timestamp) -> &Arc<Catalogue> {
        let begun = self.catalogues.partition_point(|catalogue| catalogue.effective_at <= now);
        &self.catalogues[begun.saturating_sub(1)]
    }

    /// The newest catalogue, in force or about to be.
    pub fn newest(&self) -> &Arc<Catalogue> {
        &self.catalogues[self.catalogues.len() - 1]
    }

    /// The spans between `from` and `to`, each with the catalogue that holds in it, in order and without gaps.
    pub fn segments(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> impl Iterator<Item = (&Arc<Catalogue>, Timestamp, Timestamp)> {
        let begun = self.catalogues.partition_point(|catalogue| catalogue.effective_at <= from);
        let first = begun.saturating_sub(1);
        let ends = self.catalogues[first + 1..].iter().map(|next| next.effective_at).chain([to]);
        let mut start = from;
        self.catalogues[first..].iter().zip(ends).map_while(move |(catalogue, end)| {
            let segment = (catalogue, start, end.min(to));
            start = segment.2;
            (segment.1 < segment.2).then_some(segment)
        })
    }
}
