//! Whether a camera goes on sending the same: the same picture, or a stamp that stands still. Not for what the sign of sameness is:
//! that is the caller's.

use std::time::{Duration, Instant};

/// The same for less than this is no matter: whole-second stamps, bursts, a scene in which nothing moves.
pub const FROZEN_AFTER: Duration = Duration::from_secs(10);
/// Fewer frames than this say nothing, however long they took: a picture a minute may well be like the one before.
pub const FROZEN_FRAMES: u32 = 5;

/// Follows one sign of one camera's frames, such as a fingerprint of the picture.
///
/// It is frozen from the frame on with which the same sign has been seen in at least [`FROZEN_FRAMES`] frames on end, the first and the
/// last at least [`FROZEN_AFTER`] apart, until a frame with another sign.
///
/// ```
/// use std::time::{Duration, Instant};
/// use framelog_core::frozen::Frozen;
///
/// let (mut frozen, start) = (Frozen::default(), Instant::now());
/// let mut see = |sign, second: u32| frozen.observe(sign, i64::from(second) * 1_000_000, start + Duration::from_secs(second.into()));
/// for second in 0..10 {
///     assert_eq!(see("picture", second), None);
/// }
/// assert_eq!(see("picture", 10), Some(0));
/// assert_eq!(see("another", 11), None);
/// ```
#[derive(Clone, Debug)]
pub struct Frozen<T> {
    same: Option<Same<T>>,
}

#[derive(Clone, Debug)]
struct Same<T> {
    sign: T,
    since_us: i64,
    since: Instant,
    frames: u32,
}

impl<T> Default for Frozen<T> {
    fn default() -> Self {
        Self { same: None }
    }
}

impl<T: PartialEq> Frozen<T> {
    /// A frame with this sign was received. Returns since when the camera is frozen, microseconds since the Unix epoch; `None` if it
    /// isn't.
    ///
    /// `received_us` is only what is told: how long it lasts is measured by `now`, which no one can set.
    pub fn observe(&mut self, sign: T, received_us: i64, now: Instant) -> Option<i64> {
        let same = match &mut self.same {
            Some(same) if same.sign == sign => same,
            same => same.insert(Same {
                sign,
                since_us: received_us,
                since: now,
                frames: 0,
            }),
        };
        same.frames = same.frames.saturating_add(1);
        let is_frozen = same.frames >= FROZEN_FRAMES
            && now.saturating_duration_since(same.since) >= FROZEN_AFTER;
        is_frozen.then_some(same.since_us)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is said of frames with these signs, so far apart.
    fn watched(signs: &[u8], apart: Duration) -> Vec<Option<i64>> {
        let (mut frozen, start) = (Frozen::default(), Instant::now());
        let see = |(n, &sign): (u32, &u8)| {
            let after = apart * n;
            frozen.observe(sign, after.as_micros() as i64, start + after)
        };
        (0..).zip(signs).map(see).collect()
    }

    #[test]
    fn the_same_for_ten_seconds_is_frozen_since_its_first_frame() {
        let seen = watched(&[1; 301], Duration::from_millis(40));
        assert!(seen[..250].iter().all(Option::is_none));
        assert!(seen[250..].iter().all(|&since| since == Some(0)));
    }

    #[test]
    fn few_frames_are_not_enough_however_long_they_take() {
        let seen = watched(&[1; 5], Duration::from_secs(60));
        assert_eq!(seen, [None, None, None, None, Some(0)]);
    }

    #[test]
    fn another_frame_ends_it_and_begins_the_count_anew() {
        let seen = watched(
            &[1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1],
            Duration::from_secs(3),
        );
        let at = |n: usize| Some(n as i64 * 3_000_000);
        let expected = [
            None,
            None,
            None,
            None,
            at(0),
            at(0),
            None,
            None,
            None,
            None,
            None,
            at(7),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_wall_clock_that_leaps_freezes_nothing() {
        let (mut frozen, now) = (Frozen::default(), Instant::now());
        for n in 0..20 {
            assert_eq!(frozen.observe(1, n * 3_600_000_000, now), None);
        }
    }

    proptest! {
        /// Against the definition, frame by frame.
        #[test]
        fn frozen_is_what_the_definition_says(
            frames in prop::collection::vec((0..3u8, 0..6_000u64), 1..60), wall: i32,
        ) {
            let (mut frozen, start) = (Frozen::default(), Instant::now());
            let mut at = Duration::ZERO;
            let mut past: Vec<(u8, Duration, i64)> = Vec::new();
            for (sign, pause_ms) in frames {
                at += Duration::from_millis(pause_ms);
                let received_us = i64::from(wall) + at.as_micros() as i64;
                past.push((sign, at, received_us));
                let same = past.iter().rev().take_while(|frame| frame.0 == sign).count();
                let (_, first, since_us) = past[past.len() - same];
                let expected = (same >= 5 && at - first >= Duration::from_secs(10)).then_some(since_us);
                prop_assert_eq!(frozen.observe(sign, received_us, start + at), expected);
            }
        }
    }
}
