//! What the rules ask for at a moment: too old, too much, too little room. Not for what then goes: that is `removal`.

use std::time::{Duration, Instant};

use sqlx::SqliteConnection;

use super::removal::Demand;
use super::trust::Verdict;
use super::{Retention, is_within};
use crate::reserve::Reserve;
use crate::rules::{Rule, effective_min_free};

/// Ages are looked at this often: days don't need more.
const AGES_EVERY: Duration = Duration::from_secs(10);
/// Protected bytes are summed this often while there are protections: footage may still come into their spans.
const PROTECTED_EVERY: Duration = Duration::from_secs(60);
/// The same while nothing may go: how much is protected is what people are then told.
const PROTECTED_EVERY_STARVED: Duration = Duration::from_secs(5);
/// After a removal the file system has so long to show it before `min_free` asks for more.
const SETTLING: Duration = Duration::from_secs(1);

impl Retention {
    /// What should go now; `wanted` bytes of it because a write found no room, 0 if none did.
    pub async fn demands(
        &mut self,
        connection: &mut SqliteConnection,
        wanted: u64,
        now_us: i64,
    ) -> sqlx::Result<Vec<Demand>> {
        let is_full = self.is_index_full || wanted > 0;
        let now = Instant::now();
        let is_first_after_cut = std::mem::take(&mut self.is_cut_short);
        self.looked = Some(now);
        self.look_at_disk();
        self.sum_protected(connection, now).await?;
        if self.files.is_retry_due() {
            self.delete_files();
            self.files.unstick();
        }
        let mut demands = Vec::new();
        if !self.files.is_stuck() && !self.rests {
            if is_full {
                demands.push(of_any(
                    Rule::DiskFull,
                    wanted.saturating_add(margin(self.now.disk_total)),
                ));
            }
            if is_first_after_cut || !is_within(self.ages_looked, AGES_EVERY) {
                self.ages_looked = Some(now);
                self.too_old(connection, now_us, now, &mut demands).await?;
            }
            self.too_much(&mut demands);
        }
        if demands.is_empty() {
            self.now.is_starved = false;
            self.alarm.is_met();
        }
        self.publish();
        Ok(demands)
    }

    /// Protected bytes, after a change and now and then.
    async fn sum_protected(
        &mut self,
        connection: &mut SqliteConnection,
        now: Instant,
    ) -> sqlx::Result<()> {
        let data_version: i64 = sqlx::query_scalar("PRAGMA data_version")
            .fetch_one(&mut *connection)
            .await?;
        let is_same =
            std::mem::replace(&mut self.protections.data_version, data_version) == data_version;
        let every = match self.now.is_starved {
            true => PROTECTED_EVERY_STARVED,
            false => PROTECTED_EVERY,
        };
        let is_fresh = !self.protections.any || is_within(self.protections.summed, every);
        if is_same && is_fresh {
            return Ok(());
        }
        self.protections.summed = Some(now);
        self.protections.any = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM protections)")
            .fetch_one(&mut *connection)
            .await?;
        self.now.protected_bytes = crate::protection::protected_bytes(connection).await?;
        self.warn_of_protected();
        Ok(())
    }

    fn warn_of_protected(&mut self) {
        let free = self.now.disk_free.saturating_sub(self.min_free());
        let fits = self.usage.total().saturating_add(free);
        let room = self.rules.max_size.unwrap_or(u64::MAX).min(fits);
        self.alarm.protected(self.now.protected_bytes, room);
    }

    async fn too_old(
        &mut self,
        connection: &mut SqliteConnection,
        now_us: i64,
        now: Instant,
        demands: &mut Vec<Demand>,
    ) -> sqlx::Result<()> {
        if !self.rules.has_retain() {
            self.now.distrusts_clock = false;
            return Ok(());
        }
        let verdict = self.trust.verdict(now_us, now);
        self.now.distrusts_clock = verdict != Verdict::Go;
        if let Verdict::Rest { left, first } = verdict {
            if first {
                tracing::warn!(
                    minutes = left.as_secs().div_ceil(60),
                    "this machine's clock has leapt forward by more than a day since framelog last saw it: `retain` removes nothing for so many minutes; check the clock (timedatectl), and if it is wrong stop framelog until it is set"
                );
            }
            return Ok(());
        }
        for (camera_id, used) in self.usage.cameras() {
            let Some(retain) = self.rules.retain_of(&used.name) else {
                continue;
            };
            let retain_us = i64::try_from(retain.as_micros()).unwrap_or(i64::MAX);
            let before_us = now_us.saturating_sub(retain_us);
            let is_any: bool = sqlx::query_scalar(
                "SELECT EXISTS (SELECT 1 FROM segments \
                 WHERE camera_id = ? AND state = 'closed' AND protected = 0 AND received_us < ?)",
            )
            .bind(camera_id)
            .bind(before_us)
            .fetch_one(&mut *connection)
            .await?;
            demands.extend(is_any.then_some(Demand {
                rule: Rule::Retain,
                camera_id: Some(camera_id),
                before_us,
                bytes: u64::MAX,
            }));
        }
        Ok(())
    }

    fn too_much(&mut self, demands: &mut Vec<Demand>) {
        for (camera_id, used) in self.usage.cameras() {
            let max_size = self.rules.max_size_of(&used.name).unwrap_or(u64::MAX);
            let bytes = self.usage.of(camera_id).saturating_sub(max_size);
            demands.extend((bytes > 0).then_some(Demand {
                camera_id: Some(camera_id),
                ..of_any(Rule::MaxSize, bytes)
            }));
        }
        let max_size = self.rules.max_size.unwrap_or(u64::MAX);
        let rests = is_within(self.removed, SETTLING)
            || self.now.disk_total == 0
            || (self.rebuilt.as_ref()).is_some_and(|rebuilt| !rebuilt.borrow().done);
        let too_free = match rests {
            true => 0,
            false => self.min_free().saturating_sub(self.now.disk_free),
        };
        for (rule, bytes) in [
            (Rule::MaxSize, self.usage.total().saturating_sub(max_size)),
            (Rule::MinFree, too_free),
        ] {
            demands.extend((bytes > 0).then_some(of_any(rule, bytes)));
        }
    }

    /// `min_free` as far as it counts here.
    pub(super) fn min_free(&mut self) -> u64 {
        let counts = effective_min_free(self.rules.min_free, self.now.disk_total);
        if counts < self.rules.min_free && self.now.disk_total > 0 {
            self.alarm.min_free(self.rules.min_free, counts);
        }
        counts
    }
}

/// More than what a write lacked goes at once, so that the next one doesn't lack it again.
pub(super) fn margin(disk_total: u64) -> u64 {
    Reserve::bytes_in_all(disk_total) + (disk_total / 64).clamp(256 << 10, 16 << 20)
}

/// That so much should go, whatever camera's it is.
pub(super) fn of_any(rule: Rule, bytes: u64) -> Demand {
    Demand {
        rule,
        camera_id: None,
        before_us: i64::MAX,
        bytes,
    }
}
