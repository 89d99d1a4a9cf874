//! Frames of one camera that wait at its writer until they fill a block, and for how long they may. Not for where a block ends.

use std::time::{Duration, Instant};

use framelog_core::frame::Frame;

use crate::blocks::BLOCK;

/// A frame waits at most so long, counted from its arrival: then the bytes are in the file within 250 ms of it.
const HOLD_MAX: Duration = Duration::from_millis(150);
/// When the writer is awake anyway, what has waited so long goes, so that it wakes for many cameras together.
const HOLD_MIN: Duration = Duration::from_millis(130);
/// So many bytes don't wait any longer: writing more at once gains nothing.
const BYTES_MAX: u64 = 2 * BLOCK;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Held {
    frames: Vec<Frame>,
    /// Of each: when it came, and what it counts against the budget.
    came: Vec<(Instant, usize)>,
    /// Of payloads.
    bytes: u64,
    last: Option<Instant>,
    /// The next block won't be full in time: waiting gains nothing.
    is_slow: bool,
}

impl Held {
    /// A frame came, which counts so many bytes against the budget.
    pub fn push(&mut self, frame: Frame, came: Instant, budget: usize) {
        let last = self.last.replace(came);
        self.is_slow = last.is_none_or(|last| came.saturating_duration_since(last) >= HOLD_MAX);
        self.bytes += frame.payload.len() as u64;
        self.came.push((came, budget));
        self.frames.push(frame);
    }

    /// Those that wait, oldest first.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// Whether they are so many that full blocks of them should be written.
    pub fn are_many(&self) -> bool {
        self.bytes >= BYTES_MAX
    }

    /// Bytes of their payloads.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// When the first must be written.
    pub fn due(&self) -> Option<Instant> {
        self.came.first().map(|(came, _)| *came + HOLD_MAX)
    }

    /// How many must be written now.
    pub fn due_now(&self, now: Instant) -> usize {
        (self.came).partition_point(|(came, _)| now.saturating_duration_since(*came) >= HOLD_MIN)
    }

    /// Whether waiting gains nothing.
    pub fn is_slow(&self) -> bool {
        self.is_slow
    }

    /// The first `count` wait no more; what they counted against the budget.
    pub fn release(&mut self, count: usize) -> usize {
        let count = count.min(self.frames.len());
        let released = self.frames.drain(..count);
        self.bytes -= released
            .map(|frame| frame.payload.len() as u64)
            .sum::<u64>();
        self.came.drain(..count).map(|(_, budget)| budget).sum()
    }
}
