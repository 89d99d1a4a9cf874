//! Disks that a test mounts and takes away, where that is permitted (as root).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Something mounted; unmounted when dropped.
#[derive(Debug)]
pub struct Mount {
    at: PathBuf,
}

impl Mount {
    /// A small disk in memory; `None`, which is said on stderr, where mounting isn't permitted.
    pub fn tmpfs(at: &Path, size: &str) -> Option<Self> {
        let size = format!("size={size}");
        let mounted = Self::new(&["-t", "tmpfs", "-o", &size, "tmpfs"], at);
        if mounted.is_none() {
            eprintln!("mounting isn't permitted here: nothing was tested");
        }
        mounted
    }

    /// What is mounted at `from`, at another place too: what is written stays there when this is unmounted.
    pub fn bind(from: &Path, at: &Path) -> Self {
        let from = from.to_str().expect("a path of this test");
        Self::new(&["--bind", from], at).expect("what could be mounted once can be mounted twice")
    }

    fn new(arguments: &[&str], at: &Path) -> Option<Self> {
        fs::create_dir_all(at).expect("a writable temporary directory");
        mount(arguments, at).then(|| Self { at: at.to_owned() })
    }

    /// Where it is mounted.
    pub fn at(&self) -> &Path {
        &self.at
    }

    /// Changes how it is mounted: `ro`, `rw`.
    pub fn remount(&self, how: &str) {
        let options = format!("remount,bind,{how}");
        assert!(mount(&["-o", &options], &self.at), "a remount as {how}");
    }

    /// Takes it away from its place, though it is in use.
    pub fn unmount(self) {
        drop(self);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // It may be busy; it goes when nobody uses it any more.
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

fn mount(arguments: &[&str], at: &Path) -> bool {
    let mounted = Command::new("mount").args(arguments).arg(at).output();
    mounted.is_ok_and(|output| output.status.success())
}
