//! `Letters`: dead letters, for a person to replay or discard.
//!
//! A replay goes through the same consumer under the same event id, and is settled only after the effect: whatever breaks in between
//! leaves the letter open, and the next replay changes nothing that is done already (**G9**).

use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::handler::{Consumer, Failed};
use crate::error::{BackendError, Error, ErrorKind};
use crate::event::{DeadLetter, DeadLetters, LetterName, Replay, Why};

/// Every consumer of this process.
pub(crate) type Consumers = Arc<Mutex<Vec<Arc<dyn Consumer>>>>;

/// What consumers gave up on. A clone is the same.
#[derive(Clone)]
pub struct Letters {
    dead: Arc<dyn DeadLetters>,
    consumers: Consumers,
    /// One replay at a time in a process: the second of two clicks finds the letter settled.
    alone: Arc<tokio::sync::Mutex<()>>,
}

impl std::fmt::Debug for Letters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Letters").field("dead", &self.dead).finish_non_exhaustive()
    }
}

/// Why a letter is not dealt with, in precedence order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LetterRefusal {
    /// There is no such letter.
    #[error("there is no such letter")]
    Unknown,
    /// It was dealt with before, in another way.
    #[error("it was {} before", how(.0))]
    Settled(Replay),
    /// Nobody here takes up what this consumer did: its code is gone, or runs elsewhere.
    #[error("there is no consumer {0} in this process")]
    ConsumerGone(String),
    /// The consumer cannot take it up now either. The letter stays open.
    #[error("it failed again: {0}")]
    FailedAgain(String),
}

impl LetterRefusal {
    /// The stable word for this refusal.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "not_found",
            Self::Settled(_) => "letter_settled",
            Self::ConsumerGone(_) => "consumer_gone",
            Self::FailedAgain(_) => "failed_again",
        }
    }
}

fn how(settled: &Replay) -> &'static str {
    match settled {
        Replay::Replayed => "replayed",
        Replay::Discarded(_) => "discarded",
    }
}

/// Whether a letter was dealt with by this call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dealt {
    /// By this one.
    Now,
    /// By an earlier one, in the same way: nothing was done.
    Before,
}

impl Letters {
    pub(crate) fn new(dead: Arc<dyn DeadLetters>, consumers: Consumers) -> Self {
        Self { dead, consumers, alone: Arc::default() }
    }

    /// At most `limit` letters that nobody has dealt with, oldest first.
    ///
    /// # Errors
    /// [`BackendError`].
    pub async fn open(&self, limit: usize) -> Result<Vec<DeadLetter>, BackendError> {
        self.dead.letters(limit).await
    }

    /// One letter, and what became of it; `None` if there is no such letter.
    ///
    /// # Errors
    /// [`BackendError`].
    pub async fn letter(&self, name: &LetterName) -> Result<Option<(DeadLetter, Option<Replay>)>, BackendError> {
        self.dead.letter(&name.consumer, &name.event).await
    }

    /// Hands a letter's event to its consumer once more, with the id that it had, and settles it after the effect.
    ///
    /// The effect is once: of the saga because its table takes nothing twice, of a handler of the embedder's own because it goes by
    /// [`Event::id`](crate::Event::id), as for every event. One that fails again is not tried on; it stays open as it was.
    ///
    /// # Errors
    /// [`LetterRefusal`] in its precedence order. A [`BackendError`] leaves the letter open, with or without its effect: replay it again.
    ///
    /// # Cancel safety
    /// As for a [`BackendError`].
    pub async fn replay(&self, name: &LetterName) -> Result<Dealt, Error<LetterRefusal>> {
        let _alone = self.alone.lock().await;
        let (letter, settled) = self.letter(name).await?.ok_or(Error::Refused(LetterRefusal::Unknown))?;
        match settled {
            None => {}
            Some(Replay::Replayed) => return Ok(Dealt::Before),
            Some(other) => return Err(Error::Refused(LetterRefusal::Settled(other))),
        }
        let gone = || Error::Refused(LetterRefusal::ConsumerGone(name.consumer.clone()));
        let consumer = self.consumer(&name.consumer).ok_or_else(gone)?;
        if consumer.wants(&letter.event.fact) {
            consumer.handle(std::slice::from_ref(&letter.event)).await.map_err(failed)?;
        }
        tracing::info!(letter = %name, "replayed");
        let told = self.dead.settle(&name.consumer, &name.event, Replay::Replayed).await?;
        Ok(if told.is_some() { Dealt::Now } else { Dealt::Before })
    }

    /// Marks a letter as never to be replayed. It is kept, with the reason.
    ///
    /// # Errors
    /// [`LetterRefusal`] in its precedence order.
    pub async fn discard(&self, name: &LetterName, why: Why) -> Result<Dealt, Error<LetterRefusal>> {
        let _alone = self.alone.lock().await;
        if self.dead.settle(&name.consumer, &name.event, Replay::Discarded(why.clone())).await?.is_some() {
            tracing::warn!(letter = %name, why = why.as_str(), "discarded");
            return Ok(Dealt::Now);
        }
        match self.letter(name).await? {
            None => Err(Error::Refused(LetterRefusal::Unknown)),
            Some((_, Some(Replay::Discarded(_)))) => Ok(Dealt::Before),
            Some((_, Some(other))) => Err(Error::Refused(LetterRefusal::Settled(other))),
            Some((_, None)) => {
                Err(BackendError::unavailable("letters.discard", "it was opened again meanwhile").into())
            }
        }
    }

    fn consumer(&self, group: &str) -> Option<Arc<dyn Consumer>> {
        let consumers = self.consumers.lock().unwrap_or_else(PoisonError::into_inner);
        consumers.iter().find(|consumer| consumer.group() == group).cloned()
    }
}

/// What waits below is told as such; all else the consumer would say again.
fn failed(failed: Failed) -> Error<LetterRefusal> {
    match failed {
        Failed::Backend(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Unknown) => error.into(),
        other => Error::Refused(LetterRefusal::FailedAgain(other.to_string())),
    }
}
