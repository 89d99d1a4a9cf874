//! The end of a session: the last commit, and one file without a log. Not for when it ends.

use sqlx::Connection as _;

use super::{Index, device_of};
use crate::error::Error;
use crate::guard::Gone;
use crate::{lost_index, refusal, rows};

impl Index {
    /// Commits what is left and closes the index.
    pub(super) async fn finish(mut self, now_us: i64) -> Result<(), Error> {
        self.take_changes();
        self.gaps.close_all(now_us, &mut self.pending.gaps);
        // What can't be synced nor read back is left to the next start: its segments stay open in the index.
        let _ = self.sync_footage();
        let synced = self.examine_suspects().await;
        let path = self.path.clone();
        let committed = self.commit_last(now_us).await;
        self.save(now_us).await;
        let committed = match committed.map_err(Error::index(&path, "written")) {
            Err(error) if error.is_damage() => Err(self.damaged()),
            committed => committed,
        };
        let closed = self.close().await;
        committed.and(closed).and(synced)
    }

    /// Closes it as it is.
    pub(super) async fn close(self) -> Result<(), Error> {
        if self.log_is_foreign() {
            // Closing would remove it.
            std::mem::forget(self.connection);
            return Ok(());
        }
        let closed = self.connection.close().await;
        closed.map_err(Error::index(&self.path, "closed"))
    }

    async fn commit_last(&mut self, now_us: i64) -> sqlx::Result<()> {
        // A session that has ended is not looked at again.
        let is_whole = self.suspects.is_empty() && self.changes.is_empty();
        let ended_us = is_whole.then_some(now_us);
        let mut committed = self.commit(true, now_us, ended_us).await;
        if committed.as_ref().is_err_and(refusal::is_index_full) {
            let _ = self.retention.empty_log(&mut self.connection).await;
            committed = self.commit(true, now_us, ended_us).await;
        }
        committed?;
        self.leave_no_log().await
    }

    /// Everything into the database. On a full disk some stays in the log, which is there for the next start.
    async fn leave_no_log(&mut self) -> sqlx::Result<()> {
        // With what was kept for the log, for which this is the end.
        let _ = self.retention.empty_log(&mut self.connection).await;
        match rows::execute(&mut self.connection, "PRAGMA wal_checkpoint(TRUNCATE)").await {
            Err(error) if refusal::is_index_full(&error) => Ok(()),
            done => done,
        }
    }

    /// Saves what only the index knows, if it is no longer at its path: when it is closed it is gone. Without its log it is an older one.
    async fn save(&mut self, now_us: i64) {
        if !matches!(self.guard.check(), Err(Gone::Index(_))) {
            return;
        }
        let storage = self.storage().to_owned();
        let saved = match self.guard.write_identity() {
            Ok(()) => lost_index::save(&mut self.connection, &storage, now_us).await,
            failed => failed,
        };
        if let Err(error) = saved {
            tracing::error!(%error, "gaps and receipts of the index that is gone could not be saved");
        }
    }

    /// Whether another disk's index is at the path: SQLite removes the log by its path when it closes, and only compares inodes before.
    fn log_is_foreign(&self) -> bool {
        let found = device_of(&self.path);
        found.is_some() && found != self.device
    }
}
