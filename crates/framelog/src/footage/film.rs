//! A film, `.mp4`: one file with each picture's own time. Not for which pictures are in it.

use std::io::{self, BufWriter, Seek, SeekFrom, Write};

use framelog_core::container::mp4::Movie;
use framelog_core::frame::{Codec, Parameters};
use framelog_store::query::FrameRow;

/// Writes an MP4 film. What it is written to holds nothing else.
pub struct Mp4<W: Write + Seek> {
    out: BufWriter<W>,
    movie: Movie,
}

impl<W: Write + Seek> Mp4<W> {
    /// Writes what every film begins with.
    pub fn new(out: W) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(256 << 10, out);
        out.write_all(&Movie::opening())?;
        Ok(Self {
            out,
            movie: Movie::default(),
        })
    }

    /// The pictures that follow need these parameters.
    pub fn need(&mut self, codec: Codec, parameters: &Parameters) {
        self.movie.need(codec, parameters);
    }

    /// The next picture, in the order of decoding.
    pub fn add(&mut self, frame: &FrameRow, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.movie.add(frame.captured_us, length, frame.keyframe);
        self.out.write_all(payload)
    }

    /// Nothing follows; what it was written to.
    pub fn close(mut self) -> io::Result<W> {
        let (behind, over) = self.movie.close();
        finished(&mut self.out, &behind, &over)?;
        self.out.into_inner().map_err(|error| error.into_error())
    }
}

/// Writes what is known only at the end.
pub fn finished(out: &mut (impl Write + Seek), behind: &[u8], over: &[u8]) -> io::Result<()> {
    out.write_all(behind)?;
    out.seek(SeekFrom::Start(0))?;
    out.write_all(over)?;
    out.flush()
}
