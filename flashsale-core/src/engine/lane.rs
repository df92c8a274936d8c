//! One sale's way from the gate to the ledger: two queues, two atomic steps. A third leads from the gate to the log.
//!
//! `reserve` in batches, then `accept` in batches, or `append` where the request is to be recorded; losers leave after the first. No step
//! belongs to a caller's future, so one that hangs up tears nothing.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use crate::config::Settings;
use crate::engine::batch::{Batched, Pushed, start};
use crate::engine::host::Host;
use crate::engine::intake::{Register, Taken};
use crate::error::{BackendError, Error, ErrorKind};
use crate::id::SaleId;
use crate::order::{IntakeLog, OrderRefusal, Recorded};
use crate::sale::SaleState;
use crate::stock::{
    Accept, Acceptance, Order, OrderState, Reservation, Reserve, ReserveRefusal, Reserved, Standing, StockGate,
    StockLedger, Totals, Update,
};
use crate::time::Timestamp;

/// How long the ledger is left alone after it could not be reached (hole 24: no holds are taken for orders that cannot be
/// accepted).
const BREAK: Duration = Duration::from_millis(500);

/// An accepted order, and whether this request decided it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The order.
    pub order: Arc<Order>,
    /// First answer or repeat.
    pub answer: Answer,
}

/// Whether an answer was given before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// Decided by this request.
    First,
    /// Decided by an earlier one with the same id.
    Repeated,
}

pub(crate) type PlaceResult = Result<Placed, Error<OrderRefusal>>;

/// What a caller waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// The ledger has decided.
    Decided,
    /// The log has it.
    Recorded,
}

/// What a job is told.
type JobResult = Result<Taken, Error<OrderRefusal>>;

/// A request on its way.
#[derive(Debug)]
struct Job {
    accept: Accept,
    standing: Standing,
    until: Until,
    /// How often it came back from the ledger because its hold had ended.
    rounds: u8,
    reply: Reply,
}

/// Tells the caller, once; a job that is lost tells him that its outcome is unknown.
#[derive(Debug)]
struct Reply {
    to: oneshot::Sender<JobResult>,
    _in_flight: Entered,
}

impl Reply {
    fn send(self, result: JobResult) {
        // A caller that hung up does not hear it; what was decided stands.
        let _ = self.to.send(result);
    }
}

/// Counts what is on its way, so that a shutdown can wait for it.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    count: AtomicUsize,
    idle: Notify,
}

impl InFlight {
    fn enter(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    /// Counts until the value is dropped.
    pub(crate) fn entered(self: &Arc<Self>) -> Entered {
        self.enter();
        Entered(self.clone())
    }

    fn leave(&self) {
        if self.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.idle.notify_waiters();
        }
    }

    /// Ends when nothing is on its way.
    pub(crate) async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            if self.count.load(Ordering::Acquire) == 0 {
                return;
            }
            idle.await;
        }
    }
}

/// Something on its way.
#[derive(Debug)]
pub(crate) struct Entered(Arc<InFlight>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// What all lanes of an engine share.
#[derive(Debug)]
pub(crate) struct Street {
    pub(crate) host: Arc<dyn Host>,
    pub(crate) gate: Option<Arc<dyn StockGate>>,
    pub(crate) ledger: Arc<dyn StockLedger>,
    pub(crate) log: Option<Arc<dyn IntakeLog>>,
    /// What is recorded, as far as this node knows.
    pub(crate) recorded: Register,
    pub(crate) settings: Settings,
    /// Woken when facts were written.
    pub(crate) told: Notify,
    pub(crate) in_flight: Arc<InFlight>,
}

/// One sale's lane.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) sale: SaleId,
    pub(crate) street: Arc<Street>,
    /// The terms as they were when the lane was built: a sale's items never change, the rest is only for show.
    pub(crate) terms: Totals,
    reserve: Batched<Job>,
    accept: Batched<Job>,
    append: Batched<Job>,
    broken_until: AtomicI64,
    /// The same for the log.
    log_broken_until: AtomicI64,
    /// Set when the ledger was found to be older than the gate: the sale halts.
    halted: Mutex<Option<BackendError>>,
    /// At most one load at a time.
    pub(crate) loading: tokio::sync::Mutex<()>,
}

impl Lane {
    pub(crate) fn new(street: Arc<Street>, sale: SaleId, terms: Totals) -> Self {
        let settings = street.settings;
        Self {
            sale,
            street,
            terms,
            reserve: Batched::new(settings.reserve_max, settings.queue_max),
            accept: Batched::new(settings.accept_max, usize::MAX),
            append: Batched::new(settings.intake_max, usize::MAX),
            broken_until: AtomicI64::new(0),
            log_broken_until: AtomicI64::new(0),
            halted: Mutex::default(),
            loading: tokio::sync::Mutex::default(),
        }
    }

    /// Places an order: held, decided, answered.
    ///
    /// # Cancel safety
    /// Dropping the future tears nothing: the request goes on, and a repeat under the same id finds its outcome.
    pub(crate) async fn place(self: &Arc<Self>, accept: Accept, standing: Standing) -> PlaceResult {
        if let Some(broken) = self.ledger_broken() {
            self.may_pass(&accept)?;
            return Err(broken);
        }
        placed(self.go(accept, standing, Until::Decided).await?)
    }

    /// Records an order in the log: held, recorded, answered. One that the ledger has decided before is answered so.
    ///
    /// # Cancel safety
    /// As [`Lane::place`].
    pub(crate) async fn record(self: &Arc<Self>, accept: Accept) -> JobResult {
        if self.street.log.is_none() {
            let why = "there is no log: the port `intake` is empty";
            return Err(BackendError::new(ErrorKind::Misconfigured, "checkout.record", why).into());
        }
        // No holds for what cannot be recorded (hole 24). A ledger that is away is no reason: that is what the log is for.
        if self.log_broken_until.load(Ordering::Relaxed) > self.street.host.now().ms() {
            self.may_pass(&accept)?;
            return Err(unavailable("the log was not reachable a moment ago"));
        }
        self.go(accept, Standing::Public, Until::Recorded).await
    }

    /// What is refused before anybody is asked.
    fn may_pass(&self, accept: &Accept) -> Result<(), Error<OrderRefusal>> {
        if let Some(line) = accept.lines.iter().find(|line| !self.terms.items.iter().any(|i| i.item == line.item)) {
            return Err(Error::Refused(OrderRefusal::UnknownItem { item: line.item.clone() }));
        }
        self.halted().map_or(Ok(()), |error| Err(Error::Backend(error)))
    }

    async fn go(self: &Arc<Self>, accept: Accept, standing: Standing, until: Until) -> JobResult {
        self.may_pass(&accept)?;
        let (job, from) = self.job(accept, standing, until);
        let first = match (&self.street.gate, until) {
            (Some(_), _) => &self.reserve,
            (None, Until::Decided) => &self.accept,
            (None, Until::Recorded) => &self.append,
        };
        match first.push(job) {
            Pushed::Queued => {}
            Pushed::Work if self.street.gate.is_some() => self.work_reserve(),
            Pushed::Work if until == Until::Recorded => self.work_append(),
            Pushed::Work => self.work_accept(),
            Pushed::Full(job) => job.reply.send(Err(unavailable("too many requests are waiting"))),
        }
        answered(from).await
    }

    /// Places orders of the engine's own as one batch, whatever else waits: offers, which are bounded where they are planned.
    pub(crate) async fn place_all(self: &Arc<Self>, accepts: Vec<Accept>, standing: Standing) -> Vec<PlaceResult> {
        let halted = self.halted().map(Error::Backend);
        if let Some(stopped) = halted.or_else(|| self.ledger_broken()) {
            return accepts.iter().map(|_| Err(stopped.clone())).collect();
        }
        let jobs = accepts.into_iter().map(|accept| self.job(accept, standing, Until::Decided));
        let (jobs, answers): (Vec<Job>, Vec<_>) = jobs.unzip();
        let gated = self.street.gate.is_some();
        match if gated { self.reserve.push_all(jobs) } else { self.accept.push_all(jobs) } {
            Pushed::Work if gated => self.work_reserve(),
            Pushed::Work => self.work_accept(),
            Pushed::Queued | Pushed::Full(_) => {}
        }
        let answers = answers.into_iter().map(|answer| async { placed(answered(answer).await?) });
        futures_util::future::join_all(answers).await
    }

    fn job(&self, accept: Accept, standing: Standing, until: Until) -> (Job, oneshot::Receiver<JobResult>) {
        let (to, from) = oneshot::channel();
        let reply = Reply { to, _in_flight: self.street.in_flight.entered() };
        (Job { accept, standing, until, rounds: 0, reply }, from)
    }

    /// No holds for what the ledger cannot take, if so.
    fn ledger_broken(&self) -> Option<Error<OrderRefusal>> {
        let broken = self.broken_until.load(Ordering::Relaxed) > self.street.host.now().ms();
        broken.then(|| unavailable("the ledger was not reachable a moment ago"))
    }

    pub(crate) fn halt(&self, error: BackendError) {
        tracing::error!(sale = %self.sale, %error, "the sale halts");
        *self.halted.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    pub(crate) fn halted(&self) -> Option<BackendError> {
        self.halted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn work_reserve(self: &Arc<Self>) {
        let lane = self.clone();
        let work = async move { lane.reserve.work(|jobs| lane.reserve_batch(jobs)).await };
        start(&*self.street.host, Box::pin(work));
    }

    fn work_accept(self: &Arc<Self>) {
        let lane = self.clone();
        let work = async move { lane.accept.work(|jobs| lane.accept_batch(jobs)).await };
        start(&*self.street.host, Box::pin(work));
    }

    fn work_append(self: &Arc<Self>) {
        let lane = self.clone();
        let work = async move { lane.append.work(|jobs| lane.append_batch(jobs)).await };
        start(&*self.street.host, Box::pin(work));
    }

    /// Step 1: the gate holds or refuses.
    async fn reserve_batch(self: &Arc<Self>, jobs: Vec<Job>) {
        let Some(gate) = self.street.gate.clone() else { return };
        let requests: Vec<Reserve> = jobs
            .iter()
            .map(|job| Reserve {
                id: job.accept.id.clone(),
                hash: job.accept.hash,
                lines: job.accept.lines.clone(),
                standing: job.standing,
            })
            .collect();
        let answers = match self.reserve_loaded(&*gate, &requests).await {
            Ok(answers) => answers,
            Err(error) if error.kind() == ErrorKind::Data && jobs.len() > 1 => {
                return self.halve(jobs, Half::Reserve).await;
            }
            Err(error) => return fail(jobs, &error),
        };
        let (mut held, mut to_record) = (Vec::new(), Vec::new());
        for (mut job, answer) in jobs.into_iter().zip(answers) {
            match answer {
                Ok(Reserved::Held(hold)) => {
                    job.accept.hold = Some((hold.epoch, hold.no));
                    if job.until == Until::Recorded { to_record.push(job) } else { held.push(job) }
                }
                // The ledger has decided this id; it tells how.
                Ok(Reserved::Done(_)) => {
                    job.accept.hold = None;
                    held.push(job);
                }
                Err(refusal) => {
                    let told = self.known_record(&job, &refusal).map(Taken::Recorded);
                    job.reply.send(told.ok_or(Error::Refused(refusal.into())));
                }
            }
        }
        if matches!(self.accept.push_all(held), Pushed::Work) {
            self.work_accept();
        }
        if !to_record.is_empty() && matches!(self.append.push_all(to_record), Pushed::Work) {
            self.work_append();
        }
    }

    /// The record of a request that the gate refuses now: its hold has ended, the log has it all the same.
    fn known_record(&self, job: &Job, refusal: &ReserveRefusal) -> Option<Arc<Recorded>> {
        if job.until != Until::Recorded || *refusal == ReserveRefusal::Conflict {
            return None;
        }
        let record = self.street.recorded.of(job.accept.id.as_str());
        record.filter(|record| record.sale == self.sale && record.accept.hash == job.accept.hash)
    }

    /// Reserves; loads the gate first if it is empty; repeats once if the outcome is unknown.
    async fn reserve_loaded(
        self: &Arc<Self>,
        gate: &dyn StockGate,
        requests: &[Reserve],
    ) -> Result<Vec<Result<Reserved, ReserveRefusal>>, BackendError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match gate.reserve(&self.sale, requests).await {
                Ok(Reservation::Answers(answers)) if answers.len() == requests.len() => return Ok(answers),
                Ok(Reservation::Answers(_)) => {
                    return Err(BackendError::corrupt("gate.reserve", "another number of answers than requests"));
                }
                Ok(Reservation::NotLoaded) if tries < 3 => self.load_gate().await?,
                Ok(Reservation::NotLoaded) => {
                    return Err(BackendError::unavailable("gate.reserve", "the gate is being loaded"));
                }
                Err(error) if error.outcome_is_unknown() && tries < 2 => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Steps 2 to 4: the ledger decides, the callers are told, the gate gets a hint.
    async fn accept_batch(self: &Arc<Self>, jobs: Vec<Job>) {
        let batch: Vec<Accept> = jobs.iter().map(|job| job.accept.clone()).collect();
        let mut answer = self.street.ledger.accept(&self.sale, &batch).await;
        if matches!(&answer, Err(error) if error.outcome_is_unknown()) {
            answer = self.street.ledger.accept(&self.sale, &batch).await;
        }
        let accepted = match answer {
            Ok(accepted) if accepted.answers.len() == jobs.len() => accepted,
            Ok(_) => {
                let error = BackendError::corrupt("ledger.accept", "another number of answers than orders");
                return fail(jobs, &error);
            }
            Err(error) if error.kind() == ErrorKind::Data && jobs.len() > 1 => {
                return self.halve(jobs, Half::Accept).await;
            }
            Err(error) => {
                if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Unknown) {
                    let until = self.street.host.now().after(BREAK);
                    self.broken_until.store(until.ms(), Ordering::Relaxed);
                }
                return fail(jobs, &error);
            }
        };
        let now = self.street.host.now();
        let mut again = Vec::new();
        for (mut job, answer) in jobs.into_iter().zip(accepted.answers) {
            match outcome(answer, &self.terms, now) {
                Some(result) => job.reply.send(result.map(Taken::Decided)),
                None if job.rounds == 0 && self.street.gate.is_some() => {
                    job.rounds = 1;
                    again.push(job);
                }
                None => job.reply.send(Err(unavailable("the hold had ended"))),
            }
        }
        if matches!(self.reserve.push_all(again), Pushed::Work) {
            self.work_reserve();
        }
        if let Some(update) = accepted.update {
            self.street.told.notify_one();
            self.hint(&update).await;
        }
    }

    /// The other second step: the log has the requests for good, in the order of their holds, before their callers are told so.
    async fn append_batch(self: &Arc<Self>, jobs: Vec<Job>) {
        let Some(log) = &self.street.log else { return };
        let at = self.street.host.now();
        let record = |job: &Job| Recorded { sale: self.sale.clone(), accept: job.accept.clone(), at };
        let batch: Vec<Recorded> = jobs.iter().map(record).collect();
        match log.append(&batch).await {
            Ok(()) => {
                for (job, record) in jobs.into_iter().zip(batch) {
                    let record = Arc::new(record);
                    self.street.recorded.put(&record);
                    job.reply.send(Ok(Taken::Recorded(record)));
                }
            }
            Err(error) if error.kind() == ErrorKind::Data && jobs.len() > 1 => self.halve(jobs, Half::Append).await,
            // It may be in the log all the same. The repeat is appended again, under the same id and the same hold (hole 35).
            Err(error) => {
                if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Unknown) {
                    let until = self.street.host.now().after(BREAK);
                    self.log_broken_until.store(until.ms(), Ordering::Relaxed);
                }
                fail(jobs, &error);
            }
        }
    }

    /// Has the ledger decide what the log recorded; the gate gets a hint.
    pub(crate) async fn accept_recorded(&self, batch: &[Accept]) -> Result<Vec<Acceptance>, BackendError> {
        let mut answer = self.street.ledger.accept(&self.sale, batch).await;
        if matches!(&answer, Err(error) if error.outcome_is_unknown()) {
            answer = self.street.ledger.accept(&self.sale, batch).await;
        }
        let accepted = answer?;
        if accepted.answers.len() != batch.len() {
            return Err(BackendError::unknown("ledger.accept", "another number of answers than orders"));
        }
        if let Some(update) = accepted.update {
            self.street.told.notify_one();
            self.hint(&update).await;
        }
        Ok(accepted.answers)
    }

    /// Holds units again for recorded requests whose hold has ended.
    pub(crate) async fn reserve_recorded(
        self: &Arc<Self>,
        requests: &[Reserve],
    ) -> Result<Vec<Result<Reserved, ReserveRefusal>>, BackendError> {
        match &self.street.gate {
            Some(gate) => self.reserve_loaded(&**gate, requests).await,
            None => {
                Err(BackendError::unavailable("gate.reserve", "a gate serves this sale, and this process has none"))
            }
        }
    }

    /// Tells the gate at once what the follow pass would tell it later. Never needed for correctness.
    pub(crate) async fn hint(&self, update: &Update) {
        if let Some(gate) = &self.street.gate
            && let Err(error) = gate.sync(&self.sale, update).await
        {
            tracing::debug!(sale = %self.sale, %error, "the gate did not take the hint; the follow pass will carry it");
        }
    }

    /// A batch with bad data is halved until the bad one is alone (hole 12).
    async fn halve(self: &Arc<Self>, mut jobs: Vec<Job>, half: Half) {
        let later = jobs.split_off(jobs.len() / 2);
        for part in [jobs, later] {
            match half {
                Half::Reserve => Box::pin(self.reserve_batch(part)).await,
                Half::Accept => Box::pin(self.accept_batch(part)).await,
                Half::Append => Box::pin(self.append_batch(part)).await,
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Half {
    Reserve,
    Accept,
    Append,
}

async fn answered(answer: oneshot::Receiver<JobResult>) -> JobResult {
    answer.await.unwrap_or_else(|_| Err(BackendError::unknown("checkout.place", "the batch was lost").into()))
}

/// The answer to somebody who waits for the ledger.
fn placed(taken: Taken) -> PlaceResult {
    match taken {
        Taken::Decided(placed) => Ok(placed),
        Taken::Recorded(_) => Err(BackendError::corrupt("checkout.place", "recorded, and not asked to").into()),
    }
}

/// What a buyer is told of the ledger's answer; `None`: his hold had ended, reserve again.
fn outcome(answer: Acceptance, terms: &Totals, now: Timestamp) -> Option<PlaceResult> {
    Some(match answer {
        Acceptance::Decided(order) => told(order, Answer::First),
        Acceptance::Already(order) => told(order, Answer::Repeated),
        Acceptance::Conflict => Err(Error::Refused(ReserveRefusal::Conflict.into())),
        Acceptance::NotOpen(SaleState::Paused) => Err(Error::Refused(ReserveRefusal::Paused.into())),
        Acceptance::NotOpen(SaleState::Open) if now < terms.door.window.opens_at => {
            let opens_at = terms.door.window.opens_at;
            Err(Error::Refused(ReserveRefusal::NotOpen { opens_at }.into()))
        }
        Acceptance::NotOpen(_) => Err(Error::Refused(ReserveRefusal::Closed.into())),
        Acceptance::HoldExpired => return None,
        Acceptance::UnknownItem(item) => Err(Error::Refused(OrderRefusal::UnknownItem { item })),
        Acceptance::NotOffered(reason) => Err(Error::Refused(OrderRefusal::NotOffered(reason))),
    })
}

fn told(order: Arc<Order>, answer: Answer) -> PlaceResult {
    match order.state {
        OrderState::Refused => Err(Error::Refused(OrderRefusal::Ledger(order))),
        // A row that was cancelled without ever having been accepted is a fence.
        OrderState::Cancelled if order.ver == 1 => Err(Error::Refused(OrderRefusal::Ended(order))),
        _ => Ok(Placed { order, answer }),
    }
}

fn fail(jobs: Vec<Job>, error: &BackendError) {
    for job in jobs {
        job.reply.send(Err(Error::Backend(error.clone())));
    }
}

fn unavailable(why: &'static str) -> Error<OrderRefusal> {
    BackendError::unavailable("checkout.place", why).into()
}
