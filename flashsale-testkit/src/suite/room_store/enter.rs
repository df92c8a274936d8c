//! Who gets which place.

use std::time::Duration;

use flashsale_core::RoomId;
use flashsale_core::queue::{Ended, EnterRefusal, Entry, RoomStore, Standing, Terms};

use super::{Rooms, opened, placed, wide};
use crate::suite::together;

/// Places are numbered in order of arrival.
pub async fn places_are_numbered_in_order_of_arrival(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    assert_eq!(room.join("ann bob cid").await, [1, 2, 3]);
    assert_eq!(room.join("dan").await, [4]);
    let levels = room.levels().await;
    assert_eq!((levels.issued, levels.serving, levels.waiting, levels.places), (4, 0, 4, 4));
}

/// A repeated join keeps the place.
pub async fn a_repeated_join_keeps_the_place(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    room.join("ann bob cid").await;
    for _ in 0..3 {
        let again = room.enter("ann").await.remove(0);
        assert!(matches!(again, Entry::Same(_)), "{again:?}");
        assert_eq!(placed(&again).number.no, 1);
        assert_eq!(placed(&again).standing, Standing::Waiting { ahead: 0 });
    }
    let levels = room.levels().await;
    assert_eq!((levels.issued, levels.waiting), (3, 3));
}

/// A repeat in the same batch keeps the place.
pub async fn a_repeat_in_the_same_batch_keeps_the_place(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    let entries = room.enter("ann bob ann ann bob").await;
    let numbers: Vec<u64> = entries.iter().map(|entry| placed(entry).number.no).collect();
    assert_eq!(numbers, [1, 2, 1, 1, 2]);
    let new = entries.iter().filter(|entry| matches!(entry, Entry::New(_))).count();
    assert_eq!(new, 2);
}

/// Members are compared byte by byte.
pub async fn members_are_compared_byte_by_byte(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    assert_eq!(room.join("ann Ann ann. an").await, [1, 2, 3, 4]);
}

/// Rooms do not share numbers.
pub async fn rooms_do_not_share_numbers(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    let other = RoomId::new("other").expect("a room's name");
    room.store.open(&other, &wide()).await.expect("open");
    room.join("ann bob").await;
    let ann = flashsale_core::queue::Enter { member: crate::sample::buyer("ann"), ticket: None };
    let there = room.store.enter(&other, &[ann]).await.expect("enter").expect("open");
    assert_eq!(placed(&there.answers[0]).number.no, 1);
    assert_eq!(there.levels.waiting, 1);
    assert_eq!(room.levels().await.waiting, 2);
}

/// Ahead is how many go before.
pub async fn ahead_is_how_many_go_before(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    room.join("ann bob cid dan").await;
    assert_eq!(room.ahead("ann").await, 0);
    assert_eq!(room.ahead("dan").await, 3);
    room.let_in(2).await;
    assert_eq!(room.ahead("cid").await, 0);
    assert_eq!(room.ahead("dan").await, 1);
    let levels = room.levels().await;
    assert_eq!((levels.serving, levels.ahead_of(4)), (2, 1));
}

/// A full room gives no new place.
pub async fn a_full_room_gives_no_new_place(fixture: &impl Rooms) {
    let room = opened(fixture, &Terms { places_max: 2, ..wide() }).await;
    room.join("ann bob").await;
    assert_eq!(room.enter("cid").await, [Entry::Refused(EnterRefusal::Full)]);
    assert_eq!(room.join("ann").await, [1], "who has a place keeps it");
    assert_eq!(room.levels().await.issued, 2);
    room.leave("ann").await;
    assert_eq!(room.enter("cid").await, [Entry::Refused(EnterRefusal::Full)], "that she left is remembered");
    assert_eq!(room.join("ann").await, [3]);
    room.leave("ann").await;
    assert_eq!(room.join("ann").await, [4]);
    room.leave("ann").await;
    assert_eq!(room.enter("ann").await, [Entry::Refused(EnterRefusal::Full)], "the line is as long as it may be");
}

/// Who has a turn keeps it when he joins again.
pub async fn who_has_a_turn_keeps_it_when_he_joins_again(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    room.join("ann bob").await;
    room.let_in(1).await;
    let turn = room.turn("ann").await;
    let again = room.enter("ann").await.remove(0);
    assert!(matches!(again, Entry::Same(_)));
    assert_eq!(placed(&again).standing, Standing::Turn(turn));
    assert_eq!(room.levels().await.turns, 1);
}

/// Who is done begins at the end.
pub async fn who_is_done_begins_at_the_end(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    room.join("ann bob cid").await;
    room.let_in(1).await;
    assert_eq!(room.finish("ann").await, Standing::Ended(Ended::Finished));
    assert_eq!(room.leave("bob").await, Standing::Ended(Ended::Left));
    let entries = room.enter("ann bob").await;
    assert!(entries.iter().all(|entry| matches!(entry, Entry::New(_))));
    assert_eq!(entries.iter().map(|entry| placed(entry).number.no).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(room.levels().await.places, 3);
}

/// Whose turn went by begins at the end.
pub async fn whose_turn_went_by_begins_at_the_end(fixture: &impl Rooms) {
    let room = opened(fixture, &Terms { capacity: 1, ..wide() }).await;
    room.join("ann bob").await;
    room.admit().await;
    fixture.advance(Duration::from_secs(60)).await;
    // Not cleared away yet.
    assert_eq!(room.join("ann").await, [3]);
    let levels = room.levels().await;
    assert_eq!((levels.turns, levels.waiting), (0, 2), "its capacity is free");
    room.admit().await;
    assert_eq!(room.turns("ann bob").await, ["bob"]);
    assert_eq!(room.expire().await.lapsed, 0);
}

/// At once no number is given twice.
pub async fn at_once_no_number_is_given_twice(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    let names: Vec<String> = (0..40).map(|n| format!("m{} m{} shared", 2 * n, 2 * n + 1)).collect();
    let all = together(names.iter().map(|who| room.join(who))).await;
    let mut numbers: Vec<u64> = all.iter().flat_map(|three| three[..2].to_vec()).collect();
    numbers.push(all[0][2]);
    assert!(all.iter().all(|three| three[2] == all[0][2]), "one member, one place");
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=81).collect::<Vec<_>>());
}

/// An empty batch has no answers.
pub async fn an_empty_batch_has_no_answers(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    assert_eq!(room.batch(&[]).await, []);
    assert_eq!(room.places("").await, []);
}

/// A stranger has no place.
pub async fn a_stranger_has_no_place(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    room.join("ann").await;
    let places = room.places("bob ann Ann").await;
    assert_eq!((places[0], places[2]), (None, None));
    assert!(places[1].is_some());
    assert_eq!(room.levels().await.places, 1);
}

/// Asking changes no place.
pub async fn asking_changes_no_place(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    room.join("ann bob").await;
    let first = room.places("ann bob").await;
    for _ in 0..3 {
        assert_eq!(room.places("ann bob").await, first);
    }
}
