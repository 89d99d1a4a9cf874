//! One commit of the index, from its beginning to its end. Not for when, nor for what becomes of the rows if it fails.

use rusqlite::Connection;

use crate::pending::Pending;
use crate::retention::Doomed;
use crate::{accounts, rows};

/// All of it, or nothing.
pub(crate) struct Transaction<'a> {
    /// It must reach the disk before it is done.
    pub durable: bool,
    /// Files whose deletion may be forgotten, durably.
    pub deleted: &'a Doomed,
    pub pending: &'a Pending,
    pub accounts: &'a [rows::Account],
    pub session_id: i64,
    pub alive_us: i64,
    /// The session ends with it.
    pub ended_us: Option<i64>,
}

impl Transaction<'_> {
    /// Commits it. May wait for the disk.
    pub fn commit(&self, sqlite: &Connection) -> rusqlite::Result<()> {
        // Not sqlx's transactions: SQLite rolls some failures back by itself (a full disk), and sqlx then counts a transaction as open for ever.
        // FULL syncs the log with each commit, NORMAL leaves that to the next durable one.
        sqlite.execute_batch(match self.durable {
            true => "PRAGMA synchronous = FULL; BEGIN IMMEDIATE",
            false => "PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE",
        })?;
        let committed = (self.write(sqlite)).and_then(|()| sqlite.execute_batch("COMMIT"));
        if committed.is_err() {
            let _ = sqlite.execute_batch("ROLLBACK"); // fails if SQLite has done it
        }
        committed
    }

    fn write(&self, sqlite: &Connection) -> rusqlite::Result<()> {
        if self.durable {
            self.deleted.forget_deleted(sqlite)?;
        }
        self.pending.write(sqlite, self.alive_us)?;
        rows::write(sqlite, self.accounts)?;
        if self.ended_us.is_some() {
            accounts::close(sqlite, self.session_id)?;
        }
        let sql = "UPDATE sessions SET alive_us = ?, ended_us = ? WHERE id = ?";
        sqlite.execute(sql, (self.alive_us, self.ended_us, self.session_id))?;
        Ok(())
    }
}
