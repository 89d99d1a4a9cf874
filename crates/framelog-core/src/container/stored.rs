//! What a segment says of itself, whatever its container: the head of a frame, and where to look for heads. Not for how either is written.

use crc32fast::Hasher;

use crate::clock::ClockKind;
use crate::frame::{Codec, Frame};

/// What a segment says of one of its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// As [`Frame::captured_us`].
    pub captured_us: i64,
    /// As [`Frame::received_us`].
    pub received_us: i64,
    /// As [`Frame::clock`].
    pub clock: ClockKind,
    /// As [`Frame::offset_us`].
    pub offset_us: i64,
    /// As [`Frame::codec`].
    pub codec: Codec,
    /// As [`Frame::keyframe`].
    pub keyframe: bool,
    /// As [`Frame::complete`].
    pub complete: bool,
}

impl From<&Frame> for Stored {
    fn from(frame: &Frame) -> Self {
        Self {
            captured_us: frame.captured_us,
            received_us: frame.received_us,
            clock: frame.clock,
            offset_us: match frame.clock {
                ClockKind::Mapped => frame.offset_us,
                ClockKind::Camera | ClockKind::Arrival => 0,
            },
            codec: frame.codec,
            keyframe: frame.keyframe,
            complete: frame.complete,
        }
    }
}

/// The head of a frame, read back.
#[derive(Clone, Debug)]
pub struct Head {
    /// Its own length, bytes: the payload begins behind it.
    pub len: usize,
    /// Of the payload, bytes.
    pub payload_len: u64,
    /// What it says about the frame.
    pub stored: Stored,
    pub(super) crc: u32,
    /// Has seen everything that the checksum is of but the payload.
    pub(super) hasher: Hasher,
}

impl Head {
    /// Whether head and payload are, to the last bit, what was written.
    pub fn vouches_for(&self, payload: &[u8]) -> bool {
        let mut hasher = self.hasher.clone();
        hasher.update(payload);
        hasher.finalize() == self.crc
    }
}

/// How frames lie in the segments of a container, one behind the other: head, payload, tail.
#[derive(Debug)]
pub struct Format {
    /// What each frame's head begins with.
    pub start: &'static [u8],
    /// What follows each payload.
    pub tail: &'static [u8],
    /// No head is longer, bytes.
    pub head_max: usize,
    /// Reads the head that these bytes begin with; `None` if they don't begin with one, or not with all of it.
    pub read_head: fn(&[u8]) -> Option<Head>,
    /// What a file has before its first frame.
    pub opening: Option<Bookend>,
    /// What a file has behind its last frame once it is closed.
    pub closing: Option<Bookend>,
}

/// Bytes of a file before or behind all its frames.
#[derive(Debug)]
pub struct Bookend {
    /// What it begins with.
    pub begins: &'static [u8],
    /// So many bytes at the file's edge say how long it is.
    pub edge: usize,
    /// What they say, bytes; `None` if they say nothing of the kind.
    pub len: fn(&[u8]) -> Option<usize>,
    /// Whether all of it is, to the last bit, what was written.
    pub is_whole: fn(&[u8]) -> bool,
}

impl Format {
    /// What a file begins with.
    pub fn begins(&self) -> &'static [u8] {
        self.opening
            .as_ref()
            .map_or(self.start, |opening| opening.begins)
    }

    /// Whether a file that goes on like this behind its last whole frame was being written: a frame, or what closes the file.
    pub fn may_go_on_with(&self, bytes: &[u8]) -> bool {
        let closing = self
            .closing
            .as_ref()
            .map_or(self.start, |closing| closing.begins);
        [self.start, closing]
            .iter()
            .any(|begins| begins.starts_with(bytes) || bytes.starts_with(begins))
    }

    /// Reads the head that `bytes` end with, whatever comes before it.
    pub fn read_head_back(&self, bytes: &[u8]) -> Option<Head> {
        memchr::memmem::rfind_iter(bytes, self.start).find_map(|at| {
            let head = (self.read_head)(bytes.get(at..)?)?;
            (at + head.len == bytes.len()).then_some(head)
        })
    }

    /// Length of a frame with its head and tail, bytes; `None` if the head says that it is longer than any file.
    pub fn framed_len(&self, head: &Head) -> Option<u64> {
        (head.len as u64 + self.tail.len() as u64).checked_add(head.payload_len)
    }
}
