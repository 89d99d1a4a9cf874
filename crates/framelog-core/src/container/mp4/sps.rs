//! What a container has to repeat of a sequence parameter set: how samples are coded, and whether pictures change places between decoding and
//! showing. Rec. ITU-T H.264 7.3.2.1.1 and E.1.1, H.265 7.3.2.2. Not for sizes: those come with the parameters.

/// What a sequence parameter set says. Of one that ends too early, what it said until then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sps {
    /// 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub chroma_format: u8,
    pub luma_depth_minus8: u8,
    pub chroma_depth_minus8: u8,
    /// H.265: profile, tier, compatibility, constraints and level, as they stand in the set.
    pub profile_tier_level: [u8; 12],
    /// H.265: `sps_max_sub_layers_minus1` + 1.
    pub layers: u8,
    /// H.265: `sps_temporal_id_nesting_flag`.
    pub is_nested: bool,
    /// How many pictures may be decoded before one that is shown before them; `None` if it does not say.
    pub reorder: Option<u8>,
}

impl Sps {
    /// Reads a NAL unit of H.264 with type 7.
    pub fn of_h264(nal: &[u8]) -> Self {
        let mut sps = Self {
            chroma_format: 1,
            ..Self::default()
        };
        let payload = without_emulation(nal, 1);
        let _ = sps.read_h264(&mut Bits::new(&payload));
        sps
    }

    /// Reads a NAL unit of H.265 with type 33.
    pub fn of_h265(nal: &[u8]) -> Self {
        let mut sps = Self {
            chroma_format: 1,
            layers: 1,
            ..Self::default()
        };
        let payload = without_emulation(nal, 2);
        let _ = sps.read_h265(&mut Bits::new(&payload));
        sps
    }

    fn read_h264(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        let profile = bits.take(8)?;
        bits.skip(16)?; // constraints, level
        bits.ue()?; // id
        if has_chroma_format(profile) {
            self.chroma_format = small(bits.ue()?);
            if self.chroma_format == 3 {
                bits.skip(1)?;
            }
            self.luma_depth_minus8 = small(bits.ue()?);
            self.chroma_depth_minus8 = small(bits.ue()?);
            bits.skip(1)?;
            if bits.flag()? {
                let lists = if self.chroma_format == 3 { 12 } else { 8 };
                (0..lists)
                    .try_for_each(|n| skip_scaling_list(bits, if n < 6 { 16 } else { 64 }))?;
            }
        }
        bits.ue()?; // frame numbers
        let order = bits.ue()?;
        match order {
            0 => drop(bits.ue()?),
            1 => {
                bits.skip(1)?;
                bits.ue()?;
                bits.ue()?;
                let cycle = bits.ue()?.min(255);
                (0..cycle).try_for_each(|_| bits.ue().map(drop))?;
            }
            _ => {}
        }
        // Order of output is order of decoding; and the Baseline profiles have no B slices.
        if order == 2 || profile == 66 {
            self.reorder = Some(0);
            return Some(());
        }
        bits.ue()?; // reference frames
        bits.skip(1)?;
        bits.ue()?; // width
        bits.ue()?; // height
        if !bits.flag()? {
            bits.skip(1)?;
        }
        bits.skip(1)?;
        if bits.flag()? {
            (0..4).try_for_each(|_| bits.ue().map(drop))?; // cropping
        }
        if bits.flag()? {
            self.reorder = read_vui(bits)?;
        }
        Some(())
    }

    fn read_h265(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        bits.skip(4)?;
        let layers = bits.take(3)?;
        self.layers = small(layers + 1);
        self.is_nested = bits.flag()?;
        for byte in &mut self.profile_tier_level {
            *byte = small(bits.take(8)?);
        }
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
        bits.ue()?; // id
        self.chroma_format = small(bits.ue()?);
        if self.chroma_format == 3 {
            bits.skip(1)?;
        }
        bits.ue()?; // width
        bits.ue()?; // height
        if bits.flag()? {
            (0..4).try_for_each(|_| bits.ue().map(drop))?; // cropping
        }
        self.luma_depth_minus8 = small(bits.ue()?);
        self.chroma_depth_minus8 = small(bits.ue()?);
        bits.ue()?; // picture order
        let said = if bits.flag()? { layers + 1 } else { 1 };
        for _ in 0..said {
            bits.ue()?;
            self.reorder = Some(small(bits.ue()?));
            bits.ue()?;
        }
        Some(())
    }
}

/// `max_num_reorder_frames` of a VUI, if it has it.
fn read_vui(bits: &mut Bits<'_>) -> Option<Option<u8>> {
    if bits.flag()? && bits.take(8)? == 255 {
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
        bits.ue()?; // chroma location
        bits.ue()?;
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
    (0..4).try_for_each(|_| bits.ue().map(drop))?;
    Some(Some(small(bits.ue()?)))
}

fn skip_hrd(bits: &mut Bits<'_>) -> Option<()> {
    let count = bits.ue()?.min(31) + 1;
    bits.skip(8)?;
    for _ in 0..count {
        bits.ue()?;
        bits.ue()?;
        bits.skip(1)?;
    }
    bits.skip(20)
}

fn skip_scaling_list(bits: &mut Bits<'_>, size: u32) -> Option<()> {
    if !bits.flag()? {
        return Some(());
    }
    let (mut last, mut next) = (8, 8);
    for _ in 0..size {
        if next != 0 {
            next = (last + bits.se()?).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

/// H.264 profiles whose sets say how chroma is sampled.
pub(super) fn has_chroma_format(profile: u32) -> bool {
    matches!(
        profile,
        100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135
    )
}

fn small(number: u32) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

/// The bytes behind a NAL unit's header, without those that keep start codes out (H.264 7.4.1.1). A set's first few hundred bytes say it all.
fn without_emulation(nal: &[u8], header: usize) -> Vec<u8> {
    let mut payload = Vec::new();
    let mut zeros = 0;
    for &byte in nal.iter().skip(header).take(2048) {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        payload.push(byte);
    }
    payload
}

/// Bits, first to last.
struct Bits<'b> {
    bytes: &'b [u8],
    at: u32,
}

impl<'b> Bits<'b> {
    fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn flag(&mut self) -> Option<bool> {
        let byte = *self.bytes.get(self.at as usize / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// At most 32 of them, as a number.
    fn take(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |number, _| Some(number << 1 | u32::from(self.flag()?)))
    }

    fn skip(&mut self, count: u32) -> Option<()> {
        (0..count).try_for_each(|_| self.flag().map(drop))
    }

    /// An unsigned Exp-Golomb number (H.264 9.1).
    fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
        }
        if zeros > 31 {
            return None;
        }
        Some((1 << zeros) - 1 + self.take(zeros)?)
    }

    /// A signed one (H.264 9.1.1).
    fn se(&mut self) -> Option<i64> {
        let code = i64::from(self.ue()?);
        Some(if code % 2 == 1 {
            (code + 1) / 2
        } else {
            -code / 2
        })
    }
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
            Sps::of_h264(&bytes);
            Sps::of_h265(&bytes);
        }

        #[test]
        fn a_set_that_is_cut_off_says_what_it_said(cut in 0..H264_HIGH.len()) {
            let sps = Sps::of_h264(&H264_HIGH[..cut]);
            prop_assert!(sps.chroma_format == 1 && sps.luma_depth_minus8 == 0);
        }
    }

    #[test]
    fn emulation_prevention_is_taken_out() {
        assert_eq!(
            without_emulation(&[9, 0, 0, 3, 1, 0, 0, 3], 1),
            [0, 0, 1, 0, 0]
        );
    }

    #[test]
    fn numbers_are_read_as_the_standard_has_them() {
        // 1 | 010 | 011 | 00100 | 00101
        let bytes = [0b1010_0110, 0b0100_0010, 0b1000_0000];
        let mut bits = Bits::new(&bytes);
        assert_eq!(
            [bits.ue(), bits.ue(), bits.ue(), bits.ue(), bits.ue()],
            [0, 1, 2, 3, 4].map(Some)
        );
        let mut bits = Bits::new(&bytes);
        assert_eq!(
            [bits.se(), bits.se(), bits.se(), bits.se(), bits.se()],
            [0, 1, -1, 2, -2].map(Some)
        );
    }

    #[test]
    fn a_number_without_end_is_none() {
        assert_eq!(Bits::new(&[0; 40]).ue(), None);
        assert_eq!(Bits::new(&[0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0]).ue(), None);
    }
}
