//! The TOML file as values that have been checked. Sees no other module of the daemon.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use framelog_store::{Layout, Uuid};
use toml::de::{DeTable, DeValue};

mod camera;
pub mod name;
pub mod password;
mod problem;
pub mod retention;
pub mod secret;
mod section;
mod syntax;
pub mod units;
pub mod url;
mod webhook;

pub use camera::{Camera, Tls, Transport, fingerprint};
pub use problem::Problem;
pub use webhook::Webhook;

use password::{PasswordSource, Surroundings};
use problem::Report;
use secret::Password;
use section::{Section, address, duration, kind, one_of, path, printable, size, table, uuid};

const TOP_KEYS: [&str; 4] = ["storage", "http", "webhook", "cameras"];
const STORAGE_KEYS: [&str; 8] = [
    "path", "uuid", "retain", "max_size", "min_free", "segment", "layout", "sync",
];
const HTTP_KEYS: [&str; 2] = ["listen", "token"];

/// Nobody guesses a token of so many characters.
const TOKEN_MIN: usize = 16;

const DAY: Duration = Duration::from_secs(86_400);

/// A whole configuration file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// `[storage]`.
    pub storage: Storage,
    /// `[http]`.
    pub http: Http,
    /// `[webhook]`, if there is one.
    pub webhook: Option<Webhook>,
    /// `[cameras.…]`, by name.
    pub cameras: Vec<Camera>,
}

/// Where footage goes, and how much of it stays.
#[derive(Clone, Debug, PartialEq)]
pub struct Storage {
    /// The storage directory. In the file, a relative path begins at the file's own directory.
    pub path: PathBuf,
    /// Only the directory whose `recorder.toml` holds this is the right one; `None`: whichever is there.
    pub uuid: Option<Uuid>,
    /// Footage older than this goes; `None`: age is no reason.
    pub retain: Option<Duration>,
    /// The most bytes of footage of all cameras; `None`: as much as fits.
    pub max_size: Option<u64>,
    /// Bytes of the disk that are left free.
    pub min_free: u64,
    /// How long a segment is.
    pub segment: Duration,
    /// One file per segment or per frame.
    pub layout: Layout,
    /// How often footage and index are synced to the disk.
    pub sync: Duration,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            path: PathBuf::from("/var/lib/framelog"),
            uuid: None,
            retain: None,
            max_size: None,
            min_free: 5_000_000_000,
            segment: Duration::from_secs(60),
            layout: Layout::Segments,
            sync: Duration::from_secs(1),
        }
    }
}

/// The daemon's own web server.
#[derive(Clone, Debug, PartialEq)]
pub struct Http {
    /// Where it listens; port 0 takes a free one, which the log names.
    pub listen: SocketAddr,
    /// It is the file's own. Another program that has the default one is no reason not to record.
    pub must_listen: bool,
    /// Who sends this may ask for more than the health; `None`: whoever reaches the address, which only this machine does.
    pub token: Option<Password>,
    /// Where it comes from.
    pub token_source: Option<PasswordSource>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            must_listen: false,
            token: None,
            token_source: None,
        }
    }
}

impl Config {
    /// Reads and checks a file, and fetches the passwords it names. On success the second value holds warnings.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of its lines.
    pub fn load(file: &Path) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let text = read_text(file)?;
        let (config, mut warnings) = Self::read(file, &text)?;
        if config.holds_password() && readable_by_all(file) {
            warnings.push(Problem {
                file: file.to_owned(),
                at: None,
                key: String::new(),
                message: "holds a password and every user can read it: chmod o-r it, or use password = { file = \"…\" }".to_owned(),
            });
        }
        Ok((config, warnings))
    }

    /// For who asks what runs, which goes on by the file as it was before somebody made an error in it: then there are no cameras. The second
    /// value holds errors, the third warnings.
    ///
    /// # Errors
    /// As [`Config::load`], where not even the footage can be found by it.
    pub fn load_to_ask(file: &Path) -> Result<(Self, Vec<Problem>, Vec<Problem>), Vec<Problem>> {
        match Self::load(file) {
            Ok((config, warnings)) => Ok((config, Vec::new(), warnings)),
            Err(errors) => match find_only(file) {
                Some(config) => Ok((config, errors, Vec::new())),
                None => Err(errors),
            },
        }
    }

    /// Only what it takes to find the recorder, without cameras and webhook: their passwords may be for its eyes alone.
    ///
    /// # Errors
    /// As [`Config::load`], for the rest of the file.
    pub fn load_without_cameras(file: &Path) -> Result<Self, Vec<Problem>> {
        let text = read_text(file)?;
        let surroundings = surroundings(file);
        let (config, _) = parse(file, &text, &surroundings, |report, top| {
            (http(report, top, &surroundings), Vec::new(), None)
        })?;
        Ok(config)
    }

    /// Only where the footage is, without any password: footage is found also by who may not read those, and when no recorder runs. The second
    /// value holds errors that leave no doubt of that.
    ///
    /// # Errors
    /// As [`Config::load`], where the footage can't be found by it.
    pub fn load_storage(file: &Path) -> Result<(Storage, Vec<Problem>), Vec<Problem>> {
        let text = read_text(file)?;
        match parse(file, &text, &surroundings(file), |_, _| Default::default()) {
            Ok((config, _)) => Ok((config.storage, Vec::new())),
            Err(errors) => match find_only(file) {
                Some(config) => Ok((config.storage, errors)),
                None => Err(errors),
            },
        }
    }

    /// Where the footage is, and the names of all cameras, whatever else is said of them.
    ///
    /// # Errors
    /// As [`Config::load`], for `[storage]` alone.
    pub fn load_names(file: &Path) -> Result<(Storage, Vec<String>), Vec<Problem>> {
        let text = read_text(file)?;
        let mut names = Vec::new();
        let (config, _) = parse(file, &text, &surroundings(file), |report, top| {
            let cameras = top_table(report, top, "cameras");
            let keys = cameras.into_iter().flat_map(|(_, cameras)| cameras.keys());
            names.extend(keys.map(|key| key.get_ref().to_string()));
            Default::default()
        })?;
        Ok((config.storage, names))
    }

    /// Checks the text of a file, and fetches the passwords it names: [`Config::load`] without what the file itself is like.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn read(file: &Path, text: &str) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let surroundings = surroundings(file);
        parse(file, text, &surroundings, |report, top| {
            (
                http(report, top, &surroundings),
                cameras(report, top, &surroundings),
                webhook::read(report, top, &surroundings),
            )
        })
    }

    /// Takes over what a reload applies: cameras, and the rules for what may go.
    pub fn take_up(&mut self, new: Config) {
        self.storage.retain = new.storage.retain;
        self.storage.max_size = new.storage.max_size;
        self.storage.min_free = new.storage.min_free;
        self.cameras = new.cameras;
    }

    /// The files that passwords and tokens are read from.
    pub fn password_files(&self) -> impl Iterator<Item = &Path> {
        self.password_sources().filter_map(|source| match source {
            PasswordSource::File(path) => Some(&**path),
            _ => None,
        })
    }

    fn holds_password(&self) -> bool {
        self.password_sources()
            .any(|source| matches!(source, PasswordSource::Text | PasswordSource::Url))
    }

    fn password_sources(&self) -> impl Iterator<Item = &PasswordSource> {
        let of_cameras = self.cameras.iter().map(|camera| &camera.password_source);
        of_cameras
            .chain([&self.http.token_source])
            .chain(self.webhook.iter().map(|webhook| &webhook.token_source))
            .flatten()
    }
}

fn read_text(file: &Path) -> Result<String, Vec<Problem>> {
    std::fs::read_to_string(file).map_err(|e| {
        let remedy = match e.kind() {
            std::io::ErrorKind::NotFound => "write one, or name yours with --config",
            std::io::ErrorKind::InvalidData => "save it as UTF-8",
            std::io::ErrorKind::PermissionDenied => "use sudo, or join the group that may read it; the service reads it as the user framelog",
            _ => "check the path and its permissions",
        };
        let message = format!("can't read the configuration: {e}; {remedy}");
        vec![Problem {
            file: file.to_owned(),
            at: None,
            key: String::new(),
            message,
        }]
    })
}

/// Of this process and the file's directory.
fn surroundings(file: &Path) -> Surroundings<'static> {
    // Only without a current directory is there no absolute path; then nothing relative is found anyway.
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    Surroundings {
        base: absolute
            .parent()
            .map_or(absolute.clone(), Path::to_path_buf),
        env: &|name| std::env::var(name).ok(),
    }
}

fn readable_by_all(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

fn parse(
    file: &Path,
    text: &str,
    surroundings: &Surroundings<'_>,
    rest: impl FnOnce(&mut Report<'_>, &DeTable<'_>) -> (Http, Vec<Camera>, Option<Webhook>),
) -> Result<(Config, Vec<Problem>), Vec<Problem>> {
    let mut report = Report::new(file, text);
    let (document, syntax_errors) = DeTable::parse_recoverable(text);
    let top = document.get_ref();
    // A table that was recovered from worse than a duplicate lacks keys that the file has.
    if syntax_errors.iter().all(syntax::is_duplicate) {
        Section::new(&mut report, "", 0, top, &TOP_KEYS);
        let storage = storage(&mut report, top, &surroundings.base);
        let (http, cameras, webhook) = rest(&mut report, top);
        let config = Config {
            storage,
            http,
            webhook,
            cameras,
        };
        if report.errors.is_empty() && syntax_errors.is_empty() {
            retention::warn(&mut report, top, &config);
            return Ok((config, report.warnings));
        }
    }
    syntax::report(&mut report, text, &syntax_errors);
    report.errors.sort_by_key(|problem| problem.at);
    Err(report.errors)
}

/// What it takes to find footage and recorder, of a file that is wrong; `None` if there is a doubt of where the footage is. Of the rest it has what
/// could be read: a recorder is believed only if it is that of the directory.
fn find_only(file: &Path) -> Option<Config> {
    let text = syntax::without_cameras(&read_text(file).ok()?);
    let (document, syntax_errors) = DeTable::parse_recoverable(&text);
    let (top, surroundings) = (document.get_ref(), surroundings(file));
    let mut report = Report::new(file, &text);
    let config = Config {
        storage: storage(&mut report, top, &surroundings.base),
        ..Config::default()
    };
    let is_certain = syntax_errors.is_empty() && is_place_certain(&mut report, top);
    is_certain.then(|| Config {
        http: http(&mut report, top, &surroundings),
        ..config
    })
}

/// Whether it is said where the footage is, with no error in it.
fn is_place_certain(report: &mut Report<'_>, top: &DeTable<'_>) -> bool {
    const PLACE: [&str; 3] = ["storage", "storage.path", "storage.uuid"];
    let is_wrong = |problem: &Problem| PLACE.contains(&&*problem.key);
    if report.errors.iter().any(is_wrong)
        || Section::new(report, "", 0, top, &TOP_KEYS).is_misspelt("storage")
    {
        return false;
    }
    // Where it isn't said, it may be said in a wrong place or by a wrong name.
    top_table(report, top, "storage").is_some_and(|(at, table)| {
        let section = Section::new(report, "storage", at, table, &STORAGE_KEYS);
        section.has("path") && !section.is_misspelt("uuid")
    })
}

/// A top table by its key; a value of another type is reported.
fn top_table<'v>(
    report: &mut Report<'_>,
    top: &'v DeTable<'v>,
    key: &str,
) -> Option<(usize, &'v DeTable<'v>)> {
    let value = top.get(key)?;
    let at = value.span().start;
    if table(value).is_none() {
        let form = match key {
            "cameras" => "sections [cameras.NAME], one for each camera".to_owned(),
            _ => format!("a section [{key}]"),
        };
        let message = format!("must be {form}, not {}", kind(value.get_ref()));
        report.error(at, key, message);
    }
    Some((at, table(value)?))
}

fn storage(report: &mut Report<'_>, top: &DeTable<'_>, base: &Path) -> Storage {
    let default = Storage::default();
    let Some((at, table)) = top_table(report, top, "storage") else {
        return default;
    };
    let mut section = Section::new(report, "storage", at, table, &STORAGE_KEYS);
    let (retain, max_size) = retention::read(&mut section);
    Storage {
        path: section
            .take("path", path)
            .map_or(default.path, |path| base.join(path)),
        uuid: section.take("uuid", uuid),
        retain,
        max_size,
        min_free: section.take("min_free", size).unwrap_or(default.min_free),
        segment: section
            .take("segment", duration(Duration::from_secs(1)..=DAY))
            .unwrap_or(default.segment),
        layout: section
            .take(
                "layout",
                one_of(&[("segments", Layout::Segments), ("files", Layout::Files)]),
            )
            .unwrap_or(default.layout),
        sync: section
            .take(
                "sync",
                duration(Duration::from_millis(10)..=Duration::from_secs(3600)),
            )
            .unwrap_or(default.sync),
    }
}

fn http(report: &mut Report<'_>, top: &DeTable<'_>, surroundings: &Surroundings<'_>) -> Http {
    let Some((at, table)) = top_table(report, top, "http") else {
        return Http::default();
    };
    let mut section = Section::new(report, "http", at, table, &HTTP_KEYS);
    let listen = section.take("listen", address);
    let (token, token_source) = section
        .take("token", |value| token(value, surroundings))
        .unzip();
    if let Some(open) = listen.filter(|listen| !listen.ip().is_loopback())
        && !section.has("token")
    {
        let message = format!(
            "{open} is open to the network, and there is no token: \
             add token = {{ file = \"/etc/framelog/http.token\" }} below [http], or listen on 127.0.0.1"
        );
        section.error("listen", &message);
    }
    Http {
        listen: listen.unwrap_or(Http::default().listen),
        must_listen: listen.is_some_and(|listen| listen != Http::default().listen),
        token,
        token_source,
    }
}

/// A bearer token that can be sent as it is (RFC 6750, section 2.1) and not be guessed.
fn token(
    value: &DeValue<'_>,
    surroundings: &Surroundings<'_>,
) -> Result<(Password, PasswordSource), String> {
    let (token, source) = password::read(value, surroundings)?;
    let text = token.expose();
    if !is_sendable(text) || text.len() < TOKEN_MIN {
        return Err(format!(
            "must be {TOKEN_MIN} or more of A-Z a-z 0-9 - . _ ~ + / and = at the end: make one with openssl rand -hex 32"
        ));
    }
    Ok((token, source))
}

/// Whether it can stand behind `Bearer ` (RFC 6750, section 2.1).
fn is_sendable(token: &str) -> bool {
    token
        .trim_end_matches('=')
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
}

fn cameras(
    report: &mut Report<'_>,
    top: &DeTable<'_>,
    surroundings: &Surroundings<'_>,
) -> Vec<Camera> {
    let mut cameras = Vec::new();
    if let Some((_, sections)) = top_table(report, top, "cameras") {
        for (key, value) in sections {
            let name = key.get_ref().as_ref();
            if !name::is_valid(name) {
                report.error(key.span().start, "cameras", bad_name(name));
            }
            match table(value) {
                Some(table) if let Some((rest, at)) = camera::behind_dot(table) => {
                    report.error(at, "cameras", bad_name(&format!("{name}.{rest}")));
                }
                Some(table) => {
                    let at = value.span().start;
                    let name = printable(name);
                    cameras.extend(camera::read(report, &name, at, table, surroundings));
                }
                None => report.error(
                    value.span().start,
                    format!("cameras.{}", printable(name)),
                    not_a_camera(name),
                ),
            }
        }
        warn_of_shared_urls(report, sections, &cameras);
    }
    if cameras.is_empty() {
        report.warn(
            None,
            "cameras",
            "there are none: add [cameras.front-door] with url = \"http://…\"",
        );
    }
    cameras
}

fn bad_name(name: &str) -> String {
    let remedy = match name::suggest(name) {
        Some(suggestion) => format!("write [cameras.{suggestion}]"),
        None => "write one like [cameras.front-door]".to_owned(),
    };
    format!(
        "{name:?} is no camera name (a-z, 0-9, - and _, at most 64, not - or _ first): {remedy}"
    )
}

fn not_a_camera(name: &str) -> String {
    let name = name::suggest(name).unwrap_or_else(|| "front-door".to_owned());
    format!("must be a section: write [cameras.{name}] and url = \"…\" below it")
}

fn warn_of_shared_urls(report: &mut Report<'_>, sections: &DeTable<'_>, cameras: &[Camera]) {
    let mut first: BTreeMap<String, &str> = BTreeMap::new();
    for camera in cameras.iter().filter(|camera| camera.enabled) {
        // Not what is printed: two URLs that differ in a masked query are two.
        let url = format!("{:?}", camera.url);
        if let Some(other) = first.insert(url, &camera.name) {
            let at = sections
                .get(camera.name.as_str())
                .map(|value| value.span().start);
            let message = format!("has the same url as {other}: two connections to one camera");
            report.warn(at, format!("cameras.{}", camera.name), message);
        }
    }
}

#[cfg(test)]
mod tests;
