//! What is found, each kind of damage by itself, and what is not: ordinary runs, and what changes meanwhile.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use bytes::Bytes;
use framelog_core::clock::ClockKind;
use framelog_core::frame::{Codec, Frame};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, SqliteConnection};
use tempfile::TempDir;

use super::*;
use crate::container::Container;
use crate::schema::PAGE_BYTES;
use crate::{Layout, Options, Store};

/// 2023-11-14 22:13:20 UTC.
const T: i64 = 1_700_000_000_000_000;
/// Frames in each segment of [`recorded`].
const FRAMES: i64 = 4;

fn options(path: &Path, container: Container) -> Options {
    Options {
        layout: match container {
            Container::Jpg => Layout::Files,
            _ => Layout::Segments,
        },
        sync: Duration::from_millis(20),
        ..Options::new(path.to_owned())
    }
}

/// A JPEG as far as its structure goes, with so many bytes of entropy-coded data.
fn picture(seed: i64, size: usize) -> Vec<u8> {
    let mut jpeg = b"\xFF\xD8\xFF\xDA\x00\x08\x01\x01\x00\x00\x3F\x00".to_vec();
    jpeg.extend((0..size).map(|n| ((seed.rem_euclid(97) as usize * 31 + n * 7) % 251) as u8));
    jpeg.extend_from_slice(b"\xFF\xD9");
    jpeg
}

/// A frame for this container; those of `.mp4` are one NAL unit each.
fn frame_in(container: Container, captured_us: i64) -> Frame {
    frame_of(container, captured_us, 300)
}

/// The same with so many bytes.
fn frame_of(container: Container, captured_us: i64, size: usize) -> Frame {
    let picture = picture(captured_us, size);
    let unit = [&(picture.len() as u32).to_be_bytes()[..], &picture].concat();
    match container {
        Container::Mp4 => Frame {
            payload: Bytes::from(unit).into(),
            codec: Codec::H264,
            ..frame(captured_us)
        },
        _ => Frame {
            payload: Bytes::from(picture).into(),
            ..frame(captured_us)
        },
    }
}

fn frame(captured_us: i64) -> Frame {
    Frame {
        payload: Bytes::from(picture(captured_us, 300)).into(),
        codec: Codec::Mjpeg,
        parameters: None,
        captured_us,
        received_us: captured_us.saturating_add(40_000),
        clock: ClockKind::Camera,
        offset_us: 0,
        keyframe: true,
        complete: true,
    }
}

/// Two cameras with two segments each, of four frames each: captured 0, 1, 2, 3 and 100, 101, 102, 103 after [`T`].
async fn recorded(container: Container) -> TempDir {
    recorded_of(container, 300).await
}

/// The same with pictures of so many bytes.
async fn recorded_of(container: Container, size: usize) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path(), container)).await.unwrap();
    for camera in ["a", "b"] {
        let log = store.camera(camera).unwrap();
        for begin in [0, 100] {
            for n in 0..FRAMES {
                let frame = frame_of(container, T + begin + n, size);
                log.append(frame, n == 0).unwrap();
            }
        }
    }
    store.close().await.unwrap();
    dir
}

async fn found_in(path: &Path, scope: &Scope) -> (Vec<Finding>, Totals) {
    found_by(&Reader::open(path).await.unwrap(), scope).await
}

async fn found_by(reader: &Reader, scope: &Scope) -> (Vec<Finding>, Totals) {
    let mut findings = Vec::new();
    let totals = verify(reader, scope, |news| {
        if let News::Finding(finding) = news {
            findings.push(finding);
        }
        Ok::<(), Error>(())
    })
    .await
    .unwrap();
    (findings, totals)
}

fn deep() -> Scope {
    Scope {
        depth: Depth::Bytes,
        ..Scope::default()
    }
}

/// Kind, camera, time after [`T`] and file of each finding.
async fn told(dir: &TempDir, scope: &Scope) -> Vec<(&'static str, String, Option<i64>)> {
    let (findings, totals) = found_in(dir.path(), scope).await;
    let failures = findings
        .iter()
        .filter(|finding| finding.problem.is_failure());
    assert_eq!(totals.findings, failures.count() as u64);
    findings
        .into_iter()
        .map(|Finding { place, problem }| {
            let camera = place.camera.unwrap_or_default();
            (problem.name(), camera, place.captured_us.map(|us| us - T))
        })
        .collect()
}

/// Changes the index of a directory that nobody records into.
///
/// `:first` stands for the id of camera a's first segment: two writers share the numbers out.
async fn alter(dir: &TempDir, sql: &str) {
    let sql = sql.replace(
        ":first",
        "(SELECT min(id) FROM segments WHERE camera_id = 1)",
    );
    let mut connection = SqliteConnectOptions::new()
        .filename(dir.path().join(layout::INDEX))
        .foreign_keys(false)
        .connect()
        .await
        .unwrap();
    sqlx::query(AssertSqlSafe(sql))
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

/// The files of a camera, in the order in which they were made.
fn files(dir: &TempDir, camera: &str) -> Vec<PathBuf> {
    let day = dir.path().join("footage").join(camera).join("2023-11-14");
    let mut files: Vec<PathBuf> = fs::read_dir(day)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

/// Where the parts of a file end.
fn part_ends(bytes: &[u8]) -> Vec<usize> {
    memchr::memmem::find_iter(bytes, b"--framelog\r\n")
        .skip(1)
        .chain([bytes.len()])
        .collect()
}

#[tokio::test]
async fn nothing_is_found_after_ordinary_runs() {
    for container in [Container::Mjpeg, Container::Jpg, Container::Mp4] {
        let dir = recorded(container).await;
        let store = Store::open(options(dir.path(), container)).await.unwrap();
        let log = store.camera("a").unwrap();
        let odd = [
            Frame {
                clock: ClockKind::Mapped,
                offset_us: -7,
                ..frame_in(container, T + 200)
            },
            Frame {
                clock: ClockKind::Arrival,
                offset_us: -7,
                received_us: T + 150,
                ..frame_in(container, T + 150) // backward
            },
            Frame {
                payload: Bytes::from_static(b"\xFF\xD8\xFF\xDAcut off").into(),
                complete: false,
                ..frame_in(container, T + 300)
            },
            frame_in(container, T + 300),
            Frame {
                received_us: T,
                ..frame_in(container, -5)
            },
            Frame {
                received_us: T,
                ..frame_in(container, i64::MAX / 2)
            },
        ];
        for odd in odd {
            log.append(odd, false).unwrap();
        }
        store.close().await.unwrap();
        for scope in [Scope::default(), deep()] {
            let (findings, totals) = found_in(dir.path(), &scope).await;
            assert_eq!(findings, [], "{container:?}");
            assert_eq!((totals.cameras, totals.frames), (2, 22));
            assert_eq!(totals.frames_due, 22);
            assert_eq!(totals.findings, 0);
        }
    }
}

#[tokio::test]
async fn each_disagreement_within_the_index_is_found() {
    let a = |kind: &'static str, time| (kind, "a".to_owned(), time);
    let nobody = |kind: &'static str| (kind, String::new(), None);
    for (sql, expected) in [
        (
            "UPDATE segments SET frames = 5 WHERE id = :first",
            vec![a("miscounted", Some(0))],
        ),
        (
            "UPDATE segments SET ended_us = ended_us + 9 WHERE id = :first",
            vec![a("miscounted", Some(0))],
        ),
        (
            "UPDATE segments SET started_us = started_us - 9 WHERE id = :first",
            vec![a("miscounted", Some(-9))],
        ),
        (
            "UPDATE segments SET received_us = received_us + 9 WHERE id = :first",
            vec![a("miscounted", Some(0))],
        ),
        (
            "UPDATE segments SET path = '../../etc/passwd' WHERE id = :first",
            vec![a("foreign_path", Some(0)), a("not_in_index", Some(0))],
        ),
        (
            "DELETE FROM segments WHERE id = :first",
            vec![a("stray", Some(0)), a("not_in_index", Some(0))],
        ),
        (
            "UPDATE frames SET captured_us = captured_us + 50 WHERE camera_id = 1 AND segment_id = :first AND captured_us % 10 = 1",
            vec![
                a("miscounted", Some(0)),
                a("no_row", Some(1)),
                a("stray", Some(51)),
            ],
        ),
        (
            "UPDATE frames SET lag_us = 7 WHERE camera_id = 1 AND segment_id = :first AND captured_us % 10 = 1",
            vec![a("disagrees", Some(1))],
        ),
        (
            "UPDATE frames SET flags = 2 WHERE camera_id = 1 AND segment_id = :first AND captured_us % 10 = 1",
            vec![a("disagrees", Some(1))],
        ),
        (
            "UPDATE frames SET flags = 4 WHERE camera_id = 1 AND segment_id = :first AND captured_us % 10 = 1",
            vec![a("disagrees", Some(1))],
        ),
        (
            "UPDATE frames SET length = length + 1 WHERE camera_id = 1 AND segment_id = :first AND captured_us % 10 = 1",
            vec![a("disagrees", Some(1))],
        ),
        (
            "UPDATE frames SET offset = offset + 1 WHERE camera_id = 1 AND segment_id = :first AND captured_us % 10 = 1",
            vec![a("no_row", Some(1)), a("no_frame", Some(1))],
        ),
        (
            "DELETE FROM frames WHERE camera_id = 1 AND segment_id = :first AND captured_us % 10 = 1",
            vec![a("miscounted", Some(0)), a("no_row", Some(1))],
        ),
        (
            "DELETE FROM cameras WHERE name = 'a'",
            vec![nobody("no_camera"), nobody("no_camera")],
        ),
    ] {
        for container in [Container::Mjpeg, Container::Mp4] {
            let dir = recorded(container).await;
            alter(&dir, sql).await;
            let found = told(&dir, &Scope::default()).await;
            assert_eq!(found, expected, "{container:?}: {sql}");
        }
    }
}

#[tokio::test]
async fn each_damage_to_the_footage_is_found() {
    type Damage = fn(&TempDir);
    let a = |kind: &'static str, time| (kind, "a".to_owned(), time);
    let whole = |path: &Path| fs::read(path).unwrap();
    let damages: Vec<(&str, Damage, Vec<_>)> = vec![
        (
            "file gone",
            |dir| fs::remove_file(&files(dir, "a")[1]).unwrap(),
            vec![a("missing", Some(100))],
        ),
        (
            "file is a directory",
            |dir| {
                let file = &files(dir, "a")[1];
                fs::remove_file(file).unwrap();
                fs::create_dir(file).unwrap();
            },
            vec![a("unreadable", Some(100))],
        ),
        (
            "file cut off",
            |dir| {
                File::options()
                    .write(true)
                    .open(&files(dir, "a")[1])
                    .unwrap()
                    .set_len(700)
                    .unwrap()
            },
            vec![a("short", Some(100))],
        ),
        (
            "torn end",
            |dir| append(&files(dir, "a")[0], b"--framelog\r\nContent-Type: im"),
            vec![("torn_end", "a".to_owned(), None)],
        ),
        (
            "frames of another file behind the end",
            |dir| append(&files(dir, "a")[0], &fs::read(&files(dir, "b")[1]).unwrap()),
            (100..104).map(|time| a("no_row", Some(time))).collect(),
        ),
        (
            "unknown file",
            |dir| {
                let [known, ..] = &files(dir, "a")[..] else {
                    panic!()
                };
                fs::copy(known, known.with_file_name(named(known, "221320.000500Z"))).unwrap();
            },
            vec![a("not_in_index", Some(0))],
        ),
        (
            "unknown file of an unknown camera",
            |dir| {
                let day = dir.path().join("footage/c/2023-11-14");
                fs::create_dir_all(&day).unwrap();
                let known = &files(dir, "a")[0];
                fs::copy(known, day.join(named(known, "221320.000000Z"))).unwrap();
            },
            vec![("not_in_index", "c".to_owned(), Some(0))],
        ),
        (
            "nothing in it",
            |dir| {
                let known = &files(dir, "a")[0];
                fs::write(known.with_file_name(named(known, "221320.000500Z")), "x").unwrap();
            },
            vec![a("nothing_in_it", Some(500))],
        ),
        (
            "files of others",
            |dir| {
                fs::write(files(dir, "a")[0].with_file_name("holiday.jpg"), "x").unwrap();
                fs::write(dir.path().join("footage/a/notes"), "x").unwrap();
                fs::write(dir.path().join("footage/README"), "x").unwrap();
            },
            vec![
                ("foreign", String::new(), None),
                ("foreign", "a".to_owned(), None),
                ("foreign", "a".to_owned(), None),
            ],
        ),
    ];
    for (what, damage, expected) in damages {
        for container in [Container::Mjpeg, Container::Mp4] {
            let mut expected = expected.clone();
            if container == Container::Mp4 && what.starts_with("frames of another") {
                // What closed the one and opened the other lies between them.
                expected.push(("damaged_stretch", "a".to_owned(), None));
            }
            let dir = recorded(container).await;
            let before = whole(&files(&dir, "b")[0]);
            damage(&dir);
            let mut found = told(&dir, &Scope::default()).await;
            found.sort();
            expected.sort();
            assert_eq!(found, expected, "{container:?}: {what}");
            assert_eq!(whole(&files(&dir, "b")[0]), before);
        }
    }
}

/// A name with the extension of another file.
fn named(like: &Path, stem: &str) -> String {
    format!("{stem}.{}", like.extension().unwrap().to_str().unwrap())
}

#[tokio::test]
async fn a_flipped_bit_in_a_closed_mp4_is_found_wherever_it_is() {
    let dir = recorded(Container::Mp4).await;
    let file = &files(&dir, "a")[0];
    let bytes = fs::read(file).unwrap();
    for at in (0..bytes.len()).step_by(23) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 4;
        fs::write(file, flipped).unwrap();
        let found = told(&dir, &deep()).await;
        assert_eq!(found.len(), 1, "{at}: {found:?}");
        let expected = ["damaged_frame", "damaged_stretch", "torn_end"];
        assert!(expected.contains(&found[0].0), "{at}: {found:?}");
    }
}

#[tokio::test]
async fn nal_units_that_do_not_add_up_are_told_by_a_deep_look() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path(), Container::Mp4))
        .await
        .unwrap();
    let log = store.camera("a").unwrap();
    let payloads: [&'static [u8]; 5] =
        [b"\0\0\0\x02ab", b"\0\0\0\x03ab", b"\0\0\0\0", b"\0\0", b""];
    for (n, payload) in (0..).zip(payloads) {
        let frame = Frame {
            payload: Bytes::from_static(payload).into(),
            ..frame_in(Container::Mp4, T + n)
        };
        log.append(frame, false).unwrap();
    }
    store.close().await.unwrap();
    assert_eq!(told(&dir, &Scope::default()).await, []);
    let broken = |n| ("broken_picture", "a".to_owned(), Some(n));
    assert_eq!(told(&dir, &deep()).await, [1, 2, 3, 4].map(broken));
}

fn append(path: &Path, bytes: &[u8]) {
    let whole = [fs::read(path).unwrap(), bytes.to_vec()].concat();
    fs::write(path, whole).unwrap();
}

#[tokio::test]
async fn each_damage_to_pictures_in_files_of_their_own_is_found() {
    let dir = recorded(Container::Jpg).await;
    let (in_a, in_b) = (files(&dir, "a"), files(&dir, "b"));
    fs::remove_file(&in_a[0]).unwrap();
    fs::write(&in_a[1], "").unwrap();
    fs::write(
        &in_a[2],
        "no picture, but long enough to be the one that was there, as far as its length goes"
            .repeat(9),
    )
    .unwrap();
    let touched = File::options().write(true).open(&in_b[3]).unwrap();
    touched
        .set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    let expected = [
        ("missing", "a".to_owned(), Some(0)),
        ("short", "a".to_owned(), Some(1)),
        ("damaged_frame", "a".to_owned(), Some(2)),
        ("disagrees", "b".to_owned(), Some(3)),
    ];
    assert_eq!(told(&dir, &Scope::default()).await, expected);
    // Its length, its first and its last bytes are right.
    let mut bytes = fs::read(&in_b[0]).unwrap();
    bytes[2] = 0;
    let modified = fs::metadata(&in_b[0]).unwrap().modified().unwrap();
    fs::write(&in_b[0], bytes).unwrap();
    let file = File::options().write(true).open(&in_b[0]).unwrap();
    file.set_modified(modified).unwrap();
    assert_eq!(told(&dir, &Scope::default()).await, expected);
    let found = told(&dir, &deep()).await;
    assert_eq!(found.len(), 5);
    assert_eq!(found[3], ("broken_picture", "b".to_owned(), Some(0)));
}

#[tokio::test]
async fn a_picture_that_came_broken_is_told_only_if_it_seemed_whole_and_only_by_a_deep_look() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path(), Container::Mjpeg))
        .await
        .unwrap();
    let log = store.camera("a").unwrap();
    let spliced = [picture(1, 20), picture(2, 20)].concat();
    let twice = [&spliced[..20], &spliced[34..]].concat();
    let whole = picture(4, 9);
    let (before, eoi) = whole.split_at(whole.len() - 2);
    let appended = [before, b"\xFF\xEF\x40\x00", &[7; 0x3FFE], eoi].concat();
    for (n, (payload, complete)) in [
        (twice.clone(), true),
        (twice, false),
        (picture(3, 9), true),
        (appended, true),
    ]
    .into_iter()
    .enumerate()
    {
        let payload = Bytes::from(payload).into();
        log.append(
            Frame {
                payload,
                complete,
                ..frame(T + n as i64)
            },
            false,
        )
        .unwrap();
    }
    store.close().await.unwrap();
    assert_eq!(told(&dir, &Scope::default()).await, []);
    let found = found_in(dir.path(), &deep()).await.0;
    assert!(
        matches!(found[..], [Finding { problem: Problem::BrokenPicture { .. }, ref place }] if place.captured_us == Some(T)),
        "{found:?}"
    );
}

#[tokio::test]
async fn only_the_cameras_and_the_span_that_were_asked_for_are_looked_at() {
    let dir = recorded(Container::Mjpeg).await;
    for camera in ["a", "b"] {
        for file in files(&dir, camera) {
            fs::remove_file(file).unwrap();
        }
    }
    fs::write(
        dir.path().join("footage/a/2023-11-14/221320.000500Z.mjpeg"),
        "x",
    )
    .unwrap();
    fs::write(dir.path().join("footage/README"), "x").unwrap();
    let scope = Scope {
        cameras: vec!["a".into()],
        from_us: T + 50,
        to_us: T + 101,
        ..Scope::default()
    };
    assert_eq!(
        told(&dir, &scope).await,
        [("missing", "a".to_owned(), Some(100))]
    );
    assert_eq!(told(&dir, &Scope::default()).await.len(), 6);
}

#[tokio::test]
async fn a_doomed_file_is_found_once_no_recorder_runs() {
    let dir = recorded(Container::Mjpeg).await;
    alter(
        &dir,
        "INSERT INTO doomed SELECT path FROM segments WHERE id = :first",
    )
    .await;
    alter(&dir, "DELETE FROM frames WHERE segment_id = :first").await;
    alter(&dir, "DELETE FROM segments WHERE id = :first").await;
    alter(&dir, "UPDATE sessions SET ended_us = NULL").await;
    assert_eq!(told(&dir, &Scope::default()).await, []);
    alter(&dir, "UPDATE sessions SET ended_us = 1").await;
    assert_eq!(
        told(&dir, &Scope::default()).await,
        [("doomed", "a".to_owned(), None)]
    );
}

#[tokio::test]
async fn footage_that_an_index_which_is_made_anew_does_not_know_yet_is_no_finding() {
    let dir = recorded(Container::Mjpeg).await;
    alter(&dir, "DELETE FROM frames WHERE segment_id = :first").await;
    alter(&dir, "DELETE FROM segments WHERE id = :first").await;
    assert_eq!(
        told(&dir, &Scope::default()).await,
        [("not_in_index", "a".to_owned(), Some(0))]
    );
    fs::write(dir.path().join("reindex"), "begun \n").unwrap();
    let (findings, totals) = found_in(dir.path(), &Scope::default()).await;
    assert_eq!(findings, []);
    assert_eq!((totals.findings, totals.awaited), (0, 1));
}

#[tokio::test]
async fn a_damaged_index_is_told_and_nothing_else_looked_at() {
    let dir = recorded(Container::Mjpeg).await;
    let path = dir.path().join(layout::INDEX);
    let mut index = fs::read(&path).unwrap();
    for page in index.chunks_mut(PAGE_BYTES as usize).skip(2) {
        page[..8].fill(0xAA);
    }
    fs::write(&path, index).unwrap();
    let (findings, totals) = found_in(dir.path(), &Scope::default()).await;
    assert!(!findings.is_empty());
    assert!(
        findings
            .iter()
            .all(|finding| finding.problem.name() == "damaged_index")
    );
    assert_eq!(
        (totals.segments, totals.findings),
        (0, findings.len() as u64)
    );
}

#[tokio::test]
async fn a_flipped_bit_is_told_as_the_frame_that_it_hit_and_no_other() {
    const FLIPS: usize = 1_000;
    let dir = recorded(Container::Mjpeg).await;
    let path = &files(&dir, "a")[1];
    let whole = fs::read(path).unwrap();
    let ends = part_ends(&whole);
    // A stride that has no divisor in common with the length meets every part of every part.
    let stride = (whole.len() * 3 / 5) | 1;
    let reader = Reader::open(dir.path()).await.unwrap();
    let file = File::options().write(true).open(path).unwrap();
    for n in 0..FLIPS {
        let (at, bit) = (n * stride % whole.len(), n % 8);
        file.write_all_at(&[whole[at] ^ (1 << bit)], at as u64)
            .unwrap();
        let hit = ends.iter().position(|&end| at < end).unwrap() as i64;
        let found = found_by(&reader, &deep()).await.0;
        assert!(
            matches!(
                &found[..],
                [Finding { place, problem: Problem::DamagedFrame }]
                    if place.camera.as_deref() == Some("a") && place.captured_us == Some(T + 100 + hit)
            ),
            "byte {at}, bit {bit}: {found:?}"
        );
        file.write_all_at(&whole[at..=at], at as u64).unwrap();
    }
    assert_eq!(found_by(&reader, &deep()).await.0, []);
}

#[tokio::test]
async fn a_file_cut_at_any_byte_is_told_with_the_frames_that_are_gone() {
    // Small, because each byte of them is looked at.
    let dir = recorded_of(Container::Mjpeg, 30).await;
    let path = &files(&dir, "a")[1];
    let whole = fs::read(path).unwrap();
    let ends = part_ends(&whole);
    let reader = Reader::open(dir.path()).await.unwrap();
    let file = File::options().write(true).open(path).unwrap();
    for cut in (0..whole.len()).rev() {
        file.set_len(cut as u64).unwrap();
        let problem = Problem::Short {
            bytes: (whole.len() - cut) as u64,
            frames: ends.iter().filter(|&&end| end > cut).count() as u64,
        };
        let found = found_by(&reader, &Scope::default()).await.0;
        let found: Vec<Problem> = found.into_iter().map(|finding| finding.problem).collect();
        assert_eq!(found, [problem], "cut at {cut}");
    }
}

/// As retention does it, one segment after the other: rows and a note in one transaction, then the file, then the note.
async fn remove_oldest(connection: &mut SqliteConnection, dir: &Path) -> bool {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let oldest: Option<(i64, String)> =
        sqlx::query_as("SELECT id, path FROM segments WHERE state = 'closed' ORDER BY id LIMIT 1")
            .fetch_optional(&mut *transaction)
            .await
            .unwrap();
    let Some((id, path)) = oldest else {
        return false;
    };
    for sql in [
        "INSERT INTO doomed SELECT path FROM segments WHERE id = ?",
        "DELETE FROM frames WHERE segment_id = ?",
        "DELETE FROM segments WHERE id = ?",
    ] {
        sqlx::query(sql)
            .bind(id)
            .execute(&mut *transaction)
            .await
            .unwrap();
    }
    transaction.commit().await.unwrap();
    fs::remove_file(dir.join(&path)).unwrap();
    sqlx::query("DELETE FROM doomed")
        .execute(connection)
        .await
        .unwrap();
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn nothing_is_found_while_recording_goes_on_and_old_footage_goes() {
    const ROUNDS: usize = 40;
    // As many segments are there at most: each look takes as long as the one before.
    const SEGMENTS_MAX: usize = 60;
    for container in [Container::Mjpeg, Container::Jpg, Container::Mp4] {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(options(dir.path(), container)).await.unwrap();
        let (a, b) = (store.camera("a").unwrap(), store.camera("b").unwrap());
        let is_over = AtomicBool::new(false);
        let (begun, removed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let record = async {
            let mut n = 0;
            while !is_over.load(SeqCst) {
                tokio::time::sleep(Duration::from_millis(3)).await;
                if begun.load(SeqCst) - removed.load(SeqCst) >= SEGMENTS_MAX {
                    continue;
                }
                for (log, frames) in [(&a, 5), (&b, 7)] {
                    log.append(frame_in(container, wall::now_us()), n % frames == 0)
                        .unwrap();
                    let is_begun = n % frames == 0 || container == Container::Jpg;
                    begun.fetch_add(usize::from(is_begun), SeqCst);
                }
                n += 1;
            }
        };
        let remove = async {
            let mut connection = SqliteConnectOptions::new()
                .filename(dir.path().join(layout::INDEX))
                .busy_timeout(Duration::from_secs(10))
                .connect()
                .await
                .unwrap();
            while !is_over.load(SeqCst) {
                let is_removed = remove_oldest(&mut connection, dir.path()).await;
                removed.fetch_add(usize::from(is_removed), SeqCst);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            connection.close().await.unwrap();
            assert!(removed.load(SeqCst) > 0, "nothing was removed meanwhile");
        };
        let look = async {
            let mut seen = 0;
            for round in 0.. {
                let scope = if round % 2 == 0 {
                    deep()
                } else {
                    Scope::default()
                };
                let (findings, totals) = found_in(dir.path(), &scope).await;
                assert_eq!(findings, [], "{container:?}");
                seen += usize::from(totals.frames > 0);
                if seen >= ROUNDS {
                    break;
                }
                tokio::task::yield_now().await;
            }
            is_over.store(true, SeqCst);
        };
        tokio::join!(record, remove, look);
        store.close().await.unwrap();
        assert_eq!(found_in(dir.path(), &deep()).await.0, []);
    }
}

#[tokio::test]
#[ignore = "a measurement: 360,000 frames"]
async fn what_a_look_costs_a_frame() {
    const HOURS: i64 = 10;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path(), Container::Mjpeg))
        .await
        .unwrap();
    let log = store.camera("a").unwrap();
    for n in 0..HOURS * 36_000 {
        log.append(frame(T + n * 100_000), n % 600 == 0).unwrap();
        if n % 1_000 == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    store.close().await.unwrap();
    for scope in [Scope::default(), deep()] {
        let began = Instant::now();
        let (findings, totals) = found_in(dir.path(), &scope).await;
        let us = began.elapsed().as_micros() as f64;
        assert_eq!(findings, []);
        println!(
            "{:?}: {:.1} us a frame, {} frames",
            scope.depth,
            us / totals.frames as f64,
            totals.frames
        );
    }
}
