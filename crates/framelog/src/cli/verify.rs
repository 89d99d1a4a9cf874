//! `framelog verify`: whether index and footage say the same, and what is damaged. Puts nothing right.

use std::io::Write as _;
use std::path::Path;

use framelog_store::verify::{Depth, Finding, News, Scope, Totals, verify};
use serde_json::{Value, json};

use super::output::{Stop, ended};
use super::progress::Progress;
use super::{Failure, known_camera, storage, time, words};

/// Arguments of `framelog verify`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Only these cameras
    #[arg(value_name = "CAMERA")]
    cameras: Vec<String>,
    /// Only segments with footage after this time
    #[arg(long, value_name = "TIME", value_parser = time::argument, allow_hyphen_values = true)]
    from: Option<i64>,
    /// Only segments with footage before this time; +10min is 10 minutes after --from
    #[arg(long, value_name = "TIME", value_parser = time::end_argument, allow_hyphen_values = true)]
    to: Option<time::End>,
    /// Read every byte: checksums, and the structure of each picture
    #[arg(long)]
    deep: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// Tells each finding in a line on standard output, and at the end on standard error what was looked at.
///
/// # Errors
/// If something is wrong, or the index can't be read or doesn't know a camera, or the span is empty.
pub async fn run(args: Args, storage: &Path) -> Result<(), Failure> {
    let to = args.to.map(|to| to.of_span(args.from)).transpose()?;
    let scope = Scope {
        from_us: args.from.unwrap_or(i64::MIN),
        to_us: to.unwrap_or(i64::MAX),
        depth: if args.deep {
            Depth::Bytes
        } else {
            Depth::Heads
        },
        cameras: args.cameras,
    };
    if scope.from_us >= scope.to_us {
        return Err(Failure::usage("--from is not before --to"));
    }
    let reader = storage::open(storage).await?;
    for camera in &scope.cameras {
        known_camera::require(&reader, camera).await?;
    }
    let progress = Progress::of_frames();
    let verified: Result<Totals, Stop> = verify(&reader, &scope, |news| match news {
        News::Finding(finding) => progress.aside(|| write(&finding, args.json)),
        News::Progress(totals) => {
            progress.count(totals.frames, totals.frames_due, totals.bytes);
            Ok(())
        }
    })
    .await;
    progress.finish();
    let mut findings = 0;
    ended(verified.map(|totals| {
        findings = totals.findings;
        eprintln!("{}", summary(&totals));
    }))?;
    match findings {
        0 => Ok(()),
        // All is said already.
        _ => Err(Failure {
            lines: Vec::new(),
            code: 1,
        }),
    }
}

fn write(finding: &Finding, as_json: bool) -> Result<(), Stop> {
    let line = match as_json {
        true => finding_json(finding).to_string(),
        // A file's name may be anybody's.
        false => words::plain(&finding.to_string()),
    };
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

fn finding_json(finding: &Finding) -> Value {
    let Finding { place, problem } = finding;
    json!({
        "kind": problem.name(),
        "failure": problem.is_failure(),
        "camera": place.camera,
        "captured": place.captured_us.map(|us| time::format(us, true)),
        "captured_us": place.captured_us,
        "path": place.path,
        "offset": place.offset,
        "text": problem.to_string(),
    })
}

fn summary(totals: &Totals) -> String {
    let foreign = match totals.foreign {
        0 => String::new(),
        1 => "; 1 file is not framelog's".to_owned(),
        files => format!("; {files} files are not framelog's"),
    };
    let awaited = match totals.awaited {
        0 => String::new(),
        files => format!(
            "; {} not in the index yet, which is being made anew",
            words::count(files, "file")
        ),
    };
    let findings = match totals.findings {
        0 => "no finding".to_owned(),
        findings => words::count(findings, "finding"),
    };
    format!(
        "verified {}, {}, {} of {}: {findings}{foreign}{awaited}",
        words::count(totals.segments, "segment"),
        words::count(totals.frames, "frame"),
        words::bytes(totals.bytes),
        words::count(totals.cameras, "camera"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_says_what_was_looked_at_and_what_came_of_it() {
        let mut totals = Totals {
            cameras: 2,
            segments: 12,
            frames: 7200,
            bytes: 171_000_000,
            ..Totals::default()
        };
        assert_eq!(
            summary(&totals),
            "verified 12 segments, 7200 frames, 171 MB of 2 cameras: no finding"
        );
        (totals.findings, totals.foreign) = (3, 1);
        assert!(summary(&totals).ends_with(": 3 findings; 1 file is not framelog's"));
        totals.awaited = 2;
        let awaited = "; 2 files not in the index yet, which is being made anew";
        assert!(summary(&totals).ends_with(awaited));
    }
}
