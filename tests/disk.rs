//! Disks that are pulled out, swapped, read-only or late: nothing is written anywhere else, and recording goes on when they are back.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::camera::{Camera, Listen, live};
use crate::support::daemon::{Daemon, Place};
use crate::support::index::Index;
use crate::support::mount::Mount;

const LIMIT: Duration = Duration::from_secs(30);

/// A disk that stays where it is, mounted at the storage directory as well.
struct Disk {
    place: Place,
    // Before `_disk`: it is mounted from it.
    mounted: Option<Mount>,
    _disk: Mount,
}

impl Disk {
    /// `None` where mounting isn't permitted.
    fn new(cameras: &str) -> Option<Self> {
        let place = Place::new(cameras);
        let disk = Mount::tmpfs(&place.path("disk"), "64m")?;
        let mut disk = Self {
            place,
            mounted: None,
            _disk: disk,
        };
        disk.mount();
        Some(disk)
    }

    fn mount(&mut self) {
        self.mounted = Some(Mount::bind(&self.at(), &self.place.storage()));
    }

    fn unmount(&mut self) {
        self.mounted = None;
    }

    /// Where it can always be seen.
    fn at(&self) -> PathBuf {
        self.place.path("disk")
    }

    fn uuid(&self) -> String {
        fs::read_to_string(self.at().join("recorder.toml")).expect("an identity")
    }
}

fn wait_until(place: &Place, what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(
            begin.elapsed() < LIMIT,
            "no {what} within {LIMIT:?}; the log:\n{}",
            place.log()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until more than `known` frames are stored; how many there are.
fn wait_for_more(place: &Place, known: usize) -> usize {
    place.wait_for("frames", LIMIT, |index| {
        Some(index.rows_of("gate").len()).filter(|rows| *rows > known)
    })
}

fn stop(daemon: Daemon, place: &Place) {
    let status = daemon
        .stop(Duration::from_secs(10))
        .expect("a stop in time");
    assert!(status.success(), "{}", place.log());
}

fn entries(directory: &Path) -> usize {
    fs::read_dir(directory).expect("a directory").count()
}

/// Every row of the index points at a picture.
fn assert_all_there(place: &Place) -> Index {
    let index = place.index().expect("an index");
    for (row, payload) in index.frames_of("gate") {
        assert!(
            payload.starts_with(&[0xff, 0xd8]) && payload.ends_with(&[0xff, 0xd9]),
            "{row:?}"
        );
    }
    index
}

#[test]
fn check_refuses_a_read_only_disk_as_the_recorder_does() {
    let place = Place::new("[cameras.gate]\nurl = \"http://127.0.0.1:1/\"\n");
    let Some(disk) = Mount::tmpfs(&place.storage(), "64m") else {
        return;
    };
    assert_eq!(place.command(&["check"]).status.code(), Some(0));
    disk.remount("ro");
    for command in ["check", "run"] {
        let output = place.command(&[command]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command}: {said}");
        assert!(
            said.contains("read-only") || said.contains("Read-only"),
            "{said}"
        );
        assert!(said.contains("mount it read-write"), "{command}: {said}");
    }
}

#[test]
fn unmounted_disk_is_told_and_waited_for_and_nothing_is_written_below_it() {
    let camera = Camera::start(Listen::plainly(60), live(50));
    let Some(mut disk) = Disk::new(&camera.section("gate", "/")) else {
        return;
    };
    let mut daemon = disk.place.run();
    let mut known = wait_for_more(&disk.place, 10);
    for _ in 0..2 {
        disk.unmount();
        wait_until(&disk.place, "alarm", || {
            let health = disk.place.health();
            health.starts_with("HTTP/1.0 503")
                && health.contains("is not mounted")
                && health.contains(r#""cameras":1,"#)
        });
        wait_until(&disk.place, "status", || {
            let status = disk.place.get("/api/status");
            status.contains(r#""reason":"no_storage""#)
        });
        let status = disk.place.get("/api/status");
        assert!(!status.contains(r#":"disk_full""#), "{status}");
        assert_eq!(entries(&disk.place.storage()), 0, "the bare mount point");
        disk.mount();
        known = wait_for_more(&disk.place, known);
        wait_until(&disk.place, "health", || {
            disk.place.health().starts_with("HTTP/1.0 200")
        });
    }
    assert!(daemon.ended().is_none(), "it was never restarted");
    stop(daemon, &disk.place);
    let index = assert_all_there(&disk.place);
    let gaps = index.gaps_of("gate");
    let told = gaps
        .iter()
        .filter(|gap| gap.reason == "disk_full" && gap.detail.contains("is not mounted"));
    assert_eq!(told.count(), 2, "{gaps:?}");
    assert!(
        gaps.iter().all(|gap| gap.reason != "recorder_down"),
        "{gaps:?}"
    );
    // What came before the alarm was written to the disk, out of sight.
    let rows = index.rows_of("gate");
    for gap in gaps.iter().filter(|gap| gap.reason == "disk_full") {
        let within = |row: &&_| {
            let row: &crate::support::index::Row = row;
            (gap.started_us + 1..gap.ended_us.expect("an end")).contains(&row.captured_us)
        };
        assert_eq!(rows.iter().find(within), None, "a frame within {gap:?}");
    }
}

#[test]
fn foreign_disk_in_its_place_is_left_alone() {
    let camera = Camera::start(Listen::plainly(61), live(50));
    let Some(mut disk) = Disk::new(&camera.section("gate", "/")) else {
        return;
    };
    let daemon = disk.place.run();
    let known = wait_for_more(&disk.place, 10);
    disk.unmount();
    let Some(foreign) = Mount::tmpfs(&disk.place.storage(), "16m") else {
        return;
    };
    let identity = disk.place.storage().join("recorder.toml");
    fs::write(
        &identity,
        "uuid = \"6f1c0d2e-3a4b-4c5d-8e6f-708192a3b4c5\"\n",
    )
    .expect("room");
    fs::write(disk.place.storage().join("index.db-wal"), "precious").expect("room");
    wait_until(&disk.place, "refusal", || {
        disk.place
            .log()
            .contains("recorder 6f1c0d2e-3a4b-4c5d-8e6f-708192a3b4c5 records here, not")
    });
    assert_eq!(
        entries(&disk.place.storage()),
        2,
        "nothing came, nothing went"
    );
    foreign.unmount();
    disk.mount();
    wait_for_more(&disk.place, known);
    stop(daemon, &disk.place);
    assert_all_there(&disk.place);
}

#[test]
fn disk_that_comes_back_read_only_is_told_until_it_can_be_written() {
    let camera = Camera::start(Listen::plainly(62), live(50));
    let Some(mut disk) = Disk::new(&camera.section("gate", "/")) else {
        return;
    };
    let daemon = disk.place.run();
    let known = wait_for_more(&disk.place, 10);
    disk.unmount();
    wait_until(&disk.place, "alarm", || {
        disk.place.log().contains("is not mounted")
    });
    // Read-only before the recorder sees it: once it has opened a file it can't be made so.
    let aside = disk.place.path("aside");
    let read_only = Mount::bind(&disk.at(), &aside);
    read_only.remount("ro");
    let mounted = Mount::bind(&aside, &disk.place.storage());
    wait_until(&disk.place, "reason", || {
        disk.place.log().contains("Read-only file system")
    });
    assert!(disk.place.health().starts_with("HTTP/1.0 503"));
    assert!(disk.place.log().contains("the disk is read-only"));
    wait_until(&disk.place, "status", || {
        let status = disk.place.get("/api/status");
        status.contains(r#""state":"read_only""#) && status.contains(r#""reason":"read_only""#)
    });
    let check = disk.place.command(&["check"]);
    let noted = String::from_utf8_lossy(&check.stderr);
    assert!(noted.contains("the disk is read-only"), "{noted}");
    mounted.remount("rw");
    disk.mounted = Some(mounted);
    wait_for_more(&disk.place, known);
    stop(daemon, &disk.place);
    assert_all_there(&disk.place);
}

#[test]
fn pinned_disk_that_is_late_is_waited_for_and_waiting_can_be_stopped() {
    let camera = Camera::start(Listen::plainly(63), live(50));
    let section = camera.section("gate", "/");
    let Some(mut disk) = Disk::new(&section) else {
        return;
    };
    let daemon = disk.place.run();
    let known = wait_for_more(&disk.place, 1);
    stop(daemon, &disk.place);
    let uuid = disk.uuid();
    let uuid = uuid
        .lines()
        .find(|line| line.starts_with("uuid"))
        .expect("a uuid");
    assert!(
        disk.place.log().contains(&uuid.replace([' ', '"'], "")),
        "the log names it, so that it can be pinned: {}",
        disk.place.log()
    );
    let storage = disk.place.storage();
    disk.place.write_config(&format!(
        "[storage]\npath = {storage:?}\n{uuid}\n\n[http]\nlisten = \"127.0.0.1:0\"\n\n{section}"
    ));
    disk.unmount();
    for is_stopped in [true, false] {
        fs::write(disk.place.path("log"), "").expect("a writable temporary directory");
        let daemon = disk.place.run();
        wait_until(&disk.place, "refusal", || {
            disk.place.log().contains("does not record here")
        });
        assert!(disk.place.health().starts_with("HTTP/1.0 503"));
        let status = disk.place.get("/api/status");
        assert!(
            status.starts_with("HTTP/1.0 200")
                && status.contains(r#""state":"gone""#)
                && status.contains("does not record here"),
            "{status}"
        );
        assert_eq!(entries(&storage), 0, "the bare mount point");
        if is_stopped {
            stop(daemon, &disk.place);
        } else {
            disk.mount();
            wait_for_more(&disk.place, known);
            stop(daemon, &disk.place);
        }
    }
}

#[test]
fn storage_directory_that_is_renamed_away_and_back_goes_on() {
    let camera = Camera::start(Listen::plainly(64), live(50));
    let place = Place::new(&camera.section("gate", "/"));
    let daemon = place.run();
    let known = wait_for_more(&place, 10);
    let away = place.path("away");
    fs::rename(place.storage(), &away).expect("a directory that can be renamed");
    wait_until(&place, "alarm", || {
        place.log().contains("was deleted or renamed")
    });
    assert!(!place.storage().exists(), "none was made");
    daemon.signal(Signal::HUP);
    let outcome = |word: &str| {
        let told = format!(r#""outcome":"{word}""#);
        place.get("/api/status").contains(&told)
    };
    wait_until(&place, "reload", || outcome("waiting"));
    fs::rename(&away, place.storage()).expect("a directory that can be renamed");
    wait_for_more(&place, known);
    wait_until(&place, "change", || outcome("applied"));
    stop(daemon, &place);
    assert_all_there(&place);
}

#[test]
fn taken_port_is_found_before_the_storage_is_touched() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port();
    let place = Place::new("");
    let storage = place.storage();
    place.write_config(&format!(
        "[storage]\npath = {storage:?}\n[http]\nlisten = \"127.0.0.1:{port}\"\n"
    ));
    let status = place.run().wait(Duration::from_secs(10));
    assert!(!status.expect("an end").success());
    assert!(place.log().contains("can't listen"), "{}", place.log());
    assert!(!storage.exists());
}
