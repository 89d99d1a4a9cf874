//! Segments with damage of every kind.

use std::cell::Cell;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::clock::ClockKind;
use crate::container::{mjpeg, mp4};
use crate::frame::{Codec, Frame};

/// A frame; `n` is its capture time.
fn frame(codec: Codec, n: usize, payload: Vec<u8>) -> Frame {
    Frame {
        payload: Bytes::from(payload).into(),
        codec,
        parameters: None,
        captured_us: n as i64,
        received_us: n as i64 + 5,
        clock: ClockKind::Camera,
        offset_us: 0,
        keyframe: true,
        complete: true,
    }
}

/// A file of one container, as far as it is written.
struct Segment {
    format: &'static Format,
    bytes: Vec<u8>,
    /// Where each frame lies, with its head and tail.
    parts: Vec<Range<usize>>,
    mp4: Option<mp4::Position>,
    keyframes: mp4::Keyframes,
}

/// Without a frame yet.
fn new(format: &'static Format) -> Segment {
    Segment {
        format,
        bytes: Vec::new(),
        parts: Vec::new(),
        mp4: None,
        keyframes: mp4::Keyframes::default(),
    }
}

/// The containers that hold many frames.
const FORMATS: [&Format; 2] = [&mjpeg::FORMAT, &mp4::FORMAT];

impl Segment {
    fn push(&mut self, n: usize, payload: Vec<u8>) {
        let mut head = Vec::new();
        if self.format.closing.is_none() {
            mjpeg::write_head(&frame(Codec::Mjpeg, n, payload.clone()), &mut head);
        } else {
            let frame = frame(Codec::H264, n, payload.clone());
            let position = self
                .mp4
                .get_or_insert_with(|| mp4::Position::begin(&frame, mp4::Pace::default()));
            let place = position.write_head(&frame, &mut head);
            let moof = self.bytes.len() + head.len() - mp4::HEAD_LEN;
            self.keyframes.push(place.shown_us(), moof as u64);
        }
        let opening = match self.format.opening {
            Some(_) if self.parts.is_empty() => head.len() - mp4::HEAD_LEN,
            _ => 0,
        };
        let start = self.bytes.len() + opening;
        self.bytes.extend(head);
        self.bytes.extend(payload);
        self.bytes.extend_from_slice(self.format.tail);
        self.parts.push(start..self.bytes.len());
    }

    /// What a writer leaves when it is through.
    fn close(&mut self) {
        if self.format.closing.is_some() {
            self.bytes.extend(self.keyframes.close());
        }
    }

    fn scan(&self, depth: Depth) -> Scan {
        scanned(self.format, &self.bytes, depth)
    }
}

/// Frames of these sizes, in a file that is open.
fn segment(format: &'static Format, sizes: &[usize]) -> Segment {
    let mut segment = new(format);
    for (n, &size) in sizes.iter().enumerate() {
        segment.push(n, vec![n as u8; size]);
    }
    segment
}

/// A frame with its head and tail, as it lies in the middle of a file.
fn part(format: &'static Format, n: usize, payload: Vec<u8>) -> Vec<u8> {
    let mut segment = segment(format, &[0]);
    segment.push(n, payload);
    segment.bytes.split_off(segment.parts[1].start)
}

fn scanned(format: &Format, bytes: &[u8], depth: Depth) -> Scan {
    scan_each(bytes, format, 0..u64::MAX, depth, |_, _| ()).unwrap()
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

fn bytes_read(format: &Format, bytes: Vec<u8>, depth: Depth) -> usize {
    let read = Cell::default();
    let counted = Counted { bytes, read };
    scan_each(&counted, format, 0..u64::MAX, depth, |_, _| ()).unwrap();
    counted.read.get()
}

#[test]
fn each_frame_is_shown_with_its_payload_only_where_it_was_read() {
    for format in FORMATS {
        let segment = segment(format, &[3, 0, 70_000]);
        for (depth, shown) in [(Depth::Heads, [0, 0, 0]), (Depth::Bytes, [3, 0, 70_000])] {
            let mut seen = Vec::new();
            let scan = scan_each(
                &segment.bytes[..],
                format,
                0..u64::MAX,
                depth,
                |found, payload| {
                    assert!(
                        payload
                            .iter()
                            .all(|&byte| i64::from(byte) == found.stored.captured_us)
                    );
                    seen.push(payload.len());
                },
            );
            assert_eq!(seen, shown);
            let scan = scan.unwrap();
            assert_eq!((numbers(&scan), scan.damaged.len()), (vec![0, 1, 2], 0));
            let (last, end) = (scan.frames[2], segment.bytes.len() as u64);
            let tail = format.tail.len() as u64;
            assert_eq!((last.offset + last.length + tail, scan.end), (end, end));
            assert_eq!(
                (last.length, segment.parts[2].end as u64),
                (70_000, scan.file_len)
            );
        }
    }
}

#[test]
fn no_payload_is_shown_at_the_heads_even_behind_damage() {
    for format in FORMATS {
        let mut segment = segment(format, &[10, 10, 10]);
        segment.bytes[segment.parts[1].start] = b'x';
        let scan = scan_each(
            &segment.bytes[..],
            format,
            0..u64::MAX,
            Depth::Heads,
            |_, payload| {
                assert!(payload.is_empty());
            },
        );
        assert_eq!(numbers(&scan.unwrap()), [0, 2]);
    }
}

#[test]
fn nothing_behind_the_span_is_looked_at() {
    for format in FORMATS {
        let mut segment = segment(format, &[10, 10, 10]);
        let part = segment.parts[1].clone();
        let span = part.start as u64..part.end as u64;
        for depth in [Depth::Heads, Depth::Bytes] {
            let scan =
                scan_each(&segment.bytes[..], format, span.clone(), depth, |_, _| ()).unwrap();
            assert_eq!((numbers(&scan), scan.end), (vec![1], span.end));
            let short = span.start..span.end - 1;
            let scan =
                scan_each(&segment.bytes[..], format, short.clone(), depth, |_, _| ()).unwrap();
            assert_eq!(
                (scan.frames, scan.damaged, scan.end),
                (vec![], vec![short], span.start)
            );
        }
        segment.bytes.truncate(part.end);
        let span = u64::MAX - 5..u64::MAX;
        let beyond = scan_each(&segment.bytes[..], format, span, Depth::Bytes, |_, _| ()).unwrap();
        assert_eq!(
            (beyond.frames.len(), beyond.damaged.len(), beyond.end),
            (0, 0, u64::MAX - 5)
        );
    }
}

#[test]
fn what_opens_and_closes_a_file_is_neither_frame_nor_damage() {
    for sizes in [&[10, 0, 30][..], &[0]] {
        let mut segment = segment(&mp4::FORMAT, sizes);
        let end = segment.bytes.len() as u64;
        segment.close();
        for depth in [Depth::Heads, Depth::Bytes] {
            let scan = segment.scan(depth);
            assert_eq!((scan.frames.len(), scan.damaged.len()), (sizes.len(), 0));
            assert_eq!((scan.end, scan.torn()), (end, 0));
            assert_eq!(scan.end + scan.closing, scan.file_len);
        }
    }
}

#[test]
fn a_flipped_bit_around_the_frames_is_damage_and_costs_none() {
    let mut segment = segment(&mp4::FORMAT, &[20, 30]);
    let frames = segment.parts[0].start..segment.parts[1].end;
    segment.close();
    for at in (0..segment.bytes.len()).filter(|at| !frames.contains(at)) {
        segment.bytes[at] ^= 0x10;
        let scan = segment.scan(Depth::Heads);
        assert_eq!(
            (numbers(&scan), scan.damaged.len()),
            (vec![0, 1], 1),
            "{at}"
        );
        assert!(scan.damaged[0].contains(&(at as u64)));
        segment.bytes[at] ^= 0x10;
    }
}

#[test]
fn a_file_cut_anywhere_gives_the_whole_frames_before_the_cut() {
    for format in FORMATS {
        let mut segment = segment(format, &[300, 0, 70, 500]);
        let frames_end = segment.bytes.len();
        segment.close();
        for depth in [Depth::Heads, Depth::Bytes] {
            for cut in 0..segment.bytes.len() {
                let scan = scanned(format, &segment.bytes[..cut], depth);
                let whole = segment.parts.iter().filter(|part| part.end <= cut);
                let end = whole.clone().next_back().map_or(0, |part| part.end as u64);
                assert_eq!(
                    (scan.frames.len(), scan.end),
                    (whole.count(), end),
                    "cut at {cut}"
                );
                assert_eq!((scan.closing, scan.torn()), (0, cut as u64 - end));
                assert!(scan.damaged.len() <= 1 || cut > frames_end);
            }
        }
    }
}

#[test]
fn behind_damage_the_closing_is_found_as_well() {
    let mut segment = segment(&mp4::FORMAT, &[20, 30]);
    let last = segment.parts[1].clone();
    segment.close();
    segment.bytes[last.start] ^= 1;
    let scan = segment.scan(Depth::Bytes);
    assert_eq!(numbers(&scan), [0]);
    let damaged = vec![(last.start as u64, last.end as u64)];
    let found = scan.damaged.iter().map(|span| (span.start, span.end));
    assert_eq!(found.collect::<Vec<_>>(), damaged);
    assert_eq!(scan.closing, (segment.bytes.len() - last.end) as u64);
}

#[test]
fn a_picture_that_looks_like_a_closing_is_a_picture() {
    let mut fake = segment(&mp4::FORMAT, &[20]);
    let from = fake.bytes.len();
    fake.close();
    let mut segment = segment(&mp4::FORMAT, &[20]);
    segment.push(1, fake.bytes.split_off(from));
    let scan = segment.scan(Depth::Heads);
    assert_eq!(
        (numbers(&scan), scan.damaged.len(), scan.closing),
        (vec![0, 1], 0, 0)
    );
}

#[test]
fn a_frame_is_found_wherever_its_beginning_lies_in_a_long_stretch_of_damage() {
    for format in FORMATS {
        let start = format.start.len();
        let whole = part(format, 7, vec![1; 20]);
        // Around the places where the search begins to look at the next bytes.
        for edge in (1..4).map(|n| n * ((64 << 10) - start + 1)) {
            for junk in edge - 10..edge + start + 10 {
                let bytes = [vec![b'-'; junk], whole.clone()].concat();
                let scan = scanned(format, &bytes, Depth::Bytes);
                assert_eq!(numbers(&scan), [7], "{junk}");
                assert_eq!(scan.damaged[0].end, junk as u64);
            }
        }
    }
}

#[test]
fn a_head_that_breaks_off_anywhere_does_not_hide_the_frame_behind_it() {
    for format in FORMATS {
        let whole = part(format, 7, vec![1; 20]);
        let torn = part(format, 3, vec![2; 20]);
        for cut in 1..torn.len() {
            let bytes = [&torn[..cut], &whole].concat();
            assert_eq!(
                numbers(&scanned(format, &bytes, Depth::Bytes)),
                [7],
                "{cut}"
            );
        }
    }
}

#[test]
fn a_frame_inside_a_picture_is_none_unless_the_picture_is_damaged() {
    for format in FORMATS {
        let mut segment = new(format);
        let inner = part(format, 2, vec![5; 9]);
        segment.push(1, [b"noise".to_vec(), inner, b"noise".to_vec()].concat());
        for depth in [Depth::Heads, Depth::Bytes] {
            assert_eq!(numbers(&segment.scan(depth)), [1]);
        }
        let last = segment.bytes.len() - 3;
        segment.bytes[last] ^= 1;
        assert_eq!(numbers(&segment.scan(Depth::Bytes)), [2]);
    }
}

#[test]
fn heads_that_each_claim_all_the_rest_cost_a_dozen_times_the_file_at_most() {
    for format in FORMATS {
        let mut bytes = format.tail.to_vec();
        for n in 0..2_000 {
            let claims = bytes.len() - format.tail.len();
            let mut head = match format.closing {
                // As long as what it claims says it is.
                Some(_) => part(format, n, vec![0; claims]),
                None => {
                    let text = String::from_utf8(part(format, n, Vec::new())).unwrap();
                    text.replace("Content-Length: 0", &format!("Content-Length: {claims:07}"))
                        .into_bytes()
                }
            };
            head.truncate(match format.closing {
                Some(_) => mp4::HEAD_LEN,
                None => head.len() - format.tail.len(),
            });
            bytes.splice(0..0, head);
        }
        bytes.splice(0..0, *b"damage");
        for depth in [Depth::Heads, Depth::Bytes] {
            let len = bytes.len();
            let read = bytes_read(format, bytes.clone(), depth);
            assert!(read < 12 * len, "{read} bytes read of {len}");
        }
    }
}

#[test]
fn whole_frames_are_read_once_and_heads_are_all_that_is_read_of_them() {
    for format in FORMATS {
        let segment = segment(format, &[5_000; 20]);
        // The head of each frame, and with its tail the next one's; and what may open and close the file.
        let edges = 21 * (format.tail.len() + format.head_max) + 2 * segment.parts[0].start + 100;
        let read = |depth| bytes_read(format, segment.bytes.clone(), depth);
        assert!(read(Depth::Bytes) <= segment.bytes.len() + edges);
        assert!(read(Depth::Heads) <= edges);
    }
}

#[test]
fn a_frame_is_at_its_place_and_nowhere_else() {
    for format in FORMATS {
        let mut bytes = segment(format, &[300, 0, 70]).bytes;
        let found = scanned(format, &bytes, Depth::Bytes).frames;
        let at = |bytes: &[u8], offset, length| frame_at(bytes, format, offset, length).unwrap();
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
}

#[test]
fn a_length_that_no_file_has_is_no_frame_and_costs_no_memory() {
    let claimed = 1 << 50;
    let text = String::from_utf8(part(&mjpeg::FORMAT, 1, Vec::new())).unwrap();
    let lying = text.replace("Content-Length: 0", &format!("Content-Length: {claimed}"));
    let offset = (lying.len() - mjpeg::TAIL.len()) as u64;
    let at = frame_at(lying.as_bytes(), &mjpeg::FORMAT, offset, claimed);
    assert_eq!(at.unwrap(), None);
    assert_eq!(
        numbers(&scanned(&mjpeg::FORMAT, lying.as_bytes(), Depth::Bytes)),
        []
    );
    // An opening that says it is as long as a file can be.
    let mut bytes = segment(&mp4::FORMAT, &[9]).bytes;
    let size = mp4::FORMAT.begins().len();
    bytes[size..size + 4].copy_from_slice(&[0xff; 4]);
    assert_eq!(numbers(&scanned(&mp4::FORMAT, &bytes, Depth::Bytes)), [0]);
}

fn formats() -> impl Strategy<Value = &'static Format> {
    prop::sample::select(&FORMATS[..])
}

proptest! {
    /// Writes over, cuts out and puts in, all in one: `cut` bytes are replaced by `put`.
    #[test]
    fn whatever_is_damaged_the_frames_that_were_not_hit_come_back(
        format in formats(),
        is_closed in any::<bool>(),
        sizes in prop::collection::vec(0..400usize, 1..10),
        damages in prop::collection::vec((any::<prop::sample::Index>(), 0..600usize, prop::collection::vec(any::<u8>(), 0..300)), 0..4),
    ) {
        let mut segment = segment(format, &sizes);
        if is_closed {
            segment.close();
        }
        let Segment { mut bytes, parts, .. } = segment;
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
        let found = numbers(&scanned(format, &bytes, Depth::Bytes));
        for (n, _) in whole {
            prop_assert!(found.contains(&n), "{n} is not in {found:?}");
        }
    }

    #[test]
    fn frames_and_damage_are_all_there_is(
        format in formats(),
        sizes in prop::collection::vec(0..400usize, 1..6),
        flips in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut segment = segment(format, &sizes);
        let opening = segment.parts[0].start as u64;
        segment.close();
        let mut bytes = segment.bytes;
        for flip in flips {
            let at = flip.index(bytes.len());
            bytes[at] ^= 0x20;
        }
        for depth in [Depth::Heads, Depth::Bytes] {
            let scan = scanned(format, &bytes, depth);
            let mut damaged = scan.damaged.iter().peekable();
            let mut at = match damaged.peek() {
                Some(first) if first.start == 0 => 0,
                _ => opening,
            };
            for frame in &scan.frames {
                if let Some(stretch) = damaged.next_if(|stretch| stretch.start == at) {
                    at = stretch.end;
                }
                prop_assert!(bytes[at as usize..].starts_with(format.start));
                at = frame.offset + frame.length + format.tail.len() as u64;
            }
            prop_assert!(scan.end == at || scan.frames.is_empty());
            if let Some(stretch) = damaged.next() {
                prop_assert_eq!(stretch.start, at);
                at = stretch.end;
            }
            prop_assert_eq!((at + scan.closing, damaged.next()), (bytes.len() as u64, None));
        }
    }
}
