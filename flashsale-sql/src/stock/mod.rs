//! `StockLedger` on SQL: the sale's row, its lock and version, and what every stock transaction reads and writes of them.
//!
//! The steps themselves: [`accept`](mod@accept), [`cancel`](mod@cancel) with the giving back of units, [`follow`](mod@follow) with the
//! adoption of gates, [`terms`]. The rules are core's.

mod accept;
mod cancel;
mod follow;
mod terms;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flashsale_core::error::BackendError;
use flashsale_core::sale::{SaleState, Window};
use flashsale_core::stock::{
    Accept, Accepted, Adopted, Answers, Bought, Cancel, Cancelled, Change, ChangeRefusal, Door, Durability, Epoch,
    Followed, HoldNo, ItemLevel, ItemTotals, Nonce, Order, PaymentLine, Settled, StockLedger, Totals, Update, Version,
};
use flashsale_core::{BuyerId, ItemId, Key, OrderId, Sale, SaleId, Timestamp};

use crate::dialect::Dialect;
use crate::ledger::{Backend, SqlLedger};
use crate::order;
use crate::tx::{Access, Fault, Fields, Row, Tx};
use crate::value::Value;

pub(crate) use accept::accept;
pub(crate) use cancel::{Returned, give_back, tell_back};

/// A sale's row, without its items.
#[derive(Debug, Clone)]
pub(crate) struct SaleRow {
    pub(crate) id: SaleId,
    pub(crate) door: Door,
    pub(crate) pay_within: Duration,
    pub(crate) version: Version,
    pub(crate) epoch: Epoch,
    pub(crate) nonce: Option<Nonce>,
    pub(crate) sealed: HoldNo,
    /// The last number of the payment line.
    pub(crate) issued: u64,
}

const SALE: &str = "SELECT state, opens_at, closes_at, hold_ms, pay_within_ms, v, tag, epoch, nonce, sealed, issued \
                    FROM sale WHERE id = ?{lock}";
const ALL_ITEMS: &str = "SELECT id, total, allocated, price, buyer_limit, waiting FROM item WHERE sale = ?";
const ITEMS: &str =
    "SELECT id, total, allocated, price, buyer_limit, waiting FROM item WHERE sale = ? AND id {in} ORDER BY id";
const LIVE: &str = "SELECT {live}";

pub(crate) fn state(word: &str) -> Option<SaleState> {
    [SaleState::Open, SaleState::Paused, SaleState::Closed].into_iter().find(|state| state.code() == word)
}

fn duration(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Milliseconds, as a value.
fn ms(duration: Duration) -> Value {
    Value::Int(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}

impl SaleRow {
    /// Reads the row, under the lock where the transaction has or takes it.
    pub(crate) async fn locked(tx: &mut Tx<'_>, id: &SaleId) -> Result<Option<Self>, Fault> {
        let lock = Self::lock(tx, id);
        let [rows] = tx.read([lock]).await?;
        Self::found(id, &rows)
    }

    /// The read of the row. It comes first, alone in its statement: what is read after it is of a moment at which nobody else
    /// moves this sale's stock.
    pub(crate) fn lock(tx: &mut Tx<'_>, id: &SaleId) -> (&'static str, Vec<Value>) {
        if tx.access == Access::Theirs && tx.dialect() == Dialect::Sqlite {
            // A write that changes nothing takes the lock; a read would only open a view that may be old by then.
            tx.write("UPDATE sale SET v = v WHERE id = ?", vec![id.as_str().into()]);
        }
        (SALE, vec![id.as_str().into()])
    }

    /// The row that [`SaleRow::lock`] reads.
    pub(crate) fn found(id: &SaleId, rows: &[Row]) -> Result<Option<Self>, Fault> {
        rows.first().map(|row| Self::decode(id, &mut row.fields())).transpose()
    }

    fn decode(id: &SaleId, row: &mut Fields<'_>) -> Result<Self, Fault> {
        Ok(Self {
            id: id.clone(),
            door: Door {
                state: row.word(state)?,
                window: Window { opens_at: row.time()?, closes_at: row.time()? },
                hold: duration(row.number()?),
            },
            pay_within: duration(row.number()?),
            version: Version { v: row.number()?, tag: row.bits()? },
            epoch: Epoch(row.number()?),
            nonce: row.maybe_int()?.map(|nonce| Nonce(nonce.cast_unsigned())),
            sealed: HoldNo(row.number()?),
            issued: row.number()?,
        })
    }

    /// The version that this transaction will write.
    pub(crate) fn next(&self) -> Version {
        // Tags only have to differ from those of a life that was forgotten; the hasher's own random keys do.
        let tag = RandomState::new().hash_one((self.id.as_str(), self.version.v, self.version.tag));
        Version { v: self.version.v + 1, tag }
    }

    /// Writes the next version and the numbers that were given, if the row still has this version.
    pub(crate) fn bump(&self, tx: &mut Tx<'_>, to: Version) {
        let (id, v, tag) = (Value::from(self.id.as_str()), Value::from(to.v), Value::bits(to.tag));
        let entry = vec![id.clone(), v.clone(), tag.clone(), tx.now().into()];
        tx.write_one("INSERT INTO sale_version (sale, v, tag, at) VALUES (?, ?, ?, ?)", entry);
        let row = vec![v, tag, self.issued.into(), id, self.version.v.into()];
        tx.write_one("UPDATE sale SET v = ?, tag = ?, issued = ? WHERE id = ? AND v = ?", row);
    }

    /// What a gate at `from` lacks of the items and orders given.
    pub(crate) fn update(
        &self,
        from: Version,
        to: Version,
        items: impl Iterator<Item = ItemTotals>,
        orders: Vec<Settled>,
        bought: Vec<Bought>,
    ) -> Update {
        Update {
            nonce: self.nonce,
            from,
            to,
            sealed: self.sealed,
            door: self.door,
            items: items.map(|item| level(&item)).collect(),
            orders,
            bought,
        }
    }
}

pub(crate) fn decode_item(row: &mut Fields<'_>) -> Result<ItemTotals, Fault> {
    Ok(ItemTotals {
        item: row.id()?,
        total: row.number()?,
        allocated: row.number()?,
        price: row.checked()?,
        limit: row.checked()?,
        waiting: row.int()? != 0,
    })
}

/// All items of a sale, in order of name.
async fn items(tx: &mut Tx<'_>, sale: &SaleId) -> Result<Vec<ItemTotals>, Fault> {
    let rows = tx.rows(ALL_ITEMS, vec![sale.as_str().into()]).await?;
    let mut items = rows.iter().map(|row| decode_item(&mut row.fields())).collect::<Result<Vec<_>, _>>()?;
    items.sort_unstable_by(|a, b| a.item.cmp(&b.item));
    Ok(items)
}

/// The read of these items of a sale.
pub(crate) fn these_items<'a>(sale: &SaleId, ids: impl IntoIterator<Item = &'a ItemId>) -> (&'static str, Vec<Value>) {
    let ids: BTreeSet<&str> = ids.into_iter().map(ItemId::as_str).collect();
    (ITEMS, vec![sale.as_str().into(), Value::list(ids)])
}

/// The items that were read, by name.
pub(crate) fn by_name(rows: &[Row]) -> Result<BTreeMap<ItemId, ItemTotals>, Fault> {
    rows.iter().map(|row| decode_item(&mut row.fields()).map(|item| (item.item.clone(), item))).collect()
}

fn level(item: &ItemTotals) -> ItemLevel {
    ItemLevel {
        item: item.item.clone(),
        free: item.total.saturating_sub(item.allocated),
        limit: item.limit,
        waiting: item.waiting,
    }
}

pub(crate) fn settled(order: &Order) -> Settled {
    Settled { id: order.id.clone(), hash: order.hash, state: order.state, v: order.v }
}

/// An item and a buyer.
type Pair = (ItemId, String);

/// The read of the live orders of these buyers.
pub(crate) fn live_orders<'a>(sale: &SaleId, buyers: impl IntoIterator<Item = &'a str>) -> (&'static str, Vec<Value>) {
    let buyers: BTreeSet<&str> = buyers.into_iter().collect();
    (LIVE, vec![Value::list(buyers), sale.as_str().into()])
}

/// Live units by item and buyer, of the orders that were read.
pub(crate) fn live_units(rows: &[Row]) -> Result<HashMap<Pair, u32>, Fault> {
    let mut live = HashMap::with_capacity(rows.len());
    for row in rows {
        let mut row = row.fields();
        let (buyer, lines) = (row.text()?, order::decode_lines(row.text()?)?);
        for line in lines.iter() {
            *live.entry((line.item.clone(), buyer.to_owned())).or_insert(0) += line.units.units();
        }
    }
    Ok(live)
}

/// What the buyers of these lines have of these items, absolutely, at version `v`: also where it is nothing.
fn bought<'a>(
    lines: impl IntoIterator<Item = (&'a ItemId, &'a str)>,
    live: &HashMap<Pair, u32>,
    v: u64,
) -> Result<Vec<Bought>, Fault> {
    let pairs: BTreeSet<(&ItemId, &str)> = lines.into_iter().collect();
    let mut bought = Vec::with_capacity(pairs.len());
    for (item, buyer) in pairs {
        let units = live.get(&(item.clone(), buyer.to_owned())).copied().unwrap_or(0);
        let buyer: BuyerId = crate::tx::parse(buyer)?;
        bought.push(Bought { item: item.clone(), buyer, units, v });
    }
    Ok(bought)
}

/// Item and buyer of every line of these orders.
pub(crate) fn pairs<'a>(orders: impl IntoIterator<Item = &'a Order>) -> impl Iterator<Item = (&'a ItemId, &'a str)> {
    orders.into_iter().flat_map(|order| order.lines.iter().map(|line| (&line.item, order.id.buyer_str())))
}

/// What became of orders whose units came back or whose ids were fenced, as a gate copies it.
pub(crate) async fn ended(
    tx: &mut Tx<'_>,
    sale: &SaleRow,
    to: Version,
    orders: &[Arc<Order>],
    returned: Returned,
) -> Result<Update, Fault> {
    let (text, values) = live_orders(&sale.id, orders.iter().map(|order| order.id.buyer_str()));
    let live = live_units(&tx.rows(text, values).await?)?;
    let bought = bought(pairs(orders.iter().map(|order| &**order)), &live, to.v)?;
    let items = returned
        .into_values()
        .map(|(before, units)| ItemTotals { allocated: before.allocated.saturating_sub(units), ..before });
    Ok(sale.update(sale.version, to, items, orders.iter().map(|order| settled(order)).collect(), bought))
}

/// Counts those of these orders that left the payment line: each as it was, and as it is. None: no statement.
///
/// The row is had to the end of the transaction by everybody who counts, so it is written last.
pub(crate) fn serve<'a>(
    tx: &mut Tx<'_>,
    sale: &SaleId,
    orders: impl IntoIterator<Item = (&'a Arc<Order>, &'a Arc<Order>)>,
) {
    let mut line = PaymentLine::default();
    orders.into_iter().for_each(|(was, is)| line.serve(was, is));
    if line.served > 0 {
        let row = vec![line.served.into(), sale.as_str().into()];
        tx.write_one("UPDATE payment_line SET served = served + ? WHERE sale = ?", row);
    }
}

fn no_such_sale(sale: &SaleId) -> Fault {
    Fault::data(format!("there is no sale {sale}"))
}

#[async_trait]
impl<D: Backend> StockLedger for SqlLedger<D> {
    fn durability(&self) -> Durability {
        Durability::Crash
    }

    async fn open(&self, sale: &Sale) -> Result<Result<(), ChangeRefusal>, BackendError> {
        let sale = Arc::new(sale.clone());
        self.write("ledger.open", move |tx| Box::pin(terms::open(tx, sale.clone()))).await
    }

    async fn sales(&self) -> Result<Vec<SaleId>, BackendError> {
        self.look("ledger.sales", |tx| Box::pin(terms::sales(tx))).await
    }

    async fn totals(&self, sale: &SaleId) -> Result<Option<Totals>, BackendError> {
        let sale = sale.clone();
        self.look("ledger.totals", move |tx| Box::pin(terms::totals(tx, sale.clone()))).await
    }

    async fn adopt(&self, sale: &SaleId, nonce: Nonce, epoch: Epoch) -> Result<Adopted, BackendError> {
        let sale = sale.clone();
        self.write("ledger.adopt", move |tx| Box::pin(follow::adopt(tx, sale.clone(), nonce, epoch))).await
    }

    async fn answers<'a>(
        &self,
        sale: &SaleId,
        after: Option<&'a OrderId>,
        limit: usize,
    ) -> Result<Answers, BackendError> {
        let (sale, after) = (sale.clone(), after.cloned());
        self.snapshot("ledger.answers", move |tx| Box::pin(follow::answers(tx, sale.clone(), after.clone(), limit)))
            .await
    }

    async fn accept(&self, sale: &SaleId, batch: &[Accept]) -> Result<Accepted, BackendError> {
        let (sale, batch): (SaleId, Arc<[Accept]>) = (sale.clone(), batch.into());
        self.write_first("ledger.accept", move |tx| Box::pin(accept(tx, sale.clone(), batch.clone()))).await
    }

    async fn cancel(&self, sale: &SaleId, batch: &[Cancel]) -> Result<(Vec<Cancelled>, Option<Update>), BackendError> {
        let (sale, batch): (SaleId, Arc<[Cancel]>) = (sale.clone(), batch.into());
        self.write_first("ledger.cancel", move |tx| Box::pin(cancel::cancel(tx, sale.clone(), batch.clone()))).await
    }

    async fn follow(
        &self,
        sale: &SaleId,
        nonce: Nonce,
        version: Version,
        lapsed: HoldNo,
    ) -> Result<Followed, BackendError> {
        let (id, asked) = (sale.clone(), follow::Asked { nonce, version, lapsed });
        let first = self.look("ledger.follow", move |tx| Box::pin(follow::look(tx, id.clone(), asked))).await?;
        let id = sale.clone();
        match first {
            follow::Seen::Answer(answer) => Ok(answer),
            follow::Seen::Later => {
                self.snapshot("ledger.follow", move |tx| Box::pin(follow::follow(tx, id.clone(), asked))).await
            }
            follow::Seen::Seal => {
                self.write("ledger.follow", move |tx| Box::pin(follow::follow(tx, id.clone(), asked))).await
            }
        }
    }

    async fn change(
        &self,
        sale: &SaleId,
        id: &Key,
        change: &Change,
    ) -> Result<Result<Option<Update>, ChangeRefusal>, BackendError> {
        let (sale, id, change) = (sale.clone(), id.clone(), change.clone());
        self.write("ledger.change", move |tx| Box::pin(terms::change(tx, sale.clone(), id.clone(), change.clone())))
            .await
    }

    async fn forget(&self, sale: &SaleId, before: Timestamp, limit: usize) -> Result<usize, BackendError> {
        let sale = sale.clone();
        self.write("ledger.forget", move |tx| Box::pin(follow::forget(tx, sale.clone(), before, limit))).await
    }
}
