//! Whether a storage directory is the one that should be there, by mounts and identity. Makes nothing: whoever records does.

use std::path::Path;

use uuid::Uuid;

use crate::error::Error;
use crate::query::Reader;
use crate::{identity, layout, mounts};

/// Whether a recorder may begin at the path, where `uuid` must record if it is given.
pub(crate) fn may_begin(storage: &Path, uuid: Option<Uuid>) -> Result<(), Error> {
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
    match (in_file, reader.recorder().await?) {
        (Some(in_file), Some(in_index)) if in_file.to_string() != in_index => {
            Err(Error::Identity {
                path: storage.join(layout::IDENTITY),
                detail: format!("uuid {in_file} is not that of index.db ({in_index})"),
            })
        }
        _ => Ok(()),
    }
}
