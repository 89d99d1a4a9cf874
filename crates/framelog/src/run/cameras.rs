//! The cameras that are being recorded: which of them a changed configuration starts, stops, restarts and leaves alone. Not for when that
//! is.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use framelog_store::{CameraLog, Store};

use crate::camera::Task;
use crate::config::Camera;
use crate::readers::Readers;
use crate::recorder::Recorder;
use crate::status::Status;
use crate::wall;

/// On top of its stall timeout, a camera may take so long to have a frame on disk before it counts as failing.
const HEALTH_GRACE: Duration = Duration::from_secs(5);

/// The cameras that are being recorded, by name.
pub struct Cameras<'d> {
    store: &'d Store,
    readers: &'d Readers,
    status: &'d Status,
    segment: Duration,
    /// How many were started, to spread them over the readers.
    started: usize,
    running: BTreeMap<String, Running>,
}

struct Running {
    camera: Camera,
    log: CameraLog,
    task: Task,
}

impl<'d> Cameras<'d> {
    /// None yet.
    pub fn new(
        store: &'d Store,
        readers: &'d Readers,
        status: &'d Status,
        segment: Duration,
    ) -> Self {
        Self {
            store,
            readers,
            status,
            segment,
            started: 0,
            running: BTreeMap::new(),
        }
    }

    /// Starts what is new, stops what is gone, restarts what changed, leaves alone what did not.
    pub async fn apply(&mut self, cameras: &[Camera]) -> Result<Changes, framelog_store::Error> {
        let changes = Changes::between(
            self.running.values().map(|running| &running.camera),
            cameras,
        );
        let restarted: Vec<String> = changes.restarted().cloned().collect();
        for name in changes.removed.iter().chain(&restarted) {
            if let Some(running) = self.running.get(name) {
                running.task.stop();
            }
        }
        for name in &changes.removed {
            if let Some(running) = self.running.remove(name) {
                running.task.ended().await;
                self.status.camera(name).expect_nothing(false);
            }
        }
        let names: Vec<String> = cameras.iter().map(|camera| camera.name.clone()).collect();
        self.store.mark_others_removed(&names, wall::now_us())?;
        // Only when all old connections are closed may new ones be made: two cameras may have changed places.
        let mut changed = self.end(&restarted).await;
        for camera in cameras {
            if let Some((log, was_recording)) = changed.remove(&camera.name) {
                self.start(camera, log, was_recording);
            } else if changes.added.contains(&camera.name) {
                let log = self.store.camera(&camera.name)?;
                self.start(camera, log, false);
            }
        }
        Ok(changes)
    }

    /// Waits for the ends of these cameras' tasks: each one's log, and whether it was recording until then.
    async fn end(&mut self, names: &[String]) -> HashMap<String, (CameraLog, bool)> {
        let mut ended = HashMap::new();
        for name in names {
            if let Some(running) = self.running.remove(name) {
                let was_recording = running.task.ended().await;
                ended.insert(name.clone(), (running.log, was_recording));
            }
        }
        ended
    }

    fn start(&mut self, camera: &Camera, log: CameraLog, was_recording: bool) {
        let status = self.status.camera(&camera.name);
        if camera.enabled {
            let silence_max = camera.stall_timeout.max(camera.poll_interval) + HEALTH_GRACE;
            status.expect(log.clone(), silence_max, Instant::now());
        } else {
            status.expect_nothing(true);
        }
        let recorder = Recorder::new(
            camera,
            self.segment,
            log.clone(),
            status,
            was_recording,
            wall::now_us(),
        );
        let task = Task::start(camera.clone(), recorder, self.readers.of(self.started));
        self.started += 1;
        self.running.insert(
            camera.name.clone(),
            Running {
                camera: camera.clone(),
                log,
                task,
            },
        );
    }

    /// Stops all.
    pub async fn stop(self) {
        for running in self.running.values() {
            running.task.stop();
        }
        for running in self.running.into_values() {
            running.task.ended().await;
        }
    }
}

/// How one list of cameras differs from another, by name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub added: Vec<String>,
    pub removed: Vec<String>,
    pub enabled: Vec<String>,
    pub disabled: Vec<String>,
    /// Those that changed otherwise.
    pub changed: Vec<String>,
}

impl Changes {
    fn between<'c>(old: impl Iterator<Item = &'c Camera>, new: &[Camera]) -> Self {
        let mut old: BTreeMap<&str, &Camera> =
            old.map(|camera| (camera.name.as_str(), camera)).collect();
        let mut changes = Self::default();
        for camera in new {
            match old.remove(camera.name.as_str()) {
                None => changes.added.push(camera.name.clone()),
                Some(before) if records_the_same(before, camera) => {}
                Some(before) => {
                    let those = match (before.enabled, camera.enabled) {
                        (false, true) => &mut changes.enabled,
                        (true, false) => &mut changes.disabled,
                        _ => &mut changes.changed,
                    };
                    those.push(camera.name.clone());
                }
            }
        }
        changes.removed = old.into_keys().map(str::to_owned).collect();
        changes
    }

    /// Those that were there and are there, otherwise.
    fn restarted(&self) -> impl Iterator<Item = &String> {
        (self.enabled.iter())
            .chain(&self.disabled)
            .chain(&self.changed)
    }
}

/// Whether the two differ at most in what footage may go, which is the store's to know.
fn records_the_same(old: &Camera, new: &Camera) -> bool {
    let with_rules_of_new = Camera {
        retain: new.retain,
        max_size: new.max_size,
        ..old.clone()
    };
    with_rules_of_new == *new
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::secret::Password;
    use crate::config::url::CameraUrl;

    fn camera(name: &str, url: &str) -> Camera {
        Camera::new(name, CameraUrl::parse(url).unwrap().0)
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn only_what_differs_is_touched() {
        let old = [
            camera("a", "http://a/"),
            camera("b", "http://b/"),
            camera("c", "http://c/"),
        ];
        let new = [
            camera("d", "http://d/"),
            camera("c", "http://c/new"),
            camera("a", "http://a/"),
        ];
        assert_eq!(
            Changes::between(old.iter(), &new),
            Changes {
                added: names(&["d"]),
                removed: names(&["b"]),
                changed: names(&["c"]),
                ..Changes::default()
            }
        );
        assert_eq!(Changes::between(old.iter(), &old), Changes::default());
    }

    #[test]
    fn a_camera_that_is_switched_on_or_off_is_told_as_that() {
        let on = camera("a", "http://a/");
        let off = Camera {
            enabled: false,
            ..on.clone()
        };
        let disabled = Changes::between([on.clone()].iter(), std::slice::from_ref(&off));
        assert_eq!(disabled.disabled, names(&["a"]));
        let enabled = Changes::between([off].iter(), &[on]);
        assert_eq!(enabled.enabled, names(&["a"]));
        for changes in [disabled, enabled] {
            assert!(changes.restarted().eq(["a"]));
            assert!(changes.changed.is_empty());
        }
    }

    #[test]
    fn other_rules_are_no_reason_to_reconnect() {
        let kept = Camera {
            retain: Some(Duration::from_secs(86_400)),
            max_size: Some(1),
            ..camera("a", "http://a/")
        };
        let changes = Changes::between([camera("a", "http://a/")].iter(), &[kept]);
        assert_eq!(changes, Changes::default());
    }

    #[test]
    fn another_password_in_the_same_file_is_a_change() {
        let with = |password: &str| Camera {
            password: Some(Password::new(password.to_owned())),
            ..camera("a", "http://a/")
        };
        let changes = Changes::between([with("old")].iter(), &[with("new")]);
        assert_eq!(changes.changed, names(&["a"]));
    }
}
