//! One run: cameras, a recorder on them, and what it took. Not for how the figures are shown.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::contender::Contender;
use crate::load::Load;
use crate::process::{Process, Usage};

/// What a recorder gets to make files for the first frames, before busy cores count.
const SETTLE: Duration = Duration::from_secs(1);
/// What a recorder gets to take in what the cameras have sent, before it is asked to end.
const DRAIN: Duration = Duration::from_millis(1500);

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Who recorded.
    pub contender: Contender,
    /// How many cameras.
    pub cameras: usize,
    /// What it used from its start to its end.
    pub usage: Usage,
    /// CPU seconds a second, once all cameras are connected and each has sent a frame.
    pub cores: f64,
    /// What the cameras sent.
    pub sent: Sent,
    /// How many frames it has stored, if it counts frames.
    pub stored: Option<u64>,
}

impl Outcome {
    /// Frames that were paid for: a recorder that drops frames must not look cheap.
    pub fn kept_frames(&self) -> u64 {
        self.stored.unwrap_or(self.sent.frames)
    }

    /// Their size, in 10⁹ bytes. All frames of a run have the same size.
    pub fn kept_gb(&self) -> f64 {
        let frame_bytes = self.sent.bytes as f64 / self.sent.frames as f64;
        self.kept_frames() as f64 * frame_bytes / 1e9
    }

    /// CPU seconds for each 10⁹ bytes kept.
    pub fn cpu_s_per_gb(&self) -> f64 {
        self.usage.cpu_s() / self.kept_gb()
    }
}

/// What the cameras count.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// Frames that were sent whole.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames that were due but could not be sent, because the recorder did not read.
    pub skipped: u64,
    /// How often a recorder connected.
    pub connections: u64,
}

/// Lets the cameras send and the contender record, in a directory that is made and emptied here.
pub fn measure(contender: Contender, load: Load, parent: &Path) -> io::Result<Outcome> {
    let dir = tempfile::tempdir_in(parent)?;
    touch_memory(dir.path(), load.bytes())?;
    let mut cameras = Cameras::start(load)?;
    let mut recorders = contender.start(cameras.port, load, dir.path())?;
    cameras.await_line("running")?;
    if let Some(interval) = load.interval() {
        // By then each has sent a frame, and files have been made for it.
        sleep(interval + SETTLE);
    }
    let (began, cpu_before_s) = (Instant::now(), cpu_s(&recorders)?);
    let sent = cameras.await_line("sent ")?;
    let cores = (cpu_s(&recorders)? - cpu_before_s) / began.elapsed().as_secs_f64();
    let sent =
        read_sent(&sent).ok_or_else(|| io::Error::other(format!("cameras said {sent:?}")))?;
    sleep(DRAIN);
    recorders.iter_mut().try_for_each(Process::note_rss)?;
    if matches!(contender, Contender::Ffmpeg | Contender::Gstreamer) {
        // They do not end while they wait for a camera that is silent.
        drop(cameras);
    }
    let usage = recorders
        .into_iter()
        .map(Process::end)
        .sum::<io::Result<Usage>>()?;
    Ok(Outcome {
        contender,
        cameras: load.cameras,
        usage,
        cores,
        sent,
        stored: contender.stored(load, dir.path())?,
    })
}

/// Fills as much of the page cache as the footage might, and frees it again. A virtual machine gets memory from its host when it first touches
/// it, at a price that whoever is measured first would pay, and who comes next would not.
fn touch_memory(dir: &Path, bytes: u64) -> io::Result<()> {
    let path = dir.join("memory");
    let block = vec![7; 1 << 20];
    let mut file = fs::File::create(&path)?;
    for _ in 0..bytes.div_ceil(block.len() as u64) {
        file.write_all(&block)?;
    }
    fs::remove_file(path)
}

fn cpu_s(processes: &[Process]) -> io::Result<f64> {
    processes.iter().map(Process::cpu_s).sum()
}

fn read_sent(line: &str) -> Option<Sent> {
    let mut numbers = line.split(' ').map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some(Sent {
        frames: next()?,
        bytes: next()?,
        skipped: next()?,
        connections: next()?,
    })
}

/// The process that plays the cameras.
struct Cameras {
    _process: Process,
    said: Lines<BufReader<ChildStdout>>,
    port: u16,
}

impl Cameras {
    fn start(load: Load) -> io::Result<Self> {
        let mut process = Process::spawn(
            Command::new(std::env::current_exe()?)
                .arg("generator")
                .args(load.to_args())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped()),
        )?;
        let stdout = process.child().stdout.take();
        let stdout = stdout.ok_or_else(|| io::Error::other("cameras without output"))?;
        let mut cameras = Self {
            _process: process,
            said: BufReader::new(stdout).lines(),
            port: 0,
        };
        let port = cameras.await_line("port ")?;
        cameras.port = port.parse().map_err(io::Error::other)?;
        Ok(cameras)
    }

    /// What comes behind `prefix` in the next line, which must begin with it.
    fn await_line(&mut self, prefix: &str) -> io::Result<String> {
        let line = self.said.next().transpose()?.unwrap_or_default();
        line.strip_prefix(prefix).map(str::to_owned).ok_or_else(|| {
            io::Error::other(format!(
                "cameras said {line:?}, not {prefix:?}: did all get a recorder?"
            ))
        })
    }
}
