//! An index that is damaged, gone, or to be made anew: setting it aside, and what only it knew. Not for making rows of the footage: that is
//! `rebuild`.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::error::Error;
use crate::schema::{attach, detach};
use crate::{layout, refusal, whole_file};

/// There while the index is to be made anew, or is being made: a crash in between is no end of it.
const MARK: &str = "reindex";
/// In the mark: not begun yet.
const ASKED: &str = "asked\n";
/// In the mark, before the name that the old index is about to get.
const MOVING: &str = "moving ";
/// In the mark, before the name of the index that was set aside, if there was one: not all footage is in the new one.
const BEGUN: &str = "begun ";
/// In the mark's second line, before the ids that old segments get: the first one, and the one behind the last.
const IDS: &str = "ids ";

/// How far making the index anew has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Asked,
    /// The old index, or some of its files, has this name now.
    Moving {
        aside: String,
    },
    /// The old index has this name now.
    Begun {
        aside: Option<String>,
        /// The ids that segments get which were there before, once they are counted.
        ids: Option<Range<i64>>,
    },
}

impl Mark {
    fn parse(text: &str) -> Self {
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        let name = |name: &str| Some(name.to_owned()).filter(|name| !name.is_empty());
        if let Some(aside) = first.strip_prefix(MOVING).and_then(name) {
            return Mark::Moving { aside };
        }
        let Some(aside) = first.strip_prefix(BEGUN) else {
            return Mark::Asked; // by hand, with `touch`
        };
        let ids = lines.next().and_then(|line| {
            let (first, end) = line.strip_prefix(IDS)?.split_once(' ')?;
            Some(first.parse().ok()?..end.parse().ok()?)
        });
        Mark::Begun {
            aside: name(aside),
            ids,
        }
    }

    fn text(&self) -> String {
        match self {
            Mark::Asked => ASKED.to_owned(),
            Mark::Moving { aside } => format!("{MOVING}{aside}\n"),
            Mark::Begun { aside, ids } => {
                let aside = aside.as_deref().unwrap_or_default();
                let ids = ids.as_ref();
                let ids = ids.map(|ids| format!("{IDS}{} {}\n", ids.start, ids.end));
                format!("{BEGUN}{aside}\n{}", ids.unwrap_or_default())
            }
        }
    }
}

/// The mark in a storage directory, if there is one.
pub(crate) fn mark(storage: &Path) -> Result<Option<Mark>, Error> {
    let path = storage.join(MARK);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(Mark::parse(&text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::io(path, "read")(source)),
    }
}

/// Leaves or changes the mark: on the disk when this returns.
pub(crate) fn set_mark(storage: &Path, mark: &Mark) -> Result<(), Error> {
    whole_file::write(storage, MARK, mark.text().as_bytes())
        .map_err(Error::io(storage.join(MARK), "written"))
}

/// Takes the mark away: all footage is in the index.
pub(crate) fn clear_mark(storage: &Path) -> Result<(), Error> {
    let path = storage.join(MARK);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io(path, "removed")(error))
        }
        _ => Ok(()),
    }
}

fn stamp(us: i64) -> String {
    let at = DateTime::<Utc>::from_timestamp_micros(us).unwrap_or_default();
    at.format("%Y%m%dT%H%M%S%.6fZ").to_string()
}

/// Gives the index another name, with its log, and says in the mark which, before and after: what a crash cuts short the next call goes on with.
pub(crate) fn set_aside(storage: &Path, now_us: i64) -> Result<(), Error> {
    let index = storage.join(layout::INDEX);
    let name = match mark(storage)? {
        Some(Mark::Moving { aside }) => aside,
        _ => {
            let aside = format!("{}{}", layout::ASIDE, stamp(now_us));
            let moving = Mark::Moving {
                aside: aside.clone(),
            };
            set_mark(storage, &moving)?;
            aside
        }
    };
    let aside = storage.join(&name);
    for suffix in layout::INDEX_SUFFIXES {
        let with_suffix = |path: &Path| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        match fs::rename(with_suffix(&index), with_suffix(&aside)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io(index, "set aside")(error));
            }
            _ => {}
        }
    }
    let aside = aside.exists().then_some(name);
    set_mark(storage, &Mark::Begun { aside, ids: None })
}

/// Saves what footage does not say of itself from an index that is open but no longer at its path, for the one that is made next. Whatever
/// has taken its place is set aside.
pub(crate) async fn save(
    connection: &mut SqliteConnection,
    storage: &Path,
    now_us: i64,
) -> Result<(), Error> {
    if storage.join(layout::INDEX).exists() {
        set_aside(storage, now_us)?;
    }
    let name = format!("{}.saved-{}", layout::INDEX, stamp(now_us));
    let path = storage.join(&name);
    save_tables(connection, &path)
        .await
        .map_err(Error::index(&path, "written"))?;
    let begun = Mark::Begun {
        aside: Some(name),
        ids: None,
    };
    set_mark(storage, &begun)
}

async fn save_tables(connection: &mut SqliteConnection, path: &Path) -> sqlx::Result<()> {
    attach(connection, path, "saved").await?;
    let copied = copy_tables(connection, |table| {
        format!("CREATE TABLE saved.{table} AS SELECT * FROM main.{table}")
    })
    .await;
    detach(connection, "saved").await?;
    copied
}

/// What footage does not say of itself, copied from the index that was set aside, as far as that can be read: each table wholly or not.
///
/// # Errors
/// If the new index can't be written.
pub(crate) async fn salvage(connection: &mut SqliteConnection, aside: &Path) -> sqlx::Result<()> {
    if let Err(error) = attach(connection, aside, "aside").await {
        tracing::warn!(%error, "nothing of the old index can be read; what only it knew is lost");
        return Ok(());
    }
    let copied = copy_tables(connection, |table| {
        format!("INSERT OR IGNORE INTO main.{table} SELECT * FROM aside.{table}")
    })
    .await;
    detach(connection, "aside").await?;
    copied
}

/// Copies each table that can be read.
async fn copy_tables(
    connection: &mut SqliteConnection,
    sql: fn(&'static str) -> String,
) -> sqlx::Result<()> {
    let has_cameras = copy(connection, "cameras", sql).await?;
    copy(connection, "sessions", sql).await?;
    copy(connection, "doomed", sql).await?;
    if !has_cameras {
        return Ok(()); // whose the others are can't be told
    }
    for table in ["gaps", "removals", "protections", "accounts"] {
        copy(connection, table, sql).await?;
    }
    Ok(())
}

/// Whether the table could be read.
async fn copy(
    connection: &mut SqliteConnection,
    table: &'static str,
    sql: fn(&'static str) -> String,
) -> sqlx::Result<bool> {
    match sqlx::query(AssertSqlSafe(sql(table)))
        .execute(connection)
        .await
    {
        Ok(_) => Ok(true),
        Err(error) if refusal::is_index_full(&error) => Err(error),
        Err(error) => {
            tracing::warn!(table, %error, "table of the old index can't be read; what only it knew is lost");
            Ok(false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let storage = tempfile::tempdir().unwrap();
        let aside = || "index.db.before-x".to_owned();
        for left in [
            Mark::Asked,
            Mark::Moving { aside: aside() },
            Mark::Begun {
                aside: None,
                ids: None,
            },
            Mark::Begun {
                aside: Some(aside()),
                ids: Some(5..5_000_000_000),
            },
        ] {
            set_mark(storage.path(), &left).unwrap();
            assert_eq!(mark(storage.path()).unwrap(), Some(left));
        }
        fs::write(storage.path().join(MARK), "").unwrap();
        assert_eq!(mark(storage.path()).unwrap(), Some(Mark::Asked));
    }

    #[test]
    fn what_a_crash_cut_short_goes_on_under_the_same_name() {
        let storage = tempfile::tempdir().unwrap();
        let path = |name: &str| storage.path().join(name);
        for name in ["index.db", "index.db-wal", "index.db-shm"] {
            fs::write(path(name), name).unwrap();
        }
        // As if it had been killed behind the first of them.
        let aside = "index.db.before-then".to_owned();
        set_mark(
            storage.path(),
            &Mark::Moving {
                aside: aside.clone(),
            },
        )
        .unwrap();
        fs::rename(path("index.db-wal"), path(&format!("{aside}-wal"))).unwrap();
        set_aside(storage.path(), 7).unwrap();
        for suffix in ["", "-wal", "-shm"] {
            let moved = fs::read_to_string(path(&format!("{aside}{suffix}"))).unwrap();
            assert_eq!(moved, format!("index.db{suffix}"));
        }
        let begun = Mark::Begun {
            aside: Some(aside),
            ids: None,
        };
        assert_eq!(mark(storage.path()).unwrap(), Some(begun));
    }
}
