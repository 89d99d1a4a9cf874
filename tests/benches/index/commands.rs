//! What people ask at a terminal: whole processes, from their start until all they say has been read. Not for what SQLite takes of that.

use std::path::Path;
use std::process::{Command, Stdio};

use chrono::{DateTime, SecondsFormat};

use crate::made::Made;
use crate::timed::Timed;
use crate::{Fallible, HOUR_US};

/// Asks for the same by `framelog find` and, where it is installed, by `sqlite3`, with other times each time.
pub async fn measure(
    dir: &Path,
    made: &Made,
    rounds: usize,
    rng: &mut fastrand::Rng,
) -> Fallible<()> {
    let mut clock = Clock { made, rounds, rng };
    let find = |from_us: i64, to: &str, rest: &[&str]| {
        let mut find = Command::new(env!("CARGO_BIN_EXE_framelog-under-test"));
        find.args(["find", "--utc", "--storage"]).arg(dir);
        find.args(["--from", &text(from_us), "--to", to]).args(rest);
        find
    };
    let minute = |us| find(us, "+1min", &["old-0"]);
    clock
        .time("`framelog find`: a minute of a camera", minute)
        .await?;
    let of_all = |us| find(us, "+1min", &[]);
    clock
        .time("`framelog find`: a minute of all cameras", of_all)
        .await?;
    let hour = |us| find(us, "+1h", &["old-0", "--frames"]);
    clock
        .time("`framelog find`: an hour's frames", hour)
        .await?;
    let all = |_| find(made.from_us, &text(made.until_us), &["old-0"]);
    clock
        .time(
            "`framelog find`: all footage of a camera, at most 30 days",
            all,
        )
        .await?;

    if Command::new("sqlite3").arg("--version").output().is_err() {
        return Ok(());
    }
    let sqlite3 = |condition: String| {
        let mut sqlite3 = Command::new("sqlite3");
        sqlite3.arg("-readonly").arg(dir.join("index.db"));
        sqlite3.arg(format!(
            "SELECT captured, path, offset, length FROM footage WHERE camera = 'old-0' AND captured_us {condition}"
        ));
        sqlite3
    };
    let next = |us| sqlite3(format!(">= {us} ORDER BY captured_us LIMIT 1"));
    clock
        .time("`sqlite3`, `footage`: the next frame", next)
        .await?;
    let hour = |us| sqlite3(format!("BETWEEN {us} AND {}", us + HOUR_US - 1));
    clock
        .time("`sqlite3`, `footage`: an hour's frames", hour)
        .await
}

/// Times commands that ask for some hour.
struct Clock<'a> {
    made: &'a Made,
    rounds: usize,
    rng: &'a mut fastrand::Rng,
}

impl Clock<'_> {
    async fn time(&mut self, what: &str, command: impl Fn(i64) -> Command) -> Fallible<()> {
        let mut timed = Timed::default();
        for _ in 0..self.rounds {
            let us = self.made.some_time(self.rng);
            let command = command(us.min(self.made.until_us - HOUR_US));
            timed.of(run(command)).await?;
        }
        timed.print(self.made.rows, what);
        Ok(())
    }
}

/// It must find something: `find` says on standard error when it does not.
async fn run(mut command: Command) -> Fallible<()> {
    let asked = format!("{command:?}");
    let output =
        tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output()).await??;
    if output.status.success() && output.stderr.is_empty() && !output.stdout.is_empty() {
        return Ok(());
    }
    Err(format!("{asked}: {}", String::from_utf8_lossy(&output.stderr)).into())
}

fn text(us: i64) -> String {
    let time = DateTime::from_timestamp_micros(us).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}
