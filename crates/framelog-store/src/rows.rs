//! Rows of the index as values, the statements that write them, and what those who look for them share. Not for when they are written: that
//! is `index`.

use std::sync::Arc;

use framelog_core::clock::ClockKind;
use framelog_core::frame::Codec;
use framelog_core::gap::GapReason;
use rusqlite::{Connection, Params};
use sqlx::SqliteConnection;
use tokio::task::yield_now;

use crate::direct::directly;

/// `flags`: the payload is torn.
pub(crate) const TORN: i64 = 4;
/// `flags`: the frame needs others to be shown.
pub(crate) const NOT_KEYFRAME: i64 = 8;

/// A row of `cameras`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Camera {
    pub id: i64,
    pub name: Arc<str>,
    pub added_us: i64,
    pub removed_us: Option<i64>,
}

/// A row of `segments`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub id: i64,
    pub camera_id: i64,
    pub path: Arc<str>,
    pub codec: Codec,
    pub started_us: i64,
    pub ended_us: i64,
    pub frames: i64,
    pub bytes: i64,
    pub open: bool,
    pub offset_us: i64,
    pub received_us: i64,
}

/// A row of `frames`. Ordered as the index clusters it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Frame {
    pub camera_id: i64,
    pub captured_us: i64,
    pub segment_id: i64,
    pub offset: i64,
    pub length: i64,
    pub flags: i64,
    pub lag_us: i64,
}

/// A row of `gaps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub id: i64,
    pub camera_id: i64,
    pub started_us: i64,
    pub ended_us: Option<i64>,
    pub reason: GapReason,
    pub detail: Arc<str>,
}

/// A row of `removals`: footage that was found to be gone.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Missing {
    pub camera_id: i64,
    pub started_us: i64,
    pub ended_us: i64,
    pub segments: i64,
    pub frames: i64,
    pub bytes: i64,
}

impl Missing {
    /// Takes in what was missing next.
    pub fn extend(&mut self, next: &Self) {
        self.ended_us = self.ended_us.max(next.ended_us);
        self.segments += next.segments;
        self.frames += next.frames;
        self.bytes += next.bytes;
    }
}

/// A row of `accounts`, but for `lost`, which is known at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub session_id: i64,
    pub camera_id: i64,
    pub parts: i64,
    pub stored: i64,
    pub skipped_empty: i64,
    pub skipped_not_picture: i64,
    pub skipped_torn: i64,
    pub skipped_too_large: i64,
    pub disk_slow: i64,
    pub disk_full: i64,
}

/// The column `flags` of a frame: 0 for the commonest.
pub(crate) fn flags(clock: ClockKind, complete: bool, keyframe: bool) -> i64 {
    let clock = match clock {
        ClockKind::Camera => 0,
        ClockKind::Mapped => 1,
        ClockKind::Arrival => 2,
    };
    clock + if complete { 0 } else { TORN } + if keyframe { 0 } else { NOT_KEYFRAME }
}

/// Executes a statement of no parameters and no rows.
pub(crate) async fn execute(
    connection: &mut SqliteConnection,
    sql: &'static str,
) -> sqlx::Result<()> {
    sqlx::query(sql).execute(connection).await.map(|_| ())
}

/// Ids are never used twice, not even those of rows that are gone.
pub(crate) async fn next_id(connection: &mut SqliteConnection, table: &str) -> sqlx::Result<i64> {
    let last: Option<i64> = sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = ?")
        .bind(table)
        .fetch_optional(connection)
        .await?;
    Ok(last.unwrap_or(0) + 1)
}

/// The id of the camera of this name; its row is made if there is none. It was there since `added_us` at least.
pub(crate) async fn camera_id(
    connection: &mut SqliteConnection,
    name: &str,
    added_us: i64,
) -> sqlx::Result<i64> {
    let known: Option<i64> = sqlx::query_scalar("SELECT id FROM cameras WHERE name = ?")
        .bind(name)
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(id) = known {
        sqlx::query("UPDATE cameras SET added_us = ?2 WHERE id = ?1 AND added_us > ?2")
            .bind(id)
            .bind(added_us)
            .execute(connection)
            .await?;
        return Ok(id);
    }
    let camera = Camera {
        id: next_id(connection, "cameras").await?,
        name: name.into(),
        added_us,
        removed_us: None,
    };
    write_in_turns(connection, [&camera]).await?;
    Ok(camera.id)
}

/// In SQL, how long a camera's longest segment is, microseconds, 0 if it has none; `camera_id` is what its id is called there. One that overlaps
/// a time began at most so long before, which the index on `started_us` finds. Open segments have an index of their own.
pub(crate) fn longest(camera_id: &str) -> String {
    let longest_of = |state: &str| {
        format!(
            "coalesce((SELECT max(ended_us - started_us) FROM segments WHERE camera_id = {camera_id} AND state = '{state}'), 0)"
        )
    };
    format!("max({}, {})", longest_of("closed"), longest_of("open"))
}

/// Whether there is a segment of this path.
pub(crate) fn is_known(sqlite: &Connection, path: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM segments WHERE path = ?)";
    (sqlite.prepare_cached(sql)?).query_row([path], |row| row.get(0))
}

/// Removes rows of frames; segments that have no others go with them. Harmless when repeated.
pub(crate) fn withdraw(sqlite: &Connection, frames: &[Frame]) -> rusqlite::Result<()> {
    for frame in frames {
        let mut remove = sqlite.prepare_cached(
            "DELETE FROM frames WHERE camera_id = ? AND captured_us = ? AND segment_id = ? AND offset = ?",
        )?;
        let removed = remove.execute((
            frame.camera_id,
            frame.captured_us,
            frame.segment_id,
            frame.offset,
        ))?;
        sqlite
            .prepare_cached("UPDATE segments SET frames = frames - ? WHERE id = ?")?
            .execute((removed as i64, frame.segment_id))?;
        sqlite
            .prepare_cached("DELETE FROM segments WHERE id = ? AND frames <= 0")?
            .execute([frame.segment_id])?;
    }
    Ok(())
}

/// Writes receipts for footage that was found to be gone. Harmless when repeated.
pub(crate) fn write_missing(
    sqlite: &Connection,
    missing: &[Missing],
    found_us: i64,
) -> rusqlite::Result<()> {
    for row in missing {
        let mut write = sqlite.prepare_cached(
            "INSERT INTO removals (camera_id, started_us, ended_us, segments, frames, bytes, rule, removed_us) \
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, 'missing', ?7 WHERE NOT EXISTS (SELECT 1 FROM removals \
                 WHERE camera_id = ?1 AND started_us = ?2 AND ended_us = ?3 AND rule = 'missing')",
        )?;
        write.execute((
            row.camera_id,
            row.started_us,
            row.ended_us,
            row.segments,
            row.frames,
            row.bytes,
            found_us,
        ))?;
    }
    Ok(())
}

/// So many rows are written before others get a turn on the thread.
const ROWS_PER_TURN: usize = 2_000;

/// A kind of row: how it is written. Writing the same row again is harmless.
pub(crate) trait Row {
    /// Tried first: changes what changes with every commit, if that is all that does, because then no index of other columns is written.
    const UPDATE: Option<&'static str>;
    /// Writes a row that was not updated.
    const INSERT: &'static str;

    /// The columns, in the order of `INSERT`.
    fn values(&self) -> impl Params;
}

/// Writes rows in the order given, many at a time, between which others get a turn on the thread. Within the caller's transaction, unless it is a
/// single row.
pub(crate) async fn write_in_turns<'r, R: Row + 'r>(
    connection: &mut SqliteConnection,
    rows: impl IntoIterator<Item = &'r R>,
) -> sqlx::Result<()> {
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let some = rows.by_ref().take(ROWS_PER_TURN);
        directly(connection, |sqlite| write(sqlite, some)).await?;
        yield_now().await;
    }
    Ok(())
}

/// Writes rows in the order given in one go, however many they are.
pub(crate) fn write<'r, R: Row + 'r>(
    sqlite: &Connection,
    rows: impl IntoIterator<Item = &'r R>,
) -> rusqlite::Result<()> {
    let mut update = R::UPDATE.map(|sql| sqlite.prepare(sql)).transpose()?;
    // Where rows are updated a new one is rare, and compiling what writes it is as much work as updating many.
    let mut insert = None;
    for row in rows {
        let updated = match &mut update {
            Some(update) => update.execute(row.values())?,
            None => 0,
        };
        if updated == 0 {
            let insert = match &mut insert {
                Some(insert) => insert,
                None => insert.insert(sqlite.prepare(R::INSERT)?),
            };
            insert.execute(row.values())?;
        }
    }
    Ok(())
}

impl Row for Frame {
    const UPDATE: Option<&'static str> = None;
    // OR IGNORE: a commit whose outcome is unknown is repeated.
    const INSERT: &'static str = "INSERT OR IGNORE INTO frames (camera_id, captured_us, segment_id, offset, length, flags, lag_us) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

    fn values(&self) -> impl Params {
        (
            self.camera_id,
            self.captured_us,
            self.segment_id,
            self.offset,
            self.length,
            self.flags,
            self.lag_us,
        )
    }
}

impl Row for Segment {
    const UPDATE: Option<&'static str> = Some(
        "UPDATE segments SET ended_us = ?6, frames = ?7, bytes = ?8, received_us = ?11 \
        WHERE id = ?1 AND camera_id = ?2 AND path = ?3 AND codec = ?4 AND started_us = ?5 AND state = ?9 AND offset_us = ?10",
    );
    // OR REPLACE: a path that is there already is that of a file that someone deleted; the row would point into the new one.
    const INSERT: &'static str = "INSERT OR REPLACE INTO segments \
        (id, camera_id, path, codec, started_us, ended_us, frames, bytes, state, offset_us, received_us) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
        ON CONFLICT (id) DO UPDATE SET started_us = excluded.started_us, ended_us = excluded.ended_us, frames = excluded.frames, \
        bytes = excluded.bytes, state = excluded.state, received_us = excluded.received_us";

    fn values(&self) -> impl Params {
        (
            self.id,
            self.camera_id,
            &*self.path,
            self.codec.name(),
            self.started_us,
            self.ended_us,
            self.frames,
            self.bytes,
            if self.open { "open" } else { "closed" },
            self.offset_us,
            self.received_us,
        )
    }
}

impl Row for Gap {
    const UPDATE: Option<&'static str> = None;
    const INSERT: &'static str = "INSERT INTO gaps (id, camera_id, started_us, ended_us, reason, detail) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
        ON CONFLICT (id) DO UPDATE SET ended_us = excluded.ended_us, detail = excluded.detail";

    fn values(&self) -> impl Params {
        (
            self.id,
            self.camera_id,
            self.started_us,
            self.ended_us,
            self.reason.name(),
            &*self.detail,
        )
    }
}

impl Row for Camera {
    const UPDATE: Option<&'static str> = None;
    const INSERT: &'static str = "INSERT INTO cameras (id, name, added_us, removed_us) VALUES (?1, ?2, ?3, ?4) \
        ON CONFLICT (id) DO UPDATE SET removed_us = excluded.removed_us";

    fn values(&self) -> impl Params {
        (self.id, &*self.name, self.added_us, self.removed_us)
    }
}

impl Row for Account {
    const UPDATE: Option<&'static str> = Some(
        "UPDATE accounts SET parts = ?3, stored = ?4, skipped_empty = ?5, skipped_not_picture = ?6, skipped_torn = ?7, \
        skipped_too_large = ?8, disk_slow = ?9, disk_full = ?10 WHERE session_id = ?1 AND camera_id = ?2",
    );
    const INSERT: &'static str = "INSERT INTO accounts (session_id, camera_id, parts, stored, skipped_empty, \
        skipped_not_picture, skipped_torn, skipped_too_large, disk_slow, disk_full, lost) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0)";

    fn values(&self) -> impl Params {
        (
            self.session_id,
            self.camera_id,
            self.parts,
            self.stored,
            self.skipped_empty,
            self.skipped_not_picture,
            self.skipped_torn,
            self.skipped_too_large,
            self.disk_slow,
            self.disk_full,
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use sqlx::Connection as _;

    use super::*;
    use crate::session::new_index;

    /// Rows as 500 cameras at 10 fps make them, committed each second, `seconds` long: bytes and microseconds a row.
    async fn cost(seconds: i64) -> (f64, f64) {
        const CAMERAS: i64 = 500;
        const FPS: i64 = 10;
        let (_dir, mut connection) = new_index().await;
        let began = Instant::now();
        for second in 0..seconds {
            let frames: Vec<Frame> = (0..CAMERAS * FPS)
                .map(|n| {
                    let (camera_id, frame) = (n / FPS + 1, n % FPS);
                    let age = (second + camera_id) % 60; // of the segment, seconds
                    Frame {
                        camera_id,
                        captured_us: 1_795_341_600_000_000
                            + second * 1_000_000
                            + frame * 100_000
                            + n % 7001,
                        segment_id: 1_000_000 + (second + camera_id) / 60 * CAMERAS + camera_id,
                        offset: (age * FPS + frame) * 24_000 + 222,
                        length: 18_000 + n * 7919 % 12_000,
                        flags: 0,
                        lag_us: 3_000 + n * 104_729 % 57_000,
                    }
                })
                .collect();
            let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.unwrap();
            write_in_turns(&mut transaction, &frames).await.unwrap();
            transaction.commit().await.unwrap();
            if second % 10 == 0 {
                sqlx::query("PRAGMA wal_checkpoint(PASSIVE)")
                    .execute(&mut connection)
                    .await
                    .unwrap();
            }
        }
        let rows = (seconds * CAMERAS * FPS) as f64;
        let elapsed_us = began.elapsed().as_micros() as f64;
        let count = |sql: &'static str| sqlx::query_scalar::<_, i64>(sql);
        let stored = count("SELECT count(*) FROM frames")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(stored as f64, rows);
        let pages = count("PRAGMA page_count")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        let page_bytes = count("PRAGMA page_size")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        ((pages * page_bytes) as f64 / rows, elapsed_us / rows)
    }

    #[tokio::test]
    #[ignore = "a measurement: 3 million rows"]
    async fn a_row_costs_36_bytes_at_most() {
        let (bytes, us) = cost(600).await;
        println!("{bytes:.1} bytes and {us:.1} us a row");
        assert!(bytes <= 36.0);
    }

    #[tokio::test]
    async fn a_repeated_commit_adds_nothing() {
        let (_dir, mut connection) = new_index().await;
        let frame = |offset| Frame {
            camera_id: 1,
            captured_us: 5,
            segment_id: 1,
            offset,
            length: 1,
            flags: 0,
            lag_us: 0,
        };
        let frames: Vec<Frame> = (0..600).map(frame).collect();
        for _ in 0..2 {
            let mut transaction = connection.begin().await.unwrap();
            write_in_turns(&mut transaction, &frames).await.unwrap();
            transaction.commit().await.unwrap();
        }
        let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM frames")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(rows, 600);
    }

    /// A row as it is in the table, each column as text.
    async fn in_index(connection: &mut SqliteConnection, table: &'static str) -> Vec<String> {
        let sql = format!("SELECT * FROM {table}");
        directly(connection, |sqlite| {
            let mut statement = sqlite.prepare(&sql)?;
            let columns = statement.column_count();
            statement.query_row([], |row| {
                (0..columns)
                    .map(|column| Ok(format!("{:?}", row.get_ref(column)?)))
                    .collect()
            })
        })
        .await
        .unwrap()
    }

    #[tokio::test]
    async fn a_row_that_is_written_again_is_the_new_one_whatever_changed() {
        let segment = Segment {
            id: 4,
            camera_id: 1,
            path: "footage/a/4".into(),
            codec: Codec::Mjpeg,
            started_us: 10,
            ended_us: 20,
            frames: 2,
            bytes: 100,
            open: true,
            offset_us: 7,
            received_us: 21,
        };
        let grown = Segment {
            ended_us: 30,
            frames: 3,
            bytes: 150,
            received_us: 31,
            ..segment.clone()
        };
        let started_before = Segment {
            started_us: 5,
            ..grown.clone()
        };
        let closed = Segment {
            open: false,
            ..grown.clone()
        };
        for changed in [&segment, &grown, &started_before, &closed] {
            let [mut once, mut twice] = [new_index().await, new_index().await];
            write_in_turns(&mut once.1, [changed]).await.unwrap();
            for row in [&segment, changed] {
                write_in_turns(&mut twice.1, [row]).await.unwrap();
            }
            assert_eq!(
                in_index(&mut once.1, "segments").await,
                in_index(&mut twice.1, "segments").await,
                "{changed:?}"
            );
        }
    }

    #[tokio::test]
    async fn an_account_that_is_written_again_keeps_what_was_lost() {
        let (_dir, mut connection) = new_index().await;
        let account = |parts| Account {
            session_id: 1,
            camera_id: 1,
            parts,
            stored: 2,
            skipped_empty: 3,
            skipped_not_picture: 4,
            skipped_torn: 5,
            skipped_too_large: 6,
            disk_slow: 7,
            disk_full: 8,
        };
        write_in_turns(&mut connection, [&account(40)])
            .await
            .unwrap();
        sqlx::query("UPDATE accounts SET lost = 9")
            .execute(&mut connection)
            .await
            .unwrap();
        write_in_turns(&mut connection, [&account(50)])
            .await
            .unwrap();
        let expected = [1, 1, 50, 2, 3, 4, 5, 6, 7, 8, 9].map(|n| format!("Integer({n})"));
        assert_eq!(in_index(&mut connection, "accounts").await, expected);
    }
}
