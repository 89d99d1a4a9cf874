//! How a camera of the fleet speaks: JPEGs in parts over HTTP, or H.264 or H.265 in packets over RTSP, on one connection.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::camera::{HEAD, Request};
use crate::support::rtsp::{Encoder, acceptance, interleaved, units, usual_lines};
use crate::support::{now_us, seconds};

use super::super::pictures::{Codec, Number, Pictures};

/// Payload bytes in a packet: what fits into an Ethernet frame.
const PACKET_BYTES: usize = 1_400;
/// Ticks of RTP time in a millisecond.
const TICKS: i64 = 90;

/// A connection to the recorder.
pub struct Wire {
    stream: TcpStream,
    /// What it has said that has not been answered.
    heard: Vec<u8>,
    rtsp: Option<Encoder>,
    /// The clock has been told: by a sender report, before the first packet.
    told: bool,
    /// The recorder has had enough.
    ended: bool,
}

impl Wire {
    /// Answers what the recorder asks, up to where it asks for pictures.
    pub async fn begin(stream: TcpStream, codec: Codec, seed: u64) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let mut wire = Self {
            stream,
            heard: Vec::new(),
            rtsp: codec.coding().map(|coding| Encoder::of(coding, seed)),
            told: false,
            ended: false,
        };
        if let Some(encoder) = &mut wire.rtsp {
            encoder.packet_bytes = PACKET_BYTES;
        }
        loop {
            if wire.stream.read_buf(&mut wire.heard).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            while let Some(request) = wire.next_request() {
                wire.answer(&request).await?;
                if matches!(request.method(), "GET" | "PLAY") {
                    return Ok(wire);
                }
            }
        }
    }

    /// Answers what has been asked since; false once the recorder has had enough.
    pub async fn is_wanted(&mut self) -> bool {
        self.ended |= match self.stream.try_read_buf(&mut self.heard) {
            Ok(read) => read == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        };
        while let Some(request) = self.next_request() {
            let answered = self.answer(&request).await;
            self.ended |= answered.is_err() || request.method() == "TEARDOWN";
        }
        !self.ended
    }

    /// Sends the picture of this number: its stamp.
    pub async fn send(&mut self, pictures: &Pictures, number: Number) -> io::Result<i64> {
        let picture = pictures.take(number);
        let now_us = now_us();
        let (stamp_us, bytes) = match &mut self.rtsp {
            None => (now_us, part(&picture, pictures.codec, now_us)),
            Some(encoder) => {
                // RTP time counts whole milliseconds exactly.
                let stamp_us = now_us / 1_000 * 1_000;
                let mut bytes = Vec::new();
                if !std::mem::replace(&mut self.told, true) {
                    let second_us = stamp_us / 1_000_000 * 1_000_000;
                    encoder.rtp_time = rtp_time(second_us);
                    bytes = interleaved(1, &encoder.report(second_us));
                }
                encoder.rtp_time = rtp_time(stamp_us);
                for packet in encoder.packets(&units(&picture)) {
                    bytes.extend(interleaved(0, &packet));
                }
                (stamp_us, bytes)
            }
        };
        self.stream.write_all(&bytes).await?;
        Ok(stamp_us)
    }

    /// Ends the connection well.
    pub async fn close(mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Ends it so that the recorder's kernel throws away what it has.
    pub fn reset(self) -> io::Result<()> {
        let lingers = Some(std::time::Duration::ZERO);
        Ok(rustix::net::sockopt::set_socket_linger(
            &self.stream,
            lingers,
        )?)
    }

    async fn answer(&mut self, request: &Request) -> io::Result<()> {
        let answer = match &self.rtsp {
            None => HEAD.as_bytes().to_vec(),
            Some(encoder) => acceptance(request, &usual_lines(), &encoder.sdp()),
        };
        self.stream.write_all(&answer).await
    }

    /// The next whole request, packets before it left out.
    fn next_request(&mut self) -> Option<Request> {
        while let [b'$', _, high, low, ..] = self.heard[..] {
            let length = 4 + usize::from(u16::from_be_bytes([high, low]));
            if self.heard.len() < length {
                return None;
            }
            self.heard.drain(..length);
        }
        let end = memchr::memmem::find(&self.heard, b"\r\n\r\n")? + 4;
        let head: Vec<u8> = self.heard.drain(..end).collect();
        Some(Request {
            head: String::from_utf8_lossy(&head).into_owned(),
        })
    }
}

/// A picture with what goes around it over HTTP.
fn part(picture: &[u8], codec: Codec, stamp_us: i64) -> Vec<u8> {
    let length = match codec {
        Codec::MjpegWithoutLength => String::new(),
        _ => format!("Content-Length: {}\r\n", picture.len()),
    };
    let head = format!(
        "--camframe\r\nContent-Type: image/jpeg\r\n{length}X-Timestamp: {}\r\n\r\n",
        seconds(stamp_us)
    );
    [head.as_bytes(), picture, b"\r\n"].concat()
}

/// The RTP time of a time in whole milliseconds; it wraps.
fn rtp_time(us: i64) -> u32 {
    (us / 1_000 * TICKS) as u32
}
