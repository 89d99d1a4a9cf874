//! What real cameras send, each quirk a case: all cases of a mode run against one recorder at once, and each is a test of its own name.
//! The numbers are those of the list of quirks (`row_31_…`); a case without a number is of the same class, seen elsewhere or made up.

mod auth;
mod connection;
mod framing;
mod http;
mod jpeg;
mod manners;
mod oddities;
mod plan;
mod rtsp;
mod rtsp_answers;
mod rtsp_dialogue;
mod rtsp_h265;
mod rtsp_jpeg;
mod rtsp_login;
mod rtsp_pictures;
mod rtsp_streams;
mod rtsp_udp;
mod rtsp_units;
mod time;
mod verdict;

use std::collections::BTreeMap;
use std::process::ExitStatus;
use std::sync::{LazyLock, OnceLock, RwLock};
use std::time::{Duration, Instant};

use crate::support::camera::{Camera, Journal, Listen};
use crate::support::daemon::Place;
use crate::support::index::{Gap, Row, Segment};
use crate::support::now_us;
use crate::support::wire::Mode;
use plan::Plan;

/// How long the recorder runs. What it may do in a time is counted up to here.
const RUN: Duration = Duration::from_secs(34);
/// How much longer it runs where the machine is too busy for the cameras to have sent what they should: less than what those that have would
/// then be called stalled for (60 s).
const GRACE: Duration = Duration::from_secs(50);

/// Many small writes are dear: those cameras begin in so many waves, so far apart. All at once they would keep each other from the processor for longer
/// than a recorder waits within a picture's padding.
const WAVES: u64 = 8;
const WAVE: Duration = Duration::from_millis(800);

/// Makes a table of cases, and for each case a test in each mode. A case's tests stand together, so that threads that take one test after the
/// other wait for recorders that run beside each other.
macro_rules! cases {
    ($($name:ident => $plan:expr;)+) => {
        /// The cases of this file, by name.
        pub fn cases() -> Vec<(&'static str, super::plan::Plan)> {
            vec![$((stringify!($name), $plan)),+]
        }
        $(mod $name {
            use crate::quirks::check;
            use crate::support::wire::Mode;

            #[test]
            fn plain() {
                check(Mode::Plain, stringify!($name));
            }

            #[test]
            fn bytes() {
                check(Mode::Bytes, stringify!($name));
            }

            #[test]
            fn random() {
                check(Mode::Random, stringify!($name));
            }
        })+
    };
}
use cases;

/// What came of one case.
struct Outcome {
    plan: Plan,
    journal: Journal,
    rows: Vec<(Row, Result<Vec<u8>, String>)>,
    gaps: Vec<Gap>,
    due_us: i64,
}

/// What came of all cases in one mode.
struct Run {
    outcomes: BTreeMap<&'static str, Outcome>,
    exit: Option<ExitStatus>,
    log: String,
    segments: Vec<Segment>,
    leaks: Vec<String>,
}

/// Cases that share a recorder. Each protocol has its own: all cameras at once are more than a small machine can play.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Group {
    Http,
    Rtsp,
    RtspOdd,
}

impl Group {
    const ALL: [Self; 3] = [Self::Http, Self::Rtsp, Self::RtspOdd];

    fn plans(self) -> Vec<(&'static str, Plan)> {
        match self {
            Self::Http => [
                http::cases(),
                framing::cases(),
                jpeg::cases(),
                time::cases(),
                connection::cases(),
                auth::cases(),
                oddities::cases(),
                manners::cases(),
            ]
            .concat(),
            Self::Rtsp => [
                rtsp::cases(),
                rtsp_login::cases(),
                rtsp_pictures::cases(),
                rtsp_udp::cases(),
            ]
            .concat(),
            Self::RtspOdd => [
                rtsp_answers::cases(),
                rtsp_dialogue::cases(),
                rtsp_streams::cases(),
                rtsp_h265::cases(),
                rtsp_jpeg::cases(),
                rtsp_units::cases(),
            ]
            .concat(),
        }
    }

    fn of(name: &str) -> Self {
        static GROUPS: LazyLock<BTreeMap<&str, Group>> = LazyLock::new(|| {
            let named = |group: Group| {
                group
                    .plans()
                    .into_iter()
                    .map(move |(name, _)| (name, group))
            };
            Group::ALL.into_iter().flat_map(named).collect()
        });
        GROUPS[name]
    }
}

fn run_of(group: Group, mode: Mode) -> &'static Run {
    static RUNS: [[OnceLock<Run>; 3]; 3] = [const { [const { OnceLock::new() }; 3] }; 3];
    RUNS[group as usize][mode as usize].get_or_init(|| run(group, mode))
}

/// Starts a camera for each case and one recorder for all, waits, stops it, and collects what it left.
fn run(group: Group, mode: Mode) -> Run {
    // Cameras that send byte by byte are dear to play: they have the machine to themselves.
    static TURN: RwLock<()> = RwLock::new(());
    let _turn = match mode {
        Mode::Bytes => (Some(TURN.write()), None),
        Mode::Plain | Mode::Random => (None, Some(TURN.read())),
    };
    let started: Vec<_> = group
        .plans()
        .into_iter()
        .zip(1..)
        .map(|((name, plan), seed)| {
            let delay = match mode {
                Mode::Plain => Duration::ZERO,
                Mode::Bytes | Mode::Random => {
                    WAVE * u32::try_from(seed % WAVES).expect("few waves")
                }
            };
            let listen = Listen {
                mode,
                seed,
                tls: plan.tls,
                v6: plan.v6,
                delay,
            };
            let camera = Camera::start(listen, plan.script.clone());
            (name, plan, camera)
        })
        .collect();
    let place = Place::new(
        &started
            .iter()
            .map(|(name, plan, camera)| plan.toml(name, camera))
            .collect::<String>(),
    );
    for (_, plan, _) in &started {
        plan.secrets.iter().for_each(|secret| place.plant(secret));
    }
    let daemon = place.run();
    std::thread::sleep(RUN);
    let counted: Vec<Journal> = started
        .iter()
        .map(|(.., camera)| camera.journal())
        .collect();
    wait_for_frames(&started);
    // What is on its way at the stop may be stored or not.
    let due_us = now_us() - 500_000;
    let exit = daemon.stop(Duration::from_secs(20));
    let index = place.index();
    let rows = index
        .as_ref()
        .and_then(|index| index.rows().ok())
        .unwrap_or_default();
    let gaps = index
        .as_ref()
        .and_then(|index| index.gaps().ok())
        .unwrap_or_default();
    let segments = index
        .as_ref()
        .and_then(|index| index.segments().ok())
        .unwrap_or_default();
    let leaks = place.leaks();
    let outcome = |name: &str, plan, camera: Camera, counted: Journal| Outcome {
        plan,
        journal: camera.journal().counting(counted),
        rows: rows
            .iter()
            .filter(|row| row.camera == name)
            .map(|row| {
                (
                    row.clone(),
                    index
                        .as_ref()
                        .ok_or("no index".to_owned())
                        .and_then(|index| index.payload(row).map_err(|error| error.to_string())),
                )
            })
            .collect(),
        gaps: gaps
            .iter()
            .filter(|gap| gap.camera == name)
            .cloned()
            .collect(),
        due_us,
    };
    let outcomes = started
        .into_iter()
        .zip(counted)
        .map(|((name, plan, camera), counted)| (name, outcome(name, plan, camera, counted)))
        .collect();
    Run {
        outcomes,
        exit,
        log: place.log(),
        segments,
        leaks,
    }
}

/// Until each camera has sent what its case is about.
fn wait_for_frames(started: &[(&'static str, Plan, Camera)]) {
    let begun = Instant::now();
    let is_behind = |(_, plan, camera): &(_, Plan, Camera)| {
        plan.companion.is_none() && camera.journal().sent.len() < plan.frames
    };
    while begun.elapsed() < GRACE && started.iter().any(is_behind) {
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Fails, naming all that is wrong with this case.
fn check(mode: Mode, name: &str) {
    let run = run_of(Group::of(name), mode);
    let complaints = verdict::verdict(&run.outcomes[name]);
    let said: String = run
        .log
        .lines()
        .filter(|line| line.contains(&format!("name=\"{name}\"")))
        .take(12)
        .map(|line| format!("    {line}\n"))
        .collect();
    assert!(
        complaints.is_empty(),
        "{name}, {mode:?}:\n  {}\n  what the recorder said:\n{said}",
        complaints.join("\n  ")
    );
}

/// What must hold for the recorders as a whole, in each mode.
fn check_whole(mode: Mode) {
    for group in Group::ALL {
        check_recorder(run_of(group, mode));
    }
}

fn check_recorder(run: &Run) {
    assert!(
        run.exit.is_some_and(|status| status.success()),
        "exit status {:?}; the log ends:\n{}",
        run.exit,
        tail(&run.log)
    );
    assert!(
        !run.log.contains("panicked"),
        "a panic in the log:\n{}",
        run.log
    );
    assert!(!run.segments.is_empty(), "no segments");
    let open: Vec<_> = run
        .segments
        .iter()
        .filter(|segment| segment.state == "open")
        .collect();
    assert!(open.is_empty(), "segments left open: {open:?}");
    assert!(
        run.leaks.is_empty(),
        "credentials leaked:\n{}",
        run.leaks.join("\n")
    );
}

fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

#[test]
fn recorder_stops_cleanly_and_leaks_nothing_plain() {
    check_whole(Mode::Plain);
}

#[test]
fn recorder_stops_cleanly_and_leaks_nothing_bytes() {
    check_whole(Mode::Bytes);
}

#[test]
fn recorder_stops_cleanly_and_leaks_nothing_random() {
    check_whole(Mode::Random);
}
