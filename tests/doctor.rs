//! `framelog doctor`: one line for each thing, the wrong ones first, with and without a recorder.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::support::camera::{Camera, Listen, live};
use crate::support::daemon::Place;
use crate::support::free_port;
use crate::support::mount::Mount;

const LIMIT: Duration = Duration::from_secs(30);

/// The findings as JSON, and the exit code.
fn examine(place: &Place) -> (Vec<Value>, Option<i32>) {
    let output = place.command(&["doctor", "--json"]);
    let text = String::from_utf8_lossy(&output.stdout);
    let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
    (text.lines().map(line).collect(), output.status.code())
}

/// What was found by this check.
fn of<'f>(found: &'f [Value], check: &str) -> Vec<&'f Value> {
    found
        .iter()
        .filter(|finding| finding["check"] == check)
        .collect()
}

fn configure(place: &Place, port: u16, cameras: &str) {
    let storage = place.storage();
    place.write_config(&format!(
        "[storage]\npath = {storage:?}\n[http]\nlisten = \"127.0.0.1:{port}\"\n{cameras}"
    ));
}

#[test]
fn everything_is_looked_at_and_a_dead_camera_is_wrong() {
    let gate = Camera::start(Listen::plainly(81), live(50));
    let place = Place::new("");
    let dead = format!(
        "[cameras.dead]\nurl = \"http://127.0.0.1:{}/\"\n",
        free_port()
    );
    configure(
        &place,
        free_port(),
        &format!("{}{dead}", gate.section("gate", "/")),
    );
    let (found, code) = examine(&place);
    assert_eq!(code, Some(1), "{found:#?}");
    for check in [
        "clock",
        "file-system",
        "permission",
        "inodes",
        "retention",
        "disk-speed",
        "open-files",
        "port",
    ] {
        assert_eq!(of(&found, check).len(), 1, "{check}: {found:#?}");
    }
    let cameras = of(&found, "camera");
    assert_eq!(cameras.len(), 2, "{found:#?}");
    assert_eq!(cameras[0]["level"], "wrong", "what is wrong comes first");
    let says = cameras[0]["says"].as_str().expect("words");
    assert!(says.starts_with("dead: unreachable: "), "{says}");
    assert!(cameras[0]["remedy"].is_string(), "{found:#?}");
    assert_eq!(cameras[1]["level"], "ok");
    assert!(!place.storage().exists(), "nothing is made");
    let text = place.command(&["doctor"]).stdout;
    let lines = String::from_utf8_lossy(&text).lines().count();
    assert_eq!(lines, found.len());
}

#[test]
fn a_port_that_the_recorder_has_is_right_and_one_that_another_has_is_wrong() {
    let gate = Camera::start(Listen::plainly(82), live(50));
    let place = Place::new("");
    let port = free_port();
    configure(&place, port, &gate.section("gate", "/"));
    let daemon = place.run();
    place.wait_for("frames", LIMIT, |index| {
        (index.rows_of("gate").len() > 20).then_some(())
    });
    let connections = gate.journal().connected_us.len();
    let (found, _) = examine(&place);
    assert_eq!(of(&found, "port")[0]["level"], "ok", "{found:#?}");
    assert_eq!(of(&found, "camera")[0]["says"], "gate is recorded");
    assert_eq!(
        gate.journal().connected_us.len(),
        connections,
        "a camera that is recorded is not asked"
    );
    assert!(daemon.stop(LIMIT).expect("a stop in time").success());
    let _other = TcpListener::bind(("127.0.0.1", port)).expect("it is free again");
    let (found, code) = examine(&place);
    assert_eq!(of(&found, "port")[0]["level"], "wrong", "{found:#?}");
    assert_eq!(code, Some(1));
}

#[test]
fn a_small_disk_is_not_taken_for_a_full_one() {
    let place = Place::new("");
    for (size, expected) in [("48m", "/s written, "), ("8m", "too little room")] {
        let Some(_disk) = Mount::tmpfs(&place.storage(), size) else {
            return;
        };
        let (found, _) = examine(&place);
        let says = of(&found, "disk-speed")[0]["says"].as_str();
        assert!(says.expect("words").contains(expected), "{size}: {says:?}");
    }
}

/// Runs a command as a user who owns nothing.
fn as_nobody(place: &Place, arguments: &[&str]) -> Output {
    let program = place.path("framelog");
    // By another process: a file that is open for writing here may be inherited by what another test starts, and can't be executed meanwhile.
    let copied = Command::new("cp")
        .arg(env!("CARGO_BIN_EXE_framelog-under-test"))
        .arg(&program)
        .status();
    assert!(copied.expect("cp").success());
    let open = |path, mode| fs::set_permissions(path, Permissions::from_mode(mode));
    open(place.path(""), 0o755).expect("our own directory");
    open(place.config(), 0o644).expect("our own file");
    Command::new("setpriv")
        .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"])
        .arg(program)
        .arg("--config")
        .arg(place.config())
        .args(arguments)
        .output()
        .expect("setpriv")
}

#[test]
fn somebody_else_is_not_taken_for_the_user_that_is_recorded_as() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let gate = Camera::start(Listen::plainly(83), live(50));
    let place = Place::new("");
    configure(&place, free_port(), &gate.section("gate", "/"));
    let daemon = place.run();
    place.wait_for("frames", LIMIT, |index| {
        (index.rows_of("gate").len() > 20).then_some(())
    });
    let output = as_nobody(&place, &["doctor"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("root may write "), "{said}");
    assert!(said.contains("sudo framelog doctor"), "{said}");
    assert!(!said.contains("65534"), "{said}");
    assert!(daemon.stop(LIMIT).expect("a stop in time").success());
    // Only root and a group may read.
    let storage = place.storage();
    let index = storage.join("index.db");
    for (path, mode, back) in [(&index, 0o640, 0o644), (&storage, 0o750, 0o755)] {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("our own");
        for command in [
            &["find"][..],
            &["find", "--storage", &*storage.display().to_string()],
        ] {
            let output = as_nobody(&place, command);
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains("use sudo, or join the group"), "{said}");
            assert!(!said.contains("chown"), "{said}");
        }
        fs::set_permissions(path, Permissions::from_mode(back)).expect("our own");
    }
}
