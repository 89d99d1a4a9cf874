//! Frames of one camera that wait at its writer until they fill a block, and for how long they may. Not for where a block ends.

use std::time::{Duration, Instant};

use framelog_core::frame::Frame;

use crate::blocks::BLOCK;

/// A frame waits at most so long, counted from when it may have arrived: then the bytes are in the file within 250 ms of it, unless the disk is
/// full or slow. What comes to the store later than that is written at once.
pub const HOLD_MAX: Duration = Duration::from_millis(200);
/// When the writer is awake anyway, what has waited so long goes, so that it wakes for many cameras together...
const HOLD_MIN: Duration = Duration::from_millis(130);
/// ... and what has waited so long while less than this waits at the writer, because then what waking costs is more than what larger pieces save.
const HOLD_MIN_OF_FEW: Duration = Duration::from_millis(100);
const FEW_BYTES: u64 = 4 << 20;
/// So many bytes don't wait any longer: writing more blocks at once gains nothing.
const BYTES_MAX: u64 = 2 * BLOCK;
/// Of so many nothing waits, not even the end: they count against what the camera may send.
const BYTES_LARGE: u64 = 16 * BLOCK;

/// When a frame that came then must be written.
pub(crate) fn due(came: Instant) -> Instant {
    came + HOLD_MAX
}

/// How long frames wait while their writer is awake, when so many bytes of all its cameras wait.
pub(crate) fn wait(bytes: u64) -> Duration {
    if bytes < FEW_BYTES {
        HOLD_MIN_OF_FEW
    } else {
        HOLD_MIN
    }
}

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

    /// Whether they are so many that full blocks of them should be written, where so many bytes of the first have been.
    pub fn are_many(&self, begun: u64) -> bool {
        self.bytes.saturating_sub(begun) >= BYTES_MAX
    }

    /// Bytes of their payloads.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// When the first of them came.
    pub fn since(&self) -> Option<Instant> {
        self.came.first().map(|(came, _)| *came)
    }

    /// How many have waited since then or longer.
    pub fn waits_since(&self, since: Instant) -> usize {
        self.came.partition_point(|(came, _)| *came <= since)
    }

    /// Whether waiting gains nothing.
    pub fn is_in_vain(&self) -> bool {
        self.is_slow || self.bytes >= BYTES_LARGE
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use framelog_core::clock::ClockKind;
    use framelog_core::frame::Codec;

    use super::*;

    fn push(held: &mut Held, came: Instant, bytes: usize) {
        let frame = Frame {
            payload: Bytes::from(vec![0; bytes]).into(),
            codec: Codec::Mjpeg,
            parameters: None,
            captured_us: 0,
            received_us: 0,
            clock: ClockKind::Arrival,
            offset_us: 0,
            keyframe: true,
            complete: true,
        };
        held.push(frame, came, bytes + 1);
    }

    #[test]
    fn what_has_waited_long_enough_is_the_oldest() {
        let (mut held, begun) = (Held::default(), Instant::now());
        assert_eq!(held.since(), None);
        for ms in [0, 10, 100] {
            push(&mut held, begun + Duration::from_millis(ms), 1000);
        }
        assert_eq!(held.since(), Some(begun));
        for (ms, waiting) in [(0, 1), (9, 1), (10, 2), (99, 2), (100, 3)] {
            let since = begun + Duration::from_millis(ms);
            assert_eq!(held.waits_since(since), waiting, "{ms} ms");
        }
        assert_eq!(held.release(2), 2 * 1001);
        assert_eq!((held.frames().len(), held.bytes()), (1, 1000));
        let last = begun + Duration::from_millis(100);
        assert_eq!(held.since(), Some(last));
    }

    #[test]
    fn while_little_waits_more_of_it_goes_at_once() {
        assert!(wait(0) < wait(FEW_BYTES) && wait(FEW_BYTES) < HOLD_MAX);
    }

    #[test]
    fn a_camera_whose_next_frame_comes_too_late_for_this_one_is_slow() {
        let (mut held, begun) = (Held::default(), Instant::now());
        push(&mut held, begun, 1);
        assert!(held.is_in_vain(), "the first, of which nothing is known");
        push(&mut held, begun + HOLD_MAX / 2, 1);
        assert!(!held.is_in_vain());
        push(&mut held, begun + 2 * HOLD_MAX, 1);
        assert!(held.is_in_vain());
    }

    #[test]
    fn many_bytes_wait_no_longer() {
        let (mut held, now) = (Held::default(), Instant::now());
        push(&mut held, now, BYTES_MAX as usize - 1);
        assert!(!held.are_many(0));
        push(&mut held, now, 1);
        assert!(held.are_many(0) && !held.are_many(1) && !held.is_in_vain());
        push(&mut held, now, (BYTES_LARGE - BYTES_MAX) as usize);
        assert!(held.is_in_vain());
    }
}
