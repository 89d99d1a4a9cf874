//! Whether a storage directory is the one that should be there, by mounts and identity. Makes nothing: whoever records does.

use std::path::Path;

use uuid::Uuid;

use crate::error::Error;
use crate::query::Reader;
use crate::{identity, mounts};

/// Whether a recorder may begin at the path, where `uuid` must record if it is given.
///
/// # Errors
/// [`Error::Absent`] or [`Error::Foreign`] if the right disk isn't mounted, [`Error::Identity`] or [`Error::Io`] if that can't be told.
pub fn may_begin(storage: &Path, uuid: Option<Uuid>) -> Result<(), Error> {
    let absent = |detail| {
        Err(Error::Absent {
            path: storage.to_owned(),
            detail,
        })
    };
    if let Some(point) = mounts::missing_mount(storage) {
        return absent(format!(
            "nothing is mounted at {}, which /etc/fstab lists",
            point.display()
        ));
    }
    let Some(uuid) = uuid else {
        return Ok(());
    };
    match identity::read(storage)? {
        Some(found) if found == uuid => Ok(()),
        Some(found) => Err(Error::Foreign {
            path: storage.to_owned(),
            found,
            expected: uuid,
        }),
        None => absent(format!("recorder {uuid} does not record here")),
    }
}

/// Looks what a start of the recorder would find at the path, where `uuid` must record if it is given. That nothing is there is well, if it
/// need not be.
///
/// # Errors
/// [`Error::Absent`] or [`Error::Foreign`] if the right disk isn't mounted, [`Error::Identity`] if identity and index belong to two recorders,
/// or that one of them can't be read.
pub async fn look(storage: &Path, uuid: Option<Uuid>) -> Result<(), Error> {
    may_begin(storage, uuid)?;
    let in_file = identity::read(storage)?;
    let reader = match Reader::open(storage).await {
        Ok(reader) => reader,
        // Both are made at the start.
        Err(Error::NoIndex { .. } | Error::OlderIndex { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    identity::agree(storage, in_file, reader.recorder().await?.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_recorders_directory_is_refused_where_it_is_said_which_it_must_be() {
        let storage = tempfile::tempdir().unwrap();
        let (ours, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert!(may_begin(storage.path(), None).is_ok());
        let found = may_begin(storage.path(), Some(ours));
        assert!(matches!(found, Err(Error::Absent { .. })), "{found:?}");
        identity::write(storage.path(), other).unwrap();
        let found = may_begin(storage.path(), Some(ours));
        assert!(matches!(found, Err(Error::Foreign { .. })), "{found:?}");
        assert!(may_begin(storage.path(), Some(other)).is_ok());
    }
}
