//! Which ends of connections are worth a line: a log that can be left on for a year. Pure: the time is an argument.

use std::time::{Duration, Instant};

/// Between the first two lines about one camera's failures; doubled from line to line.
const INTERVAL_FIRST: Duration = Duration::from_secs(60);
/// Between two lines about one camera's failures, at most: 52,560 lines a year.
const INTERVAL_LONGEST: Duration = Duration::from_secs(600);
/// Between two lines about streams that ended well, which some cameras do every few seconds (camera-quirks row 64).
const INTERVAL_ENDED_WELL: Duration = Duration::from_secs(3600);

/// What was said of one camera's failures, and what not yet.
#[derive(Debug)]
pub struct FailureLog {
    failures: Repeats,
    /// Streams that ended well and are taken up again.
    ends: Repeats,
    /// When pictures came again.
    recording_since: Option<Instant>,
    /// Connections that ended since the last line about recording.
    ended: u32,
    /// The next pictures need a line about recording: there was none yet, or an end was said since.
    is_due: bool,
}

/// One kind of line, its repeats counted.
#[derive(Debug)]
struct Repeats {
    said_at: Option<Instant>,
    interval: Duration,
    /// Since the last line.
    unsaid: u32,
}

impl Repeats {
    fn new() -> Self {
        Self {
            said_at: None,
            interval: Duration::ZERO,
            unsaid: 0,
        }
    }

    /// It happened. Returns how often since the last line if it is time for one; the next is due after `next` of the interval before.
    fn count(&mut self, now: Instant, next: impl FnOnce(Duration) -> Duration) -> Option<u32> {
        self.unsaid = self.unsaid.saturating_add(1);
        if self
            .said_at
            .is_some_and(|at| now.saturating_duration_since(at) < self.interval)
        {
            return None;
        }
        self.said_at = Some(now);
        self.interval = next(self.interval);
        Some(std::mem::take(&mut self.unsaid))
    }
}

impl FailureLog {
    /// Nothing happened yet.
    pub fn new() -> Self {
        Self {
            failures: Repeats::new(),
            ends: Repeats::new(),
            recording_since: None,
            ended: 0,
            is_due: true,
        }
    }

    /// A connection failed. Returns how many failed since the last line if it is time for one: the first at once, then more and more
    /// seldom, until the camera has recorded for as long as the pause between two lines.
    pub fn failed(&mut self, now: Instant) -> Option<u32> {
        let recorded = self
            .recording_since
            .take()
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        if recorded > Duration::ZERO && recorded >= self.failures.interval {
            self.failures = Repeats::new();
        }
        let times = self.failures.count(now, |interval| {
            (interval * 2).clamp(INTERVAL_FIRST, INTERVAL_LONGEST)
        });
        self.ended(times)
    }

    /// A stream ended well. Returns how many did since the last line if it is time for one: the first at once, then one an hour.
    pub fn ended_well(&mut self, now: Instant) -> Option<u32> {
        let times = self.ends.count(now, |_| INTERVAL_ENDED_WELL);
        self.ended(times)
    }

    fn ended(&mut self, times: Option<u32>) -> Option<u32> {
        self.ended = self.ended.saturating_add(1);
        self.is_due |= times.is_some();
        times
    }

    /// Pictures came. Returns how many connections ended since the last line about it if this needs a line: the first time, and after an
    /// end that had one.
    pub fn recovered(&mut self, now: Instant) -> Option<u32> {
        self.recording_since.get_or_insert(now);
        std::mem::take(&mut self.is_due).then(|| std::mem::take(&mut self.ended))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn first_failure_is_said_at_once_then_more_and_more_seldom_with_the_count() {
        let start = Instant::now();
        let mut log = FailureLog::new();
        let lines: Vec<_> = (0..2_200)
            .filter_map(|s| Some((s, log.failed(after(start, s))?)))
            .collect();
        assert_eq!(
            lines,
            [
                (0, 1),
                (60, 60),
                (180, 120),
                (420, 240),
                (900, 480),
                (1_500, 600),
                (2_100, 600)
            ]
        );
    }

    #[test]
    fn recovery_is_said_once_and_only_after_a_failure_that_was_said() {
        let start = Instant::now();
        let mut log = FailureLog::new();
        assert_eq!(log.recovered(start), Some(0));
        assert_eq!(log.recovered(start), None);
        assert_eq!(log.failed(start), Some(1));
        assert_eq!(log.recovered(start), Some(1));
        assert_eq!(log.failed(after(start, 1)), None);
        assert_eq!(log.recovered(after(start, 1)), None);
        assert_eq!(log.failed(after(start, 60)), Some(2));
        assert_eq!(log.recovered(after(start, 60)), Some(2));
    }

    #[test]
    fn the_first_pictures_tell_of_the_failures_before_them() {
        let start = Instant::now();
        let mut log = FailureLog::new();
        let _ = log.failed(start);
        let _ = log.failed(after(start, 1));
        assert_eq!(log.recovered(after(start, 2)), Some(2));
    }

    #[test]
    fn failure_after_a_stream_that_ended_well_is_said_at_once() {
        let start = Instant::now();
        let mut log = FailureLog::new();
        assert_eq!(log.ended_well(start), Some(1));
        assert_eq!(log.failed(start), Some(1));
    }

    #[test]
    fn failure_of_a_camera_that_recorded_for_long_is_said_at_once() {
        let start = Instant::now();
        let mut log = FailureLog::new();
        for s in 0..2_000 {
            let _ = log.failed(after(start, s));
        }
        log.recovered(after(start, 2_000));
        assert_eq!(log.failed(after(start, 2_600)), Some(1));
    }

    #[test]
    fn streams_that_end_every_few_seconds_make_one_line_an_hour() {
        let start = Instant::now();
        let mut log = FailureLog::new();
        let lines: Vec<_> = (0..7_200)
            .step_by(20)
            .filter_map(|s| Some((s, log.ended_well(after(start, s))?)))
            .collect();
        assert_eq!(lines, [(0, 1), (3_600, 180)]);
    }
}
