//! Checksums of a payload, taken once for all who need one. Not for what they are compared with.

use crc32fast::Hasher;

/// The beginning of a payload that has a checksum of its own, bytes: a picture's header, in which a date may go on though the picture doesn't.
pub const HEADER_BYTES: usize = 1_024;

/// CRC-32 (IEEE 802.3) of the first [`HEADER_BYTES`] of a payload and of all behind them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    bytes: usize,
    header: u32,
    rest: u32,
}

impl Digest {
    /// Reads all slices of a payload.
    pub fn of<'p>(slices: impl IntoIterator<Item = &'p [u8]>) -> Self {
        let (mut header, mut rest) = (Hasher::new(), Hasher::new());
        let mut bytes: usize = 0;
        for slice in slices {
            let in_header = HEADER_BYTES.saturating_sub(bytes).min(slice.len());
            let (first, second) = slice.split_at(in_header);
            header.update(first);
            rest.update(second);
            bytes += slice.len();
        }
        Self {
            bytes,
            header: header.finalize(),
            rest: rest.finalize(),
        }
    }

    /// How many bytes the payload has.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The checksum of the first [`HEADER_BYTES`].
    pub fn header(&self) -> u32 {
        self.header
    }

    /// The checksum of all that is behind them; 0 if nothing is.
    pub fn rest(&self) -> u32 {
        self.rest
    }

    /// The checksum of what `before` has read and the payload behind it.
    pub fn behind(&self, mut before: Hasher) -> u32 {
        let header = self.bytes.min(HEADER_BYTES);
        for (crc, len) in [(self.header, header), (self.rest, self.bytes - header)] {
            before.combine(&Hasher::new_with_initial_len(crc, len as u64));
        }
        before.finalize()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_that_of_all_bytes_however_they_are_cut(
            head in prop::collection::vec(any::<u8>(), 0..200),
            payload in prop::collection::vec(any::<u8>(), 0..3000),
            size in 1usize..2000,
        ) {
            let digest = Digest::of(payload.chunks(size));
            prop_assert_eq!(digest, Digest::of([&payload[..]]));
            prop_assert_eq!(digest.bytes(), payload.len());
            let (header, rest) = payload.split_at(payload.len().min(HEADER_BYTES));
            prop_assert_eq!(digest.header(), crc32fast::hash(header));
            prop_assert_eq!(digest.rest(), crc32fast::hash(rest));
            let mut before = Hasher::new();
            before.update(&head);
            let all = crc32fast::hash(&[head, payload].concat());
            prop_assert_eq!(digest.behind(before), all);
        }
    }
}
