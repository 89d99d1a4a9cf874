//! H.264 and H.265 packets to access units. Not for their order, nor for their times.

use bytes::Bytes;

use super::assembly::Assembly;
use super::fragments::{Fragments, Units};
use super::piece_times::PieceTimes;
use super::reorder::InOrder;
use super::{Made, h264, h265};
use crate::frame::{Codec, Payload};
use crate::nal::split_annex_b;

/// See the module.
#[derive(Debug)]
pub(super) struct AccessUnits {
    codec: Codec,
    has_don: bool,
    fragments: Fragments,
    open: Open,
    piece_times: PieceTimes,
    assembly: Assembly,
}

/// The unit that comes in pieces.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    /// Of its first piece.
    rtp_time: u32,
    /// When its last piece arrived.
    received_us: i64,
    /// The last piece has a marker.
    marked: bool,
    /// One before it has.
    was_marked: bool,
}

impl AccessUnits {
    pub(super) fn new(codec: Codec, has_don: bool, described_sets: &[Bytes]) -> Self {
        Self {
            codec,
            has_don,
            fragments: Fragments::default(),
            open: Open::default(),
            piece_times: PieceTimes::default(),
            assembly: Assembly::new(codec, described_sets),
        }
    }

    pub(super) fn take(&mut self, arrived: InOrder, made: &mut Vec<Made>) {
        let InOrder {
            packet,
            received_us,
            after_loss,
        } = arrived;
        let rtp_time = packet.rtp_time;
        let payload = match self.codec {
            Codec::H265 => h265::unwrapped(packet.payload),
            _ => packet.payload,
        };
        let continues = match self.codec {
            Codec::H265 => h265::continues_unit(&payload),
            _ => h264::continues_unit(&payload),
        };
        match continues {
            true => self.piece_times.go_on(rtp_time),
            false => self.piece_times.begin(rtp_time),
        }
        // A unit's pieces have one RTP time: cameras drop packets before they number them.
        let is_of_another = continues
            && self.fragments.is_open()
            && rtp_time != self.open.rtp_time
            && !self.piece_times.differ();
        if after_loss || is_of_another {
            let torn = self.fragments.tear().then_some(self.open.rtp_time);
            self.assembly.lose(torn, Some(rtp_time), made);
        }
        if payload.is_empty() {
            // Padding, in the middle of whatever it pleases.
            return;
        }
        if !continues {
            self.end_unit(made);
        }
        self.assembly.begin_packet(rtp_time, made);
        if !self.fragments.is_open() {
            self.open.rtp_time = rtp_time;
        }
        self.open.received_us = received_us;
        self.open.was_marked = continues && (self.open.was_marked || self.open.marked);
        self.open.marked = packet.marker;
        let unit_time = if continues {
            self.open.rtp_time
        } else {
            rtp_time
        };
        let mut units = Units::new();
        let used = self.assembly.budget();
        let fragments = &mut self.fragments;
        let unpacked = match self.codec {
            Codec::H265 => h265::unpack(payload, self.has_don, used, fragments, &mut units),
            _ => h264::unpack(payload, used, fragments, &mut units),
        };
        for unit in units {
            self.add(unit, unit_time, received_us, made);
        }
        if let Err(broken) = unpacked {
            self.assembly.spoil(broken, rtp_time);
        }
        if packet.marker && !self.fragments.is_open() {
            self.assembly.mark(made);
        }
    }

    /// Whether the end of an access unit may be here already.
    pub(super) fn holds_picture(&self, long: bool) -> bool {
        self.assembly.holds_picture(long)
    }

    /// Nothing has come for a while.
    pub(super) fn settle(&mut self, long: bool, made: &mut Vec<Made>) {
        if !self.fragments.is_open() {
            self.assembly.settle(long, made);
        }
    }

    /// Nothing more of this stream comes.
    pub(super) fn finish(&mut self, made: &mut Vec<Made>) {
        if self.fragments.is_open() && !self.open.marked {
            let torn = self.fragments.tear().then_some(self.open.rtp_time);
            self.assembly.lose(torn, None, made);
        }
        self.end_unit(made);
        self.assembly.finish(made);
    }

    /// A unit whose last piece was not marked as such has ended: another begins.
    fn end_unit(&mut self, made: &mut Vec<Made>) {
        let Open {
            rtp_time,
            received_us,
            marked,
            was_marked,
        } = self.open;
        let ends_picture = marked && !was_marked && self.assembly.has_good_markers();
        match self.fragments.end(ends_picture) {
            Some(Ok(unit)) => self.add(unit, rtp_time, received_us, made),
            Some(Err(_)) => self.assembly.lose(Some(rtp_time), None, made),
            None => return,
        }
        if marked {
            self.assembly.mark(made);
        }
    }

    fn add(&mut self, unit: Payload, rtp_time: u32, received_us: i64, made: &mut Vec<Made>) {
        for unit in split_annex_b(self.codec, unit) {
            self.assembly.take(unit, rtp_time, received_us, made);
        }
    }
}
