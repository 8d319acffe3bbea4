//! How a connection begins: TLS, a greeting, a welcome. Both sides of it.
//!
//! In: a fresh connection. Out: one on which frames of an agreed version may follow, and who is at
//! the other end. Whoever has no certificate of the cluster gets no further than TLS.

use std::io;

use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::identity::{Identity, is_of, name_of};
use crate::wire::{
    ClusterId, GREETING_BYTES_MAX, Greeting, HEAD_BYTES, Lane, NodeId, Welcome, WireError,
};

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
}

/// Dials: proves who we are and hears whether we are welcome.
pub(crate) async fn greet(
    me: &Me,
    to: NodeId,
    lane: Lane,
    stream: impl Wire + 'static,
) -> Result<Box<dyn Wire>, GreetingError> {
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
    match Welcome::decode(&body)? {
        Welcome::Accepted(version) if (me.versions.0..=me.versions.1).contains(&version) => {
            bare(frames)
        }
        other => Err(GreetingError::RefusedUs(other)),
    }
}

/// Is dialled: hears who comes and says whether they may.
pub(crate) async fn receive(
    me: &Me,
    stream: impl Wire + 'static,
) -> Result<(Box<dyn Wire>, NodeId, Lane), GreetingError> {
    let Some(identity) = &me.identity else {
        return welcome(me, Box::new(stream), |_| true).await;
    };
    let acceptor = TlsAcceptor::from(identity.server.clone());
    let session = acceptor.accept(stream).await?;
    let certificates: Option<Vec<_>> = session.get_ref().1.peer_certificates().map(<[_]>::to_vec);
    welcome(me, Box::new(session), |from| {
        is_of(certificates.as_deref(), from)
    })
    .await
}

async fn welcome(
    me: &Me,
    stream: Box<dyn Wire>,
    is_of: impl Fn(NodeId) -> bool,
) -> Result<(Box<dyn Wire>, NodeId, Lane), GreetingError> {
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
    match answer {
        Welcome::Accepted(_) => Ok((bare(frames)?, greeting.from, greeting.lane)),
        refused => Err(GreetingError::Refused(refused)),
    }
}

/// The connection without what framed the greeting. Nobody says more before both have greeted.
fn bare(
    frames: Framed<Box<dyn Wire>, LengthDelimitedCodec>,
) -> Result<Box<dyn Wire>, GreetingError> {
    match frames.read_buffer().is_empty() {
        true => Ok(frames.into_inner()),
        false => Err(GreetingError::Hasty),
    }
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
