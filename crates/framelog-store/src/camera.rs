//! What the log of a camera and its writer thread both know: who it is, what waits, what became of all that it sent, whether its
//! pictures stand still. Not for putting frames anywhere.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use framelog_core::gap::GapReason;
use framelog_core::multipart::SkipReason;

/// On a full disk a frame is stored now and then. Only after so long without a loss is it said that frames are stored.
const CALM: Duration = Duration::from_secs(2);
/// For times in atomics: none is known.
const NEVER: i64 = i64::MIN;

/// What became of everything that a camera sent since the store was opened.
///
/// At every moment `parts` = `stored_frames` + [`skipped`](Self::skipped) + [`dropped`](Self::dropped) +
/// [`waiting`](Self::waiting), and nothing waits once the queues are drained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Everything that came where a picture could be.
    pub parts: u64,
    /// Frames whose bytes are in a file.
    pub stored_frames: u64,
    /// Their payload bytes.
    pub stored_bytes: u64,
    /// Parts without a payload.
    pub skipped_empty: u64,
    /// Parts with something else in them.
    pub skipped_not_picture: u64,
    /// Pictures cut off.
    pub skipped_torn: u64,
    /// Parts over the limits.
    pub skipped_too_large: u64,
    /// Frames dropped because the queue was full.
    pub dropped_disk_slow: u64,
    /// Frames dropped because a write failed.
    pub dropped_disk_full: u64,
}

impl Counters {
    /// Parts that never were frames.
    pub fn skipped(&self) -> u64 {
        self.skipped_empty + self.skipped_not_picture + self.skipped_torn + self.skipped_too_large
    }

    /// Frames that could not be stored.
    pub fn dropped(&self) -> u64 {
        self.dropped_disk_slow + self.dropped_disk_full
    }

    /// Frames on their way to the file.
    pub fn waiting(&self) -> u64 {
        let settled = self.stored_frames + self.skipped() + self.dropped();
        self.parts.saturating_sub(settled)
    }

    /// A part was passed over.
    fn skip(&mut self, reason: SkipReason) {
        self.parts += 1;
        *match reason {
            SkipReason::Empty => &mut self.skipped_empty,
            SkipReason::NotPicture => &mut self.skipped_not_picture,
            SkipReason::Torn => &mut self.skipped_torn,
            SkipReason::TooLarge => &mut self.skipped_too_large,
        } += 1;
    }
}

/// What stands still although frames come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Still {
    /// Each frame holds the same picture.
    Picture,
    /// Each frame has the same stamp.
    Stamp,
}

impl Still {
    /// The name, as printed.
    pub fn name(self) -> &'static str {
        match self {
            Still::Picture => "picture",
            Still::Stamp => "stamp",
        }
    }
}

/// Frames that come and can't be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Losing {
    /// Capture time of the first of them, microseconds.
    pub since_us: i64,
    /// The system's reason.
    pub kind: io::ErrorKind,
    /// The same in words.
    pub detail: Arc<str>,
    last: Instant,
}

impl Losing {
    /// Frames are lost now, and have been since then.
    pub fn new(since_us: i64, error: &io::Error) -> Self {
        Self {
            since_us,
            kind: error.kind(),
            detail: format!("frames can't be written: {error}").into(),
            last: Instant::now(),
        }
    }
}

/// What the log of a camera and its writer thread share.
#[derive(Debug)]
pub(crate) struct Camera {
    pub id: i64,
    pub name: Arc<str>,
    /// Bytes of its frames that wait to be written.
    pub waiting_bytes: AtomicUsize,
    /// One lock and not many atomics: who looks at them sees them add up.
    counters: Mutex<Counters>,
    /// Of the frame that was taken last, or [`NEVER`].
    last_captured_us: AtomicI64,
    /// Since when each picture is the one before, or [`NEVER`].
    still_picture_us: AtomicI64,
    /// Since when its stamp stands still, or [`NEVER`].
    still_stamp_us: AtomicI64,
    /// Frames can't be written at present.
    losing: Mutex<Option<Losing>>,
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
            counters: Mutex::default(),
            last_captured_us: AtomicI64::new(last_captured_us.unwrap_or(NEVER)),
            still_picture_us: AtomicI64::new(NEVER),
            still_stamp_us: AtomicI64::new(NEVER),
            losing: Mutex::new(None),
            dropping: Mutex::new(None),
            owes_segment: AtomicBool::new(false),
            out_of_patience: AtomicBool::new(false),
        }
    }

    /// Why frames are being dropped before the queue, to be looked at and changed.
    pub fn dropping(&self) -> MutexGuard<'_, Option<GapReason>> {
        lock(&self.dropping)
    }

    /// Counts a frame that came: until it is stored or dropped it waits.
    pub fn count_frame(&self) {
        lock(&self.counters).parts += 1;
    }

    /// Counts a part that was passed over.
    pub fn count_skipped(&self, reason: SkipReason) {
        lock(&self.counters).skip(reason);
    }

    /// Counts frames whose bytes are in a file.
    pub fn count_stored(&self, frames: u64, bytes: u64) {
        let mut counters = lock(&self.counters);
        counters.stored_frames += frames;
        counters.stored_bytes += bytes;
    }

    /// Counts frames that were dropped.
    pub fn count_dropped(&self, reason: GapReason, frames: u64) {
        let mut counters = lock(&self.counters);
        *match reason {
            GapReason::DiskSlow => &mut counters.dropped_disk_slow,
            _ => &mut counters.dropped_disk_full,
        } += frames;
    }

    /// Frames from this one on could not be written.
    pub fn loses(&self, captured_us: i64, error: &io::Error) {
        let mut losing = lock(&self.losing);
        let since_us = losing
            .as_ref()
            .map_or(captured_us, |losing| losing.since_us);
        *losing = Some(Losing::new(since_us, error));
    }

    /// Frames were written.
    pub fn stores(&self) {
        lock(&self.losing).take_if(|losing| losing.last.elapsed() >= CALM);
    }

    /// Since when frames can't be written, and why, if so.
    pub fn losing(&self) -> Option<Losing> {
        lock(&self.losing).clone()
    }

    /// Frames that were counted as stored turn out not to be on the disk.
    pub fn count_lost(&self, frames: u64, bytes: u64) {
        let mut counters = lock(&self.counters);
        counters.stored_frames -= frames;
        counters.stored_bytes -= bytes;
        counters.dropped_disk_full += frames;
    }

    /// A frame was taken.
    pub fn took(&self, captured_us: i64) {
        self.last_captured_us.store(captured_us, Relaxed);
    }

    /// Capture time of the frame that was taken last.
    pub fn last_captured_us(&self) -> Option<i64> {
        known(&self.last_captured_us)
    }

    /// Since when something stands still, or that it doesn't. Returns what it was before.
    pub fn set_still(&self, still: Still, since_us: Option<i64>) -> Option<i64> {
        let before = self
            .still_us(still)
            .swap(since_us.unwrap_or(NEVER), Relaxed);
        Some(before).filter(|&us| us != NEVER)
    }

    /// What stands still, and since when. A picture says more than a stamp.
    pub fn still(&self) -> Option<(Still, i64)> {
        [Still::Picture, Still::Stamp]
            .into_iter()
            .find_map(|still| Some((still, known(self.still_us(still))?)))
    }

    fn still_us(&self, still: Still) -> &AtomicI64 {
        match still {
            Still::Picture => &self.still_picture_us,
            Still::Stamp => &self.still_stamp_us,
        }
    }

    /// What became of all that it sent so far.
    pub fn counters(&self) -> Counters {
        *lock(&self.counters)
    }
}

fn known(us: &AtomicI64) -> Option<i64> {
    Some(us.load(Relaxed)).filter(|&us| us != NEVER)
}

/// Nothing panics while one of these locks is held.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_counted_once_whatever_becomes_of_it() {
        let camera = Camera::new(1, "gate".into(), None);
        let skips = [
            SkipReason::Empty,
            SkipReason::NotPicture,
            SkipReason::Torn,
            SkipReason::TooLarge,
        ];
        skips
            .into_iter()
            .for_each(|reason| camera.count_skipped(reason));
        (0..5).for_each(|_| camera.count_frame());
        assert_eq!(camera.counters().waiting(), 5);
        camera.count_stored(2, 20);
        camera.count_dropped(GapReason::DiskSlow, 1);
        camera.count_dropped(GapReason::DiskFull, 1);
        let counters = camera.counters();
        let sums = (counters.skipped(), counters.dropped(), counters.waiting());
        assert_eq!((counters.parts, sums), (9, (4, 2, 1)));
        let each = [
            counters.skipped_empty,
            counters.skipped_not_picture,
            counters.skipped_torn,
            counters.skipped_too_large,
            counters.dropped_disk_slow,
            counters.dropped_disk_full,
        ];
        assert_eq!(each, [1; 6]);
    }

    #[test]
    fn a_frame_that_is_stored_now_and_then_does_not_end_a_loss() {
        let camera = Camera::new(1, "gate".into(), None);
        camera.stores();
        assert_eq!(camera.losing(), None);
        let full = || io::Error::from(rustix::io::Errno::NOSPC);
        camera.loses(7, &full());
        camera.stores();
        camera.loses(9, &full());
        let losing = camera.losing().unwrap();
        assert_eq!(losing.since_us, 7);
        assert!(losing.detail.contains("No space left"), "{losing:?}");
        assert_eq!(losing.kind, io::ErrorKind::StorageFull);
        lock(&camera.losing).as_mut().unwrap().last -= CALM;
        camera.stores();
        assert_eq!(camera.losing(), None);
    }

    #[test]
    fn a_still_picture_is_told_before_a_still_stamp() {
        let camera = Camera::new(1, "gate".into(), None);
        assert_eq!(camera.still(), None);
        assert_eq!(camera.set_still(Still::Stamp, Some(7)), None);
        assert_eq!(camera.still(), Some((Still::Stamp, 7)));
        camera.set_still(Still::Picture, Some(9));
        assert_eq!(camera.still(), Some((Still::Picture, 9)));
        assert_eq!(camera.set_still(Still::Picture, None), Some(9));
        assert_eq!(camera.still(), Some((Still::Stamp, 7)));
    }
}
