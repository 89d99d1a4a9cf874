//! Room on a disk so full that not even the index can be opened: the oldest files go, and their rows once it is open. Not for a recorder
//! that runs.

use std::collections::BTreeSet;
use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteLockingMode};
use sqlx::{ConnectOptions as _, Connection as _};

use super::SEGMENTS_MAX;
use super::demands::{margin, of_any};
use super::doomed::delete;
use super::removal::{LOOKED_THROUGH, Victim, first_to_go};
use crate::disk::Disk;
use crate::error::Error;
use crate::rules::Rule;
use crate::{layout, protection, schema};

/// Deletes the files of the oldest segments that may go, as many as make room to begin in; those segments. A crash before their rows
/// are gone leaves segments whose files are missing.
///
/// # Errors
/// [`Error::Index`] if the index can't be read, [`Error::Protected`] if what is protected isn't known.
pub(crate) async fn make_room(storage: &Path, disk: &Disk) -> Result<Vec<Victim>, Error> {
    protection::check(storage)?;
    let path = storage.join(layout::INDEX);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let failed = || Error::index(&path, "read");
    // Alone on it, SQLite keeps in memory what it otherwise shares by a file, which would take room.
    let mut connection = SqliteConnectOptions::new()
        .filename(&path)
        .locking_mode(SqliteLockingMode::Exclusive)
        .pragma("wal_autocheckpoint", "0")
        .disable_statement_logging()
        .connect()
        .await
        .map_err(failed())?;
    let version = schema::version(&mut connection).await.map_err(failed())?;
    if version == 0 {
        return Ok(Vec::new()); // it was never begun
    }
    let total = disk.space().map_or(0, |space| space.total);
    let demand = of_any(Rule::DiskFull, margin(total));
    let candidates = first_to_go(&mut connection, &demand, LOOKED_THROUGH).await;
    // Closed before anything is deleted: it would tidy up, and might find no room for that.
    let _ = connection.close().await;
    let (mut freed, mut files) = (0, 0);
    let gone: Vec<Victim> = candidates
        .map_err(failed())?
        .into_iter()
        .take_while(|segment| {
            let is_needed = freed < demand.bytes && files < SEGMENTS_MAX;
            // An earlier start may have deleted it, and others have taken its room.
            if disk.open_forgotten(Path::new(&segment.path)).is_ok() {
                freed += segment.bytes.cast_unsigned();
                files += 1;
            }
            is_needed
        })
        .collect();
    let paths: BTreeSet<String> = gone.iter().map(|segment| segment.path.clone()).collect();
    // The directories stay: whether a camera is configured isn't known yet.
    let deleted = disk
        .blocking(move |disk| delete(disk, paths, &BTreeSet::new()))
        .await
        .map_err(Error::io(layout::FOOTAGE, "cleared"))?;
    let kept: BTreeSet<String> = deleted.failed.into_iter().map(|(path, _)| path).collect();
    Ok(gone
        .into_iter()
        .filter(|segment| !kept.contains(&segment.path))
        .collect())
}
