//! What goes by which rule, what stays, and a full disk: the whole daemon, with footage small enough to see it happen.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use rustix::process::Signal;

use crate::support::camera::{Camera, Clock, HEAD, Listen, Script, Shot, live, script};
use crate::support::daemon::{Daemon, Place};
use crate::support::index::{Index, Removal};
use crate::support::{now_us, seconds};

const LIMIT: Duration = Duration::from_secs(30);

/// Configures a camera `gate` and these keys of `[storage]`.
fn configure(place: &Place, camera: &Camera, storage: &Path, keys: &str) {
    let section = camera.section("gate", "/");
    place.write_config(&format!(
        "[storage]\npath = {storage:?}\nsegment = \"1 s\"\nmin_free = \"1 B\"\n{keys}\n[http]\nlisten = \"127.0.0.1:0\"\n{section}"
    ));
}

fn stop(place: &Place, daemon: Daemon) {
    let status = daemon.stop(Duration::from_secs(10));
    assert!(status.expect("a stop in time").success(), "{}", place.log());
}

fn text(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said.into_owned()
}

/// Every row has its bytes, every file has its rows.
fn assert_whole(place: &Place, index: &Index) {
    let segments = index.segments().expect("the table segments");
    let frames = index.frames_of("gate").len();
    let counted: i64 = segments.iter().map(|segment| segment.frames).sum();
    assert_eq!(i64::try_from(frames), Ok(counted));
    let media = |path: &PathBuf| {
        path.extension()
            .is_some_and(|extension| extension == "mjpeg")
    };
    let files = place.files().iter().filter(|path| media(path)).count();
    assert_eq!(files, segments.len());
}

/// What comes from now on is recorded too, and nothing was dropped since the start.
fn assert_goes_on_without_a_loss(place: &Place, camera: &Camera, daemon: Daemon) {
    let sent = camera.journal().sent.len();
    place.wait_for("frames that came after that", LIMIT, |index| {
        let newest = index.rows_of("gate").last()?.captured_us;
        let sent = camera.journal().sent.get(sent)?.from_us;
        (newest >= sent).then_some(())
    });
    stop(place, daemon);
    let gaps = place.index().expect("an index").gaps_of("gate");
    let log = place.log();
    assert!(
        gaps.iter().all(|gap| gap.reason != "disk_full"),
        "{gaps:?}\n{log}"
    );
    assert!(log.contains("disk_full=0"), "{log}");
}

fn removals_by(index: &Index, rule: &str) -> Vec<Removal> {
    let removals = index.removals().unwrap_or_default();
    removals
        .into_iter()
        .filter(|removal| removal.rule == rule)
        .collect()
}

#[test]
fn max_size_is_kept_within_a_segment_and_find_says_why_footage_is_gone() {
    let camera = Camera::start(Listen::plainly(31), live(20));
    let place = Place::new("");
    configure(&place, &camera, &place.storage(), "max_size = \"300 kB\"");
    let daemon = place.run();
    place.wait_for("five removed segments", LIMIT, |index| {
        removals_by(index, "max_size")
            .iter()
            .any(|removal| removal.segments >= 5)
            .then_some(())
    });
    stop(&place, daemon);
    let index = place.index().expect("an index");
    assert_whole(&place, &index);
    let bytes: Vec<i64> = index
        .segments()
        .expect("the table segments")
        .iter()
        .map(|segment| segment.bytes)
        .collect();
    let (total, largest) = (
        bytes.iter().sum::<i64>(),
        bytes.iter().max().copied().unwrap_or(0),
    );
    assert!(total <= 300_000 + largest, "{bytes:?}");
    assert!(
        total > 300_000 - 2 * largest,
        "more is gone than had to be: {bytes:?}"
    );
    let removed = &removals_by(&index, "max_size")[0];
    assert!(
        removed.ended_us < index.rows_of("gate")[0].captured_us,
        "the oldest go first"
    );
    assert_eq!(camera.journal().connected_us.len(), 1);

    let listed = text(&place.command(&["find", "gate"]));
    assert!(listed.contains("removed by max_size: "), "{listed}");
    let json = text(&place.command(&["find", "gate", "--json"]));
    let removal = json
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a JSON object"))
        .find(|item| item["kind"] == "removal")
        .expect("a removal");
    assert_eq!(removal["frames"].as_i64(), Some(removed.frames));
}

#[test]
fn rules_count_after_a_reload_and_protected_footage_outlives_them() {
    let camera = Camera::start(Listen::plainly(32), live(50));
    let place = Place::new("");
    configure(&place, &camera, &place.storage(), "");
    let daemon = place.run();
    place.wait_for("four segments", LIMIT, |index| {
        (index.segments().ok()?.len() >= 4).then_some(())
    });
    let rows = place.index().expect("an index").rows_of("gate");
    let kept = &rows[rows.len() / 2];
    let at = kept.captured.as_str();
    let span = [
        "protect",
        "gate",
        "--from",
        "2099-01-01",
        "--to",
        "2099-01-02",
    ];
    let coming = text(&place.command(&span));
    assert!(coming.contains("no footage yet, protected"), "{coming}");
    let past = span.map(|word| {
        word.strip_prefix("2099")
            .map_or(word.to_owned(), |date| format!("2009{date}"))
    });
    let refused = place.command(&past.each_ref().map(String::as_str));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("nothing to protect"),
        "{said}"
    );
    let earlier = &rows[rows.len() / 2 - 1].captured;
    let said = text(&place.command(&[
        "protect", "gate", "--from", earlier, "--to", at, "--note", "the van",
    ]));
    assert!(
        said.starts_with("2  gate  ") && said.contains("% of the disk), protected: the van"),
        "{said}"
    );
    assert_eq!(
        text(&place.command(&["protect"])).lines().count(),
        3,
        "two and their sum"
    );

    configure(&place, &camera, &place.storage(), "retain = \"1 s\"");
    daemon.signal(Signal::HUP);
    place.wait_for(
        "removals before and after what is protected",
        LIMIT,
        |index| {
            let removed = removals_by(index, "retain");
            (removed
                .iter()
                .any(|removal| removal.ended_us < kept.captured_us)
                && removed
                    .iter()
                    .any(|removal| removal.started_us > kept.captured_us))
            .then_some(())
        },
    );
    let index = place.index().expect("an index");
    assert!(
        index.rows_of("gate").contains(kept),
        "protected footage is gone"
    );
    assert!(!index.rows_of("gate").contains(&rows[0]));
    assert!(
        !place.log().contains("restart framelog to apply"),
        "{}",
        place.log()
    );
    assert_eq!(
        camera.journal().connected_us.len(),
        1,
        "other rules are no reason to reconnect"
    );

    let at = &rows[0].captured;
    let picture = place.path("picture.jpg").display().to_string();
    let output = place.command(&["frame", "gate", at, "-o", &picture]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("the footage of then is gone, removed by retain: "),
        "{said}"
    );
    let output = place.command(&["frame", "gate", &kept.captured, "-o", &picture]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("exactly then") && !said.contains("gone"),
        "{said}"
    );

    let output = place.command(&["unprotect", "gate"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(2)
            && said.contains("\"gate\" is not the number")
            && said.contains("\nframelog: 2  gate  "),
        "{said}"
    );
    let gone = text(&place.command(&["unprotect", "2"]));
    assert!(gone.contains("not protected any more"), "{gone}");
    assert_eq!(place.command(&["unprotect", "2"]).status.code(), Some(1));
    place.wait_for("its removal", LIMIT, |index| {
        (!index.rows_of("gate").contains(kept)).then_some(())
    });
    stop(&place, daemon);
    assert_whole(&place, &place.index().expect("an index"));
}

#[test]
fn a_disk_that_others_fill_goes_on_being_recorded_on() {
    let place = Place::new("");
    let disk = place.path("storage");
    fs::create_dir(&disk).expect("a writable temporary directory");
    let Some(_mounted) = Tmpfs::mount(&disk) else {
        return;
    };
    let camera = Camera::start(Listen::plainly(33), large(20));
    configure(&place, &camera, &disk, "");
    let daemon = place.run();
    let bytes = |index: &Index| {
        index
            .segments()
            .unwrap_or_default()
            .iter()
            .map(|segment| segment.bytes)
            .sum::<i64>()
    };
    place.wait_for("2 MB of footage", LIMIT, |index| {
        (bytes(index) > 2_000_000).then_some(())
    });
    fill(&disk.join("others"));
    place.wait_for("the oldest footage to make room, twice", LIMIT, |index| {
        let removed = removals_by(index, "disk_full");
        (removed.iter().map(|removal| removal.bytes).sum::<i64>() > 600_000).then_some(())
    });
    assert_goes_on_without_a_loss(&place, &camera, daemon);
    let index = place.index().expect("an index");
    assert_whole(&place, &index);
}

#[test]
fn a_disk_without_room_for_more_files_goes_on_being_recorded_on() {
    let place = Place::new("");
    let disk = place.path("storage");
    fs::create_dir(&disk).expect("a writable temporary directory");
    let Some(_mounted) = Tmpfs::mount_with(&disk, "size=64m,nr_inodes=150") else {
        return;
    };
    let camera = Camera::start(Listen::plainly(36), large(20));
    configure(&place, &camera, &disk, "layout = \"files\"");
    let daemon = place.run();
    place.wait_for("the oldest footage to make room, twice", LIMIT, |index| {
        let removed = removals_by(index, "disk_full");
        (removed.iter().map(|removal| removal.frames).sum::<i64>() > 100).then_some(())
    });
    assert_goes_on_without_a_loss(&place, &camera, daemon);
    let index = place.index().expect("an index");
    let pictures = |path: &PathBuf| path.extension().is_some_and(|end| end == "jpg");
    assert_eq!(
        place.files().iter().filter(|path| pictures(path)).count(),
        index.rows_of("gate").len()
    );
}

#[test]
fn a_full_disk_of_protected_footage_is_told_and_recorded_on_as_soon_as_it_is_unprotected() {
    let place = Place::new("");
    let disk = place.path("storage");
    fs::create_dir(&disk).expect("a writable temporary directory");
    let Some(_mounted) = Tmpfs::mount(&disk) else {
        return;
    };
    let camera = Camera::start(Listen::plainly(34), large(20));
    configure(&place, &camera, &disk, "");
    let daemon = place.run();
    place.wait_for("2 MB of footage", LIMIT, |index| {
        (index.rows_of("gate").len() > 100).then_some(())
    });
    let all = ["--from", "2020-01-01", "--to", "2100-01-01"];
    text(&place.command(&[&["protect", "gate"], &all[..]].concat()));
    let others = disk.join("others");
    fill(&others);
    // The gap is in the index, which is written though the disk is full, and it is open.
    let dropping = |index: &Index| {
        let gaps = index.gaps_of("gate");
        let last = gaps.last().filter(|gap| gap.reason == "disk_full")?;
        last.ended_us.is_none().then_some(())
    };
    place.wait_for("gap", LIMIT, dropping);
    let health = place.health();
    assert!(
        health.starts_with("HTTP/1.0 503") && health.contains("disk_full"),
        "{health}"
    );
    let rows = place.index().expect("an index").rows_of("gate").len();
    // Whoever is told so can protect more, and less.
    let more = ["--from", "2098-01-01", "--to", "2098-01-02"];
    text(&place.command(&[&["protect", "gate"], &more[..]].concat()));
    std::thread::sleep(Duration::from_secs(6));
    place.wait_for("gap that is still open", LIMIT, dropping);
    let log = place.log();
    assert!(!log.contains("written again"), "{log}");
    assert!(!log.contains("index could not be written"), "{log}");
    assert_eq!(log.matches("no footage may go").count(), 1, "{log}");
    for id in ["1", "2"] {
        let said = text(&place.command(&["unprotect", id]));
        assert!(said.contains("not protected any more"), "{said}");
    }
    place.wait_for("frames after the gap", LIMIT, |index| {
        let gap = index.gaps_of("gate").pop()?;
        let newest = index.rows_of("gate").pop()?.captured_us;
        (gap.ended_us? < newest).then_some(())
    });
    let kept = place.index().expect("an index").rows_of("gate");
    assert!(kept.len() < rows + 100, "the oldest went: {}", kept.len());
    place.wait_for("calm in the log", LIMIT, |_| {
        place
            .log()
            .contains("footage is written again")
            .then_some(())
    });
    stop(&place, daemon);
    assert_whole(&place, &place.index().expect("an index"));
}

#[test]
fn a_recorder_that_finds_the_disk_full_and_nothing_that_may_go_waits_for_room() {
    let place = Place::new("");
    let disk = place.path("storage");
    fs::create_dir(&disk).expect("a writable temporary directory");
    let Some(_mounted) = Tmpfs::mount(&disk) else {
        return;
    };
    let camera = Camera::start(Listen::plainly(35), large(20));
    configure(&place, &camera, &disk, "");
    let daemon = place.run();
    place.wait_for("footage", LIMIT, |index| {
        (index.rows_of("gate").len() > 20).then_some(())
    });
    let all = ["--from", "2020-01-01", "--to", "2100-01-01"];
    text(&place.command(&[&["protect", "gate"], &all[..]].concat()));
    stop(&place, daemon);
    let rows = place.index().expect("an index").rows_of("gate");
    // Nothing is kept for the index.
    fs::remove_file(disk.join("reserve")).expect("a reserve");
    for left in ["index.db-wal", "index.db-shm"] {
        // Whoever reads the index at the end may leave them, with nothing in the log.
        let left = disk.join(left);
        assert!(
            !left.ends_with("index.db-wal") || fs::metadata(&left).map_or(0, |log| log.len()) == 0
        );
        let _ = fs::remove_file(left);
    }
    let others = disk.join("others");
    fill(&others);
    fs::write(place.path("log"), "").expect("a writable temporary directory");
    let mut daemon = place.run();
    let begin = std::time::Instant::now();
    while !(place.health().contains("is full") && place.log().contains("nothing is recorded")) {
        assert!(begin.elapsed() < LIMIT, "{}", place.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(place.health().starts_with("HTTP/1.0 503"));
    std::thread::sleep(Duration::from_secs(3));
    let log = place.log();
    assert_eq!(log.matches("ERROR").count(), 1, "one line: {log}");
    assert!(daemon.ended().is_none(), "{log}");
    fs::remove_file(&others).expect("it is there");
    place.wait_for("frames", LIMIT, |index| {
        (index.rows_of("gate").len() > rows.len()).then_some(())
    });
    stop(&place, daemon);
    let index = place.index().expect("an index");
    assert_eq!(index.rows_of("gate")[..rows.len()], rows);
    let gaps = index.gaps_of("gate");
    let told = |gap: &&crate::support::index::Gap| {
        gap.reason == "disk_full" && gap.detail.contains("found the disk full")
    };
    assert_eq!(gaps.iter().filter(told).count(), 1, "{gaps:?}");
    assert_whole(&place, &index);
}

/// Writes until nothing more goes in.
fn fill(path: &Path) {
    let mut file = File::create(path).expect("room for a file");
    for size in [1 << 16, 1 << 12, 1] {
        while file.write(&vec![7; size]).is_ok_and(|written| written > 0) {}
    }
}

/// A stream of pictures of 20 kB.
fn large(period_ms: u64) -> Script {
    script(move |mut camera| async move {
        camera.request().await?;
        camera.send(HEAD).await?;
        loop {
            let jpeg = camera.jpeg().entropy(20_000).bytes();
            let stamp = now_us();
            let (length, time) = (jpeg.len(), seconds(stamp));
            let head = format!(
                "--camframe\r\nContent-Type: image/jpeg\r\nContent-Length: {length}\r\nX-Timestamp: {time}\r\n\r\n"
            );
            let part = [head.as_bytes(), &jpeg, b"\r\n"].concat();
            camera
                .deliver(part, Shot::new(&jpeg).at(Clock::Camera(stamp)))
                .await?;
            camera.wait(period_ms).await;
        }
    })
}

/// A small file system in memory.
struct Tmpfs<'p>(&'p Path);

impl<'p> Tmpfs<'p> {
    /// `None`, and said, where that is not permitted.
    fn mount(path: &'p Path) -> Option<Self> {
        Self::mount_with(path, "size=16m")
    }

    fn mount_with(path: &'p Path, options: &str) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(path)
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(path));
        }
        eprintln!("skipped: this needs the right to mount a tmpfs");
        None
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        // Whoever still uses it keeps it until then.
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}
