//! Whose a new file is: root may type a command, or start the recorder by hand, on a directory of the service's user, who must be able to go
//! on with what is made then. So it belongs to whom the directory belongs, and is for nobody who has no business in there.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{AtFlags, Gid, Mode, Stat, Uid};

use crate::layout;

/// Permissions, with those of set-id and sticky directories.
const MODE: u32 = 0o7777;

/// Gives a new file or directory to whom the directory `above` belongs. Only root can give anything away, and needs to. Where the file system
/// takes no owners or gives root no rights, it stays as it is: footage is worth more than its owner.
pub(crate) fn give(made: &File, above: &File) {
    if rustix::process::geteuid().is_root() {
        let _ = try_give(made, above);
    }
}

fn try_give(made: &File, above: &File) -> io::Result<()> {
    let mut owner = rustix::fs::fstat(above)?;
    if owner.st_uid == 0 {
        // The recorder may have a directory of root's by its group: then the index is its own.
        owner = rustix::fs::statat(above, layout::INDEX, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    let found = rustix::fs::fstat(made)?;
    let is_owned = |found: &Stat| (found.st_uid, found.st_gid) == (owner.st_uid, owner.st_gid);
    if owner.st_uid == 0 || is_owned(&found) {
        return Ok(());
    }
    // What others may not do there they may not do here.
    let kept = found.st_mode & (owner.st_mode | !0o777) & MODE;
    rustix::fs::fchmod(made, Mode::from(kept))?;
    let (uid, gid) = (Uid::from_raw(owner.st_uid), Gid::from_raw(owner.st_gid));
    Ok(rustix::fs::fchown(made, Some(uid), Some(gid))?)
}

/// Makes a file in the storage directory, or empties it.
///
/// # Errors
/// As [`File::create`].
pub(crate) fn create(storage: &Path, path: &Path) -> io::Result<File> {
    let file = File::create(path)?;
    give(&file, &File::open(storage)?);
    Ok(file)
}

/// Makes the index before SQLite does, who would make it for root: its log it makes for the owner of the index.
pub(crate) fn make_index(storage: &Path) {
    let path = storage.join(layout::INDEX);
    if !rustix::process::geteuid().is_root() {
        return;
    }
    // Where there is one, or where this fails, SQLite says so.
    if let (Ok(file), Ok(above)) = (File::create_new(path), File::open(storage)) {
        give(&file, &above);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

    use super::*;

    /// Nobody's.
    const OTHER: u32 = 65_534;

    fn directory(mode: u32) -> tempfile::TempDir {
        let storage = tempfile::tempdir().unwrap();
        fs::set_permissions(storage.path(), fs::Permissions::from_mode(mode)).unwrap();
        storage
    }

    fn made(storage: &Path) -> fs::Metadata {
        let path = storage.join("made");
        create(storage, &path).unwrap();
        fs::metadata(path).unwrap()
    }

    #[test]
    fn what_root_makes_is_the_directorys_owners_and_no_more_open_than_that() {
        let storage = directory(0o750);
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            chown(storage.path(), Some(OTHER), Some(OTHER)).unwrap();
        }
        let (made, directory) = (made(storage.path()), fs::metadata(storage.path()).unwrap());
        assert_eq!((made.uid(), made.gid()), (directory.uid(), directory.gid()));
        if is_root {
            assert_eq!(made.mode() & 0o777 & !0o640, 0);
        }
    }

    #[test]
    fn in_a_directory_of_roots_it_is_that_of_the_indexs_owner() {
        let storage = directory(0o770);
        if !rustix::process::geteuid().is_root() {
            return; // nobody else can give a file away
        }
        assert_eq!(made(storage.path()).uid(), 0, "there is no index");
        let index = storage.path().join(layout::INDEX);
        fs::write(&index, "").unwrap();
        chown(&index, Some(OTHER), Some(OTHER)).unwrap();
        assert_eq!(made(storage.path()).uid(), OTHER);
    }
}
