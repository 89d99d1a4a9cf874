//! One open segment: appends frames to its file and says where they are. Not for when a segment begins or ends.

use std::fs::File;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use framelog_core::clock::ClockKind;
use framelog_core::container::mp4::{HEAD_LEN, Keyframes, Pace};
use framelog_core::frame::{Frame, Parameters};
use rustix::io::Errno;
use smallvec::SmallVec;

use crate::ahead::Ahead;
use crate::blocks;
use crate::container::{Container, Position};
use crate::disk::Disk;
use crate::layout::SegmentName;
use crate::page_cache::{Forgetting, Syncs};
use crate::rows;

/// The extended attribute that has the clock's offset of a `.jpg`: eight bytes, little-endian.
pub(crate) const OFFSET: &str = "user.framelog.offset_us";

/// How often it is looked whether somebody has deleted the file: about so much more is lost then than what it had.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A segment that is being written.
#[derive(Debug)]
pub(crate) struct OpenSegment {
    row: rows::Segment,
    container: Container,
    /// What its frames need to be decoded.
    parameters: Option<Arc<Parameters>>,
    file: Arc<File>,
    /// Its directory entry counts among its links: on some file systems none does.
    is_linked: bool,
    /// When its links were counted last.
    looked: Instant,
    forgetting: Forgetting,
    ahead: Ahead,
    /// Where the next frame goes: everything before is whole frames.
    end: u64,
    /// So many bytes of the next frame are there already.
    begun: u64,
    /// As of `end`: the head of the frame that is begun is made again from it.
    position: Position,
    keyframes: Keyframes,
    /// Something torn follows them: nothing may be appended.
    is_torn: bool,
}

/// A frame whose head has been made, and its place in the file.
struct Placed {
    /// The head among all that were made.
    head: Range<usize>,
    /// Where the payload begins.
    offset: u64,
    /// Where the frame ends, and the next begins.
    end: u64,
    /// When the frame is shown, where there is a track.
    shown_us: Option<u64>,
    /// How far the writing is behind it.
    position: Position,
}

/// How much of the frames given is appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    All,
    /// So many of them, and then up to where a block ends, be it within a frame: that one must come first the next time.
    Blocks {
        at_least: usize,
    },
}

/// What became of frames that were appended.
#[derive(Debug, Default)]
pub(crate) struct Appended {
    /// Where the written frames are: the first so many of those given.
    pub locations: Vec<rows::Frame>,
    /// Why the others were not written.
    pub failure: Option<io::Error>,
}

/// How many directory entries the file has; one if the disk doesn't say.
fn links(file: &File) -> u64 {
    rustix::fs::fstat(file).map_or(1, |found| found.st_nlink)
}

impl OpenSegment {
    /// Makes the file of a segment whose first frame will be `first`. A file that is already there stays: the new one's name has the
    /// id too. `pace` is that of the camera's last segment.
    pub fn create(
        disk: &Disk,
        camera: (i64, &str),
        id: i64,
        container: Container,
        pace: Pace,
        first: &Frame,
    ) -> io::Result<Self> {
        let mut name = SegmentName {
            camera: camera.1.to_owned(),
            started_us: first.captured_us,
            duplicate: 0,
            container,
        };
        let file = loop {
            match disk.create(&name.path()) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    name.duplicate = id.max(name.duplicate.saturating_add(1));
                }
                created => break created?,
            }
        };
        let row = rows::Segment {
            id,
            camera_id: camera.0,
            path: name.path().into(),
            codec: first.codec,
            started_us: first.captured_us,
            ended_us: first.captured_us,
            frames: 0,
            bytes: 0,
            open: true,
            offset_us: first.offset_us,
            received_us: first.received_us,
        };
        Ok(Self {
            row,
            container,
            parameters: first.parameters.clone(),
            is_linked: links(&file) > 0,
            looked: Instant::now(),
            forgetting: Forgetting::default(),
            ahead: Ahead::default(),
            file: Arc::new(file),
            end: 0,
            begun: 0,
            position: Position::begin(container, first, pace),
            keyframes: Keyframes::default(),
            is_torn: false,
        })
    }

    /// Whether frames may be appended after a failure: the file is there, and ends behind its last whole frame.
    pub fn may_go_on(&self) -> bool {
        self.row.frames > 0 && !self.is_torn
    }

    /// Whether the frame may follow: codec, parameters and clock offset are constant within a segment.
    pub fn takes(&self, frame: &Frame) -> bool {
        !(self.container.holds_one() && self.row.frames > 0)
            && self.row.codec == frame.codec
            && self.row.offset_us == frame.offset_us
            && self.parameters == frame.parameters
            && !(frame.keyframe && self.is_outgrown())
    }

    /// So many bytes of the frame that must come next are there already.
    pub fn begun(&self) -> u64 {
        self.begun
    }

    /// Whether somebody has deleted the file: what is appended goes nowhere.
    pub fn is_deleted(&self) -> bool {
        self.is_linked && links(&self.file) == 0
    }

    /// The same, but looks once a second only: asking the system before each write would be a call to it for each.
    pub fn notices_deletion(&mut self) -> bool {
        let now = Instant::now();
        if now.saturating_duration_since(self.looked) < LOOK_EVERY {
            return false;
        }
        self.looked = now;
        self.is_deleted()
    }

    /// Whether a new segment would be better from the next keyframe on.
    pub fn is_outgrown(&self) -> bool {
        matches!(&self.position, Position::Mp4(position) if position.is_outgrown())
    }

    /// What the camera's next segment should know.
    pub fn pace(&self) -> Option<Pace> {
        match &self.position {
            Position::Mp4(position) => Some(position.pace()),
            Position::Mjpeg | Position::Jpg => None,
        }
    }

    /// Appends frames, as few calls as the system allows; `heads` is scratch space, reused.
    ///
    /// After a failure the file ends behind the last whole frame, if the disk lets it be cut.
    pub fn append(
        &mut self,
        disk: &Disk,
        frames: &[Frame],
        extent: Extent,
        heads: &mut Vec<u8>,
    ) -> Appended {
        heads.clear();
        let tail = self.container.tail();
        let mut position = self.position;
        let mut end = self.end;
        let placed: Vec<Placed> = frames
            .iter()
            .map(|frame| {
                let head_start = heads.len();
                let shown_us = position.write_head(frame, heads);
                let offset = end + (heads.len() - head_start) as u64;
                end = offset + (frame.payload.len() + tail.len()) as u64;
                Placed {
                    head: head_start..heads.len(),
                    offset,
                    end,
                    shown_us,
                    position,
                }
            })
            .collect();
        let from = self.end + self.begun;
        let stop = match extent {
            Extent::All => end,
            Extent::Blocks { at_least } => {
                let least = placed.iter().take(at_least).next_back();
                blocks::stop(least.map_or(from + 1, |last| last.end).min(end), end)
            }
        };
        let pieces = frames.iter().zip(&placed).flat_map(|(frame, placed)| {
            let head = heads.get(placed.head.clone()).unwrap_or_default();
            let payload = frame.payload.slices().iter().map(|slice| &slice[..]);
            std::iter::once(head).chain(payload).chain([tail])
        });
        let mut slices = section(pieces, self.begun, stop - from);
        self.take_room(disk, from..stop);
        let (bytes, failure) = write_all(disk, &self.file, &mut slices);
        let limit = from + bytes;
        let whole = placed.partition_point(|placed| placed.end <= limit);
        let mut locations = Vec::with_capacity(whole);
        for (frame, placed) in frames.iter().zip(placed).take(whole) {
            locations.push(self.location(frame, placed.offset));
            self.count(frame, placed.end);
            self.position = placed.position;
            if let Some(shown_us) = placed.shown_us.filter(|_| frame.keyframe) {
                self.keyframes
                    .push(shown_us, placed.offset - HEAD_LEN as u64);
            }
        }
        self.begun = limit - self.end;
        if failure.is_some() {
            self.cut_torn_end(disk);
        }
        Appended { locations, failure }
    }

    /// Takes room for what is to be written, and more. A picture that is a file of its own has no more to come.
    fn take_room(&mut self, disk: &Disk, write: Range<u64>) {
        if self.container.holds_one() {
            return;
        }
        let free = || disk.space().map_or(0, |space| space.free);
        if let Some(room) = self.ahead.next(write, free) {
            let _ = disk.take_room(&self.file, room); // what can't be taken is found when it is written
        }
    }

    fn location(&self, frame: &Frame, offset: u64) -> rows::Frame {
        rows::Frame {
            camera_id: self.row.camera_id,
            captured_us: frame.captured_us,
            segment_id: self.row.id,
            offset: offset.cast_signed(),
            length: frame.payload.len() as i64,
            flags: rows::flags(frame.clock, frame.complete, frame.keyframe),
            lag_us: frame.received_us.saturating_sub(frame.captured_us),
        }
    }

    fn count(&mut self, frame: &Frame, end: u64) {
        self.end = end;
        self.row.frames += 1;
        self.row.bytes = end.cast_signed();
        self.row.started_us = self.row.started_us.min(frame.captured_us);
        self.row.ended_us = self.row.ended_us.max(frame.captured_us);
        self.row.received_us = frame.received_us;
    }

    /// Has the page cache forget what has been synced, or a part of it.
    pub fn forget_synced(&mut self, disk: &Disk, syncs: &Syncs) {
        if let Some(range) = self.forgetting.next(self.end, syncs) {
            let _ = disk.forget(&self.file, range); // a file system that can't need not
        }
    }

    /// Nothing follows the last whole frame; a file without any is removed.
    fn cut_torn_end(&mut self, disk: &Disk) {
        let cut = if self.row.frames == 0 {
            disk.remove(&self.row.path).or_else(unless_gone)
        } else {
            disk.cut(&self.file, self.end)
        };
        self.begun = 0;
        if let Err(error) = cut {
            self.is_torn = true;
            tracing::warn!(path = %self.row.path, end = self.end, %error, "torn end of a segment could not be cut");
        }
    }

    /// Ends the segment: no more frames, and what has begun of one is cut off. Whether something was written.
    pub fn close(&mut self, disk: &Disk) -> bool {
        self.row.open = false;
        if self.begun > 0 {
            self.cut_torn_end(disk);
        }
        if self.is_torn || self.row.frames == 0 {
            return false;
        }
        let is_mp4 = self.container == Container::Mp4;
        let closing = match is_mp4 {
            true => self.write_keyframes(disk),
            false => 0,
        };
        let end = self.end + closing;
        if self.ahead.is_beyond(end)
            && let Err(error) = disk.cut(&self.file, end)
        {
            tracing::debug!(path = %self.row.path, %error, "room behind a segment could not be given back");
        }
        is_mp4
    }

    /// Closes the file with where its keyframes are: how many bytes that took.
    fn write_keyframes(&mut self, disk: &Disk) -> u64 {
        let closing = self.keyframes.close();
        let (bytes, failure) = write_all(disk, &self.file, &mut [IoSlice::new(&closing)]);
        let Some(error) = failure else {
            return bytes;
        };
        // The frames are there, and players find them.
        tracing::debug!(path = %self.row.path, %error, "segment was not closed with its keyframes");
        self.cut_torn_end(disk);
        0
    }

    /// Ends a segment of one frame. What a `.jpg` cannot hold of its frame goes into the file's modification time:
    /// `received_us` in nanoseconds, plus 0, 1 or 2 for the clock (camera, mapped, arrival). The clock's offset, which nothing but a look at
    /// the camera's own stamp needs, goes into an extended attribute, and is lost where the file system has none.
    pub fn seal(&mut self, disk: &Disk, frame: &Frame) {
        self.row.open = false;
        let kind = match frame.clock {
            ClockKind::Camera => 0,
            ClockKind::Mapped => 1,
            ClockKind::Arrival => 2,
        };
        let ns = frame.received_us.saturating_mul(1000).saturating_add(kind);
        if frame.offset_us != 0 {
            let kept = disk.set_attribute(&self.file, OFFSET, &frame.offset_us.to_le_bytes());
            if let Err(error) = kept.or_else(unless_unsupported) {
                tracing::warn!(path = %self.row.path, %error, "clock offset could not be kept in the file");
            }
        }
        if let Err(error) = disk.set_modified(&self.file, ns) {
            tracing::warn!(path = %self.row.path, %error, "arrival time could not be kept in the file");
        }
    }

    /// The segment's row as it is now.
    pub fn row(&self) -> &rows::Segment {
        &self.row
    }

    /// The file, for syncing it later.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }
}

fn unless_gone(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    }
}

fn unless_unsupported(error: io::Error) -> io::Result<()> {
    match Errno::from_io_error(&error) {
        Some(Errno::OPNOTSUPP) => Ok(()),
        _ => Err(error),
    }
}

/// So many bytes of the pieces, from the `skip`th on, without empty ones: a few frames' heads, slices and tails are no allocation.
fn section<'p>(
    pieces: impl Iterator<Item = &'p [u8]>,
    mut skip: u64,
    mut bytes: u64,
) -> SmallVec<[IoSlice<'p>; 16]> {
    let mut slices = SmallVec::new();
    for piece in pieces {
        let start = skip.min(piece.len() as u64);
        skip -= start;
        let length = bytes.min(piece.len() as u64 - start);
        bytes -= length;
        // Both are no longer than the piece.
        let range = start as usize..(start + length) as usize;
        let slice = piece.get(range).unwrap_or_default();
        if !slice.is_empty() {
            slices.push(IoSlice::new(slice));
        }
        if bytes == 0 {
            break;
        }
    }
    slices
}

/// Writes until all is written or the system refuses: the number of bytes that went in, and why no more did.
fn write_all(disk: &Disk, file: &File, mut slices: &mut [IoSlice<'_>]) -> (u64, Option<io::Error>) {
    let mut written = 0;
    while !slices.is_empty() {
        match disk.write(file, slices) {
            Ok(0) => return (written, Some(io::ErrorKind::WriteZero.into())),
            Ok(n) => {
                written += n as u64;
                IoSlice::advance_slices(&mut slices, n);
            }
            Err(error) => return (written, Some(error)),
        }
    }
    (written, None)
}

#[cfg(test)]
mod tests;
