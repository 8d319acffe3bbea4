//! Nodes, and what lies between them: one transport for all that they say to each other.
//!
//! In: bytes for a node, on a lane. Out: the same bytes there, once or not at all, with who sent
//! them; and answers to questions, until their deadline. Every queue has a bound (L8): what finds
//! no room is dropped or refused at once, so no two nodes can wait for each other's room. Knows no
//! order and no Raft.
//!
//! | room | what it holds |
//! |---|---|
//! | [`Transport`] | a node's end: listens, dials its peers, keeps the links alive |
//! | [`Network`] | what it runs over: the system's sockets, or a simulation's |
//! | `wire` | the bytes of a greeting and of a frame |
//! | `greeting` | who may talk to whom: both sides of it |
//! | `link`, `serve` | an outgoing and an incoming connection |
//! | `frame_writer`, `alive` | packing frames; whether the other end is still there |
//! | [`NodeLines`] | what replicas and entities say to those of other nodes |
//! | [`Identity`], [`certs`] | mutual TLS, and certificates for it |

mod alive;
pub mod certs;
mod frame_writer;
mod greeting;
mod identity;
mod link;
mod network;
mod node_lines;
mod serve;
mod transport;
mod wire;

pub use identity::{Identity, IdentityError};
pub use network::{Network, SystemNetwork};
pub use node_lines::{Ears, NodeLines};
pub use transport::{
    CallError, Handler, Handling, Meeting, PeerStatus, SendError, Transport, TransportOptions,
};
pub use wire::{ClusterId, Lane, NodeId, WIRE_VERSION, WIRE_VERSION_OLDEST};
