//! What real senders send: see `captures/README.md`.

use bytes::Bytes;

use super::{Event, Receiver, Transport};
use crate::frame::Codec;
use crate::jpeg::{Segment, Walk, Walker, header_segments};
use crate::nal::split_annex_b;
use crate::sdp::Description;

/// The payloads that come of packets behind their lengths, and the keyframes among them.
fn received(encoding: &str, framed: &'static [u8]) -> (Vec<Vec<u8>>, Vec<bool>) {
    let payload_type = framed[3] & 0x7F;
    let text =
        format!("m=video 0 RTP/AVP {payload_type}\na=rtpmap:{payload_type} {encoding}/90000\n");
    let description = Description::read(text.as_bytes());
    let mut receiver = Receiver::new(description.video().unwrap(), Transport::Interleaved);
    let mut rest = framed;
    while let Some((len, after)) = rest.split_first_chunk() {
        let (packet, after) = after.split_at(u16::from_be_bytes(*len).into());
        receiver.push(Bytes::from_static(packet), 0);
        rest = after;
    }
    receiver.finish();
    let mut media_us = Vec::new();
    let (mut payloads, mut keyframes) = (Vec::new(), Vec::new());
    while let Some(event) = receiver.poll() {
        let Event::AccessUnit(unit) = event else {
            panic!("{event:?}")
        };
        assert!(
            unit.parameters
                .is_none_or(|parameters| (parameters.width, parameters.height) == (96, 64))
        );
        media_us.extend(unit.stamp.media_us);
        payloads.push(unit.payload.to_vec());
        keyframes.push(unit.keyframe);
    }
    assert_eq!(
        (receiver.counts().lost, receiver.counts().malformed),
        (0, 0)
    );
    assert_eq!(media_us.len(), payloads.len());
    (payloads, keyframes)
}

fn units(payload: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = payload;
    let mut units = Vec::new();
    while let Some((len, after)) = rest.split_first_chunk() {
        let (unit, after) = after.split_at(u32::from_be_bytes(*len) as usize);
        units.push(unit.to_vec());
        rest = after;
    }
    units
}

fn assert_is_same(codec: Codec, encoding: &str, framed: &'static [u8], annex_b: &'static [u8]) {
    let (payloads, keyframes) = received(encoding, framed);
    let sent = split_annex_b(codec, Bytes::from_static(annex_b).into());
    let found: Vec<Vec<u8>> = payloads.iter().flat_map(|payload| units(payload)).collect();
    assert_eq!(
        found,
        sent.iter().map(|unit| unit.to_vec()).collect::<Vec<_>>()
    );
    assert_eq!(
        keyframes,
        [true, false, false, false, true, false, false, false]
    );
}

#[test]
fn h264_comes_out_as_it_was_encoded() {
    let (framed, annex_b) = (
        include_bytes!("captures/h264.rtp"),
        include_bytes!("captures/h264.annexb"),
    );
    assert_is_same(Codec::H264, "H264", framed, annex_b);
}

#[test]
fn h265_comes_out_as_it_was_encoded() {
    let (framed, annex_b) = (
        include_bytes!("captures/h265.rtp"),
        include_bytes!("captures/h265.annexb"),
    );
    assert_is_same(Codec::H265, "H265", framed, annex_b);
}

#[test]
fn jpeg_comes_out_with_the_tables_size_and_data_that_were_encoded() {
    let (payloads, _) = received("JPEG", include_bytes!("captures/jpeg.rtp"));
    let mut sent = &include_bytes!("captures/jpeg.mjpeg")[..];
    for payload in &payloads {
        let mut walker = Walker::default();
        assert_eq!(walker.take(sent), Walk::End);
        let (picture, rest) = sent.split_at(walker.taken());
        assert_eq!(facts(payload), facts(picture));
        sent = rest;
    }
    assert_eq!((payloads.len(), sent.len()), (8, 0));
}

/// Quantization tables, size, and all behind the head of the scan.
fn facts(picture: &[u8]) -> (Vec<u8>, Vec<u8>, &[u8]) {
    let bodies = |wanted: u8| {
        let segments = header_segments(picture).filter(move |segment| segment.code == wanted);
        segments
            .flat_map(|Segment { body, .. }| body.to_vec())
            .collect::<Vec<u8>>()
    };
    let head: usize = header_segments(picture)
        .map(|segment| segment.body.len() + 4)
        .sum();
    (
        bodies(0xDB),
        bodies(0xC0)[1..5].to_vec(),
        &picture[2 + head..],
    )
}
