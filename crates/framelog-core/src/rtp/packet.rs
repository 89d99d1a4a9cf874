//! An RTP packet (RFC 3550 §5.1), as slices of the bytes received. Not for what is in the payload.

use bytes::Bytes;

/// The fixed part of the header, bytes.
const HEADER_BYTES: usize = 12;

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// 0 to 127.
    pub payload_type: u8,
    /// What it means is the payload format's: for video, the last packet of a picture.
    pub marker: bool,
    /// Counts packets; wraps.
    pub sequence: u16,
    /// In ticks of the medium's clock; wraps.
    pub rtp_time: u32,
    /// Who sends.
    pub ssrc: u32,
    /// What is in the header extension (RFC 3550 §5.3.1), whatever its profile; empty if there is none.
    pub extension: Bytes,
    /// Behind header and extension, without padding.
    pub payload: Bytes,
}

impl Packet {
    /// Reads a packet; `None` if it is none. Padding that would be longer than the payload is taken as payload, as other receivers do.
    pub fn read(bytes: Bytes) -> Option<Self> {
        let header: [u8; HEADER_BYTES] = *bytes.first_chunk()?;
        let [first, second, s1, s0, rest @ ..] = header;
        let [t3, t2, t1, t0, r3, r2, r1, r0] = rest;
        if first >> 6 != 2 {
            return None;
        }
        let mut payload = bytes;
        let _ = payload.split_to(HEADER_BYTES);
        take(&mut payload, usize::from(first & 0x0F) * 4)?;
        let extension = match first & 0x10 {
            0 => Bytes::new(),
            _ => read_extension(&mut payload)?,
        };
        let padding = payload.last().copied().map_or(0, usize::from);
        if first & 0x20 != 0 && padding <= payload.len() {
            payload.truncate(payload.len() - padding);
        }
        Some(Self {
            payload_type: second & 0x7F,
            marker: second & 0x80 != 0,
            sequence: u16::from_be_bytes([s1, s0]),
            rtp_time: u32::from_be_bytes([t3, t2, t1, t0]),
            ssrc: u32::from_be_bytes([r3, r2, r1, r0]),
            extension,
            payload,
        })
    }
}

/// Splits off so many bytes from the front, if they are there.
pub(super) fn take(bytes: &mut Bytes, len: usize) -> Option<Bytes> {
    (len <= bytes.len()).then(|| bytes.split_to(len))
}

/// Takes a byte from the front.
pub(super) fn take_u8(bytes: &mut Bytes) -> Option<u8> {
    take(bytes, 1)?.first().copied()
}

/// Takes a big-endian number of two bytes from the front.
pub(super) fn take_u16(bytes: &mut Bytes) -> Option<u16> {
    let two = take(bytes, 2)?;
    Some(u16::from_be_bytes(*two.first_chunk()?))
}

fn read_extension(rest: &mut Bytes) -> Option<Bytes> {
    let _profile = take_u16(rest)?;
    let words = take_u16(rest)?;
    take(rest, usize::from(words) * 4)
}

#[cfg(test)]
pub(super) mod samples {
    use bytes::Bytes;

    /// The bytes of a packet of payload type 96.
    pub fn packet(sequence: u16, rtp_time: u32, marker: bool, payload: &[u8]) -> Bytes {
        packet_of(0x1234_5678, sequence, rtp_time, marker, payload)
    }

    pub fn packet_of(
        ssrc: u32,
        sequence: u16,
        rtp_time: u32,
        marker: bool,
        payload: &[u8],
    ) -> Bytes {
        let mut out = vec![0x80, 96 | u8::from(marker) << 7];
        out.extend_from_slice(&sequence.to_be_bytes());
        out.extend_from_slice(&rtp_time.to_be_bytes());
        out.extend_from_slice(&ssrc.to_be_bytes());
        out.extend_from_slice(payload);
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADER: [u8; 12] = [0x80, 0xE0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];

    fn read(first: u8, rest: &[u8]) -> Option<Packet> {
        let mut bytes = HEADER.to_vec();
        bytes[0] = first;
        bytes.extend_from_slice(rest);
        Packet::read(bytes.into())
    }

    #[test]
    fn sources_extension_and_padding_are_taken_off() {
        let packet = read(
            0xB2,
            &[
                0, 0, 0, 9, 0, 0, 0, 8, // two contributing sources
                0xAB, 0xAC, 0, 1, 1, 2, 3, 4, // an extension of one word
                b'd', b'a', b't', b'a', 0, 0, 3,
            ],
        )
        .unwrap();
        assert_eq!(packet.payload, &b"data"[..]);
        assert_eq!(packet.extension, &[1, 2, 3, 4][..]);
        assert_eq!((packet.payload_type, packet.marker), (96, true));
        assert_eq!((packet.sequence, packet.rtp_time, packet.ssrc), (1, 2, 3));
    }

    #[test]
    fn padding_that_cannot_be_is_payload() {
        assert_eq!(read(0xA0, &[1, 2, 200]).unwrap().payload, &[1, 2, 200][..]);
        assert_eq!(read(0xA0, &[1, 2, 0]).unwrap().payload, &[1, 2, 0][..]);
        assert_eq!(read(0xA0, &[]).unwrap().payload, &[][..]);
    }

    #[test]
    fn what_is_no_packet_is_none() {
        assert_eq!(read(0x40, b"data"), None);
        assert_eq!(read(0x81, b"abc"), None);
        assert_eq!(read(0x90, &[0, 0, 0, 1, 2]), None);
        assert_eq!(Packet::read(Bytes::from_static(&HEADER[..11])), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some(packet) = Packet::read(bytes.clone().into()) {
                prop_assert!(packet.payload.len() + HEADER_BYTES <= bytes.len());
            }
        }
    }
}
