//! The user that is recorded as, by the package's unit or by the recorder that runs, and what it may do with a file. Who asks may be root, or
//! somebody else. Not for what the running recorder does: that says itself what it can't do.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use crate::config::Config;

/// Its name.
const NAME: &str = "framelog";
/// Permissions (stat(2)).
const READ: u32 = 0o4;
/// To make and remove files in a directory.
pub const WRITE_AND_ENTER: u32 = 0o3;
const ENTER: u32 = 0o1;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// User.
    pub uid: u32,
    /// Its first group.
    pub gid: u32,
    /// Its other groups.
    pub groups: Vec<u32>,
}

/// Who a file belongs to and what they may do (stat(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Mode.
    pub mode: u32,
}

impl User {
    /// The recorder's, where there is one.
    pub fn of_recorder() -> Option<Self> {
        let groups = fs::read_to_string("/etc/group").unwrap_or_default();
        Self::read(&fs::read_to_string("/etc/passwd").ok()?, &groups, NAME)
    }

    /// That of a process, if it is on this machine.
    pub fn of_process(pid: u32) -> Option<Self> {
        Self::read_status(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
    }

    /// The effective user of a table like /proc/PID/status (proc(5)).
    fn read_status(status: &str) -> Option<Self> {
        let numbers = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let numbers = line.split_whitespace().map(str::parse);
            numbers.collect::<Result<Vec<u32>, _>>().ok()
        };
        Some(Self {
            uid: *numbers("Uid:")?.get(1)?,
            gid: *numbers("Gid:")?.get(1)?,
            groups: numbers("Groups:")?,
        })
    }

    /// The user of this name in tables like /etc/passwd and /etc/group.
    fn read(passwd: &str, groups: &str, name: &str) -> Option<Self> {
        passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            if fields.next()? != name {
                return None;
            }
            Some(Self {
                uid: fields.nth(1)?.parse().ok()?,
                gid: fields.next()?.parse().ok()?,
                groups: groups
                    .lines()
                    .filter_map(|line| group_of(line, name))
                    .collect(),
            })
        })
    }

    /// Whether it has all of these permissions.
    pub fn may(&self, permissions: u32, owner: Owner) -> bool {
        let shift = match () {
            () if self.uid == 0 => return true,
            () if owner.uid == self.uid => 6,
            () if owner.gid == self.gid || self.groups.contains(&owner.gid) => 3,
            () => 0,
        };
        owner.mode >> shift & permissions == permissions
    }

    /// Whether it may read a file, as far as who asks can tell.
    fn may_read(&self, path: &Path) -> bool {
        let may = |path: &Path, permissions: u32| match fs::metadata(path) {
            Ok(found) => self.may(permissions, Owner::of(&found)),
            Err(_) => true,
        };
        may(path, READ) && path.ancestors().skip(1).all(|above| may(above, ENTER))
    }
}

/// The group of a line of /etc/group, if that names the user among its members.
fn group_of(line: &str, name: &str) -> Option<u32> {
    let mut fields = line.split(':').skip(2);
    let gid = fields.next()?.parse().ok()?;
    fields
        .next()?
        .split(',')
        .any(|member| member == name)
        .then_some(gid)
}

impl Owner {
    /// Of this file.
    pub fn of(found: &fs::Metadata) -> Self {
        Self {
            uid: found.uid(),
            gid: found.gid(),
            mode: found.mode(),
        }
    }
}

/// The configuration, and files that it names, which root has just read and the recorder could not: it would not start.
pub fn hidden_files(file: &Path, config: &Config) -> Vec<PathBuf> {
    let Some(user) = User::of_recorder().filter(|_| geteuid().is_root()) else {
        return Vec::new();
    };
    let files = std::iter::once(file).chain(config.password_files());
    let files = files.filter_map(|file| fs::canonicalize(file).ok());
    files.filter(|file| !user.may_read(file)).collect()
}

/// What is said of one of them, and what to do.
pub fn say_hidden(file: &Path) -> (String, String) {
    let shown = file.display();
    (
        format!("{shown}: the recorder's user ({NAME}) can't read it, and won't start with it"),
        format!("sudo chown root:{NAME} {shown} && sudo chmod 640 {shown}"),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown};

    use super::*;

    #[test]
    fn owner_group_and_others_may_what_their_bits_say() {
        let owner = |uid, gid, mode| Owner { uid, gid, mode };
        let of = |uid| User {
            uid,
            gid: uid,
            groups: vec![44],
        };
        for (owner, user, expected) in [
            (owner(997, 997, 0o40750), of(997), true),
            (owner(0, 0, 0o40755), of(997), false),
            (owner(0, 0, 0o40755), of(0), true),
            (owner(0, 997, 0o40770), of(997), true),
            (owner(0, 997, 0o40760), of(997), false),
            (owner(0, 44, 0o40770), of(997), true),
            (owner(0, 0, 0o41777), of(997), true),
            (owner(997, 997, 0o40570), of(997), false),
        ] {
            assert_eq!(user.may(WRITE_AND_ENTER, owner), expected, "{owner:?}");
        }
        let passwd = "root:x:0:0:root:/root:/bin/bash\nframelog:x:997:996::/var/lib/framelog:/usr/sbin/nologin\n";
        let groups = "root:x:0:\nvideo:x:44:ann,framelog\nframelog:x:996:\n";
        let found = User {
            uid: 997,
            gid: 996,
            groups: vec![44],
        };
        assert_eq!(User::read(passwd, groups, "framelog"), Some(found));
        assert_eq!(User::read(passwd, groups, "frame"), None);
        let status =
            "Name:\tframelog\nUid:\t0\t997\t997\t997\nGid:\t0\t996\t996\t996\nGroups:\t44 \n";
        let running = User {
            uid: 997,
            gid: 996,
            groups: vec![44],
        };
        assert_eq!(User::read_status(status), Some(running));
    }

    #[test]
    fn a_file_is_read_by_who_may_read_it_and_enter_all_above() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        fs::write(&path, "secret").unwrap();
        let user = User {
            uid: 997,
            gid: 996,
            groups: Vec::new(),
        };
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
        for (of_directory, of_file, expected) in [
            (0o755, 0o644, true),
            (0o755, 0o600, false),
            (0o700, 0o644, false),
        ] {
            set(directory.path(), of_directory).unwrap();
            set(&path, of_file).unwrap();
            assert_eq!(
                user.may_read(&path),
                expected,
                "{of_directory:o} {of_file:o}"
            );
        }
        set(directory.path(), 0o755).unwrap();
        set(&path, 0o640).unwrap();
        if geteuid().is_root() {
            chown(&path, None, Some(user.gid)).unwrap();
            assert!(user.may_read(&path));
        }
    }
}
