//! Real pictures: what encoders make, as a camera sends it. Made by ffmpeg.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use framelog_core::clock::ClockKind;
use framelog_core::frame::{Codec, Frame, Parameters};

/// The output of a program, which must be content and silent.
pub fn output_of(program: &str, args: &[&str]) -> Vec<u8> {
    let output = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.is_empty(),
        "{program} {args:?}: {said}"
    );
    output.stdout
}

/// Decodes a whole file; no line of complaint.
pub fn assert_decodes(file: &Path) {
    let file = file.to_str().expect("a name in UTF-8");
    output_of(
        "ffmpeg",
        &["-v", "warning", "-nostdin", "-i", file, "-f", "null", "-"],
    );
}

/// What a player sees of a packet: when it is shown, in microseconds, and whether it is a keyframe.
pub fn packets(file: &Path) -> Vec<(i64, bool)> {
    let file = file.to_str().expect("a name in UTF-8");
    let entries = "packet=pts_time,flags";
    let out = output_of(
        "ffprobe",
        &[
            "-v",
            "warning",
            "-show_entries",
            entries,
            "-of",
            "default=nw=1",
            file,
        ],
    );
    let text = String::from_utf8(out).expect("text");
    let of = |key: &'static str| {
        text.lines()
            .filter_map(move |line| line.strip_prefix(key)?.strip_prefix('='))
    };
    let times = of("pts_time").map(|time| {
        let (seconds, micros) = time.split_once('.').expect("a fraction");
        format!("{seconds}{micros:0<6}").parse().expect("a number")
    });
    times
        .zip(of("flags").map(|flags| flags.starts_with('K')))
        .collect()
}

/// Some seconds of a moving picture of this size, in the order of decoding; captured from `from_us` on, at times that are not quite regular.
pub fn frames(codec: Codec, size: &str, b_frames: u32, count: usize, from_us: i64) -> Vec<Frame> {
    let dir = tempfile::tempdir().expect("a directory");
    let film = dir.path().join("film.mp4");
    let film_name = film.to_str().expect("a name in UTF-8");
    let source = format!("testsrc2=size={size}:rate=25");
    let (encoder, params, bsf, raw) = match codec {
        Codec::H264 => (
            "libx264",
            "-x264-params",
            "h264_mp4toannexb,h264_metadata=aud=insert",
            "h264",
        ),
        Codec::H265 => (
            "libx265",
            "-x265-params",
            "hevc_mp4toannexb,hevc_metadata=aud=insert",
            "hevc",
        ),
        Codec::Mjpeg => panic!("no access units"),
    };
    let settings =
        format!("log-level=none:keyint=25:min-keyint=25:scenecut=0:open-gop=0:bframes={b_frames}");
    let count = count.to_string();
    output_of(
        "ffmpeg",
        &[
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            &source,
            "-frames:v",
            &count,
            "-pix_fmt",
            "yuv420p",
            "-c:v",
            encoder,
            "-preset",
            "ultrafast",
            params,
            &settings,
            film_name,
        ],
    );
    let stream = output_of(
        "ffmpeg",
        &[
            "-v", "error", "-i", film_name, "-c", "copy", "-bsf:v", bsf, "-f", raw, "-",
        ],
    );
    let (units, sets) = access_units(codec, &stream);
    let (width, height) = size.split_once('x').expect("a size");
    let parameters = Arc::new(Parameters {
        width: width.parse().expect("a number"),
        height: height.parse().expect("a number"),
        sets,
    });
    let packets = packets(&film);
    assert_eq!(units.len(), packets.len());
    let frame = |(payload, (shown_us, keyframe)): (Vec<u8>, (i64, bool))| {
        let captured_us = from_us + shown_us + shown_us / 40_000 * 7919 % 1000;
        Frame {
            payload: Bytes::from(payload).into(),
            codec,
            parameters: Some(parameters.clone()),
            captured_us,
            received_us: captured_us + 60_000,
            clock: ClockKind::Camera,
            offset_us: 0,
            keyframe,
            complete: true,
        }
    };
    units.into_iter().zip(packets).map(frame).collect()
}

/// Access units of a byte stream (H.264, annex B), each NAL unit behind its length, and the parameter sets, which are not in them.
fn access_units(codec: Codec, stream: &[u8]) -> (Vec<Vec<u8>>, Vec<Bytes>) {
    let (mut units, mut sets): (Vec<Vec<u8>>, Vec<Bytes>) = (Vec::new(), Vec::new());
    for nal in nal_units(stream) {
        let kind = match codec {
            Codec::H265 => nal[0] >> 1 & 0x3f,
            _ => nal[0] & 0x1f,
        };
        match (codec, kind) {
            (Codec::H264, 9) | (Codec::H265, 35) => units.push(Vec::new()),
            (Codec::H264, 7 | 8) | (Codec::H265, 32..=34) => {
                if !sets.iter().any(|set| set == nal) {
                    sets.push(Bytes::copy_from_slice(nal));
                }
            }
            _ => {
                let unit = units.last_mut().expect("a delimiter first");
                unit.extend((nal.len() as u32).to_be_bytes());
                unit.extend_from_slice(nal);
            }
        }
    }
    (units, sets)
}

fn nal_units(stream: &[u8]) -> Vec<&[u8]> {
    let starts: Vec<usize> = memchr::memmem::find_iter(stream, b"\0\0\x01").collect();
    let ends = starts.iter().skip(1).copied().chain([stream.len()]);
    let unit = |(start, end): (&usize, usize)| {
        let unit = &stream[start + 3..end];
        let zeros = unit.iter().rev().take_while(|byte| **byte == 0).count();
        &unit[..unit.len() - zeros]
    };
    starts.iter().zip(ends).map(unit).collect()
}

/// JPEGs of a moving picture of this size.
pub fn jpegs(size: &str, count: usize) -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().expect("a directory");
    let source = format!("testsrc2=size={size}:rate=10");
    let pattern = dir.path().join("%04d.jpg");
    let pattern = pattern.to_str().expect("a name in UTF-8");
    let frames = count.to_string();
    output_of(
        "ffmpeg",
        &[
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            &source,
            "-frames:v",
            &frames,
            "-pix_fmt",
            "yuvj420p",
            pattern,
        ],
    );
    let read = |n: usize| std::fs::read(dir.path().join(format!("{n:04}.jpg"))).expect("a picture");
    (1..=count).map(read).collect()
}
