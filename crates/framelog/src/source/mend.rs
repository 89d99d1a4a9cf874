//! A response head as a camera sends it, made into one that an HTTP parser accepts. Pure: bytes in, bytes out.
//!
//! What decides where the body ends (lengths, codings, keep-alive) is read here and kept from the parser, because cameras
//! contradict themselves there. Not for what the fields mean otherwise, nor for part headers, which are the multipart parser's.

use bytes::Bytes;

/// The longest head, in bytes, interim (1xx) heads and junk before it included.
pub const HEAD_BYTES_MAX: usize = 64 << 10;

/// The most fields that are passed on; the rest of the head is read over.
pub const FIELDS_MAX: usize = 1000;

/// The status line of a head that has none.
const STATUS_UNSAID: &[u8] = b"HTTP/1.0 200 OK";

/// How much junk before the status line is read over, in bytes: leftovers of an earlier answer, a line of debugging output.
const JUNK_BYTES_MAX: usize = 4 << 10;

/// A head that has been mended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mended {
    /// What a strict HTTP/1.1 parser takes: a status line, at most [`FIELDS_MAX`] fields without any about the body's framing, an empty line.
    pub head: Bytes,
    /// The fields alone, for readers of field lines.
    pub fields: Bytes,
    /// Where the body begins in the bytes that came.
    pub body_at: usize,
    /// The status line as it came; empty if there was none: fields alone, or no head at all (HTTP/0.9).
    pub status_line: Bytes,
    /// Content-Length, if there is one that can be believed: a number, and the same in all fields.
    pub content_length: Option<u64>,
    /// Whether a Transfer-Encoding says chunked, under any version.
    pub chunked: bool,
    /// Whether the camera says that the connection can be used again.
    pub keep_alive: bool,
}

/// What is wrong with the bytes, for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MendError {
    /// Longer than [`HEAD_BYTES_MAX`].
    #[error("the response head is longer than {HEAD_BYTES_MAX} bytes")]
    TooLong,
    /// No status line, and nothing that looks like pictures either.
    #[error("the answer is not HTTP")]
    NotHttp,
    /// A status code that is no three-digit number.
    #[error("the status code {0} is not from 100 to 999")]
    Status(u32),
}

/// Mends a head that comes in pieces. However small they are, the bytes are gone through a few times in all, and not once for each piece.
#[derive(Debug, Default)]
pub struct Mender {
    seen: usize,
    tried: usize,
}

impl Mender {
    /// As [`mend`], with ever more bytes in `raw`.
    ///
    /// # Errors
    ///
    /// [`MendError`], when no further bytes could make it a head.
    pub fn mend(&mut self, raw: &[u8], ended: bool) -> Result<Option<Mended>, MendError> {
        let fresh = &raw[self.seen.saturating_sub(2)..];
        self.seen = raw.len();
        // An answer without a head, or one that isn't HTTP, shows by its length alone.
        let long = raw.len() >= HEAD_BYTES_MAX.min(2 * self.tried);
        if !(ended || long || has_head_end(fresh)) {
            return Ok(None);
        }
        self.tried = raw.len();
        mend(raw, ended)
    }
}

/// Whether there is an empty line in any style, or a line that belongs to a body.
fn has_head_end(bytes: &[u8]) -> bool {
    let is_end = |byte: u8| b"\r\n".contains(&byte);
    bytes
        .windows(2)
        .any(|two| is_end(two[0]) && is_end(two[1]) && two != b"\r\n")
        || bytes
            .windows(3)
            .any(|three| is_end(three[0]) && [&b"--"[..], b"\xff\xd8"].contains(&&three[1..]))
}

/// Mends the head at the beginning of `raw`. `None`: it is not all there yet. `ended` says that no more bytes will come.
///
/// # Errors
///
/// [`MendError`], when no further bytes could make it a head.
pub fn mend(raw: &[u8], ended: bool) -> Result<Option<Mended>, MendError> {
    let mut at = 0;
    loop {
        let Some(start) = find_start(&raw[at..], ended)? else {
            return more(raw);
        };
        at += match start {
            Start::Body => return Ok(Some(headless(at))),
            Start::Status(begin) | Start::Fields(begin) => begin,
        };
        let Some(style) = LineEnds::of(&raw[at..], ended) else {
            return more(raw);
        };
        let Some((mut lines, body)) = read_lines(&raw[at..], style, ended) else {
            return more(raw);
        };
        if let Start::Fields(_) = start {
            lines.insert(0, STATUS_UNSAID);
            return Ok(Some(Mended {
                status_line: Bytes::new(),
                ..write(&lines, at + body)
            }));
        }
        let line = lines.first().copied().unwrap_or_default();
        let code = StatusLine::read(line).map_or(0, |line| line.code);
        match code {
            100..=199 => at += body,
            200..=999 => return Ok(Some(write(&lines, at + body))),
            code => return Err(MendError::Status(code)),
        }
    }
}

fn more(raw: &[u8]) -> Result<Option<Mended>, MendError> {
    if raw.len() >= HEAD_BYTES_MAX {
        Err(MendError::TooLong)
    } else {
        Ok(None)
    }
}

/// A made-up head for a body that came without one.
fn headless(body_at: usize) -> Mended {
    Mended {
        head: Bytes::from_static(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"),
        fields: Bytes::new(),
        body_at,
        status_line: Bytes::new(),
        content_length: None,
        chunked: false,
        keep_alive: false,
    }
}

/// How an answer begins.
enum Start {
    /// With a status line, which begins there.
    Status(usize),
    /// With fields, as a CGI program writes them for a server that should have put the status before them.
    Fields(usize),
    /// With pictures: there is no head.
    Body,
}

/// Finds the status line, or sees that there is none because all of the fields or the body are already here.
fn find_start(raw: &[u8], ended: bool) -> Result<Option<Start>, MendError> {
    let blanks = raw
        .iter()
        .take_while(|byte| byte.is_ascii_whitespace() || **byte == 0)
        .count();
    let first = &raw[blanks..];
    if begins_body(first) {
        return Ok(Some(Start::Body));
    }
    for at in line_starts(first).take_while(|&at| at <= JUNK_BYTES_MAX) {
        let line = &first[at..];
        let whole = line.iter().any(|byte| b"\r\n".contains(byte)) || ended;
        if whole && StatusLine::read(first_line(line)).is_some() {
            return Ok(Some(Start::Status(blanks + at)));
        }
    }
    if let Some(at) = find_status_in_line(first) {
        return Ok(Some(Start::Status(blanks + at)));
    }
    if begins_fields(first, ended) {
        return Ok(Some(Start::Fields(blanks)));
    }
    if ended || first.len() > JUNK_BYTES_MAX + 1024 {
        Err(MendError::NotHttp)
    } else {
        Ok(None)
    }
}

/// Whether these bytes are those of pictures: a JPEG, a delimiter, a part's header.
fn begins_body(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\xff\xd8")
        || bytes.starts_with(b"--")
        || bytes
            .get(..8)
            .is_some_and(|name| name.eq_ignore_ascii_case(b"content-"))
}

/// Whether these bytes are a whole head but for its status line. Debugging output in front of one has no Content-Type.
fn begins_fields(bytes: &[u8], ended: bool) -> bool {
    let lines = LineEnds::of(bytes, ended).and_then(|style| read_lines(bytes, style, ended));
    let lines = lines.map(|(lines, _)| lines).unwrap_or_default();
    let is_type = |(name, _): &(Vec<u8>, Vec<u8>)| name.eq_ignore_ascii_case(b"content-type");
    let is_field = |line: &&[u8]| !read_fields(&[*line]).is_empty();
    lines.first().is_some_and(is_field) && read_fields(&lines).iter().any(is_type)
}

fn line_starts(bytes: &[u8]) -> impl Iterator<Item = usize> {
    std::iter::once(0).chain(
        bytes
            .iter()
            .enumerate()
            .filter(|(_, byte)| b"\r\n".contains(byte))
            .map(|(at, _)| at + 1),
    )
}

fn first_line(bytes: &[u8]) -> &[u8] {
    bytes
        .split(|byte| b"\r\n".contains(byte))
        .next()
        .unwrap_or_default()
}

/// `HTTP/` behind junk on the same line, as when the body of an earlier answer was longer than announced.
fn find_status_in_line(bytes: &[u8]) -> Option<usize> {
    let window = &bytes[..bytes.len().min(JUNK_BYTES_MAX)];
    (0..window.len().saturating_sub(5)).find(|&at| {
        let rest = &bytes[at..];
        rest.starts_with(b"HTTP/")
            && rest.iter().any(|byte| b"\r\n".contains(byte))
            && StatusLine::read(first_line(rest)).is_some()
    })
}

/// A status line, taken apart with patience.
struct StatusLine<'a> {
    persistent: bool,
    code: u32,
    reason: &'a [u8],
}

impl<'a> StatusLine<'a> {
    /// Reads `HTTP/1.1 200 OK`, `HTTP/1.1200 OK`, `ICY 200`, `RTSP/1.0  200 OK`, `http 200 OK`, `200 OK`, `Status: 200 OK`.
    fn read(line: &'a [u8]) -> Option<Self> {
        let line = line.trim_ascii();
        let word_end = line
            .iter()
            .position(u8::is_ascii_whitespace)
            .unwrap_or(line.len());
        let (word, rest) = line.split_at(match &line[..word_end] {
            [b'H' | b'h', _, _, _, b'/', _, b'.', _, code @ ..] if is_code(code) => word_end - 3,
            _ => word_end,
        });
        let named = ["http", "icy", "rtsp", "status:"].iter().any(|name| {
            word.get(..name.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
        });
        let rest = if named { rest.trim_ascii_start() } else { line };
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (code, reason) = rest.split_at(digits);
        let ends = reason
            .first()
            .is_none_or(|byte| !byte.is_ascii_graphic() || named && digits == 3);
        if digits == 0 || !ends || !named && digits != 3 {
            return None;
        }
        let code = code.iter().fold(0u32, |code, digit| {
            code.saturating_mul(10)
                .saturating_add(u32::from(digit - b'0'))
        });
        let persistent = word.eq_ignore_ascii_case(b"HTTP/1.1");
        Some(Self {
            persistent,
            code,
            reason: reason.trim_ascii(),
        })
    }
}

fn is_code(bytes: &[u8]) -> bool {
    bytes.len() == 3 && bytes.iter().all(u8::is_ascii_digit)
}

/// What ends the lines of a head.
#[derive(Clone, Copy, PartialEq)]
enum LineEnds {
    /// LF, with any number of CRs before it.
    Lf,
    /// CR; a LF after it belongs to it.
    Cr,
}

impl LineEnds {
    /// Decided by the first line end; `None` while that is not all there.
    fn of(head: &[u8], ended: bool) -> Option<Self> {
        let end = head.iter().position(|byte| b"\r\n".contains(byte));
        let Some(end) = end else {
            return ended.then_some(Self::Lf);
        };
        let after = head[end..].iter().find(|byte| **byte != b'\r');
        match after {
            Some(b'\n') => Some(Self::Lf),
            Some(_) => Some(Self::Cr),
            None => ended.then_some(Self::Cr),
        }
    }
}

/// The lines up to the empty one, and where the body begins; `None` if the empty line is not there yet. A body that begins
/// without an empty line before it ends the head too.
fn read_lines(head: &[u8], style: LineEnds, ended: bool) -> Option<(Vec<&[u8]>, usize)> {
    let mut lines = Vec::new();
    let mut at = 0;
    while at < head.len() {
        let rest = &head[at..];
        if rest.starts_with(b"--") || rest.starts_with(b"\xff\xd8") {
            return Some((lines, at));
        }
        let end = match style {
            LineEnds::Lf => memchr::memchr(b'\n', rest),
            LineEnds::Cr => memchr::memchr2(b'\r', b'\n', rest),
        };
        let Some(end) = end else { break };
        let crlf = style == LineEnds::Cr && rest[end..].starts_with(b"\r\n");
        at += end + if crlf { 2 } else { 1 };
        let line = trim_cr(&rest[..end]);
        if line.is_empty() {
            return Some((lines, at));
        }
        lines.push(line);
    }
    if !ended || lines.is_empty() && at == head.len() {
        return None;
    }
    if at < head.len() {
        lines.push(trim_cr(&head[at..]));
    }
    Some((lines, head.len()))
}

fn trim_cr(line: &[u8]) -> &[u8] {
    let kept = line
        .iter()
        .rposition(|byte| *byte != b'\r')
        .map_or(0, |last| last + 1);
    &line[..kept]
}

/// Writes the mended head: first the status line, then the fields that say nothing about framing.
fn write(lines: &[&[u8]], body_at: usize) -> Mended {
    let (first, rest) = lines
        .split_first()
        .map_or((&b""[..], lines), |(first, rest)| (*first, rest));
    let status = StatusLine::read(first);
    let mut framing = Framing::new(status.as_ref().is_some_and(|status| status.persistent));
    let mut fields = Vec::new();
    for (name, value) in read_fields(rest).into_iter().take(FIELDS_MAX) {
        if !framing.take(&name, &value) {
            fields.extend_from_slice(&[&name[..], b": ", &value, b"\r\n"].concat());
        }
    }
    let code = status.as_ref().map_or(0, |status| status.code);
    let mut head = format!("HTTP/1.1 {code} ").into_bytes();
    head.extend(clean(status.map_or(&b""[..], |status| status.reason)));
    head.extend_from_slice(b"\r\nConnection: close\r\n");
    head.extend_from_slice(&fields);
    head.extend_from_slice(b"\r\n");
    Mended {
        head: head.into(),
        fields: fields.into(),
        body_at,
        status_line: Bytes::copy_from_slice(first),
        content_length: framing.length.flatten(),
        chunked: framing.chunked,
        keep_alive: framing.keep_alive,
    }
}

/// Names and values: folded lines joined, lines without a name passed over, bytes that no value may have made blanks.
fn read_fields(lines: &[&[u8]]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut fields: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for line in lines {
        if let (true, Some((_, value))) = (
            line.starts_with(b" ") || line.starts_with(b"\t"),
            fields.last_mut(),
        ) {
            value.push(b' ');
            value.extend(clean(line.trim_ascii()));
            continue;
        }
        let Some(colon) = memchr::memchr(b':', line) else {
            continue;
        };
        let name = line[..colon].trim_ascii();
        if !name.is_empty() && name.iter().all(|byte| is_token(*byte)) {
            fields.push((
                name.to_vec(),
                clean(&line[colon + 1..]).trim_ascii().to_vec(),
            ));
        }
    }
    fields
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn clean(value: &[u8]) -> Vec<u8> {
    value
        .iter()
        .map(|byte| if byte.is_ascii_control() { b' ' } else { *byte })
        .collect()
}

/// What the fields say about where the body ends and what comes then.
struct Framing {
    /// Outer: whether there was a Content-Length; inner: whether it can be believed.
    length: Option<Option<u64>>,
    chunked: bool,
    keep_alive: bool,
}

impl Framing {
    fn new(keep_alive: bool) -> Self {
        Self {
            length: None,
            chunked: false,
            keep_alive,
        }
    }

    /// Takes a field in, if it is about framing.
    fn take(&mut self, name: &[u8], value: &[u8]) -> bool {
        match name.to_ascii_lowercase().as_slice() {
            b"content-length" => {
                for value in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    let length = read_length(value);
                    self.length =
                        Some(length.filter(|_| self.length.is_none_or(|before| before == length)));
                }
            }
            b"transfer-encoding" => self.chunked |= has_word(value, b"chunked"),
            b"connection" | b"proxy-connection" => {
                self.keep_alive = (self.keep_alive || has_word(value, b"keep-alive"))
                    && !has_word(value, b"close");
            }
            b"keep-alive" | b"upgrade" | b"trailer" | b"te" => {}
            _ => return false,
        }
        true
    }
}

fn read_length(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value)
        .ok()
        .filter(|_| digits)?
        .parse()
        .ok()
        .filter(|length| *length <= i64::MAX as u64)
}

fn has_word(value: &[u8], word: &[u8]) -> bool {
    value
        .split(|byte| b",; \t".contains(byte))
        .any(|found| found.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests;
