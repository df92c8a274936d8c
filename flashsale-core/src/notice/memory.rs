//! Notifiers without mail: one that says nothing, and one that writes down what it is given.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::error::BackendError;
use crate::id::BuyerId;
use crate::notice::{Notice, Notifier, Outcome, Reach};

/// Says nothing to anybody: for a shop that tells its members in a way of its own, such as from [`Events::on`](crate::engine::Events::on).
///
/// Notices count as handed over when they are made, and none is kept; the time of an offer runs from its fact.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

#[async_trait]
impl Notifier for Quiet {
    async fn reach(&self, members: &[BuyerId]) -> Result<Vec<Reach>, BackendError> {
        Ok(vec![Reach::Elsewhere; members.len()])
    }

    async fn send(&self, notices: &[Notice]) -> Vec<Outcome> {
        vec![Outcome::HandedOver; notices.len()]
    }
}

/// What is said of a notice, and how often it was seen before.
type Says = Arc<dyn Fn(&Notice, usize) -> Outcome + Send + Sync>;

/// Writes down what it is given, for tests. A clone is the same one.
#[derive(Clone, Default)]
pub struct Recorded {
    seen: Arc<Mutex<Vec<(Notice, Outcome)>>>,
    says: Option<Says>,
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorded").field("seen", &self.seen().len()).finish_non_exhaustive()
    }
}

impl Recorded {
    /// One that answers so: it is told how often the notice was seen before. Without an answer of its own it hands everything over.
    pub fn saying(says: impl Fn(&Notice, usize) -> Outcome + Send + Sync + 'static) -> Self {
        Self { seen: Arc::default(), says: Some(Arc::new(says)) }
    }

    /// Everything that it was given, in order, with what it said.
    #[must_use]
    pub fn attempts(&self) -> Vec<(Notice, Outcome)> {
        self.seen().clone()
    }

    /// What was handed over, in order; a repeat stands twice.
    #[must_use]
    pub fn handed_over(&self) -> Vec<Notice> {
        let over = |(notice, outcome): &(Notice, Outcome)| (*outcome == Outcome::HandedOver).then(|| notice.clone());
        self.seen().iter().filter_map(over).collect()
    }

    fn seen(&self) -> MutexGuard<'_, Vec<(Notice, Outcome)>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Notifier for Recorded {
    async fn reach(&self, members: &[BuyerId]) -> Result<Vec<Reach>, BackendError> {
        Ok(vec![Reach::Here; members.len()])
    }

    async fn send(&self, notices: &[Notice]) -> Vec<Outcome> {
        let mut seen = self.seen();
        let mut outcomes = Vec::with_capacity(notices.len());
        for notice in notices {
            let before = seen.iter().filter(|(other, _)| other.key == notice.key).count();
            let outcome = self.says.as_ref().map_or(Outcome::HandedOver, |says| says(notice, before));
            seen.push((notice.clone(), outcome));
            outcomes.push(outcome);
        }
        outcomes
    }
}
