//! When a trouble that goes on is said in the log: at once, then now and then, and when it is certainly over. Not for what is said.

use std::time::{Duration, Instant};

/// What has worked for so long without failing works: on a full disk a small write succeeds now and then.
const CALM: Duration = Duration::from_secs(5);

/// One trouble.
#[derive(Debug)]
pub(crate) struct Outage {
    /// While it goes on it is said this often.
    every: Duration,
    said: Option<Instant>,
    failed: Option<Instant>,
}

impl Outage {
    /// None yet.
    pub fn new(every: Duration) -> Self {
        Self {
            every,
            said: None,
            failed: None,
        }
    }

    /// It failed: whether that is to be said now.
    pub fn failed(&mut self, now: Instant) -> bool {
        self.failed = Some(now);
        let is_due = self
            .said
            .is_none_or(|said| now.saturating_duration_since(said) >= self.every);
        if is_due {
            self.said = Some(now);
        }
        is_due
    }

    /// It worked: whether it is to be said now that the trouble is over.
    pub fn worked(&mut self, now: Instant) -> bool {
        let is_calm = |failed: &mut Instant| now.saturating_duration_since(*failed) >= CALM;
        self.failed.take_if(is_calm).is_some() && self.said.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_at_once_now_and_then_and_when_it_is_certainly_over() {
        let (mut outage, start) = (Outage::new(Duration::from_secs(60)), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!outage.worked(at(0)), "nothing was said");
        assert_eq!(
            [1, 2, 61].map(|s| outage.failed(at(s))),
            [true, false, true]
        );
        // Small writes succeed in between.
        assert!(!outage.worked(at(62)));
        assert!(!outage.failed(at(63)));
        assert_eq!(
            [67, 68, 69].map(|s| outage.worked(at(s))),
            [false, true, false]
        );
        assert!(outage.failed(at(70)), "another one");
    }
}
