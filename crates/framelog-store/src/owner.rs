//! Whose a new file is: root may type a command, or start the recorder by hand, on a directory of the service's user, who must be able to go
//! on with what is made then. So it belongs to whom the directory belongs, and is for nobody who has no business in there.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{Gid, Mode, Uid};

/// Gives a new file or directory to the owner of the storage directory. Only root can give anything away, and needs to.
///
/// # Errors
/// If the system refuses.
pub(crate) fn give(made: &File, storage: &File) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let owner = rustix::fs::fstat(storage)?;
    if owner.st_uid == 0 {
        return Ok(());
    }
    let mode = rustix::fs::fstat(made)?.st_mode & owner.st_mode & 0o777;
    rustix::fs::fchmod(made, Mode::from(mode))?;
    let (uid, gid) = (Uid::from_raw(owner.st_uid), Gid::from_raw(owner.st_gid));
    Ok(rustix::fs::fchown(made, Some(uid), Some(gid))?)
}

/// Makes a file in the storage directory, or empties it.
///
/// # Errors
/// As [`File::create`], or if it can't be given away.
pub(crate) fn create(storage: &Path, path: &Path) -> io::Result<File> {
    let file = File::create(path)?;
    give(&file, &File::open(storage)?)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    /// Nobody's.
    const OTHER: u32 = 65_534;

    #[test]
    fn what_root_makes_is_the_directorys_owners_and_no_more_open_than_that() {
        let storage = tempfile::tempdir().unwrap();
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            std::os::unix::fs::chown(storage.path(), Some(OTHER), Some(OTHER)).unwrap();
        }
        fs::set_permissions(storage.path(), fs::Permissions::from_mode(0o750)).unwrap();
        let path = storage.path().join("made");
        create(storage.path(), &path).unwrap();
        let (made, directory) = (fs::metadata(&path), fs::metadata(storage.path()));
        let (made, directory) = (made.unwrap(), directory.unwrap());
        assert_eq!((made.uid(), made.gid()), (directory.uid(), directory.gid()));
        if is_root {
            assert_eq!(made.mode() & 0o777 & !0o640, 0);
        }
    }
}
