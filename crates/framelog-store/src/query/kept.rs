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

/// A camera's footage by whether it may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Removable {
    /// Bytes of all of it.
    #[sqlx(try_from = "i64")]
    pub all_bytes: u64,
    /// Bytes of closed segments that no protection overlaps.
    #[sqlx(try_from = "i64")]
    pub bytes: u64,
    /// Bytes of those whose last frame arrived before the time that was asked for.
    #[sqlx(try_from = "i64")]
    pub old_bytes: u64,
}

impl Reader {
    /// Every camera of which there is footage, by name.
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

    /// How much of a camera's footage there is, and how much of it may go.
    pub async fn removable(&self, camera: &str, before_us: i64) -> Result<Removable, Error> {
        sqlx::query_as(
            "SELECT coalesce(sum(bytes), 0) AS all_bytes, coalesce(sum(CASE WHEN may_go THEN bytes END), 0) AS bytes, \
                 coalesce(sum(CASE WHEN may_go AND received_us < ?2 THEN bytes END), 0) AS old_bytes \
             FROM (SELECT bytes, received_us, state = 'closed' AND NOT EXISTS (SELECT 1 FROM protections p \
                     WHERE p.camera_id = s.camera_id AND p.started_us <= s.ended_us AND p.ended_us >= s.started_us) AS may_go \
                 FROM segments s WHERE camera_id = (SELECT id FROM cameras WHERE name = ?1))",
        )
        .bind(camera)
        .bind(before_us)
        .fetch_one(&self.pool)
        .await
        .map_err(self.failed())
    }
}
