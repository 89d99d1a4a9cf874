//! What the storage directory lies on: the kind of file system, whether it can be written, and whether files can be made. Not for its speed.

use std::path::{Path, PathBuf};

use super::finding::Finding;
use crate::report;

/// A file system as the kernel lists it (proc(5), /proc/PID/mountinfo).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where it is mounted.
    pub point: PathBuf,
    /// `ext4`, `xfs`, `nfs4`.
    pub kind: String,
    /// Neither this mount nor the file system below it can be written.
    pub is_read_only: bool,
}

/// The one that this path, without links, lies on: the deepest, and of several at one place the last.
pub fn mount_of(mountinfo: &str, path: &Path) -> Option<Mount> {
    let mounts = mountinfo.lines().filter_map(read_mount);
    mounts
        .filter(|mount| path.starts_with(&mount.point))
        .max_by_key(|mount| mount.point.components().count())
}

fn read_mount(line: &str) -> Option<Mount> {
    let (here, below) = line.split_once(" - ")?;
    let mut here = here.split(' ').skip(4);
    let point = here.next()?;
    let options = here.next()?;
    let mut below = below.split(' ');
    let kind = below.next()?;
    let of_file_system = below.nth(1).unwrap_or_default();
    let is_read_only = |options: &str| options.split(',').any(|option| option == "ro");
    Some(Mount {
        // A tab, line end or backslash in a mount point is nobody's.
        point: PathBuf::from(point.replace("\\040", " ")),
        kind: kind.to_owned(),
        is_read_only: is_read_only(options) || is_read_only(of_file_system),
    })
}

/// The recorder has lost its directory: what is at the path now is not to be written to.
pub fn lost(storage: &report::Storage) -> Finding {
    let absent = format!("{}: is not there", storage.path.display());
    let detail = storage.detail.as_ref().unwrap_or(&absent);
    Finding::wrong(
        "storage",
        format!("nothing is recorded: {detail}"),
        "mount the disk, or put back the directory, that belongs there: recording goes on by itself then",
    )
}

/// What is to be said of it.
pub fn file_system(mount: Option<&Mount>) -> Finding {
    const CHECK: &str = "file-system";
    let Some(Mount {
        point,
        kind,
        is_read_only,
    }) = mount
    else {
        return Finding::warning(CHECK, "not known", "see df --output=fstype");
    };
    let at = point.display();
    if *is_read_only {
        return Finding::wrong(
            CHECK,
            format!("{kind} at {at} is read-only"),
            "see dmesg for why, and mount it read-write",
        );
    }
    let kind_only = kind.split('.').next().unwrap_or_default();
    match kind_only {
        "nfs" | "nfs4" | "cifs" | "smb3" | "smbfs" | "9p" | "ceph" | "afs" | "glusterfs"
        | "fuse" | "fuseblk" => Finding::wrong(
            CHECK,
            format!(
                "{kind} at {at}: SQLite's locks don't hold there, and the index may be damaged"
            ),
            "put storage.path on a local disk (ext4, xfs)",
        ),
        "tmpfs" | "ramfs" => Finding::wrong(
            CHECK,
            format!("{kind} at {at} is memory: footage is gone with the next restart"),
            "put storage.path on a disk",
        ),
        "vfat" | "exfat" | "msdos" => Finding::wrong(
            CHECK,
            format!("{kind} at {at} has no journal: a power cut can take all of it"),
            "format it as ext4 or xfs",
        ),
        "overlay" => Finding::warning(
            CHECK,
            format!("{kind} at {at}: footage is gone with the container"),
            "mount a volume at storage.path",
        ),
        _ => Finding::ok(CHECK, format!("{kind} at {at}")),
    }
}

/// Whether files can be made: of `free` of `all` (0: as many as there is room for), when so many are made a day.
pub fn inodes(free: u64, all: u64, files_per_day: f64) -> Finding {
    const CHECK: &str = "inodes";
    const REMEDY: &str =
        "delete small files there, use a longer [storage] segment, or layout = \"segments\"";
    if all == 0 {
        return Finding::ok(CHECK, "as many as there is room for");
    }
    let says = format!("{free} of {all} are free");
    let days = match files_per_day > 0.0 {
        true => free as f64 / files_per_day,
        false => f64::INFINITY,
    };
    if free == 0 {
        Finding::wrong(CHECK, format!("{says}: no file can be made"), REMEDY)
    } else if days < 1.0 {
        Finding::wrong(CHECK, format!("{says}: gone within a day"), REMEDY)
    } else if free < all / 20 {
        Finding::warning(CHECK, says, REMEDY)
    } else {
        Finding::ok(CHECK, says)
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    const MOUNTINFO: &str = "\
        21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n\
        30 21 8:2 / /srv rw,noatime - xfs /dev/sdb1 rw\n\
        31 30 0:40 / /srv/my\\040nas rw - nfs4 nas:/x rw,vers=4.2\n\
        32 21 8:3 / /mnt rw shared:2 master:1 - ext4 /dev/sdc1 ro\n\
        nonsense\n";

    fn level(path: &str) -> (String, Level) {
        let mount = mount_of(MOUNTINFO, Path::new(path)).unwrap();
        let level = file_system(Some(&mount)).level;
        (mount.kind, level)
    }

    #[test]
    fn the_deepest_mount_counts() {
        assert_eq!(level("/var/lib/framelog"), ("ext4".into(), Level::Ok));
        assert_eq!(level("/srv/footage"), ("xfs".into(), Level::Ok));
        assert_eq!(level("/srvx"), ("ext4".into(), Level::Ok));
        assert_eq!(level("/srv/my nas/a"), ("nfs4".into(), Level::Wrong));
        assert_eq!(level("/mnt"), ("ext4".into(), Level::Wrong), "read-only");
        assert_eq!(file_system(None).level, Level::Warning);
    }

    #[test]
    fn file_systems_that_lose_footage_are_wrong() {
        for (kind, expected) in [
            ("btrfs", Level::Ok),
            ("zfs", Level::Ok),
            ("tmpfs", Level::Wrong),
            ("fuse.sshfs", Level::Wrong),
            ("vfat", Level::Wrong),
            ("overlay", Level::Warning),
        ] {
            let mount = Mount {
                point: "/p".into(),
                kind: kind.to_owned(),
                is_read_only: false,
            };
            assert_eq!(file_system(Some(&mount)).level, expected, "{kind}");
        }
    }

    #[test]
    fn inodes_that_end_within_a_day_are_wrong() {
        for (free, all, files_per_day, expected) in [
            (0, 0, 1e9, Level::Ok),
            (0, 1000, 0.0, Level::Wrong),
            (500, 1000, 501.0, Level::Wrong),
            (500, 1000, 400.0, Level::Ok),
            (49, 1000, 1.0, Level::Warning),
            (49, 1000, 0.0, Level::Warning),
        ] {
            assert_eq!(
                inodes(free, all, files_per_day).level,
                expected,
                "{free} of {all}"
            );
        }
    }
}
