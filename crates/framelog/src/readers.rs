//! The threads on which cameras are read, in rounds. Not for what a camera's task does there.
//!
//! A runtime that is idle wakes for each packet of each camera, and waking costs more than what is then done. So a reader sleeps
//! between two rounds whatever arrives: the kernel keeps it, and one round reads all of it. Everything else (index, web, signals) has a
//! runtime of its own, which never sleeps on purpose.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{self, Handle};
use tokio::task::yield_now;

/// The longest pause between two rounds, by which an arrival is noticed too late at most.
const PAUSE_MAX: Duration = Duration::from_millis(20);
/// The shortest.
const PAUSE_MIN: Duration = Duration::from_micros(500);
/// In a round every task that something arrived for runs, and then those that were woken by it, and what gave others their turn first.
const TURNS: usize = 3;
/// So many tasks run in a turn. Above the number of cameras, so that the thread never sleeps while one of them waits for it.
const TASKS_PER_TURN: u32 = 1 << 16;
/// More threads than this gain nothing: each reads more than a gigabyte a second.
const READERS_MAX: usize = 4;

/// See the module. Dropping it ends the threads, and what still runs on them.
#[derive(Debug)]
pub struct Readers {
    handles: Vec<Handle>,
    stop: Arc<AtomicBool>,
}

impl Readers {
    /// Starts the threads.
    ///
    /// # Errors
    /// If the system has no more threads or descriptors.
    pub fn start() -> io::Result<Self> {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let mut readers = Self {
            handles: Vec::new(),
            stop: Arc::default(),
        };
        for n in 0..processors.min(READERS_MAX) {
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .event_interval(TASKS_PER_TURN)
                .build()?;
            readers.handles.push(runtime.handle().clone());
            let stop = readers.stop.clone();
            thread::Builder::new()
                .name(format!("reader-{n}"))
                .spawn(move || {
                    runtime.block_on(go_round(&stop));
                    // A name lookup that hangs must not keep the program.
                    runtime.shutdown_background();
                })?;
        }
        Ok(readers)
    }

    /// Where the `n`th camera is read.
    pub fn of(&self, n: usize) -> &Handle {
        &self.handles[n % self.handles.len()]
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

/// Holds the thread, so that nothing wakes it, and lets go of it for as long as there is something to do.
async fn go_round(stop: &AtomicBool) {
    let mut pause = PAUSE_MAX;
    while !stop.load(Relaxed) {
        thread::sleep(pause);
        let woke = Instant::now();
        for _ in 0..TURNS {
            yield_now().await;
        }
        pause = next_pause(pause, woke.elapsed());
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
