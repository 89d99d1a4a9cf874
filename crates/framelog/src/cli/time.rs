//! Times as people write them, and as they are printed back. Pure: the present and the time zone are arguments.

use std::ops::Range;

use chrono::{DateTime, Local, SecondsFormat, TimeZone};

use crate::config::units::{UnitError, parse_duration};
use crate::wall::now_us;

mod end;
mod moment;

pub use end::{End, end_argument};
use moment::Moment;

/// What [`parse`] reads, for help texts and errors.
pub const FORMS: &str = "\"2026-11-22T10:00:00Z\", \"2026-11-22 10:00\" (local time), \"10:00\" (today), \"yesterday 10pm\", \"10:00 last tuesday\", \"tomorrow\", \"-5min\", \"5 min ago\", \"@1795341600\" (Unix seconds) or \"now\"; after --to also \"+10min\", from --from on";

/// From 2001 to 2100: what a number alone is believed to mean.
const LIKELY_US: Range<i64> = 978_307_200_000_000..4_102_444_800_000_000;

/// The years 0 to 9999: what RFC 3339 can write.
const WRITABLE_US: Range<i64> = -62_167_219_200_000_000..253_402_300_800_000_000;

/// Why a text is no point in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// None of the accepted forms.
    #[error("{text:?} is not a time; write {FORMS}")]
    Unreadable {
        /// What was written.
        text: String,
    },
    /// A local time that the clocks jumped over.
    #[error(
        "{local} did not exist here, the clocks were put forward; write it with its offset from UTC, as in {example}"
    )]
    Skipped {
        /// The local time, as `2026-03-29T02:30:00`.
        local: String,
        /// The same with the offset that held until then, RFC 3339.
        example: String,
    },
    /// A local time that came twice.
    #[error("{local} came twice, the clocks were put back; write {first} or {second}")]
    Twice {
        /// The local time.
        local: String,
        /// The earlier of the two, RFC 3339.
        first: String,
        /// The later.
        second: String,
    },
    /// Before or after all times that can be printed.
    #[error("{text:?} is too far away; write a time of the years 0 to 9999")]
    TooFar {
        /// What was written.
        text: String,
    },
}

/// Reads a time in any of the [`FORMS`] (upper or lower case) as microseconds since the Unix epoch.
///
/// Local times are those of `zone`. The day may come before the time of day or behind it. A weekday is the last one that is not in the future; with `last`, never today. A day without a time
/// of day is its beginning. A day (`-1d`) is 24 h. A number alone is Unix time: seconds of up to 11 digits, milliseconds of 12 to 14, or
/// microseconds, as the index and `--json` have them; it may have a fraction.
///
/// # Errors
/// If the text has none of the forms, names a local time that the clocks jumped over or that came twice, or one outside the years 0 to 9999.
pub fn parse<Z: TimeZone>(text: &str, now_us: i64, zone: &Z) -> Result<i64, TimeError> {
    let us = read_any(text, now_us, zone)?;
    match WRITABLE_US.contains(&us) {
        true => Ok(us),
        false => Err(TimeError::TooFar {
            text: text.to_owned(),
        }),
    }
}

fn read_any<Z: TimeZone>(text: &str, now_us: i64, zone: &Z) -> Result<i64, TimeError> {
    let lower = text.trim().to_ascii_lowercase();
    if lower == "now" {
        return Ok(now_us);
    }
    let too_far = || TimeError::TooFar {
        text: text.to_owned(),
    };
    if let Some(us) = read_unix(&lower) {
        return us.ok_or_else(too_far);
    }
    let ago = lower.strip_prefix('-').or(lower.strip_suffix(" ago"));
    if let Some(ago_us) = ago.and_then(read_span) {
        return (ago_us.and_then(|us| now_us.checked_sub(us))).ok_or_else(too_far);
    }
    let moment = Moment::read(&lower).ok_or_else(|| TimeError::Unreadable {
        text: text.to_owned(),
    })?;
    let now = DateTime::from_timestamp_micros(now_us).ok_or_else(too_far)?;
    let resolved = match moment.offset {
        Some(offset) => moment.resolve(now, &offset),
        None => moment.resolve(now, zone),
    };
    resolved.ok_or_else(too_far)?
}

/// Reads a time that was given on the command line, in this machine's time zone; see [`parse`].
///
/// # Errors
/// As [`parse`].
pub fn argument(text: &str) -> Result<i64, TimeError> {
    parse(text, now_us(), &Local)
}

/// Writes a time as RFC 3339 with microseconds, in UTC or in local time with its offset: what [`parse`] reads back exactly.
pub fn format(us: i64, utc: bool) -> String {
    match DateTime::from_timestamp_micros(us) {
        Some(at) if utc => at.to_rfc3339_opts(SecondsFormat::Micros, true),
        Some(at) => at
            .with_timezone(&Local)
            .to_rfc3339_opts(SecondsFormat::Micros, false),
        None => format!("{us} µs"),
    }
}

/// Writes a time for a file name: `20261122T100000.000000Z`, always UTC.
pub fn format_for_name(us: i64) -> String {
    match DateTime::from_timestamp_micros(us) {
        Some(at) => at.format("%Y%m%dT%H%M%S%.6fZ").to_string(),
        None => format!("{us}us"),
    }
}

/// Reads `@1795341600`, longer numbers and those with a fraction, with or without the sign, as microseconds; `Some(None)` if it is too long.
fn read_unix(text: &str) -> Option<Option<i64>> {
    let number = text.strip_prefix('@').unwrap_or(text);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let unit_us = match whole.len() {
        ..=11 => 1_000_000,
        12..=14 => 1_000,
        _ => 1,
    };
    let millionths: i64 = format!("{fraction:0<6}")[..6].parse().ok()?;
    let us = (whole.parse().ok())
        .and_then(|whole: i64| whole.checked_mul(unit_us))
        .and_then(|us| us.checked_add(millionths * unit_us / 1_000_000));
    // Without the sign it may be somebody's 20261122100000.
    if number == text && !us.is_some_and(|us| LIKELY_US.contains(&us)) {
        return None;
    }
    Some(us)
}

/// Reads `5min`, `90s`, `1h30m` as microseconds; `Some(None)` if it is too long.
fn read_span(text: &str) -> Option<Option<i64>> {
    match parse_duration(text) {
        Ok(span) => Some(i64::try_from(span.as_micros()).ok()),
        Err(UnitError::TooLarge(_)) => Some(None),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use chrono::{
        FixedOffset, MappedLocalTime as LocalResult, NaiveDate, NaiveDateTime, NaiveTime,
        Offset as _, Utc,
    };
    use proptest::prelude::*;

    use super::*;

    /// A time zone of the European Union in 2026, by its hours in winter: all go forward on 29 March and back on 25 October at 01:00 UTC.
    #[derive(Clone, Copy, Debug)]
    struct Europe<const HOURS: i32>;

    const BERLIN: Europe<1> = Europe;
    const HELSINKI: Europe<2> = Europe;

    const FORWARD: i64 = 1_774_746_000;
    const BACK: i64 = 1_792_890_000;

    impl<const HOURS: i32> Europe<HOURS> {
        fn at(utc_seconds: i64) -> FixedOffset {
            let hours = if (FORWARD..BACK).contains(&utc_seconds) {
                HOURS + 1
            } else {
                HOURS
            };
            FixedOffset::east_opt(hours * 3600).unwrap()
        }
    }

    impl<const HOURS: i32> TimeZone for Europe<HOURS> {
        type Offset = FixedOffset;

        fn from_offset(_: &FixedOffset) -> Self {
            Self
        }

        fn offset_from_local_date(&self, local: &NaiveDate) -> LocalResult<FixedOffset> {
            self.offset_from_local_datetime(&local.and_time(NaiveTime::MIN))
        }

        fn offset_from_local_datetime(&self, local: &NaiveDateTime) -> LocalResult<FixedOffset> {
            let fits = |hours: i32| {
                let utc = local.and_utc().timestamp() - i64::from(hours) * 3600;
                let offset = Self::at(utc);
                (offset.local_minus_utc() == hours * 3600).then_some(offset)
            };
            match (fits(HOURS + 1), fits(HOURS)) {
                (Some(first), Some(second)) => LocalResult::Ambiguous(first, second),
                (Some(one), None) | (None, Some(one)) => LocalResult::Single(one),
                (None, None) => LocalResult::None,
            }
        }

        fn offset_from_utc_date(&self, utc: &NaiveDate) -> FixedOffset {
            Self::at(utc.and_time(NaiveTime::MIN).and_utc().timestamp())
        }

        fn offset_from_utc_datetime(&self, utc: &NaiveDateTime) -> FixedOffset {
            Self::at(utc.and_utc().timestamp())
        }
    }

    /// Sunday, 2026-11-22 10:30:00 in Berlin.
    const NOW: i64 = 1_795_339_800_000_000;

    fn us(rfc3339: &str) -> i64 {
        DateTime::parse_from_rfc3339(rfc3339)
            .unwrap()
            .timestamp_micros()
    }

    fn read(text: &str) -> Result<i64, TimeError> {
        parse(text, NOW, &BERLIN)
    }

    #[test]
    fn each_form_names_the_instant_that_a_person_means() {
        assert_eq!(NOW, us("2026-11-22T10:30:00+01:00"));
        for (text, meant) in [
            ("now", "2026-11-22T10:30:00+01:00"),
            ("2026-11-21T23:59:59.5Z", "2026-11-21T23:59:59.5Z"),
            ("2026-11-21 23:59:59-03:30", "2026-11-22T03:29:59Z"),
            ("2026-11-22 10:00", "2026-11-22T10:00:00+01:00"),
            (
                "2026-07-01 10:00:05.1234567",
                "2026-07-01T10:00:05.123456+02:00",
            ),
            ("2026-11-22", "2026-11-22T00:00:00+01:00"),
            ("10:00", "2026-11-22T10:00:00+01:00"),
            ("9:05", "2026-11-22T09:05:00+01:00"),
            ("10:00Z", "2026-11-22T10:00:00Z"),
            ("today 23:00", "2026-11-22T23:00:00+01:00"),
            ("Yesterday 10:02", "2026-11-21T10:02:00+01:00"),
            ("yesterday", "2026-11-21T00:00:00+01:00"),
            ("tomorrow", "2026-11-23T00:00:00+01:00"),
            ("tomorrow 10:02", "2026-11-23T10:02:00+01:00"),
            ("last tuesday 10:02", "2026-11-17T10:02:00+01:00"),
            ("tue 10:02", "2026-11-17T10:02:00+01:00"),
            ("sunday 10:02", "2026-11-22T10:02:00+01:00"),
            ("sunday 11:02", "2026-11-15T11:02:00+01:00"),
            ("last sunday 10:02", "2026-11-15T10:02:00+01:00"),
            ("-5min", "2026-11-22T10:25:00+01:00"),
            ("-2h", "2026-11-22T08:30:00+01:00"),
            ("-1d", "2026-11-21T10:30:00+01:00"),
            ("-90s", "2026-11-22T10:28:30+01:00"),
            ("-1h 30m", "2026-11-22T09:00:00+01:00"),
            ("5 min ago", "2026-11-22T10:25:00+01:00"),
            ("2 days ago", "2026-11-20T10:30:00+01:00"),
            ("1.5 hours ago", "2026-11-22T09:00:00+01:00"),
            ("10:02 last Tuesday", "2026-11-17T10:02:00+01:00"),
            ("last Tuesday at 10:02", "2026-11-17T10:02:00+01:00"),
            ("10:02 2026-11-21", "2026-11-21T10:02:00+01:00"),
            ("22:00 UTC yesterday", "2026-11-21T22:00:00Z"),
            ("yesterday 10pm", "2026-11-21T22:00:00+01:00"),
            ("10:02 pm yesterday", "2026-11-21T22:02:00+01:00"),
            ("12am", "2026-11-22T00:00:00+01:00"),
            ("12:30pm", "2026-11-22T12:30:00+01:00"),
            ("noon", "2026-11-22T12:00:00+01:00"),
            ("yesterday midnight", "2026-11-21T00:00:00+01:00"),
            ("2026-11-21 17:43 UTC", "2026-11-21T17:43:00Z"),
            ("21.11.2026 17:43", "2026-11-21T17:43:00+01:00"),
            ("2026/11/21 17:43", "2026-11-21T17:43:00+01:00"),
            ("@1795341600", "2026-11-22T10:00:00Z"),
            ("1795341600", "2026-11-22T10:00:00Z"),
            ("1795341600123", "2026-11-22T10:00:00.123Z"),
            ("1795341600123456", "2026-11-22T10:00:00.123456Z"),
            ("@0", "1970-01-01T00:00:00Z"),
            ("1795341600.5", "2026-11-22T10:00:00.5Z"),
            ("@1795341600.1234567", "2026-11-22T10:00:00.123456Z"),
            ("1795341600123.25", "2026-11-22T10:00:00.12325Z"),
        ] {
            assert_eq!(read(text), Ok(us(meant)), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_the_accepted_forms() {
        for text in [
            "",
            "-",
            "-5",
            "-5parsecs",
            "10",
            "25:00",
            "10:60",
            "10:00:00.",
            "10:00.5",
            "2026-02-30",
            "2026-11-2210:00",
            "last",
            "last year",
            "+5min",
            "10:00+9",
            "13pm",
            "0am",
            "pm",
            "10:00 10:00",
            "yesterday 10:00 tuesday",
            "2026",
            "202611221000",
            "20261122100000",
            "10.5",
            "1795341600.",
            "1795341600.5.5",
            "@.5",
            "@",
            "5 ago",
        ] {
            let error = read(text).unwrap_err();
            assert!(
                matches!(error, TimeError::Unreadable { .. }),
                "{text}: {error}"
            );
            assert!(error.to_string().contains("-5min"));
        }
    }

    #[test]
    fn what_can_not_be_printed_is_too_far_away() {
        for text in [
            "-18446744073709551615d",
            "-100000000 days",
            "@253402300800000000",
            "@99999999999999999999",
            "9999-12-31T23:59:59-01:00",
        ] {
            let refused = read(text);
            assert!(
                matches!(refused, Err(TimeError::TooFar { .. })),
                "{text}: {refused:?}"
            );
        }
        assert_eq!(read("9999-12-31T23:59:59Z"), Ok(us("9999-12-31T23:59:59Z")));
    }

    #[test]
    fn an_hour_that_was_skipped_or_came_twice_is_not_guessed() {
        assert_eq!(
            read("2026-03-29 02:30"),
            Err(TimeError::Skipped {
                local: "2026-03-29T02:30:00".into(),
                example: "2026-03-29T02:30:00+01:00".into()
            })
        );
        let Err(TimeError::Skipped { example, .. }) = parse("2026-03-29 03:30", NOW, &HELSINKI)
        else {
            panic!()
        };
        assert_eq!(example, "2026-03-29T03:30:00+02:00");
        assert_eq!(read(&example), Ok(us("2026-03-29T01:30:00Z")));
        let Err(TimeError::Twice { first, second, .. }) = read("2026-10-25 02:30") else {
            panic!()
        };
        assert_eq!(read(&first), Ok(us("2026-10-25T00:30:00Z")));
        assert_eq!(read(&second), Ok(us("2026-10-25T01:30:00Z")));
    }

    #[test]
    fn a_day_begins_at_its_first_instant_even_where_midnight_is_skipped() {
        assert_eq!(
            parse("2026-03-29", NOW, &BERLIN),
            Ok(us("2026-03-28T23:00:00Z"))
        );
        assert_eq!(
            parse("2026-10-25", NOW, &Utc),
            Ok(us("2026-10-25T00:00:00Z"))
        );
        assert_eq!(
            BERLIN
                .offset_from_utc_date(&NaiveDate::MIN)
                .fix()
                .local_minus_utc(),
            3600
        );
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(at in -62_000_000_000_000_000_i64..253_000_000_000_000_000, utc: bool) {
            prop_assert_eq!(parse(&format(at, utc), NOW, &BERLIN), Ok(at));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}", now: i64) {
            let _ = parse(&text, now, &BERLIN);
        }

        #[test]
        fn spans_go_back_by_what_they_say(minutes in 0_i64..1_000_000) {
            prop_assert_eq!(read(&format!("-{minutes}min")), Ok(NOW - minutes * 60_000_000));
        }
    }
}
