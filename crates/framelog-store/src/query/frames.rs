//! Frames, by the thousand or one at a time. To fetch a row through sqlx costs ten times what finding it does, because each goes from one
//! thread to another; so SQLite is called right here, on the caller's thread, on connections of its own. Not for other tables, of which few rows are read.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use framelog_core::clock::ClockKind;
use framelog_core::frame::Codec;
use rusqlite::{CachedStatement, Connection, OpenFlags, OptionalExtension as _, Params, params};

use super::{BUSY_TIMEOUT, FrameRow};
use crate::rows::{NOT_KEYFRAME, TORN};

/// Frames of the camera ?1; the condition follows.
macro_rules! frames {
    ($condition:literal) => {
        concat!(
            "SELECT f.captured_us, f.segment_id, f.offset, f.length, f.flags, f.lag_us \
             FROM cameras c CROSS JOIN frames f ON f.camera_id = c.id WHERE c.name = ?1 AND ",
            $condition
        )
    };
}

/// The rest of those at one time, in the order of their key. It begins a page; to compare whole keys row by row costs as much as to fetch one.
pub(super) const REST_OF_MOMENT: &str = frames!(
    "f.captured_us = ?2 AND (f.segment_id, f.offset) > (?3, ?4) ORDER BY f.segment_id, f.offset LIMIT ?5"
);

/// Those after it, in the order of their key.
pub(super) const LATER: &str = frames!(
    "f.captured_us > ?2 AND f.captured_us < ?3 ORDER BY f.captured_us, f.segment_id, f.offset LIMIT ?4"
);

/// The last before a time: of several at that time the first that arrived.
pub(super) const LAST_BEFORE: &str = frames!(
    "f.captured_us = (SELECT max(captured_us) FROM frames WHERE camera_id = c.id AND captured_us < ?2) \
     ORDER BY f.segment_id, f.offset LIMIT 1"
);

/// The first from a time on.
pub(super) const FIRST_FROM: &str =
    frames!("f.captured_us >= ?2 ORDER BY f.captured_us, f.segment_id, f.offset LIMIT 1");

const SEGMENT: &str = "SELECT path, codec, offset_us FROM segments WHERE id = ?";

/// A row of `frames`: captured, segment, offset, length, flags, lag.
type Frame = (i64, i64, i64, i64, i64, i64);

/// What all frames of a segment share.
struct Segment {
    path: Arc<Path>,
    codec: Codec,
    offset_us: i64,
}

/// Which frames: the next `limit` behind the key `from` (captured, segment, offset) and before `to_us`.
#[derive(Clone, Copy)]
pub(super) struct Page<'a> {
    pub camera: &'a str,
    pub from: (i64, i64, i64),
    pub to_us: i64,
    pub limit: u32,
}

/// The frames of an index. All calls block the calling thread for as long as SQLite takes: not for a worker that others wait for.
#[derive(Debug)]
pub(super) struct Frames {
    index: PathBuf,
    /// Nobody writes, and SQLite need not be told when.
    immutable: bool,
    /// Connections that nobody uses now, with their statements.
    idle: Mutex<Vec<Connection>>,
}

impl Frames {
    /// Opens nothing yet.
    pub fn of(index: PathBuf, immutable: bool) -> Self {
        Self {
            index,
            immutable,
            idle: Mutex::default(),
        }
    }

    /// The frames of the page.
    pub fn page(&self, page: Page<'_>) -> rusqlite::Result<Vec<FrameRow>> {
        let camera = page.camera;
        let (captured_us, segment_id, offset) = page.from;
        if captured_us >= page.to_us {
            return Ok(Vec::new());
        }
        self.read(camera, |rows| {
            let rest = params![camera, captured_us, segment_id, offset, page.limit];
            rows.read(REST_OF_MOMENT, rest)?;
            let left = i64::from(page.limit) - rows.read.len() as i64;
            rows.read(LATER, params![camera, captured_us, page.to_us, left])
        })
    }

    /// The last frame before `at_us` and the first from then on, as far as there are such.
    pub fn beside(&self, camera: &str, at_us: i64) -> rusqlite::Result<Vec<FrameRow>> {
        self.read(camera, |rows| {
            rows.read(LAST_BEFORE, params![camera, at_us])?;
            rows.read(FIRST_FROM, params![camera, at_us])
        })
    }

    fn read(
        &self,
        camera: &str,
        read: impl FnOnce(&mut Rows<'_>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<Vec<FrameRow>> {
        let idle = self.idle().pop();
        let connection = idle.map_or_else(|| self.connect(), Ok)?;
        // Frames and segments as they were at one moment: footage may go in between.
        let transaction = connection.unchecked_transaction()?;
        let mut rows = Rows::of(&transaction, camera)?;
        read(&mut rows)?;
        let read = rows.into_read();
        drop(transaction);
        // One that failed is not used again.
        self.idle().push(connection);
        Ok(read)
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = match self.immutable {
            false => Connection::open_with_flags(&self.index, flags),
            true => Connection::open_with_flags(
                immutable_uri(&self.index),
                flags | OpenFlags::SQLITE_OPEN_URI,
            ),
        }?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        Ok(connection)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        // Nothing panics while it is held.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// <https://www.sqlite.org/uri.html>, 3.1: what would end the path is written in hexadecimal.
fn immutable_uri(path: &Path) -> PathBuf {
    let mut uri = b"file:".to_vec();
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'%' | b'?' | b'#' => uri.extend(format!("%{byte:02x}").bytes()),
            _ => uri.push(byte),
        }
    }
    uri.extend(b"?immutable=1");
    OsString::from_vec(uri).into()
}

/// Frames of a camera, each with what it shares with its segment.
struct Rows<'c> {
    connection: &'c Connection,
    camera: Arc<str>,
    segments: CachedStatement<'c>,
    /// The segment of the frame before.
    known: Option<(i64, Segment)>,
    read: Vec<FrameRow>,
}

impl<'c> Rows<'c> {
    fn of(connection: &'c Connection, camera: &str) -> rusqlite::Result<Self> {
        Ok(Self {
            connection,
            camera: camera.into(),
            segments: connection.prepare_cached(SEGMENT)?,
            known: None,
            read: Vec::new(),
        })
    }

    fn into_read(self) -> Vec<FrameRow> {
        self.read
    }

    fn read(&mut self, sql: &str, parameters: impl Params) -> rusqlite::Result<()> {
        let mut frames = self.connection.prepare_cached(sql)?;
        let mut found = frames.query(parameters)?;
        while let Some(row) = found.next()? {
            let frame = Frame::try_from(row)?;
            let id = frame.1;
            if self.known.as_ref().is_none_or(|(known, _)| *known != id) {
                let segment = self.segments.query_row([id], Segment::read).optional()?;
                self.known = segment.map(|segment| (id, segment));
            }
            // A frame without its segment, which only damage makes, has no bytes to be found.
            let segment = self.known.iter().map(|(_, segment)| segment);
            (self.read).extend(segment.map(|segment| row_of(&self.camera, frame, segment)));
        }
        Ok(())
    }
}

impl Segment {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            path: Path::new(row.get_ref(0)?.as_str()?).into(),
            // The index knows no others.
            codec: Codec::from_name(row.get_ref(1)?.as_str()?).unwrap_or(Codec::Mjpeg),
            offset_us: row.get(2)?,
        })
    }
}

/// A frame of a camera.
fn row_of(camera: &Arc<str>, frame: Frame, segment: &Segment) -> FrameRow {
    let (captured_us, segment_id, offset, length, flags, lag_us) = frame;
    let (clock, clock_offset_us) = match flags & 3 {
        0 => (ClockKind::Camera, 0),
        1 => (ClockKind::Mapped, segment.offset_us),
        _ => (ClockKind::Arrival, 0),
    };
    FrameRow {
        camera: camera.clone(),
        captured_us,
        received_us: captured_us.saturating_add(lag_us),
        clock,
        clock_offset_us,
        codec: segment.codec,
        keyframe: flags & NOT_KEYFRAME == 0,
        complete: flags & TORN == 0,
        path: segment.path.clone(),
        offset: offset.cast_unsigned(),
        length: length.cast_unsigned(),
        segment_id,
    }
}
