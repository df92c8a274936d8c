//! How a turn ends, and what is remembered of a place.

use std::time::Duration;

use flashsale_core::queue::{Ended, RoomStore, Standing, Terms};

use super::{Rooms, opened, wide};

const TURN: Duration = Duration::from_secs(60);
const PASSED: Standing = Standing::Ended(Ended::Passed);

/// A turn ends at its time.
pub async fn a_turn_ends_at_its_time(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    room.join("ann").await;
    let given = room.admit().await.levels.now;
    let turn = room.turn("ann").await;
    assert_eq!((turn.until, turn.extensions_left), (given.after(TURN), 1));
    fixture.advance(TURN - Duration::from_millis(1)).await;
    room.turn("ann").await;
    fixture.advance(Duration::from_millis(1)).await;
    assert_eq!(room.stands("ann").await, PASSED, "told before it is cleared away");
    room.expire().await;
    assert_eq!(room.stands("ann").await, PASSED);
}

/// A turn that went by frees its capacity when cleared away.
pub async fn a_turn_that_went_by_frees_its_capacity_when_cleared_away(fixture: &impl Rooms) {
    let room = opened(fixture, &Terms { capacity: 2, ..wide() }).await;
    room.join("ann bob cid dan").await;
    room.admit().await;
    fixture.advance(TURN).await;
    assert_eq!(room.admit().await.admitted, 0);
    let expired = room.expire().await;
    assert_eq!((expired.lapsed, expired.levels.turns), (2, 0));
    assert_eq!(room.admit().await.admitted, 2);
    assert_eq!(room.turns("ann bob cid dan").await, ["cid", "dan"]);
    assert_eq!(room.expire().await.lapsed, 0);
}

/// Turns are cleared away in order of their end.
pub async fn turns_are_cleared_away_in_order_of_their_end(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    room.join("ann").await;
    room.admit().await;
    fixture.advance(Duration::from_secs(1)).await;
    room.join("bob cid").await;
    room.let_in(1).await;
    room.extend("ann").await;
    fixture.advance(Duration::from_secs(1)).await;
    room.admit().await;
    fixture.advance(2 * TURN).await;
    let one = |most| room.store.expire(&room.room, most);
    assert_eq!(one(1).await.expect("expire").expect("open").lapsed, 1);
    // Bob may come again: he is the one that was cleared away, and ended.
    assert_eq!(room.levels().await.turns, 2);
    assert_eq!(one(5).await.expect("expire").expect("open").lapsed, 2);
}

/// An extension moves the end as often as allowed.
pub async fn an_extension_moves_the_end_as_often_as_allowed(fixture: &impl Rooms) {
    let room = opened(fixture, &Terms { extensions: 2, ..wide() }).await;
    room.join("ann bob").await;
    room.admit().await;
    let first = room.turn("ann").await.until;
    fixture.advance(Duration::from_secs(10)).await;
    for n in 1..=2_u8 {
        let Standing::Turn(turn) = room.extend("ann").await else { panic!("a turn") };
        assert_eq!((turn.until, turn.extensions_left), (first.after(TURN * u32::from(n)), 2 - n));
    }
    let Standing::Turn(turn) = room.extend("ann").await else { panic!("a turn") };
    assert_eq!((turn.until, turn.extensions_left), (first.after(TURN * 2), 0), "not a third time");
    fixture.advance(TURN).await;
    assert_eq!(room.expire().await.lapsed, 1, "bob's");
    assert_eq!(room.turns("ann bob").await, ["ann"]);
    fixture.advance(TURN * 2).await;
    assert_eq!(room.expire().await.lapsed, 1);
}

/// A turn that went by is not made longer.
pub async fn a_turn_that_went_by_is_not_made_longer(fixture: &impl Rooms) {
    let room = opened(fixture, &Terms { capacity: 1, ..wide() }).await;
    room.join("ann bob").await;
    room.admit().await;
    assert!(matches!(room.extend("bob").await, Standing::Waiting { .. }));
    fixture.advance(TURN).await;
    assert_eq!(room.extend("ann").await, PASSED);
    room.expire().await;
    assert_eq!(room.extend("ann").await, PASSED);
    assert_eq!(room.levels().await.turns, 0);
}

/// Finishing frees the capacity at once.
pub async fn finishing_frees_the_capacity_at_once(fixture: &impl Rooms) {
    let room = opened(fixture, &Terms { capacity: 1, ..wide() }).await;
    room.join("ann bob").await;
    room.admit().await;
    assert_eq!(room.finish("ann").await, Standing::Ended(Ended::Finished));
    assert_eq!(room.levels().await.turns, 0);
    assert_eq!(room.admit().await.admitted, 1);
    assert_eq!(room.stands("ann").await, Standing::Ended(Ended::Finished));
}

/// A second finish frees nothing.
pub async fn a_second_finish_frees_nothing(fixture: &impl Rooms) {
    let room = opened(fixture, &Terms { capacity: 2, ..wide() }).await;
    room.join("ann bob cid").await;
    room.admit().await;
    for _ in 0..3 {
        assert_eq!(room.finish("ann").await, Standing::Ended(Ended::Finished));
    }
    assert_eq!(room.levels().await.turns, 1);
    assert_eq!(room.admit().await.admitted, 1);
}

/// Who waits cannot finish.
pub async fn who_waits_cannot_finish(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    room.join("ann").await;
    assert_eq!(room.finish("ann").await, Standing::Waiting { ahead: 0 });
    assert_eq!(room.levels().await.waiting, 1);
    let stranger = room.store.finish(&room.room, &[crate::sample::buyer("eve")]).await.expect("finish").expect("open");
    assert_eq!(stranger.places, [None]);
}

/// Who leaves gives his turn back.
pub async fn who_leaves_gives_his_turn_back(fixture: &impl Rooms) {
    let room = opened(fixture, &Terms { capacity: 1, ..wide() }).await;
    room.join("ann bob").await;
    room.admit().await;
    assert_eq!(room.leave("ann").await, Standing::Ended(Ended::Left));
    assert_eq!(room.levels().await.turns, 0);
    assert_eq!(room.admit().await.admitted, 1);
    assert_eq!(room.turns("ann bob").await, ["bob"]);
}

/// Leaving twice is leaving once.
pub async fn leaving_twice_is_leaving_once(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    room.join("ann bob").await;
    room.leave("ann").await;
    assert_eq!(room.leave("ann").await, Standing::Ended(Ended::Left));
    assert_eq!(room.levels().await.waiting, 1);
    room.admit().await;
    room.finish("bob").await;
    assert_eq!(room.leave("bob").await, Standing::Ended(Ended::Finished), "he did what he came for");
}

/// An ended place is forgotten in time.
pub async fn an_ended_place_is_forgotten_in_time(fixture: &impl Rooms) {
    let room = opened(fixture, &Terms { remembers: Duration::from_secs(100), ..wide() }).await;
    room.join("ann bob").await;
    room.leave("ann").await;
    fixture.advance(Duration::from_secs(99)).await;
    assert_eq!(room.expire().await.forgotten, 0);
    fixture.advance(Duration::from_secs(1)).await;
    let expired = room.expire().await;
    assert_eq!((expired.forgotten, expired.levels.places), (1, 1));
    assert_eq!(room.places("ann").await, [None]);
    assert_eq!(room.join("ann").await, [3]);
}

/// A place that goes on is never forgotten.
pub async fn a_place_that_goes_on_is_never_forgotten(fixture: &impl Rooms) {
    let terms = Terms { remembers: Duration::from_secs(100), absent_after: Duration::from_secs(10), ..wide() };
    let room = opened(fixture, &terms).await;
    room.join("ann bob").await;
    room.leave("bob").await;
    assert_eq!(room.join("bob").await, [3]);
    fixture.advance(Duration::from_secs(500)).await;
    room.admit().await;
    assert_eq!(room.levels().await.absent, 2);
    assert_eq!(room.expire().await.forgotten, 0);
    assert_eq!(room.join("bob").await, [3]);
}
