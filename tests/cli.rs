//! The command line: what each command says and returns.

use std::io::Read as _;
use std::process::{Output, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use crate::support::camera::{Camera, Listen, live};
use crate::support::daemon::{Place, program};
use crate::support::index::Row;
use crate::support::media::probed_frames;
use crate::support::{jpeg, now_us};

/// A row, and the bytes it points at.
type Stored = (Row, Vec<u8>);

/// A place in which the camera `gate` was recorded for some seconds. The recorder has been stopped.
static FOOTAGE: LazyLock<(Place, Vec<Stored>)> = LazyLock::new(|| {
    let camera = Camera::start(Listen::plainly(1), live(50));
    let place = Place::new(&camera.section("gate", "/"));
    let daemon = place.run();
    place.wait_for("frames", Duration::from_secs(20), |index| {
        (index.rows_of("gate").len() >= 60).then_some(())
    });
    assert!(
        daemon
            .stop(Duration::from_secs(10))
            .expect("a stop in time")
            .success(),
        "{}",
        place.log()
    );
    let frames = place.index().expect("an index").frames_of("gate");
    (place, frames)
});

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn assert_exit(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", text(output));
}

/// An error is one line that says all of this.
fn assert_error(output: &Output, code: i32, words: &[&str]) {
    assert_exit(output, code);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("panicked"), "{said}");
    assert!(
        words.iter().all(|word| said.contains(word)),
        "not all of {words:?} in: {said}"
    );
}

fn whole_span() -> [String; 2] {
    let (_, frames) = &*FOOTAGE;
    [
        frames[0].0.captured.clone(),
        frames[frames.len() - 1].0.captured.clone(),
    ]
}

#[test]
fn check_accepts_a_good_file() {
    assert_exit(
        &Place::new("[cameras.gate]\nurl = \"http://192.168.0.50/?action=stream\"\n")
            .command(&["check"]),
        0,
    );
}

#[test]
fn check_tells_an_identity_that_is_not_the_indexs() {
    let camera = Camera::start(Listen::plainly(3), live(50));
    let place = Place::new(&camera.section("gate", "/"));
    let daemon = place.run();
    place.wait_for("frames", Duration::from_secs(20), |index| {
        (!index.rows_of("gate").is_empty()).then_some(())
    });
    let noted = || {
        let output = place.command(&["check"]);
        assert_exit(&output, 0);
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let well = noted();
    assert!(
        well.contains(" free of ") && !well.contains("is not that of index.db"),
        "{well}"
    );
    assert!(
        daemon
            .stop(Duration::from_secs(20))
            .expect("a stop")
            .success()
    );
    let identity = "uuid = \"6f1c0d2e-3a4b-4c5d-8e6f-708192a3b4c5\"\n";
    std::fs::write(place.storage().join("recorder.toml"), identity).expect("room");
    let foreign = noted();
    assert!(
        foreign.contains("warning: ") && foreign.contains("is not that of index.db"),
        "{foreign}"
    );
}

#[test]
fn check_names_file_line_key_and_the_nearest_key() {
    let output = Place::new("[cameras.gate]\nurl = \"http://a/\"\nstal_timeout = \"2 s\"\n")
        .command(&["check"]);
    assert_error(
        &output,
        2,
        &["framelog.toml:9", "stal_timeout", "stall_timeout"],
    );
}

#[test]
fn check_suggests_a_name_that_is_allowed() {
    let output = Place::new("[cameras.\"Front Door\"]\nurl = \"http://a/\"\n").command(&["check"]);
    assert_error(&output, 2, &["Front Door", "front-door"]);
}

#[test]
fn check_connect_tells_cameras_that_answer_from_those_that_do_not() {
    let camera = Camera::start(Listen::plainly(2), live(50));
    assert_exit(
        &Place::new(&camera.section("gate", "/")).command(&["check", "--connect"]),
        0,
    );
    let output = Place::new("[cameras.away]\nurl = \"http://127.0.0.1:1/\"\n")
        .command(&["check", "--connect"]);
    assert_exit(&output, 1);
    assert!(text(&output).contains("away"), "{}", text(&output));
}

#[test]
fn check_connect_tells_cameras_in_the_order_of_the_file_however_long_each_takes() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("its address");
    let sections = format!(
        "[cameras.a]\nurl = \"http://{address}/\"\nstall_timeout = \"1 s\"\n\
         [cameras.b]\nurl = \"http://127.0.0.1:1/\"\n"
    );
    let output = Place::new(&sections).command(&["check", "--connect"]);
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let names: Vec<_> = lines
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(names, ["a", "b"], "{lines}");
}

#[test]
fn an_empty_name_of_the_file_in_the_environment_is_none() {
    let output = program()
        .env("FRAMELOG_CONFIG", "")
        .arg("check")
        .output()
        .expect("the program starts");
    let said = text(&output);
    assert!(said.contains("/etc/framelog/framelog.toml"), "{said}");
}

#[test]
fn a_second_recorder_is_told_of_the_first_one() {
    let place = Place::new("");
    let storage = place.storage();
    let port = crate::support::free_port();
    place.write_config(&format!(
        "[storage]\npath = {storage:?}\n[http]\nlisten = \"127.0.0.1:{port}\"\n"
    ));
    let daemon = place.run();
    let begin = std::time::Instant::now();
    while !place.log().contains(" started cameras=") {
        assert!(begin.elapsed() < Duration::from_secs(20), "{}", place.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    let output = place.command(&["run"]);
    assert_error(
        &output,
        1,
        &["another recorder is running on this directory"],
    );
    assert!(!text(&output).contains("listening"), "{}", text(&output));
    let stopped = daemon.stop(Duration::from_secs(10));
    assert!(stopped.expect("a stop in time").success());
}

#[test]
fn run_refuses_a_file_that_is_not_there() {
    let output = program()
        .args(["run", "--config", "/nonexistent/framelog.toml"])
        .output()
        .expect("the program starts");
    assert_error(&output, 2, &["/nonexistent/framelog.toml"]);
}

#[test]
fn wrong_usage_is_exit_code_2() {
    assert_exit(
        &program()
            .arg("recrod")
            .output()
            .expect("the program starts"),
        2,
    );
}

#[test]
fn find_shows_stretches_and_gaps() {
    let (place, frames) = &*FOOTAGE;
    let output = place.command(&["find", "gate"]);
    assert_exit(&output, 0);
    assert!(
        text(&output).contains(&frames.len().to_string()),
        "no count of {} in:\n{}",
        frames.len(),
        text(&output)
    );
    assert_exit(&place.command(&["find", "gate", "--gaps"]), 0);
}

#[test]
fn find_frames_as_json_is_a_line_each() {
    let (place, frames) = &*FOOTAGE;
    let output = place.command(&["find", "gate", "--frames", "--json", "--limit", "100000"]);
    assert_exit(&output, 0);
    let lines: Vec<serde_json::Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let captured: Vec<_> = lines
        .iter()
        .filter_map(|line| line["captured_us"].as_i64())
        .collect();
    assert_eq!(
        captured,
        frames
            .iter()
            .map(|(row, _)| row.captured_us)
            .collect::<Vec<_>>()
    );
}

#[test]
fn an_end_may_count_from_the_beginning() {
    let (place, frames) = &*FOOTAGE;
    let [from, _] = whole_span();
    let listed = |to: &str| {
        let output = place.command(&[
            "find", "gate", "--frames", "--json", "--from", &from, "--to", to,
        ]);
        assert_exit(&output, 0);
        text(&output).lines().count()
    };
    assert_eq!(listed("+1h"), frames.len());
    let half_s = (frames[frames.len() / 2].0.captured_us - frames[0].0.captured_us) / 1_000_000;
    assert!(listed(&format!("+{half_s}s")) < frames.len());
    assert_error(
        &place.command(&["find", "gate", "--to", "+1h"]),
        2,
        &["--from"],
    );
}

#[test]
fn find_suggests_the_nearest_camera() {
    assert_error(&FOOTAGE.0.command(&["find", "gaet"]), 1, &["gaet", "gate"]);
}

#[test]
fn frame_gives_the_nearest_picture() {
    let (place, frames) = &*FOOTAGE;
    let (row, payload) = &frames[frames.len() / 2];
    let file = place.path("picture.jpg");
    assert_exit(
        &place.command(&[
            "frame",
            "gate",
            &row.captured,
            "--raw",
            "-o",
            &file.display().to_string(),
        ]),
        0,
    );
    assert_eq!(&std::fs::read(file).expect("the picture"), payload);
}

#[test]
fn frame_refuses_a_name_of_another_kind_and_a_folder_that_is_not_there() {
    let (place, frames) = &*FOOTAGE;
    let at = &frames[0].0.captured;
    let png = place.path("picture.png");
    let frame = |file: &std::path::Path| {
        place.command(&["frame", "gate", at, "-o", &file.display().to_string()])
    };
    assert_error(&frame(&png), 2, &["picture.png", "name a .jpg"]);
    assert!(!png.exists());
    let nowhere = place.path("nowhere");
    let words = [
        &*nowhere.display().to_string(),
        "there is no such folder; make it first",
    ];
    assert_error(&frame(&nowhere.join("a.jpg")), 1, &words);
}

#[test]
fn frame_refuses_a_time_that_it_cannot_read() {
    assert_error(
        &FOOTAGE.0.command(&["frame", "gate", "noonish"]),
        2,
        &["noonish"],
    );
}

#[test]
fn export_to_mjpeg_holds_every_frame() {
    let (place, frames) = &*FOOTAGE;
    let [from, to] = whole_span();
    let file = place.path("out.mjpeg");
    assert_exit(
        &place.command(&[
            "export",
            "gate",
            "--from",
            &from,
            "--to",
            &to,
            "-o",
            &file.display().to_string(),
        ]),
        0,
    );
    let probed = probed_frames(&file);
    // `--to` is exclusive or not: the last frame may be left out.
    assert!(
        probed == frames.len() || probed + 1 == frames.len(),
        "{probed} of {}",
        frames.len()
    );
}

#[test]
fn export_to_a_folder_holds_every_frame_byte_for_byte() {
    let (place, frames) = &*FOOTAGE;
    let [from, to] = whole_span();
    let folder = place.path("out");
    let arguments = [
        "export",
        "gate",
        "--from",
        &from,
        "--to",
        &to,
        "-o",
        &format!("{}/", folder.display()),
    ];
    assert_exit(&place.command(&arguments), 0);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    let exported: Vec<_> = files
        .iter()
        .map(|file| std::fs::read(file).expect("a picture"))
        .collect();
    assert!(
        exported.len() + 1 >= frames.len(),
        "{} of {}",
        exported.len(),
        frames.len()
    );
    assert!(
        exported
            .iter()
            .zip(frames)
            .all(|(exported, (_, payload))| exported == payload)
    );
}

#[test]
fn export_to_zip_can_be_opened() {
    let (place, frames) = &*FOOTAGE;
    let [from, to] = whole_span();
    let file = place.path("out.zip");
    assert_exit(
        &place.command(&[
            "export",
            "gate",
            "--from",
            &from,
            "--to",
            &to,
            "-o",
            &file.display().to_string(),
        ]),
        0,
    );
    let listed = std::process::Command::new("python3")
        .args(["-m", "zipfile", "-t"])
        .arg(&file)
        .output()
        .expect("python3");
    assert!(listed.status.success(), "{}", text(&listed));
    let listed = std::process::Command::new("python3")
        .args(["-m", "zipfile", "-l"])
        .arg(&file)
        .output()
        .expect("python3");
    let pictures = String::from_utf8_lossy(&listed.stdout)
        .matches(".jpg")
        .count();
    assert!(
        pictures + 1 >= frames.len(),
        "{pictures} of {}",
        frames.len()
    );
}

#[test]
fn export_does_not_overwrite() {
    let (place, _) = &*FOOTAGE;
    let [from, to] = whole_span();
    let file = place.path("precious.mjpeg");
    std::fs::write(&file, "precious").expect("a writable temporary directory");
    let output = place.command(&[
        "export",
        "gate",
        "--from",
        &from,
        "--to",
        &to,
        "-o",
        &file.display().to_string(),
    ]);
    assert!(!output.status.success());
    assert_eq!(std::fs::read(file).expect("still there"), b"precious");
}

#[test]
fn export_names_a_file_that_is_gone_once() {
    let camera = Camera::start(Listen::plainly(6), live(50));
    let place = Place::new(&camera.section("gate", "/"));
    let daemon = place.run();
    place.wait_for("frames", Duration::from_secs(20), |index| {
        (index.rows_of("gate").len() >= 10).then_some(())
    });
    let stopped = daemon.stop(Duration::from_secs(10));
    assert!(stopped.expect("a stop in time").success());
    let index = place.index().expect("an index");
    let file = index.rows_of("gate")[0].path.clone();
    std::fs::remove_file(place.storage().join(&file)).expect("a file");
    let output = place.command(&[
        "export",
        "gate",
        "--from",
        "-1h",
        "--to",
        "now",
        "-o",
        "gone.mjpeg",
    ]);
    assert_error(&output, 1, &["its frames are left out"]);
    assert_eq!(text(&output).matches(&file).count(), 1, "{}", text(&output));
}

#[test]
fn export_of_nothing_says_so() {
    let (place, _) = &*FOOTAGE;
    let file = place.path("nothing.mjpeg").display().to_string();
    let output = place.command(&[
        "export",
        "gate",
        "--from",
        "2001-01-01T00:00:00Z",
        "--to",
        "2001-01-02T00:00:00Z",
        "-o",
        &file,
    ]);
    assert_exit(&output, 1);
    assert!(!std::path::Path::new(&file).exists());
}

#[test]
fn tail_gives_frames_as_they_are_stored() {
    let camera = Camera::start(Listen::plainly(3), live(50));
    let place = Place::new(&camera.section("gate", "/"));
    let daemon = place.run();
    place.wait_for("frames", Duration::from_secs(20), |index| {
        (!index.rows_of("gate").is_empty()).then_some(())
    });
    let mut tail = program()
        .arg("--config")
        .arg(place.config())
        .args(["tail", "gate"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut out = tail.stdout.take().expect("a pipe");
    let mut heard = vec![0; 20_000];
    out.read_exact(&mut heard).expect("frames");
    drop(out);
    let begin = std::time::Instant::now();
    let status = loop {
        match tail.try_wait().expect("the child is ours") {
            Some(status) => break status,
            None => assert!(
                begin.elapsed() < Duration::from_secs(10),
                "tail goes on without a listener"
            ),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(status.success(), "{status}");
    assert!(heard.starts_with(b"--framelog\r\n"));
    assert!(
        daemon
            .stop(Duration::from_secs(10))
            .expect("a stop in time")
            .success()
    );
    let frames = place.index().expect("an index").frames_of("gate");
    let whole = frames
        .iter()
        .filter(|(_, payload)| heard.windows(payload.len()).any(|window| window == payload))
        .count();
    assert!(whole >= 10, "{whole} frames came");
}

/// What `tail gate` says until it is stopped after the words, and its exit code if it ends by itself with them.
fn tail_until(place: &Place, words: &str) -> Option<i32> {
    let said = place.path("said");
    let mut tail = program()
        .arg("--config")
        .arg(place.config())
        .args(["tail", "gate"])
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(&said).expect("a writable temporary directory"))
        .spawn()
        .expect("the program starts");
    let begin = std::time::Instant::now();
    let said = || std::fs::read_to_string(&said).expect("what it says");
    while !said().contains(words) {
        let said = said();
        assert!(begin.elapsed() < Duration::from_secs(20), "{words}: {said}");
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_millis(200));
    let ended = tail.try_wait().expect("the child is ours");
    if ended.is_none() {
        tail.kill().expect("the child is ours");
        tail.wait().expect("the child is ours");
    }
    assert_eq!(said().lines().count(), 1, "{}", said());
    ended.and_then(|status| status.code())
}

#[test]
fn tail_says_why_nothing_comes_and_ends_where_nothing_can() {
    let camera = Camera::start(Listen::plainly(5), live(50));
    let enabled = camera.section("gate", "/");
    let place = Place::new(&enabled);
    let daemon = place.run();
    place.wait_for("frames", Duration::from_secs(20), |index| {
        (!index.rows_of("gate").is_empty()).then_some(())
    });
    place.configure(&format!("{enabled}enabled = false\n"));
    daemon.signal(rustix::process::Signal::HUP);
    place.wait_for("a gap", Duration::from_secs(20), |index| {
        let gaps = index.gaps_of("gate");
        (gaps.iter().any(|gap| gap.reason == "disabled")).then_some(())
    });
    assert_eq!(tail_until(&place, ": disabled ("), None);
    let stopped = daemon.stop(Duration::from_secs(10));
    assert!(stopped.expect("a stop in time").success());
    assert_eq!(tail_until(&place, "waiting: no recorder runs on "), None);
    place.configure("");
    assert_eq!(
        tail_until(&place, "framelog.toml any more"),
        Some(1),
        "no frame can come"
    );
    place.configure(&enabled);
    let tail = std::thread::scope(|scope| {
        let tail = scope.spawn(|| tail_until(&place, "the index is not there any more"));
        std::thread::sleep(Duration::from_secs(1));
        let elsewhere = place.path("elsewhere");
        std::fs::rename(place.storage(), &elsewhere).expect("a storage directory");
        let tail = tail.join();
        std::fs::rename(elsewhere, place.storage()).expect("its place");
        tail
    });
    assert_eq!(tail.expect("what it says"), None);
}

#[test]
fn probe_describes_a_camera_and_ends_with_toml_that_is_accepted() {
    let camera = Camera::start(Listen::plainly(4), live(50));
    let output = program()
        .args(["probe", &camera.url("/?action=stream")])
        .output()
        .expect("the program starts");
    assert_exit(&output, 0);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        ["camframe", "64", "48"]
            .iter()
            .all(|word| said.contains(word)),
        "{said}"
    );
    let stanza = &said[said.find("[cameras.").expect("a stanza")..];
    assert_exit(&Place::new(stanza).command(&["check"]), 0);
    assert_eq!(camera.journal().most_open, 1);
}

#[test]
fn probe_of_nobody_fails_with_a_reason() {
    assert_error(
        &program()
            .args(["probe", "http://127.0.0.1:1/"])
            .output()
            .expect("the program starts"),
        1,
        &["127.0.0.1:1"],
    );
}

#[test]
fn probe_of_a_name_without_an_address_says_so_once() {
    let output = program().args(["probe", "camera.invalid"]).output();
    assert_error(
        &output.expect("the program starts"),
        1,
        &["camera.invalid has no address"],
    );
}

#[test]
fn demo_records_and_the_commands_that_it_prints_work() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let storage = directory.path().join("demo");
    let output = program()
        .args(["demo", "--seconds", "6", "--storage"])
        .arg(&storage)
        .current_dir(directory.path())
        .output()
        .expect("the program starts");
    assert_exit(&output, 0);
    let said = text(&output);
    assert!(said.contains(&storage.display().to_string()), "{said}");
    let commands: Vec<_> = said
        .lines()
        .filter(|line| {
            line.starts_with(env!("CARGO_BIN_EXE_framelog-under-test"))
                || line.starts_with("sqlite3 ")
        })
        .collect();
    assert!(commands.len() >= 3, "{said}");
    for command in commands {
        let tried = std::process::Command::new("sh")
            .args(["-c", command])
            .current_dir(directory.path())
            .output()
            .expect("a shell");
        assert!(
            tried.status.success() && !tried.stdout.is_empty() | !tried.stderr.is_empty(),
            "{command}: {}",
            text(&tried)
        );
    }
    let index = crate::support::index::Index::open(&storage).expect("an index");
    let rows = index.rows().expect("rows");
    assert!(rows.len() > 20, "{} frames in the demo", rows.len());
    assert!(rows.iter().all(|row| {
        index
            .payload(row)
            .is_ok_and(|payload| jpeg::has_soi(&payload))
    }));
    assert!(
        rows.iter()
            .all(|row| (row.captured_us - now_us()).abs() < 60_000_000)
    );
}

#[test]
fn testcam_is_a_camera() {
    let mut testcam = program()
        .args(["testcam", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut said = [0; 2048];
    let length = testcam
        .stdout
        .take()
        .expect("a pipe")
        .read(&mut said)
        .expect("what it says");
    let said = String::from_utf8_lossy(&said[..length]).into_owned();
    let begin = said.find("http://").expect("a URL");
    let url: String = said[begin..]
        .chars()
        .take_while(|&letter| !letter.is_whitespace() && letter != '"')
        .collect();
    let place = Place::new(&format!("[cameras.test]\nurl = {url:?}\n"));
    let daemon = place.run();
    place.wait_for("frames", Duration::from_secs(20), |index| {
        (index.rows_of("test").len() >= 10).then_some(())
    });
    assert!(
        daemon
            .stop(Duration::from_secs(10))
            .expect("a stop in time")
            .success(),
        "{}",
        place.log()
    );
    testcam.kill().expect("the child is ours");
    testcam.wait().expect("the child is ours");
}

#[test]
fn check_says_how_much_footage_the_rules_of_a_file_would_remove() {
    let camera = Camera::start(Listen::plainly(3), live(50));
    let place = Place::new(&camera.section("gate", "/"));
    let daemon = place.run();
    place.wait_for("frames", Duration::from_secs(20), |index| {
        (index.rows_of("gate").len() >= 20).then_some(())
    });
    daemon
        .stop(Duration::from_secs(10))
        .expect("a stop in time");
    let check = |rule: &str| {
        let storage = place.storage();
        let cameras = camera.section("gate", "/");
        place.write_config(&format!("[storage]\npath = {storage:?}\n{rule}\n{cameras}"));
        text(&place.command(&["check"]))
    };
    assert!(!check("max_size = \"1 GB\"").contains("of footage as soon"));
    let said = check("max_size = \"1 kB\"");
    assert!(
        said.contains("warning: retain and max_size remove "),
        "{said}"
    );
    std::thread::sleep(Duration::from_millis(1_500));
    assert!(
        check("retain = \"1 s\"").contains(" of footage as soon as the recorder goes by this file")
    );
}

#[test]
fn probe_of_a_port_that_takes_connections_and_says_nothing_ends_after_some_paths() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("its address").to_string();
    let output = program()
        .args(["probe", &address])
        .output()
        .expect("it runs");
    assert_exit(&output, 1);
    let said = text(&output);
    assert_eq!(said.matches(": stalled").count(), 3, "{said}");
    assert!(!said.contains("no pictures at any"), "{said}");
}
