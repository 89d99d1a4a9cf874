//! What stands before the data in an RTP/JPEG picture, from what the packets say of it (RFC 2435 §4.1 and Appendices A, B). Not for the packets.

use bytes::Bytes;
use memchr::memchr_iter;

use crate::huffman;
use crate::jpeg::{Facts, SOI};
use crate::rtp::packet::{take, take_u16};

const COEFFICIENTS: usize = 64;
/// The largest size that the packets' own fields hold, pixels.
const FIELD_MAX: u16 = 255 * 8;

/// A picture's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) width: u16,
    pub(super) height: u16,
    /// 4:2:0; else 4:2:2.
    pub(super) has_half_height_chroma: bool,
    /// 0: no restart markers.
    pub(super) restart_interval: u16,
    pub(super) tables: Tables,
}

/// One or two quantization tables, as they stand in a DQT segment: in zigzag order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tables {
    tables: Vec<Table>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Table {
    has_16_bits: bool,
    values: Bytes,
}

impl Tables {
    /// The tables for a Q below 128 (Appendix A). 0 and 100 to 127 are reserved: they count as the nearest that are not.
    pub(super) fn standard(q: u8) -> Self {
        let q = u32::from(q.clamp(1, 99));
        let scale = if q < 50 { 5000 / q } else { 200 - q * 2 };
        let scaled = |base: &[u8; COEFFICIENTS]| Table {
            has_16_bits: false,
            values: base
                .iter()
                .map(|value| ((u32::from(*value) * scale + 50) / 100).clamp(1, 255) as u8)
                .collect(),
        };
        Self {
            tables: vec![scaled(&LUMA), scaled(&CHROMA)],
        }
    }

    /// Takes the quantization table header (§3.1.8) from the front; `Some(None)` if it says that the tables are those of before. There
    /// may be more than two: then the first two are the right ones (camera-quirks row 99).
    pub(super) fn read(data: &mut Bytes) -> Option<Option<Self>> {
        let [_, precision] = take_u16(data)?.to_be_bytes();
        let len = take_u16(data)?;
        let mut rest = take(data, len.into())?;
        let tables: Vec<Table> = [1, 2]
            .into_iter()
            .filter_map(|bit| {
                let has_16_bits = precision & bit != 0;
                let values = take(&mut rest, COEFFICIENTS << u8::from(has_16_bits))?;
                // A copy: a slice would hold on to the buffer that it was received in.
                Some(Table {
                    has_16_bits,
                    values: Bytes::copy_from_slice(&values),
                })
            })
            .collect();
        Some((!tables.is_empty()).then_some(Self { tables }))
    }
}

impl Head {
    /// From the SOI up to the data.
    pub(super) fn write(&self) -> Bytes {
        let mut out = SOI.to_vec();
        // JFIF 1.1, square pixels: its colours and numbers of components are those that every reader takes.
        segment(&mut out, 0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
        for (id, table) in (0..).zip(&self.tables.tables) {
            let id: u8 = id;
            let head = [u8::from(table.has_16_bits) << 4 | id];
            segment(&mut out, 0xDB, &[&head[..], &table.values].concat());
        }
        if self.restart_interval > 0 {
            segment(&mut out, 0xDD, &self.restart_interval.to_be_bytes());
        }
        let has_16_bits = self.tables.tables.iter().any(|table| table.has_16_bits);
        let chroma_table = u8::from(self.tables.tables.len() > 1);
        let mut frame = vec![8];
        frame.extend(self.height.to_be_bytes());
        frame.extend(self.width.to_be_bytes());
        frame.extend([
            3,
            1,
            if self.has_half_height_chroma {
                0x22
            } else {
                0x21
            },
            0,
        ]);
        frame.extend([2, 0x11, chroma_table, 3, 0x11, chroma_table]);
        // Tables of 16 bits are not for baseline pictures (T.81 §B.2.4.1).
        segment(&mut out, if has_16_bits { 0xC1 } else { 0xC0 }, &frame);
        out.extend(huffman::standard_segment());
        segment(&mut out, 0xDA, &[3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0]);
        out.into()
    }
}

fn segment(out: &mut Vec<u8>, code: u8, body: &[u8]) {
    out.extend([0xFF, code]);
    out.extend((body.len() as u16 + 2).to_be_bytes());
    out.extend(body);
}

/// Width and height. The packets' fields hold up to 2040 pixels; a larger size is 0 there, or what is left in 8 bits, and stands in the
/// description or in the header extension (ONVIF Streaming Specification §5.1.3). Where neither says it, what is left is told by its shape,
/// which no picture has, and is taken for the usual size that leaves it.
pub(super) fn size(
    width: u8,
    height: u8,
    described: Option<(u16, u16)>,
    extension: &[u8],
) -> Option<(u16, u16)> {
    let own = (u16::from(width) * 8, u16::from(height) * 8);
    let leaves = |full: u16, field: u8| full.div_ceil(8) & 0xFF == u16::from(field);
    let leaves_both = |&(w, h): &(u16, u16)| leaves(w, width) && leaves(h, height);
    let is_larger =
        |size: &(u16, u16)| (size.0 > FIELD_MAX || size.1 > FIELD_MAX) && leaves_both(size);
    let is_said = |size: &(u16, u16)| own.0 == 0 || own.1 == 0 || leaves_both(size);
    let is_whole = described.as_ref().is_some_and(leaves_both) || has_usual_shape(own);
    described
        .filter(is_larger)
        .or_else(|| size_in(extension).filter(is_said))
        .or_else(|| is_whole.then_some(own))
        .or_else(|| {
            let upright = LARGE_SIZES.into_iter();
            let mut both_ways = upright.flat_map(|(w, h)| [(w, h), (h, w)]);
            both_ways.find(leaves_both)
        })
        .or((own.0 > 0 && own.1 > 0).then_some(own))
        .or(described)
}

/// The size in a frame header within an extension.
fn size_in(extension: &[u8]) -> Option<(u16, u16)> {
    memchr_iter(0xFF, extension)
        .take(SEGMENTS_MAX)
        .filter_map(|at| Facts::read(&[&SOI[..], &extension[at..]].concat()))
        .map(|facts| (facts.width, facts.height))
        .find(|(width, height)| *width > 0 && *height > 0)
}

/// Whether pictures are made in this shape, lying or upright, within one part in a hundred: sizes are rounded to blocks.
fn has_usual_shape((width, height): (u16, u16)) -> bool {
    let [long, short] = [width.max(height), width.min(height)].map(u32::from);
    SHAPES.iter().any(|&(a, b)| {
        let (found, usual) = (long * b, short * a);
        short > 0 && found.abs_diff(usual) * 100 <= usual
    })
}

/// How many beginnings of segments are looked at in an extension.
const SEGMENTS_MAX: usize = 16;

/// Long side to short side.
#[rustfmt::skip]
const SHAPES: [(u32, u32); 11] = [
    (1, 1), (11, 9), (5, 4), (4, 3), (22, 15), (3, 2), (8, 5), (5, 3), (16, 9), (17, 9), (2, 1),
];

/// What sensors of cameras have beyond 2040 pixels.
#[rustfmt::skip]
const LARGE_SIZES: [(u16, u16); 14] = [
    (2048, 1536), (2304, 1296), (2560, 1440), (2560, 1920), (2592, 1520), (2592, 1944), (2688, 1520),
    (2880, 1620), (3072, 1728), (3072, 2048), (3200, 1800), (3264, 2448), (3840, 2160), (4000, 3000),
];

// Zigzag order (Appendix A).

#[rustfmt::skip]
const LUMA: [u8; COEFFICIENTS] = [
    16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40,
    26, 24, 22, 22, 24, 49, 35, 37, 29, 40, 58, 51, 61, 60, 57, 51,
    56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87,
    95, 98, 103, 104, 103, 62, 77, 113, 121, 112, 100, 120, 92, 101, 103, 99,
];

#[rustfmt::skip]
const CHROMA: [u8; COEFFICIENTS] = [
    17, 18, 18, 24, 21, 24, 47, 26, 26, 47, 99, 66, 56, 66, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// T.81 Table K.1, in rows.
    #[rustfmt::skip]
    const LUMA_ROWS: [[u8; 8]; 8] = [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ];

    fn zigzag(rows: &[[u8; 8]; 8]) -> Vec<u8> {
        let mut places: Vec<(usize, usize)> = (0..64).map(|n| (n / 8, n % 8)).collect();
        places.sort_by_key(|&(y, x)| (x + y, if (x + y) % 2 == 0 { x } else { y }));
        places.into_iter().map(|(y, x)| rows[y][x]).collect()
    }

    #[test]
    fn computed_tables_are_those_of_the_standard_in_zigzag_order() {
        assert_eq!(Tables::standard(50).tables[0].values, zigzag(&LUMA_ROWS));
        assert_eq!(
            Tables::standard(50).tables[1].values[..10],
            [17, 18, 18, 24, 21, 24, 47, 26, 26, 47]
        );
        assert_eq!(Tables::standard(25).tables[0].values[..3], [32, 22, 24]);
        assert_eq!(Tables::standard(90).tables[0].values[..3], [3, 2, 2]);
        assert_eq!(Tables::standard(1).tables[0].values[..3], [255, 255, 255]);
        assert_eq!(
            Tables::standard(99).tables[1].values[..],
            [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
                .iter()
                .chain(&[2, 1, 1, 1, 2, 2])
                .chain(&[2; 48])
                .copied()
                .collect::<Vec<u8>>()
        );
        assert_eq!(Tables::standard(0), Tables::standard(1));
        assert_eq!(Tables::standard(110), Tables::standard(99));
    }

    #[test]
    fn the_size_comes_from_where_it_can_be() {
        assert_eq!(size(80, 60, None, &[]), Some((640, 480)));
        assert_eq!(size(80, 60, Some((1366, 768)), &[]), Some((640, 480)));
        assert_eq!(size(0, 0, Some((2592, 1944)), &[]), Some((2592, 1944)));
        assert_eq!(
            size(68, 243, Some((2592, 1944)), &[]),
            Some((2592, 1944)),
            "324 blocks in 8 bits"
        );
        assert_eq!(size(0, 0, None, &[]), None);
        let extension = [
            0xFF, 0xC0, 0, 17, 8, 0x07, 0x98, 0x0A, 0x20, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1, 0,
        ];
        assert_eq!(size(0, 0, None, &extension), Some((2592, 1944)));
        assert_eq!(
            size(0, 0, None, &[&[0, 1], &extension[..]].concat()),
            Some((2592, 1944))
        );
        assert_eq!(size(68, 243, None, &extension), Some((2592, 1944)));
        assert_eq!(
            size(80, 60, None, &extension),
            Some((640, 480)),
            "it leaves something else"
        );
    }

    #[test]
    fn a_size_of_which_only_8_bits_are_left_is_told_where_nothing_says_it() {
        let told = |width, height| size(width, height, None, &[]);
        assert_eq!(told(64, 180), Some((2560, 1440)));
        assert_eq!(told(224, 14), Some((3840, 2160)));
        assert_eq!(told(0, 192), Some((2048, 1536)));
        for (w, h) in LARGE_SIZES.into_iter().flat_map(|(w, h)| [(w, h), (h, w)]) {
            let [width, height] = [w, h].map(|full: u16| full.div_ceil(8) as u8);
            assert_eq!(told(width, height), Some((w, h)));
        }
        let smaller = [
            (1920, 1080),
            (1280, 960),
            (1280, 720),
            (704, 576),
            (720, 576),
            (704, 480),
            (640, 360),
            (352, 288),
            (1440, 1440),
            (1080, 1920),
            (1600, 1200),
        ];
        for (w, h) in smaller {
            assert_eq!(told((w / 8) as u8, (h / 8) as u8), Some((w, h)));
        }
        assert_eq!(told(80, 10), Some((640, 80)), "an odd one");
        assert_eq!(told(0, 180), None);
        assert_eq!(size(64, 180, Some((640, 480)), &[]), Some((2560, 1440)));
    }

    #[test]
    fn a_size_of_no_usual_shape_is_as_it_is_said() {
        assert_eq!(size(152, 50, None, &[]), Some((3264, 2448)));
        for described in [(1216, 400), (1214, 396)] {
            assert_eq!(size(152, 50, Some(described), &[]), Some((1216, 400)));
        }
    }
}
