//! The bytes between nodes. Everything is a frame: four bytes of length, big endian, then its body.
//!
//! ```text
//! greeting   "CONSIGN\0"  oldest u16  newest u16  cluster u128  from u64  to u64  lane u8
//! welcome    code u8      version u16 (of code 0: agreed; of code 1: the newest known)
//! frame      kind u8      id u64      rest: payload
//!   0 ping      id: any number
//!   1 pong      id: the ping's
//!   2 message   id: 0, payload: the message
//!   3 request   id: the sender's own, payload: milliseconds left u32, the question
//!   4 answer    id: the request's, payload: the answer
//!   5 refusal   id: the request's, payload: why, in UTF-8
//!   6 disk      id: 0, payload: disk u128, empty u8; from version 2 on
//! ```
//! At version 2 each side's first frame is its disk, the dialling side's first; whoever does not take the
//! other's disk says so with a refusal of id 0 in place of anything else, and hangs up.
//!
//! Integers are little endian. Greeting and welcome never change, whatever the version: two nodes of
//! different versions must be able to tell each other so.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use consign_runtime::{DiskId, DiskWord};

/// The version of frames that this build speaks best.
pub const WIRE_VERSION: u16 = 2;
/// The oldest that it still speaks: one version back, so that a cluster can be upgraded node by node.
pub const WIRE_VERSION_OLDEST: u16 = 1;
/// Bytes of a greeting's or welcome's body at most.
pub(crate) const GREETING_BYTES_MAX: usize = 64;
/// Bytes of a frame's head: kind and id.
pub(crate) const HEAD_BYTES: usize = 9;
/// The first version at which each side says on which disk it stands.
pub(crate) const DISKS_SINCE: u16 = 2;

const MAGIC: &[u8; 8] = b"CONSIGN\0";
const GREETING_BYTES: usize = 8 + 2 + 2 + 16 + 8 + 8 + 1;
const WELCOME_BYTES: usize = 3;
const DISK_BYTES: usize = 16 + 1;

/// Names a node; never given twice in a cluster's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

impl std::fmt::Display for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node-{}", self.0)
    }
}

/// Names a cluster: drawn when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub u128);

/// Kinds of traffic that must not wait for each other: each has connections and bounds of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Of all groups' replicas, packed.
    Replicas,
    /// Between entities, and from gateways to leaders.
    Entities,
    /// Pieces of snapshots.
    Snapshots,
}

impl Lane {
    /// All lanes.
    pub const ALL: [Lane; 3] = [Lane::Replicas, Lane::Entities, Lane::Snapshots];

    /// The longest payload of a frame, in bytes.
    #[must_use]
    pub fn payload_bytes_max(self) -> usize {
        match self {
            // A journal's entry of 64 MiB at most, and what is said about it.
            Lane::Replicas => 72 << 20,
            Lane::Entities => 16 << 20,
            Lane::Snapshots => 4 << 20,
        }
    }

    /// For metrics and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Lane::Replicas => "replicas",
            Lane::Entities => "entities",
            Lane::Snapshots => "snapshots",
        }
    }

    fn code(self) -> u8 {
        match self {
            Lane::Replicas => 0,
            Lane::Entities => 1,
            Lane::Snapshots => 2,
        }
    }

    fn of_code(code: u8) -> Option<Lane> {
        Lane::ALL.into_iter().find(|lane| lane.code() == code)
    }
}

/// The first that a dialling node says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Greeting {
    pub(crate) oldest: u16,
    pub(crate) newest: u16,
    pub(crate) cluster: ClusterId,
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) lane: Lane,
}

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    #[error("it does not begin like a greeting")]
    NotConsign,
    #[error("it has {0} bytes, which no such message has")]
    Length(usize),
    #[error("it names lane {0}, which there is not")]
    Lane(u8),
    #[error("it is of kind {0}, which there is not")]
    Kind(u8),
    #[error("its welcome has code {0}, which there is not")]
    Welcome(u8),
}

impl Greeting {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(GREETING_BYTES);
        out.put_slice(MAGIC);
        out.put_u16_le(self.oldest);
        out.put_u16_le(self.newest);
        out.put_u128_le(self.cluster.0);
        out.put_u64_le(self.from.0);
        out.put_u64_le(self.to.0);
        out.put_u8(self.lane.code());
        out.freeze()
    }

    pub(crate) fn decode(mut body: &[u8]) -> Result<Greeting, WireError> {
        if !body.starts_with(MAGIC) {
            return Err(WireError::NotConsign);
        }
        if body.len() != GREETING_BYTES {
            return Err(WireError::Length(body.len()));
        }
        body.advance(MAGIC.len());
        let (oldest, newest) = (body.get_u16_le(), body.get_u16_le());
        let cluster = ClusterId(body.get_u128_le());
        let (from, to) = (NodeId(body.get_u64_le()), NodeId(body.get_u64_le()));
        let code = body.get_u8();
        Ok(Greeting {
            oldest,
            newest,
            cluster,
            from,
            to,
            lane: Lane::of_code(code).ok_or(WireError::Lane(code))?,
        })
    }
}

/// The answer to a greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Welcome {
    /// Come in; frames are of this version.
    Accepted(u16),
    /// No version in common; this is the newest that is known here.
    OtherVersion(u16),
    /// This is another cluster.
    OtherCluster,
    /// This is another node.
    OtherNode,
    /// The certificate is not that of the node that was named.
    NotYou,
}

impl Welcome {
    pub(crate) fn encode(self) -> Bytes {
        let (code, version) = match self {
            Welcome::Accepted(version) => (0, version),
            Welcome::OtherVersion(newest) => (1, newest),
            Welcome::OtherCluster => (2, 0),
            Welcome::OtherNode => (3, 0),
            Welcome::NotYou => (4, 0),
        };
        let mut out = BytesMut::with_capacity(WELCOME_BYTES);
        out.put_u8(code);
        out.put_u16_le(version);
        out.freeze()
    }

    pub(crate) fn decode(mut body: &[u8]) -> Result<Welcome, WireError> {
        if body.len() != WELCOME_BYTES {
            return Err(WireError::Length(body.len()));
        }
        let (code, version) = (body.get_u8(), body.get_u16_le());
        Ok(match code {
            0 => Welcome::Accepted(version),
            1 => Welcome::OtherVersion(version),
            2 => Welcome::OtherCluster,
            3 => Welcome::OtherNode,
            4 => Welcome::NotYou,
            other => return Err(WireError::Welcome(other)),
        })
    }
}

/// What goes over a connection once both sides have greeted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Ping(u64),
    Pong(u64),
    Message(Bytes),
    Request {
        id: u64,
        left_ms: u32,
        question: Bytes,
    },
    Answer {
        id: u64,
        answer: Bytes,
    },
    Refusal {
        id: u64,
        reason: Bytes,
    },
    Disk(DiskWord),
}

impl Frame {
    /// Bytes of the body.
    pub(crate) fn size(&self) -> usize {
        HEAD_BYTES
            + match self {
                Frame::Ping(_) | Frame::Pong(_) => 0,
                Frame::Message(payload) => payload.len(),
                Frame::Request { question, .. } => 4 + question.len(),
                Frame::Answer { answer, .. } => answer.len(),
                Frame::Refusal { reason, .. } => reason.len(),
                Frame::Disk(_) => DISK_BYTES,
            }
    }

    /// Appends the frame, its length first. The sender keeps to its lane's bound.
    pub(crate) fn put(&self, out: &mut BytesMut) {
        let size = self.size();
        out.reserve(4 + size);
        out.put_u32(u32::try_from(size).expect("bounded by the lane"));
        let (kind, id) = match self {
            Frame::Ping(id) => (0, *id),
            Frame::Pong(id) => (1, *id),
            Frame::Message(_) => (2, 0),
            Frame::Request { id, .. } => (3, *id),
            Frame::Answer { id, .. } => (4, *id),
            Frame::Refusal { id, .. } => (5, *id),
            Frame::Disk(_) => (6, 0),
        };
        out.put_u8(kind);
        out.put_u64_le(id);
        match self {
            Frame::Ping(_) | Frame::Pong(_) => {}
            Frame::Message(payload) => out.put_slice(payload),
            Frame::Request {
                left_ms, question, ..
            } => {
                out.put_u32_le(*left_ms);
                out.put_slice(question);
            }
            Frame::Answer { answer, .. } => out.put_slice(answer),
            Frame::Refusal { reason, .. } => out.put_slice(reason),
            Frame::Disk(word) => {
                out.put_u128_le(word.disk.0);
                out.put_u8(u8::from(word.is_empty));
            }
        }
    }

    /// Reads a frame off its body, without a copy of the payload.
    pub(crate) fn decode(mut body: Bytes) -> Result<Frame, WireError> {
        if body.len() < HEAD_BYTES {
            return Err(WireError::Length(body.len()));
        }
        let (kind, id) = (body.get_u8(), body.get_u64_le());
        let bare = |frame, body: &Bytes| match body.len() {
            0 => Ok(frame),
            more => Err(WireError::Length(HEAD_BYTES + more)),
        };
        match kind {
            0 => bare(Frame::Ping(id), &body),
            1 => bare(Frame::Pong(id), &body),
            2 => Ok(Frame::Message(body)),
            3 if body.len() >= 4 => Ok(Frame::Request {
                id,
                left_ms: body.get_u32_le(),
                question: body,
            }),
            3 => Err(WireError::Length(HEAD_BYTES + body.len())),
            4 => Ok(Frame::Answer { id, answer: body }),
            5 => Ok(Frame::Refusal { id, reason: body }),
            6 if body.len() == DISK_BYTES => Ok(Frame::Disk(DiskWord {
                disk: DiskId(body.get_u128_le()),
                is_empty: body.get_u8() != 0,
            })),
            6 => Err(WireError::Length(HEAD_BYTES + body.len())),
            other => Err(WireError::Kind(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These bytes are read by nodes of other versions: they must never change.
    #[test]
    fn greetings_keep_their_bytes() {
        let greeting = Greeting {
            oldest: 1,
            newest: 2,
            cluster: ClusterId(0x0102),
            from: NodeId(3),
            to: NodeId(4),
            lane: Lane::Snapshots,
        };
        let mut expected = b"CONSIGN\0".to_vec();
        expected.extend([1, 0, 2, 0]);
        expected.extend([2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!(greeting.encode(), expected);
        assert_eq!(Greeting::decode(&expected), Ok(greeting));
        assert_eq!(Welcome::Accepted(258).encode().as_ref(), [0, 2, 1]);
        assert_eq!(Welcome::NotYou.encode().as_ref(), [4, 0, 0]);
        for cut in 0..expected.len() {
            assert!(Greeting::decode(&expected[..cut]).is_err(), "{cut}");
        }
        assert_eq!(
            Greeting::decode(b"GET / HTTP/1.1\r\n"),
            Err(WireError::NotConsign)
        );
    }

    #[test]
    fn frames_come_back_as_they_went() {
        let frames = [
            Frame::Ping(7),
            Frame::Pong(u64::MAX),
            Frame::Message(Bytes::from_static(b"hello")),
            Frame::Request {
                id: 9,
                left_ms: 250,
                question: Bytes::new(),
            },
            Frame::Answer {
                id: 9,
                answer: Bytes::from_static(&[0, 255]),
            },
            Frame::Refusal {
                id: 9,
                reason: Bytes::from_static(b"not here"),
            },
            Frame::Disk(DiskWord {
                disk: DiskId(u128::MAX - 1),
                is_empty: true,
            }),
        ];
        for frame in frames {
            let mut out = BytesMut::new();
            frame.put(&mut out);
            assert_eq!(out.get_u32() as usize, out.len());
            assert_eq!(out.len(), frame.size());
            assert_eq!(Frame::decode(out.freeze()), Ok(frame));
        }
    }

    #[test]
    fn mangled_frames_are_refused() {
        let decode = |body: &'static [u8]| Frame::decode(Bytes::from_static(body));
        assert_eq!(decode(&[2, 0]), Err(WireError::Length(2)));
        assert_eq!(decode(&[9; 9]), Err(WireError::Kind(9)));
        assert_eq!(decode(&[0; 10]), Err(WireError::Length(10)));
        assert_eq!(
            decode(&[3, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2]),
            Err(WireError::Length(11))
        );
        assert_eq!(
            decode(&[6, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]),
            Err(WireError::Length(11))
        );
    }
}
