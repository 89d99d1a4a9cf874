//! A picture that depends on others, made something to look at: those it needs and itself as a film, or a JPEG made of that by ffmpeg. Not for
//! finding the frame.

use std::io::{Cursor, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use framelog_core::frame::Codec;
use framelog_store::Reader;
use framelog_store::query::FrameRow;

use super::Failure;
use super::decoding_order;
use super::export::film::Mp4;

/// A frame and those that it needs.
pub struct Gop {
    /// All of them, `.mp4`.
    pub film: Vec<u8>,
    /// When the frame is shown in it, microseconds.
    shown_us: i64,
}

/// The frames from the last keyframe up to this one.
///
/// # Errors
/// If any of its pictures, or what opens their file, can't be read.
pub async fn up_to(reader: &Reader, codec: Codec, frame: &FrameRow) -> Result<Gop, Failure> {
    let frames = decoding_order::up_to(reader, frame)
        .await
        .map_err(Failure::failed)?;
    let parameters = reader.parameters(frame).map_err(Failure::failed)?;
    let made = |error| {
        Failure::failed(format!(
            "{}: cannot be made a film: {error}",
            frame.path.display()
        ))
    };
    let mut film = Mp4::new(Cursor::new(Vec::new()), true).map_err(made)?;
    film.need(codec, &parameters);
    for frame in &frames {
        let payload = reader.payload(frame).map_err(Failure::failed)?;
        film.add(frame, &payload).map_err(made)?;
    }
    let first_us = frames.iter().map(|frame| frame.captured_us).min();
    Ok(Gop {
        film: film.close().map_err(made)?.into_inner(),
        shown_us: frame.captured_us.saturating_sub(first_us.unwrap_or(0)),
    })
}

/// The frame itself, decoded by ffmpeg.
///
/// # Errors
/// If there is no ffmpeg, or it can't decode the film.
pub fn picture(gop: &Gop) -> Result<Vec<u8>, Failure> {
    let failed = |error: String| Failure::failed(format!("{error}; write to a .mp4 instead"));
    let mut file = tempfile::NamedTempFile::new()
        .map_err(|error| failed(format!("cannot make a temporary file: {error}")))?;
    (file.write_all(&gop.film))
        .map_err(|error| failed(format!("cannot write a temporary file: {error}")))?;
    let ffmpeg = ffmpeg(file.path(), gop.shown_us).output();
    let output = ffmpeg.map_err(|error| {
        failed(format!(
            "a JPEG of this camera's frames is made by ffmpeg, which can't be run: {error}"
        ))
    })?;
    if output.status.success() && output.stdout.starts_with(&[0xff, 0xd8]) {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = super::words::plain(said.lines().next().unwrap_or("no picture"));
    Err(failed(format!("ffmpeg can't decode the frame: {said}")))
}

/// Shows the first picture of the film from that time on, half a microsecond early for the sake of rounding.
fn ffmpeg(film: &Path, shown_us: i64) -> Command {
    let from_s = (shown_us as f64 - 0.5) / 1e6;
    let mut command = Command::new("ffmpeg");
    command
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(film)
        .args([
            "-vf",
            &format!("select=gte(t\\,{from_s:.7})"),
            "-frames:v",
            "1",
        ])
        .args(["-f", "image2pipe", "-c:v", "mjpeg", "-q:v", "2", "-"])
        .stdin(Stdio::null());
    command
}
