//! `framelog status` and `GET /api/status`: what a person is told who asks whether it records.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::camera::{Camera, Connection, HEAD, Listen, Shot, live, script};
use crate::support::daemon::{Place, program};
use crate::support::jpeg::Jpeg;
use crate::support::{free_port, now_us, seconds};

const LIMIT: Duration = Duration::from_secs(20);

/// The report, and the exit code.
fn status(place: &Place) -> (Value, Option<i32>) {
    let output = place.command(&["status", "--json"]);
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}\n{}", place.log()));
    (report, output.status.code())
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The camera's part of a report.
fn of<'r>(report: &'r Value, camera: &str) -> &'r Value {
    let cameras = report["cameras"].as_array().expect("a list of cameras");
    cameras
        .iter()
        .find(|found| found["name"] == camera)
        .unwrap_or_else(|| panic!("no {camera} in {report}"))
}

/// Panics unless every part of every camera is accounted for.
fn assert_adds_up(report: &Value) {
    for camera in report["cameras"].as_array().expect("a list of cameras") {
        let sum = |value: &Value| -> u64 {
            let numbers = value.as_object().expect("numbers").values();
            numbers.filter_map(Value::as_u64).sum()
        };
        let number = |key: &str| {
            camera[key]
                .as_u64()
                .unwrap_or_else(|| panic!("{key}: {camera}"))
        };
        let became = number("stored") + number("waiting") + number("lost");
        let became = became + sum(&camera["skipped"]) + sum(&camera["dropped"]);
        assert_eq!(number("parts"), became, "{camera}");
    }
}

fn configure(place: &Place, port: u16, cameras: &str) {
    place.write_config(&format!(
        "[storage]\npath = {:?}\n\n[http]\nlisten = \"127.0.0.1:{port}\"\n\n{cameras}",
        place.storage()
    ));
}

/// Asks until the answer is as wanted.
fn wait_for(
    place: &Place,
    what: &str,
    limit: Duration,
    is: impl Fn(&Value) -> bool,
) -> (Value, Option<i32>) {
    let begin = Instant::now();
    loop {
        let (report, code) = status(place);
        assert_adds_up(&report);
        if is(&report) {
            return (report, code);
        }
        assert!(
            begin.elapsed() < limit,
            "not {what}: {report}\n{}",
            place.log()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn running_recorder_tells_what_each_camera_does_and_a_stopped_one_that_it_is_down() {
    let gate = Camera::start(Listen::plainly(1), live(20));
    let cameras = format!(
        "{}[cameras.off]\nurl = \"http://127.0.0.1:1/\"\nenabled = false\n",
        gate.section("gate", "/")
    );
    let (place, port) = (Place::new(""), free_port());
    configure(&place, port, &cameras);
    let daemon = place.run();
    place.wait_for("frames", LIMIT, |index| {
        (index.rows_of("gate").len() > 20).then_some(())
    });
    let (report, code) = wait_for(&place, "told by the recorder", LIMIT, |report| {
        report["source"] == "recorder"
    });
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["recorder"]["running"], true);
    assert!(report["recorder"]["pid"].is_u64(), "{report}");
    let camera = of(&report, "gate");
    assert_eq!(camera["state"], "recording", "{camera}");
    assert_eq!(camera["connections"], 1);
    assert!(
        camera["stored"].as_u64() > Some(20) && camera["stored_bytes"].as_u64() > Some(1_000),
        "{camera}"
    );
    assert!(
        camera["skew_us"]
            .as_i64()
            .is_some_and(|us| us.abs() < 2_000_000),
        "{camera}"
    );
    let last_us = camera["last_captured_us"].as_i64().expect("a last frame");
    assert!((0..5_000_000).contains(&(now_us() - last_us)), "{camera}");
    let rows = place.index().expect("an index").rows_of("gate");
    let first_us = rows.first().expect("a row").captured_us;
    assert_eq!(camera["kept_from_us"], first_us, "{camera}");
    let to_us = camera["kept_to_us"].as_i64().expect("a last frame");
    assert!((first_us + 1..=now_us()).contains(&to_us), "{camera}");
    let (report, _) = wait_for(&place, "told how fast it goes", LIMIT, |report| {
        report["storage"]["room"]["days_fit"].is_f64()
    });
    let camera = of(&report, "gate");
    assert!(
        camera["fps"].as_f64() > Some(1.0) && camera["bits_per_s"].as_u64() > Some(1_000),
        "{camera}"
    );
    assert!(camera["lag_us"].is_i64(), "{camera}");
    let room = &report["storage"]["room"];
    assert!(
        room["free_bytes"].as_u64() > Some(0) && room["footage_bytes"].as_u64() > Some(1_000),
        "{room}"
    );
    let found = text(&place.command(&["find", "gate"]));
    assert!(found.contains(", recording "), "{found}");
    assert_eq!(of(&report, "off")["state"], "disabled");
    let shown = text(&place.command(&["status"]));
    assert!(shown.contains("\ngate  recording  since "), "{shown}");
    assert!(
        shown.contains(" fps, ") && shown.contains("\ndisk: "),
        "{shown}"
    );
    assert!(shown.contains("\noff   disabled   since "), "{shown}");

    // A camera that should record and doesn't.
    configure(
        &place,
        port,
        &format!("{cameras}[cameras.away]\nurl = \"http://127.0.0.1:1/\"\n"),
    );
    daemon.signal(rustix::process::Signal::HUP);
    let (report, code) = wait_for(&place, "unreachable", LIMIT, |report| {
        let mut cameras = report["cameras"].as_array().expect("a list").iter();
        cameras.any(|camera| camera["reason"] == "unreachable")
    });
    assert_eq!(
        (code, &of(&report, "away")["state"]),
        (Some(1), &"missing".into()),
        "{report}"
    );
    let shown = text(&place.command(&["status"]));
    let first = shown.lines().nth(2).expect("a line for each camera");
    assert!(
        first.starts_with("away  missing "),
        "behind recorder and disk, what is wrong comes first: {shown}"
    );

    assert!(
        daemon
            .stop(Duration::from_secs(10))
            .expect("a stop in time")
            .success()
    );
    let (report, code) = status(&place);
    assert_adds_up(&report);
    assert_eq!(
        (code, &report["source"]),
        (Some(1), &"index".into()),
        "{report}"
    );
    let recorder = &report["recorder"];
    assert_eq!(
        (&recorder["running"], &recorder["killed"]),
        (&false.into(), &false.into())
    );
    assert_eq!(of(&report, "gate")["state"], "down");
    assert_eq!(of(&report, "gate")["waiting"], 0);
    assert_eq!(of(&report, "off")["state"], "disabled");
    let shown = text(&place.command(&["status"]));
    assert!(shown.contains("NO RECORDER RUNS; stopped since"), "{shown}");
}

#[test]
fn killed_recorder_is_told_as_killed_and_what_was_on_its_way_as_lost() {
    let gate = Camera::start(Listen::plainly(2), live(10));
    let place = Place::new(&gate.section("gate", "/"));
    let daemon = place.run();
    place.wait_for("frames", LIMIT, |index| {
        (index.rows_of("gate").len() > 100).then_some(())
    });
    daemon.kill();
    let (report, code) = status(&place);
    assert_adds_up(&report);
    assert_eq!(
        (code, &report["recorder"]["killed"]),
        (Some(1), &true.into()),
        "{report}"
    );
    assert_eq!(of(&report, "gate")["state"], "down");
    assert!(of(&report, "gate")["kept_from_us"].is_i64(), "{report}");
    let found = text(&place.command(&["find", "gate"]));
    assert!(
        found.contains("the recorder was killed") && !found.contains("recording"),
        "{found}"
    );
    let known = of(&report, "gate")["stored"].as_i64().expect("a number");
    assert_eq!(
        place.index().expect("an index").rows_of("gate").len() as i64,
        known
    );

    let daemon = place.run();
    place.wait_for("a second session", LIMIT, |index| {
        index
            .accounts()
            .iter()
            .any(|account| account.session_id == 2)
            .then_some(())
    });
    let index = place.index().expect("an index");
    let killed = index
        .accounts()
        .into_iter()
        .find(|account| account.session_id == 1);
    let killed = killed.expect("the account of the killed session");
    assert!(
        !killed.stopped && killed.parts == killed.stored + killed.lost,
        "{killed:?}"
    );
    assert!(
        daemon
            .stop(Duration::from_secs(10))
            .expect("a stop in time")
            .success()
    );
}

#[test]
fn port_that_is_not_the_recorders_confuses_nobody() {
    let gate = Camera::start(Listen::plainly(3), live(20));
    let place = Place::new(&gate.section("gate", "/"));
    let daemon = place.run();
    place.wait_for("frames", LIMIT, |index| {
        (index.rows_of("gate").len() > 20).then_some(())
    });
    // Another recorder, whose answers are good ones.
    let other_place = Place::new("");
    let port = free_port();
    configure(&other_place, port, "");
    let other = other_place.run();
    let begin = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begin.elapsed() < LIMIT, "{}", other_place.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    // It listens before its storage is open.
    loop {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        stream
            .write_all(b"GET /api/status HTTP/1.0\r\n\r\n")
            .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        if answer.starts_with("HTTP/1.0 200 OK") {
            break;
        }
        assert!(begin.elapsed() < LIMIT, "{answer}");
        std::thread::sleep(Duration::from_millis(50));
    }
    // Port 0 first, as it was started; then the other recorder's; then a web page's that isn't there.
    for port in [0, port, 1] {
        configure(&place, port, &gate.section("gate", "/"));
        let output = place.command(&["status", "--json"]);
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_adds_up(&report);
        assert_eq!(output.status.code(), Some(0), "port {port}: {report}");
        assert_eq!(report["source"], "index", "port {port}: {report}");
        assert_eq!(report["recorder"]["running"], true);
        assert_eq!(of(&report, "gate")["state"], "recording");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains("this is from the index"),
            "port {port}: {said}"
        );
    }
    for daemon in [daemon, other] {
        assert!(
            daemon
                .stop(Duration::from_secs(10))
                .expect("a stop in time")
                .success()
        );
    }
}

#[test]
fn directory_in_which_nothing_was_recorded_has_no_recorder() {
    let place = Place::new("[cameras.gate]\nurl = \"http://127.0.0.1:1/\"\n");
    let (report, code) = status(&place);
    assert_eq!(
        (code, &report["storage"]["state"]),
        (Some(1), &"empty".into()),
        "{report}"
    );
    assert_eq!(of(&report, "gate")["state"], "down");
    assert!(!place.storage().exists(), "asking makes nothing");
    let output = place.command(&["status", "--fast"]);
    assert_eq!(output.status.code(), Some(2));
}

/// Sends these pictures for ever, one after the other, with what may differ in their headers, as a camera does whose picture stands still.
async fn send_still(
    mut camera: Connection,
    changes: fn(u64) -> (Vec<u8>, i64),
) -> std::io::Result<()> {
    camera.request().await?;
    camera.send(HEAD).await?;
    for number in 0.. {
        let (jpeg, stamp_us) = changes(number);
        let (length, stamp) = (jpeg.len(), seconds(stamp_us));
        let head = format!(
            "--camframe\r\nContent-Type: image/jpeg\r\nContent-Length: {length}\r\nX-Timestamp: {stamp}\r\n\r\n"
        );
        camera
            .deliver([head.as_bytes(), &jpeg, b"\r\n"].concat(), Shot::new(&jpeg))
            .await?;
        camera.wait(100).await;
    }
    Ok(())
}

/// Whether the frozen picture has come to life.
static MOVES: AtomicBool = AtomicBool::new(false);

/// A picture of more than 2 KiB with a comment that differs from frame to frame, as a date does.
fn dated(number: u64) -> Vec<u8> {
    let date = format!("2026-11-22 10:00:{number:06}");
    let seed = if MOVES.load(Relaxed) { number } else { 7 };
    Jpeg::new(seed)
        .entropy(6_000)
        .segment(0xfe, date.as_bytes())
        .bytes()
}

#[test]
fn frozen_cameras_are_told_and_stored_and_live_ones_are_not_accused() {
    // The picture stands still but for a date in its header.
    let picture = Camera::start(
        Listen::plainly(4),
        script(|camera| send_still(camera, |number| (dated(number), now_us()))),
    );
    // The stamp stands still.
    let stamp = Camera::start(
        Listen::plainly(5),
        script(|camera| {
            send_still(camera, |number| {
                (Jpeg::new(number).bytes(), 1_700_000_000_000_000)
            })
        }),
    );
    let alive = Camera::start(Listen::plainly(6), live(100));
    let place = Place::new("");
    let sections = [("picture", &picture), ("stamp", &stamp), ("alive", &alive)];
    configure(
        &place,
        free_port(),
        &sections
            .map(|(name, camera)| camera.section(name, "/"))
            .concat(),
    );
    let daemon = place.run();
    let (report, code) = wait_for(&place, "frozen", Duration::from_secs(60), |report| {
        report["cameras"].as_array().is_some_and(|cameras| {
            let frozen = cameras.iter().filter(|camera| camera["state"] == "frozen");
            frozen.count() == 2
        })
    });
    assert_eq!(code, Some(0), "frames are stored: {report}");
    for what in ["picture", "stamp"] {
        let camera = of(&report, what);
        assert_eq!(camera["frozen"]["what"], what, "{camera}");
        let since_us = camera["frozen"]["since_us"].as_i64().expect("a time");
        assert!(now_us() - since_us >= 10_000_000, "{camera}");
        assert!(camera["stored"].as_u64() >= Some(80), "{camera}");
    }
    assert_eq!(of(&report, "alive")["state"], "recording");
    let health = place.health();
    assert!(
        health.starts_with("HTTP/1.0 200")
            && health.contains(r#""frozen":[{"camera":"picture","what":"picture","#)
            && health.contains(r#"{"camera":"stamp","what":"stamp","#),
        "{health}"
    );
    MOVES.store(true, Relaxed);
    wait_for(&place, "moving", LIMIT, |report| {
        of(report, "picture")["state"] == "recording"
    });
    assert!(
        daemon
            .stop(Duration::from_secs(10))
            .expect("a stop in time")
            .success()
    );
    let log = place.log();
    for (line, times) in [
        ("the same picture again and again", 1),
        ("stamp stands still", 1),
        ("picture moves again", 1),
    ] {
        assert_eq!(log.matches(line).count(), times, "{line}:\n{log}");
    }
    let rows = place.index().expect("an index").rows_of("picture").len();
    assert!(rows >= 80, "{rows} frames of the frozen picture");
}

#[test]
fn watching_says_it_again_and_ends_with_its_reader() {
    let gate = Camera::start(Listen::plainly(7), live(50));
    let place = Place::new("");
    configure(&place, free_port(), &gate.section("gate", "/"));
    let daemon = place.run();
    wait_for(&place, "recorded", LIMIT, |report| {
        of(report, "gate")["state"] == "recording"
    });
    let mut watching = program()
        .args(["status", "--json", "--watch", "--config"])
        .arg(place.config())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(watching.stdout.take().expect("a pipe")).lines();
    let mut stored = || {
        let line = lines.next().expect("another line").expect("text");
        let report: Value = serde_json::from_str(&line).expect("JSON");
        of(&report, "gate")["stored"].as_u64().expect("a number")
    };
    let first = stored();
    assert!(stored() > first, "it looks again");
    drop(lines);
    assert_eq!(watching.wait().expect("a child").code(), Some(0));
    assert!(daemon.stop(LIMIT).expect("a stop in time").success());
}

#[test]
fn file_with_an_error_is_told_and_so_is_what_goes_on_by_the_one_before() {
    let gate = Camera::start(Listen::plainly(91), live(10));
    let place = Place::new("");
    let port = free_port();
    configure(&place, port, &gate.section("gate", "/"));
    let _daemon = place.run();
    place.wait_for("frames", LIMIT, |index| {
        (!index.rows().ok()?.is_empty()).then_some(())
    });
    let cameras = gate.section("gate", "/").replace("url", "ulr");
    configure(&place, port, &cameras);
    let output = place.command(&["status"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(text(&output).contains("\ngate  recording"), "{output:?}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("(did you mean \"url\"?)"), "{errors}");
    let found = place.command(&["doctor"]);
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    assert!(text(&found).contains("gate is recorded"), "{found:?}");
    assert!(
        text(&found).contains("(did you mean \"url\"?)"),
        "{found:?}"
    );
    // Not even TOML.
    let cameras = gate.section("gate", "/").replace("\"\n", "\n");
    configure(&place, port, &cameras);
    let output = place.command(&["status"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(text(&output).contains("\ngate  recording"), "{output:?}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("close the quotes"), "{errors}");
    let found = place.command(&["doctor"]);
    assert!(text(&found).contains("gate is recorded"), "{found:?}");
    let listed = place.command(&["find", "gate"]);
    assert_eq!(listed.status.code(), Some(0), "{listed:?}");
    let warned = String::from_utf8_lossy(&listed.stderr);
    assert!(
        warned.contains("warning: ") && warned.contains("close the quotes"),
        "{warned}"
    );
}

#[test]
fn recorder_that_hangs_records_nothing_and_status_says_so() {
    let gate = Camera::start(Listen::plainly(92), live(50));
    let place = Place::new(&gate.section("gate", "/"));
    let daemon = place.run();
    place.wait_for("frames", LIMIT, |index| {
        (!index.rows().ok()?.is_empty()).then_some(())
    });
    daemon.signal(Signal::STOP);
    let begun = Instant::now();
    let (report, code) = loop {
        let (report, code) = status(&place);
        if code == Some(1) || begun.elapsed() > 2 * LIMIT {
            break (report, code);
        }
        std::thread::sleep(Duration::from_secs(1));
    };
    assert_eq!(code, Some(1), "{report}");
    let gate = of(&report, "gate");
    assert_eq!(gate["state"], "missing");
    let detail = gate["detail"].as_str().expect("words");
    assert!(
        detail.starts_with("the recorder has written nothing since"),
        "{detail}"
    );
    daemon.signal(Signal::CONT);
}
