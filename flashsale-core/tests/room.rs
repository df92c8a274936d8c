//! The waiting room as an embedder uses it: places, turns, signed values, the pass, and what is told.

use std::sync::Arc;
use std::time::Duration;

use flashsale_core::engine::{Entrance, TokioHost};
use flashsale_core::error::Error;
use flashsale_core::event::{Fact, Outbox};
use flashsale_core::memory::{MemoryLedger, MemoryRoomStore};
use flashsale_core::payment::Scripted;
use flashsale_core::queue::{
    Chance, Ended, Horizon, Keyring, Mode, Number, RoomChange, RoomStore, Standing, Terms, TokenRefusal, TurnRefusal,
    Wait,
};
use flashsale_core::{
    BuyerId, FlashSale, Item, Key, ManualClock, Purchase, RoomId, Rooms, Sale, Timestamp, WaitingRoom, won,
};

const START: Timestamp = Timestamp::from_ms(1_800_000_000_000);

fn id(name: &str) -> BuyerId {
    BuyerId::new(name).unwrap()
}

fn room_id() -> RoomId {
    RoomId::new("drop").unwrap()
}

/// Open from the first arrival on, for two at once.
fn terms() -> Terms {
    Terms { opens_above: 0, closes_below: 0, capacity: 2, ..Terms::default() }
}

struct World {
    clock: Arc<ManualClock>,
    store: MemoryRoomStore,
}

impl World {
    fn new() -> Self {
        let clock = ManualClock::starting(START);
        Self { store: MemoryRoomStore::new(clock.clone()), clock }
    }

    /// A server with the room.
    fn server(&self, keys: &Keyring) -> WaitingRoom {
        let host = TokioHost::with_clock(self.clock.clone());
        let room = WaitingRoom::named(room_id(), Arc::new(self.store.clone()));
        room.terms(terms()).keys(keys.clone()).on(host).build().unwrap()
    }

    async fn admit(&self) -> u32 {
        self.store.admit(&room_id(), 100).await.unwrap().unwrap().admitted
    }
}

fn keys() -> Keyring {
    Keyring::of_random([1, 2, 3, 4])
}

async fn joined(room: &WaitingRoom, who: &str) -> flashsale_core::engine::PlaceView {
    match room.enter(&id(who), None).await.unwrap() {
        Entrance::New(view) | Entrance::Same(view) => view,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_room_that_nobody_opened_is_opened_by_who_comes_first() {
    let world = World::new();
    let room = world.server(&keys());
    assert_eq!(joined(&room, "ann").await.place.number.no, 1);
    assert_eq!(room.levels().await.unwrap().waiting, 1);
}

#[tokio::test]
async fn two_servers_share_one_line() {
    let world = World::new();
    let (one, two) = (world.server(&keys()), world.server(&keys()));
    for (n, who) in ["a", "b", "c", "d"].into_iter().enumerate() {
        let room = if n % 2 == 0 { &one } else { &two };
        assert_eq!(joined(room, who).await.place.number.no, n as u64 + 1);
    }
    assert_eq!(joined(&two, "a").await.place.number.no, 1, "the same place on any server");
    assert_eq!(world.admit().await, 2);
    let admission = one.admission(&id("b")).await.unwrap();
    assert!(two.check(&admission.token, &id("b")).is_ok());
}

#[tokio::test]
async fn a_turn_gives_an_admission_and_finishing_it_uses_it() {
    let world = World::new();
    let room = world.server(&keys());
    for who in ["ann", "bob", "cid"] {
        joined(&room, who).await;
    }
    assert!(matches!(room.admission(&id("ann")).await, Err(Error::Refused(TurnRefusal::NotYet(_)))));
    assert!(matches!(room.admission(&id("eve")).await, Err(Error::Refused(TurnRefusal::NoPlace))));
    world.admit().await;
    let admission = room.admission(&id("ann")).await.unwrap();
    assert_eq!(room.admission(&id("ann")).await.unwrap().token, admission.token, "the same again");
    assert_eq!(room.check(&admission.token, &id("ann")).unwrap().number.no, 1);
    assert_eq!(room.check(&admission.token, &id("bob")), Err(TokenRefusal::Foreign));
    room.finish(&id("ann")).await.unwrap();
    assert_eq!(room.check(&admission.token, &id("ann")), Err(TokenRefusal::Used));
    assert!(matches!(room.admission(&id("ann")).await, Err(Error::Refused(TurnRefusal::Done(Ended::Finished)))));
    assert_eq!(world.admit().await, 1, "cid's turn, at once");
}

/// A server that did not see the turn end takes the admission until its end; one that asks the store does not.
#[tokio::test]
async fn a_replay_on_another_server_is_refused_by_one_that_asks_the_store() {
    let world = World::new();
    let (one, two) = (world.server(&keys()), world.server(&keys()));
    joined(&one, "ann").await;
    world.admit().await;
    let token = one.admission(&id("ann")).await.unwrap().token;
    assert!(two.confirm(&token, &id("ann")).await.is_ok());
    one.finish(&id("ann")).await.unwrap();
    assert!(two.check(&token, &id("ann")).is_ok(), "what is checked without asking");
    assert!(matches!(two.confirm(&token, &id("ann")).await, Err(Error::Refused(TokenRefusal::Used))));
    joined(&one, "ann").await;
    world.admit().await;
    let next = one.admission(&id("ann")).await.unwrap().token;
    assert!(one.check(&next, &id("ann")).is_ok(), "a new turn is a new admission");
    assert_eq!(one.check(&token, &id("ann")), Err(TokenRefusal::Used));
    assert!(matches!(two.confirm(&token, &id("ann")).await, Err(Error::Refused(TokenRefusal::Used))));
}

#[tokio::test]
async fn an_admission_ends_with_its_turn_and_an_extension_moves_it() {
    let world = World::new();
    let room = world.server(&keys());
    joined(&room, "ann").await;
    world.admit().await;
    let first = room.admission(&id("ann")).await.unwrap();
    assert_eq!((first.until, first.extensions_left), (START.after(terms().turn), 1));
    let longer = room.extend(&id("ann")).await.unwrap();
    assert_eq!((longer.until, longer.extensions_left), (START.after(terms().turn * 2), 0));
    assert!(matches!(room.extend(&id("ann")).await, Err(Error::Refused(TurnRefusal::NoneLeft))));
    world.clock.advance(terms().turn);
    assert_eq!(room.check(&first.token, &id("ann")), Err(TokenRefusal::Expired));
    assert!(room.check(&longer.token, &id("ann")).is_ok());
    world.clock.advance(terms().turn);
    assert_eq!(room.check(&longer.token, &id("ann")), Err(TokenRefusal::Expired));
    assert!(matches!(room.extend(&id("ann")).await, Err(Error::Refused(TurnRefusal::TurnPassed))));
}

#[tokio::test]
async fn a_ticket_brings_the_place_back_after_the_store_lost_everything() {
    let world = World::new();
    let room = world.server(&keys());
    let mut tickets = Vec::new();
    for who in ["a", "b", "c", "d"] {
        tickets.push((who, joined(&room, who).await.ticket));
    }
    world.store.forget_all();
    world.clock.advance(Duration::from_millis(10));
    let Entrance::New(late) = room.enter(&id("late"), None).await.unwrap() else { panic!("a place") };
    for (who, ticket) in tickets.iter().rev() {
        let forged = format!("{ticket}0");
        let Entrance::New(view) = room.enter(&id(who), Some(ticket)).await.unwrap() else { panic!("a place") };
        assert!(view.place.number < late.place.number);
        assert!(matches!(room.enter(&id("eve"), Some(&forged)).await.unwrap(), Entrance::New(_) | Entrance::Same(_)));
    }
    for (n, (who, _)) in tickets.iter().enumerate() {
        let place = room.place(&id(who)).await.unwrap().unwrap();
        assert_eq!(place.place.number.no, n as u64 + 1);
        assert_eq!(place.ahead(), n as u64);
    }
    let eve = room.place(&id("eve")).await.unwrap().unwrap().place.number;
    assert!(eve > late.place.number, "a forged ticket is as none: {eve}");
    // Somebody else's ticket is as none, too.
    let Entrance::New(thief) = room.enter(&id("thief"), Some(&tickets[0].1)).await.unwrap() else { panic!("a place") };
    assert!(thief.place.number > eve);
}

#[tokio::test]
async fn who_comes_through_a_closed_door_has_an_admission_for_as_long_as_a_turn() {
    let world = World::new();
    let host = TokioHost::with_clock(world.clock.clone());
    let room = WaitingRoom::named(room_id(), Arc::new(world.store.clone())).on(host).build().unwrap();
    let Entrance::Through(admission) = room.enter(&id("ann"), None).await.unwrap() else { panic!("through") };
    assert_eq!(room.check(&admission.token, &id("ann")).unwrap().number.no, 0);
    assert_eq!(room.check(&admission.token, &id("bob")), Err(TokenRefusal::Foreign));
    world.clock.advance(Terms::default().turn);
    assert_eq!(room.check(&admission.token, &id("ann")), Err(TokenRefusal::Expired));
}

#[tokio::test]
async fn a_wait_is_unknown_until_measured_and_while_held() {
    let world = World::new();
    let room = world.server(&keys());
    for n in 0..40 {
        joined(&room, &format!("m{n}")).await;
    }
    assert_eq!(joined(&room, "last").await.wait, Wait::Unknown);
    for n in 0..15 {
        assert_eq!(world.admit().await, 2);
        for k in [2 * n, 2 * n + 1] {
            room.finish(&id(&format!("m{k}"))).await.unwrap();
        }
        world.clock.advance(Duration::from_secs(1));
    }
    let view = joined(&room, "last").await;
    assert_eq!(view.ahead(), 10);
    let Wait::Measured { about, at_most } = view.wait else { panic!("measured") };
    // Two a second: eleven places take five and a half.
    assert!(about >= Duration::from_secs(5) && about <= Duration::from_secs(7), "{about:?}");
    assert!(at_most >= about);
    room.change(&RoomChange { mode: Some(Mode::Hold), ..RoomChange::default() }).await.unwrap();
    assert_eq!(joined(&room, "last").await.wait, Wait::Unknown);
}

#[tokio::test]
async fn a_chance_is_told_when_the_room_knows_what_it_stands_before() {
    let world = World::new();
    let room = world.server(&keys());
    assert_eq!(joined(&room, "a").await.chance, None);
    room.stands_before(Some(Horizon { left: 2, coming: 0, each: 1 }));
    for (who, chance) in [("a", Chance::Likely), ("b", Chance::Likely), ("c", Chance::Unlikely)] {
        assert_eq!(joined(&room, who).await.chance, Some(chance), "{who}");
    }
    room.stands_before(Some(Horizon { left: 0, coming: 0, each: 1 }));
    assert_eq!(room.place(&id("c")).await.unwrap().unwrap().chance, Some(Chance::NoneLeft));
}

#[tokio::test]
async fn a_change_out_of_bounds_is_refused() {
    let world = World::new();
    let room = world.server(&keys());
    let bad = RoomChange { capacity: Some(0), ..RoomChange::default() };
    assert!(matches!(room.change(&bad).await, Err(Error::Refused(refusal)) if refusal.code() == "room_terms"));
    assert_eq!(room.levels().await.unwrap().terms.capacity, 2);
}

/// The pass lets people through by itself, tells the ticks, and writes the events once, whoever runs it.
#[tokio::test]
async fn the_pass_admits_and_tells() {
    let clock = flashsale_core::SystemClock::shared();
    let (store, outbox) = (MemoryRoomStore::new(clock.clone()), MemoryLedger::new(clock, 1));
    let servers: Vec<Rooms> = (0..2)
        .map(|_| {
            let rooms = Rooms::new(TokioHost::shared(), Arc::new(store.clone()), keys());
            rooms.telling(Arc::new(outbox.clone()))
        })
        .collect();
    let terms = Terms { capacity: 3, ..terms() };
    let room = servers[0].open(&room_id(), &terms).await.unwrap();
    let other = servers[1].find(&room_id()).await.unwrap().expect("opened by the other server");
    for who in ["a", "b", "c", "d", "e"] {
        joined(&other, who).await;
    }
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let workers = servers[0].workers().and(servers[1].workers());
    let mut ticks = room.ticks();
    let watch = async {
        ticks.wait_for(|tick| tick.as_ref().is_some_and(|tick| tick.turns == 3)).await.unwrap();
        let held = RoomChange { mode: Some(Mode::Hold), ..RoomChange::default() };
        room.change(&held).await.unwrap();
        let told = ticks.wait_for(|tick| tick.as_ref().is_some_and(|tick| tick.mode == Mode::Hold)).await.unwrap();
        let tick = told.clone().unwrap();
        assert_eq!((tick.serving, tick.issued, tick.waiting), (3, 5, 2));
        drop(told);
        stop.send(()).unwrap();
    };
    tokio::join!(workers.run(async { stopped.await.unwrap() }), watch);
    let kinds: Vec<&str> = outbox.unsent(None, 99).await.unwrap().iter().map(|(_, event)| event.fact.kind()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "room.opened").count(), 1, "{kinds:?}");
    let opened = outbox.unsent(None, 99).await.unwrap().remove(0).1;
    assert_eq!(opened.fact, Fact::RoomOpened { why: "arrivals".to_owned() });
    assert_eq!(opened.subject, "drop");
    assert!(kinds.len() >= 2, "held is told: {kinds:?}");
}

/// A sale may have a room of its name: the pass of the whole shop lets people through, and tells them what is left.
#[tokio::test]
async fn a_shop_has_a_room_before_a_sale() {
    let shop = FlashSale::in_memory(Scripted::approves());
    let sale = Sale::named("drop")
        .unwrap()
        .item(Item::named("sneaker").unwrap().units(3).unwrap().per_buyer(3).unwrap().price(won(1_000)));
    shop.stock.open(&sale).await.unwrap();
    let room = shop.rooms.open(&RoomId::from(&sale.id), &terms()).await.unwrap();
    joined(&room, "ann").await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut ticks = room.ticks();
    let buy = async {
        ticks.wait_for(|tick| tick.as_ref().is_some_and(|tick| tick.turns == 1)).await.unwrap();
        let admission = room.admission(&id("ann")).await.unwrap();
        room.check(&admission.token, &id("ann")).unwrap();
        let purchase =
            Purchase::of(&sale.id, &id("ann"), Key::new("k1").unwrap()).line("sneaker", 3).unwrap().total(won(3_000));
        shop.orders.place(&purchase).await.unwrap();
        room.finish(&id("ann")).await.unwrap();
        ticks.wait_for(|tick| tick.as_ref().is_some_and(|tick| tick.left == Some(0))).await.unwrap();
        stop.send(()).unwrap();
    };
    tokio::join!(shop.workers().run(async { stopped.await.unwrap() }), buy);
    assert_eq!(joined(&room, "bob").await.chance, Some(Chance::NoneLeft));
    assert!(shop.reports().contains_key("admit"));
}

#[tokio::test]
async fn a_number_knows_its_generation() {
    let world = World::new();
    let room = world.server(&keys());
    let Number { generation, no } = joined(&room, "ann").await.place.number;
    assert_eq!((generation.0, no), (START.ms().unsigned_abs(), 1));
    assert!(matches!(room.place(&id("ann")).await.unwrap().unwrap().place.standing, Standing::Waiting { ahead: 0 }));
}
