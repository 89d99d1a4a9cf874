//! Room on the disk that is taken before there is something to write there, for who writes much at a time: the file system then finds a place for
//! many megabytes once, in one piece, instead of for each page. Not for small writes: for these the kernel collects what many cameras wrote and
//! places it together, which keeps a disk's heads still.

use std::ops::Range;

/// Who writes so much at a time has room taken, bytes.
const MUCH: u64 = 512 << 10;
/// So much is taken beyond what is written, bytes.
const AHEAD: u64 = 16 << 20;
/// None is taken where less is free, bytes: there it is for who writes next.
const FREE_MIN: u64 = 64 * AHEAD;

/// How far a file's room goes.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    end: u64,
}

impl Ahead {
    /// What to take before this is written, where so much is `free`. It counts as taken whether or not it could be.
    pub fn next(&mut self, write: Range<u64>, free: impl FnOnce() -> u64) -> Option<Range<u64>> {
        let is_much = write.end.saturating_sub(write.start) >= MUCH;
        if !is_much || write.end <= self.end {
            return None;
        }
        let from = write.start.max(self.end);
        self.end = write.end.saturating_add(AHEAD);
        (free() >= FREE_MIN).then_some(from..self.end)
    }

    /// Whether a file that ends there has room that it does not need.
    pub fn is_beyond(&self, end: u64) -> bool {
        self.end > end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken_once_for_many_large_writes() {
        let mut ahead = Ahead::default();
        let first = ahead.next(100..100 + MUCH, || FREE_MIN);
        assert_eq!(first, Some(100..100 + MUCH + AHEAD));
        let writes = (1..).map(|n| 100 + n * MUCH..100 + (n + 1) * MUCH);
        let taken = writes
            .map(|write| ahead.next(write, || FREE_MIN))
            .take_while(Option::is_none);
        assert_eq!(taken.count() as u64, AHEAD / MUCH);
        assert!(ahead.is_beyond(100 + MUCH + AHEAD));
    }

    #[test]
    fn room_is_not_taken_for_small_writes_nor_where_little_is_left() {
        let mut ahead = Ahead::default();
        assert_eq!(ahead.next(0..MUCH - 1, || u64::MAX), None);
        assert!(!ahead.is_beyond(0));
        assert_eq!(ahead.next(0..MUCH, || FREE_MIN - 1), None);
    }
}
