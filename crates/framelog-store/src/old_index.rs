//! What an index that was set aside had and the new one has not. Not for what is taken from it: that is `lost_index`.

use std::path::Path;

use sqlx::{AssertSqlSafe, Connection as _, FromRow};

use crate::error::Error;
use crate::{layout, session};

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

/// Compares them, by the files that they know. Changes nothing.
///
/// # Errors
/// [`Error::Index`] or [`Error::MalformedIndex`] if one of them can't be read.
pub async fn compare(storage: &Path, old: &Path) -> Result<Comparison, Error> {
    let index = storage.join(layout::INDEX);
    let mut connection = session::connect_beside(&index)
        .await
        .map_err(Error::index_for_reading(&index, "opened"))?;
    let compared = async {
        sqlx::query("ATTACH ? AS old")
            .bind(old.to_string_lossy())
            .execute(&mut connection)
            .await?;
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
