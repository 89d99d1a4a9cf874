//! Export to `.mp4` and `.mkv`: one film, with each picture's own time. Motion JPEG in either, H.264 and H.265 in `.mp4`, as they were stored.

use std::io::{self, BufWriter, Seek, Write};

use framelog_core::container::mkv::Film;
use framelog_core::frame::{Codec, Parameters};
use framelog_core::huffman;
use framelog_core::jpeg::Facts;
use framelog_store::query::FrameRow;

use super::Sink;
use crate::footage::film::{Mp4, finished};

/// Writes an MP4 film.
pub(super) struct Mp4File<W: Write + Seek> {
    film: Mp4<W>,
    raw: bool,
}

impl<W: Write + Seek> Mp4File<W> {
    /// `raw`: JPEGs without Huffman tables stay so.
    pub(super) fn new(out: W, raw: bool) -> io::Result<Self> {
        let film = Mp4::new(out)?;
        Ok(Self { film, raw })
    }
}

impl<W: Write + Seek> Sink for Mp4File<W> {
    fn begin(&mut self, codec: Codec, parameters: &Parameters) {
        self.film.need(codec, parameters);
    }

    fn put(&mut self, frame: &FrameRow, payload: Vec<u8>) -> io::Result<()> {
        if frame.codec != Codec::Mjpeg {
            return self.film.add(frame, &payload);
        }
        let (width, height) = size(&payload);
        let parameters = Parameters {
            width,
            height,
            sets: Vec::new(),
        };
        self.film.need(Codec::Mjpeg, &parameters);
        match self.raw {
            true => self.film.add(frame, &payload),
            false => self.film.add(frame, &huffman::with_tables(&payload)),
        }
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.film.close().map(drop)
    }
}

/// Writes a Matroska film of Motion JPEG.
pub(super) struct Mkv<W: Write + Seek> {
    out: BufWriter<W>,
    film: Option<Film>,
    raw: bool,
}

impl<W: Write + Seek> Mkv<W> {
    pub(super) fn new(out: W, raw: bool) -> Self {
        Self {
            out: BufWriter::with_capacity(256 << 10, out),
            film: None,
            raw,
        }
    }
}

impl<W: Write + Seek> Sink for Mkv<W> {
    fn put(&mut self, frame: &FrameRow, payload: Vec<u8>) -> io::Result<()> {
        let film = match &mut self.film {
            Some(film) => film,
            None => {
                let (width, height) = size(&payload);
                let film = self
                    .film
                    .insert(Film::new(width, height, frame.captured_us));
                self.out.write_all(&film.open())?;
                film
            }
        };
        let payload = match self.raw {
            true => payload.into(),
            false => huffman::with_tables(&payload),
        };
        self.out
            .write_all(&film.head(frame.captured_us, payload.len()))?;
        self.out.write_all(&payload)
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        let Some(film) = &self.film else {
            return Ok(());
        };
        let (behind, over) = film.close();
        finished(&mut self.out, &behind, &over)
    }
}

/// Width and height of a JPEG; 0 if it does not say.
fn size(jpeg: &[u8]) -> (u16, u16) {
    Facts::read(jpeg).map_or((0, 0), |facts| (facts.width, facts.height))
}
