//! The source against a camera on loopback, which does as usual but for what a test is about.

use std::net::{SocketAddr, UdpSocket};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;
use crate::config::secret::Password;

const SDP: &str = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
    a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z0LAH9kAoC/5cBEAAAMAAQAAAwAyDxgySA==,aMuDyyA=\r\na=control:track1\r\n";

/// A request, and over which connection it came, counted from 1.
struct Asked {
    connection: usize,
    head: String,
}

impl Asked {
    fn method(&self) -> &str {
        self.head.split(' ').next().unwrap_or_default()
    }

    fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut named = fields.filter(|(found, _)| found.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.trim())
    }

    /// The answer with this status, these fields, each with its line end, and this body.
    fn answer(&self, status: &str, fields: &str, body: &str) -> Reply {
        let cseq = self.field("cseq").unwrap_or_default();
        let length = body.len();
        Reply::from(format!(
            "RTSP/1.0 {status}\r\nCSeq: {cseq}\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
        ))
    }

    fn asks_for_tcp(&self) -> bool {
        self.field("transport").is_some_and(|it| it.contains("TCP"))
    }

    /// Where SETUP wants datagrams.
    fn wants_datagrams(&self) -> SocketAddr {
        let wanted = self.field("transport").unwrap();
        let (_, port) = wanted.split_once("client_port=").unwrap();
        let (port, _) = port.split_once('-').unwrap();
        SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()))
    }

    /// What a camera answers that sends datagrams: three pictures, as soon as it knows where to.
    fn by_datagrams(&self) -> Reply {
        match self.method() {
            "SETUP" => {
                send_datagrams(self.wants_datagrams(), 3, Duration::ZERO);
                self.answer("200 OK", "Transport: RTP/AVP\r\nSession: 4711\r\n", "")
            }
            "PLAY" => self.refused("200 OK"),
            _ => self.usual(),
        }
    }

    fn refused(&self, status: &str) -> Reply {
        self.answer(status, "", "")
    }

    /// What the usual camera answers. With PLAY it sends pictures on channel 0, and then no more.
    fn usual(&self) -> Reply {
        match self.method() {
            "OPTIONS" => self.answer("200 OK", "Public: OPTIONS, GET_PARAMETER\r\n", ""),
            "DESCRIBE" => self.answer("200 OK", "Content-Type: application/sdp\r\n", SDP),
            "SETUP" => self.answer(
                "200 OK",
                "Transport: RTP/AVP/TCP;interleaved=0-1\r\nSession: 4711\r\n",
                "",
            ),
            "PLAY" => self.refused("200 OK").then(&pictures(0, 0..3)),
            _ => self.refused("200 OK"),
        }
    }
}

/// What the camera sends, and whether it closes then.
struct Reply {
    bytes: Vec<u8>,
    /// After so long.
    later: Option<(Duration, Vec<u8>)>,
    closes: bool,
}

impl<B: Into<Vec<u8>>> From<B> for Reply {
    fn from(bytes: B) -> Self {
        Self {
            bytes: bytes.into(),
            later: None,
            closes: false,
        }
    }
}

impl Reply {
    fn then(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    fn later(mut self, ms: u64, bytes: &[u8]) -> Self {
        self.later = Some((Duration::from_millis(ms), bytes.to_vec()));
        self
    }
}

type React = fn(&Asked) -> Reply;

/// A picture for each number, a keyframe first, on this channel.
fn pictures(channel: u8, numbers: std::ops::Range<u8>) -> Vec<u8> {
    let picture = |number: u8| {
        let slice: &[u8] = match number {
            0 => b"\x65\x88\x84\x21",
            _ => b"\x41\x9a\x21\x6c",
        };
        let time = 9_000 * u32::from(number);
        let head = [
            &[0x80, 0xe0, 0, number],
            &time.to_be_bytes(),
            &[0, 0, 0, 7],
            slice,
        ];
        interleaved(channel, &head.concat())
    };
    numbers.flat_map(picture).collect()
}

/// So many pictures, and before each so long a pause.
fn send_datagrams(to: SocketAddr, count: u8, pause: Duration) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..count {
        std::thread::sleep(pause);
        let _ = socket.send_to(&pictures(0, number..number + 1)[4..], to);
    }
}

fn interleaved(channel: u8, packet: &[u8]) -> Vec<u8> {
    let length = u16::try_from(packet.len()).unwrap().to_be_bytes();
    [&[b'$', channel], &length[..], packet].concat()
}

/// A sender report of who sends the pictures.
fn sender_report() -> Vec<u8> {
    let mut report = vec![0x80, 200, 0, 6, 0, 0, 0, 7, 0xe0];
    report.resize(28, 0);
    report
}

/// See the module.
struct Fake {
    camera: Camera,
    memory: Memory,
    requests: mpsc::UnboundedReceiver<Asked>,
}

impl Fake {
    async fn start(react: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            for connection in 1.. {
                let (stream, _) = listener.accept().await.unwrap();
                // It ends when the client goes.
                let _ = serve(stream, connection, &react, &sender).await;
            }
        });
        Self {
            camera: camera(address),
            memory: Memory::default(),
            requests,
        }
    }

    /// One connection, until so many pictures have come or it ends: how many came, and why it ended.
    async fn run(&mut self, wanted: usize) -> (usize, Result<(), Ended>) {
        let mut source = RtspSource::new(&self.camera);
        let ran = self.read(&mut source, wanted).await;
        source.close(&mut self.memory).await;
        ran
    }

    async fn read(&mut self, source: &mut RtspSource, wanted: usize) -> (usize, Result<(), Ended>) {
        let mut deliveries = Vec::new();
        let mut ended = source.connect(&mut self.memory).await;
        let count = |deliveries: &[Delivery]| {
            let pictures = deliveries
                .iter()
                .filter(|one| matches!(one, Delivery::Picture(_)));
            pictures.count()
        };
        while ended.is_ok() && count(&deliveries) < wanted {
            ended = source.next(&mut self.memory, &mut deliveries).await;
        }
        (count(&deliveries), ended)
    }

    /// What was asked so far.
    fn asked(&mut self) -> Vec<Asked> {
        std::iter::from_fn(|| self.requests.try_recv().ok()).collect()
    }
}

fn camera(address: SocketAddr) -> Camera {
    let url = format!("rtsp://{address}/live");
    Camera {
        stall_timeout: Duration::from_millis(1500),
        ..Camera::new("test", CameraUrl::parse(&url).unwrap().0)
    }
}

async fn serve(
    mut stream: TcpStream,
    connection: usize,
    react: &(impl Fn(&Asked) -> Reply + Sync),
    sender: &mpsc::UnboundedSender<Asked>,
) -> std::io::Result<()> {
    loop {
        let head = request(&mut stream).await?;
        let asked = Asked { connection, head };
        let reply = react(&asked);
        let _ = sender.send(asked);
        stream.write_all(&reply.bytes).await?;
        if let Some((pause, bytes)) = reply.later {
            tokio::time::sleep(pause).await;
            stream.write_all(&bytes).await?;
        }
        if reply.closes {
            return stream.shutdown().await;
        }
    }
}

/// The next request; packets between are passed over.
async fn request(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
        if head == b"$" {
            head.clear();
            let _channel = stream.read_u8().await?;
            let length = stream.read_u16().await?;
            stream.read_exact(&mut vec![0; usize::from(length)]).await?;
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

#[tokio::test]
async fn pictures_are_told_from_reports_on_whichever_channel_they_come() {
    let swapped: React = |asked| match asked.method() {
        "PLAY" => asked
            .refused("200 OK")
            .then(&interleaved(0, &sender_report()))
            .then(&pictures(1, 0..3)),
        _ => asked.usual(),
    };
    let both: React = |asked| match asked.method() {
        "PLAY" => asked
            .refused("200 OK")
            .then(&interleaved(1, &sender_report()))
            .then(&pictures(1, 0..3)),
        _ => asked.usual(),
    };
    for react in [Asked::usual, swapped, both] {
        let mut fake = Fake::start(react).await;
        let (count, ended) = fake.run(3).await;
        assert_eq!(count, 3, "{ended:?}");
    }
}

#[tokio::test]
async fn what_came_before_the_camera_closed_is_handed_out_and_the_session_is_ended() {
    let mut fake = Fake::start(|asked| match asked.method() {
        "PLAY" => asked.usual().closing(),
        _ => asked.usual(),
    })
    .await;
    let (count, ended) = fake.run(9).await;
    assert_eq!(
        (count, ended.unwrap_err().reason),
        (3, GapReason::Disconnected)
    );
    let mut fake = Fake::start(Asked::usual).await;
    fake.run(3).await.1.unwrap();
    let asked = fake.asked();
    let methods: Vec<&str> = asked.iter().map(Asked::method).collect();
    assert_eq!(
        methods,
        ["OPTIONS", "DESCRIBE", "SETUP", "PLAY", "TEARDOWN"]
    );
    assert!(asked[2].target().ends_with("/live/track1"));
    assert!(asked.iter().all(|asked| asked.connection == 1));
}

#[tokio::test]
async fn pictures_on_channels_that_were_not_agreed_on_are_taken_from_the_first() {
    let mut fake = Fake::start(|asked| match asked.method() {
        "PLAY" => {
            let early = [pictures(2, 0..2), pictures(4, 0..1), pictures(2, 2..3)].concat();
            let mut late = pictures(2, 3..4);
            late.splice(..0, interleaved(3, &sender_report()));
            asked.refused("200 OK").then(&early).later(1100, &late)
        }
        _ => asked.usual(),
    })
    .await;
    let (count, ended) = fake.run(4).await;
    assert_eq!(count, 4, "{ended:?}");
}

#[tokio::test]
async fn a_camera_that_takes_no_range_plays_without() {
    for status in [
        "400 Bad Request",
        "451 x",
        "456 x",
        "457 Invalid Range",
        "500 x",
        "501 x",
    ] {
        let mut fake = Fake::start(move |asked| match asked.field("range") {
            Some(_) => asked.refused(status),
            None => asked.usual(),
        })
        .await;
        let (count, ended) = fake.run(3).await;
        assert_eq!(count, 3, "{ended:?}");
    }
}

#[tokio::test]
async fn a_camera_that_knows_only_the_medium_plays_and_ends_that() {
    for status in [
        "404 Not Found",
        "405 Method Not Allowed",
        "451 x",
        "454 Session Not Found",
        "455 x",
        "459 x",
        "460 Only Aggregate Operation Allowed",
        "500 x",
    ] {
        let mut fake = Fake::start(move |asked| {
            let is_whole = asked.target().ends_with("/live");
            match asked.method() {
                "PLAY" | "TEARDOWN" if is_whole => asked.refused(status),
                _ => asked.usual(),
            }
        })
        .await;
        let (count, ended) = fake.run(3).await;
        assert_eq!(count, 3, "{ended:?}");
        let last = fake.asked().pop().unwrap();
        assert_eq!(last.method(), "TEARDOWN");
        assert!(last.target().ends_with("/track1"));
    }
}

#[tokio::test]
async fn a_camera_that_has_no_room_is_asked_to_play_once() {
    for status in ["453 Not Enough Bandwidth", "503 Service Unavailable"] {
        let mut fake = Fake::start(move |asked| match asked.method() {
            "PLAY" => asked.refused(status),
            _ => asked.usual(),
        })
        .await;
        assert_eq!(fake.run(3).await.1.unwrap_err().reason, GapReason::Busy);
        let asked = fake.asked();
        let plays = asked.iter().filter(|asked| asked.method() == "PLAY");
        assert_eq!(plays.count(), 1);
    }
}

#[tokio::test]
async fn a_camera_that_ends_with_options_is_not_asked_for_them_again() {
    let closes: React = |asked| match asked.method() {
        "OPTIONS" => Reply::from("").closing(),
        _ => asked.usual(),
    };
    let refuses: React = |asked| match asked.method() {
        "OPTIONS" => asked.refused("400 Bad Request").closing(),
        _ => asked.usual(),
    };
    for react in [closes, refuses] {
        let mut fake = Fake::start(react).await;
        assert_eq!(fake.run(3).await.0, 0);
        for _ in 0..2 {
            let (count, ended) = fake.run(3).await;
            assert_eq!(count, 3, "{ended:?}");
        }
    }
}

#[tokio::test]
async fn a_camera_that_was_only_busy_is_asked_for_its_methods_again() {
    let mut fake = Fake::start(|asked| match asked.connection {
        1 | 2 => Reply::from("").closing(),
        _ => asked.usual(),
    })
    .await;
    for pictures in [0, 0, 3] {
        assert_eq!(fake.run(3).await.0, pictures);
    }
    let asked = fake.asked();
    let begun = |connection| {
        let first = asked.iter().find(|asked| asked.connection == connection);
        first.map(Asked::method)
    };
    let first = [begun(1), begun(2), begun(3)];
    assert_eq!(first, [Some("OPTIONS"), Some("DESCRIBE"), Some("OPTIONS")]);
}

#[tokio::test]
async fn where_the_connection_is_refused_for_packets_they_come_as_datagrams() {
    for status in [
        "400 x", "406 x", "415 x", "451 x", "461 x", "500 x", "501 x", "551 x",
    ] {
        for closes in [false, true] {
            let mut fake = Fake::start(move |asked| {
                let mut reply = match asked.asks_for_tcp() {
                    true => asked.refused(status),
                    false => asked.by_datagrams(),
                };
                reply.closes = closes && asked.asks_for_tcp();
                reply
            })
            .await;
            let runs = [fake.run(3).await.0, fake.run(3).await.0];
            assert_eq!(runs, [if closes { 0 } else { 3 }, 3], "{status}");
        }
    }
}

#[tokio::test]
async fn who_refuses_every_transport_is_told_apart_from_who_refuses_the_one_that_is_set() {
    use crate::config::Transport;
    for (transport, told) in [
        (Transport::Any, "switch unicast on in the camera"),
        (Transport::Tcp, "set transport to the other one"),
        (Transport::Udp, "set transport to the other one"),
    ] {
        let mut fake = Fake::start(|asked| match asked.method() {
            "SETUP" => asked.refused("461 Unsupported Transport"),
            _ => asked.usual(),
        })
        .await;
        fake.camera.transport = transport;
        let ended = fake.run(1).await.1.unwrap_err();
        assert!(ended.detail.contains(told), "{}", ended.detail);
    }
}

#[tokio::test]
async fn a_camera_that_speaks_of_datagrams_and_sends_nothing_is_asked_for_them() {
    let mut fake = Fake::start(|asked| match asked.method() {
        "SETUP" if asked.asks_for_tcp() => asked.answer(
            "200 OK",
            "Session: 4711\r\nTransport: RTP/AVP;unicast;client_port=1-2;server_port=3-4\r\n",
            "",
        ),
        _ => asked.by_datagrams(),
    })
    .await;
    assert_eq!(fake.run(3).await.0, 0);
    for _ in 0..2 {
        // The fourth picture is waited for in vain.
        let (count, ended) = fake.run(4).await;
        assert_eq!(count, 3, "{ended:?}");
    }
}

#[tokio::test]
async fn a_camera_that_hangs_up_twice_when_it_is_set_up_is_asked_for_datagrams() {
    let hangs_up = |times: usize| {
        move |asked: &Asked| match asked.method() {
            "SETUP" if asked.asks_for_tcp() && asked.connection <= times => {
                Reply::from("").closing()
            }
            "SETUP" if asked.asks_for_tcp() => asked.usual(),
            "SETUP" => asked.by_datagrams(),
            _ => asked.usual(),
        }
    };
    let mut fake = Fake::start(hangs_up(9)).await;
    for pictures in [0, 0, 3, 0, 3] {
        // The fourth picture is waited for in vain.
        assert_eq!(fake.run(4).await.0, pictures);
    }
    let mut fake = Fake::start(hangs_up(1)).await;
    for pictures in [0, 3] {
        assert_eq!(fake.run(3).await.0, pictures);
    }
    let asked = fake.asked();
    let mut set_up = asked.iter().filter(|asked| asked.method() == "SETUP");
    assert!(set_up.all(Asked::asks_for_tcp));
}

#[tokio::test]
async fn what_led_to_datagrams_once_does_not_keep_a_camera_on_them() {
    let boots: React = |asked| match asked.method() {
        "SETUP" if !asked.asks_for_tcp() => asked.by_datagrams(),
        "SETUP" if asked.connection == 1 => asked.refused("500 x").closing(),
        _ => asked.usual(),
    };
    let serves_another: React = |asked| match asked.method() {
        "SETUP" if !asked.asks_for_tcp() => asked.by_datagrams(),
        "SETUP" if asked.connection <= 2 => Reply::from("").closing(),
        _ => asked.usual(),
    };
    for (react, failures) in [(boots, 1), (serves_another, 2)] {
        let mut fake = Fake::start(react).await;
        for connection in 1..=5 {
            let pictures = if connection <= failures { 0 } else { 3 };
            assert_eq!(fake.run(4).await.0, pictures);
        }
        let asked = fake.asked();
        let set_up = asked.iter().filter(|asked| asked.method() == "SETUP");
        let as_datagrams = set_up.filter(|asked| !asked.asks_for_tcp());
        let connections: Vec<usize> = as_datagrams.map(|asked| asked.connection).collect();
        assert_eq!(connections, [failures + 1]);
    }
}

#[tokio::test]
async fn a_camera_that_grants_channels_where_it_was_asked_for_datagrams_sends_on_those() {
    let mut fake = Fake::start(|asked| match asked.method() {
        "SETUP" => {
            assert!(!asked.asks_for_tcp());
            asked.usual()
        }
        _ => asked.usual(),
    })
    .await;
    fake.camera.transport = crate::config::Transport::Udp;
    let (count, ended) = fake.run(3).await;
    assert_eq!(count, 3, "{ended:?}");
}

#[tokio::test]
async fn datagrams_are_taken_on_when_the_connection_is_closed_and_their_session_is_kept_and_ended()
{
    let mut fake = Fake::start(|asked| match asked.method() {
        "SETUP" => {
            let to = asked.wants_datagrams();
            std::thread::spawn(move || send_datagrams(to, 20, Duration::from_millis(100)));
            let fields = "Transport: RTP/AVP\r\nSession: 4711;timeout=1\r\n";
            asked.answer("200 OK", fields, "")
        }
        "PLAY" | "GET_PARAMETER" => asked.refused("200 OK").closing(),
        _ => asked.usual(),
    })
    .await;
    fake.camera.transport = crate::config::Transport::Udp;
    fake.camera.stall_timeout = Duration::from_secs(5);
    let (count, ended) = fake.run(99).await;
    assert_eq!(count, 20);
    let ended = ended.unwrap_err();
    assert_eq!(ended.reason, GapReason::Disconnected, "{ended:?}");
    let asked = fake.asked();
    let later: Vec<_> = asked.iter().filter(|asked| asked.connection > 1).collect();
    let (last, kept_alive) = later.split_last().unwrap();
    assert_eq!(last.method(), "TEARDOWN");
    assert!(kept_alive.len() >= 2, "asked every half second");
    let kept_alive = kept_alive.iter();
    assert!(
        kept_alive
            .clone()
            .all(|asked| asked.method() == "GET_PARAMETER")
    );
    assert!(
        later
            .iter()
            .all(|asked| asked.field("session") == Some("4711"))
    );
}

#[tokio::test]
async fn a_camera_that_only_once_refused_the_connection_is_asked_for_it_again() {
    for (refusal, closes) in [("454 x", false), ("503 x", false), ("500 x", true)] {
        let mut fake = Fake::start(move |asked| match asked.method() {
            "SETUP" if asked.connection == 1 && asked.asks_for_tcp() => asked.refused("500 x"),
            "SETUP" if !asked.asks_for_tcp() => {
                let mut reply = asked.refused(refusal);
                reply.closes = closes;
                reply
            }
            _ => asked.usual(),
        })
        .await;
        assert_eq!(fake.run(3).await.0, 0);
        let runs = [fake.run(3).await, fake.run(3).await];
        assert!(
            runs.iter().any(|(count, _)| *count == 3),
            "{refusal}: {runs:?}"
        );
    }
}

#[tokio::test]
async fn one_silence_makes_no_camera_go_without_options() {
    let mut fake = Fake::start(|asked| match asked.method() {
        "OPTIONS" if asked.connection == 2 => Reply::from("").closing(),
        _ => asked.usual(),
    })
    .await;
    for _ in 0..3 {
        let _ = fake.run(3).await;
    }
    let asked = fake.asked();
    assert!((1..=3).all(|connection| {
        let mut asked = asked.iter().filter(|asked| asked.connection == connection);
        asked
            .next()
            .is_some_and(|asked| asked.method() == "OPTIONS")
    }));
}

#[tokio::test]
async fn a_request_that_ended_the_stream_is_not_made_again() {
    let mut fake = Fake::start(|asked| {
        let plays = asked.field("session").is_some();
        match asked.method() {
            "SETUP" => asked.answer("200 OK", "Session: 4711;timeout=1\r\n", ""),
            "OPTIONS" if plays => asked.refused("400 Bad Request").closing(),
            "GET_PARAMETER" | "SET_PARAMETER" => Reply::from("").closing(),
            _ => asked.usual(),
        }
    })
    .await;
    fake.camera.stall_timeout = Duration::from_secs(3);
    for _ in 0..4 {
        fake.run(9).await.1.unwrap_err();
    }
    let asked = fake.asked();
    let keeps_alive = |connection| {
        let mut asked = asked.iter().filter(|asked| asked.connection == connection);
        let after = asked.position(|asked| asked.method() == "PLAY");
        assert!(after.is_some());
        asked.next().map(Asked::method)
    };
    let methods = [1, 2, 3, 4].map(keeps_alive);
    assert_eq!(
        methods,
        [
            Some("GET_PARAMETER"),
            Some("OPTIONS"),
            Some("SET_PARAMETER"),
            Some("TEARDOWN")
        ]
    );
}

#[tokio::test]
async fn reports_that_ended_two_streams_are_not_sent_to_the_next() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let camera = Camera {
        stall_timeout: Duration::from_secs(5),
        ..camera(listener.local_addr().unwrap())
    };
    let (sender, mut reports) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = until_report(&mut stream, &sender).await;
        }
    });
    let mut memory = Memory::default();
    let mut reached = Vec::new();
    for _ in 0..3 {
        let mut source = RtspSource::new(&camera);
        let mut deliveries = Vec::new();
        source.connect(&mut memory).await.unwrap();
        while deliveries.len() < 40 && source.next(&mut memory, &mut deliveries).await.is_ok() {}
        source.close(&mut memory).await;
        reached.push(deliveries.len() >= 40);
    }
    assert_eq!(reached, [false, false, true]);
    assert_eq!(reports.recv().await, Some([0, 0, 0, 7]), "of our sender");
}

/// A picture every 50 ms, until a report comes: of whom it is.
async fn until_report(
    stream: &mut TcpStream,
    reports: &mpsc::UnboundedSender<[u8; 4]>,
) -> std::io::Result<()> {
    loop {
        let head = request(stream).await?;
        let asked = Asked {
            connection: 1,
            head,
        };
        let reply = match asked.method() {
            "PLAY" => asked.refused("200 OK"),
            _ => asked.usual(),
        };
        stream.write_all(&reply.bytes).await?;
        if asked.method() == "PLAY" {
            break;
        }
    }
    for number in 0.. {
        stream.write_all(&pictures(0, number..number + 1)).await?;
        let mut packet = [0; 16];
        let pause = Duration::from_millis(50);
        if let Ok(read) = tokio::time::timeout(pause, stream.read_exact(&mut packet)).await {
            read?;
            if packet[0] == b'$' {
                let _ = reports.send(packet[12..].try_into().unwrap());
            }
            break;
        }
    }
    stream.shutdown().await
}

#[tokio::test]
async fn a_session_that_is_not_found_is_given_up_only_when_nothing_comes() {
    let goes_on: React = |asked| match asked.method() {
        "SETUP" => asked.answer("200 OK", "Session: 4711;timeout=1\r\n", ""),
        "GET_PARAMETER" => asked.refused("454 Session Not Found"),
        "OPTIONS" if asked.field("session").is_some() => {
            asked.refused("200 OK").then(&pictures(0, 3..6))
        }
        _ => asked.usual(),
    };
    let ends: React = |asked| match asked.method() {
        "SETUP" => asked.answer("200 OK", "Session: 4711;timeout=1\r\n", ""),
        "GET_PARAMETER" | "OPTIONS" if asked.field("session").is_some() => {
            asked.refused("454 Session Not Found")
        }
        _ => asked.usual(),
    };
    let mut fake = Fake::start(goes_on).await;
    let (count, ended) = fake.run(6).await;
    assert_eq!(count, 6, "{ended:?}");
    assert_ends_before_the_stall(ends).await;
}

#[tokio::test]
async fn a_refusal_with_the_number_of_the_request_before_is_one() {
    let mut fake = Fake::start(|asked| match asked.method() {
        "SETUP" => asked.answer("200 OK", "Session: 4711;timeout=1\r\n", ""),
        "GET_PARAMETER" => {
            let own: u32 = asked.field("cseq").unwrap().parse().unwrap();
            let before = own - 1;
            Reply::from(format!(
                "RTSP/1.0 400 Bad Request\r\nCSeq: {before}\r\n\r\n"
            ))
        }
        "OPTIONS" if asked.field("session").is_some() => {
            asked.refused("200 OK").then(&pictures(0, 3..6))
        }
        _ => asked.usual(),
    })
    .await;
    let (count, ended) = fake.run(6).await;
    assert_eq!(count, 6, "{ended:?}");
}

/// All three pictures come, and the end is not waited for.
async fn assert_ends_before_the_stall(react: React) {
    let mut fake = Fake::start(react).await;
    fake.camera.stall_timeout = Duration::from_secs(20);
    let (count, ended) = fake.run(4).await;
    assert_eq!(
        (count, ended.unwrap_err().reason),
        (3, GapReason::Disconnected)
    );
}

#[tokio::test]
async fn a_stream_whose_end_is_announced_is_not_waited_for() {
    let bye: React = |asked| match asked.method() {
        "PLAY" => asked
            .usual()
            .then(&interleaved(1, &[0x81, 203, 0, 1, 0, 0, 0, 7])),
        _ => asked.usual(),
    };
    let notice: React = |asked| {
        match asked.method() {
        "PLAY" => asked.usual().then(
            b"ANNOUNCE rtsp://x/live RTSP/1.0\r\nCSeq: 5\r\nx-notice: 2101 \"End-of-Stream Reached\"\r\n\r\n",
        ),
        _ => asked.usual(),
    }
    };
    for react in [bye, notice] {
        assert_ends_before_the_stall(react).await;
    }
}

#[tokio::test]
async fn a_stream_that_goes_on_after_its_end_was_announced_is_recorded() {
    let mut fake = Fake::start(|asked| match asked.method() {
        "PLAY" => {
            let bye = interleaved(1, &[0x81, 203, 0, 1, 0, 0, 0, 7]);
            let usual = asked.usual().then(&bye);
            usual
                .then(&pictures(0, 3..4))
                .later(2500, &pictures(0, 4..5))
        }
        _ => asked.usual(),
    })
    .await;
    fake.camera.stall_timeout = Duration::from_secs(20);
    let (count, ended) = fake.run(5).await;
    assert_eq!(count, 5, "{ended:?}");
}

#[tokio::test]
async fn the_payload_type_that_the_camera_uses_is_taken() {
    let mut fake = Fake::start(|asked| match asked.method() {
        "DESCRIBE" => {
            let two = SDP.replace("AVP 96", "AVP 97 96");
            let two = two.replace("a=control", "a=rtpmap:97 H264/90000\r\na=control");
            asked.answer("200 OK", "", &two)
        }
        _ => asked.usual(),
    })
    .await;
    let (count, ended) = fake.run(3).await;
    assert_eq!(count, 3, "{ended:?}");
}

#[tokio::test]
async fn a_payload_type_that_is_not_named_is_taken_where_no_other_comes() {
    let unnamed = |numbers| {
        let mut packets = pictures(0, numbers);
        packets.chunks_mut(20).for_each(|packet| packet[5] = 0xe1);
        packets
    };
    let mut fake = Fake::start(move |asked| match asked.method() {
        "PLAY" => {
            let usual = asked.refused("200 OK").then(&unnamed(0..3));
            let late = [
                unnamed(0..3),
                interleaved(0, &sender_report()),
                unnamed(3..4),
            ];
            usual.later(2500, &late.concat())
        }
        _ => asked.usual(),
    })
    .await;
    fake.camera.stall_timeout = Duration::from_secs(5);
    let (count, ended) = fake.run(4).await;
    assert_eq!(count, 4, "{ended:?}");
    let mut fake = Fake::start(move |asked| match asked.method() {
        "PLAY" => {
            let usual = asked.refused("200 OK").then(&unnamed(0..3));
            usual.later(2500, &[unnamed(0..1), pictures(0, 0..3)].concat())
        }
        _ => asked.usual(),
    })
    .await;
    fake.camera.stall_timeout = Duration::from_secs(5);
    let (count, ended) = fake.run(3).await;
    assert_eq!(count, 3, "the one that is named after all: {ended:?}");
}

#[tokio::test]
async fn packets_stand_for_the_answer_to_play() {
    let mut fake = Fake::start(|asked| match asked.method() {
        "PLAY" => Reply::from(pictures(0, 0..3)),
        _ => asked.usual(),
    })
    .await;
    let (count, ended) = fake.run(3).await;
    assert_eq!(count, 3, "{ended:?}");
    assert_eq!(fake.asked().pop().unwrap().method(), "TEARDOWN");
}

#[tokio::test]
async fn a_session_that_gets_another_name_is_ended_by_that() {
    let mut fake = Fake::start(|asked| match asked.method() {
        "PLAY" => {
            let answer = asked.answer("200 OK", "Session: A,1;timeout=9\r\n", "");
            answer.then(&pictures(0, 0..3))
        }
        _ => asked.usual(),
    })
    .await;
    fake.run(3).await.1.unwrap();
    let last = fake.asked().pop().unwrap();
    assert_eq!(
        (last.method(), last.field("session")),
        ("TEARDOWN", Some("A,1"))
    );
}

#[tokio::test]
async fn what_is_refused_by_its_url_is_set_up_by_another() {
    for status in ["400 x", "404 Not Found", "451 x", "454 x", "460 x"] {
        let mut fake = Fake::start(move |asked| match asked.method() {
            "DESCRIBE" => {
                let medium =
                    "m=video 0 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\na=control:other\r\nm=";
                asked.answer("200 OK", "", &SDP.replacen("m=", medium, 1))
            }
            "SETUP" if asked.target().ends_with("other") => asked.refused(status),
            _ => asked.usual(),
        })
        .await;
        let (count, ended) = fake.run(3).await;
        assert_eq!(count, 3, "{status}: {ended:?}");
    }
    for (known, base) in [
        ("live?c=v", ""),
        ("live/?c=v", ""),
        ("live?c=v", "/"),
        ("live/?c=v", "/"),
    ] {
        let mut fake = Fake::start(move |asked| match asked.method() {
            "DESCRIBE" => {
                let base = format!("Content-Base: {}{base}\r\n", asked.target());
                asked.answer("200 OK", &base, &SDP.replace("track1", "?c=v"))
            }
            "SETUP" if !asked.target().ends_with(known) => asked.refused("404 Not Found"),
            _ => asked.usual(),
        })
        .await;
        let (count, ended) = fake.run(3).await;
        assert_eq!(count, 3, "{known}, {base}: {ended:?}");
    }
    for known in ["/live//trk", "/live/trk", "/trk"] {
        let mut fake = Fake::start(move |asked| match asked.method() {
            "DESCRIBE" => {
                let base = format!("Content-Base: {}/\r\n", asked.target());
                asked.answer("200 OK", &base, &SDP.replace("track1", "/trk"))
            }
            "SETUP" if asked.target().splitn(4, '/').nth(3) != Some(&known[1..]) => {
                asked.refused("404 Not Found")
            }
            _ => asked.usual(),
        })
        .await;
        let (count, ended) = fake.run(3).await;
        assert_eq!(count, 3, "{known}: {ended:?}");
    }
}

#[tokio::test]
async fn an_announcement_of_other_parameter_sets_ends_the_connection() {
    let announce = |sdp: &str| {
        let head = "ANNOUNCE rtsp://x/live RTSP/1.0\r\nCSeq: 5\r\n";
        let length = sdp.len();
        format!("{head}Content-Length: {length}\r\n\r\n{sdp}")
    };
    for (sdp, is_other) in [
        (SDP.to_owned(), false),
        (SDP.replace("aMuDyyA=", "aO4="), true),
        (SDP.replace("sprop", "x"), false),
    ] {
        let mut fake = Fake::start(move |asked| match asked.method() {
            "PLAY" => asked.usual().then(announce(&sdp).as_bytes()),
            _ => asked.usual(),
        })
        .await;
        let ended = fake.run(9).await.1.unwrap_err();
        assert_eq!(ended.reason == GapReason::Disconnected, is_other);
    }
}

#[tokio::test]
async fn a_camera_that_sends_its_clients_elsewhere_is_followed_once() {
    let mut fake = Fake::start(|asked| match (asked.method(), asked.connection) {
        ("PLAY", 1) => asked
            .usual()
            .then(b"REDIRECT rtsp://x/live RTSP/1.0\r\nCSeq: 5\r\nLocation: /other\r\n\r\n"),
        _ => asked.usual(),
    })
    .await;
    assert_eq!(
        fake.run(9).await.1.unwrap_err().reason,
        GapReason::Disconnected
    );
    for _ in 0..2 {
        fake.run(3).await.1.unwrap();
    }
    let asked = fake.asked();
    let described = asked.iter().filter(|asked| asked.method() == "DESCRIBE");
    let paths = described.map(|asked| asked.target().rsplit('/').next().unwrap());
    assert_eq!(paths.collect::<Vec<_>>(), ["live", "other", "live"]);
}

#[tokio::test]
async fn what_a_camera_says_each_time_ends_one_connection_only() {
    let announces: React = |asked| match asked.method() {
        "PLAY" => {
            let sdp = SDP.replace("aMuDyyA=", "aO4=");
            let head = "ANNOUNCE rtsp://x/live RTSP/1.0\r\nCSeq: 5\r\n";
            let length = format!("Content-Length: {}\r\n\r\n", sdp.len());
            let answer = asked.refused("200 OK").then(&pictures(0, 0..3));
            answer
                .then((head.to_owned() + &length + &sdp).as_bytes())
                .then(&pictures(0, 3..5))
        }
        _ => asked.usual(),
    };
    let redirects: React = |asked| match asked.method() {
        "PLAY" => asked
            .refused("200 OK")
            .then(&pictures(0, 0..3))
            .then(b"REDIRECT rtsp://x/live RTSP/1.0\r\nCSeq: 5\r\nLocation: /other\r\n\r\n")
            .then(&pictures(0, 3..5)),
        _ => asked.usual(),
    };
    for react in [announces, redirects] {
        let mut fake = Fake::start(react).await;
        for pictures in [3, 5, 5] {
            let (count, ended) = fake.run(6).await;
            assert_eq!(count, pictures, "{ended:?}");
        }
    }
}

#[tokio::test]
async fn a_redirect_to_the_same_url_is_followed_once() {
    let redirect = |asked: &Asked| {
        let location = format!("Location: {}\r\n", asked.target());
        asked.answer("302 Found", &location, "").closing()
    };
    let mut fake = Fake::start(move |asked| match asked.method() {
        "DESCRIBE" if asked.connection == 1 => redirect(asked),
        _ => asked.usual(),
    })
    .await;
    let (count, ended) = fake.run(3).await;
    assert_eq!(count, 3, "{ended:?}");
    let mut fake = Fake::start(move |asked| match asked.method() {
        "DESCRIBE" => redirect(asked),
        _ => asked.usual(),
    })
    .await;
    let ended = fake.run(3).await.1.unwrap_err();
    assert_eq!(ended.reason, GapReason::BadResponse);
    assert_eq!(fake.asked().last().unwrap().connection, 2);
}

#[tokio::test]
async fn what_is_no_description_of_a_medium_is_quoted() {
    for (body, quoted) in [
        ("<html>login</html>", "but: \"<html>login</html>\""),
        ("v=0\r\ns=cam", "but: \"v=0"),
        ("v=0\r\nm=audio 0 RTP/AVP 0\r\n", "but: audio "),
        (" ", "but: nothing"),
    ] {
        let mut fake = Fake::start(move |asked| match asked.method() {
            "DESCRIBE" => asked.answer("200 OK", "Content-Type: text/html\r\n", body),
            _ => asked.usual(),
        })
        .await;
        let ended = fake.run(3).await.1.unwrap_err();
        assert_eq!(ended.reason, GapReason::NotVideo);
        assert!(ended.detail.contains(quoted), "{}", ended.detail);
    }
}

#[tokio::test]
async fn a_digest_that_is_not_known_is_not_said_to_be_none() {
    let mut fake = Fake::start(|asked| {
        let challenge = "WWW-Authenticate: Digest realm=\"x\", nonce=\"y\", algorithm=SHA-999\r\n";
        asked.answer("401 Unauthorized", challenge, "")
    })
    .await;
    fake.camera.password = Some(Password::new("secret".to_owned()));
    let ended = fake.run(3).await.1.unwrap_err();
    let reason = "neither Basic nor a Digest that is known";
    assert!(ended.detail.contains(reason), "{}", ended.detail);
}

#[tokio::test]
async fn credentials_that_are_out_of_date_are_not_repeated_whatever_the_camera_says_to_them() {
    let challenge = |asked: &Asked| {
        let nonce = asked.connection;
        let field = format!("WWW-Authenticate: Digest realm=\"x\", nonce=\"n{nonce}\"\r\n");
        asked.answer("401 Unauthorized", &field, "")
    };
    for status in ["400 x", "401 x", "403 x", "closes"] {
        let mut fake = Fake::start(move |asked| {
            let nonce = format!("nonce=\"n{}\"", asked.connection);
            match asked.field("authorization") {
                _ if asked.method() == "OPTIONS" => asked.usual(),
                None => challenge(asked),
                Some(answer) if answer.contains(&nonce) => asked.usual(),
                Some(_) if status == "closes" => Reply::from("").closing(),
                Some(_) => asked.refused(status),
            }
        })
        .await;
        fake.camera.password = Some(Password::new("secret".to_owned()));
        for _ in 0..2 {
            let (count, ended) = fake.run(3).await;
            assert_eq!(count, 3, "{status}: {ended:?}");
        }
    }
}

#[tokio::test]
async fn a_camera_that_refuses_options_for_want_of_a_login_is_asked_for_its_description() {
    let mut fake = Fake::start(|asked| match asked.method() {
        "OPTIONS" => asked.refused("401 Unauthorized"),
        _ => asked.usual(),
    })
    .await;
    let (count, ended) = fake.run(3).await;
    assert_eq!(count, 3, "{ended:?}");
}

#[tokio::test]
async fn a_camera_that_gets_sha_256_wrong_has_md5_from_then_on() {
    let mut fake = Fake::start(|asked| {
        let nonce = format!("nonce=\"n{}\"", asked.connection);
        match asked.field("authorization") {
            Some(answer) if answer.contains(&nonce) && answer.contains("algorithm=MD5") => {
                asked.usual()
            }
            _ => {
                let challenges = ["SHA-256", "MD5"].map(|name| {
                    format!("WWW-Authenticate: Digest realm=\"x\", {nonce}, algorithm={name}\r\n")
                });
                let basic = "WWW-Authenticate: Basic realm=\"x\"\r\n";
                asked.answer("401 Unauthorized", &(challenges.concat() + basic), "")
            }
        }
    })
    .await;
    fake.camera.password = Some(Password::new("secret".to_owned()));
    for _ in 0..2 {
        let (count, ended) = fake.run(3).await;
        assert_eq!(count, 3, "{ended:?}");
    }
    let asked = fake.asked();
    let answers = |part: &str| {
        let answers = asked
            .iter()
            .filter_map(|asked| asked.field("authorization"));
        answers.filter(|answer| answer.contains(part)).count()
    };
    assert_eq!((answers("SHA-256"), answers("Basic")), (1, 0));
}

#[tokio::test]
async fn what_came_just_before_a_stop_is_handed_out() {
    let mut fake = Fake::start(Asked::usual).await;
    let mut source = RtspSource::new(&fake.camera);
    let mut deliveries = Vec::new();
    source.connect(&mut fake.memory).await.unwrap();
    source.settle(&mut deliveries);
    source.close(&mut fake.memory).await;
    assert!(
        deliveries
            .iter()
            .all(|one| matches!(one, Delivery::Picture(_)))
    );
    assert_eq!(deliveries.len(), 3);
}

#[tokio::test]
async fn a_stall_says_that_the_size_of_jpegs_is_not_known() {
    let mut fake = Fake::start(|asked| match asked.method() {
        "DESCRIBE" => asked.answer("200 OK", "", "m=video 0 RTP/AVP 26\r\n"),
        "PLAY" => {
            let header = [0x80, 0x9a, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7];
            let jpeg = [0, 0, 0, 0, 1, 50, 0, 0, 1, 2, 3, 4];
            let packet = interleaved(0, &[&header[..], &jpeg].concat());
            asked.refused("200 OK").then(&packet)
        }
        _ => asked.usual(),
    })
    .await;
    let ended = fake.run(1).await.1.unwrap_err();
    let why = "1 JPEGs of a type or size that is not said";
    assert!(ended.detail.contains(why), "{}", ended.detail);
}
