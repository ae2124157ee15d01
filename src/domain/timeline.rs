//! The versions of the catalogue and when each is in force.

use std::sync::Arc;

use super::catalogue::Catalogue;
use super::rules::Rules;
use super::time::Timestamp;

/// The rules, and the versions of the catalogue. Each version is in force from its `effective_at` until the
/// `effective_at` of the next version.
#[derive(Clone, Debug)]
pub struct Timeline {
    pub rules: Arc<Rules>,
    /// Never empty, in the order of `effective_at`.
    catalogues: Vec<Arc<Catalogue>>,
}

impl Timeline {
    /// Creates a timeline of `catalogues`, which may be in any order. Returns `None` if there are none.
    pub fn new(rules: Arc<Rules>, mut catalogues: Vec<Arc<Catalogue>>) -> Option<Self> {
        catalogues.sort_by_key(|catalogue| (catalogue.effective_at, catalogue.version));
        (!catalogues.is_empty()).then_some(Self { rules, catalogues })
    }

    /// The catalogue in force at `now`. Before the `effective_at` of the first version, the first version is in force.
    pub fn at(&self, now: Timestamp) -> &Arc<Catalogue> {
        let started = self.catalogues.partition_point(|catalogue| catalogue.effective_at <= now);
        &self.catalogues[started.saturating_sub(1)]
    }

    /// The latest catalogue, which may not be in force yet.
    pub fn newest(&self) -> &Arc<Catalogue> {
        &self.catalogues[self.catalogues.len() - 1]
    }

    /// Splits the time from `from` to `to` at changes of the catalogue. Returns for each part the catalogue that is in
    /// force, and the start and end of the part, in order and without gaps.
    pub fn segments(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> impl Iterator<Item = (&Arc<Catalogue>, Timestamp, Timestamp)> {
        let started = self.catalogues.partition_point(|catalogue| catalogue.effective_at <= from);
        let first = started.saturating_sub(1);
        let ends = self.catalogues[first + 1..].iter().map(|next| next.effective_at).chain([to]);
        let mut start = from;
        let segments = self.catalogues[first..].iter().zip(ends).map(move |(catalogue, end)| {
            let segment = (catalogue, start, end.min(to));
            start = start.max(segment.2);
            segment
        });
        // If two catalogues have the same `effective_at`, the part of the first one is empty.
        segments.filter(|(_, start, end)| start < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::CatalogueItems;
    use crate::domain::testing::at;

    #[test]
    fn catalogues_with_the_same_effective_time_leave_no_gap() {
        let catalogue = |version, seconds| {
            let items = CatalogueItems::default;
            Arc::new(Catalogue::new(version, at(seconds), items(), items()))
        };
        let catalogues = vec![catalogue(1, 0.0), catalogue(2, 10.0), catalogue(3, 10.0)];
        let timeline = Timeline::new(Arc::default(), catalogues).expect("three");
        let segments = |from, to| {
            let segments = timeline.segments(at(from), at(to));
            segments.map(|(it, start, end)| (it.version, start, end)).collect::<Vec<_>>()
        };
        assert_eq!(segments(5.0, 20.0), [(1, at(5.0), at(10.0)), (3, at(10.0), at(20.0))]);
        assert_eq!(segments(5.0, 5.0), []);
        assert_eq!(segments(20.0, 5.0), []);
        assert_eq!(timeline.at(at(10.0)).version, 3);
    }
}
