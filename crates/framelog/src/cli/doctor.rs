//! `framelog doctor`: is the machine fit to record these cameras? It looks, each file below judges one thing, and nothing is changed. Not for
//! what is recorded: that is `status`.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use framelog_store::{Layout, Reader, effective_min_free, identity, wall};
use rustix::fs::{StatVfs, statvfs};
use rustix::process::{Resource, getegid, geteuid, getrlimit};

use super::check::storage::nearest;
use super::output::{Stop, ended};
use super::recorder_user::{self, Owner, User};
use super::{Failure, ask};
use crate::config::{Config, Storage};
use crate::report::{Report, State, StorageState};

mod cameras;
mod clock;
mod disk;
mod finding;
mod load;
mod process;
mod retention;
mod speed;

use finding::{Finding, Level};
use load::Load;

/// The rate is that of the last footage, so much of it.
const RECENT: Duration = Duration::from_secs(3600);

/// `framelog doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One JSON object for each finding
    #[arg(long)]
    json: bool,
}

/// Examines, and prints a line for each finding, what is wrong first.
///
/// # Errors
/// The configuration is wrong. Without a line if something else is.
pub async fn run(args: Args, file: PathBuf) -> Result<(), Failure> {
    let (config, errors, warnings) =
        Config::load_to_ask(&file).map_err(|p| Failure::configuration(&p))?;
    let errors = errors
        .iter()
        .map(|error| Finding::wrong("config", error.to_string(), ""));
    let mut found: Vec<Finding> = errors.collect();
    let doubts = warnings
        .iter()
        .map(|doubt| Finding::warning("config", doubt.to_string(), ""));
    found.extend(doubts);
    let hidden = recorder_user::hidden_files(&file, &config);
    found.extend(hidden.iter().map(|file| {
        let (says, remedy) = recorder_user::say_hidden(file);
        Finding::warning("config", says, remedy)
    }));
    found.extend(examine(&config).await);
    found.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    ended(print(&found, args.json))?;
    match found.iter().any(|finding| finding.level == Level::Wrong) {
        true => Err(Failure {
            lines: Vec::new(),
            code: 1,
        }),
        false => Ok(()),
    }
}

fn print(found: &[Finding], json: bool) -> Result<(), Stop> {
    let mut out = std::io::stdout().lock();
    for finding in found {
        if json {
            serde_json::to_writer(&mut out, finding).map_err(std::io::Error::from)?;
            writeln!(out)?;
        } else {
            writeln!(out, "{}", finding.text())?;
        }
    }
    Ok(())
}

async fn examine(config: &Config) -> Vec<Finding> {
    let running = running(config).await;
    let names: Vec<String> = match &running {
        // Also where the file has errors.
        Some(report) => (report.cameras.iter())
            .filter(|camera| camera.state != State::Disabled)
            .map(|camera| camera.name.clone())
            .collect(),
        None => (config.cameras.iter())
            .filter(|camera| camera.enabled)
            .map(|camera| camera.name.clone())
            .collect(),
    };
    let footage = Footage::of(&config.storage.path, &names).await;
    let mut found = vec![clock::look().await];
    let lost = running
        .as_ref()
        .filter(|report| report.storage.state == StorageState::Gone);
    found.extend(match lost {
        Some(report) => vec![disk::lost(&report.storage)],
        None => storage(&config.storage, &footage, names.len(), running.as_ref()).await,
    });
    found.push(process::open_files(
        open_files(running.as_ref()),
        names.len(),
    ));
    let bound = TcpListener::bind(config.http.listen);
    found.push(process::port(
        config.http.listen,
        config.http.must_listen,
        bound.as_ref().map(|_| ()),
        running.is_some(),
    ));
    found.extend(match &running {
        Some(report) => cameras::recorded(report),
        None => cameras::reached(&config.cameras).await,
    });
    found
}

/// What the recorder of this configuration says, if it runs and answers.
async fn running(config: &Config) -> Option<Report> {
    let uuid = identity::uuid(&config.storage.path).ok().flatten();
    ask::report(&config.http, uuid.as_deref(), &config.storage.path)
        .await
        .ok()
}

/// What the index says of how much comes, and how long it stays.
struct Footage {
    load: Load,
    kept: Duration,
}

impl Footage {
    /// Without an index all is estimated.
    async fn of(storage: &Path, cameras: &[String]) -> Self {
        let now_us = wall::now_us();
        let recent_us = i64::try_from(RECENT.as_micros()).unwrap_or(i64::MAX);
        let (mut recent, mut kept) = (Vec::new(), Vec::new());
        if let Ok(reader) = Reader::open(storage).await {
            let since_us = now_us.saturating_sub(recent_us);
            recent = reader
                .segments(None, since_us, i64::MAX)
                .await
                .unwrap_or_default();
            kept = reader.kept().await.unwrap_or_default();
            // What there is of the others was recorded before.
            for row in kept.iter().filter(|row| row.ended_us < since_us) {
                let from_us = row.ended_us.saturating_sub(recent_us);
                let last = reader.segments(Some(&row.camera), from_us, i64::MAX).await;
                recent.extend(last.unwrap_or_default());
            }
        }
        let oldest_us = kept.iter().map(|row| row.first_received_us).min();
        let kept_us = oldest_us.map_or(0, |oldest_us| now_us.saturating_sub(oldest_us));
        Self {
            load: Load::of(cameras, &recent),
            kept: Duration::from_micros(u64::try_from(kept_us).unwrap_or(0)),
        }
    }
}

/// The directory, or what is next above it while it isn't there.
async fn storage(
    storage: &Storage,
    footage: &Footage,
    cameras: usize,
    running: Option<&Report>,
) -> Vec<Finding> {
    let there = match nearest(&storage.path).and_then(fs::canonicalize) {
        Ok(there) => there,
        Err(error) => {
            let says = format!("{}: {error}", storage.path.display());
            return vec![Finding::wrong("storage", says, "correct [storage] path")];
        }
    };
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mount = disk::mount_of(&mountinfo, &there);
    let mut found = vec![
        disk::file_system(mount.as_ref()),
        permission(storage, &there, running),
    ];
    let free = match statvfs(&there) {
        Ok(space) => {
            found.extend(space_of(storage, &space, footage, cameras));
            free(&space)
        }
        Err(error) => {
            let says = format!("the disk can't be measured: {error}");
            found.push(Finding::warning("retention", says, "see df"));
            u64::MAX
        }
    };
    found.push(disk_speed(there, free, &footage.load, storage.sync).await);
    found
}

/// Of the disk that this directory is on.
async fn disk_speed(there: PathBuf, free: u64, load: &Load, sync: Duration) -> Finding {
    let pieces = speed::pieces(free);
    if pieces == 0 {
        return speed::not_measured(free);
    }
    let measured = tokio::task::spawn_blocking(move || speed::measure(&there, pieces)).await;
    let measured = measured.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    speed::judge(&measured, load, sync)
}

/// Bytes, for who is not root.
fn free(space: &StatVfs) -> u64 {
    space.f_bavail.saturating_mul(space.f_frsize)
}

fn space_of(storage: &Storage, space: &StatVfs, footage: &Footage, cameras: usize) -> [Finding; 2] {
    let total = space.f_blocks.saturating_mul(space.f_frsize);
    let room = retention::Room {
        free: free(space),
        min_free: effective_min_free(storage.min_free, total),
        max_size: storage.max_size,
        retain: storage.retain,
        kept: footage.kept,
    };
    let files_per_day = match storage.layout {
        Layout::Segments => 86_400.0 / storage.segment.as_secs_f64(),
        // A camera of ten frames a second.
        Layout::Files => 864_000.0,
    };
    [
        disk::inodes(
            space.f_favail,
            space.f_files,
            files_per_day * cameras as f64,
        ),
        retention::judge(&room, &footage.load),
    ]
}

/// Of the user as whom is recorded.
fn permission(storage: &Storage, there: &Path, running: Option<&Report>) -> Finding {
    const CHECK: &str = "permission";
    let path = &storage.path;
    match fs::metadata(there).map(|found| Owner::of(&found)) {
        Ok(owner) => {
            let is_there = nearest(path).is_ok_and(|nearest| nearest == path);
            let user = recorder(running, is_there.then_some(owner));
            process::permission(path, there, owner, &user)
        }
        Err(error) => {
            let remedy = match error.kind() {
                ErrorKind::PermissionDenied => "run it as one who may: sudo framelog doctor",
                _ => "see who may enter the directories above it",
            };
            Finding::wrong(CHECK, format!("{}: {error}", path.display()), remedy)
        }
    }
}

/// As whom is recorded: as the recorder that runs. Without one, as the owner of the directory if that is who asks and not root, as the user of
/// the unit where there is one, else as the directory's owner or, while there is none, who asks.
fn recorder(running: Option<&Report>, directory: Option<Owner>) -> User {
    let pid = running.and_then(|report| report.recorder.pid);
    if let Some(user) = pid.and_then(User::of_process) {
        return user;
    }
    let asking = User {
        uid: geteuid().as_raw(),
        gid: getegid().as_raw(),
        groups: Vec::new(),
    };
    let owner = directory.filter(|_| asking.uid != 0).map(|owner| User {
        uid: owner.uid,
        gid: owner.gid,
        groups: Vec::new(),
    });
    let is_own = owner.as_ref().is_some_and(|owner| owner.uid == asking.uid);
    let of_unit = User::of_recorder().filter(|_| !is_own);
    of_unit.or(owner).unwrap_or(asking)
}

/// How many files the recorder may open: the one that runs or, without one, whoever asks. `None`: any number.
fn open_files(running: Option<&Report>) -> Option<u64> {
    let pid = running.and_then(|report| report.recorder.pid);
    let limits = pid.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/limits")).ok());
    match limits {
        Some(limits) => process::read_open_files(&limits),
        None => getrlimit(Resource::Nofile).current,
    }
}

#[cfg(test)]
mod tests {
    use framelog_core::clock::ClockKind;
    use framelog_core::frame::{Codec, Frame};
    use framelog_store::{Options, Store};

    use super::*;

    #[tokio::test]
    async fn camera_that_is_not_there_now_is_measured_on_what_was_recorded_of_it_last() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(Options::new(dir.path().to_owned()))
            .await
            .unwrap();
        let log = store.camera("gate").unwrap();
        let began_us = wall::now_us() - 3 * 86_400_000_000;
        for second in [0, 20] {
            let at_us = began_us + second * 1_000_000;
            let frame = Frame {
                payload: bytes::Bytes::from_static(b"\xff\xd8\xff\xd9").into(),
                codec: Codec::Mjpeg,
                parameters: None,
                captured_us: at_us,
                received_us: at_us,
                clock: ClockKind::Camera,
                offset_us: 0,
                keyframe: true,
                complete: true,
            };
            log.append(frame, false).unwrap();
        }
        drop(log);
        store.close().await.unwrap();
        let cameras = ["gate", "new"].map(str::to_owned);
        let load = Footage::of(dir.path(), &cameras).await.load;
        assert_eq!((load.measured, load.estimated), (1, 1));
    }
}
