//! `framelog verify`: silent about a recorder's own work, whenever it is asked; exact about damage.

use std::fs;
use std::process::Output;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::camera::{Camera, Listen, live};
use crate::support::daemon::{Daemon, Place};

const LIMIT: Duration = Duration::from_secs(30);

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// No finding, by heads and by every byte.
fn assert_clean(place: &Place, when: &str) {
    for depth in [&["verify"][..], &["verify", "--deep"]] {
        let output = place.command(depth);
        let (findings, summary) = said(&output);
        assert_eq!(findings, "", "{when}, {depth:?}");
        assert_eq!(output.status.code(), Some(0), "{when}: {summary}");
        assert!(
            summary.starts_with("verified ") && summary.ends_with(": no finding\n"),
            "{when}: {summary}"
        );
    }
}

fn frames(place: &Place, camera: &str) -> usize {
    place.index().map_or(0, |index| index.rows_of(camera).len())
}

fn run_until(place: &Place, count: usize) -> Daemon {
    let daemon = place.run();
    place.wait_for("frames", LIMIT, |index| {
        let has = |camera| index.rows_of(camera).len() >= count;
        (has("gate") && has("yard")).then_some(())
    });
    daemon
}

fn stop(daemon: Daemon, place: &Place) {
    let status = daemon.stop(LIMIT).expect("a stop in time");
    assert!(status.success(), "{}", place.log());
}

#[test]
fn nothing_is_found_while_recording_after_a_stop_and_after_a_kill() {
    let cameras = [1, 2].map(|seed| Camera::start(Listen::plainly(seed), live(20)));
    let place = Place::new(&format!(
        "{}{}",
        cameras[0].section("gate", "/"),
        cameras[1].section("yard", "/")
    ));
    let daemon = run_until(&place, 20);
    for _ in 0..5 {
        assert_clean(&place, "while recording");
    }
    stop(daemon, &place);
    assert_clean(&place, "after a stop");
    for _ in 0..3 {
        let mut daemon = run_until(&place, frames(&place, "gate") + 20);
        daemon.signal(Signal::KILL);
        daemon.wait(LIMIT).expect("a killed process ends");
        assert_clean(&place, "after a kill");
    }
    let daemon = run_until(&place, frames(&place, "gate") + 20);
    assert_clean(&place, "after the start that follows a kill");
    stop(daemon, &place);
    assert_clean(&place, "at the end");
}

/// A place in which the cameras `gate` and `yard` were recorded.
fn recorded() -> Place {
    let cameras = [3, 4].map(|seed| Camera::start(Listen::plainly(seed), live(20)));
    let place = Place::new(&format!(
        "{}{}",
        cameras[0].section("gate", "/"),
        cameras[1].section("yard", "/")
    ));
    let daemon = run_until(&place, 40);
    stop(daemon, &place);
    place
}

#[test]
fn a_flipped_byte_is_told_as_the_one_frame_that_it_hit() {
    let place = recorded();
    let row = place.index().expect("an index").rows_of("gate")[17].clone();
    let path = place.storage().join(&row.path);
    let mut bytes = fs::read(&path).expect("the file of the row");
    let at = usize::try_from(row.offset + row.length / 2).expect("a small file");
    bytes[at] ^= 0x10;
    fs::write(&path, bytes).expect("a file of ours");

    assert_eq!(place.command(&["verify"]).status.code(), Some(0));
    let output = place.command(&["verify", "--deep"]);
    let (findings, summary) = said(&output);
    assert_eq!(output.status.code(), Some(1), "{findings}{summary}");
    let expected = format!(
        "gate {} {}:{}: the frame is damaged",
        row.captured, row.path, row.offset
    );
    assert!(
        findings.starts_with(&expected) && findings.lines().count() == 1,
        "{expected}\n{findings}"
    );
    assert!(summary.ends_with(": 1 finding\n"), "{summary}");

    let output = place.command(&["verify", "--deep", "--json", "gate"]);
    let finding: Value =
        serde_json::from_slice(&output.stdout).expect("one finding is one JSON object");
    assert_eq!(finding["kind"], "damaged_frame");
    assert_eq!(finding["camera"], "gate");
    assert_eq!(finding["captured_us"], row.captured_us);
    assert_eq!(finding["path"], row.path.as_str());
    assert_eq!(finding["offset"], row.offset);
    assert_eq!(finding["failure"], true);

    let elsewhere = place.command(&["verify", "--deep", "yard"]);
    assert_eq!(elsewhere.status.code(), Some(0));
    let later = ["verify", "--deep", "--from", "2099-01-01"];
    assert_eq!(place.command(&later).status.code(), Some(0));
}

#[test]
fn what_is_missing_or_unknown_is_told_and_files_of_others_are_no_failure() {
    let place = recorded();
    fs::write(place.storage().join("footage/README"), "mine").expect("a writable directory");
    let output = place.command(&["verify"]);
    let (findings, summary) = said(&output);
    assert_eq!(output.status.code(), Some(0), "{findings}");
    assert!(
        findings.contains("footage/README: not framelog's"),
        "{findings}"
    );
    assert!(
        summary.contains("no finding; 1 file is not framelog's"),
        "{summary}"
    );

    let row = place.index().expect("an index").rows_of("yard")[0].clone();
    let path = place.storage().join(&row.path);
    let moved = path.with_file_name("000000.000001Z.mjpeg");
    fs::rename(&path, &moved).expect("a file of ours");
    let output = place.command(&["verify"]);
    let (findings, _) = said(&output);
    assert_eq!(output.status.code(), Some(1));
    let has = |words: [&str; 2]| {
        let mut lines = findings.lines();
        lines.any(|line| words.iter().all(|word| line.contains(word)))
    };
    assert!(has([&row.path, "the file is gone"]), "{findings}");
    assert!(
        has(["000000.000001Z.mjpeg", "not in the index"]),
        "{findings}"
    );
}

#[test]
fn wrong_questions_are_errors_and_not_findings() {
    let place = recorded();
    for (arguments, code, words) in [
        (&["verify", "gat"][..], 1, "did you mean gate"),
        (
            &["verify", "--from", "now", "--to", "-1h"],
            2,
            "--from is not before --to",
        ),
        (&["verify", "--fast"], 2, "--fast"),
        (
            &["verify", "--storage", "/nonexistent"],
            1,
            "there is no index",
        ),
    ] {
        let output = place.command(arguments);
        let (findings, errors) = said(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        assert_eq!(findings, "", "{arguments:?}");
        assert!(errors.contains(words), "{arguments:?}: {errors}");
    }
}
