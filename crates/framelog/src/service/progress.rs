//! Whether writers and index still do something about what waits for them. Not for how a camera does: a camera that sends nothing waits for
//! nobody.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::status::Snapshot;

/// Who has done nothing for longest.
#[derive(Debug, PartialEq, Eq)]
pub struct Stuck {
    /// In words.
    pub what: String,
    /// Since it did something, or had nothing to do, when it was looked at last.
    pub silent_for: Duration,
}

/// What was done when it was looked at last.
#[derive(Debug, Default)]
pub struct Progress {
    index: Option<Done>,
    cameras: HashMap<String, Done>,
}

/// So much was done, at this moment.
#[derive(Clone, Copy, Debug)]
struct Done {
    much: u64,
    at: Instant,
}

impl Progress {
    /// Who does nothing, at `now`. The index makes a cycle every few seconds even if there is nothing to do; `None`: there is no index open.
    pub fn stuck(
        &mut self,
        cameras: &[Snapshot],
        index_cycles: Option<u64>,
        now: Instant,
    ) -> Option<Stuck> {
        self.index = index_cycles.map(|cycles| Done::after(self.index, cycles, now));
        let mut done = HashMap::with_capacity(cameras.len());
        for camera in cameras {
            let stored = &camera.stored;
            // What a full queue turns away is no work of the writer's.
            let written = stored.stored_frames + stored.dropped_disk_full;
            let before = self.cameras.get(&camera.name).copied();
            let before = before.filter(|_| stored.waiting() > 0);
            done.insert(camera.name.clone(), Done::after(before, written, now));
        }
        self.cameras = done;
        let index = self.index.map(|done| Stuck {
            what: "the index".to_owned(),
            silent_for: done.silent_for(now),
        });
        let writers = self.cameras.iter().map(|(name, done)| Stuck {
            what: format!("the writer of {name}"),
            silent_for: done.silent_for(now),
        });
        let stuck = writers.chain(index).max_by_key(|stuck| stuck.silent_for)?;
        (!stuck.silent_for.is_zero()).then_some(stuck)
    }
}

impl Done {
    fn after(before: Option<Self>, much: u64, now: Instant) -> Self {
        before
            .filter(|before| before.much == much)
            .unwrap_or(Self { much, at: now })
    }

    fn silent_for(self, now: Instant) -> Duration {
        now.saturating_duration_since(self.at)
    }
}

#[cfg(test)]
mod tests {
    use framelog_store::Counters;

    use super::*;
    use crate::status::Status;

    /// A camera of which so many frames came and so many are stored.
    fn camera(parts: u64, stored_frames: u64, dropped_disk_slow: u64) -> Snapshot {
        let status = Status::default();
        status.camera("gate").expect_nothing(true);
        let snapshot = status.snapshots(Instant::now()).remove(0);
        Snapshot {
            stored: Counters {
                parts,
                stored_frames,
                dropped_disk_slow,
                ..Counters::default()
            },
            ..snapshot
        }
    }

    /// For how long the first is stuck, looked at once a second.
    fn silent_s(looks: &[(Snapshot, Option<u64>)]) -> (u64, String) {
        let begin = Instant::now();
        let mut progress = Progress::default();
        let mut found = None;
        for (second, (camera, cycles)) in (0..).zip(looks) {
            let now = begin + Duration::from_secs(second);
            found = progress.stuck(std::slice::from_ref(camera), *cycles, now);
        }
        found.map_or((0, String::new()), |stuck| {
            (stuck.silent_for.as_secs(), stuck.what)
        })
    }

    #[test]
    fn writer_is_stuck_while_frames_wait_and_none_is_written() {
        let (seconds, what) = silent_s(&[
            (camera(5, 5, 0), None),
            (camera(7, 5, 0), None),
            (camera(9, 5, 1), None),
            (camera(11, 5, 4), None),
        ]);
        assert_eq!((seconds, &*what), (3, "the writer of gate"));
        let goes_on = [
            (camera(7, 5, 0), None),
            (camera(9, 5, 0), None),
            (camera(11, 6, 0), None),
        ];
        assert_eq!(silent_s(&goes_on).0, 0);
    }

    #[test]
    fn camera_that_sends_nothing_waits_for_nobody() {
        let looks = [1, 2, 3].map(|_| (camera(5, 5, 0), None));
        assert_eq!(silent_s(&looks).0, 0);
    }

    #[test]
    fn index_is_stuck_without_cycles_and_not_without_a_store() {
        let looks = |cycles: [Option<u64>; 4]| cycles.map(|cycles| (camera(5, 5, 0), cycles));
        let (seconds, what) = silent_s(&looks([Some(1), Some(2), Some(2), Some(2)]));
        assert_eq!((seconds, &*what), (2, "the index"));
        assert_eq!(silent_s(&looks([Some(2), Some(2), Some(2), Some(3)])).0, 0);
        assert_eq!(silent_s(&looks([Some(2), Some(2), Some(2), None])).0, 0);
        assert_eq!(silent_s(&looks([Some(2), None, None, Some(2)])).0, 0);
    }
}
