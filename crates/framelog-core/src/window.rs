//! The parser's input: bytes that have arrived and are not used up, with when they arrived. Not for what they mean.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::frame::Payload;

/// A push smaller than this is copied behind the one before it, so that a camera that drips its bytes can't make each of them hold a
/// whole receive buffer.
const SMALL: usize = 256;
/// How much is gathered so in one piece.
const GATHERED: usize = 4096;
/// Above so many arrival times those of neighbouring pushes are merged.
const ARRIVALS_MAX: usize = 256;

/// Positions are absolute: bytes from the first one ever pushed.
#[derive(Debug, Default)]
pub(crate) struct Window {
    slices: VecDeque<Bytes>,
    gathering: BytesMut,
    start: u64,
    end: u64,
    /// End position and time of each push, oldest first.
    arrivals: VecDeque<(u64, i64)>,
}

impl Window {
    pub fn push(&mut self, bytes: Bytes, now_us: i64) {
        if bytes.is_empty() {
            return;
        }
        self.end += bytes.len() as u64;
        if bytes.len() >= SMALL {
            self.seal_gathering();
            self.slices.push_back(bytes);
        } else {
            self.gathering.extend_from_slice(&bytes);
            if self.gathering.len() >= GATHERED {
                self.seal_gathering();
            }
        }
        let full = self.arrivals.len() >= ARRIVALS_MAX;
        match self.arrivals.back_mut() {
            Some(last) if full || last.1 == now_us => *last = (self.end, now_us),
            _ => self.arrivals.push_back((self.end, now_us)),
        }
    }

    fn seal_gathering(&mut self) {
        if !self.gathering.is_empty() {
            self.slices.push_back(self.gathering.split().freeze());
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
        let mut skip = position.saturating_sub(self.start) as usize;
        self.slices
            .iter()
            .map(Bytes::as_ref)
            .chain([self.gathering.as_ref()])
            .filter_map(move |piece| {
                let skipped = skip.min(piece.len());
                skip -= skipped;
                let rest = &piece[skipped..];
                (!rest.is_empty()).then_some(rest)
            })
    }

    /// The byte at `position`, if it is there.
    pub fn byte(&self, position: u64) -> Option<u8> {
        self.pieces(position).next().map(|piece| piece[0])
    }

    /// Whether the bytes from `position` on begin with `prefix`; `None` if they may yet.
    pub fn begins(&self, position: u64, prefix: &[u8]) -> Option<bool> {
        let mut left = prefix;
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
                Some(front) if front.len() > left => {
                    let _ = front.split_to(left);
                    break;
                }
                Some(front) => {
                    left -= front.len();
                    self.slices.pop_front();
                }
                None => {
                    let _ = self.gathering.split_to(left);
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
            let Some(mut front) = self.slices.pop_front() else {
                break;
            };
            let slice = if front.len() > left {
                let slice = front.split_to(left);
                self.slices.push_front(front);
                slice
            } else {
                front
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
        let mut skip = from.saturating_sub(self.start) as usize;
        for slice in &self.slices {
            if skip < slice.len() {
                if slice.len() - skip >= len {
                    return slice.slice(skip..skip + len);
                }
                break;
            }
            skip -= slice.len();
        }
        let mut out = Vec::with_capacity(len);
        self.copy(from, len, &mut out);
        out.into()
    }
}
