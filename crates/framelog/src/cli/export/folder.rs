//! Export to a folder of `.jpg` files.

use std::io;
use std::path::PathBuf;

use framelog_core::huffman;
use framelog_store::query::FrameRow;

use super::Sink;
use super::picture_name::PictureNames;

pub(super) struct Folder {
    pub path: PathBuf,
    pub raw: bool,
    pub names: PictureNames,
}

impl Sink for Folder {
    fn put(&mut self, frame: &FrameRow, payload: Vec<u8>) -> io::Result<()> {
        let path = self.path.join(self.names.next(frame.captured_us));
        if self.raw {
            return std::fs::write(path, payload);
        }
        std::fs::write(path, huffman::with_tables(&payload))
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}
