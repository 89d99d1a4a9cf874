//! RTP as datagrams: order, loss, strangers, and cameras that refuse TCP.

use std::io;

use tokio::net::UdpSocket;

use super::cases;
use super::plan::{FRAMES, Plan};
use super::rtsp::{every_session_is_ended, once};
use crate::support::rtsp::{Stage, answer};

/// A camera's two ports, and the recorder's.
struct Ports {
    rtp: UdpSocket,
    _rtcp: UdpSocket,
    to: (&'static str, u16),
}

impl Ports {
    async fn open(wanted: &str) -> io::Result<(Self, String)> {
        let ports = wanted.split("client_port=").nth(1).unwrap_or_default();
        let to = ports
            .split(['-', ';'])
            .next()
            .and_then(|port| port.parse().ok())
            .unwrap_or(0);
        let (rtp, rtcp) = (
            UdpSocket::bind("127.0.0.1:0").await?,
            UdpSocket::bind("127.0.0.1:0").await?,
        );
        let line = format!(
            "Transport: RTP/AVP;unicast;client_port={ports};server_port={}-{}\r\nSession: 4711\r\n",
            rtp.local_addr()?.port(),
            rtcp.local_addr()?.port()
        );
        Ok((
            Self {
                rtp,
                _rtcp: rtcp,
                to: ("127.0.0.1", to),
            },
            line,
        ))
    }

    async fn send(&self, packets: &[Vec<u8>]) -> io::Result<()> {
        for packet in packets {
            self.rtp.send_to(packet, self.to).await?;
        }
        Ok(())
    }
}

/// Everything up to the answer to PLAY, datagrams agreed on; a SETUP for anything else is refused.
async fn begin(stage: &mut Stage) -> io::Result<Ports> {
    let mut ports = None;
    loop {
        let request = stage.request().await?;
        let wanted = request.field("transport").unwrap_or_default().to_owned();
        let bytes = match request.method() {
            "SETUP" if !wanted.contains("client_port") => {
                answer(&request, "461 Unsupported Transport", "", "")
            }
            "SETUP" => {
                let (opened, line) = Ports::open(&wanted).await?;
                ports = Some(opened);
                answer(&request, "200 OK", &line, "")
            }
            _ => stage.acceptance(&request),
        };
        stage.camera.send(bytes).await?;
        if request.method() == "PLAY"
            && let Some(ports) = ports.take()
        {
            return Ok(ports);
        }
    }
}

/// How the packets of a picture leave: which, in which order, how often.
type Way = fn(Vec<Vec<u8>>) -> Vec<Vec<u8>>;

/// A camera whose second picture takes this way; the others go as they are. `torn`: it can't be put together.
fn sent(way: Way, torn: bool) -> Plan {
    once(move |mut stage| async move {
        let ports = begin(&mut stage).await?;
        for number in 0..FRAMES {
            let (packets, shot) = stage.encoder.picture(number < 2);
            let (packets, shot) = match number {
                1 if torn => (way(packets), shot.torn()),
                1 => (way(packets), shot),
                _ => (packets, shot),
            };
            ports.send(&packets).await?;
            stage.camera.deliver([], shot).await?;
            stage.camera.wait(150).await;
        }
        stage.end().await
    })
    .key("transport", "\"udp\"")
    .check(every_session_is_ended)
    .connections(1..=1)
}

cases! {
    udp_plain => sent(|packets| packets, false);
    udp_where_tcp_is_refused => {
        let mut plan = sent(|packets| packets, false);
        plan.keys.retain(|key| !key.starts_with("transport"));
        plan
    };
    udp_doubled => sent(|packets| packets.iter().flat_map(|packet| [packet.clone(), packet.clone()]).collect(), false);
    udp_reordered => sent(|mut packets| {
        packets.swap(1, 3);
        packets
    }, false);
    udp_last_packet_first => sent(|mut packets| {
        packets.rotate_right(1);
        packets
    }, false);
    udp_lost => sent(|mut packets| {
        packets.remove(3);
        packets
    }, true);
    udp_last_packet_lost => sent(|mut packets| {
        packets.pop();
        packets
    }, true);
    udp_nothing_comes => once(|mut stage| async move {
        let _ports = begin(&mut stage).await?;
        stage.end().await
    })
    .key("transport", "\"udp\"")
    .key("stall_timeout", "\"3 s\"")
    .frames(0)
    .must(&["stalled"])
    .may(&["bad_response"])
    .check(every_session_is_ended);
}
