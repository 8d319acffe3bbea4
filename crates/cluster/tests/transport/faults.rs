//! The same transport in a simulated network: cut, healed, dropped one way, held. Time is simulated
//! as well, and a run with a seed replays exactly.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use consign_cluster::{
    CallError, Lane, Network, NodeId, Transport, TransportOptions, WIRE_VERSION,
    WIRE_VERSION_OLDEST,
};
use parking_lot::Mutex;
use tokio::time::Instant;
use turmoil::net::{TcpListener, TcpStream};

use crate::world::{CLUSTER, Listener};

/// The network of turmoil.
struct Simulated;

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

const PORT: u16 = 7_000;

async fn start(n: u64, listener: Arc<Listener>) -> Transport {
    let options = TransportOptions {
        cluster: CLUSTER,
        node: NodeId(n),
        listen: format!("0.0.0.0:{PORT}"),
        // TLS draws random numbers and reads the system's clock: it would not replay.
        identity: None,
        versions: (WIRE_VERSION_OLDEST, WIRE_VERSION),
        seed: n,
    };
    let transport = Transport::start(Simulated, options, listener).await;
    let transport = transport.expect("listens");
    for other in (1..=2).filter(|other| *other != n) {
        transport.set_peer(NodeId(other), &format!("node-{other}:{PORT}"));
    }
    transport
}

/// What happened, and when, in milliseconds since the beginning.
type Trace = Arc<Mutex<Vec<(u128, String)>>>;

/// Two nodes; the first asks the second, while `script` has its way with the network.
fn run(seed: u64, script: impl AsyncFnOnce(&Asking) + 'static) -> Vec<(u128, String)> {
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .simulation_duration(Duration::from_secs(120))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(20))
        .build();
    sim.host("node-2", || async {
        let _transport = start(2, Arc::default()).await;
        std::future::pending::<()>().await;
        Ok(())
    });
    let trace = Trace::default();
    let told = Arc::clone(&trace);
    sim.client("node-1", async move {
        let asking = Asking {
            transport: start(1, Arc::default()).await,
            since: Instant::now(),
            trace: told,
        };
        script(&asking).await;
        Ok(())
    });
    sim.run().expect("the script ends well");
    drop(sim);
    let trace = trace.lock();
    trace.clone()
}

struct Asking {
    transport: Transport,
    since: Instant,
    trace: Trace,
}

impl Asking {
    async fn ask(&self, within: Duration) -> Result<Bytes, CallError> {
        let question = Bytes::from_static(b"echo hello");
        let deadline = Instant::now() + within;
        let answer = self
            .transport
            .call(NodeId(2), Lane::Entities, question, deadline)
            .await;
        let at = self.since.elapsed().as_millis();
        self.trace.lock().push((at, format!("{answer:?}")));
        answer
    }

    /// How long it takes until an answer comes again.
    async fn until_answered(&self) -> Duration {
        let since = Instant::now();
        while self.ask(Duration::from_millis(500)).await.is_err() {
            assert!(since.elapsed() < Duration::from_secs(30), "never answered");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        since.elapsed()
    }
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn a_cut_is_noticed_and_healed() {
    run(1, async |node| {
        assert!(node.ask(LONG).await.is_ok());
        turmoil::partition("node-1", "node-2");
        let since = Instant::now();
        assert_eq!(node.ask(LONG).await, Err(CallError::Lost));
        let noticed = since.elapsed();
        assert!(noticed < Duration::from_secs(4), "{noticed:?}");
        turmoil::repair("node-1", "node-2");
        let healed = node.until_answered().await;
        assert!(healed < Duration::from_secs(5), "{healed:?}");
    });
}

#[test]
fn a_one_way_drop_is_noticed_either_way() {
    for (from, to) in [("node-1", "node-2"), ("node-2", "node-1")] {
        run(2, async move |node| {
            assert!(node.ask(LONG).await.is_ok());
            turmoil::partition_oneway(from, to);
            let since = Instant::now();
            assert_eq!(node.ask(LONG).await, Err(CallError::Lost));
            assert!(since.elapsed() < Duration::from_secs(4));
            turmoil::repair_oneway(from, to);
            assert!(node.until_answered().await < Duration::from_secs(5));
        });
    }
}

#[test]
fn a_peer_that_holds_everything_is_taken_for_gone() {
    run(3, async |node| {
        assert!(node.ask(LONG).await.is_ok());
        turmoil::hold("node-1", "node-2");
        assert_eq!(node.ask(LONG).await, Err(CallError::Lost));
        turmoil::release("node-1", "node-2");
        assert!(node.until_answered().await < Duration::from_secs(5));
    });
}

#[test]
fn what_has_waited_for_too_long_is_not_sent() {
    let heard: Arc<Listener> = Arc::default();
    let mut sim = turmoil::Builder::new()
        .rng_seed(4)
        .simulation_duration(Duration::from_secs(120))
        .build();
    let listener = Arc::clone(&heard);
    sim.host("node-2", move || {
        let listener = Arc::clone(&listener);
        async move {
            let _transport = start(2, listener).await;
            std::future::pending::<()>().await;
            Ok(())
        }
    });
    sim.client("node-1", async {
        turmoil::partition("node-1", "node-2");
        let transport = start(1, Arc::default()).await;
        let send = |text: &'static str| {
            let sent = transport.send(
                NodeId(2),
                Lane::Entities,
                Bytes::from_static(text.as_bytes()),
            );
            sent.expect("there is room");
        };
        send("old");
        tokio::time::sleep(Duration::from_secs(6)).await;
        send("new");
        turmoil::repair("node-1", "node-2");
        tokio::time::sleep(Duration::from_secs(6)).await;
        Ok(())
    });
    sim.run().expect("ends well");
    let heard = heard.messages.lock();
    let texts: Vec<&[u8]> = heard.iter().map(|(_, _, text)| text.as_ref()).collect();
    assert_eq!(texts, [b"new"]);
}

/// 1,024 questions that take forever fill a connection: further ones are refused, and the node behind
/// it is busy, not dead.
#[test]
fn a_busy_peer_refuses_and_is_not_taken_for_gone() {
    run(5, async |node| {
        let ask = |text: &'static [u8]| {
            let question = Bytes::from_static(text);
            let deadline = Instant::now() + LONG;
            node.transport
                .call(NodeId(2), Lane::Entities, question, deadline)
        };
        assert!(ask(b"echo hello").await.is_ok());
        let endless = futures::future::join_all((0..1_024).map(|_| ask(b"never")));
        let one_more = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let refused = ask(b"echo hello").await;
            assert!(matches!(refused, Err(CallError::Refused(_))), "{refused:?}");
        };
        let (endless, ()) = tokio::join!(endless, one_more);
        // Far longer than a node may be silent: each ends by its own deadline, none is lost.
        assert!(endless.iter().all(|end| *end == Err(CallError::TimedOut)));
    });
}

/// The law of simulations: the same seed, the same run, to the millisecond.
#[test]
fn a_seed_replays() {
    let story = |seed| {
        run(seed, async |node| {
            for _ in 0..20 {
                let _ = node.ask(Duration::from_millis(300)).await;
            }
            turmoil::partition("node-1", "node-2");
            for _ in 0..20 {
                let _ = node.ask(Duration::from_millis(300)).await;
            }
            turmoil::repair("node-1", "node-2");
            node.until_answered().await;
        })
    };
    let first = story(42);
    assert!(first.len() > 40);
    assert_eq!(first, story(42));
    assert_ne!(first, story(43));
}
