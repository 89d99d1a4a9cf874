//! MJPEG over HTTP: multipart streams, bare JPEG sequences, and snapshot URLs that are polled. Reads what the camera sends and
//! says why it ended. Not for opening connections (`request`), nor for opening them again (the supervisor's).

use bytes::Bytes;
use hyper::header;
use tokio::time::{Instant, timeout_at};

use crate::config::Camera;
use crate::config::url::CameraUrl;
use crate::source::auth::Challenge;
use crate::source::body::Body;
use crate::source::exchange::Answer;
use crate::source::memory::Memory;
use crate::source::quote::Quoter;
use crate::source::reading::{Progress, Reading, begins_jpeg};
use crate::source::request::{Attempt, Reached};
use crate::source::{Delivery, Ended};

/// After so many line ends and nothing else behind a snapshot no sequence is expected any more, bytes.
const LINE_ENDS_MAX: usize = 4 << 10;

/// What a response's head says, for people. Escaped and without credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadFacts {
    /// The URL that gave the response, after redirects, as it may be shown.
    pub url: String,
    /// As it came; empty if the camera sent no head at all.
    pub status_line: String,
    /// As it came.
    pub content_type: Option<String>,
    /// The boundary that Content-Type names.
    pub boundary: Option<String>,
    /// `chunked`, `length 1234` or `until close`.
    pub framing: String,
    /// Who it says it is.
    pub server: Option<String>,
    /// `Basic`, `Digest MD5`, …, if credentials were asked for.
    pub auth: Option<&'static str>,
    /// `verified`, `pinned` or `unverified`; `None` over plain TCP.
    pub tls: Option<&'static str>,
}

/// An open connection.
#[derive(Debug)]
pub struct HttpSource {
    camera: Camera,
    quoter: Quoter,
    /// What gave the last response, after redirects.
    url: CameraUrl,
    /// What the next snapshot is asked of.
    next_url: CameraUrl,
    head: HeadFacts,
    state: State,
    /// The last picture was a snapshot.
    is_polled: bool,
    /// The log has what the camera says in words.
    text_logged: bool,
    /// When the last request began.
    asked_at: Instant,
    /// When the source ends unless a picture comes before.
    stalls_at: Instant,
}

#[derive(Debug)]
enum State {
    Reading(Box<Reading>),
    Waiting(Box<Waiting>),
}

/// Between two snapshots.
#[derive(Debug, Default)]
struct Waiting {
    /// The connection, as long as it is open and silent.
    body: Option<Body>,
    /// What came after the picture.
    beginning: Vec<Bytes>,
    /// Whether there was a picture: torn ones don't put off the stall.
    progressed: bool,
    /// Whether there was none at all. One that comes now is late, and not the next of a sequence.
    missed: bool,
}

impl HttpSource {
    /// Connects, authenticates, follows redirects, and reads the response's head. The connection is closed when the source is dropped.
    ///
    /// # Errors
    ///
    /// Why there is no response to read, within some 20 s for each request that takes part, 70 s where heads come late.
    pub async fn connect(camera: &Camera, memory: &mut Memory) -> Result<Self, Ended> {
        let quoter = Quoter::new(camera);
        let asked_at = Instant::now();
        let attempt = Attempt::new(camera, &quoter, memory, camera.url.clone(), None);
        let Reached { answer, url, next } = attempt.run().await?;
        let head = HeadFacts::new(&answer, &url, &quoter, memory);
        Ok(Self {
            state: State::Reading(Box::new(Reading::new(answer))),
            is_polled: false,
            text_logged: false,
            stalls_at: Instant::now() + camera.stall_timeout,
            camera: camera.clone(),
            quoter,
            url,
            next_url: next,
            head,
            asked_at,
        })
    }

    /// What the head of the last response said.
    pub fn head(&self) -> &HeadFacts {
        &self.head
    }

    /// Whether each picture is asked for.
    pub fn is_polled(&self) -> bool {
        self.is_polled
    }

    /// Whether a picture has begun whose end only what follows will tell.
    pub fn seeks_end(&self) -> bool {
        matches!(&self.state, State::Reading(reading) if reading.seeks_end())
    }

    /// How many bytes of the response have been read.
    pub fn received(&self) -> u64 {
        match &self.state {
            State::Reading(reading) => reading.received(),
            State::Waiting(_) => 0,
        }
    }

    /// How much memory the system has at present for what comes and is not read, bytes, as far as that is known.
    pub fn receive_buffer(&self) -> Option<u64> {
        match &self.state {
            State::Reading(reading) => reading.receive_buffer(),
            State::Waiting(_) => None,
        }
    }

    /// Waits for the next deliveries and appends them, in order. On `Err`, deliveries made before the end are in `out` too.
    /// Returns with nothing appended now and then. No picture is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// Why the connection ended or is to be ended: `Stalled` or `NotVideo` after `stall_timeout` without a picture, whatever else came.
    pub async fn next(
        &mut self,
        memory: &mut Memory,
        out: &mut Vec<Delivery>,
    ) -> Result<(), Ended> {
        match &mut self.state {
            State::Reading(_) => self.read(memory, out).await,
            State::Waiting(waiting) => {
                let due = self.asked_at + self.camera.poll_interval;
                match timeout_at(due, waiting.listen()).await {
                    Err(_) => Box::pin(self.poll(memory)).await,
                    Ok(()) => {
                        self.go_on_as_sequence();
                        Ok(())
                    }
                }
            }
        }
    }

    /// Appends a picture that is whole, though what would confirm its length has not come.
    pub fn settle(&mut self, out: &mut Vec<Delivery>) {
        if let State::Reading(reading) = &mut self.state {
            reading.settle(out);
        }
    }

    async fn read(&mut self, memory: &mut Memory, out: &mut Vec<Delivery>) -> Result<(), Ended> {
        let State::Reading(reading) = &mut self.state else {
            return Ok(());
        };
        let pictures = reading.pictures();
        let ended = timeout_at(self.stalls_at, reading.advance(out)).await;
        if ended.is_err() {
            reading.finish(out);
        }
        if let (Some(text), false) = (reading.text(), self.text_logged) {
            self.text_logged = true;
            let text = self.quoter.quote(text);
            tracing::info!(text, "camera sent text among the pictures");
        }
        if reading.pictures() > pictures {
            self.stalls_at = Instant::now() + self.camera.stall_timeout;
        }
        if (self.is_polled || memory.single_parts) && reading.is_stream() {
            (self.is_polled, memory.single_parts) = (false, false);
        }
        let now = Instant::now();
        let (reason, detail) = match ended {
            Ok(Ok(Progress::More)) if now < self.stalls_at => return Ok(()),
            Ok(Ok(Progress::Snapshot)) if now < self.stalls_at => {
                self.wait(false);
                return Ok(());
            }
            Ok(Ok(_)) | Err(_) => reading.describe_stall(&self.quoter, self.camera.stall_timeout),
            Ok(Err(fault)) => {
                if reading.was_of_one_part(&fault)
                    && std::mem::replace(&mut memory.single_parts, true)
                {
                    self.wait(false);
                    return Ok(());
                }
                let (reason, detail) = reading.describe(fault, &self.quoter);
                if self.is_polled && reading.pictures() == 0 && self.may_miss(now) {
                    tracing::debug!(%detail, "no picture in the answer to a poll");
                    self.wait(true);
                    return Ok(());
                }
                (reason, detail)
            }
        };
        Err(Ended::new(reason, format!("{}: {detail}", self.url)))
    }

    /// Whether a poll that brings no picture is one that is missed and no more: as long as another comes before the stall.
    fn may_miss(&self, now: Instant) -> bool {
        now.max(self.asked_at + self.camera.poll_interval) < self.stalls_at
    }

    /// An answer to a poll is over, or was missed: what is left of its response stays open until the next.
    fn wait(&mut self, missed: bool) {
        let State::Reading(reading) =
            std::mem::replace(&mut self.state, State::Waiting(Box::default()))
        else {
            return;
        };
        self.is_polled = true;
        let progressed = reading.pictures() > 0;
        let (body, beginning) = reading.into_rest();
        self.state = State::Waiting(Box::new(Waiting {
            body,
            beginning,
            progressed,
            missed,
        }));
    }

    /// Row 16: what follows the announced picture is the next one.
    fn go_on_as_sequence(&mut self) {
        let State::Waiting(waiting) = &mut self.state else {
            return;
        };
        if let Some(body) = waiting.body.take() {
            self.is_polled = false;
            self.stalls_at = Instant::now() + self.camera.stall_timeout;
            let beginning = std::mem::take(&mut waiting.beginning);
            self.state = State::Reading(Box::new(Reading::sequence(body, beginning)));
        }
    }

    /// Asks for the next snapshot, over the same connection if that is possible.
    async fn poll(&mut self, memory: &mut Memory) -> Result<(), Ended> {
        let State::Waiting(waiting) = &mut self.state else {
            return Ok(());
        };
        let kept = match waiting.body.take().map(Body::into_stream) {
            Some(Ok(stream)) if self.url.has_same_origin(&self.next_url) => Some(stream),
            Some(Ok(stream) | Err(stream)) => {
                stream.close().await;
                None
            }
            None => None,
        };
        waiting.beginning.clear();
        self.asked_at = Instant::now();
        if waiting.progressed {
            self.stalls_at = self.asked_at + self.camera.stall_timeout;
        }
        let url = self.next_url.clone();
        let attempt = Attempt::new(&self.camera, &self.quoter, memory, url, kept);
        let reached = attempt.run().await?;
        let answer = reached.answer;
        (self.url, self.next_url) = (reached.url, reached.next);
        if answer.has_no_body() && self.may_miss(Instant::now()) {
            self.state = State::Waiting(Box::new(Waiting {
                body: Some(Body::new(answer)),
                missed: true,
                ..Waiting::default()
            }));
            return Ok(());
        }
        self.head = HeadFacts::new(&answer, &self.url, &self.quoter, memory);
        self.state = State::Reading(Box::new(Reading::new(answer)));
        Ok(())
    }
}

impl Waiting {
    /// Listens for the next picture of a sequence; never returns if none begins. Other bytes, a late picture and the camera's close end the
    /// connection: the next poll opens another.
    async fn listen(&mut self) {
        while let Some(body) = &mut self.body {
            match begins_jpeg(&self.beginning.concat()) {
                Some(true) if !self.missed => return,
                Some(_) => self.body = None,
                None if self.beginning.iter().map(Bytes::len).sum::<usize>() > LINE_ENDS_MAX => {
                    self.body = None;
                }
                None => {
                    if body.read(&mut self.beginning).await.is_err() {
                        self.body = None;
                    }
                }
            }
        }
        self.beginning.clear();
        std::future::pending().await
    }
}

impl HeadFacts {
    fn new(answer: &Answer, url: &CameraUrl, quoter: &Quoter, memory: &Memory) -> Self {
        let field = |name| {
            answer
                .headers
                .get(name)
                .map(|value| quoter.quote(value.as_bytes()))
        };
        let boundary = answer.content_type().boundary;
        Self {
            url: url.to_string(),
            status_line: quoter.quote(&answer.mended.status_line),
            content_type: field(header::CONTENT_TYPE),
            boundary: boundary.map(|boundary| quoter.quote(&boundary)),
            framing: match (answer.mended.chunked, answer.mended.content_length) {
                (true, _) => "chunked".to_owned(),
                (false, Some(length)) => format!("length {length}"),
                (false, None) => "until close".to_owned(),
            },
            server: field(header::SERVER),
            auth: memory.challenge.as_ref().map(Challenge::name),
            tls: answer.stream.tls(),
        }
    }
}

#[cfg(test)]
mod tests;
