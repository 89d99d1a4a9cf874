//! The scripts in `scripts/`, where something that they need is missing.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// Runs a script where only these programs are to be found; `None`, which is said, where one of them isn't.
fn run(script: &str, programs: &[&str]) -> Option<Output> {
    let directory = TempDir::new().expect("a temporary directory");
    for program in programs {
        let Some(found) = which(program) else {
            eprintln!("skipped: {program} is not installed");
            return None;
        };
        symlink(found, directory.path().join(program)).expect("a writable temporary directory");
    }
    let output = Command::new(scripts().join(script))
        .env("PATH", directory.path())
        .output();
    Some(output.expect("a script of this project"))
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts")
}

fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut found = std::env::split_paths(&path).map(|directory| directory.join(program));
    found.find(|file| file.is_file())
}

#[test]
fn what_could_not_be_tried_is_neither_good_nor_silent() {
    for script in ["test-package", "test-container"] {
        let Some(output) = run(script, &["dirname"]) else {
            return;
        };
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(77), "{script}: {said}");
        assert!(said.starts_with("skipped: "), "{script}: {said}");
    }
}
