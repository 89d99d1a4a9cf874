//! What a start of the recorder would find at `storage.path`. Notes: whether it starts is its own to say, and it may run as another user.

use std::io::{self, ErrorKind};
use std::path::Path;

use framelog_store::{effective_min_free, look_at_storage};
use rustix::fs::{Access, access, statvfs};
use rustix::io::Errno;

use crate::cli::words;
use crate::config::Storage;

/// What there is to say, a line each; what is wrong begins with `warning: `.
///
/// # Errors
/// The one thing that keeps whichever user from recording there: the disk is read-only.
pub async fn notes(storage: &Storage) -> Result<Vec<String>, String> {
    let path = &storage.path;
    let mut notes = Vec::new();
    if let Err(error) = look_at_storage(path, storage.uuid).await {
        notes.push(format!("warning: {error}"));
    }
    let there = match nearest(path) {
        Ok(there) => there,
        Err(error) => {
            notes.push(format!("warning: storage.path {}: {error}", path.display()));
            return Ok(notes);
        }
    };
    // With a uuid the recorder waits for the disk, and makes nothing; that has been said.
    if storage.uuid.is_none() || path == there {
        notes.extend(place(path, there)?);
    }
    notes.push(room(storage, there));
    Ok(notes)
}

/// The directory itself or, while that isn't there, the one that is next above it.
pub fn nearest(path: &Path) -> io::Result<&Path> {
    for above in path.ancestors() {
        let above = match above.as_os_str().is_empty() {
            true => Path::new("."),
            false => above,
        };
        match above.metadata() {
            Ok(found) if found.is_dir() => return Ok(above),
            Ok(_) => {
                return Err(io::Error::other(format!(
                    "{} is not a directory",
                    above.display()
                )));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::NotFound.into())
}

/// Whether it can be made or written by who asks; an error if by nobody.
fn place(path: &Path, there: &Path) -> Result<Option<String>, String> {
    let (shown, above) = (path.display(), there.display());
    let is_there = path == there;
    let Err(error) = access(there, Access::WRITE_OK | Access::EXEC_OK) else {
        return Ok((!is_there).then(|| {
            format!("storage.path {shown} is not there yet; the recorder makes it at its start")
        }));
    };
    if error == Errno::ROFS {
        return Err(format!(
            "storage.path {shown}: the disk is read-only, and the recorder won't start; mount it read-write"
        ));
    }
    let error = io::Error::from(error);
    Ok(Some(match is_there {
        true => format!(
            "warning: storage.path {shown}: this user can't write there: {error}; the recorder's user must be able to"
        ),
        false => format!(
            "warning: storage.path {shown} is not there, and this user can't make it in {above}: {error}; the recorder's user must be able to, or make it for that user"
        ),
    }))
}

/// How much room there is, against `min_free`.
fn room(storage: &Storage, there: &Path) -> String {
    let path = storage.path.display();
    let space = match statvfs(there) {
        Ok(space) => space,
        Err(error) => {
            let error = io::Error::from(error);
            return format!("warning: storage.path {path}: its disk can't be measured: {error}");
        }
    };
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    let total = space.f_blocks.saturating_mul(space.f_frsize);
    told(&path.to_string(), free, total, storage.min_free)
}

fn told(path: &str, free: u64, total: u64, min_free: u64) -> String {
    let min_free = effective_min_free(min_free, total);
    let (has, wants) = (
        format!("{} free of {}", words::bytes(free), words::bytes(total)),
        words::bytes(min_free),
    );
    match free < min_free {
        true => format!(
            "warning: storage.path {path}: {has}, less than min_free ({wants}): the oldest footage goes to make room"
        ),
        false => format!("storage.path {path}: {has} (min_free {wants})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_directory_that_can_be_made_is_no_warning_and_one_that_is_there_only_has_room() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| Storage {
            path: dir.path().join(name),
            min_free: 0,
            ..Storage::default()
        };
        let there = notes(&at("")).await.unwrap();
        assert!(
            there.len() == 1 && there[0].contains(" free of "),
            "{there:?}"
        );
        let coming = notes(&at("a/b")).await.unwrap();
        assert!(
            coming.len() == 2
                && coming[0].contains("is not there yet; the recorder makes it")
                && coming.iter().all(|note| !note.starts_with("warning")),
            "{coming:?}"
        );
        assert!(!dir.path().join("a").exists(), "nothing is made");
        let pinned = Storage {
            uuid: Some(framelog_store::Uuid::nil()),
            ..at("a/b")
        };
        let awaited = notes(&pinned).await.unwrap();
        assert!(
            awaited.iter().all(|note| !note.contains("makes it")),
            "{awaited:?}"
        );
    }

    #[tokio::test]
    async fn what_is_no_directory_or_not_the_pinned_one_is_a_warning() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let in_file = Storage {
            path: file.join("footage"),
            ..Storage::default()
        };
        let said = notes(&in_file).await.unwrap().join("\n");
        assert!(said.starts_with("warning: "), "{said}");
        let pinned = Storage {
            path: dir.path().to_owned(),
            uuid: Some(framelog_store::Uuid::from_u128(7)),
            ..Storage::default()
        };
        let said = notes(&pinned).await.unwrap().join("\n");
        assert!(
            said.starts_with("warning: ") && said.contains("does not record here"),
            "{said}"
        );
    }

    #[test]
    fn less_room_than_stays_free_is_a_warning() {
        let gb = 1_000_000_000;
        assert_eq!(
            told("/p", 8 * gb, 100 * gb, 5 * gb),
            "storage.path /p: 8.0 GB free of 100 GB (min_free 5.0 GB)"
        );
        assert_eq!(
            told("/p", 3 * gb, 100 * gb, 5 * gb),
            "warning: storage.path /p: 3.0 GB free of 100 GB, less than min_free (5.0 GB): the oldest footage goes to make room"
        );
        let small = told("/p", 3 * gb, 20 * gb, 5 * gb);
        assert!(!small.starts_with("warning"), "a tenth is free: {small}");
    }
}
