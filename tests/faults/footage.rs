//! What a recorder left behind, frame by frame: each row of the index with the bytes that it points at. For hundreds of thousands of
//! frames; `support::index` is for a few.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::support::RUNTIME;

/// A row of the table `frames`.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Row {
    /// Camera.
    pub camera_id: i64,
    /// Segment.
    pub segment_id: i64,
    /// Where the payload begins.
    pub offset: i64,
    /// Its length.
    pub length: i64,
    /// Capture time.
    pub captured_us: i64,
    /// Arrival.
    pub received_us: i64,
    /// Has its end.
    pub complete: bool,
}

/// A frame of the index.
#[derive(Debug)]
pub struct Found<'a> {
    /// Its camera's name.
    pub camera: &'a str,
    /// Its segment, relative to the storage directory.
    pub path: &'a str,
    /// Its row.
    pub row: &'a Row,
    /// The bytes that the row points at, or why they are not there.
    pub payload: io::Result<&'a [u8]>,
}

/// Every frame of an index, in order of arrival.
///
/// # Errors
/// When the index can't be read.
pub fn for_each(storage: &Path, mut act: impl FnMut(Found<'_>)) -> Result<(), sqlx::Error> {
    let (cameras, paths, rows) = RUNTIME.block_on(read(storage))?;
    let (mut open, mut payload) = (None, Vec::new());
    for row in &rows {
        let camera = cameras.get(&row.camera_id).map_or("", String::as_str);
        let path = paths.get(&row.segment_id).map_or("", String::as_str);
        let loaded = load(&storage.join(path), row, &mut open, &mut payload);
        act(Found {
            camera,
            path,
            row,
            payload: loaded.map(|()| &payload[..]),
        });
    }
    Ok(())
}

type Names = HashMap<i64, String>;

async fn read(storage: &Path) -> Result<(Names, Names, Vec<Row>), sqlx::Error> {
    let mut connection = connect(storage).await?;
    let cameras: Vec<(i64, String)> = sqlx::query_as("SELECT id, name FROM cameras")
        .fetch_all(&mut connection)
        .await?;
    let rows = sqlx::query_as(
        "SELECT camera_id, segment_id, offset, length, captured_us, captured_us + lag_us AS received_us, flags & 4 = 0 AS complete
         FROM frames ORDER BY segment_id, offset",
    )
    .fetch_all(&mut connection)
    .await?;
    // After the rows: a row's segment is there before it.
    let paths: Vec<(i64, String)> = sqlx::query_as("SELECT id, path FROM segments")
        .fetch_all(&mut connection)
        .await?;
    connection.close().await?;
    Ok((
        cameras.into_iter().collect(),
        paths.into_iter().collect(),
        rows,
    ))
}

/// The newest arrival in the index.
///
/// # Errors
/// When the index can't be read.
pub fn newest(storage: &Path) -> Result<Option<i64>, sqlx::Error> {
    RUNTIME.block_on(async {
        let mut connection = connect(storage).await?;
        let newest = sqlx::query_scalar("SELECT max(captured_us + lag_us) FROM frames")
            .fetch_one(&mut connection)
            .await?;
        connection.close().await?;
        Ok(newest)
    })
}

/// How many frames of each camera there are.
///
/// # Errors
/// When the index can't be read.
pub fn counts(storage: &Path) -> Result<HashMap<String, u64>, sqlx::Error> {
    RUNTIME.block_on(async {
        let mut connection = connect(storage).await?;
        let counts: Vec<(String, i64)> = sqlx::query_as(
            "SELECT name, count(*) FROM frames JOIN cameras ON cameras.id = camera_id GROUP BY camera_id",
        )
        .fetch_all(&mut connection)
        .await?;
        connection.close().await?;
        let counts = counts.into_iter();
        Ok(counts.map(|(name, count)| (name, count.unsigned_abs())).collect())
    })
}

/// What the index and the files don't know of each other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Strangers {
    /// Files of footage without a row.
    pub files: u64,
    /// Rows of segments without a file.
    pub rows: u64,
    /// Bytes in files behind the last frame that has a row, but for what a film ends with.
    pub bytes: u64,
}

/// Compares files and rows, with the recorder stopped.
///
/// # Errors
/// When the index can't be read.
pub fn strangers(storage: &Path) -> Result<Strangers, sqlx::Error> {
    let segments: Vec<(String, i64)> = RUNTIME.block_on(async {
        let mut connection = connect(storage).await?;
        let segments = sqlx::query_as("SELECT path, bytes FROM segments")
            .fetch_all(&mut connection)
            .await?;
        connection.close().await?;
        Ok::<_, sqlx::Error>(segments)
    })?;
    let mut files: HashMap<_, u64> = super::lengths(&storage.join("footage"));
    let mut strangers = Strangers::default();
    for (path, bytes) in segments {
        let path = storage.join(path);
        let end = bytes.unsigned_abs();
        match files.remove(&path) {
            Some(_) if ends_as_film(&path, end) => {}
            Some(length) => strangers.bytes += length.saturating_sub(end),
            None => strangers.rows += 1,
        }
    }
    strangers.files = files.len() as u64;
    Ok(strangers)
}

/// Whether there is nothing behind this place of a file but the boxes that a closed film ends with (ISO/IEC 14496-12, 4.2).
fn ends_as_film(path: &Path, from: u64) -> bool {
    let Ok(bytes) = std::fs::read(path) else {
        return false;
    };
    let mut rest = bytes.get(from as usize..).unwrap_or_default();
    let mut kinds = Vec::new();
    while let [a, b, c, d, kind @ ..] = rest {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        if length < 8 || length > rest.len() {
            return false;
        }
        kinds.push(kind[..4].to_vec());
        rest = &rest[length..];
    }
    rest.is_empty() && kinds == [b"uuid", b"mfra"]
}

/// A connection that reads the index.
///
/// # Errors
/// When there is none.
pub async fn connect(storage: &Path) -> Result<SqliteConnection, sqlx::Error> {
    SqliteConnectOptions::new()
        .filename(storage.join("index.db"))
        .read_only(true)
        .disable_statement_logging()
        .connect()
        .await
}

fn load(
    path: &Path,
    row: &Row,
    open: &mut Option<(i64, File)>,
    payload: &mut Vec<u8>,
) -> io::Result<()> {
    if open.as_ref().is_none_or(|(id, _)| *id != row.segment_id) {
        *open = Some((row.segment_id, File::open(path)?));
    }
    let Some((_, file)) = open else { return Ok(()) };
    let (offset, length) = (u64::try_from(row.offset), u64::try_from(row.length));
    let (Ok(offset), Ok(length)) = (offset, length) else {
        return Err(io::Error::other("a negative place"));
    };
    if offset.saturating_add(length) > file.metadata()?.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    payload.resize(length as usize, 0);
    file.read_exact_at(payload, offset)
}
