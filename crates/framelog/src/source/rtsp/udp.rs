//! The two sockets that a medium's packets come to as datagrams: RTP and RTCP. Not for what is in them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use framelog_core::rtsp::message::Packet;
use tokio::net::UdpSocket;

use crate::wall;

/// Where the ports are looked for: above those of services, below those that systems hand out for connections.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// How many pairs are tried.
const TRIES: usize = 100;
/// The longest datagram there is.
const DATAGRAM_BYTES_MAX: usize = 64 << 10;
/// What is allocated when a buffer is used up. Many datagrams share one.
const BUFFER_BYTES: usize = 256 << 10;
/// What the system is asked to hold while we are busy: a large keyframe comes in one burst.
const SOCKET_BYTES: usize = 2 << 20;
/// So long nothing must have come from where it should before packets are taken from elsewhere: a box with two addresses may send from the other.
const ELSEWHERE_TIME: Duration = Duration::from_secs(1);
/// A packet without payload: its way out lets the camera's packets in through a router.
const PUNCH: [u8; 12] = [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// The channel numbers that packets are handed out with.
pub const CHANNELS: (u8, u8) = (0, 1);

/// See the module.
#[derive(Debug)]
pub struct Ports {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    buffer: BytesMut,
    /// How many bytes came, since that was asked last.
    received: usize,
    /// Who may send; others have no say in what is recorded.
    from: Vec<IpAddr>,
    /// Since when they have been waited for.
    expected: Option<Instant>,
    /// One of them has sent something.
    is_found: bool,
    /// As the camera says, else as its first packet shows.
    to: Option<(SocketAddr, SocketAddr)>,
}

impl Ports {
    /// Opens an even port and the next (RFC 3550 §11) on this address of ours.
    ///
    /// # Errors
    ///
    /// The system's word on the last pair that was tried.
    pub async fn open(local: IpAddr) -> io::Result<Self> {
        let mut failed = io::ErrorKind::AddrInUse.into();
        for _ in 0..TRIES {
            let port = fastrand::u16(PORTS) & !1;
            let pair = async {
                let rtp = UdpSocket::bind((local, port)).await?;
                Ok((rtp, UdpSocket::bind((local, port + 1)).await?))
            };
            match pair.await {
                Ok((rtp, rtcp)) => {
                    // What the system grants is enough, or is not: there is no remedy here.
                    let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&rtp, SOCKET_BYTES);
                    return Ok(Self {
                        rtp,
                        rtcp,
                        buffer: BytesMut::new(),
                        received: 0,
                        from: Vec::new(),
                        expected: None,
                        is_found: false,
                        to: None,
                    });
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// Their numbers.
    pub fn numbers(&self) -> io::Result<(u16, u16)> {
        Ok((
            self.rtp.local_addr()?.port(),
            self.rtcp.local_addr()?.port(),
        ))
    }

    /// Takes packets from these addresses only, and knows the camera's ports if those are given.
    pub fn expect(&mut self, camera: IpAddr, source: Option<IpAddr>, ports: Option<(u16, u16)>) {
        self.from = [Some(camera), source]
            .into_iter()
            .flatten()
            .map(|ip| ip.to_canonical())
            .collect();
        let ip = source
            .filter(|ip| !ip.is_unspecified() && ip.is_ipv4() == camera.is_ipv4())
            .unwrap_or(camera);
        self.to = ports.map(|(rtp, rtcp)| ((ip, rtp).into(), (ip, rtcp).into()));
    }

    /// Sends a report, and a packet that opens the way for others through a router. Neither is worth an error.
    pub fn report(&self, report: &[u8]) {
        if let Some((rtp, rtcp)) = self.to {
            let _ = self.rtp.try_send_to(&PUNCH, rtp);
            let _ = self.rtcp.try_send_to(report, rtcp);
        }
    }

    /// How many bytes came since this was asked last, from whomever.
    pub fn take_received(&mut self) -> usize {
        std::mem::take(&mut self.received)
    }

    /// The next packet from the camera.
    pub fn poll_packet(&mut self, cx: &mut Context<'_>) -> Poll<Packet> {
        self.expected.get_or_insert_with(Instant::now);
        loop {
            if self.buffer.capacity() < DATAGRAM_BYTES_MAX {
                self.buffer.reserve(BUFFER_BYTES);
            }
            let (channel, from) = match poll_datagram(&self.rtcp, &mut self.buffer, cx) {
                Poll::Ready(from) => (CHANNELS.1, from),
                Poll::Pending => (
                    CHANNELS.0,
                    ready!(poll_datagram(&self.rtp, &mut self.buffer, cx)),
                ),
            };
            let payload = self.buffer.split().freeze();
            self.received += payload.len();
            // An error is news of a port that is closed at the camera: silence will tell.
            if let Ok(from) = from
                && self.takes_from(from.ip().to_canonical(), channel, &payload)
            {
                self.is_found = true;
                if channel == CHANNELS.0 {
                    self.to.get_or_insert((from, next_port(from)));
                }
                return Poll::Ready(Packet {
                    channel,
                    payload,
                    received_us: wall::now_us(),
                });
            }
        }
    }

    fn takes_from(&mut self, ip: IpAddr, channel: u8, packet: &[u8]) -> bool {
        if self.from.contains(&ip) {
            return true;
        }
        let is_rtp = channel == CHANNELS.0 && packet.first().is_some_and(|first| first >> 6 == 2); // RFC 3550 §5.1
        let is_late = self
            .expected
            .is_some_and(|since| since.elapsed() >= ELSEWHERE_TIME);
        let takes = is_rtp && is_late && !self.is_found;
        if takes {
            tracing::info!(address = %ip, "packets come from another address than the camera's");
            self.from.push(ip);
        }
        takes
    }
}

/// That of RTCP (RFC 3550 §11).
fn next_port(rtp: SocketAddr) -> SocketAddr {
    SocketAddr::new(rtp.ip(), rtp.port().saturating_add(1))
}

fn poll_datagram(
    socket: &UdpSocket,
    buffer: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<SocketAddr>> {
    loop {
        match socket.try_recv_buf_from(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                ready!(socket.poll_recv_ready(cx))?
            }
            received => return Poll::Ready(received.map(|(_, from)| from)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn a_camera_that_names_no_ports_gets_its_reports_next_to_where_its_packets_come_from() {
        let local = IpAddr::from([127, 0, 0, 1]);
        let camera = Ports::open(local).await.unwrap();
        let mut ours = Ports::open(local).await.unwrap();
        ours.expect(local, None, None);
        ours.report(b"too early");
        let (to, _) = ours.numbers().unwrap();
        camera.rtp.send_to(b"packet", (local, to)).await.unwrap();
        let packet = poll_fn(|cx| ours.poll_packet(cx)).await;
        assert_eq!(&packet.payload[..], b"packet");
        ours.report(b"report");
        let mut report = [0; 20];
        let length = camera.rtcp.recv(&mut report).await.unwrap();
        assert_eq!(&report[..length], b"report");
    }

    #[tokio::test]
    async fn packets_from_another_address_are_taken_where_none_come_from_the_cameras() {
        let [local, other] = [1, 2].map(|last| IpAddr::from([127, 0, 0, last]));
        let camera = Ports::open(local).await.unwrap();
        let elsewhere = Ports::open(other).await.unwrap();
        for is_silent in [true, false] {
            let mut ours = Ports::open(IpAddr::from([0, 0, 0, 0])).await.unwrap();
            ours.expect(local, None, None);
            let to = (local, ours.numbers().unwrap().0);
            elsewhere.rtp.send_to(b"\x80 early", to).await.unwrap();
            if !is_silent {
                camera.rtp.send_to(b"\x80 its own", to).await.unwrap();
            }
            let mut packets = Vec::new();
            let taken = async {
                loop {
                    let packet = poll_fn(|cx| ours.poll_packet(cx)).await;
                    packets.push(packet.payload);
                }
            };
            let sent = async {
                tokio::time::sleep(ELSEWHERE_TIME).await;
                elsewhere.rtp.send_to(b"no packet", to).await.unwrap();
                elsewhere.rtp.send_to(b"\x80 late", to).await.unwrap();
                tokio::time::sleep(Duration::from_millis(100)).await;
            };
            tokio::select! {
                () = taken => {}
                () = sent => {}
            }
            let expected: &[u8] = match is_silent {
                true => b"\x80 late",
                false => b"\x80 its own",
            };
            assert_eq!(packets, [expected]);
        }
    }
}
