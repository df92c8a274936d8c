//! What the ledger is compared with: plain inserts of the rows that it wrote.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::bed::{Bed, Plain, Table};
use super::{BATCH, ITEM, ORDERS, Shop, accepted_at};
use crate::Failure;
use crate::gate::per_second;

/// Orders of one run that has a transaction for each.
const SINGLES: usize = 16 * BATCH;

/// What an order consists of: a row in each, in the order of this column.
const TABLES: [(&str, &str); 3] = [("orders", "hold_no"), ("line", "order_id"), ("outbox", "no")];

/// The rows that the ledger wrote in one run.
pub(super) struct Rival {
    tables: Arc<[Table]>,
}

impl Rival {
    /// Lets the ledger write its rows, and reads them.
    pub(super) async fn of<B: Bed>(bed: &B) -> Result<Self, Failure> {
        let place = bed.place()?;
        accepted_at(bed, &place).await?;
        let mut connection = bed.connect(&place).await?;
        let mut tables = Vec::new();
        for (name, order) in TABLES {
            tables.push(read(&mut connection, name, order).await?);
        }
        connection.close().await?;
        bed.forget(place)?;
        Ok(Self { tables: tables.into() })
    }

    /// The rows of a table.
    #[cfg(test)]
    pub(super) fn table(&self, name: &str) -> &Table {
        self.tables.iter().find(|table| table.name == name).unwrap()
    }

    /// Inserts the rows, 256 orders a transaction, and tells how many orders a second.
    pub(super) async fn in_bulk<B: Bed>(&self, bed: &B) -> Result<f64, Failure> {
        let place = empty(bed).await?;
        let mut connection = bed.connect(&place).await?;
        let texts: Vec<String> = self.tables.iter().map(|table| B::Plain::insert(table, B::ROWS)).collect();
        let begun = Instant::now();
        for at in (0..ORDERS).step_by(BATCH) {
            connection.begin().await?;
            for (table, text) in self.tables.iter().zip(&texts) {
                for rows in table.rows[at..at + BATCH].chunks(B::ROWS) {
                    connection.write(text, table, rows).await?;
                }
            }
            connection.commit().await?;
        }
        let spent = begun.elapsed();
        connection.close().await?;
        expect(bed, &place, ORDERS).await?;
        bed.forget(place)?;
        Ok(per_second(ORDERS, spent))
    }

    /// Inserts the rows of each order in a transaction of its own, which takes the unit from the hot row at its end, on so many
    /// connections side by side.
    pub(super) async fn one_by_one<B: Bed>(&self, bed: &B, connections: usize) -> Result<f64, Failure> {
        let place = empty(bed).await?;
        let texts: Arc<[String]> = self.tables.iter().map(|table| B::Plain::insert(table, 1)).collect();
        let next = Arc::new(AtomicUsize::new(0));
        let mut plain = Vec::new();
        for _ in 0..connections {
            plain.push(bed.connect(&place).await?);
        }
        let begun = Instant::now();
        let tasks = plain.into_iter().map(|mut connection| {
            let (tables, texts, next) = (self.tables.clone(), texts.clone(), next.clone());
            tokio::spawn(async move {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= SINGLES {
                        return Ok::<_, sqlx::Error>(connection);
                    }
                    buy(&mut connection, &tables, &texts, at).await?;
                }
            })
        });
        let tasks: Vec<_> = tasks.collect();
        let mut plain = Vec::new();
        for task in tasks {
            plain.push(task.await??);
        }
        let spent = begun.elapsed();
        for connection in plain {
            connection.close().await?;
        }
        expect(bed, &place, SINGLES).await?;
        bed.forget(place)?;
        Ok(per_second(SINGLES, spent))
    }
}

/// One order, as a shop without batches writes it.
async fn buy<P: Plain>(connection: &mut P, tables: &[Table], texts: &[String], at: usize) -> Result<(), sqlx::Error> {
    let take = format!(
        "UPDATE item SET allocated = allocated + 1 WHERE sale = 'drop-1' AND id = '{ITEM}' AND allocated + 1 <= total"
    );
    connection.begin().await?;
    for (table, text) in tables.iter().zip(texts) {
        connection.write(text, table, &table.rows[at..=at]).await?;
    }
    // Last, so that the hot row is locked for no longer than it must.
    if connection.write(&take, &tables[0], &[]).await? != 1 {
        return Err(sqlx::Error::RowNotFound);
    }
    connection.commit().await
}

async fn read<P: Plain>(connection: &mut P, name: &'static str, order: &str) -> Result<Table, Failure> {
    let (columns, numbers): (Vec<String>, Vec<bool>) = connection.columns(name).await?.into_iter().unzip();
    let quote = P::QUOTE;
    let names: Vec<String> = columns.iter().map(|name| format!("{quote}{name}{quote}")).collect();
    let text = format!("SELECT {} FROM {name} ORDER BY {order}", names.join(", "));
    let mut rows = connection.rows(text, columns.len()).await?;
    // The facts of the sale itself stand before those of its orders.
    rows.drain(..rows.len().saturating_sub(ORDERS));
    if rows.len() == ORDERS {
        Ok(Table { name, columns, numbers, rows })
    } else {
        Err(format!("{name} has {} rows", rows.len()).into())
    }
}

/// A new place with the ledger's schema and the sale's terms.
async fn empty<B: Bed>(bed: &B) -> Result<B::Place, Failure> {
    let place = bed.place()?;
    Shop::open(bed.ledger(&place).await?).await?.close().await;
    Ok(place)
}

async fn expect<B: Bed>(bed: &B, place: &B::Place, orders: usize) -> Result<(), Failure> {
    let mut connection = bed.connect(place).await?;
    for (table, _) in TABLES {
        let rows = connection.rows(format!("SELECT COUNT(*) FROM {table}"), 1).await?;
        let count = match rows.first().and_then(|row| row.first()) {
            Some(super::bed::Cell::Int(count)) => usize::try_from(*count)?,
            other => return Err(format!("{table} has {other:?} rows").into()),
        };
        // The sale's own facts are not among the rows that were inserted here.
        let extra = if table == "outbox" { 1..=8 } else { 0..=0 };
        if !extra.contains(&count.saturating_sub(orders)) || count < orders {
            return Err(format!("{table} has {count} rows, not {orders}").into());
        }
    }
    connection.close().await?;
    Ok(())
}
