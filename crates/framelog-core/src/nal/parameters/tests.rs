use super::*;
use proptest::prelude::*;

/// What x264 and x265 write.
pub(crate) const SPS_642X358: &str = "6764001eacd940a42fe226c044000003000400000300c83c58b658";
const SPS_BASELINE: &str = "6742c01fd900a02ff97011000003000100000300320f183248";
const SPS_INTERLACED: &str = "67640028acd94078044fde0220000003002000000643e2c5b2c0";
const SPS_444: &str = "67f4000d919b282a33c7c5e022000003000200000300641e28532c";
const SPS_422: &str = "677a000cbcd941419f8dc044000003000400000300c83c50a658";
pub(crate) const PPS: &str = "68ebe3cb22c0";
pub(crate) const VPS_H265: &str = "40010c01ffff01600000030090000003000003003f959809";
pub(crate) const SPS_H265: &str =
    "42010101600000030090000003000003003fa005120169c9596566924caf016808000003000800000300c840";
const SPS_H265_LAYERS: &str =
    "420101022000000300900000030000030078a003c08010e4d96566924caf016808000003000800000300c840";
pub(crate) const PPS_H265: &str = "4401c172b46240";

pub(crate) fn bytes(hex: &str) -> Bytes {
    let digits: Vec<char> = hex.chars().collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn facts(codec: Codec, hex: &str) -> (u16, u16, String) {
    let sequence = read_sequence(codec, &bytes(hex)).unwrap();
    (
        sequence.width,
        sequence.height,
        sequence.profile.to_string(),
    )
}

#[test]
fn size_profile_and_level_are_read() {
    let h264 = |hex| facts(Codec::H264, hex);
    assert_eq!(h264(SPS_642X358), (642, 358, "High 3.0".into()));
    assert_eq!(
        h264(SPS_BASELINE),
        (640, 360, "Constrained Baseline 3.1".into())
    );
    assert_eq!(h264(SPS_INTERLACED), (1920, 1080, "High 4.0".into()));
    assert_eq!(
        h264(SPS_444),
        (322, 182, "High 4:4:4 Predictive 1.3".into())
    );
    assert_eq!(h264(SPS_422), (320, 180, "High 4:2:2 1.2".into()));
    let h265 = |hex| facts(Codec::H265, hex);
    assert_eq!(h265(SPS_H265), (642, 358, "Main 2.1".into()));
    assert_eq!(h265(SPS_H265_LAYERS), (1920, 1080, "Main 10 4.0".into()));
}

#[test]
fn a_set_that_is_cut_off_says_nothing() {
    for len in 0..10 {
        assert_eq!(read_sequence(Codec::H264, &bytes(SPS_642X358)[..len]), None);
        assert_eq!(read_sequence(Codec::H265, &bytes(SPS_H265)[..len]), None);
    }
}

#[test]
fn all_sets_are_waited_for() {
    let mut sets = ParameterSets::new(Codec::H265);
    for (hex, is_enough) in [(VPS_H265, false), (PPS_H265, false), (SPS_H265, true)] {
        sets.observe(&bytes(hex).into());
        assert_eq!(sets.parameters(None).is_some(), is_enough);
    }
    let parameters = sets.parameters(Some(0)).unwrap();
    assert_eq!(
        parameters.sets,
        [bytes(VPS_H265), bytes(SPS_H265), bytes(PPS_H265)]
    );
    let mut sets = ParameterSets::new(Codec::H264);
    sets.describe(&[bytes(SPS_642X358)]);
    assert_eq!(sets.parameters(None), None);
    sets.describe(&[bytes(PPS)]);
    assert!(sets.parameters(None).is_some());
}

#[test]
fn a_video_parameter_set_that_never_comes_is_made() {
    let mut sets = ParameterSets::new(Codec::H265);
    sets.describe(&[bytes(SPS_H265), bytes(PPS_H265)]);
    // As x265 writes it, but for the bounds on decoded pictures and the timing.
    let made = bytes("40010c01ffff01600000030090000003000003003f04021024");
    let parameters = sets.parameters(None).unwrap();
    assert_eq!(
        parameters.sets,
        [made.clone(), bytes(SPS_H265), bytes(PPS_H265)]
    );
    // One that belongs to another sequence parameter set is of no use.
    sets.observe(&bytes("40011c01ffff01600000030090000003000003003f04021024").into());
    assert_eq!(sets.parameters(None).unwrap().sets[0], made);
    sets.observe(&bytes(VPS_H265).into());
    let parameters = sets.parameters(None).unwrap();
    assert_eq!(parameters.sets[0], bytes(VPS_H265));
    assert!(!parameters.sets.contains(&made));
}

#[test]
fn sets_within_the_stream_win_over_described_ones() {
    let mut sets = ParameterSets::new(Codec::H264);
    let with_codes = [
        &[0, 0, 0, 1][..],
        &bytes(SPS_BASELINE),
        &[0, 0, 1],
        &bytes(PPS),
    ]
    .concat();
    sets.describe(&[bytes("e90102"), with_codes.into(), Bytes::new()]);
    assert_eq!(sets.parameters(None).unwrap().width, 640);
    sets.observe(&bytes(SPS_642X358).into());
    let parameters = sets.parameters(None).unwrap();
    assert_eq!((parameters.width, parameters.sets.len()), (642, 2));
    // Another one with the same number takes its place.
    sets.observe(&bytes(SPS_BASELINE).into());
    assert_eq!(sets.parameters(None).unwrap().width, 640);
}

#[test]
fn the_set_that_the_picture_uses_tells_its_size() {
    let mut sets = ParameterSets::new(Codec::H264);
    // The same picture parameter set with numbers 1 and 1: 010 010 ...
    let second = bytes("684900");
    // A sequence parameter set with number 1: baseline, 16x16.
    let small = [
        &[0x67, 66, 0, 10][..],
        &[0b0101_0110, 0b1111_0011, 0b1010_0000, 0x80],
    ]
    .concat();
    assert_eq!(
        read_sequence(Codec::H264, &small).map(|found| (found.id, found.width)),
        Some((1, 16))
    );
    for set in [bytes(SPS_642X358), bytes(PPS), small.into(), second] {
        sets.observe(&set.into());
    }
    assert_eq!(sets.parameters(Some(0)).unwrap().width, 642);
    assert_eq!(sets.parameters(Some(1)).unwrap().width, 16);
}

#[test]
fn what_is_kept_is_bounded() {
    let mut sets = ParameterSets::new(Codec::H264);
    sets.observe(&Bytes::from([&[0x68, 0xC0][..], &[0; SET_BYTES_MAX]].concat()).into());
    assert!(sets.sets.is_empty());
    for id in 0..200u32 {
        // 15 bits of ue(v) hold any of these numbers.
        let code = (id + 1) << (32 - 15);
        let ones = if id == 0 { 0x8000_0000u32 } else { code };
        let leading = (id + 1).ilog2();
        let value = ones >> (7 - leading.min(7)) | 0x1_0000 >> leading;
        sets.observe(&Bytes::from([&[0x68][..], &value.to_be_bytes()].concat()).into());
    }
    assert!(sets.sets.len() <= SETS_MAX);
}

proptest! {
    #[test]
    fn any_bytes_are_taken_without_a_panic(start in prop::sample::select(vec![0x67u8, 0x68, 0x40, 0x42, 0x44]), rest in prop::collection::vec(any::<u8>(), 0..80)) {
        let nal = Bytes::from([&[start][..], &rest].concat());
        for codec in [Codec::H264, Codec::H265] {
            let mut sets = ParameterSets::new(codec);
            sets.observe(&nal.clone().into());
            sets.describe(std::slice::from_ref(&nal));
            let _ = sets.parameters(Some(0));
            if let Some(found) = read_sequence(codec, &nal) {
                prop_assert!(found.width > 0 && found.height > 0);
            }
        }
    }
}
