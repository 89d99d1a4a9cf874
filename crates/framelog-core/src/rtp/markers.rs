//! Whether a camera's marker bits tell where pictures end (RFC 6184 §5.1). Some set it with every packet, with every slice, or never
//! (camera-quirks row 96), and a picture that is handed out too early is torn. Not for finding the end by other means.

/// So many markers must have been right before one is believed.
const PROOFS: u32 = 2;

/// What is known of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Markers {
    right: u32,
    lie: bool,
    seen: bool,
    missing: bool,
}

impl Markers {
    /// There was one with a picture.
    pub(super) fn note(&mut self) {
        self.seen = true;
    }

    /// A picture with a marker has ended there, as what came next shows.
    pub(super) fn was_right(&mut self) {
        self.right = self.right.saturating_add(1);
    }

    /// A picture went on behind a marker.
    pub(super) fn was_wrong(&mut self) {
        self.lie = true;
    }

    /// A whole picture had none.
    pub(super) fn was_missing(&mut self) {
        self.missing = true;
    }

    /// Whether a picture ends with a marker, for certain.
    pub(super) fn are_trusted(self) -> bool {
        !self.lie && self.right >= PROOFS
    }

    /// Whether there was one that was right, and none that was wrong.
    pub(super) fn have_been_right(self) -> bool {
        !self.lie && self.right > 0
    }

    /// Whether a picture ends with a marker, as far as is known.
    pub(super) fn may_be_right(self) -> bool {
        !self.lie
    }

    /// Whether a picture without a marker has not ended.
    pub(super) fn are_expected(self) -> bool {
        !self.lie && self.seen && !self.missing
    }
}
