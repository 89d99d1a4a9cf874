//! The keys that say what footage may go: the same for all cameras together and for one. Not for making it go.

use std::collections::BTreeSet;
use std::time::Duration;

use framelog_store::{CameraRules, Rules};
use toml::de::DeTable;

use super::problem::Report;
use super::section::{Section, duration, size, table};
use super::units::{CENTURY, format_duration, format_size};
use super::{Camera, Config};

/// Reads `retain` and `max_size`.
pub(super) fn read(section: &mut Section<'_, '_>) -> (Option<Duration>, Option<u64>) {
    let retain = section.take("retain", duration(Duration::from_secs(1)..=CENTURY));
    let max_size = section.take("max_size", size);
    (retain, max_size)
}

impl Config {
    /// What footage may go.
    pub fn rules(&self) -> Rules {
        let own = |camera: &Camera| CameraRules {
            retain: camera.retain,
            max_size: camera.max_size,
        };
        Rules {
            retain: self.storage.retain,
            max_size: self.storage.max_size,
            min_free: self.storage.min_free,
            cameras: self
                .cameras
                .iter()
                .map(|camera| (camera.name.clone(), own(camera)))
                .filter(|(_, rules)| *rules != CameraRules::default())
                .collect(),
        }
    }
}

/// How rules differ from those before, a text for each: `retain 30 days → 7 days`, `max_size of gate none → 5 GB`.
pub fn changes(old: &Rules, new: &Rules) -> Vec<String> {
    let age = |retain: Option<Duration>| retain.map(format_duration);
    let size = |size: Option<u64>| size.map(format_size);
    let mut found = Vec::new();
    let mut compare = |what: String, old: Option<String>, new: Option<String>| {
        if old != new {
            let [old, new] = [old, new].map(|value| value.unwrap_or_else(|| "none".to_owned()));
            found.push(format!("{what} {old} → {new}"));
        }
    };
    compare("retain".to_owned(), age(old.retain), age(new.retain));
    compare(
        "max_size".to_owned(),
        size(old.max_size),
        size(new.max_size),
    );
    compare(
        "min_free".to_owned(),
        Some(format_size(old.min_free)),
        Some(format_size(new.min_free)),
    );
    let cameras: BTreeSet<&String> = old.cameras.keys().chain(new.cameras.keys()).collect();
    for camera in cameras {
        let of = |rules: &Rules| rules.cameras.get(camera).copied().unwrap_or_default();
        let (old, new) = (of(old), of(new));
        compare(
            format!("retain of {camera}"),
            age(old.retain),
            age(new.retain),
        );
        compare(
            format!("max_size of {camera}"),
            size(old.max_size),
            size(new.max_size),
        );
    }
    found
}

/// Warns of rules that do less than they seem to.
pub(super) fn warn(report: &mut Report<'_>, top: &DeTable<'_>, config: &Config) {
    let segment = config.storage.segment;
    let too_short = |retain: Option<Duration>| {
        let retain = retain.filter(|retain| *retain < segment)?;
        Some(format!(
            "{} is less than a segment ({}), and only whole segments go: set segment to less",
            format_duration(retain),
            format_duration(segment)
        ))
    };
    let too_large = |max_size: Option<u64>| {
        let of_all = config
            .storage
            .max_size
            .filter(|all| max_size > Some(*all))?;
        Some(format!(
            "has no effect: all cameras together have {}",
            format_size(of_all)
        ))
    };
    if let Some(message) = too_short(config.storage.retain) {
        report.warn(
            place(top, &["storage", "retain"]),
            "storage.retain",
            message,
        );
    }
    for camera in &config.cameras {
        let warnings = [
            ("retain", too_short(camera.retain)),
            ("max_size", too_large(camera.max_size)),
        ];
        for (key, message) in warnings {
            if let Some(message) = message {
                let at = place(top, &["cameras", &camera.name, key]);
                report.warn(at, format!("cameras.{}.{key}", camera.name), message);
            }
        }
    }
}

/// Where the value lies that these keys lead to, byte offset.
fn place(top: &DeTable<'_>, keys: &[&str]) -> Option<usize> {
    let (key, rest) = keys.split_first()?;
    let value = top.get(*key)?;
    match rest {
        [] => Some(value.span().start),
        rest => place(table(value)?, rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rules_that_differ_are_told() {
        let days = |days: u64| Some(Duration::from_secs(days * 86_400));
        let own = |max_size| CameraRules {
            retain: days(2),
            max_size,
        };
        let old = Rules {
            retain: days(30),
            max_size: Some(2_000_000_000_000),
            min_free: 5_000_000_000,
            cameras: [("gate".to_owned(), own(None))].into(),
        };
        let new = Rules {
            retain: days(7),
            max_size: None,
            cameras: [("gate".to_owned(), own(Some(1_000_000_000)))].into(),
            ..old.clone()
        };
        assert_eq!(
            changes(&old, &new),
            [
                "retain 30 days → 7 days",
                "max_size 2 TB → none",
                "max_size of gate none → 1 GB"
            ]
        );
        assert!(changes(&new, &new).is_empty());
    }
}
