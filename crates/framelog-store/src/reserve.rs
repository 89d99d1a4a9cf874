//! Space that is kept for the index: removing footage needs rows to be written first, and a full disk takes none. Not for
//! deciding when the disk is full.
//!
//! It is kept twice. Room in the index's log, beyond its end, is the log's own, and nobody else can take it: rows, removals and
//! protections go on being written on a full disk. A file that can be given up is for the database, which grows when the log is
//! brought into it, and for file systems that keep no room beyond a file's end.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::disk::Disk;
use crate::layout;

/// The most that the file has, bytes: what the removal of some hundred segments writes.
const BYTES_MAX: u64 = 8 << 20;
/// At most this part of the file system.
const SHARE: u64 = 128;
/// The log has so many times that, because it is also written while the disk stays full and nothing may go: gaps and counts change.
const LOG_TIMES: u64 = 2;

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

    /// How large the file is on a file system of this size, bytes.
    pub fn bytes(disk_total: u64) -> u64 {
        (disk_total / SHARE).min(BYTES_MAX)
    }

    /// The same of the file and the log's room together.
    pub fn bytes_in_all(disk_total: u64) -> u64 {
        (1 + LOG_TIMES) * Self::bytes(disk_total)
    }

    /// Takes so many bytes, if they aren't taken already. All of them or, with an error, none.
    pub fn make(&self, bytes: u64) -> io::Result<()> {
        if self.held() >= bytes {
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

    /// How many bytes are taken.
    pub fn held(&self) -> u64 {
        let file = self.disk.open_file(Path::new(layout::RESERVE));
        file.and_then(|file| Ok(file.metadata()?.len()))
            .unwrap_or(0)
    }

    /// Takes twice so many bytes for the index's log, which must be there. Again is free.
    pub fn make_for_log(&self, bytes: u64) -> io::Result<()> {
        let log = self.disk.open_to_write(layout::LOG)?;
        match rustix::fs::fallocate(&log, FallocateFlags::KEEP_SIZE, 0, LOG_TIMES * bytes) {
            // The file must do.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            done => done.map_err(io::Error::from),
        }
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
            reserve.make(1 << 20).unwrap();
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
    fn the_log_has_room_beyond_its_end() {
        use std::os::unix::fs::MetadataExt as _;
        let storage = tempfile::tempdir().unwrap();
        let reserve = Reserve::new(&Disk::open(storage.path()).unwrap());
        assert!(reserve.make_for_log(1 << 20).is_err(), "there is no log");
        let log = storage.path().join(layout::LOG);
        std::fs::write(&log, "rows").unwrap();
        for _ in 0..2 {
            reserve.make_for_log(1 << 20).unwrap();
            let metadata = std::fs::metadata(&log).unwrap();
            let taken = (metadata.len(), metadata.blocks() * 512);
            assert_eq!(taken, (4, LOG_TIMES << 20));
        }
        assert_eq!(std::fs::read(&log).unwrap(), b"rows");
    }

    #[test]
    fn a_small_disk_keeps_a_small_one() {
        assert_eq!(Reserve::bytes(16 << 20), 128 << 10);
        assert_eq!(Reserve::bytes(4_000_000_000_000), BYTES_MAX);
    }
}
