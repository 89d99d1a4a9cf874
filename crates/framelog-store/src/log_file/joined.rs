//! What SQLite hands over for its write-ahead log, joined into few large writes. Not for files: where it goes is the caller's.
//!
//! A frame of the log is a header, which says by a number that isn't 0 that a transaction is committed with it, and a page (SQLite's "Database File
//! Format", section 4.1). SQLite writes each of both by itself (`walWriteOneFrame`). While its connection may write to the log, frames that follow each
//! other are held until the one that commits, with which each commit ends, or until there is much. Readers are told of a frame only after the one that
//! commits has been written, so that nobody misses what is held. Whatever else is written is written at once, behind what was held.

/// Length of a frame's header, bytes. A log's own header has 32, a page 512 or more; only around a sync a page may be written in pieces, of any
/// length (`walWriteToLog`): see [`Joined::flush`].
const HEADER: usize = 24;
/// Where in it the number is that isn't 0 if a transaction is committed, bytes.
const COMMITS: std::ops::Range<usize> = 4..8;
/// What is held is written when it is so much, bytes.
const ENOUGH: usize = 64 << 10;

/// The part of a log that was handed over and is not in the file.
#[derive(Debug, Default)]
pub(super) struct Joined {
    /// The connection has the lock with which it may write to the log.
    is_locked: bool,
    /// Where what is held belongs in the file, bytes. Means nothing while nothing is held.
    start: u64,
    held: Vec<u8>,
    /// The page of the last header that is held comes next; whether a transaction is committed with it.
    page_commits: Option<bool>,
    /// Where what was written or held last ends.
    end: Option<u64>,
}

impl Joined {
    /// The connection has got the lock with which it may write.
    pub fn lock(&mut self) {
        self.is_locked = true;
    }

    /// The connection lets go of that lock. What is held still was not committed, and others may write there now.
    pub fn unlock(&mut self) {
        *self = Self {
            held: std::mem::take(&mut self.held),
            ..Self::default()
        };
        self.held.clear();
    }

    /// Takes what belongs at `offset`; `put` writes to the file.
    ///
    /// # Errors
    /// Those of `put`: what was held is then lost, and its transaction with it, because SQLite takes back one of which a write has failed.
    pub fn write<E>(
        &mut self,
        offset: u64,
        bytes: &[u8],
        mut put: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let follows = self.end == Some(offset);
        if let Some(commits) = self.page_commits.take().filter(|_| follows) {
            self.hold(offset, bytes);
            return if commits { self.put_held(put) } else { Ok(()) };
        }
        // A header that doesn't follow may replace one that is there: after a transaction's last page `walRewriteChecksums` corrects headers in
        // place, and no page comes after them.
        if self.is_locked && follows && bytes.len() == HEADER {
            if self.held.len() >= ENOUGH {
                self.put_held(put)?;
            }
            self.hold(offset, bytes);
            let number = bytes.get(COMMITS).into_iter().flatten();
            self.page_commits = Some(number.into_iter().any(|&byte| byte != 0));
            return Ok(());
        }
        self.flush(&mut put)?;
        put(offset, bytes)?;
        self.end = Some(offset + bytes.len() as u64);
        Ok(())
    }

    fn hold(&mut self, offset: u64, bytes: &[u8]) {
        if self.held.is_empty() {
            self.start = offset;
        }
        self.held.extend_from_slice(bytes);
        self.end = Some(offset + bytes.len() as u64);
    }

    fn put_held<E>(&mut self, put: impl FnOnce(u64, &[u8]) -> Result<(), E>) -> Result<(), E> {
        if self.held.is_empty() {
            return Ok(());
        }
        let done = put(self.start, &self.held);
        self.held.clear();
        if done.is_err() {
            self.end = None;
        }
        done
    }

    /// Writes what is held. What comes next is no header, or is taken for none: it may be the rest of a page.
    ///
    /// # Errors
    /// As for [`Joined::write`].
    pub fn flush<E>(&mut self, put: impl FnOnce(u64, &[u8]) -> Result<(), E>) -> Result<(), E> {
        self.page_commits = None;
        self.end = None;
        self.put_held(put)
    }

    /// Where a reader finds what it asks for: a transaction that is larger than SQLite's cache reads what it has handed over.
    pub fn find(&self, offset: u64, length: usize) -> Found<'_> {
        let end = offset.saturating_add(length as u64);
        if self.held.is_empty()
            || end <= self.start
            || offset >= self.start + self.held.len() as u64
        {
            return Found::InFile;
        }
        let from = offset.checked_sub(self.start).map(|from| from as usize);
        let bytes = from.and_then(|from| self.held.get(from..from.checked_add(length)?));
        bytes.map_or(Found::InBoth, Found::Held)
    }
}

/// Where a part of a log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found<'j> {
    InFile,
    Held(&'j [u8]),
    InBoth,
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    const PAGE: usize = 64;

    /// A file, and how often it was written to.
    #[derive(Default)]
    struct File {
        bytes: Vec<u8>,
        writes: usize,
    }

    impl File {
        fn put(&mut self, offset: u64, bytes: &[u8]) {
            let (from, to) = (offset as usize, offset as usize + bytes.len());
            self.bytes.resize(self.bytes.len().max(to), 0);
            self.bytes[from..to].copy_from_slice(bytes);
            self.writes += 1;
        }
    }

    /// A log through [`Joined`], and one that is written to at once.
    struct Both {
        joined: Joined,
        file: File,
        other: File,
    }

    impl Both {
        /// The connection may write, and has written the log's header.
        fn begin() -> Self {
            let mut log = Self {
                joined: Joined::default(),
                file: File::default(),
                other: File::default(),
            };
            log.joined.lock();
            log.write(0, &[1; 32]);
            log
        }

        fn write(&mut self, offset: u64, bytes: &[u8]) {
            self.other.put(offset, bytes);
            let put = |offset, bytes: &[u8]| {
                self.file.put(offset, bytes);
                Ok::<_, Infallible>(())
            };
            let Ok(()) = self.joined.write(offset, bytes, put);
        }

        fn header(&mut self, offset: u64, commits: bool) {
            let mut header = [9; HEADER];
            header[COMMITS].copy_from_slice(&u32::from(commits).to_be_bytes());
            self.write(offset, &header);
        }

        fn frame(&mut self, offset: u64, commits: bool) -> u64 {
            self.header(offset, commits);
            self.write(offset + HEADER as u64, &[offset as u8; PAGE]);
            offset + (HEADER + PAGE) as u64
        }

        fn flush(&mut self) {
            let put = |offset, bytes: &[u8]| {
                self.file.put(offset, bytes);
                Ok::<_, Infallible>(())
            };
            let Ok(()) = self.joined.flush(put);
        }

        fn is_same(&self) -> bool {
            self.file.bytes == self.other.bytes
        }
    }

    #[test]
    fn a_commit_is_written_in_one_go_and_nothing_of_it_is_held() {
        let mut log = Both::begin();
        let end = (0..5).fold(32, |end, n| log.frame(end, n == 4));
        assert!(log.is_same());
        assert_eq!(log.file.writes, 2);
        log.frame(end, false);
        assert!(!log.is_same());
        log.flush();
        assert!(log.is_same());
    }

    #[test]
    fn a_large_transaction_is_written_in_parts() {
        let mut log = Both::begin();
        let mut end = 32;
        for _ in 0..2 * ENOUGH / PAGE {
            end = log.frame(end, false);
            assert!(log.joined.held.len() < ENOUGH + HEADER + PAGE);
        }
        log.frame(end, true);
        assert!(log.is_same());
        assert!(log.file.writes <= 5, "{}", log.file.writes);
    }

    #[test]
    fn a_header_that_is_put_right_is_written_at_once() {
        let mut log = Both::begin();
        let first = log.frame(32, false);
        log.frame(first, true);
        for (offset, commits) in [(32, false), (first, true)] {
            log.header(offset, commits);
            assert!(log.is_same());
        }
    }

    #[test]
    fn what_was_not_committed_is_not_written_over_what_others_wrote() {
        let mut log = Both::begin();
        let end = log.frame(32, true);
        log.frame(end, false);
        log.joined.unlock();
        log.file.put(end, &[7; HEADER + PAGE]);
        log.other.bytes = log.file.bytes.clone();
        log.flush();
        log.joined.lock();
        log.frame(end + (HEADER + PAGE) as u64, true);
        assert!(log.is_same());
    }

    #[test]
    fn without_the_lock_nothing_is_held() {
        let mut log = Both::begin();
        let end = log.frame(32, true);
        log.joined.unlock();
        log.frame(end, false);
        assert!(log.is_same());
    }

    #[test]
    fn behind_a_flush_24_bytes_of_a_page_are_no_header() {
        let mut log = Both::begin();
        let end = log.frame(32, true);
        log.flush();
        log.write(end, &[3; HEADER]);
        assert!(log.is_same());
    }

    #[test]
    fn a_write_that_fails_says_so_and_nothing_of_it_is_held() {
        let enough = ENOUGH.div_ceil(HEADER + PAGE);
        for (frames, commits) in [(1, true), (enough + 1, false)] {
            let mut log = Both::begin();
            let mut end = (1..frames).fold(32, |end, _| log.frame(end, false));
            let mut header = [0; HEADER];
            header[COMMITS.start] = commits.into();
            let mut failed = false;
            for bytes in [&header[..], &[2; PAGE]] {
                let written = log.joined.write(end, bytes, |_, _| Err("full"));
                failed |= written.is_err();
                end += bytes.len() as u64;
                if failed {
                    break;
                }
            }
            assert!(failed, "{frames} {commits}");
            assert!(log.joined.held.is_empty());
            // Taken back: what comes next comes from the beginning.
            log.joined.unlock();
            log.joined.lock();
            log.other.bytes = log.file.bytes.clone();
            let end = log.frame(32, false);
            log.frame(end, true);
            assert!(log.is_same());
        }
    }

    proptest! {
        #[test]
        fn with_what_is_held_the_file_is_as_if_all_was_written_at_once(
            steps in prop::collection::vec((0..9u8, 0..400u64), 0..80),
        ) {
            let mut log = Both::begin();
            let mut end = 0;
            for (step, offset) in steps {
                match step {
                    0 => log.flush(),
                    1 => log.write(offset, &[step; PAGE]),
                    2 => log.header(offset, offset % 2 == 0),
                    6 => log.joined.lock(),
                    7 if log.joined.held.is_empty() => log.joined.unlock(),
                    8 => {
                        let length = 1 + offset as usize % 100;
                        let end = offset as usize + length;
                        let all = log.other.bytes.get(offset as usize..end);
                        match log.joined.find(offset, length) {
                            Found::Held(bytes) => prop_assert_eq!(Some(bytes), all),
                            Found::InFile => prop_assert_eq!(log.file.bytes.get(offset as usize..end), all),
                            Found::InBoth => {}
                        }
                    }
                    3 => end = log.frame(offset, false),
                    4 => end = log.frame(end, true),
                    _ => end = log.frame(end, false),
                }
                if step == 4 {
                    prop_assert!(log.joined.held.is_empty());
                }
                let mut file = File { bytes: log.file.bytes.clone(), writes: 0 };
                if !log.joined.held.is_empty() {
                    file.put(log.joined.start, &log.joined.held);
                }
                prop_assert_eq!(&file.bytes, &log.other.bytes);
            }
        }
    }
}
