//! The cameras of a load in H.264: requests of RTSP answered (RFC 2326), and frames in RTP packets that are made beforehand but for their
//! headers. Not for which camera is due.

use std::time::{SystemTime, UNIX_EPOCH};

/// Payload bytes in a packet, at most: what fits into an Ethernet frame.
const PACKET_BYTES: usize = 1_400;
/// Every so many frames is a keyframe.
const GOP: usize = 50;
/// Ticks of RTP time in a millisecond.
const TICKS: u64 = 90;
/// From 1900 (NTP) to 1970, seconds.
const NTP_TO_UNIX: u64 = 2_208_988_800;
/// Of 640 × 480 pixels; with the picture parameter set that belongs to it.
const SPS: &[u8] = b"\x67\x42\xc0\x1f\xd9\x00\xa0\x2f\xf9\x70\x11\x00\x00\x03\x00\x01\x00\x00\x03\x00\x32\x0f\x18\x32\x48";
const PPS: &[u8] = b"\x68\xcb\x83\xcb\x20";
const SDP: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=camera\r\nt=0 0\r\na=control:*\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
    a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z0LAH9kAoC/5cBEAAAMAAQAAAwAyDxgySA==,aMuDyyA=\r\na=control:track1\r\n";

/// The frames of all cameras.
pub struct Film {
    key: Vec<Frame>,
    other: Vec<Frame>,
}

/// A frame as interleaved packets, with nothing in their headers that changes.
struct Frame {
    bytes: Vec<u8>,
    /// Where each packet's RTP header begins.
    headers: Vec<usize>,
}

impl Film {
    /// Frames of so many bytes and this many variants.
    pub fn new(frame_bytes: usize, variants: usize) -> Self {
        let film = |is_key| {
            let variants = 0..variants as u64;
            variants.map(move |seed| Frame::new(frame_bytes, seed, is_key))
        };
        Self {
            key: film(true).collect(),
            other: film(false).collect(),
        }
    }
}

impl Frame {
    fn new(bytes: usize, seed: u64, is_key: bool) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let head: &[u8] = match is_key {
            true => b"\x65\x88\x84",
            false => b"\x41\x9a\x21",
        };
        // Bytes of which no start code can be made.
        let body = std::iter::repeat_with(|| rng.u8(4..)).take(bytes - head.len());
        let slice: Vec<u8> = head.iter().copied().chain(body).collect();
        let mut frame = Self {
            bytes: Vec::new(),
            headers: Vec::new(),
        };
        if is_key {
            frame.packet(&[SPS], false);
            frame.packet(&[PPS], false);
        }
        // FU-A (RFC 6184 §5.8).
        let pieces: Vec<&[u8]> = slice[1..].chunks(PACKET_BYTES).collect();
        let last = pieces.len() - 1;
        for (at, piece) in pieces.into_iter().enumerate() {
            let fragment = slice[0] & 0x1f | u8::from(at == 0) << 7 | u8::from(at == last) << 6;
            frame.packet(&[&[slice[0] & 0xe0 | 28, fragment], piece], at == last);
        }
        frame
    }

    fn packet(&mut self, payload: &[&[u8]], marker: bool) {
        let payload = payload.concat();
        let length = (12 + payload.len() as u16).to_be_bytes();
        self.bytes.extend([b'$', 0, length[0], length[1]]);
        self.headers.push(self.bytes.len());
        self.bytes.extend([0x80, 96 | u8::from(marker) << 7]);
        self.bytes.extend([0; 10]);
        self.bytes.extend(payload);
    }
}

/// What goes over one connection.
#[derive(Default)]
pub struct Stream {
    heard: Vec<u8>,
    sequence: u16,
    ssrc: u32,
    frames: usize,
}

impl Stream {
    /// Takes what was received, and appends the answers: whether that began the stream.
    pub fn hear(&mut self, received: &[u8], answers: &mut Vec<u8>) -> bool {
        let mut begins = false;
        self.heard.extend_from_slice(received);
        loop {
            if let [b'$', _, high, low, ..] = self.heard[..] {
                let length = 4 + usize::from(u16::from_be_bytes([high, low]));
                if self.heard.len() < length {
                    return begins;
                }
                self.heard.drain(..length);
                continue;
            }
            let Some(end) = memchr::memmem::find(&self.heard, b"\r\n\r\n") else {
                return begins;
            };
            let request: Vec<u8> = self.heard.drain(..end + 4).collect();
            let request = String::from_utf8_lossy(&request);
            begins |= request.starts_with("PLAY ");
            answers.extend(answer(&request).into_bytes());
        }
    }

    /// The next frame, of now.
    pub fn write_frame(&mut self, film: &Film, at: usize, out: &mut Vec<u8>) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        // RTP time wraps.
        let rtp_time = (now.as_millis() as u64 * TICKS) as u32;
        let is_key = self.frames.is_multiple_of(GOP);
        let frames = if is_key { &film.key } else { &film.other };
        if self.frames == 0 {
            self.ssrc = 0x1234_5678 + at as u32;
        }
        if is_key {
            self.write_report(now.as_millis() as u64, rtp_time, out);
        }
        let frame = &frames[(at + self.frames) % frames.len()];
        let begin = out.len();
        out.extend_from_slice(&frame.bytes);
        for header in &frame.headers {
            let header = &mut out[begin + header..][..12];
            header[2..4].copy_from_slice(&self.sequence.to_be_bytes());
            header[4..8].copy_from_slice(&rtp_time.to_be_bytes());
            header[8..].copy_from_slice(&self.ssrc.to_be_bytes());
            self.sequence = self.sequence.wrapping_add(1);
        }
        self.frames += 1;
    }

    /// A sender report (RFC 3550 §6.4.1).
    fn write_report(&self, unix_ms: u64, rtp_time: u32, out: &mut Vec<u8>) {
        out.extend(b"$\x01\x00\x1c\x80\xc8\x00\x06");
        let seconds = (unix_ms / 1000 + NTP_TO_UNIX) as u32;
        let fraction = (((unix_ms % 1000) << 32) / 1000) as u32;
        for word in [self.ssrc, seconds, fraction, rtp_time, 0, 0] {
            out.extend(word.to_be_bytes());
        }
    }
}

fn answer(request: &str) -> String {
    let field = |name: &str| {
        let lines = request.lines().filter_map(|line| line.split_once(':'));
        let mut found = lines.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        found.next().map_or("", |(_, value)| value.trim())
    };
    let body = if request.starts_with("DESCRIBE ") {
        SDP
    } else {
        ""
    };
    let lines = match request.split(' ').next() {
        Some("OPTIONS") => "Public: OPTIONS, DESCRIBE, SETUP, TEARDOWN, PLAY, GET_PARAMETER\r\n",
        Some("DESCRIBE") => "Content-Type: application/sdp\r\n",
        Some("SETUP") => {
            "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 4711;timeout=60\r\n"
        }
        _ => "Session: 4711\r\n",
    };
    format!(
        "RTSP/1.0 200 OK\r\nCSeq: {}\r\n{lines}Content-Length: {}\r\n\r\n{body}",
        field("cseq"),
        body.len()
    )
}
