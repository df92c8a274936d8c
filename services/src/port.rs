//! Free ports on loopback. Owns the choice; that the port is still free when the server binds it is for the server to
//! find out, and for whoever starts it to try another.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

const FIRST: u32 = 12_000;
/// Where the ports that Linux gives to outgoing connections begin, where it does not say.
const EPHEMERAL: u32 = 32_768;

/// Gives a port that nobody listens on, below those of outgoing connections.
///
/// A server that is killed must find its port free when it comes back; a port that the system gives to whoever connects
/// somewhere, even to a client that dials the dead server itself, would be taken now and then.
///
/// # Panics
/// If no port is free.
#[must_use]
pub fn free() -> u16 {
    static NEXT: OnceLock<AtomicU32> = OnceLock::new();
    let next = NEXT.get_or_init(|| {
        // Two processes that start at the same time begin at different places.
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
        AtomicU32::new(std::process::id().wrapping_mul(7_919).wrapping_add(nanos))
    });
    let span = first_ephemeral().saturating_sub(FIRST).max(1);
    (0..span)
        .map(|_| FIRST + next.fetch_add(1, Ordering::Relaxed) % span)
        .filter_map(|port| u16::try_from(port).ok())
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("a free port on loopback")
}

fn first_ephemeral() -> u32 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first = range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(EPHEMERAL);
    if first > FIRST { first } else { EPHEMERAL }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_not_given() {
        let taken: Vec<TcpListener> =
            (0..20).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, free())).unwrap()).collect();
        let given: Vec<u16> = (0..20).map(|_| free()).collect();
        for listener in taken {
            assert!(!given.contains(&listener.local_addr().unwrap().port()));
        }
    }
}
