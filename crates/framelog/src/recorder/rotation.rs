//! When a camera's next segment begins. Pure.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

/// Divides time into slots of one segment each. Every camera's slots begin at a phase of its own, so that cameras don't all rotate at once.
#[derive(Clone, Debug)]
pub struct Rotation {
    interval_us: i64,
    phase_us: i64,
    slot: Option<i64>,
}

impl Rotation {
    /// Segments of `interval` (at least a microsecond), at a phase that depends on the camera's name alone.
    pub fn new(interval: Duration, camera: &str) -> Self {
        let interval_us = i64::try_from(interval.as_micros())
            .unwrap_or(i64::MAX)
            .max(1);
        let mut hasher = DefaultHasher::new();
        camera.hash(&mut hasher);
        let phase_us = i64::try_from(hasher.finish() >> 1).unwrap_or(0) % interval_us;
        Self {
            interval_us,
            phase_us,
            slot: None,
        }
    }

    /// Whether a new segment begins with the frame that arrived at `received_us`. Answers once for each slot; a wall clock that
    /// was set back begins a segment too.
    pub fn is_due(&mut self, received_us: i64) -> bool {
        let slot = received_us
            .saturating_sub(self.phase_us)
            .div_euclid(self.interval_us);
        self.slot.replace(slot) != Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const NOW: i64 = 1_700_000_000_000_000;

    /// Seconds after NOW, of the first hour, at which a segment begins.
    fn turns(camera: &str) -> Vec<i64> {
        let mut rotation = Rotation::new(MINUTE, camera);
        (0..3600)
            .filter(|second| rotation.is_due(NOW + second * 1_000_000))
            .collect()
    }

    #[test]
    fn a_segment_begins_with_the_first_frame_and_then_every_interval() {
        let turns = turns("gate");
        assert_eq!(turns[0], 0);
        assert!(turns[1] <= 60);
        assert!(turns[1..].windows(2).all(|pair| pair[1] - pair[0] == 60));
    }

    #[test]
    fn cameras_rotate_at_different_moments() {
        let mut seconds: Vec<_> = (0..100)
            .map(|n| turns(&format!("cam-{n}"))[1] % 60)
            .collect();
        seconds.sort_unstable();
        seconds.dedup();
        assert!(seconds.len() > 30, "{seconds:?}");
    }

    #[test]
    fn a_clock_that_is_set_back_begins_a_segment() {
        let mut rotation = Rotation::new(MINUTE, "gate");
        assert!(rotation.is_due(NOW));
        assert!(!rotation.is_due(NOW));
        assert!(rotation.is_due(NOW - 3_600_000_000));
        assert!(!rotation.is_due(NOW - 3_600_000_000));
    }
}
