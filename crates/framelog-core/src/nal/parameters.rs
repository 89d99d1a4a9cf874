//! The parameter sets of a stream, from its description and from within: which are in force, and what they say about the picture. Not for
//! where a picture begins.

use std::fmt;

use bytes::Bytes;

use super::bits::Bits;
use super::sps::Sps;
use super::{Kind, SetKind, header_bytes, kind, split_annex_b, vps};
use crate::frame::{Codec, Parameters, Payload};

/// The largest set that is kept, bytes. Real ones have some tens, with scaling lists some hundreds.
const SET_BYTES_MAX: usize = 4096;
/// How many sets are kept.
const SETS_MAX: usize = 32;

/// What a sequence parameter set says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// Of the picture as it is shown, pixels, above 0.
    pub width: u16,
    /// Of the picture as it is shown, pixels, above 0.
    pub height: u16,
    /// Profile and level.
    pub profile: Profile,
    id: u32,
}

/// Profile and level, to be shown: `High 4.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    codec: Codec,
    /// `profile_idc` or `general_profile_idc`.
    pub profile: u8,
    /// `level_idc` or `general_level_idc`.
    pub level: u8,
    is_constrained: bool,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, tenths) = match self.codec {
            Codec::H265 => (profile_h265(self.profile), u16::from(self.level) / 3),
            _ => (
                profile_h264(self.profile, self.is_constrained),
                self.level.into(),
            ),
        };
        match name {
            Some(name) => f.write_str(name)?,
            None => write!(f, "profile {}", self.profile)?,
        }
        write!(f, " {}.{}", tenths / 10, tenths % 10)
    }
}

/// H.264 §A.2.
fn profile_h264(profile: u8, is_constrained: bool) -> Option<&'static str> {
    Some(match profile {
        66 if is_constrained => "Constrained Baseline",
        66 => "Baseline",
        77 => "Main",
        88 => "Extended",
        100 => "High",
        110 => "High 10",
        122 => "High 4:2:2",
        244 => "High 4:4:4 Predictive",
        _ => return None,
    })
}

/// H.265 §A.3.
fn profile_h265(profile: u8) -> Option<&'static str> {
    Some(match profile {
        1 => "Main",
        2 => "Main 10",
        3 => "Main Still Picture",
        4 => "Format Range Extensions",
        _ => return None,
    })
}

/// Reads a sequence parameter set, from its header on; `None` if it makes no sense.
pub fn read_sequence(codec: Codec, nal: &[u8]) -> Option<Sequence> {
    let sps = Sps::read(codec, nal);
    let (width, height) = sps.size?;
    Some(Sequence {
        width,
        height,
        profile: Profile {
            codec,
            profile: sps.profile,
            level: sps.level,
            is_constrained: sps.constraints & 0x40 != 0,
        },
        id: sps.id?,
    })
}

/// The parameter sets of one stream.
///
/// Those within the stream win over those of the description; a set that is unreadable or too large is passed over. A video parameter set that
/// never comes is made of the sequence parameter set.
#[derive(Debug)]
pub struct ParameterSets {
    codec: Codec,
    sets: Vec<Set>,
}

#[derive(Debug)]
struct Set {
    kind: SetKind,
    id: u32,
    /// Picture parameter sets: the sequence parameter set that they belong to.
    sequence_id: u32,
    bytes: Bytes,
    from_description: bool,
}

impl ParameterSets {
    /// No sets yet.
    pub fn new(codec: Codec) -> Self {
        Self {
            codec,
            sets: Vec::new(),
        }
    }

    /// Takes what a stream's description says are parameter sets, with start codes or without.
    pub fn describe(&mut self, claimed: &[Bytes]) {
        for bytes in claimed {
            for nal in split_annex_b(self.codec, bytes.clone().into()) {
                self.take(&nal, true);
            }
        }
    }

    /// Takes a parameter set from within the stream; anything else is passed over.
    pub fn observe(&mut self, nal: &Payload) {
        self.take(nal, false);
    }

    /// What decoding a picture needs that uses this picture parameter set; `None` while some of it is missing.
    pub fn parameters(&self, pps_id: Option<u32>) -> Option<Parameters> {
        let of_kind = |kind| self.sets.iter().filter(move |set| set.kind == kind);
        let picture = of_kind(SetKind::Picture)
            .find(|set| Some(set.id) == pps_id)
            .or_else(|| of_kind(SetKind::Picture).next())?;
        let sequence = of_kind(SetKind::Sequence)
            .find(|set| set.id == picture.sequence_id)
            .or_else(|| of_kind(SetKind::Sequence).next())?;
        let sps = Sps::read(self.codec, &sequence.bytes);
        let (width, height) = sps.size?;
        let needs_video_set = self.codec == Codec::H265
            && !of_kind(SetKind::Video).any(|set| set.id == u32::from(sps.video_id));
        let made = needs_video_set.then(|| vps::belonging_to(&sps));
        let sets = self.sets.iter().map(|set| set.bytes.clone());
        Some(Parameters {
            width,
            height,
            sets: made.into_iter().chain(sets).collect(),
        })
    }

    fn take(&mut self, nal: &Payload, from_description: bool) {
        let Kind::Set(kind) = kind(self.codec, nal) else {
            return;
        };
        if nal.len() > SET_BYTES_MAX {
            return;
        }
        // A copy: a slice would hold on to the buffer that it was received in.
        let bytes = Bytes::from(nal.to_vec());
        let Some((id, sequence_id)) = ids(self.codec, kind, &bytes) else {
            return;
        };
        if !from_description {
            self.sets
                .retain(|set| set.kind != kind || !set.from_description);
        }
        let set = Set {
            kind,
            id,
            sequence_id,
            bytes,
            from_description,
        };
        let place = self
            .sets
            .partition_point(|other| (other.kind, other.id) < (kind, id));
        let is_known =
            (self.sets.get(place)).is_some_and(|other| (other.kind, other.id) == (kind, id));
        if is_known {
            self.sets[place] = set;
        } else if self.sets.len() < SETS_MAX {
            self.sets.insert(place, set);
        }
    }
}

/// A set's own number, and that of the sequence parameter set that it belongs to.
fn ids(codec: Codec, kind: SetKind, set: &[u8]) -> Option<(u32, u32)> {
    let mut bits = Bits::new(set.get(header_bytes(codec)..)?);
    match kind {
        SetKind::Video => Some((bits.number(4)?, 0)),
        SetKind::Sequence => Some((read_sequence(codec, set)?.id, 0)),
        SetKind::Picture => Some((bits.exp_golomb()?, bits.exp_golomb()?)),
    }
}

#[cfg(test)]
pub(crate) mod tests;
