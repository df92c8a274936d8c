//! Rooms on a server that loses something: an answer, its scripts, a key, its tail, all of it. And what a waiter costs.

mod servers;

use std::sync::Arc;
use std::time::Duration;

use flashsale_core::error::ErrorKind;
use flashsale_core::memory::MemoryRoomStore;
use flashsale_core::queue::{Ended, Enter, Entry, Levels, Number, Pace, Place, RoomStore, Standing, Terms};
use flashsale_core::{BuyerId, ManualClock, RoomId};
use flashsale_redis::{RedisBackend, RedisRoomStore};
use flashsale_services::{Append, Proxy, Redis, RedisOptions};
use flashsale_testkit::fixture;
use flashsale_testkit::sample::buyer;

const KEYS: [&str; 6] = ["room", "member", "line", "ahead", "turn", "ended"];

/// A room on a server, open from the first arrival on; its time is moved by hand.
struct Shop {
    rooms: RedisRoomStore,
    room: RoomId,
    clock: Arc<ManualClock>,
}

impl Shop {
    async fn of(url: &str) -> Self {
        let clock = fixture::clock();
        let redis = RedisBackend::with(servers::patient(url)).await.expect("a connection");
        Self { rooms: redis.rooms().with_clock(clock.clone()), room: RoomId::new("drop").unwrap(), clock }
    }

    async fn opened(url: &str, terms: &Terms) -> Self {
        let shop = Self::of(url).await;
        shop.open(terms).await;
        shop
    }

    async fn open(&self, terms: &Terms) -> Levels {
        self.rooms.open(&self.room, terms).await.expect("open")
    }

    async fn enter(&self, batch: &[Enter]) -> Vec<Entry> {
        self.rooms.enter(&self.room, batch).await.expect("enter").expect("a room").answers
    }

    async fn places(&self, members: &[BuyerId]) -> Vec<Option<Place>> {
        self.rooms.place(&self.room, members).await.expect("place").expect("a room").places
    }

    async fn levels(&self) -> Option<Levels> {
        self.rooms.levels(&self.room).await.expect("levels")
    }

    /// Lets the server learn the scripts: what is lost after that is no answer that it does not know one.
    async fn warm(&self) {
        let nobody = [buyer("nobody")];
        self.rooms.admit(&self.room, 0).await.expect("admit");
        self.rooms.extend(&self.room, &nobody).await.expect("extend");
        self.rooms.finish(&self.room, &nobody).await.expect("finish");
        self.rooms.leave(&self.room, &nobody).await.expect("leave");
    }

    fn key(&self, name: &str) -> String {
        format!("fs:room:{{{}}}:{name}", self.room)
    }
}

/// Open from the first arrival on, and as wide as may be.
fn wide() -> Terms {
    let pace = Pace { admits: 1_000_000, per: Duration::from_secs(1) };
    let day = Duration::from_secs(86_400);
    Terms {
        opens_above: 0,
        closes_below: 0,
        pace,
        capacity: 1_000_000,
        turn: day,
        absent_after: day,
        ..Terms::default()
    }
}

fn of(name: &str) -> Enter {
    Enter { member: buyer(name), ticket: None }
}

fn member(n: u64) -> BuyerId {
    buyer(&format!("buyer-{n:010}"))
}

fn crowd(from: u64, to: u64) -> Vec<Enter> {
    (from..=to).map(|n| Enter { member: member(n), ticket: None }).collect()
}

fn url(proxy: &Proxy) -> String {
    format!("redis://127.0.0.1:{}", proxy.port())
}

/// The next answer is lost: what is asked fails as *unknown*, and the server did it.
fn lose_an_answer(proxy: &Proxy) {
    proxy.lose_replies(1, b"EVALSHA");
}

#[tokio::test]
async fn a_lost_answer_to_a_join_gives_no_second_place() {
    let server = servers::forgetful();
    let proxy = Proxy::before(server.port());
    let shop = Shop::opened(&url(&proxy), &wide()).await;
    shop.enter(&[of("ann")]).await;
    lose_an_answer(&proxy);
    let error = shop.rooms.enter(&shop.room, &[of("bob"), of("cid")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown, "{error}");
    assert_eq!(proxy.counts().replies_lost, 1);
    let again = shop.enter(&[of("bob"), of("cid")]).await;
    for (entry, expected) in again.iter().zip(2..) {
        let Entry::Same(place) = entry else { panic!("{entry:?}") };
        assert_eq!(place.number.no, expected, "the server had done it");
    }
    let levels = shop.levels().await.unwrap();
    assert_eq!((levels.issued, levels.waiting, levels.arrivals.sum(levels.now)), (3, 3, 3));
}

#[tokio::test]
async fn a_pass_that_is_repeated_obeys_rate_and_capacity() {
    let server = servers::forgetful();
    let proxy = Proxy::before(server.port());
    let pace = Pace { admits: 60, per: Duration::from_secs(60) };
    let shop = Shop::opened(&url(&proxy), &Terms { pace, capacity: 3, ..wide() }).await;
    shop.warm().await;
    shop.enter(&crowd(1, 9)).await;
    let mut turns = 0;
    for second in 0..6 {
        lose_an_answer(&proxy);
        let error = shop.rooms.admit(&shop.room, 9).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unknown, "{error}");
        let repeated = shop.rooms.admit(&shop.room, 9).await.unwrap().unwrap();
        assert_eq!(repeated.admitted, 0, "the first attempt had taken what the rate allows");
        turns = (turns + 1).min(3);
        assert_eq!(repeated.levels.turns, turns, "second {second}");
        shop.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(proxy.counts().replies_lost, 6);
}

#[tokio::test]
async fn an_end_that_is_repeated_frees_one_turn() {
    let server = servers::forgetful();
    let proxy = Proxy::before(server.port());
    let shop = Shop::opened(&url(&proxy), &Terms { capacity: 2, ..wide() }).await;
    shop.warm().await;
    shop.enter(&[of("ann"), of("bob"), of("cid"), of("dan")]).await;
    shop.rooms.admit(&shop.room, 9).await.unwrap();
    lose_an_answer(&proxy);
    let ann = [buyer("ann")];
    assert_eq!(shop.rooms.finish(&shop.room, &ann).await.unwrap_err().kind(), ErrorKind::Unknown);
    assert_eq!(shop.levels().await.unwrap().turns, 1, "the server had done it");
    let told = shop.rooms.finish(&shop.room, &ann).await.unwrap().unwrap();
    assert_eq!(told.places[0].unwrap().standing, Standing::Ended(Ended::Finished));
    assert_eq!(told.levels.turns, 1);
    assert_eq!(shop.rooms.admit(&shop.room, 9).await.unwrap().unwrap().admitted, 1);
    // The same of one who leaves, and of an extension: a repeat takes the one that is left, never the time of two.
    let bob = [buyer("bob")];
    let standing = |told: Option<Place>| told.unwrap().standing;
    let Standing::Turn(before) = standing(shop.places(&bob).await[0]) else { panic!("a turn") };
    lose_an_answer(&proxy);
    assert_eq!(shop.rooms.extend(&shop.room, &bob).await.unwrap_err().kind(), ErrorKind::Unknown);
    let told = shop.rooms.extend(&shop.room, &bob).await.unwrap().unwrap();
    let Standing::Turn(after) = standing(told.places[0]) else { panic!("a turn") };
    assert_eq!((after.until, after.extensions_left), (before.until.after(wide().turn), 0));
    lose_an_answer(&proxy);
    assert_eq!(shop.rooms.leave(&shop.room, &bob).await.unwrap_err().kind(), ErrorKind::Unknown);
    assert_eq!(shop.levels().await.unwrap().turns, 1, "the server had done it");
    let told = shop.rooms.leave(&shop.room, &bob).await.unwrap().unwrap();
    assert_eq!((standing(told.places[0]), told.levels.turns), (Standing::Ended(Ended::Left), 1));
}

#[tokio::test]
async fn scripts_that_were_flushed_are_sent_again() {
    let server = servers::forgetful();
    let shop = Shop::opened(&server.url(), &wide()).await;
    for n in 1..=3 {
        server.ask(&["SCRIPT", "FLUSH"]).unwrap();
        shop.enter(&crowd(n, n)).await;
        server.ask(&["SCRIPT", "FLUSH"]).unwrap();
        assert_eq!(shop.rooms.admit(&shop.room, 1).await.unwrap().unwrap().levels.serving, n);
    }
}

#[tokio::test]
async fn a_flushed_room_is_opened_anew_and_tickets_bring_the_order_back() {
    let server = servers::forgetful();
    let shop = Shop::opened(&server.url(), &wide()).await;
    shop.enter(&crowd(1, 100)).await;
    let old = shop.levels().await.unwrap().generation;
    shop.clock.advance(Duration::from_millis(1));
    server.ask(&["FLUSHALL"]).unwrap();
    assert_eq!(shop.levels().await, None);
    assert_eq!(shop.rooms.enter(&shop.room, &crowd(1, 1)).await.unwrap(), None);
    let new = shop.open(&wide()).await.generation;
    assert!(new > old);
    // The last comes back first, and strangers between them.
    for n in (1..=100).rev() {
        let ticket = Some(Number { generation: old, no: n });
        let entry =
            shop.enter(&[Enter { member: member(n), ticket }, Enter { member: member(1_000 + n), ticket: None }]).await;
        let Entry::New(place) = entry[0] else { panic!("{entry:?}") };
        assert_eq!((place.number.no, place.standing), (n, Standing::Waiting { ahead: 0 }));
    }
    for n in 1..=100 {
        assert_eq!(shop.rooms.admit(&shop.room, 1).await.unwrap().unwrap().admitted, 1);
        let told = shop.places(&[member(n)]).await[0].unwrap();
        assert!(matches!(told.standing, Standing::Turn(_)), "{n}: {told:?}");
    }
    assert_eq!(shop.levels().await.unwrap().serving, 0, "the strangers are behind them");
}

#[tokio::test]
async fn a_server_that_logs_goes_on_with_the_room_after_a_kill() {
    let server = Redis::start(RedisOptions { append: Append::Always, ..RedisOptions::default() });
    let shop = Shop::opened(&server.url(), &Terms { capacity: 10, ..wide() }).await;
    shop.enter(&crowd(1, 50)).await;
    shop.rooms.admit(&shop.room, 99).await.unwrap();
    let members: Vec<BuyerId> = (1..=50).map(member).collect();
    let (before, places) = (shop.levels().await, shop.places(&members).await);
    server.kill9();
    server.restart();
    // The connection breaks with the first call.
    let _ = shop.rooms.levels(&shop.room).await;
    assert_eq!(shop.levels().await, before);
    assert_eq!(shop.places(&members).await, places);
    assert_eq!(shop.rooms.admit(&shop.room, 99).await.unwrap().unwrap().admitted, 0, "the turns are still taken");
}

/// Hole 36: a failover loses the end of the line. A ticket above the counter proves it.
#[tokio::test]
async fn a_room_that_lost_its_tail_jumps_past_the_tickets() {
    let server = servers::forgetful();
    let shop = Shop::opened(&server.url(), &wide()).await;
    shop.enter(&crowd(1, 50)).await;
    for name in KEYS {
        let _ = server.ask(&["COPY", &shop.key(name), &format!("{}:then", shop.key(name))]).unwrap();
    }
    let generation = shop.levels().await.unwrap().generation;
    shop.enter(&crowd(51, 100)).await;
    for name in KEYS {
        server.ask(&["DEL", &shop.key(name)]).unwrap();
        let _ = server.ask(&["RENAME", &format!("{}:then", shop.key(name)), &shop.key(name)]);
    }
    assert_eq!(shop.levels().await.unwrap().issued, 50);
    for n in (51..=100).rev() {
        let enter = Enter { member: member(n), ticket: Some(Number { generation, no: n }) };
        let told = shop.enter(&[enter, Enter { member: member(1_000 + n), ticket: None }]).await;
        let (Entry::New(his), Entry::New(strangers)) = (&told[0], &told[1]) else { panic!("{told:?}") };
        assert_eq!(his.number.no, n);
        assert!(strangers.number.no > 100, "no number is given twice");
    }
    // 1 to 49 and 51 to 99 are read from the line and before it, 100 from the line, in one order.
    for n in 1..=100 {
        shop.rooms.admit(&shop.room, 1).await.unwrap();
        let told = shop.places(&[member(n)]).await[0].unwrap();
        assert!(matches!(told.standing, Standing::Turn(_)), "{n}: {told:?}");
    }
}

/// A foreign hand deletes one key: the room forgets the rest, too, rather than give a member two places or skip people.
#[tokio::test]
async fn a_deleted_key_ends_the_room_as_a_whole() {
    let server = servers::forgetful();
    let shop = Shop::of(&server.url()).await;
    for name in KEYS {
        shop.open(&Terms { capacity: 3, ..wide() }).await;
        let generation = shop.levels().await.unwrap().generation;
        let lost = Number { generation, no: 1 };
        shop.enter(&crowd(1, 9)).await;
        shop.rooms.admit(&shop.room, 9).await.unwrap();
        shop.rooms.finish(&shop.room, &[member(1)]).await.unwrap();
        shop.enter(&[Enter { member: buyer("back"), ticket: Some(lost) }]).await;
        assert_eq!(server.ask(&["DEL", &shop.key(name)]).unwrap().text(), "1", "{name}");
        assert_eq!(shop.levels().await, None, "without {name}");
        shop.open(&wide()).await;
        assert_eq!(shop.places(&[member(2)]).await, [None], "nobody is remembered");
        shop.rooms.forget(&shop.room).await.unwrap();
        assert!(server.ask(&["KEYS", "*"]).unwrap().list().is_empty());
    }
}

#[tokio::test]
async fn a_foreign_value_under_the_key_of_a_room_is_corrupt() {
    let server = servers::forgetful();
    let shop = Shop::opened(&server.url(), &wide()).await;
    server.ask(&["SET", &shop.key("turn"), "not ours"]).unwrap();
    let error = shop.rooms.enter(&shop.room, &[of("ann")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[tokio::test]
async fn a_full_server_refuses_and_nothing_happened() {
    let server = servers::forgetful();
    let shop = Shop::opened(&server.url(), &Terms { capacity: 1, ..wide() }).await;
    shop.enter(&[of("ann"), of("bob")]).await;
    let before = shop.levels().await;
    server.ask(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    let lost =
        Enter { member: buyer("dan"), ticket: Some(Number { generation: before.clone().unwrap().generation, no: 1 }) };
    for batch in [vec![of("cid")], vec![of("ann"), lost]] {
        let error = shop.rooms.enter(&shop.room, &batch).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
    assert_eq!(shop.rooms.admit(&shop.room, 9).await.unwrap_err().kind(), ErrorKind::Unavailable);
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    assert_eq!(shop.levels().await, before);
    assert_eq!(shop.rooms.admit(&shop.room, 9).await.unwrap().unwrap().admitted, 1);
}

#[tokio::test]
async fn keys_of_a_room_begin_with_the_prefix_and_have_no_time_to_live() {
    let server = servers::forgetful();
    let shop = Shop::opened(&server.url(), &Terms { capacity: 3, ..wide() }).await;
    shop.enter(&crowd(1, 9)).await;
    shop.rooms.admit(&shop.room, 9).await.unwrap();
    shop.rooms.finish(&shop.room, &[member(1)]).await.unwrap();
    let lost = Number { generation: shop.levels().await.unwrap().generation, no: 1 };
    shop.enter(&[Enter { member: buyer("back"), ticket: Some(lost) }]).await;
    let keys = server.ask(&["KEYS", "*"]).unwrap();
    assert_eq!(keys.list().len(), KEYS.len(), "{keys:?}");
    for key in keys.list() {
        assert!(key.text().starts_with("fs:room:{drop}:"), "{key:?}");
        assert_eq!(server.ask(&["TTL", &key.text()]).unwrap().text(), "-1");
    }
}

/// More than the stack of Lua holds, in every step that handles many.
#[tokio::test]
async fn a_batch_may_be_longer_than_the_stack_of_lua() {
    const MANY: u64 = 9_000;
    let server = servers::forgetful();
    let second = Duration::from_secs(1);
    let shop = Shop::opened(&server.url(), &Terms { turn: second, remembers: second, ..wide() }).await;
    let members: Vec<BuyerId> = (1..=MANY).map(member).collect();
    let told = shop.enter(&crowd(1, MANY)).await;
    assert!(told.iter().all(|entry| matches!(entry, Entry::New(_))));
    let told = shop.places(&members).await;
    for (place, n) in told.into_iter().zip(1..) {
        let place = place.expect("a place");
        assert_eq!((place.number.no, place.standing), (n, Standing::Waiting { ahead: n - 1 }));
    }
    let admitted = shop.rooms.admit(&shop.room, usize::MAX).await.unwrap().unwrap();
    assert_eq!(u64::from(admitted.admitted), MANY);
    shop.rooms.extend(&shop.room, &members).await.unwrap();
    let half = &members[..members.len() / 2];
    assert_eq!(u64::from(shop.rooms.finish(&shop.room, half).await.unwrap().unwrap().levels.turns), MANY / 2);
    shop.clock.advance(Duration::from_secs(10));
    let expired = shop.rooms.expire(&shop.room, usize::MAX).await.unwrap().unwrap();
    assert_eq!((u64::from(expired.lapsed), u64::from(expired.forgotten)), (MANY / 2, MANY));
    assert_eq!(expired.levels.places, 0);
}

#[tokio::test]
async fn time_is_the_servers_unless_it_is_handed_in() {
    let server = servers::forgetful();
    let rooms = servers::rooms(&server.url()).await;
    let room = RoomId::new("drop").unwrap();
    let ms = || {
        let told = server.ask(&["TIME"]).unwrap();
        let part = |n: usize| told.list()[n].text().parse::<u64>().unwrap();
        part(0) * 1_000 + part(1) / 1_000
    };
    let before = ms();
    let generation = rooms.open(&room, &wide()).await.unwrap().generation.0;
    assert!((before..=ms()).contains(&generation));
}

/// How many bytes each waiter takes, with ids of 16 characters that came in batches of 256. The bound is that of the limits' page.
#[tokio::test]
async fn a_hundred_thousand_wait_in_less_than_150_bytes_each() {
    const MANY: u64 = 100_000;
    let server = servers::forgetful();
    let shop = Shop::opened(&server.url(), &wide()).await;
    let used = || {
        let info = server.ask(&["INFO", "memory"]).unwrap().text();
        info.lines()
            .find_map(|line| line.trim().strip_prefix("used_memory:")?.parse::<u64>().ok())
            .expect("used_memory")
    };
    let before = used();
    for batch in crowd(1, MANY).chunks(256) {
        shop.enter(batch).await;
    }
    assert_eq!(shop.levels().await.unwrap().waiting, MANY);
    let each = (used() - before) / MANY;
    println!("{each} bytes a waiter");
    assert!(each < 150, "{each}");
}

/// Random steps hardly ever meet a bound to the millisecond; here every moment around each of them is asked of memory, too.
#[tokio::test]
async fn moments_are_told_apart_to_the_millisecond() {
    let server = servers::forgetful();
    let second = Duration::from_secs(1);
    let pace = Pace { admits: 2, per: second };
    let terms = Terms { absent_after: 2 * second, turn: second, remembers: second, within: second, pace, ..wide() };
    for ms in [499, 500, 501, 999, 1_000, 1_001, 1_999, 2_000, 2_001] {
        let shop = Shop::of(&server.url()).await;
        let memory = MemoryRoomStore::new(shop.clock.clone());
        let (redis, room) = (&shop.rooms, &shop.room);
        redis.forget(room).await.unwrap();
        assert_eq!(redis.open(room, &terms).await.unwrap(), memory.open(room, &terms).await.unwrap());
        assert_eq!(redis.enter(room, &crowd(1, 9)).await.unwrap(), memory.enter(room, &crowd(1, 9)).await.unwrap());
        for _ in 0..4 {
            for _ in 0..3 {
                assert_eq!(redis.admit(room, 9).await.unwrap(), memory.admit(room, 9).await.unwrap(), "{ms} ms");
                let members: Vec<BuyerId> = (1..=3).map(member).collect();
                assert_eq!(
                    redis.place(room, &members).await.unwrap(),
                    memory.place(room, &members).await.unwrap(),
                    "{ms} ms"
                );
                shop.clock.advance(Duration::from_millis(ms));
            }
            assert_eq!(redis.expire(room, 1).await.unwrap(), memory.expire(room, 1).await.unwrap(), "{ms} ms");
        }
    }
}
