//! Footage leaves the page cache once it is on the disk. Otherwise it fills all memory within hours, pushes out what the index and other programs
//! need, and from then on each page that is written costs finding an old one that may go. What a segment got after its last sync stays until the
//! kernel needs the room (2 % of a minute), as do pictures in files of their own. Not for when it is synced: that is `index`.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::blocks::BLOCK;

/// So much may be forgotten at once, however little was written, bytes.
const STEP: u64 = 4 * BLOCK;
/// What reaches so far back from where forgetting ended is looked at again, bytes: a folio of which a part was to stay is still there as a
/// whole. Larger ones stay until the kernel needs the room.
const FOLIO_MAX: u64 = 32 * BLOCK;

/// The syncs of the footage, numbered from 1.
#[derive(Debug, Default)]
pub(crate) struct Syncs {
    begun: AtomicU64,
    /// The last one that succeeded.
    done: AtomicU64,
}

impl Syncs {
    /// A sync begins: its number. Of what is written from now on it says nothing.
    pub fn begin(&self) -> u64 {
        self.begun.fetch_add(1, Relaxed) + 1
    }

    /// The sync has succeeded.
    pub fn done(&self, sync: u64) {
        self.done.store(sync, Relaxed);
    }
}

/// What the page cache may forget of a file that is only appended to.
#[derive(Debug, Default)]
pub(crate) struct Forgetting {
    /// Where the file ended when this was last asked.
    end: u64,
    /// Up to there it has been written, and will be on the disk once `sync` is done.
    written: u64,
    sync: u64,
    /// Up to there it most likely is on the disk: what is not, the kernel does not forget.
    synced: u64,
    /// Up to there it was forgotten.
    forgotten: u64,
}

impl Forgetting {
    /// What to forget, now that the file has been written up to `end`. It is done between two writes, so it is no more at once than twice what
    /// came, and the rest behind the next.
    pub fn next(&mut self, end: u64, syncs: &Syncs) -> Option<Range<u64>> {
        let step = STEP.max(2 * end.saturating_sub(self.end));
        self.end = end;
        if syncs.done.load(Relaxed) >= self.sync {
            self.synced = self.written;
            // What is appended next goes on in the block after that, which would have to be read again.
            self.written = end / BLOCK * BLOCK;
            self.sync = syncs.begun.load(Relaxed) + 1;
        }
        if self.synced == self.forgotten {
            return None;
        }
        let from = self.forgotten.saturating_sub(FOLIO_MAX);
        self.forgotten = self.synced.min(self.forgotten + step);
        Some(from..self.forgotten)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write;
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::disk::Disk;

    const MB: u64 = 1 << 20;

    #[test]
    fn what_was_written_after_a_sync_began_waits_for_the_next() {
        let (mut forgetting, syncs) = (Forgetting::default(), Syncs::default());
        assert_eq!(forgetting.next(MB, &syncs), None);
        let sync = syncs.begin();
        assert_eq!(forgetting.next(2 * MB, &syncs), None);
        syncs.done(sync);
        assert_eq!(forgetting.next(3 * MB, &syncs), Some(0..MB));
        let sync = syncs.begin();
        assert_eq!(forgetting.next(4 * MB, &syncs), None);
        syncs.done(sync);
        assert_eq!(forgetting.next(5 * MB, &syncs), Some(0..3 * MB));
    }

    #[test]
    fn a_sync_that_was_running_when_it_was_written_does_not_count() {
        let (mut forgetting, syncs) = (Forgetting::default(), Syncs::default());
        let running = syncs.begin();
        assert_eq!(forgetting.next(BLOCK, &syncs), None);
        syncs.done(running);
        assert_eq!(forgetting.next(BLOCK, &syncs), None);
        let failed = syncs.begin();
        assert_eq!(forgetting.next(BLOCK, &syncs), None);
        syncs.done(failed + 1);
        assert_eq!(forgetting.next(BLOCK, &syncs), Some(0..BLOCK));
    }

    #[test]
    fn the_block_that_is_written_to_stays() {
        let (mut forgetting, syncs) = (Forgetting::default(), Syncs::default());
        let forgotten = [1, 2, 3].map(|n| {
            let forgotten = forgetting.next(n * BLOCK + BLOCK - 1, &syncs);
            syncs.done(syncs.begin());
            forgotten
        });
        assert_eq!(forgotten, [None, Some(0..BLOCK), Some(0..2 * BLOCK)]);
        // Nothing came.
        syncs.done(syncs.begin());
        assert_eq!(
            [1, 2].map(|_| forgetting.next(4 * BLOCK - 1, &syncs)),
            [Some(0..3 * BLOCK), None]
        );
    }

    #[test]
    fn what_has_piled_up_goes_in_steps_that_overlap() {
        let (mut forgetting, syncs) = (Forgetting::default(), Syncs::default());
        forgetting.next(20 * MB, &syncs);
        syncs.done(syncs.begin());
        let (nothing, much) = (0, 5 * MB);
        let mut end = 20 * MB;
        let steps = [nothing, much, nothing, much].map(|came| {
            end += came;
            forgetting.next(end, &syncs)
        });
        assert_eq!(
            steps,
            [
                Some(0..STEP),
                Some(0..STEP + 10 * MB),
                Some(STEP + 8 * MB..2 * STEP + 10 * MB),
                Some(2 * STEP + 8 * MB..20 * MB),
            ]
        );
        assert_eq!(forgetting.next(end, &syncs), None);
    }

    /// What reading costs tells what the kernel still has. Where files are in memory anyway (tmpfs) there is nothing to see.
    #[test]
    fn the_kernel_forgets_what_it_is_told_to_and_no_more() {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let disk = Disk::open(dir.path()).unwrap();
        let path = dir.path().join("footage");
        let mut file = File::create_new(&path).unwrap();
        for _ in 0..2 {
            file.write_all(&vec![7; MB as usize]).unwrap();
        }
        file.sync_data().unwrap();
        const TMPFS: u32 = 0x0102_1994;
        if rustix::fs::fstatfs(&file).unwrap().f_type as u32 == TMPFS {
            eprintln!("skipped: no disk below /var/tmp");
            return;
        }
        let reader = File::open(&path).unwrap();
        let mut piece = vec![0; MB as usize];
        let mut fetched_to_read = |offset| {
            let before = fetched_by_this_thread();
            reader.read_exact_at(&mut piece, offset).unwrap();
            fetched_by_this_thread() - before
        };
        disk.forget(&file, 0..MB).unwrap();
        assert_eq!([MB, 0].map(&mut fetched_to_read), [0, MB]);
        assert_eq!(fetched_to_read(0), 0);
    }

    /// Bytes that the disk had to be asked for (proc_pid_io(5)).
    fn fetched_by_this_thread() -> u64 {
        let io = fs::read_to_string("/proc/thread-self/io").unwrap();
        let fetched = io
            .lines()
            .find_map(|line| line.strip_prefix("read_bytes: "));
        fetched.unwrap().parse().unwrap()
    }
}
