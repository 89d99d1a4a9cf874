//! Frames in the order in which they are decoded, which is that of arrival: what pictures that depend on others are read in. The index is in the
//! order in which they are shown.

use framelog_store::query::{FrameRow, SegmentRow};
use framelog_store::{Error, Reader};

use super::frame_pages::FramePages;

/// All frames of a segment.
pub fn of_segment(reader: &Reader, segment: &SegmentRow) -> Result<Vec<FrameRow>, Error> {
    since(reader, segment, segment.started_us, 0)
}

/// The frames of a segment that were captured then or later, and lie at this offset or behind it.
pub fn since(
    reader: &Reader,
    segment: &SegmentRow,
    from_us: i64,
    from_offset: u64,
) -> Result<Vec<FrameRow>, Error> {
    let to_us = segment.ended_us.saturating_add(1);
    let is_wanted =
        |frame: &FrameRow| frame.segment_id == segment.id && frame.offset >= from_offset;
    let mut frames = Vec::new();
    for frame in FramePages::of(reader, &segment.camera, from_us, to_us) {
        frames.extend(Some(frame?).filter(is_wanted));
    }
    frames.sort_by_key(|frame| frame.offset);
    Ok(frames)
}

/// Those of a segment's frames that are needed to show what was captured from `from_us` to before `to_us`: from the last keyframe up to the
/// beginning on, or from the first frame, and none behind the last that is shown. All, or none, if `from_us` or `to_us` lies outside.
pub fn needed(mut frames: Vec<FrameRow>, from_us: i64, to_us: i64) -> Vec<FrameRow> {
    let end = frames.iter().rposition(|frame| frame.captured_us < to_us);
    frames.truncate(end.map_or(0, |last| last + 1));
    let is_start = |frame: &FrameRow| frame.keyframe && frame.captured_us <= from_us;
    let start = frames.iter().rposition(is_start).unwrap_or(0);
    frames.drain(..start);
    frames
}

/// A frame and those before it that it needs: from the last keyframe on.
pub async fn up_to(reader: &Reader, frame: &FrameRow) -> Result<Vec<FrameRow>, Error> {
    let segments = reader
        .segments_since(&frame.camera, frame.segment_id, 1)
        .await?;
    let Some(segment) = segments
        .first()
        .filter(|segment| segment.id == frame.segment_id)
    else {
        return Ok(vec![frame.clone()]);
    };
    let mut frames = of_segment(reader, segment)?;
    frames.retain(|before| before.offset <= frame.offset);
    let start = frames.iter().rposition(|frame| frame.keyframe);
    frames.drain(..start.unwrap_or(0));
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use framelog_core::clock::ClockKind;
    use framelog_core::frame::Codec;

    use super::*;

    /// Captured at these times, in this order; every fifth is a keyframe.
    fn frames(times: &[i64]) -> Vec<FrameRow> {
        let frame = |(n, captured_us): (usize, &i64)| FrameRow {
            camera: "gate".into(),
            captured_us: *captured_us,
            received_us: 0,
            clock: ClockKind::Camera,
            clock_offset_us: 0,
            codec: Codec::H264,
            keyframe: n % 5 == 0,
            complete: true,
            path: Path::new("").into(),
            offset: n as u64,
            length: 1,
            segment_id: 1,
        };
        times.iter().enumerate().map(frame).collect()
    }

    fn needed_of(times: &[i64], from_us: i64, to_us: i64) -> Vec<i64> {
        let needed = needed(frames(times), from_us, to_us);
        needed.iter().map(|frame| frame.captured_us).collect()
    }

    #[test]
    fn a_span_begins_with_the_keyframe_before_it() {
        let times: Vec<i64> = (0..12).collect();
        assert_eq!(needed_of(&times, 7, 9), [5, 6, 7, 8]);
        assert_eq!(needed_of(&times, 5, 6), [5]);
        assert_eq!(needed_of(&times, -3, 2), [0, 1]);
        assert_eq!(needed_of(&times, 11, 99), [10, 11]);
        assert_eq!(needed_of(&times, -9, 0), [0; 0]);
    }

    #[test]
    fn a_picture_that_is_shown_later_comes_along_if_another_needs_it() {
        // I B B P, decoded I P B B.
        assert_eq!(needed_of(&[0, 3, 1, 2], 0, 3), [0, 3, 1, 2]);
        assert_eq!(needed_of(&[0, 3, 1, 2], 0, 1), [0]);
    }
}
