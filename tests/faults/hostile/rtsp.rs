//! Hostile cameras that speak RTSP: what each kind sends.

use std::io;

use fastrand::Rng;

use super::{PAUSE_MS, PIECE, RECONNECTS};
use crate::support::camera::{Script, script};
use crate::support::rtsp::{Encoder, PPS, SPS, Stage, answer, interleaved, sdp};

/// How the payload of a fragment begins (RFC 6184 §5.8): the first, and any in the middle.
const FIRST_FRAGMENT: &[u8] = b"\x7c\x85";
const FRAGMENT: &[u8] = b"\x7c\x05";
/// A slice that does not begin a picture: not the first macroblock.
const LATER_SLICE: &[u8] = b"\x65\x40";
/// As many packets as go into a piece.
const PACKETS: usize = PIECE / 1_440;

/// Every kind, with what it sends.
pub fn kinds(seed: u64) -> Vec<(&'static str, Script)> {
    [before_the_stream(), within_the_stream(seed)].concat()
}

fn before_the_stream() -> Vec<(&'static str, Script)> {
    let fields = "X-Field: abcdefghijklmnop\r\n".repeat(PIECE / 27);
    let media =
        "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\n";
    let media = media.repeat(PIECE / media.len());
    let described = |length: u64| {
        format!(
            "Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{}",
            sdp()
        )
    };
    vec![
        (
            "endless fields in an answer",
            refuse("OPTIONS", "RTSP/1.0 200 OK\r\n", fields.clone()),
        ),
        (
            "one endless field in an answer",
            refuse("OPTIONS", "RTSP/1.0 200 OK\r\nX-Field: ", "a".repeat(PIECE)),
        ),
        (
            "endless status line",
            refuse("OPTIONS", "RTSP/1.0 200 ", "a".repeat(PIECE)),
        ),
        (
            "endless description",
            refuse(
                "DESCRIBE",
                format!(
                    "RTSP/1.0 200 OK\r\nCSeq: 2\r\n{}",
                    described(9_223_372_036_854_775_807)
                ),
                media.clone(),
            ),
        ),
        (
            "endless description without a length",
            refuse(
                "DESCRIBE",
                "RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n",
                media,
            ),
        ),
        (
            "endless answers to nothing",
            refuse(
                "OPTIONS",
                "",
                "RTSP/1.0 200 OK\r\nCSeq: 77\r\n\r\n".repeat(PIECE / 30),
            ),
        ),
        (
            "endless requests of its own",
            refuse(
                "OPTIONS",
                "",
                "OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n".repeat(PIECE / 31),
            ),
        ),
        (
            "endless packets in place of an answer to SETUP",
            refuse("SETUP", "", interleaved(0, &[0x80; 1_400]).repeat(PACKETS)),
        ),
        ("an answer at a byte every 50 ms", drip()),
        ("hang up at once", script(async |_| Ok(()))),
    ]
}

fn within_the_stream(seed: u64) -> Vec<(&'static str, Script)> {
    let noise: Vec<u8> = {
        let mut rng = Rng::with_seed(seed);
        std::iter::repeat_with(|| rng.u8(..)).take(PIECE).collect()
    };
    let silent = interleaved(9, &[0; u16::MAX as usize]);
    let pinning = silent.clone();
    let report = interleaved(1, &[&[0x80, 200][..], &[0xff; 1_398]].concat()).repeat(PACKETS);
    let filled = |head: &'static [u8]| [head, &[7; 1_400]].concat();
    vec![
        (
            "endless access unit",
            packets(PACKETS, move |encoder| {
                encoder.packet(&filled(LATER_SLICE), false)
            }),
        ),
        (
            "endless access unit of small slices",
            packets(PIECE / 20, |encoder| encoder.packet(LATER_SLICE, false)),
        ),
        (
            "endless access unit of small slices in large packets",
            packets(PACKETS, |encoder| {
                let units = b"\0\x02\x65\x40".repeat(350);
                encoder.packet(&[b"\x78", &units[..]].concat(), false)
            }),
        ),
        (
            "endless fragments",
            packets(PACKETS, move |encoder| {
                encoder.packet(&filled(FRAGMENT), false)
            }),
        ),
        (
            "endless fragments of a byte",
            packets(PIECE / 20, |encoder| {
                encoder.packet(&[FRAGMENT, &[7]].concat(), false)
            }),
        ),
        (
            "endless parameter sets",
            packets(PACKETS, |encoder| {
                let unit = [
                    b"\x67\x42\xc0\x1f",
                    &encoder.sequence.to_be_bytes()[..],
                    &[7; 1_390],
                ];
                encoder.packet(&unit.concat(), false)
            }),
        ),
        ("other parameter sets with each picture", stream(other_sets)),
        (
            "packets of another sender each",
            packets(PACKETS, |encoder| {
                encoder.ssrc = encoder.ssrc.wrapping_add(1);
                encoder.packet(&[7; 1_400], true)
            }),
        ),
        (
            "packets out of order",
            packets(PACKETS, |encoder| {
                encoder.sequence = encoder.sequence.wrapping_mul(31_421).wrapping_add(6_927);
                encoder.packet(&[FRAGMENT, &[7; 1_400]].concat(), false)
            }),
        ),
        (
            "packets of 64 KiB of another channel",
            stream(move |_| silent.clone()),
        ),
        (
            "a byte of a picture between them",
            stream(move |encoder| {
                let byte = encoder.packet(&[FRAGMENT, &[7]].concat(), false);
                [&interleaved(0, &byte)[..], &pinning].concat()
            }),
        ),
        ("endless reports", stream(move |_| report.clone())),
        ("noise", stream(move |_| noise.clone())),
        (RECONNECTS, hang_up()),
    ]
}

/// Answers as usual until it is asked this; then it sends `begin`, and `piece` for as long as it is listened to.
fn refuse(method: &'static str, begin: impl Into<String>, piece: impl AsRef<[u8]>) -> Script {
    let (begin, piece) = (begin.into(), piece.as_ref().to_vec());
    script(move |camera| {
        let (begin, piece) = (begin.clone(), piece.clone());
        async move {
            let mut stage = Stage::new(camera);
            loop {
                let request = stage.request().await?;
                if request.method() == method {
                    break;
                }
                stage.accept(&request).await?;
            }
            stage.camera.send(&begin).await?;
            loop {
                stage.camera.send(&piece).await?;
                stage.camera.wait(PAUSE_MS).await;
            }
        }
    })
}

/// Begins as usual, with the first packet of a keyframe; then it sends such pieces for as long as it is listened to.
fn stream(piece: impl Fn(&mut Encoder) -> Vec<u8> + Clone + Send + Sync + 'static) -> Script {
    script(move |camera| {
        let piece = piece.clone();
        async move {
            let mut stage = Stage::new(camera);
            stage.begin().await?;
            let begin = [FIRST_FRAGMENT, b"\x88\x84", &[7; 1_000]].concat();
            let packets = [SPS, PPS, &begin].map(|unit| stage.encoder.packet(unit, false));
            stage.send(&packets).await?;
            loop {
                let piece = piece(&mut stage.encoder);
                stage.camera.send(piece).await?;
                stage.camera.wait(PAUSE_MS).await;
            }
        }
    })
}

/// The same, of so many packets each.
fn packets(
    count: usize,
    packet: impl Fn(&mut Encoder) -> Vec<u8> + Clone + Send + Sync + 'static,
) -> Script {
    stream(move |encoder| {
        let packets = std::iter::repeat_with(|| interleaved(0, &packet(encoder)));
        packets.take(count).flatten().collect()
    })
}

/// Keyframes, each with a parameter set that no other has: for a segment of its own.
fn other_sets(encoder: &mut Encoder) -> Vec<u8> {
    let level = (encoder.sequence % 50) as u8 + 10;
    encoder.sets[0][3] = level;
    let (packets, _) = encoder.picture(true);
    packets
        .iter()
        .flat_map(|packet| interleaved(0, packet))
        .collect()
}

fn drip() -> Script {
    script(async |camera| {
        let mut stage = Stage::new(camera);
        let request = stage.request().await?;
        for byte in answer(&request, "200 OK", "", "") {
            stage.camera.send([byte]).await?;
            stage.camera.wait(50).await;
        }
        Ok::<_, io::Error>(())
    })
}

fn hang_up() -> Script {
    script(async |camera| {
        let mut stage = Stage::new(camera);
        stage.begin().await?;
        let (packets, _) = stage.encoder.picture(true);
        stage.send(&packets).await
    })
}
