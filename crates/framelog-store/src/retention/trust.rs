//! Whether this machine's clock may be believed when it says that footage is old: a dead battery may say 2099, and everything
//! would go; and whether it may when it says that footage is older than what was there before: a machine without a battery may say 1970.
//! Not for the cameras' clocks.

use std::time::{Duration, Instant};

/// A leap of the clock by more than this is not explained by running on.
const LEAP_US: i64 = 24 * 3_600 * 1_000_000;
/// After a leap nothing goes for its age for so long: time for a person, or the network, to set the clock right.
const REST: Duration = Duration::from_secs(3_600);

/// What is known of this machine's clock.
#[derive(Debug)]
pub(crate) struct Trust {
    /// The clock said so, at this moment.
    seen: Option<(i64, Instant)>,
    rests_until: Option<Instant>,
    is_said: bool,
    /// Of the segment that arrived last, as this machine's clock had it: its id, and when that was.
    newest: Option<(i64, i64)>,
}

/// Whether footage may go for its age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It may.
    Go,
    /// Not yet: for so long. `first` if this has not been said of this leap.
    Rest { left: Duration, first: bool },
}

impl Trust {
    /// Nothing is known of the clock, so nothing is held against it.
    pub fn new() -> Self {
        Self {
            seen: None,
            rests_until: None,
            is_said: false,
            newest: None,
        }
    }

    /// The id from which on segments are newer than they look, because the clock is a day or more behind what it has said before. They go last.
    pub fn spared_from(&self, now_us: i64) -> i64 {
        match self.newest {
            Some((id, received_us)) if received_us.saturating_sub(now_us) > LEAP_US => id + 1,
            _ => i64::MAX,
        }
    }

    /// What earlier sessions tell: (began, the session before it was last alive). A leap between two counts from the later one's start,
    /// so that a restart doesn't shorten the rest.
    pub fn learn(
        &mut self,
        sessions: &[(i64, Option<i64>)],
        newest: Option<(i64, i64)>,
        now_us: i64,
        now: Instant,
    ) {
        self.newest = newest;
        let rest_us = |&(began_us, alive_us): &(i64, Option<i64>)| {
            (began_us.saturating_sub(alive_us?) > LEAP_US).then(|| {
                i64::try_from(REST.as_micros()).unwrap_or(i64::MAX)
                    - now_us.saturating_sub(began_us)
            })
        };
        let left_us = sessions.iter().filter_map(rest_us).max().unwrap_or(0);
        if let Ok(left_us @ 1..) = u64::try_from(left_us) {
            self.rests_until = now.checked_add(Duration::from_micros(left_us).min(REST));
        }
        self.seen = Some((now_us, now));
    }

    /// Looks at the clock.
    pub fn verdict(&mut self, now_us: i64, now: Instant) -> Verdict {
        if let Some((seen_us, seen)) = self.seen.replace((now_us, now)) {
            let ran_us =
                i64::try_from(now.saturating_duration_since(seen).as_micros()).unwrap_or(i64::MAX);
            if now_us.saturating_sub(seen_us.saturating_add(ran_us)) > LEAP_US {
                self.rests_until = now.checked_add(REST);
                self.is_said = false;
            }
        }
        let left = self
            .rests_until
            .map(|until| until.saturating_duration_since(now))
            .unwrap_or_default();
        if left.is_zero() {
            self.rests_until = None;
            self.is_said = false;
            return Verdict::Go;
        }
        let first = !std::mem::replace(&mut self.is_said, true);
        Verdict::Rest { left, first }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_341_600_000_000;
    const YEAR: i64 = 365 * LEAP_US;

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_clock_that_runs_is_believed_and_one_that_leaps_is_not_for_an_hour() {
        let (mut trust, start) = (Trust::new(), Instant::now());
        trust.learn(&[(NOW, Some(NOW - 5_000_000))], None, NOW, start);
        assert_eq!(
            trust.verdict(NOW + 10_000_000, after(start, 10)),
            Verdict::Go
        );
        assert_eq!(
            trust.verdict(NOW + LEAP_US, after(start, 20)),
            Verdict::Go,
            "less than a day"
        );
        let leapt = NOW + YEAR;
        let rest = |left, first| Verdict::Rest {
            left: Duration::from_secs(left),
            first,
        };
        assert_eq!(trust.verdict(leapt, after(start, 30)), rest(3_600, true));
        assert_eq!(
            trust.verdict(leapt + 1_000_000_000, after(start, 1_030)),
            rest(2_600, false)
        );
        assert_eq!(
            trust.verdict(leapt + 3_600_000_000, after(start, 3_630)),
            Verdict::Go
        );
        assert_eq!(
            trust.verdict(NOW, after(start, 4_000)),
            Verdict::Go,
            "back is harmless"
        );
    }

    #[test]
    fn weeks_without_a_look_are_explained_by_running_on() {
        let (mut trust, start) = (Trust::new(), Instant::now());
        trust.learn(&[], None, NOW, start);
        assert_eq!(
            trust.verdict(NOW + 30 * LEAP_US, after(start, 30 * 86_400)),
            Verdict::Go
        );
    }

    #[test]
    fn a_leap_before_the_start_counts_and_a_restart_does_not_shorten_the_rest() {
        let (mut trust, start) = (Trust::new(), Instant::now());
        // It leapt before the last session, which began 10 min ago; this one is close behind it.
        let began = NOW - 600_000_000;
        trust.learn(
            &[(began, Some(began - YEAR)), (NOW, Some(NOW - 1))],
            None,
            NOW,
            start,
        );
        let left = Duration::from_secs(3_000);
        assert_eq!(
            trust.verdict(NOW, start),
            Verdict::Rest { left, first: true }
        );
        let mut trust = Trust::new();
        trust.learn(&[(NOW, None)], None, NOW, start);
        assert_eq!(
            trust.verdict(NOW, start),
            Verdict::Go,
            "a new index has nothing to lose"
        );
    }

    #[test]
    fn what_is_recorded_with_a_clock_that_is_behind_goes_last() {
        let mut trust = Trust::new();
        trust.learn(&[], Some((7, NOW)), NOW - YEAR, Instant::now());
        assert_eq!(trust.spared_from(NOW - YEAR), 8);
        assert_eq!(trust.spared_from(NOW - LEAP_US), i64::MAX);
        assert_eq!(trust.spared_from(NOW + 1), i64::MAX);
    }
}
