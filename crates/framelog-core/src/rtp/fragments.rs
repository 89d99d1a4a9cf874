//! A NAL unit that comes in pieces (FU-A, FU-B: RFC 6184 §5.8; FU: RFC 7798 §4.4.3), put together. Not for the packets' own fields.

use bytes::Bytes;
use smallvec::SmallVec;

use super::SkipReason;
use super::budget::Budget;
use crate::frame::Payload;

/// So many units must have had no end before one without is believed to be whole.
const PROOFS: u32 = 2;

/// Units of one packet; more than one is rare.
pub(super) type Units = SmallVec<[Payload; 2]>;

/// A piece of a unit.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) is_first: bool,
    pub(super) is_last: bool,
    /// The unit's header, made of the packet's.
    pub(super) header: Bytes,
    pub(super) body: Bytes,
}

/// The unit that has begun.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    open: Option<(Payload, Budget)>,
    /// Last pieces have been marked as such. Some cameras never do.
    are_ends_marked: bool,
    /// Units that ended without.
    unmarked: u32,
}

impl Fragments {
    /// Takes a piece, and puts the unit that it completes to the others. `used`: what the picture so far has taken.
    pub(super) fn take(
        &mut self,
        piece: Piece,
        used: Budget,
        units: &mut Units,
    ) -> Result<(), SkipReason> {
        if piece.is_first {
            self.open = Some((Payload::from(piece.header), used));
        }
        let Some((unit, budget)) = &mut self.open else {
            return Err(SkipReason::Torn);
        };
        if !budget.allows(piece.body.len()) {
            self.open = None;
            return Err(SkipReason::TooLarge);
        }
        unit.push(piece.body);
        if piece.is_last {
            self.are_ends_marked = true;
            units.extend(self.open.take().map(|(unit, _)| unit));
        }
        Ok(())
    }

    /// The unit so far, where what follows shows that it has ended: whole if its last piece `ends_picture`, as the packet's marker says, or if
    /// this camera has shown that it does not mark last pieces as such; else torn, for cameras drop packets before they number them.
    pub(super) fn end(&mut self, ends_picture: bool) -> Option<Result<Payload, SkipReason>> {
        let (unit, _) = self.open.take()?;
        let is_usual = !self.are_ends_marked && self.unmarked >= PROOFS;
        self.unmarked = self.unmarked.saturating_add(1);
        Some(match ends_picture || is_usual {
            true => Ok(unit),
            false => Err(SkipReason::Torn),
        })
    }

    /// Packets are missing. Whether a unit was torn by that.
    pub(super) fn tear(&mut self) -> bool {
        self.open.take().is_some()
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a unit of two pieces, and says whether it is whole.
    fn is_whole(fragments: &mut Fragments, has_end: bool, ends_picture: bool) -> bool {
        let mut units = Units::new();
        for is_last in [false, true] {
            let piece = Piece {
                is_first: !is_last,
                is_last: is_last && has_end,
                header: Bytes::from_static(b"\x65"),
                body: Bytes::from_static(b"piece"),
            };
            fragments
                .take(piece, Budget::default(), &mut units)
                .expect("torn");
        }
        let ended = fragments.end(ends_picture);
        !units.is_empty() || ended.is_some_and(|unit| unit.is_ok())
    }

    #[test]
    fn a_unit_without_its_end_is_torn_until_that_is_usual() {
        let mut fragments = Fragments::default();
        let whole: Vec<bool> = (0..4)
            .map(|_| is_whole(&mut fragments, false, false))
            .collect();
        assert_eq!(whole, [false, false, true, true]);
        assert!(is_whole(&mut fragments, true, false));
        assert!(!is_whole(&mut fragments, false, false));
    }

    #[test]
    fn a_unit_without_its_end_is_whole_if_its_last_piece_ends_the_picture() {
        let mut fragments = Fragments::default();
        for has_end in [false, true, false] {
            assert!(is_whole(&mut fragments, has_end, true), "{has_end}");
        }
    }
}
