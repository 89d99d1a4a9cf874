//! SIGHUP: only cameras that changed are touched, and a file with an error changes nothing.

use std::collections::HashSet;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::account::assert_all_stored;
use crate::support::camera::{Camera, Listen, live};
use crate::support::daemon::Place;
use crate::support::index::Index;
use crate::support::{free_port, now_us};

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn only_cameras_that_changed_are_reconnected() {
    let [same, changed, removed, added] =
        [1, 2, 3, 4].map(|seed| Camera::start(Listen::plainly(seed), live(50)));
    let place = Place::new(
        &[
            same.section("same", "/"),
            changed.section("changed", "/old"),
            removed.section("removed", "/"),
        ]
        .concat(),
    );
    let daemon = place.run();
    for camera in [&same, &changed, &removed] {
        camera.wait_for_connections(1, LIMIT);
    }
    place.wait_for("frames before the change", LIMIT, |index| {
        (!index.rows_of("changed").is_empty()).then_some(())
    });
    place.configure(
        &[
            same.section("same", "/"),
            changed.section("changed", "/new"),
            added.section("added", "/"),
        ]
        .concat(),
    );
    daemon.signal(Signal::HUP);
    changed.wait_for_connections(2, LIMIT);
    added.wait_for_connections(1, LIMIT);
    place.wait_for("frames of the added camera", LIMIT, |index| {
        (index.rows_of("added").len() >= 10).then_some(())
    });
    let sent_by_removed = removed.journal().sent.len();
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
    for (name, camera) in [("same", &same), ("added", &added)] {
        assert_all_stored(name, &camera.journal(), &index, until_us);
        assert_eq!(camera.journal().most_open, 1, "{name}");
    }
    // What the camera sends while its old connection is being closed is nobody's, so frames of this one are not counted.
    // Of one of them there may be two segments: a minute may have ended.
    let again_us = changed.journal().connected_us[1];
    let (after, before): (Vec<_>, Vec<_>) =
        (index.rows_of("changed").into_iter()).partition(|row| row.received_us >= again_us);
    let [before, after] =
        [before, after].map(|rows| HashSet::<_>::from_iter(rows.into_iter().map(|row| row.path)));
    assert!(before.len() + after.len() <= 3, "{before:?}, {after:?}");
    assert!(
        !before.is_empty() && !after.is_empty() && before.is_disjoint(&after),
        "a changed camera has footage from before and after, in segments of their own: {before:?}, {after:?}"
    );
    assert_eq!(changed.journal().most_open, 1);
    assert_eq!(
        same.journal().connected_us.len(),
        1,
        "an unchanged camera keeps its connection"
    );
    let targets: Vec<_> = changed
        .journal()
        .requests
        .iter()
        .map(|request| request.target().to_owned())
        .collect();
    assert_eq!(targets, ["/old", "/new"]);
    assert!(
        removed.journal().sent.len() <= sent_by_removed + 2,
        "a removed camera is still listened to"
    );
    assert!(
        index
            .gaps()
            .expect("the table gaps")
            .iter()
            .all(|gap| gap.ended_us.is_some())
    );
}

#[test]
fn file_with_an_error_changes_nothing_and_is_named() {
    let camera = Camera::start(Listen::plainly(5), live(50));
    let place = Place::new(&camera.section("gate", "/"));
    let mut daemon = place.run();
    camera.wait_for_connections(1, LIMIT);
    place.configure("[cameras.gate]\nurl = \"http://127.0.0.1:1/\"\nstal_timeout = \"2 s\"\n");
    daemon.signal(Signal::HUP);
    let before = place.wait_for("frames", LIMIT, |index| {
        Some(index.rows_of("gate").len()).filter(|&count| count > 0)
    });
    place.wait_for("more frames", LIMIT, |index| {
        (index.rows_of("gate").len() >= before + 40).then_some(())
    });
    assert!(daemon.ended().is_none(), "{}", place.log());
    assert_eq!(
        camera.journal().connected_us.len(),
        1,
        "the camera was reconnected"
    );
    let log = place.log();
    for word in ["framelog.toml", "stal_timeout", "stall_timeout"] {
        assert!(log.contains(word), "{word} is not in the log:\n{log}");
    }
    assert!(
        daemon
            .stop(Duration::from_secs(10))
            .expect("a stop in time")
            .success(),
        "{}",
        place.log()
    );
}

#[test]
fn camera_that_is_disabled_is_let_go_and_its_gap_says_so() {
    let camera = Camera::start(Listen::plainly(6), live(50));
    let section = camera.section("gate", "/");
    let place = Place::new(&section);
    let daemon = place.run();
    place.wait_for("frames", LIMIT, |index| {
        (!index.rows_of("gate").is_empty()).then_some(())
    });
    place.configure(&format!("{section}enabled = false\n"));
    daemon.signal(Signal::HUP);
    place.wait_for("a gap `disabled`", LIMIT, |index| {
        index
            .gaps_of("gate")
            .into_iter()
            .find(|gap| gap.reason == "disabled" && gap.ended_us.is_none())
    });
    place.configure(&section);
    daemon.signal(Signal::HUP);
    camera.wait_for_connections(2, LIMIT);
    place.wait_for("an end of the gap", LIMIT, |index| {
        index
            .gaps_of("gate")
            .into_iter()
            .find(|gap| gap.reason == "disabled" && gap.ended_us.is_some())
    });
    assert!(
        daemon
            .stop(Duration::from_secs(10))
            .expect("a stop in time")
            .success(),
        "{}",
        place.log()
    );
}

#[test]
fn other_rules_of_retention_are_told_with_what_they_were() {
    let place = Place::new("");
    let configure = |rules: &str| {
        let storage = place.storage();
        place.write_config(&format!(
            "[storage]\npath = {storage:?}\n{rules}\n[http]\nlisten = \"127.0.0.1:0\"\n"
        ));
    };
    let said = |line: &str| {
        let begin = std::time::Instant::now();
        while !place.log().contains(line) {
            assert!(begin.elapsed() < LIMIT, "no {line}: {}", place.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    configure("retain = \"30 days\"");
    let daemon = place.run();
    said(" started cameras=");
    configure("retain = \"7 days\"\nmax_size = \"2 TB\"");
    daemon.signal(Signal::HUP);
    said("what footage may go has changed: retain 30 days → 7 days, max_size none → 2 TB");
    daemon.signal(Signal::HUP);
    let begin = std::time::Instant::now();
    while place.log().matches("configuration applied").count() < 2 {
        assert!(begin.elapsed() < LIMIT, "no reload: {}", place.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(daemon.stop(LIMIT).expect("a stop in time").success());
    assert_eq!(place.log().matches("may go has changed").count(), 1);
}

/// A recorder that `framelog reload` finds.
fn configure(place: &Place, port: u16, cameras: &[String]) {
    place.write_config(&format!(
        "[storage]\npath = {:?}\n\n[http]\nlisten = \"127.0.0.1:{port}\"\n\n{}",
        place.storage(),
        cameras.concat()
    ));
}

/// What `framelog reload` says, and its exit code.
fn reload(place: &Place) -> (String, Option<i32>) {
    let output = place.command(&["reload"]);
    let said = [&*output.stdout, &output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (said, output.status.code())
}

#[test]
fn reload_says_what_changed_and_of_64_cameras_the_others_lose_no_frame() {
    let others: Vec<Camera> = (100..162)
        .map(|seed| Camera::start(Listen::plainly(seed), live(100)))
        .collect();
    let [changed, removed, added] =
        [16, 17, 18].map(|seed| Camera::start(Listen::plainly(seed), live(50)));
    let name = |n: usize| format!("other{n}");
    let with = |more: &[String]| {
        let others = others.iter().enumerate();
        let others = others.map(|(n, camera)| camera.section(&name(n), "/"));
        others.chain(more.iter().cloned()).collect::<Vec<_>>()
    };
    let (place, port) = (Place::new(""), free_port());
    let before = with(&[
        changed.section("changed", "/old"),
        removed.section("removed", "/"),
    ]);
    configure(&place, port, &before);
    let daemon = place.run();
    place.wait_for("frames of all", LIMIT, |index| {
        let has = |name: &str| !index.rows_of(name).is_empty();
        let all = (0..others.len()).all(|n| has(&name(n)));
        (all && has("changed") && has("removed")).then_some(())
    });
    assert_eq!(
        reload(&place),
        (
            "nothing changed: it is recorded as the file says already\n".to_owned(),
            Some(0)
        )
    );

    let off = |camera: &Camera, name| format!("{}enabled = false\n", camera.section(name, "/"));
    let disabled = with(&[changed.section("changed", "/old"), off(&removed, "removed")]);
    let after = with(&[
        changed.section("changed", "/new"),
        added.section("added", "/"),
    ]);
    for (cameras, said) in [
        (&disabled, "reloaded: disabled removed\n"),
        (&before, "reloaded: enabled removed\n"),
        (
            &after,
            "reloaded: added added; removed removed; reconnected changed\n",
        ),
        (
            &before,
            "reloaded: added removed; removed added; reconnected changed\n",
        ),
    ] {
        configure(&place, port, cameras);
        assert_eq!(reload(&place), (said.to_owned(), Some(0)));
    }

    // Nothing of a file with an error is taken up, and who asks later is told.
    let mut wrong = after;
    wrong.push("stal_timeout = \"2 s\"\n".to_owned());
    configure(&place, port, &wrong);
    let (said, code) = reload(&place);
    assert_eq!(code, Some(2), "{said}");
    for word in [
        "framelog.toml:",
        "stal_timeout",
        "nothing changed: the file has errors",
    ] {
        assert!(said.contains(word), "no {word}: {said}");
    }
    configure(&place, port, &before);
    let output = place.command(&["status"]);
    let status = String::from_utf8_lossy(&output.stdout);
    assert!(status.contains("; RELOAD 20"), "{status}");
    assert!(status.contains("nothing changed"), "{status}");
    // A file that doesn't even say where the recorder is.
    place.write_config("[http\n");
    let (said, code) = reload(&place);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("framelog.toml:1:"), "{said}");

    configure(&place, port, &before);
    let enough = |index: &Index| index.rows_of(&name(0)).len() >= 150;
    place.wait_for("frames after it", LIMIT, |index| {
        enough(index).then_some(())
    });
    let until_us = now_us() - 300_000;
    assert!(
        daemon.stop(LIMIT).expect("a stop in time").success(),
        "{}",
        place.log()
    );
    let index = place.index().expect("an index");
    for (n, camera) in others.iter().enumerate() {
        let journal = camera.journal();
        assert_eq!(journal.connected_us.len(), 1, "{}", name(n));
        assert_all_stored(&name(n), &journal, &index, until_us);
    }
    let (said, code) = reload(&place);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no recorder of "), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn all_errors_of_a_file_are_told_wherever_they_stand() {
    let place = Place::new("");
    place.write_config("[storage]\npaht = \"/tmp\"\n[cameras.gate]\nulr = \"http://127.0.0.1/\"\n");
    let (said, code) = reload(&place);
    assert_eq!(code, Some(2), "{said}");
    for key in ["storage.paht", "cameras.gate.ulr"] {
        assert!(said.contains(key), "{key}: {said}");
    }
}
