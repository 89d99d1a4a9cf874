//! Why a camera has no footage. Not for when: spans are the index's.

use std::fmt;

/// Why a camera that is configured has no footage. A closed list: the index, the logs and the status use these names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GapReason {
    /// The recorder started and the first frame has not come yet.
    Starting,
    /// No connection: name lookup, TCP or TLS failed.
    Unreachable,
    /// The camera refused the credentials, or wants some and has none configured.
    Unauthorized,
    /// The camera has too many clients: 503 and the like.
    Busy,
    /// It answered, but with no pictures.
    NotVideo,
    /// An unexpected status, a redirect loop or a protocol error.
    BadResponse,
    /// Connected, but no complete frame within the stall timeout.
    Stalled,
    /// The camera or the network ended a stream that had been delivering.
    Disconnected,
    /// The disk had no room.
    DiskFull,
    /// The disk could not keep up.
    DiskSlow,
    /// A clock was set: the span was never lived through.
    ClockStepped,
    /// The camera is in the configuration with `enabled = false`, or was not in it at all.
    Disabled,
    /// framelog itself was not running; found at the next start.
    RecorderDown,
}

impl GapReason {
    /// Every reason, in the order in which they are declared.
    pub const ALL: [GapReason; 13] = [
        GapReason::Starting,
        GapReason::Unreachable,
        GapReason::Unauthorized,
        GapReason::Busy,
        GapReason::NotVideo,
        GapReason::BadResponse,
        GapReason::Stalled,
        GapReason::Disconnected,
        GapReason::DiskFull,
        GapReason::DiskSlow,
        GapReason::ClockStepped,
        GapReason::Disabled,
        GapReason::RecorderDown,
    ];

    /// The name, as stored and printed.
    pub fn name(self) -> &'static str {
        match self {
            GapReason::Starting => "starting",
            GapReason::Unreachable => "unreachable",
            GapReason::Unauthorized => "unauthorized",
            GapReason::Busy => "busy",
            GapReason::NotVideo => "not_video",
            GapReason::BadResponse => "bad_response",
            GapReason::Stalled => "stalled",
            GapReason::Disconnected => "disconnected",
            GapReason::DiskFull => "disk_full",
            GapReason::DiskSlow => "disk_slow",
            GapReason::ClockStepped => "clock_stepped",
            GapReason::Disabled => "disabled",
            GapReason::RecorderDown => "recorder_down",
        }
    }

    /// The reason with this name, if it is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_found_by_its_name() {
        for reason in GapReason::ALL {
            assert_eq!(GapReason::from_name(&reason.to_string()), Some(reason));
        }
        assert_eq!(GapReason::from_name("asleep"), None);
    }
}
