//! What people ask at a terminal: whole processes, from their start until all they say has been read. Not for what SQLite takes of that.

use std::path::Path;
use std::process::{Command, Stdio};

use chrono::{DateTime, SecondsFormat};

use crate::made::Made;
use crate::timed::Timed;
use crate::{Fallible, HOUR_US};

/// What is asked.
#[derive(Clone, Copy)]
enum Question {
    Minute,
    MinuteOfAll,
    HourOfFrames,
    Everything,
    NextFrame,
    HourOfRows,
}

const QUESTIONS: [Question; 6] = [
    Question::Minute,
    Question::MinuteOfAll,
    Question::HourOfFrames,
    Question::Everything,
    Question::NextFrame,
    Question::HourOfRows,
];

impl Question {
    fn name(self) -> &'static str {
        match self {
            Self::Minute => "`framelog find`: a minute of a camera",
            Self::MinuteOfAll => "`framelog find`: a minute of all cameras",
            Self::HourOfFrames => "`framelog find`: an hour's frames",
            Self::Everything => "`framelog find`: all footage of a camera, at most 30 days",
            Self::NextFrame => "`sqlite3`, `footage`: the next frame",
            Self::HourOfRows => "`sqlite3`, `footage`: an hour's frames",
        }
    }
}

/// Asks for the same by `framelog find` and, where it is installed, by `sqlite3`, with other times each time.
pub async fn measure(
    dir: &Path,
    made: &Made,
    rounds: usize,
    rng: &mut fastrand::Rng,
) -> Fallible<()> {
    let find = |from_us: i64, to: &str, rest: &[&str]| {
        let mut find = Command::new(env!("CARGO_BIN_EXE_framelog-under-test"));
        find.args(["find", "--utc", "--storage"]).arg(dir);
        find.args(["--from", &text(from_us), "--to", to]).args(rest);
        find
    };
    let sqlite3 = |condition: &str| {
        let mut sqlite3 = Command::new("sqlite3");
        sqlite3.arg("-readonly").arg(dir.join("index.db"));
        sqlite3.arg(format!(
            "SELECT captured, path, offset, length FROM footage WHERE camera = 'old-0' AND captured_us {condition}"
        ));
        sqlite3
    };
    let has_sqlite3 = Command::new("sqlite3").arg("--version").output().is_ok();
    for question in QUESTIONS {
        let heading = match question {
            Question::NextFrame | Question::HourOfRows if !has_sqlite3 => continue,
            Question::NextFrame | Question::HourOfRows => 0,
            _ => 1,
        };
        let mut timed = Timed::default();
        for _ in 0..rounds {
            let us = made.some_time(rng).min(made.until_us - HOUR_US);
            let command = match question {
                Question::Minute => find(us, "+1min", &["old-0"]),
                Question::MinuteOfAll => find(us, "+1min", &[]),
                Question::HourOfFrames => find(us, "+1h", &["old-0", "--frames"]),
                Question::Everything => find(made.from_us, &text(made.until_us), &["old-0"]),
                Question::NextFrame => sqlite3(&format!(">= {us} ORDER BY captured_us LIMIT 1")),
                Question::HourOfRows => sqlite3(&format!("BETWEEN {us} AND {}", us + HOUR_US - 1)),
            };
            timed.of(run(command, heading)).await?;
        }
        timed.print(made.rows, question.name());
    }
    Ok(())
}

/// It must find something: a line more than its own `heading`.
async fn run(mut command: Command, heading: usize) -> Fallible<()> {
    let asked = format!("{command:?}");
    let output =
        tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output()).await??;
    let lines = output.stdout.iter().filter(|byte| **byte == b'\n').count();
    if output.status.success() && lines > heading {
        return Ok(());
    }
    Err(format!("{asked}: {}", String::from_utf8_lossy(&output.stderr)).into())
}

fn text(us: i64) -> String {
    let time = DateTime::from_timestamp_micros(us).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}
