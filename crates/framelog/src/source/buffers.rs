//! Buffers to read into, used again once everything read into them has been written. Fresh memory costs a page fault for every 4 KiB,
//! more than the copying. Not for what is in them.
//!
//! Each reader thread has its own, so no lock is needed. All its cameras read into the same one until it is full: a buffer for each would mostly
//! be empty.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::mem;
use std::task::Poll;

use bytes::{Bytes, BytesMut};

/// Several frames share one.
const BUFFER_BYTES: usize = 128 << 10;
/// Less room than this is not worth a read.
const ROOM_BYTES_MIN: usize = SHARED_BYTES_MIN;
/// Fewer bytes are copied out: a picture that trickles in must not hold many buffers for the little it has in each. So what waits holds at
/// most eight times its bytes of memory.
const SHARED_BYTES_MIN: usize = BUFFER_BYTES / 8;
/// So many are remembered, 32 MiB: what some 150 MB/s have on their way to the disk. Others are freed when they have been written.
const REMEMBERED_MAX: usize = 256;
/// So many of those that were used up are looked at each time: one may be held for long.
const LOOKS: usize = 4;

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::new(Buffers {
        current: BytesMut::with_capacity(BUFFER_BYTES),
        used: VecDeque::new(),
        free: Vec::new(),
    });
}

/// Those of one thread.
#[derive(Debug)]
struct Buffers {
    /// What is read into now.
    current: BytesMut,
    /// Used up, the oldest first: empty handles to memory that others may still hold parts of.
    used: VecDeque<BytesMut>,
    /// Those that nobody holds any more. The last comes first: the processor's cache may still have it, and after a stall of the disk there are
    /// many.
    free: Vec<BytesMut>,
}

/// Lets `read` append to the thread's buffer, once; what it has appended.
pub fn read<E>(
    read: impl FnOnce(&mut BytesMut) -> Poll<Result<usize, E>>,
) -> Poll<Result<Bytes, E>> {
    BUFFERS.with_borrow_mut(|buffers| {
        if buffers.current.capacity() < ROOM_BYTES_MIN {
            buffers.replace();
        }
        let current = &mut buffers.current;
        read(current).map_ok(|_| {
            if current.len() >= SHARED_BYTES_MIN {
                return current.split().freeze();
            }
            let copy = Bytes::copy_from_slice(current);
            current.clear();
            copy
        })
    })
}

impl Buffers {
    /// Goes on with a buffer of which nobody holds a part any more, or a new one.
    fn replace(&mut self) {
        self.reclaim();
        let next = (self.free.pop()).unwrap_or_else(|| BytesMut::with_capacity(BUFFER_BYTES));
        let full = mem::replace(&mut self.current, next);
        if self.used.len() + self.free.len() >= REMEMBERED_MAX {
            self.used.pop_front();
        }
        self.used.push_back(full);
    }

    fn reclaim(&mut self) {
        for _ in 0..LOOKS.min(self.used.len()) {
            let Some(mut buffer) = self.used.pop_front() else {
                break;
            };
            match buffer.try_reclaim(BUFFER_BYTES) {
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

    /// Reads so many bytes of this value.
    fn take(value: u8, bytes: usize) -> Bytes {
        let read = read(|buffer| {
            buffer.extend_from_slice(&vec![value; bytes]);
            Poll::Ready(Ok::<_, ()>(bytes))
        });
        let Poll::Ready(Ok(piece)) = read else {
            panic!("{read:?}");
        };
        assert_eq!(piece, vec![value; bytes]);
        piece
    }

    fn remembered() -> usize {
        BUFFERS.with_borrow(|buffers| buffers.used.len() + buffers.free.len())
    }

    #[test]
    fn memory_comes_back_when_its_last_part_is_gone_and_not_before() {
        let first = take(7, BUFFER_BYTES);
        let place = first.as_ptr();
        let second = take(8, BUFFER_BYTES);
        assert_ne!(second.as_ptr(), place, "it is still held");
        assert_eq!(first, vec![7; BUFFER_BYTES]);
        drop(first);
        let more = [take(9, BUFFER_BYTES), take(9, BUFFER_BYTES)];
        assert!(more.iter().any(|piece| piece.as_ptr() == place));
    }

    #[test]
    fn pieces_lie_one_after_the_other_and_small_ones_elsewhere() {
        let first = take(1, SHARED_BYTES_MIN);
        let small = take(2, SHARED_BYTES_MIN - 1);
        let second = take(3, SHARED_BYTES_MIN);
        assert_eq!(first.as_ptr().wrapping_add(first.len()), second.as_ptr());
        assert_eq!(small, vec![2; SHARED_BYTES_MIN - 1]);
    }

    #[test]
    fn nothing_is_lost_of_a_buffer_by_a_read_that_waits_or_fails() {
        let first = take(1, SHARED_BYTES_MIN);
        assert!(read(|_| Poll::<Result<usize, ()>>::Pending).is_pending());
        let failed = read(|_| Poll::Ready(Err(())));
        assert_eq!(failed, Poll::Ready(Err(())));
        let second = take(2, SHARED_BYTES_MIN);
        assert_eq!(first.as_ptr().wrapping_add(first.len()), second.as_ptr());
    }

    #[test]
    fn of_many_that_are_free_few_take_turns() {
        drop((0..50).map(|_| take(1, BUFFER_BYTES)).collect::<Vec<_>>());
        let places = || -> HashSet<_> { (0..50).map(|_| take(2, BUFFER_BYTES).as_ptr()).collect() };
        places();
        assert!(places().len() <= 2 * LOOKS);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        for _ in 0..2 * REMEMBERED_MAX {
            std::mem::forget(take(0, BUFFER_BYTES));
        }
        assert_eq!(remembered(), REMEMBERED_MAX);
    }
}
