//! A frame from the index with what a segment has around it. Not for files or streams.

use std::sync::Arc;

use bytes::Bytes;
use framelog_core::container::mjpeg;
use framelog_core::frame::{Frame, Parameters};
use framelog_store::query::FrameRow;

/// The frame as it was stored.
pub fn frame(row: &FrameRow, payload: Vec<u8>, parameters: Option<Arc<Parameters>>) -> Frame {
    Frame {
        payload: Bytes::from(payload).into(),
        codec: row.codec,
        parameters,
        captured_us: row.captured_us,
        received_us: row.received_us,
        clock: row.clock,
        offset_us: row.clock_offset_us,
        keyframe: row.keyframe,
        complete: row.complete,
    }
}

/// The whole part of a JPEG: boundary, headers, payload, line end.
pub fn bytes(row: &FrameRow, payload: Vec<u8>) -> Vec<u8> {
    let frame = frame(row, payload, None);
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
