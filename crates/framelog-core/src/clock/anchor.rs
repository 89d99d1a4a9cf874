//! The least delay of late: what ties a camera's clock to ours. Not for what is done with it.

/// Length of a bucket: the minimum is over the last one to two of them, so that it follows drift.
const BUCKET_US: u64 = 60_000_000;

/// The minimum of arrival minus stamp over the last 60 to 120 s. A network only ever delays, so that the least delayed
/// frame tells the difference of the clocks best.
#[derive(Clone, Copy, Debug)]
pub(super) struct Anchor {
    before_us: i64,
    now_us: i64,
    bucket_began_us: i64,
}

impl Anchor {
    pub(super) fn new(delay_us: i64, received_us: i64) -> Self {
        Self {
            before_us: delay_us,
            now_us: delay_us,
            bucket_began_us: received_us,
        }
    }

    pub(super) fn observe(&mut self, delay_us: i64, received_us: i64) {
        if received_us.abs_diff(self.bucket_began_us) > BUCKET_US {
            *self = Self {
                before_us: self.now_us,
                now_us: delay_us,
                bucket_began_us: received_us,
            };
        } else {
            self.now_us = self.now_us.min(delay_us);
        }
    }

    pub(super) fn least_us(&self) -> i64 {
        self.before_us.min(self.now_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_delay_is_forgotten_after_one_to_two_minutes() {
        let mut anchor = Anchor::new(50, 0);
        let mut least = |seconds: i64, delay_us| {
            anchor.observe(delay_us, seconds * 1_000_000);
            anchor.least_us()
        };
        assert_eq!(least(1, 70), 50);
        assert_eq!(least(2, 40), 40);
        assert_eq!(least(61, 60), 40);
        assert_eq!(least(121, 60), 40);
        assert_eq!(least(122, 80), 60);
        assert_eq!(least(183, 80), 80);
    }
}
