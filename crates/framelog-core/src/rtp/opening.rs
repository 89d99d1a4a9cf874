//! The first pictures of a stream, or behind a pause that RTP time knows nothing of, held until it shows how late they came. Servers begin with what
//! they kept since the last keyframe, all at once, and go on with what is live: only that tells when the others were taken. Behind a pause what
//! a network held back comes at once too; where nothing does, the camera had stood still, and RTP time with it. Not for other bursts: the timeline
//! knows those by what it has seen.

use super::rate::Rate;
use super::{Made, Picture};

/// So long after a picture that came earlier than those before, and at the least, no other is waited for.
const QUIET_US: i64 = 150_000;
/// The same behind a pause: a network recovers by and by.
const QUIET_BEHIND_PAUSE_US: i64 = 500_000;
/// Nor after so long.
const HELD_US_MAX: i64 = 2_000_000;
/// Nor when so much is held, bytes: some seconds of a usual stream.
const HELD_BYTES_MAX: usize = 4 << 20;
/// Networks make pictures early and late by less than this.
pub(super) const EARLIER_US: i64 = 20_000;
/// Pictures at their usual pace are early and late by less than this.
const EVEN_US: i64 = 150_000;
/// From one picture to the next RTP time goes on by no more, nor back: else it leapt.
const STEP_US: std::ops::RangeInclusive<i64> = -900_000..=1_100_000;
/// No server keeps more than this.
const LATE_US_MAX: i64 = 15_000_000;

/// See the module.
#[derive(Debug)]
pub(super) struct Opening {
    rate: Rate,
    is_behind_pause: bool,
    held: Vec<Made>,
    bytes: usize,
    seen: Option<Seen>,
}

/// What the pictures so far have shown.
#[derive(Clone, Copy, Debug)]
struct Seen {
    first_us: i64,
    first_rtp_time: u32,
    last_rtp_time: u32,
    /// From the first picture to the last.
    ticks: i64,
    /// From the first picture to the one that is shown last (B-frames are shown before what they come behind).
    ticks_max: i64,
    /// By how much the first came later than the least late one.
    late_us: i64,
    /// When that one came, or one not much less late; behind a pause since when none came slower either.
    since_us: i64,
    /// By how much the first came later than that.
    since_late_us: i64,
    leapt: bool,
    is_alone: bool,
}

/// How late the first of the pictures came that were held.
#[derive(Clone, Copy, Debug)]
pub(super) struct First {
    pub(super) rtp_time: u32,
    pub(super) received_us: i64,
    /// Than those behind it, as far as these have come.
    pub(super) late_us: i64,
    /// Pictures came after it for long enough, none of them earlier than RTP time says.
    pub(super) is_certain: bool,
}

impl Opening {
    pub(super) fn new(clock_hz: u32) -> Self {
        Self {
            rate: Rate::nominal(clock_hz),
            is_behind_pause: false,
            held: Vec::new(),
            bytes: 0,
            seen: None,
        }
    }

    /// Of what comes behind a pause.
    pub(super) fn behind_pause(rate: Rate) -> Self {
        Self {
            rate,
            is_behind_pause: true,
            held: Vec::new(),
            bytes: 0,
            seen: None,
        }
    }

    pub(super) fn is_behind_pause(&self) -> bool {
        self.is_behind_pause
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
                first_rtp_time: rtp_time,
                last_rtp_time: rtp_time,
                ticks: 0,
                ticks_max: 0,
                late_us: 0,
                since_us: now_us,
                since_late_us: 0,
                leapt: false,
                is_alone: true,
            });
            return;
        };
        seen.is_alone = false;
        let step = i64::from(rtp_time.wrapping_sub(seen.last_rtp_time).cast_signed());
        seen.leapt |= !STEP_US.contains(&self.rate.us(step));
        if seen.leapt {
            return;
        }
        seen.ticks += step;
        seen.last_rtp_time = rtp_time;
        if seen.ticks < seen.ticks_max {
            return;
        }
        seen.ticks_max = seen.ticks;
        let passed_us = now_us.saturating_sub(seen.first_us);
        let late_us = self.rate.us(seen.ticks).saturating_sub(passed_us);
        if self.is_behind_pause && seen.late_us.saturating_sub(late_us) > EVEN_US {
            // It is slow now, and may be fast later.
            seen.since_us = now_us;
        }
        if late_us > seen.late_us {
            // Behind a pause a network may catch up by and by. At the start a clock that is a little fast would look like that.
            let before_us = match self.is_behind_pause {
                true => seen.since_late_us,
                false => seen.late_us,
            };
            if late_us - before_us > EARLIER_US {
                (seen.since_us, seen.since_late_us) = (now_us, late_us);
            }
            seen.late_us = late_us;
        }
    }

    /// When no other is waited for any longer, once one is held.
    pub(super) fn ends_us(&self) -> Option<i64> {
        (self.seen).map(|seen| seen.first_us.saturating_add(HELD_US_MAX))
    }

    /// Whether nothing more is to be learnt.
    pub(super) fn is_over(&self, now_us: i64) -> bool {
        self.seen.is_some_and(|seen| {
            seen.leapt
                || self.bytes >= HELD_BYTES_MAX
                || self.is_at_rest(seen, now_us)
                || self.ends_us().is_some_and(|ends_us| now_us >= ends_us)
        })
    }

    fn is_at_rest(&self, seen: Seen, now_us: i64) -> bool {
        let quiet_us = now_us.saturating_sub(seen.since_us);
        match self.is_behind_pause {
            true => quiet_us >= QUIET_BEHIND_PAUSE_US && !seen.is_alone,
            false => quiet_us >= QUIET_US,
        }
    }

    /// What was held, and how late its first picture came.
    pub(super) fn end(self, now_us: Option<i64>) -> (Vec<Made>, Option<First>) {
        let first = self.seen.map(|seen| First {
            rtp_time: seen.first_rtp_time,
            received_us: seen.first_us,
            late_us: seen.late_us.min(LATE_US_MAX),
            is_certain: !seen.leapt && now_us.is_some_and(|now_us| self.is_at_rest(seen, now_us)),
        });
        (self.held, first)
    }
}
