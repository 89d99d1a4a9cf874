//! A time by which something must have happened, put off each time it has. Not for what follows when it passes.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Putting it off sets no timer: the one that is set fires too early, and only then goes on. A timer for each read would be moved among those
/// of a thousand cameras ten times a second.
#[derive(Debug)]
pub struct Deadline {
    at: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Deadline {
    /// So long from now.
    pub fn after(patience: Duration) -> Self {
        let at = Instant::now() + patience;
        Self {
            at,
            timer: Box::pin(sleep_until(at)),
        }
    }

    /// Sets another time.
    pub fn set(&mut self, at: Instant) {
        self.at = at;
        if at < self.timer.deadline() {
            self.timer.as_mut().reset(at);
        }
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.at <= Instant::now()
    }

    /// Waits until it is over.
    pub async fn passed(&mut self) {
        loop {
            self.timer.as_mut().await;
            if self.is_over() {
                return;
            }
            self.timer.as_mut().reset(self.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_passes_at_the_time_that_was_set_last() {
        let ms = Duration::from_millis;
        let mut deadline = Deadline::after(ms(20));
        let fires_at = deadline.timer.deadline();
        for put_off in [20, 40, 40] {
            deadline.set(fires_at + ms(put_off));
            assert_eq!(deadline.timer.deadline(), fires_at);
        }
        deadline.passed().await;
        assert!(Instant::now() >= fires_at + ms(40) && deadline.is_over());
        deadline.set(Instant::now() + Duration::from_secs(3600));
        assert!(!deadline.is_over());
    }

    #[tokio::test]
    async fn a_time_before_the_one_that_was_set_is_kept_too() {
        let mut deadline = Deadline::after(Duration::from_secs(3600));
        deadline.set(Instant::now());
        deadline.passed().await;
    }
}
