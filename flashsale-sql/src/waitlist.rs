//! `WaitlistLedger` on SQL: wishes, and the flag of the items that they close to the public.
//!
//! Joining and leaving are here. Making an offer and ending it are steps of [`stock`](crate::stock) and [`order`](crate::order), which
//! move the wish with [`offered`] and [`followed`] (I7). The rules are core's.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use flashsale_core::error::BackendError;
use flashsale_core::order::OrderState;
use flashsale_core::sale::SaleState;
use flashsale_core::stock::{ItemTotals, Order, Update};
use flashsale_core::waitlist::{
    Desk, Join, JoinRefusal, Joined, Leave, Left, Line, Parting, Place, Sought, Waiter, WaitlistLedger, Wish,
    WishState, enter, left, opened, wished,
};
use flashsale_core::{BuyerId, Event, ItemId, OrderId, SaleId, Timestamp};

use crate::event;
use crate::ledger::{Backend, SqlLedger};
use crate::order::most;
use crate::stock::{self, SaleRow};
use crate::tx::{End, Fault, Fields, Row, Tx};
use crate::value::{Rows, Value};

/// Selects wishes with the columns that [`decode`] reads; the table is `w`.
macro_rules! select_wishes {
    ($more:literal, $rest:literal) => {
        concat!(
            "SELECT w.offer, w.sale, w.item, w.number, w.turn, w.units, w.state, w.why, w.joined_at, w.since, w.gathers",
            $more,
            " FROM waitlist w ",
            $rest
        )
    };
}

// COALESCE keeps indexes out that would read a whole line: rows are found by their names, or by the member's.
// Of each item the member's latest turn alone: he may have joined and left a hundred times.
const LATEST: &str = select_wishes!(
    "",
    "WHERE COALESCE(w.sale, '') = ? AND w.member {in} AND w.turn = \
     (SELECT MAX(l.turn) FROM waitlist l WHERE l.sale = w.sale AND l.item = w.item AND l.member = w.member)"
);
const INSERT: &str = "INSERT INTO waitlist (sale, state, joined_at, since, offer, item, number, member, turn, units) \
                      SELECT ?, 'waiting', ?, ?, r.offer, r.item, r.number, r.member, r.turn, r.units \
                      FROM {rows offer:text item:text number:int member:text turn:int units:int} r";
const NUMBERS: &str = "UPDATE item SET wished = r.last, waiting = 1 FROM {rows id:text last:int} r \
                       WHERE item.sale = ? AND item.id = r.id";
const LEAVE: &str = "UPDATE waitlist SET state = 'left', why = r.why, since = r.since \
                     FROM {rows offer:text why:text since:int} r \
                     WHERE waitlist.offer = r.offer AND COALESCE(waitlist.state, '') = 'waiting'";
const OFFER: &str = "UPDATE waitlist SET state = 'offered', since = r.since FROM {rows offer:text since:int} r \
                     WHERE waitlist.offer = r.offer AND COALESCE(waitlist.state, '') = 'waiting'";
const FOLLOW: &str = "UPDATE waitlist SET state = r.state, since = r.since FROM {rows offer:text state:text since:int} r \
                      WHERE waitlist.offer = r.offer AND COALESCE(waitlist.state, '') = 'offered'";
const EMPTY: &str = "SELECT i.id, i.total, i.allocated, i.price, i.buyer_limit, i.waiting FROM item i \
                     WHERE i.sale = ? AND i.id {in} AND COALESCE(i.waiting, 0) = 1 AND \
                     (SELECT w.number FROM waitlist w WHERE w.sale = i.sale AND w.item = i.id AND w.state = 'waiting' \
                     ORDER BY w.number LIMIT 1) IS NULL ORDER BY i.id";
const OPEN: &str = "UPDATE item SET waiting = 0 FROM {rows id:text} r WHERE item.sale = ? AND item.id = r.id";
const LATE: &str = select_wishes!("", "WHERE w.sale = ? AND w.state = 'waiting' ORDER BY w.item, w.number LIMIT ?");
const SOUGHT: &str = "SELECT s.id, s.state, s.opens_at, s.closes_at, i.id, i.total, i.allocated, i.price, i.buyer_limit, \
                      i.waiting FROM item i JOIN sale s ON s.id = i.sale WHERE i.waiting = 1 ORDER BY i.sale, i.id LIMIT ?";
const FRONT: &str = select_wishes!(
    "",
    "WHERE w.sale = ? AND w.item = ? AND w.state = 'waiting' AND (w.units <= ? OR w.number = \
     (SELECT MIN(h.number) FROM waitlist h WHERE h.sale = ? AND h.item = ? AND h.state = 'waiting')) \
     ORDER BY w.number LIMIT ?"
);
const PLACE: &str = select_wishes!(
    ", (SELECT COUNT(*) FROM waitlist a WHERE a.sale = w.sale AND a.item = w.item AND a.state = 'waiting' AND a.number < w.number)",
    "WHERE w.sale = ? AND w.item = ? AND w.member = ? ORDER BY w.turn DESC LIMIT 1"
);
const OF_MEMBER: &str = select_wishes!("", "WHERE w.member = ? ORDER BY w.joined_at DESC, w.offer DESC LIMIT ?");

fn decode(row: &mut Fields<'_>) -> Result<Wish, Fault> {
    Ok(Wish {
        offer: row.id()?,
        sale: row.id()?,
        item: row.id()?,
        number: row.number()?,
        turn: row.number()?,
        units: row.checked()?,
        state: row.word(WishState::from_code)?,
        why: match row.maybe_text()? {
            None => None,
            Some(word) => {
                let why = Parting::from_code(word);
                Some(why.ok_or_else(|| Fault::corrupt(format!("nobody knows the word {word}")))?)
            }
        },
        joined_at: row.time()?,
        since: row.time()?,
        gathers: row.maybe_time()?,
    })
}

fn decode_all(rows: &[Row]) -> Result<Vec<Wish>, Fault> {
    rows.iter().map(|row| decode(&mut row.fields())).collect()
}

/// The read of those names under which somebody waits in the sale.
pub(crate) fn those_that_wait<'a>(
    sale: &SaleId,
    offers: impl IntoIterator<Item = &'a OrderId>,
) -> (&'static str, Vec<Value>) {
    let text =
        "SELECT offer FROM waitlist WHERE COALESCE(sale, '') = ? AND COALESCE(state, '') = 'waiting' AND offer {in}";
    (text, vec![sale.as_str().into(), Value::list(offers.into_iter().map(OrderId::as_str))])
}

/// Moves the wishes of these orders, which are offered now; tells the items that are open to the public by that, and their facts.
pub(crate) async fn offered(
    tx: &mut Tx<'_>,
    sale: &SaleId,
    v: u64,
    orders: &[&Arc<Order>],
) -> Result<(Vec<ItemTotals>, Vec<Event>), Fault> {
    let now = tx.now();
    let rows = Rows::of(orders, |order| [order.id.as_str().into(), now.into()]);
    tx.bulk_exactly(OFFER, &[], rows, &[]);
    let items = orders.iter().filter_map(|order| order.lines.first()).map(|line| line.item.as_str());
    open_where_nobody_waits(tx, sale, v, items.collect()).await
}

/// Moves the wishes of those of these orders that were offers and are none any more: each as it was, and as it is.
pub(crate) fn followed<'a>(tx: &mut Tx<'_>, orders: impl IntoIterator<Item = (&'a Arc<Order>, &'a Arc<Order>)>) {
    let now = tx.now();
    let moved = orders.into_iter().filter(|(was, _)| was.state == OrderState::Offered);
    let moved = moved.filter_map(|(_, is)| Some((&is.id, WishState::of(is.state, is.reason)?)));
    let rows = Rows::of(moved, |(offer, state)| [offer.as_str().into(), state.code().into(), now.into()]);
    tx.bulk_exactly(FOLLOW, &[], rows, &[]);
}

/// Clears the flags of those of these items for which nobody waits any more.
async fn open_where_nobody_waits(
    tx: &mut Tx<'_>,
    sale: &SaleId,
    v: u64,
    items: BTreeSet<&str>,
) -> Result<(Vec<ItemTotals>, Vec<Event>), Fault> {
    let rows = tx.rows(EMPTY, vec![sale.as_str().into(), Value::list(items)]).await?;
    let mut open = Vec::with_capacity(rows.len());
    for row in &rows {
        open.push(ItemTotals { waiting: false, ..stock::decode_item(&mut row.fields())? });
    }
    let cleared = Rows::of(&open, |item| [item.item.as_str().into()]);
    tx.bulk_exactly(OPEN, &[], cleared, &[sale.as_str().into()]);
    let events = opened(sale, v, tx.now(), &open);
    Ok((open, events))
}

type Answer<T> = (Vec<T>, Option<Update>);

async fn join(mut tx: Tx<'_>, id: SaleId, batch: Arc<[Join]>) -> Result<End<Answer<Joined>>, Fault> {
    let tx = &mut tx;
    let members: BTreeSet<&str> = batch.iter().map(|join| join.member.as_str()).collect();
    let names: BTreeSet<&str> = batch.iter().map(|join| join.item.as_str()).collect();
    let lock = SaleRow::lock(tx, &id);
    let items = stock::these_items(&id, batch.iter().map(|join| &join.item));
    let last = ("SELECT id, wished FROM item WHERE sale = ? AND id {in}", vec![id.as_str().into(), Value::list(names)]);
    let latest = (LATEST, vec![id.as_str().into(), Value::list(members.iter().copied())]);
    let live = stock::live_orders(&id, members);
    let [sale, items, last, latest, live] = tx.read([lock, items, last, latest, live]).await?;
    let Some(sale) = SaleRow::found(&id, &sale)? else {
        return Ok(End::Nothing((vec![Joined::Refused(JoinRefusal::UnknownSale); batch.len()], None)));
    };
    let number = |row: &Row| {
        let mut row = row.fields();
        Ok((row.id()?, row.number()?))
    };
    let latest = decode_all(&latest)?.into_iter().map(|wish| ((wish.item.clone(), wish.member()), wish));
    let mut desk = Desk {
        sale: id.clone(),
        door: sale.door,
        now: tx.now(),
        items: stock::by_name(&items)?.into_iter().collect(),
        last: last.iter().map(number).collect::<Result<HashMap<ItemId, u64>, Fault>>()?,
        latest: latest.collect(),
        bought: stock::live_units(&live)?,
    };
    let entries = enter(&batch, &mut desk);
    if entries.wishes.is_empty() {
        return Ok(End::Nothing((entries.answers, None)));
    }
    let now = Value::from(tx.now());
    let rows = Rows::of(&entries.wishes, |wish| {
        [
            wish.offer.as_str().into(),
            wish.item.as_str().into(),
            wish.number.into(),
            wish.offer.buyer_str().into(),
            wish.turn.into(),
            wish.units.units().into(),
        ]
    });
    tx.bulk_exactly(INSERT, &[id.as_str().into(), now.clone(), now], rows, &[]);
    let joined: BTreeSet<&ItemId> = entries.wishes.iter().map(|wish| &wish.item).collect();
    let numbers = Rows::of(joined, |item| [item.as_str().into(), desk.last.get(item).copied().into()]);
    tx.bulk_exactly(NUMBERS, &[], numbers, &[id.as_str().into()]);
    let events: Vec<Event> = entries.wishes.iter().map(|wish| wished(wish, tx.now())).collect();
    event::tell(tx, &events)?;
    let closed = entries.closed.iter().filter_map(|item| desk.items.get(item)).cloned().collect();
    let update = changed(tx, &sale, closed);
    Ok(End::Commit((entries.answers, update)))
}

/// The next version, if flags changed: what a gate must know of these items.
fn changed(tx: &mut Tx<'_>, sale: &SaleRow, items: Vec<ItemTotals>) -> Option<Update> {
    if items.is_empty() {
        return None;
    }
    let to = sale.next();
    sale.bump(tx, to);
    Some(sale.update(sale.version, to, items.into_iter(), vec![], vec![]))
}

async fn leave(mut tx: Tx<'_>, id: SaleId, batch: Arc<[Leave]>) -> Result<End<Answer<Left>>, Fault> {
    let tx = &mut tx;
    let lock = SaleRow::lock(tx, &id);
    let names = Value::list(batch.iter().map(|leave| leave.offer.as_str()));
    let these =
        (select_wishes!("", "WHERE COALESCE(w.sale, '') = ? AND w.offer {in}"), vec![id.as_str().into(), names]);
    let [sale, wishes] = tx.read([lock, these]).await?;
    let wishes = decode_all(&wishes)?.into_iter().map(|wish| (wish.offer.clone(), wish));
    let mut known: HashMap<OrderId, Wish> = wishes.collect();
    let (mut answers, mut gone) = (Vec::with_capacity(batch.len()), Vec::new());
    for leave in &*batch {
        answers.push(match known.get_mut(&leave.offer) {
            None => Left::Unknown,
            Some(wish) if wish.state != WishState::Waiting => Left::Already(wish.clone()),
            Some(wish) => {
                (wish.state, wish.why, wish.since) = (WishState::Left, Some(leave.why), tx.now());
                gone.push(wish.clone());
                Left::Done(wish.clone())
            }
        });
    }
    let (Some(sale), false) = (SaleRow::found(&id, &sale)?, gone.is_empty()) else {
        return Ok(End::Nothing((answers, None)));
    };
    let update = go(tx, &sale, &gone).await?;
    Ok(End::Commit((answers, update)))
}

/// Writes wishes that left, and opens the items for which nobody waits any more.
async fn go(tx: &mut Tx<'_>, sale: &SaleRow, gone: &[Wish]) -> Result<Option<Update>, Fault> {
    let rows =
        Rows::of(gone, |wish| [wish.offer.as_str().into(), wish.why.map(Parting::code).into(), wish.since.into()]);
    tx.bulk_exactly(LEAVE, &[], rows, &[]);
    let items = gone.iter().map(|wish| wish.item.as_str()).collect();
    let (open, opening) = open_where_nobody_waits(tx, &sale.id, sale.next().v, items).await?;
    let mut events: Vec<Event> = gone.iter().map(|wish| left(wish, tx.now())).collect();
    events.extend(opening);
    event::tell(tx, &events)?;
    Ok(changed(tx, sale, open))
}

async fn end(mut tx: Tx<'_>, id: SaleId, limit: usize) -> Result<End<(usize, Option<Update>)>, Fault> {
    let tx = &mut tx;
    let Some(sale) = SaleRow::locked(tx, &id).await? else { return Ok(End::Nothing((0, None))) };
    let now = tx.now();
    if sale.door.state != SaleState::Closed && now < sale.door.window.closes_at {
        return Ok(End::Nothing((0, None)));
    }
    let mut gone = decode_all(&tx.rows(LATE, vec![id.as_str().into(), most(limit)]).await?)?;
    if gone.is_empty() {
        return Ok(End::Nothing((0, None)));
    }
    for wish in &mut gone {
        (wish.state, wish.why, wish.since) = (WishState::Left, Some(Parting::Closed), now);
    }
    let update = go(tx, &sale, &gone).await?;
    Ok(End::Commit((gone.len(), update)))
}

async fn gather(mut tx: Tx<'_>, wishes: Vec<OrderId>) -> Result<End<()>, Fault> {
    let names = Value::list(wishes.iter().map(OrderId::as_str));
    let now = tx.now();
    tx.write("UPDATE waitlist SET gathers = ? WHERE offer {in} AND gathers IS NULL", vec![now.into(), names]);
    Ok(End::Commit(()))
}

async fn sought(mut tx: Tx<'_>, limit: usize) -> Result<(Vec<Sought>, Timestamp), Fault> {
    let rows = tx.rows(SOUGHT, vec![most(limit)]).await?;
    let one = |row: &Row| {
        let mut row = row.fields();
        Ok(Sought {
            sale: row.id()?,
            state: row.word(stock::state)?,
            window: flashsale_core::sale::Window { opens_at: row.time()?, closes_at: row.time()? },
            item: stock::decode_item(&mut row)?,
        })
    };
    Ok((rows.iter().map(one).collect::<Result<_, Fault>>()?, tx.now()))
}

async fn line(mut tx: Tx<'_>, id: SaleId, item: ItemId, limit: usize) -> Result<End<Option<Line>>, Fault> {
    let tx = &mut tx;
    let (text, values) = stock::these_items(&id, [&item]);
    let Some(totals) = stock::by_name(&tx.rows(text, values).await?)?.remove(&item) else {
        return Ok(End::Nothing(None));
    };
    let shelf = [Value::from(id.as_str()), Value::from(item.as_str())];
    let [sale, name] = shelf.clone();
    let free = totals.total.saturating_sub(totals.allocated);
    let mut values = vec![sale, name, free.into()];
    values.extend(shelf);
    values.push(most(limit));
    let wishes = decode_all(&tx.rows(FRONT, values).await?)?;
    let (text, values) = stock::live_orders(&id, wishes.iter().map(|wish| wish.offer.buyer_str()));
    let live = stock::live_units(&tx.rows(text, values).await?)?;
    let waiter = |wish: Wish| {
        let pair = (item.clone(), wish.offer.buyer_str().to_owned());
        Waiter { have: live.get(&pair).copied().unwrap_or(0), wish }
    };
    let waiters = wishes.into_iter().map(waiter).collect();
    Ok(End::Nothing(Some(Line { now: tx.now(), item: totals, waiters })))
}

async fn place(mut tx: Tx<'_>, id: SaleId, item: ItemId, member: BuyerId) -> Result<Option<Place>, Fault> {
    let values = vec![id.as_str().into(), item.as_str().into(), member.as_str().into()];
    let Some(row) = tx.row(PLACE, values).await? else { return Ok(None) };
    let mut row = row.fields();
    let wish = decode(&mut row)?;
    let ahead = row.number()?;
    Ok(Some(Place { ahead: if wish.state == WishState::Waiting { ahead } else { 0 }, wish }))
}

async fn wishes(mut tx: Tx<'_>, member: BuyerId, limit: usize) -> Result<Vec<Wish>, Fault> {
    decode_all(&tx.rows(OF_MEMBER, vec![member.as_str().into(), most(limit)]).await?)
}

#[async_trait]
impl<D: Backend> WaitlistLedger for SqlLedger<D> {
    async fn join(&self, sale: &SaleId, batch: &[Join]) -> Result<Answer<Joined>, BackendError> {
        let (sale, batch): (SaleId, Arc<[Join]>) = (sale.clone(), batch.into());
        self.write_first("waitlist.join", move |tx| Box::pin(join(tx, sale.clone(), batch.clone()))).await
    }

    async fn leave(&self, sale: &SaleId, batch: &[Leave]) -> Result<Answer<Left>, BackendError> {
        let (sale, batch): (SaleId, Arc<[Leave]>) = (sale.clone(), batch.into());
        self.write_first("waitlist.leave", move |tx| Box::pin(leave(tx, sale.clone(), batch.clone()))).await
    }

    async fn end(&self, sale: &SaleId, limit: usize) -> Result<(usize, Option<Update>), BackendError> {
        let sale = sale.clone();
        self.write("waitlist.end", move |tx| Box::pin(end(tx, sale.clone(), limit))).await
    }

    async fn gather(&self, wishes: &[OrderId]) -> Result<(), BackendError> {
        let wishes = wishes.to_vec();
        self.write("waitlist.gather", move |tx| Box::pin(gather(tx, wishes.clone()))).await
    }

    async fn sought(&self, limit: usize) -> Result<(Vec<Sought>, Timestamp), BackendError> {
        self.look("waitlist.sought", move |tx| Box::pin(sought(tx, limit))).await
    }

    async fn line(&self, sale: &SaleId, item: &ItemId, limit: usize) -> Result<Option<Line>, BackendError> {
        let (sale, item) = (sale.clone(), item.clone());
        self.snapshot("waitlist.line", move |tx| Box::pin(line(tx, sale.clone(), item.clone(), limit))).await
    }

    async fn place(&self, sale: &SaleId, item: &ItemId, member: &BuyerId) -> Result<Option<Place>, BackendError> {
        let (sale, item, member) = (sale.clone(), item.clone(), member.clone());
        self.look("waitlist.place", move |tx| Box::pin(place(tx, sale.clone(), item.clone(), member.clone()))).await
    }

    async fn wishes(&self, member: &BuyerId, limit: usize) -> Result<Vec<Wish>, BackendError> {
        let member = member.clone();
        self.look("waitlist.wishes", move |tx| Box::pin(wishes(tx, member.clone(), limit))).await
    }
}
