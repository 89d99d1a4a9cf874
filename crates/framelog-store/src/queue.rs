//! What waits for one writer thread, and when the thread is woken: seldom, because each wake-up costs. Not for how much may
//! wait: that is `budget`.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use framelog_core::frame::Frame;

use crate::camera::Camera;
use crate::held;

/// So many bytes are taken at once: more gains nothing, and the processor's cache forgets them.
const GATHER_BYTES: usize = 1 << 20;
/// More room than for so many entries is given back: a stall of the disk has needed it.
const ENTRIES_KEPT: usize = 4096;

/// What a writer thread is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// Append a frame.
    Append {
        /// The frame.
        frame: Frame,
        /// Begin a segment with it.
        new_segment: bool,
    },
    /// Close the open segment.
    EndSegment,
}

/// A command for one camera.
#[derive(Debug)]
pub(crate) struct Entry {
    pub camera: Arc<Camera>,
    /// Of the camera: to look at it there, where its reader writes too, takes longer than finding its recording.
    pub camera_id: i64,
    pub command: Command,
    /// When, at the earliest: from then on its time runs.
    pub came: Instant,
    /// What it counts against the budget.
    pub bytes: usize,
}

/// The queue of one writer thread. Pushing takes a lock for as long as a `Vec::push`.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    entries: Vec<Entry>,
    bytes: usize,
    /// When the thread looks at them, or at what it holds already.
    due: Option<Instant>,
    closed: bool,
}

impl Queue {
    /// Adds an entry; false if the queue is closed.
    pub fn push(&self, entry: Entry) -> bool {
        let mut waiting = self.lock();
        if waiting.closed {
            return false;
        }
        let before = waiting.bytes;
        waiting.bytes += entry.bytes;
        let many = before < GATHER_BYTES && waiting.bytes >= GATHER_BYTES;
        let due = held::due(entry.came);
        // A thread that wakes before then by itself is left to sleep.
        let sooner = waiting.due.is_none_or(|wakes| due < wakes);
        if sooner {
            waiting.due = Some(due);
        }
        waiting.entries.push(entry);
        drop(waiting);
        if sooner || many {
            self.changed.notify_one();
        }
        true
    }

    /// No more entries; what is there is still handed out.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Waits for entries, gathers for a while, but not longer than until `due`, and takes all in the order in which they were pushed; false
    /// when the queue is closed and empty. `entries` is empty when this is called: the next are gathered in it.
    pub fn take(&self, due: Option<Instant>, entries: &mut Vec<Entry>) -> bool {
        entries.shrink_to(ENTRIES_KEPT);
        let mut waiting = self.lock();
        waiting.due = (waiting.due.into_iter()).chain(due).min();
        while !waiting.closed && waiting.bytes < GATHER_BYTES {
            waiting = match waiting.due {
                None => (self.changed.wait(waiting)).unwrap_or_else(PoisonError::into_inner),
                Some(due) => {
                    let left = due.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    (self.changed.wait_timeout(waiting, left))
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
        if waiting.closed && waiting.entries.is_empty() {
            return false;
        }
        waiting.bytes = 0;
        waiting.due = None;
        std::mem::swap(&mut waiting.entries, entries);
        true
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end_segment(camera: &Arc<Camera>) -> Entry {
        Entry {
            camera: camera.clone(),
            camera_id: camera.id,
            command: Command::EndSegment,
            came: Instant::now(),
            bytes: 1,
        }
    }

    #[test]
    fn all_is_taken_in_order_and_what_was_there_when_it_closed_too() {
        let queue = Queue::default();
        let cameras = [3, 1, 2].map(|id| Arc::new(Camera::new(id, "gate".into(), None)));
        let mut taken = Vec::new();
        for _ in 0..3 {
            for camera in &cameras {
                assert!(queue.push(end_segment(camera)));
            }
            assert!(queue.take(Some(Instant::now()), &mut taken));
            let ids: Vec<i64> = taken.drain(..).map(|entry| entry.camera_id).collect();
            assert_eq!(ids, [3, 1, 2]);
        }
        assert!(queue.push(end_segment(&cameras[0])));
        queue.close();
        assert!(!queue.push(end_segment(&cameras[0])));
        assert!(queue.take(None, &mut taken));
        assert_eq!(taken.drain(..).len(), 1);
        assert!(!queue.take(None, &mut taken));
    }

    #[test]
    fn time_runs_from_when_it_came() {
        let queue = Queue::default();
        let camera = Arc::new(Camera::new(1, "gate".into(), None));
        let came = |entry: Entry, came| Entry { came, ..entry };
        let later = Instant::now();
        let earlier = later - std::time::Duration::from_secs(1);
        assert!(queue.push(came(end_segment(&camera), later)));
        assert!(queue.push(came(end_segment(&camera), earlier)));
        assert_eq!(queue.lock().due, Some(held::due(earlier)));
    }

    #[test]
    fn room_is_used_again_unless_it_was_much() {
        let queue = Queue::default();
        let camera = Arc::new(Camera::new(1, "gate".into(), None));
        let mut taken = Vec::new();
        for count in [100, 10 * ENTRIES_KEPT] {
            (0..count).for_each(|_| assert!(queue.push(end_segment(&camera))));
            assert!(queue.take(Some(Instant::now()), &mut taken));
            assert_eq!(taken.drain(..).len(), count);
        }
        let much = taken.capacity();
        // It goes back with the next.
        assert!(queue.push(end_segment(&camera)));
        assert!(queue.take(Some(Instant::now()), &mut taken));
        let kept = queue.lock().entries.capacity();
        assert!((100..much / 2).contains(&kept), "{kept} of {much}");
    }
}
