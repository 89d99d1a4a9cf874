//! The structure of a JPEG (ITU-T T.81 Annex B): where it ends, whether it is whole, its size in pixels. Not for decoding pictures.

/// Start of image.
pub const SOI: [u8; 2] = [0xFF, 0xD8];
/// End of image.
pub const EOI: [u8; 2] = [0xFF, 0xD9];

const MARKER_SOI: u8 = 0xD8;
const MARKER_EOI: u8 = 0xD9;
pub(crate) const MARKER_SOS: u8 = 0xDA;
/// The length that an SOS segment has at most, with four components (T.81 B.2.3). No decoder takes more, and a wrong one would hide all that it spans:
/// in scan data anything may stand, up to the next EOI.
const SOS_LENGTH_MAX: u16 = 14;
/// The longest segment behind the first scan: tables, and what cameras append. What claims to be longer is damaged data, and would hide all that it spans
/// in the same way.
const LENGTH_MAX_BEHIND_SCAN: u16 = 4 << 10;
const MARKER_DHT: u8 = 0xC4;
const MARKER_COM: u8 = 0xFE;

/// What a [`Walker`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// All bytes fit so far.
    More,
    /// The EOI; the JPEG ends behind the bytes taken.
    End,
    /// No JPEG goes on like this: it was torn, or its lengths are wrong. The bytes from [`Walker::doubtful_from`] on may belong to
    /// something else.
    Broken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Soi { second: bool },
    Marker,
    Code,
    Length { code: u8, high: Option<u8> },
    Segment { left: usize, then_scan: bool },
    Scan,
    ScanCode,
}

/// Follows a JPEG through its segments, in any split, without looking into them: Exif thumbnails have an SOI and an EOI of their own, and
/// comments hold anything.
///
/// In entropy-coded data a marker is an `FF` that is followed by neither a stuffed zero, a restart marker nor another fill byte; several
/// scans (progressive JPEG) are followed to the last.
#[derive(Clone, Debug)]
pub struct Walker {
    state: State,
    taken: usize,
    doubtful_from: usize,
    has_scan: bool,
    /// A scan of the present picture has begun.
    is_behind_scan: bool,
    /// The longest segment behind it.
    length_max_behind_scan: u16,
}

impl Default for Walker {
    fn default() -> Self {
        Self {
            state: State::Soi { second: false },
            taken: 0,
            doubtful_from: 0,
            has_scan: false,
            is_behind_scan: false,
            length_max_behind_scan: LENGTH_MAX_BEHIND_SCAN,
        }
    }
}

impl Walker {
    /// Of a JPEG that is there as a whole, alone: what a segment of any length spans is its own, and a false one leads beyond the end or to no marker.
    pub fn of_whole() -> Self {
        Self {
            length_max_behind_scan: u16::MAX,
            ..Self::default()
        }
    }

    /// Number of bytes taken so far, from the SOI on.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// Whether entropy-coded data has begun: from here on there is a picture to see.
    pub fn has_scan(&self) -> bool {
        self.has_scan
    }

    /// Where the segment or scan begins in which the structure broke: nothing before it is in doubt.
    pub fn doubtful_from(&self) -> usize {
        self.doubtful_from
    }

    /// Behind the EOI: what is taken next is another picture of the same file (MPO).
    pub fn go_on_with_another(&mut self) {
        self.state = State::Soi { second: false };
        self.is_behind_scan = false;
        self.doubtful_from = self.taken;
    }

    /// Takes bytes up to the end of the header segments, the EOI or the first byte that does not fit.
    pub fn take_headers(&mut self, bytes: &[u8]) -> Walk {
        self.take_until(bytes, true)
    }

    /// Takes bytes up to the EOI or the first byte that does not fit.
    pub fn take(&mut self, bytes: &[u8]) -> Walk {
        self.take_until(bytes, false)
    }

    fn take_until(&mut self, bytes: &[u8], stop_at_scan: bool) -> Walk {
        let mut rest = bytes;
        while let Some(&byte) = rest.first() {
            let mut used = 1;
            match self.state {
                State::Soi { second } => {
                    if byte != SOI[usize::from(second)] {
                        return Walk::Broken;
                    }
                    self.state = if second {
                        State::Marker
                    } else {
                        State::Soi { second: true }
                    };
                }
                State::Marker => {
                    if byte != 0xFF {
                        return Walk::Broken;
                    }
                    self.state = State::Code;
                    if let [_, code @ (0xC0..=0xCF | MARKER_SOS..=0xFE), high, low, ..] = *rest
                        && let length = u16::from_be_bytes([high, low])
                        && self.is_possible(code, length)
                    {
                        // A whole marker segment's head, the usual case: the states below, in one step.
                        used = 4;
                        self.doubtful_from = self.taken;
                        let left = usize::from(length) - 2;
                        self.state = self.after_length(left, code == MARKER_SOS, used);
                    }
                }
                State::Code => match byte {
                    0xFF => {}
                    MARKER_EOI => {
                        self.taken += 1;
                        return Walk::End;
                    }
                    0x00..=0xBF | 0xD0..=0xD8 => return Walk::Broken,
                    code => {
                        self.doubtful_from = self.taken - 1;
                        self.state = State::Length { code, high: None };
                    }
                },
                State::Length { code, high: None } => {
                    self.state = State::Length {
                        code,
                        high: Some(byte),
                    }
                }
                State::Length {
                    code,
                    high: Some(high),
                } => {
                    let length = u16::from_be_bytes([high, byte]);
                    if !self.is_possible(code, length) {
                        return Walk::Broken;
                    }
                    let left = usize::from(length) - 2;
                    self.state = self.after_length(left, code == MARKER_SOS, used);
                }
                State::Segment { left, then_scan } => {
                    used = left.min(rest.len());
                    self.state = if used < left {
                        State::Segment {
                            left: left - used,
                            then_scan,
                        }
                    } else {
                        self.after_length(0, then_scan, used)
                    };
                }
                State::Scan => {
                    if stop_at_scan {
                        return Walk::More;
                    }
                    used = rest.len();
                    if let Some(at) = find_marker(rest) {
                        used = at + 1;
                        self.state = State::ScanCode;
                    }
                }
                State::ScanCode => match byte {
                    0xFF => {}
                    MARKER_SOI => return Walk::Broken,
                    MARKER_EOI => {
                        self.taken += 1;
                        return Walk::End;
                    }
                    MARKER_DHT | MARKER_SOS..=0xDF | 0xE0..=0xEF | MARKER_COM => {
                        self.doubtful_from = self.taken - 1;
                        self.state = State::Length {
                            code: byte,
                            high: None,
                        };
                    }
                    // Stuffing, restarts, and codes that mean nothing here: decoders read over them.
                    _ => self.state = State::Scan,
                },
            }
            self.taken += used;
            rest = &rest[used..];
        }
        Walk::More
    }

    /// Whether a segment may have this length, itself included.
    fn is_possible(&self, code: u8, length: u16) -> bool {
        let max = match code {
            MARKER_SOS => SOS_LENGTH_MAX,
            _ if self.is_behind_scan => self.length_max_behind_scan,
            _ => u16::MAX,
        };
        (2..=max).contains(&length)
    }

    fn after_length(&mut self, left: usize, then_scan: bool, used: usize) -> State {
        match (left, then_scan) {
            (0, false) => State::Marker,
            (0, true) => {
                self.has_scan = true;
                self.is_behind_scan = true;
                self.doubtful_from = self.taken + used;
                State::Scan
            }
            (left, then_scan) => State::Segment { left, then_scan },
        }
    }
}

/// Where the next marker's `FF` is in entropy-coded data; the last byte counts if it is `FF`.
fn find_marker(scan: &[u8]) -> Option<usize> {
    const BLOCK: usize = 128;
    let marker = |first: u8, second: u8| {
        (first == 0xFF) & (second != 0x00) & (second & 0xF8 != 0xD0) & (second != 0xFF)
    };
    let mut from = 0;
    // Whole blocks without a branch inside, so that the compiler makes vector code of it: this is the only loop over every byte.
    while let (Some(firsts), Some(seconds)) = (
        scan.get(from..from + BLOCK),
        scan.get(from + 1..from + 1 + BLOCK),
    ) {
        let mut any = false;
        for (&first, &second) in firsts.iter().zip(seconds) {
            any |= marker(first, second);
        }
        if any {
            break;
        }
        from += BLOCK;
    }
    let rest = &scan[from..];
    rest.windows(2)
        .position(|pair| marker(pair[0], pair[1]))
        .or_else(|| (rest.last() == Some(&0xFF)).then(|| rest.len() - 1))
        .map(|at| from + at)
}

/// A marker segment before or between scans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// The marker's second byte: `0xC0` for a baseline frame header, `0xFE` for a comment.
    pub code: u8,
    /// Its contents, without marker and length.
    pub body: &'a [u8],
}

/// The marker segments from the SOI to the first scan (the SOS segment is the last). Ends early where the structure does.
pub fn header_segments(jpeg: &[u8]) -> impl Iterator<Item = Segment<'_>> {
    let mut rest = jpeg.strip_prefix(&SOI);
    std::iter::from_fn(move || {
        let mut bytes = rest.take()?;
        bytes = bytes.strip_prefix(&[0xFF])?;
        while let Some(after_fill) = bytes.strip_prefix(&[0xFF]) {
            bytes = after_fill;
        }
        let (&code, after_code) = bytes.split_first()?;
        let (length, after_length) = after_code.split_first_chunk::<2>()?;
        let left = usize::from(u16::from_be_bytes(*length)).checked_sub(2)?;
        let (body, after) = after_length.split_at_checked(left)?;
        if code != MARKER_SOS {
            rest = Some(after);
        }
        Some(Segment { code, body })
    })
}

/// What a JPEG's headers say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Pixels; 0 where a DNL segment says it later.
    pub width: u16,
    /// Pixels.
    pub height: u16,
    /// Several scans of growing detail.
    pub progressive: bool,
    /// Huffman tables are there. UVC cameras leave them out.
    pub has_huffman_tables: bool,
}

impl Facts {
    /// Reads the header segments; `None` without a frame header.
    pub fn read(jpeg: &[u8]) -> Option<Self> {
        let mut facts = Facts::default();
        let mut found = false;
        for Segment { code, body } in header_segments(jpeg) {
            match (code, body) {
                (MARKER_DHT, _) => facts.has_huffman_tables = true,
                (0xC8 | 0xCC, _) => {}
                (0xC0..=0xCF, [_, h1, h0, w1, w0, ..]) => {
                    facts.height = u16::from_be_bytes([*h1, *h0]);
                    facts.width = u16::from_be_bytes([*w1, *w0]);
                    facts.progressive = matches!(code, 0xC2 | 0xC6 | 0xCA | 0xCE);
                    found = true;
                }
                _ => {}
            }
        }
        found.then_some(facts)
    }
}

/// The JPEG's comments (COM segments before the first scan).
pub fn comments(jpeg: &[u8]) -> impl Iterator<Item = &[u8]> {
    header_segments(jpeg)
        .filter(|segment| segment.code == MARKER_COM)
        .map(|segment| segment.body)
}

#[cfg(test)]
pub(crate) mod samples {
    /// A JPEG with the given segments between SOI and scan, and the given entropy-coded data.
    pub fn jpeg(segments: &[(u8, &[u8])], scan: &[u8]) -> Vec<u8> {
        let mut out = vec![0xFF, 0xD8];
        for (code, body) in segments {
            segment(&mut out, *code, body);
        }
        segment(&mut out, 0xC0, &[8, 0, 16, 0, 32, 1, 1, 0x11, 0]);
        segment(&mut out, 0xDA, &[1, 1, 0, 0, 63, 0]);
        out.extend_from_slice(scan);
        out.extend_from_slice(&[0xFF, 0xD9]);
        out
    }

    pub fn segment(out: &mut Vec<u8>, code: u8, body: &[u8]) {
        out.extend_from_slice(&[0xFF, code]);
        out.extend_from_slice(&u16::try_from(body.len() + 2).unwrap().to_be_bytes());
        out.extend_from_slice(body);
    }

    /// Entropy-coded data of about `len` bytes that differs with `seed`: stuffed, with restart markers.
    pub fn scan(len: usize, seed: u32) -> Vec<u8> {
        let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12345);
        let mut out = Vec::with_capacity(len + 16);
        while out.len() < len {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let byte = (state >> 24) as u8;
            out.push(byte);
            if byte == 0xFF {
                out.push(if state & 0x100 == 0 {
                    0
                } else {
                    0xD0 + (state >> 9 & 7) as u8
                });
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::samples::{jpeg, scan, segment};
    use super::*;
    use proptest::prelude::*;

    fn walk(bytes: &[u8]) -> (Walk, usize) {
        let mut walker = Walker::default();
        let found = walker.take(bytes);
        (found, walker.taken())
    }

    #[test]
    fn exif_thumbnail_and_comment_with_eoi_do_not_end_the_picture() {
        let thumbnail = jpeg(&[], &scan(50, 1));
        let whole = jpeg(
            &[(0xE1, &thumbnail), (0xFE, b"\xFF\xD9 end \xFF\xD8")],
            &scan(500, 2),
        );
        assert_eq!(walk(&whole), (Walk::End, whole.len()));
    }

    #[test]
    fn progressive_scans_and_fill_bytes_are_followed_to_the_last_eoi() {
        let mut whole = jpeg(&[], &scan(100, 3));
        whole.truncate(whole.len() - 2);
        whole.extend_from_slice(&[0xFF, 0xFF]);
        segment(&mut whole, MARKER_DHT, &[0; 20]);
        segment(&mut whole, MARKER_SOS, &[1, 1, 0, 0, 63, 0]);
        whole.extend_from_slice(&scan(100, 4));
        whole.extend_from_slice(&[0xFF, 0xFF, 0xFF, 0xD9]);
        assert_eq!(walk(&whole), (Walk::End, whole.len()));
    }

    #[test]
    fn a_torn_scan_breaks_at_the_next_soi() {
        let whole = jpeg(&[], &scan(300, 5));
        let mut torn = whole[..200].to_vec();
        torn.extend_from_slice(b"\r\n--b\r\n\r\n");
        let soi_at = torn.len();
        torn.extend_from_slice(&whole);
        let mut walker = Walker::default();
        assert_eq!(walker.take(&torn), Walk::Broken);
        assert_eq!(walker.taken(), soi_at + 1);
        assert!(walker.doubtful_from() < 200);
    }

    #[test]
    fn a_segment_whose_length_lies_is_the_doubtful_one() {
        let mut lying = vec![0xFF, 0xD8];
        segment(&mut lying, 0xE0, &[0; 14]);
        let at = lying.len();
        lying.extend_from_slice(&[0xFF, 0xDB, 0x00, 0x05, 1, 2, 3, 0x00]);
        let mut walker = Walker::default();
        assert_eq!(walker.take(&lying), Walk::Broken);
        assert_eq!(walker.doubtful_from(), at);
    }

    #[test]
    fn a_scan_header_of_an_impossible_length_hides_nothing_behind_it() {
        let whole = jpeg(&[], &scan(300, 8));
        let at = whole
            .windows(2)
            .position(|pair| pair == [0xFF, MARKER_SOS])
            .unwrap();
        for length in [0_u16, 1, SOS_LENGTH_MAX + 1, 0xFF00] {
            let mut damaged = whole.clone();
            damaged[at + 2..at + 4].copy_from_slice(&length.to_be_bytes());
            let mut walker = Walker::default();
            assert_eq!(walker.take(&damaged), Walk::Broken);
            assert_eq!(walker.doubtful_from(), at);
            assert_eq!(dripped(&damaged).0, Walk::Broken);
        }
    }

    #[test]
    fn damage_in_a_scan_that_looks_like_a_long_segment_hides_nothing_behind_it() {
        for length in [LENGTH_MAX_BEHIND_SCAN + 1, 0xFF00] {
            let [high, low] = length.to_be_bytes();
            let damaged = jpeg(&[], &[0x12, 0x34, 0xFF, 0xE1, high, low, 0x56, 0x78]);
            assert_eq!(walk(&damaged).0, Walk::Broken);
            assert_eq!(dripped(&damaged).0, Walk::Broken);
            let before = jpeg(&[(0xE1, &vec![0; usize::from(length) - 2])], &scan(50, 1));
            let mut walker = Walker::default();
            assert_eq!(walker.take(&before), Walk::End);
            walker.go_on_with_another();
            assert_eq!(walker.take(&before), Walk::End);
        }
    }

    #[test]
    fn of_a_whole_picture_a_long_segment_behind_the_scan_is_told_from_damage_by_where_it_leads() {
        let whole = jpeg(&[], &scan(50, 1));
        let (before, eoi) = whole.split_at(whole.len() - 2);
        let appended = [before, b"\xFF\xEF\x40\x00", &[7; 0x3FFE], eoi].concat();
        assert_eq!(walk(&appended).0, Walk::Broken);
        assert_eq!(Walker::of_whole().take(&appended), Walk::End);
        for length in [[0xFF, 0x00], [0x10, 0x10]] {
            let damage = [&[0x12, 0xFF, 0xE1], &length[..], &[0x34; 0x2000]].concat();
            let damaged = jpeg(&[], &damage);
            assert_ne!(Walker::of_whole().take(&damaged), Walk::End, "{length:x?}");
        }
    }

    /// Takes byte by byte.
    fn dripped(bytes: &[u8]) -> (Walk, Walker) {
        let mut walker = Walker::default();
        for byte in bytes.chunks(1) {
            match walker.take(byte) {
                Walk::More => {}
                found => return (found, walker),
            }
        }
        (Walk::More, walker)
    }

    #[test]
    fn a_picture_has_a_scan_once_the_header_of_one_is_whole() {
        let whole = jpeg(&[], &scan(50, 7));
        let scan_at = whole.len() - 2 - scan(50, 7).len();
        for (taken, has_scan) in [(0, false), (scan_at - 1, false), (scan_at, true)] {
            let (_, walker) = dripped(&whole[..taken]);
            assert_eq!(walker.has_scan(), has_scan, "{taken}");
            let mut walker = Walker::default();
            walker.take(&whole[..taken]);
            assert_eq!(walker.has_scan(), has_scan, "{taken}");
        }
    }

    #[test]
    fn what_lies_between_scans_is_followed_in_any_split() {
        let mut whole = jpeg(&[], &scan(100, 3));
        whole.truncate(whole.len() - 2);
        whole.extend_from_slice(&[0xFF, 0xFF]);
        segment(&mut whole, MARKER_DHT, b"\xFF\xD9 no end \xFF\xD8");
        segment(&mut whole, MARKER_SOS, &[1, 1, 0, 0, 63, 0]);
        whole.extend_from_slice(&scan(100, 4));
        whole.extend_from_slice(&[0xFF, 0xFF, 0xFF, 0xD9]);
        let behind = [&whole[..], b"\r\n--b"].concat();
        assert_eq!(walk(&behind), (Walk::End, whole.len()));
        let (found, walker) = dripped(&behind);
        assert_eq!((found, walker.taken()), (Walk::End, whole.len()));
    }

    #[test]
    fn a_picture_without_a_scan_ends_at_its_eoi() {
        let mut whole = vec![0xFF, 0xD8];
        segment(&mut whole, 0xE0, &[0; 14]);
        whole.extend_from_slice(&EOI);
        assert_eq!(walk(&whole), (Walk::End, whole.len()));
        let (found, walker) = dripped(&whole);
        assert_eq!((found, walker.taken()), (Walk::End, whole.len()));
    }

    #[test]
    fn doubtful_is_what_begins_where_the_structure_broke_in_any_split() {
        let lie = [0xFF, 0xDB, 0x00, 0x05, 1, 2, 3, 0x00];
        let mut in_headers = vec![0xFF, 0xD8];
        segment(&mut in_headers, 0xE0, &[0; 14]);
        let in_scan = jpeg(&[], b"data");
        let in_scan = &in_scan[..in_scan.len() - 2];
        let between = [in_scan, &lie].concat();
        for (bytes, from) in [
            ([&in_headers[..], &lie].concat(), in_headers.len()),
            (
                [in_scan, b"more\xFF\xD8"].concat(),
                in_scan.len() - "data".len(),
            ),
            (between, in_scan.len()),
        ] {
            let mut walker = Walker::default();
            assert_eq!(walker.take(&bytes), Walk::Broken);
            assert_eq!(walker.doubtful_from(), from);
            let (found, walker) = dripped(&bytes);
            assert_eq!((found, walker.doubtful_from()), (Walk::Broken, from));
        }
    }

    #[test]
    fn only_a_frame_header_says_a_size() {
        for (code, is_frame) in [(0xC0, true), (0xC8, false), (0xCC, false), (0xCF, true)] {
            let mut headers = vec![0xFF, 0xD8];
            segment(&mut headers, code, &[8, 0, 16, 0, 32, 1]);
            assert_eq!(Facts::read(&headers).is_some(), is_frame, "{code:x}");
        }
    }

    #[test]
    fn size_and_tables_are_read_from_the_headers() {
        let whole = jpeg(&[(MARKER_DHT, &[0; 3])], &scan(10, 6));
        assert_eq!(
            Facts::read(&whole),
            Some(Facts {
                width: 32,
                height: 16,
                progressive: false,
                has_huffman_tables: true
            })
        );
        assert_eq!(Facts::read(&whole[..10]), None);
        let commented = jpeg(&[(MARKER_COM, b"TIT=1302498816.936")], &[]);
        assert_eq!(
            comments(&commented).collect::<Vec<_>>(),
            [&b"TIT=1302498816.936"[..]]
        );
    }

    proptest! {
        #[test]
        fn any_split_finds_the_same_end(len in 0usize..2000, seed: u32, cuts in prop::collection::vec(0usize..2200, 0..6), junk in prop::collection::vec(any::<u8>(), 0..40)) {
            let whole = jpeg(&[(0xE1, &[0xFF; 60])], &scan(len, seed));
            let mut stream = whole.clone();
            stream.extend_from_slice(&junk);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % stream.len()).collect();
            cuts.push(stream.len());
            cuts.sort_unstable();
            let mut walker = Walker::default();
            let mut from = 0;
            for cut in cuts {
                if walker.take(&stream[from..cut]) == Walk::End {
                    break;
                }
                from = cut;
            }
            prop_assert_eq!(walker.taken(), whole.len());
        }

        #[test]
        fn any_bytes_are_taken_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut walker = Walker::default();
            let _ = walker.take(&bytes);
            prop_assert!(walker.taken() <= bytes.len());
            let _ = Facts::read(&bytes);
        }
    }
}
