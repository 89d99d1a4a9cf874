//! The medium's packets on their way through the core's receiver, which makes pictures of them. Not for where the packets come from.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use framelog_core::gap::GapReason;
use framelog_core::header::Headers;
use framelog_core::multipart::{SkipReason, Skipped};
use framelog_core::rtp::rtcp::{self, Message, receiver_report};
use framelog_core::rtp::{self, Counts, Event, Receiver, Transport};
use framelog_core::rtsp::message::Packet;
use framelog_core::sdp::{Description, Video};
use tokio::time::Instant;

use crate::source::{Delivery, Picture};

/// After so long without packets a picture is whole though nothing has shown its end.
const SETTLE: Duration = Duration::from_millis(200);
/// The same for the first picture of a slow camera, of which only its marker says that it is whole: no camera pauses so long within one.
const SETTLE_AT_LAST: Duration = Duration::from_secs(2);

/// A clock that goes on by so much more than time was set, microseconds. What passes until a packet is looked at stays below.
const CLOCK_SET_US: i128 = 500_000;

/// For so long pictures that can't be shown yet are a sign of life: the longest GOPs of cameras have 10 to 20 s.
const KEYFRAME_TIME: Duration = Duration::from_secs(60);

/// After so long without any other, packets of senders that seemed to be of an old session are taken for ours, and those of a payload type that
/// the description doesn't name.
const FOREIGN_TIME: Duration = Duration::from_secs(2);

/// Payload types that are left to RTCP where both are on one channel (RFC 5761 §4).
const OF_RTCP: std::ops::Range<u8> = 64..96;

/// How many such senders are remembered.
const FOREIGN_MAX: usize = 16;

/// See the module.
#[derive(Debug)]
pub struct Media {
    receiver: Receiver,
    transport: Transport,
    /// Who its packets are said to be from.
    ssrc: Option<u32>,
    /// With the payload type that the camera uses, once a packet has come.
    video: Video,
    /// A payload type that the description doesn't name, and since when no other has come.
    unnamed: Option<(u8, Instant)>,
    own_ssrc: u32,
    /// Who sent before it was asked to.
    foreign: Vec<u32>,
    began: Instant,
    last_packet: Instant,
    /// When it arrived, by this machine's clock, microseconds.
    last_received_us: Option<i64>,
    settled: bool,
    /// The same of [`SETTLE_AT_LAST`].
    settled_at_last: bool,
    pictures: u64,
    early: u64,
    torn: u64,
    /// JPEGs that can't be put together.
    untold: u64,
    density: Density,
}

/// How much of what is received are packets of the medium. Where that is less than three quarters, they are copied out: as slices they would
/// keep all the rest.
#[derive(Debug, Default)]
struct Density {
    received: u64,
    kept: u64,
}

impl Density {
    /// Over how many bytes it is looked at.
    const BYTES: u64 = 1 << 20;

    fn received(&mut self, bytes: usize) {
        self.received += bytes as u64;
        if self.received > Self::BYTES {
            self.received /= 2;
            self.kept /= 2;
        }
    }

    fn keep(&mut self, bytes: Bytes) -> Bytes {
        self.kept += bytes.len() as u64;
        match self.kept * 4 < self.received * 3 {
            true => Bytes::copy_from_slice(&bytes),
            false => bytes,
        }
    }
}

impl Media {
    /// Of a medium whose packets are said to be from `ssrc`. The senders of `foreign`, which came before it was set up, are passed over.
    pub fn new(video: &Video, transport: Transport, ssrc: Option<u32>, foreign: &[Packet]) -> Self {
        let now = Instant::now();
        let mut media = Self {
            receiver: receiver(video, transport, ssrc),
            transport,
            ssrc,
            video: video.clone(),
            unnamed: None,
            own_ssrc: fastrand::u32(..),
            foreign: Vec::new(),
            began: now,
            last_packet: now,
            last_received_us: None,
            settled: true,
            settled_at_last: true,
            pictures: 0,
            early: 0,
            torn: 0,
            untold: 0,
            density: Density::default(),
        };
        let senders = foreign
            .iter()
            .filter(|packet| media.is_own(packet))
            .filter_map(sender)
            .filter(|sender| Some(*sender) != ssrc);
        let senders: BTreeSet<u32> = senders.collect();
        media.foreign = senders.into_iter().take(FOREIGN_MAX).collect();
        media
    }

    /// What became of its packets.
    pub fn counts(&self) -> Counts {
        self.receiver.counts()
    }

    /// So many bytes were received, packets of the medium among them or not.
    pub fn received(&mut self, bytes: usize) {
        self.density.received(bytes);
    }

    /// Takes a packet of RTP.
    pub fn rtp(&mut self, packet: Packet) {
        self.watch_clock(packet.received_us);
        (self.settled, self.settled_at_last) = (false, false);
        if !self.foreign.is_empty() && self.is_foreign(&packet) {
            return;
        }
        self.choose(&packet);
        let payload = self.density.keep(packet.payload);
        self.receiver.push(payload, packet.received_us);
    }

    /// A clock that is set between two packets makes no pause between them.
    fn watch_clock(&mut self, received_us: i64) {
        let before = std::mem::replace(&mut self.last_packet, Instant::now());
        let lived_us = (self.last_packet - before).as_micros();
        let told_us = (self.last_received_us.replace(received_us))
            .map_or(0, |last_us| received_us.saturating_sub(last_us));
        if i128::from(told_us) - lived_us.cast_signed() > CLOCK_SET_US {
            self.receiver.clock_was_set(received_us);
        }
    }

    /// The first packet shows which of several payload types the camera uses. One that the description doesn't name is taken where nothing else
    /// comes, until one comes that it does name.
    fn choose(&mut self, packet: &Packet) {
        let Some(found) = payload_type(packet) else {
            return;
        };
        let mut known = self.video.alternatives.iter();
        if found == self.video.payload_type {
            if self.unnamed.is_none_or(|(unnamed, _)| unnamed != found) {
                self.unnamed = None;
                self.video.alternatives.clear();
            }
        } else if let Some(other) = known.find(|other| other.payload_type == found) {
            self.unnamed = None;
            self.receive(other.clone());
        } else if self.receiver.counts().packets == 0 && !OF_RTCP.contains(&found) {
            let since = match self.unnamed {
                Some((before, since)) if before == found => since,
                _ => Instant::now(),
            };
            self.unnamed = Some((found, since));
            if since.elapsed() > FOREIGN_TIME {
                let mut named = self.video.clone();
                let others = std::mem::take(&mut named.alternatives);
                let mut video = named.clone();
                video.payload_type = found;
                video.alternatives = [vec![named], others].concat();
                self.receive(video);
            }
        }
    }

    fn receive(&mut self, video: Video) {
        self.receiver = receiver(&video, self.transport, self.ssrc);
        self.video = video;
    }

    /// Takes a packet of RTCP.
    pub fn rtcp(&mut self, packet: &Packet) {
        self.receiver.push_rtcp(&packet.payload, packet.received_us);
    }

    fn is_foreign(&mut self, packet: &Packet) -> bool {
        if self.receiver.counts().packets == 0 && self.began.elapsed() > FOREIGN_TIME {
            self.foreign.clear();
        }
        sender(packet).is_some_and(|sender| self.foreign.contains(&sender))
    }

    /// When the last packet of RTP came.
    pub fn last_packet(&self) -> Instant {
        self.last_packet
    }

    /// Whether it is RTP of this medium's kind.
    pub fn is_own(&self, packet: &Packet) -> bool {
        let mut known = forms(&self.video).map(|video| video.payload_type);
        payload_type(packet).is_some_and(|found| known.any(|known| known == found))
    }

    /// Whether in it the sender of this medium says that it sends no more.
    pub fn is_farewell(&self, packet: &Packet) -> bool {
        let ours = self.receiver.reception().map(|reception| reception.ssrc);
        let is_ours = |message| matches!(message, Message::Bye { ssrc } if Some(ssrc) == ours);
        !self.is_own(packet) && rtcp::read(&packet.payload).any(is_ours)
    }

    /// The video of the description, if it is another stream than this, or this with other parameter sets. One of none at all is not believed
    /// while this one comes.
    pub fn other<'a>(&self, description: &'a Description) -> Option<&'a Video> {
        let video = description.video()?;
        let kind = |video: &Video| (video.codec, video.payload_type);
        let mut pairs = forms(&self.video)
            .flat_map(|ours| forms(video).map(move |theirs| (ours, theirs)))
            .filter(|(ours, theirs)| kind(ours) == kind(theirs));
        let Some((ours, theirs)) = pairs.next() else {
            return Some(video);
        };
        let (ours, theirs) = (&ours.parameter_sets, &theirs.parameter_sets);
        let lacks = |these: &[Bytes], those: &[Bytes]| those.iter().any(|set| !these.contains(set));
        let differ = lacks(ours, theirs) || lacks(theirs, ours);
        (!ours.is_empty() && !theirs.is_empty() && differ).then_some(video)
    }

    /// When [`poll`](Self::poll) is worth a call though nothing has come.
    pub fn due(&self) -> Option<Instant> {
        let due = [self.settle_due(), self.hold_due()];
        due.into_iter().flatten().min()
    }

    fn hold_due(&self) -> Option<Instant> {
        let left_us = self.receiver.hold_ends_us()? - self.last_received_us?;
        let left_us = u64::try_from(left_us).unwrap_or(0);
        Some(self.last_packet + Duration::from_micros(left_us))
    }

    fn settle_due(&self) -> Option<Instant> {
        if !self.settled && self.receiver.holds_picture() {
            return Some(self.last_packet + SETTLE);
        }
        (!self.settled_at_last && self.receiver.may_hold_picture())
            .then(|| self.last_packet + SETTLE_AT_LAST)
    }

    /// Hands out the pictures that are whole.
    pub fn poll(&mut self, out: &mut Vec<Delivery>) {
        let is_over = |due: Option<Instant>| due.is_some_and(|due| Instant::now() >= due);
        if is_over(self.hold_due())
            && let Some(arrived_us) = self.last_received_us
        {
            self.receiver.end_hold(arrived_us);
        }
        if is_over(self.settle_due()) {
            self.settled_at_last = self.last_packet.elapsed() >= SETTLE_AT_LAST;
            self.settled = true;
            match self.settled_at_last {
                true => self.receiver.settle_at_last(),
                false => self.receiver.settle(),
            }
        }
        while let Some(event) = self.receiver.poll() {
            out.push(self.delivery(event));
        }
    }

    /// Hands out what is whole; no more packets will come.
    pub fn finish(&mut self, out: &mut Vec<Delivery>) {
        self.receiver.finish();
        self.poll(out);
    }

    fn delivery(&mut self, event: Event) -> Delivery {
        let reason = match event {
            Event::AccessUnit(unit) => {
                self.pictures += 1;
                return Delivery::Picture(Picture {
                    payload: unit.payload,
                    codec: unit.codec,
                    keyframe: unit.keyframe,
                    parameters: unit.parameters,
                    headers: Headers::default(),
                    stamp: unit.stamp,
                    received_us: unit.received_us,
                    complete: true,
                });
            }
            Event::Skipped(reason) => reason,
        };
        let reason = match reason {
            rtp::SkipReason::Torn => SkipReason::Torn,
            rtp::SkipReason::Early | rtp::SkipReason::NotPicture => SkipReason::NotPicture,
            rtp::SkipReason::TooLarge => SkipReason::TooLarge,
        };
        self.early += u64::from(event == Event::Skipped(rtp::SkipReason::Early));
        self.untold += u64::from(event == Event::Skipped(rtp::SkipReason::NotPicture));
        self.torn += u64::from(reason == SkipReason::Torn);
        Delivery::Skipped(Skipped {
            reason,
            headers: Headers::default(),
            bytes: 0,
            beginning: Bytes::new(),
        })
    }

    /// Grows with every sign that pictures come.
    pub fn progress(&self) -> u64 {
        self.pictures + self.early
    }

    /// Whether pictures come, and none yet that can be shown.
    pub fn awaits_keyframe(&self) -> bool {
        self.pictures == 0 && self.early > 0
    }

    /// Why there is no use in waiting, if there is none.
    pub fn fault(&self) -> Option<(GapReason, String)> {
        let in_vain = self.awaits_keyframe() && self.began.elapsed() > KEYFRAME_TIME;
        in_vain.then(|| {
            let seconds = KEYFRAME_TIME.as_secs();
            let detail = format!("no keyframe with its parameter sets within {seconds} s; set a shorter keyframe interval in the camera, or have it send SPS and PPS");
            (GapReason::NotVideo, detail)
        })
    }

    /// What has come so far.
    pub fn describe(&self) -> String {
        let Counts {
            packets,
            lost,
            foreign,
            ..
        } = self.counts();
        let untold = match self.untold {
            0 => String::new(),
            untold => format!(", {untold} JPEGs of a type or size that is not said"),
        };
        format!(
            "of {packets} packets and {} pictures so far, {} torn{untold}, {lost} packets lost, {foreign} of other kinds or senders",
            self.pictures + self.torn + self.untold,
            self.torn
        )
    }

    /// What to tell the camera.
    pub fn report(&self) -> Vec<u8> {
        receiver_report(self.own_ssrc, self.receiver.reception().unwrap_or_default())
    }
}

fn receiver(video: &Video, transport: Transport, ssrc: Option<u32>) -> Receiver {
    let mut receiver = Receiver::new(video, transport);
    if let Some(ssrc) = ssrc {
        receiver.announce_ssrc(ssrc);
    }
    receiver
}

/// The video by each payload type that it may have.
fn forms(video: &Video) -> impl Iterator<Item = &Video> {
    std::iter::once(video).chain(&video.alternatives)
}

/// Of a packet of RTP (RFC 3550 §5.1).
pub fn payload_type(packet: &Packet) -> Option<u8> {
    match packet.payload[..] {
        [first, second, ..] if first >> 6 == 2 => Some(second & 0x7F),
        _ => None,
    }
}

/// Who sends a packet of RTP (RFC 3550 §5.1).
fn sender(packet: &Packet) -> Option<u32> {
    let bytes: [u8; 4] = packet.payload.get(8..12)?.try_into().ok()?;
    Some(u32::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_TYPES: &[u8] =
        b"m=video 0 RTP/AVP 96 97\na=rtpmap:96 H264/90000\na=rtpmap:97 H265/90000\n";

    fn described(description: &Description) -> Media {
        let video = description.video().unwrap();
        Media::new(video, Transport::Interleaved, None, &[])
    }

    fn packet(payload_type: u8) -> Packet {
        let payload = [&[0x80, payload_type][..], &[0; 9], &[7, 0x41, 0x9a]].concat();
        Packet {
            channel: 0,
            payload: payload.into(),
            received_us: 0,
        }
    }

    #[test]
    fn the_first_packet_of_a_named_payload_type_decides_whatever_came_before() {
        for before in [None, Some(101)] {
            let mut media = described(&Description::read(TWO_TYPES));
            for payload_type in before.into_iter().chain([96, 97, 96]) {
                media.rtp(packet(payload_type));
            }
            assert_eq!(media.video.payload_type, 96);
            assert_eq!(media.counts().packets, 2, "{before:?}");
        }
    }

    #[test]
    fn the_same_description_is_no_other_stream_though_its_payload_type_is_not_used() {
        let description = Description::read(TWO_TYPES);
        let mut media = described(&description);
        media.unnamed = Some((101, media.began - FOREIGN_TIME));
        media.rtp(packet(101));
        assert_eq!(media.video.payload_type, 101);
        assert_eq!(media.other(&description), None);
        let other = Description::read(b"m=video 0 RTP/AVP 98\na=rtpmap:98 H264/90000\n");
        assert!(media.other(&other).is_some());
    }

    #[test]
    fn pictures_behind_a_pause_are_held_for_two_seconds_at_most() {
        let sets = "Z0LAH9kAoC/5cBEAAAMAAQAAAwAyDxgySA==,aMuDyyA=";
        let described = format!(
            "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 sprop-parameter-sets={sets}\n"
        );
        let mut media = self::described(&Description::read(described.as_bytes()));
        let mut out = Vec::new();
        let (mut now_us, mut rtp_time) = (1_700_000_000_000_000, 0u32);
        let mut push = |media: &mut Media, after_us: u64, number: u16| {
            now_us += after_us.cast_signed();
            rtp_time += 3_600;
            media.last_packet -= Duration::from_micros(after_us);
            let slice: &[u8] = if number == 0 {
                b"\x65\x88\x84\x21"
            } else {
                b"\x41\x9a\x21\x6c"
            };
            let head = [
                &b"\x80\xe0"[..],
                &number.to_be_bytes(),
                &rtp_time.to_be_bytes(),
                b"\0\0\0\x07",
            ];
            media.rtp(Packet {
                channel: 0,
                payload: [&head.concat(), slice].concat().into(),
                received_us: now_us,
            });
        };
        for number in 0..25 {
            push(&mut media, 40_000, number);
            media.poll(&mut out);
        }
        assert_eq!(out.len(), 25);
        push(&mut media, 5_000_000, 25);
        push(&mut media, 1_900_000, 26);
        media.poll(&mut out);
        assert_eq!(out.len(), 25, "held");
        media.last_packet -= Duration::from_millis(100);
        assert!(media.due().is_some_and(|due| due <= Instant::now()));
        media.poll(&mut out);
        assert_eq!(out.len(), 27);
        assert_eq!(media.receiver.hold_ends_us(), None);
    }

    #[test]
    fn the_advice_holds_where_parameter_sets_are_missing_too() {
        let mut media = described(&Description::read(TWO_TYPES));
        assert!(!media.awaits_keyframe(), "nothing has come");
        media.early = 1;
        assert!(media.awaits_keyframe());
        assert_eq!(media.fault(), None);
        media.began -= KEYFRAME_TIME + SETTLE;
        let (reason, detail) = media.fault().unwrap();
        assert_eq!(reason, GapReason::NotVideo);
        assert!(detail.contains("keyframe interval") && detail.contains("SPS and PPS"));
    }
}
