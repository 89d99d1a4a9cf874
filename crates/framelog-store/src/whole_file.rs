//! A small file of the storage directory that is there whole or not at all, whatever fails. Not for footage.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::owner;

/// Two at once would take the fresh file from each other: damage to the index is found by who writes it and by who reads it through.
static WRITING: Mutex<()> = Mutex::new(());

/// Makes the file `name` or replaces it: on the disk when this returns. What fails on the way leaves the one that was there, and perhaps
/// `<name>.new` beside it.
pub(crate) fn write(storage: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let _alone = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let fresh = storage.join(format!("{name}.new"));
    let mut file = owner::create(storage, &fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, storage.join(name))?;
    File::open(storage)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_who_write_it_at_once_all_succeed() {
        let storage = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        write(storage.path(), "reindex", b"asked\n").unwrap();
                    }
                });
            }
        });
        assert_eq!(
            fs::read(storage.path().join("reindex")).unwrap(),
            b"asked\n"
        );
    }
}
