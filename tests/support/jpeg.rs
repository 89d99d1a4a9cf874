//! JPEGs of our own making (T.81 Annex B): each unlike any other, with whatever structure a camera has been seen to send.

use fastrand::Rng;

const SOI: [u8; 2] = [0xff, 0xd8];
const EOI: [u8; 2] = [0xff, 0xd9];

/// A JPEG to be built: structure by its switches, contents by its seed.
#[derive(Clone, Debug)]
pub struct Jpeg {
    seed: u64,
    entropy_bytes: usize,
    width: u16,
    height: u16,
    scans: usize,
    huffman: bool,
    avi1: bool,
    restarts: bool,
    fill: bool,
    end: bool,
    extra: Vec<u8>,
    padding: Vec<u8>,
}

impl Jpeg {
    /// A baseline picture of some hundred bytes.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            entropy_bytes: 60,
            width: 64,
            height: 48,
            scans: 1,
            huffman: true,
            avi1: false,
            restarts: false,
            fill: false,
            end: true,
            extra: Vec::new(),
            padding: Vec::new(),
        }
    }

    /// About so many bytes of picture data.
    pub fn entropy(mut self, bytes: usize) -> Self {
        self.entropy_bytes = bytes;
        self
    }

    /// This size in pixels.
    pub fn pixels(mut self, width: u16, height: u16) -> Self {
        (self.width, self.height) = (width, height);
        self
    }

    /// A progressive picture of several scans.
    pub fn progressive(mut self) -> Self {
        self.scans = 4;
        self
    }

    /// As UVC cameras send it: `AVI1` and no Huffman tables.
    pub fn without_huffman_tables(mut self) -> Self {
        (self.huffman, self.avi1) = (false, true);
        self
    }

    /// With restart markers in the picture data.
    pub fn restarts(mut self) -> Self {
        self.restarts = true;
        self
    }

    /// With fill bytes (`FF FF`) before each marker (T.81 B.1.1.2).
    pub fn fill_bytes(mut self) -> Self {
        self.fill = true;
        self
    }

    /// Without its EOI.
    pub fn without_end(mut self) -> Self {
        self.end = false;
        self
    }

    /// With this after its EOI.
    pub fn padding(mut self, bytes: &[u8]) -> Self {
        self.padding = bytes.to_vec();
        self
    }

    /// With a further segment, such as a comment (`0xfe`) or APP1 (`0xe1`), before the tables.
    pub fn segment(mut self, marker: u8, contents: &[u8]) -> Self {
        let segment = segment(marker, contents);
        self.extra.extend(segment);
        self
    }

    /// With an Exif thumbnail: a whole JPEG, SOI and EOI included, within APP1.
    pub fn exif_thumbnail(self) -> Self {
        let thumbnail = Jpeg::new(self.seed ^ 0x5eed).entropy(80).bytes();
        let exif = [&b"Exif\0\0II*\0\x08\0\0\0"[..], &thumbnail].concat();
        self.segment(0xe1, &exif)
    }

    /// The picture.
    pub fn bytes(&self) -> Vec<u8> {
        let mut rng = Rng::with_seed(self.seed);
        let mut out = SOI.to_vec();
        for segment in self.tables(&mut rng) {
            let fill = if self.fill { rng.usize(1..4) } else { 0 };
            out.extend(std::iter::repeat_n(0xff, fill));
            out.extend(segment);
        }
        for scan in 0..self.scans {
            out.extend(segment(0xda, &[1, 1, 0, 0, 63, u8::from(scan > 0)]));
            self.put_entropy(&mut rng, self.entropy_bytes / self.scans, &mut out);
        }
        if self.end {
            out.extend(EOI);
        }
        out.extend(&self.padding);
        out
    }

    /// The segments between SOI and the first scan.
    fn tables(&self, rng: &mut Rng) -> Vec<Vec<u8>> {
        let app0: &[u8] = if self.avi1 {
            b"AVI1\0\0\0\0\0\0\0\0\0\0"
        } else {
            b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
        };
        let quantisation: Vec<u8> = std::iter::once(0)
            .chain((0..64).map(|_| rng.u8(1..=254)))
            .collect();
        let frame_type = if self.scans > 1 { 0xc2 } else { 0xc0 };
        let [h1, h0] = self.height.to_be_bytes();
        let [w1, w0] = self.width.to_be_bytes();
        let mut segments = vec![segment(0xe0, app0)];
        if !self.extra.is_empty() {
            segments.push(self.extra.clone());
        }
        segments.push(segment(0xdb, &quantisation));
        segments.push(segment(frame_type, &[8, h1, h0, w1, w0, 1, 1, 0x11, 0]));
        if self.huffman {
            // One code of two bits in each table is the least that is well-formed.
            segments.extend([0x00, 0x10].map(|class| {
                segment(
                    0xc4,
                    &[class, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                )
            }));
        }
        if self.restarts {
            segments.push(segment(0xdd, &[0, 4]));
        }
        segments
    }

    /// Random picture data, `FF` stuffed as `FF 00`.
    fn put_entropy(&self, rng: &mut Rng, bytes: usize, out: &mut Vec<u8>) {
        for position in 0..bytes {
            if self.restarts && position % 64 == 63 {
                out.extend([
                    0xff,
                    0xd0 + u8::try_from(position / 64 % 8).expect("below 8"),
                ]);
            }
            match rng.u8(..) {
                0xff => out.extend([0xff, 0x00]),
                byte => out.push(byte),
            }
        }
        // A last byte of picture data that is neither FF nor a line end, so that a test can tell the two apart.
        out.push(0x5a);
    }
}

/// A marker segment: marker, length, contents.
fn segment(marker: u8, contents: &[u8]) -> Vec<u8> {
    let length = u16::try_from(contents.len() + 2).expect("a segment of at most 65533 bytes");
    [&[0xff, marker], &length.to_be_bytes()[..], contents].concat()
}

/// Whether the bytes begin as a JPEG does.
pub fn has_soi(bytes: &[u8]) -> bool {
    bytes.starts_with(&SOI)
}

/// The pictures in what an encoder wrote one behind the other. Only for encoders that write no thumbnails.
pub fn split_pictures(bytes: &[u8]) -> Vec<&[u8]> {
    let mut begins: Vec<_> = bytes
        .windows(3)
        .enumerate()
        .filter(|(_, window)| *window == b"\xff\xd8\xff")
        .map(|(begin, _)| begin)
        .collect();
    begins.push(bytes.len());
    begins
        .windows(2)
        .map(|pair| &bytes[pair[0]..pair[1]])
        .collect()
}
