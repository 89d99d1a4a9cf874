//! H.265 packets to NAL units (RFC 7798). Not for which of them make an access unit: that is `assembly`.

use bytes::Bytes;

use super::SkipReason;
use super::budget::Budget;
use super::fragments::{Fragments, Piece, Units};
use super::packet::{take, take_u8, take_u16};
use crate::frame::Payload;

/// The length of a unit among others, bytes.
const LENGTH_BYTES: usize = 2;
/// The type of a payload that carries another.
const PACI: u8 = 50;
/// A unit's header, and that of a packet's payload, bytes.
const HEADER_BYTES: usize = 2;
/// The first decoding order number of a packet; those of further units are one byte each.
const DONL_BYTES: usize = 2;

/// Whether a packet goes on with a unit that began in one before.
pub(super) fn continues_unit(payload: &[u8]) -> bool {
    matches!(payload, [first, _, header, ..] if first >> 1 & 0x3F == 49 && header & 0x80 == 0)
}

/// The payload within one that carries information on it (PACI, §4.4.4); any other stays as it is, and so does one that is cut off.
pub(super) fn unwrapped(payload: Bytes) -> Bytes {
    within(&payload).unwrap_or(payload)
}

fn within(payload: &Bytes) -> Option<Bytes> {
    let &[first, second, ..] = &**payload else {
        return None;
    };
    if first >> 1 & 0x3F != PACI {
        return None;
    }
    let mut rest = payload.slice(HEADER_BYTES..);
    // The first bit and the type of the payload's own header, how long the information is, and four flags.
    let fields = take_u16(&mut rest)?;
    take(&mut rest, usize::from(fields >> 4 & 0x1F))?;
    let own = fields.to_be_bytes()[0] & 0xFE | first & 1;
    Some([&[own, second], &rest[..]].concat().into())
}

/// Takes the units from a packet's payload. `has_don`: decoding order numbers are among the fields, and are passed over.
pub(super) fn unpack(
    mut payload: Bytes,
    has_don: bool,
    used: Budget,
    fragments: &mut Fragments,
    units: &mut Units,
) -> Result<(), SkipReason> {
    if payload.is_empty() {
        return Ok(());
    }
    let donl = if has_don { DONL_BYTES } else { 0 };
    let is_annex_b = payload.starts_with(&[0, 0, 1]) || payload.starts_with(&[0, 0, 0, 1]);
    let unit_type = payload[0] >> 1 & 0x3F;
    if is_annex_b {
        units.push(payload.into());
        return Ok(());
    }
    let header = take(&mut payload, HEADER_BYTES).ok_or(SkipReason::Torn)?;
    match unit_type {
        48 => {
            take(&mut payload, donl).ok_or(SkipReason::Torn)?;
            aggregated(payload, usize::from(has_don), units)
        }
        49 => {
            let fu_header = take_u8(&mut payload).ok_or(SkipReason::Torn)?;
            let is_first = fu_header & 0x80 != 0;
            if is_first {
                take(&mut payload, donl).ok_or(SkipReason::Torn)?;
            }
            let piece = Piece {
                is_first,
                is_last: fu_header & 0x40 != 0,
                header: Bytes::copy_from_slice(&[
                    header[0] & 0x81 | (fu_header & 0x3F) << 1,
                    header[1],
                ]),
                body: payload,
            };
            fragments.take(piece, used, units)
        }
        // One that could not be unwrapped, or two within each other.
        PACI => Err(SkipReason::Torn),
        // Not defined.
        51..=63 => Ok(()),
        _ => {
            take(&mut payload, donl).ok_or(SkipReason::Torn)?;
            let mut unit = Payload::from(header);
            unit.push(payload);
            units.push(unit);
            Ok(())
        }
    }
}

/// Units behind their lengths in two bytes each. Behind the last there may be padding: what holds no unit, or zeros.
fn aggregated(mut rest: Bytes, dond: usize, units: &mut Units) -> Result<(), SkipReason> {
    let mut is_first = true;
    while rest.len() > LENGTH_BYTES && rest.iter().any(|byte| *byte != 0) {
        if !is_first {
            take(&mut rest, dond).ok_or(SkipReason::Torn)?;
        }
        is_first = false;
        let len = take_u16(&mut rest).ok_or(SkipReason::Torn)?;
        let unit = take(&mut rest, len.into()).ok_or(SkipReason::Torn)?;
        if !unit.is_empty() {
            units.push(unit.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(has_don: bool, packets: &[&[u8]]) -> Result<Vec<Vec<u8>>, SkipReason> {
        let mut fragments = Fragments::default();
        let mut units = Units::new();
        for packet in packets {
            let packet = unwrapped(Bytes::copy_from_slice(packet));
            if !continues_unit(&packet) {
                units.extend(fragments.end(true).transpose()?);
            }
            unpack(
                packet,
                has_don,
                Budget::default(),
                &mut fragments,
                &mut units,
            )?;
        }
        units.extend(fragments.end(true).transpose()?);
        Ok(units.iter().map(Payload::to_vec).collect())
    }

    #[test]
    fn each_structure_of_the_rfc_gives_its_units() {
        let one = [b"\x26\x01one".to_vec()];
        let two = [b"\x40\x01one".to_vec(), b"\x42\x01two".to_vec()];
        assert_eq!(unpacked(false, &[b"\x26\x01one"]).unwrap(), one);
        assert_eq!(
            unpacked(false, &[b"\x60\x01\0\x05\x40\x01one\0\x05\x42\x01two"]).unwrap(),
            two
        );
        assert_eq!(
            unpacked(
                false,
                &[b"\x62\x01\x93o", b"\x62\x01\x13n", b"\x62\x01\x53e"]
            )
            .unwrap(),
            one
        );
        assert_eq!(
            unpacked(false, &[b"\x60\x01\0\x05\x40\x01one\0\x05\x42\x01two\r\n"]).unwrap(),
            two,
            "padded"
        );
        assert_eq!(
            unpacked(false, &[b"\0\0\0\x01\x26\x01one"]).unwrap(),
            [b"\0\0\0\x01\x26\x01one"]
        );
    }

    #[test]
    fn information_on_a_payload_is_taken_off() {
        let one = [b"\x26\x01one".to_vec()];
        assert_eq!(unpacked(false, &[b"\x64\x01\x26\x38abcone"]).unwrap(), one);
        let pieces: [&[u8]; 3] = [
            b"\x64\x01\x62\x38abc\x93o",
            b"\x62\x01\x13n",
            b"\x64\x01\x62\x08\x53e",
        ];
        assert_eq!(unpacked(false, &pieces).unwrap(), one);
        assert_eq!(
            unwrapped(Bytes::from_static(b"\x65\x0A\xA6\0x")),
            b"\xA7\x0Ax"[..],
            "all bits of the header"
        );
    }

    #[test]
    fn decoding_order_numbers_are_taken_out() {
        let one = [b"\x26\x01one".to_vec()];
        let two = [b"\x40\x01one".to_vec(), b"\x42\x01two".to_vec()];
        assert_eq!(unpacked(true, &[b"\x26\x01\x12\x34one"]).unwrap(), one);
        assert_eq!(
            unpacked(
                true,
                &[b"\x60\x01\x12\x34\0\x05\x40\x01one\x01\0\x05\x42\x01two"]
            )
            .unwrap(),
            two
        );
        assert_eq!(
            unpacked(
                true,
                &[b"\x62\x01\x93\x12\x34o", b"\x62\x01\x13n", b"\x62\x01\x53e"]
            )
            .unwrap(),
            one
        );
    }

    #[test]
    fn what_is_torn_is_told() {
        let torn: [&[u8]; 7] = [
            b"\x64\x01\x26",
            b"\x64\x01\x26\x38ab",
            b"\x64\x01\x64\x08\x26\x01one",
            b"\x62\x01",
            b"\x62\x01\x13middle",
            b"\x60\x01\0\x09\x40\x01",
            b"\x26",
        ];
        for packet in torn {
            assert_eq!(
                unpacked(false, &[packet]),
                Err(SkipReason::Torn),
                "{packet:?}"
            );
        }
        assert_eq!(unpacked(false, &[b"", b"\x66\x01x"]).unwrap(), [b""; 0]);
    }
}
