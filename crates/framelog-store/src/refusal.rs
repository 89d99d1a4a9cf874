//! What SQLite and the file system refuse, told by their codes. Not for what is done about it.

use std::io;

/// Whether SQLite says that its file is damaged, or none of its files.
pub(crate) fn is_damage(error: &sqlx::Error) -> bool {
    // SQLITE_CORRUPT and SQLITE_NOTADB, whatever in particular.
    matches!(code(error).map(primary), Some(11 | 26))
}

/// Whether SQLite found no room for its files.
pub(crate) fn is_index_full(error: &sqlx::Error) -> bool {
    // SQLITE_FULL, and SQLITE_IOERR_SHMSIZE for the log's shared memory.
    matches!(code(error), Some(13 | 4874))
}

/// Whether SQLite may not use the file: it is another user's.
pub(crate) fn is_denied(error: &sqlx::Error) -> bool {
    // SQLITE_READONLY and SQLITE_CANTOPEN, whatever in particular.
    matches!(code(error).map(primary), Some(8 | 14))
}

/// Whether the system says that there is no room, on the disk or in the quota.
pub fn is_full(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Extended: <https://sqlite.org/rescode.html>.
fn code(error: &sqlx::Error) -> Option<u32> {
    error.as_database_error()?.code()?.parse().ok()
}

/// An extended code has the one that it extends in its low byte.
fn primary(code: u32) -> u32 {
    code & 0xFF
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn only_a_lack_of_room_is_a_full_disk() {
        let is_full = |errno: Errno| super::is_full(io::Error::from(errno).kind());
        assert!(is_full(Errno::NOSPC) && is_full(Errno::DQUOT));
        assert!(!is_full(Errno::IO) && !is_full(Errno::ROFS));
    }
}
