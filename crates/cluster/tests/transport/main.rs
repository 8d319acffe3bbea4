//! The transport between nodes: over real sockets with TLS, and in a simulated network that is cut,
//! held and lossy.

mod faults;
mod slow;
mod sockets;
mod world;
