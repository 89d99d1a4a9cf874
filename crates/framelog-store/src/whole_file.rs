//! A small file of the storage directory that is there whole or not at all, whatever fails. Not for footage.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use crate::owner;

/// Makes the file `name` or replaces it: on the disk when this returns. What fails on the way leaves the one that was there, and perhaps
/// `<name>.new` beside it.
pub(crate) fn write(storage: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let fresh = storage.join(format!("{name}.new"));
    let mut file = owner::create(storage, &fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, storage.join(name))?;
    File::open(storage)?.sync_all()
}
