//! Where a password or token comes from, and fetching it from there. Not for using it.

use std::fmt;
use std::fs::File;
use std::io::ErrorKind;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use toml::de::DeValue;

use super::problem::did_you_mean;
use super::secret::Password;
use super::section::{kind, printable, string};

/// The most bytes of a password file: a wrong path must not fill the memory.
const FILE_BYTES_MAX: usize = 4096;
/// The credentials of the service while it runs, for the commands that root types beside it.
const SERVICE_CREDENTIALS: &str = "/run/credentials/framelog.service";

/// Where a password comes from. Prints as words, never as the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordSource {
    /// `password = "…"`.
    Text,
    /// `url = "http://user:password@…"`.
    Url,
    /// `password = { file = "…" }`.
    File(PathBuf),
    /// `password = { env = "…" }`.
    Environment(String),
    /// `password = { credential = "…" }`: a file in systemd's `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

impl fmt::Display for PasswordSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("password in the configuration file"),
            Self::Url => f.write_str("password in the url"),
            Self::File(path) => write!(f, "password from {}", path.display()),
            Self::Environment(name) => write!(f, "password from the environment ({name})"),
            Self::Credential(name) => write!(f, "password from the systemd credential {name}"),
        }
    }
}

/// What surrounds the file: relative paths begin at `base`; `env` looks up the environment.
pub(super) struct Surroundings<'e> {
    pub base: PathBuf,
    pub env: &'e dyn Fn(&str) -> Option<String>,
}

/// Reads the value of `password` or `token` and fetches it from where it says. A file's last line end is left out.
///
/// # Errors
/// In words, naming the file or variable, never its contents.
pub(super) fn read(
    value: &DeValue<'_>,
    surroundings: &Surroundings<'_>,
) -> Result<(Password, PasswordSource), String> {
    if let Some(text) = value.as_str() {
        return Ok((Password::new(text.to_owned()), PasswordSource::Text));
    }
    let source = source(value, &surroundings.base)?;
    let text = match &source {
        PasswordSource::File(path) => from_file(path)?,
        PasswordSource::Environment(name) => (surroundings.env)(name).ok_or_else(|| {
            format!(
                "the environment variable {name:?} is not set: set it or use {{ file = \"…\" }}"
            )
        })?,
        PasswordSource::Credential(name) => {
            let directory = (surroundings.env)("CREDENTIALS_DIRECTORY")
                .map_or_else(|| PathBuf::from(SERVICE_CREDENTIALS), PathBuf::from);
            if !directory.exists() {
                return Err(format!(
                    "no $CREDENTIALS_DIRECTORY: add LoadCredential={name}:/path/to/file to the systemd unit"
                ));
            }
            from_file(&directory.join(name))?
        }
        PasswordSource::Text | PasswordSource::Url => String::new(),
    };
    Ok((Password::new(text), source))
}

fn source(value: &DeValue<'_>, base: &Path) -> Result<PasswordSource, String> {
    const FORMS: &str = "{ file = \"…\" }, { env = \"…\" } or { credential = \"…\" }";
    let table = value
        .as_table()
        .ok_or_else(|| format!("must be text in quotes, {FORMS}, not {}", kind(value)))?;
    let mut entries = table.iter();
    let (Some((key, value)), None) = (entries.next(), entries.next()) else {
        return Err(format!("must be exactly one of {FORMS}"));
    };
    let text = string(value.get_ref())?;
    match key.get_ref().as_ref() {
        "file" => Ok(PasswordSource::File(base.join(text))),
        "env" => Ok(PasswordSource::Environment(text)),
        "credential" if text.is_empty() || text.starts_with('.') || text.contains('/') => {
            Err(format!("{text:?} is not the name of a credential"))
        }
        "credential" => Ok(PasswordSource::Credential(text)),
        other => {
            let suggestion = did_you_mean(other, &["file", "env", "credential"]);
            Err(format!(
                "unknown key {}{suggestion}: use {FORMS}",
                printable(other)
            ))
        }
    }
}

fn from_file(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
        .map_err(|e| {
            let remedy = match e.kind() {
                ErrorKind::PermissionDenied => {
                    "; the recorder must be able to: chown root:framelog and chmod 640"
                }
                _ => "",
            };
            format!("can't read {shown}: {e}{remedy}")
        })?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(format!(
            "{shown} is no file with a secret: more than {FILE_BYTES_MAX} bytes"
        ));
    }
    let text = String::from_utf8(bytes).map_err(|_| format!("{shown} is not UTF-8 text"))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    match line.strip_suffix('\r').unwrap_or(line) {
        "" => Err(format!("{shown} is empty: write the secret into it")),
        password => Ok(password.to_owned()),
    }
}
