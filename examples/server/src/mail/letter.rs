//! What a letter says: a notice in words of its member's language, as text and as HTML, and under which name it travels.
//!
//! Everything in a letter is made from the notice, so that a repeat is the same letter to the byte, and its `Message-ID` is the
//! notice's key. Owns no words: those are in [`language`](crate::language).

use std::time::{Duration, SystemTime};

use askama::Template;
use flashsale_core::Timestamp;
use flashsale_core::notice::{Message as Says, Notice, NoticeKey};
use lettre::Message;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};

use crate::language::{Language, Phrase, reason};

/// What stands between the parts of a letter. Neither base64 nor quoted-printable can contain it, and no id can.
const BOUNDARY: &str = "=_flashsale";

/// A letter, written out but for sender and receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) key: NoticeKey,
    at: Timestamp,
    language: Language,
    subject: String,
    paragraphs: Vec<String>,
    /// Where it leads, and what is written on it.
    link: (String, String),
}

/// Why a letter cannot be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unwritten {
    #[error(transparent)]
    Template(#[from] askama::Error),
    #[error(transparent)]
    Headers(#[from] lettre::error::Error),
}

#[derive(Template)]
#[template(path = "mail.txt")]
struct Text<'a> {
    letter: &'a Letter,
    automatic: &'a str,
}

#[derive(Template)]
#[template(path = "mail.html")]
struct Html<'a> {
    letter: &'a Letter,
    automatic: &'a str,
}

impl Letter {
    /// The letter that a notice is.
    pub(super) fn of(notice: &Notice, language: Language, public_url: &str) -> Self {
        let say = |phrase: Phrase, put_in: &[&str]| phrase.say(language, put_in);
        let about = |order: &str| say(Phrase::AboutOrder, &[order]);
        let order_link = |order: &str| (format!("{public_url}/orders/{order}"), say(Phrase::SeeOrder, &[]));
        let shop_link = || (format!("{public_url}/"), say(Phrase::SeeShop, &[]));
        let (subject, paragraphs, link) = match &notice.message {
            Says::OrderAccepted { order, pays, pay_by } => {
                let mut paragraphs = match pay_by {
                    None => vec![say(Phrase::AcceptedFree, &[])],
                    Some(by) => vec![
                        say(Phrase::Accepted, &[&language.money(*pays)]),
                        say(Phrase::PayBy, &[&language.time(*by)]),
                    ],
                };
                paragraphs.push(about(order.as_str()));
                (say(Phrase::AcceptedSubject, &[]), paragraphs, order_link(order.as_str()))
            }
            Says::OrderConfirmed { order, pays } => {
                let paragraphs = vec![say(Phrase::Confirmed, &[&language.money(*pays)]), about(order.as_str())];
                (say(Phrase::ConfirmedSubject, &[]), paragraphs, order_link(order.as_str()))
            }
            Says::OrderCancelled { order, reason: code } => {
                let why = say(reason(code), &[]);
                let paragraphs = vec![say(Phrase::Cancelled, &[&why]), about(order.as_str())];
                (say(Phrase::CancelledSubject, &[]), paragraphs, order_link(order.as_str()))
            }
            Says::OrderReturned { order } => {
                let paragraphs = vec![say(Phrase::Returned, &[]), about(order.as_str())];
                (say(Phrase::ReturnedSubject, &[]), paragraphs, order_link(order.as_str()))
            }
            Says::OfferMade { offer, item, units, within } => {
                let mut paragraphs = vec![say(Phrase::Offer, &[item.as_str(), &units.to_string()])];
                if let Some(within) = within {
                    paragraphs.push(say(Phrase::OfferWithin, &[&(within.as_secs() / 60).max(1).to_string()]));
                }
                let link = (format!("{public_url}/offers/{offer}"), say(Phrase::SeeOffer, &[]));
                (say(Phrase::OfferSubject, &[item.as_str()]), paragraphs, link)
            }
            Says::OfferLapsed { item, units, .. } => {
                let paragraphs = vec![say(Phrase::Lapsed, &[item.as_str(), &units.to_string()])];
                (say(Phrase::LapsedSubject, &[item.as_str()]), paragraphs, shop_link())
            }
            Says::CouponIssued { campaign, until, .. } => {
                let paragraphs = vec![say(Phrase::Coupon, &[campaign.as_str(), &language.time(*until)])];
                (say(Phrase::CouponSubject, &[]), paragraphs, shop_link())
            }
        };
        Self { key: notice.key.clone(), at: notice.at, language, subject, paragraphs, link }
    }

    /// The name of the letter: the notice's key in the characters that a `Message-ID` may have.
    pub(super) fn id(key: &NoticeKey, domain: &str) -> String {
        let mut local = String::with_capacity(key.as_str().len() + 8);
        for character in key.as_str().chars() {
            match character {
                'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' | '~' | '/' => local.push(character),
                other => local.push_str(&format!("={:02X}", u32::from(other))),
            }
        }
        format!("<{local}@{domain}>")
    }

    fn automatic(&self) -> String {
        Phrase::Automatic.say(self.language, &[])
    }

    fn text(&self) -> Result<String, askama::Error> {
        Text { letter: self, automatic: &self.automatic() }.render()
    }

    /// The letter as a page: what is put in is escaped.
    pub(super) fn html(&self) -> Result<String, askama::Error> {
        Html { letter: self, automatic: &self.automatic() }.render()
    }

    /// The letter as it travels, from and to whom.
    pub(super) fn message(&self, from: &Mailbox, to: &Mailbox) -> Result<Message, Unwritten> {
        let (text, html) = (self.text()?, self.html()?);
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(self.at.ms()).unwrap_or(0));
        let raw =
            |name: &'static str, value: &str| HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned());
        let message = Message::builder()
            .from(from.clone())
            .to(to.clone())
            .date(at)
            .message_id(Some(Self::id(&self.key, from.email.domain())))
            .subject(self.subject.as_str())
            // No answering machine answers (RFC 3834).
            .raw_header(raw("Auto-Submitted", "auto-generated"))
            .raw_header(raw("Content-Language", self.language.tag()));
        let parts = MultiPart::alternative().boundary(BOUNDARY);
        Ok(message.multipart(parts.singlepart(SinglePart::plain(text)).singlepart(SinglePart::html(html)))?)
    }
}
