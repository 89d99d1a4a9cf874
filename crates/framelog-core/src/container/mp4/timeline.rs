//! Capture times as times of a track: when each picture is decoded, how much later it is shown, how long. Not for the boxes that say so.

use super::entry;
use crate::frame::Frame;

/// Ticks of every track in a second: microseconds, so that times are exact.
pub const TIMESCALE: u32 = 1_000_000;

/// How long a frame lasts while nothing is known of the camera's pace, microseconds.
const INTERVAL_US: u32 = 40_000;
/// Frames that are farther apart have a hole between them: that is no pace, and a frame that lasted as long would hide the hole from a player.
const INTERVAL_MAX_US: u32 = 2_000_000;
/// For how long a picture that is shown later may be decoded first, by what its parameters say, microseconds for each.
const REORDER_EACH_US: u32 = 100_000;
/// A stamp that goes back farther is no picture out of order, microseconds.
const REORDER_MAX_US: u32 = 1_000_000;

/// What one segment teaches about the next of the same camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// From one frame to the next, microseconds.
    interval_us: u32,
    /// How far pictures must be decoded ahead of being shown, microseconds.
    reorder_us: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            interval_us: INTERVAL_US,
            reorder_us: 0,
        }
    }
}

/// The times of one segment's track: 0 is when its first frame is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// Capture time of the first frame, microseconds.
    first_us: i64,
    /// How much later than decoded a picture is shown whose time has come, microseconds.
    delay_us: u32,
    /// When the last frame is decoded.
    last_us: Option<u64>,
    latest: Option<Latest>,
    /// The pace that was measured last was not believed.
    is_in_doubt: bool,
    pace: Pace,
}

/// The frame that is shown last, so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Latest {
    /// Its time since the first frame's, microseconds.
    elapsed_us: i128,
    /// Frames that came after it.
    came: u32,
    /// Frames that came between the one before it and itself, itself included.
    before: u32,
}

/// A frame on the track, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// When it is decoded: later than the one before.
    pub decode_us: u64,
    /// How much later it is shown, or earlier.
    pub composition_us: i32,
    /// How long it lasts: as long as the one before, for the next has not come.
    pub duration_us: u32,
}

impl Place {
    /// When it is shown.
    pub fn shown_us(&self) -> u64 {
        (self.decode_us).saturating_add_signed(self.composition_us.into())
    }
}

impl Timeline {
    /// That of a segment which begins with this frame.
    pub fn begin(first: &Frame, pace: Pace) -> Self {
        let sps = (first.parameters.as_ref()).and_then(|sets| entry::sps(first.codec, sets));
        let said = sps.and_then(|sps| sps.reorder).unwrap_or(0).min(16);
        let each_us = (pace.interval_us.saturating_mul(3)).max(REORDER_EACH_US);
        let said_us = each_us.saturating_mul(said.into()).min(REORDER_MAX_US);
        Self {
            first_us: first.captured_us,
            delay_us: said_us.max(pace.reorder_us),
            last_us: None,
            latest: None,
            is_in_doubt: false,
            pace,
        }
    }

    /// When the first frame is shown.
    pub fn delay_us(&self) -> u32 {
        self.delay_us
    }

    /// Puts the next frame on the track: where pictures are in order, decoded at its time; else evenly spaced, and early enough.
    pub fn place(&mut self, captured_us: i64) -> Place {
        let elapsed_us = i128::from(captured_us) - i128::from(self.first_us);
        let next_us = self.last_us.map_or(0, |last_us| i128::from(last_us) + 1);
        let even_us = next_us + i128::from(self.pace.interval_us) - 1;
        let delay_us = i128::from(self.delay_us);
        let decode_us = match self.last_us {
            None => 0,
            Some(_) => even_us.clamp(elapsed_us - delay_us, elapsed_us + delay_us / 2),
        };
        let decode_us = u64::try_from(decode_us.max(next_us)).unwrap_or(u64::MAX);
        self.last_us = Some(decode_us);
        self.follow(elapsed_us);
        let late_us = i128::from(decode_us) - elapsed_us;
        self.learn(late_us);
        let composition_us = delay_us - late_us;
        Place {
            decode_us,
            // An offset reaches half an hour; what is farther away is no track.
            composition_us: composition_us.clamp(i32::MIN.into(), i32::MAX.into()) as i32,
            duration_us: self.pace.interval_us,
        }
    }

    /// Measures the pace from one picture that is later than all before to the next.
    fn follow(&mut self, elapsed_us: i128) {
        let Some(latest) = &mut self.latest else {
            self.latest = Some(Latest {
                elapsed_us,
                came: 0,
                before: 0,
            });
            return;
        };
        latest.came += 1;
        if elapsed_us <= latest.elapsed_us {
            return;
        }
        // The first picture that is shown later says nothing yet: others may come in between.
        let says = self.delay_us == 0 || latest.came > 1 || latest.before == 1;
        let interval_us = (elapsed_us - latest.elapsed_us) / i128::from(latest.came);
        *latest = Latest {
            elapsed_us,
            came: 0,
            before: latest.came,
        };
        if says {
            self.believe(interval_us.max(1));
        }
    }

    /// Where pictures are out of order, the first of a closed GOP comes behind others that were shown before, and seems to come too soon: such a pace is
    /// believed when it shows twice.
    fn believe(&mut self, interval_us: i128) {
        let is_odd = self.delay_us > 0 && interval_us * 4 < i128::from(self.pace.interval_us) * 3;
        let is_new = !std::mem::replace(&mut self.is_in_doubt, is_odd);
        if interval_us <= INTERVAL_MAX_US.into() && !(is_odd && is_new) {
            self.pace.interval_us = u32::try_from(interval_us).unwrap_or(u32::MAX);
        }
    }

    /// A picture was decoded so much after its time.
    fn learn(&mut self, late_us: i128) {
        let is_out_of_order = late_us > self.delay_us.into() && late_us <= REORDER_MAX_US.into();
        if is_out_of_order {
            // Twice that, so that it is learnt once.
            self.pace.reorder_us = self.pace.reorder_us.max(2 * late_us as u32);
        }
    }

    /// What was learnt so far.
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// Whether pictures turned out to change places more than was thought when the segment began: better to begin another.
    pub fn is_outgrown(&self) -> bool {
        self.pace.reorder_us > self.delay_us
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::clock::ClockKind;
    use crate::frame::Codec;

    fn first(captured_us: i64) -> Frame {
        Frame {
            payload: Bytes::new().into(),
            codec: Codec::H264,
            parameters: None,
            captured_us,
            received_us: captured_us,
            clock: ClockKind::Camera,
            offset_us: 0,
            keyframe: true,
            complete: true,
        }
    }

    fn placed(times: &[i64], pace: Pace) -> (Timeline, Vec<Place>) {
        let mut timeline = Timeline::begin(&first(times[0]), pace);
        let places = times.iter().map(|us| timeline.place(*us)).collect();
        (timeline, places)
    }

    #[test]
    fn pictures_in_order_are_decoded_when_they_are_shown() {
        let (timeline, places) = placed(&[7, 40_007, 80_107, 1_080_107], Pace::default());
        let decode: Vec<_> = places.iter().map(|place| place.decode_us).collect();
        assert_eq!(decode, [0, 40_000, 80_100, 1_080_100]);
        assert!(places.iter().all(|place| place.composition_us == 0));
        let durations: Vec<_> = places.iter().map(|place| place.duration_us).collect();
        assert_eq!(durations, [40_000, 40_000, 40_100, 1_000_000]);
        assert!(!timeline.is_outgrown());
        // The next segment begins at the pace of this one.
        assert_eq!(placed(&[9], timeline.pace()).1[0].duration_us, 1_000_000);
    }

    #[test]
    fn a_hole_is_no_pace() {
        let times = [0, 40_000, 600_000_000, 600_040_000];
        let (_, places) = placed(&times, Pace::default());
        let decode: Vec<_> = places.iter().map(|place| place.decode_us).collect();
        assert_eq!(decode, [0, 40_000, 600_000_000, 600_040_000]);
        assert!(places.iter().all(|place| place.duration_us == 40_000));
    }

    /// I P B B, shown I B B P.
    const OUT_OF_ORDER: [i64; 7] = [0, 120_000, 40_000, 80_000, 240_000, 160_000, 200_000];

    #[test]
    fn the_first_picture_of_a_closed_gop_does_not_quicken_the_pace() {
        let gop = [0, 120_000, 40_000, 80_000, 240_000, 160_000, 200_000];
        let times: Vec<i64> = (0..3)
            .flat_map(|n| gop.map(|us| us + n * 280_000))
            .collect();
        let pace = Pace {
            interval_us: 40_000,
            reorder_us: 200_000,
        };
        let (_, places) = placed(&times, pace);
        assert!(places.iter().all(|place| place.duration_us == 40_000));
    }

    #[test]
    fn pictures_out_of_order_are_learnt_from_and_then_decoded_in_time() {
        let (timeline, places) = placed(&OUT_OF_ORDER, Pace::default());
        assert!(
            places
                .windows(2)
                .all(|two| two[0].decode_us < two[1].decode_us)
        );
        assert!(places[2].composition_us < 0, "it came too late");
        assert!(timeline.is_outgrown());
        let (next, places) = placed(&OUT_OF_ORDER, timeline.pace());
        assert!(!next.is_outgrown());
        for (place, us) in places.iter().zip(OUT_OF_ORDER) {
            assert!(place.composition_us >= 0);
            assert_eq!(place.shown_us(), us as u64 + u64::from(next.delay_us()));
        }
    }

    #[test]
    fn a_clock_that_is_put_back_teaches_nothing() {
        let (timeline, _) = placed(&[0, 90_000_000, 1_000, 50_000], Pace::default());
        assert!(!timeline.is_outgrown());
    }

    proptest! {
        #[test]
        fn decoding_only_goes_forward_and_what_is_shown_is_exact_within_reach(
            times in prop::collection::vec(prop_oneof![any::<i64>(), -1_000_000_000..1_000_000_000i64], 1..40),
        ) {
            let (timeline, places) = placed(&times, Pace::default());
            for two in places.windows(2) {
                prop_assert!(two[0].decode_us < two[1].decode_us || two[1].decode_us == u64::MAX);
            }
            for (place, us) in places.iter().zip(&times) {
                let due = i128::from(*us) - i128::from(times[0]) + i128::from(timeline.delay_us());
                let offset = due - i128::from(place.decode_us);
                if i32::try_from(offset).is_ok() {
                    prop_assert_eq!(i128::from(place.composition_us), offset);
                }
            }
        }
    }
}
