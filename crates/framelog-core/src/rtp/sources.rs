//! Whose packets are ours: one sender (SSRC) at a time. Not for their order.
//!
//! Cameras send another SSRC than they announce, change it in the middle, and mix the packets of old sessions into new ones (camera-quirks
//! rows 88 and 90). A sender that changed goes on alone; one that is mixed in does not. So the packets of another sender are held until that is
//! known: nothing of a stream that changes its SSRC is lost, and nothing of a foreign one gets in. Where one sequence goes on from SSRC to SSRC,
//! again and again, there is one sender, whatever it calls itself. Whoever has been mixed in for long is not taken for the successor either where ours
//! pauses or ends.

use super::packet::Packet;
use super::rtcp::SenderReport;

/// For how long another sender must go on alone to be the camera's new one.
const ALONE_US: i64 = 2_000_000;
/// How many of its packets are held.
const HELD_MAX: usize = 4096;
/// How much of them, bytes.
const HELD_BYTES_MAX: usize = 4 << 20;
/// Of how many others. No camera has as many; and as often as this what is held may be taken again.
const SENDERS_MAX: usize = 8;
/// So many times another's packets must have come between ours before it is known as mixed in: where a sender changes, the last of the one and
/// the first of the other may cross on their way.
const MIXED: u32 = 8;
/// The longest pause between two of these times.
const MIXED_PAUSE_US: i64 = 10_000_000;
/// And for so long ours must be silent then before it may be the new one all the same.
const MIXED_SILENCE_US: i64 = 4_000_000;
/// So many times in a row the sequence must have gone on with another SSRC.
const SHARED: u32 = 8;

/// A packet and when it arrived, microseconds since the Unix epoch.
pub(super) type Arrived = (Packet, i64);

/// What becomes of a packet.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// It is the camera's.
    Ours(Arrived),
    /// The camera has a new SSRC: these packets, which came since, are to be taken again.
    Changed(Vec<Arrived>),
    /// It has many SSRCs: these packets are to be taken again, and go on with what came before.
    Renamed(Vec<Arrived>),
    /// Held until it is known whose it is.
    Held,
    /// Of one that is mixed in.
    Foreign,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Sources {
    announced: Option<u32>,
    current: Option<u32>,
    /// Packets of others, since the last of ours.
    held: Vec<Arrived>,
    held_bytes: usize,
    /// Whose they are.
    senders: Vec<u32>,
    /// Whose packets were passed over, each time those between two of ours.
    mixed: Vec<Mixed>,
    /// When the last of ours came; long ago if no more are to come.
    ours_us: i64,
    /// The last report of each of those whose packets are not ours, or not yet, and when it came.
    reports: Vec<(SenderReport, i64)>,
    /// SSRC and sequence number of the last packet, whoever's it was.
    last: Option<(u32, u16)>,
    /// So many times the SSRC changed, and the sequence went on.
    shared: u32,
    /// Packets of others that were passed over.
    pub(super) foreign: u64,
}

/// Who sends between ours.
#[derive(Debug)]
struct Mixed {
    ssrc: u32,
    times: u32,
    last_us: i64,
}

impl Sources {
    /// What the camera says that its SSRC will be. A hint: it is preferred when it comes.
    pub(super) fn announce(&mut self, ssrc: u32) {
        self.announced = Some(ssrc);
    }

    pub(super) fn current(&self) -> Option<u32> {
        self.current
    }

    pub(super) fn take(&mut self, arrived: Arrived) -> Verdict {
        let ssrc = arrived.0.ssrc;
        if self.shares_sequence(&arrived.0) && self.current.is_some() {
            return self.rename(arrived);
        }
        match self.current {
            Some(current) if ssrc == current => {
                self.pass_over_held();
                self.ours_us = arrived.1;
                Verdict::Ours(arrived)
            }
            None => {
                self.current = Some(ssrc);
                self.ours_us = arrived.1;
                Verdict::Ours(arrived)
            }
            Some(_) if self.is_mixed_in(&arrived) => {
                self.foreign += 1;
                Verdict::Foreign
            }
            Some(_) => {
                if !self.senders.contains(&ssrc) {
                    if self.senders.len() == SENDERS_MAX {
                        self.pass_over_held();
                    }
                    self.senders.push(ssrc);
                }
                let first_us = self
                    .held
                    .first()
                    .map_or(arrived.1, |(_, first_us)| *first_us);
                let is_alone = arrived.1.saturating_sub(first_us) >= ALONE_US;
                self.held_bytes += arrived.0.payload.len();
                self.held.push(arrived);
                let is_full = self.held.len() >= HELD_MAX || self.held_bytes >= HELD_BYTES_MAX;
                if self.announced == Some(ssrc) {
                    self.change(ssrc)
                } else if let Some((first, _)) = self.held.first().filter(|_| is_alone || is_full) {
                    self.change(first.ssrc)
                } else {
                    Verdict::Held
                }
            }
        }
    }

    fn is_mixed_in(&self, (packet, now_us): &Arrived) -> bool {
        let is_known = |mixed: &Mixed| mixed.ssrc == packet.ssrc && mixed.times >= MIXED;
        self.mixed.iter().any(is_known)
            && self.announced != Some(packet.ssrc)
            && now_us.saturating_sub(self.ours_us) < MIXED_SILENCE_US
    }

    fn rename(&mut self, arrived: Arrived) -> Verdict {
        self.current = Some(arrived.0.ssrc);
        if self.held.is_empty() {
            return Verdict::Ours(arrived);
        }
        let mut held = std::mem::take(&mut self.held);
        held.push(arrived);
        self.held_bytes = 0;
        self.senders.clear();
        self.mixed.clear();
        Verdict::Renamed(held)
    }

    /// Whether all SSRCs have one sequence: once they have, for good.
    fn shares_sequence(&mut self, packet: &Packet) -> bool {
        let last = self.last.replace((packet.ssrc, packet.sequence));
        if let Some((ssrc, sequence)) = last.filter(|_| self.shared < SHARED) {
            match sequence.wrapping_add(1) == packet.sequence {
                true => self.shared += u32::from(ssrc != packet.ssrc),
                false => self.shared = 0,
            }
        }
        self.shared >= SHARED
    }

    /// The sender says that it sends no more, or the stream has ended: who is held is the new one.
    pub(super) fn end(&mut self) -> Option<Vec<Arrived>> {
        self.ours_us = i64::MIN;
        let ssrc = self.held.first()?.0.ssrc;
        match self.change(ssrc) {
            Verdict::Changed(held) => Some(held),
            _ => None,
        }
    }

    /// Keeps the report of a sender whose packets are not ours: it often comes before the first of them.
    pub(super) fn keep_report(&mut self, report: SenderReport, now_us: i64) {
        self.reports.retain(|(other, _)| other.ssrc != report.ssrc);
        if self.reports.len() == SENDERS_MAX {
            self.reports.remove(0);
        }
        self.reports.push((report, now_us));
    }

    /// The report that was kept of the sender that is ours now, and when it came.
    pub(super) fn early_report(&mut self) -> Option<(SenderReport, i64)> {
        let ours = self.current?;
        let at = self
            .reports
            .iter()
            .position(|(report, _)| report.ssrc == ours)?;
        Some(self.reports.remove(at))
    }

    fn change(&mut self, ssrc: u32) -> Verdict {
        self.current = Some(ssrc);
        self.held_bytes = 0;
        self.senders.clear();
        self.mixed.clear();
        Verdict::Changed(std::mem::take(&mut self.held))
    }

    fn pass_over_held(&mut self) {
        let last_us = self.held.last().map_or(0, |(_, at_us)| *at_us);
        self.foreign += self.held.len() as u64;
        self.held.clear();
        self.held_bytes = 0;
        for ssrc in self.senders.drain(..) {
            let known = self.mixed.iter().position(|mixed| mixed.ssrc == ssrc);
            let before = known.map(|at| self.mixed.remove(at));
            let goes_on = |before: &Mixed| last_us.saturating_sub(before.last_us) < MIXED_PAUSE_US;
            let times = before.filter(goes_on).map_or(1, |before| before.times + 1);
            if self.mixed.len() == SENDERS_MAX {
                self.mixed.remove(0);
            }
            self.mixed.push(Mixed {
                ssrc,
                times,
                last_us,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::samples::packet_of;
    use super::*;

    fn arrived(ssrc: u32, sequence: u16, at_us: i64) -> Arrived {
        let packet = Packet::read(packet_of(ssrc, sequence, 0, false, b"x")).unwrap();
        (packet, at_us)
    }

    #[test]
    fn a_sender_that_is_mixed_in_is_passed_over() {
        let mut sources = Sources::default();
        for n in 0..500 {
            let at_us = i64::from(n) * 40_000;
            assert!(matches!(
                sources.take(arrived(1, n, at_us)),
                Verdict::Ours(_)
            ));
            let verdict = match u32::from(n) < MIXED {
                true => Verdict::Held,
                false => Verdict::Foreign,
            };
            for burst in 0..5 {
                assert_eq!(sources.take(arrived(2, n * 5 + burst, at_us)), verdict);
            }
        }
        assert_eq!(sources.foreign, 500 * 5);
        assert_eq!(sources.current(), Some(1));
        // Nor is it the successor where ours pauses or has ended.
        let silent_us = 499 * 40_000;
        for n in 0..99 {
            let at_us = silent_us + i64::from(n) * 40_000;
            assert_eq!(sources.take(arrived(2, 2_500 + n, at_us)), Verdict::Foreign);
        }
        assert_eq!(sources.end(), None);
        // But where ours has said that it ends another may be the new one at once.
        let later_us = silent_us + 4_000_000;
        assert_eq!(sources.take(arrived(2, 2_700, later_us)), Verdict::Held);
        let alone = arrived(2, 2_701, later_us + ALONE_US);
        assert!(matches!(sources.take(alone), Verdict::Changed(_)));
    }

    #[test]
    fn a_successor_whose_first_packets_crossed_the_last_of_ours_is_taken() {
        let mut sources = Sources::default();
        for n in 0..4 {
            sources.take(arrived(1, n, 0));
            assert_eq!(sources.take(arrived(2, n, 0)), Verdict::Held);
        }
        assert_eq!(sources.take(arrived(2, 4, 100_000)), Verdict::Held);
        let alone = arrived(2, 5, ALONE_US);
        assert!(matches!(sources.take(alone), Verdict::Changed(_)));
    }

    #[test]
    fn a_sender_that_goes_on_alone_is_the_new_one_and_nothing_of_it_is_lost() {
        let mut sources = Sources::default();
        sources.take(arrived(1, 0, 0));
        for n in 0..50 {
            assert_eq!(
                sources.take(arrived(2, n, 40_000 * i64::from(n))),
                Verdict::Held
            );
        }
        let Verdict::Changed(packets) = sources.take(arrived(2, 50, 2_000_000)) else {
            panic!("not changed");
        };
        assert_eq!(packets.len(), 51);
        assert_eq!((packets[0].0.sequence, packets[50].1), (0, 2_000_000));
        assert!(matches!(
            sources.take(arrived(2, 51, 2_040_000)),
            Verdict::Ours(_)
        ));
    }

    #[test]
    fn an_announced_sender_is_preferred_and_a_missing_one_does_no_harm() {
        let mut sources = Sources::default();
        sources.announce(7);
        assert!(matches!(sources.take(arrived(1, 0, 0)), Verdict::Ours(_)));
        let changed = Verdict::Changed(vec![arrived(7, 9, 5)]);
        assert_eq!(sources.take(arrived(7, 9, 5)), changed);
        assert_eq!(sources.take(arrived(1, 1, 6)), Verdict::Held);
    }

    #[test]
    fn another_sender_with_each_packet_is_not_taken_again_and_again() {
        let mut sources = Sources::default();
        let mut taken = 0;
        for n in 0..20_000 {
            let mut ahead = vec![arrived(n, 0, i64::from(n) * 1_000)];
            while let Some(packet) = ahead.pop() {
                taken += 1;
                if let Verdict::Changed(packets) = sources.take(packet) {
                    ahead.extend(packets.into_iter().rev());
                }
            }
            assert!(sources.held.len() <= SENDERS_MAX);
        }
        assert!(taken <= 2 * 20_000, "{taken}");
    }

    #[test]
    fn one_sequence_under_many_names_is_one_sender() {
        type Name = fn(u16) -> u16;
        let names: [(Name, u16); 3] = [(|n| n, 0), (|n| n / 3, 0), (|n| n / 3 % 2, 9)];
        for (name, lost) in names {
            let mut sources = Sources::default();
            let mut ours = 0;
            for n in 0..1_000 {
                let mut ahead = vec![arrived(name(n).into(), n, i64::from(n) * 1_000)];
                while let Some(packet) = ahead.pop() {
                    match sources.take(packet) {
                        Verdict::Ours(_) => ours += 1,
                        Verdict::Renamed(held) => ahead.extend(held.into_iter().rev()),
                        Verdict::Changed(_) => panic!("changed"),
                        Verdict::Held | Verdict::Foreign => {}
                    }
                }
            }
            assert_eq!(ours, 1_000 - lost);
        }
    }

    #[test]
    fn senders_that_follow_on_each_other_are_all_taken() {
        let mut sources = Sources::default();
        sources.take(arrived(1, 0, 0));
        let later: Vec<Arrived> = (2..8)
            .map(|n| arrived(n, 0, i64::from(n) * 500_000))
            .collect();
        let (last, before) = later.split_last().unwrap();
        for held in before.iter().take(4) {
            assert_eq!(sources.take(held.clone()), Verdict::Held);
        }
        assert_eq!(
            sources.take(before[4].clone()),
            Verdict::Changed(before.to_vec())
        );
        assert_eq!(sources.current(), Some(2));
        assert!(matches!(sources.take(before[0].clone()), Verdict::Ours(_)));
        assert_eq!(sources.take(last.clone()), Verdict::Held);
        assert_eq!(sources.foreign, 0);
    }

    #[test]
    fn what_is_held_is_bounded_and_handed_out_at_the_end() {
        let mut sources = Sources::default();
        sources.take(arrived(1, 0, 0));
        for n in 0..HELD_MAX - 1 {
            assert_eq!(sources.take(arrived(2, n as u16, 0)), Verdict::Held);
        }
        assert!(matches!(
            sources.take(arrived(2, 0, 0)),
            Verdict::Changed(_)
        ));
        sources.take(arrived(3, 0, 0));
        assert_eq!(sources.end(), Some(vec![arrived(3, 0, 0)]));
        assert_eq!(sources.end(), None);
    }
}
