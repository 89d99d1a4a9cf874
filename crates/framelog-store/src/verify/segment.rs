//! One segment: its row, the rows of its frames and its file, held against each other. Not for reading the rows, nor for deciding whether a
//! difference is one that is made at this moment.

use std::io;
use std::ops::Range;
use std::path::Path;

use framelog_core::frame::Codec;
use framelog_core::jpeg::{Walk, Walker};

use super::finding::{Finding, Place, Problem};
use crate::container::Container;
use crate::disk::Disk;
use crate::layout::SegmentName;
use crate::rows;
use crate::scan::{Depth, Found, Scan, scan_each};
use crate::unindexed::Footage;

/// A segment as the index has it. Of one that is being written, what was there when its row was read.
#[derive(Clone, Debug)]
pub(super) struct Indexed {
    pub camera: String,
    pub segment: rows::Segment,
    /// By offset.
    pub frames: Vec<rows::Frame>,
}

impl Indexed {
    /// All that is wrong with it.
    pub fn findings(&self, disk: &Disk, depth: Depth) -> Vec<Finding> {
        let mut findings = Findings {
            of: self,
            found: Vec::new(),
        };
        let Some(name) = SegmentName::parse(&self.segment.path) else {
            findings.add(Problem::ForeignPath);
            return findings.found;
        };
        findings.add_miscounts(name.container);
        match self.look(disk, &name, depth) {
            Ok((scan, broken)) => findings.add_differences(&name, &scan, &broken),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                findings.add(Problem::Missing {
                    frames: self.frames.len() as u64,
                });
            }
            Err(error) => findings.add(Problem::Unreadable {
                error: error.to_string(),
            }),
        }
        findings.found
    }

    /// What is in the file, and the pictures in it that only seem to be whole.
    fn look(
        &self,
        disk: &Disk,
        name: &SegmentName,
        depth: Depth,
    ) -> io::Result<(Scan, Vec<Broken>)> {
        let mut broken = Vec::new();
        let mut walk = |found: &Found, payload: &[u8]| {
            if depth == Depth::Bytes && found.stored.complete {
                broken.extend(breaks_at(found.stored.codec, payload).map(|at| Broken {
                    offset: found.offset,
                    at,
                }));
            }
        };
        let scan = match name.container.format() {
            Some(format) => {
                let limit = if self.segment.open {
                    self.segment.bytes.cast_unsigned()
                } else {
                    u64::MAX
                };
                let file = disk.open_file(Path::new(&*self.segment.path))?;
                scan_each(&file, format, 0..limit, depth, walk)?
            }
            None => {
                let scan = Footage::read(disk, name.clone(), depth)?.scan;
                for found in &scan.frames {
                    let length = if depth == Depth::Bytes {
                        found.length
                    } else {
                        0
                    };
                    walk(
                        found,
                        &disk.read(Path::new(&*self.segment.path), 0, length)?,
                    );
                }
                scan
            }
        };
        Ok((scan, broken))
    }
}

/// A picture whose structure breaks.
#[derive(Clone, Copy, Debug)]
struct Broken {
    /// Of the payload in the file.
    offset: u64,
    /// In the payload.
    at: u64,
}

/// Where no picture of this codec would go on like this; `None` if it comes to its end.
fn breaks_at(codec: Codec, payload: &[u8]) -> Option<u64> {
    if codec != Codec::Mjpeg {
        return nal_units_break_at(payload);
    }
    let mut walker = Walker::of_whole();
    (walker.take(payload) != Walk::End).then(|| walker.taken() as u64)
}

/// Where there is no whole NAL unit behind its length.
fn nal_units_break_at(payload: &[u8]) -> Option<u64> {
    let mut rest = payload;
    while !rest.is_empty() {
        let unit = (rest.split_first_chunk())
            .map(|(length, behind)| (u32::from_be_bytes(*length) as usize, behind))
            .filter(|(length, _)| *length > 0)
            .and_then(|(length, behind)| behind.get(length..));
        match unit {
            Some(behind) => rest = behind,
            None => return Some((payload.len() - rest.len()) as u64),
        }
    }
    payload.is_empty().then_some(0)
}

/// Gathers what is wrong with one segment.
struct Findings<'a> {
    of: &'a Indexed,
    found: Vec<Finding>,
}

impl Findings<'_> {
    /// About the whole segment.
    fn add(&mut self, problem: Problem) {
        self.put(Some(self.of.segment.started_us), None, problem);
    }

    /// About a frame that has a row.
    fn add_for(&mut self, row: &rows::Frame, problem: Problem) {
        let offset = Some(row.offset.cast_unsigned());
        self.put(Some(row.captured_us), offset, problem);
    }

    fn put(&mut self, captured_us: Option<i64>, offset: Option<u64>, problem: Problem) {
        self.found.push(Finding {
            place: Place {
                camera: Some(self.of.camera.clone()),
                captured_us,
                path: Some(self.of.segment.path.to_string()),
                offset,
            },
            problem,
        });
    }

    /// The segment's row against those of its frames.
    fn add_miscounts(&mut self, container: Container) {
        let Indexed {
            segment, frames, ..
        } = self.of;
        let mut counts = vec![("frames", segment.frames, frames.len() as i64)];
        let times = || frames.iter().map(|frame| frame.captured_us);
        if let (Some(first_us), Some(last_us), Some(last)) =
            (times().min(), times().max(), frames.last())
        {
            counts.push(("started_us", segment.started_us, first_us));
            counts.push(("ended_us", segment.ended_us, last_us));
            counts.push(("bytes", segment.bytes, part_end(last, container)));
            // Version 1 of the index had no such column: there it is the same as `ended_us`.
            if segment.received_us != segment.ended_us {
                let received_us = last.captured_us.saturating_add(last.lag_us);
                counts.push(("received_us", segment.received_us, received_us));
            }
        }
        for (column, said, counted) in counts {
            if said != counted {
                self.add(Problem::Miscounted {
                    column,
                    said,
                    counted,
                });
            }
        }
    }

    /// The rows of the frames against the file.
    fn add_differences(&mut self, name: &SegmentName, scan: &Scan, broken: &[Broken]) {
        let of = self.of;
        let indexed_bytes = of.segment.bytes.cast_unsigned();
        let is_short = scan.file_len < indexed_bytes;
        let mut cut_off = 0;
        let mut stored = scan.frames.iter().peekable();
        for row in &of.frames {
            let offset = row.offset.cast_unsigned();
            while let Some(extra) = stored.next_if(|found| found.offset < offset) {
                self.add_without_row(extra);
            }
            let same = stored.next_if(|found| found.offset == offset);
            if is_short && part_end(row, name.container).cast_unsigned() > scan.file_len {
                cut_off += 1;
            } else if let Some(found) = same {
                self.add_disagreement(name, row, found);
            } else if scan.damaged.iter().any(|span| span.contains(&offset)) {
                self.add_for(row, Problem::DamagedFrame);
            } else {
                self.add_for(row, Problem::NoFrame);
            }
        }
        stored.for_each(|extra| self.add_without_row(extra));
        if is_short {
            self.add(Problem::Short {
                bytes: indexed_bytes - scan.file_len,
                frames: cut_off,
            });
        }
        for span in &scan.damaged {
            let is_cut = is_short && span.end == scan.file_len;
            if !is_cut && !self.is_known(span) {
                self.add_stretch(span, scan);
            }
        }
        for Broken { offset, at } in broken {
            let at_offset = |row: &rows::Frame| row.offset.cast_unsigned();
            let row = of.frames.binary_search_by_key(offset, at_offset).ok();
            if let Some(row) = row.and_then(|row| of.frames.get(row)) {
                let (at, length) = (*at, row.length.cast_unsigned());
                self.add_for(row, Problem::BrokenPicture { at, length });
            }
        }
    }

    /// Whether the index has a frame there, which was found to be damaged.
    fn is_known(&self, span: &Range<u64>) -> bool {
        let frames = &self.of.frames;
        let at = frames.partition_point(|row| row.offset.cast_unsigned() < span.start);
        frames
            .get(at)
            .is_some_and(|row| span.contains(&row.offset.cast_unsigned()))
    }

    fn add_stretch(&mut self, span: &Range<u64>, scan: &Scan) {
        let bytes = span.end - span.start;
        let is_last = span.end == scan.file_len;
        let problem = if is_last && span.start >= self.of.segment.bytes.cast_unsigned() {
            Problem::TornEnd { bytes }
        } else {
            Problem::DamagedStretch { bytes }
        };
        self.put(None, Some(span.start), problem);
    }

    fn add_without_row(&mut self, found: &Found) {
        let captured_us = Some(found.stored.captured_us);
        self.put(captured_us, Some(found.offset), Problem::NoRow);
    }

    /// A frame's row against the frame.
    fn add_disagreement(&mut self, name: &SegmentName, row: &rows::Frame, found: &Found) {
        let stored = &found.stored;
        let is_mapped = row.flags & 3 == 1;
        // A .jpg holds neither the clock's offset nor times that a path can't say.
        let (captured_us, offset_us) = match name.container {
            Container::Mjpeg | Container::Mp4 => (row.captured_us, self.of.segment.offset_us),
            Container::Jpg => (layout_us(name, row.captured_us), stored.offset_us),
        };
        let columns = [
            ("captured_us", captured_us, stored.captured_us),
            (
                "received_us",
                row.captured_us.saturating_add(row.lag_us),
                stored.received_us,
            ),
            ("length", row.length, found.length.cast_signed()),
            (
                "flags",
                row.flags,
                rows::flags(stored.clock, stored.complete, stored.keyframe),
            ),
            (
                "offset_us",
                if is_mapped { offset_us } else { 0 },
                stored.offset_us,
            ),
        ];
        // One line a frame: what follows from the first difference is seen when that is put right.
        let differs = columns.into_iter().find(|(_, said, stored)| said != stored);
        if let Some((column, said, stored)) = differs {
            self.add_for(
                row,
                Problem::Disagrees {
                    column,
                    said,
                    stored,
                },
            );
        }
    }
}

/// Where the part of a frame ends in its file.
fn part_end(row: &rows::Frame, container: Container) -> i64 {
    row.offset
        .saturating_add(row.length)
        .saturating_add(container.tail().len() as i64)
}

/// A capture time as the name of a file has it.
fn layout_us(name: &SegmentName, captured_us: i64) -> i64 {
    let named = SegmentName {
        started_us: captured_us,
        ..name.clone()
    };
    SegmentName::parse(&named.path()).map_or(captured_us, |named| named.started_us)
}
