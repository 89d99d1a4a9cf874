//! A recorder that was killed, and an index that is lost: what the next start makes of the footage.

use std::fs;
use std::time::Duration;

use crate::support::camera::{Camera, Listen, live};
use crate::support::daemon::Place;
use crate::support::index::Row;
use crate::support::now_us;

const LIMIT: Duration = Duration::from_secs(20);
/// Frames are in the file so soon after their arrival, and cameras send theirs at once: with some of the machine's own slowness.
const HANDED_OVER_US: i64 = 250_000 + 250_000;

/// After a start a camera may so long still be sending to the connection before.
const CONNECTED_US: i64 = 200_000;

fn cameras() -> [(&'static str, Camera); 3] {
    [("a", 1), ("b", 2), ("c", 3)]
        .map(|(name, seed)| (name, Camera::start(Listen::plainly(seed), live(40))))
}

fn place(cameras: &[(&str, Camera)]) -> Place {
    Place::new(
        &cameras
            .iter()
            .map(|(name, camera)| camera.section(name, "/"))
            .collect::<String>(),
    )
}

fn wait_for_frames(place: &Place, count: usize) {
    place.wait_for("frames", LIMIT, |index| {
        (index.rows().ok()?.len() >= count).then_some(())
    });
}

/// Where some frames of these cameras were recorded, and nobody records.
fn recorded(cameras: &[(&str, Camera)]) -> Place {
    let place = place(cameras);
    let daemon = place.run();
    wait_for_frames(&place, 100);
    assert!(daemon.stop(LIMIT).expect("a stop").success());
    place
}

fn rows(place: &Place) -> Vec<Row> {
    let mut rows = place.index().expect("an index").rows().expect("rows");
    rows.sort_by(|a, b| (&a.path, a.offset).cmp(&(&b.path, b.offset)));
    rows
}

fn is_made_anew(place: &Place) -> bool {
    place.log().contains("index made anew from the footage")
}

fn remove_index(place: &Place) {
    for name in ["index.db", "index.db-wal", "index.db-shm"] {
        let _ = fs::remove_file(place.storage().join(name));
    }
}

#[test]
fn killed_recorder_loses_no_frame_that_it_had_for_long() {
    let cameras = cameras();
    let place = place(&cameras);
    for round in 1..=4 {
        let began_us = now_us();
        let daemon = place.run();
        place.wait_for("frames of this run", LIMIT, |index| {
            let rows = index.rows().ok()?;
            let new = rows.iter().filter(|row| row.received_us > began_us);
            (new.count() >= 90).then_some(())
        });
        // Before the kill, because the cameras go on.
        let killed_us = now_us();
        drop(daemon); // SIGKILL
        let daemon = place.run();
        place.wait_for("start after the kill", LIMIT, |_| {
            (place.log().matches("started cameras=").count() >= 2 * round).then_some(())
        });
        let index = place.index().expect("an index");
        for (name, camera) in &cameras {
            let stored: Vec<Vec<u8>> = index
                .frames_of(name)
                .into_iter()
                .map(|(_, bytes)| bytes)
                .collect();
            let journal = camera.journal();
            let due: Vec<_> = journal
                .sent
                .iter()
                .filter(|sent| {
                    sent.to_us > began_us + CONNECTED_US && sent.to_us < killed_us - HANDED_OVER_US
                })
                .collect();
            assert!(!due.is_empty());
            for sent in due {
                let copies = stored
                    .iter()
                    .filter(|bytes| sent.shot.accepted.contains(bytes))
                    .count();
                assert_eq!(copies, 1, "{name}: a frame is stored {copies} times");
            }
        }
        assert!(daemon.stop(LIMIT).expect("a stop").success());
    }
}

#[test]
fn deleted_index_comes_back_by_reindex_as_it_was() {
    let place = recorded(&cameras());
    let before = rows(&place);
    remove_index(&place);
    let status = place.command(&["status"]);
    let said = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(
        said.contains("there is footage, but its index (index.db) is missing"),
        "{said}"
    );

    let output = place.command(&["reindex"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    assert!(!said.contains("old index"), "there was none: {said}");
    assert!(
        said.contains(&format!(" files, {} frames, ", before.len())),
        "{said}"
    );
    assert_eq!(rows(&place), before);
    let again = place.command(&["reindex"]);
    let said = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(said.contains("the old index is "), "{said}");
    assert!(said.contains(": nothing of it is lost"), "{said}");
    assert_eq!(rows(&place), before);
}

#[test]
fn reindex_tells_what_the_old_index_had_and_the_footage_has_not() {
    let place = recorded(&cameras());
    let before = rows(&place);
    let gone = &before.first().expect("a row").path;
    let of_it = before.iter().filter(|row| row.path == *gone).count();
    fs::remove_file(place.storage().join(gone)).expect("a file of footage");

    let output = place.command(&["reindex"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    let lost = format!("{of_it} frames of the old index are not in the footage, 1 of its");
    assert!(said.contains(&lost), "not {lost}: {said}");
    assert_eq!(rows(&place).len(), before.len() - of_it);

    let index = place.storage().join("index.db");
    fs::write(index, "no database").expect("a writable index");
    let output = place.command(&["reindex"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("can't be read"), "{said}");
}

#[test]
fn damaged_index_is_set_aside_and_recording_starts_at_once() {
    let cameras = cameras();
    let place = recorded(&cameras);
    let before = rows(&place);
    let index = place.storage().join("index.db");
    let mut bytes = fs::read(&index).expect("an index");
    bytes[..200].fill(0x5A);
    fs::write(&index, bytes).expect("a writable index");

    let daemon = place.run();
    place.wait_for("old and new frames", LIMIT, |index| {
        (index.rows().ok()?.len() >= before.len() + 100 && is_made_anew(&place)).then_some(())
    });
    assert!(daemon.stop(LIMIT).expect("a stop").success());
    let after = rows(&place);
    assert!(before.iter().all(|row| after.contains(row)));
    let log = place.log();
    assert!(log.contains("index is damaged and was set aside"), "{log}");
    let aside = fs::read_dir(place.storage())
        .expect("a storage directory")
        .filter_map(Result::ok)
        .filter(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .starts_with("index.db.before-")
        });
    assert!(aside.count() >= 1);
}

#[test]
fn reindex_beside_a_running_recorder_says_how() {
    let cameras = cameras();
    let place = place(&cameras);
    let daemon = place.run();
    wait_for_frames(&place, 30);
    let refused = place.command(&["reindex"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        said.contains("--at-start") && said.lines().count() == 1,
        "{said}"
    );

    assert!(place.command(&["reindex", "--at-start"]).status.success());
    assert!(daemon.stop(LIMIT).expect("a stop").success());
    let before = rows(&place);
    let daemon = place.run();
    place.wait_for("old and new frames", LIMIT, |index| {
        (index.rows().ok()?.len() >= before.len() + 30 && is_made_anew(&place)).then_some(())
    });
    assert!(daemon.stop(LIMIT).expect("a stop").success());
    let after = rows(&place);
    assert!(before.iter().all(|row| after.contains(row)));
}

#[test]
fn reindex_of_a_place_without_footage_makes_nothing() {
    let place = Place::new("");
    let output = place.command(&["reindex"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no footage"));
    assert!(!place.storage().exists());
}
