//! Where one camera's task puts its frames and gaps. Only [`CameraLog::wait_for_room`] waits.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use framelog_core::frame::Frame;
use framelog_core::gap::GapReason;
use framelog_core::multipart::SkipReason;
use tokio::time::timeout;

use crate::budget::Budget;
use crate::camera::{Camera, Counters, Losing, Still};
use crate::changes::{Change, Changes};
use crate::gaps::GapChange;
use crate::queue::{Command, Entry, Queue};

/// What a waiting frame costs beside its payload, bytes: so that many tiny frames are bounded too.
const FRAME_OVERHEAD: usize = size_of::<Entry>() + 64;
/// How long a camera is held back while the disk is behind, before its frames are dropped.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why a frame was not taken: the store has counted it, and opened a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("dropped: {reason}")]
pub struct Dropped {
    /// `DiskSlow`: too many bytes wait to be written. `DiskFull`: the index could not be written for minutes.
    pub reason: GapReason,
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
        self.append_late(frame, new_segment, Instant::now())
    }

    /// The same for a frame that came before, at `came` at the earliest: what is left of the time within which it is written is less. Not
    /// before that of the last frame.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_late(
        &self,
        frame: Frame,
        new_segment: bool,
        came: Instant,
    ) -> Result<(), Dropped> {
        let captured_us = frame.captured_us;
        self.camera.count_frame();
        let new_segment = new_segment || self.camera.owes_segment.load(Relaxed);
        let queued = self.queue_frame(frame, new_segment, came);
        self.camera
            .owes_segment
            .store(new_segment && queued.is_err(), Relaxed);
        self.follow_drops(captured_us, queued.err());
        match queued {
            Ok(()) => {
                self.camera.took(captured_us);
                Ok(())
            }
            Err(reason) => {
                self.camera.count_dropped(reason, 1);
                Err(Dropped { reason })
            }
        }
    }

    /// Counts a part that is no frame.
    pub fn skip(&self, reason: SkipReason) {
        self.camera.count_skipped(reason);
    }

    /// The stamps of its frames stand still since then, or don't. Returns what was said before.
    pub fn set_still_stamp(&self, since_us: Option<i64>) -> Option<i64> {
        self.camera.set_still(Still::Stamp, since_us)
    }

    /// What stands still although frames come, and since when, microseconds. Its pictures are watched by the writer thread.
    pub fn still(&self) -> Option<(Still, i64)> {
        self.camera.still()
    }

    /// Since when its frames come and can't be written, and why, if so.
    pub fn losing(&self) -> Option<Losing> {
        self.camera.losing()
    }

    /// Waits while the disk is behind with this camera's frames, so that its connection holds it back and nothing need be dropped.
    ///
    /// For at most 2 s until there is room again: a disk that hangs must show as dropped frames, not as a slow camera.
    pub async fn wait_for_room(&self) {
        let short = || self.budget.is_short(&self.camera.waiting_bytes);
        if !short() {
            self.camera.out_of_patience.store(false, Relaxed);
            return;
        }
        let until_room = async {
            while short() {
                let room = self.budget.room();
                if short() {
                    room.await;
                }
            }
        };
        if !self.camera.out_of_patience.load(Relaxed)
            && timeout(PATIENCE, until_room).await.is_err()
        {
            self.camera.out_of_patience.store(true, Relaxed);
        }
    }

    /// Opens a gap with the first of many dropped frames, and closes it with the next that is taken.
    fn follow_drops(&self, captured_us: i64, dropped: Option<GapReason>) {
        let mut dropping = self.camera.dropping();
        if *dropping == dropped {
            return;
        }
        if let Some(only) = std::mem::replace(&mut *dropping, dropped) {
            self.change_gap(GapChange::Close {
                ended_us: captured_us,
                only: Some(only),
            });
        }
        if let Some(reason) = dropped {
            let detail = match reason {
                GapReason::DiskSlow => "frames arrive faster than the disk takes them",
                _ => "the index could not be written for too long",
            };
            self.change_gap(GapChange::Open {
                started_us: captured_us,
                reason,
                detail: detail.into(),
            });
        }
    }

    fn queue_frame(&self, frame: Frame, new_segment: bool, came: Instant) -> Result<(), GapReason> {
        if self.budget.index_is_behind() {
            return Err(GapReason::DiskFull);
        }
        let bytes = frame.payload.len() + FRAME_OVERHEAD;
        self.push(Command::Append { frame, new_segment }, came, bytes)
    }

    fn push(&self, command: Command, came: Instant, bytes: usize) -> Result<(), GapReason> {
        if !self.budget.take(&self.camera.waiting_bytes, bytes) {
            return Err(GapReason::DiskSlow);
        }
        if let Command::Append { frame, .. } = &command {
            // Here its bytes are in the processor's cache, because they have just come; when it is written, they no longer are.
            frame.payload.digest();
        }
        if !self.queue.push(Entry {
            camera: self.camera.clone(),
            camera_id: self.camera.id,
            command,
            came,
            bytes,
        }) {
            self.budget.give_back(&self.camera.waiting_bytes, bytes);
            return Err(GapReason::DiskSlow); // the store is closing
        }
        Ok(())
    }

    /// Closes the open segment once the frames before it are written: the connection has ended. Where there is no room to say so, the
    /// next frame begins a segment.
    pub fn end_segment(&self) {
        let queued = self.push(Command::EndSegment, Instant::now(), FRAME_OVERHEAD);
        self.camera.owes_segment.store(queued.is_err(), Relaxed);
    }

    /// Opens a gap, closing an open one of another reason at `started_us`. The same reason again only updates the detail.
    ///
    /// A `started_us` before the open gap's start is taken as that start: gaps of a camera don't overlap.
    pub fn open_gap(&self, started_us: i64, reason: GapReason, detail: &str) {
        // That ends a gap of dropped frames: the next drop opens another.
        *self.camera.dropping() = None;
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
        self.camera.last_captured_us()
    }

    /// What became of all that it sent since the store was opened.
    pub fn counters(&self) -> Counters {
        self.camera.counters()
    }
}
