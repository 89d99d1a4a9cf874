//! Why the store or a reader could not do what was asked. Not for dropped frames: those are counted, not errors.

use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::refusal;

/// Why the storage directory could not be opened, read or closed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A camera's name could not be part of a path.
    #[error(
        "camera name {name:?} is not allowed; use 1 to 64 of a-z, 0-9, _ and -, beginning with a letter or digit"
    )]
    CameraName {
        /// The name as it was given.
        name: String,
    },
    /// Another recorder holds the directory.
    #[error(
        "{path}: another recorder is running on this directory; stop it or choose another storage.path"
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The identity file is damaged, or belongs to another directory's index.
    #[error("{path}: {detail}; check that the right disk is mounted at storage.path")]
    Identity {
        /// The identity file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The storage directory is not there: its disk is not mounted.
    #[error("{path}: {detail}; mount the disk that belongs at storage.path")]
    Absent {
        /// The storage directory.
        path: PathBuf,
        /// What is there instead.
        detail: String,
    },
    /// Another recorder's directory is at the path.
    #[error(
        "{path}: recorder {found} records here, not {expected}; mount the disk that belongs at storage.path"
    )]
    Foreign {
        /// The storage directory.
        path: PathBuf,
        /// Who records there.
        found: Uuid,
        /// Who should.
        expected: Uuid,
    },
    /// Footage would lie on another file system than the storage directory: its room would not be known, nor would it be synced.
    #[error(
        "{path}: is on another file system than storage.path; set storage.path to a directory on that disk"
    )]
    Elsewhere {
        /// The directory.
        path: PathBuf,
    },
    /// The disk hangs, and what was waiting for it is given up.
    #[error(
        "{path}: the disk has not answered for {waited_s} s; given up with {bytes} bytes of frames and {rows} rows not written; check the disk (dmesg)"
    )]
    Hanging {
        /// The storage directory.
        path: PathBuf,
        /// For how long.
        waited_s: u64,
        /// Of frames that are in no file.
        bytes: usize,
        /// Of frames that are in a file.
        rows: usize,
    },
    /// There is nothing to read.
    #[error(
        "{path}: there is no index; check storage.path, or start the recorder, which makes one, of footage too if there is some"
    )]
    NoIndex {
        /// Where it should be.
        path: PathBuf,
    },
    /// The index was made by a newer version of framelog.
    #[error(
        "{path}: the index has schema version {found}, newer than this program knows ({known}); use the newer framelog"
    )]
    NewerIndex {
        /// The index.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// Index and file don't agree about a frame, or a bit of it has flipped.
    #[error(
        "{path}: the frame at byte {offset} is not what was recorded; `framelog verify` tells what is damaged"
    )]
    Damaged {
        /// The segment's file, relative to the storage directory.
        path: PathBuf,
        /// Where the payload should begin.
        offset: u64,
    },
    /// The index was made by an older version, and only the recorder brings it up to date.
    #[error(
        "{path}: the index has schema version {found}, older than this program's ({known}); start the recorder of this version once"
    )]
    OlderIndex {
        /// The index.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The version that this program writes.
        known: i64,
    },
    /// A list of protected footage is damaged.
    #[error("{path}: {detail}; correct or remove it")]
    Protected {
        /// The list.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// There is no room for a change of the index, nor was any made for it.
    #[error(
        "{path}: the disk is full, and not even the index can be written; remove something else from the disk and try again"
    )]
    NoRoom {
        /// What could not be written.
        path: PathBuf,
    },
    /// SQLite refused.
    #[error(
        "{path}: the index could not be {action}: {source}{}",
        remedy_of_index(action, source)
    )]
    Index {
        /// The index.
        path: PathBuf,
        /// What was being done: `opened`, `read`, `written`.
        action: &'static str,
        /// SQLite's reason.
        source: sqlx::Error,
    },
    /// Footage turned up that was not there when the index began to be made anew: the next start finds it.
    #[error(
        "there is more footage than was counted at the start; restart the recorder for the rest"
    )]
    MoreFootage,
    /// The index was found damaged by one who only reads it, or protects footage.
    #[error(
        "{path}: the index is damaged; `framelog reindex` makes a new one from the footage, with --at-start while the recorder runs"
    )]
    MalformedIndex {
        /// The index.
        path: PathBuf,
    },
    /// The index was found damaged while it was written.
    #[error(
        "{path}: the index is damaged; the next start sets it aside and makes a new one from the footage"
    )]
    DamagedIndex {
        /// The index.
        path: PathBuf,
    },
    /// The index task has ended before its time: its cause is in the log.
    #[error("the index has stopped; see the log for the cause, and restart the recorder")]
    IndexStopped,
    /// A file or directory could not be used.
    #[error("{path}: could not be {action}: {source}{}", remedy(action, source.kind()))]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was being done: `made`, `read`, `locked`.
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
}

/// What to do about it, where that is known, behind a semicolon.
fn remedy(action: &str, kind: io::ErrorKind) -> &'static str {
    match kind {
        // Only by who asks whether a recorder runs.
        io::ErrorKind::PermissionDenied if action == "looked at" => {
            "; use sudo, or join the group that may read it"
        }
        io::ErrorKind::PermissionDenied => {
            "; it must be the recorder's user's (sudo chown), and a command may need sudo"
        }
        // Of a directory that is to be made, or of what is in it.
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            "; what is there is no directory: correct storage.path, or move it away"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "; mount it read-write or, under systemd, name it in ReadWritePaths= (docs/install.md)"
        }
        _ => "",
    }
}

fn remedy_of_index(action: &str, error: &sqlx::Error) -> &'static str {
    match refusal::is_denied(error) {
        true => remedy(action, io::ErrorKind::PermissionDenied),
        false => "",
    }
}

impl Error {
    /// Whether the index is no sound database any more.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, Error::Index { source, .. } if refusal::is_damage(source))
    }

    /// The file or directory that this user may not use.
    pub fn denied(&self) -> Option<&Path> {
        match self {
            Error::Index { path, source, .. } if refusal::is_denied(source) => Some(path),
            Error::Io { path, source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some(path)
            }
            _ => None,
        }
    }

    /// Whether there was no room on the disk.
    pub fn is_full(&self) -> bool {
        match self {
            Error::Index { source, .. } => refusal::is_index_full(source),
            Error::Io { source, .. } => refusal::is_full(source.kind()),
            Error::NoRoom { .. } => true,
            _ => false,
        }
    }

    /// Whether the disk is read-only.
    pub fn is_read_only(&self) -> bool {
        matches!(self, Error::Io { source, .. } if source.kind() == io::ErrorKind::ReadOnlyFilesystem)
    }

    /// For `map_err`: an I/O error with its file and what was being done to it.
    pub(crate) fn io(
        path: impl Into<PathBuf>,
        action: &'static str,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Error::Io {
            path,
            action,
            source,
        }
    }

    /// As [`index`](Self::index), for those who don't make a new index of a damaged one themselves.
    pub(crate) fn index_for_reading(
        path: impl Into<PathBuf>,
        action: &'static str,
    ) -> impl FnOnce(sqlx::Error) -> Self {
        let path = path.into();
        move |source| match refusal::is_damage(&source) {
            true => Error::MalformedIndex { path },
            false => Error::index(path, action)(source),
        }
    }

    /// For `map_err`: an error of SQLite's with the index and what was being done to it.
    pub(crate) fn index(
        path: impl Into<PathBuf>,
        action: &'static str,
    ) -> impl FnOnce(sqlx::Error) -> Self {
        let path = path.into();
        move |source| Error::Index {
            path,
            action,
            source,
        }
    }
}
