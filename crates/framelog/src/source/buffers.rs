//! Buffers to read into, used again once everything read into them has been written. Fresh memory costs a page fault for every 4 KiB,
//! more than the copying. Not for what is in them.
//!
//! Each reader thread has its own, so no lock is needed. All its cameras read into the same one until it is full: a buffer for each would mostly
//! be empty. Whoever sends more than that reads into larger ones.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::mem;
use std::task::Poll;

use bytes::{Bytes, BytesMut};

/// So many parts has a buffer. Less room than one is not worth a read, and what is less is copied out: a picture that trickles in must not hold
/// many buffers for the little it has in each. So what waits holds at most eight times its bytes of memory.
const PARTS: usize = 8;
/// So much is remembered of each size, bytes: what some 150 MB/s have on their way to the disk. Other buffers are freed when they have been written.
const REMEMBERED_BYTES_MAX: usize = 32 << 20;
/// So many of those that were used up are looked at each time: one may be held for long.
const LOOKS: usize = 4;

thread_local! {
    static SMALL: RefCell<Buffers> = RefCell::new(Buffers::new(128 << 10));
    static LARGE: RefCell<Buffers> = RefCell::new(Buffers::new(256 << 10));
}

/// How much there is to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// A few frames, as far as is known.
    Little,
    /// As much as can be read: the larger each read, the better. After each the kernel tells the sender that there is room again, which costs as
    /// much as copying 64 KiB.
    Bulk,
}

/// Those of one thread, of one size.
#[derive(Debug)]
struct Buffers {
    /// Bytes of each.
    size: usize,
    /// What is read into now.
    current: BytesMut,
    /// Used up, the oldest first: empty handles to memory that others may still hold parts of.
    used: VecDeque<BytesMut>,
    /// Those that nobody holds any more. The last comes first: the processor's cache may still have it, and after a stall of the disk there are
    /// many.
    free: Vec<BytesMut>,
}

/// Lets `read` append to a buffer of the thread, once; what it has appended.
pub fn read<E>(
    amount: Amount,
    read: impl FnOnce(&mut BytesMut) -> Poll<Result<usize, E>>,
) -> Poll<Result<Bytes, E>> {
    let buffers = match amount {
        Amount::Little => &SMALL,
        Amount::Bulk => &LARGE,
    };
    buffers.with_borrow_mut(|buffers| buffers.read(read))
}

impl Buffers {
    fn new(size: usize) -> Self {
        Self {
            size,
            current: BytesMut::with_capacity(size),
            used: VecDeque::new(),
            free: Vec::new(),
        }
    }

    fn read<E>(
        &mut self,
        read: impl FnOnce(&mut BytesMut) -> Poll<Result<usize, E>>,
    ) -> Poll<Result<Bytes, E>> {
        let part = self.size / PARTS;
        if self.current.capacity() < part {
            self.replace();
        }
        let current = &mut self.current;
        read(current).map_ok(|_| {
            if current.len() >= part {
                return current.split().freeze();
            }
            let copy = Bytes::copy_from_slice(current);
            current.clear();
            copy
        })
    }

    /// Goes on with a buffer of which nobody holds a part any more, or a new one.
    fn replace(&mut self) {
        self.reclaim();
        let next = (self.free.pop()).unwrap_or_else(|| BytesMut::with_capacity(self.size));
        let full = mem::replace(&mut self.current, next);
        if (self.used.len() + self.free.len()) * self.size >= REMEMBERED_BYTES_MAX {
            self.used.pop_front();
        }
        self.used.push_back(full);
    }

    fn reclaim(&mut self) {
        for _ in 0..LOOKS.min(self.used.len()) {
            let Some(mut buffer) = self.used.pop_front() else {
                break;
            };
            match buffer.try_reclaim(self.size) {
                true => self.free.push(buffer),
                false => self.used.push_back(buffer),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const BYTES: usize = 4096;
    const PART: usize = BYTES / PARTS;

    /// Reads so many bytes of this value.
    fn take(buffers: &mut Buffers, value: u8, bytes: usize) -> Bytes {
        let read = buffers.read(|buffer| {
            buffer.extend_from_slice(&vec![value; bytes]);
            Poll::Ready(Ok::<_, ()>(bytes))
        });
        let Poll::Ready(Ok(piece)) = read else {
            panic!("{read:?}");
        };
        assert_eq!(piece, vec![value; bytes]);
        piece
    }

    #[test]
    fn memory_comes_back_when_its_last_part_is_gone_and_not_before() {
        let mut buffers = Buffers::new(BYTES);
        let first = take(&mut buffers, 7, BYTES);
        let place = first.as_ptr();
        let second = take(&mut buffers, 8, BYTES);
        assert_ne!(second.as_ptr(), place, "it is still held");
        assert_eq!(first, vec![7; BYTES]);
        drop(first);
        let more = [0, 1].map(|_| take(&mut buffers, 9, BYTES));
        assert!(more.iter().any(|piece| piece.as_ptr() == place));
    }

    #[test]
    fn pieces_lie_one_after_the_other_and_small_ones_elsewhere() {
        let mut buffers = Buffers::new(BYTES);
        let first = take(&mut buffers, 1, PART);
        let small = take(&mut buffers, 2, PART - 1);
        let second = take(&mut buffers, 3, PART);
        assert_eq!(first.as_ptr().wrapping_add(first.len()), second.as_ptr());
        assert_eq!(small, vec![2; PART - 1]);
    }

    #[test]
    fn nothing_is_lost_of_a_buffer_by_a_read_that_waits_or_fails() {
        let mut buffers = Buffers::new(BYTES);
        let first = take(&mut buffers, 1, PART);
        assert!((buffers.read(|_| Poll::<Result<usize, ()>>::Pending)).is_pending());
        let failed = buffers.read(|_| Poll::Ready(Err(())));
        assert_eq!(failed, Poll::Ready(Err(())));
        let second = take(&mut buffers, 2, PART);
        assert_eq!(first.as_ptr().wrapping_add(first.len()), second.as_ptr());
    }

    #[test]
    fn of_many_that_are_free_few_take_turns() {
        let mut buffers = Buffers::new(BYTES);
        let mut take = |value| take(&mut buffers, value, BYTES);
        drop((0..50).map(|_| take(1)).collect::<Vec<_>>());
        let mut places = || -> HashSet<_> { (0..50).map(|_| take(2).as_ptr()).collect() };
        places();
        assert!(places().len() <= 2 * LOOKS);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let size = 128 << 10;
        let mut buffers = Buffers::new(size);
        let most = REMEMBERED_BYTES_MAX / size;
        for _ in 0..2 * most {
            std::mem::forget(take(&mut buffers, 0, size));
        }
        assert_eq!(buffers.used.len() + buffers.free.len(), most);
    }

    #[test]
    fn bulk_has_more_room() {
        let room = |amount| {
            let mut room = 0;
            let read = read(amount, |buffer| {
                room = buffer.capacity();
                Poll::<Result<usize, ()>>::Pending
            });
            assert!(read.is_pending());
            room
        };
        assert!(room(Amount::Little) < room(Amount::Bulk));
    }
}
