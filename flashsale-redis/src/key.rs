//! The keys of one sale's gate, `PREFIX:{SALE}:NAME`, and of one waiting room, `PREFIX:room:{ROOM}:NAME`. The braces make a hash tag: all of a
//! sale, or of a room, is on one node of a cluster.
//!
//! Ids hold no braces ([`SaleId`], [`RoomId`]) and the prefix neither, so none can reach into another's tag. Rooms have names of their own, so
//! that a user can be given rights over them alone, or over all but them.

use flashsale_core::{RoomId, SaleId};

/// What is kept per sale; the order is that of `KEYS` in every script of the gate.
const OF_SALE: [&str; 6] = ["meta", "item", "order", "buyer", "queue", "early"];
/// What is kept per room; the order is that of `KEYS` in every script of a room.
const OF_ROOM: [&str; 6] = ["room", "member", "line", "ahead", "turn", "ended"];

/// The keys of a sale, in the order of the scripts.
pub(crate) fn of_sale(prefix: &str, sale: &SaleId) -> [String; 6] {
    OF_SALE.map(|name| format!("{prefix}:{{{sale}}}:{name}"))
}

/// The keys of a room, in the order of the scripts.
pub(crate) fn of_room(prefix: &str, room: &RoomId) -> [String; 6] {
    OF_ROOM.map(|name| format!("{prefix}:room:{{{room}}}:{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_of_a_sale_or_a_room_share_its_hash_tag() {
        let keys = of_sale("fs", &SaleId::new("drop:1").unwrap());
        assert_eq!(keys[0], "fs:{drop:1}:meta");
        let rooms = of_room("fs", &RoomId::new("drop:1").unwrap());
        assert_eq!(rooms[0], "fs:room:{drop:1}:room");
        for key in keys.iter().chain(&rooms) {
            assert_eq!(key.matches(['{', '}']).count(), 2);
            assert_eq!(&key[key.find('{').unwrap()..=key.find('}').unwrap()], "{drop:1}");
        }
    }

    #[test]
    fn the_keys_of_a_room_are_never_those_of_a_sale() {
        // Not even of a shop whose prefix ends as the keys of rooms go on.
        let sale = of_sale("fs:room", &SaleId::new("drop").unwrap());
        let room = of_room("fs", &RoomId::new("drop").unwrap());
        assert!(room.iter().all(|key| !sale.contains(key)));
    }
}
