//! Software cameras that number their pictures, note when each one was sent, and misbehave on demand. Not for what a camera may send that
//! is wrong: that is `hostile` and the quirks.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use super::pictures::{Codec, Number, Pictures};
use crate::support::{RUNTIME, bound, now_us};
use wire::Wire;

mod wire;

/// What each camera of a fleet sends.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How many cameras.
    pub cameras: u32,
    /// Frames a second of each.
    pub fps: f64,
    /// Bytes of each frame, about.
    pub frame_bytes: usize,
}

/// Something that a camera does once, between two frames.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    /// Sends nothing for so long, with its connection open.
    Stall(Duration),
    /// Ends its connection well.
    Close,
    /// Resets it.
    Reset,
    /// Resets it, and refuses connections for so long.
    Vanish(Duration),
}

/// How a connection ended, as the camera saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Not yet.
    Open,
    /// The recorder hung up.
    Recorder,
    /// The camera closed it, everything sent before.
    Closed,
    /// The camera reset it: the recorder's kernel may have thrown away what it had.
    Reset,
    /// The same, and it refused connections for a while.
    Vanished,
}

/// What went over one connection.
#[derive(Clone, Debug)]
pub struct Connection {
    /// When it was asked for frames, µs.
    pub begun_us: i64,
    /// When it ended, µs; 0 while it has not.
    pub ended_us: i64,
    /// Sequence number of its first frame.
    pub first: u64,
    /// When each of its frames was stamped, and when its last byte had been taken by the kernel: µs.
    pub sent: Vec<(i64, i64)>,
    /// How it ended.
    pub end: End,
}

/// The cameras, on a port each.
#[derive(Debug)]
pub struct Fleet {
    /// In order of their numbers.
    pub cameras: Vec<Camera>,
    /// What their pictures look like.
    pub pictures: Arc<Pictures>,
}

/// One of them. It stops when dropped.
#[derive(Debug)]
pub struct Camera {
    /// Its number within the fleet.
    pub number: u32,
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    away: UnboundedSender<Duration>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    number: u32,
    interval: Duration,
    pictures: Arc<Pictures>,
    journal: Mutex<Vec<Connection>>,
    order: Mutex<Option<Order>>,
    paused: AtomicBool,
}

impl Fleet {
    /// Starts them.
    pub fn start(codec: Codec, load: Load) -> Self {
        let pictures = Arc::new(Pictures::of(codec, load.frame_bytes));
        let interval = Duration::from_secs_f64(1.0 / load.fps);
        let camera = |number| Camera::start(number, interval, Arc::clone(&pictures));
        Self {
            cameras: (0..load.cameras).map(camera).collect(),
            pictures,
        }
    }

    /// Their sections in a configuration.
    pub fn sections(&self) -> String {
        self.cameras.iter().map(Camera::section).collect()
    }

    /// No more frames, with all connections open.
    pub fn pause(&self) {
        for camera in &self.cameras {
            camera.shared.paused.store(true, Relaxed);
        }
    }

    /// How many frames they have sent in all.
    pub fn sent(&self) -> u64 {
        self.cameras.iter().map(Camera::sent).sum()
    }

    /// Waits until this is true of each camera; false if it doesn't become so in time.
    pub fn wait_until(&self, limit: Duration, reached: impl Fn(&Camera) -> bool) -> bool {
        let begun = Instant::now();
        while !self.cameras.iter().all(&reached) {
            if begun.elapsed() > limit {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }
}

impl Camera {
    fn start(number: u32, interval: Duration, pictures: Arc<Pictures>) -> Self {
        let (listener, address) = bound("127.0.0.1:0");
        let shared = Arc::new(Shared {
            number,
            interval,
            pictures,
            journal: Mutex::default(),
            order: Mutex::default(),
            paused: AtomicBool::new(false),
        });
        let (away, orders) = unbounded_channel();
        let task = RUNTIME.spawn(listen(listener, address, Arc::clone(&shared), orders));
        Self {
            number,
            address,
            shared,
            away,
            task,
        }
    }

    /// As configured.
    pub fn name(&self) -> String {
        name(self.number)
    }

    /// Its section in a configuration.
    pub fn section(&self) -> String {
        self.section_at("/")
    }

    /// The same with another target.
    pub fn section_at(&self, target: &str) -> String {
        let scheme = match self.shared.pictures.codec {
            Codec::Mjpeg | Codec::MjpegWithoutLength => "http",
            Codec::H264 | Codec::H265 => "rtsp",
        };
        format!(
            "[cameras.{}]\nurl = \"{scheme}://{}{target}\"\n",
            self.name(),
            self.address
        )
    }

    /// What it has sent, by connection.
    pub fn journal(&self) -> Vec<Connection> {
        self.shared.journal().clone()
    }

    /// How many frames it has sent.
    pub fn sent(&self) -> u64 {
        let journal = self.shared.journal();
        journal
            .iter()
            .map(|connection| connection.sent.len() as u64)
            .sum()
    }

    /// Over how many connections it has sent frames. A camera that is paused is connected to again and again.
    pub fn connections(&self) -> usize {
        let journal = self.shared.journal();
        let used = journal.iter().filter(|one| !one.sent.is_empty());
        used.count()
    }

    /// How long it was away after each connection that ended like this, µs.
    pub fn away_us(&self, end: End) -> Vec<i64> {
        let journal = self.shared.journal();
        let pairs = journal.windows(2).filter(|pair| pair[0].end == end);
        pairs
            .map(|pair| pair[1].begun_us - pair[0].ended_us)
            .collect()
    }

    /// Has it do this before its next frame.
    pub fn order(&self, order: Order) {
        if let Order::Vanish(away) = order {
            // It fails only when the camera has stopped.
            let _ = self.away.send(away);
        }
        *lock(&self.shared.order) = Some(order);
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The name of the camera of this number.
pub fn name(number: u32) -> String {
    format!("c{number:03}")
}

/// The number of the camera of this name.
pub fn number(name: &str) -> Option<u32> {
    name.strip_prefix('c')?.parse().ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics with it")
}

impl Shared {
    fn journal(&self) -> MutexGuard<'_, Vec<Connection>> {
        lock(&self.journal)
    }

    /// Begins the journal of a connection: its place there.
    fn begin(&self) -> usize {
        let mut journal = self.journal();
        // The number of a frame that was not sent whole is not used again. The last connection need not have the highest: somebody whose camera
        // had this port before may have looked in meanwhile.
        let behind = |earlier: &Connection| earlier.first + earlier.sent.len() as u64 + 1;
        let unused = journal.iter().map(behind).max().unwrap_or(0);
        journal.push(Connection {
            begun_us: now_us(),
            ended_us: 0,
            first: self.pictures.first_from(unused),
            sent: Vec::new(),
            end: End::Open,
        });
        journal.len() - 1
    }

    fn end(&self, at: usize, end: End) {
        let connection = &mut self.journal()[at];
        (connection.end, connection.ended_us) = (end, now_us());
    }
}

async fn listen(
    mut listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
    mut orders: UnboundedReceiver<Duration>,
) {
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
            Some(away) = orders.recv() => {
                drop(listener);
                tokio::time::sleep(away).await;
                listener = loop {
                    match TcpListener::bind(address).await {
                        Ok(listener) => break listener,
                        Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                    }
                };
            }
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // A recorder that hangs up before it is answered has seen nothing.
    if let Ok(wire) = Wire::begin(stream, shared.pictures.codec, u64::from(shared.number)).await {
        let at = shared.begin();
        let end = send_frames(wire, &shared, at).await;
        shared.end(at, end);
    }
}

async fn send_frames(mut wire: Wire, shared: &Shared, at: usize) -> End {
    let first = shared.journal()[at].first;
    // Each camera has its own place in the interval.
    tokio::time::sleep(
        shared
            .interval
            .mul_f64(f64::from(shared.number * 7919 % 1000) / 1000.0),
    )
    .await;
    let mut ticks = tokio::time::interval(shared.interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    for sequence in first.. {
        ticks.tick().await;
        let order = lock(&shared.order).take();
        if let Some(Order::Stall(pause)) = order {
            tokio::time::sleep(pause).await;
        }
        while shared.paused.load(Relaxed) && wire.is_wanted().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if !wire.is_wanted().await {
            return End::Recorder;
        }
        match order {
            Some(Order::Close) => {
                return wire.close().await.map_or(End::Recorder, |()| End::Closed);
            }
            Some(Order::Reset) => return wire.reset().map_or(End::Recorder, |()| End::Reset),
            Some(Order::Vanish(_)) => {
                return wire.reset().map_or(End::Recorder, |()| End::Vanished);
            }
            Some(Order::Stall(_)) | None => {}
        }
        let number = Number {
            camera: shared.number,
            sequence,
        };
        let Ok(stamp_us) = wire.send(&shared.pictures, number).await else {
            return End::Recorder;
        };
        shared.journal()[at].sent.push((stamp_us, now_us()));
    }
    End::Open
}
