//! Sample entries: what a player reads before the first picture (ISO/IEC 14496-15, 5.4 and 8.4), made of parameter sets, and back. Not for where
//! they stand.

use bytes::Bytes;
use mp4_atom::{Avc1, Avcc, AvccExt, Hvc1, HvcCArray, Hvcc, Jpeg, Visual};

use crate::frame::{Codec, Parameters};
use crate::nal::sps::{Sps, has_chroma_format};

/// Sets are stored up to here, all together, bytes: real ones have some hundred.
const SETS_MAX: usize = 256 << 10;

/// NAL unit types of H.264 (Rec. ITU-T H.264, table 7-1).
const H264_SPS: u8 = 7;
const H264_PPS: u8 = 8;
const H264_SPS_EXTENSION: u8 = 13;
/// NAL unit types of H.265 (Rec. ITU-T H.265, table 7-1).
const H265_SETS: [u8; 3] = [32, 33, 34];
const H265_SPS: u8 = 33;

/// The sample entry for pictures that need these parameters. Sets that no entry can hold are left out.
pub(super) fn write(codec: Codec, parameters: &Parameters) -> mp4_atom::Codec {
    let visual = Visual {
        data_reference_index: 1,
        width: parameters.width,
        height: parameters.height,
        ..Visual::default()
    };
    match codec {
        Codec::Mjpeg => mp4_atom::Codec::Jpeg(Jpeg {
            visual,
            ..Jpeg::default()
        }),
        Codec::H264 => mp4_atom::Codec::Avc1(Avc1 {
            visual,
            avcc: avcc(parameters),
            ..Avc1::default()
        }),
        Codec::H265 => mp4_atom::Codec::Hvc1(Hvc1 {
            visual,
            hvcc: hvcc(parameters),
            ..Hvc1::default()
        }),
    }
}

/// What an entry says; `None` if it is of no codec that is stored.
pub(super) fn read(entry: &mp4_atom::Codec) -> Option<(Codec, Parameters)> {
    let (codec, visual, sets): (_, _, Vec<&Vec<u8>>) = match entry {
        mp4_atom::Codec::Avc1(Avc1 { visual, avcc, .. }) => {
            let extensions = avcc
                .ext
                .iter()
                .flat_map(|ext| &ext.sequence_parameter_sets_ext);
            let sets = (avcc.sequence_parameter_sets.iter())
                .chain(&avcc.picture_parameter_sets)
                .chain(extensions);
            (Codec::H264, visual, sets.collect())
        }
        mp4_atom::Codec::Hvc1(Hvc1 { visual, hvcc, .. }) => {
            let sets = hvcc.arrays.iter().flat_map(|array| &array.nalus);
            (Codec::H265, visual, sets.collect())
        }
        _ => return None,
    };
    let parameters = Parameters {
        width: visual.width,
        height: visual.height,
        sets: sets
            .into_iter()
            .map(|set| Bytes::copy_from_slice(set))
            .collect(),
    };
    Some((codec, parameters))
}

/// The first sequence parameter set, as far as it can be read.
pub(super) fn sps(codec: Codec, parameters: &Parameters) -> Option<Sps> {
    let first = match codec {
        Codec::Mjpeg => None,
        Codec::H264 => of_type(parameters, h264_type, H264_SPS).next(),
        Codec::H265 => of_type(parameters, h265_type, H265_SPS).next(),
    };
    first.map(|nal| Sps::read(codec, nal))
}

fn avcc(parameters: &Parameters) -> Avcc {
    let all = |kind| of_type(parameters, h264_type, kind);
    let first = all(H264_SPS).next().map_or(&[][..], |sps| sps);
    let byte = |at| first.get(at).copied().unwrap_or_default();
    let profile = byte(1);
    let sps = Sps::read(Codec::H264, first);
    Avcc {
        configuration_version: 1,
        avc_profile_indication: profile,
        profile_compatibility: byte(2),
        avc_level_indication: byte(3),
        length_size: 4,
        // As many as there is room to count.
        sequence_parameter_sets: all(H264_SPS).take(31).map(<[u8]>::to_vec).collect(),
        picture_parameter_sets: all(H264_PPS).take(255).map(<[u8]>::to_vec).collect(),
        ext: has_chroma_format(profile).then(|| AvccExt {
            chroma_format: sps.chroma_format,
            bit_depth_luma: sps.luma_depth_minus8.saturating_add(8),
            bit_depth_chroma: sps.chroma_depth_minus8.saturating_add(8),
            sequence_parameter_sets_ext: all(H264_SPS_EXTENSION)
                .take(255)
                .map(<[u8]>::to_vec)
                .collect(),
        }),
    }
}

fn hvcc(parameters: &Parameters) -> Hvcc {
    let sps = sps(Codec::H265, parameters).unwrap_or_default();
    let [kind, c0, c1, c2, c3, i0, i1, i2, i3, i4, i5, level] = sps.profile_tier_level;
    let array = |nal_unit_type| HvcCArray {
        completeness: true,
        nal_unit_type,
        nalus: of_type(parameters, h265_type, nal_unit_type)
            .map(<[u8]>::to_vec)
            .collect(),
    };
    Hvcc {
        general_profile_space: kind >> 6,
        general_tier_flag: kind & 0x20 != 0,
        general_profile_idc: kind & 0x1f,
        general_profile_compatibility_flags: [c0, c1, c2, c3],
        general_constraint_indicator_flags: [i0, i1, i2, i3, i4, i5],
        general_level_idc: level,
        chroma_format_idc: sps.chroma_format,
        bit_depth_luma_minus8: sps.luma_depth_minus8,
        bit_depth_chroma_minus8: sps.chroma_depth_minus8,
        num_temporal_layers: sps.layers,
        temporal_id_nested: sps.is_nested,
        length_size_minus_one: 3,
        arrays: H265_SETS
            .into_iter()
            .map(array)
            .filter(|array| !array.nalus.is_empty())
            .collect(),
        ..Hvcc::new()
    }
}

/// The sets of a NAL unit type, each short enough for its length field, all together short enough.
fn of_type(
    parameters: &Parameters,
    type_of: fn(&[u8]) -> Option<u8>,
    kind: u8,
) -> impl Iterator<Item = &[u8]> {
    let mut room = SETS_MAX;
    let fits = move |set: &&[u8]| match room.checked_sub(set.len()) {
        Some(left) if set.len() <= usize::from(u16::MAX) => {
            room = left;
            true
        }
        _ => false,
    };
    let sets = parameters.sets.iter().map(|set| &set[..]);
    sets.filter(fits)
        .filter(move |set| type_of(set) == Some(kind))
}

fn h264_type(nal: &[u8]) -> Option<u8> {
    nal.first().map(|byte| byte & 0x1f)
}

fn h265_type(nal: &[u8]) -> Option<u8> {
    nal.first().map(|byte| byte >> 1 & 0x3f)
}
