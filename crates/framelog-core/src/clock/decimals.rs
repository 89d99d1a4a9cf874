//! What the digits behind the point of a camera's stamps are: a fraction of a second, or a count of milli-, micro- or nanoseconds without the zeros
//! in front of it, where `12.5` is before `12.40` (`%d.%d` of a `timeval`: hybridgroup/mjpeg). Not for other ways to write a time.

use crate::timestamp::Written;

/// So often, as a fraction, the stamps must have gone back within a second in which they went ahead as a count.
const PROOFS: u32 = 3;

/// What is known of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Decimals {
    last: Option<Written>,
    proofs: u32,
    /// The most digits that came.
    digits: u32,
    /// There was a zero in front: no count has one.
    are_fractions: bool,
}

impl Decimals {
    /// Takes the next stamp: as it was read, and as it was written if not with six digits. Whether it shows that the digits are a count.
    pub(super) fn follow(&mut self, read_us: i64, written: Option<Written>) -> bool {
        if self.are_fractions {
            return false;
        }
        let now = written.unwrap_or(six_digits(read_us));
        if now.digits > 1 && now.count < 10i64.pow(now.digits - 1) {
            self.are_fractions = true;
            return false;
        }
        self.digits = self.digits.max(now.digits);
        let Some(last) = self.last.replace(now) else {
            return false;
        };
        if last.seconds != now.seconds || last.count >= now.count || fraction(last) <= fraction(now)
        {
            return false;
        }
        self.proofs = self.proofs.saturating_add(1);
        self.proofs == PROOFS
    }

    /// The stamp in microseconds, as it is meant.
    pub(super) fn apply(&self, read_us: i64, written: Option<Written>) -> i64 {
        if self.are_fractions || self.proofs < PROOFS {
            return read_us;
        }
        let written = written.unwrap_or(six_digits(read_us));
        let micros = match self.digits {
            3 => written.count * 1_000,
            6 => written.count,
            9 => written.count / 1_000,
            // Of nothing that clocks count.
            _ => return read_us,
        };
        written.seconds * 1_000_000 + micros
    }
}

fn six_digits(us: i64) -> Written {
    Written {
        seconds: us / 1_000_000,
        count: us % 1_000_000,
        digits: 6,
    }
}

/// Billionths of a second, if it is a fraction.
fn fraction(written: Written) -> i64 {
    written.count * 10i64.pow(9 - written.digits.min(9))
}

#[cfg(test)]
mod tests {
    use crate::header::Headers;
    use crate::timestamp::Stamp;

    use super::*;

    /// The stamps of a minute at 10 fps as this writes them, each as it was taken and as it is read after the first seconds.
    fn read(write: impl Fn(i64, i64) -> String) -> Vec<(i64, i64)> {
        let mut decimals = Decimals::default();
        let mut stamps = Vec::new();
        for n in 0..600 {
            let taken_us = 5_000_000_000 + n * 99_871;
            let text = write(taken_us / 1_000_000, taken_us % 1_000_000);
            let stamp = Stamp::read(&Headers::new(format!("X-Timestamp: {text}").into()));
            let read_us = stamp.stamp_us.unwrap();
            decimals.follow(read_us, stamp.written);
            stamps.push((taken_us, decimals.apply(read_us, stamp.written)));
        }
        stamps.split_off(100)
    }

    #[test]
    fn a_count_without_its_zeros_is_told_from_a_fraction() {
        type Write = fn(i64, i64) -> String;
        let counts: [(Write, i64); 3] = [
            (|s, us| format!("{s}.{us}"), 1),
            (|s, us| format!("{s}.{}", us / 1_000), 1_000),
            (|s, us| format!("{s}.{}", us * 1_000 + 7), 1),
        ];
        let fractions: [(Write, i64); 4] = [
            (|s, us| format!("{s}.{us:06}"), 1),
            (|s, us| format!("{s}.{:03}", us / 1_000), 1_000),
            (
                |s, us| format!("{s}.{us:06}").trim_end_matches('0').to_owned(),
                1,
            ),
            (|s, us| format!("{s}.{}", us / 100_000), 100_000),
        ];
        for (n, (write, grain)) in counts.into_iter().chain(fractions).enumerate() {
            for (taken_us, read_us) in read(write) {
                assert_eq!(read_us, taken_us / grain * grain, "{n}");
            }
        }
    }
}
