//! Containers: the bytes that a segment holds around each payload. Not for files: those are the store's.

pub mod mjpeg;
