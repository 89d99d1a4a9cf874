//! A camera's frames one by one, read from the index page by page: of however many only some are in memory. Not for their pictures.

use std::collections::VecDeque;

use framelog_store::query::FrameRow;
use framelog_store::{Error, Reader};

const PAGE_FRAMES: u32 = 1_000;

/// The frames of a camera in order of capture. Blocking, for milliseconds, once a page. What comes behind an error is not known.
pub struct FramePages<'r> {
    reader: &'r Reader,
    camera: &'r str,
    from_us: i64,
    to_us: i64,
    page: VecDeque<FrameRow>,
    /// The last frame of the pages before.
    last: Option<FrameRow>,
}

impl<'r> FramePages<'r> {
    /// Those captured from `from_us` to before `to_us`, microseconds since the Unix epoch.
    pub fn of(reader: &'r Reader, camera: &'r str, from_us: i64, to_us: i64) -> Self {
        Self {
            reader,
            camera,
            from_us,
            to_us,
            page: VecDeque::new(),
            last: None,
        }
    }

    fn read_page(&self) -> Result<Vec<FrameRow>, Error> {
        let after = self.last.as_ref();
        (self.reader).frames(self.camera, self.from_us, self.to_us, after, PAGE_FRAMES)
    }
}

impl Iterator for FramePages<'_> {
    type Item = Result<FrameRow, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.is_empty() {
            match self.read_page() {
                Ok(page) => self.page = page.into(),
                Err(error) => return Some(Err(error)),
            }
            self.last = self.page.back().cloned().or(self.last.take());
        }
        self.page.pop_front().map(Ok)
    }
}
