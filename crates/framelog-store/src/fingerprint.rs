//! What two pictures are compared by without decoding them or keeping one. Not for what follows from their being alike.

use framelog_core::digest::Digest;

/// In a picture up to so large all bytes count: of a smaller one the header may be all there is.
const SMALL_BYTES: usize = 2_048;

/// Length and checksum of a picture: the same for the same picture, and by accident for one in four thousand million others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    bytes: usize,
    /// Of a small picture.
    header: Option<u32>,
    rest: u32,
}

impl Fingerprint {
    /// That of the picture with these checksums.
    pub fn of(digest: Digest) -> Self {
        Self {
            bytes: digest.bytes(),
            header: (digest.bytes() <= SMALL_BYTES).then(|| digest.header()),
            rest: digest.rest(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Fingerprint {
        Fingerprint::of(Digest::of([bytes]))
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
}
