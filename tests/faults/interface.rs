//! What the scenarios need of framelog's own commands and tables, each in one place.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use super::footage;
use crate::support::RUNTIME;
use crate::support::daemon::program;

/// Whether the program has this command.
pub fn has(command: &str) -> bool {
    let output = program().args([command, "--help"]).output();
    output.is_ok_and(|output| output.status.success())
}

/// Whether frames beyond the index get their rows at a start, torn ends are cut off, and a damaged index is made anew.
pub fn recovers() -> bool {
    has("reindex")
}

/// Whether old footage goes when the disk is full, and some of it can be protected.
pub fn keeps() -> bool {
    has("protect")
}

/// What `framelog verify` finds, a line each; `None` if there is no such command.
pub fn verify(storage: &Path, deep: bool) -> Option<Vec<String>> {
    if !has("verify") {
        return None;
    }
    let mut command = program();
    command.arg("verify").args(deep.then_some("--deep"));
    let output = command.arg("--storage").arg(storage).output().ok()?;
    let found = lines(&output.stdout);
    Some(match output.status.success() {
        true => Vec::new(),
        false if found.is_empty() => lines(&output.stderr),
        false => found,
    })
}

/// Protects a span of a camera's footage: whether that was done.
pub fn protect(storage: &Path, camera: &str, from_us: i64, to_us: i64) -> bool {
    let mut command = program();
    command.args([
        "protect",
        camera,
        "--from",
        &time(from_us),
        "--to",
        &time(to_us),
    ]);
    let output = command.arg("--storage").arg(storage).output();
    output.is_ok_and(|output| output.status.success())
}

/// The picture of a camera nearest to a time, as `framelog frame` gives it.
pub fn frame(storage: &Path, camera: &str, at_us: i64) -> std::io::Result<Output> {
    let mut command = program();
    command.args(["frame", camera, &time(at_us), "--raw", "--utc", "-o", "-"]);
    command.arg("--storage").arg(storage).output()
}

/// The capture time that `framelog frame --utc` says its picture has.
pub fn time_said(output: &Output) -> Option<i64> {
    let said = lines(&output.stderr);
    let (_, rest) = said.last()?.split_once("frame of ")?;
    let at = chrono::DateTime::parse_from_rfc3339(rest.split(' ').next()?).ok()?;
    Some(at.timestamp_micros())
}

/// A time as framelog reads and writes it.
pub fn time(us: i64) -> String {
    let at = chrono::DateTime::from_timestamp_micros(us).unwrap_or_default();
    at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

fn lines(said: &[u8]) -> Vec<String> {
    let said = String::from_utf8_lossy(said);
    said.lines().map(str::to_owned).collect()
}

/// What became of all that a camera sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Everything that came where a picture could be.
    pub parts: u64,
    /// Frames with rows.
    pub stored: u64,
    /// Parts that were no frames.
    pub skipped: u64,
    /// Frames dropped for want of a disk.
    pub dropped: u64,
    /// Frames that were on their way when the recorder was killed.
    pub lost: u64,
}

/// The accounts of all sessions, by camera: the table `accounts`, or what the recorder said at its ends where that is empty.
pub fn accounts(storage: &Path, log: &str) -> BTreeMap<String, Account> {
    let table = RUNTIME.block_on(table(storage)).unwrap_or_default();
    if table.is_empty() { totals(log) } else { table }
}

async fn table(storage: &Path) -> Result<BTreeMap<String, Account>, sqlx::Error> {
    let mut connection = footage::connect(storage).await?;
    let rows: Vec<(String, i64, i64, i64, i64, i64)> = sqlx::query_as(
        "SELECT name, sum(parts), sum(stored), sum(skipped_empty + skipped_not_picture + skipped_torn + skipped_too_large),
                sum(disk_slow + disk_full), sum(lost)
         FROM accounts JOIN cameras ON cameras.id = camera_id GROUP BY name",
    )
    .fetch_all(&mut connection)
    .await?;
    let account =
        |(name, parts, stored, skipped, dropped, lost): (String, i64, i64, i64, i64, i64)| {
            let account = Account {
                parts: parts.unsigned_abs(),
                stored: stored.unsigned_abs(),
                skipped: skipped.unsigned_abs(),
                dropped: dropped.unsigned_abs(),
                lost: lost.unsigned_abs(),
            };
            (name, account)
        };
    Ok(rows.into_iter().map(account).collect())
}

fn totals(log: &str) -> BTreeMap<String, Account> {
    let mut accounts: BTreeMap<String, Account> = BTreeMap::new();
    for line in log.lines().filter(|line| line.contains(" totals ")) {
        let field = |key: &str| -> Option<&str> {
            let value = line.split(' ').find_map(|field| field.strip_prefix(key));
            value.and_then(|value| value.strip_prefix('='))
        };
        let count = |key: &str| -> u64 {
            field(key)
                .and_then(|value| value.parse::<u64>().ok())
                .unwrap_or(0)
        };
        let name = field("camera").unwrap_or_default().trim_matches('"');
        let account = accounts.entry(name.to_owned()).or_default();
        account.parts += count("parts");
        account.stored += count("stored");
        account.skipped += ["empty", "not_picture", "torn", "too_large"]
            .map(|why| count(&format!("skipped_{why}")))
            .iter()
            .sum::<u64>();
        account.dropped += count("disk_slow") + count("disk_full");
    }
    accounts
}
