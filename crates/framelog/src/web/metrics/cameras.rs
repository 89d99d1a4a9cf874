//! The metrics of every configured camera, each with the label `camera`.

use std::fmt;

use framelog_store::Counters;
use prometheus_client::registry::Unit;

use super::families::Families;
use crate::status::{Counts, Snapshot};

/// Writes them family by family.
pub fn encode(cameras: &[Snapshot], families: &mut Families<'_>) -> fmt::Result {
    encode_state(cameras, families)?;
    encode_connections(cameras, families)?;
    encode_frames(cameras, families)?;
    encode_times(cameras, families)
}

fn encode_state(cameras: &[Snapshot], families: &mut Families<'_>) -> fmt::Result {
    let enabled = || cameras.iter().filter(|camera| camera.enabled);
    let is_up = |camera: &Snapshot| i64::from(camera.missing().is_none());
    families.gauges(
        "camera_up",
        "Whether footage is being made of the camera; none for a camera that is disabled",
        None,
        enabled().map(|camera| (of(camera), is_up(camera))),
    )?;
    families.gauges(
        "camera_frozen",
        "Whether the camera sends the same picture or time stamp again and again",
        None,
        enabled().map(|camera| (of(camera), i64::from(camera.still.is_some()))),
    )
}

fn encode_connections(cameras: &[Snapshot], families: &mut Families<'_>) -> fmt::Result {
    let counts = |count: fn(&Counts) -> u64| {
        let cameras = cameras.iter();
        cameras.map(move |camera| (of(camera), count(&camera.counts)))
    };
    families.counters(
        "camera_connections",
        "Connections that gave an answer: all but the first are reconnects",
        None,
        counts(|counts| counts.connections),
    )?;
    families.counters(
        "camera_panics",
        "Panics of the camera's task, each a bug in framelog",
        None,
        counts(|counts| counts.panics),
    )
}

fn encode_frames(cameras: &[Snapshot], families: &mut Families<'_>) -> fmt::Result {
    let counted = |count: Count| {
        let cameras = cameras.iter();
        cameras.map(move |camera| (of(camera), count(&camera.stored)))
    };
    for (name, help, unit, count) in COUNTERS {
        families.counters(name, help, unit.then_some(Unit::Bytes), counted(count))?;
    }
    let waiting = cameras.iter();
    families.gauges(
        "camera_frames_waiting",
        "Frames on their way to the disk",
        None,
        waiting.map(|camera| (of(camera), camera.stored.waiting() as f64)),
    )?;
    for (name, help, reasons) in [
        (
            "camera_parts_skipped",
            "Parts that never were frames, by reason",
            SKIPPED,
        ),
        (
            "camera_frames_dropped",
            "Frames that could not be stored, by reason",
            DROPPED,
        ),
    ] {
        let counted = cameras.iter().flat_map(|camera| {
            let reasons = reasons.iter();
            reasons.map(|(reason, count)| {
                let labels = [("camera", &*camera.name), ("reason", reason)];
                (labels, count(&camera.stored))
            })
        });
        families.counters(name, help, None, counted)?;
    }
    Ok(())
}

fn encode_times(cameras: &[Snapshot], families: &mut Families<'_>) -> fmt::Result {
    for (name, help, time) in TIMES {
        let known = cameras
            .iter()
            .filter_map(|camera| Some((of(camera), seconds(time(camera)?))));
        families.gauges(name, help, Some(Unit::Seconds), known)?;
    }
    Ok(())
}

/// Where a number of parts stands, and where a time does.
type Count = fn(&Counters) -> u64;
type Time = fn(&Snapshot) -> Option<i64>;

/// Name, help, whether it is bytes, and where it stands.
const COUNTERS: [(&str, &str, bool, Count); 3] = [
    (
        "camera_parts",
        "What came: stored, skipped, dropped and waiting add up to it",
        false,
        |counters| counters.parts,
    ),
    (
        "camera_frames_stored",
        "Frames in files",
        false,
        |counters| counters.stored_frames,
    ),
    (
        "camera_stored",
        "Bytes of the frames in files",
        true,
        |counters| counters.stored_bytes,
    ),
];

/// A reason, and how often it was.
type Reason = (&'static str, Count);

const SKIPPED: &[Reason] = &[
    ("empty", |counters| counters.skipped_empty),
    ("not_picture", |counters| counters.skipped_not_picture),
    ("torn", |counters| counters.skipped_torn),
    ("too_large", |counters| counters.skipped_too_large),
];

const DROPPED: &[Reason] = &[
    ("disk_slow", |counters| counters.dropped_disk_slow),
    ("disk_full", |counters| counters.dropped_disk_full),
];

/// Name, help, and microseconds where they are known.
const TIMES: [(&str, &str, Time); 3] = [
    (
        "camera_last_frame_timestamp",
        "Capture time of the camera's last frame, since the Unix epoch",
        |camera| camera.last_captured_us,
    ),
    (
        "camera_lag",
        "From the capture of the last frame to its arrival",
        |camera| camera.lag_us,
    ),
    (
        "camera_clock_skew",
        "The camera's clock minus this machine's, where the camera sends the time",
        |camera| camera.skew_us,
    ),
];

fn of(camera: &Snapshot) -> [(&'static str, &str); 1] {
    [("camera", &camera.name)]
}

fn seconds(us: i64) -> f64 {
    us as f64 / 1e6
}
