//! Containers: what a segment's file holds around each payload, and what its extension is. One code path for all layouts.

use framelog_core::container::mjpeg;
use framelog_core::frame::Frame;

/// The format of a segment's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    /// Many frames, each a part in the wire format.
    Mjpeg,
    /// One frame and nothing else.
    Jpg,
}

impl Container {
    /// The file's extension, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Container::Mjpeg => "mjpeg",
            Container::Jpg => "jpg",
        }
    }

    /// The container with this extension, if it is one.
    pub fn from_extension(extension: &str) -> Option<Self> {
        [Container::Mjpeg, Container::Jpg]
            .into_iter()
            .find(|container| container.extension() == extension)
    }

    /// Whether a file holds one frame only.
    pub fn holds_one(self) -> bool {
        self == Container::Jpg
    }

    /// Appends what goes before the payload.
    pub fn write_head(self, frame: &Frame, out: &mut Vec<u8>) {
        match self {
            Container::Mjpeg => mjpeg::write_head(frame, out),
            Container::Jpg => {}
        }
    }

    /// What follows each payload.
    pub fn tail(self) -> &'static [u8] {
        match self {
            Container::Mjpeg => mjpeg::TAIL,
            Container::Jpg => b"",
        }
    }
}
