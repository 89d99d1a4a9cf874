//! Cameras that go away and come back: the footage before and after is there, and the gap says why.

use std::time::Duration;

use crate::support::account::assert_all_stored;
use crate::support::camera::{Camera, HEAD, Listen, live, script};
use crate::support::daemon::Place;
use crate::support::now_us;

#[test]
fn stalled_camera_is_reconnected_and_leaves_a_gap() {
    let camera = Camera::start(
        Listen::plainly(1),
        script(async |mut camera| {
            camera.request().await?;
            camera.send(HEAD).await?;
            let frames = if camera.number == 0 { 20 } else { usize::MAX };
            camera.send_live(50, frames).await?;
            camera.hold().await
        }),
    );
    let place = Place::new(&format!(
        "{}stall_timeout = \"2 s\"\n",
        camera.section("gate", "/")
    ));
    let daemon = place.run();
    place.wait_for("frames after the stall", Duration::from_secs(30), |index| {
        (index.rows_of("gate").len() >= 40).then_some(())
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
    let stalls: Vec<_> = index
        .gaps_of("gate")
        .into_iter()
        .filter(|gap| gap.reason == "stalled")
        .collect();
    let [stall] = &stalls[..] else {
        panic!("one stall, one gap: {stalls:?}")
    };
    assert_eq!(
        stall.started_us, rows[19].captured_us,
        "the gap begins with the last frame before it"
    );
    assert_eq!(
        stall.ended_us,
        Some(rows[20].captured_us),
        "the gap ends with the first frame after it"
    );
    assert_ne!(rows[19].path, rows[20].path, "a reconnect begins a segment");
}

#[test]
fn camera_that_is_switched_on_later_is_found() {
    let camera = Camera::start(Listen::plainly(2), live(50));
    let address = camera.address;
    drop(camera);
    let place = Place::new(&format!("[cameras.gate]\nurl = \"http://{address}/\"\n"));
    let daemon = place.run();
    place.wait_for("a gap", Duration::from_secs(20), |index| {
        index
            .gaps_of("gate")
            .into_iter()
            .find(|gap| gap.reason == "unreachable" && gap.ended_us.is_none())
    });
    let late = Camera::start_at(address, Listen::plainly(2), live(50));
    place.wait_for("frames", Duration::from_secs(40), |index| {
        (index.rows_of("gate").len() >= 10).then_some(())
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
    assert_all_stored(
        "gate",
        &late.journal(),
        &place.index().expect("an index"),
        until_us,
    );
}
