//! X-Timestamp and its relatives: text to integer microseconds and back. Not for whether to believe them: that is `clock`.

mod apart;
mod date;
mod number;

use memchr::memmem;

use crate::header::Headers;

/// The longest stamp read, in bytes. Nothing real comes near it.
const TEXT_BYTES_MAX: usize = 64;
/// 2001-01-01: stamps before are not dates but counts from some start (camera-quirks row 52).
const DATES_FROM_US: i64 = 978_307_200_000_000;

/// Seconds and hundredths, which are written as others write seconds and microseconds.
const AXIS_FRAME_TIME: &str = "x-axis-dvr-frame-time";

/// What a part's headers say about when the frame was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The best stamp, in microseconds since an epoch that may or may not be Unix's; above 0.
    pub stamp_us: Option<i64>,
    /// A wall clock in whole seconds sent beside it (TP-Link Kasa `X-UtcTime`), in microseconds since the Unix epoch.
    /// Only there when `stamp_us` is, and is no date itself.
    pub wall_second_us: Option<i64>,
    /// `stamp_us` as it was written, where it has other than six digits behind its point: what these are, only more of them tell.
    pub written: Option<Written>,
    /// RTP: a time in microseconds that is good for spacing alone, above 0 and below any date. `stamp_us` is then the wall time of the same
    /// moment, by the camera's sender reports, once there are any.
    pub media_us: Option<i64>,
    /// RTP: by how much later than it could the picture arrived, as far as is known: a server had kept it. 0 or more.
    pub late_us: i64,
}

/// A number of seconds with its digits behind the point apart: a fraction, or a count that lacks the zeros in front of it, as `%d.%d` prints the
/// two fields of a `timeval` (hybridgroup/mjpeg).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Before the point.
    pub seconds: i64,
    /// Behind it, as one number.
    pub count: i64,
    /// How many digits that has, 1 to 9.
    pub digits: u32,
}

impl Stamp {
    /// Reads the stamps from a part's (or a response's) headers; camera-quirks §4 has who sends what.
    ///
    /// In this order: `X-Timestamp` if it is a date, `X-Time` if that is one (AxxonSoft, whose `X-Timestamp` counts from the start of
    /// the stream), any `X-Timestamp`, `X-UtcTime` (Kasa), any `X-Time`, `x-axis-dvr-frame-time`, two fields for one stamp
    /// (`X-Timestamp-Sec`, `X-Timestamp-Usec`; microseconds also beside an `X-Timestamp` of whole seconds), and last whatever home-made servers call it
    /// (`X-Frame-Timestamp`, `X-Timestamp-Ms`, `X-Capture-Time`) if it is a date: nothing else tells it from the monotonic `X-UStreamer-*`
    /// fields. `Date` is never used: in parts it is local time without a zone (row 57).
    pub fn read(headers: &Headers) -> Self {
        let with_digits = |text: &[u8]| Some((read_text(text)?, read_written(text)));
        let (stamp, written) = match last_readable(headers, "x-timestamp", with_digits) {
            Some((stamp_us, written)) => (Some(stamp_us), written),
            None => (None, None),
        };
        if is_date(stamp) {
            if let Some(us) = stamp.filter(|us| us % 1_000_000 == 0)
                && let Some(finer_us) = apart::finer_us(headers, b"x-timestamp")
            {
                return Self::of(Some(us + finer_us));
            }
            return Self {
                written,
                ..Self::of(stamp)
            };
        }
        let date = last_readable(headers, "x-time", parse_date);
        if is_date(date) {
            return Self::of(date);
        }
        let second = last_readable(headers, "x-utctime", read_text).map(|us| us - us % 1_000_000);
        if stamp.is_some() {
            return Self {
                wall_second_us: second,
                written,
                ..Self::of(stamp)
            };
        }
        let axis = || last_readable(headers, AXIS_FRAME_TIME, read_axis_frame_time);
        // A date under any name is better than an uptime in two fields.
        let rest = || {
            let apart = apart::read(headers);
            let other = || date_of_another_name(headers);
            apart
                .filter(|&us| is_date(Some(us)))
                .or_else(other)
                .or(apart)
        };
        Self::of(second.or(date).or_else(axis).or_else(rest))
    }

    fn of(stamp_us: Option<i64>) -> Self {
        Self {
            stamp_us,
            ..Self::default()
        }
    }

    /// Reads the text of a JPEG's comment (COM segment), where Mobotix has the time: `TIT=1302498816.936` (row 79).
    pub fn from_jpeg_comment(comment: &[u8]) -> Self {
        let stamp_us = comment
            .split(|byte| !byte.is_ascii_graphic() || matches!(byte, b';' | b','))
            .filter_map(|word| word.strip_prefix(b"TIT="))
            .find_map(read_text);
        Self::of(stamp_us)
    }
}

fn is_date(stamp_us: Option<i64>) -> bool {
    stamp_us.is_some_and(|us| us >= DATES_FROM_US)
}

/// The last of the fields with this name that can be read: an empty one says nothing against one that isn't.
fn last_readable<T>(headers: &Headers, name: &str, read: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
    read(headers.get(name)?).or_else(|| {
        headers
            .iter()
            .filter(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()))
            .filter_map(|(_, value)| read(value))
            .last()
    })
}

/// The date in a field whose name is much like a stamp's: rather that of a capture than of a request or a reply, and of several the last.
fn date_of_another_name(headers: &Headers) -> Option<i64> {
    let dates = headers.iter().filter_map(|(name, value)| {
        let rank = rank_of_another_name(name)?;
        let date = read_text(value).filter(|&us| is_date(Some(us)))?;
        Some((rank, date))
    });
    (dates.max_by_key(|&(rank, _)| rank)).map(|(_, date)| date)
}

/// Whether a field whose name is much like a stamp's is of a capture, and says that it is a stamp; `None` of any other name.
fn rank_of_another_name(name: &[u8]) -> Option<(bool, bool)> {
    let name = (name.get(..2)?.eq_ignore_ascii_case(b"x-")).then(|| name.to_ascii_lowercase())?;
    let contains = |word: &[u8]| memmem::find(&name, word).is_some();
    let rank = (contains(b"capture"), contains(b"timestamp"));
    let is_alike = (rank.1 || name.ends_with(b"-time")) && name != AXIS_FRAME_TIME.as_bytes();
    is_alike.then_some(rank)
}

/// A stamp in any of its spellings, above 0: an input that is never set is not the year 1970 (row 51).
fn read_text(text: &[u8]) -> Option<i64> {
    let text = trim(text)?;
    number::read(text)
        .or_else(|| date::read(text))
        .filter(|&us| us > 0)
}

/// A number that has other than six digits behind its point.
fn read_written(text: &[u8]) -> Option<Written> {
    number::read_written(trim(text)?).filter(|written| written.digits != 6)
}

/// A date with a zone, as ISO 8601, HTTP or `date` write it, in microseconds since the Unix epoch, above 0; blanks and quotes around it do no harm.
/// `None` for anything else, a date without a zone too.
pub fn parse_date(text: &[u8]) -> Option<i64> {
    date::read(trim(text)?).filter(|&us| us > 0)
}

/// `seconds:hundredths` (Axis 250S manual, row 56).
fn read_axis_frame_time(text: &[u8]) -> Option<i64> {
    let text = trim(text)?;
    let colon = text.iter().position(|&byte| byte == b':')?;
    let hundredths: i64 = match &text[colon + 1..] {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
            i64::from(tens - b'0') * 10 + i64::from(ones - b'0')
        }
        [ones @ b'0'..=b'9'] => i64::from(ones - b'0'),
        _ => return None,
    };
    let seconds = &text[..colon];
    if !seconds.iter().all(u8::is_ascii_digit) {
        return None;
    }
    parse_us(seconds)?
        .checked_add(hundredths * 10_000)
        .filter(|&us| us > 0)
}

/// Without the blanks, quotes and NULs around it, and the comma or semicolon after it; `None` if it is too long to be a stamp.
fn trim(text: &[u8]) -> Option<&[u8]> {
    let around = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | 0);
    let start = text.iter().position(|byte| !around(byte))?;
    let after = |byte: &u8| around(byte) || matches!(byte, b',' | b';');
    let end = text.iter().rposition(|byte| !after(byte))?;
    text.get(start..=end)
        .filter(|text| text.len() <= TEXT_BYTES_MAX)
}

const MICROS: u64 = 1_000_000;

/// Appends microseconds as `seconds.micros` (`1700000000.123456`). Without `fmt`: it is written twice a frame.
pub fn write_us(us: i64, out: &mut Vec<u8>) {
    if us < 0 {
        out.push(b'-');
    }
    let (seconds, micros) = (us.unsigned_abs() / MICROS, us.unsigned_abs() % MICROS);
    let mut number = itoa::Buffer::new();
    out.extend_from_slice(number.format(seconds).as_bytes());
    out.push(b'.');
    // All six digits, by a seventh before them.
    let decimals = number.format(MICROS + micros).as_bytes();
    out.extend_from_slice(decimals.get(1..).unwrap_or_default());
}

/// Microseconds as `seconds.micros`.
pub fn format_us(us: i64) -> String {
    let mut text = Vec::new();
    write_us(us, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// Reads what [`write_us`] writes: a sign, digits, and up to six decimals. Exact; `None` for anything else.
pub fn parse_us(text: &[u8]) -> Option<i64> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(text) => (true, text),
        None => (false, text),
    };
    let mut parts = text.splitn(2, |&byte| byte == b'.');
    let whole = parts.next().filter(|whole| !whole.is_empty())?;
    let decimals = match parts.next() {
        Some(decimals) => Some(decimals).filter(|decimals| (1..=6).contains(&decimals.len()))?,
        None => b"",
    };
    let padding = std::iter::repeat_n(&b'0', 6 - decimals.len());
    // Counted downwards, for i64::MIN has no positive counterpart.
    let below = whole
        .iter()
        .chain(decimals)
        .chain(padding)
        .try_fold(0i64, |us, &digit| {
            if !digit.is_ascii_digit() {
                return None;
            }
            us.checked_mul(10)?.checked_sub(i64::from(digit - b'0'))
        })?;
    if negative {
        Some(below)
    } else {
        below.checked_neg()
    }
}

#[cfg(test)]
mod tests;
