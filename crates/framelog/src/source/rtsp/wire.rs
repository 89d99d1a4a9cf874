//! An RTSP connection's bytes in both directions. Not for what is said over it.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use framelog_core::rtsp::message::{Item, ReadError, Reader};
use futures_util::FutureExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::source::dial::Stream;
use crate::wall;

/// What is allocated when a buffer is used up. Many packets share one.
const BUFFER_BYTES: usize = 64 << 10;

/// Less room than this is not worth a read.
const ROOM_BYTES_MIN: usize = 4 << 10;

/// The most that is read at a time, so that one camera can't keep others waiting.
const ROUND_BYTES_MAX: usize = 256 << 10;

/// The most that waits to be sent: a camera that asks and asks and doesn't read is none to go on with.
const OUT_BYTES_MAX: usize = 64 << 10;

/// After so long without bytes what is whole by its own account is whole.
const SETTLE: Duration = Duration::from_millis(50);

/// After so long nothing more is expected of a body either.
const OVER: Duration = Duration::from_secs(2);

/// Why no more comes.
#[derive(Debug, thiserror::Error)]
pub enum WireEnd {
    /// The camera closed.
    #[error("the camera closed the connection")]
    Closed,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    /// What came can't be followed.
    #[error("the camera sent {0}")]
    Unreadable(#[from] ReadError),
    /// It takes no answers.
    #[error("the camera asks, but doesn't read the answers")]
    Deaf,
}

/// See the module.
#[derive(Debug)]
pub struct Wire {
    stream: Stream,
    reader: Reader,
    /// What is to be sent.
    out: BytesMut,
    /// When the last bytes arrived.
    received_us: i64,
    /// How many bytes, since that was asked last.
    received: usize,
    silence: Silence,
    /// Why no more bytes come, once that is so.
    end: Option<WireEnd>,
}

/// How far waiting for more bytes has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Silence {
    None,
    Settled,
    Over,
}

impl Wire {
    /// Over an open connection.
    pub fn new(stream: Stream) -> Self {
        Self {
            stream,
            reader: Reader::default(),
            out: BytesMut::new(),
            received_us: 0,
            received: 0,
            silence: Silence::None,
            end: None,
        }
    }

    /// The connection.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Nothing more will be said over it.
    pub fn hang_up(&mut self) {
        let _ = self.stream.shutdown().now_or_never();
    }

    /// The same, at its end.
    pub fn into_stream(self) -> Stream {
        self.stream
    }

    /// How many bytes were received since this was asked last.
    pub fn take_received(&mut self) -> usize {
        std::mem::take(&mut self.received)
    }

    /// Has bytes sent while [`receive`](Self::receive) waits.
    pub fn send(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// The same for a packet of ours (RFC 2326 §10.12).
    pub fn send_packet(&mut self, channel: u8, packet: &[u8]) {
        let length = u16::try_from(packet.len()).unwrap_or(0).to_be_bytes();
        self.out
            .extend_from_slice(&[b'$', channel, length[0], length[1]]);
        self.out
            .extend_from_slice(&packet[..usize::from(u16::from_be_bytes(length))]);
    }

    /// What has been received, one by one; `None` when [`receive`](Self::receive) must wait for more.
    ///
    /// # Errors
    ///
    /// [`WireEnd`], once all that came before it has been handed out.
    pub fn item(&mut self) -> Result<Option<Item>, WireEnd> {
        match self.reader.poll(self.received_us)? {
            Some(item) => Ok(Some(item)),
            None => self.end.take().map_or(Ok(None), Err),
        }
    }

    /// What has come is all: what is whole by its own account is whole.
    pub fn settle(&mut self) {
        self.reader.settle(true);
    }

    /// Sends what is to be sent, and waits until there may be something to hand out. Nothing is lost when the future is dropped.
    pub async fn receive(&mut self) {
        let patience = match self.silence {
            _ if !self.reader.is_waiting() => None,
            Silence::None => Some(SETTLE),
            Silence::Settled => Some(OVER),
            Silence::Over => None,
        };
        let Some(patience) = patience else {
            return self.round().await;
        };
        if timeout(patience, self.round()).await.is_err() {
            let over = self.silence == Silence::Settled;
            self.silence = if over {
                Silence::Over
            } else {
                Silence::Settled
            };
            self.reader.settle(over);
        }
    }

    async fn round(&mut self) {
        let got = poll_fn(|cx| self.poll_round(cx)).await;
        if got >= ROUND_BYTES_MAX {
            // Also lets the runtime look at all sockets and timers, which it hardly does while tasks go on and on.
            tokio::task::yield_now().await;
        }
    }

    fn poll_round(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        self.poll_send(cx);
        let mut got = 0;
        while got < ROUND_BYTES_MAX && self.end.is_none() {
            let buffer = self.reader.buffer();
            if buffer.capacity() - buffer.len() < ROOM_BYTES_MIN {
                buffer.reserve(BUFFER_BYTES);
            }
            let Poll::Ready(read) = pin!(self.stream.read_buf(buffer)).poll(cx) else {
                break;
            };
            self.silence = Silence::None;
            match read {
                Ok(0) => self.end = Some(WireEnd::Closed),
                Ok(count) => got += count,
                // A TLS peer that closes without saying so has closed.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.end = Some(WireEnd::Closed);
                }
                Err(error) => self.end = Some(WireEnd::Broken(error)),
            }
        }
        if got > 0 {
            self.received_us = wall::now_us();
            self.received += got;
        }
        if self.end.is_some() {
            self.reader.settle(true);
        }
        match got == 0 && self.end.is_none() {
            true => Poll::Pending,
            false => Poll::Ready(got),
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) {
        while !self.out.is_empty() && self.end.is_none() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.out) {
                Poll::Ready(Ok(0)) => self.end = Some(WireEnd::Closed),
                Poll::Ready(Ok(count)) => self.out.advance(count),
                // A camera that says why before it closes has been heard all the same: reading tells.
                Poll::Ready(Err(_)) => self.out.clear(),
                Poll::Pending if self.out.len() > OUT_BYTES_MAX => self.end = Some(WireEnd::Deaf),
                Poll::Pending => return,
            }
        }
        let _ = Pin::new(&mut self.stream).poll_flush(cx);
    }
}
