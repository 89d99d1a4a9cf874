//! From when to when there is footage of each camera. Not for what lies in between.

use sqlx::FromRow;

use super::Reader;
use crate::error::Error;

/// The first and the last of a camera's footage.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct KeptRow {
    /// Camera name.
    pub camera: String,
    /// Capture time at which its first segment begins, microseconds.
    pub started_us: i64,
    /// Capture time at which its last segment ends, so far.
    pub ended_us: i64,
    /// Arrival of the last frame of its first segment: what it ages by.
    pub first_received_us: i64,
    /// A rule would have let that segment go, and it is protected.
    pub is_first_protected: bool,
}

impl Reader {
    /// Every camera of which there is footage, by name.
    ///
    /// # Errors
    /// [`Error::Index`] or [`Error::MalformedIndex`] if the index can't be read.
    pub async fn kept(&self) -> Result<Vec<KeptRow>, Error> {
        sqlx::query_as(
            "SELECT c.name AS camera, first.started_us, last.ended_us, first.received_us AS first_received_us, \
                 first.protected = 1 AS is_first_protected \
             FROM cameras c \
             JOIN segments first ON first.id = (SELECT id FROM segments WHERE camera_id = c.id ORDER BY started_us LIMIT 1) \
             JOIN segments last ON last.id = (SELECT id FROM segments WHERE camera_id = c.id ORDER BY started_us DESC LIMIT 1) \
             ORDER BY c.name",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(self.failed())
    }
}
