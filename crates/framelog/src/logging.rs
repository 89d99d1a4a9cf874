//! The log, on standard error or in the journal behind it: what is logged at all, how a line looks, that nothing from outside can forge one, and
//! that recording never waits for whoever takes it: a thread of its own writes the lines. Not for which repeats are left out: who logs decides that.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _, Write};
use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::sleep;
use tracing::Subscriber;
use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

mod journal;
mod lines;

use journal::Journal;
use lines::Lines;

/// The variable that says what is logged, as `info` or `warn,framelog::camera=debug`.
pub const FILTER_VARIABLE: &str = "FRAMELOG_LOG";

/// So often it is looked whether lines were left out.
const LOOKED_EVERY: Duration = Duration::from_secs(10);

/// Where lines go, once logging has been started.
static LINES: OnceLock<Lines> = OnceLock::new();

/// Starts logging. Later calls change nothing.
///
/// # Errors
/// A filter that can't be read, or no thread to be had, in words.
pub fn start() -> Result<(), String> {
    let filter = match std::env::var(FILTER_VARIABLE) {
        Ok(text) if !text.is_empty() => filter(&text).map_err(|e| {
            format!("{FILTER_VARIABLE}={text:?} is no filter: {e}; write info, debug or warn")
        })?,
        _ => EnvFilter::new("info"),
    };
    let logged = tracing_subscriber::registry().with(filter);
    let started = match journal::is_behind_stderr().then(Journal::new) {
        Some(Ok(journal)) => logged
            .with(journal::layer(written_by_a_thread(journal)?))
            .try_init(),
        _ => {
            let lines = lines()
                .with_ansi(io::stderr().is_terminal())
                .with_writer(written_by_a_thread(io::stderr())?);
            logged.with(lines).try_init()
        }
    };
    if started.is_ok() {
        log_panics();
    }
    Ok(())
}

/// A word alone is a level here, or a part of framelog, and not one of another program, which would leave the log empty.
fn filter(text: &str) -> Result<EnvFilter, String> {
    let is_word = |part: &&str| {
        let is_plain = part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_plain && !part.is_empty() && *part != "framelog"
    };
    for word in text.split(',').map(str::trim).filter(is_word) {
        word.parse::<LevelFilter>()
            .map_err(|_| format!("{word:?} is no level"))?;
    }
    EnvFilter::try_new(text).map_err(|error| error.to_string())
}

fn written_by_a_thread(writer: impl Write + Send + 'static) -> Result<Lines, String> {
    let lines = Lines::start(writer).map_err(|e| format!("can't start the log's thread: {e}"))?;
    Ok(LINES.get_or_init(|| lines).clone())
}

/// Waits until what was logged is written, a second at most.
pub fn end() {
    if let Some(lines) = LINES.get() {
        lines.end();
    }
}

/// Tells in the log of lines that were left out because nobody took them, once they are taken again.
pub async fn tell_of_lines_left_out() {
    let mut told = 0;
    while let Some(lines) = LINES.get() {
        sleep(LOOKED_EVERY).await;
        let left_out = lines.left_out();
        if left_out > told {
            tracing::warn!(
                lines = left_out - told,
                "whoever takes the log was too slow: lines are missing"
            );
            // Unless this one is missing too.
            if lines.left_out() == left_out {
                told = left_out;
            }
        }
    }
}

/// Says why the program ends, behind all that was logged. Where a thread takes that, nobody waits for more than a second here either.
pub fn say_why_it_ends(lines: &[String]) {
    let is_journal = journal::is_behind_stderr();
    for line in lines {
        let line = format!("framelog: {line}");
        match (LINES.get().cloned(), is_journal) {
            (Some(mut log), true) => drop(log.write_all(&journal::error(&line))),
            (Some(mut log), false) => drop(log.write_all(format!("{line}\n").as_bytes())),
            // systemd reads the priority from the first characters.
            (None, true) => eprintln!("<3>{line}"),
            (None, false) => eprintln!("{line}"),
        }
    }
    end();
}

/// Ends the log when it is dropped, also by a panic.
#[derive(Debug)]
pub struct Ending;

impl Drop for Ending {
    fn drop(&mut self) {
        end();
    }
}

/// Events as lines: time, level, span, message, fields.
fn lines<S>() -> tracing_subscriber::fmt::Layer<S, impl for<'w> FormatFields<'w> + 'static>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    tracing_subscriber::fmt::layer()
        .with_target(false)
        .fmt_fields(debug_fn(write_field).delimited(" "))
}

/// A panic is a line like any other, in the span of the camera that it struck.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or_default();
        tracing::error!(message, place, "internal error; please report it");
    }));
}

fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let mut escaped = Escaped(writer);
    match field.name() {
        "message" => write!(escaped, "{value:?}"),
        name => write!(escaped, "{name}={value:?}"),
    }
}

/// Passes text on with control characters escaped: a camera's words can't begin a new line or colour the terminal.
struct Escaped<'w, W>(&'w mut W);

impl<W: fmt::Write> fmt::Write for Escaped<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for piece in text.split_inclusive(char::is_control) {
            let mut rest = piece.chars();
            match rest.next_back() {
                Some(last) if last.is_control() => {
                    write!(self.0, "{}{}", rest.as_str(), last.escape_default())?;
                }
                _ => self.0.write_str(piece)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_of_levels_and_of_parts_with_levels() {
        for good in [
            "info",
            "WARN",
            "off",
            "warn,framelog::camera=debug",
            "framelog_store=trace",
        ] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in ["quite", "info,loud", "framelog=loud"] {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn control_characters_are_escaped_and_all_else_is_kept() {
        let mut line = String::new();
        Escaped(&mut line)
            .write_str("a\r\nb\u{1b}[31mü\u{85}\n")
            .unwrap();
        assert_eq!(line, "a\\r\\nb\\u{1b}[31mü\\u{85}\\n");
    }
}
