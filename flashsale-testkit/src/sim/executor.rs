//! One thread, virtual time, seeded choice: runs tasks in an order that the seed decides, and ends groups of them at any await.
//!
//! Owns tasks, timers and the random numbers of a run. Knows nothing of sales.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use flashsale_core::Timestamp;
use flashsale_core::engine::Task;

/// Tasks that live and die together: a node, the world, the buyers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group(pub u32);

impl Group {
    /// What happens outside of every node: it never crashes.
    pub const WORLD: Self = Self(0);
}

/// The world of one run. A clone is the same one.
#[derive(Clone)]
pub struct World(Arc<Shared>);

struct Shared {
    ready: Mutex<Vec<u64>>,
    inner: Mutex<Inner>,
}

struct Inner {
    now: Timestamp,
    random: SplitMix,
    tasks: BTreeMap<u64, (Group, Option<Task>)>,
    next_task: u64,
    timers: BTreeMap<(Timestamp, u64), Waker>,
    next_timer: u64,
    script: Vec<String>,
    counts: BTreeMap<&'static str, u64>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "World at {}", self.now())
    }
}

/// A small generator (Steele, Lea, Flood 2014): every number of a run follows from its seed.
#[derive(Debug, Clone, Copy)]
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

struct TaskWaker {
    id: u64,
    world: Arc<Shared>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut ready = self.world.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if !ready.contains(&self.id) {
            ready.push(self.id);
        }
    }
}

impl World {
    /// A world that begins at `start`; everything that happens in it follows from `seed`.
    #[must_use]
    pub fn new(seed: u64, start: Timestamp) -> Self {
        let inner = Inner {
            now: start,
            random: SplitMix(seed),
            tasks: BTreeMap::new(),
            next_task: 0,
            timers: BTreeMap::new(),
            next_timer: 0,
            script: Vec::new(),
            counts: BTreeMap::new(),
        };
        Self(Arc::new(Shared { ready: Mutex::default(), inner: Mutex::new(inner) }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time of the world.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.inner().now
    }

    /// 64 random bits.
    #[must_use]
    pub fn random(&self) -> u64 {
        self.inner().random.next()
    }

    /// A number from 0 to `below - 1`.
    #[must_use]
    pub fn pick(&self, below: u64) -> u64 {
        self.random() % below.max(1)
    }

    /// True in `per_mille` of a thousand cases.
    #[must_use]
    pub fn chance(&self, per_mille: u32) -> bool {
        self.pick(1000) < u64::from(per_mille)
    }

    /// Writes a line of the run's script, and counts it if it is a fault of a kind.
    pub fn say(&self, line: impl fmt::Display) {
        let mut inner = self.inner();
        let line = format!("{:>9} ms  {line}", inner.now.ms());
        inner.script.push(line);
    }

    /// Counts a fault.
    pub fn count(&self, what: &'static str) {
        *self.inner().counts.entry(what).or_default() += 1;
    }

    /// The script so far.
    #[must_use]
    pub fn script(&self) -> Vec<String> {
        self.inner().script.clone()
    }

    /// How often each fault happened.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.inner().counts.clone()
    }

    /// Adds a task to a group.
    pub fn spawn(&self, group: Group, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_boxed(group, Box::pin(task));
    }

    /// Adds a boxed task to a group.
    pub fn spawn_boxed(&self, group: Group, task: Task) {
        let id = {
            let mut inner = self.inner();
            inner.next_task += 1;
            let id = inner.next_task;
            inner.tasks.insert(id, (group, Some(task)));
            id
        };
        self.0.ready.lock().unwrap_or_else(PoisonError::into_inner).push(id);
    }

    /// Ends all tasks of a group where they stand: the process is gone.
    pub fn crash(&self, group: Group) {
        let dead: Vec<Option<Task>> = {
            let mut inner = self.inner();
            let ids: Vec<u64> = inner.tasks.iter().filter(|(_, (g, _))| *g == group).map(|(id, _)| *id).collect();
            ids.iter().filter_map(|id| inner.tasks.remove(id)).map(|(_, task)| task).collect()
        };
        // Dropped outside the lock: a task's end may wake others.
        drop(dead);
    }

    /// Ends at `wait` from now.
    #[must_use]
    pub fn sleep(&self, wait: Duration) -> Sleep {
        Sleep { world: self.clone(), until: self.now().after(wait), timer: None }
    }

    /// Runs one task once, or moves time to the next timer. `false`: nothing can happen any more.
    fn turn(&self) -> bool {
        let chosen = {
            let mut ready = self.0.ready.lock().unwrap_or_else(PoisonError::into_inner);
            if ready.is_empty() {
                None
            } else {
                let at = usize::try_from(self.pick(ready.len() as u64)).unwrap_or(0);
                Some(ready.remove(at))
            }
        };
        let Some(id) = chosen else { return self.advance() };
        let taken = self.inner().tasks.get_mut(&id).and_then(|(_, task)| task.take());
        let Some(mut task) = taken else { return true };
        let waker = Waker::from(Arc::new(TaskWaker { id, world: self.0.clone() }));
        let poll = Pin::new(&mut task).poll(&mut Context::from_waker(&waker));
        let mut inner = self.inner();
        if poll.is_ready() {
            inner.tasks.remove(&id);
        } else if let Some((_, slot)) = inner.tasks.get_mut(&id) {
            *slot = Some(task);
        } else {
            // Its group crashed while it ran: it ends here, outside the lock.
            drop(inner);
            drop(task);
        }
        true
    }

    fn advance(&self) -> bool {
        let due: Vec<Waker> = {
            let mut inner = self.inner();
            let Some(((at, _), _)) = inner.timers.first_key_value() else { return false };
            let at = *at;
            inner.now = inner.now.max(at);
            let mut due = Vec::new();
            while let Some(first) = inner.timers.first_entry() {
                if first.key().0 > at {
                    break;
                }
                due.push(first.remove());
            }
            due
        };
        for waker in due {
            waker.wake();
        }
        true
    }

    /// Runs until `done`, or nothing can happen, or time reaches `limit`. Tells whether `done`.
    pub fn run_until(&self, limit: Timestamp, mut done: impl FnMut() -> bool) -> bool {
        loop {
            if done() {
                return true;
            }
            if self.now() >= limit || !self.turn() {
                return done();
            }
        }
    }
}

/// The future of [`World::sleep`].
#[derive(Debug)]
pub struct Sleep {
    world: World,
    until: Timestamp,
    timer: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.world.inner();
        if inner.now >= self.until {
            return Poll::Ready(());
        }
        let timer = match self.timer {
            Some(timer) => timer,
            None => {
                inner.next_timer += 1;
                inner.next_timer
            }
        };
        inner.timers.insert((self.until, timer), context.waker().clone());
        drop(inner);
        self.timer = Some(timer);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            self.world.inner().timers.remove(&(self.until, timer));
        }
    }
}
