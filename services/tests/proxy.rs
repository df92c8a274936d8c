//! The proxy passes everything on until it is asked to break something, and then exactly that happens.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use flashsale_services::{Proxy, Redis, RedisOptions};

/// Longer than anything here takes; a wait that ends here has failed.
const LONG: Duration = Duration::from_secs(10);

struct Line(TcpStream);

impl Line {
    fn open(proxy: &Proxy) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        Self(stream)
    }

    fn say(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    /// One piece of an answer; empty if the connection is closed.
    fn hear(&mut self) -> io::Result<String> {
        let mut bytes = [0; 256];
        let length = self.0.read(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
    }

    fn is_cut(&mut self) -> bool {
        match self.hear() {
            Ok(text) => text.is_empty(),
            Err(error) => matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted),
        }
    }

    fn is_silent(&mut self) -> bool {
        self.0.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        self.hear().is_err_and(|error| matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut))
    }
}

fn both() -> (Redis, Proxy) {
    let redis = Redis::start(RedisOptions::default());
    let proxy = Proxy::before(redis.port());
    (redis, proxy)
}

fn counter(redis: &Redis) -> String {
    redis.ask(&["GET", "n"]).unwrap().text()
}

#[test]
fn without_a_fault_everything_passes() {
    let (redis, proxy) = both();
    let mut line = Line::open(&proxy);
    for n in 1..=3 {
        line.say("INCR n\r\n");
        assert_eq!(line.hear().unwrap(), format!(":{n}\r\n"));
    }
    assert_eq!(counter(&redis), "3");
    let counts = proxy.counts();
    assert_eq!((counts.connections, counts.requests, counts.replies, counts.cut), (1, 3, 3, 0));
}

#[test]
fn a_cut_ends_every_connection_and_new_ones_work() {
    let (_redis, proxy) = both();
    let mut lines = [Line::open(&proxy), Line::open(&proxy)];
    for line in &mut lines {
        line.say("PING\r\n");
        assert_eq!(line.hear().unwrap(), "+PONG\r\n");
    }
    proxy.cut();
    assert!(lines.iter_mut().all(Line::is_cut));
    assert_eq!(proxy.counts().cut, 2);
    let mut line = Line::open(&proxy);
    line.say("PING\r\n");
    assert_eq!(line.hear().unwrap(), "+PONG\r\n");
}

#[test]
fn a_lost_reply_was_done_and_a_lost_request_was_not() {
    let (redis, proxy) = both();
    proxy.lose_replies(2, b"INCR");
    for _ in 0..2 {
        let mut line = Line::open(&proxy);
        line.say("PING\r\n");
        assert_eq!(line.hear().unwrap(), "+PONG\r\n");
        line.say("INCR n\r\n");
        assert!(line.is_cut());
    }
    assert_eq!(counter(&redis), "2");
    assert_eq!((proxy.counts().replies_lost, proxy.counts().cut), (2, 2));
    proxy.lose_requests(1, b"");
    let mut line = Line::open(&proxy);
    line.say("INCR n\r\n");
    assert!(line.is_cut());
    assert!(proxy.wait_for(LONG, |counts| counts.requests_lost == 1));
    let mut line = Line::open(&proxy);
    line.say("INCR n\r\n");
    assert_eq!(line.hear().unwrap(), ":3\r\n");
}

#[test]
fn what_followed_a_request_whose_reply_is_lost_is_done_too() {
    let (redis, proxy) = both();
    proxy.lose_replies(1, b"INCR");
    let mut line = Line::open(&proxy);
    line.say("INCR n\r\nINCR n\r\nINCR n\r\n");
    assert!(line.is_cut());
    assert_eq!(counter(&redis), "3");
    assert_eq!(proxy.counts().replies_lost, 1);
}

#[test]
fn swallowed_connections_stay_dead_and_open_while_new_ones_work_again() {
    let (redis, proxy) = both();
    let mut old = Line::open(&proxy);
    old.say("INCR n\r\n");
    assert_eq!(old.hear().unwrap(), ":1\r\n");
    proxy.swallow();
    old.say("INCR n\r\n");
    assert!(proxy.wait_for(LONG, |counts| counts.swallowed == 1));
    assert!(old.is_silent());
    proxy.heal();
    old.say("INCR n\r\n");
    assert!(proxy.wait_for(LONG, |counts| counts.swallowed == 2));
    assert!(old.is_silent());
    assert_eq!(counter(&redis), "1");
    let mut new = Line::open(&proxy);
    new.say("INCR n\r\n");
    assert_eq!(new.hear().unwrap(), ":2\r\n");
}

#[test]
fn held_requests_arrive_when_they_are_let_go() {
    let (redis, proxy) = both();
    proxy.hold();
    let mut line = Line::open(&proxy);
    line.say("INCR n\r\n");
    assert!(proxy.wait_for(LONG, |counts| counts.held == 1));
    assert_eq!(redis.ask(&["EXISTS", "n"]).unwrap().text(), "0");
    proxy.heal();
    assert_eq!(line.hear().unwrap(), ":1\r\n");
}

#[test]
fn late_requests_arrive_late() {
    let (_redis, proxy) = both();
    proxy.delay(Duration::from_millis(60));
    let mut line = Line::open(&proxy);
    let begun = std::time::Instant::now();
    line.say("INCR n\r\n");
    assert_eq!(line.hear().unwrap(), ":1\r\n");
    assert!(begun.elapsed() >= Duration::from_millis(60));
    assert_eq!(proxy.counts().held, 1);
}

#[test]
fn garbage_comes_instead_of_a_reply_that_was_due() {
    let (redis, proxy) = both();
    proxy.answer_garbage(1, b"INCR");
    let mut line = Line::open(&proxy);
    line.say("INCR n\r\n");
    assert!(line.hear().unwrap().contains("garbage"));
    line.say("INCR n\r\n");
    assert_eq!(line.hear().unwrap(), ":2\r\n");
    assert_eq!((counter(&redis).as_str(), proxy.counts().garbage), ("2", 1));
}

#[test]
fn a_server_that_is_down_is_met_as_one_and_another_can_take_its_place() {
    let (redis, proxy) = both();
    redis.kill9();
    assert!(Line::open(&proxy).is_cut());
    let other = Redis::start(RedisOptions::default());
    proxy.aim(other.port());
    let mut line = Line::open(&proxy);
    line.say("PING\r\n");
    assert_eq!(line.hear().unwrap(), "+PONG\r\n");
}

#[test]
fn a_dropped_proxy_cuts_its_connections_and_gives_its_port_back() {
    let (_redis, proxy) = both();
    let mut line = Line::open(&proxy);
    line.say("PING\r\n");
    assert_eq!(line.hear().unwrap(), "+PONG\r\n");
    let port = proxy.port();
    drop(proxy);
    assert!(line.is_cut());
    let begun = std::time::Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_ok() {
        assert!(begun.elapsed() < LONG, "somebody still listens on {port}");
    }
}
