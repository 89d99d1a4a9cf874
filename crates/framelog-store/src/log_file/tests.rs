//! Against SQLite itself, and what programs see that open the index in the usual way.

use std::fs;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::*;

/// The writing connection of a new index that has a table `t (a PRIMARY KEY, b)`; so many pages are held in SQLite's cache.
fn begin(dir: &Path, cache_pages: u32) -> Connection {
    let path = dir.join("index.db");
    let flags = OpenFlags::default();
    let connection = Connection::open_with_flags_and_vfs(path, flags, vfs().unwrap()).unwrap();
    let sql = format!(
        "PRAGMA page_size = 1024; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0; \
         PRAGMA cache_size = {cache_pages}; CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB NOT NULL)"
    );
    connection.execute_batch(&sql).unwrap();
    connection
}

fn fill(connection: &Connection, rows: std::ops::Range<i64>) {
    let mut insert = connection
        .prepare_cached("INSERT OR REPLACE INTO t VALUES (?, randomblob(300))")
        .unwrap();
    for row in rows {
        insert.execute([row]).unwrap();
    }
}

/// What a program sees that opens the index in the usual way, and whether it is sound.
fn seen(index: &Path) -> (i64, String) {
    let connection = Connection::open(index).unwrap();
    let count = |sql| connection.query_row(sql, [], |row| row.get(0)).unwrap();
    let rows = count("SELECT count(*) FROM t");
    let sound = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0));
    (rows, sound.unwrap())
}

/// What is there after this program was killed now.
fn seen_after_a_kill(dir: &Path) -> (i64, String) {
    let copy = tempfile::tempdir().unwrap();
    for name in ["index.db", "index.db-wal"] {
        fs::copy(dir.join(name), copy.path().join(name)).unwrap();
    }
    seen(&copy.path().join("index.db"))
}

/// How often this thread has called the system to write.
pub(crate) fn calls_to_write() -> u64 {
    let io = fs::read_to_string("/proc/thread-self/io").unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("syscw: "));
    line.unwrap().parse().unwrap()
}

#[test]
fn a_commit_is_there_for_others_and_after_a_kill_and_took_few_calls() {
    let dir = tempfile::tempdir().unwrap();
    let connection = begin(dir.path(), 5_000);
    for round in 1..=20 {
        connection.execute_batch("BEGIN").unwrap();
        fill(&connection, round * 1_000..round * 1_000 + 1_000);
        let before = calls_to_write();
        connection.execute_batch("COMMIT").unwrap();
        let calls = calls_to_write() - before;
        assert!(calls < 30, "{calls} for some 350 pages");
        let expected = (round * 1_000, "ok".to_owned());
        assert_eq!(seen(&dir.path().join("index.db")), expected);
        assert_eq!(seen_after_a_kill(dir.path()), expected);
        if round % 7 == 0 {
            connection
                .query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()))
                .unwrap();
        }
    }
}

#[test]
fn transactions_larger_than_the_cache_are_read_again_changed_and_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let connection = begin(dir.path(), 10);
    let mut kept = 0;
    for round in 0..60 {
        connection.execute_batch("BEGIN").unwrap();
        fill(&connection, 0..300);
        connection.execute_batch("SAVEPOINT inner").unwrap();
        fill(&connection, 200..200 + round * 97 % 400);
        let rows: i64 = connection
            .query_row("SELECT count(b) FROM t", [], |row| row.get(0))
            .unwrap();
        match round % 3 {
            0 => connection.execute_batch("ROLLBACK").unwrap(),
            1 => {
                connection
                    .execute_batch("ROLLBACK TO inner; COMMIT")
                    .unwrap();
                kept = kept.max(300);
            }
            _ => {
                fill(&connection, 0..100);
                connection.execute_batch("COMMIT").unwrap();
                kept = rows;
            }
        }
        assert_eq!(seen_after_a_kill(dir.path()), (kept, "ok".to_owned()));
    }
    assert!(kept > 300);
}

#[test]
fn what_was_taken_back_is_not_written_over_what_another_program_has_committed_since() {
    let dir = tempfile::tempdir().unwrap();
    let connection = begin(dir.path(), 10);
    fill(&connection, 0..50);
    let other = Connection::open(dir.path().join("index.db")).unwrap();
    for round in 1..20 {
        if round % 2 == 0 {
            // Nothing of the log is read then, by which what is held would be written.
            let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
            connection.query_row(sql, [], |_| Ok(())).unwrap();
        }
        connection.execute_batch("BEGIN").unwrap();
        fill(&connection, 10_000..10_000 + round * 4);
        connection.execute_batch("ROLLBACK").unwrap();
        other.execute_batch("BEGIN").unwrap();
        fill(&other, round * 100..round * 100 + 50);
        other.execute_batch("COMMIT").unwrap();
        fill(&connection, 50 + round..51 + round);
        let expected = (50 * round + 50 + round, "ok".to_owned());
        assert_eq!(seen_after_a_kill(dir.path()), expected);
    }
}

#[test]
fn a_second_database_of_the_connection_has_its_own_log() {
    let [dir, aside] = [0, 1].map(|_| tempfile::tempdir().unwrap());
    let connection = begin(dir.path(), 10);
    let other = begin(aside.path(), 10);
    let aside = aside.path().join("index.db");
    let sql = "ATTACH ? AS aside";
    connection.execute(sql, [aside.to_string_lossy()]).unwrap();
    connection
        .execute_batch("PRAGMA aside.cache_size = 10; PRAGMA aside.wal_autocheckpoint = 0")
        .unwrap();
    fill(&connection, 0..300);
    let copy = "BEGIN; INSERT OR REPLACE INTO aside.t SELECT * FROM main.t";
    for round in 1..10 {
        other
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .unwrap();
        connection.execute_batch(copy).unwrap();
        connection.execute_batch("ROLLBACK").unwrap();
        fill(&other, 1_000 * round..1_000 * round + 50);
        let expected = (50 * round, "ok".to_owned());
        assert_eq!(seen(&aside), expected);
    }
    connection.execute_batch(copy).unwrap();
    connection.execute_batch("COMMIT; DETACH aside").unwrap();
    assert_eq!(seen(&aside), (750, "ok".to_owned()));
    drop(connection);
    assert_eq!(seen(&dir.path().join("index.db")), (300, "ok".to_owned()));
}

#[test]
fn whatever_becomes_of_the_log_the_rows_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let connection = begin(dir.path(), 10);
    let other = Connection::open(dir.path().join("index.db")).unwrap();
    let checkpoint = |of: &Connection, how: &str| {
        let sql = format!("PRAGMA wal_checkpoint({how})");
        of.query_row(&sql, [], |_| Ok(())).unwrap();
    };
    let run = |sql: &str| connection.execute_batch(sql).unwrap();
    let does: [&dyn Fn(); 9] = [
        &|| checkpoint(&connection, "PASSIVE"),
        &|| checkpoint(&other, "PASSIVE"),
        &|| checkpoint(&other, "RESTART"),
        &|| checkpoint(&other, "TRUNCATE"),
        &|| fill(&other, 0..40),
        &|| run("VACUUM"),
        &|| run("PRAGMA synchronous = FULL"),
        &|| {
            run(
                "PRAGMA locking_mode = EXCLUSIVE; SELECT * FROM t; PRAGMA locking_mode = NORMAL; SELECT * FROM t",
            )
        },
        &|| run("PRAGMA synchronous = NORMAL"),
    ];
    for (round, does) in (1..).zip(does.iter().cycle().take(20)) {
        does();
        run("BEGIN");
        fill(&connection, 0..50 * round);
        run("COMMIT");
        let expected = (50 * round, "ok".to_owned());
        assert_eq!(seen_after_a_kill(dir.path()), expected, "{round}");
        assert_eq!(seen(&dir.path().join("index.db")), expected, "{round}");
    }
    // The log is closed, and a new one opened.
    drop(other);
    run("PRAGMA journal_mode = DELETE; DELETE FROM t WHERE a > 100; PRAGMA journal_mode = WAL");
    fill(&connection, 0..300);
    let expected = (300, "ok".to_owned());
    assert_eq!(seen_after_a_kill(dir.path()), expected);
}

#[test]
fn an_index_that_was_killed_is_recovered_through_it() {
    let [dir, copy] = [0, 1].map(|_| tempfile::tempdir().unwrap());
    let connection = begin(dir.path(), 10);
    fill(&connection, 0..300);
    connection.execute_batch("BEGIN").unwrap();
    fill(&connection, 300..900);
    for name in ["index.db", "index.db-wal"] {
        fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
    }
    let path = copy.path().join("index.db");
    let flags = OpenFlags::default();
    let recovered = Connection::open_with_flags_and_vfs(&path, flags, vfs().unwrap()).unwrap();
    fill(&recovered, 300..400);
    assert_eq!(seen(&path), (400, "ok".to_owned()));
}
