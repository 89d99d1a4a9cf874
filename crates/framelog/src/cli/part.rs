//! A frame from the index as a part of framelog's own multipart, as the segments have it. Not for files or streams.

use bytes::Bytes;
use framelog_core::clock::ClockKind;
use framelog_core::container::mjpeg;
use framelog_core::frame::{Codec, Frame};
use framelog_store::query::FrameRow;

/// The whole part: boundary, headers, payload, line end.
pub fn bytes(row: &FrameRow, payload: Vec<u8>) -> Vec<u8> {
    let frame = Frame {
        payload: Bytes::from(payload).into(),
        codec: Codec::Mjpeg,
        parameters: None,
        captured_us: row.captured_us,
        received_us: row.received_us,
        clock: ClockKind::from_name(&row.clock).unwrap_or(ClockKind::Arrival),
        offset_us: row.clock_offset_us,
        keyframe: row.keyframe,
        complete: row.complete,
    };
    let mut part = Vec::with_capacity(frame.payload.len() + 256);
    mjpeg::write_head(&frame, &mut part);
    frame
        .payload
        .slices()
        .iter()
        .for_each(|slice| part.extend_from_slice(slice));
    part.extend_from_slice(mjpeg::TAIL);
    part
}
