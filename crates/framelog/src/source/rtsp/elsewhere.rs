//! Packets on channels that nobody agreed on (camera-quirks row 87), held until it is known whether they are ours: those of an old session
//! come like that too (row 88). Not for those that come where they should.

use std::time::Duration;

use framelog_core::rtsp::message::Packet;
use tokio::time::Instant;

/// After so long without a packet where the camera said that they would be, those elsewhere are taken for ours.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many bytes of packets are held: a second of the largest streams.
const BYTES_MAX: usize = 4 << 20;

/// See the module.
#[derive(Debug)]
pub struct Elsewhere {
    since: Instant,
    held: Vec<Packet>,
    bytes: usize,
}

impl Elsewhere {
    /// From now on.
    pub fn new() -> Self {
        Self {
            since: Instant::now(),
            held: Vec::new(),
            bytes: 0,
        }
    }

    /// Takes a packet, with whether it is RTP of the medium's kind. If that shows where ours come: the channels, and what came on them.
    pub fn take(&mut self, packet: Packet, is_own: bool) -> Option<((u8, u8), Vec<Packet>)> {
        let first = packet.channel;
        self.bytes += size_of::<Packet>() + packet.payload.len();
        if self.bytes <= BYTES_MAX {
            self.held.push(packet);
        }
        if !is_own || self.since.elapsed() <= PATIENCE {
            return None;
        }
        let channels = (first, first.wrapping_add(1));
        let mut held = std::mem::take(&mut self.held);
        held.retain(|packet| [channels.0, channels.1].contains(&packet.channel));
        Some((channels, held))
    }

    /// Ours come where they should.
    pub fn forget(&mut self) {
        self.held = Vec::new();
    }
}
