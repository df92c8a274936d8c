//! What gates ask: which one serves the sale, what was decided, and what changed since a version (protocol 1.4 step 7, 1.5).

use flashsale_core::id::ContentHash;
use flashsale_core::sale::Lines;
use flashsale_core::stock::{
    Adopted, Answers, Epoch, Followed, HoldNo, Load, Nonce, OrderState, Settled, Version, forget_before,
    unknown_version,
};
use flashsale_core::{OrderId, SaleId, Timestamp};

use super::{SaleRow, bought, items, level, live_orders, live_units, no_such_sale};
use crate::order;
use crate::tx::{End, Fault, Row, Tx};

// By name: an index over (sale, v) would be read whole and sorted for every page. COALESCE keeps it out.
const PAGE: &str = "SELECT id, hash, state, v, \"lines\" FROM orders \
                    WHERE id > ? AND COALESCE(sale, '') = ? ORDER BY id LIMIT ?";
const LATER: &str = "SELECT id, hash, state, v, \"lines\" FROM orders WHERE sale = ? AND v > ? ORDER BY v, id";

/// What a follower asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) nonce: Nonce,
    pub(super) version: Version,
    pub(super) lapsed: HoldNo,
}

/// What a first look without the lock says.
#[derive(Debug)]
pub(super) enum Seen {
    /// That is the answer.
    Answer(Followed),
    /// There is something to tell, and nothing to write.
    Later,
    /// Holds are to be sealed: that needs the lock.
    Seal,
}

impl Asked {
    /// Whether another gate serves the sale.
    fn is_superseded(&self, sale: &SaleRow) -> bool {
        sale.nonce != Some(self.nonce)
    }

    /// What can be answered from the sale's row alone.
    fn at_once(&self, sale: Option<&SaleRow>) -> Option<Followed> {
        match sale {
            // A gate speaks of a sale that the ledger does not have: the ledger was put back to before it.
            None => Some(Followed::Rewound),
            // Told by a history that the ledger does not have, whichever gate copied it: a copy from before the gate was adopted knows neither.
            Some(sale) if self.version.v > sale.version.v => Some(Followed::Rewound),
            Some(sale) if self.version.v == sale.version.v && self.version != sale.version => Some(Followed::Rewound),
            Some(sale) if self.version == sale.version && self.is_superseded(sale) => Some(Followed::Superseded),
            // Holds that were sealed before are told again: the answer that told it may have been lost.
            Some(sale) if sale.version == self.version && self.lapsed == HoldNo::default() => Some(Followed::Current),
            Some(_) => None,
        }
    }
}

/// One read, no lock: most of the time there is nothing to do.
pub(super) async fn look(mut tx: Tx<'_>, id: SaleId, asked: Asked) -> Result<Seen, Fault> {
    let sale = SaleRow::locked(&mut tx, &id).await?;
    if let Some(answer) = asked.at_once(sale.as_ref()) {
        return Ok(Seen::Answer(answer));
    }
    let sealed = sale.is_some_and(|sale| asked.lapsed <= sale.sealed || asked.is_superseded(&sale));
    Ok(if sealed { Seen::Later } else { Seen::Seal })
}

/// Seals, if need be, and tells what changed. Without sealing it runs on a view of one moment, which needs no lock.
pub(super) async fn follow(mut tx: Tx<'_>, id: SaleId, asked: Asked) -> Result<End<Followed>, Fault> {
    let tx = &mut tx;
    let sale = SaleRow::locked(tx, &id).await?;
    if let Some(answer) = asked.at_once(sale.as_ref()) {
        return Ok(End::Nothing(answer));
    }
    let Some(mut sale) = sale else { return Ok(End::Nothing(Followed::Rewound)) };
    let had = tx
        .row("SELECT tag FROM sale_version WHERE sale = ? AND v = ?", vec![id.as_str().into(), asked.version.v.into()])
        .await?;
    let had = had.map(|row| row.fields().bits()).transpose()?;
    match had {
        Some(tag) if tag == asked.version.tag => {}
        Some(_) => return Ok(End::Nothing(Followed::Rewound)),
        None => {
            let oldest = oldest(tx, &id).await?.unwrap_or(sale.version.v);
            return Ok(End::Nothing(unknown_version(asked.version.v, oldest)));
        }
    }
    if asked.is_superseded(&sale) {
        return Ok(End::Nothing(Followed::Superseded));
    }
    let seals = asked.lapsed > sale.sealed;
    if seals {
        let row = vec![asked.lapsed.0.into(), id.as_str().into()];
        tx.write_one("UPDATE sale SET sealed = ? WHERE id = ?", row);
        sale.sealed = asked.lapsed;
    }
    let items = items(tx, &id).await?;
    let rows = tx.rows(LATER, vec![id.as_str().into(), asked.version.v.into()]).await?;
    let found = decode(&rows)?;
    let (text, values) = live_orders(&id, lines(&found).map(|(_, buyer)| buyer));
    let live = live_units(&tx.rows(text, values).await?)?;
    let bought = bought(lines(&found), &live, sale.version.v)?;
    let orders = found.into_iter().map(|(order, _)| order).collect();
    let update = sale.update(asked.version, sale.version, items.into_iter(), orders, bought);
    let answer = Followed::Update(update);
    Ok(if seals { End::Commit(answer) } else { End::Nothing(answer) })
}

/// The oldest version of a sale that was not forgotten.
async fn oldest(tx: &mut Tx<'_>, id: &SaleId) -> Result<Option<u64>, Fault> {
    let text = "SELECT v FROM sale_version WHERE sale = ? ORDER BY v LIMIT 1";
    tx.row(text, vec![id.as_str().into()]).await?.map(|row| row.fields().number()).transpose()
}

/// Forgets old versions: a range of their key, so nothing is walked over and nobody waits.
pub(super) async fn forget(mut tx: Tx<'_>, id: SaleId, before: Timestamp, limit: usize) -> Result<End<usize>, Fault> {
    let tx = &mut tx;
    // Without the lock: the newest of a moment ago is no older than the newest of now.
    let newest = tx.row("SELECT v FROM sale WHERE id = ?", vec![id.as_str().into()]).await?;
    let Some(newest) = newest.map(|row| row.fields().number()).transpose()? else { return Ok(End::Nothing(0)) };
    let text = "SELECT v, at FROM sale_version WHERE sale = ? ORDER BY v LIMIT ?";
    let rows = tx.rows(text, vec![id.as_str().into(), order::most(limit.saturating_add(1))]).await?;
    let made = |row: &Row| {
        let mut row = row.fields();
        Ok((row.number()?, row.time()?))
    };
    let kept = rows.iter().map(made).collect::<Result<Vec<_>, Fault>>()?;
    let end = forget_before(kept, newest, before);
    let range = vec![id.as_str().into(), end.into()];
    let forgotten = tx.run("DELETE FROM sale_version WHERE sale = ? AND v < ?", range).await?;
    Ok(End::Commit(usize::try_from(forgotten).unwrap_or(usize::MAX)))
}

/// Makes a gate the sale's gate. From the commit on no hold of an earlier one is accepted.
pub(super) async fn adopt(mut tx: Tx<'_>, id: SaleId, nonce: Nonce, epoch: Epoch) -> Result<End<Adopted>, Fault> {
    let tx = &mut tx;
    let mut sale = SaleRow::locked(tx, &id).await?.ok_or_else(|| no_such_sale(&id))?;
    let adopts = sale.nonce != Some(nonce);
    if adopts {
        if sale.epoch != epoch {
            return Ok(End::Nothing(Adopted::Superseded(sale.epoch)));
        }
        sale.epoch = Epoch(epoch.0 + 1);
        let row = vec![sale.epoch.0.into(), nonce.0.into(), id.as_str().into()];
        tx.write_one("UPDATE sale SET epoch = ?, nonce = ?, sealed = 0 WHERE id = ?", row);
    }
    let items = items(tx, &id).await?.iter().map(level).collect();
    let answer = Adopted::Yes(Load { nonce, epoch: sale.epoch, version: sale.version, door: sale.door, items });
    Ok(if adopts { End::Commit(answer) } else { End::Nothing(answer) })
}

/// A page of answers, in order of id.
pub(super) async fn answers(
    mut tx: Tx<'_>,
    id: SaleId,
    after: Option<OrderId>,
    limit: usize,
) -> Result<End<Answers>, Fault> {
    let tx = &mut tx;
    let Some(sale) = SaleRow::locked(tx, &id).await? else { return Ok(End::Nothing(Answers::default())) };
    let limit = limit.max(1);
    let one_more = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let after = after.as_ref().map_or("", OrderId::as_str);
    let rows = tx.rows(PAGE, vec![after.into(), id.as_str().into(), one_more.into()]).await?;
    let mut found = decode(&rows)?;
    let more = found.len() > limit;
    found.truncate(limit);
    let (text, values) = live_orders(&id, lines(&found).map(|(_, buyer)| buyer));
    let live = live_units(&tx.rows(text, values).await?)?;
    let bought = bought(lines(&found), &live, sale.version.v)?;
    let next = found.last().filter(|_| more).map(|(order, _)| order.id.clone());
    Ok(End::Nothing(Answers { orders: found.into_iter().map(|(order, _)| order).collect(), bought, next }))
}

fn decode(rows: &[Row]) -> Result<Vec<(Settled, Lines)>, Fault> {
    let one = |row: &Row| {
        let mut row = row.fields();
        let settled = Settled {
            id: row.id()?,
            hash: ContentHash(row.bits()?),
            state: row.word(OrderState::from_code)?,
            v: row.number()?,
        };
        Ok((settled, order::decode_lines(row.text()?)?))
    };
    rows.iter().map(one).collect()
}

fn lines(found: &[(Settled, Lines)]) -> impl Iterator<Item = (&flashsale_core::ItemId, &str)> {
    found.iter().flat_map(|(order, lines)| lines.iter().map(|line| (&line.item, order.id.buyer_str())))
}
