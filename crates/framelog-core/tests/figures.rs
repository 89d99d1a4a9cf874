//! What docs/reliability.md says of the parser, in a short form with the other tests and in the long one by its command:
//! `cargo test -p framelog-core --release --test figures -- --ignored --nocapture`.

use std::ops::Range;
use std::process::Command;

use bytes::Bytes;
use framelog_core::multipart::{Event, Limits, Parser};

#[path = "../benches/parser/picture.rs"]
mod picture;

use picture::picture;

const SEED: u64 = 20_260;

/// What the parser says of a stream in pieces that end at the cuts. A frame's arrival is the number of the piece that brought its last byte.
fn events(boundary: Option<&[u8]>, stream: &Bytes, cuts: &[usize]) -> Vec<Event> {
    let mut parser = Parser::new(boundary, Limits::default());
    let mut events = Vec::new();
    let mut start = 0;
    for (n, end) in (0..).zip(cuts.iter().copied().chain([stream.len()])) {
        parser.push(stream.slice(start..end), n);
        events.extend(std::iter::from_fn(|| parser.poll()));
        start = end;
    }
    parser.finish();
    events.extend(std::iter::from_fn(|| parser.poll()));
    events
}

fn commit() -> String {
    let told = Command::new("git")
        .args(["describe", "--always", "--dirty", "--exclude=*"])
        .output();
    match told {
        Ok(told) if told.status.success() => {
            String::from_utf8_lossy(&told.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    }
}

/// A picture of a few bytes: a scan's head, some data and an EOI.
fn stamp(data: &[u8]) -> Vec<u8> {
    [&b"\xFF\xD8\xFF\xDA\x00\x03\x01"[..], data, b"\xFF\xD9"].concat()
}

/// A name, the boundary as declared, and the stream.
type Sample = (&'static str, Option<&'static [u8]>, Vec<u8>);

/// Streams of some 180 bytes, so that three cuts make a million chunkings of each: what cameras send right and wrong.
fn samples() -> Vec<Sample> {
    let pictures = [&b"one"[..], b"\xFF\x00tw\xFF\xD0o", b"--b", b"\r\n4"].map(stamp);
    let stream = |head: &str, tail: &str| {
        let part = |picture: &Vec<u8>| {
            let head = head.replace("LEN", &picture.len().to_string());
            [head.as_bytes(), picture, tail.as_bytes()].concat()
        };
        pictures.iter().map(part).collect::<Vec<_>>().concat()
    };
    let [one, two, three, _] = pictures.each_ref();
    vec![
        (
            "right lengths",
            Some(b"b"),
            stream("--b\r\nContent-Length: LEN\r\n\r\n", "\r\n"),
        ),
        (
            "no lengths",
            Some(b"b"),
            stream("--b\r\nX-Timestamp: 17.5\r\n\r\n", "\r\n"),
        ),
        (
            "lengths too short",
            Some(b"b"),
            stream("--b\r\nContent-Length: 7\r\n\r\n", "\r\n"),
        ),
        (
            "lengths too long",
            Some(b"b"),
            stream("--b\r\nContent-Length: 40\r\n\r\n", "\r\n"),
        ),
        (
            "line feeds, no boundary known",
            None,
            stream("--x-y-z\nContent-Length: LEN\n\n", "\n"),
        ),
        (
            "pictures alone, with zeros between",
            None,
            [stream("", ""), stream("", "\0\0\0\0")].concat(),
        ),
        (
            "text, nothing, a torn picture",
            Some(b"b"),
            [
                &b"junk\r\n--b\r\nContent-Type: text/xml\r\n\r\n<a/>\r\n--b\r\n\r\n\r\n--b\r\n\r\n"
                    [..],
                one,
                b"\r\n--b\r\nContent-Length: 12\r\n\r\n",
                &two[..9],
                b"\r\n--b\r\nContent-Length: 12\r\n\r\n",
                three,
                b"\r\n--b--\r\n",
            ]
            .concat(),
        ),
    ]
}

/// Tries every chunking of the samples with up to so many cuts, and says how many there were.
fn split_everywhere(cuts_max: usize) -> u64 {
    let mut tried = 0;
    for (name, boundary, stream) in samples() {
        let stream = Bytes::from(stream);
        let whole = events(boundary, &stream, &[]);
        let frames = whole
            .iter()
            .filter(|event| matches!(event, Event::Part(_)))
            .count();
        assert!(frames >= 2, "{name}: {whole:?}");
        let mut cuts = Vec::new();
        while next_cuts(&mut cuts, cuts_max, stream.len()) {
            let mut expected = whole.clone();
            for event in &mut expected {
                if let Event::Part(part) = event {
                    let last = part.offset as usize + part.payload.len() - 1;
                    part.received_us = cuts.iter().filter(|&&cut| cut <= last).count() as i64;
                }
            }
            assert_eq!(
                events(boundary, &stream, &cuts),
                expected,
                "{name}, cut at {cuts:?}"
            );
            tried += 1;
        }
    }
    tried
}

/// Goes on to the next set of up to `most` cuts between the bytes of a stream, in order; false after the last.
fn next_cuts(cuts: &mut Vec<usize>, most: usize, len: usize) -> bool {
    let last = cuts.last().copied().unwrap_or(0);
    if cuts.len() < most && last + 1 < len {
        cuts.push(last + 1);
        return true;
    }
    while let Some(cut) = cuts.pop() {
        if cut + 1 < len {
            cuts.push(cut + 1);
            return true;
        }
    }
    false
}

#[test]
fn every_chunking_gives_the_same_frames() {
    assert!(split_everywhere(2) > 50_000);
}

#[test]
#[ignore = "the long form, for the figure"]
fn figure_27_every_chunking_of_up_to_three_cuts() {
    let tried = split_everywhere(3);
    println!(
        "figure 27: {tried} chunkings of {} streams, the same frames each time; every one there is, no seed; commit {}",
        samples().len(),
        commit()
    );
}

/// What lengths that are wrong cost.
#[derive(Debug, Default)]
struct Cost {
    streams: u64,
    lies: u64,
    frames_lost: u64,
    most_lost_per_lie: f64,
    /// Streams with a length that ends exactly where a later picture ends: all between is one payload, and what comes after it is found.
    exact_spans: u64,
}

/// Streams of six pictures, in which one part lies about its length, or four do.
fn lie(by: impl Iterator<Item = i64> + Clone) -> Cost {
    let mut cost = Cost::default();
    let small: Vec<Vec<u8>> = (0..6u8).map(|n| stamp(&[n; 290])).collect();
    let large = |size: usize| {
        (0..6usize)
            .map(move |n| picture(size + 37 * n, SEED + n as u64))
            .collect()
    };
    for pictures in [small, large(1_100), large(3_000), large(20_000)] {
        for tail in ["\r\n", ""] {
            for by in by.clone().filter(|by| *by != 0) {
                for lying in [2..3, 1..5] {
                    try_lie(&pictures, tail, by, lying, &mut cost);
                }
            }
        }
    }
    cost
}

/// Sends the pictures, those of `lying` with a length that is wrong by `by` bytes.
fn try_lie(pictures: &[Vec<u8>], tail: &str, by: i64, lying: Range<usize>, cost: &mut Cost) {
    let (mut stream, mut ends, mut claimed_ends) = (Vec::new(), Vec::new(), Vec::new());
    for (n, picture) in pictures.iter().enumerate() {
        let length = picture.len() as i64 + if lying.contains(&n) { by } else { 0 };
        stream.extend(format!("--b\r\nContent-Length: {length}\r\n\r\n").bytes());
        claimed_ends.push(stream.len() as i64 + length);
        stream.extend_from_slice(picture);
        ends.push(stream.len() as i64);
        stream.extend_from_slice(tail.as_bytes());
    }
    let is_exact = lying
        .clone()
        .any(|n| ends[n + 1..].contains(&claimed_ends[n]));
    let stream = Bytes::from(stream);
    let cuts: Vec<usize> = (1..)
        .map(|n| n * 1460)
        .take_while(|&cut| cut < stream.len())
        .collect();
    let mut found = Vec::new();
    for event in events(Some(b"b"), &stream, &cuts) {
        if let Event::Part(part) = event {
            found.push(part.payload.to_vec());
        }
    }
    cost.streams += 1;
    cost.lies += lying.len() as u64;
    if is_exact {
        cost.exact_spans += 1;
        assert!(
            found
                .last()
                .is_some_and(|found| found.ends_with(&pictures[5]))
        );
        return;
    }
    assert_eq!(
        found.last(),
        pictures.last(),
        "{tail:?}, {by}: never found back"
    );
    let lost = pictures
        .iter()
        .filter(|picture| !found.contains(picture))
        .count();
    cost.frames_lost += lost as u64;
    cost.most_lost_per_lie = cost.most_lost_per_lie.max(lost as f64 / lying.len() as f64);
}

#[test]
fn a_wrong_length_costs_one_frame_at_most() {
    let cost = lie((-1000..=1000).step_by(166));
    assert!(cost.most_lost_per_lie <= 1.0, "{cost:?}");
}

#[test]
#[ignore = "the long form, for the figure"]
fn figure_28_lengths_wrong_by_up_to_a_thousand_bytes() {
    let cost = lie(-1000..=1000);
    println!(
        "figure 28: {cost:?}; found back each time; seed {SEED}, commit {}",
        commit()
    );
    assert!(cost.most_lost_per_lie <= 1.0);
}
