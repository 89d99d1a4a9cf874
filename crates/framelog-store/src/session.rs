//! The index as it is found at a start: opened, brought to this version, and what the last run left open closed. Not for what
//! is written later: that is `index`.

use std::path::Path;
use std::time::Duration;

use sqlx::{Connection as _, SqliteConnection};
use uuid::Uuid;

use crate::direct::directly;
use crate::disk::Disk;
use crate::error::Error;
use crate::lost_index::{self, Mark};
use crate::rebuild::{self, Plan};
use crate::recovery::{self, Killed, Recovered};
use crate::rows::{self, next_id};
use crate::schema::{connect, migrate};
use crate::{accounts, footage_dirs, identity, layout, owner, protection, refusal};

/// An index that is ready for writing, and what it knows.
#[derive(Debug)]
pub(crate) struct Session {
    pub connection: SqliteConnection,
    pub known: Begun,
}

/// What an index says when a session begins.
#[derive(Debug)]
pub(crate) struct Begun {
    pub uuid: Uuid,
    pub id: i64,
    pub cameras: Vec<Known>,
    pub next_segment_id: i64,
    pub next_gap_id: i64,
    /// Footage that is not in the index, if that is to be made anew.
    pub rebuild: Option<Plan>,
}

/// A camera of an earlier run.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub row: rows::Camera,
    /// Where its footage ends.
    pub last_captured_us: Option<i64>,
    /// Where its last gap ends.
    pub last_gap_us: Option<i64>,
}

impl Known {
    /// Takes over where its footage ends, while that is not in the index.
    fn ends_at(&mut self, plan: &Plan) {
        let found = plan.cameras.iter().find(|(id, ..)| *id == self.row.id);
        let last_us = found.and_then(|(_, _, last_us)| *last_us);
        self.last_captured_us = self.last_captured_us.max(last_us);
    }

    /// The last moment that is accounted for, by footage or by a gap.
    pub fn accounted_us(&self) -> i64 {
        let known = [self.last_captured_us, self.last_gap_us];
        known
            .into_iter()
            .flatten()
            .fold(self.row.added_us, i64::max)
    }
}

/// Opens the index of a locked storage directory, makes it if it is not there, and begins a session. A damaged index is set aside, and made
/// anew. `sync` is how often this run will sync.
///
/// # Errors
/// [`Error::NewerIndex`], [`Error::Identity`] if the directory's identity is not the index's, [`Error::Index`].
pub(crate) async fn begin(
    storage: &Path,
    disk: &Disk,
    sync: Duration,
    now_us: i64,
) -> Result<Session, Error> {
    if let Some(Mark::Asked | Mark::Moving { .. }) = lost_index::mark(storage)? {
        lost_index::set_aside(storage, now_us)?;
        tracing::info!(path = %storage.display(), "index was set aside; a new one is being made from the footage");
    }
    match try_begin(storage, disk, sync, now_us).await {
        Err(Error::Index { source, .. }) if refusal::is_damage(&source) => {
            lost_index::set_aside(storage, now_us)?;
            tracing::error!(
                error = %source,
                path = %storage.display(),
                "index is damaged and was set aside; a new one is being made from the footage"
            );
            try_begin(storage, disk, sync, now_us).await
        }
        begun => begun,
    }
}

async fn try_begin(
    storage: &Path,
    disk: &Disk,
    sync: Duration,
    now_us: i64,
) -> Result<Session, Error> {
    let path = storage.join(layout::INDEX);
    owner::make_index(storage);
    let mut connection = connect(&path)
        .await
        .map_err(Error::index(&path, "opened"))?;
    match begin_on(&mut connection, storage, disk, sync, now_us).await {
        Ok(known) => Ok(Session { connection, known }),
        Err(error) => {
            // Before anybody gives its files other names: SQLite removes the log by its path.
            let _ = connection.close().await;
            Err(error)
        }
    }
}

async fn begin_on(
    connection: &mut SqliteConnection,
    storage: &Path,
    disk: &Disk,
    sync: Duration,
    now_us: i64,
) -> Result<Begun, Error> {
    let path = storage.join(layout::INDEX);
    let failed = || Error::index(&path, "opened");
    migrate(&path, connection).await?;
    let is_new = !has_identity(connection).await.map_err(failed())?;
    if is_new {
        // Before it has an identity: what a crash or a full disk cuts short here is done again.
        if let Some(Mark::Begun {
            aside: Some(aside), ..
        }) = lost_index::mark(storage)?
        {
            lost_index::salvage(connection, &storage.join(aside))
                .await
                .map_err(failed())?;
        }
        protection::restore(storage, connection, now_us)
            .await
            .map_err(failed())?;
        if lost_index::mark(storage)?.is_none() && has_footage(disk).await? {
            lost_index::set_mark(
                storage,
                &Mark::Begun {
                    aside: None,
                    ids: None,
                },
            )?;
            tracing::warn!(path = %storage.display(), "there is footage and no index; one is being made from it");
        }
        // The database grows to what it begins with here and now, and not by the reserve of a small disk that is full. No row of footage is in
        // the log yet; what can't be brought in stays in it.
        let _ = rows::execute(connection, "PRAGMA wal_checkpoint(PASSIVE)").await;
    }
    let uuid = agree_on_identity(storage, connection, now_us).await?;
    let mark = lost_index::mark(storage)?;
    let is_rebuilding = mark.is_some();
    // All of a new index comes from `rebuild`.
    if !is_new && let Some(killed) = killed(connection, sync).await.map_err(failed())? {
        let recovered = recovery::recover(connection, disk, killed, is_rebuilding)
            .await
            .map_err(failed())?;
        log(&recovered);
    }
    let rebuild = match mark {
        Some(mark) => Some(begin_rebuild(connection, storage, disk, mark, now_us).await?),
        None => None,
    };
    close_what_was_left_open(connection)
        .await
        .map_err(failed())?;
    let id = insert_session(connection, sync, now_us)
        .await
        .map_err(failed())?;
    let next_segment_id = next_id(connection, "segments").await.map_err(failed())?;
    let mut cameras = known_cameras(connection).await.map_err(failed())?;
    if let Some(plan) = &rebuild {
        cameras.iter_mut().for_each(|known| known.ends_at(plan));
    }
    Ok(Begun {
        uuid,
        id,
        cameras,
        next_segment_id: rebuild
            .as_ref()
            .map_or(next_segment_id, |plan| plan.ids.end.max(next_segment_id)),
        next_gap_id: next_id(connection, "gaps").await.map_err(failed())?,
        rebuild,
    })
}

/// Plans for the footage that is not in the index. What ids it gets is known to the next start, if this run doesn't come to the end of it.
async fn begin_rebuild(
    connection: &mut SqliteConnection,
    storage: &Path,
    disk: &Disk,
    mark: Mark,
    now_us: i64,
) -> Result<Plan, Error> {
    let Mark::Begun { aside, ids } = mark else {
        return rebuild::plan(connection, disk, None, now_us).await; // it has just been asked for once more, for the next start
    };
    let plan = rebuild::plan(connection, disk, ids, now_us).await?;
    let ids = Some(plan.ids.clone());
    lost_index::set_mark(storage, &Mark::Begun { aside, ids })?;
    Ok(plan)
}

async fn has_footage(disk: &Disk) -> Result<bool, Error> {
    disk.blocking(footage_dirs::cameras)
        .await
        .and_then(|cameras| Ok(!cameras?.is_empty()))
        .map_err(Error::io(layout::FOOTAGE, "read"))
}

/// Whether the index has been begun before.
async fn has_identity(connection: &mut SqliteConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM recorder)")
        .fetch_one(connection)
        .await
}

/// The directory's UUID, in both places when this returns.
async fn agree_on_identity(
    storage: &Path,
    connection: &mut SqliteConnection,
    now_us: i64,
) -> Result<Uuid, Error> {
    let path = storage.join(layout::INDEX);
    let row: Option<String> = sqlx::query_scalar("SELECT uuid FROM recorder")
        .fetch_optional(&mut *connection)
        .await
        .map_err(Error::index(&path, "read"))?;
    let in_file = identity::read(storage)?;
    identity::agree(storage, in_file, row.as_deref())?;
    let uuid = match (&row, in_file) {
        (_, Some(in_file)) => in_file,
        (Some(in_index), None) => Uuid::parse_str(in_index).map_err(|error| Error::Identity {
            path: path.clone(),
            detail: format!("uuid {in_index:?} in the table recorder: {error}"),
        })?,
        (None, None) => Uuid::new_v4(),
    };
    if in_file.is_none() {
        identity::write(storage, uuid)?;
    }
    if row.is_none() {
        sqlx::query("INSERT INTO recorder (one, uuid, created_us) VALUES (1, ?, ?)")
            .bind(uuid.to_string())
            .bind(now_us)
            .execute(connection)
            .await
            .map_err(Error::index(&path, "written"))?;
    }
    Ok(uuid)
}

/// The last run, if it did not come to its end. If it does not say how often it synced, it did as this one will.
async fn killed(connection: &mut SqliteConnection, sync: Duration) -> sqlx::Result<Option<Killed>> {
    let last: Option<(i64, i64, Option<i64>, Option<i64>)> = sqlx::query_as(
        "SELECT id, alive_us, (SELECT sync_us FROM recorder), ended_us FROM sessions ORDER BY id DESC LIMIT 1",
    )
    .fetch_optional(connection)
    .await?;
    let killed = |(session_id, alive_us, sync_us, _): (i64, i64, Option<i64>, _)| {
        let sync_us = sync_us.and_then(|us| u64::try_from(us).ok());
        Killed {
            session_id,
            alive_us,
            sync: sync_us.map_or(sync, Duration::from_micros),
        }
    };
    Ok(last.filter(|(.., ended_us)| ended_us.is_none()).map(killed))
}

fn log(recovered: &Recovered) {
    let frames: i64 = recovered.frames.values().sum();
    let torn_bytes = recovered.torn_bytes;
    tracing::info!(
        frames,
        torn_bytes,
        "the last run was killed: its frames that were not in the index are"
    );
    if recovered.missing > 0 {
        tracing::warn!(
            frames = recovered.missing,
            "frames of the last run are not on the disk, as after a power cut: their rows were removed"
        );
    }
}

/// A run that was killed leaves gaps and segments open: a gap lasted until the next frame or, without one, as long as the run is known to have
/// lived; and what was on its way is lost.
async fn close_what_was_left_open(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query(
        "UPDATE gaps SET ended_us = max(started_us, coalesce( \
             (SELECT min(captured_us) FROM frames f WHERE f.camera_id = gaps.camera_id AND f.captured_us > gaps.started_us), \
             (SELECT alive_us FROM sessions ORDER BY id DESC LIMIT 1))) \
         WHERE ended_us IS NULL",
    )
    .execute(&mut *transaction)
    .await?;
    sqlx::query("UPDATE segments SET state = 'closed' WHERE state = 'open'")
        .execute(&mut *transaction)
        .await?;
    let killed: Option<i64> = sqlx::query_scalar(
        "SELECT id FROM sessions WHERE id = (SELECT max(id) FROM sessions) AND ended_us IS NULL",
    )
    .fetch_optional(&mut *transaction)
    .await?;
    if let Some(session_id) = killed {
        directly(&mut transaction, |sqlite| {
            accounts::close(sqlite, session_id)
        })
        .await?;
    }
    transaction.commit().await
}

/// The new run is the last one, and how often it syncs is known, at once: the next start goes by both.
async fn insert_session(
    connection: &mut SqliteConnection,
    sync: Duration,
    now_us: i64,
) -> sqlx::Result<i64> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query("UPDATE recorder SET sync_us = ?")
        .bind(i64::try_from(sync.as_micros()).unwrap_or(i64::MAX))
        .execute(&mut *transaction)
        .await?;
    let id = sqlx::query_scalar(
        "INSERT INTO sessions (version, started_us, alive_us) VALUES (?, ?, ?) RETURNING id",
    )
    .bind(env!("CARGO_PKG_VERSION"))
    .bind(now_us)
    .bind(now_us)
    .fetch_one(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(id)
}

async fn known_cameras(connection: &mut SqliteConnection) -> sqlx::Result<Vec<Known>> {
    type Row = (i64, String, i64, Option<i64>, Option<i64>, Option<i64>);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, name, added_us, removed_us, \
             (SELECT ended_us FROM segments WHERE camera_id = c.id ORDER BY id DESC LIMIT 1), \
             (SELECT ended_us FROM gaps WHERE camera_id = c.id ORDER BY started_us DESC LIMIT 1) \
         FROM cameras c",
    )
    .fetch_all(connection)
    .await?;
    let known = |(id, name, added_us, removed_us, last_captured_us, last_gap_us): Row| Known {
        row: rows::Camera {
            id,
            name: name.into(),
            added_us,
            removed_us,
        },
        last_captured_us,
        last_gap_us,
    };
    Ok(rows.into_iter().map(known).collect())
}

/// An index of its own for a test, and the directory that goes with it.
#[cfg(test)]
pub(crate) async fn new_index() -> (tempfile::TempDir, SqliteConnection) {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::open(dir.path()).unwrap();
    let begun = begin(dir.path(), &disk, Duration::ZERO, 0).await;
    (dir, begun.unwrap().connection)
}
