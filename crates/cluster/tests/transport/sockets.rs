//! Over the system's sockets, with mutual TLS: what arrives, and who is refused.

use std::time::Duration;

use bytes::Bytes;
use consign_cluster::certs;
use consign_cluster::{
    CallError, ClusterId, Identity, Lane, NodeId, SendError, TransportOptions, WIRE_VERSION,
};
use consign_runtime::{DiskId, DiskWord};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::world::{DISK, Node, eventually, options, start};

const PATIENCE: Duration = Duration::from_secs(10);

/// Two nodes of one cluster that know each other.
async fn pair() -> (Node, Node) {
    let authority = certs::authority().expect("a key");
    let one = start(options(&authority, 1)).await;
    let two = start(options(&authority, 2)).await;
    one.knows(2, &two);
    two.knows(1, &one);
    (one, two)
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_arrive_in_order_and_questions_are_answered() {
    let (one, two) = pair().await;
    for n in 0..1_000_u32 {
        let payload = Bytes::from(n.to_string());
        one.transport
            .send(NodeId(2), Lane::Replicas, payload)
            .expect("there is room");
    }
    eventually("all messages arrive", || {
        two.listener.messages.lock().len() == 1_000
    })
    .await;
    for (n, (from, lane, payload)) in two.listener.messages.lock().iter().enumerate() {
        assert_eq!((*from, *lane), (NodeId(1), Lane::Replicas));
        assert_eq!(payload, n.to_string().as_bytes());
    }
    let asked = (0..200).map(|n| {
        let two = &two;
        async move { two.echo(1, &n.to_string(), PATIENCE).await }
    });
    let answers = futures::future::join_all(asked).await;
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer, Some(Bytes::from(n.to_string())));
    }
    let question = Bytes::from_static(b"sing");
    let refused = one
        .transport
        .call(
            NodeId(2),
            Lane::Entities,
            question,
            Instant::now() + PATIENCE,
        )
        .await;
    assert_eq!(refused, Err(CallError::Refused("only echoes".to_owned())));
    let nobody = one.transport.send(NodeId(9), Lane::Entities, Bytes::new());
    assert_eq!(nobody, Err(SendError::Unknown(NodeId(9))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_answer_ends_with_its_deadline_and_holds_up_nobody() {
    let (one, _two) = pair().await;
    assert!(one.echo(2, "there", PATIENCE).await.is_some());
    let slow = Bytes::from_static(b"slow boat");
    let call = |within| {
        let deadline = Instant::now() + within;
        one.transport
            .call(NodeId(2), Lane::Entities, slow.clone(), deadline)
    };
    let (late, quick, patient) = tokio::join!(
        call(Duration::from_millis(100)),
        one.echo(2, "quick", Duration::from_millis(900)),
        call(PATIENCE),
    );
    assert_eq!(late, Err(CallError::TimedOut));
    assert_eq!(quick, Some(Bytes::from_static(b"quick")));
    assert_eq!(patient, Ok(Bytes::from_static(b"boat")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_or_too_much_is_refused_at_once() {
    let authority = certs::authority().expect("a key");
    let one = start(options(&authority, 1)).await;
    // Nobody listens there.
    one.transport.set_peer(NodeId(2), "127.0.0.1:9");
    let send = |bytes: usize| {
        let payload = Bytes::from(vec![0; bytes]);
        one.transport.send(NodeId(2), Lane::Snapshots, payload)
    };
    let max = Lane::Snapshots.payload_bytes_max();
    assert!(matches!(send(max + 1), Err(SendError::TooLarge { .. })));
    let taken = (0..100).take_while(|_| send(max).is_ok()).count();
    assert_eq!(taken, 16, "64 MiB of 4 MiB each");
    let small = (0..10_000).filter(|_| send(0).is_ok()).count();
    assert_eq!(small + taken, 4_096, "frames that wait have a bound, too");
    let status = one.transport.peers();
    let full = status.iter().find(|peer| peer.lane == Lane::Snapshots);
    assert!(full.expect("known").dropped > 5_000);
}

/// One node that dials another and is refused; what it is told.
async fn refused(dialling: TransportOptions, dialled: TransportOptions) -> String {
    let to = dialled.node.0;
    let (one, two) = (start(dialling).await, start(dialled).await);
    one.knows(to, &two);
    eventually("it is refused", || one.trouble(to).is_some()).await;
    let answer = one.echo(to, "let me in", Duration::from_millis(200)).await;
    assert_eq!(answer, None);
    assert!(two.listener.messages.lock().is_empty());
    one.trouble(to).expect("there was")
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused() {
    let authority = certs::authority().expect("a key");
    let foreign = certs::authority().expect("a key");
    let other_cluster = TransportOptions {
        cluster: ClusterId(78),
        ..options(&authority, 1)
    };
    let why = refused(other_cluster, options(&authority, 2)).await;
    assert!(why.contains("OtherCluster"), "{why}");
    let future = TransportOptions {
        versions: (WIRE_VERSION + 1, WIRE_VERSION + 2),
        ..options(&authority, 1)
    };
    let why = refused(future, options(&authority, 2)).await;
    assert!(why.contains("OtherVersion(2)"), "{why}");
    // A certificate of the cluster, but of another node than it says.
    let liar = TransportOptions {
        node: NodeId(3),
        ..options(&authority, 1)
    };
    let why = refused(liar, options(&authority, 2)).await;
    assert!(why.contains("NotYou"), "{why}");
    let why = refused(options(&foreign, 1), options(&authority, 2)).await;
    assert!(why.contains("certificate"), "{why}");
    // It trusts us, but we do not trust it.
    let own = certs::node(&foreign, NodeId(1)).expect("a certificate");
    let half = Identity::from_pem(&authority.certificate, &own.certificate, &own.key);
    let half = TransportOptions {
        identity: Some(half.expect("fits")),
        ..options(&authority, 1)
    };
    refused(half, options(&authority, 2)).await;
    let plain = TransportOptions {
        identity: None,
        ..options(&authority, 1)
    };
    refused(plain, options(&authority, 2)).await;
}

/// Two nodes speak the newest version that both know; from the second on they say their disks.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_all_versions_understand_each_other() {
    let authority = certs::authority().expect("a key");
    let speaks = |n, versions| TransportOptions {
        versions,
        ..options(&authority, n)
    };
    let (first, both, second) = ((1, 1), (1, 2), (2, 2));
    for (of_one, of_two, said) in [
        (first, first, None),
        (first, both, None),
        (both, first, None),
        (both, both, Some(DISK)),
        (both, second, Some(DISK)),
        (second, both, Some(DISK)),
        (second, second, Some(DISK)),
        // One from the future.
        (both, (1, 3), Some(DISK)),
    ] {
        let one = start(speaks(1, of_one)).await;
        let two = start(speaks(2, of_two)).await;
        one.knows(2, &two);
        two.knows(1, &one);
        let why = format!("{of_one:?} and {of_two:?}");
        assert!(one.echo(2, "there", PATIENCE).await.is_some(), "{why}");
        assert!(two.echo(1, "back", PATIENCE).await.is_some(), "{why}");
        for (node, other) in [(&one, 2), (&two, 1)] {
            let met = node.listener.met.lock().get(&NodeId(other)).copied();
            assert_eq!(met, Some(said), "{why}");
        }
    }
    for (of_one, of_two, newest) in [(first, second, 2), (second, first, 1)] {
        let why = refused(speaks(1, of_one), speaks(2, of_two)).await;
        assert!(why.contains(&format!("OtherVersion({newest})")), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_heard_of_a_node_with_a_disk_that_does_not_count() {
    let (one, two) = (options_of(1), options_of(2));
    let (one, two) = (start(one).await, start(two).await);
    let other = DiskWord {
        disk: DiskId(8),
        is_empty: true,
    };
    *two.listener.disk.lock() = Some(other);
    *one.listener.refuses.lock() = Some(other.disk);
    one.knows(2, &two);
    two.knows(1, &one);
    let by_one = || two.listener.refused_by.lock().contains(&NodeId(1));
    eventually("it hears that it is refused", by_one).await;
    let within = Duration::from_millis(300);
    assert_eq!(two.echo(1, "let me in", within).await, None);
    assert_eq!(one.echo(2, "who are you", within).await, None);
    let why = two.trouble(1).expect("it is refused");
    assert!(why.contains("another disk"), "{why}");
    assert!(one.listener.refused_by.lock().is_empty());
    // It counts now.
    *one.listener.refuses.lock() = None;
    assert!(two.echo(1, "and now", PATIENCE).await.is_some());
    assert!(one.echo(2, "welcome", PATIENCE).await.is_some());
    assert!(!by_one());
}

/// Who starts says nothing of its disk yet, so nobody is connected to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_starts_is_waited_for() {
    let (one, two) = (options_of(1), options_of(2));
    let (one, two) = (start(one).await, start(two).await);
    *two.listener.disk.lock() = None;
    one.knows(2, &two);
    let within = Duration::from_millis(300);
    assert_eq!(one.echo(2, "are you there", within).await, None);
    *two.listener.disk.lock() = Some(DISK);
    assert!(one.echo(2, "and now", PATIENCE).await.is_some());
}

/// Of a cluster without certificates.
fn options_of(n: u64) -> TransportOptions {
    let authority = certs::authority().expect("a key");
    TransportOptions {
        identity: None,
        ..options(&authority, n)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stalled_and_mangled_greetings_block_nobody() {
    let (one, two) = pair().await;
    let mut stalled = Vec::new();
    for _ in 0..200 {
        let silent = TcpStream::connect(two.transport.address()).await;
        stalled.push(silent.expect("the system accepts"));
    }
    let mut mangled = TcpStream::connect(two.transport.address())
        .await
        .expect("the system accepts");
    mangled
        .write_all(b"GET / HTTP/1.1\r\nhost: consign\r\n\r\n")
        .await
        .expect("sent");
    let asked = Instant::now();
    assert!(one.echo(2, "still there?", PATIENCE).await.is_some());
    assert!(asked.elapsed() < Duration::from_secs(5));
    // TLS says goodbye with an alert, and the connection ends.
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, mangled.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "it is hung up on");
    drop(stalled);
}

#[tokio::test(flavor = "multi_thread")]
async fn mangled_and_oversized_frames_end_only_their_connection() {
    let (one, two) = (start(options_of(1)).await, start(options_of(2)).await);
    one.knows(2, &two);
    assert!(one.echo(2, "hello", PATIENCE).await.is_some());
    let mut greeting = vec![0, 0, 0, 45];
    greeting.extend(b"CONSIGN\0");
    greeting.extend([1, 0, 1, 0]);
    greeting.extend(77_u128.to_le_bytes());
    greeting.extend(3_u64.to_le_bytes());
    greeting.extend(2_u64.to_le_bytes());
    greeting.push(1);
    let frames: [&[u8]; 4] = [
        // 2 GiB are announced.
        &[0x7f, 0xff, 0xff, 0xff],
        // A kind that there is not.
        &[0, 0, 0, 9, 99, 0, 0, 0, 0, 0, 0, 0, 0],
        // An answer that nobody asked for.
        &[0, 0, 0, 9, 4, 0, 0, 0, 0, 0, 0, 0, 0],
        // Too short for a frame.
        &[0, 0, 0, 1, 0],
    ];
    for frame in frames {
        let mut stranger = TcpStream::connect(two.transport.address())
            .await
            .expect("the system accepts");
        stranger.write_all(&greeting).await.expect("sent");
        let mut welcome = [0; 7];
        stranger.read_exact(&mut welcome).await.expect("welcome");
        assert_eq!(welcome, [0, 0, 0, 3, 0, 1, 0]);
        stranger.write_all(frame).await.expect("sent");
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stranger.read_to_end(&mut rest)).await;
        assert!(ended.is_ok() && rest.is_empty(), "{frame:?}");
    }
    assert!(one.echo(2, "and still", PATIENCE).await.is_some());
    assert!(two.listener.messages.lock().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_comes_back_elsewhere_is_found_again() {
    let authority = certs::authority().expect("a key");
    let one = start(options(&authority, 1)).await;
    let two = start(options(&authority, 2)).await;
    one.knows(2, &two);
    assert!(one.echo(2, "first", PATIENCE).await.is_some());
    two.transport.stop();
    eventually("it is missed", || {
        let peers = one.transport.peers();
        peers.iter().all(|peer| !peer.connected)
    })
    .await;
    let again = start(options(&authority, 2)).await;
    one.knows(2, &again);
    assert!(one.echo(2, "second", PATIENCE).await.is_some());
    one.transport.remove_peer(NodeId(2));
    let gone = one.transport.send(NodeId(2), Lane::Entities, Bytes::new());
    assert_eq!(gone, Err(SendError::Unknown(NodeId(2))));
}
