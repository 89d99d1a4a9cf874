//! What `framelog find` lists without `--frames`: stretches of footage, gaps, and what was removed, as lines or as JSON. Not for frames.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use framelog_store::Reader;
use framelog_store::query::{GapRow, RemovalRow, StretchRow};
use serde_json::{Value, json};

use super::Listing;
use crate::cli::output::Stop;
use crate::cli::{receipt, time, words};
use crate::footage::holes::holes;
use crate::wall::now_us;

/// One thing in the list.
enum Item {
    Footage(StretchRow, End),
    Gap(GapRow),
    Removal(RemovalRow),
}

impl Item {
    fn order(&self) -> (i64, &str) {
        match self {
            Item::Footage(stretch, _) => (stretch.started_us, &stretch.camera),
            Item::Gap(gap) => (gap.started_us, &gap.camera),
            Item::Removal(removal) => (removal.started_us, &removal.camera),
        }
    }
}

/// How a stretch of footage ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Over,
    /// It grows.
    Recording,
    /// It was growing when the recorder was killed: only its next start knows the end.
    Cut,
}

impl Listing {
    /// Writes what there is, by time; whether there was anything.
    pub(super) async fn write_items(
        &mut self,
        reader: &Reader,
        cameras: &[String],
        width: usize,
        out: &mut impl Write,
    ) -> Result<bool, Stop> {
        let mut items = Vec::new();
        // Of all cameras at once: most of a query's time is that it is one.
        let only = self.args.camera.as_deref();
        let gaps = reader.gaps(only, self.from_us, self.to_us).await?;
        let mut gaps = by_camera(gaps, |gap| &gap.camera);
        let removals = match self.args.gaps {
            true => Vec::new(),
            false => reader.removals(only, self.from_us, self.to_us).await?,
        };
        let mut removals = by_camera(removals, |removal| &removal.camera);
        for camera in cameras {
            let gaps = gaps.remove(camera).unwrap_or_default();
            if !self.args.gaps {
                let removals = removals.remove(camera).unwrap_or_default();
                let holes = holes(&gaps, &removals);
                let stretches = reader
                    .stretches(camera, self.from_us, self.to_us, &holes)
                    .await?;
                let with_end = |stretch: StretchRow| {
                    let end = match (stretch.open, self.is_recording) {
                        (false, _) => End::Over,
                        (true, true) => End::Recording,
                        (true, false) => End::Cut,
                    };
                    Item::Footage(stretch, end)
                };
                items.extend(stretches.into_iter().map(with_end));
                items.extend(removals.into_iter().map(Item::Removal));
            }
            items.extend(gaps.into_iter().map(Item::Gap));
        }
        items.sort_by(|a, b| a.order().cmp(&b.order()));
        for item in items.iter() {
            if !self.take_line() {
                break;
            }
            match (item, self.args.json) {
                (_, true) => writeln!(out, "{}", item_json(item))?,
                (Item::Footage(stretch, end), false) => {
                    writeln!(out, "{}", footage_line(stretch, *end, width, self.args.utc))?
                }
                (Item::Gap(gap), false) => {
                    writeln!(out, "{}", gap_line(gap, width, self.args.utc))?
                }
                (Item::Removal(removal), false) => {
                    writeln!(out, "{}", removal_line(removal, width, self.args.utc))?
                }
            }
        }
        Ok(!items.is_empty())
    }
}

/// Rows of each camera, in the order given.
fn by_camera<T>(rows: Vec<T>, camera: impl Fn(&T) -> &String) -> HashMap<String, Vec<T>> {
    let mut cameras: HashMap<String, Vec<T>> = HashMap::new();
    for row in rows {
        let name = camera(&row).clone();
        cameras.entry(name).or_default().push(row);
    }
    cameras
}

fn footage_line(stretch: &StretchRow, end: End, width: usize, utc: bool) -> String {
    let more = match stretch.files {
        1 => String::new(),
        files => format!(
            " and {} more to {}",
            files - 1,
            file_name(&stretch.last_path)
        ),
    };
    format!(
        "{:width$}  {}  {}  {:>12}  {}, {}{}  {}{more}",
        stretch.camera,
        time::format(stretch.started_us, utc),
        time::format(stretch.ended_us, utc),
        words::duration(stretch.ended_us.saturating_sub(stretch.started_us)),
        words::count(stretch.frames, "frame"),
        words::bytes(stretch.bytes),
        match end {
            End::Recording => ", recording",
            End::Cut => ", the recorder was killed: there may be more, which its next start finds",
            End::Over => "",
        },
        stretch.first_path.display(),
    )
}

fn gap_line(gap: &GapRow, width: usize, utc: bool) -> String {
    let started = time::format(gap.started_us, utc);
    let ended = match gap.ended_us {
        Some(end) => time::format(end, utc),
        // As wide as a time, so that the columns stay.
        None => format!(
            "{:columns$}",
            "until now",
            columns = started.chars().count()
        ),
    };
    let duration_us = gap
        .ended_us
        .unwrap_or_else(now_us)
        .saturating_sub(gap.started_us);
    let detail = if gap.detail.is_empty() {
        String::new()
    } else {
        format!(": {}", words::plain(&gap.detail))
    };
    format!(
        "{:width$}  {started}  {ended}  {:>12}  no footage, {}{detail}",
        gap.camera,
        words::duration(duration_us),
        gap.reason
    )
}

fn removal_line(removal: &RemovalRow, width: usize, utc: bool) -> String {
    format!(
        "{:width$}  {}  {}  {:>12}  {}",
        removal.camera,
        time::format(removal.started_us, utc),
        time::format(removal.ended_us, utc),
        words::duration(removal.ended_us.saturating_sub(removal.started_us)),
        receipt::text(removal, utc),
    )
}

fn item_json(item: &Item) -> Value {
    match item {
        Item::Footage(stretch, end) => json!({
            "kind": "footage",
            "camera": stretch.camera,
            "started": time::format(stretch.started_us, true),
            "started_us": stretch.started_us,
            "ended": time::format(stretch.ended_us, true),
            "ended_us": stretch.ended_us,
            "frames": stretch.frames,
            "bytes": stretch.bytes,
            "recording": *end == End::Recording,
            "cut": *end == End::Cut,
            "path": stretch.first_path.to_string_lossy(),
            "last_path": stretch.last_path.to_string_lossy(),
            "files": stretch.files,
        }),
        Item::Gap(gap) => json!({
            "kind": "gap",
            "camera": gap.camera,
            "started": time::format(gap.started_us, true),
            "started_us": gap.started_us,
            "ended": gap.ended_us.map(|end| time::format(end, true)),
            "ended_us": gap.ended_us,
            "reason": gap.reason,
            "detail": gap.detail,
        }),
        Item::Removal(removal) => json!({
            "kind": "removal",
            "camera": removal.camera,
            "started": time::format(removal.started_us, true),
            "started_us": removal.started_us,
            "ended": time::format(removal.ended_us, true),
            "ended_us": removal.ended_us,
            "rule": removal.rule,
            "segments": removal.segments,
            "frames": removal.frames,
            "bytes": removal.bytes,
            "removed": time::format(removal.removed_us, true),
            "removed_us": removal.removed_us,
        }),
    }
}

fn file_name(path: &Path) -> Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(ended_us: Option<i64>, detail: &str) -> GapRow {
        GapRow {
            camera: "gate".into(),
            started_us: 0,
            ended_us,
            reason: "stalled".into(),
            detail: detail.into(),
        }
    }

    #[test]
    fn a_gap_is_told_with_its_reason_and_what_the_camera_said_cannot_move_the_cursor() {
        let line = gap_line(&gap(Some(4_200_000), "silent\x1b[2J"), 6, true);
        assert_eq!(
            line,
            "gate    1970-01-01T00:00:00.000000Z  1970-01-01T00:00:04.200000Z         4.2 s  no footage, stalled: silent\u{fffd}[2J"
        );
        assert!(gap_line(&gap(None, ""), 4, true).contains("until now  "));
    }

    #[test]
    fn json_has_null_for_the_end_of_an_open_gap() {
        assert_eq!(
            item_json(&Item::Gap(gap(None, "")))["ended_us"],
            Value::Null
        );
    }
}
