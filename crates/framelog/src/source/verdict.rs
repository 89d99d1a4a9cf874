//! What an answer that refuses means: the same over HTTP and RTSP. Not for what only one of them says, nor for when to try again.

use std::time::Duration;

use framelog_core::gap::GapReason;
use framelog_core::timestamp::parse_date;

/// Why there are no pictures, and what to do about it, by the status of an answer that is no redirect and wants no credentials (401). What to do is
/// empty where nothing is known.
pub fn of_status(status: u16) -> (GapReason, &'static str) {
    match status {
        403 | 407 => (
            GapReason::Unauthorized,
            "check username, and what it may see",
        ),
        404 => (GapReason::BadResponse, "check the path in url"),
        406 => (
            GapReason::Busy,
            "it may be in privacy mode, or have no connection free",
        ),
        429 | 453 | 503 | 509 => (GapReason::Busy, "it may have no connection free"),
        _ => (GapReason::BadResponse, ""),
    }
}

/// For how long the camera wants to be left alone: Retry-After (RFC 9110 §10.2.3) among an answer's fields, in seconds, of which a fraction, a unit
/// or quotes do no harm, or as a date. That is by the camera's clock, and so measured from the answer's own Date where it has one.
pub fn retry_after<'f>(field: impl Fn(&str) -> Option<&'f [u8]>, now_us: i64) -> Option<Duration> {
    let wish = field("retry-after")?;
    if let Some(at_us) = parse_date(wish) {
        let now_us = field("date").and_then(parse_date).unwrap_or(now_us);
        let wait_us = at_us.saturating_sub(now_us);
        return Some(Duration::from_micros(wait_us.max(0).unsigned_abs()));
    }
    let text = std::str::from_utf8(wish).ok()?;
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '"');
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return None;
    }
    // What is too long for 64 bits is long all the same.
    let seconds = text[..digits].parse().unwrap_or(u64::MAX);
    let part_of_a_second = text[digits..].starts_with('.');
    Some(Duration::from_secs(
        seconds.saturating_add(u64::from(part_of_a_second)),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 14 November 2023, 22:13:20.
    const NOW_US: i64 = 1_700_000_000_000_000;

    fn read(wish: &str, date: Option<&str>) -> Option<Duration> {
        let field = |name: &str| match name {
            "retry-after" => Some(wish.as_bytes()),
            "date" => date.map(str::as_bytes),
            _ => None,
        };
        retry_after(field, NOW_US)
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        for (wish, seconds) in [
            ("120", 120),
            ("6.5", 7),
            ("6 s", 6),
            ("\"6\"", 6),
            ("99999999999999999999999", u64::MAX),
            ("Tue, 14 Nov 2023 22:13:50 GMT", 30),
            ("Tuesday, 14-Nov-23 22:13:50 GMT", 30),
            ("\"Tue, 14 Nov 2023 22:13:50 GMT\"", 30),
            ("Tue, 14 Nov 2003 22:13:50 GMT", 0),
        ] {
            let wait = Some(Duration::from_secs(seconds));
            assert_eq!(read(wish, None), wait, "{wish}");
        }
        assert_eq!(read("soon", None), None);
        assert_eq!(read("-5", None), None);
    }

    #[test]
    fn a_date_is_measured_by_the_clock_that_it_was_made_with() {
        let wish = "Sat, 01 Jan 2000 00:01:00 GMT";
        for (date, seconds) in [
            ("Sat, 01 Jan 2000 00:00:15 GMT", 45),
            ("Sat, 01 Jan 2000 00:02:00 GMT", 0),
            ("today", 0),
        ] {
            let wait = Some(Duration::from_secs(seconds));
            assert_eq!(read(wish, Some(date)), wait, "{date}");
        }
        let seconds = read("45", Some("Sat, 01 Jan 2000 00:00:15 GMT"));
        assert_eq!(seconds, Some(Duration::from_secs(45)));
    }
}
