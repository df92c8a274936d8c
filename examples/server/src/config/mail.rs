//! Settings of mail: where letters go, who they are from, and what links begin with.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use lettre::message::Mailbox;
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::table::Setting;
use crate::mail::{Carrier, Secrecy, Server};

/// Where members reach the shop, without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(pub String);

/// Who letters are from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailFrom(pub(crate) Mailbox);

/// How letters go. Its [`Debug`] leaves user and password out.
#[derive(Clone, PartialEq, Eq)]
pub struct MailUrl {
    text: String,
    pub(crate) carrier: Carrier,
}

impl fmt::Debug for MailUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::redacted("mail.url", &self.text))
    }
}

impl Setting for PublicUrl {
    fn read(text: &str, _: Option<RangeInclusive<u64>>) -> Result<Self, String> {
        let wrong = || "it is an address such as https://shop.example.org, without user, query and fragment".to_owned();
        let url = Url::parse(text).map_err(|_| wrong())?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if plain { Ok(Self(url.as_str().trim_end_matches('/').to_owned())) } else { Err(wrong()) }
    }
}

impl Setting for MailFrom {
    fn read(text: &str, _: Option<RangeInclusive<u64>>) -> Result<Self, String> {
        let wrong = || "it is an address, such as Shop <no-reply@shop.example.org>".to_owned();
        if text.chars().any(char::is_control) {
            return Err(wrong());
        }
        let from: Mailbox = text.parse().map_err(|_| wrong())?;
        // Its domain stands in the name of every letter, and is how we greet.
        if from.email.domain().bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-')) {
            Ok(Self(from))
        } else {
            Err(wrong())
        }
    }
}

impl Setting for MailUrl {
    fn read(text: &str, _: Option<RangeInclusive<u64>>) -> Result<Self, String> {
        // What is no URL at all may be a password all the same: no word of it is told.
        let wrong = || "it begins with file://, smtps://, smtp+starttls:// or smtp://".to_owned();
        let Some((scheme, rest)) = text.split_once("://") else { return Err(wrong()) };
        let carrier = match scheme {
            "file" if rest.is_empty() => return Err("it names a folder: file://FOLDER".to_owned()),
            "file" => Carrier::Folder(PathBuf::from(rest)),
            "smtps" => Carrier::Smtp(server(rest, Secrecy::Tls, 465)?),
            "smtp+starttls" => Carrier::Smtp(server(rest, Secrecy::StartTls, 587)?),
            "smtp" => Carrier::Smtp(server(rest, Secrecy::Plain, 25)?),
            _ => return Err(wrong()),
        };
        Ok(Self { text: text.to_owned(), carrier })
    }
}

fn server(rest: &str, secrecy: Secrecy, port: u16) -> Result<Server, String> {
    // Of a scheme that has a host for sure.
    let url = Url::parse(&format!("ftp://{rest}")).map_err(|_| "it is SCHEME://USER:PASSWORD@HOST:PORT".to_owned())?;
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err("it ends with the host, or its port".to_owned());
    }
    let (host, local) = match url.host() {
        Some(Host::Domain(name)) => (name.to_owned(), name == "localhost"),
        Some(Host::Ipv4(address)) => (address.to_string(), address.is_loopback()),
        Some(Host::Ipv6(address)) => (address.to_string(), address.is_loopback()),
        None => return Err("it names a host".to_owned()),
    };
    let plain = |text: &str| {
        percent_decode_str(text).decode_utf8().map(String::from).map_err(|_| "user and password are UTF-8".to_owned())
    };
    let login = match (url.username(), url.password()) {
        ("", None) => None,
        (user, password) => Some((plain(user)?, plain(password.unwrap_or_default())?)),
    };
    if login.is_some() && secrecy == Secrecy::Plain && !local {
        return Err("a password travels only under TLS: take smtps:// or smtp+starttls://".to_owned());
    }
    // `url` leaves the port of its own scheme out.
    let port = url.port().unwrap_or(if rest.trim_end_matches('/').ends_with(":21") { 21 } else { port });
    Ok(Server { host, port, secrecy, login, hello: "localhost".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: Setting>(text: &str) -> Result<T, String> {
        T::read(text, None)
    }

    fn smtp(text: &str) -> Server {
        match read::<MailUrl>(text).unwrap().carrier {
            Carrier::Smtp(server) => server,
            Carrier::Folder(folder) => panic!("{folder:?}"),
        }
    }

    #[test]
    fn a_password_of_a_mail_server_is_never_shown() {
        let url: MailUrl = read("smtps://shop%40example.org:s%3Acr%40et@mail.example.org").unwrap();
        let Carrier::Smtp(server) = &url.carrier else { panic!() };
        assert_eq!(server.login, Some(("shop@example.org".to_owned(), "s:cr@et".to_owned())));
        assert_eq!((server.host.as_str(), server.port, server.secrecy), ("mail.example.org", 465, Secrecy::Tls));
        for shown in [format!("{url:?}"), format!("{:?}", url.carrier), super::super::redacted("mail.url", &url.text)] {
            assert!(!shown.contains("cr") && !shown.contains("shop"), "{shown}");
        }
    }

    #[test]
    fn a_password_travels_only_under_tls_or_within_the_machine() {
        assert!(read::<MailUrl>("smtp://u:p@mail.example.org").unwrap_err().contains("TLS"));
        assert_eq!(smtp("smtp://u:p@localhost:2525").port, 2525);
        assert_eq!(smtp("smtp+starttls://u:p@mail.example.org").port, 587);
        assert_eq!(smtp("smtp://[::1]:21").port, 21);
        assert_eq!(smtp("smtp://127.0.0.1").port, 25);
    }

    #[test]
    fn what_is_no_mail_server_is_refused_without_a_word_of_it() {
        for bad in [
            "secret",
            "http://secret",
            "smtp://",
            "smtp://host/secret",
            "smtps://host?secret",
            "file://",
            "smtps://a b",
        ] {
            let why = read::<MailUrl>(bad).unwrap_err();
            assert!(!why.contains("secret"), "{bad}: {why}");
        }
    }

    #[test]
    fn a_sender_cannot_write_headers_of_its_own() {
        assert!(read::<MailFrom>("Shop <no-reply@shop.example.org>").is_ok());
        for bad in ["", "shop", "Shop <a@b.example>\r\nBcc: <eve@example.org>", "a@b.example\n"] {
            assert!(read::<MailFrom>(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn links_begin_with_a_web_address_and_nothing_after_it() {
        let read = read::<PublicUrl>;
        assert_eq!(read("https://shop.example.org/"), Ok(PublicUrl("https://shop.example.org".to_owned())));
        assert_eq!(read("https://example.org/shop/"), Ok(PublicUrl("https://example.org/shop".to_owned())));
        for bad in [
            "shop.example.org",
            "javascript:alert(1)",
            "https://u:p@example.org",
            "https://example.org/?a",
            "https://example.org/#a",
            "ftp://a",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
