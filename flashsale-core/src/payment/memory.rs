//! A provider that plays by set chances: for tests, demonstrations and load.
//!
//! What happens to a payment is a pure function of the seed and its key, so a repeat, a restart and a replay meet the same fate.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::error::BackendError;
use crate::payment::{Capture, Charge, DeclineReason, Fenced, Moved, Outcome, PaymentGateway, PaymentKey};
use crate::unit::Money;

/// How often what happens. Shares of one; what is left over is approved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chances {
    /// The provider says no.
    pub decline: f64,
    /// The buyer leaves the payment page.
    pub leave: f64,
    /// The answer is lost: the payment may have been approved or not, as a look-up tells.
    pub unknown: f64,
    /// How long each answer takes.
    pub latency: Duration,
    /// Which fates are drawn.
    pub seed: u64,
}

impl Chances {
    /// Approves everything at once.
    pub const CERTAIN: Self = Self { decline: 0.0, leave: 0.0, unknown: 0.0, latency: Duration::ZERO, seed: 0 };
}

/// Waits for a while: handed in, so that simulated time works.
type Sleep = Arc<dyn Fn(Duration) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// The scripted provider. A clone is the same one.
#[derive(Clone)]
pub struct Scripted {
    chances: Chances,
    sleep: Option<Sleep>,
    books: Arc<Mutex<HashMap<PaymentKey, Account>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Account {
    Approved(Money),
    Declined(DeclineReason),
    Fenced,
    Refunded(Money),
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted").field("chances", &self.chances).finish_non_exhaustive()
    }
}

impl Scripted {
    /// A provider that approves everything at once.
    #[must_use]
    pub fn approves() -> Self {
        Self { chances: Chances::CERTAIN, sleep: None, books: Arc::default() }
    }

    /// A provider with these chances; `sleep` is how it takes its time.
    pub fn with<S, T>(chances: Chances, sleep: S) -> Self
    where
        S: Fn(Duration) -> T + Send + Sync + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let sleep: Sleep = Arc::new(move |wait| Box::pin(sleep(wait)));
        Self { chances, sleep: Some(sleep), books: Arc::default() }
    }

    /// What was approved and not refunded: for audits of tests.
    #[must_use]
    pub fn approved(&self) -> Vec<(PaymentKey, Money)> {
        let books = self.books();
        let mut approved: Vec<_> = books
            .iter()
            .filter_map(|(key, account)| match account {
                Account::Approved(amount) => Some((key.clone(), *amount)),
                _ => None,
            })
            .collect();
        approved.sort();
        approved
    }

    /// The name of a payment's account: the method is no part of it.
    fn account(key: &PaymentKey) -> PaymentKey {
        PaymentKey { method: None, ..key.clone() }
    }

    fn books(&self) -> MutexGuard<'_, HashMap<PaymentKey, Account>> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn take_time(&self) {
        if let Some(sleep) = self.sleep.as_ref().filter(|_| !self.chances.latency.is_zero()) {
            sleep(self.chances.latency).await;
        }
    }

    /// A number from 0 to 1 that belongs to this key and question.
    fn draw(&self, key: &PaymentKey, question: &str) -> f64 {
        let text = format!("{}/{key}/{question}", self.chances.seed);
        (xxhash_rust::xxh3::xxh3_64(text.as_bytes()) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn fate(&self, charge: &Charge) -> Account {
        let draw = self.draw(&charge.key, "fate");
        if draw < self.chances.leave {
            Account::Declined(DeclineReason::BuyerLeft)
        } else if draw < self.chances.leave + (1.0 - self.chances.leave) * self.chances.decline {
            Account::Declined(DeclineReason::Refused)
        } else {
            Account::Approved(charge.amount)
        }
    }
}

fn outcome(key: &PaymentKey, account: Account) -> Outcome {
    match account {
        Account::Approved(amount) | Account::Refunded(amount) => {
            Outcome::Approved { amount, reference: format!("scripted-{key}") }
        }
        Account::Declined(reason) => Outcome::Declined(reason),
        Account::Fenced => Outcome::Declined(DeclineReason::Refused),
    }
}

#[async_trait]
impl PaymentGateway for Scripted {
    async fn authorize(&self, charge: &Charge) -> Result<Outcome, BackendError> {
        self.take_time().await;
        let fate = self.fate(charge);
        let account = *self.books().entry(Self::account(&charge.key)).or_insert(fate);
        if self.draw(&charge.key, "lost") < self.chances.unknown {
            return Ok(Outcome::Unknown);
        }
        Ok(outcome(&charge.key, account))
    }

    async fn lookup(&self, key: &PaymentKey) -> Result<Option<Outcome>, BackendError> {
        self.take_time().await;
        Ok(self.books().get(&Self::account(key)).map(|account| outcome(key, *account)))
    }

    async fn cancel(&self, key: &PaymentKey) -> Result<Fenced, BackendError> {
        self.take_time().await;
        let account = *self.books().entry(Self::account(key)).or_insert(Account::Fenced);
        Ok(match account {
            Account::Approved(amount) => Fenced::Approved { amount, reference: format!("scripted-{key}") },
            Account::Declined(_) | Account::Fenced | Account::Refunded(_) => Fenced::Cancelled,
        })
    }

    async fn capture(&self, _: &Capture) -> Result<Moved, BackendError> {
        Ok(Moved::Done)
    }

    async fn refund(&self, key: &PaymentKey) -> Result<Moved, BackendError> {
        self.take_time().await;
        let account = Self::account(key);
        let mut books = self.books();
        match books.get(&account).copied() {
            Some(Account::Approved(amount)) => {
                books.insert(account, Account::Refunded(amount));
            }
            Some(_) => {}
            None => {
                books.insert(account, Account::Fenced);
            }
        }
        Ok(Moved::Done)
    }
}
