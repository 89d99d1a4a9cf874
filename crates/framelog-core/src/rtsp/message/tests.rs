use proptest::prelude::*;

use super::*;

/// What comes out, in words; the bytes are cut so, and the reader is told that it is quiet at the end.
fn read_cut(bytes: &[u8], cuts: impl Fn(usize) -> bool, over: bool) -> (Vec<String>, u64) {
    let mut reader = Reader::default();
    let mut out = Vec::new();
    let mut drain = |reader: &mut Reader| -> bool {
        loop {
            match reader.poll(0) {
                Ok(Some(item)) => out.push(told(&item)),
                Ok(None) => return true,
                Err(error) => {
                    out.push(format!("{error:?}"));
                    return false;
                }
            }
        }
    };
    for (at, &byte) in bytes.iter().enumerate() {
        reader.buffer().extend_from_slice(&[byte]);
        if cuts(at) && !drain(&mut reader) {
            return (out, reader.passed_over());
        }
    }
    if drain(&mut reader) {
        reader.settle(over);
        drain(&mut reader);
    }
    (out, reader.passed_over())
}

fn told(item: &Item) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match item {
        Item::Response(response) => format!("{} [{}]", response.status, text(&response.body)),
        Item::Request(request) => format!("{} [{}]", text(&request.method), text(&request.body)),
        Item::Packet(packet) => format!("{}: {}", packet.channel, packet.payload.len()),
    }
}

/// The same however it is cut.
fn read(bytes: impl AsRef<[u8]>) -> Vec<String> {
    let bytes = bytes.as_ref();
    let whole = read_cut(bytes, |_| false, false);
    assert_eq!(read_cut(bytes, |_| true, false), whole, "byte by byte");
    for cut in 0..bytes.len() {
        assert_eq!(
            read_cut(bytes, |at| at == cut, false),
            whole,
            "cut behind {cut}"
        );
    }
    whole.0
}

fn packet(channel: u8, length: usize) -> Vec<u8> {
    let mut packet = vec![b'$', channel];
    packet.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
    packet.push(0x80);
    packet.resize(PACKET_HEAD + length, 7);
    packet
}

#[test]
fn messages_and_packets_are_told_apart_however_they_are_mixed_and_cut() {
    let answer = b"RTSP/1.0 200 OK\r\nCSeq: 3\r\nContent-Length: 4\r\n\r\nbody";
    let request = b"OPTIONS rtsp://c/ RTSP/1.0\r\nCSeq: 1\r\n\r\n";
    let bytes = [
        &packet(0, 20)[..],
        answer,
        &packet(1, 30),
        request,
        &packet(0, 12),
        answer,
    ]
    .concat();
    assert_eq!(
        read(bytes),
        [
            "0: 20",
            "200 [body]",
            "1: 30",
            "OPTIONS []",
            "0: 12",
            "200 [body]"
        ]
    );
}

#[test]
fn sloppy_heads_are_read() {
    for head in [
        "RTSP/1.0 200 OK\nCSeq: 3\n\n",
        "\r\n\r\nRTSP/1.0  200\r\nCSeq:3\r\n\r\n",
        "rtsp/1.0 200 ok\r\ncseq : 3\r\n\n",
        "RTSP/2.0 200 OK\r\nno colon\r\nCSeq: 3\r\n\r\n",
        "RTSP/1.0 200 OK\r\nX: a\r\n\tb\r\nCSeq: 3\r\n\r\n",
        "HTTP/1.1 200 OK\r\nCSeq: 3\r\n\r\n",
    ] {
        assert_eq!(read(head), ["200 []"], "{head:?}");
    }
}

#[test]
fn folded_fields_are_one() {
    let mut reader = Reader::default();
    reader.buffer().extend_from_slice(
        b"RTSP/1.0 401 No\r\nWWW-Authenticate: Digest realm=\"a: b\",\r\n  nonce=\"n\"\r\n\r\n",
    );
    let Ok(Some(Item::Response(response))) = reader.poll(0) else {
        panic!()
    };
    let field = response.headers.get("www-authenticate").unwrap();
    assert_eq!(
        String::from_utf8_lossy(field),
        "Digest realm=\"a: b\",    nonce=\"n\""
    );
    assert_eq!(response.status_line, &b"RTSP/1.0 401 No"[..]);
}

#[test]
fn a_head_without_its_empty_line_ends_where_a_packet_begins() {
    let bytes = [&b"RTSP/1.0 200 OK\r\nCSeq: 3\r\n"[..], &packet(0, 20)].concat();
    assert_eq!(read(bytes), ["200 []", "0: 20"]);
}

#[test]
fn line_ends_within_a_packet_behind_a_head_end_no_head() {
    let packet = packet(b'\n', usize::from(u16::from_be_bytes(*b"\r\n")));
    let bytes = [&b"PLAY x\r\nA: b\r\n"[..], &packet, b"OPTIONS x\r\n\r\n"].concat();
    assert_eq!(read(bytes), ["PLAY []", "10: 3338", "OPTIONS []"]);
}

#[test]
fn a_packet_of_which_a_part_is_missing_is_dropped_and_the_next_is_not() {
    let torn = &packet(0, 100)[..60];
    let bytes = [
        &packet(0, 50),
        torn,
        &packet(0, 70),
        &packet(1, 30),
        &packet(0, 12),
    ]
    .concat();
    assert_eq!(read(bytes), ["0: 50", "0: 70", "1: 30", "0: 12"]);
}

#[test]
fn a_torn_packet_is_known_by_the_last_one_too() {
    let torn = &packet(0, 100)[..60];
    let bytes = [&packet(0, 50), torn, &packet(0, 70)].concat();
    assert_eq!(read(bytes), ["0: 50", "0: 70"]);
}

#[test]
fn an_answer_within_a_packet_is_taken_out() {
    let answer = b"RTSP/1.0 200 OK\r\nCSeq: 7\r\n\r\n";
    let whole = packet_with_a_dollar();
    // Right before the dollar nothing tells that no packet follows the answer.
    for at in (PACKET_HEAD + 1..whole.len()).filter(|at| *at != 50) {
        let bytes = [&packet(0, 50), &whole[..at], answer, &whole[at..]].concat();
        let expected = ["0: 50", "200 []", "0: 100"];
        assert_eq!(read_cut(&bytes, |_| true, false).0, expected, "{at}");
        let bytes = [&bytes[..], &packet(0, 70), &packet(0, 12)].concat();
        let expected = [&expected[..], &["0: 70", "0: 12"]].concat();
        assert_eq!(read_cut(&bytes, |_| false, false).0, expected, "{at}");
        assert_eq!(read_cut(&bytes, |_| true, false).0, expected, "{at}");
    }
}

#[test]
fn a_packet_of_which_a_part_is_missing_before_an_answer_is_dropped() {
    let answer = b"RTSP/1.0 200 OK\r\nCSeq: 7\r\n\r\n";
    for at in 0..60 {
        let torn = &packet(0, 100)[..at];
        let bytes = [&packet(0, 50), torn, answer, &packet(0, 70), &packet(0, 12)].concat();
        assert_eq!(
            read_cut(&bytes, |_| true, at < PACKET_HEAD).0,
            ["0: 50", "200 []", "0: 70", "0: 12"],
            "{at}"
        );
    }
}

#[test]
fn bytes_that_are_nothing_cost_no_packet() {
    let bytes = [
        &packet(0, 50),
        &b"junk $\x80$$ RT"[..],
        &packet(0, 70),
        &packet(0, 12),
    ]
    .concat();
    assert_eq!(read(&bytes), ["0: 50", "0: 70", "0: 12"]);
    assert_eq!(read_cut(&bytes, |_| false, false).1, 12);
    assert_eq!(
        read([&b"\0\0\0"[..], b"RTSP/1.0 200 OK\r\n\r\n"].concat()),
        ["200 []"]
    );
}

#[test]
fn a_packet_between_bytes_that_are_nothing_comes_through() {
    let bytes = [
        b"junk",
        &packet(0, 50)[..],
        b"junk",
        &packet(1, 30),
        &packet(0, 12),
    ]
    .concat();
    assert_eq!(read(bytes), ["0: 50", "1: 30", "0: 12"]);
}

#[test]
fn a_silence_within_a_packet_behind_bytes_that_are_nothing_costs_no_packet() {
    // With the `$` before it, the head looks like that of a packet of 5 bytes.
    let long = packet(0, 0x059c);
    let bytes = [
        &b"$$\x80junk \r\n$"[..],
        &long,
        &packet(0, 12),
        &packet(0, 12),
    ]
    .concat();
    for silent_at in 0..bytes.len() {
        let mut reader = Reader::default();
        let mut lengths = Vec::new();
        let mut drain = |reader: &mut Reader| {
            while let Some(item) = reader.poll(0).unwrap() {
                let Item::Packet(packet) = item else { panic!() };
                lengths.push(packet.payload.len());
            }
        };
        reader.buffer().extend_from_slice(&bytes[..silent_at]);
        drain(&mut reader);
        reader.settle(false);
        drain(&mut reader);
        reader.buffer().extend_from_slice(&bytes[silent_at..]);
        drain(&mut reader);
        reader.settle(false);
        drain(&mut reader);
        assert_eq!(lengths, [0x059c, 12, 12], "silent at {silent_at}");
    }
}

#[test]
fn odd_packets_pass_if_they_are_where_a_packet_is_due() {
    let odd = b"$\x09\0\x05hello";
    assert_eq!(
        read([&packet(0, 20), &odd[..], &packet(0, 20)].concat()),
        ["0: 20", "9: 5", "0: 20"]
    );
    assert_eq!(
        read([&b"$\x01\0\0"[..], &packet(0, 20)].concat()),
        ["1: 0", "0: 20"]
    );
}

/// It looks as if another packet began in it, of more bytes than there are.
fn packet_with_a_dollar() -> Vec<u8> {
    let mut packet = packet(0, 100);
    packet[50..55].copy_from_slice(b"$\0\xFF\xFF\x80");
    packet
}

#[test]
fn behind_a_frame_that_is_no_rtp_or_before_zeros_no_packet_waits() {
    let other = b"$\x07\0\x05hello";
    for between in [&other[..], &other.repeat(3), b"\0\0\0", b"\r\n\0"] {
        let mut reader = Reader::default();
        let bytes = [
            &packet_with_a_dollar(),
            between,
            &packet_with_a_dollar(),
            between,
            &packet(1, 12),
        ];
        reader.buffer().extend_from_slice(&bytes.concat());
        let items = std::iter::from_fn(|| reader.poll(0).unwrap());
        let ours = items.filter(|item| told(item) == "0: 100").count();
        assert_eq!(ours, 2, "{between:?}");
    }
}

#[test]
fn a_length_that_nothing_comes_for_is_none() {
    let mut reader = Reader::default();
    reader.buffer().extend_from_slice(b"$$\x80junk $");
    reader.buffer().extend_from_slice(&packet(0, 20));
    reader.buffer().extend_from_slice(&packet(1, 30));
    assert_eq!(reader.poll(0), Ok(None));
    reader.settle(false);
    for channel in [0, 1] {
        let Ok(Some(Item::Packet(packet))) = reader.poll(0) else {
            panic!()
        };
        assert_eq!(packet.channel, channel);
    }
}

#[test]
fn an_empty_description_without_a_length_waits() {
    let mut reader = Reader::default();
    reader
        .buffer()
        .extend_from_slice(b"RTSP/1.0 200 OK\r\nContent-Type: application/sdp\r\n\r\n");
    assert_eq!((reader.poll(0), reader.is_waiting()), (Ok(None), true));
    reader.settle(true);
    assert!(matches!(reader.poll(0), Ok(Some(Item::Response(_)))));
    assert!(!reader.is_waiting());
}

#[test]
fn a_packet_at_the_end_has_the_time_at_which_it_was_whole() {
    let mut reader = Reader::default();
    reader.buffer().extend_from_slice(&packet(0, 20));
    assert_eq!(reader.poll(5), Ok(None));
    reader.buffer().extend_from_slice(&packet(0, 30));
    for received_us in [5, 9] {
        if received_us == 9 {
            reader.settle(false);
        }
        let Ok(Some(Item::Packet(packet))) = reader.poll(9) else {
            panic!()
        };
        assert_eq!(packet.received_us, received_us);
    }
}

#[test]
fn the_end_of_a_description_is_where_something_else_begins() {
    let sdp = "v=0\r\nm=video 0 RTP/AVP 96\r\na=control:t\r\n";
    let after = "RTSP/1.0 404 Not Found\r\n\r\n";
    for length in [sdp.len(), sdp.len() - 20, 0] {
        let head = format!(
            "RTSP/1.0 200 OK\r\nContent-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n"
        );
        assert_eq!(
            read(format!("{head}{sdp}{after}")),
            [format!("200 [{sdp}]"), "404 []".into()],
            "{length}"
        );
        assert_eq!(
            read(format!("{head}{sdp}")),
            [format!("200 [{sdp}]")],
            "{length}"
        );
    }
    let bare = "RTSP/1.0 200 OK\r\nContent-Base: rtsp://c/\r\n\r\n";
    assert_eq!(read(format!("{bare}{sdp}")), [""; 0], "it may go on");
    assert_eq!(
        read_cut(format!("{bare}{sdp}").as_bytes(), |_| false, true).0,
        [format!("200 [{sdp}]")]
    );
    let long = "RTSP/1.0 200 OK\r\nContent-Type: application/sdp\r\nContent-Length: 9999\r\n\r\n";
    assert_eq!(
        read_cut(format!("{long}{sdp}").as_bytes(), |_| false, true).0,
        [format!("200 [{sdp}]")]
    );
}

#[test]
fn a_body_whose_place_a_packet_or_an_answer_has_is_none() {
    let empty = b"RTSP/1.0 200 OK\r\nCSeq: 5\r\nContent-Length: 30\r\n\r\n";
    let answer = b"RTSP/1.0 200 OK\r\nCSeq: 6\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(
        read([&empty[..], &packet(0, 40), empty, answer, &packet(0, 12)].concat()),
        ["200 []", "0: 40", "200 []", "200 [x]", "0: 12"]
    );
}

#[test]
fn a_description_without_a_length_is_read_whatever_it_is_said_to_be() {
    let head = b"RTSP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n";
    let text = b"v=0\r\ns=$\r\n";
    assert_eq!(
        read([&head[..], text, &packet(0, 20), head, &packet(0, 30)].concat()),
        ["200 [v=0\r\ns=$\r\n]", "0: 20", "200 []", "0: 30"]
    );
    assert_eq!(read(head), ["200 []"]);
}

#[test]
fn endless_heads_and_bodies_are_refused() {
    let mut endless = b"RTSP/1.0 200 OK\r\n".to_vec();
    endless.resize(HEAD_BYTES_MAX + 10, b'x');
    assert_eq!(read_cut(&endless, |at| at % 1000 == 0, false).0, ["Head"]);
    let body = "RTSP/1.0 200 OK\r\nContent-Length: 300000\r\n\r\n";
    assert_eq!(read_cut(body.as_bytes(), |_| true, false).0, ["Body"]);
    let body = "RTSP/1.0 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n";
    assert_eq!(read_cut(body.as_bytes(), |_| true, false).0, ["Body"]);
    let mut endless = b"RTSP/1.0 200 OK\r\nContent-Type: application/sdp\r\n\r\n".to_vec();
    endless.resize(BODY_BYTES_MAX + 100, b'x');
    assert_eq!(read_cut(&endless, |at| at % 1000 == 0, false).0, ["Body"]);
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        (0u8..4, 4usize..40).prop_map(|(channel, length)| packet(channel, length)),
        (0u8..4, 4usize..40, 0usize..40).prop_map(|(channel, length, cut)| {
            let mut torn = packet(channel, length);
            torn.truncate(cut);
            torn
        }),
        Just(b"RTSP/1.0 200 OK\r\nCSeq: 3\r\n\r\n".to_vec()),
        Just(b"RTSP/1.0 200 OK\nContent-Length: 3\n\nabc".to_vec()),
        Just(b"RTSP/1.0 200 OK\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\ns=x\r\n".to_vec()),
        Just(b"ANNOUNCE rtsp://c/ RTSP/1.0\r\n\r\n".to_vec()),
        "[$\r\nRTSP/a=]{0,12}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..12),
    ]
}

proptest! {
    #[test]
    fn cuts_change_nothing(pieces in proptest::collection::vec(piece(), 0..12), cuts: u64) {
        let bytes = pieces.concat();
        let whole = read_cut(&bytes, |_| false, true);
        prop_assert_eq!(&read_cut(&bytes, |_| true, true), &whole);
        prop_assert_eq!(&read_cut(&bytes, |at| cuts >> (at % 64) & 1 == 1, true), &whole);
    }

    #[test]
    fn whole_packets_come_through(lengths in proptest::collection::vec((0u8..4, 4usize..200), 1..20)) {
        let bytes: Vec<u8> = lengths.iter().flat_map(|&(channel, length)| packet(channel, length)).collect();
        let told: Vec<String> = lengths.iter().map(|(channel, length)| format!("{channel}: {length}")).collect();
        prop_assert_eq!(read_cut(&bytes, |_| true, false), (told, 0));
    }

    #[test]
    fn junk_before_packets_and_silences_anywhere_cost_no_packet(
        lengths in proptest::collection::vec(12usize..120, 1..6),
        silences in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8),
    ) {
        let bytes: Vec<u8> = lengths
            .iter()
            .flat_map(|length| [&b"$$\x80junk \r\n$"[..], &packet(0, *length)].concat())
            .collect();
        let silences: Vec<usize> = silences.iter().map(|at| at.index(bytes.len())).collect();
        let mut reader = Reader::default();
        let mut found = Vec::new();
        let mut drain = |reader: &mut Reader| {
            while let Some(item) = reader.poll(0).unwrap() {
                if let Item::Packet(packet) = item {
                    found.push(packet.payload.len());
                }
            }
        };
        for (at, &byte) in bytes.iter().enumerate() {
            reader.buffer().extend_from_slice(&[byte]);
            drain(&mut reader);
            if silences.contains(&at) {
                reader.settle(false);
                drain(&mut reader);
            }
        }
        reader.settle(true);
        drain(&mut reader);
        prop_assert_eq!(found, lengths);
    }
}
