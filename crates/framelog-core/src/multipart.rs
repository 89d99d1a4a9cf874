//! The parser: bytes of a camera's body in, in any split; parts out. Cameras and framelog's own segments alike.
//!
//! Not for what a part's headers mean, nor for transfer codings: chunks are taken off before.

use bytes::Bytes;

use crate::delimiter::Delimiter;
use crate::header::Headers;
use crate::window::Window;

mod border;
mod ending;
mod event;
mod payload;
mod search;

pub use event::{Event, Part, SkipReason, Skipped};

use payload::Pending;
use search::Searched;

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

/// A length up to here is believed from the start; above, and above four times the largest part so far, it is checked as the bytes come,
/// because waiting for a length that is a lie costs every frame within it its time.
const LENGTH_UNSURPRISING: u64 = 512 << 10;

#[derive(Debug)]
enum State {
    /// Before the first part, or between two. `clean`: nothing but line ends since the last one.
    Border { clean: bool },
    /// Header lines since `start`; the next one begins at `line`. `earlier` came before an empty line in the middle of them.
    Headers {
        start: u64,
        line: u64,
        earlier: Headers,
    },
    /// Behind the header lines.
    Payload(Pending),
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
    /// They ended where the response said.
    ended_properly: bool,
    /// No more bytes came for a while.
    settling: bool,
    evidence: bool,
    penance: u8,
    /// So many lengths in a row were right.
    right: u8,
    largest: u64,
    no_delimiter: Searched,
    no_field: Searched,
    scratch: Vec<u8>,
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
            ended_properly: false,
            settling: false,
            evidence: false,
            penance: 0,
            right: 0,
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
        let mut pending = self.pending(Headers::default(), start, length, length.is_none());
        pending.may_be_all = length.is_none();
        self.state = State::Payload(pending);
    }

    /// No more bytes will come: a JPEG that is whole is handed out by the next [`Parser::poll`], a torn one is skipped.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// As [`Parser::finish`], where the response said where it ends: a JPEG without EOI is no torn one then.
    pub fn finish_properly(&mut self) {
        self.ended_properly = true;
        self.finish();
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
        matches!(&self.state, State::Payload(pending) if pending.is_picture())
    }

    /// Whether a picture has begun whose end only what follows will tell: its length isn't known, or has been reached and is in doubt.
    pub fn seeks_end(&self) -> bool {
        matches!(&self.state, State::Payload(pending) if pending.seeks_end(self.window.end()))
    }

    /// Whether anything in the bytes so far (the declared delimiter, a part's header lines, an SOI) looks like pictures.
    pub fn has_evidence(&self) -> bool {
        self.evidence
    }

    /// The next event, or `None` when more bytes are wanted.
    pub fn poll(&mut self) -> Option<Event> {
        loop {
            let step = match std::mem::replace(&mut self.state, State::Border { clean: false }) {
                State::Border { clean } => self.border(clean),
                State::Headers {
                    start,
                    line,
                    earlier,
                } => self.headers(start, line, earlier),
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
}

#[cfg(test)]
mod tests;
