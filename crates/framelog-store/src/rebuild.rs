//! An index made anew from the footage alone, while recording goes on into it. Not for what footage does not say of itself: that is
//! `lost_index`.

use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;

use framelog_core::gap::GapReason;
use sqlx::SqliteConnection;
use tokio::sync::{oneshot, watch};

use crate::changes::{Adopted, Change, Changes};
use crate::direct::directly;
use crate::disk::Disk;
use crate::error::Error;
use crate::footage_dirs;
use crate::gaps::GapChange;
use crate::layout::{self, SegmentName};
use crate::lost_index;
use crate::old_index;
use crate::recovery::known_paths;
use crate::rows::{self, Missing, camera_id, next_id};
use crate::schema::connect_beside;
use crate::unindexed::Footage;

mod holes;
mod survey;

use holes::holes;
use survey::survey;

/// Files that are read in one go.
const FILES_AT_ONCE: usize = 200;
/// So many frames get their rows in one commit, between those of what is being recorded.
const FRAMES_AT_ONCE: usize = 20_000;
/// And so many gaps, well below what the index would fold into one.
const GAPS_AT_ONCE: usize = 1_000;

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
            .blocking(move |disk| footage_dirs::days(disk, &of_camera))
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
            let names = footage_dirs::files(disk, &of_day, &HashSet::new());
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
                Footage::read_by_heads(disk, name)
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

/// Whether the index is being made anew, or will be at the next start: then it doesn't know all the footage that there is.
pub fn is_due(storage: &Path) -> bool {
    lost_index::mark(storage).is_ok_and(|mark| mark.is_some())
}

/// Whether it was only asked for so far: nothing happens before the next start.
pub fn is_only_asked(storage: &Path) -> bool {
    lost_index::mark(storage).is_ok_and(|mark| mark == Some(lost_index::Mark::Asked))
}

/// Asks for the index to be made anew from the footage at the next start of a recorder, which records meanwhile.
///
/// # Errors
/// [`Error::Io`].
pub fn ask(storage: &Path) -> Result<(), Error> {
    lost_index::set_mark(storage, &lost_index::Mark::Asked)
}
