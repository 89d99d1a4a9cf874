//! The directories of footage: which cameras and days there are, and the files of each. Not for what is in those: that is `unindexed`.

use std::collections::HashSet;
use std::io;

use chrono::NaiveDate;

use crate::disk::Disk;
use crate::layout::{self, SegmentName};

/// Names of the cameras that have a directory, sorted; what else lies there is not ours.
pub(crate) fn cameras(disk: &Disk) -> io::Result<Vec<String>> {
    let mut cameras = disk.list(layout::FOOTAGE)?;
    cameras.retain(|name| layout::check_camera(name).is_ok());
    cameras.sort();
    Ok(cameras)
}

/// Directories of a camera's days, oldest first; what else lies there is not ours. None, and a warning, if they can't be listed.
pub(crate) fn days(disk: &Disk, camera: &str) -> Vec<String> {
    let camera = format!("{}/{camera}", layout::FOOTAGE);
    let mut days = list(disk, &camera);
    days.retain(|day| NaiveDate::parse_from_str(day, "%Y-%m-%d").is_ok());
    days.sort();
    days.into_iter()
        .map(|day| format!("{camera}/{day}"))
        .collect()
}

/// Segments' files of a day, oldest first, but for those whose paths are known. None, and a warning, if they can't be listed.
pub(crate) fn files(disk: &Disk, day: &str, known: &HashSet<String>) -> Vec<SegmentName> {
    let mut names: Vec<SegmentName> = list(disk, day)
        .into_iter()
        .map(|entry| format!("{day}/{entry}"))
        .filter(|path| !known.contains(path))
        .filter_map(|path| SegmentName::parse(&path))
        .collect();
    names.sort_by_key(|name| (name.started_us, name.duplicate));
    names
}

fn list(disk: &Disk, dir: &str) -> Vec<String> {
    disk.list(dir).unwrap_or_else(|error| {
        tracing::warn!(path = dir, %error, "footage could not be listed; `framelog verify` tells what it holds");
        Vec::new()
    })
}
