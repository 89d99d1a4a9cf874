//! Footage that the index does not know: read by what it says of itself, made into rows. Not for finding it, which is `footage_dirs`, nor for
//! writing the rows.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::Arc;

use framelog_core::clock::ClockKind;
use framelog_core::container::Stored;
use framelog_core::frame::Codec;
use framelog_core::jpeg::{EOI, SOI};

use crate::disk::{Disk, attribute};
use crate::layout::SegmentName;
use crate::rows;
use crate::scan::{Depth, Found, Scan, frame_at, scan};
use crate::segment::OFFSET;

/// A segment's file and what is in it.
#[derive(Clone, Debug)]
pub(crate) struct Footage {
    pub name: SegmentName,
    pub path: Arc<str>,
    pub scan: Scan,
}

impl Footage {
    /// Reads a whole file.
    pub fn read(disk: &Disk, name: SegmentName, depth: Depth) -> io::Result<Self> {
        let path = name.path();
        let scan = match name.container.format() {
            Some(format) => scan(&disk.open_file(Path::new(&path))?, format, 0, depth)?,
            None => one_picture(disk, &path, &name)?,
        };
        Ok(Self {
            name,
            path: path.into(),
            scan,
        })
    }

    /// Reads a file by its heads or, if its last frame isn't what its head says (which a power cut may leave), by every byte.
    pub fn read_by_heads(disk: &Disk, name: SegmentName) -> io::Result<Self> {
        let mut footage = Self::read(disk, name.clone(), Depth::Heads)?;
        if let Some(format) = name.container.format()
            && let Some(last) = footage.scan.frames.last()
            && frame_at(
                &disk.open_file(Path::new(&*footage.path))?,
                format,
                last.offset,
                last.length,
            )?
            .is_none()
        {
            footage = Self::read(disk, name, Depth::Bytes)?;
        }
        Ok(footage)
    }

    /// Whether all there is in it is a first frame that was never written to its end.
    pub fn is_cut_short(&self, disk: &Disk) -> io::Result<bool> {
        let first = self.name.container.begins();
        let len = self.scan.file_len.min(first.len() as u64);
        let begin = disk.read(Path::new(&*self.path), 0, len)?;
        Ok(self.scan.frames.is_empty() && first.starts_with(&begin))
    }

    /// Whether what lies behind the last whole frame began as a frame of ours: a write that was never finished.
    pub fn ends_torn(&self, disk: &Disk) -> io::Result<bool> {
        let Some(format) = self.name.container.format() else {
            return Ok(false);
        };
        let len = self.scan.torn().min(format.start.len() as u64);
        let begin = disk.read(Path::new(&*self.path), self.scan.end, len)?;
        Ok(len > 0 && format.may_go_on_with(&begin))
    }

    /// When the first frame arrived: the order in which segments began. `None` if there is no frame.
    pub fn began_us(&self) -> Option<i64> {
        Some(self.scan.frames.first()?.stored.received_us)
    }

    /// When the first frame was taken.
    pub fn first_captured_us(&self) -> Option<i64> {
        let times = self
            .scan
            .frames
            .iter()
            .map(|found| found.stored.captured_us);
        times.min()
    }

    /// Rows of a closed segment and its frames; `None` if there is no frame.
    pub fn rows(&self, id: i64, camera_id: i64) -> Option<(rows::Segment, Vec<rows::Frame>)> {
        let first = self.scan.frames.first()?;
        let mut segment = rows::Segment {
            id,
            camera_id,
            path: self.path.clone(),
            codec: first.stored.codec,
            started_us: first.stored.captured_us,
            ended_us: first.stored.captured_us,
            frames: 0,
            bytes: 0,
            open: false,
            offset_us: first.stored.offset_us,
            received_us: first.stored.received_us,
        };
        let frames = add_to(&mut segment, &self.scan);
        Some((segment, frames))
    }
}

/// Counts the frames of a scan into the row of their segment; their own rows.
pub(crate) fn add_to(segment: &mut rows::Segment, scan: &Scan) -> Vec<rows::Frame> {
    segment.bytes = scan.end.cast_signed();
    segment.frames += scan.frames.len() as i64;
    scan.frames
        .iter()
        .map(|found| {
            let Stored {
                captured_us,
                received_us,
                ..
            } = found.stored;
            segment.started_us = segment.started_us.min(captured_us);
            segment.ended_us = segment.ended_us.max(captured_us);
            segment.received_us = received_us;
            frame_row(segment, found)
        })
        .collect()
}

fn frame_row(segment: &rows::Segment, found: &Found) -> rows::Frame {
    rows::Frame {
        camera_id: segment.camera_id,
        captured_us: found.stored.captured_us,
        segment_id: segment.id,
        offset: found.offset.cast_signed(),
        length: found.length.cast_signed(),
        flags: rows::flags(
            found.stored.clock,
            found.stored.complete,
            found.stored.keyframe,
        ),
        lag_us: found
            .stored
            .received_us
            .saturating_sub(found.stored.captured_us),
    }
}

fn has_at(file: &File, at: u64, bytes: [u8; 2]) -> io::Result<bool> {
    let mut found = [0; 2];
    file.read_exact_at(&mut found, at)?;
    Ok(found == bytes)
}

/// The offset of a mapped clock, where the file system could keep it.
fn offset_us(file: &File) -> Option<i64> {
    let mut value = [0; size_of::<i64>()];
    let value = attribute(file, OFFSET, &mut value)?;
    value.try_into().ok().map(i64::from_le_bytes)
}

/// A `.jpg` has its times in its name and its modification time (`OpenSegment::seal`).
fn one_picture(disk: &Disk, path: &str, name: &SegmentName) -> io::Result<Scan> {
    let file = disk.open_file(Path::new(path))?;
    let metadata = file.metadata()?;
    let file_len = metadata.len();
    let modified_ns = metadata
        .mtime()
        .saturating_mul(1_000_000_000)
        .saturating_add(metadata.mtime_nsec());
    let is_picture = file_len >= 4 && has_at(&file, 0, SOI)?;
    let complete = is_picture && has_at(&file, file_len - 2, EOI)?;
    let clock = match modified_ns.rem_euclid(1000) {
        0 => Some(ClockKind::Camera),
        1 => Some(ClockKind::Mapped),
        2 => Some(ClockKind::Arrival),
        _ => None,
    };
    let scan = Scan {
        file_len,
        ..Scan::default()
    };
    // Written to its end: it was sealed, or it has one.
    if !is_picture || (clock.is_none() && !complete) {
        return Ok(Scan {
            damaged: std::iter::once(0..file_len).collect(),
            ..scan
        });
    }
    let stored = Stored {
        captured_us: name.started_us,
        received_us: modified_ns.div_euclid(1000),
        clock: clock.unwrap_or(ClockKind::Arrival),
        offset_us: match clock {
            Some(ClockKind::Mapped) => offset_us(&file).unwrap_or(0),
            _ => 0,
        },
        codec: Codec::Mjpeg,
        keyframe: true,
        complete,
    };
    Ok(Scan {
        frames: vec![Found {
            offset: 0,
            length: file_len,
            stored,
        }],
        end: file_len,
        ..scan
    })
}
