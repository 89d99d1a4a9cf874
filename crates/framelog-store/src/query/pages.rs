//! Frames by the thousand. To fetch a row through sqlx costs ten times what finding it does, because each goes from one thread to another;
//! so a page is stepped through right here, on sqlx's own connection.

use rusqlite::ffi::ErrorCode;
use rusqlite::{Connection, OptionalExtension as _, params};
use sqlx::{FromRow, SqliteConnection};

use super::FrameRow;
use crate::rows::{NOT_KEYFRAME, TORN};

/// The frames, in the order of their key.
pub(super) const FRAMES: &str = "SELECT f.captured_us, f.segment_id, f.offset, f.length, f.flags, f.lag_us \
     FROM cameras c CROSS JOIN frames f ON f.camera_id = c.id \
     WHERE c.name = ?1 AND (f.captured_us, f.segment_id, f.offset) > (?2, ?3, ?4) AND f.captured_us < ?5 \
     ORDER BY f.captured_us, f.segment_id, f.offset LIMIT ?6";

const SEGMENT: &str = "SELECT path, codec, offset_us FROM segments WHERE id = ?";

/// A row of `frames`: captured, segment, offset, length, flags, lag.
type Frame = (i64, i64, i64, i64, i64, i64);

/// What all frames of a segment share.
#[derive(FromRow)]
pub(super) struct Segment {
    path: String,
    codec: String,
    offset_us: i64,
}

/// Which frames: the next `limit` behind the key `from` (captured, segment, offset) and before `to_us`.
#[derive(Clone, Copy)]
pub(super) struct Page<'a> {
    pub camera: &'a str,
    pub from: (i64, i64, i64),
    pub to_us: i64,
    pub limit: u32,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(super) enum PageError {
    #[error(transparent)]
    Connection(#[from] sqlx::Error),
    #[error(transparent)]
    Query(#[from] rusqlite::Error),
}

/// The frames of the page. The calling thread is SQLite's for as long as that takes: not for a worker that others wait for.
pub(super) async fn frames(
    connection: &mut SqliteConnection,
    page: Page<'_>,
) -> Result<Vec<FrameRow>, PageError> {
    let mut locked = connection.lock_handle().await?;
    let handle = locked.as_raw_handle().as_ptr();
    // SAFETY: it is the handle of an open database of the SQLite that rusqlite calls too, because cargo lets only one package of a build link
    // `sqlite3`. For as long as `locked` lives, which is declared first and so dropped last, sqlx neither uses nor closes it. `borrowed` does
    // not close it either, having only borrowed it, and takes its statements with it.
    #[expect(unsafe_code, reason = "sqlx hands its connection out in no other way")]
    let borrowed = unsafe { Connection::from_handle(handle) }?;
    Ok(read(&borrowed, page)?)
}

fn read(connection: &Connection, page: Page<'_>) -> rusqlite::Result<Vec<FrameRow>> {
    // Frames and segments as they were at one moment: footage may go in between.
    let transaction = connection.unchecked_transaction()?;
    let mut frames = transaction.prepare(FRAMES)?;
    let mut segments = transaction.prepare(SEGMENT)?;
    let (captured_us, segment_id, offset) = page.from;
    let mut found = frames.query(params![
        page.camera,
        captured_us,
        segment_id,
        offset,
        page.to_us,
        page.limit
    ])?;
    let mut rows = Vec::new();
    let mut known: Option<(i64, Segment)> = None;
    while let Some(row) = found.next()? {
        let frame = Frame::try_from(row)?;
        let id = frame.1;
        if known.as_ref().is_none_or(|(known, _)| *known != id) {
            let segment = segments.query_row([id], Segment::read).optional()?;
            known = segment.map(|segment| (id, segment));
        }
        // A frame without its segment, which only damage makes, has no bytes to be found.
        rows.extend(
            known
                .iter()
                .map(|(_, segment)| self::row(page.camera, frame, segment)),
        );
    }
    Ok(rows)
}

/// Whether the index is no sound database any more.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

impl Segment {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            path: row.get(0)?,
            codec: row.get(1)?,
            offset_us: row.get(2)?,
        })
    }
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
