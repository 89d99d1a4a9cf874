//! Whether storage directory and index are still the ones that were opened: disks are pulled out, unmounted and mounted over, files
//! deleted and replaced. Not for what is done about it: the daemon opens the store anew.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use framelog_core::gap::GapReason;
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::disk::Disk;
use crate::error::Error;
use crate::{identity, layout};

/// How often it is looked while no write fails.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// Device and inode.
type FileId = (u64, u64);

/// Why a store can't go on: it is to be closed, and another one opened in its place. In words, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gone {
    /// The storage directory is no longer at its path, or had no room to begin in.
    Directory(String),
    /// The index is no longer at its path, or damaged. Opening the store makes a new one from the footage.
    Index(String),
}

impl Gone {
    /// Why there is no footage until the next store is open.
    pub(crate) fn reason(&self) -> GapReason {
        match self {
            Gone::Directory(_) => GapReason::DiskFull,
            Gone::Index(_) => GapReason::RecorderDown,
        }
    }
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gone::Directory(why) | Gone::Index(why) => f.write_str(why),
        }
    }
}

/// The directory and the files that were opened, and what their paths must lead to. Clones tell the same.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    path: PathBuf,
    opened: FileId,
    mount: Option<u64>,
    uuid: Uuid,
    /// The index, and the files that belong to it.
    index: Vec<(PathBuf, FileId)>,
    /// The largest that the index has been, bytes: it never gets smaller.
    grown: Arc<AtomicU64>,
    gone: Arc<watch::Sender<Option<Gone>>>,
}

impl Guard {
    /// Guards what `disk` has opened at `path`, where `uuid` records, and the index there, which is open.
    pub fn new(path: &Path, disk: &Disk, uuid: Uuid) -> io::Result<Self> {
        let index =
            layout::INDEX_SUFFIXES.map(|suffix| path.join(format!("{}{suffix}", layout::INDEX)));
        let index = index
            .into_iter()
            .rev() // the index is told of before its log
            .filter_map(|file| Some((file.clone(), id(&fs::metadata(&file).ok()?))));
        Ok(Self {
            path: path.to_owned(),
            opened: id(&disk.root().metadata()?),
            mount: mount_at(path),
            uuid,
            index: index.collect(),
            grown: Arc::default(),
            gone: Arc::new(watch::Sender::new(None)),
        })
    }

    /// The index, for SQLite and messages.
    pub fn index(&self) -> PathBuf {
        self.path.join(layout::INDEX)
    }

    /// Has the store closed, and another one opened.
    pub fn tell(&self, gone: Gone) {
        self.gone.send_replace(Some(gone));
    }

    /// Where it is told.
    pub fn told(&self) -> watch::Receiver<Option<Gone>> {
        self.gone.subscribe()
    }

    /// Looks; the error says what is at the paths instead. Blocking, as long as the disk takes.
    pub fn check(&self) -> Result<(), Gone> {
        self.check_directory().map_err(Gone::Directory)?;
        self.check_index().map_err(Gone::Index)
    }

    fn check_directory(&self) -> Result<(), String> {
        let path = self.path.display();
        let found = match fs::metadata(&self.path) {
            Ok(found) => found,
            Err(error) if is_our_own_trouble(&error) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(self.missing());
            }
            Err(error) => {
                return Err(format!(
                    "the storage directory {path} can't be reached: {error}"
                ));
            }
        };
        let is_opened = id(&found) == self.opened;
        match identity::read(&self.path) {
            Ok(Some(uuid)) if uuid != self.uuid => Err(format!(
                "another recorder's directory (uuid {uuid}) is mounted at {path}"
            )),
            Ok(Some(_)) if !is_opened => {
                Err(format!("the storage directory {path} was mounted anew"))
            }
            Ok(None) if !is_opened => Err(self.missing()),
            // Someone removed recorder.toml; the directory is the right one, and the next start writes it again.
            Ok(_) => Ok(()),
            Err(Error::Io { source, .. }) if is_our_own_trouble(&source) => Ok(()),
            Err(error) => Err(format!(
                "the storage directory {path} can't be read: {error}"
            )),
        }
    }

    /// Neither the directory is at the path, nor another that a recorder uses.
    fn missing(&self) -> String {
        let path = self.path.display();
        match self.mount.is_some() && mount_at(&self.path) == self.mount {
            true => format!(
                "the storage directory {path} was deleted or renamed; put it back, or restart framelog to begin anew there"
            ),
            false => format!("the storage directory {path} is not mounted"),
        }
    }

    /// SQLite writes on into files that were deleted or renamed, and nobody else sees it.
    fn check_index(&self) -> Result<(), String> {
        for (path, opened) in &self.index {
            match fs::metadata(path) {
                Ok(found) if id(&found) == *opened => self.check_size(path, found.len())?,
                Ok(_) => return Err(format!("{} was replaced by another file", path.display())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(format!("{} was deleted or renamed", path.display()));
                }
                Err(_) => {} // of the disk, the directory tells
            }
        }
        Ok(())
    }

    fn check_size(&self, path: &Path, bytes: u64) -> Result<(), String> {
        let is_index = path.ends_with(layout::INDEX);
        if is_index && bytes < self.grown.fetch_max(bytes, Relaxed) {
            // What is written to it later doesn't bring back what it had.
            self.grown.store(u64::MAX, Relaxed);
            return Err(format!("{} was cut short", path.display()));
        }
        Ok(())
    }

    /// Writes the directory's id again if it was removed, while that is known.
    pub fn write_identity(&self) -> Result<(), Error> {
        match identity::read(&self.path)? {
            Some(_) => Ok(()),
            None => identity::write(&self.path, self.uuid),
        }
    }

    /// Looks every few seconds, and when `doubt` is raised, until something is gone; then tells it.
    pub async fn watch(self, doubt: Arc<Notify>) {
        loop {
            let _ = tokio::time::timeout(CHECK_EVERY, doubt.notified()).await;
            let guard = self.clone();
            // A panic is a bug in framelog, not a missing disk.
            let checked = tokio::task::spawn_blocking(move || guard.check()).await;
            if let Ok(Err(gone)) = checked {
                self.tell(gone);
                return;
            }
        }
    }
}

fn id(found: &fs::Metadata) -> FileId {
    (found.dev(), found.ino())
}

/// The mount that the path lies in, or would; `None` where the kernel doesn't say it (before Linux 5.8).
fn mount_at(path: &Path) -> Option<u64> {
    let nearest = |path| statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID).ok();
    let found = path.ancestors().find_map(nearest)?;
    (found.stx_mask & StatxFlags::MNT_ID.bits() != 0).then_some(found.stx_mnt_id)
}

/// Too many open files, or too little memory: says nothing about the disk.
fn is_our_own_trouble(error: &io::Error) -> bool {
    let errno = rustix::io::Errno::from_io_error(error);
    use rustix::io::Errno;
    matches!(
        errno,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::INTR | Errno::AGAIN)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout;

    /// A recorder's directory, and its guard.
    fn guarded(path: &Path) -> Guard {
        fs::create_dir(path).unwrap();
        let uuid = Uuid::new_v4();
        identity::write(path, uuid).unwrap();
        Guard::new(path, &Disk::open(path).unwrap(), uuid).unwrap()
    }

    #[test]
    fn the_directory_that_was_opened_is_well() {
        let dir = tempfile::tempdir().unwrap();
        let guard = guarded(&dir.path().join("a"));
        assert_eq!(guard.check(), Ok(()));
        fs::remove_file(dir.path().join("a").join(layout::IDENTITY)).unwrap();
        assert_eq!(guard.check(), Ok(()), "it is the same directory still");
    }

    #[test]
    fn whatever_else_is_at_the_path_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let (a, away) = (dir.path().join("a"), dir.path().join("away"));
        let guard = guarded(&a);
        let said = || match guard.check() {
            Err(Gone::Directory(why)) => why,
            other => panic!("{other:?}"),
        };

        fs::rename(&a, &away).unwrap();
        let deleted = "was deleted or renamed; put it back, or restart";
        assert!(said().contains(deleted), "{}", said());
        fs::create_dir(&a).unwrap();
        assert!(said().contains(deleted), "{}", said());
        let elsewhere = Guard {
            mount: guard.mount.map(|mount| mount + 1),
            ..guard.clone()
        };
        let unmounted = elsewhere.check().unwrap_err().to_string();
        assert!(unmounted.ends_with("is not mounted"), "{unmounted}");
        identity::write(&a, guard.uuid).unwrap();
        assert!(said().ends_with("was mounted anew"), "{}", said());
        identity::write(&a, Uuid::new_v4()).unwrap();
        assert!(said().starts_with("another recorder's"), "{}", said());
        fs::write(a.join(layout::IDENTITY), "uuid = 7").unwrap();
        assert!(said().contains("can't be read"), "{}", said());
        fs::remove_dir_all(&a).unwrap();
        fs::rename(&away, &a).unwrap();
        assert_eq!(guard.check(), Ok(()));
    }

    #[test]
    fn index_that_is_not_the_one_that_was_opened_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let storage = dir.path().join("a");
        fs::create_dir(&storage).unwrap();
        for name in ["index.db", "index.db-wal", "index.db-shm"] {
            let (file, aside) = (storage.join(name), storage.join("aside"));
            fs::write(&file, "").unwrap();
            let guard =
                Guard::new(&storage, &Disk::open(&storage).unwrap(), Uuid::new_v4()).unwrap();
            assert_eq!(guard.check(), Ok(()));
            let said = || match guard.check() {
                Err(Gone::Index(why)) => why,
                other => panic!("{other:?}"),
            };
            fs::rename(&file, &aside).unwrap();
            assert!(
                said().ends_with(&format!("{name} was deleted or renamed")),
                "{}",
                said()
            );
            fs::write(&file, "").unwrap();
            assert!(
                said().contains(&format!("{name} was replaced")),
                "{}",
                said()
            );
            fs::rename(&aside, &file).unwrap();
            assert_eq!(guard.check(), Ok(()));
        }
    }
}
