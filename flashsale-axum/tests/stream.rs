//! One frame a tick, rendered once, for however many listen.

mod common;

use std::time::Duration;

use axum::body::Body;
use common::{World, terms};
use flashsale_axum::RoomStream;
use flashsale_core::queue::{Enter, RoomStore, Terms};
use futures_util::future::join_all;
use http_body_util::BodyExt;

/// A listener: the body of an answer, read frame by frame.
struct Ear(Body);

impl Ear {
    async fn frame(&mut self) -> Option<String> {
        let frame = self.0.frame().await?.unwrap();
        Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
    }
}

fn listen(stream: &RoomStream, last: Option<i64>) -> Ear {
    Ear(stream.answer(last).into_body())
}

/// A hundred thousand wait and two thousand listen: a tick is one frame, rendered once.
#[tokio::test]
async fn at_a_hundred_thousand_waiting_a_tick_is_rendered_once() {
    let world = World::with(Terms { places_max: 1_000_000, ..terms() }, flashsale_axum::Confirm::Here);
    let stream = RoomStream::new(&world.room);
    let mut ears: Vec<Ear> = (0..2_000).map(|_| listen(&stream, None)).collect();
    for hello in join_all(ears.iter_mut().map(Ear::frame)).await {
        assert_eq!(hello.as_deref(), Some("retry: 3000\n\n"));
    }
    let batch: Vec<Enter> =
        (0..100_000).map(|n| Enter { member: common::id(&format!("m{n}")), ticket: None }).collect();
    world.room.levels().await.unwrap();
    world.store.enter(world.room.id(), &batch).await.unwrap();
    for tick in 1..=3_u64 {
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let heard = async {
            let frames = join_all(ears.iter_mut().map(Ear::frame)).await;
            stop.send(()).unwrap();
            frames
        };
        let workers = world.room.workers();
        let ((), frames) = tokio::join!(workers.run(async { stopped.await.unwrap() }), heard);
        let first = frames[0].clone().unwrap();
        assert!(frames.iter().all(|frame| frame.as_deref() == Some(first.as_str())), "the same bytes for everybody");
        assert!(first.starts_with("event: tick\nid: "), "{first}");
        assert!(first.contains("\"issued\":100000"), "{first}");
        assert_eq!(stream.rendered(), tick);
        world.pass(1_000);
        world.store.leave(world.room.id(), &[common::id(&format!("m{tick}"))]).await.unwrap();
    }
    assert_eq!(stream.readers(), 2_000);
    drop(ears);
    assert_eq!(stream.readers(), 0);
}

/// Runs the room's pass until this ends.
async fn while_the_pass_runs<T>(world: &World, what: impl Future<Output = T>) -> T {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let work = world.room.workers();
    let what = async {
        let told = what.await;
        stop.send(()).unwrap();
        told
    };
    tokio::join!(work.run(async { stopped.await.unwrap() }), what).1
}

#[tokio::test]
async fn at_most_one_frame_a_second_and_only_on_change() {
    let world = World::new();
    let stream = RoomStream::new(&world.room);
    let mut ticks = world.room.ticks();
    while_the_pass_runs(&world, async {
        ticks.wait_for(Option::is_some).await.unwrap();
        ticks.mark_unchanged();
        world.ask("POST", "/room/place", "ann", &[]).await;
        // The pass has run with her: her turn shows it.
        while world.room.admission(&common::id("ann")).await.is_err() {
            tokio::task::yield_now().await;
        }
        assert!(!ticks.has_changed().unwrap(), "less than a second after the last");
        world.pass(1_000);
        ticks.changed().await.unwrap();
    })
    .await;
    let mut ear = listen(&stream, None);
    assert_eq!(ear.frame().await.as_deref(), Some("retry: 3000\n\n"));
    assert!(ear.frame().await.unwrap().contains("\"serving\":1"), "what is true now comes first");
}

#[tokio::test]
async fn who_has_seen_the_last_frame_does_not_get_it_again() {
    let world = World::new();
    let stream = RoomStream::new(&world.room);
    let mut ticks = world.room.ticks();
    while_the_pass_runs(&world, async {
        ticks.wait_for(Option::is_some).await.unwrap();
    })
    .await;
    let at = ticks.borrow().clone().unwrap().at;
    let mut ear = listen(&stream, Some(at.ms()));
    ear.frame().await;
    let more = tokio::time::timeout(Duration::ZERO, ear.frame()).await;
    assert!(more.is_err(), "{more:?}");
    let mut other = listen(&stream, Some(at.ms() - 1));
    other.frame().await;
    assert!(other.frame().await.unwrap().contains(&format!("id: {}\n", at.ms())));
}

#[tokio::test]
async fn everybody_is_told_bye() {
    let world = World::new();
    let stream = RoomStream::new(&world.room);
    let mut ear = listen(&stream, None);
    ear.frame().await;
    stream.end();
    assert!(ear.frame().await.unwrap().starts_with("event: bye\n"));
    assert_eq!(ear.frame().await, None);
}

/// A reader that does not read holds nothing but the newest frame, and is ended when he reads again after too many.
#[tokio::test]
async fn a_reader_that_is_too_slow_is_dropped() {
    let world = World::new();
    let stream = RoomStream::new(&world.room);
    let (mut slow, mut quick) = (listen(&stream, None), listen(&stream, None));
    slow.frame().await;
    quick.frame().await;
    while_the_pass_runs(&world, async {
        for n in 0..12 {
            world.ask("POST", "/room/place", &format!("m{n}"), &[]).await;
            assert!(quick.frame().await.unwrap().contains("event: tick"));
            if n == 0 {
                assert!(slow.frame().await.unwrap().contains("event: tick"));
            }
            world.pass(1_000);
        }
    })
    .await;
    assert_eq!(slow.frame().await, None);
}
