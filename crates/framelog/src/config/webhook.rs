//! `[webhook]`: who is told of changes. Not for telling.

use toml::de::{DeTable, DeValue};

use super::password::{self, PasswordSource, Surroundings};
use super::problem::Report;
use super::secret::Password;
use super::section::{Section, string};
use super::url::{CameraUrl, UrlError};
use super::{is_sendable, top_table};

const KEYS: [&str; 2] = ["url", "token"];

/// Who is told of changes.
#[derive(Clone, PartialEq)]
pub struct Webhook {
    /// `http://` or `https://`. The path of some is as good as a password: only [`Webhook::shown`] is for eyes.
    pub url: CameraUrl,
    /// Sent as a bearer token.
    pub token: Option<Password>,
    /// Where it comes from.
    pub token_source: Option<PasswordSource>,
}

impl Webhook {
    /// Scheme, host and port.
    pub fn shown(&self) -> String {
        format!("{}://{}", self.url.scheme.name(), self.url.authority())
    }
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Webhook").field(&self.shown()).finish()
    }
}

pub(super) fn read(
    report: &mut Report<'_>,
    top: &DeTable<'_>,
    surroundings: &Surroundings<'_>,
) -> Option<Webhook> {
    let (at, table) = top_table(report, top, "webhook")?;
    let mut section = Section::new(report, "webhook", at, table, &KEYS);
    if section.lacks("url") {
        section.error("url", "is missing: write url = \"https://…\"");
    }
    let url = section.take("url", url);
    let (token, token_source) = section
        .take("token", |value| token(value, surroundings))
        .unzip();
    Some(Webhook {
        url: url?,
        token,
        token_source,
    })
}

fn url(value: &DeValue<'_>) -> Result<CameraUrl, String> {
    let no_http = || "must be http://… or https://…".to_owned();
    let (url, user) = CameraUrl::parse(&string(value)?).map_err(|error| match error {
        UrlError::MissingScheme | UrlError::UnknownScheme => no_http(),
        error => error.to_string(),
    })?;
    if url.scheme.is_rtsp() {
        return Err(no_http());
    }
    if user.is_some() {
        return Err("has a password in it: use token = { file = \"…\" }".to_owned());
    }
    Ok(url)
}

fn token(
    value: &DeValue<'_>,
    surroundings: &Surroundings<'_>,
) -> Result<(Password, PasswordSource), String> {
    let (token, source) = password::read(value, surroundings)?;
    match is_sendable(token.expose()) {
        true => Ok((token, source)),
        false => Err("must be of A-Z a-z 0-9 - . _ ~ + / and = at the end".to_owned()),
    }
}
