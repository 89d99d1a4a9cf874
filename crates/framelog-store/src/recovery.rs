//! What a run that was killed left behind, put right before anything new is written: frames that are in the files but not in the index get
//! their rows, torn ends are cut off. Not for a lost index: that is `rebuild`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use framelog_core::frame::Codec;
use framelog_core::gap::GapReason;
use framelog_core::jpeg::SOI;
use sqlx::{Connection as _, SqliteConnection};

use crate::accounts;
use crate::container::Container;
use crate::dirty::{Dirty, SYNC_WITH_COMMIT};
use crate::disk::Disk;
use crate::footage_dirs;
use crate::layout::{self, SegmentName};
use crate::rows::{self, camera_id, next_id};
use crate::scan::{Depth, Scan, frame_at, scan};
use crate::unindexed::{self, Footage};

/// A directory is looked at if it changed this much before the last moment at which the recorder was certainly alive, or later: rows may be
/// older than their files by a commit that failed, and file systems keep time in ticks.
const MARGIN_US: i64 = 60_000_000;
/// With a long `sync` rows may be on the disk before their bytes: those that arrived in the last `sync` and this much more, which is gathering,
/// syncing and committing.
const UNSYNCED_MARGIN_US: i64 = 10_000_000;

/// A run that did not come to its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Killed {
    /// Its session.
    pub session_id: i64,
    /// When it was certainly still alive.
    pub alive_us: i64,
    /// How often it synced.
    pub sync: Duration,
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

/// A segment that was looked at, as it is now.
#[derive(Debug)]
struct Mended {
    before: rows::Segment,
    /// `None` if there is no frame in it any more.
    after: Option<(rows::Segment, Vec<rows::Frame>)>,
    /// The rows that the index has are wrong: `after` replaces them.
    replaces: bool,
}

/// Brings index and footage together after a run that was killed. While the index is being made anew, footage without
/// rows is left to that. All of it is durable when this returns.
pub(crate) async fn recover(
    connection: &mut SqliteConnection,
    disk: &Disk,
    killed: Killed,
    is_rebuilding: bool,
) -> sqlx::Result<Recovered> {
    let mut recovered = Recovered::default();
    let unsynced_us = unsynced_since(killed.alive_us, killed.sync);
    let mut doubtful = Vec::new();
    for segment in doubtful_segments(connection, unsynced_us, killed.alive_us).await? {
        let frames = doubtful_frames(connection, &segment, unsynced_us).await?;
        doubtful.push((segment, frames));
    }
    let days: Vec<String> = disk
        .blocking(move |disk| match is_rebuilding {
            true => Vec::new(),
            false => changed_days(disk, killed.alive_us.saturating_sub(MARGIN_US)),
        })
        .await?;
    let mut torn_bytes = 0;
    let mut found = Vec::new();
    // A day at a time: with a picture a file the names of all would be too many to hold.
    for day in days {
        let known = known_paths(connection, &day).await?;
        let (new, torn) = disk
            .blocking(move |disk| new_footage(disk, &day, &known.into_iter().collect()))
            .await?;
        found.extend(new);
        torn_bytes += torn;
    }
    found.sort_by_key(Footage::began_us);
    let (mended, found, torn) = disk
        .blocking(move |disk| {
            let mut torn_bytes = 0;
            let mended: Vec<Mended> = doubtful
                .into_iter()
                .filter_map(|(segment, frames)| mend(disk, segment, &frames, &mut torn_bytes))
                .collect();
            make_durable(disk, &mended, &found)?;
            Ok::<_, io::Error>((mended, found, torn_bytes))
        })
        .await??;
    torn_bytes += torn;
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

/// From which arrival on rows may be there without their bytes; none if each commit was durable.
fn unsynced_since(alive_us: i64, sync: Duration) -> i64 {
    if sync <= SYNC_WITH_COMMIT {
        return i64::MAX;
    }
    let sync_us = i64::try_from(sync.as_micros()).unwrap_or(i64::MAX);
    alive_us
        .saturating_sub(sync_us)
        .saturating_sub(UNSYNCED_MARGIN_US)
}

/// Segments that were open, or that got frames since then. What arrived later than that it lived is of another time, when the clock was wrong.
async fn doubtful_segments(
    connection: &mut SqliteConnection,
    unsynced_us: i64,
    alive_us: i64,
) -> sqlx::Result<Vec<rows::Segment>> {
    type Row = (i64, i64, String, String, i64, i64, i64, i64, i64, i64);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, camera_id, path, codec, started_us, ended_us, frames, bytes, offset_us, received_us \
         FROM segments WHERE state = 'open' OR received_us BETWEEN ? AND ?",
    )
    .bind(unsynced_us)
    .bind(alive_us.saturating_add(MARGIN_US))
    .fetch_all(connection)
    .await?;
    let segment = |(
        id,
        camera_id,
        path,
        codec,
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
        // A row that is there keeps its codec, whatever is said here.
        codec: Codec::from_name(&codec).unwrap_or(Codec::Mjpeg),
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

/// Where the last frame of a segment lies, as the index has it, and those that arrived since then: offset and length.
async fn doubtful_frames(
    connection: &mut SqliteConnection,
    segment: &rows::Segment,
    unsynced_us: i64,
) -> sqlx::Result<Vec<(i64, i64)>> {
    sqlx::query_as(
        "WITH of_segment AS (SELECT offset, length, captured_us + lag_us AS received_us FROM frames \
             WHERE camera_id = ? AND captured_us BETWEEN ? AND ? AND segment_id = ?) \
         SELECT offset, length FROM of_segment \
         WHERE received_us >= ? OR offset = (SELECT max(offset) FROM of_segment)",
    )
    .bind(segment.camera_id)
    .bind(segment.started_us)
    .bind(segment.ended_us)
    .bind(segment.id)
    .bind(unsynced_us)
    .fetch_all(connection)
    .await
}

/// Directories of days in which files were made or removed since then.
fn changed_days(disk: &Disk, since_us: i64) -> Vec<String> {
    let cameras = footage_dirs::cameras(disk).unwrap_or_else(|error| {
        tracing::warn!(path = layout::FOOTAGE, %error, "footage could not be listed; `framelog verify` tells what it holds");
        Vec::new()
    });
    cameras
        .iter()
        .flat_map(|camera| footage_dirs::days(disk, camera))
        .filter(|day| disk.changed_us(day).is_ok_and(|us| us >= since_us))
        .collect()
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

/// Looks at a segment and at these frames of it; `None` if its file can't be read: then it stays as the index has it.
fn mend(
    disk: &Disk,
    before: rows::Segment,
    frames: &[(i64, i64)],
    torn_bytes: &mut u64,
) -> Option<Mended> {
    match try_mend(disk, &before, frames, torn_bytes) {
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
    frames: &[(i64, i64)],
    torn_bytes: &mut u64,
) -> io::Result<(Option<Rows>, bool)> {
    let Some(format) = Container::of_path(&before.path).and_then(Container::format) else {
        return mend_picture(disk, before, torn_bytes);
    };
    let file = match disk.open_file(Path::new(&*before.path)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((None, true)),
        Err(error) => return Err(error),
    };
    // Rows are committed after their bytes were synced, so that this holds; with a long `sync` a power cut can break it.
    let mut are_there = !frames.is_empty() || before.bytes == 0;
    for &(offset, length) in frames {
        are_there &= frame_at(
            &file,
            format,
            offset.cast_unsigned(),
            length.cast_unsigned(),
        )?
        .is_some();
    }
    if are_there {
        let beyond = scan(&file, format, before.bytes.cast_unsigned(), Depth::Bytes)?;
        cut_torn_end(disk, &before.path, &beyond, torn_bytes)?;
        let mut after = before.clone();
        let frames = unindexed::add_to(&mut after, &beyond);
        return Ok((Some((after, frames)), false));
    }
    let whole = scan(&file, format, 0, Depth::Bytes)?;
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

/// A picture in a file of its own, which has no checksum: it is as it was if all of it is there. What a power cut left of it is incomplete.
fn mend_picture(
    disk: &Disk,
    before: &rows::Segment,
    torn_bytes: &mut u64,
) -> io::Result<(Option<Rows>, bool)> {
    let unchanged = Ok((Some((before.clone(), Vec::new())), false));
    let Some(name) = SegmentName::parse(&before.path) else {
        return unchanged;
    };
    let footage = match Footage::read(disk, name, Depth::Bytes) {
        Ok(footage) => footage,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((None, true)),
        Err(error) => return Err(error),
    };
    // One that came without its end is whole without it.
    if footage.scan.file_len == before.bytes.cast_unsigned()
        && disk.read(Path::new(&*before.path), 0, SOI.len() as u64)? == SOI
    {
        return unchanged;
    }
    cut_torn_end(disk, &before.path, &footage.scan, torn_bytes)?;
    Ok((footage.rows(before.id, before.camera_id), true))
}

/// Cuts off what a crash left of a frame behind the last whole one, and gives room back that was taken ahead; a file without any frame goes.
pub(crate) fn cut_torn_end(
    disk: &Disk,
    path: &str,
    scan: &Scan,
    torn_bytes: &mut u64,
) -> io::Result<()> {
    *torn_bytes += scan.torn();
    if scan.end == 0 {
        return disk.remove(path);
    }
    let end = match scan.torn() {
        0 if disk.has_room_beyond(path)? => scan.file_len,
        0 => return Ok(()),
        _ => scan.end,
    };
    let file = disk.open_to_write(path)?;
    disk.cut(&file, end)?;
    disk.sync_file(&file)
}

/// Files of a day that were made after the last commit, and the bytes of torn frames that were cut off.
fn new_footage(disk: &Disk, day: &str, known: &HashSet<String>) -> (Vec<Footage>, u64) {
    let (mut found, mut torn_bytes) = (Vec::new(), 0);
    for name in footage_dirs::files(disk, day, known) {
        let path = name.path();
        let read = Footage::read(disk, name, Depth::Bytes).and_then(|footage| {
            if footage.scan.end > 0 || footage.is_cut_short(disk)? {
                cut_torn_end(disk, &path, &footage.scan, &mut torn_bytes)?;
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
    found.retain(|footage| !footage.scan.frames.is_empty());
    (found, torn_bytes)
}

/// A recorder that was killed leaves bytes and entries in memory: they go to the disk before rows of them are there for good.
fn make_durable(disk: &Disk, mended: &[Mended], found: &[Footage]) -> io::Result<()> {
    let after = mended.iter().filter_map(|mended| mended.after.as_ref());
    let paths = after
        .map(|(segment, _)| &segment.path)
        .chain(found.iter().map(|footage| &footage.path));
    let mut dirty = Dirty::default();
    for (id, path) in (0..).zip(paths) {
        dirty.add(
            disk,
            id,
            Some(Arc::new(disk.open_file(Path::new(&**path))?)),
            Some(path),
        );
    }
    dirty.sync(disk)
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
        true => {
            let kept = after.as_ref().map_or(&[][..], |(_, frames)| frames);
            explain_lost(connection, before, kept).await?;
            remove_rows(connection, before).await?
        }
        false => 0,
    };
    recovered.missing += (removed - after_frames).max(0);
    if after_frames != removed {
        *recovered.frames.entry(before.camera_id).or_default() += after_frames - removed;
    }
    let Some((segment, frames)) = after else {
        return Ok(());
    };
    rows::write_in_turns(connection, [segment]).await?;
    rows::write_in_turns(connection, frames).await?;
    Ok(())
}

/// Rows of a segment whose frames are not `kept` become gaps, one for each stretch of them.
async fn explain_lost(
    connection: &mut SqliteConnection,
    segment: &rows::Segment,
    kept: &[rows::Frame],
) -> sqlx::Result<()> {
    let kept: HashSet<i64> = kept.iter().map(|frame| frame.offset).collect();
    let known: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT captured_us, offset FROM frames WHERE camera_id = ? AND captured_us BETWEEN ? AND ? AND segment_id = ?",
    )
    .bind(segment.camera_id)
    .bind(segment.started_us)
    .bind(segment.ended_us)
    .bind(segment.id)
    .fetch_all(&mut *connection)
    .await?;
    for lost in known.split(|(_, offset)| kept.contains(offset)) {
        let (Some((started_us, _)), Some((ended_us, _))) = (lost.first(), lost.last()) else {
            continue;
        };
        let gap = rows::Gap {
            id: next_id(connection, "gaps").await?,
            camera_id: segment.camera_id,
            started_us: *started_us,
            ended_us: Some(*ended_us),
            reason: GapReason::DiskFull,
            detail: "the disk lost what it had taken, as in a power cut".into(),
        };
        rows::write_in_turns(connection, [&gap]).await?;
    }
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
                let began_us = footage.began_us().unwrap_or(0);
                let id = camera_id(connection, name, began_us).await?;
                cameras.insert(name.clone(), id);
                // The camera's later files follow on its first.
                explain_hole(
                    connection,
                    id,
                    footage.first_captured_us().unwrap_or(began_us),
                )
                .await?;
                id
            }
        };
        let id = next_id(connection, "segments").await?;
        let Some((segment, frames)) = footage.rows(id, camera_id) else {
            continue;
        };
        rows::write_in_turns(connection, [&segment]).await?;
        rows::write_in_turns(connection, &frames).await?;
        *recovered.frames.entry(camera_id).or_default() += frames.len() as i64;
    }
    Ok(())
}

/// When a run begins, the time since the last one is a gap. That is committed with the run's first footage: if this had to be found, the gap is
/// not in the index.
async fn explain_hole(
    connection: &mut SqliteConnection,
    camera_id: i64,
    until_us: i64,
) -> sqlx::Result<()> {
    let (known_us, began_us): (Option<i64>, i64) = sqlx::query_as(
        "SELECT (SELECT max(us) FROM ( \
             SELECT max(ended_us) AS us FROM segments WHERE camera_id = ?1 \
             UNION ALL SELECT max(coalesce(ended_us, 9223372036854775807)) FROM gaps WHERE camera_id = ?1)), \
         started_us FROM sessions ORDER BY id DESC LIMIT 1",
    )
    .bind(camera_id)
    .fetch_one(&mut *connection)
    .await?;
    let Some(started_us) = known_us.filter(|us| *us < began_us && began_us <= until_us) else {
        return Ok(());
    };
    let gap = rows::Gap {
        id: next_id(connection, "gaps").await?,
        camera_id,
        started_us,
        ended_us: Some(until_us),
        reason: GapReason::RecorderDown,
        detail: "framelog was not running".into(),
    };
    rows::write_in_turns(connection, [&gap]).await
}
