//! The index made anew: what it says afterwards is what it said before.

use std::fs;

use super::crash::kill;
use super::*;
use crate::disk::faults::Fault;
use crate::lost_index;
use crate::schema::PAGE_BYTES;
use crate::{reindex_is_due, reindex_is_only_asked};

/// Every row of the view `footage`.
type Footage = Vec<(String, i64, i64, String, i64, i64, String, i64, i64)>;

async fn footage(path: &Path) -> Footage {
    sqlx::query_as(
        "SELECT camera, captured_us, received_us, clock, keyframe, complete, path, offset, length FROM footage \
         ORDER BY camera, path, offset",
    )
    .fetch_all(&mut index(path).await)
    .await
    .unwrap()
}

async fn offsets(path: &Path) -> Vec<(String, i64, i64, i64)> {
    sqlx::query_as("SELECT path, started_us, ended_us, offset_us FROM segments ORDER BY path")
        .fetch_all(&mut index(path).await)
        .await
        .unwrap()
}

/// Frames of all kinds of two cameras, over several segments, and a gap.
async fn record(path: &Path) {
    let store = open(path).await;
    let (a, b) = (store.camera("a").unwrap(), store.camera("b").unwrap());
    for n in 0..30 {
        a.append(frame(T + n * 100_000, "of a"), n % 10 == 0)
            .unwrap();
        let kinds = [ClockKind::Camera, ClockKind::Mapped, ClockKind::Arrival];
        let clock = kinds[n as usize % 3];
        let mapped = Frame {
            clock,
            offset_us: if clock == ClockKind::Mapped { 5 + n } else { 0 },
            keyframe: codec() == Codec::Mjpeg || n % 4 == 0,
            complete: n % 7 > 0,
            ..frame(T + 60_000_000 - n * 1_000, "of b")
        };
        b.append(mapped, false).unwrap();
    }
    a.record_gap(T + 3_000_000, T + 9_000_000, GapReason::Stalled, "why");
    store.close().await.unwrap();
}

async fn reindexed(path: &Path) -> Progress {
    let store = open(path).await;
    let mut rebuilding = store.rebuilding().expect("it is being made anew");
    let progress = *rebuilding.wait_for(|progress| progress.done).await.unwrap();
    store.close().await.unwrap();
    progress
}

fn remove_index(path: &Path) {
    for name in ["index.db", "index.db-wal", "index.db-shm"] {
        let _ = fs::remove_file(path.join(name));
    }
}

fn set_aside(path: &Path) -> usize {
    // Each may have its log.
    let is_aside = |name: &str| name.starts_with("index.db.before-") && name.ends_with('Z');
    fs::read_dir(path)
        .unwrap()
        .filter(|entry| is_aside(&entry.as_ref().unwrap().file_name().to_string_lossy()))
        .count()
}

#[tokio::test]
async fn an_index_that_was_deleted_comes_back_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path()).await;
    let before = (footage(dir.path()).await, offsets(dir.path()).await);
    let uuid = fs::read(dir.path().join(layout::IDENTITY)).unwrap();
    remove_index(dir.path());
    let progress = reindexed(dir.path()).await;
    assert_eq!(progress.frames, 60);
    assert_eq!(
        (footage(dir.path()).await, offsets(dir.path()).await),
        before
    );
    assert_eq!(fs::read(dir.path().join(layout::IDENTITY)).unwrap(), uuid);
    let store = open(dir.path()).await;
    assert!(store.rebuilding().is_none(), "it is done");
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_damaged_index_is_set_aside_and_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path()).await;
    let before = footage(dir.path()).await;
    for (aside, damaged) in [b"not a database at all, but long enough".to_vec(), {
        let mut bytes = fs::read(dir.path().join("index.db")).unwrap();
        bytes[100..PAGE_BYTES as usize].fill(0xA5); // the schema
        bytes
    }]
    .into_iter()
    .enumerate()
    {
        fs::write(dir.path().join("index.db"), &damaged).unwrap();
        reindexed(dir.path()).await;
        assert_eq!(footage(dir.path()).await, before);
        assert_eq!(set_aside(dir.path()), aside + 1);
    }
}

#[test]
fn what_is_asked_for_has_not_begun_yet() {
    let dir = tempfile::tempdir().unwrap();
    let stage = || {
        (
            reindex_is_due(dir.path()),
            reindex_is_only_asked(dir.path()),
        )
    };
    assert_eq!(stage(), (false, false));
    ask_for_reindex(dir.path()).unwrap();
    assert_eq!(stage(), (true, true));
    let begun = lost_index::Mark::Begun {
        aside: None,
        ids: None,
    };
    lost_index::set_mark(dir.path(), &begun).unwrap();
    assert_eq!(stage(), (true, false));
}

#[tokio::test]
async fn what_only_the_old_index_knew_is_kept_when_one_asks_for_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path()).await;
    let before = footage(dir.path()).await;
    ask_for_reindex(dir.path()).unwrap();
    reindexed(dir.path()).await;
    assert_eq!(footage(dir.path()).await, before);
    let gaps = gaps(dir.path(), "a").await;
    assert_eq!(
        spans(&gaps)[0],
        (T + 3_000_000, Some(T + 9_000_000), "stalled")
    );
    let sessions: i64 = sqlx::query_scalar("SELECT count(*) FROM sessions")
        .fetch_one(&mut index(dir.path()).await)
        .await
        .unwrap();
    assert_eq!(sessions, 2);
}

#[tokio::test]
async fn what_the_old_index_had_and_the_footage_has_not_is_missing_by_receipt() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path()).await;
    let before = footage(dir.path()).await;
    // Of a two files go, of the last one the last two frames.
    let of_a: Vec<_> = before.iter().filter(|row| row.0 == "a").collect();
    for row in [of_a[0], of_a[10]] {
        fs::remove_file(dir.path().join(&row.6)).unwrap();
    }
    let cut = of_a[28];
    let file = fs::File::options()
        .write(true)
        .open(dir.path().join(&cut.6))
        .unwrap();
    file.set_len(cut.7.cast_unsigned() + 1).unwrap();
    for _ in 0..2 {
        ask_for_reindex(dir.path()).unwrap();
        reindexed(dir.path()).await;
        let reader = Reader::open(dir.path()).await.unwrap();
        let receipts = reader.removals(None, i64::MIN, i64::MAX).await.unwrap();
        let told: Vec<_> = receipts
            .iter()
            .map(|row| {
                let span = (row.started_us - T, row.ended_us - T);
                (span, row.segments, row.frames, row.rule.as_str())
            })
            .collect();
        assert_eq!(
            told,
            [
                ((0, 1_900_000), 2, 20, "missing"),
                ((2_800_000, 2_900_000), 0, 2, "missing")
            ]
        );
        assert_eq!(footage(dir.path()).await.len(), before.len() - 22);
        let gaps = gaps(dir.path(), "a").await;
        assert!(
            gaps.iter().all(|gap| gap.reason != "recorder_down"),
            "{gaps:?}"
        );
    }
}

#[tokio::test]
async fn what_a_rule_has_removed_is_not_missing() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path()).await;
    let before = footage(dir.path()).await;
    // As if it had gone while the index was made anew.
    fs::remove_file(dir.path().join(&before[0].6)).unwrap();
    sqlx::query(
        "INSERT INTO removals (camera_id, started_us, ended_us, segments, frames, bytes, rule, removed_us) \
         SELECT id, ?1, ?1 + 900000, 1, 10, 1, 'max_size', 0 FROM cameras WHERE name = 'a'",
    )
    .bind(T)
    .execute(&mut index(dir.path()).await)
    .await
    .unwrap();
    ask_for_reindex(dir.path()).unwrap();
    reindexed(dir.path()).await;
    let reader = Reader::open(dir.path()).await.unwrap();
    let receipts = reader.removals(None, i64::MIN, i64::MAX).await.unwrap();
    let rules: Vec<_> = receipts.iter().map(|row| row.rule.as_str()).collect();
    assert_eq!(rules, ["max_size"]);
    assert_eq!(footage(dir.path()).await.len(), before.len() - 10);
}

#[tokio::test]
async fn time_that_nothing_is_known_of_is_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let log = store.camera("a").unwrap();
    for (n, captured_us) in [T, T + 100_000, T + 60_000_000, T + 60_100_000]
        .into_iter()
        .enumerate()
    {
        log.append(frame(captured_us, "x"), n == 2).unwrap();
    }
    store.close().await.unwrap();
    remove_index(dir.path());
    reindexed(dir.path()).await;
    let gaps = gaps(dir.path(), "a").await;
    assert_eq!(
        spans(&gaps),
        [(T + 100_000, Some(T + 60_000_000), "recorder_down")]
    );
}

#[tokio::test]
async fn recording_goes_on_meanwhile_and_a_crash_is_no_end_of_it() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path()).await;
    let before = footage(dir.path()).await;
    remove_index(dir.path());

    let store = open(dir.path()).await;
    let log = store.camera("a").unwrap();
    assert_eq!(log.last_captured_us(), Some(T + 2_900_000));
    let now_us = wall::now_us();
    log.append(frame(now_us, "new"), false).unwrap();
    kill(store).await; // at some moment of it

    let store = open(dir.path()).await;
    if let Some(mut rebuilding) = store.rebuilding() {
        rebuilding.wait_for(|progress| progress.done).await.unwrap();
    }
    store.close().await.unwrap();
    let mut after = footage(dir.path()).await;
    let new: Footage = after.extract_if(.., |row| row.1 == now_us).collect();
    assert_eq!(new.len(), 1);
    assert_eq!(after, before);
}

#[tokio::test]
async fn what_is_recorded_meanwhile_is_not_found_again_wherever_the_clock_is_set() {
    for layout in [Layout::Segments, Layout::Files] {
        let dir = tempfile::tempdir().unwrap();
        record(dir.path()).await;
        let before = footage(dir.path()).await;
        remove_index(dir.path());
        let disk = Disk::open(dir.path()).unwrap();
        let faults = disk.faults.clone();
        let options = Options {
            layout,
            ..options(dir.path())
        };
        let store = Store::open_on(disk, options, Limits::default())
            .await
            .unwrap();
        // The sync before the files are listed: by then there is a new one among them, which no row speaks of while the index is held.
        let sync = faults.calls.load(SeqCst) + 1;
        faults.plan(sync, sync, Fault::Slow(Duration::from_secs(1)));
        let mut rebuilding = store.rebuilding().unwrap();
        let mut foreign = index(dir.path()).await;
        sqlx::query("BEGIN IMMEDIATE")
            .execute(&mut foreign)
            .await
            .unwrap();
        let log = store.camera("a").unwrap();
        for n in 0..3 {
            let captured_us = T + 500 + n; // years ago
            log.append(picture(captured_us, 100), n == 0).unwrap();
        }
        wait_for(async || log.counters().stored_frames == 3).await;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        sqlx::query("ROLLBACK").execute(&mut foreign).await.unwrap();

        rebuilding.wait_for(|progress| progress.done).await.unwrap();
        assert!(rebuilding.borrow().whole);
        store.close().await.unwrap();
        let mut after = footage(dir.path()).await;
        let is_new = |row: &mut (_, i64, _, _, _, _, _, _, _)| (T + 500..T + 503).contains(&row.1);
        let new: Footage = after.extract_if(.., is_new).collect();
        assert_eq!(new.len(), 3, "{layout:?}");
        assert_eq!(after, before);
        let strays: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM frames WHERE segment_id NOT IN (SELECT id FROM segments)",
        )
        .fetch_one(&mut index(dir.path()).await)
        .await
        .unwrap();
        assert_eq!(strays, 0);
    }
}

#[tokio::test]
async fn pictures_in_files_of_their_own_come_back_too() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        layout: Layout::Files,
        ..options(dir.path())
    };
    let store = Store::open(options).await.unwrap();
    let log = store.camera("a").unwrap();
    let clocks = [
        (ClockKind::Arrival, 0),
        (ClockKind::Camera, 0),
        (ClockKind::Mapped, 3_600_000_000),
        (ClockKind::Mapped, -1),
        (ClockKind::Mapped, 0),
    ];
    for (n, (clock, offset_us)) in (0..).zip(clocks) {
        let picture = Frame {
            codec: Codec::Mjpeg,
            payload: Bytes::from_static(b"\xFF\xD8\xFF\xDBx\xFF\xD9").into(),
            clock,
            offset_us,
            ..frame(T + n * 300_000, "")
        };
        log.append(picture, false).unwrap();
    }
    store.close().await.unwrap();
    let before = footage(dir.path()).await;
    assert_eq!(before.len(), 5);
    let offsets_before = offsets(dir.path()).await;
    remove_index(dir.path());
    reindexed(dir.path()).await;
    assert_eq!(footage(dir.path()).await, before);
    // Where the file system keeps extended attributes; the temporary directory's may not.
    let probe = std::fs::File::create(dir.path().join("probe")).unwrap();
    let disk = Disk::open(dir.path()).unwrap();
    if disk
        .set_attribute(&probe, "user.framelog.probe", b"x")
        .is_ok()
    {
        assert_eq!(offsets(dir.path()).await, offsets_before);
    }
}

#[tokio::test]
async fn an_index_that_is_found_damaged_while_recording_is_made_anew_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path()).await;
    let before = footage(dir.path()).await.len();
    let store = open(dir.path()).await;
    let log = store.camera("a").unwrap();
    // SQLite keeps pages it has read, but looks for this one on the disk.
    let mut bytes = fs::read(dir.path().join("index.db")).unwrap();
    bytes[PAGE_BYTES as usize..].fill(0xA5);
    fs::write(dir.path().join("index.db"), bytes).unwrap();
    let now_us = wall::now_us();
    for n in 0..50 {
        log.append(frame(now_us + n, "new"), false).unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
        if !store.is_indexing() {
            break;
        }
    }
    drop(log);
    match store.close().await {
        Ok(()) => {} // it had all it needed in memory
        Err(Error::DamagedIndex { .. }) => {
            reindexed(dir.path()).await;
            assert!(footage(dir.path()).await.len() > before);
        }
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn old_footage_precedes_what_was_recorded_before_a_crash_put_the_rest_off() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path()).await;
    remove_index(dir.path());
    let store = open(dir.path()).await;
    let mut rebuilding = store.rebuilding().unwrap();
    rebuilding.wait_for(|progress| progress.done).await.unwrap();
    let log = store.camera("b").unwrap();
    let now_us = wall::now_us();
    log.append(frame(now_us, "new"), false).unwrap();
    let reader = Reader::open(dir.path()).await.unwrap();
    wait_for(async || frames(&reader, "b").len() == 31).await;
    kill(store).await;
    // As it would be if the crash had come after the first segment.
    let order = async || -> Vec<(i64, bool)> {
        sqlx::query_as("SELECT id, received_us < 1750000000000000 FROM segments ORDER BY id")
            .fetch_all(&mut index(dir.path()).await)
            .await
            .unwrap()
    };
    let before = order().await;
    let end = before.last().unwrap().0;
    for sql in [
        "DELETE FROM frames WHERE segment_id > 1 AND captured_us < 1750000000000000",
        "DELETE FROM segments WHERE id > 1 AND received_us < 1750000000000000",
    ] {
        sqlx::query(sql)
            .execute(&mut index(dir.path()).await)
            .await
            .unwrap();
    }
    let begun = lost_index::Mark::Begun {
        aside: None,
        ids: Some(1..end),
    };
    lost_index::set_mark(dir.path(), &begun).unwrap();
    reindexed(dir.path()).await;
    assert_eq!(order().await, before);
    let store = open(dir.path()).await;
    let log = store.camera("b").unwrap();
    assert_eq!(log.last_captured_us(), Some(now_us));
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_others_left_among_the_footage_keeps_nobody_from_starting() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path()).await;
    let before = footage(dir.path()).await;
    let below = dir.path().join(layout::FOOTAGE);
    for stray in ["readme", "a/.DS_Store", "a/clip.mp4"] {
        fs::write(below.join(stray), "not ours").unwrap();
    }
    fs::create_dir(below.join("a/thumbnails")).unwrap();
    fs::create_dir(below.join("not a camera")).unwrap();
    remove_index(dir.path());
    assert!(reindexed(dir.path()).await.whole);
    assert_eq!(footage(dir.path()).await, before);
}

#[tokio::test]
async fn what_the_old_index_knew_is_saved_even_if_the_first_start_is_cut_short() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path()).await;
    // As a crash leaves it that falls between setting aside and the new index's identity.
    lost_index::set_aside(dir.path(), 5).unwrap();
    fs::write(dir.path().join("index.db"), "").unwrap();
    reindexed(dir.path()).await;
    let gaps = gaps(dir.path(), "a").await;
    assert_eq!(
        spans(&gaps)[0],
        (T + 3_000_000, Some(T + 9_000_000), "stalled")
    );
}

#[tokio::test]
async fn nothing_goes_while_the_list_of_protected_footage_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path()).await;
    let before = footage(dir.path()).await;
    fs::write(dir.path().join(layout::PROTECTED), "[[prot").unwrap();
    remove_index(dir.path());
    let store = Store::open(Options {
        rules: Rules {
            max_size: Some(1),
            ..Rules::default()
        },
        ..options(dir.path())
    })
    .await
    .unwrap();
    let mut rebuilding = store.rebuilding().unwrap();
    rebuilding.wait_for(|progress| progress.done).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    store.close().await.unwrap();
    assert_eq!(footage(dir.path()).await, before);
}

#[tokio::test]
async fn a_protected_camera_was_there_since_its_footage_and_so_has_its_gap() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path()).await;
    let mut protections = crate::protection::Protections::open(dir.path())
        .await
        .unwrap();
    protections.add("a", T, T + 1, "").await.unwrap();
    drop(protections);
    remove_index(dir.path());
    reindexed(dir.path()).await;
    let added: Vec<(String, i64)> = sqlx::query_as("SELECT name, added_us FROM cameras ORDER BY 1")
        .fetch_all(&mut index(dir.path()).await)
        .await
        .unwrap();
    assert_eq!(added.len(), 2);
    assert!(
        added
            .iter()
            .all(|(_, added_us)| *added_us <= T + 60_000_000),
        "{added:?}"
    );
    let store = open(dir.path()).await;
    store.camera("a").unwrap();
    store.close().await.unwrap();
    let gaps = gaps(dir.path(), "a").await;
    let last = gaps.last().unwrap();
    assert_eq!(
        (last.started_us, last.reason.as_str()),
        (T + 2_900_000, "recorder_down")
    );
}
