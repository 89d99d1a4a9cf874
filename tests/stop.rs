//! Stopping and starting: nothing that had arrived is lost, and the time between is a gap.

use std::io::{PipeReader, PipeWriter, Write as _};
use std::time::Duration;

use rustix::process::Signal;

use crate::support::account::assert_all_stored;
use crate::support::camera::{Camera, Listen, live, script};
use crate::support::daemon::Place;
use crate::support::now_us;

const LIMIT: Duration = Duration::from_secs(20);

fn stops_well(signal: Signal) {
    let cameras = [1, 2, 3, 4].map(|seed| Camera::start(Listen::plainly(seed), live(10)));
    let names = ["a", "b", "c", "d"];
    let place = Place::new(
        &names
            .iter()
            .zip(&cameras)
            .map(|(name, camera)| camera.section(name, "/"))
            .collect::<String>(),
    );
    let mut daemon = place.run();
    place.wait_for("frames", LIMIT, |index| {
        (index.rows().ok()?.len() >= 200).then_some(())
    });
    let until_us = now_us() - 200_000;
    daemon.signal(signal);
    let status = daemon
        .wait(Duration::from_secs(5))
        .unwrap_or_else(|| panic!("no stop within 5 s:\n{}", place.log()));
    assert!(status.success(), "{status}:\n{}", place.log());
    let index = place.index().expect("an index");
    for (name, camera) in names.iter().zip(&cameras) {
        assert_all_stored(name, &camera.journal(), &index, until_us);
    }
    assert!(
        index
            .segments()
            .expect("segments")
            .iter()
            .all(|segment| segment.state == "closed")
    );
    assert!(
        index
            .gaps()
            .expect("gaps")
            .iter()
            .all(|gap| gap.ended_us.is_some())
    );
}

#[test]
fn terminated_recorder_has_lost_nothing() {
    stops_well(Signal::TERM);
}

#[test]
fn interrupted_recorder_has_lost_nothing() {
    stops_well(Signal::INT);
}

#[test]
fn recorder_stops_at_once_while_cameras_are_silent_or_away() {
    let silent = Camera::start(
        Listen::plainly(7),
        script(async |mut camera| camera.hold().await),
    );
    let place = Place::new(&format!(
        "{}[cameras.away]\nurl = \"http://127.0.0.1:1/\"\n",
        silent.section("silent", "/")
    ));
    let daemon = place.run();
    silent.wait_for_connections(1, LIMIT);
    assert!(
        daemon
            .stop(Duration::from_secs(3))
            .expect("a stop within 3 s")
            .success(),
        "{}",
        place.log()
    );
}

#[test]
fn time_between_two_runs_is_a_gap() {
    let camera = Camera::start(Listen::plainly(8), live(50));
    let place = Place::new(&camera.section("gate", "/"));
    let mut known = 0;
    for _ in 1..=2 {
        let daemon = place.run();
        place.wait_for("frames", LIMIT, |index| {
            (index.rows_of("gate").len() > known).then_some(())
        });
        assert!(
            daemon
                .stop(Duration::from_secs(10))
                .expect("a stop in time")
                .success(),
            "{}",
            place.log()
        );
        known = place.index().expect("an index").rows_of("gate").len();
    }
    let index = place.index().expect("an index");
    let gaps = index.gaps_of("gate");
    let down: Vec<_> = gaps
        .iter()
        .filter(|gap| gap.reason == "recorder_down")
        .collect();
    let [down] = down[..] else {
        panic!("one gap `recorder_down`: {gaps:?}")
    };
    // By time and not by segment: one run may have two of them.
    let ended_us = down.ended_us.expect("a gap that is over");
    let rows = index.rows_of("gate");
    assert!(
        rows.iter()
            .all(|row| row.captured_us <= down.started_us || row.captured_us >= ended_us),
        "frames within the gap: {gaps:?}"
    );
    let last = rows
        .iter()
        .rfind(|row| row.captured_us <= down.started_us)
        .expect("frames of the first run");
    let late_us = down.started_us - last.captured_us;
    assert!(
        (0..1_000_000).contains(&late_us),
        "the gap begins {late_us} us after the last frame: {gaps:?}"
    );
}

#[test]
fn second_recorder_on_the_same_directory_is_refused() {
    let camera = Camera::start(Listen::plainly(9), live(50));
    let place = Place::new(&camera.section("gate", "/"));
    let first = place.run();
    camera.wait_for_connections(1, LIMIT);
    let mut second = place.run();
    let status = second
        .wait(Duration::from_secs(10))
        .expect("the second recorder gives up");
    assert!(!status.success());
    assert_eq!(camera.journal().connected_us.len(), 1);
    assert!(
        first
            .stop(Duration::from_secs(10))
            .expect("a stop in time")
            .success(),
        "{}",
        place.log()
    );
}

/// One that takes nothing more, by its end that nobody reads.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (not_read, mut log) = std::io::pipe().expect("a pipe");
    let size = rustix::pipe::fcntl_getpipe_size(&log).expect("the size of a pipe");
    log.write_all(&vec![b'.'; size]).expect("room in the pipe");
    (not_read, log)
}

#[test]
fn log_that_nobody_takes_holds_up_neither_recording_nor_the_stop() {
    let camera = Camera::start(Listen::plainly(1), live(10));
    let place = Place::new(&camera.section("gate", "/"));
    let (_not_read, log) = full_pipe();
    let daemon = place.run_logging_to(log, &[("FRAMELOG_LOG", "info")]);
    place.wait_for("frames", LIMIT, |index| {
        (index.rows().ok()?.len() >= 50).then_some(())
    });
    let status = daemon
        .stop(Duration::from_secs(5))
        .expect("no stop within 5 s");
    assert!(status.success(), "{status}");
}

#[test]
fn recorder_that_can_not_start_ends_though_nobody_takes_why() {
    let place = Place::new("");
    std::fs::write(place.storage(), "not a directory").expect("a file");
    let (_not_read, log) = full_pipe();
    let mut daemon = place.run_logging_to(log, &[]);
    let status = daemon.wait_whatever_it_did(LIMIT).expect("an end");
    assert_eq!(status.code(), Some(1));
}
