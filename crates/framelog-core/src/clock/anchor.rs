//! The least delay of late: what ties a camera's clock to ours. Not for what is done with it.

/// How long delays count at least; at most twice as long, so that the least of them follows drift.
const LATE_US: i64 = 60_000_000;
/// The same for those that show that a clock runs slow.
const RECENT_US: i64 = 5_000_000;
/// So much later than the least delay are all recent ones where that is long past.
const SLOW_US: i64 = 1_000_000;
/// By so much the least delay grows from one recent stretch to the next where a clock runs slow: by 2 %. In a network whose buffers are full it
/// goes up and down.
const GROWTH_US: i64 = 100_000;
/// So many stretches in a row, 30 s, it must do so: what is held back on the way fills buffers sooner.
const GROWN_STRETCHES: u32 = 6;
/// What is no time at all, but the number of the picture, say, lets the least delay grow by more than this part of the time,
const ASTRAY_PART: i64 = 4;
/// for so long, which is more than cameras and networks hold back,
const ASTRAY_US: i64 = 30_000_000;
/// in so many stretches.
const ASTRAY_STRETCHES: u32 = 2;

/// The minimum of arrival minus stamp over the last 60 to 120 s. A network only ever delays, so that the least delayed
/// frame tells the difference of the clocks best.
#[derive(Clone, Copy, Debug)]
pub(super) struct Anchor {
    late: Least,
    recent: Least,
    /// No recent stretch has ended, so that there is none to compare the next with.
    is_first: bool,
    /// So many recent stretches in a row have had delays that grew.
    grown: u32,
    /// So many of these by as much as no time does,
    astray: u32,
    /// and for so long.
    astray_us: i64,
    /// The least delay that was forgotten for a slow clock, as of the last time.
    forgotten_us: Option<i64>,
    /// Delays became as small again: it was the network that was slow.
    was_network: bool,
    /// They became smaller by a second and more, as those of no counter do that is too slow.
    caught_up: bool,
}

/// The minimum over the last one to two stretches of so many microseconds.
#[derive(Clone, Copy, Debug)]
struct Least {
    stretch_us: i64,
    before_us: i64,
    now_us: i64,
    began_us: i64,
}

impl Anchor {
    pub(super) fn new(delay_us: i64, received_us: i64) -> Self {
        Self {
            late: Least::new(LATE_US, delay_us, received_us),
            recent: Least::new(RECENT_US, delay_us, received_us),
            is_first: true,
            grown: 0,
            astray: 0,
            astray_us: 0,
            forgotten_us: None,
            was_network: false,
            caught_up: false,
        }
    }

    /// The clock jumped: only what was learnt of the network is kept.
    pub(super) fn restart(&mut self, delay_us: i64, received_us: i64) {
        self.note_network(delay_us);
        *self = Self {
            astray: self.astray,
            astray_us: self.astray_us,
            caught_up: self.caught_up,
            forgotten_us: self.forgotten_us,
            was_network: self.was_network,
            ..Self::new(delay_us, received_us)
        };
    }

    pub(super) fn observe(&mut self, delay_us: i64, received_us: i64) {
        self.note_network(delay_us);
        self.late.observe(delay_us, received_us);
        let before_us = self.recent.before_us;
        let Some(lasted_us) = self.recent.observe(delay_us, received_us) else {
            return;
        };
        if !std::mem::take(&mut self.is_first) {
            let was_astray = self.is_astray();
            let growth_us = self.recent.before_us.saturating_sub(before_us);
            self.grown = counted(self.grown, growth_us > GROWTH_US);
            self.astray = counted(self.astray, growth_us > lasted_us / ASTRAY_PART);
            self.astray_us = match self.astray {
                0 => 0,
                _ => self.astray_us.saturating_add(lasted_us),
            };
            self.caught_up |= growth_us < -SLOW_US && !was_astray;
        }
    }

    /// Whether the stamps are worth nothing, because they go on by much less than time does.
    pub(super) fn is_astray(&self) -> bool {
        self.astray >= ASTRAY_STRETCHES && self.astray_us >= ASTRAY_US && !self.caught_up
    }

    pub(super) fn least_us(&self) -> i64 {
        self.late.us()
    }

    /// Forgets all but the last 5 to 10 s if even the least of their delays is a second more than the least of all, and they have grown for long: a
    /// counter that runs slow (camera-quirks row 92) falls behind for good. What a network held back catches up; where it has done so once after all
    /// that, nothing is forgotten any more.
    pub(super) fn follow_slow_clock(&mut self) {
        let recent_us = self.recent.us();
        let is_behind = recent_us > self.least_us().saturating_add(SLOW_US);
        if is_behind && self.grown >= GROWN_STRETCHES && !self.was_network {
            self.forgotten_us = Some(self.least_us());
            self.late = Least::new(LATE_US, recent_us, self.recent.began_us);
        }
    }

    fn note_network(&mut self, delay_us: i64) {
        self.was_network |= self
            .forgotten_us
            .is_some_and(|us| delay_us < us.saturating_add(SLOW_US));
    }
}

/// One more in a row, or none.
fn counted(before: u32, goes_on: bool) -> u32 {
    match goes_on {
        true => before.saturating_add(1),
        false => 0,
    }
}

impl Least {
    fn new(stretch_us: i64, delay_us: i64, received_us: i64) -> Self {
        Self {
            stretch_us,
            before_us: delay_us,
            now_us: delay_us,
            began_us: received_us,
        }
    }

    /// How long the stretch lasted, where a new one begins.
    fn observe(&mut self, delay_us: i64, received_us: i64) -> Option<i64> {
        let lasted_us = received_us.saturating_sub(self.began_us).saturating_abs();
        if lasted_us <= self.stretch_us {
            self.now_us = self.now_us.min(delay_us);
            return None;
        }
        self.before_us = self.now_us;
        self.now_us = delay_us;
        self.began_us = received_us;
        Some(lasted_us)
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

    /// How far behind the last delay the least is, when delays have come for so many seconds.
    fn behind_us(seconds: i64, delay_us: impl Fn(i64) -> i64) -> i64 {
        let mut anchor = Anchor::new(delay_us(0), 0);
        for second in 1..=seconds {
            anchor.observe(delay_us(second), second * 1_000_000);
            anchor.follow_slow_clock();
        }
        delay_us(seconds) - anchor.least_us()
    }

    #[test]
    fn delays_that_grow_for_good_count_after_half_a_minute() {
        for seconds in [45, 60, 300] {
            let behind_us = behind_us(seconds, |second| second * 200_000);
            assert!(behind_us < 3_000_000, "{behind_us}");
        }
    }

    #[test]
    fn delays_of_a_network_that_catches_up_do_not_count() {
        // One that brings in 15 s what it held back for 10, and one with less than it needs for 20 s.
        let stalled = |second: i64| {
            if second < 10 {
                0
            } else {
                (25 - second) * 1_000_000
            }
        };
        assert_eq!(behind_us(24, stalled), stalled(24));
        let congested = |second: i64| (second * 200_000).min(4_000_000);
        for seconds in 0..60 {
            assert_eq!(behind_us(seconds, congested), congested(seconds));
        }
    }

    #[test]
    fn delays_that_grew_for_long_and_shrank_again_do_not_count_when_they_grow_anew() {
        let congested = |second: i64| (second % 60).min((60 - second % 60) * 4) * 200_000;
        assert!(behind_us(47, congested) < 3_000_000);
        assert_eq!(behind_us(107, congested), congested(107));
    }
}
