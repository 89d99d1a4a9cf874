//! A `uuid` box with the checksum of its neighbours: those that hold no frame, and so are in no frame's checksum.

/// Of the whole box, bytes.
pub(super) const LEN: usize = HEADER.len() + 4;

/// Everything before the checksum: length, `uuid` and the box's id (ISO/IEC 14496-12, 11.1).
pub(super) const HEADER: &[u8; 24] = &[
    0, 0, 0, 28, b'u', b'u', b'i', b'd', 0x13, 0x69, 0x8e, 0x72, 0x9b, 0x71, 0x4a, 0x90, 0xaa,
    0xa0, 0xf9, 0xe1, 0xd0, 0x9c, 0xc0, 0x5c,
];

/// The box for these bytes.
pub(super) fn of(bytes: &[u8]) -> [u8; LEN] {
    let mut made = [0; LEN];
    let (header, crc) = made.split_at_mut(HEADER.len());
    header.copy_from_slice(HEADER);
    crc.copy_from_slice(&crc32fast::hash(bytes).to_be_bytes());
    made
}

/// Appends the box for what was written from `start` on.
pub(super) fn append_to(start: usize, out: &mut Vec<u8>) {
    let made = of(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&made);
}

/// Whether the box is that of these bytes.
pub(super) fn holds(check: &[u8; LEN], bytes: &[u8]) -> bool {
    *check == of(bytes)
}
