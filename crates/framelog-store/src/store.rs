//! An opened storage directory: the lock, the identity, the writer threads and the index, handed out as one [`Store`].

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::budget::{Budget, Limits};
use crate::camera_log::CameraLog;
use crate::changes::{Change, Changes};
use crate::container::Layout;
use crate::disk::Disk;
use crate::error::Error;
use crate::guard::{Gone, Guard};
use crate::identity::{self, Lock};
use crate::index::Index;
use crate::rebuild::{self, Progress};
use crate::recording::Shared;
use crate::retention::Keeping;
use crate::rules::Rules;
use crate::writer::Writers;
use crate::{integrity, layout, wall};

mod beginning;
mod cameras;
mod directory;

use beginning::begin_keeping;
use cameras::Cameras;
use directory::{admit, make_dir, sync_entry, warn_of_remote};

/// A disk that takes nothing for so long hangs: a store that closes gives it up.
const HANGING_AFTER: Duration = Duration::from_secs(10);
/// So many times as long it has if all frames and rows are written: bringing a long log into the index is work, and none is lost.
const TIDYING: u32 = 6;
/// When the storage directory is gone already, so long is enough.
const GONE_PATIENCE: Duration = Duration::from_secs(3);

/// How to open a [`Store`].
#[derive(Clone, Debug)]
pub struct Options {
    /// The storage directory; made if it is not there and `uuid` is `None`.
    pub path: PathBuf,
    /// Only the directory whose `recorder.toml` holds this is the right one.
    pub uuid: Option<Uuid>,
    /// Why this process had no store since it closed the one before, if there was one: the gap of that time says so.
    pub away: Option<Gone>,
    /// One file per segment or per frame.
    pub layout: Layout,
    /// How often footage, then index, are synced to the disk. Up to 1 s every commit is durable; above, rows are committed
    /// within 1 s all the same, and a power cut may take what came since the last sync.
    pub sync: Duration,
    /// Make the index anew from the footage, even if there is a sound one; it is set aside.
    pub reindex: bool,
    /// What footage may go.
    pub rules: Rules,
}

impl Options {
    /// What is usual, in this storage directory.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            uuid: None,
            away: None,
            layout: Layout::default(),
            sync: Duration::from_secs(1),
            reindex: false,
            rules: Rules::default(),
        }
    }
}

/// An opened storage directory. One at a time: the directory is locked.
///
/// Dropping it without [`Store::close`] leaves the directory as a crash would, except that a commit which has begun is still finished.
#[derive(Debug)]
pub struct Store {
    uuid: Uuid,
    path: PathBuf,
    /// Why this store can't go on, once it can't.
    gone: watch::Receiver<Option<Gone>>,
    guard: JoinHandle<()>,
    integrity: JoinHandle<()>,
    stop_integrity: watch::Sender<bool>,
    /// A disk that takes nothing for so long hangs: closing gives it up.
    patience: Duration,
    cameras: Mutex<Cameras>,
    writers: Option<Writers>,
    budget: Arc<Budget>,
    changes: Changes,
    keeping: Arc<Mutex<Keeping>>,
    index: JoinHandle<Result<(), Error>>,
    index_cycles: Arc<AtomicU64>,
    stop_index: Option<oneshot::Sender<()>>,
    rebuild: Option<JoinHandle<()>>,
    rebuilt: watch::Receiver<Progress>,
    _lock: Lock,
}

impl Store {
    /// Opens or makes the storage directory, applies migrations, and starts the writers. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Locked`] if another recorder runs on it, [`Error::Identity`] if it is not the directory that the index
    /// belongs to, [`Error::Absent`] or [`Error::Foreign`] if that is not there, [`Error::NewerIndex`], [`Error::Index`] and [`Error::Io`] as the system has it.
    pub async fn open(options: Options) -> Result<Self, Error> {
        admit(&options.path, options.uuid)?;
        let disk = Disk::open(&options.path).map_err(Error::io(&options.path, "opened"))?;
        warn_of_remote(&options.path, &disk);
        Self::open_on(disk, options, Limits::default()).await
    }

    async fn open_on(disk: Disk, options: Options, limits: Limits) -> Result<Self, Error> {
        let storage = options.path;
        make_dir(&storage.join(layout::FOOTAGE)).map_err(Error::io(&storage, "made"))?;
        // Each time: a start that was killed may have made it. Whoever made it otherwise may not have.
        let _ = sync_entry(&storage);
        let elsewhere = disk
            .elsewhere(layout::FOOTAGE)
            .map_err(Error::io(&storage, "read"))?;
        if let Some(path) = elsewhere {
            return Err(Error::Elsewhere {
                path: storage.join(path),
            });
        }
        let lock = identity::lock(&storage)?;
        if options.reindex {
            rebuild::ask(&storage)?;
        }
        let (mut session, mut retention) =
            begin_keeping(&storage, &disk, options.sync, options.rules).await?;
        let cameras = std::mem::take(&mut session.known.cameras);
        let (uuid, plan) = (session.known.uuid, session.known.rebuild.take());
        let guard = Guard::new(&storage, &disk, uuid).map_err(Error::io(&storage, "opened"))?;
        // SQLite goes by the path: it must still lead to where the footage goes.
        guard.check().map_err(|gone| Error::Absent {
            path: storage.clone(),
            detail: gone.to_string(),
        })?;
        let doubt = Arc::new(Notify::new());
        let (progress, rebuilt) = watch::channel(Progress::default());
        if plan.is_some() {
            retention.wait_for_rebuild(rebuilt.clone());
        }
        let (keeping, room) = (retention.keeping(), retention.room.clone());
        let (changes, reported) = Changes::channel();
        let budget = Arc::new(Budget::new(limits));
        let index = Index::new(
            session,
            guard.clone(),
            disk.clone(),
            budget.clone(),
            options.sync,
            reported,
            retention,
        );
        let writers = Writers::start(&Shared {
            disk: disk.clone(),
            layout: options.layout,
            budget: budget.clone(),
            changes: changes.clone(),
            room,
            doubt: doubt.clone(),
            segment_ids: index.segment_ids(),
            syncs: index.syncs(),
        })
        .map_err(Error::io(&storage, "served by writer threads"))?;
        let (stop_index, stopped) = oneshot::channel();
        let index_cycles = index.cycles();
        let index =
            (index.start(stopped)).map_err(Error::io(&storage, "served by an index thread"))?;
        let rebuild = plan.map(|plan| {
            let (storage, changes) = (storage.clone(), changes.clone());
            tokio::spawn(rebuild::run(storage, disk, changes, plan, progress))
        });
        let (stop_integrity, no_check) = watch::channel(false);
        let rebuilding = rebuild.as_ref().map(|_| rebuilt.clone());
        Ok(Self {
            uuid,
            path: storage,
            gone: guard.told(),
            integrity: tokio::spawn(integrity::watch(guard.clone(), rebuilding, no_check)),
            stop_integrity,
            guard: tokio::spawn(guard.watch(doubt)),
            patience: HANGING_AFTER,
            cameras: Mutex::new(Cameras::new(cameras, options.away)),
            writers: Some(writers),
            budget,
            changes,
            keeping,
            index_cycles,
            index,
            stop_index: Some(stop_index),
            rebuild,
            rebuilt,
            _lock: lock,
        })
    }

    /// The directory's own id, made once.
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// Resolves, with why, when the storage directory or the index is no longer at its path, or the index is damaged. Close the store then,
    /// and open another one: what is written goes to where the directory or the index was, and a disk can be released only by closing it.
    pub async fn gone(&self) -> Gone {
        let mut gone = self.gone.clone();
        let found = gone.wait_for(Option::is_some).await.ok();
        match found.and_then(|gone| gone.clone()) {
            Some(gone) => gone,
            None => std::future::pending().await,
        }
    }

    /// What [`Store::gone`] has to say, if anything.
    pub fn why_gone(&self) -> Option<Gone> {
        self.gone.borrow().clone()
    }

    /// The log of one camera; its row is made if it is new (and committed with the next rows). At most one log per camera may
    /// be in use at a time: asking again ends the segment of the one before.
    ///
    /// The first time in a run, a camera of an earlier run gets a `recorder_down` gap from the last footage or gap to now. One that was not in
    /// the configuration gets a `disabled` gap for as long as it was not.
    ///
    /// # Errors
    /// [`Error::CameraName`]; [`Error::IndexStopped`] if the index task has ended.
    pub fn camera(&self, name: &str) -> Result<CameraLog, Error> {
        layout::check_camera(name)?;
        if self.index.is_finished() {
            return Err(Error::IndexStopped);
        }
        let (camera, changes) = self.cameras().log(name, wall::now_us());
        changes
            .into_iter()
            .for_each(|change| self.changes.send(change));
        let queue = self
            .writers
            .as_ref()
            .ok_or(Error::IndexStopped)?
            .queue(camera.id);
        let log = CameraLog {
            camera,
            queue,
            budget: self.budget.clone(),
            changes: self.changes.clone(),
        };
        log.end_segment();
        Ok(log)
    }

    /// Marks every camera that is not among the configured as removed, at `now_us` (microseconds since the Unix epoch), and closes the gap that
    /// it left open, so that its absence isn't counted against it: it has no gaps until it is configured again, and then one that says so. Its
    /// footage stays. The index is told, and not waited for.
    ///
    /// # Errors
    /// [`Error::IndexStopped`] if the index task has ended.
    pub fn mark_others_removed(&self, configured: &[String], now_us: i64) -> Result<(), Error> {
        if self.index.is_finished() {
            return Err(Error::IndexStopped);
        }
        let changes = self.cameras().mark_others_removed(configured, now_us);
        changes
            .into_iter()
            .for_each(|change| self.changes.send(change));
        Ok(())
    }

    /// Other rules for what may go, from now on.
    pub fn set_rules(&self, rules: Rules) {
        self.changes.send(Change::Rules(rules));
    }

    /// How much footage there is, how much of it is protected, and how much room: as of the last look, at most some seconds ago.
    pub fn keeping(&self) -> Keeping {
        // Nothing panics while it is held.
        *self.keeping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many frames are in files and wait for their rows to be committed.
    pub fn rows_waiting(&self) -> u64 {
        self.budget.waiting().1 as u64
    }

    /// Counts what the index task does, one every few seconds at least: while it stands still the task hangs, with the disk or for a bug.
    pub fn index_cycles(&self) -> Arc<AtomicU64> {
        self.index_cycles.clone()
    }

    /// Whether rows still reach the index. If not, a bug has ended its task: footage is written, but cannot be found until the store is
    /// opened again.
    pub fn is_indexing(&self) -> bool {
        !self.index.is_finished()
    }

    /// How far the index has come that is being made anew from the footage; `None` if none is.
    pub fn rebuilding(&self) -> Option<watch::Receiver<Progress>> {
        self.rebuild.as_ref().map(|_| self.rebuilt.clone())
    }

    /// Drains the queues, closes segments and open gaps, commits, and releases the lock.
    ///
    /// # Errors
    /// [`Error::Index`] or [`Error::Io`] if the last rows could not be committed: the footage is there, its rows are not.
    /// [`Error::Hanging`] if the disk takes nothing for 10 s (3 s if the directory is gone): what waits is given up.
    pub async fn close(mut self) -> Result<(), Error> {
        if let Some(rebuild) = self.rebuild.take() {
            rebuild.abort(); // the next start goes on with it
        }
        let patience = match self.why_gone() {
            Some(Gone::Directory(_)) => GONE_PATIENCE,
            _ => self.patience,
        };
        let (budget, path) = (self.budget.clone(), self.path.clone());
        let closed = self.finish();
        tokio::pin!(closed);
        let began = Instant::now();
        loop {
            let before = budget.waiting();
            if let Ok(result) = tokio::time::timeout(patience, &mut closed).await {
                return result;
            }
            let (bytes, rows) = budget.waiting();
            // With nothing left but a long log to bring into the index, it may take its time.
            let is_tidying = (bytes, rows) == (0, 0) && began.elapsed() < patience * TIDYING;
            if (bytes, rows) == before && !is_tidying {
                return Err(Error::Hanging {
                    path,
                    waited_s: patience.as_secs(),
                    bytes,
                    rows,
                });
            }
        }
    }

    async fn finish(&mut self) -> Result<(), Error> {
        // Before the index is closed, whose log stays while anybody reads.
        self.stop_integrity.send_replace(true);
        let _ = (&mut self.integrity).await; // a panic in it harms nothing
        if let Some(writers) = self.writers.take() {
            // A panic in it is logged there.
            let _ = tokio::task::spawn_blocking(|| writers.finish()).await;
        }
        if let Some(stop) = self.stop_index.take() {
            let _ = stop.send(()); // it may have stopped by itself
        }
        match (&mut self.index).await {
            Ok(result) => result,
            Err(error) => {
                tracing::error!(%error, "index task failed");
                Err(Error::IndexStopped)
            }
        }
    }

    fn cameras(&self) -> MutexGuard<'_, Cameras> {
        // Nothing panics while it is held.
        self.cameras.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.index.abort();
        if let Some(rebuild) = &self.rebuild {
            rebuild.abort();
        }
        self.guard.abort();
        self.integrity.abort();
    }
}

#[cfg(test)]
mod faults;
#[cfg(test)]
mod tests;
/// The same with segments of H.264.
#[cfg(test)]
#[allow(clippy::duplicate_mod)]
#[path = "store/tests.rs"]
mod tests_h264;
