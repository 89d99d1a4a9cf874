//! A camera that follows a script: a real server on a real socket that can send any bytes, and keeps a journal of what was asked and sent.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use fastrand::Rng;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::jpeg::Jpeg;
use super::tls::IDENTITY;
use super::wire::{Cutter, Mode, Stream};
use super::{RUNTIME, bound, now_us, seconds};

/// What a frame's time must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clock {
    /// Whatever: the case is about something else.
    Any,
    /// Exactly this stamp, in microseconds.
    Camera(i64),
    /// From this second on, less than a second: the fraction comes from elsewhere.
    CameraSecond(i64),
    /// This stamp plus an offset that puts it near the arrival.
    Mapped(i64),
    /// Some stamp plus an offset that puts it near the arrival.
    Near,
    /// The arrival.
    Arrival,
    /// Near the arrival, wherever it comes from.
    Now,
}

/// A frame as the camera knows it.
#[derive(Clone, Debug)]
pub struct Shot {
    /// The byte strings that may be stored for it.
    pub accepted: Vec<Vec<u8>>,
    /// It may be left out (a torn frame).
    pub optional: bool,
    /// It can be shown by itself.
    pub keyframe: bool,
    /// Its `complete` in the index, where that is certain.
    pub complete: Option<bool>,
    /// A length that is too small is announced for it, or none, and padding follows: a silence in its middle may make that believable.
    pub unsure: bool,
    /// What its time must be.
    pub clock: Clock,
}

impl Shot {
    /// A whole frame that can be shown by itself, to be stored as it is.
    pub fn new(bytes: &[u8]) -> Self {
        Self {
            accepted: vec![bytes.to_vec()],
            optional: false,
            keyframe: true,
            complete: Some(true),
            unsure: false,
            clock: Clock::Any,
        }
    }

    /// A frame that needs others to be shown, if not `keyframe`.
    pub fn keyframe(mut self, keyframe: bool) -> Self {
        self.keyframe = keyframe;
        self
    }

    /// These bytes would be right too.
    pub fn or(mut self, bytes: &[u8]) -> Self {
        self.accepted.push(bytes.to_vec());
        self
    }

    /// A frame that was cut off: it may be left out; if it is stored it is marked.
    pub fn torn(mut self) -> Self {
        (self.optional, self.complete) = (true, Some(false));
        self
    }

    /// A frame that may be left out, for a reason other than being torn.
    pub fn optional(mut self) -> Self {
        (self.optional, self.complete) = (true, None);
        self
    }

    /// A frame without EOI: stored as it came, and marked.
    pub fn marked(mut self) -> Self {
        self.complete = Some(false);
        self
    }

    /// A frame whose end a silence in its middle may be taken for.
    pub fn unsure(mut self) -> Self {
        self.unsure = true;
        self
    }

    /// With this time.
    pub fn at(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }
}

/// A frame that went over the wire.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The frame.
    pub shot: Shot,
    /// When its first byte was sent.
    pub from_us: i64,
    /// When its last byte had been sent.
    pub to_us: i64,
    /// The longest time between two of its writes.
    pub stalled: Duration,
}

/// A request, as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// Request line and header lines.
    pub head: String,
}

impl Request {
    /// The method.
    pub fn method(&self) -> &str {
        self.head.split(' ').next().unwrap_or_default()
    }

    /// The request target.
    pub fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// The first field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        let fields = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'));
        fields
            .into_iter()
            .find(|(found, _)| found.trim().eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }
}

/// All that happened at one camera.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    /// Requests, in order.
    pub requests: Vec<Request>,
    /// Frames, in order.
    pub sent: Vec<Sent>,
    /// Frames that are being sent, or whose sending failed, by the number of the send: the recorder may have them, or a part of them.
    pub unfinished: BTreeMap<usize, Vec<Sent>>,
    /// How many sends of frames were begun.
    sends: usize,
    /// When each connection was taken.
    pub connected_us: Vec<i64>,
    /// The most connections that were open at once.
    pub most_open: usize,
    /// What a script found wrong.
    pub complaints: Vec<String>,
}

impl Journal {
    /// This one, with the connections and requests of an earlier moment, and what has been asked since to begin a session or to end one.
    pub fn counting(self, earlier: Journal) -> Self {
        let since = self.requests.into_iter().skip(earlier.requests.len());
        let of_sessions = since.filter(|request| ["SETUP", "TEARDOWN"].contains(&request.method()));
        Self {
            connected_us: earlier.connected_us,
            requests: earlier.requests.into_iter().chain(of_sessions).collect(),
            ..self
        }
    }

    fn begin(&mut self, frames: Vec<Sent>) -> usize {
        self.sends += 1;
        self.unfinished.insert(self.sends, frames);
        self.sends
    }

    fn end(&mut self, send: usize, to_us: i64, stalled: Duration) {
        let frames = self.unfinished.remove(&send).unwrap_or_default();
        self.sent.extend(frames.into_iter().map(|sent| Sent {
            to_us,
            stalled,
            ..sent
        }));
    }
}

type ScriptEnd = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// What the camera does with each connection. An I/O error ends it quietly: the recorder may hang up at any time.
pub type Script = Arc<dyn Fn(Connection) -> ScriptEnd + Send + Sync>;

/// Makes a script of an async closure.
pub fn script<F, E>(act: F) -> Script
where
    F: Fn(Connection) -> E + Send + Sync + 'static,
    E: Future<Output = io::Result<()>> + Send + 'static,
{
    Arc::new(move |connection| Box::pin(act(connection)))
}

/// An ordinary response head.
pub const HEAD: &str =
    "HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=camframe\r\n\r\n";

/// A camera that works: pictures of its own time for as long as it is listened to, so many milliseconds apart.
pub fn live(period_ms: u64) -> Script {
    script(move |mut camera| async move {
        camera.request().await?;
        camera.send(HEAD).await?;
        camera.send_live(period_ms, usize::MAX).await
    })
}

/// Where and how a camera listens.
#[derive(Clone, Copy, Debug)]
pub struct Listen {
    /// How its bytes are cut.
    pub mode: Mode,
    /// Cuts and pictures follow from it.
    pub seed: u64,
    /// Speaks TLS, with the certificate of [`IDENTITY`].
    pub tls: bool,
    /// On `::1` instead of `127.0.0.1`.
    pub v6: bool,
    /// Takes its first connection so late, so that hundreds of cameras don't all begin at once.
    pub delay: Duration,
}

impl Listen {
    /// Plain TCP on `127.0.0.1`, nothing cut.
    pub fn plainly(seed: u64) -> Self {
        Self {
            mode: Mode::Plain,
            seed,
            tls: false,
            v6: false,
            delay: Duration::ZERO,
        }
    }
}

/// A running camera. It stops when dropped.
#[derive(Debug)]
pub struct Camera {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    journal: Mutex<Journal>,
    rng: Mutex<Rng>,
}

impl Camera {
    /// Starts it on a free port.
    pub fn start(listen: Listen, script: Script) -> Self {
        let ip = if listen.v6 {
            Ipv6Addr::LOCALHOST.into()
        } else {
            Ipv4Addr::LOCALHOST.into()
        };
        Self::start_at(SocketAddr::new(ip, 0), listen, script)
    }

    /// Starts it at this address.
    pub fn start_at(address: SocketAddr, listen: Listen, script: Script) -> Self {
        let shared = Arc::new(Shared {
            journal: Mutex::default(),
            rng: Mutex::new(Rng::with_seed(listen.seed)),
        });
        let (listener, address) = bound(address);
        let task = RUNTIME.spawn(accept(listener, listen, script, Arc::clone(&shared)));
        Self {
            address,
            shared,
            task,
        }
    }

    /// What has happened so far.
    pub fn journal(&self) -> Journal {
        self.shared.journal().clone()
    }

    /// Waits until it has been connected to so often.
    pub fn wait_for_connections(&self, count: usize, limit: Duration) {
        let begin = std::time::Instant::now();
        while self.journal().connected_us.len() < count {
            assert!(
                begin.elapsed() < limit,
                "{} connections within {limit:?}, expected {count}",
                self.journal().connected_us.len()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The camera's section in a configuration.
    pub fn section(&self, name: &str, target: &str) -> String {
        format!("[cameras.{name}]\nurl = {:?}\n", self.url(target))
    }

    /// The camera as a URL.
    pub fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.address)
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal
            .lock()
            .expect("no script panics while it writes")
    }
}

async fn accept(listener: TcpListener, listen: Listen, script: Script, shared: Arc<Shared>) {
    tokio::time::sleep(listen.delay).await;
    let mut sockets: Vec<Weak<TcpStream>> = Vec::new();
    // They end with this task: a camera that is dropped sends nothing more.
    let mut connections = JoinSet::new();
    for number in 0.. {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        let Ok(socket) = stream.into_std().map(Arc::new) else {
            continue;
        };
        sockets.retain(|old| old.upgrade().is_some_and(|old| is_open(&old)));
        sockets.push(Arc::downgrade(&socket));
        {
            let mut journal = shared.journal();
            journal.connected_us.push(now_us());
            journal.most_open = journal.most_open.max(sockets.len());
        }
        let cutter = Cutter::new(listen.mode, listen.seed.wrapping_add(number as u64));
        let (script, shared) = (Arc::clone(&script), Arc::clone(&shared));
        while connections.try_join_next().is_some() {}
        connections.spawn(async move {
            let Ok(stream) = dress(&socket, listen.tls).await else {
                return;
            };
            // The error is the recorder hanging up: the journal shows what came before.
            let _ = script(Connection {
                number,
                stream,
                socket,
                cutter,
                shared,
            })
            .await;
        });
    }
}

/// Whether the other side has neither closed nor reset the connection.
fn is_open(socket: &TcpStream) -> bool {
    let mut polled = [PollFd::new(socket, PollFlags::RDHUP)];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut polled, Some(&at_once)).is_ok_and(|_| {
        !polled[0]
            .revents()
            .intersects(PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR)
    })
}

async fn dress(socket: &TcpStream, tls: bool) -> io::Result<Box<dyn Stream>> {
    let stream = tokio::net::TcpStream::from_std(socket.try_clone()?)?;
    stream.set_nodelay(true)?;
    match tls {
        true => Ok(Box::new(IDENTITY.acceptor.accept(stream).await?)),
        false => Ok(Box::new(stream)),
    }
}

/// One connection, in the hands of a script.
pub struct Connection {
    /// 0 for the camera's first.
    pub number: usize,
    stream: Box<dyn Stream>,
    socket: Arc<TcpStream>,
    cutter: Cutter,
    shared: Arc<Shared>,
}

impl Connection {
    /// Reads a request's head, and passes over packets before it (RFC 2326 §10.12).
    pub async fn request(&mut self) -> io::Result<Request> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = self.stream.read_u8().await?;
            if head.is_empty() && byte == b'$' {
                let _channel = self.stream.read_u8().await?;
                let length = self.stream.read_u16().await?;
                self.stream.read_exact(&mut vec![0; length.into()]).await?;
            } else {
                head.push(byte);
            }
        }
        let request = Request {
            head: String::from_utf8_lossy(&head).into_owned(),
        };
        self.shared.journal().requests.push(request.clone());
        Ok(request)
    }

    /// Sends these bytes, cut as the mode has it.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let sent = self.cutter.write(&mut *self.stream, bytes.as_ref()).await;
        sent.map(|_| ())
    }

    /// Sends bytes that carry this frame, and expects it in the index.
    pub async fn deliver(&mut self, bytes: impl AsRef<[u8]>, shot: Shot) -> io::Result<()> {
        self.deliver_all(bytes, [shot]).await
    }

    /// Sends bytes that carry these frames.
    pub async fn deliver_all(
        &mut self,
        bytes: impl AsRef<[u8]>,
        shots: impl IntoIterator<Item = Shot>,
    ) -> io::Result<()> {
        let from_us = now_us();
        let begun = |shot| Sent {
            shot,
            from_us,
            to_us: i64::MAX,
            stalled: Duration::MAX,
        };
        let number = self
            .shared
            .journal()
            .begin(shots.into_iter().map(begun).collect());
        let stalled = self.cutter.write(&mut *self.stream, bytes.as_ref()).await?;
        self.shared.journal().end(number, now_us(), stalled);
        Ok(())
    }

    /// Sends so many pictures with their time, in parts with a length, so many milliseconds apart.
    pub async fn send_live(&mut self, period_ms: u64, count: usize) -> io::Result<()> {
        self.send_late(period_ms, count, 0).await
    }

    /// The same with a clock that is behind by `late_us`.
    pub async fn send_late(
        &mut self,
        period_ms: u64,
        count: usize,
        late_us: i64,
    ) -> io::Result<()> {
        for _ in 0..count {
            let jpeg = self.jpeg().bytes();
            let stamp = now_us() - late_us;
            let (length, time) = (jpeg.len(), seconds(stamp));
            let head = format!(
                "--camframe\r\nContent-Type: image/jpeg\r\nContent-Length: {length}\r\nX-Timestamp: {time}\r\n\r\n"
            );
            self.deliver(
                [head.as_bytes(), &jpeg, b"\r\n"].concat(),
                Shot::new(&jpeg).at(Clock::Camera(stamp)),
            )
            .await?;
            self.wait(period_ms).await;
        }
        Ok(())
    }

    /// A picture unlike any before.
    pub fn jpeg(&self) -> Jpeg {
        Jpeg::new(self.random())
    }

    /// A number unlike any before.
    pub fn random(&self) -> u64 {
        self.shared
            .rng
            .lock()
            .expect("nothing panics with it")
            .u64(..)
    }

    /// How many frames the camera has sent, over all connections.
    pub fn sent(&self) -> usize {
        self.shared.journal().sent.len()
    }

    /// Lets some time pass.
    pub async fn wait(&mut self, milliseconds: u64) {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }

    /// Keeps the connection open, silent, until the recorder closes it.
    pub async fn hold(&mut self) -> io::Result<()> {
        while self.stream.read(&mut [0; 256]).await? > 0 {}
        Ok(())
    }

    /// Ends it with a reset.
    pub fn reset(self) -> io::Result<()> {
        rustix::net::sockopt::set_socket_linger(&self.socket, Some(Duration::ZERO))?;
        Ok(())
    }

    /// Notes something that the recorder did wrong.
    pub fn complain(&self, complaint: impl Into<String>) {
        self.shared.journal().complaints.push(complaint.into());
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    fn client(camera: &Camera) -> std::net::TcpStream {
        let mut client = std::net::TcpStream::connect(camera.address).expect("the camera listens");
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .expect("the camera reads");
        client
    }

    #[test]
    fn second_connection_at_once_is_noticed() {
        let camera = Camera::start(Listen::plainly(1), live(10));
        let _first = client(&camera);
        camera.wait_for_connections(1, Duration::from_secs(5));
        let _second = client(&camera);
        camera.wait_for_connections(2, Duration::from_secs(5));
        assert_eq!(camera.journal().most_open, 2);
    }

    #[test]
    fn connection_closed_before_the_next_is_no_second_one() {
        let camera = Camera::start(Listen::plainly(1), live(10));
        for count in 1..=20 {
            drop(client(&camera));
            camera.wait_for_connections(count, Duration::from_secs(5));
        }
        assert_eq!(camera.journal().most_open, 1);
    }

    #[test]
    fn dropped_camera_sends_nothing_more() {
        const MUCH: u64 = 1 << 28;
        let flood = script(async |mut camera| {
            camera.request().await?;
            loop {
                camera.send([0; 64 << 10]).await?;
            }
        });
        let camera = Camera::start(Listen::plainly(1), flood);
        let mut client = client(&camera);
        client.read_exact(&mut [0; 64]).expect("the camera sends");
        drop(camera);
        // What was on its way still comes; then the connection ends, well or not.
        let mut rest = client.take(MUCH);
        while rest.read(&mut [0; 64 << 10]).is_ok_and(|count| count > 0) {}
        assert!(rest.limit() > 0);
    }

    #[test]
    fn reset_is_a_reset() {
        let camera = Camera::start(
            Listen::plainly(1),
            script(async |mut camera| {
                camera.request().await?;
                camera.reset()
            }),
        );
        let error = client(&camera)
            .read(&mut [0; 16])
            .expect_err("no clean end");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
