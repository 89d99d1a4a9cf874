//! What is being written of one camera: which frames wait, which segment they go into, and what becomes of them where that fails. Not for whose
//! turn it is, and when: that is `writer`.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use framelog_core::container::mp4::Pace;
use framelog_core::frame::Frame;
use framelog_core::frozen::Frozen;
use framelog_core::gap::GapReason;
use tokio::sync::Notify;

use crate::budget::Budget;
use crate::camera::{Camera, Still};
use crate::changes::{Change, Changes, Written};
use crate::container::{Container, Layout};
use crate::disk::Disk;
use crate::fingerprint::Fingerprint;
use crate::gaps::GapChange;
use crate::held::Held;
use crate::outage::Outage;
use crate::page_cache::Syncs;
use crate::queue::{Command, Entry};
use crate::refusal;
use crate::room::Room;
use crate::segment::{Extent, OpenSegment};
use crate::suspects::SegmentIds;

/// So often room is made for the same frames, in case others take it first.
const ROOM_TRIES: usize = 5;
/// A failing disk is in the log this often.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// What all writer threads share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub disk: Disk,
    pub layout: Layout,
    pub budget: Arc<Budget>,
    pub changes: Changes,
    /// Where to ask for room on a full disk.
    pub room: Arc<Room>,
    /// Raised when a write fails: is the disk still there?
    pub doubt: Arc<Notify>,
    pub segment_ids: Arc<SegmentIds>,
    /// How far the index has come in syncing what is written.
    pub syncs: Arc<Syncs>,
}

/// What is being written of one camera.
#[derive(Debug)]
pub(crate) struct Recording {
    camera: Arc<Camera>,
    pub open: Option<OpenSegment>,
    pub held: Held,
    /// The last write failed: a gap may be open.
    failed: bool,
    /// What the last segment taught about the next.
    pace: Pace,
    /// Whether its pictures are all the same.
    frozen: Frozen<Fingerprint>,
}

impl Recording {
    /// Nothing waits, and no segment is open.
    pub fn new(camera: Arc<Camera>) -> Self {
        Self {
            camera,
            open: None,
            held: Held::default(),
            failed: false,
            pace: Pace::default(),
            frozen: Frozen::default(),
        }
    }

    /// Looks whether the pictures still change.
    fn watch(&mut self, frame: &Frame, came: Instant) {
        let fingerprint = Fingerprint::of(frame.payload.digest());
        let since_us = self.frozen.observe(fingerprint, frame.received_us, came);
        match (self.camera.set_still(Still::Picture, since_us), since_us) {
            (None, Some(_)) => {
                tracing::warn!(
                    camera = &*self.camera.name,
                    "camera sends the same picture again and again; restart it"
                );
            }
            (Some(_), None) => {
                tracing::info!(camera = &*self.camera.name, "camera's picture moves again")
            }
            _ => {}
        }
    }

    /// Closes the open segment, if there is one.
    fn close(&mut self, disk: &Disk) -> Option<Change> {
        let mut segment = self.open.take()?;
        if segment.is_deleted() && segment.row().frames > 0 {
            tracing::error!(
                camera = &*self.camera.name,
                path = &*segment.row().path,
                frames = segment.row().frames,
                "footage was deleted while it was recorded and is lost; recording goes on in a new file"
            );
        }
        self.pace = segment.pace().unwrap_or(self.pace);
        let grew = segment.close(disk);
        (segment.row().frames > 0).then(|| {
            Change::Written(Written {
                segment: segment.row().clone(),
                frames: Vec::new(),
                file: grew.then(|| segment.file().clone()),
                grew,
            })
        })
    }
}

/// One camera's turn.
pub(crate) struct Run<'a> {
    pub shared: &'a Shared,
    pub recording: &'a mut Recording,
    /// Scratch space for what goes before the payloads.
    pub heads: &'a mut Vec<u8>,
    pub failures: &'a mut Failures,
    /// What is to be told to the index.
    pub changes: &'a mut Vec<Change>,
}

impl Run<'_> {
    /// Does what was asked, except that a frame only waits to be written from now on.
    pub fn take(&mut self, entry: Entry) {
        let ends = match &entry.command {
            Command::EndSegment => true,
            Command::Append { frame, new_segment } => *new_segment || !self.takes(frame),
        };
        if ends {
            self.end_segment();
        }
        match entry.command {
            Command::Append { frame, .. } => {
                self.recording.watch(&frame, entry.came);
                self.recording.held.push(frame, entry.came, entry.bytes);
            }
            Command::EndSegment => self.give_back(entry.bytes),
        }
    }

    /// Whether the frame goes into the same segment as the one that came before it, or into the open segment.
    fn takes(&self, frame: &Frame) -> bool {
        match (self.recording.held.frames().last(), &self.recording.open) {
            (Some(before), open) => {
                // As of what is written: that may be one keyframe too late.
                let is_outgrown = open.as_ref().is_some_and(OpenSegment::is_outgrown);
                !Container::of(before.codec, self.shared.layout).holds_one()
                    && before.codec == frame.codec
                    && before.offset_us == frame.offset_us
                    && before.parameters == frame.parameters
                    && !(frame.keyframe && is_outgrown)
            }
            (None, Some(open)) => open.takes(frame),
            (None, None) => true, // nothing to end
        }
    }

    /// Writes what has waited since then, and what fills a block.
    pub fn write_some(&mut self, since: Instant) {
        let recording = &self.recording;
        let held = &recording.held;
        let Some(first) = held.frames().first() else {
            return;
        };
        let due = held.waits_since(since);
        let holds_one = Container::of(first.codec, self.shared.layout).holds_one();
        let begun = recording.open.as_ref().map_or(0, OpenSegment::begun);
        if holds_one || held.is_in_vain() {
            self.append(Extent::All);
        } else if due > 0 || held.are_many(begun) {
            self.append(Extent::Blocks { at_least: due });
        }
    }

    /// Goes on in a new segment if nothing may be written to the open one any more.
    fn leave_abandoned(&mut self) {
        let segment_ids = &self.shared.segment_ids;
        let is_abandoned = |open: &OpenSegment| segment_ids.is_abandoned(open.row().id);
        if self.recording.open.as_ref().is_some_and(is_abandoned) {
            self.close_segment();
        }
    }

    /// Goes on in a new segment if somebody has deleted the file of the open one. Its rows stay: `verify` and retention tell that it is gone.
    fn leave_deleted(&mut self, is_deleted: fn(&mut OpenSegment) -> bool) {
        if self.recording.open.as_mut().is_some_and(is_deleted) {
            self.close_segment();
        }
    }

    /// Appends the frames that wait: they share a segment. A full disk is no loss yet: the rest goes on, in the same segment where that is
    /// possible, once older footage has made room.
    fn append(&mut self, extent: Extent) {
        let shared = self.shared;
        let mut tries = 0;
        while !self.recording.held.frames().is_empty() {
            // Each time: making room takes seconds.
            self.leave_deleted(OpenSegment::notices_deletion);
            self.leave_abandoned();
            let writing = shared.room.writing();
            let appended = self.try_append(extent);
            drop(writing);
            let Err(error) = appended else {
                if let Some(open) = &mut self.recording.open {
                    open.forget_synced(&shared.disk, &shared.syncs);
                }
                self.recording.camera.stores();
                self.failures.recovered();
                return;
            };
            tries += 1;
            let bytes = self.recording.held.bytes();
            let may_try =
                tries < ROOM_TRIES && refusal::is_full(error.kind()) && self.shared.room.ask(bytes);
            if !may_try {
                self.lose(&error);
                return;
            }
            if !(self.recording.open.as_ref()).is_some_and(OpenSegment::may_go_on) {
                self.close_segment();
            }
        }
    }

    /// Drops the frames that wait and can't be written, counted, with a gap.
    fn lose(&mut self, error: &io::Error) {
        let recording = &mut *self.recording;
        let camera = &recording.camera;
        let lost = recording.held.frames();
        let (count, span) = (lost.len(), lost.first().zip(lost.last()));
        let span = span.map(|(first, last)| (first.captured_us, last.captured_us));
        camera.count_dropped(GapReason::DiskFull, count as u64);
        if let Some((first_us, _)) = span {
            camera.loses(first_us, error);
        }
        self.failures.warn(&camera.name, error, count);
        self.shared.doubt.notify_one();
        recording.failed = true;
        let bytes = recording.held.release(count);
        self.give_back(bytes);
        self.close_segment();
        // Each time: the camera's own gaps may have ended the one before.
        if let Some((started_us, ended_us)) = span {
            self.change_gap(GapChange::Lost {
                started_us,
                ended_us,
                reason: GapReason::DiskFull,
                detail: format!("write failed: {error}").into(),
            });
        }
    }

    /// Appends frames that wait to the open segment or a new one. Those that were written wait no more.
    fn try_append(&mut self, extent: Extent) -> io::Result<()> {
        let Some(first) = self.recording.held.frames().first() else {
            return Ok(());
        };
        let (codec, first_us) = (first.codec, first.captured_us);
        let holds_one = Container::of(codec, self.shared.layout).holds_one();
        let open = match self.recording.open.take() {
            Some(open) => open,
            None => self.create(first)?,
        };
        let recording = &mut *self.recording;
        let segment = recording.open.insert(open);
        let frames = recording.held.frames();
        let appended = segment.append(&self.shared.disk, frames, extent, self.heads);
        let stored = appended.locations.len();
        if let Some(first) = frames.first().filter(|_| holds_one && stored > 0) {
            segment.seal(&self.shared.disk, first);
        }
        if stored > 0 {
            let bytes = appended
                .locations
                .iter()
                .map(|location| location.length.cast_unsigned())
                .sum();
            recording.camera.count_stored(stored as u64, bytes);
            self.shared.budget.rows_wait(stored);
            self.changes.push(Change::Written(Written {
                segment: segment.row().clone(),
                frames: appended.locations,
                file: (!holds_one).then(|| segment.file().clone()),
                grew: true,
            }));
            let budget = recording.held.release(stored);
            self.give_back(budget);
            if std::mem::take(&mut self.recording.failed) {
                self.change_gap(GapChange::Close {
                    ended_us: first_us,
                    only: Some(GapReason::DiskFull),
                });
            }
        }
        if holds_one {
            self.recording.open = None;
        }
        appended.failure.map_or(Ok(()), Err)
    }

    fn give_back(&self, bytes: usize) {
        let waiting = &self.recording.camera.waiting_bytes;
        self.shared.budget.give_back(waiting, bytes);
    }

    fn create(&self, first: &Frame) -> io::Result<OpenSegment> {
        let id = self.shared.segment_ids.next();
        let camera = &self.recording.camera;
        let camera = (camera.id, &*camera.name);
        let container = Container::of(first.codec, self.shared.layout);
        let pace = self.recording.pace;
        OpenSegment::create(&self.shared.disk, camera, id, container, pace, first)
    }

    /// Writes all that waits, and ends the segment.
    pub fn end_segment(&mut self) {
        if !self.recording.held.frames().is_empty() {
            // Nothing comes after these that would find out.
            self.leave_deleted(|open| open.is_deleted());
        }
        self.append(Extent::All);
        self.close_segment();
    }

    fn close_segment(&mut self) {
        let ended = self.recording.close(&self.shared.disk);
        self.changes.extend(ended);
    }

    fn change_gap(&mut self, change: GapChange) {
        self.changes.push(Change::Gap {
            camera_id: self.recording.camera.id,
            change,
        });
    }
}

/// Write errors in the log: the first at once, then one line an interval with what was lost since, and one when it is certainly over.
#[derive(Debug)]
pub(crate) struct Failures {
    outage: Outage,
    dropped: usize,
}

impl Failures {
    /// Nothing has failed.
    pub fn new() -> Self {
        Self {
            outage: Outage::new(WARN_EVERY),
            dropped: 0,
        }
    }

    fn warn(&mut self, camera: &str, error: &io::Error, dropped: usize) {
        self.dropped += dropped;
        if self.outage.failed(Instant::now()) {
            let dropped = std::mem::take(&mut self.dropped);
            tracing::warn!(camera, %error, dropped, "footage could not be written");
        }
    }

    fn recovered(&mut self) {
        if self.outage.worked(Instant::now()) {
            let dropped = std::mem::take(&mut self.dropped);
            tracing::info!(dropped, "footage is written again");
        }
    }
}
