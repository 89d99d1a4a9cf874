//! A video parameter set for an H.265 stream that has none (ITU-T H.265 §7.3.2.1). Of a stream of one layer it says nothing that the sequence
//! parameter set doesn't, and some cameras leave it out; but decoders refuse pictures without one. Not for reading any.

use bytes::Bytes;

use super::bits::protect;
use super::sps::Sps;

/// `nal_unit_type` 32, layer 0, temporal id 0.
const HEADER: [u8; 2] = [0x40, 0x01];
/// `vps_base_layer_internal_flag` and `vps_base_layer_available_flag`.
const BASE_LAYER: u8 = 0x0C;
const RESERVED: [u8; 2] = [0xFF, 0xFF];
/// Of no sub-layer is a profile or level given.
const SUB_LAYERS: [u8; 2] = [0, 0];
/// What a decoder must have room for is only bounded here (16 pictures, in any order): the sequence parameter set says how much it is. No
/// further layers, timing or extension.
const ENDING: [u8; 4] = [0x04, 0x02, 0x10, 0x24];

/// The set that belongs to this sequence parameter set.
pub(super) fn belonging_to(sps: &Sps) -> Bytes {
    let sub_layers = sps.layers.saturating_sub(1) & 7;
    let mut body = vec![
        sps.video_id << 4 | BASE_LAYER,
        sub_layers << 1 | u8::from(sps.is_nested),
    ];
    body.extend(RESERVED);
    body.extend(sps.profile_tier_level);
    if sub_layers > 0 {
        body.extend(SUB_LAYERS);
    }
    body.extend(ENDING);
    HEADER.into_iter().chain(protect(&body)).collect()
}
