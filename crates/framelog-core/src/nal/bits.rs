//! Bits of a NAL unit's body, emulation prevention taken off and put in (ITU-T H.264 §7.4.1, §9.1). Not for what they mean.

/// Reads bits from the left; `None` when there are too few.
#[derive(Clone, Debug)]
pub(super) struct Bits<'a> {
    bytes: std::slice::Iter<'a, u8>,
    /// How many zero bytes came last.
    zeros: u8,
    byte: u8,
    /// How many of its bits are left.
    left: u8,
}

impl<'a> Bits<'a> {
    /// Reads what follows a unit's header.
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self {
            bytes: body.iter(),
            zeros: 0,
            byte: 0,
            left: 0,
        }
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        if self.left == 0 {
            self.byte = self.next_byte()?;
            self.left = 8;
        }
        self.left -= 1;
        Some(self.byte >> self.left & 1 != 0)
    }

    /// A number of so many bits, 32 at most: `u(n)`.
    pub(super) fn number(&mut self, bits: u32) -> Option<u32> {
        (0..bits).try_fold(0, |number, _| Some(number << 1 | u32::from(self.flag()?)))
    }

    pub(super) fn skip(&mut self, bits: u32) -> Option<()> {
        for _ in 0..bits / 8 {
            self.byte = self.next_byte()?; // as many of its bits are left as of the one before
        }
        (0..bits % 8).try_for_each(|_| self.flag().map(|_| ()))
    }

    /// `ue(v)`.
    pub(super) fn exp_golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros == 32 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.number(zeros)?)
    }

    /// `se(v)`.
    pub(super) fn signed_exp_golomb(&mut self) -> Option<i32> {
        let code = i64::from(self.exp_golomb()?);
        let half = (code + 1) / 2;
        i32::try_from(if code % 2 == 1 { half } else { -half }).ok()
    }

    fn next_byte(&mut self) -> Option<u8> {
        let mut byte = *self.bytes.next()?;
        if byte == 3 && self.zeros >= 2 {
            self.zeros = 0;
            byte = *self.bytes.next()?;
        }
        self.zeros = if byte == 0 {
            self.zeros.saturating_add(1)
        } else {
            0
        };
        Some(byte)
    }
}

/// A unit's body with emulation prevention.
pub(super) fn protect(body: &[u8]) -> Vec<u8> {
    let mut protected = Vec::with_capacity(body.len());
    let mut zeros = 0;
    for &byte in body {
        if zeros == 2 && byte <= 3 {
            protected.push(3);
            zeros = 0;
        }
        protected.push(byte);
        zeros = if byte == 0 { zeros + 1 } else { 0 };
    }
    protected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_codes_are_those_of_the_standard() {
        // Table 9-2: 1, 010, 011, 00100, 00101
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        let found: Vec<_> = std::iter::from_fn(|| bits.exp_golomb()).take(5).collect();
        assert_eq!(found, [0, 1, 2, 3, 4]);
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        let found: Vec<_> = std::iter::from_fn(|| bits.signed_exp_golomb())
            .take(5)
            .collect();
        assert_eq!(found, [0, 1, -1, 2, -2]);
        assert_eq!(Bits::new(&[0; 20]).exp_golomb(), None);
        let largest = [0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF];
        assert_eq!(Bits::new(&largest).exp_golomb(), Some(u32::MAX - 1));
    }

    #[test]
    fn emulation_prevention_is_taken_off() {
        let mut bits = Bits::new(&[0, 0, 3, 1, 0, 0, 3, 0, 0, 3, 7, 3]);
        let found: Vec<_> = std::iter::from_fn(|| bits.number(8)).collect();
        assert_eq!(found, [0, 0, 1, 0, 0, 0, 0, 7, 3]);
    }

    #[test]
    fn bits_are_skipped_from_anywhere_to_anywhere() {
        let bytes = [0b1010_0110, 0b0101_1001, 0, 0, 3, 1, 0xF0, 0x0F];
        for from in 0..20 {
            for by in 0..45 {
                let (mut skipped, mut read) = (Bits::new(&bytes), Bits::new(&bytes));
                for bits in [&mut skipped, &mut read] {
                    bits.number(from);
                }
                let done = skipped.skip(by).is_some();
                assert_eq!((0..by).all(|_| read.flag().is_some()), done);
                if done {
                    assert_eq!(skipped.number(3), read.number(3), "{by} from {from}");
                }
            }
        }
        assert_eq!(Bits::new(&bytes).skip(64), None);
    }

    #[test]
    fn emulation_prevention_is_put_in_where_it_is_needed() {
        let protected = protect(&[0, 0, 1, 0, 0, 0, 0, 0, 4, 0, 3]);
        assert_eq!(protected, [0, 0, 3, 1, 0, 0, 3, 0, 0, 3, 0, 4, 0, 3]);
    }
}
