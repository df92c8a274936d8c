//! Where tickets and admissions travel: in a header, or in a cookie of the room's own.
//!
//! Owns their names. A cookie is `HttpOnly`, `SameSite=Lax` and `Secure`, and ends with what it carries.

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use flashsale_core::{RoomId, Timestamp};

/// The header that carries an admission.
pub const ADMISSION_HEADER: HeaderName = HeaderName::from_static("flashsale-admission");
/// The header that carries a ticket.
pub const TICKET_HEADER: HeaderName = HeaderName::from_static("flashsale-ticket");

/// What a value is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carries {
    Admission,
    Ticket,
}

impl Carries {
    fn header(self) -> HeaderName {
        match self {
            Self::Admission => ADMISSION_HEADER,
            Self::Ticket => TICKET_HEADER,
        }
    }

    /// The name of the cookie: an id may have a colon, the name of a cookie may not.
    fn cookie(self, room: &RoomId) -> String {
        let word = match self {
            Self::Admission => "admission",
            Self::Ticket => "ticket",
        };
        format!("flashsale-{word}-{}", room.as_str().replace(':', "_"))
    }

    /// The value in the header.
    pub(crate) fn in_header(self, headers: &HeaderMap) -> Option<&str> {
        headers.get(self.header())?.to_str().ok()
    }

    /// The value in the room's cookie.
    pub(crate) fn in_cookie<'a>(self, room: &RoomId, headers: &'a HeaderMap) -> Option<&'a str> {
        let name = self.cookie(room);
        let cookies = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// The header first, then the cookie.
    pub(crate) fn found<'a>(self, room: &RoomId, headers: &'a HeaderMap) -> Option<&'a str> {
        self.in_header(headers).or_else(|| self.in_cookie(room, headers))
    }

    /// A cookie with this value, until its end.
    pub(crate) fn set(self, room: &RoomId, value: &str, until: Timestamp, now: Timestamp) -> Option<HeaderValue> {
        let age = until.since(now).as_secs();
        let name = self.cookie(room);
        HeaderValue::from_str(&format!("{name}={value}; Path=/; Max-Age={age}; HttpOnly; Secure; SameSite=Lax")).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_among_others() {
        let room = RoomId::new("a:b").unwrap();
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("x=1; flashsale-admission-a_b=k~v ; y=2"));
        headers.append(COOKIE, HeaderValue::from_static("flashsale-ticket-a_b=t"));
        assert_eq!(Carries::Admission.in_cookie(&room, &headers), Some("k~v"));
        assert_eq!(Carries::Ticket.found(&room, &headers), Some("t"));
        assert_eq!(Carries::Ticket.in_header(&headers), None);
    }
}
