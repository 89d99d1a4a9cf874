//! How full the disk is, and how many days of footage fit at the present rate. Not for what goes when: that is the store's.

use framelog_store::{Keeping, Rules, effective_min_free};
use serde::{Deserialize, Serialize};

use super::Camera;

const DAY_S: f64 = 86_400.0;

/// How full the disk is, and how long it lasts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Room {
    /// Bytes free on the disk.
    pub free_bytes: u64,
    /// Bytes of the disk.
    pub disk_bytes: u64,
    /// Bytes of footage.
    pub footage_bytes: u64,
    /// What is recorded of all cameras in a second, over the last half minute.
    pub bytes_per_s: Option<u64>,
    /// How many days of footage there is room for at this rate: until the oldest makes room for the newest.
    pub days_fit: Option<f64>,
}

impl Room {
    pub(super) fn of(keeping: &Keeping, rules: &Rules, cameras: &[Camera]) -> Self {
        let rates = cameras.iter().filter_map(|camera| camera.bits_per_s);
        let bytes_per_s = rates.reduce(|sum, bits| sum + bits).map(|bits| bits / 8);
        let min_free = effective_min_free(rules.min_free, keeping.disk_total);
        let on_disk = keeping.footage_bytes + keeping.disk_free.saturating_sub(min_free);
        let most = rules.max_size.map_or(on_disk, |most| most.min(on_disk));
        // What is protected makes no room.
        let passing = most.saturating_sub(keeping.protected_bytes) as f64;
        Self {
            free_bytes: keeping.disk_free,
            disk_bytes: keeping.disk_total,
            footage_bytes: keeping.footage_bytes,
            bytes_per_s,
            days_fit: bytes_per_s
                .filter(|rate| *rate > 0)
                .map(|rate| passing / (rate as f64 * DAY_S)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_that_fit_are_those_of_the_disk_or_the_limit_without_what_is_protected() {
        let keeping = Keeping {
            footage_bytes: 400_000_000_000,
            protected_bytes: 32_000_000_000,
            disk_free: 600_000_000_000,
            disk_total: 1_100_000_000_000,
            ..Keeping::default()
        };
        let camera = Camera {
            bits_per_s: Some(40_000_000),
            ..Camera::default()
        };
        let cameras = [camera.clone(), camera, Camera::default()];
        let days = |rules: &Rules| Room::of(&keeping, rules, &cameras).days_fit;
        let rules = Rules {
            min_free: 104_000_000_000,
            ..Rules::default()
        };
        assert_eq!(days(&rules), Some(1.0));
        let limited = Rules {
            max_size: Some(464_000_000_000),
            ..rules
        };
        assert_eq!(days(&limited), Some(0.5));
        let idle = Room::of(&keeping, &limited, &[Camera::default()]);
        assert_eq!((idle.bytes_per_s, idle.days_fit), (None, None));
    }
}
