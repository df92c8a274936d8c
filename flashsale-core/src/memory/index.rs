//! A table from hashes to slots, in one run of memory: a search that finds nothing reads one cache line.
//!
//! Owns the places. Does not own what the slots mean: whoever searches says whether a slot is the one. Half of each hash
//! stands beside its slot, so that growing never looks at what the slots point to, and searching hardly ever in vain.

/// A place in somebody's slab.
pub(super) type Slot = u32;

/// The table. Places are probed one after the other; at most five of eight are taken.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    /// Zero, or half a hash above a slot plus one. Their number is zero or a power of two.
    cells: Vec<u64>,
    len: usize,
}

/// The half of a hash that a cell keeps.
fn half(hash: u64) -> u64 {
    hash & 0xFFFF_FFFF_0000_0000
}

fn slot(cell: u64) -> Slot {
    (cell as u32) - 1
}

impl Index {
    /// Where the search for a hash begins. The low bits of the kept half: a grown table keeps the order of its places.
    fn home(&self, cell: u64) -> usize {
        (cell >> 32) as usize & self.cells.len().wrapping_sub(1)
    }

    /// The bytes of the table.
    pub(super) fn bytes(&self) -> usize {
        self.cells.capacity() * size_of::<u64>()
    }

    /// Reads where a search would begin, so that it is in the cache when the search comes.
    pub(super) fn touch(&self, hash: u64) -> u64 {
        self.cells.get(self.home(hash)).copied().unwrap_or_default()
    }

    /// The slot that a search would most likely find: the first cell is read, which is then in the cache when the search comes.
    pub(super) fn likely(&self, hash: u64) -> Option<Slot> {
        let cell = *self.cells.get(self.home(hash))?;
        (cell != 0 && half(cell) == half(hash)).then(|| slot(cell))
    }

    /// The slot under this hash for which `is` says yes.
    pub(super) fn find(&self, hash: u64, is: impl Fn(Slot) -> bool) -> Option<Slot> {
        if self.cells.is_empty() {
            return None;
        }
        let mut at = self.home(hash);
        loop {
            let cell = self.cells[at];
            if cell == 0 {
                return None;
            }
            if half(cell) == half(hash) && is(slot(cell)) {
                return Some(slot(cell));
            }
            at = (at + 1) & (self.cells.len() - 1);
        }
    }

    /// Adds a slot that is not there.
    pub(super) fn insert(&mut self, hash: u64, slot: Slot) {
        if (self.len + 1) * 8 > self.cells.len() * 5 {
            self.grow();
        }
        self.len += 1;
        self.put(half(hash) | (u64::from(slot) + 1));
    }

    fn put(&mut self, cell: u64) {
        let mut at = self.home(cell);
        while self.cells[at] != 0 {
            at = (at + 1) & (self.cells.len() - 1);
        }
        self.cells[at] = cell;
    }

    fn grow(&mut self) {
        let larger = (self.cells.len() * 2).max(16);
        let cells = std::mem::replace(&mut self.cells, vec![0; larger]);
        cells.into_iter().filter(|cell| *cell != 0).for_each(|cell| self.put(cell));
    }

    /// Removes a slot, if it is there.
    pub(super) fn remove(&mut self, hash: u64, slot: Slot) {
        if self.cells.is_empty() {
            return;
        }
        let last = self.cells.len() - 1;
        let cell = half(hash) | (u64::from(slot) + 1);
        let mut gap = self.home(hash);
        while self.cells[gap] != cell {
            if self.cells[gap] == 0 {
                return;
            }
            gap = (gap + 1) & last;
        }
        self.len -= 1;
        // What follows moves up, unless it would leave the way from its home: then no search ends too early.
        let mut at = gap;
        loop {
            at = (at + 1) & last;
            let cell = self.cells[at];
            if cell == 0 {
                break;
            }
            let way = at.wrapping_sub(self.home(cell)) & last;
            if way >= at.wrapping_sub(gap) & last {
                self.cells[gap] = cell;
                gap = at;
            }
        }
        self.cells[gap] = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_finds_what_a_map_finds(steps in prop::collection::vec((0_u32..40, any::<bool>()), 1..400), spread in 0_u32..3) {
            // Few hashes, many alike: long ways to go.
            let hash = |key: u32| u64::from(match spread { 0 => 7, 1 => key % 4, _ => key.wrapping_mul(0x9E37_79B1) }) << 32;
            let (mut index, mut map) = (Index::default(), BTreeMap::new());
            for (key, insert) in steps {
                if insert && map.insert(key, ()).is_none() {
                    index.insert(hash(key), key);
                } else if !insert {
                    map.remove(&key);
                    index.remove(hash(key), key);
                }
                for key in 0..40 {
                    prop_assert_eq!(index.find(hash(key), |slot| slot == key).is_some(), map.contains_key(&key));
                }
                prop_assert_eq!(index.len, map.len());
            }
        }
    }
}
