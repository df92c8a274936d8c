//! `OrderLedger` on SQL: the rows of orders, to and from [`Order`], and the saga's transitions.
//!
//! Reading and writing rows for the stock steps is here too. What moves units is in [`stock`](crate::stock).

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use flashsale_core::error::BackendError;
use flashsale_core::id::ContentHash;
use flashsale_core::order::{Append, Appended, OrderLedger, OrderQuery, OrderState, Reason, Units};
use flashsale_core::sale::{Line, Lines};
use flashsale_core::stock::{Amounts, Epoch, HoldNo, Note, Order, Update};
use flashsale_core::unit::Quantity;
use flashsale_core::{OrderId, SaleId, Timestamp};

use crate::event;
use crate::ledger::{Backend, SqlLedger};
use crate::stock::{self, Returned, SaleRow};
use crate::tx::{End, Fault, Fields, Row, Tx, parse};
use crate::value::{Rows, Value};
use crate::waitlist;

/// Selects orders with the columns that [`decode`] reads.
macro_rules! select_orders {
    ($rest:literal) => {
        concat!(
            "SELECT live, id, sale, hash, state, reason, stuck, ver, v, hold_epoch, hold_no, \"lines\", list, discount, pays, ",
            "coupon, method, note, decided_at, since, pay_by, due_at, tries, action, pay_no FROM orders ",
            $rest
        )
    };
}

const INSERT: &str = "INSERT INTO orders (sale, decided_at, since, id, hash, state, reason, ver, v, live, hold_epoch, hold_no, \
                      \"lines\", list, discount, pays, coupon, method, note, pay_by, due_at, pay_no{told-column}) \
                      SELECT ?, ?, ?, r.id, r.hash, r.state, r.reason, 1, r.v, r.live, r.hold_epoch, r.hold_no, r.asked, \
                      r.list, r.discount, r.pays, r.coupon, r.method, r.note, r.pay_by, r.due_at, r.pay_no{told-value} \
                      FROM {rows id:text hash:int state:text reason:text v:int live:int hold_epoch:int hold_no:int asked:text \
                      list:int discount:int pays:int coupon:text method:text note:text pay_by:int due_at:int pay_no:int told:int} r";
const INSERT_LINES: &str = "INSERT INTO line (sale, live, order_id, item, v, units) \
                            SELECT ?, 1, r.order_id, r.item, r.v, r.units \
                            FROM {rows order_id:text item:text v:int units:int} r";
const REWRITE: &str = "UPDATE orders SET state = r.state, reason = r.reason, stuck = r.stuck, ver = r.ver, v = r.v, \
                       live = COALESCE(r.live, orders.live), since = r.since, pay_by = r.pay_by, due_at = r.due_at, \
                       tries = r.tries, action = r.action \
                       FROM {rows id:text state:text reason:text stuck:text ver:int v:int live:int since:int pay_by:int \
                       due_at:int tries:int action:text} r WHERE orders.id = r.id AND orders.ver = r.ver - 1";

/// An order, and whether its units are allocated.
type Stored = (Arc<Order>, bool);

/// What a rewritten row says about its units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Live {
    /// They are not allocated any more.
    No,
    /// They are as they were.
    AsBefore,
}

/// The lines as the column has them: `item*units`, joined by blanks.
fn encode_lines(lines: &Lines) -> String {
    let mut text = String::with_capacity(lines.len() * 16);
    for line in lines.iter() {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(line.item.as_str());
        text.push('*');
        text.push_str(&line.units.to_string());
    }
    text
}

/// The lines of the column; a fenced id has none.
pub(crate) fn decode_lines(text: &str) -> Result<Lines, Fault> {
    if text.is_empty() {
        return Ok(Lines::none());
    }
    let line = |part: &str| {
        let (item, units) = part.split_once('*').ok_or_else(|| Fault::corrupt(format!("no line: {part}")))?;
        let units = units.parse().ok().and_then(|units| Quantity::new(units).ok());
        let units = units.ok_or_else(|| Fault::corrupt(format!("no quantity: {part}")))?;
        Ok(Line { item: parse(item)?, units })
    };
    let lines = text.split(' ').map(line).collect::<Result<Vec<Line>, Fault>>()?;
    Lines::new(lines).map_err(|why| Fault::corrupt(why.to_string()))
}

fn decode(row: &Row) -> Result<Stored, Fault> {
    let mut row = row.fields();
    let live = row.int()? != 0;
    let order = Order {
        id: row.id()?,
        sale: row.id()?,
        hash: ContentHash(row.bits()?),
        state: row.word(OrderState::from_code)?,
        reason: maybe_reason(&mut row)?,
        stuck: row.maybe_text()?.map(str::to_owned),
        ver: row.number()?,
        v: row.number()?,
        hold: match (row.maybe_int()?, row.maybe_int()?) {
            (Some(epoch), Some(no)) => Some((Epoch(epoch.cast_unsigned()), HoldNo(no.cast_unsigned()))),
            _ => None,
        },
        lines: decode_lines(row.text()?)?,
        amounts: Amounts { list: row.checked()?, discount: row.checked()?, pays: row.checked()? },
        coupon: row.maybe_text()?.map(flashsale_core::CouponId::new).transpose().map_err(corrupt)?,
        method: row.maybe_id()?,
        note: row.maybe_text()?.map(Note::new).transpose().map_err(corrupt)?,
        decided_at: row.time()?,
        since: row.time()?,
        pay_by: row.maybe_time()?,
        due_at: row.maybe_time()?,
        tries: row.number()?,
        action: row.maybe_text()?.map(str::to_owned),
        pay_no: row.maybe_int()?.map(i64::cast_unsigned),
    };
    Ok((Arc::new(order), live))
}

fn corrupt(why: impl std::fmt::Display) -> Fault {
    Fault::corrupt(why.to_string())
}

fn maybe_reason(row: &mut Fields<'_>) -> Result<Option<Reason>, Fault> {
    let Some(word) = row.maybe_text()? else { return Ok(None) };
    Reason::from_code(word).map(Some).ok_or_else(|| Fault::corrupt(format!("nobody knows the reason {word}")))
}

/// The read of these ids, whatever their sale, whose rows are written next: nobody else writes them meanwhile.
pub(crate) fn these_to_write<'a>(ids: impl IntoIterator<Item = &'a OrderId>) -> (&'static str, Vec<Value>) {
    let text = select_orders!("WHERE id {in} ORDER BY id{lock}");
    (text, vec![Value::list(ids.into_iter().map(OrderId::as_str))])
}

/// The read of these ids, whatever their sale.
pub(crate) fn these<'a>(ids: impl IntoIterator<Item = &'a OrderId>) -> (&'static str, Vec<Value>) {
    (select_orders!("WHERE id {in}"), vec![Value::list(ids.into_iter().map(OrderId::as_str))])
}

fn decode_all(rows: &[Row]) -> Result<HashMap<OrderId, Stored>, Fault> {
    rows.iter().map(|row| decode(row).map(|stored| (stored.0.id.clone(), stored))).collect()
}

/// The rows that [`these`] reads.
pub(crate) fn known(rows: &[Row]) -> Result<HashMap<OrderId, Arc<Order>>, Fault> {
    Ok(decode_all(rows)?.into_iter().map(|(id, (order, _))| (id, order)).collect())
}

/// The rows of these ids, whatever their sale.
async fn by_id(tx: &mut Tx<'_>, ids: Vec<&OrderId>) -> Result<HashMap<OrderId, Arc<Order>>, Fault> {
    let (text, values) = these(ids);
    known(&tx.rows(text, values).await?)
}

/// Writes orders that were decided now, and the lines of those that have their units; `told` says which fact tells an
/// order's acceptance: its number, or where none were taken, how many before the last one that was written.
pub(crate) fn insert(tx: &mut Tx<'_>, sale: &SaleId, orders: &[Arc<Order>], told: &HashMap<&str, i64>) {
    let now = Value::from(tx.now());
    // By name: keys that begin alike for all of a batch are then added at one place, one after the other.
    let mut orders: Vec<&Arc<Order>> = orders.iter().collect();
    orders.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    let rows = Rows::of(&orders, |order| {
        let (epoch, no) = order.hold.map_or((None, None), |(epoch, no)| (Some(epoch.0), Some(no.0)));
        [
            order.id.as_str().into(),
            Value::bits(order.hash.0),
            order.state.code().into(),
            order.reason.map(Reason::code).into(),
            order.v.into(),
            order.state.holds_units().into(),
            epoch.into(),
            no.into(),
            encode_lines(&order.lines).into(),
            order.amounts.list.minor().into(),
            order.amounts.discount.minor().into(),
            order.amounts.pays.minor().into(),
            order.coupon.as_ref().map(|coupon| coupon.as_str()).into(),
            order.method.as_ref().map(|method| method.as_str()).into(),
            order.note.as_ref().map(Note::as_str).into(),
            order.pay_by.into(),
            order.due_at.into(),
            order.pay_no.into(),
            told.get(order.id.as_str()).copied().into(),
        ]
    });
    tx.bulk_exactly(INSERT, &[sale.as_str().into(), now.clone(), now], rows, &[]);
    let live = orders.into_iter().filter(|order| order.state.holds_units());
    let lines = Rows::of(live.flat_map(|order| order.lines.iter().map(move |line| (order, line))), |(order, line)| {
        [order.id.as_str().into(), line.item.as_str().into(), order.v.into(), line.units.units().into()]
    });
    tx.bulk_exactly(INSERT_LINES, &[sale.as_str().into()], lines, &[]);
}

/// Writes what a transition may change; what was decided at acceptance stays. The rows must be one version behind.
pub(crate) fn rewrite(tx: &mut Tx<'_>, orders: &[(Arc<Order>, Live)]) {
    let rows = Rows::of(orders, |(order, live)| {
        [
            order.id.as_str().into(),
            order.state.code().into(),
            order.reason.map(Reason::code).into(),
            order.stuck.as_deref().into(),
            order.ver.into(),
            order.v.into(),
            if *live == Live::No { Value::Int(0) } else { Value::Null },
            order.since.into(),
            order.pay_by.into(),
            order.due_at.into(),
            order.tries.into(),
            order.action.as_deref().into(),
        ]
    });
    tx.bulk_exactly(REWRITE, &[], rows, &[]);
}

/// The row with what a transition may change.
fn written(row: &Order, append: &Append, v: u64) -> Order {
    let next = &append.order;
    Order {
        state: next.state,
        reason: next.reason,
        stuck: next.stuck.clone(),
        ver: append.expect + 1,
        v,
        since: next.since,
        pay_by: next.pay_by,
        due_at: next.due_at,
        tries: next.tries,
        action: next.action.clone(),
        ..row.clone()
    }
}

type Answer = (Vec<Appended>, Option<Update>);

/// Writes transitions; the sale is locked only if one of them gives something back.
async fn append(mut tx: Tx<'_>, id: SaleId, batch: Arc<[Append]>) -> Result<End<Answer>, Fault> {
    let tx = &mut tx;
    let gives = batch.iter().any(|append| append.units == Units::GiveBack);
    let sale = if gives { SaleRow::locked(tx, &id).await? } else { None };
    let to = sale.as_ref().map(SaleRow::next);
    let (text, values) = these_to_write(batch.iter().map(|append| &append.order.id));
    let mut known = decode_all(&tx.rows(text, values).await?)?;
    let (mut answers, mut rows, mut moved) = (Vec::with_capacity(batch.len()), Vec::new(), Vec::new());
    let (mut before, mut events, mut pairs) = (Vec::new(), Vec::new(), Vec::new());
    for append in &*batch {
        // Taken out, so that a second transition of the same order finds nothing to build on.
        let row = known.remove(&append.order.id);
        let Some((row, live)) = row.filter(|(row, _)| row.sale == id && row.ver == append.expect) else {
            answers.push(Appended::Stale);
            continue;
        };
        // Units that are back already do not come back a second time, whatever the transition says.
        let back = to.filter(|_| append.units == Units::GiveBack && live);
        let order = Arc::new(written(&row, append, back.map_or(row.v, |to| to.v)));
        if back.is_some() {
            before.push(row.clone());
            moved.push(order.clone());
        }
        pairs.push((row, order.clone()));
        rows.push((order.clone(), if back.is_some() { Live::No } else { Live::AsBefore }));
        events.extend(append.events.iter().cloned());
        answers.push(Appended::Done(order));
    }
    if rows.is_empty() {
        return Ok(End::Nothing((answers, None)));
    }
    rewrite(tx, &rows);
    waitlist::followed(tx, pairs.iter().map(|(was, is)| (was, is)));
    event::tell_once(tx, &events)?;
    let (Some(sale), Some(to), false) = (sale, to, moved.is_empty()) else {
        stock::serve(tx, &id, pairs.iter().map(|(was, is)| (was, is)));
        return Ok(End::Commit((answers, None)));
    };
    let returned: Returned = stock::give_back(tx, &id, &before).await?;
    stock::tell_back(tx, &id, to.v, &returned)?;
    sale.bump(tx, to);
    stock::serve(tx, &id, pairs.iter().map(|(was, is)| (was, is)));
    let update = stock::ended(tx, &sale, to, &moved, returned).await?;
    Ok(End::Commit((answers, Some(update))))
}

async fn load(mut tx: Tx<'_>, ids: Vec<OrderId>) -> Result<(Vec<Option<Arc<Order>>>, Timestamp), Fault> {
    let known = by_id(&mut tx, ids.iter().collect()).await?;
    Ok((ids.iter().map(|id| known.get(id).cloned()).collect(), tx.now()))
}

async fn page(mut tx: Tx<'_>, text: &'static str, values: Vec<Value>) -> Result<(Vec<Arc<Order>>, Timestamp), Fault> {
    let rows = tx.rows(text, values).await?;
    let orders = rows.iter().map(|row| decode(row).map(|(order, _)| order)).collect::<Result<_, _>>()?;
    Ok((orders, tx.now()))
}

/// A limit as the database takes it.
pub(crate) fn most(limit: usize) -> Value {
    Value::Int(i64::try_from(limit).unwrap_or(i64::MAX))
}

#[async_trait]
impl<D: Backend> OrderLedger for SqlLedger<D> {
    async fn append(&self, sale: &SaleId, batch: &[Append]) -> Result<Answer, BackendError> {
        let (sale, batch): (SaleId, Arc<[Append]>) = (sale.clone(), batch.into());
        self.write("ledger.append", move |tx| Box::pin(append(tx, sale.clone(), batch.clone()))).await
    }

    async fn load(&self, ids: &[OrderId]) -> Result<(Vec<Option<Arc<Order>>>, Timestamp), BackendError> {
        let ids = ids.to_vec();
        self.look("ledger.load", move |tx| Box::pin(load(tx, ids.clone()))).await
    }

    async fn due(&self, limit: usize) -> Result<(Vec<Arc<Order>>, Timestamp), BackendError> {
        let text = select_orders!("WHERE due_at <= ? ORDER BY due_at, id LIMIT ?");
        self.look("ledger.due", move |tx| {
            let now = tx.now();
            Box::pin(page(tx, text, vec![now.into(), most(limit)]))
        })
        .await
    }

    async fn list(&self, query: &OrderQuery) -> Result<Vec<Arc<Order>>, BackendError> {
        let buyer = &query.buyer;
        // The names of his orders stand between `buyer~` and what follows it: no index of their own.
        let mut values = vec![Value::from(format!("{buyer}~")), Value::from(format!("{buyer}\u{7f}"))];
        let text = match &query.after {
            None => select_orders!("WHERE id > ? AND id < ? ORDER BY decided_at DESC, id DESC LIMIT ?"),
            Some(after) if after.buyer_str() != buyer.as_str() => return Ok(vec![]),
            Some(after) => {
                values.push(after.as_str().into());
                select_orders!(
                    "WHERE id > ? AND id < ? AND (decided_at, id) < (SELECT l.decided_at, l.id FROM orders l WHERE l.id = ?) \
                     ORDER BY decided_at DESC, id DESC LIMIT ?"
                )
            }
        };
        values.push(most(query.limit));
        Ok(self.look("ledger.list", move |tx| Box::pin(page(tx, text, values.clone()))).await?.0)
    }

    async fn stuck(&self, limit: usize) -> Result<Vec<Arc<Order>>, BackendError> {
        let text = select_orders!("WHERE stuck IS NOT NULL ORDER BY id LIMIT ?");
        Ok(self.look("ledger.stuck", move |tx| Box::pin(page(tx, text, vec![most(limit)]))).await?.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_as_they_were() {
        let line = |item: &str, units| Line { item: item.parse().unwrap(), units: Quantity::new(units).unwrap() };
        let lines = Lines::new(vec![line("b.2:x-_", 3), line("A", 1_000_000)]).unwrap();
        assert_eq!(encode_lines(&lines), "b.2:x-_*3 A*1000000");
        assert_eq!(decode_lines(&encode_lines(&lines)).unwrap(), lines);
        assert_eq!(decode_lines(&encode_lines(&Lines::none())).unwrap(), Lines::none());
    }

    #[test]
    fn a_column_that_holds_no_lines_is_corrupt() {
        for bad in ["a", "a*0", "a*-1", "a*x", "a*1  b*1", "a*1 a*1", "~*1"] {
            assert!(
                matches!(decode_lines(bad), Err(Fault::Found(flashsale_core::error::ErrorKind::Corrupt, _))),
                "{bad}"
            );
        }
    }
}
