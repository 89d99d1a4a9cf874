//! Frames in the order in which they are decoded, which is that of arrival: what pictures that depend on others are read in. The index is in the
//! order in which they are shown.

use framelog_store::query::{FrameRow, SegmentRow};
use framelog_store::{Error, Reader};

use super::frame_pages::FramePages;

/// How far stamps within a segment may go back and their frames still be found, microseconds.
pub const SLACK_US: i64 = 10_000_000;

/// How far back a keyframe is looked for first, microseconds.
const GOP_US: i64 = 30_000_000;

/// Frames of a segment, in this order.
#[derive(Debug, Default)]
pub struct Run {
    /// They.
    pub frames: Vec<FrameRow>,
    /// More may follow in the segment.
    pub more: bool,
}

/// All frames of a segment.
pub fn of_segment(reader: &Reader, segment: &SegmentRow) -> Result<Vec<FrameRow>, Error> {
    Ok(since(reader, segment, segment.started_us, 0, usize::MAX)?.frames)
}

/// The frames of a segment that were captured then or later, and lie at this offset or behind it: about `limit` of them, of however many.
pub fn since(
    reader: &Reader,
    segment: &SegmentRow,
    from_us: i64,
    from_offset: u64,
    limit: usize,
) -> Result<Run, Error> {
    let to_us = segment.ended_us.saturating_add(1);
    // What was stored since the segment's row was read is for the next time: of that not all would be found.
    let offsets = from_offset..segment.bytes;
    let is_wanted =
        |frame: &FrameRow| frame.segment_id == segment.id && offsets.contains(&frame.offset);
    let mut frames = Vec::new();
    let mut more = false;
    for frame in FramePages::of(reader, &segment.camera, from_us, to_us) {
        more = frames.len() >= limit;
        if more {
            break;
        }
        frames.extend(Some(frame?).filter(is_wanted));
    }
    let last_us = frames.last().map_or(0, |last| last.captured_us);
    frames.sort_by_key(|frame| frame.offset);
    if more {
        keep_sure(&mut frames, last_us.saturating_sub(SLACK_US));
    }
    Ok(Run { frames, more })
}

/// Of all frames that were captured up to some time, those that none that was captured later lies before. All, where that time is too short to tell.
fn keep_sure(frames: &mut Vec<FrameRow>, sure_us: i64) {
    let is_sure = |frame: &FrameRow| frame.captured_us <= sure_us;
    if let Some(last) = frames.iter().rposition(is_sure) {
        frames.truncate(last + 1);
    }
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
    let found = reader.segments_since(&frame.camera, frame.segment_id, 1);
    let found = found.await?;
    let is_its = |segment: &&SegmentRow| segment.id == frame.segment_id;
    let Some(segment) = found.first().filter(is_its) else {
        return Ok(vec![frame.clone()]);
    };
    // Up to where those that are shown later, and are needed, may be.
    let ended_us = (segment.ended_us).min(frame.captured_us.saturating_add(SLACK_US));
    let near = SegmentRow {
        ended_us,
        ..segment.clone()
    };
    let mut back_us = GOP_US;
    loop {
        let from_us = frame.captured_us.saturating_sub(back_us);
        let mut frames = since(reader, &near, from_us, 0, usize::MAX)?.frames;
        frames.retain(|before| before.offset <= frame.offset);
        let start = frames.iter().rposition(|frame| frame.keyframe);
        if start.is_some() || from_us <= segment.started_us {
            frames.drain(..start.unwrap_or(0));
            return Ok(frames);
        }
        back_us = back_us.saturating_mul(4);
    }
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
    fn of_a_part_only_those_are_given_that_none_that_follows_can_lie_before() {
        let sure = |times: &[i64], sure_us| {
            let mut frames = frames(times);
            keep_sure(&mut frames, sure_us);
            frames.len()
        };
        assert_eq!(sure(&[0, 1, 2, 3], 1), 2);
        assert_eq!(sure(&[0, 3, 1, 2], 1), 3, "it lies before one that is sure");
        assert_eq!(sure(&[5, 6], 1), 2, "all are of a moment");
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
