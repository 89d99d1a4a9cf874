//! Whether this machine's wall clock was set: its time and monotonic time, compared. Not for a camera's clock.

use std::time::{Duration, Instant};

use crate::wall;

/// A wall clock that has moved by more than this beside the time that passed was set. What comes off slewing stays below.
pub const STEP_MIN_US: i64 = 2_000_000;

/// Both clocks are read within this.
const ABREAST: Duration = Duration::from_millis(100);

/// One moment by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Microseconds since the Unix epoch, as the machine has it.
    pub wall_us: i64,
    /// The same moment on the clock that nobody can set.
    pub at: Instant,
}

impl Moment {
    /// Now, by both clocks at once: a thread that was put aside between reading the one and the other reads them again.
    pub fn now() -> Self {
        loop {
            let at = Instant::now();
            let wall_us = wall::now_us();
            if at.elapsed() < ABREAST {
                return Self { wall_us, at };
            }
        }
    }

    /// Microseconds that passed since an earlier moment.
    pub fn lived_us(self, earlier: Self) -> i64 {
        let lived = self.at.saturating_duration_since(earlier.at);
        i64::try_from(lived.as_micros()).unwrap_or(i64::MAX)
    }

    /// By how much the wall clock was set since an earlier moment, microseconds; `None` if it wasn't.
    pub fn step_us(self, earlier: Self) -> Option<i64> {
        let told_us = self.wall_us.saturating_sub(earlier.wall_us);
        let step_us = told_us.saturating_sub(self.lived_us(earlier));
        (step_us.saturating_abs() > STEP_MIN_US).then_some(step_us)
    }
}

/// Tells of steps of the machine's clock: one line in the log for each.
#[derive(Debug)]
pub struct ClockWatch {
    last: Moment,
}

impl ClockWatch {
    /// Watches from now on.
    pub fn new() -> Self {
        Self {
            last: Moment::now(),
        }
    }

    /// To be called every few seconds. Whether the clock was set since the last time.
    pub fn look(&mut self) -> bool {
        let step = self.step_us(Moment::now());
        if let Some(step_us) = step {
            tracing::warn!(
                step_ms = step_us / 1_000,
                "this machine's clock was set, or the machine slept; times of footage leap with it where the camera sends none: \
                 let chrony or systemd-timesyncd keep it"
            );
        }
        step.is_some()
    }

    fn step_us(&mut self, now: Moment) -> Option<i64> {
        now.step_us(std::mem::replace(&mut self.last, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000_000;

    #[test]
    fn a_step_is_told_once_by_how_much_and_which_way() {
        let start = Instant::now();
        let mut watch = ClockWatch {
            last: Moment {
                wall_us: NOW,
                at: start,
            },
        };
        let mut look = |second: u64, wall_s: i64| {
            watch.step_us(Moment {
                wall_us: NOW + wall_s * 1_000_000,
                at: start + Duration::from_secs(second),
            })
        };
        assert_eq!(look(5, 5), None);
        assert_eq!(look(10, 12), None, "2 s may be slewing");
        assert_eq!(look(15, 3_617), Some(3_600_000_000));
        assert_eq!(look(20, 3_622), None);
        assert_eq!(look(25, 17), Some(-3_610_000_000));
        assert_eq!(look(30, 22), None);
    }

    #[test]
    fn no_clock_is_too_wrong() {
        let at = Instant::now();
        let moment = |wall_us| Moment { wall_us, at };
        assert_eq!(moment(i64::MAX).step_us(moment(i64::MIN)), Some(i64::MAX));
        assert_eq!(moment(i64::MIN).step_us(moment(i64::MAX)), Some(i64::MIN));
    }
}
