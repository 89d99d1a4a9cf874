//! The index as it is found at a start: opened, brought to this version, and what the last run left open closed. Not for what
//! is written later: that is `index`.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use uuid::Uuid;

use crate::error::Error;
use crate::{identity, layout, protection, rows};

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// How long a statement waits for a foreign program that holds the index.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// An index that is ready for writing, and what it knows.
#[derive(Debug)]
pub(crate) struct Session {
    pub connection: SqliteConnection,
    pub uuid: Uuid,
    pub id: i64,
    pub cameras: Vec<Known>,
    pub next_segment_id: i64,
    pub next_gap_id: i64,
}

/// A camera of an earlier run.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub row: rows::Camera,
    /// Where its footage ends.
    pub last_captured_us: Option<i64>,
    /// Where its last gap ends.
    pub last_gap_us: Option<i64>,
}

impl Known {
    /// The last moment that is accounted for, by footage or by a gap.
    pub fn accounted_us(&self) -> i64 {
        let known = [self.last_captured_us, self.last_gap_us];
        known
            .into_iter()
            .flatten()
            .fold(self.row.added_us, i64::max)
    }
}

/// Opens the index of a locked storage directory, makes it if it is not there, and begins a session.
///
/// # Errors
/// [`Error::NewerIndex`], [`Error::Identity`] if the directory's identity is not the index's, [`Error::Index`].
pub(crate) async fn begin(storage: &Path, now_us: i64) -> Result<Session, Error> {
    let path = storage.join(layout::INDEX);
    let failed = || Error::index(&path, "opened");
    let mut connection = connect(&path).await.map_err(failed())?;
    migrate(&path, &mut connection).await?;
    let uuid = agree_on_identity(storage, &mut connection, now_us).await?;
    close_what_was_left_open(&mut connection)
        .await
        .map_err(failed())?;
    protection::restore_if_new(storage, &mut connection, now_us)
        .await
        .map_err(failed())?;
    let id = insert_session(&mut connection, now_us)
        .await
        .map_err(failed())?;
    Ok(Session {
        uuid,
        id,
        cameras: known_cameras(&mut connection).await.map_err(failed())?,
        next_segment_id: next_id(&mut connection, "segments")
            .await
            .map_err(failed())?,
        next_gap_id: next_id(&mut connection, "gaps").await.map_err(failed())?,
        connection,
    })
}

async fn connect(path: &Path) -> sqlx::Result<SqliteConnection> {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .page_size(4096)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        // A look-up or two for each row, to prove what the writer knows.
        .foreign_keys(false)
        // The index checkpoints by itself, only after footage was synced: see `index`.
        .pragma("wal_autocheckpoint", "0")
        .disable_statement_logging()
        .connect()
        .await
}

async fn migrate(path: &Path, connection: &mut SqliteConnection) -> Result<(), Error> {
    MIGRATIONS
        .run(connection)
        .await
        .map_err(|error| match error {
            MigrateError::VersionMissing(found) => Error::NewerIndex {
                path: path.to_owned(),
                found,
                known: schema_version(),
            },
            MigrateError::Execute(source) => Error::Index {
                path: path.to_owned(),
                action: "opened",
                source,
            },
            other => Error::Index {
                path: path.to_owned(),
                action: "migrated",
                source: other.into(),
            },
        })
}

/// The newest schema version that this program knows.
pub(crate) fn schema_version() -> i64 {
    MIGRATIONS
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or(0)
}

/// The directory's UUID, in both places when this returns.
async fn agree_on_identity(
    storage: &Path,
    connection: &mut SqliteConnection,
    now_us: i64,
) -> Result<Uuid, Error> {
    let path = storage.join(layout::INDEX);
    let row: Option<String> = sqlx::query_scalar("SELECT uuid FROM recorder")
        .fetch_optional(&mut *connection)
        .await
        .map_err(Error::index(&path, "read"))?;
    let in_file = identity::read(storage)?;
    let uuid = match (&row, in_file) {
        (Some(in_index), Some(in_file)) if *in_index != in_file.to_string() => {
            return Err(Error::Identity {
                path: storage.join(layout::IDENTITY),
                detail: format!("uuid {in_file} is not that of index.db ({in_index})"),
            });
        }
        (_, Some(in_file)) => in_file,
        (Some(in_index), None) => Uuid::parse_str(in_index).map_err(|error| Error::Identity {
            path: path.clone(),
            detail: format!("uuid {in_index:?} in the table recorder: {error}"),
        })?,
        (None, None) => Uuid::new_v4(),
    };
    if in_file.is_none() {
        identity::write(storage, uuid)?;
    }
    if row.is_none() {
        sqlx::query("INSERT INTO recorder (one, uuid, created_us) VALUES (1, ?, ?)")
            .bind(uuid.to_string())
            .bind(now_us)
            .execute(connection)
            .await
            .map_err(Error::index(&path, "written"))?;
    }
    Ok(uuid)
}

/// A run that was killed leaves gaps and segments open: its gaps lasted at least as long as it is known to have lived.
async fn close_what_was_left_open(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query(
        "UPDATE gaps SET ended_us = max(started_us, (SELECT alive_us FROM sessions ORDER BY id DESC LIMIT 1)) \
         WHERE ended_us IS NULL",
    )
    .execute(&mut *transaction)
    .await?;
    sqlx::query("UPDATE segments SET state = 'closed' WHERE state = 'open'")
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

async fn insert_session(connection: &mut SqliteConnection, now_us: i64) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "INSERT INTO sessions (version, started_us, alive_us) VALUES (?, ?, ?) RETURNING id",
    )
    .bind(env!("CARGO_PKG_VERSION"))
    .bind(now_us)
    .bind(now_us)
    .fetch_one(connection)
    .await
}

async fn known_cameras(connection: &mut SqliteConnection) -> sqlx::Result<Vec<Known>> {
    type Row = (i64, String, i64, Option<i64>, Option<i64>, Option<i64>);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, name, added_us, removed_us, \
             (SELECT ended_us FROM segments WHERE camera_id = c.id ORDER BY id DESC LIMIT 1), \
             (SELECT ended_us FROM gaps WHERE camera_id = c.id ORDER BY started_us DESC LIMIT 1) \
         FROM cameras c",
    )
    .fetch_all(connection)
    .await?;
    let known = |(id, name, added_us, removed_us, last_captured_us, last_gap_us): Row| Known {
        row: rows::Camera {
            id,
            name: name.into(),
            added_us,
            removed_us,
        },
        last_captured_us,
        last_gap_us,
    };
    Ok(rows.into_iter().map(known).collect())
}

/// Ids are never used twice, not even those of rows that are gone.
async fn next_id(connection: &mut SqliteConnection, table: &str) -> sqlx::Result<i64> {
    let last: Option<i64> = sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = ?")
        .bind(table)
        .fetch_optional(connection)
        .await?;
    Ok(last.unwrap_or(0) + 1)
}
