//! What was written since the last sync, and how it is made durable. Not for when.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::Disk;

/// More files than this are synced all at once, with whatever else lies on the file system: one call instead of many, and no
/// file is held open for it.
const FILES_MAX: usize = 4;

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
    pub fn add(&mut self, segment_id: i64, file: Option<Arc<File>>, path: Option<&str>) {
        if self.everything {
            return;
        }
        match file {
            Some(file) if self.files.len() < FILES_MAX || self.files.contains_key(&segment_id) => {
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
    pub fn add_dirs(&mut self, dirs: impl IntoIterator<Item = PathBuf>) {
        self.dirs.extend(dirs);
        if self.dirs.len() > 4 * FILES_MAX {
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
