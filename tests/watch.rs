//! Footage over HTTP: what is answered is what was recorded, whoever asks, however slowly.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use framelog_core::clock::ClockKind;
use framelog_core::frame::{Codec, Frame};
use rustix::process::Signal;
use serde_json::Value;

use crate::h26x::{S, T, footage, recorded};
use crate::support::account::assert_all_stored;
use crate::support::camera::{Camera, Listen, live};
use crate::support::daemon::{Daemon, Place};
use crate::support::elementary::{assert_decodes, packets};
use crate::support::index::Row;
use crate::support::jpeg::Jpeg;
use crate::support::{free_port, now_us};

const LIMIT: Duration = Duration::from_secs(20);

/// A running recorder that is asked.
struct Recorder {
    place: Place,
    daemon: Daemon,
    port: u16,
}

/// An answer, whole.
struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Recorder {
    /// Runs on this place's storage directory, with these cameras.
    fn run(place: Place, cameras: &str) -> Self {
        let port = free_port();
        place.write_config(&format!(
            "[storage]\npath = {:?}\n\n[http]\nlisten = \"127.0.0.1:{port}\"\n\n{cameras}",
            place.storage()
        ));
        let daemon = place.run();
        let recorder = Self {
            place,
            daemon,
            port,
        };
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err()
            || recorder.get("/api/status").code() != 200
        {
            assert!(begin.elapsed() < LIMIT, "{}", recorder.place.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        recorder
    }

    /// Asks, and doesn't read.
    fn ask(&self, target: &str) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream
            .write_all(format!("GET {target} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").as_bytes())
            .expect("it reads");
        stream
    }

    fn get(&self, target: &str) -> Answer {
        let mut bytes = Vec::new();
        let mut stream = self.ask(target);
        stream.read_to_end(&mut bytes).expect("it answers");
        Answer::of(&bytes)
    }

    fn json(&self, target: &str) -> Value {
        let answer = self.get(target);
        assert_eq!(answer.code(), 200, "{target}: {}", answer.text());
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    fn rows(&self) -> Vec<Row> {
        self.place.index().expect("an index").rows_of("gate")
    }

    fn stop(self) {
        let status = self.daemon.stop(Duration::from_secs(10));
        assert!(
            status.expect("a stop in time").success(),
            "{}",
            self.place.log()
        );
    }
}

impl Answer {
    fn of(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let (head, body) = bytes.split_at(end.expect("a whole head") + 4);
        Self {
            head: String::from_utf8_lossy(head).into_owned(),
            body: body.to_vec(),
        }
    }

    fn code(&self) -> u16 {
        let code = self.head.split(' ').nth(1);
        code.and_then(|code| code.parse().ok()).expect("a status")
    }

    fn field(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut found = lines.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        found.next().map_or("", |(_, value)| value)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A place whose camera `gate` sent these JPEGs 100 ms apart from `T` on, twenty to a segment, and twenty more an hour later.
fn recorded_jpegs(jpegs: &[Vec<u8>]) -> Place {
    let frame = |(n, jpeg): (usize, &Vec<u8>)| {
        let hours = i64::from(n >= 40);
        let captured_us = T + n as i64 * S / 10 + hours * 3600 * S;
        (mjpeg(jpeg, captured_us), n.is_multiple_of(20))
    };
    recorded(&jpegs.iter().enumerate().map(frame).collect::<Vec<_>>())
}

/// A frame as a camera with a good clock sends it.
fn mjpeg(jpeg: &[u8], captured_us: i64) -> Frame {
    Frame {
        payload: Bytes::copy_from_slice(jpeg).into(),
        codec: Codec::Mjpeg,
        parameters: None,
        captured_us,
        received_us: captured_us,
        clock: ClockKind::Camera,
        offset_us: 0,
        keyframe: true,
        complete: true,
    }
}

/// The payloads of a multipart stream, as far as they are whole.
fn pictures(mut stream: &[u8]) -> Vec<&[u8]> {
    let mut pictures = Vec::new();
    while let Some(end) = stream.windows(4).position(|four| four == b"\r\n\r\n") {
        let (head, rest) = stream.split_at(end + 4);
        let head = std::str::from_utf8(head).expect("a part's head");
        let length = head.split("Content-Length: ").nth(1).expect("a length");
        let length = length.lines().next().and_then(|length| length.parse().ok());
        let Some(picture) = rest.get(..length.expect("a number")) else {
            break;
        };
        pictures.push(picture);
        stream = rest.get(picture.len() + 2..).unwrap_or_default();
    }
    pictures
}

fn different_jpegs() -> Vec<Vec<u8>> {
    (0..60).map(|seed| Jpeg::new(seed).bytes()).collect()
}

#[test]
fn a_moment_is_answered_with_its_frame() {
    let jpegs = different_jpegs();
    let recorder = Recorder::run(recorded_jpegs(&jpegs), "");
    let frame = |query: &str| recorder.get(&format!("/api/cameras/gate/frame{query}"));
    for (at_us, nth) in [
        (T, 0),
        (T + 7 * S / 10 + 49_999, 7),
        (0, 0),
        (T + 600 * S, 39),
    ] {
        let answer = frame(&format!("?at_us={at_us}"));
        assert_eq!(answer.code(), 200, "{}", answer.text());
        assert!(answer.body == jpegs[nth], "{at_us}: not picture {nth}");
        let captured_us = T + nth as i64 * S / 10;
        assert_eq!(answer.field("x-captured-us"), captured_us.to_string());
        assert_eq!(answer.field("content-type"), "image/jpeg");
        assert_eq!(answer.field("x-codec"), "mjpeg");
    }
    assert!(frame("").body == jpegs[59], "the newest without a time");
    for (query, word) in [
        ("?at_us=yesterday", "microseconds"),
        ("?at=1", "at_us"),
        ("?x%0Ay=1", "at_us"),
    ] {
        let answer = frame(query);
        assert_eq!(answer.code(), 400, "{query}");
        let said = answer.text();
        assert!(said.contains(word) && said.lines().count() == 1, "{said}");
    }
    let unknown = recorder.get("/api/cameras/gat/frame");
    assert_eq!(unknown.code(), 404);
    assert!(
        unknown.text().contains("no such camera"),
        "{}",
        unknown.text()
    );
    recorder.stop();
}

#[test]
fn pictures_without_huffman_tables_are_shown_with_them() {
    let plain = Jpeg::new(1).without_huffman_tables().bytes();
    let recorder = Recorder::run(recorded_jpegs(std::slice::from_ref(&plain)), "");
    let answer = recorder.get("/api/cameras/gate/frame");
    assert!(answer.body.len() > plain.len());
    let stream = recorder.get(&format!(
        "/api/cameras/gate/stream?from_us={T}&to_us={}",
        T + 1
    ));
    assert!(
        stream
            .body
            .windows(answer.body.len())
            .any(|bytes| bytes == answer.body),
        "the same in a stream"
    );
    recorder.stop();
}

#[test]
fn a_span_is_told_with_its_gaps_and_frame_by_frame() {
    let recorder = Recorder::run(recorded_jpegs(&different_jpegs()), "");
    let told = recorder.json(&format!(
        "/api/cameras/gate/footage?from_us={T}&to_us={}",
        T + 2 * 3600 * S
    ));
    assert_eq!(told["camera"], "gate");
    let footage = told["footage"].as_array().expect("a list");
    assert_eq!(footage.first().expect("footage")["started_us"], T);
    let frames: u64 = footage
        .iter()
        .filter_map(|one| one["frames"].as_u64())
        .sum();
    assert_eq!(frames, 60, "{told}");
    let all = recorder.json("/api/cameras/gate/footage");
    assert_eq!(all["footage"], told["footage"]);
    let gaps = all["gaps"].as_array().expect("a list");
    assert!(gaps.iter().all(|gap| gap["reason"].is_string()), "{all}");

    let told = recorder.json(&format!(
        "/api/cameras/gate/frames?from_us={T}&to_us={}",
        T + S
    ));
    let frames = told["frames"].as_array().expect("a list");
    let times: Vec<i64> = frames
        .iter()
        .filter_map(|frame| frame["captured_us"].as_i64())
        .collect();
    assert_eq!(times, (0..10).map(|n| T + n * S / 10).collect::<Vec<_>>());
    assert_eq!(told["more"], false);
    recorder.stop();
}

#[test]
fn a_stream_of_a_span_is_every_picture_of_it_byte_for_byte() {
    let jpegs = different_jpegs();
    let recorder = Recorder::run(recorded_jpegs(&jpegs), "");
    let stream = |from_us: i64, to_us: i64| {
        recorder.get(&format!(
            "/api/cameras/gate/stream?from_us={from_us}&to_us={to_us}"
        ))
    };
    // Over the border of two segments, and over an hour without footage.
    let answer = stream(T + S, T + 3600 * S + 5 * S);
    assert_eq!(answer.field("x-captured-us"), (T + S).to_string());
    assert_eq!(
        answer.field("content-type"),
        "multipart/x-mixed-replace; boundary=framelog"
    );
    assert!(pictures(&answer.body) == jpegs[10..50], "pictures 10 to 49");
    let nothing = stream(T + 60 * S, T + 120 * S);
    assert_eq!(nothing.code(), 404, "{}", nothing.text());
    recorder.stop();
}

#[test]
fn a_film_begins_with_the_keyframe_before_and_ends_with_what_another_needs() {
    for (codec, b_frames) in [(Codec::H264, 2), (Codec::H265, 0)] {
        let recorder = Recorder::run(recorded(&footage(codec, b_frames)), "");
        let asked_us = T + 2 * S + S / 2;
        let answer = recorder.get(&format!(
            "/api/cameras/gate/stream?from_us={asked_us}&to_us={}",
            asked_us + S
        ));
        assert_eq!(
            answer.field("content-type"),
            "video/mp4",
            "{}",
            answer.text()
        );
        assert_eq!(answer.field("x-codec"), codec.name());
        let begins_us: i64 = answer.field("x-captured-us").parse().expect("a time");
        assert!(begins_us <= asked_us, "{begins_us}");
        let film = recorder.place.path("stream.mp4");
        assert_film(&film, &answer.body, begins_us, asked_us + S);

        let answer = recorder.get(&format!("/api/cameras/gate/frame?at_us={asked_us}"));
        assert_eq!(answer.field("content-type"), "video/mp4");
        std::fs::write(&film, &answer.body).expect("a file");
        assert_decodes(&film);
        recorder.stop();
    }
}

/// Whether it can be decoded, and has all pictures that are shown then.
fn assert_film(path: &Path, film: &[u8], from_us: i64, to_us: i64) {
    std::fs::write(path, film).expect("a file");
    assert_decodes(path);
    let shown = packets(path);
    let length_us = to_us - from_us;
    // 25 a second, and one or two that those shown before them need.
    let least = (length_us * 25 / S) as usize;
    assert!(
        (least..=least + 3).contains(&shown.len()),
        "{} pictures in {length_us} µs",
        shown.len()
    );
    assert!(shown[0].1, "the first is a keyframe");
}

#[test]
fn live_goes_on_with_what_is_recorded() {
    let gate = Camera::start(Listen::plainly(1), live(50));
    let recorder = Recorder::run(Place::new(""), &gate.section("gate", "/"));
    let begin = Instant::now();
    let frames = || -> usize {
        let answer = recorder.get("/api/cameras/gate/frames?from_us=0&to_us=9000000000000000");
        // Not before the camera is in the index.
        let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        told["frames"].as_array().map_or(0, Vec::len)
    };
    while frames() < 20 {
        assert!(begin.elapsed() < LIMIT, "{}", recorder.place.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    let mut live = recorder.ask("/api/cameras/gate/stream");
    live.set_read_timeout(Some(LIMIT)).expect("a time limit");
    let (asked_us, mut bytes) = (now_us(), Vec::new());
    let mut some = [0; 4096];
    while bytes.len() < 4 || pictures(&Answer::of(&bytes).body).len() < 60 {
        let n = live.read(&mut some).expect("more");
        assert!(n > 0, "it ended: {}", recorder.place.log());
        bytes.extend_from_slice(&some[..n]);
    }
    let answer = Answer::of(&bytes);
    let began_us: i64 = answer.field("x-captured-us").parse().expect("a time");
    assert!((asked_us - began_us) < 5 * S, "not what is new");
    // Who still watches keeps neither the recorder nor its index from an orderly end.
    let Recorder {
        place, mut daemon, ..
    } = recorder;
    daemon.signal(Signal::TERM);
    // Whoever looks into the index, as `stop` does, makes a log.
    let status = daemon.wait_whatever_it_did(Duration::from_secs(10));
    assert!(status.expect("a stop in time").success(), "{}", place.log());
    let files = std::fs::read_dir(place.storage()).expect("a directory");
    let names = files.map(|file| file.expect("a file").file_name());
    let index = names.filter(|name| name.to_string_lossy().starts_with("index"));
    assert_eq!(index.collect::<Vec<_>>(), ["index.db"], "{}", place.log());
    let shown = pictures(&answer.body);
    let stored: Vec<Vec<u8>> = place
        .index()
        .expect("an index")
        .frames_of("gate")
        .into_iter()
        .filter(|(row, _)| row.captured_us >= began_us)
        .map(|(_, payload)| payload)
        .collect();
    assert!(shown == stored[..shown.len()], "every picture, in order");
    drop(live);
}

#[test]
fn after_a_clock_that_was_ahead_what_came_last_is_shown_and_nothing_is_left_out() {
    let jpegs = different_jpegs();
    let ahead_us = 3600 * S;
    let frame = |(n, jpeg): (usize, &Vec<u8>)| {
        let captured_us = T + n as i64 * S / 10 + if n < 20 { ahead_us } else { 0 };
        (mjpeg(jpeg, captured_us), n.is_multiple_of(20))
    };
    let place = recorded(&jpegs.iter().enumerate().map(frame).collect::<Vec<_>>());
    let recorder = Recorder::run(place, "");
    let newest = recorder.get("/api/cameras/gate/frame");
    assert!(newest.body == jpegs[59], "not the one that came last");
    let all = recorder.get(&format!(
        "/api/cameras/gate/stream?from_us={T}&to_us={}",
        T + 2 * ahead_us
    ));
    assert!(
        pictures(&all.body) == jpegs,
        "all, in the order in which they came"
    );
    recorder.stop();
}

#[test]
fn a_segment_of_many_frames_is_sent_whole() {
    let jpegs: Vec<Vec<u8>> = (0..6_000)
        .map(|seed| Jpeg::new(seed).entropy(8).bytes())
        .collect();
    let frame = |(n, jpeg): (usize, &Vec<u8>)| (mjpeg(jpeg, T + n as i64 * S / 10), n == 0);
    let place = recorded(&jpegs.iter().enumerate().map(frame).collect::<Vec<_>>());
    let recorder = Recorder::run(place, "");
    let all = recorder.get(&format!(
        "/api/cameras/gate/stream?from_us={T}&to_us={}",
        T + 3600 * S
    ));
    assert!(pictures(&all.body) == jpegs);
    let first = recorder.get(&format!(
        "/api/cameras/gate/stream?from_us={T}&to_us={}",
        T + S
    ));
    assert!(pictures(&first.body) == jpegs[..10], "and a part of it");
    recorder.stop();
}

#[test]
fn who_watches_and_does_not_read_costs_the_recording_nothing() {
    let gate = Camera::start(Listen::plainly(1), live(20));
    let recorder = Recorder::run(Place::new(""), &gate.section("gate", "/"));
    let stored =
        |index: &crate::support::index::Index| (index.rows_of("gate").len() > 20).then_some(());
    recorder.place.wait_for("frames", LIMIT, stored);
    let from_us = recorder.rows()[0].captured_us;
    let target = format!("/api/cameras/gate/stream?from_us={from_us}");
    // The frames of a minute ago and on would all be sent, if they were read.
    let idle: Vec<TcpStream> = (0..16)
        .map(|_| {
            let mut stream = recorder.ask(&target);
            // It has its place once it is answered.
            stream.read_exact(&mut [0; 12]).expect("an answer");
            stream
        })
        .collect();
    let refused = recorder.get("/api/cameras/gate/stream");
    assert_eq!(refused.code(), 503, "{}", refused.text());
    assert!(refused.text().contains("16 streams"), "{}", refused.text());
    assert_eq!(recorder.get("/api/cameras/gate/frame").code(), 200);
    let before = recorder.rows().len();
    recorder.place.wait_for("more frames", LIMIT, |index| {
        (index.rows_of("gate").len() > before + 100).then_some(())
    });
    drop(idle);
    let begin = Instant::now();
    while recorder
        .get(&format!("{target}&to_us={}", from_us + 1))
        .code()
        != 200
    {
        assert!(begin.elapsed() < LIMIT, "room is not given back");
        std::thread::sleep(Duration::from_millis(100));
    }
    let until_us = now_us();
    let (place, daemon) = (recorder.place, recorder.daemon);
    let status = daemon
        .stop(Duration::from_secs(10))
        .expect("a stop in time");
    assert!(status.success(), "{}", place.log());
    let index = place.index().expect("an index");
    assert_all_stored("gate", &gate.journal(), &index, until_us);
}

#[test]
fn without_a_token_a_web_page_of_another_name_reads_no_footage() {
    let recorder = Recorder::run(recorded_jpegs(&different_jpegs()), "");
    let get = |host: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", recorder.port)).expect("it listens");
        let request = format!("GET /api/cameras/gate/frame HTTP/1.0\r\nHost: {host}\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("it answers");
        Answer::of(&bytes)
    };
    assert_eq!(get(&format!("localhost:{}", recorder.port)).code(), 200);
    let refused = get("rebound.example");
    assert_eq!(refused.code(), 403);
    assert!(refused.text().contains("token"), "{}", refused.text());
    recorder.stop();
}
