//! H.264 packets to NAL units (RFC 6184). Not for which of them make an access unit: that is `assembly`.
//!
//! All packetization modes are read. In interleaved mode (STAP-B, MTAP, FU-B) the units are handed out in the order of the packets: cameras
//! that send pictures in decoding order have no use for another one.

use bytes::Bytes;

use super::SkipReason;
use super::budget::Budget;
use super::fragments::{Fragments, Piece, Units};
use super::packet::{take, take_u8, take_u16};

/// The length of a unit among others, bytes.
const LENGTH_BYTES: usize = 2;
/// Decoding order numbers, and what an MTAP has with each unit, bytes.
const DON_BYTES: usize = 2;
const MTAP16_FIELDS_BYTES: usize = 3;
const MTAP24_FIELDS_BYTES: usize = 4;

/// Whether a packet goes on with a unit that began in one before.
pub(super) fn continues_unit(payload: &[u8]) -> bool {
    matches!(payload, [indicator, header, ..] if matches!(indicator & 0x1F, 28 | 29) && header & 0x80 == 0)
}

/// Takes the units from a packet's payload.
pub(super) fn unpack(
    mut payload: Bytes,
    used: Budget,
    fragments: &mut Fragments,
    units: &mut Units,
) -> Result<(), SkipReason> {
    let Some(&indicator) = payload.first() else {
        return Ok(());
    };
    let unit_type = indicator & 0x1F;
    match unit_type {
        24..=27 => {
            let _ = take(&mut payload, 1);
            if unit_type > 24 {
                take(&mut payload, DON_BYTES).ok_or(SkipReason::Torn)?;
            }
            let fields = match unit_type {
                26 => MTAP16_FIELDS_BYTES,
                27 => MTAP24_FIELDS_BYTES,
                _ => 0,
            };
            aggregated(payload, fields, units)
        }
        28 | 29 => {
            let _ = take(&mut payload, 1);
            let header = take_u8(&mut payload).ok_or(SkipReason::Torn)?;
            let is_first = header & 0x80 != 0;
            if unit_type == 29 && is_first {
                take(&mut payload, DON_BYTES).ok_or(SkipReason::Torn)?;
            }
            let piece = Piece {
                is_first,
                is_last: header & 0x40 != 0,
                header: Bytes::copy_from_slice(&[indicator & 0xE0 | header & 0x1F]),
                body: payload,
            };
            fragments.take(piece, used, units)
        }
        // Undefined, but for the first byte of a start code: some cameras send Annex B as it is.
        0 if !payload.starts_with(&[0, 0]) => Ok(()),
        30 | 31 => Ok(()),
        _ => {
            units.push(payload.into());
            Ok(())
        }
    }
}

/// Units behind their lengths in two bytes each, with so many bytes of other fields before each unit. Behind the last there may be padding: what
/// holds no unit, or zeros.
fn aggregated(mut rest: Bytes, fields: usize, units: &mut Units) -> Result<(), SkipReason> {
    while rest.len() > LENGTH_BYTES + fields && rest.iter().any(|byte| *byte != 0) {
        let len = take_u16(&mut rest).ok_or(SkipReason::Torn)?;
        take(&mut rest, fields).ok_or(SkipReason::Torn)?;
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

    fn unpacked(packets: &[&[u8]]) -> Result<Vec<Vec<u8>>, SkipReason> {
        let mut fragments = Fragments::default();
        let mut units = Units::new();
        for packet in packets {
            if !continues_unit(packet) {
                units.extend(fragments.end(true).transpose()?);
            }
            unpack(
                Bytes::copy_from_slice(packet),
                Budget::default(),
                &mut fragments,
                &mut units,
            )?;
        }
        units.extend(fragments.end(true).transpose()?);
        Ok(units.iter().map(crate::frame::Payload::to_vec).collect())
    }

    #[test]
    fn each_structure_of_the_rfc_gives_its_units() {
        let one = [b"\x65one".to_vec()];
        let two = [b"\x67one".to_vec(), b"\x68two".to_vec()];
        assert_eq!(unpacked(&[b"\x65one"]).unwrap(), one);
        assert_eq!(
            unpacked(&[b"\x78\0\x04\x67one\0\x04\x68two"]).unwrap(),
            two,
            "STAP-A"
        );
        assert_eq!(
            unpacked(&[b"\x79\x12\x34\0\x04\x67one\0\x04\x68two"]).unwrap(),
            two,
            "STAP-B"
        );
        let mtap16 = b"\x7A\x12\x34\0\x04\x01\x02\x03\x67one\0\x04\x01\x02\x03\x68two";
        assert_eq!(unpacked(&[mtap16]).unwrap(), two, "MTAP16");
        let mtap24 = b"\x7B\x12\x34\0\x04\x01\x02\x03\x04\x67one\0\x04\x01\x02\x03\x04\x68two";
        assert_eq!(unpacked(&[mtap24]).unwrap(), two, "MTAP24");
        assert_eq!(
            unpacked(&[b"\x7C\x85o", b"\x7C\x05n", b"\x7C\x45e"]).unwrap(),
            one,
            "FU-A"
        );
        assert_eq!(
            unpacked(&[b"\x7D\x85\x12\x34o", b"\x7D\x05n", b"\x7D\x45e"]).unwrap(),
            one,
            "FU-B"
        );
        assert_eq!(
            unpacked(&[b"\x7C\xC5one"]).unwrap(),
            one,
            "one piece that is the first and the last"
        );
    }

    #[test]
    fn a_unit_whose_end_is_not_marked_ends_where_another_begins() {
        let two = [b"\x65one".to_vec(), b"\x41two".to_vec()];
        assert_eq!(
            unpacked(&[b"\x7C\x85o", b"\x7C\x05ne", b"\x5C\x81two"]).unwrap(),
            two
        );
        assert_eq!(
            unpacked(&[b"\x7C\x85o", b"\x7C\x05ne", b"\x41two"]).unwrap(),
            two
        );
    }

    #[test]
    fn what_is_torn_is_told() {
        let torn: [&[u8]; 6] = [
            b"\x7C",
            b"\x7C\x05middle",
            b"\x7C\x45end",
            b"\x78\0\x09\x67one",
            b"\x78\0\x04\x67one\0\x09\x67",
            b"\x79\x12",
        ];
        for packet in torn {
            assert_eq!(unpacked(&[packet]), Err(SkipReason::Torn), "{packet:?}");
        }
        for padded in [&b"\x78\0\x04\x67one\0\0\0"[..], b"\x78\0\x04\x67one\r\n"] {
            assert_eq!(
                unpacked(&[padded]).unwrap(),
                [b"\x67one".to_vec()],
                "padded"
            );
        }
        assert_eq!(unpacked(&[b"", b"\x1E", b"\0x"]).unwrap(), [b""; 0]);
    }

    #[test]
    fn a_unit_that_never_ends_is_given_up() {
        let mut fragments = Fragments::default();
        let mut units = Units::new();
        let piece = Bytes::from([&[0x7C, 0x05][..], &[1; 60_000]].concat());
        unpack(
            Bytes::from_static(b"\x7C\x85"),
            Budget::default(),
            &mut fragments,
            &mut units,
        )
        .unwrap();
        let taken = (0..10_000).take_while(|_| {
            unpack(piece.clone(), Budget::default(), &mut fragments, &mut units).is_ok()
        });
        assert_eq!(
            taken.count(),
            super::super::budget::PICTURE_BYTES_MAX / 60_000
        );
        assert!(!fragments.is_open());
    }
}
