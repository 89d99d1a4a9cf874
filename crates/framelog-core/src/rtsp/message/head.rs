//! A message's first line and fields. Not for its body.

use bytes::{BufMut as _, Bytes, BytesMut};
use memchr::{memchr, memchr_iter};

use super::begin::{Begin, begin};
use crate::header::Headers;

/// A head, and what it says about the body.
#[derive(Debug)]
pub struct Head {
    pub line: Bytes,
    pub first_line: FirstLine,
    pub headers: Headers,
    pub content_length: Option<usize>,
}

#[derive(Debug)]
pub enum FirstLine {
    Status(u16),
    Request(Bytes),
}

/// Behind the empty line; where that is missing, before the packet or the answer that follows a line. `from` is where to begin to look.
pub fn end(bytes: &[u8], from: usize) -> Option<usize> {
    for at in memchr_iter(b'\n', &bytes[from..]) {
        let next = from + at + 1;
        match &bytes[next..] {
            [b'\n', ..] => return Some(next + 1),
            [b'\r', b'\n', ..] => return Some(next + 2),
            rest if rest.starts_with(b"RTSP/") => return Some(next),
            rest if rest.first() == Some(&b'$') => match begin(rest) {
                Begin::Packet => return Some(next),
                // The line ends behind it may be a part of the packet.
                Begin::Unknown => return None,
                Begin::Message | Begin::No => {}
            },
            _ => {}
        }
    }
    None
}

impl Head {
    /// `None` if the first line is neither a request's nor an answer's.
    pub fn read(raw: &Bytes) -> Option<Self> {
        let line_end = memchr(b'\n', raw).map_or(raw.len(), |at| at + 1);
        let line = raw.slice_ref(raw[..line_end].trim_ascii());
        let headers = Headers::new(unfold(raw.slice(line_end..)));
        Some(Self {
            first_line: FirstLine::read(&line)?,
            content_length: headers.get("content-length").and_then(read_length),
            line,
            headers,
        })
    }

    /// Whether the body may be a description though the head says that it is something else: it has a type and no length.
    pub fn may_be_description(&self) -> bool {
        self.content_length.is_none() && self.headers.get("content-type").is_some()
    }

    /// Whether the body is a description of a session: text, of which cameras get the length wrong.
    pub fn is_description(&self) -> bool {
        let is_sdp = |kind: &[u8]| {
            kind.to_ascii_lowercase()
                .windows(3)
                .any(|word| word == b"sdp")
        };
        match self.headers.get("content-type") {
            Some(kind) => is_sdp(kind),
            None => self.content_length.is_none() && self.headers.get("content-base").is_some(),
        }
    }
}

impl FirstLine {
    /// `RTSP/1.0 200 OK`, `RTSP/1.0  200`, `rtsp/2.0 200 ok`, `HTTP/1.1 404 Not Found`; `OPTIONS rtsp://… RTSP/1.0`.
    fn read(line: &Bytes) -> Option<Self> {
        let mut words = line
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        let first = words.next()?;
        let protocol = &first[..first.len().min(4)];
        if protocol.eq_ignore_ascii_case(b"RTSP") || protocol.eq_ignore_ascii_case(b"HTTP") {
            return words.find_map(read_status).map(Self::Status);
        }
        Some(Self::Request(line.slice_ref(first)))
    }
}

fn read_status(word: &[u8]) -> Option<u16> {
    let status = std::str::from_utf8(word).ok()?.parse().ok()?;
    (100..=999).contains(&status).then_some(status)
}

/// The digits that it begins with; a length too large to be said is too large all the same.
fn read_length(value: &[u8]) -> Option<usize> {
    let digits = value
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let digits = std::str::from_utf8(&value[..digits])
        .ok()
        .filter(|digits| !digits.is_empty())?;
    Some(digits.parse().unwrap_or(usize::MAX))
}

/// Fields that go on in the next line, made into one line each (RFC 822 §3.1.1).
fn unfold(raw: Bytes) -> Bytes {
    let goes_on = |at: usize| matches!(raw.get(at + 1), Some(b' ' | b'\t'));
    if !memchr_iter(b'\n', &raw).any(goes_on) {
        return raw;
    }
    let mut unfolded = BytesMut::with_capacity(raw.len());
    for (at, &byte) in raw.iter().enumerate() {
        let end = if byte == b'\r' { at + 1 } else { at };
        let folded = raw.get(end) == Some(&b'\n') && goes_on(end);
        unfolded.put_u8(if folded { b' ' } else { byte });
    }
    unfolded.freeze()
}
