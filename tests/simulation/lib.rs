//! The network of turmoil, as the transport between nodes sees it, for all tests that simulate. The rest of
//! this crate is one of them: whole clusters, see `main.rs`.

use std::io;
use std::net::SocketAddr;

use consign_cluster::Network;
use turmoil::net::{TcpListener, TcpStream};

/// The network of turmoil.
#[derive(Clone, Copy, Debug, Default)]
pub struct Simulated;

impl Network for Simulated {
    type Stream = TcpStream;
    type Listener = TcpListener;

    async fn bind(&self, address: &str) -> io::Result<(TcpListener, SocketAddr)> {
        let listener = TcpListener::bind(address).await?;
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    }

    async fn accept(&self, listener: &mut TcpListener) -> io::Result<TcpStream> {
        Ok(listener.accept().await?.0)
    }

    async fn connect(&self, address: &str) -> io::Result<TcpStream> {
        TcpStream::connect(address).await
    }
}
