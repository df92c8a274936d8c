//! Signed values: a *ticket* gives a place back, an *admission* is a turn that is checked without asking the store.
//!
//! Owns their form, the keys and the rotation. Does not own who holds them. A value is text of the alphabet of ids and `~`, so that it
//! fits a cookie, a header and a URL: `key~kind~room~member~generation~number~until~mac`, with HMAC-SHA-256 over all before the last.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::id::{BuyerId, KeyId, RoomId};
use crate::queue::{Generation, Number, TokenRefusal};
use crate::time::Timestamp;

/// The most keys of a ring: one that signs, and those whose values are still about.
pub const KEYS_MAX: usize = 8;
/// The shortest secret, in bytes: as long as what the hash gives.
pub const SECRET_MIN: usize = 32;
/// The longest value that is looked at.
const TOKEN_CHARS_MAX: usize = 512;
const JOINT: char = '~';

/// What a signed value says. The same for both kinds; the kind is signed with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Which room.
    pub room: RoomId,
    /// Whose.
    pub member: BuyerId,
    /// The number of his place; [`Number::no`] is zero if he came through a closed door.
    pub number: Number,
    /// The first moment at which it is worth nothing.
    pub until: Timestamp,
}

/// What a signed value is for. One is never taken for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Gives a place back after the store lost it.
    Ticket,
    /// Is a turn.
    Admission,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Ticket => "ticket",
            Self::Admission => "admission",
        }
    }
}

/// A key that signs. Its secret is not shown.
#[derive(Clone)]
pub struct SigningKey {
    id: KeyId,
    mac: Hmac<Sha256>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).field("secret", &"..").finish()
    }
}

/// Says why keys are no ring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The secret is shorter than [`SECRET_MIN`].
    #[error("the secret of {id} has {bytes} bytes, it must have at least {SECRET_MIN}")]
    Short {
        /// Whose.
        id: KeyId,
        /// How long it is.
        bytes: usize,
    },
    /// Two keys have one id.
    #[error("the key {0} is there twice")]
    Twice(KeyId),
    /// No key, or more than [`KEYS_MAX`].
    #[error("a ring has 1 to {KEYS_MAX} keys, not {0}")]
    Count(usize),
    /// A line is not `id = secret in hexadecimal`. The line is not told: it may hold a secret.
    #[error("line {line} is not `id = secret in hexadecimal`")]
    Line {
        /// Which, from 1.
        line: usize,
    },
}

impl SigningKey {
    /// A key from its secret.
    ///
    /// # Errors
    /// [`KeyError::Short`].
    pub fn new(id: KeyId, secret: &[u8]) -> Result<Self, KeyError> {
        let short = || KeyError::Short { id: id.clone(), bytes: secret.len() };
        if secret.len() < SECRET_MIN {
            return Err(short());
        }
        let mac = Hmac::new_from_slice(secret).map_err(|_| short())?;
        Ok(Self { id, mac })
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    fn mac(&self, text: &str) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        mac.update(text.as_bytes());
        mac
    }
}

/// The keys of a room: the first signs, all verify.
///
/// To rotate, put the new key behind the first on every server, then (when all have it) first, and take the old one out when what it
/// signed has ended: a ticket lasts [`Terms::remembers`](crate::queue::Terms::remembers).
#[derive(Debug, Clone)]
pub struct Keyring(Vec<SigningKey>);

impl Keyring {
    /// A ring of these keys.
    ///
    /// # Errors
    /// [`KeyError::Count`], [`KeyError::Twice`], in this order.
    pub fn new(keys: impl IntoIterator<Item = SigningKey>) -> Result<Self, KeyError> {
        let keys: Vec<SigningKey> = keys.into_iter().collect();
        if keys.is_empty() || keys.len() > KEYS_MAX {
            return Err(KeyError::Count(keys.len()));
        }
        for (n, key) in keys.iter().enumerate() {
            if keys[..n].iter().any(|other| other.id == key.id) {
                return Err(KeyError::Twice(key.id.clone()));
            }
        }
        Ok(Self(keys))
    }

    /// Reads a ring: a line per key, `id = secret in hexadecimal`, the one that signs first; empty lines and lines with `#` are left out.
    ///
    /// # Errors
    /// [`KeyError`]; no secret is told.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut keys = Vec::new();
        for (n, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bad = KeyError::Line { line: n + 1 };
            let (id, secret) = line.split_once('=').ok_or(bad.clone())?;
            let id = KeyId::new(id.trim()).map_err(|_| bad.clone())?;
            keys.push(SigningKey::new(id, &from_hex(secret.trim()).ok_or(bad)?)?);
        }
        Self::new(keys)
    }

    /// A ring of one key whose secret nobody else knows: for a room of one process.
    #[must_use]
    pub fn of_random(words: [u64; 4]) -> Self {
        let secret: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let id = KeyId::new("random").expect("an id");
        Self(vec![SigningKey::new(id, &secret).expect("long enough")])
    }

    /// Signs a claim.
    #[must_use]
    pub fn sign(&self, kind: Kind, claim: &Claim) -> String {
        let Claim { room, member, number, until } = claim;
        let key = &self.0[0];
        let word = kind.word();
        let mut text = format!(
            "{}{JOINT}{word}{JOINT}{room}{JOINT}{member}{JOINT}{}{JOINT}{}{JOINT}{}",
            key.id,
            number.generation.0,
            number.no,
            until.ms()
        );
        let mac = key.mac(&text).finalize().into_bytes();
        text.push(JOINT);
        for byte in mac {
            use fmt::Write as _;
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    /// What a value says, if it was signed by a key of this ring for this kind, this room and this member, and `now` is before its end.
    ///
    /// # Errors
    /// [`TokenRefusal::Forged`], [`TokenRefusal::Foreign`], [`TokenRefusal::Expired`], in this order. The comparison takes the same time whatever
    /// differs.
    pub fn verify(
        &self,
        kind: Kind,
        token: &str,
        room: &RoomId,
        member: &BuyerId,
        now: Timestamp,
    ) -> Result<Claim, TokenRefusal> {
        let claim = self.read(kind, token).ok_or(TokenRefusal::Forged)?;
        if claim.room != *room || claim.member != *member {
            Err(TokenRefusal::Foreign)
        } else if now >= claim.until {
            Err(TokenRefusal::Expired)
        } else {
            Ok(claim)
        }
    }

    /// What a value says, if a key of this ring signed it for this kind.
    fn read(&self, kind: Kind, token: &str) -> Option<Claim> {
        if token.len() > TOKEN_CHARS_MAX {
            return None;
        }
        let (text, mac) = token.rsplit_once(JOINT)?;
        let mut parts = text.split(JOINT);
        let key = parts.next()?;
        let key = self.0.iter().find(|known| known.id.as_str() == key)?;
        key.mac(text).verify_slice(&from_hex(mac)?).ok()?;
        if parts.next()? != kind.word() {
            return None;
        }
        let claim = Claim {
            room: RoomId::new(parts.next()?).ok()?,
            member: BuyerId::new(parts.next()?).ok()?,
            number: Number { generation: Generation(parts.next()?.parse().ok()?), no: parts.next()?.parse().ok()? },
            until: Timestamp::from_ms(parts.next()?.parse().ok()?),
        };
        parts.next().is_none().then_some(claim)
    }
}

/// Bytes from lower- or upper-case hexadecimal.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_000_000);

    fn key(id: &str, byte: u8) -> SigningKey {
        SigningKey::new(KeyId::new(id).unwrap(), &[byte; 32]).unwrap()
    }

    fn claim() -> Claim {
        Claim {
            room: RoomId::new("drop").unwrap(),
            member: BuyerId::new("ann").unwrap(),
            number: Number { generation: Generation(7), no: 42 },
            until: NOW.after(Duration::from_secs(60)),
        }
    }

    fn verify(ring: &Keyring, kind: Kind, token: &str) -> Result<Claim, TokenRefusal> {
        ring.verify(kind, token, &claim().room, &claim().member, NOW)
    }

    #[test]
    fn what_was_signed_is_read_as_it_was() {
        let ring = Keyring::new([key("k1", 1)]).unwrap();
        for kind in [Kind::Ticket, Kind::Admission] {
            assert_eq!(verify(&ring, kind, &ring.sign(kind, &claim())), Ok(claim()));
        }
    }

    #[test]
    fn a_ticket_is_no_admission() {
        let ring = Keyring::new([key("k1", 1)]).unwrap();
        let ticket = ring.sign(Kind::Ticket, &claim());
        assert_eq!(verify(&ring, Kind::Admission, &ticket), Err(TokenRefusal::Forged));
        let renamed = ticket.replace("~ticket~", "~admission~");
        assert_eq!(verify(&ring, Kind::Admission, &renamed), Err(TokenRefusal::Forged));
    }

    #[test]
    fn another_member_or_room_is_foreign_and_later_is_expired() {
        let ring = Keyring::new([key("k1", 1)]).unwrap();
        let token = ring.sign(Kind::Admission, &claim());
        let bob = BuyerId::new("bob").unwrap();
        let told = ring.verify(Kind::Admission, &token, &claim().room, &bob, NOW);
        assert_eq!(told, Err(TokenRefusal::Foreign));
        let other = RoomId::new("other").unwrap();
        let told = ring.verify(Kind::Admission, &token, &other, &claim().member, NOW);
        assert_eq!(told, Err(TokenRefusal::Foreign));
        let told = ring.verify(Kind::Admission, &token, &claim().room, &claim().member, claim().until);
        assert_eq!(told, Err(TokenRefusal::Expired));
    }

    #[test]
    fn a_rotated_ring_verifies_what_the_key_before_signed() {
        let old = Keyring::new([key("k1", 1)]).unwrap();
        let token = old.sign(Kind::Ticket, &claim());
        let both = Keyring::new([key("k2", 2), key("k1", 1)]).unwrap();
        assert_eq!(verify(&both, Kind::Ticket, &token), Ok(claim()));
        assert!(both.sign(Kind::Ticket, &claim()).starts_with("k2~"));
        let new = Keyring::new([key("k2", 2)]).unwrap();
        assert_eq!(verify(&new, Kind::Ticket, &token), Err(TokenRefusal::Forged));
        let other = Keyring::new([key("k1", 3)]).unwrap();
        assert_eq!(verify(&other, Kind::Ticket, &token), Err(TokenRefusal::Forged), "the same name, another secret");
    }

    #[test]
    fn no_secret_is_shown() {
        let secret = "ab".repeat(32);
        let ring = Keyring::parse(&format!("# keys\n\nk1 = {secret}\n")).unwrap();
        let shown = format!("{ring:?}");
        assert!(shown.contains("k1") && !shown.contains("abab") && !shown.contains("171"), "{shown}");
        let error = Keyring::parse("k1 = xyz").unwrap_err();
        assert_eq!(error.to_string(), "line 1 is not `id = secret in hexadecimal`");
        assert_eq!(
            Keyring::parse("k1 = abab").unwrap_err().to_string(),
            "the secret of k1 has 2 bytes, it must have at least 32"
        );
        assert_eq!(Keyring::new([key("a", 1), key("a", 2)]).unwrap_err(), KeyError::Twice(KeyId::new("a").unwrap()));
    }

    proptest! {
        #[test]
        fn a_value_that_differs_in_one_place_is_forged(at in 0_usize..200, with in "[0-9a-z~]") {
            let ring = Keyring::new([key("k1", 1)]).unwrap();
            let token = ring.sign(Kind::Admission, &claim());
            let mut changed = token.clone();
            let at = at % token.len();
            changed.replace_range(at..=at, &with);
            prop_assume!(changed != token);
            prop_assert_eq!(verify(&ring, Kind::Admission, &changed), Err(TokenRefusal::Forged));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,600}") {
            let ring = Keyring::new([key("k1", 1)]).unwrap();
            prop_assert_eq!(verify(&ring, Kind::Ticket, &text), Err(TokenRefusal::Forged));
        }
    }
}
