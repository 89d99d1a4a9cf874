//! Frames whose sync failed. The kernel may have dropped their bytes and say nothing at the next sync, so what the disk kept is found out
//! by reading it back. Not for when a sync is made, nor for what becomes of the rows.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use sqlx::SqliteConnection;

use crate::container::Container;
use crate::disk::{self, Disk};
use crate::rows;
use crate::scan::frame_at;

/// Ids of segments: the next one, and which are given up.
#[derive(Debug)]
pub(crate) struct SegmentIds {
    next: AtomicI64,
    abandoned_below: AtomicI64,
}

impl SegmentIds {
    /// None is given up; the next segment gets `next`.
    pub fn new(next: i64) -> Self {
        Self {
            next: AtomicI64::new(next),
            abandoned_below: AtomicI64::new(0),
        }
    }

    /// The id of a segment that begins now: it grows in the order in which segments begin.
    pub fn next(&self) -> i64 {
        self.next.fetch_add(1, Relaxed)
    }

    /// A sync failed: no segment that has begun is written to any more.
    pub fn abandon_all(&self) {
        self.abandoned_below
            .fetch_max(self.next.load(Relaxed), Relaxed);
    }

    /// Whether the segment may not be written to.
    pub fn is_abandoned(&self, id: i64) -> bool {
        id < self.abandoned_below.load(Relaxed)
    }
}

/// Frames whose rows are committed ahead of their bytes, as a `sync` of more than a second has it: from which offset on, by segment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ahead(BTreeMap<i64, i64>);

/// Frames of one segment.
#[derive(Clone, Debug)]
pub(crate) struct SegmentFrames {
    path: Arc<str>,
    frames: Vec<rows::Frame>,
}

impl Ahead {
    /// Rows of these frames are committed, their bytes not synced.
    pub fn add(&mut self, frames: &[rows::Frame]) {
        self.extend(frames.iter().map(|frame| (frame.segment_id, frame.offset)));
    }

    /// Everything is synced.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Their rows, but for those that were removed meanwhile.
    pub async fn load(
        &self,
        connection: &mut SqliteConnection,
    ) -> sqlx::Result<Vec<SegmentFrames>> {
        let mut loaded = Vec::new();
        for (&segment_id, &offset) in &self.0 {
            let found: Vec<(String, i64, i64, i64, i64, i64, i64)> = sqlx::query_as(
                "SELECT s.path, f.camera_id, f.captured_us, f.offset, f.length, f.flags, f.lag_us FROM segments s \
                 JOIN frames f ON f.camera_id = s.camera_id AND f.captured_us BETWEEN s.started_us AND s.ended_us \
                 AND f.segment_id = s.id WHERE s.id = ? AND f.offset >= ?",
            )
            .bind(segment_id)
            .bind(offset)
            .fetch_all(&mut *connection)
            .await?;
            let Some(path) = found.first().map(|row| row.0.as_str().into()) else {
                continue;
            };
            let row = |(_, camera_id, captured_us, offset, length, flags, lag_us)| rows::Frame {
                camera_id,
                captured_us,
                segment_id,
                offset,
                length,
                flags,
                lag_us,
            };
            let frames = found.into_iter().map(row).collect();
            loaded.push(SegmentFrames { path, frames });
        }
        Ok(loaded)
    }

    fn extend(&mut self, more: impl IntoIterator<Item = (i64, i64)>) {
        for (segment_id, offset) in more {
            let from = self.0.entry(segment_id).or_insert(offset);
            *from = offset.min(*from);
        }
    }
}

/// Frames of which nobody knows whether the disk has them, with the rows of their segments.
#[derive(Clone, Debug, Default)]
pub(crate) struct Suspects {
    segments: BTreeMap<i64, rows::Segment>,
    /// Their rows wait.
    frames: Vec<rows::Frame>,
    /// Their rows are committed.
    ahead: Ahead,
}

/// What the disk has of some frames.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub kept: Vec<rows::Frame>,
    /// Neighbours that are not there, in order of arrival.
    pub lost: Vec<Vec<rows::Frame>>,
}

impl Suspects {
    /// Whether there is nothing to find out.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.ahead.0.is_empty()
    }

    /// Whether frames of this segment wait for a verdict: then so does its row.
    pub fn hold(&self, segment_id: i64) -> bool {
        self.segments.contains_key(&segment_id)
    }

    /// The segment's row as it is now, and more frames of it.
    pub fn add(&mut self, segment: rows::Segment, frames: &mut Vec<rows::Frame>) {
        self.segments.insert(segment.id, segment);
        self.frames.append(frames);
    }

    /// Frames whose rows are committed already.
    pub fn add_ahead(&mut self, ahead: Ahead) {
        self.ahead.extend(ahead.0);
    }

    /// Those.
    pub fn ahead(&self) -> &Ahead {
        &self.ahead
    }

    /// The frames whose rows wait.
    pub fn waiting(&self) -> Vec<SegmentFrames> {
        let mut by_segment: BTreeMap<i64, Vec<rows::Frame>> = BTreeMap::new();
        for frame in &self.frames {
            by_segment
                .entry(frame.segment_id)
                .or_default()
                .push(frame.clone());
        }
        let with_path = |(id, frames)| {
            let path = self
                .segments
                .get(&id)
                .map_or("".into(), |segment| segment.path.clone());
            SegmentFrames { path, frames }
        };
        by_segment.into_iter().map(with_path).collect()
    }

    /// The segments' rows, as they were given.
    pub fn into_segments(self) -> impl Iterator<Item = rows::Segment> {
        self.segments.into_values()
    }
}

impl Verdict {
    /// Reads every frame back from the disk, after a sync that has succeeded. Blocking.
    ///
    /// # Errors
    /// If it can't be read for now: too many open files, no memory. Nothing is known then.
    pub fn of(segments: Vec<SegmentFrames>, disk: &Disk) -> io::Result<Self> {
        let mut verdict = Self::default();
        for SegmentFrames { path, mut frames } in segments {
            let file = found(disk.open_forgotten(Path::new(&*path)))?;
            frames.sort_unstable_by_key(|frame| frame.offset);
            let mut lost_before = false;
            for frame in frames {
                let is_kept = match &file {
                    Some(file) => found(is_written(file, &path, &frame))?.unwrap_or(false),
                    None => false,
                };
                match verdict.lost.last_mut().filter(|_| lost_before && !is_kept) {
                    Some(neighbours) => neighbours.push(frame),
                    None if is_kept => verdict.kept.push(frame),
                    None => verdict.lost.push(vec![frame]),
                }
                lost_before = !is_kept;
            }
        }
        Ok(verdict)
    }
}

/// `None` for what is not there, or not readable any more.
fn found<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    let is_gone = |error: &io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof
        ) || error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
    };
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// How many frames of each segment the disk lost: those that wrote them count them still.
#[derive(Debug, Default)]
pub(crate) struct Losses(HashMap<i64, i64>);

impl Losses {
    /// So many frames of the segment are not there.
    pub fn add(&mut self, segment_id: i64, frames: usize) {
        *self.0.entry(segment_id).or_default() += frames as i64;
    }

    /// The row as it is without them; `None` if nothing is left.
    pub fn correct(&self, mut segment: rows::Segment) -> Option<rows::Segment> {
        segment.frames -= self.0.get(&segment.id).unwrap_or(&0);
        (segment.frames > 0).then_some(segment)
    }
}

/// Whether what the row speaks of is in the file, to the last bit or, of a file that has no checksums, from its first to its last bytes.
fn is_written(file: &File, path: &str, row: &rows::Frame) -> io::Result<bool> {
    let (offset, length) = (row.offset.cast_unsigned(), row.length.cast_unsigned());
    if let Some(format) = Container::of_path(path).and_then(Container::format) {
        let found = frame_at(file, format, offset, length)?;
        return Ok(found.is_some_and(|(stored, _)| stored.captured_us == row.captured_us));
    }
    if length < 2 {
        disk::read_at(file, offset, length)?;
        return Ok(true);
    }
    let begins = disk::read_at(file, offset, 2)? == [0xff, 0xd8];
    let ends = disk::read_at(file, offset + length - 2, 2)? == [0xff, 0xd9];
    Ok(begins && (ends || row.flags & rows::TORN != 0))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use bytes::Bytes;
    use framelog_core::clock::ClockKind;
    use framelog_core::container::mjpeg;
    use framelog_core::frame::{Codec, Frame};

    use super::*;

    const PICTURE: &[u8] = b"\xff\xd8 a picture \xff\xd9";

    /// A segment of `n` frames in a file, as the writer leaves it.
    fn written(dir: &Path, n: i64) -> Suspects {
        let mut suspects = Suspects::default();
        let (mut bytes, mut rows) = (Vec::new(), Vec::new());
        for captured_us in 0..n {
            let frame = Frame {
                payload: Bytes::from_static(PICTURE).into(),
                codec: Codec::Mjpeg,
                parameters: None,
                captured_us,
                received_us: captured_us + 7,
                clock: ClockKind::Mapped,
                offset_us: 3,
                keyframe: true,
                complete: true,
            };
            mjpeg::write_head(&frame, &mut bytes);
            rows.push(rows::Frame {
                camera_id: 1,
                captured_us,
                segment_id: 1,
                offset: bytes.len() as i64,
                length: PICTURE.len() as i64,
                flags: rows::flags(frame.clock, true, true),
                lag_us: 7,
            });
            bytes.extend_from_slice(PICTURE);
            bytes.extend_from_slice(mjpeg::TAIL);
        }
        File::create(dir.join("s.mjpeg"))
            .unwrap()
            .write_all(&bytes)
            .unwrap();
        let segment = rows::Segment {
            id: 1,
            camera_id: 1,
            path: "s.mjpeg".into(),
            codec: Codec::Mjpeg,
            started_us: 0,
            ended_us: n,
            frames: n,
            bytes: bytes.len() as i64,
            open: true,
            offset_us: 3,
            received_us: n,
        };
        suspects.add(segment, &mut rows);
        suspects
    }

    /// Capture times of what is kept, and of what is lost, neighbours together.
    fn examined(suspects: &Suspects, dir: &Path) -> (Vec<i64>, Vec<Vec<i64>>) {
        let verdict = Verdict::of(suspects.waiting(), &Disk::open(dir).unwrap()).unwrap();
        let times = |rows: &[rows::Frame]| rows.iter().map(|row| row.captured_us).collect();
        let lost = verdict.lost.iter().map(|rows| times(rows)).collect();
        (times(&verdict.kept), lost)
    }

    #[test]
    fn frames_that_are_on_the_disk_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let suspects = written(dir.path(), 3);
        assert_eq!(examined(&suspects, dir.path()), (vec![0, 1, 2], vec![]));
    }

    #[test]
    fn a_frame_whose_head_or_end_is_not_there_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let suspects = written(dir.path(), 4);
        let path = dir.path().join("s.mjpeg");
        let mut bytes = std::fs::read(&path).unwrap();
        let payload = |n: usize| suspects.frames[n].offset as usize;
        bytes[payload(1) - 60] ^= 1;
        bytes[payload(2) + PICTURE.len() - 1] = 0;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(
            examined(&suspects, dir.path()),
            (vec![0, 3], vec![vec![1, 2]])
        );
        std::fs::write(&path, &bytes[..payload(3) + 4]).unwrap();
        assert_eq!(
            examined(&suspects, dir.path()),
            (vec![0], vec![vec![1, 2, 3]])
        );
        std::fs::remove_file(&path).unwrap();
        assert_eq!(examined(&suspects, dir.path()).1, [[0, 1, 2, 3]]);
    }

    #[test]
    fn all_segments_that_began_before_a_failed_sync_are_given_up_and_no_later_one() {
        let ids = SegmentIds::new(7);
        let before = ids.next();
        assert!(!ids.is_abandoned(before));
        ids.abandon_all();
        assert!(ids.is_abandoned(before));
        assert!(!ids.is_abandoned(ids.next()));
    }
}
