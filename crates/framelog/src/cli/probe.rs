//! `framelog probe`: what a camera sends, in words, and the TOML that records it. Connects as the recorder does.

mod coding;
mod observation;
mod paths;
mod report;
mod target;

use std::path::PathBuf;
use std::time::Duration;

use framelog_core::gap::GapReason;
use tokio::time::{Instant, timeout_at};

use super::stanza::{PasswordPlace, Stanza, name_for};
use super::{Failure, words};
use crate::config::secret::Password;
use crate::config::url::CameraUrl;
use crate::config::{Camera, Tls};
use crate::source::memory::Memory;
use crate::source::{Delivery, Ended, Source, dial, rtsp};
use observation::Observation;
use report::{Report, Said};
use target::Target;

/// How long one of several paths may take to give a picture.
const CANDIDATE_STALL: Duration = Duration::from_secs(4);
/// After so many paths of a port that takes connections and says nothing, it will not for the others either.
const SILENT_MAX: usize = 3;
/// After so many paths that want a login, the camera as a whole does; asking on could lock accounts.
const LOGINS_WANTED_MAX: u32 = 3;
/// Pictures after which a snapshot URL has told what it can.
const SNAPSHOTS: u64 = 3;

/// Arguments of `framelog probe`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A URL, or a host or host:port whose well-known paths are tried
    #[arg(value_name = "URL|ADDRESS")]
    target: String,
    /// User name
    #[arg(long)]
    username: Option<String>,
    /// File with the password
    #[arg(
        long,
        value_name = "FILE",
        requires = "username",
        conflicts_with = "password_env"
    )]
    password_file: Option<PathBuf>,
    /// Environment variable with the password
    #[arg(long, value_name = "NAME", requires = "username")]
    password_env: Option<String>,
    /// Trust the certificate with this SHA-256 fingerprint
    #[arg(long, value_name = "HEX")]
    fingerprint: Option<String>,
    /// How long to watch the stream
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// One JSON object instead of words
    #[arg(long)]
    json: bool,
}

/// Probes the camera and prints what it sends on standard output, ways that led nowhere on standard error.
///
/// # Errors
/// If no picture came: why.
pub async fn run(args: Args) -> Result<(), Failure> {
    let target = Target::read(&args.target)
        .map_err(|error| Failure::usage(format!("{}: {error}", words::plain(&args.target))))?;
    let mut probe = Probe::new(&args, target.login)?;
    if let Some(url) = target.candidates.first() {
        // The other ports and paths of a host that has no address needn't be tried.
        dial::look_up(url).await.map_err(Failure::failed)?;
    }
    let candidates = match target.over_rtsp.first() {
        Some(url) if rtsp::is_spoken(url, &probe.tls).await => &target.over_rtsp,
        _ => &target.candidates,
    };
    let report = probe.first_with_pictures(candidates).await?;
    let text = if args.json {
        format!("{}\n", report.json())
    } else {
        report.text()
    };
    use std::io::Write as _;
    super::output::ended(
        std::io::stdout()
            .write_all(text.as_bytes())
            .map_err(Into::into),
    )
}

struct Probe {
    username: Option<String>,
    password: Option<Password>,
    place: Option<PasswordPlace>,
    tls: Tls,
    watch: Duration,
}

/// No picture came.
struct Nothing {
    ended: Ended,
    /// It answered all the same.
    spoke: bool,
}

impl From<Ended> for Nothing {
    /// Of one that there is no connection to, or no answer on it.
    fn from(ended: Ended) -> Self {
        let is_silence = matches!(ended.reason, GapReason::Unreachable | GapReason::Stalled);
        Self {
            ended,
            spoke: !is_silence,
        }
    }
}

impl Probe {
    fn new(args: &Args, login: Option<(String, String)>) -> Result<Self, Failure> {
        let (in_url, in_url_password) = login.unzip();
        let file = args.password_file.as_deref();
        let (password, place) = match (file, &args.password_env) {
            (Some(file), _) => {
                let password = target::read_password(file).map_err(Failure::usage)?;
                let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
                (Some(password), Some(PasswordPlace::File(file)))
            }
            (None, Some(name)) => {
                let password = std::env::var(name).map_err(|error| {
                    Failure::usage(format!("{name}: {error}; set it to the password"))
                })?;
                (
                    Some(password),
                    Some(PasswordPlace::Environment(name.clone())),
                )
            }
            // The password is known here only: the stanza says where it would be.
            (None, None) => (
                in_url_password.clone(),
                in_url_password
                    .map(|_| PasswordPlace::File("/etc/framelog/camera.password".into())),
            ),
        };
        let tls = match &args.fingerprint {
            Some(text) => Tls::Pin(crate::config::fingerprint(text).map_err(Failure::usage)?),
            None => Tls::Verify,
        };
        Ok(Self {
            username: args.username.clone().or(in_url),
            password: password.map(Password::new),
            place,
            tls,
            watch: Duration::from_secs(args.seconds),
        })
    }

    /// Tries one URL after the other, one connection at a time.
    async fn first_with_pictures(&mut self, candidates: &[CameraUrl]) -> Result<Report, Failure> {
        let mut last = None;
        let mut dead_port = None;
        // The ports of those that gave no sign, one after the other.
        let mut silent = Vec::new();
        let mut any_spoke = false;
        let mut logins_wanted = 0;
        for url in candidates {
            if dead_port == Some(url.port) {
                continue;
            }
            let Nothing { ended, spoke } = match self.watch(url, candidates.len() > 1).await {
                Ok(report) => return Ok(report),
                Err(nothing) => nothing,
            };
            if candidates.len() > 1 {
                eprintln!("{}: {}", full_url(url), ended.reason);
            }
            any_spoke |= spoke;
            match spoke {
                true => silent.clear(),
                false => silent.push(url.port),
            }
            if silent.iter().filter(|&&port| port == url.port).count() >= SILENT_MAX {
                dead_port = Some(url.port);
            }
            match ended.reason {
                GapReason::Unreachable => dead_port = Some(url.port),
                // Cameras lock accounts: wrong credentials are not tried again.
                GapReason::Unauthorized if self.username.is_some() && self.password.is_none() => {
                    return Err(Failure::failed(format!(
                        "{url} asks for a password; give --password-file or --password-env"
                    )));
                }
                GapReason::Unauthorized if self.username.is_some() => {
                    return Err(Failure::failed(ended.detail));
                }
                GapReason::Unauthorized => {
                    logins_wanted += 1;
                    if logins_wanted == LOGINS_WANTED_MAX || candidates.len() == 1 {
                        return Err(login_wanted(url));
                    }
                }
                _ => {}
            }
            last = Some(ended.detail);
        }
        let last = last.unwrap_or_default();
        Err(Failure::failed(if candidates.len() == 1 || !any_spoke {
            last
        } else {
            format!(
                "no pictures at any of the well-known paths; find the URL in the camera's manual (the last answer was: {last})"
            )
        }))
    }

    fn camera(&self, url: &CameraUrl, is_one_of_many: bool) -> Camera {
        let mut camera = Camera::new(&name_for(&url.host), url.clone());
        camera.username = self.username.clone();
        camera.password = self.password.clone();
        camera.tls = self.tls.clone();
        if is_one_of_many {
            camera.stall_timeout = CANDIDATE_STALL;
        }
        camera
    }

    /// Connects and watches; an error if no picture came.
    async fn watch(&mut self, url: &CameraUrl, is_one_of_many: bool) -> Result<Report, Nothing> {
        let mut memory = Memory::default();
        let mut open = None;
        let watched = self
            .watch_open(url, is_one_of_many, &mut open, &mut memory)
            .await;
        if let Some(source) = &mut open {
            source.close(&mut memory).await;
        }
        watched
    }

    async fn watch_open(
        &mut self,
        url: &CameraUrl,
        is_one_of_many: bool,
        open: &mut Option<Source>,
        memory: &mut Memory,
    ) -> Result<Report, Nothing> {
        let camera = self.camera(url, is_one_of_many);
        if let Err(ended) = Source::open(open, &camera, memory).await {
            // Without credentials there is nothing to give away: look at what is behind the unknown certificate.
            let is_free = self.username.is_none() && self.tls == Tls::Verify;
            let seen = memory.refused_certificate.take().filter(|_| is_free);
            self.tls = Tls::Pin(seen.ok_or(ended)?);
            *open = None;
            Source::open(open, &self.camera(url, is_one_of_many), memory).await?;
        }
        let mut seen = Observation::default();
        let Some(source) = open else {
            return Err(no_facts(url).into());
        };
        let ended = self.observe(source, memory, &mut seen).await;
        match (ended, source.facts()) {
            (Some(ended), _) if seen.pictures == 0 => Err(Nothing { ended, spoke: true }),
            (ended, Some(facts)) => Ok(self.report(url, is_one_of_many, facts.into(), seen, ended)),
            (_, None) => Err(no_facts(url).into()),
        }
    }

    /// Watches for as long as was asked for, from the first picture on.
    async fn observe(
        &self,
        source: &mut Source,
        memory: &mut Memory,
        seen: &mut Observation,
    ) -> Option<Ended> {
        let mut deliveries = Vec::new();
        let mut until: Option<Instant> = None;
        loop {
            let round = source.next(memory, &mut deliveries);
            let ended = match until {
                Some(until) => match timeout_at(until, round).await {
                    Ok(result) => result.err(),
                    Err(_) => return None,
                },
                None => round.await.err(),
            };
            for delivery in deliveries.drain(..) {
                match delivery {
                    Delivery::Picture(picture) => seen.add(&picture),
                    Delivery::Skipped(skipped) => seen.add_skipped(&skipped),
                }
            }
            if ended.is_some() {
                return ended;
            }
            if seen.pictures > 0 && until.is_none() {
                until = Some(Instant::now() + self.watch);
            }
            if until.is_some_and(|until| Instant::now() >= until)
                || (seen.pictures >= SNAPSHOTS && is_snapshot(source))
            {
                return None;
            }
        }
    }

    fn report(
        &self,
        url: &CameraUrl,
        is_one_of_many: bool,
        said: Said,
        seen: Observation,
        ended: Option<Ended>,
    ) -> Report {
        let fingerprint = match &self.tls {
            Tls::Pin(bytes) => Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
            Tls::Verify | Tls::Accept => None,
        };
        let stanza = Stanza {
            name: name_for(&url.host),
            // What a person wrote may have a secret in it; what is well known has none.
            url: if is_one_of_many {
                full_url(url)
            } else {
                url.to_string()
            },
            username: self.username.clone(),
            password: self.place.clone(),
            fingerprint: fingerprint.clone(),
            is_polled: said.is_snapshot(),
        };
        Report {
            asked: url.to_string(),
            said,
            fingerprint,
            seen,
            ended: ended.map(|ended| ended.detail),
            stanza: stanza.text(),
        }
    }
}

fn is_snapshot(source: &Source) -> bool {
    source
        .facts()
        .is_some_and(|facts| Said::from(facts).is_snapshot())
}

fn no_facts(url: &CameraUrl) -> Ended {
    Ended {
        reason: GapReason::BadResponse,
        detail: format!("{url} said nothing of itself"),
        retry_after: None,
    }
}

fn login_wanted(url: &CameraUrl) -> Failure {
    Failure::failed(format!(
        "{url} asks for a user name and password; give --username and --password-file"
    ))
}

/// The URL with nothing masked: only for well-known paths.
fn full_url(url: &CameraUrl) -> String {
    let root = CameraUrl {
        target: "/".to_owned(),
        ..url.clone()
    };
    format!("{}{}", root.to_string().trim_end_matches('/'), url.target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_paths_are_shown_as_they_are_to_be_pasted() {
        for (host, shown) in [
            ("cam", "http://cam/x?nowprofileid=1"),
            ("[::1]:81", "http://[::1]:81/x?nowprofileid=1"),
        ] {
            let (url, _) = CameraUrl::parse(&format!("http://{host}/x?nowprofileid=1")).unwrap();
            assert_eq!(full_url(&url), shown);
        }
    }
}
