//! The waitlist: the rule of the next, as scripts; and offers end to end, with a gate and without.

use std::sync::Arc;
use std::time::Duration;

use flashsale_core::engine::TokioHost;
use flashsale_core::memory::{MemoryLedger, MemoryStockGate};
use flashsale_core::order::{OrderState, Reason};
use flashsale_core::payment::Scripted;
use flashsale_core::stock::{Change, ItemTotals, ReserveRefusal, StockLedger};
use flashsale_core::waitlist::{
    JoinRefusal, LeaveRefusal, Line, Parting, TakeRefusal, Waiter, WaitlistLedger, Wish, WishState, plan,
};
use flashsale_core::{
    BuyerId, Error, FlashSale, Item, ItemId, Key, ManualClock, OrderId, OrderRefusal, Purchase, Quantity, Sale, SaleId,
    Settings, Stock, Timestamp, VolatileLedger, Waitlist, won,
};

fn sale_id() -> SaleId {
    SaleId::new("drop").unwrap()
}

fn hat() -> ItemId {
    ItemId::new("hat").unwrap()
}

fn buyer(name: &str) -> BuyerId {
    BuyerId::new(name).unwrap()
}

fn units(n: u64) -> Quantity {
    Quantity::new(n).unwrap()
}

fn terms(total: u64) -> Sale {
    let item = Item::named("hat").unwrap().units(total).unwrap().per_buyer(3).unwrap().price(won(100));
    Sale::named("drop").unwrap().item(item)
}

fn purchase(name: &str, key: &str) -> Purchase {
    Purchase::of(&sale_id(), &buyer(name), Key::new(key).unwrap()).line("hat", 1).unwrap()
}

/// A line of members, what each wants and has, and since when units are gathered for the first.
fn line(free: u32, now_s: i64, of: &[(&str, u64, u32)], gathers_s: Option<i64>) -> Line {
    let at = |s: i64| Timestamp::from_ms(s * 1_000);
    let waiter = |(n, (name, wants, have)): (usize, &(&str, u64, u32))| Waiter {
        wish: Wish {
            offer: Wish::name(&sale_id(), &hat(), &buyer(name), 1),
            sale: sale_id(),
            item: hat(),
            number: n as u64 + 1,
            turn: 1,
            units: units(*wants),
            state: WishState::Waiting,
            why: None,
            joined_at: at(0),
            since: at(0),
            gathers: gathers_s.filter(|_| n == 0).map(at),
        },
        have: *have,
    };
    Line {
        now: at(now_s),
        item: ItemTotals {
            item: hat(),
            total: 10,
            allocated: 10 - free,
            price: won(1),
            limit: units(3),
            waiting: true,
        },
        waiters: of.iter().enumerate().map(waiter).collect(),
    }
}

const GATHER: Duration = Duration::from_secs(600);

/// Who is offered, who leaves, for whom is gathered: as text.
fn planned(line: &Line) -> String {
    let plan = plan(line, GATHER);
    let name = |offer: &OrderId| offer.buyer_str().to_owned();
    let offers: Vec<String> = plan.offers.iter().map(|wish| name(&wish.offer)).collect();
    let leaves: Vec<String> =
        plan.leaves.iter().map(|leave| format!("-{} {}", name(&leave.offer), leave.why.code())).collect();
    let gathers: Vec<String> = plan.gathers.iter().map(|offer| format!("gather {}", name(offer))).collect();
    [offers, leaves, gathers].concat().join(", ")
}

#[test]
fn units_are_offered_in_order_and_whole() {
    assert_eq!(planned(&line(3, 0, &[("ann", 1, 0), ("bob", 2, 0), ("cid", 1, 0)], None)), "ann, bob");
    assert_eq!(planned(&line(0, 0, &[("ann", 1, 0)], None)), "");
    assert_eq!(planned(&line(5, 0, &[], None)), "");
}

#[test]
fn units_are_gathered_for_the_first_for_a_bounded_time() {
    let all = [("ann", 3, 0), ("bob", 1, 0), ("cid", 1, 0)];
    assert_eq!(planned(&line(2, 100, &all, None)), "gather ann");
    // While they are gathered nobody behind is offered any.
    assert_eq!(planned(&line(2, 699, &all, Some(100))), "");
    // Then she is passed over, and keeps her place.
    assert_eq!(planned(&line(2, 700, &all, Some(100))), "bob, cid");
    assert_eq!(planned(&line(3, 900, &all, Some(100))), "ann");
    // Nothing is gathered of nothing.
    assert_eq!(planned(&line(0, 100, &all, None)), "");
}

#[test]
fn only_the_first_holds_others_up() {
    assert_eq!(planned(&line(2, 0, &[("ann", 1, 0), ("bob", 3, 0), ("cid", 1, 0)], None)), "ann, cid");
}

#[test]
fn who_has_what_he_may_have_leaves_the_line() {
    assert_eq!(planned(&line(2, 0, &[("ann", 2, 2), ("bob", 1, 0)], None)), "-ann buyer_limit");
    assert_eq!(planned(&line(2, 0, &[("ann", 1, 0), ("bob", 1, 3)], None)), "ann, -bob buyer_limit");
}

/// Runs the workers beside `work`, until `work` is done.
async fn beside<T>(workers: flashsale_core::Workers, work: impl Future<Output = T>) -> T {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let workers = workers.run(async move {
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

/// Looks until a member's wish is in a state.
async fn until(waitlist: &Waitlist, name: &str, state: WishState) -> Wish {
    loop {
        let place = waitlist.place(&sale_id(), &hat(), &buyer(name)).await.unwrap().expect("he wished");
        if place.wish.state == state {
            return place.wish;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_unit_that_comes_back_goes_to_the_next_and_never_to_the_public() {
    let shop = FlashSale::in_memory(Scripted::approves());
    shop.stock.open(&terms(1)).await.unwrap();
    let waitlist = shop.waitlist.clone();
    let still = waitlist.join(&sale_id(), &hat(), &buyer("ann"), units(1)).await;
    assert!(matches!(still, Err(Error::Refused(JoinRefusal::StillAvailable { .. }))), "{still:?}");
    let sold = shop.orders.place(&purchase("sam", "k")).await.unwrap().order;
    let ann = waitlist.join(&sale_id(), &hat(), &buyer("ann"), units(1)).await.unwrap().wish;
    waitlist.join(&sale_id(), &hat(), &buyer("bob"), units(1)).await.unwrap();
    let again = waitlist.join(&sale_id(), &hat(), &buyer("ann"), units(1)).await.unwrap();
    assert_eq!(again.wish, ann);
    beside(shop.workers(), async {
        shop.orders.cancel(&sold.id).await.unwrap();
        let refused = shop.orders.place(&purchase("zoe", "k")).await;
        let waits = |refusal: &OrderRefusal| matches!(refusal, OrderRefusal::Gate(ReserveRefusal::Waitlist { .. }));
        assert!(matches!(&refused, Err(Error::Refused(refusal)) if waits(refusal)), "{refused:?}");
        until(&waitlist, "ann", WishState::Offered).await;
        // Whoever tells members in a way of his own has told them when the fact is out.
        let mut offers = waitlist.offers(&buyer("ann")).await.unwrap().0;
        while offers[0].until.is_none() {
            tokio::task::yield_now().await;
            offers = waitlist.offers(&buyer("ann")).await.unwrap().0;
        }
        assert_eq!((offers.len(), &offers[0].order.id), (1, &ann.offer));
        let leaves = waitlist.leave(&sale_id(), &hat(), &buyer("ann")).await;
        assert!(matches!(leaves, Err(Error::Refused(LeaveRefusal::Offered(_)))), "{leaves:?}");
        // She does not want it: bob is next.
        waitlist.decline(&ann.offer).await.unwrap();
        assert!(matches!(waitlist.take(&ann.offer).await, Err(Error::Refused(TakeRefusal::Lapsed))));
        let bob = until(&waitlist, "bob", WishState::Offered).await;
        let order = waitlist.take(&bob.offer).await.unwrap();
        assert!(order.pay_by.is_some() && order.state == OrderState::Accepted, "{order:?}");
        assert!(matches!(waitlist.decline(&bob.offer).await, Err(Error::Refused(TakeRefusal::NotAnOffer))));
        loop {
            let (order, _) = shop.orders.load(&bob.offer).await.unwrap();
            if order.is_some_and(|order| order.state == OrderState::Confirmed) {
                break;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let totals = shop.stock.totals(&sale_id()).await.unwrap().unwrap();
    assert_eq!((totals.items[0].allocated, totals.items[0].waiting), (1, false));
}

/// A stock with a waitlist beside it, on a clock that moves when told.
async fn alone(gate: bool, total: u64) -> (Stock, Waitlist, MemoryLedger, Arc<ManualClock>) {
    let clock = ManualClock::starting(Timestamp::from_ms(1_000_000));
    let ledger = MemoryLedger::new(clock.clone(), 1);
    let gate = gate.then(|| Arc::new(MemoryStockGate::new(clock.clone())) as Arc<_>);
    let settings = Settings {
        volatile: VolatileLedger::Allowed,
        offer_every: Duration::from_millis(1),
        recover_every: Duration::from_millis(1),
        ..Settings::default()
    };
    let host = TokioHost::with_clock(clock.clone());
    let stock = Stock::with(host, gate, Arc::new(ledger.clone()), settings).unwrap();
    let waitlist = Waitlist::new(stock.clone(), Arc::new(ledger.clone()));
    stock.open(&terms(total)).await.unwrap();
    for n in 0..total {
        stock.take(&purchase(&format!("seller-{n}"), "k")).await.unwrap();
    }
    (stock, waitlist, ledger, clock)
}

fn sellers(range: std::ops::Range<u64>) -> Vec<OrderId> {
    range.map(|n| OrderId::new(&format!("seller-{n}~k")).unwrap()).collect()
}

async fn offers_lapse_to_the_next(gate: bool) {
    let (stock, waitlist, ledger, clock) = alone(gate, 1).await;
    for name in ["ann", "bob"] {
        waitlist.join(&sale_id(), &hat(), &buyer(name), units(1)).await.unwrap();
    }
    beside(stock.workers().and(waitlist.workers()), async {
        stock.give_back(&sale_id(), &sellers(0..1)).await.unwrap();
        let ann = until(&waitlist, "ann", WishState::Offered).await;
        assert!(stock.take(&purchase("zoe", "k")).await.is_err());
        // Her time begins when she is told, once.
        clock.advance(Duration::from_secs(1_000));
        let by = waitlist.offer_told(&ann.offer).await.unwrap().expect("an open offer");
        clock.advance(Duration::from_secs(1_000));
        assert_eq!(waitlist.offer_told(&ann.offer).await.unwrap(), Some(by));
        assert_eq!(until(&waitlist, "ann", WishState::Offered).await.offer, ann.offer);
        clock.advance(Duration::from_secs(1_000));
        until(&waitlist, "ann", WishState::Lapsed).await;
        let bob = until(&waitlist, "bob", WishState::Offered).await;
        assert_eq!(waitlist.offer_told(&ann.offer).await.unwrap(), None);
        let order = waitlist.take(&bob.offer).await.unwrap();
        // The shop sees to its payment itself: no deadline.
        assert_eq!((order.state, order.due_at), (OrderState::Accepted, None));
    })
    .await;
    assert_eq!(ledger.audit(), Vec::<String>::new());
}

#[tokio::test]
async fn offers_lapse_to_the_next_with_a_gate() {
    offers_lapse_to_the_next(true).await;
}

#[tokio::test]
async fn offers_lapse_to_the_next_without_a_gate() {
    offers_lapse_to_the_next(false).await;
}

#[tokio::test]
async fn ten_units_that_come_back_are_one_batch_of_offers() {
    for gate in [true, false] {
        let (stock, waitlist, ledger, _) = alone(gate, 10).await;
        for n in 0..12 {
            waitlist.join(&sale_id(), &hat(), &buyer(&format!("m{n}")), units(1)).await.unwrap();
        }
        stock.give_back(&sale_id(), &sellers(0..10)).await.unwrap();
        let before = stock.totals(&sale_id()).await.unwrap().unwrap().version.v;
        beside(waitlist.workers(), until(&waitlist, "m9", WishState::Offered)).await;
        let totals = stock.totals(&sale_id()).await.unwrap().unwrap();
        assert_eq!((totals.version.v, totals.items[0].allocated), (before + 1, 10), "with a gate: {gate}");
        assert_eq!(waitlist.place(&sale_id(), &hat(), &buyer("m11")).await.unwrap().unwrap().ahead, 1);
        assert_eq!(ledger.audit(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_restock_is_offered_before_it_is_sold_and_what_is_left_over_is_for_everybody() {
    let (stock, waitlist, ledger, _) = alone(true, 1).await;
    waitlist.join(&sale_id(), &hat(), &buyer("ann"), units(2)).await.unwrap();
    let restock = Change::Adjust { item: hat(), by: 3 };
    stock.change(&sale_id(), &Key::new("restock").unwrap(), &restock).await.unwrap();
    assert!(stock.take(&purchase("zoe", "k")).await.is_err());
    beside(stock.workers().and(waitlist.workers()), until(&waitlist, "ann", WishState::Offered)).await;
    stock.take(&purchase("zoe", "l")).await.unwrap();
    assert!(stock.take(&purchase("zoe", "m")).await.is_err());
    assert_eq!(ledger.audit(), Vec::<String>::new());
}

#[tokio::test]
async fn an_operators_fence_on_a_wish_does_not_block_the_line() {
    let (stock, waitlist, ledger, _) = alone(true, 1).await;
    let ann = waitlist.join(&sale_id(), &hat(), &buyer("ann"), units(1)).await.unwrap().wish;
    waitlist.join(&sale_id(), &hat(), &buyer("bob"), units(1)).await.unwrap();
    stock.give_back(&sale_id(), &[ann.offer]).await.unwrap();
    stock.give_back(&sale_id(), &sellers(0..1)).await.unwrap();
    beside(stock.workers().and(waitlist.workers()), async {
        assert_eq!(until(&waitlist, "ann", WishState::Left).await.why, Some(Parting::KeyReused));
        until(&waitlist, "bob", WishState::Offered).await;
    })
    .await;
    assert_eq!(ledger.audit(), Vec::<String>::new());
}

#[tokio::test]
async fn the_lines_of_a_sale_that_is_over_end() {
    let (stock, waitlist, ledger, _) = alone(true, 1).await;
    let ann = waitlist.join(&sale_id(), &hat(), &buyer("ann"), units(1)).await.unwrap().wish;
    let close = Change::State(flashsale_core::sale::SaleState::Closed);
    stock.change(&sale_id(), &Key::new("close").unwrap(), &close).await.unwrap();
    let left = beside(waitlist.workers(), until(&waitlist, "ann", WishState::Left)).await;
    assert_eq!((left.why, left.offer), (Some(Parting::Closed), ann.offer));
    let sought = ledger.sought(9).await.unwrap().0;
    assert!(sought.is_empty() && ledger.audit().is_empty());
    assert_eq!(ledger.totals(&sale_id()).await.unwrap().unwrap().items[0].allocated, 1);
}

#[tokio::test]
async fn an_offer_of_which_nobody_is_told_is_reported_and_can_be_undone() {
    let (stock, waitlist, ledger, clock) = alone(true, 1).await;
    waitlist.join(&sale_id(), &hat(), &buyer("ann"), units(1)).await.unwrap();
    stock.give_back(&sale_id(), &sellers(0..1)).await.unwrap();
    beside(stock.workers().and(waitlist.workers()), async {
        let ann = until(&waitlist, "ann", WishState::Offered).await;
        clock.advance(Duration::from_secs(3_600));
        loop {
            let stuck = flashsale_core::order::OrderLedger::stuck(&ledger, 9).await.unwrap();
            if let [order] = stuck.as_slice() {
                assert_eq!((&order.id, order.stuck.as_deref()), (&ann.offer, Some("untold")));
                break;
            }
            tokio::task::yield_now().await;
        }
        stock.give_back(&sale_id(), &[ann.offer]).await.unwrap();
        until(&waitlist, "ann", WishState::Declined).await;
    })
    .await;
    let orders = ledger.orders();
    assert!(orders.iter().any(|order| order.reason == Some(Reason::Operator) && order.stuck.is_none()));
    assert_eq!(ledger.audit(), Vec::<String>::new());
}
