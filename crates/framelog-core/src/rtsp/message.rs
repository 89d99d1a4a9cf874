//! One connection's bytes to answers, requests and interleaved packets (RFC 2326 §4, §10.12), however they are mixed and cut. Not for
//! what they mean.
//!
//! The framing is sloppy on both layers, and each is the other's delimiter. Hence one rule: what has a length ends there if something that
//! can follow does follow. A camera whose socket was full has sent a part of a packet and then the next one; one that counted wrongly has a
//! description go on behind its Content-Length. Both show at the first byte that can't be the beginning of anything.

use std::ops::Range;

use bytes::{Buf as _, Bytes, BytesMut};
use memchr::{memchr_iter, memchr2_iter, memmem};

use crate::header::Headers;

mod begin;
mod head;

use begin::{BLANKS, Begin, PACKET_HEAD, begin, is_packet, packet_len};
use head::{FirstLine, Head};

/// The longest head, in bytes. Real ones have less than 1 KiB.
pub const HEAD_BYTES_MAX: usize = 64 << 10;
/// The longest body, in bytes. Descriptions have 1 to 4 KiB.
pub const BODY_BYTES_MAX: usize = 256 << 10;

/// The shortest report of RTCP: one of no sources (RFC 3550 §6.4.2).
const REPORT_BYTES_MIN: usize = 8;

/// How a description begins (RFC 4566 §5).
const DESCRIPTION: &[u8] = b"v=0";

/// So many frames of other kinds than RTP may stand in a row.
const OTHERS_MAX: usize = 16;

/// So many bytes behind a line end tell whether a head ends there.
const LOOKAHEAD: usize = 8;

/// Why the connection can't be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Over [`HEAD_BYTES_MAX`].
    #[error("a message whose head has no end within {HEAD_BYTES_MAX} bytes")]
    Head,
    /// Over [`BODY_BYTES_MAX`].
    #[error("a message with a body over {BODY_BYTES_MAX} bytes")]
    Body,
}

/// What a connection carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// An answer to a request of ours.
    Response(Response),
    /// A request from the camera.
    Request(Request),
    /// A packet of a medium.
    Packet(Packet),
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// 100 to 999.
    pub status: u16,
    /// The first line as it came, without its end.
    pub status_line: Bytes,
    /// Unfolded.
    pub headers: Headers,
    /// Empty if there is none.
    pub body: Bytes,
}

/// A request from the camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// As it came: `OPTIONS`, `ANNOUNCE`, …
    pub method: Bytes,
    /// Unfolded.
    pub headers: Headers,
    /// Empty if there is none.
    pub body: Bytes,
}

/// A packet of a medium: RTP or RTCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Of the two that a medium has.
    pub channel: u8,
    /// Without the four bytes before it; a slice of what was received.
    pub payload: Bytes,
    /// When its last byte arrived.
    pub received_us: i64,
}

/// Reads one connection: append what was received to [`buffer`](Reader::buffer), then [`poll`](Reader::poll) until there is nothing more.
///
/// What comes out depends on the bytes alone, not on how they were cut; [`settle`](Reader::settle) is the one exception, and it is the
/// caller's. No more is held than one message, or a packet and the 16 frames behind it that may be no RTP (1 MiB), and what was appended at once.
///
/// ```
/// use framelog_core::rtsp::message::{Item, Reader};
///
/// let mut reader = Reader::default();
/// reader.buffer().extend_from_slice(b"RTSP/1.0 200 OK\r\nCSeq: 4\r\n\r\n$\x00\x00\x0c\x80\x60\0\0\0\0\0\0\0\0\0\0");
/// let Ok(Some(Item::Response(response))) = reader.poll(0) else { panic!() };
/// assert_eq!(response.headers.get("cseq"), Some(&b"4"[..]));
/// assert_eq!(reader.poll(0), Ok(None)); // whether the packet ends here, the next byte will tell
/// reader.settle(false);
/// let Ok(Some(Item::Packet(packet))) = reader.poll(0) else { panic!() };
/// assert_eq!((packet.channel, packet.payload.len()), (0, 12));
/// ```
#[derive(Debug, Default)]
pub struct Reader {
    buffer: BytesMut,
    /// What the buffer begins with.
    state: State,
    /// When the packet that the buffer begins with was all there.
    whole_since_us: Option<i64>,
    /// Where the search for the next beginning goes on, from the buffer's begin.
    searched: usize,
    settled: Settled,
    passed_over: u64,
}

#[derive(Debug, Default)]
enum State {
    /// A message or packet, right behind the last.
    #[default]
    Start,
    /// Bytes that are nothing.
    Lost,
    /// The rest of a head.
    Head,
    /// The rest of this message.
    Body(Head),
}

/// What silence has decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Settled {
    #[default]
    No,
    /// What has its length is whole.
    Whole,
    /// What has come of a body is the body.
    Over,
}

/// What a look at the beginning of the buffer came to.
enum Look {
    Found(Item),
    /// Look again.
    Again,
    /// More bytes are needed.
    Short,
}

/// Whether there is a packet or an answer within a packet.
enum Within {
    Found(usize),
    Nothing,
    /// More bytes are needed.
    Short,
}

impl Reader {
    /// Where to append what was received.
    pub fn buffer(&mut self) -> &mut BytesMut {
        self.settled = Settled::No;
        &mut self.buffer
    }

    /// The next item; `None` when more bytes are needed. `now_us` is when the last of the bytes arrived.
    ///
    /// # Errors
    ///
    /// [`ReadError`], and from then on nothing else.
    pub fn poll(&mut self, now_us: i64) -> Result<Option<Item>, ReadError> {
        loop {
            let look = match self.state {
                State::Start | State::Lost => self.look_for_begin(now_us),
                State::Head => self.look_for_head_end()?,
                State::Body(_) => self.look_for_body_end()?,
            };
            match look {
                Look::Found(item) => return Ok(Some(item)),
                Look::Again => {}
                Look::Short => return Ok(None),
            }
        }
    }

    /// How many bytes are held.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Whether something waits for what follows it; [`settle`](Reader::settle) would have it out.
    pub fn is_waiting(&self) -> bool {
        !self.buffer.is_empty() || matches!(self.state, State::Body(_))
    }

    /// No bytes have come for a while: what has its announced length is whole. With `over`, nothing more is expected, and what has come of
    /// a body is all of it. Holds until more is appended; poll after it.
    pub fn settle(&mut self, over: bool) {
        self.settled = if over { Settled::Over } else { Settled::Whole };
    }

    /// How many bytes were part of nothing, so far.
    pub fn passed_over(&self) -> u64 {
        self.passed_over
    }

    fn look_for_begin(&mut self, now_us: i64) -> Look {
        let blanks = self.buffer.iter().take_while(|byte| BLANKS.contains(byte));
        let blanks = blanks.count();
        self.passed_over += if self.is_lost() { blanks as u64 } else { 0 };
        self.advance(blanks);
        match begin(&self.buffer) {
            Begin::Unknown => Look::Short,
            Begin::Packet => self.look_at_packet(now_us),
            Begin::Message => {
                self.state = State::Head;
                Look::Again
            }
            Begin::No if self.buffer[0] == b'$' && !self.is_lost() => self.look_at_packet(now_us),
            Begin::No => self.search(1),
        }
    }

    fn is_lost(&self) -> bool {
        matches!(self.state, State::Lost)
    }

    /// Passes over bytes that are nothing, up to what looks like a beginning, `from` there on.
    fn search(&mut self, from: usize) -> Look {
        self.state = State::Lost;
        let begins = |&at: &usize| begin(&self.buffer[at..]) != Begin::No;
        let found = (from..self.buffer.len()).find(begins);
        let end = found.unwrap_or(self.buffer.len());
        self.passed_over += end as u64;
        self.advance(end);
        Look::Again
    }

    /// A packet is whole if something follows that can; else there may be something within it, of which it was a part.
    fn look_at_packet(&mut self, now_us: i64) -> Look {
        let Some(end) = packet_len(&self.buffer).filter(|end| *end <= self.buffer.len()) else {
            // A length that nothing comes for is none; that of what doesn't even look like RTP is given up sooner.
            let patience = if is_packet(&self.buffer) {
                Settled::Over
            } else {
                Settled::Whole
            };
            return match self.settled >= patience && self.buffer.len() > PACKET_HEAD {
                true => self.search(1),
                false => Look::Short,
            };
        };
        let received_us = *self.whole_since_us.get_or_insert(now_us);
        let follows = self.begin_behind(end);
        if follows == Begin::Unknown && self.settled == Settled::No {
            return Look::Short;
        }
        let is_doubtful = follows == Begin::No || self.is_lost() && follows == Begin::Unknown;
        // What is too short to be a report is a packet only where one is due: `$$` before a packet's length looks like one.
        let is_likely = is_packet(&self.buffer) && end >= PACKET_HEAD + REPORT_BYTES_MIN;
        if follows == Begin::No && !is_likely {
            return self.search(1);
        }
        if is_doubtful {
            if let Some(look) = self.look_at_interrupted(end) {
                return look;
            }
            match self.begin_within(1..end) {
                Within::Found(at) => return self.search(at),
                Within::Nothing => {}
                Within::Short => return Look::Short,
            }
        }
        self.whole_since_us = None;
        self.searched = 0;
        self.state = State::Start;
        let mut packet = self.buffer.split_to(end);
        let channel = packet[1];
        packet.advance(PACKET_HEAD);
        Look::Found(Item::Packet(Packet {
            channel,
            payload: packet.freeze(),
            received_us,
        }))
    }

    /// Takes out the answer that stands within a packet, if the packet goes on behind it, and ends by so much later. It is sought first: bytes of a
    /// picture look like the beginning of a packet, but not like this.
    fn look_at_interrupted(&mut self, end: usize) -> Option<Look> {
        let begins = |&at: &usize| begin(&self.buffer[at..]) != Begin::No;
        let at = memchr_iter(b'R', &self.buffer[1..end])
            .map(|at| at + 1)
            .find(begins)?;
        let short = (self.settled == Settled::No).then_some(Look::Short);
        let Some(length) = head::end(&self.buffer[at..], 0) else {
            return short.filter(|_| self.buffer.len() - at <= HEAD_BYTES_MAX);
        };
        let behind = begin(&self.buffer[at + length..]);
        let is_there = self.buffer.len() >= end + length;
        let follows = match is_there {
            true => self.begin_behind(end + length),
            false => Begin::Unknown,
        };
        match (behind, follows) {
            (Begin::Unknown, _) => short,
            (Begin::No, Begin::Unknown) if short.is_some() || !is_there => short,
            (Begin::No, Begin::Unknown | Begin::Packet | Begin::Message) => {
                self.take_out(at, length)
            }
            _ => None,
        }
    }

    /// Takes out a message without a body.
    fn take_out(&mut self, at: usize, length: usize) -> Option<Look> {
        let raw = Bytes::copy_from_slice(&self.buffer[at..at + length]);
        let head = Head::read(&raw).filter(|head| head.content_length.unwrap_or(0) == 0)?;
        self.buffer.copy_within(at + length.., at);
        self.buffer.truncate(self.buffer.len() - length);
        self.searched = 0;
        Some(Look::Found(head.with(Bytes::new())))
    }

    /// What begins behind a packet; what is framed like one counts as nothing, so that what it carries needn't be RTP.
    fn begin_behind(&self, end: usize) -> Begin {
        let mut rest = &self.buffer[end..];
        for _ in 0..OTHERS_MAX {
            let begins = begin(rest);
            if begins != Begin::No || rest.first() != Some(&b'$') {
                return begins;
            }
            match packet_len(rest).and_then(|len| rest.get(len..)) {
                Some(behind) => rest = behind,
                None if self.settled == Settled::No => return Begin::Unknown,
                None => break,
            }
        }
        Begin::No
    }

    /// Where another packet begins that something follows, or an answer: cameras write both without waiting for each other.
    fn begin_within(&mut self, range: Range<usize>) -> Within {
        let from = range.start.max(self.searched);
        for at in memchr2_iter(b'$', b'R', &self.buffer[from..range.end]).map(|at| from + at) {
            let rest = &self.buffer[at..];
            let follows = match begin(rest) {
                Begin::Packet => packet_len(rest)
                    .and_then(|end| rest.get(end..))
                    .map_or(Begin::Unknown, begin),
                other => other,
            };
            match follows {
                Begin::Packet | Begin::Message => return Within::Found(at),
                Begin::No => {}
                Begin::Unknown if self.settled == Settled::No => {
                    self.searched = at;
                    return Within::Short;
                }
                // It ends where all ends.
                Begin::Unknown if packet_len(rest) == Some(rest.len()) => {
                    return Within::Found(at);
                }
                // A short silence says that what has its length is whole, but not which of the two it is.
                Begin::Unknown if self.settled < Settled::Over => {
                    self.searched = at;
                    return Within::Short;
                }
                Begin::Unknown => {}
            }
        }
        Within::Nothing
    }

    fn look_for_head_end(&mut self) -> Result<Look, ReadError> {
        let Some(end) = head::end(&self.buffer, self.searched) else {
            // What stands behind the last line end may be too short to tell.
            self.searched = self.buffer.len().saturating_sub(LOOKAHEAD);
            return match self.buffer.len() > HEAD_BYTES_MAX {
                true => Err(ReadError::Head),
                false => Ok(Look::Short),
            };
        };
        if end > HEAD_BYTES_MAX {
            return Err(ReadError::Head);
        }
        let raw = self.buffer.split_to(end).freeze();
        self.moved();
        match Head::read(&raw) {
            Some(head) => self.state = State::Body(head),
            None => {
                self.passed_over += end as u64;
                self.state = State::Lost;
            }
        }
        Ok(Look::Again)
    }

    fn look_for_body_end(&mut self) -> Result<Look, ReadError> {
        let State::Body(head) = &self.state else {
            return Ok(Look::Again);
        };
        let Some(is_text) = self.is_text(head) else {
            return Ok(Look::Short);
        };
        let has_length = head.content_length.is_some();
        let length = head.content_length.unwrap_or(0);
        if length > BODY_BYTES_MAX {
            return Err(ReadError::Body);
        }
        let end = match (self.buffer.get(length..), is_text) {
            (_, false) if length > 0 => self.end_of_body(length),
            (Some(_), false) => Some(length),
            (Some(after), true) => self.end_of_text(length, has_length, after),
            (None, _) => None,
        };
        let end = match end {
            Some(end) => end,
            None if self.buffer.len() > BODY_BYTES_MAX => return Err(ReadError::Body),
            None if self.settled == Settled::Over => self.buffer.len(),
            None => return Ok(Look::Short),
        };
        let body = self.buffer.split_to(end).freeze();
        self.moved();
        let State::Body(head) = std::mem::take(&mut self.state) else {
            return Ok(Look::Again);
        };
        Ok(Look::Found(head.with(body)))
    }

    /// Whether the body is a description, or begins as one though the head says that it is something else; `None` if more bytes will tell.
    fn is_text(&self, head: &Head) -> Option<bool> {
        if head.is_description() || !head.may_be_description() {
            return Some(head.is_description());
        }
        let begun = &self.buffer[..self.buffer.len().min(DESCRIPTION.len())];
        let is_told = begun == DESCRIPTION || !DESCRIPTION.starts_with(begun);
        (is_told || self.settled > Settled::No).then_some(begun == DESCRIPTION)
    }

    /// Where a body of this length ends: at once, where a packet or a message stands in its place. Some cameras give answers that have no body
    /// the length of another.
    fn end_of_body(&self, length: usize) -> Option<usize> {
        match begin(&self.buffer) {
            Begin::Packet | Begin::Message => Some(0),
            Begin::Unknown if self.settled == Settled::No => None,
            Begin::Unknown | Begin::No => (self.buffer.len() >= length).then_some(length),
        }
    }

    /// Where a description ends: behind its length, if anything can begin there, else before what looks like a beginning.
    fn end_of_text(&self, length: usize, has_length: bool, after: &[u8]) -> Option<usize> {
        match begin(after) {
            Begin::Packet | Begin::Message => return Some(length),
            // Without a length there is no telling before it is quiet.
            Begin::Unknown if has_length && self.settled >= Settled::Whole => return Some(length),
            Begin::Unknown => return None,
            Begin::No => {}
        }
        let answer = memmem::find(after, b"\nRTSP/").map(|at| at + 1);
        let packet = memchr_iter(b'$', after).find(|&at| is_packet(&after[at..]));
        let found = answer.into_iter().chain(packet).min();
        let all = (has_length && self.settled >= Settled::Whole).then_some(after.len());
        Some(length + found.or(all)?)
    }

    fn advance(&mut self, count: usize) {
        self.buffer.advance(count);
        if count > 0 {
            self.moved();
        }
    }

    fn moved(&mut self) {
        self.searched = 0;
        self.whole_since_us = None;
    }
}

impl Head {
    fn with(self, body: Bytes) -> Item {
        match self.first_line {
            FirstLine::Status(status) => Item::Response(Response {
                status,
                status_line: self.line,
                headers: self.headers,
                body,
            }),
            FirstLine::Request(method) => Item::Request(Request {
                method,
                headers: self.headers,
                body,
            }),
        }
    }
}

/// A request or an answer, as it goes over the wire.
pub fn write(first_line: &str, fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut message = first_line.as_bytes().to_vec();
    message.extend_from_slice(b"\r\n");
    for (name, value) in fields {
        message.extend_from_slice(name.as_bytes());
        message.extend_from_slice(b": ");
        message.extend_from_slice(value);
        message.extend_from_slice(b"\r\n");
    }
    message.extend_from_slice(b"\r\n");
    message
}

#[cfg(test)]
mod tests;
