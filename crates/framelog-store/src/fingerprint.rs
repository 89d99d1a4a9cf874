//! What two pictures are compared by without decoding them or keeping one. Not for what follows from their being alike.

use framelog_core::frame::Payload;

/// The beginning of a picture that doesn't count: the header, in which a date may go on though the picture doesn't.
const HEADER_BYTES: usize = 1_024;
/// In a picture up to so large all bytes count: of a smaller one the header may be all there is.
const SMALL_BYTES: usize = 2_048;

/// Length and checksum of a picture: the same for the same picture, and by accident for one in four thousand million others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    bytes: usize,
    crc: u32,
}

impl Fingerprint {
    /// Reads the payload once.
    pub fn of(payload: &Payload) -> Self {
        let mut skip = if payload.len() > SMALL_BYTES {
            HEADER_BYTES
        } else {
            0
        };
        let mut crc = crc32fast::Hasher::new();
        for slice in payload.slices() {
            let counted = slice.get(skip..).unwrap_or_default();
            skip = skip.saturating_sub(slice.len());
            crc.update(counted);
        }
        Self {
            bytes: payload.len(),
            crc: crc.finalize(),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn of(bytes: &[u8]) -> Fingerprint {
        Fingerprint::of(&Bytes::copy_from_slice(bytes).into())
    }

    /// A picture of so many bytes, and the same with one byte changed.
    fn pair(length: usize, changed: usize) -> (Fingerprint, Fingerprint) {
        let picture: Vec<u8> = (0..length).map(|n| n as u8).collect();
        let mut other = picture.clone();
        other[changed] ^= 1;
        (of(&picture), of(&other))
    }

    #[test]
    fn a_byte_counts_unless_it_is_in_the_header_of_a_large_picture() {
        for (length, changed, alike) in [
            (2_048, 0, false),
            (2_048, 2_047, false),
            (2_049, 0, true),
            (2_049, 1_023, true),
            (2_049, 1_024, false),
            (50_000, 49_999, false),
        ] {
            let (a, b) = pair(length, changed);
            assert_eq!(a == b, alike, "byte {changed} of {length}");
        }
    }

    #[test]
    fn length_counts() {
        assert_ne!(of(&[0; 3_000]), of(&[0; 3_001]));
    }

    #[test]
    fn slices_do_not_matter() {
        let picture: Vec<u8> = (0..5_000).map(|n| (n % 251) as u8).collect();
        for size in [1, 7, 500, 1_023, 1_024, 1_025, 4_999] {
            let mut payload = Payload::default();
            picture
                .chunks(size)
                .for_each(|slice| payload.push(Bytes::copy_from_slice(slice)));
            assert_eq!(Fingerprint::of(&payload), of(&picture), "slices of {size}");
        }
    }
}
