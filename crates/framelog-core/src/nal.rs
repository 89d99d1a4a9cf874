//! NAL units of H.264 (ITU-T H.264 §7.3.1) and H.265 (ITU-T H.265 §7.3.1): what kind each is, where a picture begins, and how a stretch with
//! start codes (Annex B) falls apart into units. Not for decoding them; parameter sets are `parameters`.

mod bits;
pub mod parameters;
pub(crate) mod sps;
mod vps;

use std::borrow::Cow;

use memchr::memmem;
use smallvec::SmallVec;

use crate::frame::{Codec, Payload};
use bits::Bits;

/// How much of a unit its kind is told from, in bytes.
const BEGINNING_BYTES: usize = 64;
/// How many units are taken from one stretch.
const UNITS_MAX: usize = 1024;
/// Where a unit begins in Annex B.
const START_CODE: [u8; 3] = [0, 0, 1];
/// H.264 §D.1.8, H.265 §D.2.8.
const SEI_RECOVERY_POINT: u32 = 6;

/// What a NAL unit is to someone who puts access units together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A part of a picture.
    Slice(Slice),
    /// A parameter set.
    Set(SetKind),
    /// Begins an access unit: an access unit delimiter.
    Delimiter,
    /// Supplemental information before a picture.
    Information {
        /// Decoding may begin at the picture that follows, and is right after so many more (recovery point).
        recovery_frames: Option<u32>,
    },
    /// Belongs to an access unit that has begun, or is not needed to tell: filler, ends of sequences, enhancement layers.
    Other,
}

/// A slice of a picture of the base layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The first of its picture.
    pub is_first: bool,
    /// Of a picture at which decoding may begin: IDR in H.264, IRAP in H.265.
    pub is_random_access: bool,
    /// Uses no other picture. Of H.265 only in a first slice, and as far as its picture parameter set has no extra bits before that.
    pub is_intra: bool,
    /// Which picture parameter set it uses, if that could be read.
    pub pps_id: Option<u32>,
}

/// Which parameter set. They are needed in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SetKind {
    /// Video parameter set, H.265 only.
    Video,
    /// Sequence parameter set.
    Sequence,
    /// Picture parameter set.
    Picture,
}

/// The number of bytes in the header of a unit.
pub fn header_bytes(codec: Codec) -> usize {
    match codec {
        Codec::H265 => 2,
        _ => 1,
    }
}

/// The type of the parameter set that an access unit has first, if it has any.
pub(crate) fn first_set(codec: Codec) -> Option<u8> {
    match codec {
        Codec::Mjpeg => None,
        Codec::H264 => Some(7),
        Codec::H265 => Some(32),
    }
}

/// The type in a unit's header; `None` for an empty unit.
pub fn unit_type(codec: Codec, nal: &[u8]) -> Option<u8> {
    let first = nal.first()?;
    Some(match codec {
        Codec::H265 => first >> 1 & 0x3F,
        _ => first & 0x1F,
    })
}

/// Which of the two this unit is of, if it is a parameter set that means nothing in the other. Cameras name the wrong one (Ezviz C6N: go2rtc #264).
pub fn told_by(nal: &[u8]) -> Option<Codec> {
    let is_sequence = |codec| parameters::read_sequence(codec, nal).is_some();
    match nal {
        // In H.264 of no type that is sent. The third byte: the base layer, and no other.
        [0x40, 0x01, 0x0C, ..] => Some(Codec::H265),
        [0x42, 0x01, ..] if is_sequence(Codec::H265) => Some(Codec::H265),
        // In H.265 of a layer that no camera has.
        [0x27 | 0x47 | 0x67, ..] if is_sequence(Codec::H264) => Some(Codec::H264),
        _ => None,
    }
}

/// What a unit is; only its first bytes are looked at, and of supplemental information the heads of its messages.
pub fn kind(codec: Codec, nal: &Payload) -> Kind {
    let beginning = beginning(nal);
    match codec {
        Codec::H265 => kind_h265(&beginning, nal),
        _ => kind_h264(&beginning, nal),
    }
}

fn beginning(nal: &Payload) -> SmallVec<[u8; BEGINNING_BYTES]> {
    let bytes = nal
        .slices()
        .iter()
        .flat_map(|slice| slice.iter().take(BEGINNING_BYTES));
    bytes.copied().take(BEGINNING_BYTES).collect()
}

/// All of a unit, copied only if it came in pieces.
fn whole(nal: &Payload) -> Cow<'_, [u8]> {
    match nal.slices() {
        [one] => Cow::Borrowed(one),
        _ => Cow::Owned(nal.to_vec()),
    }
}

/// H.264 Table 7-1.
fn kind_h264(beginning: &[u8], nal: &Payload) -> Kind {
    let Some((first, body)) = beginning.split_first() else {
        return Kind::Other;
    };
    match first & 0x1F {
        unit_type @ (1 | 2 | 5) => {
            let mut bits = Bits::new(body);
            let first_macroblock = bits.exp_golomb();
            let slice_type = bits.exp_golomb();
            Kind::Slice(Slice {
                is_first: first_macroblock == Some(0),
                is_random_access: unit_type == 5,
                is_intra: slice_type.is_some_and(|slice_type| slice_type % 5 == 2),
                pps_id: bits.exp_golomb(),
            })
        }
        // Data partitions B and C: never without A before them.
        3 | 4 => Kind::Slice(Slice {
            is_first: false,
            is_random_access: false,
            is_intra: false,
            pps_id: None,
        }),
        6 => Kind::Information {
            recovery_frames: recovery_frames(whole(nal).get(1..).unwrap_or_default()),
        },
        7 => Kind::Set(SetKind::Sequence),
        8 => Kind::Set(SetKind::Picture),
        9 => Kind::Delimiter,
        14..=18 => Kind::Information {
            recovery_frames: None,
        },
        _ => Kind::Other,
    }
}

/// H.265 Table 7-1.
fn kind_h265(beginning: &[u8], nal: &Payload) -> Kind {
    let [first, second, body @ ..] = beginning else {
        return Kind::Other;
    };
    let layer = (first & 1) << 5 | second >> 3;
    match first >> 1 & 0x3F {
        _ if layer > 0 => Kind::Other,
        unit_type @ 0..=31 => {
            let mut bits = Bits::new(body);
            let is_first = bits.flag() == Some(true);
            let is_random_access = (16..=23).contains(&unit_type);
            if is_random_access {
                let _no_output_of_prior_pictures = bits.flag();
            }
            let pps_id = bits.exp_golomb();
            Kind::Slice(Slice {
                is_first,
                is_random_access,
                is_intra: is_first && bits.exp_golomb() == Some(2),
                pps_id,
            })
        }
        32 => Kind::Set(SetKind::Video),
        33 => Kind::Set(SetKind::Sequence),
        34 => Kind::Set(SetKind::Picture),
        35 => Kind::Delimiter,
        39 => Kind::Information {
            // A signed number (§9.2.2); what is right before the next picture is right with it.
            recovery_frames: recovery_frames(whole(nal).get(2..).unwrap_or_default())
                .map(|code| if code % 2 == 1 { code.div_ceil(2) } else { 0 }),
        },
        41..=44 | 48..=55 => Kind::Information {
            recovery_frames: None,
        },
        _ => Kind::Other,
    }
}

/// How many pictures behind the next one are not right yet, if there is a recovery point among the messages (H.264 §7.3.2.3, H.265 §7.3.2.4),
/// as the unsigned number that it is in H.264.
fn recovery_frames(sei: &[u8]) -> Option<u32> {
    let mut bits = Bits::new(sei);
    let number = |bits: &mut Bits<'_>| {
        let mut sum = 0_u32;
        loop {
            let byte = bits.number(8)?;
            sum = sum.saturating_add(byte);
            if byte != 0xFF {
                return Some(sum);
            }
        }
    };
    while let (Some(kind), Some(len)) = (number(&mut bits), number(&mut bits)) {
        if kind == SEI_RECOVERY_POINT {
            return bits.exp_golomb();
        }
        if bits.skip(len.saturating_mul(8)).is_none() {
            break;
        }
    }
    None
}

/// The units in a stretch of bytes. Without a start code that is the stretch itself, and so it is with more than 1024; units have no start
/// codes in them, so that one between the slices of the payload counts as well.
pub fn split_annex_b(codec: Codec, stretch: Payload) -> SmallVec<[Payload; 1]> {
    let codes = start_codes(&stretch);
    if codes.is_empty() || codes.len() > UNITS_MAX {
        return [stretch].into_iter().collect();
    }
    let ends = codes.iter().copied().chain([stretch.len()]);
    let starts = [0]
        .into_iter()
        .chain(codes.iter().map(|at| at + START_CODE.len()));
    starts
        .zip(ends)
        .map(|(start, end)| without_trailing_zeros(&stretch, start, end))
        .filter(|unit| unit.len() > header_bytes(codec))
        .collect()
}

/// Where the start codes are, or so many of them that they are too many.
fn start_codes(stretch: &Payload) -> SmallVec<[usize; 8]> {
    let mut codes = SmallVec::new();
    let mut before = 0;
    // How many zeros the bytes so far end with, two at most.
    let mut zeros = 0;
    for slice in stretch.slices() {
        let leading = slice.iter().take(3).take_while(|byte| **byte == 0).count();
        if leading < 2 && slice.get(leading) == Some(&1) && zeros + leading >= 2 {
            codes.push(before + leading - 2);
        }
        let left = (UNITS_MAX + 1).saturating_sub(codes.len());
        let found = memmem::find_iter(slice, &START_CODE).take(left);
        codes.extend(found.map(|at| before + at));
        let trailing = slice
            .iter()
            .rev()
            .take(2)
            .take_while(|byte| **byte == 0)
            .count();
        zeros = match trailing == slice.len() {
            true => (zeros + trailing).min(2),
            false => trailing,
        };
        before += slice.len();
    }
    codes
}

/// The bytes from `start` to `end`, without zeros at their end: those belong to the start code behind (Annex B §B.1).
fn without_trailing_zeros(stretch: &Payload, start: usize, end: usize) -> Payload {
    let mut unit: SmallVec<[_; 4]> = SmallVec::new();
    let mut at = 0;
    for slice in stretch.slices() {
        let from = start.clamp(at, at + slice.len()) - at;
        let to = end.clamp(at, at + slice.len()) - at;
        if from < to {
            unit.push(slice.slice(from..to));
        }
        at += slice.len();
    }
    while let Some(last) = unit.last_mut() {
        match last.iter().rposition(|byte| *byte != 0) {
            Some(end) => {
                last.truncate(end + 1);
                break;
            }
            None => {
                unit.pop();
            }
        }
    }
    let mut payload = Payload::default();
    unit.into_iter().for_each(|slice| payload.push(slice));
    payload
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn payload(slices: &[&[u8]]) -> Payload {
        let mut payload = Payload::default();
        for slice in slices {
            payload.push(Bytes::copy_from_slice(slice));
        }
        payload
    }

    fn units(slices: &[&[u8]]) -> Vec<Vec<u8>> {
        let units = split_annex_b(Codec::H264, payload(slices));
        units.iter().map(Payload::to_vec).collect()
    }

    #[test]
    fn the_kinds_of_h264_are_told() {
        let kind = |nal: &[u8]| kind(Codec::H264, &payload(&[nal]));
        // first_mb_in_slice = 0 (1), slice_type = 7 (0001000), pic_parameter_set_id = 0 (1)
        let Kind::Slice(idr) = kind(&[0x65, 0b1000_1000, 0b1000_0000]) else {
            panic!("no slice");
        };
        assert!(idr.is_first && idr.is_random_access && idr.is_intra);
        assert_eq!(idr.pps_id, Some(0));
        // first_mb_in_slice = 1 (010), slice_type = 0 (1), pic_parameter_set_id = 1 (010)
        let Kind::Slice(second) = kind(&[0x41, 0b0101_0100]) else {
            panic!("no slice");
        };
        assert!(!second.is_first && !second.is_random_access && !second.is_intra);
        assert_eq!(second.pps_id, Some(1));
        assert_eq!(kind(&[0x67, 1]), Kind::Set(SetKind::Sequence));
        assert_eq!(kind(&[0x68, 1]), Kind::Set(SetKind::Picture));
        assert_eq!(kind(&[9, 0xF0]), Kind::Delimiter);
        assert_eq!(kind(&[12, 0xFF]), Kind::Other);
        assert_eq!(kind(&[]), Kind::Other);
        let sei = |message: &[u8]| kind(&[&[6], message].concat());
        // A buffering period of 2 bytes, then a recovery point with recovery_frame_cnt = 0 (1).
        assert_eq!(
            sei(&[0, 2, 9, 9, 6, 1, 0b1100_0100, 0x80]),
            Kind::Information {
                recovery_frames: Some(0)
            }
        );
        // Behind a message with a byte that keeps a start code out, and behind long ones.
        let point = [6, 1, 0b1100_0100, 0x80];
        for before in [
            [&[1, 6, 0, 0, 3, 0, 1, 0, 9][..], &point].concat(),
            [&[5, 100][..], &[7; 100], &point].concat(),
            [&[5, 0xFF, 45][..], &[7; 300], &point].concat(),
        ] {
            assert_eq!(
                sei(&before),
                Kind::Information {
                    recovery_frames: Some(0)
                },
                "{before:?}"
            );
        }
        // recovery_frame_cnt = 1 (010)
        assert_eq!(
            sei(&[6, 1, 0b0101_0000]),
            Kind::Information {
                recovery_frames: Some(1)
            }
        );
        assert_eq!(
            sei(&[0xFF, 0xFF]),
            Kind::Information {
                recovery_frames: None
            }
        );
    }

    #[test]
    fn the_kinds_of_h265_are_told() {
        let kind = |nal: &[u8]| kind(Codec::H265, &payload(&[nal]));
        let slice = |unit_type: u8, body: u8| match kind(&[unit_type << 1, 1, body]) {
            Kind::Slice(slice) => slice,
            other => panic!("{other:?}"),
        };
        // first_slice_segment_in_pic_flag, no_output_of_prior_pics_flag, slice_pic_parameter_set_id = 0
        assert!(slice(19, 0b1010_0000).is_first && slice(19, 0b1010_0000).is_random_access);
        assert_eq!(slice(21, 0b1001_1000).pps_id, Some(2));
        assert!(!slice(1, 0b0100_0000).is_first && !slice(1, 0b0100_0000).is_random_access);
        assert_eq!(slice(1, 0b0100_0000).pps_id, Some(0));
        assert_eq!(kind(&[0x40, 1, 0]), Kind::Set(SetKind::Video));
        assert_eq!(kind(&[0x42, 1, 0]), Kind::Set(SetKind::Sequence));
        assert_eq!(kind(&[0x44, 1, 0]), Kind::Set(SetKind::Picture));
        assert_eq!(kind(&[0x46, 1, 0]), Kind::Delimiter);
        // slice_type = 2 (011) behind slice_pic_parameter_set_id = 0
        assert!(slice(1, 0b1101_1000).is_intra && !slice(1, 0b1101_0000).is_intra);
        // recovery_poc_cnt = 0 (1), 3 (00110), -3 (00111)
        for (number, frames) in [(0b1000_0000, 0), (0b0011_0000, 3), (0b0011_1000, 0)] {
            assert_eq!(
                kind(&[0x4E, 1, 0, 2, 9, 9, 6, 1, number, 0x80]),
                Kind::Information {
                    recovery_frames: Some(frames)
                }
            );
        }
        assert_eq!(
            kind(&[0x02, 0x09, 0xFF]),
            Kind::Other,
            "an enhancement layer"
        );
    }

    #[test]
    fn a_unit_without_start_codes_stays_as_it_is() {
        assert_eq!(
            units(&[b"\x65\0\0\x03\x01", b"\0\0"]),
            [b"\x65\0\0\x03\x01\0\0"]
        );
    }

    #[test]
    fn start_codes_divide_wherever_they_lie() {
        let whole = b"\x67SPS\0\0\0\x01\x68PPS\0\0\x01\x65IDR";
        let expected: [&[u8]; 3] = [b"\x67SPS", b"\x68PPS", b"\x65IDR"];
        for first in 0..whole.len() {
            for second in first..whole.len() {
                let found = units(&[&whole[..first], &whole[first..second], &whole[second..]]);
                assert_eq!(found, expected, "{first} {second}");
            }
        }
        let bytewise: Vec<&[u8]> = whole.chunks(1).collect();
        assert_eq!(units(&bytewise), expected);
        assert_eq!(
            units(&[b"\0\0\0\x01\x67SPS", b"\0\0\0", b"\0\0\x01\x68PPS"]),
            expected[..2]
        );
        // The header that a fragmented unit was given, before a start code with the real one.
        assert_eq!(units(&[b"\x65", b"\0\0\0\x01\x67SPS"]), expected[..1]);
    }

    proptest! {
        #[test]
        fn any_split_of_any_bytes_gives_the_same_units(
            bytes in prop::collection::vec(prop::sample::select(vec![0u8, 0, 1, 2, 0x65]), 0..60),
            cuts in prop::collection::vec(0usize..60, 0..6),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let slices: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            let found = units(&slices);
            prop_assert_eq!(&found, &units(&[&bytes]));
            let finder = memmem::Finder::new(&START_CODE);
            prop_assert!(found.iter().all(|unit| finder.find(unit).is_none()));
            let _ = kind(Codec::H264, &payload(&slices));
            let _ = kind(Codec::H265, &payload(&slices));
        }
    }
}
