//! Export to `.zip`: pictures stored, not deflated (JPEGs don't get smaller).

use std::fs::File;
use std::io::{self, BufWriter, Write as _};

use chrono::{DateTime, Datelike as _, Timelike as _};
use framelog_core::huffman;
use framelog_store::query::FrameRow;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::Sink;
use super::picture_name::PictureNames;

pub(super) struct Archive {
    zip: ZipWriter<BufWriter<File>>,
    raw: bool,
    names: PictureNames,
}

impl Archive {
    pub(super) fn new(file: File, raw: bool) -> Self {
        Self {
            zip: ZipWriter::new(BufWriter::new(file)),
            raw,
            names: PictureNames::default(),
        }
    }
}

impl Sink for Archive {
    fn put(&mut self, frame: &FrameRow, payload: Vec<u8>) -> io::Result<()> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(dos_time(frame.captured_us))
            .unix_permissions(0o644);
        self.zip
            .start_file(self.names.next(frame.captured_us), options)?;
        if self.raw {
            return self.zip.write_all(&payload);
        }
        self.zip.write_all(&huffman::with_tables(&payload))
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.zip
            .finish()?
            .into_inner()
            .map_err(|error| error.into_error())
            .map(drop)
    }
}

/// The capture time, in UTC, as far as a zip file can hold it (1980 to 2107, two seconds).
fn dos_time(us: i64) -> zip::DateTime {
    DateTime::from_timestamp_micros(us)
        .and_then(zip_time)
        .unwrap_or_default()
}

fn zip_time(at: DateTime<chrono::Utc>) -> Option<zip::DateTime> {
    let small = |number: u32| u8::try_from(number).ok();
    let year = u16::try_from(at.year()).ok()?;
    zip::DateTime::from_date_and_time(
        year,
        small(at.month())?,
        small(at.day())?,
        small(at.hour())?,
        small(at.minute())?,
        small(at.second())?,
    )
    .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_a_zip_cannot_hold_do_not_fail() {
        assert_eq!(dos_time(0), zip::DateTime::default());
        assert_eq!(dos_time(i64::MAX), zip::DateTime::default());
        assert_eq!(dos_time(1_700_000_000_000_000).year(), 2023);
    }
}
