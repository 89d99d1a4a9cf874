//! Receipts for what was removed: rows of `removals`. Not for choosing what goes.

use std::collections::{BTreeMap, HashMap};

use sqlx::SqliteConnection;

use super::removal::Victim;
use crate::rules::Rule;

/// Removals of a camera by one rule share a row for so long.
const SHARED_FOR_US: i64 = 3_600 * 1_000_000;

/// The rows that may still grow. A clone is what they are if the transaction fails.
#[derive(Clone, Debug, Default)]
pub(crate) struct Receipts {
    growing: HashMap<(i64, Rule), Growing>,
    /// Not written yet.
    fresh: BTreeMap<(i64, Rule), Receipt>,
}

#[derive(Clone, Copy, Debug)]
struct Growing {
    id: i64,
    since_us: i64,
}

/// What went, of one camera by one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Receipt {
    started_us: i64,
    ended_us: i64,
    segments: i64,
    frames: i64,
    bytes: i64,
}

impl Receipts {
    /// A segment goes.
    pub fn add(&mut self, victim: &Victim, rule: Rule) {
        let receipt = self
            .fresh
            .entry((victim.camera_id, rule))
            .or_insert(Receipt {
                started_us: victim.started_us,
                ended_us: victim.ended_us,
                segments: 0,
                frames: 0,
                bytes: 0,
            });
        receipt.started_us = receipt.started_us.min(victim.started_us);
        receipt.ended_us = receipt.ended_us.max(victim.ended_us);
        receipt.segments += 1;
        receipt.frames += victim.frames;
        receipt.bytes += victim.bytes;
    }

    /// A segment of the camera stays, between those that went and those that may go next: a row never spans what is there.
    pub async fn interrupt(
        &mut self,
        connection: &mut SqliteConnection,
        camera_id: i64,
        now_us: i64,
    ) -> sqlx::Result<()> {
        let of_camera = |key: &(i64, Rule)| key.0 == camera_id;
        let keys: Vec<_> = self.fresh.keys().copied().filter(of_camera).collect();
        for key in keys {
            self.write_one(connection, key, now_us).await?;
        }
        self.growing.retain(|key, _| !of_camera(key));
        Ok(())
    }

    /// Writes what is not written yet.
    pub async fn write(
        &mut self,
        connection: &mut SqliteConnection,
        now_us: i64,
    ) -> sqlx::Result<()> {
        while let Some((&key, _)) = self.fresh.first_key_value() {
            self.write_one(connection, key, now_us).await?;
        }
        Ok(())
    }

    async fn write_one(
        &mut self,
        connection: &mut SqliteConnection,
        key: (i64, Rule),
        now_us: i64,
    ) -> sqlx::Result<()> {
        let Some(receipt) = self.fresh.remove(&key) else {
            return Ok(());
        };
        let shared = self
            .growing
            .get(&key)
            .filter(|row| (0..SHARED_FOR_US).contains(&now_us.saturating_sub(row.since_us)));
        if let Some(row) = shared {
            return sqlx::query(
                "UPDATE removals SET started_us = min(started_us, ?), ended_us = max(ended_us, ?), \
                 segments = segments + ?, frames = frames + ?, bytes = bytes + ?, removed_us = ? WHERE id = ?",
            )
            .bind(receipt.started_us)
            .bind(receipt.ended_us)
            .bind(receipt.segments)
            .bind(receipt.frames)
            .bind(receipt.bytes)
            .bind(now_us)
            .bind(row.id)
            .execute(connection)
            .await
            .map(|_| ());
        }
        let id = sqlx::query_scalar(
            "INSERT INTO removals (camera_id, started_us, ended_us, segments, frames, bytes, rule, removed_us) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        )
        .bind(key.0)
        .bind(receipt.started_us)
        .bind(receipt.ended_us)
        .bind(receipt.segments)
        .bind(receipt.frames)
        .bind(receipt.bytes)
        .bind(key.1.name())
        .bind(now_us)
        .fetch_one(connection)
        .await?;
        let since_us = now_us;
        self.growing.insert(key, Growing { id, since_us });
        Ok(())
    }
}
