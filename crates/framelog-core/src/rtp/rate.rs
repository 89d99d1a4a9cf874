//! How long a tick of RTP time is. Not for finding out that it is another length than it should be.

/// A moment in RTP time and in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) ticks: i64,
    pub(super) us: i64,
}

/// Microseconds for ticks, as a fraction; neither part is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    us: i64,
    ticks: i64,
}

impl Rate {
    /// So many ticks in a second; 0 counts as 1.
    pub(super) fn nominal(clock_hz: u32) -> Self {
        Self {
            us: 1_000_000,
            ticks: i64::from(clock_hz.max(1)),
        }
    }

    /// The rate at which time went on from one point to another, if it did in both.
    pub(super) fn between(from: Point, to: Point) -> Option<Self> {
        let us = to.us.checked_sub(from.us).filter(|us| *us > 0)?;
        let ticks = to
            .ticks
            .checked_sub(from.ticks)
            .filter(|ticks| *ticks > 0)?;
        Some(Self { us, ticks })
    }

    /// Microseconds in so many ticks.
    pub(super) fn us(self, ticks: i64) -> i64 {
        let us = i128::from(ticks) * i128::from(self.us) / i128::from(self.ticks);
        i64::try_from(us).unwrap_or(if us > 0 { i64::MAX } else { i64::MIN })
    }

    /// Whether it is less far from `one` than from `other`.
    pub(super) fn is_nearer(self, one: Self, other: Self) -> bool {
        let off = |than: Self| self.us(COMPARED_TICKS).abs_diff(than.us(COMPARED_TICKS));
        off(one) < off(other)
    }

    /// Whether it differs from the other by no more than so many percent of that.
    pub(super) fn is_within(self, other: Self, percent: i128) -> bool {
        let here = i128::from(self.us) * i128::from(other.ticks);
        let there = i128::from(other.us) * i128::from(self.ticks);
        (here - there).abs() * 100 <= there * percent
    }
}

/// Rates are compared by how long so many ticks are.
const COMPARED_TICKS: i64 = 1 << 20;
/// How far two seconds in a row may differ to tell the same rate, percent.
const ALIKE_PERCENT: i128 = 10;
/// The stretch over which a rate is looked at.
const STRETCH_US: i64 = 1_000_000;

/// How many seconds in a row must tell the same rate.
const ALIKE: u32 = 2;
/// The same once a stream has run at the rate that it is taken for: a network or a recorder that falls behind for some seconds looks no
/// different.
const ALIKE_LATER: u32 = 6;

/// The rate by some seconds of arrivals in a row that tell the same one: good enough to see that a clock rate is quite wrong.
#[derive(Debug, Default)]
pub(super) struct Coarse {
    began: Option<Point>,
    before: Option<Rate>,
    alike: u32,
    proved: bool,
}

impl Coarse {
    /// The rate has been seen to be right.
    pub(super) fn prove(&mut self) {
        self.proved = true;
    }

    /// Takes an arrival. The rate, about once a second if it is steady.
    pub(super) fn observe(&mut self, arrival: Point) -> Option<Rate> {
        let began = *self.began.get_or_insert(arrival);
        if (0..STRETCH_US).contains(&arrival.us.saturating_sub(began.us)) {
            return None;
        }
        self.began = Some(arrival);
        let rate = Rate::between(began, arrival);
        let before = std::mem::replace(&mut self.before, rate);
        let is_alike = rate
            .zip(before)
            .is_some_and(|(rate, before)| rate.is_within(before, ALIKE_PERCENT));
        self.alike = if is_alike {
            self.alike.saturating_add(1)
        } else {
            1
        };
        let wanted = if self.proved { ALIKE_LATER } else { ALIKE };
        rate.filter(|_| self.alike >= wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_exact_and_bounded() {
        let rate = Rate::nominal(90_000);
        assert_eq!(rate.us(90_000 * 3600), 3_600_000_000);
        assert_eq!(rate.us(-9), -100);
        assert_eq!(rate.us(i64::MAX), i64::MAX);
        assert_eq!(Rate::nominal(0).us(1), 1_000_000);
    }

    #[test]
    fn a_rate_is_found_between_two_points() {
        let point = |ticks, us| Point { ticks, us };
        let rate = Rate::between(point(0, 5), point(900, 1_000_005)).unwrap();
        assert_eq!(rate.us(9), 10_000);
        assert_eq!(Rate::between(point(0, 5), point(0, 9)), None);
        assert_eq!(Rate::between(point(i64::MIN, 5), point(i64::MAX, 9)), None);
        assert!(Rate::nominal(90_000).is_within(Rate::nominal(89_500), 1));
        assert!(!Rate::nominal(90_000).is_within(Rate::nominal(75_600), 1));
    }
}
