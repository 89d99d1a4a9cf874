//! Containers: what a segment's file holds around each payload, and what its extension is. One code path for all layouts.

use framelog_core::container::{Format, mjpeg, mp4};
use framelog_core::frame::{Codec, Frame};
use framelog_core::jpeg::SOI;

/// How frames become files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// Consecutive frames of one camera share a file.
    #[default]
    Segments,
    /// Each frame is a file of its own.
    Files,
}

/// The format of a segment's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    /// Many JPEGs, each a part in the wire format.
    Mjpeg,
    /// One JPEG and nothing else.
    Jpg,
    /// Many frames of H.264 or H.265, each a fragment.
    Mp4,
}

impl Container {
    /// The container for frames of this codec.
    pub fn of(codec: Codec, layout: Layout) -> Self {
        match (codec, layout) {
            (Codec::Mjpeg, Layout::Segments) => Container::Mjpeg,
            (Codec::Mjpeg, Layout::Files) => Container::Jpg,
            (Codec::H264 | Codec::H265, _) => Container::Mp4,
        }
    }

    /// The file's extension, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Container::Mjpeg => "mjpeg",
            Container::Jpg => "jpg",
            Container::Mp4 => "mp4",
        }
    }

    /// The container with this extension, if it is one.
    pub fn from_extension(extension: &str) -> Option<Self> {
        [Container::Mjpeg, Container::Jpg, Container::Mp4]
            .into_iter()
            .find(|container| container.extension() == extension)
    }

    /// The container of a file with this path.
    pub fn of_path(path: &str) -> Option<Self> {
        Self::from_extension(path.rsplit_once('.')?.1)
    }

    /// Whether a file holds one frame only.
    pub fn holds_one(self) -> bool {
        self == Container::Jpg
    }

    /// How frames lie in a file; `None` if it is a frame and nothing else.
    pub fn format(self) -> Option<&'static Format> {
        match self {
            Container::Mjpeg => Some(&mjpeg::FORMAT),
            Container::Mp4 => Some(&mp4::FORMAT),
            Container::Jpg => None,
        }
    }

    /// What a file begins with.
    pub fn begins(self) -> &'static [u8] {
        self.format().map_or(&SOI, Format::begins)
    }

    /// What follows each payload.
    pub fn tail(self) -> &'static [u8] {
        self.format().map_or(b"", |format| format.tail)
    }
}

/// How far the writing of a segment is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Position {
    /// Each frame stands for itself.
    Mjpeg,
    /// There is nothing around a frame.
    Jpg,
    /// Frames have places on a track.
    Mp4(mp4::Position),
}

impl Position {
    /// Before the first frame, which this one will be.
    pub fn begin(container: Container, first: &Frame, pace: mp4::Pace) -> Self {
        match container {
            Container::Mjpeg => Position::Mjpeg,
            Container::Jpg => Position::Jpg,
            Container::Mp4 => Position::Mp4(mp4::Position::begin(first, pace)),
        }
    }

    /// Appends what goes before the payload of the next frame. When it is shown, where there is a track.
    pub fn write_head(&mut self, frame: &Frame, out: &mut Vec<u8>) -> Option<u64> {
        match self {
            Position::Mjpeg => mjpeg::write_head(frame, out),
            Position::Jpg => {}
            Position::Mp4(position) => return Some(position.write_head(frame, out).shown_us()),
        }
        None
    }
}
