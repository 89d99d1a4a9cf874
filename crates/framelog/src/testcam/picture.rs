//! The pictures of a test camera: a loop of real JPEGs, drawn once. Not for sending them.

use bytes::Bytes;
use jpeg_encoder::{ColorType, Encoder, EncodingError};

use super::font;

/// Frames in a loop at most; fewer where pictures are large.
const FRAMES_MAX: u32 = 50;
/// Pixels in a loop at most: about two seconds of drawing.
const LOOP_PIXELS_MAX: u64 = 50_000_000;
/// Size tried for a wanted number of bytes, largest first.
const SIZES: [Size; 4] = [
    Size {
        width: 640,
        height: 360,
    },
    Size {
        width: 320,
        height: 180,
    },
    Size {
        width: 160,
        height: 90,
    },
    Size {
        width: 80,
        height: 48,
    },
];
/// What a comment segment can hold (T.81 B.2.4.5).
const COMMENT_BYTES_MAX: usize = 0xffff - 2;

/// Size in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// 16 to 8192.
    pub width: u16,
    /// 16 to 8192.
    pub height: u16,
}

/// How large the pictures are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// In pixels.
    Pixels(Size),
    /// In bytes, exactly: a picture that fits, filled up with comments.
    Bytes(usize),
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum DrawError {
    /// A picture is larger than wanted.
    #[error("the smallest test picture has {smallest} bytes, {wanted} are too few")]
    TooSmall {
        /// Wanted size in bytes.
        wanted: usize,
        /// What is possible.
        smallest: usize,
    },
    /// The encoder failed.
    #[error("cannot encode the test picture")]
    Encode(#[from] EncodingError),
}

/// Draws a loop of frames: the camera's name, the frame's number in the loop, and a bar that moves.
///
/// # Errors
/// If a size in bytes is too small for any picture.
pub fn draw_loop(name: &str, extent: Extent) -> Result<Vec<Bytes>, DrawError> {
    match extent {
        Extent::Pixels(size) => Ok(draw_frames(name, size)?
            .into_iter()
            .map(Bytes::from)
            .collect()),
        Extent::Bytes(wanted) => draw_filled(name, wanted),
    }
}

fn draw_filled(name: &str, wanted: usize) -> Result<Vec<Bytes>, DrawError> {
    let mut smallest = usize::MAX;
    for size in SIZES {
        let frames = draw_frames(name, size)?;
        // A comment has at least four bytes, so up to three bytes cannot be filled.
        let largest = frames.iter().map(Vec::len).max().unwrap_or(0) + 4;
        if largest <= wanted {
            return Ok(frames
                .into_iter()
                .map(|jpeg| Bytes::from(fill(&jpeg, wanted)))
                .collect());
        }
        smallest = largest;
    }
    Err(DrawError::TooSmall { wanted, smallest })
}

fn draw_frames(name: &str, size: Size) -> Result<Vec<Vec<u8>>, EncodingError> {
    let pixels = u64::from(size.width) * u64::from(size.height);
    let count = u32::try_from(LOOP_PIXELS_MAX / pixels.max(1))
        .unwrap_or(FRAMES_MAX)
        .clamp(10, FRAMES_MAX);
    let background = Canvas::background(name, size);
    (0..count)
        .map(|number| encode(&background.frame(name, number, count), size))
        .collect()
}

fn encode(canvas: &Canvas, size: Size) -> Result<Vec<u8>, EncodingError> {
    let mut jpeg = Vec::new();
    Encoder::new(&mut jpeg, 75).encode(&canvas.rgb, size.width, size.height, ColorType::Rgb)?;
    Ok(jpeg)
}

/// Puts comment segments behind the SOI and APP0 until the picture has `wanted` bytes.
fn fill(jpeg: &[u8], wanted: usize) -> Vec<u8> {
    let app0_end = 4 + usize::from(u16::from_be_bytes([jpeg[4], jpeg[5]]));
    let (before, after) = jpeg.split_at(app0_end);
    let mut filled = before.to_vec();
    let mut missing = wanted - jpeg.len();
    while missing >= 4 {
        let mut length = (missing - 4).min(COMMENT_BYTES_MAX);
        if (1..4).contains(&(missing - 4 - length)) {
            length -= 4;
        }
        filled.extend([0xff, 0xfe]);
        filled.extend(
            u16::try_from(length + 2)
                .expect("bounded by COMMENT_BYTES_MAX")
                .to_be_bytes(),
        );
        filled.resize(filled.len() + length, b'.');
        missing -= length + 4;
    }
    filled.extend_from_slice(after);
    filled
}

/// The picture without its Huffman tables, as UVC cameras send it (camera quirk 46).
pub fn without_huffman_tables(jpeg: &[u8]) -> Bytes {
    let mut kept = jpeg[..2].to_vec();
    let mut rest = &jpeg[2..];
    while let &[0xff, marker, high, low, ..] = rest
        && marker != 0xda
    {
        let (segment, after) = rest.split_at(2 + usize::from(u16::from_be_bytes([high, low])));
        if marker != 0xc4 {
            kept.extend_from_slice(segment);
        }
        rest = after;
    }
    kept.extend_from_slice(rest);
    Bytes::from(kept)
}

/// A picture being drawn: RGB, three bytes a pixel, row by row.
#[derive(Clone)]
struct Canvas {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

impl Canvas {
    /// This picture with what changes from frame to frame.
    fn frame(&self, name: &str, number: u32, count: u32) -> Self {
        let mut canvas = self.clone();
        let bar = canvas.width * number / count;
        let thickness = (canvas.width / 40).max(2);
        canvas.rectangle(bar, 0, thickness, canvas.height, [240, 200, 60]);
        let text_width = canvas.width * 3 / 4;
        canvas.write(name, canvas.height / 6, text_width, canvas.height / 5);
        canvas.write(
            &format!("{number:02}/{count}"),
            canvas.height / 2,
            text_width,
            canvas.height / 3,
        );
        canvas
    }

    /// A gradient in a colour of the camera's own.
    fn background(name: &str, size: Size) -> Self {
        let hue = name.bytes().fold(7_u32, |hash, byte| {
            hash.wrapping_mul(31).wrapping_add(u32::from(byte))
        });
        let tint = [0, 8, 16].map(|shift| 24 + (hue >> shift & 0x3f));
        let (width, height) = (u32::from(size.width), u32::from(size.height));
        let mut rgb = Vec::with_capacity(usize::from(size.width) * usize::from(size.height) * 3);
        for y in 0..height {
            for x in 0..width {
                let light = 48 * y / height + 32 * x / width;
                rgb.extend(tint.map(|part| u8::try_from(part + light).unwrap_or(u8::MAX)));
            }
        }
        Self { width, height, rgb }
    }

    fn rectangle(&mut self, left: u32, top: u32, width: u32, height: u32, colour: [u8; 3]) {
        let right = (left + width).min(self.width);
        for y in top..(top + height).min(self.height) {
            for x in left..right {
                let at = usize::try_from((y * self.width + x) * 3).unwrap_or(usize::MAX);
                if let Some(pixel) = self.rgb.get_mut(at..at.saturating_add(3)) {
                    pixel.copy_from_slice(&colour);
                }
            }
        }
    }

    /// Writes a line in the middle, in the largest dots that fit, at least one pixel each.
    fn write(&mut self, text: &str, top: u32, width: u32, height: u32) {
        let columns = u32::try_from(text.chars().count())
            .unwrap_or(u32::MAX)
            .saturating_mul(font::WIDTH + 1);
        let dot = (width / columns.max(1)).min(height / font::HEIGHT).max(1);
        let mut left = self.width.saturating_sub(columns.saturating_mul(dot)) / 2;
        for character in text.chars() {
            for (row, column) in
                (0..font::HEIGHT).flat_map(|row| (0..font::WIDTH).map(move |column| (row, column)))
            {
                if font::dot(character, column, row) {
                    self.rectangle(
                        left + column * dot,
                        top + row * dot,
                        dot,
                        dot,
                        [250, 250, 250],
                    );
                }
            }
            left += (font::WIDTH + 1) * dot;
        }
    }
}

#[cfg(test)]
mod tests {
    use framelog_core::huffman;

    use super::*;

    #[test]
    fn a_size_in_bytes_is_met_exactly() {
        for wanted in [24_000, 200_003] {
            let frames = draw_loop("gate", Extent::Bytes(wanted)).unwrap();
            assert!(frames.iter().all(|jpeg| jpeg.len() == wanted), "{wanted}");
            assert!(
                frames
                    .iter()
                    .all(|jpeg| jpeg.starts_with(&[0xff, 0xd8]) && jpeg.ends_with(&[0xff, 0xd9]))
            );
        }
    }

    #[test]
    fn a_size_that_no_picture_has_is_refused() {
        assert!(matches!(
            draw_loop("gate", Extent::Bytes(300)),
            Err(DrawError::TooSmall { wanted: 300, .. })
        ));
    }

    #[test]
    fn every_rest_can_be_filled_exactly() {
        let jpeg = draw_frames("a", SIZES[3]).unwrap().remove(0);
        for missing in (4..12).chain(COMMENT_BYTES_MAX - 4..COMMENT_BYTES_MAX + 16) {
            assert_eq!(
                fill(&jpeg, jpeg.len() + missing).len(),
                jpeg.len() + missing,
                "{missing}"
            );
        }
    }

    #[test]
    fn pictures_of_a_loop_differ() {
        let mut frames = draw_loop("gate", Extent::Pixels(SIZES[2])).unwrap();
        let count = frames.len();
        frames.sort();
        frames.dedup();
        assert_eq!(frames.len(), count);
    }

    #[test]
    fn tables_that_were_taken_out_are_the_ones_that_export_puts_back() {
        let jpeg = draw_frames("gate", SIZES[3]).unwrap().remove(0);
        let bare = without_huffman_tables(&jpeg);
        assert!(*huffman::with_tables(&bare) != *bare);
        assert!(*huffman::with_tables(&jpeg) == *jpeg);
        let decoder_sees = |jpeg: &[u8]| tables(jpeg);
        assert_eq!(
            decoder_sees(&huffman::with_tables(&bare)),
            decoder_sees(&jpeg)
        );
    }

    /// The contents of all DHT segments, sorted: class and id, lengths, values.
    fn tables(jpeg: &[u8]) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        let mut rest = &jpeg[2..];
        while rest[1] != 0xda {
            let length = 2 + usize::from(u16::from_be_bytes([rest[2], rest[3]]));
            let mut tables = if rest[1] == 0xc4 {
                &rest[4..length]
            } else {
                &[][..]
            };
            while !tables.is_empty() {
                let codes: usize = tables[1..17].iter().map(|&count| usize::from(count)).sum();
                found.push(tables[..17 + codes].to_vec());
                tables = &tables[17 + codes..];
            }
            rest = &rest[length..];
        }
        found.sort();
        found
    }
}
