//! The command line: arguments to a command, its outcome to an exit code. One file per command.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::config::Problem;

mod ask;
mod check;
mod demo;
mod doctor;
mod export;
mod find;
mod frame;
mod interruption;
mod known_camera;
mod output;
mod probe;
mod progress;
mod protect;
mod receipt;
mod recorder_user;
mod reindex;
mod reload;
mod run;
mod stanza;
mod status;
mod storage;
mod tail;
mod testcam;
mod time;
mod verify;
mod words;

use storage::Stored;

/// Records every frame of every camera, and knows when each one was taken.
#[derive(Debug, Parser)]
#[command(name = "framelog", version, arg_required_else_help = true)]
struct Cli {
    /// The configuration file [env: FRAMELOG_CONFIG]
    #[arg(
        short,
        long,
        global = true,
        value_name = "FILE",
        default_value_os_t = default_config()
    )]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Record until SIGTERM or SIGINT; SIGHUP re-reads the configuration
    Run(run::Args),
    /// Have the running recorder read the configuration again, and say what changed
    Reload,
    /// Check the configuration and, with --connect, the cameras
    Check(check::Args),
    /// Examine the machine: clock, disk, limits, port, cameras, days of footage, and say what to do about what is wrong
    Doctor(doctor::Args),
    /// Say in words what a camera sends, and how to record it
    Probe(probe::Args),
    /// Say what is recorded and what isn't
    Status(status::Args),
    /// List footage, gaps, and what was removed
    Find(Stored<find::Args>),
    /// Write the picture nearest to a time
    Frame(Stored<frame::Args>),
    /// Write a span of footage to a file or folder
    Export(Stored<export::Args>),
    /// Write frames as they are stored to standard output
    Tail(Stored<tail::Args>),
    /// Make the index anew from the footage
    Reindex(Stored<reindex::Args>),
    /// Hold the index against the footage, and say what is damaged or missing
    Verify(Stored<verify::Args>),
    /// Keep a span of footage whatever the rules say, or list what is kept so
    Protect(Stored<protect::Args>),
    /// Let protected footage go as the rules say
    Unprotect(Stored<protect::UnprotectArgs>),
    /// Be a camera
    Testcam(testcam::Args),
    /// Record test cameras: needs nothing
    Demo(demo::Args),
}

/// As the environment says; a variable that is empty says nothing.
fn default_config() -> PathBuf {
    let set = std::env::var_os("FRAMELOG_CONFIG").filter(|path| !path.is_empty());
    set.map_or_else(|| "/etc/framelog/framelog.toml".into(), PathBuf::from)
}

/// Why a command failed: one line each, without an end, and the exit code.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// What goes to standard error, each line behind `framelog: `.
    pub lines: Vec<String>,
    /// 1: it was tried and failed. 2: usage or configuration.
    pub code: u8,
}

impl Failure {
    /// It was tried and failed.
    pub fn failed(why: impl fmt::Display) -> Self {
        Self {
            lines: vec![why.to_string()],
            code: 1,
        }
    }

    /// It can't be tried like this.
    pub fn usage(why: impl fmt::Display) -> Self {
        Self {
            lines: vec![why.to_string()],
            code: 2,
        }
    }

    /// The configuration is wrong.
    pub fn configuration(problems: &[Problem]) -> Self {
        Self {
            lines: problems.iter().map(ToString::to_string).collect(),
            code: 2,
        }
    }
}

/// Runs the command that the arguments name, the program's own name first.
pub async fn main(args: impl Iterator<Item = OsString>) -> Result<(), Failure> {
    let args: Vec<OsString> = args.collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => return explain(&error, &args),
    };
    match cli.command {
        Command::Run(args) => run::run(args, cli.config).await,
        Command::Reload => reload::run(cli.config).await,
        Command::Check(args) => check::run(args, cli.config).await,
        Command::Doctor(args) => doctor::run(args, cli.config).await,
        Command::Probe(args) => probe::run(args).await,
        Command::Status(args) => status::run(args, cli.config).await,
        Command::Find(stored) => {
            let (args, storage) = stored.resolve(&cli.config)?;
            find::run(args, &storage).await
        }
        Command::Frame(stored) => {
            let (args, storage) = stored.resolve(&cli.config)?;
            frame::run(args, &storage).await
        }
        Command::Export(stored) => {
            let (args, storage) = stored.resolve(&cli.config)?;
            export::run(args, &storage).await
        }
        Command::Tail(stored) => {
            let (args, storage) = stored.resolve(&cli.config)?;
            tail::run(args, &storage, &cli.config).await
        }
        Command::Reindex(stored) => {
            let (args, storage) = stored.resolve(&cli.config)?;
            reindex::run(args, &storage).await
        }
        Command::Verify(stored) => {
            let (args, storage) = stored.resolve(&cli.config)?;
            verify::run(args, &storage).await
        }
        Command::Protect(stored) => {
            let (args, storage) = stored.resolve(&cli.config)?;
            protect::run(args, &storage).await
        }
        Command::Unprotect(stored) => {
            let (args, storage) = stored.resolve(&cli.config)?;
            protect::unprotect(args, &storage).await
        }
        Command::Testcam(args) => testcam::run(args).await,
        Command::Demo(args) => demo::run(args).await,
    }
}

/// Help and version are answers; anything else is an error, made one line.
fn explain(error: &clap::Error, args: &[OsString]) -> Result<(), Failure> {
    if error.use_stderr()
        && error.kind() != clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    {
        let message = one_line(&error.render().to_string());
        return Err(Failure::usage(format!("{message}; see {}", help(args))));
    }
    // A closed pipe is the reader's choice.
    let _ = error.print();
    match error.use_stderr() {
        true => Err(Failure {
            lines: Vec::new(),
            code: 2,
        }),
        false => Ok(()),
    }
}

/// clap's message without its usage block.
fn one_line(message: &str) -> String {
    let words: Vec<&str> = message
        .lines()
        .filter(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .flat_map(str::split_whitespace)
        .collect();
    let text = words.join(" ");
    text.strip_prefix("error: ").unwrap_or(&text).to_owned()
}

/// What explains the command that was meant.
fn help(args: &[OsString]) -> String {
    let program = Cli::command();
    let command = args
        .iter()
        .skip(1)
        .find_map(|arg| program.find_subcommand(arg));
    match command {
        Some(command) => format!("framelog {} --help", command.get_name()),
        None => "framelog --help".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(args: &str) -> Vec<OsString> {
        let words = std::iter::once("framelog").chain(args.split_whitespace());
        words.map(OsString::from).collect()
    }

    fn parsed(args: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(words(args))
    }

    fn explained(args: &str) -> Result<(), Failure> {
        explain(&parsed(args).unwrap_err(), &words(args))
    }

    fn failure(args: &str) -> Failure {
        explained(args).unwrap_err()
    }

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn configuration_is_named_before_or_after_the_command() {
        for args in [
            "-c f.toml run",
            "run -c f.toml",
            "--config f.toml check",
            "check --config=f.toml",
        ] {
            assert_eq!(
                parsed(args).unwrap().config,
                PathBuf::from("f.toml"),
                "{args}"
            );
        }
    }

    #[test]
    fn usage_errors_are_one_line_and_exit_with_two() {
        for (args, line) in [
            (
                "rum",
                "unrecognized subcommand 'rum' tip: a similar subcommand exists: 'run'; see framelog --help",
            ),
            (
                "run --fast",
                "unexpected argument '--fast' found tip: to pass '--fast' as a value, use '-- --fast'; see framelog run --help",
            ),
        ] {
            assert_eq!(
                failure(args),
                Failure {
                    lines: vec![line.to_owned()],
                    code: 2
                }
            );
        }
        assert_eq!(failure("").code, 2);
    }

    #[test]
    fn help_and_version_succeed() {
        for args in ["--version", "--help", "run --help"] {
            assert_eq!(explained(args), Ok(()));
        }
    }
}
