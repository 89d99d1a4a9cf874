//! Codec, profile and level by their names, from the parameter sets. Pure; not for decoding them any further.

use std::fmt;

use framelog_core::frame::{Codec, Parameters};

/// How pictures are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Coding {
    pub codec: Codec,
    /// `profile_idc` or `general_profile_idc`.
    pub profile: u8,
    /// In tenths: 31 is level 3.1.
    pub level: u8,
}

impl Coding {
    /// By the first sequence parameter set; zeros where there is none.
    pub(super) fn read(codec: Codec, parameters: &Parameters) -> Self {
        let (profile, level) = parameters
            .sets
            .iter()
            .find_map(|set| match codec {
                // ITU-T H.264 §7.3.2.1.1: the type is in the last five bits of the first byte.
                Codec::H264 => (set.first()? & 0x1f == 7).then_some((*set.get(1)?, *set.get(3)?)),
                // ITU-T H.265 §7.3.3: two bytes of header, one of ids, then the general profile; the level is thirty-thirds.
                Codec::H265 => {
                    let is_sps = set.first()? >> 1 & 0x3f == 33;
                    let bytes = unescaped(set.get(2..)?);
                    is_sps.then_some((bytes.get(1)? & 0x1f, bytes.get(12)? / 3))
                }
                Codec::Mjpeg => None,
            })
            .unwrap_or_default();
        Self {
            codec,
            profile,
            level,
        }
    }

    fn profile_name(self) -> Option<&'static str> {
        match (self.codec, self.profile) {
            (Codec::H264, 66) => Some("Baseline"),
            (Codec::H264, 77) => Some("Main"),
            (Codec::H264, 88) => Some("Extended"),
            (Codec::H264, 100) => Some("High"),
            (Codec::H264, 110) => Some("High 10"),
            (Codec::H265, 1) => Some("Main"),
            (Codec::H265, 2) => Some("Main 10"),
            _ => None,
        }
    }
}

/// `H.264 High, level 3.1`.
impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.codec {
            Codec::H264 => "H.264",
            Codec::H265 => "H.265",
            Codec::Mjpeg => "JPEG",
        })?;
        match self.profile_name() {
            Some(name) => write!(f, " {name}")?,
            None => write!(f, " profile {}", self.profile)?,
        }
        write!(f, ", level {}.{}", self.level / 10, self.level % 10)
    }
}

/// Without the bytes that keep start codes out (ITU-T H.264 §7.4.1).
fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for &byte in bytes {
        let escapes = byte == 3 && out.ends_with(&[0, 0]);
        if !escapes {
            out.push(byte);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn told(codec: Codec, set: &'static [u8]) -> String {
        let parameters = Parameters {
            width: 640,
            height: 360,
            sets: vec![Bytes::from_static(set)],
        };
        Coding::read(codec, &parameters).to_string()
    }

    #[test]
    fn profiles_have_names() {
        assert_eq!(
            told(Codec::H264, b"\x67\x64\x00\x1f\xac"),
            "H.264 High, level 3.1"
        );
        assert_eq!(
            told(Codec::H264, b"\x67\x7a\x00\x1e\xac"),
            "H.264 profile 122, level 3.0"
        );
        let sps = b"\x42\x01\x01\x01\x60\x00\x00\x03\x00\x90\x00\x00\x03\x00\x00\x03\x00\x5d\xa0";
        assert_eq!(told(Codec::H265, sps), "H.265 Main, level 3.1");
    }
}
