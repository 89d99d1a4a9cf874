//! What TOML's own parser complains about, as problems. Its own rendering is not used: it prints the line, password included.

use super::problem::Report;
use super::section::printable;

/// Whether it is only a key or section that is there twice.
pub(super) fn is_duplicate(error: &toml::de::Error) -> bool {
    error.message() == "duplicate key"
}

/// The text without its sections for cameras and the webhook, whatever is in them, and however broken their heads are.
pub(super) fn without_cameras(text: &str) -> String {
    let mut is_kept = true;
    let mut kept = String::new();
    for line in text.split_inclusive('\n') {
        if let Some(head) = line.trim_start().strip_prefix('[') {
            let name = head.trim_start_matches(|c: char| "[\"'".contains(c) || c.is_whitespace());
            is_kept = !name.starts_with("cameras") && !name.starts_with("webhook");
        }
        if is_kept {
            kept.push_str(line);
        }
    }
    kept
}

/// Reports each syntax error, at most one a line: further ones on a line follow from the first.
pub(super) fn report(report: &mut Report<'_>, text: &str, errors: &[toml::de::Error]) {
    let mut lines_seen = Vec::new();
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let line = text.get(..span.start).unwrap_or(text).matches('\n').count();
        if lines_seen.contains(&line) {
            continue;
        }
        lines_seen.push(line);
        let (key, message) = match text.get(span.clone()) {
            Some(key) if is_duplicate(error) => (
                printable(key.trim_matches('"')),
                "is there twice: take one out".to_owned(),
            ),
            _ if (text.get(span.start..))
                .is_some_and(|rest| rest.starts_with(['“', '”', '„', '‘', '’'])) =>
            {
                (
                    String::new(),
                    r#"these are quotes of a text processor: write straight ones, as in "10 s""#
                        .to_owned(),
                )
            }
            _ => (String::new(), with_remedy(error.message())),
        };
        report.error(span.start, key, message);
    }
}

/// What the parser says, and what to do where people slip most.
fn with_remedy(message: &str) -> String {
    // `no` may be the beginning of `nan`, to the parser, and `info` that of `inf`.
    let message = match message.starts_with("invalid float, expected `") {
        true => "a word that means nothing here",
        false => message,
    };
    let remedy = if message.starts_with("string values must be quoted")
        || message.starts_with("invalid boolean")
        || message.starts_with("a word")
    {
        r#"write text in quotes, as in "10 s", and true or false (not yes or no) without"#
    } else if message.starts_with("unclosed table") {
        "write a section as in [cameras.front-door], without spaces"
    } else if message.starts_with("invalid basic string") {
        r#"close the quotes, and write " within them as \" and \ as \\"#
    } else {
        return message.to_owned();
    };
    format!("{message}; {remedy}")
}
