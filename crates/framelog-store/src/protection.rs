//! Footage that outlives every rule: the list of protected spans, read and changed beside a running recorder or without one. Not
//! for obeying it: that is `retention`.
//!
//! After each change the list is also written to `protected.toml` in the storage directory, so that an index that is made anew
//! protects the same.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use crate::disk::Disk;
use crate::error::Error;
use crate::reserve::Reserve;
use crate::rows::{self, execute};
use crate::{layout, schema, wall, whole_file};

/// How long a change waits for the recorder's commits.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// On a full disk a change is tried for so long, while the recorder makes room for it.
const FULL_TIMEOUT: Duration = Duration::from_secs(10);
/// So long it has time to.
const FULL_PAUSE: Duration = Duration::from_millis(200);
/// So many segments get free in one piece where there is no room to free all: some 200 pages of the index at most.
const PIECE: i64 = 64;

/// What precedes the list.
const HEAD: &str = "# Footage that outlives every rule: a copy of the list in index.db, read when that is made anew.\n\
                    # Change it with `framelog protect` and `framelog unprotect`. Times are microseconds since 1970, UTC.\n\n";

/// A protected span of one camera's footage, and what there is of it now.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Protection {
    /// For taking it away again.
    pub id: i64,
    /// Camera name.
    pub camera: String,
    /// Begin of the span, microseconds. Each segment that overlaps the span is protected as a whole.
    pub started_us: i64,
    /// End of the span, which belongs to it.
    pub ended_us: i64,
    /// Why, in words.
    pub note: String,
    /// Since when.
    pub added_us: i64,
    /// Segments that overlap it now.
    pub segments: i64,
    /// Their bytes.
    pub bytes: i64,
}

/// A list of protected footage, opened for reading and changing.
#[derive(Debug)]
pub struct Protections {
    storage: PathBuf,
    index: PathBuf,
    connection: SqliteConnection,
}

/// `protected.toml`. Unknown keys are left to later versions.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Copied {
    #[serde(default)]
    protection: Vec<Span>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Span {
    /// A new one where the list, made by hand, has none.
    id: Option<i64>,
    camera: String,
    started_us: i64,
    ended_us: i64,
    #[serde(default)]
    note: String,
    #[serde(default)]
    added_us: i64,
}

impl Protections {
    /// Opens the list of a storage directory, which must have an index.
    ///
    /// # Errors
    /// [`Error::NoIndex`], [`Error::NewerIndex`], [`Error::OlderIndex`], and [`Error::Index`], for one if it may not be written.
    pub async fn open(storage: &Path) -> Result<Self, Error> {
        let index = storage.join(layout::INDEX);
        if !index.exists() {
            return Err(Error::NoIndex { path: index });
        }
        let patience = Patience::new(storage);
        let (connection, found) = loop {
            match connect(&index)
                .await
                .map_err(Error::index_for_reading(&index, "opened"))
            {
                Err(error) if error.is_full() => patience.wait(&index).await?,
                connected => break connected?,
            }
        };
        schema::check_version(&index, found)?;
        let known = schema::known_version();
        if found < known {
            let path = index;
            return Err(Error::OlderIndex { path, found, known });
        }
        Ok(Self {
            storage: storage.to_owned(),
            index,
            connection,
        })
    }

    /// Protects a span of a camera's footage, past and to come. When it returns no rule removes any of it any more.
    ///
    /// # Errors
    /// [`Error::CameraName`] if the index doesn't know the camera; [`Error::Index`], [`Error::Io`] if it can't be written.
    pub async fn add(
        &mut self,
        camera: &str,
        started_us: i64,
        ended_us: i64,
        note: &str,
    ) -> Result<Protection, Error> {
        let patience = Patience::new(&self.storage);
        let added: Option<i64> = loop {
            let added = self.change(async |connection| {
                sqlx::query_scalar(
                    "INSERT INTO protections (camera_id, started_us, ended_us, note, added_us) \
                     SELECT id, ?, ?, ?, ? FROM cameras WHERE name = ? RETURNING id",
                )
                .bind(started_us)
                .bind(ended_us)
                .bind(note)
                .bind(wall::now_us())
                .bind(camera)
                .fetch_optional(connection)
                .await
            });
            match added.await {
                Err(error) if error.is_full() => patience.wait(&self.index).await?,
                added => break added?,
            }
        };
        self.copy().await?;
        let listed = self.list().await?;
        listed
            .into_iter()
            .find(|protection| Some(protection.id) == added)
            .ok_or_else(|| Error::CameraName {
                name: camera.to_owned(),
            })
    }

    /// Takes a protection away; `None` if there is none with this id. What no other protection holds may go again.
    ///
    /// # Errors
    /// [`Error::Index`], [`Error::Io`] if it can't be written.
    pub async fn remove(&mut self, id: i64) -> Result<Option<Protection>, Error> {
        let Some(protection) = self
            .list()
            .await?
            .into_iter()
            .find(|listed| listed.id == id)
        else {
            return Ok(None);
        };
        let mut patience = Patience::new(&self.storage);
        let mut piece = None;
        loop {
            match self
                .change(async |connection| shrink(connection, id, piece).await)
                .await
            {
                Err(error) if error.is_full() => {
                    patience.wait(&self.index).await?;
                    piece = Some(PIECE);
                }
                Err(error) => return Err(error),
                Ok(true) => break,
                // What is free now may make room.
                Ok(false) => patience = Patience::new(&self.storage),
            }
        }
        self.copy().await?;
        Ok(Some(protection))
    }

    /// All protections, by camera and begin.
    ///
    /// # Errors
    /// [`Error::Index`] if they can't be read.
    pub async fn list(&mut self) -> Result<Vec<Protection>, Error> {
        let overlaps = overlaps();
        let sql = format!(
            "SELECT p.id, c.name AS camera, p.started_us, p.ended_us, p.note, p.added_us, \
                 count(s.id) AS segments, coalesce(sum(s.bytes), 0) AS bytes \
             FROM protections p CROSS JOIN cameras c ON c.id = p.camera_id LEFT JOIN segments s ON {overlaps} \
             GROUP BY p.id ORDER BY c.name, p.started_us, p.id"
        );
        sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .fetch_all(&mut self.connection)
            .await
            .map_err(Error::index_for_reading(&self.index, "read"))
    }

    /// Bytes of all protected footage, each once.
    ///
    /// # Errors
    /// [`Error::Index`] if they can't be read.
    pub async fn bytes(&mut self) -> Result<u64, Error> {
        protected_bytes(&mut self.connection)
            .await
            .map_err(Error::index_for_reading(&self.index, "read"))
    }

    /// Bytes of the file system that the footage lies on.
    ///
    /// # Errors
    /// [`Error::Io`] if it doesn't say.
    pub fn disk_total(&self) -> Result<u64, Error> {
        let space = Disk::open(&self.storage).and_then(|disk| disk.space());
        let total = space.map(|space| space.total);
        total.map_err(Error::io(&self.storage, "measured"))
    }

    /// Makes a change, durable when this returns.
    async fn change<T>(
        &mut self,
        change: impl AsyncFnOnce(&mut SqliteConnection) -> sqlx::Result<T>,
    ) -> Result<T, Error> {
        check(&self.storage)?; // or the change would replace a list that can still be mended
        // A durable commit makes the recorder's rows before it durable too: their bytes first. Most of them before the recorder has to wait.
        self.sync()?;
        // Not sqlx's transactions: after a COMMIT for which there was no room, which SQLite rolls back by itself, sqlx allows no other.
        execute(&mut self.connection, "BEGIN IMMEDIATE")
            .await
            .map_err(Error::index_for_reading(&self.index, "written"))?;
        let changed = match self.try_change(change).await {
            Ok(changed) => execute(&mut self.connection, "COMMIT")
                .await
                .map(|()| changed)
                .map_err(Error::index_for_reading(&self.index, "written")),
            failed => failed,
        };
        if changed.is_err() {
            let _ = execute(&mut self.connection, "ROLLBACK").await; // fails if SQLite has done it
        }
        changed
    }

    fn sync(&self) -> Result<(), Error> {
        let synced = Disk::open(&self.storage).and_then(|disk| disk.sync_all());
        synced.map_err(Error::io(&self.storage, "synced"))
    }

    async fn try_change<T>(
        &mut self,
        change: impl AsyncFnOnce(&mut SqliteConnection) -> sqlx::Result<T>,
    ) -> Result<T, Error> {
        self.sync()?;
        change(&mut self.connection)
            .await
            .map_err(Error::index_for_reading(&self.index, "written"))
    }

    /// Writes `protected.toml` after a change.
    async fn copy(&mut self) -> Result<(), Error> {
        let patience = Patience::new(&self.storage);
        loop {
            match self.try_copy().await {
                Err(error) if error.is_full() => {
                    patience.wait(&self.storage.join(layout::PROTECTED)).await?;
                }
                copied => return copied,
            }
        }
    }

    async fn try_copy(&mut self) -> Result<(), Error> {
        let protection = self.list().await?.into_iter().map(|listed| Span {
            id: Some(listed.id),
            camera: listed.camera,
            started_us: listed.started_us,
            ended_us: listed.ended_us,
            note: listed.note,
            added_us: listed.added_us,
        });
        let copied = Copied {
            protection: protection.collect(),
        };
        toml::to_string(&copied)
            .map_err(io::Error::other)
            .map(|list| format!("{HEAD}{list}"))
            .and_then(|text| whole_file::write(&self.storage, layout::PROTECTED, text.as_bytes()))
            .map_err(Error::io(self.storage.join(layout::PROTECTED), "written"))
    }
}

/// A connection for changes, and the version of the index.
async fn connect(index: &Path) -> sqlx::Result<(SqliteConnection, i64)> {
    let mut connection = SqliteConnectOptions::new()
        .filename(index)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        // The recorder checkpoints, after it has synced the footage.
        .pragma("wal_autocheckpoint", "0")
        .disable_statement_logging()
        .connect()
        .await?;
    let version = schema::version(&mut connection).await?;
    Ok((connection, version))
}

/// How long a change is tried on a full disk.
#[derive(Debug)]
struct Patience {
    reserve: Option<Reserve>,
    ends: Instant,
}

impl Patience {
    fn new(storage: &Path) -> Self {
        Self {
            reserve: Disk::open(storage).ok().map(|disk| Reserve::new(&disk)),
            ends: Instant::now() + FULL_TIMEOUT,
        }
    }

    /// Returns when it is time to try again: with what the recorder keeps for such changes, or else with what it has freed meanwhile.
    ///
    /// # Errors
    /// [`Error::NoRoom`] if there is no point in it.
    async fn wait(&self, path: &Path) -> Result<(), Error> {
        if Instant::now() >= self.ends {
            let path = path.to_owned();
            return Err(Error::NoRoom { path });
        }
        if !self.reserve.as_ref().is_some_and(Reserve::give_up) {
            tokio::time::sleep(FULL_PAUSE).await;
        }
        Ok(())
    }
}

/// Takes a protection away, or its oldest part: up to the `piece`-th segment that is marked for it. True if nothing is left of it.
pub(crate) async fn shrink(
    connection: &mut SqliteConnection,
    id: i64,
    piece: Option<i64>,
) -> sqlx::Result<bool> {
    let next_us: Option<i64> = match piece {
        None => None,
        Some(piece) => {
            let overlaps = overlaps();
            let sql = format!(
                "SELECT s.started_us FROM protections p CROSS JOIN segments s ON {overlaps} \
                 WHERE p.id = ? AND s.protected = 1 AND s.started_us > p.started_us \
                 ORDER BY s.started_us LIMIT 1 OFFSET ?"
            );
            sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
                .bind(id)
                .bind(piece)
                .fetch_optional(&mut *connection)
                .await?
        }
    };
    // Those that another protection holds are found out again.
    let overlaps = overlaps();
    let sql = format!(
        "UPDATE segments SET protected = 0 WHERE id IN (SELECT s.id FROM protections p CROSS JOIN segments s ON {overlaps} \
             WHERE p.id = ?1 AND s.protected = 1 AND (?2 IS NULL OR s.started_us < ?2))"
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(id)
        .bind(next_us)
        .execute(&mut *connection)
        .await?;
    let sql = match next_us {
        Some(_) => "UPDATE protections SET started_us = ?2 WHERE id = ?1",
        None => "DELETE FROM protections WHERE id = ?1",
    };
    let changed = sqlx::query(sql).bind(id).bind(next_us).execute(connection);
    changed.await.map(|_| next_us.is_none())
}

/// In SQL, that the segment `s` overlaps the protection `p`. A segment that does begins before its end, and at most the camera's longest
/// segment before its start.
fn overlaps() -> String {
    format!(
        "s.camera_id = p.camera_id AND s.started_us <= p.ended_us AND s.ended_us >= p.started_us AND s.started_us >= p.started_us - {}",
        rows::longest("p.camera_id")
    )
}

/// In SQL, that a protection overlaps the segment `s`.
pub(crate) const IS_PROTECTED: &str = "EXISTS (SELECT 1 FROM protections p WHERE p.camera_id = s.camera_id \
     AND p.started_us <= s.ended_us AND p.ended_us >= s.started_us)";

/// Bytes of all protected footage, each once.
pub(crate) async fn protected_bytes(connection: &mut SqliteConnection) -> sqlx::Result<u64> {
    let overlaps = overlaps();
    let sql = format!(
        "SELECT coalesce(sum(bytes), 0) FROM (SELECT DISTINCT s.id, s.bytes FROM protections p CROSS JOIN segments s ON {overlaps})"
    );
    let bytes: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .fetch_one(connection)
        .await?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}

/// Whether `protected.toml` can be read, if there is one: without it nobody knows what an index that was lost protected.
pub(crate) fn check(storage: &Path) -> Result<(), Error> {
    read(storage).map(|_| ())
}

/// Gives a new index the protections in `protected.toml` that it does not have from the one before. A file that can't be read is said and left:
/// recording matters more.
pub(crate) async fn restore(
    storage: &Path,
    connection: &mut SqliteConnection,
    now_us: i64,
) -> sqlx::Result<()> {
    let mut spans = match read(storage) {
        Ok(spans) => spans,
        Err(error) => {
            tracing::error!(%error, "footage is not protected as it was");
            return Ok(());
        }
    };
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let known: HashSet<(String, i64, i64)> = sqlx::query_as(
        "SELECT c.name, p.ended_us, p.added_us FROM protections p JOIN cameras c ON c.id = p.camera_id",
    )
    .fetch_all(&mut *transaction)
    .await?
    .into_iter()
    .collect();
    // The begin of one that is being taken away may have moved.
    spans.retain(|span| !known.contains(&(span.camera.clone(), span.ended_us, span.added_us)));
    for span in &spans {
        // If it has been taken out of the configuration, that is found next. Until when it was recorded its footage tells.
        sqlx::query("INSERT OR IGNORE INTO cameras (name, added_us) VALUES (?, ?)")
            .bind(&span.camera)
            .bind(now_us)
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "INSERT INTO protections (id, camera_id, started_us, ended_us, note, added_us) \
             SELECT CASE WHEN EXISTS (SELECT 1 FROM protections WHERE id = ?1) THEN NULL ELSE ?1 END, id, ?2, ?3, ?4, ?5 \
             FROM cameras WHERE name = ?6",
        )
        .bind(span.id)
        .bind(span.started_us)
        .bind(span.ended_us)
        .bind(&span.note)
        .bind(span.added_us)
        .bind(&span.camera)
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await?;
    if !spans.is_empty() {
        tracing::info!(
            protections = spans.len(),
            "a new index protects what protected.toml lists"
        );
    }
    Ok(())
}

fn read(storage: &Path) -> Result<Vec<Span>, Error> {
    let path = storage.join(layout::PROTECTED);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(Error::io(&path, "read"))?,
    };
    let damaged = |detail| Error::Protected {
        path: path.clone(),
        detail,
    };
    let mut copied: Copied =
        toml::from_str(&text).map_err(|error| damaged(error.message().to_owned()))?;
    copied.protection.retain(|span| {
        let is_right =
            layout::check_camera(&span.camera).is_ok() && span.started_us <= span.ended_us;
        if !is_right {
            let error = damaged(format!(
                "{:?} from {} to {}: no such camera or span",
                span.camera, span.started_us, span.ended_us
            ));
            tracing::error!(%error, "this footage is not protected as it was");
        }
        is_right
    });
    Ok(copied.protection)
}
