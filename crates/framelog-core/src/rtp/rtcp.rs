//! RTCP (RFC 3550 §6): the wall clock that a camera tells, its farewell, and the little that we answer. Not for what a time is worth:
//! that is `timeline`.

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const BYE: u8 = 203;
/// The name under which we receive: one of many receivers that nobody tells apart.
const CANONICAL_NAME: &[u8] = b"framelog";

/// What a camera says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// What time it was.
    SenderReport(SenderReport),
    /// It sends no more (§6.6).
    Bye {
        /// Who.
        ssrc: u32,
    },
}

/// What time it was, by the sender's own wall clock, at an RTP time (§6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderReport {
    /// Who sends.
    pub ssrc: u32,
    /// NTP time: seconds since 1900 in 32.32 bits.
    pub ntp: u64,
    /// The same moment in ticks of the medium's clock.
    pub rtp_time: u32,
}

/// Reads a compound packet, as far as it makes sense. What we don't need is passed over.
pub fn read(compound: &[u8]) -> impl Iterator<Item = Message> {
    let mut rest = compound;
    std::iter::from_fn(move || {
        let ([first, kind, l1, l0], _) = rest.split_first_chunk()?;
        let len = 4 + 4 * usize::from(u16::from_be_bytes([*l1, *l0]));
        let is_rtcp = first >> 6 == 2;
        let kind = *kind;
        // A length that is too great is believed as far as there are bytes.
        let (packet, after) = rest.split_at(len.min(rest.len()));
        rest = after;
        is_rtcp.then(|| message(kind, &packet[4..]))
    })
    .flatten()
}

fn message(kind: u8, body: &[u8]) -> Option<Message> {
    let (ssrc, body) = body.split_first_chunk::<4>()?;
    let ssrc = u32::from_be_bytes(*ssrc);
    match kind {
        BYE => Some(Message::Bye { ssrc }),
        SENDER_REPORT => {
            let (ntp, body) = body.split_first_chunk::<8>()?;
            let (rtp_time, _) = body.split_first_chunk::<4>()?;
            Some(Message::SenderReport(SenderReport {
                ssrc,
                ntp: u64::from_be_bytes(*ntp),
                rtp_time: u32::from_be_bytes(*rtp_time),
            }))
        }
        _ => None,
    }
}

/// What we have received, for a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reception {
    /// Who sends.
    pub ssrc: u32,
    /// The highest sequence number, with the count of its wraps above.
    pub highest_sequence: u32,
    /// Packets that never came.
    pub lost: u32,
    /// The middle 32 bits of the last sender report's NTP time; 0 without one.
    pub last_report: u32,
}

/// A receiver report about one source, from `own_ssrc`, with the source description that must be with it (§6.1): 52 bytes.
pub fn receiver_report(own_ssrc: u32, reception: Reception) -> Vec<u8> {
    let mut out = vec![0x81, RECEIVER_REPORT, 0, 7];
    out.extend_from_slice(&own_ssrc.to_be_bytes());
    out.extend_from_slice(&reception.ssrc.to_be_bytes());
    // The fraction lost (none) and 24 bits of how many.
    out.extend_from_slice(&reception.lost.min(0x7F_FFFF).to_be_bytes());
    out.extend_from_slice(&reception.highest_sequence.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&reception.last_report.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&[0x81, SOURCE_DESCRIPTION, 0, 4]);
    out.extend_from_slice(&own_ssrc.to_be_bytes());
    out.extend_from_slice(&[1, CANONICAL_NAME.len() as u8]);
    out.extend_from_slice(CANONICAL_NAME);
    out.extend_from_slice(&[0; 2]);
    out
}

#[cfg(test)]
pub(super) mod samples {
    pub fn sender_report(ssrc: u32, ntp: u64, rtp_time: u32) -> Vec<u8> {
        let mut out = vec![0x80, super::SENDER_REPORT, 0, 6];
        out.extend_from_slice(&ssrc.to_be_bytes());
        out.extend_from_slice(&ntp.to_be_bytes());
        out.extend_from_slice(&rtp_time.to_be_bytes());
        out.extend_from_slice(&[0; 8]);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reports_and_farewells_are_found_in_a_compound() {
        let mut compound = samples::sender_report(7, 0xE000_0000_8000_0000, 90_000);
        compound.extend_from_slice(&[0x81, SOURCE_DESCRIPTION, 0, 2, 0, 0, 0, 7, 1, 1, b'x', 0]);
        compound.extend_from_slice(&[0x81, BYE, 0, 1, 0, 0, 0, 7]);
        let found: Vec<_> = read(&compound).collect();
        assert_eq!(
            found,
            [
                Message::SenderReport(SenderReport {
                    ssrc: 7,
                    ntp: 0xE000_0000_8000_0000,
                    rtp_time: 90_000
                }),
                Message::Bye { ssrc: 7 },
            ]
        );
    }

    #[test]
    fn a_report_whose_length_is_wrong_is_read_as_far_as_it_goes() {
        let mut long = samples::sender_report(7, 1 << 32, 5);
        long[3] = 200;
        assert_eq!(read(&long).count(), 1);
        assert_eq!(read(&long[..19]).count(), 0);
    }

    #[test]
    fn our_report_is_whole_words_and_is_read_by_its_own_rules() {
        let report = receiver_report(
            1,
            Reception {
                ssrc: 2,
                highest_sequence: 0x1_0005,
                lost: 3,
                last_report: 4,
            },
        );
        assert_eq!(report.len(), 52);
        assert_eq!(
            report[8..24],
            [0, 0, 0, 2, 0, 0, 0, 3, 0, 1, 0, 5, 0, 0, 0, 0]
        );
        let second = 4 + 4 * usize::from(u16::from_be_bytes([report[2], report[3]]));
        assert_eq!(report[second + 1], SOURCE_DESCRIPTION);
        assert_eq!(
            second + 4 + 4 * usize::from(report[second + 3]),
            report.len()
        );
        assert_eq!(read(&report).count(), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            prop_assert!(read(&bytes).count() <= bytes.len() / 4 + 1);
        }
    }
}
