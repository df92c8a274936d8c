//! The trace of a request goes with everything that it causes, through the outbox, the bus and the consumers; in memory.

use std::sync::{Arc, Mutex};

use flashsale_core::order::OrderState;
use flashsale_core::payment::Scripted;
use flashsale_core::{
    BuyerId, Campaign, Event, FlashSale, Item, Key, OrderId, Purchase, Sale, SaleId, TraceParent, won,
};

/// The id of an event, and its trace.
type Heard = (String, Option<TraceParent>);

fn trace(of: u8) -> TraceParent {
    format!("00-4bf92f3577b34da6a3ce929d0e0e47{of:02x}-00f067aa0ba902b7-01").parse().unwrap()
}

fn purchase(buyer: &str) -> Purchase {
    let (sale, buyer) = (SaleId::new("drop-1").unwrap(), BuyerId::new(buyer).unwrap());
    Purchase::of(&sale, &buyer, Key::new("k-1").unwrap()).line("sneaker", 1).unwrap()
}

async fn shop(payment: Scripted) -> FlashSale {
    let shop = FlashSale::in_memory(payment);
    let item = Item::named("sneaker").unwrap().units(9).unwrap().price(won(100)).per_buyer(1).unwrap();
    shop.stock.open(&Sale::named("drop-1").unwrap().item(item)).await.unwrap();
    shop
}

/// Runs the workers until these orders are in this state.
async fn until(shop: &FlashSale, ids: &[&OrderId], state: OrderState) {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let workers = shop.workers().run(async move {
        let _ = stopped.await;
    });
    let wait = async {
        for id in ids {
            while shop.orders.load(id).await.unwrap().0.expect("an order").state != state {
                tokio::task::yield_now().await;
            }
        }
        let _ = stop.send(());
    };
    tokio::join!(wait, workers);
}

/// Each fact of an order's history, and whether it has this trace.
async fn told(shop: &FlashSale, id: &OrderId, trace: Option<TraceParent>) -> Vec<(&'static str, bool)> {
    let history = shop.orders.history(id).await.unwrap();
    history.iter().map(|event| (event.fact.kind(), event.trace == trace)).collect()
}

#[tokio::test]
async fn all_facts_that_follow_from_a_request_carry_its_trace() {
    let shop = shop(Scripted::approves()).await;
    let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
    let hear = heard.clone();
    shop.events.on("mailer", move |event: Event| {
        hear.lock().unwrap().push((event.id(), event.trace));
        async { Ok::<(), String>(()) }
    });
    let (ann, bob, cid) = (purchase("ann").trace(trace(1)), purchase("bob").trace(trace(2)), purchase("cid"));
    for purchase in [&ann, &bob, &cid] {
        shop.orders.place(purchase).await.unwrap();
    }
    until(&shop, &[&ann.id(), &bob.id(), &cid.id()], OrderState::Confirmed).await;
    for (purchase, trace) in [(&ann, Some(trace(1))), (&bob, Some(trace(2))), (&cid, None)] {
        let mut told = told(&shop, &purchase.id(), trace).await;
        told.sort_unstable();
        let all = ["order.accepted", "order.confirmed", "order.payment_requested", "payment.approved"];
        assert_eq!(told, all.map(|kind| (kind, true)), "{}", purchase.buyer);
        let heard = heard.lock().unwrap();
        let of = heard.iter().filter(|(id, _)| id.starts_with(&format!("{}/", purchase.id())));
        assert!(of.clone().count() > 0 && of.clone().all(|(_, heard)| *heard == trace), "{heard:?}");
    }
}

#[tokio::test]
async fn what_a_later_request_does_to_an_order_carries_its_own_trace() {
    let shop = shop(Scripted::approves()).await;
    let (ann, bob) = (purchase("ann").trace(trace(1)), purchase("bob").trace(trace(1)));
    shop.orders.place(&ann).await.unwrap();
    shop.orders.traced(trace(2)).cancel(&ann.id()).await.unwrap();
    let history = shop.orders.history(&ann.id()).await.unwrap();
    assert_eq!(history.iter().map(|event| event.trace).collect::<Vec<_>>(), [Some(trace(1)), Some(trace(2))]);
    shop.orders.place(&bob).await.unwrap();
    until(&shop, &[&bob.id()], OrderState::Confirmed).await;
    shop.orders.traced(trace(3)).take_back(&bob.id()).await.unwrap();
    let back = shop.orders.history(&bob.id()).await.unwrap().pop().expect("a fact");
    assert_eq!((back.fact.kind(), back.trace), ("order.return_requested", Some(trace(3))));
}

#[tokio::test]
async fn a_claim_carries_its_trace() {
    let shop = shop(Scripted::approves()).await;
    let campaign = Campaign::named("plant").unwrap().first(4).unwrap().takes_off(won(300)).from(won(900));
    shop.coupons.open(std::slice::from_ref(&campaign)).await.unwrap();
    let ann = BuyerId::new("ann").unwrap();
    let claimed = shop.coupons.traced(trace(1)).claim(&campaign.id, &ann, Key::new("c-1").unwrap()).await.unwrap();
    let facts = shop.orders.history(&claimed.coupon.id.as_str().parse::<OrderId>().unwrap()).await.unwrap();
    assert_eq!(facts.iter().map(|event| event.trace).collect::<Vec<_>>(), [Some(trace(1))]);
}

#[test]
fn a_trace_is_no_part_of_what_is_asked_for() {
    assert_eq!(purchase("ann").hash(), purchase("ann").trace(trace(1)).hash());
}
