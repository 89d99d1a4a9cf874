//! Segments read from files, frame by frame. Not for how frames are told from damage: that is core's `container::mjpeg::scan`.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use framelog_core::container::{Format, Stored, mp4, scan as segment};
use framelog_core::frame::Parameters;

pub use segment::{Depth, Found, Scan};

/// Reads a file from `from` on, where a frame is expected to begin. Memory: one frame at most, at `Depth::Bytes`.
pub(crate) fn scan(file: &File, format: &Format, from: u64, depth: Depth) -> io::Result<Scan> {
    scan_each(file, format, from..u64::MAX, depth, |_, _| ())
}

/// Reads a part of a file as [`scan`] does, and shows each frame with its payload, which is empty at `Depth::Heads`.
pub(crate) fn scan_each(
    file: &File,
    format: &Format,
    span: Range<u64>,
    depth: Depth,
    each: impl FnMut(&Found, &[u8]),
) -> io::Result<Scan> {
    segment::scan_each(&Footage(file), format, span, depth, each)
}

/// The frame whose payload lies at `offset`, if there is one of that length and it is, to the last bit, what was written.
pub(crate) fn frame_at(
    file: &File,
    format: &Format,
    offset: u64,
    length: u64,
) -> io::Result<Option<(Stored, Vec<u8>)>> {
    segment::frame_at(&Footage(file), format, offset, length)
}

/// What the frames of a `.mp4` file need to be decoded; `None` if it does not begin as it was written.
pub(crate) fn parameters(file: &File) -> io::Result<Option<Parameters>> {
    let opening = segment::opening(&Footage(file), &mp4::FORMAT)?;
    Ok(opening.and_then(|opening| Some(mp4::parameters(&opening)?.1)))
}

struct Footage<'f>(&'f File);

impl segment::ReadAt for Footage<'_> {
    fn byte_len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn fill(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.0.read_at(rest, at + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use bytes::Bytes;
    use framelog_core::clock::ClockKind;
    use framelog_core::container::mjpeg::{self, START};
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
                parameters: None,
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
        scan(&file, &mjpeg::FORMAT, 0, depth).unwrap()
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
