//! The frame of a camera that came last. Not the one with the latest time: a clock that was wrong may have said any.

use framelog_store::query::FrameRow;
use framelog_store::{Error, Reader};

use super::decoding_order::{self, SLACK_US};

/// The last frame of the segment that began last. Blocking.
///
/// # Errors
/// If the index can't be read.
pub async fn frame(reader: &Reader, camera: &str) -> Result<Option<FrameRow>, Error> {
    let Some(segment) = reader.newest_segment(camera).await? else {
        return Ok(None);
    };
    let from_us = segment.ended_us.saturating_sub(SLACK_US);
    let mut run = decoding_order::since(reader, &segment, from_us, 0, usize::MAX)?;
    Ok(run.frames.pop())
}
