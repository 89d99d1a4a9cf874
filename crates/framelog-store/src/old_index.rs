//! What an index that was set aside had and the new one has not. Not for what is taken from it: that is `lost_index`.

use std::fs;
use std::path::{Path, PathBuf};

use sqlx::{AssertSqlSafe, Connection as _, FromRow, SqliteConnection};

use crate::error::Error;
use crate::layout;
use crate::rows::Missing;
use crate::schema::{attach, connect_beside, detach};

/// The index of a storage directory beside the one that it replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub struct Comparison {
    /// Segments of the old index.
    pub old_segments: i64,
    /// Their frames.
    pub old_frames: i64,
    /// Segments of the old index whose files the new one doesn't know.
    pub lost_segments: i64,
    /// Frames by which segments of the old index had more than they have now.
    pub lost_frames: i64,
    /// Segments of the new index.
    pub segments: i64,
    /// Their frames.
    pub frames: i64,
}

const COMPARE: &str = "SELECT count(*) AS old_segments, coalesce(sum(o.frames), 0) AS old_frames, \
        coalesce(sum(n.id IS NULL), 0) AS lost_segments, \
        coalesce(sum(max(o.frames - coalesce(n.frames, 0), 0)), 0) AS lost_frames, \
        (SELECT count(*) FROM main.segments) AS segments, \
        (SELECT coalesce(sum(frames), 0) FROM main.segments) AS frames \
     FROM old.segments o LEFT JOIN main.segments n ON n.path = o.path";

/// Segments that have fewer frames than they had, or whose file is gone, and not by a rule, as while this index was made: camera, old and new
/// id, times, frames, bytes.
const SHORTER: &str = "SELECT c.id AS camera_id, o.camera_id AS old_camera_id, o.id AS old_id, n.id AS id, o.started_us, o.ended_us, o.frames, o.bytes \
     FROM old.segments o JOIN old.cameras oc ON oc.id = o.camera_id JOIN main.cameras c ON c.name = oc.name \
     LEFT JOIN main.segments n ON n.path = o.path WHERE o.frames > coalesce(n.frames, 0) \
         AND NOT EXISTS (SELECT 1 FROM main.removals r \
             WHERE r.camera_id = c.id AND r.started_us <= o.started_us AND r.ended_us >= o.ended_us) \
     ORDER BY c.id, o.started_us";

#[derive(FromRow)]
struct Shorter {
    camera_id: i64,
    old_camera_id: i64,
    old_id: i64,
    id: Option<i64>,
    started_us: i64,
    ended_us: i64,
    frames: i64,
    bytes: i64,
}

/// Footage that the old index had and the open one has not: a row for files that are gone, one after the other, and for each stretch of frames that is missing in one
/// that is there.
pub(crate) async fn missing(
    connection: &mut SqliteConnection,
    old: &Path,
) -> sqlx::Result<Vec<Missing>> {
    attach(connection, old, "old").await?;
    let missing = try_missing(connection).await;
    detach(connection, "old").await?;
    missing
}

async fn try_missing(connection: &mut SqliteConnection) -> sqlx::Result<Vec<Missing>> {
    let segments: Vec<Shorter> = sqlx::query_as(SHORTER).fetch_all(&mut *connection).await?;
    let mut missing = Vec::new();
    for segment in segments {
        match segment.id {
            None => {
                let gone = Missing {
                    camera_id: segment.camera_id,
                    started_us: segment.started_us,
                    ended_us: segment.ended_us,
                    segments: 1,
                    frames: segment.frames,
                    bytes: segment.bytes,
                };
                match missing.last_mut() {
                    Some(last) if follows(connection, last, &gone).await? => last.extend(&gone),
                    _ => missing.push(gone),
                }
            }
            Some(id) => missing.extend(missing_within(connection, &segment, id).await?),
        }
    }
    Ok(missing)
}

/// Whether nothing of the camera is there between two files that are gone.
async fn follows(
    connection: &mut SqliteConnection,
    last: &Missing,
    next: &Missing,
) -> sqlx::Result<bool> {
    if last.camera_id != next.camera_id || last.segments == 0 {
        return Ok(false);
    }
    let is_kept: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM main.segments WHERE camera_id = ? AND started_us BETWEEN ? AND ?)",
    )
    .bind(next.camera_id)
    .bind(last.started_us)
    .bind(next.started_us)
    .fetch_one(connection)
    .await?;
    Ok(!is_kept)
}

async fn missing_within(
    connection: &mut SqliteConnection,
    segment: &Shorter,
    id: i64,
) -> sqlx::Result<Vec<Missing>> {
    let frames: Vec<(i64, i64, bool)> = sqlx::query_as(
        "SELECT o.captured_us, o.length, EXISTS (SELECT 1 FROM main.frames n WHERE n.camera_id = ?1 \
             AND n.captured_us = o.captured_us AND n.segment_id = ?2 AND n.offset = o.offset) \
         FROM old.frames o WHERE o.camera_id = ?3 AND o.captured_us BETWEEN ?4 AND ?5 AND o.segment_id = ?6 \
         ORDER BY o.captured_us, o.offset",
    )
    .bind(segment.camera_id)
    .bind(id)
    .bind(segment.old_camera_id)
    .bind(segment.started_us)
    .bind(segment.ended_us)
    .bind(segment.old_id)
    .fetch_all(connection)
    .await?;
    let stretch = |frames: &[(i64, i64, bool)]| {
        Some(Missing {
            camera_id: segment.camera_id,
            started_us: frames.first()?.0,
            ended_us: frames.last()?.0,
            segments: 0,
            frames: frames.len() as i64,
            bytes: frames.iter().map(|(_, length, _)| length).sum(),
        })
    };
    Ok(frames
        .split(|(.., is_there)| *is_there)
        .filter_map(stretch)
        .collect())
}

/// The index that was set aside last, if there is one: the name has the time in it.
pub fn newest(storage: &Path) -> Option<PathBuf> {
    let is_old = |name: &str| {
        name.starts_with(layout::ASIDE) && !name.ends_with("-wal") && !name.ends_with("-shm")
    };
    let entries = fs::read_dir(storage).ok()?.flatten();
    entries
        .filter(|entry| is_old(&entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
        .max()
}

/// Compares them, by the files that they know. Changes nothing.
///
/// # Errors
/// [`Error::Index`] or [`Error::MalformedIndex`] if one of them can't be read.
pub async fn compare(storage: &Path, old: &Path) -> Result<Comparison, Error> {
    let index = storage.join(layout::INDEX);
    let mut connection = connect_beside(&index)
        .await
        .map_err(Error::index_for_reading(&index, "opened"))?;
    let compared = async {
        attach(&mut connection, old, "old").await?;
        sqlx::query_as(AssertSqlSafe(COMPARE))
            .fetch_one(&mut connection)
            .await
    };
    let compared = compared
        .await
        .map_err(Error::index_for_reading(old, "read"));
    // Nothing was written that could be lost with it.
    let _ = connection.close().await;
    compared
}
