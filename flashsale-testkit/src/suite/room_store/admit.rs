//! Who gets a turn, and when. **G10**: never more than rate and capacity allow.

use std::time::Duration;

use flashsale_core::queue::{Pace, RoomChange, RoomStore, Standing, Terms};

use super::{Rooms, opened, wide};
use crate::suite::together;

const AWAY: Duration = Duration::from_secs(10);

/// Who is not seen for ten seconds is absent; turns last long enough not to matter.
fn with_absence() -> Terms {
    Terms { absent_after: AWAY, turn: Duration::from_secs(3_600), ..wide() }
}

/// Turns are given in order of arrival.
pub async fn turns_are_given_in_order_of_arrival(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    room.join("ann bob cid dan").await;
    room.let_in(1).await;
    assert_eq!(room.turns("ann bob cid dan").await, ["ann"]);
    room.let_in(2).await;
    assert_eq!(room.turns("ann bob cid dan").await, ["ann", "bob", "cid"]);
}

/// Never more turns than the capacity.
pub async fn never_more_turns_than_the_capacity(fixture: &impl Rooms) {
    let room = opened(fixture, &Terms { capacity: 3, ..wide() }).await;
    room.join("a b c d e f g").await;
    for _ in 0..3 {
        let step = room.admit().await;
        assert_eq!(step.levels.turns, 3);
        assert_eq!(step.next, None, "a turn has to end first");
    }
    room.finish("a").await;
    assert_eq!(room.admit().await.admitted, 1);
    assert_eq!(room.levels().await.turns, 3);
}

/// Passes at odd times, for six seconds: no second of the store's time has more than ten.
pub async fn never_more_in_any_second_than_the_rate(fixture: &impl Rooms) {
    let pace = Pace { admits: 10, per: Duration::from_secs(1) };
    let room = opened(fixture, &Terms { pace, ..wide() }).await;
    let who: Vec<String> = (0..100).map(|n| format!("m{n}")).collect();
    room.join(&who.join(" ")).await;
    let mut went: Vec<(i64, u32)> = Vec::new();
    for step in 0..60_u64 {
        let admitted = room.admit().await;
        went.push((admitted.levels.now.ms(), admitted.admitted));
        fixture.advance(Duration::from_millis([1, 7, 250, 40, 300, 3][(step % 6) as usize])).await;
    }
    for (from, _) in &went {
        let second: u32 = went.iter().filter(|(at, _)| (*from..from + 1_000).contains(at)).map(|(_, n)| n).sum();
        assert!(second <= 10, "{second} within a second");
    }
    assert!(went.iter().map(|(_, n)| n).sum::<u32>() >= 40, "{went:?}");
}

/// A pause saves no crowd.
pub async fn a_pause_saves_no_crowd(fixture: &impl Rooms) {
    let pace = Pace { admits: 20, per: Duration::from_secs(1) };
    let room = opened(fixture, &Terms { pace, ..wide() }).await;
    let who: Vec<String> = (0..50).map(|n| format!("m{n}")).collect();
    room.join(&who.join(" ")).await;
    fixture.advance(Duration::from_secs(30)).await;
    assert_eq!(room.admit().await.admitted, 6, "one, and what a quarter of a second saves");
    assert_eq!(room.admit().await.admitted, 0);
}

/// Passes that run in time reach the rate.
pub async fn passes_that_run_in_time_reach_the_rate(fixture: &impl Rooms) {
    let pace = Pace { admits: 600, per: Duration::from_secs(60) };
    let room = opened(fixture, &Terms { pace, ..wide() }).await;
    let who: Vec<String> = (0..60).map(|n| format!("m{n}")).collect();
    room.join(&who.join(" ")).await;
    let (begun, mut admitted) = (room.levels().await.now, 0);
    loop {
        let step = room.admit().await;
        admitted += step.admitted;
        if step.levels.now.since(begun) >= Duration::from_secs(4) {
            break;
        }
        fixture.advance(step.next.expect("somebody waits").max(Duration::from_millis(100))).await;
    }
    assert!((38..=44).contains(&admitted), "{admitted} in four seconds");
}

/// At once several passes stay within rate and capacity.
pub async fn at_once_several_passes_stay_within_rate_and_capacity(fixture: &impl Rooms) {
    let pace = Pace { admits: 40, per: Duration::from_secs(1) };
    let room = opened(fixture, &Terms { pace, capacity: 7, ..wide() }).await;
    let who: Vec<String> = (0..30).map(|n| format!("m{n}")).collect();
    room.join(&who.join(" ")).await;
    let steps = together((0..8).map(|_| room.admit())).await;
    assert_eq!(steps.iter().map(|step| step.admitted).sum::<u32>(), 7);
    let wide_open = room.change(RoomChange { capacity: Some(100), ..RoomChange::default() }).await;
    let steps = together((0..8).map(|_| room.admit())).await;
    let more: u32 = steps.iter().map(|step| step.admitted).sum();
    assert!(more <= 10, "{more}: the credit of a quarter of a second");
    assert_eq!(room.levels().await.turns, wide_open.turns + more);
}

/// Who left is passed and takes no turn.
pub async fn who_left_is_passed_and_takes_no_turn(fixture: &impl Rooms) {
    let room = opened(fixture, &Terms { capacity: 1, ..wide() }).await;
    room.join("ann bob cid").await;
    room.leave("ann").await;
    room.leave("bob").await;
    let step = room.admit().await;
    assert_eq!((step.admitted, step.skipped), (1, 0));
    assert_eq!(room.turns("cid").await, ["cid"]);
    let levels = room.levels().await;
    assert_eq!((levels.serving, levels.waiting), (3, 0));
}

/// Who left is counted until the line has passed him.
pub async fn who_left_is_counted_until_the_line_has_passed_him(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    room.join("ann bob cid dan").await;
    room.leave("bob").await;
    assert_eq!(room.ahead("dan").await, 3, "at most");
    assert_eq!(room.levels().await.waiting, 3);
    room.let_in(2).await;
    assert_eq!(room.turns("ann cid dan").await, ["ann", "cid"]);
    assert_eq!(room.ahead("dan").await, 0);
}

/// An absentee is passed over and blocks nobody.
pub async fn an_absentee_is_passed_over_and_blocks_nobody(fixture: &impl Rooms) {
    let room = opened(fixture, &Terms { capacity: 1, ..with_absence() }).await;
    room.join("ann bob").await;
    fixture.advance(AWAY).await;
    room.join("cid").await;
    let step = room.admit().await;
    assert_eq!((step.admitted, step.skipped), (1, 2));
    let levels = room.levels().await;
    assert_eq!((levels.waiting, levels.absent, levels.serving, levels.turns), (0, 2, 3, 1));
    assert_eq!(room.turns("cid").await, ["cid"]);
}

/// An absentee who is back goes first under his number.
pub async fn an_absentee_who_is_back_goes_first_under_his_number(fixture: &impl Rooms) {
    let room = opened(fixture, &Terms { capacity: 1, ..with_absence() }).await;
    room.join("ann").await;
    fixture.advance(AWAY).await;
    room.join("bob cid").await;
    room.admit().await;
    let back = room.places("ann").await[0].expect("her place is kept");
    assert_eq!((back.number.no, back.standing), (1, Standing::Absent { ahead: 0 }), "she is told that she was away");
    assert_eq!(room.stands("ann").await, Standing::Waiting { ahead: 0 });
    room.finish("bob").await;
    room.admit().await;
    assert_eq!(room.turns("ann cid").await, ["ann"]);
    assert_eq!(room.levels().await.absent, 0);
}

/// Absentees who are back keep their order.
pub async fn absentees_who_are_back_keep_their_order(fixture: &impl Rooms) {
    let room = opened(fixture, &Terms { capacity: 1, ..with_absence() }).await;
    room.join("ann bob cid").await;
    fixture.advance(AWAY).await;
    room.join("dan eve").await;
    room.admit().await;
    for who in ["cid", "ann", "bob"] {
        room.places(who).await;
    }
    assert_eq!([room.ahead("ann").await, room.ahead("bob").await, room.ahead("cid").await], [0, 1, 2]);
    room.finish("dan").await;
    room.let_in(2).await;
    assert_eq!(room.turns("ann bob cid eve").await, ["ann", "bob"]);
}

/// An absentee who joins again keeps his number.
pub async fn an_absentee_who_joins_again_keeps_his_number(fixture: &impl Rooms) {
    let room = opened(fixture, &Terms { capacity: 1, ..with_absence() }).await;
    room.join("ann").await;
    fixture.advance(AWAY).await;
    room.join("bob cid").await;
    room.admit().await;
    assert_eq!(room.join("ann").await, [1]);
    assert_eq!(room.ahead("cid").await, 1, "she goes before him");
}

/// Asking is a sign of life.
pub async fn asking_is_a_sign_of_life(fixture: &impl Rooms) {
    let room = opened(fixture, &Terms { capacity: 2, ..with_absence() }).await;
    room.join("ann bob cid").await;
    fixture.advance(AWAY / 2).await;
    room.places("bob").await;
    room.enter("cid").await;
    fixture.advance(AWAY / 2 + Duration::from_millis(1)).await;
    let step = room.admit().await;
    assert_eq!((step.admitted, step.skipped), (2, 1));
    assert_eq!(room.turns("bob cid").await, ["bob", "cid"]);
}

/// Who is back is counted before the line.
pub async fn who_is_back_is_counted_before_the_line(fixture: &impl Rooms) {
    let room = opened(fixture, &Terms { capacity: 1, ..with_absence() }).await;
    room.join("ann").await;
    fixture.advance(AWAY).await;
    room.join("bob cid dan").await;
    room.admit().await;
    assert_eq!(room.ahead("dan").await, 1);
    room.places("ann").await;
    assert_eq!(room.ahead("dan").await, 2);
    let levels = room.levels().await;
    assert_eq!((levels.returned, levels.waiting, levels.ahead_of(4)), (1, 3, 2));
}

/// A step looks at no more than it may.
pub async fn a_step_looks_at_no_more_than_it_may(fixture: &impl Rooms) {
    let room = opened(fixture, &wide()).await;
    room.join("a b c d e").await;
    for who in ["a", "b", "c"] {
        room.leave(who).await;
    }
    let step = room.store.admit(&room.room, 2).await.expect("admit").expect("open");
    assert_eq!((step.admitted, step.levels.serving, step.next), (0, 2, Some(Duration::ZERO)), "go on at once");
    let step = room.store.admit(&room.room, 2).await.expect("admit").expect("open");
    assert_eq!((step.admitted, step.levels.serving), (1, 4));
}

/// A step says when the next may do something.
pub async fn a_step_says_when_the_next_may_do_something(fixture: &impl Rooms) {
    let pace = Pace { admits: 4, per: Duration::from_secs(1) };
    let room = opened(fixture, &Terms { pace, ..wide() }).await;
    assert_eq!(room.admit().await.next, None, "nobody is there");
    room.join("ann bob cid").await;
    let step = room.admit().await;
    assert_eq!(step.admitted, 2);
    let next = step.next.expect("somebody waits");
    assert!(next > Duration::ZERO && next <= Duration::from_millis(250), "{next:?}");
    fixture.advance(next).await;
    assert_eq!(room.admit().await.admitted, 1);
}

/// The line is measured as it moves.
pub async fn the_line_is_measured_as_it_moves(fixture: &impl Rooms) {
    let room = opened(fixture, &with_absence()).await;
    room.join("ann bob").await;
    room.leave("bob").await;
    fixture.advance(AWAY).await;
    room.join("cid").await;
    let levels = room.admit().await.levels;
    assert_eq!(levels.served.sum(levels.now), 3, "one absent, one who left, one with a turn");
    let repeated = room.admit().await.levels;
    assert_eq!(repeated.served.sum(repeated.now), 3);
}
