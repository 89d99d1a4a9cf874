//! How much may wait: bytes for the writers, per camera and in all, and rows for the index. Not for what waits: that is `queue`.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The bounds. Beyond them frames are dropped, never kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of one camera's frames that wait to be written; one frame may always wait.
    pub camera_bytes_max: usize,
    /// Bytes of all cameras' frames that wait to be written; one frame may always wait.
    pub total_bytes_max: usize,
    /// Frames that are in files and wait for their rows, some 60 bytes of memory each. Reached only when the index cannot be
    /// written for minutes (full disk, or a foreign writer holding it).
    pub rows_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            camera_bytes_max: 64 << 20,
            total_bytes_max: 256 << 20,
            rows_max: 2_000_000,
        }
    }
}

/// What waits, of what may.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    limits: Limits,
    bytes: AtomicUsize,
    rows: AtomicUsize,
    /// Room was given back.
    room: Notify,
}

impl Budget {
    /// Nothing waits yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Takes room for a frame of a camera whose waiting bytes are `camera`; false, and nothing taken, if there is none.
    pub fn take(&self, camera: &AtomicUsize, bytes: usize) -> bool {
        let take = |waiting: &AtomicUsize, max: usize| {
            let before = waiting.fetch_add(bytes, Relaxed);
            let fits = before == 0 || before.saturating_add(bytes) <= max;
            if !fits {
                waiting.fetch_sub(bytes, Relaxed);
            }
            fits
        };
        if !take(camera, self.limits.camera_bytes_max) {
            return false;
        }
        if !take(&self.bytes, self.limits.total_bytes_max) {
            camera.fetch_sub(bytes, Relaxed);
            return false;
        }
        true
    }

    /// Gives back what [`Budget::take`] took.
    pub fn give_back(&self, camera: &AtomicUsize, bytes: usize) {
        camera.fetch_sub(bytes, Relaxed);
        self.bytes.fetch_sub(bytes, Relaxed);
        self.room.notify_waiters();
    }

    /// Whether a camera had better send no more for now: a sixteenth of its share waits (at the default 4 MiB, many times what an
    /// ordinary camera sends while frames are gathered, and still warm in the processor's cache).
    pub fn is_short(&self, camera: &AtomicUsize) -> bool {
        camera.load(Relaxed) > self.limits.camera_bytes_max / 16
    }

    /// Resolves when room is given back after this call.
    pub fn room(&self) -> Notified<'_> {
        self.room.notified()
    }

    /// Whether the index is so far behind that no more frames may be taken.
    pub fn index_is_behind(&self) -> bool {
        self.rows.load(Relaxed) >= self.limits.rows_max
    }

    /// What waits: bytes for the writers, rows for the index.
    pub fn waiting(&self) -> (usize, usize) {
        (self.bytes.load(Relaxed), self.rows.load(Relaxed))
    }

    /// Rows were handed to the index.
    pub fn rows_wait(&self, rows: usize) {
        self.rows.fetch_add(rows, Relaxed);
    }

    /// Rows were committed.
    pub fn rows_done(&self, rows: usize) {
        self.rows.fetch_sub(rows, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget() -> Budget {
        Budget::new(Limits {
            camera_bytes_max: 10,
            total_bytes_max: 15,
            rows_max: 2,
        })
    }

    #[test]
    fn one_camera_cannot_take_another_ones_share() {
        let (budget, a, b) = (budget(), AtomicUsize::new(0), AtomicUsize::new(0));
        assert!(budget.take(&a, 10));
        assert!(!budget.take(&a, 1));
        assert!(budget.take(&b, 5));
        assert!(!budget.take(&b, 1), "the total is bounded too");
        budget.give_back(&a, 10);
        assert!(budget.take(&b, 1));
    }

    #[test]
    fn one_frame_always_fits_however_large() {
        let (budget, a) = (budget(), AtomicUsize::new(0));
        assert!(budget.take(&a, 100));
        budget.give_back(&a, 100);
        assert!(budget.take(&a, 1));
    }

    #[test]
    fn a_camera_is_short_of_room_before_frames_are_dropped() {
        let (budget, a) = (budget(), AtomicUsize::new(0));
        assert!(!budget.is_short(&a));
        assert!(budget.take(&a, 1));
        assert!(budget.is_short(&a));
        assert!(budget.take(&a, 9));
        budget.give_back(&a, 10);
        assert!(!budget.is_short(&a));
    }

    #[test]
    fn index_is_behind_at_the_bound() {
        let budget = budget();
        budget.rows_wait(2);
        assert!(budget.index_is_behind());
        budget.rows_done(1);
        assert!(!budget.index_is_behind());
    }
}
