use super::packet::samples::{packet, packet_of};
use super::rtcp::samples::sender_report;
use super::*;
use crate::clock::{Clock, ClockKind, TimestampMode};
use proptest::prelude::*;

const START: i64 = 1_700_000_000_000_000;
const FRAME_US: i64 = 40_000;
const FRAME_TICKS: u32 = 3_600;

const SPS: &[u8] = b"\x67\x42\xc0\x1f\xd9\x00\xa0\x2f\xf9\x70\x11\x00\x00\x03\x00\x01\x00\x00\x03\x00\x32\x0f\x18\x32\x48";
const SPS_642X358: &[u8] = b"\x67\x64\x00\x1e\xac\xd9\x40\xa4\x2f\xe2\x26\xc0\x44\x00\x00\x03\x00\x04\x00\x00\x03\x00\xc8\x3c\x58\xb6\x58";
const PPS: &[u8] = b"\x68\xcb\x83\xcb\x20";
const SEI: &[u8] = b"\x06\x05\x02\x01\x02\x80";

/// A slice of H.264 of about `len` bytes that differs with `seed`.
fn slice(is_idr: bool, is_first: bool, len: usize, seed: usize) -> Vec<u8> {
    let mut nal = vec![if is_idr { 0x65 } else { 0x41 }];
    nal.extend_from_slice(match (is_first, is_idr) {
        (true, true) => &[0x88, 0x84],
        (true, false) => &[0x9A, 0x21],
        (false, _) => &[0x4A, 0x21],
    });
    nal.extend((0..len).map(|n| (n * 7 + seed * 13) as u8 | 1));
    nal
}

/// A sequence of access units: each its NAL units.
fn stream(frames: usize, gop: usize, slices: usize, len: usize) -> Vec<Vec<Vec<u8>>> {
    (0..frames)
        .map(|n| {
            let is_idr = n % gop == 0;
            let mut nals = if is_idr {
                vec![SPS.to_vec(), PPS.to_vec(), SEI.to_vec()]
            } else {
                vec![]
            };
            nals.extend((0..slices).map(|part| slice(is_idr, part == 0, len, n * slices + part)));
            nals
        })
        .collect()
}

fn stored(nals: &[Vec<u8>]) -> Vec<u8> {
    let unit = |nal: &Vec<u8>| [&(nal.len() as u32).to_be_bytes()[..], nal].concat();
    nals.iter().flat_map(unit).collect()
}

/// The payloads of an access unit's packets, and whether each has the marker.
fn packetized(nals: &[Vec<u8>], mtu: usize) -> Vec<(Vec<u8>, bool)> {
    let mut out = Vec::new();
    for nal in nals {
        if nal.len() <= mtu {
            out.push((nal.clone(), false));
            continue;
        }
        let pieces = nal[1..].chunks(mtu).count();
        for (n, piece) in nal[1..].chunks(mtu).enumerate() {
            let flags = if n == 0 { 0x80 } else { 0 } | if n + 1 == pieces { 0x40 } else { 0 };
            let header = [nal[0] & 0xE0 | 28, nal[0] & 0x1F | flags];
            out.push(([&header[..], piece].concat(), false));
        }
    }
    out.last_mut().expect("no unit").1 = true;
    out
}

/// The packets of a stream, with the number of the access unit that each belongs to.
fn packets(stream: &[Vec<Vec<u8>>], mtu: usize, start: u16) -> Vec<(usize, Bytes)> {
    let mut sequence = start;
    let mut out = Vec::new();
    for (n, nals) in stream.iter().enumerate() {
        for (payload, marker) in packetized(nals, mtu) {
            out.push((
                n,
                packet(sequence, n as u32 * FRAME_TICKS, marker, &payload),
            ));
            sequence = sequence.wrapping_add(1);
        }
    }
    out
}

fn video(fmtp: &str) -> Video {
    let text = format!("m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 {fmtp}\n");
    crate::sdp::Description::read(text.as_bytes())
        .videos
        .remove(0)
}

fn receiver(transport: Transport) -> Receiver {
    Receiver::new(&video(""), transport)
}

#[derive(Debug, Default, PartialEq)]
struct Found {
    units: Vec<Vec<u8>>,
    keyframes: Vec<bool>,
    skipped: Vec<SkipReason>,
}

fn found(receiver: &mut Receiver) -> Found {
    let mut found = Found::default();
    while let Some(event) = receiver.poll() {
        match event {
            Event::AccessUnit(unit) => {
                found.units.push(unit.payload.to_vec());
                found.keyframes.push(unit.keyframe);
            }
            Event::Skipped(reason) => found.skipped.push(reason),
        }
    }
    found
}

fn run(transport: Transport, packets: impl IntoIterator<Item = Bytes>) -> Found {
    let mut receiver = receiver(transport);
    for (n, bytes) in packets.into_iter().enumerate() {
        receiver.push(bytes, START + n as i64 * 1_000);
    }
    receiver.finish();
    found(&mut receiver)
}

fn all(stream: &[Vec<Vec<u8>>]) -> Vec<Vec<u8>> {
    stream.iter().map(|nals| stored(nals)).collect()
}

#[test]
fn a_good_stream_comes_out_whole() {
    let stream = stream(25, 10, 3, 500);
    let out = run(
        Transport::Interleaved,
        packets(&stream, 200, 65_500)
            .into_iter()
            .map(|(_, bytes)| bytes),
    );
    assert_eq!(out.units, all(&stream));
    let keyframes: Vec<bool> = (0..25).map(|n| n % 10 == 0).collect();
    assert_eq!(out.keyframes, keyframes);
    assert_eq!(out.skipped, []);
}

#[test]
fn a_picture_is_handed_out_with_its_marker_once_markers_are_known_to_be_right() {
    let stream = stream(6, 10, 1, 50);
    let mut receiver = receiver(Transport::Interleaved);
    let mut behind = Vec::new();
    for (n, bytes) in packets(&stream, 500, 0) {
        // So that none is held because the stream has just begun.
        receiver.push(bytes, START + n as i64 * 400_000);
        let count = found(&mut receiver).units.len();
        behind.push((n, count));
    }
    let handed_out: usize = behind.iter().map(|(_, count)| count).sum();
    assert_eq!(handed_out, 6);
    assert_eq!(behind.last(), Some(&(5, 1)));
    assert!(!receiver.holds_picture());
}

#[test]
fn a_camera_that_pauses_has_its_last_picture_handed_out() {
    let stream = stream(1, 10, 2, 50);
    let mut receiver = receiver(Transport::Interleaved);
    for (_, bytes) in packets(&stream, 500, 0) {
        receiver.push(bytes, START);
    }
    assert_eq!(receiver.poll(), None);
    assert!(receiver.holds_picture());
    receiver.settle();
    assert_eq!(found(&mut receiver).units, all(&stream));
}

/// As of a stream of which the camera pauses behind this many packets.
fn paused(packets: &[Bytes], behind: usize) -> Found {
    let mut receiver = receiver(Transport::Interleaved);
    for (n, bytes) in packets.iter().enumerate() {
        receiver.push(bytes.clone(), START + n as i64 * 1_000);
        if n + 1 == behind {
            receiver.settle();
        }
    }
    receiver.finish();
    found(&mut receiver)
}

#[test]
fn the_first_marker_is_not_believed_when_nothing_comes_if_there_may_be_one_with_each_slice() {
    let stream = stream(8, 4, 3, 50);
    let marked: Vec<Bytes> = packets(&stream, 500, 0)
        .into_iter()
        .map(|(_, bytes)| {
            let mut bytes = bytes.to_vec();
            bytes[1] |= 0x80;
            Bytes::from(bytes)
        })
        .collect();
    for behind in 1..marked.len() {
        let out = paused(&marked, behind);
        assert_eq!(out.units, all(&stream), "behind {behind}");
    }
}

#[test]
fn without_markers_a_keyframe_is_not_taken_to_have_as_few_slices_as_others() {
    let mut stream = stream(12, 4, 3, 50);
    for nals in stream.iter_mut().filter(|nals| nals.len() == 3) {
        nals.truncate(1);
    }
    let unmarked: Vec<Bytes> = packets(&stream, 500, 0)
        .into_iter()
        .map(|(_, bytes)| {
            let mut bytes = bytes.to_vec();
            bytes[1] &= 0x7F;
            Bytes::from(bytes)
        })
        .collect();
    for behind in 1..unmarked.len() {
        let out = paused(&unmarked, behind);
        let whole = all(&stream);
        assert!(
            out.units.iter().all(|unit| whole.contains(unit)),
            "behind {behind}"
        );
    }
}

#[test]
fn a_first_marker_is_believed_after_a_long_silence() {
    let stream = stream(1, 10, 1, 50);
    let mut receiver = receiver(Transport::Interleaved);
    for (_, bytes) in packets(&stream, 500, 0) {
        receiver.push(bytes, START);
    }
    receiver.settle();
    assert_eq!(receiver.poll(), None, "it may be that of a slice");
    assert!(receiver.may_hold_picture());
    receiver.settle_at_last();
    assert_eq!(found(&mut receiver).units, all(&stream));
    assert!(!receiver.may_hold_picture());
}

#[test]
fn a_picture_without_its_marker_is_not_handed_out_because_nothing_comes() {
    let stream = stream(4, 10, 2, 50);
    let mut all_packets = packets(&stream, 500, 0);
    all_packets.pop();
    let mut receiver = receiver(Transport::Interleaved);
    for (n, bytes) in all_packets {
        receiver.push(bytes, START + n as i64 * 400_000);
    }
    assert!(!receiver.holds_picture());
    receiver.settle();
    assert_eq!(found(&mut receiver).units, all(&stream)[..3]);
    receiver.finish();
    assert_eq!(found(&mut receiver).skipped, [SkipReason::Torn]);
}

#[test]
fn without_markers_the_next_picture_shows_the_end() {
    let stream = stream(8, 4, 3, 300);
    let unmarked = packets(&stream, 200, 0).into_iter().map(|(_, bytes)| {
        let mut bytes = bytes.to_vec();
        bytes[1] &= 0x7F;
        Bytes::from(bytes)
    });
    let out = run(Transport::Interleaved, unmarked);
    assert_eq!(out.units, all(&stream));
}

#[test]
fn markers_with_every_packet_tear_nothing() {
    let stream = stream(8, 4, 3, 300);
    let marked = packets(&stream, 200, 0).into_iter().map(|(_, bytes)| {
        let mut bytes = bytes.to_vec();
        bytes[1] |= 0x80;
        Bytes::from(bytes)
    });
    let out = run(Transport::Interleaved, marked);
    assert_eq!(out.units, all(&stream));
    assert_eq!(out.skipped, []);
}

#[test]
fn markers_with_every_slice_of_keyframes_alone_tear_nothing() {
    // Joined in the middle: single slices with right markers come first.
    let mut stream = stream(3, 100, 1, 50);
    stream.remove(0);
    stream.extend((0..8).map(|n| match n % 4 {
        0 => vec![
            SPS.to_vec(),
            PPS.to_vec(),
            slice(true, true, 50, n),
            slice(true, false, 50, n),
        ],
        _ => vec![slice(false, true, 50, n)],
    }));
    let units: Vec<_> = stream
        .iter()
        .zip(0u32..)
        .flat_map(|(nals, n)| nals.iter().map(move |nal| (n, nal)))
        .collect();
    let marked = units
        .iter()
        .zip(0u16..)
        .map(|((n, nal), sequence)| packet(sequence, n * FRAME_TICKS, true, nal));
    let out = run(Transport::Interleaved, marked);
    assert_eq!(out.units, all(&stream[2..]));
    assert_eq!(out.skipped, [SkipReason::Early; 2]);
}

#[test]
fn marker_and_time_wrong_around_parameter_sets_do_no_harm() {
    let stream = stream(9, 3, 1, 100);
    let mut sequence = 0;
    let mut receiver = receiver(Transport::Interleaved);
    for (n, nals) in stream.iter().enumerate() {
        for (part, nal) in nals.iter().enumerate() {
            // Each parameter set has the time of the picture before, and a marker of its own.
            let is_last = part + 1 == nals.len();
            let rtp_time = (n as u32 + u32::from(is_last)) * FRAME_TICKS;
            receiver.push(packet(sequence, rtp_time, true, nal), START);
            sequence += 1;
        }
    }
    receiver.finish();
    let out = found(&mut receiver);
    assert_eq!(out.units, all(&stream));
    assert_eq!(out.skipped, []);
}

#[test]
fn start_codes_within_payloads_divide_units() {
    let stream = stream(4, 2, 1, 700);
    let joined: Vec<Vec<Vec<u8>>> = stream
        .iter()
        .map(|nals| vec![nals.join(&[0, 0, 0, 1][..])])
        .collect();
    for mtu in [100, 5, 7000] {
        let out = run(
            Transport::Interleaved,
            packets(&joined, mtu, 0).into_iter().map(|(_, bytes)| bytes),
        );
        assert_eq!(out.units, all(&stream), "{mtu}");
    }
}

#[test]
fn a_stream_is_waited_for_until_it_can_be_decoded() {
    let mut stream = stream(12, 6, 2, 50);
    stream.drain(..2);
    let out = run(
        Transport::Interleaved,
        packets(&stream, 500, 0).into_iter().map(|(_, bytes)| bytes),
    );
    assert_eq!(out.units, all(&stream[4..]));
    assert_eq!(out.skipped, [SkipReason::Early; 4]);
}

/// Pictures of H.265, with parameter sets before each keyframe.
fn stream_h265(frames: usize, gop: usize) -> Vec<Vec<Vec<u8>>> {
    use crate::nal::parameters::tests::{PPS_H265, SPS_H265, VPS_H265, bytes};
    let sets = [VPS_H265, SPS_H265, PPS_H265].map(|set| bytes(set).to_vec());
    let slice = |n: usize, beginning: [u8; 3]| [&beginning[..], &[n as u8 | 1; 80]].concat();
    let unit = |n: usize| match n % gop {
        0 => [&sets[..], &[slice(n, [0x26, 0x01, 0xE8])]].concat(),
        _ => vec![slice(n, [0x02, 0x01, 0xD0])],
    };
    (0..frames).map(unit).collect()
}

#[test]
fn a_description_that_names_the_other_of_h264_and_h265_is_seen_through() {
    let h264 = stream(24, 6, 2, 50);
    let h265 = stream_h265(24, 6);
    for (named, stream, codec) in [("H265", h264, Codec::H264), ("H264", h265, Codec::H265)] {
        let text = format!("m=video 0 RTP/AVP 96\na=rtpmap:96 {named}/90000\n");
        let description = crate::sdp::Description::read(text.as_bytes());
        for missed in [0, 2] {
            let mut receiver = Receiver::new(description.video().unwrap(), Transport::Interleaved);
            for (n, bytes) in packets(&stream[missed..], 500, 0).into_iter().enumerate() {
                receiver.push(bytes.1, START + n as i64 * 1_000);
            }
            receiver.finish();
            let events = std::iter::from_fn(|| receiver.poll());
            let units: Vec<_> = events
                .filter_map(|event| match event {
                    Event::AccessUnit(unit) => Some((unit.codec, unit.payload.to_vec())),
                    Event::Skipped(_) => None,
                })
                .collect();
            let whole = all(&stream[missed.next_multiple_of(6)..]);
            let expected: Vec<_> = whole.into_iter().map(|unit| (codec, unit)).collect();
            assert!(units == expected, "{named}, {missed}: {}", units.len());
        }
    }
}

/// A recovery point: recovery_frame_cnt = 1.
const GRADUAL: &[u8] = b"\x06\x06\x01\x50\x80";

/// Pictures with a recovery point each 5, and a keyframe each `gop`.
fn refreshed(frames: usize, gop: usize) -> Vec<Vec<Vec<u8>>> {
    let mut stream = stream(frames, gop, 1, 50);
    for nals in stream.iter_mut().skip(2).step_by(5) {
        nals.insert(0, GRADUAL.to_vec());
    }
    stream
}

#[test]
fn without_keyframes_a_stream_begins_where_it_becomes_right_by_and_by() {
    let mut stream = refreshed(40, 100);
    let keyframe = stream.remove(0);
    stream[1].splice(0..0, keyframe[..2].to_vec());
    let out = run(
        Transport::Interleaved,
        packets(&stream, 500, 0).into_iter().map(|(_, bytes)| bytes),
    );
    assert_eq!(out.units, all(&stream[11..]));
    let keyframes: Vec<bool> = (11..39).map(|n| n % 5 == 1).collect();
    assert_eq!(out.keyframes, keyframes);
}

#[test]
fn pictures_that_need_no_other_are_begun_with_where_nothing_says_where_to() {
    let intra = |stream: &mut Vec<Vec<Vec<u8>>>| {
        for nals in stream.iter_mut().skip(2).step_by(5) {
            nals[0][1] = 0x88;
        }
    };
    let keyframes = |stream: &[Vec<Vec<u8>>]| {
        let sent = packets(stream, 500, 0).into_iter().map(|(_, bytes)| bytes);
        let keyframes = run(Transport::Interleaved, sent).keyframes;
        let ours = keyframes.iter().enumerate().filter(|(_, is)| **is);
        (keyframes.len(), ours.map(|(at, _)| at).collect::<Vec<_>>())
    };
    let mut joined = stream(30, 100, 1, 50);
    let sets = joined.remove(0);
    intra(&mut joined);
    joined[0].splice(0..0, sets[..2].to_vec());
    assert_eq!(keyframes(&joined), (17, vec![0, 5, 10, 15]), "the third");
    let mut whole = stream(30, 100, 1, 50);
    intra(&mut whole);
    assert_eq!(keyframes(&whole), (30, vec![0]));
    // A keyframe behind them whose first unit is lost is torn.
    let mut stream = stream(4, 100, 1, 50);
    stream[1..].iter_mut().for_each(|nals| nals[0][1] = 0x88);
    let keyframe = stream[0].clone();
    stream[0].truncate(2);
    stream[1].splice(0..0, sets[..2].to_vec());
    stream.push(keyframe);
    let sent = packets(&stream, 500, 0).into_iter();
    let sent = sent.filter(|(n, bytes)| *n != 4 || bytes[12] != SPS[0]);
    let out = run(Transport::Interleaved, sent.map(|(_, bytes)| bytes));
    assert_eq!(
        (out.units.len(), out.skipped.last()),
        (1, Some(&SkipReason::Torn))
    );
}

#[test]
fn where_keyframes_come_no_other_picture_counts_as_one() {
    for gop in [10, 20] {
        let out = run(
            Transport::Interleaved,
            packets(&refreshed(100, gop), 500, 0)
                .into_iter()
                .map(|(_, bytes)| bytes)
                .skip(if gop == 20 { 25 } else { 0 }),
        );
        assert!(out.keyframes.len() > 70);
        let is_keyframe = |unit: &Vec<u8>| unit.windows(4).any(|bytes| bytes == &SPS[..4]);
        let real: Vec<bool> = out.units.iter().map(is_keyframe).collect();
        if gop == 10 {
            assert_eq!(out.keyframes, real);
        } else {
            assert_eq!(out.keyframes[25..], real[25..], "known by then");
        }
    }
}

#[test]
fn described_parameter_sets_are_enough_and_those_in_the_stream_win() {
    let bare = |n| vec![slice(n == 0, true, 20, n)];
    let fmtp = "sprop-parameter-sets=Z0LAH9kAoC/5cBEAAAMAAQAAAwAyDxgySA==,aMuDyyA=";
    let mut receiver = Receiver::new(&video(fmtp), Transport::Interleaved);
    let mut stream: Vec<_> = (0..3).map(bare).collect();
    stream.push(vec![SPS_642X358.to_vec(), slice(true, true, 20, 3)]);
    stream.push(bare(4));
    for (_, bytes) in packets(&stream, 500, 0) {
        receiver.push(bytes, START);
    }
    receiver.finish();
    let mut widths = Vec::new();
    let mut last: Option<Arc<Parameters>> = None;
    while let Some(Event::AccessUnit(unit)) = receiver.poll() {
        let parameters = unit.parameters.unwrap();
        let is_same = last
            .as_ref()
            .is_some_and(|last| Arc::ptr_eq(last, &parameters));
        widths.push((parameters.width, is_same));
        last = Some(parameters);
    }
    assert_eq!(
        widths,
        [
            (640, false),
            (640, true),
            (640, true),
            (642, false),
            (642, true)
        ]
    );
}

#[test]
fn the_parameters_of_a_picture_are_not_those_of_the_next() {
    let mut stream = stream(4, 2, 1, 50);
    stream[2][0] = SPS_642X358.to_vec();
    let mut receiver = receiver(Transport::Interleaved);
    for (_, bytes) in packets(&stream, 500, 0) {
        receiver.push(bytes, START);
    }
    receiver.finish();
    let widths: Vec<u16> = std::iter::from_fn(|| receiver.poll())
        .map(|event| match event {
            Event::AccessUnit(unit) => unit.parameters.unwrap().width,
            Event::Skipped(reason) => panic!("{reason:?}"),
        })
        .collect();
    assert_eq!(widths, [640, 640, 642, 642]);
}

#[test]
fn of_a_torn_picture_nothing_is_handed_out_and_all_others_are() {
    for slices in [1, 3] {
        let stream = stream(20, 5, slices, 900);
        let all_packets = packets(&stream, 400, 65_530);
        for lost in 0..all_packets.len() {
            let torn = all_packets[lost].0;
            let rest = all_packets.iter().enumerate().filter(|(n, _)| *n != lost);
            let out = run(
                Transport::Interleaved,
                rest.map(|(_, (_, bytes))| bytes.clone()),
            );
            let mut expected = all(&stream);
            expected.remove(torn);
            if torn == 0 {
                // The keyframe with which it would have begun; and before the first picture there is nothing to tell its start.
                expected = if lost == 0 {
                    out.units.clone()
                } else {
                    all(&stream[5..])
                };
            }
            assert_eq!(out.units, expected, "packet {lost}, of picture {torn}");
        }
    }
}

#[test]
fn reordered_and_doubled_datagrams_are_put_right() {
    let stream = stream(20, 5, 2, 900);
    let mut shuffled: Vec<Bytes> = packets(&stream, 400, 65_500)
        .into_iter()
        .map(|(_, bytes)| bytes)
        .collect();
    for at in (3..shuffled.len() - 3).step_by(5) {
        shuffled.swap(at, at + 2);
        let again = shuffled[at - 1].clone();
        shuffled.insert(at + 1, again);
    }
    let out = run(Transport::Udp, shuffled);
    assert_eq!(out.units, all(&stream));
    assert_eq!(out.skipped, []);
}

#[test]
fn packets_of_others_are_passed_over() {
    let stream = stream(10, 5, 2, 900);
    let mut receiver = receiver(Transport::Interleaved);
    for (n, (_, bytes)) in packets(&stream, 400, 0).into_iter().enumerate() {
        receiver.push(bytes, START);
        receiver.push(
            packet_of(99, n as u16, 5, true, &slice(true, true, 9, n)),
            START,
        );
        let mut other_type = packet(n as u16, 5, true, b"\x65\x88").to_vec();
        other_type[1] = 0x80 | 97;
        receiver.push(other_type.into(), START);
        receiver.push(Bytes::from_static(b"\x40junk"), START);
    }
    receiver.finish();
    assert_eq!(found(&mut receiver).units[..9], all(&stream)[..9]);
    assert!(receiver.counts().foreign > 50 && receiver.counts().malformed > 25);
}

#[test]
fn a_payload_type_of_rtcp_is_taken_if_it_is_the_announced_one() {
    let stream = stream(12, 6, 2, 50);
    let described = Video {
        payload_type: 80,
        ..video("")
    };
    let mut receiver = Receiver::new(&described, Transport::Interleaved);
    for (_, bytes) in packets(&stream, 500, 0) {
        let mut bytes = bytes.to_vec();
        bytes[1] = bytes[1] & 0x80 | 80;
        receiver.push(bytes.into(), START);
        receiver.push(sender_report(0x1234_5678, 0, 0).into(), START);
    }
    receiver.finish();
    assert_eq!(found(&mut receiver).units, all(&stream));
    assert!(receiver.counts().reports > 20);
}

/// As GStreamer's server skips a sequence number when somebody joins, and sends parameter sets once more.
#[test]
fn a_keyframe_behind_a_loss_that_opens_with_more_than_others_is_whole() {
    const DELIMITER: &[u8] = b"\x09\xF0";
    for delimited in [false, true] {
        let mut stream = stream(30, 10, 1, 50);
        for (n, nals) in stream.iter_mut().enumerate() {
            if n == 20 {
                nals.splice(3..3, [SPS.to_vec(), PPS.to_vec()]);
            }
            if delimited {
                nals.insert(0, DELIMITER.to_vec());
            }
        }
        let mut sent = packets(&stream, 500, 0);
        // The picture before it is lost, marker and all.
        sent.retain(|(n, _)| *n != 19);
        let mut whole = all(&stream);
        whole.remove(19);
        let out = run(
            Transport::Interleaved,
            sent.into_iter().map(|(_, bytes)| bytes),
        );
        assert_eq!(out.units, whole, "{delimited}");
        assert_eq!(out.keyframes.iter().filter(|is| **is).count(), 3);
    }
}

#[test]
fn a_delimiter_before_each_slice_divides_no_picture() {
    let mut stream = stream(9, 3, 3, 100);
    for nals in &mut stream {
        let delimited = std::mem::take(nals)
            .into_iter()
            .flat_map(|nal| match nal[0] & 0x1F {
                1 | 5 => vec![b"\x09\xF0".to_vec(), nal],
                _ => vec![nal],
            });
        *nals = delimited.collect();
    }
    for is_marked in [true, false] {
        let sent: Vec<(usize, Bytes)> = packets(&stream, 500, 0)
            .into_iter()
            .map(|(n, bytes)| {
                let mut bytes = bytes.to_vec();
                bytes[1] &= if is_marked { 0xFF } else { 0x7F };
                (n, Bytes::from(bytes))
            })
            .collect();
        let whole = all(&stream);
        let without = |lost| {
            let kept = sent.iter().enumerate().filter(|(at, _)| *at != lost);
            run(
                Transport::Interleaved,
                kept.map(|(_, (_, bytes))| bytes.clone()),
            )
        };
        assert_eq!(without(sent.len()).units, whole);
        let is_slice = |at: &usize| matches!(sent[*at].1[12] & 0x1F, 1 | 5);
        for lost in (0..sent.len()).filter(is_slice) {
            let out = without(lost);
            assert!(
                out.units.iter().all(|unit| whole.contains(unit)),
                "{is_marked}: without packet {lost}"
            );
        }
    }
}

#[test]
fn another_sender_in_the_middle_loses_nothing_and_time_goes_on() {
    let stream = stream(200, 10, 1, 50);
    let mut receiver = receiver(Transport::Interleaved);
    let mut clock = Clock::new(TimestampMode::Auto, 600_000_000);
    for (n, nals) in stream.iter().enumerate() {
        let is_new = n >= 100;
        let (ssrc, first) = if is_new {
            (2, 7_000_000u32)
        } else {
            (1, u32::MAX - 90_000)
        };
        for (part, nal) in nals.iter().enumerate() {
            let place = stream[..n].iter().map(Vec::len).sum::<usize>() + part;
            let sequence = place as u16 + if is_new { 9_000 } else { 0 };
            let rtp_time = first.wrapping_add(n as u32 * FRAME_TICKS);
            let bytes = packet_of(ssrc, sequence, rtp_time, part + 1 == nals.len(), nal);
            receiver.push(bytes, START + n as i64 * FRAME_US);
        }
    }
    receiver.finish();
    let mut units = Vec::new();
    while let Some(event) = receiver.poll() {
        let Event::AccessUnit(unit) = event else {
            panic!("{event:?}")
        };
        let reading = clock.read(unit.stamp, unit.received_us);
        assert!(!reading.stepped);
        assert_eq!(reading.captured_us, START + units.len() as i64 * FRAME_US);
        units.push(unit.payload.to_vec());
    }
    assert_eq!(units, all(&stream));
}

/// A time as sender reports have it.
fn ntp(unix_us: i64) -> u64 {
    let us = unix_us as u64;
    ((us / 1_000_000 + 2_208_988_800) << 32) + ((us % 1_000_000) << 32) / 1_000_000
}

#[test]
fn a_report_before_the_first_packet_counts_if_it_is_of_the_same_sender() {
    for (ssrc, kind) in [
        (0x1234_5678, ClockKind::Camera),
        (0x8765_4321, ClockKind::Mapped),
    ] {
        for announced in [None, Some(0x1234_5678), Some(0x8765_4321)] {
            let mut receiver = receiver(Transport::Interleaved);
            if let Some(announced) = announced {
                receiver.announce_ssrc(announced);
            }
            let mut clock = Clock::new(TimestampMode::Auto, 600_000_000);
            receiver.push_rtcp(&sender_report(ssrc, ntp(START - 80_000), 0), START);
            for (of, bytes) in packets(&stream(10, 10, 1, 50), 500, 0) {
                receiver.push(bytes, START + of as i64 * FRAME_US);
            }
            while let Some(Event::AccessUnit(unit)) = receiver.poll() {
                let reading = clock.read(unit.stamp, unit.received_us);
                assert_eq!(reading.kind, kind, "{ssrc:x}, {announced:x?}");
            }
            assert_eq!(
                receiver.counts().reports,
                u64::from(kind == ClockKind::Camera)
            );
        }
    }
}

#[test]
fn a_report_gives_wall_time_from_the_next_segment_on() {
    let stream = stream(100, 10, 1, 50);
    let mut receiver = receiver(Transport::Interleaved);
    let mut clock = Clock::new(TimestampMode::Auto, 600_000_000);
    let mut n = 0;
    for (of, bytes) in packets(&stream, 500, 0) {
        let now_us = START + of as i64 * FRAME_US;
        if of == 31 {
            // What was taken at RTP time 31 frames was taken 80 ms before it arrived.
            let report = sender_report(0x1234_5678, ntp(now_us - 80_000), 31 * FRAME_TICKS);
            receiver.push(report.into(), now_us);
        }
        receiver.push(bytes, now_us);
        while let Some(Event::AccessUnit(unit)) = receiver.poll() {
            if n == 50 {
                clock.new_segment();
            }
            let reading = clock.read(unit.stamp, unit.received_us);
            let sent_us = START + n * FRAME_US;
            if n < 50 {
                assert_eq!(
                    (reading.kind, reading.captured_us),
                    (ClockKind::Mapped, sent_us)
                );
            } else {
                assert_eq!(reading.kind, ClockKind::Camera);
                assert!((reading.captured_us - (sent_us - 80_000)).abs() <= 1);
            }
            n += 1;
        }
    }
    assert_eq!(receiver.counts().reports, 1);
    assert!(n >= 99);
}

#[test]
fn a_picture_without_end_is_given_up_and_the_next_is_taken() {
    let mut receiver = receiver(Transport::Interleaved);
    let piece = [&[0x7C, 0x05][..], &[1; 60_000]].concat();
    receiver.push(packet(0, 0, false, b"\x7C\x85\x88\x84"), START);
    for n in 1..2_000 {
        receiver.push(packet(n, 0, false, &piece), START);
    }
    let stream = stream(3, 5, 1, 50);
    for (n, (of, _)) in packets(&stream, 500, 0).into_iter().enumerate() {
        let (payload, marker) = packetized(&stream[of], 500)[if of == 0 { n } else { 0 }].clone();
        receiver.push(
            packet(
                2_000 + n as u16,
                (of as u32 + 1) * FRAME_TICKS,
                marker,
                &payload,
            ),
            START,
        );
    }
    receiver.finish();
    let out = found(&mut receiver);
    assert_eq!(out.units, all(&stream));
    assert_eq!(out.skipped, [SkipReason::TooLarge]);
}

#[test]
fn the_report_that_we_send_says_what_came() {
    let mut receiver = receiver(Transport::Interleaved);
    assert_eq!(receiver.reception(), None);
    for sequence in [65_534, 65_535, 3] {
        receiver.push(packet(sequence, 0, false, b"\x41\x9A"), START);
    }
    let reception = receiver.reception().unwrap();
    assert_eq!((reception.ssrc, reception.lost), (0x1234_5678, 3));
    assert_eq!(reception.highest_sequence & 0xFFFF, 3);
}

proptest! {
    #[test]
    fn nothing_torn_is_handed_out_and_the_order_is_kept(
        slices in 1usize..4,
        mtu in 20usize..300,
        gop in 2usize..8,
        start: u16,
        udp: bool,
        has_markers: bool,
        lost in prop::collection::vec(0usize..300, 0..12),
        doubled in prop::collection::vec(0usize..300, 0..6),
        swapped in prop::collection::vec((0usize..300, 1usize..12), 0..8),
    ) {
        let stream = stream(24, gop, slices, 250);
        let transport = if udp { Transport::Udp } else { Transport::Interleaved };
        let sent = packets(&stream, mtu, start);
        let count = sent.len();
        let mut arriving: Vec<(usize, Bytes)> = sent.clone();
        if udp {
            for (at, by) in swapped {
                let at = at % count;
                arriving.swap(at, (at + by).min(count - 1));
            }
            for at in doubled {
                let again = arriving[at % count].clone();
                arriving.insert((at % count + 3).min(arriving.len()), again);
            }
        }
        let gone: Vec<&Bytes> = lost.iter().map(|at| &sent[at % count].1).collect();
        arriving.retain(|(_, bytes)| !gone.contains(&bytes));
        let torn: Vec<usize> = sent.iter().filter(|(_, bytes)| gone.contains(&bytes)).map(|(of, _)| *of).collect();
        let unmark = |bytes: Bytes| {
            let mut bytes = bytes.to_vec();
            bytes[1] &= if has_markers { 0xFF } else { 0x7F };
            Bytes::from(bytes)
        };
        let out = run(transport, arriving.into_iter().map(|(_, bytes)| unmark(bytes)));
        let whole = all(&stream);
        let places: Vec<usize> = out.units.iter().map(|unit| whole.iter().position(|other| other == unit).expect("torn")).collect();
        prop_assert!(places.is_sorted_by(|a, b| a < b));
        prop_assert!(places.iter().all(|place| !torn.contains(place)), "{:?} {:?}", places, torn);
        if has_markers && !torn.contains(&0) {
            let missing: Vec<usize> = (0..24).filter(|n| !torn.contains(n) && !places.contains(n)).collect();
            prop_assert!(missing.is_empty(), "{:?} are missing, torn were {:?}", missing, torn);
        }
    }

    #[test]
    fn any_packets_are_taken_without_a_panic(
        payloads in prop::collection::vec((any::<u8>(), -3i8..4, any::<bool>(), prop::collection::vec(any::<u8>(), 0..30)), 0..60),
        codec in prop::sample::select(vec![Codec::H264, Codec::H265, Codec::Mjpeg]),
    ) {
        let mut receiver = Receiver::new(&Video { codec, ..video("") }, Transport::Udp);
        let mut sequence = 0u16;
        for (time, step, marker, payload) in payloads {
            sequence = sequence.wrapping_add_signed(step.into());
            receiver.push(packet(sequence, u32::from(time) << 24, marker, &payload), START);
            receiver.push_rtcp(&payload, START);
            let _ = receiver.poll();
        }
        receiver.settle();
        receiver.finish();
        while receiver.poll().is_some() {}
    }
}

/// Packets of one sender, numbered from 0: payload, RTP time, marker.
fn numbered(packets: &[(Vec<u8>, u32, bool)]) -> Vec<Bytes> {
    let number = |(n, (payload, rtp_time, marker)): (usize, &(Vec<u8>, u32, bool))| {
        packet(n as u16, *rtp_time, *marker, payload)
    };
    packets.iter().enumerate().map(number).collect()
}

/// All packets of a stream of one slice a picture, in several pieces each.
fn pieces(stream: &[Vec<Vec<u8>>]) -> Vec<(Vec<u8>, u32, bool)> {
    let of = |(n, nals): (usize, &Vec<Vec<u8>>)| {
        let packets = packetized(nals, 100);
        packets
            .into_iter()
            .map(move |(payload, marker)| (payload, n as u32 * FRAME_TICKS, marker))
    };
    stream.iter().enumerate().flat_map(of).collect()
}

#[test]
fn pieces_of_two_pictures_are_not_put_together() {
    let stream = stream(6, 10, 1, 400);
    let mut packets = pieces(&stream);
    let begins = |n: u32| move |(_, time, _): &(Vec<u8>, u32, bool)| *time == n * FRAME_TICKS;
    // The last pieces of picture 3 and the first of picture 4 are dropped before they are numbered.
    let third = packets.iter().position(begins(3)).unwrap();
    let fourth = packets.iter().position(begins(4)).unwrap();
    packets.drain(third + 2..fourth + 2);
    let out = run(Transport::Interleaved, numbered(&packets));
    let mut whole = all(&stream);
    whole.drain(3..5);
    assert_eq!(out.units, whole);
    assert_eq!(out.skipped, [SkipReason::Torn; 2]);
}

/// Without the mark of the last piece.
fn without_end((mut payload, time, marker): (Vec<u8>, u32, bool)) -> (Vec<u8>, u32, bool) {
    if payload[0] & 0x1F == 28 {
        payload[1] &= !0x40;
    }
    (payload, time, marker)
}

#[test]
fn a_first_picture_of_which_the_end_was_never_sent_is_torn() {
    let stream = stream(12, 6, 1, 400);
    let mut packets = pieces(&stream);
    let end = packets.iter().position(|(_, _, marker)| *marker).unwrap();
    packets.remove(end);
    let out = run(Transport::Interleaved, numbered(&packets));
    assert_eq!(out.units, all(&stream)[6..]);
    assert_eq!(out.skipped[0], SkipReason::Torn);
}

#[test]
fn units_whose_ends_are_marked_as_such_in_some_pictures_or_in_none_are_whole() {
    for of_keyframes_alone in [false, true] {
        let stream = stream(12, 6, 1, 400);
        let packets = pieces(&stream).into_iter().map(|packet| {
            let is_other = packet.1 % (6 * FRAME_TICKS) != 0;
            match of_keyframes_alone && is_other {
                true => packet,
                false => without_end(packet),
            }
        });
        let out = run(
            Transport::Interleaved,
            numbered(&packets.collect::<Vec<_>>()),
        );
        assert_eq!(out.units, all(&stream), "{of_keyframes_alone}");
    }
}

#[test]
fn a_picture_whose_last_slices_were_never_sent_is_torn() {
    let stream = stream(16, 8, 4, 50);
    for torn in [3, 8, 10] {
        let sent: Vec<_> = stream
            .iter()
            .zip(0u32..)
            .flat_map(|(nals, n)| {
                let mut packets = packetized(nals, 500);
                packets.truncate(packets.len() - if n == torn { 2 } else { 0 });
                let timed = move |(payload, marker)| (payload, n * FRAME_TICKS, marker);
                packets.into_iter().map(timed)
            })
            .collect();
        let out = run(Transport::Interleaved, numbered(&sent));
        let mut whole = all(&stream);
        whole.remove(torn as usize);
        assert_eq!(
            (out.units, out.skipped),
            (whole, vec![SkipReason::Torn]),
            "{torn}"
        );
    }
}

#[test]
fn a_picture_whose_first_slice_was_never_sent_is_torn() {
    let is_slice = |nal: &Vec<u8>| matches!(nal[0] & 0x1F, 1 | 5);
    type Marks = fn(bool, bool) -> bool;
    let markers: [(&str, Marks); 3] = [
        ("right", |is_last, _| is_last),
        ("with each slice", |_, is_slice| is_slice),
        ("none", |_, _| false),
    ];
    for (name, marks) in markers {
        for (torn, each_delimited) in [(3, false), (8, false), (10, false), (8, true), (10, true)] {
            let mut stream = stream(16, 8, 2, 50);
            for nals in &mut stream {
                let last = nals.len() - 1;
                if each_delimited {
                    nals.insert(last, b"\x09\xF0".to_vec());
                }
                nals.insert(0, b"\x09\xF0".to_vec());
            }
            let mut sent = Vec::new();
            for (nals, n) in stream.iter().zip(0u32..) {
                let first = nals.iter().position(is_slice);
                for (at, nal) in nals.iter().enumerate() {
                    if n != torn || Some(at) != first {
                        let marker = marks(at + 1 == nals.len(), is_slice(nal));
                        sent.push((nal.clone(), n * FRAME_TICKS, marker));
                    }
                }
            }
            let out = run(Transport::Interleaved, numbered(&sent));
            let mut whole = all(&stream);
            whole.remove(torn as usize);
            assert_eq!(
                (out.units, out.skipped),
                (whole, vec![SkipReason::Torn]),
                "{name} {torn} {each_delimited}"
            );
        }
    }
}

#[test]
fn pictures_of_fewer_slices_are_whole_with_their_marker_and_those_without_if_that_is_usual() {
    for no_marker_in_keyframes in [false, true] {
        let mut stream = stream(16, 4, 4, 50);
        for (n, nals) in stream.iter_mut().enumerate() {
            nals.truncate(nals.len() - n / 4);
        }
        let mut sent = packets(&stream, 500, 0);
        for (_, bytes) in sent
            .iter_mut()
            .filter(|(n, _)| n % 4 == 0 && no_marker_in_keyframes)
        {
            let mut unmarked = bytes.to_vec();
            unmarked[1] &= 0x7F;
            *bytes = unmarked.into();
        }
        let out = run(
            Transport::Interleaved,
            sent.into_iter().map(|(_, bytes)| bytes),
        );
        assert_eq!(out.units, all(&stream));
    }
}

#[test]
fn pieces_with_a_time_of_their_own_each_are_put_together_once_that_is_usual() {
    for slices in [1, 3] {
        let stream = stream(24, 6, slices, 400);
        let mut packets = pieces(&stream);
        for (n, (_, time, _)) in packets.iter_mut().enumerate() {
            *time += n as u32 * 9;
        }
        let out = run(Transport::Interleaved, numbered(&packets));
        assert_eq!(out.units, all(&stream)[6..], "{slices}");
    }
}

#[test]
fn what_is_of_another_kind_or_empty_between_pieces_tears_nothing() {
    let stream = stream(6, 10, 1, 400);
    let packets = pieces(&stream);
    for is_empty in [false, true] {
        let mut sent = Vec::new();
        for (payload, time, marker) in &packets {
            sent.push(packet(sent.len() as u16, *time, *marker, payload));
            let other = packet(sent.len() as u16, *time, false, b"");
            let mut other = other.to_vec();
            if !is_empty {
                other[1] = 107;
                other.extend_from_slice(b"another kind");
            }
            sent.push(other.into());
        }
        let out = run(Transport::Interleaved, sent);
        assert_eq!(out.units, all(&stream), "empty: {is_empty}");
        assert_eq!(out.skipped, []);
    }
}

#[test]
fn another_kind_with_numbers_of_its_own_hides_no_loss() {
    let stream = stream(6, 10, 1, 400);
    let mut sent = Vec::new();
    for ahead in [40_000, 3] {
        for (n, bytes) in numbered(&pieces(&stream)).into_iter().enumerate() {
            let mut other = packet(ahead + n as u16, 7, false, b"another kind").to_vec();
            other[1] = 107;
            if n != 12 {
                sent.push(bytes);
            }
            sent.push(other.into());
        }
        let out = run(Transport::Interleaved, std::mem::take(&mut sent));
        assert_eq!(out.units.len(), 5, "{ahead}");
        assert_eq!(out.skipped, [SkipReason::Torn]);
    }
}

#[test]
fn a_first_picture_with_a_marker_at_each_slice_and_one_lost_is_torn() {
    let stream = stream(4, 10, 4, 50);
    let mut packets = packets(&stream, 500, 0);
    let of_first = packets.iter().filter(|(n, _)| *n == 0).count();
    for (_, bytes) in &mut packets[..of_first] {
        let mut marked = bytes.to_vec();
        marked[1] |= 0x80;
        *bytes = marked.into();
    }
    packets.remove(of_first - 2);
    let out = run(
        Transport::Interleaved,
        packets.into_iter().map(|(_, bytes)| bytes),
    );
    assert!(
        !out.units
            .iter()
            .any(|unit| stored(&stream[0]).starts_with(unit))
    );
    assert_eq!(out.skipped.first(), Some(&SkipReason::Torn));
}

#[test]
fn only_the_senders_own_report_tells_its_time_also_before_its_packets() {
    const OURS: u32 = 1;
    const STALE: u32 = 2;
    let ntp = |us: i64| ((us / 1_000_000 + 2_208_988_800) as u64) << 32;
    let stream = stream(80, 10, 1, 50);
    let of = |ssrc: u32, at: usize, ticks: u32| {
        let (payload, marker) = packetized(&stream[at], 500).pop().unwrap();
        packet_of(ssrc, at as u16, ticks, marker, &payload)
    };
    let mut receiver = Receiver::new(
        &video("sprop-parameter-sets=Z0LAH9kAoC/5cBEAAAMAAQAAAwAyDxgySA==,aMuDyyA="),
        Transport::Interleaved,
    );
    receiver.push_rtcp(&sender_report(OURS, ntp(START), 9_000), START);
    receiver.push_rtcp(&sender_report(7, ntp(START - 100_000_000), 9_000), START);
    // An old session's packets come first, and end; ours go on alone.
    receiver.push(of(STALE, 0, 1_000_000), START);
    receiver.push(of(STALE, 1, 1_003_600), START);
    let mut stamps = Vec::new();
    for n in 0..80i64 {
        let ticks = 9_000 + n as u32 * FRAME_TICKS;
        receiver.push(of(OURS, n as usize, ticks), START + n * FRAME_US);
        while let Some(event) = receiver.poll() {
            if let Event::AccessUnit(unit) = event {
                stamps.push(unit.stamp.stamp_us);
            }
        }
    }
    assert_eq!(stamps[..2], [None, None], "of the old session");
    let ours: Vec<i64> = stamps[2..].iter().flatten().copied().collect();
    assert_eq!(ours.len(), stamps.len() - 2);
    for (n, stamp_us) in ours.iter().enumerate() {
        assert!(stamp_us.abs_diff(START + n as i64 * FRAME_US) <= 1, "{n}");
    }
}

#[test]
fn over_tcp_pictures_are_whole_without_numbers_that_count() {
    let stream = stream(200, 10, 1, 400);
    let sent = pieces(&stream);
    type Number = fn(u16, u16) -> u16;
    let numbers: [(&str, Number); 5] = [
        ("none", |_, _| 7),
        ("pictures", |_, of| of),
        ("by two", |n, _| n * 2),
        ("bytes swapped", |n, _| n.swap_bytes()),
        ("random", |n, _| n.wrapping_mul(40_503) >> 3 ^ n << 9),
    ];
    for (name, number) in numbers {
        let packets = sent.iter().zip(0u16..).map(|((payload, time, marker), n)| {
            let of = (time / FRAME_TICKS) as u16;
            packet(number(n, of), *time, *marker, payload)
        });
        let out = run(Transport::Interleaved, packets);
        let whole = all(&stream);
        let places: Vec<_> = out
            .units
            .iter()
            .map(|unit| whole.iter().position(|other| other == unit).expect("torn"))
            .collect();
        assert!(places.ends_with(&(50..200).collect::<Vec<_>>()), "{name}");
    }
}

/// By how much the capture times of a stream are off, at most, whose first `kept` pictures were kept and come one each `per_us`.
fn off_by(kept: i64, per_us: i64, of_kept: impl Fn(i64) -> bool) -> i64 {
    let stream = stream(400, 400, 1, 50);
    let mut receiver = receiver(Transport::Interleaved);
    let mut clock = Clock::new(TimestampMode::Auto, 600_000_000);
    let mut worst = 0;
    let mut count = 0;
    let mut taken = Vec::new();
    for (n, bytes) in packets(&stream, 500, 0) {
        let n = n as i64;
        if n < kept && !of_kept(n) {
            continue;
        }
        let taken_us = START + (n - kept) * FRAME_US;
        if taken.last() != Some(&taken_us) {
            taken.push(taken_us);
        }
        receiver.push(
            renumbered(bytes, &mut count),
            taken_us.max(START + n * per_us),
        );
        while let Some(event) = receiver.poll() {
            let Event::AccessUnit(unit) = event else {
                panic!("{event:?}");
            };
            let captured_us = clock.read(unit.stamp, unit.received_us).captured_us;
            worst = worst.max((captured_us - taken.remove(0)).abs());
        }
    }
    assert!(taken.len() <= 2, "{} are held", taken.len());
    worst
}

/// The packet with the next sequence number.
fn renumbered(bytes: Bytes, count: &mut u16) -> Bytes {
    let mut out = bytes.to_vec();
    out[2..4].copy_from_slice(&count.to_be_bytes());
    *count += 1;
    out.into()
}

#[test]
fn pictures_that_a_server_had_kept_get_the_times_at_which_they_were_taken() {
    for kept in [0, 1, 15, 60, 125, 300] {
        let off_us = off_by(kept, 200, |_| true);
        assert!(off_us <= 70_000, "{kept} kept: {off_us}");
    }
    let off_us = off_by(125, 10_000, |_| true);
    assert!(off_us <= 70_000, "over a slow network: {off_us}");
    let off_us = off_by(20, 200, |n| n == 0);
    assert!(off_us <= 5_000, "one keyframe alone: {off_us}");
}

#[test]
fn what_comes_before_the_first_keyframe_is_told_at_once() {
    let mut stream = stream(300, 300, 1, 50);
    let keyframe = stream.remove(0);
    stream.push(keyframe);
    let mut receiver = receiver(Transport::Interleaved);
    let mut told = 0;
    for (n, bytes) in packets(&stream, 500, 0) {
        receiver.push(bytes, START + n as i64 * FRAME_US);
        told += found(&mut receiver).skipped.len();
        assert!(told + 5 >= n, "{told} of {n}");
    }
    assert!(told >= 290);
}

/// The capture times of pictures of which each has its RTP time and its arrival, both in microseconds from the start.
fn capture_times(pictures: &[(i64, i64)]) -> Vec<i64> {
    capture_times_where(pictures, true, |_, _| {})
}

/// The same, with markers or without, where something else happens before the picture of this number.
fn capture_times_where(
    pictures: &[(i64, i64)],
    marked: bool,
    before: impl Fn(usize, &mut Receiver),
) -> Vec<i64> {
    let stream = stream(pictures.len(), pictures.len(), 1, 50);
    let mut receiver = receiver(Transport::Interleaved);
    let mut clock = Clock::new(TimestampMode::Auto, 600_000_000);
    let mut captured = Vec::new();
    for (n, bytes) in packets(&stream, 500, 0) {
        let (rtp_us, arrival_us) = pictures[n];
        let mut bytes = bytes.to_vec();
        let ticks = u32::try_from(rtp_us * 9 / 100).unwrap();
        bytes[4..8].copy_from_slice(&ticks.to_be_bytes());
        bytes[1] &= if marked { 0xFF } else { 0x7F };
        before(n, &mut receiver);
        receiver.push(bytes.into(), START + arrival_us);
        if n + 1 == pictures.len() {
            receiver.finish();
        }
        while let Some(event) = receiver.poll() {
            let Event::AccessUnit(unit) = event else {
                panic!("{event:?}");
            };
            captured.push(clock.read(unit.stamp, unit.received_us).captured_us - START);
        }
    }
    captured
}

fn off_by_most(pictures: &[(i64, i64)], taken: impl Fn((i64, i64)) -> i64) -> i64 {
    let captured = capture_times(pictures);
    assert_eq!(captured.len(), pictures.len());
    let off = captured
        .iter()
        .zip(pictures)
        .map(|(captured_us, picture)| (captured_us - taken(*picture)).abs());
    off.max().unwrap()
}

#[test]
fn where_rtp_time_stood_still_with_the_camera_it_goes_on_as_the_arrivals_do() {
    const SECOND: i64 = 1_000_000;
    for frame_us in [FRAME_US, SECOND / 2, SECOND] {
        let pictures: Vec<_> = (0..1_000)
            .map(|n| {
                let stood_us = i64::from(n >= 100) * 6 * SECOND
                    + i64::from(n >= 250) * 4 * SECOND
                    + i64::from(n >= 400) * 1_500_000;
                (n * frame_us, n * frame_us + stood_us)
            })
            .collect();
        let off_us = off_by_most(&pictures, |(_, arrival_us)| arrival_us);
        assert!(off_us <= 1_000, "{frame_us}: {off_us}");
    }
}

#[test]
fn where_pictures_are_shown_in_another_order_a_camera_that_stood_still_is_seen_too() {
    // Three B-frames behind each picture that they are shown before.
    let shown = |n: i64| match n % 4 {
        0 => n + 3,
        _ => n - 1,
    };
    let stood_us = |n: i64| i64::from(n >= 104) * 6_000_000;
    let pictures: Vec<_> = (0..400)
        .map(|n| (shown(n) * FRAME_US, n * FRAME_US + stood_us(n)))
        .collect();
    let captured = capture_times(&pictures);
    assert_eq!(captured.len(), pictures.len());
    for (n, captured_us) in (0..).zip(captured) {
        let taken_us = shown(n) * FRAME_US + stood_us(n);
        let off_us = (captured_us - taken_us).abs();
        assert!(off_us <= 4 * FRAME_US, "{n}: {off_us}");
    }
}

#[test]
fn pictures_shown_in_another_order_have_their_spacing_from_the_first_on_and_where_rtp_time_leaps() {
    // Sent I P B B P B B: some have to wait until they are sent, the P in between none at all.
    let shown = |n: i64| match n % 3 {
        _ if n == 0 => 0,
        1 => n + 2,
        _ => n - 1,
    };
    // With a leap at an I, at a P and at a B.
    for leaps_at in [400, 199, 200, 201] {
        let leap_us = |n: i64| i64::from(n >= leaps_at) * 3_600_000_000;
        let pictures: Vec<_> = (0..400)
            .map(|n| (1_000_000 + shown(n) * FRAME_US + leap_us(n), n * FRAME_US))
            .collect();
        let captured = capture_times(&pictures);
        let began_us = captured[0];
        for (n, captured_us) in (0..).zip(&captured) {
            let off_us = captured_us - began_us - shown(n) * FRAME_US;
            let most_us = if n < leaps_at { 1 } else { 3 * FRAME_US };
            assert!(off_us.abs() <= most_us, "{leaps_at}, {n}: {off_us}");
        }
        for (n, two) in (0..).zip(captured.windows(2)) {
            if n + 1 != leaps_at {
                let step_us = (shown(n + 1) - shown(n)) * FRAME_US;
                assert!(
                    (two[1] - two[0] - step_us).abs() <= 1,
                    "{leaps_at}, {n}: {two:?}"
                );
            }
        }
    }
}

#[test]
fn a_report_that_comes_while_pictures_behind_a_pause_are_held_tells_their_time() {
    // RTP time stood still for six seconds, or the network did; the report is of the picture that comes behind it.
    for (stood_us, reported) in [(6_000_000, 100), (6_000_000, 105), (0, 105)] {
        let mut receiver = receiver(Transport::Interleaved);
        let mut walls = Vec::new();
        for (n, bytes) in packets(&stream(400, 10, 1, 50), 500, 0) {
            let taken_us = START + n as i64 * FRAME_US + i64::from(n >= 100) * stood_us;
            let stalled_us = START + 100 * FRAME_US + 6_000_000;
            let now_us = if n < 100 {
                taken_us
            } else {
                taken_us.max(stalled_us)
            };
            if n == reported {
                let report = sender_report(0x1234_5678, ntp(taken_us), n as u32 * FRAME_TICKS);
                receiver.push(report.into(), now_us);
            }
            receiver.push(bytes, now_us);
            while let Some(Event::AccessUnit(unit)) = receiver.poll() {
                let taken_us = START
                    + walls.len() as i64 * FRAME_US
                    + i64::from(walls.len() >= 100) * stood_us;
                walls.push(unit.stamp.stamp_us.map(|us| us - taken_us));
            }
        }
        assert!(walls.len() > 390, "{}", walls.len());
        for (n, off_us) in walls.iter().enumerate().skip(110) {
            assert!(
                off_us.is_some_and(|us| us.abs() <= 1_000),
                "{stood_us}, {reported}, {n}: {off_us:?}"
            );
        }
    }
}

#[test]
fn a_clock_of_ours_that_is_set_forward_is_no_pause_of_the_camera() {
    let pictures: Vec<_> = (0..200)
        .map(|n| (n * FRAME_US, n * FRAME_US + i64::from(n >= 100) * 3_000_000))
        .collect();
    // The picture before the step may end only with the first packet behind it.
    for marked in [true, false] {
        let captured = capture_times_where(&pictures, marked, |n, receiver| {
            if n == 100 {
                receiver.clock_was_set(START + pictures[n].1);
            }
        });
        let mut steps = captured.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(steps.all(|us| us == FRAME_US), "{marked}");
    }
}

#[test]
fn rtp_time_that_never_moves_does_not_begin_to_by_a_pause() {
    let pictures: Vec<_> = (0..200)
        .map(|n| (0, n * FRAME_US + i64::from(n >= 100) * 3_000_000))
        .collect();
    let off_us = off_by_most(&pictures, |(_, arrival_us)| arrival_us);
    assert_eq!(off_us, 0);
}

#[test]
fn a_network_that_recovers_slowly_at_first_is_no_pause_of_the_camera() {
    let pictures: Vec<_> = (0..400)
        .map(|n| {
            let taken_us = n * FRAME_US;
            // The first three behind the stall take 0.55 s each, the others come at once.
            let arrival_us = match n {
                100..=102 => 7_000_000 + (n - 100) * 550_000,
                103.. => taken_us.max(8_150_000 + n * 200),
                _ => taken_us,
            };
            (taken_us, arrival_us)
        })
        .collect();
    let off_us = off_by_most(&pictures, |(rtp_us, _)| rtp_us);
    assert!(off_us <= 1_000, "{off_us}");
}

#[test]
fn behind_a_stall_of_the_network_pictures_keep_the_times_of_rtp() {
    const SECOND: i64 = 1_000_000;
    // How much faster than they were taken they come then, in percent, and how many of each ten were dropped meanwhile.
    for (faster, dropped) in [
        (20_000, 0),
        (20_000, 4),
        (300, 0),
        (150, 0),
        (120, 0),
        (130, 3),
    ] {
        let from_us = 4 * SECOND;
        let resumed_us = from_us + if faster > 200 { 6 * SECOND } else { 1_500_000 };
        let mut pictures = Vec::new();
        let mut next_us = 0;
        for n in 0..2_000 {
            let taken_us = n * FRAME_US;
            let is_stalled = (from_us..resumed_us).contains(&taken_us);
            if is_stalled && n % 10 < dropped {
                continue;
            }
            let arrival_us = match is_stalled {
                true => next_us.max(resumed_us),
                false => next_us.max(taken_us),
            };
            next_us = arrival_us + FRAME_US * 100 / faster;
            pictures.push((taken_us, arrival_us));
        }
        let off_us = off_by_most(&pictures, |(rtp_us, _)| rtp_us);
        assert!(off_us <= 1_000, "{faster} %, {dropped}: {off_us}");
    }
}

#[test]
fn keyframes_that_begin_with_their_parameter_sets_are_whole_behind_numbers_that_begin_anew() {
    let mut stream = stream(30, 10, 1, 50);
    for nals in stream.iter_mut().skip(1) {
        nals.retain(|nal| nal != SEI);
    }
    let mut sequence = 0;
    let mut last = 0;
    let sent = packets(&stream, 500, 0).into_iter().map(|(n, bytes)| {
        if n % 10 == 0 && n != last {
            sequence = u16::try_from(n).unwrap() * 1_000;
        }
        last = n;
        renumbered(bytes, &mut sequence)
    });
    let out = run(Transport::Interleaved, sent);
    assert_eq!(out.units, all(&stream));
}
