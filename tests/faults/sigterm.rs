//! SIGTERM under load: what had been received is stored when the recorder has ended.

use std::thread::sleep;
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::process::Signal;

use super::cameras::{Fleet, Load};
use super::figures::{Figure, Findings, quantile};
use super::{LIMIT, Plan, configure, end_of, ledger, settle_accounts};
use crate::support::daemon::Place;
use crate::support::now_us;

const LOAD: Load = Load {
    cameras: 16,
    fps: 25.0,
    frame_bytes: 20_000,
};
/// Frames sent so long before the signal have been received, on a machine that does other things too.
const RECEIVED_US: i64 = 500_000;

/// Stops a recorder `rounds` times, each on a directory of its own.
pub fn run(plan: &Plan) -> Findings {
    let mut rng = Rng::with_seed(plan.seed);
    let mut faults = Vec::new();
    let (mut sent, mut lost, mut dropped, mut holes) = (0, 0, 0, 0);
    let (mut stops_ms, mut oldest_us) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let fleet = Fleet::start(plan.codec, LOAD);
        let place = Place::new("");
        configure(
            &place,
            &place.storage(),
            "segment = \"2 s\"",
            &fleet.sections(),
        );
        let mut daemon = place.run();
        if !fleet.wait_until(LIMIT, |camera| camera.sent() > 0) {
            faults.push(format!(
                "not all cameras are recorded: {}",
                end_of(&place.log())
            ));
        }
        sleep(Duration::from_millis(rng.u64(200..3_000)));
        let (asked_us, asked) = (now_us(), Instant::now());
        daemon.signal(Signal::TERM);
        match daemon.wait(LIMIT) {
            Some(status) if status.success() => {}
            status => faults.push(format!("stopped with {status:?}: {}", end_of(&place.log()))),
        }
        stops_ms.push(asked.elapsed().as_millis() as i64);
        let ledger = ledger::settle(&fleet, &place.storage());
        dropped += settle_accounts(&place, &place.storage(), &ledger, &mut faults);
        let missing = ledger.tails.iter().flat_map(|tail| &tail.sent_us);
        let ages: Vec<i64> = missing
            .map(|sent_us| asked_us - sent_us)
            .filter(|age| *age > 0)
            .collect();
        lost += ages.iter().filter(|age| **age > RECEIVED_US).count() as u64;
        oldest_us.push(ages.into_iter().max().unwrap_or(0));
        sent += ledger.sent;
        holes += ledger.holes;
        faults.extend(ledger.faults);
    }
    Findings {
        rounds: format!("{} stops, {sent} frames", plan.rounds),
        figures: vec![
            Figure::nought(
                "faults, and accounts that do not add up",
                faults.len() as u64,
            ),
            Figure::nought(
                "frames lost that were sent more than 500 ms before the signal",
                lost,
            ),
            Figure::nought("frames received but not stored", dropped + holes),
            Figure::plain(
                "oldest frame sent before the signal and not stored (still on its way)",
                format!("{} ms", quantile(&oldest_us, 1.0) / 1_000),
            ),
            Figure::limited(
                "time to stop (p50, max)",
                format!(
                    "{}, {} ms",
                    quantile(&stops_ms, 0.5),
                    quantile(&stops_ms, 1.0)
                ),
                "≤ 5 s",
                quantile(&stops_ms, 1.0) <= 5_000,
            ),
        ],
        faults,
    }
}
