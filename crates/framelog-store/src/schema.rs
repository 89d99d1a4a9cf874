//! How the index is opened, and which versions of its schema this program knows. Not for what is in it.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, SqliteConnection};

use crate::error::Error;
use crate::log_file;

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// A new index's pages, bytes; one that is there keeps its own. Each commit writes two or three pages of each camera to the log, however few
/// rows they got: small pages halve what is written, and cost a third when an hour is read (docs/performance.md).
pub(crate) const PAGE_BYTES: u32 = 1024;

/// Of the index's pages so many are held in memory, KiB: those that a commit of a thousand cameras' rows writes to. With less, SQLite writes
/// some of them twice.
const CACHE_KIB: u32 = 16 << 10;

/// How long a statement waits for a foreign program that holds the index.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that only reads, beside the one that writes.
pub(crate) async fn connect_beside(path: &Path) -> sqlx::Result<SqliteConnection> {
    SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
        .connect()
        .await
}

/// The connection that writes; the index is made if it is not there.
pub(crate) async fn connect(path: &Path) -> sqlx::Result<SqliteConnection> {
    let options = match log_file::vfs() {
        Some(vfs) => SqliteConnectOptions::new().vfs(vfs),
        None => SqliteConnectOptions::new(),
    };
    options
        .filename(path)
        .create_if_missing(true)
        .page_size(PAGE_BYTES)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        // A look-up or two for each row, to prove what the writer knows.
        .foreign_keys(false)
        // The index checkpoints by itself, only after footage was synced: see `index`.
        .pragma("wal_autocheckpoint", "0")
        .pragma("cache_size", format!("-{CACHE_KIB}"))
        .disable_statement_logging()
        .connect()
        .await
}

/// Brings the index to this program's version of the schema.
///
/// # Errors
/// [`Error::NewerIndex`], [`Error::Index`].
pub(crate) async fn migrate(path: &Path, connection: &mut SqliteConnection) -> Result<(), Error> {
    MIGRATIONS
        .run(connection)
        .await
        .map_err(|error| match error {
            MigrateError::VersionMissing(found) => Error::NewerIndex {
                path: path.to_owned(),
                found,
                known: known_version(),
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
pub(crate) fn known_version() -> i64 {
    MIGRATIONS
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or(0)
}

/// The index's schema version; 0 if it was never begun.
pub(crate) async fn version(connection: &mut SqliteConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(connection)
        .await
}

/// Whether an index of this version can be read.
///
/// # Errors
/// [`Error::NoIndex`] if it was never begun, [`Error::NewerIndex`].
pub(crate) fn check_version(index: &Path, found: i64) -> Result<(), Error> {
    let path = index.to_owned();
    let known = known_version();
    match found {
        0 => Err(Error::NoIndex { path }),
        _ if found > known => Err(Error::NewerIndex { path, found, known }),
        _ => Ok(()),
    }
}

/// Opens another index beside the connection's own, whose tables are then those of `schema`.
pub(crate) async fn attach(
    connection: &mut SqliteConnection,
    path: &Path,
    schema: &'static str,
) -> sqlx::Result<()> {
    sqlx::query(AssertSqlSafe(format!("ATTACH ? AS {schema}")))
        .bind(path.to_string_lossy())
        .execute(connection)
        .await
        .map(|_| ())
}

/// Closes it again.
pub(crate) async fn detach(
    connection: &mut SqliteConnection,
    schema: &'static str,
) -> sqlx::Result<()> {
    sqlx::query(AssertSqlSafe(format!("DETACH {schema}")))
        .execute(connection)
        .await
        .map(|_| ())
}

#[cfg(test)]
pub(crate) mod tests {
    use sqlx::Connection as _;

    use super::*;
    use crate::direct::directly;
    use crate::log_file::tests::calls_to_write;

    async fn connect_anew() -> (tempfile::TempDir, SqliteConnection) {
        let dir = tempfile::tempdir().unwrap();
        let connection = connect(&dir.path().join("index.db")).await.unwrap();
        (dir, connection)
    }

    #[tokio::test]
    async fn sqlite_has_no_locks_that_all_connections_share() {
        let (_dir, mut connection) = connect_anew().await;
        let options: Vec<String> = sqlx::query_scalar("PRAGMA compile_options")
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let has = |name: &str| options.iter().any(|option| option == name);
        assert!(has("DEFAULT_MEMSTATUS=0") && !has("ENABLE_MEMORY_MANAGEMENT"));
    }

    #[tokio::test]
    async fn a_commit_of_the_index_takes_few_calls_to_the_system() {
        let (_dir, mut connection) = connect_anew().await;
        let calls = directly(&mut connection, |sqlite| {
            sqlite.execute_batch(
                "CREATE TABLE t (a BLOB NOT NULL); BEGIN; INSERT INTO t VALUES (randomblob(200000))",
            )?;
            let before = calls_to_write();
            sqlite.execute_batch("COMMIT")?;
            Ok(calls_to_write() - before)
        })
        .await
        .unwrap();
        assert!(calls < 20, "{calls} for some 200 pages");
    }

    /// A new index as it is before it gets an identity: for tests that begin many recorders, of which each would make the same.
    pub async fn empty_index() -> Vec<u8> {
        let (dir, mut connection) = connect_anew().await;
        let path = dir.path().join("index.db");
        migrate(&path, &mut connection).await.unwrap();
        connection.close().await.unwrap();
        std::fs::read(&path).unwrap()
    }
}
