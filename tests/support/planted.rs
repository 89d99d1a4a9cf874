//! What must show nowhere: the passwords and tokens of a configuration, as they are and as Basic sends them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use memchr::memmem;
use toml::{Table, Value};

use super::digest::basic;

/// A shorter one might be an ordinary word of the log.
const LENGTH_MIN: usize = 8;

/// So many bytes before and behind a secret say how it came there.
const AROUND: usize = 200;

/// Secrets, and what they are in Base64.
#[derive(Debug, Default)]
pub struct Planted(BTreeSet<String>);

impl Planted {
    /// Adds a secret, whosever it is.
    pub fn add(&mut self, username: &str, secret: &str) {
        assert!(
            secret.len() >= LENGTH_MIN,
            "{secret:?} can't be told from other words: let the test have a longer one"
        );
        let coded = basic(username, secret);
        self.0.insert(coded["Basic ".len()..].to_owned());
        self.0.insert(secret.to_owned());
    }

    /// Adds those of a configuration, wherever it has them. A file with an error has none: a test of that plants them itself.
    pub fn add_of(&mut self, config: &Path, environment: &[(&str, &str)]) {
        let text = fs::read_to_string(config).unwrap_or_default();
        if let Ok(table) = text.parse() {
            let directory = config.parent().expect("a file in a directory");
            self.add_below(&table, directory, environment);
        }
    }

    fn add_below(&mut self, table: &Table, directory: &Path, environment: &[(&str, &str)]) {
        let text = |key| table.get(key).and_then(Value::as_str);
        let username = text("username").unwrap_or_default();
        for (key, value) in table {
            match (key.as_str(), value) {
                ("password" | "token", value) => {
                    if let Some(secret) = secret(value, directory, environment) {
                        self.add(username, &secret);
                    }
                }
                ("url", Value::String(url)) => {
                    if let Some((username, secret)) = login(url) {
                        self.add(&decoded(username), &decoded(secret));
                        self.add(username, secret);
                    }
                }
                (_, Value::Table(table)) => self.add_below(table, directory, environment),
                _ => {}
            }
        }
    }

    /// Whether there is anything to look for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where a secret is in this, in words.
    pub fn found_in(&self, what: &str, bytes: &[u8]) -> Vec<String> {
        let found = self.0.iter().filter_map(|secret| {
            let at = memmem::find(bytes, secret.as_bytes())?;
            let around = &bytes[at.saturating_sub(AROUND)..bytes.len().min(at + AROUND)];
            let around = String::from_utf8_lossy(around);
            Some(format!("{secret} is in {what}: …{around}…"))
        });
        found.collect()
    }
}

/// A secret that stands in the configuration, in a file or in the environment.
fn secret(value: &Value, directory: &Path, environment: &[(&str, &str)]) -> Option<String> {
    let of = |key| value.get(key).and_then(Value::as_str);
    if let Some(file) = of("file") {
        let text = fs::read_to_string(directory.join(file)).ok()?;
        return Some(text.trim_end().to_owned());
    }
    if let Some(variable) = of("env") {
        let set = environment.iter().find(|(name, _)| *name == variable);
        return set.map(|(_, value)| (*value).to_owned());
    }
    value.as_str().map(str::to_owned)
}

/// User name and password of a URL that has both, as they stand there.
fn login(url: &str) -> Option<(&str, &str)> {
    let (_, rest) = url.split_once("://")?;
    let (authority, _) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, _) = authority.rsplit_once('@')?;
    login.split_once(':')
}

/// Without percent-encoding.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let coded = (byte == b'%').then(|| after.split_at_checked(2)).flatten();
        let coded = coded.and_then(|(digits, after)| {
            let digits = std::str::from_utf8(digits).ok()?;
            Some((u8::from_str_radix(digits, 16).ok()?, after))
        });
        let (byte, after) = coded.unwrap_or((byte, after));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use crate::support::daemon::Place;

    const CAMERA: &str = "[cameras.gate]\nurl = \"http://127.0.0.1:1/\"\nusername = \"admin\"\n";

    /// A place where this was logged, at its end.
    fn end(cameras: &str, log: &str) {
        let place = Place::new(cameras);
        std::fs::write(place.path("log"), log).expect("a writable temporary directory");
    }

    #[test]
    #[should_panic(expected = "planted-Sesam-1 is in the log")]
    fn a_test_fails_at_its_end_if_a_password_was_logged() {
        end(
            &format!("{CAMERA}password = \"planted-Sesam-1\"\n"),
            "it said planted-Sesam-1",
        );
    }

    #[test]
    #[should_panic(expected = "YWRtaW46cGxhbnRlZC1TZXNhbS0y is in the log")]
    fn a_test_fails_at_its_end_if_the_basic_form_of_one_was_logged() {
        end(
            &format!("{CAMERA}password = \"planted-Sesam-2\"\n"),
            "Authorization: Basic YWRtaW46cGxhbnRlZC1TZXNhbS0y",
        );
    }

    #[test]
    #[should_panic(expected = "planted/Sesam-3 is in the log")]
    fn a_test_fails_at_its_end_if_the_password_of_a_url_was_logged() {
        end(
            "[cameras.gate]\nurl = \"rtsp://admin:planted%2FSesam-3@127.0.0.1:1/\"\n",
            "it said planted/Sesam-3",
        );
    }

    #[test]
    #[should_panic(expected = "planted-Sesam-4 is in")]
    fn a_test_fails_at_its_end_if_a_token_was_stored_though_it_was_changed_since() {
        let place = Place::new("[webhook]\ntoken = \"planted-Sesam-4\"\n");
        place.configure("");
        let footage = place.storage().join("footage");
        std::fs::create_dir_all(&footage).expect("a writable temporary directory");
        std::fs::write(footage.join("a.mjpeg"), "\0planted-Sesam-4\0").expect("room");
    }

    #[test]
    #[should_panic(expected = "planted-Sesam-5 is in what check prints")]
    fn a_test_fails_if_a_command_prints_what_was_planted() {
        let place = Place::new("planted-Sesam-5 = 1\n");
        place.plant("planted-Sesam-5");
        place.command(&["check"]);
    }
}
