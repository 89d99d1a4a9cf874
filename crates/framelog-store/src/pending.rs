//! Rows that were reported and are not committed yet. Not for when they are.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::changes::Adopted;
use crate::rows;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub cameras: BTreeMap<i64, rows::Camera>,
    pub segments: BTreeMap<i64, rows::Segment>,
    pub frames: Vec<rows::Frame>,
    pub gaps: BTreeMap<i64, rows::Gap>,
    pub adopted: Vec<Adopted>,
    /// Rows that were committed, of frames that the disk has lost.
    pub withdrawn: Vec<rows::Frame>,
}

impl Pending {
    pub fn is_empty(&self) -> bool {
        self.cameras.is_empty()
            && self.segments.is_empty()
            && self.frames.is_empty()
            && self.gaps.is_empty()
            && self.adopted.is_empty()
            && self.withdrawn.is_empty()
    }

    /// Writes them in the caller's transaction, in the order in which they refer to each other. Harmless when repeated.
    pub fn write(&self, sqlite: &Connection, now_us: i64) -> rusqlite::Result<()> {
        rows::write(sqlite, self.cameras.values())?;
        rows::withdraw(sqlite, &self.withdrawn)?;
        rows::write(sqlite, self.segments.values())?;
        rows::write(sqlite, &self.frames)?;
        rows::write(sqlite, self.gaps.values())?;
        for (segment, frames) in self.adopted.iter().flat_map(|a| &a.segments) {
            // It may have been on its way to the index when it was found.
            if !rows::is_known(sqlite, &segment.path)? {
                rows::write(sqlite, [segment])?;
                rows::write(sqlite, frames)?;
            }
        }
        for adopted in &self.adopted {
            rows::write_missing(sqlite, &adopted.missing, now_us)?;
        }
        Ok(())
    }
}
