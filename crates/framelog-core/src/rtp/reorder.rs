//! Packets in the order of their sequence numbers (RFC 3550 §5.1 and §A.1): reordered ones put back, doubled ones dropped, lost ones told.
//! Not for whose packets they are.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::numbering::Numbering;
use super::packet::Packet;
use super::sources::Arrived;

/// How the packets travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In the RTSP connection: what is missing will not come.
    Interleaved,
    /// In datagrams: what is missing may be late.
    Udp,
}

/// A packet that is further ahead belongs to a sequence that began anew (RFC 3550 §A.1).
const AHEAD_MAX: i16 = 3000;
/// How far back packets are remembered.
const BEHIND_MAX: u16 = 256;
/// For how long a missing packet is waited for, and at the start any that may come before the first.
const WAIT_US: i64 = 100_000;
/// How many packets wait for it.
const WAITING_MAX: usize = 128;
/// How many numbers of what is not ours are remembered.
const OTHERS_MAX: usize = 256;

/// A packet in its place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct InOrder {
    pub(super) packet: Packet,
    pub(super) received_us: i64,
    /// Packets are missing before it.
    pub(super) after_loss: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Reorder {
    transport: Transport,
    numbering: Numbering,
    /// The next sequence number, with its wraps.
    next: Option<u64>,
    /// Where the sequence began.
    first: u64,
    /// Packets behind a missing one, by sequence number with wraps.
    waiting: BTreeMap<u64, Arrived>,
    /// Numbers ahead that something else in the same sequence has.
    others: BTreeSet<u64>,
    /// That something else has a sequence of its own.
    is_apart: bool,
    /// Sequence number and RTP time of what was handed out of late, each at its place modulo the length.
    recent: Box<[Option<(u64, u32)>; BEHIND_MAX as usize]>,
    /// A packet that fits nowhere: the first of a sequence that began anew, if the next one follows on it.
    stray: Option<Arrived>,
    ready: VecDeque<InOrder>,
    /// Packets that never came.
    pub(super) lost: u64,
    /// Packets that came twice, or too late.
    pub(super) dropped: u64,
}

impl Reorder {
    pub(super) fn new(transport: Transport) -> Self {
        Self {
            transport,
            numbering: Numbering::default(),
            next: None,
            first: 0,
            waiting: BTreeMap::new(),
            others: BTreeSet::new(),
            is_apart: false,
            recent: Box::new([None; BEHIND_MAX as usize]),
            stray: None,
            ready: VecDeque::new(),
            lost: 0,
            dropped: 0,
        }
    }

    /// Forgets the sequence: another sender's begins.
    pub(super) fn restart(&mut self) {
        self.release_all();
        self.numbering = Numbering::default();
        self.next = None;
        self.others.clear();
        self.is_apart = false;
        self.recent.fill(None);
        self.stray = None;
    }

    /// A packet of the same sender that is none of this medium (camera-quirks row 100) has this number. Where its packets share the sequence
    /// none of ours is missing there; where they have a sequence of their own ours still comes.
    pub(super) fn pass_over(&mut self, sequence: u16) {
        self.numbering.pass_over(sequence);
        let Some(next) = self.next.filter(|_| !self.is_apart) else {
            return;
        };
        let ahead = sequence.wrapping_sub(next as u16).cast_signed();
        if (0..=AHEAD_MAX).contains(&ahead) {
            self.others
                .insert(next.saturating_add_signed(i64::from(ahead)));
        }
        if self.others.len() > OTHERS_MAX {
            self.others.pop_first();
        }
    }

    /// The highest sequence number handed out, with the count of its wraps above.
    pub(super) fn highest(&self) -> u32 {
        self.next.map_or(0, |next| next.wrapping_sub(1) as u32)
    }

    pub(super) fn push(&mut self, (packet, received_us): Arrived) {
        if self.transport == Transport::Interleaved {
            let was_useless = self.numbering.is_useless();
            self.numbering.observe(&packet);
            if self.numbering.is_useless() {
                // They come in order, and that is all there is.
                let place = self.next.unwrap_or(0);
                return self.hand_out(place, (packet, received_us), !was_useless);
            }
            if was_useless {
                self.recent.fill(None);
                self.first = u64::from(packet.sequence) + (1 << 16);
                return self.hand_out(self.first, (packet, received_us), true);
            }
        }
        let first_waiting = self.waiting.first_key_value().map(|(place, _)| *place);
        let Some(reference) = self.next.or(first_waiting) else {
            let place = u64::from(packet.sequence) + (1 << 16);
            self.waiting.insert(place, (packet, received_us));
            return self.release(received_us);
        };
        let ahead = packet.sequence.wrapping_sub(reference as u16).cast_signed();
        let place = reference.saturating_add_signed(i64::from(ahead));
        if self.others.contains(&place) {
            self.is_apart = true;
            self.others.clear();
        }
        let is_next = self.next.is_some() && ahead == 0;
        let may_be_first = self.next.is_none() && ahead.unsigned_abs() <= BEHIND_MAX;
        match ahead {
            _ if is_next => self.hand_out(place, (packet, received_us), false),
            _ if may_be_first => self.wait(place, (packet, received_us)),
            1..=AHEAD_MAX => self.wait(place, (packet, received_us)),
            _ if self.is_repeated(place, &packet, reference) => self.dropped += 1,
            _ => self.begin_anew((packet, received_us)),
        }
        self.release(received_us);
    }

    pub(super) fn pop(&mut self) -> Option<InOrder> {
        self.ready.pop_front()
    }

    /// Whether packets wait for a missing one.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// No packets come any more, or not for a while: what waits, waits no longer.
    pub(super) fn release_all(&mut self) {
        while self.release_first() {}
    }

    fn wait(&mut self, place: u64, arrived: Arrived) {
        self.stray = None;
        match self.waiting.entry(place) {
            std::collections::btree_map::Entry::Occupied(_) => self.dropped += 1,
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(arrived);
            }
        }
    }

    /// Whether a packet behind was handed out already, or is a late one that was missed.
    fn is_repeated(&self, place: u64, packet: &Packet, next: u64) -> bool {
        let is_near = next
            .checked_sub(place)
            .is_some_and(|behind| behind <= u64::from(BEHIND_MAX));
        let slot = self.recent[(place % u64::from(BEHIND_MAX)) as usize];
        match slot.filter(|(found, _)| *found == place) {
            Some((_, rtp_time)) => is_near && rtp_time == packet.rtp_time,
            None => is_near && place > self.first && self.transport == Transport::Udp,
        }
    }

    /// A packet that fits nowhere: two that follow on each other begin the sequence anew.
    fn begin_anew(&mut self, arrived: Arrived) {
        let follows = |(stray, _): &Arrived| stray.sequence.wrapping_add(1) == arrived.0.sequence;
        match self.stray.take().filter(follows) {
            Some(stray) => {
                self.release_all();
                self.others.clear();
                self.recent.fill(None);
                self.first = u64::from(stray.0.sequence) + (1 << 16);
                self.hand_out(self.first, stray, true);
                self.hand_out(self.first + 1, arrived, false);
            }
            None => self.stray = Some(arrived),
        }
    }

    /// Lets go what need not wait any longer.
    fn release(&mut self, now_us: i64) {
        while let Some((&place, (_, since_us))) = self.waiting.first_key_value() {
            let fits = self.next.is_some() && self.missing_before(place) == 0;
            let is_over = self.transport == Transport::Interleaved
                || self.waiting.len() > WAITING_MAX
                || self
                    .waiting
                    .values()
                    .map(|(_, us)| us)
                    .min()
                    .unwrap_or(since_us)
                    + WAIT_US
                    < now_us;
            if !fits && !is_over {
                return;
            }
            self.release_first();
        }
    }

    fn release_first(&mut self) -> bool {
        let Some((place, arrived)) = self.waiting.pop_first() else {
            return false;
        };
        let missing = self.missing_before(place);
        self.lost += missing;
        self.hand_out(place, arrived, missing > 0);
        true
    }

    /// How many packets that may be ours are missing before that place.
    fn missing_before(&self, place: u64) -> u64 {
        let next = self.next.unwrap_or(place).min(place);
        place - next - self.others.range(next..place).count() as u64
    }

    fn hand_out(&mut self, place: u64, (packet, received_us): Arrived, after_loss: bool) {
        self.stray = None;
        if self.next.replace(place + 1).is_none() {
            self.first = place;
        }
        while self.others.first().is_some_and(|other| *other <= place) {
            self.others.pop_first();
        }
        self.recent[(place % u64::from(BEHIND_MAX)) as usize] = Some((place, packet.rtp_time));
        self.ready.push_back(InOrder {
            packet,
            received_us,
            after_loss,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::samples::packet;
    use super::*;
    use proptest::prelude::*;

    fn arrived(sequence: u16, at_us: i64) -> Arrived {
        let bytes = packet(sequence, u32::from(sequence), false, b"x");
        (Packet::read(bytes).unwrap(), at_us)
    }

    /// Sequence numbers in the order handed out, those behind a loss negative.
    fn run(transport: Transport, pushed: &[(u16, i64)]) -> (Vec<i32>, u64, u64) {
        let mut reorder = Reorder::new(transport);
        for &(sequence, at_us) in pushed {
            reorder.push(arrived(sequence, at_us));
        }
        reorder.release_all();
        let out = std::iter::from_fn(|| reorder.pop())
            .map(|found| i32::from(found.packet.sequence) * if found.after_loss { -1 } else { 1 })
            .collect();
        (out, reorder.lost, reorder.dropped)
    }

    fn at_once(sequences: &[u16]) -> Vec<(u16, i64)> {
        sequences.iter().map(|&sequence| (sequence, 0)).collect()
    }

    #[test]
    fn reordered_and_doubled_packets_are_put_right_also_over_the_wrap() {
        let pushed = at_once(&[65533, 65535, 65534, 65535, 1, 0, 0, 65533, 2]);
        let (out, lost, dropped) = run(Transport::Udp, &pushed);
        assert_eq!(out, [65533, 65534, 65535, 0, 1, 2]);
        assert_eq!((lost, dropped), (0, 3));
    }

    #[test]
    fn a_missing_packet_is_waited_for_and_then_told() {
        let mut reorder = Reorder::new(Transport::Udp);
        for (sequence, at_us) in [(1, 0), (0, 50_000)] {
            reorder.push(arrived(sequence, at_us));
        }
        assert_eq!(reorder.pop(), None);
        for (sequence, at_us) in [(3, 110_000), (4, 160_000), (5, 210_000)] {
            reorder.push(arrived(sequence, at_us));
        }
        let first: Vec<_> = [reorder.pop(), reorder.pop()]
            .into_iter()
            .flatten()
            .map(|found| found.packet.sequence)
            .collect();
        assert_eq!(first, [0, 1]);
        assert_eq!(reorder.pop(), None);
        reorder.push(arrived(6, 210_001));
        let out: Vec<_> = std::iter::from_fn(|| reorder.pop())
            .map(|found| (found.packet.sequence, found.after_loss))
            .collect();
        assert_eq!(out, [(3, true), (4, false), (5, false), (6, false)]);
        reorder.push(arrived(2, 220_000));
        assert_eq!((reorder.pop(), reorder.lost, reorder.dropped), (None, 1, 1));
    }

    #[test]
    fn over_tcp_nothing_is_waited_for() {
        let mut reorder = Reorder::new(Transport::Interleaved);
        for sequence in [1, 2, 2, 5] {
            reorder.push(arrived(sequence, 0));
        }
        let out: Vec<_> = std::iter::from_fn(|| reorder.pop())
            .map(|found| (found.packet.sequence, found.after_loss))
            .collect();
        assert_eq!(out, [(1, false), (2, false), (5, true)]);
        assert_eq!((reorder.lost, reorder.dropped), (2, 1));
    }

    #[test]
    fn a_sequence_that_begins_anew_is_followed_and_a_single_stray_packet_is_not() {
        for transport in [Transport::Udp, Transport::Interleaved] {
            let (out, ..) = run(transport, &at_once(&[100, 101, 30_000, 30_001, 30_002]));
            assert_eq!(out, [100, 101, -30_000, 30_001, 30_002]);
            let (out, ..) = run(transport, &at_once(&[40_000, 40_001, 5, 6, 7]));
            assert_eq!(out, [40_000, 40_001, -5, 6, 7]);
            let (out, ..) = run(transport, &at_once(&[100, 101, 30_000, 102, 103]));
            assert_eq!(out, [100, 101, 102, 103]);
        }
    }

    #[test]
    fn over_tcp_a_sequence_that_begins_anew_near_by_is_no_repetition() {
        let mut reorder = Reorder::new(Transport::Interleaved);
        for sequence in 100..150 {
            reorder.push(arrived(sequence, 0));
        }
        for (sequence, rtp_time) in [(100, 9_000_000), (101, 9_000_000), (102, 9_003_600)] {
            let bytes = packet(sequence, rtp_time, false, b"y");
            reorder.push((Packet::read(bytes).unwrap(), 0));
        }
        let out: Vec<_> = std::iter::from_fn(|| reorder.pop()).skip(50).collect();
        assert_eq!(out.len(), 3);
        assert!(out[0].after_loss && !out[1].after_loss);
    }

    proptest! {
        #[test]
        fn what_comes_out_is_in_order_once_each_and_losses_are_told(
            start: u16,
            steps in prop::collection::vec((0u16..40, 0usize..4), 1..60),
            udp: bool,
        ) {
            let transport = if udp { Transport::Udp } else { Transport::Interleaved };
            let mut reorder = Reorder::new(transport);
            reorder.push(arrived(start, 0));
            let mut at = start;
            for (step, times) in steps {
                at = at.wrapping_add(step).wrapping_sub(8);
                for _ in 0..times {
                    reorder.push(arrived(at, 0));
                }
            }
            reorder.release_all();
            let mut expected = None;
            while let Some(found) = reorder.pop() {
                let sequence = found.packet.sequence;
                prop_assert_eq!(found.after_loss, expected.is_some_and(|expected| sequence != expected));
                let is_back = expected.is_some_and(|expected| sequence.wrapping_sub(expected).cast_signed() < 0);
                prop_assert!(!is_back || !udp);
                expected = Some(sequence.wrapping_add(1));
            }
        }
    }
}
