//! A stamp in two fields, as the two of a `timeval` or a `timespec`: seconds, and what is finer. Not for two numbers in one field.

use super::{number, rank_of_another_name, trim};
use crate::header::Headers;

/// How names of the fields end.
const SECONDS: [&[u8]; 5] = [b"sec", b"secs", b"second", b"seconds", b"s"];
/// With how many of it make a second.
const FINER: [(&[u8], i64); 15] = [
    (b"usec", 1_000_000),
    (b"usecs", 1_000_000),
    (b"us", 1_000_000),
    (b"micros", 1_000_000),
    (b"microseconds", 1_000_000),
    (b"nsec", 1_000_000_000),
    (b"nsecs", 1_000_000_000),
    (b"ns", 1_000_000_000),
    (b"nanos", 1_000_000_000),
    (b"nanoseconds", 1_000_000_000),
    (b"msec", 1_000),
    (b"msecs", 1_000),
    (b"ms", 1_000),
    (b"millis", 1_000),
    (b"milliseconds", 1_000),
];
/// Of a count of seconds: a date has ten.
const DIGITS_MAX: usize = 10;

/// The stamp of the last two fields that make one, microseconds, above 0.
pub(super) fn read(headers: &Headers) -> Option<i64> {
    let stamps = headers.iter().filter_map(|(name, value)| {
        let (stem, unit) = split(name)?;
        rank_of_another_name(stem)?;
        let seconds =
            trim(value).filter(|text| text.len() <= DIGITS_MAX && is_any(unit, &SECONDS))?;
        let us = number::read_whole(seconds)? * 1_000_000 + finer_us(headers, stem)?;
        Some(us).filter(|&us| us > 0)
    });
    stamps.last()
}

/// What a field says whose name is this with a unit finer than seconds behind it, if it is less than a second, in microseconds.
pub(super) fn finer_us(headers: &Headers, stem: &[u8]) -> Option<i64> {
    let found = headers.iter().filter_map(|(name, value)| {
        let (_, unit) = split(name).filter(|(found, _)| found.eq_ignore_ascii_case(stem))?;
        let (_, in_second) = FINER.iter().find(|(name, _)| is_any(unit, &[name]))?;
        let count = number::read_whole(trim(value)?).filter(|count| count < in_second)?;
        Some(count * 1_000_000 / in_second)
    });
    found.last()
}

/// The name up to the unit behind it, and that.
fn split(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = name.iter().rposition(|byte| matches!(byte, b'-' | b'_'))?;
    Some((&name[..at], &name[at + 1..]))
}

fn is_any(found: &[u8], names: &[&[u8]]) -> bool {
    names.iter().any(|name| found.eq_ignore_ascii_case(name))
}
