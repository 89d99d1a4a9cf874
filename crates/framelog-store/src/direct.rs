//! Many statements at once on a connection of sqlx's, without sqlx: what it costs to hand a row from thread to thread is more than what
//! SQLite does with it. Not for single statements.

use std::borrow::Cow;
use std::error::Error;

use rusqlite::Connection;
use sqlx::SqliteConnection;
use sqlx::error::{DatabaseError, ErrorKind};

/// Works with SQLite itself. The calling thread is SQLite's for as long as that takes: milliseconds of work, what the disk takes for pages that
/// are in no cache, and where `work` commits for that too, which only the index's own thread may wait for.
pub(crate) async fn directly<T>(
    connection: &mut SqliteConnection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> sqlx::Result<T> {
    let mut locked = connection.lock_handle().await?;
    let handle = locked.as_raw_handle().as_ptr();
    // SAFETY: it is the handle of an open database of the SQLite that rusqlite calls too, because cargo lets only one package of a build link
    // `sqlite3`. For as long as `locked` lives, which is declared first and so dropped last, sqlx neither uses nor closes it. `borrowed` does
    // not close it either, having only borrowed it, and takes its statements with it.
    #[expect(unsafe_code, reason = "sqlx hands its connection out in no other way")]
    let borrowed = unsafe { Connection::from_handle(handle) }.map_err(refused)?;
    work(&borrowed).map_err(refused)
}

/// SQLite's refusal, as if sqlx had told it.
#[derive(Debug, thiserror::Error)]
#[error("(code: {code}) {message}")]
struct Refused {
    /// Extended: <https://sqlite.org/rescode.html>; 0 where it is not SQLite that refused.
    code: i32,
    message: String,
}

/// An error of rusqlite's as sqlx would have told it, with the same code.
pub(crate) fn refused(error: rusqlite::Error) -> sqlx::Error {
    let code = error.sqlite_error().map_or(0, |error| error.extended_code);
    let message = error.to_string();
    Refused { code, message }.into()
}

impl DatabaseError for Refused {
    fn message(&self) -> &str {
        &self.message
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        Some(self.code.to_string().into())
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }

    fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn Error + Send + Sync + 'static> {
        self
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection as _, Executor as _};

    use super::*;

    #[tokio::test]
    async fn what_sqlite_refuses_has_its_code_and_the_connection_goes_on() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        (connection.execute("CREATE TABLE t (a INTEGER CHECK (a < 3))"))
            .await
            .unwrap();
        let insert =
            |a: i64| move |sqlite: &Connection| sqlite.execute("INSERT INTO t VALUES (?)", [a]);
        assert_eq!(directly(&mut connection, insert(1)).await.unwrap(), 1);
        let refused = directly(&mut connection, insert(5)).await.unwrap_err();
        let code = |error: &sqlx::Error| {
            error
                .as_database_error()
                .and_then(|error| error.code().map(|code| code.into_owned()))
        };
        assert_eq!(code(&refused).as_deref(), Some("275"), "{refused}");
        let through_sqlx = (connection.execute("INSERT INTO t VALUES (5)"))
            .await
            .unwrap_err();
        assert_eq!(refused.to_string(), through_sqlx.to_string());
        let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM t")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(rows, 1);
    }
}
