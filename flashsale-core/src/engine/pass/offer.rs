//! Offer: units that came back are offered to those who wait, in order; lines of sales that are over end.
//!
//! Whom and how many is [`plan`]'s. An offer takes the lane of every order: held by the gate in the name of the waitlist, decided by
//! the ledger, which moves the wish in the same transaction. Its id is the wish's name, so whatever is repeated, by whatever node, is
//! one offer; a crash between the two steps leaves a hold, which lapses.

use std::sync::Arc;

use async_trait::async_trait;

use crate::engine::lane::Answer;
use crate::engine::street::Lanes;
use crate::engine::waitlist::Waitlist;
use crate::engine::workers::{Board, Pass, Stop};
use crate::error::{BackendError, Error};
use crate::id::{ContentHash, SaleId};
use crate::order::OrderRefusal;
use crate::sale::{Lines, SaleState};
use crate::stock::{Accept, Reason, ReserveRefusal, Standing, Then};
use crate::waitlist::{Leave, Parting, Sought, WaitlistLedger, Wish, plan};

/// The most items that are looked at in one pass.
const ITEMS: usize = 1_000;

pub(crate) struct Offer {
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) ledger: Arc<dyn WaitlistLedger>,
    pub(crate) waitlist: Waitlist,
}

impl Offer {
    /// One pass; tells how many offers were made, and how many wishes left.
    async fn pass(&self) -> Result<u64, BackendError> {
        let (items, now) = self.ledger.sought(ITEMS).await?;
        let (mut moved, mut failed) = (0, None);
        let mut over: Option<SaleId> = None;
        for sought in items {
            let done = if sought.is_over(now) {
                // Once per sale: its items stand together.
                if over.replace(sought.sale.clone()).as_ref() == Some(&sought.sale) {
                    continue;
                }
                self.end(&sought.sale).await
            } else if sought.state == SaleState::Open && now >= sought.window.opens_at && sought.free() > 0 {
                self.offer(&sought).await
            } else {
                continue;
            };
            match done {
                Ok(count) => moved += count,
                // One sale's trouble does not stop the others.
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(moved), Err)
    }

    /// Nothing comes any more: the lines of a sale end.
    async fn end(&self, sale: &SaleId) -> Result<u64, BackendError> {
        let (count, update) = self.ledger.end(sale, self.lanes.street.settings.accept_max).await?;
        self.lanes.street.told.notify_one();
        if let (Some(update), Some(lane)) = (update, self.lanes.known(sale)) {
            lane.hint(&update).await;
        }
        Ok(count as u64)
    }

    /// Offers the free units of an item.
    async fn offer(&self, sought: &Sought) -> Result<u64, BackendError> {
        let (sale, item) = (&sought.sale, &sought.item.item);
        let settings = self.lanes.street.settings;
        let Some(line) = self.ledger.line(sale, item, settings.accept_max).await? else { return Ok(0) };
        let plan = plan(&line, settings.gather_for);
        if let Some(wish) = plan.gathers {
            self.ledger.gather(&[wish]).await?;
        }
        let mut leaves = plan.leaves;
        let mut offered = 0;
        if !plan.offers.is_empty()
            && let Some(lane) = self.lanes.lane(sale).await?
        {
            let accepts = plan.offers.iter().map(|wish| self.accept(wish)).collect();
            for (wish, placed) in plan.offers.iter().zip(lane.place_all(accepts, Standing::Offer).await) {
                match placed {
                    Ok(placed) => offered += u64::from(placed.answer == Answer::First),
                    Err(Error::Refused(refusal)) => leaves.extend(parting(wish, &refusal)),
                    Err(Error::Backend(error)) => {
                        tracing::debug!(offer = %wish.offer, %error, "the offer is made by a later pass");
                    }
                }
            }
        }
        if !leaves.is_empty() {
            self.waitlist.leaves(sale, &leaves).await?;
        }
        Ok(offered + leaves.len() as u64)
    }

    fn accept(&self, wish: &Wish) -> Accept {
        Accept {
            id: wish.offer.clone(),
            hash: ContentHash::over([b"offer".as_slice(), wish.offer.as_str().as_bytes()]),
            lines: Lines::one(&wish.item, wish.units),
            hold: None,
            expect: None,
            coupon: None,
            method: None,
            note: None,
            then: Then::Offer { tell_within: self.lanes.street.settings.policy.tell_within },
            trace: None,
        }
    }
}

/// Whether a refusal is for good; all others are of this moment, and a later pass asks again.
fn parting(wish: &Wish, refusal: &OrderRefusal) -> Option<Leave> {
    let why = match refusal {
        OrderRefusal::NotOffered(Reason::BuyerLimit) => Parting::BuyerLimit,
        OrderRefusal::Gate(ReserveRefusal::Conflict) | OrderRefusal::Ended(_) => Parting::KeyReused,
        _ => return None,
    };
    Some(Leave { offer: wish.offer.clone(), why })
}

#[async_trait]
impl Pass for Offer {
    fn name(&self) -> String {
        "offer".to_owned()
    }

    async fn run(&self, stop: Stop, board: Board) {
        while !stop.asked() {
            let ran = self.pass().await;
            let more = matches!(ran, Ok(moved) if moved > 0);
            board.report("offer", self.lanes.street.host.now(), ran.map_err(|error| error.to_string()));
            if !more {
                stop.rest(self.lanes.street.settings.offer_every).await;
            }
        }
    }
}
