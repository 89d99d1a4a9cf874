//! Letting footage go: what the rules ask for, and room on a full disk. Works for the index task, on its connection, between
//! commits. Not for what the rules are (`rules`) nor for what a writer does that finds no room (`writer`, `room`).
//!
//! A removal is one durable transaction that deletes the rows, writes a receipt and notes the files as doomed; then the files are
//! deleted, and with the next commit that is durable the notes. Wherever a crash falls, the next start finishes it.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::SqliteConnection;
use tokio::sync::watch;

use crate::disk::Disk;
use crate::rebuild::Progress;
use crate::refusal;
use crate::reserve::Reserve;
use crate::room::Room;
use crate::rows::{self, execute};
use crate::rules::{Rule, Rules};

mod alarm;
mod demands;
mod doomed;
pub(crate) mod first_aid;
mod receipts;
mod removal;
mod trust;
mod usage;

use alarm::Alarm;
pub(crate) use doomed::Doomed;
use receipts::Receipts;
pub(crate) use removal::Victim;
use removal::{Demand, Removal};
use trust::Trust;
use usage::Usage;

/// What is there to do is looked at this often.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The most segments that go in one transaction.
const SEGMENTS_MAX: usize = 1_000;
/// Brings the log into the database, as far as readers let it.
const CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// How much footage there is, and how much room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keeping {
    /// Bytes of footage of all cameras.
    pub footage_bytes: u64,
    /// Bytes of it that are protected, at most a minute ago.
    pub protected_bytes: u64,
    /// Bytes free on the file system; 0 if it doesn't say.
    pub disk_free: u64,
    /// Bytes of the file system.
    pub disk_total: u64,
    /// Something must go and nothing may: all that is left is protected or still being written.
    pub is_starved: bool,
    /// This machine's clock leapt forward: nothing goes for its age until it has been so for an hour.
    pub distrusts_clock: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Retention {
    pub room: Arc<Room>,
    keeping: Arc<Mutex<Keeping>>,
    /// What `keeping` will be.
    now: Keeping,
    disk: Disk,
    reserve: Reserve,
    rules: Rules,
    usage: Usage,
    trust: Trust,
    alarm: Alarm,
    receipts: Receipts,
    files: Doomed,
    looked: Option<Instant>,
    ages_looked: Option<Instant>,
    removed: Option<Instant>,
    protections: Protections,
    /// The index's log has room of its own.
    has_log_room: bool,
    /// Nothing goes: what is protected is not known.
    rests: bool,
    /// Whether the index knows all footage, or is being made anew.
    rebuilt: Option<watch::Receiver<Progress>>,
    /// The index itself found no room.
    is_index_full: bool,
    is_cut_short: bool,
}

/// What is known of the table `protections`.
#[derive(Debug, Default)]
struct Protections {
    /// Changes whenever another program has written to the index.
    data_version: i64,
    any: bool,
    summed: Option<Instant>,
}

impl Retention {
    /// Nothing is known yet: see [`Retention::begin`].
    pub fn new(disk: Disk, rules: Rules) -> Self {
        Self {
            room: Arc::default(),
            keeping: Arc::default(),
            now: Keeping::default(),
            reserve: Reserve::new(&disk),
            disk,
            rules,
            usage: Usage::default(),
            trust: Trust::new(),
            alarm: Alarm::new(),
            receipts: Receipts::default(),
            files: Doomed::default(),
            looked: None,
            ages_looked: None,
            removed: None,
            protections: Protections::default(),
            has_log_room: false,
            rests: false,
            rebuilt: None,
            is_index_full: false,
            is_cut_short: false,
        }
    }

    /// Learns what there is, and finishes what the run before could not. Before anything is written. The files in `gone` had to go before the
    /// index could be opened: now their rows do.
    pub async fn begin(
        &mut self,
        connection: &mut SqliteConnection,
        gone: &[Victim],
        now_us: i64,
    ) -> sqlx::Result<()> {
        self.usage = Usage::sum(connection).await?;
        let sessions: Vec<(i64, Option<i64>)> = sqlx::query_as(
            "SELECT started_us, (SELECT alive_us FROM sessions b WHERE b.id < s.id ORDER BY b.id DESC LIMIT 1) \
             FROM sessions s ORDER BY id DESC LIMIT 100",
        )
        .fetch_all(&mut *connection)
        .await?;
        let newest: Option<(i64, i64)> = sqlx::query_as(
            "SELECT id, received_us FROM segments WHERE state = 'closed' AND protected = 0 ORDER BY received_us DESC LIMIT 1",
        )
        .fetch_optional(&mut *connection)
        .await?;
        self.trust.learn(&sessions, newest, now_us, Instant::now());
        let paths: Vec<String> = sqlx::query_scalar(
            "SELECT path FROM doomed WHERE path NOT IN (SELECT path FROM segments)",
        )
        .fetch_all(&mut *connection)
        .await?;
        self.files.add(paths);
        self.delete_files();
        self.files.unstick();
        if !gone.is_empty() {
            self.forget(connection, gone, now_us).await?;
        }
        if let Ok(space) = self.disk.space() {
            self.now.disk_total = space.total;
            self.now.disk_free = space.free;
        }
        let bytes = Reserve::bytes(self.now.disk_total);
        // The log's first: that can't be taken by anybody.
        let taken = [self.reserve.make_for_log(bytes), self.reserve.make(bytes)];
        self.has_log_room = taken[0].is_ok();
        let is_full = |taken: &io::Result<()>| {
            (taken.as_ref()).is_err_and(|error| refusal::is_full(error.kind()))
        };
        if taken.iter().any(is_full) {
            // Now is the time: writers would use up what is left for the index.
            let made = match self.demands(connection, 1, now_us).await {
                Ok(demands) => self.remove(connection, &demands, now_us).await,
                Err(error) => Err(error),
            };
            if let Err(error) = made {
                tracing::warn!(%error, "the disk is full and no room could be made");
            }
        }
        Ok(())
    }

    /// Removes the rows of these segments, in a transaction of their own.
    async fn forget(
        &mut self,
        connection: &mut SqliteConnection,
        gone: &[Victim],
        now_us: i64,
    ) -> sqlx::Result<()> {
        execute(connection, "BEGIN IMMEDIATE").await?;
        let forgotten = removal::forget(connection, gone, &mut self.receipts, now_us).await;
        let done = match forgotten {
            Ok(()) => execute(connection, "COMMIT").await,
            failed => failed,
        };
        if done.is_err() {
            let _ = execute(connection, "ROLLBACK").await; // fails if SQLite has done it
        }
        done?;
        for victim in gone {
            self.usage.remove(victim.camera_id, victim.bytes);
        }
        let bytes = gone.iter().map(|victim| victim.bytes.cast_unsigned()).sum();
        self.alarm.made_room(gone.len(), bytes, self.rules.min_free);
        Ok(())
    }

    /// Where the numbers for people can be read.
    pub fn keeping(&self) -> Arc<Mutex<Keeping>> {
        self.keeping.clone()
    }

    /// Other rules from now on.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
        self.looked = None;
        self.ages_looked = None;
    }

    /// Nothing goes in this run.
    pub fn rest(&mut self) {
        self.rests = true;
    }

    /// Until the index that is being made anew knows the oldest footage, none goes for `min_free`: newer would.
    pub fn wait_for_rebuild(&mut self, rebuilt: watch::Receiver<Progress>) {
        self.rebuilt = Some(rebuilt);
    }

    /// A camera is new, or in the configuration again, or no longer.
    pub fn follow_camera(&mut self, camera: &rows::Camera) {
        self.usage.follow_camera(camera);
    }

    /// A segment is so large now.
    pub fn follow(&mut self, segment: &rows::Segment) {
        self.usage.follow(segment);
    }

    /// The index found no room for its rows.
    pub fn index_is_full(&mut self) {
        self.is_index_full = true;
    }

    /// Whether it found none since this was asked last.
    pub fn take_index_full(&mut self) -> bool {
        std::mem::take(&mut self.is_index_full)
    }

    /// Whether there may be something to do.
    pub fn is_due(&self) -> bool {
        self.is_busy() || !is_within(self.looked, LOOK_EVERY)
    }

    /// Whether there is certainly something to do.
    pub fn is_busy(&self) -> bool {
        self.is_cut_short || self.is_index_full || self.room.is_asked()
    }

    /// What a full disk still lacks after a removal that was cut short.
    pub fn left(&self, demands: &[Demand], freed: u64) -> Vec<Demand> {
        let left = |demand: &Demand| Demand {
            bytes: demand.bytes.saturating_sub(freed),
            ..*demand
        };
        demands
            .iter()
            .filter(|demand| self.is_cut_short && demand.rule == Rule::DiskFull)
            .map(left)
            .filter(|demand| demand.bytes > 0)
            .collect()
    }

    /// Removes what is asked for, as much as fits into a transaction that nobody waits long for; the bytes that were freed.
    pub async fn remove(
        &mut self,
        connection: &mut SqliteConnection,
        demands: &[Demand],
        now_us: i64,
    ) -> sqlx::Result<u64> {
        let is_full = is_disk_full(demands);
        // Until the reserve is taken back: what nothing may go for, footage would use up.
        let _without_writers = match is_full {
            true => self.room.without_writers().await,
            false => None,
        };
        let removed = self.transact(connection, demands, now_us).await;
        if removed.is_err() && is_full {
            self.restore_reserve();
        }
        let removal = match removed {
            // Nothing could make room, not even a file.
            Err(error) if is_full && refusal::is_index_full(&error) => {
                let mut nothing = Removal::new(0, i64::MAX);
                nothing.unmet = demands.to_vec();
                nothing
            }
            removed => removed?,
        };
        self.is_cut_short = removal.is_cut_short;
        if !removal.victims.is_empty() {
            self.removed = Some(Instant::now());
        }
        for victim in &removal.victims {
            self.usage.remove(victim.camera_id, victim.bytes);
        }
        let freed = removal.freed();
        self.say(is_full, &removal);
        let paths = removal.victims.into_iter().map(|victim| victim.path);
        self.files.add(paths);
        self.delete_files();
        if is_full {
            self.restore_reserve();
        }
        self.publish();
        Ok(if self.files.is_stuck() { 0 } else { freed })
    }

    /// Brings the log into the database, so that it is begun again and has room for rows though nothing may go. What the database lacks for
    /// that comes from the reserve. Every row in the log must have its bytes on the disk.
    pub async fn empty_log(&self, connection: &mut SqliteConnection) -> sqlx::Result<()> {
        let _without_writers = self.room.without_writers().await;
        let mut emptied = execute(connection, CHECKPOINT).await;
        if emptied.as_ref().is_err_and(refusal::is_index_full) && self.reserve.give_up() {
            emptied = execute(connection, CHECKPOINT).await;
            self.restore_reserve();
        }
        emptied
    }

    /// Files whose rows are gone.
    pub fn files(&mut self) -> &mut Doomed {
        &mut self.files
    }

    /// One removal, whole and durable. On a full disk even that may find no room: then it is tried with as little as possible, and then
    /// with the log's space.
    async fn transact(
        &mut self,
        connection: &mut SqliteConnection,
        demands: &[Demand],
        now_us: i64,
    ) -> sqlx::Result<Removal> {
        let before = self.receipts.clone();
        let mut last_resorts = [
            Resort::Reserve,
            Resort::LessAtOnce,
            Resort::Log,
            Resort::File,
        ]
        .into_iter();
        let mut limit = SEGMENTS_MAX;
        loop {
            let removed = self.try_transact(connection, demands, limit, now_us).await;
            let Err(error) = removed else { return removed };
            self.receipts.clone_from(&before);
            match last_resorts
                .next()
                .filter(|_| refusal::is_index_full(&error))
            {
                None => return Err(error),
                Some(Resort::Reserve) => {
                    self.reserve.give_up();
                }
                Some(Resort::LessAtOnce) => limit = 1,
                // Every row in the log has its bytes on the disk, or the caller would not be here. If it fails, it does not help.
                Some(Resort::Log) => {
                    let _ = execute(connection, CHECKPOINT).await;
                }
                Some(Resort::File) => self.delete_oldest(connection, demands).await?,
            }
        }
    }

    /// Deletes the file that goes first before its rows are: only where these can't be deleted for want of space, because then nothing
    /// would ever be recorded again. A crash before the rows are gone leaves a segment whose file is missing.
    async fn delete_oldest(
        &self,
        connection: &mut SqliteConnection,
        demands: &[Demand],
    ) -> sqlx::Result<()> {
        execute(connection, "BEGIN IMMEDIATE").await?; // no protection is written meanwhile
        let is_there = |path: &str| self.disk.open_forgotten(Path::new(path)).is_ok();
        let oldest = removal::oldest(connection, demands, is_there).await;
        if let Ok(Some(path)) = &oldest {
            let paths = BTreeSet::from([path.clone()]);
            doomed::delete(&self.disk, paths, &BTreeSet::new());
        }
        execute(connection, "ROLLBACK").await?;
        oldest.map(|_| ())
    }

    async fn try_transact(
        &mut self,
        connection: &mut SqliteConnection,
        demands: &[Demand],
        limit: usize,
        now_us: i64,
    ) -> sqlx::Result<Removal> {
        let mut removal = Removal::new(limit, self.trust.spared_from(now_us));
        // Durable before the first file goes.
        execute(connection, "PRAGMA synchronous = FULL").await?;
        // Chosen and removed under one lock, so that a protection that has been written before it is obeyed.
        execute(connection, "BEGIN IMMEDIATE").await?;
        let met = removal
            .meet(connection, demands, &mut self.receipts, now_us)
            .await;
        let done = match met {
            Ok(()) => execute(connection, "COMMIT").await,
            failed => failed,
        };
        if done.is_err() {
            let _ = execute(connection, "ROLLBACK").await; // fails if SQLite has done it
        }
        done.map(|()| removal)
    }

    /// Deletes the doomed files, and the directories that are empty without them.
    fn delete_files(&mut self) {
        let usage = &self.usage;
        let is_idle = |camera: &str| !usage.is_configured(camera);
        self.files.delete(&self.disk, is_idle);
    }

    fn look_at_disk(&mut self) {
        // What is wrong with the disk is said by those who write to it.
        let Ok(space) = self.disk.space() else {
            return;
        };
        (self.now.disk_free, self.now.disk_total) = (space.free, space.total);
        let bytes = Reserve::bytes(space.total);
        if space.free > 4 * bytes {
            // What is free is known all the same where it can't be had.
            let _ = self.reserve.make(bytes);
            self.has_log_room = self.has_log_room || self.reserve.make_for_log(bytes).is_ok();
        }
    }

    /// Takes the reserve out of what a removal freed or left, before the writers know of it: the next removal needs it.
    fn restore_reserve(&self) {
        if let Ok(space) = self.disk.space() {
            // Less is better than none.
            let there_is = space.free.saturating_add(self.reserve.held());
            // Where it can't be had it is tried again at the next look.
            let _ = (self.reserve).make(Reserve::bytes(space.total).min(there_is));
        }
    }

    fn say(&mut self, is_full: bool, removal: &Removal) {
        if is_full && !removal.victims.is_empty() {
            let min_free = self.min_free();
            let segments = removal.victims.len();
            self.alarm.made_room(segments, removal.freed(), min_free);
        }
        self.now.is_starved = !removal.unmet.is_empty();
        // The last resort is the first demand.
        match removal.unmet.first() {
            Some(demand) => self.alarm.starves(demand.rule, demand.bytes, &self.now),
            None => self.alarm.is_met(),
        }
    }

    fn publish(&mut self) {
        self.now.footage_bytes = self.usage.total();
        // Nothing panics while it is held.
        *self.keeping.lock().unwrap_or_else(PoisonError::into_inner) = self.now;
    }
}

fn is_disk_full(demands: &[Demand]) -> bool {
    demands.iter().any(|demand| demand.rule == Rule::DiskFull)
}

/// Whether it was, and less than so long ago.
fn is_within(moment: Option<Instant>, time: Duration) -> bool {
    moment.is_some_and(|moment| moment.elapsed() < time)
}

/// What is tried, one after the other, when a removal finds no room for its own rows.
#[derive(Clone, Copy, Debug)]
enum Resort {
    /// Space that was kept for this.
    Reserve,
    /// Few rows need little space.
    LessAtOnce,
    /// What is in the database need not be in the log: it is written from its beginning again.
    Log,
    /// A file makes the room in which its rows are deleted.
    File,
}
