//! What was written since the last sync, and how it is made durable. Not for finding that it is time to: that is `index`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::disk::Disk;

/// With a `sync` up to this, every commit is durable: footage is synced before each.
pub(crate) const SYNC_WITH_COMMIT: Duration = Duration::from_secs(1);

/// More files than this are synced all at once, with whatever else lies on the file system: one call instead of many, whose writing
/// the kernel's own threads do, and no file is held open for it.
const FILES_MAX: usize = 4;
/// The same where that call does not reach the disk.
const FILES_MAX_ONE_BY_ONE: usize = 4096;

/// Footage that is not known to be on the disk.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    /// By segment id.
    files: BTreeMap<i64, Arc<File>>,
    /// Directories with new entries.
    dirs: BTreeSet<PathBuf>,
    /// Too much to tell.
    everything: bool,
}

impl Dirty {
    /// A segment was written; without its file, everything counts as dirty. `path` if the segment is new.
    pub fn add(
        &mut self,
        disk: &Disk,
        segment_id: i64,
        file: Option<Arc<File>>,
        path: Option<&str>,
    ) {
        let files_max = files_max(disk);
        if self.everything {
            return;
        }
        match file {
            Some(file) if self.files.len() < files_max || self.files.contains_key(&segment_id) => {
                self.files.insert(segment_id, file);
                self.dirs.extend(
                    path.into_iter()
                        .flat_map(|path| Path::new(path).ancestors().skip(1))
                        .map(PathBuf::from),
                );
            }
            _ => *self = Self::everything(),
        }
    }

    /// Entries of these directories changed.
    pub fn add_dirs(&mut self, disk: &Disk, dirs: impl IntoIterator<Item = PathBuf>) {
        self.dirs.extend(dirs);
        if self.dirs.len() > 4 * files_max(disk) {
            *self = Self::everything();
        }
    }

    /// Too much to tell.
    fn everything() -> Self {
        Self {
            everything: true,
            ..Self::default()
        }
    }

    /// Makes it durable: blocking, as long as the disk takes.
    pub fn sync(self, disk: &Disk) -> io::Result<()> {
        if self.everything {
            return disk.sync_all();
        }
        self.files
            .values()
            .try_for_each(|file| disk.sync_file(file))?;
        self.dirs.iter().try_for_each(|dir| disk.sync_dir(dir))
    }
}

fn files_max(disk: &Disk) -> usize {
    if disk.syncs_at_once() {
        FILES_MAX
    } else {
        FILES_MAX_ONE_BY_ONE
    }
}
