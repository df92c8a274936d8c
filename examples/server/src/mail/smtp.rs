//! A conversation with an SMTP server, step by step, because what a refusal means depends on the step it comes at.
//!
//! Only a refusal of this receiver or this letter is for good. Whatever keeps a conversation from coming so far (no server, no TLS, a wrong
//! password, a sender that is not allowed) says nothing about the letter: it waits, and the operator is told. An answer that is lost after
//! the letter went out is no answer: it is sent again, under the same `Message-ID`.

use std::fmt;
use std::time::Duration;

use flashsale_core::notice::{Outcome, Unsendable};
use lettre::Message;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{Error, response::Severity};

use super::Lane;

/// How the way to the server is kept secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Secrecy {
    /// It is not.
    Plain,
    /// TLS from the first byte on.
    Tls,
    /// TLS after STARTTLS; a server that does not offer it is not spoken to.
    StartTls,
}

/// Where letters are handed over, and as whom.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) secrecy: Secrecy,
    pub(crate) login: Option<(String, String)>,
    /// How we greet: the domain of the sender.
    pub(crate) hello: String,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

/// A conversation that is open: any number of letters, one after the other.
pub(super) struct Conversation(AsyncSmtpConnection);

/// What a step failed with.
enum Broke {
    /// The server does not want this letter, for good; the conversation may go on.
    Letter,
    /// Not now; a conversation that is still good goes on.
    Now(String),
    /// There is no conversation any more, or none can be had.
    Conversation(String),
}

impl Conversation {
    async fn begin(server: &Server, timeout: Duration) -> Result<Self, Error> {
        let hello = ClientId::Domain(server.hello.clone());
        let tls = || TlsParameters::new_rustls(server.host.clone());
        let first = if server.secrecy == Secrecy::Tls { Some(tls()?) } else { None };
        let address = (server.host.as_str(), server.port);
        let mut connection = AsyncSmtpConnection::connect_tokio1(address, Some(timeout), &hello, first, None).await?;
        if server.secrecy == Secrecy::StartTls {
            connection.starttls(tls()?, &hello).await?;
        }
        if let Some((user, password)) = &server.login {
            let credentials = Credentials::new(user.clone(), password.clone());
            connection.auth(DEFAULT_MECHANISMS, &credentials).await?;
        }
        Ok(Self(connection))
    }

    /// One letter.
    async fn letter(&mut self, message: &Message) -> Result<(), Broke> {
        let Self(connection) = self;
        let envelope = message.envelope();
        let gone = |error: Error| Broke::Conversation(error.to_string());
        connection.command(Mail::new(envelope.from().cloned(), vec![])).await.map_err(gone)?;
        for to in envelope.to() {
            connection.command(Rcpt::new(to.clone(), vec![])).await.map_err(broke)?;
        }
        connection.command(Data).await.map_err(broke)?;
        connection.message(&message.formatted()).await.map(drop).map_err(broke)
    }

    /// Says good-bye; a server that does not answer is left.
    pub(super) async fn end(mut self, timeout: Duration) {
        let _ = tokio::time::timeout(timeout.min(Duration::from_secs(1)), self.0.quit()).await;
    }
}

/// What an error says of the letter, once its receiver was named.
fn broke(error: Error) -> Broke {
    let Some(code) = error.status() else { return Broke::Conversation(error.to_string()) };
    let number: u16 = code.to_string().parse().unwrap_or(0);
    match (code.severity, number) {
        // RFC 5321, 4.2.3: the mailbox, its size, or the letter itself. Others are about the conversation, such as a missing log-in.
        (Severity::PermanentNegativeCompletion, 550..=556) => Broke::Letter,
        // It closes the conversation.
        (_, 421) => Broke::Conversation(code.to_string()),
        (Severity::TransientNegativeCompletion, _) => Broke::Now(code.to_string()),
        _ => Broke::Conversation(code.to_string()),
    }
}

/// Sends a letter in the open conversation, or in a new one.
pub(super) async fn send(
    server: &Server,
    open: &mut Option<Conversation>,
    message: &Message,
    timeout: Duration,
) -> (Outcome, Lane) {
    let fresh = open.is_none();
    let attempt = async {
        let mut conversation = match open.take() {
            Some(conversation) => conversation,
            None => {
                Conversation::begin(server, timeout).await.map_err(|error| Broke::Conversation(error.to_string()))?
            }
        };
        let said = conversation.letter(message).await;
        match said {
            Ok(()) => *open = Some(conversation),
            Err(Broke::Letter | Broke::Now(_)) => {
                if conversation.0.command(Rset).await.is_ok() {
                    *open = Some(conversation);
                }
            }
            Err(Broke::Conversation(_)) => {}
        }
        said
    };
    // What the server says may have an address in it, so only its number is told.
    match tokio::time::timeout(timeout, attempt).await {
        Ok(Ok(())) => (Outcome::HandedOver, Lane::GoesOn),
        Ok(Err(Broke::Letter)) => (Outcome::Refused(Unsendable::Rejected), Lane::GoesOn),
        Ok(Err(Broke::Now(code))) => {
            tracing::info!(code, "the mail server does not take a letter now");
            (Outcome::NotNow, Lane::GoesOn)
        }
        Ok(Err(Broke::Conversation(why))) => {
            tracing::warn!(why, server = ?server, "the conversation with the mail server broke off");
            (Outcome::NotNow, if fresh { Lane::Ends } else { Lane::GoesOn })
        }
        Err(_) => {
            tracing::warn!(?timeout, server = ?server, "the mail server is too slow");
            (Outcome::NotNow, Lane::Ends)
        }
    }
}
