//! Three cameras are recorded: each frame is on the disk once, byte for byte, and its row finds it.

use std::process::Command;
use std::time::Duration;

use crate::support::account::assert_all_stored;
use crate::support::camera::{Camera, Listen, live};
use crate::support::daemon::Place;
use crate::support::index::Index;
use crate::support::media::probed_frames;
use crate::support::now_us;

/// Records three cameras for some seconds and stops.
fn recorded() -> (Place, Vec<(&'static str, Camera)>, i64) {
    let cameras: Vec<_> = ["front-door", "gate", "yard"]
        .into_iter()
        .zip(1..)
        .map(|(name, seed)| {
            (
                name,
                Camera::start(Listen::plainly(seed), live(40 + 30 * seed)),
            )
        })
        .collect();
    let place = Place::new(
        &cameras
            .iter()
            .map(|(name, camera)| camera.section(name, "/?action=stream"))
            .collect::<String>(),
    );
    let daemon = place.run();
    place.wait_for("footage of each camera", Duration::from_secs(20), |index| {
        cameras
            .iter()
            .all(|(name, _)| index.rows_of(name).len() >= 30)
            .then_some(())
    });
    let until_us = now_us() - 300_000;
    assert!(
        daemon
            .stop(Duration::from_secs(10))
            .expect("a stop in time")
            .success(),
        "{}",
        place.log()
    );
    (place, cameras, until_us)
}

#[test]
fn every_frame_is_stored_and_found_by_its_row() {
    let (place, cameras, until_us) = recorded();
    let index = place.index().expect("an index");
    for (name, camera) in &cameras {
        assert_all_stored(name, &camera.journal(), &index, until_us);
    }
    rows_are_as_documented(&index);
    segments_are_media(&place, &index);
    shell_finds_the_frame(&place, &index);
    files_are_where_they_belong(&place, &index);
}

fn rows_are_as_documented(index: &Index) {
    for row in index.rows().expect("the view footage") {
        let seconds =
            chrono::DateTime::parse_from_rfc3339(&row.captured).expect("RFC 3339 in `captured`");
        assert_eq!(seconds.timestamp_micros(), row.captured_us);
        assert!(row.captured.ends_with('Z'), "{} is not UTC", row.captured);
        let lag_us = row.received_us - row.captured_us;
        assert!(
            (0..3_000_000).contains(&lag_us),
            "received {lag_us} us after it was captured"
        );
    }
    let gaps = index.gaps().expect("the table gaps");
    assert!(gaps.iter().all(|gap| gap.reason == "starting"), "{gaps:?}");
    assert!(
        gaps.iter()
            .all(|gap| gap.ended_us.is_some_and(|end| end >= gap.started_us)),
        "{gaps:?}"
    );
}

fn segments_are_media(place: &Place, index: &Index) {
    let segments = index.segments().expect("the table segments");
    assert!(segments.len() >= 3);
    for segment in segments {
        assert_eq!(segment.state, "closed", "{segment:?}");
        let rows = index
            .rows_of(&segment.camera)
            .into_iter()
            .filter(|row| row.path == segment.path)
            .count();
        assert_eq!(i64::try_from(rows), Ok(segment.frames), "{segment:?}");
        assert_eq!(
            probed_frames(&place.storage().join(&segment.path)),
            rows,
            "{segment:?}"
        );
    }
}

/// As the documentation tells people to do it.
fn shell_finds_the_frame(place: &Place, index: &Index) {
    for row in index.rows().expect("the view footage").iter().step_by(17) {
        let (start, length, path) = (row.offset + 1, row.length, &row.path);
        let cut = Command::new("sh")
            .args(["-c", &format!("tail -c +{start} {path} | head -c {length}")])
            .current_dir(place.storage())
            .output()
            .expect("a shell");
        assert_eq!(cut.stdout, index.payload(row).expect("the frame's bytes"));
    }
}

fn files_are_where_they_belong(place: &Place, index: &Index) {
    for row in index.rows().expect("the view footage") {
        let parts: Vec<_> = row.path.split('/').collect();
        let [footage, camera, date, file] = parts[..] else {
            panic!("{} is not footage/camera/date/file", row.path)
        };
        assert_eq!((footage, camera), ("footage", row.camera.as_str()));
        assert!(
            date.len() == 10 && row.captured.starts_with(&date[..4]),
            "{}",
            row.path
        );
        assert!(
            file.ends_with("Z.mjpeg") && file.len() == "HHMMSS.uuuuuuZ.mjpeg".len(),
            "{}",
            row.path
        );
    }
    let storage = place.storage();
    assert!(storage.join("recorder.toml").is_file() && storage.join("recorder.lock").is_file());
}

#[test]
fn a_file_for_each_frame_when_asked_for() {
    let camera = Camera::start(Listen::plainly(9), live(50));
    let place = Place::new("");
    let storage = place.storage();
    let section = camera.section("gate", "/");
    place.write_config(&format!("[storage]\npath = {storage:?}\nlayout = \"files\"\n[http]\nlisten = \"127.0.0.1:0\"\n{section}"));
    let daemon = place.run();
    place.wait_for("20 frames", Duration::from_secs(20), |index| {
        (index.rows_of("gate").len() >= 20).then_some(())
    });
    let until_us = now_us() - 300_000;
    assert!(
        daemon
            .stop(Duration::from_secs(10))
            .expect("a stop in time")
            .success(),
        "{}",
        place.log()
    );
    let index = place.index().expect("an index");
    assert_all_stored("gate", &camera.journal(), &index, until_us);
    let rows = index.rows_of("gate");
    let pictures = place
        .files()
        .iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "jpg"))
        .count();
    assert_eq!(pictures, rows.len());
    for row in rows {
        let whole = std::fs::read(storage.join(&row.path)).expect("the file of the row");
        assert_eq!(
            (row.offset, row.length),
            (0, i64::try_from(whole.len()).expect("a small file"))
        );
    }
}
