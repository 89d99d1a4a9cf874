//! Cameras that want to do harm, beside cameras that work: what a hostile peer costs, and whether its neighbours notice.

use std::io;
use std::thread::sleep;
use std::time::Instant;

use fastrand::Rng;

use super::cameras::{Fleet, Load};
use super::figures::{Figure, Findings};
use super::process::{self, Usage};
use super::{LIMIT, Plan, configure, end_of, ledger, let_settle, settle_accounts, stop};
use crate::support::camera::{Camera, Connection, HEAD, Listen, Script, script};
use crate::support::daemon::Place;
use crate::support::jpeg::Jpeg;

/// The cameras that work.
const LOAD: Load = Load {
    cameras: 4,
    fps: 25.0,
    frame_bytes: 10_000,
};
/// Hostile cameras at once, all of the same kind.
const PEERS: usize = 4;
/// What one of them may make the recorder hold: a picture that never ends looks like one to be stored until it is larger than `max_frame`.
const RSS_MAX: u64 = 32 << 20;
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
    for (kind, act) in kinds(plan.seed) {
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
    let kinds = kinds(plan.seed).len();
    Findings {
        rounds: format!(
            "{kinds} kinds × {PEERS} peers × {} s, {sent} good frames",
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
                "≤ 32 MiB (`max_frame`)",
                worst_rss.0 <= RSS_MAX,
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
        .map(|(peer, camera)| camera.section(&format!("hostile-{peer}"), "/"))
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

const RECONNECTS: &str = "a frame, then hang up";

/// Every kind, with what it sends.
fn kinds(seed: u64) -> Vec<(&'static str, Script)> {
    let noise: Vec<u8> = {
        let mut rng = Rng::with_seed(seed);
        std::iter::repeat_with(|| rng.u8(..)).take(PIECE).collect()
    };
    let jpeg = Jpeg::new(seed).entropy(2_000).bytes();
    let begun_picture = jpeg[..jpeg.len() - 2].to_vec();
    let part = |head: &str| {
        format!("{HEAD}--camframe\r\nContent-Type: image/jpeg\r\n{head}\r\n").into_bytes()
    };
    let whole = [
        part(&format!("Content-Length: {}\r\n", jpeg.len())),
        jpeg.clone(),
        b"\r\n--camframe\r\n".to_vec(),
    ]
    .concat();
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: multipart/x-mixed-replace; boundary=camframe\r\n\r\n";
    let gzip = HEAD.replace("\r\n\r\n", "\r\nContent-Encoding: gzip\r\n\r\n");
    let fields = "X-Field: abcdefghijklmnop\r\n".repeat(PIECE / 27);
    vec![
        (
            "endless fields in the answer",
            flood("HTTP/1.1 200 OK\r\n", &fields),
        ),
        (
            "one endless field in the answer",
            flood("HTTP/1.1 200 OK\r\nX-Field: ", "a".repeat(PIECE)),
        ),
        (
            "endless status line",
            flood("HTTP/1.1 200 ", "a".repeat(PIECE)),
        ),
        ("endless fields in a part", flood(part(""), &fields)),
        (
            "one endless field in a part",
            flood(part("X-Field: "), "a".repeat(PIECE)),
        ),
        (
            "endless parts without anything",
            flood(HEAD, "--camframe\r\n\r\n\r\n".repeat(PIECE / 16)),
        ),
        (
            "endless line ends in a part",
            flood(part(""), "\r\n".repeat(PIECE / 2)),
        ),
        (
            "endless boundaries",
            flood(HEAD, "--camframe\r\n".repeat(PIECE / 12)),
        ),
        (
            "endless pictures",
            flood(
                whole.clone(),
                [&whole[HEAD.len()..], b"\r\n"]
                    .concat()
                    .repeat(PIECE / whole.len()),
            ),
        ),
        (
            "endless picture without a length",
            flood(
                [part(""), begun_picture.clone()].concat(),
                vec![0x55; PIECE],
            ),
        ),
        (
            "picture of 2^63 bytes",
            flood(
                [
                    part("Content-Length: 9223372036854775808\r\n"),
                    begun_picture.clone(),
                ]
                .concat(),
                vec![0x55; PIECE],
            ),
        ),
        (
            "picture of 2^64 + 5 bytes",
            flood(
                [
                    part("Content-Length: 18446744073709551621\r\n"),
                    begun_picture.clone(),
                ]
                .concat(),
                vec![0x55; PIECE],
            ),
        ),
        (
            "picture of 31 MiB that never ends",
            flood(
                [part("Content-Length: 32505856\r\n"), begun_picture.clone()].concat(),
                vec![0x55; PIECE],
            ),
        ),
        (
            "answer of 2^63 bytes",
            flood(
                HEAD.replace(
                    "\r\n\r\n",
                    "\r\nContent-Length: 9223372036854775808\r\n\r\n",
                ),
                &noise,
            ),
        ),
        (
            "single picture without an end",
            flood(
                [
                    b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\n\r\n".to_vec(),
                    begun_picture,
                ]
                .concat(),
                vec![0x55; PIECE],
            ),
        ),
        (
            "endless chunk extension",
            flood([chunked.as_bytes(), b"5;"].concat(), "a".repeat(PIECE)),
        ),
        (
            "endless chunks of a byte",
            flood(chunked, "1\r\na\r\n".repeat(PIECE / 6)),
        ),
        ("endless chunk length", flood(chunked, "0".repeat(PIECE))),
        ("noise in parts", flood(HEAD, noise.clone())),
        ("noise", flood("", noise.clone())),
        ("noise as gzip", flood(gzip, noise)),
        ("a byte every 50 ms", drip(whole.clone())),
        (RECONNECTS, hang_up(whole)),
        ("hang up at once", script(async |_| Ok(()))),
    ]
}

/// Sends `begin`, then `piece` for as long as it is listened to.
fn flood(begin: impl AsRef<[u8]>, piece: impl AsRef<[u8]>) -> Script {
    let (begin, piece) = (begin.as_ref().to_vec(), piece.as_ref().to_vec());
    script(move |mut camera| {
        let (begin, piece) = (begin.clone(), piece.clone());
        async move {
            camera.request().await?;
            camera.send(&begin).await?;
            loop {
                camera.send(&piece).await?;
                camera.wait(PAUSE_MS).await;
            }
        }
    })
}

fn drip(bytes: Vec<u8>) -> Script {
    script(move |camera| drop_by_drop(camera, bytes.clone()))
}

async fn drop_by_drop(mut camera: Connection, bytes: Vec<u8>) -> io::Result<()> {
    camera.request().await?;
    for byte in bytes {
        camera.send([byte]).await?;
        camera.wait(50).await;
    }
    Ok(())
}

fn hang_up(bytes: Vec<u8>) -> Script {
    script(move |mut camera| {
        let bytes = bytes.clone();
        async move {
            camera.request().await?;
            camera.send(&bytes).await
        }
    })
}
