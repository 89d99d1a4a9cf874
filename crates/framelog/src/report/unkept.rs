//! Limits that are configured and can't be kept. Not for how full the disk is: that is `room`.

use framelog_store::{Keeping, Rules, effective_min_free};
use serde::{Deserialize, Serialize};

/// A limit that can't be kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unkept {
    /// `retain`, `max_size`, `min_free`; `disk_full` where the disk itself is the limit.
    pub rule: String,
    /// Whose, if it is one camera's.
    pub camera: Option<String>,
    /// Why not, in words.
    pub detail: String,
}

impl Unkept {
    /// The limits on size that can't be kept, because nothing more may go.
    pub(super) fn of(keeping: &Keeping, rules: &Rules) -> Vec<Self> {
        let unkept = |rule: &str, detail: &str| Self {
            rule: rule.to_owned(),
            camera: None,
            detail: detail.to_owned(),
        };
        let mut found = Vec::new();
        if keeping.distrusts_clock {
            found.push(unkept(
                "retain",
                "this machine's clock leapt, and nothing goes for its age yet",
            ));
        }
        if !keeping.is_starved {
            return found;
        }
        const STARVED: &str = "all footage that is left is protected or still being written";
        let is_over = |max_size: u64| keeping.footage_bytes > max_size;
        let min_free = effective_min_free(rules.min_free, keeping.disk_total);
        let of_size = found.len();
        if rules.max_size.is_some_and(is_over) {
            found.push(unkept("max_size", STARVED));
        }
        if keeping.disk_free < min_free {
            found.push(unkept("min_free", STARVED));
        }
        if found.len() == of_size {
            let of_camera = rules.cameras.values().any(|rules| rules.max_size.is_some());
            let rule = if of_camera { "max_size" } else { "disk_full" };
            found.push(unkept(rule, STARVED));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn limits_that_nothing_may_go_for_are_told() {
        let rules = Rules {
            retain: Some(Duration::from_secs(86_400)),
            max_size: Some(1_000),
            min_free: 500,
            ..Rules::default()
        };
        let told = |keeping: Keeping| -> Vec<String> {
            let unkept = Unkept::of(&keeping, &rules).into_iter();
            unkept.map(|unkept| unkept.rule).collect()
        };
        let well = Keeping {
            footage_bytes: 1_200,
            disk_free: 100,
            disk_total: 10_000,
            ..Keeping::default()
        };
        assert!(told(well).is_empty(), "what is over goes in a moment");
        let starved = Keeping {
            is_starved: true,
            ..well
        };
        assert_eq!(told(starved), ["max_size", "min_free"]);
        let small = Keeping {
            disk_total: 900,
            footage_bytes: 900,
            ..starved
        };
        assert_eq!(told(small), ["disk_full"], "a tenth is free");
        let leapt = Keeping {
            distrusts_clock: true,
            ..well
        };
        assert_eq!(told(leapt), ["retain"]);
    }
}
