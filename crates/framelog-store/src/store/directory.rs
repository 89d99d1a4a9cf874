//! The storage directory as a place: that it is there, durably, and fit to be recorded in. Not for what lies in it.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use uuid::Uuid;

use crate::disk::Disk;
use crate::error::Error;
use crate::{admission, owner};

/// Sees to it that the storage directory is there, without making one where a disk should be mounted.
pub(super) fn admit(storage: &Path, uuid: Option<Uuid>) -> Result<(), Error> {
    admission::may_begin(storage, uuid)?;
    match uuid {
        Some(_) => Ok(()), // it is there
        None => make_dir(storage).map_err(Error::io(storage, "made")),
    }
}

/// SQLite needs locks and a shared memory that other machines' file systems have only in name.
pub(super) fn warn_of_remote(storage: &Path, disk: &Disk) {
    if let Some(kind) = disk.remote() {
        tracing::warn!(
            path = %storage.display(),
            kind,
            "storage is on a network or user-space file system: the index may be damaged and recording may stall; put storage.path on a local disk"
        );
    }
}

/// Makes a directory and those above it: durable, where they were not there.
pub(super) fn make_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = parent_or_here(path.parent().unwrap_or(path));
    if above != path {
        make_dir(above)?;
    }
    match fs::create_dir(path) {
        // Who may not read the one above has made it all the same.
        Ok(()) => {
            if let (Ok(made), Ok(above)) = (File::open(path), File::open(above)) {
                owner::give(&made, &above);
            }
        }
        Err(_) if path.is_dir() => {} // somebody else was quicker
        Err(error) => return Err(error),
    }
    sync_entry(path)
}

/// Makes it durable that the directory is there. Without the right to read the one above, that is left to the system.
pub(super) fn sync_entry(path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent().map(parent_or_here) else {
        return Ok(());
    };
    match File::open(parent) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        opened => opened?.sync_all(),
    }
}

fn parent_or_here(parent: &Path) -> &Path {
    match parent.as_os_str().is_empty() {
        true => Path::new("."),
        false => parent,
    }
}
