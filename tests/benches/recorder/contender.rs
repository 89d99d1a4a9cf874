//! Who records: how each is started, and how many frames it has stored. Not for what that costs.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use crate::load::Load;
use crate::process::Process;

/// What is measured against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// The daemon, everything on.
    Framelog,
    /// Receive and write, nothing else.
    Floor,
    /// `ffmpeg -c copy` to segments, a process for each camera.
    Ffmpeg,
    /// GStreamer, which takes the pictures out and writes them one after the other, a process for each camera.
    Gstreamer,
}

impl Contender {
    /// As the table shows it.
    pub fn name(self) -> &'static str {
        match self {
            Contender::Framelog => "framelog",
            Contender::Floor => "floor",
            Contender::Ffmpeg => "ffmpeg -c copy",
            Contender::Gstreamer => "gst-launch-1.0",
        }
    }

    /// Whether it is installed.
    pub fn is_installed(self) -> bool {
        let program = match self {
            Contender::Framelog | Contender::Floor => return true,
            Contender::Ffmpeg => "ffmpeg",
            Contender::Gstreamer => "gst-launch-1.0",
        };
        // Both take this spelling.
        Command::new(program).arg("--version").output().is_ok()
    }

    /// Starts what records the cameras at the port into `dir`.
    pub fn start(self, port: u16, load: Load, dir: &Path) -> io::Result<Vec<Process>> {
        match self {
            Contender::Framelog => Ok(vec![start_framelog(port, load, dir)?]),
            Contender::Floor => Ok(vec![Process::spawn(
                Command::new(std::env::current_exe()?)
                    .args(["floor", &port.to_string()])
                    .arg(dir)
                    .args(load.to_args()),
            )?]),
            Contender::Ffmpeg => (0..load.cameras)
                .map(|camera| start_ffmpeg(port, load, camera, dir))
                .collect(),
            Contender::Gstreamer => (0..load.cameras)
                .map(|camera| start_gstreamer(port, load, camera, dir))
                .collect(),
        }
    }

    /// How many frames it has stored in `dir`; `None` for the floor, which knows of bytes only.
    pub fn stored(self, load: Load, dir: &Path) -> io::Result<Option<u64>> {
        match self {
            Contender::Framelog => count_rows(&dir.join("storage/index.db")).map(Some),
            Contender::Floor => Ok(None),
            Contender::Ffmpeg => count_reported(dir).map(Some),
            Contender::Gstreamer => count_bytes(dir, load.frame_bytes as u64).map(Some),
        }
    }
}

/// Where a camera is.
fn url(port: u16, load: Load, camera: usize) -> String {
    let scheme = if load.h264 { "rtsp" } else { "http" };
    format!("{scheme}://127.0.0.1:{port}/c{camera:04}")
}

fn start_framelog(port: u16, load: Load, dir: &Path) -> io::Result<Process> {
    let mut config = format!(
        "[storage]\npath = '{}'\n\n[http]\nlisten = \"127.0.0.1:0\"\n",
        dir.join("storage").display()
    );
    for camera in 0..load.cameras {
        let url = url(port, load, camera);
        config += &format!("\n[cameras.c{camera:04}]\nurl = \"{url}\"\n");
    }
    let path = dir.join("framelog.toml");
    fs::write(&path, config)?;
    Process::spawn(
        Command::new(env!("CARGO_BIN_EXE_framelog-under-test"))
            .args(["run", "--config"])
            .arg(path)
            .stdin(Stdio::null())
            .stderr(File::create(dir.join("framelog.log"))?),
    )
}

fn start_ffmpeg(port: u16, load: Load, camera: usize, dir: &Path) -> io::Result<Process> {
    let input = match load.h264 {
        true => ["-rtsp_transport", "tcp", "-i"],
        false => ["-f", "mpjpeg", "-i"],
    };
    Process::spawn(
        Command::new("ffmpeg")
            .args(["-nostdin", "-nostats", "-loglevel", "error"])
            .args(["-stats_period", "3600", "-progress"])
            .arg(dir.join(format!("{camera:04}.progress")))
            .args(input)
            .arg(url(port, load, camera))
            .args(["-c", "copy", "-f", "segment", "-segment_time", "60"])
            .arg(dir.join(format!("{camera:04}-%03d.mkv")))
            .stdin(Stdio::null())
            // It says that it was ended by a signal.
            .stderr(Stdio::null()),
    )
}

fn start_gstreamer(port: u16, load: Load, camera: usize, dir: &Path) -> io::Result<Process> {
    let location = format!("location={}", url(port, load, camera));
    let source = match load.h264 {
        true => ["rtspsrc", &location, "protocols=tcp", "!", "rtph264depay"],
        false => [
            "souphttpsrc",
            &location,
            "is-live=true",
            "!",
            "multipartdemux",
        ],
    };
    let file = dir.join(format!("{camera:04}.pictures"));
    Process::spawn(
        Command::new("gst-launch-1.0")
            .arg("--quiet")
            .args(source)
            .args(["!", "filesink", "buffer-mode=unbuffered"])
            .arg(format!("location={}", file.display()))
            .stdin(Stdio::null())
            .stderr(Stdio::null()),
    )
}

fn count_rows(index: &Path) -> io::Result<u64> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let count: i64 = runtime
        .block_on(async {
            let options = SqliteConnectOptions::new().filename(index);
            let mut connection = SqliteConnection::connect_with(&options).await?;
            sqlx::query_scalar("SELECT count(*) FROM frames")
                .fetch_one(&mut connection)
                .await
        })
        .map_err(io::Error::other)?;
    Ok(count.unsigned_abs())
}

/// What the processes said that they had written, in their last words.
fn count_reported(dir: &Path) -> io::Result<u64> {
    let mut frames = 0;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "progress") {
            let text = fs::read_to_string(path)?;
            let last = text
                .lines()
                .rev()
                .find_map(|line| line.strip_prefix("frame="));
            frames += last
                .and_then(|count| count.trim().parse::<u64>().ok())
                .unwrap_or(0);
        }
    }
    Ok(frames)
}

/// Whole pictures in the files of pictures, all of one size.
fn count_bytes(dir: &Path, frame_bytes: u64) -> io::Result<u64> {
    let mut frames = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry
            .path()
            .extension()
            .is_some_and(|end| end == "pictures")
        {
            frames += entry.metadata()?.len() / frame_bytes;
        }
    }
    Ok(frames)
}
