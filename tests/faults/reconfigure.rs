//! Reconfigurations and reconnects under load: what is not touched loses nothing, and every frame that came is accounted for.

use std::thread::sleep;
use std::time::Duration;

use fastrand::Rng;
use rustix::process::Signal;

use super::cameras::{Camera, End, Fleet, Load, Order};
use super::figures::{Figure, Findings};
use super::{COMMIT, LIMIT, Plan, configure, ledger, let_settle, settle_accounts, stop};
use crate::support::daemon::Place;

const LOAD: Load = Load {
    cameras: 16,
    fps: 20.0,
    frame_bytes: 3_000,
};
/// The first cameras are never touched.
const STEADY: usize = 6;

/// How a camera stands in the configuration.
#[derive(Clone, Copy)]
struct Section {
    present: bool,
    enabled: bool,
    target: u32,
}

impl Section {
    fn text(self, camera: &Camera) -> String {
        match (self.present, self.enabled) {
            (false, _) => String::new(),
            (true, true) => camera.section_at(&format!("/{}", self.target)),
            (true, false) => camera.section() + "enabled = false\n",
        }
    }
}

/// Changes something `rounds` times.
pub fn run(plan: &Plan) -> Findings {
    let mut rng = Rng::with_seed(plan.seed);
    let mut faults = Vec::new();
    let fleet = Fleet::start(plan.codec, LOAD);
    let mut sections = vec![
        Section {
            present: true,
            enabled: true,
            target: 0
        };
        fleet.cameras.len()
    ];
    let place = Place::new("");
    let write = |sections: &[Section]| {
        let text = sections.iter().zip(&fleet.cameras);
        let text: String = text.map(|(section, camera)| section.text(camera)).collect();
        configure(&place, &place.storage(), "segment = \"5 s\"", &text);
    };
    write(&sections);
    let daemon = place.run();
    if !fleet.wait_until(LIMIT, |camera| camera.sent() > 0) {
        faults.push("not all cameras are recorded".to_owned());
    }
    for _ in 0..plan.rounds {
        let at = rng.usize(STEADY..sections.len());
        let section = &mut sections[at];
        match rng.u8(0..7) {
            0 | 1 => section.present = !section.present,
            2 => section.enabled = !section.enabled,
            3 | 4 => section.target += 1,
            5 => fleet.cameras[at].order(Order::Close),
            _ => fleet.cameras[at].order(Order::Reset),
        }
        write(&sections);
        daemon.signal(Signal::HUP);
        sleep(Duration::from_millis(rng.u64(100..500)));
    }
    fleet.pause();
    let_settle(&fleet, &place.storage(), COMMIT);
    stop(daemon, &place, &mut faults);
    let ledger = ledger::settle(&fleet, &place.storage());
    let dropped = settle_accounts(&place, &place.storage(), &ledger, &mut faults);
    let accounts = faults.len() as u64;
    let applied = place.log().matches("configuration applied").count();
    let steady = fleet.cameras.iter().take(STEADY);
    let reconnected = steady.filter(|camera| camera.connections() != 1).count();
    let steady_tails = ledger
        .tails
        .iter()
        .filter(|tail| (tail.camera as usize) < STEADY);
    let lost_steady: usize = steady_tails.map(|tail| tail.sent_us.len()).sum();
    faults.extend(ledger.faults.iter().cloned());
    Findings {
        rounds: format!("{} changes, {} frames", plan.rounds, ledger.sent),
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
                "cameras reconnected that nobody had touched",
                reconnected as u64,
            ),
            Figure::nought(
                "frames lost of cameras that nobody had touched",
                lost_steady as u64,
            ),
            Figure::nought(
                "frames missing without an account of them",
                ledger.holes.abs_diff(dropped),
            ),
            Figure::nought(
                "frames lost of connections that their camera had closed well",
                ledger.tail_frames(End::Closed),
            ),
            Figure::plain("configurations applied", applied),
            Figure::plain("frames dropped, and accounted for", dropped),
            Figure::plain(
                "frames sent into connections that the recorder was closing",
                ledger.tail_frames(End::Recorder),
            ),
        ],
        faults,
    }
}
