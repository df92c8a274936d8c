//! What a ticket brings back after the store lost a place (hole 36 of the protocol). Most rules play the loss by hand: they show a
//! number of which the store does not know.

use std::time::Duration;

use flashsale_core::queue::{Door, Entry, Generation, RoomStore, Standing, Terms, Why};

use super::{Rooms, opened, placed, wide};

/// The ticket of a known member is not looked at.
pub async fn the_ticket_of_a_known_member_is_not_looked_at(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    let generation = room.levels().await.generation;
    room.join("ann bob").await;
    for no in [1, 77] {
        let again = room.enter_with("bob", generation, no).await;
        assert_eq!(placed(&again).number.no, 2);
    }
    room.leave("ann").await;
    assert_eq!(placed(&room.enter_with("ann", generation, 1).await).number.no, 3, "her place has ended");
    assert_eq!(room.levels().await.issued, 3);
}

/// A ticket above the counter makes it jump.
pub async fn a_ticket_above_the_counter_makes_it_jump(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    let generation = room.levels().await.generation;
    room.join("ann").await;
    let back = room.enter_with("zoe", generation, 40).await;
    assert!(matches!(back, Entry::New(_)));
    assert_eq!(placed(&back).number.no, 40);
    assert_eq!(room.join("bob").await, [41], "no number is given a second time");
    room.let_in(2).await;
    assert_eq!(room.turns("ann zoe bob").await, ["ann", "zoe"]);
    assert_eq!(room.levels().await.serving, 40);
}

/// A lost place goes before later numbers.
pub async fn a_lost_place_goes_before_later_numbers(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    let generation = room.levels().await.generation;
    room.join("a b c").await;
    room.enter_with("zoe", generation, 40).await;
    room.join("late").await;
    let yan = room.enter_with("yan", generation, 20).await;
    assert_eq!(
        placed(&yan).standing,
        Standing::Waiting { ahead: 19 },
        "at most: of the numbers before his most are lost"
    );
    room.let_in(4).await;
    assert_eq!(room.turns("a b c yan zoe late").await, ["a", "b", "c", "yan"]);
    room.let_in(1).await;
    assert_eq!(room.turns("zoe late").await, ["zoe"]);
}

/// Of two with one number the earlier goes first.
pub async fn of_two_with_one_number_the_earlier_goes_first(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    let generation = room.levels().await.generation;
    room.join("a b c").await;
    // Number 2 was given before the loss, and to b after it.
    let zoe = room.enter_with("zoe", generation, 2).await;
    assert_eq!(placed(&zoe).number.no, 2);
    room.let_in(2).await;
    assert_eq!(room.turns("a b c zoe").await, ["a", "zoe"]);
    room.let_in(1).await;
    assert_eq!(room.turns("b c").await, ["b"]);
}

/// Older generations go first in their order.
pub async fn older_generations_go_first_in_their_order(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    let Generation(now) = room.levels().await.generation;
    room.join("new").await;
    room.enter_with("late", Generation(now - 1), 900).await;
    room.enter_with("early", Generation(now - 1), 7).await;
    room.enter_with("oldest", Generation(now - 9), 1_000).await;
    assert_eq!([room.ahead("oldest").await, room.ahead("early").await, room.ahead("late").await], [0, 1, 2]);
    assert_eq!(room.ahead("new").await, 3);
    for who in ["oldest", "early", "late", "new"] {
        room.let_in(1).await;
        room.turn(who).await;
    }
    assert_eq!(room.levels().await.issued, 1, "no number was given for them");
}

/// A newer generation is at the end.
pub async fn a_newer_generation_is_at_the_end(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    let Generation(now) = room.levels().await.generation;
    room.join("ann").await;
    let zoe = room.enter_with("zoe", Generation(now + 5), 7).await;
    assert_eq!((placed(&zoe).number.generation, placed(&zoe).number.no), (Generation(now), 2));
}

/// A ticket of a lost line opens the room.
pub async fn a_ticket_of_a_lost_line_opens_the_room(fixture: &impl Rooms) {
    for back in [0_u64, 1] {
        let room = opened(fixture, &Terms { opens_above: 100, closes_below: 10, ..wide() }).await;
        let Generation(now) = room.levels().await.generation;
        assert_eq!(room.enter("ann").await, [Entry::Through]);
        let zoe = room.enter_with("zoe", Generation(now - back), 30).await;
        assert_eq!(placed(&zoe).number.no, 30);
        assert_eq!(room.levels().await.door, Door::Open(Why::Arrivals));
    }
}

/// A ticket of this line opens nothing.
pub async fn a_ticket_of_this_line_opens_nothing(fixture: &impl Rooms) {
    let room = opened(fixture, &Terms { opens_above: 2, closes_below: 2, ..wide() }).await;
    let generation = room.levels().await.generation;
    room.enter("x y ann").await;
    room.admit().await;
    room.finish("ann").await;
    fixture.advance(Duration::from_secs(2)).await;
    room.admit().await;
    assert_eq!(room.levels().await.door, Door::Closed);
    assert_eq!(room.enter_with("ann", generation, 1).await, Entry::Through);
}

/// After a restart tickets bring the order back.
pub async fn after_a_restart_tickets_bring_the_order_back(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    let generation = room.levels().await.generation;
    room.join("ann bob cid").await;
    fixture.advance(Duration::from_millis(5)).await;
    let Some(store) = fixture.restart(room.store).await else {
        println!("this backend has nothing to restart: not run");
        return;
    };
    let room = super::Room { store, room: room.room };
    if room.store.levels(&room.room).await.expect("levels").is_some() {
        println!("this backend forgets nothing at a restart: not run");
        return;
    }
    room.store.open(&room.room, &wide()).await.expect("open");
    assert!(room.levels().await.generation > generation);
    room.join("new").await;
    for (who, no) in [("cid", 3), ("ann", 1), ("bob", 2)] {
        assert_eq!(placed(&room.enter_with(who, generation, no).await).number.no, no);
    }
    for who in ["ann", "bob", "cid", "new"] {
        room.let_in(1).await;
        room.turn(who).await;
    }
}
