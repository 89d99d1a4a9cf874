//! One camera's frames to segments and gaps: where rotation is decided and every part is accounted for. Not for connecting, nor
//! for what a pause should be: that is the supervisor's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use framelog_core::clock::{Clock, Reading};
use framelog_core::frame::{Codec, Frame};
use framelog_core::gap::GapReason;
use framelog_store::CameraLog;

use crate::config::Camera;
use crate::source::{Delivery, Picture};
use crate::status::{CameraStatus, Counts, Gap};
use crate::wall;

mod rotation;

use rotation::Rotation;

/// A capture time that runs ahead of the arrivals by more than this leaves a hole that nobody lived through.
const STEP_MIN_US: i64 = 2_000_000;

/// A camera whose clock is more than this off is worth a warning.
const SKEW_WARN_US: i64 = 2_000_000;

/// See the module.
#[derive(Debug)]
pub struct Recorder {
    log: CameraLog,
    status: Arc<CameraStatus>,
    clock: Clock,
    rotation: Rotation,
    new_segment: bool,
    footage: Footage,
    /// Of the last frame: received − captured. Gaps lie on the camera's own time line, between its frames.
    lag_us: i64,
    dropping: bool,
    skew_warned: bool,
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
    Going { captured_us: i64, received_us: i64 },
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
        let mut recorder = Self {
            log,
            status,
            clock: Clock::new(camera.timestamps, max_skew_us),
            rotation: Rotation::new(segment, &camera.name),
            new_segment: true,
            footage: Footage::Missing { started_us },
            lag_us: 0,
            dropping: false,
            skew_warned: false,
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
        self.clock.reconnected();
    }

    /// The camera has answered.
    pub fn connected(&mut self) {
        self.status
            .count(Instant::now(), |counts| counts.connections += 1);
    }

    /// What this connection has given.
    pub fn run(&self) -> Run {
        self.run
    }

    /// Waits while the disk is behind, so that the network holds the camera back.
    pub async fn wait_for_room(&self) {
        self.log.wait_for_room().await;
    }

    /// Stores what a source gave, in order, and leaves `deliveries` empty.
    pub fn take(&mut self, deliveries: &mut Vec<Delivery>) {
        if deliveries.is_empty() {
            return;
        }
        let now = Instant::now();
        let mut counts = Counts::default();
        for delivery in deliveries.drain(..) {
            match delivery {
                Delivery::Skipped(skipped) => counts.skip(skipped.reason),
                Delivery::Picture(picture) => {
                    counts.take_picture();
                    self.run.add_picture(now);
                    self.store(picture);
                }
            }
        }
        self.status.count(now, |total| total.add(&counts));
    }

    /// The connection ended: there is no footage from the last frame on.
    pub fn end_run(&mut self, reason: GapReason, detail: &str) {
        self.log.end_segment();
        let started_us = match self.footage {
            Footage::Going { captured_us, .. } => captured_us,
            Footage::Missing { started_us } => {
                wall::now_us().saturating_sub(self.lag_us).max(started_us)
            }
        };
        self.open_gap(started_us, reason, detail);
    }

    /// A bug ended the connection.
    pub fn count_panic(&mut self) {
        self.status
            .count(Instant::now(), |counts| counts.panics += 1);
    }

    /// No more frames will come to this recorder. Returns whether it was recording.
    pub fn finish(self) -> bool {
        self.log.end_segment();
        matches!(self.footage, Footage::Going { .. })
    }

    fn store(&mut self, picture: Picture) {
        if self.rotation.is_due(picture.received_us) {
            self.clock.new_segment();
            self.new_segment = true;
        }
        let received_us = picture.received_us;
        let reading = self.clock.read(picture.stamp, received_us);
        self.new_segment |= reading.stepped;
        self.warn_of_skew(&reading);
        match self.log.append(frame(picture, &reading), self.new_segment) {
            Ok(()) => {
                self.new_segment = false;
                self.stored(&reading, received_us);
            }
            Err(dropped) => self.dropped(dropped.reason, &reading, received_us),
        }
    }

    fn stored(&mut self, reading: &Reading, received_us: i64) {
        let captured_us = reading.captured_us;
        if std::mem::take(&mut self.dropping) {
            self.status.set_gap(None);
        }
        match self.footage {
            Footage::Missing { .. } => {
                self.log.close_gap(captured_us);
                self.status.set_gap(None);
            }
            Footage::Going {
                captured_us: last_captured_us,
                received_us: last_received_us,
            } => {
                let lived_us = received_us.saturating_sub(last_received_us);
                let jumped_us = captured_us.saturating_sub(last_captured_us);
                if reading.stepped && is_hole(jumped_us, lived_us) {
                    let detail = format!(
                        "the camera's clock went forward by {} ms",
                        jumped_us.saturating_sub(lived_us) / 1000
                    );
                    self.log.record_gap(
                        last_captured_us,
                        captured_us,
                        GapReason::ClockStepped,
                        &detail,
                    );
                }
            }
        }
        self.came(captured_us, received_us);
    }

    /// The store counts what it drops and keeps the gap, up to here; what comes after has another reason.
    fn dropped(&mut self, reason: GapReason, reading: &Reading, received_us: i64) {
        self.came(reading.captured_us, received_us);
        if !self.dropping {
            self.dropping = true;
            self.show_gap(reason, "frames are dropped");
        }
    }

    fn came(&mut self, captured_us: i64, received_us: i64) {
        self.lag_us = received_us.saturating_sub(captured_us);
        self.footage = Footage::Going {
            captured_us,
            received_us,
        };
    }

    fn open_gap(&mut self, started_us: i64, reason: GapReason, detail: &str) {
        self.log.open_gap(started_us, reason, detail);
        self.footage = Footage::Missing { started_us };
        self.dropping = false;
        self.show_gap(reason, detail);
    }

    fn show_gap(&self, reason: GapReason, detail: &str) {
        self.status.set_gap(Some(Gap {
            reason,
            detail: detail.to_owned(),
        }));
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

/// Whether capture times jumped ahead of the time that passed.
fn is_hole(jumped_us: i64, lived_us: i64) -> bool {
    jumped_us.saturating_sub(lived_us.max(0)) > STEP_MIN_US
}

fn frame(picture: Picture, reading: &Reading) -> Frame {
    Frame {
        payload: picture.payload,
        codec: Codec::Mjpeg,
        captured_us: reading.captured_us,
        received_us: picture.received_us,
        clock: reading.kind,
        offset_us: reading.offset_us,
        keyframe: true,
        complete: picture.complete,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_jump_ahead_of_the_time_that_passed_is_a_hole() {
        assert!(is_hole(3_600_000_000, 100_000));
        assert!(is_hole(3_600_000_000, -5));
        assert!(!is_hole(1_900_000, 100_000));
        assert!(!is_hole(8_000_000, 8_000_000));
        assert!(!is_hole(-3_600_000_000, 100_000));
        assert!(!is_hole(i64::MIN, i64::MAX));
    }

    #[test]
    fn healthy_time_runs_from_the_first_picture_to_the_last() {
        let start = Instant::now();
        let mut run = Run::default();
        run.add_picture(start);
        assert_eq!((run.pictures, run.healthy), (1, Duration::ZERO));
        run.add_picture(start + Duration::from_secs(7));
        assert_eq!((run.pictures, run.healthy), (2, Duration::from_secs(7)));
    }
}
