//! What is reported to the index, and the channel for it, in which nothing piles up without bound. Not for what becomes of it.

use std::fs::File;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot};

use crate::camera::Camera;
use crate::gaps::GapChange;
use crate::overflow::Overflow;
use crate::rows;
use crate::rules::Rules;

/// So many changes of gaps wait, and as many rows of them; then a camera's gaps are folded into one.
pub(crate) const GAPS_MAX: usize = 10_000;
/// So many reports that wait hold their file open.
const FILES_MAX: usize = 256;

/// What is reported to the index.
#[derive(Debug)]
pub(crate) enum Change {
    /// A camera is new, or in the configuration again, or no longer.
    Camera(rows::Camera),
    /// A camera's frames come from now on: here they are counted. Before anything that is written of it.
    Logged(Arc<Camera>),
    /// A segment grew, began or ended.
    Written(Written),
    /// A camera's gaps changed.
    Gap { camera_id: i64, change: GapChange },
    /// Footage was found that has no rows.
    Adopted(Adopted),
    /// The rules for what may go changed.
    Rules(Rules),
}

/// What looking through the footage came to: closed segments that were found, with their frames.
#[derive(Debug)]
pub(crate) struct Adopted {
    pub segments: Vec<(rows::Segment, Vec<rows::Frame>)>,
    /// And what is there no more.
    pub missing: Vec<rows::Missing>,
    /// Told when they are committed, with everything that was reported before.
    pub committed: oneshot::Sender<()>,
}

/// A segment as it is after a write.
#[derive(Debug)]
pub(crate) struct Written {
    pub segment: rows::Segment,
    /// The frames that were written.
    pub frames: Vec<rows::Frame>,
    /// Where they were written, if that is one file among few.
    pub file: Option<Arc<File>>,
    /// Something was written to it.
    pub grew: bool,
}

/// Reports changes; never waits. Changes of one sender are seen in order.
#[derive(Clone, Debug)]
pub(crate) struct Changes {
    sender: mpsc::UnboundedSender<Change>,
    waiting: Arc<Waiting>,
}

/// What waits in the channel, of what an index that hangs must not let pile up.
#[derive(Debug, Default)]
struct Waiting {
    gaps: AtomicUsize,
    files: AtomicUsize,
    overflow: Mutex<Overflow>,
}

/// Where an [`Index`] reads what was reported.
#[derive(Debug)]
pub(crate) struct Reported {
    receiver: mpsc::UnboundedReceiver<Change>,
    waiting: Arc<Waiting>,
}

impl Changes {
    /// A sender and what an [`Index`] reads from. Frames, which come in great numbers, are bounded by the [`Budget`]; here, the files
    /// that wait open and the gaps of cameras that come and go while the index takes nothing.
    pub fn channel() -> (Self, Reported) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let waiting = Arc::<Waiting>::default();
        let reported = Reported {
            receiver,
            waiting: waiting.clone(),
        };
        (Self { sender, waiting }, reported)
    }

    /// Reports a change.
    pub fn send(&self, mut change: Change) {
        match &mut change {
            Change::Gap { camera_id, change } => {
                let mut overflow = self.waiting.overflow();
                if overflow.holds(*camera_id) || self.waiting.gaps.load(Relaxed) >= GAPS_MAX {
                    overflow.fold(*camera_id, change.clone());
                    return;
                }
                self.waiting.gaps.fetch_add(1, Relaxed);
            }
            Change::Written(Written { file, .. }) => {
                // Without its file, everything is synced.
                file.take_if(|_| self.waiting.files.load(Relaxed) >= FILES_MAX);
                self.waiting
                    .files
                    .fetch_add(usize::from(file.is_some()), Relaxed);
            }
            _ => {}
        }
        // After the index has stopped there is nobody to tell; why it stopped is in the log.
        let _ = self.sender.send(change);
    }
}

impl Waiting {
    fn overflow(&self) -> MutexGuard<'_, Overflow> {
        // Nothing panics while it is held.
        self.overflow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn took(&self, change: &Change) {
        match change {
            Change::Gap { .. } => self.gaps.fetch_sub(1, Relaxed),
            Change::Written(Written { file: Some(_), .. }) => self.files.fetch_sub(1, Relaxed),
            _ => 0,
        };
    }
}

impl Reported {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }

    /// How many changes wait.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.receiver.len()
    }

    /// The next change; `None` when nobody is left to report one.
    pub async fn recv(&mut self) -> Option<Change> {
        let change = self.receiver.recv().await?;
        self.waiting.took(&change);
        Some(change)
    }

    /// The next change, if there is one.
    pub fn try_recv(&mut self) -> Option<Change> {
        let change = self.receiver.try_recv().ok()?;
        self.waiting.took(&change);
        Some(change)
    }

    /// What was folded since the channel was full; asked for when the channel is empty.
    pub fn take_folded(&mut self) -> Vec<(i64, GapChange)> {
        self.waiting.overflow().take().collect()
    }
}
