//! Whether the storage directory is still the one that was opened: disks are pulled out, unmounted and mounted over. Not for what is done
//! about it: the daemon opens the store anew.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::disk::Disk;
use crate::error::Error;
use crate::identity;

/// How often the directory is looked at while no write fails.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// The directory that was opened, and what its path must lead to.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    path: PathBuf,
    /// Device and inode.
    opened: (u64, u64),
    uuid: Uuid,
}

impl Guard {
    /// Guards what `disk` has opened at `path`, where `uuid` records.
    pub fn new(path: &Path, disk: &Disk, uuid: Uuid) -> io::Result<Self> {
        let opened = disk.root().metadata()?;
        Ok(Self {
            path: path.to_owned(),
            opened: (opened.dev(), opened.ino()),
            uuid,
        })
    }

    /// Looks; the error says in words what is at the path instead. Blocking, as long as the disk takes.
    pub fn check(&self) -> Result<(), String> {
        let path = self.path.display();
        let found = match fs::metadata(&self.path) {
            Ok(found) => found,
            Err(error) if is_our_own_trouble(&error) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(format!("the storage directory {path} is gone"));
            }
            Err(error) => {
                return Err(format!(
                    "the storage directory {path} can't be reached: {error}"
                ));
            }
        };
        let is_opened = (found.dev(), found.ino()) == self.opened;
        match identity::read(&self.path) {
            Ok(Some(uuid)) if uuid != self.uuid => Err(format!(
                "another recorder's directory (uuid {uuid}) is mounted at {path}"
            )),
            Ok(Some(_)) if !is_opened => {
                Err(format!("the storage directory {path} was mounted anew"))
            }
            Ok(None) if !is_opened => Err(format!("the storage directory {path} is not mounted")),
            // Someone removed recorder.toml; the directory is the right one, and the next start writes it again.
            Ok(_) => Ok(()),
            Err(Error::Io { source, .. }) if is_our_own_trouble(&source) => Ok(()),
            Err(error) => Err(format!(
                "the storage directory {path} can't be read: {error}"
            )),
        }
    }

    /// Looks every few seconds, and when `doubt` is raised, until the directory is gone; then says so.
    pub async fn watch(self, doubt: Arc<Notify>, gone: watch::Sender<Option<String>>) {
        loop {
            let _ = tokio::time::timeout(CHECK_EVERY, doubt.notified()).await;
            let guard = self.clone();
            // A panic is a bug in framelog, not a missing disk.
            let checked = tokio::task::spawn_blocking(move || guard.check()).await;
            if let Ok(Err(why)) = checked {
                // Nobody listens any more: the store is closing.
                let _ = gone.send(Some(why));
                return;
            }
        }
    }
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
        let said = || guard.check().unwrap_err();

        fs::rename(&a, &away).unwrap();
        assert!(said().ends_with("is gone"), "{}", said());
        fs::create_dir(&a).unwrap();
        assert!(said().ends_with("is not mounted"), "{}", said());
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
}
