//! What a person is told of the room for footage, and how often. Not for the rules, nor for making room.

use std::time::{Duration, Instant};

use super::Keeping;
use crate::outage::Outage;
use crate::rules::Rule;

/// Protected footage, in per cent of what the rules leave for footage, at which a person is warned.
const LEVELS: [u64; 3] = [50, 75, 90];
/// What goes on is said this often.
const REPEAT: Duration = Duration::from_secs(600);

/// What has been said.
#[derive(Debug)]
pub(crate) struct Alarm {
    /// The highest level that was warned of.
    warned: u64,
    /// The `min_free` that was said not to count.
    too_much_free: Option<u64>,
    /// A rule can't be kept.
    unmet: Outage,
    /// The disk is full, and nothing may go.
    starving: Outage,
    /// The disk is full, and footage goes.
    full: Outage,
}

impl Alarm {
    /// Nothing has been said.
    pub fn new() -> Self {
        Self {
            warned: 0,
            too_much_free: None,
            unmet: Outage::new(REPEAT),
            starving: Outage::new(REPEAT),
            full: Outage::new(REPEAT),
        }
    }

    /// So many bytes are protected, of those that there is room for.
    pub fn protected(&mut self, protected_bytes: u64, room_bytes: u64) {
        if let Some(percent) = self.level(protected_bytes, room_bytes) {
            tracing::warn!(
                protected_bytes,
                room_bytes,
                "more than {percent} % of the room for footage is protected; `framelog protect` lists it, `framelog unprotect` lets it go, or use a larger disk"
            );
        }
    }

    /// The level that protected footage has reached, if that is to be said now.
    fn level(&mut self, protected: u64, room: u64) -> Option<u64> {
        let percent = u128::from(protected) * 100 / u128::from(room.max(1));
        let reached = LEVELS
            .into_iter()
            .rfind(|&level| percent >= u128::from(level))
            .unwrap_or(0);
        let is_higher = reached > self.warned;
        self.warned = reached;
        is_higher.then_some(reached)
    }

    /// Not all of `min_free` counts on so small a disk.
    pub fn min_free(&mut self, min_free_bytes: u64, counts_bytes: u64) {
        if self.too_much_free.replace(min_free_bytes) != Some(min_free_bytes) {
            tracing::info!(
                min_free_bytes,
                counts_bytes,
                "min_free is more than a tenth of this disk, so a tenth is kept free"
            );
        }
    }

    /// A write found no room, and so much footage went for it.
    pub fn made_room(&mut self, segments: usize, bytes: u64, min_free_bytes: u64) {
        if self.full.failed(Instant::now()) {
            tracing::warn!(
                segments,
                bytes,
                min_free_bytes,
                "the disk is full: the oldest footage makes room, and recording goes on; something took more than min_free at once, see what else fills the disk"
            );
        }
    }

    /// This rule asks for so many bytes, and nothing may go.
    pub fn starves(&mut self, rule: Rule, bytes: u64, now: &Keeping) {
        let (protected_bytes, disk_free) = (now.protected_bytes, now.disk_free);
        if rule == Rule::DiskFull {
            // The worse of the two, and one of them is enough.
            self.unmet.failed(Instant::now());
            if self.starving.failed(Instant::now()) {
                tracing::error!(
                    protected_bytes,
                    disk_free,
                    "the disk is full and no footage may go, because it is protected or still being written: frames are dropped until there is room; let some go with `framelog unprotect`, free the disk of other things, or use a larger one"
                );
            }
        } else if self.unmet.failed(Instant::now()) {
            tracing::warn!(
                rule = rule.name(),
                bytes,
                protected_bytes,
                disk_free,
                "footage should go and none may: what is left is protected, still being written or not indexed yet; recording goes on until the disk is full; see `framelog protect --list`, and what else fills the disk"
            );
        }
    }

    /// All that should go could go, or nothing should.
    pub fn is_met(&mut self) {
        let now = Instant::now();
        // That footage is written again is said by those who write it.
        self.starving.worked(now);
        self.unmet.worked(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_is_said_once_and_again_after_it_was_left() {
        let mut alarm = Alarm::new();
        let said: Vec<_> = [10, 49, 50, 60, 80, 76, 95, 100, 10, 55]
            .map(|protected| alarm.level(protected, 100))
            .into();
        let expected = [
            None,
            None,
            Some(50),
            None,
            Some(75),
            None,
            Some(90),
            None,
            None,
            Some(50),
        ];
        assert_eq!(said, expected);
        assert_eq!(Alarm::new().level(1, 0), Some(90), "no room at all");
    }
}
