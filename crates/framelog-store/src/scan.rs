//! Reads a segment's file frame by frame, by what it says of itself. Not for what is made of the frames, and not for the index.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use framelog_core::container::mjpeg::{HEAD_MAX, Head, START, Stored, TAIL};

/// How closely a file is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// The heads only: some 300 bytes a frame are read.
    #[default]
    Heads,
    /// Every byte, against its frame's checksum.
    Bytes,
}

/// A frame in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Of the payload, bytes from the file's beginning.
    pub offset: u64,
    /// Of the payload, bytes.
    pub length: u64,
    /// What its head says.
    pub stored: Stored,
}

/// What was found in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Whole frames, in the order in which they lie.
    pub frames: Vec<Found>,
    /// Stretches that are no whole frame, in bytes. One that reaches the file's end is a torn write, if anything.
    pub damaged: Vec<Range<u64>>,
    /// Where the last whole frame ends, or where the scan began.
    pub end: u64,
    /// Length of the file, bytes.
    pub file_len: u64,
}

/// Reads a `.mjpeg` file from `from` on, where a frame is expected to begin. Memory: one frame at most, at `Depth::Bytes`.
pub(crate) fn scan(file: &File, from: u64, depth: Depth) -> io::Result<Scan> {
    scan_each(file, from..u64::MAX, depth, |_, _| ())
}

/// Reads a part of a file as [`scan`] does, and shows each frame with its payload, which is empty at `Depth::Heads`.
pub(crate) fn scan_each(
    file: &File,
    span: Range<u64>,
    depth: Depth,
    mut each: impl FnMut(&Found, &[u8]),
) -> io::Result<Scan> {
    let file_len = file.metadata()?.len();
    let limit = span.end.min(file_len);
    let mut scan = Scan {
        end: span.start,
        file_len,
        ..Scan::default()
    };
    let mut edges = Edges::new(file);
    let mut payload = Vec::new();
    let mut at = span.start;
    while at < limit {
        let next = match whole_frame(&mut edges, at, limit, depth, &mut payload)? {
            Some((found, end)) => {
                each(&found, &payload);
                scan.frames.push(found);
                scan.end = end;
                end
            }
            None => {
                let next = next_frame(&mut edges, at, limit, &mut payload)?;
                if depth == Depth::Heads {
                    payload.clear(); // the search read frames whole
                }
                scan.damaged.push(at..next);
                next
            }
        };
        at = next;
    }
    Ok(scan)
}

/// The frame whose payload lies at `offset`, if there is one of that length and it is, to the last bit, what was written.
pub(crate) fn frame_at(
    file: &File,
    offset: u64,
    length: u64,
) -> io::Result<Option<(Stored, Vec<u8>)>> {
    let from = offset.saturating_sub(HEAD_MAX as u64);
    let end = offset.checked_add(length);
    if end.is_none_or(|end| file.metadata().is_ok_and(|metadata| metadata.len() < end)) {
        return Ok(None);
    }
    // Not longer than the file, so it fits.
    let mut before = vec![0; usize::try_from(offset - from).unwrap_or_default()];
    file.read_exact_at(&mut before, from)?;
    let Some(head) = Head::read_back(&before).filter(|head| head.payload_len == length) else {
        return Ok(None);
    };
    let mut payload = vec![0; usize::try_from(length).unwrap_or_default()];
    file.read_exact_at(&mut payload, offset)?;
    Ok(head.vouches_for(&payload).then_some((head.stored, payload)))
}

/// The frame that begins at `at`, if it is whole, and where it ends.
fn whole_frame(
    edges: &mut Edges<'_>,
    at: u64,
    file_len: u64,
    depth: Depth,
    payload: &mut Vec<u8>,
) -> io::Result<Option<(Found, u64)>> {
    let Some(head) = Head::read(edges.read(at, HEAD_MAX)?) else {
        return Ok(None);
    };
    let Some(end) = head
        .part_len()
        .and_then(|len| at.checked_add(len))
        .filter(|&end| end <= file_len)
    else {
        return Ok(None);
    };
    let found = Found {
        offset: at + head.len as u64,
        length: head.payload_len,
        stored: head.stored,
    };
    if edges.read(end - TAIL.len() as u64, TAIL.len())? != TAIL {
        return Ok(None);
    }
    if depth == Depth::Bytes {
        // As long as the file at most, so it fits.
        payload.resize(usize::try_from(found.length).unwrap_or_default(), 0);
        edges.file.read_exact_at(payload, found.offset)?;
        if !head.vouches_for(payload) {
            return Ok(None);
        }
    }
    Ok(Some((found, end)))
}

/// Where the next whole frame begins behind the damage at `at`; the file's end if there is none.
fn next_frame(
    edges: &mut Edges<'_>,
    at: u64,
    file_len: u64,
    payload: &mut Vec<u8>,
) -> io::Result<u64> {
    const WINDOW: usize = 64 << 10;
    let mut window = vec![0; WINDOW];
    let mut from = at + 1;
    loop {
        let read = read_some(edges.file, &mut window, from)?;
        let seen = window.get(..read).unwrap_or_default();
        for candidate in memchr::memmem::find_iter(seen, START) {
            let candidate = from + candidate as u64;
            // A picture may hold anything, even something like a part of ours: only a checksum counts.
            if whole_frame(edges, candidate, file_len, Depth::Bytes, payload)?.is_some() {
                return Ok(candidate);
            }
        }
        if read < WINDOW {
            return Ok(file_len);
        }
        from += (WINDOW - (START.len() - 1)) as u64;
    }
}

/// The bytes around payloads. What follows a tail is read with it, for it is the next head: one call a frame.
struct Edges<'f> {
    file: &'f File,
    at: u64,
    len: usize,
    bytes: [u8; TAIL.len() + HEAD_MAX],
}

impl<'f> Edges<'f> {
    fn new(file: &'f File) -> Self {
        Self {
            file,
            at: 0,
            len: 0,
            bytes: [0; TAIL.len() + HEAD_MAX],
        }
    }

    /// So many bytes from there on, fewer where the file ends.
    fn read(&mut self, at: u64, len: usize) -> io::Result<&[u8]> {
        let is_last = self.len < self.bytes.len();
        let held = |at: u64| usize::try_from(at.checked_sub(self.at)?).ok();
        let from = match held(at) {
            Some(from) if from + len <= self.len || (is_last && from < self.len) => from,
            _ => {
                self.at = at;
                self.len = read_some(self.file, &mut self.bytes, at)?;
                0
            }
        };
        let to = self.len.min(from + len);
        Ok(self.bytes.get(from..to).unwrap_or_default())
    }
}

/// Fills the buffer as far as the file goes.
fn read_some(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use bytes::Bytes;
    use framelog_core::clock::ClockKind;
    use framelog_core::container::mjpeg;
    use framelog_core::frame::{Codec, Frame};
    use proptest::prelude::*;

    use super::*;

    /// Frames of these sizes, and where each ends.
    fn segment(sizes: &[usize]) -> (Vec<u8>, Vec<u64>) {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for (n, &size) in sizes.iter().enumerate() {
            let frame = Frame {
                payload: Bytes::from(vec![n as u8; size]).into(),
                codec: Codec::Mjpeg,
                captured_us: n as i64,
                received_us: n as i64 + 5,
                clock: ClockKind::Camera,
                offset_us: 0,
                keyframe: true,
                complete: true,
            };
            mjpeg::write_head(&frame, &mut bytes);
            bytes.extend_from_slice(&frame.payload.to_vec());
            bytes.extend_from_slice(mjpeg::TAIL);
            ends.push(bytes.len() as u64);
        }
        (bytes, ends)
    }

    fn scanned(bytes: &[u8], depth: Depth) -> Scan {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        scan(&file, 0, depth).unwrap()
    }

    fn numbers(scan: &Scan) -> Vec<i64> {
        scan.frames
            .iter()
            .map(|found| found.stored.captured_us)
            .collect()
    }

    #[test]
    fn a_file_cut_at_every_byte_gives_the_whole_frames_before_the_cut() {
        let (bytes, ends) = segment(&[300, 0, 70, 500]);
        for depth in [Depth::Heads, Depth::Bytes] {
            for cut in 0..=bytes.len() {
                let scan = scanned(&bytes[..cut], depth);
                let whole: Vec<u64> = ends
                    .iter()
                    .copied()
                    .filter(|&end| end <= cut as u64)
                    .collect();
                assert_eq!(scan.frames.len(), whole.len(), "cut at {cut}");
                let end = whole.last().copied().unwrap_or(0);
                assert_eq!(scan.end, end);
                assert_eq!(scan.file_len, cut as u64);
            }
        }
    }

    #[test]
    fn a_lie_about_the_length_costs_one_frame_and_no_memory() {
        let (bytes, _) = segment(&[100, 100, 100]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let second = text.match_indices("Content-Length: 100").nth(1).unwrap().0;
        for lie in ["9223372036854775807", "100000", "99", "0"] {
            let mut lying = bytes.clone();
            lying.splice(second + 16..second + 19, lie.bytes());
            let scan = scanned(&lying, Depth::Bytes);
            assert_eq!(numbers(&scan), [0, 2], "{lie}");
            assert_eq!(scan.damaged.len(), 1);
        }
    }

    proptest! {
        #[test]
        fn a_flipped_bit_costs_exactly_the_frame_that_it_hit(
            sizes in prop::collection::vec(0..3000usize, 1..8),
            at in any::<prop::sample::Index>(),
            bit in 0..8u32,
        ) {
            let (mut bytes, ends) = segment(&sizes);
            let at = at.index(bytes.len());
            let hit = ends.iter().position(|&end| (at as u64) < end).unwrap();
            bytes[at] ^= 1u8 << bit;
            let scan = scanned(&bytes, Depth::Bytes);
            let others: Vec<i64> = (0..sizes.len()).filter(|&n| n != hit).map(|n| n as i64).collect();
            prop_assert_eq!(numbers(&scan), others);
        }

        #[test]
        fn anything_may_be_scanned(mut bytes in prop::collection::vec(any::<u8>(), 0..500), begins in any::<bool>()) {
            if begins {
                bytes.splice(0..0, START.iter().copied());
            }
            let scan = scanned(&bytes, Depth::Bytes);
            prop_assert!(scan.frames.is_empty());
        }
    }
}
