//! Whatever bytes a `.mp4` segment holds: what is reported whole is whole, all else is damage, and frames that no damage hit come back.
#![no_main]

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use framelog_core::clock::ClockKind;
use framelog_core::container::mp4::{self, FORMAT, HEAD_LEN, Keyframes, Pace, Position, START};
use framelog_core::container::scan::{Depth, Found, Scan, frame_at, opening, scan_each};
use framelog_core::frame::{Codec, Frame, Parameters};
use libfuzzer_sys::fuzz_target;

const FRAMES_MAX: usize = 12;

/// `kind` says what the frame's head has, and what its payload is: the bytes given, or an older frame with its head.
fn frame(kind: u8, length: u16, time_us: i64, before: &[u8], bytes: &[u8]) -> Frame {
    let source = if kind & 8 == 0 { bytes } else { before };
    let payload: Vec<u8> = source.iter().copied().chain(std::iter::repeat(kind)).take(usize::from(length)).collect();
    let sets = [bytes.get(..8), bytes.get(8..40)].into_iter().flatten().map(Bytes::copy_from_slice);
    Frame {
        payload: Bytes::from(payload).into(),
        codec: [Codec::H264, Codec::H265][usize::from(kind >> 4 & 1)],
        parameters: (kind & 64 == 0).then(|| {
            Arc::new(Parameters {
                width: length,
                height: length,
                sets: sets.collect(),
            })
        }),
        captured_us: time_us,
        received_us: time_us ^ i64::from(length),
        clock: [ClockKind::Camera, ClockKind::Mapped, ClockKind::Arrival][usize::from(kind % 3)],
        offset_us: if kind % 3 == 1 { !time_us } else { 0 },
        keyframe: kind & 32 == 0,
        complete: kind & 4 == 0,
    }
}

/// CRC-32 as the standard has it, bit by bit.
fn crc(bytes: impl Iterator<Item = u8>) -> u32 {
    !bytes.fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 * (crc & 1)))
    })
}

/// Whether a fragment lies around the payload, told by other means than the scan's.
fn is_whole(file: &[u8], offset: u64, length: u64) -> bool {
    let (offset, length) = (offset as usize, length as usize);
    let Some(at) = offset.checked_sub(HEAD_LEN) else { return false };
    let Some(payload) = file.get(offset..).and_then(|rest| rest.get(..length)) else { return false };
    let head = &file[at..offset];
    let mdat = [&(length as u32 + 8).to_be_bytes()[..], b"mdat"].concat();
    let before = &head[..HEAD_LEN - 12];
    let sum = crc(before.iter().chain(payload).copied());
    head.starts_with(START) && head.ends_with(&mdat) && head[HEAD_LEN - 12..HEAD_LEN - 8] == sum.to_be_bytes()
}

/// Frames and damage follow on each other from `from` to the end.
fn assert_all_is_told(scan: &Scan, file: &[u8], from: u64) {
    let mut damaged = scan.damaged.iter().peekable();
    let opening = opening(file, &FORMAT).unwrap().filter(|_| from == 0);
    let mut at = opening.map_or(from, |opening| opening.len() as u64);
    for Found { offset, length, .. } in &scan.frames {
        if let Some(stretch) = damaged.next_if(|stretch| stretch.start == at) {
            assert!(stretch.end > at);
            at = stretch.end;
        }
        assert!(file[at as usize..].starts_with(START) && *offset == at + HEAD_LEN as u64);
        at = offset + length;
    }
    assert_eq!(scan.end, if scan.frames.is_empty() { from } else { at });
    if let Some(stretch) = damaged.next() {
        assert_eq!(stretch.start, at);
        at = stretch.end;
    }
    assert!(damaged.next().is_none());
    assert_eq!(at + scan.closing, from.max(file.len() as u64));
    assert_eq!(scan.file_len, file.len() as u64);
}

/// What all heads in the file claim together, bytes.
fn claims(file: &[u8]) -> u64 {
    let size = |at: usize| file.get(at + 92..at + 96).map(|size| u64::from(u32::from_be_bytes(size.try_into().unwrap())));
    (0..file.len())
        .filter(|at| file[*at..].starts_with(START))
        .filter_map(size)
        .filter(|length| *length <= file.len() as u64)
        .sum()
}

type Picture = (u8, u16, i64);
/// Where, how many bytes are taken out, how many are put in.
type Damage = (u16, u16, u8);

fuzz_target!(|input: (Vec<Picture>, bool, Vec<Damage>, (u16, u16), &[u8])| {
    let (pictures, is_closed, damages, place, bytes) = input;
    let (mut file, mut last, mut keyframes) = (Vec::new(), Vec::new(), Keyframes::default());
    let mut unhit: Vec<Range<usize>> = Vec::new();
    let mut position = None;
    for (kind, length, time_us) in pictures.into_iter().take(FRAMES_MAX) {
        let frame = frame(kind, length % 2048, time_us, &last, bytes);
        let position = position.get_or_insert_with(|| Position::begin(&frame, Pace::default()));
        let mut head = Vec::new();
        let place = position.write_head(&frame, &mut head);
        let start = file.len() + head.len() - HEAD_LEN;
        file.extend(head);
        file.extend(frame.payload.to_vec());
        if frame.keyframe {
            keyframes.push(place.shown_us(), start as u64);
        }
        last = file[start..].to_vec();
        unhit.push(start..file.len());
    }
    if is_closed {
        file.extend(keyframes.close());
    }
    let mut rest = bytes;
    for (at, cut, put) in damages {
        let put = rest.split_off(..usize::from(put).min(rest.len())).unwrap_or_default();
        let at = usize::from(at) % (file.len() + 1);
        let hit = at..(at + usize::from(cut % 512)).min(file.len());
        unhit.retain(|part| part.end <= hit.start || part.start >= hit.end);
        for part in unhit.iter_mut().filter(|part| part.start >= hit.end) {
            *part = part.start - hit.len() + put.len()..part.end - hit.len() + put.len();
        }
        file.splice(hit, put.iter().copied());
    }
    if unhit.is_empty() {
        file.extend_from_slice(rest);
    }

    let scan = scan_each(&file[..], &FORMAT, 0..u64::MAX, Depth::Bytes, |found, payload| {
        let (from, to) = (found.offset as usize, (found.offset + found.length) as usize);
        assert_eq!(payload, &file[from..to]);
    })
    .unwrap();
    assert_all_is_told(&scan, &file, 0);
    for found in &scan.frames {
        assert!(is_whole(&file, found.offset, found.length));
        let (stored, payload) = frame_at(&file[..], &FORMAT, found.offset, found.length).unwrap().unwrap();
        assert_eq!((stored, payload.len() as u64), (found.stored, found.length));
    }
    if claims(&file) <= 8 * file.len() as u64 {
        for part in unhit {
            let (start, end) = (part.start as u64, part.end as u64);
            // Where bytes were cut out of a frame before it, that may end with the first of its bytes and be whole, to the last bit.
            let is_shared = |found: &Found| found.offset < start && found.offset + found.length > start;
            let is_found = scan.frames.iter().any(|found| found.offset + found.length == end || is_shared(found));
            assert!(is_found, "{part:?} is lost");
        }
    }
    if let Some(opening) = opening(&file[..], &FORMAT).unwrap() {
        let _ = mp4::parameters(&opening);
    }

    let (from, length) = (u64::from(place.0), u64::from(place.1));
    let heads = scan_each(&file[..], &FORMAT, from..u64::MAX, Depth::Heads, |_, payload| assert!(payload.is_empty())).unwrap();
    assert_all_is_told(&heads, &file, from);
    if frame_at(&file[..], &FORMAT, from, length).unwrap().is_some() {
        assert!(is_whole(&file, from, length));
    }
});
