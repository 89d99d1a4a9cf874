//! What `GET /api/status` and `framelog status --json` say: one shape, from a running recorder or from the index alone. Not for how it
//! looks to a person: that is `cli/status`.

use std::path::PathBuf;
use std::time::Instant;

use framelog_core::gap::GapReason;
use framelog_store::query::KeptRow;
use framelog_store::{Counters, Rules, wall};
use serde::{Deserialize, Serialize};

use crate::reload::Reload;
use crate::status::{Reason, Snapshot, Status};

mod room;
mod unkept;

pub use room::Room;
pub use unkept::Unkept;

/// Everything. Times are microseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Where this comes from.
    pub source: Source,
    /// Who records.
    pub recorder: Recorder,
    /// Where to.
    pub storage: Storage,
    /// Every configured camera.
    pub cameras: Vec<Camera>,
}

/// Where a report comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The running recorder: this moment.
    Recorder,
    /// The index: as of its last commit.
    Index,
}

/// Who records, or did last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorder {
    /// Of the storage directory; `None` if nothing was ever recorded.
    pub uuid: Option<String>,
    /// Version of the program.
    pub version: Option<String>,
    /// Whether one runs.
    pub running: bool,
    /// Since when it runs, or since when none does.
    pub since_us: Option<i64>,
    /// None runs because the last one was killed: `since_us` is when it was certainly running.
    pub killed: bool,
    /// Process id.
    pub pid: Option<u32>,
    /// What became of the last reload; only a running recorder knows.
    pub reload: Option<Reload>,
}

/// The storage directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Storage {
    /// As configured.
    pub path: PathBuf,
    /// How it does.
    pub state: StorageState,
    /// In words, where nothing can be recorded at all.
    pub detail: Option<String>,
    /// Limits that are configured and can't be kept.
    pub unkept: Vec<Unkept>,
    /// How full it is; only a running recorder knows.
    #[serde(default)]
    pub room: Option<Room>,
}

/// How the storage directory does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StorageState {
    /// Well.
    Ok,
    /// It takes no more frames of some camera, or of none: there is no room.
    DiskFull,
    /// It can only be read.
    ReadOnly,
    /// It takes no frames of some camera, whose `detail` says why.
    DiskFails,
    /// It takes the frames of some camera too slowly.
    DiskSlow,
    /// There is no index and no footage: nothing was ever recorded.
    Empty,
    /// There is footage and no index; the next start makes one.
    NoIndex,
    /// The directory is not there, or no longer: nothing is recorded until it is. `detail` says what is waited for.
    Gone,
}

/// One camera.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Camera {
    /// As configured.
    pub name: String,
    /// What it is doing.
    pub state: State,
    /// Since when.
    pub since_us: Option<i64>,
    /// Why there is no footage: a reason of the table `gaps` or, where that has only `disk_full`, `read_only`, `disk_fails` or `no_storage`.
    pub reason: Option<String>,
    /// The same in words.
    pub detail: Option<String>,
    /// What came in this session, or in the last: `stored` + `skipped` + `dropped` + `waiting` + `lost`.
    pub parts: u64,
    /// Frames in files (from the index: in the index).
    pub stored: u64,
    /// Their bytes; only a running recorder knows.
    pub stored_bytes: Option<u64>,
    /// What never was a frame.
    pub skipped: Skipped,
    /// Frames that could not be stored.
    pub dropped: Dropped,
    /// Frames on their way.
    pub waiting: u64,
    /// Frames that were on their way when the recorder was killed.
    pub lost: u64,
    /// Capture time of its last frame, of any session.
    pub last_captured_us: Option<i64>,
    /// Capture time of the first frame that is kept; `None` without footage, or if the index can't be read.
    pub kept_from_us: Option<i64>,
    /// Capture time of the last.
    pub kept_to_us: Option<i64>,
    /// Its clock minus this machine's, where it sends the time.
    pub skew_us: Option<i64>,
    /// From the capture of its last frame to its arrival; only a running recorder knows.
    #[serde(default)]
    pub lag_us: Option<i64>,
    /// Frames stored in a second, over the last half minute.
    #[serde(default)]
    pub fps: Option<f64>,
    /// Bits of them.
    #[serde(default)]
    pub bits_per_s: Option<u64>,
    /// Connections that gave an answer; only a running recorder knows.
    pub connections: Option<u64>,
    /// What stands still although frames come.
    pub frozen: Option<Frozen>,
}

/// What a camera is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// No recorder runs.
    #[default]
    Down,
    /// It should be recorded and isn't: `reason` says why.
    Missing,
    /// It is recorded, and sends the same again and again.
    Frozen,
    /// It is recorded.
    Recording,
    /// It is configured not to be.
    Disabled,
}

/// Parts that never were frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// No payload.
    pub empty: u64,
    /// Something else.
    pub not_picture: u64,
    /// Cut off.
    pub torn: u64,
    /// Over the limits.
    pub too_large: u64,
}

/// Frames that could not be stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// The disk took too long.
    pub disk_slow: u64,
    /// The disk took no more.
    pub disk_full: u64,
}

/// What stands still, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// Since when.
    pub since_us: i64,
    /// `picture` or `stamp`.
    pub what: String,
}

impl Report {
    /// What this process is doing; `None` while it opens its storage directory for the first time.
    pub fn live(status: &Status) -> Option<Self> {
        let no_storage = status.no_storage();
        let (uuid, path, since_us) = match (status.recorder(), status.path()) {
            (Some(opened), _) => (
                Some(opened.uuid.clone()),
                opened.path.clone(),
                Some(opened.since_us),
            ),
            (None, Some(path)) if no_storage.is_some() => (None, path.clone(), None),
            _ => return None,
        };
        let limits = status.limits();
        let cameras: Vec<Camera> = status
            .snapshots(Instant::now())
            .iter()
            .filter(|snapshot| snapshot.is_configured)
            .map(|snapshot| Camera::of(snapshot, wall::now_us()))
            .collect();
        Some(Self {
            source: Source::Recorder,
            recorder: Recorder {
                uuid,
                version: Some(env!("CARGO_PKG_VERSION").to_owned()),
                running: true,
                since_us,
                killed: false,
                pid: Some(std::process::id()),
                reload: status.reload(),
            },
            storage: Storage {
                path,
                state: match &no_storage {
                    Some(no_storage) => StorageState::without(no_storage.reason),
                    None => StorageState::of(&cameras),
                },
                detail: no_storage.map(|no_storage| no_storage.why),
                unkept: (limits.as_ref())
                    .map(|(keeping, rules)| Unkept::of(keeping, rules))
                    .unwrap_or_default(),
                room: limits
                    .filter(|(keeping, _)| keeping.disk_total > 0) // not looked at yet
                    .map(|(keeping, rules)| Room::of(&keeping, &rules, &cameras)),
            },
            cameras,
        })
    }

    /// Adds what the index says of the footage that is kept.
    pub fn add_kept(&mut self, kept: &[KeptRow], rules: &Rules, now_us: i64) {
        for row in kept {
            let Some(camera) = self.cameras.iter_mut().find(|c| c.name == row.camera) else {
                continue;
            };
            camera.kept_from_us = Some(row.started_us);
            camera.kept_to_us = Some(row.ended_us);
            let retain = rules.retain_of(&row.camera);
            let is_too_old = retain.is_some_and(|retain| {
                let retain_us = i64::try_from(retain.as_micros()).unwrap_or(i64::MAX);
                row.first_received_us < now_us.saturating_sub(retain_us)
            });
            if is_too_old && row.is_first_protected {
                self.storage.unkept.push(Unkept {
                    rule: "retain".to_owned(),
                    camera: Some(row.camera.clone()),
                    detail: "its oldest footage is protected".to_owned(),
                });
            }
        }
    }

    /// Whether something should be recorded and isn't.
    pub fn is_failing(&self) -> bool {
        let is_missing = |camera: &Camera| matches!(camera.state, State::Missing | State::Down);
        self.storage.state.takes_nothing() || self.cameras.iter().any(is_missing)
    }
}

impl StorageState {
    /// As the cameras have it.
    pub fn of(cameras: &[Camera]) -> Self {
        [
            (Reason::ReadOnly, StorageState::ReadOnly),
            (Reason::DiskFails, StorageState::DiskFails),
            (Reason::Gap(GapReason::DiskFull), StorageState::DiskFull),
            (Reason::Gap(GapReason::DiskSlow), StorageState::DiskSlow),
        ]
        .into_iter()
        .find(|(reason, _)| cameras.iter().any(|camera| camera.is_for(*reason)))
        .map_or(StorageState::Ok, |(_, state)| state)
    }

    /// Where nothing can be recorded at all.
    fn without(reason: Reason) -> Self {
        match reason {
            Reason::Gap(_) => StorageState::DiskFull,
            Reason::ReadOnly => StorageState::ReadOnly,
            Reason::DiskFails => StorageState::DiskFails,
            Reason::NoStorage => StorageState::Gone,
        }
    }

    /// Whether frames of some camera, or of all, can't be stored at all.
    pub fn takes_nothing(self) -> bool {
        use StorageState::{DiskFails, DiskFull, Gone, ReadOnly};
        matches!(self, Gone | DiskFull | ReadOnly | DiskFails)
    }
}

impl Camera {
    /// Of this name, with these numbers.
    pub fn counted(name: &str, counters: &Counters) -> Self {
        Self {
            name: name.to_owned(),
            parts: counters.parts,
            stored: counters.stored_frames,
            skipped: Skipped {
                empty: counters.skipped_empty,
                not_picture: counters.skipped_not_picture,
                torn: counters.skipped_torn,
                too_large: counters.skipped_too_large,
            },
            dropped: Dropped {
                disk_slow: counters.dropped_disk_slow,
                disk_full: counters.dropped_disk_full,
            },
            waiting: counters.waiting(),
            ..Self::default()
        }
    }

    /// Whether it has no footage for this reason.
    fn is_for(&self, reason: Reason) -> bool {
        self.reason.as_deref() == Some(reason.name())
    }

    fn of(snapshot: &Snapshot, now_us: i64) -> Self {
        let missing = snapshot.missing();
        let (state, since_us) = match (missing, snapshot.still) {
            (Some((Reason::Gap(GapReason::Disabled), _)), _) => {
                (State::Disabled, snapshot.since_us)
            }
            (Some(_), _) if snapshot.gap.is_none() => {
                let losing_us = snapshot.losing.as_ref().map(|losing| losing.since_us);
                let silent_us = i64::try_from(snapshot.silent_for.as_micros()).unwrap_or(i64::MAX);
                let since_us = losing_us.unwrap_or(now_us.saturating_sub(silent_us));
                (State::Missing, since_us)
            }
            (Some(_), _) => (State::Missing, snapshot.since_us),
            (None, Some((_, since_us))) => (State::Frozen, since_us),
            (None, None) => (State::Recording, snapshot.since_us),
        };
        Self {
            state,
            since_us: Some(since_us),
            reason: missing.map(|(reason, _)| reason.name().to_owned()),
            detail: missing.map(|(_, detail)| detail.to_owned()),
            stored_bytes: Some(snapshot.stored.stored_bytes),
            // Frames that come and can't be written are none that one could look at.
            last_captured_us: (snapshot.losing.as_ref())
                .map_or(snapshot.last_captured_us, |losing| Some(losing.since_us)),
            skew_us: snapshot.skew_us,
            lag_us: snapshot.lag_us,
            fps: snapshot.rate.map(|rate| rate.fps),
            bits_per_s: snapshot.rate.map(|rate| (rate.bytes_per_s * 8.0) as u64),
            connections: Some(snapshot.counts.connections),
            frozen: snapshot.still.map(|(still, since_us)| Frozen {
                since_us,
                what: still.name().to_owned(),
            }),
            ..Self::counted(&snapshot.name, &snapshot.stored)
        }
    }
}

#[cfg(test)]
mod tests;
