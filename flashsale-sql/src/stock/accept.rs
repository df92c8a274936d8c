//! The accepting step (protocol 1.3): lock, read, decide in core, write everything at once.
//!
//! **G1, G3, G4, G7**: the decision is [`decide`], on rows that were read under the lock. The number of statements depends neither on the
//! number of orders nor on the items, nor on what is refused.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use flashsale_core::order::accepting;
use flashsale_core::sale::SaleState;
use flashsale_core::stock::{Accept, Acceptance, Accepted, Books, Decision, ItemTotals, decide};
use flashsale_core::{Event, Fact, ItemId, SaleId};

use super::{SaleRow, bought, items_of, live_units, pairs, settled};
use crate::coupon;
use crate::dialect::Rows;
use crate::event;
use crate::order;
use crate::tx::{End, Fault, Tx};

const ALLOCATE: &str = "UPDATE item SET allocated = allocated + r.units FROM {rows id:text units:int} r \
                        WHERE item.sale = ? AND item.id = r.id";

/// Decides a batch for good.
pub(crate) async fn accept(mut tx: Tx<'_>, id: SaleId, batch: Arc<[Accept]>) -> Result<End<Accepted>, Fault> {
    let tx = &mut tx;
    let Some(sale) = SaleRow::locked(tx, &id).await? else {
        let answers = vec![Acceptance::NotOpen(SaleState::Closed); batch.len()];
        return Ok(End::Nothing(Accepted { answers, update: None }));
    };
    let to = sale.next();
    let (mut books, before) = read(tx, &sale, to.v, &batch).await?;
    let decision = decide(&batch, &mut books);
    if decision.orders.is_empty() {
        return Ok(End::Nothing(Accepted { answers: decision.answers, update: None }));
    }
    let events = accepting(&decision, &books);
    let changed = write(tx, &sale, &decision, &books, &before, &events).await?;
    sale.bump(tx, to).await?;
    if !events.is_empty() {
        tx.enlisted(&events).await?;
    }
    let decided = || pairs(decision.orders.iter().map(|order| &**order));
    let update = sale.update(
        sale.version,
        to,
        changed.into_values(),
        decision.orders.iter().map(|order| settled(order)).collect(),
        bought(decided(), &books.bought, to.v)?,
    );
    Ok(End::Commit(Accepted { answers: decision.answers, update: Some(update) }))
}

/// Reads what the decision needs; tells also the items as they were.
async fn read(
    tx: &mut Tx<'_>,
    sale: &SaleRow,
    next_v: u64,
    batch: &[Accept],
) -> Result<(Books, BTreeMap<ItemId, ItemTotals>), Fault> {
    let lines = || batch.iter().flat_map(|accept| accept.lines.iter().map(|line| (&line.item, accept.id.buyer_str())));
    let known = order::by_id(tx, batch.iter().map(|accept| &accept.id).collect()).await?;
    let items = items_of(tx, &sale.id, lines().map(|(item, _)| item).collect()).await?;
    let bought = live_units(tx, &sale.id, lines().map(|(_, buyer)| buyer).collect()).await?;
    let coupons = coupon::by_id(tx, batch.iter().filter_map(|accept| accept.coupon.as_ref()).collect()).await?;
    let books = Books {
        sale: sale.id.clone(),
        door: sale.door,
        epoch: sale.epoch,
        gated: sale.nonce.is_some(),
        sealed: sale.sealed,
        next_v,
        now: tx.now(),
        known,
        items: items.clone().into_iter().collect::<HashMap<_, _>>(),
        bought,
        coupons,
    };
    Ok((books, items))
}

/// Writes what was decided, and its facts; tells the items that changed, as they are now.
async fn write(
    tx: &mut Tx<'_>,
    sale: &SaleRow,
    decision: &Decision,
    books: &Books,
    before: &BTreeMap<ItemId, ItemTotals>,
    events: &[Event],
) -> Result<BTreeMap<ItemId, ItemTotals>, Fault> {
    // The facts first: the rows of the orders say where theirs are.
    let of_orders = events.iter().take_while(|event| matches!(event.fact, Fact::OrderAccepted(_))).count();
    let (accepted, others) = events.split_at(of_orders);
    let numbers = event::tell_accepted(tx, accepted).await?;
    event::tell(tx, others).await?;
    let told = accepted.iter().map(|event| event.subject.as_str()).zip(numbers).collect();
    order::insert(tx, &sale.id, &decision.orders, &told).await?;
    let taken = |item: &ItemTotals| item.allocated - before.get(&item.item).map_or(0, |before| before.allocated);
    let changed: BTreeMap<ItemId, ItemTotals> =
        books.items.values().filter(|item| taken(item) > 0).map(|item| (item.item.clone(), item.clone())).collect();
    let rows = Rows::of(changed.values(), |item| [item.item.as_str().into(), taken(item).into()]);
    tx.bulk_exactly(ALLOCATE, &[], rows, &[sale.id.as_str().into()]).await?;
    coupon::issue(tx, &decision.issued).await?;
    coupon::redeem(tx, decision.redeemed.iter().map(|(coupon, order)| (coupon, order)).collect()).await?;
    Ok(changed)
}
