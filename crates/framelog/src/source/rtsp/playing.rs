//! A stream that runs: packets in, pictures out, the session kept alive. Not for what begins or ends it.

use std::future::poll_fn;
use std::time::Duration;

use framelog_core::gap::GapReason;
use framelog_core::rtp::Transport;
use framelog_core::rtsp::message::{Item, Packet, Request, Response};
use framelog_core::sdp::Description;
use futures_util::FutureExt as _;
use tokio::time::{Instant, sleep_until, timeout};

use super::Session;
use super::dialogue::{Ask, Dialogue, Talk};
use super::elsewhere::Elsewhere;
use super::keep_alive::KeepAlive;
use super::media::Media;
use super::udp::{self, Ports};
use super::wire::WireEnd;
use crate::config::Camera;
use crate::source::login::Login;
use crate::source::memory::experience::Course;
use crate::source::memory::{Memory, Said};
use crate::source::{Delivery, Ended};

/// What became of a connection.
const CLOSED: &str = "the camera closed the connection";

/// After so long without a packet the camera is believed that the stream has ended.
const DOUBT_TIME: Duration = Duration::from_secs(2);

/// How long a connection may take that is opened anew: pictures that are whole wait for it.
const CALL_TIME: Duration = Duration::from_secs(1);

/// How long after one that could not be had another is tried.
const CALL_PAUSE: Duration = Duration::from_secs(5);

/// How soon another request follows one that was refused. A camera that closes behind the refusal has closed by then, and that is blamed on the right one.
const AFTER_REFUSAL: Duration = Duration::from_millis(200);

/// How often the camera is told that someone is there (RFC 3550 §6.2).
const REPORT_PAUSE: Duration = Duration::from_secs(5);

/// Over the connection: so long after the first packet. Before that there is nothing to report, and some cameras don't bear it.
const FIRST_REPORT: Duration = Duration::from_secs(1);

/// How many datagrams are taken before others have their turn.
const DATAGRAMS_MAX: usize = 256;

/// How the packets come.
#[derive(Debug)]
pub enum Way {
    /// Over the connection, on these channels.
    Channels((u8, u8)),
    /// As datagrams.
    Ports(Box<Ports>),
}

impl Way {
    /// `tcp` or `udp`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Channels(_) => "tcp",
            Self::Ports(_) => "udp",
        }
    }

    /// Whether packets may come in another order than they were sent.
    pub fn transport(&self) -> Transport {
        match self {
            Self::Channels(_) => Transport::Interleaved,
            Self::Ports(_) => Transport::Udp,
        }
    }

    /// How many bytes came otherwise than over the connection, since this was asked last.
    fn take_received(&mut self) -> usize {
        match self {
            Self::Channels(_) => 0,
            Self::Ports(ports) => ports.take_received(),
        }
    }

    fn is_datagrams(&self) -> bool {
        matches!(self, Self::Ports(_))
    }

    fn channels(&self) -> (u8, u8) {
        match self {
            Self::Channels(channels) => *channels,
            Self::Ports(_) => udp::CHANNELS,
        }
    }

    /// The next datagram; never, where none are to come.
    async fn datagram(&mut self) -> Packet {
        match self {
            Self::Channels(_) => std::future::pending().await,
            Self::Ports(ports) => poll_fn(|cx| ports.poll_packet(cx)).await,
        }
    }
}

/// When what is due.
#[derive(Debug)]
pub struct Pace {
    keep_alive: KeepAlive,
    pause: Duration,
    stall_timeout: Duration,
    asks_at: Instant,
    /// `None` before that is known.
    reports_at: Option<Instant>,
    stalls_at: Instant,
}

impl Pace {
    /// From now on.
    pub fn new(keep_alive: KeepAlive, pause: Duration, stall_timeout: Duration) -> Self {
        let now = Instant::now();
        Self {
            keep_alive,
            pause,
            stall_timeout,
            asks_at: now + pause,
            reports_at: None,
            stalls_at: now + stall_timeout,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Playing {
    media: Media,
    way: Way,
    /// See [`Self::new`].
    speaks_of_datagrams: bool,
    began: Instant,
    pace: Pace,
    /// Whether a packet of the medium has come where it should.
    is_found: bool,
    /// Those that came where they should not, before that.
    elsewhere: Elsewhere,
    /// A request that keeps the session alive, on its way.
    pending: Option<Pending>,
    /// When the camera last said that its clients are to begin anew, whether that was news or not.
    told: Option<Instant>,
    /// When the first report went over the connection.
    reported: Option<Instant>,
    /// That the stream has ended, in the camera's words, and when it said so; until the next packet.
    doubt: Option<(&'static str, Instant)>,
    /// The camera closed the connection, to which neither a session nor its datagrams are tied (RFC 2326 §1.1).
    hung_up: bool,
}

#[derive(Debug)]
struct Pending {
    method: &'static str,
    cseq: u32,
    login: Login,
}

impl Playing {
    /// From the answer to PLAY on; `early` came before that. `speaks_of_datagrams`: so the camera did when it was asked for `way`; where that is the
    /// connection and none come over it, it is believed.
    pub fn new(
        media: Media,
        way: Way,
        speaks_of_datagrams: bool,
        pace: Pace,
        early: Vec<Packet>,
    ) -> Self {
        let mut playing = Self {
            media,
            way,
            speaks_of_datagrams,
            began: Instant::now(),
            pace,
            is_found: false,
            elsewhere: Elsewhere::new(),
            pending: None,
            told: None,
            reported: None,
            doubt: None,
            hung_up: false,
        };
        if let Way::Ports(_) = playing.way {
            // It opens the way for the camera's packets.
            playing.pace.reports_at = Some(playing.began);
        }
        early.into_iter().for_each(|packet| playing.packet(packet));
        playing
    }

    /// See [`Media::awaits_keyframe`].
    pub fn awaits_keyframe(&self) -> bool {
        self.media.awaits_keyframe()
    }

    /// See [`super::RtspSource::next`].
    pub async fn advance(
        &mut self,
        talk: &mut Talk<'_>,
        session: &mut Session,
        out: &mut Vec<Delivery>,
    ) -> Result<(), Ended> {
        if self.hung_up && Instant::now() >= self.pace.asks_at {
            self.call_again(talk).await;
        }
        self.send_what_is_due(talk, session);
        self.wait(talk.dialogue).await;
        self.media
            .received(talk.dialogue.wire.take_received() + self.way.take_received());
        let before = self.media.progress();
        let ended = self.items(talk, session).or_else(|| self.over());
        self.media.poll(out);
        if ended.is_some() {
            self.finish(out);
        }
        if self.media.progress() > before {
            self.pace.stalls_at = Instant::now() + self.pace.stall_timeout;
        }
        let (reason, detail) = match ended {
            Some(ended) => ended,
            None => match self.media.fault() {
                Some(fault) => fault,
                None if Instant::now() >= self.pace.stalls_at => {
                    self.finish(out);
                    (GapReason::Stalled, self.describe_stall())
                }
                None => return Ok(()),
            },
        };
        if self.told.is_none() {
            talk.memory.said.clear();
        }
        self.learn_of_datagrams(talk.party.camera, talk.memory);
        talk.memory.keep_alives.learn(Course {
            began: self.began,
            last_packet: self.media.last_packet(),
            method: self.pace.keep_alive.tried(),
            has_method: self.pace.keep_alive.method().is_some(),
            report: self.reported,
        });
        Err(Ended {
            reason,
            detail: format!("{}: {detail}", talk.party.url),
            retry_after: None,
        })
    }

    /// How the next connection asks for packets. That datagrams came is no reason to ask for them again, only that nothing else does: what led to
    /// them may have been a hiccup.
    fn learn_of_datagrams(&self, camera: &Camera, memory: &mut Memory) {
        let as_datagrams = self.way.is_datagrams();
        if !as_datagrams {
            // What ended at once had no time to bring anything.
            let had_time = self.began.elapsed() >= DOUBT_TIME.min(camera.stall_timeout);
            memory.sends_datagrams = self.speaks_of_datagrams && !self.is_found && had_time;
        }
        memory.datagrams_first = memory.sends_datagrams && self.is_found == as_datagrams;
        memory.setup_unanswered = as_datagrams && self.is_found;
    }

    /// Hands out what is whole, though what would show that it is has not come.
    pub fn finish(&mut self, out: &mut Vec<Delivery>) {
        self.media.finish(out);
    }

    /// Whether what is to be said to the camera needs a new connection.
    pub fn has_hung_up(&self) -> bool {
        self.hung_up
    }

    /// Takes in the packets that have come.
    pub fn take_the_rest(&mut self, dialogue: &mut Dialogue) {
        self.take_datagrams();
        while let Ok(Some(item)) = dialogue.wire.item() {
            if let (Item::Packet(packet), Way::Channels(_)) = (item, &self.way) {
                self.packet(packet);
            }
        }
    }

    fn take_datagrams(&mut self) {
        for _ in 0..DATAGRAMS_MAX {
            match self.way.datagram().now_or_never() {
                Some(packet) => self.packet(packet),
                None => break,
            }
        }
    }

    async fn wait(&mut self, dialogue: &mut Dialogue) {
        let Pace {
            asks_at,
            reports_at,
            stalls_at,
            ..
        } = self.pace;
        let due = [
            Some(asks_at),
            reports_at,
            Some(stalls_at),
            self.media.due(),
            self.doubt.map(|(_, since)| since + DOUBT_TIME),
            self.silent_since().map(|since| since + DOUBT_TIME),
        ];
        let due = due.into_iter().flatten().min().unwrap_or(stalls_at);
        tokio::select! {
            () = dialogue.wire.receive(), if !self.hung_up => {}
            packet = self.way.datagram() => self.packet(packet),
            () = sleep_until(due) => {}
        }
    }

    /// Takes in all that has come; why it ends, if it does.
    fn items(&mut self, talk: &mut Talk<'_>, session: &mut Session) -> Option<(GapReason, String)> {
        self.take_datagrams();
        while !self.hung_up {
            let ended = match talk.dialogue.wire.item() {
                Ok(None) => return None,
                Ok(Some(Item::Packet(packet))) => {
                    if let Way::Channels(_) = self.way {
                        self.packet(packet);
                    }
                    None
                }
                Ok(Some(Item::Response(response))) => {
                    self.answered(&response, talk, session);
                    None
                }
                Ok(Some(Item::Request(request))) => {
                    talk.dialogue.reply(&request);
                    self.asked(&request, talk, session)
                }
                Err(end @ WireEnd::Unreadable(_)) => {
                    Some((GapReason::BadResponse, end.to_string()))
                }
                Err(WireEnd::Closed | WireEnd::Broken(_)) if self.way.is_datagrams() => {
                    self.hung_up = true;
                    self.pending = None;
                    talk.dialogue.wire.hang_up();
                    None
                }
                Err(end) => Some((GapReason::Disconnected, end.to_string())),
            };
            if ended.is_some() {
                return ended;
            }
        }
        None
    }

    /// Takes a packet. RTP is told from RTCP by what it is: some cameras swap the channels, or send both on one.
    fn packet(&mut self, packet: Packet) {
        let (rtp, rtcp) = self.way.channels();
        let is_own = self.media.is_own(&packet);
        if self.media.is_farewell(&packet) {
            self.doubt("the camera said that it sends no more");
        }
        if packet.channel == rtp || (packet.channel == rtcp && is_own) {
            if is_own {
                self.is_found = true;
                let first = || Instant::now() + FIRST_REPORT;
                self.pace.reports_at.get_or_insert_with(first);
                self.elsewhere.forget();
                self.doubt = None;
            }
            self.media.rtp(packet);
        } else if packet.channel == rtcp {
            self.media.rtcp(&packet);
        } else if !self.is_found
            && let Some((channels, packets)) = self.elsewhere.take(packet, is_own)
        {
            self.way = Way::Channels(channels);
            packets.into_iter().for_each(|packet| self.packet(packet));
        }
    }

    /// The camera says that the stream ends. It may come all the same.
    fn doubt(&mut self, detail: &'static str) {
        self.doubt.get_or_insert((detail, Instant::now()));
    }

    /// It has said so, or closed the connection, and nothing has come since.
    fn over(&self) -> Option<(GapReason, String)> {
        let closed = self.silent_since().map(|since| (CLOSED, since));
        let is_over = |(_, since): &(&str, Instant)| since.elapsed() >= DOUBT_TIME;
        let (detail, _) = self.doubt.filter(is_over).or(closed.filter(is_over))?;
        Some((GapReason::Disconnected, detail.to_owned()))
    }

    /// Since when nothing has come, where the connection is closed.
    fn silent_since(&self) -> Option<Instant> {
        self.hung_up.then(|| self.media.last_packet())
    }

    /// An answer to what keeps the session alive. One is as good as another as long as packets come (row 98).
    fn answered(&mut self, response: &Response, talk: &mut Talk<'_>, session: &Session) {
        let Some(mut pending) = self.pending.take() else {
            return;
        };
        if response.status < 200 || !talk.dialogue.is_to_last(response, pending.cseq) {
            self.pending = Some(pending);
            return;
        }
        match response.status {
            200..300 => pending.login.accepted(talk.memory),
            401 => match talk.challenge(&mut pending.login, pending.method, response) {
                Ok(()) => self.ask(pending, talk, session),
                Err(refused) => tracing::debug!(detail = refused.detail, "keep-alive refused"),
            },
            status => {
                if status == 454 {
                    self.doubt("the camera has forgotten the session");
                }
                // The session goes on living by the next method only, and not for another pause.
                self.pace.keep_alive.refused(pending.method);
                if self.pace.keep_alive.method() != Some(pending.method) {
                    let soon = Instant::now() + AFTER_REFUSAL;
                    self.pace.asks_at = self.pace.asks_at.min(soon);
                }
            }
        }
    }

    /// A request from the camera, answered already.
    fn asked(
        &mut self,
        request: &Request,
        talk: &mut Talk<'_>,
        session: &mut Session,
    ) -> Option<(GapReason, String)> {
        let detail = match request.method.as_ref() {
            b"TEARDOWN" => {
                session.is_open = false;
                "the camera ended the session"
            }
            b"ANNOUNCE" if is_end(request) => {
                self.doubt("the camera announced the end of the stream");
                return None;
            }
            b"REDIRECT" => {
                let location = request.headers.get("location");
                let moved = location.and_then(|location| talk.party.url.join(location).ok());
                if !self.is_news(talk.memory, Said::Elsewhere(moved.clone())) {
                    return None;
                }
                talk.memory.moved = moved;
                "the camera sends its clients elsewhere"
            }
            b"ANNOUNCE" => {
                let description = Description::read(&request.body);
                let other = self.media.other(&description)?.clone();
                if !self.is_news(talk.memory, Said::Other(Box::new(other))) {
                    return None;
                }
                "the camera announces another stream"
            }
            _ => return None,
        };
        Some((GapReason::Disconnected, detail.to_owned()))
    }

    fn is_news(&mut self, memory: &mut Memory, said: Said) -> bool {
        let before = self.told.replace(Instant::now()).unwrap_or(self.began);
        memory.is_news(said, before.elapsed())
    }

    fn send_what_is_due(&mut self, talk: &mut Talk<'_>, session: &Session) {
        let now = Instant::now();
        if now >= self.pace.asks_at && !self.hung_up {
            self.pace.asks_at = now + self.pace.pause;
            self.keep_alive(talk, session);
        }
        if self.pace.reports_at.is_some_and(|at| now >= at) {
            self.pace.reports_at = Some(now + REPORT_PAUSE);
            let report = self.media.report();
            match &self.way {
                Way::Ports(ports) => ports.report(&report),
                Way::Channels((_, rtcp)) if talk.memory.keep_alives.bears_reports() => {
                    self.reported.get_or_insert(now);
                    talk.dialogue.wire.send_packet(*rtcp, &report);
                }
                Way::Channels(_) => {}
            }
        }
    }

    /// Opens a connection for what is to be said; if there is none to be had, the packets tell whether the stream goes on.
    async fn call_again(&mut self, talk: &mut Talk<'_>) {
        let call = timeout(CALL_TIME, talk.call_again());
        tokio::pin!(call);
        let called = loop {
            tokio::select! {
                called = &mut call => break called,
                packet = self.way.datagram() => self.packet(packet),
            }
        };
        match called {
            Ok(Ok(())) => self.hung_up = false,
            _ => self.pace.asks_at = Instant::now() + CALL_PAUSE,
        }
    }

    fn keep_alive(&mut self, talk: &mut Talk<'_>, session: &Session) {
        let Some(method) = self.pace.keep_alive.method() else {
            return;
        };
        let pending = Pending {
            method,
            cseq: 0, // until it is sent
            login: Login::default(),
        };
        self.ask(pending, talk, session);
    }

    fn ask(&mut self, mut pending: Pending, talk: &mut Talk<'_>, session: &Session) {
        let fields: Vec<_> = session.field().into_iter().collect();
        let ask = Ask {
            method: pending.method,
            target: &session.target,
            fields: &fields,
        };
        match talk.authorize(&mut pending.login, ask) {
            Ok(authorization) => {
                self.pace.keep_alive.used(pending.method);
                pending.cseq = talk.dialogue.send(ask, authorization.as_ref());
                self.pending = Some(pending);
            }
            Err(refused) => tracing::debug!(detail = refused.detail, "keep-alive not sent"),
        }
    }

    fn describe_stall(&self) -> String {
        let seconds = self.pace.stall_timeout.as_secs_f32();
        let what = self.media.describe();
        let remedy = match &self.way {
            Way::Ports(_) if !self.is_found => {
                "; a firewall may be in between: set transport = \"tcp\""
            }
            _ => "",
        };
        format!("no whole picture within {seconds} s, {what}{remedy}")
    }
}

/// Whether the camera announces that the end of the stream is reached.
fn is_end(request: &Request) -> bool {
    let notice = request.headers.get("x-notice").unwrap_or_default();
    notice.trim_ascii_start().starts_with(b"2101")
}
