//! What goes, what stays, and what a full disk does.

use std::process::Command;

use super::*;
use crate::protection::Protections;
use crate::query::RemovalRow;
use crate::rules::CameraRules;
use crate::session;

/// Bytes of payload in each segment of these tests.
const PAYLOAD: usize = 5_000;

fn with(path: &Path, rules: Rules) -> Options {
    Options {
        rules,
        ..options(path)
    }
}

fn max_size(bytes: u64) -> Rules {
    Rules {
        max_size: Some(bytes),
        ..Rules::default()
    }
}

/// Appends segments of one frame each, a second apart from T on.
fn append(log: &CameraLog, seconds: std::ops::Range<i64>) {
    for second in seconds {
        let captured_us = T + second * 1_000_000;
        log.append(frame(captured_us, &"x".repeat(PAYLOAD)), true)
            .unwrap();
    }
    log.end_segment();
}

async fn seconds(path: &Path, camera: &str) -> Vec<i64> {
    let reader = Reader::open(path).await.unwrap();
    let segments = reader
        .segments(Some(camera), i64::MIN, i64::MAX)
        .await
        .unwrap();
    segments
        .iter()
        .map(|segment| (segment.started_us - T) / 1_000_000)
        .collect()
}

async fn removals(path: &Path) -> Vec<RemovalRow> {
    let reader = Reader::open(path).await.unwrap();
    reader.removals(None, i64::MIN, i64::MAX).await.unwrap()
}

async fn count(path: &Path, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql)
        .fetch_one(&mut index(path).await)
        .await
        .unwrap()
}

fn files(path: &Path, camera: &str) -> Vec<String> {
    let Ok(dates) = fs::read_dir(path.join("footage").join(camera)) else {
        return Vec::new();
    };
    let mut files: Vec<String> = dates
        .flat_map(|date| fs::read_dir(date.unwrap().path()).unwrap())
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    files
}

/// Index and files say the same.
async fn assert_whole(path: &Path) {
    let reader = Reader::open(path).await.unwrap();
    let segments = all_segments(&reader).await;
    let rows: u64 = segments.iter().map(|segment| segment.frames).sum();
    assert_eq!(
        count(path, "SELECT count(*) FROM frames")
            .await
            .cast_unsigned(),
        rows
    );
    let mut known: Vec<_> = segments
        .iter()
        .map(|segment| path.join(&segment.path))
        .collect();
    known.sort();
    let mut found: Vec<_> = reader
        .cameras()
        .await
        .unwrap()
        .iter()
        .flat_map(|camera| {
            let camera = path.join("footage").join(camera);
            let dates = fs::read_dir(camera).into_iter().flatten();
            dates.flat_map(|date| fs::read_dir(date.unwrap().path()).unwrap())
        })
        .map(|file| file.unwrap().path())
        .collect();
    found.sort();
    assert_eq!(known, found);
}

#[tokio::test]
async fn max_size_is_kept_oldest_first_with_a_receipt_and_no_more_goes_than_must() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(with(dir.path(), max_size(30_000)))
        .await
        .unwrap();
    let log = store.camera("a").unwrap();
    append(&log, 0..20);
    wait_for(async || log.counters().stored_frames == 20).await;
    wait_for(async || (1..=30_000).contains(&store.keeping().footage_bytes)).await;
    wait_for(async || count(dir.path(), "SELECT count(*) FROM doomed").await == 0).await;
    assert!(
        store.keeping().footage_bytes > 24_000,
        "{:?}",
        store.keeping()
    );
    store.close().await.unwrap();
    assert_eq!(seconds(dir.path(), "a").await, [15, 16, 17, 18, 19]);
    assert_whole(dir.path()).await;
    let removed: Vec<_> = removals(dir.path())
        .await
        .into_iter()
        .map(|row| {
            (
                row.rule,
                row.segments,
                row.frames,
                row.started_us - T,
                row.ended_us - T,
            )
        })
        .collect();
    assert_eq!(removed, [("max_size".to_owned(), 15, 15, 0, 14_000_000)]);
}

#[tokio::test]
async fn age_counts_from_the_arrival_and_each_camera_may_have_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let day = Duration::from_secs(86_400);
    let own = CameraRules {
        retain: Some(day * 36_500),
        max_size: None,
    };
    let rules = Rules {
        retain: Some(day),
        cameras: [("kept".to_owned(), own)].into(),
        ..Rules::default()
    };
    let store = open(dir.path()).await;
    for camera in ["aged", "kept"] {
        let log = store.camera(camera).unwrap();
        append(&log, 0..3);
        // Taken years ago by its stamp, but it came now.
        log.append(
            Frame {
                received_us: wall::now_us(),
                ..frame(T + 9_000_000, "late")
            },
            true,
        )
        .unwrap();
        log.end_segment();
        wait_for(async || seconds(dir.path(), camera).await.len() == 4).await;
    }
    store.set_rules(rules);
    wait_for(async || seconds(dir.path(), "aged").await.len() == 1).await;
    store.close().await.unwrap();
    assert_eq!(seconds(dir.path(), "aged").await, [9]);
    assert_eq!(seconds(dir.path(), "kept").await, [0, 1, 2, 9]);
    assert_whole(dir.path()).await;
    assert_eq!(removals(dir.path()).await[0].rule, "retain");
}

#[tokio::test]
async fn a_camera_has_a_size_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let own = CameraRules {
        retain: None,
        max_size: Some(12_000),
    };
    let rules = Rules {
        cameras: [("small".to_owned(), own)].into(),
        ..Rules::default()
    };
    let store = Store::open(with(dir.path(), rules)).await.unwrap();
    for camera in ["large", "small"] {
        append(&store.camera(camera).unwrap(), 0..6);
    }
    wait_for(async || seconds(dir.path(), "small").await == [4, 5]).await;
    store.close().await.unwrap();
    assert_eq!(seconds(dir.path(), "large").await.len(), 6);
    assert_whole(dir.path()).await;
}

#[tokio::test]
async fn a_crash_before_the_files_are_deleted_is_finished_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::open(dir.path()).unwrap();
    disk.faults.remove_fails.store(true, SeqCst);
    let store = Store::open_on(disk, with(dir.path(), max_size(11_000)), Limits::default())
        .await
        .unwrap();
    append(&store.camera("a").unwrap(), 0..6);
    // The rows are gone, the files are not: as after a crash at that moment, or where they may not be deleted.
    wait_for(async || count(dir.path(), "SELECT count(*) FROM doomed").await > 0).await;
    wait_for(async || {
        count(
            dir.path(),
            "SELECT count(*) FROM segments WHERE state = 'open'",
        )
        .await
            == 0
    })
    .await;
    drop(store);
    assert_eq!(files(dir.path(), "a").len(), 6);

    let store = open(dir.path()).await;
    assert_whole(dir.path()).await;
    wait_for(async || {
        store.camera("b").unwrap(); // something to commit
        count(dir.path(), "SELECT count(*) FROM doomed").await == 0
    })
    .await;
    store.close().await.unwrap();
    assert_whole(dir.path()).await;
}

#[tokio::test]
async fn a_crash_after_the_files_are_deleted_leaves_nothing_to_do_but_the_notes() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).await.close().await.unwrap();
    sqlx::query("INSERT INTO doomed VALUES ('footage/a/2023-11-14/gone.mjpeg'), ('index.db'), ('footage/../recorder.toml')")
        .execute(&mut index(dir.path()).await)
        .await
        .unwrap();
    let store = open(dir.path()).await;
    store.close().await.unwrap();
    let left: Vec<String> = sqlx::query_scalar("SELECT path FROM doomed ORDER BY 1")
        .fetch_all(&mut index(dir.path()).await)
        .await
        .unwrap();
    assert_eq!(
        left,
        ["footage/../recorder.toml", "index.db"],
        "what is no footage is never deleted"
    );
    assert!(dir.path().join("index.db").exists() && dir.path().join("recorder.toml").exists());
}

#[tokio::test]
async fn directories_that_become_empty_go_and_a_configured_cameras_own_stays() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for camera in ["gone", "here"] {
        append(&store.camera(camera).unwrap(), 0..2);
        wait_for(async || seconds(dir.path(), camera).await.len() == 2).await;
    }
    store.mark_others_removed(&["here".to_owned()], T).unwrap();
    store.set_rules(max_size(1));
    let footage = dir.path().join("footage");
    wait_for(async || !footage.join("gone").exists()).await;
    wait_for(async || !footage.join("here/2023-11-14").exists()).await;
    assert!(footage.join("here").exists());
    append(&store.camera("here").unwrap(), 5..6);
    wait_for(async || {
        store.keeping().footage_bytes == 0
            && removals(dir.path())
                .await
                .iter()
                .any(|row| row.ended_us == T + 5_000_000)
    })
    .await;
    store.close().await.unwrap();
}

#[tokio::test]
async fn protected_footage_outlives_every_rule_until_it_is_not_protected() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    append(&store.camera("a").unwrap(), 0..6);
    wait_for(async || seconds(dir.path(), "a").await.len() == 6).await;
    let mut protections = Protections::open(dir.path()).await.unwrap();
    let added = protections
        .add("a", T + 2_000_000, T + 3_000_000, "theft")
        .await
        .unwrap();
    assert_eq!(
        (added.segments, added.bytes.cast_unsigned() / PAYLOAD as u64),
        (2, 2)
    );
    assert!(matches!(
        protections.add("b", 0, 1, "").await,
        Err(Error::CameraName { .. })
    ));
    store.set_rules(Rules {
        retain: Some(Duration::from_secs(1)),
        ..max_size(1)
    });
    wait_for(async || store.keeping().is_starved && store.keeping().protected_bytes > 0).await;
    assert_eq!(seconds(dir.path(), "a").await, [2, 3]);
    assert_eq!(store.keeping().protected_bytes, added.bytes.cast_unsigned());
    let removed: Vec<_> = removals(dir.path())
        .await
        .iter()
        .map(|row| {
            (
                (row.started_us - T) / 1_000_000,
                (row.ended_us - T) / 1_000_000,
            )
        })
        .collect();
    assert_eq!(
        removed,
        [(0, 1), (4, 5)],
        "a receipt does not span what stays"
    );

    assert_eq!(
        protections
            .remove(added.id)
            .await
            .unwrap()
            .map(|gone| gone.id),
        Some(added.id)
    );
    assert_eq!(protections.remove(added.id).await.unwrap(), None);
    wait_for(async || seconds(dir.path(), "a").await.is_empty()).await;
    store.close().await.unwrap();
    assert_whole(dir.path()).await;
}

#[tokio::test]
async fn an_index_that_is_made_anew_protects_the_same() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(
        Protections::open(dir.path()).await,
        Err(Error::NoIndex { .. })
    ));
    let store = open(dir.path()).await;
    append(&store.camera("a").unwrap(), 0..1);
    store.camera("b").unwrap();
    store.close().await.unwrap();
    let mut protections = Protections::open(dir.path()).await.unwrap();
    protections
        .add("a", T, T, "with \"quotes\"\nand lines")
        .await
        .unwrap();
    protections.add("b", i64::MIN, i64::MAX, "").await.unwrap();
    let list = |listed: Vec<crate::protection::Protection>| {
        listed
            .into_iter()
            .map(|p| (p.camera, p.started_us, p.ended_us, p.note, p.added_us))
            .collect::<Vec<_>>()
    };
    let before = list(protections.list().await.unwrap());
    drop(protections);
    for file in ["index.db", "index.db-wal", "index.db-shm"] {
        let _ = fs::remove_file(dir.path().join(file));
    }
    open(dir.path()).await.close().await.unwrap();
    let mut protections = Protections::open(dir.path()).await.unwrap();
    assert_eq!(list(protections.list().await.unwrap()), before);
    // One that is set aside may be older than the list.
    sqlx::query("DELETE FROM protections WHERE ended_us = ?")
        .bind(T)
        .execute(&mut index(dir.path()).await)
        .await
        .unwrap();
    drop(protections);
    ask_for_reindex(dir.path()).unwrap();
    open(dir.path()).await.close().await.unwrap();
    let mut protections = Protections::open(dir.path()).await.unwrap();
    assert_eq!(list(protections.list().await.unwrap()), before);
    // One that was used and has none is left alone.
    for protection in protections.list().await.unwrap() {
        protections.remove(protection.id).await.unwrap();
    }
    fs::write(
        dir.path().join(layout::PROTECTED),
        "[[protection]]\ncamera = \"a\"\nstarted_us = 1\nended_us = 2\n",
    )
    .unwrap();
    open(dir.path()).await.close().await.unwrap();
    assert_eq!(protections.list().await.unwrap(), []);
}

#[tokio::test]
async fn a_write_that_finds_no_room_waits_for_it_and_nothing_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::open(dir.path()).unwrap();
    let room = disk.faults.room.clone();
    let store = Store::open_on(disk, options(dir.path()), Limits::default())
        .await
        .unwrap();
    let log = store.camera("a").unwrap();
    append(&log, 0..10);
    wait_for(async || seconds(dir.path(), "a").await.len() == 10).await;
    room.store(6_000, SeqCst);
    // One segment: what fits of it is written before there is room, the rest after.
    for second in 20..24 {
        log.append(frame(T + second * 1_000_000, &"y".repeat(PAYLOAD)), false)
            .unwrap();
    }
    wait_for(async || log.counters().stored_frames == 14).await;
    store.close().await.unwrap();
    assert_eq!(log.counters().dropped_disk_full, 0);
    assert_eq!(
        seconds(dir.path(), "a").await,
        [20],
        "in the segment that was open"
    );
    assert_eq!(count(dir.path(), "SELECT count(*) FROM frames").await, 4);
    assert_eq!(stored(dir.path(), "a").await.len(), 4);
    assert_whole(dir.path()).await;
    assert_eq!(removals(dir.path()).await[0].rule, "disk_full");
    assert!(
        gaps(dir.path(), "a")
            .await
            .iter()
            .all(|gap| gap.reason != "disk_full")
    );
}

#[tokio::test]
async fn a_full_disk_drops_frames_rather_than_what_is_protected() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::open(dir.path()).unwrap();
    let room = disk.faults.room.clone();
    let store = Store::open_on(disk, options(dir.path()), Limits::default())
        .await
        .unwrap();
    let log = store.camera("a").unwrap();
    append(&log, 0..3);
    wait_for(async || seconds(dir.path(), "a").await.len() == 3).await;
    let mut protections = Protections::open(dir.path()).await.unwrap();
    protections.add("a", T, T + 9_000_000, "").await.unwrap();
    wait_for(async || store.keeping().protected_bytes > 0).await;
    let protected = store.keeping().protected_bytes;
    append(&log, 3..6);
    wait_for(async || seconds(dir.path(), "a").await.len() == 6).await;
    room.store(0, SeqCst);
    log.append(frame(T + 20_000_000, "lost"), false).unwrap();
    wait_for(async || log.counters().dropped_disk_full == 1).await;
    assert!(store.keeping().is_starved);
    // What came since is not left out for long.
    wait_for(async || store.keeping().protected_bytes > protected).await;
    store.close().await.unwrap();
    assert_eq!(seconds(dir.path(), "a").await, [0, 1, 2, 3, 4, 5]);
    assert_whole(dir.path()).await;
}

#[tokio::test]
async fn a_protection_that_is_too_large_to_go_at_once_goes_piece_by_piece() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let log = store.camera("a").unwrap();
    append(&log, 0..10);
    wait_for(async || seconds(dir.path(), "a").await.len() == 10).await;
    store.close().await.unwrap();
    let mut protections = Protections::open(dir.path()).await.unwrap();
    let (from_us, to_us) = (T, T + 8_000_000);
    let added = protections.add("a", from_us, to_us, "").await.unwrap();
    let mut connection = index(dir.path()).await;
    sqlx::query("UPDATE segments SET protected = 1 WHERE started_us <= ?")
        .bind(to_us)
        .execute(&mut connection)
        .await
        .unwrap();
    let mut left = Vec::new();
    for is_gone in [false, false, true] {
        let shrunk = crate::protection::shrink(&mut connection, added.id, Some(3)).await;
        assert_eq!(shrunk.unwrap(), is_gone);
        let from_us: Option<i64> = sqlx::query_scalar("SELECT started_us FROM protections")
            .fetch_optional(&mut connection)
            .await
            .unwrap();
        let marked = count(dir.path(), "SELECT count(*) FROM segments WHERE protected").await;
        left.push((from_us.map(|us| (us - T) / 1_000_000), marked));
    }
    // What is still protected is what is still marked.
    assert_eq!(left, [(Some(4), 5), (Some(8), 1), (None, 0)]);
}

/// A file system of so many MiB in memory; `None`, and said, where that is not permitted.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn mount(mib: u64) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"])
            .arg(dir.path())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(dir));
        }
        eprintln!("skipped: this needs the right to mount a tmpfs");
        None
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Fills the file system to the last byte.
fn fill(path: &Path) {
    use std::io::Write as _;
    let mut file = fs::File::create(path).unwrap();
    for size in [1 << 16, 1 << 12, 1] {
        while file.write(&vec![7; size]).is_ok_and(|written| written > 0) {}
    }
}

/// Frames of 20 kB, a second apart, 10 to a segment, no faster than their rows are committed: what is not in the index can't go.
async fn record(storage: &Path, log: &CameraLog, seconds: std::ops::Range<i64>) {
    let reader = Reader::open(storage).await.unwrap();
    for second in seconds {
        let captured_us = T + second * 1_000_000;
        let text = "z".repeat(20_000);
        log.append(frame(captured_us, &text), second % 10 == 0)
            .unwrap();
        if second % 20 == 19 {
            let is_committed = || {
                let newest = reader.nearest("a", captured_us).unwrap();
                newest.is_some_and(|frame| frame.captured_us == captured_us)
            };
            wait_for(async || log.counters().dropped_disk_full > 0 || is_committed()).await;
            assert_eq!(log.counters().dropped_disk_full, 0, "at {second} s");
        }
    }
}

#[tokio::test]
async fn a_disk_that_others_fill_to_the_brim_is_recorded_on_and_begun_on() {
    let Some(tmpfs) = Tmpfs::mount(24) else {
        return;
    };
    let storage = tmpfs.0.path().join("storage");
    let store = open(&storage).await;
    let log = store.camera("a").unwrap();
    record(&storage, &log, 0..200).await;
    wait_for(async || storage.join(layout::RESERVE).exists()).await;
    for round in 1..=3 {
        if round == 2 {
            // Nothing is left for the index either.
            fs::remove_file(storage.join(layout::RESERVE)).unwrap();
        }
        fill(&tmpfs.0.path().join(format!("others-{round}")));
        record(&storage, &log, 200 * round..200 * round + 200).await;
        if round < 3 {
            fs::remove_file(tmpfs.0.path().join(format!("others-{round}"))).unwrap();
        }
    }
    // Killed on a full disk, it starts on a full disk.
    drop(store);
    fill(&tmpfs.0.path().join("others"));
    let mut lock_is_free = false;
    while !lock_is_free {
        lock_is_free = identity::lock(&storage).is_ok();
        tokio::task::yield_now().await;
    }
    let store = open(&storage).await;
    let log = store.camera("a").unwrap();
    record(&storage, &log, 1_000..1_100).await;
    store.close().await.unwrap();
    assert_whole(&storage).await;
    // Not even the index can be opened, until the oldest footage is gone.
    fs::remove_file(tmpfs.0.path().join("others")).unwrap();
    let mut protections = Protections::open(&storage).await.unwrap();
    let kept = *seconds(&storage, "a").await.first().unwrap();
    let kept_us = T + kept * 1_000_000;
    protections.add("a", kept_us, kept_us, "").await.unwrap();
    drop(protections);
    // A log has room for more, unless it is empty: which connection closes last, and whether it removes the log, is chance.
    let log_is_empty = async || {
        let truncated = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)");
        truncated.execute(&mut index(&storage).await).await.unwrap();
        fs::metadata(storage.join("index.db-wal")).map_or(0, |log| log.len()) == 0
    };
    wait_for(log_is_empty).await;
    fs::remove_file(storage.join(layout::RESERVE)).unwrap();
    fill(&tmpfs.0.path().join("others-still"));
    let disk = Disk::open(&storage).unwrap();
    let begun = session::begin(&storage, &disk, Duration::ZERO, T).await;
    assert!(begun.is_err_and(|error| error.is_full()));
    let store = open(&storage).await;
    let log = store.camera("a").unwrap();
    record(&storage, &log, 1_200..1_300).await;
    store.close().await.unwrap();
    assert_eq!(seconds(&storage, "a").await[0], kept);
    assert_whole(&storage).await;
    assert!(
        removals(&storage)
            .await
            .iter()
            .any(|row| row.rule == "disk_full")
    );
}
