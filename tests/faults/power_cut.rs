//! The power goes at random moments: a file system in memory forgets what was not synced, and the recorder starts on what is left.
//!
//! FUSE does not get syncfs(2), by which the recorder syncs more than 16 files: so there are few cameras, and segments last longer than `sync`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::thread::sleep;
use std::time::Duration;

use fastrand::Rng;
use sqlx::Connection as _;
use tempfile::TempDir;

use super::cameras::{self, Fleet, Load};
use super::figures::{Figure, Findings, quantiles_ms};
use super::pictures::{Codec, Number};
use super::{LIMIT, Plan, configure, end_of, footage, interface, ledger, stop};
use crate::support::daemon::{Daemon, Place};
use crate::support::{RUNTIME, now_us};
use image::Image;
use mount::{Cut, Mount};

mod image;
mod mount;

/// So many cuts on one image; then a new one, so that looking at all of it stays cheap.
const BATCH: u32 = 6;
/// Where the storage directory lies in the image.
const STORAGE: &str = "framelog";
/// `sync`, and how often in eight: up to 1 s each commit is durable.
const SYNCS: [(&str, i64, u32); 3] = [
    ("50 ms", 50_000, 1),
    ("1 s", 1_000_000, 5),
    ("5 s", 5_000_000, 2),
];
const DURABLE_US: i64 = 1_000_000;
/// What may be lost, beyond `sync`.
const PROMISED_US: i64 = 1_000_000;
/// The same on a machine that does other things too: what a frame that is missing is a fault from.
const BUSY_US: i64 = PROMISED_US + 2_000_000;
/// A start changes the disk so often, about.
const CHANGES_OF_A_START: u32 = 120;

/// How a run of the recorder ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// The power goes while it records.
    Recording,
    /// The power goes while it starts.
    Starting,
    /// It is killed, and the power stays.
    Killed,
    /// It is stopped, and then the power goes.
    Stopped,
}

impl Ending {
    fn random(rng: &mut Rng) -> Self {
        match rng.u32(0..16) {
            0..10 => Self::Recording,
            10..13 => Self::Starting,
            13..15 => Self::Killed,
            _ => Self::Stopped,
        }
    }
}

/// Cuts the power `rounds` times. `None` where mounting is not permitted.
pub fn run(plan: &Plan) -> Option<Findings> {
    let mut rng = Rng::with_seed(plan.seed);
    let mut tally = Tally::default();
    let mut left = plan.rounds;
    while left > 0 {
        let cuts = left.min(BATCH);
        tally.cut_again_and_again(&mut rng, plan.codec, cuts)?;
        left -= cuts;
    }
    Some(tally.findings())
}

/// A run of the recorder.
#[derive(Clone, Copy, Debug)]
struct Run {
    began_us: i64,
    ended_us: i64,
    sync_us: i64,
    ending: Ending,
}

/// What was found so far, over all images.
#[derive(Default)]
struct Tally {
    faults: Vec<String>,
    /// Ends of runs, of each kind.
    endings: BTreeMap<&'static str, u32>,
    frames_sent: u64,
    /// Rows, as a cut left them, of frames that aren't there, where each commit was durable.
    dangling: u64,
    unsound: u64,
    /// Worst of all cameras at each end: how long before it the oldest frame had been sent that is missing, µs.
    oldest_lost_us: Vec<i64>,
    /// The same, less `sync`.
    beyond_sync_us: Vec<i64>,
    /// Worst of all cameras at each end: from the newest frame stored to the newest frame sent, µs.
    behind_us: Vec<i64>,
    lost_late: u64,
    unexplained: u64,
    set_aside: usize,
}

/// One image with its cameras, from one cut to the next.
struct Scene {
    fleet: Fleet,
    place: Place,
    runs: Vec<Run>,
    /// What has been told as a fault.
    told: BTreeSet<String>,
    /// Frames of which it is known that they are missing.
    missing: BTreeSet<Number>,
    protections: i64,
}

impl Tally {
    fn cut_again_and_again(&mut self, rng: &mut Rng, codec: Codec, cuts: u32) -> Option<()> {
        let load = Load {
            cameras: rng.u32(4..=6),
            fps: 20.0,
            frame_bytes: 3_000,
        };
        let mut scene = Scene {
            fleet: Fleet::start(codec, load),
            place: Place::new(""),
            runs: Vec::new(),
            told: BTreeSet::new(),
            missing: BTreeSet::new(),
            protections: 0,
        };
        let mut image = Image::empty();
        // One for each image: a recorder takes it that the last run was configured as it is.
        let (sync, sync_us) = any_sync(rng);
        for _ in 0..cuts {
            let ending = Ending::random(rng);
            let path = scene.place.path("disk");
            let mount = match Mount::new(&path, image, rng.fork()) {
                Ok(mount) => mount,
                Err(error) => {
                    eprintln!(
                        "skipped: a file system can't be mounted here ({error}); run it as root"
                    );
                    return None;
                }
            };
            scene.configure(&mount_path(&scene), sync);
            let began_us = now_us();
            let connected: Vec<_> = scene
                .fleet
                .cameras
                .iter()
                .map(|c| c.connections())
                .collect();
            let daemon = scene.place.run();
            if ending != Ending::Starting {
                if !scene.records(&connected) {
                    self.fault(&mut scene, "not all cameras are recorded");
                }
                self.settle(&mut scene, &mount);
                scene.protect(rng);
            }
            let cut = self.end(&scene, daemon, &mount, ending, sync_us, rng);
            drop(mount);
            *self.endings.entry(name(ending)).or_default() += 1;
            scene.runs.push(Run {
                began_us,
                ended_us: cut.at_us,
                sync_us,
                ending,
            });
            if sync_us <= DURABLE_US {
                self.look_at_what_is_left(&mut scene, &cut.left);
            }
            image = cut.left;
        }
        self.finish(scene, image, sync, rng)
    }

    /// A last run, which nothing befalls.
    fn finish(&mut self, mut scene: Scene, image: Image, sync: &str, rng: &mut Rng) -> Option<()> {
        let mount = Mount::new(&scene.place.path("disk"), image, rng.fork()).ok()?;
        scene.configure(&mount_path(&scene), sync);
        let connected: Vec<_> = scene
            .fleet
            .cameras
            .iter()
            .map(|c| c.connections())
            .collect();
        let daemon = scene.place.run();
        if !scene.records(&connected) {
            self.fault(&mut scene, "not all cameras are recorded");
        }
        self.settle(&mut scene, &mount);
        scene.fleet.pause();
        stop(daemon, &scene.place, &mut self.faults);
        self.settle(&mut scene, &mount);
        // Not before: the gap of the last end is committed some time after the start.
        match export(&mount.image()) {
            Some(copy) => self.check_gaps(&mut scene, &copy),
            None => self.fault(&mut scene, "the directory can't be copied"),
        }
        self.frames_sent += scene.fleet.sent();
        Some(())
    }

    /// Ends a run of the recorder.
    fn end(
        &mut self,
        scene: &Scene,
        daemon: Daemon,
        mount: &Mount,
        ending: Ending,
        sync_us: i64,
        rng: &mut Rng,
    ) -> Cut {
        let longest_ms = 3_000.max(sync_us as u64 * 3 / 2_000);
        match ending {
            Ending::Starting => {
                let changes = rng.u32(0..CHANGES_OF_A_START);
                mount.cut_after(changes, Duration::from_secs(3))
            }
            Ending::Recording => {
                sleep(Duration::from_millis(rng.u64(0..longest_ms)));
                // Not in the rhythm of the recorder, but among its calls.
                mount.cut_after(rng.u32(0..40), Duration::from_secs(1))
            }
            Ending::Killed => {
                sleep(Duration::from_millis(rng.u64(0..longest_ms)));
                let at_us = now_us();
                drop(daemon);
                let left = mount.image();
                Cut { at_us, left }
            }
            Ending::Stopped => {
                sleep(Duration::from_millis(rng.u64(0..longest_ms)));
                let at_us = now_us();
                stop(daemon, &scene.place, &mut self.faults);
                let left = mount.cut_after(0, Duration::ZERO).left;
                Cut { at_us, left }
            }
        }
    }

    fn fault(&mut self, scene: &mut Scene, fault: impl Into<String>) {
        let fault = fault.into();
        if scene.told.insert(fault.clone()) {
            let last = scene.runs.last();
            let end = end_of(&scene.place.log());
            self.faults.push(format!(
                "{fault}; the last run: {last:?}; the log:\n    {end}"
            ));
        }
    }

    /// What a cut left, before a recorder has seen it: no row without its bytes, and an index that is sound.
    fn look_at_what_is_left(&mut self, scene: &mut Scene, left: &Image) {
        let Some(copy) = export(left) else {
            return self.fault(scene, "what is left can't be copied");
        };
        if !copy.path().join("index.db").exists() {
            let has_recorded = |run: &Run| run.ending != Ending::Starting;
            if scene.runs.iter().any(has_recorded) {
                self.fault(scene, "nothing is left of what was recorded");
            }
            return;
        }
        let mut dangling = Vec::new();
        // Until the first start is over there are no tables.
        let _ = footage::for_each(copy.path(), |found| {
            let told = found.payload.map(|bytes| scene.fleet.pictures.tell(bytes));
            if !matches!(told, Ok(Some(_))) && found.row.complete {
                dangling.push(format!("{} {:?}: {told:?}", found.path, found.row));
            }
        });
        self.dangling += dangling.len() as u64;
        for row in dangling {
            self.fault(scene, format!("row without its bytes after the cut: {row}"));
        }
        self.check_index(scene, &copy);
    }

    fn check_index(&mut self, scene: &mut Scene, copy: &TempDir) {
        match RUNTIME.block_on(integrity(copy.path())) {
            Ok(said) if said == "ok" => {}
            said => {
                self.unsound += 1;
                self.fault(scene, format!("the index is not sound: {said:?}"));
            }
        }
    }

    /// The recorder runs: all that it made of what was left.
    fn settle(&mut self, scene: &mut Scene, mount: &Mount) {
        let rebuilding = format!("{STORAGE}/reindex");
        for _ in 0..LIMIT.as_millis() / 20 {
            if !mount.has(&rebuilding) {
                break;
            }
            sleep(Duration::from_millis(20));
        }
        let Some(copy) = export(&mount.image()) else {
            return self.fault(scene, "the directory can't be copied");
        };
        let ledger = ledger::settle(&scene.fleet, copy.path());
        for fault in ledger.faults {
            self.fault(scene, fault);
        }
        self.check_index(scene, &copy);
        self.check_losses(scene, &copy);
        let aside = std::fs::read_dir(copy.path())
            .into_iter()
            .flatten()
            .flatten();
        let aside = aside.filter(|entry| entry.file_name().to_string_lossy().ends_with('Z'));
        let said = scene.place.log().matches("was set aside").count();
        let set_aside = aside.count();
        if set_aside > said {
            self.fault(scene, "an index was set aside, and the log doesn't say so");
        }
        self.set_aside = self.set_aside.max(said);
    }

    /// Frames that are missing, against when their run ended.
    fn check_losses(&mut self, scene: &mut Scene, copy: &TempDir) {
        let mut stored: HashMap<u32, BTreeSet<u64>> = HashMap::new();
        // What can't be read is a fault already.
        let _ = footage::for_each(copy.path(), |found| {
            let told = found
                .payload
                .ok()
                .and_then(|bytes| scene.fleet.pictures.tell(bytes));
            if let Some(Number { camera, sequence }) = told {
                stored.entry(camera).or_default().insert(sequence);
            }
        });
        let mut worst: BTreeMap<(i64, i64), (i64, i64)> = BTreeMap::new();
        let mut late = Vec::new();
        for camera in &scene.fleet.cameras {
            let stored = stored.remove(&camera.number).unwrap_or_default();
            let mut newest_stored_us = HashMap::new();
            for connection in camera.journal() {
                for (sequence, &(_, sent_us)) in (connection.first..).zip(&connection.sent) {
                    let during = |run: &&Run| (run.began_us..=run.ended_us).contains(&sent_us);
                    let Some(run) = scene.runs.iter().find(during) else {
                        continue;
                    };
                    let newest_us = newest_stored_us.entry(run.ended_us).or_insert(sent_us);
                    if stored.contains(&sequence) {
                        *newest_us = sent_us;
                        continue;
                    }
                    let number = Number {
                        camera: camera.number,
                        sequence,
                    };
                    if !scene.missing.insert(number) {
                        continue;
                    }
                    let age_us = run.ended_us - sent_us;
                    let behind_us = sent_us - *newest_us;
                    let (oldest_us, most_us) =
                        worst.entry((run.ended_us, run.sync_us)).or_default();
                    *oldest_us = age_us.max(*oldest_us);
                    *most_us = behind_us.max(*most_us);
                    if age_us - run.sync_us > BUSY_US {
                        late.push(format!(
                            "{number:?} was sent {} ms before the end of {run:?}",
                            age_us / 1_000
                        ));
                    }
                }
            }
        }
        for ((_, sync_us), (oldest_us, behind_us)) in worst {
            self.oldest_lost_us.push(oldest_us);
            self.beyond_sync_us.push(oldest_us - sync_us);
            self.behind_us.push(behind_us);
        }
        self.lost_late += late.len() as u64;
        for frame in late {
            self.fault(
                scene,
                format!("lost, and it was older than it may be: {frame}"),
            );
        }
    }

    /// Each end of a run lies in a gap of each camera that had footage before it, and what was protected is.
    fn check_gaps(&mut self, scene: &mut Scene, copy: &TempDir) {
        let found = RUNTIME.block_on(gaps(copy.path()));
        let Ok((gaps, frames, protections)) = found else {
            return self.fault(scene, format!("the gaps can't be read: {found:?}"));
        };
        let mut faults = Vec::new();
        for camera in &scene.fleet.cameras {
            let name = camera.name();
            let of_camera: Vec<_> = gaps.iter().filter(|gap| gap.camera == name).collect();
            if of_camera
                .iter()
                .any(|gap| gap.ended_us.is_some_and(|us| us < gap.started_us))
            {
                faults.push(format!(
                    "{name}: a gap ends before it begins: {of_camera:?}"
                ));
            }
            let first_us = frames.get(&name).copied().unwrap_or(i64::MAX);
            let ends = scene.runs.iter().map(|run| run.ended_us);
            for ended_us in ends.filter(|us| *us > first_us) {
                // The gap begins with the last frame that was stored, which may be one that came while the power went.
                let explains = |gap: &&Gap| {
                    gap.reason == "recorder_down"
                        && gap.started_us <= ended_us + PROMISED_US
                        && gap.ended_us.is_none_or(|us| us >= ended_us)
                };
                if !of_camera.iter().copied().any(|gap| explains(&gap)) {
                    self.unexplained += 1;
                    faults.push(format!(
                        "{name}: no gap at the end of a run at {ended_us}: {of_camera:?}"
                    ));
                }
            }
        }
        for fault in faults {
            self.fault(scene, fault);
        }
        if protections < scene.protections {
            self.fault(
                scene,
                format!("{protections} of {} protections", scene.protections),
            );
        }
    }

    fn findings(self) -> Findings {
        let endings: Vec<_> = self
            .endings
            .iter()
            .map(|(how, count)| format!("{count} {how}"))
            .collect();
        let cuts: u32 = self.endings.values().sum();
        Findings {
            rounds: format!(
                "{cuts} ends ({}), {} frames",
                endings.join(", "),
                self.frames_sent
            ),
            figures: vec![
                Figure::nought(
                    "rows without their bytes as the cut left them (`sync` up to 1 s)",
                    self.dangling,
                ),
                Figure::nought("indexes that SQLite finds unsound", self.unsound),
                Figure::nought(
                    "frames lost that were sent more than `sync` + 3 s before the end",
                    self.lost_late,
                ),
                Figure::nought("ends of runs that no gap explains", self.unexplained),
                Figure::nought(
                    "faults in all: rows that point at nothing or at another frame, frames stored twice, …",
                    self.faults.len() as u64,
                ),
                Figure::plain(
                    "oldest frame lost, before the end (p50, p99, max of the worst camera)",
                    quantiles_ms(&self.oldest_lost_us),
                ),
                Figure::limited(
                    "the same, less `sync`",
                    quantiles_ms(&self.beyond_sync_us),
                    "max ≤ 1 s",
                    self.beyond_sync_us.iter().all(|us| *us <= PROMISED_US),
                ),
                Figure::plain(
                    "newest frame stored behind the newest sent (p50, p99, max)",
                    quantiles_ms(&self.behind_us),
                ),
                Figure::plain("indexes set aside and made anew", self.set_aside),
            ],
            faults: self.faults,
        }
    }
}

impl Scene {
    fn configure(&self, storage: &std::path::Path, sync: &str) {
        let keys = format!("sync = \"{sync}\"\nsegment = \"6 s\"");
        configure(&self.place, storage, &keys, &self.fleet.sections());
    }

    /// Waits until each camera is recorded again.
    fn records(&self, connected: &[usize]) -> bool {
        self.fleet.wait_until(LIMIT, |camera| {
            let journal = camera.journal();
            journal.len() > connected[camera.number as usize]
                && journal.last().is_some_and(|last| !last.sent.is_empty())
        })
    }

    /// Protects some footage of some camera, now and then.
    fn protect(&mut self, rng: &mut Rng) {
        if rng.u32(0..3) > 0 || !interface::keeps() {
            return;
        }
        let camera = cameras::name(rng.u32(0..self.fleet.cameras.len() as u32));
        let to_us = now_us();
        if interface::protect(&mount_path(self), &camera, to_us - 1_000_000, to_us) {
            self.protections += 1;
        }
    }
}

fn mount_path(scene: &Scene) -> std::path::PathBuf {
    scene.place.path("disk").join(STORAGE)
}

fn name(ending: Ending) -> &'static str {
    match ending {
        Ending::Recording => "cuts while recording",
        Ending::Starting => "cuts while starting",
        Ending::Killed => "kills",
        Ending::Stopped => "cuts after a stop",
    }
}

fn any_sync(rng: &mut Rng) -> (&'static str, i64) {
    let mut left = rng.u32(0..SYNCS.iter().map(|(_, _, share)| share).sum());
    for (text, us, share) in SYNCS {
        if left < share {
            return (text, us);
        }
        left -= share;
    }
    ("1 s", DURABLE_US)
}

/// A copy outside of the mounted file system: looking at it changes nothing, and SQLite makes no mappings of what this process serves.
fn export(image: &Image) -> Option<TempDir> {
    let copy = TempDir::new().ok()?;
    image.export(STORAGE, copy.path()).ok()?;
    Some(copy)
}

async fn integrity(storage: &std::path::Path) -> Result<String, sqlx::Error> {
    let mut connection = footage::connect(storage).await?;
    let said = sqlx::query_scalar("PRAGMA integrity_check(1)")
        .fetch_one(&mut connection)
        .await?;
    connection.close().await?;
    Ok(said)
}

/// A row of the table `gaps`.
#[derive(Debug, sqlx::FromRow)]
struct Gap {
    camera: String,
    started_us: i64,
    ended_us: Option<i64>,
    reason: String,
}

/// All gaps, the first frame of each camera, and how many protections there are.
async fn gaps(
    storage: &std::path::Path,
) -> Result<(Vec<Gap>, HashMap<String, i64>, i64), sqlx::Error> {
    let mut connection = footage::connect(storage).await?;
    let gaps = sqlx::query_as(
        "SELECT name AS camera, started_us, ended_us, reason FROM gaps JOIN cameras ON cameras.id = camera_id",
    )
    .fetch_all(&mut connection)
    .await?;
    let first: Vec<(String, i64)> =
        sqlx::query_as("SELECT name, min(captured_us) FROM frames JOIN cameras ON cameras.id = camera_id GROUP BY name")
            .fetch_all(&mut connection)
            .await?;
    let protections = sqlx::query_scalar("SELECT count(*) FROM protections")
        .fetch_one(&mut connection)
        .await?;
    connection.close().await?;
    Ok((gaps, first.into_iter().collect(), protections))
}
