//! framelog: the daemon and its command line. Network, tasks and people; pure logic is in `framelog-core`, disk in `framelog-store`.

#![forbid(unsafe_code)]

mod camera;
mod cli;
mod clock_watch;
pub mod config;
mod footage;
mod logging;
mod pace;
mod readers;
mod recorder;
mod reload;
mod report;
mod run;
mod service;
mod source;
mod status;
mod testcam;
mod web;
mod webhook;

use std::process::ExitCode;

use framelog_store::wall;

/// What it calls itself to who is asked for something.
const USER_AGENT: &str = concat!("framelog/", env!("CARGO_PKG_VERSION"));

/// One more than a query or a rebuild, which may hold its thread for as long as SQLite has to wait for the disk.
const WORKERS_MIN: usize = 2;
/// More threads than this gain nothing: the work is waiting for cameras.
const WORKERS_MAX: usize = 4;

/// Runs the program: arguments in, exit code out.
pub fn main() -> ExitCode {
    let _ending = logging::Ending;
    let workers = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .clamp(WORKERS_MIN, WORKERS_MAX);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(cli::main(std::env::args_os()));
            // A name lookup that hangs must not keep the program.
            runtime.shutdown_background();
            outcome
        }
        Err(e) => Err(cli::Failure::failed(format!("can't start threads: {e}"))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            logging::say_why_it_ends(&failure.lines);
            ExitCode::from(failure.code)
        }
    }
}
