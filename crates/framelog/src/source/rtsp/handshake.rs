//! OPTIONS, DESCRIBE, SETUP, PLAY: from a URL to packets on their way. Not for what comes after that.

use std::time::Duration;

use framelog_core::gap::GapReason;
use framelog_core::rtsp::headers::{
    self, Transport, base_url, control_url, is_absolute, other_slash_url, rooted_url,
    single_slash_url,
};
use framelog_core::rtsp::message::{Packet, Response};
use framelog_core::sdp::{Description, Video};

use super::dialogue::{Ask, Dialogue, Fault, Party, Talk, is_http, judge};
use super::keep_alive::{self, KeepAlive};
use super::media::Media;
use super::playing::{Pace, Playing, Way};
use super::udp::Ports;
use super::wire::Wire;
use super::{Facts, RtspSource, Session};
use crate::config;
use crate::source::Ended;
use crate::source::auth::Challenge;
use crate::source::dial::Stream;
use crate::source::memory::Memory;

/// The channels that are asked for.
const CHANNELS: (u8, u8) = (0, 1);

/// So many others are set up instead where the first is not found.
const SPARE_MAX: usize = 3;

/// What the answer to DESCRIBE comes to.
struct Described {
    video: Target,
    /// To be set up instead where that is not found.
    spare: Vec<Target>,
    others: Vec<String>,
    server: Option<String>,
}

/// A video, and the URL that it is set up by.
type Target = (Video, String);

/// What SETUP comes to.
struct SetUp {
    video: Video,
    target: String,
    way: Way,
    ssrc: Option<u32>,
    lifetime: Option<Duration>,
    /// The camera speaks of datagrams, whatever it was asked for.
    speaks_of_datagrams: bool,
}

impl RtspSource {
    /// One try, over one connection.
    pub(super) async fn begin(&mut self, memory: &mut Memory) -> Result<(), Fault> {
        let dialled = Stream::dial(&self.url, &self.camera.tls).await;
        let stream = memory.dialled(&self.url, dialled)?;
        let tls = stream.tls();
        let dialogue = self.dialogue.insert(Dialogue::new(Wire::new(stream)));
        let party = Party {
            camera: &self.camera,
            quoter: &self.quoter,
            url: &self.url,
        };
        let was_asked = !memory.without_options;
        let talk = &mut Talk {
            dialogue,
            party,
            memory,
        };
        let public = options(talk).await?;
        let described = describe(talk, &mut self.session).await;
        let described = described.inspect_err(|fault| {
            if fault.is_silence() {
                // It may be the refused question that ended it, or that there was none.
                talk.memory.without_options =
                    was_asked && public.is_none() && !talk.memory.options_answered;
            }
        })?;
        // Who sends already, before anything is set up, is of a session that was not ended (row 88).
        let foreign: Vec<Packet> = talk.dialogue.take_early();
        let SetUp {
            video,
            target,
            way,
            ssrc,
            lifetime: first_lifetime,
            speaks_of_datagrams,
        } = set_up(talk, &mut self.session, described.video, described.spare).await?;
        talk.dialogue.expect(&video);
        let answer = play(talk, &mut self.session, &target).await?;
        let lifetime = answer.and_then(|answer| lifetime(&answer, &mut self.session));
        let lifetime = lifetime.or(first_lifetime);
        let mut avoided = memory.keep_alives.fatal.clone();
        avoided.extend(memory.without_options.then_some("OPTIONS"));
        let pace = Pace::new(
            KeepAlive::new(public.as_deref(), &avoided, &memory.keep_alives.useless),
            keep_alive::pause(lifetime),
            self.camera.stall_timeout,
        );
        self.facts = Some(Facts {
            url: self.url.to_string(),
            server: described.server,
            public: public.map(|public| self.quoter.quote(&public)),
            auth: memory.challenge.as_ref().map(Challenge::name),
            tls,
            transport: way.name(),
            codec: video.codec,
            others: described.others,
            session_timeout: lifetime.unwrap_or(headers::SESSION_LIFETIME),
        });
        let media = Media::new(&video, way.transport(), ssrc, &foreign);
        self.playing = Some(Box::new(Playing::new(
            media,
            way,
            speaks_of_datagrams,
            pace,
            dialogue.take_early(),
        )));
        Ok(())
    }
}

/// What methods the camera names. A camera that doesn't like the question may do the rest all the same; one that doesn't answer it at all is
/// not asked the next time.
async fn options(talk: &mut Talk<'_>) -> Result<Option<Vec<u8>>, Fault> {
    if talk.memory.without_options {
        return Ok(None);
    }
    let target = talk.party.request_url();
    let ask = Ask {
        method: "OPTIONS",
        target: &target,
        fields: &[],
    };
    let response = talk.ask(ask).await.inspect_err(|fault| {
        talk.memory.without_options = fault.is_silence() && !talk.memory.options_answered;
    })?;
    let is_rtsp = !is_http(&response);
    match judge(talk.party, "OPTIONS", response) {
        Ok(response) => {
            talk.memory.options_answered = true;
            let public = response
                .headers
                .get("public")
                .or(response.headers.get("allow"));
            Ok(public.map(<[u8]>::to_vec))
        }
        Err(Fault::Ended(_)) if is_rtsp => Ok(None),
        Err(fault) => Err(fault),
    }
}

async fn describe(talk: &mut Talk<'_>, session: &mut Session) -> Result<Described, Fault> {
    let url = talk.party.request_url();
    let fields: [(&str, &[u8]); 1] = [("Accept", b"application/sdp")];
    let response = talk
        .ask(Ask {
            method: "DESCRIBE",
            target: &url,
            fields: &fields,
        })
        .await?;
    let response = judge(talk.party, "DESCRIBE", response)?;
    let field = |name| response.headers.get(name);
    let base = base_url([field("content-base"), field("content-location")], &url);
    let description = Description::read(&response.body);
    // Only an absolute one is meant: that is what others make of it.
    let control = description
        .control
        .as_deref()
        .filter(|control| is_absolute(control));
    session.target = control_url(&base, control);
    let targets = |video: &Video| {
        let control = video.control.as_deref();
        let base = &session.target;
        let mut urls = vec![control_url(base, control)];
        urls.extend(single_slash_url(base, control));
        urls.extend(rooted_url(base, control));
        urls.extend(other_slash_url(base, control));
        urls.dedup();
        let targets = urls.into_iter().map(|url| (video.clone(), url));
        targets.collect::<Vec<_>>()
    };
    let mut videos = description.by_choice().flat_map(targets);
    let Some(video) = videos.next() else {
        let offers = description.others.join(", ");
        let offers = match response.body.trim_ascii() {
            b"" => "nothing".to_owned(),
            // No medium at all: a page, or a description that was cut short.
            body if offers.is_empty() => format!("\"{}\"", talk.party.quoter.quote(body)),
            _ => talk.party.quoter.quote(offers.as_bytes()),
        };
        return Err(Fault::Ended(Ended {
            reason: GapReason::NotVideo,
            detail: format!(
                "{} describes no MJPEG, H.264 or H.265 that could be recorded, but: {offers}",
                talk.party.url
            ),
            retry_after: None,
        }));
    };
    Ok(Described {
        video,
        spare: videos.take(SPARE_MAX).collect(),
        server: field("server").map(|server| talk.party.quoter.quote(server)),
        others: description
            .others
            .iter()
            .map(|other| talk.party.quoter.quote(other.as_bytes()))
            .collect(),
    })
}

/// Sets the first medium up that the camera finds, over the connection or as datagrams: by default over the connection, as datagrams where that is refused; the other way
/// round, over one connection, where the camera closed when it refused, or twice gave no answer; and for as long as datagrams come where it sent nothing after it
/// spoke of those.
async fn set_up(
    talk: &mut Talk<'_>,
    session: &mut Session,
    (mut video, mut target): Target,
    spare: Vec<Target>,
) -> Result<SetUp, Fault> {
    let is_encrypted = talk.party.url.scheme.is_secure();
    // For this one connection: what refused the other way may have been a hiccup. What comes over it tells how the next begins.
    let datagrams_first = std::mem::take(&mut talk.memory.datagrams_first);
    let ways: &[bool] = match talk.party.camera.transport {
        config::Transport::Any if is_encrypted => &[false],
        config::Transport::Any if datagrams_first => &[true, false],
        config::Transport::Any => &[false, true],
        config::Transport::Tcp => &[false],
        config::Transport::Udp => &[true],
    };
    let mut others = ways.iter().copied();
    let mut is_udp = others.next().unwrap_or_default();
    let mut spare = spare.into_iter();
    loop {
        let asked = ask_for_medium(talk, session, &target, is_udp).await;
        let (ports, response) = asked.inspect_err(|fault| {
            if fault.is_silence() && others.len() > 0 && !is_udp {
                talk.memory.datagrams_first = talk.memory.setup_unanswered;
                talk.memory.setup_unanswered = !talk.memory.setup_unanswered;
            }
        })?;
        talk.memory.datagrams_first = false;
        talk.memory.setup_unanswered = false;
        if is_of_the_way(response.status)
            && let Some(other) = others.next()
        {
            // If it closes the connection now, it can be asked for the other only in the next.
            talk.memory.datagrams_first = other;
            is_udp = other;
            continue;
        }
        if is_of_the_target(response.status)
            && let Some(next) = spare.next()
        {
            (video, target) = next;
            others = ways.iter().copied();
            is_udp = others.next().unwrap_or_default();
            continue;
        }
        let response = judge(talk.party, "SETUP", response)?;
        let lifetime = session.opened(&response);
        let transport = response
            .headers
            .get("transport")
            .map(Transport::read)
            .unwrap_or_default();
        return Ok(SetUp {
            video,
            target,
            speaks_of_datagrams: transport.is_datagrams,
            ssrc: transport.ssrc,
            way: way(talk, transport, ports)?,
            lifetime,
        });
    }
}

/// Sends a SETUP for packets over the connection, or as datagrams to ports that are open then: these, and the answer.
async fn ask_for_medium(
    talk: &mut Talk<'_>,
    session: &mut Session,
    target: &str,
    is_udp: bool,
) -> Result<(Option<Ports>, Response), Fault> {
    let (ports, wanted) = if is_udp {
        let opened = open_ports(talk).await;
        let (ports, (rtp, rtcp)) = opened.inspect_err(|_| talk.memory.datagrams_first = false)?;
        let wanted = format!("RTP/AVP;unicast;client_port={rtp}-{rtcp}");
        (Some(ports), wanted)
    } else {
        let (rtp, rtcp) = CHANNELS;
        let wanted = format!("RTP/AVP/TCP;unicast;interleaved={rtp}-{rtcp}");
        (None, wanted)
    };
    let fields: [(&str, &[u8]); 1] = [("Transport", wanted.as_bytes())];
    let ask = Ask {
        method: "SETUP",
        target,
        fields: &fields,
    };
    session.set_up = Some(talk.dialogue.next_cseq());
    let response = talk.ask(ask).await?;
    session.set_up = None;
    Ok((ports, response))
}

/// How the packets come by what the camera granted: some grant what they can do, whatever they are asked for (gortsplib #169).
fn way(talk: &Talk<'_>, transport: Transport, ports: Option<Ports>) -> Result<Way, Fault> {
    let granted = transport.interleaved;
    let granted = granted.filter(|_| ports.is_none() || transport.server_port.is_none());
    Ok(match (granted, ports) {
        (Some(channels), _) => Way::Channels(channels),
        (None, None) => Way::Channels(CHANNELS),
        (None, Some(mut ports)) => {
            ports.expect(peer(talk)?, transport.source, transport.server_port);
            Way::Ports(Box::new(ports))
        }
    })
}

/// Whether SETUP may have been refused because of how the packets were to come.
fn is_of_the_way(status: u16) -> bool {
    matches!(status, 400 | 406 | 415 | 451 | 461 | 500 | 501 | 551)
}

/// The same for what was to be set up.
fn is_of_the_target(status: u16) -> bool {
    matches!(status, 400 | 404 | 451 | 454 | 460)
}

async fn open_ports(talk: &Talk<'_>) -> Result<(Ports, (u16, u16)), Fault> {
    let opened = async {
        let local = talk.dialogue.wire.stream().tcp().local_addr()?.ip();
        let ports = Ports::open(local).await?;
        let numbers = ports.numbers()?;
        Ok((ports, numbers))
    };
    opened
        .await
        .map_err(|cause: std::io::Error| no_socket(talk.party, &cause))
}

fn peer(talk: &Talk<'_>) -> Result<std::net::IpAddr, Fault> {
    let peer = talk.dialogue.wire.stream().tcp().peer_addr();
    peer.map(|address| address.ip())
        .map_err(|cause| no_socket(talk.party, &cause))
}

fn no_socket(party: Party<'_>, cause: &std::io::Error) -> Fault {
    Fault::Ended(Ended {
        reason: GapReason::Unreachable,
        detail: format!(
            "{}: no ports for datagrams: {cause}; set transport = \"tcp\"",
            party.url
        ),
        retry_after: None,
    })
}

/// Has the camera begin: from now on, without a range if it refuses that, and at last the medium alone. There is no answer where its packets
/// say the same.
async fn play(
    talk: &mut Talk<'_>,
    session: &mut Session,
    medium: &str,
) -> Result<Option<Response>, Fault> {
    let whole = session.target.clone();
    let mut targets = [whole.as_str(), medium]
        .into_iter()
        .take(if whole == medium { 1 } else { 2 });
    let mut range: Option<(&str, &[u8])> = Some(("Range", b"npt=0.000-"));
    loop {
        let fields: Vec<_> = session.field().into_iter().chain(range).collect();
        let ask = Ask {
            method: "PLAY",
            target: &session.target,
            fields: &fields,
        };
        let response = match talk.ask(ask).await {
            Err(fault) if fault.is_silence() && talk.dialogue.is_playing() => return Ok(None),
            answer => answer?,
        };
        if is_final(response.status) {
            return judge(talk.party, "PLAY", response).map(Some);
        }
        let Some(target) = targets.next() else {
            whole.clone_into(&mut session.target);
            return judge(talk.party, "PLAY", response).map(Some);
        };
        range = None;
        // What it doesn't know by one name it will not end by it either.
        target.clone_into(&mut session.target);
    }
}

/// Whether there is no use in asking for the same in another way: it was granted, or is elsewhere, or refused whoever asks for whatever.
fn is_final(status: u16) -> bool {
    matches!(
        status,
        200..=399 | 401 | 403 | 406 | 407 | 429 | 453 | 503 | 509
    )
}

/// What the answer says of the session. Its latest name is the one that holds: some cameras give another with PLAY.
fn lifetime(response: &Response, session: &mut Session) -> Option<Duration> {
    let named = headers::Session::read(response.headers.get("session")?)?;
    session.id = Some(named.id);
    named.timeout
}

impl Session {
    /// Takes it up, if the answer to SETUP says that there is one. Returns how long it lives, if that is said.
    pub(super) fn opened(&mut self, response: &Response) -> Option<Duration> {
        self.is_open |= (200..300).contains(&response.status);
        lifetime(response, self)
    }
}
