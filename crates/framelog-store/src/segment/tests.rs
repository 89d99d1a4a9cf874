use std::sync::atomic::Ordering::SeqCst;

use bytes::Bytes;
use framelog_core::frame::{Codec, Payload};
use proptest::prelude::*;

use super::*;

fn frame(codec: Codec, n: usize, sizes: &[usize]) -> Frame {
    let mut payload = Payload::default();
    for size in sizes {
        payload.push(Bytes::from(vec![n as u8; *size]));
    }
    Frame {
        payload,
        codec,
        parameters: None,
        captured_us: n as i64,
        received_us: n as i64 + 5,
        clock: ClockKind::Camera,
        offset_us: 0,
        keyframe: true,
        complete: true,
    }
}

/// Frames in batches that a disk with so much room takes, whole or up to where a block ends: what it kept of each, checked against the file.
fn check(
    codec: Codec,
    batches: &[(Vec<Vec<usize>>, Extent)],
    room: usize,
) -> Result<(), TestCaseError> {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::open(dir.path()).unwrap();
    let mut numbers = 0..;
    let frames: Vec<(Vec<Frame>, Extent)> = batches
        .iter()
        .map(|(batch, extent)| {
            let frames = batch.iter().zip(numbers.by_ref());
            let frames = frames.map(|(sizes, n)| frame(codec, n, sizes)).collect();
            (frames, *extent)
        })
        .collect();
    let container = Container::of(codec, crate::Layout::Segments);
    let mut segment = OpenSegment::create(
        &disk,
        (1, "a"),
        1,
        container,
        Pace::default(),
        &frames[0].0[0],
    )
    .unwrap();
    disk.faults.room.store(room, SeqCst);
    let mut heads = Vec::new();
    let mut held = Vec::new();
    for (batch, extent) in frames.into_iter().chain([(Vec::new(), Extent::All)]) {
        held.extend(batch);
        if held.is_empty() {
            continue;
        }
        let appended = segment.append(&disk, &held, extent, &mut heads);
        let (kept, whole) = (appended.locations.len(), appended.failure.is_none());
        let least = match extent {
            Extent::All => held.len(),
            Extent::Blocks { at_least } => at_least.min(held.len()),
        };
        prop_assert!(kept >= least || !whole);
        let file = std::fs::read(dir.path().join(&*segment.row().path)).unwrap_or_default();
        let begun = file.len() as i64 - segment.row().bytes;
        prop_assert_eq!(begun, segment.begun as i64);
        prop_assert!(whole || begun == 0, "it ends behind the last whole frame");
        for (location, frame) in appended.locations.iter().zip(&held) {
            let (start, length) = (location.offset as usize, location.length as usize);
            prop_assert_eq!(&file[start..start + length], frame.payload.to_vec());
        }
        held.drain(..kept);
        if !whole {
            break;
        }
    }
    prop_assert!(held.is_empty() || room < usize::MAX);
    disk.faults.room.store(usize::MAX, SeqCst);
    check_what_it_says(&disk, &mut segment)
}

/// What was written says of itself, and nothing else, what was counted.
fn check_what_it_says(disk: &Disk, segment: &mut OpenSegment) -> Result<(), TestCaseError> {
    if segment.row().frames == 0 {
        return Ok(());
    }
    segment.close(disk);
    let file = disk
        .open_file(std::path::Path::new(&*segment.row().path))
        .unwrap();
    let format = segment.container.format().unwrap();
    let scan = crate::scan::scan(&file, format, 0, crate::scan::Depth::Bytes).unwrap();
    prop_assert_eq!(scan.damaged.len(), 0);
    prop_assert_eq!(scan.frames.len() as i64, segment.row().frames);
    prop_assert_eq!((scan.end as i64, scan.torn()), (segment.row().bytes, 0));
    prop_assert_eq!(scan.closing > 0, segment.container == Container::Mp4);
    Ok(())
}

fn codecs() -> impl Strategy<Value = Codec> {
    prop::sample::select(vec![Codec::Mjpeg, Codec::H264, Codec::H265])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn frames_are_where_their_locations_say_and_nothing_torn_stays(
        codec in codecs(),
        batches in prop::collection::vec((frames(3000), extents()), 1..4),
        room in prop_oneof![Just(usize::MAX), 0usize..20_000],
    ) {
        check(codec, &batches, room)?;
    }

    #[test]
    fn a_frame_that_a_block_ends_in_is_finished_by_what_is_written_next(
        codec in codecs(),
        batches in prop::collection::vec((frames(60_000), extents()), 1..8),
        room in prop_oneof![Just(usize::MAX), 0usize..400_000],
    ) {
        check(codec, &batches, room)?;
    }
}

fn frames(bytes: usize) -> impl Strategy<Value = Vec<Vec<usize>>> {
    prop::collection::vec(prop::collection::vec(0..bytes, 0..4), 1..5)
}

fn extents() -> impl Strategy<Value = Extent> {
    prop_oneof![
        Just(Extent::All),
        (0usize..3).prop_map(|at_least| Extent::Blocks { at_least }),
    ]
}

#[test]
fn a_segment_that_ends_within_a_frame_is_cut_behind_the_last_whole_one() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::open(dir.path()).unwrap();
    let frames = [50_000, 50_000].map(|bytes| frame(Codec::Mjpeg, 0, &[bytes]));
    let (container, pace) = (Container::Mjpeg, Pace::default());
    let mut segment = OpenSegment::create(&disk, (1, "a"), 1, container, pace, &frames[0]).unwrap();
    let extent = Extent::Blocks { at_least: 1 };
    let appended = segment.append(&disk, &frames, extent, &mut Vec::new());
    assert_eq!((appended.locations.len(), segment.row().frames), (1, 1));
    let path = dir.path().join(&*segment.row().path);
    let len = || std::fs::metadata(&path).unwrap().len();
    assert_eq!(len(), crate::blocks::BLOCK);
    segment.close(&disk);
    assert_eq!(len(), segment.row().bytes as u64);
}

#[test]
fn room_that_is_taken_ahead_is_given_back_at_the_end() {
    for (codec, layout) in [
        (Codec::Mjpeg, crate::Layout::Segments),
        (Codec::H264, crate::Layout::Segments),
        (Codec::Mjpeg, crate::Layout::Files),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path()).unwrap();
        let frames = [frame(codec, 0, &[2 << 20])];
        let container = Container::of(codec, layout);
        let pace = Pace::default();
        let mut segment =
            OpenSegment::create(&disk, (1, "a"), 1, container, pace, &frames[0]).unwrap();
        segment.append(&disk, &frames, Extent::All, &mut Vec::new());
        let path = segment.row.path.clone();
        let has_room = || disk.has_room_beyond(&path).unwrap();
        // A picture that is a file of its own is not closed.
        assert_eq!(has_room(), layout == crate::Layout::Segments);
        if layout == crate::Layout::Segments {
            check_what_it_says(&disk, &mut segment).unwrap();
        }
        assert!(!has_room());
    }
}

#[test]
fn more_slices_than_one_call_takes_are_written_by_several() {
    let batch = vec![vec![3, 2, 1]; 1000];
    for codec in [Codec::Mjpeg, Codec::H264] {
        let batch = (batch.clone(), Extent::All);
        check(codec, &[batch], usize::MAX).unwrap();
    }
}
