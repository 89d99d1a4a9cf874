//! The only file-system calls on footage, each one call to the system. Not for what is written or when.

use std::fs::{self, File};
use std::io::{self, IoSlice, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// A directory may be removed, because it is empty, so often before a file is made in it.
const CREATE_TRIES: usize = 8;
/// Most slices that one `writev` takes (`IOV_MAX` on Linux).
const SLICES_MAX: usize = 1024;

/// How large the file system is, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Space {
    /// What this program may still write.
    pub free: u64,
    pub total: u64,
}

/// The file system that the footage lies on. Paths are relative to the storage directory.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    storage: PathBuf,
    #[cfg(test)]
    pub faults: faults::Faults,
}

impl Disk {
    /// The file system below the storage directory.
    pub fn new(storage: &Path) -> Self {
        Self {
            storage: storage.to_owned(),
            #[cfg(test)]
            faults: faults::Faults::default(),
        }
    }

    /// Makes a new file and the directories above it.
    ///
    /// # Errors
    /// `AlreadyExists` if there is a file: nothing is ever overwritten.
    pub fn create(&self, path: &str) -> io::Result<File> {
        let path = self.storage.join(path);
        let is_missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        let mut tries = 0;
        loop {
            tries += 1;
            let created = File::options().write(true).create_new(true).open(&path);
            match (created, path.parent()) {
                (Err(error), Some(parent)) if is_missing(&error) && tries < CREATE_TRIES => {
                    match fs::create_dir_all(parent) {
                        Err(error) if !is_missing(&error) => return Err(error),
                        _ => {}
                    }
                }
                (created, _) => return created,
            }
        }
    }

    /// Writes some of the slices at the file's end; the number of bytes written, which may be fewer than there are.
    pub fn write(&self, mut file: &File, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let slices = &slices[..slices.len().min(SLICES_MAX)];
        #[cfg(test)]
        if let Some(room) = self
            .faults
            .room(slices.iter().map(|slice| slice.len()).sum())?
        {
            let some: Vec<u8> = slices
                .iter()
                .flat_map(|slice| slice.iter().copied())
                .take(room)
                .collect();
            return file.write(&some);
        }
        file.write_vectored(slices)
    }

    /// Cuts the file to `length` bytes; what is written next follows them.
    pub fn cut(&self, mut file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)?;
        file.seek(SeekFrom::Start(length)).map(|_| ())
    }

    /// Removes a file.
    pub fn remove(&self, path: &str) -> io::Result<()> {
        let path = self.storage.join(path);
        #[cfg(test)]
        self.faults.removing(&path)?;
        fs::remove_file(path)
    }

    /// Removes a directory if it is empty.
    pub fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(self.storage.join(path))
    }

    /// How much room there is.
    pub fn space(&self) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(&self.storage)?;
        Ok(Space {
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }

    /// Sets the file's modification time, in nanoseconds since the Unix epoch.
    pub fn set_modified(&self, file: &File, ns: i64) -> io::Result<()> {
        let distance = Duration::from_nanos(ns.unsigned_abs());
        let time = if ns < 0 {
            UNIX_EPOCH.checked_sub(distance)
        } else {
            UNIX_EPOCH.checked_add(distance)
        };
        file.set_modified(time.unwrap_or(UNIX_EPOCH))
    }

    /// Makes a file's bytes durable.
    pub fn sync_file(&self, file: &File) -> io::Result<()> {
        #[cfg(test)]
        self.faults.sync()?;
        file.sync_data()
    }

    /// Makes the entries of a directory durable. One that is gone has none.
    pub fn sync_dir(&self, path: &Path) -> io::Result<()> {
        match File::open(self.storage.join(path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            opened => opened?.sync_all(),
        }
    }

    /// Makes the whole file system durable, entries included.
    pub fn sync_all(&self) -> io::Result<()> {
        #[cfg(test)]
        self.faults.sync()?;
        rustix::fs::syncfs(File::open(&self.storage)?).map_err(io::Error::from)
    }

    /// Reads `length` bytes from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file ends before, without allocating more than it holds.
    pub fn read(&self, path: &Path, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        let file = File::open(self.storage.join(path))?;
        let end = offset
            .checked_add(length)
            .ok_or(io::ErrorKind::InvalidInput)?;
        if file.metadata()?.len() < end {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; usize::try_from(length).map_err(|_| io::ErrorKind::OutOfMemory)?];
        file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }
}

/// Failures on purpose.
#[cfg(test)]
pub(crate) mod faults {
    use std::io;
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

    use rustix::io::Errno;

    /// What shall fail; shared by all clones of a [`super::Disk`].
    #[derive(Clone, Debug)]
    pub(crate) struct Faults {
        /// Bytes that can be written before the disk is full.
        pub room: Arc<AtomicUsize>,
        /// Whether syncs fail.
        pub sync_fails: Arc<AtomicBool>,
        /// Whether files can't be removed.
        pub remove_fails: Arc<AtomicBool>,
    }

    impl Default for Faults {
        fn default() -> Self {
            Self {
                room: Arc::new(AtomicUsize::new(usize::MAX)),
                sync_fails: Arc::default(),
                remove_fails: Arc::default(),
            }
        }
    }

    impl Faults {
        /// Takes `wanted` bytes of the room; `Some(less)` if there is less, an error if there is none.
        pub fn room(&self, wanted: usize) -> io::Result<Option<usize>> {
            match self.room.load(SeqCst) {
                usize::MAX => Ok(None),
                0 => Err(Errno::NOSPC.into()),
                room if room < wanted => {
                    self.room.store(0, SeqCst);
                    Ok(Some(room))
                }
                room => {
                    self.room.store(room - wanted, SeqCst);
                    Ok(None)
                }
            }
        }

        /// Fails if files shall not be removed; else a full disk has room again for what was in it.
        pub fn removing(&self, path: &Path) -> io::Result<()> {
            if self.remove_fails.load(SeqCst) {
                return Err(Errno::ACCESS.into());
            }
            let bytes = path.metadata().map_or(0, |metadata| metadata.len());
            if self.room.load(SeqCst) != usize::MAX {
                self.room.fetch_add(bytes as usize, SeqCst);
            }
            Ok(())
        }

        /// Fails if syncs shall fail.
        pub fn sync(&self) -> io::Result<()> {
            if self.sync_fails.load(SeqCst) {
                Err(Errno::IO.into())
            } else {
                Ok(())
            }
        }
    }
}
