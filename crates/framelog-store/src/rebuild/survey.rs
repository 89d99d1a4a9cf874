//! What footage there is, as far as recording must know before it begins: whose, how many files, from when to when. Not for making rows of it.

use std::collections::HashSet;
use std::io;

use crate::disk::Disk;
use crate::footage_dirs;
use crate::layout::SegmentName;
use crate::recovery::cut_torn_end;
use crate::unindexed::Footage;

/// A camera's directory.
pub(super) struct Surveyed {
    pub name: String,
    pub files: u64,
    /// Capture time of its first frame, as the first file's name has it.
    pub first_us: Option<i64>,
    /// Capture time at which its last file ends.
    pub last_us: Option<i64>,
}

/// Looks at all footage as far as is needed to begin.
pub(super) fn survey(disk: &Disk) -> io::Result<Vec<Surveyed>> {
    let cameras = footage_dirs::cameras(disk)?;
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
    for day in footage_dirs::days(disk, &camera.name) {
        let names = footage_dirs::files(disk, &day, &HashSet::new());
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
fn read_last(disk: &Disk, last: SegmentName) -> io::Result<Option<i64>> {
    let footage = Footage::read_by_heads(disk, last)?;
    // Now nobody writes to it.
    let has_rest = match footage.scan.torn() {
        0 => disk.has_room_beyond(&footage.path)?,
        _ => footage.ends_torn(disk)?,
    };
    if !footage.scan.frames.is_empty() && has_rest {
        cut_torn_end(disk, &footage.path, &footage.scan, &mut 0)?;
    }
    let frames = footage.scan.frames.iter();
    Ok(frames.map(|found| found.stored.captured_us).max())
}
