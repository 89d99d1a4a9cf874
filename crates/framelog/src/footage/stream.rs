//! Frames one after the other as one stream of bytes: JPEGs as multipart, H.264 and H.265 as a film in fragments. Not for which frames, nor for where
//! the bytes go.

use std::borrow::Cow;
use std::sync::Arc;

use framelog_core::container::mp4;
use framelog_core::frame::{Codec, Parameters};
use framelog_core::huffman;
use framelog_store::query::FrameRow;
use framelog_store::{Error, Reader};

use super::part;

/// A stream that has begun, or will with the next frame.
#[derive(Debug, Default)]
pub struct Stream {
    /// JPEGs without Huffman tables get the standard ones.
    adds_tables: bool,
    begun: Option<Begun>,
}

/// One codec, and of H.264 and H.265 one set of parameters.
#[derive(Debug)]
enum Begun {
    Multipart,
    Film {
        codec: Codec,
        parameters: Arc<Parameters>,
        position: mp4::Position,
    },
}

impl Stream {
    /// For who can't do without Huffman tables.
    pub fn for_browsers() -> Self {
        Self {
            adds_tables: true,
            begun: None,
        }
    }

    /// The next frame's bytes, with what goes before them: none before a film's first keyframe. `None` if it doesn't go with what has begun: the
    /// camera sends another format. Blocking.
    ///
    /// # Errors
    /// If the frame can't be read. The next one may.
    pub fn next(&mut self, reader: &Reader, row: &FrameRow) -> Result<Option<Vec<u8>>, Error> {
        match row.codec {
            Codec::Mjpeg => self.part(reader, row),
            Codec::H264 | Codec::H265 => self.fragment(reader, row),
        }
    }

    fn part(&mut self, reader: &Reader, row: &FrameRow) -> Result<Option<Vec<u8>>, Error> {
        let payload = reader.payload(row)?;
        let payload = match self.adds_tables {
            true => match huffman::with_tables(&payload) {
                Cow::Owned(with_tables) => with_tables,
                Cow::Borrowed(_) => payload,
            },
            false => payload,
        };
        Ok(match self.begun.get_or_insert(Begun::Multipart) {
            Begun::Multipart => Some(part::bytes(row, payload)),
            Begun::Film { .. } => None,
        })
    }

    fn fragment(&mut self, reader: &Reader, row: &FrameRow) -> Result<Option<Vec<u8>>, Error> {
        if self.begun.is_none() && !row.keyframe {
            return Ok(Some(Vec::new()));
        }
        let parameters = match &self.begun {
            Some(Begun::Film { parameters, .. }) if !row.keyframe => parameters.clone(),
            _ => Arc::new(reader.parameters(row)?),
        };
        let frame = part::frame(row, reader.payload(row)?, Some(parameters.clone()));
        let begun = self.begun.get_or_insert_with(|| Begun::Film {
            codec: row.codec,
            parameters: parameters.clone(),
            position: mp4::Position::begin(&frame, mp4::Pace::default()),
        });
        let mut bytes = Vec::new();
        match begun {
            Begun::Film {
                codec: same,
                parameters: before,
                position,
            } if *same == row.codec && *before == parameters => {
                position.write_head(&frame, &mut bytes);
            }
            _ => return Ok(None),
        }
        bytes.extend(frame.payload.to_vec());
        Ok(Some(bytes))
    }
}
