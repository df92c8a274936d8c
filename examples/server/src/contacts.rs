//! The address book: where members are told things, and in which language. The one place with personal data.
//!
//! A table of the server's own in the ledger's database, until members have accounts. Owns what an address may look like.

use std::collections::HashMap;

use flashsale_core::{BackendError, BuyerId};
use lettre::Address;
use sqlx::QueryBuilder;

use crate::language::Language;
use crate::own::{self, Own, Table, with};

/// The longest address (RFC 5321, 4.5.3.1.3, without its brackets).
const EMAIL_MAX: usize = 254;

/// Where one member is told things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contact {
    pub(crate) email: String,
    pub(crate) language: Language,
}

/// An address that letters can go to. No quotes, spaces, lists or anything beyond ASCII: what would be read as something else on its way.
pub(crate) fn email(text: &str) -> Result<String, &'static str> {
    let plain = |b: u8| {
        b.is_ascii_graphic()
            && !matches!(b, b'"' | b'(' | b')' | b',' | b':' | b';' | b'<' | b'>' | b'[' | b']' | b'\\')
    };
    if text.len() > EMAIL_MAX || !text.bytes().all(plain) {
        return Err("an address is at most 254 plain ASCII characters, such as ann@example.org");
    }
    match text.parse::<Address>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("an address has a name, an @ and a domain, such as ann@example.org"),
    }
}

const TABLE: Table = Table {
    there: "SELECT member FROM contact WHERE member = ''",
    sqlite: "CREATE TABLE IF NOT EXISTS contact (member TEXT NOT NULL PRIMARY KEY, email TEXT NOT NULL, language TEXT NOT NULL) STRICT",
    postgres: "CREATE TABLE IF NOT EXISTS contact (member text COLLATE \"C\" NOT NULL PRIMARY KEY, email text NOT NULL, language text NOT NULL)",
    mysql: "CREATE TABLE IF NOT EXISTS contact (member VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY, \
            email VARCHAR(254) CHARACTER SET utf8mb4 NOT NULL, language VARCHAR(8) CHARACTER SET utf8mb4 NOT NULL)",
};

/// The book. A clone is the same one.
#[derive(Debug, Clone)]
pub(crate) struct Contacts(Own);

fn failed(error: sqlx::Error) -> BackendError {
    own::failed("contacts", &error)
}

impl Contacts {
    /// Opens the book, and makes its table if it is not there.
    pub(crate) async fn open(own: &Own) -> Result<Self, BackendError> {
        own.table(&TABLE).await?;
        Ok(Self(own.clone()))
    }

    /// The contacts of those of these members who have one.
    pub(crate) async fn of(&self, members: &[BuyerId]) -> Result<HashMap<BuyerId, Contact>, BackendError> {
        let mut found = HashMap::new();
        // A list is bounded by what a statement may bind.
        for members in members.chunks(500) {
            let rows: Vec<(String, String, String)> = with!(&self.0, pool => {
                let mut text = QueryBuilder::<Db>::new("SELECT member, email, language FROM contact WHERE member IN (");
                let mut list = text.separated(", ");
                for member in members {
                    list.push_bind(member.as_str().to_owned());
                }
                text.push(")");
                text.build_query_as().fetch_all(pool).await
            })
            .map_err(failed)?;
            for (member, email, language) in rows {
                let (Ok(member), language) = (BuyerId::new(&member), Language::of_tag(&language).unwrap_or_default())
                else {
                    continue;
                };
                found.insert(member, Contact { email, language });
            }
        }
        Ok(found)
    }

    /// Writes where a member is told things.
    pub(crate) async fn put(&self, member: &BuyerId, contact: &Contact) -> Result<(), BackendError> {
        let end = match &self.0 {
            Own::Sqlite(_) | Own::Postgres(_) => {
                " ON CONFLICT (member) DO UPDATE SET email = excluded.email, language = excluded.language"
            }
            Own::MySql(_) => " ON DUPLICATE KEY UPDATE email = VALUES(email), language = VALUES(language)",
        };
        let done = with!(&self.0, pool => {
            let mut text = QueryBuilder::<Db>::new("INSERT INTO contact (member, email, language) VALUES (");
            let mut list = text.separated(", ");
            list.push_bind(member.as_str().to_owned()).push_bind(contact.email.clone()).push_bind(contact.language.tag());
            text.push(")").push(end);
            text.build().execute(pool).await.map(drop)
        });
        done.map_err(failed)
    }

    /// Forgets a member's contact, if there is one.
    pub(crate) async fn forget(&self, member: &BuyerId) -> Result<(), BackendError> {
        let done = with!(&self.0, pool => {
            let mut text = QueryBuilder::<Db>::new("DELETE FROM contact WHERE member = ");
            text.push_bind(member.as_str().to_owned());
            text.build().execute(pool).await.map(drop)
        });
        done.map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_could_be_read_as_something_else_is_refused() {
        for good in ["ann@example.org", "a.b+c@xn--9n2bp8q.kr", "x@sub.example.co.kr"] {
            assert_eq!(email(good), Ok(good.to_owned()));
        }
        let long = format!("{}@example.org", "a".repeat(250));
        for bad in [
            "",
            "ann",
            "@example.org",
            "ann@",
            "ann@@example.org",
            "ann@exa mple.org",
            "ann@example.org\r\nBcc: eve@example.org",
            "ann@example.org\0",
            "\"ann\"@example.org",
            "Ann <ann@example.org>",
            "ann@example.org,eve@example.org",
            "ann@[127.0.0.1]",
            "한@example.org",
            "ann@한.kr",
            &long,
        ] {
            assert!(email(bad).is_err(), "{bad:?}");
        }
    }
}
