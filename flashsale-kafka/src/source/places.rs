//! What was delivered and not kept yet: which offsets each position stands for.
//!
//! Pure: no client, no clock. A position is a number of ours, growing with each delivery of a group, over all partitions.

use std::collections::{BTreeMap, VecDeque};

/// A partition of a topic.
pub(super) type Partition = (String, i32);

/// A record that is no event for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Poison {
    pub(super) partition: Partition,
    pub(super) key: Vec<u8>,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) value: Vec<u8>,
    pub(super) reason: String,
}

/// One delivery that is not kept yet.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Open {
    position: u64,
    /// The first and the last offset that it has of each partition.
    spans: Vec<(Partition, i64, i64)>,
    poison: Vec<Poison>,
}

impl Open {
    /// Adds a record.
    pub(super) fn add(&mut self, topic: &str, partition: i32, offset: i64) {
        // The next record is most often of the same partition.
        let same = |((of, number), ..): &&mut (Partition, i64, i64)| *number == partition && of == topic;
        match self.spans.iter_mut().rev().find(same) {
            Some((_, _, last)) => *last = offset,
            None => self.spans.push(((topic.to_owned(), partition), offset, offset)),
        }
    }

    /// Adds what cannot be read; its offset was added.
    pub(super) fn spoil(&mut self, poison: Poison) {
        self.poison.push(poison);
    }
}

/// The deliveries of one group that are not kept yet, in order.
#[derive(Debug, Default)]
pub(super) struct Places {
    next: u64,
    open: VecDeque<Open>,
    /// Set while the client stands behind the first open delivery, where it must go back to.
    astray: bool,
}

impl Places {
    /// Remembers a delivery; gives its position.
    pub(super) fn deliver(&mut self, delivery: Open) -> u64 {
        self.next += 1;
        self.open.push_back(Open { position: self.next, ..delivery });
        self.next
    }

    /// Whether nothing is open before this position.
    pub(super) fn is_first(&self, position: u64) -> bool {
        self.open.front().is_none_or(|open| open.position >= position)
    }

    /// What cannot be read, up to this position.
    pub(super) fn poison(&self, position: u64) -> Vec<Poison> {
        let upto = self.open.iter().take_while(|open| open.position <= position);
        upto.flat_map(|open| open.poison.iter().cloned()).collect()
    }

    /// Forgets what is open up to this position; gives the next offset of each partition.
    pub(super) fn keep(&mut self, position: u64) -> BTreeMap<Partition, i64> {
        let mut kept = BTreeMap::new();
        while self.open.front().is_some_and(|open| open.position <= position) {
            for (partition, _, last) in self.open.pop_front().into_iter().flat_map(|open| open.spans) {
                kept.insert(partition, last + 1);
            }
        }
        kept
    }

    /// Says that all that is open is to come again.
    pub(super) fn go_back(&mut self) {
        self.astray |= !self.open.is_empty();
    }

    /// Where the client must go back to, if it must: the first open offset of each partition.
    pub(super) fn back(&self) -> Option<BTreeMap<Partition, i64>> {
        self.astray.then(|| {
            let mut first = BTreeMap::new();
            for (partition, from, _) in self.open.iter().rev().flat_map(|open| &open.spans) {
                first.insert(partition.clone(), *from);
            }
            first
        })
    }

    /// The client stands there: nothing is open.
    pub(super) fn is_back(&mut self) {
        self.open.clear();
        self.astray = false;
    }

    /// Partitions go to somebody else, who is delivered what was not kept.
    pub(super) fn revoke(&mut self, revoked: &[Partition]) {
        for open in &mut self.open {
            open.spans.retain(|(partition, ..)| !revoked.contains(partition));
            open.poison.retain(|poison| !revoked.contains(&poison.partition));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(records: &[(i32, i64)]) -> Open {
        let mut open = Open::default();
        records.iter().for_each(|(partition, offset)| open.add("orders", *partition, *offset));
        open
    }

    fn offsets(of: &[(i32, i64)]) -> BTreeMap<Partition, i64> {
        of.iter().map(|(partition, offset)| (("orders".to_owned(), *partition), *offset)).collect()
    }

    #[test]
    fn a_kept_place_is_behind_the_last_record_of_each_partition() {
        let mut places = Places::default();
        let first = places.deliver(delivery(&[(0, 4), (1, 9), (0, 5)]));
        let second = places.deliver(delivery(&[(0, 6)]));
        assert!(first < second);
        assert_eq!(places.keep(first), offsets(&[(0, 6), (1, 10)]));
        assert_eq!(places.keep(first), offsets(&[]), "once");
        assert_eq!(places.keep(second), offsets(&[(0, 7)]));
    }

    #[test]
    fn keeping_a_place_keeps_all_before_it() {
        let mut places = Places::default();
        places.deliver(delivery(&[(0, 1)]));
        places.deliver(delivery(&[(1, 1)]));
        let last = places.deliver(delivery(&[(0, 2)]));
        assert!(!places.is_first(last));
        assert_eq!(places.keep(last), offsets(&[(0, 3), (1, 2)]));
        assert!(places.is_first(last));
    }

    #[test]
    fn what_is_open_comes_again_from_its_first_record() {
        let mut places = Places::default();
        let first = places.deliver(delivery(&[(0, 1)]));
        places.deliver(delivery(&[(0, 2), (1, 7)]));
        places.deliver(delivery(&[(0, 3), (1, 8)]));
        places.keep(first);
        assert_eq!(places.back(), None);
        places.go_back();
        assert_eq!(places.back(), Some(offsets(&[(0, 2), (1, 7)])));
        places.is_back();
        assert_eq!(places.back(), None);
        places.go_back();
        assert_eq!(places.back(), None, "nothing is open");
    }

    #[test]
    fn a_partition_that_went_to_somebody_else_is_not_kept_for_him() {
        let mut places = Places::default();
        let mut open = delivery(&[(0, 1), (1, 7)]);
        let poison = |partition| Poison {
            partition: ("orders".to_owned(), partition),
            key: vec![],
            headers: vec![],
            value: vec![],
            reason: "bad".to_owned(),
        };
        open.spoil(poison(0));
        open.spoil(poison(1));
        let position = places.deliver(open);
        places.revoke(&[("orders".to_owned(), 1)]);
        assert_eq!(places.poison(position), [poison(0)]);
        assert_eq!(places.keep(position), offsets(&[(0, 2)]));
    }
}
