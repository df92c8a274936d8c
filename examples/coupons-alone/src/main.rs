//! Coupons alone: each day at 13:00 in Seoul the first hundred members get one. `cargo run -p coupons-alone`
//!
//! SQL alone is correct; the gate before it is an accelerator: most losers never reach SQL.

use std::sync::Arc;

use flashsale_core::memory::MemoryStockGate;
use flashsale_core::{BuyerId, Campaign, Coupons, Error, Key, Method, Stock, SystemClock, won};
use flashsale_sql::SqliteLedger;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let ledger = SqliteLedger::open(folder.path().join("coupons.db")).await?;
    let gate = MemoryStockGate::new(SystemClock::shared());
    let stock = Stock::new(Arc::new(gate), Arc::new(ledger.clone()))?;
    let coupons = Coupons::new(stock, Arc::new(ledger));

    let wallet = Method::new("wallet")?;
    let plant = Campaign::named("plant-3000")?
        .daily_at("13:00", "Asia/Seoul")?
        .first(100)?
        .takes_off(won(3_000))
        .from(won(10_000))
        .valid_months(1)
        .only_with(wallet.clone());
    let id = plant.id.clone();
    coupons.open(&[plant]).await?;

    // A thousand members at once; each claim under a key of its member's own.
    let claims = (0..1_000).map(|n| {
        let (coupons, id) = (coupons.clone(), id.clone());
        tokio::spawn(async move {
            let member = BuyerId::new(&format!("member-{n}")).expect("an id");
            let claimed = coupons.claim(&id, &member, Key::new("claim-1").expect("an id")).await;
            (member, claimed)
        })
    });
    let (mut issued, mut exhausted) = (Vec::new(), 0);
    for claim in claims.collect::<Vec<_>>() {
        match claim.await? {
            (member, Ok(claimed)) => issued.push((member, claimed.coupon)),
            (_, Err(Error::Refused(_))) => exhausted += 1,
            (_, Err(Error::Backend(error))) => return Err(error.into()),
        }
    }
    println!("{} issued, {exhausted} came too late", issued.len());
    assert_eq!((issued.len(), exhausted), (100, 900));

    let (member, coupon) = &issued[0];
    let split = coupons.quote(member, &coupon.id, won(10_000), Some(&wallet)).await?;
    println!("buyer pays {}, seller gets {}, funded {}", split.buyer_pays, split.seller_gets, split.funded);
    assert_eq!((split.buyer_pays, split.seller_gets), (won(7_000), won(10_000)));
    let small = coupons.quote(member, &coupon.id, won(9_999), Some(&wallet)).await;
    println!("below 10,000: {}", small.expect_err("the minimum is 10,000"));
    Ok(())
}
