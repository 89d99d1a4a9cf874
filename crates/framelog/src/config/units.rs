//! Durations and sizes as people write them: `30 days`, `1h 30m`, `2 TB`, `5 GiB`. Both ways. Not for which values a key admits.

use std::time::Duration;

/// A hundred years: a longer setting is a slip of the keyboard.
pub(super) const CENTURY: Duration = Duration::from_secs(36_500 * 86_400);

/// Why a text is no duration or size. The message says what would be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Nothing, or nothing that begins with a number.
    #[error("{0:?} does not begin with a number: write a number and a unit, such as {1:?}")]
    NoNumber(String, &'static str),
    /// A number alone.
    #[error("{0:?} has no unit: write a number and a unit, such as {1:?}")]
    NoUnit(String, &'static str),
    /// A part of something.
    #[error("{0:?}: percent can't be given here: write a number and a unit, such as {1:?}")]
    Percent(String, &'static str),
    /// `2,5 TB`.
    #[error("{0:?} has a comma in it: write a point, as in 2.5, and nothing between thousands")]
    Comma(String),
    /// A unit that is not known.
    #[error("{unit:?} is not a unit: use one of {known}")]
    UnknownUnit {
        /// As written.
        unit: String,
        /// The usual spellings.
        known: &'static str,
    },
    /// More than the program counts with.
    #[error("{0:?} is too large")]
    TooLarge(String),
}

/// A unit: its spellings in lower case, the usual one first, and its worth.
struct Unit {
    spellings: &'static [&'static str],
    worth: u64,
}

/// Worth in microseconds, the largest first.
const DURATIONS: [Unit; 8] = [
    Unit {
        spellings: &["years", "y", "year"],
        worth: 31_536_000_000_000,
    },
    Unit {
        spellings: &["weeks", "w", "week"],
        worth: 604_800_000_000,
    },
    Unit {
        spellings: &["days", "d", "day"],
        worth: 86_400_000_000,
    },
    Unit {
        spellings: &["h", "hr", "hour", "hours"],
        worth: 3_600_000_000,
    },
    Unit {
        spellings: &["min", "m", "mins", "minute", "minutes"],
        worth: 60_000_000,
    },
    Unit {
        spellings: &["s", "sec", "secs", "second", "seconds"],
        worth: 1_000_000,
    },
    Unit {
        spellings: &["ms", "millisecond", "milliseconds"],
        worth: 1_000,
    },
    Unit {
        spellings: &["us", "µs", "microsecond", "microseconds"],
        worth: 1,
    },
];

/// Worth in bytes.
const SIZES: [Unit; 11] = [
    Unit {
        spellings: &["PiB", "pib"],
        worth: 1 << 50,
    },
    Unit {
        spellings: &["PB", "pb"],
        worth: 1_000_000_000_000_000,
    },
    Unit {
        spellings: &["TiB", "tib"],
        worth: 1 << 40,
    },
    Unit {
        spellings: &["TB", "tb"],
        worth: 1_000_000_000_000,
    },
    Unit {
        spellings: &["GiB", "gib"],
        worth: 1 << 30,
    },
    Unit {
        spellings: &["GB", "gb"],
        worth: 1_000_000_000,
    },
    Unit {
        spellings: &["MiB", "mib"],
        worth: 1 << 20,
    },
    Unit {
        spellings: &["MB", "mb"],
        worth: 1_000_000,
    },
    Unit {
        spellings: &["KiB", "kib"],
        worth: 1 << 10,
    },
    Unit {
        spellings: &["kB", "kb"],
        worth: 1_000,
    },
    Unit {
        spellings: &["B", "b", "byte", "bytes"],
        worth: 1,
    },
];

/// What a person would write for each.
const DURATION_EXAMPLE: &str = "10 s";
const SIZE_EXAMPLE: &str = "5 GB";
const DURATIONS_KNOWN: &str = "us, ms, s, min, h, days, weeks, years";
const SIZES_KNOWN: &str = "B, kB, MB, GB, TB, PB, KiB, MiB, GiB, TiB, PiB";

/// Reads a duration: one or more numbers with units, added up. A year has 365 days. Resolution: a microsecond.
///
/// # Errors
/// No number, no unit, an unknown unit, or more than 2^63 microseconds. Negative durations begin with no number.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let us = parse(text, &DURATIONS, DURATION_EXAMPLE, DURATIONS_KNOWN)?;
    match i64::try_from(us) {
        Ok(_) => Ok(Duration::from_micros(us)),
        Err(_) => Err(UnitError::TooLarge(text.to_owned())),
    }
}

/// Reads a size in bytes: `2 TB` is decimal, `2 TiB` binary.
///
/// # Errors
/// As [`parse_duration`]; more than 2^64 − 1 bytes.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    parse(text, &SIZES, SIZE_EXAMPLE, SIZES_KNOWN)
}

/// Writes a duration so that [`parse_duration`] reads the same: `1 h 30 min`. Parts of a microsecond are left out.
pub fn format_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let mut words = Vec::new();
    // Years and weeks are read but not written: "30 days" is clearer than "4 weeks 2 days".
    for unit in &DURATIONS[2..] {
        let count = rest / unit.worth;
        rest %= unit.worth;
        match (count, unit.spellings[0]) {
            (0, _) => {}
            (1, "days") => words.push("1 day".to_owned()),
            (_, spelling) => words.push(format!("{count} {spelling}")),
        }
    }
    if words.is_empty() {
        "0 s".to_owned()
    } else {
        words.join(" ")
    }
}

/// Writes a size exactly, with the largest unit that divides it: `2 TB`, `1536 MiB`.
pub fn format_size(bytes: u64) -> String {
    SIZES
        .iter()
        .filter(|unit| bytes > 0 && bytes.is_multiple_of(unit.worth))
        .map(|unit| format!("{} {}", bytes / unit.worth, unit.spellings[0]))
        .min_by_key(String::len)
        .unwrap_or_else(|| "0 B".to_owned())
}

fn parse(
    text: &str,
    units: &[Unit],
    example: &'static str,
    known: &'static str,
) -> Result<u64, UnitError> {
    let mut rest = text.trim();
    let mut total: u64 = 0;
    loop {
        let (number, after) = split_while(rest, |c| c.is_ascii_digit() || c == '.');
        if !number.starts_with(|c: char| c.is_ascii_digit()) || number.matches('.').count() > 1 {
            return Err(UnitError::NoNumber(text.to_owned(), example));
        }
        let after = after.trim_start();
        if after.starts_with('%') {
            return Err(UnitError::Percent(text.to_owned(), example));
        }
        if after.starts_with(',') {
            return Err(UnitError::Comma(text.to_owned()));
        }
        let (name, after) = split_while(after, char::is_alphabetic);
        if name.is_empty() {
            return Err(UnitError::NoUnit(text.to_owned(), example));
        }
        let unit = find(units, name).ok_or_else(|| UnitError::UnknownUnit {
            unit: name.to_owned(),
            known,
        })?;
        total = times(number, unit.worth)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(|| UnitError::TooLarge(text.to_owned()))?;
        rest = after.trim_start();
        if rest.is_empty() {
            return Ok(total);
        }
    }
}

fn split_while(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

fn find<'u>(units: &'u [Unit], name: &str) -> Option<&'u Unit> {
    let name = name.to_lowercase();
    units.iter().find(|unit| {
        unit.spellings
            .iter()
            .any(|spelling| spelling.to_lowercase() == name)
    })
}

/// A decimal number times a whole one, rounded down; exact, without floats. `None` if it is too large or no number.
fn times(number: &str, worth: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    // Further digits can't change the result by a whole unit of anything that a person would write.
    let fraction = fraction.get(..fraction.len().min(15))?;
    let scale = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let fraction = if fraction.is_empty() {
        0
    } else {
        fraction.parse::<u128>().ok()?
    };
    let whole = whole.parse::<u64>().ok()?.checked_mul(worth)?;
    let part = u64::try_from(fraction * u128::from(worth) / scale).ok()?;
    whole.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, us) in [
            ("10 s", 10_000_000),
            ("500ms", 500_000),
            ("1 min", 60_000_000),
            ("1h 30m", 5_400_000_000),
            ("1.5 hours", 5_400_000_000),
            (" 2  Days ", 172_800_000_000),
            ("30 days", 2_592_000_000_000),
            ("1 year", 31_536_000_000_000),
            ("0 s", 0),
            ("7us", 7),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_micros(us)),
                "{text}"
            );
        }
    }

    #[test]
    fn sizes_are_decimal_unless_they_say_binary() {
        for (text, bytes) in [
            ("2 TB", 2_000_000_000_000),
            ("5 GiB", 5 << 30),
            ("1.5 kB", 1_500),
            ("10 kb", 10_000),
            ("1 B", 1),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_or_size_is_refused_with_a_remedy() {
        for (text, message) in [
            (
                "",
                r#""" does not begin with a number: write a number and a unit, such as "10 s""#,
            ),
            (
                "-5 s",
                r#""-5 s" does not begin with a number: write a number and a unit, such as "10 s""#,
            ),
            (
                "10",
                r#""10" has no unit: write a number and a unit, such as "10 s""#,
            ),
            (
                "1 month",
                r#""month" is not a unit: use one of us, ms, s, min, h, days, weeks, years"#,
            ),
            (
                "1.2.3 s",
                r#""1.2.3 s" does not begin with a number: write a number and a unit, such as "10 s""#,
            ),
            (
                "2,5 h",
                r#""2,5 h" has a comma in it: write a point, as in 2.5, and nothing between thousands"#,
            ),
            ("999999999 years", r#""999999999 years" is too large"#),
        ] {
            assert_eq!(
                parse_duration(text).map_err(|e| e.to_string()),
                Err(message.to_owned())
            );
        }
        assert_eq!(
            parse_size("2T").map_err(|e| e.to_string()),
            Err(format!(r#""T" is not a unit: use one of {SIZES_KNOWN}"#))
        );
        assert_eq!(
            parse_size("10 %").map_err(|e| e.to_string()),
            Err(
                r#""10 %": percent can't be given here: write a number and a unit, such as "5 GB""#
                    .to_owned()
            )
        );
    }

    #[test]
    fn values_are_written_in_the_units_of_people() {
        assert_eq!(format_duration(Duration::from_secs(5400)), "1 h 30 min");
        assert_eq!(format_duration(Duration::from_secs(30 * 86_400)), "30 days");
        assert_eq!(format_duration(Duration::ZERO), "0 s");
        assert_eq!(format_size(2_000_000_000_000), "2 TB");
        assert_eq!(format_size(5 << 30), "5 GiB");
        assert_eq!(format_size(0), "0 B");
    }

    proptest! {
        #[test]
        fn a_written_duration_reads_as_itself(us in 0..=i64::MAX as u64) {
            let duration = Duration::from_micros(us);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn a_written_size_reads_as_itself(bytes: u64) {
            prop_assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9. a-zA-Zµ-]{0,40}") {
            let _ = parse_duration(&text);
            let _ = parse_size(&text);
        }
    }
}
