//! `framelog frame`: the one picture nearest to a time; of H.264 and H.265 with those before it that it needs.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use framelog_core::frame::Codec;
use framelog_core::huffman;
use framelog_store::Reader;
use framelog_store::query::{FrameRow, GapRow, RemovalRow};

use super::export::cannot_write;
use super::export::destination::NewFile;
use super::output::{Stop, ended};
use super::{Failure, known_camera, receipt, storage, time, words};
use crate::footage::{decoding_order, gop};

mod jpeg;

/// Arguments of `framelog frame`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The camera
    camera: String,
    /// When, as in "10:00", "-5min", "2026-11-22 10:00"
    #[arg(value_parser = time::argument, allow_hyphen_values = true)]
    time: i64,
    /// Write the picture here; "-" is standard output [default: standard output, or a file in the working directory if that is a terminal].
    /// A frame of H.264 or H.265 is written as a film (.mp4) that ends with it, and as a .jpg if ffmpeg is installed
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The bytes as stored, without adding Huffman tables that the camera left out
    #[arg(long)]
    raw: bool,
    /// Times in UTC instead of local time
    #[arg(long)]
    utc: bool,
}

/// Writes the frame that was captured nearest to the time, and says on standard error which one it is.
///
/// # Errors
/// If there is no footage of the camera, or the picture can't be read or written.
pub async fn run(args: Args, storage: &Path) -> Result<(), Failure> {
    let reader = storage::open(storage).await?;
    known_camera::require(&reader, &args.camera).await?;
    let gaps = reader
        .gaps(Some(&args.camera), args.time, args.time.saturating_add(1))
        .await
        .map_err(Failure::failed)?;
    for gap in gaps.iter().filter(|gap| gap.started_us < args.time) {
        eprintln!("{}", in_gap(gap, args.utc));
    }
    if let Some(removal) = removed_then(&reader, &args).await? {
        let receipt = receipt::text(&removal, args.utc);
        eprintln!("{}: the footage of then is gone, {receipt}", args.camera);
    }
    let nearest = reader
        .nearest(&args.camera, args.time)
        .map_err(Failure::failed)?;
    let Some(frame) = nearest else {
        return Err(no_footage(&reader, &args).await);
    };
    if let Some(output) = &args.output {
        require_ending(output, &args, frame.codec)?;
    }
    let path = destination(&args, &frame);
    // Before the work of making the picture.
    let place = match &path {
        Some(path) => Some(Place::at(path)?),
        None => None,
    };
    let picture = picture(&reader, &args, &frame).await?;
    eprintln!("{}", which(&frame, args.time, args.utc));
    match (path, place) {
        (Some(path), Some(place)) => {
            place
                .fill(&picture)
                .map_err(|error| cannot_write(&path, &error))?;
            eprintln!("{}", path.display());
            Ok(())
        }
        _ => ended(print(&picture)),
    }
}

/// The receipt for what there was at the time, if that is gone: of footage that lies between what went, some may have been kept.
async fn removed_then(reader: &Reader, args: &Args) -> Result<Option<RemovalRow>, Failure> {
    let (camera, until_us) = (Some(args.camera.as_str()), args.time.saturating_add(1));
    let kept = reader.segments(camera, args.time, until_us).await;
    let removals = reader.removals(camera, args.time, until_us).await;
    let last = removals.map_err(Failure::failed)?.pop();
    Ok(last.filter(|_| kept.is_ok_and(|kept| kept.is_empty())))
}

async fn no_footage(reader: &Reader, args: &Args) -> Failure {
    let camera = &args.camera;
    let removals = reader.removals(Some(camera), i64::MIN, i64::MAX).await;
    Failure::failed(match removals.map(|mut removals| removals.pop()) {
        Ok(Some(last)) => format!(
            "{camera}: no footage is left, {}",
            receipt::text(&last, args.utc)
        ),
        _ => format!("{camera}: no footage yet"),
    })
}

/// What is written of the frame.
async fn picture(reader: &Reader, args: &Args, frame: &FrameRow) -> Result<Vec<u8>, Failure> {
    match (!args.raw).then_some(frame.codec) {
        Some(Codec::H264 | Codec::H265) => {
            let needed = decoding_order::up_to(reader, frame).await;
            let needed = needed.map_err(Failure::failed)?;
            let gop = gop::of(reader, frame, &needed).map_err(Failure::failed)?;
            match wants_jpeg(args) {
                true => jpeg::picture(&gop),
                false => Ok(gop.film),
            }
        }
        Some(Codec::Mjpeg) => {
            let stored = reader.payload(frame).map_err(Failure::failed)?;
            Ok(huffman::with_tables(&stored).into_owned())
        }
        None => reader.payload(frame).map_err(Failure::failed),
    }
}

/// Makes sure that a name doesn't promise what is not written: one without an ending promises nothing, nor is anything made of raw bytes.
fn require_ending(output: &Path, args: &Args, codec: Codec) -> Result<(), Failure> {
    let Some(ending) = output.extension().filter(|_| !args.raw) else {
        return Ok(());
    };
    let (is_film, remedy) = match codec {
        Codec::Mjpeg => (false, "name a .jpg"),
        Codec::H264 | Codec::H265 => (
            ending.eq_ignore_ascii_case("mp4"),
            "name a .mp4, or a .jpg where ffmpeg is installed",
        ),
    };
    if is_film || is_jpeg(ending) {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{}: cannot write a frame of {} to .{}; {remedy}",
        output.display(),
        codec.name(),
        ending.display()
    )))
}

fn wants_jpeg(args: &Args) -> bool {
    let ending = args.output.as_ref().and_then(|output| output.extension());
    ending.is_some_and(is_jpeg)
}

fn is_jpeg(ending: &OsStr) -> bool {
    ending.eq_ignore_ascii_case("jpg") || ending.eq_ignore_ascii_case("jpeg")
}

/// The file to write, or `None` for standard output.
fn destination(args: &Args, frame: &FrameRow) -> Option<PathBuf> {
    match &args.output {
        Some(path) if path.as_os_str() == "-" => None,
        Some(path) => Some(path.clone()),
        None if std::io::stdout().is_terminal() => Some(PathBuf::from(format!(
            "{}-{}.{}",
            frame.camera,
            time::format_for_name(frame.captured_us),
            if frame.codec == Codec::Mjpeg {
                "jpg"
            } else {
                "mp4"
            }
        ))),
        None => None,
    }
}

fn print(picture: &[u8]) -> Result<(), Stop> {
    let mut out = std::io::stdout();
    out.write_all(picture)?;
    Ok(out.flush()?)
}

/// Where the picture goes.
enum Place {
    New(NewFile, File),
    /// A pipe or a device, which can't be replaced and is not overwritten.
    Open(File),
}

impl Place {
    fn at(path: &Path) -> Result<Self, Failure> {
        let is_special = |there: Metadata| !there.is_file() && !there.is_dir();
        if std::fs::metadata(path).is_ok_and(is_special) {
            let opened = File::options().write(true).open(path);
            return opened
                .map(Self::Open)
                .map_err(|error| cannot_write(path, &error));
        }
        // What a link leads to is replaced, not the link; and it stays as readable as it was.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let (place, file) = NewFile::create(&path, true).map_err(Failure::failed)?;
        if let Ok(there) = std::fs::metadata(&path) {
            let _ = file.set_permissions(there.permissions());
        }
        Ok(Self::New(place, file))
    }

    fn fill(self, picture: &[u8]) -> io::Result<()> {
        match self {
            Self::Open(mut file) => file.write_all(picture),
            Self::New(place, mut file) => {
                file.write_all(picture)?;
                place.keep()
            }
        }
    }
}

/// Which frame it is, and how far from the time asked for.
fn which(frame: &FrameRow, asked_us: i64, utc: bool) -> String {
    let off_us = frame.captured_us.saturating_sub(asked_us);
    let off = match off_us {
        0 => "exactly then".to_owned(),
        ..0 => format!("{} before", words::duration(off_us.saturating_neg())),
        _ => format!("{} after", words::duration(off_us)),
    };
    let torn = if frame.complete { "" } else { ", torn" };
    format!(
        "{}: frame of {} ({off}; clock: {}{torn})",
        frame.camera,
        time::format(frame.captured_us, utc),
        frame.clock.name()
    )
}

fn in_gap(gap: &GapRow, utc: bool) -> String {
    let end = gap
        .ended_us
        .map_or("now".to_owned(), |end| time::format(end, utc));
    let detail = if gap.detail.is_empty() {
        String::new()
    } else {
        format!(" ({})", words::plain(&gap.detail))
    };
    format!(
        "{}: no footage then: {}{detail}, from {} to {end}",
        gap.camera,
        gap.reason,
        time::format(gap.started_us, utc)
    )
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use framelog_core::clock::ClockKind;

    use super::*;

    #[test]
    fn a_name_must_end_as_what_is_written() {
        use Codec::{H264, H265, Mjpeg};
        let fits = |name: &str, raw, codec| {
            let args = Args {
                camera: String::new(),
                time: 0,
                output: None,
                raw,
                utc: false,
            };
            require_ending(Path::new(name), &args, codec).is_ok()
        };
        for (name, codec) in [
            ("a.jpg", Mjpeg),
            ("a.JPEG", Mjpeg),
            ("a", Mjpeg),
            ("-", Mjpeg),
            ("/dev/stdout", Mjpeg),
            ("a.mp4", H264),
            ("a.jpg", H265),
        ] {
            assert!(fits(name, false, codec), "{name}");
        }
        for (name, codec) in [("a.png", Mjpeg), ("a.mp4", Mjpeg), ("a.mkv", H264)] {
            assert!(!fits(name, false, codec), "{name}");
            assert!(fits(name, true, codec), "{name} --raw");
        }
    }

    #[test]
    fn a_picture_takes_the_place_of_another_only_once_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.jpg");
        std::fs::write(&file, "old").unwrap();
        drop(Place::at(&file).unwrap());
        assert_eq!(std::fs::read(&file).unwrap(), b"old");
        Place::at(&file).unwrap().fill(b"new").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(Place::at(folder.path()).is_err());
        let link = folder.path().join("link.jpg");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o604)).unwrap();
        Place::at(&link).unwrap().fill(b"newer").unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read(&file).unwrap(), b"newer");
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o604);
    }

    #[test]
    fn what_is_no_file_is_written_to_and_stays() {
        let place = Place::at(Path::new("/dev/null")).unwrap();
        assert!(matches!(place, Place::Open(_)));
        place.fill(b"picture").unwrap();
    }

    #[test]
    fn the_distance_from_the_time_asked_for_is_said() {
        let frame = FrameRow {
            camera: "gate".into(),
            captured_us: 1_500_000,
            received_us: 0,
            clock: ClockKind::Camera,
            clock_offset_us: 0,
            codec: Codec::Mjpeg,
            keyframe: true,
            complete: true,
            path: Path::new("").into(),
            offset: 0,
            length: 0,
            segment_id: 1,
        };
        assert_eq!(
            which(&frame, 0, true),
            "gate: frame of 1970-01-01T00:00:01.500000Z (1.5 s after; clock: camera)"
        );
        assert!(which(&frame, 2_000_000, true).contains("500 ms before"));
        assert!(which(&frame, 1_500_000, true).contains("exactly then"));
        assert!(which(&frame, i64::MIN, true).contains("after"));
    }
}
