//! The terms of sales: written down once, shown, changed once per id.

use std::sync::Arc;

use flashsale_core::order::{change_facts, open_facts};
use flashsale_core::sale::{SaleState, Window};
use flashsale_core::stock::{Change, ChangeRefusal, ItemTotals, PaymentLine, Totals, Update};
use flashsale_core::unit::Quantity;
use flashsale_core::{ItemId, Key, Sale, SaleId};

use super::{SaleRow, by_name, decode_item, ms, these_items};
use crate::event;
use crate::tx::{End, Fault, Tx, json};
use crate::value::{Rows, Value};

const OPEN: &str = "INSERT INTO sale (id, state, opens_at, closes_at, hold_ms, pay_within_ms, v, tag, terms) \
                    VALUES (?, 'open', ?, ?, ?, ?, 0, 0, ?)";
const ITEMS: &str = "INSERT INTO item (sale, id, total, price, buyer_limit) SELECT ?, r.id, r.total, r.price, r.lim \
                     FROM {rows id:text total:int price:int lim:int} r";
// One statement, so that levels and version are of one moment without a transaction.
const TOTALS: &str = "SELECT s.state, s.opens_at, s.closes_at, s.hold_ms, s.pay_within_ms, s.v, s.tag, s.epoch, s.nonce, \
                      s.sealed, s.issued, p.served, i.id, i.total, i.allocated, i.price, i.buyer_limit, i.waiting \
                      FROM sale s JOIN payment_line p ON p.sale = s.id JOIN item i ON i.sale = s.id WHERE s.id = ? ORDER BY i.id";

/// Writes down the terms of a new sale, as version 1.
pub(super) async fn open(mut tx: Tx<'_>, sale: Arc<Sale>) -> Result<End<Result<(), ChangeRefusal>>, Fault> {
    let tx = &mut tx;
    sale.check().map_err(|why| Fault::data(why.to_string()))?;
    let known = tx.row("SELECT terms FROM sale WHERE id = ?", vec![sale.id.as_str().into()]).await?;
    if let Some(known) = known {
        let known: Sale = known.fields().json()?;
        return Ok(End::Nothing(if known == *sale { Ok(()) } else { Err(ChangeRefusal::Conflict) }));
    }
    let row = vec![
        sale.id.as_str().into(),
        sale.window.opens_at.into(),
        sale.window.closes_at.into(),
        ms(sale.hold),
        ms(sale.pay_within),
        json(&*sale)?,
    ];
    tx.write_one(OPEN, row);
    let items = Rows::of(&sale.items, |item| {
        let [total, limit] = [item.total, item.per_buyer].map(|units| Value::from(units.units()));
        [item.id.as_str().into(), total, item.price.minor().into(), limit]
    });
    tx.write_one("INSERT INTO payment_line (sale) VALUES (?)", vec![sale.id.as_str().into()]);
    tx.bulk_exactly(ITEMS, &[sale.id.as_str().into()], items, &[]);
    let written = SaleRow::locked(tx, &sale.id).await?.ok_or_else(|| Fault::corrupt("the new sale is not there"))?;
    written.bump(tx, written.next());
    let events = open_facts(&sale, tx.now());
    event::tell(tx, &events)?;
    Ok(End::Commit(Ok(())))
}

/// The names of all sales.
pub(super) async fn sales(mut tx: Tx<'_>) -> Result<Vec<SaleId>, Fault> {
    let rows = tx.rows("SELECT id FROM sale ORDER BY id", vec![]).await?;
    rows.iter().map(|row| row.fields().id()).collect()
}

/// Levels and terms of a sale.
pub(super) async fn totals(mut tx: Tx<'_>, id: SaleId) -> Result<Option<Totals>, Fault> {
    let rows = tx.rows(TOTALS, vec![id.as_str().into()]).await?;
    let (mut sale, mut items) = (None, Vec::with_capacity(rows.len()));
    for row in &rows {
        let mut row = row.fields();
        sale = Some((SaleRow::decode(&id, &mut row)?, row.number()?));
        items.push(decode_item(&mut row)?);
    }
    Ok(sale.map(|(SaleRow { version, epoch, door, pay_within, issued, .. }, served)| Totals {
        now: tx.now(),
        version,
        epoch,
        door,
        pay_within,
        line: PaymentLine { issued, served },
        items,
    }))
}

type Changed = Result<Option<Update>, ChangeRefusal>;

/// Changes terms, once per id.
pub(super) async fn change(mut tx: Tx<'_>, id: SaleId, name: Key, change: Change) -> Result<End<Changed>, Fault> {
    let tx = &mut tx;
    let refused = |why| Ok(End::Nothing(Err(why)));
    let Some(mut sale) = SaleRow::locked(tx, &id).await? else { return refused(ChangeRefusal::UnknownSale) };
    let named = vec![id.as_str().into(), name.as_str().into()];
    if let Some(known) = tx.row("SELECT content FROM \"change\" WHERE sale = ? AND id = ?", named).await? {
        let known: Change = known.fields().json()?;
        return Ok(End::Nothing(if known == change { Ok(None) } else { Err(ChangeRefusal::Conflict) }));
    }
    if sale.door.state == SaleState::Closed {
        return refused(ChangeRefusal::Closed);
    }
    let item = match apply(tx, &mut sale, &change).await? {
        Ok(item) => item,
        Err(why) => return refused(why),
    };
    let to = sale.next();
    let row = vec![id.as_str().into(), name.as_str().into(), json(&change)?, tx.now().into()];
    tx.write_one("INSERT INTO \"change\" (sale, id, content, at) VALUES (?, ?, ?, ?)", row);
    let events = change_facts(&id, &change, to.v, tx.now());
    event::tell(tx, &events)?;
    sale.bump(tx, to);
    let update = sale.update(sale.version, to, item.into_iter(), vec![], vec![]);
    Ok(End::Commit(Ok(Some(update))))
}

/// Writes a change into the rows of the sale; tells the item that changed, as it is now.
async fn apply(
    tx: &mut Tx<'_>,
    sale: &mut SaleRow,
    change: &Change,
) -> Result<Result<Option<ItemTotals>, ChangeRefusal>, Fault> {
    match change {
        Change::Adjust { item, .. } | Change::Price { item, .. } | Change::Limit { item, .. } => {
            let (text, values) = these_items(&sale.id, [item]);
            let Some(mut row) = by_name(&tx.rows(text, values).await?)?.remove(item) else {
                return Ok(Err(ChangeRefusal::UnknownItem(item.clone())));
            };
            if let Err(why) = apply_item(&mut row, item, change) {
                return Ok(Err(why));
            }
            let values = vec![
                row.total.into(),
                row.price.minor().into(),
                row.limit.units().into(),
                sale.id.as_str().into(),
                item.as_str().into(),
            ];
            let text = "UPDATE item SET total = ?, price = ?, buyer_limit = ? WHERE sale = ? AND id = ?";
            tx.write_one(text, values);
            Ok(Ok(Some(row)))
        }
        Change::Window(Window { opens_at, closes_at }) if closes_at <= opens_at => Ok(Err(ChangeRefusal::Window)),
        Change::Window(window) => {
            sale.door.window = *window;
            let values = vec![window.opens_at.into(), window.closes_at.into(), sale.id.as_str().into()];
            tx.write_one("UPDATE sale SET opens_at = ?, closes_at = ? WHERE id = ?", values);
            Ok(Ok(None))
        }
        Change::State(state) => {
            sale.door.state = *state;
            let values = vec![state.code().into(), sale.id.as_str().into()];
            tx.write_one("UPDATE sale SET state = ? WHERE id = ?", values);
            Ok(Ok(None))
        }
    }
}

fn apply_item(row: &mut ItemTotals, item: &ItemId, change: &Change) -> Result<(), ChangeRefusal> {
    match change {
        Change::Adjust { by, .. } => {
            let least = i64::from(row.allocated) - i64::from(row.total);
            let most = i64::from(Quantity::MAX.units()) - i64::from(row.total);
            let total = i64::from(row.total).checked_add(*by).and_then(|total| u32::try_from(total).ok());
            match total {
                Some(total) if (least..=most).contains(by) => row.total = total,
                _ => return Err(ChangeRefusal::OutOfRange { item: item.clone(), least, most }),
            }
        }
        Change::Price { price, .. } => row.price = *price,
        Change::Limit { per_buyer, .. } => row.limit = *per_buyer,
        Change::Window(_) | Change::State(_) => {}
    }
    Ok(())
}
