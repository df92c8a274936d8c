//! The keys of one sale's gate: `PREFIX:{SALE}:NAME`. The braces make a hash tag: all of a sale is on one node of a cluster.
//!
//! Ids hold no braces ([`SaleId`]) and the prefix neither, so no sale can reach into another's tag.

use flashsale_core::SaleId;

/// What is kept per sale; the order is that of `KEYS` in every script.
pub(crate) const NAMES: [&str; 6] = ["meta", "item", "order", "buyer", "queue", "early"];

/// The keys of a sale, in the order of [`NAMES`].
pub(crate) fn keys(prefix: &str, sale: &SaleId) -> [String; 6] {
    NAMES.map(|name| format!("{prefix}:{{{sale}}}:{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_of_a_sale_share_its_hash_tag() {
        let keys = keys("fs", &SaleId::new("drop:1").unwrap());
        assert_eq!(keys[0], "fs:{drop:1}:meta");
        for key in keys {
            assert_eq!(key.matches(['{', '}']).count(), 2);
            assert_eq!(&key[key.find('{').unwrap()..=key.find('}').unwrap()], "{drop:1}");
        }
    }
}
