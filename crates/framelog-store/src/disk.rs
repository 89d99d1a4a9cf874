//! The only file-system calls on footage, each one call to the system, repeated where a signal broke in. All begin at the directory
//! that was opened, wherever its path may lead later. Not for what is written or when.

use std::fs::File;
use std::io::{self, IoSlice, Seek as _, SeekFrom, Write as _};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{Advice, AtFlags, FallocateFlags, Mode, OFlags, StatxFlags, XattrFlags};
use rustix::io::Errno;

#[cfg(test)]
pub(crate) mod faults;
mod made;

use made::Made;

use crate::{mounts, owner};

/// A directory may be removed, because it is empty, so often before a file is made in it.
const CREATE_TRIES: usize = 8;
/// What a file of any length may take beyond its bytes.
const MARGIN: u64 = 1 << 20;
/// Most slices that one `writev` takes (`IOV_MAX` on Linux).
const SLICES_MAX: usize = 1024;

/// How large the file system is, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Space {
    /// What this program may still write.
    pub free: u64,
    pub total: u64,
}

/// The file system that the footage lies on. Paths are relative to the storage directory, which is held open: after an unmount nothing
/// is written to the bare mount point, nor into a directory that has taken its place.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    root: Arc<File>,
    remote: Option<&'static str>,
    /// What was made through any clone.
    pub made: Arc<Made>,
    #[cfg(test)]
    pub faults: faults::Faults,
}

impl Disk {
    /// The file system below the storage directory, as it is now.
    pub fn open(storage: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = retried(|| Ok(rustix::fs::open(storage, flags, Mode::empty())?))?;
        let remote = rustix::fs::fstatfs(&root)
            .ok()
            // The numbers have 32 bits on every machine.
            .and_then(|found| mounts::remote_name(found.f_type as u32));
        Ok(Self {
            root: Arc::new(root.into()),
            remote,
            made: Arc::default(),
            #[cfg(test)]
            faults: faults::Faults::default(),
        })
    }

    /// The directory that was opened.
    pub fn root(&self) -> &File {
        &self.root
    }

    /// What the file system is called, if it is on a network or in user space.
    pub fn remote(&self) -> Option<&'static str> {
        self.remote
    }

    /// Whether [`Disk::sync_all`] reaches the disk itself. A file system in user space is handed what there is, and asked for no more:
    /// the kernel sends FUSE_SYNCFS to virtio-fs only.
    pub fn syncs_at_once(&self) -> bool {
        self.remote.is_none()
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
        let is_missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        let above: Vec<&Path> = Path::new(path).ancestors().skip(1).collect();
        let mut tries = 0;
        loop {
            tries += 1;
            match self.made.make(path, || self.create_file(path)) {
                Err(error) if is_missing(&error) && tries < CREATE_TRIES => {
                    // The last of them is the storage directory itself: if that is gone, so be it.
                    for dir in above.iter().rev().skip(1) {
                        match self.create_dir(dir) {
                            Err(error) if !is_missing(&error) => return Err(error),
                            _ => {}
                        }
                    }
                }
                created => return created,
            }
        }
    }

    fn create_file(&self, path: &str) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        retried(|| {
            #[cfg(test)]
            self.faults.call()?;
            let file = rustix::fs::openat(&self.root, path, flags, Mode::from(0o666))?.into();
            owner::give(&file, &self.root);
            Ok(file)
        })
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        retried(|| {
            #[cfg(test)]
            self.faults.call()?;
            match rustix::fs::mkdirat(&self.root, path, Mode::from(0o777)) {
                Err(Errno::EXIST) => return Ok(()),
                made => made?,
            }
            if let Ok(dir) = self.open_below(path) {
                owner::give(&dir, &self.root);
            }
            Ok(())
        })
    }

    /// Writes some of the slices at the file's end; the number of bytes written, which may be fewer than there are.
    pub fn write(&self, mut file: &File, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let slices = &slices[..slices.len().min(SLICES_MAX)];
        retried(|| {
            #[cfg(test)]
            if let Some(room) = self
                .faults
                .write(slices.iter().map(|slice| slice.len()).sum())?
            {
                let all = slices.iter().flat_map(|slice| slice.iter().copied());
                return file.write(&all.take(room).collect::<Vec<u8>>());
            }
            file.write_vectored(slices)
        })
    }

    /// Opens a file that is there for [`Disk::cut`], or to take room for it.
    pub fn open_to_write(&self, path: &str) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        retried(|| {
            #[cfg(test)]
            self.faults.call()?;
            let file = rustix::fs::openat(&self.root, path, flags, Mode::empty())?;
            Ok(file.into())
        })
    }

    /// Names in a directory, as far as they are UTF-8, as ours are; none if there is no such directory.
    pub fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let dir = match self.open_file(Path::new(path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            opened => opened?,
        };
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(dir)? {
            let entry = entry?;
            let name = entry.file_name().to_str().map(str::to_owned);
            names.extend(name.ok().filter(|name| name != "." && name != ".."));
        }
        Ok(names)
    }

    /// The first of a directory and those in it that lies on another file system, by a mount or a symbolic link: neither [`Disk::space`]
    /// nor [`Disk::sync_all`] speaks of that. A subvolume has a device number of its own, and is of the same file system.
    pub fn elsewhere(&self, dir: &str) -> io::Result<Option<String>> {
        let place = |path: &str| {
            let flags = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
            let found = rustix::fs::statx(&self.root, path, AtFlags::empty(), flags)?;
            let device = (found.stx_dev_major, found.stx_dev_minor);
            Ok::<_, io::Error>((device, found.stx_mnt_id))
        };
        let (device, mount) = place(".")?;
        let below = self.list(dir)?.into_iter();
        let mut dirs =
            std::iter::once(dir.to_owned()).chain(below.map(|name| format!("{dir}/{name}")));
        Ok(dirs.find(|path| {
            // One that can't be looked at can't be written to either.
            place(path).is_ok_and(|(other, at)| other != device && at != mount)
        }))
    }

    /// When an entry was last made or removed in a directory: microseconds since the Unix epoch.
    pub fn changed_us(&self, path: &str) -> io::Result<i64> {
        let found = rustix::fs::statat(&self.root, path, AtFlags::empty())?;
        Ok(found
            .st_mtime
            .saturating_mul(1_000_000)
            .saturating_add(i64::try_from(found.st_mtime_nsec).unwrap_or(0) / 1000))
    }

    /// Cuts the file to `length` bytes; what is written next follows them.
    pub fn cut(&self, mut file: &File, length: u64) -> io::Result<()> {
        retried(|| {
            #[cfg(test)]
            self.faults.call()?;
            rustix::fs::ftruncate(file, length)?;
            file.seek(SeekFrom::Start(length)).map(|_| ())
        })
    }

    /// Removes a file.
    pub fn remove(&self, path: &str) -> io::Result<()> {
        retried(|| {
            #[cfg(test)]
            self.faults.removing(&self.root, path)?;
            Ok(rustix::fs::unlinkat(&self.root, path, AtFlags::empty())?)
        })
    }

    /// Removes a directory if it is empty.
    pub fn remove_dir(&self, path: &Path) -> io::Result<()> {
        retried(|| {
            #[cfg(test)]
            self.faults.call()?;
            Ok(rustix::fs::unlinkat(&self.root, path, AtFlags::REMOVEDIR)?)
        })
    }

    /// How much room there is.
    pub fn space(&self) -> io::Result<Space> {
        let stat = rustix::fs::fstatvfs(&self.root)?;
        let total = stat.f_blocks.saturating_mul(stat.f_frsize);
        #[cfg(test)]
        let total = total.min(self.faults.total.load(std::sync::atomic::Ordering::SeqCst));
        Ok(Space {
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            total,
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
        retried(|| {
            #[cfg(test)]
            self.faults.call()?;
            file.set_modified(time.unwrap_or(UNIX_EPOCH))
        })
    }

    /// Keeps a value with the file, beside its bytes, where the file system can.
    pub fn set_attribute(&self, file: &File, name: &str, value: &[u8]) -> io::Result<()> {
        retried(|| {
            #[cfg(test)]
            self.faults.call()?;
            Ok(rustix::fs::fsetxattr(
                file,
                name,
                value,
                XattrFlags::empty(),
            )?)
        })
    }

    /// Makes a file's bytes durable.
    pub fn sync_file(&self, file: &File) -> io::Result<()> {
        retried(|| {
            #[cfg(test)]
            self.faults.sync(Some(file))?;
            Ok(rustix::fs::fdatasync(file)?)
        })
    }

    /// Makes the entries of a directory durable. One that is gone has none.
    pub fn sync_dir(&self, path: &Path) -> io::Result<()> {
        retried(|| {
            #[cfg(test)]
            self.faults.call()?;
            match self.open_below(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                opened => Ok(rustix::fs::fsync(opened?)?),
            }
        })
    }

    /// Makes the whole file system durable, entries included.
    pub fn sync_all(&self) -> io::Result<()> {
        retried(|| {
            #[cfg(test)]
            self.faults.sync(None)?;
            Ok(rustix::fs::syncfs(&self.root)?)
        })
    }

    /// Has the kernel forget what it remembers of these bytes, which are not dirty. Where it can't, it doesn't.
    pub fn forget(&self, file: &File, range: Range<u64>) -> io::Result<()> {
        #[cfg(test)]
        self.faults.forgotten(range.end)?;
        // A length of 0 would be all that follows.
        let length = NonZeroU64::new(range.end.saturating_sub(range.start));
        length.map_or(Ok(()), |length| {
            Ok(rustix::fs::fadvise(
                file,
                range.start,
                Some(length),
                Advice::DontNeed,
            )?)
        })
    }

    /// Takes room for bytes that will be written there, without changing where the file ends. A file system on a network is left to itself.
    pub fn take_room(&self, file: &File, range: Range<u64>) -> io::Result<()> {
        if self.remote.is_some() {
            return Ok(());
        }
        retried(|| {
            #[cfg(test)]
            self.faults.call()?;
            let length = range.end.saturating_sub(range.start);
            let flags = FallocateFlags::KEEP_SIZE;
            Ok(rustix::fs::fallocate(file, flags, range.start, length)?)
        })
    }

    /// Whether the file has room beyond its end, other than what its last block and the file system's own notes take.
    pub fn has_room_beyond(&self, path: &str) -> io::Result<bool> {
        let found = rustix::fs::statat(&self.root, path, AtFlags::empty())?;
        // Of 512 bytes, whatever the file system's blocks are.
        let taken = found.st_blocks.saturating_mul(512);
        Ok(taken.saturating_sub(found.st_size) > MARGIN.cast_signed())
    }

    /// Reads `length` bytes from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file ends before, without allocating more than it holds.
    pub fn read(&self, path: &Path, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        read_at(&self.open_file(path)?, offset, length)
    }

    /// Reads from what is on the disk itself: what the kernel remembers of the file and has written is forgotten first.
    pub fn open_forgotten(&self, path: &Path) -> io::Result<File> {
        let file = self.open_file(path)?;
        self.forget(&file, 0..i64::MAX.cast_unsigned())?;
        Ok(file)
    }

    /// Opens a file for reading.
    pub fn open_file(&self, path: &Path) -> io::Result<File> {
        retried(|| {
            #[cfg(test)]
            self.faults.call()?;
            self.open_below(path)
        })
    }

    fn open_below(&self, path: &Path) -> io::Result<File> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.root, path, flags, Mode::empty())?;
        Ok(file.into())
    }
}

/// Reads `length` bytes from `offset`.
///
/// # Errors
/// `UnexpectedEof` if the file ends before, without allocating more than it holds.
pub(crate) fn read_at(file: &File, offset: u64, length: u64) -> io::Result<Vec<u8>> {
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

/// What [`Disk::set_attribute`] kept, if it did and it is no longer than the buffer.
pub(crate) fn attribute<'b>(file: &File, name: &str, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    let length = rustix::fs::fgetxattr(file, name, &mut *buffer).ok()?;
    buffer.get(..length)
}

/// Makes the call again for as long as signals break in.
fn retried<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
