//! What in a URL's path and query may be a secret, and is masked wherever the URL is shown. Not for credentials in front of the host: those are
//! no part of a [`super::CameraUrl`].

/// Query keys whose values say which stream, not who asks.
const HARMLESS_KEYS: [&str; 23] = [
    "action",
    "camera",
    "channel",
    "cmd",
    "codec",
    "compression",
    "format",
    "fps",
    "framerate",
    "height",
    "mode",
    "profile",
    "quality",
    "rate",
    "res",
    "resolution",
    "rotation",
    "size",
    "stream",
    "streamtype",
    "subtype",
    "type",
    "width",
];

/// What is in a query key whose value may be a secret, however short.
const SECRET_KEY_WORDS: [&str; 14] = [
    "auth", "code", "cred", "hash", "key", "log", "pas", "pin", "pw", "secret", "ses", "sig",
    "tok", "us",
];

/// Beginnings of path parts from which on a path is not for eyes: `/user=admin_password=…_channel=1`.
const SECRET_WORDS: [&str; 8] = [
    "user=", "usr=", "login", "pass", "pwd=", "token", "key=", "auth",
];

/// The target in order, as texts to print and texts to mask.
pub(super) fn pieces(target: &str) -> Vec<(&str, bool)> {
    let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
    let mut pieces = Vec::new();
    match secret_start(path) {
        Some(start) => pieces.extend([(&path[..start], false), (&path[start..], true)]),
        None => pieces.push((path, false)),
    }
    let mut rest = query;
    while !rest.is_empty() {
        let (mark, field) = rest.split_at(1);
        let (field, after) = field.split_at(field.find('&').unwrap_or(field.len()));
        pieces.push((mark, false));
        match field.split_once('=') {
            Some((key, value)) if is_harmless(key, value) => pieces.push((field, false)),
            Some((key, value)) if is_word(key) => {
                pieces.push((&field[..=key.len()], false));
                pieces.push((value, true));
            }
            _ => pieces.push((field, true)),
        }
        rest = after;
    }
    pieces.retain(|(text, _)| !text.is_empty());
    pieces
}

/// Where in a path a word like `password` is followed by `=`: the value begins there, and nobody knows where it ends.
fn secret_start(path: &str) -> Option<usize> {
    let lower = path.to_ascii_lowercase();
    let word = SECRET_WORDS
        .iter()
        .filter_map(|word| lower.find(word))
        .filter(|&at| lower[at..].contains('='))
        .min()?;
    Some(word + lower[word..].find('=')? + 1)
}

fn is_harmless(key: &str, value: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let is_known = HARMLESS_KEYS.contains(&key.as_str());
    let is_known_value = value.len() <= 16 && is_word(value);
    is_known && is_known_value || may_have_any_key(value) && is_telling(&key)
}

/// Whether a value is a number of at most three digits or a switch: what gives no secret away unless its key says so.
fn may_have_any_key(value: &str) -> bool {
    let is_number = value.len() <= 3 && value.bytes().all(|byte| byte.is_ascii_digit());
    is_number || ["on", "off", "yes", "no", "true", "false"].contains(&value)
}

/// Whether a key is a word, and none for a secret; `p` and `id` tell nothing.
fn is_telling(key: &str) -> bool {
    key.len() >= 3 && is_word(key) && !SECRET_KEY_WORDS.iter().any(|word| key.contains(word))
}

fn is_word(text: &str) -> bool {
    text.len() <= 32
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}
