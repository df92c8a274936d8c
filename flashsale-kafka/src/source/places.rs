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
    pub(super) offset: i64,
    pub(super) key: Vec<u8>,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) value: Vec<u8>,
    pub(super) reason: String,
}

/// Who is told of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// The group: it has events.
    Group,
    /// Nobody: it has none that concern the group.
    Nobody,
}

/// One delivery that is not kept yet.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Open {
    position: u64,
    /// The first and the last offset that it has of each partition.
    spans: Vec<(Partition, i64, i64)>,
    poison: Vec<Poison>,
    /// Nobody is told of it: no effect is waited for.
    silent: bool,
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
    /// What went to somebody else while the next delivery was taken.
    revoked: Vec<Partition>,
}

impl Places {
    /// Says that a delivery is being taken from here on.
    pub(super) fn begin(&mut self) {
        self.revoked.clear();
    }

    /// Remembers the delivery that was taken since [`Places::begin`]; gives its position.
    pub(super) fn deliver(&mut self, delivery: Open, told: Told) -> u64 {
        self.next += 1;
        self.open.push_back(Open { position: self.next, silent: told == Told::Nobody, ..delivery });
        // Partitions may have moved while it was taken, after their records came and before it was remembered.
        let revoked = std::mem::take(&mut self.revoked);
        self.revoke(&revoked);
        self.next
    }

    /// How many deliveries are kept with this position: all up to it, and those after it of which nobody is told.
    fn upto(&self, position: u64) -> usize {
        self.open.iter().take_while(|open| open.position <= position || open.silent).count()
    }

    /// Whether nothing is open before this position.
    pub(super) fn is_first(&self, position: u64) -> bool {
        self.open.front().is_none_or(|open| open.position >= position)
    }

    /// What cannot be read, up to this position.
    pub(super) fn poison(&self, position: u64) -> Vec<Poison> {
        self.open.iter().take(self.upto(position)).flat_map(|open| open.poison.iter().cloned()).collect()
    }

    /// Forgets what is open up to this position; gives the next offset of each partition.
    pub(super) fn keep(&mut self, position: u64) -> BTreeMap<Partition, i64> {
        let upto = self.upto(position);
        let ended = self.open.drain(..upto).flat_map(|open| open.spans);
        ended.map(|(partition, _, last)| (partition, last + 1)).collect()
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
        self.revoked.extend_from_slice(revoked);
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
        let first = places.deliver(delivery(&[(0, 4), (1, 9), (0, 5)]), Told::Group);
        let second = places.deliver(delivery(&[(0, 6)]), Told::Group);
        assert!(first < second);
        assert_eq!(places.keep(first), offsets(&[(0, 6), (1, 10)]));
        assert_eq!(places.keep(first), offsets(&[]), "once");
        assert_eq!(places.keep(second), offsets(&[(0, 7)]));
    }

    #[test]
    fn keeping_a_place_keeps_all_before_it() {
        let mut places = Places::default();
        places.deliver(delivery(&[(0, 1)]), Told::Group);
        places.deliver(delivery(&[(1, 1)]), Told::Group);
        let last = places.deliver(delivery(&[(0, 2)]), Told::Group);
        assert!(!places.is_first(last));
        assert_eq!(places.keep(last), offsets(&[(0, 3), (1, 2)]));
        assert!(places.is_first(last));
    }

    #[test]
    fn what_is_open_comes_again_from_its_first_record() {
        let mut places = Places::default();
        let first = places.deliver(delivery(&[(0, 1)]), Told::Group);
        places.deliver(delivery(&[(0, 2), (1, 7)]), Told::Group);
        places.deliver(delivery(&[(0, 3), (1, 8)]), Told::Group);
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
            offset: 1,
            key: vec![],
            headers: vec![],
            value: vec![],
            reason: "bad".to_owned(),
        };
        open.spoil(poison(0));
        open.spoil(poison(1));
        let position = places.deliver(open, Told::Group);
        places.revoke(&[("orders".to_owned(), 1)]);
        assert_eq!(places.poison(position), [poison(0)]);
        assert_eq!(places.keep(position), offsets(&[(0, 2)]));
    }
    #[test]
    fn a_partition_that_moves_while_a_delivery_is_taken_is_not_gone_back_to() {
        let mut places = Places::default();
        places.revoke(&[("orders".to_owned(), 0)]);
        places.begin();
        let taken = delivery(&[(0, 1), (1, 1)]);
        places.revoke(&[("orders".to_owned(), 1)]);
        places.deliver(taken, Told::Group);
        places.go_back();
        assert_eq!(places.back(), Some(offsets(&[(0, 1)])), "what moved before it was taken came back since");
    }

    #[test]
    fn nothing_is_gone_back_to_when_all_partitions_moved() {
        let mut places = Places::default();
        places.deliver(delivery(&[(0, 1)]), Told::Group);
        places.revoke(&[("orders".to_owned(), 0)]);
        places.go_back();
        assert_eq!(places.back(), Some(offsets(&[])));
        places.is_back();
        assert_eq!(places.back(), None);
    }

    #[test]
    fn what_nobody_is_told_of_is_kept_with_what_is_before_it() {
        let mut places = Places::default();
        let told = places.deliver(delivery(&[(0, 1)]), Told::Group);
        let silent = places.deliver(delivery(&[(0, 2), (1, 5)]), Told::Nobody);
        let next = places.deliver(delivery(&[(0, 3)]), Told::Group);
        assert!(!places.is_first(silent));
        assert_eq!(places.keep(told), offsets(&[(0, 3), (1, 6)]));
        assert_eq!(places.keep(next), offsets(&[(0, 4)]));
    }
}
