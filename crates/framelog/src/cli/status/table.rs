//! A report as a person reads it: one line for each camera, what is wrong first. Not for programs.

use std::fmt::Write as _;

use crate::cli::{time, words};
use crate::report::{Camera, Report, Room, State, StorageState};

/// A camera whose clock is more than this off is told so.
const SKEW_TOLD_US: i64 = 2_000_000;

/// The whole text, every line ended.
pub fn text(report: &Report, now_us: i64, utc: bool) -> String {
    let mut text = head(report, now_us, utc) + "\n";
    if let Some(room) = &report.storage.room {
        text += &(of_disk(room) + "\n");
    }
    let mut cameras: Vec<&Camera> = report.cameras.iter().collect();
    cameras.sort_by_key(|camera| (camera.state, &camera.name));
    let width = cameras.iter().map(|camera| camera.name.len()).max();
    for camera in cameras {
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "{:width$}  {:9}  {}",
            camera.name,
            name(camera.state),
            words::plain(
                &[
                    remarks(camera, now_us, utc),
                    of_run(report, camera),
                    kept(camera, utc),
                ]
                .concat()
            ),
            width = width.unwrap_or(0)
        );
    }
    text
}

fn head(report: &Report, now_us: i64, utc: bool) -> String {
    let path = report.storage.path.display();
    let recorder = &report.recorder;
    let since = recorder
        .since_us
        .map(|since_us| format!(" {}", since(since_us, now_us, utc)))
        .unwrap_or_default();
    let mut head = match (recorder.running, report.storage.state) {
        (false, StorageState::Empty) => format!("{path}: nothing was ever recorded here"),
        (false, StorageState::NoIndex) => format!(
            "{path}: NO RECORDER RUNS; there is footage, but its index (index.db) is missing: starting the recorder makes a new one from the footage, and so does `framelog reindex`"
        ),
        (true, _) => format!("{path}: recorder running{since}"),
        (false, _) if recorder.killed => {
            format!("{path}: NO RECORDER RUNS; the last was killed, alive{since}")
        }
        (false, _) => format!("{path}: NO RECORDER RUNS; stopped{since}"),
    };
    if let Some(pid) = recorder.pid {
        let _ = write!(head, ", pid {pid}");
    }
    match report.storage.state {
        StorageState::DiskFull => head += "; THE DISK IS FULL",
        StorageState::ReadOnly => {
            head += "; THE DISK IS READ-ONLY, nothing is recorded until it can be written";
        }
        StorageState::DiskFails => head += "; THE DISK CAN'T BE WRITTEN",
        StorageState::DiskSlow => head += "; THE DISK IS TOO SLOW",
        StorageState::Gone => head += "; NO STORAGE, nothing is recorded until it is there",
        StorageState::Ok | StorageState::Empty | StorageState::NoIndex => {}
    }
    if let Some(detail) = &report.storage.detail {
        let _ = write!(head, ": {detail}");
    }
    if let Some(reload) = recorder.reload.as_ref().filter(|reload| !reload.is_done()) {
        let why = words::plain(&reload.lines().join("; "));
        let at = second(reload.at_us, utc);
        let _ = write!(head, "; RELOAD {at}: {why}");
    }
    for unkept in &report.storage.unkept {
        let of = unkept.camera.as_ref().map(|camera| format!(" of {camera}"));
        let (rule, of) = (&unkept.rule, of.unwrap_or_default());
        let _ = write!(head, "; {rule}{of} CAN'T BE KEPT: {}", unkept.detail);
    }
    head
}

/// How full the disk is, and how long it lasts.
fn of_disk(room: &Room) -> String {
    let mut text = format!(
        "disk: {} of {} free, {} of footage",
        words::bytes(room.free_bytes),
        words::bytes(room.disk_bytes),
        words::bytes(room.footage_bytes)
    );
    if let Some(rate) = room.bytes_per_s {
        let _ = write!(text, "; {}/s are recorded", words::bytes(rate));
    }
    if let Some(days) = room.days_fit {
        let _ = write!(text, ", of which {}", words::days_fit(days));
    }
    text
}

fn name(state: State) -> &'static str {
    match state {
        State::Down => "down",
        State::Missing => "missing",
        State::Frozen => "frozen",
        State::Recording => "recording",
        State::Disabled => "disabled",
    }
}

/// The state, and what is odd about the camera.
fn remarks(camera: &Camera, now_us: i64, utc: bool) -> String {
    let mut remarks = Vec::new();
    if let Some(since_us) = camera.since_us {
        remarks.push(since(since_us, now_us, utc));
    }
    if camera.state == State::Missing {
        let words = [&camera.reason, &camera.detail];
        let words: Vec<&str> = words
            .into_iter()
            .flatten()
            .map(String::as_str)
            .filter(|words| !words.is_empty())
            .collect();
        remarks.push(words.join(": "));
    }
    if let Some(frozen) = camera
        .frozen
        .as_ref()
        .filter(|_| camera.state == State::Frozen)
    {
        remarks.push(format!("the {} stands still", frozen.what));
    }
    if let Some(last_us) = camera
        .last_captured_us
        .filter(|_| camera.state != State::Disabled)
    {
        remarks.push(format!("last {}", ago(last_us, now_us)));
    }
    if let (Some(fps), Some(bits), State::Recording | State::Frozen) =
        (camera.fps, camera.bits_per_s, camera.state)
    {
        remarks.push(format!("{fps:.1} fps, {}", bit_rate(bits)));
        remarks.extend(
            camera
                .lag_us
                .map(|us| format!("lag {}", words::duration(us))),
        );
    }
    if let Some(connections) = camera.connections.filter(|count| *count > 1) {
        remarks.push(format!("connected {connections} times"));
    }
    if let Some(skew_us) = camera
        .skew_us
        .filter(|skew| skew.saturating_abs() > SKEW_TOLD_US)
    {
        let (off, way) = (
            words::duration(skew_us.saturating_abs()),
            if skew_us > 0 { "ahead" } else { "behind" },
        );
        remarks.push(format!("its clock is {off} {way}"));
    }
    remarks.join(", ")
}

fn bit_rate(bits: u64) -> String {
    match bits {
        ..1_000_000 => format!("{} kbit/s", bits / 1_000),
        _ => format!("{:.1} Mbit/s", bits as f64 / 1e6),
    }
}

/// What became of its frames in this run of the recorder, or in the last.
fn of_run(report: &Report, camera: &Camera) -> String {
    let run = match (report.recorder.running, report.recorder.since_us) {
        (true, _) => "this run",
        (false, Some(_)) => "last run",
        (false, None) => return String::new(), // there was none
    };
    let mut text = format!("; {run}: {}", frames(camera));
    for (number, what) in [
        (camera.dropped.disk_full, "dropped (could not be written)"),
        (camera.dropped.disk_slow, "dropped (disk slow)"),
        (camera.lost, "lost when killed"),
        (
            camera.skipped.torn,
            "skipped (torn: parts of them never came)",
        ),
        (camera.skipped.too_large, "skipped (too large)"),
        (
            camera.skipped.not_picture,
            "skipped (no picture that can be shown)",
        ),
        (camera.skipped.empty, "skipped (empty)"),
    ] {
        if number > 0 {
            let _ = write!(text, ", {number} {what}");
        }
    }
    text
}

/// From when to when there is footage, of all runs.
fn kept(camera: &Camera, utc: bool) -> String {
    match (camera.kept_from_us, camera.kept_to_us) {
        (Some(from_us), Some(to_us)) => {
            format!("; kept: {} to {}", second(from_us, utc), second(to_us, utc))
        }
        _ => String::new(),
    }
}

fn frames(camera: &Camera) -> String {
    let frames = words::count(camera.stored, "frame");
    match camera.stored_bytes {
        Some(bytes) => format!("{frames} ({})", words::bytes(bytes)),
        None => frames,
    }
}

fn since(since_us: i64, now_us: i64, utc: bool) -> String {
    format!(
        "since {} ({})",
        second(since_us, utc),
        words::duration(now_us.saturating_sub(since_us))
    )
}

/// The time without the part of the second, which nobody asks for.
fn second(at_us: i64, utc: bool) -> String {
    let whole_us = at_us.saturating_sub(at_us.rem_euclid(1_000_000));
    time::format(whole_us, utc).replacen(".000000", "", 1)
}

fn ago(at_us: i64, now_us: i64) -> String {
    match now_us.saturating_sub(at_us) {
        ago_us if ago_us < 0 => format!("{} from now", words::duration(ago_us.saturating_neg())),
        ago_us => format!("{} ago", words::duration(ago_us)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reload::{Outcome, Reload};
    use crate::report::{Dropped, Frozen, Recorder, Skipped, Source, Storage, Unkept};

    const NOW: i64 = 1_700_000_000_000_000;

    fn camera(name: &str, state: State) -> Camera {
        Camera {
            name: name.to_owned(),
            state,
            since_us: Some(NOW - 90_000_000),
            stored: 1_200,
            stored_bytes: Some(24_000_000),
            last_captured_us: Some(NOW - 40_000),
            ..Camera::default()
        }
    }

    fn report(running: bool, cameras: Vec<Camera>) -> Report {
        Report {
            source: Source::Recorder,
            recorder: Recorder {
                running,
                since_us: Some(NOW - 3_720_000_000),
                killed: !running,
                pid: running.then_some(812),
                ..Recorder::default()
            },
            storage: Storage {
                path: "/footage".into(),
                state: StorageState::of(&cameras),
                detail: None,
                unkept: Vec::new(),
                room: None,
            },
            cameras,
        }
    }

    #[test]
    fn what_is_wrong_comes_first_and_columns_are_aligned() {
        let gate = Camera {
            reason: Some("unreachable".to_owned()),
            detail: Some("connection\u{1b} refused".to_owned()),
            ..camera("gate", State::Missing)
        };
        let yard = Camera {
            frozen: Some(Frozen {
                since_us: NOW,
                what: "picture".to_owned(),
            }),
            ..camera("yard", State::Frozen)
        };
        let door = Camera {
            dropped: Dropped {
                disk_slow: 3,
                disk_full: 0,
            },
            skew_us: Some(-4_200_000),
            ..camera("front-door", State::Recording)
        };
        let cameras = vec![camera("attic", State::Disabled), door, gate, yard];
        let since = "since 2023-11-14T22:11:50Z (1 min 30 s)";
        assert_eq!(
            text(&report(true, cameras), NOW, true),
            [
                "/footage: recorder running since 2023-11-14T21:11:20Z (1 h 02 min), pid 812\n",
                &format!("gate        missing    {since}, unreachable: connection\u{fffd} refused, last 40 ms ago; this run: 1200 frames (24 MB)\n"),
                &format!("yard        frozen     {since}, the picture stands still, last 40 ms ago; this run: 1200 frames (24 MB)\n"),
                &format!("front-door  recording  {since}, last 40 ms ago, its clock is 4.2 s behind; this run: 1200 frames (24 MB), 3 dropped (disk slow)\n"),
                &format!("attic       disabled   {since}; this run: 1200 frames (24 MB)\n"),
            ]
            .concat()
        );
    }

    #[test]
    fn how_fast_frames_come_and_how_long_the_disk_lasts_is_told() {
        let gate = Camera {
            fps: Some(24.96),
            bits_per_s: Some(4_812_000),
            lag_us: Some(42_000),
            connections: Some(3),
            ..camera("gate", State::Recording)
        };
        let mut report = report(true, vec![gate]);
        let room = |days_fit| Room {
            free_bytes: 41_000_000_000,
            disk_bytes: 99_000_000_000,
            footage_bytes: 12_000_000_000,
            bytes_per_s: Some(601_500),
            days_fit,
        };
        for (days_fit, says) in [
            (None, ""),
            (Some(0.02), ", of which 29 minutes fit"),
            (Some(0.5), ", of which 12.0 hours fit"),
            (Some(3.456), ", of which 3.5 days fit"),
            (Some(14.2), ", of which 14 days fit"),
        ] {
            report.storage.room = Some(room(days_fit));
            let text = text(&report, NOW, true);
            let line = text.lines().nth(1);
            let disk = "disk: 41 GB of 99 GB free, 12 GB of footage; 602 kB/s are recorded";
            assert_eq!(line, Some(&*format!("{disk}{says}")));
            let camera = ", 25.0 fps, 4.8 Mbit/s, lag 42 ms, connected 3 times; this run";
            assert!(text.contains(camera), "{text}");
        }
    }

    #[test]
    fn what_was_skipped_is_told_with_the_reason() {
        let gate = Camera {
            skipped: Skipped {
                empty: 1,
                not_picture: 2,
                torn: 3,
                too_large: 4,
            },
            ..camera("gate", State::Recording)
        };
        let said = "; this run: 1200 frames (24 MB), 3 skipped (torn: parts of them never came), 4 skipped (too large), \
                    2 skipped (no picture that can be shown), 1 skipped (empty)\n";
        let text = text(&report(true, vec![gate]), NOW, true);
        assert!(text.ends_with(said), "{text}");
    }

    #[test]
    fn footage_that_is_kept_and_limits_that_are_not_are_told() {
        let gate = Camera {
            kept_from_us: Some(NOW - 86_400_000_000),
            kept_to_us: Some(NOW - 40_000),
            ..camera("gate", State::Recording)
        };
        let mut report = report(true, vec![gate]);
        let unkept = |rule: &str, camera: Option<&str>| Unkept {
            rule: rule.to_owned(),
            camera: camera.map(str::to_owned),
            detail: "all of it is protected".to_owned(),
        };
        report.storage.unkept = vec![unkept("max_size", None), unkept("retain", Some("gate"))];
        let text = text(&report, NOW, true);
        for said in [
            "; max_size CAN'T BE KEPT: all of it is protected; retain of gate CAN'T BE KEPT: all of it is protected\n",
            "; kept: 2023-11-13T22:13:20Z to 2023-11-14T22:13:19Z\n",
        ] {
            assert!(text.contains(said), "{text}");
        }
    }

    #[test]
    fn a_disk_that_is_not_full_is_not_called_so() {
        let head = |reason: &str| {
            let gate = Camera {
                reason: Some(reason.to_owned()),
                detail: Some("why".to_owned()),
                ..camera("gate", State::Missing)
            };
            let text = text(&report(true, vec![gate]), NOW, true);
            assert!(text.contains(&format!(", {reason}: why, ")), "{text}");
            text.lines()
                .next()
                .unwrap()
                .rsplit_once("; ")
                .unwrap()
                .1
                .to_owned()
        };
        assert_eq!(head("disk_full"), "THE DISK IS FULL");
        assert_eq!(
            head("read_only"),
            "THE DISK IS READ-ONLY, nothing is recorded until it can be written"
        );
        assert_eq!(head("disk_fails"), "THE DISK CAN'T BE WRITTEN");
    }

    #[test]
    fn why_there_is_no_storage_stands_behind_that_and_not_behind_a_reload_that_waits_for_it() {
        let mut report = report(true, Vec::new());
        report.storage.state = StorageState::Gone;
        report.storage.detail = Some("/footage is not mounted".to_owned());
        report.recorder.reload = Some(Reload::now(Outcome::Waiting));
        let text = text(&report, NOW, true);
        let told =
            "; NO STORAGE, nothing is recorded until it is there: /footage is not mounted; RELOAD ";
        assert!(text.contains(told), "{text}");
    }

    #[test]
    fn footage_without_an_index_is_not_called_nothing() {
        let head = |state| {
            let mut report = report(false, Vec::new());
            report.storage.state = state;
            text(&report, NOW, true)
        };
        assert!(head(StorageState::Empty).contains("nothing was ever recorded"));
        let without_index = head(StorageState::NoIndex);
        assert!(
            without_index.contains("there is footage")
                && without_index.contains("framelog reindex"),
            "{without_index}"
        );
    }

    #[test]
    fn without_a_recorder_that_is_the_first_thing_said() {
        let text = text(&report(false, vec![camera("gate", State::Down)]), NOW, true);
        assert!(
            text.starts_with(
                "/footage: NO RECORDER RUNS; the last was killed, alive since 2023-11-14T21:11:20Z"
            ),
            "{text}"
        );
        assert!(text.contains("\ngate  down "), "{text}");
        assert!(text.contains("; last run: 1200 frames (24 MB)\n"), "{text}");
    }
}
