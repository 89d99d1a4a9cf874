//! Rows that are made up: cameras of 30 days at most, as they would have been recorded, but without files.

use std::path::Path;
use std::time::Instant;

use framelog_store::{Options, Store};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use crate::live::now_us;
use crate::{Fallible, HOUR_US, SECOND_US};

const DAY_US: i64 = 24 * HOUR_US;
const FPS: i64 = 10;
/// As the default configuration has it.
const SEGMENT_US: i64 = 60 * SECOND_US;
/// They go back so far at most.
const DAYS: i64 = 30;
const ROWS_PER_CAMERA: i64 = DAYS * DAY_US / SECOND_US * FPS;
/// So many rows has an hour of one of them.
pub const ROWS_PER_HOUR: i64 = HOUR_US / SECOND_US * FPS;

/// What was made up.
pub struct Made {
    pub rows: i64,
    cameras: i64,
    pub from_us: i64,
    pub until_us: i64,
    pub segments_per_camera: i64,
    bytes_per_segment: i64,
}

impl Made {
    /// Puts them into an index of its own.
    pub async fn make(dir: &Path, rows: i64) -> Fallible<Self> {
        Store::open(Options::new(dir.to_owned()))
            .await?
            .close()
            .await?;
        let cameras = (rows - 1) / ROWS_PER_CAMERA + 1;
        let per_camera = rows / cameras / (FPS * 60) * (FPS * 60);
        let until_us = now_us() / SEGMENT_US * SEGMENT_US;
        let made = Self {
            rows: per_camera * cameras,
            cameras,
            from_us: until_us - per_camera / FPS * SECOND_US,
            until_us,
            segments_per_camera: per_camera / FPS / 60,
            bytes_per_segment: 24_222 * FPS * 60,
        };
        let began = Instant::now();
        let mut connection = connect(dir).await?;
        for pragma in ["PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF"] {
            sqlx::query(pragma).execute(&mut connection).await?;
        }
        made.fill(&mut connection).await?;
        sqlx::query("PRAGMA journal_mode = WAL")
            .execute(&mut connection)
            .await?;
        connection.close().await?;
        let bytes = std::fs::metadata(dir.join("index.db"))?.len();
        eprintln!(
            "{} rows of {cameras} cameras made in {:.0} s: {:.1} bytes a row",
            made.rows,
            began.elapsed().as_secs_f64(),
            bytes as f64 / made.rows as f64
        );
        Ok(made)
    }

    /// A segment of each camera, and the next of each, as they would be recorded.
    async fn fill(&self, connection: &mut SqliteConnection) -> Fallible<()> {
        for camera in 1..=self.cameras {
            sqlx::query("INSERT INTO cameras (id, name, added_us) VALUES (?, ?, ?)")
                .bind(camera)
                .bind(format!("old-{}", camera - 1))
                .bind(self.from_us)
                .execute(&mut *connection)
                .await?;
        }
        let mut id = 0;
        for segment in 0..self.segments_per_camera {
            let started_us = self.from_us + segment * SEGMENT_US;
            for camera in 1..=self.cameras {
                id += 1;
                sqlx::query(
                    "INSERT INTO segments (id, camera_id, path, codec, started_us, ended_us, frames, bytes, state, offset_us, received_us) \
                     VALUES (?1, ?2, ?3, 'mjpeg', ?4, ?5, ?6, ?7, 'closed', 0, ?5 + 5000)",
                )
                .bind(id)
                .bind(camera)
                .bind(format!("footage/old-{}/{started_us}.mjpeg", camera - 1))
                .bind(started_us)
                .bind(started_us + SEGMENT_US - SECOND_US / FPS)
                .bind(FPS * 60)
                .bind(self.bytes_per_segment)
                .execute(&mut *connection)
                .await?;
                sqlx::query(
                    "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
                     INSERT INTO frames SELECT ?2, ?3 + i * 100000 + i * 7919 % 7001, ?4, i * 24222 + 222, \
                         18000 + i * 7919 % 12000, 0, 3000 + i * 104729 % 57000 FROM n",
                )
                .bind(FPS * 60 - 1)
                .bind(camera)
                .bind(started_us)
                .bind(id)
                .execute(&mut *connection)
                .await?;
            }
        }
        Ok(())
    }

    /// A time at which there was a camera.
    pub fn some_time(&self, rng: &mut fastrand::Rng) -> i64 {
        rng.i64(self.from_us + SECOND_US..self.until_us - SECOND_US)
    }

    /// What is left of their bytes without an hour of one camera.
    pub fn bytes_without_an_hour(&self) -> u64 {
        let segments = self.cameras * self.segments_per_camera - HOUR_US / SEGMENT_US;
        (segments * self.bytes_per_segment).unsigned_abs()
    }

    /// Rows of the made-up cameras that are left.
    pub async fn count(&self, dir: &Path) -> Fallible<i64> {
        let mut connection = connect(dir).await?;
        let rows = sqlx::query_scalar(
            "SELECT coalesce(sum(s.frames), 0) FROM segments s JOIN cameras c ON c.id = s.camera_id WHERE c.name LIKE 'old-%'",
        )
        .fetch_one(&mut connection)
        .await?;
        connection.close().await?;
        Ok(rows)
    }
}

async fn connect(dir: &Path) -> sqlx::Result<SqliteConnection> {
    SqliteConnectOptions::new()
        .filename(dir.join("index.db"))
        .disable_statement_logging()
        .connect()
        .await
}
