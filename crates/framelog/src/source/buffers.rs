//! Buffers to read into, used again once everything read into them has been written. Fresh memory costs a page fault for every 4 KiB,
//! more than the copying. Not for what is in them.
//!
//! Each reader thread has its own, so no lock is needed.

use std::cell::RefCell;
use std::collections::VecDeque;

use bytes::BytesMut;

/// Several frames share one.
pub const BUFFER_BYTES: usize = 64 << 10;

/// So many are remembered, 32 MiB: what some 200 MB/s have on their way to the disk. Others are freed when they have been written.
const REMEMBERED_MAX: usize = 512;
/// So many are looked at before fresh memory is taken: one may be held for long, by a part that trickles in.
const LOOKS: usize = 4;

thread_local! {
    /// Used up, the oldest first: empty handles to memory that others may still hold parts of.
    static USED: RefCell<VecDeque<BytesMut>> = const { RefCell::new(VecDeque::new()) };
}

/// An empty buffer with room for [`BUFFER_BYTES`].
pub fn take() -> BytesMut {
    USED.with_borrow_mut(|used| {
        for _ in 0..LOOKS.min(used.len()) {
            let Some(mut buffer) = used.pop_front() else {
                break;
            };
            if buffer.try_reclaim(BUFFER_BYTES) {
                return buffer;
            }
            used.push_back(buffer);
        }
        BytesMut::with_capacity(BUFFER_BYTES)
    })
}

/// A buffer has no more room that is worth a read: it comes back when nobody holds a part of it.
pub fn give_back(buffer: BytesMut) {
    USED.with_borrow_mut(|used| {
        if used.len() >= REMEMBERED_MAX {
            used.pop_front();
        }
        used.push_back(buffer);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(buffer: &mut BytesMut) -> bytes::Bytes {
        buffer.extend_from_slice(&[7; BUFFER_BYTES]);
        buffer.split().freeze()
    }

    #[test]
    fn memory_comes_back_when_its_last_part_is_gone_and_not_before() {
        let mut first = take();
        let part = fill(&mut first);
        let place = part.as_ptr();
        give_back(first);

        let mut second = take();
        assert_ne!(fill(&mut second).as_ptr(), place, "it is still held");
        assert!(part.iter().all(|&byte| byte == 7));
        give_back(second);

        drop(part);
        let both = [take(), take()].map(|mut buffer| fill(&mut buffer).as_ptr());
        assert!(both.contains(&place));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        for _ in 0..2 * REMEMBERED_MAX {
            give_back(BytesMut::new());
        }
        USED.with_borrow(|used| assert_eq!(used.len(), REMEMBERED_MAX));
    }
}
