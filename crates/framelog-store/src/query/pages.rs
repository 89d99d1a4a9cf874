//! Frames by the thousand. To fetch a row costs ten times what finding it does, so SQLite puts the frames' own six numbers into one text, and
//! what is the same for all frames of a segment is fetched once a segment.

use std::collections::{BTreeSet, HashMap};

use sqlx::{FromRow, SqlitePool};

use super::FrameRow;
use crate::rows::{NOT_KEYFRAME, TORN};

/// The frames, in the order of their key: an array of [`Frame`].
pub(super) const FRAMES: &str = "SELECT json_group_array(json_array(captured_us, segment_id, offset, length, flags, lag_us)) FROM ( \
     SELECT f.* FROM cameras c CROSS JOIN frames f ON f.camera_id = c.id \
     WHERE c.name = ?1 AND (f.captured_us, f.segment_id, f.offset) > (?2, ?3, ?4) AND f.captured_us < ?5 \
     ORDER BY f.captured_us, f.segment_id, f.offset LIMIT ?6)";

const SEGMENTS: &str = "SELECT id AS segment_id, path, codec, offset_us FROM segments WHERE id IN (SELECT value FROM json_each(?))";

/// A row of `frames`: captured, segment, offset, length, flags, lag.
type Frame = (i64, i64, i64, i64, i64, i64);

/// What all frames of a segment share.
#[derive(FromRow)]
pub(super) struct Segment {
    segment_id: i64,
    path: String,
    codec: String,
    offset_us: i64,
}

/// The next `limit` frames behind the key `from` (captured, segment, offset) and before `to_us`.
pub(super) async fn frames(
    pool: &SqlitePool,
    camera: &str,
    from: (i64, i64, i64),
    to_us: i64,
    limit: u32,
) -> sqlx::Result<Vec<FrameRow>> {
    // Both as they were at one moment: footage may go in between.
    let mut transaction = pool.begin().await?;
    let frames: String = sqlx::query_scalar(FRAMES)
        .bind(camera)
        .bind(from.0)
        .bind(from.1)
        .bind(from.2)
        .bind(to_us)
        .bind(limit)
        .fetch_one(&mut *transaction)
        .await?;
    let mut frames: Vec<Frame> =
        serde_json::from_str(&frames).map_err(|error| sqlx::Error::Decode(error.into()))?;
    frames.sort_unstable(); // as they are; but an aggregate need not keep an order
    let ids: BTreeSet<String> = frames.iter().map(|frame| frame.1.to_string()).collect();
    let ids = Vec::from_iter(ids).join(",");
    let segments: Vec<Segment> = sqlx::query_as(SEGMENTS)
        .bind(format!("[{ids}]"))
        .fetch_all(&mut *transaction)
        .await?;
    transaction.commit().await?;
    let segments: HashMap<i64, Segment> = segments
        .into_iter()
        .map(|segment| (segment.segment_id, segment))
        .collect();
    // A frame without its segment, which only damage makes, has no bytes to be found.
    Ok(frames
        .into_iter()
        .filter_map(|frame| Some(row(camera, frame, segments.get(&frame.1)?)))
        .collect())
}

/// A frame of a camera, in words.
pub(super) fn row(camera: &str, frame: Frame, segment: &Segment) -> FrameRow {
    let (captured_us, segment_id, offset, length, flags, lag_us) = frame;
    let (clock, clock_offset_us) = match flags & 3 {
        0 => ("camera", 0),
        1 => ("mapped", segment.offset_us),
        _ => ("arrival", 0),
    };
    FrameRow {
        camera: camera.to_owned(),
        captured_us,
        received_us: captured_us.saturating_add(lag_us),
        clock: clock.to_owned(),
        clock_offset_us,
        codec: segment.codec.clone(),
        keyframe: flags & NOT_KEYFRAME == 0,
        complete: flags & TORN == 0,
        path: segment.path.as_str().into(),
        offset: offset.cast_unsigned(),
        length: length.cast_unsigned(),
        segment_id,
    }
}
