//! What each camera is doing: written by the camera's task, read by the web server and at the end.
//! Not for history: that is the index's.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use framelog_core::gap::GapReason;
use framelog_store::{CameraLog, Counters, Keeping, Losing, Rules, Still, wall};

use crate::pace::{Pace, Rate};
use crate::reload::{Outcome, Reload};

/// The storage, and all cameras that were configured since it was opened.
#[derive(Debug, Default)]
pub struct Status {
    began: OnceLock<(PathBuf, i64)>,
    recorder: Mutex<Option<Recorder>>,
    limits: Mutex<Option<(Keeping, Rules)>>,
    rows_waiting: AtomicU64,
    index_cycles: Mutex<Option<Arc<AtomicU64>>>,
    reload: Mutex<Option<Reload>>,
    clock_steps: AtomicU64,
    cameras: Mutex<BTreeMap<String, Arc<CameraStatus>>>,
    no_storage: Mutex<Option<NoStorage>>,
}

/// Why nothing can be recorded at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoStorage {
    /// In words.
    pub why: String,
    /// `NoStorage`; where the directory is there and recording can't begin in it, what it is then.
    pub reason: Reason,
}

/// Why a camera has no footage, as it is told while that lasts. The index says `disk_full` of all that keeps frames from the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// As in the index.
    Gap(GapReason),
    /// The disk can only be read.
    ReadOnly,
    /// The disk takes nothing, and neither for lack of room nor because it can only be read.
    DiskFails,
    /// The storage directory is not there.
    NoStorage,
}

impl Reason {
    /// The name, as printed.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Gap(reason) => reason.name(),
            Reason::ReadOnly => "read_only",
            Reason::DiskFails => "disk_fails",
            Reason::NoStorage => "no_storage",
        }
    }

    /// Why frames can't be written.
    fn of_losing(losing: &Losing) -> Self {
        match losing.kind {
            kind if framelog_store::is_full(kind) => Reason::Gap(GapReason::DiskFull),
            ErrorKind::ReadOnlyFilesystem => Reason::ReadOnly,
            _ => Reason::DiskFails,
        }
    }
}

impl From<GapReason> for Reason {
    fn from(reason: GapReason) -> Self {
        Reason::Gap(reason)
    }
}

/// Who records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorder {
    /// Of the storage directory; empty until it has one.
    pub uuid: String,
    /// The storage directory.
    pub path: PathBuf,
    /// Since when it runs there, microseconds since the Unix epoch.
    pub since_us: i64,
}

/// One camera, over all its connections and configurations.
#[derive(Debug, Default)]
pub struct CameraStatus {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    is_configured: bool,
    expected: Option<Expected>,
    gap: Option<Gap>,
    since_us: i64,
    ended: Option<EndedGap>,
    counts: Counts,
    log: Option<CameraLog>,
    latest: Latest,
    pace: Pace,
}

/// What is looked at with each frame.
#[derive(Debug, Default)]
struct Latest {
    skew_us: Option<i64>,
    lag_us: Option<i64>,
    stored_frames: u64,
    stored_at: Option<Instant>,
    was_losing: bool,
}

/// That footage is expected of a camera: since when, and how long it may be without a stored frame.
#[derive(Clone, Copy, Debug)]
struct Expected {
    since: Instant,
    silence_max: Duration,
}

/// A gap whose end was a frame that may not have reached a file yet.
#[derive(Debug)]
struct EndedGap {
    gap: Gap,
    since_us: i64,
    at: Instant,
}

/// Why a camera has no footage at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// In a word.
    pub reason: Reason,
    /// In words, without credentials.
    pub detail: String,
}

/// What happened with a camera since the daemon started, beside its parts: those the store counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that gave an answer.
    pub connections: u64,
    /// Panics of the camera's task, each a bug in framelog.
    pub panics: u64,
}

/// One camera at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Camera name.
    pub name: String,
    /// Whether it is in the configuration.
    pub is_configured: bool,
    /// Whether it is configured and enabled.
    pub enabled: bool,
    /// Why there is no footage; `None` while recording.
    pub gap: Option<Gap>,
    /// Since when there is none, or is some: microseconds since the Unix epoch.
    pub since_us: i64,
    /// Since the last frame in a file, or since the camera was started if there is none yet.
    pub silent_for: Duration,
    /// How long that may be.
    pub silence_max: Duration,
    /// Its connections.
    pub counts: Counts,
    /// What became of its parts.
    pub stored: Counters,
    /// Capture time of its last frame, microseconds.
    pub last_captured_us: Option<i64>,
    /// Its clock minus ours, microseconds, where it sends the time.
    pub skew_us: Option<i64>,
    /// From the capture of its last frame to its arrival, microseconds.
    pub lag_us: Option<i64>,
    /// What reached the disk in each second of late.
    pub rate: Option<Rate>,
    /// What stands still although frames come, and since when, microseconds.
    pub still: Option<(Still, i64)>,
    /// Frames come and can't be written.
    pub losing: Option<Losing>,
}

impl Snapshot {
    /// Whether a camera that should record doesn't.
    pub fn is_failing(&self) -> bool {
        self.enabled && (self.losing.is_some() || self.silent_for > self.silence_max)
    }

    /// Why no footage is being made of it, in words too; `None` if some is.
    pub fn missing(&self) -> Option<(Reason, &str)> {
        match (&self.gap, &self.losing) {
            (Some(gap), _) => Some((gap.reason, &gap.detail)),
            (None, Some(losing)) => Some((Reason::of_losing(losing), &losing.detail)),
            (None, None) if self.is_failing() => Some((
                Reason::Gap(GapReason::DiskSlow),
                "no frame has reached the disk",
            )),
            (None, None) => None,
        }
    }
}

impl Status {
    /// The recorder starts, with this storage directory.
    pub fn starts(&self, path: PathBuf) {
        // Once in a process.
        let _ = self.began.set((path, wall::now_us()));
    }

    /// As [`Status::starts`] has it.
    pub fn path(&self) -> Option<&PathBuf> {
        self.began.get().map(|(path, _)| path)
    }

    /// When [`Status::starts`] was called, microseconds since the Unix epoch.
    pub fn began_us(&self) -> Option<i64> {
        self.began.get().map(|(_, began_us)| *began_us)
    }

    /// How many frames are in files and not yet in the index.
    pub fn set_rows_waiting(&self, rows: u64) {
        self.rows_waiting.store(rows, Relaxed);
    }

    /// As [`Status::set_rows_waiting`] has it.
    pub fn rows_waiting(&self) -> u64 {
        self.rows_waiting.load(Relaxed)
    }

    /// What counts the cycles of the index that is open; `None` when it is closed.
    pub fn set_index_cycles(&self, cycles: Option<Arc<AtomicU64>>) {
        *lock(&self.index_cycles) = cycles;
    }

    /// How many cycles the index that is open has made.
    pub fn index_cycles(&self) -> Option<u64> {
        lock(&self.index_cycles)
            .as_ref()
            .map(|cycles| cycles.load(Relaxed))
    }

    /// The configuration was read again.
    pub fn set_reload(&self, reload: Reload) {
        *lock(&self.reload) = Some(reload);
    }

    /// It is recorded as the last reload said, if that had to wait for the storage.
    pub fn reload_waits_no_more(&self) {
        let mut reload = lock(&self.reload);
        if let Some(waiting) = reload.take_if(|reload| reload.outcome == Outcome::Waiting) {
            *reload = Some(waiting.ended(Outcome::Applied));
        }
    }

    /// What became of the last reload.
    pub fn reload(&self) -> Option<Reload> {
        lock(&self.reload).clone()
    }

    /// This machine's clock was set.
    pub fn count_clock_step(&self) {
        self.clock_steps.fetch_add(1, Relaxed);
    }

    /// How often [`Status::count_clock_step`] was called.
    pub fn clock_steps(&self) -> u64 {
        self.clock_steps.load(Relaxed)
    }

    /// How much footage there is, and which may go.
    pub fn set_limits(&self, keeping: Keeping, rules: Rules) {
        *lock(&self.limits) = Some((keeping, rules));
    }

    /// As [`Status::set_limits`] has it.
    pub fn limits(&self) -> Option<(Keeping, Rules)> {
        lock(&self.limits).clone()
    }

    /// The recorder has opened its storage directory.
    pub fn opened(&self, recorder: Recorder) {
        *lock(&self.recorder) = Some(recorder);
    }

    /// Who records, once that is known.
    pub fn recorder(&self) -> Option<Recorder> {
        lock(&self.recorder).clone()
    }

    /// The status of a camera, made when it is asked for first.
    pub fn camera(&self, name: &str) -> Arc<CameraStatus> {
        Arc::clone(lock(&self.cameras).entry(name.to_owned()).or_default())
    }

    /// Why nothing can be recorded at all, if so: the storage directory is not there, or can't be written.
    pub fn set_no_storage(&self, no_storage: Option<NoStorage>) {
        *lock(&self.no_storage) = no_storage;
    }

    /// As [`Status::set_no_storage`] has it.
    pub fn no_storage(&self) -> Option<NoStorage> {
        lock(&self.no_storage).clone()
    }

    /// Begins anew, without cameras: their counts belong to a store that is closed.
    pub fn forget_cameras(&self) {
        lock(&self.cameras).clear();
    }

    /// Remembers what each camera has stored by now: its rate is taken from that.
    pub fn sample(&self, now: Instant) {
        lock(&self.cameras)
            .values()
            .for_each(|camera| camera.sample(now));
    }

    /// All cameras, by name.
    pub fn snapshots(&self, now: Instant) -> Vec<Snapshot> {
        lock(&self.cameras)
            .iter()
            .map(|(name, camera)| camera.snapshot(name, now))
            .collect()
    }
}

impl CameraStatus {
    /// From `now` on footage is expected, with at most `silence_max` between stored frames; its frames go to `log`. Where footage was expected
    /// before, it is missing since then: another configuration is no frame.
    pub fn expect(&self, log: CameraLog, silence_max: Duration, now: Instant) {
        let mut inner = lock(&self.inner);
        inner.latest.stored_frames = log.counters().stored_frames;
        inner.log = Some(log);
        inner.is_configured = true;
        let since = inner.expected.map_or(now, |expected| expected.since);
        inner.expected = Some(Expected { since, silence_max });
    }

    /// No footage is expected: disabled, if it `is_configured`, or removed.
    pub fn expect_nothing(&self, is_configured: bool) {
        let mut inner = lock(&self.inner);
        inner.expected = None;
        inner.latest.stored_at = None;
        inner.is_configured = is_configured;
    }

    /// Whether footage is being made, or why not, since `since_us`. One reason after the other is one span without footage.
    pub fn set_gap(&self, since_us: i64, gap: Option<Gap>) {
        let mut inner = lock(&self.inner);
        let is_missing = |gap: &Option<Gap>| {
            gap.as_ref()
                .is_some_and(|gap| gap.reason != Reason::Gap(GapReason::Disabled))
        };
        let was_since_us = inner.since_us;
        if !(is_missing(&inner.gap) && is_missing(&gap)) {
            inner.since_us = since_us;
        }
        if gap.is_none()
            && let Some(gap) = inner.gap.take()
        {
            let at = Instant::now();
            inner.ended = Some(EndedGap {
                gap,
                since_us: was_since_us,
                at,
            });
            let counters = inner.log.as_ref().map(CameraLog::counters);
            inner.pace.restart(at, &counters.unwrap_or_default());
        }
        inner.gap = gap;
    }

    /// Counts what happened with the camera.
    pub fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut lock(&self.inner).counts);
    }

    /// Something came at `now`, with this skew of the camera's clock, and this lag of the last frame: looks whether frames have reached a file.
    pub fn came(&self, now: Instant, skew_us: Option<i64>, lag_us: Option<i64>) {
        let mut inner = lock(&self.inner);
        inner.latest.skew_us = skew_us;
        inner.latest.lag_us = lag_us;
        inner.look(now);
    }

    fn sample(&self, now: Instant) {
        let mut inner = lock(&self.inner);
        if let Some(counters) = inner.log.as_ref().map(CameraLog::counters) {
            inner.pace.sample(now, &counters);
        }
    }

    fn snapshot(&self, name: &str, now: Instant) -> Snapshot {
        let mut inner = lock(&self.inner);
        inner.look(now);
        let stored = inner
            .log
            .as_ref()
            .map(CameraLog::counters)
            .unwrap_or_default();
        let heard = inner
            .latest
            .stored_at
            .or(inner.expected.map(|expected| expected.since));
        let silent_for = heard.map_or(Duration::ZERO, |heard| now.saturating_duration_since(heard));
        let silence_max = (inner.expected).map_or(Duration::MAX, |expected| expected.silence_max);
        let losing = inner.log.as_ref().and_then(CameraLog::losing);
        // While its first frame is on the way to a file, it is still missing for the same reason.
        let ended = inner.ended.as_ref().filter(|ended| {
            let has_ended_for = now.saturating_duration_since(ended.at);
            inner.gap.is_none() && losing.is_none() && has_ended_for <= silence_max
        });
        let (gap, since_us) = match ended.filter(|_| silent_for > silence_max) {
            Some(ended) => (Some(ended.gap.clone()), ended.since_us),
            None => (inner.gap.clone(), inner.since_us),
        };
        Snapshot {
            name: name.to_owned(),
            is_configured: inner.is_configured,
            enabled: inner.expected.is_some(),
            gap,
            since_us,
            silent_for,
            silence_max,
            counts: inner.counts,
            rate: inner.pace.rate(now, &stored),
            stored,
            last_captured_us: inner.log.as_ref().and_then(CameraLog::last_captured_us),
            skew_us: inner.latest.skew_us,
            lag_us: inner.latest.lag_us,
            still: inner.log.as_ref().and_then(CameraLog::still),
            losing,
        }
    }
}

impl Inner {
    /// Looks whether frames have reached a file since the last look, and whether they can again.
    fn look(&mut self, now: Instant) {
        let (Some(log), latest) = (&self.log, &mut self.latest) else {
            return;
        };
        let is_losing = log.losing().is_some();
        if std::mem::replace(&mut latest.was_losing, is_losing) && !is_losing {
            self.since_us = log.last_captured_us().unwrap_or(self.since_us);
        }
        let stored_frames = log.counters().stored_frames;
        if stored_frames > latest.stored_frames {
            latest.stored_frames = stored_frames;
            latest.stored_at = Some(now);
        }
    }
}

/// Each value behind a lock here is whole between statements: a panic elsewhere leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use framelog_core::clock::ClockKind;
    use framelog_core::frame::{Codec, Frame};

    use super::*;

    #[test]
    fn one_reason_after_the_other_is_one_span_without_footage() {
        let status = Status::default();
        let camera = status.camera("gate");
        let since = |at_us: i64, reason: Option<GapReason>| {
            let detail = String::new();
            let gap = reason.map(|reason| Gap {
                reason: reason.into(),
                detail,
            });
            camera.set_gap(at_us, gap);
            status.snapshots(Instant::now())[0].since_us
        };
        assert_eq!(since(1, Some(GapReason::Disabled)), 1);
        assert_eq!(since(2, Some(GapReason::Starting)), 2);
        assert_eq!(since(3, Some(GapReason::Unreachable)), 2);
        assert_eq!(since(4, None), 4);
        assert_eq!(since(5, Some(GapReason::Stalled)), 5);
    }

    #[test]
    fn a_reload_that_had_to_wait_is_done_once_the_storage_is_there() {
        let status = Status::default();
        for (was, is) in [
            (Outcome::Waiting, Outcome::Applied),
            (Outcome::Refused, Outcome::Refused),
            (Outcome::Failed, Outcome::Failed),
        ] {
            status.set_reload(Reload::now(was));
            status.reload_waits_no_more();
            assert_eq!(status.reload().unwrap().outcome, is);
        }
    }

    #[tokio::test]
    async fn another_configuration_is_no_frame() {
        let dir = tempfile::tempdir().unwrap();
        let options = framelog_store::Options::new(dir.path().to_owned());
        let store = framelog_store::Store::open(options).await.unwrap();
        let log = store.camera("gate").unwrap();
        let status = Status::default();
        let camera = status.camera("gate");
        let (begin, most) = (Instant::now(), Duration::from_secs(15));
        let after = |seconds: u64| begin + Duration::from_secs(seconds);
        let is_failing = |seconds| status.snapshots(after(seconds))[0].is_failing();
        camera.expect(log.clone(), most, begin);
        assert!(!is_failing(15) && is_failing(16));
        camera.expect(log.clone(), most, after(16));
        assert!(is_failing(17), "it has not recorded since the beginning");
        camera.expect_nothing(true);
        camera.expect(log.clone(), most, after(20));
        assert!(!is_failing(35) && is_failing(36), "it was off meanwhile");
        drop(log);
        store.close().await.unwrap();
    }

    /// A frame of this camera, to be appended.
    fn frame() -> Frame {
        Frame {
            payload: bytes::Bytes::from_static(b"\xff\xd8\xff\xd9").into(),
            codec: Codec::Mjpeg,
            parameters: None,
            captured_us: 0,
            received_us: 0,
            clock: ClockKind::Arrival,
            offset_us: 0,
            keyframe: true,
            complete: true,
        }
    }

    #[tokio::test]
    async fn a_frame_on_its_way_to_a_file_does_not_make_a_long_silence_the_disks() {
        let dir = tempfile::tempdir().unwrap();
        let options = framelog_store::Options::new(dir.path().to_owned());
        let store = framelog_store::Store::open(options).await.unwrap();
        let log = store.camera("gate").unwrap();
        let status = Status::default();
        let camera = status.camera("gate");
        let (now, most) = (Instant::now(), Duration::from_secs(15));
        let look = |seconds| {
            status
                .snapshots(now + Duration::from_secs(seconds))
                .remove(0)
        };
        camera.expect(log.clone(), most, now);
        let gap = Gap {
            reason: GapReason::Unreachable.into(),
            detail: "no route".to_owned(),
        };
        camera.set_gap(7, Some(gap));
        camera.expect(log.clone(), most, now);
        lock(&camera.inner).expected.as_mut().unwrap().since -= Duration::from_secs(600);
        camera.set_gap(9, None);
        let reason = |seconds| look(seconds).missing().map(|(reason, _)| reason.name());
        assert_eq!((reason(1), look(1).since_us), (Some("unreachable"), 7));
        assert_eq!(reason(20), Some("disk_slow"), "it had time enough");
        log.append(frame(), true).unwrap();
        while log.counters().stored_frames == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(
            (reason(20), look(20).since_us),
            (None, 9),
            "nobody has told of the frame but the file"
        );
        assert!(look(36).is_failing(), "it is counted once");
        drop(log);
        store.close().await.unwrap();
    }

    #[test]
    fn frames_that_can_not_be_written_are_told_at_once() {
        let status = Status::default();
        status.camera("gate").set_gap(0, None);
        let well = Snapshot {
            enabled: true,
            ..status.snapshots(Instant::now()).remove(0)
        };
        assert!(!well.is_failing() && well.missing().is_none());
        for (kind, name) in [
            (ErrorKind::StorageFull, "disk_full"),
            (ErrorKind::QuotaExceeded, "disk_full"),
            (ErrorKind::ReadOnlyFilesystem, "read_only"),
            (ErrorKind::Other, "disk_fails"),
        ] {
            let losing = Snapshot {
                losing: Some(Losing::new(7, &kind.into())),
                ..well.clone()
            };
            assert!(losing.is_failing());
            let (reason, detail) = losing.missing().unwrap();
            assert_eq!(reason.name(), name);
            assert!(detail.starts_with("frames can't be written: "), "{detail}");
        }
    }

    #[test]
    fn camera_of_which_nothing_is_expected_never_fails() {
        let status = Status::default();
        let gap = Gap {
            reason: GapReason::Disabled.into(),
            detail: String::new(),
        };
        status.camera("gate").set_gap(0, Some(gap));
        let later = Instant::now() + Duration::from_secs(1_000_000);
        assert!(!status.snapshots(later)[0].is_failing());
    }
}
