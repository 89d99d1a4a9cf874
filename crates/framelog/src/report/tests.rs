//! What a report says of what the status and the index hold, and that it is read as it is written.

use std::time::Duration;

use framelog_store::Still;

use super::*;
use crate::status::{self, Counts, Gap};

const NOW: i64 = 1_700_000_000_000_000;

fn snapshot() -> Snapshot {
    Snapshot {
        name: "gate".to_owned(),
        is_configured: true,
        enabled: true,
        gap: None,
        since_us: NOW - 60_000_000,
        silent_for: Duration::from_millis(40),
        silence_max: Duration::from_secs(15),
        counts: Counts::default(),
        stored: Counters::default(),
        last_captured_us: Some(NOW),
        skew_us: None,
        lag_us: None,
        rate: None,
        still: None,
        losing: None,
    }
}

fn gap(reason: GapReason) -> Option<Gap> {
    Some(Gap {
        reason: reason.into(),
        detail: "why".to_owned(),
    })
}

fn states(snapshot: Snapshot) -> (State, i64, Option<String>) {
    let camera = Camera::of(&snapshot, NOW);
    (camera.state, camera.since_us.unwrap() - NOW, camera.reason)
}

#[test]
fn state_is_the_worst_that_is_known() {
    let still = Some((Still::Picture, NOW - 20_000_000));
    assert_eq!(states(snapshot()), (State::Recording, -60_000_000, None));
    let frozen = Snapshot {
        still,
        ..snapshot()
    };
    assert_eq!(states(frozen), (State::Frozen, -20_000_000, None));
    let stalled = Snapshot {
        still,
        gap: gap(GapReason::Stalled),
        ..snapshot()
    };
    let reason = |reason: GapReason| Some(reason.name().to_owned());
    assert_eq!(
        states(stalled),
        (State::Missing, -60_000_000, reason(GapReason::Stalled))
    );
    let disabled = Snapshot {
        gap: gap(GapReason::Disabled),
        enabled: false,
        ..snapshot()
    };
    assert_eq!(
        states(disabled),
        (State::Disabled, -60_000_000, reason(GapReason::Disabled))
    );
}

#[test]
fn camera_whose_frames_do_not_reach_the_disk_is_missing_since_the_last_that_did() {
    let stuck = Snapshot {
        silent_for: Duration::from_secs(16),
        ..snapshot()
    };
    assert_eq!(
        states(stuck),
        (State::Missing, -16_000_000, Some("disk_slow".to_owned()))
    );
}

#[test]
fn protected_footage_that_is_older_than_retain_is_told() {
    let status = Status::default();
    status.opened(status::Recorder {
        uuid: "u".to_owned(),
        path: "/p".into(),
        since_us: NOW,
        watchers: Default::default(),
    });
    status.camera("gate").expect_nothing(true);
    let rules = Rules {
        retain: Some(Duration::from_secs(60)),
        ..Rules::default()
    };
    let row = |first_received_us, is_first_protected| KeptRow {
        camera: "gate".to_owned(),
        started_us: NOW - 90_000_000,
        ended_us: NOW,
        first_received_us,
        is_first_protected,
    };
    let kept = |row: KeptRow| {
        let mut report = Report::live(&status).unwrap();
        report.add_kept(&[row], &rules, NOW);
        let camera = &report.cameras[0];
        assert_eq!(camera.kept_from_us, Some(NOW - 90_000_000));
        assert_eq!(camera.kept_to_us, Some(NOW));
        report.storage.unkept.len()
    };
    assert_eq!(kept(row(NOW - 61_000_000, true)), 1);
    assert_eq!(kept(row(NOW - 61_000_000, false)), 0, "it goes in a moment");
    assert_eq!(kept(row(NOW - 59_000_000, true)), 0);
}

#[test]
fn storage_that_is_waited_for_is_told_before_it_was_ever_open() {
    let status = Status::default();
    status.starts("/p".into());
    assert_eq!(Report::live(&status), None, "it is being opened");
    status.set_no_storage(Some(status::NoStorage {
        why: "recorder 7 does not record here".to_owned(),
        reason: Reason::NoStorage,
    }));
    let report = Report::live(&status).unwrap();
    assert_eq!(report.storage.state, StorageState::Gone);
    assert_eq!(report.storage.path, PathBuf::from("/p"));
    let detail = report.storage.detail.as_deref();
    assert_eq!(detail, Some("recorder 7 does not record here"));
    assert!(report.is_failing() && report.recorder.running);
}

#[test]
fn report_is_read_as_it_is_written() {
    let status = Status::default();
    assert_eq!(Report::live(&status), None, "nothing is open");
    status.opened(status::Recorder {
        uuid: "u".to_owned(),
        path: "/p".into(),
        since_us: NOW,
        watchers: Default::default(),
    });
    status.camera("gone").expect_nothing(false);
    let off = status.camera("off");
    off.expect_nothing(true);
    off.set_gap(NOW, gap(GapReason::Disabled));
    let report = Report::live(&status).unwrap();
    let names: Vec<_> = report.cameras.iter().map(|camera| &camera.name).collect();
    assert_eq!(names, ["off"], "what was removed is not listed");
    assert!(!report.is_failing());
    let json = serde_json::to_string(&report).unwrap();
    assert!(json.contains(r#""state":"disabled""#), "{json}");
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
}
