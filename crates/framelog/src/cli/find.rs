//! `framelog find`: which footage there is, which gaps, and which footage was removed, by time.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use framelog_store::query::{FrameRow, GapRow, RemovalRow, StretchRow};
use framelog_store::{Reader, identity};
use serde_json::{Value, json};

use super::output::{Stop, ended};
use super::{Failure, known_camera, receipt, storage, time, words};
use crate::wall::now_us;

const DEFAULT_SPAN_US: i64 = 24 * 3_600 * 1_000_000;
const PAGE_FRAMES: u32 = 1_000;
/// Written at a time.
const OUTPUT_BYTES: usize = 64 << 10;

/// Arguments of `framelog find`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Only this camera
    camera: Option<String>,
    /// Only footage after this time, and what else is in its segments; exactly with --frames [default: 24 hours ago]
    #[arg(long, value_name = "TIME", value_parser = time::argument, allow_hyphen_values = true)]
    from: Option<i64>,
    /// Only footage before this time, and what else is in its segments; exactly with --frames; +10min is 10 minutes after --from
    #[arg(long, value_name = "TIME", value_parser = time::end_argument, allow_hyphen_values = true)]
    to: Option<time::End>,
    /// Only the gaps
    #[arg(long, conflicts_with = "frames")]
    gaps: bool,
    /// One line for each frame
    #[arg(long)]
    frames: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// At most so many lines
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Times in UTC instead of local time
    #[arg(long)]
    utc: bool,
}

/// Lists what is in the storage directory.
///
/// # Errors
/// If the index can't be read, or doesn't know the camera, or the span is empty.
pub async fn run(args: Args, storage: &Path) -> Result<(), Failure> {
    let listing = Listing::new(args)?;
    // In this order: of a recorder that has ended by then everything is in the index.
    let is_recording = identity::is_recording(storage).map_err(Failure::failed)?;
    let listing = Listing {
        is_recording,
        ..listing
    };
    let reader = storage::open(storage).await?;
    let cameras = match &listing.args.camera {
        Some(camera) => {
            known_camera::require(&reader, camera).await?;
            vec![camera.clone()]
        }
        None => reader.cameras().await.map_err(Failure::failed)?,
    };
    let mut out = BufWriter::with_capacity(OUTPUT_BYTES, io::stdout());
    ended(listing.write(&reader, &cameras, storage, &mut out).await)
}

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

struct Listing {
    args: Args,
    from_us: i64,
    /// `None`: no end was given.
    to: Option<i64>,
    to_us: i64,
    lines_left: u64,
    /// Whether a recorder runs: without one nothing is open, whatever the last one, killed, has left in the index.
    is_recording: bool,
}

impl Listing {
    fn new(args: Args) -> Result<Self, Failure> {
        let to = args.to.map(|to| to.of_span(args.from)).transpose()?;
        let to_us = to.unwrap_or(i64::MAX);
        let from_us = args
            .from
            .unwrap_or_else(|| to.unwrap_or_else(now_us).saturating_sub(DEFAULT_SPAN_US));
        if from_us >= to_us {
            return Err(Failure::usage("--from is not before --to"));
        }
        let lines_left = args.limit.unwrap_or(u64::MAX);
        Ok(Self {
            args,
            from_us,
            to,
            to_us,
            lines_left,
            is_recording: false,
        })
    }

    async fn write(
        mut self,
        reader: &Reader,
        cameras: &[String],
        storage: &Path,
        out: &mut impl Write,
    ) -> Result<(), Stop> {
        if !self.args.json {
            writeln!(out, "{}", self.header(storage))?;
        }
        let width = cameras.iter().map(String::len).max().unwrap_or(0);
        let any = if self.args.frames {
            self.write_frames(reader, cameras, width, out)?
        } else {
            self.write_items(reader, cameras, width, out).await?
        };
        out.flush()?;
        if !any {
            eprintln!("nothing in this span");
        } else if self.lines_left == 0 {
            eprintln!(
                "stopped after {}; there may be more",
                words::count(self.args.limit.unwrap_or(0), "line")
            );
        }
        Ok(())
    }

    fn header(&self, storage: &Path) -> String {
        let end = self
            .to
            .map(|to| format!(" to {}", time::format(to, self.args.utc)))
            .unwrap_or_default();
        let default = if self.args.from.is_none() {
            " (24 hours; see --from and --to)"
        } else {
            ""
        };
        format!(
            "{}: from {}{end}{default}",
            storage.display(),
            time::format(self.from_us, self.args.utc)
        )
    }

    async fn write_items(
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

    fn write_frames(
        &mut self,
        reader: &Reader,
        cameras: &[String],
        width: usize,
        out: &mut impl Write,
    ) -> Result<bool, Stop> {
        let mut pages = Vec::with_capacity(cameras.len());
        for camera in cameras {
            let mut pages_of = FramePages::new(camera, self.from_us, self.to_us);
            pages_of.fill(reader)?;
            pages.push(pages_of);
        }
        let mut any = false;
        while let Some((next, frame)) = take_earliest(&mut pages) {
            any = true;
            if !self.take_line() {
                break;
            }
            if self.args.json {
                let json = serde_json::to_writer(&mut *out, &FrameJson::of(&frame));
                json.map_err(io::Error::from)?;
                out.write_all(b"\n")?;
            } else {
                write_frame_line(&frame, width, self.args.utc, out)?;
            }
            if let Some(pages_of) = pages.get_mut(next)
                && pages_of.page.is_empty()
            {
                pages_of.last = Some(frame);
                pages_of.fill(reader)?;
            }
        }
        Ok(any)
    }

    /// Whether another line may be written.
    fn take_line(&mut self) -> bool {
        let may = self.lines_left > 0;
        self.lines_left = self.lines_left.saturating_sub(1);
        may
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

/// One camera's frames in order of capture, read page by page.
struct FramePages<'c> {
    camera: &'c str,
    from_us: i64,
    to_us: i64,
    page: VecDeque<FrameRow>,
    /// The last frame of the pages before.
    last: Option<FrameRow>,
}

impl<'c> FramePages<'c> {
    fn new(camera: &'c str, from_us: i64, to_us: i64) -> Self {
        Self {
            camera,
            from_us,
            to_us,
            page: VecDeque::new(),
            last: None,
        }
    }

    fn fill(&mut self, reader: &Reader) -> Result<(), framelog_store::Error> {
        self.page = reader
            .frames(
                self.camera,
                self.from_us,
                self.to_us,
                self.last.as_ref(),
                PAGE_FRAMES,
            )?
            .into();
        Ok(())
    }
}

/// Takes the earliest frame of all, and says which camera's it was.
fn take_earliest(pages: &mut [FramePages<'_>]) -> Option<(usize, FrameRow)> {
    let (_, next) = pages
        .iter()
        .enumerate()
        .filter_map(|(at, pages_of)| Some((pages_of.page.front()?.captured_us, at)))
        .min()?;
    Some((next, pages.get_mut(next)?.page.pop_front()?))
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

/// Spans without footage, by start: where nothing was recorded, and where it was removed.
fn holes(gaps: &[GapRow], removals: &[RemovalRow]) -> Vec<GapRow> {
    let removed = removals.iter().map(|removal| GapRow {
        camera: removal.camera.clone(),
        started_us: removal.started_us,
        ended_us: Some(removal.ended_us),
        reason: removal.rule.clone(),
        detail: String::new(),
    });
    let mut holes: Vec<GapRow> = gaps.iter().cloned().chain(removed).collect();
    holes.sort_by_key(|hole| hole.started_us);
    holes
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

fn write_frame_line(
    frame: &FrameRow,
    width: usize,
    utc: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    writeln!(
        out,
        "{:width$}  {}  {:7}  {:>8}  {}:{}{}",
        frame.camera,
        time::format(frame.captured_us, utc),
        frame.clock.name(),
        words::bytes(frame.length),
        frame.path.display(),
        frame.offset,
        if frame.complete { "" } else { "  torn" },
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

/// The columns of the view `footage`. Not a [`Value`], because an hour of a camera has tens of thousands.
#[derive(serde::Serialize)]
struct FrameJson<'f> {
    camera: &'f str,
    captured: String,
    captured_us: i64,
    clock: &'f str,
    codec: &'f str,
    complete: bool,
    keyframe: bool,
    kind: &'static str,
    length: u64,
    offset: u64,
    path: Cow<'f, str>,
    received_us: i64,
}

impl<'f> FrameJson<'f> {
    fn of(frame: &'f FrameRow) -> Self {
        Self {
            camera: &frame.camera,
            captured: time::format(frame.captured_us, true),
            captured_us: frame.captured_us,
            clock: frame.clock.name(),
            codec: frame.codec.name(),
            complete: frame.complete,
            keyframe: frame.keyframe,
            kind: "frame",
            length: frame.length,
            offset: frame.offset,
            path: frame.path.to_string_lossy(),
            received_us: frame.received_us,
        }
    }
}

fn file_name(path: &Path) -> Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

#[cfg(test)]
mod tests {
    use framelog_core::clock::ClockKind;
    use framelog_core::frame::Codec;

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

    fn frame(camera: &str, captured_us: i64) -> FrameRow {
        FrameRow {
            camera: camera.into(),
            captured_us,
            received_us: captured_us,
            clock: ClockKind::Camera,
            clock_offset_us: 0,
            codec: Codec::Mjpeg,
            keyframe: true,
            complete: true,
            path: Path::new("a.mjpeg").into(),
            offset: 0,
            length: 1,
            segment_id: 1,
        }
    }

    #[test]
    fn frames_of_many_cameras_are_in_order_of_capture() {
        let pages_of = |camera: &'static str, times: [i64; 2]| FramePages {
            page: times.map(|time| frame(camera, time)).into(),
            ..FramePages::new(camera, 0, 9)
        };
        let mut pages = [pages_of("door", [1, 4]), pages_of("gate", [2, 3])];
        let order: Vec<_> = std::iter::from_fn(|| take_earliest(&mut pages))
            .map(|(at, frame)| (at, frame.captured_us))
            .collect();
        assert_eq!(order, [(0, 1), (1, 2), (1, 3), (0, 4)]);
    }

    #[test]
    fn json_has_null_for_the_end_of_an_open_gap() {
        assert_eq!(
            item_json(&Item::Gap(gap(None, "")))["ended_us"],
            Value::Null
        );
    }
}
