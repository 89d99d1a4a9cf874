//! Who records here: `recorder.lock`, held while a recorder runs, and `recorder.toml`, a UUID made once. Not for what is recorded.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use uuid::Uuid;

use crate::error::Error;
use crate::{layout, owner, whole_file};

/// Who only looks whether a recorder runs holds the lock for a moment: it is tried again so often, so far apart.
const LOOKS_MAX: u32 = 10;
const LOOK: Duration = Duration::from_millis(20);

/// What `recorder.toml` holds. Unknown keys are left to later versions.
#[derive(Debug, Deserialize)]
struct Identity {
    uuid: String,
}

/// A storage directory that is taken: free again when this is dropped, or the process is gone.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
    /// The file is deleted by people who take it for a left-over. Not all file systems of other machines can lock a directory.
    _directory: Option<File>,
}

/// Takes the directory for this process.
///
/// # Errors
/// [`Error::Locked`] if another recorder has it.
pub(crate) fn lock(storage: &Path) -> Result<Lock, Error> {
    let path = storage.join(layout::LOCK);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(Error::io(&path, "made"))?;
    let locked = || Error::Locked { path: path.clone() };
    let failed = || Error::io(&path, "locked");
    if !take(&file).map_err(failed())? {
        return Err(locked());
    }
    let directory = File::open(storage).map_err(failed())?;
    owner::give(&file, &directory);
    let _directory = match take(&directory) {
        Ok(false) => return Err(locked()),
        taken => taken.ok().map(|_| directory),
    };
    Ok(Lock {
        _file: file,
        _directory,
    })
}

/// Whether the lock could be had.
fn take(file: &File) -> io::Result<bool> {
    for _ in 0..LOOKS_MAX {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => thread::sleep(LOOK),
            Err(TryLockError::Error(source)) => return Err(source),
        }
    }
    Ok(false)
}

/// Whether a recorder runs on the storage directory. Changes nothing.
///
/// # Errors
/// [`Error::Io`] if the lock file can't be read.
pub fn is_recording(storage: &Path) -> Result<bool, Error> {
    let path = storage.join(layout::LOCK);
    if is_locked(&path).map_err(Error::io(path, "looked at"))? {
        return Ok(true);
    }
    Ok(is_locked(storage).unwrap_or(false)) // it is so on file systems that can't lock a directory
}

fn is_locked(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened?,
    };
    // Free again at once, when the file is closed.
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The id of the storage directory, or `None` if nothing was ever recorded there.
///
/// # Errors
/// [`Error::Identity`] if `recorder.toml` is damaged, [`Error::Io`] if it can't be read.
pub fn uuid(storage: &Path) -> Result<Option<String>, Error> {
    Ok(read(storage)?.map(|uuid| uuid.to_string()))
}

/// The UUID in `recorder.toml`, or `None` if there is no such file.
pub(crate) fn read(storage: &Path) -> Result<Option<Uuid>, Error> {
    let path = storage.join(layout::IDENTITY);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(Error::Io {
                path,
                action: "read",
                source,
            });
        }
    };
    let damaged = |detail| Error::Identity {
        path: path.clone(),
        detail,
    };
    let identity: Identity =
        toml::from_str(&text).map_err(|error| damaged(error.message().to_owned()))?;
    Uuid::parse_str(&identity.uuid)
        .map(Some)
        .map_err(|error| damaged(format!("uuid: {error}")))
}

/// Whether directory and index are of the same recorder, as far as they say.
///
/// # Errors
/// [`Error::Identity`] if not.
pub(crate) fn agree(
    storage: &Path,
    in_file: Option<Uuid>,
    in_index: Option<&str>,
) -> Result<(), Error> {
    match (in_file, in_index) {
        (Some(in_file), Some(in_index)) if in_file.to_string() != in_index => {
            Err(Error::Identity {
                path: storage.join(layout::IDENTITY),
                detail: format!("uuid {in_file} is not that of index.db ({in_index})"),
            })
        }
        _ => Ok(()),
    }
}

/// Writes `recorder.toml`. Whole or not at all, and on the disk when this returns.
pub(crate) fn write(storage: &Path, uuid: Uuid) -> Result<(), Error> {
    let text = format!(
        "# Who records in this directory. Made once; goes with the footage wherever the disk goes.\nuuid = \"{uuid}\"\n"
    );
    whole_file::write(storage, layout::IDENTITY, text.as_bytes())
        .map_err(Error::io(storage.join(layout::IDENTITY), "made"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_is_read_as_written() {
        let storage = tempfile::tempdir().unwrap();
        assert_eq!(read(storage.path()).unwrap(), None);
        let uuid = Uuid::new_v4();
        write(storage.path(), uuid).unwrap();
        assert_eq!(read(storage.path()).unwrap(), Some(uuid));
    }

    #[test]
    fn damaged_identity_is_an_error_that_names_the_file() {
        let storage = tempfile::tempdir().unwrap();
        fs::write(storage.path().join(layout::IDENTITY), "uuid = 7").unwrap();
        let error = read(storage.path()).unwrap_err().to_string();
        assert!(error.contains("recorder.toml"), "{error}");
    }

    #[test]
    fn lock_is_held_by_one_and_free_after_it() {
        let storage = tempfile::tempdir().unwrap();
        let held = lock(storage.path()).unwrap();
        assert!(matches!(lock(storage.path()), Err(Error::Locked { .. })));
        // Taken for a left-over.
        fs::remove_file(storage.path().join(layout::LOCK)).unwrap();
        assert!(is_recording(storage.path()).unwrap());
        assert!(matches!(lock(storage.path()), Err(Error::Locked { .. })));
        drop(held);
        lock(storage.path()).unwrap();
    }

    #[test]
    fn who_looks_sees_whether_a_recorder_runs() {
        let storage = tempfile::tempdir().unwrap();
        assert!(!is_recording(storage.path()).unwrap());
        let held = lock(storage.path()).unwrap();
        assert!(is_recording(storage.path()).unwrap());
        drop(held);
        assert!(!is_recording(storage.path()).unwrap());
    }

    #[test]
    fn who_looks_does_not_keep_a_recorder_from_starting() {
        let storage = tempfile::tempdir().unwrap();
        drop(lock(storage.path()).unwrap());
        let looking = File::open(storage.path().join(layout::LOCK)).unwrap();
        looking.lock_shared().unwrap();
        let starting = thread::spawn({
            let storage = storage.path().to_owned();
            move || lock(&storage)
        });
        drop(looking);
        starting.join().unwrap().unwrap();
    }
}
