//! The parser's input: bytes that have arrived and are not used up, with when they arrived. Not for what they mean.

use std::collections::VecDeque;

use bytes::{Buf as _, Bytes, BytesMut};

use crate::frame::Payload;

/// A push smaller than this is copied behind the one before it, so that a camera that drips its bytes can't make each of them hold a
/// whole receive buffer.
const SMALL: usize = 256;
/// How much is gathered so in one piece.
const GATHERED: usize = 4096;
/// So many arrival times are kept exactly.
const ARRIVALS_EXACT: usize = 256;
/// Beyond them, arrivals closer than this are one.
const ARRIVAL_GRAIN_US: u64 = 5_000;
/// No more than so many are kept.
const ARRIVALS_MAX: usize = 8192;

/// Positions are absolute: bytes from the first one ever pushed.
#[derive(Debug, Default)]
pub(crate) struct Window {
    slices: VecDeque<Slice>,
    gathering: BytesMut,
    start: u64,
    end: u64,
    /// End position and time of each push, oldest first.
    arrivals: VecDeque<(u64, i64)>,
}

/// A piece of the input, and the position behind it: there may be a hundred thousand in a large picture.
#[derive(Debug)]
struct Slice {
    bytes: Bytes,
    end: u64,
}

impl Slice {
    fn start(&self) -> u64 {
        self.end - self.bytes.len() as u64
    }
}

impl Window {
    pub fn push(&mut self, bytes: Bytes, now_us: i64) {
        if bytes.is_empty() {
            return;
        }
        if bytes.len() >= SMALL {
            self.seal_gathering();
            self.end += bytes.len() as u64;
            self.slices.push_back(Slice {
                bytes,
                end: self.end,
            });
        } else {
            self.end += bytes.len() as u64;
            self.gathering.extend_from_slice(&bytes);
            if self.gathering.len() >= GATHERED {
                self.seal_gathering();
            }
        }
        let joins = self.joins_last_arrival(now_us);
        match self.arrivals.back_mut() {
            Some(last) if joins => *last = (self.end, now_us),
            _ => self.arrivals.push_back((self.end, now_us)),
        }
    }

    /// Whether an arrival at `now_us` is noted together with the last one: exact up to some number of arrivals, then to the grain, and
    /// for a camera that drips for minutes not at all.
    fn joins_last_arrival(&self, now_us: i64) -> bool {
        let count = self.arrivals.len();
        let before = count
            .checked_sub(2)
            .and_then(|index| self.arrivals.get(index));
        self.arrivals.back().is_some_and(|last| last.1 == now_us)
            || count >= ARRIVALS_MAX
            || count >= ARRIVALS_EXACT
                && before.is_some_and(|(_, us)| now_us.abs_diff(*us) < ARRIVAL_GRAIN_US)
    }

    fn seal_gathering(&mut self) {
        if !self.gathering.is_empty() {
            self.slices.push_back(Slice {
                bytes: self.gathering.split().freeze(),
                end: self.end,
            });
        }
    }

    /// Position of the first byte that is not used up.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Position behind the last byte.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// When the byte before `position` arrived.
    pub fn arrived_us(&self, position: u64) -> i64 {
        let covering = self.arrivals.iter().find(|(end, _)| *end >= position);
        covering
            .or(self.arrivals.back())
            .map_or(0, |(_, now_us)| *now_us)
    }

    /// The bytes from `position` on, piece by piece; no piece is empty.
    pub fn pieces(&self, position: u64) -> impl Iterator<Item = &[u8]> {
        let first = self.piece(position);
        let behind = self.slice_at(position) + 1;
        let slices = self.slices.range(behind.min(self.slices.len())..);
        // The first may be what is being gathered.
        let gathering = (behind <= self.slices.len()).then_some(self.gathering.as_ref());
        std::iter::once(first)
            .chain(slices.map(|slice| slice.bytes.as_ref()))
            .chain(gathering)
            .filter(|piece| !piece.is_empty())
    }

    /// Which slice holds `position`; as many as there are if none does.
    fn slice_at(&self, position: u64) -> usize {
        match self.slices.front() {
            Some(front) if position < front.end => 0,
            _ => self.slices.partition_point(|slice| slice.end <= position),
        }
    }

    /// The byte at `position`, if it is there.
    pub fn byte(&self, position: u64) -> Option<u8> {
        self.piece(position).first().copied()
    }

    /// The bytes from `position` on that lie in one piece; empty if there are none. What `pieces` would give first, at a fraction of the cost.
    pub fn piece(&self, position: u64) -> &[u8] {
        let (bytes, start) = match self.slices.get(self.slice_at(position)) {
            Some(slice) => (slice.bytes.as_ref(), slice.start()),
            None => {
                let bytes = self.gathering.as_ref();
                (bytes, self.end - bytes.len() as u64)
            }
        };
        bytes
            .get(position.saturating_sub(start) as usize..)
            .unwrap_or_default()
    }

    /// Whether the bytes from `position` on begin with `prefix`; `None` if they may yet.
    pub fn begins<const N: usize>(&self, position: u64, prefix: &[u8; N]) -> Option<bool> {
        if let Some(beginning) = self.piece(position).first_chunk() {
            return Some(beginning == prefix);
        }
        let mut left = &prefix[..];
        for piece in self.pieces(position) {
            let n = piece.len().min(left.len());
            if piece[..n] != left[..n] {
                return Some(false);
            }
            left = &left[n..];
            if left.is_empty() {
                return Some(true);
            }
        }
        if left.is_empty() { Some(true) } else { None }
    }

    /// Copies up to `max` bytes from `position` on behind `out`.
    pub fn copy(&self, position: u64, max: usize, out: &mut Vec<u8>) {
        let mut left = max;
        for piece in self.pieces(position) {
            let n = piece.len().min(left);
            out.extend_from_slice(&piece[..n]);
            left -= n;
            if left == 0 {
                break;
            }
        }
    }

    /// Uses up all bytes before `position`.
    pub fn skip_to(&mut self, position: u64) {
        let mut left = position.min(self.end).saturating_sub(self.start) as usize;
        self.start += left as u64;
        while left > 0 {
            match self.slices.front_mut() {
                Some(front) if front.bytes.len() > left => {
                    front.bytes.advance(left);
                    break;
                }
                Some(front) => {
                    left -= front.bytes.len();
                    self.slices.pop_front();
                }
                None => {
                    self.gathering.advance(left);
                    break;
                }
            }
        }
        while self.arrivals.len() > 1
            && self
                .arrivals
                .front()
                .is_some_and(|(end, _)| *end <= self.start)
        {
            self.arrivals.pop_front();
        }
    }

    /// Uses up the bytes before `position` and gives them as slices, without a copy.
    pub fn take_to(&mut self, position: u64) -> Payload {
        let mut payload = Payload::default();
        let mut left = position.min(self.end).saturating_sub(self.start) as usize;
        while left > 0 {
            if self.slices.is_empty() {
                self.seal_gathering();
            }
            let slice = match self.slices.front_mut() {
                Some(front) if front.bytes.len() > left => front.bytes.split_to(left),
                _ => match self.slices.pop_front() {
                    Some(front) => front.bytes,
                    None => break,
                },
            };
            left -= slice.len();
            payload.push(slice);
        }
        self.start += payload.len() as u64;
        self.skip_to(self.start);
        payload
    }

    /// The bytes between two positions as one piece: a slice where they lie in one, else a copy. For header lines.
    pub fn one_piece(&self, from: u64, to: u64) -> Bytes {
        let len = to.saturating_sub(from) as usize;
        if let Some(slice) = self.slices.get(self.slice_at(from)) {
            let skip = from.saturating_sub(slice.start()) as usize;
            if slice.bytes.len() - skip >= len {
                return slice.bytes.slice(skip..skip + len);
            }
        }
        let mut out = Vec::with_capacity(len);
        self.copy(from, len, &mut out);
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_of_many_small_pushes_stay_close_to_the_truth() {
        let mut window = Window::default();
        for push in 1..=10_000 {
            window.push(Bytes::from_static(b"x"), push * 1000);
            assert_eq!(window.arrived_us(window.end()), push * 1000);
        }
        for position in 1..=10_000 {
            let late_us = window.arrived_us(position) - position as i64 * 1000;
            assert!((0..=5000).contains(&late_us), "{late_us} at {position}");
        }
        for push in 10_000..90_000 {
            window.push(Bytes::from_static(b"x"), push * 1000);
        }
        assert!(window.arrivals.len() <= ARRIVALS_MAX);
    }
}
