//! The places that go before the line, in order of their numbers: sorted runs, short enough to be moved.
//!
//! A place is found, added and taken out by two searches and one move within a run; its rank is a sum over the runs. Mostly there are a few, after a
//! loss of the store as many as had tickets.

use crate::id::BuyerId;
use crate::memory::index::Slot;
use crate::queue::Number;

/// A run is cut in two when it has more.
const RUN_MAX: usize = 512;

/// An early place. Those of the same number go by the member's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Early {
    pub(super) number: Number,
    pub(super) member: BuyerId,
    pub(super) slot: Slot,
}

/// All early places. No run is empty.
#[derive(Debug, Clone, Default)]
pub(super) struct EarlyPlaces {
    runs: Vec<Vec<Early>>,
    len: usize,
}

impl EarlyPlaces {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn first(&self) -> Option<&Early> {
        self.runs.first()?.first()
    }

    /// The run in which a place is, or would be.
    fn run_of(&self, place: &Early) -> usize {
        let after = self.runs.partition_point(|run| run.last().is_some_and(|last| last < place));
        after.min(self.runs.len().saturating_sub(1))
    }

    pub(super) fn insert(&mut self, place: Early) {
        if self.runs.is_empty() {
            self.runs.push(Vec::new());
        }
        let n = self.run_of(&place);
        let run = &mut self.runs[n];
        let Err(at) = run.binary_search(&place) else { return };
        run.insert(at, place);
        self.len += 1;
        if run.len() > RUN_MAX {
            let rest = run.split_off(RUN_MAX / 2);
            self.runs.insert(n + 1, rest);
        }
    }

    pub(super) fn remove(&mut self, place: &Early) {
        let n = self.run_of(place);
        let Some(run) = self.runs.get_mut(n) else { return };
        let Ok(at) = run.binary_search(place) else { return };
        run.remove(at);
        self.len -= 1;
        if run.is_empty() {
            self.runs.remove(n);
        }
    }

    /// How many go before a place.
    pub(super) fn rank(&self, place: &Early) -> usize {
        let n = self.run_of(place);
        let before: usize = self.runs[..n].iter().map(Vec::len).sum();
        before + self.runs.get(n).map_or(0, |run| run.partition_point(|other| other < place))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::queue::Generation;

    proptest! {
        #[test]
        fn it_keeps_what_a_sorted_set_keeps(steps in prop::collection::vec((0_u64..900, any::<bool>()), 1..3_000)) {
            let (mut early, mut set) = (EarlyPlaces::default(), BTreeSet::new());
            for (no, insert) in steps {
                let number = Number { generation: Generation(no % 3), no };
                let place = Early { number, member: BuyerId::new("m").unwrap(), slot: 1 };
                if insert {
                    early.insert(place.clone());
                    set.insert(place.clone());
                } else {
                    early.remove(&place);
                    set.remove(&place);
                }
                prop_assert_eq!(early.len(), set.len());
                prop_assert_eq!(early.first(), set.first());
                prop_assert_eq!(early.rank(&place), set.range(..&place).count());
            }
        }
    }
}
