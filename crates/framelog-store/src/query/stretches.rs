//! Stretches of footage: what lies between two gaps of a camera, as one. Added up by SQLite, which is much faster than fetching a row for
//! each segment. Not for where the gaps are.

use std::path::PathBuf;

use sqlx::AssertSqlSafe;

use super::{GapRow, Reader};
use crate::error::Error;
use crate::rows;

/// Footage of one camera without a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StretchRow {
    /// Camera name.
    pub camera: String,
    /// Capture time of its first frame, microseconds.
    pub started_us: i64,
    /// Capture time of its last frame so far.
    pub ended_us: i64,
    /// Frames in it.
    pub frames: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// How many files.
    pub files: u64,
    /// Its last file is still being written.
    pub open: bool,
    /// Its first file, relative to the storage directory.
    pub first_path: PathBuf,
    /// Its last file.
    pub last_path: PathBuf,
}

/// What SQLite adds up: files, start, end, frames, bytes, open, first and last path.
type Sum = (u64, i64, i64, u64, u64, i64, String, String);

impl Reader {
    /// Footage that overlaps the span, which is `from_us` to before `to_us`, divided where one of the gaps lies between two segments. The
    /// gaps are in order of their start. Segments may overlap: a camera's clock can be put back.
    ///
    /// # Errors
    /// [`Error::Index`] or [`Error::MalformedIndex`] if the index can't be read.
    pub async fn stretches(
        &self,
        camera: &str,
        from_us: i64,
        to_us: i64,
        gaps: &[GapRow],
    ) -> Result<Vec<StretchRow>, Error> {
        let starts = gaps.iter().map(|gap| gap.started_us);
        let mut starts: Vec<String> = std::iter::once(i64::MIN)
            .chain(starts.filter(|us| *us < to_us))
            .map(|us| us.to_string())
            .collect();
        starts.dedup();
        let sums: Vec<Option<String>> = sqlx::query_scalar(AssertSqlSafe(stretches_sql()))
            .bind(camera)
            .bind(from_us)
            .bind(to_us)
            .bind(format!("[{}]", starts.join(",")))
            .fetch_all(&self.pool)
            .await
            .map_err(self.failed())?;
        let mut stretches: Vec<StretchRow> = Vec::new();
        let mut gaps = gaps.iter().peekable();
        for sum in sums.into_iter().flatten() {
            let sum = serde_json::from_str(&sum)
                .map_err(|error| self.failed()(sqlx::Error::Decode(error.into())))?;
            let next = StretchRow::of(camera, sum);
            match stretches.last_mut() {
                Some(last) if !lies_between(&mut gaps, last.ended_us, next.started_us) => {
                    last.extend(next);
                }
                _ => stretches.push(next),
            }
        }
        Ok(stretches)
    }
}

impl StretchRow {
    fn of(camera: &str, sum: Sum) -> Self {
        let (files, started_us, ended_us, frames, bytes, open, first_path, last_path) = sum;
        Self {
            camera: camera.to_owned(),
            started_us,
            ended_us,
            frames,
            bytes,
            files,
            open: open > 0,
            first_path: first_path.into(),
            last_path: last_path.into(),
        }
    }

    fn extend(&mut self, next: Self) {
        self.ended_us = self.ended_us.max(next.ended_us);
        self.frames += next.frames;
        self.bytes += next.bytes;
        self.files += next.files;
        self.open |= next.open;
        self.last_path = next.last_path;
    }
}

/// Whether a gap begins after the one's end and before the other's start. `gaps` are in order and are used up as time goes on.
fn lies_between<'a>(
    gaps: &mut std::iter::Peekable<impl Iterator<Item = &'a GapRow>>,
    ended_us: i64,
    started_us: i64,
) -> bool {
    while gaps
        .next_if(|gap| gap.ended_us.is_some_and(|end| end <= ended_us))
        .is_some()
    {}
    gaps.peek().is_some_and(|gap| gap.started_us < started_us)
}

/// The segments that begin from the start of one gap to that of the next, for each of the starts in ?4. Open segments are few, and must not be
/// looked for by time (hence the `+`): closed ones are added up from an index that has all of it.
pub(super) fn stretches_sql() -> String {
    let longest = rows::longest("c.id");
    // Each is added up by itself: rows that are handed on, to be added up with the others, go through a co-routine one by one.
    let sum = |open: bool, started_us: &str, state: &str| {
        format!(
            "SELECT count(*) AS files, min(started_us) AS since, max(ended_us) AS until, sum(frames) AS frames, sum(bytes) AS bytes, \
              {open} AND count(*) > 0 AS open FROM segments WHERE camera_id = camera AND state = '{state}' \
              AND {started_us} >= spans.since AND {started_us} < spans.until AND ended_us >= ?2"
        )
    };
    let closed = sum(false, "started_us", "closed");
    let open = sum(true, "+started_us", "open");
    format!(
        "WITH bounds (since, until) AS (SELECT value, lead(value, 1, ?3) OVER (ORDER BY value) FROM json_each(?4)), \
          longest (us) AS (SELECT {longest} FROM cameras c WHERE c.name = ?1), \
          spans (camera, since, until) AS MATERIALIZED (SELECT c.id, max(since, ?2 - longest.us), min(until, ?3) \
              FROM cameras c CROSS JOIN longest CROSS JOIN bounds WHERE c.name = ?1) \
     SELECT (SELECT CASE WHEN sum(files) > 0 THEN json_array(sum(files), min(since), max(until), sum(frames), sum(bytes), max(open), \
              (SELECT path FROM segments WHERE camera_id = camera AND started_us >= spans.since AND started_us < spans.until \
                  AND ended_us >= ?2 ORDER BY started_us LIMIT 1), \
              (SELECT path FROM segments WHERE camera_id = camera AND started_us >= spans.since AND started_us < spans.until \
                  AND ended_us >= ?2 ORDER BY started_us DESC LIMIT 1)) END \
          FROM ({closed} UNION ALL {open})) \
     FROM spans ORDER BY since"
    )
}
