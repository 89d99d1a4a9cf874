//! What a camera said, made fit to print: escaped, short, without the credentials. Not for deciding what it means.

use crate::config::Camera;

/// How many characters of the camera's own words are printed.
const QUOTE_CHARS_MAX: usize = 80;

/// A secret of fewer characters is part of any text by chance: it is masked only where a value stands, as in `pwd=x`.
const MASKED_ANYWHERE_CHARS_MIN: usize = 4;

/// Quotes a camera's bytes in details and logs.
#[derive(Clone)]
pub struct Quoter {
    secrets: Vec<Secret>,
}

#[derive(Clone)]
struct Secret {
    bytes: Vec<u8>,
    /// Whether it is masked within words too.
    anywhere: bool,
}

impl Secret {
    fn new(bytes: Vec<u8>, anywhere: bool) -> Self {
        Self { bytes, anywhere }
    }

    /// The secret as it stands, and encoded for a URL.
    fn spellings(text: &str) -> [Self; 2] {
        let anywhere = text.chars().count() >= MASKED_ANYWHERE_CHARS_MIN;
        let encoded = percent_encode(text).into_bytes();
        [
            Self::new(text.into(), anywhere),
            Self::new(encoded, anywhere),
        ]
    }

    /// Whether the text has it here, in either case, after `before`, in a place where it is masked. Types are compared, and told, in lower case, and
    /// `%2F` is `%2f` as well.
    fn is_at(&self, before: &[u8], rest: &[u8]) -> bool {
        let Some((secret, after)) = rest.split_at_checked(self.bytes.len()) else {
            return false;
        };
        if !secret.eq_ignore_ascii_case(&self.bytes) {
            return false;
        }
        let begins = before.last().is_some_and(|byte| b"=:".contains(byte));
        let ends = after
            .first()
            .is_none_or(|byte| !byte.is_ascii_alphanumeric());
        self.anywhere || begins && ends
    }
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
        let in_url = camera.url.secrets();
        let plain = password
            .chain(name)
            .chain(in_url.iter().map(String::as_str))
            .filter(|text| !text.is_empty());
        let basic = camera
            .username
            .iter()
            .zip(&camera.password)
            .map(|(name, password)| {
                let value = http_auth::basic::encode_credentials(name, password.expose());
                Secret::new(value.replacen("Basic ", "", 1).into_bytes(), true)
            });
        let mut secrets: Vec<Secret> = plain.flat_map(Secret::spellings).chain(basic).collect();
        // The longest first, so that no secret is left over from within a longer one.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.bytes.len()));
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
            let before = &bytes[..bytes.len() - rest.len()];
            match self
                .secrets
                .iter()
                .find(|secret| secret.is_at(before, rest))
            {
                Some(secret) => {
                    masked.extend_from_slice(b"***");
                    rest = &rest[secret.bytes.len()..];
                }
                None => {
                    masked.push(*first);
                    rest = &rest[1..];
                }
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
    use crate::config::url::CameraUrl;

    fn quoter(secrets: &[&str]) -> Quoter {
        let mut secrets: Vec<Secret> = secrets
            .iter()
            .flat_map(|text| Secret::spellings(text))
            .collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.bytes.len()));
        Quoter { secrets }
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
        let quoter = quoter(&["p@ss", "word"]);
        assert_eq!(quoter.quote(b"up=p@ss;p p%40ss"), "up=***;p ***");
        assert_eq!(quoter.quote(b"a password"), "a pass***");
    }

    #[test]
    fn secrets_are_masked_in_either_case() {
        let quoter = quoter(&["Se/cret"]);
        assert_eq!(quoter.quote(b"se/cret SE%2fCRET"), "*** ***");
    }

    #[test]
    fn a_secret_in_the_url_is_masked_as_it_stands_and_decoded() {
        let url = CameraUrl::parse("http://h/v.cgi?usr=me&pwd=12#b%2F4")
            .unwrap()
            .0;
        let quoter = Quoter::new(&Camera::new("gate", url));
        assert_eq!(quoter.quote(b"12#b/4 12%23b%2F4"), "*** ***");
    }

    #[test]
    fn a_short_secret_is_masked_as_a_value_and_leaves_words_alone() {
        let quoter = quoter(&["1", "q"]);
        assert_eq!(
            quoter.quote(b"HTTP/1.1 401 quite wrong"),
            "HTTP/1.1 401 quite wrong"
        );
        assert_eq!(
            quoter.quote(b"/?pwd=1&x=10 u:q@host a=q"),
            "/?pwd=***&x=10 u:***@host a=***"
        );
    }
}
