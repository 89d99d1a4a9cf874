//! One table of the file, read key by key, every problem reported with its place. Knows TOML's types, not what any key means.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use framelog_store::Uuid;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Report, did_you_mean, nearest};
use super::units::{format_duration, parse_duration, parse_size};

/// A table, with the path of keys that leads to it.
pub(super) struct Section<'s, 't> {
    report: &'s mut Report<'t>,
    table: &'s DeTable<'s>,
    /// Where the table begins, byte offset.
    at: usize,
    path: String,
    known: &'s [&'s str],
}

impl<'s, 't> Section<'s, 't> {
    /// Begins reading; keys that are not in `known` are errors.
    pub fn new(
        report: &'s mut Report<'t>,
        path: &str,
        at: usize,
        table: &'s DeTable<'s>,
        known: &'s [&'s str],
    ) -> Self {
        let section = Self {
            report,
            table,
            at,
            path: path.to_owned(),
            known,
        };
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) {
                let suggestion = did_you_mean(name, known);
                let place = match path.is_empty() && suggestion.is_empty() {
                    true => {
                        "; the sections are [storage], [http], [webhook] and [cameras.NAME], and keys stand below them"
                    }
                    false => "",
                };
                let message = format!("unknown key{suggestion}{place}");
                section
                    .report
                    .error(key.span().start, section.full(&printable(name)), message);
            }
        }
        section
    }

    /// The value of `key` as `read` understands it; `None` if it is absent or was reported.
    pub fn take<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.table.get(key)?;
        match read(value.get_ref()) {
            Ok(value) => Some(value),
            Err(message) => {
                self.report
                    .error(value.span().start, self.full(key), message);
                None
            }
        }
    }

    /// Whether the key is there, right or wrong.
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Whether the key is not there, and not misspelt either, which has been reported.
    pub fn lacks(&self, key: &str) -> bool {
        !self.has(key) && !self.is_misspelt(key)
    }

    /// Whether the key is not there, and one that is unknown looks like it.
    pub fn is_misspelt(&self, key: &str) -> bool {
        let mut unknown = (self.table.keys().map(|name| name.get_ref().as_ref()))
            .filter(|name| !self.known.contains(name));
        !self.has(key) && unknown.any(|name| nearest(name, self.known) == Some(key))
    }

    /// Reports an error at `key`, or at the section's head if it isn't there.
    pub fn error(&mut self, key: &str, message: &str) {
        self.report.error(self.place(key), self.full(key), message);
    }

    /// Reports a warning at `key`, or at the section's head if it isn't there.
    pub fn warn(&mut self, key: &str, message: &str) {
        self.report
            .warn(Some(self.place(key)), self.full(key), message);
    }

    fn place(&self, key: &str) -> usize {
        self.table
            .get(key)
            .map_or(self.at, |value| value.span().start)
    }

    fn full(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }
}

/// A key of the file, as it may be printed.
pub(super) fn printable(key: &str) -> String {
    let bare = !key.is_empty()
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    if bare {
        key.to_owned()
    } else {
        format!("{key:?}")
    }
}

/// A string. The message does not show what is there instead: it may be a password.
pub(super) fn string(value: &DeValue<'_>) -> Result<String, String> {
    match value.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(format!("must be text in quotes, not {}", kind(value))),
    }
}

/// `true` or `false`.
pub(super) fn boolean(value: &DeValue<'_>) -> Result<bool, String> {
    value
        .as_bool()
        .ok_or_else(|| format!("must be true or false, not {}", kind(value)))
}

/// A path that is not empty.
pub(super) fn path(value: &DeValue<'_>) -> Result<PathBuf, String> {
    match string(value)? {
        text if text.is_empty() => Err("is empty: name a directory or file".to_owned()),
        text => Ok(PathBuf::from(text)),
    }
}

/// A UUID, as `recorder.toml` has it.
pub(super) fn uuid(value: &DeValue<'_>) -> Result<Uuid, String> {
    let text = string(value)?;
    Uuid::parse_str(&text).map_err(|_| {
        format!("{text:?} is no UUID; copy the one in recorder.toml, in the storage directory")
    })
}

/// A duration within bounds.
pub(super) fn duration(
    bounds: RangeInclusive<Duration>,
) -> impl FnOnce(&DeValue<'_>) -> Result<Duration, String> {
    move |value| {
        if let Some(number) = value.as_integer() {
            return Err(format!(
                "{number} has no unit: write {:?}",
                format!("{number} s")
            ));
        }
        let text = string(value)?;
        let duration = parse_duration(&text).map_err(|e| e.to_string())?;
        if bounds.contains(&duration) {
            return Ok(duration);
        }
        let (least, most) = (
            format_duration(*bounds.start()),
            format_duration(*bounds.end()),
        );
        Err(format!("{text:?} is out of range: use {least} to {most}"))
    }
}

/// A size of at least one byte.
pub(super) fn size(value: &DeValue<'_>) -> Result<u64, String> {
    if let Some(number) = value.as_integer() {
        return Err(format!(
            "{number} has no unit: write {:?}",
            format!("{number} GB")
        ));
    }
    match parse_size(&string(value)?).map_err(|e| e.to_string())? {
        0 => Err("must be more than zero; leave the key out for no limit".to_owned()),
        bytes => Ok(bytes),
    }
}

/// One of a few words.
pub(super) fn one_of<T: Copy>(
    words: &'static [(&'static str, T)],
) -> impl FnOnce(&DeValue<'_>) -> Result<T, String> {
    move |value| {
        let text = string(value)?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Ok(*meaning);
        }
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let suggestion = did_you_mean(&text, &known);
        let list = known
            .iter()
            .map(|word| format!("{word:?}"))
            .collect::<Vec<_>>()
            .join(", ");
        Err(format!("{text:?} is none of {list}{suggestion}"))
    }
}

/// An address and a port.
pub(super) fn address(value: &DeValue<'_>) -> Result<SocketAddr, String> {
    let text = string(value)?;
    let text = text.replacen("localhost:", "127.0.0.1:", 1);
    text.parse().map_err(|_| {
        format!("{text:?} is no address with a port: write \"127.0.0.1:8080\" or \"[::1]:8080\"")
    })
}

/// A table.
pub(super) fn table<'v>(value: &'v Spanned<DeValue<'v>>) -> Option<&'v DeTable<'v>> {
    value.get_ref().as_table()
}

/// The type, in words.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
