//! Notices as e-mail: to an SMTP server, or to files in a folder.
//!
//! [`Mailer`] is the shop's [`Notifier`]. Owns whom it reaches (the address book), how many conversations there are at a time and how long a
//! batch may take. What a letter says is in [`letter`], how it travels in [`smtp`] and [`folder`]. Addresses stay in here: no outcome, event
//! or log line has one.

mod folder;
mod letter;
mod smtp;

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use flashsale_core::notice::{Notice, Notifier, Outcome, Reach, Unsendable};
use flashsale_core::{BackendError, BuyerId};
use futures_util::future::join_all;
use lettre::message::Mailbox;

use crate::contacts::{Contact, Contacts};
use crate::mail::folder::Folder;
use crate::mail::letter::Letter;
use crate::mail::smtp::Conversation;

pub(crate) use crate::mail::smtp::{Secrecy, Server};

/// When a batch begins no further letter, so that it ends within the minute that the engine waits for it.
const BATCH: Duration = Duration::from_secs(45);

/// How letters go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// As files in a folder.
    Folder(PathBuf),
    /// To an SMTP server.
    Smtp(Server),
}

impl Carrier {
    /// The same, greeting servers by this name.
    pub(crate) fn greeting(self, name: &str) -> Self {
        match self {
            Self::Smtp(server) => Self::Smtp(Server { hello: name.to_owned(), ..server }),
            folder @ Self::Folder(_) => folder,
        }
    }
}

/// Tells members by e-mail.
#[derive(Debug)]
pub(crate) struct Mailer {
    pub(crate) contacts: Contacts,
    pub(crate) carrier: Carrier,
    pub(crate) from: Mailbox,
    /// What links in letters begin with, without a slash at the end.
    pub(crate) public_url: String,
    /// How long one letter may take.
    pub(crate) timeout: Duration,
    /// How many conversations there are at a time.
    pub(crate) lanes: usize,
}

/// A letter on its way, and its place in the answer.
struct Addressed {
    place: usize,
    to: Mailbox,
    letter: Letter,
}

/// What lanes share: the letters that no lane has begun, and the outcomes.
struct Batch {
    waiting: VecDeque<Addressed>,
    outcomes: Vec<Outcome>,
}

/// Whether a lane goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    GoesOn,
    /// The server takes nothing now, so the rest of the batch waits.
    Ends,
}

impl Mailer {
    /// The letter for a notice, and to whom.
    fn addressed(&self, place: usize, notice: &Notice, contact: Option<&Contact>) -> Result<Addressed, Unsendable> {
        let contact = contact.ok_or(Unsendable::NoAddress)?;
        let to = contact.email.parse().map_err(|_| Unsendable::BadAddress)?;
        let letter = Letter::of(notice, contact.language, &self.public_url);
        Ok(Addressed { place, to: Mailbox::new(None, to), letter })
    }

    /// Sends letters one after the other until there are no more, or the server takes none.
    async fn lane(&self, batch: &Mutex<Batch>, until: tokio::time::Instant) {
        let mut conversation = None;
        while tokio::time::Instant::now() < until {
            let Some(addressed) = batch.lock().unwrap_or_else(PoisonError::into_inner).waiting.pop_front() else {
                break;
            };
            let (outcome, lane) = self.one(&addressed, &mut conversation).await;
            let mut batch = batch.lock().unwrap_or_else(PoisonError::into_inner);
            batch.outcomes[addressed.place] = outcome;
            if lane == Lane::Ends {
                batch.waiting.clear();
            }
        }
        if let Some(conversation) = conversation {
            conversation.end(self.timeout).await;
        }
    }

    async fn one(&self, addressed: &Addressed, conversation: &mut Option<Conversation>) -> (Outcome, Lane) {
        let Addressed { to, letter, .. } = addressed;
        let message = match letter.message(&self.from, to) {
            Ok(message) => message,
            Err(error) => {
                tracing::error!(notice = %letter.key, %error, "a letter cannot be written");
                return (Outcome::Refused(Unsendable::BadAddress), Lane::GoesOn);
            }
        };
        match &self.carrier {
            Carrier::Folder(folder) => match Folder::put(folder, &letter.key, message.formatted()).await {
                Ok(()) => (Outcome::HandedOver, Lane::GoesOn),
                Err(error) => {
                    tracing::warn!(%error, "mail.url: a letter cannot be written into the folder");
                    (Outcome::NotNow, Lane::Ends)
                }
            },
            Carrier::Smtp(server) => smtp::send(server, conversation, &message, self.timeout).await,
        }
    }
}

#[async_trait]
impl Notifier for Mailer {
    async fn reach(&self, members: &[BuyerId]) -> Result<Vec<Reach>, BackendError> {
        let known = self.contacts.of(members).await?;
        let reach = |member| if known.contains_key(member) { Reach::Here } else { Reach::Nowhere };
        Ok(members.iter().map(reach).collect())
    }

    async fn send(&self, notices: &[Notice]) -> Vec<Outcome> {
        let until = tokio::time::Instant::now() + BATCH;
        let mut batch = Batch { waiting: VecDeque::new(), outcomes: vec![Outcome::NotNow; notices.len()] };
        let members: Vec<BuyerId> = notices.iter().map(|notice| notice.to.clone()).collect();
        let contacts: HashMap<BuyerId, Contact> = match self.contacts.of(&members).await {
            Ok(contacts) => contacts,
            Err(error) => {
                tracing::warn!(%error, "the address book does not answer");
                return batch.outcomes;
            }
        };
        for (place, notice) in notices.iter().enumerate() {
            match self.addressed(place, notice, contacts.get(&notice.to)) {
                Ok(addressed) => batch.waiting.push_back(addressed),
                Err(why) => batch.outcomes[place] = Outcome::Refused(why),
            }
        }
        let lanes = self.lanes.min(batch.waiting.len());
        let batch = Mutex::new(batch);
        join_all((0..lanes).map(|_| self.lane(&batch, until))).await;
        batch.into_inner().unwrap_or_else(PoisonError::into_inner).outcomes
    }
}

#[cfg(test)]
mod tests;
