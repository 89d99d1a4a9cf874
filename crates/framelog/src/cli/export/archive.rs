//! Export to `.zip`: pictures stored, not deflated (JPEGs don't get smaller).

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::rc::Rc;

use chrono::{DateTime, Datelike as _, Timelike as _};
use framelog_core::huffman;
use framelog_store::query::FrameRow;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::Sink;
use super::picture_name::PictureNames;

pub(super) struct Archive {
    zip: ZipWriter<Out>,
    failure: Failure,
    raw: bool,
    names: PictureNames,
}

impl Archive {
    pub(super) fn new(file: File, raw: bool) -> Self {
        let out = Out::to(file);
        Self {
            failure: Rc::clone(&out.failure),
            zip: ZipWriter::new(out),
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
        match self.raw {
            true => self.zip.write_all(&payload)?,
            false => self.zip.write_all(&huffman::with_tables(&payload))?,
        }
        self.failure.take().map_or(Ok(()), Err)
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.zip.finish()?.flush()?;
        self.failure.take().map_or(Ok(()), Err)
    }
}

/// Why nothing more is written, until that is told.
type Failure = Rc<Cell<Option<io::Error>>>;

/// A file that never fails: the failure is kept, and what follows it goes nowhere. A `ZipWriter` that meets an error tries to finish the
/// archive once more when it is dropped, and prints what comes of that.
struct Out {
    file: Option<BufWriter<File>>,
    position: u64,
    end: u64,
    failure: Failure,
}

impl Out {
    fn to(file: File) -> Self {
        Self {
            file: Some(BufWriter::new(file)),
            position: 0,
            end: 0,
            failure: Failure::default(),
        }
    }

    fn attempt<T>(&mut self, act: impl FnOnce(&mut BufWriter<File>) -> io::Result<T>) {
        if let Some(Err(error)) = self.file.as_mut().map(act) {
            self.failure.set(Some(error));
            self.file = None;
        }
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.attempt(|file| file.write_all(bytes));
        self.position += bytes.len() as u64;
        self.end = self.end.max(self.position);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.attempt(Write::flush);
        Ok(())
    }
}

impl Seek for Out {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.end.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        let position = position.ok_or(io::ErrorKind::InvalidInput)?;
        // Where it is already may be asked without writing the buffer out.
        if position != self.position {
            self.attempt(|file| file.seek(SeekFrom::Start(position)));
            self.position = position;
        }
        Ok(position)
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
    fn a_full_disk_is_told_and_not_asked_again() {
        let mut out = Out::to(File::options().write(true).open("/dev/full").unwrap());
        out.write_all(&[0; 100_000]).unwrap();
        let told = out.failure.take().unwrap();
        assert_eq!(told.kind(), io::ErrorKind::StorageFull);
        out.write_all(&[0; 100_000]).unwrap();
        assert_eq!(out.seek(SeekFrom::End(-1)).unwrap(), 199_999);
        assert!(out.failure.take().is_none());
    }

    #[test]
    fn an_archive_that_cannot_be_finished_says_so() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let error = Box::new(Archive::new(full, true)).finish().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn times_that_a_zip_cannot_hold_do_not_fail() {
        assert_eq!(dos_time(0), zip::DateTime::default());
        assert_eq!(dos_time(i64::MAX), zip::DateTime::default());
        assert_eq!(dos_time(1_700_000_000_000_000).year(), 2023);
    }
}
