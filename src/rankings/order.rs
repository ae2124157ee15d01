//! An ordered set that finds the position of a member.
//!
//! It consists of sorted runs of bounded length. A position is the sum of the lengths of the preceding runs, which for
//! a million members is a sum of a few thousand numbers. Searching, inserting and removing take binary searches and
//! shift members within one run.

/// The maximum number of members in a run. A run that exceeds it is split into two.
const RUN: usize = 512;

/// A set of `T` in ascending order.
#[derive(Clone, Debug)]
pub(super) struct Order<T> {
    /// No run is empty.
    runs: Vec<Vec<T>>,
    length: usize,
}

impl<T> Default for Order<T> {
    fn default() -> Self {
        Self { runs: Vec::new(), length: 0 }
    }
}

impl<T: Ord + Copy> Order<T> {
    /// The number of members.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Adds a member. Returns whether it is new.
    pub(super) fn insert(&mut self, member: T) -> bool {
        // A member above all others is appended to the last run.
        let index = self.run_of(member).min(self.runs.len().saturating_sub(1));
        let Some(run) = self.runs.get_mut(index) else {
            self.runs.push(vec![member]);
            self.length = 1;
            return true;
        };
        let Err(place) = run.binary_search(&member) else { return false };
        run.insert(place, member);
        if run.len() > RUN {
            let upper = run.split_off(RUN / 2);
            self.runs.insert(index + 1, upper);
        }
        self.length += 1;
        true
    }

    /// Removes a member. Returns whether it was in the set.
    pub(super) fn remove(&mut self, member: T) -> bool {
        let index = self.run_of(member);
        let Some(run) = self.runs.get_mut(index) else { return false };
        let Ok(place) = run.binary_search(&member) else { return false };
        run.remove(place);
        if run.is_empty() {
            self.runs.remove(index);
        }
        self.length -= 1;
        true
    }

    /// The number of members below this one; `None` if it is not in the set.
    pub(super) fn position(&self, member: T) -> Option<usize> {
        let index = self.run_of(member);
        let place = self.runs.get(index)?.binary_search(&member).ok()?;
        Some(self.runs[..index].iter().map(Vec::len).sum::<usize>() + place)
    }

    /// The members starting at a position.
    pub(super) fn from(&self, position: usize) -> impl Iterator<Item = T> + '_ {
        let (mut index, mut skipped) = (0, position);
        while let Some(run) = self.runs.get(index).filter(|run| run.len() <= skipped) {
            skipped -= run.len();
            index += 1;
        }
        self.runs[index..].iter().flatten().skip(skipped).copied()
    }

    /// The index of the first run whose last member is at or above this member. If the member is in the set, it is in
    /// this run.
    fn run_of(&self, member: T) -> usize {
        self.runs.partition_point(|run| run.last().is_some_and(|last| *last < member))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Asserts that both contain the same members at the same positions.
    fn agree(order: &Order<u32>, oracle: &BTreeSet<u32>) {
        assert_eq!(order.len(), oracle.len());
        assert!(order.from(0).eq(oracle.iter().copied()));
        assert!(order.runs.iter().all(|run| (1..=RUN).contains(&run.len())));
        for (position, member) in oracle.iter().enumerate() {
            assert_eq!(order.position(*member), Some(position));
            if position % 97 == 0 {
                assert_eq!(order.from(position).next(), Some(*member));
            }
        }
        assert_eq!(order.from(oracle.len()).next(), None);
        assert_eq!(order.from(oracle.len() + RUN).next(), None);
    }

    #[test]
    fn ascending_and_descending_insertions_are_kept() {
        let (mut order, mut oracle) = (Order::default(), BTreeSet::new());
        agree(&order, &oracle);
        for member in (0..3000).chain((5000..9000).rev()) {
            assert!(order.insert(member));
            assert!(!order.insert(member));
            oracle.insert(member);
        }
        agree(&order, &oracle);
        for member in 0..9000 {
            assert_eq!(order.remove(member), oracle.remove(&member));
            if member % 1000 == 0 {
                agree(&order, &oracle);
            }
        }
        assert!(order.runs.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_sequence_of_changes_has_the_same_result_as_in_a_btree_set(
            steps in proptest::collection::vec((0u32..4000, 0u32..3), 1..12_000),
        ) {
            let (mut order, mut oracle) = (Order::default(), BTreeSet::new());
            for (member, step) in steps {
                if step == 0 {
                    prop_assert_eq!(order.remove(member), oracle.remove(&member));
                } else {
                    prop_assert_eq!(order.insert(member), oracle.insert(member));
                }
                prop_assert_eq!(order.position(member).is_some(), oracle.contains(&member));
            }
            agree(&order, &oracle);
        }
    }
}
