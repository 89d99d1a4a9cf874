//! A picture that depends on others, with those it needs: something that can be shown. Not for finding the frame, nor for making a JPEG of it.

use std::io::{self, Cursor};
use std::sync::Arc;

use framelog_store::query::FrameRow;
use framelog_store::{Error, Reader};

use super::film::Mp4;

/// A frame and those that it needs.
#[derive(Debug)]
pub struct Gop {
    /// All of them, `.mp4`.
    pub film: Vec<u8>,
    /// When the frame is shown in it, microseconds.
    pub shown_us: i64,
}

/// Why a picture can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum GopError {
    /// One of its pictures, or what opens their file, can't be read.
    #[error(transparent)]
    Unreadable(#[from] Error),
    /// They can't be put together.
    #[error("{}: cannot be made a film: {error}", path.display())]
    NoFilm {
        /// Of the frame.
        path: Arc<std::path::Path>,
        /// Why not.
        error: io::Error,
    },
}

/// A frame, and what it needs: the frames from the last keyframe up to it. Blocking.
///
/// # Errors
/// If any of its pictures, or what opens their file, can't be read.
pub fn of(reader: &Reader, frame: &FrameRow, needed: &[FrameRow]) -> Result<Gop, GopError> {
    let parameters = reader.parameters(frame)?;
    let no_film = |error| GopError::NoFilm {
        path: frame.path.clone(),
        error,
    };
    let mut film = Mp4::new(Cursor::new(Vec::new())).map_err(no_film)?;
    film.need(frame.codec, &parameters);
    for frame in needed {
        let payload = reader.payload(frame)?;
        film.add(frame, &payload).map_err(no_film)?;
    }
    let first_us = needed.iter().map(|frame| frame.captured_us).min();
    Ok(Gop {
        film: film.close().map_err(no_film)?.into_inner(),
        shown_us: frame.captured_us.saturating_sub(first_us.unwrap_or(0)),
    })
}
