//! Every call on footage fails once, by count: whatever it was, no frame is lost without being counted, in a gap and in the log, and
//! recording goes on.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{LazyLock, Mutex};
use std::thread;

use bytes::Bytes;
use framelog_core::clock::ClockKind;
use framelog_core::frame::{Codec, Frame};
use framelog_core::gap::GapReason;
use rustix::io::Errno;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

use super::*;
use crate::camera::Counters;
use crate::disk::faults::{Fault, Faults};
use crate::gaps::GapChange;
use crate::query::Reader;
use crate::schema;

/// 2023-11-14 22:13:20 UTC.
const T: i64 = 1_700_000_000_000_000;
/// Runs at the same time: much of each is waiting.
const RUNS: usize = 16;

const FAULTS: [(&str, Fault); 6] = [
    ("EIO", Fault::Fails(Errno::IO)),
    ("ENOSPC", Fault::Fails(Errno::NOSPC)),
    ("EDQUOT", Fault::Fails(Errno::DQUOT)),
    ("EROFS", Fault::Fails(Errno::ROFS)),
    ("EINTR", Fault::Fails(Errno::INTR)),
    ("short write", Fault::Short),
];

/// Cameras of which the log has said that frames were dropped.
static WARNED: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(|| {
    tracing::subscriber::set_global_default(Warnings).unwrap();
    Mutex::default()
});

/// Listens for warnings that name a camera.
struct Warnings;

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= Level::WARN
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        event.record(&mut CameraField);
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

struct CameraField;

impl Visit for CameraField {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "camera" {
            WARNED.lock().unwrap().insert(value.to_owned());
        }
    }
    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

/// What the footage is in.
#[derive(Clone, Copy, Debug)]
struct Kind(Layout, Codec);

const KINDS: [Kind; 3] = [
    Kind(Layout::Segments, Codec::Mjpeg),
    Kind(Layout::Files, Codec::Mjpeg),
    Kind(Layout::Segments, Codec::H264),
];

fn picture(captured_us: i64) -> Frame {
    let text = format!("\u{0}{captured_us}").repeat(20);
    let bytes = [&[0xff, 0xd8], text.as_bytes(), &[0xff, 0xd9]].concat();
    Frame {
        payload: Bytes::from(bytes).into(),
        codec: Codec::Mjpeg,
        parameters: None,
        captured_us,
        received_us: captured_us + 40_000,
        clock: ClockKind::Camera,
        offset_us: 0,
        keyframe: true,
        complete: true,
    }
}

/// Three cameras that record, rotate and reconnect while calls number `first` to `last` meet the fault, then go on. Whether any did.
async fn run(
    path: &Path,
    Kind(layout, codec): Kind,
    (first, last): (u64, u64),
    fault: Fault,
) -> bool {
    let disk = Disk::open(path).unwrap();
    let faults: Faults = disk.faults.clone();
    faults.plan(first, last, fault);
    // The reserve is a part of it, made in each run, and again where that finds no room.
    faults.total.store(16 << 20, SeqCst);
    let options = Options {
        layout,
        sync: Duration::from_millis(20),
        ..Options::new(path.to_owned())
    };
    // A start that meets the fault says so; the next one doesn't meet it.
    let store = loop {
        match Store::open_on(disk.clone(), options.clone(), Limits::default()).await {
            Ok(store) => break store,
            Err(error) => assert!(matches!(error, Error::Io { .. }), "{error}"),
        }
    };
    let run = path.file_name().unwrap().to_str().unwrap().to_lowercase();
    let names: Vec<String> = ["a", "b", "c"].map(|name| format!("{name}{run}")).into();
    let mut logs = Vec::new();
    for name in &names {
        logs.push(store.camera(name).unwrap());
    }
    let mut given = 0;
    let drained = async || {
        while store.budget.waiting().0 > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    for round in 0..3 {
        if round == 2 {
            faults.end();
        }
        for log in &logs {
            for n in 0..3 {
                let captured_us = T + round * 10 + n;
                if n == 0 {
                    log.close_gap(captured_us);
                }
                // The third begins a segment, as a rotation does.
                let picture = Frame {
                    codec,
                    ..picture(captured_us)
                };
                let _ = log.append(picture, n != 1);
            }
            if round < 2 {
                log.end_segment();
                log.open_gap(T + round * 10 + 3, GapReason::Disconnected, "");
            }
        }
        given += 3;
        drained().await;
    }
    let is_hit = faults.calls.load(SeqCst) >= first;
    store.close().await.unwrap();

    let reader = Reader::open(path).await.unwrap();
    let segments = reader.segments(None, i64::MIN, i64::MAX).await.unwrap();
    assert!(segments.iter().all(|segment| !segment.open));
    for (name, log) in names.iter().zip(&logs) {
        check(&reader, name, log, given).await;
    }
    let is_dropping = |log: &CameraLog| log.counters().dropped_disk_full > 0;
    if logs.iter().any(is_dropping) {
        // One line a minute, which names the first camera only.
        let warned = WARNED.lock().unwrap();
        assert!(names.iter().any(|name| warned.contains(name)), "not a word");
    }
    is_hit
}

/// What became of one camera's frames.
async fn check(reader: &Reader, name: &str, log: &CameraLog, given: u64) {
    let rows = reader
        .frames(name, i64::MIN, i64::MAX, None, u32::MAX)
        .unwrap();
    let counters = log.counters();
    // A full disk makes older footage go, with a receipt.
    let removals = reader
        .removals(Some(name), i64::MIN, i64::MAX)
        .await
        .unwrap();
    let removed: u64 = removals
        .iter()
        .map(|removal| removal.frames.cast_unsigned())
        .sum();
    assert_eq!(counters.stored_frames, rows.len() as u64 + removed);
    let dropped = counters.dropped_disk_full + counters.dropped_disk_slow;
    assert_eq!(counters.stored_frames + dropped, given);
    let mut found = BTreeMap::new();
    for row in &rows {
        let payload = reader.payload(row).unwrap();
        assert_eq!(payload, picture(row.captured_us).payload.to_vec());
        assert!(found.insert(row.captured_us, row.offset).is_none(), "twice");
    }
    let gaps = reader.gaps(Some(name), i64::MIN, i64::MAX).await.unwrap();
    for round in 0..3 {
        for captured_us in (0..3).map(|n| T + round * 10 + n) {
            let is_explained = found.contains_key(&captured_us)
                || gaps.iter().any(|gap| {
                    gap.reason == "disk_full"
                        && (gap.started_us..=gap.ended_us.unwrap()).contains(&captured_us)
                })
                || removals
                    .iter()
                    .any(|removal| (removal.started_us..=removal.ended_us).contains(&captured_us));
            assert!(
                is_explained,
                "{captured_us} of {name} is in no gap: {gaps:?}"
            );
        }
    }
    assert!(
        (T + 20..T + 23).all(|us| found.contains_key(&us)),
        "recording goes on"
    );
    let segments = reader
        .segments(Some(name), i64::MIN, i64::MAX)
        .await
        .unwrap();
    let frames: u64 = segments.iter().map(|segment| segment.frames).sum();
    assert_eq!(frames + removed, counters.stored_frames);
}

/// What is counted up: which fault, met by so many calls one after the other.
struct Case {
    name: &'static str,
    fault: Fault,
    kind: Kind,
    burst: u64,
    /// Runs that met the fault.
    hits: AtomicU64,
    /// A run needed fewer calls than that.
    is_done: AtomicBool,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, fault) in FAULTS {
        for kind in KINDS {
            // What follows a failure may fail too: cutting the torn end, the next file, the next sync.
            let bursts: &[u64] = if name == "EIO" { &[1, 5] } else { &[1] };
            cases.extend(bursts.iter().map(|&burst| Case {
                name,
                fault,
                kind,
                burst,
                hits: AtomicU64::new(0),
                is_done: AtomicBool::new(false),
            }));
        }
    }
    cases
}

/// Where the runs are: in memory where there is such a place, because what is looked at is which calls are made, and each run would wait for a
/// disk that syncs some dozen times.
fn runs_dir() -> PathBuf {
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => memory.to_owned(),
        false => std::env::temp_dir(),
    }
}

/// Takes the next call of the next case, over and over, until each case had a run that needed fewer calls.
fn count_up(cases: &[Case], turn: &AtomicUsize, index: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    while cases.iter().any(|case| !case.is_done.load(SeqCst)) {
        let turn = turn.fetch_add(1, SeqCst);
        let case = &cases[turn % cases.len()];
        if case.is_done.load(SeqCst) {
            continue;
        }
        let first = (turn / cases.len()) as u64 + 1;
        let dir = tempfile::Builder::new()
            .prefix("r")
            .tempdir_in(runs_dir())
            .unwrap();
        fs::write(dir.path().join(layout::INDEX), index).unwrap();
        let calls = (first, first + case.burst - 1);
        if runtime.block_on(run(dir.path(), case.kind, calls, case.fault)) {
            case.hits.fetch_add(1, SeqCst);
        } else {
            case.is_done.store(true, SeqCst);
        }
    }
}

#[test]
fn every_call_may_fail_and_nothing_is_lost_silently() {
    LazyLock::force(&WARNED);
    let index = tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(schema::tests::empty_index());
    let (cases, turn) = (cases(), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..RUNS {
            scope.spawn(|| count_up(&cases, &turn, &index));
        }
    });
    for case in cases {
        let calls = case.hits.into_inner();
        println!(
            "{}, {:?}, {} at a time: {calls} calls, failures found = 0",
            case.name, case.kind, case.burst
        );
        assert!(calls > 20);
    }
}

/// Frames of two cameras, one at line rate, one ordinary, while these calls after the start are slow: counters of both, and the most bytes that
/// waited.
async fn slow(delay: Duration, calls: (u64, u64)) -> (Counters, Counters, usize) {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::open(dir.path()).unwrap();
    let faults = disk.faults.clone();
    let options = Options::new(dir.path().to_owned());
    let limits = Limits {
        camera_bytes_max: 100_000,
        total_bytes_max: 200_000,
        ..Limits::default()
    };
    let store = Store::open_on(disk, options, limits).await.unwrap();
    let before = faults.calls.load(SeqCst);
    let last = before.saturating_add(calls.1);
    faults.plan(before + calls.0, last, Fault::Slow(delay));
    let (fast, calm) = (store.camera("fast").unwrap(), store.camera("calm").unwrap());
    let large = Bytes::from(vec![0xd8; 20_000]);
    let (mut given, mut waited) = ((0, 0), 0);
    for n in 0..300 {
        let frame = Frame {
            payload: large.clone().into(),
            ..picture(T + n)
        };
        let _ = fast.append(frame, false);
        given.0 += 1;
        if n % 20 == 0 {
            let _ = calm.append(picture(T + n), false);
            given.1 += 1;
        }
        waited = waited.max(store.budget.waiting().0);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    faults.end();
    store.close().await.unwrap();
    let sum = |counters: Counters| {
        counters.stored_frames + counters.dropped_disk_slow + counters.dropped_disk_full
    };
    assert_eq!((sum(fast.counters()), sum(calm.counters())), given);
    let reader = Reader::open(dir.path()).await.unwrap();
    let gaps = reader.gaps(Some("fast"), i64::MIN, i64::MAX).await.unwrap();
    assert!(gaps.iter().any(|gap| gap.reason == "disk_slow"), "{gaps:?}");
    (fast.counters(), calm.counters(), waited)
}

#[tokio::test]
async fn slow_disk_costs_frames_of_the_camera_that_sends_too_much_and_no_memory() {
    for (delay_ms, calls) in [(500, (1, u64::MAX)), (3_000, (3, 3))] {
        let (fast, calm, waited) = slow(Duration::from_millis(delay_ms), calls).await;
        assert!(
            fast.stored_frames > 0 && fast.dropped_disk_slow > 0,
            "{fast:?}"
        );
        assert_eq!(fast.dropped_disk_full, 0);
        assert_eq!((calm.dropped_disk_slow, calm.dropped_disk_full), (0, 0));
        assert!(waited <= 200_000, "{waited} bytes waited");
    }
}

#[tokio::test]
async fn gaps_and_files_that_wait_for_a_hanging_index_are_bounded() {
    let (changes, reported) = Changes::channel();
    for n in 0..100_000 {
        let change = GapChange::Open {
            started_us: n,
            reason: GapReason::Disconnected,
            detail: "".into(),
        };
        changes.send(Change::Gap {
            camera_id: 1,
            change,
        });
    }
    assert!(reported.len() <= 10_000);
}

#[tokio::test]
async fn disk_that_hangs_for_good_does_not_keep_the_store_from_closing() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::open(dir.path()).unwrap();
    let faults = disk.faults.clone();
    let options = Options::new(dir.path().to_owned());
    let mut store = Store::open_on(disk, options, Limits::default())
        .await
        .unwrap();
    faults.plan(1, u64::MAX, Fault::Slow(Duration::from_secs(2)));
    store.patience = Duration::from_millis(100);
    let log = store.camera("a").unwrap();
    log.append(picture(T), false).unwrap();
    let error = store.close().await.unwrap_err();
    assert!(
        matches!(error, Error::Hanging { bytes: 1.., .. }),
        "{error}"
    );
    // No thread waits for the disk any longer than the test.
    faults.end();
}
