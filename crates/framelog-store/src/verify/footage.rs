//! Footage that the index doesn't know: every file below `footage/`, a directory at a time. Not for what the index does know.

use std::collections::HashSet;
use std::io;

use super::finding::{Finding, Place, Problem};
use super::pages::{LastRun, Pages};
use crate::disk::Disk;
use crate::layout::{self, SegmentName};
use crate::scan::Depth;
use crate::unindexed::Footage;

/// Paths that are looked up at once.
const PATHS: usize = 500;
/// A file that was written so shortly before the last run was known to be alive, or later, may get its row yet: rows come up to
/// a second after their bytes, and later where the index can't be written.
const MARGIN_US: i64 = 60_000_000;

/// What is below a directory.
pub(super) enum Listed {
    /// Paths, sorted.
    Entries(Vec<String>),
    /// It is no directory, or can't be read.
    Finding(Finding),
}

/// Lists a directory.
pub(super) fn list(disk: &Disk, dir: &str) -> Listed {
    match disk.list(dir) {
        Ok(entries) => {
            let mut paths: Vec<String> = entries
                .into_iter()
                .map(|entry| format!("{dir}/{entry}"))
                .collect();
            paths.sort_unstable();
            Listed::Entries(paths)
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Listed::Finding(at(dir, Problem::Foreign))
        }
        Err(error) => Listed::Finding(at(
            dir,
            Problem::Unreadable {
                error: error.to_string(),
            },
        )),
    }
}

/// The files of a day that the index doesn't know.
pub(super) async fn unknown(pages: &Pages, paths: &[String]) -> sqlx::Result<Vec<String>> {
    let mut unknown = Vec::new();
    for some in paths.chunks(PATHS) {
        let (Some(first), Some(last)) = (some.first(), some.last()) else {
            break;
        };
        let known: HashSet<String> = pages.known_paths(first, last).await?.into_iter().collect();
        unknown.extend(some.iter().filter(|path| !known.contains(*path)).cloned());
    }
    Ok(unknown)
}

/// Whether a file may get its row yet, or be adopted by the next start.
pub(super) fn may_be_new(disk: &Disk, path: &str, run: Option<LastRun>, began_us: i64) -> bool {
    let since_us = match run {
        Some(run) if !run.is_over => run.alive_us.min(began_us).saturating_sub(MARGIN_US),
        _ => return false,
    };
    disk.changed_us(path).is_ok_and(|us| us >= since_us)
}

/// What to say of a file that the index doesn't know; nothing if it is gone, or has no frame in the span.
pub(super) fn finding(disk: &Disk, path: &str, (from_us, to_us): (i64, i64)) -> Option<Finding> {
    let Some(name) = SegmentName::parse(path) else {
        return Some(at(path, Problem::Foreign));
    };
    let named_us = name.started_us;
    let scan = match Footage::read(disk, name, Depth::Heads) {
        Ok(footage) => footage.scan,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            let error = error.to_string();
            return Some(at(path, Problem::Unreadable { error }));
        }
    };
    let times = || scan.frames.iter().map(|found| found.stored.captured_us);
    let first_us = times().min().unwrap_or(named_us);
    if first_us >= to_us || times().max().unwrap_or(named_us) < from_us {
        return None;
    }
    let problem = match scan.frames.len() {
        0 => Problem::NothingInIt,
        frames => Problem::NotInIndex {
            frames: frames as u64,
        },
    };
    let mut finding = at(path, problem);
    finding.place.captured_us = Some(first_us);
    Some(finding)
}

/// About a whole file or directory.
pub(super) fn at(path: &str, problem: Problem) -> Finding {
    let camera = path.strip_prefix(layout::FOOTAGE).and_then(|below| {
        let name = below.strip_prefix('/')?.split('/').next()?;
        layout::check_camera(name).is_ok().then(|| name.to_owned())
    });
    Finding {
        place: Place {
            camera,
            path: Some(path.to_owned()),
            ..Place::default()
        },
        problem,
    }
}
