//! The standard Huffman tables (T.81 Annex K.3) for Motion JPEG frames that leave them out. Not for what is stored: that stays as it came.

use std::borrow::Cow;

const DHT: u8 = 0xc4;
const SOS: u8 = 0xda;

/// The picture with the standard tables, if it is a sequential JPEG that has none of its own; else the picture as it is.
///
/// Motion JPEG in the AVI and UVC manner (`AVI1` in APP0) relies on the reader to know these tables; picture viewers don't. They go in
/// front of the first scan. A JPEG that is damaged before its first scan is left alone.
pub fn with_tables(jpeg: &[u8]) -> Cow<'_, [u8]> {
    match missing_at(jpeg) {
        Some(at) => {
            let (before, after) = jpeg.split_at(at);
            Cow::Owned([before, &standard_segment(), after].concat())
        }
        None => Cow::Borrowed(jpeg),
    }
}

/// Where the first scan's marker begins, if the tables are missing there.
fn missing_at(jpeg: &[u8]) -> Option<usize> {
    let mut at = jpeg.starts_with(&[0xff, 0xd8]).then_some(2)?;
    let mut sequential = false;
    loop {
        match jpeg.get(at..at + 2)? {
            [0xff, 0xff] => at += 1,
            [0xff, 0x01 | 0xd0..=0xd7] => at += 2,
            [0xff, SOS] => return sequential.then_some(at),
            [0xff, DHT] => return None,
            [0xff, marker] => {
                // SOF0 and SOF1: what the standard tables are for. Progressive and arithmetic coding need their own.
                sequential |= matches!(marker, 0xc0 | 0xc1);
                let length = u16::from_be_bytes([*jpeg.get(at + 2)?, *jpeg.get(at + 3)?]);
                at += 2 + usize::from(length.max(2));
            }
            _ => return None,
        }
    }
}

/// One DHT segment (T.81 B.2.4.2) with the four tables.
pub(crate) fn standard_segment() -> Vec<u8> {
    let tables: [(u8, &[u8; 16], &[u8]); 4] = [
        (0x00, &DC_LUMINANCE_LENGTHS, &DC_VALUES),
        (0x10, &AC_LUMINANCE_LENGTHS, &AC_LUMINANCE_VALUES),
        (0x01, &DC_CHROMINANCE_LENGTHS, &DC_VALUES),
        (0x11, &AC_CHROMINANCE_LENGTHS, &AC_CHROMINANCE_VALUES),
    ];
    let length: u16 = 2 + 4 * 17 + 12 + 12 + 162 + 162;
    let mut segment = vec![0xff, DHT];
    segment.extend(length.to_be_bytes());
    for (class_and_id, lengths, values) in tables {
        segment.push(class_and_id);
        segment.extend(lengths);
        segment.extend(values);
    }
    segment
}

// How many codes there are of each length from 1 to 16 bits, and the values in the order of their codes.

const DC_LUMINANCE_LENGTHS: [u8; 16] = [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0];
const DC_CHROMINANCE_LENGTHS: [u8; 16] = [0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0];
const DC_VALUES: [u8; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
const AC_LUMINANCE_LENGTHS: [u8; 16] = [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125];
const AC_CHROMINANCE_LENGTHS: [u8; 16] = [0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119];

#[rustfmt::skip]
const AC_LUMINANCE_VALUES: [u8; 162] = [
    0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22, 0x71,
    0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0, 0x24, 0x33, 0x62, 0x72,
    0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x34, 0x35, 0x36, 0x37,
    0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59,
    0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83,
    0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3,
    0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3,
    0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2,
    0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
];

#[rustfmt::skip]
const AC_CHROMINANCE_VALUES: [u8; 162] = [
    0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71, 0x13, 0x22,
    0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0, 0x15, 0x62, 0x72, 0xd1,
    0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x35, 0x36,
    0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58,
    0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a,
    0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a,
    0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba,
    0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda,
    0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// SOI, APP0 `AVI1`, DQT, a frame header with the marker given, SOS, a byte of scan, EOI.
    fn jpeg(sof: u8, tables: &[u8]) -> Vec<u8> {
        let parts: [&[u8]; 6] = [
            b"\xff\xd8\xff\xe0\x00\x06AVI1\xff\xff\xdb\x00\x04\x00\x01",
            &[0xff, sof, 0, 4, 8, 0],
            tables,
            b"\xff\xda\x00\x03\x01",
            b"\x55",
            b"\xff\xd9",
        ];
        parts.concat()
    }

    #[test]
    fn missing_tables_go_in_front_of_the_first_scan() {
        let bare = jpeg(0xc0, &[]);
        let whole = jpeg(0xc0, &standard_segment());
        assert_eq!(with_tables(&bare), whole);
        assert!(matches!(with_tables(&whole), Cow::Borrowed(_)));
    }

    #[test]
    fn the_segment_declares_its_own_length_and_every_code() {
        let segment = standard_segment();
        assert_eq!(
            usize::from(u16::from_be_bytes([segment[2], segment[3]])),
            segment.len() - 2
        );
        let codes = |lengths: &[u8; 16]| {
            lengths
                .iter()
                .map(|&count| usize::from(count))
                .sum::<usize>()
        };
        assert_eq!(codes(&AC_LUMINANCE_LENGTHS), AC_LUMINANCE_VALUES.len());
        assert_eq!(codes(&AC_CHROMINANCE_LENGTHS), AC_CHROMINANCE_VALUES.len());
        assert_eq!(codes(&DC_LUMINANCE_LENGTHS), DC_VALUES.len());
        assert_eq!(codes(&DC_CHROMINANCE_LENGTHS), DC_VALUES.len());
    }

    #[test]
    fn progressive_arithmetic_and_damaged_pictures_are_left_alone() {
        let is_left_alone = |jpeg: &[u8]| matches!(with_tables(jpeg), Cow::Borrowed(_));
        assert!(is_left_alone(&jpeg(0xc2, &[])));
        assert!(is_left_alone(&jpeg(0xc9, &[])));
        let bare = jpeg(0xc0, &[]);
        let scan = bare
            .windows(2)
            .position(|pair| pair == [0xff, SOS])
            .unwrap();
        for end in 0..scan + 2 {
            assert!(is_left_alone(&bare[..end]), "cut at {end}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_once_is_enough(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let bytes = [&[0xff, 0xd8][..], &bytes].concat();
            let once = with_tables(&bytes).into_owned();
            prop_assert!(once.len() == bytes.len() || once.len() == bytes.len() + standard_segment().len());
            let twice = with_tables(&once);
            prop_assert_eq!(twice.as_ref(), once.as_slice());
        }
    }
}
