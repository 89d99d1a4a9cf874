//! `.mjpeg`: the wire format as a file format. Each frame is a part that any multipart client reads, and that says enough of itself
//! for the index to be made of it again. Not for reading what cameras send: that is `multipart`.

use crc32fast::Hasher;

use super::{Format, Head, Stored};
use crate::clock::ClockKind;
use crate::frame::{Codec, Frame};
use crate::timestamp::{parse_us, write_us};

/// The boundary of framelog's own parts, without its leading dashes.
pub const BOUNDARY: &str = "framelog";

/// What follows each payload.
pub const TAIL: &[u8] = b"\r\n";

/// What every part begins with.
pub const START: &[u8] = b"--framelog\r\nContent-Type: image/jpeg\r\n";

/// No head that [`write_head`] makes is longer, bytes.
pub const HEAD_MAX: usize = 256;

/// How parts lie in a file.
pub const FORMAT: Format = Format {
    start: START,
    tail: TAIL,
    head_max: HEAD_MAX,
    read_head,
    opening: None,
    closing: None,
};

/// Appends what goes before the payload: boundary and part headers. The last of them, `X-Crc`, is the CRC-32 (IEEE 802.3) of all before
/// it and the payload, so that a flipped bit anywhere in the part is found.
pub fn write_head(frame: &Frame, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(START);
    out.extend_from_slice(b"Content-Length: ");
    out.extend_from_slice(itoa::Buffer::new().format(frame.payload.len()).as_bytes());
    out.extend_from_slice(b"\r\nX-Timestamp: ");
    write_us(frame.captured_us, out);
    out.extend_from_slice(b"\r\nX-Received: ");
    write_us(frame.received_us, out);
    out.extend_from_slice(b"\r\nX-Clock: ");
    out.extend_from_slice(frame.clock.name().as_bytes());
    if frame.clock == ClockKind::Mapped {
        out.extend_from_slice(b"\r\nX-Clock-Offset: ");
        write_us(frame.offset_us, out);
    }
    if !frame.complete {
        out.extend_from_slice(b"\r\nX-Complete: no");
    }
    out.extend_from_slice(b"\r\n");
    let head = crc32fast::hash(out.get(start..).unwrap_or_default());
    let crc = frame.payload.digest().behind(head);
    out.extend_from_slice(b"X-Crc: ");
    // Without `fmt`, like the times above.
    let digit = |n: u32| b"0123456789abcdef"[(crc >> (28 - 4 * n)) as usize & 0xF];
    out.extend((0..8).map(digit));
    out.extend_from_slice(b"\r\n\r\n");
}

/// Reads the head that `bytes` begin with; `None` if they don't begin with one, or not with all of it. Only what [`write_head`] writes is
/// read.
fn read_head(bytes: &[u8]) -> Option<Head> {
    let bytes = bytes.get(..HEAD_MAX).unwrap_or(bytes);
    let mut fields = Fields {
        rest: bytes.strip_prefix(START)?,
    };
    let payload_len = number(fields.take("Content-Length")?)?;
    let captured_us = parse_us(fields.take("X-Timestamp")?)?;
    let received_us = parse_us(fields.take("X-Received")?)?;
    let clock = std::str::from_utf8(fields.take("X-Clock")?).ok()?;
    let clock = ClockKind::from_name(clock)?;
    let offset_us = match clock {
        ClockKind::Mapped => parse_us(fields.take("X-Clock-Offset")?)?,
        _ => 0,
    };
    let complete = fields.take("X-Complete").is_none();
    let hashed = bytes.len() - fields.rest.len();
    let crc = std::str::from_utf8(fields.take("X-Crc")?).ok()?;
    let rest = fields.rest.strip_prefix(b"\r\n")?;
    let mut hasher = Hasher::new();
    hasher.update(bytes.get(..hashed)?);
    Some(Head {
        len: bytes.len() - rest.len(),
        payload_len,
        stored: Stored {
            captured_us,
            received_us,
            clock,
            offset_us,
            codec: Codec::Mjpeg,
            keyframe: true,
            complete,
        },
        crc: checksum(crc)?,
        hasher,
    })
}

/// Header lines in the order in which they were written.
struct Fields<'b> {
    rest: &'b [u8],
}

impl<'b> Fields<'b> {
    /// The value of the next line, if that is its name.
    fn take(&mut self, name: &str) -> Option<&'b [u8]> {
        let line = self.rest.strip_prefix(name.as_bytes())?;
        let value = line.strip_prefix(b": ")?;
        let end = memchr::memchr(b'\r', value)?;
        self.rest = value.get(end..)?.strip_prefix(b"\r\n")?;
        value.get(..end)
    }
}

/// One spelling only, so that no flipped bit goes unnoticed.
fn checksum(text: &str) -> Option<u32> {
    let crc = u32::from_str_radix(text, 16).ok()?;
    (format!("{crc:08x}") == text).then_some(crc)
}

fn number(text: &[u8]) -> Option<u64> {
    let all_digits = text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text)
        .ok()
        .filter(|_| all_digits)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::frame::Payload;

    fn frame() -> impl Strategy<Value = Frame> {
        let clock = prop_oneof![
            Just(ClockKind::Camera),
            Just(ClockKind::Mapped),
            Just(ClockKind::Arrival)
        ];
        let payload = prop::collection::vec(any::<u8>(), 0..600);
        (any::<[i64; 3]>(), clock, any::<bool>(), payload).prop_map(
            |([captured_us, received_us, offset_us], clock, complete, payload)| {
                let middle = payload.len() / 2;
                let mut slices = Payload::default();
                slices.push(Bytes::copy_from_slice(&payload[..middle]));
                slices.push(Bytes::copy_from_slice(&payload[middle..]));
                Frame {
                    payload: slices,
                    codec: Codec::Mjpeg,
                    parameters: None,
                    captured_us,
                    received_us,
                    clock,
                    offset_us: if clock == ClockKind::Mapped {
                        offset_us
                    } else {
                        0
                    },
                    keyframe: true,
                    complete,
                }
            },
        )
    }

    fn part(frame: &Frame) -> (Vec<u8>, usize) {
        let mut part = Vec::new();
        write_head(frame, &mut part);
        let head_len = part.len();
        part.extend(frame.payload.to_vec());
        part.extend_from_slice(TAIL);
        (part, head_len)
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(frame in frame()) {
            let (part, head_len) = part(&frame);
            prop_assert!(head_len <= HEAD_MAX);
            let head = read_head(&part).unwrap();
            prop_assert_eq!(head.len, head_len);
            prop_assert_eq!(FORMAT.framed_len(&head), Some(part.len() as u64));
            prop_assert_eq!(head.stored, Stored::from(&frame));
            prop_assert!(head.vouches_for(&frame.payload.to_vec()));
            let mut behind = b"--framelog\r\nContent-Type: image/jpeg\r\nnoise".to_vec();
            behind.extend_from_slice(&part[..head_len]);
            prop_assert_eq!(FORMAT.read_head_back(&behind).unwrap().stored, head.stored);
        }

        #[test]
        fn a_flipped_bit_anywhere_is_found(frame in frame(), at in any::<prop::sample::Index>(), bit in 0..8u32) {
            let (mut part, head_len) = part(&frame);
            let end = part.len() - TAIL.len();
            part[at.index(end)] ^= 1u8 << bit;
            let intact = read_head(&part)
                .filter(|head| head.len == head_len && head.payload_len == frame.payload.len() as u64)
                .is_some_and(|head| head.vouches_for(&part[head_len..end]));
            prop_assert!(!intact);
        }

        #[test]
        fn a_head_that_is_cut_off_is_none(frame in frame(), at in any::<prop::sample::Index>()) {
            let (part, head_len) = part(&frame);
            prop_assert!(read_head(&part[..at.index(head_len)]).is_none());
        }

        #[test]
        fn anything_may_be_read(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut part = START.to_vec();
            part.extend(bytes);
            let _ = read_head(&part);
            let _ = FORMAT.read_head_back(&part);
        }
    }
}
