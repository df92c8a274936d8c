//! How fast the ledger accepts when a sale has a million orders, to when it has a thousand.
//!
//! Both are what the ledger wrote itself, batch by batch, on one server. The small one is made anew for each run; the large one
//! grows by a hundredth with each.

use super::bed::Bed;
use super::{BATCH, ITEM, OTHER, Shop, accepted, orders, runtime};
use crate::Failure;
use crate::runs::Figures;

const FEW: u64 = 1_024;
const MANY: u64 = 1_000_000;
/// Orders that are measured, after those.
const MORE: u64 = 40 * BATCH as u64;
/// Orders a transaction while the sale is filled: as many as one may have.
const FILL: usize = 500;

/// Measures runs of both.
pub(super) fn measure<B: Bed>(runs: usize) -> Result<Figures, Failure> {
    let (bed, runtime) = (B::start()?, runtime()?);
    // The first ledger on a new server is slower than any other.
    runtime.block_on(accepted(&bed))?;
    let place = bed.place()?;
    let large = runtime.block_on(filled(&bed, &place, MANY))?;
    let mut at = MANY;
    let figures = Figures::measure(
        "orders",
        runs,
        || {
            runtime.block_on(async {
                let place = bed.place()?;
                let small = filled(&bed, &place, FEW).await?;
                let speed = more(&small, FEW).await?;
                small.close().await;
                bed.forget(place)?;
                Ok(speed)
            })
        },
        || {
            let speed = runtime.block_on(more(&large, at))?;
            at += MORE;
            Ok(speed)
        },
    )?;
    runtime.block_on(large.close());
    bed.forget(place)?;
    Ok(figures)
}

/// A ledger whose sale has so many orders; a thousand in small batches, so that what is prepared once is prepared.
async fn filled<B: Bed>(bed: &B, place: &B::Place, count: u64) -> Result<Shop<B::Db>, Failure> {
    let shop = Shop::open(bed.ledger(place).await?).await?;
    let mut from = 1;
    while from <= count {
        // A part at a time: a million requests need memory that the database should have.
        let to = count.min(from + 100_000 - 1);
        let batch = if count <= FEW { 64 } else { FILL };
        shop.accept(&orders(from..=to, OTHER, shop.epoch)?, batch).await?;
        from = to + 1;
    }
    Ok(shop)
}

/// Accepts so many more.
async fn more<D: flashsale_sql::Backend>(shop: &Shop<D>, at: u64) -> Result<f64, Failure> {
    let orders = orders(at + 1..=at + MORE, ITEM, shop.epoch)?;
    shop.accept(&orders, BATCH).await
}
