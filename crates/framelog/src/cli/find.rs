//! `framelog find`: which footage there is, which gaps, and which footage was removed, by time.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use framelog_store::{Reader, identity};

use super::output::{Stop, ended};
use super::{Failure, known_camera, storage, time, words};
use crate::wall::now_us;

mod frames;
mod items;

const DEFAULT_SPAN_US: i64 = 24 * 3_600 * 1_000_000;
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

    /// Whether another line may be written.
    fn take_line(&mut self) -> bool {
        let may = self.lines_left > 0;
        self.lines_left = self.lines_left.saturating_sub(1);
        may
    }
}
