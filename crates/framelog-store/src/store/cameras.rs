//! Every camera that the index knows, and what it is told when one is recorded (again) or no longer configured. Not for what a camera sends.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use framelog_core::gap::GapReason;

use crate::camera::Camera;
use crate::changes::Change;
use crate::gaps::GapChange;
use crate::guard::Gone;
use crate::rows;
use crate::session::Known;

/// Every camera that the index knows, by name.
#[derive(Debug)]
pub(super) struct Cameras {
    known: HashMap<String, Known>,
    /// Those that were asked for in this run.
    logged: HashMap<String, Arc<Camera>>,
    next_id: i64,
    /// As in [`super::Options`].
    away: Option<Gone>,
}

impl Cameras {
    pub fn new(cameras: Vec<Known>, away: Option<Gone>) -> Self {
        let next_id = cameras.iter().map(|known| known.row.id).max().unwrap_or(0) + 1;
        let known = cameras
            .into_iter()
            .map(|known| (known.row.name.to_string(), known))
            .collect();
        Self {
            known,
            logged: HashMap::new(),
            next_id,
            away,
        }
    }

    /// What the log of the camera shares with its writer, and what the index is to be told.
    pub fn log(&mut self, name: &str, now_us: i64) -> (Arc<Camera>, Vec<Change>) {
        let mut changes = Vec::new();
        let is_new = !self.known.contains_key(name);
        let next_id = &mut self.next_id;
        let known = self.known.entry(name.to_owned()).or_insert_with(|| {
            let row = rows::Camera {
                id: *next_id,
                name: name.into(),
                added_us: now_us,
                removed_us: None,
            };
            *next_id += 1;
            Known {
                row,
                last_captured_us: None,
                last_gap_us: None,
            }
        });
        let removed_us = known.row.removed_us.take();
        if is_new || removed_us.is_some() {
            changes.push(Change::Camera(known.row.clone()));
        }
        if let Some(removed_us) = removed_us {
            let away = (GapReason::Disabled, "not in the configuration".to_owned());
            changes.push(nobody_recorded(known, removed_us, now_us, away));
        } else if !is_new && !self.logged.contains_key(name) {
            let away = match &self.away {
                Some(gone) => (gone.reason(), gone.to_string()),
                None => (
                    GapReason::RecorderDown,
                    "framelog was not running".to_owned(),
                ),
            };
            changes.push(nobody_recorded(known, known.accounted_us(), now_us, away));
        }
        let camera = self.logged.entry(name.to_owned()).or_insert_with(|| {
            let camera = Arc::new(Camera::new(
                known.row.id,
                known.row.name.clone(),
                known.last_captured_us,
            ));
            changes.push(Change::Logged(camera.clone()));
            camera
        });
        (camera.clone(), changes)
    }

    /// Closes the gaps of cameras that are not configured: what the index is to be told.
    pub fn mark_others_removed(&mut self, configured: &[String], now_us: i64) -> Vec<Change> {
        let configured: HashSet<&str> = configured.iter().map(String::as_str).collect();
        let removed = |known: &&mut Known| {
            known.row.removed_us.is_none() && !configured.contains(&*known.row.name)
        };
        let mut changes = Vec::new();
        for known in self.known.values_mut().filter(removed) {
            known.row.removed_us = Some(now_us);
            let close = GapChange::Close {
                ended_us: now_us,
                only: None,
            };
            changes.push(Change::Camera(known.row.clone()));
            changes.push(Change::Gap {
                camera_id: known.row.id,
                change: close,
            });
        }
        changes
    }
}

/// Nobody recorded the camera from then on until now.
fn nobody_recorded(
    known: &Known,
    started_us: i64,
    now_us: i64,
    (reason, detail): (GapReason, String),
) -> Change {
    let change = GapChange::Record {
        started_us: started_us.min(now_us),
        ended_us: now_us,
        reason,
        detail: detail.into(),
    };
    Change::Gap {
        camera_id: known.row.id,
        change,
    }
}
