//! Segments with damage of every kind.

use std::cell::Cell;

use bytes::Bytes;
use proptest::prelude::*;

use super::super::write_head;
use super::*;
use crate::clock::ClockKind;
use crate::frame::{Codec, Frame};

/// A frame as it lies in a file; `n` is its capture time.
fn part(n: usize, payload: Vec<u8>) -> Vec<u8> {
    let frame = Frame {
        payload: Bytes::from(payload).into(),
        codec: Codec::Mjpeg,
        parameters: None,
        captured_us: n as i64,
        received_us: n as i64 + 5,
        clock: ClockKind::Camera,
        offset_us: 0,
        keyframe: true,
        complete: true,
    };
    let mut part = Vec::new();
    write_head(&frame, &mut part);
    part.extend(frame.payload.to_vec());
    part.extend_from_slice(TAIL);
    part
}

/// Frames of these sizes, and where each lies.
fn segment(sizes: &[usize]) -> (Vec<u8>, Vec<Range<usize>>) {
    let (mut bytes, mut parts) = (Vec::new(), Vec::new());
    for (n, &size) in sizes.iter().enumerate() {
        let start = bytes.len();
        bytes.extend(part(n, vec![n as u8; size]));
        parts.push(start..bytes.len());
    }
    (bytes, parts)
}

fn scanned(bytes: &[u8], depth: Depth) -> Scan {
    scan_each(bytes, 0..u64::MAX, depth, |_, _| ()).unwrap()
}

fn numbers(scan: &Scan) -> Vec<i64> {
    scan.frames
        .iter()
        .map(|found| found.stored.captured_us)
        .collect()
}

/// Memory, and how much of it was read.
struct Counted {
    bytes: Vec<u8>,
    read: Cell<usize>,
}

impl ReadAt for Counted {
    fn byte_len(&self) -> io::Result<u64> {
        self.bytes.byte_len()
    }

    fn fill(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let filled = self.bytes.fill(buffer, at)?;
        self.read.set(self.read.get() + filled);
        Ok(filled)
    }
}

fn bytes_read(bytes: Vec<u8>, depth: Depth) -> usize {
    let read = Cell::default();
    let counted = Counted { bytes, read };
    scan_each(&counted, 0..u64::MAX, depth, |_, _| ()).unwrap();
    counted.read.get()
}

#[test]
fn each_frame_is_shown_with_its_payload_only_where_it_was_read() {
    let (bytes, parts) = segment(&[3, 0, 70_000]);
    for (depth, shown) in [(Depth::Heads, [0, 0, 0]), (Depth::Bytes, [3, 0, 70_000])] {
        let mut seen = Vec::new();
        let scan = scan_each(&bytes[..], 0..u64::MAX, depth, |found, payload| {
            assert!(
                payload
                    .iter()
                    .all(|&byte| i64::from(byte) == found.stored.captured_us)
            );
            seen.push(payload.len());
        });
        assert_eq!(seen, shown);
        let scan = scan.unwrap();
        assert_eq!((numbers(&scan), scan.damaged.len()), (vec![0, 1, 2], 0));
        let (last, end) = (scan.frames[2], bytes.len() as u64);
        assert_eq!((last.offset + last.length, scan.end), (end - 2, end));
        assert_eq!((last.length, parts[2].end as u64), (70_000, scan.file_len));
    }
}

#[test]
fn no_payload_is_shown_at_the_heads_even_behind_damage() {
    let (mut bytes, parts) = segment(&[10, 10, 10]);
    bytes[parts[1].start] = b'x';
    let scan = scan_each(&bytes[..], 0..u64::MAX, Depth::Heads, |_, payload| {
        assert!(payload.is_empty());
    });
    assert_eq!(numbers(&scan.unwrap()), [0, 2]);
}

#[test]
fn nothing_behind_the_span_is_looked_at() {
    let (mut bytes, parts) = segment(&[10, 10, 10]);
    let span = parts[1].start as u64..parts[1].end as u64;
    for depth in [Depth::Heads, Depth::Bytes] {
        let scan = scan_each(&bytes[..], span.clone(), depth, |_, _| ()).unwrap();
        assert_eq!((numbers(&scan), scan.end), (vec![1], span.end));
        let short = span.start..span.end - 1;
        let scan = scan_each(&bytes[..], short.clone(), depth, |_, _| ()).unwrap();
        assert_eq!(
            (scan.frames, scan.damaged, scan.end),
            (vec![], vec![short], span.start)
        );
    }
    bytes.truncate(parts[1].end);
    let beyond = scan_each(&bytes[..], u64::MAX - 5..u64::MAX, Depth::Bytes, |_, _| ()).unwrap();
    assert_eq!(
        (beyond.frames.len(), beyond.damaged.len(), beyond.end),
        (0, 0, u64::MAX - 5)
    );
}

#[test]
fn a_frame_is_found_wherever_its_beginning_lies_in_a_long_stretch_of_damage() {
    let whole = part(7, vec![1; 20]);
    // Around the places where the search begins to look at the next bytes.
    for edge in (1..4).map(|n| n * ((64 << 10) - START.len() + 1)) {
        for junk in edge - 10..edge + START.len() + 10 {
            let bytes = [vec![b'-'; junk], whole.clone()].concat();
            let scan = scanned(&bytes, Depth::Bytes);
            assert_eq!(numbers(&scan), [7], "{junk}");
            assert_eq!(scan.damaged[0].end, junk as u64);
        }
    }
}

#[test]
fn a_frame_inside_a_picture_is_none_unless_the_picture_is_damaged() {
    let mut bytes = part(
        1,
        [b"noise".to_vec(), part(2, vec![5; 9]), b"noise".to_vec()].concat(),
    );
    for depth in [Depth::Heads, Depth::Bytes] {
        assert_eq!(numbers(&scanned(&bytes, depth)), [1]);
    }
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    assert_eq!(numbers(&scanned(&bytes, Depth::Bytes)), [2]);
}

#[test]
fn heads_that_each_claim_all_the_rest_cost_a_dozen_times_the_file_at_most() {
    let count = 2_000;
    let heads: Vec<Vec<u8>> = (0..count)
        .map(|n| {
            let mut head = part(n, Vec::new());
            head.truncate(head.len() - TAIL.len());
            head
        })
        .collect();
    let mut bytes = Vec::new();
    for head in heads.iter().rev() {
        // Digits that are the same number of bytes whatever they say.
        let text = String::from_utf8_lossy(head);
        let (before, behind) = text.split_once("Content-Length: 0").unwrap();
        let claims = bytes.len();
        let head = format!("{before}Content-Length: {claims:07}{behind}");
        bytes.splice(0..0, head.bytes());
    }
    bytes.splice(0..0, *b"damage");
    bytes.extend_from_slice(TAIL);
    for depth in [Depth::Heads, Depth::Bytes] {
        let len = bytes.len();
        let read = bytes_read(bytes.clone(), depth);
        assert!(read < 12 * len, "{read} bytes read of {len}");
    }
}

#[test]
fn whole_frames_are_read_once_and_heads_are_all_that_is_read_of_them() {
    let (bytes, _) = segment(&[5_000; 20]);
    // The head of each frame, and with its tail the next one's.
    let edges = 21 * (TAIL.len() + HEAD_MAX);
    assert!(bytes_read(bytes.clone(), Depth::Bytes) <= bytes.len() + edges);
    assert!(bytes_read(bytes, Depth::Heads) <= edges);
}

#[test]
fn a_frame_is_at_its_place_and_nowhere_else() {
    let (mut bytes, _) = segment(&[300, 0, 70]);
    let found = scanned(&bytes, Depth::Bytes).frames;
    let at = |bytes: &[u8], offset, length| frame_at(bytes, offset, length).unwrap();
    for (n, frame) in found.iter().enumerate() {
        let payload = vec![n as u8; frame.length as usize];
        assert_eq!(
            at(&bytes, frame.offset, frame.length),
            Some((frame.stored, payload))
        );
        assert_eq!(at(&bytes, frame.offset, frame.length + 1), None);
        assert_eq!(at(&bytes, frame.offset + 1, frame.length), None);
        assert_eq!(at(&bytes, frame.offset - 1, frame.length), None);
    }
    for (offset, length) in [
        (0, 0),
        (u64::MAX, 1),
        (u64::MAX, 0),
        (1, u64::MAX),
        (bytes.len() as u64, 0),
    ] {
        assert_eq!(at(&bytes, offset, length), None);
    }
    let last = found[2];
    let tail_at = (last.offset + last.length) as usize;
    assert!(at(&bytes[..tail_at], last.offset, last.length).is_some());
    bytes[last.offset as usize] ^= 1;
    assert_eq!(at(&bytes, last.offset, last.length), None);
    bytes.truncate(tail_at - 1);
    assert_eq!(at(&bytes, last.offset, last.length), None);
}

#[test]
fn a_length_that_no_file_has_is_no_frame_and_costs_no_memory() {
    let claimed = 1 << 50;
    let text = String::from_utf8(part(1, Vec::new())).unwrap();
    let lying = text.replace("Content-Length: 0", &format!("Content-Length: {claimed}"));
    let offset = (lying.len() - TAIL.len()) as u64;
    assert_eq!(frame_at(lying.as_bytes(), offset, claimed).unwrap(), None);
    assert_eq!(numbers(&scanned(lying.as_bytes(), Depth::Bytes)), []);
}

proptest! {
    /// Writes over, cuts out and puts in, all in one: `cut` bytes are replaced by `put`.
    #[test]
    fn whatever_is_damaged_the_frames_that_were_not_hit_come_back(
        sizes in prop::collection::vec(0..400usize, 1..10),
        damages in prop::collection::vec((any::<prop::sample::Index>(), 0..600usize, prop::collection::vec(any::<u8>(), 0..300)), 0..4),
    ) {
        let (mut bytes, parts) = segment(&sizes);
        let mut whole: Vec<(i64, Range<usize>)> = (0..).zip(parts).collect();
        for (at, cut, put) in damages {
            let at = at.index(bytes.len() + 1);
            let hit = at..(at + cut).min(bytes.len());
            whole.retain(|(_, part)| part.end <= hit.start || part.start >= hit.end);
            for (_, part) in whole.iter_mut().filter(|(_, part)| part.start >= hit.end) {
                *part = part.start - hit.len() + put.len()..part.end - hit.len() + put.len();
            }
            bytes.splice(hit, put);
        }
        let found = numbers(&scanned(&bytes, Depth::Bytes));
        for (n, _) in whole {
            prop_assert!(found.contains(&n), "{n} is not in {found:?}");
        }
    }

    #[test]
    fn frames_and_damage_are_all_there_is(
        sizes in prop::collection::vec(0..400usize, 1..6),
        flips in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let (mut bytes, _) = segment(&sizes);
        for flip in flips {
            let at = flip.index(bytes.len());
            bytes[at] ^= 0x20;
        }
        for depth in [Depth::Heads, Depth::Bytes] {
            let scan = scanned(&bytes, depth);
            let mut damaged = scan.damaged.iter().peekable();
            let mut at = 0;
            for frame in &scan.frames {
                if let Some(stretch) = damaged.next_if(|stretch| stretch.start == at) {
                    at = stretch.end;
                }
                prop_assert!(bytes[at as usize..].starts_with(START));
                at = frame.offset + frame.length + TAIL.len() as u64;
            }
            prop_assert_eq!(scan.end, at);
            if let Some(stretch) = damaged.next() {
                prop_assert_eq!(stretch.start, at);
                at = stretch.end;
            }
            prop_assert_eq!((at, damaged.next()), (bytes.len() as u64, None));
        }
    }
}
