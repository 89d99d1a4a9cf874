use framelog_core::frame::Codec;

use super::*;
use crate::budget::Limits;
use crate::changes::Changes;
use crate::rules::Rules;
use crate::session;

const FRAMES: i64 = 20_000;

fn written(segment_id: i64, frames: std::ops::Range<i64>) -> Change {
    let frame = |n| rows::Frame {
        camera_id: 1,
        captured_us: n,
        segment_id,
        offset: n * 100,
        length: 90,
        flags: 0,
        lag_us: 5,
    };
    Change::Written(Written {
        segment: rows::Segment {
            id: segment_id,
            camera_id: 1,
            path: format!("footage/a/{segment_id}").into(),
            codec: Codec::Mjpeg,
            started_us: frames.start,
            ended_us: frames.end - 1,
            frames: frames.end - frames.start,
            bytes: (frames.end - frames.start) * 100,
            open: true,
            offset_us: 0,
            received_us: frames.end + 4,
        },
        frames: frames.map(frame).collect(),
        file: None,
        grew: true,
    })
}

/// An index in this directory, and what is reported to it.
async fn begun(
    storage: &Path,
    disk: &Disk,
    budget: Arc<Budget>,
    sync: Duration,
) -> (Index, Changes) {
    let session = session::begin(storage, disk, Duration::ZERO, 0)
        .await
        .unwrap();
    let (changes, reported) = Changes::channel();
    let guard = Guard::new(storage, disk, session.known.uuid).unwrap();
    let retention = Retention::new(disk.clone(), Rules::default());
    let index = Index::new(
        session,
        guard,
        disk.clone(),
        budget,
        sync,
        reported,
        retention,
    );
    (index, changes)
}

async fn count(index: &mut Index) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM frames")
        .fetch_one(&mut index.connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn rows_of_a_full_index_wait_and_are_committed_once_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let budget = Arc::new(Budget::new(Limits {
        rows_max: FRAMES as usize,
        ..Limits::default()
    }));
    let disk = Disk::open(dir.path()).unwrap();
    let (mut index, changes) = begun(dir.path(), &disk, budget.clone(), Duration::ZERO).await;

    let limit = "PRAGMA max_page_count = 40";
    rows::execute(&mut index.connection, limit).await.unwrap();
    budget.rows_wait(FRAMES as usize);
    changes.send(written(1, 0..FRAMES));
    index.take_changes();
    for _ in 0..3 {
        assert!(matches!(
            index.try_cycle(true).await,
            Err(Error::Index { .. })
        ));
        assert_eq!(count(&mut index).await, 0, "all or nothing");
    }
    assert!(budget.index_is_behind());

    let limit = "PRAGMA max_page_count = 1000000";
    rows::execute(&mut index.connection, limit).await.unwrap();
    index.try_cycle(true).await.unwrap();
    assert_eq!(count(&mut index).await, FRAMES);
    assert!(!budget.index_is_behind());
    assert!(index.pending.is_empty());
}

#[tokio::test]
async fn footage_is_synced_before_every_durable_commit_only() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::open(dir.path()).unwrap();
    let sync = Duration::from_secs(60);
    let (mut index, changes) = begun(dir.path(), &disk, Arc::default(), sync).await;
    disk.faults
        .sync_fails
        .store(true, std::sync::atomic::Ordering::SeqCst);
    index.budget.rows_wait(20);
    changes.send(written(1, 0..10));
    index.take_changes();
    index.try_cycle(false).await.unwrap();
    assert_eq!(count(&mut index).await, 10);
    changes.send(written(1, 10..20));
    index.take_changes();
    assert!(matches!(index.try_cycle(true).await, Err(Error::Io { .. })));
    assert_eq!(count(&mut index).await, 10);
    index.try_cycle(false).await.unwrap();
    assert_eq!(count(&mut index).await, 10, "suspects wait");
}

#[tokio::test]
async fn rows_ahead_of_a_sync_that_failed_are_withdrawn_if_their_bytes_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::open(dir.path()).unwrap();
    let sync = Duration::from_secs(60);
    let (mut index, changes) = begun(dir.path(), &disk, Arc::default(), sync).await;
    disk.faults
        .sync_fails
        .store(true, std::sync::atomic::Ordering::SeqCst);
    index.budget.rows_wait(20);
    // Of one segment there is no file, of the other one, in which two pictures have no end.
    let mut footage = [b"\xff\xd8", &[0; 86][..], b"\xff\xd9", &[0; 10]]
        .concat()
        .repeat(10);
    (footage[388], footage[788]) = (0, 0);
    std::fs::create_dir_all(dir.path().join("footage/a")).unwrap();
    std::fs::write(dir.path().join("footage/a/2"), footage).unwrap();
    changes.send(written(1, 0..10));
    changes.send(written(2, 0..10));
    index.take_changes();
    index.try_cycle(false).await.unwrap();
    assert_eq!(count(&mut index).await, 20);
    index.try_cycle(true).await.unwrap_err();
    assert_eq!(count(&mut index).await, 20, "nobody knows yet");
    let Change::Written(mut ended) = written(2, 0..10) else {
        panic!()
    };
    (ended.frames, ended.segment.open, ended.grew) = (Vec::new(), false, false);
    changes.send(Change::Written(ended));
    index.take_changes();

    disk.faults
        .sync_fails
        .store(false, std::sync::atomic::Ordering::SeqCst);
    index.sync_failed = None;
    index.cycle().await.unwrap();
    assert_eq!(count(&mut index).await, 8);
    let segments: Vec<(i64, i64, String)> =
        sqlx::query_as("SELECT id, frames, state FROM segments")
            .fetch_all(&mut index.connection)
            .await
            .unwrap();
    assert_eq!(segments, [(2, 8, "closed".to_owned())]);
    let gaps: Vec<(i64, i64)> =
        sqlx::query_as("SELECT started_us, ended_us FROM gaps ORDER BY 1, 2")
            .fetch_all(&mut index.connection)
            .await
            .unwrap();
    assert_eq!(gaps, [(0, 9), (3, 3), (7, 7)]);
    assert!(index.suspects.is_empty());
}
