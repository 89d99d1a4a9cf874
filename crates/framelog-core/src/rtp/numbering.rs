//! Whether a camera's sequence numbers count its packets. Some number pictures, or nothing, or have their bytes in the wrong order. Not for what
//! the numbers say if they do.
//!
//! A loss is a jump ahead, behind which they count again. No loss explains numbers that stand still or go back all the time, or that do so with each
//! picture; those that never once go on by one count nothing either, until they do for as long.

use super::packet::Packet;

/// Weighs so much against a number that goes on: one that goes back or stands still.
const BACK_WEIGHT: u32 = 2;
/// So much must speak against numbers.
const AGAINST: u32 = 32;
/// Or so many pictures in a row must have begun with a number that does.
const ANEW: u32 = 16;
/// Or so many in a row must not have gone on by one.
const NEVER: u32 = 64;

/// So many bytes of a payload tell it from others.
const BEGINNING_BYTES: usize = 16;

/// What is known of the numbers.
#[derive(Debug, Default)]
pub(super) struct Numbering {
    last: Option<Last>,
    against: u32,
    anew: u32,
    never: u32,
    /// So many in a row have gone on by one.
    on: u32,
    is_useless: bool,
}

/// The last packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Last {
    /// Its own, or that of something else behind it.
    sequence: u16,
    rtp_time: u32,
    beginning: [u8; BEGINNING_BYTES],
}

impl Last {
    fn new(packet: &Packet) -> Self {
        let mut beginning = [0; BEGINNING_BYTES];
        let bytes = packet.payload.iter().copied();
        beginning
            .iter_mut()
            .zip(bytes)
            .for_each(|(to, byte)| *to = byte);
        Self {
            sequence: packet.sequence,
            rtp_time: packet.rtp_time,
            beginning,
        }
    }
}

impl Numbering {
    /// Takes a packet, in order of arrival.
    pub(super) fn observe(&mut self, packet: &Packet) {
        let this = Last::new(packet);
        let Some(last) = self.last.replace(this) else {
            return;
        };
        let is_repeated = last == this;
        if is_repeated {
            return;
        }
        let step = packet.sequence.wrapping_sub(last.sequence).cast_signed();
        self.on = if step == 1 {
            self.on.saturating_add(1)
        } else {
            0
        };
        if self.is_useless {
            if self.never >= NEVER && self.on >= NEVER {
                // It was loss after loss.
                *self = Self {
                    last: self.last,
                    ..Self::default()
                };
            }
            return;
        }
        self.never = if step == 1 { 0 } else { self.never + 1 };
        self.against = match step {
            ..=0 => self.against + BACK_WEIGHT,
            _ => self.against.saturating_sub(1),
        };
        if this.rtp_time != last.rtp_time {
            self.anew = if step <= 0 { self.anew + 1 } else { 0 };
        }
        self.is_useless = self.against >= AGAINST || self.anew >= ANEW || self.never >= NEVER;
    }

    /// Something else in the same sequence has this number.
    pub(super) fn pass_over(&mut self, sequence: u16) {
        if let Some(last) = &mut self.last
            && last.sequence.wrapping_add(1) == sequence
        {
            last.sequence = sequence;
        }
    }

    /// Whether they say nothing.
    pub(super) fn is_useless(&self) -> bool {
        self.is_useless
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::samples::packet;
    use super::*;

    fn is_useless(numbers: impl IntoIterator<Item = u16>) -> bool {
        let mut numbering = Numbering::default();
        for (sequence, n) in numbers.into_iter().zip(0..) {
            // Pictures of ten packets.
            let bytes = packet(sequence, n / 10, false, &n.to_be_bytes());
            numbering.observe(&Packet::read(bytes).unwrap());
        }
        numbering.is_useless()
    }

    #[test]
    fn numbers_that_count_again_for_long_are_useful_again() {
        let by_two = (0..100).map(|n| 2 * n);
        assert!(is_useless(by_two.clone()));
        assert!(!is_useless(by_two.chain(300..400)));
        let constant = std::iter::repeat_n(7, 100);
        assert!(is_useless(constant.chain(300..400)));
    }

    #[test]
    fn numbers_that_count_are_useful_with_losses_and_restarts() {
        assert!(!is_useless(0..10_000));
        assert!(!is_useless(
            (0..10_000).filter(|n| n % 2 == 0 || n % 64 == 1)
        ));
        assert!(!is_useless((0..10_000).filter(|n| n % 100 < 3)));
        assert!(!is_useless((0..10_000).map(|n| n % 37)));
        assert!(!is_useless((0..10_000).map(|n| n ^ u16::from(n % 8 < 2))));
    }

    #[test]
    fn numbers_that_do_not_count_are_useless() {
        assert!(is_useless((0..100).map(|_| 9)), "none");
        assert!(is_useless((0..200).map(|n| n / 2)), "pictures");
        assert!(is_useless((0..300).map(|n| n % 10)), "within a picture");
        assert!(is_useless((0..100).map(|n| n * 2)), "by two");
        assert!(is_useless((0..100).map(u16::swap_bytes)), "bytes swapped");
        assert!(
            is_useless((0..100u16).map(|n| n.wrapping_mul(40_503) >> 3 ^ n << 9)),
            "random"
        );
    }

    #[test]
    fn what_is_sent_twice_speaks_against_no_number() {
        let mut numbering = Numbering::default();
        for sequence in 0..1_000 {
            let bytes = packet(sequence, 0, false, b"x");
            let packet = Packet::read(bytes).unwrap();
            (0..3).for_each(|_| numbering.observe(&packet));
        }
        assert!(!numbering.is_useless());
    }

    #[test]
    fn numbers_that_others_have_are_not_missing() {
        let mut numbering = Numbering::default();
        for sequence in (0..1_000).step_by(3) {
            let bytes = packet(sequence, 0, false, b"x");
            numbering.observe(&Packet::read(bytes).unwrap());
            numbering.pass_over(sequence + 1);
            numbering.pass_over(sequence + 2);
        }
        assert!(!numbering.is_useless());
    }
}
