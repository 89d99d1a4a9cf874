//! One camera's frames to segments and gaps: where rotation is decided and every part is accounted for. Not for connecting, nor
//! for what a pause should be: that is the supervisor's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use framelog_core::clock::{Clock, Reading, TimestampMode};
use framelog_core::frame::{Codec, Frame};
use framelog_core::frozen::Frozen;
use framelog_core::gap::GapReason;
use framelog_core::timestamp::Stamp;
use framelog_store::CameraLog;

use crate::clock_watch::{Moment, STEP_MIN_US};
use crate::config::Camera;
use crate::source::{Delivery, Picture};
use crate::status::{CameraStatus, Gap};
use crate::wall;

mod rotation;

use rotation::Rotation;

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
    skew_us: Option<i64>,
    skew_warned: bool,
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

/// Capture times that didn't go on as time did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Leap {
    /// Of the frame before it.
    from_us: i64,
    /// How far ahead of the time that passed; negative: back.
    ahead_us: i64,
    whose: Whose,
}

/// Whose clock was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Camera,
    Machine,
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
            footage: Footage::Missing { started_us },
            lag_us: 0,
            dropping: false,
            skew_us: None,
            skew_warned: false,
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
        self.clock.reconnected();
    }

    /// The camera has answered.
    pub fn connected(&mut self) {
        self.status.count(|counts| counts.connections += 1);
    }

    /// What this connection has given.
    pub fn run(&self) -> Run {
        self.run
    }

    /// Waits while the disk is behind, so that the network holds the camera back.
    pub async fn wait_for_room(&self) {
        self.log.wait_for_room().await;
    }

    /// Stores what a source gave just now, in order, and leaves `deliveries` empty.
    pub fn take(&mut self, deliveries: &mut Vec<Delivery>) {
        self.take_at(deliveries, Moment::now());
    }

    fn take_at(&mut self, deliveries: &mut Vec<Delivery>, now: Moment) {
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
                    self.store(picture, now);
                }
            }
        }
        self.status.came(now.at, self.skew_us);
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
        self.status.count(|counts| counts.panics += 1);
    }

    /// No more frames will come to this recorder. Returns whether it was recording.
    pub fn finish(self) -> bool {
        self.log.end_segment();
        matches!(self.footage, Footage::Going { .. })
    }

    fn store(&mut self, picture: Picture, now: Moment) {
        let received = Moment {
            wall_us: picture.received_us,
            at: now.at,
        };
        let is_machine = self.meets_step(now.wall_us.saturating_sub(picture.received_us));
        if is_machine {
            // What was learnt from arrivals holds no more.
            self.clock.reconnected();
        }
        if self.rotation.is_due(received.wall_us) {
            self.clock.new_segment();
            self.new_segment = true;
        }
        let reading = self.clock.read(picture.stamp, received.wall_us);
        let leap = match (is_machine, reading.stepped) {
            (true, _) => self.leap(&reading, received, Whose::Machine),
            (false, true) => self.leap(&reading, received, Whose::Camera),
            (false, false) => None,
        };
        self.new_segment |= reading.stepped || leap.is_some();
        self.skew_us = reading.skew_us;
        self.warn_of_skew(&reading);
        self.watch_stamp(picture.stamp, received);
        match self.log.append(frame(picture, &reading), self.new_segment) {
            Ok(()) => {
                self.new_segment = false;
                self.stored(&reading, received, leap);
            }
            Err(dropped) => self.dropped(dropped.reason, &reading, received),
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

    fn stored(&mut self, reading: &Reading, received: Moment, leap: Option<Leap>) {
        let captured_us = reading.captured_us;
        let was_dropping = std::mem::take(&mut self.dropping);
        if let Footage::Missing { .. } = self.footage {
            self.log.close_gap(captured_us);
            self.status.set_gap(captured_us, None);
        } else if was_dropping {
            self.status.set_gap(captured_us, None);
        }
        // Only ahead is there a span that nobody lived through.
        if let Some(leap) = leap.filter(|leap| leap.ahead_us > 0) {
            self.log.record_gap(
                leap.from_us,
                captured_us,
                GapReason::ClockStepped,
                &leap.detail(),
            );
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
        self.lag_us = received.wall_us.saturating_sub(captured_us);
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
        self.dropping = false;
        self.show_gap(started_us, reason, detail);
    }

    fn show_gap(&self, since_us: i64, reason: GapReason, detail: &str) {
        let detail = detail.to_owned();
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

impl Leap {
    fn detail(&self) -> String {
        let whose = match self.whose {
            Whose::Camera => "the camera's",
            Whose::Machine => "this machine's",
        };
        format!("{whose} clock went forward by {} ms", self.ahead_us / 1000)
    }
}

fn frame(picture: Picture, reading: &Reading) -> Frame {
    Frame {
        payload: picture.payload,
        codec: Codec::Mjpeg,
        parameters: None,
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
    use framelog_store::query::GapRow;
    use framelog_store::{Options, Reader, Store};

    use super::*;
    use crate::config::url::CameraUrl;
    use crate::status::Status;

    const NOW: i64 = 1_700_000_000_000_000;
    const SECOND: i64 = 1_000_000;

    /// A frame, in seconds.
    struct Came {
        /// Since the first, by the clock that nobody sets, when it is handed over.
        lived: u64,
        /// By the machine's clock then.
        wall: i64,
        /// By the machine's clock, when it arrived.
        received: i64,
        stamp: Option<i64>,
    }

    /// What is in the index after frames, a second apart, of which each came at this second by the machine's clock, with this stamp.
    async fn recorded(frames: &[(i64, Option<i64>)]) -> (Vec<i64>, usize, Vec<GapRow>) {
        let came = (0..).zip(frames).map(|(lived, &(wall, stamp))| Came {
            lived,
            wall,
            received: wall,
            stamp,
        });
        left(came.collect()).await
    }

    /// Capture times in order of arrival, number of segments, gaps where a clock was set.
    async fn left(frames: Vec<Came>) -> (Vec<i64>, usize, Vec<GapRow>) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(Options {
            sync: Duration::from_secs(1),
            ..Options::new(dir.path().to_owned())
        })
        .await
        .unwrap();
        let camera = Camera::new("gate", CameraUrl::parse("http://gate/").unwrap().0);
        let mut recorder = Recorder::new(
            &camera,
            Duration::from_secs(100 * 86_400),
            store.camera("gate").await.unwrap(),
            Status::default().camera("gate"),
            false,
            NOW,
        );
        recorder.begin_run();
        let start = Instant::now();
        for came in frames {
            let picture = Picture {
                payload: bytes::Bytes::from_static(b"picture").into(),
                headers: Default::default(),
                stamp: Stamp {
                    stamp_us: came.stamp.map(|second| second * SECOND),
                    ..Stamp::default()
                },
                received_us: NOW + came.received * SECOND,
                complete: true,
            };
            let now = Moment {
                wall_us: NOW + came.wall * SECOND,
                at: start + Duration::from_secs(came.lived),
            };
            recorder.take_at(&mut vec![Delivery::Picture(picture)], now);
        }
        recorder.finish();
        store.close().await.unwrap();
        let reader = Reader::open(dir.path()).await.unwrap();
        let (from, to) = (i64::MIN, i64::MAX);
        let mut captured: Vec<_> = reader.frames("gate", from, to, None, 100).await.unwrap();
        captured.sort_by_key(|frame| (frame.segment_id, frame.offset));
        let captured = captured.iter().map(|frame| frame.captured_us - NOW);
        let segments = reader.segments(None, from, to).await.unwrap().len();
        let mut gaps = reader.gaps(None, from, to).await.unwrap();
        gaps.retain(|gap| gap.reason == "clock_stepped");
        (captured.map(|us| us / SECOND).collect(), segments, gaps)
    }

    fn span(gap: &GapRow) -> (i64, i64) {
        let ended_us = gap.ended_us.unwrap();
        ((gap.started_us - NOW) / SECOND, (ended_us - NOW) / SECOND)
    }

    #[tokio::test]
    async fn machine_whose_clock_leaps_forward_has_a_gap_where_the_times_are_its_own() {
        let walls = [0, 1, 2, 3_603, 3_604];
        let (captured, segments, gaps) = recorded(&walls.map(|wall| (wall, None))).await;
        assert_eq!(captured, walls, "no frame is lost");
        assert_eq!(segments, 2);
        assert_eq!(gaps.iter().map(span).collect::<Vec<_>>(), [(2, 3_603)]);
        assert_eq!(
            gaps[0].detail,
            "this machine's clock went forward by 3600000 ms"
        );
    }

    #[tokio::test]
    async fn machine_whose_clock_is_set_back_begins_a_segment_and_loses_no_frame() {
        let walls = [100, 101, 102, 98, 99, 100];
        let (captured, segments, gaps) = recorded(&walls.map(|wall| (wall, None))).await;
        assert_eq!((captured, segments), (walls.to_vec(), 2));
        assert_eq!(gaps, [], "each moment was lived through");
    }

    #[tokio::test]
    async fn camera_with_a_good_clock_is_left_alone_when_the_machines_is_set() {
        for step in [-30, 30, 300] {
            let frames = [0, 1, 2, 3, 4, 5].map(|second| {
                let wall = second + if second < 3 { 0 } else { step };
                (wall, Some(NOW / SECOND + second))
            });
            let (captured, segments, gaps) = recorded(&frames).await;
            assert_eq!((captured, segments), (vec![0, 1, 2, 3, 4, 5], 1), "{step}");
            assert_eq!(gaps, [], "{step}");
        }
    }

    #[tokio::test]
    async fn camera_that_sends_uptime_follows_the_machines_clock_at_once() {
        let frames = [0, 1, 2, 33, 34].map(|wall| (wall, Some(500 + wall % 30)));
        let (captured, segments, gaps) = recorded(&frames).await;
        assert_eq!((captured, segments), (vec![0, 1, 2, 33, 34], 2));
        assert_eq!(gaps.iter().map(span).collect::<Vec<_>>(), [(2, 33)]);
    }

    /// Handed over at `lived`, when the machine's clock said `wall`; arrived when it said `received`.
    fn held(frames: &[(u64, i64, i64)]) -> Vec<Came> {
        let came = |&(lived, wall, received)| Came {
            lived,
            wall,
            received,
            stamp: None,
        };
        frames.iter().map(came).collect()
    }

    #[tokio::test]
    async fn frames_that_were_held_back_are_no_step() {
        let frames = [(0, 0, 0), (9, 9, 1), (9, 9, 9), (10, 10, 10)];
        let (captured, segments, gaps) = left(held(&frames)).await;
        assert_eq!((captured, segments), (vec![0, 1, 9, 10], 1));
        assert_eq!(gaps, []);
    }

    #[tokio::test]
    async fn step_is_found_behind_a_frame_that_was_held_back_over_it() {
        for step in [100, -100] {
            let now = 4 + step;
            let frames = [
                (0, 0, 0),
                (1, 1, 1),
                (4, now, 2),
                (4, now, now),
                (5, now + 1, now + 1),
            ];
            let (captured, segments, gaps) = left(held(&frames)).await;
            assert_eq!((captured, segments), (vec![0, 1, 2, now, now + 1], 2));
            let expected = if step > 0 { vec![(2, now)] } else { vec![] };
            assert_eq!(gaps.iter().map(span).collect::<Vec<_>>(), expected);
        }
    }

    #[tokio::test]
    async fn camera_whose_clock_leaps_forward_has_a_gap() {
        let frames = [0, 1, 2, 3, 4].map(|second| {
            let stamp = second + if second < 3 { 0 } else { 60 };
            (second, Some(NOW / SECOND + stamp))
        });
        let (captured, segments, gaps) = recorded(&frames).await;
        assert_eq!((captured, segments), (vec![0, 1, 2, 63, 64], 2));
        assert_eq!(gaps.iter().map(span).collect::<Vec<_>>(), [(2, 63)]);
        assert_eq!(
            gaps[0].detail,
            "the camera's clock went forward by 60000 ms"
        );
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
