//! How fast frames reach the disk, over the last half minute, or since there are any again: from samples of what was stored. Not for history.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use framelog_store::Counters;

/// Samples that are remembered; one is taken every 5 s.
const SAMPLES_MAX: usize = 7;
/// Over less time than this there is no rate.
const SPAN_MIN: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug, Default)]
pub struct Pace(VecDeque<Sample>);

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    frames: u64,
    bytes: u64,
}

/// What is stored in a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Frames.
    pub fps: f64,
    /// Bytes of their payloads.
    pub bytes_per_s: f64,
}

impl Pace {
    /// Begins anew at `now`: the time without frames before is not to count.
    pub fn restart(&mut self, now: Instant, counters: &Counters) {
        self.0.clear();
        self.sample(now, counters);
    }

    /// Remembers what is stored at `now`.
    pub fn sample(&mut self, now: Instant, counters: &Counters) {
        if self.0.len() == SAMPLES_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Sample {
            at: now,
            frames: counters.stored_frames,
            bytes: counters.stored_bytes,
        });
    }

    /// What was stored since the oldest sample; `None` when that is too near.
    pub fn rate(&self, now: Instant, counters: &Counters) -> Option<Rate> {
        let oldest = self.0.front()?;
        let span = now.saturating_duration_since(oldest.at);
        (span >= SPAN_MIN).then(|| {
            let in_a_second =
                |more: u64, less: u64| more.saturating_sub(less) as f64 / span.as_secs_f64();
            Rate {
                fps: in_a_second(counters.stored_frames, oldest.frames),
                bytes_per_s: in_a_second(counters.stored_bytes, oldest.bytes),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(stored_frames: u64) -> Counters {
        Counters {
            stored_frames,
            stored_bytes: stored_frames * 1_000,
            ..Counters::default()
        }
    }

    #[test]
    fn a_rate_is_that_of_the_last_half_minute() {
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let mut pace = Pace::default();
        assert_eq!(pace.rate(at(0), &counters(0)), None);
        // 10 frames a second for a minute, then none.
        for n in 0..24 {
            let seconds = n * 5;
            pace.sample(at(seconds), &counters(seconds.min(60) * 10));
            let rate = pace.rate(at(seconds + 3), &counters((seconds + 3).min(60) * 10));
            let fps = rate.map(|rate| rate.fps.round());
            match seconds {
                0..55 => assert_eq!(fps, Some(10.0), "{seconds}"),
                90.. => assert_eq!(fps, Some(0.0), "{seconds}"),
                _ => assert!(fps.is_some_and(|fps| fps <= 10.0), "{seconds}: {fps:?}"),
            }
        }
        assert_eq!(
            pace.rate(at(200), &counters(1_220))
                .map(|rate| rate.bytes_per_s > 5_000.0),
            Some(true)
        );
    }

    #[test]
    fn outage_does_not_count() {
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let mut pace = Pace::default();
        (0..4).for_each(|n| pace.sample(at(5 * n), &counters(0)));
        pace.restart(at(20), &counters(0));
        let rate = pace.rate(at(22), &counters(20));
        assert_eq!(rate.map(|rate| rate.fps), Some(10.0));
    }

    #[test]
    fn there_is_none_of_a_moment() {
        let begin = Instant::now();
        let mut pace = Pace::default();
        pace.sample(begin, &counters(0));
        assert_eq!(
            pace.rate(begin + Duration::from_secs(1), &counters(30)),
            None
        );
    }
}
