//! Intake: what the log has recorded to the ledger, sale by sale, in the order of the log and in large batches; the place is kept after the
//! effect.
//!
//! Every record ends in one fact of the ledger: accepted, or refused for good. Ids make it safe to decide a record again: after a crash, by two
//! processes at once, from a log in which it stands twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{join, join_all};

use crate::engine::lane::Lane;
use crate::engine::street::Lanes;
use crate::engine::workers::{Board, Pass, Stop};
use crate::error::{BackendError, ErrorKind};
use crate::id::SaleId;
use crate::order::{IntakeLog, Recorded, SetAside};
use crate::stock::{Acceptance, Reason, Reserve, ReserveRefusal, Reserved, Standing, Then};

const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_DOUBLINGS: u32 = 6;
/// How often a batch is reserved anew at once; then it waits a moment, as for a backend that is away.
const ROUNDS: u32 = 4;

pub(crate) struct Intake {
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) log: Arc<dyn IntakeLog>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Went {
    Through,
    Stopped,
}

impl Intake {
    async fn pass(&self, stop: &Stop) -> Result<Option<u64>, BackendError> {
        let most = self.lanes.street.settings.intake_max;
        let Some(polled) = stop.unless(self.log.poll(most)).await else { return Ok(None) };
        let polled = polled?;
        let count = polled.records.len() as u64;
        let mut sales: BTreeMap<SaleId, Vec<Recorded>> = BTreeMap::new();
        for record in polled.records {
            sales.entry(record.sale.clone()).or_default().push(record);
        }
        let went = join_all(sales.into_iter().map(|(sale, records)| self.sale(stop, sale, records))).await;
        for went in went {
            if went? == Went::Stopped {
                self.log.rewind().await?;
                return Ok(None);
            }
        }
        self.log.commit(polled.position).await?;
        Ok(Some(count))
    }

    /// Decides records of one sale.
    async fn sale(&self, stop: &Stop, sale: SaleId, records: Vec<Recorded>) -> Result<Went, BackendError> {
        let Some(lane) = self.lanes.lane(&sale).await? else {
            self.set_aside(records, "there is no such sale", 1).await?;
            return Ok(Went::Through);
        };
        self.decide(stop, &lane, records).await
    }

    /// All of them; where the ledger refuses one of them as bad data, by halves, so that the others do not stay with it (hole 12).
    async fn decide(&self, stop: &Stop, lane: &Arc<Lane>, mut records: Vec<Recorded>) -> Result<Went, BackendError> {
        let (mut rounds, mut tries, mut waits) = (0, 0, 0);
        while !records.is_empty() {
            match self.round(lane, &mut records).await {
                Ok(()) => {
                    rounds += 1;
                    if rounds % ROUNDS > 0 {
                        continue;
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::Data | ErrorKind::Corrupt) => {
                    if records.len() > 1 {
                        let later = records.split_off(records.len() / 2);
                        if Box::pin(self.decide(stop, lane, records)).await? == Went::Stopped {
                            return Ok(Went::Stopped);
                        }
                        records = later;
                        continue;
                    }
                    tries += 1;
                    if tries >= self.lanes.street.settings.consumer_tries {
                        self.set_aside(records, &error.to_string(), tries).await?;
                        return Ok(Went::Through);
                    }
                }
                Err(error) => tracing::debug!(sale = %lane.sale, %error, "records wait"),
            }
            waits += 1;
            stop.rest(PAUSE * (1 << waits.min(PAUSE_DOUBLINGS))).await;
            if stop.asked() {
                return Ok(Went::Stopped);
            }
        }
        Ok(Went::Through)
    }

    /// Asks the ledger once, and the gate once for those whose hold has ended. What is left has to be asked again.
    async fn round(&self, lane: &Arc<Lane>, records: &mut Vec<Recorded>) -> Result<(), BackendError> {
        if let Some(error) = lane.halted() {
            return Err(error);
        }
        let batch: Vec<_> = records.iter().map(|record| record.accept.clone()).collect();
        let answers = lane.accept_recorded(&batch).await?;
        let mut expired = Vec::new();
        let mut left = Vec::new();
        for (mut record, answer) in records.drain(..).zip(answers) {
            match answer {
                Acceptance::Decided(_) | Acceptance::Already(_) => continue,
                Acceptance::Conflict => {
                    tracing::warn!(order = %record.id(), "a record under an id that stands for something else is passed over");
                    continue;
                }
                Acceptance::NotOffered(_) => {
                    tracing::warn!(order = %record.id(), "a record that is an offer is passed over: offers do not go through the log");
                    continue;
                }
                Acceptance::NotOpen(_) => record.accept.then = Then::Refuse(Reason::Closed),
                Acceptance::UnknownItem(_) => record.accept.then = Then::Refuse(Reason::UnknownItem),
                Acceptance::HoldExpired => expired.push(left.len()),
            }
            left.push(record);
        }
        *records = left;
        if expired.is_empty() {
            return Ok(());
        }
        let requests: Vec<Reserve> = expired
            .iter()
            .map(|at| {
                let accept = &records[*at].accept;
                let (id, hash, lines) = (accept.id.clone(), accept.hash, accept.lines.clone());
                Reserve { id, hash, lines, standing: Standing::Public }
            })
            .collect();
        let reserved = lane.reserve_recorded(&requests).await?;
        let mut foreign = Vec::new();
        for (at, answer) in expired.into_iter().zip(reserved) {
            let accept = &mut records[at].accept;
            match answer {
                Ok(Reserved::Held(hold)) => accept.hold = Some((hold.epoch, hold.no)),
                // The ledger knows it; asked again, it says how it decided.
                Ok(Reserved::Done(_)) => accept.hold = None,
                Err(refusal) => match reason(&refusal) {
                    // It holds nothing any more.
                    Some(reason) => (accept.hold, accept.then) = (None, Then::Refuse(reason)),
                    None => foreign.push(at),
                },
            }
        }
        // Somebody asks for something else under this id right now, and gets its answer.
        for at in foreign.into_iter().rev() {
            let record = records.remove(at);
            tracing::warn!(order = %record.id(), "a record whose id is held for something else is passed over");
        }
        Ok(())
    }

    async fn set_aside(&self, records: Vec<Recorded>, reason: &str, tries: u32) -> Result<(), BackendError> {
        tracing::error!(records = records.len(), reason, "records are set aside");
        let aside = |record| SetAside { record, reason: reason.to_owned(), tries };
        let records: Vec<SetAside> = records.into_iter().map(aside).collect();
        self.log.set_aside(&records).await
    }
}

/// Why a record whose hold has ended is refused for good; `None`: it is not refused, somebody else has its id.
fn reason(refusal: &ReserveRefusal) -> Option<Reason> {
    Some(match refusal {
        ReserveRefusal::Conflict => return None,
        ReserveRefusal::Paused | ReserveRefusal::NotOpen { .. } | ReserveRefusal::Closed => Reason::Closed,
        ReserveRefusal::UnknownItem { .. } => Reason::UnknownItem,
        ReserveRefusal::Limit { .. } => Reason::BuyerLimit,
        ReserveRefusal::Waitlist { .. } | ReserveRefusal::SoldOut { .. } | ReserveRefusal::AllHeld { .. } => {
            Reason::SoldOut
        }
    })
}

#[async_trait]
impl Pass for Intake {
    fn name(&self) -> String {
        "intake".to_owned()
    }

    async fn run(&self, stop: Stop, board: Board) {
        join(self.take(&stop, &board), self.watch(&stop)).await;
    }
}

impl Intake {
    async fn take(&self, stop: &Stop, board: &Board) {
        let host = &self.lanes.street.host;
        let mut astray = false;
        while !stop.asked() {
            // What was delivered and not committed comes again, before anything new does.
            let back = if astray { self.log.rewind().await } else { Ok(()) };
            astray = back.is_err();
            let passed = match back {
                Ok(()) => self.pass(stop).await,
                Err(error) => Err(error),
            };
            match passed {
                Ok(None) => return,
                Ok(Some(count)) => board.report("intake", host.now(), Ok(count)),
                Err(error) => {
                    astray = true;
                    board.report("intake", host.now(), Err(error.to_string()));
                    stop.rest(PAUSE).await;
                }
            }
        }
    }

    /// Remembers what other processes record.
    async fn watch(&self, stop: &Stop) {
        let street = &self.lanes.street;
        while let Some(seen) = stop.unless(self.log.watch(street.settings.intake_max)).await {
            match seen {
                Ok(records) => records.into_iter().map(Arc::new).for_each(|record| street.recorded.put(&record)),
                Err(error) => {
                    tracing::debug!(%error, "what others record is not seen");
                    stop.rest(PAUSE).await;
                }
            }
        }
    }
}
