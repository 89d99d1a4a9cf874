//! An index made anew from the footage alone, while recording goes on into it. Not for what footage does not say of itself: that is
//! `lost_index`.

use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;

use chrono::NaiveDate;
use framelog_core::gap::GapReason;
use sqlx::SqliteConnection;
use tokio::sync::{oneshot, watch};

use crate::changes::{Adopted, Change, Changes};
use crate::direct::directly;
use crate::disk::Disk;
use crate::error::Error;
use crate::gaps::GapChange;
use crate::layout::{self, SegmentName};
use crate::lost_index;
use crate::old_index;
use crate::recovery::{cut_torn_end, known_paths};
use crate::rows::{self, Missing, camera_id, next_id};
use crate::scan::{Depth, frame_at};
use crate::schema::connect_beside;
use crate::unindexed::{self, Footage};

/// Files that are read in one go.
const FILES_AT_ONCE: usize = 200;
/// So many frames get their rows in one commit, between those of what is being recorded.
const FRAMES_AT_ONCE: usize = 20_000;
/// And so many gaps, well below what the index would fold into one.
const GAPS_AT_ONCE: usize = 1_000;
/// A time without frames is no gap if it is shorter than this, or than a few of the frames before it.
const HOLE_MIN_US: i64 = 1_000_000;
const HOLE_FRAMES: i64 = 3;

/// What is to be done, known before recording begins.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Cameras with footage: their id in the index, their name, and the capture time at which their footage ends.
    pub cameras: Vec<(i64, String, Option<i64>)>,
    /// What segments that are found get, in this order: below those of what is recorded from now on.
    pub ids: Range<i64>,
    /// Files that are not in the index.
    pub files: u64,
    /// Holes before then are explained; later ones are recording's own.
    began_us: i64,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Files to be looked at.
    pub files: u64,
    /// Files that were looked at.
    pub files_done: u64,
    /// Frames that got their rows.
    pub frames: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// Whether it is over.
    pub done: bool,
    /// Whether all footage was looked at.
    pub whole: bool,
}

/// Whether there is footage at all.
pub(crate) async fn has_footage(disk: &Disk) -> std::io::Result<bool> {
    disk.blocking(|disk| Ok(!camera_dirs(disk)?.is_empty()))
        .await?
}

/// Counts the files, and makes the rows of their cameras: with these recording can begin. The files that it makes are followed from here on.
/// `reserved` are the ids that an earlier run, which did not come to the end of it, kept for them.
pub(crate) async fn plan(
    connection: &mut SqliteConnection,
    disk: &Disk,
    reserved: Option<Range<i64>>,
    now_us: i64,
) -> Result<Plan, Error> {
    let index = PathBuf::from(layout::INDEX);
    let failed = || Error::index(&index, "made anew");
    disk.made.follow();
    let found = disk
        .blocking(survey)
        .await
        .and_then(|found| found)
        .map_err(Error::io(layout::FOOTAGE, "read"))?;
    let mut cameras = Vec::new();
    let mut files = 0;
    for camera in found {
        let added_us = camera.first_us.unwrap_or(now_us).min(now_us);
        let id = camera_id(connection, &camera.name, added_us)
            .await
            .map_err(failed())?;
        cameras.push((id, camera.name, camera.last_us));
        files += camera.files;
    }
    let ids = ids(connection, reserved, files).await.map_err(failed())?;
    Ok(Plan {
        cameras,
        ids,
        files,
        began_us: now_us,
    })
}

/// What is left of the ids that were reserved or, if that is not enough, new ones: for as many files as are there and not in the index.
async fn ids(
    connection: &mut SqliteConnection,
    reserved: Option<Range<i64>>,
    files: u64,
) -> sqlx::Result<Range<i64>> {
    if let Some(Range { start, end }) = reserved {
        let (known, next_id): (i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM segments), \
                 coalesce((SELECT max(id) + 1 FROM segments WHERE id >= ?1 AND id < ?2), ?1)",
        )
        .bind(start)
        .bind(end)
        .fetch_one(&mut *connection)
        .await?;
        if end - next_id >= files.cast_signed() - known {
            return Ok(next_id..end);
        }
    }
    let next_id = next_id(connection, "segments").await?;
    Ok(next_id..next_id.saturating_add_unsigned(files))
}

/// A camera's directory.
struct Surveyed {
    name: String,
    files: u64,
    /// Capture time of its first frame, as the first file's name has it.
    first_us: Option<i64>,
    /// Capture time at which its last file ends.
    last_us: Option<i64>,
}

fn camera_dirs(disk: &Disk) -> std::io::Result<Vec<String>> {
    let mut cameras = disk.list(layout::FOOTAGE)?;
    cameras.retain(|name| layout::check_camera(name).is_ok());
    cameras.sort();
    Ok(cameras)
}

/// Directories of a camera's days, oldest first; what else lies there is not ours.
fn days(disk: &Disk, camera: &str) -> Vec<String> {
    let camera = format!("{}/{camera}", layout::FOOTAGE);
    let mut days = disk.list(&camera).unwrap_or_else(|error| {
        tracing::warn!(path = camera, %error, "footage could not be listed; `framelog verify` tells what it holds");
        Vec::new()
    });
    days.retain(|day| NaiveDate::parse_from_str(day, "%Y-%m-%d").is_ok());
    days.sort();
    days.into_iter()
        .map(|day| format!("{camera}/{day}"))
        .collect()
}

fn survey(disk: &Disk) -> std::io::Result<Vec<Surveyed>> {
    let cameras = camera_dirs(disk)?;
    Ok(cameras
        .into_iter()
        .map(|name| survey_camera(disk, name))
        .collect())
}

/// What can't be read is told and passed over: recording must begin.
fn survey_camera(disk: &Disk, name: String) -> Surveyed {
    let mut camera = Surveyed {
        name,
        files: 0,
        first_us: None,
        last_us: None,
    };
    let mut last = None;
    for day in days(disk, &camera.name) {
        let names = files_of(disk, &day);
        camera.files += names.len() as u64;
        camera.first_us = camera
            .first_us
            .or(names.first().map(|name| name.started_us));
        last = names.into_iter().next_back().or(last);
    }
    if let Some(last) = last {
        camera.last_us = Some(last.started_us);
        match read_last(disk, last) {
            Ok(ended_us) => camera.last_us = camera.last_us.max(ended_us),
            Err(error) => {
                tracing::warn!(camera = camera.name, %error, "the last footage could not be read");
            }
        }
    }
    camera
}

/// Capture time at which a camera's last file ends, without the frame that was being written when the recorder was killed.
fn read_last(disk: &Disk, last: SegmentName) -> std::io::Result<Option<i64>> {
    let footage = read_one(disk, last)?;
    // Now nobody writes to it.
    if !footage.scan.frames.is_empty() && footage.ends_torn(disk)? {
        cut_torn_end(disk, &footage.path, &footage.scan, &mut 0)?;
    }
    let frames = footage.scan.frames.iter();
    Ok(frames.map(|found| found.stored.captured_us).max())
}

/// Segments' files of a day; none, and a warning, if they can't be listed.
fn files_of(disk: &Disk, day: &str) -> Vec<SegmentName> {
    unindexed::unknown_files(disk, day, &HashSet::new()).unwrap_or_else(|error| {
        tracing::warn!(path = day, %error, "footage could not be listed; `framelog verify` tells what it holds");
        Vec::new()
    })
}

/// Looks at all footage and has rows made of what the index does not have, beside whatever else is going on. Takes the mark away when it is
/// through; before that, the next start goes on with it.
pub(crate) async fn run(
    storage: PathBuf,
    disk: Disk,
    changes: Changes,
    plan: Plan,
    progress: watch::Sender<Progress>,
) {
    progress.send_modify(|progress| progress.files = plan.files);
    let began = Instant::now();
    let adopted = adopt_all(&storage, &disk, &changes, plan, &progress).await;
    disk.made.end();
    let whole = adopted.is_ok();
    match adopted {
        Ok(()) => {
            let Progress { files, frames, .. } = *progress.borrow();
            let seconds = began.elapsed().as_secs();
            tracing::info!(files, frames, seconds, "index made anew from the footage");
        }
        Err(error) => {
            tracing::error!(%error, "index could not be made anew to its end; the next start goes on with it");
        }
    }
    progress.send_modify(|progress| {
        progress.done = true;
        progress.whole = whole;
    });
}

async fn adopt_all(
    storage: &Path,
    disk: &Disk,
    changes: &Changes,
    plan: Plan,
    progress: &watch::Sender<Progress>,
) -> Result<(), Error> {
    let index = storage.join(layout::INDEX);
    let failed = || Error::index(&index, "read");
    let mut connection = connect_beside(&index).await.map_err(failed())?;
    // Rows are durable after their bytes, and what a killed recorder left may be in memory only.
    disk.blocking(Disk::sync_all)
        .await
        .and_then(|synced| synced)
        .map_err(Error::io(layout::FOOTAGE, "synced"))?;
    let mut ids = plan.ids.clone();
    for (camera_id, camera, _) in &plan.cameras {
        let of_camera = camera.clone();
        let days = disk
            .blocking(move |disk| days(disk, &of_camera))
            .await
            .map_err(Error::io(layout::FOOTAGE, "read"))?;
        let (mut batch, mut waiting) = (Vec::new(), 0);
        for day in days {
            let names = old_files(&mut connection, disk, &day).await?;
            for names in names.chunks(FILES_AT_ONCE) {
                let found = read(disk, names.to_vec()).await?;
                let before = batch.len();
                for footage in &found {
                    let Some(id) = ids.next() else {
                        hand_over(changes, batch, Vec::new()).await?;
                        return Err(Error::MoreFootage);
                    };
                    batch.extend(footage.rows(id, *camera_id));
                }
                let frames: usize = batch[before..].iter().map(|(_, f)| f.len()).sum();
                waiting += frames;
                if waiting >= FRAMES_AT_ONCE {
                    waiting = 0;
                    hand_over(changes, std::mem::take(&mut batch), Vec::new()).await?;
                    forget_known(&mut connection, disk).await?;
                }
                progress.send_modify(|progress| {
                    progress.files_done += names.len() as u64;
                    progress.frames += frames as u64;
                    progress.bytes += found.iter().map(|footage| footage.scan.end).sum::<u64>();
                });
            }
        }
        hand_over(changes, batch, Vec::new()).await?;
    }
    let missing = missing(storage, &mut connection).await?;
    hand_over(changes, Vec::new(), missing).await?;
    for (camera_id, ..) in &plan.cameras {
        let holes = holes(&mut connection, *camera_id, plan.began_us)
            .await
            .map_err(failed())?;
        for some in holes.chunks(GAPS_AT_ONCE) {
            for &(started_us, ended_us) in some {
                changes.send(Change::Gap {
                    camera_id: *camera_id,
                    change: GapChange::Record {
                        started_us,
                        ended_us,
                        reason: GapReason::RecorderDown,
                        detail: "nothing is known of this time: the index was made anew".into(),
                    },
                });
            }
            hand_over(changes, Vec::new(), Vec::new()).await?; // or the index would fold them
        }
    }
    // The gaps, too, are in the index before the mark goes.
    hand_over(changes, Vec::new(), Vec::new()).await?;
    lost_index::clear_mark(storage)
}

/// Files of a day that the index does not know, without those that this run makes, which the index will know. Looked for in this order, so that
/// a file of its own is still followed or known already.
async fn old_files(
    connection: &mut SqliteConnection,
    disk: &Disk,
    day: &str,
) -> Result<Vec<SegmentName>, Error> {
    let of_day = day.to_owned();
    let (mut names, made) = disk
        .blocking(move |disk| {
            let names = files_of(disk, &of_day);
            (names, disk.made.list())
        })
        .await
        .map_err(Error::io(day, "read"))?;
    let known: HashSet<String> = known_paths(connection, day)
        .await
        .map_err(Error::index(layout::INDEX, "read"))?
        .into_iter()
        .collect();
    names.retain(|name| {
        let path = name.path();
        !made.contains(&path) && !known.contains(&path)
    });
    forget_known(connection, disk).await?;
    Ok(names)
}

/// So many paths are looked up before others get a turn on the thread.
const PATHS_PER_TURN: usize = 500;

/// Follows no longer what the index knows by now: with pictures in files of their own that is many files.
async fn forget_known(connection: &mut SqliteConnection, disk: &Disk) -> Result<(), Error> {
    let made: Vec<String> = disk
        .blocking(|disk| disk.made.list().into_iter().collect())
        .await
        .map_err(Error::io(layout::FOOTAGE, "read"))?;
    for some in made.chunks(PATHS_PER_TURN) {
        let known = directly(connection, |sqlite| {
            some.iter()
                .map(|path| rows::is_known(sqlite, path))
                .collect::<rusqlite::Result<Vec<_>>>()
        });
        let known = known.await.map_err(Error::index(layout::INDEX, "read"))?;
        for (path, _) in some.iter().zip(known).filter(|(_, is_known)| *is_known) {
            disk.made.forget(path);
        }
    }
    Ok(())
}

/// Files in the order in which they were begun; without those that can't be read, which are told, and those without a frame. None is changed:
/// any may be being written.
async fn read(disk: &Disk, names: Vec<SegmentName>) -> Result<Vec<Footage>, Error> {
    disk.blocking(move |disk| {
        let mut found: Vec<Footage> = names
            .into_iter()
            .filter_map(|name| {
                let path = name.path();
                read_one(disk, name)
                    .inspect_err(|error| {
                        // One that is gone has just been removed by a rule.
                        if error.kind() != std::io::ErrorKind::NotFound {
                            tracing::warn!(path, %error, "footage could not be read; `framelog reindex` tries again");
                        }
                    })
                    .ok()
            })
            .filter(|footage| footage.began_us().is_some())
            .collect();
        found.sort_by_key(Footage::began_us);
        found
    })
    .await
    .map_err(Error::io(layout::FOOTAGE, "read"))
}

/// A file by its heads or, if its last frame isn't what its head says (which a power cut may leave), by every byte.
fn read_one(disk: &Disk, name: SegmentName) -> std::io::Result<Footage> {
    let mut footage = Footage::read(disk, name.clone(), Depth::Heads)?;
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
        footage = Footage::read(disk, name, Depth::Bytes)?;
    }
    Ok(footage)
}

/// Has rows committed, and waits until they are.
async fn hand_over(
    changes: &Changes,
    segments: Vec<(rows::Segment, Vec<rows::Frame>)>,
    missing: Vec<Missing>,
) -> Result<(), Error> {
    let (committed, done) = oneshot::channel();
    changes.send(Change::Adopted(Adopted {
        segments,
        missing,
        committed,
    }));
    done.await.map_err(|_| Error::IndexStopped)
}

/// What the index that was set aside had and the footage has not, as far as that index can be read.
async fn missing(storage: &Path, connection: &mut SqliteConnection) -> Result<Vec<Missing>, Error> {
    let Some(lost_index::Mark::Begun {
        aside: Some(aside), ..
    }) = lost_index::mark(storage)?
    else {
        return Ok(Vec::new());
    };
    let missing = match old_index::missing(connection, &storage.join(aside)).await {
        Ok(missing) => missing,
        Err(error) => {
            tracing::debug!(%error, "the old index can't be read: whether it had more than the footage isn't known");
            return Ok(Vec::new());
        }
    };
    let frames: i64 = missing.iter().map(|row| row.frames).sum();
    if frames > 0 {
        tracing::warn!(
            frames,
            "frames of the old index are not in the footage any more; `framelog find` tells of when they were"
        );
    }
    Ok(missing)
}

/// Times between two segments of a camera, before `until_us`, that neither a gap nor a receipt explains.
async fn holes(
    connection: &mut SqliteConnection,
    camera_id: i64,
    until_us: i64,
) -> sqlx::Result<Vec<(i64, i64)>> {
    let segments: Vec<(i64, i64, i64)> = sqlx::query_as(
        "SELECT started_us, ended_us, frames FROM segments WHERE camera_id = ? AND started_us < ? ORDER BY started_us",
    )
    .bind(camera_id)
    .bind(until_us)
    .fetch_all(&mut *connection)
    .await?;
    let gaps: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT started_us, coalesce(ended_us, ?1) FROM gaps WHERE camera_id = ?2 \
         UNION ALL SELECT started_us, ended_us FROM removals WHERE camera_id = ?2 ORDER BY started_us",
    )
    .bind(until_us)
    .bind(camera_id)
    .fetch_all(connection)
    .await?;
    Ok(unexplained(&segments, &gaps))
}

/// Segments are (start, end, frames), gaps (start, end), each by start.
fn unexplained(segments: &[(i64, i64, i64)], gaps: &[(i64, i64)]) -> Vec<(i64, i64)> {
    let mut holes = Vec::new();
    let mut gaps = gaps.iter().peekable();
    let Some(&(_, mut covered_us, _)) = segments.first() else {
        return holes;
    };
    // Of pictures in files of their own, the time from one to the next says how fast they come; the first is no hole for want of one before it.
    let starts = |n: usize| segments.get(n).map(|(started_us, ..)| *started_us);
    let mut pace_us = match segments {
        [(.., 1), ..] => starts(1).unwrap_or(covered_us).saturating_sub(covered_us),
        _ => 0,
    };
    for (n, &(started_us, ended_us, frames)) in segments.iter().enumerate() {
        while let Some(&&(gap_started_us, gap_ended_us)) = gaps.peek()
            && gap_started_us <= started_us
        {
            push_hole(&mut holes, covered_us, gap_started_us, pace_us);
            covered_us = covered_us.max(gap_ended_us);
            gaps.next();
        }
        push_hole(&mut holes, covered_us, started_us, pace_us);
        covered_us = covered_us.max(ended_us);
        if frames > 1 {
            pace_us = ended_us.saturating_sub(started_us) / (frames - 1);
        } else if let Some(before_us) = n.checked_sub(1).and_then(starts) {
            pace_us = started_us.saturating_sub(before_us);
        }
    }
    holes
}

fn push_hole(holes: &mut Vec<(i64, i64)>, from_us: i64, to_us: i64, pace_us: i64) {
    let least_us = HOLE_MIN_US.max(pace_us.saturating_mul(HOLE_FRAMES));
    if to_us.saturating_sub(from_us) > least_us {
        holes.push((from_us, to_us));
    }
}

/// Whether the index is being made anew, or will be at the next start: then it doesn't know all the footage that there is.
pub fn is_due(storage: &Path) -> bool {
    lost_index::mark(storage).is_ok_and(|mark| mark.is_some())
}

/// Asks for the index to be made anew from the footage at the next start of a recorder, which records meanwhile.
///
/// # Errors
/// [`Error::Io`].
pub fn ask(storage: &Path) -> Result<(), Error> {
    lost_index::set_mark(storage, &lost_index::Mark::Asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000;

    #[test]
    fn slow_pictures_in_files_of_their_own_have_no_holes_between_them() {
        let pictures = |times: &[i64]| times.iter().map(|&s| (s * S, s * S, 1)).collect::<Vec<_>>();
        let every_10_s = pictures(&[0, 10, 21, 30, 40, 50]);
        assert_eq!(unexplained(&every_10_s, &[]), []);
        let one_hole = pictures(&[0, 10, 20, 3_620, 3_630, 3_640]);
        assert_eq!(unexplained(&one_hole, &[]), [(20 * S, 3_620 * S)]);
    }

    #[test]
    fn only_what_no_gap_explains_is_a_hole() {
        let segments = [
            (0, 60 * S, 601),
            (60 * S + S / 10, 120 * S, 600), // the next frame
            (200 * S, 260 * S, 601),         // 80 s later
            (300 * S, 310 * S, 100),         // explained
            (330 * S, 340 * S, 100),         // explained in part
        ];
        let gaps = [(260 * S, 300 * S), (320 * S, 330 * S)];
        assert_eq!(
            unexplained(&segments, &gaps),
            [(120 * S, 200 * S), (310 * S, 320 * S)]
        );
    }

    #[test]
    fn a_slow_camera_has_no_holes_between_its_frames() {
        let segments = [(0, 50 * S, 6), (70 * S, 120 * S, 6)];
        assert_eq!(unexplained(&segments, &[]), []);
        assert_eq!(unexplained(&[], &[(1, 2)]), []);
    }

    #[test]
    fn segments_that_overlap_have_no_hole_between_them() {
        let segments = [(0, 100 * S, 11), (10 * S, 20 * S, 2), (99 * S, 120 * S, 5)];
        assert_eq!(unexplained(&segments, &[]), []);
    }
}
