//! Pictures to measure with, the size and structure of real ones. Not for looking at.

/// A baseline JPEG of exactly `bytes` bytes with the tables of a real one, and entropy-coded data in which every `FF` is stuffed.
pub fn picture(bytes: usize, seed: u64) -> Vec<u8> {
    const EOI: [u8; 2] = [0xFF, 0xD9];
    let mut out = vec![0xFF, 0xD8];
    for (code, body) in header_segments() {
        out.extend_from_slice(&[0xFF, code, 0, (body.len() + 2) as u8]);
        out.extend_from_slice(&body);
    }
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    while out.len() + EOI.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let byte = (state >> 56) as u8;
        out.push(byte);
        if byte == 0xFF {
            out.push(0);
        }
    }
    out.truncate(bytes - EOI.len());
    // The cut may have taken a stuffed zero off.
    if let Some(last) = out.last_mut()
        && *last == 0xFF
    {
        *last = 0;
    }
    out.extend_from_slice(&EOI);
    out
}

/// Markers and bodies of the segments before the scan: 640 × 480, three components, tables that a decoder takes.
fn header_segments() -> [(u8, Vec<u8>); 9] {
    const DC_CODES: [u8; 16] = [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0];
    const AC_CODES: [u8; 16] = [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125];
    let quantisation = |id: u8| [vec![id], vec![16; 64]].concat();
    let huffman = |id: u8, codes: [u8; 16]| {
        let symbols = (0..codes.iter().sum()).collect();
        [vec![id], codes.to_vec(), symbols].concat()
    };
    let frame = [8, 1, 0xE0, 2, 0x80, 3, 1, 0x21, 0, 2, 0x11, 1, 3, 0x11, 1];
    [
        (0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0".to_vec()),
        (0xDB, quantisation(0)),
        (0xDB, quantisation(1)),
        (0xC0, frame.to_vec()),
        (0xC4, huffman(0x00, DC_CODES)),
        (0xC4, huffman(0x10, AC_CODES)),
        (0xC4, huffman(0x01, DC_CODES)),
        (0xC4, huffman(0x11, AC_CODES)),
        (0xDA, vec![3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0]),
    ]
}
