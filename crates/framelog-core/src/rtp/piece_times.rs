//! Whether the pieces of a NAL unit have one RTP time, as they should (RFC 3550 §5.1). Some cameras stamp each packet when they send it. Not for
//! which pieces belong together.

/// A unit of fewer pieces proves nothing: two may be left of two pictures.
const PIECES_MIN: u32 = 3;
/// So many units in a row must have had another time with each piece.
const PROOFS: u32 = 2;

/// What is known of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PieceTimes {
    /// The unit's pieces so far.
    pieces: u32,
    last: u32,
    /// Two of them in a row have the same.
    is_same: bool,
    proofs: u32,
}

impl PieceTimes {
    /// Takes the RTP time of a packet that begins a unit.
    pub(super) fn begin(&mut self, rtp_time: u32) {
        if self.is_same {
            self.proofs = 0;
        } else if self.pieces >= PIECES_MIN {
            self.proofs = self.proofs.saturating_add(1);
        }
        self.pieces = 1;
        self.last = rtp_time;
        self.is_same = false;
    }

    /// Takes that of a piece of the same unit.
    pub(super) fn go_on(&mut self, rtp_time: u32) {
        self.pieces = self.pieces.saturating_add(1);
        self.is_same |= self.last == rtp_time;
        self.last = rtp_time;
    }

    /// Whether they say nothing of what a piece belongs to.
    pub(super) fn differ(&self) -> bool {
        self.proofs >= PROOFS
    }
}
