use std::path::Path;

use framelog_core::clock::ClockKind;
use framelog_core::frame::{Codec, Frame};
use framelog_store::{Options, Store};

use super::*;

#[test]
fn one_reason_after_the_other_is_one_span_without_footage() {
    let status = Status::default();
    let camera = status.camera("gate");
    let since = |at_us: i64, reason: Option<GapReason>| {
        let detail = String::new();
        let gap = reason.map(|reason| Gap {
            reason: reason.into(),
            detail,
        });
        camera.set_gap(at_us, gap);
        status.snapshots(Instant::now())[0].since_us
    };
    assert_eq!(since(1, Some(GapReason::Disabled)), 1);
    assert_eq!(since(2, Some(GapReason::Starting)), 2);
    assert_eq!(since(3, Some(GapReason::Unreachable)), 2);
    assert_eq!(since(4, None), 4);
    assert_eq!(since(5, Some(GapReason::Stalled)), 5);
}

#[test]
fn a_reload_that_had_to_wait_is_done_once_the_storage_is_there() {
    let status = Status::default();
    for (was, is) in [
        (Outcome::Waiting, Outcome::Applied),
        (Outcome::Refused, Outcome::Refused),
        (Outcome::Failed, Outcome::Failed),
    ] {
        status.set_reload(Reload::now(was));
        status.reload_waits_no_more();
        assert_eq!(status.reload().unwrap().outcome, is);
    }
}

/// A store there, with a camera.
async fn recorded(path: &Path) -> (Store, CameraLog) {
    let store = Store::open(Options::new(path.to_owned())).await.unwrap();
    let log = store.camera("gate").unwrap();
    (store, log)
}

#[tokio::test]
async fn another_configuration_is_no_frame() {
    let dir = tempfile::tempdir().unwrap();
    let (store, log) = recorded(dir.path()).await;
    let status = Status::default();
    let camera = status.camera("gate");
    let (begin, most) = (Instant::now(), Duration::from_secs(15));
    let after = |seconds: u64| begin + Duration::from_secs(seconds);
    let is_failing = |seconds| status.snapshots(after(seconds))[0].is_failing();
    camera.expect(log.clone(), most, begin);
    assert!(!is_failing(15) && is_failing(16));
    camera.expect(log.clone(), most, after(16));
    assert!(is_failing(17), "it has not recorded since the beginning");
    camera.expect_nothing(true);
    camera.expect(log.clone(), most, after(20));
    assert!(!is_failing(35) && is_failing(36), "it was off meanwhile");
    drop(log);
    store.close().await.unwrap();
}

/// A frame of this camera, to be appended.
fn frame() -> Frame {
    Frame {
        payload: bytes::Bytes::from_static(b"\xff\xd8\xff\xd9").into(),
        codec: Codec::Mjpeg,
        parameters: None,
        captured_us: 0,
        received_us: 0,
        clock: ClockKind::Arrival,
        offset_us: 0,
        keyframe: true,
        complete: true,
    }
}

#[tokio::test]
async fn a_frame_on_its_way_to_a_file_does_not_make_a_long_silence_the_disks() {
    let dir = tempfile::tempdir().unwrap();
    let (store, log) = recorded(dir.path()).await;
    let status = Status::default();
    let camera = status.camera("gate");
    let (now, most) = (Instant::now(), Duration::from_secs(15));
    let look = |seconds| {
        status
            .snapshots(now + Duration::from_secs(seconds))
            .remove(0)
    };
    camera.expect(log.clone(), most, now);
    let gap = Gap {
        reason: GapReason::Unreachable.into(),
        detail: "no route".to_owned(),
    };
    camera.set_gap(7, Some(gap));
    camera.expect(log.clone(), most, now);
    lock(&camera.inner).expected.as_mut().unwrap().since -= Duration::from_secs(600);
    camera.set_gap(9, None);
    let reason = |seconds| look(seconds).missing().map(|(reason, _)| reason.name());
    assert_eq!((reason(1), look(1).since_us), (Some("unreachable"), 7));
    assert_eq!(reason(20), Some("disk_slow"), "it had time enough");
    log.append(frame(), true).unwrap();
    while log.counters().stored_frames == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(
        (reason(20), look(20).since_us),
        (None, 9),
        "nobody has told of the frame but the file"
    );
    assert!(look(36).is_failing(), "it is counted once");
    drop(log);
    store.close().await.unwrap();
}

#[test]
fn frames_that_can_not_be_written_are_told_at_once() {
    let status = Status::default();
    status.camera("gate").set_gap(0, None);
    let well = Snapshot {
        enabled: true,
        ..status.snapshots(Instant::now()).remove(0)
    };
    assert!(!well.is_failing() && well.missing().is_none());
    for (kind, name) in [
        (ErrorKind::StorageFull, "disk_full"),
        (ErrorKind::QuotaExceeded, "disk_full"),
        (ErrorKind::ReadOnlyFilesystem, "read_only"),
        (ErrorKind::Other, "disk_fails"),
    ] {
        let losing = Snapshot {
            losing: Some(Losing::new(7, &kind.into())),
            ..well.clone()
        };
        assert!(losing.is_failing());
        let (reason, detail) = losing.missing().unwrap();
        assert_eq!(reason.name(), name);
        assert!(detail.starts_with("frames can't be written: "), "{detail}");
    }
}

#[test]
fn camera_of_which_nothing_is_expected_never_fails() {
    let status = Status::default();
    let gap = Gap {
        reason: GapReason::Disabled.into(),
        detail: String::new(),
    };
    status.camera("gate").set_gap(0, Some(gap));
    let later = Instant::now() + Duration::from_secs(1_000_000);
    assert!(!status.snapshots(later)[0].is_failing());
}
