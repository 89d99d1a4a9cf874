//! What a sequence parameter set says: the picture's size, and what a container has to repeat (how samples are coded, and whether pictures change
//! places between decoding and showing). Rec. ITU-T H.264 7.3.2.1.1 and E.1.1, H.265 7.3.2.2. Not for which set is in force.

use super::bits::Bits;
use super::header_bytes;
use crate::frame::Codec;

/// What a sequence parameter set says. Of one that ends too early, what it said until then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sps {
    /// `seq_parameter_set_id` or `sps_seq_parameter_set_id`.
    pub id: Option<u32>,
    /// `profile_idc` or `general_profile_idc`.
    pub profile: u8,
    /// H.264: what is between profile and level.
    pub constraints: u8,
    /// `level_idc` or `general_level_idc`.
    pub level: u8,
    /// 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub chroma_format: u8,
    pub luma_depth_minus8: u8,
    pub chroma_depth_minus8: u8,
    /// H.265: `sps_video_parameter_set_id`.
    pub video_id: u8,
    /// H.265: profile, tier, compatibility, constraints and level, as they stand in the set.
    pub profile_tier_level: [u8; 12],
    /// H.265: `sps_max_sub_layers_minus1` + 1.
    pub layers: u8,
    /// H.265: `sps_temporal_id_nesting_flag`.
    pub is_nested: bool,
    /// Width and height of the picture as it is shown, pixels, each above 0; `None` also if they make no sense.
    pub size: Option<(u16, u16)>,
    /// How many pictures may be decoded before one that is shown before them; `None` if it does not say.
    pub reorder: Option<u8>,
}

impl Sps {
    /// Reads a NAL unit, from its header on, that is one.
    pub fn read(codec: Codec, nal: &[u8]) -> Self {
        let mut sps = Self {
            chroma_format: 1,
            layers: 1,
            ..Self::default()
        };
        let mut bits = Bits::new(nal.get(header_bytes(codec)..).unwrap_or_default());
        let _ = match codec {
            Codec::H265 => sps.read_h265(&mut bits),
            _ => sps.read_h264(&mut bits),
        };
        sps
    }

    fn read_h264(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        self.profile = small(bits.number(8)?);
        self.constraints = small(bits.number(8)?);
        self.level = small(bits.number(8)?);
        self.id = Some(bits.exp_golomb()?);
        let mut is_planes = false;
        if has_chroma_format(self.profile) {
            self.chroma_format = small(bits.exp_golomb()?);
            if self.chroma_format == 3 {
                // Three, each coded as if it were grey.
                is_planes = bits.flag()?;
            }
            self.luma_depth_minus8 = small(bits.exp_golomb()?);
            self.chroma_depth_minus8 = small(bits.exp_golomb()?);
            bits.skip(1)?;
            if bits.flag()? {
                let lists = if self.chroma_format == 3 { 12 } else { 8 };
                (0..lists)
                    .try_for_each(|n| skip_scaling_list(bits, if n < 6 { 16 } else { 64 }))?;
            }
        }
        bits.exp_golomb()?; // frame numbers
        let order = bits.exp_golomb()?;
        match order {
            0 => drop(bits.exp_golomb()?),
            1 => {
                bits.skip(1)?;
                bits.exp_golomb()?;
                bits.exp_golomb()?;
                let cycle = bits.exp_golomb().filter(|count| *count < 256)?;
                (0..cycle).try_for_each(|_| bits.exp_golomb().map(drop))?;
            }
            _ => {}
        }
        // Order of output is order of decoding; and the Baseline profiles have no B slices.
        let is_in_order = order == 2 || self.profile == 66;
        if is_in_order {
            self.reorder = Some(0);
        }
        bits.exp_golomb()?; // reference frames
        bits.skip(1)?;
        let (columns, rows) = (bits.exp_golomb()?, bits.exp_golomb()?); // macroblocks, less one
        // Interlaced pictures have twice as many rows, and are cropped in steps of two.
        let fields = if bits.flag()? { 1 } else { 2 };
        if fields == 2 {
            bits.skip(1)?;
        }
        bits.skip(1)?;
        let (x, y) = if is_planes { (1, 1) } else { self.crop_units() };
        let crop = read_crop(bits)?;
        let pixels = |blocks: u32| blocks.checked_add(1)?.checked_mul(16);
        let width = pixels(columns).and_then(|width| crop.0.cut(width, x));
        let height =
            pixels(rows).and_then(|height| crop.1.cut(height.checked_mul(fields)?, y * fields));
        self.size = width.zip(height);
        if !is_in_order && bits.flag()? {
            self.reorder = read_vui(bits)?;
        }
        Some(())
    }

    /// In steps of how many pixels it is cropped, across and down.
    fn crop_units(&self) -> (u32, u32) {
        match self.chroma_format {
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        }
    }

    fn read_h265(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        self.video_id = small(bits.number(4)?);
        let layers = bits.number(3)?;
        self.layers = small(layers + 1);
        self.is_nested = bits.flag()?;
        for byte in &mut self.profile_tier_level {
            *byte = small(bits.number(8)?);
        }
        self.profile = self.profile_tier_level[0] & 0x1f;
        self.level = self.profile_tier_level[11];
        let mut above = Vec::new();
        for _ in 0..layers {
            above.push((bits.flag()?, bits.flag()?));
        }
        if layers > 0 {
            bits.skip(2 * (8 - layers))?;
        }
        for (has_profile, has_level) in above {
            bits.skip(if has_profile { 88 } else { 0 })?;
            bits.skip(if has_level { 8 } else { 0 })?;
        }
        self.id = Some(bits.exp_golomb()?);
        self.chroma_format = small(bits.exp_golomb()?);
        if self.chroma_format == 3 {
            bits.skip(1)?;
        }
        let (width, height) = (bits.exp_golomb()?, bits.exp_golomb()?);
        let (x, y) = self.crop_units();
        let crop = read_crop(bits)?;
        self.size = crop.0.cut(width, x).zip(crop.1.cut(height, y));
        self.luma_depth_minus8 = small(bits.exp_golomb()?);
        self.chroma_depth_minus8 = small(bits.exp_golomb()?);
        bits.exp_golomb()?; // picture order
        let said = if bits.flag()? { layers + 1 } else { 1 };
        for _ in 0..said {
            bits.exp_golomb()?;
            self.reorder = Some(small(bits.exp_golomb()?));
            bits.exp_golomb()?;
        }
        Some(())
    }
}

/// What is cut off on two opposite sides.
#[derive(Clone, Copy, Debug, Default)]
struct Crop(u32, u32);

impl Crop {
    /// What is left of a length, if that is something.
    fn cut(self, length: u32, unit: u32) -> Option<u16> {
        let off = self.0.checked_add(self.1)?.checked_mul(unit)?;
        let left = u16::try_from(length.checked_sub(off)?).ok()?;
        (left > 0).then_some(left)
    }
}

/// The flag and, if it is set, the offsets of left, right, top and bottom: the same in both standards.
fn read_crop(bits: &mut Bits<'_>) -> Option<(Crop, Crop)> {
    if !bits.flag()? {
        return Some(Default::default());
    }
    let mut side = || bits.exp_golomb();
    Some((Crop(side()?, side()?), Crop(side()?, side()?)))
}

/// `max_num_reorder_frames` of a VUI, if it has it.
fn read_vui(bits: &mut Bits<'_>) -> Option<Option<u8>> {
    if bits.flag()? && bits.number(8)? == 255 {
        bits.skip(32)?; // aspect ratio
    }
    if bits.flag()? {
        bits.skip(1)?; // overscan
    }
    if bits.flag()? {
        bits.skip(4)?; // video signal
        if bits.flag()? {
            bits.skip(24)?;
        }
    }
    if bits.flag()? {
        bits.exp_golomb()?; // chroma location
        bits.exp_golomb()?;
    }
    if bits.flag()? {
        bits.skip(65)?; // timing
    }
    let mut has_hrd = false;
    for _ in 0..2 {
        if bits.flag()? {
            has_hrd = true;
            skip_hrd(bits)?;
        }
    }
    bits.skip(if has_hrd { 2 } else { 1 })?;
    if !bits.flag()? {
        return Some(None);
    }
    bits.skip(1)?;
    (0..4).try_for_each(|_| bits.exp_golomb().map(drop))?;
    Some(Some(small(bits.exp_golomb()?)))
}

fn skip_hrd(bits: &mut Bits<'_>) -> Option<()> {
    let count = bits.exp_golomb()?.min(31) + 1;
    bits.skip(8)?;
    for _ in 0..count {
        bits.exp_golomb()?;
        bits.exp_golomb()?;
        bits.skip(1)?;
    }
    bits.skip(20)
}

fn skip_scaling_list(bits: &mut Bits<'_>, size: u32) -> Option<()> {
    if !bits.flag()? {
        return Some(());
    }
    let (mut last, mut next) = (8_i64, 8_i64);
    for _ in 0..size {
        if next != 0 {
            next = (last + i64::from(bits.signed_exp_golomb()?)).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

/// H.264 profiles whose sets say how chroma is sampled.
pub(crate) fn has_chroma_format(profile: u8) -> bool {
    matches!(
        profile,
        100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135
    )
}

fn small(number: u32) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As x264 writes it for High profile with three B-frames: 320x240, VUI with bitstream restriction.
    const H264_HIGH: &[u8] = &[
        0x67, 0x64, 0x00, 0x0d, 0xac, 0xd9, 0x41, 0x41, 0xfb, 0x01, 0x6a, 0x02, 0x02, 0x02, 0x80,
        0x00, 0x00, 0x03, 0x00, 0x80, 0x00, 0x00, 0x19, 0x07, 0x8a, 0x14, 0xcb,
    ];

    proptest! {
        #[test]
        fn any_bytes_may_be_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            Sps::read(Codec::H264, &bytes);
            Sps::read(Codec::H265, &bytes);
        }

        #[test]
        fn a_set_that_is_cut_off_says_what_it_said(cut in 0..H264_HIGH.len()) {
            let sps = Sps::read(Codec::H264, &H264_HIGH[..cut]);
            prop_assert!(sps.chroma_format == 1 && sps.luma_depth_minus8 == 0);
        }
    }
}
