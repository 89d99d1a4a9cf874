//! Export to `.mjpeg`: the parts as segments have them, in one file.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};

use framelog_store::query::FrameRow;

use super::Sink;
use crate::footage::part;

pub(super) struct Mjpeg(BufWriter<File>);

impl Mjpeg {
    pub(super) fn new(file: File) -> Self {
        Self(BufWriter::new(file))
    }
}

impl Sink for Mjpeg {
    fn put(&mut self, frame: &FrameRow, payload: Vec<u8>) -> io::Result<()> {
        self.0.write_all(&part::bytes(frame, payload))
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.0.flush()
    }
}
