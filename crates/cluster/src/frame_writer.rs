//! The writing end of a connection: frames are packed, so that many leave in one write.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::alive::Alive;
use crate::wire::Frame;

/// Frames that are packed together at most.
pub(crate) const WRITE_FRAMES_MAX: usize = 256;
/// Bytes over which nothing more is packed with them.
const WRITE_BYTES_MAX: usize = 1 << 20;

/// Packs frames and writes them.
pub(crate) struct FrameWriter<W> {
    write: W,
    packed: BytesMut,
    alive: Alive,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    pub(crate) fn new(write: W, alive: Alive) -> FrameWriter<W> {
        FrameWriter {
            write,
            packed: BytesMut::new(),
            alive,
        }
    }

    /// Packs a frame; writes what is packed when it is much.
    pub(crate) async fn put(&mut self, frame: &Frame) -> io::Result<()> {
        frame.put(&mut self.packed);
        match self.packed.len() >= WRITE_BYTES_MAX {
            true => self.flush().await,
            false => Ok(()),
        }
    }

    /// Writes all that is packed. A piece that had to wait for room and then found it is a sign of
    /// life: the other end has taken earlier ones. One that the system takes at once says nothing.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        while !self.packed.is_empty() {
            let mut has_waited = false;
            let written = poll_fn(|context| {
                let written = Pin::new(&mut self.write).poll_write(context, &self.packed);
                has_waited |= written.is_pending();
                written
            });
            match written.await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                bytes => self.packed.advance(bytes),
            }
            if has_waited {
                self.alive.sign();
            }
        }
        self.write.flush().await
    }
}
