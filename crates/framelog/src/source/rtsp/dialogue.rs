//! Requests and answers over one connection, packets or none between them. Not for which requests to make, nor for what the packets hold.

use std::time::Duration;

use framelog_core::gap::GapReason;
use framelog_core::rtsp::message::{Item, Packet, Request, Response, write};
use framelog_core::sdp::Video;
use hyper::header::HeaderValue;
use tokio::time::{Instant, timeout, timeout_at};

use super::media::payload_type;
use super::wire::{Wire, WireEnd};
use crate::USER_AGENT;
use crate::config::url::CameraUrl;
use crate::config::{Camera, Transport};
use crate::source::Ended;
use crate::source::dial::{DialError, Stream};
use crate::source::exchange::wire_target;
use crate::source::login::Login;
use crate::source::memory::Memory;
use crate::source::quote::Quoter;
use crate::source::verdict::{of_status, retry_after};
use crate::wall;

/// From sending a request to the end of its answer, whatever comes in between.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// The same, where packets show that the camera does what it was asked.
const PACKETS_TIME: Duration = Duration::from_secs(2);

/// How long the right answer may take behind one with the number of an earlier request.
const SECOND_ANSWER_TIME: Duration = Duration::from_secs(3);

/// What we can be asked for.
const PUBLIC: &[u8] = b"OPTIONS, GET_PARAMETER, SET_PARAMETER, ANNOUNCE, REDIRECT, TEARDOWN";

/// Why a try to connect has come to an end.
#[derive(Debug)]
pub enum Fault {
    /// There is no use in going on.
    Ended(Ended),
    /// The same over a new connection may do; if not, this is why.
    Again(Ended),
    /// The stream is elsewhere.
    Redirect(CameraUrl),
}

impl Fault {
    /// There was no answer, whether the camera said nothing or closed.
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::Ended(ended) if matches!(ended.reason, GapReason::Stalled | GapReason::Disconnected))
    }
}

impl From<Ended> for Fault {
    fn from(ended: Ended) -> Self {
        Self::Ended(ended)
    }
}

/// Who talks, and about what.
#[derive(Clone, Copy)]
pub struct Party<'a> {
    /// As configured.
    pub camera: &'a Camera,
    /// Prints what it said.
    pub quoter: &'a Quoter,
    /// Where it is, after redirects.
    pub url: &'a CameraUrl,
}

impl Party<'_> {
    /// The URL as requests have it (RFC 2326 §3.2): whole, and without credentials.
    pub fn request_url(self) -> String {
        let target = wire_target(&self.url.target);
        format!(
            "{}://{}{target}",
            self.url.scheme.name(),
            self.url.authority()
        )
    }
}

/// A request to make: method, URL, and fields beside those that all have.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// `DESCRIBE`, …
    pub method: &'static str,
    /// As it goes on the request line.
    pub target: &'a str,
    /// Name and value.
    pub fields: &'a [(&'static str, &'a [u8])],
}

/// See the module.
#[derive(Debug)]
pub struct Dialogue {
    /// The connection.
    pub wire: Wire,
    cseq: u32,
    /// The highest number of a request that has its answer.
    answered: u32,
    /// The camera's answers do not have the numbers of what they answer.
    misnumbers: bool,
    /// The camera has said over this connection what credentials it wants, or taken those that it had wanted before.
    knows_login: bool,
    /// An answer with the number of an earlier request, and until when a better one may come.
    doubtful: Option<(Response, Instant)>,
    /// Packets that came while an answer was waited for, for the caller to look at.
    pub early: Vec<Packet>,
    early_bytes: usize,
    /// The payload types of the medium that is to come.
    awaited: Vec<u8>,
}

/// How many bytes of such packets are kept.
const EARLY_BYTES_MAX: usize = 2 << 20;

impl Dialogue {
    /// Over a new connection.
    pub fn new(wire: Wire) -> Self {
        Self {
            wire,
            cseq: 0,
            answered: 0,
            misnumbers: false,
            knows_login: false,
            doubtful: None,
            early: Vec::new(),
            early_bytes: 0,
            awaited: Vec::new(),
        }
    }

    /// From now on packets of this medium stand for an answer that doesn't come.
    pub fn expect(&mut self, video: &Video) {
        let videos = std::iter::once(video).chain(&video.alternatives);
        self.awaited = videos.map(|video| video.payload_type).collect();
    }

    /// Whether packets of the medium have come.
    pub fn is_playing(&self) -> bool {
        let mut types = self.early.iter().filter_map(payload_type);
        types.any(|found| self.awaited.contains(&found))
    }

    /// Sends a request; returns its number.
    pub fn send(&mut self, ask: Ask<'_>, authorization: Option<&HeaderValue>) -> u32 {
        self.cseq += 1;
        self.doubtful = None;
        let cseq = self.cseq.to_string();
        let mut fields: Vec<(&str, &[u8])> = vec![
            ("CSeq", cseq.as_bytes()),
            ("User-Agent", USER_AGENT.as_bytes()),
        ];
        fields.extend(authorization.map(|value| ("Authorization", value.as_bytes())));
        fields.extend(ask.fields);
        self.wire.send(&write(
            &format!("{} {} RTSP/1.0", ask.method, ask.target),
            &fields,
        ));
        self.cseq
    }

    /// The number that the next request gets.
    pub fn next_cseq(&self) -> u32 {
        self.cseq + 1
    }

    /// Answers a request from the camera.
    pub fn reply(&mut self, request: &Request) {
        let status = match request.method.as_ref() {
            b"OPTIONS" | b"GET_PARAMETER" | b"SET_PARAMETER" | b"ANNOUNCE" | b"REDIRECT"
            | b"TEARDOWN" => "200 OK",
            _ => "405 Method Not Allowed",
        };
        let mut fields: Vec<(&str, &[u8])> = Vec::new();
        for name in ["CSeq", "Session"] {
            fields.extend(request.headers.get(name).map(|value| (name, value)));
        }
        fields.push(("Public", PUBLIC));
        self.wire
            .send(&write(&format!("RTSP/1.0 {status}"), &fields));
    }

    /// Waits for the answer to the request of this number. An answer without a number, or with a wrong one, is taken for it; with that of an
    /// earlier request, which has been answered, only if no other comes.
    pub async fn answer(&mut self, cseq: u32) -> Result<Response, NoAnswer> {
        loop {
            let item = match self.wire.item() {
                Ok(item) => item,
                Err(end) => return self.take_doubtful().ok_or(end.into()),
            };
            match item {
                Some(Item::Response(response)) if response.status >= 200 => {
                    if !self.is_to_earlier(&response, cseq) {
                        self.answered = cseq;
                        return Ok(response);
                    }
                    self.doubtful = Some((response, Instant::now() + SECOND_ANSWER_TIME));
                }
                Some(Item::Response(_)) => {}
                Some(Item::Request(request)) => self.reply(&request),
                Some(Item::Packet(packet)) => {
                    self.early_bytes += size_of::<Packet>() + packet.payload.len();
                    if self.early_bytes <= EARLY_BYTES_MAX {
                        self.early.push(packet);
                    }
                }
                None => {
                    let until = self.doubtful.as_ref().map(|(_, until)| *until);
                    let Some(until) = until else {
                        self.wire.receive().await;
                        continue;
                    };
                    if timeout_at(until, self.wire.receive()).await.is_err()
                        && let Some(response) = self.take_doubtful()
                    {
                        return Ok(response);
                    }
                }
            }
        }
    }

    /// The answer with a wrong number: no better one comes.
    fn take_doubtful(&mut self) -> Option<Response> {
        let (response, _) = self.doubtful.take()?;
        self.misnumbers = true;
        Some(response)
    }

    /// Whether it answers a request that was made before this one, as far as the camera's numbers tell.
    fn is_to_earlier(&self, response: &Response, cseq: u32) -> bool {
        !self.misnumbers && number(response).is_some_and(|number| number > 0 && number < cseq)
    }

    /// Whether it answers the last request, of this number. So does a refusal with the number of one that has its answer: some cameras refuse
    /// what they don't know with the number before (Tapo C220, retina #133).
    pub fn is_to_last(&mut self, response: &Response, cseq: u32) -> bool {
        let is_refusal =
            response.status >= 400 && number(response).is_some_and(|it| it <= self.answered);
        let is_to_last = is_refusal || !self.is_to_earlier(response, cseq);
        if is_to_last {
            self.answered = cseq;
        }
        is_to_last
    }

    /// Packets that came so far while answers were waited for.
    pub fn take_early(&mut self) -> Vec<Packet> {
        self.early_bytes = 0;
        std::mem::take(&mut self.early)
    }
}

/// Who talks, over which connection, and what is remembered of that.
pub struct Talk<'a> {
    /// Requests and answers.
    pub dialogue: &'a mut Dialogue,
    /// Who talks.
    pub party: Party<'a>,
    /// From one connection to the next.
    pub memory: &'a mut Memory,
}

impl Talk<'_> {
    /// Makes a request, with credentials if those are wanted, and waits for its answer, whose status is anything but 401; that too if
    /// OPTIONS was asked and no challenge is made.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub async fn ask(&mut self, ask: Ask<'_>) -> Result<Response, Fault> {
        let mut login = Login::default();
        let mut renewed = false;
        loop {
            let authorization = self.authorize(&mut login, ask)?;
            let cseq = self.dialogue.send(ask, authorization.as_ref());
            let mut answer = timeout(PACKETS_TIME, self.dialogue.answer(cseq)).await;
            if answer.is_err() && !self.dialogue.is_playing() {
                answer = timeout(ANSWER_TIME - PACKETS_TIME, self.dialogue.answer(cseq)).await;
            }
            // What a connection before has left may be out of date, and not all cameras say so with a challenge.
            let is_dated = login.answered() && !self.dialogue.knows_login;
            let response = match answer.unwrap_or(Err(NoAnswer::Silent)) {
                Ok(response) => response,
                Err(reason) => {
                    let ended = reason.ended(self.party, ask.method);
                    if is_dated && ended.reason == GapReason::Disconnected {
                        self.memory.challenge = None;
                        renewed = true;
                    }
                    // A camera may close behind a challenge without saying so.
                    return Err(if renewed {
                        Fault::Again(ended)
                    } else {
                        Fault::Ended(ended)
                    });
                }
            };
            let is_bare = challenges(&response).next().is_none();
            let is_login_wanted = response.status == 401;
            if is_dated && (matches!(response.status, 400 | 403) || is_login_wanted && is_bare) {
                self.memory.challenge = None;
            } else if !is_login_wanted || is_bare && ask.method == "OPTIONS" {
                if (200..300).contains(&response.status) {
                    login.accepted(self.memory);
                    // That needs no login.
                    self.dialogue.knows_login |= ask.method != "OPTIONS";
                }
                return Ok(response);
            } else {
                self.challenge(&mut login, ask.method, &response)?;
                self.dialogue.knows_login = true;
            }
            renewed = true;
            if closes(&response) {
                return Err(Fault::Again(answered(
                    self.party,
                    ask.method,
                    &response,
                    GapReason::Unauthorized,
                    "",
                )));
            }
        }
    }

    /// Goes on over a new connection.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub async fn call_again(&mut self) -> Result<(), DialError> {
        let stream = Stream::dial(self.party.url, &self.party.camera.tls).await?;
        self.dialogue.wire = Wire::new(stream);
        self.dialogue.knows_login = false;
        Ok(())
    }

    /// Credentials for a request.
    ///
    /// # Errors
    ///
    /// If no field can carry them.
    pub fn authorize(
        &mut self,
        login: &mut Login,
        ask: Ask<'_>,
    ) -> Result<Option<HeaderValue>, Ended> {
        let Party { camera, url, .. } = self.party;
        login
            .authorize(camera, self.memory, url, [ask.method, ask.target])
            .map_err(|refusal| Ended::new(refusal.reason, refusal.detail))
    }

    /// Takes up the challenge of an answer: the request is to be sent again.
    ///
    /// # Errors
    ///
    /// If that is of no use.
    pub fn challenge(
        &mut self,
        login: &mut Login,
        method: &str,
        response: &Response,
    ) -> Result<(), Ended> {
        let Party { camera, url, .. } = self.party;
        login
            .challenged(camera, self.memory, url, challenges(response))
            .map_err(|refusal| {
                answered(self.party, method, response, refusal.reason, refusal.detail)
            })
    }
}

/// Which request it answers, as the camera has it.
fn number(response: &Response) -> Option<u32> {
    let value = response.headers.get("cseq")?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Why an answer has not come.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// [`ANSWER_TIME`] passed.
    #[error("no answer within {} s; the camera may serve one client only", ANSWER_TIME.as_secs())]
    Silent,
    /// The connection came to an end.
    #[error("{0}")]
    End(#[from] WireEnd),
}

impl NoAnswer {
    fn ended(&self, party: Party<'_>, method: &str) -> Ended {
        let reason = match self {
            Self::Silent => GapReason::Stalled,
            Self::End(WireEnd::Closed | WireEnd::Broken(_)) => GapReason::Disconnected,
            Self::End(_) => GapReason::BadResponse,
        };
        Ended {
            reason,
            detail: format!("{} {method}: {self}", party.url),
            retry_after: None,
        }
    }
}

fn challenges(response: &Response) -> impl Iterator<Item = &[u8]> {
    let fields = response.headers.iter();
    fields
        .filter(|(name, _)| name.eq_ignore_ascii_case(b"www-authenticate"))
        .map(|(_, value)| value)
}

/// An end because of this answer, with what to do.
pub fn answered(
    party: Party<'_>,
    method: &str,
    response: &Response,
    reason: GapReason,
    remedy: &str,
) -> Ended {
    let line = party.quoter.quote(&response.status_line);
    let colon = if remedy.is_empty() { "" } else { ": " };
    Ended {
        reason,
        detail: format!(
            "{} answered {method} with \"{line}\"{colon}{remedy}",
            party.url
        ),
        retry_after: retry_after(|name| response.headers.get(name), wall::now_us()),
    }
}

fn closes(response: &Response) -> bool {
    response
        .headers
        .get("connection")
        .is_some_and(|value| value.eq_ignore_ascii_case(b"close"))
}

/// Whether what answers is no RTSP server.
pub fn is_http(response: &Response) -> bool {
    let line = &response.status_line;
    line.len() >= 4 && line[..4].eq_ignore_ascii_case(b"HTTP")
}

/// What an answer that is neither 401 nor wanted means.
///
/// # Errors
///
/// Always but for 200 to 299.
pub fn judge(party: Party<'_>, method: &str, response: Response) -> Result<Response, Fault> {
    let is_http = is_http(&response);
    let (reason, remedy) = match response.status {
        200..=299 if !is_http => return Ok(response),
        _ if is_http => (
            GapReason::BadResponse,
            "that is http; check that url's port is the one for rtsp",
        ),
        300..=399 if response.headers.get("location").is_some() => {
            return Err(redirect(party, method, &response));
        }
        461 => (
            GapReason::BadResponse,
            match party.camera.transport {
                Transport::Any if party.url.scheme.is_secure() => {
                    "it does not send over the connection, and datagrams would not be encrypted; set url to rtsp://"
                }
                Transport::Any => {
                    "it sends neither over the connection nor datagrams to one receiver; switch unicast on in the camera"
                }
                _ => "set transport to the other one of tcp and udp",
            },
        ),
        status => of_status(status),
    };
    Err(answered(party, method, &response, reason, remedy).into())
}

fn redirect(party: Party<'_>, method: &str, response: &Response) -> Fault {
    let location = response.headers.get("location").unwrap_or_default();
    match party.url.join(location) {
        Ok(url) => Fault::Redirect(url),
        Err(error) => {
            let remedy = format!("a Location that can't be followed: {error}");
            answered(party, method, response, GapReason::BadResponse, &remedy).into()
        }
    }
}
