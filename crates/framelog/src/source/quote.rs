//! What a camera said, made fit to print: escaped, short, without the credentials. Not for deciding what it means.

use crate::config::Camera;

/// How many characters of the camera's own words are printed.
const QUOTE_CHARS_MAX: usize = 80;

/// Quotes a camera's bytes in details and logs.
#[derive(Clone)]
pub struct Quoter {
    secrets: Vec<Vec<u8>>,
}

impl Quoter {
    /// For a camera, whose secrets are never printed, neither plain nor encoded for a URL or for Basic.
    pub fn new(camera: &Camera) -> Self {
        let password = camera.password.iter().map(|password| password.expose());
        let name = camera
            .username
            .iter()
            .map(String::as_str)
            .filter(|name| name.len() >= 3);
        let plain: Vec<&str> = password
            .chain(name)
            .chain(camera.url.secrets())
            .filter(|text| !text.is_empty())
            .collect();
        let encoded = plain.iter().map(|text| percent_encode(text).into_bytes());
        let basic = camera
            .username
            .iter()
            .zip(&camera.password)
            .map(|(name, password)| {
                http_auth::basic::encode_credentials(name, password.expose())
                    .replacen("Basic ", "", 1)
                    .into_bytes()
            });
        let plain = plain.iter().map(|text| text.as_bytes().to_vec());
        let mut secrets: Vec<Vec<u8>> = plain.chain(encoded).chain(basic).collect();
        // The longest first, so that no secret is left over from within a longer one.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { secrets }
    }

    /// At most 80 characters of these bytes, control characters escaped, secrets masked.
    pub fn quote(&self, bytes: &[u8]) -> String {
        let masked = self.mask(bytes);
        let text = String::from_utf8_lossy(&masked);
        let mut quoted = String::new();
        let mut count = 0;
        for char in text.trim().chars() {
            let escaped: String = match char {
                char if char.is_control()
                    || matches!(char, '\u{200b}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}') =>
                {
                    char.escape_default().collect()
                }
                char => char.into(),
            };
            count += escaped.chars().count();
            if count > QUOTE_CHARS_MAX {
                quoted.push('…');
                break;
            }
            quoted.push_str(&escaped);
        }
        quoted
    }

    fn mask(&self, bytes: &[u8]) -> Vec<u8> {
        let mut masked = Vec::with_capacity(bytes.len());
        let mut rest = bytes;
        while let Some(first) = rest.first() {
            if let Some(secret) = self.secrets.iter().find(|secret| rest.starts_with(secret)) {
                masked.extend_from_slice(b"***");
                rest = &rest[secret.len()..];
            } else {
                masked.push(*first);
                rest = &rest[1..];
            }
        }
        masked
    }
}

fn percent_encode(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

/// Shows none of the secrets.
impl std::fmt::Debug for Quoter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Quoter(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoter(secrets: &[&str]) -> Quoter {
        Quoter {
            secrets: secrets
                .iter()
                .map(|secret| secret.as_bytes().to_vec())
                .collect(),
        }
    }

    #[test]
    fn control_characters_are_escaped_and_length_is_bounded() {
        assert_eq!(
            quoter(&[]).quote(b"a\r\n\x1b[31m\xff"),
            "a\\r\\n\\u{1b}[31m\u{fffd}"
        );
        assert_eq!(
            quoter(&[]).quote(&[b'x'; 500]).chars().count(),
            QUOTE_CHARS_MAX + 1
        );
    }

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        assert_eq!(quoter(&["p@ss", "p"]).quote(b"up=p@ss;p"), "u***=***;***");
    }
}
