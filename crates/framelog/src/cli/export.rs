//! `framelog export`: a span of one camera's footage as a file or a folder that others can use.

mod archive;
pub(super) mod destination;
mod film;
mod folder;
mod mjpeg;
mod picture_name;
mod summary;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use framelog_core::frame::{Codec, Parameters};
use framelog_store::Reader;
use framelog_store::query::{FrameRow, SegmentRow};

use super::interruption::Interruption;
use super::progress::Progress;
use super::{Failure, known_camera, storage, time};
use crate::footage::decoding_order;
use crate::footage::frame_pages::FramePages;
use crate::wall::now_us;
use destination::{Destination, Kind};
use summary::Summary;

/// Arguments of `framelog export`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The camera
    camera: String,
    /// First time, as in "10:00", "-5min", "2026-11-22 10:00"
    #[arg(long, value_name = "TIME", value_parser = time::argument, allow_hyphen_values = true)]
    from: i64,
    /// Time after the last; +10min is 10 minutes after --from
    #[arg(long, value_name = "TIME", value_parser = time::end_argument, allow_hyphen_values = true)]
    to: time::End,
    /// FILE.mp4, FILE.mkv, FILE.mjpeg, FILE.zip, or a folder for .jpg files; H.264 and H.265 go into .mp4
    #[arg(short, long, value_name = "FILE|DIR")]
    output: PathBuf,
    /// Overwrite what is there; of a folder only pictures of the same name, all else in it stays
    #[arg(long)]
    force: bool,
    /// Pictures as stored, without adding Huffman tables that the camera left out
    #[arg(long)]
    raw: bool,
    /// Times in UTC instead of local time
    #[arg(long)]
    utc: bool,
}

/// Something that takes frames one by one.
trait Sink {
    /// The frames that follow need these parameters.
    fn begin(&mut self, _codec: Codec, _parameters: &Parameters) {}
    /// Takes the next frame.
    fn put(&mut self, frame: &FrameRow, payload: Vec<u8>) -> io::Result<()>;
    /// There are no more.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// Exports frame by frame; the output has its name only when it is whole.
///
/// # Errors
/// If nothing is in the span, the output is there already or can't be written, a signal ends it, or some of the footage could not be read (the rest is
/// exported).
pub async fn run(args: Args, storage: &Path) -> Result<(), Failure> {
    let to_us = args.to.of_span(Some(args.from))?;
    if args.from >= to_us {
        return Err(Failure::usage("--from is not before --to"));
    }
    let kind = Kind::of(&args.output).map_err(Failure::usage)?;
    let reader = storage::open(storage).await?;
    known_camera::require(&reader, &args.camera).await?;
    let first = reader
        .frames(&args.camera, args.from, to_us, None, 1)
        .map_err(Failure::failed)?;
    if first.is_empty() {
        return Err(nothing_there(&reader, &args, to_us).await);
    }
    let segments = reader
        .segments(Some(&args.camera), args.from, to_us)
        .await
        .map_err(Failure::failed)?;
    let codec = one_codec(&segments, &args)?;
    if codec != Codec::Mjpeg && kind != Kind::Mp4 {
        return Err(Failure::usage(format!(
            "{}: its frames are {} then, whose pictures depend on each other; export them to a .mp4",
            args.camera,
            codec.name()
        )));
    }
    let interruption = Interruption::listen()
        .map_err(|error| Failure::failed(format!("can't listen for signals: {error}")))?;
    let (destination, sink) =
        Destination::create(kind, &args.output, args.force, args.raw).map_err(Failure::failed)?;
    if destination.is_shared() {
        eprintln!(
            "framelog: {}: is not empty: what is in it stays, beside the pictures",
            args.output.display()
        );
    }
    let mut export = Export {
        args: &args,
        to_us,
        reader: &reader,
        sink,
        summary: Summary {
            asked_us: (args.from, to_us),
            now_us: now_us(),
            ..Summary::default()
        },
        damaged: Damaged::default(),
        interruption,
    };
    let progress = Progress::over(args.from, to_us);
    let copied = match codec {
        Codec::Mjpeg => export.copy(&progress),
        _ => export.copy_decodable(codec, &segments, &progress),
    };
    progress.finish();
    copied?;
    let Export {
        sink,
        mut summary,
        damaged,
        ..
    } = export;
    sink.finish()
        .and_then(|()| destination.keep())
        .map_err(|error| cannot_write(&args.output, &error))?;
    let camera = Some(args.camera.as_str());
    let gaps = reader.gaps(camera, args.from, to_us).await;
    summary.gaps = gaps.map_err(Failure::failed)?;
    let removals = reader.removals(camera, args.from, to_us).await;
    summary.removals = removals.map_err(Failure::failed)?;
    summary.unread = damaged.frames;
    println_to_stdout(&summary.text(&args.camera, &args.output, args.utc));
    damaged.verdict()
}

struct Export<'a> {
    args: &'a Args,
    to_us: i64,
    reader: &'a Reader,
    sink: Box<dyn Sink>,
    summary: Summary,
    damaged: Damaged,
    interruption: Interruption,
}

impl Export<'_> {
    fn copy(&mut self, progress: &Progress) -> Result<(), Failure> {
        let (camera, from_us) = (&self.args.camera, self.args.from);
        for frame in FramePages::of(self.reader, camera, from_us, self.to_us) {
            let frame = frame.map_err(Failure::failed)?;
            self.copy_frame(&frame, progress)?;
            progress.reach(frame.captured_us, self.summary.frames, self.summary.bytes);
        }
        Ok(())
    }

    /// Segment by segment, in the order of decoding, from the last keyframe before the span on.
    fn copy_decodable(
        &mut self,
        codec: Codec,
        segments: &[SegmentRow],
        progress: &Progress,
    ) -> Result<(), Failure> {
        for segment in segments {
            let frames = decoding_order::of_segment(self.reader, segment);
            let frames = frames.map_err(Failure::failed)?;
            let frames = decoding_order::needed(frames, self.args.from, self.to_us);
            let Some(first) = frames.first() else {
                continue;
            };
            match self.reader.parameters(first) {
                Ok(parameters) => self.sink.begin(codec, &parameters),
                Err(error) => {
                    for frame in &frames {
                        self.damaged.add(frame);
                    }
                    progress.say(&format!("framelog: {error}; its frames are left out"));
                    continue;
                }
            }
            for frame in &frames {
                self.copy_frame(frame, progress)?;
            }
            progress.reach(segment.ended_us, self.summary.frames, self.summary.bytes);
        }
        Ok(())
    }

    fn copy_frame(&mut self, frame: &FrameRow, progress: &Progress) -> Result<(), Failure> {
        // What is there so far is removed on the way out.
        self.interruption.check()?;
        let is_jpeg = frame.codec == Codec::Mjpeg;
        match self
            .reader
            .payload(frame)
            .map_err(|error| error.to_string())
            .and_then(|payload| match is_jpeg {
                true => check_begins_as_jpeg(frame, payload),
                false => Ok(payload),
            }) {
            Ok(payload) => {
                self.sink
                    .put(frame, payload)
                    .map_err(|error| cannot_write(&self.args.output, &error))?;
                self.summary.add(frame);
            }
            Err(reason) => {
                if self.damaged.add(frame) {
                    progress.say(&format!("framelog: {reason}; its frames are left out"));
                }
            }
        }
        Ok(())
    }
}

/// Bytes in the place of a frame that are no frame: the file was damaged.
fn check_begins_as_jpeg(frame: &FrameRow, payload: Vec<u8>) -> Result<Vec<u8>, String> {
    if payload.starts_with(&[0xff, 0xd8]) {
        Ok(payload)
    } else {
        Err(format!(
            "{}: no picture where the index has one; the file is damaged",
            frame.path.display()
        ))
    }
}

/// The codec of all these segments.
fn one_codec(segments: &[SegmentRow], args: &Args) -> Result<Codec, Failure> {
    let codec = |segment: &SegmentRow| Codec::from_name(&segment.codec);
    let first = segments.first().map_or(Some(Codec::Mjpeg), codec);
    let other = segments.iter().find(|segment| codec(segment) != first);
    match (first, other) {
        (Some(first), None) => Ok(first),
        (first, other) => {
            let name = first.map_or("unknown", Codec::name);
            let (other, at) = other.map_or(("unknown", args.from), |other| {
                (other.codec.as_str(), other.started_us)
            });
            let at = time::format(at, args.utc);
            Err(Failure::failed(format!(
                "{}: its frames are {name} first and {other} from {at} on; export the one and the other",
                args.camera
            )))
        }
    }
}

/// What could not be read.
#[derive(Default)]
struct Damaged {
    frames: u64,
    files: BTreeSet<PathBuf>,
}

impl Damaged {
    /// Counts a frame; whether it is the first of its file.
    fn add(&mut self, frame: &FrameRow) -> bool {
        self.frames += 1;
        self.files.insert(frame.path.to_path_buf())
    }

    fn verdict(self) -> Result<(), Failure> {
        match self.frames {
            0 => Ok(()),
            frames => Err(Failure::failed(format!(
                "{frames} frames in {} files could not be read and are not in the export; `framelog verify` says more",
                self.files.len()
            ))),
        }
    }
}

/// What a person hears of a failed write.
pub(super) fn cannot_write(output: &Path, error: &io::Error) -> Failure {
    let remedy = match framelog_store::is_full(error.kind()) {
        true => "free some space there or choose another place",
        false => "check the place and its permissions",
    };
    Failure::failed(format!(
        "{}: cannot write: {error}; {remedy}",
        output.display()
    ))
}

async fn nothing_there(reader: &Reader, args: &Args, to_us: i64) -> Failure {
    let camera = &args.camera;
    let removals = reader.removals(Some(camera), args.from, to_us).await;
    let removed = match removals.as_ref().map(Vec::as_slice) {
        Ok([.., removal]) => format!(
            ", removed by {} at {}",
            removal.rule,
            time::format(removal.removed_us, args.utc)
        ),
        _ => String::new(),
    };
    let from = time::format(args.from, args.utc);
    let to = time::format(to_us, args.utc);
    let there_is = known_camera::footage(reader, camera, args.utc);
    let to_come = match args.from > now_us() {
        true => ", which is still to come",
        false => "",
    };
    Failure::failed(format!(
        "{camera}: no footage from {from} to {to}{to_come}{removed}; {there_is} (`framelog find {camera}` lists it)"
    ))
}

/// A reader of standard output that went away does not make the export a failure.
fn println_to_stdout(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(io::stdout(), "{line}");
}
