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
/// How much of what came in a round counts in the next, when it comes to how fast a camera sends...
const COUNTS_AFTER_A_ROUND: f64 = 0.75;
/// ... and how long a time counts at most, seconds: as long as the longest rounds add up to, so that a silence is soon forgotten.
const COUNTS_FOR: f64 = ROUND_MAX.as_secs_f64() / (1.0 - COUNTS_AFTER_A_ROUND);
/// The shortest pause.
const PAUSE_MIN: Duration = Duration::from_micros(500);
/// Of a camera no more is to wait in the kernel, bytes; less where there is less room ([`waiting_max`])...
const WAITING_MAX: u64 = 1 << 20;
/// ... but so much at least...
const WAITING_MIN: u64 = 8 << 10;
/// ... and so much where the system doesn't say. It begins with 131,072 bytes, as a rule.
const WAITING_UNKNOWN: u64 = 48 << 10;
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

    /// A camera is connected to, and nothing has come. `buffer`: how much memory the system has at present for what comes and is not read, bytes,
    /// as far as that is known.
    pub fn intake(&self, buffer: Option<u64>) -> Intake {
        self.rhythm.state().intake(buffer)
    }

    /// Rounds take no longer than `max` until that is dropped.
    pub fn limit_rounds(&self, max: Duration) -> RoundLimit {
        RoundLimit::new(self.rhythm.clone(), max)
    }

    /// A camera has been read, of which so many bytes have come so far. `buffer`: as before. Returns since when what is new may have been here.
    pub fn took(
        &self,
        received: u64,
        buffer: impl Fn() -> Option<u64>,
        intake: &mut Intake,
    ) -> Instant {
        let mut state = self.rhythm.state();
        state.took(received, buffer, intake);
        state.earliest(Instant::now())
    }

    /// Since when what is read now may have been here.
    pub fn earliest(&self) -> Instant {
        self.rhythm.state().earliest(Instant::now())
    }
}

/// What a reader knows of a connection: how fast it sends, which takes some rounds to tell, because pictures come at once.
#[derive(Debug)]
pub struct Intake {
    /// So much may wait of it, bytes.
    waiting_max: u64,
    /// How many bytes have come.
    received: u64,
    /// In which round it was read last, and when that began.
    round: u64,
    begun: Instant,
    /// How many bytes came in how many seconds; the longer ago, the less they count.
    bytes: f64,
    seconds: f64,
}

impl Intake {
    /// Bytes a second, now that `received` have come.
    fn rate(&mut self, received: u64, round: u64, begun: Instant) -> f64 {
        let rounds = round.saturating_sub(self.round);
        if rounds > 0 {
            let counts = COUNTS_AFTER_A_ROUND.powf(rounds as f64);
            let passed = begun.saturating_duration_since(self.begun);
            self.bytes *= counts;
            self.seconds = (self.seconds * counts + passed.as_secs_f64()).min(COUNTS_FOR);
            (self.round, self.begun) = (round, begun);
        }
        self.bytes += received.saturating_sub(self.received) as f64;
        self.received = received;
        self.bytes / self.seconds
    }

    /// How long a round may take for what waits of it not to be too much, now that it sends so fast. The buffer is asked for again when
    /// it may not have room: of most it never is.
    fn round_max(&mut self, rate: f64, buffer: impl Fn() -> Option<u64>) -> Duration {
        let longest = ROUND_MAX.as_secs_f64() * rate;
        if longest > self.waiting_max as f64 && self.waiting_max < WAITING_MAX {
            self.waiting_max = buffer().map_or(self.waiting_max, waiting_max);
        }
        ROUND_MAX.mul_f64((self.waiting_max as f64 / longest).min(1.0))
    }
}

/// How much may wait, bytes, where the system has so much memory for it, of which a part is not payload: when that is full, the camera has to
/// wait.
fn waiting_max(buffer: u64) -> u64 {
    (buffer / 8 * 3).clamp(WAITING_MIN, WAITING_MAX)
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
    /// How long the next may take for what waits of a camera not to be too much.
    max: Duration,
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
            max: ROUND_MAX,
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
        self.max = ROUND_MAX;
    }

    /// For how long to pause.
    fn end_round(&mut self, now: Instant) -> Duration {
        let busy = now.saturating_duration_since(self.begun);
        let longest = (self.limits.first_key_value()).map_or(ROUND_MAX, |(least, _)| *least);
        // The next round will take as long, and its last camera is not to be late.
        let in_time = longest.saturating_sub(busy);
        // Not faster than the kernel gives a connection more room.
        let round = self.max.min(self.round.mul_f64(1.5));
        self.round = round.min(in_time).max(PAUSE_MIN);
        self.round.saturating_sub(busy).max(PAUSE_MIN)
    }

    fn intake(&self, buffer: Option<u64>) -> Intake {
        Intake {
            waiting_max: buffer.map_or(WAITING_UNKNOWN, waiting_max),
            received: 0,
            round: self.number,
            begun: self.begun,
            bytes: 0.0,
            // As if it had been silent for so long: what comes first says little.
            seconds: ROUND_MAX.as_secs_f64(),
        }
    }

    fn took(&mut self, received: u64, buffer: impl Fn() -> Option<u64>, intake: &mut Intake) {
        let rate = intake.rate(received, self.number, self.begun);
        self.max = self.max.min(intake.round_max(rate, buffer));
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

    /// What comes of a camera between two times since it began.
    type Came<'c> = &'c dyn Fn(Duration, Duration) -> u64;

    /// The pauses of so many rounds that were each so busy, and in each of which cameras gave what had come since the last.
    fn pauses(
        rounds: usize,
        state: &mut State,
        busy: Duration,
        buffer: &dyn Fn() -> Option<u64>,
        cameras: &[Came<'_>],
    ) -> Vec<Duration> {
        let start = state.begun;
        let mut last = start;
        let mut intakes = Vec::from_iter(cameras.iter().map(|came| (came, state.intake(buffer()))));
        let round = |_| {
            for (came, intake) in &mut intakes {
                let came = came(last - start, state.begun - start);
                if came > 0 {
                    state.took(intake.received + came, buffer, intake);
                }
            }
            last = state.begun;
            let pause = state.end_round(state.begun + busy);
            state.paused = state.begun + busy + pause;
            state.begin_round(state.paused);
            pause
        };
        (0..rounds).map(round).collect()
    }

    /// The last of them.
    fn last(state: &mut State, busy: Duration) -> Duration {
        pauses(40, state, busy, &|| None, &[]).pop().unwrap()
    }

    /// How many bytes of pictures a camera has begun to send until then, of which the first came at `first`.
    fn pictures(first: Duration, fps: f64, bytes: u64) -> impl Fn(Duration, Duration) -> u64 {
        let sent = move |time: Duration| {
            let time = time.saturating_sub(first).as_secs_f64();
            (time * fps).ceil() as u64 * bytes
        };
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

    /// The pauses once it is known how fast cameras send.
    fn steady(buffer: Option<u64>, cameras: &[Came<'_>]) -> Vec<Duration> {
        let mut state = State::default();
        pauses(60, &mut state, Duration::ZERO, &|| buffer, cameras).split_off(30)
    }

    #[test]
    fn rounds_are_shorter_where_a_camera_would_have_to_wait() {
        let small = pictures(Duration::ZERO, 30.0, 20_000);
        // No more than there is room for.
        let small = steady(Some(131_072), &[&|from, to| small(from, to).min(65_535)]);
        let full = 109 * MS; // in which 65 KB come
        assert!(
            (small.iter()).all(|pause| (40 * MS..=full).contains(pause)),
            "{small:?}"
        );
        // As fast as it is read, with all the room there is, or little.
        assert_eq!(steady(None, &[&|_, _| 8 << 20]).last(), Some(&PAUSE_MIN));
        let little = steady(Some(262_144), &[&|_, _| 150_000]);
        assert_eq!(little.last(), Some(&PAUSE_MIN));
    }

    #[test]
    fn rounds_are_no_shorter_for_pictures_that_come_at_once() {
        let large = pictures(Duration::ZERO, 10.0, 300_000);
        let large = steady(Some(2_000_000), &[&large]);
        assert!(large.iter().all(|pause| *pause >= 150 * MS), "{large:?}");
        // Each of them is more than is to wait, and one is always coming.
        let cameras = [0, 4, 8, 12, 16, 20, 24, 28].map(|ms| pictures(ms * MS, 30.0, 100_000));
        let cameras = Vec::from_iter(cameras.iter().map(|came| came as Came<'_>));
        let several = steady(Some(262_144), &cameras);
        assert!(several.iter().all(|pause| *pause >= 20 * MS), "{several:?}");
    }

    #[test]
    fn buffer_is_asked_for_when_it_may_be_too_small_and_no_limit_once_it_has_grown() {
        let (buffer, asked) = (Cell::new(131_072), Cell::new(0));
        let grow = || {
            asked.set(asked.get() + 1);
            Some(buffer.replace(buffer.get() * 2))
        };
        let ask = |bytes| {
            let came = pictures(Duration::ZERO, 10.0, bytes);
            pauses(60, &mut State::default(), Duration::ZERO, &grow, &[&came])
        };
        let little = ask(20_000);
        assert_eq!((little.last(), asked.take()), (Some(&ROUND_MAX), 1));
        let much = ask(200_000);
        assert_eq!(much.last(), Some(&ROUND_MAX));
        assert!((2..10).contains(&asked.take()));
    }

    #[test]
    fn camera_that_has_little_room_gets_rid_of_what_it_sends_even_after_a_silence() {
        let (room, bytes) = (131_072, 1_000_000);
        let late = [Duration::ZERO, Duration::from_secs(10)];
        let sent = late.map(|late| pictures(late, 10.0, bytes));
        for sent in &sent {
            let (taken, left) = (Cell::new(0), Cell::new(0));
            let take = |_, to: Duration| {
                let waits: u64 = sent(Duration::ZERO, to) - taken.get();
                let came = waits.min(room);
                taken.set(taken.get() + came);
                left.set(waits - came);
                came
            };
            let buffer = || Some(2 * room);
            pauses(
                5_000,
                &mut State::default(),
                Duration::ZERO,
                &buffer,
                &[&take],
            );
            assert!(taken.get() > 20 * bytes);
            assert!(left.get() < bytes, "{}", left.get());
        }
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
