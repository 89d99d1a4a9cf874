//! What `framelog find --frames` lists: every frame, as a line or as JSON. Not for what frames are part of.

use std::borrow::Cow;
use std::io::{self, Write};
use std::iter::Peekable;

use framelog_store::query::FrameRow;
use framelog_store::{Error, Reader};

use super::Listing;
use crate::cli::output::Stop;
use crate::cli::{time, words};
use crate::footage::frame_pages::FramePages;

impl Listing {
    /// Writes a line for each frame, in order of capture; whether there was any.
    pub(super) fn write_frames(
        &mut self,
        reader: &Reader,
        cameras: &[String],
        width: usize,
        out: &mut impl Write,
    ) -> Result<bool, Stop> {
        let mut cameras: Vec<_> = cameras
            .iter()
            .map(|camera| FramePages::of(reader, camera, self.from_us, self.to_us).peekable())
            .collect();
        let mut any = false;
        while let Some(frame) = next_of(&mut cameras) {
            let frame = frame?;
            any = true;
            if !self.take_line() {
                break;
            }
            if self.args.json {
                let json = serde_json::to_writer(&mut *out, &FrameJson::of(&frame));
                json.map_err(io::Error::from)?;
                out.write_all(b"\n")?;
            } else {
                write_frame_line(&frame, width, self.args.utc, out)?;
            }
        }
        Ok(any)
    }
}

/// The earliest frame of all cameras, each of which has its own in order of capture; an error comes first.
fn next_of<F>(cameras: &mut [Peekable<F>]) -> Option<Result<FrameRow, Error>>
where
    F: Iterator<Item = Result<FrameRow, Error>>,
{
    let first_us = |frames: &mut Peekable<F>| match frames.peek()? {
        Ok(frame) => Some(frame.captured_us),
        Err(_) => Some(i64::MIN),
    };
    let (_, next) = cameras
        .iter_mut()
        .enumerate()
        .filter_map(|(at, frames)| Some((first_us(frames)?, at)))
        .min()?;
    cameras.get_mut(next)?.next()
}

fn write_frame_line(
    frame: &FrameRow,
    width: usize,
    utc: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    writeln!(
        out,
        "{:width$}  {}  {:7}  {:>8}  {}:{}{}",
        frame.camera,
        time::format(frame.captured_us, utc),
        frame.clock.name(),
        words::bytes(frame.length),
        frame.path.display(),
        frame.offset,
        if frame.complete { "" } else { "  torn" },
    )
}

/// The columns of the view `footage`. Not a [`Value`], because an hour of a camera has tens of thousands.
#[derive(serde::Serialize)]
struct FrameJson<'f> {
    camera: &'f str,
    captured: String,
    captured_us: i64,
    clock: &'f str,
    codec: &'f str,
    complete: bool,
    keyframe: bool,
    kind: &'static str,
    length: u64,
    offset: u64,
    path: Cow<'f, str>,
    received_us: i64,
}

impl<'f> FrameJson<'f> {
    fn of(frame: &'f FrameRow) -> Self {
        Self {
            camera: &frame.camera,
            captured: time::format(frame.captured_us, true),
            captured_us: frame.captured_us,
            clock: frame.clock.name(),
            codec: frame.codec.name(),
            complete: frame.complete,
            keyframe: frame.keyframe,
            kind: "frame",
            length: frame.length,
            offset: frame.offset,
            path: frame.path.to_string_lossy(),
            received_us: frame.received_us,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use framelog_core::clock::ClockKind;
    use framelog_core::frame::Codec;

    use super::*;

    fn frame(camera: &str, captured_us: i64) -> FrameRow {
        FrameRow {
            camera: camera.into(),
            captured_us,
            received_us: captured_us,
            clock: ClockKind::Camera,
            clock_offset_us: 0,
            codec: Codec::Mjpeg,
            keyframe: true,
            complete: true,
            path: Path::new("a.mjpeg").into(),
            offset: 0,
            length: 1,
            segment_id: 1,
        }
    }

    #[test]
    fn frames_of_many_cameras_are_in_order_of_capture() {
        let frames_of = |camera: &'static str, times: [i64; 2]| {
            times
                .map(|time| Ok(frame(camera, time)))
                .into_iter()
                .peekable()
        };
        let mut cameras = [frames_of("door", [1, 4]), frames_of("gate", [2, 3])];
        let order: Vec<_> = std::iter::from_fn(|| next_of(&mut cameras))
            .map(|frame| frame.unwrap())
            .map(|frame| (frame.camera.to_string(), frame.captured_us))
            .collect();
        let of = |camera: &str, captured_us| (camera.to_owned(), captured_us);
        assert_eq!(
            order,
            [of("door", 1), of("gate", 2), of("gate", 3), of("door", 4)]
        );
    }
}
