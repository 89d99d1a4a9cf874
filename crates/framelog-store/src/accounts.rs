//! The table `accounts`: what became of everything that a camera sent during a session, written so that a row agrees with the table
//! `frames` at every moment. Not for counting: that is `camera`.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::Connection;
use sqlx::SqliteConnection;

use crate::camera::Camera;
use crate::rows;

/// What a row's parts went to, all but `lost`.
macro_rules! settled {
    () => {
        "stored + skipped_empty + skipped_not_picture + skipped_torn + skipped_too_large + disk_slow + disk_full"
    };
}

/// The accounts of this session.
#[derive(Debug)]
pub(crate) struct Accounts {
    session_id: i64,
    cameras: BTreeMap<i64, Account>,
}

#[derive(Debug)]
struct Account {
    camera: Arc<Camera>,
    /// Frames whose rows are committed, or will be with the next commit. The writers' own count runs ahead of it.
    indexed: i64,
    /// As it was committed last.
    committed: Option<rows::Account>,
}

impl Accounts {
    /// No camera yet.
    pub fn new(session_id: i64) -> Self {
        Self {
            session_id,
            cameras: BTreeMap::new(),
        }
    }

    /// A camera is recorded in this session.
    pub fn add(&mut self, camera: Arc<Camera>) {
        self.cameras.entry(camera.id).or_insert(Account {
            camera,
            indexed: 0,
            committed: None,
        });
    }

    /// Rows of so many frames go into the next commit; fewer than thought, if negative.
    pub fn index(&mut self, camera_id: i64, frames: i64) {
        if let Some(account) = self.cameras.get_mut(&camera_id) {
            account.indexed += frames;
        }
    }

    /// The rows that changed since the last commit, as they are now.
    pub fn changed(&self) -> Vec<rows::Account> {
        self.cameras
            .values()
            .filter_map(|account| {
                let row = account.row(self.session_id);
                (account.committed.as_ref() != Some(&row)).then_some(row)
            })
            .collect()
    }

    /// These rows are committed.
    pub fn committed(&mut self, rows: Vec<rows::Account>) {
        for row in rows {
            if let Some(account) = self.cameras.get_mut(&row.camera_id) {
                account.committed = Some(row);
            }
        }
    }
}

impl Account {
    fn row(&self, session_id: i64) -> rows::Account {
        let counters = self.camera.counters();
        rows::Account {
            session_id,
            camera_id: self.camera.id,
            parts: counters.parts.cast_signed(),
            stored: self.indexed,
            skipped_empty: counters.skipped_empty.cast_signed(),
            skipped_not_picture: counters.skipped_not_picture.cast_signed(),
            skipped_torn: counters.skipped_torn.cast_signed(),
            skipped_too_large: counters.skipped_too_large.cast_signed(),
            disk_slow: counters.dropped_disk_slow.cast_signed(),
            disk_full: counters.dropped_disk_full.cast_signed(),
        }
    }
}

/// The session is over: what is left of its parts was lost on the way. Harmless when repeated.
pub(crate) fn close(sqlite: &Connection, session_id: i64) -> rusqlite::Result<()> {
    let sql = concat!(
        "UPDATE accounts SET lost = max(parts - (",
        settled!(),
        "), 0) WHERE session_id = ?"
    );
    sqlite.execute(sql, [session_id]).map(|_| ())
}

/// Frames of a session that was killed were found in the footage, and their rows are in the same transaction: they are stored, not lost.
/// Before or after [`close`], to the same end. Negative: so many rows were removed, because their bytes are not on the disk.
pub(crate) async fn recovered(
    connection: &mut SqliteConnection,
    session_id: i64,
    camera_id: i64,
    frames: i64,
) -> sqlx::Result<()> {
    // Frames that came after the last commit are not among its parts.
    sqlx::query(concat!(
        "INSERT INTO accounts VALUES (?1, ?2, ?3, ?3, 0, 0, 0, 0, 0, 0, 0) \
         ON CONFLICT DO UPDATE SET stored = stored + ?3, lost = max(lost - ?3, 0), parts = max(parts, ?3 + max(lost - ?3, 0) + ",
        settled!(),
        ")"
    ))
    .bind(session_id)
    .bind(camera_id)
    .bind(frames)
    .execute(connection)
    .await
    .map(|_| ())
}

#[cfg(test)]
mod tests {
    use framelog_core::gap::GapReason;
    use framelog_core::multipart::SkipReason;

    use super::*;
    use crate::direct::directly;
    use crate::session::new_index;

    /// parts, stored, lost.
    async fn numbers(connection: &mut SqliteConnection) -> (i64, i64, i64) {
        sqlx::query_as(
            "SELECT parts, stored, lost FROM accounts WHERE session_id = 1 AND camera_id = 1",
        )
        .fetch_one(connection)
        .await
        .unwrap()
    }

    /// 10 parts: 2 skipped, 1 dropped, 3 stored, 4 on their way.
    async fn account(connection: &mut SqliteConnection) {
        sqlx::query("INSERT INTO accounts VALUES (1, 1, 10, 3, 1, 0, 1, 0, 1, 0, 0)")
            .execute(connection)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn what_is_left_at_the_end_was_lost() {
        let (_dir, mut connection) = new_index().await;
        account(&mut connection).await;
        for _ in 0..2 {
            directly(&mut connection, |sqlite| close(sqlite, 1))
                .await
                .unwrap();
            assert_eq!(numbers(&mut connection).await, (10, 3, 4));
        }
    }

    #[tokio::test]
    async fn recovered_frames_are_stored_and_not_lost_whichever_is_first() {
        for (frames, expected) in [(3, (10, 6, 1)), (4, (10, 7, 0)), (9, (15, 12, 0))] {
            for closed_first in [true, false] {
                let (_dir, mut connection) = new_index().await;
                account(&mut connection).await;
                if closed_first {
                    directly(&mut connection, |sqlite| close(sqlite, 1))
                        .await
                        .unwrap();
                }
                recovered(&mut connection, 1, 1, frames).await.unwrap();
                directly(&mut connection, |sqlite| close(sqlite, 1))
                    .await
                    .unwrap();
                assert_eq!(
                    numbers(&mut connection).await,
                    expected,
                    "{frames} frames, closed first: {closed_first}"
                );
            }
        }
    }

    #[tokio::test]
    async fn camera_whose_account_was_never_committed_gets_one() {
        let (_dir, mut connection) = new_index().await;
        for expected in [(5, 5, 0), (10, 10, 0)] {
            recovered(&mut connection, 1, 1, 5).await.unwrap();
            assert_eq!(numbers(&mut connection).await, expected);
        }
    }

    #[test]
    fn stored_is_what_the_index_has_and_only_changes_are_written() {
        let camera = Arc::new(Camera::new(7, "gate".into(), None));
        let mut accounts = Accounts::new(3);
        accounts.add(camera.clone());
        (0..4).for_each(|_| camera.count_frame());
        camera.count_skipped(SkipReason::Torn);
        camera.count_stored(3, 30);
        camera.count_dropped(GapReason::DiskSlow, 1);
        accounts.index(7, 2);
        let rows = accounts.changed();
        let [row] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!((row.session_id, row.camera_id), (3, 7));
        assert_eq!(
            (row.parts, row.stored, row.skipped_torn, row.disk_slow),
            (5, 2, 1, 1)
        );
        accounts.committed(rows);
        assert_eq!(accounts.changed(), []);
        accounts.index(7, 1);
        assert_eq!(accounts.changed().len(), 1);
    }
}
