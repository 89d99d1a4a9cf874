//! What one picture may hold. Not for pictures that are too large: who asks tells.

/// The largest picture, bytes. Keyframes of 8K have some 4 MB; one that never ends looks like one until it is larger than this.
pub(super) const PICTURE_BYTES_MAX: usize = 12 << 20;
/// The most slices in one: a picture of the largest size in packets of 500 bytes.
const SLICES_MAX: usize = 64 << 10;

/// What has been taken so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Budget {
    bytes: usize,
    slices: usize,
}

impl Budget {
    /// Takes one more slice, if it is allowed.
    pub(super) fn allows(&mut self, bytes: usize) -> bool {
        self.takes(bytes, 1)
    }

    /// Takes more bytes in more slices, if they are allowed.
    pub(super) fn takes(&mut self, bytes: usize, slices: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        self.slices = self.slices.saturating_add(slices);
        self.bytes <= PICTURE_BYTES_MAX && self.slices <= SLICES_MAX
    }
}
