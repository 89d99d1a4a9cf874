//! A damaged index, a damaged segment, a segment cut short: found, repaired or refused, but never another picture than the one that was
//! taken then.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::cameras::{Fleet, Load, name, number};
use super::figures::{Figure, Findings, quantile};
use super::footage::{self, Row};
use super::pictures::Codec;
use super::{
    COMMIT, LIMIT, Plan, configure, end_of, interface, lengths, let_settle, stop, stop_tampered,
};
use crate::support::daemon::{Daemon, Place};

const LOAD: Load = Load {
    cameras: 3,
    fps: 20.0,
    frame_bytes: 2_000,
};
const RECORDED: Duration = Duration::from_secs(4);

/// Damages a recorded directory in three ways, `rounds` times each.
pub fn run(plan: &Plan) -> Findings {
    let mut rng = Rng::with_seed(plan.seed);
    let mut bench = Bench::record(plan.codec);
    let mut figures = bench.flip_index(&mut rng, plan.rounds);
    figures.extend(bench.flip_segments(&mut rng, plan.rounds));
    figures.extend(bench.cut_segments(&mut rng, plan.rounds));
    Findings {
        rounds: format!("{} of each, {} frames", plan.rounds, bench.rows.len()),
        figures,
        faults: bench.faults,
    }
}

/// A recorded directory, and what is true of it.
struct Bench {
    fleet: Fleet,
    place: Place,
    storage: PathBuf,
    files: Vec<(PathBuf, Vec<u8>)>,
    /// Each frame's row with its segment's path.
    rows: Vec<(String, Row)>,
    /// When each frame was taken, by camera and sequence.
    stamps: HashMap<(u32, u64), i64>,
    faults: Vec<String>,
}

/// How a start went.
enum Start {
    Runs(Daemon),
    Refused,
    Broken,
}

impl Bench {
    fn record(codec: Codec) -> Self {
        let fleet = Fleet::start(codec, LOAD);
        let place = Place::new("");
        let storage = place.storage();
        configure(&place, &storage, "segment = \"1 s\"", &fleet.sections());
        let daemon = place.run();
        let mut faults = Vec::new();
        if !fleet.wait_until(LIMIT, |camera| camera.sent() > 0) {
            faults.push(format!(
                "not all cameras are recorded: {}",
                end_of(&place.log())
            ));
        }
        sleep(RECORDED);
        fleet.pause();
        let_settle(&fleet, &storage, COMMIT);
        stop(daemon, &place, &mut faults);
        let mut rows = Vec::new();
        let read = footage::for_each(&storage, |found| {
            rows.push((found.path.to_owned(), found.row.clone()));
        });
        faults.extend(read.err().map(|error| error.to_string()));
        let stamps = fleet.cameras.iter().flat_map(|camera| {
            let journal = camera.journal().into_iter();
            let frames = journal.flat_map(|one| (one.first..).zip(one.sent));
            let stamp = |(sequence, (stamp_us, _))| ((camera.number, sequence), stamp_us);
            frames.map(stamp).collect::<Vec<_>>()
        });
        Self {
            stamps: stamps.collect(),
            files: contents(&storage),
            fleet,
            place,
            storage,
            rows,
            faults,
        }
    }

    /// The directory as it was recorded, but for what `change` makes of its files.
    fn restore(&self, mut change: impl FnMut(&Path, &mut Vec<u8>)) {
        let _ = fs::remove_dir_all(&self.storage);
        for (path, bytes) in &self.files {
            let path = (self.storage.join(path), path);
            let mut bytes = bytes.clone();
            change(path.1, &mut bytes);
            let directory = path.0.parent().expect("a file is in a directory");
            fs::create_dir_all(directory).expect("a writable temporary directory");
            fs::write(&path.0, bytes).expect("a writable temporary directory");
        }
    }

    fn flip_index(&mut self, rng: &mut Rng, rounds: u32) -> Vec<Figure> {
        let size = self.length_of(Path::new("index.db"));
        let (mut wrong, mut given, mut refused, mut broken) = (0, 0, 0, 0);
        let (mut wrong_rows, mut unnoticed, mut unreadable) = (0, 0, 0);
        let (mut missing_worst, mut start_ms, mut rebuilt_ms) = (0, Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (at, bit) = (rng.usize(..size), 1 << rng.u8(..8));
            self.restore(|path, bytes| {
                if path == Path::new("index.db") {
                    bytes[at] ^= bit;
                }
            });
            let what = format!("index.db, byte {at} ^ {bit}");
            let (right, bad) = self.ask(rng, &what);
            (given, wrong) = (given + right, wrong + bad);
            let (begun, said) = (Instant::now(), self.place.log().len());
            match self.start(&what) {
                Start::Refused => {
                    refused += 1;
                    continue;
                }
                Start::Broken => {
                    broken += 1;
                    continue;
                }
                Start::Runs(daemon) => {
                    start_ms.push(begun.elapsed().as_millis() as i64);
                    self.wait_for_rows(self.rows.len() as u64);
                    rebuilt_ms.push(begun.elapsed().as_millis() as i64);
                    self.wait_for_check(said, &what);
                    stop_tampered(daemon, &self.place, &mut self.faults);
                }
            }
            let (right, bad) = self.ask(rng, &what);
            (given, wrong) = (given + right, wrong + bad);
            let Some((found, bad)) = self.check_rows(&what) else {
                unreadable += 1;
                continue;
            };
            wrong_rows += bad.len() as u64;
            let verified = interface::verify(&self.storage, true);
            if !bad.is_empty() && verified.is_some_and(|findings| findings.is_empty()) {
                unnoticed += 1;
            }
            if let Some((camera, at_us)) = bad.first() {
                let (right, bad) = self.ask_for(camera, *at_us, &what);
                (given, wrong) = (given + right, wrong + bad);
            }
            missing_worst =
                missing_worst.max(self.rows.len() as u64 - found.min(self.rows.len() as u64));
        }
        let missing = "index flipped: frames missing after the next start, worst";
        vec![
            Figure::nought_once(
                interface::has("verify"),
                "index flipped: pictures given that were not taken then",
                wrong,
            ),
            Figure::nought(
                "index flipped: starts that neither run nor say why not",
                broken,
            ),
            Figure::plain(
                "index flipped: starts that run, starts refused with a reason",
                format!("{}, {refused}", start_ms.len()),
            ),
            Figure::plain(
                "index flipped: rows that are wrong after the next start",
                wrong_rows,
            ),
            Figure::nought(
                "index flipped: directories with such rows that `verify --deep` finds well",
                unnoticed,
            ),
            Figure::nought(
                "index flipped: indexes that can't be read after the next start",
                unreadable,
            ),
            Figure::nought_once(interface::recovers(), missing, missing_worst),
            Figure::plain("index flipped: pictures given, as they were taken", given),
            Figure::plain(
                "index flipped: time to start (p50, max), until every frame has its row again (p50, max)",
                format!(
                    "{}, {}; {}, {} ms",
                    quantile(&start_ms, 0.5),
                    quantile(&start_ms, 1.0),
                    quantile(&rebuilt_ms, 0.5),
                    quantile(&rebuilt_ms, 1.0)
                ),
            ),
        ]
    }

    /// Asks for the picture of some frame: how many were given rightly, and how many wrongly.
    fn ask(&mut self, rng: &mut Rng, what: &str) -> (u64, u64) {
        let (_, row) = &self.rows[rng.usize(..self.rows.len())];
        let camera = name(rng.u32(..LOAD.cameras));
        self.ask_for(&camera, row.captured_us, what)
    }

    fn ask_for(&mut self, camera: &str, at_us: i64, what: &str) -> (u64, u64) {
        let output = match interface::frame(&self.storage, camera, at_us) {
            Ok(output) if output.status.success() => output,
            Ok(output) if output.status.code().is_some_and(|code| code <= 2) => return (0, 0),
            other => {
                self.faults
                    .push(format!("{what}: `frame` ended with {other:?}"));
                return (0, 1);
            }
        };
        let told = self.fleet.pictures.tell(&output.stdout);
        let taken_us = told.and_then(|told| self.stamps.get(&(told.camera, told.sequence)));
        let of_camera = told.is_some_and(|told| Some(told.camera) == number(camera));
        if of_camera && taken_us.is_some() && taken_us.copied() == interface::time_said(&output) {
            return (1, 0);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        self.faults.push(format!(
            "{what}: {camera} was given {told:?}, taken at {taken_us:?}, with {said}"
        ));
        (0, 1)
    }

    /// Starts the recorder; the cameras are paused.
    fn start(&mut self, what: &str) -> Start {
        let said = self.place.log().len();
        let mut daemon = self.place.run();
        let begun = Instant::now();
        while begun.elapsed() < LIMIT {
            let log = self.place.log();
            let new = log.get(said..).unwrap_or_default();
            if let Some(status) = daemon.ended() {
                let says_why = new.lines().any(|line| line.starts_with("framelog: "));
                if status.code() == Some(1) && says_why && !new.contains("panicked") {
                    return Start::Refused;
                }
                self.faults
                    .push(format!("{what}: {status}: {}", end_of(new)));
                return Start::Broken;
            }
            if new.contains(" started ") {
                return Start::Runs(daemon);
            }
            sleep(Duration::from_millis(10));
        }
        self.faults
            .push(format!("{what}: neither started nor ended in {LIMIT:?}"));
        Start::Broken
    }

    /// An index is made anew beside the recording: waits until it has so many rows, or grows no more.
    fn wait_for_rows(&self, rows: u64) {
        let mut grown = (0, Instant::now());
        while grown.1.elapsed() < Duration::from_secs(5) {
            let counts = footage::counts(&self.storage).unwrap_or_default();
            let found = counts.values().sum();
            if found >= rows {
                return;
            }
            if found != grown.0 {
                grown = (found, Instant::now());
            }
            sleep(Duration::from_millis(20));
        }
    }

    /// The recorder reads the index through, and makes a damaged one anew: waits until it has found one sound since it had said so much.
    fn wait_for_check(&mut self, said: usize, what: &str) {
        let begun = Instant::now();
        while begun.elapsed() < LIMIT {
            let log = self.place.log();
            if log[said..].contains("index checked: sound") {
                return;
            }
            sleep(Duration::from_millis(20));
        }
        let log = end_of(&self.place.log());
        self.faults
            .push(format!("{what}: not found sound in {LIMIT:?}: {log}"));
    }

    /// How many frames the index has, and camera and time of rows that are wrong; `None` if it can't be read.
    fn check_rows(&mut self, what: &str) -> Option<(u64, Vec<(String, i64)>)> {
        let (mut found, mut wrong, mut faults) = (0, Vec::new(), Vec::new());
        let (fleet, stamps) = (&self.fleet, &self.stamps);
        let read = footage::for_each(&self.storage, |frame| {
            found += 1;
            let (camera, row) = (frame.camera, frame.row);
            let told = frame
                .payload
                .ok()
                .and_then(|bytes| fleet.pictures.tell(bytes));
            let taken_us = told.and_then(|told| stamps.get(&(told.camera, told.sequence)));
            let of_camera = told.is_some_and(|told| Some(told.camera) == number(camera));
            if !of_camera || taken_us != Some(&row.captured_us) {
                wrong.push((camera.to_owned(), row.captured_us));
                faults.push(format!(
                    "{what}: {camera}: {row:?} is {told:?}, taken at {taken_us:?}"
                ));
            }
        });
        self.faults.extend(faults.into_iter().take(1));
        match read {
            Ok(()) => Some((found, wrong)),
            Err(error) => {
                self.faults.push(format!("{what}: after a start: {error}"));
                None
            }
        }
    }

    fn flip_segments(&mut self, rng: &mut Rng, rounds: u32) -> Vec<Figure> {
        const NAME: &str =
            "segment flipped: `verify --deep` named anything but the frame that was hit";
        if !interface::has("verify") {
            return vec![Figure::plain(NAME, "no such command")];
        }
        let mut wrong = 0;
        for _ in 0..rounds {
            let (path, row) = self.rows[rng.usize(..self.rows.len())].clone();
            let at = (row.offset + rng.i64(0..row.length)) as usize;
            let bit = 1 << rng.u8(..8);
            self.restore(|other, bytes| {
                if other == Path::new(&path) {
                    bytes[at] ^= bit;
                }
            });
            let found = interface::verify(&self.storage, true).unwrap_or_default();
            let names_it = |line: &String| {
                line.contains(&path) && line.contains(&interface::time(row.captured_us))
            };
            if found.len() != 1 || !found.iter().all(names_it) {
                wrong += 1;
                self.faults
                    .push(format!("{path}, byte {at} ^ {bit}, of {row:?}: {found:?}"));
            }
        }
        vec![Figure::nought(NAME, wrong)]
    }

    fn cut_segments(&mut self, rng: &mut Rng, rounds: u32) -> Vec<Figure> {
        const NAME: &str = "segment cut, index gone: frames before the cut that are missing, or wrong, after the next start";
        if !interface::recovers() {
            return vec![Figure::plain(NAME, "no recovery")];
        }
        let mut wrong = 0;
        for _ in 0..rounds {
            let (path, _) = self.rows[rng.usize(..self.rows.len())].clone();
            let cut = rng.usize(..self.length_of(Path::new(&path)));
            self.restore(|other, bytes| {
                if other == Path::new(&path) {
                    bytes.truncate(cut);
                }
            });
            for file in ["index.db", "index.db-wal", "index.db-shm"] {
                let _ = fs::remove_file(self.storage.join(file));
            }
            let what = format!("{path} cut at {cut}, no index");
            let Start::Runs(daemon) = self.start(&what) else {
                wrong += 1;
                continue;
            };
            let stays = |tail: i64| {
                let whole = |row: &Row| row.offset + row.length + tail <= cut as i64;
                let rows = self.rows.iter();
                rows.filter(|(other, row)| *other != path || whole(row))
                    .count() as u64
            };
            let (least, most) = (stays(2), stays(0));
            self.wait_for_rows(least);
            stop_tampered(daemon, &self.place, &mut self.faults);
            let Some((found, bad)) = self.check_rows(&what) else {
                wrong += 1;
                continue;
            };
            // A picture whose line end was cut off is whole; it may count as torn.
            if !bad.is_empty() || !(least..=most).contains(&found) {
                wrong += 1;
                self.faults
                    .push(format!("{what}: {found} frames, {least} expected"));
            }
        }
        vec![Figure::nought(NAME, wrong)]
    }

    fn length_of(&self, path: &Path) -> usize {
        let file = self.files.iter().find(|(other, _)| other == path);
        file.map_or(0, |(_, bytes)| bytes.len())
    }
}

/// Every file below a directory with its contents, relative to it.
fn contents(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).ok()?;
        Some((path.strip_prefix(directory).ok()?.to_owned(), bytes))
    };
    lengths(directory).into_keys().filter_map(read).collect()
}
