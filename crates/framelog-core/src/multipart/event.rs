//! What comes out: pictures, and what was passed over. Not for how they are found.

use bytes::Bytes;

use crate::frame::Payload;
use crate::header::Headers;

/// A JPEG, with the header lines that came before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its header lines; empty in a bare sequence of JPEGs.
    pub headers: Headers,
    /// The picture.
    pub payload: Payload,
    /// Where the payload begins, in bytes from the first one pushed.
    pub offset: u64,
    /// The `now_us` of the push that brought its last byte.
    pub received_us: i64,
    /// Whether the JPEG has its EOI; padding may follow.
    pub complete: bool,
}

/// Why a part was passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// No payload.
    Empty,
    /// Text, XML or anything else that does not begin with SOI.
    NotPicture,
    /// A JPEG that was cut off before its picture data, or by the end of a stream that did not say that it ends there.
    Torn,
    /// Larger than [`Limits::part_bytes_max`](super::Limits::part_bytes_max), or its headers than [`Limits::header_bytes_max`](super::Limits::header_bytes_max).
    TooLarge,
}

/// A part that was not handed out, for the caller to count and to log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Why.
    pub reason: SkipReason,
    /// Its header lines, as far as they could be read.
    pub headers: Headers,
    /// How many bytes of payload were passed over.
    pub bytes: u64,
    /// The first of them, at most 512: AxxonSoft puts its error code there.
    pub beginning: Bytes,
}

/// What [`Parser::poll`](super::Parser::poll) gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A picture.
    Part(Part),
    /// A part that is none.
    Skipped(Skipped),
}

impl Event {
    /// A part that is passed over.
    pub(super) fn skipped(
        reason: SkipReason,
        headers: Headers,
        bytes: u64,
        beginning: Bytes,
    ) -> Self {
        Self::Skipped(Skipped {
            reason,
            headers,
            bytes,
            beginning,
        })
    }
}
