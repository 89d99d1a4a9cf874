//! The scripts in `scripts/`, where something that they need is missing.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// What every script may rely on.
const ALWAYS: [&str; 6] = ["cut", "dirname", "head", "sed", "sort", "uname"];

/// Runs a script where little else is to be found than a cargo that says this of itself, if any.
fn run(script: &str, cargo: Option<&str>) -> Output {
    let directory = TempDir::new().expect("a temporary directory");
    for program in ALWAYS {
        let found = which(program).expect("coreutils and sed");
        symlink(found, directory.path().join(program)).expect("a writable temporary directory");
    }
    if let Some(version) = cargo {
        let said = directory.path().join("said");
        fs::write(&said, format!("#!/bin/bash\necho '{version}'\n"))
            .expect("a writable temporary directory");
        // By another process: a file that is open for writing here may be inherited by what another test starts, and can't be executed meanwhile.
        let installed = Command::new("install")
            .args([&said, &directory.path().join("cargo")])
            .status();
        assert!(installed.expect("coreutils").success());
    }
    Command::new(scripts().join(script))
        .env("PATH", directory.path())
        .output()
        .expect("a script of this project")
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
        let output = run(script, None);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(77), "{script}: {said}");
        assert!(said.starts_with("skipped: "), "{script}: {said}");
    }
}

#[test]
fn who_has_no_rust_or_an_old_one_is_told_in_one_line_what_to_do() {
    for script in ["demo", "test", "package", "static", "faults"] {
        for (cargo, found) in [
            (None, "not found"),
            (Some("cargo 1.63.0"), "1.63.0"),
            (Some("cargo 1.9.0 (a1b2c3d4e 2026-01-01)"), "1.9.0"),
        ] {
            let output = run(script, cargo);
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{script}: {said}");
            assert_eq!(said.lines().count(), 1, "{script}: {said}");
            assert!(said.contains("rustup.rs") && said.contains(found), "{said}");
        }
    }
}
