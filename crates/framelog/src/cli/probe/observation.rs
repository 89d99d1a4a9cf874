//! What a camera's pictures have in common: sizes, rates, lengths, stamps. Pure; not for getting them.

use std::collections::BTreeMap;

use framelog_core::frame::Parameters;
use framelog_core::jpeg::Facts;
use framelog_core::multipart::{SkipReason, Skipped};

use super::coding::Coding;
use crate::source::Picture;

/// A stamp this near to the arrival is a time of day: the default of `max_skew`.
const SKEW_MAX_US: i64 = 600 * 1_000_000;
/// 2001-01-01: what is before is no date (camera quirk 52).
const DATES_FROM_US: i64 = 978_307_200_000_000;

/// What has been seen so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Observation {
    pub pictures: u64,
    pub bytes: u64,
    pub first_us: i64,
    pub last_us: i64,
    pub sizes: BTreeMap<(u16, u16), u64>,
    pub progressive: u64,
    pub without_tables: u64,
    pub torn: u64,
    pub lengths: Lengths,
    pub text_parts: u64,
    pub empty_parts: u64,
    /// What H.264 and H.265 say of themselves; `None` for JPEG.
    pub coding: Option<Coding>,
    pub gops: Gops,
    /// Pictures with an RTP time.
    media_times: u64,
    stamps: Stamps,
}

/// How many pictures there are from one keyframe to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gops {
    pub keyframes: u64,
    /// Since the last keyframe, with that.
    open: u64,
    pub shortest: Option<u64>,
    pub longest: Option<u64>,
}

impl Gops {
    fn add(&mut self, is_keyframe: bool) {
        if is_keyframe && self.keyframes > 0 {
            self.shortest = Some(
                self.shortest
                    .map_or(self.open, |least| least.min(self.open)),
            );
            self.longest = Some(self.longest.map_or(self.open, |most| most.max(self.open)));
        }
        if is_keyframe {
            self.open = 0;
            self.keyframes += 1;
        }
        self.open += 1;
    }
}

/// What Content-Length fields said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lengths {
    pub absent: u64,
    pub right: u64,
    pub wrong: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Stamps {
    count: u64,
    first_us: Option<i64>,
    last_us: i64,
    moved: bool,
    skew_us: i64,
}

/// What the stamps are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StampKind {
    None,
    Zero,
    Still { stamp_us: i64 },
    Wall { skew_us: i64 },
    WrongDate { skew_us: i64 },
    Media,
    Uptime { stamp_us: i64 },
}

impl Observation {
    pub(super) fn add(&mut self, picture: &Picture) {
        if self.pictures == 0 {
            self.first_us = picture.received_us;
        }
        self.last_us = picture.received_us;
        self.pictures += 1;
        self.bytes += u64::try_from(picture.payload.len()).unwrap_or(u64::MAX);
        self.torn += u64::from(!picture.complete);
        self.gops.add(picture.keyframe);
        match &picture.parameters {
            Some(parameters) => self.add_parameters(picture, parameters),
            None => self.add_structure(picture),
        }
        self.add_length(picture);
        self.media_times += u64::from(picture.stamp.media_us.is_some());
        if let Some(stamp_us) = picture.stamp.stamp_us {
            self.stamps.add(stamp_us, picture.received_us);
        }
    }

    fn add_parameters(&mut self, picture: &Picture, parameters: &Parameters) {
        *self
            .sizes
            .entry((parameters.width, parameters.height))
            .or_default() += 1;
        if self.coding.is_none() {
            self.coding = Some(Coding::read(picture.codec, parameters));
        }
    }

    fn add_structure(&mut self, picture: &Picture) {
        let Some(facts) = Facts::read(&picture.payload.to_vec()) else {
            return;
        };
        *self.sizes.entry((facts.width, facts.height)).or_default() += 1;
        self.progressive += u64::from(facts.progressive);
        self.without_tables += u64::from(!facts.has_huffman_tables);
    }

    fn add_length(&mut self, picture: &Picture) {
        let declared = picture.headers.get("content-length");
        let actual = picture.payload.len().to_string();
        let lengths = &mut self.lengths;
        match declared {
            None => lengths.absent += 1,
            Some(declared) if declared.trim_ascii() == actual.as_bytes() => lengths.right += 1,
            Some(_) => lengths.wrong += 1,
        }
    }

    pub(super) fn add_skipped(&mut self, skipped: &Skipped) {
        match skipped.reason {
            SkipReason::Empty => self.empty_parts += 1,
            SkipReason::NotPicture => self.text_parts += 1,
            SkipReason::Torn | SkipReason::TooLarge => self.torn += 1,
        }
    }

    /// Pictures a second, in thousandths; `None` before the second picture.
    pub(super) fn rate_milli(&self) -> Option<u64> {
        let span_us = u64::try_from(self.last_us.saturating_sub(self.first_us))
            .ok()
            .filter(|&span| span > 0)?;
        (self.pictures > 1).then(|| (self.pictures - 1).saturating_mul(1_000_000_000) / span_us)
    }

    /// Bytes of a picture, on average.
    pub(super) fn picture_bytes(&self) -> u64 {
        self.bytes / self.pictures.max(1)
    }

    /// Payload bits a second.
    pub(super) fn bit_rate(&self) -> Option<u64> {
        Some(
            self.picture_bytes()
                .saturating_mul(8)
                .saturating_mul(self.rate_milli()?)
                / 1_000,
        )
    }

    pub(super) fn stamp_kind(&self) -> StampKind {
        let stamps = self.stamps;
        match stamps.first_us {
            None if self.media_times > 0 => StampKind::Media,
            None => StampKind::None,
            Some(0) if !stamps.moved => StampKind::Zero,
            Some(stamp_us) if !stamps.moved && stamps.count > 2 => StampKind::Still { stamp_us },
            Some(_) if stamps.skew_us.abs() <= SKEW_MAX_US => StampKind::Wall {
                skew_us: stamps.skew_us,
            },
            Some(stamp_us) if stamp_us >= DATES_FROM_US => StampKind::WrongDate {
                skew_us: stamps.skew_us,
            },
            Some(stamp_us) => StampKind::Uptime { stamp_us },
        }
    }
}

impl Stamps {
    fn add(&mut self, stamp_us: i64, received_us: i64) {
        let skew_us = stamp_us.saturating_sub(received_us);
        match self.first_us {
            None => {
                self.first_us = Some(stamp_us);
                self.skew_us = skew_us;
            }
            // The least delayed frame tells the skew best.
            Some(_) => self.skew_us = self.skew_us.max(skew_us),
        }
        self.moved |= self.count > 0 && self.last_us != stamp_us;
        self.last_us = stamp_us;
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use framelog_core::frame::Codec;
    use framelog_core::header::Headers;
    use framelog_core::timestamp::Stamp;

    use super::*;

    const NOW: i64 = 1_795_339_800_000_000;

    fn observe(pictures: &[(Option<i64>, &'static str)]) -> Observation {
        let mut observation = Observation::default();
        for (number, (stamp_us, headers)) in (0..).zip(pictures) {
            observation.add(&Picture {
                payload: Bytes::from_static(
                    b"\xff\xd8\xff\xc0\x00\x0b\x08\x00\x10\x00\x20\x01\x01\x11\x00\xff\xd9",
                )
                .into(),
                codec: Codec::Mjpeg,
                keyframe: true,
                parameters: None,
                headers: Headers::new(Bytes::from_static(headers.as_bytes())),
                stamp: Stamp {
                    stamp_us: *stamp_us,
                    ..Stamp::default()
                },
                received_us: NOW + number * 100_000,
                complete: true,
            });
        }
        observation
    }

    fn kind(stamps: [Option<i64>; 3]) -> StampKind {
        observe(&stamps.map(|stamp| (stamp, ""))).stamp_kind()
    }

    #[test]
    fn stamps_are_recognised_for_what_they_are() {
        assert_eq!(kind([None, None, None]), StampKind::None);
        assert_eq!(kind([Some(0); 3]), StampKind::Zero);
        assert_eq!(kind([Some(7); 3]), StampKind::Still { stamp_us: 7 });
        assert_eq!(
            kind([Some(5_000_000), Some(5_100_000), Some(5_200_000)]),
            StampKind::Uptime {
                stamp_us: 5_000_000
            }
        );
        assert_eq!(
            kind([0, 1, 2].map(|n| Some(NOW + n * 100_000 - 3_000_000))),
            StampKind::Wall {
                skew_us: -3_000_000
            }
        );
        let hour = 3_600_000_000;
        assert_eq!(
            kind([0, 1, 2].map(|n| Some(NOW + n * 100_000 + hour))),
            StampKind::WrongDate { skew_us: hour }
        );
    }

    #[test]
    fn lengths_sizes_and_rates_are_counted() {
        let seen = observe(&[
            (None, "Content-Length: 17"),
            (None, "content-length:99"),
            (None, ""),
            (None, "Content-Length: 17"),
        ]);
        assert_eq!(
            seen.lengths,
            Lengths {
                absent: 1,
                right: 2,
                wrong: 1
            }
        );
        assert_eq!(seen.sizes, BTreeMap::from([((32, 16), 4)]));
        assert_eq!(seen.rate_milli(), Some(10_000));
        assert_eq!((seen.picture_bytes(), seen.bit_rate()), (17, Some(1_360)));
        assert_eq!(observe(&[(None, "")]).rate_milli(), None);
    }
}
