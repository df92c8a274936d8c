//! Clients and followers as tasks, and the pen that writes down what they ask and are told.
//!
//! Owns the moments: the counter is read before a call and after its answer, never between. Does not own what the ledger
//! decides: that is played in `follower.rs`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use flashsale_core::error::{BackendError, ErrorKind};
use flashsale_core::stock::{Begun, Epoch, Load, Nonce, Reservation, Reserve, Reserved, StockGate, Synced};
use tokio::sync::mpsc;
use tokio::task::{JoinSet, yield_now};

use super::follower::{Granted, follow, straggle};
use super::plan::Catalog;
use super::{Asked, Call, Caller, History, Moment, Plan, Reply, Told};
use crate::differential::Dice;
use crate::sample;

/// Holds that the ledger has not looked at; older ones are left to lapse.
const GRANTED_MAX: usize = 4_096;

/// What all tasks of a recording share.
pub(super) struct Desk<G> {
    pub(super) gate: Arc<G>,
    pub(super) plan: Plan,
    pub(super) catalog: Catalog,
    pub(super) load: Load,
    now: AtomicU64,
    /// Requests made so far.
    issued: AtomicU64,
    /// Holds that clients were told of.
    granted: Mutex<Vec<Granted>>,
}

/// Opens a fresh gate, lets many clients and two followers call it at once, and gives all that was asked and told.
///
/// Call it on a runtime with several threads: on one thread, calls overlap only where the gate waits. The gate's clock must
/// move by itself, or no hold lapses. Every task has ended when this returns.
///
/// A seed chooses what is asked; what overlaps is up to the machine, so the same seed gives another history each time.
///
/// # Errors
/// Any [`BackendError`] but two: *unknown* is written down as a lost answer, *unavailable* is left out, for nothing happened.
///
/// # Panics
/// If the gate knows the sale already.
pub async fn record<G>(gate: Arc<G>, plan: &Plan, seed: u64) -> Result<History, BackendError>
where
    G: StockGate + 'static,
{
    let catalog = Catalog::new(plan);
    let level = |item: &_| sample::level(std::convert::AsRef::<str>::as_ref(item), plan.stock, 6);
    let load = Load {
        nonce: Nonce(seed | 1),
        epoch: Epoch(1),
        version: sample::version(1),
        door: flashsale_core::stock::Door { hold: plan.hold, ..sample::door() },
        items: catalog.items.iter().map(level).collect(),
    };
    let begun = gate.begin(&plan.sale, load.nonce).await?;
    assert_eq!(begun, Begun::Loading(load.nonce), "a history needs a gate that does not know the sale");
    assert_eq!(gate.load(&plan.sale, &load).await?, Synced::Done, "a gate that has begun is loaded");

    let desk = Arc::new(Desk {
        gate,
        plan: plan.clone(),
        catalog,
        load: load.clone(),
        now: AtomicU64::new(0),
        issued: AtomicU64::new(0),
        granted: Mutex::default(),
    });
    let mut tasks = JoinSet::new();
    // One waiting request for a pass is enough: a pass sees all that happened before it.
    let (wake, woken) = mpsc::channel(1);
    let (late, updates) = mpsc::channel(4);
    for n in 0..plan.clients.max(1) {
        let dice = Dice::new(seed.wrapping_mul(1_000).wrapping_add(n as u64));
        tasks.spawn(client(desk.clone(), n, dice, wake.clone()));
    }
    drop(wake);
    tasks.spawn(follow(desk.clone(), Dice::new(seed ^ 0xF011_0000), woken, late));
    tasks.spawn(straggle(desk, Dice::new(seed ^ 0x57A6_0000), updates));
    let mut calls = Vec::new();
    while let Some(done) = tasks.join_next().await {
        calls.append(&mut done.expect("a task of the recording ends by itself")?);
    }
    Ok(History { sale: plan.sale.clone(), load, calls })
}

impl<G: StockGate + 'static> Desk<G> {
    /// The next moment.
    fn moment(&self) -> Moment {
        self.now.fetch_add(1, Ordering::SeqCst)
    }

    /// How many requests were made.
    pub(super) fn issued(&self) -> u64 {
        self.issued.load(Ordering::Relaxed)
    }

    /// Holds that clients were told of since the last time.
    pub(super) fn granted(&self) -> Vec<Granted> {
        std::mem::take(&mut self.granted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn ask(&self, asked: &Asked) -> Result<Told, BackendError> {
        let sale = &self.plan.sale;
        Ok(match asked {
            Asked::Reserve(batch) => Told::Reserve(self.gate.reserve(sale, batch).await?),
            Asked::Due => Told::Due(self.gate.due(sale).await?),
            Asked::Sync(update) => Told::Synced(self.gate.sync(sale, update).await?),
            Asked::Answers(nonce, page) => Told::Synced(self.gate.answers(sale, *nonce, page).await?),
            Asked::Level => Told::Level(self.gate.level(sale).await?),
        })
    }
}

/// One caller's hand: calls, and writes down.
pub(super) struct Pen<G> {
    pub(super) desk: Arc<Desk<G>>,
    by: Caller,
    calls: Vec<Call>,
    /// Calls that nobody waits for.
    strays: JoinSet<Call>,
}

impl<G: StockGate + 'static> Pen<G> {
    pub(super) fn new(desk: Arc<Desk<G>>, by: Caller) -> Self {
        Self { desk, by, calls: Vec::new(), strays: JoinSet::new() }
    }

    /// Calls and gives the answer, unless it is lost. One call in `lost_one_in` is left to itself.
    pub(super) async fn call(&mut self, dice: &mut Dice, asked: Asked) -> Result<Option<Told>, BackendError> {
        let lost = self.desk.plan.lost_one_in;
        let (by, called) = (self.by, self.desk.moment());
        if lost > 0 && dice.once_in(lost) {
            let desk = self.desk.clone();
            self.strays.spawn(async move {
                // Whatever it comes to, nobody is told.
                let _ = desk.ask(&asked).await;
                Call { by, called, asked, reply: Reply::Lost(Some(desk.moment())) }
            });
            return Ok(None);
        }
        // A call that waits before it reaches the gate, or its answer on the way back, overlaps with more of the others.
        if dice.once_in(4) {
            yield_now().await;
        }
        let told = match self.desk.ask(&asked).await {
            Ok(told) => told,
            Err(error) if error.outcome_is_unknown() => {
                self.calls.push(Call { by, called, asked, reply: Reply::Lost(None) });
                return Ok(None);
            }
            Err(error) if error.kind() == ErrorKind::Unavailable => return Ok(None),
            Err(error) => return Err(error),
        };
        if dice.once_in(4) {
            yield_now().await;
        }
        let moment = self.desk.moment();
        self.calls.push(Call { by, called, asked, reply: Reply::Told(moment, told.clone()) });
        Ok(Some(told))
    }

    /// Waits for the calls that nobody waited for, and gives all.
    pub(super) async fn lift(mut self) -> Vec<Call> {
        while let Some(call) = self.strays.join_next().await {
            self.calls.push(call.expect("a call ends by itself"));
        }
        self.calls
    }
}

async fn client<G: StockGate + 'static>(
    desk: Arc<Desk<G>>,
    n: usize,
    mut dice: Dice,
    wake: mpsc::Sender<()>,
) -> Result<Vec<Call>, BackendError> {
    let clients = desk.plan.clients as u64;
    let mut pen = Pen::new(desk.clone(), Caller::Client(n));
    let mut again: Option<Vec<Reserve>> = None;
    while again.is_some() || desk.issued() < desk.plan.operations {
        if dice.once_in(clients) {
            // Waiting for room keeps the ledger in step with the clients. The follower listens until all of them have ended.
            let _ = wake.send(()).await;
        }
        match dice.roll(24) {
            0 => _ = pen.call(&mut dice, Asked::Level).await?,
            1 => _ = pen.call(&mut dice, Asked::Due).await?,
            _ => {
                let batch = again.take().unwrap_or_else(|| desk.batch(&mut dice));
                desk.issued.fetch_add(batch.len() as u64, Ordering::Relaxed);
                match pen.call(&mut dice, Asked::Reserve(batch.clone())).await? {
                    Some(Told::Reserve(Reservation::Answers(answers))) => desk.note(&batch, &answers),
                    // As the engine does: unknown is asked again with the same ids.
                    None => again = Some(batch),
                    Some(_) => {}
                }
            }
        }
        yield_now().await;
    }
    Ok(pen.lift().await)
}

impl<G: StockGate + 'static> Desk<G> {
    /// One request, a few, or up to the largest batch.
    fn batch(&self, dice: &mut Dice) -> Vec<Reserve> {
        let most = self.plan.batch_max.max(1);
        let size = match dice.roll(4) {
            0 => 1,
            1 => 1 + dice.roll(most.min(8)),
            _ => 1 + dice.roll(most),
        };
        let issued = self.issued();
        (0..size).map(|_| self.catalog.request(Catalog::number(issued, dice), dice)).collect()
    }

    fn note(&self, batch: &[Reserve], answers: &[Result<Reserved, flashsale_core::stock::ReserveRefusal>]) {
        let mut granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        for (request, answer) in batch.iter().zip(answers) {
            if let Ok(Reserved::Held(hold)) = answer
                && granted.len() < GRANTED_MAX
            {
                granted.push(Granted { request: request.clone(), no: hold.no });
            }
        }
    }
}
