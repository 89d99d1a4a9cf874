use super::super::packet::samples::packet;
use super::super::{Event, Receiver, Transport};
use super::*;
use crate::frame::Codec;
use crate::jpeg::{Facts, header_segments, samples};
use crate::sdp::Description;
use proptest::prelude::*;

const DQT: u8 = 0xDB;

/// A packet's payload: type 1 (4:2:0), 320 x 240.
fn piece(offset: usize, q: u8, rest: &[u8]) -> Vec<u8> {
    let [_, o2, o1, o0] = (offset as u32).to_be_bytes();
    [&[0, o2, o1, o0, 1, q, 40, 30][..], rest].concat()
}

fn pieces(data: &[u8], q: u8, front: &[u8], mtu: usize) -> Vec<(Vec<u8>, bool)> {
    let count = data.chunks(mtu).count();
    data.chunks(mtu)
        .enumerate()
        .map(|(n, part)| {
            let front = if n == 0 { front } else { &[] };
            (piece(n * mtu, q, &[front, part].concat()), n + 1 == count)
        })
        .collect()
}

fn video(more: &str) -> crate::sdp::Video {
    let text = format!("m=video 0 RTP/AVP 96\na=rtpmap:96 JPEG/90000\n{more}");
    Description::read(text.as_bytes()).videos.remove(0)
}

type Found = (Vec<Vec<u8>>, Vec<SkipReason>);

fn run(more: &str, payloads: impl IntoIterator<Item = (u16, u32, bool, Vec<u8>)>) -> Found {
    let mut receiver = Receiver::new(&video(more), Transport::Interleaved);
    for (sequence, rtp_time, marker, payload) in payloads {
        receiver.push(packet(sequence, rtp_time, marker, &payload), 0);
    }
    receiver.finish();
    let mut found = Found::default();
    while let Some(event) = receiver.poll() {
        match event {
            Event::AccessUnit(unit) => {
                assert!(unit.keyframe && unit.codec == Codec::Mjpeg);
                found.0.push(unit.payload.to_vec());
            }
            Event::Skipped(reason) => found.1.push(reason),
        }
    }
    found
}

/// One picture in one packet.
fn single(more: &str, payload: Vec<u8>) -> Found {
    run(more, [(0, 0, true, payload)])
}

fn data_of(picture: &[u8]) -> &[u8] {
    let at =
        header_segments(picture).last().unwrap().body.as_ptr() as usize - picture.as_ptr() as usize;
    &picture[at + 10..]
}

#[test]
fn a_picture_gets_its_head_and_its_end() {
    let scan = samples::scan(5_000, 1);
    let (pictures, skipped) = run(
        "",
        pieces(&scan, 60, &[], 1_000)
            .into_iter()
            .zip(0..)
            .map(|((payload, marker), n)| (n, 0, marker, payload)),
    );
    assert_eq!((pictures.len(), skipped), (1, vec![]));
    let picture = &pictures[0];
    let facts = Facts::read(picture).unwrap();
    assert_eq!(
        (facts.width, facts.height, facts.has_huffman_tables),
        (320, 240, true)
    );
    let tables: Vec<&[u8]> = header_segments(picture)
        .filter(|found| found.code == DQT)
        .map(|found| found.body)
        .collect();
    // 16 * 80 / 100 = 12.8, 17 * 80 / 100 = 13.6.
    assert_eq!(
        (tables[0][..2].to_vec(), tables[1][..2].to_vec()),
        (vec![0, 13], vec![1, 14])
    );
    assert_eq!(data_of(picture), [&scan[..], &EOI].concat());
}

#[test]
fn an_end_that_was_sent_is_not_doubled_and_what_is_behind_it_is_cut_off() {
    let scan = samples::scan(50, 1);
    let data = [&scan[..], &EOI].concat();
    assert_eq!(data_of(&single("", piece(0, 60, &data)).0[0]), data);
    let padded = [&data[..], &[0; 7]].concat();
    assert_eq!(data_of(&single("", piece(0, 60, &padded)).0[0]), data);
    let longer = [&data[..], &[0x55; 1_000]].concat();
    assert_eq!(data_of(&single("", piece(0, 60, &longer)).0[0]), data);
}

#[test]
fn tables_in_the_packets_are_taken_and_remembered() {
    let scan = samples::scan(50, 1);
    let tables = |q: u8, lens: &[(u8, usize)]| {
        let precision = lens
            .iter()
            .enumerate()
            .map(|(n, (bits, _))| (bits / 16) << n)
            .sum::<u8>();
        let values: Vec<u8> = lens
            .iter()
            .enumerate()
            .flat_map(|(n, (_, len))| vec![n as u8 + 1; *len])
            .collect();
        let head = [
            &[0, precision][..],
            &(values.len() as u16).to_be_bytes(),
            &values,
        ]
        .concat();
        piece(0, q, &[&head[..], &scan].concat())
    };
    let dqt = |payload: Vec<u8>| -> Vec<(u8, usize)> {
        let (pictures, _) = single("", payload);
        header_segments(&pictures[0])
            .filter(|found| found.code == DQT)
            .map(|found| (found.body[0], found.body.len()))
            .collect()
    };
    assert_eq!(dqt(tables(255, &[(8, 64), (8, 64)])), [(0, 65), (1, 65)]);
    assert_eq!(
        dqt(tables(200, &[(8, 64), (8, 64), (8, 64)])),
        [(0, 65), (1, 65)],
        "three tables"
    );
    assert_eq!(dqt(tables(200, &[(8, 64)])), [(0, 65)], "one table");
    assert_eq!(
        dqt(tables(200, &[(16, 128), (8, 64)])),
        [(0x10, 129), (1, 65)],
        "16 bits"
    );
    let again = |q| piece(0, q, &[&[0, 0, 0, 0][..], &scan].concat());
    let (pictures, skipped) = run(
        "",
        [
            (0, 0, true, again(200)),
            (1, 1, true, tables(200, &[(8, 64), (8, 64)])),
            (2, 2, true, again(200)),
            (3, 3, true, again(201)),
        ],
    );
    assert_eq!(pictures.len(), 2);
    assert_eq!(pictures[0], pictures[1]);
    assert_eq!(skipped, [SkipReason::Early, SkipReason::Early]);
    let cut = piece(0, 200, &[0, 0, 0, 128, 1, 2]);
    assert_eq!(single("", cut), (vec![], vec![SkipReason::Torn]));
}

#[test]
fn restart_intervals_are_written() {
    let scan = samples::scan(50, 1);
    let mut payload = piece(0, 60, &[&[0, 9, 0xFF, 0xFF][..], &scan].concat());
    payload[4] = 65;
    let (pictures, _) = single("", payload.clone());
    let dri = header_segments(&pictures[0])
        .find(|found| found.code == 0xDD)
        .unwrap();
    assert_eq!(dri.body, [0, 9]);
    payload[4] = 64;
    let (pictures, _) = single("", payload);
    let sof = header_segments(&pictures[0])
        .find(|found| found.code == 0xC0)
        .unwrap();
    assert_eq!(sof.body[7], 0x21, "4:2:2");
}

#[test]
fn a_header_that_only_the_first_packet_fills_in_is_enough() {
    let scan = samples::scan(1_000, 1);
    let whole = pieces(&scan, 60, &[], 400);
    let expected = single("", piece(0, 60, &scan));
    for later in [[0, 0, 0, 0], [1, 50, 40, 30], [1, 200, 40, 30]] {
        let sent = whole.iter().cloned().zip(0..);
        let sent = sent.map(|((mut payload, marker), n)| {
            if n > 0 {
                payload[4..8].copy_from_slice(&later);
            }
            (n, 0, marker, payload)
        });
        assert_eq!(run("", sent), expected, "{later:?}");
    }
}

#[test]
fn large_pictures_have_their_size_from_the_description() {
    let mut payload = piece(0, 60, &samples::scan(50, 1));
    payload[6..8].fill(0);
    let (pictures, _) = single("a=x-dimensions:2592,1944\n", payload.clone());
    let facts = Facts::read(&pictures[0]).unwrap();
    assert_eq!((facts.width, facts.height), (2592, 1944));
    assert_eq!(single("", payload), (vec![], vec![SkipReason::NotPicture]));
}

#[test]
fn a_whole_jpeg_in_the_packets_stays_as_it_is() {
    let whole = samples::jpeg(&[], &samples::scan(3_000, 1));
    let (pictures, _) = run(
        "",
        pieces(&whole, 60, &[], 1_000)
            .into_iter()
            .zip(0..)
            .map(|((payload, marker), n)| (n, 0, marker, payload)),
    );
    assert_eq!(pictures, [whole]);
}

#[test]
fn what_is_of_no_known_type_is_no_picture() {
    let mut payload = piece(0, 60, &samples::scan(50, 1));
    payload[4] = 2;
    assert_eq!(single("", payload), (vec![], vec![SkipReason::NotPicture]));
}

#[test]
fn wherever_a_packet_is_missing_the_picture_is_torn_and_the_others_are_whole() {
    let sent: Vec<(usize, Vec<u8>, bool)> = (0..6)
        .flat_map(|n| {
            let scan = samples::scan(1_000 + n * 300, n as u32);
            pieces(&scan, 60, &[], 400)
                .into_iter()
                .map(move |(payload, marker)| (n, payload, marker))
        })
        .collect();
    let arriving = |lost: Option<usize>| {
        let sent = sent.clone();
        run(
            "",
            sent.into_iter()
                .enumerate()
                .filter(|(n, _)| Some(*n) != lost)
                .map(|(n, (of, payload, marker))| (n as u16, of as u32 * 3_600, marker, payload))
                .collect::<Vec<_>>(),
        )
    };
    let (all, skipped) = arriving(None);
    assert_eq!((all.len(), skipped), (6, vec![]));
    for (lost, (of, ..)) in sent.iter().enumerate() {
        let mut expected = all.clone();
        expected.remove(*of);
        assert_eq!(
            arriving(Some(lost)),
            (expected, vec![SkipReason::Torn]),
            "packet {lost}"
        );
    }
}

#[test]
fn a_last_packet_that_was_never_sent_is_missed_where_markers_are_right() {
    let mut sequence = 0;
    let mut sent = Vec::new();
    let scans: Vec<_> = (0..6).map(|n| samples::scan(1_000, n)).collect();
    for (n, scan) in scans.iter().enumerate() {
        let mut pieces = pieces(scan, 60, &[], 400);
        if n == 4 {
            pieces.pop();
        }
        for (payload, marker) in pieces {
            sent.push((sequence, n as u32 * 3_600, marker, payload));
            sequence += 1;
        }
    }
    let (pictures, skipped) = run("", sent);
    assert_eq!((pictures.len(), skipped), (5, vec![SkipReason::Torn]));
    assert_eq!(data_of(&pictures[4]), [&scans[5][..], &EOI].concat());
}

#[test]
fn without_markers_and_with_too_many_pictures_are_whole() {
    for marked in [false, true] {
        let mut sequence = 0;
        let sent: Vec<_> = (0..6)
            .flat_map(|n| {
                let scan = samples::scan(1_000 + n * 300, n as u32);
                pieces(&scan, 60, &[], 400)
                    .into_iter()
                    .map(move |(payload, _)| (n, payload))
            })
            .map(|(n, payload)| {
                sequence += 1;
                (sequence, n as u32 * 3_600, marked, payload)
            })
            .collect();
        let (pictures, skipped) = run("", sent);
        // What comes last has no end to be seen unless markers are believed.
        assert!(pictures.len() >= 5, "{marked}");
        assert!(skipped.len() <= 1, "{marked}: {skipped:?}");
        for (n, picture) in pictures.iter().enumerate() {
            let scan = samples::scan(1_000 + n * 300, n as u32);
            assert_eq!(data_of(picture), [&scan[..], &EOI].concat(), "{marked}");
        }
    }
}

#[test]
fn with_too_many_markers_half_a_picture_is_not_handed_out_when_nothing_comes() {
    let mut receiver = Receiver::new(&video(""), Transport::Interleaved);
    let scan = samples::scan(1_000, 1);
    let mut sequence = 0;
    for rtp_time in [0, 3_600, 7_200] {
        for (payload, _) in pieces(&scan, 60, &[], 400) {
            if sequence < 8 {
                receiver.push(packet(sequence, rtp_time, true, &payload), 0);
            }
            sequence += 1;
        }
    }
    receiver.settle();
    assert!(!receiver.holds_picture());
    receiver.finish();
    let events: Vec<_> = std::iter::from_fn(|| receiver.poll()).collect();
    assert_eq!(events.len(), 3);
    assert_eq!(events[2], Event::Skipped(SkipReason::Torn));
}

proptest! {
    #[test]
    fn any_packets_are_taken_without_a_panic_and_what_comes_out_has_its_structure(
        packets in prop::collection::vec((0usize..3, 0u8..3, any::<bool>(), prop::collection::vec(any::<u8>(), 0..200)), 0..20),
    ) {
        let (pictures, _) = run("", packets.into_iter().zip(0u16..).map(|((offset, q, marker, rest), n)| {
            (n, u32::from(n) / 2, marker, piece(offset * 100, [1, 60, 200][usize::from(q)], &rest))
        }).collect::<Vec<_>>());
        for picture in pictures {
            let mut walker = Walker::default();
            prop_assert_eq!(walker.take(&picture), Walk::End);
            prop_assert_eq!(walker.taken(), picture.len());
        }
    }
}
