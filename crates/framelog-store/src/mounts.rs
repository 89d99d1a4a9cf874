//! Whether a path lies on a disk that should be mounted and isn't, by the system's own tables; and on what kind of file system. Not for
//! mounting, nor for what is written.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// The mount point in /etc/fstab that the path lies at or below, if nothing is mounted there.
pub(crate) fn missing_mount(path: &Path) -> Option<PathBuf> {
    // Without the tables nothing is known to be missing.
    let fstab = fs::read("/etc/fstab").ok()?;
    let mountinfo = fs::read("/proc/self/mountinfo").ok()?;
    unmounted(&fstab, &mountinfo, &resolved(path))
}

/// The path without links, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let known = path.ancestors().find_map(|above| {
        let rest = path.strip_prefix(above).ok()?;
        Some(fs::canonicalize(above).ok()?.join(rest))
    });
    known.unwrap_or(path)
}

fn unmounted(fstab: &[u8], mountinfo: &[u8], path: &Path) -> Option<PathBuf> {
    let nearest = column(fstab, 1)
        .filter(|point| point != Path::new("/") && point.is_absolute() && path.starts_with(point))
        .max_by_key(|point| point.components().count())?;
    let is_mounted = column(mountinfo, 4).any(|point| point == nearest);
    (!is_mounted).then_some(nearest)
}

/// A column of paths of a table, comments left out.
fn column(table: &[u8], n: usize) -> impl Iterator<Item = PathBuf> {
    table
        .split(|&byte| byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.starts_with(b"#"))
        .filter_map(move |line| {
            let mut fields = line
                .split(u8::is_ascii_whitespace)
                .filter(|field| !field.is_empty());
            fields.nth(n).map(unescaped)
        })
}

/// Blanks and the like stand as three octal digits behind a backslash.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, behind)) = rest.split_first() {
        let digits = behind.get(..3).filter(|_| first == b'\\');
        let code = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                bytes.push(code);
                rest = &behind[3..];
            }
            None => {
                bytes.push(first);
                rest = behind;
            }
        }
    }
    // A slash at the end says nothing.
    PathBuf::from(OsString::from_vec(bytes))
        .components()
        .collect()
}

/// What a network file system, or one in user space, is called; `None` for all others. By the `f_type` of statfs(2).
pub(crate) fn remote_name(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "NFS",
        0x517b | 0xff53_4d42 => "CIFS",
        0xfe53_4d42 => "SMB2",
        0x0102_1997 => "9p",
        0x6573_5546 => "FUSE",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x00c3_6400 => "Ceph",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FSTAB: &[u8] = b"# <file system> <mount point> <type>\n\
        UUID=1 / ext4 defaults 0 1\n\
        UUID=2\t/srv/\text4\tnofail 0 2\n\
        #UUID=3 /var/lib/framelog ext4\n\
        UUID=4 /srv/my\\040disk ext4 defaults 0 2\n\
        UUID=5 none swap sw 0 0\n\n";

    fn missing(mounted: &[&str], path: &str) -> Option<PathBuf> {
        let mountinfo: String = mounted
            .iter()
            .map(|point| format!("36 35 98:0 / {point} rw,noatime - ext4 /dev/sda1 rw\n"))
            .collect();
        unmounted(FSTAB, mountinfo.as_bytes(), Path::new(path))
    }

    #[test]
    fn a_disk_of_fstab_that_is_not_mounted_is_missing_at_its_point_and_below() {
        assert_eq!(missing(&["/"], "/srv"), Some("/srv".into()));
        assert_eq!(missing(&["/"], "/srv/a/b"), Some("/srv".into()));
        assert_eq!(missing(&["/", "/srv"], "/srv/a"), None);
        assert_eq!(missing(&["/"], "/srvx"), None);
        assert_eq!(missing(&["/"], "/var/lib/framelog"), None, "a comment");
        assert_eq!(missing(&[], "/home"), None, "the root is always there");
    }

    #[test]
    fn only_the_nearest_mount_point_counts_and_blanks_in_it_are_read() {
        let disk = Some(PathBuf::from("/srv/my disk"));
        assert_eq!(missing(&["/", "/srv"], "/srv/my disk/footage"), disk);
        assert_eq!(missing(&["/", "/srv/my\\040disk"], "/srv/my disk"), None);
    }

    #[test]
    fn file_systems_of_other_machines_are_named() {
        assert_eq!(remote_name(0x6969), Some("NFS"));
        assert_eq!(remote_name(0x6573_5546), Some("FUSE"));
        for local in [0xef53, 0x5846_5342, 0x0102_1994, 0x9123_683e] {
            assert_eq!(remote_name(local), None);
        }
    }
}
