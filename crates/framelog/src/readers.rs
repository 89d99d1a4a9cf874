//! The threads on which cameras are read, in rounds. Not for what a camera's task does there.
//!
//! A runtime that waits is woken by each packet of each camera, and waking costs more than what is then done. So a reader that has nothing to
//! do first lets time pass, whatever arrives: the kernel keeps it, and the next round reads all of it, of a camera several frames together.
//! After a longer silence what arrives is read at once. Rounds are shorter where a camera needs that ([`RoundLimit`]), or sends so much that it
//! would have to wait. Everything else (index, web, signals) has a runtime of its own, which doesn't pause.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use framelog_store::HOLD_MAX;
use tokio::runtime::{self, Handle, Runtime};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

/// What arrives has been read within this, whichever camera's turn is last, and is at the writer before that would have to write it: a longer round
/// would gain nothing, and the bytes would be in their file later.
const ROUND_MAX: Duration = HOLD_MAX.saturating_sub(Duration::from_millis(10));
/// The same for who goes by the time of arrival, of whose frames two seldom have the same at 30 fps, and for who waits for answers.
pub const ROUND_MAX_BY_ARRIVAL: Duration = Duration::from_millis(30);
/// The same for a picture that is held back until what follows tells its end, and may have to wait for two rounds.
pub const ROUND_MAX_UNCONFIRMED: Duration = Duration::from_millis(95);
/// Connecting and logging in takes several rounds, and seldom longer. Who takes longer is not there.
const CONNECTING_FOR: Duration = Duration::from_secs(2);
/// The shortest pause.
const PAUSE_MIN: Duration = Duration::from_micros(500);
/// Of a camera no more is to wait in the kernel, bytes...
const WAITING_MAX: u64 = 1 << 20;
/// ... nor more than three quarters of its window, because then it would have to wait. So much may: the smallest windows have room for it.
const WAITING_SMALL: u64 = 48 << 10;
/// What is there when a pause is over came in it. What the thread then had to wait for has just come, if that took so long.
const AT_ONCE: Duration = Duration::from_millis(40);
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
    thread: Thread,
    rhythm: Arc<Rhythm>,
}

impl Reader {
    fn start(n: usize, stop: CancellationToken) -> io::Result<Self> {
        let rhythm = Arc::<Rhythm>::default();
        let (ends, begins) = (rhythm.clone(), rhythm.clone());
        let (give, take) = mpsc::channel::<Runtime>();
        // First: a runtime that no thread takes could not be dropped here.
        let thread = thread::Builder::new()
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
        Ok(Self {
            handle,
            thread: thread.thread().clone(),
            rhythm,
        })
    }

    /// Starts a task on it.
    pub fn spawn<F: Future<Output: Send> + Send + 'static>(
        &self,
        task: F,
    ) -> JoinHandle<F::Output> {
        self.handle.spawn(task)
    }

    /// Ends the pause, if there is one: a task is to end or to begin, at once.
    pub fn wake(&self) {
        self.thread.unpark();
    }

    /// Does what takes several rounds, in short ones, if it doesn't take long.
    pub async fn hurry<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let limit = self.limit_rounds(ROUND_MAX_BY_ARRIVAL);
        if let Ok(done) = timeout(CONNECTING_FOR, &mut work).await {
            return done;
        }
        drop(limit);
        work.await
    }

    /// Rounds take no longer than `max` until that is dropped.
    pub fn limit_rounds(&self, max: Duration) -> RoundLimit {
        RoundLimit::new(self.rhythm.clone(), max)
    }

    /// A camera has been read, of which so many bytes have come so far. `window`: how much it may send ahead of who reads, bytes, as far as
    /// that is known. Returns since when what is new may have been here.
    pub fn took(
        &self,
        received: u64,
        window: impl Fn() -> Option<u64>,
        intake: &mut Intake,
    ) -> Instant {
        let mut state = self.rhythm.state();
        state.took(received, window, intake);
        state.earliest(Instant::now())
    }

    /// Since when what is read now may have been here.
    pub fn earliest(&self) -> Instant {
        self.rhythm.state().earliest(Instant::now())
    }
}

/// What a reader knows of a connection.
#[derive(Debug, Default)]
pub struct Intake {
    /// How large its window was when that was last asked, bytes.
    window: u64,
    /// It was larger in this round than before.
    grew: bool,
    /// The last round in which it was read, and how many bytes had come before that.
    round: u64,
    before: u64,
    received: u64,
}

impl Intake {
    /// So much may wait of it, bytes, now that so much did. The window is asked for when it may have been full: most never are.
    fn waiting_max(&mut self, waited: u64, window: impl Fn() -> Option<u64>) -> u64 {
        if waited > self.most_of_window() && !self.grew {
            let before = self.window;
            self.window = window().unwrap_or(u64::MAX);
            // What grows with what is read was no limit yet.
            self.grew = self.window > before.saturating_add(before / 4);
        }
        match self.grew {
            true => WAITING_MAX,
            false => self.most_of_window(),
        }
    }

    fn most_of_window(&self) -> u64 {
        (self.window / 4 * 3).clamp(WAITING_SMALL, WAITING_MAX)
    }
}

/// What a camera needs of its reader.
#[derive(Debug)]
pub struct RoundLimit {
    rhythm: Arc<Rhythm>,
    max: Duration,
}

impl RoundLimit {
    fn new(rhythm: Arc<Rhythm>, max: Duration) -> Self {
        *rhythm.state().limits.entry(max).or_default() += 1;
        Self { rhythm, max }
    }

    /// How long a round may take.
    pub fn max(&self) -> Duration {
        self.max
    }
}

impl Drop for RoundLimit {
    fn drop(&mut self) {
        let mut state = self.rhythm.state();
        if let Entry::Occupied(mut count) = state.limits.entry(self.max) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// When a thread's rounds begin and end.
#[derive(Debug, Default)]
struct Rhythm(Mutex<State>);

#[derive(Debug)]
struct State {
    /// From one round to the next.
    round: Duration,
    /// When this round began.
    begun: Instant,
    /// When the pause before it was over.
    paused: Instant,
    /// Since when what is read in it may have been here.
    since: Instant,
    /// How many there have been.
    number: u64,
    /// How long it should have been for what waited of a camera not to be too much, as a part of how long it was.
    share: f64,
    /// How long rounds may take, for how many cameras.
    limits: BTreeMap<Duration, usize>,
}

impl Default for State {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            round: ROUND_MAX_BY_ARRIVAL,
            begun: now,
            paused: now,
            since: now,
            number: 1,
            share: f64::INFINITY,
            limits: BTreeMap::new(),
        }
    }
}

impl Rhythm {
    /// Something arrived, or is due.
    fn begin_round(&self) {
        self.state().begin_round(Instant::now());
    }

    /// Nothing is left to do; returns when the next round may begin.
    fn end_round(&self) {
        let pause = self.state().end_round(Instant::now());
        thread::park_timeout(pause);
        self.state().paused = Instant::now();
    }

    /// Hardly ever contended: it is the thread's own.
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn begin_round(&mut self, now: Instant) {
        // A camera may have been the first to be read in the round before, and what came right after that is read now.
        let at_once = now.saturating_duration_since(self.paused) < AT_ONCE;
        self.since = if at_once { self.begun } else { now };
        self.begun = now;
        self.number += 1;
        self.share = f64::INFINITY;
    }

    /// For how long to pause.
    fn end_round(&mut self, now: Instant) -> Duration {
        let busy = now.saturating_duration_since(self.begun);
        let longest = (self.limits.first_key_value()).map_or(ROUND_MAX, |(least, _)| *least);
        // The next round will take as long, and its last camera is not to be late.
        let in_time = longest.saturating_sub(busy);
        // Not faster than the kernel gives a connection more room.
        let round = self.round.mul_f64(self.share.min(1.5));
        self.round = round.min(in_time).max(PAUSE_MIN);
        self.round.saturating_sub(busy).max(PAUSE_MIN)
    }

    fn took(&mut self, received: u64, window: impl Fn() -> Option<u64>, intake: &mut Intake) {
        if intake.round != self.number {
            (intake.round, intake.before, intake.grew) = (self.number, intake.received, false);
        }
        intake.received = received;
        let bytes = received.saturating_sub(intake.before).max(1);
        let waiting_max = intake.waiting_max(bytes, window);
        self.share = self.share.min(waiting_max as f64 / bytes as f64);
    }

    fn earliest(&self, now: Instant) -> Instant {
        // A thread that never pauses has no rounds.
        let earliest = now.checked_sub(ROUND_MAX);
        earliest.map_or(self.since, |earliest| self.since.max(earliest))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// The pauses of 40 rounds that were each so busy, and in each of which a camera gave what had come since the last.
    fn pauses(
        state: &mut State,
        busy: Duration,
        window: &dyn Fn() -> Option<u64>,
        came: impl Fn(Duration, Duration) -> u64,
    ) -> Vec<Duration> {
        let mut intake = Intake::default();
        let start = state.begun;
        let mut last = start;
        let round = |_| {
            let came = came(last - start, state.begun - start);
            last = state.begun;
            state.took(intake.received + came, window, &mut intake);
            let pause = state.end_round(state.begun + busy);
            state.paused = state.begun + busy + pause;
            state.begin_round(state.paused);
            pause
        };
        (0..40).map(round).collect()
    }

    /// The last of them.
    fn last(state: &mut State, busy: Duration) -> Duration {
        pauses(state, busy, &|| None, |_, _| 0).pop().unwrap()
    }

    /// How many pictures a camera has begun to send until then.
    fn pictures(fps: f64) -> impl Fn(Duration, Duration) -> u64 {
        let sent = move |time: Duration| (time.as_secs_f64() * fps).ceil() as u64;
        move |from, to| sent(to) - sent(from)
    }

    #[test]
    fn rounds_are_as_short_as_any_camera_needs_and_no_shorter() {
        let rhythm = Arc::<Rhythm>::default();
        let longest = |busy: Duration| last(&mut rhythm.state(), busy) + 2 * busy;
        assert_eq!(longest(10 * MS), ROUND_MAX);
        let needs = [
            ROUND_MAX_UNCONFIRMED,
            ROUND_MAX_BY_ARRIVAL,
            ROUND_MAX_UNCONFIRMED,
        ];
        let [first, second, third] = needs.map(|max| RoundLimit::new(rhythm.clone(), max));
        assert_eq!(longest(MS), ROUND_MAX_BY_ARRIVAL);
        drop((first, second));
        assert_eq!(longest(MS), ROUND_MAX_UNCONFIRMED);
        drop(third);
        assert_eq!(longest(MS), ROUND_MAX);
        assert_eq!(last(&mut rhythm.state(), 250 * MS), PAUSE_MIN);
    }

    #[test]
    fn rounds_are_shorter_where_a_camera_would_have_to_wait_and_not_for_large_pictures() {
        let after = |window: Option<u64>, came: &dyn Fn(Duration, Duration) -> u64| {
            let mut state = State::default();
            pauses(&mut state, Duration::ZERO, &|| window, came).split_off(20)
        };
        // Pictures of 20 KB, of which no more than fit into the window come in a round.
        let small = pictures(30.0);
        let unscaled = after(Some(65_535), &|from, to| {
            (20_000 * small(from, to)).min(65_535)
        });
        let window = 109 * MS; // in which 65 KB come
        assert!(
            (unscaled.iter()).all(|pause| (40 * MS..=window).contains(pause)),
            "{unscaled:?}"
        );
        // Those of 300 KB come at once or not at all.
        let large = pictures(10.0);
        let large = after(Some(1_000_000), &|from, to| 300_000 * large(from, to));
        assert!(large.iter().all(|pause| *pause >= 150 * MS), "{large:?}");
        // As fast as it is read, with all the room there is, or little.
        let flood = after(None, &|_, _| 8 << 20);
        assert_eq!(flood.last(), Some(&PAUSE_MIN));
        let flood = after(Some(130_000), &|_, _| 130_000);
        assert_eq!(flood.last(), Some(&PAUSE_MIN));
    }

    #[test]
    fn window_that_grows_with_what_is_read_is_no_limit() {
        let (window, asked) = (Cell::new(65_535), Cell::new(0));
        let grow = || {
            asked.set(asked.get() + 1);
            Some(window.replace(window.get() * 3 / 2))
        };
        let flood = |_, _| 500_000;
        let longest = pauses(&mut State::default(), Duration::ZERO, &grow, flood);
        assert_eq!(longest.last(), Some(&ROUND_MAX), "{longest:?}");
        // As soon as 500 KB are known to have room.
        assert_eq!(asked.get(), 7);
    }

    #[test]
    fn what_is_read_after_a_pause_may_be_as_old_as_the_round_before_and_what_was_waited_for_is_new()
    {
        let mut state = State::default();
        let before = state.begun;
        let pause = state.end_round(before + 9 * MS);
        state.paused = before + 9 * MS + pause;
        state.begin_round(state.paused);
        assert_eq!(state.earliest(state.begun), before);
        let pause = state.end_round(state.begun);
        state.paused = state.begun + pause;
        let waited = state.paused + AT_ONCE;
        state.begin_round(waited);
        assert_eq!(state.earliest(waited), waited);
        // It goes on and on.
        let later = waited + 10 * ROUND_MAX;
        assert_eq!(state.earliest(later), later - ROUND_MAX);
    }

    #[test]
    fn pause_is_over_when_the_thread_is_woken() {
        let readers = Readers::start().unwrap();
        let reader = readers.of(0);
        let ask = || {
            let (say, said) = mpsc::channel();
            reader.spawn(async move { say.send(()) });
            reader.wake();
            said.recv().unwrap();
        };
        // After each of them the thread pauses.
        let five = || {
            let begun = Instant::now();
            (0..5).for_each(|_| ask());
            begun.elapsed()
        };
        assert!((0..50).any(|_| five() < 2 * ROUND_MAX_BY_ARRIVAL));
    }
}
