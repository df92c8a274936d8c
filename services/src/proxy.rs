//! A proxy on loopback that breaks connections on purpose, as networks do: in front of any server that speaks over TCP.
//!
//! Owns its threads, its faults and its counts. Knows no protocol: a request is what arrives from the client in one
//! piece, a reply what arrives from the server in one piece. That is exact for a client that has one request in flight.
//! With several in flight, the first piece that comes back is the one that is lost, and everything after it, because the
//! connection is cut; the client knows of none of them whether it was done.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The size of the largest piece.
const PIECE: usize = 64 * 1024;
/// What comes instead of a reply: no protocol begins so.
const GARBAGE: &[u8] = b"\x00\xff\x00garbage\r\n\x00";

/// Counts what a proxy did, so that a test can prove that its fault happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Connections that were taken from clients.
    pub connections: u64,
    /// Connections that were cut on purpose, also those whose request or reply was lost.
    pub cut: u64,
    /// Requests that never reached the server.
    pub requests_lost: u64,
    /// Replies of the server that never reached the client.
    pub replies_lost: u64,
    /// Replies that became garbage.
    pub garbage: u64,
    /// Pieces, in both directions, that vanished in silence.
    pub swallowed: u64,
    /// Requests that were held back, whether or not they were let go yet.
    pub held: u64,
    /// Requests that the server got.
    pub requests: u64,
    /// Replies that the client got whole.
    pub replies: u64,
}

/// A fault that strikes a number of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strike {
    /// The request does not reach the server; the connection is cut.
    LoseRequest,
    /// The server does it; the reply does not reach the client; the connection is cut.
    LoseReply,
    /// The server does it; the client gets garbage; the connection stays.
    Garbage,
}

#[derive(Debug)]
struct Fault {
    strike: Strike,
    left: u64,
    /// Only requests with these bytes in them; none means all.
    about: Vec<u8>,
}

/// What becomes of requests that no fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    Late(Duration),
    Held,
    Swallowed,
}

#[derive(Debug)]
struct State {
    way: Way,
    faults: Vec<Fault>,
    counts: Counts,
    connections: Vec<Arc<Connection>>,
    target: u16,
    closed: bool,
}

#[derive(Debug)]
struct Connection {
    client: TcpStream,
    server: TcpStream,
    marks: Mutex<Marks>,
}

/// What befell a connection.
#[derive(Debug, Default)]
struct Marks {
    /// What the next reply will suffer.
    next_reply: Option<Strike>,
    /// Something of it vanished, so that it stays dead: what came later would make no sense to either side.
    dead: bool,
    cut: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// A proxy in front of a port. Everything passes until a fault is asked for; dropping it cuts all connections.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    port: u16,
}

impl Proxy {
    /// Opens a proxy on a free port in front of a port on loopback, where nobody needs to listen yet.
    ///
    /// # Panics
    /// If no port can be opened.
    #[must_use]
    pub fn before(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port for a proxy");
        let own = listener.local_addr().expect("the address of a listener").port();
        let state = State {
            way: Way::Open,
            faults: Vec::new(),
            counts: Counts::default(),
            connections: Vec::new(),
            target: port,
            closed: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let taken = Arc::clone(&shared);
        thread::spawn(move || listen(&listener, &taken));
        Self { shared, port: own }
    }

    /// Gives its port, which clients use in place of the server's.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sends connections that come from now on to another port.
    pub fn aim(&self, port: u16) {
        self.shared.change(|state| state.target = port);
    }

    /// Ends all faults: what is held goes on. Connections of which something was swallowed stay dead.
    pub fn heal(&self) {
        self.shared.change(|state| {
            state.way = Way::Open;
            state.faults.clear();
        });
    }

    /// Cuts all connections, now.
    pub fn cut(&self) {
        self.shared.change(|state| {
            let all = std::mem::take(&mut state.connections);
            state.counts.cut += all.iter().map(|connection| u64::from(connection.cut())).sum::<u64>();
        });
    }

    /// Swallows everything in silence, on old connections and new ones: nothing is forwarded, nothing is closed.
    pub fn swallow(&self) {
        self.shared.change(|state| state.way = Way::Swallowed);
    }

    /// Forwards each request only after a time.
    pub fn delay(&self, time: Duration) {
        self.shared.change(|state| state.way = Way::Late(time));
    }

    /// Holds requests back until [`Proxy::heal`] lets them go, in order.
    pub fn hold(&self) {
        self.shared.change(|state| state.way = Way::Held);
    }

    /// Loses the next `count` requests that contain `about` (all, if it is empty) and cuts their connections: the server
    /// never did them.
    pub fn lose_requests(&self, count: u64, about: &[u8]) {
        self.strike(Strike::LoseRequest, count, about);
    }

    /// Loses the replies to the next `count` requests that contain `about` (all, if it is empty) and cuts their connections:
    /// the server did them, and the client cannot know.
    pub fn lose_replies(&self, count: u64, about: &[u8]) {
        self.strike(Strike::LoseReply, count, about);
    }

    /// Answers the next `count` requests that contain `about` (all, if it is empty) with garbage, after the server did them.
    pub fn answer_garbage(&self, count: u64, about: &[u8]) {
        self.strike(Strike::Garbage, count, about);
    }

    /// Gives what it did so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.state().counts
    }

    /// Waits until the counts are as asked, at most for a time, and says whether they are.
    #[must_use]
    pub fn wait_for(&self, most: Duration, mut reached: impl FnMut(&Counts) -> bool) -> bool {
        let begun = Instant::now();
        let mut state = self.shared.state();
        while !reached(&state.counts) {
            let Some(left) = most.checked_sub(begun.elapsed()) else { return false };
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn strike(&self, strike: Strike, count: u64, about: &[u8]) {
        self.shared.change(|state| state.faults.push(Fault { strike, left: count, about: about.to_vec() }));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.change(|state| {
            state.closed = true;
            for connection in state.connections.drain(..) {
                connection.cut();
            }
        });
        // The thread that listens is woken up, sees that it is over, and gives the port back.
        let own = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let _ = TcpStream::connect_timeout(&own, Duration::from_secs(1));
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let outcome = change(&mut self.state());
        self.changed.notify_all();
        outcome
    }

    fn count(&self, count: impl FnOnce(&mut Counts)) {
        self.change(|state| count(&mut state.counts));
    }

    /// Forgets a connection and closes it; says nothing of faults.
    fn close(&self, connection: &Arc<Connection>) {
        connection.cut();
        self.change(|state| state.connections.retain(|other| !Arc::ptr_eq(other, connection)));
    }
}

impl Connection {
    /// Cuts both sides; says whether it was not cut before.
    fn cut(&self) -> bool {
        let first = !std::mem::replace(&mut self.marks().cut, true);
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
        first
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn listen(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        let (closed, target) = {
            let state = shared.state();
            (state.closed, state.target)
        };
        if closed {
            return;
        }
        let Ok(client) = client else { continue };
        // A server that is not there is met as one: the client's connection is closed at once.
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)) else { continue };
        let _ = client.set_nodelay(true);
        let _ = server.set_nodelay(true);
        let connection = Arc::new(Connection { client, server, marks: Mutex::default() });
        shared.change(|state| {
            state.counts.connections += 1;
            state.connections.push(Arc::clone(&connection));
        });
        type Side = fn(&Shared, &Arc<Connection>) -> io::Result<()>;
        for side in [requests as Side, replies as Side] {
            let (shared, connection) = (Arc::clone(shared), Arc::clone(&connection));
            thread::spawn(move || {
                let _ = side(&shared, &connection);
                shared.close(&connection);
            });
        }
    }
}

/// Carries what the client says to the server.
fn requests(shared: &Shared, connection: &Arc<Connection>) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    let mut before = Vec::new();
    loop {
        let length = (&connection.client).read(&mut piece)?;
        if length == 0 {
            return Ok(());
        }
        let piece = &piece[..length];
        let whole = [&before[..], piece].concat();
        if !admitted(shared, connection) {
            continue;
        }
        if connection.marks().cut {
            return Ok(());
        }
        let (strike, overlap) = struck(shared, &whole, before.len());
        before = whole[whole.len().saturating_sub(overlap)..].to_vec();
        match strike {
            Some(Strike::LoseRequest) => {
                connection.cut();
                shared.count(|counts| (counts.requests_lost, counts.cut) = (counts.requests_lost + 1, counts.cut + 1));
                return Ok(());
            }
            Some(strike) => connection.marks().next_reply = Some(strike),
            None => {}
        }
        // Counted before the server has it: who sees what the server did, sees the count.
        shared.count(|counts| counts.requests += 1);
        (&connection.server).write_all(piece)?;
    }
}

/// Lets a request wait as the proxy's way is; says whether it may go on.
fn admitted(shared: &Shared, connection: &Connection) -> bool {
    let mut state = shared.state();
    if let Way::Late(time) = state.way {
        state.counts.held += 1;
        drop(state);
        shared.changed.notify_all();
        thread::sleep(time);
        state = shared.state();
    } else if state.way == Way::Held {
        state.counts.held += 1;
        shared.changed.notify_all();
        let held = |state: &mut State| state.way == Way::Held && !state.closed && !connection.marks().cut;
        state = shared.changed.wait_while(state, held).unwrap_or_else(PoisonError::into_inner);
    }
    let dead = {
        let mut marks = connection.marks();
        marks.dead |= state.way == Way::Swallowed;
        marks.dead
    };
    if dead {
        state.counts.swallowed += 1;
        shared.changed.notify_all();
    }
    !dead
}

/// The fault that strikes this request, and how many of its bytes the next piece may need to be recognised.
fn struck(shared: &Shared, whole: &[u8], old: usize) -> (Option<Strike>, usize) {
    let mut state = shared.state();
    let overlap = state.faults.iter().map(|fault| fault.about.len().saturating_sub(1)).max().unwrap_or(0);
    let found = state.faults.iter_mut().find(|fault| fault.left > 0 && contains(whole, &fault.about, old));
    let strike = found.map(|fault| {
        fault.left -= 1;
        fault.strike
    });
    state.faults.retain(|fault| fault.left > 0);
    (strike, overlap)
}

/// Whether `about` stands in `whole` and does not end within its first `old` bytes, which were looked at before.
fn contains(whole: &[u8], about: &[u8], old: usize) -> bool {
    let from = (old + 1).saturating_sub(about.len());
    about.is_empty() || whole.get(from..).is_some_and(|rest| rest.windows(about.len()).any(|window| window == about))
}

/// Carries what the server says to the client.
fn replies(shared: &Shared, connection: &Arc<Connection>) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let length = (&connection.server).read(&mut piece)?;
        if length == 0 {
            return Ok(());
        }
        let swallowed = shared.state().way == Way::Swallowed;
        let strike = {
            let mut marks = connection.marks();
            marks.dead |= swallowed;
            if marks.dead {
                drop(marks);
                shared.count(|counts| counts.swallowed += 1);
                continue;
            }
            marks.next_reply.take()
        };
        match strike {
            Some(Strike::LoseReply) => {
                shared.count(|counts| (counts.replies_lost, counts.cut) = (counts.replies_lost + 1, counts.cut + 1));
                connection.marks().cut = true;
                let _ = connection.client.shutdown(Shutdown::Both);
                // The server still gets all that was sent to it: closing at once could take it back.
                let _ = connection.server.shutdown(Shutdown::Write);
                while (&connection.server).read(&mut piece)? > 0 {}
                return Ok(());
            }
            Some(_) => {
                shared.count(|counts| counts.garbage += 1);
                (&connection.client).write_all(GARBAGE)?;
            }
            None => {
                shared.count(|counts| counts.replies += 1);
                (&connection.client).write_all(&piece[..length])?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_recognised_across_pieces_and_only_once() {
        assert!(contains(b"xxEVALSHA", b"EVALSHA", 0));
        assert!(contains(b"EVALSHA", b"EVALSHA", 6));
        assert!(!contains(b"EVALSHA yy", b"EVALSHA", 7));
        assert!(contains(b"", b"", 0));
        assert!(!contains(b"EVAL", b"EVALSHA", 0));
    }
}
