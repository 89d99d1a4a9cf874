//! The unit that a camera's stamps count in, which only their pace tells: `X-Timestamp: 123456` may be seconds, but also the milliseconds
//! (`millis()`) or microseconds (`esp_timer_get_time()`) that an ESP32 has been up. Not for what the stamps are worth.

/// So many of the units that there are make a second. A stamp that can be seconds is read as such.
const UNITS: [i64; 3] = [1, 1_000, 1_000_000];
/// What goes ahead faster than this many times time counts in a finer unit than seconds, or has leapt.
const FAST: i64 = 100;
/// Arrivals closer than this are one, for their pace.
const GRAIN_US: i64 = 10_000;
/// The pace is believed that stamps keep up for so long,
const MEASURE_US: i64 = 1_000_000;
/// and over so many strides: one alone may be a clock that is set.
const STRIDES: u32 = 2;

/// What is known of the unit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unit {
    /// How many of it make a second; `None` as long as nothing has shown.
    in_second: Option<i64>,
    run: Option<Run>,
}

/// Stamps that follow each other at one pace: all of them fast, or none.
#[derive(Clone, Copy, Debug)]
struct Run {
    began: Moment,
    last: Moment,
    strides: u32,
}

#[derive(Clone, Copy, Debug)]
struct Moment {
    stamp_us: i64,
    received_us: i64,
}

impl Unit {
    /// Takes the next stamp, as it was read. Whether it shows that the unit is not the one that was applied so far.
    pub(super) fn follow(&mut self, stamp_us: i64, received_us: i64) -> bool {
        let now = Moment {
            stamp_us,
            received_us,
        };
        let run = self.run.get_or_insert(Run::beginning(now));
        if stamp_us < run.last.stamp_us {
            *run = Run::beginning(now);
        }
        if stamp_us == run.last.stamp_us {
            return false;
        }
        let is_fast = now.pace_since(run.last) > FAST;
        if run.strides > 0 && is_fast != (run.pace() > FAST) {
            *run = Run::beginning(run.last);
        }
        run.last = now;
        run.strides += 1;
        if !is_fast {
            self.in_second.get_or_insert(1);
        }
        if run.strides < STRIDES || now.lived_since(run.began) < MEASURE_US {
            return false;
        }
        let found = unit_at(run.pace(), 2);
        *run = Run::beginning(now);
        found.is_some_and(|found| self.in_second.replace(found).unwrap_or(1) != found)
    }

    /// The stamp in microseconds.
    pub(super) fn apply(&self, stamp_us: i64) -> i64 {
        stamp_us / self.in_second.unwrap_or(1)
    }

    /// Whether the stamps go as those of a finer unit do, and nothing is certain yet.
    pub(super) fn is_in_doubt(&self) -> bool {
        let seems_finer = |run: Run| unit_at(run.pace(), 10).is_some_and(|unit| unit > 1);
        self.in_second.is_none() && self.run.is_some_and(seems_finer)
    }
}

impl Run {
    fn beginning(now: Moment) -> Self {
        Self {
            began: now,
            last: now,
            strides: 0,
        }
    }

    fn pace(&self) -> i64 {
        self.last.pace_since(self.began)
    }
}

impl Moment {
    fn lived_since(self, earlier: Self) -> i64 {
        self.received_us.saturating_sub(earlier.received_us)
    }

    /// How many times as fast as time the stamps went.
    fn pace_since(self, earlier: Self) -> i64 {
        self.stamp_us.saturating_sub(earlier.stamp_us) / self.lived_since(earlier).max(GRAIN_US)
    }
}

/// The unit whose stamps go at this pace, up to so many times faster or slower.
fn unit_at(pace: i64, times: i64) -> Option<i64> {
    UNITS
        .into_iter()
        .find(|unit| (unit / times..=unit * times).contains(&pace))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is made of stamps that were read as seconds, each with its arrival; microseconds.
    fn applied(moments: &[(i64, i64)]) -> Vec<i64> {
        let mut unit = Unit::default();
        let apply = |&(stamp_us, received_us): &(i64, i64)| {
            unit.follow(stamp_us, received_us);
            unit.apply(stamp_us)
        };
        moments.iter().map(apply).collect()
    }

    #[test]
    fn pace_of_a_second_tells_the_unit() {
        for unit in UNITS {
            let moments: Vec<_> = (1..=20)
                .map(|n| (n * 200_000 * unit, n * 200_000))
                .collect();
            let found = applied(&moments);
            assert_eq!(found[0], 200_000 * unit);
            assert_eq!(
                found[5..],
                (6..=20).map(|n| n * 200_000).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn one_leap_is_no_pace() {
        let leapt = |n: i64| n * 2_000_000 + if n > 3 { 2_000_000_000 } else { 0 };
        let moments: Vec<_> = (1..9).map(|n| (leapt(n), n * 2_000_000)).collect();
        assert_eq!(applied(&moments), (1..9).map(leapt).collect::<Vec<_>>());
    }

    #[test]
    fn frames_held_back_and_two_of_one_millisecond_change_nothing() {
        // Read as seconds; taken every 100 ms, of which those in the middle came late and at once, and one came twice.
        let arrivals = [
            1, 2, 3, 9, 9, 9, 9, 9, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
        ];
        let moments = (1..)
            .zip(arrivals)
            .map(|(n, at)| (n * 100_000_000, at * 100_000));
        let moments: Vec<_> = moments.flat_map(|moment| [moment, moment]).collect();
        assert_eq!(applied(&moments).last(), Some(&(21 * 100_000)));
    }

    #[test]
    fn a_counter_of_milliseconds_that_becomes_a_date_is_read_as_that() {
        // A date has so many digits that it is read in milliseconds at once.
        let date_us = 1_700_000_000_000_000;
        let uptime = (1..20).map(|n| (n * 100_000_000, n * 100_000));
        let date = (20..50).map(|n| (date_us + n * 100_000, n * 100_000));
        let moments: Vec<_> = uptime.chain(date).collect();
        assert_eq!(applied(&moments).last(), Some(&(date_us + 49 * 100_000)));
    }
}
