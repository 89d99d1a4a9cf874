//! What cameras send, whole and split at every byte.

use super::search::LINE_END_MAX;
use super::*;
use crate::jpeg::samples::{jpeg, scan};
use proptest::prelude::*;

/// Everything a stream gives, pushed in pieces of the given sizes (the last one over and over).
fn events(boundary: Option<&str>, stream: &[u8], sizes: &[usize]) -> Vec<Event> {
    events_within(Limits::default(), boundary, stream, sizes)
}

fn events_within(
    limits: Limits,
    boundary: Option<&str>,
    stream: &[u8],
    sizes: &[usize],
) -> Vec<Event> {
    let mut parser = Parser::new(boundary.map(str::as_bytes), limits);
    let mut out = Vec::new();
    let mut sizes = sizes
        .iter()
        .copied()
        .chain(std::iter::repeat(*sizes.last().unwrap_or(&1)));
    let mut rest = stream;
    while !rest.is_empty() {
        let n = sizes.next().unwrap_or(1).clamp(1, rest.len());
        parser.push(Bytes::copy_from_slice(&rest[..n]), 7);
        rest = &rest[n..];
        while let Some(event) = parser.poll() {
            out.push(event);
        }
    }
    parser.finish();
    while let Some(event) = parser.poll() {
        out.push(event);
    }
    out
}

/// An event in a line, so that a difference can be read.
fn told(events: &[Event]) -> Vec<String> {
    let tell = |event: &Event| match event {
        Event::Part(part) => format!(
            "part at {} of {} ({:x}) {} {:?}",
            part.offset,
            part.payload.len(),
            part.payload.to_vec().iter().fold(0u32, |sum, byte| sum
                .wrapping_mul(31)
                .wrapping_add(u32::from(*byte))),
            part.complete,
            part.headers.raw()
        ),
        Event::Skipped(skipped) => format!(
            "{:?} of {} {:?} {:?}",
            skipped.reason,
            skipped.bytes,
            skipped.beginning.slice(..skipped.beginning.len().min(20)),
            skipped.headers.raw()
        ),
    };
    events.iter().map(tell).collect()
}

fn payloads(events: &[Event]) -> Vec<Vec<u8>> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Part(part) => Some(part.payload.to_vec()),
            Event::Skipped(_) => None,
        })
        .collect()
}

/// The frames of a stream, which must be the same whole, byte by byte, and split at each offset.
fn frames(boundary: Option<&str>, stream: &[u8]) -> Vec<Vec<u8>> {
    let whole = events(boundary, stream, &[stream.len()]);
    for sizes in [vec![1], vec![2], vec![3, 700], vec![300]] {
        assert_eq!(
            told(&events(boundary, stream, &sizes)),
            told(&whole),
            "sizes {sizes:?}"
        );
    }
    for cut in 1..stream.len() {
        assert_eq!(
            told(&events(boundary, stream, &[cut, stream.len()])),
            told(&whole),
            "cut at {cut}"
        );
    }
    payloads(&whole)
}

fn picture(seed: u32) -> Vec<u8> {
    jpeg(
        &[(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0")],
        &scan(300 + seed as usize % 90, seed),
    )
}

/// `head` has `LEN` where the length goes.
fn stream_of(pictures: &[Vec<u8>], head: &str, tail: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for picture in pictures {
        out.extend_from_slice(head.replace("LEN", &picture.len().to_string()).as_bytes());
        out.extend_from_slice(picture);
        out.extend_from_slice(tail.as_bytes());
    }
    out
}

fn three() -> Vec<Vec<u8>> {
    vec![picture(1), picture(2), picture(3)]
}

const TYPE: &str = "Content-Type: image/jpeg\r\n";

/// Rows of the same kind: every picture comes out, whatever goes around it.
#[test]
fn three_pictures_come_out_of_every_framing() {
    let cases: &[(&str, Option<&str>, &str, &str)] = &[
        (
            "plain",
            Some("b"),
            "--b\r\nContent-Type: image/jpeg\r\nContent-Length: LEN\r\n\r\n",
            "\r\n",
        ),
        (
            "no length",
            Some("b"),
            "--b\r\nContent-Type: image/jpeg\r\n\r\n",
            "\r\n",
        ),
        (
            "LF only",
            Some("b"),
            "--b\nContent-Type: image/jpeg\nContent-Length: LEN\n\n",
            "\n",
        ),
        (
            "LF only, no length",
            Some("b"),
            "--b\nContent-Type: image/jpeg\n\n",
            "\n",
        ),
        (
            "CRLF lines, LF empty line",
            Some("b"),
            "--b\r\nContent-Length: LEN\r\n\n",
            "\r\n",
        ),
        ("CR only", Some("b"), "--b\rContent-Length: LEN\r\r", "\r"),
        (
            "CR CR LF",
            Some("b"),
            "--b\r\r\nContent-Length: LEN\r\r\n\r\r\n",
            "\r\r\n",
        ),
        (
            "dashes in the value (19)",
            Some("--b"),
            "--b\r\nContent-Length: LEN\r\n\r\n",
            "\r\n",
        ),
        (
            "more dashes in the body",
            Some("--b"),
            "----b\r\nContent-Length: LEN\r\n\r\n",
            "\r\n",
        ),
        (
            "no parameter (21)",
            None,
            "--b\r\nContent-Length: LEN\r\n\r\n",
            "\r\n",
        ),
        ("no parameter, no length", None, "--b\r\n\r\n", "\r\n"),
        (
            "other boundary (22)",
            Some("declared"),
            "--real\r\nContent-Length: LEN\r\n\r\n",
            "\r\n",
        ),
        (
            "other boundary, no length",
            Some("declared"),
            "--real\r\nContent-Type: image/jpeg\r\n\r\n",
            "\r\n",
        ),
        (
            "delimiter without dashes (23)",
            Some("bound"),
            "bound\r\nContent-Length: LEN\r\n\r\n",
            "\r\n",
        ),
        (
            "delimiter without dashes or length",
            Some("bound"),
            "bound\r\nContent-Type: image/jpeg\r\n\r\n",
            "\r\n",
        ),
        (
            "letter case (25)",
            Some("b"),
            "--b\r\ncontent-TYPE:image/jpeg\r\nCONTENT-LENGTH:LEN\r\n\r\n",
            "\r\n",
        ),
        ("no header at all (26)", Some("b"), "--b\r\n\r\n", "\r\n"),
        (
            "two line ends (28)",
            Some("b"),
            "--b\r\nContent-Type: image/jpeg\r\n\r\n",
            "\r\n\r\n",
        ),
        (
            "no line end (28)",
            Some("b"),
            "--b\r\nContent-Length: LEN\r\n\r\n",
            "",
        ),
        (
            "no line end, no length",
            Some("b"),
            "--b\r\nContent-Type: image/jpeg\r\n\r\n",
            "",
        ),
        (
            "two delimiters (29)",
            Some("b"),
            "--b\r\n--b\r\nContent-Length: LEN\r\n\r\n",
            "\r\n",
        ),
        (
            "closing delimiter each time (31)",
            Some("data-boundary--"),
            "--data-boundary--\r\nContent-Length: LEN\r\n\r\n",
            "\r\n",
        ),
        (
            "closing delimiter, value without (31)",
            Some("data"),
            "--data--\r\nContent-Type: image/jpeg\r\n\r\n",
            "\r\n",
        ),
        (
            "blank inside (31)",
            Some("video boundary--"),
            "--video boundary--\r\nContent-Type: image/jpeg\r\n\r\n",
            "\r\n",
        ),
        (
            "header in the delimiter line (32)",
            Some("jpgboundary"),
            "--jpgboundaryContent-type: image/jpeg\r\nContent-length: LEN\r\n\r\n",
            "\r\n",
        ),
        (
            "the same, unknown boundary, no length",
            None,
            "--jpgboundaryContent-type: image/jpeg\r\n\r\n",
            "\r\n",
        ),
        (
            "length zero (35)",
            Some("b"),
            "--b\r\nContent-Length: 0\r\n\r\n",
            "\r\n",
        ),
        (
            "length negative (35)",
            Some("b"),
            "--b\r\nContent-Length: -1\r\n\r\n",
            "\r\n",
        ),
        (
            "length no number (35)",
            Some("b"),
            "--b\r\nContent-Length: abc\r\n\r\n",
            "\r\n",
        ),
        (
            "length of 2^64 (35)",
            Some("b"),
            "--b\r\nContent-Length: 18446744073709551617\r\n\r\n",
            "\r\n",
        ),
        (
            "length twice in a list (35)",
            Some("b"),
            "--b\r\nContent-Length: LEN, LEN\r\n\r\n",
            "\r\n",
        ),
        (
            "two lengths (36)",
            Some("b"),
            "--b\r\nContent-Length: 12\r\nContent-Length: LEN\r\n\r\n",
            "\r\n",
        ),
        (
            "two lengths, the first right",
            Some("b"),
            "--b\r\nContent-Length: LEN\r\nContent-Length: 12\r\n\r\n",
            "\r\n",
        ),
        (
            "length of a few (34)",
            Some("b"),
            "--b\r\nContent-Length: 20\r\n\r\n",
            "\r\n",
        ),
        (
            "length of too many (33)",
            Some("b"),
            "--b\r\nContent-Length: 500\r\n\r\n",
            "\r\n",
        ),
        (
            "length far too large (33)",
            Some("b"),
            "--b\r\nContent-Length: 31000000\r\n\r\n",
            "\r\n",
        ),
        (
            "headers, no delimiter ever",
            None,
            "Content-Type: image/jpeg\r\nContent-Length: LEN\r\n\r\n",
            "\r\n",
        ),
        (
            "headers, no delimiter or length",
            None,
            "Content-Type: image/jpeg\r\n\r\n",
            "\r\n",
        ),
        (
            "an empty line too many",
            Some("b"),
            "--b\r\nContent-Length: LEN\r\n\r\n\r\n",
            "\r\n",
        ),
        (
            "headers behind an empty line",
            Some("b"),
            "--b\r\n\r\nContent-Type: image/jpeg\r\nContent-Length: LEN\r\n\r\n",
            "\r\n",
        ),
        (
            "no empty line",
            Some("b"),
            "--b\r\nContent-Length: LEN\r\n",
            "\r\n",
        ),
        ("bare sequence (16)", None, "", ""),
        ("bare sequence with line ends", None, "", "\r\n"),
        (
            "blocks of 50 bytes (17)",
            Some("myboundary"),
            "mjpeg 000123412345                                ",
            "",
        ),
        (
            "binary blocks between (17)",
            None,
            "MJPG\0\u{1}\u{2}\n\r\0--\0",
            "",
        ),
        (
            "boundary with odd characters",
            Some("=_.*+?^$[](){}|'"),
            "--=_.*+?^$[](){}|'\r\nContent-Type: image/jpeg\r\n\r\n",
            "\r\n",
        ),
        (
            "preamble",
            Some("b"),
            "--b\r\nContent-Type: image/jpeg\r\n\r\n",
            "\r\n",
        ),
    ];
    let pictures = three();
    let mut failures = Vec::new();
    for (name, boundary, head, tail) in cases {
        let stream = stream_of(&pictures, head, tail);
        let stream = if *name == "preamble" {
            [b"<html>\r\nbla: bla\r\n\r\n", stream.as_slice()].concat()
        } else {
            stream
        };
        let found = frames(*boundary, &stream);
        if found != pictures {
            failures.push((name, found.iter().map(Vec::len).collect::<Vec<_>>()));
        }
    }
    assert!(
        failures.is_empty(),
        "{failures:?} of {:?}",
        pictures.iter().map(Vec::len).collect::<Vec<_>>()
    );
}

#[test]
fn first_part_without_a_delimiter_is_not_lost() {
    let pictures = three();
    for length in ["Content-Length: LEN\r\n", ""] {
        let whole = stream_of(&pictures, &format!("--b\r\n{TYPE}{length}\r\n"), "\r\n");
        for boundary in [Some("b"), None] {
            assert_eq!(frames(boundary, &whole[5..]), pictures);
        }
    }
}

#[test]
fn a_length_that_lies_costs_no_frame() {
    let pictures: Vec<_> = (0..5).map(picture).collect();
    for lie in (-30i64..30).chain([-1000, -200, 200, 333, 400, 1000]) {
        let mut stream = Vec::new();
        for (n, picture) in pictures.iter().enumerate() {
            let length = picture.len() as i64 + if n == 1 { lie } else { 0 };
            stream.extend_from_slice(
                format!("--b\r\n{TYPE}Content-Length: {length}\r\n\r\n").as_bytes(),
            );
            stream.extend_from_slice(picture);
            stream.extend_from_slice(b"\r\n");
        }
        let found = payloads(&events(Some("b"), &stream, &[97]));
        assert!(
            found == pictures,
            "lie of {lie}: {:?}",
            told(&events(Some("b"), &stream, &[97]))
        );
        assert_eq!(
            told(&events(Some("b"), &stream, &[1])),
            told(&events(Some("b"), &stream, &[97])),
            "lie of {lie}, byte by byte"
        );
    }
}

#[test]
fn a_good_length_covers_boundaries_and_thumbnails_inside() {
    let thumbnail = picture(9);
    let inside = jpeg(
        &[
            (0xE1, &thumbnail),
            (
                0xFE,
                b"x\r\n--b\r\nContent-Type: image/jpeg\r\n\r\n\xFF\xD8\xFF",
            ),
        ],
        &scan(200, 4),
    );
    let pictures = vec![picture(1), inside, picture(2)];
    for head in [
        "--b\r\nContent-Length: LEN\r\n\r\n",
        "--b\r\nContent-Type: image/jpeg\r\n\r\n",
    ] {
        assert_eq!(
            frames(Some("b"), &stream_of(&pictures, head, "\r\n")),
            pictures
        );
    }
}

#[test]
fn a_length_that_ends_at_the_thumbnail_is_seen_through() {
    let thumbnail = picture(9);
    for behind in [&b"more"[..], b""] {
        let exif = [&thumbnail[..], behind].concat();
        let outer = jpeg(&[(0xE1, &exif)], &scan(200, 4));
        let cut = outer
            .windows(thumbnail.len())
            .position(|w| w == thumbnail)
            .map(|at| at + thumbnail.len())
            .unwrap_or(0);
        let mut stream = format!("--b\r\nContent-Length: {cut}\r\n\r\n").into_bytes();
        stream.extend_from_slice(&outer);
        stream.extend_from_slice(b"\r\n--b\r\n");
        assert_eq!(frames(Some("b"), &stream), [outer]);
    }
}

#[test]
fn pictures_without_a_structure_are_whole_if_they_end_in_an_eoi() {
    let shams: Vec<Vec<u8>> = [
        &b"\x01\x02 noise"[..],
        b"\xFF\xE0 text for a segment",
        b"\xFF",
    ]
    .iter()
    .map(|inside| [b"\xFF\xD8", *inside, b"\xFF\xD9"].concat())
    .collect();
    for head in [
        "--b\r\nContent-Length: LEN\r\n\r\n",
        "--b\r\nContent-Type: image/jpeg\r\n\r\n",
    ] {
        let stream = [stream_of(&shams, head, "\r\n"), b"--b\r\n".to_vec()].concat();
        assert_eq!(frames(Some("b"), &stream), shams);
        assert!(
            events(Some("b"), &stream, &[stream.len()])
                .iter()
                .all(|event| matches!(event, Event::Part(part) if part.complete))
        );
    }
}

#[test]
fn a_picture_without_a_structure_is_whole_if_padding_follows_its_eoi() {
    let broken: Vec<Vec<u8>> = three()
        .iter()
        .map(|picture| {
            let (soi, rest) = picture.split_at(2);
            [soi, b"\0\0", rest, &[0; 16], &[0xFF; 3]].concat()
        })
        .collect();
    for head in [
        "--b\r\nContent-Length: LEN\r\n\r\n",
        "--b\r\nContent-Type: image/jpeg\r\n\r\n",
    ] {
        for end in ["--b\r\n", ""] {
            let stream = [stream_of(&broken, head, "\r\n"), end.into()].concat();
            assert_eq!(frames(Some("b"), &stream), broken);
            assert!(
                events(Some("b"), &stream, &[50])
                    .iter()
                    .all(|event| matches!(event, Event::Part(part) if part.complete))
            );
        }
    }
}

#[test]
fn a_picture_that_is_cut_in_the_padding_of_a_header_is_torn_though_a_thumbnail_ends_there() {
    let cut = [
        &b"\xFF\xD8\xFF\xE1\xFF\xFEExif\0\0"[..],
        &picture(4),
        &[0; 40],
    ]
    .concat();
    for head in [
        "--b\r\nContent-Type: image/jpeg\r\n\r\n",
        "--b\r\nContent-Length: LEN\r\n\r\n",
    ] {
        let stream = [
            stream_of(std::slice::from_ref(&cut), head, "\r\n"),
            b"--b\r\n".into(),
        ]
        .concat();
        assert_eq!(frames(Some("b"), &stream), Vec::<Vec<u8>>::new(), "{head}");
    }
}

#[test]
fn strings_that_are_sent_with_their_nul_divide_parts() {
    let pictures = three();
    for head in [
        "--b\r\n\0Content-Type: image/jpeg\r\n\r\n\0",
        "--b\r\n\0Content-Type: image/jpeg\r\n\0Content-Length: LEN\r\n\0\r\n\0",
    ] {
        let stream = stream_of(&pictures, head, "\r\n\0");
        let found = frames(Some("b"), &[&stream[..], b"--b\r\n\0"].concat());
        assert_eq!(found.len(), 3, "{head:?}");
        for (found, sent) in found.iter().zip(&pictures) {
            assert!(found.starts_with(sent) && found.len() <= sent.len() + 3);
        }
    }
}

#[test]
fn zeros_between_parts_are_passed_over() {
    let stream = stream_of(&three(), "--b\r\n\r\n", "\r\n\0\0\0");
    let found = frames(Some("b"), &stream);
    assert_eq!(found.len(), 3);
    for (found, sent) in found.iter().zip(three()) {
        assert!(found.starts_with(&sent));
    }
}

#[test]
fn a_part_without_headers_begins_with_its_picture_wherever_the_delimiter_is() {
    for tail in [&b"\xFF"[..], b"\0\0", b"x"] {
        let padded = three()
            .into_iter()
            .map(|picture| [&picture[..], tail].concat());
        let padded: Vec<_> = padded.collect();
        let stream = [stream_of(&padded, "--b\r\n\r\n", ""), b"--b\r\n".to_vec()].concat();
        let mut found = frames(Some("b"), &stream);
        // Behind the last there is no picture to tell the delimiter by.
        let last = found.pop().unwrap_or_default();
        assert_eq!(found, padded[..2]);
        assert!(last.starts_with(&picture(3)));
    }
}

#[test]
fn a_picture_behind_junk_is_found_if_it_leads_to_a_scan() {
    let pictures: Vec<_> = (0..4).map(picture).collect();
    let thumbnail = [&b"\xFF\xD8\xFF\xE0"[..], &[9; 90]].concat();
    for junk in [&b"garbled"[..], b"\x01\n\0\0", &thumbnail] {
        let head = "--b\r\nContent-Length: LEN\r\n\r\n";
        let stream = [
            &stream_of(&pictures[..2], head, "\r\n")[..],
            b"garbled\r\n",
            junk,
            b"\r\n\r\n",
            &pictures[2],
            b"\r\n",
            &stream_of(&pictures[3..], head, "\r\n"),
        ]
        .concat();
        assert_eq!(
            frames(Some("b"), &stream),
            pictures,
            "{}",
            junk.escape_ascii()
        );
    }
}

#[test]
fn a_picture_behind_headers_that_are_too_long_is_not_lost() {
    let pictures = three();
    let objects = "x".repeat(20_000);
    let head = format!("--b\r\nContent-Length: LEN\r\nX-Objects: {objects}\r\n\r\n");
    let stream = stream_of(&pictures, &head, "\r\n");
    for size in [1000, stream.len()] {
        assert_eq!(payloads(&events(Some("b"), &stream, &[size])), pictures);
    }
}

#[test]
fn an_soi_in_noise_does_not_begin_a_picture() {
    let noise = [&scan(100, 6)[..], b"\xFF\xD8\xFF\xC7", &scan(300, 7)].concat();
    let noisy = jpeg(&[], &noise);
    let pictures = [picture(1), noisy, picture(2)];
    let stream = stream_of(&pictures, "--b\r\nContent-Type: image/jpeg\r\n\r\n", "\r\n");
    assert_eq!(frames(Some("b"), &stream), pictures);
    let bare = [&picture(1)[..200], &pictures.concat()].concat();
    let found = frames(None, &bare);
    assert_eq!(found[..2], [picture(1)[..200].to_vec(), picture(1)]);
    assert_eq!(found.last(), Some(&picture(2)));
}

#[test]
fn a_length_that_ends_at_the_thumbnail_is_seen_through_after_silence() {
    let thumbnail = picture(9);
    let outer = jpeg(
        &[(0xE1, &[&thumbnail[..], b"more"].concat())],
        &scan(200, 4),
    );
    let cut = 6 + thumbnail.len();
    let head = format!("--b\r\nContent-Length: {cut}\r\n\r\n");
    for surprise in [None, Some("--b\r\nContent-Length: 1\r\n\r\n")] {
        let mut parser = Parser::new(Some(b"b"), Limits::default());
        if let Some(head) = surprise {
            parser.push([head.as_bytes(), &thumbnail, b"\r\n"].concat().into(), 5);
            assert_eq!(parser.poll(), None);
        }
        parser.push([head.as_bytes(), &outer[..cut]].concat().into(), 5);
        let before = std::iter::from_fn(|| parser.poll()).count();
        assert_eq!(before, usize::from(surprise.is_some()));
        parser.settle();
        assert_eq!(parser.poll(), None);
        parser.push([&outer[cut..], b"\r\n--b\r\n"].concat().into(), 6);
        assert_eq!(
            payloads(&Vec::from_iter(parser.poll())),
            std::slice::from_ref(&outer)
        );
    }
}

/// A snapshot's body, with what the response announced for its length, pushed in pieces.
fn snapshot(length: Option<u64>, body: &[u8], size: usize) -> Vec<(Vec<u8>, bool)> {
    let mut parser = Parser::new(None, Limits::default());
    parser.expect_picture(length);
    let mut events = Vec::new();
    for piece in body.chunks(size) {
        parser.push(Bytes::copy_from_slice(piece), 7);
        events.extend(std::iter::from_fn(|| parser.poll()));
    }
    parser.finish();
    events.extend(std::iter::from_fn(|| parser.poll()));
    events
        .into_iter()
        .filter_map(|event| match event {
            Event::Part(part) => Some((part.payload.to_vec(), part.complete)),
            Event::Skipped(_) => None,
        })
        .collect()
}

#[test]
fn what_follows_an_expected_picture_up_to_the_end_is_kept_unless_there_is_another() {
    let (first, second) = (picture(1), picture(2));
    let given = |body: &[u8]| {
        let given = |size: usize| -> Vec<_> {
            let found = snapshot(None, body, size).into_iter();
            found.map(|(payload, _)| payload).collect()
        };
        assert_eq!(given(1), given(body.len()));
        given(50)
    };
    let padding: [&[u8]; 4] = [
        b"\0\0\0\0",
        b"\xff\xff\xff",
        b"\r\nVENDOR\0\x01\x02",
        &[0x5a; 30_000],
    ];
    for padding in padding {
        let padded = [&first[..], padding].concat();
        assert_eq!(given(&padded), std::slice::from_ref(&padded));
        let with_line_end = [&padded[..], b"\r\n"].concat();
        assert_eq!(given(&with_line_end), [padded]);
        // A sequence, of pictures as they have been stored all along.
        let both = [&first[..], padding, &second, padding].concat();
        assert_eq!(given(&both), [first.clone(), second.clone()]);
    }
    for behind in [
        "\r\n",
        "\n\n",
        "\r\n--b\r\nContent-Type: image/jpeg\r\n\r\n",
    ] {
        assert_eq!(
            given(&[&first[..], behind.as_bytes()].concat()),
            std::slice::from_ref(&first)
        );
    }
}

#[test]
fn an_expected_picture_waits_for_no_more_than_the_next_or_a_silence() {
    let (first, second) = (picture(1), picture(2));
    let mut parser = Parser::new(None, Limits::default());
    parser.expect_picture(None);
    parser.push(first.clone().into(), 5);
    assert_eq!(parser.poll(), None);
    parser.push(second[..2].to_vec().into(), 6);
    assert_eq!(
        payloads(&Vec::from_iter(parser.poll())),
        std::slice::from_ref(&first)
    );
    parser.push(second[2..].to_vec().into(), 7);
    assert_eq!(payloads(&Vec::from_iter(parser.poll())), [second]);
    for behind in [&b""[..], b"\0\0"] {
        let mut parser = Parser::new(None, Limits::default());
        parser.expect_picture(None);
        parser.push([&first[..], behind].concat().into(), 5);
        assert_eq!(parser.poll(), None);
        parser.settle();
        assert_eq!(
            payloads(&Vec::from_iter(parser.poll())),
            std::slice::from_ref(&first)
        );
    }
}

#[test]
fn an_expected_picture_is_found_whatever_its_length_says() {
    let whole = picture(3);
    let right = whole.len() as u64;
    for length in [
        None,
        Some(right),
        Some(right - 9),
        Some(right + 9),
        Some(1),
        Some(u64::MAX),
    ] {
        for size in [1, 50, whole.len()] {
            assert_eq!(
                snapshot(length, &whole, size),
                [(whole.clone(), true)],
                "{length:?}"
            );
        }
    }
    let endless = &whole[..whole.len() - 2];
    assert_eq!(
        snapshot(Some(right - 2), endless, 40),
        [(endless.to_vec(), false)]
    );
    assert_eq!(snapshot(Some(right), endless, 40), []);
    let sham = b"\xFF\xD8 not really \xFF\xD9";
    assert_eq!(snapshot(None, sham, 3), [(sham.to_vec(), true)]);
}

#[test]
fn a_picture_without_eoi_is_kept_where_the_response_properly_ends() {
    let picture = picture(3);
    let endless = &picture[..picture.len() - 2];
    let without_scan = &picture[..30];
    for head in ["", "--b\r\nContent-Type: image/jpeg\r\n\r\n"] {
        let given = |payload: &[u8], end: fn(&mut Parser)| {
            let mut parser = Parser::new(None, Limits::default());
            parser.push([head.as_bytes(), payload, b"\r\n"].concat().into(), 7);
            assert_eq!(parser.poll(), None);
            end(&mut parser);
            match parser.poll() {
                Some(Event::Part(part)) => Some((part.payload.to_vec(), part.complete)),
                _ => None,
            }
        };
        let kept = Some((endless.to_vec(), false));
        assert_eq!(given(endless, Parser::finish_properly), kept);
        assert_eq!(given(endless, Parser::finish), None);
        assert_eq!(given(without_scan, Parser::finish_properly), None);
    }
}

#[test]
fn padding_behind_the_eoi_is_kept_whether_there_is_a_length_or_not() {
    let padded: Vec<_> = three()
        .into_iter()
        .map(|picture| [&picture[..], &[0; 40], b"\r\n\xFF\xFF"].concat())
        .collect();
    for head in [
        "--b\r\nContent-Length: LEN\r\n\r\n",
        "--b\r\nContent-Type: image/jpeg\r\n\r\n",
    ] {
        let stream = [stream_of(&padded, head, "\r\n"), b"--b\r\n".to_vec()].concat();
        assert_eq!(frames(Some("b"), &stream), padded);
        assert!(
            events(Some("b"), &stream, &[50])
                .iter()
                .all(|event| matches!(event, Event::Part(part) if part.complete))
        );
    }
}

#[test]
fn a_picture_without_eoi_is_kept_and_marked() {
    let pictures: Vec<_> = three()
        .into_iter()
        .map(|picture| picture[..picture.len() - 2].to_vec())
        .collect();
    for (head, last) in [
        ("--b\r\nContent-Length: LEN\r\n\r\n", "--b\r\n"),
        ("--b\r\nContent-Type: image/jpeg\r\n\r\n", "--b\r\n"),
        (
            "Content-Type: image/jpeg\r\nContent-Length: LEN\r\n\r\n",
            "Content-Type: image/jpeg\r\n",
        ),
    ] {
        let stream = [&stream_of(&pictures, head, "\r\n")[..], last.as_bytes()].concat();
        assert!(
            frames(Some("b"), &stream) == pictures,
            "{:?}",
            told(&events(Some("b"), &stream, &[50]))
        );
        assert!(
            events(Some("b"), &stream, &[50])
                .iter()
                .all(|event| matches!(event, Event::Part(part) if !part.complete))
        );
    }
}

#[test]
fn a_torn_picture_leaves_the_next_one_whole() {
    let [first, second, third] = [picture(1), picture(2), picture(3)];
    for cut in [3, 8, 20, 25, 40, 100, 200, second.len() - 1] {
        for length in ["Content-Length: LEN\r\n", ""] {
            let head = |picture: &[u8]| {
                format!("\r\n--b\r\n{TYPE}{length}\r\n")
                    .replace("LEN", &picture.len().to_string())
                    .into_bytes()
            };
            let stream = [
                &head(&first)[..],
                &first,
                &head(&second),
                &second[..cut],
                &head(&third),
                &third,
                b"\r\n--b\r\n",
            ]
            .concat();
            let found = frames(Some("b"), &stream);
            assert!(
                found.first() == Some(&first) && found.last() == Some(&third),
                "cut at {cut}, {length:?}: {:?}",
                told(&events(Some("b"), &stream, &[50]))
            );
            assert!(
                found.len() == 2 || found[1] == second[..cut],
                "cut at {cut}, {length:?}"
            );
        }
    }
}

#[test]
fn a_picture_whose_scan_header_is_damaged_takes_no_other_with_it() {
    let [mut first, second, third] = [picture(1), picture(2), picture(3)];
    let at = first
        .windows(2)
        .position(|pair| pair == [0xFF, 0xDA])
        .unwrap();
    first[at + 2] = 0xFF;
    for length in ["Content-Length: LEN\r\n", ""] {
        let head = format!("\r\n--b\r\n{TYPE}{length}\r\n");
        let pictures = [first.clone(), second.clone(), third.clone()];
        let mut stream = stream_of(&pictures, &head, "");
        stream.extend_from_slice(b"\r\n--b\r\n");
        let found = frames(Some("b"), &stream);
        assert!(
            found.ends_with(&[second.clone(), third.clone()]),
            "{length:?}"
        );
    }
}

#[test]
fn the_end_of_the_stream_keeps_a_whole_picture_and_drops_a_torn_one() {
    let picture = picture(1);
    for head in [
        "--b\r\nContent-Length: LEN\r\n\r\n",
        "--b\r\n\r\n",
        "--b\r\nContent-Length: 9999\r\n\r\n",
        "",
    ] {
        let stream = stream_of(std::slice::from_ref(&picture), head, "");
        assert_eq!(
            frames(None, &stream),
            std::slice::from_ref(&picture),
            "{head:?}"
        );
        let torn = events(None, &stream[..stream.len() - 3], &[100]);
        assert!(
            matches!(
                &torn[..],
                [Event::Skipped(Skipped {
                    reason: SkipReason::Torn,
                    ..
                })]
            ),
            "{torn:?}"
        );
    }
}

#[test]
fn parts_that_are_no_pictures_are_skipped_and_told() {
    let [first, second] = [picture(1), picture(2)];
    let stream = [
        &b"--b\r\nContent-Type: text/xml\r\n\r\n<state>started</state>\r\n--b\r\nContent-Length: 0\r\n\r\n\r\n--b\r\n"[..],
        format!("{TYPE}\r\n").as_bytes(),
        &first,
        b"\r\n--b\r\nContent-Type: text/plain\r\n\r\nprogress 50 %\r\n",
        format!("--b\r\n{TYPE}Content-Length: {}\r\n\r\n", second.len()).as_bytes(),
        &second,
        b"\r\n--b\r\nContent-Type: text/xml\r\n\r\n<state>closed</state>",
    ]
    .concat();
    assert_eq!(frames(Some("b"), &stream), [first, second]);
    let skipped: Vec<_> = events(Some("b"), &stream, &[33])
        .into_iter()
        .filter_map(|event| match event {
            Event::Skipped(skipped) => Some((skipped.reason, skipped.beginning)),
            Event::Part(_) => None,
        })
        .collect();
    let expected = [
        (SkipReason::NotPicture, &b"<state>started</state>\r\n"[..]),
        (SkipReason::Empty, b""),
        (SkipReason::NotPicture, b"progress 50 %\r\n"),
        (SkipReason::NotPicture, b"<state>closed</state>"),
    ];
    assert_eq!(
        skipped
            .iter()
            .map(|(reason, text)| (*reason, text.as_ref()))
            .collect::<Vec<_>>(),
        expected
    );
}

#[test]
fn a_part_that_is_no_picture_ends_at_the_next_header_line_where_there_are_no_delimiters() {
    for length in ["", "Content-Length: 9999\r\n", "Content-Length: 3\r\n"] {
        let text = format!("Content-Type: text/plain\r\n{length}\r\nprogress 50 %\r\n");
        let head = format!("{text}{TYPE}Content-Length: LEN\r\n\r\n");
        let stream = stream_of(&three(), &head, "\r\n");
        for boundary in [Some("b"), None] {
            assert_eq!(frames(boundary, &stream), three(), "{length}");
        }
        let skipped = events(None, &stream, &[33])
            .into_iter()
            .filter_map(|event| match event {
                Event::Skipped(skipped) => Some(skipped.beginning),
                Event::Part(_) => None,
            });
        assert_eq!(skipped.collect::<Vec<_>>(), vec!["progress 50 %\r\n"; 3]);
    }
}

#[test]
fn the_first_line_of_dashes_is_not_the_delimiter_for_ever() {
    let endless: Vec<_> = (0..5)
        .map(picture)
        .map(|picture| picture[..picture.len() - 2].to_vec())
        .collect();
    for (declared, line) in [
        (Some("camframe"), "--camframe"),
        (Some("camframe"), "--camframe 00001"),
        (Some("camframe"), "--camframe; n=1"),
        (Some("--camframe"), "--camframe"),
        (Some("camframe"), "--CamFrame"),
        (None, "--camframe"),
    ] {
        for greeting in ["--- stream begins ---\r\n\r\n", ""] {
            let parts = stream_of(&endless, &format!("{line}\r\n{TYPE}\r\n"), "\r\n");
            let stream = [greeting.as_bytes(), &parts, line.as_bytes(), b"\r\n"].concat();
            assert_eq!(frames(declared, &stream), endless, "{line} {greeting:?}");
        }
    }
}

#[test]
fn a_numbered_delimiter_is_the_declared_one() {
    let mut stream = Vec::new();
    let mut sent = Vec::new();
    for n in 0..4 {
        let picture = picture(n);
        let endless = &picture[..picture.len() - 2];
        stream.extend(format!("--camframe {n:05}\r\n{TYPE}\r\n").into_bytes());
        stream.extend([endless, b"\r\n"].concat());
        sent.push(endless.to_vec());
    }
    stream.extend(b"--camframe 00004\r\n");
    assert_eq!(frames(Some("camframe"), &stream), sent);
}

#[test]
fn what_is_no_picture_by_its_type_is_not_searched_for_one() {
    let pictures = [picture(1), picture(2)];
    let preview = [&b"RIFF\0\0"[..], &picture(3), b"\xFF\xD8\xFF\xE0 more"].concat();
    for (name, sought) in [
        ("image/webp", 0),
        ("application/x-metadata", 0),
        ("Audio/basic", 0),
        ("image/pjpeg", 1),
        ("image/jepg", 1),
        ("application/octet-stream", 1),
    ] {
        for length in ["Content-Length: LEN\r\n", ""] {
            let stream = [
                &pictures[..1],
                std::slice::from_ref(&preview),
                &pictures[1..],
            ]
            .iter()
            .zip(["image/jpeg", name, name])
            .flat_map(|(part, name)| {
                let head = format!("--b\r\nContent-Type: {name}\r\n{length}\r\n");
                stream_of(part, &head, "\r\n")
            })
            .collect::<Vec<_>>();
            let found = frames(Some("b"), &stream);
            assert_eq!(found.len(), 2 + sought, "{name} {length:?}");
            assert_eq!(found.last(), pictures.last(), "{name} {length:?}");
        }
    }
}

#[test]
fn what_is_no_picture_is_passed_over_whole_if_it_has_a_length() {
    let picture = picture(1);
    let filling = vec![b'x'; 100_000];
    let other = [&filling[..], b"\n\0\0", &picture, &filling].concat();
    let stream = [
        stream_of(
            &[other],
            "--b\r\nContent-Type: image/webp\r\nContent-Length: LEN\r\n\r\n",
            "\r\n",
        ),
        stream_of(std::slice::from_ref(&picture), "--b\r\n\r\n", "\r\n--b\r\n"),
    ]
    .concat();
    for size in [1000, stream.len()] {
        assert_eq!(
            payloads(&events(Some("b"), &stream, &[size])),
            std::slice::from_ref(&picture)
        );
    }
}

#[test]
fn headers_before_an_empty_line_in_the_middle_count_unless_they_come_again() {
    let picture = picture(1);
    let stamps = "X-Timestamp: 1\r\nX-Id: 7\r\n";
    for middle in ["\r\n", "-- \r\n", "--------\r\n"] {
        let head = format!("--b\r\n{stamps}{middle}Content-Length: LEN\r\nX-Timestamp: 2\r\n\r\n");
        let stream = stream_of(&[picture.clone(), picture.clone()], &head, "\r\n");
        assert_eq!(frames(Some("b"), &stream).len(), 2);
        for event in events(Some("b"), &stream, &[stream.len()]) {
            let Event::Part(part) = event else {
                panic!("{event:?}")
            };
            for (name, value) in [("x-timestamp", b"2"), ("x-id", b"7")] {
                assert_eq!(part.headers.get(name), Some(&value[..]), "{middle:?}");
            }
            assert!(
                !part
                    .headers
                    .raw()
                    .windows(4)
                    .any(|bytes| bytes == b"\r\n\r\n")
            );
        }
    }
}

#[test]
fn header_blocks_without_end_are_not_held() {
    let block = [TYPE, "X-Id: ", &"7".repeat(3000), "\r\n\r\n"].concat();
    let picture = picture(1);
    let stream = [b"--b\r\n", block.repeat(20).as_bytes(), &picture].concat();
    let found = events(Some("b"), &stream, &[1000]);
    let [Event::Part(part)] = &found[..] else {
        panic!("{:?}", told(&found))
    };
    assert_eq!(part.payload.to_vec(), picture);
    assert!(part.headers.raw().len() <= Limits::default().header_bytes_max);
}

#[test]
fn a_garbled_or_missing_boundary_costs_at_most_its_own_part() {
    let pictures: Vec<_> = (0..5).map(picture).collect();
    for length in ["Content-Length: LEN\r\n", ""] {
        for garbled in ["--garbled", "garbled", "\u{1}\u{2}garb", ""] {
            let mut stream = Vec::new();
            for (n, picture) in pictures.iter().enumerate() {
                let line = if n == 2 { garbled } else { "--b" };
                stream.extend_from_slice(
                    format!("{line}\r\n{TYPE}{length}\r\n")
                        .replace("LEN", &picture.len().to_string())
                        .as_bytes(),
                );
                stream.extend_from_slice(picture);
                stream.extend_from_slice(b"\r\n");
            }
            assert_eq!(
                frames(Some("b"), &stream),
                pictures,
                "{garbled:?} {length:?}"
            );
        }
    }
}

#[test]
fn endless_headers_and_parts_are_cut_off_and_the_next_part_is_found() {
    let limits = Limits {
        part_bytes_max: 10_000,
        header_bytes_max: 1000,
    };
    let picture = picture(1);
    let mut parser = Parser::new(Some(b"b"), limits);
    let mut reasons = Vec::new();
    let endless_scan = [&picture[..100], &[b'x'; 20_000]].concat();
    let good = stream_of(
        std::slice::from_ref(&picture),
        "\r\n--b\r\nContent-Length: LEN\r\n\r\n",
        "\r\n",
    );
    for stream in [
        &b"--b\r\n"[..],
        &b"X: y\r\n".repeat(500),
        &good,
        b"--b\r\n\r\n",
        &endless_scan,
        &good,
    ] {
        for piece in stream.chunks(700) {
            parser.push(Bytes::copy_from_slice(piece), 0);
            while let Some(event) = parser.poll() {
                match event {
                    Event::Part(part) => assert_eq!(part.payload.to_vec(), picture),
                    Event::Skipped(skipped) => reasons.push(skipped.reason),
                }
            }
            assert!(parser.pending_bytes() < 12_000);
        }
    }
    assert_eq!(reasons, [SkipReason::TooLarge, SkipReason::TooLarge]);
}

#[test]
fn line_ends_without_end_are_not_held() {
    for head in ["--b\r\n", "--b\r\nContent-Type: image/jpeg\r\n\r\n"] {
        let mut parser = Parser::new(Some(b"b"), Limits::default());
        parser.push(Bytes::from(head), 7);
        for _ in 0..100 {
            parser.push(Bytes::from("\r\n".repeat(1000)), 7);
            assert_eq!(parser.poll(), None);
            assert!(parser.pending_bytes() <= LINE_END_MAX);
        }
        let jpeg = picture(3);
        parser.push([jpeg.as_slice(), b"\r\n--b\r\n"].concat().into(), 7);
        let events: Vec<_> = std::iter::from_fn(|| parser.poll()).collect();
        assert_eq!(payloads(&events), [jpeg]);
    }
}

#[test]
fn what_is_searched_for_is_found_wherever_it_begins() {
    let jpeg = picture(3);
    for length in (1000..1100).chain(3000..3100).chain(7100..7200) {
        let text = ["a".repeat(length).as_bytes(), b"\r\n"].concat();
        let head = "--b\r\nContent-Type: image/jpeg\r\n\r\n";
        let part = [head.as_bytes(), &jpeg, b"\r\n"].concat();
        let before_delimiter = [head.as_bytes(), &text, &part].concat();
        let before_soi = [head.as_bytes(), &text, &part[head.len()..]].concat();
        for stream in [before_delimiter, before_soi] {
            let events = events(Some("b"), &stream, &[stream.len()]);
            assert_eq!(payloads(&events), [jpeg.as_slice()], "{length}");
        }
    }
}

#[test]
fn delimiter_of_dashes_alone_is_the_same_however_the_bytes_come() {
    for stream in [
        &b"-----Content-Length:\n\r-\xff\xd8\xff------------Content-Length:"[..],
        b"------Content-Length:\n\r-\xff\xd8\xff--------Content-Length:",
        b"------\r\nContent-Type: text/plain\r\n\r\nx---------Content-Type: text/plain\r\n\r\n",
    ] {
        assert_eq!(frames(None, stream), Vec::<Vec<u8>>::new());
    }
}

#[test]
fn delimiter_with_an_soi_inside_is_the_same_however_the_bytes_come() {
    let stream = b"--c\xFF\xD8\xFF\n\nx\r\n--c\xFF\xD8\xFF\n#";
    assert_eq!(frames(None, stream), Vec::<Vec<u8>>::new());
}

#[test]
fn a_quiet_camera_gets_its_last_picture_out() {
    let picture = picture(1);
    for head in ["--b\r\n\r\n", "--b\r\nContent-Length: 2000\r\n\r\n"] {
        let stream = stream_of(&[picture.clone(), picture.clone()], head, "\r\n");
        let mut parser = Parser::new(Some(b"b"), Limits::default());
        parser.push(stream[..head.len() + picture.len()].to_vec().into(), 5);
        assert_eq!(parser.poll(), None);
        parser.settle();
        assert!(
            matches!(parser.poll(), Some(Event::Part(part)) if part.payload.to_vec() == picture && part.received_us == 5)
        );
        parser.push(stream[head.len() + picture.len()..].to_vec().into(), 9);
        parser.settle();
        assert!(
            matches!(parser.poll(), Some(Event::Part(part)) if part.payload.to_vec() == picture)
        );
    }
}

#[test]
fn padding_is_the_pictures_whether_or_not_the_next_delimiter_is_there() {
    let picture = picture(1);
    let second = jpeg(&[], &scan(50, 2));
    let padding = [&[0xFF; 30][..], &[0x11; 10]].concat();
    for behind in [padding, second.clone(), [&second[..], b"\0\0"].concat()] {
        let padded = [&picture[..], &behind].concat();
        let stream = stream_of(
            std::slice::from_ref(&padded),
            &format!("--b\r\n{TYPE}\r\n"),
            "\r\n",
        );
        let given = |end: fn(&mut Parser)| {
            let mut parser = Parser::new(Some(b"b"), Limits::default());
            parser.push(stream.clone().into(), 5);
            assert_eq!(parser.poll(), None);
            end(&mut parser);
            let events: Vec<_> = std::iter::from_fn(|| parser.poll()).collect();
            payloads(&events)
        };
        let expected = [padded];
        assert_eq!(
            given(|parser| parser.push(Bytes::from_static(b"--b\r\n"), 6)),
            expected
        );
        assert_eq!(given(Parser::settle), expected);
        assert_eq!(given(Parser::finish), expected);
    }
}

#[test]
fn half_a_delimiter_is_no_padding_when_silence_follows_it() {
    let padded = [&picture(1)[..], &[0; 8]].concat();
    let head = format!("--bound\r\n{TYPE}\r\n");
    let stream = stream_of(&[padded.clone(), padded.clone()], &head, "\r\n");
    let end = head.len() + padded.len();
    for begun in 1..=9 {
        let mut parser = Parser::new(None, Limits::default());
        parser.push(stream[..end + begun].to_vec().into(), 5);
        assert_eq!(parser.poll(), None);
        parser.settle();
        let mut found = payloads(&Vec::from_iter(parser.poll()));
        parser.push(stream[end + begun..].to_vec().into(), 6);
        parser.settle();
        found.extend(payloads(&Vec::from_iter(parser.poll())));
        assert_eq!(found, [&padded[..], &padded], "{begun}");
    }
}

#[test]
fn a_second_picture_that_came_in_part_is_not_torn_by_silence() {
    let (first, second) = (picture(1), picture(2));
    let mut parser = Parser::new(Some(b"b"), Limits::default());
    parser.push(
        [&b"--b\r\n\r\n"[..], &first, &second[..100]]
            .concat()
            .into(),
        5,
    );
    assert_eq!(parser.poll(), None);
    parser.settle();
    let mut found = payloads(&Vec::from_iter(parser.poll()));
    parser.push([&second[100..], b"\r\n--b\r\n"].concat().into(), 6);
    found.extend(payloads(&Vec::from_iter(parser.poll())));
    assert_eq!(found, [first, second]);
}

#[test]
fn a_picture_that_announces_a_second_is_one_with_it() {
    let first = jpeg(&[(0xE2, b"MPF\0II*\0")], &scan(300, 4));
    // More than padding may be.
    let both = [&first[..], &jpeg(&[], &scan(100_000, 5))].concat();
    let sent = [both.clone(), first.clone(), picture(2), both.clone()];
    for head in ["--b\r\nContent-Type: image/jpeg\r\n\r\n", "--b\r\n\r\n"] {
        let stream = [&stream_of(&sent, head, "\r\n")[..], b"--b\r\n"].concat();
        for size in [700, stream.len()] {
            assert_eq!(payloads(&events(Some("b"), &stream, &[size])), sent);
        }
    }
    for size in [1, 700] {
        assert_eq!(snapshot(None, &both, size), [(both.clone(), true)]);
        assert_eq!(snapshot(None, &first, size), [(first.clone(), true)]);
        let cut = snapshot(None, &both[..both.len() - 9], size);
        assert_eq!(cut, [(first.clone(), true)]);
    }
}

#[test]
fn a_picture_that_announces_a_second_is_not_held_when_none_comes() {
    let first = jpeg(&[(0xE2, b"MPF\0II*\0")], &scan(300, 4));
    let mut parser = Parser::new(None, Limits::default());
    parser.expect_picture(None);
    parser.push(first.clone().into(), 5);
    assert_eq!(parser.poll(), None);
    parser.settle();
    assert_eq!(payloads(&Vec::from_iter(parser.poll())), [first]);
}

#[test]
fn a_second_picture_within_the_length_is_not_torn_off_by_silence() {
    let both = [picture(1), picture(2)].concat();
    let head = format!("--b\r\nContent-Length: {}\r\n\r\n", both.len());
    for silent in [picture(1).len() + 2, picture(1).len() + 100, both.len() - 1] {
        let mut parser = Parser::new(Some(b"b"), Limits::default());
        for _ in 0..2 {
            parser.push([head.as_bytes(), &both[..silent]].concat().into(), 5);
            assert_eq!(parser.poll(), None);
            parser.settle();
            assert_eq!(parser.poll(), None);
            parser.push([&both[silent..], b"\r\n"].concat().into(), 6);
            let found = Vec::from_iter(parser.poll());
            assert_eq!(payloads(&found), std::slice::from_ref(&both), "{silent}");
        }
    }
}

#[test]
fn silence_within_a_length_tears_nothing_off_once_lengths_have_been_right_for_long() {
    let head = |length: usize| format!("--b\r\nContent-Length: {length}\r\n\r\n");
    let padded = [&picture(1)[..], &[0; 4000]].concat();
    let part = [head(padded.len()).as_bytes(), &padded, b"\r\n"].concat();
    let mut parser = Parser::new(Some(b"b"), Limits::default());
    parser.push(part.repeat(16).into(), 5);
    parser.push(head(padded.len()).into(), 5);
    assert_eq!(std::iter::from_fn(|| parser.poll()).count(), 16);
    for piece in padded.chunks(1500) {
        parser.push(piece.to_vec().into(), 6);
        let event = parser.poll();
        parser.settle();
        let found = payloads(&Vec::from_iter(event.or(parser.poll())));
        assert!(found.iter().all(|found| *found == padded), "a part of it");
    }
    // One that lies all the same costs no picture.
    let lies = [head(9000).as_bytes(), &picture(2), b"\r\n"].concat();
    parser.push([b"\r\n", &lies[..]].concat().into(), 7);
    parser.settle();
    assert_eq!(parser.poll(), None);
    parser.push(part.repeat(3).into(), 8);
    parser.finish();
    let rest: Vec<_> = std::iter::from_fn(|| parser.poll()).collect();
    let lengths: Vec<_> = payloads(&rest).iter().map(Vec::len).collect();
    let padded = padded.len();
    assert_eq!(lengths, [picture(2).len(), padded, padded, padded]);
}

/// Line ends before a picture that its length counts in: it then ends behind the line end after it.
#[test]
fn a_line_end_within_the_length_is_left_out_whether_or_not_the_next_delimiter_is_there() {
    let picture = picture(1);
    let head = format!("--b\r\nContent-Length: {}\r\n\r\n\r\n", picture.len() + 2);
    let stream = [head.as_bytes(), &picture, b"\r\n"].concat();
    let given = |end: fn(&mut Parser)| {
        let mut parser = Parser::new(Some(b"b"), Limits::default());
        parser.push(stream.clone().into(), 5);
        assert_eq!(parser.poll(), None);
        end(&mut parser);
        match parser.poll() {
            Some(Event::Part(part)) => part.payload.to_vec(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        given(|parser| parser.push(Bytes::from_static(b"--b\r\n"), 6)),
        picture
    );
    assert_eq!(given(Parser::settle), picture);
    assert_eq!(given(Parser::finish), picture);
}

#[test]
fn filler_before_a_picture_is_no_part_of_it_whether_or_not_its_length_counts_it() {
    let whole = picture(1);
    let padded = [&whole[..], b"\0\0\0"].concat();
    let endless = whole[..whole.len() - 2].to_vec();
    for filler in ["", "\r\n", "\0", "\r\n\0", "\0\0\0\0", "\0\r\n\r\n"] {
        for (sent, counted) in [&whole, &padded, &endless]
            .map(|sent| [(sent, 0), (sent, filler.len())])
            .concat()
        {
            for delimiter in ["", "--b\r\n"] {
                let head = format!(
                    "{delimiter}{TYPE}Content-Length: {}\r\n\r\n{filler}",
                    sent.len() + counted
                );
                let stream = [head.as_bytes(), sent, b"\r\n"].concat().repeat(3);
                for size in [1, 7, stream.len()] {
                    let found = payloads(&events(Some("b"), &stream, &[size]));
                    assert!(
                        found == vec![sent.clone(); 3],
                        "{head:?}, {} bytes, by {size}",
                        sent.len()
                    );
                }
            }
        }
    }
}

#[test]
fn silence_where_a_length_that_counts_filler_would_end_tears_no_picture_whose_length_does_not() {
    let picture = picture(1);
    for filler in ["\r\n", "\r\n\0"] {
        let head = format!("--b\r\nContent-Length: {}\r\n\r\n{filler}", picture.len());
        let part = [head.as_bytes(), &picture, b"\r\n--b\r\n"].concat();
        let (before, after) = part.split_at(part.len() - 7 - filler.len());
        let mut parser = Parser::new(Some(b"b"), Limits::default());
        parser.push(Bytes::copy_from_slice(before), 5);
        assert_eq!(parser.poll(), None);
        parser.settle();
        assert_eq!(parser.poll(), None);
        parser.push(Bytes::copy_from_slice(after), 6);
        let found: Vec<_> = std::iter::from_fn(|| parser.poll()).collect();
        assert_eq!(payloads(&found), [&picture[..]]);

        // Nor does the end of the stream make it one that counts.
        let found = events(Some("b"), before, &[before.len()]);
        assert_eq!(payloads(&found), [[0; 0]; 0]);
    }
}

#[test]
fn offset_and_arrival_are_those_of_the_payload() {
    let picture = picture(1);
    let stream = stream_of(std::slice::from_ref(&picture), "--b\r\n\r\n", "\r\n");
    let mut parser = Parser::new(None, Limits::default());
    parser.push(stream[..300].to_vec().into(), 10);
    parser.push(stream[300..stream.len() - 2].to_vec().into(), 20);
    assert_eq!(parser.poll(), None);
    parser.push(b"\r\n--b\r\n".to_vec().into(), 30);
    assert!(
        matches!(parser.poll(), Some(Event::Part(part)) if part.offset == 7 && part.received_us == 20)
    );
}

#[test]
fn with_a_good_length_the_payload_is_the_input_itself() {
    let picture = jpeg(&[], &scan(20_000, 1));
    let input = Bytes::from(stream_of(
        std::slice::from_ref(&picture),
        "--b\r\nContent-Length: LEN\r\n\r\n",
        "\r\n",
    ));
    let mut parser = Parser::new(Some(b"b"), Limits::default());
    parser.push(input.clone(), 0);
    let Some(Event::Part(part)) = parser.poll() else {
        unreachable!("a part with both its ends is handed out at once")
    };
    let range = input.as_ptr() as usize..input.as_ptr() as usize + input.len();
    assert!(
        part.payload
            .slices()
            .iter()
            .all(|slice| range.contains(&(slice.as_ptr() as usize)))
    );
    assert_eq!(part.payload.slices().len(), 1);
}

prop_compose! {
    /// A stream of pieces that are each likely, in an order that is not.
    fn odd_stream()(pieces in prop::collection::vec(prop_oneof![
        Just(b"--b\r\n".to_vec()), Just(b"--b--\r\n".to_vec()), Just(b"--c\n".to_vec()), Just(b"\r\n".to_vec()), Just(b"\n".to_vec()), Just(b"\r".to_vec()), Just(b"\r\r\n".to_vec()),
        Just(b"Content-Type: image/jpeg\r\n".to_vec()), Just(b"Content-Type: text/plain\r\n".to_vec()),
        (0u32..700).prop_map(|n| format!("Content-Length: {n}\r\n").into_bytes()),
        any::<u32>().prop_map(picture),
        (any::<u32>(), 0usize..300).prop_map(|(seed, cut)| picture(seed)[..cut].to_vec()),
        prop::collection::vec(any::<u8>(), 0..30),
        prop::collection::vec(any::<u8>(), 0..30).prop_map(|inside| [b"\xFF\xD8", &inside[..], b"\xFF\xD9"].concat()),
        any::<u32>().prop_map(|seed| jpeg(&[(0xE1, &picture(seed))], &scan(20, seed))), Just(vec![0; 2]),
        any::<u32>().prop_map(|seed| jpeg(&[(0xE2, b"MPF\0")], &scan(20, seed))),
        Just(b"--b 01\r\n".to_vec()), Just(b"Content-Type: audio/basic\r\n".to_vec()), Just(b"\xFF\xD8\xFF\xE0\x01".to_vec()),
        Just(vec![0xFF; 5]), Just(vec![0; 70]), Just(b"Content-T".to_vec()), Just(b"--".to_vec()),
    ], 0..20)) -> Vec<u8> { pieces.concat() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn any_split_gives_the_same_events(stream in odd_stream(), sizes in prop::collection::vec(1usize..400, 1..8), declared in any::<bool>()) {
        let boundary = declared.then_some("b");
        let whole = events(boundary, &stream, &[stream.len().max(1)]);
        prop_assert_eq!(told(&events(boundary, &stream, &sizes)), told(&whole), "{}", stream.escape_ascii());
        prop_assert_eq!(told(&events(boundary, &stream, &[1])), told(&whole), "{}", stream.escape_ascii());
    }

    #[test]
    fn any_split_gives_the_same_events_at_every_limit(stream in odd_stream(), sizes in prop::collection::vec(1usize..400, 1..8), part_bytes_max in 1usize..800, header_bytes_max in 1usize..200) {
        let limits = Limits { part_bytes_max, header_bytes_max };
        let whole = events_within(limits, Some("b"), &stream, &[stream.len().max(1)]);
        prop_assert_eq!(told(&events_within(limits, Some("b"), &stream, &sizes)), told(&whole), "{}", stream.escape_ascii());
    }

    #[test]
    fn any_split_of_a_snapshot_gives_the_same_pictures(body in odd_stream(), length in prop::option::of(0u64..1500), size in 1usize..400) {
        prop_assert_eq!(snapshot(length, &body, size), snapshot(length, &body, body.len().max(1)), "{}", body.escape_ascii());
    }

    #[test]
    fn pictures_behind_junk_come_out(junk in prop::collection::vec(any::<u8>(), 0..200), seeds in prop::collection::vec(any::<u32>(), 4..6), with_length: bool) {
        let pictures: Vec<_> = seeds.into_iter().map(picture).collect();
        let head = if with_length { "\r\n--b\r\nContent-Length: LEN\r\n\r\n" } else { "\r\n--b\r\nContent-Type: image/jpeg\r\n\r\n" };
        let stream = [junk, stream_of(&pictures, head, "\r\n")].concat();
        let found = payloads(&events(Some("b"), &stream, &[64]));
        prop_assert!(found.ends_with(&pictures[1..]), "{} frames", found.len());
    }
}

#[test]
fn lines_that_begin_with_dashes_are_no_evidence_of_pictures_by_themselves() {
    let page = "<html>\n<!-- one\n-->\n<title>Login</title>\n\n<!-- two\n-->\n\n</html>\n";
    for (declared, body, expected) in [
        (Some("b"), page, false),
        (None, "--b\r\n", false),
        (Some("b"), "--b\r\n", true),
        (Some("b"), "b\r\n", true),
        (
            None,
            "--b\r\nX-Frame: 1\r\ncontent-type: image/jpeg\r\n\r\n",
            true,
        ),
        (None, "--bContent-Type: image/jpeg\r\n\r\n", true),
        (None, "Content-Type: image/jpeg\r\n", true),
        (None, "--b\r\n\r\n\u{FFFD}", false),
    ] {
        let mut parser = Parser::new(declared.map(str::as_bytes), Limits::default());
        parser.push(Bytes::copy_from_slice(body.as_bytes()), 7);
        while parser.poll().is_some() {}
        assert_eq!(parser.has_evidence(), expected, "{body}");
    }
    let mut parser = Parser::new(None, Limits::default());
    parser.push(Bytes::from_static(b"--b\r\n\r\n\xFF\xD8"), 7);
    assert!(parser.poll().is_none() && parser.has_evidence());
}

#[test]
fn picture_seeks_its_end_where_only_what_follows_tells_it() {
    let picture = jpeg(&[], &scan(1000, 4));
    let padded = [&picture[..], b"pad"].concat();
    let length = |bytes: &[u8]| format!("Content-Length: {}\r\n", bytes.len());
    // Whether it does half-way, and when all of it is there.
    let cases = [
        (length(&picture), &picture, (false, false)),
        (length(&padded), &padded, (false, true)),
        (String::new(), &picture, (true, true)),
    ];
    for (length, payload, (half_way, whole)) in cases {
        let mut parser = Parser::new(Some(b"b"), Limits::default());
        let mut push = |bytes: &[u8]| {
            parser.push(Bytes::copy_from_slice(bytes), 7);
            let parts = std::iter::from_fn(|| parser.poll()).count();
            (parts, parser.seeks_end())
        };
        push(format!("--b\r\n{length}\r\n").as_bytes());
        assert_eq!(push(&payload[..500]), (0, half_way), "{length}");
        let after = push(&payload[500..]);
        assert_eq!(after, (usize::from(!whole), whole), "{length}");
        let last = push(b"\r\n--b\r\n");
        assert_eq!((after.0 + last.0, last.1), (1, false), "{length}");
    }
}
