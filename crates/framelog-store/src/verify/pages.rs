//! What the index says, a page at a time: short read transactions, so that the recorder's log is never held up for long. Not for what
//! is made of it.

use framelog_core::frame::Codec;
use sqlx::SqlitePool;

use crate::{refusal, rows};

/// Segments that are read at once.
const SEGMENTS: i64 = 256;
/// Rows of frames that are held against `segments` at once.
const FRAMES: i64 = 50_000;
/// What SQLite finds wrong is told up to here.
const COMPLAINTS_MAX: i64 = 20;

/// An index.
#[derive(Clone, Debug)]
pub(super) struct Pages {
    pool: SqlitePool,
}

/// The last run of a recorder.
#[derive(Clone, Copy, Debug)]
pub(super) struct LastRun {
    /// It was certainly running then.
    pub alive_us: i64,
    /// It came to its end. One that did not may still be going on; if it was killed, the next start puts right what it left.
    pub is_over: bool,
}

/// Frames whose segment does not account for them.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Stray {
    pub segment_id: i64,
    pub rows: i64,
    pub first_us: i64,
    /// There is such a segment.
    pub is_known: bool,
    /// It is of the same camera.
    pub is_own: bool,
}

type SegmentRow = (i64, i64, String, i64, i64, i64, i64, bool, i64, i64);

fn segment(row: SegmentRow) -> rows::Segment {
    let (id, camera_id, path, started_us, ended_us, frames, bytes, open, offset_us, received_us) =
        row;
    rows::Segment {
        id,
        camera_id,
        path: path.into(),
        codec: Codec::Mjpeg,
        started_us,
        ended_us,
        frames,
        bytes,
        open,
        offset_us,
        received_us,
    }
}

impl Pages {
    pub fn new(pool: SqlitePool) -> Self {
        Self { pool }
    }

    /// What SQLite finds wrong with its own file.
    pub async fn complaints(&self) -> sqlx::Result<Vec<String>> {
        let lines: sqlx::Result<Vec<String>> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "PRAGMA quick_check({COMPLAINTS_MAX})"
        )))
        .fetch_all(&self.pool)
        .await;
        match lines {
            Ok(lines) => Ok(lines.into_iter().filter(|line| line != "ok").collect()),
            Err(error) if refusal::is_damage(&error) => Ok(vec![error.to_string()]),
            Err(error) => Err(error),
        }
    }

    /// Ids and names of all cameras, by name.
    pub async fn cameras(&self) -> sqlx::Result<Vec<(i64, String)>> {
        sqlx::query_as("SELECT id, name FROM cameras ORDER BY name")
            .fetch_all(&self.pool)
            .await
    }

    /// Frames in the segments of a camera that overlap the span, as those have it.
    pub async fn frames_due(
        &self,
        camera_id: i64,
        (from_us, to_us): (i64, i64),
    ) -> sqlx::Result<i64> {
        sqlx::query_scalar(
            "SELECT coalesce(sum(frames), 0) FROM segments \
             WHERE camera_id = ? AND ended_us >= ? AND started_us < ?",
        )
        .bind(camera_id)
        .bind(from_us)
        .bind(to_us)
        .fetch_one(&self.pool)
        .await
    }

    /// The next segments of a camera behind `after` that overlap the span, by id.
    pub async fn segments(
        &self,
        camera_id: i64,
        (from_us, to_us): (i64, i64),
        after: i64,
    ) -> sqlx::Result<Vec<rows::Segment>> {
        let rows: Vec<SegmentRow> = sqlx::query_as(
            "SELECT id, camera_id, path, started_us, ended_us, frames, bytes, state = 'open', offset_us, received_us \
             FROM segments INDEXED BY segments_by_camera \
             WHERE camera_id = ? AND id > ? AND ended_us >= ? AND started_us < ? ORDER BY id LIMIT ?",
        )
        .bind(camera_id)
        .bind(after)
        .bind(from_us)
        .bind(to_us)
        .bind(SEGMENTS)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(segment).collect())
    }

    /// A segment as it is now.
    pub async fn segment(&self, id: i64) -> sqlx::Result<Option<rows::Segment>> {
        let row: Option<SegmentRow> = sqlx::query_as(
            "SELECT id, camera_id, path, started_us, ended_us, frames, bytes, state = 'open', offset_us, received_us \
             FROM segments WHERE id = ?",
        )
        .bind(id)
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(segment))
    }

    /// The rows of a segment's frames, by offset. Of an open one those that there were when its own row was read.
    pub async fn frames(&self, segment: &rows::Segment) -> sqlx::Result<Vec<rows::Frame>> {
        let end = if segment.open {
            segment.bytes
        } else {
            i64::MAX
        };
        let rows: Vec<(i64, i64, i64, i64, i64)> = sqlx::query_as(
            "SELECT captured_us, offset, length, flags, lag_us FROM frames \
             WHERE camera_id = ? AND captured_us BETWEEN ? AND ? AND segment_id = ? AND offset < ? ORDER BY offset",
        )
        .bind(segment.camera_id)
        .bind(segment.started_us)
        .bind(segment.ended_us)
        .bind(segment.id)
        .bind(end)
        .fetch_all(&self.pool)
        .await?;
        let frame = |(captured_us, offset, length, flags, lag_us)| rows::Frame {
            camera_id: segment.camera_id,
            captured_us,
            segment_id: segment.id,
            offset,
            length,
            flags,
            lag_us,
        };
        Ok(rows.into_iter().map(frame).collect())
    }

    /// Where the page of a camera's frames ends that begins at a time, and the frames in it that their segments don't account for.
    pub async fn strays(
        &self,
        camera_id: i64,
        from_us: i64,
        to_us: i64,
    ) -> sqlx::Result<(i64, Vec<Stray>)> {
        let end_us: Option<i64> = sqlx::query_scalar(
            "SELECT captured_us FROM frames WHERE camera_id = ? AND captured_us > ? AND captured_us < ? \
             ORDER BY captured_us LIMIT 1 OFFSET ?",
        )
        .bind(camera_id)
        .bind(from_us)
        .bind(to_us)
        .bind(FRAMES)
        .fetch_optional(&self.pool)
        .await?;
        let end_us = end_us.unwrap_or(to_us);
        let strays = sqlx::query_as(
            "SELECT f.segment_id, count(*) AS rows, min(f.captured_us) AS first_us, \
                 s.id IS NOT NULL AS is_known, coalesce(s.camera_id = f.camera_id, 0) AS is_own \
             FROM frames f LEFT JOIN segments s ON s.id = f.segment_id \
             WHERE f.camera_id = ? AND f.captured_us >= ? AND f.captured_us < ? \
                 AND (s.id IS NULL OR s.camera_id <> f.camera_id OR f.captured_us NOT BETWEEN s.started_us AND s.ended_us) \
             GROUP BY f.segment_id",
        )
        .bind(camera_id)
        .bind(from_us)
        .bind(end_us)
        .fetch_all(&self.pool)
        .await?;
        Ok((end_us, strays))
    }

    /// Cameras that have rows but no row: id, table, number of rows.
    pub async fn unknown_cameras(&self) -> sqlx::Result<Vec<(i64, &'static str, i64)>> {
        let mut unknown = Vec::new();
        for (table, next, count) in [
            (
                "frames",
                "SELECT min(camera_id) FROM frames WHERE camera_id > ?",
                "SELECT count(*) FROM frames WHERE camera_id = ?1 AND NOT EXISTS (SELECT 1 FROM cameras WHERE id = ?1)",
            ),
            (
                "segments",
                "SELECT min(camera_id) FROM segments WHERE camera_id > ?",
                "SELECT count(*) FROM segments WHERE camera_id = ?1 AND NOT EXISTS (SELECT 1 FROM cameras WHERE id = ?1)",
            ),
        ] {
            let mut id = i64::MIN;
            loop {
                let next: Option<i64> = sqlx::query_scalar(next)
                    .bind(id)
                    .fetch_one(&self.pool)
                    .await?;
                let Some(next) = next else { break };
                id = next;
                let rows: i64 = sqlx::query_scalar(count)
                    .bind(id)
                    .fetch_one(&self.pool)
                    .await?;
                if rows > 0 {
                    unknown.push((id, table, rows));
                }
            }
        }
        Ok(unknown)
    }

    /// Paths of files that are to be deleted.
    pub async fn doomed(&self) -> sqlx::Result<Vec<String>> {
        sqlx::query_scalar("SELECT path FROM doomed ORDER BY path")
            .fetch_all(&self.pool)
            .await
    }

    /// The paths between two, both included, that are a segment's or to be deleted.
    pub async fn known_paths(&self, first: &str, last: &str) -> sqlx::Result<Vec<String>> {
        sqlx::query_scalar(
            "SELECT path FROM segments WHERE path BETWEEN ?1 AND ?2 \
             UNION ALL SELECT path FROM doomed WHERE path BETWEEN ?1 AND ?2",
        )
        .bind(first)
        .bind(last)
        .fetch_all(&self.pool)
        .await
    }

    /// The last run, if there was one.
    pub async fn last_run(&self) -> sqlx::Result<Option<LastRun>> {
        let row: Option<(i64, bool)> = sqlx::query_as(
            "SELECT alive_us, ended_us IS NOT NULL FROM sessions ORDER BY id DESC LIMIT 1",
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|(alive_us, is_over)| LastRun { alive_us, is_over }))
    }
}
