//! One removal: segments chosen, their rows deleted and their files doomed, within the caller's transaction. Not for when, and not
//! for the files: those go after the commit.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, SqliteConnection};

use super::receipts::Receipts;
use crate::protection::IS_PROTECTED;
use crate::rules::Rule;

/// Candidates that are looked at together.
const CANDIDATES: i64 = 64;
/// So long a transaction may take: commits of new rows wait for it.
const WORK_MAX: Duration = Duration::from_millis(100);

/// That something should go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Demand {
    pub rule: Rule,
    /// Of one camera; `None`: of any.
    pub camera_id: Option<i64>,
    /// Only what arrived before.
    pub before_us: i64,
    /// So much, by all that goes of this camera (or of any) in one removal.
    pub bytes: u64,
}

/// A segment that may go.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Victim {
    pub id: i64,
    pub camera_id: i64,
    pub path: String,
    pub started_us: i64,
    pub ended_us: i64,
    pub frames: i64,
    pub bytes: i64,
    pub is_protected: bool,
}

/// What goes in one transaction.
#[derive(Debug)]
pub(crate) struct Removal {
    pub victims: Vec<Victim>,
    /// There is more to go than this.
    pub is_cut_short: bool,
    /// These could not be met: nothing more may go.
    pub unmet: Vec<Demand>,
    limit: usize,
    /// Segments from this one on go only when there are no others.
    spared_from: i64,
    began: Instant,
    freed: u64,
    freed_of: HashMap<i64, u64>,
}

impl Removal {
    /// Of at most `limit` segments, those from the id `spared_from` on last.
    pub fn new(limit: usize, spared_from: i64) -> Self {
        Self {
            victims: Vec::new(),
            is_cut_short: false,
            unmet: Vec::new(),
            limit,
            spared_from,
            began: Instant::now(),
            freed: 0,
            freed_of: HashMap::new(),
        }
    }

    /// Bytes that go.
    pub fn freed(&self) -> u64 {
        self.freed
    }

    /// Meets the demands in this order, as far as it may.
    pub async fn meet(
        &mut self,
        connection: &mut SqliteConnection,
        demands: &[Demand],
        receipts: &mut Receipts,
        now_us: i64,
    ) -> sqlx::Result<()> {
        for demand in demands {
            while self.lacks(demand) {
                if self.is_spent() {
                    self.is_cut_short = true;
                    break;
                }
                let mut candidates = candidates(connection, demand, self.spared_from).await?;
                if candidates.is_empty() && self.spared_from < i64::MAX {
                    self.spared_from = i64::MAX;
                    candidates = self::candidates(connection, demand, i64::MAX).await?;
                }
                if candidates.is_empty() {
                    self.unmet
                        .extend((demand.rule != Rule::Retain).then_some(*demand));
                    break;
                }
                for candidate in candidates {
                    if !self.lacks(demand) || self.is_spent() {
                        break;
                    }
                    if candidate.is_protected {
                        mark_protected(connection, &candidate).await?;
                        receipts
                            .interrupt(connection, candidate.camera_id, now_us)
                            .await?;
                    } else {
                        delete(connection, &candidate).await?;
                        receipts.add(&candidate, demand.rule);
                        self.add(candidate);
                    }
                }
            }
        }
        receipts.write(connection, now_us).await
    }

    /// Whether more must go to meet the demand. What goes for one rule counts for the others.
    fn lacks(&self, demand: &Demand) -> bool {
        let freed = match demand.camera_id {
            None => self.freed,
            Some(camera_id) => self.freed_of.get(&camera_id).copied().unwrap_or(0),
        };
        freed < demand.bytes
    }

    fn is_spent(&self) -> bool {
        self.victims.len() >= self.limit || self.began.elapsed() >= WORK_MAX
    }

    fn add(&mut self, victim: Victim) {
        let bytes = u64::try_from(victim.bytes).unwrap_or(0);
        self.freed += bytes;
        *self.freed_of.entry(victim.camera_id).or_default() += bytes;
        self.victims.push(victim);
    }
}

/// The oldest segments that may go for this demand, as far as is known.
async fn candidates(
    connection: &mut SqliteConnection,
    demand: &Demand,
    below_id: i64,
) -> sqlx::Result<Vec<Victim>> {
    let of_camera = match demand.camera_id {
        Some(_) => "s.camera_id = ?4 AND ",
        None => "",
    };
    let sql = format!(
        "SELECT s.id, s.camera_id, s.path, s.started_us, s.ended_us, s.frames, s.bytes, {IS_PROTECTED} AS is_protected \
         FROM segments s WHERE {of_camera}s.state = 'closed' AND s.protected = 0 AND s.received_us < ?1 AND s.id < ?3 \
         ORDER BY s.received_us LIMIT ?2"
    );
    let query = sqlx::query_as(AssertSqlSafe(sql))
        .bind(demand.before_us)
        .bind(CANDIDATES)
        .bind(below_id);
    let query = match demand.camera_id {
        Some(camera_id) => query.bind(camera_id),
        None => query,
    };
    query.fetch_all(connection).await
}

/// So many segments are looked through for one whose file is there.
pub(crate) const LOOKED_THROUGH: usize = 10_000;

/// The segments that go first for this demand, and are certainly not protected. Changes nothing.
pub(crate) async fn first_to_go(
    connection: &mut SqliteConnection,
    demand: &Demand,
    limit: usize,
) -> sqlx::Result<Vec<Victim>> {
    let sql = format!(
        "SELECT s.id, s.camera_id, s.path, s.started_us, s.ended_us, s.frames, s.bytes, 0 AS is_protected \
         FROM segments s WHERE s.state = 'closed' AND s.protected = 0 AND s.received_us < ?1 \
             AND (?3 IS NULL OR s.camera_id = ?3) AND NOT {IS_PROTECTED} \
         ORDER BY s.received_us LIMIT ?2"
    );
    sqlx::query_as(AssertSqlSafe(sql))
        .bind(demand.before_us)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .bind(demand.camera_id)
        .fetch_all(connection)
        .await
}

/// The file that goes first, of those that are there: others may have gone before without their rows.
pub(crate) async fn oldest(
    connection: &mut SqliteConnection,
    demands: &[Demand],
    is_there: impl Fn(&str) -> bool,
) -> sqlx::Result<Option<String>> {
    for demand in demands {
        let first = first_to_go(connection, demand, LOOKED_THROUGH).await?;
        if let Some(first) = first.into_iter().find(|first| is_there(&first.path)) {
            return Ok(Some(first.path));
        }
    }
    Ok(None)
}

/// Deletes the rows of segments whose files had to go before, on a full disk, with a receipt.
pub(crate) async fn forget(
    connection: &mut SqliteConnection,
    gone: &[Victim],
    receipts: &mut Receipts,
    now_us: i64,
) -> sqlx::Result<()> {
    for victim in gone {
        delete(connection, victim).await?;
        receipts.add(victim, Rule::DiskFull);
    }
    receipts.write(connection, now_us).await
}

/// It is not a candidate again before its protection is gone.
async fn mark_protected(connection: &mut SqliteConnection, segment: &Victim) -> sqlx::Result<()> {
    sqlx::query("UPDATE segments SET protected = 1 WHERE id = ?")
        .bind(segment.id)
        .execute(connection)
        .await
        .map(|_| ())
}

async fn delete(connection: &mut SqliteConnection, victim: &Victim) -> sqlx::Result<()> {
    sqlx::query(
        "DELETE FROM frames WHERE camera_id = ? AND captured_us BETWEEN ? AND ? AND segment_id = ?",
    )
    .bind(victim.camera_id)
    .bind(victim.started_us)
    .bind(victim.ended_us)
    .bind(victim.id)
    .execute(&mut *connection)
    .await?;
    sqlx::query("DELETE FROM segments WHERE id = ?")
        .bind(victim.id)
        .execute(&mut *connection)
        .await?;
    sqlx::query("INSERT OR IGNORE INTO doomed (path) VALUES (?)")
        .bind(&victim.path)
        .execute(connection)
        .await
        .map(|_| ())
}

#[cfg(test)]
mod tests {
    use framelog_core::frame::Codec;

    use super::*;
    use crate::disk::Disk;
    use crate::{rows, session};

    /// Each camera 1 and 2 has segments of 10 bytes and 3 frames: `n` arrived at `n` seconds, odd ones are camera 1's.
    async fn footage(dir: &std::path::Path, segments: i64) -> SqliteConnection {
        let mut connection =
            session::begin(dir, &Disk::open(dir).unwrap(), std::time::Duration::ZERO, 0)
                .await
                .unwrap()
                .connection;
        let second = 1_000_000;
        let camera_id = |n: i64| 2 - n % 2;
        let segment = |n: i64| rows::Segment {
            id: n,
            camera_id: camera_id(n),
            path: format!("footage/{}/{n}", camera_id(n)).into(),
            codec: Codec::Mjpeg,
            started_us: n * second,
            ended_us: n * second + 2,
            frames: 3,
            bytes: 10,
            open: false,
            offset_us: 0,
            received_us: n * second,
        };
        let frame = |n: i64| rows::Frame {
            camera_id: camera_id(n / 3),
            captured_us: n / 3 * second + n % 3,
            segment_id: n / 3,
            offset: n,
            length: 1,
            flags: 0,
            lag_us: 0,
        };
        let segments: Vec<_> = (1..=segments).map(segment).collect();
        let frames: Vec<_> = (3..3 + 3 * segments.len() as i64).map(frame).collect();
        rows::execute(&mut connection, "BEGIN").await.unwrap();
        rows::write_in_turns(&mut connection, &segments)
            .await
            .unwrap();
        rows::write_in_turns(&mut connection, &frames)
            .await
            .unwrap();
        rows::execute(&mut connection, "COMMIT").await.unwrap();
        connection
    }

    fn demand(rule: Rule, camera_id: Option<i64>, bytes: u64) -> Demand {
        Demand {
            rule,
            camera_id,
            before_us: i64::MAX,
            bytes,
        }
    }

    async fn numbers(connection: &mut SqliteConnection, sql: &'static str) -> Vec<i64> {
        sqlx::query_scalar(sql).fetch_all(connection).await.unwrap()
    }

    async fn met(connection: &mut SqliteConnection, demands: &[Demand]) -> (Vec<i64>, Removal) {
        let mut removal = Removal::new(100, i64::MAX);
        removal
            .meet(connection, demands, &mut Receipts::default(), 7)
            .await
            .unwrap();
        (
            removal.victims.iter().map(|victim| victim.id).collect(),
            removal,
        )
    }

    #[tokio::test]
    async fn what_is_spared_goes_when_there_is_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let mut connection = footage(dir.path(), 10).await;
        // As if the clock had been put back before the last three.
        sqlx::query("UPDATE segments SET received_us = -id WHERE id > 7")
            .execute(&mut connection)
            .await
            .unwrap();
        for (bytes, gone) in [(20, &[1, 2][..]), (60, &[3, 4, 5, 6, 7, 10])] {
            let mut removal = Removal::new(100, 8);
            let demands = [demand(Rule::MaxSize, None, bytes)];
            removal
                .meet(&mut connection, &demands, &mut Receipts::default(), 7)
                .await
                .unwrap();
            let ids: Vec<i64> = removal.victims.iter().map(|victim| victim.id).collect();
            assert_eq!(ids, gone);
        }
    }

    #[tokio::test]
    async fn the_oldest_go_and_no_more_than_is_needed() {
        let dir = tempfile::tempdir().unwrap();
        let mut connection = footage(dir.path(), 10).await;
        let demands = [
            demand(Rule::MaxSize, Some(1), 11),
            demand(Rule::MaxSize, None, 25),
            demand(Rule::MinFree, None, 30),
        ];
        let (gone, removal) = met(&mut connection, &demands).await;
        assert_eq!(gone, [1, 3, 2], "what one rule removes counts for the next");
        assert_eq!(
            (removal.freed(), removal.unmet.len(), removal.is_cut_short),
            (30, 0, false)
        );
        assert_eq!(
            numbers(&mut connection, "SELECT id FROM segments ORDER BY id").await,
            [4, 5, 6, 7, 8, 9, 10]
        );
        let left = numbers(
            &mut connection,
            "SELECT DISTINCT segment_id FROM frames ORDER BY 1",
        )
        .await;
        assert_eq!(left, [4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(
            numbers(&mut connection, "SELECT count(*) FROM frames").await,
            [21]
        );
        assert_eq!(
            numbers(&mut connection, "SELECT count(*) FROM doomed").await,
            [3]
        );
        let receipts: Vec<(i64, String, i64, i64, i64)> = sqlx::query_as(
            "SELECT camera_id, rule, segments, frames, bytes FROM removals ORDER BY id",
        )
        .fetch_all(&mut connection)
        .await
        .unwrap();
        assert_eq!(
            receipts,
            [
                (1, "max_size".into(), 2, 6, 20),
                (2, "max_size".into(), 1, 3, 10)
            ]
        );
    }

    #[tokio::test]
    async fn age_takes_all_that_is_older_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let mut connection = footage(dir.path(), 9).await;
        let old = Demand {
            before_us: 6_000_000,
            ..demand(Rule::Retain, Some(2), u64::MAX)
        };
        let (gone, removal) = met(&mut connection, &[old]).await;
        assert_eq!((gone, removal.unmet), (vec![2, 4], vec![]));
    }

    #[tokio::test]
    async fn protected_and_open_segments_stay_and_their_neighbours_get_receipts_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let mut connection = footage(dir.path(), 9).await;
        sqlx::query("INSERT INTO protections (camera_id, started_us, ended_us, note, added_us) VALUES (1, 3000002, 3500000, '', 0)")
            .execute(&mut connection)
            .await
            .unwrap();
        sqlx::query("UPDATE segments SET state = 'open' WHERE id = 9")
            .execute(&mut connection)
            .await
            .unwrap();
        let all = demand(Rule::DiskFull, Some(1), 1_000);
        let (gone, removal) = met(&mut connection, &[all]).await;
        assert_eq!((gone, removal.unmet), (vec![1, 5, 7], vec![all]));
        assert_eq!(
            numbers(
                &mut connection,
                "SELECT id FROM segments WHERE protected = 1"
            )
            .await,
            [3]
        );
        let spans: Vec<(i64, i64)> =
            sqlx::query_as("SELECT started_us, ended_us FROM removals ORDER BY id")
                .fetch_all(&mut connection)
                .await
                .unwrap();
        assert_eq!(spans, [(1_000_000, 1_000_002), (5_000_000, 7_000_002)]);
    }

    #[tokio::test]
    async fn candidates_are_found_by_age_without_a_search() {
        let dir = tempfile::tempdir().unwrap();
        let mut connection = footage(dir.path(), 1).await;
        for (conditions, index) in [
            (
                "s.state = 'closed' AND s.protected = 0 AND s.received_us < 9",
                "segments_by_age ",
            ),
            (
                "s.camera_id = 1 AND s.state = 'closed' AND s.protected = 0 AND s.received_us < 9",
                "segments_by_age_of_camera ",
            ),
        ] {
            let sql = format!(
                "EXPLAIN QUERY PLAN SELECT s.id FROM segments s WHERE {conditions} ORDER BY s.received_us LIMIT 64"
            );
            let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
                .fetch_all(&mut connection)
                .await
                .unwrap();
            assert!(plan.len() == 1 && plan[0].3.contains(index), "{plan:?}");
        }
    }

    #[tokio::test]
    #[ignore = "a measurement: a million rows"]
    async fn a_removed_row_costs_a_few_microseconds_at_most() {
        let (_dir, mut connection) = session::new_index().await;
        rows::execute(&mut connection, "BEGIN IMMEDIATE")
            .await
            .unwrap();
        for second in 0..200 {
            let frame = |n: i64| rows::Frame {
                camera_id: n / 10 + 1,
                captured_us: second * 1_000_000 + n % 10 * 100_000,
                segment_id: second / 60 * 500 + n / 10 + 1,
                offset: second * 300_000 + n % 10 * 24_000,
                length: 24_000,
                flags: 0,
                lag_us: 5_000,
            };
            let frames: Vec<_> = (0..5_000).map(frame).collect();
            rows::write_in_turns(&mut connection, &frames)
                .await
                .unwrap();
        }
        rows::execute(&mut connection, "COMMIT").await.unwrap();
        let began = Instant::now();
        sqlx::query("BEGIN IMMEDIATE")
            .execute(&mut connection)
            .await
            .unwrap();
        for id in 1..=500 {
            let victim = Victim {
                id,
                camera_id: id,
                path: format!("footage/a/{id}"),
                started_us: 0,
                ended_us: 59_999_999,
                frames: 600,
                bytes: 1,
                is_protected: false,
            };
            delete(&mut connection, &victim).await.unwrap();
        }
        sqlx::query("COMMIT")
            .execute(&mut connection)
            .await
            .unwrap();
        let us = began.elapsed().as_micros() as f64 / 300_000.0;
        assert_eq!(
            numbers(&mut connection, "SELECT count(*) FROM frames").await,
            [700_000]
        );
        println!("{us:.2} us a removed row");
        assert!(us < 5.0);
    }
}
