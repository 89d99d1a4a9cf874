//! The one writer of the index: gathers what the writer threads and cameras report, syncs the footage, commits the rows. Not
//! for reading, and not for deciding what is reported. It has a thread of its own, which may wait for the disk and for SQLite: to hand each
//! step of a cycle to another thread and back costs more than most of the steps.
//!
//! A cycle: take what was reported; make the bytes it speaks of durable; then commit its rows in one transaction, in camera
//! order. What fails stays and is tried again in the next cycle. Nobody waits for a cycle.

mod doubt;
mod ending;

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use sqlx::SqliteConnection;
use tokio::runtime::{self, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::accounts::Accounts;
use crate::budget::Budget;
use crate::camera::Camera;
use crate::changes::{Change, GAPS_MAX, Reported, Written};
use crate::direct::directly;
use crate::dirty::{Dirty, SYNC_WITH_COMMIT};
use crate::disk::Disk;
use crate::error::Error;
use crate::gaps::Gaps;
use crate::guard::{Gone, Guard};
use crate::lost_index::{self, Mark};
use crate::outage::Outage;
use crate::page_cache::Syncs;
use crate::pending::Pending;
use crate::refusal;
use crate::retention::Retention;
use crate::session::Session;
use crate::suspects::{Ahead, Losses, SegmentIds, Suspects};
use crate::transaction::Transaction;
use crate::{rows, wall};

/// Time between commits while there is something to commit. With gathering before and the commit after it, rows are
/// visible within 1 s of the frame's arrival.
const COMMIT_EVERY: Duration = Duration::from_millis(750);
/// However short `sync` is, there is so much time between commits.
const COMMIT_PAUSE: Duration = Duration::from_millis(10);
/// After a failed sync the disk is left alone for so long.
const SYNC_RETRY: Duration = Duration::from_secs(1);
/// While there is nothing to commit, the session's `alive_us` is refreshed this often.
const ALIVE_EVERY: Duration = Duration::from_secs(5);
/// The log that SQLite writes ahead goes into the database this often: seldom, because pages written again meanwhile are
/// then copied only once.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(10);
/// A failing index is in the log this often.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// What writes the index.
#[derive(Debug)]
pub(crate) struct Index {
    connection: SqliteConnection,
    guard: Guard,
    path: PathBuf,
    /// Of the disk that the index lies on.
    device: Option<u64>,
    session_id: i64,
    disk: Disk,
    budget: Arc<Budget>,
    sync: Duration,
    changes: Reported,
    /// How many cycles were begun.
    cycles: Arc<AtomicU64>,
    pending: Pending,
    accounts: Accounts,
    gaps: Gaps,
    dirty: Dirty,
    cameras: HashMap<i64, Arc<Camera>>,
    segment_ids: Arc<SegmentIds>,
    syncs: Arc<Syncs>,
    /// Frames whose rows were committed since the last sync.
    ahead: Ahead,
    /// Frames whose sync failed.
    suspects: Suspects,
    losses: Losses,
    sync_failed: Option<Instant>,
    retention: Retention,
    cycled: Instant,
    synced: Instant,
    checkpointed: Instant,
    outage: Outage,
}

impl Index {
    /// An index with nothing pending. What `guard` tells is told by the index too.
    pub fn new(
        session: Session,
        guard: Guard,
        disk: Disk,
        budget: Arc<Budget>,
        sync: Duration,
        changes: Reported,
        retention: Retention,
    ) -> Self {
        let now = Instant::now();
        let path = guard.index();
        Self {
            connection: session.connection,
            device: device_of(&path),
            path,
            guard,
            session_id: session.known.id,
            disk,
            budget,
            sync,
            changes,
            cycles: Arc::default(),
            pending: Pending::default(),
            accounts: Accounts::new(session.known.id),
            gaps: Gaps::new(session.known.next_gap_id),
            dirty: Dirty::default(),
            cameras: HashMap::new(),
            segment_ids: Arc::new(SegmentIds::new(session.known.next_segment_id)),
            syncs: Arc::default(),
            ahead: Ahead::default(),
            suspects: Suspects::default(),
            losses: Losses::default(),
            sync_failed: None,
            retention,
            cycled: now,
            synced: now,
            checkpointed: now,
            outage: Outage::new(WARN_EVERY),
        }
    }

    /// The ids that segments get.
    pub fn segment_ids(&self) -> Arc<SegmentIds> {
        self.segment_ids.clone()
    }

    /// The syncs of the footage.
    pub fn syncs(&self) -> Arc<Syncs> {
        self.syncs.clone()
    }

    /// Counts the cycles: one every few seconds at least, for as long as nothing hangs.
    pub fn cycles(&self) -> Arc<AtomicU64> {
        self.cycles.clone()
    }

    /// Works on a thread of its own until it is told to stop, then closes the open gaps, commits what is left and leaves one file without a
    /// log.
    ///
    /// # Errors
    /// If the system has no more threads.
    pub fn start(self, stop: oneshot::Receiver<()>) -> io::Result<JoinHandle<Result<(), Error>>> {
        let (give, take) = mpsc::channel::<Runtime>();
        let (running, ended) = oneshot::channel::<Infallible>();
        // First: a runtime that no thread takes could not be dropped here.
        thread::Builder::new()
            .name("index".to_owned())
            .spawn(move || take.recv().map(|own| own.block_on(ended)))?;
        let own = runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        let task = own.spawn(async move {
            let _running = running; // goes with the task, however that ends
            self.run(stop).await
        });
        let _ = give.send(own); // it waits for that
        Ok(task)
    }

    async fn run(mut self, mut stop: oneshot::Receiver<()>) -> Result<(), Error> {
        match self.work(&mut stop).await {
            Ok(()) => self.finish(wall::now_us()).await,
            Err(error) => {
                let _ = self.close().await; // before its files get other names: see `session`
                Err(error)
            }
        }
    }

    async fn work(&mut self, stop: &mut oneshot::Receiver<()>) -> Result<(), Error> {
        while !self.gather(stop).await {
            self.cycles.fetch_add(1, Relaxed);
            self.take_changes();
            if self.retention.room.is_asked() {
                // A full disk takes no rows before there is room.
                self.keep().await?;
                self.cycle().await?;
            } else {
                self.cycle().await?;
                self.keep().await?;
            }
        }
        Ok(())
    }

    /// Waits until it is time for a cycle; true if it is time to stop.
    async fn gather(&mut self, stop: &mut oneshot::Receiver<()>) -> bool {
        let is_idle =
            self.pending.is_empty() && self.suspects.is_empty() && !self.retention.is_busy();
        if is_idle && self.changes.is_empty() {
            tokio::select! {
                _ = &mut *stop => return true,
                () = sleep(ALIVE_EVERY) => return false,
                () = self.retention.room.asked() => return false,
                change = self.changes.recv() => match change {
                    Some(change) => self.take(change),
                    None => return true,
                },
            }
        }
        tokio::select! {
            _ = stop => true,
            () = self.retention.room.asked() => false,
            () = sleep_until(self.cycled + self.sync.clamp(COMMIT_PAUSE, COMMIT_EVERY)) => false,
        }
    }

    fn take_changes(&mut self) {
        // More gaps than that wait where they can be folded.
        while self.pending.gaps.len() < GAPS_MAX {
            let Some(change) = self.changes.try_recv() else {
                for (camera_id, change) in self.changes.take_folded() {
                    self.gaps.apply(camera_id, change, &mut self.pending.gaps);
                }
                return;
            };
            self.take(change);
        }
    }

    fn take(&mut self, change: Change) {
        match change {
            Change::Rules(rules) => self.retention.set_rules(rules),
            Change::Camera(camera) => {
                self.retention.follow_camera(&camera);
                self.pending.cameras.insert(camera.id, camera);
            }
            Change::Logged(camera) => {
                self.accounts.add(camera.clone());
                self.cameras.insert(camera.id, camera);
            }
            Change::Gap { camera_id, change } => {
                self.gaps.apply(camera_id, change, &mut self.pending.gaps)
            }
            Change::Adopted(adopted) => {
                for (segment, _) in &adopted.segments {
                    self.retention.follow(segment);
                }
                self.pending.adopted.push(adopted);
            }
            Change::Written(Written {
                segment,
                mut frames,
                file,
                grew,
            }) => {
                // What is on the disk takes its room, whatever becomes of the rows.
                self.retention.follow(&segment);
                let has_suspects = self.suspects.hold(segment.id);
                let is_abandoned = self.segment_ids.is_abandoned(segment.id);
                if has_suspects || is_abandoned && !frames.is_empty() {
                    self.suspects.add(segment, &mut frames);
                    return;
                }
                let Some(segment) = self.losses.correct(segment) else {
                    return;
                };
                if grew {
                    let is_new = segment.frames == frames.len() as i64;
                    self.dirty.add(
                        &self.disk,
                        segment.id,
                        file,
                        is_new.then_some(&*segment.path),
                    );
                }
                self.accounts.index(segment.camera_id, frames.len() as i64);
                self.pending.frames.append(&mut frames);
                self.pending.segments.insert(segment.id, segment);
            }
        }
    }

    /// # Errors
    /// If the index is damaged: it can't be written any more.
    async fn cycle(&mut self) -> Result<(), Error> {
        self.cycled = Instant::now();
        let syncs_always = self.sync <= SYNC_WITH_COMMIT;
        let rests = (self.sync_failed).is_some_and(|failed| failed.elapsed() < SYNC_RETRY);
        if rests && (syncs_always || !self.suspects.is_empty()) {
            return Ok(()); // rows wait for their bytes
        }
        // What was found may be forgotten as soon as its rows are committed.
        let must_be = !self.suspects.is_empty() || !self.pending.adopted.is_empty();
        let is_due = syncs_always || self.synced.elapsed() >= self.sync;
        let durable = !rests && (must_be || is_due);
        let mut cycled = self.try_cycle(durable).await;
        if cycled.as_ref().is_err_and(Error::is_full) {
            self.retention.index_is_full();
            // If that fails, so does what follows.
            let _ = self.try_keep(0).await;
            cycled = self.try_cycle(durable).await;
        }
        match cycled {
            Err(error) if error.is_damage() => Err(self.damaged()),
            Err(error) => {
                if error.is_full() {
                    self.retention.index_is_full();
                }
                self.warn(&error);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// The index is to be made anew, which only a start can do.
    fn damaged(&self) -> Error {
        let path = self.path.clone();
        let marked = lost_index::set_mark(self.storage(), &Mark::Asked);
        self.guard
            .tell(Gone::Index(format!("{} is damaged", path.display())));
        marked.err().unwrap_or(Error::DamagedIndex { path })
    }

    fn storage(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// Lets footage go, as far as it should and may.
    ///
    /// # Errors
    /// If the index is damaged.
    async fn keep(&mut self) -> Result<(), Error> {
        if !self.retention.is_due() {
            return Ok(());
        }
        let request = self.retention.room.take();
        let kept = self
            .try_keep(request.map_or(0, |request| request.bytes))
            .await;
        if let Some(request) = request {
            let is_granted = kept.as_ref().is_ok_and(|&freed| freed > 0);
            self.retention.room.answer(request, is_granted);
        }
        match kept {
            Err(error) if error.is_damage() => Err(self.damaged()),
            Err(error) => {
                self.warn(&error);
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    /// The bytes that were freed; some, if any are `wanted` and anything may go.
    async fn try_keep(&mut self, wanted: u64) -> Result<u64, Error> {
        let path = self.path.clone();
        let failed = || Error::index(&path, "written");
        let mut demands = self
            .retention
            .demands(&mut self.connection, wanted, wall::now_us())
            .await
            .map_err(failed())?;
        let is_index_full = self.retention.take_index_full();
        let mut freed = 0;
        if !demands.is_empty() {
            if self.sync > SYNC_WITH_COMMIT {
                // A durable commit makes the rows before it durable too.
                self.sync_footage()?;
            }
            while !demands.is_empty() {
                let now = self
                    .retention
                    .remove(&mut self.connection, &demands, wall::now_us())
                    .await
                    .map_err(failed())?;
                freed += now;
                demands = self.retention.left(&demands, now);
            }
        }
        if is_index_full || wanted > 0 && freed > 0 {
            // The log is begun again instead of growing at the cost of footage. If it can't be, nothing is lost.
            self.checkpointed = Instant::now();
            let _ = self.retention.empty_log(&mut self.connection).await;
        }
        self.dirty
            .add_dirs(&self.disk, self.retention.files().take_dirs());
        Ok(freed)
    }

    async fn try_cycle(&mut self, durable: bool) -> Result<(), Error> {
        if durable {
            self.sync_footage()?;
            self.examine_suspects().await?;
            self.synced = Instant::now();
        }
        self.commit(durable, wall::now_us(), None)
            .await
            .map_err(Error::index(&self.path, "written"))?;
        if durable && self.checkpointed.elapsed() >= CHECKPOINT_EVERY {
            self.checkpointed = Instant::now();
            match rows::execute(&mut self.connection, "PRAGMA wal_checkpoint(PASSIVE)").await {
                // No row waits for that.
                Err(error) if refusal::is_index_full(&error) => self.retention.index_is_full(),
                done => done.map_err(Error::index(&self.path, "written"))?,
            }
        }
        Ok(())
    }

    /// Makes the bytes durable of which the pending rows speak.
    fn sync_footage(&mut self) -> Result<(), Error> {
        let sync = self.syncs.begin();
        let synced = std::mem::take(&mut self.dirty).sync(&self.disk);
        if synced.is_err() {
            self.suspect_all();
        } else {
            self.syncs.done(sync);
            self.ahead.clear();
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
        let changed = self.accounts.changed();
        let transaction = Transaction {
            durable,
            deleted: self.retention.files(),
            pending: &self.pending,
            accounts: &changed,
            session_id: self.session_id,
            alive_us,
            ended_us,
        };
        directly(&mut self.connection, |sqlite| transaction.commit(sqlite)).await?;
        self.budget.rows_done(self.pending.frames.len());
        let done = std::mem::take(&mut self.pending);
        for adopted in done.adopted {
            let _ = adopted.committed.send(()); // whoever found them may be gone
        }
        self.accounts.committed(changed);
        if durable {
            self.retention.files().forgot_deleted();
        } else {
            self.ahead.add(&done.frames);
        }
        if self.outage.worked(std::time::Instant::now()) {
            tracing::info!("index is written again");
        }
        Ok(())
    }

    fn warn(&mut self, error: &Error) {
        if self.outage.failed(std::time::Instant::now()) {
            tracing::warn!(%error, rows = self.pending.frames.len(), "index could not be written, rows wait");
        }
    }
}

/// The device that the path leads to now.
fn device_of(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|found| found.dev())
}

#[cfg(test)]
mod tests;
