//! RTP (RFC 3550) to pictures: H.264 (RFC 6184), H.265 (RFC 7798) and JPEG (RFC 2435). Not for RTSP, nor for sockets.
//!
//! A [`Receiver`] takes the packets of one medium, as they came, and gives whole pictures with their times; what was torn on the way it counts
//! and never hands out. Within: `packet` and `rtcp` read, `sources` knows whose packets are ours, `reorder` in which order (if their numbers
//! tell: `numbering`), `access_units` (with `h264`, `h265`, `fragments`, `piece_times`, `assembly`) and `jpeg` make pictures of them, `opening`
//! holds the first, `timeline` tells when they were taken.

mod access_units;
mod assembly;
mod budget;
mod fragments;
mod h264;
mod h265;
mod jpeg;
mod markers;
mod numbering;
mod opening;
mod packet;
mod piece_times;
mod rate;
mod reorder;
pub mod rtcp;
mod sources;
mod timeline;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::frame::{Codec, Parameters, Payload};
use crate::nal;
use crate::sdp::Video;
use crate::timestamp::Stamp;
use access_units::AccessUnits;
use opening::Opening;
use packet::Packet;
use reorder::Reorder;
use rtcp::{Reception, SenderReport};
use sources::{Arrived, Sources, Verdict};
use timeline::Timeline;

pub use reorder::Transport;

/// A whole picture.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessUnit {
    /// A JPEG; or the NAL units of an access unit, each behind its length in four bytes.
    pub payload: Payload,
    /// How it is coded.
    pub codec: Codec,
    /// Whether it can be shown without another picture.
    pub keyframe: bool,
    /// What decoding it needs, the same `Arc` until it changes, which is at a keyframe only; `None` for JPEG.
    pub parameters: Option<Arc<Parameters>>,
    /// When it was taken, for [`Clock::read`](crate::clock::Clock::read).
    pub stamp: Stamp,
    /// When its last packet arrived: the `now_us` of that push.
    pub received_us: i64,
}

/// Why a picture was not handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SkipReason {
    /// Packets of it are missing or damaged.
    Torn,
    /// It can't be decoded: no keyframe, or not all parameter sets, have come yet.
    Early,
    /// Larger than 12 MiB, or in more than 65536 pieces.
    TooLarge,
    /// Of a kind that can't be put together: a JPEG of unknown type or size.
    NotPicture,
}

/// What [`Receiver::poll`] gives.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly all are pictures")]
pub enum Event {
    /// A picture.
    AccessUnit(AccessUnit),
    /// One that was not handed out.
    Skipped(SkipReason),
}

/// What became of the packets so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets of this medium, from whomever.
    pub packets: u64,
    /// Packets that never came, by their sequence numbers.
    pub lost: u64,
    /// Packets that came twice or too late.
    pub repeated: u64,
    /// Packets of other payload types and of other senders.
    pub foreign: u64,
    /// What is no RTP packet.
    pub malformed: u64,
    /// Sender reports from our sender.
    pub reports: u64,
}

/// A picture without its stamp.
#[derive(Debug)]
struct Picture {
    payload: Payload,
    keyframe: bool,
    parameters: Option<Arc<Parameters>>,
    rtp_time: u32,
    received_us: i64,
}

/// What is made of packets.
#[derive(Debug)]
enum Made {
    Picture(Picture),
    Skipped(SkipReason),
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one of a camera, in place")]
enum Depacketizer {
    AccessUnits(AccessUnits),
    Jpeg(jpeg::Pictures),
}

/// Makes pictures of the packets of one medium.
///
/// Push what came, then poll until there is nothing more. Where a picture ends is known from its last packet's marker only once markers have
/// shown that they are right, and else when the next picture begins: [`Receiver::settle`] hands out the last picture of a camera that pauses.
///
/// What is handed out is whole: no packet of it was missing. For H.264 and H.265 it begins with the first keyframe for which all parameter sets
/// are there, and goes on with every whole access unit, also with those that refer to one that was torn.
///
/// What a camera can make it hold is bounded: one picture of 12 MiB, of which it keeps the pieces, and 12 MiB of packets whose place or sender
/// is not known. Pieces are slices of the buffers pushed: push none that are much larger than the packets in them.
///
/// ```
/// use framelog_core::clock::{Clock, ClockKind, TimestampMode};
/// use framelog_core::rtp::{Event, Receiver, Transport};
/// use framelog_core::sdp::Description;
///
/// let description = Description::read(
///     b"m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 sprop-parameter-sets=Z0LAH9kAoC/5cBEAAAMAAQAAAwAyDxgySA==,aMuDyyA=\n",
/// );
/// let mut receiver = Receiver::new(description.video().unwrap(), Transport::Interleaved);
/// let mut clock = Clock::new(TimestampMode::Auto, 600_000_000);
/// let arrival_us = 1_700_000_000_300_000;
/// // Version 2, marker, payload type 96; sequence number, RTP time, SSRC; a slice of an IDR picture.
/// let idr = b"\x80\xE0\x00\x01\x00\x01\x51\x80\x12\x34\x56\x78\x65\x88\x84\x21";
/// receiver.push(idr.to_vec().into(), arrival_us);
/// let next = b"\x80\xE0\x00\x02\x00\x01\x5F\x90\x12\x34\x56\x78\x41\x9A\x21\x6C";
/// receiver.push(next.to_vec().into(), arrival_us + 40_000);
/// while let Some(event) = receiver.poll() {
///     let Event::AccessUnit(unit) = event else { panic!("{event:?}") };
///     let reading = clock.read(unit.stamp, unit.received_us);
///     assert_eq!((reading.kind, reading.captured_us), (ClockKind::Mapped, arrival_us));
///     assert_eq!(unit.payload.to_vec(), b"\0\0\0\x04\x65\x88\x84\x21");
///     assert_eq!(unit.parameters.unwrap().width, 640);
/// }
/// assert!(receiver.holds_picture());
/// ```
#[derive(Debug)]
pub struct Receiver {
    codec: Codec,
    /// Pictures of that have come.
    is_codec_proved: bool,
    payload_type: u8,
    sources: Sources,
    reorder: Reorder,
    depacketizer: Depacketizer,
    timeline: Timeline,
    /// Of a stream that has just begun.
    opening: Option<Opening>,
    events: VecDeque<Event>,
    made: Vec<Made>,
    counts: Counts,
    last_report: u32,
    /// See [`Receiver::clock_was_set`]; until a picture has come since.
    clock_set_us: Option<i64>,
}

impl Receiver {
    /// A receiver for what a camera describes as `video`; of H.264 and H.265 it may be the other.
    pub fn new(video: &Video, transport: Transport) -> Self {
        Self {
            codec: video.codec,
            is_codec_proved: false,
            payload_type: video.payload_type,
            sources: Sources::default(),
            reorder: Reorder::new(transport),
            depacketizer: match video.codec {
                Codec::Mjpeg => Depacketizer::Jpeg(jpeg::Pictures::new(video.size)),
                codec => Depacketizer::AccessUnits(AccessUnits::new(
                    codec,
                    video.has_don,
                    &video.parameter_sets,
                )),
            },
            timeline: Timeline::new(video.clock_hz),
            opening: Some(Opening::new(video.clock_hz)),
            events: VecDeque::new(),
            made: Vec::new(),
            counts: Counts::default(),
            last_report: 0,
            clock_set_us: None,
        }
    }

    /// The SSRC that the camera announces (`ssrc` in the Transport header). Only a hint: others are taken when this one does not come.
    pub fn announce_ssrc(&mut self, ssrc: u32) {
        self.sources.announce(ssrc);
    }

    /// Takes an RTP packet, or an RTCP packet that came in its place (RFC 5761), that arrived at `now_us` (microseconds since the Unix epoch).
    pub fn push(&mut self, bytes: Bytes, now_us: i64) {
        let is_rtcp = |second: &u8| {
            // Some cameras have a payload type that RFC 5761 leaves to RTCP.
            (192..=223).contains(second) && second & 0x7F != self.payload_type
        };
        if bytes.get(1).is_some_and(is_rtcp) {
            return self.push_rtcp(&bytes, now_us);
        }
        let Some(packet) = Packet::read(bytes) else {
            self.counts.malformed += 1;
            return;
        };
        if packet.payload_type == self.payload_type {
            self.counts.packets += 1;
            self.accept(VecDeque::from([(packet, now_us)]));
        } else {
            self.counts.foreign += 1;
            if self.sources.current() == Some(packet.ssrc) {
                self.reorder.pass_over(packet.sequence);
            }
        }
        let is_over = |opening: &Opening| opening.is_over(now_us);
        if self.opening.as_ref().is_some_and(is_over) {
            self.end_opening(Some(now_us));
        }
    }

    /// Takes a compound RTCP packet that arrived at `now_us`.
    pub fn push_rtcp(&mut self, compound: &[u8], now_us: i64) {
        for message in rtcp::read(compound) {
            match message {
                rtcp::Message::SenderReport(report)
                    if self.sources.current() == Some(report.ssrc) =>
                {
                    self.believe(report, now_us);
                }
                rtcp::Message::SenderReport(report) => self.sources.keep_report(report, now_us),
                rtcp::Message::Bye { ssrc } if self.sources.current() == Some(ssrc) => {
                    self.end_source();
                }
                _ => {}
            }
        }
    }

    /// The clock that arrivals are told by was set forward before this arrival, since the packet before: what seems a pause is none.
    pub fn clock_was_set(&mut self, now_us: i64) {
        self.clock_set_us = Some(now_us);
        if self.opening.as_ref().is_some_and(Opening::is_behind_pause) {
            self.end_opening(None);
        }
    }

    /// No packets have come for a while (some 200 ms): a picture that is whole is handed out by the next [`Receiver::poll`] even though nothing
    /// has come that shows its end, and missing packets are not waited for any longer.
    pub fn settle(&mut self) {
        self.settle_after(false);
    }

    /// The same after a silence of seconds: even the first marker of all is believed then, which no other has shown to be right.
    pub fn settle_at_last(&mut self) {
        self.settle_after(true);
    }

    fn settle_after(&mut self, long: bool) {
        self.reorder.release_all();
        self.depacketize();
        match &mut self.depacketizer {
            Depacketizer::AccessUnits(units) => units.settle(long, &mut self.made),
            Depacketizer::Jpeg(pictures) => pictures.settle(long, &mut self.made),
        }
        self.stamp();
        if self.has_opening(long) {
            self.end_opening(None);
        }
    }

    /// When pictures that are held until more have come are held no longer, whether any come or not.
    pub fn hold_ends_us(&self) -> Option<i64> {
        self.opening.as_ref().and_then(Opening::ends_us)
    }

    /// It is that time, and the last packet came at `arrived_us`: what is held is handed out by the next [`Receiver::poll`].
    pub fn end_hold(&mut self, arrived_us: i64) {
        self.end_opening(Some(arrived_us));
    }

    /// Whether a picture has come that was not handed out: what [`Receiver::settle`] could help with.
    pub fn holds_picture(&self) -> bool {
        self.reorder.is_waiting() || self.has_opening(false) || self.holds_marked_picture(false)
    }

    /// Whether [`Receiver::settle_at_last`] could help.
    pub fn may_hold_picture(&self) -> bool {
        self.has_opening(true) || self.holds_marked_picture(true)
    }

    /// Whether pictures are held that go after a `long` silence or a short one.
    fn has_opening(&self, long: bool) -> bool {
        let opening = self.opening.as_ref();
        opening.is_some_and(|it| !it.is_empty() && (long || !it.is_behind_pause()))
    }

    fn holds_marked_picture(&self, long: bool) -> bool {
        match &self.depacketizer {
            Depacketizer::AccessUnits(units) => units.holds_picture(long),
            Depacketizer::Jpeg(pictures) => pictures.holds_picture(long),
        }
    }

    /// No more packets will come: what is whole is handed out by the next [`Receiver::poll`], the rest is skipped.
    pub fn finish(&mut self) {
        self.reorder.release_all();
        self.depacketize();
        while self.end_source() {
            self.reorder.release_all();
            self.depacketize();
        }
        self.end_stream();
    }

    /// The next event, or `None` when more packets are wanted.
    pub fn poll(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What became of the packets so far.
    pub fn counts(&self) -> Counts {
        Counts {
            lost: self.reorder.lost,
            repeated: self.reorder.dropped,
            foreign: self.counts.foreign + self.sources.foreign,
            ..self.counts
        }
    }

    /// What to tell the camera in a receiver report; `None` before its first packet.
    pub fn reception(&self) -> Option<Reception> {
        Some(Reception {
            ssrc: self.sources.current()?,
            highest_sequence: self.reorder.highest(),
            lost: u32::try_from(self.reorder.lost).unwrap_or(u32::MAX),
            last_report: self.last_report,
        })
    }

    fn believe(&mut self, report: SenderReport, came_us: i64) {
        self.counts.reports += 1;
        self.last_report = (report.ntp >> 16) as u32;
        self.timeline.report(report.ntp, report.rtp_time, came_us);
    }

    /// The report that came before the sender's first packet.
    fn take_early_report(&mut self) {
        if let Some((report, came_us)) = self.sources.early_report() {
            self.believe(report, came_us);
        }
    }

    fn accept(&mut self, mut packets: VecDeque<Arrived>) {
        while let Some(arrived) = packets.pop_front() {
            let is_first = self.sources.current().is_none();
            match self.sources.take(arrived) {
                Verdict::Ours(arrived) => self.reorder.push(arrived),
                Verdict::Changed(held) => {
                    self.begin_source();
                    put_first(held, &mut packets);
                }
                Verdict::Renamed(held) => put_first(held, &mut packets),
                Verdict::Held | Verdict::Foreign => {}
            }
            if is_first {
                self.take_early_report();
            }
            self.depacketize();
        }
    }

    /// The sender sends no more. Whether another has begun.
    fn end_source(&mut self) -> bool {
        let Some(packets) = self.sources.end() else {
            return false;
        };
        self.begin_source();
        self.accept(packets.into());
        true
    }

    fn begin_source(&mut self) {
        self.reorder.restart();
        self.depacketize();
        self.end_stream();
        self.timeline.restart();
        self.take_early_report();
    }

    /// What has begun does not go on.
    fn end_stream(&mut self) {
        match &mut self.depacketizer {
            Depacketizer::AccessUnits(units) => units.finish(&mut self.made),
            Depacketizer::Jpeg(pictures) => pictures.finish(&mut self.made),
        }
        self.stamp();
        self.end_opening(None);
    }

    fn depacketize(&mut self) {
        while let Some(arrived) = self.reorder.pop() {
            self.follow_codec(&arrived.packet.payload);
            match &mut self.depacketizer {
                Depacketizer::AccessUnits(units) => units.take(arrived, &mut self.made),
                Depacketizer::Jpeg(pictures) => pictures.take(arrived, &mut self.made),
            }
        }
        self.stamp();
    }

    /// The description may name the wrong one of H.264 and H.265: as long as no picture has come, parameter sets tell.
    fn follow_codec(&mut self, payload: &[u8]) {
        if self.is_codec_proved || self.codec == Codec::Mjpeg {
            return;
        }
        // The first unit of several (RFC 6184 §5.7.1, RFC 7798 §4.4.2) stands behind header and length.
        let first = match payload {
            [0x18 | 0x38 | 0x58 | 0x78, _, _, unit @ ..] => unit,
            [0x60, 0x01, _, _, unit @ ..] => unit,
            unit => unit,
        };
        if let Some(told) = nal::told_by(first).filter(|told| *told != self.codec) {
            self.codec = told;
            self.depacketizer = Depacketizer::AccessUnits(AccessUnits::new(told, false, &[]));
        }
    }

    fn stamp(&mut self) {
        let mut all = std::mem::take(&mut self.made);
        for made in all.drain(..) {
            if self.opening.is_none()
                && let Made::Picture(picture) = &made
            {
                let (rtp_time, received_us) = (picture.rtp_time, picture.received_us);
                let is_since = |set_us: &mut i64| received_us >= *set_us;
                let was_set = self.clock_set_us.take_if(is_since).is_some();
                let is_behind = self.timeline.is_behind(rtp_time, received_us);
                self.opening =
                    (is_behind && !was_set).then(|| Opening::behind_pause(self.timeline.rate()));
            }
            let made = match &mut self.opening {
                Some(opening) => opening.hold(made),
                None => Some(made),
            };
            if let Some(made) = made {
                self.hand_out(made);
            }
        }
        self.made = all; // for its memory
    }

    /// Hands out what the stream has begun with, or begun with again.
    fn end_opening(&mut self, now_us: Option<i64>) {
        let Some(opening) = self.opening.take_if(|opening| !opening.is_empty()) else {
            return;
        };
        let is_behind_pause = opening.is_behind_pause();
        let (held, first) = opening.end(now_us);
        match first {
            Some(first) if is_behind_pause => self.timeline.go_on_behind_pause(first),
            Some(first) => self.timeline.begin_late(first.late_us),
            None => {}
        }
        for made in held {
            self.hand_out(made);
        }
        self.timeline.go_live();
    }

    fn hand_out(&mut self, made: Made) {
        self.is_codec_proved |= matches!(made, Made::Picture(_));
        self.events.push_back(match made {
            Made::Skipped(reason) => Event::Skipped(reason),
            Made::Picture(picture) => Event::AccessUnit(AccessUnit {
                stamp: self
                    .timeline
                    .stamp(picture.rtp_time, picture.received_us, picture.keyframe),
                payload: picture.payload,
                codec: self.codec,
                keyframe: picture.keyframe,
                parameters: picture.parameters,
                received_us: picture.received_us,
            }),
        });
    }
}

fn put_first(held: Vec<Arrived>, packets: &mut VecDeque<Arrived>) {
    for arrived in held.into_iter().rev() {
        packets.push_front(arrived);
    }
}

#[cfg(test)]
mod captures;
#[cfg(test)]
mod tests;
