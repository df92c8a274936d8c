//! The terms of a room: written down once, changed while people wait.

use std::time::Duration;

use flashsale_core::RoomId;
use flashsale_core::error::ErrorKind;
use flashsale_core::queue::{Door, Enter, Mode, Pace, RoomChange, RoomStore, Terms};

use super::{Rooms, opened, wide};
use crate::sample::buyer;

/// A room that was never opened is unknown.
pub async fn a_room_that_was_never_opened_is_unknown(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    let other = RoomId::new("other").expect("a room's name");
    let (store, ann) = (&room.store, [buyer("ann")]);
    let enter = [Enter { member: buyer("ann"), ticket: None }];
    assert_eq!(store.enter(&other, &enter).await.expect("enter"), None);
    assert_eq!(store.place(&other, &ann).await.expect("place"), None);
    assert_eq!(store.admit(&other, 9).await.expect("admit"), None);
    assert_eq!(store.extend(&other, &ann).await.expect("extend"), None);
    assert_eq!(store.finish(&other, &ann).await.expect("finish"), None);
    assert_eq!(store.leave(&other, &ann).await.expect("leave"), None);
    assert_eq!(store.expire(&other, 9).await.expect("expire"), None);
    assert_eq!(store.levels(&other).await.expect("levels"), None);
    assert_eq!(store.change(&other, &RoomChange::default()).await.expect("change"), None);
    store.forget(&other).await.expect("forget");
}

/// Opening again changes nothing.
pub async fn opening_again_changes_nothing(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    let first = room.levels().await;
    assert_eq!((first.edition, first.door), (1, Door::Closed));
    assert_eq!(first.generation.0, u64::try_from(first.now.ms()).expect("a time"));
    room.join("ann").await;
    fixture.advance(Duration::from_secs(1)).await;
    let other = Terms { capacity: 7, ..wide() };
    let again = room.store.open(&room.room, &other).await.expect("open");
    assert_eq!((again.generation, again.waiting, &*again.terms), (first.generation, 1, &wide()));
}

/// Terms out of bounds are refused.
pub async fn terms_out_of_bounds_are_refused(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    let other = RoomId::new("other").expect("a room's name");
    let bad = Terms { capacity: 0, ..wide() };
    let error = room.store.open(&other, &bad).await.expect_err("no capacity");
    assert_eq!(error.kind(), ErrorKind::Data);
    assert_eq!(room.store.levels(&other).await.expect("levels"), None);
    let bad = RoomChange { pace: Some(Pace { admits: 0, per: Duration::from_secs(1) }), ..RoomChange::default() };
    let error = room.store.change(&room.room, &bad).await.expect_err("no pace");
    assert_eq!(error.kind(), ErrorKind::Data);
    assert_eq!(*room.levels().await.terms, wide());
}

/// A change is made and told.
pub async fn a_change_is_made_and_told(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    let pace = Pace { admits: 3, per: Duration::from_secs(60) };
    let message = Some("잠시만요: we are back at 14:00".to_owned());
    let change = RoomChange { mode: None, pace: Some(pace), capacity: Some(9), message: Some(message.clone()) };
    let told = room.change(change).await;
    assert_eq!((told.terms.pace, told.terms.capacity, &told.terms.message), (pace, 9, &message));
    assert_eq!((told.terms.turn, told.edition), (wide().turn, 2));
    assert_eq!(room.levels().await.terms, told.terms);
    let quiet = room.change(RoomChange { message: Some(None), ..RoomChange::default() }).await;
    assert_eq!((&quiet.terms.message, quiet.edition), (&None, 3));
}

/// A change of nothing is none.
pub async fn a_change_of_nothing_is_none(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    let same = RoomChange { mode: Some(Mode::Auto), capacity: Some(wide().capacity), ..RoomChange::default() };
    assert_eq!(room.change(same).await.edition, 1);
}

/// A smaller capacity runs out.
pub async fn a_smaller_capacity_runs_out(fixture: &impl Rooms) {
    let room = opened(fixture, &Terms { capacity: 3, ..wide() }).await;
    room.join("a b c d e").await;
    room.admit().await;
    room.change(RoomChange { capacity: Some(1), ..RoomChange::default() }).await;
    assert_eq!(room.levels().await.turns, 3, "a turn that was given is not taken away");
    room.finish("a").await;
    assert_eq!(room.admit().await.admitted, 0);
    room.finish("b").await;
    room.finish("c").await;
    assert_eq!(room.admit().await.admitted, 1);
}

/// Another pace begins without credit.
pub async fn another_pace_begins_without_credit(fixture: &impl Rooms) {
    let slow = Pace { admits: 4, per: Duration::from_secs(1) };
    let room = opened(fixture, &Terms { pace: slow, ..wide() }).await;
    room.join("a b c d e f g h i j k l").await;
    let fast = Pace { admits: 40, per: Duration::from_secs(1) };
    room.change(RoomChange { pace: Some(fast), ..RoomChange::default() }).await;
    assert_eq!(room.admit().await.admitted, 0);
    fixture.advance(Duration::from_millis(100)).await;
    assert_eq!(room.admit().await.admitted, 4);
    room.change(RoomChange { pace: Some(fast), ..RoomChange::default() }).await;
    fixture.advance(Duration::from_millis(25)).await;
    assert_eq!(room.admit().await.admitted, 1, "the same pace again is no other");
}

/// A forgotten room is unknown and its next life is newer.
pub async fn a_forgotten_room_is_unknown_and_its_next_life_is_newer(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    room.join("ann").await;
    let first = room.levels().await.generation;
    room.store.forget(&room.room).await.expect("forget");
    assert_eq!(room.store.levels(&room.room).await.expect("levels"), None);
    fixture.advance(Duration::from_millis(3)).await;
    let again = room.store.open(&room.room, &wide()).await.expect("open");
    assert!(again.generation > first);
    assert_eq!((again.waiting, again.issued, again.places), (0, 0, 0));
    assert_eq!(room.places("ann").await, [None]);
}
