//! One camera's frames to segments and gaps: where rotation is decided and every part is accounted for. Not for connecting, nor
//! for what a pause should be: that is the supervisor's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use framelog_core::clock::{Clock, ClockKind, Reading, TimestampMode};
use framelog_core::frame::{Frame, Parameters};
use framelog_core::frozen::Frozen;
use framelog_core::gap::GapReason;
use framelog_core::multipart::SkipReason;
use framelog_core::timestamp::Stamp;
use framelog_store::CameraLog;

use crate::clock_watch::{Moment, STEP_MIN_US};
use crate::config::Camera;
use crate::readers::ROUND_MAX_UNCONFIRMED;
use crate::source::{Delivery, Picture};
use crate::status::{CameraStatus, Gap};
use crate::wall;

mod leap;
mod rotation;

use leap::{Leap, Reached, Whose};
use rotation::Rotation;

/// A camera whose clock is more than this off is worth a warning.
const SKEW_WARN_US: i64 = 2_000_000;

/// The first picture of a connection may be old, out of a buffer; the next shows it, within this.
const OLD_PICTURE_FOR: Duration = Duration::from_secs(1);

/// No source holds a picture longer. A clock that was set says anything.
const HELD_MAX: Duration = Duration::from_secs(2);
/// From when a picture was read until it is here, if the source hands it out at once.
const READ_FOR: Duration = Duration::from_millis(10);

/// See the module.
#[derive(Debug)]
pub struct Recorder {
    log: CameraLog,
    status: Arc<CameraStatus>,
    clock: Clock,
    rotation: Rotation,
    /// The next frame must begin a segment; until a keyframe comes that can, there is nothing to store.
    new_segment: bool,
    /// The next keyframe should begin a segment: what segments have in common has changed since the last.
    step_pending: bool,
    /// What decoding the open segment needs.
    parameters: Option<Arc<Parameters>>,
    /// What was added to stamps in the open segment, microseconds.
    offset_us: i64,
    footage: Footage,
    reached: Reached,
    /// The last gap: since when and why there was no footage.
    missed: (i64, GapReason, String),
    /// The last frame's time comes from that of an arrival.
    goes_by_arrival: bool,
    /// Of the last frame: received − captured. Gaps lie on the camera's own time line, between its frames.
    lag_us: Option<i64>,
    dropping: bool,
    skew_us: Option<i64>,
    skew_warned: bool,
    /// When the last frame may have been here at the earliest.
    came_at: Option<Instant>,
    /// When frames were taken last.
    taken: Option<Moment>,
    /// By how much this machine's clock was set since, microseconds, until a frame comes that arrived after that.
    step_us: Option<i64>,
    /// Whether its stamp stands still; `None` if its stamps are ignored.
    still: Option<Frozen<Stamp>>,
    run: Run,
}

/// What a connection has given so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Pictures received.
    pub pictures: u64,
    /// From the first to the last of them.
    pub healthy: Duration,
    /// When the first of them came.
    pub first: Option<Instant>,
}

/// Whether there is footage up to now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Footage {
    /// Yes, or the store drops it and has a gap of its own: the times of the last frame that came.
    Going { captured_us: i64, received: Moment },
    /// No: the open gap began here.
    Missing { started_us: i64 },
}

impl Recorder {
    /// Takes up a camera at `now_us` with an open gap; one that was recording until just now (its configuration changed) has it since
    /// its last frame.
    pub fn new(
        camera: &Camera,
        segment: Duration,
        log: CameraLog,
        status: Arc<CameraStatus>,
        was_recording: bool,
        now_us: i64,
    ) -> Self {
        let max_skew_us = i64::try_from(camera.max_skew.as_micros()).unwrap_or(i64::MAX);
        let started_us = log
            .last_captured_us()
            .filter(|_| was_recording)
            .unwrap_or(now_us);
        log.set_still_stamp(None);
        let ignores_stamps = camera.timestamps == TimestampMode::Arrival;
        let mut recorder = Self {
            log,
            status,
            clock: Clock::new(camera.timestamps, max_skew_us),
            rotation: Rotation::new(segment, &camera.name),
            new_segment: true,
            step_pending: false,
            parameters: None,
            offset_us: 0,
            footage: Footage::Missing { started_us },
            reached: Reached::default(),
            missed: (started_us, GapReason::Starting, String::new()),
            goes_by_arrival: false,
            lag_us: None,
            dropping: false,
            skew_us: None,
            skew_warned: false,
            came_at: None,
            taken: None,
            step_us: None,
            still: (!ignores_stamps).then(Frozen::default),
            run: Run::default(),
        };
        let reason = if camera.enabled {
            GapReason::Starting
        } else {
            GapReason::Disabled
        };
        let detail = if was_recording {
            "configuration changed"
        } else {
            ""
        };
        recorder.open_gap(started_us, reason, detail);
        recorder
    }

    /// A connection is about to be made.
    pub fn begin_run(&mut self) {
        self.run = Run::default();
        self.new_segment = true;
        self.step_pending = false;
        self.clock.reconnected();
    }

    /// The camera has answered.
    pub fn connected(&mut self) {
        self.status.count(|counts| counts.connections += 1);
    }

    /// Pictures come, of which none can be shown before a keyframe. Only who looks now is told: why there was no footage until then stays the
    /// reason in the index.
    pub fn show_awaiting_keyframe(&self) {
        if let Footage::Missing { started_us } = self.footage {
            let detail =
                "its pictures come; footage begins with the first keyframe, which is awaited";
            self.show_gap(started_us, GapReason::Starting, detail);
        }
    }

    /// What this connection has given.
    pub fn run(&self) -> Run {
        self.run
    }

    /// Whether its frames' times come from those of arrivals: its own, or those that tell how far off its camera's clock is.
    pub fn goes_by_arrival(&self) -> bool {
        self.goes_by_arrival
    }

    /// Waits while the disk is behind, so that the network holds the camera back.
    pub async fn wait_for_room(&self) {
        self.log.wait_for_room().await;
    }

    /// Stores what a source gave just now, in order, and leaves `deliveries` empty. What it read for that may have been here since `earliest`.
    pub fn take(&mut self, deliveries: &mut Vec<Delivery>, earliest: Instant) {
        self.take_at(deliveries, Moment::now(), earliest);
    }

    fn take_at(&mut self, deliveries: &mut Vec<Delivery>, now: Moment, earliest: Instant) {
        if deliveries.is_empty() {
            return;
        }
        if let Some(step_us) = self.taken.replace(now).and_then(|last| now.step_us(last)) {
            self.step_us = Some(step_us);
        }
        for delivery in deliveries.drain(..) {
            match delivery {
                Delivery::Skipped(skipped) => self.log.skip(skipped.reason),
                Delivery::Picture(picture) => {
                    self.run.add_picture(now.at);
                    self.store(picture, now, earliest);
                }
            }
        }
        self.status.came(now.at, self.skew_us, self.lag_us);
    }

    /// The connection ended: there is no footage from the last frame on.
    pub fn end_run(&mut self, reason: GapReason, detail: &str) {
        self.log.end_segment();
        let started_us = match self.footage {
            Footage::Going { captured_us, .. } => captured_us,
            Footage::Missing { started_us } => wall::now_us()
                .saturating_sub(self.lag_us.unwrap_or(0))
                .max(started_us),
        };
        self.open_gap(started_us, reason, detail);
    }

    /// A bug ended the connection.
    pub fn count_panic(&mut self) {
        self.status.count(|counts| counts.panics += 1);
    }

    /// No more frames will come to this recorder. Returns whether it was recording.
    pub fn finish(self) -> bool {
        self.log.end_segment();
        matches!(self.footage, Footage::Going { .. })
    }

    fn store(&mut self, picture: Picture, now: Moment, earliest: Instant) {
        if self.new_segment && !picture.keyframe {
            // Nothing before a keyframe can be shown.
            self.log.skip(SkipReason::NotPicture);
            return;
        }
        let received = Moment {
            wall_us: picture.received_us,
            at: now.at,
        };
        let is_machine = self.meets_step(now.wall_us.saturating_sub(picture.received_us));
        if is_machine {
            // What was learnt from arrivals holds no more.
            self.clock.reconnected();
        }
        if picture.keyframe && self.rotation.is_due(received.wall_us) {
            self.clock.new_segment();
            self.new_segment = true;
        }
        let reading = self.clock.read(picture.stamp, received.wall_us);
        let leap = match (is_machine, reading.stepped) {
            (true, _) => self.leap(&reading, received, Whose::Machine),
            (false, true) => self.leap(&reading, received, Whose::Camera),
            (false, false) => None,
        };
        let reading = self.begin_or_go_on(&picture, reading, leap.is_some());
        self.goes_by_arrival = reading.kind != ClockKind::Camera;
        self.skew_us = reading.skew_us;
        self.warn_of_skew(&reading);
        self.watch_stamp(picture.stamp, received);
        let came = self.came_at(&picture, now, earliest);
        let frame = self.frame(picture, &reading);
        match self.log.append_late(frame, self.new_segment, came) {
            Ok(()) => {
                self.new_segment = false;
                self.stored(&reading, received, leap);
            }
            Err(dropped) => self.dropped(dropped.reason, &reading, received),
        }
    }

    /// When the picture may have been here at the earliest: what was read just now since `earliest`, and one that the source has held back a round
    /// before it was read. Never before the last one's.
    fn came_at(&mut self, picture: &Picture, now: Moment, earliest: Instant) -> Instant {
        let held_us = now.wall_us.saturating_sub(picture.received_us);
        let held = Duration::from_micros(u64::try_from(held_us).unwrap_or(0)).min(HELD_MAX);
        let came = match held > READ_FOR {
            true => (now.at.checked_sub(held + ROUND_MAX_UNCONFIRMED))
                .map_or(earliest, |before| before.min(earliest)),
            false => earliest,
        };
        *(self.came_at).insert(self.came_at.map_or(came, |last| last.max(came)))
    }

    /// Decides whether a segment begins with this picture. Where one should and can't, because it is no keyframe, the open segment goes
    /// on until one comes, with times of arrival: what its stamps have in common is no more. A picture without a usable stamp begins none.
    fn begin_or_go_on(&mut self, picture: &Picture, reading: Reading, leapt: bool) -> Reading {
        let is_mapped_anew =
            reading.kind != ClockKind::Arrival && reading.offset_us != self.offset_us;
        self.step_pending |= reading.stepped || leapt || is_mapped_anew && !picture.keyframe;
        if picture.keyframe {
            let changed = self.parameters != picture.parameters;
            self.new_segment |= std::mem::take(&mut self.step_pending) || changed;
            if self.new_segment {
                self.parameters.clone_from(&picture.parameters);
            }
            if reading.kind == ClockKind::Arrival && !self.new_segment {
                return self.timed_by_arrival(picture, reading);
            }
            self.offset_us = reading.offset_us;
            return reading;
        }
        match self.step_pending || reading.kind == ClockKind::Arrival {
            true => self.timed_by_arrival(picture, reading),
            false => reading,
        }
    }

    /// The time of arrival, for a frame that goes into a segment whose stamps may be mapped.
    fn timed_by_arrival(&self, picture: &Picture, reading: Reading) -> Reading {
        Reading {
            captured_us: picture.received_us,
            kind: ClockKind::Arrival,
            offset_us: self.offset_us,
            ..reading
        }
    }

    /// Whether a frame of this age is the first since this machine's clock was set. Frames are held back until it is certain where they
    /// end: those that arrived before the step, and come after it, seem as old as it is wide, or come from the future.
    fn meets_step(&mut self, age_us: i64) -> bool {
        let is_after = |&step_us: &i64| match step_us > 0 {
            true => age_us < step_us / 2,
            false => age_us >= 0,
        };
        self.step_us.take_if(|step_us| is_after(step_us)).is_some()
    }

    /// Where a clock was set, whether the capture times show it: those of a camera with a good clock go on when this machine's is set.
    fn leap(&self, reading: &Reading, received: Moment, whose: Whose) -> Option<Leap> {
        let Footage::Going {
            captured_us: from_us,
            received: last,
        } = self.footage
        else {
            return None;
        };
        let lived_us = match whose {
            // The better measure, because frames are held back; but not over a step.
            Whose::Camera => received.wall_us.saturating_sub(last.wall_us).max(0),
            Whose::Machine => received.lived_us(last),
        };
        let ahead_us = reading
            .captured_us
            .saturating_sub(from_us)
            .saturating_sub(lived_us);
        (ahead_us.saturating_abs() > STEP_MIN_US).then_some(Leap {
            from_us,
            ahead_us,
            whose,
        })
    }

    fn frame(&self, picture: Picture, reading: &Reading) -> Frame {
        Frame {
            payload: picture.payload,
            codec: picture.codec,
            parameters: self.parameters.clone(),
            captured_us: reading.captured_us,
            received_us: picture.received_us,
            clock: reading.kind,
            offset_us: reading.offset_us,
            keyframe: picture.keyframe,
            complete: picture.complete,
        }
    }

    fn stored(&mut self, reading: &Reading, received: Moment, leap: Option<Leap>) {
        let captured_us = reading.captured_us;
        let was_dropping = std::mem::take(&mut self.dropping);
        if let Footage::Missing { .. } = self.footage {
            self.log.close_gap(captured_us);
            self.status.set_gap(captured_us, None);
        } else if was_dropping {
            self.status.set_gap(captured_us, None);
        }
        if let Some(leap) = leap
            && let Some((from_us, to_us)) = self.reached.missed(&leap, captured_us)
        {
            let (since_us, reason, detail) = &self.missed;
            // Behind a first picture that is from before the gap, the gap goes on.
            let is_first = leap.whose == Whose::Camera
                && self.run.healthy < OLD_PICTURE_FOR
                && from_us.saturating_sub(*since_us) < STEP_MIN_US;
            match is_first {
                true => self.log.record_gap(from_us, to_us, *reason, detail),
                false => {
                    let reason = GapReason::ClockStepped;
                    self.log.record_gap(from_us, to_us, reason, &leap.detail());
                }
            }
        }
        self.came(captured_us, received);
    }

    /// The store counts what it drops and keeps the gap, up to here; what comes after has another reason.
    fn dropped(&mut self, reason: GapReason, reading: &Reading, received: Moment) {
        self.came(reading.captured_us, received);
        if !self.dropping {
            self.dropping = true;
            self.show_gap(reading.captured_us, reason, "frames are dropped");
        }
    }

    fn came(&mut self, captured_us: i64, received: Moment) {
        self.lag_us = Some(received.wall_us.saturating_sub(captured_us));
        self.footage = Footage::Going {
            captured_us,
            received,
        };
    }

    fn watch_stamp(&mut self, stamp: Stamp, received: Moment) {
        let Some(still) = &mut self.still else { return };
        // Of a camera that sends none, none stands still.
        let since_us = still
            .observe(stamp, received.wall_us, received.at)
            .filter(|_| stamp != Stamp::default());
        match (self.log.set_still_stamp(since_us), since_us) {
            (None, Some(_)) => tracing::warn!(
                "camera's stamp stands still; restart it, or set timestamps = \"arrival\" if it always does"
            ),
            (Some(_), None) => tracing::info!("camera's stamp moves again"),
            _ => {}
        }
    }

    fn open_gap(&mut self, started_us: i64, reason: GapReason, detail: &str) {
        self.log.open_gap(started_us, reason, detail);
        self.footage = Footage::Missing { started_us };
        self.missed = (started_us, reason, detail.to_owned());
        self.dropping = false;
        self.show_gap(started_us, reason, detail);
    }

    fn show_gap(&self, since_us: i64, reason: GapReason, detail: &str) {
        let detail = detail.to_owned();
        let reason = reason.into();
        self.status.set_gap(since_us, Some(Gap { reason, detail }));
    }

    fn warn_of_skew(&mut self, reading: &Reading) {
        let Some(skew_us) = reading.skew_us else {
            return;
        };
        if skew_us.saturating_abs() > SKEW_WARN_US && !self.skew_warned {
            self.skew_warned = true;
            tracing::warn!(
                skew_ms = skew_us / 1000,
                "camera's clock is off; set its time server"
            );
        }
    }
}

impl Run {
    fn add_picture(&mut self, now: Instant) {
        self.pictures += 1;
        let first = *self.first.get_or_insert(now);
        self.healthy = now.saturating_duration_since(first);
    }
}

#[cfg(test)]
mod tests;
