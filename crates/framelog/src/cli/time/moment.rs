//! A day and a time of day as people write them, and which instant that is. Not for spans and numbers.

use chrono::{
    DateTime, Datelike as _, Days, FixedOffset, MappedLocalTime, NaiveDate, NaiveDateTime,
    NaiveTime, Offset as _, SecondsFormat, TimeDelta, TimeZone, Timelike as _, Utc, Weekday,
};

use super::TimeError;

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
pub(super) struct Moment {
    day: Day,
    time: Option<NaiveTime>,
    pub offset: Option<FixedOffset>,
}

impl Moment {
    /// Reads lower-case text, in whichever order.
    pub fn read(text: &str) -> Option<Self> {
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
    pub fn resolve<Z: TimeZone>(
        self,
        now: DateTime<Utc>,
        zone: &Z,
    ) -> Option<Result<i64, TimeError>> {
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

/// Splits off the bytes that are `wanted`; they must be ASCII.
fn split_while(text: &str, wanted: impl Fn(&u8) -> bool) -> (&str, &str) {
    text.split_at(text.bytes().take_while(|byte| wanted(byte)).count())
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
        MappedLocalTime::None => Err(TimeError::Skipped {
            local: written(),
            example: written() + &offset_until(local, zone),
        }),
    }
}

/// The offset that held before the clocks were put forward over a local time, as `+01:00`.
fn offset_until<Z: TimeZone>(local: NaiveDateTime, zone: &Z) -> String {
    // No zone has skipped more than a day.
    let before = (1..=24).find_map(|hours| {
        let earlier = local.checked_sub_signed(TimeDelta::hours(hours))?;
        zone.from_local_datetime(&earlier).latest()
    });
    before.map_or("Z".to_owned(), |at| at.offset().fix().to_string())
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
            example: format!("{date}T00:00:00{}", offset_until(midnight, zone)),
        })
}
