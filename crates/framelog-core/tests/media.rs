//! What is written, as players see it.

#[path = "../../../tests/support/elementary.rs"]
mod elementary;

use std::path::Path;

use elementary::{assert_decodes, frames, jpegs, packets};
use framelog_core::container::mkv::Film;
use framelog_core::container::mp4::{self, Keyframes, Movie, Pace, Position};
use framelog_core::container::scan::{Depth, opening, scan_each};
use framelog_core::frame::{Codec, Frame, Parameters};

/// 2023-11-14 22:13:20 UTC.
const T: i64 = 1_700_000_000_000_000;

/// The codecs, and how many B-frames are between two others.
const STREAMS: [(Codec, u32); 4] = [
    (Codec::H264, 0),
    (Codec::H264, 3),
    (Codec::H265, 0),
    (Codec::H265, 3),
];

/// A segment as it is written, and where each frame ends.
fn segment(frames: &[Frame], pace: Pace) -> (Vec<u8>, Vec<usize>, Position, Keyframes) {
    let mut position = Position::begin(&frames[0], pace);
    let (mut bytes, mut ends, mut keyframes) = (Vec::new(), Vec::new(), Keyframes::default());
    for frame in frames {
        let place = position.write_head(frame, &mut bytes);
        if frame.keyframe {
            keyframes.push(place.shown_us(), (bytes.len() - mp4::HEAD_LEN) as u64);
        }
        bytes.extend(frame.payload.to_vec());
        ends.push(bytes.len());
    }
    (bytes, ends, position, keyframes)
}

/// When each is shown after the first, and whether it is a keyframe.
fn shown(frames: &[Frame]) -> Vec<(i64, bool)> {
    let first_us = frames.iter().map(|frame| frame.captured_us).min().unwrap();
    frames
        .iter()
        .map(|frame| (frame.captured_us - first_us, frame.keyframe))
        .collect()
}

fn assert_plays(file: &Path, frames: &[Frame]) {
    assert_eq!(packets(file), shown(frames));
    assert_decodes(file);
}

#[test]
fn a_segment_plays_open_and_closed_with_the_times_of_its_frames() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("s.mp4");
    for (codec, b_frames) in STREAMS {
        let frames = frames(codec, "320x180", b_frames, 60, T);
        let (mut bytes, _, position, keyframes) = segment(&frames, Pace::default());
        assert!(
            !position.is_outgrown(),
            "the parameters say how far pictures change places"
        );
        std::fs::write(&file, &bytes).unwrap();
        assert_plays(&file, &frames);
        bytes.extend(keyframes.close());
        std::fs::write(&file, &bytes).unwrap();
        assert_plays(&file, &frames);
        let scan = scan_each(
            &bytes[..],
            &mp4::FORMAT,
            0..u64::MAX,
            Depth::Bytes,
            |_, _| (),
        )
        .unwrap();
        assert_eq!(
            (scan.frames.len(), scan.damaged.len(), scan.torn()),
            (60, 0, 0)
        );
        let opening = opening(&bytes[..], &mp4::FORMAT).unwrap().unwrap();
        let (read, parameters) = mp4::parameters(&opening).unwrap();
        assert_eq!(
            (read, &parameters),
            (codec, &**frames[0].parameters.as_ref().unwrap())
        );
    }
}

#[test]
fn a_segment_that_ends_anywhere_plays_up_to_its_last_whole_frame() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("s.mp4");
    let frames = frames(Codec::H264, "320x180", 0, 30, T);
    let (bytes, ends, ..) = segment(&frames, Pace::default());
    for whole in [1, 2, 17, 29] {
        std::fs::write(&file, &bytes[..ends[whole - 1]]).unwrap();
        assert_plays(&file, &frames[..whole]);
    }
}

#[test]
fn what_is_unknown_of_places_is_learnt_for_the_next_segment() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("s.mp4");
    // Without sets nothing says that there are B-frames.
    let frames = frames(Codec::H264, "320x180", 3, 50, T);
    let mute = Frame {
        parameters: None,
        ..frames[0].clone()
    };
    let mut position = Position::begin(&mute, Pace::default());
    let mut out = Vec::new();
    for frame in &frames {
        position.write_head(frame, &mut out);
    }
    assert!(position.is_outgrown());
    let (bytes, _, next, _) = segment(&frames, position.pace());
    assert!(!next.is_outgrown());
    std::fs::write(&file, bytes).unwrap();
    assert_plays(&file, &frames);
}

#[test]
fn prft_is_when_the_first_frame_was_taken() {
    let frames = frames(Codec::H264, "320x180", 0, 2, T + 123_456);
    let (bytes, ..) = segment(&frames, Pace::default());
    let at = memchr::memmem::find(&bytes, b"prft").unwrap();
    let ntp = u64::from_be_bytes(bytes[at + 12..at + 20].try_into().unwrap());
    assert_eq!(ntp >> 32, (T / 1_000_000) as u64 + 2_208_988_800);
    assert_eq!(((ntp & 0xffff_ffff) * 1_000_000) >> 32, 123_456);
    // It stands before the first fragment.
    assert!(at < memchr::memmem::find(&bytes, b"moof").unwrap());
}

/// A film as an export writes it.
fn film(frames: &[Frame]) -> Vec<u8> {
    let mut movie = Movie::default();
    let mut bytes = Movie::opening();
    for frame in frames {
        let none = Parameters {
            width: 320,
            height: 180,
            sets: Vec::new(),
        };
        movie.need(frame.codec, frame.parameters.as_deref().unwrap_or(&none));
        movie.add(
            frame.captured_us,
            frame.payload.len() as u32,
            frame.keyframe,
        );
        bytes.extend(frame.payload.to_vec());
    }
    let (behind, over) = movie.close();
    bytes.extend(behind);
    bytes[..over.len()].copy_from_slice(&over);
    bytes
}

#[test]
fn a_film_plays_with_the_times_of_its_frames_over_gaps() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("f.mp4");
    for (codec, b_frames) in STREAMS {
        let mut frames_of_it = frames(codec, "320x180", b_frames, 50, T);
        // An hour later.
        frames_of_it.extend(frames(codec, "320x180", b_frames, 25, T + 3_600_000_123));
        std::fs::write(&file, film(&frames_of_it)).unwrap();
        assert_eq!(packets(&file), shown(&frames_of_it));
        let seek = [
            "-v",
            "warning",
            "-nostdin",
            "-ss",
            "3600.5",
            "-i",
            file.to_str().unwrap(),
            "-frames:v",
            "1",
            "-f",
            "null",
            "-",
        ];
        elementary::output_of("ffmpeg", &seek);
    }
}

#[test]
fn a_film_whose_parameters_change_plays_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("f.mp4");
    for codec in [Codec::H264, Codec::H265] {
        let mut all = frames(codec, "320x180", 0, 25, T);
        all.extend(frames(codec, "160x120", 0, 25, T + 1_000_000));
        std::fs::write(&file, film(&all)).unwrap();
        assert_plays(&file, &all);
    }
}

#[test]
fn motion_jpeg_keeps_its_own_times_in_both_films() {
    let dir = tempfile::tempdir().unwrap();
    let times: Vec<i64> = (0..20)
        .map(|n: i64| T + n * 100_000 + n * n * 777)
        .chain([T + 90_000_001])
        .collect();
    let jpegs = jpegs("320x180", times.len());
    let template = frames(Codec::H264, "320x180", 0, 1, T).remove(0);
    let frame = |(captured_us, jpeg): (&i64, &Vec<u8>)| Frame {
        payload: bytes::Bytes::copy_from_slice(jpeg).into(),
        codec: Codec::Mjpeg,
        parameters: None,
        captured_us: *captured_us,
        ..template.clone()
    };
    let frames: Vec<Frame> = times.iter().zip(&jpegs).map(frame).collect();
    let mp4 = dir.path().join("f.mp4");
    std::fs::write(&mp4, film(&frames)).unwrap();
    let mkv = dir.path().join("f.mkv");
    let mut film = Film::new(320, 180, T);
    let mut bytes = film.open();
    for (captured_us, jpeg) in times.iter().zip(&jpegs) {
        bytes.extend(film.head(*captured_us, jpeg.len()));
        bytes.extend_from_slice(jpeg);
    }
    let (behind, over) = film.close();
    bytes.extend(behind);
    bytes[..over.len()].copy_from_slice(&over);
    std::fs::write(&mkv, bytes).unwrap();
    for file in [mp4, mkv] {
        assert_plays(&file, &frames);
        // The pictures are the camera's, to the last bit.
        let copy = [
            "-v",
            "warning",
            "-nostdin",
            "-i",
            file.to_str().unwrap(),
            "-c",
            "copy",
            "-f",
            "image2pipe",
            "-",
        ];
        assert!(
            elementary::output_of("ffmpeg", &copy) == jpegs.concat(),
            "{}",
            file.display()
        );
    }
}
