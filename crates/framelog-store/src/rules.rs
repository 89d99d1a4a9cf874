//! What may go, as it is configured. Not for making it go: that is `retention`.

use std::collections::BTreeMap;
use std::time::Duration;

/// `min_free` counts up to this part of the file system.
const MIN_FREE_PART: u64 = 10;

/// Which footage may be removed. Always the oldest first, in whole segments, and never what is protected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Footage that arrived longer ago than this goes; `None`: age is no reason.
    pub retain: Option<Duration>,
    /// The most bytes of footage of all cameras together; `None`: as much as fits.
    pub max_size: Option<u64>,
    /// Bytes of the file system that stay free; at most a tenth of it counts.
    pub min_free: u64,
    /// Cameras with rules of their own, by name.
    pub cameras: BTreeMap<String, CameraRules>,
}

/// `min_free` as far as it counts on a file system of this size: on a small one more would leave no footage.
pub fn effective_min_free(min_free: u64, disk_total: u64) -> u64 {
    min_free.min(disk_total / MIN_FREE_PART)
}

/// One camera's own rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CameraRules {
    /// In place of [`Rules::retain`].
    pub retain: Option<Duration>,
    /// The most bytes of this camera's footage, beside [`Rules::max_size`].
    pub max_size: Option<u64>,
}

impl Rules {
    /// How long this camera's footage stays.
    pub fn retain_of(&self, camera: &str) -> Option<Duration> {
        let own = self.cameras.get(camera).and_then(|camera| camera.retain);
        own.or(self.retain)
    }

    /// How much of this camera's footage stays.
    pub(crate) fn max_size_of(&self, camera: &str) -> Option<u64> {
        self.cameras.get(camera)?.max_size
    }

    /// Whether age is a reason for any footage.
    pub(crate) fn has_retain(&self) -> bool {
        self.retain.is_some() || self.cameras.values().any(|camera| camera.retain.is_some())
    }
}

/// The rule that a removal is accounted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Rule {
    Retain,
    MaxSize,
    MinFree,
    /// A write found no room.
    DiskFull,
}

impl Rule {
    /// As in the table `removals`.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Retain => "retain",
            Rule::MaxSize => "max_size",
            Rule::MinFree => "min_free",
            Rule::DiskFull => "disk_full",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cameras_own_age_replaces_the_general_one_and_its_size_stands_beside_it() {
        let days = |days: u64| Some(Duration::from_secs(days * 86_400));
        let own = CameraRules {
            retain: days(90),
            max_size: Some(5),
        };
        let rules = Rules {
            retain: days(30),
            max_size: Some(100),
            cameras: [("gate".to_owned(), own)].into(),
            ..Rules::default()
        };
        assert_eq!(
            (rules.retain_of("gate"), rules.retain_of("door")),
            (days(90), days(30))
        );
        assert_eq!(
            (rules.max_size_of("gate"), rules.max_size_of("door")),
            (Some(5), None)
        );
    }
}
