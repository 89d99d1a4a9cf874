//! A small disk that somebody else fills to the brim and frees again: recording goes on for as long as something may go.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::cameras::{Fleet, Load};
use super::figures::{Figure, Findings};
use super::{LIMIT, Plan, configure, end_of, footage, interface, ledger, stop};
use crate::support::daemon::Place;
use crate::support::now_us;

const LOAD: Load = Load {
    cameras: 4,
    fps: 20.0,
    frame_bytes: 20_000,
};
const DISK: &str = "size=48m";
/// How long recording goes on before the first cycle: what may go later.
const HEAD_START: Duration = Duration::from_secs(5);
/// What is protected: so much of one camera.
const PROTECTED_US: i64 = 3_000_000;
/// The newest stored frame may be so old: rows are committed within 1 s, and room is made.
const STANDSTILL_MAX: Duration = Duration::from_secs(3);
/// How long the disk stays full, and then free: longer than a standstill may be.
const FULL_MS: Range<u64> = 4_000..7_000;
const FREE_MS: Range<u64> = 500..2_500;

/// Fills and frees the disk `rounds` times, the later half of them with protected footage. `None` where mounting is not permitted.
pub fn run(plan: &Plan) -> Option<Findings> {
    let mut rng = Rng::with_seed(plan.seed);
    let mut faults = Vec::new();
    let fleet = Fleet::start(plan.codec, LOAD);
    let place = Place::new("");
    let disk = Mount::tmpfs(place.path("disk"))?;
    let storage = disk.path.join("framelog");
    configure(
        &place,
        &storage,
        "segment = \"1 s\"\nmin_free = \"1 MB\"",
        &fleet.sections(),
    );
    let daemon = place.run();
    if !fleet.wait_until(LIMIT, |camera| camera.sent() > 0) {
        faults.push(format!(
            "not all cameras are recorded: {}",
            end_of(&place.log())
        ));
    }
    sleep(HEAD_START);
    let mut protected = HashSet::new();
    let mut standstill = Duration::ZERO;
    for cycle in 0..plan.rounds {
        if cycle == plan.rounds / 2 && interface::keeps() {
            protected = protect(&fleet, &storage, &mut faults);
        }
        let foreign = fill(&disk.path.join("foreign"));
        standstill = standstill.max(watch(&storage, Duration::from_millis(rng.u64(FULL_MS))));
        if let Err(error) = foreign {
            faults.push(format!(
                "cycle {cycle}: the foreign file can't be removed: {error}"
            ));
        }
        let _ = fs::remove_file(disk.path.join("foreign"));
        standstill = standstill.max(watch(&storage, Duration::from_millis(rng.u64(FREE_MS))));
    }
    fleet.pause();
    stop(daemon, &place, &mut faults);
    let found = interface::verify(&storage, false);
    let ledger = ledger::settle(&fleet, &storage);
    let left = frames_of(&fleet, &storage);
    let lost = protected.difference(&left).count();
    let wrong = ledger.faults.len() as u64;
    faults.extend(ledger.faults);
    faults.extend(found.iter().flatten().cloned());
    let went_on = standstill <= STANDSTILL_MAX;
    let longest = "longest time without a new row";
    Some(Findings {
        rounds: format!("{} cycles, {} frames", plan.rounds, ledger.sent),
        figures: vec![
            Figure::limited(
                longest,
                format!("{:.1} s", standstill.as_secs_f64()),
                "≤ 3 s",
                went_on,
            ),
            if interface::keeps() {
                Figure::nought("standstills of more than 3 s", u64::from(!went_on))
            } else {
                Figure::plain("retention", "no such command")
            },
            Figure::nought("protected frames lost", lost as u64),
            Figure::plain("protected frames", protected.len()),
            Figure::nought(
                "rows that point at nothing or at another frame, frames stored twice",
                wrong,
            ),
            match found {
                Some(found) => {
                    Figure::nought("findings of `verify` at the end", found.len() as u64)
                }
                None => Figure::plain("findings of `verify` at the end", "no such command"),
            },
            Figure::nought("faults", faults.len() as u64),
        ],
        faults,
    })
}

/// Writes until nothing more goes in.
fn fill(path: &Path) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    for piece in [1 << 20, 4 << 10, 1] {
        let zeros = vec![0; piece];
        // The error is the point.
        while file.write_all(&zeros).is_ok() {}
    }
    Ok(())
}

/// For so long: the longest that the newest row was old.
fn watch(storage: &Path, lasting: Duration) -> Duration {
    let begun = Instant::now();
    let mut longest = Duration::ZERO;
    while begun.elapsed() < lasting {
        if let Ok(Some(newest_us)) = footage::newest(storage) {
            let age_us = u64::try_from(now_us() - newest_us).unwrap_or(0);
            longest = longest.max(Duration::from_micros(age_us));
        }
        sleep(Duration::from_millis(100));
    }
    longest
}

/// Protects the newest footage of the first camera: the frames that must outlive everything.
fn protect(fleet: &Fleet, storage: &Path, faults: &mut Vec<String>) -> HashSet<i64> {
    let newest_us = footage::newest(storage).ok().flatten();
    let to_us = newest_us.unwrap_or_else(now_us);
    let from_us = to_us - PROTECTED_US;
    if !interface::protect(storage, &fleet.cameras[0].name(), from_us, to_us) {
        faults.push("footage can't be protected".to_owned());
        return HashSet::new();
    }
    let mut frames = frames_of(fleet, storage);
    frames.retain(|captured_us| (from_us..to_us).contains(captured_us));
    frames
}

/// Capture times of the frames of the first camera that are in the index.
fn frames_of(fleet: &Fleet, storage: &Path) -> HashSet<i64> {
    let first = fleet.cameras[0].name();
    let mut frames = HashSet::new();
    // Without an index there are none, which shows.
    let _ = footage::for_each(storage, |found| {
        if found.camera == first {
            frames.insert(found.row.captured_us);
        }
    });
    frames
}

/// A mounted file system. It is unmounted when dropped.
struct Mount {
    path: PathBuf,
}

impl Mount {
    fn tmpfs(path: PathBuf) -> Option<Self> {
        fs::create_dir_all(&path).expect("a writable temporary directory");
        let mut command = Command::new("mount");
        command
            .args(["-t", "tmpfs", "-o", DISK, "framelog-faults"])
            .arg(&path);
        let output = command.output();
        if output.is_ok_and(|output| output.status.success()) {
            return Some(Self { path });
        }
        eprintln!("skipped: a tmpfs can't be mounted here; run it as root");
        None
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // It fails only when it has been unmounted.
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(&self.path)
            .status();
    }
}
