//! The threads on which cameras are read, in rounds. Not for what a camera's task does there.
//!
//! A runtime that waits is woken by each packet of each camera, and waking costs more than what is then done. So a reader that has nothing to
//! do first lets a little time pass, whatever arrives: the kernel keeps it, and the next round reads all of it. After a longer silence what
//! arrives is read at once. What has no time but that of its arrival is read in shorter rounds. Everything else (index, web, signals) has a
//! runtime of its own, which doesn't pause.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{self, Handle, Runtime};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The longest pause between two rounds, by which an arrival is noticed too late at most. With what a frame then waits for its block
/// (150 ms) it is in its file within 250 ms.
const PAUSE_MAX: Duration = Duration::from_millis(45);
/// The same while a camera goes by the time of arrival: at 30 fps two of its frames seldom have the same.
const PAUSE_MAX_BY_ARRIVAL: Duration = Duration::from_millis(30);
/// It goes by that for so long after its last frame.
const BY_ARRIVAL_FOR: Duration = Duration::from_secs(10);
/// The shortest.
const PAUSE_MIN: Duration = Duration::from_micros(500);
/// One thread reads more than a gigabyte a second; fewer threads are fewer wake-ups. So there is one for so many processors.
const PROCESSORS_PER_READER: usize = 2;
/// More gain nothing: no disk takes as much.
const READERS_MAX: usize = 4;

/// See the module. Dropping it ends the threads, and what still runs on them.
#[derive(Debug)]
pub struct Readers {
    readers: Vec<Reader>,
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
        let readers = (0..(processors / PROCESSORS_PER_READER).clamp(1, READERS_MAX))
            .map(|n| Reader::start(n, stop.clone()))
            .collect::<io::Result<_>>()?;
        Ok(Self {
            readers,
            _stop: stop.drop_guard(),
        })
    }

    /// Where the `n`th camera is read.
    pub fn of(&self, n: usize) -> &Reader {
        &self.readers[n % self.readers.len()]
    }
}

/// One of the threads.
#[derive(Clone, Debug)]
pub struct Reader {
    handle: Handle,
    rhythm: Arc<Rhythm>,
}

impl Reader {
    fn start(n: usize, stop: CancellationToken) -> io::Result<Self> {
        let rhythm = Arc::<Rhythm>::default();
        let (ends, begins) = (rhythm.clone(), rhythm.clone());
        let (give, take) = mpsc::channel::<Runtime>();
        // First: a runtime that no thread takes could not be dropped here.
        thread::Builder::new()
            .name(format!("reader-{n}"))
            .spawn(move || {
                let Ok(runtime) = take.recv() else {
                    return; // there is none
                };
                runtime.block_on(stop.cancelled());
                // A name lookup that hangs must not keep the program.
                runtime.shutdown_background();
            })?;
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .on_thread_park(move || ends.end_round())
            .on_thread_unpark(move || begins.begin_round())
            .build()?;
        let handle = runtime.handle().clone();
        let _ = give.send(runtime); // it waits for that
        Ok(Self { handle, rhythm })
    }

    /// Starts a task on it.
    pub fn spawn<F: Future<Output: Send> + Send + 'static>(
        &self,
        task: F,
    ) -> JoinHandle<F::Output> {
        self.handle.spawn(task)
    }

    /// A camera that is read here goes by the time of arrival.
    pub fn goes_by_arrival(&self) {
        self.rhythm.state().by_arrival = Some(Instant::now());
    }
}

/// When a thread's rounds begin and end.
#[derive(Debug)]
struct Rhythm(Mutex<State>);

#[derive(Debug)]
struct State {
    pause: Duration,
    begun: Instant,
    /// When a camera last went by the time of arrival.
    by_arrival: Option<Instant>,
}

impl Default for Rhythm {
    fn default() -> Self {
        Self(Mutex::new(State {
            pause: PAUSE_MAX_BY_ARRIVAL,
            begun: Instant::now(),
            by_arrival: None,
        }))
    }
}

impl Rhythm {
    /// Something arrived, or is due.
    fn begin_round(&self) {
        self.state().begun = Instant::now();
    }

    /// Nothing is left to do; returns when the next round may begin.
    fn end_round(&self) {
        let pause = self.state().end_round(Instant::now());
        thread::sleep(pause);
    }

    /// Never contended: it is the thread's own.
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// For how long to pause. A thread that is busy pauses less, in the end hardly at all: cameras at line rate are not to wait for it.
    fn end_round(&mut self, now: Instant) -> Duration {
        let busy = now.saturating_duration_since(self.begun);
        let by_arrival = (self.by_arrival)
            .is_some_and(|last| now.saturating_duration_since(last) < BY_ARRIVAL_FOR);
        let longest = match by_arrival {
            true => PAUSE_MAX_BY_ARRIVAL,
            false => PAUSE_MAX,
        };
        let pause = if busy > self.pause {
            (self.pause / 2).max(PAUSE_MIN)
        } else if busy < self.pause / 4 {
            self.pause * 2
        } else {
            self.pause
        };
        self.pause = pause.min(longest);
        self.pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pause after 20 rounds that were each so busy.
    fn after(state: &mut State, busy: Duration) -> Duration {
        let round = |_| state.end_round(state.begun + busy);
        (0..20).map(round).last().unwrap()
    }

    fn state(pause: Duration) -> State {
        State {
            pause,
            begun: Instant::now(),
            by_arrival: None,
        }
    }

    #[test]
    fn a_busy_thread_pauses_less_and_an_idle_one_more() {
        let ms = Duration::from_millis;
        assert_eq!(after(&mut state(PAUSE_MAX), ms(50)), PAUSE_MIN);
        let idle = Duration::from_micros(50);
        assert_eq!(after(&mut state(PAUSE_MIN), idle), PAUSE_MAX);
        assert_eq!(after(&mut state(ms(10)), ms(6)), ms(10));
    }

    #[test]
    fn pauses_are_shorter_while_a_camera_goes_by_the_time_of_arrival() {
        let idle = Duration::from_micros(50);
        let mut state = state(PAUSE_MAX);
        state.by_arrival = Some(state.begun);
        assert_eq!(after(&mut state, idle), PAUSE_MAX_BY_ARRIVAL);
        state.begun += BY_ARRIVAL_FOR;
        assert_eq!(after(&mut state, idle), PAUSE_MAX);
    }
}
