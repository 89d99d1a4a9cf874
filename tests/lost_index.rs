//! The index is lost or damaged under a running recorder: it is told, recording goes on, and nothing that can be kept is lost.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::camera::{Camera, Listen, live};
use crate::support::daemon::{Place, program};
use crate::support::index::{Gap, Row};

const LIMIT: Duration = Duration::from_secs(30);
/// `PRAGMA page_size` of every index.
const PAGE: usize = 4096;
/// A frame on its way when cameras are disconnected or connected.
const SLACK_US: i64 = 300_000;

fn wait_until(place: &Place, what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        let log = place.log();
        assert!(
            begin.elapsed() < LIMIT,
            "no {what} within {LIMIT:?}:\n{log}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until so many more frames are in the index than it has; all of them.
fn wait_for_more(place: &Place, more: usize) -> Vec<Row> {
    let known = place.index().map_or(0, |index| index.rows_of("gate").len());
    place.wait_for("frames", LIMIT, |index| {
        Some(index.rows_of("gate")).filter(|rows| rows.len() >= known + more)
    })
}

/// Waits until a line was said so often.
fn wait_for_line(place: &Place, line: &str, times: usize) {
    wait_until(place, line, || place.log().matches(line).count() >= times);
}

fn stop(daemon: crate::support::daemon::Daemon, place: &Place) {
    let status = daemon
        .stop(Duration::from_secs(10))
        .expect("a stop in time");
    assert!(status.success(), "{}", place.log());
}

/// Each frame that was sent is stored once, but for those of the gaps.
fn assert_nothing_is_lost(camera: &Camera, place: &Place, from_us: i64, until_us: i64) {
    let index = place.index().expect("an index");
    let stored = index.frames_of("gate");
    let gaps = index.gaps_of("gate");
    let is_in_gap = |at_us: i64| {
        let mut spans = gaps.iter().map(|gap| (gap.started_us, gap.ended_us));
        spans.any(|(from_us, to_us)| {
            (from_us - SLACK_US..=to_us.unwrap_or(i64::MAX) + SLACK_US).contains(&at_us)
        })
    };
    let journal = camera.journal();
    let due = journal
        .sent
        .iter()
        .filter(|sent| (from_us..until_us).contains(&sent.to_us) && !is_in_gap(sent.to_us));
    let mut count = 0;
    for sent in due {
        let of_it = |(_, bytes): &&(Row, Vec<u8>)| sent.shot.accepted.contains(bytes);
        let copies = stored.iter().filter(of_it).count();
        assert_eq!(
            copies, 1,
            "a frame sent at {} is stored {copies} times: {gaps:?}",
            sent.to_us
        );
        count += 1;
    }
    assert!(count > 50, "{count} frames outside of {gaps:?}");
}

#[test]
fn index_that_is_deleted_renamed_or_replaced_while_recording_comes_back_by_itself() {
    let camera = Camera::start(Listen::plainly(80), live(20));
    let place = Place::new(&camera.section("gate", "/"));
    let began_us = crate::support::now_us();
    let daemon = place.run();
    wait_for_more(&place, 50);
    let index = place.storage().join("index.db");
    let backup = place.path("backup.db");
    let losses: [(&str, &dyn Fn()); 5] = [
        ("index.db was deleted", &|| {
            fs::remove_file(&index).expect("an index")
        }),
        ("index.db was deleted", &|| {
            fs::rename(&index, index.with_extension("old")).expect("an index");
            fs::remove_file(place.storage().join("recorder.toml")).expect("an identity");
        }),
        ("index.db was replaced", &|| {
            fs::rename(&backup, &index).expect("a backup")
        }),
        // Whoever reads the index makes another log.
        ("index.db-wal was ", &|| {
            fs::remove_file(place.storage().join("index.db-wal")).expect("a log");
        }),
        ("index.db was deleted", &|| {
            for name in ["index.db", "index.db-wal", "index.db-shm"] {
                fs::remove_file(place.storage().join(name)).expect("a file of the index");
            }
        }),
    ];
    let identity = fs::read(place.storage().join("recorder.toml")).expect("an identity");
    for (round, (line, lose)) in losses.iter().enumerate() {
        fs::copy(&index, &backup).expect("a copy");
        let before = place.index().expect("an index");
        let (rows, gaps) = (before.rows_of("gate"), before.gaps_of("gate"));
        drop(before);
        lose();
        wait_for_line(&place, "recording goes on with an index", round + 1);
        wait_for_line(&place, " started cameras=", round + 2);
        wait_for_line(&place, "index made anew from the footage", round + 1);
        let is_down = |gap: &&Gap| gap.reason == "recorder_down";
        place.wait_for("rows and gap", LIMIT, |index| {
            let gaps = index.gaps_of("gate");
            let is_told = gaps.iter().filter(is_down).count() > round;
            (is_told && index.rows_of("gate").len() > rows.len() + 30).then_some(())
        });
        let log = place.log();
        let told: Vec<_> = log
            .lines()
            .filter(|line| line.contains(" ERROR "))
            .collect();
        assert_eq!(told.len(), round + 1, "one line each: {log}");
        assert!(told[round].contains(line), "{log}");
        let after = place.index().expect("an index");
        let now = after.rows_of("gate");
        let missing: Vec<_> = rows.iter().filter(|row| !now.contains(row)).collect();
        assert!(missing.is_empty(), "{line}: {missing:?}: {log}");
        let closed = |gap: &&Gap| gap.ended_us.is_some();
        let kept = after.gaps_of("gate");
        assert!(
            gaps.iter().filter(closed).all(|gap| kept.contains(gap)),
            "{line}: {gaps:?}, {kept:?}"
        );
        let told = kept.iter().filter(is_down);
        assert!(
            told.clone().count() == round + 1
                && told.clone().all(|gap| gap.detail.contains("index.db")),
            "{kept:?}"
        );
    }
    let until_us = crate::support::now_us() - 2_000_000;
    stop(daemon, &place);
    let log = place.log();
    assert!(
        !log.contains("panicked") && !log.contains(" WARN "),
        "{log}"
    );
    assert_nothing_is_lost(&camera, &place, began_us + 1_000_000, until_us);
    let now = fs::read(place.storage().join("recorder.toml")).expect("an identity");
    assert_eq!(now, identity);
    let verified = place.command(&["verify"]);
    assert!(verified.status.success(), "{verified:?}");
}

#[test]
fn tail_goes_on_with_an_index_that_takes_the_place_of_the_old_one() {
    let camera = Camera::start(Listen::plainly(83), live(20));
    let place = Place::new(&camera.section("gate", "/"));
    let daemon = place.run();
    wait_for_more(&place, 20);
    let heard = place.path("heard");
    let mut tail = program()
        .arg("--config")
        .arg(place.config())
        .args(["tail", "gate"])
        .stdout(fs::File::create(&heard).expect("a writable temporary directory"))
        .spawn()
        .expect("the program starts");
    let hears = |picture: &[u8]| {
        let heard = fs::read(&heard).expect("a file");
        memchr::memmem::find(&heard, picture).is_some()
    };
    // The newest that is stored now is there in the end.
    let follows = |what: &str| {
        let index = place.index().expect("an index");
        let (_, newest) = index.frames_of("gate").pop().expect("frames");
        wait_until(&place, what, || hears(&newest));
    };
    wait_for_more(&place, 20);
    follows("frames of the first index");
    let index = place.storage().join("index.db");
    fs::rename(&index, index.with_extension("old")).expect("an index");
    wait_for_line(&place, "recording goes on with an index", 1);
    wait_for_more(&place, 40);
    follows("frames of the index that the recorder has made");
    stop(daemon, &place);
    assert!(place.command(&["reindex"]).status.success());
    let daemon = place.run();
    wait_for_more(&place, 40);
    follows("frames of the index that reindex has made");
    tail.kill().expect("the child is ours");
    tail.wait().expect("the child is ours");
    let stored = place.index().expect("an index").frames_of("gate");
    let heard = fs::read(&heard).expect("a file");
    let mut heard_times = stored
        .iter()
        .map(|(_, picture)| memchr::memmem::find_iter(&heard, picture).count())
        .skip_while(|&times| times == 0);
    let in_between: Vec<_> = heard_times
        .by_ref()
        .take_while(|&times| times == 1)
        .collect();
    assert!(
        in_between.len() > 80 && heard_times.all(|times| times == 0),
        "each frame once, none left out: {in_between:?}"
    );
    stop(daemon, &place);
}

#[test]
fn index_that_is_cut_short_while_recording_is_made_anew() {
    let camera = Camera::start(Listen::plainly(82), live(20));
    let place = Place::new(&camera.section("gate", "/"));
    let began_us = crate::support::now_us();
    let daemon = place.run();
    wait_for_more(&place, 50);
    // It has been looked at when it is larger than this.
    std::thread::sleep(Duration::from_secs(3));
    let index = fs::File::options()
        .write(true)
        .open(place.storage().join("index.db"))
        .expect("an index");
    index.set_len(0).expect("a file that may be written");
    wait_until(&place, "word of it", || {
        let log = place.log();
        log.contains("index.db was cut short") || log.contains("index is damaged")
    });
    wait_for_line(&place, "index made anew from the footage", 1);
    wait_for_more(&place, 50);
    let until_us = crate::support::now_us() - 2_000_000;
    stop(daemon, &place);
    assert_nothing_is_lost(&camera, &place, began_us + 1_000_000, until_us);
    let verified = place.command(&["verify"]);
    assert!(verified.status.success(), "{verified:?}");
}

/// Damages the fullest page of frames: those of the camera that is no longer recorded.
fn damage_frames(index: &Path) {
    let mut bytes = fs::read(index).expect("an index");
    let cells = |page: &[u8]| u16::from_be_bytes([page[3], page[4]]);
    // https://sqlite.org/fileformat2.html, 1.6: 0x0a is a leaf of an index or of a table without rowid.
    let leaves = (1..bytes.len() / PAGE).filter(|page| bytes[page * PAGE] == 0x0a);
    let fullest = leaves.max_by_key(|page| cells(&bytes[page * PAGE..]));
    bytes[fullest.expect("a leaf") * PAGE] ^= 0x40;
    fs::write(index, bytes).expect("a writable index");
}

#[test]
fn damaged_page_that_recording_does_not_touch_is_found_and_mended_meanwhile() {
    let camera = Camera::start(Listen::plainly(81), live(5));
    let place = Place::new(&camera.section("gate", "/"));
    let daemon = place.run();
    wait_for_more(&place, 600);
    wait_for_line(&place, "index checked: sound", 1);
    stop(daemon, &place);
    let before = place.index().expect("an index").rows().expect("rows");
    damage_frames(&place.storage().join("index.db"));
    let unreadable = place.index().expect("an index").rows();
    assert!(
        unreadable.is_err(),
        "the damage is where nobody looks at a start"
    );

    place.configure(&camera.section("yard", "/"));
    let daemon = place.run();
    wait_for_line(&place, "index checked: sound", 2);
    let after = place.index().expect("an index").rows().expect("rows");
    assert!(
        before.iter().all(|row| after.contains(row)),
        "{}",
        place.log()
    );
    let log = place.log();
    let told: Vec<_> = log
        .lines()
        .filter(|line| line.contains(" ERROR "))
        .collect();
    assert_eq!(told.len(), 1, "{log}");
    assert!(told[0].contains("index.db is damaged"), "{log}");
    place.wait_for("new frames", LIMIT, |index| {
        (index.rows_of("yard").len() > 50).then_some(())
    });
    stop(daemon, &place);
}
