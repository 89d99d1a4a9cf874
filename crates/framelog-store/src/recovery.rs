//! What a run that was killed left behind, put right before anything new is written: frames that are in the files but not in the index get
//! their rows, torn ends are cut off. Not for a lost index: that is `rebuild`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::Path;

use framelog_core::frame::Codec;
use sqlx::{Connection as _, SqliteConnection};

use crate::accounts;
use crate::disk::Disk;
use crate::layout;
use crate::rows::{self, camera_id, next_id};
use crate::scan::{Depth, Scan, frame_at, scan};
use crate::unindexed::{self, Footage};

/// A directory is looked at if it changed this much before the last moment at which the recorder was certainly alive, or later: rows may be
/// older than their files by a commit that failed, and file systems keep time in ticks.
const MARGIN_US: i64 = 60_000_000;

/// A run that did not come to its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Killed {
    /// Its session.
    pub session_id: i64,
    /// When it was certainly still alive.
    pub alive_us: i64,
}

/// What was put right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// Frames that were added to the index, less those whose rows were removed, by camera id.
    pub frames: BTreeMap<i64, i64>,
    /// Rows of frames that are not in the files, which only a power cut or a foreign hand leaves.
    pub missing: i64,
    /// Bytes of torn frames that were cut off.
    pub torn_bytes: u64,
}

/// A segment that was open, as it is now.
#[derive(Debug)]
struct Mended {
    before: rows::Segment,
    /// `None` if there is no frame in it any more.
    after: Option<(rows::Segment, Vec<rows::Frame>)>,
    /// The rows that the index has are wrong: `after` replaces them.
    replaces: bool,
}

/// Brings index and footage together after a run that was killed.
pub(crate) async fn recover(
    connection: &mut SqliteConnection,
    disk: &Disk,
    killed: Killed,
) -> sqlx::Result<Recovered> {
    let mut recovered = Recovered::default();
    let mut open = Vec::new();
    for segment in open_segments(connection).await? {
        let last = last_frame(connection, &segment).await?;
        open.push((segment, last));
    }
    let days: Vec<String> = disk
        .blocking(move |disk| changed_days(disk, killed.alive_us.saturating_sub(MARGIN_US)))
        .await?;
    let mut known = HashSet::new();
    for day in &days {
        known.extend(known_paths(connection, day).await?);
    }
    let (mended, found, torn_bytes) = disk
        .blocking(move |disk| {
            let mut torn_bytes = 0;
            let mended: Vec<Mended> = open
                .into_iter()
                .filter_map(|(segment, last)| mend(disk, segment, last, &mut torn_bytes))
                .collect();
            let found = new_footage(disk, &days, &known, &mut torn_bytes);
            (mended, found, torn_bytes)
        })
        .await?;
    recovered.torn_bytes = torn_bytes;

    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    for mended in &mended {
        write_mended(&mut transaction, mended, &mut recovered).await?;
    }
    adopt(&mut transaction, &found, &mut recovered).await?;
    for (camera_id, frames) in &recovered.frames {
        accounts::recovered(&mut transaction, killed.session_id, *camera_id, *frames).await?;
    }
    transaction.commit().await?;
    Ok(recovered)
}

async fn open_segments(connection: &mut SqliteConnection) -> sqlx::Result<Vec<rows::Segment>> {
    type Row = (i64, i64, String, i64, i64, i64, i64, i64, i64);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, camera_id, path, started_us, ended_us, frames, bytes, offset_us, received_us \
         FROM segments WHERE state = 'open'",
    )
    .fetch_all(connection)
    .await?;
    let segment = |(
        id,
        camera_id,
        path,
        started_us,
        ended_us,
        frames,
        bytes,
        offset_us,
        received_us,
    ): Row| rows::Segment {
        id,
        camera_id,
        path: path.into(),
        codec: Codec::Mjpeg,
        started_us,
        ended_us,
        frames,
        bytes,
        open: false,
        offset_us,
        received_us,
    };
    Ok(rows.into_iter().map(segment).collect())
}

/// Where the last frame of a segment lies, as the index has it: offset and length.
async fn last_frame(
    connection: &mut SqliteConnection,
    segment: &rows::Segment,
) -> sqlx::Result<Option<(i64, i64)>> {
    sqlx::query_as(
        "SELECT offset, length FROM frames \
         WHERE camera_id = ? AND captured_us BETWEEN ? AND ? AND segment_id = ? ORDER BY offset DESC LIMIT 1",
    )
    .bind(segment.camera_id)
    .bind(segment.started_us)
    .bind(segment.ended_us)
    .bind(segment.id)
    .fetch_optional(connection)
    .await
}

/// Directories of days in which files were made or removed since then.
fn changed_days(disk: &Disk, since_us: i64) -> Vec<String> {
    let list = |dir: &str| {
        disk.list(dir).unwrap_or_else(|error| {
            tracing::warn!(path = dir, %error, "directory could not be read; `framelog verify` tells what it holds");
            Vec::new()
        })
    };
    let mut days = Vec::new();
    for camera in list(layout::FOOTAGE) {
        if layout::check_camera(&camera).is_err() {
            continue;
        }
        let camera = format!("{}/{camera}", layout::FOOTAGE);
        for day in list(&camera) {
            let day = format!("{camera}/{day}");
            if disk.changed_us(&day).is_ok_and(|us| us >= since_us) {
                days.push(day);
            }
        }
    }
    days
}

pub(crate) async fn known_paths(
    connection: &mut SqliteConnection,
    dir: &str,
) -> sqlx::Result<Vec<String>> {
    // '0' follows '/'.
    sqlx::query_scalar("SELECT path FROM segments WHERE path > ? || '/' AND path < ? || '0' UNION ALL SELECT path FROM doomed")
        .bind(dir)
        .bind(dir)
        .fetch_all(connection)
        .await
}

/// Looks at a segment that was open; `None` if its file can't be read: then it stays as the index has it.
fn mend(
    disk: &Disk,
    before: rows::Segment,
    last: Option<(i64, i64)>,
    torn_bytes: &mut u64,
) -> Option<Mended> {
    match try_mend(disk, &before, last, torn_bytes) {
        Ok((after, replaces)) => Some(Mended {
            before,
            after,
            replaces,
        }),
        Err(error) => {
            tracing::warn!(path = %before.path, %error, "segment could not be looked at after a crash; `framelog verify` tells more");
            None
        }
    }
}

type Rows = (rows::Segment, Vec<rows::Frame>);

fn try_mend(
    disk: &Disk,
    before: &rows::Segment,
    last: Option<(i64, i64)>,
    torn_bytes: &mut u64,
) -> io::Result<(Option<Rows>, bool)> {
    let file = match disk.open_file(Path::new(&*before.path)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((None, true)),
        Err(error) => return Err(error),
    };
    // Rows are committed after their bytes were synced, so that this holds; with a long `sync` a power cut can break it.
    let is_there = match last {
        Some((offset, length)) => {
            frame_at(&file, offset.cast_unsigned(), length.cast_unsigned())?.is_some()
        }
        None => before.bytes == 0,
    };
    if is_there {
        let beyond = scan(&file, before.bytes.cast_unsigned(), Depth::Bytes)?;
        cut_torn_end(disk, &before.path, &beyond, torn_bytes)?;
        let mut after = before.clone();
        let frames = unindexed::add_to(&mut after, &beyond);
        return Ok((Some((after, frames)), false));
    }
    let whole = scan(&file, 0, Depth::Bytes)?;
    cut_torn_end(disk, &before.path, &whole, torn_bytes)?;
    if whole.frames.is_empty() {
        return Ok((None, true));
    }
    let mut after = rows::Segment {
        frames: 0,
        ..before.clone()
    };
    let frames = unindexed::add_to(&mut after, &whole);
    Ok((Some((after, frames)), true))
}

/// Cuts off what a crash left of a frame behind the last whole one; a file without any goes.
pub(crate) fn cut_torn_end(
    disk: &Disk,
    path: &str,
    scan: &Scan,
    torn_bytes: &mut u64,
) -> io::Result<()> {
    *torn_bytes += scan.file_len - scan.end.min(scan.file_len);
    if scan.end == 0 {
        return disk.remove(path);
    }
    if scan.end >= scan.file_len {
        return Ok(());
    }
    let file = disk.open_to_cut(path)?;
    disk.cut(&file, scan.end)?;
    disk.sync_file(&file)
}

/// Files that were made after the last commit, in the order in which they were begun.
fn new_footage(
    disk: &Disk,
    days: &[String],
    known: &HashSet<String>,
    torn_bytes: &mut u64,
) -> Vec<Footage> {
    let mut found = Vec::new();
    for day in days {
        let names = unindexed::unknown_files(disk, day, known).unwrap_or_default();
        for name in names {
            let path = name.path();
            let read = Footage::read(disk, name, Depth::Bytes).and_then(|footage| {
                if footage.scan.end > 0 || footage.is_cut_short(disk)? {
                    cut_torn_end(disk, &path, &footage.scan, torn_bytes)?;
                }
                Ok(footage)
            });
            match read {
                Ok(footage) => found.push(footage),
                Err(error) => {
                    tracing::warn!(path, %error, "footage that the index does not know could not be read; `framelog verify` tells more");
                }
            }
        }
    }
    found.retain(|footage| !footage.scan.frames.is_empty());
    found.sort_by_key(Footage::began_us);
    found
}

async fn write_mended(
    connection: &mut SqliteConnection,
    mended: &Mended,
    recovered: &mut Recovered,
) -> sqlx::Result<()> {
    let Mended {
        before,
        after,
        replaces,
    } = mended;
    let after_frames = after.as_ref().map_or(0, |(_, frames)| frames.len()) as i64;
    let removed = match replaces {
        true => remove_rows(connection, before).await?,
        false => 0,
    };
    recovered.missing += (removed - after_frames).max(0);
    if after_frames != removed {
        *recovered.frames.entry(before.camera_id).or_default() += after_frames - removed;
    }
    let Some((segment, frames)) = after else {
        return Ok(());
    };
    rows::write(connection, [segment]).await?;
    rows::write(connection, frames).await?;
    Ok(())
}

/// The number of frames' rows that went with the segment's.
async fn remove_rows(
    connection: &mut SqliteConnection,
    segment: &rows::Segment,
) -> sqlx::Result<i64> {
    let frames = sqlx::query(
        "DELETE FROM frames WHERE camera_id = ? AND captured_us BETWEEN ? AND ? AND segment_id = ?",
    )
    .bind(segment.camera_id)
    .bind(segment.started_us)
    .bind(segment.ended_us)
    .bind(segment.id)
    .execute(&mut *connection)
    .await?
    .rows_affected();
    sqlx::query("DELETE FROM segments WHERE id = ?")
        .bind(segment.id)
        .execute(connection)
        .await?;
    Ok(frames.cast_signed())
}

/// Makes rows of footage that has none, with ids in the order given.
async fn adopt(
    connection: &mut SqliteConnection,
    found: &[Footage],
    recovered: &mut Recovered,
) -> sqlx::Result<()> {
    let mut cameras = HashMap::new();
    for footage in found {
        let name = &footage.name.camera;
        let camera_id = match cameras.get(name) {
            Some(&id) => id,
            None => {
                let id = camera_id(connection, name, footage.began_us().unwrap_or(0)).await?;
                cameras.insert(name.clone(), id);
                id
            }
        };
        let id = next_id(connection, "segments").await?;
        let Some((segment, frames)) = footage.rows(id, camera_id) else {
            continue;
        };
        rows::write(connection, [&segment]).await?;
        rows::write(connection, &frames).await?;
        *recovered.frames.entry(camera_id).or_default() += frames.len() as i64;
    }
    Ok(())
}
