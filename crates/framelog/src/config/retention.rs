//! The keys that say what footage may go: the same for all cameras together and for one. Not for making it go.

use std::time::Duration;

use super::section::{Section, duration, size};
use super::units::CENTURY;

/// Reads `retain` and `max_size`, and warns that they are only read.
pub(super) fn read(section: &mut Section<'_, '_>) -> (Option<Duration>, Option<u64>) {
    let retain = section.take("retain", duration(Duration::from_secs(1)..=CENTURY));
    let max_size = section.take("max_size", size);
    for key in ["retain", "max_size"] {
        if section.has(key) {
            section.warn(key, "has no effect yet: footage stays until you delete it");
        }
    }
    (retain, max_size)
}
