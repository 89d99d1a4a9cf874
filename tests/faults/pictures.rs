//! Numbered pictures: each says which camera took it and as which one, in its header and behind its data, so that any frame can be told
//! from any other, and a single wrong byte is noticed. JPEGs, or access units of H.264 or H.265 as they are stored: each NAL unit behind its length.

use fastrand::Rng;

use crate::support::jpeg::Jpeg;
use crate::support::rtsp::{Coding, stored};

const EOI: usize = 2;
const COMMENT: u8 = 0xfe;
const MARK: &[u8] = b"framelog faults ";
/// Length of a number as text.
const NUMBER: usize = 16;
/// How many different pictures are behind the numbers.
const VARIANTS: u64 = 8;
/// Of H.264 and H.265, every so many is a keyframe.
const GOP: u64 = 10;

/// What pictures are coded as, and how they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Codec {
    /// JPEGs, over HTTP
    Mjpeg,
    /// The same, in parts that don't say how long they are
    MjpegWithoutLength,
    /// H.264, over RTSP
    H264,
    /// H.265, over RTSP
    H265,
}

impl Codec {
    /// How its access units are made, unless they are JPEGs.
    pub fn coding(self) -> Option<Coding> {
        match self {
            Self::Mjpeg | Self::MjpegWithoutLength => None,
            Self::H264 => Some(Coding::H264),
            Self::H265 => Some(Coding::H265),
        }
    }
}

/// Which picture it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Number {
    /// Camera, 0 to 99,999.
    pub camera: u32,
    /// Its frames, from 0 on.
    pub sequence: u64,
}

impl Number {
    fn text(self) -> String {
        format!("{:05}/{:010}", self.camera, self.sequence)
    }

    fn read(text: &[u8]) -> Option<Self> {
        let (camera, sequence) = std::str::from_utf8(text).ok()?.split_once('/')?;
        Some(Self {
            camera: camera.parse().ok()?,
            sequence: sequence.parse().ok()?,
        })
    }
}

/// All pictures of one codec and size.
#[derive(Clone, Debug)]
pub struct Pictures {
    /// What they are coded as.
    pub codec: Codec,
    /// Those that a decoder can begin with, and of H.264 and H.265 as many others.
    variants: Vec<Blank>,
    /// What comes behind the number at the end.
    end: usize,
}

/// A picture that has no number yet.
#[derive(Clone, Debug)]
struct Blank {
    bytes: Vec<u8>,
    /// Where the number stands first.
    head: usize,
}

impl Blank {
    fn new(bytes: Vec<u8>) -> Self {
        let mark = memchr::memmem::find(&bytes, MARK).expect("every picture has the mark");
        Self {
            bytes,
            head: mark + MARK.len(),
        }
    }

    fn jpeg(seed: u64, bytes: usize) -> Self {
        let comment = [MARK, &[b'0'; NUMBER]].concat();
        let mut picture = Jpeg::new(seed)
            .entropy(bytes)
            .segment(COMMENT, &comment)
            .bytes();
        let end = picture.len() - EOI;
        picture.splice(end..end, [b'0'; NUMBER]);
        Self::new(picture)
    }

    fn access_unit(coding: Coding, seed: u64, bytes: usize, is_key: bool) -> Self {
        let mut rng = Rng::with_seed(seed);
        // Bytes of which no start code can be made.
        let body: Vec<u8> = std::iter::repeat_with(|| rng.u8(4..)).take(bytes).collect();
        let number: &[u8] = &[b'0'; NUMBER];
        let [key, other] = coding.slices();
        let head = if is_key { key } else { other };
        let slice = [head, MARK, number, &body, number].concat();
        let sets = if is_key { coding.sets() } else { Vec::new() };
        Self::new(stored(&[sets, vec![slice]].concat()))
    }
}

impl Pictures {
    /// Of about so many bytes.
    pub fn of(codec: Codec, bytes: usize) -> Self {
        let variants = 0..VARIANTS;
        match codec.coding() {
            None => Self {
                codec,
                variants: variants.map(|seed| Blank::jpeg(seed, bytes)).collect(),
                end: EOI,
            },
            Some(coding) => {
                let blank = |is_key| move |seed| Blank::access_unit(coding, seed, bytes, is_key);
                let keys = variants.clone().map(blank(true));
                let others = variants.map(blank(false));
                Self {
                    codec,
                    variants: keys.chain(others).collect(),
                    end: 0,
                }
            }
        }
    }

    /// The number, from this one on, of the first picture that a stream can begin with.
    pub fn first_from(&self, sequence: u64) -> u64 {
        match self.codec.coding() {
            None => sequence,
            Some(_) => sequence.next_multiple_of(GOP),
        }
    }

    /// The picture of this number.
    pub fn take(&self, number: Number) -> Vec<u8> {
        let variant = (number.sequence + u64::from(number.camera)) % VARIANTS;
        let can_begin = self.first_from(number.sequence) == number.sequence;
        let at = if can_begin {
            variant
        } else {
            VARIANTS + variant
        };
        let Blank { bytes, head } = &self.variants[at as usize];
        let mut picture = bytes.clone();
        let text = number.text();
        let tail = picture.len() - self.end - NUMBER;
        for at in [*head, tail] {
            picture[at..at + NUMBER].copy_from_slice(text.as_bytes());
        }
        picture
    }

    /// Which picture this is; `None` unless it is one of ours, byte for byte.
    pub fn tell(&self, picture: &[u8]) -> Option<Number> {
        let tail = picture.len().checked_sub(self.end + NUMBER)?;
        let number = Number::read(&picture[tail..tail + NUMBER])?;
        (self.take(number) == picture).then_some(number)
    }
}

#[test]
fn picture_is_told_by_its_number_and_only_when_whole() {
    for codec in [Codec::Mjpeg, Codec::H264, Codec::H265] {
        let pictures = Pictures::of(codec, 2_000);
        for sequence in [34_567, 34_570] {
            let number = Number {
                camera: 12,
                sequence,
            };
            let picture = pictures.take(number);
            assert_eq!(pictures.tell(&picture), Some(number));
            for at in 0..picture.len() {
                let mut other = picture.clone();
                other[at] ^= 1;
                assert_eq!(pictures.tell(&other), None, "{codec:?}, byte {at}");
                assert_eq!(
                    pictures.tell(&picture[..at]),
                    None,
                    "{codec:?}, cut at {at}"
                );
            }
        }
    }
}
