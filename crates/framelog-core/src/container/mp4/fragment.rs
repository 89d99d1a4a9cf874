//! A frame in a segment: `moof`, a `uuid` box with what framelog knows of the frame, and `mdat`. Everything before the payload has the same length
//! and place in every fragment, so that it is read as it is written: made again and compared.

use crc32fast::Hasher;

use super::timeline::Place;
use crate::clock::ClockKind;
use crate::container::{Head, Stored};
use crate::digest::Digest;
use crate::frame::Codec;

/// Lengths of boxes, bytes.
const MFHD: u32 = 16;
const TFHD: u32 = 16;
const TFDT: u32 = 20;
const TRUN: u32 = 36;
const TRAF: u32 = 8 + TFHD + TFDT + TRUN;
const MOOF: u32 = 8 + MFHD + TRAF;
const RECORD: u32 = 8 + 16 + 1 + 3 * 8 + 4;
const MDAT_HEADER: u32 = 8;

/// What comes before the payload, bytes.
pub const HEAD_LEN: usize = (MOOF + RECORD + MDAT_HEADER) as usize;

/// What every fragment begins with: `moof` and `mfhd` of these lengths. It ends before the zeros that follow, because they are what it begins
/// with: whoever searches for it must not find it across the beginning of the next.
pub const START: &[u8] = &[
    0, 0, 0, MOOF as u8, b'm', b'o', b'o', b'f', 0, 0, 0, MFHD as u8, b'm', b'f', b'h', b'd',
];

/// The `uuid` box of a frame (ISO/IEC 14496-12, 11.1).
const RECORD_ID: [u8; 16] = [
    0x69, 0x42, 0xf7, 0x34, 0xb0, 0x2c, 0x49, 0x14, 0xac, 0xdc, 0xd9, 0x4b, 0x4b, 0x88, 0xc4, 0x93,
];

/// The only track.
pub(super) const TRACK: u32 = 1;

/// Sample flags (ISO/IEC 14496-12, 8.8.3.1): depends on no other sample; on others, and no place to begin.
const SYNC: u32 = 0x0200_0000;
const NOT_SYNC: u32 = 0x0101_0000;

/// Places of fields in a head.
const SEQUENCE_AT: usize = 20;
const DECODE_AT: usize = 60;
const DURATION_AT: usize = 88;
const SIZE_AT: usize = 92;
const COMPOSITION_AT: usize = 100;
const KINDS_AT: usize = 128;
const CAPTURED_AT: usize = 129;
const RECEIVED_AT: usize = 137;
const OFFSET_AT: usize = 145;
const CRC_AT: usize = 153;

/// The `kinds` of a record beside the clock (0 camera, 1 mapped, 2 arrival).
const TORN: u8 = 4;
const H265: u8 = 8;
const DEPENDS: u8 = 16;

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fragment {
    /// Counts the fragments of a file, from 1.
    pub sequence: u32,
    pub place: Place,
    /// Of the payload, bytes.
    pub length: u32,
    pub stored: Stored,
}

impl Fragment {
    /// Appends the head of a frame. The record's last field is the CRC-32 (IEEE 802.3) of all before it and the payload; what follows it is
    /// determined by that.
    pub fn write(&self, payload: Digest, out: &mut Vec<u8>) {
        let start = out.len();
        self.write_moof(out);
        self.write_record(out);
        let head = crc32fast::hash(out.get(start..).unwrap_or_default());
        put(out, &[&payload.behind(head).to_be_bytes()]);
        self.write_mdat_header(out);
    }

    /// Movie fragment (ISO/IEC 14496-12, 8.8.4 to 8.8.12) of one sample.
    fn write_moof(&self, out: &mut Vec<u8>) {
        let flags = if self.stored.keyframe { SYNC } else { NOT_SYNC };
        let data_offset = HEAD_LEN as u32;
        put(out, &[START, &[0; 4], &self.sequence.to_be_bytes()]);
        put(out, &[&TRAF.to_be_bytes(), b"traf"]);
        // 0x020000: offsets count from the beginning of the moof.
        put(
            out,
            &[
                &TFHD.to_be_bytes(),
                b"tfhd",
                &0x02_0000_u32.to_be_bytes(),
                &TRACK.to_be_bytes(),
            ],
        );
        put(
            out,
            &[
                &TFDT.to_be_bytes(),
                b"tfdt",
                &[1, 0, 0, 0],
                &self.place.decode_us.to_be_bytes(),
            ],
        );
        // Version 1, signed offsets; 0x0f01: data offset, and of each sample duration, size, flags, composition offset.
        put(
            out,
            &[
                &TRUN.to_be_bytes(),
                b"trun",
                &[1, 0, 0x0f, 1],
                &1_u32.to_be_bytes(),
            ],
        );
        put(
            out,
            &[
                &data_offset.to_be_bytes(),
                &self.place.duration_us.to_be_bytes(),
            ],
        );
        put(out, &[&self.length.to_be_bytes(), &flags.to_be_bytes()]);
        put(out, &[&self.place.composition_us.to_be_bytes()]);
    }

    fn write_record(&self, out: &mut Vec<u8>) {
        let stored = &self.stored;
        let clock = match stored.clock {
            ClockKind::Camera => 0,
            ClockKind::Mapped => 1,
            ClockKind::Arrival => 2,
        };
        let torn = if stored.complete { 0 } else { TORN };
        let codec = if stored.codec == Codec::H265 { H265 } else { 0 };
        let depends = if stored.keyframe { 0 } else { DEPENDS };
        put(
            out,
            &[
                &RECORD.to_be_bytes(),
                b"uuid",
                &RECORD_ID,
                &[clock | torn | codec | depends],
            ],
        );
        for us in [stored.captured_us, stored.received_us, stored.offset_us] {
            put(out, &[&us.to_be_bytes()]);
        }
    }

    fn write_mdat_header(&self, out: &mut Vec<u8>) {
        put(
            out,
            &[
                &self.length.saturating_add(MDAT_HEADER).to_be_bytes(),
                b"mdat",
            ],
        );
    }

    /// What the fields of a head say.
    fn of(head: &[u8; HEAD_LEN]) -> Option<Self> {
        let kinds = head[KINDS_AT];
        Some(Self {
            sequence: u32::from_be_bytes(field(head, SEQUENCE_AT)?),
            place: Place {
                decode_us: u64::from_be_bytes(field(head, DECODE_AT)?),
                composition_us: i32::from_be_bytes(field(head, COMPOSITION_AT)?),
                duration_us: u32::from_be_bytes(field(head, DURATION_AT)?),
            },
            length: u32::from_be_bytes(field(head, SIZE_AT)?),
            stored: Stored {
                captured_us: i64::from_be_bytes(field(head, CAPTURED_AT)?),
                received_us: i64::from_be_bytes(field(head, RECEIVED_AT)?),
                clock: match kinds & 3 {
                    0 => ClockKind::Camera,
                    1 => ClockKind::Mapped,
                    2 => ClockKind::Arrival,
                    _ => return None,
                },
                offset_us: i64::from_be_bytes(field(head, OFFSET_AT)?),
                codec: if kinds & H265 == 0 {
                    Codec::H264
                } else {
                    Codec::H265
                },
                keyframe: kinds & DEPENDS == 0,
                complete: kinds & TORN == 0,
            },
        })
    }
}

/// Reads the head that `bytes` begin with; `None` if they don't begin with one, or not with all of it. Only what [`Fragment::write`] writes is
/// read.
pub(super) fn read_head(bytes: &[u8]) -> Option<Head> {
    if !bytes.starts_with(START) {
        return None;
    }
    let head: &[u8; HEAD_LEN] = bytes.get(..HEAD_LEN)?.try_into().ok()?;
    let fragment = Fragment::of(head)?;
    let crc: [u8; 4] = field(head, CRC_AT)?;
    let mut same = Vec::with_capacity(HEAD_LEN);
    fragment.write_moof(&mut same);
    fragment.write_record(&mut same);
    let mut hasher = Hasher::new();
    hasher.update(&same);
    put(&mut same, &[&crc]);
    fragment.write_mdat_header(&mut same);
    (same == head).then_some(Head {
        len: HEAD_LEN,
        payload_len: fragment.length.into(),
        stored: fragment.stored,
        crc: u32::from_be_bytes(crc),
        hasher,
    })
}

fn field<const N: usize>(head: &[u8; HEAD_LEN], at: usize) -> Option<[u8; N]> {
    head.get(at..)?.first_chunk().copied()
}

fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

#[cfg(test)]
mod tests {
    use mp4_atom::{Atom as _, Decode as _, Moof, TrunEntry};
    use proptest::prelude::*;

    use super::*;

    fn fragment() -> impl Strategy<Value = (Fragment, Vec<u8>)> {
        let clock = prop_oneof![
            Just(ClockKind::Camera),
            Just(ClockKind::Mapped),
            Just(ClockKind::Arrival)
        ];
        let payload = prop::collection::vec(any::<u8>(), 0..600);
        let numbers = any::<(u32, u64, i32, u32)>();
        (
            numbers,
            any::<[i64; 3]>(),
            clock,
            any::<[bool; 3]>(),
            payload,
        )
            .prop_map(
                |(
                    (sequence, decode_us, composition_us, duration_us),
                    times,
                    clock,
                    [h265, keyframe, complete],
                    payload,
                )| {
                    let [captured_us, received_us, offset_us] = times;
                    let fragment = Fragment {
                        sequence,
                        place: Place {
                            decode_us,
                            composition_us,
                            duration_us,
                        },
                        length: payload.len() as u32,
                        stored: Stored {
                            captured_us,
                            received_us,
                            clock,
                            offset_us,
                            codec: if h265 { Codec::H265 } else { Codec::H264 },
                            keyframe,
                            complete,
                        },
                    };
                    (fragment, payload)
                },
            )
    }

    fn written(fragment: &Fragment, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        fragment.write(Digest::of([payload]), &mut bytes);
        bytes.extend_from_slice(payload);
        bytes
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back((fragment, payload) in fragment()) {
            let bytes = written(&fragment, &payload);
            let head = read_head(&bytes).unwrap();
            prop_assert_eq!((head.len, head.payload_len), (HEAD_LEN, payload.len() as u64));
            prop_assert_eq!(head.stored, fragment.stored);
            prop_assert!(head.vouches_for(&payload));
            prop_assert_eq!(Fragment::of(bytes[..HEAD_LEN].try_into().unwrap()), Some(fragment));
        }

        #[test]
        fn a_flipped_bit_anywhere_is_found((fragment, payload) in fragment(), at in any::<prop::sample::Index>(), bit in 0..8u32) {
            let mut bytes = written(&fragment, &payload);
            let at = at.index(bytes.len());
            bytes[at] ^= 1u8 << bit;
            let intact = read_head(&bytes)
                .filter(|head| head.payload_len == payload.len() as u64)
                .is_some_and(|head| head.vouches_for(&bytes[HEAD_LEN..]));
            prop_assert!(!intact);
        }

        #[test]
        fn another_reader_sees_the_same((fragment, payload) in fragment()) {
            let bytes = written(&fragment, &payload);
            let moof = Moof::decode(&mut &bytes[..MOOF as usize]).unwrap();
            prop_assert_eq!(moof.mfhd.sequence_number, fragment.sequence);
            let traf = &moof.traf[0];
            prop_assert!(traf.tfhd.default_base_is_moof && traf.tfhd.track_id == TRACK);
            prop_assert_eq!(traf.tfdt.as_ref().unwrap().base_media_decode_time, fragment.place.decode_us);
            let trun = &traf.trun[0];
            prop_assert_eq!(trun.data_offset, Some(HEAD_LEN as i32));
            let sample = TrunEntry {
                duration: Some(fragment.place.duration_us),
                size: Some(fragment.length),
                flags: Some(if fragment.stored.keyframe { SYNC } else { NOT_SYNC }),
                cts: Some(fragment.place.composition_us.into()),
            };
            prop_assert_eq!(trun.samples.iter().collect::<Vec<_>>(), [sample]);
            prop_assert_eq!(Moof::KIND, mp4_atom::FourCC::new(b"moof"));
        }

        #[test]
        fn anything_may_be_read(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut head = START.to_vec();
            head.extend(bytes);
            let _ = read_head(&head);
        }
    }
}
