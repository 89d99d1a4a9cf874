//! SIGKILL at random moments, and the next start.

use std::collections::HashSet;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::cameras::{Fleet, Load};
use super::figures::{Figure, Findings, quantile};
use super::{LIMIT, Plan, configure, end_of, interface, ledger};
use crate::support::daemon::Place;
use crate::support::now_us;

const LOAD: Load = Load {
    cameras: 16,
    fps: 20.0,
    frame_bytes: 3_000,
};
/// So many kills on one directory; then a new one, so that looking at all of it stays cheap.
const BATCH: u32 = 50;
/// How old footage must be to be there after a kill.
const PROMISED_US: i64 = 250_000;
/// The same on a machine that does other things too: what a frame that is missing is a fault from.
const BUSY_US: i64 = PROMISED_US + 750_000;

/// Kills a recorder of 16 cameras `rounds` times.
pub fn run(plan: &Plan) -> Findings {
    let mut rng = Rng::with_seed(plan.seed);
    let mut tally = Tally::default();
    let mut left = plan.rounds;
    while left > 0 {
        let kills = left.min(BATCH);
        tally.kill_again_and_again(&mut rng, kills);
        left -= kills;
    }
    tally.findings(plan)
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
}

impl Tally {
    fn kill_again_and_again(&mut self, rng: &mut Rng, kills: u32) {
        let fleet = Fleet::start(LOAD);
        let place = Place::new("");
        configure(
            &place,
            &place.storage(),
            "segment = \"2 s\"",
            &fleet.sections(),
        );
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
            let files: HashSet<_> = place.files().into_iter().collect();
            let restarted = Instant::now();
            daemon = place.run();
            while !has_new_frame(&place, &files) && restarted.elapsed() < LIMIT {
                sleep(Duration::from_millis(10));
            }
            self.restart_ms.push(restarted.elapsed().as_millis() as i64);
            self.settle(&fleet, &place, (before_us, killed_us));
            before_us = killed_us;
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
            self.frames_lost_late += lost
                .iter()
                .filter(|sent| killed_us - *sent > BUSY_US)
                .count() as u64;
        }
        self.oldest_lost_us.push(oldest_us);
        self.behind_us.push(behind_us);
    }

    fn findings(self, plan: &Plan) -> Findings {
        let worst_us = quantile(&self.oldest_lost_us, 1.0);
        let restart_ms = quantile(&self.restart_ms, 0.99);
        let late = "frames lost that were sent more than 1 s before the kill";
        Findings {
            rounds: format!("{} kills, {} frames", plan.rounds, self.frames_sent),
            figures: vec![
                Figure::nought(
                    "rows that point at nothing or at another frame, frames stored twice",
                    self.faults.len() as u64,
                ),
                match self.findings_of_verify {
                    Some(found) => Figure::nought("findings of `verify` after a restart", found),
                    None => {
                        Figure::plain("findings of `verify` after a restart", "no such command")
                    }
                },
                Figure::nought("frames missing before one that is stored", self.holes),
                if interface::recovers() {
                    Figure::nought(late, self.frames_lost_late)
                } else {
                    Figure::plain(late, self.frames_lost_late)
                },
                Figure::limited(
                    "oldest frame lost, before the kill (p50, p99, max of the worst camera)",
                    quantiles_ms(&self.oldest_lost_us),
                    "max ≤ 250 ms",
                    worst_us <= PROMISED_US,
                ),
                Figure::plain(
                    "newest frame stored behind the newest sent (p50, p99, max)",
                    quantiles_ms(&self.behind_us),
                ),
                Figure::plain("frames lost", self.frames_lost),
                Figure::limited(
                    "restart to the first new frame in a file (p50, p99, max)",
                    format!(
                        "{}, {restart_ms}, {} ms",
                        quantile(&self.restart_ms, 0.5),
                        quantile(&self.restart_ms, 1.0)
                    ),
                    "p99 ≤ 2 s",
                    restart_ms <= 2_000,
                ),
            ],
            faults: self.faults,
        }
    }
}

fn quantiles_ms(values_us: &[i64]) -> String {
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| quantile(values_us, share) / 1_000);
    format!("{p50}, {p99}, {max} ms")
}

/// Whether there is a segment with bytes in it that wasn't there before.
fn has_new_frame(place: &Place, before: &HashSet<PathBuf>) -> bool {
    let is_new = |path: &PathBuf| {
        path.extension().is_some_and(|end| end == "mjpeg") && !before.contains(path)
    };
    let mut new = place.files().into_iter().filter(is_new);
    new.any(|path| path.metadata().is_ok_and(|file| file.len() > 0))
}
