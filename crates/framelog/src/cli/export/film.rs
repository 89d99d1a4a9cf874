//! Export to `.mp4` and `.mkv`: one film, with each picture's own time. Motion JPEG in either, H.264 and H.265 in `.mp4`, as they were stored.

use std::io::{self, BufWriter, Seek, SeekFrom, Write};

use framelog_core::container::mkv::Film;
use framelog_core::container::mp4::Movie;
use framelog_core::frame::{Codec, Parameters};
use framelog_core::huffman;
use framelog_core::jpeg::Facts;
use framelog_store::query::FrameRow;

use super::Sink;

/// Writes an MP4 film. What it is written to holds nothing else.
pub(in crate::cli) struct Mp4<W: Write + Seek> {
    out: BufWriter<W>,
    movie: Movie,
    raw: bool,
}

impl<W: Write + Seek> Mp4<W> {
    /// `raw`: JPEGs without Huffman tables stay so.
    pub(in crate::cli) fn new(out: W, raw: bool) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(256 << 10, out);
        out.write_all(&Movie::opening())?;
        Ok(Self {
            out,
            movie: Movie::default(),
            raw,
        })
    }

    /// The pictures that follow need these parameters.
    pub(in crate::cli) fn need(&mut self, codec: Codec, parameters: &Parameters) {
        self.movie.need(codec, parameters);
    }

    /// The next picture, in the order of decoding.
    pub(in crate::cli) fn add(&mut self, frame: &FrameRow, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.movie.add(frame.captured_us, length, frame.keyframe);
        self.out.write_all(payload)
    }

    /// Nothing follows; what it was written to.
    pub(in crate::cli) fn close(mut self) -> io::Result<W> {
        let (behind, over) = self.movie.close();
        finished(&mut self.out, &behind, &over)?;
        self.out.into_inner().map_err(|error| error.into_error())
    }
}

impl<W: Write + Seek> Sink for Mp4<W> {
    fn begin(&mut self, codec: Codec, parameters: &Parameters) {
        self.need(codec, parameters);
    }

    fn put(&mut self, frame: &FrameRow, payload: Vec<u8>) -> io::Result<()> {
        if frame.codec != Codec::Mjpeg {
            return self.add(frame, &payload);
        }
        let (width, height) = size(&payload);
        let parameters = Parameters {
            width,
            height,
            sets: Vec::new(),
        };
        self.need(Codec::Mjpeg, &parameters);
        match self.raw {
            true => self.add(frame, &payload),
            false => self.add(frame, &huffman::with_tables(&payload)),
        }
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.close().map(drop)
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

/// Writes what is known only at the end.
fn finished(out: &mut (impl Write + Seek), behind: &[u8], over: &[u8]) -> io::Result<()> {
    out.write_all(behind)?;
    out.seek(SeekFrom::Start(0))?;
    out.write_all(over)?;
    out.flush()
}

/// Width and height of a JPEG; 0 if it does not say.
fn size(jpeg: &[u8]) -> (u16, u16) {
    Facts::read(jpeg).map_or((0, 0), |facts| (facts.width, facts.height))
}
