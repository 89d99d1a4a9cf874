//! Between two payloads: line ends, junk, a delimiter, header lines. Not for what lies behind them: that is `payload`.

use crate::delimiter::{self, Line};
use crate::header::Headers;
use crate::jpeg::SOI;

use super::event::{Event, SkipReason};
use super::payload::Pending;
use super::search::{LINE_END_MAX, Searched};
use super::{Parser, State, Step};

/// So much of a head goes over an empty line to what follows, bytes: more would make work of endless heads.
const EARLIER_BYTES_MAX: usize = 1 << 10;

impl Parser {
    /// Between parts: passes over line ends and junk to the next delimiter, header line or SOI.
    pub(super) fn border(&mut self, clean: bool) -> Step {
        let at = self.pass_filler(self.window.start());
        self.window.skip_to(at);
        if at == self.window.end() {
            return Step::Wait(State::Border { clean });
        }
        let bare = !self.delimiter.is_learned();
        match self.window.begins(at, &[SOI[0], SOI[1], 0xFF]) {
            Some(true) => match self.may_begin_picture(at, clean || bare) {
                Some(true) => {
                    return Step::Go(self.begin_payload(Headers::default(), at, bare));
                }
                None if !self.finished => return Step::Wait(State::Border { clean }),
                _ => {}
            },
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
                // A line with dashes alone is none: web pages have them (`-->`), also twice.
                self.evidence |= self.delimiter.is_as_declared();
                // It may have been learnt just now: what is no other one may be this one.
                self.no_delimiter = Searched::default();
                let start = headers_at.map_or(next, |offset| at + offset as u64);
                self.window.skip_to(start);
                Step::Go(State::Headers {
                    start,
                    line: start,
                    earlier: Headers::default(),
                })
            }
            Line::Header => {
                self.evidence = true;
                Step::Go(State::Headers {
                    start: at,
                    line: at,
                    earlier: Headers::default(),
                })
            }
            Line::Other => {
                self.window.skip_to(next);
                Step::Go(State::Border { clean: false })
            }
        }
    }

    /// Whether an SOI between parts begins a picture. One behind junk may be part of it, unless it leads to a scan.
    fn may_begin_picture(&mut self, at: u64, expected: bool) -> Option<bool> {
        if expected {
            return Some(true);
        }
        let limit = at + self.junk_max();
        let came = self.window.end() >= limit;
        self.begins_picture(at, limit).or(came.then_some(false))
    }

    /// Reads header lines up to the empty line, a delimiter, or an SOI where the empty line is missing.
    pub(super) fn headers(&mut self, start: u64, mut line: u64, earlier: Headers) -> Step {
        loop {
            match self.window.begins(line, &SOI) {
                Some(true) => {
                    return Step::Go(self.begin_payload_after(earlier, start, line, line));
                }
                None if !self.finished => {
                    return Step::Wait(State::Headers {
                        start,
                        line,
                        earlier,
                    });
                }
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
                    Step::Wait(State::Headers {
                        start,
                        line,
                        earlier,
                    })
                };
            };
            if next - start > self.limits.header_bytes_max as u64 {
                return self.give_up_headers(start);
            }
            // A NUL is that of the string before it.
            let is_nul = line_end == line + 1 && self.window.byte(line) == Some(0);
            if line_end == line || is_nul {
                return Step::Go(self.begin_payload_after(earlier, start, line, next));
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
            Event::skipped(SkipReason::TooLarge, Headers::default(), bytes, beginning),
            State::Border { clean: false },
        )
    }

    fn begin_payload_after(
        &mut self,
        earlier: Headers,
        start: u64,
        end: u64,
        payload: u64,
    ) -> State {
        let mut lines = self.window.one_piece(start, end);
        let room =
            (self.limits.header_bytes_max.saturating_sub(lines.len())).min(EARLIER_BYTES_MAX);
        if (1..=room).contains(&earlier.raw().len()) {
            lines = [&earlier.raw()[..], &lines].concat().into();
        }
        self.evidence = self.evidence || delimiter::has_part_field(&lines);
        self.begin_payload(Headers::new(lines), payload, false)
    }

    fn begin_payload(&mut self, headers: Headers, start: u64, bare: bool) -> State {
        self.evidence |= bare;
        self.window.skip_to(start);
        let length = headers.get("content-length").and_then(read_length);
        State::Payload(self.pending(headers, start, length, bare))
    }

    pub(super) fn pending(
        &self,
        headers: Headers,
        start: u64,
        length: Option<u64>,
        bare: bool,
    ) -> Pending {
        let length =
            length.filter(|length| (1..=self.limits.part_bytes_max as u64).contains(length));
        Pending::new(headers, start, length, bare)
    }
}

/// A Content-Length: digits, or a list of which the last counts (`12, 12`: digiCamControl #324). Anything else is no length.
fn read_length(value: &[u8]) -> Option<u64> {
    let last = value.rsplit(|byte| *byte == b',').next()?.trim_ascii();
    if last.is_empty() || !last.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(last).ok()?.parse().ok()
}
