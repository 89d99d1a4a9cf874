//! `GET /healthz`: whether every camera that should record does. For programs that look every few seconds; needs no token.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use framelog_core::gap::GapReason;
use serde::Serialize;

use super::answer::json;
use crate::status::{Reason, Snapshot, Status};

/// 200 if all is well, else 503.
pub async fn get(State(status): State<Arc<Status>>) -> Response {
    let snapshots = status.snapshots(Instant::now());
    let no_storage = status.no_storage().map(|no_storage| no_storage.why);
    let health = Health::of(&snapshots, no_storage);
    let code = match health.is_well() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    json(code, &health)
}

/// What `/healthz` says.
#[derive(Debug, PartialEq, Serialize)]
struct Health<'s> {
    /// `ok` or `failing`.
    status: &'static str,
    /// How many cameras should record.
    cameras: usize,
    /// Those that don't.
    failing: Vec<Failing<'s>>,
    /// Those that do, and send the same again and again: to be looked at, no failure.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    frozen: Vec<Frozen<'s>>,
    /// Why none of them does: the storage is not there, or can't be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    storage: Option<String>,
}

/// A camera that should record and doesn't.
#[derive(Debug, PartialEq, Serialize)]
struct Failing<'s> {
    camera: &'s str,
    reason: &'static str,
    detail: &'s str,
    /// Since its last frame, or since it was started if there is none yet.
    silent_s: u64,
}

/// A camera whose frames are stored, and are all the same.
#[derive(Debug, PartialEq, Serialize)]
struct Frozen<'s> {
    camera: &'s str,
    /// `picture` or `stamp`.
    what: &'static str,
    /// Since when, microseconds since the Unix epoch.
    since_us: i64,
}

impl<'s> Health<'s> {
    fn of(snapshots: &'s [Snapshot], no_storage: Option<String>) -> Self {
        let failing: Vec<_> = snapshots
            .iter()
            .filter(|camera| camera.is_failing())
            .map(Failing::of)
            .collect();
        let is_well = failing.is_empty() && no_storage.is_none();
        Self {
            status: if is_well { "ok" } else { "failing" },
            cameras: snapshots
                .iter()
                .filter(|camera| should_record(camera))
                .count(),
            failing,
            frozen: snapshots.iter().filter_map(Frozen::of).collect(),
            storage: no_storage,
        }
    }

    fn is_well(&self) -> bool {
        self.failing.is_empty() && self.storage.is_none()
    }
}

/// Without storage no footage is expected of any camera, but wanted.
fn should_record(camera: &Snapshot) -> bool {
    let disabled = Reason::Gap(GapReason::Disabled);
    let is_disabled = (camera.gap.as_ref()).is_some_and(|gap| gap.reason == disabled);
    camera.is_configured && !is_disabled
}

impl<'s> Frozen<'s> {
    fn of(camera: &'s Snapshot) -> Option<Self> {
        let (what, since_us) = camera
            .still
            .filter(|_| camera.enabled && camera.missing().is_none())?;
        Some(Self {
            camera: &camera.name,
            what: what.name(),
            since_us,
        })
    }
}

impl<'s> Failing<'s> {
    fn of(camera: &'s Snapshot) -> Self {
        let (reason, detail) = camera
            .missing()
            .map_or(("", ""), |(reason, detail)| (reason.name(), detail));
        Self {
            camera: &camera.name,
            reason,
            detail,
            silent_s: camera.silent_for.as_secs(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use framelog_store::{Counters, Still};

    use super::*;
    use crate::status::{Counts, Gap, NoStorage};

    fn camera(name: &str, enabled: bool, silent_s: u64, gap: Option<GapReason>) -> Snapshot {
        Snapshot {
            name: name.to_owned(),
            enabled,
            gap: gap.map(|reason| Gap {
                reason: reason.into(),
                detail: "say \"hi\"".to_owned(),
            }),
            silent_for: Duration::from_secs(silent_s),
            silence_max: Duration::from_secs(15),
            is_configured: true,
            since_us: 0,
            counts: Counts::default(),
            stored: Counters::default(),
            last_captured_us: None,
            skew_us: None,
            lag_us: None,
            rate: None,
            still: None,
            losing: None,
        }
    }

    fn health(snapshots: &[Snapshot]) -> String {
        serde_json::to_string(&Health::of(snapshots, None)).unwrap()
    }

    #[test]
    fn all_is_well_when_every_enabled_camera_has_stored_a_frame_of_late() {
        let snapshots = [
            camera("gate", true, 1, None),
            camera("new", true, 15, Some(GapReason::Starting)),
            camera("off", false, 9_999, Some(GapReason::Disabled)),
        ];
        assert_eq!(
            health(&snapshots),
            r#"{"status":"ok","cameras":2,"failing":[]}"#
        );
    }

    #[test]
    fn camera_that_does_not_record_is_listed_with_its_reason() {
        let snapshots = [
            camera("a", true, 16, Some(GapReason::Unreachable)),
            camera("b", true, 20, None),
        ];
        assert_eq!(
            health(&snapshots),
            concat!(
                r#"{"status":"failing","cameras":2,"failing":["#,
                r#"{"camera":"a","reason":"unreachable","detail":"say \"hi\"","silent_s":16},"#,
                r#"{"camera":"b","reason":"disk_slow","detail":"no frame has reached the disk","silent_s":20}]}"#
            )
        );
    }

    #[test]
    fn a_frozen_camera_is_listed_and_no_failure() {
        let frozen = |name: &str, enabled, gap| Snapshot {
            still: Some((Still::Picture, 7)),
            ..camera(name, enabled, 1, gap)
        };
        let snapshots = [
            frozen("still", true, None),
            frozen("lost", true, Some(GapReason::Disconnected)),
            frozen("off", false, Some(GapReason::Disabled)),
        ];
        assert_eq!(
            health(&snapshots),
            concat!(
                r#"{"status":"ok","cameras":2,"failing":[],"#,
                r#""frozen":[{"camera":"still","what":"picture","since_us":7}]}"#
            )
        );
    }

    #[test]
    fn cameras_that_should_record_are_counted_while_the_storage_is_gone() {
        let gone = |name: &str| Snapshot {
            enabled: false,
            gap: Some(Gap {
                reason: Reason::NoStorage,
                detail: String::new(),
            }),
            ..camera(name, true, 1, None)
        };
        let removed = Snapshot {
            is_configured: false,
            ..gone("removed")
        };
        let off = camera("off", false, 1, Some(GapReason::Disabled));
        let snapshots = [gone("gate"), off, removed, gone("yard")];
        assert_eq!(Health::of(&snapshots, Some(String::new())).cameras, 2);
    }

    #[tokio::test]
    async fn storage_that_is_not_there_is_told_without_any_camera() {
        let status = Arc::<Status>::default();
        let why = "/srv is not mounted".to_owned();
        status.set_no_storage(Some(NoStorage {
            why: why.clone(),
            reason: Reason::NoStorage,
        }));
        let response = get(State(status)).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            serde_json::to_string(&Health::of(&[], Some(why))).unwrap(),
            r#"{"status":"failing","cameras":0,"failing":[],"storage":"/srv is not mounted"}"#
        );
    }
}
