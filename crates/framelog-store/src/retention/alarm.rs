//! When protection leaves too little room: said long before nothing may go, and again and again once nothing may. Not for the rules.

use std::time::{Duration, Instant};

/// Protected footage, in per cent of what the rules leave for footage, at which a person is warned.
const LEVELS: [u64; 3] = [50, 75, 90];
/// That nothing may go is said this often.
const REPEAT: Duration = Duration::from_secs(600);

/// What has been said.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    /// The highest level that was warned of.
    warned: u64,
    starved: Option<Instant>,
}

impl Alarm {
    /// The level that protected footage has reached, if that is to be said now.
    pub fn level(&mut self, protected: u64, room: u64) -> Option<u64> {
        let percent = u128::from(protected) * 100 / u128::from(room.max(1));
        let reached = LEVELS
            .into_iter()
            .rfind(|&level| percent >= u128::from(level))
            .unwrap_or(0);
        let is_higher = reached > self.warned;
        self.warned = reached;
        is_higher.then_some(reached)
    }

    /// Something must go and nothing may: whether that is to be said now.
    pub fn starves(&mut self, now: Instant) -> bool {
        let is_due = self
            .starved
            .is_none_or(|said| now.saturating_duration_since(said) >= REPEAT);
        if is_due {
            self.starved = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_is_said_once_and_again_after_it_was_left() {
        let mut alarm = Alarm::default();
        let said: Vec<_> = [10, 49, 50, 60, 80, 76, 95, 100, 10, 55]
            .map(|protected| alarm.level(protected, 100))
            .into();
        let expected = [
            None,
            None,
            Some(50),
            None,
            Some(75),
            None,
            Some(90),
            None,
            None,
            Some(50),
        ];
        assert_eq!(said, expected);
        assert_eq!(Alarm::default().level(1, 0), Some(90), "no room at all");
    }

    #[test]
    fn starving_is_said_at_once_and_every_ten_minutes() {
        let (mut alarm, start) = (Alarm::default(), Instant::now());
        let said = [0, 1, 599, 600, 601].map(|s| alarm.starves(start + Duration::from_secs(s)));
        assert_eq!(said, [true, false, false, true, false]);
    }
}
