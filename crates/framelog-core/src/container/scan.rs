//! Reads a segment frame by frame, by what it says of itself, whatever bytes it holds. Not for what is made of the frames, and not for
//! files: how to read is the caller's.

use std::io;
use std::ops::Range;

use super::{Bookend, Format, Head, Stored};

/// Bytes that are read anywhere: a file, or memory.
pub trait ReadAt {
    /// How many there are.
    ///
    /// # Errors
    /// As the caller's medium has them.
    fn byte_len(&self) -> io::Result<u64>;

    /// Fills the buffer from `at` on, as far as there are bytes, and says how many there were.
    ///
    /// # Errors
    /// As [`ReadAt::byte_len`].
    fn fill(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;
}

impl ReadAt for [u8] {
    fn byte_len(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn fill(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let bytes = self.get(at..).unwrap_or_default();
        let filled = bytes.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(bytes) {
            *to = *from;
        }
        Ok(filled)
    }
}

/// How closely a segment is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// The heads only: some 300 bytes a frame are read.
    #[default]
    Heads,
    /// Every byte, against its frame's checksum.
    Bytes,
}

/// A frame in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Of the payload, bytes from the segment's beginning.
    pub offset: u64,
    /// Of the payload, bytes.
    pub length: u64,
    /// What its head says.
    pub stored: Stored,
}

/// What was found in a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Whole frames, in the order in which they lie.
    pub frames: Vec<Found>,
    /// Stretches that are no whole frame, in bytes. One that reaches the file's end is a torn write, if anything.
    pub damaged: Vec<Range<u64>>,
    /// Where the last whole frame ends, or where the scan began.
    pub end: u64,
    /// What closes the file behind the frames, whole; bytes, 0 if nothing does.
    pub closing: u64,
    /// Length of the file, bytes.
    pub file_len: u64,
}

impl Scan {
    /// Bytes at the file's end that are neither a whole frame nor what closes the file.
    pub fn torn(&self) -> u64 {
        self.file_len.saturating_sub(self.end + self.closing)
    }
}

/// Reads the span of a segment from its beginning on, where a frame or the file is expected to begin, and shows each frame with its payload,
/// which is empty at [`Depth::Heads`]. Memory: one frame at most, or what opens or closes the file. Behind damage, the file is read a dozen
/// times at most, whatever is in it.
///
/// # Errors
/// Those of reading.
pub fn scan_each<R: ReadAt + ?Sized>(
    source: &R,
    format: &Format,
    span: Range<u64>,
    depth: Depth,
    mut each: impl FnMut(&Found, &[u8]),
) -> io::Result<Scan> {
    let file_len = source.byte_len()?;
    let mut walk = Walk::new(source, format, span.end.min(file_len));
    walk.closing_at = match &format.closing {
        Some(closing) if span.end >= file_len => closing_at(source, closing, file_len)?,
        _ => None,
    };
    let mut scan = Scan {
        end: span.start,
        file_len,
        ..Scan::default()
    };
    let mut at = span.start;
    if at == 0 {
        let opening = opening(source, format)?;
        at = opening.map_or(0, |opening| opening.len() as u64);
    }
    while at < walk.limit {
        at = match walk.whole_frame(at, depth)? {
            Some((found, end)) => {
                each(&found, &walk.payload);
                scan.frames.push(found);
                scan.end = end;
                end
            }
            None if walk.closing_at == Some(at) => {
                scan.closing = file_len - at;
                file_len
            }
            None => {
                let next = walk.next_frame(at)?;
                scan.damaged.push(at..next);
                next
            }
        };
    }
    Ok(scan)
}

/// The frame whose payload lies at `offset`, if there is one of that length and it is, to the last bit, what was written.
///
/// # Errors
/// Those of reading.
pub fn frame_at<R: ReadAt + ?Sized>(
    source: &R,
    format: &Format,
    offset: u64,
    length: u64,
) -> io::Result<Option<(Stored, Vec<u8>)>> {
    let file_len = source.byte_len()?;
    if offset.checked_add(length).is_none_or(|end| end > file_len) {
        return Ok(None);
    }
    let from = offset.saturating_sub(format.head_max as u64);
    let Some(before) = read(source, from, offset - from)? else {
        return Ok(None);
    };
    let head = format.read_head_back(&before);
    let Some(head) = head.filter(|head| head.payload_len == length) else {
        return Ok(None);
    };
    let payload = read(source, offset, length)?.filter(|payload| head.vouches_for(payload));
    Ok(payload.map(|payload| (head.stored, payload)))
}

/// What opens the file, if its format has something there and it is whole.
///
/// # Errors
/// Those of reading.
pub fn opening<R: ReadAt + ?Sized>(source: &R, format: &Format) -> io::Result<Option<Vec<u8>>> {
    let Some(opening) = &format.opening else {
        return Ok(None);
    };
    let mut edge = vec![0; opening.edge];
    let filled = source.fill(&mut edge, 0)?;
    let Some(len) = edge.get(..filled).and_then(opening.len) else {
        return Ok(None);
    };
    let bytes = read(source, 0, len as u64)?;
    Ok(bytes.filter(|bytes| (opening.is_whole)(bytes)))
}

/// Where what closes the file begins, if it is whole.
fn closing_at<R: ReadAt + ?Sized>(
    source: &R,
    closing: &Bookend,
    file_len: u64,
) -> io::Result<Option<u64>> {
    let edge = (closing.edge as u64).min(file_len);
    let edge = read(source, file_len - edge, edge)?;
    let len = edge.and_then(|edge| (closing.len)(&edge));
    let Some(at) = len.and_then(|len| file_len.checked_sub(len as u64)) else {
        return Ok(None);
    };
    let bytes = read(source, at, file_len - at)?;
    Ok(bytes.filter(|bytes| (closing.is_whole)(bytes)).map(|_| at))
}

/// So many bytes, which are known to be there; `None` if they no longer are.
fn read<R: ReadAt + ?Sized>(source: &R, at: u64, len: u64) -> io::Result<Option<Vec<u8>>> {
    // Not longer than the file, so it fits.
    let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
    let filled = source.fill(&mut bytes, at)?;
    Ok((filled == bytes.len()).then_some(bytes))
}

/// How often a search reads the file at most, looking for frames that are whole. Frames as they are written don't overlap, so that once is
/// enough; a camera can make a picture out of heads that each claim all the rest.
const EFFORT: u64 = 8;

/// A scan on its way.
struct Walk<'s, R: ?Sized> {
    source: &'s R,
    format: &'s Format,
    /// Nothing lies behind it.
    limit: u64,
    /// Where what closes the file begins, unless a frame lies there.
    closing_at: Option<u64>,
    edges: Edges,
    payload: Vec<u8>,
    /// How many more bytes may be read to find frames behind damage.
    effort: u64,
}

impl<'s, R: ReadAt + ?Sized> Walk<'s, R> {
    fn new(source: &'s R, format: &'s Format, limit: u64) -> Self {
        Self {
            source,
            format,
            limit,
            closing_at: None,
            edges: Edges::new(format.tail.len() + format.head_max),
            payload: Vec::new(),
            effort: limit.saturating_mul(EFFORT),
        }
    }

    /// The frame that begins at `at`, if it is whole, and where it ends. Its payload is left behind, if it was read.
    fn whole_frame(&mut self, at: u64, depth: Depth) -> io::Result<Option<(Found, u64)>> {
        self.payload.clear();
        let Some((head, found, end)) = self.framed(at)? else {
            return Ok(None);
        };
        if depth == Depth::Bytes && !self.is_intact(&head, &found)? {
            return Ok(None);
        }
        Ok(Some((found, end)))
    }

    /// What begins at `at` with a head and ends with a tail, and where.
    fn framed(&mut self, at: u64) -> io::Result<Option<(Head, Found, u64)>> {
        let bytes = self.edges.read(self.source, at, self.format.head_max)?;
        let Some(head) = (self.format.read_head)(bytes) else {
            return Ok(None);
        };
        let Some(end) = (self.format)
            .framed_len(&head)
            .and_then(|len| at.checked_add(len))
            .filter(|&end| end <= self.limit)
        else {
            return Ok(None);
        };
        let tail = self.format.tail;
        let tail_at = end - tail.len() as u64;
        if !tail.is_empty() && self.edges.read(self.source, tail_at, tail.len())? != tail {
            return Ok(None);
        }
        let found = Found {
            offset: at + head.len as u64,
            length: head.payload_len,
            stored: head.stored,
        };
        Ok(Some((head, found, end)))
    }

    fn is_intact(&mut self, head: &Head, found: &Found) -> io::Result<bool> {
        // As long as the file at most, so it fits.
        let length = usize::try_from(found.length).unwrap_or_default();
        self.payload.resize(length, 0);
        let filled = self.source.fill(&mut self.payload, found.offset)?;
        Ok(filled == length && head.vouches_for(&self.payload))
    }

    /// Where the next whole frame begins behind the damage at `at`, or what closes the file; the end if there is nothing.
    fn next_frame(&mut self, at: u64) -> io::Result<u64> {
        const WINDOW: usize = 64 << 10;
        let start = self.format.start;
        let mut window = vec![0; WINDOW];
        let mut from = at + 1;
        while from < self.limit {
            let read = self.source.fill(&mut window, from)?;
            let seen = window.get(..read).unwrap_or_default();
            for candidate in memchr::memmem::find_iter(seen, start) {
                let candidate = from + candidate as u64;
                if self.is_frame_for_certain(candidate)? {
                    return Ok(candidate);
                }
            }
            from += (WINDOW - (start.len() - 1)) as u64;
        }
        Ok(self
            .closing_at
            .filter(|&closing| closing > at)
            .unwrap_or(self.limit))
    }

    /// A picture may hold anything, even something like a part of ours: only a checksum counts.
    fn is_frame_for_certain(&mut self, at: u64) -> io::Result<bool> {
        let Some((head, found, _)) = self.framed(at)? else {
            return Ok(false);
        };
        let Some(effort) = self.effort.checked_sub(found.length) else {
            return Ok(false);
        };
        self.effort = effort;
        self.is_intact(&head, &found)
    }
}

/// The bytes around payloads. What follows a tail is read with it, for it is the next head: one call a frame.
struct Edges {
    at: u64,
    len: usize,
    bytes: Vec<u8>,
}

impl Edges {
    fn new(size: usize) -> Self {
        Self {
            at: 0,
            len: 0,
            bytes: vec![0; size],
        }
    }

    /// So many bytes from there on, fewer where they end.
    fn read<R: ReadAt + ?Sized>(&mut self, source: &R, at: u64, len: usize) -> io::Result<&[u8]> {
        let held = at
            .checked_sub(self.at)
            .and_then(|from| usize::try_from(from).ok());
        let from = match held {
            Some(from) if from.saturating_add(len) <= self.len => from,
            _ => {
                self.at = at;
                self.len = source.fill(&mut self.bytes, at)?;
                0
            }
        };
        let to = self.len.min(from + len);
        Ok(self.bytes.get(from..to).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
