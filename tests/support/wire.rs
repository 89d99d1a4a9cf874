//! How a camera's bytes are cut on their way: in one piece, one by one, or anywhere.

use std::io;
use std::time::{Duration, Instant};

use fastrand::Rng;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

/// How the bytes are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Each send is one write.
    Plain,
    /// Every byte is a write of its own; within large sends only near their ends, so that a megabyte doesn't take a minute.
    Bytes,
    /// Cut at random points.
    Random,
}

/// A byte stream, with TLS or without.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Bytes at each end of a large send that go one by one.
pub const BYTEWISE: usize = 1024;

/// Cuts what is sent.
#[derive(Debug)]
pub struct Cutter {
    mode: Mode,
    rng: Rng,
}

impl Cutter {
    /// Cuts in this mode; the same seed cuts the same.
    pub fn new(mode: Mode, seed: u64) -> Self {
        Self {
            mode,
            rng: Rng::with_seed(seed),
        }
    }

    /// Writes all of `bytes`, in pieces; the longest time from one to the next, which on a busy machine may be any.
    pub async fn write(&mut self, stream: &mut dyn Stream, bytes: &[u8]) -> io::Result<Duration> {
        let (mut sent, mut longest) = (0, Duration::ZERO);
        let mut before = Instant::now();
        while sent < bytes.len() {
            let piece = self.piece(sent, bytes.len());
            stream.write_all(&bytes[sent..sent + piece]).await?;
            stream.flush().await?;
            longest = longest.max(before.elapsed());
            before = Instant::now();
            sent += piece;
            if sent < bytes.len() {
                self.pause(sent).await;
            }
        }
        Ok(longest)
    }

    fn piece(&mut self, sent: usize, total: usize) -> usize {
        let left = total - sent;
        match self.mode {
            Mode::Plain => left,
            Mode::Bytes if sent < BYTEWISE || left <= BYTEWISE => 1,
            Mode::Bytes => (left - BYTEWISE).min(16 << 10),
            Mode::Random if left > 64 << 10 => self.rng.usize(1..32 << 10),
            Mode::Random => self.rng.usize(1..=left.min(400)),
        }
    }

    /// Lets the reader run, so that most pieces are reads of their own.
    async fn pause(&mut self, sent: usize) {
        match self.mode {
            Mode::Plain => {}
            Mode::Bytes if !sent.is_multiple_of(64) => tokio::task::yield_now().await,
            Mode::Bytes => tokio::time::sleep(Duration::from_millis(1)).await,
            Mode::Random => tokio::task::yield_now().await,
        }
    }
}

#[test]
fn cut_bytes_are_the_same_bytes() {
    let bytes: Vec<u8> = (0..100_000_u32)
        .map(|number| number.to_le_bytes()[0])
        .collect();
    for mode in [Mode::Plain, Mode::Bytes, Mode::Random] {
        let mut sent = std::io::Cursor::new(Vec::new());
        super::RUNTIME
            .block_on(Cutter::new(mode, 1).write(&mut sent, &bytes))
            .expect("memory takes all");
        assert!(sent.into_inner() == bytes, "{mode:?}");
    }
}

#[test]
fn small_sends_are_cut_as_the_mode_has_it() {
    let first = |mode| Cutter::new(mode, 1).piece(0, 500);
    assert_eq!((first(Mode::Plain), first(Mode::Bytes)), (500, 1));
    assert!((1..=400).contains(&first(Mode::Random)));
}
