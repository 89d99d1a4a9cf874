//! `.mjpeg`: the wire format as a file format. Each frame is a part that any multipart client reads.

use std::io::Write as _;

use crate::clock::ClockKind;
use crate::frame::Frame;
use crate::header::Headers;
use crate::timestamp::format_us;

/// The boundary of framelog's own parts, without its leading dashes.
pub const BOUNDARY: &str = "framelog";

/// What follows each payload.
pub const TAIL: &[u8] = b"\r\n";

/// Appends what goes before the payload: boundary and part headers.
pub fn write_head(frame: &Frame, out: &mut Vec<u8>) {
    // Writing to a Vec does not fail.
    let _ = write!(
        out,
        "--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\nX-Timestamp: {}\r\nX-Received: {}\r\nX-Clock: {}\r\n",
        frame.payload.len(),
        format_us(frame.captured_us),
        format_us(frame.received_us),
        frame.clock.name(),
    );
    if frame.clock == ClockKind::Mapped {
        let _ = write!(out, "X-Clock-Offset: {}\r\n", format_us(frame.offset_us));
    }
    if !frame.complete {
        let _ = write!(out, "X-Complete: no\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// What a part of ours says about its frame.
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
    /// As [`Frame::complete`].
    pub complete: bool,
}

impl Stored {
    /// Reads back what [`write_head`] wrote; `None` if a field is missing or damaged.
    pub fn read(headers: &Headers) -> Option<Self> {
        let us = |name| crate::timestamp::parse_us(headers.get(name)?);
        let clock = ClockKind::from_name(std::str::from_utf8(headers.get("x-clock")?).ok()?)?;
        Some(Self {
            captured_us: us("x-timestamp")?,
            received_us: us("x-received")?,
            clock,
            offset_us: if clock == ClockKind::Mapped {
                us("x-clock-offset")?
            } else {
                0
            },
            complete: headers.get("x-complete").is_none(),
        })
    }
}
