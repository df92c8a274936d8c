//! Names: of sales, items, buyers, keys, campaigns, rooms, orders and coupons.
//!
//! Owns the one alphabet that every backend can store, compare byte by byte and put into a key, and the two compound names
//! ([`OrderId`], [`CouponId`]) that are *derived*, never drawn: who repeats a request arrives at the same row.
//! Does not own uniqueness: that is the ledger's.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The largest number of characters in a simple id.
pub const ID_CHARS_MAX: usize = 64;

/// Joins the parts of a compound id. It is unreserved in URLs (RFC 3986, 2.3) and outside the alphabet of simple ids.
const JOINT: char = '~';

/// Says why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is empty.
    #[error("an id has at least one character")]
    Empty,
    /// The text is longer than [`ID_CHARS_MAX`].
    #[error("an id has at most {ID_CHARS_MAX} characters, this one has {chars} bytes")]
    TooLong {
        /// Its length in bytes.
        chars: usize,
    },
    /// The text holds a character outside `[A-Za-z0-9_.:-]`.
    #[error("an id consists of A-Z a-z 0-9 _ . : -, this one has another character at byte {at}")]
    Alphabet {
        /// Byte offset of the first foreign character.
        at: usize,
    },
    /// A compound id has a wrong number of parts.
    #[error("not the name of an order or coupon: it has {parts} parts")]
    Parts {
        /// How many parts it has.
        parts: usize,
    },
}

fn check(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > ID_CHARS_MAX {
        return Err(IdError::TooLong { chars: text.len() });
    }
    let foreign = |b: &u8| !(b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-'));
    match text.as_bytes().iter().position(foreign) {
        Some(at) => Err(IdError::Alphabet { at }),
        None => Ok(()),
    }
}

/// Reads an id out of the reader's own text: a copy of it is made once.
struct Text<T>(PhantomData<T>);

impl<T: FromStr<Err = IdError>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// What every id type can do: be made from text, be shown, be compared by bytes, travel through serde with its check.
macro_rules! textual {
    ($name:ident) => {
        impl $name {
            /// The text of this id.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Text(PhantomData))
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.to_string()
            }
        }
    };
}

macro_rules! simple_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// 1 to 64 characters of `[A-Za-z0-9_.:-]`, compared byte by byte. A clone shares the text.
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks and takes the text.
            ///
            /// # Errors
            /// [`IdError::Empty`], [`IdError::TooLong`], [`IdError::Alphabet`], in this order.
            pub fn new(text: &str) -> Result<Self, IdError> {
                check(text)?;
                Ok(Self(text.into()))
            }
        }

        textual!($name);
    };
}

simple_id! {
    /// Names a sale.
    SaleId
}
simple_id! {
    /// Names an item of a sale.
    ItemId
}
simple_id! {
    /// Names a buyer: the embedder's member id, opaque to us.
    BuyerId
}
simple_id! {
    /// The key that the buyer's client chose for one request; repeats carry the same key.
    Key
}
simple_id! {
    /// Names a campaign.
    CampaignId
}
simple_id! {
    /// Names a way to pay, such as `wallet` or `card`.
    Method
}
simple_id! {
    /// Names a key that signs.
    KeyId
}
simple_id! {
    /// Names a waiting room. The room before a sale has the sale's name.
    RoomId
}

impl From<&SaleId> for RoomId {
    fn from(sale: &SaleId) -> Self {
        Self(sale.0.clone())
    }
}

/// Splits a compound id, checking each part.
fn parts(text: &str, allowed: std::ops::RangeInclusive<usize>) -> Result<(), IdError> {
    let count = text.split(JOINT).count();
    if !allowed.contains(&count) {
        return Err(IdError::Parts { parts: count });
    }
    text.split(JOINT).try_for_each(check)
}

/// Names an order: `buyer~key`, or `buyer~scope~key` for what is not a purchase (a coupon claim, a trade).
///
/// The name is derived from who asks and the key that he chose, so a repeat finds the first attempt and nobody can
/// take another buyer's name (hole 16 of the protocol). It is unique over all sales of a ledger.
///
/// ```
/// use flashsale_core::{BuyerId, Key, OrderId};
/// let id = OrderId::of(&BuyerId::new("ann")?, &Key::new("k1")?);
/// assert_eq!(id.as_str(), "ann~k1");
/// assert_eq!(id.buyer().as_str(), "ann");
/// # Ok::<(), flashsale_core::id::IdError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderId(Arc<str>);

impl OrderId {
    /// Names the purchase that `buyer` asked for under `key`.
    #[must_use]
    pub fn of(buyer: &BuyerId, key: &Key) -> Self {
        Self(format!("{buyer}{JOINT}{key}").into())
    }

    /// Names what `buyer` asked for under `key` within `scope`, such as the claim of a campaign's coupon.
    ///
    /// # Errors
    /// If the scope is not the text of an id.
    pub fn scoped(buyer: &BuyerId, scope: &str, key: &Key) -> Result<Self, IdError> {
        check(scope)?;
        Ok(Self(format!("{buyer}{JOINT}{scope}{JOINT}{key}").into()))
    }

    /// Checks and takes the text of an order's name.
    ///
    /// # Errors
    /// [`IdError::Parts`] if it has not two or three parts, else the first part's fault.
    pub fn new(text: &str) -> Result<Self, IdError> {
        parts(text, 2..=3)?;
        Ok(Self(text.into()))
    }

    /// Whose order it is, as text: the cheap form for comparing.
    #[must_use]
    pub fn buyer_str(&self) -> &str {
        self.0.split(JOINT).next().unwrap_or_default()
    }

    /// Whose order it is.
    #[must_use]
    pub fn buyer(&self) -> BuyerId {
        BuyerId(self.buyer_str().into())
    }

    /// The key that the client chose.
    #[must_use]
    pub fn key(&self) -> Key {
        Key(self.0.rsplit(JOINT).next().unwrap_or_default().into())
    }
}

textual!(OrderId);

/// Names an issued coupon: `campaign~window~member`, so that a second one for the same three cannot even be written down.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CouponId(Arc<str>);

impl CouponId {
    /// Names the coupon of `member` in a window of `campaign`.
    ///
    /// # Errors
    /// As [`BuyerId::new`], for the window's label.
    pub fn of(campaign: &CampaignId, window: &str, member: &BuyerId) -> Result<Self, IdError> {
        check(window)?;
        Ok(Self(format!("{campaign}{JOINT}{window}{JOINT}{member}").into()))
    }

    /// Checks and takes the text of a coupon's name.
    ///
    /// # Errors
    /// [`IdError::Parts`] if it has not three parts, else the first part's fault.
    pub fn new(text: &str) -> Result<Self, IdError> {
        parts(text, 3..=3)?;
        Ok(Self(text.into()))
    }

    /// The member to whom it was issued, as text.
    #[must_use]
    pub fn member_str(&self) -> &str {
        self.0.rsplit(JOINT).next().unwrap_or_default()
    }
}

textual!(CouponId);

/// A fingerprint of what was asked for. The same id with another fingerprint is a conflict.
///
/// 64 bits of XXH3 over length-prefixed fields: stable over versions and machines. It guards a client against its own
/// mistakes, not buyers against each other: ids are per buyer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ContentHash(pub u64);

impl ContentHash {
    /// Stands in the row of a fenced id, which answers whatever is asked for under it.
    pub const FENCE: Self = Self(0);

    /// Whether a row with this hash answers a request with the hash `asked`: same content, or a fence.
    #[must_use]
    pub fn answers(self, asked: Self) -> bool {
        self == asked || self == Self::FENCE
    }

    /// Hashes fields, each with its length in front, so that `ab, c` is not `a, bc`.
    #[must_use]
    pub fn over<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut bytes = Vec::with_capacity(128);
        for field in fields {
            bytes.extend_from_slice(&(field.len() as u64).to_le_bytes());
            bytes.extend_from_slice(field);
        }
        Self(xxhash_rust::xxh3::xxh3_64(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_is_taken_whole_or_refused(text in "\\PC{0,80}") {
            match BuyerId::new(&text) {
                Ok(id) => {
                    prop_assert_eq!(id.as_str(), text.as_str());
                    prop_assert!((1..=ID_CHARS_MAX).contains(&text.len()));
                    let foreign = text.contains(['~', '{', '}', '/', ' ']);
                    prop_assert!(!foreign);
                }
                Err(_) => prop_assert!(check(&text).is_err()),
            }
        }

        #[test]
        fn compound_names_give_their_parts_back(b in "[A-Za-z0-9_.:-]{1,64}", k in "[A-Za-z0-9_.:-]{1,64}") {
            let id = OrderId::of(&BuyerId::new(&b).unwrap(), &Key::new(&k).unwrap());
            prop_assert_eq!(id.buyer_str(), b.as_str());
            let key = id.key();
            prop_assert_eq!(key.as_str(), k.as_str());
            prop_assert_eq!(OrderId::new(id.as_str()).unwrap(), id);
        }
    }

    #[test]
    fn a_purchase_and_a_claim_never_share_a_name() {
        let (ann, key) = (BuyerId::new("ann").unwrap(), Key::new("k").unwrap());
        assert_ne!(OrderId::of(&ann, &key), OrderId::scoped(&ann, "plant", &key).unwrap());
        assert!(OrderId::new("ann").is_err());
        assert!(OrderId::new("a~b~c~d").is_err());
        assert!(OrderId::new("a~~c").is_err());
    }

    #[test]
    fn moving_a_byte_between_fields_changes_the_hash() {
        let hash = |fields: [&str; 2]| ContentHash::over(fields.iter().map(|f| f.as_bytes()));
        assert_ne!(hash(["ab", "c"]), hash(["a", "bc"]));
    }
}
