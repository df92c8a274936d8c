//! Units and a waitlist alone: whoever came too late waits, and what comes back goes to the next in line. `cargo run -p waitlist-alone`

use std::sync::Arc;
use std::time::Duration;

use flashsale_core::memory::MemoryStockGate;
use flashsale_core::unit::Quantity;
use flashsale_core::{BuyerId, Error, Item, Key, Purchase, Sale, Stock, SystemClock, Waitlist};
use flashsale_sql::SqliteLedger;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let ledger = Arc::new(SqliteLedger::open(folder.path().join("shop.db")).await?);
    let stock = Stock::new(Arc::new(MemoryStockGate::new(SystemClock::shared())), ledger.clone())?;
    let waitlist = Waitlist::new(stock.clone(), ledger.clone());
    let sale = Sale::named("drop-1")?.item(Item::named("boot")?.units(1)?);
    stock.open(&sale).await?;
    let boot = sale.items[0].id.clone();
    let wants = |buyer: &BuyerId| Purchase::of(&sale.id, buyer, Key::new("order-1").expect("a key")).line("boot", 1);

    let [ann, bob, cid] = ["ann", "bob", "cid"].map(|name| BuyerId::new(name).expect("a name"));
    let sold = stock.take(&wants(&ann)?).await?.order;
    let wish = waitlist.join(&sale.id, &boot, &bob, Quantity::MIN).await?.wish;
    println!("ann has the last boot; bob waits, number {}", wish.number);

    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let workers = stock.workers().and(waitlist.workers());
    let workers = tokio::spawn(workers.run(async move { drop(stopped.await) }));

    stock.give_back(&sale.id, std::slice::from_ref(&sold.id)).await?;
    match stock.take(&wants(&cid)?).await {
        Err(Error::Refused(no)) => println!("ann gave hers back; cid, who does not wait: {}", no.code()),
        other => return Err(format!("it was bob's: {other:?}").into()),
    }
    let offer = loop {
        // A shop reads `waitlist.offered` from the outbox; here we look until the pass has been.
        match waitlist.offers(&bob).await?.0.pop() {
            Some(offer) => break offer,
            None => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    // The notice is handed over: his time begins.
    let until = waitlist.offer_told(&offer.order.id).await?.ok_or("it is an open offer")?;
    let order = waitlist.take(&offer.order.id).await?;
    println!("{} was held for bob until {until}, and he took it: {}", order.id, order.state.code());

    drop(stop);
    workers.await?;
    ledger.close().await;
    Ok(())
}
