//! Whose turn it is to write. The database lets one transaction write at a time; who waits for an answer goes before work that
//! nobody waits for. While buyers come one after the other, that work gets a turn every so often: it gathers, and its batches grow.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// How long after a buyer's turn the next one is expected: their next batch is on its way.
const RUSH: Duration = Duration::from_millis(3);
/// In a rush, work gets a turn this long after its last one.
const WORK_EVERY: Duration = Duration::from_millis(50);
/// How often work looks whether the rush is over.
const LOOK: Duration = Duration::from_millis(1);

/// Who waits for a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waits {
    /// Somebody who was not answered yet.
    Buyer,
    /// Nobody: a pass.
    Nobody,
}

/// The queue before the database.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    queue: Mutex<Queue>,
    /// Work stands in a line of its own; only its first joins the queue.
    work: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Queue {
    taken: bool,
    waiting: VecDeque<oneshot::Sender<Turn>>,
    last_buyer: Option<Instant>,
    last_work: Option<Instant>,
}

impl Queue {
    /// Whether work should let buyers pass.
    fn rush(&self, now: Instant) -> bool {
        let within = |at: Option<Instant>, span| at.is_some_and(|at| now.duration_since(at) < span);
        within(self.last_buyer, RUSH) && within(self.last_work, WORK_EVERY)
    }
}

/// The right to write, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn(Option<Arc<Turns>>);

impl Turns {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the queue; a turn that was just given goes on to the next.
    pub(crate) async fn take(self: &Arc<Self>, waits: Waits) -> Turn {
        match waits {
            Waits::Buyer => self.stand(waits).await,
            Waits::Nobody => {
                let _first = self.work.lock().await;
                while self.queue().rush(Instant::now()) {
                    tokio::time::sleep(LOOK).await;
                }
                self.stand(waits).await
            }
        }
    }

    async fn stand(self: &Arc<Self>, waits: Waits) -> Turn {
        let given = {
            let mut queue = self.queue();
            if queue.taken {
                let (give, given) = oneshot::channel();
                queue.waiting.push_back(give);
                Some(given)
            } else {
                queue.taken = true;
                None
            }
        };
        let turn = match given {
            // The sender is dropped only with the queue, which this future keeps.
            Some(given) => given.await.unwrap_or(Turn(None)),
            None => Turn(Some(self.clone())),
        };
        let mut queue = self.queue();
        match waits {
            Waits::Buyer => queue.last_buyer = Some(Instant::now()),
            Waits::Nobody => queue.last_work = Some(Instant::now()),
        }
        drop(queue);
        turn
    }

    fn pass_on(self: Arc<Self>) {
        let mut turn = Turn(Some(self.clone()));
        loop {
            let next = {
                let mut queue = self.queue();
                let next = queue.waiting.pop_front();
                queue.taken = next.is_some();
                // The rush is counted from the end of a turn.
                if queue.last_buyer > queue.last_work {
                    queue.last_buyer = Some(Instant::now());
                }
                next
            };
            let Some(next) = next else {
                turn.0 = None;
                return;
            };
            match next.send(turn) {
                Ok(()) => return,
                // He left: the turn goes to the next.
                Err(back) => turn = back,
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.0.take() {
            turns.pass_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn ready<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    #[test]
    fn work_lets_a_rush_of_buyers_pass_and_is_not_left_behind() {
        let now = Instant::now();
        let queue =
            |buyer, work| Queue { last_buyer: Some(now + buyer), last_work: Some(now + work), ..Queue::default() };
        let ms = Duration::from_millis;
        assert!(!Queue::default().rush(now));
        assert!(queue(ms(10), ms(0)).rush(now + ms(12)), "the next buyers are on their way");
        assert!(!queue(ms(10), ms(0)).rush(now + ms(13)), "the rush is over");
        assert!(!queue(ms(49), ms(0)).rush(now + ms(50)), "the rush goes on, and it is work's turn");
    }

    #[tokio::test]
    async fn a_turn_is_given_to_one_at_a_time() {
        let turns = Arc::new(Turns::default());
        let inside = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let task = |n: u32| {
            let (turns, inside) = (turns.clone(), inside.clone());
            tokio::spawn(async move {
                let turn = turns.take(if n.is_multiple_of(3) { Waits::Nobody } else { Waits::Buyer }).await;
                assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                tokio::task::yield_now().await;
                inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                drop(turn);
            })
        };
        for task in (0..30).map(task).collect::<Vec<_>>() {
            task.await.expect("alone");
        }
    }

    #[test]
    fn who_left_does_not_keep_the_turn() {
        let turns = Arc::new(Turns::default());
        let first = ready(pin!(turns.take(Waits::Buyer))).expect("nobody writes");
        let mut left = Box::pin(turns.take(Waits::Buyer));
        assert!(ready(left.as_mut()).is_none());
        let mut next = Box::pin(turns.take(Waits::Nobody));
        assert!(ready(next.as_mut()).is_none());
        drop(left);
        drop(first);
        let turn = ready(next.as_mut()).expect("the turn came on");
        drop(turn);
        assert!(ready(pin!(turns.take(Waits::Buyer))).is_some(), "it is free again");
    }

    #[test]
    fn a_turn_that_was_given_and_never_taken_up_goes_on() {
        let turns = Arc::new(Turns::default());
        let first = ready(pin!(turns.take(Waits::Buyer))).expect("nobody writes");
        let mut given = Box::pin(turns.take(Waits::Buyer));
        assert!(ready(given.as_mut()).is_none());
        drop(first);
        drop(given);
        assert!(ready(pin!(turns.take(Waits::Buyer))).is_some());
    }
}
