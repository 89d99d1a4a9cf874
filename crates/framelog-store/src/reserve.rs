//! Space that is kept for the index: removing footage needs rows to be written first, and a full disk takes none. Not for
//! deciding when the disk is full.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::disk::Disk;
use crate::layout;

/// The most that is kept, bytes: what the removal of some hundred segments writes.
const BYTES_MAX: u64 = 8 << 20;
/// At most this part of the file system.
const SHARE: u64 = 64;

/// A file of no meaning that is there to be given up.
#[derive(Clone, Debug)]
pub(crate) struct Reserve {
    disk: Disk,
}

impl Reserve {
    /// The reserve of a storage directory, which may not have one yet.
    pub fn new(disk: &Disk) -> Self {
        Self { disk: disk.clone() }
    }

    /// How large it is on a file system of this size.
    pub fn bytes(disk_total: u64) -> u64 {
        (disk_total / SHARE).min(BYTES_MAX)
    }

    /// Takes the space, if it isn't taken already. All of it or, with an error, none.
    pub fn make(&self, disk_total: u64) -> io::Result<()> {
        let bytes = Self::bytes(disk_total);
        let has = |file: File| Ok(file.metadata()?.len());
        let is_made = self
            .disk
            .open_file(Path::new(layout::RESERVE))
            .and_then(has);
        if is_made.is_ok_and(|len| len >= bytes) {
            return Ok(());
        }
        self.give_up();
        let made = self
            .disk
            .create(layout::RESERVE)
            .and_then(|file| fill(&file, bytes));
        if made.is_err() {
            self.give_up();
        }
        made
    }

    /// Gives the space up; true if there was any.
    pub fn give_up(&self) -> bool {
        self.disk.remove(layout::RESERVE).is_ok()
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
        let reserve = Reserve::new(&Disk::open(storage.path()).unwrap());
        assert!(!reserve.give_up());
        for _ in 0..2 {
            reserve.make(64 << 20).unwrap();
            let metadata = std::fs::metadata(storage.path().join(layout::RESERVE)).unwrap();
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
