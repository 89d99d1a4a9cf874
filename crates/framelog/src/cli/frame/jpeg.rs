//! A JPEG of a picture that depends on others, made by ffmpeg. Not for finding those.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::cli::{Failure, words};
use crate::footage::gop::Gop;

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
    let said = words::plain(said.lines().next().unwrap_or("no picture"));
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
