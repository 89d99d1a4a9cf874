//! What cameras do in a run: how many, how fast, how large, for how long. Not for who records them.

use std::time::Duration;

use clap::ValueEnum as _;

/// One run's cameras.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Load {
    /// How many
    #[arg(long, default_value_t = 16)]
    pub cameras: usize,
    /// Frames a second of each; 0: as fast as they are taken
    #[arg(long, default_value_t = 30.0)]
    pub fps: f64,
    /// Bytes of each frame
    #[arg(long, default_value_t = 24_000)]
    pub frame_bytes: usize,
    /// How long they send once all are connected
    #[arg(long, default_value_t = 20)]
    pub seconds: u64,
    /// They stop before that when they have sent so many bytes together
    #[arg(long, default_value_t = 4_000_000_000)]
    pub bytes_max: u64,
    /// H.264 over RTSP, in place of JPEGs over HTTP
    #[arg(long)]
    pub h264: bool,
    /// What the JPEGs come in
    #[arg(long, value_enum, default_value_t)]
    pub framing: Framing,
    /// At most so many bytes of a frame go in one call, as in packets of that size; 0: as many as the socket takes
    #[arg(long, default_value_t = 0)]
    pub send_bytes: usize,
}

/// What says where a frame ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Framing {
    /// Content-Length
    #[default]
    Length,
    /// The boundary alone
    Boundary,
    /// The boundary alone, and a chunk for each part
    Chunked,
}

/// The loads that the project holds itself to.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Preset {
    /// 16 cameras, 30 fps, 24 KB
    A,
    /// 500 cameras, 10 fps, 24 KB
    B,
    /// 8 connections at line rate
    C,
    /// 1,000 cameras, 10 fps, 24 KB
    D,
    /// 1,000 cameras, a frame every 5 s
    Idle,
    /// 16 cameras of H.264, 25 fps, 4 Mbit/s
    H264,
}

impl Preset {
    /// Its numbers.
    pub fn load(self) -> Load {
        let (cameras, fps, seconds) = match self {
            Preset::A => (16, 30.0, 20),
            Preset::B => (500, 10.0, 15),
            Preset::C => (8, 0.0, 10),
            Preset::D => (1_000, 10.0, 12),
            Preset::Idle => (1_000, 0.2, 30),
            Preset::H264 => (16, 25.0, 20),
        };
        let h264 = matches!(self, Preset::H264);
        Load {
            cameras,
            fps,
            frame_bytes: if h264 { 20_000 } else { 24_000 },
            seconds,
            bytes_max: 4_000_000_000,
            h264,
            framing: Framing::default(),
            send_bytes: 0,
        }
    }
}

impl Load {
    /// Time between two frames of one camera; `None` at line rate.
    pub fn interval(&self) -> Option<Duration> {
        (self.fps > 0.0).then(|| Duration::from_secs_f64(1.0 / self.fps))
    }

    /// How many bytes a recorder must be able to store, at most.
    pub fn bytes(&self) -> u64 {
        match self.interval() {
            None => self.bytes_max,
            Some(_) => {
                let frames = self.cameras as f64 * self.fps * self.seconds as f64;
                self.bytes_max
                    .min((frames * self.frame_bytes as f64) as u64)
            }
        }
    }

    /// The same, as arguments of this program.
    pub fn to_args(self) -> Vec<String> {
        let mut args = vec![
            format!("--cameras={}", self.cameras),
            format!("--fps={}", self.fps),
            format!("--frame-bytes={}", self.frame_bytes),
            format!("--seconds={}", self.seconds),
            format!("--bytes-max={}", self.bytes_max),
        ];
        if self.h264 {
            args.push("--h264".to_owned());
        }
        let framing = self.framing.to_possible_value();
        args.extend(framing.map(|framing| format!("--framing={}", framing.get_name())));
        args.push(format!("--send-bytes={}", self.send_bytes));
        args
    }
}
