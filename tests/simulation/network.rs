//! Names on the simulated network, a node's service for clients, and clients.

use std::net::SocketAddr;
use std::time::Duration;

use consign_gateway::Router;
use consign_tests::{Client, Connecting, Socket};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use turmoil::net::TcpStream;

use crate::wires::Pipes;

/// Where nodes listen for each other.
pub const CLUSTER_PORT: u16 = 7_000;
/// Where nodes listen for clients.
pub const HTTP_PORT: u16 = 8_080;
/// How long a client waits for an answer before it asks elsewhere.
const PATIENCE: Duration = Duration::from_secs(6);

/// The host of a node.
pub fn host(node: u64) -> String {
    format!("node-{node}")
}

/// Serves clients for as long as the node lives.
pub async fn serve(router: Router, mut clients: Pipes) {
    while let Some(pipe) = clients.recv().await {
        let service = TowerToHyperService::new(router.clone());
        let connection = http1::Builder::new().serve_connection(TokioIo::new(pipe), service);
        // A connection that breaks concerns its client alone.
        tokio::spawn(async move { drop(connection.await) });
    }
}

/// A client of a node, on the host that makes it.
pub fn client_of(node: u64) -> Client {
    let dial = |address: SocketAddr| -> Connecting {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            Ok(Box::new(stream) as Box<dyn Socket>)
        })
    };
    let address = SocketAddr::new(turmoil::lookup(host(node)), HTTP_PORT);
    Client::over(address, Box::new(dial), PATIENCE)
}
