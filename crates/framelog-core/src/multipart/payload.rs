//! A payload: a picture or something else, handed out or passed over. Not for where a picture ends: that is `ending`.

use bytes::Bytes;

use crate::delimiter::Next;
use crate::header::Headers;
use crate::jpeg::{SOI, Walker};

use super::event::{Event, Part, SkipReason};
use super::{LENGTH_UNSURPRISING, Parser, State, Step};

/// How far behind an EOI padding may reach in a part without a length, in bytes.
const PADDING_MAX: u64 = 64 << 10;

/// What the types of parts without a JPEG begin with. They may hold previews that are not footage.
const OTHER_TYPES: [&str; 7] = [
    "text/",
    "audio/",
    "video/",
    "application/",
    "image/webp",
    "image/png",
    "image/gif",
];
/// Of these, the ones that JPEGs come under too.
const MAYBE_PICTURES: [&str; 5] = [
    "application/octet-stream",
    "application/jp",
    "video/jp",
    "video/mjp",
    "video/x-m",
];

/// A part whose payload has begun.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) headers: Headers,
    /// Where the payload begins.
    pub(super) start: u64,
    /// Its length as declared, if that can be right.
    pub(super) length: Option<u64>,
    /// So many bytes of filler came before it that the length may count too.
    pub(super) filler: u64,
    /// No boundary and no header line came before it.
    pub(super) bare: bool,
    /// As far as is known, the body is this picture, up to its end.
    pub(super) may_be_all: bool,
    /// Where its first picture ends, if a second is expected behind it (MPO).
    pub(super) first_end: Option<u64>,
    pub(super) body: Body,
}

/// What it is taken for.
#[derive(Debug)]
pub(super) enum Body {
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

impl Pending {
    /// Nothing of it has been looked at.
    pub fn new(headers: Headers, start: u64, length: Option<u64>, bare: bool) -> Self {
        Self {
            headers,
            start,
            length,
            filler: 0,
            bare,
            may_be_all: false,
            first_end: None,
            body: Body::Unknown,
        }
    }

    /// Whether it is a picture that may be whole.
    pub fn is_picture(&self) -> bool {
        matches!(
            self.body,
            Body::Counted | Body::Walked(_) | Body::Padded { .. }
        )
    }

    /// Whether only what follows will tell where it ends; so much has come.
    pub fn seeks_end(&self, came: u64) -> bool {
        match &self.body {
            Body::Unknown | Body::Other { .. } => false,
            Body::Counted => {
                (self.length).is_some_and(|length| came - self.start + self.filler >= length)
            }
            Body::Walked(_) | Body::Padded { .. } | Body::Broken { .. } => true,
        }
    }
}

impl Parser {
    pub(super) fn payload(&mut self, mut pending: Pending) -> Step {
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
        let mut at = self.pass_line_ends(pending.start);
        if self.window.byte(at) == Some(0) && !is_other_type(&pending.headers) {
            at = self.pass_filler(at);
        }
        self.window.skip_to(at);
        pending.filler += at - pending.start;
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
                Event::skipped(SkipReason::Empty, pending.headers, 0, Bytes::new()),
                State::Border { clean: true },
            ),
            Next::Field => Step::Go(State::Headers {
                start: at,
                line: at,
                earlier: pending.headers,
            }),
            _ if self.held_since(at) == 0 => Step::Give(
                Event::skipped(SkipReason::Empty, pending.headers, 0, Bytes::new()),
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
        let is_other = is_other_type(&pending.headers);
        let length = pending.length.filter(|_| is_other).unwrap_or_default();
        let limit = pending.start + self.junk_max().max(length);
        let (mut delimiter, searched_now) = self.find_delimiter(pending.start, searched, limit);
        // No further than a delimiter would have been seen, so that the verdict is the same however much has come.
        let came = limit.min(self.window.end());
        let seen = delimiter.unwrap_or(if self.finished {
            came
        } else {
            searched_now.min(came)
        });
        if is_other && !self.delimiter.is_learned() {
            // Where there are no delimiters the next part begins with its header lines.
            delimiter = self.find_part_field(searched, seen).or(delimiter);
        }
        if !is_other
            && let Some(soi) = self.find_soi(searched.saturating_sub(2).max(pending.start), seen)
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
        let before = delimiter.unwrap_or(came);
        let beginning = self.beginning(pending.start, before);
        let bytes = before - pending.start;
        self.window.skip_to(before);
        let event = Event::skipped(SkipReason::NotPicture, pending.headers, bytes, beginning);
        Step::Give(
            event,
            State::Border {
                clean: delimiter.is_some(),
            },
        )
    }

    pub(super) fn give(&mut self, pending: Pending, end: u64, complete: bool) -> Step {
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

    pub(super) fn give_up(&mut self, pending: Pending, reason: SkipReason, end: u64) -> Step {
        let beginning = self.beginning(pending.start, end);
        self.window.skip_to(end);
        let clean = reason == SkipReason::Torn;
        Step::Give(
            Event::skipped(reason, pending.headers, end - pending.start, beginning),
            State::Border { clean },
        )
    }

    /// Where a part becomes too large.
    pub(super) fn too_large_at(&self, pending: &Pending) -> u64 {
        pending.start + self.limits.part_bytes_max as u64
    }

    pub(super) fn is_too_large(&self, pending: &Pending) -> bool {
        self.window.end() >= self.too_large_at(pending)
    }

    pub(super) fn give_up_too_large(&mut self, pending: Pending) -> Step {
        let end = self.too_large_at(&pending);
        self.give_up(pending, SkipReason::TooLarge, end)
    }

    pub(super) fn junk_max(&self) -> u64 {
        PADDING_MAX.min(self.limits.part_bytes_max as u64)
    }
}

/// Whether the headers say outright that this is no picture. Asked only of what doesn't begin with SOI: labels are wrong too.
fn is_other_type(headers: &Headers) -> bool {
    let value = headers.get("content-type").unwrap_or_default();
    let begins = |prefix: &&str| {
        value
            .get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
    };
    OTHER_TYPES.iter().any(begins) && !MAYBE_PICTURES.iter().any(begins)
}
