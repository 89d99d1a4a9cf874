//! What is sent, as JSON: docs/webhook.md is the interface.

use serde::Serialize;

use super::changes::Change;
use crate::status::Status;

/// One change, told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// The same each time that it is sent.
    pub id: String,
    /// `camera_lost` and so on.
    pub event: &'static str,
    /// When it was seen, microseconds since the Unix epoch.
    pub at_us: i64,
    /// UUID of the storage directory, once it is known.
    pub recorder: Option<String>,
    /// Whose change it is; none if it is all cameras'.
    pub camera: Option<String>,
    /// As in `status`.
    pub reason: Option<&'static str>,
    /// In words.
    pub detail: Option<String>,
    /// All of it in words.
    pub text: String,
    /// How many events before this one could not be told.
    pub missed: u64,
}

impl Event {
    /// The `number`th of this run.
    pub fn new(change: Change, number: u64, at_us: i64, status: &Status) -> Self {
        let began_us = status.began_us().unwrap_or_default();
        let recorder = status.recorder().map(|recorder| recorder.uuid);
        let (event, camera, why, text) = match change {
            Change::CameraLost(camera, reason, detail) => {
                let text = format!("{camera} is not recorded: {reason}: {detail}");
                ("camera_lost", Some(camera), Some((reason, detail)), text)
            }
            Change::CameraBack(camera) => {
                let text = format!("{camera} is recorded again");
                ("camera_back", Some(camera), None, text)
            }
            Change::CameraDisabled(camera) => {
                let text = format!("{camera} is not to be recorded any more");
                ("camera_disabled", Some(camera), None, text)
            }
            Change::StorageLost(reason, detail) => {
                let text = format!("frames can't be stored: {reason}: {detail}");
                ("storage_lost", None, Some((reason, detail)), text)
            }
            Change::StorageBack => {
                let text = "frames are stored again".to_owned();
                ("storage_back", None, None, text)
            }
        };
        let (reason, detail) = why.unzip();
        Self {
            id: format!("{}-{began_us}-{number}", recorder.as_deref().unwrap_or("0")),
            event,
            at_us,
            recorder,
            camera,
            reason,
            detail,
            text,
            missed: 0,
        }
    }
}
