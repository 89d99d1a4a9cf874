//! The only file-system calls on footage, each one call to the system. Not for what is written or when.

use std::fs::{self, File};
use std::io::{self, IoSlice, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// Most slices that one `writev` takes (`IOV_MAX` on Linux).
const SLICES_MAX: usize = 1024;

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

    /// Runs what waits for the disk on a thread where it may wait.
    ///
    /// # Errors
    /// If it panicked.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> io::Result<T> {
        let disk = self.clone();
        tokio::task::spawn_blocking(move || work(&disk))
            .await
            .map_err(io::Error::other)
    }

    /// Makes a new file and the directories above it.
    ///
    /// # Errors
    /// `AlreadyExists` if there is a file: nothing is ever overwritten.
    pub fn create(&self, path: &str) -> io::Result<File> {
        let path = self.storage.join(path);
        let create = || File::options().write(true).create_new(true).open(&path);
        match (create(), path.parent()) {
            (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(parent)?;
                create()
            }
            (created, _) => created,
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

    /// Opens a file for reading.
    pub fn open(&self, path: &str) -> io::Result<File> {
        File::open(self.storage.join(path))
    }

    /// Opens a file for [`Disk::cut`].
    pub fn open_to_cut(&self, path: &str) -> io::Result<File> {
        File::options().write(true).open(self.storage.join(path))
    }

    /// Names in a directory, as far as they are UTF-8, as ours are; none if there is no such directory.
    pub fn list(&self, path: &str) -> io::Result<Vec<String>> {
        match fs::read_dir(self.storage.join(path)) {
            Ok(entries) => entries
                .filter_map(|entry| {
                    entry
                        .map(|entry| entry.file_name().into_string().ok())
                        .transpose()
                })
                .collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// When an entry was last made or removed in a directory: microseconds since the Unix epoch.
    pub fn changed_us(&self, path: &str) -> io::Result<i64> {
        let metadata = fs::metadata(self.storage.join(path))?;
        Ok(metadata
            .mtime()
            .saturating_mul(1_000_000)
            .saturating_add(metadata.mtime_nsec() / 1000))
    }

    /// Cuts the file to `length` bytes.
    pub fn cut(&self, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }

    /// Removes a file.
    pub fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.storage.join(path))
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

    /// Makes the entries of a directory durable.
    pub fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(self.storage.join(path))?.sync_all()
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
    }

    impl Default for Faults {
        fn default() -> Self {
            Self {
                room: Arc::new(AtomicUsize::new(usize::MAX)),
                sync_fails: Arc::default(),
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
