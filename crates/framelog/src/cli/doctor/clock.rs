//! Is this machine's clock kept right? Arrival times, `retain`, and footage of cameras without a clock of their own depend on it.

use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::finding::Finding;

const CHECK: &str = "clock";
/// timedated is started to answer.
const LIMIT: Duration = Duration::from_secs(10);

/// Asks systemd whether the kernel takes the clock for synchronised, whichever program does that.
pub async fn look() -> Finding {
    let asking = spawn_blocking(|| {
        Command::new("timedatectl")
            .args(["show", "--property=NTPSynchronized", "--value"])
            .stdin(Stdio::null())
            .output()
    });
    let answer = match timeout(LIMIT, asking).await {
        Ok(Ok(Ok(output))) if output.status.success() => String::from_utf8(output.stdout).ok(),
        _ => None,
    };
    judge(answer.as_deref())
}

fn judge(answer: Option<&str>) -> Finding {
    const REMEDY: &str = "run one: sudo timedatectl set-ntp true (systemd-timesyncd), or chrony";
    match answer.map(str::trim) {
        Some("yes") => Finding::ok(CHECK, "synchronised by NTP"),
        Some("no") => Finding::wrong(
            CHECK,
            "not synchronised: footage is dated and removed by a clock that drifts",
            REMEDY,
        ),
        _ => Finding::warning(
            CHECK,
            "timedatectl doesn't say whether it is synchronised",
            "see that an NTP client runs",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn only_a_synchronised_clock_is_good() {
        assert_eq!(judge(Some("yes\n")).level, Level::Ok);
        assert_eq!(judge(Some("no\n")).level, Level::Wrong);
        for unknown in [None, Some(""), Some("n/a")] {
            assert_eq!(judge(unknown).level, Level::Warning);
        }
    }
}
