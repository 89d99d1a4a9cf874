//! What a large index costs: writing it, reading it while it is written, and removing from it.
//!
//!     cargo bench -p framelog-tests --bench index -- --rows 100000000
//!
//! The rows are made up, and there are no files behind the old ones. What is recorded beside the queries is real.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Parser;
use framelog_store::query::Reader;
use framelog_store::{Options, Rules, Store};
use tokio::time::sleep;

mod commands;
mod live;
mod made;
mod timed;
mod usage;

use live::Live;
use made::{Made, ROWS_PER_HOUR};
use timed::Timed;
use usage::Usage;

const SECOND_US: i64 = 1_000_000;
const HOUR_US: i64 = 3_600 * SECOND_US;

/// What records beside the queries.
const CAMERAS_BESIDE: usize = 16;
const FRAME_BYTES: usize = 24_000;
/// What the cost of a row is taken from: small frames, because only the index counts.
const CAMERAS_WRITTEN: usize = 500;
const FRAME_BYTES_WRITTEN: usize = 1_000;
/// How long each of these goes on.
const STEADY: Duration = Duration::from_secs(15);
/// So much of the beginning is left out: until each camera has pages of its own in the index, as it will have for ever, a row costs less.
const START: Duration = Duration::from_secs(30);

/// Makes an index of many rows, and measures what it costs to read it, to write to it and to remove from it.
#[derive(Parser)]
struct Arguments {
    /// How many rows, in cameras of 30 days at 10 fps each
    #[arg(long, default_value_t = 1_000_000)]
    rows: i64,
    /// How often each query is made, with other times
    #[arg(long, default_value_t = 200)]
    rounds: usize,
    /// Where the index is made
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// Seed of the times that are asked for
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

type Fallible<T> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Fallible<()> {
    let arguments = Arguments::parse();
    let new = tempfile::tempdir_in(&arguments.dir)?;
    write(new.path(), "new").await?;
    let dir = tempfile::tempdir_in(&arguments.dir)?;
    let made = Made::make(dir.path(), arguments.rows).await?;
    write(dir.path(), "large").await?;
    println!("| rows | what | p50 | p99 | max |\n|--:|---|--:|--:|--:|");
    read(dir.path(), &made, &arguments).await?;
    remove(dir.path(), &made).await
}

/// Records many cameras: what a row costs in this index.
async fn write(dir: &Path, which: &str) -> Fallible<()> {
    let store = Store::open(Options::new(dir.to_owned())).await?;
    await_rest().await?;
    let live = Live::start(&store, CAMERAS_WRITTEN, FRAME_BYTES_WRITTEN)?;
    let reader = Reader::open(dir).await?;
    sleep(START).await;
    let (rows_before, footage_before) = kept(&reader).await?;
    let before = Usage::now()?;
    sleep(STEADY).await;
    let used = Usage::now()?.since(before);
    let (rows, footage) = kept(&reader).await?;
    live.stop();
    store.close().await?;
    let rows = rows - rows_before;
    println!(
        "{which} index written at {CAMERAS_WRITTEN} cameras, 10 fps: {:.2} µs CPU and {} bytes a row ({rows} rows)",
        used.index_cpu.as_secs_f64() * 1e6 / rows as f64,
        used.written.saturating_sub(footage - footage_before) / rows,
    );
    Ok(())
}

/// Waits until nothing is done with the index: after a start it is read through.
async fn await_rest() -> Fallible<()> {
    loop {
        let before = Usage::now()?;
        sleep(Duration::from_secs(1)).await;
        if Usage::now()?.since(before).index_cpu < Duration::from_millis(20) {
            return Ok(());
        }
    }
}

/// Frames that are in the index, and the bytes of their files.
async fn kept(reader: &Reader) -> Fallible<(u64, u64)> {
    let segments = reader.segments(None, i64::MIN, i64::MAX).await?;
    Ok(segments.iter().fold((0, 0), |(frames, bytes), segment| {
        (frames + segment.frames, bytes + segment.bytes)
    }))
}

/// Asks for times, hours and months, while others are recorded.
async fn read(path: &Path, made: &Made, arguments: &Arguments) -> Fallible<()> {
    let show = |what: &str, timed: Timed| timed.print(made.rows, what);
    let mut rng = fastrand::Rng::with_seed(arguments.seed);
    let began = Instant::now();
    let store = Store::open(Options::new(path.to_owned())).await?;
    eprintln!("start: {} ms", began.elapsed().as_millis());
    let live = Live::start(&store, CAMERAS_BESIDE, FRAME_BYTES)?;
    let reader = Reader::open(path).await?;
    let camera = "old-0";

    let mut nearest = Timed::default();
    for _ in 0..arguments.rounds {
        let at_us = made.some_time(&mut rng);
        let found = nearest.of(async { reader.nearest(camera, at_us) }).await?;
        let near = found.is_some_and(|row| row.captured_us.abs_diff(at_us) <= 100_000);
        assert!(near, "a frame every 100 ms");
    }
    show("nearest frame", nearest);

    let mut hour = Timed::default();
    for _ in 0..arguments.rounds.div_ceil(10) {
        let from_us = made.some_time(&mut rng).min(made.until_us - HOUR_US);
        let asked = async { reader.frames(camera, from_us, from_us + HOUR_US, None, u32::MAX) };
        let rows = hour.of(asked).await?;
        assert!(rows.len() as i64 <= ROWS_PER_HOUR);
    }
    show("one hour of a camera, 36,000 rows", hour);

    let mut coverage = Timed::default();
    for _ in 0..arguments.rounds.div_ceil(10) {
        let asked = async {
            let (from_us, to_us) = (made.from_us, made.until_us);
            let gaps = reader.gaps(Some(camera), from_us, to_us).await?;
            reader.stretches(camera, from_us, to_us, &gaps).await
        };
        let stretches = coverage.of(asked).await?;
        let files: u64 = stretches.iter().map(|stretch| stretch.files).sum();
        assert_eq!(files as i64, made.segments_per_camera);
    }
    show(
        "coverage of a camera over all of it, at most 30 days",
        coverage,
    );

    show("append beside the queries", live.stop());

    let live = Live::start(&store, CAMERAS_BESIDE, FRAME_BYTES)?;
    let rounds = arguments.rounds.div_ceil(10);
    commands::measure(path, made, rounds, &mut rng).await?;
    live.stop();
    Ok(store.close().await?)
}

/// Lets the oldest hour of a camera go while others are recorded, after a while without a rule.
async fn remove(path: &Path, made: &Made) -> Fallible<()> {
    let rows_before = made.count(path).await?;
    let store = Store::open(Options::new(path.to_owned())).await?;
    await_rest().await?;
    let usual = record(&store, made, "append alone").await?;
    store.set_rules(Rules {
        max_size: Some(made.bytes_without_an_hour()),
        ..Rules::default()
    });
    let with_removal = record(&store, made, "append beside removals").await?;
    store.close().await?;
    let gone = rows_before - made.count(path).await?;
    println!(
        "\n{gone} rows removed: {:.2} µs CPU a row",
        with_removal.saturating_sub(usual).as_secs_f64() * 1e6 / gone as f64
    );
    Ok(())
}

/// The CPU time that the index took.
async fn record(store: &Store, made: &Made, what: &str) -> Fallible<Duration> {
    let before = Usage::now()?;
    let live = Live::start(store, CAMERAS_BESIDE, FRAME_BYTES)?;
    sleep(STEADY).await;
    let used = Usage::now()?.since(before);
    live.stop().print(made.rows, what);
    Ok(used.index_cpu)
}
