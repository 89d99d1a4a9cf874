//! Every hole is a gap, and no gap is anything else: the rows of each camera, footage and gaps together, cover the run.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::account::assert_all_stored;
use crate::support::camera::{Camera, HEAD, Listen, Script, Shot, live, script};
use crate::support::daemon::{Daemon, Place};
use crate::support::index::{Gap, Index};
use crate::support::now_us;

const LIMIT: Duration = Duration::from_secs(30);
const PERIOD_MS: u64 = 50;
/// Frames come every 50 ms; a busy machine is late at times.
const HOLE_MAX_US: i64 = 700_000;

fn stop(daemon: Daemon, place: &Place) {
    let status = daemon
        .stop(Duration::from_secs(10))
        .expect("a stop in time");
    assert!(status.success(), "{}", place.log());
}

/// What a span is: a frame (at one moment) or a gap.
#[derive(Debug)]
struct Span<'g> {
    started_us: i64,
    ended_us: i64,
    gap: Option<&'g Gap>,
}

/// Panics if the camera has a hole without a gap from `from_us` on, a gap with a frame in it, or two gaps over one span.
fn assert_covered(index: &Index, camera: &str, from_us: i64) {
    let gaps = index.gaps_of(camera);
    let frames = index.rows_of(camera).into_iter().map(|row| Span {
        started_us: row.captured_us,
        ended_us: row.captured_us,
        gap: None,
    });
    let mut spans: Vec<_> = frames
        .chain(gaps.iter().map(|gap| Span {
            started_us: gap.started_us,
            ended_us: gap.ended_us.expect("a gap that ended with the run"),
            gap: Some(gap),
        }))
        .collect();
    spans.sort_by_key(|span| (span.started_us, span.ended_us));
    let mut covered_us = from_us;
    for span in &spans {
        let hole_us = span.started_us - covered_us;
        assert!(
            hole_us <= HOLE_MAX_US,
            "{camera}: {hole_us} us without a reason before {span:?}; gaps: {gaps:#?}"
        );
        assert!(
            hole_us >= 0 || span.started_us == span.ended_us && span.gap.is_some(),
            "{camera}: {span:?} begins {} us before the end of what is before it; gaps: {gaps:#?}",
            -hole_us
        );
        covered_us = covered_us.max(span.ended_us);
    }
}

/// Panics unless the last line of the run about the camera accounts for each part, and for as many stored frames as there are rows.
fn assert_adds_up(log: &str, camera: &str, rows: usize) {
    let line = log
        .lines()
        .rfind(|line| line.contains("totals") && line.contains(&format!("camera=\"{camera}\"")))
        .unwrap_or_else(|| panic!("no totals of {camera}:\n{log}"));
    let count = |key: &str| -> usize {
        let value = line.split(' ').find_map(|field| field.strip_prefix(key));
        value
            .and_then(|value| value.strip_prefix('=')?.parse().ok())
            .unwrap_or_else(|| panic!("no {key} in {line}"))
    };
    let lost = [
        "skipped_empty",
        "skipped_not_picture",
        "skipped_torn",
        "skipped_too_large",
        "disk_slow",
        "disk_full",
    ];
    assert_eq!(count("stored"), rows, "{line}");
    assert_eq!(
        count("parts"),
        rows + lost.map(count).iter().sum::<usize>(),
        "{line}"
    );
}

fn reasons(index: &Index, camera: &str) -> Vec<String> {
    let gaps = index.gaps_of(camera).into_iter();
    gaps.map(|gap| gap.reason).collect()
}

/// Some frames on each connection, then a fault, in turn: stall, hang-up, reset, text, 503, no answer's end.
fn faulty() -> Script {
    script(async |mut camera| {
        camera.request().await?;
        match camera.number % 5 {
            3 => return camera.send("HTTP/1.0 503 Busy\r\n\r\n").await,
            4 => {
                return camera
                    .send("HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n<p>Welcome</p>")
                    .await;
            }
            _ => {}
        }
        camera.send(HEAD).await?;
        camera.send_live(PERIOD_MS, 25).await?;
        match camera.number % 5 {
            0 => camera.hold().await,
            1 => camera.reset(),
            _ => Ok(()),
        }
    })
}

#[test]
fn footage_and_gaps_cover_the_run_of_faulty_cameras() {
    let cameras = [1, 2, 3].map(|seed| Camera::start(Listen::plainly(seed), faulty()));
    let sections: String = ["a", "b", "c"]
        .iter()
        .zip(&cameras)
        .map(|(name, camera)| format!("{}stall_timeout = \"1 s\"\n", camera.section(name, "/")))
        .collect();
    let away = "[cameras.away]\nurl = \"http://127.0.0.1:1/\"\n";
    let place = Place::new(&format!("{sections}{away}"));
    let daemon = place.run();
    let begun_us = now_us();
    for camera in &cameras {
        camera.wait_for_connections(7, LIMIT);
    }
    stop(daemon, &place);
    let index = place.index().expect("an index");
    for camera in ["a", "b", "c", "away"] {
        assert_covered(&index, camera, begun_us);
        assert_adds_up(&place.log(), camera, index.rows_of(camera).len());
    }
    let reasons = reasons(&index, "a");
    for reason in ["starting", "stalled", "disconnected", "busy", "not_video"] {
        assert!(
            reasons.iter().any(|found| found == reason),
            "{reason}: {reasons:?}"
        );
    }
}

#[test]
fn footage_and_gaps_cover_two_runs_when_the_first_was_killed() {
    let camera = Camera::start(Listen::plainly(4), live(PERIOD_MS));
    let place = Place::new(&format!(
        "{}[cameras.away]\nurl = \"http://127.0.0.1:1/\"\n",
        camera.section("gate", "/")
    ));
    let daemon = place.run();
    let begun_us = now_us();
    place.wait_for("frames", LIMIT, |index| {
        (index.rows_of("gate").len() >= 40).then_some(())
    });
    place.wait_for("an open gap", LIMIT, |index| {
        index
            .gaps_of("away")
            .into_iter()
            .find(|gap| gap.reason == "unreachable")
    });
    drop(daemon); // kill -9
    let killed_us = now_us();
    std::thread::sleep(Duration::from_secs(2));
    let daemon = place.run();
    let restarted_us = now_us();
    camera.wait_for_connections(2, LIMIT);
    place.wait_for("frames of the second run", LIMIT, |index| {
        index
            .rows_of("gate")
            .into_iter()
            .find(|row| row.captured_us > restarted_us)
    });
    stop(daemon, &place);
    let index = place.index().expect("an index");
    for camera in ["gate", "away"] {
        assert_covered(&index, camera, begun_us);
        let gaps = index.gaps_of(camera);
        let [down] = &gaps
            .iter()
            .filter(|gap| gap.reason == "recorder_down")
            .collect::<Vec<_>>()[..]
        else {
            panic!("{camera}: one gap `recorder_down`: {gaps:#?}")
        };
        assert!(
            down.started_us <= killed_us && down.ended_us.is_some_and(|end| end >= restarted_us),
            "{down:?}, killed {killed_us}, restarted {restarted_us}"
        );
    }
    // No row points at bytes that are not there.
    assert_eq!(index.frames_of("gate").len(), index.rows_of("gate").len());
}

#[test]
fn gaps_of_a_camera_whose_clock_is_slow_lie_between_its_frames() {
    const SLOW_US: i64 = 300_000_000;
    let camera = Camera::start(
        Listen::plainly(5),
        script(async |mut camera| {
            camera.request().await?;
            if camera.number == 1 || camera.number == 2 {
                return camera.send("HTTP/1.0 503 Busy\r\n\r\n").await;
            }
            camera.send(HEAD).await?;
            let frames = if camera.number == 0 { 20 } else { usize::MAX };
            camera.send_late(PERIOD_MS, frames, SLOW_US).await
        }),
    );
    let place = Place::new(&camera.section("gate", "/"));
    let daemon = place.run();
    camera.wait_for_connections(4, LIMIT);
    place.wait_for("frames after the gap", LIMIT, |index| {
        (index.rows_of("gate").len() >= 40).then_some(())
    });
    stop(daemon, &place);
    let index = place.index().expect("an index");
    let rows = index.rows_of("gate");
    let mut gaps = index.gaps_of("gate");
    gaps.retain(|gap| gap.reason != "starting");
    assert_eq!(
        gaps.first().map(|gap| gap.started_us),
        Some(rows[19].captured_us),
        "{gaps:#?}"
    );
    assert_eq!(
        gaps.last().and_then(|gap| gap.ended_us),
        Some(rows[20].captured_us),
        "{gaps:#?}"
    );
    assert!(
        gaps.windows(2)
            .all(|pair| pair[0].ended_us == Some(pair[1].started_us)),
        "{gaps:#?}"
    );
}

#[test]
fn cameras_that_change_places_and_names_are_covered_while_they_are_configured() {
    let [one, two] = [6, 7].map(|seed| Camera::start(Listen::plainly(seed), live(PERIOD_MS)));
    let place = Place::new(&[one.section("a", "/"), two.section("b", "/")].concat());
    let daemon = place.run();
    let begun_us = now_us();
    let recorded = |names: [&'static str; 2], since_us: i64| {
        place.wait_for("new frames", LIMIT, |index| {
            let is_new = |name| {
                index
                    .rows_of(name)
                    .iter()
                    .any(|row| row.captured_us > since_us)
            };
            names.into_iter().all(is_new).then_some(())
        });
    };
    recorded(["a", "b"], begun_us);
    for round in 0..6 {
        let sections = match round % 2 {
            0 => [two.section("a", "/"), one.section("b", "/")],
            _ => [one.section("a", "/"), two.section("b", "/")],
        };
        place.configure(&sections.concat());
        daemon.signal(Signal::HUP);
        recorded(["a", "b"], now_us() + 200_000);
    }
    let removed_us = now_us();
    place.configure(&two.section("b", "/"));
    daemon.signal(Signal::HUP);
    recorded(["b", "b"], removed_us + 1_500_000);
    place.configure(&[one.section("a", "/"), two.section("b", "/")].concat());
    let back_us = now_us();
    daemon.signal(Signal::HUP);
    recorded(["a", "b"], back_us);
    stop(daemon, &place);
    let index = place.index().expect("an index");
    assert_covered(&index, "b", begun_us);
    let gaps = index.gaps_of("a");
    let starting = gaps.last().expect("a gap since it is back");
    assert_eq!(starting.reason, "starting", "{gaps:#?}");
    assert!(
        starting.started_us >= back_us,
        "its absence is no gap: {gaps:#?}"
    );
    for camera in [&one, &two] {
        assert_eq!(camera.journal().most_open, 1, "one connection at a time");
    }
}

#[test]
fn frame_that_nothing_follows_yet_is_stored_when_the_recorder_stops() {
    const FRAMES: usize = 20;
    // Nothing says how long a frame is; the delimiter comes with the next one.
    let camera = Camera::start(
        Listen::plainly(8),
        script(async |mut camera| {
            camera.request().await?;
            camera.send(HEAD).await?;
            for _ in 0..FRAMES {
                let jpeg = camera.jpeg().bytes();
                let head = "\r\n--camframe\r\nContent-Type: image/jpeg\r\n\r\n";
                let part = [head.as_bytes(), &jpeg].concat();
                camera.deliver(part, Shot::new(&jpeg)).await?;
                camera.wait(PERIOD_MS).await;
            }
            camera.hold().await
        }),
    );
    let place = Place::new(&camera.section("gate", "/"));
    let daemon = place.run();
    let begun = Instant::now();
    while camera.journal().sent.len() < FRAMES && begun.elapsed() < LIMIT {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(20)); // from socket to socket
    stop(daemon, &place);
    let index = place.index().expect("an index");
    assert_all_stored("gate", &camera.journal(), &index, i64::MAX);
}
