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

    /// The checksum of bytes whose own is `before`, and the payload behind them.
    pub fn behind(&self, before: u32) -> u32 {
        let header = self.bytes.min(HEADER_BYTES);
        [(self.header, header), (self.rest, self.bytes - header)]
            .into_iter()
            .fold(before, |before, (crc, len)| shift(before, len) ^ crc)
    }
}

/// The polynomial of CRC-32, and 1. Bits are reflected: the highest is the coefficient of x⁰.
const POLYNOMIAL: u32 = 0xEDB8_8320;
const ONE: u32 = 1 << 31;

/// x to the power of 8·n·256^k modulo the polynomial, for all values n of a number's kth byte, the lowest first.
static POWERS: [[u32; 256]; size_of::<usize>()] = {
    let mut powers = [[ONE; 256]; size_of::<usize>()];
    let mut byte = ONE >> 8;
    let mut k = 0;
    while k < powers.len() {
        let mut n = 1;
        while n < 256 {
            powers[k][n] = product(powers[k][n - 1], byte);
            n += 1;
        }
        byte = product(powers[k][255], byte);
        k += 1;
    }
    powers
};

/// What the checksum of some bytes is worth in that of the same and so many more, to which the checksum of those is added. As `Hasher::combine`
/// does it, but with a product for each byte of the length, not for each bit: it is done for every frame.
fn shift(crc: u32, bytes: usize) -> u32 {
    let digits = bytes.to_le_bytes().into_iter().zip(&POWERS);
    digits
        .filter(|(digit, _)| *digit > 0)
        .fold(crc, |crc, (digit, powers)| {
            product(crc, powers[usize::from(digit)])
        })
}

/// The product of two polynomials modulo that of CRC-32. Without a branch: which way it goes would be as good as random.
const fn product(mut a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    while a > 0 {
        product ^= b & (a >> 31).wrapping_neg();
        a <<= 1;
        b = (b >> 1) ^ (POLYNOMIAL & (b & 1).wrapping_neg());
    }
    product
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn checksums_of_any_length_are_put_together(
            a in any::<u32>(),
            b in any::<u32>(),
            bytes in any::<usize>(),
            zeros in 0..=usize::BITS,
        ) {
            let bytes = bytes.checked_shr(zeros).unwrap_or(0);
            let b = if bytes > 0 { b } else { crc32fast::hash(b"") };
            let mut both = Hasher::new_with_initial(a);
            both.combine(&Hasher::new_with_initial_len(b, bytes as u64));
            prop_assert_eq!(shift(a, bytes) ^ b, both.finalize());
        }

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
            let before = crc32fast::hash(&head);
            let all = crc32fast::hash(&[head, payload].concat());
            prop_assert_eq!(digest.behind(before), all);
        }
    }
}
