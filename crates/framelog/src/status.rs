//! What each camera is doing and what became of its parts: written by the camera's task, read by the web server and at the end.
//! Not for history: that is the index's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use framelog_core::gap::GapReason;
use framelog_core::multipart::SkipReason;
use framelog_store::{CameraLog, Counters};

/// The storage, and all cameras that were configured since it was opened.
#[derive(Debug, Default)]
pub struct Status {
    cameras: Mutex<BTreeMap<String, Arc<CameraStatus>>>,
    no_storage: Mutex<Option<String>>,
}

/// One camera, over all its connections and configurations.
#[derive(Debug, Default)]
pub struct CameraStatus {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    expected: Option<Expected>,
    gap: Option<Gap>,
    counts: Counts,
    log: Option<CameraLog>,
    stored_frames: u64,
    stored_at: Option<Instant>,
}

/// That footage is expected of a camera: since when, and how long it may be without a stored frame.
#[derive(Clone, Copy, Debug)]
struct Expected {
    since: Instant,
    silence_max: Duration,
}

/// Why a camera has no footage at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// As in the index.
    pub reason: GapReason,
    /// In words, without credentials.
    pub detail: String,
}

/// What a camera sent since the daemon started. `parts` is the sum of `pictures` and what was skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Everything that came where a picture could be.
    pub parts: u64,
    /// Pictures handed to the store, which counts what became of them.
    pub pictures: u64,
    /// Parts without a payload.
    pub skipped_empty: u64,
    /// Parts with something else in them.
    pub skipped_not_picture: u64,
    /// Pictures cut off.
    pub skipped_torn: u64,
    /// Parts over the limits.
    pub skipped_too_large: u64,
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
    /// Whether it is configured and enabled.
    pub enabled: bool,
    /// Why there is no footage; `None` while recording.
    pub gap: Option<Gap>,
    /// Since the last frame in a file, or since the camera was started if there is none yet.
    pub silent_for: Duration,
    /// How long that may be.
    pub silence_max: Duration,
    /// What it sent.
    pub counts: Counts,
    /// What became of its pictures.
    pub stored: Counters,
}

impl Snapshot {
    /// Whether a camera that should record doesn't.
    pub fn is_failing(&self) -> bool {
        self.enabled && self.silent_for > self.silence_max
    }
}

impl Status {
    /// The status of a camera, made when it is asked for first.
    pub fn camera(&self, name: &str) -> Arc<CameraStatus> {
        Arc::clone(lock(&self.cameras).entry(name.to_owned()).or_default())
    }

    /// Why nothing can be recorded at all, if so: the storage directory is not there.
    pub fn set_no_storage(&self, why: Option<String>) {
        *lock(&self.no_storage) = why;
    }

    /// As [`Status::set_no_storage`] has it.
    pub fn no_storage(&self) -> Option<String> {
        lock(&self.no_storage).clone()
    }

    /// Begins anew, without cameras: their counts belong to a store that is closed.
    pub fn forget_cameras(&self) {
        lock(&self.cameras).clear();
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
    /// From `now` on footage is expected, with at most `silence_max` between stored frames; its frames go to `log`.
    pub fn expect(&self, log: CameraLog, silence_max: Duration, now: Instant) {
        let mut inner = lock(&self.inner);
        inner.stored_frames = log.counters().stored_frames;
        inner.stored_at = None;
        inner.log = Some(log);
        inner.expected = Some(Expected {
            since: now,
            silence_max,
        });
    }

    /// No footage is expected any more: disabled or removed.
    pub fn expect_nothing(&self) {
        lock(&self.inner).expected = None;
    }

    /// Whether footage is being made, or why not.
    pub fn set_gap(&self, gap: Option<Gap>) {
        lock(&self.inner).gap = gap;
    }

    /// Adds what came at `now`, and looks whether frames have reached a file.
    pub fn count(&self, now: Instant, change: impl FnOnce(&mut Counts)) {
        let mut inner = lock(&self.inner);
        change(&mut inner.counts);
        let stored_frames = inner
            .log
            .as_ref()
            .map_or(0, |log| log.counters().stored_frames);
        if stored_frames > inner.stored_frames {
            inner.stored_frames = stored_frames;
            inner.stored_at = Some(now);
        }
    }

    fn snapshot(&self, name: &str, now: Instant) -> Snapshot {
        let inner = lock(&self.inner);
        let heard = inner
            .stored_at
            .or(inner.expected.map(|expected| expected.since));
        Snapshot {
            name: name.to_owned(),
            enabled: inner.expected.is_some(),
            gap: inner.gap.clone(),
            silent_for: heard.map_or(Duration::ZERO, |heard| now.saturating_duration_since(heard)),
            silence_max: inner
                .expected
                .map_or(Duration::MAX, |expected| expected.silence_max),
            counts: inner.counts,
            stored: inner
                .log
                .as_ref()
                .map(CameraLog::counters)
                .unwrap_or_default(),
        }
    }
}

impl Counts {
    /// Counts a part that was passed over.
    pub fn skip(&mut self, reason: SkipReason) {
        self.parts += 1;
        *match reason {
            SkipReason::Empty => &mut self.skipped_empty,
            SkipReason::NotPicture => &mut self.skipped_not_picture,
            SkipReason::Torn => &mut self.skipped_torn,
            SkipReason::TooLarge => &mut self.skipped_too_large,
        } += 1;
    }

    /// Adds the parts of a batch.
    pub fn add(&mut self, batch: &Counts) {
        self.parts += batch.parts;
        self.pictures += batch.pictures;
        self.skipped_empty += batch.skipped_empty;
        self.skipped_not_picture += batch.skipped_not_picture;
        self.skipped_torn += batch.skipped_torn;
        self.skipped_too_large += batch.skipped_too_large;
    }

    /// Counts a picture.
    pub fn take_picture(&mut self) {
        self.parts += 1;
        self.pictures += 1;
    }
}

/// Each value behind a lock here is whole between statements: a panic elsewhere leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_sum_of_pictures_and_what_was_skipped() {
        let mut counts = Counts::default();
        counts.take_picture();
        for reason in [
            SkipReason::Empty,
            SkipReason::NotPicture,
            SkipReason::Torn,
            SkipReason::TooLarge,
        ] {
            counts.skip(reason);
        }
        assert_eq!(counts.parts, 5);
        let skipped = [
            counts.skipped_empty,
            counts.skipped_not_picture,
            counts.skipped_torn,
            counts.skipped_too_large,
        ];
        assert_eq!((counts.pictures, skipped), (1, [1; 4]));
    }

    #[test]
    fn camera_of_which_nothing_is_expected_never_fails() {
        let status = Status::default();
        status.camera("gate").set_gap(Some(Gap {
            reason: GapReason::Disabled,
            detail: String::new(),
        }));
        let later = Instant::now() + Duration::from_secs(1_000_000);
        assert!(!status.snapshots(later)[0].is_failing());
    }
}
