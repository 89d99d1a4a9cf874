//! Packets of any bytes, and good pictures in packets that are lost, doubled and swapped: what comes out is whole and in order.
#![no_main]

use bytes::Bytes;
use framelog_core::frame::Codec;
use framelog_core::jpeg::{Walk, Walker};
use framelog_core::rtp::{Event, Receiver, Transport};
use framelog_core::sdp::Description;
use libfuzzer_sys::fuzz_target;

const SPS: &[u8] = b"\x67\x42\xc0\x1f\xd9\x00\xa0\x2f\xf9\x70\x11\x00\x00\x03\x00\x01\x00\x00\x03\x00\x32\x0f\x18\x32\x48";
const PPS: &[u8] = b"\x68\xcb\x83\xcb\x20";

fn receiver(codec: Codec, sdp: &[u8], is_udp: bool) -> Receiver {
    let encoding = match codec {
        Codec::H264 => "H264",
        Codec::H265 => "H265",
        Codec::Mjpeg => "JPEG",
    };
    let text = format!("m=video 0 RTP/AVP 96\na=rtpmap:96 {encoding}/90000\na=x-dimensions:2592,1944\n");
    let description = Description::read(&[text.as_bytes(), sdp].concat());
    let transport = if is_udp { Transport::Udp } else { Transport::Interleaved };
    Receiver::new(&description.videos[0], transport)
}

fn packet(sequence: u16, rtp_time: u32, marker: bool, payload: &[u8]) -> Bytes {
    let mut out = vec![0x80, 96 | u8::from(marker) << 7];
    out.extend_from_slice(&sequence.to_be_bytes());
    out.extend_from_slice(&rtp_time.to_be_bytes());
    out.extend_from_slice(&[0, 0, 0, 1]);
    out.extend_from_slice(payload);
    out.into()
}

/// NAL units that fill the payload exactly, or a JPEG that ends with its EOI.
fn assert_has_structure(codec: Codec, payload: &[u8]) {
    if codec == Codec::Mjpeg {
        let mut walker = Walker::default();
        assert_eq!(walker.take(payload), Walk::End);
        assert_eq!(walker.taken(), payload.len());
        return;
    }
    let mut rest = payload;
    while let Some((len, after)) = rest.split_first_chunk::<4>() {
        let len = u32::from_be_bytes(*len) as usize;
        assert!(len > 0 && len <= after.len());
        rest = &after[len..];
    }
    assert!(rest.is_empty());
}

/// What a camera might send, said by the input: the packet's fields and its payload.
fn any_packets(input: &[u8], codec: Codec, is_udp: bool) {
    let (sdp, packets) = input.split_at(input.len().min(8));
    let mut receiver = receiver(codec, sdp, is_udp);
    let (mut sequence, mut rtp_time, mut now_us) = (0u16, 0u32, 1_700_000_000_000_000i64);
    let mut rest = packets;
    while let Some(([way, len], after)) = rest.split_first_chunk::<2>() {
        let (payload, after) = after.split_at(usize::from(*len).min(after.len()));
        rest = after;
        sequence = sequence.wrapping_add(u16::from(way & 3));
        rtp_time = rtp_time.wrapping_add(if way & 4 == 0 { 0 } else { 3_600 });
        now_us += i64::from(way >> 6) * 40_000;
        match way >> 4 & 3 {
            0 => receiver.push(Bytes::copy_from_slice(payload), now_us),
            1 => receiver.push_rtcp(payload, now_us),
            _ => receiver.push(packet(sequence, rtp_time, way & 8 != 0, payload), now_us),
        }
        if way & 0x3F == 0x3F {
            receiver.settle();
        }
        check(&mut receiver, codec);
    }
    receiver.finish();
    check(&mut receiver, codec);
}

fn check(receiver: &mut Receiver, codec: Codec) {
    while let Some(event) = receiver.poll() {
        let Event::AccessUnit(unit) = event else { continue };
        assert_has_structure(codec, &unit.payload.to_vec());
        assert_eq!(unit.parameters.is_some(), codec != Codec::Mjpeg);
        assert!(unit.stamp.media_us.is_some_and(|us| us > 0));
    }
}

/// Pictures of a good camera, of which the network makes what the input says.
fn good_pictures(input: &[u8], is_udp: bool, has_markers: bool) {
    let Some(([slices, mtu], network)) = input.split_first_chunk::<2>() else {
        return;
    };
    let (slices, mtu) = (usize::from(slices % 4) + 1, usize::from(*mtu) + 20);
    let mut whole: Vec<Vec<u8>> = Vec::new();
    let mut packets: Vec<Bytes> = Vec::new();
    for n in 0..12u32 {
        let is_idr = n % 4 == 0;
        let mut nals = if is_idr { vec![SPS.to_vec(), PPS.to_vec()] } else { vec![] };
        for part in 0..slices {
            let mut nal = vec![if is_idr { 0x65 } else { 0x41 }];
            nal.extend_from_slice(if part == 0 { &[0x88, 0x84] } else { &[0x4A, 0x21] });
            nal.extend((0..200).map(|at| (at * 7 + n as usize * 13 + part * 29) as u8 | 1));
            nals.push(nal);
        }
        whole.push(nals.iter().flat_map(|nal| [&(nal.len() as u32).to_be_bytes()[..], nal].concat()).collect());
        let mut payloads = Vec::new();
        for nal in nals {
            if nal.len() <= mtu {
                payloads.push(nal);
                continue;
            }
            let count = nal[1..].chunks(mtu).count();
            for (at, piece) in nal[1..].chunks(mtu).enumerate() {
                let flags = if at == 0 { 0x80 } else { 0 } | if at + 1 == count { 0x40 } else { 0 };
                payloads.push([&[nal[0] & 0xE0 | 28, nal[0] & 0x1F | flags], piece].concat());
            }
        }
        let last = payloads.len() - 1;
        for (at, payload) in payloads.iter().enumerate() {
            packets.push(packet(packets.len() as u16, n * 3_600, has_markers && at == last, payload));
        }
    }
    let mut receiver = receiver(Codec::H264, &[], is_udp);
    let mut last = None;
    let mut take = |receiver: &mut Receiver| {
        while let Some(event) = receiver.poll() {
            let Event::AccessUnit(unit) = event else { continue };
            let place = whole.iter().position(|other| *other == unit.payload.to_vec());
            assert!(place.is_some(), "torn");
            assert!(place > last, "out of order, or twice");
            last = place;
        }
    };
    let mut held: Option<Bytes> = None;
    for (bytes, way) in packets.into_iter().zip(network.iter().chain(std::iter::repeat(&0))) {
        match way % 8 {
            5 => {}
            6 if is_udp => held = Some(bytes),
            7 => {
                receiver.push(bytes.clone(), 0);
                receiver.push(bytes, 0);
            }
            _ => receiver.push(bytes, 0),
        }
        if way & 0x80 != 0 && let Some(late) = held.take() {
            receiver.push(late, 0);
        }
        take(&mut receiver);
    }
    receiver.finish();
    take(&mut receiver);
}

fuzz_target!(|input: (u8, &[u8])| {
    let (way, bytes) = input;
    let is_udp = way & 8 != 0;
    match way % 4 {
        0 => any_packets(bytes, Codec::H264, is_udp),
        1 => any_packets(bytes, Codec::H265, is_udp),
        2 => any_packets(bytes, Codec::Mjpeg, is_udp),
        _ => good_pictures(bytes, is_udp, way & 16 != 0),
    }
});
