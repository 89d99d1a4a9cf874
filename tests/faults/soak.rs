//! Many cameras for a long time, one of them failing at any moment: no loss that is not accounted for, and nothing that grows.

use std::thread::sleep;
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::process::Signal;

use super::cameras::{Camera, End, Fleet, Load, Order};
use super::figures::{Figure, Findings, quantiles_ms};
use super::process::{self, Usage};
use super::{COMMIT, LIMIT, Plan, configure, end_of, ledger, let_settle, settle_accounts, stop};
use crate::support::daemon::Place;

const LOAD: Load = Load {
    cameras: 64,
    fps: 10.0,
    frame_bytes: 3_000,
};
/// Between two faults.
const PAUSE: Duration = Duration::from_millis(250);
/// What a flat resident set may grow by, from the first quarter to the last: 5 %, and 4 MB for short runs.
const GROWTH_MAX: f64 = 1.05;
const GROWTH_MAX_BYTES: f64 = 4e6;

/// Records failing cameras for `duration`.
pub fn run(plan: &Plan) -> Findings {
    let mut rng = Rng::with_seed(plan.seed);
    let mut faults = Vec::new();
    let fleet = Fleet::start(plan.codec, LOAD);
    let mut targets = vec![0; fleet.cameras.len()];
    let place = Place::new("");
    let write = |targets: &[u32]| {
        let cameras = fleet.cameras.iter().zip(targets);
        let section = |(camera, target): (&Camera, &u32)| {
            camera.section_at(&format!("/{target}")) + "stall_timeout = \"2 s\"\n"
        };
        let text: String = cameras.map(section).collect();
        configure(&place, &place.storage(), "segment = \"10 s\"", &text);
    };
    write(&targets);
    let mut daemon = place.run();
    if !fleet.wait_until(LIMIT, |camera| camera.sent() > 0) {
        faults.push(format!(
            "not all cameras are recorded: {}",
            end_of(&place.log())
        ));
    }
    let mut samples = Vec::new();
    let (begun, mut given) = (Instant::now(), 0_u64);
    while begun.elapsed() < plan.duration && daemon.ended().is_none() {
        let at = rng.usize(..fleet.cameras.len());
        let some_ms = Duration::from_millis(rng.u64(500..5_000));
        match rng.u8(0..5) {
            0 => fleet.cameras[at].order(Order::Stall(some_ms)),
            1 => fleet.cameras[at].order(Order::Close),
            2 => fleet.cameras[at].order(Order::Reset),
            3 => fleet.cameras[at].order(Order::Vanish(some_ms)),
            _ => {
                targets[at] += 1;
                write(&targets);
                daemon.signal(Signal::HUP);
            }
        }
        given += 1;
        sleep(PAUSE);
        samples.push(process::usage(daemon.pid()));
    }
    fleet.pause();
    let_settle(&fleet, &place.storage(), COMMIT);
    stop(daemon, &place, &mut faults);
    let ledger = ledger::settle(&fleet, &place.storage());
    let dropped = settle_accounts(&place, &place.storage(), &ledger, &mut faults);
    let accounts = faults.len() as u64;
    faults.extend(ledger.faults.iter().cloned());
    let unexplained = ledger.tail_frames(End::Closed) + ledger.tail_frames(End::Open);
    let (first, last) = quarters(&samples);
    let rss = |usage: &Usage| usage.rss as f64;
    let flat = rss(&last) <= rss(&first) * GROWTH_MAX + GROWTH_MAX_BYTES;
    Findings {
        rounds: format!(
            "{} s, {} cameras, {given} faults, {} frames",
            plan.duration.as_secs(),
            LOAD.cameras,
            ledger.sent
        ),
        figures: vec![
            Figure::nought(
                "accounts that do not add up or differ from the index",
                accounts,
            ),
            Figure::nought(
                "rows that point at nothing or at another frame, frames stored twice",
                ledger.faults.len() as u64,
            ),
            Figure::nought(
                "frames missing without an account of them",
                ledger.holes.abs_diff(dropped) + unexplained,
            ),
            Figure::plain("frames dropped, and accounted for", dropped),
            Figure::plain(
                "frames sent into connections that were reset or given up",
                [End::Reset, End::Vanished, End::Recorder]
                    .map(|end| ledger.tail_frames(end))
                    .iter()
                    .sum::<u64>(),
            ),
            Figure::plain(
                "camera that closed its connection: away (p50, p99, max)",
                away(&fleet, End::Closed),
            ),
            Figure::plain(
                "camera that reset its connection: away (p50, p99, max)",
                away(&fleet, End::Reset),
            ),
            Figure::limited(
                "RSS, mean of the first and of the last quarter",
                format!("{:.1}, {:.1} MB", rss(&first) / 1e6, rss(&last) / 1e6),
                "flat",
                flat,
            ),
            Figure::plain(
                "open files, most in the first and in the last quarter",
                format!("{}, {}", first.files, last.files),
            ),
            Figure::plain(
                "threads, most in the first and in the last quarter",
                format!("{}, {}", first.threads, last.threads),
            ),
        ],
        faults,
    }
}

/// How long cameras were without a connection.
fn away(fleet: &Fleet, end: End) -> String {
    let cameras = fleet.cameras.iter();
    quantiles_ms(
        &cameras
            .flat_map(|camera| camera.away_us(end))
            .collect::<Vec<_>>(),
    )
}

/// The first and the last quarter: RSS on average, files and threads at their most.
fn quarters(samples: &[Usage]) -> (Usage, Usage) {
    let quarter = (samples.len() / 4).max(1).min(samples.len());
    let sum_up = |samples: &[Usage]| Usage {
        rss: samples.iter().map(|usage| usage.rss).sum::<u64>() / samples.len().max(1) as u64,
        files: samples.iter().map(|usage| usage.files).max().unwrap_or(0),
        threads: samples.iter().map(|usage| usage.threads).max().unwrap_or(0),
        ..Usage::default()
    };
    (
        sum_up(&samples[..quarter]),
        sum_up(&samples[samples.len() - quarter..]),
    )
}
