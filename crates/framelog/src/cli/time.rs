//! Times as people write them, and as they are printed back. Pure: the present and the time zone are arguments.

use std::ops::Range;

use chrono::{
    DateTime, Datelike as _, Days, FixedOffset, Local, MappedLocalTime, NaiveDate, NaiveDateTime,
    NaiveTime, SecondsFormat, TimeDelta, TimeZone, Timelike as _, Utc, Weekday,
};

use crate::wall::now_us;

mod end;

pub use end::{End, end_argument};

/// What [`parse`] reads, for help texts and errors.
pub const FORMS: &str = "\"2026-11-22T10:00:00Z\", \"2026-11-22 10:00\" (local time), \"10:00\" (today), \"yesterday 10pm\", \"10:00 last tuesday\", \"tomorrow\", \"-5min\", \"5 min ago\", \"@1795341600\" (Unix seconds) or \"now\"; after --to also \"+10min\", from --from on";

/// From 2001 to 2100: what a number alone is believed to mean.
const LIKELY_US: Range<i64> = 978_307_200_000_000..4_102_444_800_000_000;

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
        "{local} did not exist here, the clocks were put forward; write it with its offset from UTC, as in {local}+01:00"
    )]
    Skipped {
        /// The local time, as `2026-03-29T02:30:00`.
        local: String,
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
    /// Before or after all times that the index can hold.
    #[error("{text:?} is too far away")]
    TooFar {
        /// What was written.
        text: String,
    },
}

/// Reads a time in any of the [`FORMS`] (upper or lower case) as microseconds since the Unix epoch.
///
/// Local times are those of `zone`. The day may come before the time of day or behind it. A weekday is the last one that is not in the future; with `last`, never today. A day without a time
/// of day is its beginning. A day (`-1d`) is 24 h. A number alone is Unix time: seconds of up to 11 digits, milliseconds of 12 to 14, or
/// microseconds, as the index and `--json` have them.
///
/// # Errors
/// If the text has none of the forms, or names a local time that the clocks jumped over or that came twice.
pub fn parse<Z: TimeZone>(text: &str, now_us: i64, zone: &Z) -> Result<i64, TimeError> {
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
        return i64::try_from(i128::from(now_us) - ago_us).map_err(|_| too_far());
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

/// Reads `@1795341600` and longer numbers, with or without the sign, as microseconds; `Some(None)` if it is too long.
fn read_unix(text: &str) -> Option<Option<i64>> {
    let digits = text.strip_prefix('@').unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number {
        return None;
    }
    let unit_us = match digits.len() {
        ..=11 => 1_000_000,
        12..=14 => 1_000,
        _ => 1,
    };
    let us = (digits.parse().ok()).and_then(|number: i64| number.checked_mul(unit_us));
    // Without the sign it may be somebody's 20261122100000.
    if digits == text && !us.is_some_and(|us| LIKELY_US.contains(&us)) {
        return None;
    }
    Some(us)
}

/// Reads `5min`, `90s`, `1h30m` as microseconds.
fn read_span(text: &str) -> Option<i128> {
    let (number, rest) = split_while(text.trim_start(), u8::is_ascii_digit);
    let (unit, rest) = split_while(rest.trim_start(), u8::is_ascii_alphabetic);
    let us = i128::from(number.parse::<u64>().ok()?) * unit_us(unit)?;
    if rest.is_empty() {
        Some(us)
    } else {
        Some(us + read_span(rest)?)
    }
}

/// Splits off the bytes that are `wanted`; they must be ASCII.
fn split_while(text: &str, wanted: impl Fn(&u8) -> bool) -> (&str, &str) {
    text.split_at(text.bytes().take_while(|byte| wanted(byte)).count())
}

/// A unit of time in microseconds.
fn unit_us(name: &str) -> Option<i128> {
    let seconds = match name {
        "s" | "sec" | "second" | "seconds" => 1,
        "m" | "min" | "minute" | "minutes" => 60,
        "h" | "hour" | "hours" => 3_600,
        "d" | "day" | "days" => 86_400,
        "w" | "week" | "weeks" => 7 * 86_400,
        _ => return None,
    };
    Some(seconds * 1_000_000)
}

/// Which day a person means.
#[derive(Clone, Copy, Debug)]
enum Day {
    Date(NaiveDate),
    Today,
    Yesterday,
    Tomorrow,
    Latest { weekday: Weekday, not_today: bool },
}

/// A day, a time of that day, and the offset from UTC, as far as they were written.
#[derive(Clone, Copy, Debug)]
struct Moment {
    day: Day,
    time: Option<NaiveTime>,
    offset: Option<FixedOffset>,
}

impl Moment {
    /// Reads lower-case text, in whichever order.
    fn read(text: &str) -> Option<Self> {
        let words: Vec<&str> = (text.split_whitespace())
            .filter(|word| !matches!(*word, "at" | "on"))
            .collect();
        (0..words.len().max(1))
            .map(|first| [&words[first..], &words[..first]].concat().join(" "))
            .find_map(|text| Self::read_day_first(&text))
    }

    fn read_day_first(text: &str) -> Option<Self> {
        let (day, rest) = read_day(text)?;
        if rest.is_empty() {
            return Some(Self {
                day,
                time: None,
                offset: None,
            });
        }
        let (time, offset) = split_offset(rest)?;
        Some(Self {
            day,
            time: Some(read_time(time)?),
            offset,
        })
    }

    /// `None` if the date is beyond the calendar.
    fn resolve<Z: TimeZone>(self, now: DateTime<Utc>, zone: &Z) -> Option<Result<i64, TimeError>> {
        let date = self.date(now.with_timezone(zone).naive_local())?;
        Some(match self.time {
            Some(time) => instant(date.and_time(time), zone),
            None => beginning(date, zone),
        })
    }

    fn date(self, now: NaiveDateTime) -> Option<NaiveDate> {
        let today = now.date();
        let days_back = match self.day {
            Day::Date(date) => return Some(date),
            Day::Today => 0,
            Day::Yesterday => 1,
            Day::Tomorrow => return today.checked_add_days(Days::new(1)),
            Day::Latest { weekday, not_today } => {
                let days_back = today.weekday().days_since(weekday);
                let to_come = self.time.is_some_and(|time| time > now.time());
                if days_back == 0 && (not_today || to_come) {
                    7
                } else {
                    days_back
                }
            }
        };
        today.checked_sub_days(Days::new(u64::from(days_back)))
    }
}

/// Splits off the day; without one it is today.
fn read_day(text: &str) -> Option<(Day, &str)> {
    if let Some((date, rest)) = text.split_at_checked(10)
        && let Some(date) = read_date(date)
    {
        let rest = if rest.is_empty() {
            rest
        } else {
            rest.strip_prefix(['t', ' ', '_'])?.trim_start()
        };
        return Some((Day::Date(date), rest));
    }
    let (word, rest) = split_while(text, u8::is_ascii_alphabetic);
    let rest = rest.trim_start();
    match word {
        "" if rest.is_empty() => None,
        "" => Some((Day::Today, rest)),
        "today" => Some((Day::Today, rest)),
        "yesterday" => Some((Day::Yesterday, rest)),
        "tomorrow" => Some((Day::Tomorrow, rest)),
        "last" => {
            let (word, rest) = split_while(rest, u8::is_ascii_alphabetic);
            Some((
                Day::Latest {
                    weekday: word.parse().ok()?,
                    not_today: true,
                },
                rest.trim_start(),
            ))
        }
        _ => match word.parse() {
            Ok(weekday) => Some((
                Day::Latest {
                    weekday,
                    not_today: false,
                },
                rest,
            )),
            Err(_) => Some((Day::Today, text)), // noon
        },
    }
}

/// Reads the spellings of a date that everybody reads alike.
fn read_date(text: &str) -> Option<NaiveDate> {
    ["%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y"]
        .iter()
        .find_map(|form| NaiveDate::parse_from_str(text, form).ok())
}

/// Splits `z`, `utc` or `+01:00` off a time of day.
fn split_offset(text: &str) -> Option<(&str, Option<FixedOffset>)> {
    let utc = ["z", "utc", "gmt"];
    if let Some(time) = utc.iter().find_map(|name| text.strip_suffix(name)) {
        return Some((time.trim_end(), Some(FixedOffset::east_opt(0)?)));
    }
    let Some(sign) = text.rfind(['+', '-']) else {
        return Some((text, None));
    };
    let (time, offset) = text.split_at(sign);
    Some((time.trim_end(), Some(offset.parse().ok()?)))
}

/// Reads `10:00`, `10:00:05` and `10:00:05.123456`, digits beyond microseconds cut off; `10pm` and the like; `noon` and `midnight`.
fn read_time(text: &str) -> Option<NaiveTime> {
    let noon = NaiveTime::from_hms_opt(12, 0, 0)?;
    let half = |half: &str| text.strip_suffix(half).map(str::trim_end);
    match (text, half("am"), half("pm")) {
        ("noon", ..) => Some(noon),
        ("midnight", ..) => Some(NaiveTime::MIN),
        (_, Some(time), _) => read_half_day(time),
        (_, _, Some(time)) => Some(read_half_day(time)? + TimeDelta::hours(12)),
        _ => read_clock(text),
    }
}

/// Reads a time of the clock with twelve hours, as one before noon.
fn read_half_day(text: &str) -> Option<NaiveTime> {
    let time = match text.contains(':') {
        true => read_clock(text),
        false => NaiveTime::from_hms_opt(two_digits(text)?, 0, 0),
    }?;
    match time.hour12() {
        _ if !(1..=12).contains(&time.hour()) => None,
        (_, 12) => Some(time - TimeDelta::hours(12)),
        _ => Some(time),
    }
}

fn read_clock(text: &str) -> Option<NaiveTime> {
    let (clock, fraction) = match text.split_once('.') {
        Some((clock, fraction)) => (clock, Some(fraction)),
        None => (text, None),
    };
    let fields: Vec<u32> = clock.split(':').map(two_digits).collect::<Option<_>>()?;
    match (fields.as_slice(), fraction) {
        (&[hour, minute], None) => NaiveTime::from_hms_opt(hour, minute, 0),
        (&[hour, minute, second], None) => NaiveTime::from_hms_opt(hour, minute, second),
        (&[hour, minute, second], Some(fraction)) => {
            NaiveTime::from_hms_micro_opt(hour, minute, second, micros(fraction)?)
        }
        _ => None,
    }
}

/// Reads one or two digits.
fn two_digits(text: &str) -> Option<u32> {
    let digits = matches!(text.len(), 1 | 2) && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// Reads the digits after the point as microseconds.
fn micros(fraction: &str) -> Option<u32> {
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    format!("{fraction:0<6}").get(..6)?.parse().ok()
}

/// The one instant that a local time names.
fn instant<Z: TimeZone>(local: NaiveDateTime, zone: &Z) -> Result<i64, TimeError> {
    let rfc3339 = |at: DateTime<Z>| {
        at.fixed_offset()
            .to_rfc3339_opts(SecondsFormat::AutoSi, true)
    };
    let written = || local.format("%Y-%m-%dT%H:%M:%S%.f").to_string();
    match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(at) => Ok(at.timestamp_micros()),
        MappedLocalTime::Ambiguous(first, second) => Err(TimeError::Twice {
            local: written(),
            first: rfc3339(first),
            second: rfc3339(second),
        }),
        MappedLocalTime::None => Err(TimeError::Skipped { local: written() }),
    }
}

/// The first instant of a day, which is not midnight where the clocks are put forward at midnight.
fn beginning<Z: TimeZone>(date: NaiveDate, zone: &Z) -> Result<i64, TimeError> {
    let midnight = date.and_time(NaiveTime::MIN);
    (0..24 * 4)
        .filter_map(|quarter| midnight.checked_add_signed(TimeDelta::minutes(15 * quarter)))
        .find_map(|local| zone.from_local_datetime(&local).earliest())
        .map(|at| at.timestamp_micros())
        .ok_or_else(|| TimeError::Skipped {
            local: date.to_string(),
        })
}

#[cfg(test)]
mod tests {
    use chrono::{MappedLocalTime as LocalResult, Offset as _};
    use proptest::prelude::*;

    use super::*;

    /// Central European time in 2026: forward on 29 March at 02:00, back on 25 October at 03:00.
    #[derive(Clone, Copy, Debug)]
    struct Berlin;

    const FORWARD: i64 = 1_774_746_000;
    const BACK: i64 = 1_792_890_000;

    impl Berlin {
        fn at(utc_seconds: i64) -> FixedOffset {
            let hours = if (FORWARD..BACK).contains(&utc_seconds) {
                2
            } else {
                1
            };
            FixedOffset::east_opt(hours * 3600).unwrap()
        }
    }

    impl TimeZone for Berlin {
        type Offset = FixedOffset;

        fn from_offset(_: &FixedOffset) -> Self {
            Berlin
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
            match (fits(2), fits(1)) {
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
        parse(text, NOW, &Berlin)
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
        assert!(matches!(
            read("-18446744073709551615d"),
            Err(TimeError::TooFar { .. })
        ));
    }

    #[test]
    fn an_hour_that_was_skipped_or_came_twice_is_not_guessed() {
        assert_eq!(
            read("2026-03-29 02:30"),
            Err(TimeError::Skipped {
                local: "2026-03-29T02:30:00".into()
            })
        );
        let Err(TimeError::Twice { first, second, .. }) = read("2026-10-25 02:30") else {
            panic!()
        };
        assert_eq!(read(&first), Ok(us("2026-10-25T00:30:00Z")));
        assert_eq!(read(&second), Ok(us("2026-10-25T01:30:00Z")));
    }

    #[test]
    fn a_day_begins_at_its_first_instant_even_where_midnight_is_skipped() {
        assert_eq!(
            parse("2026-03-29", NOW, &Berlin),
            Ok(us("2026-03-28T23:00:00Z"))
        );
        assert_eq!(
            beginning(NaiveDate::from_ymd_opt(2026, 10, 25).unwrap(), &Utc),
            Ok(us("2026-10-25T00:00:00Z"))
        );
        assert_eq!(
            Berlin
                .offset_from_utc_date(&NaiveDate::MIN)
                .fix()
                .local_minus_utc(),
            3600
        );
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(at in -62_000_000_000_000_000_i64..253_000_000_000_000_000, utc: bool) {
            prop_assert_eq!(parse(&format(at, utc), NOW, &Berlin), Ok(at));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}", now: i64) {
            let _ = parse(&text, now, &Berlin);
        }

        #[test]
        fn spans_go_back_by_what_they_say(minutes in 0_i64..1_000_000) {
            prop_assert_eq!(read(&format!("-{minutes}min")), Ok(NOW - minutes * 60_000_000));
        }
    }
}
