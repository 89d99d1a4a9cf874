//! What a large index costs: reading it while it is written, and removing from it.
//!
//!     cargo bench -p framelog-tests --bench index -- --rows 100000000
//!
//! The rows are made up, and there are no files behind the old ones. What is recorded beside the queries is real.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use clap::Parser;
use framelog_core::clock::ClockKind;
use framelog_core::frame::{Codec, Frame};
use framelog_store::query::Reader;
use framelog_store::{CameraLog, Options, Rules, Store};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

const FPS: i64 = 10;
const SECOND_US: i64 = 1_000_000;
const HOUR_US: i64 = 3_600 * SECOND_US;
const DAY_US: i64 = 24 * HOUR_US;
/// As the default configuration has it.
const SEGMENT_US: i64 = 60 * SECOND_US;
/// The made-up cameras go back so far.
const DAYS: i64 = 30;
const ROWS_PER_CAMERA: i64 = DAYS * DAY_US / SECOND_US * FPS;
/// What records beside the queries.
const LIVE_CAMERAS: usize = 16;
const LIVE_FRAME_BYTES: usize = 24_000;
const LIVE_PERIOD: Duration = Duration::from_millis(100);

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
    let dir = tempfile::tempdir_in(&arguments.dir)?;
    let made = Made::make(dir.path(), arguments.rows).await?;
    println!("| rows | what | p50 | p99 | max |\n|--:|---|--:|--:|--:|");
    let show = |what: &str, timed: Timed| timed.print(made.rows, what);
    let path = dir.path();
    let mut rng = fastrand::Rng::with_seed(arguments.seed);

    let began = Instant::now();
    let store = Store::open(Options::new(path.to_owned())).await?;
    eprintln!("start: {} ms", began.elapsed().as_millis());
    let live = Live::start(&store).await?;
    let reader = Reader::open(path).await?;
    let camera = "old-0";

    let mut nearest = Timed::default();
    for _ in 0..arguments.rounds {
        let at_us = made.some_time(&mut rng);
        let found = nearest.of(reader.nearest(camera, at_us)).await?;
        let near = found.is_some_and(|row| row.captured_us.abs_diff(at_us) <= 100_000);
        assert!(near, "a frame every 100 ms");
    }
    show("nearest frame", nearest);

    let mut hour = Timed::default();
    for _ in 0..arguments.rounds.div_ceil(10) {
        let from_us = made.some_time(&mut rng).min(made.until_us - HOUR_US);
        let rows = hour
            .of(reader.frames(camera, from_us, from_us + HOUR_US, None, u32::MAX))
            .await?;
        assert!(rows.len() as i64 <= HOUR_US / SECOND_US * FPS);
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

    let appended = live.stop();
    show("append beside the queries", appended);
    store.close().await?;
    remove(path, &made).await
}

/// Lets the oldest hour of a camera go, while others are recorded.
async fn remove(path: &Path, made: &Made) -> Fallible<()> {
    let hour_bytes = u64::try_from(made.bytes_per_segment * HOUR_US / SEGMENT_US)?;
    let rows_before = made.count(path).await?;
    let rules = Rules {
        max_size: Some(made.total_bytes() - hour_bytes),
        ..Rules::default()
    };
    let options = Options {
        rules,
        ..Options::new(path.to_owned())
    };
    let store = Store::open(options).await?;
    let live = Live::start(&store).await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    live.stop().print(made.rows, "append beside removals");
    store.close().await?;
    let gone = rows_before - made.count(path).await?;
    println!("| {} | rows removed meanwhile | {gone} | | |", made.rows);
    Ok(())
}

/// What was made up.
struct Made {
    rows: i64,
    cameras: i64,
    from_us: i64,
    until_us: i64,
    segments_per_camera: i64,
    bytes_per_segment: i64,
}

impl Made {
    async fn make(dir: &Path, rows: i64) -> Fallible<Self> {
        Store::open(Options::new(dir.to_owned()))
            .await?
            .close()
            .await?;
        let cameras = (rows / ROWS_PER_CAMERA).max(1);
        let per_camera = rows / cameras / (FPS * 60) * (FPS * 60);
        let until_us = now_us() / SEGMENT_US * SEGMENT_US;
        let made = Self {
            rows: per_camera * cameras,
            cameras,
            from_us: until_us - per_camera / FPS * SECOND_US,
            until_us,
            segments_per_camera: per_camera / FPS / 60,
            bytes_per_segment: 24_222 * FPS * 60,
        };
        let began = Instant::now();
        let mut connection = connect(dir).await?;
        for pragma in ["PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF"] {
            sqlx::query(pragma).execute(&mut connection).await?;
        }
        made.fill(&mut connection).await?;
        sqlx::query("PRAGMA journal_mode = WAL")
            .execute(&mut connection)
            .await?;
        connection.close().await?;
        let bytes = std::fs::metadata(dir.join("index.db"))?.len();
        eprintln!(
            "{} rows of {cameras} cameras made in {:.0} s: {:.1} bytes a row",
            made.rows,
            began.elapsed().as_secs_f64(),
            bytes as f64 / made.rows as f64
        );
        Ok(made)
    }

    /// A segment of each camera, and the next of each, as they would be recorded.
    async fn fill(&self, connection: &mut SqliteConnection) -> Fallible<()> {
        for camera in 1..=self.cameras {
            sqlx::query("INSERT INTO cameras (id, name, added_us) VALUES (?, ?, ?)")
                .bind(camera)
                .bind(format!("old-{}", camera - 1))
                .bind(self.from_us)
                .execute(&mut *connection)
                .await?;
        }
        let mut id = 0;
        for segment in 0..self.segments_per_camera {
            let started_us = self.from_us + segment * SEGMENT_US;
            for camera in 1..=self.cameras {
                id += 1;
                sqlx::query(
                    "INSERT INTO segments (id, camera_id, path, codec, started_us, ended_us, frames, bytes, state, offset_us, received_us) \
                     VALUES (?1, ?2, ?3, 'mjpeg', ?4, ?5, ?6, ?7, 'closed', 0, ?5 + 5000)",
                )
                .bind(id)
                .bind(camera)
                .bind(format!("footage/old-{}/{started_us}.mjpeg", camera - 1))
                .bind(started_us)
                .bind(started_us + SEGMENT_US - SECOND_US / FPS)
                .bind(FPS * 60)
                .bind(self.bytes_per_segment)
                .execute(&mut *connection)
                .await?;
                sqlx::query(
                    "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
                     INSERT INTO frames SELECT ?2, ?3 + i * 100000 + i * 7919 % 7001, ?4, i * 24222 + 222, \
                         18000 + i * 7919 % 12000, 0, 3000 + i * 104729 % 57000 FROM n",
                )
                .bind(FPS * 60 - 1)
                .bind(camera)
                .bind(started_us)
                .bind(id)
                .execute(&mut *connection)
                .await?;
            }
        }
        Ok(())
    }

    fn some_time(&self, rng: &mut fastrand::Rng) -> i64 {
        rng.i64(self.from_us + SECOND_US..self.until_us - SECOND_US)
    }

    fn total_bytes(&self) -> u64 {
        (self.cameras * self.segments_per_camera * self.bytes_per_segment).unsigned_abs()
    }

    /// Rows of the made-up cameras.
    async fn count(&self, dir: &Path) -> Fallible<i64> {
        let mut connection = connect(dir).await?;
        let rows = sqlx::query_scalar(
            "SELECT coalesce(sum(s.frames), 0) FROM segments s JOIN cameras c ON c.id = s.camera_id WHERE c.name LIKE 'old-%'",
        )
        .fetch_one(&mut connection)
        .await?;
        connection.close().await?;
        Ok(rows)
    }
}

async fn connect(dir: &Path) -> sqlx::Result<SqliteConnection> {
    SqliteConnectOptions::new()
        .filename(dir.join("index.db"))
        .disable_statement_logging()
        .connect()
        .await
}

fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as i64)
}

/// Cameras that are recorded meanwhile, on a thread of their own.
struct Live {
    ends: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Timed>,
}

impl Live {
    async fn start(store: &Store) -> Fallible<Self> {
        let mut logs = Vec::new();
        for n in 0..LIVE_CAMERAS {
            logs.push(store.camera(&format!("live-{n}")).await?);
        }
        let ends = Arc::<AtomicBool>::default();
        let thread = std::thread::spawn({
            let ends = ends.clone();
            move || record(&logs, &ends)
        });
        Ok(Self { ends, thread })
    }

    fn stop(self) -> Timed {
        self.ends.store(true, Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

fn record(logs: &[CameraLog], ends: &AtomicBool) -> Timed {
    let picture = Bytes::from(vec![7; LIVE_FRAME_BYTES]);
    let mut timed = Timed::default();
    while !ends.load(Relaxed) {
        for log in logs {
            let captured_us = now_us();
            let frame = Frame {
                payload: picture.clone().into(),
                codec: Codec::Mjpeg,
                parameters: None,
                captured_us,
                received_us: captured_us,
                clock: ClockKind::Camera,
                offset_us: 0,
                keyframe: true,
                complete: true,
            };
            let began = Instant::now();
            let appended = log.append(frame, false);
            timed.0.push(began.elapsed());
            if let Err(dropped) = appended {
                eprintln!("{dropped}");
            }
        }
        std::thread::sleep(LIVE_PERIOD);
    }
    timed
}

/// How long something took, each time.
#[derive(Default)]
struct Timed(Vec<Duration>);

impl Timed {
    async fn of<T>(&mut self, asked: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let found = asked.await;
        self.0.push(began.elapsed());
        found
    }

    fn print(mut self, rows: i64, what: &str) {
        self.0.sort_unstable();
        let last = self.0.len().saturating_sub(1);
        let at = |share: f64| self.0.get((last as f64 * share).round() as usize).copied();
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| at(share).unwrap_or_default());
        println!("| {rows} | {what} | {p50:.1?} | {p99:.1?} | {max:.1?} |");
    }
}
