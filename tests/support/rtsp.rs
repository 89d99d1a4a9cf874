//! The camera's side of RTSP, for scripts: requests answered, and H.264 or H.265 in RTP packets, made here and not by the program under test.

use std::io;
use std::time::Instant;

use fastrand::Rng;

use super::camera::{Clock, Connection, Request, Shot};

/// Of 640 × 480 pixels; with the picture parameter set that belongs to it.
pub const SPS: &[u8] = b"\x67\x42\xc0\x1f\xd9\x00\xa0\x2f\xf9\x70\x11\x00\x00\x03\x00\x01\x00\x00\x03\x00\x32\x0f\x18\x32\x48";
/// See [`SPS`].
pub const PPS: &[u8] = b"\x68\xcb\x83\xcb\x20";
/// The same in base64, as a description has them.
pub const SPROP: &str = "Z0LAH9kAoC/5cBEAAAMAAQAAAwAyDxgySA==,aMuDyyA=";

/// How the slice of a keyframe begins: it is the whole picture.
pub const KEY_SLICE: &[u8] = b"\x65\x88\x84";
/// The same of any other picture.
pub const SLICE: &[u8] = b"\x41\x9a\x21";

/// H.265 of 642 × 358 pixels: video, sequence and picture parameter set.
pub const SETS_H265: [&[u8]; 3] = [
    b"\x40\x01\x0c\x01\xff\xff\x01\x60\x00\x00\x03\x00\x90\x00\x00\x03\x00\x00\x03\x00\x3f\x95\x98\x09",
    b"\x42\x01\x01\x01\x60\x00\x00\x03\x00\x90\x00\x00\x03\x00\x00\x03\x00\x3f\xa0\x05\x12\x01\x69\xc9\x59\x65\x66\x92\x4c\xaf\x01\x68\x08\x00\x00\x03\x00\x08\x00\x00\x03\x00\xc8\x40",
    b"\x44\x01\xc1\x72\xb4\x62\x40",
];

/// Payload bytes in a packet, at most: few, because in one mode each byte is a write of its own.
const PACKET_BYTES: usize = 90;
/// Ticks of RTP time in a tenth of a second.
pub const TICKS: u32 = 9_000;

/// A description of H.264, with the parameter sets.
pub fn sdp() -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=camera\r\nt=0 0\r\na=control:*\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
         a=fmtp:96 packetization-mode=1;sprop-parameter-sets={SPROP}\r\na=control:track1\r\n"
    )
}

/// A description of H.265, without parameter sets.
pub fn sdp_h265() -> String {
    sdp().replace("H264", "H265").replace(
        &format!("a=fmtp:96 packetization-mode=1;sprop-parameter-sets={SPROP}\r\n"),
        "",
    )
}

/// What pictures are coded as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// RFC 6184.
    H264,
    /// RFC 7798.
    H265,
}

impl Coding {
    /// How the slice of a keyframe begins, and that of any other picture: it is the whole picture.
    pub fn slices(self) -> [&'static [u8]; 2] {
        match self {
            Self::H264 => [KEY_SLICE, SLICE],
            Self::H265 => [b"\x26\x01\xaf\x08", b"\x02\x01\xd0\x21"],
        }
    }

    /// Its parameter sets.
    pub fn sets(self) -> Vec<Vec<u8>> {
        match self {
            Self::H264 => vec![SPS.to_vec(), PPS.to_vec()],
            Self::H265 => SETS_H265.map(<[u8]>::to_vec).to_vec(),
        }
    }

    /// Whether a NAL unit is a slice at which decoding may begin: IDR in H.264, IRAP in H.265.
    fn is_random_access(self, unit: &[u8]) -> bool {
        match self {
            Self::H264 => unit[0] & 0x1f == 5,
            Self::H265 => matches!(unit[0] >> 1 & 0x3f, 16..=23),
        }
    }

    /// A unit as payloads of packets: as it is, or cut into FU-A (RFC 6184 §5.8) or FU (RFC 7798 §4.4.3).
    fn fragments(self, unit: &[u8], packet_bytes: usize) -> Vec<Vec<u8>> {
        if unit.len() <= packet_bytes {
            return vec![unit.to_vec()];
        }
        let (header, kind) = match self {
            Self::H264 => (vec![unit[0] & 0xe0 | 28], unit[0] & 0x1f),
            Self::H265 => (vec![unit[0] & 0x81 | 49 << 1, unit[1]], unit[0] >> 1 & 0x3f),
        };
        let pieces: Vec<&[u8]> = unit[header.len()..].chunks(packet_bytes).collect();
        let last = pieces.len() - 1;
        let pieces = pieces.iter().enumerate().map(|(at, piece)| {
            let fragment = kind | u8::from(at == 0) << 7 | u8::from(at == last) << 6;
            [&header[..], &[fragment], piece].concat()
        });
        pieces.collect()
    }
}

/// An encoder of pictures that nobody decodes, and what puts them into packets.
#[derive(Debug)]
pub struct Encoder {
    rng: Rng,
    coding: Coding,
    /// Of the next packet.
    pub sequence: u16,
    /// Of the next picture.
    pub rtp_time: u32,
    /// Who sends.
    pub ssrc: u32,
    /// Of its packets.
    pub payload_type: u8,
    /// Payload bytes in a packet, at most.
    pub packet_bytes: usize,
    /// Whether the last packet of a picture says so.
    pub markers: bool,
    /// Sent before each keyframe.
    pub sets: Vec<Vec<u8>>,
    count: usize,
    /// When the last picture was made.
    last: Instant,
}

impl Encoder {
    /// Of H.264, with parameter sets before each keyframe.
    pub fn new(seed: u64) -> Self {
        Self::of(Coding::H264, seed)
    }

    /// With parameter sets before each keyframe.
    pub fn of(coding: Coding, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        Self {
            sequence: rng.u16(..),
            rtp_time: rng.u32(..),
            ssrc: rng.u32(1..),
            rng,
            coding,
            payload_type: 96,
            packet_bytes: PACKET_BYTES,
            markers: true,
            sets: coding.sets(),
            count: 0,
            last: Instant::now(),
        }
    }

    /// What DESCRIBE is answered with.
    pub fn sdp(&self) -> String {
        match self.coding {
            Coding::H264 => sdp(),
            Coding::H265 => sdp_h265(),
        }
    }

    /// The next picture, a keyframe every five.
    pub fn next(&mut self) -> (Vec<Vec<u8>>, Shot) {
        let is_key = self.count.is_multiple_of(5);
        self.count += 1;
        self.picture(is_key)
    }

    /// A picture: its packets, and what is to be stored of it.
    pub fn picture(&mut self, is_key: bool) -> (Vec<Vec<u8>>, Shot) {
        let slice = self.slice(is_key);
        let sets = if is_key {
            self.sets.clone()
        } else {
            Vec::new()
        };
        self.packed(&[sets, vec![slice]].concat())
    }

    /// A picture of these NAL units.
    pub fn packed(&mut self, units: &[Vec<u8>]) -> (Vec<Vec<u8>>, Shot) {
        // RTP time goes on as time does, also on a machine that is busy; in whole milliseconds.
        let elapsed = self.last.elapsed().as_millis().max(1);
        let ticks = u32::try_from(elapsed).unwrap_or(1).wrapping_mul(90);
        self.rtp_time = self.rtp_time.wrapping_add(ticks);
        self.last = Instant::now();
        (self.packets(units), self.shot(units))
    }

    /// The packets of a picture of these NAL units, at the present RTP time.
    pub fn packets(&mut self, units: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let cut = |unit: &Vec<u8>| self.coding.fragments(unit, self.packet_bytes);
        let payloads: Vec<Vec<u8>> = units.iter().flat_map(cut).collect();
        let last = payloads.len() - 1;
        payloads
            .iter()
            .enumerate()
            .map(|(at, payload)| self.packet(payload, self.markers && at == last))
            .collect()
    }

    /// An access unit of these NAL units, as it is to be stored: taken about when it is sent, whatever RTP time says.
    pub fn shot(&self, units: &[Vec<u8>]) -> Shot {
        let is_key = |unit: &Vec<u8>| self.coding.is_random_access(unit);
        Shot::new(&stored(units))
            .keyframe(units.iter().any(is_key))
            .at(Clock::Now)
    }

    /// A slice that is a picture of its own, of some packets.
    pub fn slice(&mut self, is_key: bool) -> Vec<u8> {
        let [key, other] = self.coding.slices();
        let head = if is_key { key } else { other };
        let length = self.rng.usize(if is_key { 300..500 } else { 60..250 });
        // Bytes of which no start code can be made.
        let body = std::iter::repeat_with(|| self.rng.u8(4..)).take(length);
        head.iter().copied().chain(body).collect()
    }

    /// One packet.
    pub fn packet(&mut self, payload: &[u8], marker: bool) -> Vec<u8> {
        let mut packet = vec![0x80, self.payload_type | u8::from(marker) << 7];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(self.rtp_time.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        packet.extend(payload);
        self.sequence = self.sequence.wrapping_add(1);
        packet
    }

    /// A sender report (RFC 3550 §6.4.1): the next picture is of this time.
    pub fn report(&self, unix_us: i64) -> Vec<u8> {
        let seconds =
            u32::try_from(unix_us / 1_000_000 + 2_208_988_800).expect("a time before 2036");
        let fraction = u32::try_from((unix_us % 1_000_000) * (1 << 32) / 1_000_000)
            .expect("less than a second");
        let mut report = vec![0x80, 200, 0, 6];
        for word in [self.ssrc, seconds, fraction, self.rtp_time, 0, 0] {
            report.extend(word.to_be_bytes());
        }
        report
    }
}

/// The NAL units of an access unit as it is stored: the reverse of [`stored`].
pub fn units(mut stored: &[u8]) -> Vec<Vec<u8>> {
    let mut units = Vec::new();
    while let Some((length, rest)) = stored.split_first_chunk() {
        let (unit, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        units.push(unit.to_vec());
        stored = rest;
    }
    units
}

/// Each unit behind its length.
pub fn stored(units: &[Vec<u8>]) -> Vec<u8> {
    let with_length = |unit: &Vec<u8>| {
        [
            &u32::try_from(unit.len())
                .expect("a small unit")
                .to_be_bytes()[..],
            unit,
        ]
        .concat()
    };
    units.iter().map(with_length).collect::<Vec<_>>().concat()
}

/// A packet as it goes over the connection.
pub fn interleaved(channel: u8, packet: &[u8]) -> Vec<u8> {
    let length = u16::try_from(packet.len()).expect("a packet").to_be_bytes();
    [&[b'$', channel][..], &length, packet].concat()
}

/// A camera that speaks RTSP, on one connection.
pub struct Stage {
    /// The connection.
    pub camera: Connection,
    /// Its pictures.
    pub encoder: Encoder,
    /// What DESCRIBE is answered with.
    pub sdp: String,
    /// Field lines of the answers, by method, each with its line end.
    pub lines: Vec<(&'static str, String)>,
    /// The channel of its packets.
    pub channel: u8,
    /// A request that was read when something else was expected.
    waiting: Option<Request>,
}

/// What a camera that does nothing odd says beside the description: field lines by method.
pub fn usual_lines() -> Vec<(&'static str, String)> {
    let lines = [
        (
            "OPTIONS",
            "Public: OPTIONS, DESCRIBE, SETUP, TEARDOWN, PLAY, GET_PARAMETER\r\n",
        ),
        ("DESCRIBE", "Content-Type: application/sdp\r\n"),
        (
            "SETUP",
            "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 4711;timeout=60\r\n",
        ),
        ("PLAY", "Session: 4711\r\n"),
    ];
    lines
        .map(|(method, lines)| (method, lines.to_owned()))
        .to_vec()
}

impl Stage {
    /// On a new connection.
    pub fn new(camera: Connection) -> Self {
        let seed = camera.random();
        Self {
            camera,
            encoder: Encoder::new(seed),
            sdp: sdp(),
            lines: usual_lines(),
            channel: 0,
            waiting: None,
        }
    }

    /// With these field lines in the answers to a method, in place of the usual ones.
    pub fn say(mut self, method: &'static str, lines: &str) -> Self {
        self.lines.retain(|(found, _)| *found != method);
        self.lines.push((method, lines.to_owned()));
        self
    }

    /// With this description.
    pub fn describe(mut self, sdp: impl Into<String>) -> Self {
        self.sdp = sdp.into();
        self
    }

    /// Reads a request; complains unless it is of this method.
    pub async fn expect(&mut self, method: &str) -> io::Result<Request> {
        let request = self.request().await?;
        if request.method() == "TEARDOWN" && method != "TEARDOWN" {
            // The recorder is told to stop.
            self.accept(&request).await?;
            return Err(io::ErrorKind::Interrupted.into());
        }
        if request.method() != method {
            self.camera
                .complain(format!("{} where {method} was due", request.method()));
        }
        Ok(request)
    }

    /// Reads a request.
    pub async fn request(&mut self) -> io::Result<Request> {
        match self.waiting.take() {
            Some(request) => Ok(request),
            None => self.camera.request().await,
        }
    }

    /// Answers a request as usual.
    pub async fn accept(&mut self, request: &Request) -> io::Result<()> {
        let answer = self.acceptance(request);
        self.camera.send(answer).await
    }

    /// The usual answer to a request.
    pub fn acceptance(&self, request: &Request) -> Vec<u8> {
        acceptance(request, &self.lines, &self.sdp)
    }

    /// Everything up to the answer to PLAY.
    pub async fn begin(&mut self) -> io::Result<()> {
        for method in ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"] {
            let request = self.expect(method).await?;
            self.accept(&request).await?;
        }
        Ok(())
    }

    /// Sends packets.
    pub async fn send(&mut self, packets: &[Vec<u8>]) -> io::Result<()> {
        self.camera.send(self.all_interleaved(packets)).await
    }

    /// Sends a picture's packets, and expects it in the index.
    pub async fn deliver(&mut self, (packets, shot): (Vec<Vec<u8>>, Shot)) -> io::Result<()> {
        self.camera
            .deliver(self.all_interleaved(&packets), shot)
            .await
    }

    fn all_interleaved(&self, packets: &[Vec<u8>]) -> Vec<u8> {
        let interleaved = |packet: &Vec<u8>| interleaved(self.channel, packet);
        packets.iter().map(interleaved).collect::<Vec<_>>().concat()
    }

    /// Sends so many pictures, 100 ms apart.
    pub async fn pictures(&mut self, count: usize) -> io::Result<()> {
        for _ in 0..count {
            let picture = self.encoder.next();
            self.deliver(picture).await?;
            self.camera.wait(100).await;
        }
        Ok(())
    }

    /// Silent, but for answers, until TEARDOWN or the end.
    pub async fn end(&mut self) -> io::Result<()> {
        loop {
            let request = self.request().await?;
            self.accept(&request).await?;
            if request.method() == "TEARDOWN" {
                return self.camera.hold().await;
            }
        }
    }
}

/// The answer to a request of a camera that says these lines, by method, and has this description.
pub fn acceptance(request: &Request, lines: &[(&str, String)], sdp: &str) -> Vec<u8> {
    let method = request.method();
    let of_method = lines.iter().find(|(found, _)| *found == method);
    let lines = of_method.map_or("", |(_, lines)| lines);
    let body = if method == "DESCRIBE" { sdp } else { "" };
    answer(request, "200 OK", lines, body)
}

/// An answer to a request.
pub fn answer(request: &Request, status: &str, lines: &str, body: &str) -> Vec<u8> {
    let cseq = request.field("cseq").unwrap_or_default();
    let length = if body.is_empty() {
        String::new()
    } else {
        format!("Content-Length: {}\r\n", body.len())
    };
    format!("RTSP/1.0 {status}\r\nCSeq: {cseq}\r\n{lines}{length}\r\n{body}").into_bytes()
}
