//! The cancelling step, and the one way in which units and coupons come back (**G5**): lines dead, allocated down, coupon free,
//! all in the transaction that ends the order.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use flashsale_core::order::{OrderState, back, ending};
use flashsale_core::stock::{Cancel, Cancelled, ItemTotals, Order, Update};
use flashsale_core::{ItemId, OrderId, SaleId};

use super::{SaleRow, by_name, ended, no_such_sale, serve, these_items};
use crate::coupon;
use crate::event;
use crate::order;
use crate::tx::{End, Fault, Tx};
use crate::value::Rows;
use crate::waitlist;

const KILL_LINES: &str = "UPDATE line SET live = 0 FROM {rows order_id:text item:text v:int} r \
                          WHERE line.sale = ? AND line.v = r.v AND line.order_id = r.order_id AND line.item = r.item \
                          AND line.live = 1";
const GIVE_BACK: &str = "UPDATE item SET allocated = item.allocated - r.units FROM {rows id:text units:int} r \
                         WHERE item.sale = ? AND item.id = r.id";

/// Units that come back in one transaction: the rows before, and how many.
pub(crate) type Returned = BTreeMap<ItemId, (ItemTotals, u32)>;

/// Gives the units and coupons of these orders back, whose units must be allocated. Each is the row as it was; to write it as
/// it will be is the caller's.
pub(crate) async fn give_back(tx: &mut Tx<'_>, sale: &SaleId, orders: &[Arc<Order>]) -> Result<Returned, Fault> {
    let lines = || orders.iter().flat_map(|order| order.lines.iter().map(move |line| (order, line)));
    let (text, values) = these_items(sale, lines().map(|(_, line)| &line.item));
    let items = by_name(&tx.rows(text, values).await?)?;
    let mut returned: Returned = items.into_iter().map(|(id, item)| (id, (item, 0))).collect();
    for (_, line) in lines() {
        let row = returned.get_mut(&line.item).ok_or_else(|| Fault::corrupt(format!("no item {}", line.item)))?;
        row.1 += line.units.units();
    }
    let dead = Rows::of(lines(), |(order, line)| [order.id.as_str().into(), line.item.as_str().into(), order.v.into()]);
    tx.bulk_exactly(KILL_LINES, &[], dead, &[sale.as_str().into()]);
    let down = Rows::of(&returned, |(id, (_, units))| [id.as_str().into(), (*units).into()]);
    tx.bulk_exactly(GIVE_BACK, &[], down, &[sale.as_str().into()]);
    coupon::restore(tx, orders.iter().filter_map(|order| Some((order.coupon.as_ref()?, &order.id))).collect());
    Ok(returned)
}

/// Tells the facts of units that came back.
pub(crate) fn tell_back(tx: &mut Tx<'_>, sale: &SaleId, v: u64, returned: &Returned) -> Result<(), Fault> {
    let items: Vec<(ItemTotals, u32)> = returned.values().cloned().collect();
    let events = back(sale, v, tx.now(), &items);
    event::tell(tx, &events)
}

/// Ends orders that nobody pays for, and fences ids that were never decided.
pub(super) async fn cancel(
    mut tx: Tx<'_>,
    id: SaleId,
    batch: Arc<[Cancel]>,
) -> Result<End<(Vec<Cancelled>, Option<Update>)>, Fault> {
    let tx = &mut tx;
    let reads = [SaleRow::lock(tx, &id), order::these_to_write(batch.iter().map(|cancel| &cancel.id))];
    let [sale, known] = tx.read(reads).await?;
    let sale = SaleRow::found(&id, &sale)?.ok_or_else(|| no_such_sale(&id))?;
    let mut known = order::known(&known)?;
    let (to, now) = (sale.next(), tx.now());
    let (mut fences, mut before, mut undone) = (Vec::new(), Vec::new(), Vec::new());
    let mut answers = Vec::with_capacity(batch.len());
    let mut all: Vec<Arc<Order>> = Vec::new();
    for cancel in &*batch {
        let ends = match known.get(&cancel.id) {
            None => {
                let fence = Arc::new(Order::fence(&id, cancel, to.v, now));
                fences.push(fence.clone());
                Ok(fence)
            }
            Some(order) => match order.state {
                OrderState::Offered | OrderState::Accepted if order.sale == id => {
                    before.push(order.clone());
                    let order = Arc::new(order.cancelled(cancel.reason, to.v, now));
                    undone.push(order.clone());
                    Ok(order)
                }
                OrderState::Refused | OrderState::Cancelled | OrderState::Refunding | OrderState::Refunded => {
                    Err(Cancelled::Already(order.clone()))
                }
                _ => Err(Cancelled::NotCancellable(order.clone())),
            },
        };
        answers.push(match ends {
            Ok(order) => {
                // The same id again in this batch finds it ended.
                known.insert(OrderId::clone(&order.id), order.clone());
                all.push(order.clone());
                Cancelled::Done(order)
            }
            Err(answer) => answer,
        });
    }
    if all.is_empty() {
        return Ok(End::Nothing((answers, None)));
    }
    order::insert(tx, &id, &fences, &HashMap::new());
    let mut returned = Returned::new();
    if !undone.is_empty() {
        returned = give_back(tx, &id, &before).await?;
        let rows: Vec<_> = undone.iter().map(|order| (order.clone(), order::Live::No)).collect();
        order::rewrite(tx, &rows);
        waitlist::followed(tx, before.iter().zip(&undone));
        let ends = before.iter().zip(&undone);
        let events: Vec<_> = ends.flat_map(|(was, order)| ending(order, was.state, now)).collect();
        event::tell(tx, &events)?;
        tell_back(tx, &id, to.v, &returned)?;
    }
    sale.bump(tx, to);
    serve(tx, &id, before.iter().zip(&undone));
    let update = ended(tx, &sale, to, &all, returned).await?;
    Ok(End::Commit((answers, Some(update))))
}
