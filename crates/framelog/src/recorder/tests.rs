use framelog_core::frame::Codec;
use framelog_store::query::GapRow;
use framelog_store::{Options, Reader, Store};

use super::*;
use crate::config::url::CameraUrl;
use crate::status::Status;

const NOW: i64 = 1_700_000_000_000_000;
const SECOND: i64 = 1_000_000;

/// A frame, in seconds.
#[derive(Default)]
struct Came {
    /// It can't be shown without the frame before it.
    is_delta: bool,
    /// What decoding it needs.
    width: Option<u16>,
    /// Since the first, by the clock that nobody sets, when it is handed over.
    lived: u64,
    /// By the machine's clock then.
    wall: i64,
    /// By the machine's clock, when it arrived.
    received: i64,
    stamp: Option<i64>,
}

impl Came {
    fn picture(&self) -> Picture {
        Picture {
            payload: bytes::Bytes::from_static(b"picture").into(),
            codec: Codec::Mjpeg,
            keyframe: !self.is_delta,
            parameters: self.width.map(parameters),
            headers: Default::default(),
            stamp: Stamp {
                stamp_us: self.stamp.map(|second| second * SECOND),
                ..Stamp::default()
            },
            received_us: NOW + self.received * SECOND,
            complete: true,
        }
    }
}

async fn store(dir: &tempfile::TempDir) -> Store {
    Store::open(Options {
        sync: Duration::from_secs(1),
        ..Options::new(dir.path().to_owned())
    })
    .await
    .unwrap()
}

async fn recorder(store: &Store) -> Recorder {
    let camera = Camera::new("gate", CameraUrl::parse("http://gate/").unwrap().0);
    Recorder::new(
        &camera,
        Duration::from_secs(100 * 86_400),
        store.camera("gate").unwrap(),
        Status::default().camera("gate"),
        false,
        NOW,
    )
}

#[tokio::test]
async fn camera_goes_by_arrival_while_its_frames_have_no_good_time_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let mut recorder = recorder(&store).await;
    recorder.begin_run();
    let uptime = 100 - NOW / SECOND;
    let stamps = [Some(0), None, Some(2), Some(uptime), Some(uptime + 1)];
    let by_arrival = (0..).zip(stamps).map(|(second, stamp)| {
        let came = Came {
            received: second,
            stamp: stamp.map(|stamp| stamp + NOW / SECOND),
            ..Came::default()
        };
        recorder.take(&mut vec![Delivery::Picture(came.picture())], Instant::now());
        recorder.goes_by_arrival()
    });
    assert_eq!(
        by_arrival.collect::<Vec<_>>(),
        [false, true, false, true, true]
    );
    recorder.finish();
    store.close().await.unwrap();
}

#[tokio::test]
async fn pictures_without_a_stamp_between_those_with_an_uptime_make_no_segments() {
    let stamps = (0..9).map(|second| (second, (second % 3 != 1).then_some(second + 5000)));
    let (captured, segments, _) = recorded(&stamps.collect::<Vec<_>>()).await;
    assert_eq!(captured, (0..9).collect::<Vec<_>>());
    assert_eq!(segments, 1);
}

/// What is in the index after frames, a second apart, of which each came at this second by the machine's clock, with this stamp.
async fn recorded(frames: &[(i64, Option<i64>)]) -> (Vec<i64>, usize, Vec<GapRow>) {
    let came = (0..).zip(frames).map(|(lived, &(wall, stamp))| Came {
        lived,
        wall,
        received: wall,
        stamp,
        ..Came::default()
    });
    left(came.collect()).await
}

/// Capture times in order of arrival, number of segments, gaps where a clock was set.
async fn left(frames: Vec<Came>) -> (Vec<i64>, usize, Vec<GapRow>) {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let mut recorder = recorder(&store).await;
    recorder.begin_run();
    let start = Instant::now();
    for came in frames {
        let now = Moment {
            wall_us: NOW + came.wall * SECOND,
            at: start + Duration::from_secs(came.lived),
        };
        recorder.take_at(&mut vec![Delivery::Picture(came.picture())], now, now.at);
    }
    recorder.finish();
    store.close().await.unwrap();
    let reader = Reader::open(dir.path()).await.unwrap();
    let (from, to) = (i64::MIN, i64::MAX);
    let mut captured: Vec<_> = reader.frames("gate", from, to, None, 100).unwrap();
    captured.sort_by_key(|frame| (frame.segment_id, frame.offset));
    let captured = captured.iter().map(|frame| frame.captured_us - NOW);
    let segments = reader.segments(None, from, to).await.unwrap().len();
    let mut gaps = reader.gaps(None, from, to).await.unwrap();
    gaps.retain(|gap| gap.reason == "clock_stepped");
    (captured.map(|us| us / SECOND).collect(), segments, gaps)
}

fn span(gap: &GapRow) -> (i64, i64) {
    let ended_us = gap.ended_us.unwrap();
    ((gap.started_us - NOW) / SECOND, (ended_us - NOW) / SECOND)
}

#[tokio::test]
async fn machine_whose_clock_leaps_forward_has_a_gap_where_the_times_are_its_own() {
    let walls = [0, 1, 2, 3_603, 3_604];
    let (captured, segments, gaps) = recorded(&walls.map(|wall| (wall, None))).await;
    assert_eq!(captured, walls, "no frame is lost");
    assert_eq!(segments, 2);
    assert_eq!(gaps.iter().map(span).collect::<Vec<_>>(), [(2, 3_603)]);
    assert_eq!(
        gaps[0].detail,
        "this machine's clock went forward by 3600000 ms"
    );
}

#[tokio::test]
async fn machine_whose_clock_is_set_back_begins_a_segment_and_loses_no_frame() {
    let walls = [100, 101, 102, 98, 99, 100];
    let (captured, segments, gaps) = recorded(&walls.map(|wall| (wall, None))).await;
    assert_eq!((captured, segments), (walls.to_vec(), 2));
    assert_eq!(gaps, [], "each moment was lived through");
}

#[tokio::test]
async fn camera_with_a_good_clock_is_left_alone_when_the_machines_is_set() {
    for step in [-30, 30, 300] {
        let frames = [0, 1, 2, 3, 4, 5].map(|second| {
            let wall = second + if second < 3 { 0 } else { step };
            (wall, Some(NOW / SECOND + second))
        });
        let (captured, segments, gaps) = recorded(&frames).await;
        assert_eq!((captured, segments), (vec![0, 1, 2, 3, 4, 5], 1), "{step}");
        assert_eq!(gaps, [], "{step}");
    }
}

#[tokio::test]
async fn camera_that_sends_uptime_follows_the_machines_clock_at_once() {
    let frames = [0, 1, 2, 33, 34].map(|wall| (wall, Some(500 + wall % 30)));
    let (captured, segments, gaps) = recorded(&frames).await;
    assert_eq!((captured, segments), (vec![0, 1, 2, 33, 34], 2));
    assert_eq!(gaps.iter().map(span).collect::<Vec<_>>(), [(2, 33)]);
}

/// Handed over at `lived`, when the machine's clock said `wall`; arrived when it said `received`.
fn held(frames: &[(u64, i64, i64)]) -> Vec<Came> {
    let came = |&(lived, wall, received)| Came {
        lived,
        wall,
        received,
        stamp: None,
        ..Came::default()
    };
    frames.iter().map(came).collect()
}

#[tokio::test]
async fn frames_that_were_held_back_are_no_step() {
    let frames = [(0, 0, 0), (9, 9, 1), (9, 9, 9), (10, 10, 10)];
    let (captured, segments, gaps) = left(held(&frames)).await;
    assert_eq!((captured, segments), (vec![0, 1, 9, 10], 1));
    assert_eq!(gaps, []);
}

#[tokio::test]
async fn step_is_found_behind_a_frame_that_was_held_back_over_it() {
    for step in [100, -100] {
        let now = 4 + step;
        let frames = [
            (0, 0, 0),
            (1, 1, 1),
            (4, now, 2),
            (4, now, now),
            (5, now + 1, now + 1),
        ];
        let (captured, segments, gaps) = left(held(&frames)).await;
        assert_eq!((captured, segments), (vec![0, 1, 2, now, now + 1], 2));
        let expected = if step > 0 { vec![(2, now)] } else { vec![] };
        assert_eq!(gaps.iter().map(span).collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn camera_whose_clock_leaps_forward_has_a_gap() {
    let frames = [0, 1, 2, 3, 4].map(|second| {
        let stamp = second + if second < 3 { 0 } else { 60 };
        (second, Some(NOW / SECOND + stamp))
    });
    let (captured, segments, gaps) = recorded(&frames).await;
    assert_eq!((captured, segments), (vec![0, 1, 2, 63, 64], 2));
    assert_eq!(gaps.iter().map(span).collect::<Vec<_>>(), [(2, 63)]);
    assert_eq!(
        gaps[0].detail,
        "the camera's clock went forward by 60000 ms"
    );
}

#[tokio::test]
async fn camera_whose_clock_is_back_for_a_while_has_no_gap_where_there_is_footage() {
    let stamps = [0, 10, 20, 30, 1, 11, 61, 71];
    let came = (0..8).zip(stamps).map(|(n, stamp)| Came {
        lived: n * 10,
        wall: stamp_of(n * 10),
        received: stamp_of(n * 10),
        stamp: Some(NOW / SECOND + stamp),
        ..Came::default()
    });
    let (captured, segments, gaps) = left(came.collect()).await;
    assert_eq!((captured, segments), (stamps.to_vec(), 3));
    assert_eq!(gaps.iter().map(span).collect::<Vec<_>>(), [(30, 61)]);
}

#[tokio::test]
async fn an_old_picture_at_the_start_of_a_connection_hides_not_why_there_was_none() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let mut recorder = recorder(&store).await;
    let start = Instant::now();
    let take = |recorder: &mut Recorder, second: u64, stamp: i64| {
        let came = Came {
            received: stamp_of(second),
            stamp: Some(NOW / SECOND + stamp),
            ..Came::default()
        };
        let now = Moment {
            wall_us: NOW + stamp_of(second) * SECOND,
            at: start + Duration::from_secs(second),
        };
        recorder.take_at(&mut vec![Delivery::Picture(came.picture())], now, now.at);
    };
    recorder.begin_run();
    (0..3).for_each(|second| take(&mut recorder, second, stamp_of(second)));
    recorder.end_run(GapReason::Disconnected, "it closed");
    recorder.begin_run();
    take(&mut recorder, 9, 2);
    (9..12).for_each(|second| take(&mut recorder, second, stamp_of(second)));
    recorder.finish();
    store.close().await.unwrap();
    let reader = Reader::open(dir.path()).await.unwrap();
    let gaps = reader.gaps(None, i64::MIN, i64::MAX).await.unwrap();
    let told: Vec<_> = gaps.iter().map(|gap| (&*gap.reason, span(gap))).collect();
    assert_eq!(told.last(), Some(&("disconnected", (2, 9))), "{told:?}");
    assert!(told.iter().all(|(reason, _)| *reason != "clock_stepped"));
}

/// A second as stamps count them.
fn stamp_of(second: u64) -> i64 {
    i64::try_from(second).unwrap()
}

#[test]
fn healthy_time_runs_from_the_first_picture_to_the_last() {
    let start = Instant::now();
    let mut run = Run::default();
    run.add_picture(start);
    assert_eq!((run.pictures, run.healthy), (1, Duration::ZERO));
    run.add_picture(start + Duration::from_secs(7));
    assert_eq!((run.pictures, run.healthy), (2, Duration::from_secs(7)));
}

/// Parameter sets of pictures that are so wide.
fn parameters(width: u16) -> Arc<Parameters> {
    Arc::new(Parameters {
        width,
        height: 480,
        sets: Vec::new(),
    })
}

/// Frames a second apart: whether each is a keyframe, and its stamp.
fn of_a_gop(frames: &[(bool, i64)]) -> Vec<Came> {
    let came = (0..).zip(frames).map(|(lived, &(is_key, stamp))| {
        let wall = i64::try_from(lived).unwrap();
        Came {
            is_delta: !is_key,
            width: None,
            lived,
            wall,
            received: wall,
            stamp: Some(stamp),
        }
    });
    came.collect()
}

#[tokio::test]
async fn frames_before_the_first_keyframe_are_passed_over() {
    let stamp = |second| NOW / SECOND + second;
    let frames = [(false, stamp(0)), (true, stamp(1)), (false, stamp(2))];
    let (captured, segments, _) = left(of_a_gop(&frames)).await;
    assert_eq!((captured.as_slice(), segments), (&[1, 2][..], 1));
}

#[tokio::test]
async fn clock_that_steps_within_a_gop_begins_a_segment_with_the_next_keyframe() {
    let far = 5_000;
    let frames = [
        (true, 1_000),
        (false, 1_001),
        (false, 1_002 + far),
        (false, 1_003 + far),
        (true, 1_004 + far),
        (false, 1_005 + far),
    ];
    let (captured, segments, _) = left(of_a_gop(&frames)).await;
    assert_eq!(captured, [0, 1, 2, 3, 4, 5], "no frame is lost");
    assert_eq!(segments, 2);
}

#[tokio::test]
async fn new_parameters_begin_a_segment() {
    let mut frames = of_a_gop(&[(true, 1), (false, 2), (true, 3), (true, 4), (false, 5)]);
    for (frame, width) in frames.iter_mut().zip([640, 640, 640, 320, 320]) {
        frame.width = Some(width);
    }
    let (captured, segments, _) = left(frames).await;
    assert_eq!((captured.len(), segments), (5, 2));
}

#[tokio::test]
async fn what_was_held_back_came_a_round_before_it_was_read_and_nothing_came_before_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let mut recorder = recorder(&store).await;
    let now = Moment::now();
    let ms = |ms: u32| Duration::from_millis(u64::from(ms));
    let mut came = |held_ms: u32, since: Instant| {
        let picture = Picture {
            received_us: now.wall_us - i64::from(held_ms) * 1000,
            ..Came::default().picture()
        };
        now.at - recorder.came_at(&picture, now, since)
    };
    assert_eq!(came(300, now.at), ms(300) + ROUND_MAX_UNCONFIRMED);
    assert_eq!(came(0, now.at - ms(190)), ms(190));
    assert_eq!(came(20, now.at - ms(190)), ms(190));
    assert_eq!(came(0, now.at - ms(30)), ms(30));
    assert_eq!(came(0, now.at - ms(190)), ms(30));
    recorder.finish();
    store.close().await.unwrap();
}

#[tokio::test]
async fn camera_whose_first_keyframe_is_awaited_is_not_told_as_one_that_is_silent() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let status = Status::default();
    let mut recorder = recorder(&store).await;
    recorder.status = status.camera("gate");
    recorder.open_gap(NOW, GapReason::Disconnected, "connection reset");
    recorder.begin_run();
    let told = || status.snapshots(Instant::now()).remove(0).gap;
    assert_eq!(told().unwrap().detail, "connection reset");
    recorder.show_awaiting_keyframe();
    let gap = told().unwrap();
    assert_eq!(gap.reason, GapReason::Starting.into());
    assert!(gap.detail.contains("keyframe"), "{gap:?}");
    let picture = Came::default().picture();
    recorder.take(&mut vec![Delivery::Picture(picture)], Instant::now());
    recorder.show_awaiting_keyframe();
    assert_eq!(told(), None, "there is footage");
    store.close().await.unwrap();
    let gaps = Reader::open(dir.path()).await.unwrap();
    let gaps = gaps.gaps(None, i64::MIN, i64::MAX).await.unwrap();
    let reasons: Vec<&str> = gaps.iter().map(|gap| &*gap.reason).collect();
    assert!(reasons.contains(&"disconnected"), "{reasons:?}");
}
