//! A stamp as a date with a zone. Not for dates without one: a zone is never guessed.

use chrono::{DateTime, NaiveDate};

/// Reads RFC 3339 or ISO 8601 (`T` or a blank in the middle, `Z`, `UTC`, `+04:00`, `+0400` or `+04` at the end), the dates of HTTP
/// (RFC 9110 §5.6.7, `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT`), or what `date` prints
/// (`Sun Nov  6 08:49:37 UTC 1994`), into microseconds. What is finer is cut off.
pub(super) fn read(text: &[u8]) -> Option<i64> {
    read_iso(&mut Cursor { rest: text }).or_else(|| read_words(std::str::from_utf8(text).ok()?))
}

fn read_words(text: &str) -> Option<i64> {
    let words = text.split([' ', '\t', ',']);
    // Sloppy clocks get the day of the week wrong.
    let words: Vec<&str> = words
        .filter(|word| !word.is_empty() && !is_weekday(word))
        .collect();
    let (date, time, zone) = match words[..] {
        [date, time, zone] => (date.replace('-', " "), time, zone),
        [month, day, time, zone, year] if time.contains(':') => {
            (format!("{day} {month} {year}"), time, zone)
        }
        [day, month, year, time, zone] => (format!("{day} {month} {year}"), time, zone),
        _ => return None,
    };
    // The parser takes single letters for zones too, and there they mean nothing; UTC it doesn't know.
    let zone = match zone {
        zone if is_utc(zone.as_bytes()) => "+0000",
        zone => Some(zone).filter(|zone| zone.starts_with(['+', '-']))?,
    };
    let date = DateTime::parse_from_rfc2822(&format!("{date} {time} {zone}"));
    Some(date.ok()?.timestamp_micros())
}

fn is_weekday(word: &str) -> bool {
    let is_begin = |begin: &str| ["sun", "mon", "tue", "wed", "thu", "fri", "sat"].contains(&begin);
    word.get(..3)
        .is_some_and(|begin| is_begin(&begin.to_ascii_lowercase()))
}

/// Whether that is what the zone of Greenwich is called.
fn is_utc(zone: &[u8]) -> bool {
    [&b"z"[..], b"utc", b"gmt"]
        .iter()
        .any(|name| zone.eq_ignore_ascii_case(name))
}

fn read_iso(text: &mut Cursor<'_>) -> Option<i64> {
    let year = text.digits(4)?;
    let dashes = text.eat(b"-/");
    let month = text.digits(2)?;
    if text.eat(b"-/") != dashes {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, text.digits(2)?)?;
    if !text.eat(b"Tt ") {
        return None;
    }
    let (hour, colons) = (text.digits(2)?, text.eat(b":"));
    let minute = text.digits(2)?;
    if text.eat(b":") != colons {
        return None;
    }
    let second = text.digits(2)?;
    // A leap second (60) is the first of the next minute.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let micros = if text.eat(b".,") { text.micros()? } else { 0 };
    let zone_seconds = text.zone()?;
    let midnight = date.and_hms_opt(0, 0, 0)?.and_utc().timestamp();
    let seconds = midnight + i64::from(hour * 3_600 + minute * 60 + second) - zone_seconds;
    Some(seconds * 1_000_000 + micros)
}

/// What is left of the text.
struct Cursor<'a> {
    rest: &'a [u8],
}

impl Cursor<'_> {
    /// Takes one byte if it is one of these.
    fn eat(&mut self, any_of: &[u8]) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if any_of.contains(first) => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// A number of exactly so many digits.
    fn digits(&mut self, count: usize) -> Option<u32> {
        let (digits, rest) = self.rest.split_at_checked(count)?;
        let value = digits.iter().try_fold(0, |value, digit| {
            digit
                .is_ascii_digit()
                .then(|| value * 10 + u32::from(digit - b'0'))
        })?;
        self.rest = rest;
        Some(value)
    }

    /// Decimals of a second, at least one.
    fn micros(&mut self) -> Option<i64> {
        let count = self
            .rest
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        let padded = digits.iter().chain(std::iter::repeat(&b'0')).take(6);
        (count > 0).then(|| padded.fold(0, |value, digit| value * 10 + i64::from(digit - b'0')))
    }

    /// The zone and the end of the text: seconds east of Greenwich.
    fn zone(&mut self) -> Option<i64> {
        self.rest = self.rest.trim_ascii_start();
        if is_utc(self.rest) {
            return Some(0);
        }
        let west = self.rest.first() == Some(&b'-');
        if !self.eat(b"+-") {
            return None;
        }
        let hours = self.digits(2)?;
        self.eat(b":");
        let minutes = if self.rest.is_empty() {
            0
        } else {
            self.digits(2)?
        };
        if !self.rest.is_empty() || hours > 23 || minutes > 59 {
            return None;
        }
        let seconds = i64::from(hours * 3_600 + minutes * 60);
        Some(if west { -seconds } else { seconds })
    }
}
