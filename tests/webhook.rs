//! Somebody else is told of changes, also one that fails at first, and recording doesn't wait for one that hangs.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::Value;

use crate::support::camera::{Camera, Listen, live};
use crate::support::daemon::Place;
use crate::support::hook;
use crate::support::mount::Mount;

const LIMIT: Duration = Duration::from_secs(60);
const TOKEN: &str = "planted-hook-Sesam-1";
const PATH: &str = "/planted-path-Sesam-2";

fn configure(place: &Place, url: &str, camera: &str) {
    let storage = place.storage();
    place.write_config(&format!(
        "[storage]\npath = {storage:?}\n[http]\nlisten = \"127.0.0.1:0\"\n[webhook]\nurl = {url:?}\ntoken = {TOKEN:?}\n{camera}stall_timeout = \"1 s\"\n"
    ));
}

#[test]
fn a_camera_is_told_lost_and_back_although_the_first_try_fails() {
    let gate = Camera::start(Listen::plainly(71), live(50));
    let section = gate.section("gate", "/");
    let (url, asked) = hook::start(PATH, "500 Internal Server Error");
    let place = Place::new("");
    configure(&place, &url, &section);
    let daemon = place.run();
    place.wait_for("frames", LIMIT, |index| {
        (index.rows_of("gate").len() > 10).then_some(())
    });
    let address = gate.address;
    drop(gate);
    let next = || {
        asked
            .recv_timeout(LIMIT)
            .unwrap_or_else(|_| panic!("not told:\n{}", place.log()))
    };
    let (head, lost) = next();
    assert!(
        head.starts_with(&format!("POST {PATH} HTTP/1.1\r\n")),
        "{head}"
    );
    assert!(
        head.contains(&format!("authorization: Bearer {TOKEN}")),
        "{head}"
    );
    assert_eq!(lost["event"], "camera_lost", "{lost}");
    assert_eq!(lost["camera"], "gate", "{lost}");
    assert_eq!(lost["reason"], "unreachable", "{lost}");
    let (_, again) = next();
    assert_eq!(again, lost, "the same once more");
    let _gate = Camera::start_at(address, Listen::plainly(71), live(50));
    let (_, back) = next();
    assert_eq!(back["event"], "camera_back", "{back}");
    assert_eq!(back["camera"], "gate", "{back}");
    assert!(daemon.stop(LIMIT).expect("a stop in time").success());
    for secret in [TOKEN, PATH] {
        assert!(!place.log().contains(secret), "{}", place.log());
    }
}

#[test]
fn a_disk_that_is_gone_and_back_is_told_once_for_all_its_cameras() {
    let cameras = [("yard", 74), ("gate", 75)]
        .map(|(name, seed)| (name, Camera::start(Listen::plainly(seed), live(50))));
    let sections = cameras
        .each_ref()
        .map(|(name, camera)| camera.section(name, "/"))
        .concat();
    let (url, asked) = hook::start(PATH, "200 OK");
    let place = Place::new("");
    let Some(disk) = Mount::tmpfs(&place.path("disk"), "64m") else {
        return;
    };
    let mount = || Mount::bind(disk.at(), &place.storage());
    let mounted = mount();
    configure(&place, &url, &sections);
    let daemon = place.run();
    let frames = |more_than: [usize; 2]| {
        place.wait_for("frames", LIMIT, |index| {
            let rows = ["gate", "yard"].map(|name| index.rows_of(name).len());
            (rows[0] > more_than[0] && rows[1] > more_than[1]).then_some(rows)
        })
    };
    let next = || {
        let (_, event) = asked
            .recv_timeout(LIMIT)
            .unwrap_or_else(|_| panic!("not told:\n{}", place.log()));
        event
    };
    let known = frames([10; 2]);
    mounted.unmount();
    let lost = next();
    assert_eq!(lost["event"], "storage_lost", "{lost}");
    assert_eq!(lost["camera"], Value::Null, "{lost}");
    assert_eq!(lost["reason"], "no_storage", "{lost}");
    for field in ["detail", "text"] {
        let said = lost[field].as_str().unwrap_or_default();
        assert!(said.contains("is not mounted"), "{lost}");
    }
    // Longer than the last of them may be silent.
    std::thread::sleep(Duration::from_secs(8));
    let _mounted = mount();
    let back = next();
    assert_eq!(back["event"], "storage_back", "{back}");
    assert_eq!(back["recorder"], lost["recorder"], "{back}");
    assert!(back["recorder"].is_string(), "{back}");
    frames(known);
    assert!(daemon.stop(LIMIT).expect("a stop in time").success());
    let more = asked.try_recv();
    assert!(more.is_err(), "told besides: {more:?}");
}

#[test]
fn recording_and_the_end_of_it_do_not_wait_for_one_that_hangs() {
    let (gate, yard) = (
        Camera::start(Listen::plainly(72), live(50)),
        Camera::start(Listen::plainly(73), live(50)),
    );
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", silent.local_addr().expect("an address"));
    let place = Place::new("");
    let sections = format!("{}{}", yard.section("yard", "/"), gate.section("gate", "/"));
    configure(&place, &url, &sections);
    let daemon = place.run();
    place.wait_for("frames", LIMIT, |index| {
        (index.rows_of("gate").len() > 10).then_some(())
    });
    drop(gate);
    let (mut told, _) = silent.accept().expect("a connection");
    let (_, lost) = hook::read(&mut told);
    assert_eq!(lost["camera"], "gate", "{lost}");
    let known = place.index().expect("an index").rows_of("yard").len();
    place.wait_for("frames of the other", LIMIT, |index| {
        (index.rows_of("yard").len() > known + 20).then_some(())
    });
    assert!(daemon.stop(LIMIT).expect("a stop in time").success());
}
