//! What the log of a camera and its writer thread both know: who it is, what waits, what became of its frames. Not for putting
//! frames anywhere.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use framelog_core::gap::GapReason;

/// For `last_captured_us`: no frame is known.
const NEVER: i64 = i64::MIN;

/// What became of a camera's frames since the store was opened.
///
/// Every frame that was given to [`CameraLog::append`](crate::CameraLog::append) is in one of these, once the queue is drained.
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
    /// Of the frame that was taken last, or [`NEVER`].
    last_captured_us: AtomicI64,
    /// Frames are being dropped before the queue, and why: a gap is open.
    dropping: Mutex<Option<GapReason>>,
    /// A frame that should have begun a segment was dropped: the next one does.
    pub owes_segment: AtomicBool,
    /// It waited for room in vain; no more waiting until there is some.
    pub out_of_patience: AtomicBool,
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
            out_of_patience: AtomicBool::new(false),
        }
    }

    /// Why frames are being dropped before the queue, to be looked at and changed.
    pub fn dropping(&self) -> MutexGuard<'_, Option<GapReason>> {
        // Nothing panics while it is held.
        self.dropping.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Frames that were counted as stored turn out not to be on the disk.
    pub fn count_lost(&self, frames: u64, bytes: u64) {
        self.stored_frames.fetch_sub(frames, Relaxed);
        self.stored_bytes.fetch_sub(bytes, Relaxed);
        self.dropped_disk_full.fetch_add(frames, Relaxed);
    }

    /// A frame was taken.
    pub fn took(&self, captured_us: i64) {
        self.last_captured_us.store(captured_us, Relaxed);
    }

    /// Capture time of the frame that was taken last.
    pub fn last_captured_us(&self) -> Option<i64> {
        Some(self.last_captured_us.load(Relaxed)).filter(|&us| us != NEVER)
    }

    /// What became of its frames so far.
    pub fn counters(&self) -> Counters {
        Counters {
            stored_frames: self.stored_frames.load(Relaxed),
            stored_bytes: self.stored_bytes.load(Relaxed),
            dropped_disk_slow: self.dropped_disk_slow.load(Relaxed),
            dropped_disk_full: self.dropped_disk_full.load(Relaxed),
        }
    }
}
