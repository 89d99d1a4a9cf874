//! What a recorder may do as the process that it is: open files, listen, write its storage directory. Not for the disk below that.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;

use super::finding::Finding;
use crate::cli::recorder_user::{Owner, User, WRITE_AND_ENTER};
use crate::cli::words;

/// A camera: a connection (over UDP three) and an open segment.
const FILES_A_CAMERA: u64 = 4;
/// The index, the log, the web server and who asks it.
const FILES_BESIDE: u64 = 128;

/// Whether so many cameras can be recorded with so many open files.
pub fn open_files(limit: Option<u64>, cameras: usize) -> Finding {
    const CHECK: &str = "open-files";
    let needed = FILES_BESIDE + FILES_A_CAMERA * cameras as u64;
    match limit {
        Some(limit) if limit < needed => Finding::wrong(
            CHECK,
            format!("{limit} are allowed, and {cameras} cameras may need {needed}"),
            "run it by the unit, which allows 65536, or raise ulimit -n",
        ),
        Some(limit) => Finding::ok(
            CHECK,
            format!(
                "{limit} are allowed, at most {needed} are needed for {}",
                words::count(cameras as u64, "camera")
            ),
        ),
        None => Finding::ok(CHECK, "without a limit"),
    }
}

/// The soft limit in a table like /proc/PID/limits; `None` if it has none.
pub fn read_open_files(limits: &str) -> Option<u64> {
    let row = limits
        .lines()
        .find_map(|l| l.strip_prefix("Max open files"))?;
    row.split_whitespace().next()?.parse().ok()
}

/// Who has the port, by what came of taking it while `is_running`.
pub fn port(
    listen: SocketAddr,
    must_listen: bool,
    bound: Result<(), &io::Error>,
    is_running: bool,
) -> Finding {
    const CHECK: &str = "port";
    match bound {
        Ok(()) if is_running => Finding::warning(
            CHECK,
            format!("a recorder runs, and doesn't listen on {listen}"),
            "restart it if [http] changed",
        ),
        Ok(()) => Finding::ok(CHECK, format!("{listen} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse && is_running => {
            Finding::ok(CHECK, format!("the recorder answers at {listen}"))
        }
        Err(error) => {
            let says = format!("can't listen on {listen}: {error}");
            let remedy = "see ss -ltnp, and set [http] listen to a free address";
            match must_listen {
                true => Finding::wrong(CHECK, format!("{says}: framelog won't start"), remedy),
                false => Finding::warning(CHECK, format!("{says}: no web server"), remedy),
            }
        }
    }
}

/// Whether the recorder's user may write the storage directory or, while that isn't there, make it in the one that is there above it.
pub fn permission(path: &Path, there: &Path, owner: Owner, user: &User) -> Finding {
    const CHECK: &str = "permission";
    let (uid, gid) = (user.uid, user.gid);
    let (path, shown) = (path.display(), there.display());
    match user.may(WRITE_AND_ENTER, owner) {
        true if uid == 0 => Finding::ok(CHECK, format!("root may write {shown}")),
        true => Finding::ok(
            CHECK,
            format!("the recorder's user (uid {uid}) may write {shown}"),
        ),
        false => Finding::wrong(
            CHECK,
            format!(
                "the recorder's user (uid {uid}) may not write {shown}: it belongs to uid {}, mode {:o}",
                owner.uid,
                owner.mode & 0o7777
            ),
            format!("sudo install -d -o {uid} -g {gid} -m 750 {path}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_camera_needs_its_files() {
        assert_eq!(open_files(Some(1024), 200).level, Level::Ok);
        assert_eq!(open_files(Some(1024), 1000).level, Level::Wrong);
        assert_eq!(open_files(None, 1000).level, Level::Ok);
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
            Max processes             11932                11932                processes \n\
            Max open files            65536                524288               files     \n";
        assert_eq!(read_open_files(limits), Some(65_536));
        let endless = "Max open files            unlimited            unlimited            files\n";
        assert_eq!(read_open_files(endless), None);
    }

    #[test]
    fn a_port_is_free_or_the_recorders_own() {
        let listen = "127.0.0.1:8080".parse().unwrap();
        let taken = io::Error::from(ErrorKind::AddrInUse);
        let level =
            |must_listen, bound, is_running| port(listen, must_listen, bound, is_running).level;
        assert_eq!(level(true, Ok(()), false), Level::Ok);
        assert_eq!(level(true, Ok(()), true), Level::Warning);
        assert_eq!(level(true, Err(&taken), true), Level::Ok);
        assert_eq!(level(true, Err(&taken), false), Level::Wrong);
        assert_eq!(level(false, Err(&taken), false), Level::Warning);
    }

    #[test]
    fn the_recorders_user_must_be_able_to_write_and_to_enter() {
        let user = User {
            uid: 997,
            gid: 997,
            groups: Vec::new(),
        };
        let level = |uid, mode| {
            let owner = Owner {
                uid,
                gid: uid,
                mode,
            };
            permission(Path::new("/p/q"), Path::new("/p"), owner, &user)
        };
        assert_eq!(level(997, 0o40750).level, Level::Ok);
        let not_yet = level(0, 0o40755);
        assert_eq!(not_yet.level, Level::Wrong);
        // What is there above it stays root's.
        let remedy = "sudo install -d -o 997 -g 997 -m 750 /p/q";
        assert_eq!(not_yet.remedy, remedy);
    }
}
