//! A report from the index alone: the last session, and the gaps that are open. Not for asking a recorder.

use std::fs;
use std::path::Path;

use framelog_core::gap::GapReason;
use framelog_store::query::{AccountRow, GapRow, SessionRow};
use framelog_store::{Error, Reader, identity, wall};

use crate::config::{self, Config};
use crate::report::{Camera, Recorder, Report, Source, State, Storage, StorageState};

/// A recorder that goes on writes that it is alive every 5 s at least. A disk that is merely slow may make it later.
const ALIVE_US: i64 = 15_000_000;

/// What the index knows of the configured cameras.
///
/// # Errors
/// If it can't be read. That there is none is no error.
pub async fn report(config: &Config, is_running: bool) -> Result<Report, Error> {
    let path = config.storage.path.clone();
    let mut report = Report {
        source: Source::Index,
        recorder: Recorder {
            uuid: identity::uuid(&path)?,
            running: is_running,
            ..Recorder::default()
        },
        storage: Storage {
            path: path.clone(),
            state: StorageState::Empty,
            detail: None,
            unkept: Vec::new(),
            room: None,
        },
        cameras: Vec::new(),
    };
    let (mut accounts, mut gaps, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    let mut hangs_since_us = None;
    match Reader::open(&path).await {
        Ok(reader) => {
            if let Some(session) = reader.last_session().await? {
                accounts = reader.accounts(session.id).await?;
                let silence_us = wall::now_us().saturating_sub(session.alive_us);
                let is_silent = silence_us > ALIVE_US && session.ended_us.is_none();
                hangs_since_us = is_silent.then_some(session.alive_us);
                describe(&mut report.recorder, session);
            }
            // Those that have no end.
            gaps = reader.gaps(None, i64::MAX, i64::MAX).await?;
            kept = reader.kept().await?;
            report.storage.state = StorageState::Ok;
        }
        Err(Error::NoIndex { .. }) if has_footage(&path) => {
            report.storage.state = StorageState::NoIndex;
        }
        Err(Error::NoIndex { .. }) => {}
        Err(error) => return Err(error),
    }
    for camera in &config.cameras {
        let account = accounts.iter().find(|row| row.camera == camera.name);
        let gap = gaps.iter().find(|row| row.camera == camera.name);
        report.cameras.push(if is_running {
            recorded(&camera.name, account, gap, hangs_since_us)
        } else {
            down(camera, account, report.recorder.since_us)
        });
    }
    report.add_kept(&kept, &config.rules(), wall::now_us());
    if is_running {
        report.storage.state = storage_of(&report.cameras);
    }
    Ok(report)
}

/// How the storage does: the index has one reason for all that keeps frames from the disk, and only its detail tells what it was.
fn storage_of(cameras: &[Camera]) -> StorageState {
    match StorageState::of(cameras) {
        StorageState::DiskFull => StorageState::DiskFails,
        state => state,
    }
}

/// Whether there are files of some camera.
fn has_footage(storage: &Path) -> bool {
    fs::read_dir(storage.join(framelog_store::FOOTAGE))
        .is_ok_and(|mut cameras| cameras.next().is_some())
}

fn describe(recorder: &mut Recorder, session: SessionRow) {
    recorder.version = Some(session.version);
    if recorder.running {
        recorder.since_us = Some(session.started_us);
    } else {
        recorder.since_us = Some(session.ended_us.unwrap_or(session.alive_us));
        recorder.killed = session.ended_us.is_none();
    }
}

fn counted(name: &str, account: Option<&AccountRow>) -> Camera {
    let Some(account) = account else {
        return Camera::counted(name, &Default::default());
    };
    let counted = Camera::counted(name, &account.counters);
    Camera {
        // What was lost waits no more.
        waiting: counted.waiting.saturating_sub(account.lost),
        lost: account.lost,
        last_captured_us: account.last_captured_us,
        ..counted
    }
}

/// A camera of a recorder that runs, as of the last commit.
fn recorded(
    name: &str,
    account: Option<&AccountRow>,
    gap: Option<&GapRow>,
    hangs_since_us: Option<i64>,
) -> Camera {
    let counted = counted(name, account);
    let missing = |state: State, since_us: Option<i64>, reason: &str, detail: &str| Camera {
        state,
        since_us,
        reason: Some(reason.to_owned()),
        detail: Some(detail.to_owned()),
        ..counted.clone()
    };
    match gap {
        Some(gap) => {
            let state = match GapReason::from_name(&gap.reason) {
                Some(GapReason::Disabled) => State::Disabled,
                _ => State::Missing,
            };
            missing(state, Some(gap.started_us), &gap.reason, &gap.detail)
        }
        None if account.is_none() => missing(
            State::Missing,
            None,
            GapReason::Starting.name(),
            "the recorder doesn't know it yet; reload framelog",
        ),
        None => match hangs_since_us {
            Some(since_us) => missing(
                State::Missing,
                Some(since_us),
                "unknown",
                "the recorder has written nothing since: it hangs, or can't write its index, or is about to begin",
            ),
            None => Camera {
                state: State::Recording,
                ..counted
            },
        },
    }
}

/// A camera without a recorder. What the last one left unaccounted for is told as waiting until the next has looked for it.
fn down(camera: &config::Camera, account: Option<&AccountRow>, since_us: Option<i64>) -> Camera {
    let state = match camera.enabled {
        true => State::Down,
        false => State::Disabled,
    };
    Camera {
        state,
        since_us,
        ..counted(&camera.name, account)
    }
}
