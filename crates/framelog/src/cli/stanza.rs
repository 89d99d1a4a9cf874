//! The TOML that puts a camera into the configuration, to be pasted. Passwords are never in it, only where they are.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::config::name;

/// Where the configuration will find the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordPlace {
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
}

/// What is known of a camera, as far as it differs from the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stanza {
    /// Its name in the configuration.
    pub name: String,
    /// Without credentials.
    pub url: String,
    /// User name.
    pub username: Option<String>,
    /// Where the password is.
    pub password: Option<PasswordPlace>,
    /// SHA-256 of its certificate, hexadecimal, if only that can be relied upon.
    pub fingerprint: Option<String>,
    /// It gives single pictures, so an interval matters.
    pub is_polled: bool,
}

impl Stanza {
    /// The TOML, with a line end.
    pub fn text(&self) -> String {
        let mut text = format!("[cameras.{}]\nurl = {}\n", self.name, quoted(&self.url));
        // Writing to a String does not fail.
        if let Some(username) = &self.username {
            let _ = writeln!(text, "username = {}", quoted(username));
        }
        match &self.password {
            Some(PasswordPlace::File(path)) => {
                let _ = writeln!(
                    text,
                    "password = {{ file = {} }}",
                    quoted(&path.to_string_lossy())
                );
            }
            Some(PasswordPlace::Environment(name)) => {
                let _ = writeln!(text, "password = {{ env = {} }}", quoted(name));
            }
            None => {}
        }
        if let Some(fingerprint) = &self.fingerprint {
            let _ = writeln!(text, "tls = {{ fingerprint = {} }}", quoted(fingerprint));
        }
        if self.is_polled {
            text.push_str("poll_interval = \"1 s\"\n");
        }
        text
    }
}

/// A name for a camera at this host: `cam-192-168-0-50`, or the host's own name without its domain.
pub fn name_for(host: &str) -> String {
    let is_address = host.parse::<std::net::IpAddr>().is_ok() || host.contains(':');
    let wanted = if is_address {
        format!("cam-{host}")
    } else {
        host.split('.').next().unwrap_or(host).to_owned()
    };
    name::suggest(&wanted).unwrap_or_else(|| "camera".to_owned())
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stanza(username: &str, file: &str) -> Stanza {
        Stanza {
            name: "gate".into(),
            url: "http://192.168.0.50/?action=stream".into(),
            username: Some(username.into()),
            password: Some(PasswordPlace::File(file.into())),
            fingerprint: None,
            is_polled: false,
        }
    }

    #[test]
    fn a_stanza_has_only_what_differs_from_the_defaults() {
        let plain = Stanza {
            name: "gate".into(),
            url: "http://c/".into(),
            ..Stanza::default()
        };
        assert_eq!(plain.text(), "[cameras.gate]\nurl = \"http://c/\"\n");
        let text = Stanza {
            is_polled: true,
            fingerprint: Some("ab".into()),
            ..stanza("admin", "/etc/p")
        }
        .text();
        assert!(text.ends_with(
            "username = \"admin\"\npassword = { file = \"/etc/p\" }\ntls = { fingerprint = \"ab\" }\npoll_interval = \"1 s\"\n"
        ));
    }

    #[test]
    fn hosts_give_names_that_are_allowed() {
        assert_eq!(name_for("192.168.0.50"), "cam-192-168-0-50");
        assert_eq!(name_for("Front_Door.local"), "front_door");
        assert_eq!(name_for("fe80::1%eth0"), "cam-fe80-1-eth0");
        assert_eq!(name_for("---"), "camera");
    }

    proptest! {
        #[test]
        fn what_is_pasted_is_read_back(username in "\\PC{0,20}", file in "\\PC{1,20}") {
            let parsed: toml::Table = stanza(&username, &file).text().parse().unwrap();
            prop_assert_eq!(parsed["cameras"]["gate"]["username"].as_str(), Some(username.as_str()));
            prop_assert_eq!(parsed["cameras"]["gate"]["password"]["file"].as_str(), Some(file.as_str()));
        }
    }
}
