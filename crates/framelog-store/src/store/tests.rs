//! The store as a whole: what is appended is found again, or counted.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::SeqCst;

use bytes::Bytes;
use framelog_core::clock::ClockKind;
use framelog_core::container::mp4;
use framelog_core::frame::{Codec, Frame, Payload};
use framelog_core::gap::GapReason;
use framelog_core::multipart::SkipReason;
use sqlx::{ConnectOptions as _, SqliteConnection, sqlite::SqliteConnectOptions};

use super::*;
use crate::ask_for_reindex;
use crate::blocks::BLOCK;
use crate::camera::Counters;
use crate::container::Container;
use crate::query::{FrameRow, GapRow, Reader, SegmentRow};
use crate::scan::{Depth, Scan, scan};

// Named, because this file is two modules.
#[path = "tests/crash.rs"]
mod crash;
#[path = "tests/keeping.rs"]
mod keeping;
#[path = "tests/rebuild.rs"]
mod rebuild;

/// 2023-11-14 22:13:20 UTC.
const T: i64 = 1_700_000_000_000_000;

fn options(path: &Path) -> Options {
    Options {
        sync: Duration::from_millis(20),
        ..Options::new(path.to_owned())
    }
}

/// What the frames of these tests are.
fn codec() -> Codec {
    match module_path!().ends_with("h264") {
        true => Codec::H264,
        false => Codec::Mjpeg,
    }
}

fn container() -> Container {
    Container::of(codec(), Layout::Segments)
}

async fn open(path: &Path) -> Store {
    Store::open(options(path)).await.unwrap()
}

fn payload(text: &str) -> Payload {
    // In two slices, as a network delivers it.
    let bytes = Bytes::copy_from_slice(text.as_bytes());
    let mut payload = Payload::from(bytes.slice(..bytes.len() / 2));
    payload.push(bytes.slice(bytes.len() / 2..));
    payload
}

fn frame(captured_us: i64, text: &str) -> Frame {
    Frame {
        payload: payload(text),
        codec: codec(),
        parameters: None,
        captured_us,
        received_us: captured_us.saturating_add(40_000),
        clock: ClockKind::Camera,
        offset_us: 0,
        keyframe: true,
        complete: true,
    }
}

/// A frame that begins and ends as a JPEG does.
fn picture(captured_us: i64, length: usize) -> Frame {
    let mut bytes = vec![0xff, 0xd8];
    bytes.extend(captured_us.to_string().bytes().cycle().take(length));
    bytes.extend([0xff, 0xd9]);
    Frame {
        payload: Bytes::from(bytes).into(),
        ..frame(captured_us, "")
    }
}

fn frames(reader: &Reader, camera: &str) -> Vec<FrameRow> {
    reader
        .frames(camera, i64::MIN, i64::MAX, None, u32::MAX)
        .unwrap()
}

async fn all_segments(reader: &Reader) -> Vec<SegmentRow> {
    reader.segments(None, i64::MIN, i64::MAX).await.unwrap()
}

async fn gaps(path: &Path, camera: &str) -> Vec<GapRow> {
    Reader::open(path)
        .await
        .unwrap()
        .gaps(Some(camera), i64::MIN, i64::MAX)
        .await
        .unwrap()
}

fn spans(gaps: &[GapRow]) -> Vec<(i64, Option<i64>, &str)> {
    gaps.iter()
        .map(|gap| (gap.started_us, gap.ended_us, gap.reason.as_str()))
        .collect()
}

/// (captured, text) of every frame of a camera, read from the files.
async fn stored(path: &Path, camera: &str) -> Vec<(i64, String)> {
    let reader = Reader::open(path).await.unwrap();
    let text = |frame: FrameRow| {
        (
            frame.captured_us,
            String::from_utf8(reader.payload(&frame).unwrap()).unwrap(),
        )
    };
    frames(&reader, camera).into_iter().map(text).collect()
}

/// What stands before the first frame of a file, bytes.
fn opening_len() -> u64 {
    let mut head = Vec::new();
    let frame = frame(T, "");
    match codec() {
        Codec::Mjpeg => 0,
        _ => {
            mp4::Position::begin(&frame, mp4::Pace::default()).write_head(&frame, &mut head);
            (head.len() - mp4::HEAD_LEN) as u64
        }
    }
}

/// What a segment's file says of itself.
fn scanned(path: &Path) -> Scan {
    let format = container().format().unwrap();
    scan(&fs::File::open(path).unwrap(), format, 0, Depth::Bytes).unwrap()
}

async fn wait_for(mut condition: impl AsyncFnMut() -> bool) {
    for _ in 0..1000 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited 10 s in vain");
}

async fn index(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new()
        .filename(path.join(layout::INDEX))
        .connect()
        .await
        .unwrap()
}

#[tokio::test]
async fn every_frame_is_found_byte_for_byte_with_its_times() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let log = store.camera("front-door").unwrap();
    assert_eq!(log.last_captured_us(), None);
    let torn = Frame {
        complete: false,
        clock: ClockKind::Arrival,
        received_us: T + 1,
        ..frame(T + 1, "torn")
    };
    log.append(frame(T, "one"), false).unwrap();
    log.append(torn, false).unwrap();
    log.append(frame(T + 2, ""), false).unwrap();
    let mapped = Frame {
        clock: ClockKind::Mapped,
        offset_us: 7,
        ..frame(T + 3, "four")
    };
    log.append(mapped, true).unwrap();
    assert_eq!(log.last_captured_us(), Some(T + 3));
    store.close().await.unwrap();
    assert_eq!(
        log.counters(),
        Counters {
            parts: 4,
            stored_frames: 4,
            stored_bytes: 11,
            ..Counters::default()
        }
    );

    assert!(
        !dir.path().join("index.db-wal").exists(),
        "a clean stop leaves one file"
    );
    let texts = ["one", "torn", "", "four"].map(str::to_owned);
    let expected: Vec<_> = (T..).zip(texts).collect();
    assert_eq!(stored(dir.path(), "front-door").await, expected);
    let reader = Reader::open(dir.path()).await.unwrap();
    assert_eq!(reader.cameras().await.unwrap(), ["front-door"]);
    let rows = frames(&reader, "front-door");
    let kinds: Vec<_> = rows
        .iter()
        .map(|row| (row.clock.name(), row.complete, row.received_us - T))
        .collect();
    assert_eq!(
        kinds,
        [
            ("camera", true, 40_000),
            ("arrival", false, 1),
            ("camera", true, 40_002),
            ("mapped", true, 40_003)
        ]
    );
    assert!(rows.iter().all(|row| row.keyframe && row.codec == codec()));

    let segments = all_segments(&reader).await;
    let counts: Vec<_> = segments
        .iter()
        .map(|s| (s.started_us - T, s.ended_us - T, s.frames, s.open))
        .collect();
    assert_eq!(counts, [(0, 2, 3, false), (3, 3, 1, false)]);
    for segment in segments {
        let path = dir.path().join(&segment.path);
        assert!(fs::read(&path).unwrap().starts_with(container().begins()));
        let scan = scanned(&path);
        assert_eq!(
            (scan.end, scan.damaged.len(), scan.torn()),
            (segment.bytes, 0, 0)
        );
    }
}

#[tokio::test]
async fn rows_are_committed_while_recording_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let log = store.camera("a").unwrap();
    log.append(frame(T, "one"), false).unwrap();
    let reader = Reader::open(dir.path()).await.unwrap();
    wait_for(async || !frames(&reader, "a").is_empty()).await;
    log.append(frame(T + 1, "two"), false).unwrap();
    wait_for(async || frames(&reader, "a").len() == 2).await;
    let segments = all_segments(&reader).await;
    assert_eq!(segments.len(), 1);
    assert_eq!((segments[0].frames, segments[0].open), (2, true));
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_picture_with_a_flipped_bit_is_told_and_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let log = store.camera("a").unwrap();
    log.append(frame(T, "one"), false).unwrap();
    log.append(frame(T + 1, "two"), false).unwrap();
    store.close().await.unwrap();
    let reader = Reader::open(dir.path()).await.unwrap();
    let rows = frames(&reader, "a");
    let file = dir.path().join(&rows[0].path);
    let mut bytes = fs::read(&file).unwrap();
    bytes[rows[0].offset as usize] ^= 1;
    fs::write(&file, bytes).unwrap();
    assert!(matches!(
        reader.payload(&rows[0]),
        Err(Error::Damaged { .. })
    ));
    assert_eq!(reader.payload(&rows[1]).unwrap(), b"two");
    for wrong in [
        FrameRow {
            offset: rows[1].offset + 1,
            ..rows[1].clone()
        },
        FrameRow {
            captured_us: T,
            ..rows[1].clone()
        },
        FrameRow {
            length: u64::MAX,
            ..rows[1].clone()
        },
    ] {
        assert!(matches!(reader.payload(&wrong), Err(Error::Damaged { .. })));
    }
}

#[tokio::test]
async fn equal_and_backward_stamps_are_kept_in_order_of_arrival() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let log = store.camera("a").unwrap();
    for (captured_us, text) in [(T + 5, "1"), (T, "2"), (T + 5, "3"), (T, "4")] {
        log.append(frame(captured_us, text), text == "3").unwrap();
    }
    assert_eq!(
        log.last_captured_us(),
        Some(T),
        "the newest is the one that came last"
    );
    store.close().await.unwrap();
    let expected = [(T, "2"), (T, "4"), (T + 5, "1"), (T + 5, "3")];
    assert_eq!(
        stored(dir.path(), "a").await,
        expected.map(|(us, text)| (us, text.to_owned()))
    );
    let segments = all_segments(&Reader::open(dir.path()).await.unwrap()).await;
    assert!(
        segments
            .iter()
            .all(|segment| (segment.started_us, segment.ended_us) == (T, T + 5))
    );
}

#[tokio::test]
async fn absurd_times_are_exact_in_the_index_and_harmless_in_paths() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let log = store.camera("a").unwrap();
    let times = [i64::MIN, -1, 0, 253_402_300_800_000_000, i64::MAX];
    for captured_us in times {
        log.append(
            Frame {
                received_us: T,
                ..frame(captured_us, "x")
            },
            true,
        )
        .unwrap();
    }
    store.close().await.unwrap();
    let found: Vec<i64> = stored(dir.path(), "a")
        .await
        .into_iter()
        .map(|(captured_us, _)| captured_us)
        .collect();
    assert_eq!(found, times[..4], "a span does not hold its end");
    let reader = Reader::open(dir.path()).await.unwrap();
    assert_eq!(
        reader.nearest("a", i64::MAX).unwrap().unwrap().captured_us,
        i64::MAX
    );
    let captured: Vec<Option<String>> = sqlx::query_scalar(
        "SELECT captured FROM footage WHERE captured_us BETWEEN -1 AND 0 ORDER BY captured_us",
    )
    .fetch_all(&mut index(dir.path()).await)
    .await
    .unwrap();
    assert_eq!(
        captured,
        [
            Some("1969-12-31T23:59:59.999999Z".into()),
            Some("1970-01-01T00:00:00.000000Z".into())
        ]
    );
}

#[tokio::test]
async fn segments_of_the_same_moment_never_overwrite_each_other() {
    let dir = tempfile::tempdir().unwrap();
    for run in 0..3 {
        let store = open(dir.path()).await;
        store
            .camera("a")
            .unwrap()
            .append(frame(T, &run.to_string()), false)
            .unwrap();
        store.close().await.unwrap();
    }
    let expected = ["0", "1", "2"].map(|text| (T, text.to_owned()));
    assert_eq!(stored(dir.path(), "a").await, expected);
    let paths: Vec<_> = all_segments(&Reader::open(dir.path()).await.unwrap())
        .await
        .into_iter()
        .map(|s| s.path)
        .collect();
    let day = Path::new("footage/a/2023-11-14");
    assert_eq!(
        paths,
        ["", ".2", ".3"]
            .map(|n| day.join(format!("221320.000000Z{n}.{}", container().extension())))
    );
}

#[tokio::test]
async fn recording_goes_on_in_a_new_file_when_someone_deletes_the_open_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let log = store.camera("a").unwrap();
    log.append(frame(T, "gone"), true).unwrap();
    let reader = Reader::open(dir.path()).await.unwrap();
    wait_for(async || !frames(&reader, "a").is_empty()).await;
    std::fs::remove_dir_all(dir.path().join("footage")).unwrap();
    let mut after = 0;
    wait_for(async || {
        after += 1;
        log.append(frame(T + after, "after"), false).unwrap();
        let rows = frames(&reader, "a");
        rows.iter().any(|row| reader.payload(row).is_ok())
    })
    .await;
    store.close().await.unwrap();
    let rows = frames(&reader, "a");
    assert_eq!(rows.len(), 1 + after as usize);
    let readable = |row: &FrameRow| reader.payload(row).is_ok();
    let lost = rows.iter().position(readable).unwrap();
    assert!(lost > 0 && rows[lost..].iter().all(readable));
}

#[tokio::test]
async fn footage_that_someone_deleted_makes_room_for_the_same_name() {
    let dir = tempfile::tempdir().unwrap();
    for text in ["deleted", "new"] {
        let store = open(dir.path()).await;
        let log = store.camera("a").unwrap();
        log.append(frame(T, text), false).unwrap();
        store.close().await.unwrap();
        if text == "deleted" {
            fs::remove_dir_all(dir.path().join("footage/a")).unwrap();
        }
    }
    assert_eq!(stored(dir.path(), "a").await, [(T, "new".to_owned())]);
}

#[tokio::test]
async fn layout_files_makes_a_jpg_of_each_frame_that_keeps_its_arrival() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Options {
        layout: Layout::Files,
        ..options(dir.path())
    })
    .await
    .unwrap();
    let log = store.camera("a").unwrap();
    let codec = Codec::Mjpeg;
    let one = Frame {
        codec,
        ..frame(T, "one")
    };
    log.append(one, false).unwrap();
    log.append(
        Frame {
            codec,
            clock: ClockKind::Arrival,
            ..frame(T + 1, "two")
        },
        false,
    )
    .unwrap();
    store.close().await.unwrap();
    let reader = Reader::open(dir.path()).await.unwrap();
    let segments = all_segments(&reader).await;
    let files: Vec<_> = segments
        .iter()
        .map(|s| fs::read(dir.path().join(&s.path)).unwrap())
        .collect();
    assert_eq!(files, [b"one", b"two"]);
    assert!(
        segments
            .iter()
            .all(|segment| segment.frames == 1 && !segment.open)
    );
    let meta = fs::metadata(dir.path().join(&segments[1].path)).unwrap();
    assert_eq!(
        meta.mtime() * 1_000_000_000 + meta.mtime_nsec(),
        (T + 40_001) * 1000 + 2
    );
    assert_eq!(
        stored(dir.path(), "a").await,
        [(T, "one".to_owned()), (T + 1, "two".to_owned())]
    );
}

#[tokio::test]
async fn segments_end_with_the_connection_and_where_the_clock_offset_changes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let log = store.camera("a").unwrap();
    log.append(frame(T, "1"), false).unwrap();
    log.append(frame(T + 1, "2"), false).unwrap();
    log.end_segment();
    log.append(frame(T + 2, "3"), false).unwrap();
    log.append(
        Frame {
            offset_us: 9,
            ..frame(T + 3, "4")
        },
        false,
    )
    .unwrap();
    let again = store.camera("a").unwrap();
    again
        .append(
            Frame {
                offset_us: 9,
                ..frame(T + 4, "5")
            },
            false,
        )
        .unwrap();
    store.close().await.unwrap();
    let counts: Vec<_> = all_segments(&Reader::open(dir.path()).await.unwrap())
        .await
        .iter()
        .map(|segment| segment.frames)
        .collect();
    assert_eq!(counts, [2, 1, 1, 1]);
}

#[tokio::test]
async fn second_recorder_is_refused_and_welcome_after_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).await;
    let uuid = first.uuid().to_owned();
    assert!(matches!(
        Store::open(options(dir.path())).await,
        Err(Error::Locked { .. })
    ));
    first.close().await.unwrap();
    let second = open(dir.path()).await;
    assert_eq!(second.uuid(), uuid, "the directory keeps its identity");
    second.close().await.unwrap();
}

#[tokio::test]
async fn footage_on_another_file_system_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else {
        return;
    };
    let link = dir.path().join("footage");
    std::os::unix::fs::symlink(other.path(), &link).unwrap();
    assert!(
        matches!(Store::open(options(dir.path())).await, Err(Error::Elsewhere { path }) if path == link)
    );
    std::fs::remove_file(&link).unwrap();
    std::fs::create_dir(&link).unwrap();
    std::os::unix::fs::symlink(other.path(), link.join("gate")).unwrap();
    assert!(
        matches!(Store::open(options(dir.path())).await, Err(Error::Elsewhere { path }) if path == link.join("gate"))
    );
    std::fs::remove_file(link.join("gate")).unwrap();
    std::os::unix::fs::symlink(dir.path(), link.join("gate")).unwrap();
    open(dir.path()).await.close().await.unwrap();
}

#[tokio::test]
async fn index_of_another_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).await.close().await.unwrap();
    identity::write(dir.path(), uuid::Uuid::new_v4()).unwrap();
    assert!(matches!(
        Store::open(options(dir.path())).await,
        Err(Error::Identity { .. })
    ));
}

#[tokio::test]
async fn newer_index_is_refused_by_recorder_and_reader() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).await.close().await.unwrap();
    let mut connection = index(dir.path()).await;
    for statement in [
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'of the future', 1, x'00', 0)",
        "PRAGMA user_version = 9999",
    ] {
        sqlx::query(statement)
            .execute(&mut connection)
            .await
            .unwrap();
    }
    assert!(matches!(
        Store::open(options(dir.path())).await,
        Err(Error::NewerIndex { found: 9999, .. })
    ));
    assert!(matches!(
        Reader::open(dir.path()).await,
        Err(Error::NewerIndex { found: 9999, .. })
    ));
}

#[tokio::test]
async fn bad_camera_names_make_no_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    assert!(matches!(
        store.camera("../etc"),
        Err(Error::CameraName { .. })
    ));
    store.close().await.unwrap();
}

#[tokio::test]
async fn gap_is_seen_open_then_closed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let log = store.camera("a").unwrap();
    log.open_gap(T, GapReason::Starting, "");
    let open_gap = async || gaps(dir.path(), "a").await.first().cloned();
    wait_for(async || open_gap().await.is_some()).await;
    assert_eq!(open_gap().await.unwrap().ended_us, None);
    log.close_gap(T + 5);
    log.record_gap(T + 6, T + 7, GapReason::ClockStepped, "by 1 s");
    log.open_gap(T + 8, GapReason::Stalled, "");
    store.close().await.unwrap();
    let gaps = gaps(dir.path(), "a").await;
    let reasons: Vec<_> = gaps.iter().map(|gap| gap.reason.as_str()).collect();
    assert_eq!(reasons, ["starting", "clock_stepped", "stalled"]);
    assert_eq!((gaps[0].started_us, gaps[0].ended_us), (T, Some(T + 5)));
    assert!(gaps[2].ended_us.unwrap() > T + 8, "a stop closes open gaps");
}

#[tokio::test]
async fn restart_leaves_a_recorder_down_gap_from_the_last_footage() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let log = store.camera("a").unwrap();
    store.camera("removed").unwrap();
    store.camera("no-frames").unwrap();
    log.append(frame(T, "one"), false).unwrap();
    log.append(frame(wall::now_us(), "two"), false).unwrap();
    let (last, removed_us) = (log.last_captured_us(), wall::now_us());
    store
        .mark_others_removed(&["a".into(), "no-frames".into()], removed_us)
        .unwrap();
    store.close().await.unwrap();

    let store = open(dir.path()).await;
    for camera in ["a", "a", "removed", "no-frames", "new"] {
        store.camera(camera).unwrap();
    }
    assert_eq!(store.camera("a").unwrap().last_captured_us(), last);
    store.close().await.unwrap();
    let down = gaps(dir.path(), "a").await;
    assert_eq!(down.len(), 1, "once a run: {down:?}");
    assert_eq!(
        (Some(down[0].started_us), down[0].reason.as_str()),
        (last, "recorder_down")
    );
    assert_eq!(gaps(dir.path(), "no-frames").await.len(), 1);
    let removed = gaps(dir.path(), "removed").await;
    let [gap] = &removed[..] else {
        panic!("{removed:?}")
    };
    assert_eq!(
        (gap.started_us, gap.reason.as_str()),
        (removed_us, "disabled")
    );
    assert!(gap.ended_us > Some(removed_us));
    assert_eq!(gaps(dir.path(), "new").await, [], "it never was before");
}

#[tokio::test]
async fn gap_and_segment_left_open_by_a_crash_are_closed_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let (a, b) = (store.camera("a").unwrap(), store.camera("b").unwrap());
    let started_us = wall::now_us();
    a.open_gap(started_us, GapReason::Unreachable, "");
    b.append(frame(started_us, "one"), false).unwrap();
    let reader = Reader::open(dir.path()).await.unwrap();
    wait_for(async || !frames(&reader, "b").is_empty() && !gaps(dir.path(), "a").await.is_empty())
        .await;
    drop(store); // no clean end

    let alive_us: i64 = sqlx::query_scalar("SELECT alive_us FROM sessions")
        .fetch_one(&mut index(dir.path()).await)
        .await
        .unwrap();
    let store = open(dir.path()).await;
    store.camera("a").unwrap();
    store.close().await.unwrap();
    let gaps = gaps(dir.path(), "a").await;
    let spans: Vec<_> = gaps
        .iter()
        .map(|gap| (gap.reason.as_str(), gap.started_us))
        .collect();
    assert_eq!(
        spans,
        [
            ("unreachable", started_us),
            ("recorder_down", gaps[0].ended_us.unwrap())
        ]
    );
    assert!(gaps[0].ended_us.unwrap() >= alive_us);
    assert!(
        all_segments(&reader)
            .await
            .iter()
            .all(|segment| !segment.open)
    );
}

#[tokio::test]
async fn full_queue_drops_with_a_count_and_a_gap_and_spares_other_cameras() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits {
        camera_bytes_max: 100_000,
        ..Limits::default()
    };
    let store = Store::open_on(Disk::open(dir.path()).unwrap(), options(dir.path()), limits)
        .await
        .unwrap();
    let (a, b) = (store.camera("a").unwrap(), store.camera("b").unwrap());
    let text = "x".repeat(60_000);
    // Gathering takes 200 ms; these come at once.
    a.append(frame(T, &text), false).unwrap();
    let dropped = a.append(frame(T + 1, &text), true).unwrap_err();
    assert_eq!(dropped.reason, GapReason::DiskSlow);
    b.append(frame(T, &text), false).unwrap();
    wait_for(async || {
        a.counters().stored_frames == 1 && a.append(frame(T + 2, "small"), false).is_ok()
    })
    .await;
    store.close().await.unwrap();
    let counters = a.counters();
    assert_eq!(
        (
            counters.stored_frames,
            counters.dropped_disk_slow,
            counters.dropped_disk_full
        ),
        (2, 1, 0)
    );
    assert_eq!(b.counters().stored_frames, 1);
    let gaps = gaps(dir.path(), "a").await;
    assert_eq!(gaps.len(), 1);
    assert_eq!(
        (
            gaps[0].started_us,
            gaps[0].ended_us,
            gaps[0].reason.as_str()
        ),
        (T + 1, Some(T + 2), "disk_slow")
    );
    let reader = Reader::open(dir.path()).await.unwrap();
    assert_eq!(
        reader
            .segments(Some("a"), i64::MIN, i64::MAX)
            .await
            .unwrap()
            .len(),
        2,
        "the new segment is owed"
    );
}

#[tokio::test]
async fn segment_that_could_not_be_ended_for_lack_of_room_ends_with_the_next_frame() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits {
        camera_bytes_max: 1,
        ..Limits::default()
    };
    let store = Store::open_on(Disk::open(dir.path()).unwrap(), options(dir.path()), limits)
        .await
        .unwrap();
    let log = store.camera("a").unwrap();
    wait_for(async || log.append(frame(T, "it always takes one"), false).is_ok()).await;
    log.end_segment();
    wait_for(async || log.append(frame(T + 1, "next"), false).is_ok()).await;
    store.close().await.unwrap();
    let segments = all_segments(&Reader::open(dir.path()).await.unwrap()).await;
    assert_eq!(segments.len(), 2);
}

#[tokio::test]
async fn full_disk_costs_the_torn_frame_and_recording_goes_on_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::open(dir.path()).unwrap();
    let room = disk.faults.room.clone();
    let store = Store::open_on(disk, options(dir.path()), Limits::default())
        .await
        .unwrap();
    let log = store.camera("a").unwrap();
    room.store(1000 + opening_len() as usize, SeqCst);
    for (n, text) in ["x".repeat(600), "y".repeat(600), "z".repeat(600)]
        .iter()
        .enumerate()
    {
        log.append(frame(T + n as i64, text), false).unwrap();
    }
    wait_for(async || log.counters().dropped_disk_full == 2).await;
    log.append(frame(T + 3, "lost too"), false).unwrap();
    wait_for(async || log.counters().dropped_disk_full == 3).await;
    room.store(usize::MAX, SeqCst);
    log.append(frame(T + 4, "good again"), false).unwrap();
    store.close().await.unwrap();

    let counters = log.counters();
    assert_eq!((counters.stored_frames, counters.dropped_disk_full), (2, 3));
    assert_eq!(
        stored(dir.path(), "a").await,
        [(T, "x".repeat(600)), (T + 4, "good again".into())]
    );
    let segments = all_segments(&Reader::open(dir.path()).await.unwrap()).await;
    for segment in &segments {
        let scan = scanned(&dir.path().join(&segment.path));
        assert_eq!(
            (scan.end, scan.torn()),
            (segment.bytes, 0),
            "the torn end is cut off"
        );
    }
    let files: usize = fs::read_dir(dir.path().join("footage/a/2023-11-14"))
        .unwrap()
        .count();
    assert_eq!(
        files,
        segments.len(),
        "a file without a frame does not stay"
    );
    let gaps = gaps(dir.path(), "a").await;
    assert_eq!(spans(&gaps), [(T + 1, Some(T + 4), "disk_full")]);
}

#[tokio::test]
async fn disk_that_is_still_full_after_a_reconnect_is_a_gap_again() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::open(dir.path()).unwrap();
    let room = disk.faults.room.clone();
    let store = Store::open_on(disk, options(dir.path()), Limits::default())
        .await
        .unwrap();
    let log = store.camera("a").unwrap();
    room.store(0, SeqCst);
    log.append(frame(T, "lost"), true).unwrap();
    // Not the counters: the writer counts before it reports the gap.
    let is_full_since = async |started_us| {
        let gaps = gaps(dir.path(), "a").await;
        spans(&gaps).contains(&(started_us, None, "disk_full"))
    };
    wait_for(async || is_full_since(T).await).await;
    log.end_segment();
    log.open_gap(T + 10, GapReason::Disconnected, "");
    log.append(frame(T + 20, "lost too"), true).unwrap();
    log.close_gap(T + 20);
    wait_for(async || is_full_since(T + 20).await).await;
    room.store(usize::MAX, SeqCst);
    log.append(frame(T + 30, "good"), true).unwrap();
    store.close().await.unwrap();
    assert_eq!(
        spans(&gaps(dir.path(), "a").await),
        [
            (T, Some(T + 10), "disk_full"),
            (T + 10, Some(T + 20), "disconnected"),
            (T + 20, Some(T + 30), "disk_full"),
        ]
    );
}

#[tokio::test]
async fn queue_that_is_still_full_after_a_reconnect_is_a_gap_again() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits {
        camera_bytes_max: 100_000,
        ..Limits::default()
    };
    let store = Store::open_on(Disk::open(dir.path()).unwrap(), options(dir.path()), limits)
        .await
        .unwrap();
    let log = store.camera("a").unwrap();
    let text = "x".repeat(60_000);
    log.append(frame(T, &text), true).unwrap();
    log.append(frame(T + 1, &text), false).unwrap_err();
    log.open_gap(T + 10, GapReason::Disconnected, "");
    log.append(frame(T + 20, &text), true).unwrap_err();
    wait_for(async || log.append(frame(T + 30, &text), true).is_ok()).await;
    store.close().await.unwrap();
    assert_eq!(
        spans(&gaps(dir.path(), "a").await),
        [
            (T + 1, Some(T + 10), "disk_slow"),
            (T + 10, Some(T + 20), "disconnected"),
            (T + 20, Some(T + 30), "disk_slow"),
        ]
    );
}

#[tokio::test]
async fn whole_blocks_leave_the_page_cache_once_they_are_synced() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::open(dir.path()).unwrap();
    let forgotten = disk.faults.forgotten.clone();
    let store = Store::open_on(disk, options(dir.path()), Limits::default())
        .await
        .unwrap();
    let log = store.camera("a").unwrap();
    let reader = Reader::open(dir.path()).await.unwrap();
    log.append(picture(T, 3 * BLOCK as usize / 2), false)
        .unwrap();
    // Rows are there as soon as their frames are on the disk.
    wait_for(async || frames(&reader, "a").len() == 1).await;
    assert_eq!(forgotten.load(SeqCst), 0);
    log.append(picture(T + 1, 3 * BLOCK as usize), false)
        .unwrap();
    wait_for(async || forgotten.load(SeqCst) > 0).await;
    store.close().await.unwrap();
    // Of the second nothing: nothing was written behind it.
    assert_eq!(forgotten.load(SeqCst), BLOCK);
}

#[tokio::test]
async fn rows_wait_for_a_failing_sync_and_are_committed_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::open(dir.path()).unwrap();
    let sync_fails = disk.faults.sync_fails.clone();
    let store = Store::open_on(disk, options(dir.path()), Limits::default())
        .await
        .unwrap();
    let log = store.camera("a").unwrap();
    let reader = Reader::open(dir.path()).await.unwrap();
    sync_fails.store(true, SeqCst);
    log.append(picture(T, 100), false).unwrap();
    wait_for(async || log.counters().stored_frames == 1).await;
    assert_eq!(frames(&reader, "a"), []);
    sync_fails.store(false, SeqCst);
    wait_for(async || frames(&reader, "a").len() == 1).await;
    store.close().await.unwrap();
    assert_eq!(gaps(dir.path(), "a").await, [], "nothing was lost");
}

#[tokio::test]
async fn what_a_failed_sync_lost_is_dropped_with_a_gap_and_recording_goes_on_in_a_new_file() {
    let mut lost_in_all = 0;
    for loses in [0, 1, 2, 3] {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path()).unwrap();
        let faults = disk.faults.clone();
        let (sync_fails, loses_from, failed_syncs) = (
            &faults.sync_fails,
            &faults.sync_loses_from,
            &faults.failed_syncs,
        );
        let store = Store::open_on(disk, options(dir.path()), Limits::default())
            .await
            .unwrap();
        let log = store.camera("a").unwrap();
        let reader = Reader::open(dir.path()).await.unwrap();
        log.append(picture(T, 5000), true).unwrap();
        wait_for(async || frames(&reader, "a").len() == 1).await;
        // Each frame is some 5,200 bytes: the last of four are not on the disk.
        loses_from.store(opening_len() + 5300 * (4 - loses), SeqCst);
        sync_fails.store(true, SeqCst);
        for n in 1..4 {
            log.append(picture(T + n, 5000), false).unwrap();
        }
        let files = || {
            let dir = fs::read_dir(dir.path().join("footage/a/2023-11-14")).unwrap();
            let mut files: Vec<PathBuf> = dir.map(|entry| entry.unwrap().path()).collect();
            files.sort();
            files
        };
        wait_for(async || log.counters().stored_frames == 4).await;
        let failed = failed_syncs.load(SeqCst);
        wait_for(async || failed_syncs.load(SeqCst) > failed).await;
        let mut n = 4;
        wait_for(async || {
            log.append(picture(T + n, 5000), false).unwrap();
            n += 1;
            files().len() > 1
        })
        .await;
        // What the sync came before is in the next file, and not lost.
        let first_len = fs::metadata(&files()[0]).unwrap().len();
        let in_first = (1..=4)
            .take_while(|n| opening_len() + 5150 * n <= first_len)
            .count() as u64;
        let lost = in_first.saturating_sub(4 - loses);
        lost_in_all += lost;
        loses_from.store(u64::MAX, SeqCst);
        sync_fails.store(false, SeqCst);
        store.close().await.unwrap();

        let found: Vec<i64> = frames(&reader, "a")
            .iter()
            .map(|row| row.captured_us)
            .collect();
        let expected: Vec<i64> = (0..n)
            .filter(|n| !(4 - loses as i64..in_first as i64).contains(n))
            .map(|n| T + n)
            .collect();
        assert_eq!(found, expected, "{lost} lost");
        let counters = log.counters();
        assert_eq!(
            (counters.stored_frames, counters.dropped_disk_full),
            (expected.len() as u64, lost)
        );
        let segments = all_segments(&reader).await;
        let frames: u64 = segments.iter().map(|segment| segment.frames).sum();
        assert_eq!(frames, counters.stored_frames);
        assert!(segments.iter().all(|segment| !segment.open));
        let last_us = T + in_first as i64 - 1;
        let gap = (T + 4 - loses as i64, Some(last_us), "disk_full");
        let gaps = gaps(dir.path(), "a").await;
        assert_eq!(spans(&gaps), if lost > 0 { vec![gap] } else { vec![] });
    }
    assert!(lost_in_all > 0);
}

#[tokio::test]
async fn rows_wait_while_a_foreign_program_holds_the_index() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let log = store.camera("a").unwrap();
    let mut foreign = index(dir.path()).await;
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut foreign)
        .await
        .unwrap();
    log.append(frame(T, "one"), false).unwrap();
    wait_for(async || log.counters().stored_frames == 1).await;
    log.append(frame(T + 1, "two"), false).unwrap();
    wait_for(async || log.counters().stored_frames == 2).await;
    sqlx::query("ROLLBACK").execute(&mut foreign).await.unwrap();
    store.close().await.unwrap();
    assert_eq!(stored(dir.path(), "a").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_cameras_at_once_are_all_accounted_for() {
    const CAMERAS: usize = 50;
    const FRAMES: i64 = 200;
    let dir = tempfile::tempdir().unwrap();
    // So small that frames are dropped, too.
    let limits = Limits {
        camera_bytes_max: 200_000,
        total_bytes_max: 4_000_000,
        ..Limits::default()
    };
    let store = Store::open_on(Disk::open(dir.path()).unwrap(), options(dir.path()), limits)
        .await
        .unwrap();
    let mut tasks = Vec::new();
    for camera in 0..CAMERAS {
        let log = store.camera(&format!("camera-{camera}")).unwrap();
        tasks.push(tokio::spawn(async move {
            let mut taken = BTreeMap::new();
            for n in 0..FRAMES {
                let text = format!(
                    "{camera}:{n}:{}",
                    "x".repeat(500 + (n as usize * 37) % 3000)
                );
                if log.append(frame(T + n, &text), n % 50 == 0).is_ok() {
                    taken.insert(T + n, text);
                }
                tokio::task::yield_now().await;
            }
            (log, taken)
        }));
    }
    let mut done = Vec::new();
    for task in tasks {
        done.push(task.await.unwrap());
    }
    store.close().await.unwrap();
    for (camera, (log, taken)) in done.into_iter().enumerate() {
        let counters = log.counters();
        assert_eq!(counters.stored_frames, taken.len() as u64);
        assert_eq!(
            counters.stored_frames + counters.dropped_disk_slow,
            FRAMES as u64
        );
        assert_eq!(
            stored(dir.path(), &format!("camera-{camera}")).await,
            Vec::from_iter(taken)
        );
    }
}

#[tokio::test]
async fn an_index_task_that_ended_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    assert!(store.is_indexing());
    store.index.abort();
    wait_for(async || !store.is_indexing()).await;
    assert!(matches!(store.close().await, Err(Error::IndexStopped)));
}

/// parts, stored, skipped_torn, disk_slow, lost of each session of the camera.
async fn accounts(path: &Path, camera: &str) -> Vec<(i64, i64, i64, i64, i64)> {
    sqlx::query_as(
        "SELECT parts, stored, skipped_torn, disk_slow, lost FROM accounts a JOIN cameras c ON c.id = a.camera_id \
         WHERE name = ? ORDER BY session_id",
    )
    .bind(camera)
    .fetch_all(&mut index(path).await)
    .await
    .unwrap()
}

#[tokio::test]
async fn account_of_a_session_adds_up_when_the_store_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits {
        camera_bytes_max: 100_000,
        ..Limits::default()
    };
    let store = Store::open_on(Disk::open(dir.path()).unwrap(), options(dir.path()), limits)
        .await
        .unwrap();
    let log = store.camera("a").unwrap();
    let text = "x".repeat(60_000);
    log.append(frame(T, &text), false).unwrap();
    log.append(frame(T + 1, &text), false).unwrap_err();
    log.skip(SkipReason::Torn);
    let counters = log.counters();
    assert_eq!((counters.parts, counters.waiting()), (3, 1));
    store.close().await.unwrap();
    assert_eq!(log.counters().waiting(), 0);
    assert_eq!(accounts(dir.path(), "a").await, [(3, 1, 1, 1, 0)]);
}

#[tokio::test]
async fn account_agrees_with_the_frames_while_recording_and_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let log = store.camera("a").unwrap();
    log.append(frame(T, "one"), false).unwrap();
    wait_for(async || accounts(dir.path(), "a").await == [(1, 1, 0, 0, 0)]).await;
    // The index can't be written any more: what comes is not stored as far as it knows.
    let mut foreign = index(dir.path()).await;
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut foreign)
        .await
        .unwrap();
    log.append(frame(T + 1, "two"), false).unwrap();
    wait_for(async || log.counters().stored_frames == 2).await;
    store.index.abort();
    wait_for(async || !store.is_indexing()).await;
    sqlx::query("UPDATE accounts SET parts = 2")
        .execute(&mut foreign)
        .await
        .unwrap();
    sqlx::query("COMMIT").execute(&mut foreign).await.unwrap();
    drop(store);
    assert_eq!(accounts(dir.path(), "a").await, [(2, 1, 0, 0, 0)]);

    // One that was found in its file, and one that never got there.
    sqlx::query("UPDATE accounts SET parts = 3")
        .execute(&mut foreign)
        .await
        .unwrap();
    wait_for(async || Store::open(options(dir.path())).await.is_ok()).await;
    assert_eq!(accounts(dir.path(), "a").await, [(3, 2, 0, 0, 1)]);
}

#[tokio::test]
async fn last_run_is_read_with_its_accounts() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let log = store.camera("a").unwrap();
    let reader = Reader::open(dir.path()).await.unwrap();
    let running = reader.last_session().await.unwrap().unwrap();
    assert_eq!((running.id, running.ended_us), (1, None));
    log.append(frame(T, "one"), false).unwrap();
    log.skip(SkipReason::Empty);
    store.close().await.unwrap();
    let over = reader.last_session().await.unwrap().unwrap();
    assert!(over.ended_us.is_some_and(|us| us >= over.started_us));
    let [account] = &reader.accounts(1).await.unwrap()[..] else {
        panic!("one camera")
    };
    let counters = Counters {
        stored_bytes: 0,
        ..log.counters()
    };
    assert_eq!((account.counters, account.lost), (counters, 0));
    assert_eq!(account.last_captured_us, Some(T));
}

#[tokio::test]
async fn a_file_in_the_place_of_the_directory_is_told_as_that() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, "").unwrap();
    let refused = Store::open(options(&path)).await.unwrap_err().to_string();
    assert!(
        refused.contains("is no directory: correct storage.path"),
        "{refused}"
    );
    let refused = crate::identity::is_recording(&path)
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("is no directory: correct storage.path"),
        "{refused}"
    );
}

#[tokio::test]
async fn last_run_stays_the_last_that_recorded_when_the_index_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let log = store.camera("a").unwrap();
    log.append(frame(T, "one"), false).unwrap();
    store.close().await.unwrap();
    let last_session = async || {
        let reader = Reader::open(dir.path()).await.unwrap();
        reader.last_session().await.unwrap()
    };
    let recorded = last_session().await;
    let reindexing = Store::open(Options {
        reindex: true,
        ..options(dir.path())
    });
    reindexing.await.unwrap().close().await.unwrap();
    assert_eq!(last_session().await, recorded);
}

#[tokio::test]
async fn all_that_is_made_belongs_to_the_owner_of_the_directory() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = tempfile::tempdir().unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(dir.path(), Some(65_534), Some(65_534)).unwrap();
    }
    let owner = std::fs::metadata(dir.path()).unwrap().uid();
    let assert_owned = || {
        let mut below = vec![dir.path().to_owned()];
        let mut seen = 0;
        while let Some(path) = below.pop() {
            assert_eq!(std::fs::metadata(&path).unwrap().uid(), owner, "{path:?}");
            seen += 1;
            if path.is_dir() {
                below.extend(
                    std::fs::read_dir(path)
                        .unwrap()
                        .map(|entry| entry.unwrap().path()),
                );
            }
        }
        seen
    };
    ask_for_reindex(dir.path()).unwrap();
    let store = open(dir.path()).await;
    let gate = store.camera("gate").unwrap();
    gate.append(picture(T, 1_000), false).unwrap();
    let reader = Reader::open(dir.path()).await.unwrap();
    while frames(&reader, "gate").is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The directory, the index, its log and shared memory, identity, lock, reserve, footage, camera, date, segment.
    assert!(assert_owned() >= 11);
    drop(reader);
    store.close().await.unwrap();
    assert_owned();
}
