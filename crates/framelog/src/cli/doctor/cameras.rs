//! Do the cameras give pictures? By what the recorder says of them or, without one, by asking them. Not for what they send: that is `probe`.

use framelog_core::gap::GapReason;
use tokio::task::JoinSet;

use super::finding::Finding;
use crate::cli::check::{Outcome, first_picture};
use crate::config::Camera;
use crate::report::{self, Report, State};

const CHECK: &str = "camera";
/// Where the package puts it; in the repository it is docs/troubleshooting.md.
const EXPLAINED: &str = "/usr/share/doc/framelog/docs/troubleshooting.md";

/// As the running recorder has them: a second connection is more than some cameras have.
pub fn recorded(report: &Report) -> Vec<Finding> {
    report.cameras.iter().map(judge_recorded).collect()
}

fn judge_recorded(camera: &report::Camera) -> Finding {
    let name = &camera.name;
    match camera.state {
        State::Disabled => Finding::ok(CHECK, format!("{name} is disabled")),
        State::Recording => Finding::ok(CHECK, format!("{name} is recorded")),
        State::Frozen => Finding::warning(
            CHECK,
            format!("{name} sends the same picture again and again"),
            "restart the camera",
        ),
        State::Missing | State::Down => {
            let reason = camera.reason.as_deref().unwrap_or("unknown");
            let detail = camera.detail.as_deref().unwrap_or_default();
            match GapReason::from_name(reason) {
                Some(GapReason::Starting) => {
                    let does = match detail {
                        "" => " is being connected".to_owned(),
                        _ => format!(": {detail}"),
                    };
                    Finding::warning(CHECK, name.to_owned() + &does, "look again soon")
                }
                _ => judge_failure(name, reason, detail),
            }
        }
    }
}

/// Connects to all that are enabled, at the same time.
pub async fn reached(cameras: &[Camera]) -> Vec<Finding> {
    let mut tries = JoinSet::new();
    for camera in cameras.iter().filter(|camera| camera.enabled).cloned() {
        tries.spawn(async move { judge_outcome(&camera.name, first_picture(&camera).await) });
    }
    let mut found = tries.join_all().await;
    found.sort_by(|a, b| a.says.cmp(&b.says));
    found
}

fn judge_outcome(name: &str, outcome: Outcome) -> Finding {
    match outcome {
        Outcome::Picture { after_ms, .. } => {
            Finding::ok(CHECK, format!("{name} gave a picture after {after_ms} ms"))
        }
        Outcome::Failure { reason, detail } => judge_failure(name, reason, &detail),
    }
}

fn judge_failure(name: &str, reason: &str, detail: &str) -> Finding {
    let says = [name, reason, detail];
    let says: Vec<&str> = says.into_iter().filter(|word| !word.is_empty()).collect();
    let remedy = match GapReason::from_name(reason) {
        // The store's own names for a disk that takes nothing are no reasons of the index.
        None | Some(GapReason::DiskFull | GapReason::DiskSlow) => {
            format!("see to the disk; {EXPLAINED} says what each reason means")
        }
        _ => format!("framelog probe says what it sends; {EXPLAINED}, what each reason means"),
    };
    Finding::wrong(CHECK, says.join(": "), remedy)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn what_should_be_recorded_and_is_not_is_wrong() {
        let level = |state| {
            let camera = report::Camera {
                name: "gate".to_owned(),
                state,
                reason: Some("unreachable".to_owned()),
                ..report::Camera::default()
            };
            judge_recorded(&camera).level
        };
        assert_eq!(level(State::Recording), Level::Ok);
        assert_eq!(level(State::Disabled), Level::Ok);
        assert_eq!(level(State::Frozen), Level::Warning);
        assert_eq!(level(State::Missing), Level::Wrong);
        let failure = Outcome::Failure {
            reason: "unauthorized",
            detail: "401".to_owned(),
        };
        let found = judge_outcome("gate", failure);
        assert_eq!(found.level, Level::Wrong);
        assert_eq!(found.says, "gate: unauthorized: 401");
        assert!(found.remedy.contains("framelog probe"));
        let full = judge_failure("gate", "disk_full", "");
        assert_eq!(full.says, "gate: disk_full");
        assert!(full.remedy.starts_with("see to the disk"));
    }
}
