//! The accepting step (protocol 1.3): lock, read, decide in core, write everything at once.
//!
//! **G1, G3, G4, G7**: the decision is [`decide`], on rows that were read under the lock. The number of statements depends neither on the
//! number of orders nor on the items, nor on what is refused.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use flashsale_core::order::accepting;
use flashsale_core::sale::SaleState;
use flashsale_core::stock::{Accept, Acceptance, Accepted, Books, Decision, ItemTotals, OrderState, decide};
use flashsale_core::{Event, Fact, ItemId, SaleId};

use super::{SaleRow, bought, by_name, live_orders, live_units, pairs, settled, these_items};
use crate::coupon;
use crate::event;
use crate::order;
use crate::tx::{End, Fault, Tx};
use crate::value::Rows;
use crate::waitlist;

const ALLOCATE: &str = "UPDATE item SET allocated = item.allocated + r.units FROM {rows id:text units:int} r \
                        WHERE item.sale = ? AND item.id = r.id";

/// Decides a batch for good.
pub(crate) async fn accept(mut tx: Tx<'_>, id: SaleId, batch: Arc<[Accept]>) -> Result<End<Accepted>, Fault> {
    let tx = &mut tx;
    let Some((mut sale, mut books, numbers)) = read(tx, &id, &batch).await? else {
        let answers = vec![Acceptance::NotOpen(SaleState::Closed); batch.len()];
        return Ok(End::Nothing(Accepted { answers, update: None }));
    };
    let to = sale.next();
    books.next_v = to.v;
    let before: HashMap<ItemId, u32> = books.items.values().map(|item| (item.item.clone(), item.allocated)).collect();
    let decision = decide(&batch, &mut books);
    if decision.orders.is_empty() {
        return Ok(End::Nothing(Accepted { answers: decision.answers, update: None }));
    }
    let taken = |item: &ItemTotals| item.allocated - before.get(&item.item).copied().unwrap_or(0);
    let changed: BTreeMap<&ItemId, (&ItemTotals, u32)> =
        books.items.iter().map(|(id, item)| (id, (item, taken(item)))).filter(|(_, (_, units))| *units > 0).collect();
    let mut events = accepting(&decision, &books);
    write(tx, &sale, &decision, &changed, &events, &numbers)?;
    let opened = offers(tx, &sale, to.v, &decision).await?;
    event::tell(tx, &opened.events)?;
    events.extend(opened.events);
    sale.issued = books.issued;
    sale.bump(tx, to);
    if !events.is_empty() {
        tx.enlisted(&events).await?;
    }
    let update = sale.update(
        sale.version,
        to,
        changed.into_values().map(|(item, _)| opened.items.get(&item.item).unwrap_or(item).clone()),
        decision.orders.iter().map(|order| settled(order)).collect(),
        bought(pairs(decision.orders.iter().map(|order| &**order)), &books.bought, to.v)?,
    );
    Ok(End::Commit(Accepted { answers: decision.answers, update: Some(update) }))
}

/// Items that are open to the public because the last who waited were offered units.
#[derive(Default)]
struct Opened {
    items: BTreeMap<ItemId, ItemTotals>,
    events: Vec<Event>,
}

/// Moves the wishes of those orders that are offers. Without offers no statement is sent.
async fn offers(tx: &mut Tx<'_>, sale: &SaleRow, v: u64, decision: &Decision) -> Result<Opened, Fault> {
    let offers: Vec<_> = decision.orders.iter().filter(|order| order.state == OrderState::Offered).collect();
    if offers.is_empty() {
        return Ok(Opened::default());
    }
    let (items, events) = waitlist::offered(tx, &sale.id, v, &offers).await?;
    Ok(Opened { items: items.into_iter().map(|item| (item.item.clone(), item)).collect(), events })
}

/// Reads what the decision needs, the sale's row first; and numbers for its facts, where they are taken before.
async fn read(tx: &mut Tx<'_>, id: &SaleId, batch: &[Accept]) -> Result<Option<(SaleRow, Books, Vec<i64>)>, Fault> {
    let lock = SaleRow::lock(tx, id);
    let known = order::these(batch.iter().map(|accept| &accept.id));
    let items = these_items(id, batch.iter().flat_map(|accept| accept.lines.iter().map(|line| &line.item)));
    let live = live_orders(id, batch.iter().map(|accept| accept.id.buyer_str()));
    let ([sale, known, items, live], numbers) = match event::numbers(tx.dialect(), batch.len()) {
        None => (tx.read([lock, known, items, live]).await?, vec![]),
        Some(numbers) => {
            let [sale, known, items, live, numbers] = tx.read([lock, known, items, live, numbers]).await?;
            ([sale, known, items, live], event::numbered(&numbers)?)
        }
    };
    let offers: Vec<_> = batch.iter().filter(|accept| accept.is_offer()).map(|accept| &accept.id).collect();
    let mut wished = HashSet::new();
    if !offers.is_empty() {
        let (text, values) = waitlist::those_that_wait(id, offers);
        for row in tx.rows(text, values).await? {
            wished.insert(row.fields().id()?);
        }
    }
    let coupons = coupon::by_id(tx, batch.iter().filter_map(|accept| accept.coupon.as_ref()).collect()).await?;
    let Some(sale) = SaleRow::found(id, &sale)? else { return Ok(None) };
    let books = Books {
        sale: id.clone(),
        door: sale.door,
        epoch: sale.epoch,
        gated: sale.nonce.is_some(),
        sealed: sale.sealed,
        next_v: 0,
        issued: sale.issued,
        now: tx.now(),
        known: order::known(&known)?,
        items: by_name(&items)?.into_iter().collect(),
        bought: live_units(&live)?,
        coupons,
        wished,
    };
    Ok(Some((sale, books, numbers)))
}

/// Writes what was decided, with its facts.
fn write(
    tx: &mut Tx<'_>,
    sale: &SaleRow,
    decision: &Decision,
    changed: &BTreeMap<&ItemId, (&ItemTotals, u32)>,
    events: &[Event],
    numbers: &[i64],
) -> Result<(), Fault> {
    // The facts of the orders first: the orders' rows say which number theirs has, or, where none were taken, which counted back
    // from the last.
    let of_orders = events.iter().take_while(|event| matches!(event.fact, Fact::OrderAccepted(_))).count();
    let (accepted, others) = events.split_at(of_orders);
    event::tell_accepted(tx, accepted, numbers)?;
    let subjects = accepted.iter().map(|event| event.subject.as_str());
    let told = match numbers {
        [] => subjects.rev().zip((0..).map(|back: i64| -back)).collect(),
        numbers => subjects.zip(numbers.iter().copied()).collect(),
    };
    order::insert(tx, &sale.id, &decision.orders, &told);
    event::tell(tx, others)?;
    let rows = Rows::of(changed, |(id, (_, units))| [id.as_str().into(), (*units).into()]);
    tx.bulk_exactly(ALLOCATE, &[], rows, &[sale.id.as_str().into()]);
    coupon::issue(tx, &decision.issued);
    coupon::redeem(tx, decision.redeemed.iter().map(|(coupon, order)| (coupon, order)).collect());
    Ok(())
}
