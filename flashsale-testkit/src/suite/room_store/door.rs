//! When the room is open.

use std::time::Duration;

use flashsale_core::Timestamp;
use flashsale_core::queue::{Door, EnterRefusal, Entry, Mode, RoomChange, RoomStore, Schedule, Standing, Terms, Why};

use super::{Rooms, opened, placed, wide};

/// Opens above ten a second, closes below four.
fn busy() -> Terms {
    Terms { opens_above: 10, closes_below: 4, ..wide() }
}

fn through(entries: &[Entry]) -> usize {
    entries.iter().filter(|entry| **entry == Entry::Through).count()
}

/// Names of `count` people, whom no other call names.
fn people(from: u32, count: u32) -> String {
    (from..from + count).map(|n| format!("p{n} ")).collect()
}

/// Everybody is through while the room is closed.
pub async fn everybody_is_through_while_the_room_is_closed(fixture: &impl Rooms) {
    let room = opened(fixture, &busy()).await;
    assert_eq!(through(&room.enter(&people(0, 10)).await), 10);
    let levels = room.levels().await;
    assert_eq!((levels.door, levels.issued, levels.waiting, levels.places), (Door::Closed, 0, 0, 0));
}

/// More arrivals than allowed open the room within a batch.
pub async fn more_arrivals_than_allowed_open_the_room_within_a_batch(fixture: &impl Rooms) {
    let room = opened(fixture, &busy()).await;
    let entries = room.enter(&people(0, 15)).await;
    assert_eq!(through(&entries), 10, "the ten that are allowed");
    assert!(entries[..10].iter().all(|entry| *entry == Entry::Through));
    let numbers: Vec<u64> = entries[10..].iter().map(|entry| placed(entry).number.no).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    assert_eq!(room.levels().await.door, Door::Open(Why::Arrivals));
}

/// Arrivals of several batches count together.
pub async fn arrivals_of_several_batches_count_together(fixture: &impl Rooms) {
    let room = opened(fixture, &busy()).await;
    for n in 0..10 {
        assert_eq!(through(&room.enter(&people(n, 1)).await), 1);
    }
    assert_eq!(through(&room.enter("late").await), 0);
}

/// The window slides: four pairs of batches, of which one lies around the edge of any second.
pub async fn arrivals_on_both_sides_of_any_edge_count_together(fixture: &impl Rooms) {
    for n in 0..4 {
        let room = opened(fixture, &busy()).await;
        for _ in 0..n {
            fixture.advance(Duration::from_millis(300)).await;
        }
        assert_eq!(through(&room.enter(&people(0, 6)).await), 6);
        fixture.advance(Duration::from_millis(300)).await;
        assert_eq!(through(&room.enter(&people(6, 6)).await), 4, "pair {n}");
    }
}

/// Arrivals before the window do not count.
pub async fn arrivals_before_the_window_do_not_count(fixture: &impl Rooms) {
    let room = opened(fixture, &busy()).await;
    room.enter(&people(0, 6)).await;
    fixture.advance(Duration::from_millis(600)).await;
    room.enter(&people(6, 3)).await;
    fixture.advance(Duration::from_millis(500)).await;
    assert_eq!(through(&room.enter(&people(9, 7)).await), 7, "three and seven are ten");
}

/// A repeat is no arrival.
pub async fn a_repeat_is_no_arrival(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    room.join("ann bob").await;
    for _ in 0..5 {
        room.enter("ann").await;
    }
    let levels = room.levels().await;
    assert_eq!(levels.arrivals.sum(levels.now), 2);
}

/// Between the thresholds the room stays open.
pub async fn between_the_thresholds_the_room_stays_open(fixture: &impl Rooms) {
    let room = opened(fixture, &busy()).await;
    room.enter(&people(0, 11)).await;
    fixture.advance(Duration::from_millis(1_100)).await;
    room.join(&people(20, 4)).await;
    assert_eq!(room.admit().await.admitted, 5, "nobody waits now");
    room.admit().await;
    assert_eq!(room.levels().await.door, Door::Open(Why::Arrivals), "four within the window are not fewer than four");
}

/// It closes when few arrive and nobody waits.
pub async fn it_closes_when_few_arrive_and_nobody_waits(fixture: &impl Rooms) {
    let room = opened(fixture, &busy()).await;
    room.enter(&people(0, 13)).await;
    assert_eq!(room.admit().await.admitted, 3);
    fixture.advance(Duration::from_millis(1_100)).await;
    room.admit().await;
    assert_eq!(room.levels().await.door, Door::Closed);
    assert_eq!(through(&room.enter("late").await), 1);
}

/// It stays open while somebody waits.
pub async fn it_stays_open_while_somebody_waits(fixture: &impl Rooms) {
    let room = opened(fixture, &Terms { capacity: 1, ..busy() }).await;
    room.enter(&people(0, 12)).await;
    room.admit().await;
    fixture.advance(Duration::from_millis(1_100)).await;
    room.admit().await;
    assert_eq!(room.levels().await.door, Door::Open(Why::Arrivals));
    assert_eq!(room.join("late").await, [3]);
}

/// A held room gives places and admits nobody.
pub async fn a_held_room_gives_places_and_admits_nobody(fixture: &impl Rooms) {
    let room = opened(fixture, &busy()).await;
    let held = room.change(RoomChange { mode: Some(Mode::Hold), ..RoomChange::default() }).await;
    assert_eq!(held.door, Door::Open(Why::Operator));
    assert_eq!(room.join("ann bob").await, [1, 2]);
    let step = room.admit().await;
    assert_eq!((step.admitted, step.next), (0, None));
    room.change(RoomChange { mode: Some(Mode::Auto), ..RoomChange::default() }).await;
    assert_eq!(room.admit().await.admitted, 2);
}

/// A room that is off is out of the way.
pub async fn a_room_that_is_off_is_out_of_the_way(fixture: &impl Rooms) {
    let room = opened(fixture, &Terms { mode: Mode::Off, ..busy() }).await;
    assert_eq!(through(&room.enter(&people(0, 30)).await), 30);
    let levels = room.levels().await;
    assert_eq!((levels.door, levels.arrivals.sum(levels.now)), (Door::Closed, 0));
}

/// Places survive that the room was off.
pub async fn places_survive_that_the_room_was_off(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    room.join("ann bob").await;
    let off = room.change(RoomChange { mode: Some(Mode::Off), ..RoomChange::default() }).await;
    assert_eq!((off.door, off.waiting), (Door::Closed, 2));
    assert_eq!(through(&room.enter("ann cid").await), 2);
    assert_eq!(room.admit().await.admitted, 0);
    let auto = room.change(RoomChange { mode: Some(Mode::Auto), ..RoomChange::default() }).await;
    assert!(auto.door.is_open(), "somebody waits");
    assert_eq!(room.join("ann cid").await, [1, 3]);
}

/// Terms of a room with a beginning ten seconds from now, five of them for taking places, and an end a minute later.
fn planned(now: Timestamp) -> Terms {
    let opens_at = now.after(Duration::from_secs(10));
    let closes_at = opens_at.after(Duration::from_secs(60));
    Terms { schedule: Some(Schedule { opens_at, prejoin: Duration::from_secs(5), closes_at }), ..busy() }
}

/// Before its time the room gives no places.
pub async fn before_its_time_the_room_gives_no_places(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    let now = room.levels().await.now;
    room.store.forget(&room.room).await.expect("forget");
    room.store.open(&room.room, &planned(now)).await.expect("open");
    let Entry::Refused(EnterRefusal::TooEarly { places_from }) = room.enter("ann").await.remove(0) else {
        panic!("too early")
    };
    assert_eq!(places_from, now.after(Duration::from_secs(5)));
    fixture.advance(Duration::from_secs(5)).await;
    assert_eq!(room.join("ann").await, [1]);
}

/// Before the beginning places are given and nobody goes in.
pub async fn before_the_beginning_places_are_given_and_nobody_goes_in(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    let now = room.levels().await.now;
    room.store.forget(&room.room).await.expect("forget");
    room.store.open(&room.room, &planned(now)).await.expect("open");
    fixture.advance(Duration::from_secs(6)).await;
    assert_eq!(room.join("ann bob").await, [1, 2]);
    assert_eq!(room.levels().await.door, Door::Open(Why::Schedule));
    assert_eq!(room.admit().await.admitted, 0);
    fixture.advance(Duration::from_secs(4)).await;
    assert_eq!(room.admit().await.admitted, 2, "it has begun");
    assert_eq!(room.turns("ann bob").await, ["ann", "bob"]);
}

/// After the end nobody comes in.
pub async fn after_the_end_nobody_comes_in(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    let now = room.levels().await.now;
    room.store.forget(&room.room).await.expect("forget");
    room.store.open(&room.room, &planned(now)).await.expect("open");
    fixture.advance(Duration::from_secs(6)).await;
    room.join("ann").await;
    fixture.advance(Duration::from_secs(64)).await;
    assert_eq!(room.enter("ann bob").await, [Entry::Refused(EnterRefusal::Over), Entry::Refused(EnterRefusal::Over)]);
    assert_eq!(room.admit().await.admitted, 0);
    assert!(matches!(room.stands("ann").await, Standing::Waiting { .. }));
}

/// Every turn of the door is an edition.
pub async fn every_turn_of_the_door_is_an_edition(fixture: &impl Rooms) {
    let room = opened(fixture, &busy()).await;
    assert_eq!(room.levels().await.edition, 1);
    room.enter(&people(0, 12)).await;
    assert_eq!(room.levels().await.edition, 2);
    room.admit().await;
    fixture.advance(Duration::from_millis(1_100)).await;
    room.admit().await;
    assert_eq!(room.levels().await.edition, 3);
    room.admit().await;
    assert_eq!(room.levels().await.edition, 3);
}
