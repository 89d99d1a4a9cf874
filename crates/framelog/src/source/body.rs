//! A response's body, read straight from the connection into buffers that are passed on, not copied, without its chunk layers.
//! Not for what the bytes are, nor for Content-Length, which cameras get wrong and only the reader of the payload can judge.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use framelog_core::chunked;
use tokio::io::AsyncReadExt;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};

use crate::source::buffers::{self, Amount};
use crate::source::chunk_layer::ChunkLayer;
use crate::source::dial::Stream;
use crate::source::exchange::Answer;

/// When so much has been read, others come first, so that one camera can't keep them waiting. The last read may bring as much again.
const ROUND_BYTES_MAX: usize = 256 << 10;

/// When so much has come in a round and the connection is not known to be empty, there is likely more.
const BULK_FROM_BYTES: usize = 64 << 10;

/// Limits on reading over a body that nobody wants, to use its connection again.
const DRAIN_BYTES_MAX: usize = 64 << 10;
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// Why no more bytes will come.
#[derive(Debug, thiserror::Error)]
pub enum BodyEnd {
    /// The last chunk is here. The connection goes on.
    #[error("the response ended")]
    Complete,
    /// The camera closed.
    #[error("the camera closed the connection")]
    Closed,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    /// The chunk layer can't be followed.
    #[error("{0}")]
    Chunks(#[from] chunked::Error),
}

/// See the module.
#[derive(Debug)]
pub struct Body {
    stream: Stream,
    /// What has been read, with all layers on it.
    pieces: Vec<Bytes>,
    /// The same without the outer one.
    inner_pieces: Vec<Bytes>,
    /// Whether the connection had no more to give when last asked: only then is its socket's readiness the whole truth.
    drained: bool,
    /// The last round ended though there may be more: others come first.
    sated: bool,
    end: Option<BodyEnd>,
    /// As the head declares it.
    outer: ChunkLayer,
    /// One that it doesn't speak of: the only one, or of a proxy that put another around it.
    inner: ChunkLayer,
    /// Payload bytes so far.
    received: u64,
    content_length: Option<u64>,
    keep_alive: bool,
}

impl Body {
    /// The body of an answer.
    pub fn new(answer: Answer) -> Self {
        let has_no_body = answer.has_no_body();
        let Answer {
            stream,
            early,
            mended,
            ..
        } = answer;
        let content_length = match has_no_body {
            true => Some(0),
            false => mended.content_length,
        };
        let may_be_hidden = mended.chunked || content_length.is_none();
        Self {
            stream,
            pieces: Vec::from_iter((!early.is_empty()).then(|| early.freeze())),
            inner_pieces: Vec::new(),
            drained: false,
            sated: false,
            end: None,
            outer: match mended.chunked {
                true => ChunkLayer::declared(),
                false => ChunkLayer::absent(),
            },
            inner: match may_be_hidden {
                true => ChunkLayer::hidden(),
                false => ChunkLayer::absent(),
            },
            received: 0,
            content_length,
            keep_alive: mended.keep_alive,
        }
    }

    /// Waits for payload and appends it to `out`: all that is there already, up to half a megabyte. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// [`BodyEnd`], once all payload before it has been handed out.
    pub async fn read(&mut self, out: &mut Vec<Bytes>) -> Result<(), BodyEnd> {
        let before = out.len();
        loop {
            if self.pieces.is_empty() {
                if let Some(end) = self.end.take() {
                    return Err(end);
                }
                if self.sated {
                    // Also lets the runtime look at all sockets and timers, which it hardly does while tasks go on and on.
                    yield_now().await;
                }
                poll_fn(|cx| self.poll_round(cx)).await;
            }
            self.unwrap_pieces(out);
            if out.len() > before {
                return Ok(());
            }
        }
    }

    /// Appends what may be the size of a first chunk: nothing more is waited for that would show it.
    pub fn end_doubt(&mut self, out: &mut Vec<Bytes>) {
        self.outer.give_up(&mut self.inner_pieces);
        self.inner.give_up(out);
        if self.inner.is_absent() {
            out.append(&mut self.inner_pieces);
        }
    }

    /// Reads over the rest of the body; the connection, if it can be used for another request after that.
    pub async fn drain(mut self) -> Result<Stream, Stream> {
        let limit = Instant::now() + DRAIN_TIME;
        let mut read_over = Vec::new();
        while self.keep_alive {
            if self.is_complete() {
                return Ok(self.stream);
            }
            read_over.clear();
            match timeout_at(limit, self.read(&mut read_over)).await {
                Ok(Ok(())) if self.received <= DRAIN_BYTES_MAX as u64 => {}
                Ok(Err(BodyEnd::Complete)) => return Ok(self.stream),
                _ => break,
            }
        }
        Err(self.stream)
    }

    /// The connection after its response has been read: `Ok` if it can be used again.
    pub fn into_stream(self) -> Result<Stream, Stream> {
        if self.keep_alive && self.end.is_none() {
            Ok(self.stream)
        } else {
            Err(self.stream)
        }
    }

    /// How many bytes of payload the head announced, where the chunk layer does not say so itself.
    pub fn content_length(&self) -> Option<u64> {
        self.content_length.filter(|_| self.outer.is_absent())
    }

    /// See [`Stream::receive_buffer`].
    pub fn receive_buffer(&self) -> Option<u64> {
        self.stream.receive_buffer()
    }

    fn is_complete(&self) -> bool {
        match self.content_length() {
            Some(length) => {
                let waiting: usize = self.pieces.iter().map(Bytes::len).sum();
                self.received + waiting as u64 == length
            }
            None => self.has_last_chunk(),
        }
    }

    /// Whether the last chunk has come: of the outer layer, if there are two.
    fn has_last_chunk(&self) -> bool {
        match self.outer.is_absent() {
            true => self.inner.is_done(),
            false => self.outer.is_done(),
        }
    }

    /// Reads what is there. One wake-up for a whole frame, if the frame is all there.
    fn poll_round(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.drained {
            // No buffer is allocated for a camera that is silent: a thousand of them wait here.
            if let Err(error) = ready!(self.stream.poll_arrived(cx)) {
                self.end = Some(error.into());
                return Poll::Ready(());
            }
            self.drained = false;
        }
        let mut amount = match std::mem::take(&mut self.sated) {
            true => Amount::Bulk,
            false => Amount::Little,
        };
        let mut got = 0;
        while got < ROUND_BYTES_MAX && self.end.is_none() {
            match buffers::read(amount, |buffer| pin!(self.stream.read_buf(buffer)).poll(cx)) {
                Poll::Ready(Ok(piece)) if piece.is_empty() => self.end = Some(BodyEnd::Closed),
                Poll::Ready(Ok(piece)) => {
                    got += piece.len();
                    self.pieces.push(piece);
                    if got >= BULK_FROM_BYTES {
                        amount = Amount::Bulk;
                    }
                }
                Poll::Ready(Err(error)) => self.end = Some(closed_or_broken(error)),
                Poll::Pending => {
                    self.drained = true;
                    if got == 0 {
                        return Poll::Pending;
                    }
                    break;
                }
            }
        }
        self.sated = got >= ROUND_BYTES_MAX;
        Poll::Ready(())
    }

    fn unwrap_pieces(&mut self, out: &mut Vec<Bytes>) {
        let (before, ended) = (out.len(), self.end.is_some());
        let outer = (self.outer).take_off(&mut self.pieces, &mut self.inner_pieces, ended);
        let is_all = ended || outer.is_err() || self.outer.is_done();
        let inner = (self.inner).take_off(&mut self.inner_pieces, out, is_all);
        self.received += out[before..]
            .iter()
            .map(|slice| slice.len() as u64)
            .sum::<u64>();
        match outer.and(inner) {
            Err(error) => self.end = Some(error.into()),
            Ok(()) if self.has_last_chunk() && !ended => self.end = Some(BodyEnd::Complete),
            Ok(()) => {}
        }
    }
}

/// A TLS peer that closes without saying so has closed.
fn closed_or_broken(error: io::Error) -> BodyEnd {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        BodyEnd::Closed
    } else {
        BodyEnd::Broken(error)
    }
}
