//! Which ends of connections are worth a line: a log that can be left on for a year. Pure: the time is an argument.

use std::time::{Duration, Instant};

/// Between two lines about one camera's failures, at least.
const INTERVAL: Duration = Duration::from_secs(60);

/// What was said of one camera's failures, and what not yet.
#[derive(Debug, Default)]
pub struct FailureLog {
    said_at: Option<Instant>,
    /// Failures since the last line about them.
    unsaid: u32,
    /// Failures since the last line about recording; `None` if there was no such line yet.
    failing: Option<u32>,
    /// Whether a failure was said since then.
    said: bool,
}

impl FailureLog {
    /// A connection ended. Returns how many ended since the last line if it is time for one: the first at once, then one a minute.
    pub fn failed(&mut self, now: Instant) -> Option<u32> {
        self.unsaid = self.unsaid.saturating_add(1);
        self.failing = self.failing.map(|count| count.saturating_add(1));
        if self
            .said_at
            .is_some_and(|at| now.saturating_duration_since(at) < INTERVAL)
        {
            return None;
        }
        self.said_at = Some(now);
        self.said = true;
        Some(std::mem::take(&mut self.unsaid))
    }

    /// Pictures came. Returns how many connections ended since the last line about it if this needs a line: the first time, and after a
    /// failure that had one.
    pub fn recovered(&mut self) -> Option<u32> {
        if self.failing.is_some() && !self.said {
            return None;
        }
        self.said = false;
        Some(self.failing.replace(0).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_failure_is_said_at_once_then_one_line_a_minute_with_the_count() {
        let start = Instant::now();
        let mut log = FailureLog::default();
        let lines: Vec<_> = (0..180)
            .filter_map(|s| Some((s, log.failed(start + Duration::from_secs(s))?)))
            .collect();
        assert_eq!(lines, [(0, 1), (60, 60), (120, 60)]);
    }

    #[test]
    fn recovery_is_said_once_and_only_after_a_failure_that_was_said() {
        let start = Instant::now();
        let mut log = FailureLog::default();
        assert_eq!(log.recovered(), Some(0));
        assert_eq!(log.recovered(), None);
        assert_eq!(log.failed(start), Some(1));
        assert_eq!(log.recovered(), Some(1));
        assert_eq!(log.failed(start + Duration::from_secs(1)), None);
        assert_eq!(log.recovered(), None);
        assert_eq!(log.failed(start + Duration::from_secs(61)), Some(2));
        assert_eq!(log.recovered(), Some(2));
    }
}
