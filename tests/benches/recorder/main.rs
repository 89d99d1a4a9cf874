//! What recording costs: the daemon, and beside it in the same run the floor, ffmpeg and GStreamer, on the same cameras.
//!
//!     cargo bench -p framelog-tests --bench recorder -- --load a
//!     cargo bench -p framelog-tests --bench recorder -- --load b --framing chunked --send-bytes 1448
//!     cargo bench -p framelog-tests --bench recorder -- --load h264
//!     cargo bench -p framelog-tests --bench recorder -- --growth
//!     cargo bench -p framelog-tests --bench recorder -- --cameras 64 --fps 15 --frame-bytes 97000 --seconds 20

use std::io;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

mod contender;
mod floor;
mod generator;
mod growth;
mod load;
#[path = "../../../crates/framelog-core/benches/parser/picture.rs"]
mod picture;
mod process;
mod report;
mod run;

use contender::Contender;
use load::{Load, Preset};

/// Records software cameras, and prints what that costs as a Markdown table.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// One of the project's loads, in place of the numbers below
    #[arg(long, conflicts_with_all = ["cameras", "fps", "frame_bytes", "seconds", "bytes_max", "h264"])]
    load: Option<Preset>,
    #[command(flatten)]
    own_load: Load,
    /// The same camera 16, 64, 256 and 1,000 times, in place of one load
    #[arg(long, conflicts_with_all = ["load", "cameras", "fps", "seconds", "h264", "framing", "send_bytes"])]
    growth: bool,
    /// Where the footage goes while it is measured
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// How many of the cameras ffmpeg and GStreamer get at most, a process each; 0: leave them out
    #[arg(long, default_value_t = 16)]
    peer_cameras: usize,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

/// The processes that a run is made of.
#[derive(Subcommand)]
#[command(hide = true)]
enum Part {
    #[command(hide = true)]
    Generator(Load),
    #[command(hide = true)]
    Floor {
        port: u16,
        dir: PathBuf,
        #[command(flatten)]
        load: Load,
    },
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    match arguments.part {
        Some(part) => {
            allow_many_files()?;
            match part {
                Part::Generator(load) => generator::run(load),
                Part::Floor { port, dir, load } => floor::run(port, load, &dir),
            }
        }
        None if arguments.growth => growth::measure(&arguments),
        None => compare(&arguments),
    }
}

fn compare(arguments: &Arguments) -> io::Result<()> {
    let own = arguments.own_load;
    let load = arguments.load.map_or(own, |preset| Load {
        framing: own.framing,
        send_bytes: own.send_bytes,
        ..preset.load()
    });
    let name = arguments.load.map_or("of its own".to_owned(), |preset| {
        format!("{preset:?}").to_lowercase()
    });
    require_space(&load, arguments)?;
    report::print_heading(&name, &load);
    let mut outcomes = vec![
        run::measure(Contender::Framelog, load, &arguments.dir)?,
        run::measure(Contender::Floor, load, &arguments.dir)?,
    ];
    let fewer = Load {
        cameras: load.cameras.min(arguments.peer_cameras),
        ..load
    };
    for peer in [Contender::Ffmpeg, Contender::Gstreamer] {
        if fewer.cameras > 0 && peer.is_installed() {
            outcomes.push(run::measure(peer, fewer, &arguments.dir)?);
        }
    }
    report::print(&outcomes);
    Ok(())
}

/// Footage of one run, and as much again, must fit.
fn require_space(load: &Load, arguments: &Arguments) -> io::Result<()> {
    let disk = rustix::fs::statvfs(&arguments.dir)?;
    let (free, needed) = (disk.f_bavail * disk.f_frsize, 2 * load.bytes());
    if free < needed {
        return Err(io::Error::other(format!(
            "{}: {free} bytes free, {needed} needed; choose another --dir or fewer --seconds",
            arguments.dir.display()
        )));
    }
    Ok(())
}

/// As many open files as the system allows this process, for a thousand connections.
fn allow_many_files() -> io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: maximum,
        maximum,
    };
    Ok(setrlimit(Resource::Nofile, all)?)
}
