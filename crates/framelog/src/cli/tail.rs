//! `framelog tail`: a camera's frames as they are stored, on standard output, for a person's own program: JPEGs as multipart, H.264 and H.265 as
//! fragmented MP4.

use std::io::{self, IsTerminal as _, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use framelog_core::container::mp4;
use framelog_core::frame::{Codec, Parameters};
use framelog_store::Reader;
use framelog_store::query::{FrameRow, SegmentRow};

use super::output::{self, Stop, ended};
use super::{Failure, decoding_order, known_camera, part, storage, time};

mod silence;

use silence::Silence;

/// How often the index is asked for new rows; they are committed within a second.
const POLL: Duration = Duration::from_millis(200);
/// How long to wait before an index that could not be read is opened again.
const REOPEN: Duration = Duration::from_secs(1);
/// How far stamps within a segment may go back and their frames still be found.
const SLACK_US: i64 = 10_000_000;

/// Arguments of `framelog tail`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The camera
    camera: String,
    /// Begin with the footage after this time [default: with the next frame]
    #[arg(long, value_name = "TIME", value_parser = time::argument, allow_hyphen_values = true)]
    from: Option<i64>,
}

/// Writes frames until nobody reads them any more, in the order in which they were stored.
///
/// # Errors
/// If standard output is a terminal, the index can't be opened, or doesn't know the camera; or no frame can come any more, because the camera
/// has been taken out of the configuration.
pub async fn run(args: Args, storage: &Path, config: &Path) -> Result<(), Failure> {
    if io::stdout().is_terminal() {
        return Err(Failure::usage(
            "tail writes pictures, not text; pipe it into a program, as in `framelog tail CAMERA | ffplay -f mpjpeg -`, or `ffplay -` for H.264 and H.265",
        ));
    }
    let mut reader = storage::open(storage).await?;
    known_camera::require(&reader, &args.camera).await?;
    let mut position = Position::begin(&reader, &args)
        .await
        .map_err(Failure::failed)?;
    let mut silence = Silence::begin(&args.camera, storage, config);
    loop {
        // Asked before: what the old index still got is written first.
        let is_replaced = reader.is_replaced();
        match position
            .advance(&reader, &args.camera, &mut io::stdout())
            .await
        {
            Ok(_) if output::is_closed() => return Ok(()),
            Ok(_) if is_replaced => {
                reader = reopen(storage, &reader, &args.camera, &mut position).await;
            }
            Ok(got_any) => {
                if got_any {
                    silence.is_broken();
                } else {
                    silence.lasts(&reader).await?;
                }
                tokio::time::sleep(POLL).await;
            }
            Err(Interrupted::Output(stop)) => return ended(Err(stop)),
            Err(Interrupted::Changed { at_us }) => {
                return Err(Failure::failed(format!(
                    "{}: from {} on the camera sends another format, which a film can't change to; start tail again with --from that time, or use export",
                    args.camera,
                    time::format(at_us, false)
                )));
            }
            Err(Interrupted::Index(error)) => {
                eprintln!("framelog: {error}; trying again");
                tokio::time::sleep(REOPEN).await;
                reader = reopen(storage, &reader, &args.camera, &mut position).await;
            }
        }
    }
}

/// Opens the index, however long that takes. If that is another one, its ids are others: goes on in it where the old one ended.
async fn reopen(storage: &Path, old: &Reader, camera: &str, position: &mut Position) -> Reader {
    loop {
        if let Ok(reader) = Reader::open(storage).await
            && (!old.is_replaced() || position.go_on(&reader, camera).await.is_ok())
        {
            return reader;
        }
        tokio::time::sleep(REOPEN).await;
    }
}

/// Why a round of reading and writing ended early.
enum Interrupted {
    Index(framelog_store::Error),
    Output(Stop),
    /// What follows doesn't go with what was written.
    Changed {
        /// Since when.
        at_us: i64,
    },
}

impl From<framelog_store::Error> for Interrupted {
    fn from(error: framelog_store::Error) -> Self {
        Interrupted::Index(error)
    }
}

impl From<io::Error> for Interrupted {
    fn from(error: io::Error) -> Self {
        Interrupted::Output(error.into())
    }
}

/// How far the camera's footage has been written out.
#[derive(Debug)]
struct Position {
    /// The segment being followed; 0 before the first.
    segment_id: i64,
    /// Frames at smaller offsets in it are done.
    next_offset: u64,
    /// Newest capture time of the frames done in it.
    captured_us: Option<i64>,
    /// The same, of the last segment of which any frame is done.
    done_us: Option<i64>,
    /// Frames captured before are not wanted.
    from_us: i64,
    /// The last file that could not be read, so that it is reported once.
    unreadable: Option<Arc<Path>>,
    /// What was begun.
    stream: Option<Stream>,
}

/// One codec, and of H.264 and H.265 one set of parameters.
#[derive(Debug)]
enum Stream {
    Multipart,
    Film {
        codec: Codec,
        parameters: Arc<Parameters>,
        position: mp4::Position,
    },
}

impl Position {
    async fn begin(reader: &Reader, args: &Args) -> Result<Self, framelog_store::Error> {
        let mut position = Self {
            segment_id: 0,
            next_offset: 0,
            captured_us: None,
            done_us: None,
            from_us: i64::MIN,
            unreadable: None,
            stream: None,
        };
        match args.from {
            Some(from_us) => position.begin_at(reader, &args.camera, from_us).await?,
            None => position.skip_to_newest(reader, &args.camera).await?,
        }
        Ok(position)
    }

    /// Takes everything that was captured before as done.
    async fn begin_at(
        &mut self,
        reader: &Reader,
        camera: &str,
        from_us: i64,
    ) -> Result<(), framelog_store::Error> {
        let segments = reader.segments(Some(camera), from_us, i64::MAX).await?;
        self.from_us = from_us;
        match segments.iter().map(|segment| segment.id).min() {
            Some(first) => self.enter(first),
            None => self.skip_to_newest(reader, camera).await?,
        }
        Ok(())
    }

    /// The same in another index of the footage, where segments have other ids: behind what was done by the old one.
    async fn go_on(&mut self, reader: &Reader, camera: &str) -> Result<(), framelog_store::Error> {
        let from_us = (self.done_us).map_or(self.from_us, |done_us| done_us.saturating_add(1));
        self.enter(0);
        self.begin_at(reader, camera, from_us).await
    }

    /// Takes everything that is stored now as done.
    async fn skip_to_newest(
        &mut self,
        reader: &Reader,
        camera: &str,
    ) -> Result<(), framelog_store::Error> {
        let Some(newest) = reader.nearest(camera, i64::MAX)? else {
            return Ok(());
        };
        if let Some(segment) = reader
            .segments_since(camera, newest.segment_id)
            .await?
            .last()
        {
            self.enter(segment.id);
            self.new_frames(reader, segment)?
                .iter()
                .for_each(|frame| self.pass(frame));
        }
        Ok(())
    }

    /// Writes all frames that are new; whether there were any.
    async fn advance(
        &mut self,
        reader: &Reader,
        camera: &str,
        out: &mut impl Write,
    ) -> Result<bool, Interrupted> {
        let mut got_any = false;
        for segment in reader.segments_since(camera, self.segment_id).await? {
            if segment.id != self.segment_id {
                self.enter(segment.id);
            }
            for frame in self.new_frames(reader, &segment)? {
                self.write(reader, &frame, out)?;
                self.pass(&frame);
                got_any = true;
            }
            out.flush()?;
        }
        Ok(got_any)
    }

    fn enter(&mut self, segment_id: i64) {
        self.segment_id = segment_id;
        self.next_offset = 0;
        self.captured_us = None;
    }

    fn pass(&mut self, frame: &FrameRow) {
        self.next_offset = frame.offset + 1;
        self.captured_us = self.captured_us.max(Some(frame.captured_us));
        self.done_us = self.captured_us;
    }

    /// The segment's frames that are not done, in the order in which they were stored.
    ///
    /// The index is in order of capture. Stamps may go back within a segment, so frames from a little earlier are looked at again.
    fn new_frames(
        &self,
        reader: &Reader,
        segment: &SegmentRow,
    ) -> Result<Vec<FrameRow>, framelog_store::Error> {
        let from_us = self.captured_us.map_or(segment.started_us, |captured_us| {
            captured_us.saturating_sub(SLACK_US)
        });
        decoding_order::since(reader, segment, from_us, self.next_offset)
    }

    fn write(
        &mut self,
        reader: &Reader,
        frame: &FrameRow,
        out: &mut impl Write,
    ) -> Result<(), Interrupted> {
        if frame.captured_us < self.from_us {
            return Ok(());
        }
        match self.bytes(reader, frame) {
            Ok(bytes) => Ok(out.write_all(&bytes?)?),
            Err(error) => {
                if self.unreadable.as_ref() != Some(&frame.path) {
                    eprintln!("framelog: {error}; its frames are left out");
                    self.unreadable = Some(frame.path.clone());
                }
                Ok(())
            }
        }
    }

    /// What to write of the frame: nothing before a film's first keyframe.
    fn bytes(
        &mut self,
        reader: &Reader,
        row: &FrameRow,
    ) -> Result<Result<Vec<u8>, Interrupted>, framelog_store::Error> {
        let changed = Interrupted::Changed {
            at_us: row.captured_us,
        };
        if row.codec == Codec::Mjpeg {
            let part = part::bytes(row, reader.payload(row)?);
            return Ok(match self.stream.get_or_insert(Stream::Multipart) {
                Stream::Multipart => Ok(part),
                Stream::Film { .. } => Err(changed),
            });
        }
        if self.stream.is_none() && !row.keyframe {
            return Ok(Ok(Vec::new()));
        }
        let parameters = match &self.stream {
            Some(Stream::Film { parameters, .. }) if !row.keyframe => parameters.clone(),
            _ => Arc::new(reader.parameters(row)?),
        };
        let frame = part::frame(row, reader.payload(row)?, Some(parameters.clone()));
        let stream = self.stream.get_or_insert_with(|| Stream::Film {
            codec: row.codec,
            parameters: parameters.clone(),
            position: mp4::Position::begin(&frame, mp4::Pace::default()),
        });
        let mut bytes = Vec::new();
        match stream {
            Stream::Film {
                codec: same,
                parameters: before,
                position,
            } if *same == row.codec && *before == parameters => {
                position.write_head(&frame, &mut bytes);
            }
            _ => return Ok(Err(changed)),
        }
        bytes.extend(frame.payload.to_vec());
        Ok(Ok(bytes))
    }
}
