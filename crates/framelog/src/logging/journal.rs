//! The log as entries of systemd's journal, with fields to search by, where standard error leads there: `PRIORITY`, `MESSAGE`, and
//! `FRAMELOG_` before what each event and its span say. `tracing-journald` would put the bare message into `MESSAGE`, which is all that
//! `journalctl` shows, and lose in silence what the journal doesn't take.
//!
//! An entry is a datagram of lines `NAME=value`. A value with a line break would need the protocol's other form, with a length; here
//! control characters are escaped in every value, and names are the program's own, so no camera's words can begin a field or an entry.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, Scope};

use super::Escaped;

/// Where systemd's journal takes entries.
const SOCKET: &str = "/run/systemd/journal/socket";

/// Whether standard error leads to the journal. Systemd names it in `JOURNAL_STREAM`, and the variable stays where standard error is
/// redirected.
pub fn is_behind_stderr() -> bool {
    let Ok(named) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    rustix::fs::fstat(io::stderr())
        .is_ok_and(|stderr| named == format!("{}:{}", stderr.st_dev, stderr.st_ino))
}

/// Makes an entry of each event, in one write.
pub fn layer<S>(entries: impl for<'w> MakeWriter<'w> + 'static) -> impl Layer<S>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    let entries = super::lines()
        .with_ansi(false)
        .map_event_format(|line| Entry(line.without_time().with_level(false)))
        .with_writer(entries);
    SpanFields.and_then(entries)
}

/// Takes entries, one with each write. One that can't be sent (no journal, or too large for a datagram) becomes a line of `otherwise`.
#[derive(Debug)]
pub struct Journal<W> {
    socket: UnixDatagram,
    path: PathBuf,
    otherwise: W,
}

impl Journal<io::Stderr> {
    /// That of systemd, with standard error for what it doesn't take.
    ///
    /// # Errors
    /// There is no socket to be had.
    pub fn new() -> io::Result<Self> {
        Self::at(Path::new(SOCKET), io::stderr())
    }
}

impl<W> Journal<W> {
    fn at(path: &Path, otherwise: W) -> io::Result<Self> {
        Ok(Self {
            socket: UnixDatagram::unbound()?,
            path: path.to_owned(),
            otherwise,
        })
    }
}

impl<W: Write> Write for Journal<W> {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        if self.socket.send_to(entry, &self.path).is_err() {
            self.otherwise.write_all(&as_line(entry))?;
        }
        Ok(entry.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An entry that is an error and nothing but its line.
pub fn error(line: &str) -> Vec<u8> {
    let mut message = String::new();
    // Writing to a String does not fail.
    let _ = Escaped(&mut message).write_str(line);
    format!("PRIORITY=3\nMESSAGE={message}\nSYSLOG_IDENTIFIER=framelog\n").into_bytes()
}

/// The entry's priority and message, as systemd reads them from standard error.
fn as_line(entry: &[u8]) -> Vec<u8> {
    let mut values = entry
        .split(|&byte| byte == b'\n')
        .filter_map(|line| line.splitn(2, |&byte| byte == b'=').nth(1));
    let priority = values.next().unwrap_or_default();
    let message = values.next().unwrap_or_default();
    [b"<", priority, b">", message, b"\n"].concat()
}

/// Writes an event as an entry, its line being the message.
struct Entry<L>(L);

impl<S, N, L> FormatEvent<S, N> for Entry<L>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
    L: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        // These two first: `as_line`.
        writeln!(writer, "PRIORITY={}", priority(event.metadata().level()))?;
        writer.write_str("MESSAGE=")?;
        self.0.format_event(context, writer.by_ref(), event)?;
        writer.write_str("SYSLOG_IDENTIFIER=framelog\n")?;
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            if let Some(fields) = span.extensions().get::<Fields>() {
                writer.write_str(&fields.text)?;
            }
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        writer.write_str(&fields.text)
    }
}

/// As syslog counts them.
fn priority(level: &Level) -> u8 {
    match *level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// Keeps the fields of each span for the events in it.
struct SpanFields;

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for SpanFields {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields {
            span: Some(attributes.metadata().name()),
            ..Fields::default()
        };
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }
}

/// Fields as lines of an entry.
#[derive(Default)]
struct Fields {
    text: String,
    span: Option<&'static str>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let name = match (field.name(), self.span) {
            ("message", _) => return,
            // camera{name=gate}: that is FRAMELOG_CAMERA, as where an event names the camera.
            ("name", Some(span)) => span,
            (name, _) => name,
        };
        self.text.push_str("FRAMELOG_");
        let allowed = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let name = name.chars().map(|c| allowed(c).to_ascii_uppercase());
        self.text.extend(name);
        self.text.push('=');
        // Only a value's own Display can fail, and then its field ends there.
        let _ = Escaped(&mut self.text).write_fmt(value);
        self.text.push('\n');
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format_args!("{value:?}"));
    }

    /// As it is: who searches writes no quotes.
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, format_args!("{value}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use tracing_subscriber::EnvFilter;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// What `log` makes the journal's socket receive, each entry's lines in order, and what goes to standard error instead.
    fn logged(is_there: bool, log: impl FnOnce()) -> (Vec<Vec<String>>, String) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let socket = is_there.then(|| UnixDatagram::bind(&path).unwrap());
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let journal = Journal::at(&path, Shared(Arc::clone(&stderr))).unwrap();
        let subscriber = tracing_subscriber::registry()
            .with(EnvFilter::new("info"))
            .with(layer(Mutex::new(journal)));
        tracing::subscriber::with_default(subscriber, log);
        let mut entries = Vec::new();
        if let Some(socket) = socket {
            socket.set_nonblocking(true).unwrap();
            let mut entry = vec![0; 1 << 20];
            while let Ok(length) = socket.recv(&mut entry) {
                let text = std::str::from_utf8(&entry[..length]).unwrap();
                entries.push(text.split_terminator('\n').map(str::to_owned).collect());
            }
        }
        let stderr = String::from_utf8(stderr.lock().unwrap().clone()).unwrap();
        (entries, stderr)
    }

    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_entry_has_the_whole_line_and_each_field() {
        let (entries, stderr) = logged(true, || {
            let span = tracing::error_span!("camera", name = "gate");
            let _entered = span.enter();
            let waited = Duration::from_millis(1500);
            tracing::warn!(
                reason = "unreachable",
                times = 3,
                ?waited,
                "connection ended"
            );
        });
        assert_eq!(stderr, "");
        assert_eq!(
            entries,
            [[
                "PRIORITY=4",
                r#"MESSAGE=camera{name="gate"}: connection ended reason="unreachable" times=3 waited=1.5s"#,
                "SYSLOG_IDENTIFIER=framelog",
                "FRAMELOG_CAMERA=gate",
                "FRAMELOG_REASON=unreachable",
                "FRAMELOG_TIMES=3",
                "FRAMELOG_WAITED=1.5s",
            ]]
        );
    }

    #[test]
    fn an_event_that_names_its_camera_has_the_field_of_the_span() {
        let (entries, _) = logged(true, || {
            tracing::error!(camera = "yard", "footage was deleted");
        });
        assert!(entries[0].contains(&"FRAMELOG_CAMERA=yard".to_owned()));
    }

    #[test]
    fn each_level_has_its_priority_and_the_filter_holds() {
        let (entries, _) = logged(true, || {
            tracing::error!("a");
            tracing::warn!("b");
            tracing::info!("c");
            tracing::debug!("d");
        });
        let priorities: Vec<_> = entries.iter().map(|entry| &entry[..2]).collect();
        assert_eq!(
            priorities,
            [
                ["PRIORITY=3", "MESSAGE=a"],
                ["PRIORITY=4", "MESSAGE=b"],
                ["PRIORITY=6", "MESSAGE=c"]
            ]
        );
    }

    #[test]
    fn no_words_of_a_camera_forge_a_field_an_entry_or_a_length() {
        let words =
            "x\nPRIORITY=0\nFRAMELOG_CAMERA=yard\nMESSAGE\n\u{1}\0\0\0\0\0\0\0y\n\n<0>z\u{85}";
        let (entries, _) = logged(true, || {
            tracing::warn!(detail = %words, text = words, ?words, "it said {words}");
        });
        let names: Vec<_> = entries[0]
            .iter()
            .map(|line| line.split('=').next().unwrap())
            .collect();
        assert_eq!(
            names,
            [
                "PRIORITY",
                "MESSAGE",
                "SYSLOG_IDENTIFIER",
                "FRAMELOG_DETAIL",
                "FRAMELOG_TEXT",
                "FRAMELOG_WORDS"
            ]
        );
        assert_eq!(entries.len(), 1);
        assert!(
            !entries[0]
                .iter()
                .any(|line| line.contains(char::is_control))
        );
    }

    #[test]
    fn without_a_journal_each_entry_is_a_line_with_its_priority() {
        let (_, stderr) = logged(false, || {
            tracing::warn!(camera = "gate", "camera's clock is off");
            tracing::info!("stopped");
        });
        assert_eq!(
            stderr,
            "<4>camera's clock is off camera=\"gate\"\n<6>stopped\n"
        );
    }

    #[test]
    fn an_entry_too_large_for_a_datagram_is_a_line() {
        let words = "=".repeat(1 << 20);
        let (entries, stderr) = logged(true, || tracing::warn!("{words}"));
        assert_eq!(entries.len(), 0);
        assert_eq!(stderr, format!("<4>{words}\n"));
    }
}
