//! The first pictures of a stream, held until it shows how late they came: servers send at once what they kept since the last keyframe, and
//! then what is live. Only the live ones tell when the others were taken. Not for bursts later on: the timeline knows those by what it has seen.

use super::rate::Rate;
use super::{Made, Picture};

/// So long after a picture that came earlier than those before, and at the least, no other is waited for.
const QUIET_US: i64 = 150_000;
/// Nor after so long.
const HELD_US_MAX: i64 = 2_000_000;
/// Nor when so much is held, bytes: some seconds of a usual stream.
const HELD_BYTES_MAX: usize = 4 << 20;
/// Networks make pictures early and late by less than this.
const EARLIER_US: i64 = 20_000;
/// From one picture to the next RTP time goes on by no more, nor back: else it leapt.
const STEP_US: std::ops::RangeInclusive<i64> = -900_000..=1_100_000;
/// No server keeps more than this.
const LATE_US_MAX: i64 = 15_000_000;

/// See the module.
#[derive(Debug)]
pub(super) struct Opening {
    rate: Rate,
    held: Vec<Made>,
    bytes: usize,
    seen: Option<Seen>,
}

/// What the pictures so far have shown.
#[derive(Clone, Copy, Debug)]
struct Seen {
    first_us: i64,
    last_rtp_time: u32,
    /// From the first picture to the last.
    ticks: i64,
    /// By how much the first came later than the least late one.
    late_us: i64,
    /// When that one came.
    since_us: i64,
    leapt: bool,
}

impl Opening {
    pub(super) fn new(clock_hz: u32) -> Self {
        Self {
            rate: Rate::nominal(clock_hz),
            held: Vec::new(),
            bytes: 0,
            seen: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Takes what is made; what is no picture, and has none before it, is handed back: it waits for nothing.
    pub(super) fn hold(&mut self, made: Made) -> Option<Made> {
        if self.held.is_empty() && matches!(made, Made::Skipped(_)) {
            return Some(made);
        }
        self.bytes = self.bytes.saturating_add(size_of::<Made>());
        if let Made::Picture(picture) = &made {
            self.bytes = self.bytes.saturating_add(picture.payload.len());
            self.look_at(picture);
        }
        self.held.push(made);
        None
    }

    fn look_at(&mut self, picture: &Picture) {
        let (rtp_time, now_us) = (picture.rtp_time, picture.received_us);
        let Some(seen) = &mut self.seen else {
            self.seen = Some(Seen {
                first_us: now_us,
                last_rtp_time: rtp_time,
                ticks: 0,
                late_us: 0,
                since_us: now_us,
                leapt: false,
            });
            return;
        };
        let step = i64::from(rtp_time.wrapping_sub(seen.last_rtp_time).cast_signed());
        seen.leapt |= !STEP_US.contains(&self.rate.us(step));
        if seen.leapt {
            return;
        }
        seen.ticks += step;
        seen.last_rtp_time = rtp_time;
        let passed_us = now_us.saturating_sub(seen.first_us);
        let late_us = self.rate.us(seen.ticks).saturating_sub(passed_us);
        if late_us > seen.late_us {
            if late_us - seen.late_us > EARLIER_US {
                seen.since_us = now_us;
            }
            seen.late_us = late_us;
        }
    }

    /// Whether nothing more is to be learnt.
    pub(super) fn is_over(&self, now_us: i64) -> bool {
        self.seen.is_some_and(|seen| {
            seen.leapt
                || self.bytes >= HELD_BYTES_MAX
                || now_us.saturating_sub(seen.since_us) >= QUIET_US
                || now_us.saturating_sub(seen.first_us) >= HELD_US_MAX
        })
    }

    /// What was held, and by how much its first picture came late.
    pub(super) fn end(self) -> (Vec<Made>, i64) {
        let late_us = self.seen.map_or(0, |seen| seen.late_us);
        (self.held, late_us.min(LATE_US_MAX))
    }
}
