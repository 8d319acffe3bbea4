//! How a connection begins: TLS, a greeting, a welcome, from version 2 on the disks. Both sides of it.
//!
//! In: a fresh connection. Out: one on which frames of an agreed version may follow, and who is at
//! the other end. Whoever has no certificate of the cluster gets no further than TLS; whoever stands
//! on a disk that does not count hears so, and nothing of it is heard.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use consign_runtime::{DiskId, DiskWord};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::identity::{Identity, is_of, name_of};
use crate::transport::Handler;
use crate::wire::{
    ClusterId, DISKS_SINCE, Frame, GREETING_BYTES_MAX, Greeting, HEAD_BYTES, Lane, NodeId, Welcome,
    WireError,
};

/// How often a node that starts looks whether it knows its disk.
const STARTS_LOOK_EVERY: Duration = Duration::from_millis(20);
/// What a node hears that comes with another disk.
const OTHER_DISK: &[u8] = b"this number is known by another disk";

/// A connection, over TLS or plain.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// What a node says of itself when it greets or is greeted.
#[derive(Clone, Debug)]
pub(crate) struct Me {
    pub(crate) cluster: ClusterId,
    pub(crate) node: NodeId,
    /// The oldest and the newest version of frames.
    pub(crate) versions: (u16, u16),
    pub(crate) identity: Option<Identity>,
}

/// Why two nodes did not come together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GreetingError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("its greeting is not understood: {0}")]
    Wire(#[from] WireError),
    #[error("it hung up")]
    HungUp,
    #[error("it goes on before it was welcomed")]
    Hasty,
    #[error("it is refused: {0:?}")]
    Refused(Welcome),
    #[error("it refuses: {0:?}")]
    RefusedUs(Welcome),
    #[error("it knows this node by another disk")]
    OurDisk,
    #[error("{0} comes with another disk than the one it is known by")]
    TheirDisk(NodeId),
}

/// A connection on which frames may follow, and what was agreed for it.
pub(crate) struct Greeted {
    pub(crate) stream: Box<dyn Wire>,
    /// Who is at the other end.
    pub(crate) peer: NodeId,
    pub(crate) lane: Lane,
    pub(crate) version: u16,
    /// On which disk the other stands; none at version 1.
    pub(crate) disk: Option<DiskId>,
}

type Frames = Framed<Box<dyn Wire>, LengthDelimitedCodec>;

/// Dials: proves who we are and hears whether we are welcome.
pub(crate) async fn greet(
    me: &Me,
    disks: &dyn Handler,
    to: NodeId,
    lane: Lane,
    stream: impl Wire + 'static,
) -> Result<Greeted, GreetingError> {
    let stream: Box<dyn Wire> = match &me.identity {
        None => Box::new(stream),
        Some(identity) => {
            let connector = TlsConnector::from(identity.client.clone());
            Box::new(connector.connect(name_of(to), stream).await?)
        }
    };
    let mut frames = Framed::new(stream, codec(GREETING_BYTES_MAX));
    let greeting = Greeting {
        oldest: me.versions.0,
        newest: me.versions.1,
        cluster: me.cluster,
        from: me.node,
        to,
        lane,
    };
    frames.send(greeting.encode()).await?;
    let body = frames.next().await.ok_or(GreetingError::HungUp)??;
    let version = match Welcome::decode(&body)? {
        Welcome::Accepted(version) if (me.versions.0..=me.versions.1).contains(&version) => version,
        other => return Err(GreetingError::RefusedUs(other)),
    };
    let theirs = if version >= DISKS_SINCE {
        let ours = own_disk(disks).await;
        frames.send(body_of(&Frame::Disk(ours))).await?;
        let theirs = hear_disk(&mut frames).await;
        if matches!(theirs, Err(GreetingError::OurDisk)) {
            disks.disk_refused(to, true);
        }
        Some(theirs?)
    } else {
        None
    };
    disks.disk_refused(to, false);
    take_disk(&mut frames, disks, to, theirs).await?;
    greeted(frames, (to, lane), version, theirs)
}

/// Is dialled: hears who comes and says whether they may.
pub(crate) async fn receive(
    me: &Me,
    disks: &dyn Handler,
    stream: impl Wire + 'static,
) -> Result<Greeted, GreetingError> {
    let Some(identity) = &me.identity else {
        return welcome(me, disks, Box::new(stream), |_| true).await;
    };
    let acceptor = TlsAcceptor::from(identity.server.clone());
    let session = acceptor.accept(stream).await?;
    let certificates: Option<Vec<_>> = session.get_ref().1.peer_certificates().map(<[_]>::to_vec);
    let is_of = |from| is_of(certificates.as_deref(), from);
    welcome(me, disks, Box::new(session), is_of).await
}

async fn welcome(
    me: &Me,
    disks: &dyn Handler,
    stream: Box<dyn Wire>,
    is_of: impl Fn(NodeId) -> bool,
) -> Result<Greeted, GreetingError> {
    let mut frames = Framed::new(stream, codec(GREETING_BYTES_MAX));
    let body = frames.next().await.ok_or(GreetingError::HungUp)??;
    let greeting = Greeting::decode(&body)?;
    let version = greeting.newest.min(me.versions.1);
    let answer = if greeting.cluster != me.cluster {
        Welcome::OtherCluster
    } else if greeting.to != me.node {
        Welcome::OtherNode
    } else if !is_of(greeting.from) {
        Welcome::NotYou
    } else if version < greeting.oldest.max(me.versions.0) {
        Welcome::OtherVersion(me.versions.1)
    } else {
        Welcome::Accepted(version)
    };
    frames.send(answer.encode()).await?;
    if !matches!(answer, Welcome::Accepted(_)) {
        return Err(GreetingError::Refused(answer));
    }
    let theirs = if version >= DISKS_SINCE {
        let theirs = hear_disk(&mut frames).await?;
        let ours = own_disk(disks).await;
        take_disk(&mut frames, disks, greeting.from, Some(theirs)).await?;
        frames.send(body_of(&Frame::Disk(ours))).await?;
        Some(theirs)
    } else {
        take_disk(&mut frames, disks, greeting.from, None).await?;
        None
    };
    greeted(frames, (greeting.from, greeting.lane), version, theirs)
}

/// On which disk this node stands. While it starts it does not know, and lets the other side wait.
async fn own_disk(disks: &dyn Handler) -> DiskWord {
    loop {
        match disks.disk() {
            Some(word) => return word,
            None => tokio::time::sleep(STARTS_LOOK_EVERY).await,
        }
    }
}

async fn hear_disk(frames: &mut Frames) -> Result<DiskWord, GreetingError> {
    let body = frames.next().await.ok_or(GreetingError::HungUp)??;
    match Frame::decode(body.freeze())? {
        Frame::Disk(word) => Ok(word),
        Frame::Refusal { .. } => Err(GreetingError::OurDisk),
        _ => Err(GreetingError::Hasty),
    }
}

/// Goes on only with a disk that counts here; the other side hears why not.
async fn take_disk(
    frames: &mut Frames,
    disks: &dyn Handler,
    peer: NodeId,
    theirs: Option<DiskWord>,
) -> Result<(), GreetingError> {
    if disks.meet(peer, theirs).await {
        return Ok(());
    }
    let reason = Bytes::from_static(OTHER_DISK);
    frames
        .send(body_of(&Frame::Refusal { id: 0, reason }))
        .await?;
    Err(GreetingError::TheirDisk(peer))
}

/// A frame without its length, which the codec puts before it.
fn body_of(frame: &Frame) -> Bytes {
    let mut bytes = BytesMut::new();
    frame.put(&mut bytes);
    bytes.split_off(size_of::<u32>()).freeze()
}

/// The connection without what framed the greeting. Nobody says more before both have greeted.
fn greeted(
    frames: Frames,
    (peer, lane): (NodeId, Lane),
    version: u16,
    theirs: Option<DiskWord>,
) -> Result<Greeted, GreetingError> {
    if !frames.read_buffer().is_empty() {
        return Err(GreetingError::Hasty);
    }
    Ok(Greeted {
        stream: frames.into_inner(),
        peer,
        lane,
        version,
        disk: theirs.map(|word| word.disk),
    })
}

/// What cuts a lane's bytes into frames.
pub(crate) fn codec_of(lane: Lane) -> LengthDelimitedCodec {
    // A request has four bytes before its payload.
    codec(HEAD_BYTES + 4 + lane.payload_bytes_max())
}

fn codec(longest: usize) -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder()
        .max_frame_length(longest)
        .new_codec()
}
