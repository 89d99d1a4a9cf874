//! `framelog check`: is the configuration right, what is there where footage goes and, with `--connect`, do the cameras give pictures?

use std::path::PathBuf;
use std::time::{Duration, Instant};

use framelog_core::gap::GapReason;

use crate::cli::{Failure, recorder_user};
use crate::config::{Camera, Config};
use crate::source::memory::Memory;
use crate::source::{Delivery, Ended, Source};

mod removal;
pub(super) mod storage;

/// On top of its stall timeout, a camera has so long to connect and answer.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);

/// `framelog check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file, in place of --config
    #[arg(value_name = "CONFIG")]
    file: Option<PathBuf>,
    /// Connect to each camera and wait for a picture. A recorder that runs has its own connection: cameras with room for one may refuse
    #[arg(long)]
    connect: bool,
    /// Print one JSON object for each camera
    #[arg(long)]
    json: bool,
}

/// What is said of one camera.
#[derive(Debug, serde::Serialize)]
struct Line {
    camera: String,
    url: String,
    credentials: String,
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect: Option<Outcome>,
}

/// What came of connecting.
#[derive(Debug, serde::Serialize)]
#[serde(untagged)]
pub(super) enum Outcome {
    /// It gave one.
    Picture {
        /// Its size.
        picture_bytes: usize,
        /// How long that took.
        after_ms: u64,
    },
    /// It gave none.
    Failure {
        /// As a gap would have it.
        reason: &'static str,
        /// In words.
        detail: String,
    },
}

/// Checks, and prints a line for each camera; of the storage directory, on standard error, what there is to say.
///
/// # Errors
/// The configuration is wrong, the disk is read-only, or a camera gave no picture.
pub async fn run(args: Args, config: PathBuf) -> Result<(), Failure> {
    let file = args.file.unwrap_or(config);
    let (config, warnings) = Config::load(&file).map_err(|p| Failure::configuration(&p))?;
    for warning in &warnings {
        eprintln!("framelog: warning: {warning}");
    }
    let notes = storage::notes(&config.storage).await;
    for note in notes.map_err(Failure::failed)? {
        eprintln!("framelog: {note}");
    }
    if let Some(note) = removal::note(&config.storage.path, &config.rules()).await {
        eprintln!("framelog: {note}");
    }
    for file in recorder_user::hidden_files(&file, &config) {
        let (says, remedy) = recorder_user::say_hidden(&file);
        eprintln!("framelog: warning: {says}; {remedy}");
    }
    if !args.connect {
        for camera in &config.cameras {
            print(&Line::of(camera, None), args.json);
        }
        return Ok(());
    }
    let enabled = config.cameras.into_iter().filter(|camera| camera.enabled);
    // All at once, and told in the order of the cameras.
    let tries: Vec<_> = enabled
        .map(|camera| {
            tokio::spawn(async move { Line::of(&camera, Some(first_picture(&camera).await)) })
        })
        .collect();
    let (count, mut failed) = (tries.len(), 0);
    for line in tries {
        let line = line.await;
        let line = line.map_err(|_| Failure::failed("internal error; please report it"))?;
        failed += usize::from(matches!(line.connect, Some(Outcome::Failure { .. })));
        print(&line, args.json);
    }
    match failed {
        0 => Ok(()),
        _ => Err(Failure::failed(format!(
            "{failed} of {count} cameras gave no picture"
        ))),
    }
}

impl Line {
    fn of(camera: &Camera, connect: Option<Outcome>) -> Self {
        Self {
            camera: camera.name.clone(),
            url: camera.url.to_string(),
            credentials: credentials(camera),
            enabled: camera.enabled,
            connect,
        }
    }

    fn text(&self) -> String {
        let Self {
            camera,
            url,
            credentials,
            enabled,
            connect,
        } = self;
        match connect {
            None if *enabled => format!("{camera}  {url}  {credentials}"),
            None => format!("{camera}  {url}  {credentials}  disabled"),
            Some(Outcome::Picture {
                picture_bytes,
                after_ms,
            }) => {
                format!("{camera}  ok: a picture of {picture_bytes} bytes after {after_ms} ms")
            }
            Some(Outcome::Failure { reason, detail }) => format!("{camera}  {reason}: {detail}"),
        }
    }
}

fn credentials(camera: &Camera) -> String {
    match (&camera.username, &camera.password_source) {
        (None, _) => "no credentials".to_owned(),
        (Some(user), Some(source)) => format!("user {user:?}, {source}"),
        (Some(user), None) => format!("user {user:?}, empty password"),
    }
}

fn print(line: &Line, json: bool) {
    use std::io::Write as _;
    let text = match json {
        true => serde_json::to_string(line).unwrap_or_default(),
        false => line.text(),
    };
    // A closed pipe is the reader's choice.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Connects, and waits for a picture.
pub(super) async fn first_picture(camera: &Camera) -> Outcome {
    let limit = camera.stall_timeout.saturating_add(CONNECT_LIMIT);
    let (mut source, mut memory) = (None, Memory::patient());
    let waiting = wait_for_picture(camera, &mut source, &mut memory);
    let outcome = match tokio::time::timeout(limit, waiting).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(ended)) => ended.into(),
        Err(_) => in_vain(source.as_ref(), limit),
    };
    if let Some(source) = &mut source {
        source.close(&mut memory).await;
    }
    outcome
}

/// No picture came in all that time.
fn in_vain(source: Option<&Source>, limit: Duration) -> Outcome {
    let seconds = limit.as_secs();
    match source.is_some_and(Source::awaits_keyframe) {
        true => Outcome::Failure {
            reason: GapReason::NotVideo.name(),
            detail: format!(
                "its pictures come, but no keyframe within {seconds} s, and footage begins with one; set a shorter keyframe interval in the camera"
            ),
        },
        false => Outcome::Failure {
            reason: GapReason::Stalled.name(),
            detail: format!("no picture within {seconds} s; is it the right url?"),
        },
    }
}

async fn wait_for_picture(
    camera: &Camera,
    source: &mut Option<Source>,
    memory: &mut Memory,
) -> Result<Outcome, Ended> {
    let began = Instant::now();
    let mut deliveries = Vec::new();
    let mut ended = Ok(());
    let source = Source::open(source, camera, memory).await?;
    loop {
        for delivery in deliveries.drain(..) {
            if let Delivery::Picture(picture) = delivery {
                let after_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                return Ok(Outcome::Picture {
                    picture_bytes: picture.payload.len(),
                    after_ms,
                });
            }
        }
        ended?;
        ended = source.next(memory, &mut deliveries).await;
    }
}

impl From<Ended> for Outcome {
    fn from(ended: Ended) -> Self {
        Outcome::Failure {
            reason: ended.reason.name(),
            detail: ended.detail,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::password::PasswordSource;
    use crate::config::secret::Password;
    use crate::config::url::CameraUrl;

    #[test]
    fn a_line_names_the_source_of_the_password_and_never_the_password() {
        let (url, _) = CameraUrl::parse("http://admin:s3cr3t@c/?pwd=s3cr3t").unwrap();
        let camera = Camera {
            username: Some("admin".to_owned()),
            password: Some(Password::new("s3cr3t".to_owned())),
            password_source: Some(PasswordSource::File(PathBuf::from("/etc/p"))),
            ..Camera::new("gate", url)
        };
        let line = Line::of(&camera, None);
        assert!(
            line.text()
                .ends_with("  user \"admin\", password from /etc/p"),
            "{}",
            line.text()
        );
        let json = serde_json::to_string(&line).unwrap();
        assert!(!(line.text() + &json).contains("s3cr3t"), "{json}");
    }
}
