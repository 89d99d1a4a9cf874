//! How far a camera's footage has been passed on, in the order in which it was stored: what is new since. Not for what becomes of it.

use framelog_store::query::{FrameRow, SegmentRow};
use framelog_store::{Error, Reader};

use super::decoding_order::{self, Run, SLACK_US};
use super::newest;

/// So many segments are looked for at once: a stream that begins weeks ago must not list all since.
pub const SEGMENTS_MAX: u32 = 100;

/// Some so many frames are read at once: a segment may be of a day.
const FRAMES_MAX: usize = 5_000;

/// A place in a camera's footage.
#[derive(Debug)]
pub struct Follower {
    camera: String,
    /// The segment being followed; 0 before the first.
    segment_id: i64,
    /// Frames at smaller offsets in it are done.
    next_offset: u64,
    /// Newest capture time of the frames done in it.
    captured_us: Option<i64>,
    /// The same, of the last segment of which any frame is done.
    done_us: Option<i64>,
    /// Frames captured before are not wanted.
    from_us: i64,
}

impl Follower {
    fn new(camera: &str) -> Self {
        Self {
            camera: camera.to_owned(),
            segment_id: 0,
            next_offset: 0,
            captured_us: None,
            done_us: None,
            from_us: i64::MIN,
        }
    }

    /// Takes everything that is stored now as done. Blocking, as are the others.
    ///
    /// # Errors
    /// If the index can't be read.
    pub async fn behind_newest(reader: &Reader, camera: &str) -> Result<Self, Error> {
        let mut follower = Self::new(camera);
        follower.skip_to_newest(reader).await?;
        Ok(follower)
    }

    /// Takes everything that was captured before as done.
    ///
    /// # Errors
    /// If the index can't be read.
    pub async fn from(reader: &Reader, camera: &str, from_us: i64) -> Result<Self, Error> {
        let mut follower = Self::new(camera);
        follower.begin_at(reader, from_us).await?;
        Ok(follower)
    }

    /// Takes everything that was stored before this frame as done.
    pub fn at(frame: &FrameRow) -> Self {
        Self {
            segment_id: frame.segment_id,
            next_offset: frame.offset,
            captured_us: Some(frame.captured_us),
            ..Self::new(&frame.camera)
        }
    }

    /// The same in another index of the footage, where segments have other ids: behind what was done by the old one.
    ///
    /// # Errors
    /// If the index can't be read.
    pub async fn go_on(&mut self, reader: &Reader) -> Result<(), Error> {
        let from_us = (self.done_us).map_or(self.from_us, |done_us| done_us.saturating_add(1));
        self.enter(0);
        self.begin_at(reader, from_us).await
    }

    /// The next segments that may hold something new, in the order in which they began; those behind them once these are done. All, if
    /// they are fewer than [`SEGMENTS_MAX`].
    ///
    /// # Errors
    /// If the index can't be read.
    pub async fn segments(&self, reader: &Reader) -> Result<Vec<SegmentRow>, Error> {
        let next = reader.segments_since(&self.camera, self.segment_id, SEGMENTS_MAX);
        next.await
    }

    /// Goes over to one of these: nothing is new any more in those before it.
    pub fn reach(&mut self, segment: &SegmentRow) {
        if segment.id != self.segment_id {
            self.enter(segment.id);
        }
    }

    /// The frames of one of these that are new, in the order in which they were stored; some of them, if there are many.
    ///
    /// The index is in order of capture. Stamps may go back within a segment, so frames from a little earlier are looked at again.
    ///
    /// # Errors
    /// If the index can't be read.
    pub fn new_frames(&mut self, reader: &Reader, segment: &SegmentRow) -> Result<Run, Error> {
        self.reach(segment);
        if segment.ended_us < self.from_us {
            return Ok(Run::default());
        }
        let from_us = self.captured_us.map_or(segment.started_us, |captured_us| {
            captured_us.saturating_sub(SLACK_US)
        });
        decoding_order::since(reader, segment, from_us, self.next_offset, FRAMES_MAX)
    }

    /// Takes the frame as done; whether it was wanted.
    pub fn pass(&mut self, frame: &FrameRow) -> bool {
        self.next_offset = frame.offset + 1;
        self.captured_us = self.captured_us.max(Some(frame.captured_us));
        self.done_us = self.captured_us;
        frame.captured_us >= self.from_us
    }

    async fn begin_at(&mut self, reader: &Reader, from_us: i64) -> Result<(), Error> {
        // First, so that what is stored meanwhile is not passed over. Nothing is done by it.
        let done_us = self.done_us;
        self.skip_to_newest(reader).await?;
        self.done_us = done_us;
        self.from_us = from_us;
        if let Some(first) = reader.first_segment_since(&self.camera, from_us).await? {
            self.enter(first);
        }
        Ok(())
    }

    async fn skip_to_newest(&mut self, reader: &Reader) -> Result<(), Error> {
        if let Some(newest) = newest::frame(reader, &self.camera).await? {
            self.enter(newest.segment_id);
            self.pass(&newest);
        }
        Ok(())
    }

    fn enter(&mut self, segment_id: i64) {
        self.segment_id = segment_id;
        self.next_offset = 0;
        self.captured_us = None;
    }
}
