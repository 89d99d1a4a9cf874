//! Files on their way out: their rows are gone, and the table `doomed` notes them until they are deleted. Not for choosing them.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::is_within;
use crate::disk::Disk;
use crate::layout;

/// Files that can't be deleted are tried again this often, and until then nothing more goes: it would free nothing.
const RETRY_EVERY: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Doomed {
    /// To be deleted.
    paths: BTreeSet<String>,
    /// Deleted: their notes may go.
    gone: Vec<String>,
    /// Directories that they were deleted from.
    dirs: BTreeSet<PathBuf>,
    /// Some could not be deleted.
    failed: Option<Instant>,
    is_said: bool,
    /// None of the last could.
    is_stuck: bool,
}

impl Doomed {
    /// These too.
    pub fn add(&mut self, paths: impl IntoIterator<Item = String>) {
        self.paths.extend(paths);
    }

    /// Whether none could be deleted: it frees nothing to choose more.
    pub fn is_stuck(&self) -> bool {
        self.is_stuck
    }

    /// More may be chosen all the same, to see whether those can be deleted.
    pub fn unstick(&mut self) {
        self.is_stuck = false;
    }

    /// Whether those that could not be deleted should be tried again.
    pub fn is_retry_due(&self) -> bool {
        self.failed.is_some() && !is_within(self.failed, RETRY_EVERY)
    }

    /// Deletes them, the date's directory that is empty then, and that of a camera which is idle.
    pub fn delete(&mut self, disk: &Disk, is_idle: impl Fn(&str) -> bool) {
        let paths = std::mem::take(&mut self.paths);
        if paths.is_empty() {
            self.failed = None;
            return;
        }
        let cameras = paths.iter().filter_map(|path| layout::camera_of(path));
        let idle: BTreeSet<String> = cameras
            .filter(|camera| is_idle(camera))
            .map(str::to_owned)
            .collect();
        let deleted = delete(disk, paths, &idle);
        self.is_stuck = deleted.gone.is_empty() && !deleted.failed.is_empty();
        self.gone.extend(deleted.gone);
        self.dirs.extend(deleted.dirs);
        self.failed = (!deleted.failed.is_empty()).then(Instant::now);
        if let Some((path, error)) = deleted.failed.first() {
            if !std::mem::replace(&mut self.is_said, true) {
                tracing::error!(
                    path, %error, files = deleted.failed.len(),
                    "footage that must go can't be deleted; check the permissions below the storage directory"
                );
            }
        } else {
            self.is_said = false;
        }
        self.add(deleted.failed.into_iter().map(|(path, _)| path));
    }

    /// Forgets, in the caller's transaction, the notes of files that are deleted. They must be so durably.
    pub fn forget_deleted(&self, sqlite: &Connection) -> rusqlite::Result<()> {
        for path in &self.gone {
            sqlite
                .prepare_cached("DELETE FROM doomed WHERE path = ?")?
                .execute([path])?;
        }
        Ok(())
    }

    /// That transaction was committed.
    pub fn forgot_deleted(&mut self) {
        self.gone.clear();
    }

    /// The directories that files were deleted from since the last call.
    pub fn take_dirs(&mut self) -> BTreeSet<PathBuf> {
        std::mem::take(&mut self.dirs)
    }
}

/// What became of files that were to be deleted.
#[derive(Debug, Default)]
pub(super) struct Deleted {
    /// They are not there any more.
    pub gone: Vec<String>,
    pub failed: Vec<(String, io::Error)>,
    /// Directories whose entries changed.
    dirs: BTreeSet<PathBuf>,
}

/// Deletes files, then the directories that this left empty: that of the date and, for the cameras in `idle`, the camera's. Blocking.
pub(super) fn delete(disk: &Disk, paths: BTreeSet<String>, idle: &BTreeSet<String>) -> Deleted {
    let mut deleted = Deleted::default();
    let mut dates = BTreeSet::new();
    for path in paths {
        // Only a path that this program makes: the index may have been written by others.
        let camera = layout::camera_of(&path).map(str::to_owned);
        let removed = match &camera {
            Some(_) => disk.remove(&path),
            None => Err(io::Error::other("it is not a path of footage")),
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                deleted.failed.push((path, error))
            }
            _ => {
                dates.extend(
                    Path::new(&path)
                        .parent()
                        .zip(camera)
                        .map(|(date, camera)| (date.to_owned(), camera)),
                );
                deleted.gone.push(path);
            }
        }
    }
    for (date, camera) in dates {
        let of_camera = date.parent().map(Path::to_owned).unwrap_or_default();
        // Where it is not empty it stays, and that is no error.
        if disk.remove_dir(&date).is_err() {
            deleted.dirs.insert(date);
        } else if !(idle.contains(&camera) && disk.remove_dir(&of_camera).is_ok()) {
            deleted.dirs.insert(of_camera);
        }
    }
    deleted
}
