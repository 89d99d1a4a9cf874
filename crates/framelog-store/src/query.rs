//! Reading: cameras, frames, segments and gaps by time. Read-only, beside a running recorder or without one.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use framelog_core::clock::ClockKind;
use framelog_core::frame::{Codec, Parameters};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, FromRow, Row as _};

use crate::container::Container;
use crate::direct::refused;
use crate::disk::Disk;
use crate::error::Error;
use crate::layout::{self, SegmentName};
use crate::scan::{self, frame_at};
use crate::{rebuild, rows, schema};

mod frames;
mod kept;
mod last_run;
mod removable;
mod stretches;

pub use kept::KeptRow;
pub use last_run::{AccountRow, SessionRow};
pub use stretches::StretchRow;

use frames::{Frames, Page};

/// Connections that read at the same time; more wait.
const CONNECTIONS_MAX: u32 = 4;
/// How long a query waits for a checkpoint to finish.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Columns of [`SegmentRow`]; the conditions follow.
const SEGMENTS: &str = "SELECT s.id, c.name AS camera, s.path, s.codec, s.started_us, s.ended_us, s.frames, s.bytes, \
        s.state = 'open' AS open \
     FROM cameras c CROSS JOIN segments s ON s.camera_id = c.id WHERE ";

/// Columns of [`GapRow`]; the conditions follow.
const GAPS: &str = "SELECT c.name AS camera, g.started_us, g.ended_us, g.reason, g.detail \
     FROM cameras c CROSS JOIN gaps g ON g.camera_id = c.id WHERE ";

/// Columns of [`RemovalRow`]; the conditions follow.
const REMOVALS: &str = "SELECT c.name AS camera, r.started_us, r.ended_us, r.segments, r.frames, r.bytes, r.rule, r.removed_us \
     FROM cameras c CROSS JOIN removals r ON r.camera_id = c.id WHERE ";

/// The first version of the index with the table `removals`.
const REMOVALS_SINCE: i64 = 2;

/// A reader of one storage directory. Opens `index.db` read-only. Clones share its connections. Times that are asked for are microseconds since
/// the Unix epoch, UTC.
#[derive(Clone, Debug)]
pub struct Reader {
    index: PathBuf,
    /// Device and inode of the file that was at its path when it was opened.
    inode: (u64, u64),
    version: i64,
    pub(crate) pool: SqlitePool,
    frames: Arc<Frames>,
    pub(crate) disk: Disk,
}

/// One frame as the index knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameRow {
    /// Camera name.
    pub camera: Arc<str>,
    /// When it was taken, microseconds since the Unix epoch, UTC.
    pub captured_us: i64,
    /// When its last byte arrived.
    pub received_us: i64,
    /// Where `captured_us` comes from.
    pub clock: ClockKind,
    /// What was added to the camera's stamp to get `captured_us`; 0 unless `clock` is `mapped`.
    pub clock_offset_us: i64,
    /// How it is coded.
    pub codec: Codec,
    /// Can be shown by itself.
    pub keyframe: bool,
    /// Not torn.
    pub complete: bool,
    /// Relative to the storage directory.
    pub path: Arc<Path>,
    /// Where the payload begins in that file, bytes.
    pub offset: u64,
    /// Its length, bytes.
    pub length: u64,
    /// Id of the segment, growing in the order in which segments began.
    pub segment_id: i64,
}

/// One segment: a file of consecutive frames of one camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentRow {
    /// Id, growing in the order in which segments began.
    pub id: i64,
    /// Camera name.
    pub camera: String,
    /// Relative to the storage directory.
    pub path: PathBuf,
    /// `mjpeg`, `h264` or `h265`.
    pub codec: String,
    /// Earliest capture time in it, microseconds: that of its first frame unless stamps went backward.
    pub started_us: i64,
    /// Latest capture time in it so far, microseconds.
    pub ended_us: i64,
    /// Frames in it so far.
    pub frames: u64,
    /// Bytes of the file so far that hold indexed frames.
    pub bytes: u64,
    /// Still being written.
    pub open: bool,
}

/// A span without footage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GapRow {
    /// Camera name.
    pub camera: String,
    /// Microseconds since the Unix epoch.
    pub started_us: i64,
    /// `None` while it is open.
    pub ended_us: Option<i64>,
    /// One of the names in `framelog_core::gap`.
    pub reason: String,
    /// In words, without credentials.
    pub detail: String,
}

/// A receipt for footage that was removed: what one rule took of a camera within an hour.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct RemovalRow {
    /// Camera name.
    pub camera: String,
    /// Earliest capture time of what was removed, microseconds.
    pub started_us: i64,
    /// Latest capture time.
    pub ended_us: i64,
    /// How many segments went.
    pub segments: i64,
    /// Their frames.
    pub frames: i64,
    /// Their bytes.
    pub bytes: i64,
    /// `retain`, `max_size`, `min_free`, `disk_full` or `missing`.
    pub rule: String,
    /// When the last of it went.
    pub removed_us: i64,
}

impl Reader {
    /// Opens the index of the storage directory for reading.
    ///
    /// # Errors
    /// [`Error::NoIndex`] if nothing was ever recorded there, [`Error::NewerIndex`], [`Error::Index`].
    pub async fn open(storage: &Path) -> Result<Self, Error> {
        let index = storage.join(layout::INDEX);
        // Before SQLite opens it: one that takes its place in between is noticed later.
        let inode = match inode(&index) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(Error::io(index, "read")(error));
            }
            Err(_) => return Err(Error::NoIndex { path: index }),
            Ok(inode) => inode,
        };
        let options = SqliteConnectOptions::new()
            .filename(&index)
            .read_only(true)
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging();
        let mut immutable = false;
        let pool = match connect(options.clone()).await {
            // A directory that may not be written, and nobody recording: SQLite cannot make the shared memory that a log
            // needs, but there is no log either.
            Err(_) if !storage.join("index.db-wal").exists() => {
                immutable = true;
                connect(options.immutable(true)).await
            }
            connected => connected,
        };
        let (pool, version) = pool.map_err(Error::index_for_reading(&index, "opened"))?;
        let disk = Disk::open(storage).map_err(Error::io(storage, "opened"))?;
        schema::check_version(&index, version)?;
        Ok(Self {
            frames: Arc::new(Frames::of(index.clone(), immutable)),
            index,
            inode,
            version,
            pool,
            disk,
        })
    }

    /// Whether another file is at the index's path now: what is written from now on can't be seen here.
    pub fn is_replaced(&self) -> bool {
        inode(&self.index).is_ok_and(|inode| inode != self.inode)
    }

    /// Whether it is being made anew, and doesn't know all footage yet.
    pub(crate) fn is_being_made(&self) -> bool {
        self.index.parent().is_some_and(rebuild::is_due)
    }

    /// Whether nothing is at the index's path now.
    pub fn is_gone(&self) -> bool {
        inode(&self.index).is_err()
    }

    /// Who records here, as the index has it: a UUID.
    pub(crate) async fn recorder(&self) -> Result<Option<String>, Error> {
        sqlx::query_scalar("SELECT uuid FROM recorder")
            .fetch_optional(&self.pool)
            .await
            .map_err(self.failed())
    }

    /// Names of all cameras, sorted.
    ///
    /// # Errors
    /// [`Error::Index`] or [`Error::MalformedIndex`] if the index can't be read.
    pub async fn cameras(&self) -> Result<Vec<String>, Error> {
        let names = sqlx::query_scalar("SELECT name FROM cameras ORDER BY name")
            .fetch_all(&self.pool)
            .await;
        names.map_err(self.failed())
    }

    /// Whether there is a camera of this name, or was one.
    ///
    /// # Errors
    /// [`Error::Index`] or [`Error::MalformedIndex`] if the index can't be read.
    pub async fn knows(&self, camera: &str) -> Result<bool, Error> {
        let known = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM cameras WHERE name = ?)");
        let known = known.bind(camera).fetch_one(&self.pool).await;
        known.map_err(self.failed())
    }

    /// Whether the recorder has been told that the camera is in the configuration no more.
    ///
    /// # Errors
    /// [`Error::Index`] or [`Error::MalformedIndex`] if the index can't be read.
    pub async fn is_removed(&self, camera: &str) -> Result<bool, Error> {
        let removed = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM cameras WHERE name = ? AND removed_us IS NOT NULL)",
        );
        let removed = removed.bind(camera).fetch_one(&self.pool).await;
        removed.map_err(self.failed())
    }

    /// The frame captured nearest to `at_us`: of two equally near the earlier, of several at the same time the one that arrived
    /// first. Blocking: milliseconds.
    ///
    /// # Errors
    /// [`Error::Index`] or [`Error::MalformedIndex`] if the index can't be read.
    pub fn nearest(&self, camera: &str, at_us: i64) -> Result<Option<FrameRow>, Error> {
        let found =
            (self.frames.beside(camera, at_us)).map_err(|error| self.failed_frames(error))?;
        Ok(found
            .into_iter()
            .min_by_key(|frame| (frame.captured_us.abs_diff(at_us), frame.captured_us)))
    }

    /// The next at most `limit` frames with `from_us <= captured_us < to_us`, in order of capture (ties: of arrival), after `after` if
    /// given (a row of the previous page). Blocking, for as long as `limit` makes it.
    ///
    /// # Errors
    /// [`Error::Index`] or [`Error::MalformedIndex`] if the index can't be read.
    pub fn frames(
        &self,
        camera: &str,
        from_us: i64,
        to_us: i64,
        after: Option<&FrameRow>,
        limit: u32,
    ) -> Result<Vec<FrameRow>, Error> {
        // Ids and offsets are positive: behind (from, -1, -1) is from `from`.
        let key = |frame: &FrameRow| {
            (
                frame.captured_us,
                frame.segment_id,
                frame.offset.cast_signed(),
            )
        };
        let (captured_us, segment_id, offset) =
            after.map(key).into_iter().fold((from_us, -1, -1), Ord::max);
        let page = Page {
            camera,
            from: (captured_us, segment_id, offset),
            to_us,
            limit,
        };
        (self.frames.page(page)).map_err(|error| self.failed_frames(error))
    }

    /// Segments that overlap the span, of one camera or all, by camera and start. The span is `from_us` to before `to_us`.
    ///
    /// # Errors
    /// [`Error::Index`] or [`Error::MalformedIndex`] if the index can't be read.
    pub async fn segments(
        &self,
        camera: Option<&str>,
        from_us: i64,
        to_us: i64,
    ) -> Result<Vec<SegmentRow>, Error> {
        self.overlapping(segments_sql, camera, from_us, to_us).await
    }

    /// The segment `id` of a camera and those that began after it, in the order they began, at most `limit`: what is followed.
    ///
    /// # Errors
    /// [`Error::Index`] or [`Error::MalformedIndex`] if the index can't be read.
    pub async fn segments_since(
        &self,
        camera: &str,
        id: i64,
        limit: u32,
    ) -> Result<Vec<SegmentRow>, Error> {
        sqlx::query_as(AssertSqlSafe(segments_since_sql()))
            .bind(camera)
            .bind(id)
            .bind(limit)
            .fetch_all(&self.pool)
            .await
            .map_err(self.failed())
    }

    /// The segment of a camera that began last.
    ///
    /// # Errors
    /// [`Error::Index`] or [`Error::MalformedIndex`] if the index can't be read.
    pub async fn newest_segment(&self, camera: &str) -> Result<Option<SegmentRow>, Error> {
        sqlx::query_as(AssertSqlSafe(newest_segment_sql()))
            .bind(camera)
            .fetch_optional(&self.pool)
            .await
            .map_err(self.failed())
    }

    /// The id of the first that began, of a camera's segments with frames captured then or later. Capture times may go back from one to the next.
    ///
    /// # Errors
    /// [`Error::Index`] or [`Error::MalformedIndex`] if the index can't be read.
    pub async fn first_segment_since(
        &self,
        camera: &str,
        from_us: i64,
    ) -> Result<Option<i64>, Error> {
        sqlx::query_scalar(AssertSqlSafe(first_segment_since_sql()))
            .bind(camera)
            .bind(from_us)
            .fetch_one(&self.pool)
            .await
            .map_err(self.failed())
    }

    /// Closes all its connections, and those of its clones: only then has SQLite let go of the index.
    pub async fn close(self) {
        self.pool.close().await;
    }

    /// Gaps that overlap the span, of one camera or all, by camera and start. The span is `from_us` to before `to_us`; a gap
    /// that is open reaches beyond any.
    ///
    /// # Errors
    /// [`Error::Index`] or [`Error::MalformedIndex`] if the index can't be read.
    pub async fn gaps(
        &self,
        camera: Option<&str>,
        from_us: i64,
        to_us: i64,
    ) -> Result<Vec<GapRow>, Error> {
        self.overlapping(gaps_sql, camera, from_us, to_us).await
    }

    /// Receipts for removed footage that overlaps the span, of one camera or all, by camera and start. The span is `from_us` to
    /// before `to_us`.
    ///
    /// # Errors
    /// [`Error::Index`] or [`Error::MalformedIndex`] if the index can't be read.
    pub async fn removals(
        &self,
        camera: Option<&str>,
        from_us: i64,
        to_us: i64,
    ) -> Result<Vec<RemovalRow>, Error> {
        if self.version < REMOVALS_SINCE {
            return Ok(Vec::new());
        }
        self.overlapping(removals_sql, camera, from_us, to_us).await
    }

    /// The rows of one camera or all that overlap a span.
    async fn overlapping<R>(
        &self,
        sql: fn(one_camera: bool) -> String,
        camera: Option<&str>,
        from_us: i64,
        to_us: i64,
    ) -> Result<Vec<R>, Error>
    where
        R: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        sqlx::query_as(AssertSqlSafe(sql(camera.is_some())))
            .bind(camera)
            .bind(from_us)
            .bind(to_us)
            .fetch_all(&self.pool)
            .await
            .map_err(self.failed())
    }

    /// The frame's bytes, from its file. Blocking. Never another frame's: what the file says of the frame is compared with the row, and
    /// its checksum with the bytes.
    ///
    /// # Errors
    /// [`Error::Io`] if the file is gone; [`Error::Damaged`] if the frame isn't there as it was written.
    pub fn payload(&self, frame: &FrameRow) -> Result<Vec<u8>, Error> {
        let damaged = || Error::Damaged {
            path: frame.path.to_path_buf(),
            offset: frame.offset,
        };
        let name = frame.path.to_str().and_then(SegmentName::parse);
        match name.map(|name| name.container.format()) {
            Some(Some(format)) => {
                let found = self
                    .disk
                    .open_file(&frame.path)
                    .and_then(|file| frame_at(&file, format, frame.offset, frame.length))
                    .map_err(Error::io(&*frame.path, "read"))?;
                match found {
                    Some((stored, payload)) if stored.captured_us == frame.captured_us => {
                        Ok(payload)
                    }
                    _ => Err(damaged()),
                }
            }
            Some(None) => self
                .disk
                .read(&frame.path, frame.offset, frame.length)
                .map_err(Error::io(&*frame.path, "read")),
            // Not a name of ours, so not a row of ours: it could lead anywhere.
            None => Err(damaged()),
        }
    }

    /// What decoding a frame of H.264 or H.265 needs, from the beginning of its file. Blocking.
    ///
    /// # Errors
    /// [`Error::Io`] if the file is gone; [`Error::Damaged`] if it does not begin as it was written.
    pub fn parameters(&self, frame: &FrameRow) -> Result<Parameters, Error> {
        let name = frame.path.to_str().and_then(SegmentName::parse);
        let found = match name {
            Some(name) if name.container == Container::Mp4 => self
                .disk
                .open_file(&frame.path)
                .and_then(|file| scan::parameters(&file))
                .map_err(Error::io(&*frame.path, "read"))?,
            _ => None,
        };
        found.ok_or_else(|| Error::Damaged {
            path: frame.path.to_path_buf(),
            offset: 0,
        })
    }

    pub(crate) fn failed(&self) -> impl FnOnce(sqlx::Error) -> Error {
        Error::index_for_reading(&self.index, "read")
    }

    fn failed_frames(&self, error: rusqlite::Error) -> Error {
        self.failed()(refused(error))
    }
}

/// Device and inode of a file.
fn inode(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::metadata(path)?;
    Ok((found.dev(), found.ino()))
}

/// Connections, and the schema's version.
async fn connect(options: SqliteConnectOptions) -> sqlx::Result<(SqlitePool, i64)> {
    let pool = SqlitePoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .test_before_acquire(false) // a file does not hang up
        .connect_with(options)
        .await?;
    let mut connection = pool.acquire().await?;
    let version = schema::version(&mut connection).await?;
    Ok((pool, version))
}

/// A segment that overlaps the span begins before its end, and at most the camera's longest segment before its start.
fn segments_sql(one_camera: bool) -> String {
    let camera = camera_condition(one_camera);
    let longest = rows::longest("c.id");
    format!(
        "{SEGMENTS} {camera} AND s.started_us < ?3 AND s.ended_us >= ?2 AND s.started_us >= ?2 - {longest} \
         ORDER BY c.name, s.started_us, s.id"
    )
}

fn segments_since_sql() -> String {
    format!("{SEGMENTS} c.name = ?1 AND s.id >= ?2 ORDER BY s.id LIMIT ?3")
}

fn newest_segment_sql() -> String {
    format!("{SEGMENTS} c.name = ?1 ORDER BY s.id DESC LIMIT 1")
}

fn first_segment_since_sql() -> String {
    let longest = rows::longest("c.id");
    format!(
        "SELECT min(s.id) FROM cameras c CROSS JOIN segments s ON s.camera_id = c.id \
         WHERE c.name = ?1 AND s.started_us >= ?2 - {longest} AND s.ended_us >= ?2"
    )
}

fn gaps_sql(one_camera: bool) -> String {
    let camera = camera_condition(one_camera);
    format!(
        "{GAPS} {camera} AND g.started_us < ?3 AND (g.ended_us IS NULL OR g.ended_us > ?2) ORDER BY c.name, g.started_us, g.id"
    )
}

fn removals_sql(one_camera: bool) -> String {
    let camera = camera_condition(one_camera);
    format!(
        "{REMOVALS} {camera} AND r.started_us < ?3 AND r.ended_us >= ?2 ORDER BY c.name, r.started_us, r.id"
    )
}

fn camera_condition(one_camera: bool) -> &'static str {
    if one_camera {
        "c.name = ?1"
    } else {
        "?1 IS NULL"
    }
}

impl FromRow<'_, SqliteRow> for SegmentRow {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            camera: row.try_get("camera")?,
            path: row.try_get::<String, _>("path")?.into(),
            codec: row.try_get("codec")?,
            started_us: row.try_get("started_us")?,
            ended_us: row.try_get("ended_us")?,
            frames: row.try_get::<i64, _>("frames")?.cast_unsigned(),
            bytes: row.try_get::<i64, _>("bytes")?.cast_unsigned(),
            open: row.try_get("open")?,
        })
    }
}

impl FromRow<'_, SqliteRow> for GapRow {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            camera: row.try_get("camera")?,
            started_us: row.try_get("started_us")?,
            ended_us: row.try_get("ended_us")?,
            reason: row.try_get("reason")?,
            detail: row.try_get("detail")?,
        })
    }
}

#[cfg(test)]
mod tests;
