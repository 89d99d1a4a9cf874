//! A thread that writes what is logged, so that nothing that records waits for whoever takes it: a pipe that nobody reads, a journal that hangs.
//! Not for how a line looks. (`tracing-appender` has such a thread too, but at the end it prints to standard output what it could not say.)

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

/// So many wait; what comes then is left out.
const WAITING_MAX: usize = 4_096;
/// At the end so long is waited for those that wait.
const END_WAIT: Duration = Duration::from_secs(1);
/// So often it is looked whether there is room for the end.
const END_PAUSE: Duration = Duration::from_millis(10);

/// Where lines go, one with each write, which always succeeds at once.
#[derive(Clone, Debug)]
pub struct Lines {
    waiting: SyncSender<Message>,
    left_out: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    /// Answered when everything before it is written.
    End(SyncSender<()>),
}

impl Lines {
    /// Starts the thread.
    ///
    /// # Errors
    /// There is none to be had.
    pub fn start(writer: impl Write + Send + 'static) -> io::Result<Self> {
        let (waiting, received) = sync_channel(WAITING_MAX);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_all(writer, &received))?;
        Ok(Self {
            waiting,
            left_out: Arc::default(),
        })
    }

    /// How many were left out so far.
    pub fn left_out(&self) -> u64 {
        self.left_out.load(Relaxed)
    }

    /// Waits until what came before is written, for a second at most.
    pub fn end(&self) {
        let begun = Instant::now();
        let left = || END_WAIT.saturating_sub(begun.elapsed());
        let (answer, ended) = sync_channel(1);
        let mut end = Message::End(answer);
        while let Err(TrySendError::Full(unsent)) = self.waiting.try_send(end) {
            if left().is_zero() {
                return;
            }
            thread::sleep(END_PAUSE);
            end = unsent;
        }
        // A thread that has not answered by then hangs, and nobody can be told.
        let _ = ended.recv_timeout(left());
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if (self.waiting.try_send(Message::Line(line.to_vec()))).is_err() {
            self.left_out.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

fn write_all(mut writer: impl Write, received: &Receiver<Message>) {
    while let Ok(message) = received.recv() {
        match message {
            // Where the log itself can't be written, there is nowhere to say so.
            Message::Line(line) => drop(writer.write_all(&line)),
            Message::End(answer) => drop(answer.try_send(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::PipeReader;

    use super::*;

    /// Lines into a pipe that holds little, and its other end.
    fn lines() -> (Lines, PipeReader) {
        let (reader, writer) = io::pipe().unwrap();
        rustix::pipe::fcntl_setpipe_size(&writer, 4_096).unwrap();
        (Lines::start(writer).unwrap(), reader)
    }

    fn write(lines: &mut Lines, numbers: std::ops::Range<usize>) {
        for n in numbers {
            lines.write_all(format!("{n:015}\n").as_bytes()).unwrap();
        }
    }

    #[test]
    fn what_was_logged_is_written_before_the_end() {
        let (mut lines, reader) = lines();
        write(&mut lines, 0..200);
        lines.end();
        drop(lines);
        let written = io::read_to_string(reader).unwrap();
        let expected: String = (0..200).map(|n| format!("{n:015}\n")).collect();
        assert_eq!(written, expected);
    }

    #[test]
    fn nobody_waits_for_a_reader_that_hangs_and_what_did_not_fit_is_counted() {
        let (mut lines, reader) = lines();
        let all = 2 * WAITING_MAX;
        write(&mut lines, 0..all);
        lines.end();
        let left_out = lines.left_out() as usize;
        // In the pipe are 256 by now, and one is being written.
        assert!((1..=all - WAITING_MAX).contains(&left_out), "{left_out}");
        drop(lines);
        let written = io::read_to_string(reader).unwrap();
        assert_eq!(written.lines().count(), all - left_out);
        assert!(written.starts_with("000000000000000\n000000000000001\n"));
    }
}
