//! `framelog demo`: test cameras over real HTTP, recorded for real, and what to do with the footage. Needs no camera.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::stanza::Stanza;
use super::{Failure, words};
use crate::config::Config;
use crate::run;
use crate::status::{Snapshot, Status};
use crate::testcam::{Extent, Options, Size, Stamps, Testcam};

/// How long the last camera is without its plug.
const UNPLUGGED: Duration = Duration::from_secs(2);
const NAMES: [&str; 4] = ["front-door", "garden", "garage", "gate"];

/// Arguments of `framelog demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// How long to record
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// How many test cameras
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=200))]
    cameras: u16,
    /// Where the footage goes [default: a new temporary directory]; it is kept
    #[arg(long, value_name = "DIR")]
    storage: Option<PathBuf>,
}

/// Records test cameras for some seconds, or until Ctrl-C.
///
/// # Errors
/// If the cameras or the recorder don't start, or the recorder fails.
pub async fn run(args: Args) -> Result<(), Failure> {
    let directory = directory(args.storage)?;
    let cameras = start_cameras(args.cameras).await?;
    let config_file = directory.join("framelog.toml");
    std::fs::write(&config_file, config_text(&directory, &cameras)).map_err(|error| {
        Failure::failed(format!(
            "{}: cannot be written: {error}",
            config_file.display()
        ))
    })?;
    let (config, _) =
        Config::load(&config_file).map_err(|problems| Failure::configuration(&problems))?;
    say(format_args!(
        "{} over HTTP on this machine, recorded to {}",
        words::count(args.cameras.into(), "test camera"),
        directory.display()
    ));
    record(config, &cameras, Duration::from_secs(args.seconds))
        .await
        .map_err(Failure::failed)?;
    say(format_args!("{}", what_next(&program(), &directory)));
    Ok(())
}

fn directory(storage: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let Some(directory) = storage else {
        let made = tempfile::Builder::new().prefix("framelog-demo-").tempdir();
        return made.map(tempfile::TempDir::keep).map_err(|error| {
            Failure::failed(format!("no temporary directory: {error}; use --storage"))
        });
    };
    std::fs::create_dir_all(&directory)
        .and_then(|()| std::path::absolute(&directory))
        .map_err(|error| Failure::failed(format!("{}: {error}", directory.display())))
}

/// The cameras with their names; each kind of stamp is there.
async fn start_cameras(count: u16) -> Result<Vec<(String, Testcam)>, Failure> {
    let mut cameras = Vec::new();
    for (number, stamps) in (0..count).zip(
        [Stamps::Wall, Stamps::Uptime, Stamps::None]
            .into_iter()
            .cycle(),
    ) {
        let name = match NAMES.get(usize::from(number)) {
            Some(name) => (*name).to_owned(),
            None => format!("camera-{}", number + 1),
        };
        let options = Options {
            listen: ([127, 0, 0, 1], 0).into(),
            name: name.clone(),
            fps: 10,
            extent: Extent::Pixels(Size {
                width: 640,
                height: 360,
            }),
            stamps,
            login: None,
            quirks: Vec::new(),
        };
        cameras.push((
            name,
            Testcam::start(options).await.map_err(Failure::failed)?,
        ));
    }
    Ok(cameras)
}

/// A configuration as a person would write it, kept beside the footage.
fn config_text(directory: &Path, cameras: &[(String, Testcam)]) -> String {
    let path = toml::Value::String(directory.to_string_lossy().into_owned());
    let mut text = format!("[storage]\npath = {path}\n\n[http]\nlisten = \"127.0.0.1:0\"\n");
    for (name, camera) in cameras {
        let stanza = Stanza {
            name: name.clone(),
            url: camera.url(),
            ..Stanza::default()
        };
        // Writing to a String does not fail.
        let _ = write!(text, "\n{}", stanza.text());
    }
    text
}

/// The daemon, in this process, for so long.
async fn record(
    config: Config,
    cameras: &[(String, Testcam)],
    length: Duration,
) -> Result<(), run::Error> {
    let status = Arc::<Status>::default();
    let (orders, received) = mpsc::channel(1);
    // No file is read again: who asks for that is turned away.
    let (reloads, _) = mpsc::channel(1);
    let recording = run::record(config, Arc::clone(&status), received, reloads);
    tokio::pin!(recording);
    tokio::select! {
        failed = &mut recording => return failed,
        () = watch(&status, cameras, length) => {}
    }
    // Nobody can give orders any more: that means stop.
    drop(orders);
    recording.await
}

/// Tells every second what is recorded; pulls the last camera's plug after a third of the time.
async fn watch(status: &Status, cameras: &[(String, Testcam)], length: Duration) {
    let started = Instant::now();
    let mut plug = Plug::of(cameras.last(), length);
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    seconds.tick().await;
    let mut page = None;
    while started.elapsed() < length {
        tokio::select! {
            _ = seconds.tick() => {}
            _ = tokio::signal::ctrl_c() => return,
        }
        if page.is_none() {
            page = status.address();
            if let Some(address) = page {
                say(format_args!(
                    "look at it in a browser while it records: http://{address}/ (longer with --seconds 600)"
                ));
            }
        }
        say(format_args!(
            "{:>4} s  {}",
            started.elapsed().as_secs(),
            progress(&status.snapshots(Instant::now()))
        ));
        plug.turn(started.elapsed());
    }
}

/// The camera whose plug is pulled, so that there is a gap to be seen.
struct Plug<'a> {
    camera: Option<&'a (String, Testcam)>,
    out_at: Duration,
    in_at: Duration,
}

impl<'a> Plug<'a> {
    fn of(camera: Option<&'a (String, Testcam)>, length: Duration) -> Self {
        let out_at = length / 3;
        Self {
            camera,
            out_at,
            in_at: out_at + UNPLUGGED,
        }
    }

    fn turn(&mut self, elapsed: Duration) {
        let Some((name, camera)) = self.camera else {
            return;
        };
        if elapsed >= self.in_at {
            camera.plug_in();
            say(format_args!("        {name}: its plug is back in"));
            self.camera = None;
        } else if elapsed >= self.out_at && self.out_at > Duration::ZERO {
            camera.unplug();
            say(format_args!(
                "        {name}: its plug is pulled for {} s",
                UNPLUGGED.as_secs()
            ));
            self.out_at = Duration::ZERO;
        }
    }
}

fn progress(cameras: &[Snapshot]) -> String {
    let frames: u64 = cameras
        .iter()
        .map(|camera| camera.stored.stored_frames)
        .sum();
    let bytes: u64 = cameras
        .iter()
        .map(|camera| camera.stored.stored_bytes)
        .sum();
    let missing = cameras.iter().filter_map(|camera| {
        Some(format!(
            "; {}: {}",
            camera.name,
            camera.gap.as_ref()?.reason.name()
        ))
    });
    format!(
        "{}, {}{}",
        words::count(frames, "frame"),
        words::bytes(bytes),
        missing.collect::<String>()
    )
}

/// Tells the person, if anybody is there.
fn say(line: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// The program as it was called, so that what is printed works when it is pasted.
fn program() -> String {
    std::env::args()
        .next()
        .unwrap_or_else(|| "framelog".to_owned())
}

fn what_next(program: &str, directory: &Path) -> String {
    let (program, storage) = (
        shell_word(program),
        shell_word(&directory.to_string_lossy()),
    );
    let database = shell_word(&directory.join(framelog_store::INDEX).to_string_lossy());
    let camera = NAMES[0];
    format!(
        "\nThe footage is in {storage}. Try:\n\n\
         {program} find --storage {storage}\n\
         {program} frame {camera} -5s --storage {storage} -o {camera}.jpg\n\
         {program} export {camera} --from -5min --to now --storage {storage} -o {camera}.zip\n\
         sqlite3 -readonly {database} 'SELECT camera, captured, clock, path FROM footage ORDER BY captured_us LIMIT 5'\n\n\
         It is kept; `rm -r {storage}` removes it."
    )
}

/// A word that a shell takes as it is.
fn shell_word(text: &str) -> String {
    let is_plain = !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte));
    if is_plain {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_a_shell_would_take_apart_are_quoted() {
        assert_eq!(shell_word("/tmp/a-b_c.d"), "/tmp/a-b_c.d");
        assert_eq!(shell_word("/tmp/it's $HOME"), "'/tmp/it'\\''s $HOME'");
        assert!(
            what_next("framelog", Path::new("/tmp/a b")).contains("find --storage '/tmp/a b'\n")
        );
    }
}
