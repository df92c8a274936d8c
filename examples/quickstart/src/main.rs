//! The whole purchase in memory: a sale, a coupon, an order, its payment, and the mail that follows. `cargo run -p quickstart`

use flashsale_core::payment::Scripted;
use flashsale_core::{BuyerId, Campaign, CampaignId, Error, Fact, FlashSale, Item, Key, Purchase, Sale, SaleId, won};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let shop = FlashSale::in_memory(Scripted::approves());
    let sneaker = Item::named("sneaker-42")?.units(100)?.per_buyer(1)?.price(won(129_000));
    shop.stock.open(&Sale::named("drop-1")?.item(sneaker)).await?;
    let welcome = Campaign::named("welcome")?.first(100)?.takes_off(won(3_000)).from(won(10_000)).valid_days(30);
    shop.coupons.open(&[welcome]).await?;

    // At least once, in order per order, under a stable id: what a mailer would do.
    let (tell, mut told) = mpsc::unbounded_channel();
    shop.events.on("mailer", move |event| {
        let tell = tell.clone();
        async move {
            if let Fact::OrderConfirmed(order) = event.fact {
                println!("mail to {}: {} is yours for {}", order.buyer, order.order, order.pays);
                tell.send(order.order).map_err(|_| "the shop is closing")?;
            }
            Ok::<(), &str>(())
        }
    });
    let stop = CancellationToken::new();
    let workers = tokio::spawn(shop.workers().run(stop.clone().cancelled_owned()));

    let ann = BuyerId::new("ann")?;
    let coupon = shop.coupons.claim(&CampaignId::new("welcome")?, &ann, Key::new("claim-1")?).await?.coupon;
    let purchase = Purchase::of(&SaleId::new("drop-1")?, &ann, Key::new("buy-1")?)
        .line("sneaker-42", 1)?
        .coupon(coupon.id)
        .total(won(126_000));
    match shop.orders.place(&purchase).await {
        Ok(placed) => println!("{} accepted, number {:?}", placed.order.id, placed.order.hold.map(|(_, no)| no.0)),
        Err(Error::Refused(no)) => return Err(format!("refused: {}", no.code()).into()),
        Err(Error::Backend(e)) => return Err(format!("{e}: repeat the same purchase").into()),
    }
    let confirmed = told.recv().await.ok_or("the mailer is gone")?;
    println!("{confirmed} confirmed");

    stop.cancel();
    workers.await?;
    Ok(())
}
