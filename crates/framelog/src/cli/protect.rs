//! `framelog protect` and `framelog unprotect`: which footage outlives every rule.

use std::io::Write as _;
use std::path::Path;

use framelog_store::protection::{Protection, Protections};
use framelog_store::{Reader, reindex_is_due};
use serde_json::{Value, json};

use super::output::{Stop, ended};
use super::{Failure, known_camera, storage, time, words};
use crate::wall;

/// Rows of frames are in the index within that time.
const ON_ITS_WAY_US: i64 = 60_000_000;

/// Arguments of `framelog protect`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The camera; without one, what is protected is listed
    #[arg(requires = "from", requires = "to", conflicts_with = "list")]
    camera: Option<String>,
    /// Protect footage from this time on
    #[arg(long, value_name = "TIME", value_parser = time::argument, allow_hyphen_values = true, requires = "camera")]
    from: Option<i64>,
    /// Protect footage up to this time, which may be to come; +10min is 10 minutes after --from
    #[arg(long, value_name = "TIME", value_parser = time::end_argument, allow_hyphen_values = true, requires = "camera")]
    to: Option<time::End>,
    /// Why, for whoever looks at the list
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    note: String,
    /// List what is protected
    #[arg(long)]
    list: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Times in UTC instead of local time
    #[arg(long)]
    utc: bool,
}

/// Arguments of `framelog unprotect`.
#[derive(Clone, Debug, clap::Args)]
pub struct UnprotectArgs {
    /// The number that `framelog protect --list` shows
    #[arg(value_name = "ID")]
    id: String,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Times in UTC instead of local time
    #[arg(long)]
    utc: bool,
}

/// Protects a span of a camera's footage, or lists what is protected.
///
/// # Errors
/// If the span is empty, the index doesn't know the camera, or it can't be written.
pub async fn run(args: Args, storage: &Path) -> Result<(), Failure> {
    let (Some(camera), Some(from_us), Some(to)) = (&args.camera, args.from, args.to) else {
        let mut protections = open(storage).await?;
        return ended(list(&mut protections, args.json, args.utc).await);
    };
    let to_us = to.of_span(Some(from_us))?;
    if from_us >= to_us {
        return Err(Failure::usage("--from is not before --to"));
    }
    let reader = storage::open(storage).await?;
    known_camera::require(&reader, camera).await?;
    if !reindex_is_due(storage) {
        require_footage(&reader, camera, from_us, to_us, args.utc).await?;
    }
    let mut protections = open(storage).await?;
    let added = protections
        .add(camera, from_us, to_us, &args.note)
        .await
        .map_err(Failure::failed)?;
    let disk_total = protections.disk_total().map_err(Failure::failed)?;
    ended(print(&added, "protected", disk_total, args.json, args.utc))
}

/// Somebody who protects a time that is over means footage that is there.
async fn require_footage(
    reader: &Reader,
    camera: &str,
    from_us: i64,
    to_us: i64,
    utc: bool,
) -> Result<(), Failure> {
    let is_over = to_us < wall::now_us() - ON_ITS_WAY_US;
    let segments = reader.segments(Some(camera), from_us, to_us).await;
    if !is_over || !segments.map_err(Failure::failed)?.is_empty() {
        return Ok(());
    }
    let there_is = known_camera::footage(reader, camera, utc);
    let (from, to) = (time::format(from_us, utc), time::format(to_us, utc));
    Err(Failure::failed(format!(
        "{camera}: nothing to protect from {from} to {to}; {there_is}"
    )))
}

/// Takes a protection away.
///
/// # Errors
/// If it is no id, there is none with it, or the index can't be written.
pub async fn unprotect(args: UnprotectArgs, storage: &Path) -> Result<(), Failure> {
    let mut protections = open(storage).await?;
    let Ok(id) = args.id.parse() else {
        let listed = protections.list().await.map_err(Failure::failed)?;
        let disk_total = protections.disk_total().map_err(Failure::failed)?;
        return Err(no_id(&args.id, &listed, |protection| {
            line(protection, "protected", disk_total, args.utc)
        }));
    };
    let removed = protections.remove(id).await.map_err(Failure::failed)?;
    let Some(removed) = removed else {
        return Err(Failure::failed(format!(
            "nothing is protected under the number {}; framelog protect --list shows what is",
            args.id
        )));
    };
    let disk_total = protections.disk_total().map_err(Failure::failed)?;
    let left = protections.list().await.map_err(Failure::failed)?;
    let state = state_after(&removed, &left);
    ended(print(&removed, &state, disk_total, args.json, args.utc))
}

/// Says that an id is wanted, and which ids there are if it is the name of a camera.
fn no_id(text: &str, listed: &[Protection], line: impl Fn(&Protection) -> String) -> Failure {
    let of_it: Vec<String> = listed
        .iter()
        .filter(|protection| protection.camera == text)
        .map(line)
        .collect();
    let what = match of_it.is_empty() {
        true => "framelog protect --list shows them".to_owned(),
        false => format!(
            "of {text} there {}:",
            if of_it.len() == 1 { "is" } else { "are" }
        ),
    };
    let first =
        format!("{text:?} is not the number of a protection, which unprotect wants; {what}");
    Failure {
        lines: std::iter::once(first).chain(of_it).collect(),
        code: 2,
    }
}

/// What is left of a protection that was taken away, in words.
fn state_after(removed: &Protection, left: &[Protection]) -> String {
    let still = left.iter().filter(|other| {
        other.camera == removed.camera
            && other.started_us <= removed.ended_us
            && other.ended_us >= removed.started_us
    });
    let still: Vec<String> = still.map(|other| other.id.to_string()).collect();
    match still.is_empty() {
        true => "not protected any more".to_owned(),
        false => format!(
            "not protected any more, but for what is under {} too",
            still.join(", ")
        ),
    }
}

async fn open(storage: &Path) -> Result<Protections, Failure> {
    Protections::open(storage).await.map_err(Failure::failed)
}

async fn list(protections: &mut Protections, json: bool, utc: bool) -> Result<(), Stop> {
    let listed = protections.list().await?;
    let disk_total = protections.disk_total()?;
    for protection in &listed {
        print(protection, "protected", disk_total, json, utc)?;
    }
    match (listed.len(), json) {
        (0, _) => eprintln!("nothing is protected"),
        (1, _) | (_, true) => {}
        (count, false) => {
            let bytes = protections.bytes().await?;
            let share = share(bytes, disk_total);
            let text = format!("{count} protections, {} ({share})", words::bytes(bytes));
            writeln!(std::io::stdout(), "{text}")?;
        }
    }
    Ok(())
}

fn print(
    protection: &Protection,
    state: &str,
    disk_total: u64,
    json: bool,
    utc: bool,
) -> Result<(), Stop> {
    let text = match json {
        true => as_json(protection, state == "protected").to_string(),
        false => line(protection, state, disk_total, utc),
    };
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

fn line(protection: &Protection, state: &str, disk_total: u64, utc: bool) -> String {
    let bytes = protection.bytes.cast_unsigned();
    let what = match protection.segments.cast_unsigned() {
        0 => "no footage yet".to_owned(),
        segments => format!(
            "{}, {} ({})",
            words::count(segments, "segment"),
            words::bytes(bytes),
            share(bytes, disk_total)
        ),
    };
    let note = match protection.note.as_str() {
        "" => String::new(),
        note => format!(": {}", words::plain(note)),
    };
    format!(
        "{}  {}  {}  {}  {what}, {state}{note}",
        protection.id,
        protection.camera,
        time::format(protection.started_us, utc),
        time::format(protection.ended_us, utc)
    )
}

/// Part of the disk: `0.2 % of the disk`.
fn share(bytes: u64, disk_total: u64) -> String {
    let permille = u128::from(bytes) * 1_000 / u128::from(disk_total.max(1));
    match permille {
        0 if bytes > 0 => "less than 0.1 % of the disk".to_owned(),
        _ => format!("{}.{} % of the disk", permille / 10, permille % 10),
    }
}

fn as_json(protection: &Protection, is_protected: bool) -> Value {
    json!({
        "kind": "protection",
        "id": protection.id,
        "camera": protection.camera,
        "started": time::format(protection.started_us, true),
        "started_us": protection.started_us,
        "ended": time::format(protection.ended_us, true),
        "ended_us": protection.ended_us,
        "note": protection.note,
        "added_us": protection.added_us,
        "segments": protection.segments,
        "bytes": protection.bytes,
        "protected": is_protected,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protection(segments: i64, note: &str) -> Protection {
        Protection {
            id: 3,
            camera: "gate".to_owned(),
            started_us: 0,
            ended_us: 60_000_000,
            note: note.to_owned(),
            added_us: 0,
            segments,
            bytes: segments * 4_000_000,
        }
    }

    #[test]
    fn a_line_says_what_is_protected_and_how_much_of_the_disk_that_is() {
        assert_eq!(
            line(
                &protection(2, "theft\u{7}"),
                "protected",
                1_000_000_000,
                true
            ),
            "3  gate  1970-01-01T00:00:00.000000Z  1970-01-01T00:01:00.000000Z  2 segments, 8.0 MB (0.8 % of the disk), protected: theft\u{fffd}"
        );
        let coming = line(&protection(0, ""), "protected", 1, true);
        assert!(coming.ends_with("no footage yet, protected"), "{coming}");
    }

    #[test]
    fn a_share_is_a_tenth_of_a_per_cent_or_less_than_that() {
        assert_eq!(share(0, 100), "0.0 % of the disk");
        assert_eq!(share(1, 1_000_000), "less than 0.1 % of the disk");
        assert_eq!(share(5, 0), "500.0 % of the disk");
    }

    #[test]
    fn who_names_a_camera_is_told_the_numbers_of_what_is_protected_of_it() {
        let listed = [protection(1, ""), protection(2, "")];
        let lines = |text: &str| {
            let failure = no_id(text, &listed, |protection| protection.id.to_string());
            assert_eq!(failure.code, 2);
            failure.lines
        };
        assert_eq!(
            lines("gate"),
            [
                "\"gate\" is not the number of a protection, which unprotect wants; of gate there are:",
                "3",
                "3"
            ]
        );
        assert_eq!(
            lines("1st"),
            [
                "\"1st\" is not the number of a protection, which unprotect wants; framelog protect --list shows them"
            ]
        );
    }

    #[test]
    fn what_another_protection_still_holds_is_said() {
        let of = |id, started_us| Protection {
            id,
            started_us,
            ended_us: started_us + 60,
            ..protection(1, "")
        };
        let left = [of(4, 50), of(5, 500)];
        assert_eq!(
            state_after(&of(3, 0), &left),
            "not protected any more, but for what is under 4 too"
        );
        assert_eq!(state_after(&of(3, 300), &left), "not protected any more");
    }
}
