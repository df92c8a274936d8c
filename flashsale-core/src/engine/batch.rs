//! Batching without timers: calls that arrive while one batch is in flight become the next batch.
//!
//! Owns the queue and who works it off; does not own what a batch does.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use crate::engine::host::{Host, Task};
use crate::error::{BackendError, ErrorKind};

/// A bounded queue that at most one worker empties, batch by batch, in order of entry.
#[derive(Debug)]
pub(crate) struct Batched<J> {
    queue: Mutex<Queue<J>>,
    batch_max: usize,
    queue_max: usize,
}

#[derive(Debug)]
struct Queue<J> {
    jobs: VecDeque<J>,
    worked: Worked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Worked {
    No,
    Yes,
}

/// What a caller has to do after [`Batched::push`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pushed<J> {
    /// Nothing: somebody works the queue off.
    Queued,
    /// Start a worker.
    Work,
    /// The queue is full; here is the job back.
    Full(J),
}

impl<J> Batched<J> {
    pub(crate) fn new(batch_max: usize, queue_max: usize) -> Self {
        let queue = Mutex::new(Queue { jobs: VecDeque::new(), worked: Worked::No });
        Self { queue, batch_max, queue_max }
    }

    fn queue(&self) -> MutexGuard<'_, Queue<J>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job at the end.
    pub(crate) fn push(&self, job: J) -> Pushed<J> {
        let mut queue = self.queue();
        if queue.jobs.len() >= self.queue_max {
            return Pushed::Full(job);
        }
        queue.jobs.push_back(job);
        match std::mem::replace(&mut queue.worked, Worked::Yes) {
            Worked::No => Pushed::Work,
            Worked::Yes => Pushed::Queued,
        }
    }

    /// Adds jobs that have been accepted for work before: they are never refused.
    pub(crate) fn push_all(&self, jobs: impl IntoIterator<Item = J>) -> Pushed<J> {
        let mut queue = self.queue();
        queue.jobs.extend(jobs);
        if queue.jobs.is_empty() {
            return Pushed::Queued;
        }
        match std::mem::replace(&mut queue.worked, Worked::Yes) {
            Worked::No => Pushed::Work,
            Worked::Yes => Pushed::Queued,
        }
    }

    /// The next batch; `None` ends the worker.
    fn take(&self) -> Option<Vec<J>> {
        let mut queue = self.queue();
        if queue.jobs.is_empty() {
            queue.worked = Worked::No;
            return None;
        }
        let count = queue.jobs.len().min(self.batch_max);
        Some(queue.jobs.drain(..count).collect())
    }

    /// Works the queue off, one batch after the other. If a batch panics, its jobs are dropped and the next push starts anew.
    pub(crate) async fn work<F: Future<Output = ()>>(&self, mut batch: impl FnMut(Vec<J>) -> F) {
        struct Leave<'a, J>(&'a Batched<J>);
        impl<J> Drop for Leave<'_, J> {
            fn drop(&mut self) {
                self.0.queue().worked = Worked::No;
            }
        }
        let leave = Leave(self);
        let mut batches = 0_u32;
        while let Some(jobs) = self.take() {
            batch(jobs).await;
            batches += 1;
            // A caller that works inline must get back to its own request.
            if batches.is_multiple_of(4) {
                give_way().await;
            }
        }
        std::mem::forget(leave);
    }
}

/// What a batch of calls does: as many answers as questions, in their order.
type Answering<Q, A> = Box<dyn Fn(Vec<Q>) -> BoxFuture<'static, Result<Vec<A>, BackendError>> + Send + Sync>;

/// A question and who asked it.
type Asked<Q, A> = (Q, oneshot::Sender<Result<A, BackendError>>);

/// Single calls that become batches of one port method.
///
/// On an *unknown* outcome the same batch is repeated once; on a *data* error it is halved until the bad one is alone (hole 12).
pub(crate) struct Calls<Q, A> {
    name: &'static str,
    batched: Batched<Asked<Q, A>>,
    host: Arc<dyn Host>,
    answer: Answering<Q, A>,
}

impl<Q, A> fmt::Debug for Calls<Q, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<Q: Clone + Send + 'static, A: Send + 'static> Calls<Q, A> {
    pub(crate) fn new<T>(
        name: &'static str,
        host: Arc<dyn Host>,
        (batch_max, queue_max): (usize, usize),
        answer: impl Fn(Vec<Q>) -> T + Send + Sync + 'static,
    ) -> Arc<Self>
    where
        T: Future<Output = Result<Vec<A>, BackendError>> + Send + 'static,
    {
        let answer: Answering<Q, A> = Box::new(move |batch| Box::pin(answer(batch)));
        Arc::new(Self { name, batched: Batched::new(batch_max, queue_max), host, answer })
    }

    /// Asks; concurrent questions share a batch.
    ///
    /// # Cancel safety
    /// Dropping the future tears nothing: the question is answered to nobody.
    pub(crate) async fn call(self: &Arc<Self>, question: Q) -> Result<A, BackendError> {
        let (reply, answer) = oneshot::channel();
        match self.batched.push((question, reply)) {
            Pushed::Queued => {}
            Pushed::Work => {
                let calls = self.clone();
                let work = async move { calls.batched.work(|batch| calls.answer(batch)).await };
                start(&*self.host, Box::pin(work));
            }
            Pushed::Full(_) => return Err(BackendError::unavailable(self.name, "too many requests are waiting")),
        }
        answer.await.unwrap_or_else(|_| Err(BackendError::unknown(self.name, "the batch was lost")))
    }

    fn answer(self: &Arc<Self>, batch: Vec<Asked<Q, A>>) -> BoxFuture<'static, ()> {
        let calls = self.clone();
        Box::pin(async move {
            let questions: Vec<Q> = batch.iter().map(|(question, _)| question.clone()).collect();
            let mut answers = (calls.answer)(questions.clone()).await;
            if matches!(&answers, Err(error) if error.outcome_is_unknown()) {
                answers = (calls.answer)(questions).await;
            }
            match answers {
                Ok(answers) if answers.len() == batch.len() => {
                    for ((_, reply), answer) in batch.into_iter().zip(answers) {
                        // A caller that hung up does not hear it.
                        let _ = reply.send(Ok(answer));
                    }
                }
                Err(error) if error.kind() == ErrorKind::Data && batch.len() > 1 => {
                    let mut first = batch;
                    let second = first.split_off(first.len() / 2);
                    calls.answer(first).await;
                    calls.answer(second).await;
                }
                answers => {
                    let odd = || BackendError::corrupt(calls.name, "another number of answers than questions");
                    let error = answers.err().unwrap_or_else(odd);
                    for (_, reply) in batch {
                        let _ = reply.send(Err(error.clone()));
                    }
                }
            }
        })
    }
}

/// Lets other tasks run once.
pub(crate) async fn give_way() {
    let mut first = true;
    std::future::poll_fn(|context| {
        if std::mem::take(&mut first) {
            context.waker().wake_by_ref();
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
}

/// Runs a task as far as it goes without waiting; only if it has to wait, the host runs the rest of it.
///
/// With a gate in memory most batches end here, without a task or a wake-up of their own.
pub(crate) fn start(host: &dyn Host, mut task: Task) {
    let mut context = Context::from_waker(Waker::noop());
    if Pin::new(&mut task).poll(&mut context).is_pending() {
        host.spawn(task);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_entry_is_kept_and_batches_are_bounded() {
        let queue = Batched::new(3, 100);
        assert_eq!(queue.push(0), Pushed::Work);
        for n in 1..7 {
            assert_eq!(queue.push(n), Pushed::Queued);
        }
        let mut seen = Vec::new();
        while let Some(batch) = queue.take() {
            assert!(batch.len() <= 3);
            seen.extend(batch);
        }
        assert_eq!(seen, (0..7).collect::<Vec<_>>());
        assert_eq!(queue.push(7), Pushed::Work, "the worker had left");
    }

    #[test]
    fn a_full_queue_gives_the_job_back() {
        let queue = Batched::new(3, 2);
        assert_eq!(queue.push('a'), Pushed::Work);
        assert_eq!(queue.push('b'), Pushed::Queued);
        assert_eq!(queue.push('c'), Pushed::Full('c'));
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "a panic is caught at the edge of a task")]
    async fn a_batch_that_panics_does_not_stop_the_queue() {
        let queue = std::sync::Arc::new(Batched::new(1, 10));
        let _ = queue.push(1);
        let worker = queue.clone();
        let died = tokio::task::spawn(async move {
            worker.work(|_| async { panic!("planted") }).await;
        });
        assert!(died.await.is_err());
        assert_eq!(queue.push(2), Pushed::Work);
    }
}
