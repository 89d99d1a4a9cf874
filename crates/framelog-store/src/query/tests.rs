//! Reading: the right rows, by seeks alone, and what docs/schema.md promises.

use std::time::Duration;

use bytes::Bytes;
use framelog_core::clock::ClockKind;
use framelog_core::frame::{Codec, Frame};
use framelog_core::gap::GapReason;
use tempfile::TempDir;

use super::*;
use crate::{Options, Store};

/// 2026-11-22 10:00:00 UTC.
const T: i64 = 1_795_341_600_000_000;
const SECOND: i64 = 1_000_000;

const SCHEMA_DOC: &str = include_str!("../../../../docs/schema.md");

async fn store(dir: &TempDir) -> Store {
    Store::open(Options {
        sync: Duration::from_millis(20),
        ..Options::new(dir.path().to_owned())
    })
    .await
    .unwrap()
}

fn frame(captured_us: i64) -> Frame {
    Frame {
        payload: Bytes::from_static(b"a picture").into(),
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

/// Segments of these capture times, for each camera.
async fn recorded(cameras: &[(&str, &[&[i64]])]) -> (TempDir, Reader) {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    for (name, segments) in cameras {
        let log = store.camera(name).unwrap();
        for times in *segments {
            for (n, captured_us) in times.iter().enumerate() {
                log.append(frame(T + captured_us), n == 0).unwrap();
            }
        }
    }
    store.close().await.unwrap();
    let reader = Reader::open(dir.path()).await.unwrap();
    (dir, reader)
}

#[tokio::test]
async fn nearest_is_found_on_either_side_and_ties_go_to_the_earlier() {
    let (_dir, reader) = recorded(&[("a", &[&[0, 0, 10, 20]]), ("b", &[&[11]])]).await;
    let nearest = |at_us: i64| {
        reader
            .nearest("a", T + at_us)
            .unwrap()
            .map(|row| row.captured_us - T)
    };
    for (at_us, expected) in [
        (-100, 0),
        (4, 0),
        (5, 0),
        (6, 10),
        (10, 10),
        (19, 20),
        (1000, 20),
    ] {
        assert_eq!(nearest(at_us), Some(expected), "{at_us}");
    }
    assert_eq!(reader.nearest("nobody", T).unwrap(), None);
    let first = reader.frames("a", T, T + 1, None, 1).unwrap();
    for at_us in [T, T + 3] {
        assert_eq!(
            reader.nearest("a", at_us).unwrap().as_ref(),
            first.first(),
            "the one that arrived first"
        );
    }
}

#[tokio::test]
async fn pages_of_any_size_give_every_frame_once() {
    let (_dir, reader) = recorded(&[("a", &[&[0, 5, 5, 3], &[5, 5, 9], &[3, 12]])]).await;
    let whole = reader.frames("a", T + 3, T + 12, None, 100).unwrap();
    assert_eq!(
        whole
            .iter()
            .map(|row| row.captured_us - T)
            .collect::<Vec<_>>(),
        [3, 3, 5, 5, 5, 5, 9]
    );
    for limit in 1..=8 {
        let mut pages: Vec<FrameRow> = Vec::new();
        loop {
            let page = reader
                .frames("a", T + 3, T + 12, pages.last(), limit)
                .unwrap();
            if page.is_empty() {
                break;
            }
            pages.extend(page);
        }
        assert_eq!(pages, whole, "pages of {limit}");
    }
}

fn gap(started_us: i64, ended_us: Option<i64>) -> GapRow {
    GapRow {
        camera: "a".to_owned(),
        started_us: T + started_us,
        ended_us: ended_us.map(|us| T + us),
        reason: "stalled".to_owned(),
        detail: String::new(),
    }
}

#[tokio::test]
async fn stretches_are_divided_by_the_gaps_that_lie_between_segments() {
    let never_ended: &[(i64, Option<i64>)] = &[(5, None)];
    for (segments, gaps, expected) in [
        (
            &[&[0, 9][..], &[10, 19], &[20, 29]][..],
            &[(-20, Some(0)), (29, None)][..],
            &[(0, 29, 3)][..],
        ),
        (
            &[&[0, 9], &[100, 109], &[110, 119]],
            &[(9, Some(100))],
            &[(0, 9, 1), (100, 119, 2)],
        ),
        // Within a segment.
        (&[&[0, 50], &[51, 100]], &[(10, Some(20))], &[(0, 100, 2)]),
        // A clock that was put back.
        (
            &[&[0, 50], &[20, 40], &[51, 60]],
            &[(60, None)],
            &[(0, 60, 3)],
        ),
        (&[&[0, 5], &[9, 12]], never_ended, &[(0, 5, 1), (9, 12, 1)]),
        // Two that begin at the same time, and one that is no gap.
        (
            &[&[0, 5], &[9, 12]],
            &[(5, Some(5)), (5, Some(9)), (12, Some(12))],
            &[(0, 5, 1), (9, 12, 1)],
        ),
        (&[], &[(0, Some(5))], &[]),
    ] {
        let (_dir, reader) = recorded(&[("a", segments), ("b", &[&[3]])]).await;
        let gaps: Vec<GapRow> = gaps.iter().map(|&(from, to)| gap(from, to)).collect();
        let stretches = async |from_us: i64, to_us: i64| {
            let found = reader.stretches("a", from_us, to_us, &gaps).await.unwrap();
            let frames: u64 = found.iter().map(|stretch| stretch.frames).sum();
            let files: u64 = found.iter().map(|stretch| stretch.files).sum();
            assert_eq!(frames, 2 * files);
            found
        };
        let found = stretches(i64::MIN, i64::MAX).await;
        let spans: Vec<_> = found
            .iter()
            .map(|s| (s.started_us - T, s.ended_us - T, s.files))
            .collect();
        assert_eq!(spans, expected, "{segments:?} {gaps:?}");
        for stretch in found {
            let listed = reader
                .segments(Some("a"), stretch.started_us, stretch.ended_us + 1)
                .await
                .unwrap();
            assert_eq!(listed.first().unwrap().path, stretch.first_path);
            assert_eq!(listed.last().unwrap().path, stretch.last_path);
            assert_eq!(
                listed.iter().map(|segment| segment.bytes).sum::<u64>(),
                stretch.bytes
            );
            // Any moment of it is in it.
            let at = stretches(stretch.ended_us, stretch.ended_us + 1).await;
            assert_eq!(at.len(), 1);
        }
    }
}

#[tokio::test]
async fn segments_that_overlap_a_span_are_found_however_long_they_are() {
    let long: &[i64] = &[0, 1000];
    let (_dir, reader) = recorded(&[
        ("a", &[long, &[400, 410], &[2000, 2001]]),
        ("b", &[&[900, 905]]),
    ])
    .await;
    let found = async |camera, from_us: i64, to_us: i64| {
        let segments = reader
            .segments(camera, T + from_us, T + to_us)
            .await
            .unwrap();
        segments
            .into_iter()
            .map(|s| (s.camera, s.started_us - T))
            .collect::<Vec<_>>()
    };
    let row = |camera: &str, started_us| (camera.to_owned(), started_us);
    assert_eq!(found(None, 905, 950).await, [row("a", 0), row("b", 900)]);
    assert_eq!(
        found(Some("a"), 410, 411).await,
        [row("a", 0), row("a", 400)]
    );
    assert_eq!(found(Some("a"), 1000, 2000).await, [row("a", 0)]);
    assert_eq!(found(Some("a"), 1001, 2000).await, []);
    assert_eq!(found(Some("b"), 0, 900).await, []);
}

#[tokio::test]
async fn segments_since_one_begin_with_it_in_the_order_they_began() {
    let (_dir, reader) = recorded(&[("a", &[&[50], &[20], &[70]]), ("b", &[&[60]])]).await;
    let since = async |id, limit| reader.segments_since("a", id, limit).await.unwrap();
    let all = since(0, 9).await;
    assert_eq!(
        all.iter().map(|s| s.started_us - T).collect::<Vec<_>>(),
        [50, 20, 70]
    );
    assert_eq!(since(all[1].id, 9).await, all[1..]);
    assert_eq!(since(all[1].id, 1).await, all[1..2]);
    let newest = reader.newest_segment("a").await.unwrap();
    assert_eq!(newest.as_ref(), all.last());
    assert_eq!(reader.newest_segment("c").await.unwrap(), None);
    assert!(reader.knows("b").await.unwrap());
    assert!(!reader.knows("c").await.unwrap());
    let first_since = async |us| reader.first_segment_since("a", us).await.unwrap();
    assert_eq!(first_since(T + 20).await, Some(all[0].id), "it began first");
    assert_eq!(first_since(T + 51).await, Some(all[2].id));
    assert_eq!(first_since(T + 71).await, None);
}

#[tokio::test]
async fn gaps_that_touch_a_span_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let log = store.camera("a").unwrap();
    log.record_gap(T, T + 10, GapReason::Stalled, "one");
    log.record_gap(T + 20, T + 30, GapReason::Busy, "two");
    store.close().await.unwrap();
    let reader = Reader::open(dir.path()).await.unwrap();
    let found = async |from_us: i64, to_us: i64| {
        let gaps = reader
            .gaps(Some("a"), T + from_us, T + to_us)
            .await
            .unwrap();
        gaps.into_iter().map(|gap| gap.detail).collect::<Vec<_>>()
    };
    assert_eq!(found(5, 25).await, ["one", "two"]);
    assert_eq!(found(10, 20).await, [""; 0]);
    assert_eq!(
        reader.gaps(None, i64::MIN, i64::MAX).await.unwrap().len(),
        2
    );
}

#[tokio::test]
async fn payload_of_a_row_that_lies_is_an_error() {
    let (dir, reader) = recorded(&[("a", &[&[0]])]).await;
    let row = reader.nearest("a", T).unwrap().unwrap();
    assert_eq!(reader.payload(&row).unwrap(), b"a picture");
    std::fs::write(dir.path().join("secret"), "secret").unwrap();
    for lie in [
        FrameRow {
            length: u64::MAX,
            ..row.clone()
        },
        FrameRow {
            length: 1 << 40,
            ..row.clone()
        },
        FrameRow {
            offset: u64::MAX,
            ..row.clone()
        },
        FrameRow {
            path: Path::new("footage/../secret").into(),
            offset: 0,
            length: 1,
            ..row.clone()
        },
        FrameRow {
            path: dir.path().join("secret").into(),
            offset: 0,
            length: 1,
            ..row.clone()
        },
    ] {
        assert!(reader.payload(&lie).is_err(), "{lie:?}");
    }
}

#[tokio::test]
async fn an_index_that_is_no_database_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("index.db"), [7; 8_192]).unwrap();
    let opened = Reader::open(dir.path()).await.map(|_| ());
    assert!(
        matches!(opened, Err(Error::MalformedIndex { .. })),
        "{opened:?}"
    );
    let opened = crate::protection::Protections::open(dir.path())
        .await
        .map(|_| ());
    assert!(
        matches!(opened, Err(Error::MalformedIndex { .. })),
        "{opened:?}"
    );
}

#[tokio::test]
async fn a_page_of_a_damaged_index_says_what_to_do() {
    let times: Vec<i64> = (0..2_000).collect();
    let (dir, reader) = recorded(&[("a", &[&times])]).await;
    let root: i64 = sqlx::query_scalar("SELECT rootpage FROM sqlite_schema WHERE name = 'frames'")
        .fetch_one(&reader.pool)
        .await
        .unwrap();
    drop(reader);
    let path = dir.path().join("index.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = (root - 1) as usize * 4_096;
    bytes[at..at + 4_096].fill(0xA5);
    std::fs::write(&path, bytes).unwrap();

    let reader = Reader::open(dir.path()).await.unwrap();
    let page = reader.frames("a", T, T + 2_000, None, 2_000);
    assert!(
        matches!(page, Err(Error::MalformedIndex { .. })),
        "{page:?}"
    );
}

#[tokio::test]
async fn directory_without_an_index_says_so() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(
        Reader::open(dir.path()).await,
        Err(Error::NoIndex { .. })
    ));
    std::fs::write(dir.path().join("index.db"), "").unwrap();
    assert!(matches!(
        Reader::open(dir.path()).await,
        Err(Error::NoIndex { .. })
    ));
}

/// The steps of a query's plan.
async fn plan(reader: &Reader, sql: &str) -> Vec<String> {
    let rows = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
        .fetch_all(&reader.pool)
        .await
        .unwrap();
    rows.iter().map(|row| row.get("detail")).collect()
}

#[tokio::test]
async fn every_query_of_one_camera_is_seeks_alone() {
    let (_dir, reader) = recorded(&[("a", &[&[0]])]).await;
    for sql in [
        frames::LAST_BEFORE.to_owned(),
        frames::FIRST_FROM.to_owned(),
        frames::REST_OF_MOMENT.to_owned(),
        frames::LATER.to_owned(),
        stretches::stretches_sql(),
        segments_sql(true),
        segments_since_sql(),
        newest_segment_sql(),
        first_segment_since_sql(),
        gaps_sql(true),
    ] {
        let plan = plan(&reader, &sql).await;
        let slow = |step: &&String| {
            // What is bound is scanned, and the few bounds of stretches are put in order.
            let is_bound = [
                "(subquery",
                "json_each",
                "bounds",
                "longest",
                "spans",
                "CONSTANT",
            ]
            .iter()
            .any(|name| step.contains(name));
            step.starts_with("SCAN") && !is_bound
                || step.contains("TEMP B-TREE FOR ORDER BY") && !sql.contains("json_each")
        };
        assert_eq!(plan.iter().find(slow), None, "{sql}: {plan:#?}");
        assert!(
            plan.iter().any(|step| step.starts_with("SEARCH")),
            "{sql}: {plan:#?}"
        );
    }
}

#[tokio::test]
async fn footage_is_added_up_without_its_rows() {
    let (_dir, reader) = recorded(&[("a", &[&[0]])]).await;
    let plan = plan(&reader, &stretches::stretches_sql()).await;
    let covered = "USING COVERING INDEX segments_closed_by_time (camera_id=? AND started_us>? AND started_us<?)";
    assert!(plan.iter().any(|step| step.contains(covered)), "{plan:#?}");
    assert!(
        plan.iter()
            .any(|step| step.contains("segments_open (camera_id=?)")),
        "{plan:#?}"
    );
}

#[tokio::test]
async fn queries_of_all_cameras_scan_nothing_but_cameras() {
    let (_dir, reader) = recorded(&[("a", &[&[0]])]).await;
    for sql in [segments_sql(false), gaps_sql(false), removals_sql(false)] {
        let plan = plan(&reader, &sql).await;
        assert_eq!(
            plan.iter()
                .find(|step| step.starts_with("SCAN") && !step.starts_with("SCAN c")),
            None,
            "{plan:#?}"
        );
    }
}

/// A day on which everything happened that the documented queries look for; some of it never ended.
async fn eventful_day() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let log = store.camera("front-door").unwrap();
    for n in 0..50 {
        log.append(frame(T + n * SECOND / 10), n == 25).unwrap();
    }
    log.record_gap(
        T - 60 * SECOND,
        T,
        GapReason::Unreachable,
        "connection refused",
    );
    log.open_gap(T + 5 * SECOND, GapReason::Stalled, "no frame for 10 s");
    let reader = Reader::open(dir.path()).await.unwrap();
    for _ in 0..1000 {
        let (gaps, segments) = (
            reader.gaps(None, T, T + 1),
            reader.segments(None, T, i64::MAX),
        );
        if gaps.await.unwrap().len() + segments.await.unwrap().len() == 2
            && reader
                .gaps(None, T + 6 * SECOND, i64::MAX)
                .await
                .unwrap()
                .len()
                == 1
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(store);
    dir
}

#[tokio::test]
async fn documented_queries_give_rows() {
    let queries: Vec<&str> = SCHEMA_DOC
        .split("```sql\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert_eq!(queries.len(), 10);
    let dir = eventful_day().await;
    let reader = Reader::open(dir.path()).await.unwrap();
    for sql in queries {
        let rows = sqlx::query(sql).fetch_all(&reader.pool).await;
        assert!(
            !rows
                .unwrap_or_else(|error| panic!("{sql}: {error}"))
                .is_empty(),
            "{sql}"
        );
        let plan = plan(&reader, sql).await;
        assert!(
            !plan.iter().any(|step| step.starts_with("SCAN f")),
            "scans all frames: {sql} {plan:#?}"
        );
    }
}

#[tokio::test]
async fn documentation_names_every_table_column_and_gap_reason() {
    let (_dir, reader) = recorded(&[]).await;
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c \
         WHERE t.type IN ('table', 'view') AND t.name NOT GLOB '*sq*' AND c.name <> 'one' \
         UNION SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT GLOB '*sq*'",
    )
    .fetch_all(&reader.pool)
    .await
    .unwrap();
    assert!(names.len() > 30, "{names:?}");
    let reasons = GapReason::ALL.iter().map(|reason| reason.name());
    for name in names.iter().map(String::as_str).chain(reasons) {
        assert!(
            SCHEMA_DOC.contains(&format!("`{name}`")),
            "docs/schema.md does not name `{name}`"
        );
    }
}

#[tokio::test]
async fn frames_are_read_where_nothing_may_be_written_whatever_the_directory_is_called() {
    let (dir, reader) = recorded(&[("a", &[&[0]])]).await;
    let found = reader.nearest("a", 0).unwrap();
    assert!(found.is_some());
    let odd = dir.path().join("50% of #1?immutable=0");
    std::fs::create_dir(&odd).unwrap();
    std::fs::copy(dir.path().join("index.db"), odd.join("index.db")).unwrap();
    for immutable in [true, false] {
        let frames = Frames::of(odd.join("index.db"), immutable);
        // The second time with what was opened for the first.
        for _ in 0..2 {
            assert_eq!(
                frames.beside("a", 0).unwrap(),
                Vec::from_iter(found.clone())
            );
        }
        let shared = odd.join("index.db-shm").exists();
        assert!(!(immutable && shared), "nothing is written beside it");
    }
}
