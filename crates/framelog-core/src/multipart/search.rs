//! Looking ahead in what has arrived: for line ends, delimiters, header lines and SOI. Not for what follows from finding them.

use bytes::Bytes;
use memchr::memmem;

use crate::delimiter::{self, Found, LINE_MAX, Next};
use crate::jpeg::{MARKER_SOS, SOI};

use super::Parser;

/// The longest line end: CR CR LF, in bytes.
pub(super) const LINE_END_MAX: u64 = 3;
/// How far a search looks at first, in bytes; then twice as far again and again, so that what is near costs little however much is here.
const SEARCH_BYTES: u64 = 1 << 10;
/// How many header segments a picture is looked through for, so that noise made of nothing else costs little.
const HEADER_SEGMENTS_MAX: usize = 32;
/// How much of a part that is no picture is shown, in bytes.
const BEGINNING_MAX: usize = 512;

/// A stretch of the input in which nothing was found, so that it is not gone over again for each of a thousand pictures in it.
#[derive(Debug, Default)]
pub(super) struct Searched {
    from: u64,
    to: u64,
}

impl Searched {
    /// Where a search from this position on really has to begin.
    fn behind(&self, position: u64) -> u64 {
        if (self.from..self.to).contains(&position) {
            self.to
        } else {
            position
        }
    }

    fn note(&mut self, from: u64, to: u64) {
        if (self.from..=self.to).contains(&from) {
            self.to = self.to.max(to);
        } else {
            *self = Self { from, to };
        }
    }
}

impl Parser {
    pub(super) fn held_since(&self, position: u64) -> u64 {
        self.window.end().saturating_sub(position)
    }

    /// Position of the first byte from `position` on that is no line end, or the end of what is there.
    pub(super) fn pass_line_ends(&self, position: u64) -> u64 {
        self.pass(position, |byte| matches!(byte, b'\r' | b'\n'))
    }

    /// As [`Self::pass_line_ends`], over zeros too: what is left of an aligned buffer.
    pub(super) fn pass_filler(&self, position: u64) -> u64 {
        self.pass(position, |byte| matches!(byte, b'\r' | b'\n' | 0))
    }

    fn pass(&self, position: u64, over: impl Fn(u8) -> bool) -> u64 {
        let mut at = position;
        for piece in self.window.pieces(position) {
            match piece.iter().position(|byte| !over(*byte)) {
                Some(offset) => return at + offset as u64,
                None => at += piece.len() as u64,
            }
        }
        at
    }

    /// End of the line that begins at `position`, and where the next one begins. Lines end in CRLF, LF or CR; CR CR LF is one end too.
    pub(super) fn line_at(&self, position: u64) -> Option<(u64, u64)> {
        // Nearly all lines lie in one piece, line end included; the others are below.
        let piece = self.window.piece(position);
        if let Some(offset) = memchr::memchr2(b'\r', b'\n', piece) {
            let line_end = position + offset as u64;
            match &piece[offset..] {
                [b'\r', b'\n', ..] => return Some((line_end, line_end + 2)),
                [b'\n', ..] => return Some((line_end, line_end + 1)),
                _ => {}
            }
        }
        let mut at = position;
        for piece in self.window.pieces(position) {
            let Some(offset) = memchr::memchr2(b'\r', b'\n', piece) else {
                at += piece.len() as u64;
                continue;
            };
            let line_end = at + offset as u64;
            let mut next = line_end;
            while self.window.byte(next) == Some(b'\r') && next - line_end < LINE_END_MAX - 1 {
                next += 1;
            }
            return match self.window.byte(next) {
                Some(b'\n') => Some((line_end, next + 1)),
                None if !self.finished => None,
                _ => Some((line_end, line_end + 1)),
            };
        }
        None
    }

    pub(super) fn copy(&mut self, from: u64, to: u64) {
        self.scratch.clear();
        self.window
            .copy(from, to.saturating_sub(from) as usize, &mut self.scratch);
    }

    pub(super) fn beginning(&mut self, start: u64, end: u64) -> Bytes {
        self.copy(start, end.min(start + BEGINNING_MAX as u64));
        Bytes::copy_from_slice(&self.scratch)
    }

    /// What follows a payload that would end at `end`.
    pub(super) fn next(&mut self, end: u64) -> Next {
        self.copy(end, end + 2 * LINE_MAX as u64);
        self.delimiter.next(&self.scratch, self.finished)
    }

    /// Searches for a delimiter from `searched` on that begins before `limit`; gives it, or where to search on. Lines may begin at `start`.
    pub(super) fn find_delimiter(
        &mut self,
        start: u64,
        searched: u64,
        limit: u64,
    ) -> (Option<u64>, u64) {
        let limit_seen = (limit + 3 * LINE_MAX as u64).min(self.window.end());
        let (mut at, mut reach) = (self.no_delimiter.behind(searched), SEARCH_BYTES);
        loop {
            if at >= limit {
                return (None, limit);
            }
            let from = at.saturating_sub(1).max(start);
            let to = (from + reach).min(limit_seen);
            self.copy(from, to);
            let last = self.finished && to == self.window.end();
            match self.delimiter.find(&self.scratch, from == start, last) {
                Found::At(offset) => {
                    let found = from + offset as u64;
                    self.no_delimiter.note(searched, found);
                    return if found < limit {
                        (Some(found), searched)
                    } else {
                        (None, limit)
                    };
                }
                Found::NotBefore(offset) => at = at.max(from + offset as u64),
            }
            self.no_delimiter.note(searched, at);
            if to >= limit_seen {
                return (None, at);
            }
            reach *= 2;
        }
    }

    /// Where the last line begins if it is the beginning of a delimiter, as far as it is there.
    pub(super) fn find_begun_delimiter(&mut self, start: u64) -> Option<u64> {
        let to = self.window.end();
        let from = to.saturating_sub(LINE_MAX as u64).max(start);
        self.copy(from, to);
        let line_end = (self.scratch.iter()).rposition(|byte| matches!(byte, b'\r' | b'\n'))?;
        let begins = self.delimiter.may_begin_as(&self.scratch[line_end + 1..]);
        begins.then_some(from + line_end as u64 + 1)
    }

    /// Where the first part's header line begins between two positions.
    pub(super) fn find_part_field(&mut self, from: u64, to: u64) -> Option<u64> {
        let begin = self.no_field.behind(from).saturating_sub(LINE_MAX as u64);
        let begin = begin.max(self.window.start());
        let found = self.search(begin, to, LINE_MAX, delimiter::find_field_line);
        self.no_field
            .note(from, found.unwrap_or(to.min(self.window.end())));
        found.map(|line_end| line_end + 1)
    }

    /// The first SOI that is followed by a marker, whole before `to`.
    pub(super) fn find_soi(&mut self, from: u64, to: u64) -> Option<u64> {
        let needle = [SOI[0], SOI[1], 0xFF];
        self.search(from, to, needle.len() - 1, |bytes| {
            memmem::find(bytes, &needle)
        })
    }

    /// Whether the header segments behind an SOI lead to a scan; `None` if they don't before `to`.
    pub(super) fn begins_picture(&mut self, soi: u64, to: u64) -> Option<bool> {
        let mut at = soi + SOI.len() as u64;
        let mut segments = 0;
        while segments < HEADER_SEGMENTS_MAX {
            self.copy(at, to.min(at + 4));
            at += match *self.scratch.as_slice() {
                // A fill byte.
                [0xFF, 0xFF, ..] => 1,
                [0xFF, MARKER_SOS, _, _] => return Some(true),
                [0xFF, 0xC0..=0xCF | 0xDB..=0xFE, high, low] => {
                    segments += 1;
                    2 + u64::from(u16::from_be_bytes([high, low]))
                }
                [_, _, _, _] => return Some(false),
                _ => return None,
            };
        }
        Some(false)
    }

    /// Whether the picture says that others follow it in the same file (CIPA DC-007, Multi-Picture Format).
    pub(super) fn is_first_of_several(&mut self, soi: u64) -> bool {
        let mut at = soi + SOI.len() as u64;
        for _ in 0..HEADER_SEGMENTS_MAX {
            self.copy(at, at + 8);
            at += match *self.scratch.as_slice() {
                [0xFF, 0xE2, _, _, b'M', b'P', b'F', 0] => return true,
                [0xFF, 0xFF, ..] => 1,
                [0xFF, MARKER_SOS, ..] => return false,
                [0xFF, _, high, low, ..] => 2 + u64::from(u16::from_be_bytes([high, low])),
                _ => return false,
            };
        }
        false
    }

    /// The first place between two positions that `find` finds, which may be in two stretches up to `overlap` bytes before the border.
    fn search(
        &mut self,
        from: u64,
        to: u64,
        overlap: usize,
        find: impl Fn(&[u8]) -> Option<usize>,
    ) -> Option<u64> {
        let to = to.min(self.window.end());
        let (mut from, mut reach) = (from, SEARCH_BYTES);
        while from < to {
            let end = (from + reach).min(to);
            self.copy(from, end);
            if let Some(offset) = find(&self.scratch) {
                return Some(from + offset as u64);
            }
            if end == to {
                break;
            }
            from = end - overlap as u64;
            reach *= 2;
        }
        None
    }

    /// `delimiter` less one line end before it.
    pub(super) fn before_line_end(&self, start: u64, delimiter: u64) -> u64 {
        let is =
            |position: u64, byte| position >= start && self.window.byte(position) == Some(byte);
        match delimiter.checked_sub(1) {
            Some(last)
                if is(last, b'\n')
                    && last.checked_sub(1).is_some_and(|before| is(before, b'\r')) =>
            {
                last - 1
            }
            Some(last) if is(last, b'\n') || is(last, b'\r') => last,
            _ => delimiter,
        }
    }

    /// `end`, unless it lies behind or inside the one line end that belongs to the delimiter following.
    pub(super) fn without_swallowed_line_end(&self, start: u64, end: u64) -> u64 {
        end.min(self.before_line_end(start, self.pass_line_ends(end)))
    }

    /// `end` less all line ends before it.
    pub(super) fn trim_line_ends(&self, start: u64, end: u64) -> u64 {
        self.trim(start, end, |byte| matches!(byte, b'\r' | b'\n'))
    }

    /// As [`Self::trim_line_ends`], less zeros and `FF` too: what a picture is filled up with.
    pub(super) fn trim_padding(&self, start: u64, end: u64) -> u64 {
        self.trim(start, end, |byte| matches!(byte, b'\r' | b'\n' | 0 | 0xFF))
    }

    fn trim(&self, start: u64, end: u64, off: impl Fn(u8) -> bool) -> u64 {
        let (mut at, mut trimmed) = (start, start);
        for piece in self.window.pieces(start) {
            let piece = &piece[..piece.len().min(end.saturating_sub(at) as usize)];
            if let Some(offset) = piece.iter().rposition(|byte| !off(*byte)) {
                trimmed = at + offset as u64 + 1;
            }
            at += piece.len() as u64;
        }
        trimmed
    }
}
