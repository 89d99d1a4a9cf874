//! Containers: the bytes that a segment holds around each payload, and how its frames are found again. Not for files: those are the
//! store's.

pub mod mjpeg;
pub mod mkv;
pub mod mp4;
pub mod scan;
mod stored;

pub use stored::{Bookend, Format, Head, Stored};
