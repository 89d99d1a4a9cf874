//! How many bytes of footage each camera has: summed once, then followed. Not for what the disk says.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sqlx::SqliteConnection;

use crate::rows;

/// What is stored, by camera.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    cameras: BTreeMap<i64, Used>,
    total: i64,
    /// Bytes so far of segments that are open, by id.
    growing: HashMap<i64, i64>,
}

/// One camera's part.
#[derive(Clone, Debug)]
pub(crate) struct Used {
    pub name: Arc<str>,
    /// Whether it is in the configuration.
    pub is_configured: bool,
    bytes: i64,
}

impl Usage {
    /// What the index says.
    pub async fn sum(connection: &mut SqliteConnection) -> sqlx::Result<Self> {
        let rows: Vec<(i64, String, bool, i64)> = sqlx::query_as(
            "SELECT c.id, c.name, c.removed_us IS NULL, coalesce(s.bytes, 0) FROM cameras c \
             LEFT JOIN (SELECT camera_id, sum(bytes) AS bytes FROM segments GROUP BY camera_id) s ON s.camera_id = c.id",
        )
        .fetch_all(connection)
        .await?;
        let total = rows.iter().map(|(.., bytes)| bytes).sum();
        let used = |(id, name, is_configured, bytes): (i64, String, bool, i64)| {
            let name = name.into();
            (
                id,
                Used {
                    name,
                    is_configured,
                    bytes,
                },
            )
        };
        Ok(Self {
            cameras: rows.into_iter().map(used).collect(),
            total,
            growing: HashMap::new(),
        })
    }

    /// A camera is new, or in the configuration again, or no longer.
    pub fn follow_camera(&mut self, camera: &rows::Camera) {
        let bytes = self.of(camera.id).cast_signed();
        let used = Used {
            name: camera.name.clone(),
            is_configured: camera.removed_us.is_none(),
            bytes,
        };
        self.cameras.insert(camera.id, used);
    }

    /// A segment is so large now.
    pub fn follow(&mut self, segment: &rows::Segment) {
        let before = if segment.open {
            self.growing.insert(segment.id, segment.bytes)
        } else {
            self.growing.remove(&segment.id)
        };
        self.add(segment.camera_id, segment.bytes - before.unwrap_or(0));
    }

    /// A closed segment of so many bytes is gone.
    pub fn remove(&mut self, camera_id: i64, bytes: i64) {
        self.add(camera_id, -bytes);
    }

    fn add(&mut self, camera_id: i64, bytes: i64) {
        if let Some(used) = self.cameras.get_mut(&camera_id) {
            used.bytes += bytes;
            self.total += bytes;
        }
    }

    /// Bytes of all cameras.
    pub fn total(&self) -> u64 {
        u64::try_from(self.total).unwrap_or(0)
    }

    /// Bytes of one camera.
    pub fn of(&self, camera_id: i64) -> u64 {
        self.cameras
            .get(&camera_id)
            .map_or(0, |used| u64::try_from(used.bytes).unwrap_or(0))
    }

    /// All cameras, by id.
    pub fn cameras(&self) -> impl Iterator<Item = (i64, &Used)> {
        self.cameras.iter().map(|(id, used)| (*id, used))
    }

    /// Whether a camera of this name is configured.
    pub fn is_configured(&self, name: &str) -> bool {
        self.cameras
            .values()
            .any(|used| used.is_configured && &*used.name == name)
    }
}

#[cfg(test)]
mod tests {
    use framelog_core::frame::Codec;

    use super::*;

    fn segment(id: i64, bytes: i64, open: bool) -> rows::Segment {
        rows::Segment {
            id,
            camera_id: 1,
            path: "footage/a/x".into(),
            codec: Codec::Mjpeg,
            started_us: 0,
            ended_us: 0,
            frames: 1,
            bytes,
            open,
            offset_us: 0,
            received_us: 0,
        }
    }

    #[test]
    fn segments_count_as_they_grow_and_once() {
        let mut usage = Usage::default();
        usage.follow_camera(&rows::Camera {
            id: 1,
            name: "a".into(),
            added_us: 0,
            removed_us: None,
        });
        for (bytes, open, total) in [(100, true, 100), (250, true, 250), (250, false, 250)] {
            usage.follow(&segment(1, bytes, open));
            assert_eq!((usage.total(), usage.of(1)), (total, total));
        }
        usage.follow(&segment(2, 30, false));
        assert_eq!(usage.total(), 280);
        usage.remove(1, 250);
        assert_eq!((usage.total(), usage.of(1)), (30, 30));
        assert!(usage.is_configured("a") && !usage.is_configured("b"));
    }
}
