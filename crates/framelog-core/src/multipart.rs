//! The parser: bytes of a camera's body in, in any split; parts out. Cameras and framelog's own segments alike.
//!
//! Not for what a part's headers mean, nor for transfer codings: chunks are taken off before.

use bytes::Bytes;
use memchr::memmem;

use crate::delimiter::{self, Delimiter, Found, LINE_MAX, Line, Next};
use crate::frame::Payload;
use crate::header::Headers;
use crate::jpeg::{EOI, SOI, Walk, Walker};
use crate::window::Window;

/// Bounds on what a camera can make us hold, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest payload. Default 32 MiB.
    pub part_bytes_max: usize,
    /// The largest block of header lines. Default 16 KiB.
    pub header_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            part_bytes_max: 32 << 20,
            header_bytes_max: 16 << 10,
        }
    }
}

/// A JPEG, with the header lines that came before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its header lines; empty in a bare sequence of JPEGs.
    pub headers: Headers,
    /// The picture.
    pub payload: Payload,
    /// Where the payload begins, in bytes from the first one pushed.
    pub offset: u64,
    /// The `now_us` of the push that brought its last byte.
    pub received_us: i64,
    /// Whether the JPEG ends with its EOI.
    pub complete: bool,
}

/// Why a part was passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// No payload.
    Empty,
    /// Text, XML or anything else that does not begin with SOI.
    NotPicture,
    /// A JPEG that was cut off before its picture data, or by the end of the stream.
    Torn,
    /// Larger than [`Limits::part_bytes_max`], or its headers than [`Limits::header_bytes_max`].
    TooLarge,
}

/// A part that was not handed out, for the caller to count and to log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Why.
    pub reason: SkipReason,
    /// Its header lines, as far as they could be read.
    pub headers: Headers,
    /// How many bytes of payload were passed over.
    pub bytes: u64,
    /// The first of them, at most 512: AxxonSoft puts its error code there.
    pub beginning: Bytes,
}

/// What [`Parser::poll`] gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A picture.
    Part(Part),
    /// A part that is none.
    Skipped(Skipped),
}

/// How often a length must be right before it is believed unseen again.
const PENANCE: u8 = 16;
/// A length up to here is believed from the start; above, and above four times the largest part so far, it is checked as the bytes come,
/// because waiting for a length that is a lie costs every frame within it its time.
const LENGTH_UNSURPRISING: u64 = 512 << 10;
/// How far behind an EOI padding may reach in a part without a length, in bytes.
const PADDING_MAX: u64 = 64 << 10;
/// The longest line end: CR CR LF, in bytes.
const LINE_END_MAX: u64 = 3;
/// How far a search looks at first, in bytes; then twice as far again and again, so that what is near costs little however much is here.
const SEARCH_BYTES: u64 = 1 << 10;
/// How much of a part that is no picture is shown, in bytes.
const BEGINNING_MAX: usize = 512;

#[derive(Debug)]
enum State {
    /// Before the first part, or between two. `clean`: nothing but line ends since the last one.
    Border { clean: bool },
    /// Header lines since `start`; the next one begins at `line`.
    Headers { start: u64, line: u64 },
    /// Behind the header lines.
    Payload(Pending),
}

/// A part whose payload has begun.
#[derive(Debug)]
struct Pending {
    headers: Headers,
    /// Where the payload begins.
    start: u64,
    /// Its length as declared, if that can be right.
    length: Option<u64>,
    /// No boundary and no header line came before it.
    bare: bool,
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// Too few bytes to tell what it is.
    Unknown,
    /// Not a picture: the delimiter is looked for from here on.
    Other { searched: u64 },
    /// A JPEG whose length is believed.
    Counted,
    /// A JPEG whose end is found by its structure.
    Walked(Walker),
    /// A JPEG with an EOI at `end`, but what follows is no delimiter: padding, perhaps.
    Padded { end: u64, searched: u64 },
    /// A JPEG whose structure broke: the delimiter is looked for from here on.
    Broken { has_scan: bool, searched: u64 },
}

/// What one step made of a state.
enum Step {
    /// Go on with this state.
    Go(State),
    /// An event, and the state behind it.
    Give(Event, State),
    /// More bytes are wanted.
    Wait(State),
}

/// See the module.
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    window: Window,
    delimiter: Delimiter,
    state: State,
    /// No more bytes will come.
    finished: bool,
    /// No more bytes came for a while.
    settling: bool,
    evidence: bool,
    penance: u8,
    largest: u64,
    no_delimiter: Searched,
    no_field: Searched,
    scratch: Vec<u8>,
}

/// A stretch of the input in which nothing was found, so that it is not gone over again for each of a thousand pictures in it.
#[derive(Debug, Default)]
struct Searched {
    from: u64,
    to: u64,
}

impl Searched {
    /// Where a search from this position on really has to begin.
    fn behind(&self, position: u64) -> u64 {
        if (self.from..self.to).contains(&position) {
            self.to
        } else {
            position
        }
    }

    fn note(&mut self, from: u64, to: u64) {
        if (self.from..=self.to).contains(&from) {
            self.to = self.to.max(to);
        } else {
            *self = Self { from, to };
        }
    }
}

impl Parser {
    /// A parser for a body. `boundary` is the parameter of the Content-Type, if there was one; the body is believed over it.
    pub fn new(boundary: Option<&[u8]>, limits: Limits) -> Self {
        Self {
            limits,
            window: Window::default(),
            delimiter: Delimiter::new(boundary),
            state: State::Border { clean: true },
            finished: false,
            settling: false,
            evidence: false,
            penance: 0,
            largest: LENGTH_UNSURPRISING / 4,
            no_delimiter: Searched::default(),
            no_field: Searched::default(),
            scratch: Vec::new(),
        }
    }

    /// Takes the next bytes, which arrived at `now_us`.
    pub fn push(&mut self, bytes: Bytes, now_us: i64) {
        self.settling = false;
        self.window.push(bytes, now_us);
    }

    /// The body is a picture and no multipart: `length` is what the response's head announced for it, and is checked as a part's is.
    /// To be called before anything but line ends has been polled.
    pub fn expect_picture(&mut self, length: Option<u64>) {
        let start = self.window.start();
        self.state = self.pending(Headers::default(), start, length, length.is_none());
    }

    /// No more bytes will come: a JPEG that is whole is handed out by the next [`Parser::poll`], a torn one is skipped.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// No bytes have come for a while (some 200 ms): the next [`Parser::poll`] hands out a JPEG that is whole even if what follows it, by
    /// which its length would be confirmed, has not come yet.
    pub fn settle(&mut self) {
        self.settling = true;
    }

    /// Bytes held that have not been handed out.
    pub fn pending_bytes(&self) -> u64 {
        self.window.end() - self.window.start()
    }

    /// Whether a picture has begun and not been handed out: what [`Parser::settle`] could help with.
    pub fn holds_picture(&self) -> bool {
        let State::Payload(pending) = &self.state else {
            return false;
        };
        matches!(
            pending.body,
            Body::Counted | Body::Walked(_) | Body::Padded { .. }
        )
    }

    /// Whether anything in the bytes so far (a delimiter, a part header, an SOI) looks like pictures.
    pub fn has_evidence(&self) -> bool {
        self.evidence
    }

    /// The next event, or `None` when more bytes are wanted.
    pub fn poll(&mut self) -> Option<Event> {
        loop {
            let step = match std::mem::replace(&mut self.state, State::Border { clean: false }) {
                State::Border { clean } => self.border(clean),
                State::Headers { start, line } => self.headers(start, line),
                State::Payload(pending) => self.payload(pending),
            };
            match step {
                Step::Go(state) => self.state = state,
                Step::Give(event, state) => {
                    self.state = state;
                    return Some(event);
                }
                Step::Wait(state) => {
                    self.state = state;
                    self.settling = false;
                    return None;
                }
            }
        }
    }

    /// Between parts: passes over line ends and junk to the next delimiter, header line or SOI.
    fn border(&mut self, clean: bool) -> Step {
        let at = self.pass_filler(self.window.start());
        self.window.skip_to(at);
        if at == self.window.end() {
            return Step::Wait(State::Border { clean });
        }
        let may_be_bare = clean || !self.delimiter.is_learned();
        match self.window.begins(at, &[SOI[0], SOI[1], 0xFF]) {
            Some(true) if may_be_bare => {
                let bare = !self.delimiter.is_learned();
                return Step::Go(self.begin_payload(Headers::default(), at, bare));
            }
            None if !self.finished => return Step::Wait(State::Border { clean }),
            _ => {}
        }
        let line = self
            .line_at(at)
            .filter(|(_, next)| next - at <= self.limits.header_bytes_max as u64);
        let junk_end = at + self.limits.header_bytes_max as u64;
        if !self.delimiter.is_learned()
            && let Some(soi) = self.find_soi(at, line.map_or(junk_end, |(line_end, _)| line_end))
        {
            self.window.skip_to(soi);
            return Step::Go(State::Border { clean: true });
        }
        let Some((line_end, next)) = line else {
            if !self.finished && self.window.end() <= junk_end + LINE_END_MAX {
                return Step::Wait(State::Border { clean });
            }
            self.window.skip_to(junk_end);
            return Step::Go(State::Border { clean: false });
        };
        self.copy(at, line_end);
        match self.delimiter.classify(&self.scratch, clean) {
            Line::Delimiter { headers_at } => {
                self.evidence = true;
                // It may have been learnt just now: what is no other one may be this one.
                self.no_delimiter = Searched::default();
                let start = headers_at.map_or(next, |offset| at + offset as u64);
                self.window.skip_to(start);
                Step::Go(State::Headers { start, line: start })
            }
            Line::Header => {
                self.evidence = true;
                Step::Go(State::Headers {
                    start: at,
                    line: at,
                })
            }
            Line::Other => {
                self.window.skip_to(next);
                Step::Go(State::Border { clean: false })
            }
        }
    }

    /// Reads header lines up to the empty line, a delimiter, or an SOI where the empty line is missing.
    fn headers(&mut self, start: u64, mut line: u64) -> Step {
        loop {
            match self.window.begins(line, &SOI) {
                Some(true) => return Step::Go(self.begin_payload_after(start, line, line)),
                None if !self.finished => return Step::Wait(State::Headers { start, line }),
                _ => {}
            }
            let Some((line_end, next)) = self.line_at(line) else {
                return if self.held_since(start)
                    > self.limits.header_bytes_max as u64 + LINE_END_MAX
                {
                    self.give_up_headers(start)
                } else if self.finished {
                    self.window.skip_to(self.window.end());
                    Step::Wait(State::Border { clean: false })
                } else {
                    Step::Wait(State::Headers { start, line })
                };
            };
            if next - start > self.limits.header_bytes_max as u64 {
                return self.give_up_headers(start);
            }
            if line_end == line {
                return Step::Go(self.begin_payload_after(start, line, next));
            }
            if self.window.byte(line) == Some(b'-') || self.delimiter.may_lack_dashes() {
                self.copy(line, line_end);
                if self.delimiter.interrupts_headers(&self.scratch) {
                    self.window.skip_to(line);
                    return Step::Go(State::Border { clean: true });
                }
            }
            line = next;
        }
    }

    fn give_up_headers(&mut self, start: u64) -> Step {
        let bytes = self.limits.header_bytes_max as u64;
        let beginning = self.beginning(start, start + bytes);
        self.window.skip_to(start + bytes);
        Step::Give(
            skip(SkipReason::TooLarge, Headers::default(), bytes, beginning),
            State::Border { clean: false },
        )
    }

    fn begin_payload_after(&mut self, start: u64, headers_end: u64, payload: u64) -> State {
        let headers = Headers::new(self.window.one_piece(start, headers_end));
        self.begin_payload(headers, payload, false)
    }

    fn begin_payload(&mut self, headers: Headers, start: u64, bare: bool) -> State {
        self.evidence |= bare;
        self.window.skip_to(start);
        let length = headers.get("content-length").and_then(read_length);
        self.pending(headers, start, length, bare)
    }

    fn pending(&self, headers: Headers, start: u64, length: Option<u64>, bare: bool) -> State {
        State::Payload(Pending {
            headers,
            start,
            length: length
                .filter(|length| (1..=self.limits.part_bytes_max as u64).contains(length)),
            bare,
            body: Body::Unknown,
        })
    }

    fn payload(&mut self, mut pending: Pending) -> Step {
        match std::mem::replace(&mut pending.body, Body::Unknown) {
            Body::Unknown => self.recognise(pending),
            Body::Other { searched } => self.pass_over(pending, searched),
            Body::Counted => self.count(pending),
            Body::Walked(walker) => self.walk(pending, walker),
            Body::Padded { end, searched } => self.end_of_padding(pending, end, searched),
            Body::Broken { has_scan, searched } => self.end_of_broken(pending, has_scan, searched),
        }
    }

    /// Tells a picture from an empty part, from more header lines, and from anything else.
    fn recognise(&mut self, mut pending: Pending) -> Step {
        // Used up at once: there may be no end of them.
        let at = self.pass_line_ends(pending.start);
        self.window.skip_to(at);
        pending.start = at;
        match self.window.begins(at, &SOI) {
            Some(true) => {
                self.evidence = true;
                let surprising = pending
                    .length
                    .is_some_and(|length| length > LENGTH_UNSURPRISING.max(4 * self.largest));
                let counted = pending.length.is_some() && self.penance == 0 && !surprising;
                pending.body = if counted {
                    Body::Counted
                } else {
                    Body::Walked(Walker::default())
                };
                return Step::Go(State::Payload(pending));
            }
            None if !self.finished => return Step::Wait(State::Payload(pending)),
            _ => {}
        }
        match self.next(at) {
            Next::Unknown if !self.finished => Step::Wait(State::Payload(pending)),
            Next::Delimiter => Step::Give(
                skip(SkipReason::Empty, pending.headers, 0, Bytes::new()),
                State::Border { clean: true },
            ),
            Next::Field => Step::Go(State::Headers {
                start: at,
                line: at,
            }),
            _ if self.held_since(at) == 0 => Step::Give(
                skip(SkipReason::Empty, pending.headers, 0, Bytes::new()),
                State::Border { clean: true },
            ),
            _ => {
                pending.body = Body::Other {
                    searched: pending.start,
                };
                Step::Go(State::Payload(pending))
            }
        }
    }

    /// A part that is no picture, or one with junk before its SOI.
    fn pass_over(&mut self, mut pending: Pending, searched: u64) -> Step {
        let limit = pending.start + self.junk_max();
        let (delimiter, searched_now) = self.find_delimiter(pending.start, searched, limit);
        let before = delimiter.unwrap_or(limit.min(self.window.end()));
        if !is_text_type(&pending.headers)
            && let Some(soi) = self.find_soi(searched.saturating_sub(2).max(pending.start), before)
        {
            pending = Pending {
                start: soi,
                length: None,
                body: Body::Walked(Walker::default()),
                ..pending
            };
            self.window.skip_to(soi);
            self.evidence = true;
            return Step::Go(State::Payload(pending));
        }
        if delimiter.is_none() && searched_now < limit && !self.finished {
            pending.body = Body::Other {
                searched: searched_now,
            };
            return Step::Wait(State::Payload(pending));
        }
        let beginning = self.beginning(pending.start, before);
        let bytes = before - pending.start;
        self.window.skip_to(before);
        let event = skip(SkipReason::NotPicture, pending.headers, bytes, beginning);
        Step::Give(
            event,
            State::Border {
                clean: delimiter.is_some(),
            },
        )
    }

    /// A JPEG with a length that is believed: handed out unseen if both its ends fit, else only when what follows confirms it.
    fn count(&mut self, mut pending: Pending) -> Step {
        let Some(end) = pending.length.map(|length| pending.start + length) else {
            pending.body = Body::Walked(Walker::default());
            return Step::Go(State::Payload(pending));
        };
        if self.window.end() < end {
            // The length may be too large: a JPEG that is whole must not wait for the next one.
            pending.body = if self.finished || self.settling {
                Body::Walked(Walker::default())
            } else {
                Body::Counted
            };
            let state = State::Payload(pending);
            return if self.finished || self.settling {
                Step::Go(state)
            } else {
                Step::Wait(state)
            };
        }
        if self.ends_in_eoi(pending.start, end) && !self.ends_in_headers(pending.start, end) {
            return self.give(pending, end, true);
        }
        let next = self.next(end);
        if next == Next::Unknown && !self.finished && !self.settling {
            pending.body = Body::Counted;
            return Step::Wait(State::Payload(pending));
        }
        let mut walker = Walker::default();
        let complete = self.take(&mut walker, pending.start, end) == Walk::End;
        let structural_end = pending.start + walker.taken() as u64;
        let refuted = matches!(next, Next::Other | Next::Field)
            || complete && self.next(structural_end) == Next::Delimiter;
        if refuted {
            self.penance = PENANCE;
            pending.length = None;
            pending.body = Body::Walked(Walker::default());
            return Step::Go(State::Payload(pending));
        }
        let end = if next == Next::Delimiter {
            self.without_swallowed_line_end(pending.start, end)
        } else {
            end
        };
        if complete {
            self.give(pending, end, true)
        } else {
            self.give_torn(pending, end, walker.has_scan())
        }
    }

    /// A JPEG whose end is found by its structure; a length, if there is one, is a hint for a JPEG without EOI.
    fn walk(&mut self, mut pending: Pending, mut walker: Walker) -> Step {
        let hint = pending.length.map(|length| pending.start + length);
        let stop = hint.filter(|hint| *hint >= pending.start + walker.taken() as u64);
        match self.take(
            &mut walker,
            pending.start,
            stop.unwrap_or(self.too_large_at(&pending)),
        ) {
            Walk::End => {
                let end = pending.start + walker.taken() as u64;
                if hint == Some(end) {
                    self.penance = self.penance.saturating_sub(1);
                    return self.give(pending, end, true);
                }
                pending.body = Body::Padded { end, searched: end };
                Step::Go(State::Payload(pending))
            }
            Walk::Broken => {
                let searched = pending.start + walker.doubtful_from() as u64;
                pending.body = Body::Broken {
                    has_scan: walker.has_scan(),
                    searched,
                };
                Step::Go(State::Payload(pending))
            }
            Walk::More
                if stop.is_some_and(|stop| stop == pending.start + walker.taken() as u64) =>
            {
                let end = pending.start + walker.taken() as u64;
                match self.next(end) {
                    Next::Unknown if !self.finished && !self.settling => {
                        pending.body = Body::Walked(walker);
                        Step::Wait(State::Payload(pending))
                    }
                    Next::Delimiter | Next::Unknown => {
                        let end = self.without_swallowed_line_end(pending.start, end);
                        self.give_torn(pending, end, walker.has_scan())
                    }
                    Next::Other | Next::Field => {
                        self.penance = PENANCE;
                        pending.length = None;
                        pending.body = Body::Walked(walker);
                        Step::Go(State::Payload(pending))
                    }
                }
            }
            Walk::More if self.is_too_large(&pending) => self.give_up_too_large(pending),
            Walk::More if self.finished => {
                let searched = pending.start + walker.doubtful_from() as u64;
                pending.body = Body::Broken {
                    has_scan: walker.has_scan(),
                    searched,
                };
                Step::Go(State::Payload(pending))
            }
            Walk::More => {
                pending.body = Body::Walked(walker);
                Step::Wait(State::Payload(pending))
            }
        }
    }

    /// Behind an EOI: the part ends here if a delimiter follows, else padding belongs to it.
    fn end_of_padding(&mut self, mut pending: Pending, end: u64, searched: u64) -> Step {
        if pending.bare {
            return self.give(pending, end, true);
        }
        match self.next(end) {
            Next::Delimiter | Next::Field => {
                if pending.length.is_some() {
                    self.penance = PENANCE;
                }
                return self.give(pending, end, true);
            }
            _ if self.finished || self.settling => return self.give(pending, end, true),
            Next::Unknown => {
                pending.body = Body::Padded { end, searched };
                return Step::Wait(State::Payload(pending));
            }
            Next::Other => {}
        }
        let limit = end + self.junk_max();
        let (delimiter, searched_now) = self.find_delimiter(end, searched, limit);
        let field = self.find_part_field(searched, delimiter.unwrap_or(limit));
        match delimiter {
            Some(delimiter) if !field => {
                let padded = self.before_line_end(end, delimiter);
                self.give(pending, padded, true)
            }
            None if !field && searched_now < limit => {
                pending.body = Body::Padded {
                    end,
                    searched: searched_now,
                };
                Step::Wait(State::Payload(pending))
            }
            // A delimiter that is no longer one, or endless junk: only this part is touched by it.
            _ => self.give(pending, end, true),
        }
    }

    /// A torn JPEG, or none at all by its structure: it ends at the next delimiter, or at the next SOI where there are none.
    fn end_of_broken(&mut self, mut pending: Pending, has_scan: bool, searched: u64) -> Step {
        let (delimiter, searched_now) = if pending.bare {
            (None, self.window.end().saturating_sub(2).max(searched))
        } else {
            self.find_delimiter(pending.start, searched, self.too_large_at(&pending))
        };
        let soi = if pending.bare || has_scan {
            let from = searched.saturating_sub(2).max(pending.start + 2);
            self.find_soi(from, delimiter.unwrap_or(self.too_large_at(&pending)))
        } else {
            None
        };
        match (delimiter, soi) {
            (_, Some(soi)) if pending.bare => self.give_torn(pending, soi, has_scan),
            // The delimiter between two pictures is missing: where the first one ends is not known.
            (_, Some(soi)) => self.give_up(pending, SkipReason::Torn, soi),
            (Some(delimiter), None) => {
                let end = self.before_line_end(pending.start, delimiter);
                self.give_torn(pending, end, has_scan)
            }
            (None, None) if searched_now >= self.too_large_at(&pending) => {
                self.give_up_too_large(pending)
            }
            (None, None) if self.finished => {
                let end = self.trim_line_ends(pending.start, self.window.end());
                if self.ends_in_eoi(pending.start, end) {
                    return self.give(pending, end, true);
                }
                self.give_up(pending, SkipReason::Torn, self.window.end())
            }
            (None, None) => {
                pending.body = Body::Broken {
                    has_scan,
                    searched: searched_now,
                };
                Step::Wait(State::Payload(pending))
            }
        }
    }

    fn give_torn(&mut self, pending: Pending, end: u64, has_scan: bool) -> Step {
        let complete = self.ends_in_eoi(pending.start, end);
        if has_scan || complete {
            self.give(pending, end, complete)
        } else {
            self.give_up(pending, SkipReason::Torn, end)
        }
    }

    fn give(&mut self, pending: Pending, end: u64, complete: bool) -> Step {
        let received_us = self.window.arrived_us(end);
        let payload = self.window.take_to(end);
        self.largest = self.largest.max(payload.len() as u64);
        let part = Part {
            headers: pending.headers,
            payload,
            offset: pending.start,
            received_us,
            complete,
        };
        Step::Give(Event::Part(part), State::Border { clean: true })
    }

    fn give_up(&mut self, pending: Pending, reason: SkipReason, end: u64) -> Step {
        let beginning = self.beginning(pending.start, end);
        self.window.skip_to(end);
        let clean = reason == SkipReason::Torn;
        Step::Give(
            skip(reason, pending.headers, end - pending.start, beginning),
            State::Border { clean },
        )
    }

    fn held_since(&self, position: u64) -> u64 {
        self.window.end().saturating_sub(position)
    }

    /// Where a part becomes too large.
    fn too_large_at(&self, pending: &Pending) -> u64 {
        pending.start + self.limits.part_bytes_max as u64
    }

    fn is_too_large(&self, pending: &Pending) -> bool {
        self.window.end() >= self.too_large_at(pending)
    }

    fn give_up_too_large(&mut self, pending: Pending) -> Step {
        let end = self.too_large_at(&pending);
        self.give_up(pending, SkipReason::TooLarge, end)
    }

    fn junk_max(&self) -> u64 {
        PADDING_MAX.min(self.limits.part_bytes_max as u64)
    }

    /// Position of the first byte from `position` on that is no line end, or the end of what is there.
    fn pass_line_ends(&self, position: u64) -> u64 {
        self.pass(position, |byte| matches!(byte, b'\r' | b'\n'))
    }

    /// As [`Self::pass_line_ends`], over zeros too: what is left of an aligned buffer.
    fn pass_filler(&self, position: u64) -> u64 {
        self.pass(position, |byte| matches!(byte, b'\r' | b'\n' | 0))
    }

    fn pass(&self, position: u64, over: impl Fn(u8) -> bool) -> u64 {
        let mut at = position;
        for piece in self.window.pieces(position) {
            match piece.iter().position(|byte| !over(*byte)) {
                Some(offset) => return at + offset as u64,
                None => at += piece.len() as u64,
            }
        }
        at
    }

    /// End of the line that begins at `position`, and where the next one begins. Lines end in CRLF, LF or CR; CR CR LF is one end too.
    fn line_at(&self, position: u64) -> Option<(u64, u64)> {
        let mut at = position;
        for piece in self.window.pieces(position) {
            let Some(offset) = memchr::memchr2(b'\r', b'\n', piece) else {
                at += piece.len() as u64;
                continue;
            };
            let line_end = at + offset as u64;
            let mut next = line_end;
            while self.window.byte(next) == Some(b'\r') && next - line_end < LINE_END_MAX - 1 {
                next += 1;
            }
            return match self.window.byte(next) {
                Some(b'\n') => Some((line_end, next + 1)),
                None if !self.finished => None,
                _ => Some((line_end, line_end + 1)),
            };
        }
        None
    }

    fn copy(&mut self, from: u64, to: u64) {
        self.scratch.clear();
        self.window
            .copy(from, to.saturating_sub(from) as usize, &mut self.scratch);
    }

    fn beginning(&mut self, start: u64, end: u64) -> Bytes {
        self.copy(start, end.min(start + BEGINNING_MAX as u64));
        Bytes::copy_from_slice(&self.scratch)
    }

    /// What follows a payload that would end at `end`.
    fn next(&mut self, end: u64) -> Next {
        self.copy(end, end + 2 * LINE_MAX as u64);
        self.delimiter.next(&self.scratch, self.finished)
    }

    /// Searches for a delimiter from `searched` on that begins before `limit`; gives it, or where to search on. Lines may begin at `start`.
    fn find_delimiter(&mut self, start: u64, searched: u64, limit: u64) -> (Option<u64>, u64) {
        let limit_seen = (limit + 3 * LINE_MAX as u64).min(self.window.end());
        let (mut at, mut reach) = (self.no_delimiter.behind(searched), SEARCH_BYTES);
        loop {
            if at >= limit {
                return (None, limit);
            }
            let from = at.saturating_sub(1).max(start);
            let to = (from + reach).min(limit_seen);
            self.copy(from, to);
            let last = self.finished && to == self.window.end();
            match self.delimiter.find(&self.scratch, from == start, last) {
                Found::At(offset) => {
                    let found = from + offset as u64;
                    self.no_delimiter.note(searched, found);
                    return if found < limit {
                        (Some(found), searched)
                    } else {
                        (None, limit)
                    };
                }
                Found::NotBefore(offset) => at = at.max(from + offset as u64),
            }
            self.no_delimiter.note(searched, at);
            if to >= limit_seen {
                return (None, at);
            }
            reach *= 2;
        }
    }

    /// Whether a part's header line begins between two positions.
    fn find_part_field(&mut self, from: u64, to: u64) -> bool {
        let begin = self.no_field.behind(from).saturating_sub(LINE_MAX as u64);
        let begin = begin.max(self.window.start());
        let found = self.search(begin, to, LINE_MAX, delimiter::find_field_line);
        self.no_field
            .note(from, found.unwrap_or(to.min(self.window.end())));
        found.is_some()
    }

    /// The first SOI that is followed by a marker, whole before `to`.
    fn find_soi(&mut self, from: u64, to: u64) -> Option<u64> {
        let needle = [SOI[0], SOI[1], 0xFF];
        self.search(from, to, needle.len() - 1, |bytes| {
            memmem::find(bytes, &needle)
        })
    }

    /// The first place between two positions that `find` finds, which may be in two stretches up to `overlap` bytes before the border.
    fn search(
        &mut self,
        from: u64,
        to: u64,
        overlap: usize,
        find: impl Fn(&[u8]) -> Option<usize>,
    ) -> Option<u64> {
        let to = to.min(self.window.end());
        let (mut from, mut reach) = (from, SEARCH_BYTES);
        while from < to {
            let end = (from + reach).min(to);
            self.copy(from, end);
            if let Some(offset) = find(&self.scratch) {
                return Some(from + offset as u64);
            }
            if end == to {
                break;
            }
            from = end - overlap as u64;
            reach *= 2;
        }
        None
    }

    /// `delimiter` less one line end before it.
    fn before_line_end(&self, start: u64, delimiter: u64) -> u64 {
        let is =
            |position: u64, byte| position >= start && self.window.byte(position) == Some(byte);
        match delimiter.checked_sub(1) {
            Some(last)
                if is(last, b'\n')
                    && last.checked_sub(1).is_some_and(|before| is(before, b'\r')) =>
            {
                last - 1
            }
            Some(last) if is(last, b'\n') || is(last, b'\r') => last,
            _ => delimiter,
        }
    }

    /// `end`, unless it lies behind or inside the one line end that belongs to the delimiter following.
    fn without_swallowed_line_end(&self, start: u64, end: u64) -> u64 {
        end.min(self.before_line_end(start, self.pass_line_ends(end)))
    }

    /// `end` less all line ends before it.
    fn trim_line_ends(&self, start: u64, end: u64) -> u64 {
        let (mut at, mut trimmed) = (start, start);
        for piece in self.window.pieces(start) {
            let piece = &piece[..piece.len().min(end.saturating_sub(at) as usize)];
            if let Some(offset) = piece.iter().rposition(|byte| !b"\r\n".contains(byte)) {
                trimmed = at + offset as u64 + 1;
            }
            at += piece.len() as u64;
        }
        trimmed
    }

    /// Walks on from where the walker is, up to `stop`.
    fn take(&self, walker: &mut Walker, start: u64, stop: u64) -> Walk {
        let mut at = start + walker.taken() as u64;
        for piece in self.window.pieces(at) {
            let piece = &piece[..piece.len().min(stop.saturating_sub(at) as usize)];
            match walker.take(piece) {
                Walk::More => at += piece.len() as u64,
                found => return found,
            }
        }
        Walk::More
    }

    fn ends_in_eoi(&self, start: u64, end: u64) -> bool {
        end >= start + (SOI.len() + EOI.len()) as u64
            && self.window.begins(end - EOI.len() as u64, &EOI) == Some(true)
    }

    /// Whether no picture data come before `end`, so that an EOI there is a thumbnail's: inside a segment, or at its very end.
    fn ends_in_headers(&self, start: u64, end: u64) -> bool {
        let mut walker = Walker::default();
        let mut at = start;
        for piece in self.window.pieces(start) {
            let piece = &piece[..piece.len().min(end.saturating_sub(at) as usize)];
            let taken = walker.taken();
            if walker.take_headers(piece) != Walk::More || walker.taken() - taken < piece.len() {
                return false;
            }
            at += piece.len() as u64;
        }
        true
    }
}

fn skip(reason: SkipReason, headers: Headers, bytes: u64, beginning: Bytes) -> Event {
    Event::Skipped(Skipped {
        reason,
        headers,
        bytes,
        beginning,
    })
}

/// A Content-Length: digits, or a list of which the last counts (`12, 12`: digiCamControl #324). Anything else is no length.
fn read_length(value: &[u8]) -> Option<u64> {
    let last = value.rsplit(|byte| *byte == b',').next()?.trim_ascii();
    if last.is_empty() || !last.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(last).ok()?.parse().ok()
}

/// Whether the headers say outright that this is no picture.
fn is_text_type(headers: &Headers) -> bool {
    let value = headers.get("content-type").unwrap_or_default();
    ["text/", "application/xml", "application/json"]
        .iter()
        .any(|prefix| {
            value
                .get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
        })
}

#[cfg(test)]
mod tests;
