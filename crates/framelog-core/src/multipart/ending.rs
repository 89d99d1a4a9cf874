//! Where a picture ends: by its length, by its structure, or by what follows. Not for what becomes of it then.

use crate::delimiter::Next;
use crate::jpeg::{EOI, SOI, Walk, Walker};

use super::event::SkipReason;
use super::payload::{Body, Pending};
use super::{Parser, State, Step};

/// How often a length must be right before it is believed unseen again.
const PENANCE: u8 = 16;
/// And before a silence within it is the network's, not its end.
const TRUSTED: u8 = 16;

impl Parser {
    /// A JPEG with a length that is believed: handed out unseen if both its ends fit, else only when what follows confirms it.
    pub(super) fn count(&mut self, mut pending: Pending) -> Step {
        let Some(end) = pending.length.map(|length| pending.start + length) else {
            pending.body = Body::Walked(Walker::default());
            return Step::Go(State::Payload(pending));
        };
        if pending.filler > 0 && self.window.end() + pending.filler >= end {
            return self.count_filler(pending, end);
        }
        if self.window.end() < end {
            // The length may be too large: a JPEG that is whole must not wait for the next one, unless that is in the same part.
            let is_doubtful = self.right < TRUSTED && !self.has_second(pending.start);
            if self.finished || self.settling && is_doubtful {
                pending.body = Body::Walked(Walker::default());
                return Step::Go(State::Payload(pending));
            }
            pending.body = Body::Counted;
            return Step::Wait(State::Payload(pending));
        }
        if self.ends_in_eoi(pending.start, end) && !self.ends_in_headers(pending.start, end) {
            self.right = self.right.saturating_add(1);
            return self.give(pending, end, true);
        }
        let next = self.next(end);
        if next == Next::Unknown && !self.finished && !self.settling {
            pending.body = Body::Counted;
            return Step::Wait(State::Payload(pending));
        }
        let mut walker = Walker::default();
        let found = self.take(&mut walker, pending.start, end);
        if next == Next::Unknown && !self.finished && found == Walk::More && !walker.has_scan() {
            // An EOI there is a thumbnail's: silence doesn't make it the picture's.
            pending.body = Body::Counted;
            return Step::Wait(State::Payload(pending));
        }
        let complete = found == Walk::End;
        let structural_end = pending.start + walker.taken() as u64;
        let refuted = !self.can_follow(next, walker.has_scan())
            || complete && self.next(structural_end) == Next::Delimiter;
        if refuted {
            self.penance = PENANCE;
            self.right = 0;
            pending.length = None;
            pending.body = Body::Walked(Walker::default());
            return Step::Go(State::Payload(pending));
        }
        let payload_end = self.without_swallowed_line_end(pending.start, end);
        if complete {
            self.right = self.right.saturating_add(u8::from(payload_end == end));
            self.give(pending, payload_end, true)
        } else {
            self.give_torn(pending, payload_end, walker.has_scan())
        }
    }

    /// Whether the length of a JPEG, by which it ends at `end`, counts the filler before it as it should: what follows where it would end then tells,
    /// in a silence only behind an EOI or a line end.
    fn count_filler(&mut self, mut pending: Pending, end: u64) -> Step {
        pending.body = Body::Counted;
        let counted = end.saturating_sub(pending.filler).max(pending.start);
        let next = self.next(counted);
        let is_end = self.window.end() > counted || self.ends_in_eoi(pending.start, counted);
        if next == Next::Unknown && !(self.finished || self.settling && is_end) {
            return Step::Wait(State::Payload(pending));
        }
        if is_end && self.can_follow(next, true) {
            pending.length = Some(counted - pending.start);
        }
        pending.filler = 0;
        Step::Go(State::Payload(pending))
    }

    /// A JPEG whose end is found by its structure; a length, if there is one, is a hint for a JPEG without EOI.
    pub(super) fn walk(&mut self, mut pending: Pending, mut walker: Walker) -> Step {
        let hint = pending.length.map(|length| pending.start + length);
        let stop = hint.filter(|hint| *hint >= pending.start + walker.taken() as u64);
        let limit = stop.unwrap_or(self.too_large_at(&pending));
        let found = self.take(&mut walker, pending.start, limit);
        if let Some(end) = pending.first_end
            && self.lacks_second(&pending, end, found)
        {
            pending.body = Body::Padded { end, searched: end };
            return Step::Go(State::Payload(pending));
        }
        match found {
            Walk::End if hint.is_none() && self.expects_second(&pending, &walker) => {
                pending.first_end = Some(pending.start + walker.taken() as u64);
                walker.go_on_with_another();
                pending.body = Body::Walked(walker);
                Step::Go(State::Payload(pending))
            }
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
                    Next::Unknown if !(self.finished || self.settling && walker.has_scan()) => {
                        pending.body = Body::Walked(walker);
                        Step::Wait(State::Payload(pending))
                    }
                    next if self.can_follow(next, walker.has_scan()) => {
                        let end = self.without_swallowed_line_end(pending.start, end);
                        self.give_torn(pending, end, walker.has_scan())
                    }
                    _ => {
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

    /// Whether behind the EOI of a picture comes another that belongs to it, or may yet. No more than one: a sequence of pictures would have no end.
    fn expects_second(&mut self, pending: &Pending, walker: &Walker) -> bool {
        let end = pending.start + walker.taken() as u64;
        pending.first_end.is_none()
            && self.window.begins(end, &SOI) != Some(false)
            && self.is_first_of_several(pending.start)
    }

    /// Whether what was found of a second picture behind `end` is none, or not the whole of it, and will not be.
    fn lacks_second(&self, pending: &Pending, end: u64, found: Walk) -> bool {
        match found {
            Walk::End => false,
            Walk::Broken => true,
            Walk::More => {
                let none_came = self.held_since(end) == 0;
                self.finished || self.settling && none_came || self.is_too_large(pending)
            }
        }
    }

    /// Behind an EOI: the part ends here if a delimiter follows, else padding belongs to it.
    pub(super) fn end_of_padding(&mut self, mut pending: Pending, end: u64, searched: u64) -> Step {
        if pending.bare && !pending.may_be_all {
            return self.give(pending, end, true);
        }
        match self.next(end) {
            Next::Delimiter | Next::Field => {
                if pending.length.is_some() {
                    self.penance = PENANCE;
                }
                return self.give(pending, end, true);
            }
            Next::Unknown if self.finished || self.settling => {
                return self.give(pending, end, true);
            }
            Next::Unknown => {
                pending.body = Body::Padded { end, searched };
                return Step::Wait(State::Payload(pending));
            }
            Next::Other => {}
        }
        if pending.may_be_all {
            return self.end_of_all(pending, end, searched);
        }
        let limit = end + self.junk_max();
        let (delimiter, searched_now) = self.find_delimiter(end, searched, limit);
        let field = (self.find_part_field(searched, delimiter.unwrap_or(limit))).is_some();
        match delimiter {
            Some(delimiter) if !field => {
                let padded = self.before_line_end(end, delimiter);
                self.give(pending, padded, true)
            }
            None if !field && searched_now < limit && (self.finished || self.settling) => {
                let padded = self.came_of_padding(end);
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

    /// Behind the EOI of a picture that was expected: what follows up to the end of the body belongs to it, unless there is another picture in it, or too
    /// much, or a silence: then it is no single picture, or that end will not come.
    fn end_of_all(&mut self, mut pending: Pending, end: u64, searched: u64) -> Step {
        let came = self.window.end();
        let from = searched.saturating_sub(2).max(end);
        let has_another =
            self.window.begins(end, &SOI) == Some(true) || self.find_soi(from, came).is_some();
        if has_another || came >= end + self.junk_max() || self.settling && !self.finished {
            return self.give(pending, end, true);
        }
        if self.finished {
            let padded = self.before_line_end(end, came);
            return self.give(pending, padded, true);
        }
        pending.body = Body::Padded {
            end,
            searched: came,
        };
        Step::Wait(State::Payload(pending))
    }

    /// How far the padding behind an EOI reaches if no more of it comes. A second JPEG there (MPO) is whole or is left to be a picture.
    fn came_of_padding(&mut self, end: u64) -> u64 {
        let begun = self.find_begun_delimiter(end);
        let came = self.before_line_end(end, begun.unwrap_or(self.window.end()));
        let second_torn = self.window.begins(end, &SOI) == Some(true)
            && self.take(&mut Walker::default(), end, came) != Walk::End;
        if second_torn { end } else { came }
    }

    /// A torn JPEG, or none at all by its structure: it ends at the next delimiter, or at the next SOI where there are none.
    pub(super) fn end_of_broken(
        &mut self,
        mut pending: Pending,
        has_scan: bool,
        searched: u64,
    ) -> Step {
        let limit = self.too_large_at(&pending);
        let (delimiter, no_delimiter_before) = if pending.bare {
            (None, self.window.end().min(limit))
        } else {
            self.find_delimiter(pending.start, searched, limit)
        };
        // No further than a delimiter would have been seen, so that the verdict is the same however much has come.
        let seen = delimiter.unwrap_or(no_delimiter_before).min(limit);
        let (soi, searched_now) = if pending.bare || has_scan {
            let from = searched.saturating_sub(2).max(pending.start + 2);
            let is_all = delimiter.is_some() || seen == limit || self.finished;
            self.find_next_picture(&pending, from, seen, is_all)
        } else {
            (None, seen)
        };
        match (delimiter, soi) {
            (_, Some(soi)) if pending.bare => self.give_torn(pending, soi, has_scan),
            // The delimiter between two pictures is missing: where the first one ends is not known.
            (_, Some(soi)) => self.give_up(pending, SkipReason::Torn, soi),
            (Some(delimiter), None) => {
                let end = self.before_line_end(pending.start, delimiter);
                self.give_torn(pending, end, has_scan)
            }
            (None, None) if seen >= limit => self.give_up_too_large(pending),
            (None, None) if self.finished => {
                let end = self.trim_line_ends(pending.start, self.window.end());
                if self.ended_properly || self.ends_in_padded_eoi(pending.start, end) {
                    return self.give_torn(pending, end, has_scan);
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

    /// The first SOI between two positions that stands behind an EOI or leads to a scan there, and how far that is settled, which is all of it
    /// at the end of a part. An SOI in noise does neither.
    fn find_next_picture(
        &mut self,
        pending: &Pending,
        mut from: u64,
        to: u64,
        is_all: bool,
    ) -> (Option<u64>, u64) {
        while let Some(soi) = self.find_soi(from, to) {
            let before = self.trim_line_ends(pending.start, soi);
            if self.ends_in_eoi(pending.start, before) {
                return (Some(soi), to);
            }
            match self.begins_picture(soi, to) {
                Some(true) => return (Some(soi), to),
                None if !is_all => return (None, soi),
                _ => from = soi + 2,
            }
        }
        (None, to)
    }

    fn give_torn(&mut self, pending: Pending, end: u64, has_scan: bool) -> Step {
        let padding = self.trim_padding(pending.start, end);
        // Within a header segment it is more likely a thumbnail's than a sham picture's.
        let is_padded = || has_scan || !self.ends_in_headers(pending.start, padding);
        let complete = self.ends_in_eoi(pending.start, end)
            || self.ends_in_eoi(pending.start, padding) && is_padded();
        if has_scan || complete {
            self.give(pending, end, complete)
        } else {
            self.give_up(pending, SkipReason::Torn, end)
        }
    }

    /// Whether that may follow where a picture ends. What is not there yet is most likely a delimiter; header lines are where the body has
    /// none between its parts.
    fn can_follow(&self, next: Next, has_scan: bool) -> bool {
        match next {
            Next::Delimiter | Next::Unknown => true,
            Next::Field => has_scan && !self.delimiter.is_learned(),
            Next::Other => false,
        }
    }

    /// Whether a second picture has begun directly behind one that is whole (two fields, MPO).
    fn has_second(&self, start: u64) -> bool {
        let mut walker = Walker::default();
        self.take(&mut walker, start, self.window.end()) == Walk::End
            && self.window.begins(start + walker.taken() as u64, &SOI) == Some(true)
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

    /// As [`Self::ends_in_eoi`], padding behind it or not.
    fn ends_in_padded_eoi(&self, start: u64, end: u64) -> bool {
        self.ends_in_eoi(start, self.trim_padding(start, end))
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
