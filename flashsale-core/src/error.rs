//! Infrastructure failures: one struct, cheap to clone, that says what the caller should do.
//!
//! Business refusals are not here: each operation has its own enum, in precedence order, in its noun.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What went wrong below a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The backend could not be reached, or was busy. **Nothing happened.**
    Unavailable,
    /// The call may or may not have taken effect: its answer was lost. Repeat it with the same ids.
    Unknown,
    /// The backend refused the data of this batch (too long, a tripwire, a constraint). Nothing happened.
    Data,
    /// The backend is not set up as it must be. A person has to act.
    Misconfigured,
    /// The backend's rows contradict what they must be: a defect of ours or a foreign hand.
    Corrupt,
    /// The ledger does not know a version that it once told: it was put back to an older state. The sale halts.
    Rewound,
}

/// What a caller should do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Nothing was promised: try again after this long.
    Retry(Duration),
    /// Ask again with the very same ids: the answer will be that of the first attempt, if it took effect.
    RepeatSameIds,
    /// Part of the batch is bad: halve it until the bad one is alone.
    Halve,
    /// Retrying does not help; somebody has to look.
    GiveUp,
}

/// An infrastructure failure, told to everybody whose request was in the failed batch.
#[derive(Clone)]
pub struct BackendError {
    kind: ErrorKind,
    operation: &'static str,
    source: Arc<dyn std::error::Error + Send + Sync>,
}

impl BackendError {
    /// A failure of `operation` (such as `ledger.accept`) with its cause.
    pub fn new(
        kind: ErrorKind,
        operation: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { kind, operation, source: Arc::from(source.into()) }
    }

    /// [`ErrorKind::Unavailable`].
    pub fn unavailable(operation: &'static str, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(ErrorKind::Unavailable, operation, why)
    }

    /// [`ErrorKind::Unknown`].
    pub fn unknown(operation: &'static str, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(ErrorKind::Unknown, operation, why)
    }

    /// [`ErrorKind::Corrupt`].
    pub fn corrupt(operation: &'static str, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(ErrorKind::Corrupt, operation, why)
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Which port method failed, such as `ledger.accept`.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// Whether the call may have taken effect.
    #[must_use]
    pub fn outcome_is_unknown(&self) -> bool {
        self.kind == ErrorKind::Unknown
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> Advice {
        match self.kind {
            ErrorKind::Unavailable => Advice::Retry(Duration::from_secs(1)),
            ErrorKind::Unknown => Advice::RepeatSameIds,
            ErrorKind::Data => Advice::Halve,
            ErrorKind::Misconfigured | ErrorKind::Corrupt | ErrorKind::Rewound => Advice::GiveUp,
        }
    }

    /// The stable word for this kind.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.kind {
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Unknown => "unknown",
            ErrorKind::Data => "data",
            ErrorKind::Misconfigured => "misconfigured",
            ErrorKind::Corrupt => "corrupt",
            ErrorKind::Rewound => "rewound",
        }
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let next = match self.advice() {
            Advice::Retry(_) => "nothing happened, try again",
            Advice::RepeatSameIds => "it may have happened, repeat with the same id",
            Advice::Halve => "nothing happened, one of the batch is bad",
            Advice::GiveUp => "it needs a person",
        };
        write!(f, "{} is {}: {} ({next})", self.operation, self.code(), self.source)
    }
}

impl fmt::Debug for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for BackendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}

/// Why an operation of an entry type did not do what it was asked: refused by a rule, or failed below.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error<R> {
    /// A rule of the sale says no. Final or not, as the refusal tells.
    #[error("{0}")]
    Refused(R),
    /// Something below failed. *503 always means nothing was promised: repeat with the same key.*
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl<R> Error<R> {
    /// The refusal, if a rule said no.
    pub fn refusal(&self) -> Option<&R> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Backend(_) => None,
        }
    }
}
