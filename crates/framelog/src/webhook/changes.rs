//! What changed between two looks at the status. Pure: time is an argument.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::status::{NoStorage, Snapshot};

/// A disk that takes a frame now and then is no disk that is well.
const WELL_FOR: Duration = Duration::from_secs(10);

/// Something that a person may want to act on, or need no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It should be recorded and isn't: reason and detail.
    CameraLost(String, &'static str, String),
    /// It is recorded again.
    CameraBack(String),
    /// It was lost, and is not to be recorded any more.
    CameraDisabled(String),
    /// Frames can't be stored: reason and detail.
    StorageLost(&'static str, String),
    /// They can again.
    StorageBack,
}

/// What was told.
#[derive(Debug, Default)]
pub struct Watch {
    lost: BTreeSet<String>,
    /// The storage was told lost; since when it is well.
    storage: Option<Option<Instant>>,
}

impl Watch {
    /// What is to be told. While the storage takes nothing it is that alone, not every camera.
    pub fn look(
        &mut self,
        cameras: &[Snapshot],
        no_storage: Option<&NoStorage>,
        now: Instant,
    ) -> Vec<Change> {
        let trouble = trouble(cameras, no_storage);
        match (trouble, &mut self.storage) {
            (Some((reason, detail)), storage @ None) => {
                *storage = Some(None);
                vec![Change::StorageLost(reason, detail)]
            }
            (Some(_), Some(well_since)) => {
                *well_since = None;
                Vec::new()
            }
            (None, storage @ Some(_)) => {
                let since = *storage.get_or_insert_default().get_or_insert(now);
                if now.saturating_duration_since(since) < WELL_FOR {
                    return Vec::new();
                }
                *storage = None;
                vec![Change::StorageBack]
            }
            (None, None) => cameras
                .iter()
                .filter_map(|camera| self.look_at(camera))
                .collect(),
        }
    }

    fn look_at(&mut self, camera: &Snapshot) -> Option<Change> {
        let name = &camera.name;
        let was_lost = self.lost.contains(name);
        if camera.is_failing() {
            let (reason, detail) = camera.missing()?;
            let is_new = self.lost.insert(name.clone());
            let change = || Change::CameraLost(name.clone(), reason.name(), detail.to_owned());
            return is_new.then(change);
        }
        if !was_lost {
            return None;
        }
        if !camera.enabled {
            self.lost.remove(name);
            return Some(Change::CameraDisabled(name.clone()));
        }
        // One that was just started anew is not failing yet, and not recorded either.
        camera.gap.is_none().then(|| {
            self.lost.remove(name);
            Change::CameraBack(name.clone())
        })
    }
}

/// Why frames can't be stored, if so.
fn trouble(cameras: &[Snapshot], no_storage: Option<&NoStorage>) -> Option<(&'static str, String)> {
    if let Some(NoStorage { why, reason }) = no_storage {
        return Some((reason.name(), why.clone()));
    }
    let camera = cameras
        .iter()
        .find(|camera| camera.enabled && camera.gap.is_none() && camera.losing.is_some())?;
    let (reason, detail) = camera.missing()?;
    Some((reason.name(), detail.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use framelog_core::gap::GapReason;
    use framelog_store::Losing;

    use super::*;
    use crate::status::{Gap, Reason, Status};

    /// A camera that has been silent for so long.
    fn camera(name: &str, silent_s: u64, gap: Option<GapReason>) -> Snapshot {
        let status = Status::default();
        status.camera(name).set_gap(0, None);
        Snapshot {
            enabled: true,
            silent_for: Duration::from_secs(silent_s),
            silence_max: Duration::from_secs(15),
            gap: gap.map(|reason| Gap {
                reason: reason.into(),
                detail: "why".to_owned(),
            }),
            ..status.snapshots(Instant::now()).remove(0)
        }
    }

    #[test]
    fn a_camera_is_told_lost_once_and_back_once() {
        let (mut watch, now) = (Watch::default(), Instant::now());
        let unreachable = Some(GapReason::Unreachable);
        let mut look = |camera: Snapshot| watch.look(&[camera], None, now);
        assert_eq!(look(camera("gate", 0, None)), []);
        assert_eq!(look(camera("gate", 3, unreachable)), [], "not for long");
        assert_eq!(
            look(camera("gate", 16, unreachable)),
            [Change::CameraLost(
                "gate".into(),
                "unreachable",
                "why".into()
            )]
        );
        assert_eq!(look(camera("gate", 17, unreachable)), []);
        assert_eq!(look(camera("gate", 0, unreachable)), [], "started anew");
        assert_eq!(
            look(camera("gate", 0, None)),
            [Change::CameraBack("gate".into())]
        );
        assert_eq!(look(camera("gate", 0, None)), []);
    }

    #[test]
    fn a_lost_camera_that_is_disabled_is_told_as_that() {
        let (mut watch, now) = (Watch::default(), Instant::now());
        let lost = camera("gate", 16, Some(GapReason::Stalled));
        assert_eq!(watch.look(std::slice::from_ref(&lost), None, now).len(), 1);
        assert_eq!(watch.look(&[], None, now), [], "not known for a moment");
        let disabled = Snapshot {
            enabled: false,
            ..lost
        };
        assert_eq!(
            watch.look(&[disabled], None, now),
            [Change::CameraDisabled("gate".into())]
        );
    }

    #[test]
    fn storage_trouble_is_told_in_place_of_every_camera_and_ends_when_it_is_well_for_a_while() {
        let (mut watch, begin) = (Watch::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        let gone = NoStorage {
            why: "unmounted".to_owned(),
            reason: Reason::NoStorage,
        };
        let lost = [camera("gate", 16, Some(GapReason::Unreachable))];
        assert_eq!(
            watch.look(&lost, Some(&gone), begin),
            [Change::StorageLost("no_storage", "unmounted".into())]
        );
        assert_eq!(watch.look(&lost, Some(&gone), at(1)), []);
        assert_eq!(watch.look(&lost, None, at(2)), []);
        assert_eq!(watch.look(&lost, Some(&gone), at(11)), [], "not yet");
        assert_eq!(watch.look(&lost, None, at(12)), []);
        assert_eq!(watch.look(&lost, None, at(21)), []);
        assert_eq!(watch.look(&lost, None, at(22)), [Change::StorageBack]);
        assert_eq!(watch.look(&lost, None, at(23)).len(), 1, "now the camera");
    }

    #[test]
    fn a_disk_that_takes_no_frames_is_the_storages_trouble() {
        let losing = Snapshot {
            losing: Some(Losing::new(7, &ErrorKind::StorageFull.into())),
            ..camera("gate", 0, None)
        };
        let changes = Watch::default().look(&[losing], None, Instant::now());
        assert!(
            matches!(&changes[..], [Change::StorageLost("disk_full", _)]),
            "{changes:?}"
        );
    }
}
