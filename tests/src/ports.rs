//! Ports for nodes that must be named before they listen: in a cluster each knows the others' addresses.
//!
//! In: how many. Out: addresses on loopback. None is one the system gives to whoever asks for any
//! (port 0): between the drawing of such a port and the node's start, and whenever a node is down
//! for a while, a neighbour could be given it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below it lie the well-known ones, and the proxies and databases of whoever runs the tests.
const PORT_MIN: u16 = 12_000;
/// The first that Linux gives of itself, unless it is told otherwise.
const GIVEN_FROM: u16 = 32_768;
/// Test processes that run side by side begin so far from each other, by their process ids.
const PORTS_A_PROCESS: u16 = 64;
/// Counts what this process has looked at, so that no two of its tests get the same.
static LOOKED_AT: AtomicU16 = AtomicU16::new(0);

/// Addresses on loopback that nobody listens on and that the system gives to nobody.
///
/// # Panics
/// When there are not so many.
#[must_use]
pub fn addresses(count: usize) -> Vec<SocketAddr> {
    let room = given_from() - PORT_MIN;
    let begin = std::process::id() % u32::from(room / PORTS_A_PROCESS) * u32::from(PORTS_A_PROCESS);
    let next = |_| {
        let nth = LOOKED_AT.fetch_add(1, Ordering::Relaxed);
        let port = u32::from(PORT_MIN) + (begin + u32::from(nth)) % u32::from(room);
        let port = u16::try_from(port).expect("the room is one of ports");
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    };
    let free: Vec<SocketAddr> = (0..room)
        .map(next)
        .filter(|address| TcpListener::bind(address).is_ok())
        .take(count)
        .collect();
    assert_eq!(free.len(), count, "free ports");
    free
}

/// The first port that the system gives of itself; where that leaves no room, what it is elsewhere.
fn given_from() -> u16 {
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .filter(|&first| first >= PORT_MIN + PORTS_A_PROCESS)
        .unwrap_or(GIVEN_FROM)
}
