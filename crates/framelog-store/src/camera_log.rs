//! Where one camera's task puts its frames and gaps, and what is counted. Nothing here waits, for the disk or for anyone.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use framelog_core::frame::Frame;
use framelog_core::gap::GapReason;

use crate::budget::Budget;
use crate::gaps::GapChange;
use crate::index::{Change, Changes};
use crate::queue::{Command, Entry, Queue};

/// What a waiting frame costs beside its payload, bytes: so that many tiny frames are bounded too.
const FRAME_OVERHEAD: usize = size_of::<Entry>() + 64;
/// For `last_captured_us`: no frame is known.
const NEVER: i64 = i64::MIN;

/// Why a frame was not taken: the caller counts it and the store has counted it too, and opened a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("dropped: {reason}")]
pub struct Dropped {
    /// `DiskSlow`: too many bytes wait to be written. `DiskFull`: the index could not be written for minutes.
    pub reason: GapReason,
}

/// What became of a camera's frames since the store was opened.
///
/// Every frame that was given to [`CameraLog::append`] is in one of these, once the queue is drained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames whose bytes are in a file.
    pub stored_frames: u64,
    /// Their payload bytes.
    pub stored_bytes: u64,
    /// Frames dropped because the queue was full.
    pub dropped_disk_slow: u64,
    /// Frames dropped because a write failed.
    pub dropped_disk_full: u64,
}

/// What the log of a camera and its writer thread share.
#[derive(Debug)]
pub(crate) struct Camera {
    pub id: i64,
    pub name: Arc<str>,
    /// Bytes of its frames that wait to be written.
    pub waiting_bytes: AtomicUsize,
    stored_frames: AtomicU64,
    stored_bytes: AtomicU64,
    dropped_disk_slow: AtomicU64,
    dropped_disk_full: AtomicU64,
    last_captured_us: AtomicI64,
    /// Frames are being dropped before the queue, and why: a gap is open.
    dropping: Mutex<Option<GapReason>>,
    /// A frame that should have begun a segment was dropped: the next one does.
    owes_segment: AtomicBool,
}

impl Camera {
    /// A camera with nothing counted yet.
    pub fn new(id: i64, name: Arc<str>, last_captured_us: Option<i64>) -> Self {
        Self {
            id,
            name,
            waiting_bytes: AtomicUsize::new(0),
            stored_frames: AtomicU64::new(0),
            stored_bytes: AtomicU64::new(0),
            dropped_disk_slow: AtomicU64::new(0),
            dropped_disk_full: AtomicU64::new(0),
            last_captured_us: AtomicI64::new(last_captured_us.unwrap_or(NEVER)),
            dropping: Mutex::new(None),
            owes_segment: AtomicBool::new(false),
        }
    }

    /// Counts frames whose bytes are in a file.
    pub fn count_stored(&self, frames: u64, bytes: u64) {
        self.stored_frames.fetch_add(frames, Relaxed);
        self.stored_bytes.fetch_add(bytes, Relaxed);
    }

    /// Counts frames that were dropped.
    pub fn count_dropped(&self, reason: GapReason, frames: u64) {
        let counter = if reason == GapReason::DiskSlow {
            &self.dropped_disk_slow
        } else {
            &self.dropped_disk_full
        };
        counter.fetch_add(frames, Relaxed);
    }
}

/// Where one camera's task puts its frames and gaps. Calls return at once; files are written by the writer threads.
#[derive(Clone, Debug)]
pub struct CameraLog {
    pub(crate) camera: Arc<Camera>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) changes: Changes,
}

impl CameraLog {
    /// Queues a frame. `new_segment` begins a segment with it (the first frame of a log always does, and so does one whose
    /// codec or clock offset differs from the frame's before it).
    ///
    /// # Errors
    /// [`Dropped`] if there is no room: the frame is lost, counted, and a gap of that reason is open until the next frame
    /// that is taken.
    pub fn append(&self, frame: Frame, new_segment: bool) -> Result<(), Dropped> {
        let captured_us = frame.captured_us;
        let new_segment = new_segment || self.camera.owes_segment.load(Relaxed);
        let queued = self.queue_frame(frame, new_segment);
        self.camera
            .owes_segment
            .store(new_segment && queued.is_err(), Relaxed);
        self.follow_drops(captured_us, queued.err());
        match queued {
            Ok(()) => {
                self.camera.last_captured_us.store(captured_us, Relaxed);
                Ok(())
            }
            Err(reason) => {
                self.camera.count_dropped(reason, 1);
                Err(Dropped { reason })
            }
        }
    }

    /// Opens a gap with the first of many dropped frames, and closes it with the next that is taken.
    fn follow_drops(&self, captured_us: i64, dropped: Option<GapReason>) {
        // Nothing panics while it is held.
        let mut dropping = self
            .camera
            .dropping
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *dropping == dropped {
            return;
        }
        if let Some(only) = std::mem::replace(&mut *dropping, dropped) {
            self.change_gap(GapChange::Close {
                ended_us: captured_us,
                only: Some(only),
            });
        }
        match dropped {
            None => {}
            Some(GapReason::DiskSlow) => {
                self.open_gap(
                    captured_us,
                    GapReason::DiskSlow,
                    "frames arrive faster than the disk takes them",
                );
            }
            Some(reason) => self.open_gap(
                captured_us,
                reason,
                "the index could not be written for too long",
            ),
        }
    }

    fn queue_frame(&self, frame: Frame, new_segment: bool) -> Result<(), GapReason> {
        if self.budget.index_is_behind() {
            return Err(GapReason::DiskFull);
        }
        let bytes = frame.payload.len() + FRAME_OVERHEAD;
        if !self.budget.take(&self.camera.waiting_bytes, bytes) {
            return Err(GapReason::DiskSlow);
        }
        let command = Command::Append { frame, new_segment };
        if !self.queue.push(Entry {
            camera: self.camera.clone(),
            command,
            bytes,
        }) {
            self.budget.give_back(&self.camera.waiting_bytes, bytes);
            return Err(GapReason::DiskSlow); // the store is closing
        }
        Ok(())
    }

    /// Closes the open segment once the frames before it are written: the connection has ended.
    pub fn end_segment(&self) {
        // A closed queue has closed its segments.
        self.queue.push(Entry {
            camera: self.camera.clone(),
            command: Command::EndSegment,
            bytes: 0,
        });
    }

    /// Opens a gap, closing an open one of another reason at `started_us`. The same reason again only updates the detail.
    ///
    /// A `started_us` before the open gap's start is taken as that start: gaps of a camera don't overlap.
    pub fn open_gap(&self, started_us: i64, reason: GapReason, detail: &str) {
        self.change_gap(GapChange::Open {
            started_us,
            reason,
            detail: detail.into(),
        });
    }

    /// Closes the open gap, if there is one: a frame captured at `ended_us` follows.
    pub fn close_gap(&self, ended_us: i64) {
        self.change_gap(GapChange::Close {
            ended_us,
            only: None,
        });
    }

    /// Records a gap that is over already.
    pub fn record_gap(&self, started_us: i64, ended_us: i64, reason: GapReason, detail: &str) {
        self.change_gap(GapChange::Record {
            started_us,
            ended_us,
            reason,
            detail: detail.into(),
        });
    }

    fn change_gap(&self, change: GapChange) {
        self.changes.send(Change::Gap {
            camera_id: self.camera.id,
            change,
        });
    }

    /// Capture time of the newest frame known for this camera, this run or before: the one that arrived last, or for an
    /// earlier run the end of its last segment.
    pub fn last_captured_us(&self) -> Option<i64> {
        Some(self.camera.last_captured_us.load(Relaxed)).filter(|&us| us != NEVER)
    }

    /// What became of its frames since the store was opened.
    pub fn counters(&self) -> Counters {
        Counters {
            stored_frames: self.camera.stored_frames.load(Relaxed),
            stored_bytes: self.camera.stored_bytes.load(Relaxed),
            dropped_disk_slow: self.camera.dropped_disk_slow.load(Relaxed),
            dropped_disk_full: self.camera.dropped_disk_full.load(Relaxed),
        }
    }
}
