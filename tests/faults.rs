//! The fault suite: framelog is broken on purpose, and what is lost is counted. Each scenario is a function from a plan to figures; the tests
//! here run short plans, `cargo bench -p framelog-tests --bench faults` long ones.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::daemon::{Daemon, Place};

mod cameras;
mod corruption;
pub mod figures;
mod footage;
mod full_disk;
mod hostile;
mod interface;
mod kill;
mod ledger;
mod pictures;
mod power_cut;
mod process;
mod quota;
mod reconfigure;
mod sigterm;
mod soak;

use cameras::Fleet;
use figures::Findings;
use ledger::Ledger;
pub use pictures::Codec;

/// How long something may take that always happens, but for a fault.
const LIMIT: Duration = Duration::from_secs(60);

/// How much of a scenario.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How often, for scenarios that repeat something.
    pub rounds: u32,
    /// How long, for scenarios that last.
    pub duration: Duration,
    /// What is random follows from it.
    pub seed: u64,
    /// What the cameras send.
    pub codec: Codec,
}

impl Plan {
    fn new(rounds: u32, seconds: u64, seed: u64) -> Self {
        Self {
            rounds,
            duration: Duration::from_secs(seconds),
            seed,
            codec: Codec::Mjpeg,
        }
    }
}

/// The scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// kill -9 while cameras record (rounds: kills)
    Kill,
    /// The same while old footage is removed all the time (rounds: kills)
    KillRetention,
    /// A limit of size while cameras record (seconds: in all)
    Quota,
    /// Reconfigurations and reconnects under load (rounds: of either)
    Reconfigure,
    /// Cameras that want to do harm (seconds: for each kind)
    Hostile,
    /// A disk that somebody else fills and frees (rounds: cycles)
    FullDisk,
    /// Bytes of the index and of segments flipped, segments cut (rounds: of each)
    Corruption,
    /// Power cuts on a disk that forgets what was not synced (rounds: cuts)
    PowerCut,
    /// SIGTERM under load (rounds: stops)
    Sigterm,
    /// Cameras that fail all the time (seconds: in all)
    Soak,
}

impl Scenario {
    /// In the order of a whole run.
    pub const ALL: [Self; 10] = [
        Self::Kill,
        Self::KillRetention,
        Self::Quota,
        Self::Reconfigure,
        Self::Hostile,
        Self::FullDisk,
        Self::Corruption,
        Self::PowerCut,
        Self::Sigterm,
        Self::Soak,
    ];

    /// As the command line has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::KillRetention => "kill-retention",
            Self::Quota => "quota",
            Self::Reconfigure => "reconfigure",
            Self::Hostile => "hostile",
            Self::FullDisk => "full-disk",
            Self::Corruption => "corruption",
            Self::PowerCut => "power-cut",
            Self::Sigterm => "sigterm",
            Self::Soak => "soak",
        }
    }

    /// As much as a test can afford.
    pub fn short(self, seed: u64) -> Plan {
        let (rounds, seconds) = match self {
            Self::Kill | Self::KillRetention => (4, 0),
            Self::Quota => (0, 10),
            Self::Reconfigure => (15, 0),
            Self::Hostile => (0, 1),
            Self::FullDisk => (2, 0),
            Self::Corruption => (10, 0),
            Self::PowerCut => (8, 0),
            Self::Sigterm => (2, 0),
            Self::Soak => (0, 15),
        };
        Plan::new(rounds, seconds, seed)
    }

    /// As much as a release needs.
    pub fn long(self, seed: u64) -> Plan {
        let (rounds, seconds) = match self {
            Self::Kill => (1_000, 0),
            Self::KillRetention => (500, 0),
            Self::Quota => (0, 600),
            Self::Reconfigure => (200, 0),
            Self::Hostile => (0, 20),
            Self::FullDisk => (100, 0),
            Self::Corruption => (1_000, 0),
            Self::PowerCut => (1_000, 0),
            Self::Sigterm => (100, 0),
            Self::Soak => (0, 1_800),
        };
        Plan::new(rounds, seconds, seed)
    }

    /// Runs it; `None` where this machine doesn't allow it, which is said on standard error.
    pub fn run(self, plan: &Plan) -> Option<Findings> {
        match self {
            Self::Kill => Some(kill::run(plan)),
            Self::KillRetention => Some(kill::run_with_retention(plan)),
            Self::Quota => Some(quota::run(plan)),
            Self::Reconfigure => Some(reconfigure::run(plan)),
            Self::Hostile => Some(hostile::run(plan)),
            Self::FullDisk => full_disk::run(plan),
            Self::Corruption => Some(corruption::run(plan)),
            Self::PowerCut => power_cut::run(plan),
            Self::Sigterm => Some(sigterm::run(plan)),
            Self::Soak => Some(soak::run(plan)),
        }
    }
}

/// Writes a configuration: more keys of `[storage]`, and the cameras.
fn configure(place: &Place, storage: &Path, keys: &str, cameras: &str) {
    place.write_config(&format!(
        "[storage]\npath = {storage:?}\n{keys}\n\n[http]\nlisten = \"127.0.0.1:0\"\n\n{cameras}"
    ));
}

/// Longer than it takes to commit.
const COMMIT: Duration = Duration::from_millis(2_500);

/// Waits until all that paused cameras have sent is in the index, or it has grown no more for so long.
fn let_settle(fleet: &Fleet, storage: &Path, unchanged: Duration) {
    let begun = Instant::now();
    let mut last = (0, Instant::now());
    while last.1.elapsed() < unchanged && begun.elapsed() < LIMIT {
        let counts = footage::counts(storage).unwrap_or_default();
        let of_fleet = fleet
            .cameras
            .iter()
            .filter_map(|camera| counts.get(&camera.name()));
        let rows = of_fleet.sum();
        if rows >= fleet.sent() {
            return;
        }
        if rows != last.0 {
            last = (rows, Instant::now());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Stops the recorder; a fault, with the end of its log, if it doesn't stop well.
fn stop(daemon: Daemon, place: &Place, faults: &mut Vec<String>) {
    match daemon.stop(LIMIT) {
        Some(status) if status.success() => {}
        status => faults.push(format!("stopped with {status:?}: {}", end_of(&place.log()))),
    }
}

/// The same, of a recorder whose index or footage was tampered with.
fn stop_tampered(mut daemon: Daemon, place: &Place, faults: &mut Vec<String>) {
    daemon.signal(rustix::process::Signal::TERM);
    match daemon.wait_whatever_it_did(LIMIT) {
        Some(status) if status.success() => {}
        status => faults.push(format!("stopped with {status:?}: {}", end_of(&place.log()))),
    }
}

/// The last lines of a log.
fn end_of(log: &str) -> String {
    let lines: Vec<_> = log.lines().rev().take(12).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n    ")
}

/// The accounts must add up, and agree with the rows of the index: frames that were dropped, and a fault for each camera of which that
/// isn't so. For recorders that were stopped, not killed.
fn settle_accounts(
    place: &Place,
    storage: &Path,
    ledger: &Ledger,
    faults: &mut Vec<String>,
) -> u64 {
    let accounts = interface::accounts(storage, &place.log());
    if accounts.is_empty() {
        faults.push("no accounts".to_owned());
    }
    for (camera, account) in &accounts {
        let rows = ledger.rows.get(camera).copied().unwrap_or(0);
        let accounted = account.stored + account.skipped + account.dropped + account.lost;
        if account.parts != accounted || account.stored != rows {
            faults.push(format!("{camera}: {account:?}, but {rows} rows"));
        }
    }
    accounts.values().map(|account| account.dropped).sum()
}

/// Every file below a directory, with its length.
fn lengths(directory: &Path) -> HashMap<PathBuf, u64> {
    let mut found = HashMap::new();
    let mut ahead = vec![directory.to_owned()];
    while let Some(next) = ahead.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(entry_is) if entry_is.is_dir() => ahead.push(entry.path()),
                Ok(file) => {
                    found.insert(entry.path(), file.len());
                }
                Err(_) => {} // gone in between
            }
        }
    }
    found
}

/// Runs the short plan, and holds it to what is promised in counts; times are for machines that do nothing else.
fn short(scenario: Scenario) {
    hold(scenario, scenario.short(1));
}

/// The same on `.mp4` segments, with fewer rounds: what they don't share with others is little.
fn short_of(codec: Codec, scenario: Scenario, rounds: u32) {
    let plan = Plan {
        rounds,
        codec,
        ..scenario.short(1)
    };
    hold(scenario, plan);
}

fn hold(scenario: Scenario, plan: Plan) {
    let Some(findings) = scenario.run(&plan) else {
        return;
    };
    findings.print(scenario.name(), &plan);
    findings.assert_counts_kept();
}

#[test]
fn killed_recorder_has_lost_no_more_than_it_may() {
    short(Scenario::Kill);
}

#[test]
fn killed_recorder_of_parts_without_length_has_lost_no_more_than_it_may() {
    short_of(Codec::MjpegWithoutLength, Scenario::Kill, 2);
}

#[test]
fn killed_recorder_of_h264_has_lost_no_more_than_it_may() {
    short_of(Codec::H264, Scenario::Kill, 2);
}

#[test]
fn damaged_index_or_segment_of_h264_never_gives_a_wrong_picture() {
    short_of(Codec::H264, Scenario::Corruption, 2);
}

#[test]
fn power_cut_leaves_no_row_of_h264_without_its_bytes() {
    short_of(Codec::H264, Scenario::PowerCut, 2);
}

#[test]
fn killed_recorder_of_h265_has_lost_no_more_than_it_may() {
    short_of(Codec::H265, Scenario::Kill, 1);
}

#[test]
fn damaged_index_or_segment_of_h265_never_gives_a_wrong_picture() {
    short_of(Codec::H265, Scenario::Corruption, 1);
}

#[test]
fn power_cut_leaves_no_row_of_h265_without_its_bytes() {
    short_of(Codec::H265, Scenario::PowerCut, 1);
}

#[test]
fn recorder_killed_while_footage_goes_leaves_index_and_files_agreed() {
    short(Scenario::KillRetention);
}

#[test]
fn limit_of_size_is_kept() {
    short(Scenario::Quota);
}

#[test]
fn reconfigured_recorder_accounts_for_every_frame() {
    short(Scenario::Reconfigure);
}

#[test]
fn hostile_cameras_harm_nobody() {
    short(Scenario::Hostile);
}

#[test]
fn full_disk_does_not_stop_recording() {
    short(Scenario::FullDisk);
}

#[test]
fn damaged_index_or_segment_never_gives_a_wrong_picture() {
    short(Scenario::Corruption);
}

#[test]
fn power_cut_leaves_no_row_without_its_bytes() {
    short(Scenario::PowerCut);
}

#[test]
fn terminated_recorder_has_stored_what_it_received() {
    short(Scenario::Sigterm);
}

#[test]
fn failing_cameras_lose_nothing_unaccounted_for() {
    short(Scenario::Soak);
}
