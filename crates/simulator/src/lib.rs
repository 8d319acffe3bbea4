//! A client like any other: peak-sale load, the replay of real orders, imports, and a recount of
//! everything from outside. Talks HTTP and imports no crate of the server.

pub mod demo;
pub mod http;
mod http_lines;
pub mod import;
pub mod simulate;
pub mod tls;
pub mod verify;

pub use http::{Client, ClientError};
pub use tls::{Authority, AuthorityError};
