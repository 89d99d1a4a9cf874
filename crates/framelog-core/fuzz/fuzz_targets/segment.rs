//! Whatever bytes a `.mjpeg` segment holds: what is reported whole is whole, all else is damage, and frames that no damage hit come back.
#![no_main]

use std::ops::Range;

use bytes::Bytes;
use framelog_core::clock::ClockKind;
use framelog_core::container::mjpeg::{FORMAT, START, TAIL, write_head};
use framelog_core::container::scan::{Depth, Found, Scan, frame_at, scan_each};
use framelog_core::frame::{Codec, Frame};
use libfuzzer_sys::fuzz_target;

const FRAMES_MAX: usize = 12;

/// A frame as it lies in a file. `kind` says what its head has, and what its picture is: the bytes given, or an older part.
fn part(kind: u8, length: u16, time_us: i64, before: &[u8], bytes: &[u8]) -> Vec<u8> {
    let source = if kind & 8 == 0 { bytes } else { before };
    let payload: Vec<u8> = source.iter().copied().chain(std::iter::repeat(kind)).take(usize::from(length)).collect();
    let frame = Frame {
        payload: Bytes::from(payload).into(),
        codec: Codec::Mjpeg,
        parameters: None,
        captured_us: time_us,
        received_us: time_us ^ i64::from(length),
        clock: [ClockKind::Camera, ClockKind::Mapped, ClockKind::Arrival][usize::from(kind % 3)],
        offset_us: if kind % 3 == 1 { !time_us } else { 0 },
        keyframe: true,
        complete: kind & 4 == 0,
    };
    let mut part = Vec::new();
    write_head(&frame, &mut part);
    part.extend(frame.payload.to_vec());
    part.extend_from_slice(TAIL);
    part
}

/// CRC-32 as the standard has it, bit by bit.
fn crc(bytes: impl Iterator<Item = u8>) -> u32 {
    !bytes.fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 * (crc & 1)))
    })
}

/// Whether a part lies around the payload, told by other means than the scan's.
fn is_whole(file: &[u8], offset: u64, length: u64) -> bool {
    let offset = offset as usize;
    let Some(payload) = file.get(offset..).and_then(|rest| rest.get(..length as usize)) else {
        return false;
    };
    (offset.saturating_sub(256)..offset).any(|at| {
        let head = &file[at..offset];
        let text = std::str::from_utf8(head).unwrap_or_default();
        let Some((fields, crc_text)) = text.split_once("X-Crc: ").filter(|_| head.starts_with(START)) else {
            return false;
        };
        let sum = crc(fields.bytes().chain(payload.iter().copied()));
        fields.contains(&format!("\r\nContent-Length: {length}\r\n"))
            && crc_text == format!("{sum:08x}\r\n\r\n")
    })
}

/// Frames and damage follow on each other from `from` to the end.
fn assert_all_is_told(scan: &Scan, file: &[u8], from: u64) {
    let mut damaged = scan.damaged.iter().peekable();
    let mut at = from;
    for Found { offset, length, .. } in &scan.frames {
        if let Some(stretch) = damaged.next_if(|stretch| stretch.start == at) {
            assert!(stretch.end > at);
            at = stretch.end;
        }
        assert!(file[at as usize..].starts_with(START) && *offset > at);
        at = offset + length;
        assert!(file[at as usize..].starts_with(TAIL));
        at += TAIL.len() as u64;
    }
    assert_eq!(scan.end, at);
    if let Some(stretch) = damaged.next() {
        assert_eq!(stretch.start, at);
        at = stretch.end;
    }
    assert!(damaged.next().is_none());
    assert_eq!(at, from.max(file.len() as u64));
    assert_eq!(scan.file_len, file.len() as u64);
}

/// What all heads in the file claim together, bytes.
fn claims(file: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(file);
    text.split("Content-Length: ")
        .skip(1)
        .filter_map(|rest| rest.split_once('\r')?.0.parse::<u64>().ok())
        .filter(|length| *length <= file.len() as u64)
        .sum()
}

type Picture = (u8, u16, i64);
/// Where, how many bytes are taken out, how many are put in.
type Damage = (u16, u16, u8);

fuzz_target!(|input: (Vec<Picture>, Vec<Damage>, (u16, u16), &[u8])| {
    let (pictures, damages, place, bytes) = input;
    let mut file = Vec::new();
    let mut last = Vec::new();
    let mut unhit: Vec<Range<usize>> = Vec::new();
    for (kind, length, time_us) in pictures.into_iter().take(FRAMES_MAX) {
        last = part(kind, length % 2048, time_us, &last, bytes);
        unhit.push(file.len()..file.len() + last.len());
        file.extend_from_slice(&last);
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
            let end = (part.end - TAIL.len()) as u64;
            assert!(scan.frames.iter().any(|found| found.offset + found.length == end), "{part:?} is lost");
        }
    }

    let (from, length) = (u64::from(place.0), u64::from(place.1));
    let heads = scan_each(&file[..], &FORMAT, from..u64::MAX, Depth::Heads, |_, payload| assert!(payload.is_empty())).unwrap();
    assert_all_is_told(&heads, &file, from);
    if frame_at(&file[..], &FORMAT, from, length).unwrap().is_some() {
        assert!(is_whole(&file, from, length));
    }
});
