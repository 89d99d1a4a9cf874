//! An opened storage directory: the lock, the identity, the writer threads and the index, handed out as one [`Store`].

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use framelog_core::gap::GapReason;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::budget::{Budget, Limits};
use crate::camera::Camera;
use crate::camera_log::CameraLog;
use crate::container::Container;
use crate::disk::Disk;
use crate::error::Error;
use crate::gaps::GapChange;
use crate::index::{Change, Changes, Index};
use crate::rebuild::{self, Progress};
use crate::session::{self, Known};
use crate::writer::{self, Writers};
use crate::{identity, layout, rows, wall};

/// How frames become files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// Consecutive frames of one camera share a file.
    #[default]
    Segments,
    /// Each frame is a file of its own.
    Files,
}

/// How to open a [`Store`].
#[derive(Clone, Debug)]
pub struct Options {
    /// The storage directory; made if it is not there.
    pub path: PathBuf,
    /// One file per segment or per frame.
    pub layout: Layout,
    /// How often footage, then index, are synced to the disk. Up to 1 s every commit is durable; above, rows are committed
    /// within 1 s all the same, and a power cut may take what came since the last sync.
    pub sync: Duration,
    /// Make the index anew from the footage, even if there is a sound one; it is set aside.
    pub reindex: bool,
}

impl Options {
    /// What is usual, in this storage directory.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            layout: Layout::default(),
            sync: Duration::from_secs(1),
            reindex: false,
        }
    }
}

/// An opened storage directory. One at a time: the directory is locked.
///
/// Dropping it without [`Store::close`] leaves the directory as a crash would.
#[derive(Debug)]
pub struct Store {
    uuid: String,
    cameras: Mutex<Cameras>,
    writers: Option<Writers>,
    budget: Arc<Budget>,
    changes: Changes,
    index: JoinHandle<Result<(), Error>>,
    stop_index: Option<oneshot::Sender<()>>,
    rebuild: Option<JoinHandle<()>>,
    rebuilt: watch::Receiver<Progress>,
    _lock: File,
}

/// Makes a directory and those above it: durable, where they were not there.
fn make_dir(path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent().filter(|_| !path.is_dir()) else {
        return Ok(());
    };
    let parent = match parent.as_os_str().is_empty() {
        true => Path::new("."),
        false => parent,
    };
    make_dir(parent)?;
    fs::create_dir(path)?;
    File::open(parent)?.sync_all()
}

/// Every camera that the index knows, by name.
#[derive(Debug)]
struct Cameras {
    known: HashMap<String, Known>,
    /// Those that were asked for in this run.
    logged: HashMap<String, Arc<Camera>>,
    next_id: i64,
}

impl Store {
    /// Opens or makes the storage directory, applies migrations, and starts the writers. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Locked`] if another recorder runs on it, [`Error::Identity`] if it is not the directory that the index
    /// belongs to, [`Error::NewerIndex`], [`Error::Index`] and [`Error::Io`] as the system has it.
    pub async fn open(options: Options) -> Result<Self, Error> {
        let disk = Disk::new(&options.path);
        Self::open_on(disk, options, Limits::default()).await
    }

    async fn open_on(disk: Disk, options: Options, limits: Limits) -> Result<Self, Error> {
        let storage = options.path;
        make_dir(&storage.join(layout::FOOTAGE)).map_err(Error::io(&storage, "made"))?;
        let lock = identity::lock(&storage)?;
        if options.reindex {
            rebuild::ask(&storage)?;
        }
        let mut session = session::begin(&storage, &disk, options.sync, wall::now_us()).await?;
        let cameras = std::mem::take(&mut session.cameras);
        let (changes, reported) = Changes::channel();
        let budget = Arc::new(Budget::new(limits));
        let writers = Writers::start(&writer::Shared {
            disk: disk.clone(),
            container: match options.layout {
                Layout::Segments => Container::Mjpeg,
                Layout::Files => Container::Jpg,
            },
            budget: budget.clone(),
            changes: changes.clone(),
            next_segment_id: Arc::new(AtomicI64::new(session.next_segment_id)),
        })
        .map_err(Error::io(&storage, "served by writer threads"))?;
        let uuid = session.uuid.to_string();
        let (progress, rebuilt) = watch::channel(Progress::default());
        let rebuild = session.rebuild.take().map(|plan| {
            let (storage, disk, changes) = (storage.clone(), disk.clone(), changes.clone());
            tokio::spawn(rebuild::run(storage, disk, changes, plan, progress))
        });
        let index = Index::new(
            session,
            storage.join(layout::INDEX),
            disk,
            budget.clone(),
            options.sync,
            reported,
        );
        let (stop_index, stopped) = oneshot::channel();
        Ok(Self {
            uuid,
            cameras: Mutex::new(Cameras::new(cameras)),
            writers: Some(writers),
            budget,
            changes,
            index: tokio::spawn(index.run(stopped)),
            stop_index: Some(stop_index),
            rebuild,
            rebuilt,
            _lock: lock,
        })
    }

    /// The directory's own id, made once.
    pub fn uuid(&self) -> &str {
        &self.uuid
    }

    /// The log of one camera; its row is made if it is new (and committed with the next rows). At most one log per camera may
    /// be in use at a time: asking again ends the segment of the one before.
    ///
    /// The first time in a run, a camera of an earlier run gets a `recorder_down` gap from the last footage or gap to now.
    ///
    /// # Errors
    /// [`Error::CameraName`]; [`Error::IndexStopped`] if the index task has ended.
    pub async fn camera(&self, name: &str) -> Result<CameraLog, Error> {
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

    /// Closes gaps left open by a camera that is no longer configured, so that its absence isn't counted against it: it has no
    /// gaps until it is configured again.
    ///
    /// # Errors
    /// [`Error::IndexStopped`] if the index task has ended.
    pub async fn forget_open_gaps(&self, configured: &[String], now_us: i64) -> Result<(), Error> {
        if self.index.is_finished() {
            return Err(Error::IndexStopped);
        }
        let changes = self.cameras().remove_all_but(configured, now_us);
        changes
            .into_iter()
            .for_each(|change| self.changes.send(change));
        Ok(())
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
    pub async fn close(mut self) -> Result<(), Error> {
        if let Some(rebuild) = self.rebuild.take() {
            rebuild.abort(); // the next start goes on with it
        }
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
    }
}

impl Cameras {
    fn new(cameras: Vec<Known>) -> Self {
        let next_id = cameras.iter().map(|known| known.row.id).max().unwrap_or(0) + 1;
        let known = cameras
            .into_iter()
            .map(|known| (known.row.name.to_string(), known))
            .collect();
        Self {
            known,
            logged: HashMap::new(),
            next_id,
        }
    }

    /// What the log of the camera shares with its writer, and what the index is to be told.
    fn log(&mut self, name: &str, now_us: i64) -> (Arc<Camera>, Vec<Change>) {
        let mut changes = Vec::new();
        let is_new = !self.known.contains_key(name);
        let next_id = &mut self.next_id;
        let known = self.known.entry(name.to_owned()).or_insert_with(|| {
            let row = rows::Camera {
                id: *next_id,
                name: name.into(),
                added_us: now_us,
                removed_us: None,
            };
            *next_id += 1;
            Known {
                row,
                last_captured_us: None,
                last_gap_us: None,
            }
        });
        let returned = known.row.removed_us.take().is_some();
        if is_new || returned {
            changes.push(Change::Camera(known.row.clone()));
        }
        if !is_new && !returned && !self.logged.contains_key(name) {
            changes.push(recorder_down(known, now_us));
        }
        let camera = self.logged.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(Camera::new(
                known.row.id,
                known.row.name.clone(),
                known.last_captured_us,
            ))
        });
        (camera.clone(), changes)
    }

    fn remove_all_but(&mut self, configured: &[String], now_us: i64) -> Vec<Change> {
        let configured: HashSet<&str> = configured.iter().map(String::as_str).collect();
        let removed = |known: &&mut Known| {
            known.row.removed_us.is_none() && !configured.contains(&*known.row.name)
        };
        let mut changes = Vec::new();
        for known in self.known.values_mut().filter(removed) {
            known.row.removed_us = Some(now_us);
            let close = GapChange::Close {
                ended_us: now_us,
                only: None,
            };
            changes.push(Change::Camera(known.row.clone()));
            changes.push(Change::Gap {
                camera_id: known.row.id,
                change: close,
            });
        }
        changes
    }
}

/// Nobody recorded the camera between the last moment that is accounted for and now.
fn recorder_down(known: &Known, now_us: i64) -> Change {
    let change = GapChange::Record {
        started_us: known.accounted_us().min(now_us),
        ended_us: now_us,
        reason: GapReason::RecorderDown,
        detail: "framelog was not running".into(),
    };
    Change::Gap {
        camera_id: known.row.id,
        change,
    }
}

#[cfg(test)]
mod tests;
