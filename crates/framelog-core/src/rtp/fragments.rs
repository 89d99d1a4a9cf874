//! A NAL unit that comes in pieces (FU-A, FU-B: RFC 6184 §5.8; FU: RFC 7798 §4.4.3), put together. Not for the packets' own fields.

use bytes::Bytes;
use smallvec::SmallVec;

use super::SkipReason;
use super::budget::Budget;
use crate::frame::Payload;

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

    /// The unit so far, where what follows shows that it has ended: whole if this camera does not mark last pieces as such, else torn.
    pub(super) fn end(&mut self) -> Option<Result<Payload, SkipReason>> {
        let (unit, _) = self.open.take()?;
        Some(if self.are_ends_marked {
            Err(SkipReason::Torn)
        } else {
            Ok(unit)
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
