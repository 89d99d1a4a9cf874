//! A stamp as a number, however cameras print it. Not for dates.

use super::Written;

/// Reads decimal seconds, or whole milli-, micro- or nanoseconds, which their 13, 16 or 19 digits give away (until the
/// year 2286), into microseconds. What is finer is cut off. No float on the way: it would lose microseconds.
///
/// Takes a comma for the point, an exponent, a unit behind it, and the zone of Greenwich, in which everyone counts; also seconds and
/// microseconds apart. `None` for anything else and for negative numbers.
pub(super) fn read(text: &[u8]) -> Option<i64> {
    let text = text.strip_suffix(b" +0000").unwrap_or(text);
    read_pair(text).or_else(|| read_number(text))
}

/// `seconds:micros`, `seconds micros` or `seconds.  micros`, as from the two fields of a `timeval`: no zeros in front, so 5 is 5
/// microseconds. Only seconds of today's length: with less, any two numbers would be a stamp.
fn read_pair(text: &[u8]) -> Option<i64> {
    let (seconds, micros) = text.split_at_checked(10)?;
    let apart = [&b":"[..], b" ", b". "];
    let micros = (apart.iter().find_map(|mark| micros.strip_prefix(*mark)))?.trim_ascii_start();
    let is_count = (1..=6).contains(&micros.len()) && micros.iter().all(u8::is_ascii_digit);
    if !is_count || !seconds.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(value(seconds) * 1_000_000 + value(micros))
}

/// Digits, a point, and one to nine digits more; none of them in front that would be too many for a date.
pub(super) fn read_written(text: &[u8]) -> Option<Written> {
    let point = memchr::memchr(b'.', text).filter(|point| (1..=10).contains(point))?;
    let (seconds, decimals) = (&text[..point], &text[point + 1..]);
    let is_number = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
    let digits = u32::try_from(decimals.len()).ok()?;
    ((1..=9).contains(&digits) && is_number(seconds) && is_number(decimals)).then(|| Written {
        seconds: value(seconds),
        count: value(decimals),
        digits,
    })
}

/// Nothing but digits, 18 of them at most.
pub(super) fn read_whole(text: &[u8]) -> Option<i64> {
    let is_whole = (1..=18).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    is_whole.then(|| value(text))
}

/// Of so few digits that it fits.
fn value(digits: &[u8]) -> i64 {
    (digits.iter()).fold(0, |value, digit| value * 10 + i64::from(digit - b'0'))
}

fn read_number(text: &[u8]) -> Option<i64> {
    let (text, unit) = split_unit(text)?;
    let text = text.strip_prefix(b"+").unwrap_or(text);
    let mantissa_end = text
        .iter()
        .position(|byte| matches!(byte, b'e' | b'E'))
        .unwrap_or(text.len());
    let (mantissa, exponent) = text.split_at(mantissa_end);
    let exponent = if exponent.is_empty() {
        0
    } else {
        read_exponent(&exponent[1..])?
    };
    let point = mantissa.iter().position(|byte| matches!(byte, b'.' | b','));
    let (whole, decimals) = match point {
        Some(point) => (&mantissa[..point], &mantissa[point + 1..]),
        None => (mantissa, &b""[..]),
    };
    let digits = || whole.iter().chain(decimals).copied();
    if digits().next().is_none() || !digits().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let zeros = digits().take_while(|&digit| digit == b'0').count();
    let whole_digits =
        i64::try_from(whole.len()).ok()? + exponent + unit - i64::try_from(zeros).ok()?;
    let significant = digits().skip(zeros).chain(std::iter::repeat(b'0'));
    let wanted = usize::try_from(whole_digits + power_of_micros(whole_digits)?).unwrap_or(0);
    // At most 18 digits: fits.
    Some(
        significant
            .take(wanted)
            .fold(0, |us, digit| us * 10 + i64::from(digit - b'0')),
    )
}

/// The number, and the power of ten that its unit is of a second. Where that is 0 its digits may say otherwise.
fn split_unit(text: &[u8]) -> Option<(&[u8], i64)> {
    let letters = text
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_alphabetic());
    let (number, unit) = text.split_at(text.len() - letters.count());
    let power = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"s" | b"sec" | b"z" | b"utc" | b"gmt" => 0,
        b"ms" | b"msec" => -3,
        b"us" | b"usec" => -6,
        b"ns" | b"nsec" => -9,
        _ => return None,
    };
    Some((number.trim_ascii_end(), power))
}

/// By which power of ten a number with so many digits before its point becomes microseconds.
fn power_of_micros(whole_digits: i64) -> Option<i64> {
    match whole_digits {
        ..=12 => Some(6),
        13 => Some(3),
        16 => Some(0),
        19 => Some(-3),
        _ => None,
    }
}

fn read_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if !(1..=3).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let exponent = digits
        .iter()
        .fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
    Some(if negative { -exponent } else { exponent })
}
