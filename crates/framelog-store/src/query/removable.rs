//! How much footage rules would let go at once. Not for letting it go, which is `retention`'s, nor for `min_free`, of which the disk knows.

use sqlx::AssertSqlSafe;

use super::Reader;
use crate::error::Error;
use crate::protection::IS_PROTECTED;
use crate::rules::Rules;

/// A camera's footage by whether it may go.
#[derive(sqlx::FromRow)]
struct Removable {
    all_bytes: i64,
    /// Of closed segments that no protection overlaps.
    bytes: i64,
    /// Of those whose last frame arrived before a time.
    old_bytes: i64,
}

impl Reader {
    /// Bytes that these rules let go now, and bytes of all footage.
    ///
    /// # Errors
    /// [`Error::Index`] or [`Error::MalformedIndex`] if the index can't be read.
    pub async fn removable(&self, rules: &Rules, now_us: i64) -> Result<(u64, u64), Error> {
        let (mut all, mut may_go, mut goes) = (0, 0, 0);
        for camera in self.cameras().await? {
            let retain_us = (rules.retain_of(&camera))
                .and_then(|retain| i64::try_from(retain.as_micros()).ok());
            let before_us = retain_us.map_or(i64::MIN, |us| now_us.saturating_sub(us));
            let found = self.removable_of(&camera, before_us).await?;
            let [of_camera, bytes, old_bytes] =
                [found.all_bytes, found.bytes, found.old_bytes].map(i64::cast_unsigned);
            let max_size = rules.max_size_of(&camera).unwrap_or(u64::MAX);
            let too_much = of_camera.saturating_sub(max_size).min(bytes);
            all += of_camera;
            may_go += bytes;
            goes += old_bytes.max(too_much);
        }
        let max_size = rules.max_size.unwrap_or(u64::MAX);
        let too_much = all.saturating_sub(max_size).min(may_go);
        Ok((goes.max(too_much), all))
    }

    async fn removable_of(&self, camera: &str, before_us: i64) -> Result<Removable, Error> {
        let sql = format!(
            "SELECT coalesce(sum(bytes), 0) AS all_bytes, coalesce(sum(CASE WHEN may_go THEN bytes END), 0) AS bytes, \
                 coalesce(sum(CASE WHEN may_go AND received_us < ?2 THEN bytes END), 0) AS old_bytes \
             FROM (SELECT bytes, received_us, state = 'closed' AND NOT {IS_PROTECTED} AS may_go \
                 FROM segments s WHERE camera_id = (SELECT id FROM cameras WHERE name = ?1))"
        );
        sqlx::query_as(AssertSqlSafe(sql))
            .bind(camera)
            .bind(before_us)
            .fetch_one(&self.pool)
            .await
            .map_err(self.failed())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sqlx::Executor as _;

    use super::*;
    use crate::session::new_index;

    #[tokio::test]
    async fn what_is_protected_or_open_counts_and_stays() {
        let (dir, mut connection) = new_index().await;
        let rows = "INSERT INTO cameras (id, name, added_us) VALUES (1, 'gate', 0); \
            INSERT INTO segments (id, camera_id, path, codec, started_us, ended_us, frames, bytes, state, offset_us, received_us) VALUES \
                (1, 1, 'a', 'mjpeg', 0, 9, 1, 100, 'closed', 0, 9), (2, 1, 'b', 'mjpeg', 10, 19, 1, 20, 'closed', 0, 19), \
                (3, 1, 'c', 'mjpeg', 20, 29, 1, 3, 'closed', 0, 29), (4, 1, 'd', 'mjpeg', 30, 39, 1, 1000, 'open', 0, 39); \
            INSERT INTO protections (camera_id, started_us, ended_us, note, added_us) VALUES (1, 5, 6, '', 0)";
        connection.execute(rows).await.unwrap();
        let reader = Reader::open(dir.path()).await.unwrap();
        let removable = async |rules: Rules| reader.removable(&rules, 40).await.unwrap();
        assert_eq!(removable(Rules::default()).await, (0, 1123));
        let retain = Some(Duration::from_micros(20));
        let rules = Rules {
            retain,
            ..Rules::default()
        };
        assert_eq!(removable(rules).await, (20, 1123));
        for (max_size, goes) in [(1123, 0), (1113, 10), (7, 23)] {
            let rules = Rules {
                max_size: Some(max_size),
                ..Rules::default()
            };
            assert_eq!(removable(rules).await, (goes, 1123), "{max_size}");
        }
    }
}
