//! How recording goes, in one line: what `systemctl status framelog` shows.

use crate::report::{Report, State};
use crate::status::Status;

/// So many missing cameras are named.
const NAMED_MAX: usize = 5;

/// The line, what is wrong first.
pub fn of(status: &Status) -> String {
    let Some(report) = Report::live(status) else {
        return match status.path() {
            Some(path) => format!("starting: {} is being opened", path.display()),
            None => "starting".to_owned(),
        };
    };
    let cameras = report.cameras.iter();
    let enabled: Vec<_> = cameras
        .filter(|camera| camera.state != State::Disabled)
        .collect();
    let missing: Vec<_> = enabled
        .iter()
        .filter(|camera| matches!(camera.state, State::Missing | State::Down))
        .collect();
    let mut parts = Vec::new();
    if let Some(detail) = &report.storage.detail {
        parts.push(format!("NOT RECORDING: {detail}"));
    } else if !missing.is_empty() {
        let named = missing.iter().take(NAMED_MAX).map(|camera| {
            let reason = camera.reason.as_deref().unwrap_or("unknown");
            format!("{} ({reason})", camera.name)
        });
        let more = missing.len().saturating_sub(NAMED_MAX);
        let more = (more > 0).then(|| format!("{more} more"));
        let named: Vec<String> = named.chain(more).collect();
        parts.push(format!("missing: {}", named.join(", ")));
    }
    let (recorded, all) = (enabled.len() - missing.len(), enabled.len());
    parts.push(match all {
        0 => "no camera is configured: add one, then systemctl reload framelog".to_owned(),
        _ => format!("{recorded} of {all} cameras recorded"),
    });
    if let Some((keeping, _)) = status
        .limits()
        .filter(|(keeping, _)| keeping.disk_total > 0)
    {
        let percent = u128::from(keeping.disk_free) * 100 / u128::from(keeping.disk_total);
        parts.push(format!("{percent} % of the disk free"));
    }
    one_line(&parts.join("; "))
}

/// A line end would begin another message to the service manager.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use framelog_core::gap::GapReason;
    use framelog_store::{Keeping, Rules};

    use super::*;
    use crate::status::{Gap, NoStorage, Reason, Recorder};

    #[test]
    fn what_is_wrong_comes_first_and_on_one_line() {
        let status = Status::default();
        assert_eq!(of(&status), "starting");
        status.starts("/srv".into());
        assert_eq!(of(&status), "starting: /srv is being opened");
        status.opened(Recorder {
            uuid: String::new(),
            path: "/srv".into(),
            since_us: 0,
            watchers: Default::default(),
        });
        assert_eq!(
            of(&status),
            "no camera is configured: add one, then systemctl reload framelog"
        );
        for n in 0..7 {
            status.camera(&format!("c{n}")).expect_nothing(true);
        }
        assert_eq!(of(&status), "7 of 7 cameras recorded");
        let keeping = Keeping {
            disk_free: 1,
            disk_total: 3,
            ..Keeping::default()
        };
        status.set_limits(keeping, Rules::default());
        for n in 0..6 {
            let gap = Gap {
                reason: GapReason::Stalled.into(),
                detail: "a\nb".to_owned(),
            };
            status.camera(&format!("c{n}")).set_gap(0, Some(gap));
        }
        assert_eq!(
            of(&status),
            "missing: c0 (stalled), c1 (stalled), c2 (stalled), c3 (stalled), c4 (stalled), 1 more; 1 of 7 cameras recorded; 33 % of the disk free"
        );
        status.set_no_storage(Some(NoStorage {
            why: "/srv is not\nmounted".to_owned(),
            reason: Reason::NoStorage,
        }));
        let line = of(&status);
        assert!(
            line.starts_with("NOT RECORDING: /srv is not mounted; "),
            "{line}"
        );
    }
}
