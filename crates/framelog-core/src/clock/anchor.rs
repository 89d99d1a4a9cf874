//! The least delay of late: what ties a camera's clock to ours. Not for what is done with it.

/// How long delays count at least; at most twice as long, so that the least of them follows drift.
const LATE_US: u64 = 60_000_000;
/// The same for those that show that a clock runs slow.
const RECENT_US: u64 = 5_000_000;
/// So much later than the least delay are all recent ones where that is long past.
const SLOW_US: i64 = 1_000_000;

/// The minimum of arrival minus stamp over the last 60 to 120 s. A network only ever delays, so that the least delayed
/// frame tells the difference of the clocks best.
#[derive(Clone, Copy, Debug)]
pub(super) struct Anchor {
    late: Least,
    recent: Least,
}

/// The minimum over the last one to two stretches of so many microseconds.
#[derive(Clone, Copy, Debug)]
struct Least {
    stretch_us: u64,
    before_us: i64,
    now_us: i64,
    began_us: i64,
}

impl Anchor {
    pub(super) fn new(delay_us: i64, received_us: i64) -> Self {
        Self {
            late: Least::new(LATE_US, delay_us, received_us),
            recent: Least::new(RECENT_US, delay_us, received_us),
        }
    }

    pub(super) fn observe(&mut self, delay_us: i64, received_us: i64) {
        self.late.observe(delay_us, received_us);
        self.recent.observe(delay_us, received_us);
    }

    pub(super) fn least_us(&self) -> i64 {
        self.late.us()
    }

    /// Forgets all but the last 5 to 10 s if even the least of their delays is a second more than the least of all, and they don't become less:
    /// a counter that runs slow (camera-quirks row 92) falls behind for good. What a network held back catches up.
    pub(super) fn follow_slow_clock(&mut self) {
        let recent_us = self.recent.us();
        let grows = self.recent.now_us >= self.recent.before_us;
        if grows && recent_us > self.least_us().saturating_add(SLOW_US) {
            self.late = Least::new(LATE_US, recent_us, self.recent.began_us);
        }
    }
}

impl Least {
    fn new(stretch_us: u64, delay_us: i64, received_us: i64) -> Self {
        Self {
            stretch_us,
            before_us: delay_us,
            now_us: delay_us,
            began_us: received_us,
        }
    }

    fn observe(&mut self, delay_us: i64, received_us: i64) {
        if received_us.abs_diff(self.began_us) > self.stretch_us {
            self.before_us = self.now_us;
            self.now_us = delay_us;
            self.began_us = received_us;
        } else {
            self.now_us = self.now_us.min(delay_us);
        }
    }

    fn us(&self) -> i64 {
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

    #[test]
    fn delays_that_grow_for_good_count_after_some_seconds_and_those_that_shrink_do_not() {
        // A fifth slower; and a network that brings in 15 s what it held back for 10.
        let slow = |second: i64| second * 200_000;
        let stalled = |second: i64| {
            if second < 10 {
                0
            } else {
                (25 - second) * 1_000_000
            }
        };
        let cases: [(&dyn Fn(i64) -> i64, bool); 2] = [(&slow, true), (&stalled, false)];
        for (delay_us, follows) in cases {
            let mut anchor = Anchor::new(0, 0);
            for second in 1..25 {
                anchor.observe(delay_us(second), second * 1_000_000);
                anchor.follow_slow_clock();
            }
            let behind_us = delay_us(24) - anchor.least_us();
            assert!(!follows || behind_us < 3_000_000, "{behind_us}");
            assert!(follows || anchor.least_us() == 0);
        }
    }
}
