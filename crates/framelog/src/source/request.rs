//! From a camera's URL to a response worth reading: one try, with the redirects and the challenges that belong to it.
//! Not for the body of that response, nor for trying again.

use std::time::Duration;

use framelog_core::gap::GapReason;
use hyper::StatusCode;
use hyper::header::{self, HeaderValue};

use crate::config::Camera;
use crate::config::url::CameraUrl;
use crate::source::Ended;
use crate::source::auth::Challenge;
use crate::source::body::Body;
use crate::source::dial::Stream;
use crate::source::exchange::{self, Answer, ExchangeError, HEAD_TIME, exchange};
use crate::source::login::{self, Login, Refusal};
use crate::source::memory::Memory;
use crate::source::quote::Quoter;
use crate::source::verdict;
use crate::wall;

/// The most redirects that are followed (row 13).
const REDIRECTS_MAX: usize = 10;

/// A head that is late is waited for so long at most: it may be that the camera serves somebody else.
const LATE_HEAD_TIME_MAX: Duration = Duration::from_secs(60);

/// A response worth reading.
#[derive(Debug)]
pub struct Reached {
    /// Its status is 200 to 299, or 304: nobody asked on a condition, and the camera has nothing new all the same.
    pub answer: Answer,
    /// What gave it.
    pub url: CameraUrl,
    /// What to ask the next time.
    pub next: CameraUrl,
}

/// One try.
pub struct Attempt<'a> {
    camera: &'a Camera,
    quoter: &'a Quoter,
    memory: &'a mut Memory,
    url: CameraUrl,
    /// The same, but for redirects that hold for this one time: what they lead to may be a picture's name, or a ticket that is valid once.
    next: CameraUrl,
    /// A connection to `url`'s origin that is still open.
    kept: Option<Stream>,
    redirects: Vec<CameraUrl>,
    login: Login,
    renewed: bool,
}

impl<'a> Attempt<'a> {
    /// A try at `url`, over `kept` if that is open still.
    pub fn new(
        camera: &'a Camera,
        quoter: &'a Quoter,
        memory: &'a mut Memory,
        url: CameraUrl,
        kept: Option<Stream>,
    ) -> Self {
        Self {
            camera,
            quoter,
            memory,
            next: url.clone(),
            url,
            kept,
            redirects: Vec::new(),
            login: Login::default(),
            renewed: false,
        }
    }

    /// Makes it.
    ///
    /// # Errors
    ///
    /// Why there is none; all connections are closed then.
    pub async fn run(mut self) -> Result<Reached, Ended> {
        loop {
            let reused = self.kept.is_some();
            let stream = match self.kept.take() {
                Some(stream) => stream,
                None => self.dial().await?,
            };
            let target = exchange::wire_target(&self.url.target);
            let authorization = self.authorize(target.as_str())?;
            let request = exchange::get(&self.url, target, authorization);
            let within = self.head_time();
            match exchange(stream, request, within).await {
                // Row 15: a kept connection may have been closed without notice, once.
                Err(ExchangeError::Closed) if reused && !self.renewed => {
                    self.renewed = true;
                    self.login.take_back();
                }
                Err(error) => {
                    // In turn: late answers are rarer than those that never come.
                    let is_late = matches!(error, ExchangeError::Silent(_));
                    self.memory.answers_late ^= is_late;
                    return Err(Ended::new(exchange_reason(&error), error.to_string()));
                }
                // It had said so to the silence before the request (RFC 9110 §15.5.9).
                Ok(answer)
                    if answer.status == StatusCode::REQUEST_TIMEOUT && reused && !self.renewed =>
                {
                    self.renewed = true;
                    self.login.take_back();
                    answer.stream.close().await;
                }
                Ok(answer) => {
                    if let Some(answer) = self.judge(answer).await? {
                        let Self { url, next, .. } = self;
                        return Ok(Reached { answer, url, next });
                    }
                }
            }
        }
    }

    /// How long the head of the answer is waited for.
    fn head_time(&self) -> Duration {
        match self.memory.answers_late {
            true => self
                .camera
                .stall_timeout
                .clamp(HEAD_TIME, LATE_HEAD_TIME_MAX),
            false => HEAD_TIME,
        }
    }

    async fn dial(&mut self) -> Result<Stream, Ended> {
        let dialled = Stream::dial(&self.url, &self.camera.tls).await;
        self.memory.dialled(&self.url, dialled)
    }

    /// The answer, if it is the one that was wanted; `None` if another request is due.
    async fn judge(&mut self, answer: Answer) -> Result<Option<Answer>, Ended> {
        match answer.status.as_u16() {
            200..=299 | 304 => {
                self.login.accepted(self.memory);
                Ok(Some(answer))
            }
            401 => self.meet_challenge(answer).await,
            403 | 407 if self.is_asked(&answer) => self.meet_challenge(answer).await,
            301 | 302 | 303 | 307 | 308 => self.follow(answer).await,
            status => {
                self.memory.forget_unasked();
                let (reason, remedy) = verdict::of_status(status);
                Err(self.refused(&answer, reason, remedy))
            }
        }
    }

    /// An end because of this answer, with what to do.
    fn refused(&self, answer: &Answer, reason: GapReason, remedy: &str) -> Ended {
        let line = self.status_line(answer);
        let colon = if remedy.is_empty() { "" } else { ": " };
        Ended {
            retry_after: verdict::retry_after(
                |name| answer.headers.get(name).map(HeaderValue::as_bytes),
                wall::now_us(),
            ),
            ..Ended::new(
                reason,
                format!("{} answered {line}{colon}{remedy}", self.url),
            )
        }
    }

    fn authorize(&mut self, target: &str) -> Result<Option<HeaderValue>, Ended> {
        self.login
            .authorize(self.camera, self.memory, &self.url, ["GET", target])
            .map_err(|refusal| Ended::new(refusal.reason, refusal.detail))
    }

    /// Whether a status that refuses credentials asks for them: as long as none were sent, in so many words, or where there are some to send.
    fn is_asked(&self, answer: &Answer) -> bool {
        let says_so = answer.headers.contains_key(header::WWW_AUTHENTICATE);
        !self.login.answered()
            && (says_so || login::may_send_unasked(self.camera, self.memory, &self.url))
    }

    async fn meet_challenge(&mut self, answer: Answer) -> Result<Option<Answer>, Ended> {
        let fields = challenges(&answer);
        let met = self
            .login
            .challenged(self.camera, self.memory, &self.url, fields);
        if let Err(Refusal { reason, detail }) = met {
            let unread = self.unread_challenge(&answer);
            return Err(self.refused(&answer, reason, &format!("{detail}{unread}")));
        }
        self.release(answer, true).await;
        Ok(None)
    }

    /// What it asks for in its own words, if nothing in them can be answered.
    fn unread_challenge(&self, answer: &Answer) -> String {
        let words = challenges(answer).collect::<Vec<_>>().join(&b", "[..]);
        if words.is_empty() || Challenge::strongest(challenges(answer)).is_some() {
            return String::new();
        }
        format!(" (\"{}\")", self.quoter.quote(&words))
    }

    async fn follow(&mut self, answer: Answer) -> Result<Option<Answer>, Ended> {
        let from = &self.url;
        let line = self.status_line(&answer);
        let Some(location) = answer
            .headers
            .get(header::LOCATION)
            .filter(|location| !location.as_bytes().trim_ascii().is_empty())
        else {
            return Err(Ended::new(
                GapReason::BadResponse,
                format!("{from} answered {line} without a Location"),
            ));
        };
        let next = match from.join(location) {
            Ok(next) => next,
            Err(error) => {
                let detail =
                    format!("{from} answered {line} with a Location that leads nowhere: {error}");
                return Err(Ended::new(GapReason::BadResponse, detail));
            }
        };
        if self.redirects.len() >= REDIRECTS_MAX || self.redirects.contains(&next) {
            let remedy = if answer.headers.contains_key(header::SET_COOKIE) {
                "it sets a cookie, and none is sent back; set url to the stream itself"
            } else {
                "set url to the stream itself"
            };
            let detail = format!(
                "{from} redirects in a loop or more than {REDIRECTS_MAX} times, last to {next}; {remedy}"
            );
            return Err(Ended::new(GapReason::BadResponse, detail));
        }
        // To another scheme, host or port cameras send for good, whatever the status says: each time anew would be a handshake for each picture.
        let is_lasting = matches!(answer.status.as_u16(), 301 | 308) || next.target == from.target;
        if is_lasting && self.next == *from {
            self.next = next.clone();
        }
        let stays = self.url.has_same_origin(&next);
        self.redirects.push(std::mem::replace(&mut self.url, next));
        // What the other URL says of credentials is new.
        self.login = Login::default();
        self.release(answer, stays).await;
        Ok(None)
    }

    /// Keeps the connection for the next request, or closes it before another is opened: never two at a time (row 81).
    async fn release(&mut self, answer: Answer, wanted: bool) {
        match Body::new(answer).drain().await {
            Ok(stream) if wanted => self.kept = Some(stream),
            Ok(stream) | Err(stream) => stream.close().await,
        }
    }

    fn status_line(&self, answer: &Answer) -> String {
        let line = self.quoter.quote(&answer.mended.status_line);
        if line.is_empty() {
            answer.status.as_u16().to_string()
        } else {
            format!("\"{line}\"")
        }
    }
}

fn challenges(answer: &Answer) -> impl Iterator<Item = &[u8]> {
    let fields = answer.headers.get_all(header::WWW_AUTHENTICATE);
    fields.into_iter().map(HeaderValue::as_bytes)
}

fn exchange_reason(error: &ExchangeError) -> GapReason {
    match error {
        ExchangeError::Silent(_) => GapReason::Stalled,
        ExchangeError::Closed | ExchangeError::Broken(_) => GapReason::Disconnected,
        ExchangeError::Mend(_) | ExchangeError::Http(_) => GapReason::BadResponse,
    }
}
