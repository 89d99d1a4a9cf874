//! The cameras: one thread that serves every connection from frames made beforehand, so that it takes little of the machine that is
//! being measured. It says on standard output what port it has, when all cameras are connected, and what it has sent.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io::{self, ErrorKind, IoSlice, Read as _, Write as _};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::load::{Framing, Load};
use crate::picture::picture;
use rtsp::{Film, Stream};

mod rtsp;

const LISTENER: Token = Token(usize::MAX);
/// How many different frames there are.
const PICTURES: usize = 16;
/// How long the recorder has to connect to all cameras, and to take what was sent to it at the end.
const PATIENCE: Duration = Duration::from_secs(60);
/// At line rate, how many frames one connection gets before the others have their turn.
const TURN: usize = 8;

/// Serves cameras until the load is through and everything is written, then waits to be ended, with its connections open.
pub fn run(load: Load) -> io::Result<()> {
    let mut listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
    let poll = Poll::new()?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    say(&format!("port {}", listener.local_addr()?.port()))?;
    let mut generator = Generator {
        load,
        poll,
        listener,
        frames: Frames::new(&load),
        cameras: Vec::new(),
        due: BinaryHeap::new(),
        turns: VecDeque::new(),
        streaming: 0,
        sent: Sent::default(),
    };
    generator.send_all()?;
    let Sent {
        frames,
        bytes,
        skipped,
    } = generator.sent;
    say(&format!(
        "sent {frames} {bytes} {skipped} {}",
        generator.cameras.len()
    ))?;
    // The parent closes our input when it has seen the recorder end.
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

#[derive(Default)]
struct Sent {
    /// Frames whose last byte the kernel has taken.
    frames: u64,
    /// Their bytes, without what goes around them.
    bytes: u64,
    /// Frames that were never begun, because the one before was not taken in time.
    skipped: u64,
}

/// The frames of all cameras, in what way they are sent.
enum Frames {
    /// Each with its line end, and that of its chunk.
    Http(Vec<Vec<u8>>),
    Rtsp(Film),
}

impl Frames {
    fn new(load: &Load) -> Self {
        let end: &[u8] = match load.framing {
            Framing::Chunked => b"\r\n\r\n",
            Framing::Length | Framing::Boundary => b"\r\n",
        };
        let jpeg = |seed| [picture(load.frame_bytes, seed), end.to_vec()].concat();
        match load.h264 {
            true => Self::Rtsp(Film::new(load.frame_bytes, PICTURES)),
            false => Self::Http((0..PICTURES as u64).map(jpeg).collect()),
        }
    }
}

struct Camera {
    stream: TcpStream,
    /// What it has been asked so far.
    request: Vec<u8>,
    is_streaming: bool,
    rtsp: Stream,
    /// Answers that wait for the end of a frame.
    answers: Vec<u8>,
    /// What goes before the frame under way; over RTSP, all of it.
    head: Vec<u8>,
    /// How much of head and frame the kernel has taken; `None` between frames.
    written: Option<usize>,
    frame: usize,
    /// The socket takes no more for now.
    blocked: bool,
}

struct Generator {
    load: Load,
    poll: Poll,
    listener: TcpListener,
    frames: Frames,
    cameras: Vec<Camera>,
    due: BinaryHeap<Reverse<(Instant, usize)>>,
    /// Cameras at line rate whose socket takes more.
    turns: VecDeque<usize>,
    streaming: usize,
    sent: Sent,
}

impl Generator {
    fn send_all(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let begun = Instant::now();
        let mut ends: Option<Instant> = None;
        let mut over = false;
        loop {
            let now = Instant::now();
            if ends.is_none() && self.streaming >= self.load.cameras {
                ends = Some(now + Duration::from_secs(self.load.seconds));
                say("running")?;
            }
            over |= ends.is_some_and(|ends| now >= ends) || self.sent.bytes >= self.load.bytes_max;
            let deadline = ends.map_or(begun, |ends| ends) + PATIENCE;
            if now >= deadline || over && self.is_drained() {
                return Ok(());
            }
            self.poll
                .poll(&mut events, Some(self.wait(now, ends, over)))?;
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    Token(at) => self.wake(at, event.is_readable(), event.is_writable())?,
                }
            }
            if !over {
                self.begin_due_frames()?;
                self.take_turns()?;
            }
        }
    }

    fn is_drained(&self) -> bool {
        self.cameras.iter().all(|camera| camera.written.is_none())
    }

    fn wait(&self, now: Instant, ends: Option<Instant>, over: bool) -> Duration {
        if over {
            return Duration::from_millis(10);
        }
        if !self.turns.is_empty() {
            return Duration::ZERO;
        }
        let next = self.due.peek().map(|Reverse((at, _))| *at);
        let until = next.into_iter().chain(ends).min();
        until.map_or(Duration::from_millis(100), |at| {
            at.saturating_duration_since(now)
        })
    }

    fn accept(&mut self) -> io::Result<()> {
        while let Some((mut stream, _)) = unless_blocked(self.listener.accept())? {
            let both = Interest::READABLE | Interest::WRITABLE;
            let token = Token(self.cameras.len());
            self.poll.registry().register(&mut stream, token, both)?;
            stream.set_nodelay(true)?;
            self.cameras.push(Camera {
                stream,
                request: Vec::new(),
                is_streaming: false,
                rtsp: Stream::default(),
                answers: Vec::new(),
                head: Vec::new(),
                written: None,
                frame: self.cameras.len() % PICTURES,
                blocked: false,
            });
        }
        Ok(())
    }

    fn wake(&mut self, at: usize, readable: bool, writable: bool) -> io::Result<()> {
        let camera = &mut self.cameras[at];
        if writable {
            camera.blocked = false;
        }
        if readable && camera.take_requests(&self.load)? {
            self.streaming += 1;
            match self.load.interval() {
                // Each camera has its own place in the interval.
                Some(interval) => {
                    let place = (at * 7919 % 1000) as f64 / 1000.0;
                    self.due
                        .push(Reverse((Instant::now() + interval.mul_f64(place), at)));
                }
                None => self.turns.push_back(at),
            }
        } else if writable && camera.written.is_some() {
            self.write(at)?;
            if self.load.interval().is_none() && !self.cameras[at].blocked {
                self.turns.push_back(at);
            }
        }
        Ok(())
    }

    fn begin_due_frames(&mut self) -> io::Result<()> {
        let Some(interval) = self.load.interval() else {
            return Ok(());
        };
        let now = Instant::now();
        while let Some(&Reverse((due, at))) = self.due.peek().filter(|next| next.0.0 <= now) {
            self.due.pop();
            self.due.push(Reverse((due + interval, at)));
            if self.cameras[at].written.is_some() {
                self.sent.skipped += 1;
            } else {
                self.cameras[at].begin(&self.load, &self.frames, at);
                self.write(at)?;
            }
        }
        Ok(())
    }

    fn take_turns(&mut self) -> io::Result<()> {
        let Some(at) = self.turns.pop_front() else {
            return Ok(());
        };
        for _ in 0..TURN {
            if self.cameras[at].written.is_none() {
                self.cameras[at].begin(&self.load, &self.frames, at);
            }
            self.write(at)?;
            if self.cameras[at].blocked {
                return Ok(());
            }
        }
        self.turns.push_back(at);
        Ok(())
    }

    fn write(&mut self, at: usize) -> io::Result<()> {
        let camera = &mut self.cameras[at];
        if camera.write(&self.frames, self.load.send_bytes)? {
            self.sent.frames += 1;
            self.sent.bytes += self.load.frame_bytes as u64;
        }
        Ok(())
    }
}

impl Camera {
    /// Reads requests, and answers them; true when that has begun the stream.
    fn take_requests(&mut self, load: &Load) -> io::Result<bool> {
        const ANSWER: &[u8] =
            b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n";
        let mut piece = [0; 2048];
        let mut begins = false;
        while let Some(n) = unless_blocked(self.stream.read(&mut piece))?.filter(|n| *n > 0) {
            if load.h264 {
                begins |= self.rtsp.hear(&piece[..n], &mut self.answers);
            } else {
                self.request.extend_from_slice(&piece[..n]);
            }
        }
        if !load.h264 && !self.is_streaming && self.request.ends_with(b"\r\n\r\n") {
            self.answers.extend_from_slice(ANSWER);
            self.answers.extend_from_slice(match load.framing {
                Framing::Chunked => b"Transfer-Encoding: chunked\r\n\r\n",
                Framing::Length | Framing::Boundary => b"\r\n",
            });
            begins = true;
        }
        self.is_streaming |= begins;
        if self.written.is_none() && !self.answers.is_empty() {
            self.stream.write_all(&self.answers)?;
            self.answers.clear();
        }
        Ok(begins)
    }

    fn begin(&mut self, load: &Load, frames: &Frames, at: usize) {
        self.head.clear();
        self.head.append(&mut self.answers);
        match frames {
            Frames::Http(frames) => self.begin_part(load, frames),
            Frames::Rtsp(film) => self.rtsp.write_frame(film, at, &mut self.head),
        }
        self.written = Some(0);
    }

    fn begin_part(&mut self, load: &Load, frames: &[Vec<u8>]) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        self.frame = (self.frame + 1) % frames.len();
        let length = match load.framing {
            Framing::Length => format!("Content-Length: {}\r\n", load.frame_bytes),
            Framing::Boundary | Framing::Chunked => String::new(),
        };
        let head = format!(
            "--frame\r\nContent-Type: image/jpeg\r\n{length}X-Timestamp: {}.{:06}\r\n\r\n",
            now.as_secs(),
            now.subsec_micros()
        );
        if load.framing == Framing::Chunked {
            let bytes = head.len() + load.frame_bytes + b"\r\n".len();
            self.head.extend(format!("{bytes:x}\r\n").bytes());
        }
        self.head.extend(head.bytes());
    }

    /// Writes on; true when the frame is through. A connection that the recorder has closed takes no more.
    fn write(&mut self, frames: &Frames, at_once: usize) -> io::Result<bool> {
        let frame = match frames {
            Frames::Http(frames) => &frames[self.frame][..],
            Frames::Rtsp(_) => &[],
        };
        while let Some(written) = &mut self.written {
            let head = self.head.get(*written..).unwrap_or_default();
            let body = &frame[written.saturating_sub(self.head.len())..];
            let room = if at_once == 0 { usize::MAX } else { at_once };
            let head = &head[..head.len().min(room)];
            let body = &body[..body.len().min(room - head.len())];
            let pieces = [IoSlice::new(head), IoSlice::new(body)];
            match unless_blocked(self.stream.write_vectored(&pieces)) {
                Ok(Some(n)) => *written += n,
                Ok(None) => {
                    self.blocked = true;
                    return Ok(false);
                }
                Err(gone)
                    if matches!(
                        gone.kind(),
                        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
                    ) =>
                {
                    self.written = None;
                    self.blocked = true;
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
            if *written == self.head.len() + frame.len() {
                self.written = None;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn unless_blocked<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
