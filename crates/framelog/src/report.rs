//! What `GET /api/status` and `framelog status --json` say: one shape, from a running recorder or from the index alone. Not for how it
//! looks to a person: that is `cli/status`.

use std::path::PathBuf;
use std::time::Instant;

use framelog_core::gap::GapReason;
use framelog_store::{Counters, wall};
use serde::{Deserialize, Serialize};

use crate::status::{self, Snapshot, Status};

/// Everything. Times are microseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// The storage directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storage {
    /// As configured.
    pub path: PathBuf,
    /// How it does.
    pub state: StorageState,
}

/// How the storage directory does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StorageState {
    /// Well.
    Ok,
    /// It takes no more frames of some camera, or of none.
    DiskFull,
    /// It takes the frames of some camera too slowly.
    DiskSlow,
    /// There is no index: nothing was ever recorded.
    Empty,
    /// The directory is no longer where it was: nothing is recorded until it is back.
    Gone,
}

/// One camera.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Camera {
    /// As configured.
    pub name: String,
    /// What it is doing.
    pub state: State,
    /// Since when.
    pub since_us: Option<i64>,
    /// Why there is no footage: a reason of the table `gaps`.
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
    /// Its clock minus this machine's, where it sends the time.
    pub skew_us: Option<i64>,
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
    /// What this process is doing; `None` as long as it isn't known who records.
    pub fn live(status: &Status) -> Option<Self> {
        let status::Recorder {
            uuid,
            path,
            since_us,
        } = status.recorder()?;
        let cameras: Vec<Camera> = status
            .snapshots(Instant::now())
            .iter()
            .filter(|snapshot| snapshot.is_configured)
            .map(|snapshot| Camera::of(snapshot, wall::now_us()))
            .collect();
        Some(Self {
            source: Source::Recorder,
            recorder: Recorder {
                uuid: Some(uuid).filter(|uuid| !uuid.is_empty()),
                version: Some(env!("CARGO_PKG_VERSION").to_owned()),
                running: true,
                since_us: Some(since_us),
                killed: false,
                pid: Some(std::process::id()),
            },
            storage: Storage {
                path,
                state: match status.no_storage() {
                    Some(no_storage) if no_storage.is_full => StorageState::DiskFull,
                    Some(_) => StorageState::Gone,
                    None => StorageState::of(&cameras),
                },
            },
            cameras,
        })
    }

    /// Whether something should be recorded and isn't.
    pub fn is_failing(&self) -> bool {
        let is_missing = |camera: &Camera| matches!(camera.state, State::Missing | State::Down);
        matches!(
            self.storage.state,
            StorageState::Gone | StorageState::DiskFull
        ) || self.cameras.iter().any(is_missing)
    }
}

impl StorageState {
    /// As the cameras have it.
    pub fn of(cameras: &[Camera]) -> Self {
        let any = |reason: GapReason| {
            cameras
                .iter()
                .any(|camera| camera.reason.as_deref() == Some(reason.name()))
        };
        if any(GapReason::DiskFull) {
            StorageState::DiskFull
        } else if any(GapReason::DiskSlow) {
            StorageState::DiskSlow
        } else {
            StorageState::Ok
        }
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

    fn of(snapshot: &Snapshot, now_us: i64) -> Self {
        let missing = snapshot.missing();
        let (state, since_us) = match (missing, snapshot.still) {
            (Some((GapReason::Disabled, _)), _) => (State::Disabled, snapshot.since_us),
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
mod tests {
    use std::time::Duration;

    use framelog_store::Still;

    use super::*;
    use crate::status::{Counts, Gap};

    const NOW: i64 = 1_700_000_000_000_000;

    fn snapshot() -> Snapshot {
        Snapshot {
            name: "gate".to_owned(),
            is_configured: true,
            enabled: true,
            gap: None,
            since_us: NOW - 60_000_000,
            silent_for: Duration::from_millis(40),
            silence_max: Duration::from_secs(15),
            counts: Counts::default(),
            stored: Counters::default(),
            last_captured_us: Some(NOW),
            skew_us: None,
            still: None,
            losing: None,
        }
    }

    fn gap(reason: GapReason) -> Option<Gap> {
        Some(Gap {
            reason,
            detail: "why".to_owned(),
        })
    }

    fn states(snapshot: Snapshot) -> (State, i64, Option<String>) {
        let camera = Camera::of(&snapshot, NOW);
        (camera.state, camera.since_us.unwrap() - NOW, camera.reason)
    }

    #[test]
    fn state_is_the_worst_that_is_known() {
        let still = Some((Still::Picture, NOW - 20_000_000));
        assert_eq!(states(snapshot()), (State::Recording, -60_000_000, None));
        let frozen = Snapshot {
            still,
            ..snapshot()
        };
        assert_eq!(states(frozen), (State::Frozen, -20_000_000, None));
        let stalled = Snapshot {
            still,
            gap: gap(GapReason::Stalled),
            ..snapshot()
        };
        let reason = |reason: GapReason| Some(reason.name().to_owned());
        assert_eq!(
            states(stalled),
            (State::Missing, -60_000_000, reason(GapReason::Stalled))
        );
        let disabled = Snapshot {
            gap: gap(GapReason::Disabled),
            enabled: false,
            ..snapshot()
        };
        assert_eq!(
            states(disabled),
            (State::Disabled, -60_000_000, reason(GapReason::Disabled))
        );
    }

    #[test]
    fn camera_whose_frames_do_not_reach_the_disk_is_missing_since_the_last_that_did() {
        let stuck = Snapshot {
            silent_for: Duration::from_secs(16),
            ..snapshot()
        };
        assert_eq!(
            states(stuck),
            (State::Missing, -16_000_000, Some("disk_slow".to_owned()))
        );
    }

    #[test]
    fn report_is_read_as_it_is_written() {
        let status = Status::default();
        assert_eq!(Report::live(&status), None, "nothing is open");
        status.opened(status::Recorder {
            uuid: "u".to_owned(),
            path: "/p".into(),
            since_us: NOW,
        });
        status.camera("gone").expect_nothing(false);
        let off = status.camera("off");
        off.expect_nothing(true);
        off.set_gap(NOW, gap(GapReason::Disabled));
        let report = Report::live(&status).unwrap();
        let names: Vec<_> = report.cameras.iter().map(|camera| &camera.name).collect();
        assert_eq!(names, ["off"], "what was removed is not listed");
        assert!(!report.is_failing());
        let json = serde_json::to_string(&report).unwrap();
        assert!(json.contains(r#""state":"disabled""#), "{json}");
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    }
}
