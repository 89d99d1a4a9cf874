//! What each camera is doing: written by the camera's task, read by the web server and at the end.
//! Not for history: that is the index's.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use framelog_core::gap::GapReason;
use framelog_store::{CameraLog, Counters, Keeping, Losing, Rules, Still, wall};

use crate::footage::watchers::Watchers;
use crate::pace::{Pace, Rate};
use crate::reload::{Outcome, Reload};

/// The storage, and all cameras that were configured since it was opened.
#[derive(Debug, Default)]
pub struct Status {
    began: OnceLock<(PathBuf, i64)>,
    /// Where the web server listens.
    address: OnceLock<SocketAddr>,
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
#[derive(Clone, Debug)]
pub struct Recorder {
    /// Of the storage directory; empty until it has one.
    pub uuid: String,
    /// The storage directory.
    pub path: PathBuf,
    /// Since when it runs there, microseconds since the Unix epoch.
    pub since_us: i64,
    /// Who reads what it records.
    pub watchers: Watchers,
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

    /// The web server listens there.
    pub fn listens(&self, address: SocketAddr) {
        // Once in a process.
        let _ = self.address.set(address);
    }

    /// As [`Status::listens`] has it; `None` without a web server.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address.get().copied()
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
mod tests;
