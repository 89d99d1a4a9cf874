//! Cameras that want to do harm, beside cameras that work: what a hostile peer costs, and whether its neighbours notice.

use std::thread::sleep;
use std::time::Instant;

use super::cameras::{Fleet, Load};
use super::figures::{Figure, Findings};
use super::process::{self, Usage};
use super::{Codec, LIMIT, Plan, configure, end_of, ledger, let_settle, settle_accounts, stop};
use crate::support::camera::{Camera, Listen, Script};
use crate::support::daemon::Place;

mod http;
mod rtsp;

/// The cameras that work.
const LOAD: Load = Load {
    cameras: 4,
    fps: 25.0,
    frame_bytes: 10_000,
};
/// Hostile cameras at once, all of the same kind.
const PEERS: usize = 4;
/// What one of them may make the recorder hold: a picture that never ends looks like one to be stored until it is larger than `max_frame`.
const HTTP_RSS_MAX: (u64, &str) = (32 << 20, "≤ 32 MiB (`max_frame`)");
/// Over RTSP the largest picture is smaller.
const RTSP_RSS_MAX: (u64, &str) = (16_000_000, "≤ 16 MB");
/// What both are called that let the recorder come back at once.
const RECONNECTS: &str = "a frame, then hang up";
/// A piece of a flood, and what lies between two of them: some 50 MB/s, as much as half of a gigabit network.
const PIECE: usize = 64 << 10;
const PAUSE_MS: u64 = 1;

/// Each kind of hostile camera for `duration`.
pub fn run(plan: &Plan) -> Findings {
    let mut faults = Vec::new();
    let none = measure(plan, None, &mut faults);
    let mut worst_rss = (0, "");
    let mut worst_cores = (0.0, "");
    let mut reconnects_a_minute = 0.0;
    let (mut lost, mut sent, mut died) = (0, none.sent, 0);
    let (kinds, (rss_max, rss_goal)) = match plan.codec {
        Codec::Mjpeg | Codec::MjpegWithoutLength => (http::kinds(plan.seed), HTTP_RSS_MAX),
        Codec::H264 | Codec::H265 => (rtsp::kinds(plan.seed), RTSP_RSS_MAX),
    };
    let count = kinds.len();
    for (kind, act) in kinds {
        let found = measure(plan, Some((kind, act)), &mut faults);
        let rss = found.usage.peak_rss.saturating_sub(none.usage.peak_rss) / PEERS as u64;
        let cores = (found.cores - none.cores).max(0.0) / PEERS as f64;
        eprintln!(
            "{kind}: {:.1} MB and {cores:.2} cores a peer, {} connections; beside them {} frames lost, {} dropped in all",
            mb(rss),
            found.connections,
            found.lost,
            found.dropped
        );
        if rss >= worst_rss.0 {
            worst_rss = (rss, kind);
        }
        if cores >= worst_cores.0 {
            worst_cores = (cores, kind);
        }
        if kind == RECONNECTS {
            reconnects_a_minute = found.connections as f64 * 60.0 / plan.duration.as_secs_f64();
        }
        lost += found.lost;
        sent += found.sent;
        died += u64::from(found.died);
    }
    Findings {
        rounds: format!(
            "{count} kinds × {PEERS} peers × {} s, {sent} good frames",
            plan.duration.as_secs()
        ),
        figures: vec![
            Figure::nought("times that the recorder ended or did not stop well", died),
            Figure::nought("frames lost of the cameras beside", lost),
            Figure::nought(
                "faults, and accounts that do not add up",
                faults.len() as u64,
            ),
            Figure::limited(
                "peak RSS of a hostile peer",
                format!("{:.1} MB ({})", mb(worst_rss.0), worst_rss.1),
                rss_goal,
                worst_rss.0 <= rss_max,
            ),
            Figure::plain(
                "CPU of a hostile peer",
                format!("{:.2} cores ({})", worst_cores.0, worst_cores.1),
            ),
            Figure::plain(
                "reconnects a minute to cameras that hang up after a frame",
                format!("{reconnects_a_minute:.0}"),
            ),
            Figure::plain(
                "peak RSS without hostile peers",
                format!("{:.1} MB", mb(none.usage.peak_rss)),
            ),
        ],
        faults,
    }
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// What one kind of hostile camera did.
struct Found {
    usage: Usage,
    cores: f64,
    sent: u64,
    lost: u64,
    dropped: u64,
    connections: usize,
    died: bool,
}

fn section(codec: Codec, peer: usize, camera: &Camera) -> String {
    let scheme = match codec {
        Codec::Mjpeg | Codec::MjpegWithoutLength => "http",
        Codec::H264 | Codec::H265 => "rtsp",
    };
    let address = camera.address;
    format!("[cameras.hostile-{peer}]\nurl = \"{scheme}://{address}/\"\n")
}

fn measure(
    plan: &Plan,
    hostile: Option<(&'static str, Script)>,
    faults: &mut Vec<String>,
) -> Found {
    let kind = hostile.as_ref().map_or("none", |(kind, _)| kind);
    let fleet = Fleet::start(plan.codec, LOAD);
    let peers: Vec<Camera> = hostile
        .iter()
        .flat_map(|(_, act)| {
            (0..PEERS)
                .map(|peer| Camera::start(Listen::plainly(plan.seed + peer as u64), act.clone()))
        })
        .collect();
    let sections: String = peers
        .iter()
        .enumerate()
        .map(|(peer, camera)| section(plan.codec, peer, camera))
        .collect();
    let place = Place::new("");
    configure(
        &place,
        &place.storage(),
        "",
        &(fleet.sections() + &sections),
    );
    let mut daemon = place.run();
    let mut found_faults = Vec::new();
    if !fleet.wait_until(LIMIT, |camera| camera.sent() > 0) {
        found_faults.push(format!(
            "not all cameras are recorded: {}",
            end_of(&place.log())
        ));
    }
    let (begun, before) = (Instant::now(), process::usage(daemon.pid()));
    sleep(plan.duration);
    let usage = process::usage(daemon.pid());
    let cores = (usage.cpu_s - before.cpu_s) / begun.elapsed().as_secs_f64();
    let connections = peers
        .iter()
        .map(|camera| camera.journal().connected_us.len())
        .sum();
    fleet.pause();
    drop(peers);
    // What a busy machine has not read yet is not lost: what is missing when nothing holds it up any more is.
    let_settle(&fleet, &place.storage(), LIMIT);
    let mut died = daemon.ended().is_some();
    let mut ends = Vec::new();
    stop(daemon, &place, &mut ends);
    died |= !ends.is_empty();
    let mut ledger = ledger::settle(&fleet, &place.storage());
    // What hostile cameras sent may well be stored; it is not the fleet's.
    ledger.faults.retain(|fault| !fault.starts_with("hostile-"));
    let dropped = settle_accounts(&place, &place.storage(), &ledger, &mut found_faults);
    for tail in &ledger.tails {
        eprintln!(
            "{kind}: camera {}: the last {} frames of connection {} ({:?}) are missing",
            tail.camera,
            tail.sent_us.len(),
            tail.connection,
            tail.end
        );
    }
    found_faults.extend(ends);
    found_faults.extend(ledger.faults);
    faults.extend(
        found_faults
            .into_iter()
            .map(|fault| format!("{kind}: {fault}")),
    );
    let tails: usize = ledger.tails.iter().map(|tail| tail.sent_us.len()).sum();
    Found {
        usage,
        cores,
        sent: ledger.sent,
        lost: ledger.holes + tails as u64,
        dropped,
        connections,
        died,
    }
}
