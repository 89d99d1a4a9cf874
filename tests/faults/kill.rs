//! SIGKILL at random moments, and the next start.

use std::collections::HashSet;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::cameras::{Fleet, Load};
use super::figures::{Figure, Findings, quantile, quantiles_ms};
use super::footage::{self, Strangers};
use super::pictures::Codec;
use super::{COMMIT, LIMIT, Plan, configure, end_of, interface, ledger, let_settle, stop};
use crate::support::daemon::Place;
use crate::support::now_us;

const LOAD: Load = Load {
    cameras: 16,
    fps: 20.0,
    frame_bytes: 3_000,
};
/// So many kills on one directory; then a new one, so that looking at all of it stays cheap.
const BATCH: u32 = 50;
/// What a kill may cost of each camera: 250 ms, and the frame that was under way.
const PROMISED_US: i64 = 250_000 + 50_000;
/// The same on a machine that does other things too: from there on, a missing frame is a fault.
const BUSY_US: i64 = 1_000_000;

/// Kills a recorder of 16 cameras `rounds` times.
pub fn run(plan: &Plan) -> Findings {
    let tally = Tally::of(plan, "segment = \"2 s\"");
    let mut findings = tally.common(plan);
    findings.figures.extend(tally.losses());
    findings
}

/// The same while old footage is removed all the time. What a kill has cost can't be told from what a rule has removed.
pub fn run_with_retention(plan: &Plan) -> Findings {
    Tally::of(plan, "segment = \"1 s\"\nmax_size = \"3 MB\"").common(plan)
}

/// What was found so far, over all directories.
#[derive(Default)]
struct Tally {
    faults: Vec<String>,
    findings_of_verify: Option<u64>,
    holes: u64,
    /// Worst of all cameras at each kill: how long before it the oldest frame had been sent that is missing, µs.
    oldest_lost_us: Vec<i64>,
    /// Worst of all cameras at each kill: from the newest frame stored to the newest frame sent, µs.
    behind_us: Vec<i64>,
    frames_lost: u64,
    frames_lost_late: u64,
    frames_sent: u64,
    restart_ms: Vec<i64>,
    /// At the end of each directory.
    strangers: Vec<Strangers>,
}

impl Tally {
    /// With these keys of `[storage]`.
    fn of(plan: &Plan, keys: &str) -> Self {
        let mut rng = Rng::with_seed(plan.seed);
        let mut tally = Self::default();
        let mut left = plan.rounds;
        while left > 0 {
            let kills = left.min(BATCH);
            tally.kill_again_and_again(&mut rng, plan.codec, keys, kills);
            left -= kills;
        }
        tally
    }

    fn kill_again_and_again(&mut self, rng: &mut Rng, codec: Codec, keys: &str, kills: u32) {
        let fleet = Fleet::start(codec, LOAD);
        let place = Place::new("");
        configure(&place, &place.storage(), keys, &fleet.sections());
        let mut daemon = place.run();
        let mut before_us = 0;
        for kill in 0..kills {
            let connected = kill as usize;
            let records = fleet.wait_until(LIMIT, |camera| {
                let journal = camera.journal();
                journal.len() > connected
                    && journal.last().is_some_and(|last| !last.sent.is_empty())
            });
            if !records {
                let end = end_of(&place.log());
                return self
                    .faults
                    .push(format!("kill {kill}: not all cameras are recorded: {end}"));
            }
            sleep(Duration::from_millis(rng.u64(200..1_500)));
            let killed_us = now_us();
            drop(daemon);
            // What was sent in between nobody could take.
            let gone_us = now_us();
            let files: HashSet<_> = place.files().into_iter().collect();
            let restarted = Instant::now();
            daemon = place.run();
            while !has_new_frame(&place, &files) && restarted.elapsed() < LIMIT {
                sleep(Duration::from_millis(10));
            }
            self.restart_ms.push(restarted.elapsed().as_millis() as i64);
            self.settle(&fleet, &place, (before_us, killed_us));
            before_us = gone_us;
        }
        fleet.pause();
        let_settle(&fleet, &place.storage(), COMMIT);
        stop(daemon, &place, &mut self.faults);
        match footage::strangers(&place.storage()) {
            Ok(found) => self.strangers.push(found),
            Err(error) => self.faults.push(format!("index against files: {error}")),
        }
        let ledger = ledger::settle(&fleet, &place.storage());
        self.holes += ledger.holes;
        self.frames_sent += ledger.sent;
    }

    /// What the kill has cost; the recorder runs again.
    fn settle(&mut self, fleet: &Fleet, place: &Place, (before_us, killed_us): (i64, i64)) {
        if let Some(found) = interface::verify(&place.storage(), false) {
            *self.findings_of_verify.get_or_insert(0) += found.len() as u64;
            self.faults.extend(found);
        }
        let ledger = ledger::settle(fleet, &place.storage());
        self.faults.extend(ledger.faults);
        let (mut oldest_us, mut behind_us) = (0, 0);
        for tail in ledger.tails {
            let sent_us = tail.sent_us.into_iter();
            let lost: Vec<_> = sent_us
                .filter(|sent| (before_us..=killed_us).contains(sent))
                .collect();
            let (Some(first), Some(last)) = (lost.first(), lost.last()) else {
                continue;
            };
            oldest_us = oldest_us.max(killed_us - first);
            behind_us = behind_us.max(last - tail.stored_us.unwrap_or(*first));
            self.frames_lost += lost.len() as u64;
            self.frames_lost_late +=
                lost.iter().filter(|sent| last - *sent > BUSY_US).count() as u64;
        }
        self.oldest_lost_us.push(oldest_us);
        self.behind_us.push(behind_us);
    }

    /// What holds whether footage goes or not.
    fn common(&self, plan: &Plan) -> Findings {
        let sum = |of: fn(&Strangers) -> u64| self.strangers.iter().map(of).sum();
        let verify = "findings of `verify` after a restart";
        let restart_ms = quantile(&self.restart_ms, 0.99);
        let restarts_ms = [0.5, 0.99, 1.0].map(|share| quantile(&self.restart_ms, share));
        let [p50, p99, max] = restarts_ms;
        Findings {
            rounds: format!("{} kills, {} frames", plan.rounds, self.frames_sent),
            figures: vec![
                Figure::nought(
                    "rows that point at nothing or at another frame, frames stored twice",
                    self.faults.len() as u64,
                ),
                match self.findings_of_verify {
                    Some(found) => Figure::nought(verify, found),
                    None => Figure::plain(verify, "no such command"),
                },
                Figure::nought(
                    "segments in the index without a file",
                    sum(|found| found.rows),
                ),
                Figure::nought_once(
                    interface::recovers(),
                    "files without a row",
                    sum(|found| found.files),
                ),
                Figure::nought_once(
                    interface::recovers(),
                    "bytes of segments without a row",
                    sum(|found| found.bytes),
                ),
                Figure::limited(
                    "restart to the first new frame in a file (p50, p99, max)",
                    format!("{p50}, {p99}, {max} ms"),
                    "p99 ≤ 2 s",
                    restart_ms <= 2_000,
                ),
            ],
            faults: self.faults.clone(),
        }
    }

    /// What the kills have cost.
    fn losses(&self) -> Vec<Figure> {
        vec![
            Figure::nought("frames missing before one that is stored", self.holes),
            Figure::nought_once(
                interface::recovers(),
                "frames lost that were sent more than 1 s before the newest",
                self.frames_lost_late,
            ),
            Figure::limited(
                "footage lost per kill, worst camera: newest frame stored to newest frame sent (p50, p99, max)",
                quantiles_ms(&self.behind_us),
                "max ≤ 250 ms + 1 frame",
                quantile(&self.behind_us, 1.0) <= PROMISED_US,
            ),
            Figure::plain(
                "oldest frame lost, before the kill (p50, p99, max)",
                quantiles_ms(&self.oldest_lost_us),
            ),
            Figure::plain("frames lost", self.frames_lost),
        ]
    }
}

/// Whether there is a segment with bytes in it that wasn't there before.
fn has_new_frame(place: &Place, before: &HashSet<PathBuf>) -> bool {
    let is_new = |path: &PathBuf| {
        path.extension()
            .is_some_and(|end| end == "mjpeg" || end == "mp4")
            && !before.contains(path)
    };
    let mut new = place.files().into_iter().filter(is_new);
    new.any(|path| path.metadata().is_ok_and(|file| file.len() > 0))
}
