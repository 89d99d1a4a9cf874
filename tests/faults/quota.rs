//! A limit of size while cameras record: how far it is ever exceeded, and how much more than it asks for goes.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::cameras::{Fleet, Load};
use super::figures::{Figure, Findings};
use super::{COMMIT, LIMIT, Plan, configure, end_of, interface, ledger, lengths, let_settle, stop};
use crate::support::daemon::Place;

const LOAD: Load = Load {
    cameras: 16,
    fps: 20.0,
    frame_bytes: 10_000,
};
const KEYS: &str = "segment = \"1 s\"\nmax_size = \"20 MB\"";
const MAX_SIZE: u64 = 20_000_000;
/// Between two looks at the files.
const PAUSE: Duration = Duration::from_millis(50);

/// Records for `duration`, most of it at the limit.
pub fn run(plan: &Plan) -> Findings {
    let mut faults = Vec::new();
    let fleet = Fleet::start(plan.codec, LOAD);
    let place = Place::new("");
    configure(&place, &place.storage(), KEYS, &fleet.sections());
    let daemon = place.run();
    if !fleet.wait_until(LIMIT, |camera| camera.sent() > 0) {
        faults.push(format!(
            "not all cameras are recorded: {}",
            end_of(&place.log())
        ));
    }
    let footage = place.storage().join("footage");
    let bytes = || lengths(&footage).values().sum::<u64>();
    let (mut most, mut least) = (0, u64::MAX);
    let begun = Instant::now();
    while begun.elapsed() < plan.duration {
        let now = bytes();
        // Until something has gone for the first time there is less.
        if most > MAX_SIZE {
            least = least.min(now);
        }
        most = most.max(now);
        sleep(PAUSE);
    }
    fleet.pause();
    let_settle(&fleet, &place.storage(), COMMIT);
    stop(daemon, &place, &mut faults);
    let found = interface::verify(&place.storage(), false).unwrap_or_default();
    faults.extend(found);
    let at_end = bytes();
    let ledger = ledger::settle(&fleet, &place.storage());
    faults.extend(ledger.faults);
    let mb = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    Findings {
        rounds: format!(
            "{} s at {} MB/s, {} frames",
            plan.duration.as_secs(),
            (LOAD.cameras as f64 * LOAD.fps * LOAD.frame_bytes as f64 / 1e6).round(),
            ledger.sent
        ),
        figures: vec![
            Figure::nought(
                "rows that point at nothing or at another frame, frames stored twice, findings of `verify`",
                faults.len() as u64,
            ),
            Figure::plain("`max_size` of 20 MB: most that was ever there", mb(most)),
            Figure::plain("least that was kept once it had been reached", mb(least)),
            Figure::nought(
                "bytes above the limit at the end",
                at_end.saturating_sub(MAX_SIZE),
            ),
        ],
        faults,
    }
}
