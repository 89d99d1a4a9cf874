//! Indexes of earlier and later programs: the former are taken over with every row, the latter are left alone.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use sqlx::migrate::{Migration, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, SqliteConnection};

use crate::support::RUNTIME;
use crate::support::camera::{Camera, Listen, live};
use crate::support::daemon::{Daemon, Place};
use crate::support::index::Row;

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

const LIMIT: Duration = Duration::from_secs(30);

/// What every version of the index has had, in an order in which rows may be put in.
const TABLES: [&str; 6] = [
    "recorder", "sessions", "cameras", "segments", "frames", "gaps",
];

fn versions() -> Vec<i64> {
    MIGRATIONS
        .iter()
        .map(|migration| migration.version)
        .collect()
}

async fn connect(file: &Path) -> SqliteConnection {
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .connect()
        .await
        .expect("an index")
}

async fn execute(connection: &mut SqliteConnection, sql: String) {
    let done = sqlx::query(AssertSqlSafe(sql.clone()))
        .execute(connection)
        .await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// The columns of a table, by name.
async fn columns(connection: &mut SqliteConnection, table: &str) -> Vec<String> {
    let sql = format!("SELECT name FROM pragma_table_info('{table}')");
    let names = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(connection);
    names.await.expect("a table")
}

/// Puts an index of that version in the place of the one that is there, with all of its rows that there was a place for then.
async fn go_back(storage: &Path, version: i64) {
    let (present, earlier) = (storage.join("index.db"), storage.join("earlier.db"));
    let mut old = connect(&earlier).await;
    let known: Vec<Migration> = MIGRATIONS
        .iter()
        .filter(|migration| migration.version <= version)
        .cloned()
        .collect();
    Migrator::with_migrations(known)
        .run(&mut old)
        .await
        .expect("migrations");
    execute(
        &mut old,
        format!("ATTACH '{}' AS present", present.display()),
    )
    .await;
    for table in TABLES {
        let columns = columns(&mut old, table).await.join(", ");
        let sql =
            format!("INSERT INTO main.{table} ({columns}) SELECT {columns} FROM present.{table}");
        execute(&mut old, sql).await;
    }
    execute(&mut old, "DETACH present".to_owned()).await;
    old.close().await.expect("a good end");
    for suffix in ["-wal", "-shm"] {
        // A recorder that was stopped leaves none.
        let _ = std::fs::remove_file(storage.join(format!("index.db{suffix}")));
    }
    std::fs::rename(earlier, present).expect("a new name");
}

fn user_version(storage: &Path) -> i64 {
    RUNTIME.block_on(async {
        let mut index = connect(&storage.join("index.db")).await;
        let version = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut index);
        version.await.expect("a number")
    })
}

fn stop(place: &Place, daemon: Daemon) {
    let status = daemon.stop(LIMIT).expect("a stop in time");
    assert!(status.success(), "{}", place.log());
}

/// As [`stop`], of a recorder whose index was once of a version that had no accounts of what it stored.
fn stop_with_fewer_accounts(place: &Place, mut daemon: Daemon) {
    daemon.signal(Signal::TERM);
    let status = daemon.wait_whatever_it_did(LIMIT).expect("a stop in time");
    assert!(status.success(), "{}", place.log());
}

/// Waits until there are more rows than so many.
fn record_more_than(place: &Place, known: usize) -> Vec<Row> {
    place.wait_for("frames", LIMIT, |index| {
        Some(index.rows_of("gate")).filter(|rows| rows.len() > known + 20)
    })
}

#[test]
fn an_index_of_every_earlier_version_is_taken_over_with_its_rows() {
    let versions = versions();
    let (latest, earlier) = versions.split_last().expect("migrations");
    assert!(!earlier.is_empty());
    for &version in earlier {
        let gate = Camera::start(Listen::plainly(61), live(50));
        let place = Place::new(&gate.section("gate", "/"));
        let daemon = place.run();
        record_more_than(&place, 0);
        stop(&place, daemon);
        let index = place.index().expect("an index");
        let (before, gaps) = (index.rows_of("gate"), index.gaps().expect("gaps"));
        drop(index);
        RUNTIME.block_on(go_back(&place.storage(), version));
        assert_eq!(user_version(&place.storage()), version);

        let daemon = place.run();
        record_more_than(&place, before.len());
        stop_with_fewer_accounts(&place, daemon);
        assert_eq!(user_version(&place.storage()), *latest);
        let index = place.index().expect("an index");
        let after = index.frames_of("gate");
        let taken_over: Vec<_> = after[..before.len()].iter().map(|(row, _)| row).collect();
        assert_eq!(taken_over, before.iter().collect::<Vec<_>>());
        let known: Vec<_> = index
            .gaps()
            .expect("gaps")
            .into_iter()
            .take(gaps.len())
            .collect();
        assert_eq!(known, gaps);
        let verified = place.command(&["verify", "--deep"]);
        assert!(verified.status.success(), "{verified:?}");
        let set_aside = place
            .files()
            .into_iter()
            .any(|file| file.to_string_lossy().contains("before-"));
        assert!(!set_aside, "it was migrated, not made anew");
    }
}

#[test]
fn a_newer_index_is_refused_with_one_line_and_left_as_it_is() {
    let gate = Camera::start(Listen::plainly(62), live(50));
    let place = Place::new(&gate.section("gate", "/"));
    let daemon = place.run();
    record_more_than(&place, 0);
    stop(&place, daemon);
    let future = versions().last().expect("migrations") + 1;
    RUNTIME.block_on(async {
        let mut index = connect(&place.storage().join("index.db")).await;
        let row = format!(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES ({future}, 'of the future', 1, x'00', 0)"
        );
        execute(&mut index, row).await;
        execute(&mut index, format!("PRAGMA user_version = {future}")).await;
        index.close().await.expect("a good end");
    });
    let before = std::fs::read(place.storage().join("index.db")).expect("an index");
    for arguments in [&["run"][..], &["find", "gate"]] {
        let output = place.command(arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        let errors: Vec<_> = said
            .lines()
            .filter(|line| line.starts_with("framelog: "))
            .collect();
        let [line] = &errors[..] else {
            panic!("{said}");
        };
        for word in [
            &format!("version {future}"),
            "newer",
            "use the newer framelog",
        ] {
            assert!(line.contains(word), "{line}");
        }
    }
    let after = std::fs::read(place.storage().join("index.db")).expect("an index");
    assert!(before == after, "the index was changed");
}
