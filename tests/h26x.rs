//! H.264 and H.265 on disk and out of it: real pictures through the store, seen by players and by a reader of our own.

use std::path::{Path, PathBuf};

use framelog_core::frame::{Codec, Frame};
use framelog_store::{Options, Reader, Store};

use crate::support::RUNTIME;
use crate::support::daemon::{Place, program};
use crate::support::elementary::{assert_decodes, frames, jpegs, packets};

/// 2023-11-14 22:13:20 UTC.
pub const T: i64 = 1_700_000_000_000_000;
/// A second.
pub const S: i64 = 1_000_000;

/// A place whose camera `gate` sent these frames; a new segment where `true`.
pub fn recorded(frames: &[(Frame, bool)]) -> Place {
    let place = Place::new("[cameras.gate]\nurl = \"http://192.168.0.50/\"\n");
    let storage = place.storage();
    RUNTIME.block_on(async {
        let store = Store::open(Options::new(storage)).await.expect("a store");
        let log = store.camera("gate").expect("a camera");
        for (frame, new_segment) in frames {
            log.append(frame.clone(), *new_segment).expect("room");
        }
        store.close().await.expect("a clean stop");
    });
    place
}

/// Four seconds in segments of two, and after 20 s two more.
pub fn footage(codec: Codec, b_frames: u32) -> Vec<(Frame, bool)> {
    let mut all = frames(codec, "320x180", b_frames, 100, T);
    all.extend(frames(codec, "320x180", b_frames, 50, T + 24 * S));
    let is_first = |n: usize| n.is_multiple_of(50);
    all.into_iter()
        .enumerate()
        .map(|(n, frame)| (frame, is_first(n)))
        .collect()
}

/// When each is shown after the first of them, and whether it is a keyframe.
fn shown<'f>(frames: impl Iterator<Item = &'f Frame> + Clone) -> Vec<(i64, bool)> {
    let first_us = frames
        .clone()
        .map(|frame| frame.captured_us)
        .min()
        .expect("a frame");
    frames
        .map(|frame| (frame.captured_us - first_us, frame.keyframe))
        .collect()
}

/// The segments of that day, in order.
pub fn segments(place: &Place) -> Vec<PathBuf> {
    let day = place.storage().join("footage/gate/2023-11-14");
    let mut files: Vec<PathBuf> = std::fs::read_dir(day)
        .expect("a day")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
}

/// Top-level boxes: type, where they begin, how long they are (ISO/IEC 14496-12, 4.2).
fn boxes(bytes: &[u8]) -> Vec<(String, usize, usize)> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let size = u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
        assert!(
            size >= 8 && at + size <= bytes.len(),
            "a box of {size} bytes at {at} of {}",
            bytes.len()
        );
        found.push((
            String::from_utf8(bytes[at + 4..at + 8].to_vec()).expect("a type"),
            at,
            size,
        ));
        at += size;
    }
    found
}

#[test]
fn segments_of_h26x_are_a_fragment_a_frame_and_play() {
    for (codec, b_frames) in [(Codec::H264, 0), (Codec::H264, 2), (Codec::H265, 0)] {
        let sent = footage(codec, b_frames);
        let place = recorded(&sent);
        let files = segments(&place);
        assert_eq!(files.len(), 3);
        let reader = RUNTIME
            .block_on(Reader::open(&place.storage()))
            .expect("an index");
        let rows = reader
            .frames("gate", i64::MIN, i64::MAX, None, 1000)
            .expect("rows");
        assert_eq!(rows.len(), sent.len());
        for (file, sent) in files.iter().zip(sent.chunks(50)) {
            let bytes = std::fs::read(file).expect("a file");
            let boxes = boxes(&bytes);
            let kinds: Vec<&str> = boxes.iter().map(|(kind, ..)| kind.as_str()).collect();
            assert_eq!(kinds[..4], ["ftyp", "moov", "prft", "uuid"]);
            assert!(
                kinds[4..kinds.len() - 2]
                    .chunks(3)
                    .all(|three| three == ["moof", "uuid", "mdat"])
            );
            assert_eq!(kinds[kinds.len() - 2..], ["uuid", "mfra"]);
            let payloads = boxes.iter().filter(|(kind, ..)| kind == "mdat");
            assert_eq!(payloads.clone().count(), sent.len());
            for ((_, at, size), (frame, _)) in payloads.zip(sent) {
                assert!(bytes[at + 8..at + size] == frame.payload.to_vec());
                let row = rows
                    .iter()
                    .find(|row| row.captured_us == frame.captured_us)
                    .expect("a row");
                assert_eq!((row.offset, row.length), (*at as u64 + 8, *size as u64 - 8));
                assert_eq!(
                    (row.keyframe, row.codec.name()),
                    (frame.keyframe, codec.name())
                );
            }
            assert_eq!(packets(file), shown(sent.iter().map(|(frame, _)| frame)));
            assert_decodes(file);
        }
    }
}

/// Exports a span.
pub fn export(place: &Place, from_us: i64, to_us: i64, output: &Path) {
    let time = |us: i64| {
        format!(
            "2023-11-14T22:13:{:02}.{:06}Z",
            20 + (us - T) / S,
            (us - T) % S
        )
    };
    let (from, to, output) = (time(from_us), time(to_us), output.display().to_string());
    let output = place.command(&[
        "export", "gate", "--from", &from, "--to", &to, "-o", &output,
    ]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn an_export_is_one_film_from_the_keyframe_before_on_over_segments_and_gaps() {
    for (codec, b_frames) in [(Codec::H264, 0), (Codec::H264, 2), (Codec::H265, 0)] {
        let sent = footage(codec, b_frames);
        let place = recorded(&sent);
        let file = place.path("out.mp4");
        // From the middle of the second GOP up to the middle of what came after the gap.
        export(&place, T + S + 400_000, T + 25 * S + 500_000, &file);
        let wanted = &sent[25..];
        let last = wanted
            .iter()
            .rposition(|(frame, _)| frame.captured_us < T + 25 * S + 500_000)
            .expect("a frame");
        let wanted = wanted[..=last].iter().map(|(frame, _)| frame);
        assert_eq!(packets(&file), shown(wanted));
        // No frames are made up in the gap.
        let file = file.display().to_string();
        crate::support::elementary::output_of(
            "ffmpeg",
            &[
                "-v",
                "warning",
                "-nostdin",
                "-i",
                &file,
                "-fps_mode",
                "passthrough",
                "-f",
                "null",
                "-",
            ],
        );
    }
}

#[test]
fn an_export_over_a_change_of_size_holds_and_shows_every_frame() {
    let mut sent = frames(Codec::H264, "320x180", 0, 25, T);
    sent.extend(frames(Codec::H264, "160x120", 0, 25, T + S));
    // Nobody says that a segment is to begin.
    let sent: Vec<(Frame, bool)> = sent.into_iter().map(|frame| (frame, false)).collect();
    let place = recorded(&sent);
    assert_eq!(segments(&place).len(), 2, "what changes begins a segment");
    let file = place.path("out.mp4");
    export(&place, T, T + 3 * S, &file);
    assert_eq!(packets(&file), shown(sent.iter().map(|(frame, _)| frame)));
    assert_decodes(&file);
}

#[test]
fn a_frame_is_a_film_that_ends_with_it_and_a_jpeg_by_ffmpeg() {
    let sent = footage(Codec::H264, 2);
    let place = recorded(&sent);
    // Shown and decoded in different order.
    let wanted = &sent[38].0;
    let at = format!("2023-11-14T22:13:21.{:06}Z", wanted.captured_us - T - S);
    for name in ["one.mp4", "one.jpg"] {
        let file = place.path(name);
        let output = place.command(&["frame", "gate", &at, "-o", &file.display().to_string()]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        match name {
            "one.mp4" => assert_eq!(
                packets(&file),
                shown(sent[25..=38].iter().map(|(frame, _)| frame))
            ),
            _ => assert!(
                std::fs::read(&file)
                    .expect("a picture")
                    .starts_with(b"\xFF\xD8")
            ),
        }
        assert_decodes(&file);
    }
}

#[test]
fn other_exports_of_h26x_say_what_to_do_instead() {
    let place = recorded(&footage(Codec::H264, 0));
    let output = place.command(&[
        "export",
        "gate",
        "--from",
        "2023-11-14T22:13:20Z",
        "--to",
        "2023-11-14T22:13:24Z",
        "-o",
        "x.zip",
    ]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("h264") && said.contains(".mp4"), "{said}");
}

#[test]
fn motion_jpeg_is_exported_to_films_with_its_own_times() {
    let jpegs = jpegs("320x180", 15);
    let template = frames(Codec::H264, "320x180", 0, 1, T).remove(0);
    let frame = |(n, jpeg): (usize, &Vec<u8>)| Frame {
        payload: bytes::Bytes::copy_from_slice(jpeg).into(),
        codec: Codec::Mjpeg,
        parameters: None,
        captured_us: T + n as i64 * 100_000 + n as i64 * 7919 % 3000,
        ..template.clone()
    };
    let sent: Vec<(Frame, bool)> = jpegs
        .iter()
        .enumerate()
        .map(|(n, jpeg)| (frame((n, jpeg)), n == 7))
        .collect();
    let place = recorded(&sent);
    for name in ["out.mp4", "out.mkv"] {
        let file = place.path(name);
        export(&place, T, T + 9 * S, &file);
        assert_eq!(
            packets(&file),
            shown(sent.iter().map(|(frame, _)| frame)),
            "{name}"
        );
        assert_decodes(&file);
    }
}

/// Where the last whole `mdat` ends (ISO/IEC 14496-12, 4.2: a box begins with its length and its type).
fn end_of_last_frame(film: &[u8]) -> usize {
    let (mut at, mut end) = (0, 0);
    while let Some(head) = film.get(at..at + 8) {
        let (length, kind) = head.split_at(4);
        at += u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
        if kind == b"mdat" && at <= film.len() {
            end = at;
        }
    }
    end
}

#[test]
fn tail_of_h264_is_a_film_that_players_read_as_it_comes() {
    use std::io::Read as _;
    use std::process::Stdio;
    let sent = footage(Codec::H264, 0);
    let place = recorded(&sent);
    let mut tail = program()
        .arg("--config")
        .arg(place.config())
        .args(["tail", "gate", "--from", "2023-11-14T22:13:00Z"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("tail");
    let mut out = tail.stdout.take().expect("its output");
    let expected: usize = sent.iter().map(|(frame, _)| frame.payload.len()).sum();
    let mut film = Vec::new();
    let mut chunk = [0; 4096];
    while film.len() < expected + 165 * sent.len() {
        let read = out.read(&mut chunk).expect("its output");
        assert!(read > 0, "it ended");
        film.extend_from_slice(&chunk[..read]);
    }
    drop(out);
    // It ends when nobody reads, at its next look.
    let _ = tail.kill();
    let _ = tail.wait();
    let file = place.path("tail.mp4");
    std::fs::write(&file, &film[..end_of_last_frame(&film)]).expect("a file");
    let shown = shown(sent.iter().map(|(frame, _)| frame));
    let seen = packets(&file);
    assert!(
        seen.len() + 1 >= shown.len() && shown.starts_with(&seen),
        "{} of {}",
        seen.len(),
        shown.len()
    );
}
