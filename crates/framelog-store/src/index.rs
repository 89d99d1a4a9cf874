//! The one writer of the index: gathers what the writer threads and cameras report, syncs the footage, commits the rows. Not
//! for reading, and not for deciding what is reported.
//!
//! A cycle: take what was reported; make the bytes it speaks of durable; then commit its rows in one transaction, in camera
//! order. What fails stays and is tried again in the next cycle. Nobody waits for a cycle.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};

use crate::budget::Budget;
use crate::dirty::Dirty;
use crate::disk::Disk;
use crate::error::Error;
use crate::gaps::{GapChange, Gaps};
use crate::lost_index::{self, Mark};
use crate::session::Session;
use crate::{rows, wall};

/// Time between commits while there is something to commit. With gathering before and the commit after it, rows are
/// visible within 1 s of the frame's arrival.
const COMMIT_EVERY: Duration = Duration::from_millis(750);
/// However short `sync` is, there is so much time between commits.
const COMMIT_PAUSE: Duration = Duration::from_millis(10);
/// With a `sync` up to this, every commit is durable.
pub(crate) const SYNC_WITH_COMMIT: Duration = Duration::from_secs(1);
/// While there is nothing to commit, the session's `alive_us` is refreshed this often.
const ALIVE_EVERY: Duration = Duration::from_secs(5);
/// The log that SQLite writes ahead goes into the database this often: seldom, because pages written again meanwhile are
/// then copied only once.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(10);
/// A failing index is in the log this often.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// What is reported to the index.
#[derive(Debug)]
pub(crate) enum Change {
    /// A camera is new, or in the configuration again, or no longer.
    Camera(rows::Camera),
    /// A segment grew, began or ended.
    Written(Written),
    /// A camera's gaps changed.
    Gap { camera_id: i64, change: GapChange },
    /// Footage was found that has no rows.
    Adopted(Adopted),
}

/// Closed segments that were found, with their frames.
#[derive(Debug)]
pub(crate) struct Adopted {
    pub segments: Vec<(rows::Segment, Vec<rows::Frame>)>,
    /// Told when they are committed, with everything that was reported before.
    pub committed: oneshot::Sender<()>,
}

/// A segment as it is after a write.
#[derive(Debug)]
pub(crate) struct Written {
    pub segment: rows::Segment,
    /// The frames that were written.
    pub frames: Vec<rows::Frame>,
    /// Where they were written, if that is one file among few.
    pub file: Option<Arc<File>>,
}

/// Reports changes; never waits. Changes of one sender are seen in order.
#[derive(Clone, Debug)]
pub(crate) struct Changes(mpsc::UnboundedSender<Change>);

impl Changes {
    /// A sender and what an [`Index`] reads from. Unbounded: frames, the only thing that comes in numbers, are bounded by the
    /// [`Budget`].
    pub fn channel() -> (Self, mpsc::UnboundedReceiver<Change>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Reports a change.
    pub fn send(&self, change: Change) {
        // After the index has stopped there is nobody to tell; why it stopped is in the log.
        let _ = self.0.send(change);
    }
}

/// Rows that are not committed yet.
#[derive(Debug, Default)]
struct Pending {
    cameras: BTreeMap<i64, rows::Camera>,
    segments: BTreeMap<i64, rows::Segment>,
    frames: Vec<rows::Frame>,
    gaps: BTreeMap<i64, rows::Gap>,
    adopted: Vec<Adopted>,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.cameras.is_empty()
            && self.segments.is_empty()
            && self.frames.is_empty()
            && self.gaps.is_empty()
            && self.adopted.is_empty()
    }
}

/// The task that writes the index.
#[derive(Debug)]
pub(crate) struct Index {
    connection: SqliteConnection,
    path: PathBuf,
    session_id: i64,
    disk: Disk,
    budget: Arc<Budget>,
    sync: Duration,
    changes: mpsc::UnboundedReceiver<Change>,
    pending: Pending,
    gaps: Gaps,
    dirty: Dirty,
    cycled: Instant,
    synced: Instant,
    checkpointed: Instant,
    warned: Option<Instant>,
}

impl Index {
    /// An index with nothing pending. `path` is for messages.
    pub fn new(
        session: Session,
        path: PathBuf,
        disk: Disk,
        budget: Arc<Budget>,
        sync: Duration,
        changes: mpsc::UnboundedReceiver<Change>,
    ) -> Self {
        let now = Instant::now();
        Self {
            connection: session.connection,
            path,
            session_id: session.id,
            disk,
            budget,
            sync,
            changes,
            pending: Pending::default(),
            gaps: Gaps::new(session.next_gap_id),
            dirty: Dirty::default(),
            cycled: now,
            synced: now,
            checkpointed: now,
            warned: None,
        }
    }

    /// Works until it is told to stop, then closes the open gaps, commits what is left and leaves one file without a log.
    pub async fn run(mut self, mut stop: oneshot::Receiver<()>) -> Result<(), Error> {
        while !self.gather(&mut stop).await {
            self.take_changes();
            self.cycle().await?;
        }
        self.finish(wall::now_us()).await
    }

    /// Waits until it is time for a cycle; true if it is time to stop.
    async fn gather(&mut self, stop: &mut oneshot::Receiver<()>) -> bool {
        if self.pending.is_empty() && self.changes.is_empty() {
            tokio::select! {
                _ = &mut *stop => return true,
                () = sleep(ALIVE_EVERY) => return false,
                change = self.changes.recv() => match change {
                    Some(change) => self.take(change),
                    None => return true,
                },
            }
        }
        tokio::select! {
            _ = stop => true,
            () = sleep_until(self.cycled + self.sync.clamp(COMMIT_PAUSE, COMMIT_EVERY)) => false,
        }
    }

    fn take_changes(&mut self) {
        while let Ok(change) = self.changes.try_recv() {
            self.take(change);
        }
    }

    fn take(&mut self, change: Change) {
        match change {
            Change::Camera(camera) => {
                self.pending.cameras.insert(camera.id, camera);
            }
            Change::Gap { camera_id, change } => {
                self.gaps.apply(camera_id, change, &mut self.pending.gaps)
            }
            Change::Adopted(adopted) => self.pending.adopted.push(adopted),
            Change::Written(Written {
                segment,
                mut frames,
                file,
            }) => {
                if !frames.is_empty() {
                    let is_new = segment.frames == frames.len() as i64;
                    self.dirty
                        .add(segment.id, file, is_new.then_some(&*segment.path));
                }
                self.pending.frames.append(&mut frames);
                self.pending.segments.insert(segment.id, segment);
            }
        }
    }

    /// # Errors
    /// If the index is damaged: it can't be written any more.
    async fn cycle(&mut self) -> Result<(), Error> {
        self.cycled = Instant::now();
        let durable = self.sync <= SYNC_WITH_COMMIT || self.synced.elapsed() >= self.sync;
        match self.try_cycle(durable).await {
            Err(Error::Index { source, .. }) if lost_index::is_damage(&source) => {
                let storage = self.path.parent().unwrap_or(Path::new(""));
                lost_index::set_mark(storage, Mark::Asked)?;
                Err(Error::DamagedIndex {
                    path: self.path.clone(),
                })
            }
            Err(error) => {
                self.warn(&error);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    async fn try_cycle(&mut self, durable: bool) -> Result<(), Error> {
        if durable {
            self.sync_footage().await?;
        }
        self.commit(durable, wall::now_us(), None)
            .await
            .map_err(Error::index(&self.path, "written"))?;
        if durable && self.checkpointed.elapsed() >= CHECKPOINT_EVERY {
            self.checkpointed = Instant::now();
            self.execute("PRAGMA wal_checkpoint(PASSIVE)")
                .await
                .map_err(Error::index(&self.path, "written"))?;
        }
        Ok(())
    }

    /// Makes the bytes durable of which the pending rows speak.
    async fn sync_footage(&mut self) -> Result<(), Error> {
        let (disk, dirty) = (self.disk.clone(), std::mem::take(&mut self.dirty));
        let synced = tokio::task::spawn_blocking(move || dirty.sync(&disk)).await;
        let synced = synced.unwrap_or_else(|panic| Err(std::io::Error::other(panic)));
        if synced.is_err() {
            self.dirty = Dirty::everything();
        } else {
            self.synced = Instant::now();
        }
        synced.map_err(Error::io(crate::layout::FOOTAGE, "synced"))
    }

    /// Commits all pending rows, or none: then they stay pending.
    async fn commit(
        &mut self,
        durable: bool,
        alive_us: i64,
        ended_us: Option<i64>,
    ) -> sqlx::Result<()> {
        self.pending.frames.sort_unstable();
        // FULL syncs the log with each commit, NORMAL leaves that to the next durable one.
        self.execute(if durable {
            "PRAGMA synchronous = FULL"
        } else {
            "PRAGMA synchronous = NORMAL"
        })
        .await?;
        // Not sqlx's transactions: SQLite rolls some failures back by itself (a full disk), and sqlx then counts a
        // transaction as open for ever.
        self.execute("BEGIN IMMEDIATE").await?;
        let written = match self.write(alive_us, ended_us).await {
            Ok(()) => self.execute("COMMIT").await,
            failed => failed,
        };
        if written.is_err() {
            let _ = self.execute("ROLLBACK").await; // fails if SQLite has done it
            return written;
        }
        self.budget.rows_done(self.pending.frames.len());
        let done = std::mem::take(&mut self.pending);
        for adopted in done.adopted {
            let _ = adopted.committed.send(()); // whoever found them may be gone
        }
        if self.warned.take().is_some() {
            tracing::info!("index is written again");
        }
        Ok(())
    }

    async fn write(&mut self, alive_us: i64, ended_us: Option<i64>) -> sqlx::Result<()> {
        let connection = &mut self.connection;
        rows::write(connection, self.pending.cameras.values()).await?;
        rows::write(connection, self.pending.segments.values()).await?;
        rows::write(connection, &self.pending.frames).await?;
        rows::write(connection, self.pending.gaps.values()).await?;
        for (segment, frames) in self.pending.adopted.iter().flat_map(|a| &a.segments) {
            // It may have been on its way to the index when it was found.
            if !rows::is_known(connection, &segment.path).await? {
                rows::write(connection, [segment]).await?;
                rows::write(connection, frames).await?;
            }
        }
        sqlx::query("UPDATE sessions SET alive_us = ?, ended_us = ? WHERE id = ?")
            .bind(alive_us)
            .bind(ended_us)
            .bind(self.session_id)
            .execute(connection)
            .await
            .map(|_| ())
    }

    async fn execute(&mut self, pragma: &'static str) -> sqlx::Result<()> {
        sqlx::query(pragma)
            .execute(&mut self.connection)
            .await
            .map(|_| ())
    }

    async fn finish(mut self, now_us: i64) -> Result<(), Error> {
        self.take_changes();
        self.gaps.close_all(now_us, &mut self.pending.gaps);
        let synced = self.sync_footage().await;
        let path = self.path.clone();
        self.commit(true, now_us, Some(now_us))
            .await
            .map_err(Error::index(&path, "written"))?;
        self.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            .await
            .map_err(Error::index(&path, "written"))?;
        self.connection
            .close()
            .await
            .map_err(Error::index(&path, "closed"))?;
        synced
    }

    fn warn(&mut self, error: &Error) {
        if self
            .warned
            .is_none_or(|warned| warned.elapsed() >= WARN_EVERY)
        {
            self.warned = Some(Instant::now());
            tracing::warn!(%error, rows = self.pending.frames.len(), "index could not be written, rows wait");
        }
    }
}

#[cfg(test)]
mod tests {
    use framelog_core::frame::Codec;

    use super::*;
    use crate::budget::Limits;
    use crate::session;

    const FRAMES: i64 = 20_000;

    fn written(segment_id: i64, frames: std::ops::Range<i64>) -> Change {
        let frame = |n| rows::Frame {
            camera_id: 1,
            captured_us: n,
            segment_id,
            offset: n * 100,
            length: 90,
            flags: 0,
            lag_us: 5,
        };
        Change::Written(Written {
            segment: rows::Segment {
                id: segment_id,
                camera_id: 1,
                path: format!("footage/a/{segment_id}").into(),
                codec: Codec::Mjpeg,
                started_us: frames.start,
                ended_us: frames.end - 1,
                frames: frames.end - frames.start,
                bytes: (frames.end - frames.start) * 100,
                open: true,
                offset_us: 0,
                received_us: frames.end + 4,
            },
            frames: frames.map(frame).collect(),
            file: None,
        })
    }

    async fn count(index: &mut Index) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM frames")
            .fetch_one(&mut index.connection)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn rows_of_a_full_index_wait_and_are_committed_once_there_is_room() {
        let dir = tempfile::tempdir().unwrap();
        let session = session::begin(dir.path(), &Disk::new(dir.path()), Duration::ZERO, 0)
            .await
            .unwrap();
        let (changes, reported) = Changes::channel();
        let budget = Arc::new(Budget::new(Limits {
            rows_max: FRAMES as usize,
            ..Limits::default()
        }));
        let disk = Disk::new(dir.path());
        let path = dir.path().join("index.db");
        let mut index = Index::new(
            session,
            path,
            disk,
            budget.clone(),
            Duration::ZERO,
            reported,
        );

        index.execute("PRAGMA max_page_count = 40").await.unwrap();
        budget.rows_wait(FRAMES as usize);
        changes.send(written(1, 0..FRAMES));
        index.take_changes();
        for _ in 0..3 {
            assert!(matches!(
                index.try_cycle(true).await,
                Err(Error::Index { .. })
            ));
            assert_eq!(count(&mut index).await, 0, "all or nothing");
        }
        assert!(budget.index_is_behind());

        index
            .execute("PRAGMA max_page_count = 1000000")
            .await
            .unwrap();
        index.try_cycle(true).await.unwrap();
        assert_eq!(count(&mut index).await, FRAMES);
        assert!(!budget.index_is_behind());
        assert!(index.pending.is_empty());
    }

    #[tokio::test]
    async fn footage_is_synced_before_every_durable_commit_only() {
        let dir = tempfile::tempdir().unwrap();
        let session = session::begin(dir.path(), &Disk::new(dir.path()), Duration::ZERO, 0)
            .await
            .unwrap();
        let (changes, reported) = Changes::channel();
        let disk = Disk::new(dir.path());
        disk.faults
            .sync_fails
            .store(true, std::sync::atomic::Ordering::SeqCst);
        let path = dir.path().join("index.db");
        let mut index = Index::new(
            session,
            path,
            disk,
            Arc::default(),
            Duration::from_secs(60),
            reported,
        );
        index.budget.rows_wait(10);
        changes.send(written(1, 0..10));
        index.take_changes();
        assert!(matches!(index.try_cycle(true).await, Err(Error::Io { .. })));
        assert_eq!(count(&mut index).await, 0);
        index.try_cycle(false).await.unwrap();
        assert_eq!(count(&mut index).await, 10);
    }
}
