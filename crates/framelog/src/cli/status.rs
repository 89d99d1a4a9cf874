//! `framelog status`: what is recorded and what isn't, from the running recorder or, without one, from the index.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use framelog_store::{identity, wall};
use tokio::time::MissedTickBehavior;

use super::output::{Stop, ended};
use super::storage::for_reader;
use super::{Failure, ask};
use crate::config::Config;
use crate::report::Report;

mod offline;
mod table;

/// How often `--watch` looks.
const WATCH_EVERY: Duration = Duration::from_secs(2);
/// To the first line of the screen, and nothing below it (ECMA-48: CUP, ED).
const CLEAR: &str = "\x1b[H\x1b[J";

/// Arguments of `framelog status`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// One JSON object
    #[arg(long)]
    json: bool,
    /// Times in UTC instead of local time
    #[arg(long)]
    utc: bool,
    /// Say it again every two seconds, until interrupted
    #[arg(long)]
    watch: bool,
}

/// Says what is recorded.
///
/// # Errors
/// Without a line if a camera that should be recorded isn't. If the configuration is wrong or the index can't be read.
pub async fn run(args: Args, config: PathBuf) -> Result<(), Failure> {
    let (config, errors, _) =
        Config::load_to_ask(&config).map_err(|p| Failure::configuration(&p))?;
    if args.watch {
        let lines = errors.iter().map(ToString::to_string);
        lines.for_each(|line| eprintln!("framelog: {line}"));
        return ended(watch(&args, &config).await);
    }
    let report = find(&config).await?;
    ended(write(&args, &report))?;
    if !errors.is_empty() {
        return Err(Failure::configuration(&errors));
    }
    match report.is_failing() {
        true => Err(Failure {
            lines: Vec::new(),
            code: 1,
        }),
        false => Ok(()),
    }
}

/// Until nobody reads any more, or the index can't be read.
async fn watch(args: &Args, config: &Config) -> Result<(), Stop> {
    let is_screen = std::io::stdout().is_terminal() && !args.json;
    let mut rounds = tokio::time::interval(WATCH_EVERY);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        let report = find(config).await?;
        if is_screen {
            std::io::stdout().write_all(CLEAR.as_bytes())?;
        }
        write(args, &report)?;
    }
}

/// The report of the recorder that runs on the configured directory, or what the index knows.
async fn find(config: &Config) -> Result<Report, Failure> {
    let storage = &config.storage.path;
    let is_running = identity::is_recording(storage).map_err(for_reader)?;
    let uuid = identity::uuid(storage).map_err(for_reader)?;
    // Asked even if none seems to run: while the storage is gone, so is the lock.
    match ask::report(&config.http, uuid.as_deref(), storage).await {
        Ok(report) => return Ok(report),
        Err(why) if is_running => eprintln!(
            "framelog: a recorder runs, but this is from the index: {why} (asked {}, [http] listen)",
            config.http.listen
        ),
        Err(_) => {}
    }
    offline::report(config, is_running)
        .await
        .map_err(for_reader)
}

fn write(args: &Args, report: &Report) -> Result<(), Stop> {
    let mut out = std::io::stdout().lock();
    if args.json {
        serde_json::to_writer(&mut out, report).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", table::text(report, wall::now_us(), args.utc))?;
    }
    Ok(())
}
