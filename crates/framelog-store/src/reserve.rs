//! Space that is kept for the index: removing footage needs rows to be written first, and a full disk takes none. Not for
//! deciding when the disk is full.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::layout;

/// The most that is kept, bytes: what the removal of some hundred segments writes.
const BYTES_MAX: u64 = 8 << 20;
/// At most this part of the file system.
const SHARE: u64 = 64;

/// A file of no meaning that is there to be given up.
#[derive(Clone, Debug)]
pub(crate) struct Reserve {
    path: PathBuf,
}

impl Reserve {
    /// The reserve of a storage directory, which may not have one yet.
    pub fn new(storage: &Path) -> Self {
        Self {
            path: storage.join(layout::RESERVE),
        }
    }

    /// How large it is on a file system of this size.
    pub fn bytes(disk_total: u64) -> u64 {
        (disk_total / SHARE).min(BYTES_MAX)
    }

    /// Takes the space, if it isn't taken already. All of it or, with an error, none.
    pub fn make(&self, disk_total: u64) -> io::Result<()> {
        let bytes = Self::bytes(disk_total);
        if fs::metadata(&self.path).is_ok_and(|metadata| metadata.len() >= bytes) {
            return Ok(());
        }
        let made = File::options()
            .create(true)
            .truncate(true)
            .write(true)
            .open(&self.path)
            .and_then(|file| fill(&file, bytes));
        if made.is_err() {
            self.give_up();
        }
        made
    }

    /// Gives the space up; true if there was any.
    pub fn give_up(&self) -> bool {
        fs::remove_file(&self.path).is_ok()
    }
}

fn fill(mut file: &File, bytes: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
            let block = [0; 64 << 10];
            let mut left = bytes;
            while left > 0 {
                let part = usize::try_from(left)
                    .unwrap_or(block.len())
                    .min(block.len());
                file.write_all(&block[..part])?;
                left -= part as u64;
            }
            Ok(())
        }
        done => done.map_err(io::Error::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_real_space_once_and_gives_it_up_once() {
        use std::os::unix::fs::MetadataExt as _;
        let storage = tempfile::tempdir().unwrap();
        let reserve = Reserve::new(storage.path());
        assert!(!reserve.give_up());
        for _ in 0..2 {
            reserve.make(64 << 20).unwrap();
            let metadata = fs::metadata(storage.path().join(layout::RESERVE)).unwrap();
            assert_eq!(
                (metadata.len(), metadata.blocks() * 512),
                (1 << 20, 1 << 20)
            );
        }
        assert!(reserve.give_up());
        assert!(!reserve.give_up());
    }

    #[test]
    fn a_small_disk_keeps_a_small_one() {
        assert_eq!(Reserve::bytes(16 << 20), 256 << 10);
        assert_eq!(Reserve::bytes(4_000_000_000_000), BYTES_MAX);
    }
}
