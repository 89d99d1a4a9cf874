//! `[cameras.<name>]`: one camera, as configured.

use std::time::Duration;

use framelog_core::clock::TimestampMode;
use toml::de::{DeTable, DeValue};

use super::password::{self, PasswordSource, Surroundings};
use super::problem::Report;
use super::retention;
use super::secret::Password;
use super::section::{Section, boolean, duration, kind, one_of, string};
use super::units::CENTURY;
use super::url::CameraUrl;

/// The keys of a camera's section.
pub(super) const KEYS: [&str; 12] = [
    "url",
    "username",
    "password",
    "timestamps",
    "stall_timeout",
    "poll_interval",
    "max_skew",
    "transport",
    "tls",
    "retain",
    "max_size",
    "enabled",
];

const DAY: Duration = Duration::from_secs(86_400);
const TIMESTAMPS: [(&str, TimestampMode); 3] = [
    ("auto", TimestampMode::Auto),
    ("camera", TimestampMode::Camera),
    ("arrival", TimestampMode::Arrival),
];
const TRANSPORTS: [(&str, Transport); 2] = [("tcp", Transport::Tcp), ("udp", Transport::Udp)];

/// One camera, as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Camera {
    /// Path and URL component: `[a-z0-9][a-z0-9_-]{0,63}`.
    pub name: String,
    /// Where it is; credentials in it have been moved to the fields below.
    pub url: CameraUrl,
    /// User name for Basic and Digest.
    pub username: Option<String>,
    /// Password for Basic and Digest, resolved from text, file, environment or systemd credential. Empty if only a user name is configured.
    pub password: Option<Password>,
    /// Where the password came from.
    pub password_source: Option<PasswordSource>,
    /// How far to believe its stamps.
    pub timestamps: TimestampMode,
    /// Reconnect after so long without a complete frame.
    pub stall_timeout: Duration,
    /// How often to ask a URL that gives single pictures.
    pub poll_interval: Duration,
    /// How far a stamp may be from the arrival and still be believed.
    pub max_skew: Duration,
    /// How its packets come (`rtsp://`).
    pub transport: Transport,
    /// How to check its certificate (`https://`, `rtsps://`).
    pub tls: Tls,
    /// Footage older than this goes; `None`: as `[storage]` says.
    pub retain: Option<Duration>,
    /// The most bytes of footage; `None`: no limit of its own.
    pub max_size: Option<u64>,
    /// Whether to record it.
    pub enabled: bool,
}

/// How the packets of an RTSP camera come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// Over the connection; as datagrams where the camera refuses that.
    #[default]
    Any,
    /// Over the connection.
    Tcp,
    /// As datagrams.
    Udp,
}

/// How to check a camera's certificate.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Tls {
    /// Against the machine's trusted authorities, host name included.
    #[default]
    Verify,
    /// Accept exactly the certificate with this SHA-256 fingerprint.
    Pin([u8; 32]),
    /// Accept any.
    Accept,
}

impl Camera {
    /// A camera with nothing configured but its name and URL.
    pub fn new(name: &str, url: CameraUrl) -> Self {
        Self {
            name: name.to_owned(),
            url,
            username: None,
            password: None,
            password_source: None,
            timestamps: TimestampMode::Auto,
            stall_timeout: Duration::from_secs(10),
            poll_interval: Duration::from_secs(1),
            max_skew: Duration::from_secs(600),
            transport: Transport::Any,
            tls: Tls::Verify,
            retain: None,
            max_size: None,
            enabled: true,
        }
    }
}

/// The rest of a name with a dot in it, and where it stands: to TOML `[cameras.front.door]` is a section of a section.
pub(super) fn behind_dot<'t>(table: &'t DeTable<'_>) -> Option<(&'t str, usize)> {
    let is_key = |key: &str| KEYS.contains(&key);
    let (key, _) = table.iter().find(|(key, value)| {
        let inner = value.get_ref().as_table();
        !is_key(key.get_ref())
            && inner.is_some_and(|inner| inner.keys().any(|key| is_key(key.get_ref())))
    })?;
    Some((key.get_ref(), key.span().start))
}

/// Reads `[cameras.<name>]`, which begins at byte `at`; `None` if it has an error.
pub(super) fn read<'t>(
    report: &mut Report<'t>,
    name: &str,
    at: usize,
    table: &DeTable<'_>,
    surroundings: &Surroundings<'_>,
) -> Option<Camera> {
    let errors_before = report.errors.len();
    let mut section = Section::new(report, &format!("cameras.{name}"), at, table, &KEYS);
    // Every key is read before anything is given up, so that every error is reported.
    let url = section.take("url", url);
    if section.lacks("url") {
        section.error(
            "url",
            "is missing: write url = \"http://…\" or url = \"rtsp://…\"",
        );
    }
    let (url, in_url) = url.unzip();
    let credentials = credentials(&mut section, in_url.flatten(), surroundings);
    let tls = section.take("tls", tls);
    let transport = section.take("transport", one_of(&TRANSPORTS));
    let settings = settings(&mut section);
    if let Some(url) = &url {
        warn_of_no_effect(&mut section, url);
    }
    if report.errors.len() > errors_before {
        return None;
    }
    let mut camera = Camera {
        transport: transport.unwrap_or_default(),
        tls: tls.unwrap_or_default(),
        ..Camera::new(name, url?)
    };
    settings(&mut camera);
    credentials(&mut camera);
    Some(camera)
}

fn warn_of_no_effect(section: &mut Section<'_, '_>, url: &CameraUrl) {
    let scheme = url.scheme;
    for (key, has_effect) in [
        ("tls", scheme.is_secure()),
        ("transport", scheme.is_rtsp()),
        ("poll_interval", !scheme.is_rtsp()),
    ] {
        if section.has(key) && !has_effect {
            section.warn(
                key,
                &format!("has no effect on an {}:// url", scheme.name()),
            );
        }
    }
}

/// Reads the keys that stand for themselves; what it returns puts them into a camera.
fn settings(section: &mut Section<'_, '_>) -> impl FnOnce(&mut Camera) + use<> {
    let timestamps = section.take("timestamps", one_of(&TIMESTAMPS));
    let stall = section.take("stall_timeout", duration(Duration::from_millis(100)..=DAY));
    let poll = section.take("poll_interval", duration(Duration::from_millis(10)..=DAY));
    let skew = section.take("max_skew", duration(Duration::from_millis(1)..=CENTURY));
    let (retain, max_size) = retention::read(section);
    let enabled = section.take("enabled", boolean);
    move |camera| {
        camera.timestamps = timestamps.unwrap_or(camera.timestamps);
        camera.stall_timeout = stall.unwrap_or(camera.stall_timeout);
        camera.poll_interval = poll.unwrap_or(camera.poll_interval);
        camera.max_skew = skew.unwrap_or(camera.max_skew);
        camera.retain = retain;
        camera.max_size = max_size;
        camera.enabled = enabled.unwrap_or(camera.enabled);
    }
}

/// Reads user name and password from their keys or the URL; what it returns puts them into a camera.
fn credentials(
    section: &mut Section<'_, '_>,
    in_url: Option<(String, String)>,
    surroundings: &Surroundings<'_>,
) -> impl FnOnce(&mut Camera) + use<> {
    let username = section.take("username", string);
    let password = section.take("password", |value| password::read(value, surroundings));
    if in_url.is_some() {
        for key in ["username", "password"] {
            if section.has(key) {
                section.error(key, "is in the url too: take it out of the url");
            }
        }
    } else if section.has("password") && section.lacks("username") {
        section.error("password", "has no username: write username = \"…\"");
    }
    move |camera| {
        if let Some((username, password)) = in_url {
            camera.username = Some(username);
            camera.password = Some(Password::new(password));
            camera.password_source = Some(PasswordSource::Url);
        } else if username.is_some() {
            camera.username = username;
            let (password, source) = password.unzip();
            camera.password = Some(password.unwrap_or_else(|| Password::new(String::new())));
            camera.password_source = source;
        }
    }
}

fn url(value: &DeValue<'_>) -> Result<(CameraUrl, Option<(String, String)>), String> {
    CameraUrl::parse(&string(value)?).map_err(|e| e.to_string())
}

fn tls(value: &DeValue<'_>) -> Result<Tls, String> {
    const FORMS: &str = "\"verify\", \"accept\" or { fingerprint = \"AB:CD:…\" }";
    match value {
        DeValue::String(text) if text == "verify" => Ok(Tls::Verify),
        DeValue::String(text) if text == "accept" => Ok(Tls::Accept),
        DeValue::String(text) => Err(format!("{text:?} is none of {FORMS}")),
        DeValue::Table(table) => match (table.get("fingerprint"), table.len()) {
            (Some(value), 1) => fingerprint(&string(value.get_ref())?).map(Tls::Pin),
            _ => Err(format!("must be {FORMS}")),
        },
        other => Err(format!("must be {FORMS}, not {}", kind(other))),
    }
}

/// Reads 32 bytes in hexadecimal, with or without colons, as `openssl x509 -fingerprint -sha256` prints them.
///
/// # Errors
/// In words, if it is anything else.
pub fn fingerprint(text: &str) -> Result<[u8; 32], String> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_whitespace() && *c != ':')
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()
        .ok_or("the fingerprint has characters that are not hexadecimal: write AB:CD:…")?;
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |b, d| b << 4 | d))
        .collect();
    let count = digits.len();
    bytes
        .try_into()
        .ok()
        .filter(|_| count == 64)
        .ok_or_else(|| {
            format!("the fingerprint has {count} hexadecimal digits, not 64: use the SHA-256 one")
        })
}
