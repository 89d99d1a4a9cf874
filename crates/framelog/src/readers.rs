//! The threads on which cameras are read, in rounds. Not for what a camera's task does there.
//!
//! A runtime that waits is woken by each packet of each camera, and waking costs more than what is then done. So a reader that has nothing to
//! do first lets a little time pass, whatever arrives: the kernel keeps it, and the next round reads all of it. After a longer silence what
//! arrives is read at once. Everything else (index, web, signals) has a runtime of its own, which doesn't pause.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{self, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The longest pause between two rounds, by which an arrival is noticed too late at most.
const PAUSE_MAX: Duration = Duration::from_millis(30);
/// The shortest.
const PAUSE_MIN: Duration = Duration::from_micros(500);
/// One thread reads more than a gigabyte a second; fewer threads are fewer wake-ups. So there is one for so many processors.
const PROCESSORS_PER_READER: usize = 2;
/// More gain nothing: no disk takes as much.
const READERS_MAX: usize = 4;

/// See the module. Dropping it ends the threads, and what still runs on them.
#[derive(Debug)]
pub struct Readers {
    handles: Vec<Handle>,
    _stop: DropGuard,
}

impl Readers {
    /// Starts the threads.
    ///
    /// # Errors
    /// If the system has no more threads or descriptors.
    pub fn start() -> io::Result<Self> {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let stop = CancellationToken::new();
        let mut handles = Vec::new();
        for n in 0..(processors / PROCESSORS_PER_READER).clamp(1, READERS_MAX) {
            let ends = Arc::<Rhythm>::default();
            let begins = ends.clone();
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .on_thread_park(move || ends.end_round())
                .on_thread_unpark(move || begins.begin_round())
                .build()?;
            handles.push(runtime.handle().clone());
            let stop = stop.clone();
            thread::Builder::new()
                .name(format!("reader-{n}"))
                .spawn(move || {
                    runtime.block_on(stop.cancelled());
                    // A name lookup that hangs must not keep the program.
                    runtime.shutdown_background();
                })?;
        }
        Ok(Self {
            handles,
            _stop: stop.drop_guard(),
        })
    }

    /// Where the `n`th camera is read.
    pub fn of(&self, n: usize) -> &Handle {
        &self.handles[n % self.handles.len()]
    }
}

/// When a thread's rounds begin and end.
#[derive(Debug)]
struct Rhythm(Mutex<(Duration, Instant)>);

impl Default for Rhythm {
    fn default() -> Self {
        Self(Mutex::new((PAUSE_MAX, Instant::now())))
    }
}

impl Rhythm {
    /// Something arrived, or is due.
    fn begin_round(&self) {
        self.state().1 = Instant::now();
    }

    /// Nothing is left to do; returns when the next round may begin.
    fn end_round(&self) {
        let mut state = self.state();
        let (pause, begun) = *state;
        state.0 = next_pause(pause, begun.elapsed());
        thread::sleep(state.0);
    }

    /// The pause, and when the round began. Never contended: it is the thread's own.
    fn state(&self) -> MutexGuard<'_, (Duration, Instant)> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that is busy pauses less, in the end hardly at all: cameras at line rate are not to wait for it.
fn next_pause(pause: Duration, busy: Duration) -> Duration {
    if busy > pause {
        (pause / 2).max(PAUSE_MIN)
    } else if busy < pause / 4 {
        (pause * 2).min(PAUSE_MAX)
    } else {
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_thread_pauses_less_and_an_idle_one_more() {
        let after = |start: Duration, busy: Duration| {
            (0..20).fold(start, |pause, _| next_pause(pause, busy))
        };
        assert_eq!(after(PAUSE_MAX, Duration::from_millis(50)), PAUSE_MIN);
        assert_eq!(after(PAUSE_MIN, Duration::from_micros(50)), PAUSE_MAX);
        let busy = Duration::from_millis(6);
        assert_eq!(
            after(Duration::from_millis(10), busy),
            Duration::from_millis(10)
        );
    }
}
