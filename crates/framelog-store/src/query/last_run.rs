//! The last run of the recorder: when it was, and what became of what the cameras sent. Not for what was recorded.

use sqlx::Row as _;

use super::Reader;
use crate::camera::Counters;
use crate::error::Error;

/// A run of the recorder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Its id, growing.
    pub id: i64,
    /// Version of the program.
    pub version: String,
    /// When it began, microseconds since the Unix epoch.
    pub started_us: i64,
    /// When it was certainly running.
    pub alive_us: i64,
    /// When it was stopped; `None` while it runs, and if it was killed.
    pub ended_us: Option<i64>,
}

/// What became of everything that a camera sent during a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    /// Camera name.
    pub camera: String,
    /// All zero if the camera was not recorded in this session. Stored frames are those in the index; their bytes are not known here, and
    /// are 0.
    pub counters: Counters,
    /// Frames that were on their way when the recorder was killed; 0 until that is found at the next start.
    pub lost: u64,
    /// Capture time of its last frame of any session, by the end of its last segment, microseconds.
    pub last_captured_us: Option<i64>,
}

impl Reader {
    /// The last session, running or not; `None` if there was none. One in which only the index was made anew has no accounts, and comes after all
    /// that recorded.
    ///
    /// # Errors
    /// [`Error::Index`] or [`Error::MalformedIndex`] if the index can't be read.
    pub async fn last_session(&self) -> Result<Option<SessionRow>, Error> {
        let row = sqlx::query(
            "SELECT id, version, started_us, alive_us, ended_us FROM sessions \
             ORDER BY ended_us IS NULL OR EXISTS (SELECT 1 FROM accounts WHERE session_id = sessions.id) DESC, id DESC LIMIT 1",
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(self.failed())?;
        let session = |row: sqlx::sqlite::SqliteRow| {
            Ok(SessionRow {
                id: row.try_get(0)?,
                version: row.try_get(1)?,
                started_us: row.try_get(2)?,
                alive_us: row.try_get(3)?,
                ended_us: row.try_get(4)?,
            })
        };
        row.map(session).transpose().map_err(self.failed())
    }

    /// The accounts of a session, of every camera that the index knows, by name.
    ///
    /// # Errors
    /// [`Error::Index`] or [`Error::MalformedIndex`] if the index can't be read.
    pub async fn accounts(&self, session_id: i64) -> Result<Vec<AccountRow>, Error> {
        let rows = sqlx::query(
            "SELECT c.name, parts, stored, skipped_empty, skipped_not_picture, skipped_torn, skipped_too_large, \
                 disk_slow, disk_full, lost, \
                 (SELECT ended_us FROM segments WHERE camera_id = c.id ORDER BY id DESC LIMIT 1) \
             FROM cameras c LEFT JOIN accounts a ON a.camera_id = c.id AND a.session_id = ? ORDER BY c.name",
        )
        .bind(session_id)
        .fetch_all(&self.pool)
        .await
        .map_err(self.failed())?;
        let account = |row: &sqlx::sqlite::SqliteRow| {
            let number = |column: usize| {
                row.try_get::<Option<i64>, _>(column)
                    .map(|number| number.unwrap_or(0).cast_unsigned())
            };
            Ok(AccountRow {
                camera: row.try_get(0)?,
                counters: Counters {
                    parts: number(1)?,
                    stored_frames: number(2)?,
                    stored_bytes: 0,
                    skipped_empty: number(3)?,
                    skipped_not_picture: number(4)?,
                    skipped_torn: number(5)?,
                    skipped_too_large: number(6)?,
                    dropped_disk_slow: number(7)?,
                    dropped_disk_full: number(8)?,
                },
                lost: number(9)?,
                last_captured_us: row.try_get(10)?,
            })
        };
        let accounts: sqlx::Result<_> = rows.iter().map(account).collect();
        accounts.map_err(self.failed())
    }
}
