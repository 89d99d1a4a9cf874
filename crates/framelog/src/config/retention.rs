//! The keys that say what footage may go: the same for all cameras together and for one. Not for making it go.

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
                .collect(),
        }
    }
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
