//! What bytes can be the beginning of. Not for where it ends.

/// What comes before an interleaved packet: `$`, channel, length (RFC 2326 §10.12).
pub const PACKET_HEAD: usize = 4;

/// What may stand between messages and packets: line ends, and what some cameras fill up with.
pub const BLANKS: &[u8] = b"\r\n\0";

/// How many of these are passed over before a beginning.
const BLANK_BYTES_MAX: usize = 4;

/// The shortest packet: the first word of RTCP (RFC 3550 §6.4).
const PACKET_BYTES_MIN: usize = 4;

/// How answers begin, in any case.
const ANSWERS: [&[u8]; 3] = [b"RTSP/", b"RTSP ", b"HTTP/"];

/// How requests begin that a camera may send.
const REQUESTS: [&[u8]; 11] = [
    b"OPTIONS ",
    b"ANNOUNCE ",
    b"DESCRIBE ",
    b"GET_PARAMETER ",
    b"PAUSE ",
    b"PLAY ",
    b"PLAY_NOTIFY ",
    b"REDIRECT ",
    b"SETUP ",
    b"SET_PARAMETER ",
    b"TEARDOWN ",
];

/// What some bytes begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// An interleaved packet of RTP or RTCP, or one of no bytes.
    Packet,
    /// An answer or a request.
    Message,
    /// There are too few bytes to know.
    Unknown,
    /// Nothing.
    No,
}

/// What these bytes begin, blanks in front of it passed over.
pub fn begin(bytes: &[u8]) -> Begin {
    let blank = bytes
        .iter()
        .take(BLANK_BYTES_MAX)
        .take_while(|byte| BLANKS.contains(byte));
    let bytes = &bytes[blank.count()..];
    match bytes.first() {
        None => Begin::Unknown,
        Some(b'$') => packet(bytes),
        Some(_) => message(bytes),
    }
}

/// Whether a packet of RTP or RTCP begins here.
pub fn is_packet(bytes: &[u8]) -> bool {
    bytes.first() == Some(&b'$') && packet(bytes) == Begin::Packet
}

/// The length of a packet with its head, as it says itself.
pub fn packet_len(bytes: &[u8]) -> Option<usize> {
    let length = bytes.get(2..PACKET_HEAD)?;
    Some(PACKET_HEAD + usize::from(u16::from_be_bytes([length[0], length[1]])))
}

/// RTP and RTCP have version 2 in their first two bits (RFC 3550 §5.1).
fn packet(bytes: &[u8]) -> Begin {
    match (packet_len(bytes), bytes.get(PACKET_HEAD)) {
        (None, _) => Begin::Unknown,
        (Some(PACKET_HEAD), _) => Begin::Packet,
        (Some(length), _) if length < PACKET_HEAD + PACKET_BYTES_MIN => Begin::No,
        (Some(_), None) => Begin::Unknown,
        (Some(_), Some(first)) if first >> 6 == 2 => Begin::Packet,
        (Some(_), Some(_)) => Begin::No,
    }
}

fn message(bytes: &[u8]) -> Begin {
    let same = |word: &[u8], exactly: bool| {
        let length = word.len().min(bytes.len());
        let (word, bytes) = (&word[..length], &bytes[..length]);
        if exactly {
            word == bytes
        } else {
            word.eq_ignore_ascii_case(bytes)
        }
    };
    let words = ANSWERS
        .iter()
        .map(|word| (word, false))
        .chain(REQUESTS.iter().map(|word| (word, true)));
    let mut best = Begin::No;
    for (word, exactly) in words {
        if same(word, exactly) {
            if bytes.len() >= word.len() {
                return Begin::Message;
            }
            best = Begin::Unknown;
        }
    }
    best
}
