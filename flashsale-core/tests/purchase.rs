//! One purchase, end to end, in memory: what an embedder sees.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use flashsale_core::order::{OrderState, Reason};
use flashsale_core::payment::{Chances, Scripted};
use flashsale_core::stock::ReserveRefusal;
use flashsale_core::{
    BuyerId, Campaign, Error, Event, FlashSale, Item, Key, OrderId, OrderRefusal, Purchase, Sale, SaleId, won,
};

fn drop_1(units: u64, per_buyer: u64) -> Sale {
    let item = Item::named("sneaker-42").unwrap().units(units).unwrap().price(won(129_000));
    Sale::named("drop-1").unwrap().item(item.per_buyer(per_buyer).unwrap())
}

fn purchase(buyer: &str, key: &str) -> Purchase {
    let (sale, buyer) = (SaleId::new("drop-1").unwrap(), BuyerId::new(buyer).unwrap());
    Purchase::of(&sale, &buyer, Key::new(key).unwrap()).line("sneaker-42", 1).unwrap().total(won(129_000))
}

/// Runs the workers beside `work`, until `work` is done.
async fn beside<T>(shop: &FlashSale, work: impl Future<Output = T>) -> T {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let workers = shop.workers().run(async move {
        let _ = stopped.await;
    });
    let (result, ()) = tokio::join!(
        async {
            let result = work.await;
            let _ = stop.send(());
            result
        },
        workers
    );
    result
}

/// Waits until the order is in a final state, by its events.
async fn ended(shop: &FlashSale, id: &OrderId) -> OrderState {
    loop {
        let (order, _) = shop.orders.load(id).await.unwrap();
        let order = order.expect("it was accepted");
        if matches!(order.state, OrderState::Confirmed | OrderState::Cancelled | OrderState::Refunded) {
            return order.state;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_purchase_is_held_accepted_paid_and_confirmed() {
    let shop = FlashSale::in_memory(Scripted::approves());
    shop.stock.open(&drop_1(100, 1)).await.unwrap();
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let tell = told.clone();
    shop.events.on("mailer", move |event: Event| {
        tell.lock().unwrap().push(event.fact.kind().to_owned());
        async { Ok::<(), String>(()) }
    });
    beside(&shop, async {
        let placed = shop.orders.place(&purchase("ann", "k-1")).await.unwrap();
        assert_eq!(placed.order.state, OrderState::Accepted);
        assert_eq!(ended(&shop, &placed.order.id).await, OrderState::Confirmed);
        loop {
            if told.lock().unwrap().iter().any(|kind| kind == "order.confirmed") {
                break;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let told = told.lock().unwrap();
    for kind in ["sale.opened", "order.accepted", "order.payment_requested", "payment.approved", "order.confirmed"] {
        assert!(told.iter().any(|k| k == kind), "{kind} was not told: {told:?}");
    }
}

#[tokio::test]
async fn the_same_key_gets_the_same_answer_also_after_sell_out() {
    let shop = FlashSale::in_memory(Scripted::approves());
    shop.stock.open(&drop_1(1, 1)).await.unwrap();
    let first = shop.orders.place(&purchase("ann", "k-1")).await.unwrap();
    let loser = shop.orders.place(&purchase("bob", "k-1")).await.unwrap_err();
    assert!(matches!(loser.refusal().unwrap(), OrderRefusal::Gate(ReserveRefusal::SoldOut { .. })), "{loser}");
    let again = shop.orders.place(&purchase("ann", "k-1")).await.unwrap();
    assert_eq!(first.order, again.order);
    assert_ne!(first.answer, again.answer);
    let other = shop.orders.place(&purchase("ann", "k-1").total(won(1))).await.unwrap_err();
    assert_eq!(other.refusal().unwrap().code(), "key_reused");
    let more = shop.orders.place(&purchase("ann", "k-2")).await.unwrap_err();
    assert_eq!(more.refusal().unwrap().code(), "buyer_limit");
}

#[tokio::test]
async fn a_declined_payment_gives_the_unit_to_the_next() {
    let sleepless = |_| async {};
    let shop = FlashSale::in_memory(Scripted::with(Chances { decline: 1.0, ..Chances::CERTAIN }, sleepless));
    shop.stock.open(&drop_1(1, 1)).await.unwrap();
    beside(&shop, async {
        for buyer in ["ann", "bob", "cid"] {
            let placed = loop {
                match shop.orders.place(&purchase(buyer, "k-1")).await {
                    Ok(placed) => break placed,
                    Err(Error::Refused(no)) => assert_eq!(no.code(), "sold_out"),
                    Err(Error::Backend(error)) => panic!("{error}"),
                }
                tokio::task::yield_now().await;
            };
            assert_eq!(ended(&shop, &placed.order.id).await, OrderState::Cancelled);
            let (order, _) = shop.orders.load(&placed.order.id).await.unwrap();
            assert_eq!(order.unwrap().reason, Some(Reason::Declined));
        }
    })
    .await;
}

#[tokio::test]
async fn a_coupon_is_claimed_used_and_restored_when_its_order_is_undone() {
    let shop = FlashSale::in_memory(Scripted::approves());
    shop.stock.open(&drop_1(10, 5)).await.unwrap();
    let campaign = Campaign::named("welcome").unwrap().first(1).unwrap().takes_off(won(3_000)).from(won(10_000));
    let id = campaign.id.clone();
    shop.coupons.open(&[campaign]).await.unwrap();
    let (ann, bob) = (BuyerId::new("ann").unwrap(), BuyerId::new("bob").unwrap());
    let key = |text: &str| Key::new(text).unwrap();
    let coupon = shop.coupons.claim(&id, &ann, key("c-1")).await.unwrap().coupon;
    assert_eq!(shop.coupons.claim(&id, &ann, key("c-1")).await.unwrap().coupon, coupon, "same key, same coupon");
    let twice = shop.coupons.claim(&id, &ann, key("c-2")).await.unwrap_err();
    assert_eq!(twice.refusal().unwrap().code(), "already_claimed");
    let late = shop.coupons.claim(&id, &bob, key("c-1")).await.unwrap_err();
    assert_eq!(late.refusal().unwrap().code(), "exhausted");

    let with_coupon = |key: &str| purchase("ann", key).total(won(126_000)).coupon(coupon.id.clone());
    let order = shop.orders.place(&with_coupon("k-1")).await.unwrap().order;
    assert_eq!(order.amounts.discount, won(3_000));
    let used = shop.orders.place(&with_coupon("k-2")).await.unwrap_err();
    assert_eq!(used.refusal().unwrap().code(), "coupon_used");
    shop.orders.cancel(&order.id).await.unwrap();
    shop.orders.place(&with_coupon("k-3")).await.unwrap();
    let recorded = shop.orders.place(&with_coupon("k-2")).await.unwrap_err();
    assert_eq!(recorded.refusal().unwrap().code(), "coupon_used", "a refusal of the ledger is for ever");
}

#[tokio::test]
async fn malformed_purchases_are_refused_and_change_nothing() {
    let shop = FlashSale::in_memory(Scripted::approves());
    shop.stock.open(&drop_1(10, 5)).await.unwrap();
    let twice = purchase("ann", "k-1").line("sneaker-42", 1).unwrap();
    assert_eq!(shop.orders.place(&twice).await.unwrap_err().refusal().unwrap().code(), "lines");
    let none = Purchase { lines: vec![], ..purchase("ann", "k-1") };
    assert_eq!(shop.orders.place(&none).await.unwrap_err().refusal().unwrap().code(), "lines");
    let foreign = purchase("ann", "k-1").line("boot-1", 1).unwrap();
    assert_eq!(shop.orders.place(&foreign).await.unwrap_err().refusal().unwrap().code(), "unknown_item");
    let elsewhere = Purchase { sale: SaleId::new("drop-2").unwrap(), ..purchase("ann", "k-1") };
    assert_eq!(shop.orders.place(&elsewhere).await.unwrap_err().refusal().unwrap().code(), "unknown_sale");
    assert!(purchase("ann", "k-1").line("sneaker-42", 0).is_err());
    assert!(purchase("ann", "k-1").line("sneaker-42", u64::MAX).is_err());
    let totals = shop.stock.totals(&SaleId::new("drop-1").unwrap()).await.unwrap().unwrap();
    assert_eq!((totals.items[0].allocated, totals.version.v), (0, 1));
    let drained = shop.stock.drain(Duration::from_secs(5)).await;
    assert_eq!(drained, flashsale_core::engine::Drained::Idle);
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a test is its own embedder")]
async fn concurrent_buyers_get_exactly_the_stock() {
    let shop = FlashSale::in_memory(Scripted::approves());
    shop.stock.open(&drop_1(100, 1)).await.unwrap();
    let buyers = (0..1_000).map(|n| {
        let shop = shop.clone();
        tokio::spawn(async move { shop.orders.place(&purchase(&format!("buyer-{n}"), "k-1")).await.is_ok() })
    });
    let mut won = 0;
    for buyer in buyers.collect::<Vec<_>>() {
        won += u32::from(buyer.await.unwrap());
    }
    assert_eq!(won, 100);
}
