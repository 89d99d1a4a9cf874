//! Numbered pictures: each says which camera took it and as which one, in its header and behind its data, so that any frame can be told
//! from any other, and a single wrong byte is noticed.

use crate::support::jpeg::Jpeg;

const EOI: usize = 2;
const COMMENT: u8 = 0xfe;
const MARK: &[u8] = b"framelog faults ";
/// Length of a number as text.
const NUMBER: usize = 16;
/// How many different pictures are behind the numbers.
const VARIANTS: u64 = 8;

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

/// All pictures of one size.
#[derive(Clone, Debug)]
pub struct Pictures {
    variants: Vec<Vec<u8>>,
    /// Where the number stands in the header.
    head: usize,
}

impl Pictures {
    /// Of about so many bytes.
    pub fn of(bytes: usize) -> Self {
        let blank = [MARK, &[b'0'; NUMBER]].concat();
        let variant = |seed| {
            let mut picture = Jpeg::new(seed)
                .entropy(bytes)
                .segment(COMMENT, &blank)
                .bytes();
            let end = picture.len() - EOI;
            picture.splice(end..end, [b'0'; NUMBER]);
            picture
        };
        let variants: Vec<Vec<u8>> = (0..VARIANTS).map(variant).collect();
        let mark = memchr::memmem::find(&variants[0], MARK).expect("the comment is in the header");
        Self {
            variants,
            head: mark + MARK.len(),
        }
    }

    /// The picture of this number.
    pub fn take(&self, number: Number) -> Vec<u8> {
        let variant = (number.sequence + u64::from(number.camera)) % VARIANTS;
        let mut picture = self.variants[variant as usize].clone();
        let text = number.text();
        let tail = picture.len() - EOI - NUMBER;
        for at in [self.head, tail] {
            picture[at..at + NUMBER].copy_from_slice(text.as_bytes());
        }
        picture
    }

    /// Which picture this is; `None` unless it is one of ours, byte for byte.
    pub fn tell(&self, picture: &[u8]) -> Option<Number> {
        let number = Number::read(picture.get(self.head..self.head + NUMBER)?)?;
        (self.take(number) == picture).then_some(number)
    }
}

#[test]
fn picture_is_told_by_its_number_and_only_when_whole() {
    let pictures = Pictures::of(2_000);
    let number = Number {
        camera: 12,
        sequence: 34_567,
    };
    let picture = pictures.take(number);
    assert_eq!(pictures.tell(&picture), Some(number));
    for at in 0..picture.len() {
        let mut other = picture.clone();
        other[at] ^= 1;
        assert_eq!(pictures.tell(&other), None, "byte {at}");
        assert_eq!(pictures.tell(&picture[..at]), None, "cut at {at}");
    }
}
