//! Who records here: `recorder.lock`, held while a recorder runs, and `recorder.toml`, a UUID made once. Not for what is recorded.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::Path;

use serde::Deserialize;
use uuid::Uuid;

use crate::error::Error;
use crate::layout;

/// What `recorder.toml` holds. Unknown keys are left to later versions.
#[derive(Debug, Deserialize)]
struct Identity {
    uuid: String,
}

/// Takes the directory for this process; free again when the file is dropped, or the process is gone.
///
/// # Errors
/// [`Error::Locked`] if another recorder has it.
pub(crate) fn lock(storage: &Path) -> Result<File, Error> {
    let path = storage.join(layout::LOCK);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(Error::io(&path, "made"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Locked { path }),
        Err(TryLockError::Error(source)) => Err(Error::Io {
            path,
            action: "locked",
            source,
        }),
    }
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

/// Writes `recorder.toml`. Whole or not at all, and on the disk when this returns.
pub(crate) fn write(storage: &Path, uuid: Uuid) -> Result<(), Error> {
    let path = storage.join(layout::IDENTITY);
    let fresh = path.with_extension("toml.new");
    let text = format!(
        "# Who records in this directory. Made once; goes with the footage wherever the disk goes.\nuuid = \"{uuid}\"\n"
    );
    let put = || {
        let mut file = File::create(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &path)?;
        File::open(storage)?.sync_all()
    };
    put().map_err(Error::io(&path, "made"))
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
        drop(held);
        lock(storage.path()).unwrap();
    }
}
