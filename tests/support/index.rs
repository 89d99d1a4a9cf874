//! What a recorder left behind: its index, read as a person would with SQL, and the footage that it points at.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

use super::RUNTIME;

/// A row of the view `footage`.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Row {
    /// Camera name.
    pub camera: String,
    /// Capture time as text.
    pub captured: String,
    /// Capture time.
    pub captured_us: i64,
    /// Arrival.
    pub received_us: i64,
    /// `camera`, `mapped` or `arrival`.
    pub clock: String,
    /// It can be shown by itself.
    pub keyframe: bool,
    /// Not torn.
    pub complete: bool,
    /// Relative to the storage directory.
    pub path: String,
    /// Where the payload begins.
    pub offset: i64,
    /// Its length.
    pub length: i64,
}

/// A row of the table `gaps`.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Gap {
    /// Camera name.
    pub camera: String,
    /// Begin.
    pub started_us: i64,
    /// End, unless it is open.
    pub ended_us: Option<i64>,
    /// From the closed list.
    pub reason: String,
    /// In words.
    pub detail: String,
}

/// A row of the table `segments`.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Segment {
    /// Camera name.
    pub camera: String,
    /// Relative to the storage directory.
    pub path: String,
    /// How many frames the index says it has.
    pub frames: i64,
    /// Its bytes.
    pub bytes: i64,
    /// `open` or `closed`.
    pub state: String,
}

/// A row of the table `accounts`.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Account {
    /// The run.
    pub session_id: i64,
    /// Whether the run was stopped, not killed.
    pub stopped: bool,
    /// Camera name.
    pub camera: String,
    /// All that came.
    pub parts: i64,
    /// Frames with rows.
    pub stored: i64,
    /// What was no frame, for all reasons.
    pub skipped: i64,
    /// What could not be written, for all reasons.
    pub dropped: i64,
    /// What was on its way when the recorder was killed.
    pub lost: i64,
}

/// A row of the table `removals`.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Removal {
    /// Earliest capture time that went.
    pub started_us: i64,
    /// Latest.
    pub ended_us: i64,
    /// How many segments went.
    pub segments: i64,
    /// Their frames.
    pub frames: i64,
    /// Their bytes.
    pub bytes: i64,
    /// Why.
    pub rule: String,
}

/// An index, opened read-only.
#[derive(Debug)]
pub struct Index {
    storage: PathBuf,
    pool: SqlitePool,
}

impl Index {
    /// Opens the index of a storage directory.
    pub fn open(storage: &Path) -> Result<Self, sqlx::Error> {
        let options = SqliteConnectOptions::new()
            .filename(storage.join("index.db"))
            .read_only(true);
        let pool = RUNTIME.block_on(
            SqlitePoolOptions::new()
                .max_connections(1)
                .connect_with(options),
        )?;
        Ok(Self {
            storage: storage.to_owned(),
            pool,
        })
    }

    /// All frames, in order of arrival within each camera.
    pub fn rows(&self) -> Result<Vec<Row>, sqlx::Error> {
        let sql =
            "SELECT footage.* FROM footage JOIN segments USING (path) ORDER BY segments.id, offset";
        RUNTIME.block_on(sqlx::query_as(sql).fetch_all(&self.pool))
    }

    /// All frames of one camera, in order of arrival.
    pub fn rows_of(&self, camera: &str) -> Vec<Row> {
        self.rows()
            .unwrap_or_default()
            .into_iter()
            .filter(|row| row.camera == camera)
            .collect()
    }

    /// All gaps, by begin.
    pub fn gaps(&self) -> Result<Vec<Gap>, sqlx::Error> {
        let sql = "SELECT name AS camera, gaps.started_us, gaps.ended_us, reason, coalesce(detail, '') AS detail
                   FROM gaps JOIN cameras ON cameras.id = camera_id ORDER BY gaps.started_us, gaps.id";
        RUNTIME.block_on(sqlx::query_as(sql).fetch_all(&self.pool))
    }

    /// The gaps of one camera.
    pub fn gaps_of(&self, camera: &str) -> Vec<Gap> {
        self.gaps()
            .unwrap_or_default()
            .into_iter()
            .filter(|gap| gap.camera == camera)
            .collect()
    }

    /// All segments, by id.
    pub fn segments(&self) -> Result<Vec<Segment>, sqlx::Error> {
        let sql = "SELECT name AS camera, path, frames, bytes, state FROM segments JOIN cameras ON cameras.id = camera_id ORDER BY segments.id";
        RUNTIME.block_on(sqlx::query_as(sql).fetch_all(&self.pool))
    }

    /// All receipts for removed footage, in order.
    pub fn removals(&self) -> Result<Vec<Removal>, sqlx::Error> {
        let sql =
            "SELECT started_us, ended_us, segments, frames, bytes, rule FROM removals ORDER BY id";
        RUNTIME.block_on(sqlx::query_as(sql).fetch_all(&self.pool))
    }

    /// What became of everything, by session and camera.
    pub fn accounts(&self) -> Vec<Account> {
        let sql = "SELECT session_id, sessions.ended_us IS NOT NULL AS stopped, name AS camera, parts, stored,
                       skipped_empty + skipped_not_picture + skipped_torn + skipped_too_large AS skipped,
                       disk_slow + disk_full AS dropped, lost
                   FROM accounts JOIN cameras ON cameras.id = camera_id JOIN sessions ON sessions.id = session_id
                   ORDER BY session_id, camera_id";
        RUNTIME
            .block_on(sqlx::query_as(sql).fetch_all(&self.pool))
            .expect("accounts")
    }

    /// Of each camera, how many frames there are and how often some were removed.
    pub fn frame_counts(&self) -> Vec<(String, i64, i64)> {
        let sql = "SELECT name, (SELECT count(*) FROM frames WHERE camera_id = cameras.id),
                       (SELECT count(*) FROM removals WHERE camera_id = cameras.id)
                   FROM cameras";
        RUNTIME
            .block_on(sqlx::query_as(sql).fetch_all(&self.pool))
            .expect("cameras")
    }

    /// Whether it is younger than the footage that it has.
    pub fn is_made_anew(&self) -> bool {
        let sql = "SELECT EXISTS (SELECT 1 FROM segments WHERE received_us < (SELECT created_us FROM recorder))";
        RUNTIME
            .block_on(sqlx::query_scalar(sql).fetch_one(&self.pool))
            .expect("segments")
    }

    /// The bytes that a row points at; the error says what is not there.
    pub fn payload(&self, row: &Row) -> std::io::Result<Vec<u8>> {
        let number = |value: i64| u64::try_from(value).map_err(std::io::Error::other);
        let mut bytes = vec![0; usize::try_from(row.length).map_err(std::io::Error::other)?];
        File::open(self.storage.join(&row.path))?.read_exact_at(&mut bytes, number(row.offset)?)?;
        Ok(bytes)
    }

    /// The frames of one camera, in order of arrival; panics when a row points at bytes that are not there.
    pub fn frames_of(&self, camera: &str) -> Vec<(Row, Vec<u8>)> {
        let payload = |row: &Row| {
            self.payload(row)
                .unwrap_or_else(|error| panic!("{row:?} points at nothing: {error}"))
        };
        self.rows_of(camera)
            .into_iter()
            .map(|row| (row.clone(), payload(&row)))
            .collect()
    }
}
