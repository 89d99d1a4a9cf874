//! How long to wait before the next try. Not for whether to try: that is the supervisor's.

use std::time::Duration;

/// Exponential backoff with full jitter.
///
/// Before try `n` (from 1) the delay is uniform between `first` and `min(longest, first · 2ⁿ)`: cameras that lost
/// their switch together don't come back together, and none is asked more often than every `first`.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    attempts: u32,
}

impl Backoff {
    /// Delays lie between `first` and a bound that doubles with each attempt, up to `longest`; `longest` wins over `first`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first: first.min(longest),
            longest,
            attempts: 0,
        }
    }

    /// The delay before the next try. `random` is uniform in 0..=u32::MAX and comes from the caller.
    pub fn next_delay(&mut self, random: u32) -> Duration {
        self.attempts = self.attempts.saturating_add(1);
        let doubled = 1u32.checked_shl(self.attempts).unwrap_or(u32::MAX);
        let span = self
            .first
            .saturating_mul(doubled)
            .min(self.longest)
            .saturating_sub(self.first);
        // At most 2⁹⁴ ns times 2³²: fits.
        let jitter = span.as_nanos() * u128::from(random) / u128::from(u32::MAX);
        self.first + Duration::from_nanos_u128(jitter)
    }

    /// Tries since the last reset.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Back to the start, after healthy time.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIRST: Duration = Duration::from_millis(500);
    const LONGEST: Duration = Duration::from_secs(30);

    fn delays(random: u32, count: usize) -> Vec<u128> {
        let mut backoff = Backoff::new(FIRST, LONGEST);
        (0..count)
            .map(|_| backoff.next_delay(random).as_millis())
            .collect()
    }

    #[test]
    fn the_upper_bound_doubles_up_to_the_longest_delay() {
        assert_eq!(
            delays(u32::MAX, 8),
            [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]
        );
    }

    #[test]
    fn the_lower_bound_is_the_first_delay_always() {
        assert_eq!(delays(0, 8), [500; 8]);
    }

    #[test]
    fn the_delay_is_spread_evenly_between_the_bounds_from_the_first_try_on() {
        assert_eq!(delays(u32::MAX / 2, 3), [749, 1_249, 2_249]);
    }

    #[test]
    fn healthy_time_starts_anew() {
        let mut backoff = Backoff::new(FIRST, LONGEST);
        for _ in 0..10 {
            backoff.next_delay(u32::MAX);
        }
        assert_eq!(backoff.attempts(), 10);
        backoff.reset();
        assert_eq!(backoff.attempts(), 0);
        assert_eq!(backoff.next_delay(u32::MAX), 2 * FIRST);
    }

    #[test]
    fn no_number_of_attempts_overflows() {
        let mut backoff = Backoff {
            first: FIRST,
            longest: Duration::MAX,
            attempts: u32::MAX - 1,
        };
        for _ in 0..3 {
            assert!(backoff.next_delay(u32::MAX) >= FIRST);
        }
        assert_eq!(backoff.attempts(), u32::MAX);
    }

    proptest! {
        #[test]
        fn a_delay_lies_within_the_envelope(
            first: Duration, longest: Duration, randoms in proptest::collection::vec(any::<u32>(), 1..80)
        ) {
            let mut backoff = Backoff::new(first, longest);
            for random in randoms {
                let delay = backoff.next_delay(random);
                prop_assert!(delay >= first.min(longest) && delay <= longest);
            }
        }
    }
}
